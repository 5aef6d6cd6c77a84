"""One request after authentication, and its reply, as the hot operations see them. Owns those types and the reading
of queries and paths; knows no operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from penstock.errors import ApiError
from penstock.iam.base import Principal, SentRequest

JSON = "application/json; charset=utf-8"
"""Every JSON reply carries it: the Java client refuses a reply without a type (clients.md 0)."""
PROTOBUF_PREFIX = "application/x-protobuf"
"""How the content type begins of a request whose body, or reply, is protobuf."""


class Response(NamedTuple):
    """What goes back. `content_type` None goes with an empty body."""

    status: int
    content_type: str | None = None
    body: bytes | list[bytes] = b""
    """A list is the body in pieces: records on their way out are not copied together."""
    headers: tuple[tuple[str, str], ...] = ()

    def joined(self) -> bytes:
        """The body in one piece."""
        return self.body if isinstance(self.body, bytes) else b"".join(self.body)


class Exchange(msgspec.Struct, kw_only=True, gc=False):
    """A request whose sender is known and whose body is inflated. `content_type` is lower case."""

    sent: SentRequest
    principal: Principal
    project_id: str
    query: Mapping[str, str]
    body: bytes
    content_type: str

    def take_body(self) -> bytes:
        """The body, which is let go of here: requests that wait for the disk hold what they store and nothing else."""
        body, self.body = self.body, b""
        self.sent.body = b""
        return body


def unescape(raw: bytes, what: str) -> str:
    """Percent-decoded text; `+` stays (Java sends it raw). 400 for what is not UTF-8."""
    try:
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError:
        raise ApiError("APIGW.0106", f"[{what} is not UTF-8]") from None


def parse_query(raw: bytes) -> dict[str, str]:
    """The last value of each parameter; empty pieces, bare names and empty values are absent (clients.md 0)."""
    found: dict[str, str] = {}
    if b"%" not in raw and raw.isascii():
        for pair in raw.decode().split("&"):
            plain, _, text = pair.partition("=")
            if text:
                found[plain] = text
        return found
    for piece in raw.split(b"&"):
        name, _, value = piece.partition(b"=")
        if value:
            found[unescape(name, "a query name")] = unescape(value, "a query value")
    return found


def header(sent: SentRequest, name: bytes) -> str:
    """The first header of that lower-case name, or the empty string."""
    value = sent.first().get(name)
    return value.decode("latin-1") if value else ""
