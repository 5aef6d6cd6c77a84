"""The engine: a runner for each task that is assigned. Owns the runners and what they share; what a task goes through is
`dump.runner`'s, who assigns is `dump.coordinator`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path

import structlog

from penstock.clock import Clock
from penstock.destinations import Destinations
from penstock.dump.base import Sink, Store
from penstock.dump.core import Assigned, Core
from penstock.dump.destinations.base import Place
from penstock.dump.destinations.obs import Bucket
from penstock.dump.runner import Budget, Runner, Tools
from penstock.dump.sinks import open_sink

MEMORY_BYTES = 256 << 20
"""Records of all rounds at work."""

_log = structlog.get_logger("penstock.dump")


def _nobody_dies(point: str) -> None:
    """Not a test."""


class Engine:
    """Delivers what is assigned. `data` is the server's data directory, `seconds` how long a destination may take to answer."""

    def __init__(
        self,
        core: Core,
        clock: Clock,
        destinations: Destinations,
        data: Path,
        *,
        seconds: float,
        zone: tzinfo,
        reached: Callable[[str], None] = _nobody_dies,
    ) -> None:
        self._destinations = destinations
        self._data = data
        self._seconds = seconds
        self._zone = zone
        self._runners: dict[str, Runner] = {}
        self._changing: dict[str, asyncio.Task[None]] = {}
        """Task id -> the last change of it that was asked for, which waits for the one before."""
        self._tools = Tools(
            core=core,
            clock=clock,
            zone=zone,
            budget=Budget(MEMORY_BYTES),
            open_sink=self._open_sink,
            open_store=self._open_store,
            reached=reached,
        )

    def __repr__(self) -> str:
        return f"<Engine, {len(self._runners)} tasks>"

    def assign(self, assigned: Assigned) -> None:
        """Deliver this task from now on, in place of what it was before."""
        self._change(assigned.task.task_id, assigned)

    def drop(self, task_id: str) -> None:
        """Deliver it no more."""
        self._change(task_id, None)

    def _change(self, task_id: str, assigned: Assigned | None) -> None:
        before = self._changing.get(task_id)
        change = asyncio.create_task(self._changed(task_id, assigned, before))
        self._changing[task_id] = change

        def done(finished: asyncio.Task[None]) -> None:
            if self._changing.get(task_id) is finished:
                del self._changing[task_id]

        change.add_done_callback(done)

    async def _changed(
        self, task_id: str, assigned: Assigned | None, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        runner = self._runners.pop(task_id, None)
        if runner is not None:
            await runner.stop()
        if assigned is not None:
            self._runners[task_id] = Runner(assigned, self._tools)

    async def settle(self) -> None:
        """Return when everything that is due by the clock has been delivered, or has failed once more."""
        while self._changing:
            await asyncio.wait(list(self._changing.values()))
        await asyncio.gather(*(runner.settle() for runner in self._runners.values()))

    async def close(self) -> None:
        """End all runners; what they had begun is repeated by whoever is assigned next."""
        while self._changing:
            await asyncio.wait(list(self._changing.values()))
        runners, self._runners = list(self._runners.values()), {}
        await asyncio.gather(*(runner.stop() for runner in runners))

    def _place(self, assigned: Assigned) -> Place:
        return Place(self._destinations, self._data, self._seconds, assigned.task.account, self._zone)

    def _open_sink(self, assigned: Assigned) -> Sink:
        return open_sink(self._place(assigned), assigned.task, assigned.stream, assigned.password)

    def _open_store(self, assigned: Assigned) -> Store | None:
        from penstock.dump.stores.buckets import open_bucket

        name = assigned.task.descriptor.bucket
        if not name:
            return None
        return open_bucket(Bucket.resolve(self._place(assigned), name, assigned.task.descriptor.agency_name))
