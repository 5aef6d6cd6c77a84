"""The engine of dump tasks in this process: a real catalog and coordinator, a log in memory, a stepped clock, and a destination that
fails and dies when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from tests.support.memory_log import MemoryLog
from tests.support.rounds import make_stream
from tests.support.streams import make_context

from penstock.catalog.base import Insert
from penstock.catalog.rows import STREAMS
from penstock.clock import SteppedClock
from penstock.destinations import Destinations
from penstock.dump.base import Body, Found, NotDelivered, Reject, Round, Sink, Store
from penstock.dump.coordinator import Coordinator
from penstock.dump.core import Assigned
from penstock.dump.engine import Engine
from penstock.iam.sealing import Sealer
from penstock.log.base import Batch, PartitionRef
from penstock.model.streams import Stream
from penstock.model.tasks import (
    AnyDescriptor,
    ConsumerStrategy,
    DliDescriptor,
    FileType,
    ObsDescriptor,
    Task,
    TaskPosition,
)
from penstock.service.context import Context
from penstock.service.directory import Directory
from penstock.service.task_directory import Tasks
from penstock.service.task_runs import TaskRuns


class Died(BaseException):
    """The process was killed at a point."""


class World:
    """What outlives processes: destination, error files, the plan of what goes wrong."""

    def __init__(self) -> None:
        self.delivered: dict[tuple[int, int, int], list[bytes]] = {}
        """(partition, first, last) -> records: delivering a range again changes nothing."""
        self.backed_up: dict[str, bytes] = {}
        self.failures: list[str] = []
        """Reasons that the next deliveries fail with, first one first."""
        self.backup_fails = ""
        self.poison: Callable[[bytes], bool] = lambda record: False
        self.die_at = ""
        self.rounds = 0

    def records(self) -> list[bytes]:
        return [record for key in sorted(self.delivered) for record in self.delivered[key]]


class FakeSink:
    """A sink that exists only in memory."""

    guarantee = "exactly once"

    def __init__(self, world: World) -> None:
        self._world = world
        self.closed = False

    async def deliver(self, round_: Round) -> None:
        world = self._world
        world.rounds += 1
        await asyncio.sleep(0)
        if world.failures:
            raise NotDelivered(world.failures.pop(0))
        for part in round_.parts:
            records = list(part.batch.records())
            rejects = [Reject(r.sequence, r.data, "poison") for r in records if world.poison(r.data)]
            if rejects:
                await round_.reject(part.planned.partition, rejects)
            good = [record.data for record in records if not world.poison(record.data)]
            key = (part.planned.partition, part.planned.first, part.planned.last)
            world.delivered.setdefault(key, good)
            round_.reached("visible")

    async def close(self) -> None:
        self.closed = True


class FakeStore:
    """Where rejects go."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def put(self, key: str, body: Body, *, epoch: int, overwrite: bool = True) -> bool:
        if self._world.backup_fails:
            raise NotDelivered(self._world.backup_fails)
        self._world.backed_up[key] = body.bytes()
        return True

    async def size(self, key: str) -> int | None:
        return len(self._world.backed_up[key]) if key in self._world.backed_up else None

    async def get(self, key: str) -> AsyncIterator[bytes]:
        raise NotImplementedError

    def list(self, prefix: str) -> AsyncIterator[Found]:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        self._world.backed_up.pop(key, None)

    async def close(self) -> None:
        pass


class FakeEngine(Engine):
    """Delivers into a World. Dying is an engine that does nothing any more."""

    world: World

    def _open_sink(self, assigned: Assigned) -> Sink:
        return FakeSink(self.world)

    def _open_store(self, assigned: Assigned) -> Store | None:
        return FakeStore(self.world) if assigned.task.descriptor.bucket else None


