"""Requests official clients really sent (clients.md 2), as vectors: `load()` gives them to tests that replay them.

One JSON object a line in tests/contract/vectors/*.jsonl: method, target, headers in order as [name, value], body in
hex. Signed ones use access key AKEXAMPLE and secret SKEXAMPLE at the time their X-Sdk-Date says; tokens are made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

from penstock.iam.base import SentRequest

ACCESS_KEY = "AKEXAMPLE"
SECRET_KEY = "SKEXAMPLE"
PROJECT_IDS = ("pid", "pid-from-iam")
"""Project ids in the vectors' paths and X-Project-Id headers."""
TOKEN = "tok"
"""The made-up token of the vectors that use one."""

VECTORS = Path(__file__).parent.parent / "contract" / "vectors"


class _Line(msgspec.Struct):
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str


class Capture(msgspec.Struct, frozen=True):
    """One captured request. `client` is the vector file, `number` counts from 1 in it; `authentication` is
    `access` (variant A), `scoped` (C), `derived` (D), `token` or `none`."""

    client: str
    number: int
    request: SentRequest
    authentication: str

    def header(self, name: str) -> str:
        """The first header of that lower-case name, or the empty string."""
        return next((value.decode() for key, value in self.request.headers if key == name.encode()), "")

    @property
    def signed(self) -> bool:
        return self.authentication in ("access", "scoped", "derived")

    @property
    def sent_ms(self) -> int:
        """When it was signed, milliseconds since the epoch."""
        moment = datetime.strptime(self.header("x-sdk-date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)

    @property
    def target(self) -> str:
        """Path and query as sent."""
        query = self.request.query
        return (self.request.path + (b"?" + query if query else b"")).decode()

    def __str__(self) -> str:
        return f"{self.client}:{self.number} {self.request.method} {self.target[:60]}"


def request(
    method: str,
    target: str | bytes,
    headers: list[tuple[str, str]] | None = None,
    body: bytes = b"",
    peer: str = "127.0.0.1",
) -> SentRequest:
    """A request as the HTTP server hands it on."""
    raw = target.encode() if isinstance(target, str) else target
    path, _, query = raw.partition(b"?")
    return SentRequest(
        method=method,
        path=path,
        query=query,
        headers=[(name.lower().encode(), value.encode("latin-1")) for name, value in headers or []],
        body=body,
        peer=peer,
    )


def _authentication(headers: list[tuple[str, str]]) -> str:
    named = {name.lower(): value for name, value in headers}
    value = named.get("authorization", "")
    if value:
        if " Access=" in value:
            return "access"
        return "derived" if value.startswith("V11") else "scoped"
    return "token" if "x-auth-token" in named else "none"


def _read(path: Path) -> Iterator[Capture]:
    for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
        line = msgspec.json.decode(text, type=_Line)
        sent = request(line.method, line.target, line.headers, bytes.fromhex(line.body))
        yield Capture(path.stem, number, sent, _authentication(line.headers))


@cache
def load() -> tuple[Capture, ...]:
    """All captured requests, in order."""
    return tuple(capture for path in sorted(VECTORS.glob("*.jsonl")) for capture in _read(path))
