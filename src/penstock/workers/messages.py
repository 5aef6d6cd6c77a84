"""What the core and its workers say to each other. Owns these shapes (msgpack arrays) and the crossing of log errors; both
ends are of one release, started together, so they carry no version."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.limits import PartitionRate
from penstock.log.base import (
    Bounds,
    Closed,
    Corrupt,
    DiskFull,
    Durable,
    LogError,
    OutOfRange,
    PartitionRef,
    Place,
    ReadOnly,
    UnknownPartition,
)
from penstock.model.streams import Stream
from penstock.service.partitions import Stored
from penstock.service.traffic import Counted


class PutBatch(msgspec.Struct, array_like=True, gc=False):
    """A batch with its payload made by the worker: here, or `shared` bytes of the worker's tray. `rate`: which of the call's rates, -1
    when nothing is counted."""

    stream_id: str
    number: int
    count: int
    payload: bytes
    size: int
    shared: int
    rate: int


class PutCall(msgspec.Struct, array_like=True, gc=False):
    """The batches of every request that a worker had at the time, in order. What is shared lies together, from `page` on."""

    batches: list[PutBatch]
    page: int
    rates: list[PartitionRate]


class Failure(msgspec.Struct, array_like=True, gc=False):
    """A LogError: its class and what it was made with."""

    kind: str
    arguments: tuple[Any, ...]


class PutResult(msgspec.Struct, array_like=True, gc=False):
    """A `Stored`."""

    admitted: int
    base: int = -1
    append_ms: int = 0
    failure: Failure | None = None


class TakeCall(msgspec.Struct, array_like=True, gc=False):
    """What somebody is about to be given of a partition whose reads are counted."""

    stream_id: str
    number: int
    size: int
    rate: PartitionRate


class TakeResult(msgspec.Struct, array_like=True, gc=False):
    """How much may be given now; `size` has been counted if it was enough."""

    space: int = 0
    failure: Failure | None = None


class ReadCall(msgspec.Struct, array_like=True, gc=False):
    """Frames from `sequence` on, at most about `max_bytes`, or with `outside` where they are, if the worker can read them there."""

    stream_id: str
    number: int
    sequence: int
    max_bytes: int
    outside: bool


class ReadFrame(msgspec.Struct, array_like=True, gc=False):
    base: int
    count: int
    append_ms: int
    payload: bytes


class ReadResult(msgspec.Struct, array_like=True, gc=False):
    frames: list[ReadFrame]
    place: Place | None = None
    failure: Failure | None = None


class SlotCall(msgspec.Struct, array_like=True, gc=False):
    """Where the board shows a partition."""

    stream_id: str
    number: int


class SlotResult(msgspec.Struct, array_like=True, gc=False):
    """`generation` 0: nowhere. The bounds are those of now."""

    earliest: int = 0
    next: int = 0
    slot: int = 0
    generation: int = 0
    failure: Failure | None = None


class TimeCall(msgspec.Struct, array_like=True, gc=False):
    """The sequence number at a timestamp."""

    stream_id: str
    number: int
    timestamp_ms: int


class TimeResult(msgspec.Struct, array_like=True, gc=False):
    sequence: int = 0
    failure: Failure | None = None


class RespondCall(msgspec.Struct, array_like=True, gc=False):
    """A whole request, for the core to answer."""

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    peer: str
    scheme: str


class RespondResult(msgspec.Struct, array_like=True, gc=False):
    status: int
    content_type: str | None
    body: bytes
    headers: list[tuple[str, str]]


class Report(msgspec.Struct, array_like=True, gc=False):
    """What a worker has counted since its last report: totals, and traffic by stream, partition and minute."""

    totals: dict[str, int]
    traffic: list[Counted]


class Hello(msgspec.Struct, array_like=True):
    """What a worker needs to begin: settings (as Settings encodes), the cursor key, every stream."""

    settings: dict[str, Any]
    cursor_key: bytes
    streams: list[Stream]


class Change(msgspec.Struct, array_like=True):
    """A stream's new state, or None when `stream_id` is gone."""

    stream_id: str
    stream: Stream | None


_KINDS: dict[str, type[LogError]] = {
    kind.__name__: kind for kind in (Closed, Corrupt, DiskFull, LogError, ReadOnly, UnknownPartition)
}


def pack_error(error: LogError) -> Failure:
    """A log's refusal, to cross to a worker."""
    if isinstance(error, OutOfRange):
        return Failure("OutOfRange", (error.sequence, *error.bounds))
    if isinstance(error, Corrupt):
        return Failure("Corrupt", (error.segment, error.offset, error.reason))
    kind = next((one for one in type(error).__mro__ if one.__name__ in _KINDS), LogError)
    return Failure(kind.__name__, (str(error),))


def unpack_error(failure: Failure) -> LogError:
    """The refusal again."""
    if failure.kind == "OutOfRange":
        sequence, earliest, following = failure.arguments
        return OutOfRange(sequence, Bounds(earliest, following))
    return _KINDS[failure.kind](*failure.arguments)


def unpack_put(result: PutResult, behind: int, records: int) -> Stored:
    """What became of `records` of a batch, those behind its first `behind`. Batches of several requests are admitted whole."""
    admitted = min(records, result.admitted)
    if result.failure is not None:
        return Stored(admitted, unpack_error(result.failure))
    return Stored(admitted, Durable(result.base + behind, result.append_ms) if admitted else None)


def reference(call: ReadCall | SlotCall | TakeCall | TimeCall) -> PartitionRef:
    """The partition a message is about."""
    return PartitionRef(call.stream_id, call.number)