class Dumping:
    """A server as far as dump tasks need one. `start` begins a process, `die` ends it as a kill would."""

    def __init__(self, context: Context, world: World, clock: SteppedClock) -> None:
        self.context = context
        self.world = world
        self.clock = clock
        self.coordinator: Coordinator
        self.engine: FakeEngine
        self.dead = False
        self._job: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, directory: Path, *, partitions: int = 2, **fields: Any) -> Dumping:
        clock = SteppedClock()
        context = await make_context(directory, clock=clock)
        stream = make_stream(partitions=partitions, **fields)
        await context.catalog.apply(Insert(STREAMS, stream))
        context.directory = await Directory.open(context.catalog)
        context.tasks = await Tasks.open(context.catalog, Sealer({1: b"k" * 32}))
        context.directory.on_change(context.tasks.stream_changed)
        await context.log.create([PartitionRef(stream.stream_id, n) for n in range(partitions)])
        return cls(context, World(), clock)

    @property
    def stream(self) -> Stream:
        return self.context.directory.all()[0]

    @property
    def log(self) -> MemoryLog:
        assert isinstance(self.context.log, MemoryLog)
        return self.context.log

    async def start(self, owner: str = "node") -> None:
        runs = await TaskRuns.open(self.context.catalog, self.context.tasks, self.clock, owner)
        self.context.task_runs = runs
        self.dead = False
        self.coordinator = Coordinator(self.context, runs, UTC)
        engine = FakeEngine(
            self.coordinator,
            self.clock,
            Destinations(),
            Path(),
            seconds=5.0,
            zone=UTC,
            reached=self._reached,
        )
        engine.world = self.world
        self.engine = engine
        self.coordinator.on_assign = engine.assign
        self.coordinator.on_drop = engine.drop
        self._job = asyncio.create_task(self.coordinator.run())
        await asyncio.sleep(0)
        await self.settle()

    def _reached(self, point: str) -> None:
        if point == self.world.die_at:
            self.world.die_at = ""
            self.dead = True
            raise Died(point)

    async def settle(self) -> None:
        """What is due has been delivered, or has failed once more, or the process died."""
        await self.coordinator.settle()
        await self.engine.settle()
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """End the process, as a kill does for what is outside of it."""
        if self._job is not None:
            self._job.cancel()
            await asyncio.wait([self._job])
        await self.engine.close()
        self.coordinator.on_assign = lambda assigned: None
        self.coordinator.on_drop = lambda task_id: None

    async def close(self) -> None:
        await self.stop()
        await self.context.catalog.close()

    async def put(self, partition: int, *records: bytes) -> None:
        result = await self.log.append(
            [Batch(PartitionRef(self.stream.stream_id, partition), list(records), None)]
        )
        assert not isinstance(result[0], Exception), result

    async def after(self, seconds: float) -> None:
        """So much later."""
        self.clock.advance(seconds)
        await self.settle()

    async def add(self, descriptor: AnyDescriptor, *, task_id: str = "task0000000000000001") -> Task:
        """Make a task that begins with what comes now, or with the oldest record, as its strategy says."""
        stream = self.stream
        task = Task(
            task_id=task_id,
            stream_id=stream.stream_id,
            project_id=stream.project_id,
            name=descriptor.task_name,
            created_ms=self.clock.now_ms(),
            descriptor=descriptor,
        )
        latest = descriptor.consumer_strategy is ConsumerStrategy.LATEST
        starts = [
            TaskPosition(
                task_id=task_id,
                partition=partition.number,
                next_sequence=self.log.bounds(PartitionRef(stream.stream_id, partition.number))[latest],
            )
            for partition in stream.partitions
        ]
        await self.context.tasks.add(task, starts, 5)
        return task

    def positions(self, task: Task) -> dict[int, TaskPosition]:
        return self.context.tasks.positions(task.task_id)

    def task(self, task: Task) -> Task:
        found = self.context.tasks.by_id(task.task_id)
        assert found is not None
        return found


def obs(**changes: Any) -> ObsDescriptor:
    """An OBS descriptor with the defaults of 5.5.1, interval 30 s."""
    values: dict[str, Any] = {
        "task_name": "archive",
        "agency_name": "dis_admin_agency",
        "deliver_time_interval": 30,
        "consumer_strategy": ConsumerStrategy.LATEST,
        "retry_duration": 0,
        "obs_bucket_path": "lake",
        "file_prefix": "",
        "partition_format": "",
        "destination_file_type": FileType.TEXT,
        "record_delimiter": "\n",
        "processing_schema": None,
    }
    return ObsDescriptor(**values | changes)


def dli(**changes: Any) -> DliDescriptor:
    """A DLI descriptor: one that gives up after `retry_duration` (60 s here)."""
    values: dict[str, Any] = {
        "task_name": "table",
        "agency_name": "dis_admin_agency",
        "deliver_time_interval": 30,
        "consumer_strategy": ConsumerStrategy.LATEST,
        "retry_duration": 60,
        "dli_database_name": "db",
        "dli_table_name": "t",
        "obs_bucket_path": "backup",
        "file_prefix": "lost",
    }
    return DliDescriptor(**values | changes)


def values(records: Sequence[bytes]) -> list[str]:
    return sorted(record.decode() for record in records)
