"""The access log: one JSON line for each request. Owns its form and its file; knows no operation.

Names, never values: what a client put into a field may be anything. The file is only appended to, a line at a time, so several
processes share one and `copytruncate` rotates it.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.http.exchange import Response, header, parse_query
from penstock.iam.base import SentRequest

_ACCESS_KEY = re.compile(r"(?:Access|Credential)=([A-Za-z0-9_-]{1,128})")
_CODE = re.compile(rb'"(?:errorCode|error_code)":"([A-Z]+\.\d{4})"')
_DEPTH = 5
_FIELDS = 200
"""How deep into a body names are noted, and how many."""


class AccessLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One request."""

    time: int
    """Milliseconds since the epoch, when the reply was ready."""
    request_id: str
    peer: str
    key: str
    """The access key that signed it, `token`, or nothing."""
    agent: str
    method: str
    path: str
    route: str
    """The path's template; empty when there is none for it."""
    status: int
    bytes_in: int
    bytes_out: int
    ms: float
    codes: list[str] = []
    """Error codes of the reply, those of single records too."""
    fields: list[str] = []
    """With `access_log_fields`: names in the query and in the body, such as `?limit` and `records[].data`."""
    replied: list[str] = []
    """With `access_log_fields`: names in the reply."""


class AccessLog:
    """Appends to `path`, or writes to standard error for `-`."""

    def __init__(self, path: Path, *, fields: bool) -> None:
        self._fields = fields
        if str(path) == "-":
            self._file = sys.stderr.fileno()
        else:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def names(self, sent: SentRequest, body: bytes) -> list[str]:
        """The names of a request's fields, when they are wanted. `body` is inflated."""
        if not self._fields:
            return []
        names: dict[str, None] = {}
        with contextlib.suppress(Exception):  # a body that is no JSON has no names
            names |= dict.fromkeys(f"?{name}" for name in parse_query(sent.query))
            if header(sent, b"content-type").lower().startswith("application/x-protobuf"):
                names["protobuf"] = None
            elif body:
                names |= dict.fromkeys(_names(msgspec.json.decode(body), "", _DEPTH))
        return list(names)[:_FIELDS]

    def _replied(self, response: Response, body: bytes) -> list[str]:
        if not self._fields or not body or not (response.content_type or "").startswith("application/json"):
            return []
        return list(dict.fromkeys(_names(msgspec.json.decode(body), "", _DEPTH)))[:_FIELDS]

    def write(
        self,
        sent: SentRequest,
        response: Response,
        *,
        route: str,
        request_id: str,
        now_ms: int,
        seconds: float,
        bytes_in: int,
        names: list[str],
    ) -> None:
        """Note a request and its reply."""
        body = response.joined()
        codes = sorted({code.decode() for code in _CODE.findall(body)}) if _failed(response, body) else []
        agent = header(sent, b"user-agent")
        if version := header(sent, b"x-sdk-version"):
            agent = f"{agent} X-SDK-Version/{version}".strip()
        line = AccessLine(
            time=now_ms,
            request_id=request_id,
            peer=sent.peer,
            key=_key(sent),
            agent=agent[:200],
            method=sent.method,
            path=sent.path[:500].decode("latin-1"),
            route=route,
            status=response.status,
            bytes_in=bytes_in,
            bytes_out=len(body),
            ms=round(seconds * 1000, 3),
            codes=codes,
            fields=names,
            replied=self._replied(response, body),
        )
        # A log that cannot be written stops no request.
        with contextlib.suppress(OSError):
            os.write(self._file, msgspec.json.encode(line) + b"\n")


def _failed(response: Response, body: bytes) -> bool:
    return response.status >= 400 or (body.startswith(b'{"failed_record_count":') and body[23:25] != b"0,")


def _key(sent: SentRequest) -> str:
    if header(sent, b"x-auth-token"):
        return "token"
    match = _ACCESS_KEY.search(header(sent, b"authorization"))
    return match[1] if match else ""


def _names(value: Any, where: str, depth: int) -> Iterable[str]:
    """Dotted names; `[]` stands for every element of a list."""
    if isinstance(value, Mapping) and depth:
        for name, inner in value.items():
            at = f"{where}.{name}" if where else str(name)
            yield at
            yield from _names(inner, at, depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value[:100]:
            yield from _names(inner, f"{where}[]", depth - 1)
