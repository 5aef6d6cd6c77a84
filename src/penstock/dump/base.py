"""What crosses between the engine and what delivers: records, rounds, rejects. Owns these types and the interfaces of a sink, a
store and a format; knows no destination, no plan's life and no RPC.

A round is what is delivered and committed together: a range of each of some partitions, planned and persisted before anything is
written, and repeated as it is after a crash. So every sink must be able to deliver a round again.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import IO, NamedTuple, Protocol

from crc32c import crc32c

from penstock.model.dumps import Plan, PlannedPart
from penstock.model.streams import Stream
from penstock.model.tasks import Task

SPOOL_MEMORY = 80 << 20
"""What is larger than this while it is being made goes to a temporary file: more than the file that an ordinary round ends with."""
READ_BYTES = 1 << 20


class NotDelivered(Exception):
    """A round was not delivered, or it is not known whether it was: it will be tried again. The message is a line for people: what
    failed and what to do; no secrets."""


class LeaseLost(Exception):
    """Another process runs the task now: whatever is going on for it here must end without a word to the destination."""


class Record(NamedTuple):
    """One record with all that is known of it."""

    sequence: int
    append_ms: int
    key: str | None
    data: bytes


class Chunk(NamedTuple):
    """Consecutive records of one append; `keys` is as long as `data`, or None when no record has a key."""

    base: int
    append_ms: int
    keys: list[str | None] | None
    data: list[bytes]


class Reject(NamedTuple):
    """A record that a destination cannot take, ever: it is backed up and passed over."""

    sequence: int
    data: bytes
    reason: str


class Batch:
    """Records `first` to `last` of one partition, in order. `missing` of them, the oldest, are gone: retention took them before
    they could be delivered; `chunks` has the others."""

    __slots__ = ("chunks", "first", "last", "missing", "partition", "size")

    def __init__(self, partition: int, first: int, last: int, chunks: list[Chunk], missing: int = 0) -> None:
        self.partition = partition
        self.first = first
        self.last = last
        self.chunks = chunks
        self.missing = missing
        self.size = sum(len(data) for chunk in chunks for data in chunk.data)

    def __len__(self) -> int:
        return sum(len(chunk.data) for chunk in self.chunks)

    def __repr__(self) -> str:
        return f"<Batch {self.partition}: {self.first}..{self.last}, {self.size} bytes>"

    def records(self) -> Iterator[Record]:
        """One by one: for what works on single records anyway."""
        for chunk in self.chunks:
            keys = chunk.keys or [None] * len(chunk.data)
            for offset, (key, data) in enumerate(zip(keys, chunk.data, strict=True)):
                yield Record(chunk.base + offset, chunk.append_ms, key, data)


class Part(NamedTuple):
    """A partition's share of a round."""

    planned: PlannedPart
    batch: Batch


class Round(Protocol):
    """What a sink is given to deliver. The engine makes it."""

    task: Task
    stream: Stream
    plan: Plan
    parts: Sequence[Part]
    epoch: int
    """Of the lease this attempt has: each process that runs the task has a greater one than those before."""

    async def reject(self, partition: int, rejects: Sequence[Reject]) -> None:
        """Back up what the destination cannot take, all of a partition's rejects of this attempt in one call, under a name that
        depends on the plan only; counts them as discarded. Durable when it returns, so a sink that commits calls it before. Raises
        NotDelivered."""

    def discarded(self, partition: int, records: int) -> None:
        """Say how many records a delivery that was committed by an earlier attempt had passed over."""

    def reached(self, point: str) -> None:
        """A step has been done; tests kill the process here. Points: `staged` (everything is at the destination, nothing of it is
        visible yet), `visible` (some or all of it is)."""


class Sink(Protocol):
    """Delivers the rounds of one task, one at a time. Made by `dump.sinks.open_sink`; its first use connects."""

    guarantee: str
    """`exactly once`, `idempotent` (delivering twice leaves the same), or `at least once`; may be known only after a delivery."""

    async def deliver(self, round_: Round) -> None:
        """Put every part where it belongs; when this returns it is durable and visible there. The same round may have been delivered
        before, wholly or in part, by this process or one that died. Cancelled when the task goes away. Raises NotDelivered."""

    async def close(self) -> None:
        """Give back connections. Never raises."""


class Body:
    """A file being made: written once, front to back, then read as often as needed. In memory up to SPOOL_MEMORY. Counts its size and
    CRC32C."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SPOOL_MEMORY)  # noqa: SIM115
        self.size = 0
        self.crc = 0

    def __repr__(self) -> str:
        return f"<Body, {self.size} bytes, crc32c {self.crc:08x}>"

    def write(self, data: bytes | memoryview) -> int:
        """Append; file-like, for libraries that write to files."""
        self._file.write(data)
        size = len(data) if isinstance(data, bytes) else data.nbytes
        self.size += size
        self.crc = crc32c(data, self.crc)
        return size

    def flush(self) -> None:
        """Nothing to do: there is one reader, this object."""

    def pieces(self, size: int = READ_BYTES) -> Iterator[bytes]:
        """All of it from the front."""
        self._file.seek(0)
        while piece := self._file.read(size):
            yield piece

    def bytes(self) -> bytes:
        """All of it at once."""
        return b"".join(self.pieces())

    def close(self) -> None:
        """Forget it."""
        self._file.close()


class Encoded(NamedTuple):
    """A file made of records. `name` is appended to the planned key: `.txt`, `.parquet`, or `.carbon/part-0.carbondata`."""

    name: str
    body: Body
    records: int


class Format(Protocol):
    """Makes files of records. Works without waiting; the caller gives it a thread."""

    extension: str
    """With the dot."""

    def encode(self, chunks: Iterable[Chunk]) -> tuple[list[Encoded], list[Reject]]:
        """The files (none when nothing is left) and the records that could not be put into one. The same records give the same
        bytes, on the same release."""


class Found(NamedTuple):
    """An object of a store."""

    key: str
    size: int


class Store(Protocol):
    """Where files are: a bucket of an S3-compatible store, a folder, or a directory of HDFS. A file is there whole, or not at all. All
    raise NotDelivered when the store does not answer or refuses."""

    async def put(self, key: str, body: Body, *, epoch: int, overwrite: bool = True) -> bool:
        """Make the file, durable and visible when it returns. With `overwrite` false a file that is there stays as it is, and the
        answer is False. `epoch` goes into temporary names: each process that ran the task has its own."""

    async def size(self, key: str) -> int | None:
        """Bytes of a file; None when there is none."""

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """A file's bytes, in pieces."""

    def list(self, prefix: str) -> AsyncIterator[Found]:
        """Files whose key starts with `prefix`, in any order; no temporary ones."""

    async def delete(self, key: str) -> None:
        """Remove a file; no error when there is none."""

    async def close(self) -> None:
        """Give back connections. Never raises."""
