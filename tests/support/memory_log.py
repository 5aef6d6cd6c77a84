"""A RecordLog in memory: what tests of services use. Owns nothing durable; keeps the promises of log/base.py otherwise.

Segments are `segment_frames` frames, so that retention drops some and not others. Faults: `fail_delete`, `fail_create`,
`read_only`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from penstock.clock import Clock
from penstock.log import payload
from penstock.log.base import (
    Batch,
    Bounds,
    Closed,
    Durable,
    Frame,
    Health,
    LogError,
    OutOfRange,
    Packed,
    PartitionRef,
    Place,
    ReadOnly,
    UnknownPartition,
    Waiting,
)


class _Partition:
    def __init__(self) -> None:
        self.earliest = 0
        self.next = 0
        self.frames: list[Frame] = []


class MemoryLog:
    """See module."""

    def __init__(self, clock: Clock, segment_frames: int = 1) -> None:
        self._clock = clock
        self._segment_frames = segment_frames
        self._partitions: dict[PartitionRef, _Partition] = {}
        self._closed = False
        self.fail_create: LogError | None = None
        self.fail_delete: LogError | None = None
        self.read_only: set[PartitionRef] = set()
        self._told: Callable[[PartitionRef, Bounds | None], None] = lambda ref, bounds: None

    async def create(self, refs: Sequence[PartitionRef]) -> None:
        if self.fail_create is not None:
            raise self.fail_create
        self._check_open()
        for ref in refs:
            self._partitions.setdefault(ref, _Partition())

    async def delete_stream(self, stream_id: str) -> None:
        if self.fail_delete is not None:
            raise self.fail_delete
        self._check_open()
        for ref in [ref for ref in self._partitions if ref.stream_id == stream_id]:
            del self._partitions[ref]
            self._told(ref, None)

    async def append(self, batches: Sequence[Batch | Packed]) -> list[Durable | LogError]:
        return [self._append(batch) for batch in batches]

    def begin(
        self, ref: PartitionRef, encoded: bytes, records: int, done: Callable[[Durable | LogError], None]
    ) -> bool:
        if self._closed or ref not in self._partitions:
            return False
        done(self._append(Packed(ref, records, encoded)))
        return True

    def _append(self, batch: Batch | Packed) -> Durable | LogError:
        if self._closed:
            return Closed()
        partition = self._partitions.get(batch.ref)
        if partition is None:
            return UnknownPartition(batch.ref)
        if batch.ref in self.read_only:
            return ReadOnly(batch.ref)
        now, base = self._clock.now_ms(), partition.next
        if partition.frames:
            now = max(now, partition.frames[-1].append_ms)  # sorted whatever the clock does
        count = batch.records if isinstance(batch, Packed) else len(batch.data)
        encoded = batch.payload if isinstance(batch, Packed) else payload.encode(batch.keys, batch.data)
        partition.frames.append(Frame(batch.ref, base, count, now, encoded))
        partition.next += count
        self._told(batch.ref, self.bounds(batch.ref))
        return Durable(base, now)

    async def read(
        self, ref: PartitionRef, sequence: int, max_bytes: int, max_records: int, *, keep: bool = True
    ) -> list[Frame]:
        partition = self._get(ref)
        bounds = self.bounds(ref)
        if not bounds.earliest <= sequence <= bounds.next:
            raise OutOfRange(sequence, bounds)
        first = max(bisect_right(partition.frames, sequence, key=lambda f: f.base) - 1, 0)
        found: list[Frame] = []
        size = records = 0
        for frame in partition.frames[first:]:
            if frame.base + frame.count <= sequence:
                continue
            if found and (size >= max_bytes or records >= max_records):
                break
            found.append(frame)
            size += len(frame.payload)
            records += frame.base + frame.count - max(frame.base, sequence)
        return found

    def bounds(self, ref: PartitionRef) -> Bounds:
        partition = self._get(ref)
        return Bounds(partition.earliest, partition.next)

    async def sequence_at(self, ref: PartitionRef, timestamp_ms: int) -> int:
        partition = self._get(ref)
        return next((f.base for f in partition.frames if f.append_ms >= timestamp_ms), partition.next)

    async def waiting(self, ref: PartitionRef, sequence: int) -> Waiting:
        bounds = self.bounds(ref)
        first = min(max(sequence, bounds.earliest), bounds.next)
        frames = [f for f in self._get(ref).frames if f.base + f.count > first]
        size = sum(len(frame.payload) for frame in frames)
        return Waiting(first, bounds.next - first, size, frames[0].append_ms if frames else 0)

    async def oldest_ms(self, ref: PartitionRef) -> int | None:
        frames = self._get(ref).frames
        return frames[0].append_ms if frames else None

    async def expire(self, ref: PartitionRef, before_ms: int) -> int:
        partition = self._get(ref)
        dropped = 0
        while (segment := partition.frames[: self._segment_frames]) and segment[-1].append_ms < before_ms:
            dropped += sum(frame.count for frame in segment)
            partition.earliest = segment[-1].base + segment[-1].count
            del partition.frames[: self._segment_frames]
            self._told(ref, self.bounds(ref))
        return dropped

    def watch(self, told: Callable[[PartitionRef, Bounds | None], None]) -> None:
        self._told = told

    async def place(self, ref: PartitionRef, sequence: int) -> Place | None:
        return None

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        frame.rendered = rendered

    def partitions(self) -> Sequence[PartitionRef]:
        return sorted(self._partitions)

    def health(self) -> Health:
        problems = tuple(f"{ref} is read-only" for ref in sorted(self.read_only))
        return Health(not problems, problems)

    async def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise Closed()

    def _get(self, ref: PartitionRef) -> _Partition:
        partition = self._partitions.get(ref)
        if partition is None:
            raise UnknownPartition(ref)
        return partition
