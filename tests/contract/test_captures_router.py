"""Every request official clients were seen to send, against the routes: those of chapters 5.1.1-5.1.4 and 5.4 and of identity
reach their operation, with and without slashes; the chapters that are not there yet say so as a gateway does."""

from __future__ import annotations

import re

import pytest
from tests.support import captures

from penstock.errors import ApiError
from penstock.http import identity, streams
from penstock.http.app import HOT
from penstock.http.router import Router

ROUTER: Router[str] = Router(
    [(method, path, path) for method, path, _ in HOT]
    + [(route.method, route.path, route.path) for route in [*streams.ROUTES, *identity.ROUTES]]
)
SERVED = (
    ("POST|GET", r"/v2/[^/]+/records/?", "/v2/{project_id}/records"),
    ("GET", r"/v2/[^/]+/cursors/?", "/v2/{project_id}/cursors"),
    ("POST|GET", r"/v2/[^/]+/streams/?", "/v2/{project_id}/streams"),
    ("GET|DELETE", r"/v2/[^/]+/streams/[^/]+/?", "/v2/{project_id}/streams/{stream_name}"),
    ("GET", r"/v3/?", "/v3"),
    ("GET", r"/v3/projects/?", "/v3/projects"),
    ("POST", r"/v3/auth/tokens/?", "/v3/auth/tokens"),
)


@pytest.mark.parametrize("capture", captures.load(), ids=str)
def test_reaches_its_operation(capture: captures.Capture) -> None:
    sent = capture.request
    path = sent.path.decode()
    expected = [
        template
        for methods, pattern, template in SERVED
        if re.fullmatch(methods, sent.method) and re.fullmatch(pattern, path)
    ]
    if expected:
        assert ROUTER.match(sent.method, sent.path).handler == expected[0]
        assert ROUTER.match(sent.method, b"/any/prefix" + sent.path).handler == expected[0]
    else:
        with pytest.raises(ApiError) as caught:
            ROUTER.match(sent.method, sent.path)
        assert caught.value.code in ("APIGW.0101", "APIGW.0104")


def test_most_captures_are_of_routes_that_are_served() -> None:
    """The test above is not one of refusals only."""
    served = 0
    for capture in captures.load():
        sent = capture.request
        try:
            ROUTER.match(sent.method, sent.path)
            served += 1
        except ApiError:
            pass
    assert served >= 60, served
