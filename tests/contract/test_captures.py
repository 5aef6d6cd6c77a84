"""Every request official clients were seen to send verifies as sent, and not with anything changed (clients.md 2)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.support.captures import Capture, load
from tests.support.identity import make_identity

from penstock.clock import SteppedClock
from penstock.errors import ApiError
from penstock.iam.authenticator import RequestAuthenticator
from penstock.iam.base import SentRequest

SIGNED = [capture for capture in load() if capture.signed]


class Server:
    """An authenticator whose clock is set to when a request was signed."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.identity = asyncio.run(make_identity(clock=self.clock))

    def authenticate(self, request: SentRequest, at_ms: int) -> str:
        """The user's name, or the code of the refusal."""
        self.clock.set_wall(at_ms)
        self.clock.advance(61)  # failures of other tests do not count
        self.clock.set_wall(at_ms)
        try:
            return RequestAuthenticator(self.identity).authenticate(request).user_name
        except ApiError as error:
            return error.code


@pytest.fixture(scope="module")
def server() -> Server:
    return Server()


def test_the_vectors_are_all_there() -> None:
    counts = Counter(capture.authentication for capture in load())
    assert counts == {"access": 37, "scoped": 62, "derived": 26, "token": 24, "none": 2}


@pytest.mark.parametrize("capture", SIGNED, ids=str)
def test_verifies_as_sent(server: Server, capture: Capture) -> None:
    assert server.authenticate(capture.request, capture.sent_ms) == "user1"


def _changed(request: SentRequest, **fields: Any) -> SentRequest:
    """Another request; what was worked out of this one's headers and body does not belong to it."""
    return msgspec.structs.replace(request, named=None, body_hash="", **fields)


def _replace_header(request: SentRequest, name: bytes, value: bytes) -> SentRequest:
    headers = [(key, value if key == name else old) for key, old in request.headers]
    return _changed(request, headers=headers)


def _signed_names(capture: Capture) -> list[str]:
    return capture.header("authorization").partition("SignedHeaders=")[2].partition(",")[0].split(";")


def _flip(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def _method(capture: Capture) -> list[SentRequest]:
    other = "PUT" if capture.request.method != "PUT" else "DELETE"
    return [_changed(capture.request, method=other)]


def _path(capture: Capture) -> list[SentRequest]:
    path = capture.request.path
    return [
        _changed(capture.request, path=changed)
        for changed in (path.rstrip(b"/") + b"x", b"/prefix" + path, path.replace(b"/v", b"/V", 1), b"/")
    ]


def _query(capture: Capture) -> list[SentRequest]:
    query = capture.request.query
    changed = [query + b"&zz=1", query + b"&zz", query + b"&zz=%20", *([b""] if query.strip(b"&") else [])]
    return [_changed(capture.request, query=text) for text in changed]


def _headers(capture: Capture) -> list[SentRequest]:
    request = capture.request
    changed = []
    for name in _signed_names(capture):
        value = capture.header(name)
        altered = _flip(value) if name == "x-sdk-date" else value + "x"
        changed.append(_replace_header(request, name.encode(), altered.encode()))
        without = [(key, old) for key, old in request.headers if key != name.encode()]
        changed.append(_changed(request, headers=without))
        twice = [*request.headers, (name.encode(), value.encode())]
        changed.append(_changed(request, headers=twice))
    return changed


def _body(capture: Capture) -> list[SentRequest]:
    body = capture.request.body
    changed = [body + b" ", bytes([body[0] ^ 1]) + body[1:] if body else b"{}"]
    requests = [_changed(capture.request, body=text) for text in changed]
    # A header that says the body is not signed does not make it so.
    unsigned = [*capture.request.headers, (b"x-sdk-content-sha256", b"UNSIGNED-PAYLOAD")]
    return [*requests, _changed(requests[0], headers=unsigned)]


def _signature(capture: Capture) -> list[SentRequest]:
    value = capture.header("authorization")
    changed = [_flip(value), value[:-1], value + "0", value.rpartition("=")[0] + "=" + "0" * 64]
    changed += [value.replace("AKEXAMPLE", "AKOTHER"), value.replace("AKEXAMPLE", "AKNOBODY")]
    changed += [
        value.replace("x-sdk-date", "user-agent"),
        value.replace("SignedHeaders=", "SignedHeaders=a;"),
    ]
    if "Credential=" in value:
        changed += [value.replace("/dis/", "/obs/"), value.replace("/region1/", "/region2/")]
        changed += [value.replace("/2026", "/2025"), value.replace("/sdk_request", "")]
    return [_replace_header(capture.request, b"authorization", text.encode()) for text in changed]


ALTERATIONS: dict[str, Callable[[Capture], list[SentRequest]]] = {
    "method": _method,
    "path": _path,
    "query": _query,
    "headers": _headers,
    "body": _body,
    "signature": _signature,
}


@pytest.mark.parametrize("part", ALTERATIONS)
@pytest.mark.parametrize("capture", SIGNED, ids=str)
def test_fails_with_a_part_changed(server: Server, capture: Capture, part: str) -> None:
    for request in ALTERATIONS[part](capture):
        assert server.authenticate(request, capture.sent_ms) == "APIGW.0301", request


@pytest.mark.parametrize("capture", SIGNED, ids=str)
def test_fails_sixteen_minutes_from_its_date(server: Server, capture: Capture) -> None:
    for minutes, expected in ((-16, "APIGW.0301"), (-15, "user1"), (15, "user1"), (16, "APIGW.0301")):
        assert server.authenticate(capture.request, capture.sent_ms + minutes * 60_000) == expected, minutes


@pytest.mark.parametrize("capture", [capture for capture in load() if not capture.signed], ids=str)
def test_made_up_tokens_and_nothing_at_all_are_refused(server: Server, capture: Capture) -> None:
    assert server.authenticate(capture.request, 1_790_000_000_000) == "APIGW.0301"
