"""Why a request is not believed. Owns the exception the pure checks of this package raise; knows no error codes:
authenticator.py and identity.py turn it into what a client is told.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from penstock.errors import ApiError
from penstock.iam.base import Principal


class Refused(Exception):
    """`reason` is told to the client: it names the part that is wrong and never a secret, a computed signature or
    whether a key exists. `counts` is False when the failure proves to be no guess (an expired token of ours)."""

    def __init__(self, reason: str, *, counts: bool = True) -> None:
        self.reason = reason
        self.counts = counts
        super().__init__(reason)


class Foreign(Exception):
    """The token may be one of an external Keystone. Whoever catches it awaits `ask`, which says who it stands for or raises what
    authentication does."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Principal]]) -> None:
        super().__init__()
        self.ask = ask


class Failed(ApiError):
    """APIGW.0301 for a failure that counts and has not been counted: `peer` and `key` are what it counts under."""

    def __init__(self, refused: Refused, peer: str, key: str) -> None:
        super().__init__("APIGW.0301", f"[{refused.reason}]")
        self.peer = peer
        self.key = key
