"""Every request official clients were seen to send, against the routes: each reaches the operation it is meant for, with and
without a prefix and a trailing slash."""

from __future__ import annotations

import re

import pytest
from tests.support import captures

from penstock.http.app import HOT
from penstock.http.router import Router
from penstock.http.routes import ROUTES

ROUTER: Router[str] = Router(
    [(method, path, path) for method, path, _ in HOT]
    + [(route.method, route.path, route.path) for route in ROUTES]
)
_LITERAL = re.compile(r"{\w+}")


@pytest.mark.parametrize("capture", captures.load(), ids=str)
def test_reaches_its_operation(capture: captures.Capture) -> None:
    sent = capture.request
    found = ROUTER.match(sent.method, sent.path)
    form = _LITERAL.sub("[^/]+", found.handler.replace(".", r"\."))
    assert re.fullmatch(form + "/?", sent.path.decode()), found.handler
    for path in (b"/any/prefix" + sent.path, sent.path.rstrip(b"/"), sent.path.rstrip(b"/") + b"/"):
        assert ROUTER.match(sent.method, path).handler == found.handler
    literal = [part for part in found.handler.split("/") if not part.startswith("{")]
    for word in (
        "tags",
        "resource_instances",
        "metrics",
        "policies",
        "transfer-tasks",
        "update",
        "checkpoints",
    ):
        if f"/{word}" in sent.path.decode():
            assert word in literal, f"{sent.path!r} is taken for {found.handler}"


def test_captures_cover_most_of_the_interface() -> None:
    reached = {
        (c.request.method, ROUTER.match(c.request.method, c.request.path).handler) for c in captures.load()
    }
    assert len(reached) >= 30, sorted(reached)
