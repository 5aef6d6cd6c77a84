"""A job that runs every so often until it is stopped. Owns the loop; knows nothing of what runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

_log = structlog.get_logger("penstock.jobs")


class Periodic:
    """Runs `work`, waits `interval` seconds, again. A run that fails is logged and the next one comes all the same."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], interval: float) -> None:
        assert interval > 0
        self.name = name
        self._work = work
        self._interval = interval
        self._task: asyncio.Task[None] | None = None
        self._running = asyncio.Lock()

    def __repr__(self) -> str:
        state = "running" if self._task is not None and not self._task.done() else "stopped"
        return f"<Periodic {self.name}, every {self._interval:g} s, {state}>"

    def start(self) -> None:
        """Begin with a first run at once."""
        assert self._task is None, "started twice"
        self._task = asyncio.create_task(self.run(), name=self.name)

    async def stop(self) -> None:
        """Interrupt it and wait until it has ended."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def run(self) -> None:
        """The loop itself, for who keeps its own tasks; ends only by being cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(self._interval)

    async def run_once(self) -> None:
        """One run, now; after the one that is going on, if there is one."""
        async with self._running:
            try:
                await self._work()
            except Exception:
                _log.exception("job failed, will run again", job=self.name)
