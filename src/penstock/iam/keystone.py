"""Tokens of an external Keystone: who they stand for. Owns asking it, and what it said a short while ago; knows no requests.

What is kept is bounded and under a digest of the token. Unlike tokens of this server, one that is revoked there is believed until
`cache_seconds` have passed.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from datetime import datetime
from typing import Any, NamedTuple

import httpx
import structlog

from penstock.clock import Clock
from penstock.errors import ApiError
from penstock.external import External
from penstock.iam.base import Principal
from penstock.iam.refused import Refused
from penstock.iam.store import Store

OWNER_ROLES = frozenset({"admin", "te_admin"})
"""Who has one of these may do everything of DIS in the project."""

_KEPT = 4096
_TOKEN_BYTES = 8192
_TOKEN = re.compile(rb"[!-~]+")
_REFUSED_SECONDS = 5.0
_AT_ONCE = 16
_log = structlog.get_logger("penstock.iam")


class _Answer(NamedTuple):
    until_ms: int
    principal: Principal | None


class Keystone:
    """Asks one Keystone. Used on the event loop that made it."""

    def __init__(
        self,
        external: External,
        store: Store,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._external = external
        self._store = store
        self._clock = clock
        self._answers: dict[bytes, _Answer] = {}
        self._asking: dict[bytes, asyncio.Task[Principal | None]] = {}
        self._own = ""
        self._turn = asyncio.Semaphore(_AT_ONCE)
        context = ssl.create_default_context(cafile=external.cacert) if external.cacert else True
        self._http = httpx.AsyncClient(
            timeout=external.timeout_seconds, verify=context, trust_env=False, transport=transport
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def principal(self, token: bytes) -> Principal:
        """Who a token stands for. Raises Refused when Keystone says it does not hold, ApiError APIGW.0203 (503) when it cannot be
        asked."""
        if len(token) > _TOKEN_BYTES or not _TOKEN.fullmatch(token):
            raise Refused("X-Auth-Token is not a token of this server, nor of Keystone")
        key = hashlib.blake2b(token, digest_size=32).digest()
        kept, now = self._answers.get(key), self._clock.now_ms()
        if kept is None or now >= kept.until_ms:
            # One question for all who ask at once; one of them going away ends it for nobody else.
            task = self._asking.get(key)
            if task is None:
                if len(self._asking) >= _KEPT:
                    raise ApiError("APIGW.0203", "[too many tokens to ask Keystone about]")
                task = self._asking[key] = asyncio.create_task(self._ask(key, token))
                task.add_done_callback(lambda _: self._asking.pop(key, None))
            found = await asyncio.shield(task)
        else:
            found = kept.principal
        if found is None:
            raise Refused("X-Auth-Token is not a token of this server, nor of Keystone")
        local = self._store
        if (
            found.project_id in local.projects
            or found.domain_id in local.domains
            or found.user_id in local.users
        ):
            raise Refused("X-Auth-Token names somebody of this server by the same id", counts=False)
        return found

    async def _ask(self, key: bytes, token: bytes) -> Principal | None:
        async with self._turn:
            try:
                reply = await self._validate(token)
                found, ends_ms = self._read(reply) if reply is not None else (None, 0)
            except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
                _log.warning("keystone cannot be asked", reason=f"{type(error).__name__}: {error}"[:200])
                raise ApiError("APIGW.0203", "[Keystone cannot be asked whose token it is]") from error
        now = self._clock.now_ms()
        if found is not None and ends_ms <= now:
            found = None
        kept_ms = int((self._external.cache_seconds if found is not None else _REFUSED_SECONDS) * 1000)
        until = now + kept_ms if found is None else min(now + kept_ms, ends_ms)
        self._answers.pop(key, None)
        if len(self._answers) >= _KEPT:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = _Answer(until, found)
        return found

    async def _validate(self, token: bytes) -> Any:
        """What Keystone says of a token; None for one that does not hold. Its 401 is about our own token, its 404 about the other."""
        for attempt in range(2):
            if not self._own:
                self._own = await self._login()
            headers = {b"X-Auth-Token": self._own.encode("latin-1"), b"X-Subject-Token": token}
            reply = await self._http.get(
                f"{self._url}/auth/tokens", params={"nocatalog": "1"}, headers=headers
            )
            if reply.status_code == 401 and attempt == 0:
                self._own = ""
                continue
            if reply.status_code == 404:
                return None
            reply.raise_for_status()
            return reply.json()
        raise ValueError("Keystone refuses the token it gave")

    async def _login(self) -> str:
        external = self._external
        user = {
            "name": external.user,
            "password": external.password,
            "domain": {"name": external.user_domain},
        }
        scope = {"project": {"name": external.project, "domain": {"name": external.project_domain}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        reply = await self._http.post(
            f"{self._url}/auth/tokens?nocatalog", json={"auth": {"identity": identity, "scope": scope}}
        )
        reply.raise_for_status()
        return reply.headers["X-Subject-Token"]

    @property
    def _url(self) -> str:
        return self._external.keystone.rstrip("/")

    @staticmethod
    def _read(reply: Any) -> tuple[Principal, int]:
        token = reply["token"]
        user, project = token["user"], token.get("project")
        # The account is that of the project; a token that is for none opens none.
        domain = project["domain"] if project else user["domain"]
        roles = tuple(sorted({str(role["name"]) for role in token.get("roles") or ()}))
        ends = datetime.fromisoformat(token["expires_at"].replace("Z", "+00:00"))
        principal = Principal(
            user_id=str(user["id"]),
            user_name=str(user["name"]),
            domain_id=str(domain["id"]),
            domain_name=str(domain["name"]),
            project_id=str(project["id"]) if project else None,
            project_name=str(project["name"]) if project else None,
            owner=bool(project) and not OWNER_ROLES.isdisjoint(roles),
            external=True,
            roles=roles,
        )
        return principal, int(ends.timestamp() * 1000)
