"""Records and cursors: chapter 5.4 of the API reference, the hot path.

Owns what PutRecords, GetRecords and the cursor call mean: which stream and partition, what is refused and how. Knows no wire
format: requests arrive decoded, and replies leave as numbers and frames for `http.wire` to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from penstock.clock import Clock
from penstock.errors import ApiError, invalid, malformed, render, stream_missing
from penstock.limits import SEQUENCE_MAX, UNLIMITED, Limits, PartitionRate
from penstock.log.base import (
    Batch,
    Durable,
    Frame,
    LogError,
    OutOfRange,
    PartitionRef,
    RecordLog,
    UnknownPartition,
)
from penstock.log.payload import decode as decode_payload
from penstock.model.cursors import Cursor, CursorCodec, CursorType
from penstock.model.flow import RateWindow
from penstock.model.routing import RecordError, RoutingTable, parse_partition_id
from penstock.model.streams import PartitionStatus, Stream, StreamStatus, StreamType, partition_name
from penstock.service.directory import Directory
from penstock.service.failures import record_failure


class PutRecord(msgspec.Struct, gc=False):
    """One record of a PutRecords request (5.4.1 table 5-67). `data` is the decoded bytes. `timestamp` is what the Java
    client sends: checked for its type, otherwise unused, for records carry the time they were written (table 5-74)."""

    data: bytes
    partition_key: str | None = None
    partition_id: str | None = None
    explicit_hash_key: str | None = None
    timestamp: int | None = None


class PutRecords(msgspec.Struct):
    """A PutRecords request (5.4.1 table 5-66)."""

    records: list[PutRecord] | None = None
    stream_name: str | None = None
    stream_id: str | None = None


class Placed(NamedTuple):
    """Records of a request that went to one partition: `indices` are their places in the request (None: all of
    them, in order), numbered from `base` on."""

    partition: int
    base: int
    records: int
    indices: Sequence[int] | None


class PutOutcome(NamedTuple):
    """What became of `total` records: `placed` by partition, `failed` maps an index to its code and message."""

    total: int
    placed: list[Placed]
    failed: dict[int, tuple[str, str]]


class Slice(NamedTuple):
    """Part of a frame a reader gets: records `start`..`stop` of it (indices), or the whole when `whole`."""

    frame: Frame
    start: int
    stop: int

    @property
    def whole(self) -> bool:
        return self.start == 0 and self.stop == self.frame.count


class Fetched(NamedTuple):
    """Records in order, and the cursor that goes on after them."""

    slices: list[Slice]
    next_cursor: str


class Totals:
    """Counters since the start, for the metrics page."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "puts",
        "reads",
        "records_in",
        "records_out",
        "refused",
        "throttled",
    )

    def __init__(self) -> None:
        self.puts = self.records_in = self.bytes_in = self.refused = self.throttled = 0
        self.reads = self.records_out = self.bytes_out = 0


class _StreamState:
    """What the hot path derives from one state of a stream; dropped when the stream changes."""

    __slots__ = ("rate", "refs", "routing", "stream", "unthrottled_reads", "unthrottled_writes")

    def __init__(self, stream: Stream, rate: PartitionRate) -> None:
        self.stream = stream
        self.routing = RoutingTable(stream)
        self.refs = {p.number: PartitionRef(stream.stream_id, p.number) for p in stream.partitions}
        self.rate = rate
        self.unthrottled_writes = rate.write_bytes >= UNLIMITED and rate.write_records >= UNLIMITED
        self.unthrottled_reads = rate.read_bytes >= UNLIMITED


