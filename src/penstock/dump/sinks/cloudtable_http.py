"""HTTP to a server of a CloudTable cluster, and several requests at once. Owns that whatever goes wrong on the way is NotDelivered;
knows neither HBase nor OpenTSDB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import httpx

from penstock.dump.base import NotDelivered
from penstock.dump.decoding import reason

SECONDS = 30.0
"""How long one request may take. HBase's REST server itself gives up after minutes on an HBase that is gone."""
IN_FLIGHT = 4
"""Requests at once."""

J = TypeVar("J")


class Server:
    """One server, called `what` in messages; `root` is the URL its paths begin with."""

    def __init__(self, what: str, root: str, seconds: float) -> None:
        self._what = what
        self._root = root.rstrip("/")
        self._seconds = seconds
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Server {self._what}>"

    async def request(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        seconds: float | None = None,
    ) -> httpx.Response:
        """An answer, whatever its status. Raises NotDelivered when there is none within the time (`seconds`, if other than usual)."""
        seconds = seconds or self._seconds
        client = await self._opened()
        try:
            async with asyncio.timeout(seconds):
                return await client.request(method, self._root + path, content=content, headers=headers)
        except TimeoutError as error:
            raise NotDelivered(f"{self._what} does not answer within {seconds:g} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotDelivered(f"{self._what} is not reachable: {said(error)}") from error

    async def _opened(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                # Reading the certificates of authorities takes longer than a request.
                trusted = await asyncio.to_thread(httpx.create_ssl_context)
                limits = httpx.Limits(max_connections=IN_FLIGHT + 1, keepalive_expiry=60)
                self._client = httpx.AsyncClient(
                    timeout=None,  # noqa: S113 - `request` has the time of a whole request
                    trust_env=False,
                    verify=trusted,
                    limits=limits,
                )
        return self._client

    async def close(self) -> None:
        """Give back connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def said(error: Exception) -> str:
    """What went wrong, without addresses: those may have passwords in them."""
    return reason(error) if isinstance(error, httpx.TransportError) and str(error) else type(error).__name__


async def at_once(jobs: Iterator[J], work: Callable[[J], Awaitable[None]]) -> None:
    """Work on all jobs, up to IN_FLIGHT of them at once, begun in order. The first failure ends the others and is raised."""

    async def worker() -> None:
        for job in jobs:
            await work(job)

    # No TaskGroup: on Pythons before 3.11.4 one that failed leaves its task half cancelled, and the next time limit ends the task.
    workers = [asyncio.create_task(worker()) for _ in range(IN_FLIGHT)]
    try:
        done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for one in workers:
        if one in done:
            one.result()
