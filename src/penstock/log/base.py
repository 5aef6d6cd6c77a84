"""RecordLog: the interface every log engine implements and the types that cross it.

Owns the contract (tests/conformance holds it, each engine passes it). Knows nothing of HTTP, streams' names or
limits. Sequence numbers are contiguous from 0 per partition; `next` is the one the next record gets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec


class PartitionRef(NamedTuple):
    """Names a partition for good: a stream id is never used twice."""

    stream_id: str
    number: int


class Batch(NamedTuple):
    """Records for one partition, stored together: those of a request, or of several. `keys` is as long as `data`, or None when no record has a key."""

    ref: PartitionRef
    data: list[bytes]
    keys: list[str | None] | None


class Packed(NamedTuple):
    """The same with its payload made already (see `log.payload`). `size` is the bytes of its data where whoever made it
    has counted them, otherwise -1."""

    ref: PartitionRef
    records: int
    payload: bytes
    size: int = -1


class Frame(msgspec.Struct, gc=False, eq=False):
    """Consecutive records as stored: those of one append, or of several. Immutable but for `rendered`, where a reader may keep the wire
    form of the whole frame (hand it to `RecordLog.keep_rendered`, which counts its memory), and `data_bytes`, the bytes of its
    data once somebody has counted them (before: -1). `offset` is the engine's own."""

    ref: PartitionRef
    base: int
    count: int
    append_ms: int
    payload: bytes
    offset: int = -1
    rendered: bytes | None = None
    data_bytes: int = -1

    def __repr__(self) -> str:
        return f"<Frame {self.ref.stream_id}/{self.ref.number} {self.base}+{self.count}, {len(self.payload)} bytes>"


class Bounds(NamedTuple):
    """`earliest` is the first readable sequence number, `next` the one to be written; equal when empty."""

    earliest: int
    next: int


class Waiting(NamedTuple):
    """What a reader at some place has before it: `records` from `first` on, about `size` bytes of log, the oldest appended at
    `oldest_ms` (0 when there is none)."""

    first: int
    records: int
    size: int
    oldest_ms: int


class Place(NamedTuple):
    """Where records are on this machine's disk, all of them durable: a file (`name` is how errors call it), whose records are `base` to
    before `end` in its first `size` bytes; a frame that begins at byte `start` is not behind the record that was asked for."""

    ref: PartitionRef
    path: str
    name: str
    salt: int
    base: int
    end: int
    size: int
    start: int


class Durable(NamedTuple):
    """A batch is on disk from sequence number `base` on."""

    base: int
    append_ms: int


class LogError(Exception):
    """Base of what a log may say instead of doing."""


class UnknownPartition(LogError):
    """The partition was never created here, or has been deleted."""


class OutOfRange(LogError):
    """A sequence number outside `earliest`..`next`."""

    def __init__(self, sequence: int, bounds: Bounds) -> None:
        super().__init__(f"sequence number {sequence} is outside {bounds.earliest}..{bounds.next}")
        self.sequence = sequence
        self.bounds = bounds


class Corrupt(LogError):
    """Stored bytes fail their checksum. `segment` names the file; nothing was changed or removed."""

    def __init__(self, segment: str, offset: int, reason: str) -> None:
        super().__init__(f"segment {segment} is damaged at byte {offset}: {reason}")
        self.segment = segment
        self.offset = offset
        self.reason = reason


class DiskFull(LogError):
    """No space: nothing of the batch is acknowledged. Later appends are tried again."""


class ReadOnly(LogError):
    """A sync failed: what reached the disk is unknown, so the partition takes no more until restart."""


class Closed(LogError):
    """The log is shutting down."""


class Health(NamedTuple):
    """`ok` false makes the process unready; `problems` says why, one sentence each."""

    ok: bool
    problems: tuple[str, ...]


class RecordLog(Protocol):
    """An ordered durable log per partition. All calls are made on the event loop that opened it."""

    async def create(self, refs: Sequence[PartitionRef]) -> None:
        """Make empty partitions; those that exist stay as they are."""

    async def delete_stream(self, stream_id: str) -> None:
        """Remove every partition of a stream and free the disk; no error when there is none."""

    async def append(self, batches: Sequence[Batch | Packed]) -> list[Durable | LogError]:
        """Store each batch, in order per partition, and return when every one is durable or has failed.

        One result a batch, in order: a failing partition (DiskFull, ReadOnly, UnknownPartition, Closed) fails its
        own batch only. Never raises for these.
        """

    def begin(
        self, ref: PartitionRef, encoded: bytes, records: int, done: Callable[[Durable | LogError], None]
    ) -> bool:
        """Store one batch, given as its payload, as `append` does but for the waiting: `done` is called with the result later, on the
        event loop. False: nothing is done, and `append` says why."""

    async def read(
        self, ref: PartitionRef, sequence: int, max_bytes: int, max_records: int, *, keep: bool = True
    ) -> list[Frame]:
        """Whole frames from the one that holds `sequence` on, until about `max_bytes` of payload or `max_records`
        are covered; at least one frame if there is one. Only durable records are seen. Empty at the end of the log.

        The first frame may begin before `sequence` and the last ones may go over the limits: the caller cuts. What had to be fetched
        for it is kept in memory for other readers, unless `keep` is false: for one who reads all of it once.
        Raises OutOfRange, UnknownPartition, Corrupt.
        """

    async def place(self, ref: PartitionRef, sequence: int) -> Place | None:
        """Where another process of this machine can read on from `sequence` by itself (`log.files.outside`); None when it cannot, or at
        the end of the log. Raises OutOfRange, UnknownPartition, Corrupt."""

    def bounds(self, ref: PartitionRef) -> Bounds:
        """First readable and next sequence number, of durable records. Raises UnknownPartition."""

    def watch(self, told: Callable[[PartitionRef, Bounds | None], None]) -> None:
        """Have `told`, and nobody else, called whenever bounds change, before whoever waits for the change goes on; with None when a partition is gone."""

    async def sequence_at(self, ref: PartitionRef, timestamp_ms: int) -> int:
        """Sequence number of the first record appended at or after `timestamp_ms`; `next` when there is none."""

    async def waiting(self, ref: PartitionRef, sequence: int) -> Waiting:
        """What there is from `sequence` on, or from the earliest record when that is later. Raises UnknownPartition, Corrupt."""

    async def oldest_ms(self, ref: PartitionRef) -> int | None:
        """When the earliest readable record was appended; None when empty."""

    async def expire(self, ref: PartitionRef, before_ms: int) -> int:
        """Drop whole segments whose newest record is older than `before_ms`; how many records went."""

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        """Keep `rendered` with a cached frame as long as the cache has room."""

    def partitions(self) -> Sequence[PartitionRef]:
        """Every partition there is."""

    def health(self) -> Health:
        """Whether writing is trusted."""

    async def close(self) -> None:
        """Finish and acknowledge what was accepted, then close."""