class Records:
    """The operations of chapter 5.4."""

    def __init__(
        self, log: RecordLog, directory: Directory, limits: Limits, clock: Clock, cursor_key: bytes
    ) -> None:
        self._log = log
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self._cursors = CursorCodec(
            cursor_key, lifetime_ms=limits.cursor_seconds * 1000, max_length=limits.cursor_length
        )
        self._states: dict[str, _StreamState] = {}
        self._write_windows: dict[PartitionRef, RateWindow] = {}
        self._read_windows: dict[PartitionRef, RateWindow] = {}
        self.totals = Totals()
        directory.on_change(self._forget)

    # 5.4.1 ------------------------------------------------------------------------------------------------------

    async def put(self, project_id: str, request: PutRecords, *, body_bytes: int) -> PutOutcome:
        """Store the records; each one durable or with an error of its own when this returns.

        Raises DIS.4202 (no records), DIS.4301, DIS.4205, DIS.4300 (a record over 1 MB, a request over 5 MB),
        DIS.4200 (too many records). `body_bytes` is the size of the decoded body, an upper bound of all data.
        """
        state = self._state(project_id, request.stream_name, request.stream_id)
        records = request.records
        if not records:
            raise ApiError("DIS.4202")
        if state.stream.status is not StreamStatus.RUNNING:
            raise ApiError("DIS.4205")
        self._check_sizes(records, body_bytes)
        failed: dict[int, tuple[str, str]] = {}
        batches, places = self._group(state, records, failed)
        if not state.unthrottled_writes:
            batches, places = self._throttle(state, batches, places, failed)
        results = await self._log.append(batches) if batches else []
        placed: list[Placed] = []
        totals = self.totals
        for batch, indices, result in zip(batches, places, results, strict=True):
            if isinstance(result, Durable):
                placed.append(Placed(batch.ref.number, result.base, len(batch.data), indices))
                totals.records_in += len(batch.data)
            else:
                failure = record_failure(result, state.stream, batch.ref.number)
                for index in range(len(records)) if indices is None else indices:
                    failed[index] = failure
        totals.puts += 1
        totals.bytes_in += body_bytes
        totals.refused += len(failed)
        return PutOutcome(len(records), placed, failed)

    def _check_sizes(self, records: list[PutRecord], body_bytes: int) -> None:
        limits = self._limits
        if len(records) > limits.records_per_request:
            raise invalid(
                "records", f"{len(records)} records, at most {limits.records_per_request} in a request"
            )
        # Data and keys are smaller than the body that carried them: most requests need no count at all.
        if body_bytes <= limits.partition_key_length:
            return
        for index, record in enumerate(records):
            if record.partition_key and len(record.partition_key) > limits.partition_key_length:
                reason = f"{len(record.partition_key)} characters, at most {limits.partition_key_length}"
                raise invalid(f"records[{index}].partition_key", reason)
        if body_bytes <= limits.record_bytes:
            return
        sizes = [len(record.data) for record in records]
        if max(sizes) > limits.record_bytes:
            index = next(i for i, size in enumerate(sizes) if size > limits.record_bytes)
            raise malformed(
                f"records[{index}].data", f"{sizes[index]} bytes, at most {limits.record_bytes} in a record"
            )
        if sum(sizes) > limits.request_bytes:
            raise malformed(
                "records", f"{sum(sizes)} bytes of data, at most {limits.request_bytes} in a request"
            )

    def _group(
        self, state: _StreamState, records: list[PutRecord], failed: dict[int, tuple[str, str]]
    ) -> tuple[list[Batch], list[Sequence[int] | None]]:
        """Batches by partition and where in the request their records are; records without a place go to `failed`."""
        keys = [record.partition_key for record in records]
        data = [record.data for record in records]
        numbers = self._numbers(state.routing, records, keys, failed)
        columns = keys if any(keys) else None
        if columns is not None and not all(columns):
            columns = [key or None for key in columns]
        first = numbers[0]
        if numbers.count(first) == len(numbers):
            return ([Batch(state.refs[first], data, columns)], [None]) if first >= 0 else ([], [])
        groups: dict[int, list[int]] = {}
        for index, number in enumerate(numbers):
            group = groups.get(number)
            if group is None:
                groups[number] = [index]
            else:
                group.append(index)
        groups.pop(-1, None)
        batches = [
            Batch(
                state.refs[number],
                [data[i] for i in indices],
                None if columns is None else [columns[i] for i in indices],
            )
            for number, indices in groups.items()
        ]
        return batches, list(groups.values())

    def _numbers(
        self,
        routing: RoutingTable,
        records: list[PutRecord],
        keys: list[str | None],
        failed: dict[int, tuple[str, str]],
    ) -> list[int]:
        """The partition of each record; -1 for those put into `failed`."""
        # Most requests name keys only: then routing is one look-up a record, in C.
        if all(keys) and not any(record.partition_id or record.explicit_hash_key for record in records):
            return routing.by_keys(keys)
        numbers: list[int] = []
        for index, record in enumerate(records):
            try:
                number = routing.route(record.partition_id, record.explicit_hash_key, record.partition_key)
            except RecordError as error:
                failed[index] = (error.code, error.message)
                number = -1
            numbers.append(number)
        return numbers

    def _throttle(
        self,
        state: _StreamState,
        batches: list[Batch],
        places: list[Sequence[int] | None],
        failed: dict[int, tuple[str, str]],
    ) -> tuple[list[Batch], list[Sequence[int] | None]]:
        now = self._clock.monotonic()
        kept: list[Batch] = []
        kept_places: list[Sequence[int] | None] = []
        refusal = ("DIS.4303", render("DIS.4303"))
        for batch, indices in zip(batches, places, strict=True):
            window = self._write_windows.get(batch.ref)
            if window is None:
                window = RateWindow(state.rate.write_records, state.rate.write_bytes)
                self._write_windows[batch.ref] = window
            admitted = window.admit([len(data) for data in batch.data], now)
            if admitted == len(batch.data):
                kept.append(batch)
                kept_places.append(indices)
                continue
            positions = range(len(batch.data)) if indices is None else indices
            for index in positions[admitted:]:
                failed[index] = refusal
            self.totals.throttled += len(positions) - admitted
            if admitted:
                keys = None if batch.keys is None else batch.keys[:admitted]
                kept.append(Batch(batch.ref, batch.data[:admitted], keys))
                kept_places.append(positions[:admitted])
        return kept, kept_places

    # 5.4.3 ------------------------------------------------------------------------------------------------------

    async def cursor(
        self,
        project_id: str,
        *,
        stream_name: str,
        stream_id: str,
        partition_id: str,
        cursor_type: str,
        sequence: str,
        timestamp: str,
    ) -> str:
        """A cursor, from the query's texts ("" is absent; a timestamp of 0 too).

        Raises DIS.4301, 4201, 4302, 4319, 4215, 4216, 4224, 4200 (timestamp), 4300 (timestamp older than retention).
        """
        state = self._state(project_id, stream_name, stream_id)
        stream = state.stream
        if stream.status is StreamStatus.TERMINATING:
            raise ApiError("DIS.4205")
        number = self._readable_partition(stream, partition_id)
        ref = state.refs[number]
        try:
            kind = CursorType(cursor_type) if cursor_type else CursorType.AT_SEQUENCE_NUMBER
        except ValueError:
            raise ApiError("DIS.4215", f"[cursor-type: {cursor_type[:64]}]") from None
        wanted = _sequence(sequence)
        when = _timestamp(timestamp)
        try:
            start = await self._resolve(ref, stream, kind, wanted, when)
        except UnknownPartition:
            raise stream_missing(stream.name, project_id) from None
        now = self._clock.now_ms()
        return self._cursors.encode(
            Cursor(stream.name, stream.stream_id, number, kind, start, now), project_id
        )

    async def _resolve(
        self, ref: PartitionRef, stream: Stream, kind: CursorType, wanted: int | None, when: int | None
    ) -> int:
        bounds = self._log.bounds(ref)
        if kind is CursorType.LATEST:
            return bounds.next
        if kind is CursorType.AT_TIMESTAMP and when is not None:
            oldest = self._clock.now_ms() - stream.retention_hours * 3_600_000
            if when < oldest:
                detail = f"[timestamp is expired, timestamp should be larger than {oldest}]"
                raise ApiError("DIS.4300", detail)
            return await self._log.sequence_at(ref, when)
        if kind in (CursorType.TRIM_HORIZON, CursorType.AT_TIMESTAMP) or wanted is None:
            return bounds.earliest
        after = kind is CursorType.AFTER_SEQUENCE_NUMBER
        # A tail read (number == end) is how the Kafka adapter waits for what comes next; after it lies nothing.
        last = bounds.next - 1 if after else bounds.next
        if not bounds.earliest <= wanted <= last:
            # The form the Java SDK parses: three bracketed numbers (clients.md section 5).
            raise ApiError("DIS.4224", f"[{wanted}][ should be within ][{bounds.earliest}][ ][{bounds.next}]")
        return wanted + 1 if after else wanted

    # 5.4.2 ------------------------------------------------------------------------------------------------------

    async def fetch(
        self, project_id: str, cursor_text: str, max_bytes: int | None, max_records: int
    ) -> Fetched:
        """Records from a cursor on. `max_bytes` counts data before Base64; a first record over it is not
        returned (5.4.2: "the record cannot be obtained"), without it one record always is.

        Raises DIS.4217, 4225, 4226, 4301, 4302, 4319, 4303 (the partition's read rate), 5000 (damaged segment).
        """
        now = self._clock.now_ms()
        cursor = self._cursors.decode(cursor_text, project_id, now)
        stream = self._directory.by_id(cursor.stream_id)
        if stream is None or stream.project_id != project_id:
            if self._directory.get(project_id, cursor.stream_name) is None:
                raise stream_missing(cursor.stream_name, project_id)
            raise ApiError("DIS.4217", f"[stream {cursor.stream_name} was deleted and created again]")
        if stream.status is StreamStatus.TERMINATING:
            raise ApiError("DIS.4205")
        state = self._state_of(stream)
        ref = state.refs.get(cursor.partition)
        if ref is None:
            raise ApiError("DIS.4217", "[partition-cursor: no such partition]")
        if state.routing.by_number[ref.number].status is PartitionStatus.EXPIRED:
            raise ApiError("DIS.4319", f"[{stream.name}][{project_id}][{partition_name(ref.number)}]")
        budget = self._limits.fetch_bytes_default if max_bytes is None else max_bytes
        throttled = False
        if not state.unthrottled_reads:
            space = self._read_window(state, ref).space(self._clock.monotonic())
            if space < budget:
                budget, throttled = space, True
        slices = await self._read(ref, cursor, stream, budget, max_records)
        size = sum(_data_bytes(part) for part in slices) if throttled or not state.unthrottled_reads else 0
        strict = max_bytes is not None or throttled
        slices = self._cut(slices, budget, max_records, strict=strict)
        if not slices and throttled and size and (max_bytes is None or max_bytes > budget):
            self.totals.throttled += 1
            raise ApiError("DIS.4303")
        if slices:
            last = slices[-1]
            position = last.frame.base + last.stop
        else:
            position = max(cursor.sequence, self._bounds_earliest(ref, cursor))
        self._account(state, ref, slices)
        following = Cursor(
            stream.name, stream.stream_id, ref.number, CursorType.AT_SEQUENCE_NUMBER, position, now
        )
        return Fetched(slices, self._cursors.encode(following, project_id))

    def _bounds_earliest(self, ref: PartitionRef, cursor: Cursor) -> int:
        return self._log.bounds(ref).earliest if cursor.kind is CursorType.TRIM_HORIZON else 0

    async def _read(
        self, ref: PartitionRef, cursor: Cursor, stream: Stream, budget: int, max_records: int
    ) -> list[Slice]:
        sequence = cursor.sequence
        try:
            if cursor.kind is CursorType.TRIM_HORIZON:
                # The horizon may have moved since the cursor was made: the earliest record is still what it means.
                sequence = max(sequence, self._log.bounds(ref).earliest)
            frames = await self._log.read(ref, sequence, max(budget, 1), max_records)
        except OutOfRange:
            raise ApiError("DIS.4226") from None
        except UnknownPartition:
            raise stream_missing(stream.name, stream.project_id) from None
        except LogError as error:
            raise ApiError("DIS.5000", f"[{error}]") from None
        slices = [Slice(frame, 0, frame.count) for frame in frames]
        if slices and frames[0].base < sequence:
            slices[0] = Slice(frames[0], sequence - frames[0].base, frames[0].count)
        return slices

    def _cut(self, slices: list[Slice], budget: int, max_records: int, *, strict: bool) -> list[Slice]:
        """The front of `slices` that fits `budget` bytes of data and `max_records`."""
        kept: list[Slice] = []
        for part in slices:
            count = part.stop - part.start
            # A payload holds its data and more: when it fits, the data does.
            if count <= max_records and len(part.frame.payload) <= budget:
                kept.append(part)
                max_records -= count
                budget -= len(part.frame.payload) if part.whole else _data_bytes(part)
                continue
            stop = part.start
            for data in decode_payload(part.frame.payload)[1][part.start : part.stop]:
                if stop - part.start >= max_records:
                    break
                if len(data) > budget and (strict or kept or stop > part.start):
                    break
                budget -= len(data)
                stop += 1
            if stop > part.start:
                kept.append(Slice(part.frame, part.start, stop))
                max_records -= stop - part.start
            if stop < part.stop:
                break
        return kept

    def _account(self, state: _StreamState, ref: PartitionRef, slices: list[Slice]) -> None:
        totals = self.totals
        totals.reads += 1
        totals.records_out += sum(part.stop - part.start for part in slices)
        totals.bytes_out += sum(len(part.frame.payload) for part in slices)
        if slices and not state.unthrottled_reads:
            size = sum(_data_bytes(part) for part in slices)
            self._read_window(state, ref).spend(size, self._clock.monotonic())

    # ------------------------------------------------------------------------------------------------------------

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        """Let the log keep a frame's wire form beside it."""
        self._log.keep_rendered(frame, rendered)

    def _state(self, project_id: str, stream_name: str | None, stream_id: str | None) -> _StreamState:
        """By name, else by id (5.4.1 table 5-66: "If no stream is found based on stream_name")."""
        if not stream_name and not stream_id:
            raise invalid("stream_name", "required")
        stream = self._directory.get(project_id, stream_name) if stream_name else None
        if stream is None and stream_id:
            stream = self._directory.by_id(stream_id)
            if stream is not None and stream.project_id != project_id:
                stream = None
        if stream is None:
            raise stream_missing((stream_name or stream_id or "")[:64], project_id)
        return self._state_of(stream)

    def _state_of(self, stream: Stream) -> _StreamState:
        state = self._states.get(stream.stream_id)
        if state is None or state.stream is not stream:
            limits = self._limits
            rate = limits.advanced if stream.stream_type is StreamType.ADVANCED else limits.common
            state = self._states[stream.stream_id] = _StreamState(stream, rate)
        return state

    def _forget(self, before: Stream | None, after: Stream | None) -> None:
        if before is None:
            return
        self._states.pop(before.stream_id, None)
        if after is None:
            for partition in before.partitions:
                ref = PartitionRef(before.stream_id, partition.number)
                self._write_windows.pop(ref, None)
                self._read_windows.pop(ref, None)

    def _read_window(self, state: _StreamState, ref: PartitionRef) -> RateWindow:
        window = self._read_windows.get(ref)
        if window is None:
            window = self._read_windows[ref] = RateWindow(UNLIMITED, state.rate.read_bytes)
        return window

    def _readable_partition(self, stream: Stream, partition_id: str) -> int:
        if not partition_id:
            raise ApiError("DIS.4201", "[partition-id: required]")
        number = parse_partition_id(partition_id)
        if number is None:
            raise ApiError(
                "DIS.4201", f"[partition-id: {partition_id[:64]}, expected shardId-0000000000 or 0]"
            )
        where = f"[{stream.name}][{stream.project_id}][{partition_name(number)}]"
        if number >= len(stream.partitions):
            raise ApiError("DIS.4302", where)
        if stream.partitions[number].status is PartitionStatus.EXPIRED:
            raise ApiError("DIS.4319", where)
        return number


def _data_bytes(part: Slice) -> int:
    data = decode_payload(part.frame.payload)[1]
    return sum(map(len, data if part.whole else data[part.start : part.stop]))


def _sequence(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > SEQUENCE_MAX:
        raise ApiError("DIS.4216", f"[starting-sequence-number: {text[:64]}]")
    return int(text)


def _timestamp(text: str) -> int | None:
    if text in ("", "0"):
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise invalid("timestamp", f"{text[:64]} is not a time in milliseconds")
    return int(text)
