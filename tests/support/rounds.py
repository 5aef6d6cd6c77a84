"""Rounds for tests of sinks: what the engine would hand over, made of records in a list. `Crash` at a point ends a delivery as a kill
would, as far as the destination can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

from penstock.dump.base import Batch, Chunk, NotDelivered, Part, Reject
from penstock.model.dumps import Plan, PlannedPart, planned_key
from penstock.model.hashing import split
from penstock.model.streams import DataType, Partition, PartitionStatus, Stream, StreamStatus
from penstock.model.tasks import AnyDescriptor, Task

CREATED_MS = 1_700_000_000_000
APPENDED_MS = 1_699_999_999_000
_CHUNK = 3
"""Records an append: few, so that batches have several chunks."""


class Crash(BaseException):
    """The process died."""


class MadeRound:
    """A Round (dump.base) that remembers what it is told. `crash_at` raises Crash at that point; `reject_fails` makes the backup fail
    with that line."""

    def __init__(self, task: Task, stream: Stream, plan: Plan, parts: Sequence[Part]) -> None:
        self.task = task
        self.stream = stream
        self.plan = plan
        self.parts = parts
        self.rejected: dict[int, list[Reject]] = {}
        self.discards: dict[int, int] = {}
        self.points: list[str] = []
        self.crash_at = ""
        self.reject_fails = ""
        self.epoch = 1

    async def reject(self, partition: int, rejects: Sequence[Reject]) -> None:
        if self.reject_fails:
            raise NotDelivered(self.reject_fails)
        self.rejected[partition] = list(rejects)
        self.discards[partition] = len(rejects)

    def discarded(self, partition: int, records: int) -> None:
        self.discards[partition] = records

    def reached(self, point: str) -> None:
        self.points.append(point)
        if point == self.crash_at:
            raise Crash(point)

    def again(self, epoch: int | None = None) -> MadeRound:
        """The same round as another attempt, or another process (a higher epoch), gets it."""
        repeated = MadeRound(self.task, self.stream, self.plan, self.parts)
        repeated.epoch = self.epoch if epoch is None else epoch
        return repeated


def make_stream(
    data_type: DataType = DataType.JSON, *, schema: str = "", partitions: int = 1, **fields: Any
) -> Stream:
    """A stream as the catalog has it."""
    return Stream(
        stream_id="stream00000000000001",
        project_id="project",
        name="clicks",
        status=StreamStatus.RUNNING,
        data_type=data_type,
        retention_hours=24,
        created_ms=CREATED_MS,
        modified_ms=CREATED_MS,
        data_schema=schema or None,
        partitions=tuple(
            Partition(number=number, status=PartitionStatus.ACTIVE, hash_start=start, hash_end=end)
            for number, (start, end) in enumerate(split(partitions))
        ),
        **fields,
    )


def make_task(descriptor: AnyDescriptor, stream: Stream, task_id: str = "task0000000000000001") -> Task:
    """A task with that descriptor."""
    return Task(
        task_id=task_id,
        stream_id=stream.stream_id,
        project_id=stream.project_id,
        name=descriptor.task_name,
        created_ms=CREATED_MS,
        descriptor=descriptor,
    )


def make_batch(
    partition: int,
    records: Sequence[bytes],
    first: int = 0,
    missing: int = 0,
    append_ms: Callable[[int], int] = lambda sequence: APPENDED_MS + sequence // _CHUNK,
) -> Batch:
    """A batch of these records: `first` is the sequence number of the first planned one, of which the oldest `missing` are gone (they
    are not in `records`)."""
    chunks = []
    for start in range(0, len(records), _CHUNK):
        base = first + missing + start
        data = list(records[start : start + _CHUNK])
        chunks.append(Chunk(base, append_ms(base), None, data))
    return Batch(partition, first, first + missing + len(records) - 1, chunks, missing)


def make_round(
    descriptor: AnyDescriptor,
    stream: Stream,
    records: Mapping[int, Sequence[bytes]],
    *,
    first: Mapping[int, int] | None = None,
    missing: Mapping[int, int] | None = None,
    number: int = 1,
    created_ms: int = CREATED_MS,
    task_id: str = "task0000000000000001",
) -> MadeRound:
    """A round that delivers these records of these partitions, from sequence number `first` on (0)."""
    task = make_task(descriptor, stream, task_id)
    parts = []
    for partition, data in records.items():
        batch = make_batch(
            partition, data, (first or {}).get(partition, 0), (missing or {}).get(partition, 0)
        )
        key = planned_key(task, stream.name, partition, batch.first, batch.last, created_ms, UTC)
        parts.append(Part(PlannedPart(partition, batch.first, batch.last, key), batch))
    plan = Plan(
        task_id=task_id, number=number, created_ms=created_ms, parts=tuple(part.planned for part in parts)
    )
    return MadeRound(task, stream, plan, parts)
