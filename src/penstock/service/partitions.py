"""Partitions as the operations on records see them: traffic control in front of the log. Owns the windows and the cutting of
what was read to what was asked for; knows no streams, no cursors, no wire.

`Partitions` works on this process's log. With several workers there is another implementation (`workers.remote`), so that a
partition has one log and one window whoever takes the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from penstock.clock import Clock
from penstock.limits import UNLIMITED, PartitionRate
from penstock.log.base import Batch, Bounds, Durable, Frame, LogError, Packed, PartitionRef, RecordLog
from penstock.log.payload import count_bytes, fit
from penstock.log.payload import decode as decode_payload
from penstock.model.flow import RateWindow


class Stored(NamedTuple):
    """What became of a batch: its first `admitted` records went to the log with `result` (None when none were
    admitted); traffic control refused the rest."""

    admitted: int
    result: Durable | LogError | None


class Slice(NamedTuple):
    """Part of a frame a reader gets: records `start` to `stop` of it, as indices into the frame. `size` is the bytes of
    their data where they have been counted (see `data_bytes`)."""

    frame: Frame
    start: int
    stop: int
    size: int = -1

    @property
    def whole(self) -> bool:
        return self.start == 0 and self.stop == self.frame.count


class Throttled(Exception):
    """There are records, and the partition's read rate lets none through now."""


class PartitionStore(Protocol):
    """Where records are, whichever process that is."""

    async def put(self, batches: Sequence[Batch | Packed], rate: PartitionRate) -> list[Stored]:
        """Store what the rate admits of each batch; one result a batch, in order. Never raises LogError."""

    def begin(
        self,
        ref: PartitionRef,
        encoded: bytes,
        records: int,
        size: int,
        rate: PartitionRate,
        done: Callable[[Durable | LogError], None],
    ) -> bool:
        """Store a batch, given as its payload with `size` bytes of data, if the rate admits all of it. `done` is called with what became
        of it, see RecordLog.begin. False: nothing is done, it is for `put`."""

    async def fetch(
        self, ref: PartitionRef, sequence: int, max_bytes: int | None, max_records: int, rate: PartitionRate
    ) -> list[Slice]:
        """Records from `sequence` on. `max_bytes` counts data: a first record over it is not returned; with None one
        record always is. Raises Throttled, and what RecordLog.read raises."""

    async def bounds(self, ref: PartitionRef) -> Bounds:
        """See RecordLog.bounds."""

    async def sequence_at(self, ref: PartitionRef, timestamp_ms: int) -> int:
        """See RecordLog.sequence_at."""

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        """See RecordLog.keep_rendered."""

    def forget(self, refs: Iterable[PartitionRef]) -> None:
        """Drop what is remembered of partitions that are gone."""


