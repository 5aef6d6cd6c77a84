"""Runs of dump tasks: who delivers a task now, and the round it is at. Owns leases and plans, in the catalog and in memory, and that
only the holder of a lease changes anything; knows no destination and no schedule.

A lease is taken for LEASE_SECONDS and renewed while its holder lives. Taking it, also by the holder again, counts its epoch up: what
was begun under an earlier one is refused. Every write names the lease as it must be, so a holder that slept too long changes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import msgspec

from penstock.catalog.base import Catalog, Change, Exists, Expect, Insert, Missing, Put, Remove, Replace
from penstock.catalog.tables.tasks import LEASES, PLANS
from penstock.clock import Clock
from penstock.model.dumps import Lease, Plan
from penstock.model.tasks import Task, TaskPosition
from penstock.service.task_directory import Tasks

LEASE_SECONDS = 60.0


class NotOurs(Exception):
    """The task is run by somebody else now, or nobody runs it any more: what was asked for did not happen."""


class TaskRuns:
    """Leases and plans of all tasks. `owner` names this server among those that share the catalog, over restarts."""

    def __init__(self, catalog: Catalog, tasks: Tasks, clock: Clock, owner: str) -> None:
        self._catalog = catalog
        self._tasks = tasks
        self._clock = clock
        self._owner = owner
        self._leases: dict[str, Lease] = {}
        """Those that are held here."""
        self._plans: dict[str, Plan] = {}
        self.guarantees: dict[str, str] = {}
        """What deliveries of a task have turned out to be worth (`exactly once` and so on), once one was made."""
        tasks.on_change(self._task_changed)

    def __repr__(self) -> str:
        return f"<TaskRuns of {self._owner}: {len(self._leases)} leases, {len(self._plans)} plans>"

    @classmethod
    async def open(cls, catalog: Catalog, tasks: Tasks, clock: Clock, owner: str) -> Self:
        """Nothing is held yet."""
        runs = cls(catalog, tasks, clock, owner)
        for plan in await catalog.select(PLANS):
            runs._plans[plan.task_id] = plan
        return runs

    def plan(self, task_id: str) -> Plan | None:
        """The round that was planned and not committed; what another server does shows when the lease is taken."""
        return self._plans.get(task_id)

    def held(self) -> list[str]:
        """Ids of the tasks whose leases are held."""
        return list(self._leases)

    # Leases

    async def take(self, task_id: str) -> Lease | None:
        """The lease of a task, under a new epoch; None when another server has it, or the task is gone."""
        now = self._clock.now_ms()
        known = await self._catalog.find(LEASES, task_id=task_id)
        if known is not None and known.owner != self._owner and known.until_ms > now:
            return None
        epoch = 1 if known is None else known.epoch + 1
        lease = Lease(task_id=task_id, owner=self._owner, epoch=epoch, until_ms=self._until())
        changes: tuple[Change, ...] = (
            (Insert(LEASES, lease),) if known is None else (Expect(LEASES, known), Replace(LEASES, lease))
        )
        try:
            await self._catalog.apply(*changes)
        except (Exists, Missing):
            return None
        plan = await self._catalog.find(PLANS, task_id=task_id)
        if self._tasks.by_id(task_id) is None:
            return None
        self._leases[task_id] = lease
        if plan is None:
            self._plans.pop(task_id, None)
        else:
            self._plans[task_id] = plan
        return lease

    async def renew(self) -> list[str]:
        """Keep what is held; ids of the tasks that were lost."""
        lost = []
        for task_id, lease in list(self._leases.items()):
            renewed = msgspec.structs.replace(lease, until_ms=self._until())
            try:
                await self._catalog.apply(Expect(LEASES, lease), Replace(LEASES, renewed))
            except Missing:
                if self._leases.get(task_id) == lease:
                    del self._leases[task_id]
                    lost.append(task_id)
                continue
            if self._leases.get(task_id) == lease:
                self._leases[task_id] = renewed
        return lost

    def release(self, task_id: str) -> None:
        """Deliver it no more: calls under the lease are refused from now on. It runs out by itself."""
        self._leases.pop(task_id, None)

    def _until(self) -> int:
        return self._clock.now_ms() + round(LEASE_SECONDS * 1000)

    def _lease(self, task_id: str, epoch: int) -> Lease:
        lease = self._leases.get(task_id)
        if lease is None or lease.epoch != epoch:
            raise NotOurs(task_id)
        return lease

    # Rounds

    def check(self, task_id: str, epoch: int) -> None:
        """Raises NotOurs."""
        self._lease(task_id, epoch)

    async def save_plan(self, plan: Plan, epoch: int) -> None:
        """Durable before anything of it is written anywhere. Raises NotOurs."""
        await self._apply(plan.task_id, epoch, (Put(PLANS, plan),))
        self._plans[plan.task_id] = plan

    async def commit(self, task_id: str, epoch: int, positions: Iterable[TaskPosition]) -> None:
        """The planned round is done: positions move and the plan goes, all or nothing. Raises NotOurs."""
        lease = self._lease(task_id, epoch)
        also = (Expect(LEASES, lease), Remove(PLANS, {"task_id": task_id}))
        try:
            await self._tasks.advance(*positions, also=also)
        except Missing:
            # A renewal in between changed the row, not the epoch.
            again = self._lease(task_id, epoch)
            if again == lease:
                raise NotOurs(task_id) from None
            await self.commit(task_id, epoch, positions)
            return
        self._plans.pop(task_id, None)

    async def _apply(self, task_id: str, epoch: int, changes: tuple[Change, ...]) -> None:
        lease = self._lease(task_id, epoch)
        try:
            await self._catalog.apply(Expect(LEASES, lease), *changes)
        except Missing:
            if self._lease(task_id, epoch) == lease:
                raise NotOurs(task_id) from None
            await self._apply(task_id, epoch, changes)

    def _task_changed(self, before: Task | None, after: Task | None) -> None:
        if before is not None and after is None:
            self._leases.pop(before.task_id, None)
            self._plans.pop(before.task_id, None)
            self.guarantees.pop(before.task_id, None)
