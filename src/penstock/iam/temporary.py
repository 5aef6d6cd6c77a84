"""Temporary access keys: what one says and how its security token is written and read. No I/O.

Owns the text of a security token; knows no users. It is `pss1.` and base64url without padding of a nonce (12 bytes) and the
AES-256-GCM ciphertext of Session as a MessagePack array. The secret is inside, so nothing is kept: however many are made,
every process and every node on the same catalog can check a signature made with one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from penstock.iam.names import new_access_key
from penstock.iam.refused import Refused

TOKEN_BYTES = 8192

_PREFIX = b"pss1."
_KEY_PREFIX = "HST"
_NONCE = 12
_PURPOSE = b"penstock temporary key 1"


class Session(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A temporary access key and who it stands for."""

    access_key: str
    secret: str
    user_id: str
    epoch: int
    """The user's, when it was made: a higher one since ends it."""
    made_with: str
    """`token:AUDIT_ID` of the first token, or `key:ACCESS_KEY`: what it ends with."""
    issued_ms: int
    expires_ms: int
    agency_id: str = ""
    """In whose name, and at which epoch of the agency; empty for the user himself."""
    agency_epoch: int = 0
    policy: str = ""
    """A policy that has to allow everything too, JSON."""


def temporary_access_key() -> str:
    """20 capital letters and digits, recognizable."""
    return _KEY_PREFIX + new_access_key()[len(_KEY_PREFIX) :]


class SecurityTokens:
    """Writes and reads security tokens under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = AESGCM(hmac.digest(key, _PURPOSE, hashlib.sha256))

    def write(self, session: Session) -> str:
        """The token's text, safe in a header."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._key.encrypt(nonce, msgspec.msgpack.encode(session), _PURPOSE)
        return (_PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=")).decode()

    def read(self, token: bytes) -> Session:
        """What a token says, whenever it ends. Raises Refused when it is not of this server."""
        if not token.startswith(_PREFIX) or len(token) > TOKEN_BYTES:
            raise Refused("X-Security-Token was not issued by this server")
        text = token[len(_PREFIX) :]
        try:
            sealed = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            opened = self._key.decrypt(sealed[:_NONCE], sealed[_NONCE:], _PURPOSE)
            return msgspec.msgpack.decode(opened, type=Session)
        except (InvalidTag, binascii.Error, ValueError, msgspec.MsgspecError) as error:
            raise Refused("X-Security-Token was not issued by this server") from error


def check_time(session: Session, *, now_ms: int, skew_seconds: int) -> None:
    """Raises Refused when a temporary key is not valid now."""
    if now_ms >= session.expires_ms:
        raise Refused("X-Security-Token has expired", counts=False)
    if session.issued_ms - now_ms > skew_seconds * 1000:
        raise Refused("X-Security-Token was issued in the future: the server's clock went back", counts=False)