class Partitions:
    """The partitions of this process's log. `fetch_bytes` is how much a read returns when nothing is asked for."""

    def __init__(self, log: RecordLog, clock: Clock, *, fetch_bytes: int) -> None:
        self._log = log
        self._clock = clock
        self._fetch_bytes = fetch_bytes
        self._writes: dict[PartitionRef, RateWindow] = {}
        self._reads: dict[PartitionRef, RateWindow] = {}

    async def put(self, batches: Sequence[Batch | Packed], rate: PartitionRate) -> list[Stored]:
        """See PartitionStore.put. Packed batches are opened only when their records must be counted."""
        if rate.writes_freely:
            results = await self._log.append(batches)
            if len(batches) == 1:
                return [Stored(_records(batches[0]), results[0])]
            new = tuple.__new__  # there may be hundreds
            return [
                new(Stored, (batch.records if isinstance(batch, Packed) else len(batch.data), result))
                for batch, result in zip(batches, results, strict=True)
            ]
        return await self.put_each(batches, [rate] * len(batches))

    async def put_each(
        self, batches: Sequence[Batch | Packed], rates: Sequence[PartitionRate]
    ) -> list[Stored]:
        """The same for batches of several requests, each with its rate, in order."""
        admitted = [
            _records(batch) if rate.writes_freely else self._admit(batch, rate)
            for batch, rate in zip(batches, rates, strict=True)
        ]
        kept = [
            batch if count == _records(batch) else _front(_open(batch), count)
            for batch, count in zip(batches, admitted, strict=True)
            if count
        ]
        appended = iter(await self._log.append(kept) if kept else ())
        return [Stored(count, next(appended) if count else None) for count in admitted]

    def begin(
        self,
        ref: PartitionRef,
        encoded: bytes,
        records: int,
        size: int,
        rate: PartitionRate,
        done: Callable[[Durable | LogError], None],
    ) -> bool:
        """See PartitionStore.begin."""
        # What the log does not take counts all the same, as it does in `put`.
        if not rate.writes_freely and not self._window(ref, rate).admit_all(
            records, size, self._clock.monotonic()
        ):
            return False
        return self._log.begin(ref, encoded, records, done)

    def _window(self, ref: PartitionRef, rate: PartitionRate) -> RateWindow:
        window = self._writes.get(ref)
        if window is None or window.max_count != rate.write_records or window.max_bytes != rate.write_bytes:
            window = self._writes[ref] = RateWindow(rate.write_records, rate.write_bytes)
        return window

    def _admit(self, batch: Batch | Packed, rate: PartitionRate) -> int:
        window = self._window(batch.ref, rate)
        now = self._clock.monotonic()
        if isinstance(batch, Packed) and batch.size >= 0 and window.admit_all(batch.records, batch.size, now):
            return batch.records
        return window.admit(list(map(len, _open(batch).data)), now)

    async def fetch(
        self, ref: PartitionRef, sequence: int, max_bytes: int | None, max_records: int, rate: PartitionRate
    ) -> list[Slice]:
        """See PartitionStore.fetch."""
        budget = self._fetch_bytes if max_bytes is None else max_bytes
        if rate.read_bytes >= UNLIMITED:
            frames = await self._log.read(ref, sequence, max(budget, 1), max_records)
            return cut(frames, sequence, budget, max_records, strict=max_bytes is not None)
        window = self._read_window(ref, rate)
        space = window.space(self._clock.monotonic())
        frames = await self._log.read(ref, sequence, max(min(budget, space), 1), max_records)
        wanted = cut(frames, sequence, budget, max_records, strict=max_bytes is not None)
        given = wanted if space >= budget else cut(frames, sequence, space, max_records, strict=True)
        if wanted and not given:
            raise Throttled
        if given:
            window.spend(sum(map(data_bytes, given)), self._clock.monotonic())
        return given

    def take(self, ref: PartitionRef, size: int, rate: PartitionRate) -> int:
        """For who reads elsewhere: how many bytes the rate lets through now. `size` of them are counted at once if that is enough, otherwise none.
        Raises UnknownPartition."""
        self._log.bounds(ref)  # no windows for what is not there
        window, now = self._read_window(ref, rate), self._clock.monotonic()
        space = window.space(now)
        if space >= size:
            window.spend(size, now)
        return space

    def _read_window(self, ref: PartitionRef, rate: PartitionRate) -> RateWindow:
        window = self._reads.get(ref)
        if window is None or window.max_bytes != rate.read_bytes:
            window = self._reads[ref] = RateWindow(UNLIMITED, rate.read_bytes)
        return window

    async def bounds(self, ref: PartitionRef) -> Bounds:
        """See PartitionStore.bounds."""
        return self._log.bounds(ref)

    async def sequence_at(self, ref: PartitionRef, timestamp_ms: int) -> int:
        """See PartitionStore.sequence_at."""
        return await self._log.sequence_at(ref, timestamp_ms)

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        """See PartitionStore.keep_rendered."""
        self._log.keep_rendered(frame, rendered)

    def forget(self, refs: Iterable[PartitionRef]) -> None:
        """See PartitionStore.forget."""
        for ref in refs:
            self._writes.pop(ref, None)
            self._reads.pop(ref, None)


def _records(batch: Batch | Packed) -> int:
    return batch.records if isinstance(batch, Packed) else len(batch.data)


def _open(batch: Batch | Packed) -> Batch:
    if isinstance(batch, Packed):
        keys, data = decode_payload(batch.payload)
        return Batch(batch.ref, data, keys)
    return batch


def _front(batch: Batch, count: int) -> Batch:
    return Batch(batch.ref, batch.data[:count], None if batch.keys is None else batch.keys[:count])


def cut(frames: list[Frame], sequence: int, budget: int, max_records: int, *, strict: bool) -> list[Slice]:
    """The records from `sequence` on that fit `budget` bytes of data and `max_records`; one at least unless `strict`."""
    kept: list[Slice] = []
    for frame in frames:
        start = max(0, sequence - frame.base)
        count = frame.count - start
        # A payload holds its data and more: when it fits, the data does, and nothing is decoded.
        if start == 0 and count <= max_records and len(frame.payload) <= budget:
            kept.append(Slice(frame, 0, count))
            max_records -= count
            budget -= len(frame.payload)
            continue
        taken, size = fit(frame.payload, start, max_records, budget, one=not (strict or kept))
        stop = start + taken
        budget -= size
        if stop > start:
            kept.append(Slice(frame, start, stop, size))
            max_records -= taken
        if stop < frame.count:
            break
    return kept


def data_bytes(part: Slice) -> int:
    """Bytes of data in a slice; looked at once for a whole frame, however many read it."""
    if part.size >= 0:
        return part.size
    frame = part.frame
    if not part.whole:
        return count_bytes(frame.payload, part.start, part.stop)
    if frame.data_bytes < 0:
        frame.data_bytes = count_bytes(frame.payload, 0, frame.count)
    return frame.data_bytes
