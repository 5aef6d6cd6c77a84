"""Self-contained tokens: what a token says and how it is written and checked. No I/O.

Owns the text of a token; knows no users. A token is `pst1.PAYLOAD.MAC`, base64url without padding: the payload is
Claims as a MessagePack array, the MAC is HMAC-SHA256 over the text before it under a key the catalog keeps, so
tokens survive restarts and every node on the same catalog takes them. Under 1 KB.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from penstock.iam.refused import Refused

TOKEN_BYTES = 1024

PREFIX = b"pst1."
_MAC_TEXT = 43


class Claims(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a token says. At most one of `project_id` and `domain_scope` is set; neither: unscoped."""

    user_id: str
    domain_id: str
    project_id: str | None
    domain_scope: bool
    methods: tuple[str, ...]
    issued_ms: int
    expires_ms: int
    audit_id: str
    """Random: two tokens issued in one millisecond differ."""
    epoch: int = 0
    """The user's, when it was made: a higher one since ends it."""
    chain: str = ""
    """Audit id of the first token this one comes from; empty for a first one."""
    agency_id: str = ""
    """In whose name, and at which epoch of the agency; `domain_id` is then the agency's account, `user_id` whoever took it over."""
    agency_epoch: int = 0


class Tokens:
    """Writes and checks tokens under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"penstock token 1", hashlib.sha256)

    def write(self, claims: Claims) -> str:
        """The token's text, safe in a header."""
        text = PREFIX + _encode(msgspec.msgpack.encode(claims))
        return (text + b"." + self._mac(text)).decode()

    def read(self, token: bytes, *, now_ms: int, skew_seconds: int) -> Claims:
        """What a token says. Raises Refused when it is not of this server, has expired, or was issued later than
        `skew_seconds` from now (a clock went back: fail closed)."""
        text, _, mac = token.rpartition(b".")
        if not token.startswith(PREFIX) or len(token) > TOKEN_BYTES or len(mac) != _MAC_TEXT:
            raise Refused("X-Auth-Token is not a token of this server")
        # Compared as text: no second spelling of the same bytes passes.
        if not hmac.compare_digest(mac, self._mac(text)):
            raise Refused("X-Auth-Token is not a token of this server")
        try:
            claims = msgspec.msgpack.decode(_decode(text[len(PREFIX) :]), type=Claims)
        except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
            raise Refused("X-Auth-Token is of another release") from error
        check_time(claims, now_ms=now_ms, skew_seconds=skew_seconds)
        return claims

    def _mac(self, text: bytes) -> bytes:
        return _encode(hmac.digest(self._key, text, hashlib.sha256))


def check_time(claims: Claims, *, now_ms: int, skew_seconds: int) -> None:
    """Raises Refused when a token is not valid now."""
    if now_ms >= claims.expires_ms:
        raise Refused("X-Auth-Token has expired", counts=False)
    if claims.issued_ms - now_ms > skew_seconds * 1000:
        raise Refused("X-Auth-Token was issued in the future: the server's clock went back", counts=False)


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
