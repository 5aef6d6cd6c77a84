"""The server's side of dumping: which tasks are to be delivered now, and what the engine asks for them. Owns assignments; processes
and sockets are `dump.host`'s, delivering is `dump.engine`'s.

A task is assigned when it is not paused, its stream is there, its agency still is one of the account's, its password opens and
its lease can be taken. Each assignment is a new epoch: what an earlier one still does is refused.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from datetime import tzinfo
from pathlib import Path
from typing import Any

import msgspec
import structlog

from penstock.catalog.base import CatalogError, Damaged
from penstock.dump.base import LeaseLost
from penstock.dump.core import Assigned, Reading, Trouble
from penstock.errors import ApiError
from penstock.log.base import Corrupt, LogError, OutOfRange, PartitionRef
from penstock.model.dumps import Backlog, Plan, keyed
from penstock.model.streams import Stream, StreamStatus
from penstock.model.tasks import Task, TaskPosition, TaskState
from penstock.service.backlogs import backlogs
from penstock.service.context import Context
from penstock.service.task_runs import LEASE_SECONDS, NotOurs, TaskRuns
from penstock.service.tasks import open_password

RENEW_SECONDS = LEASE_SECONDS / 3
NODE_FILE = "node"
_UNLIMITED = 1 << 62

_log = structlog.get_logger("penstock.dump")


def node_name(data: Path) -> str:
    """What this server is called in leases, over restarts: made at the first one."""
    file = data / NODE_FILE
    if file.exists() and (name := file.read_text("ascii").strip()):
        return name
    name = secrets.token_hex(8)
    file.write_text(name + "\n", "ascii")
    return name


class Coordinator:
    """`on_assign` and `on_drop` are called for each task that is to be delivered from now on, or no more."""

    def __init__(self, context: Context, runs: TaskRuns, zone: tzinfo) -> None:
        self.context = context
        self.runs = runs
        self.on_assign: Callable[[Assigned], None] = lambda assigned: None
        self.on_drop: Callable[[str], None] = lambda task_id: None
        self._zone = zone
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._settling = asyncio.Lock()
        self._assigned: dict[str, Assigned] = {}
        context.tasks.on_change(self._task_changed)
        context.directory.on_change(self._stream_changed)

    def __repr__(self) -> str:
        return f"<Coordinator, {len(self._assigned)} tasks assigned, {len(self._dirty)} to look at>"

    def assigned(self) -> list[Assigned]:
        """Everything assigned, as it was then; whoever begins anew calls `reassign` instead."""
        return list(self._assigned.values())

    # Assigning

    async def run(self) -> None:
        """Assign what there is and what changes, renew leases; ends by being cancelled."""
        self._dirty.update(task.task_id for task in self.context.tasks.all())
        while True:
            try:
                await self.settle()
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                await self._renew()
            except (CatalogError, Damaged):
                _log.exception("dump tasks cannot be assigned, will be tried again")
                await asyncio.sleep(1.0)

    async def settle(self) -> None:
        """Look at every task that changed; return when that is done, whoever does it."""
        async with self._settling:
            while self._dirty:
                task_id = self._dirty.pop()
                try:
                    await self._look_at(task_id)
                except BaseException:
                    self._dirty.add(task_id)
                    raise
            self._wake.clear()

    def reassign(self) -> None:
        """Everything again, under new epochs: the engine is a new one."""
        self._assigned.clear()
        self._dirty.update(task.task_id for task in self.context.tasks.all())
        self._wake.set()

    async def _renew(self) -> None:
        for task_id in await self.runs.renew():
            _log.error("dump task is run by another server", task_id=task_id)
            self._drop(task_id)
        await self.look_again()

    async def look_again(self) -> None:
        """Look at every task: those that could not be assigned get another chance, and an agency may be gone or have run out."""
        self._dirty.update(task.task_id for task in self.context.tasks.all())
        await self.settle()

    def _task_changed(self, before: Task | None, after: Task | None) -> None:
        known = after or before
        assert known is not None
        if before is not None and after is not None and _same_work(before, after):
            return
        self._dirty.add(known.task_id)
        self._wake.set()

    def _stream_changed(self, before: Stream | None, after: Stream | None) -> None:
        known = after or before
        assert known is not None
        for task in self.context.tasks.of(known.stream_id):
            self._dirty.add(task.task_id)
            self._wake.set()

    async def _look_at(self, task_id: str) -> None:
        task = self.context.tasks.by_id(task_id)
        stream = None if task is None else self.context.directory.by_id(task.stream_id)
        known = self._assigned.get(task_id)
        if task is None or stream is None or task.paused or stream.status is not StreamStatus.RUNNING:
            if known is not None and stream is not None and task is not None and not task.paused:
                return  # being changed: what has begun goes on
            self._drop(task_id)
            return
        try:
            password = open_password(self.context, task)
            if (
                task.domain_id
                and self.context.identity.agency(task.domain_id, task.descriptor.agency_name) is None
            ):
                raise ApiError(
                    "DIS.4335", f"[{task.descriptor.agency_name}: the account has no such agency any more]"
                )
        except ApiError as error:
            self._drop(task_id)
            await self._set_trouble(task, TaskState.ABNORMAL, str(error))
            return
        if (
            known is not None
            and (known.task.descriptor, known.password) == (task.descriptor, password)
            and _same_data(known.stream, stream)
        ):
            # Partitions come and go without the engine: it asks what waits.
            self._assigned[task_id] = msgspec.structs.replace(known, stream=stream)
            return
        self._drop(task_id)
        lease = await self.runs.take(task_id)
        if lease is None:
            _log.info("dump task is run by another server", task=task.name, task_id=task_id)
            return
        plan = await self._planned_again(task, stream, lease.epoch)
        self._assigned[task_id] = assigned = Assigned(
            task=msgspec.structs.replace(task, sealed_password=b""),
            stream=stream,
            epoch=lease.epoch,
            positions=list(self.context.tasks.positions(task_id).values()),
            plan=plan,
            password=password,
        )
        self.on_assign(assigned)

    async def _planned_again(self, task: Task, stream: Stream, epoch: int) -> Plan | None:
        """The round a task is at, with the keys its settings give now: the same records, so that an update neither loses nor repeats
        any."""
        plan = self.runs.plan(task.task_id)
        if plan is None:
            return None
        parts = tuple(keyed(part, task, stream.name, plan.created_ms, self._zone) for part in plan.parts)
        if parts != plan.parts:
            plan = msgspec.structs.replace(plan, parts=parts, failing_since_ms=0)
            await self.runs.save_plan(plan, epoch)
        return plan

    def _drop(self, task_id: str) -> None:
        self.runs.release(task_id)
        if self._assigned.pop(task_id, None) is not None:
            self.on_drop(task_id)

    # What the engine asks (dump.core.Core)

    async def waiting(self, task_id: str, epoch: int) -> list[Backlog]:
        """See Core. A partition that is damaged where the task stands has nothing waiting, and its details say why."""
        stream = self._stream(task_id, epoch)
        found, damaged = await backlogs(self.context.log, stream, self.context.tasks.positions(task_id))
        for one in damaged:
            await self._mark(task_id, one.partition, TaskState.ERROR, one.reason)
        return found

    async def read(
        self,
        task_id: str,
        epoch: int,
        partition: int,
        sequence: int,
        max_bytes: int,
        *,
        outside: bool = False,
    ) -> Reading:
        """See Core. With `outside`, where the records are, if the caller can read them there."""
        ref = PartitionRef(self._stream(task_id, epoch).stream_id, partition)
        try:
            if outside and (place := await self.context.log.place(ref, sequence)) is not None:
                return Reading([], place=place)
            frames = await self.context.log.read(ref, sequence, max_bytes, _UNLIMITED, keep=False)
        except OutOfRange as error:
            return Reading([], earliest=error.bounds.earliest)
        except Corrupt as error:
            return Reading([], damage=str(error))
        except LogError as error:
            raise LeaseLost(str(error)) from error
        return Reading.of(frames)

    async def save_plan(self, plan: Plan, epoch: int) -> None:
        """See Core."""
        await _ours(self.runs.save_plan(plan, epoch))

    async def commit(self, task_id: str, epoch: int, positions: list[TaskPosition], guarantee: str) -> None:
        """See Core."""
        await _ours(self.runs.commit(task_id, epoch, positions))
        self.runs.guarantees[task_id] = guarantee

    async def trouble(self, trouble: Trouble) -> None:
        """See Core."""
        try:
            self.runs.check(trouble.task_id, trouble.epoch)
        except NotOurs as error:
            raise LeaseLost(str(error)) from None
        task = self.context.tasks.by_id(trouble.task_id)
        if task is not None:
            await self._set_trouble(task, trouble.state, trouble.reason)

    # Within

    def _stream(self, task_id: str, epoch: int) -> Stream:
        assigned = self._assigned.get(task_id)
        if assigned is None or assigned.epoch != epoch:
            raise LeaseLost(task_id)
        return self.context.directory.by_id(assigned.stream.stream_id) or assigned.stream

    async def _set_trouble(self, task: Task, state: TaskState | None, reason: str) -> None:
        before = task.trouble
        await self.context.tasks.set_trouble(task.task_id, state, reason)
        stream = self.context.directory.by_id(task.stream_id)
        if stream is None or (before is None) == (state is None):
            return
        kind = "dump_restored" if state is None else "dump_abnormal"
        self.context.events.emit(
            kind, task.project_id, stream.name, f"task {task.name}: {reason or 'it delivers again'}"
        )

    async def _mark(self, task_id: str, partition: int, state: TaskState, reason: str) -> None:
        position = self.context.tasks.positions(task_id).get(partition)
        if position is None or (position.trouble, position.reason) != (state, reason):
            known = position or TaskPosition(task_id=task_id, partition=partition, next_sequence=0)
            _log.error(
                "dump task cannot read a partition", task_id=task_id, partition=partition, reason=reason
            )
            await self.context.tasks.advance(msgspec.structs.replace(known, trouble=state, reason=reason))


async def _ours(call: Coroutine[Any, Any, None]) -> None:
    try:
        await call
    except NotOurs as error:
        raise LeaseLost(str(error)) from None


def _same_work(before: Task, after: Task) -> bool:
    """Whether only how it goes has changed."""
    return (before.paused, before.descriptor, before.sealed_password) == (
        after.paused,
        after.descriptor,
        after.sealed_password,
    )


def _same_data(before: Stream, after: Stream) -> bool:
    """Whether records mean the same."""
    return (before.data_type, before.data_schema, before.csv_delimiter) == (
        after.data_type,
        after.data_schema,
        after.csv_delimiter,
    )
