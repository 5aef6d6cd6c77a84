"""Password hashes: argon2id, off the event loop, a bounded number at once.

Owns the parameters and the constant amount of work; knows nothing of users.
"""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from penstock.errors import ApiError

PASSWORD_BYTES = 1024
"""Longest password, UTF-8."""

_AT_ONCE = 2
"""Verifications in parallel: each takes 19 MiB and some 20 ms of a core that puts and gets want too."""
_WAITING = 64
"""Verifications waiting for their turn; more are turned away."""


class Passwords:
    """Hashes and verifies. Every verification costs the same, whether or not there is such a user."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """The argon2 hash to store."""
        return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one hashed in `stored`; None is a user that does not exist. Raises ApiError
        APIGW.0203 when too many verifications are waiting."""
        if self._waiting >= _WAITING:
            raise ApiError("APIGW.0203", "[too many logins at once]")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(self._verify, stored, password)
        finally:
            self._waiting -= 1

    def _verify(self, stored: str | None, password: str) -> bool:
        if not self._nobody:
            self._nobody = self._hasher.hash(secrets.token_urlsafe(16))
        short = len(password.encode("utf-8", "surrogatepass")) <= PASSWORD_BYTES
        try:
            self._hasher.verify(stored or self._nobody, password if short else "")
        except (Argon2Error, InvalidHashError, UnicodeError):
            return False
        return stored is not None and short
