"""What every destination is to the rest: something that can be asked whether it takes a task. Owns the interface and what asking
needs everywhere: agencies of entries, time limits, HTTP; knows no destination.

A destination is resolved from the configuration and a task's descriptor (which may refuse: the cluster is not known, the agency
may not use it), then `check` really asks it. What delivers to it is a later method of the same classes.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from penstock.destinations import Destinations
from penstock.errors import ApiError
from penstock.model.validation import shown

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

log = structlog.get_logger("penstock.dump")


class Destination(Protocol):
    """One destination of one task."""

    async def check(self) -> None:
        """Ask it. Raises ApiError with the documented code when it is not there or does not take what the task would write."""


class Place:
    """Where things are and who asks: what resolving needs beside a descriptor. `data` is the server's data directory, `seconds`
    how long one question may take, `zone` the one that directories of times are in."""

    def __init__(
        self, destinations: Destinations, data: Path, seconds: float, account: str, zone: tzinfo = UTC
    ) -> None:
        self.destinations = destinations
        self.data = data
        self.seconds = seconds
        self.account = account
        self.zone = zone

    @property
    def request_seconds(self) -> float:
        """How long one request of a delivery may take."""
        return request_seconds(self.seconds)

    def admit(self, entry: object, agency: str) -> None:
        """DIS.4335 when an entry of the configuration is not for that agency."""
        admits = getattr(entry, "admits", None)
        if admits is not None and not admits(agency, self.account):
            raise ApiError("DIS.4335", f"[{shown(agency)} may not use this destination]")


def request_seconds(seconds: float) -> float:
    """How long one request of a delivery may take, where a question may take `seconds`: it carries records."""
    return 3 * seconds


@asynccontextmanager
async def within(seconds: float, code: str, what: str) -> AsyncIterator[None]:
    """What takes longer is refused with `code`: a destination that hangs is one that is not there."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise ApiError(code, f"[{what}: no answer within {seconds:g} seconds]") from error


@asynccontextmanager
async def http_client(seconds: float, code: str, what: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client for a few questions; a server that cannot be reached is refused with `code`."""
    httpx_: Any = await imported("httpx")
    trusted = await _authorities()
    try:
        async with (
            within(seconds, code, what),
            httpx_.AsyncClient(timeout=seconds, trust_env=False, verify=trusted) as client,
        ):
            yield client
    except (httpx_.HTTPError, httpx_.InvalidURL) as error:
        log.warning("destination not reached", what=what, reason=repr(error))
        raise ApiError(code, f"[{what}: not reachable]") from error


async def _authorities() -> ssl.SSLContext:
    """Who is trusted, read once: reading them takes longer than asking."""
    if not _trusted:
        httpx_: Any = await imported("httpx")
        _trusted.append(await asyncio.to_thread(httpx_.create_ssl_context))
    return _trusted[0]


_trusted: list[ssl.SSLContext] = []


async def imported(module: str) -> Any:
    """A library that only those need who dump: imported when the first of them asks, beside the event loop."""
    return await asyncio.to_thread(importlib.import_module, module)
