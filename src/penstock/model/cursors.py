"""Cursors: where in a partition a client reads next. Owns their text and what is refused; knows no storage.

A cursor is base64url (no padding) of JSON, in the form the Kafka adapter decodes (clients.md section 4):

    {"getIteratorParam":{"stream-name":…,"stream-id":…,"partition-id":…,"cursor-type":…,
     "starting-sequence-number":"N","mac":"…"},"generateTimestamp":ms}

`mac` is HMAC-SHA256, cut to 128 bits, over the project id and everything else in the text; it is compared before the
JSON is read. The outer object carries no other keys: the adapter refuses unknown ones there.
"""

from __future__ import annotations

import hmac
from enum import StrEnum
from typing import NamedTuple

import msgspec
import pybase64

from penstock.errors import ApiError
from penstock.model.streams import partition_name

_MAC_BYTES = 16
_MAC_TEXT = 22
_ISSUED = 1024
_TIME_DIGITS = 13
_MIDDLE = b'"},"generateTimestamp":'
_TAIL = len(_MIDDLE) + _TIME_DIGITS + 1
_MAC_KEY = b',"mac":"'


class CursorType(StrEnum):
    """Where a new cursor points (5.4.3 table 5-76)."""

    AT_SEQUENCE_NUMBER = "AT_SEQUENCE_NUMBER"
    AFTER_SEQUENCE_NUMBER = "AFTER_SEQUENCE_NUMBER"
    TRIM_HORIZON = "TRIM_HORIZON"
    LATEST = "LATEST"
    AT_TIMESTAMP = "AT_TIMESTAMP"


class Cursor(NamedTuple):
    """A position: the next record read is `sequence`."""

    stream_name: str
    stream_id: str
    partition: int
    kind: CursorType
    sequence: int
    issued_ms: int


class _Param(msgspec.Struct, rename="kebab"):
    stream_name: str
    stream_id: str
    partition_id: str
    cursor_type: CursorType
    starting_sequence_number: str


class _Envelope(msgspec.Struct):
    getIteratorParam: _Param  # noqa: N815 - the wire's name
    generateTimestamp: int  # noqa: N815


_decoder = msgspec.json.Decoder(_Envelope)


class CursorCodec:
    """Writes and reads cursors under one secret key. `lifetime_ms` and `max_length` are the documented limits."""

    def __init__(self, key: bytes, *, lifetime_ms: int = 300_000, max_length: int = 512) -> None:
        if len(key) < 16:
            raise ValueError("a cursor key needs at least 16 bytes")
        self._key = key
        self._lifetime_ms = lifetime_ms
        self._max_length = max_length
        self._issued: dict[tuple[str, str], Cursor] = {}
        """The last texts that were written: most come back in the next request, and say what they said."""

    def encode(self, cursor: Cursor, project_id: str) -> str:
        """The text for a position, at most 512 characters of A-Z a-z 0-9 _ -."""
        head = (
            f'{{"getIteratorParam":{{"stream-name":"{cursor.stream_name}","stream-id":"{cursor.stream_id}",'
            f'"partition-id":"{partition_name(cursor.partition)}","cursor-type":"{cursor.kind}",'
            f'"starting-sequence-number":"{cursor.sequence}"'
        ).encode()
        tail = b"%b%013d}" % (_MIDDLE, cursor.issued_ms)
        text = b"".join((head, _MAC_KEY, self._mac(project_id, head, tail), tail))
        # Trailing spaces keep the length a multiple of three: no base64 bit is unused, so none can be flipped unseen.
        text += b" " * (-len(text) % 3)
        written = pybase64.b64encode(text, altchars=b"-_").decode()
        issued = self._issued
        if len(issued) >= _ISSUED:
            del issued[next(iter(issued))]
        issued[project_id, written] = cursor
        return written

    def decode(self, text: str, project_id: str, now_ms: int) -> Cursor:
        """The position a client sent back. DIS.4217 for anything this server did not issue to this project,
        DIS.4225 when it is older than five minutes."""
        cursor = self._issued.get((project_id, text)) or self._read(text, project_id)
        issued = cursor.issued_ms
        # A clock set back by more than a cursor's life makes it look young for ever: bound both sides.
        if not -self._lifetime_ms <= now_ms - issued <= self._lifetime_ms:
            raise ApiError("DIS.4225", f"[issued at {issued}, valid for {self._lifetime_ms // 1000} s]")
        return cursor

    def _read(self, text: str, project_id: str) -> Cursor:
        if not 1 <= len(text) <= self._max_length:
            raise ApiError(
                "DIS.4217", f"[partition-cursor: {len(text)} characters, 1 to {self._max_length} allowed]"
            )
        try:
            if "+" in text or "/" in text:
                raise ValueError
            raw = pybase64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            raise _forged() from None
        body = raw.rstrip(b" ")
        mac_at = len(body) - _TAIL - _MAC_TEXT
        head_end = mac_at - len(_MAC_KEY)
        if head_end <= 0 or len(raw) - len(body) > 2 or len(raw) % 3:
            raise _forged()
        expected = self._mac(project_id, body[:head_end], body[-_TAIL:])
        given = body[head_end : mac_at + _MAC_TEXT]
        if not hmac.compare_digest(given, _MAC_KEY + expected):
            raise _forged()
        try:
            envelope = _decoder.decode(body)
        except msgspec.MsgspecError:  # only a holder of the key gets here
            raise _forged() from None
        param = envelope.getIteratorParam
        return Cursor(
            param.stream_name,
            param.stream_id,
            int(param.partition_id[8:]),
            param.cursor_type,
            int(param.starting_sequence_number),
            envelope.generateTimestamp,
        )

    def _mac(self, project_id: str, head: bytes, tail: bytes) -> bytes:
        message = b"".join((project_id.encode(), b"\n", head, b"\n", tail))
        digest = hmac.digest(self._key, message, "sha256")[:_MAC_BYTES]
        return pybase64.b64encode(digest, altchars=b"-_")[:_MAC_TEXT]


def _forged() -> ApiError:
    return ApiError("DIS.4217", "[partition-cursor: not one this service issued for this project]")
