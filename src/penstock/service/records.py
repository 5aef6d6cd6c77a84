"""Records and cursors: chapter 5.4 of the API reference, the hot path.

Owns what PutRecords, GetRecords and the cursor call mean: which stream and partition, what is refused and how. Knows no wire
format: requests arrive decoded, and replies leave as numbers and frames for `http.wire` to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from penstock.clock import Clock
from penstock.errors import ApiError, invalid, malformed, render, stream_missing
from penstock.iam.base import Principal
from penstock.limits import SEQUENCE_MAX, Limits
from penstock.log.base import (
    Durable,
    Frame,
    LogError,
    OutOfRange,
    Packed,
    PartitionRef,
    UnknownPartition,
)
from penstock.log.payload import count_bytes
from penstock.model.cursors import Cursor, CursorCodec, CursorType
from penstock.model.routing import parse_partition_id
from penstock.model.streams import (
    PartitionStatus,
    Right,
    Stream,
    StreamStatus,
    StreamType,
    partition_name,
)
from penstock.service.access import Access
from penstock.service.direct import WRITE, DirectPuts
from penstock.service.directory import Directory
from penstock.service.failures import record_failure
from penstock.service.partitions import PartitionStore, Slice, Throttled, data_bytes
from penstock.service.puts import Failures, PutRequest
from penstock.service.stream_state import StreamState, Totals
from penstock.service.traffic import Traffic

READ, READ_CURSOR = "dis:records:read", "dis:records:readCursor"
"""What an IAM user must be allowed (chapter 6 table 6-1)."""
RETRY_GRACE_MS = 10_000
_THROTTLED = ("DIS.4303", render("DIS.4303"))


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


class Fetched(NamedTuple):
    """Records in order, and the cursor that goes on after them; of which partition and stream, for who counts."""

    slices: list[Slice]
    next_cursor: str
    ref: PartitionRef | None = None
    whole: PartitionRef | None = None


class Records:
    """The operations of chapter 5.4."""

    def __init__(
        self,
        partitions: PartitionStore,
        directory: Directory,
        access: Access,
        limits: Limits,
        clock: Clock,
        cursor_key: bytes,
        traffic: Traffic | None = None,
    ) -> None:
        """`traffic` is where what passes is counted."""
        self._traffic = traffic or Traffic(clock)
        self._partitions = partitions
        self._directory = directory
        self._access = access
        self._limits = limits
        self._clock = clock
        self._cursors = CursorCodec(
            cursor_key, lifetime_ms=limits.cursor_seconds * 1000, max_length=limits.cursor_length
        )
        self._states: dict[str, StreamState] = {}
        self.totals = Totals()
        self.direct = DirectPuts(partitions, access, limits, clock, self._traffic, self.totals)
        """The short way of most puts."""
        directory.on_change(self._forget)

    # 5.4.1 ------------------------------------------------------------------------------------------------------

    async def put(
        self, principal: Principal, project_id: str, request: PutRequest, *, body_bytes: int
    ) -> PutOutcome:
        """Store the records; each one durable or with an error of its own when this returns. `request` is used up.

        Raises DIS.4202 (no records), DIS.4301, DIS.4116, DIS.4205, DIS.4300 (a record over 1 MB, a request over 5 MB),
        DIS.4200 (too many records). `body_bytes` is the size of the decoded body, an upper bound of all data.
        """
        began = self._clock.monotonic()
        stream = self._access.find_stream(
            principal, project_id, request.stream_name, request.stream_id, Right.PUT, WRITE
        )
        state = self._state_of(stream)
        total = request.count()
        if not total:
            raise ApiError("DIS.4202")
        if state.stream.status is not StreamStatus.RUNNING:
            raise ApiError("DIS.4205")
        self._check_sizes(request, body_bytes)
        failed: Failures = {}
        batches, places = request.pack(state.routing, state.refs, failed)
        self.direct.know(state)
        results = await self._partitions.put(batches, state.rate) if batches else []
        placed: list[Placed] = []
        totals, traffic = self.totals, self._traffic
        throttled = 0
        counted: list[Packed] = []
        new = tuple.__new__
        for batch, place, (admitted, result) in zip(batches, places, results, strict=True):
            ref, records, _, size = batch
            if admitted == records and size >= 0 and isinstance(result, Durable):
                placed.append(new(Placed, (ref.number, result.base, records, place)))
                counted.append(batch)
                continue
            indices = place
            where = range(total) if indices is None else indices
            if admitted < len(where):
                throttled += len(where) - admitted
                failed.update(dict.fromkeys(where[admitted:], _THROTTLED))
                indices = where = where[:admitted]
            if isinstance(result, Durable):
                placed.append(Placed(ref.number, result.base, admitted, indices))
                size = count_bytes(batch.payload, 0, admitted)
                counted.append(Packed(ref, admitted, b"", size))
            elif result is not None:
                failed.update(dict.fromkeys(where, record_failure(result, state.stream, batch.ref.number)))
        stored = 0
        if counted:
            microseconds = int((self._clock.monotonic() - began) * 1_000_000)
            stored = traffic.put_each(state.whole, counted, microseconds)
        if throttled:
            traffic.of(state.whole).puts_throttled += 1
            totals.throttled += throttled
        totals.puts += 1
        totals.records_in += stored
        totals.bytes_in += body_bytes
        totals.refused += len(failed)
        if failed and stream.project_id != project_id:
            # Messages name the stream as its own project does; in another one, nothing tells which that is.
            failed = {
                index: (code, message.replace(stream.project_id, project_id))
                for index, (code, message) in failed.items()
            }
        return PutOutcome(total, placed, failed)

    def _check_sizes(self, request: PutRequest, body_bytes: int) -> None:
        limits = self._limits
        if request.count() > limits.records_per_request:
            raise invalid(
                "records", f"{request.count()} records, at most {limits.records_per_request} in a request"
            )
        # Data and keys are smaller than the body that carried them: most requests need no count at all.
        if body_bytes <= limits.partition_key_length:
            return
        if (found := request.first_long_key(limits.partition_key_length)) is not None:
            reason = f"{found[1]} characters, at most {limits.partition_key_length}"
            raise invalid(f"records[{found[0]}].partition_key", reason)
        if body_bytes <= limits.record_bytes:
            return
        if (found := request.first_large(limits.record_bytes)) is not None:
            raise malformed(
                f"records[{found[0]}].data", f"{found[1]} bytes, at most {limits.record_bytes} in a record"
            )
        if body_bytes > limits.request_bytes and (size := request.data_bytes()) > limits.request_bytes:
            raise malformed("records", f"{size} bytes of data, at most {limits.request_bytes} in a request")

    # 5.4.3 ------------------------------------------------------------------------------------------------------

    async def cursor(
        self,
        principal: Principal,
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

        Raises DIS.4301, 4116, 4201, 4302, 4319, 4215, 4216, 4224, 4200 (timestamp), 4300 (timestamp older than
        retention).
        """
        stream = self._access.find_stream(
            principal, project_id, stream_name, stream_id, Right.GET, READ_CURSOR
        )
        state = self._state_of(stream)
        if stream.status is StreamStatus.TERMINATING:
            raise ApiError("DIS.4205")
        number = self._readable_partition(stream, project_id, partition_id)
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
        bounds = await self._partitions.bounds(ref)
        if kind is CursorType.LATEST:
            return bounds.next
        if kind is CursorType.AT_TIMESTAMP and when is not None:
            oldest = self._clock.now_ms() - stream.retention_hours * 3_600_000
            # Clients ask again with the number they are told (the Kafka adapter does): it must still do then.
            if when < oldest - RETRY_GRACE_MS:
                detail = f"[timestamp is expired, timestamp should be larger than {oldest}]"
                raise ApiError("DIS.4300", detail)
            return await self._partitions.sequence_at(ref, when)
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
        self,
        principal: Principal,
        project_id: str,
        cursor_text: str,
        max_bytes: int | None,
        max_records: int,
    ) -> Fetched:
        """Records from a cursor on. `max_bytes` counts data before Base64; a first record over it is not
        returned (5.4.2: "the record cannot be obtained"), without it one record always is.

        What was allowed when the cursor was made is asked again. Raises DIS.4217, 4116, 4225, 4226, 4301, 4302, 4319, 4303 (the partition's read rate), 5000 (damaged segment).
        """
        began, now = self._clock.monotonic(), self._clock.now_ms()
        cursor = self._cursors.decode(cursor_text, project_id, now)
        stream = self._directory.by_id(cursor.stream_id)
        if stream is None and self._directory.get(project_id, cursor.stream_name) is not None:
            raise ApiError("DIS.4217", f"[stream {cursor.stream_name} was deleted and created again]")
        if stream is None or not self._access.visible(principal, project_id, stream, Right.GET):
            raise stream_missing(cursor.stream_name, project_id)
        if not principal.owner:
            self._access.check(principal, project_id, READ, stream)
        if stream.status is StreamStatus.TERMINATING:
            raise ApiError("DIS.4205")
        state = self._state_of(stream)
        ref = state.refs.get(cursor.partition)
        if ref is None:
            raise ApiError("DIS.4217", "[partition-cursor: no such partition]")
        if state.routing.by_number[ref.number].status is PartitionStatus.EXPIRED:
            raise ApiError("DIS.4319", f"[{stream.name}][{project_id}][{partition_name(ref.number)}]")
        slices, position = await self._read(state, project_id, ref, cursor, max_bytes, max_records)
        if slices:
            last = slices[-1]
            position = last.frame.base + last.stop
        totals = self.totals
        totals.reads += 1
        whole = self._traffic.of(state.whole)
        whole.gets += 1
        if slices:
            records = sum(part.stop - part.start for part in slices)
            totals.records_out += records
            whole.records_out += records
            self._traffic.of(ref).records_out += records
        whole.gets_us += int((self._clock.monotonic() - began) * 1_000_000)
        totals.bytes_out += sum(len(part.frame.payload) for part in slices)
        following = Cursor(
            stream.name, stream.stream_id, ref.number, CursorType.AT_SEQUENCE_NUMBER, position, now
        )
        return Fetched(slices, self._cursors.encode(following, project_id), ref, state.whole)

    def returned(self, fetched: Fetched) -> None:
        """Count the bytes of what was read. Call it when the reply is encoded: that looks at the data anyway."""
        size = sum(map(data_bytes, fetched.slices))
        if size and fetched.ref is not None and fetched.whole is not None:
            self._traffic.of(fetched.ref).bytes_out += size
            self._traffic.of(fetched.whole).bytes_out += size

    async def _read(
        self,
        state: StreamState,
        project_id: str,
        ref: PartitionRef,
        cursor: Cursor,
        max_bytes: int | None,
        max_records: int,
    ) -> tuple[list[Slice], int]:
        sequence = cursor.sequence
        try:
            if cursor.kind is CursorType.TRIM_HORIZON:
                # The horizon may have moved since the cursor was made: the earliest record is still what it means.
                sequence = max(sequence, (await self._partitions.bounds(ref)).earliest)
            return await self._partitions.fetch(ref, sequence, max_bytes, max_records, state.rate), sequence
        except Throttled:
            self.totals.throttled += 1
            self._traffic.of(state.whole).gets_throttled += 1
            raise ApiError("DIS.4303") from None
        except OutOfRange:
            raise ApiError("DIS.4226") from None
        except UnknownPartition:
            raise stream_missing(cursor.stream_name, project_id) from None
        except LogError as error:
            raise ApiError("DIS.5000", f"[{error}]") from None

    # ------------------------------------------------------------------------------------------------------------

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        """Let the log keep a frame's wire form beside it."""
        self._partitions.keep_rendered(frame, rendered)

    def _state_of(self, stream: Stream) -> StreamState:
        state = self._states.get(stream.stream_id)
        if state is None or state.stream is not stream:
            limits = self._limits
            rate = limits.advanced if stream.stream_type is StreamType.ADVANCED else limits.common
            state = self._states[stream.stream_id] = StreamState(stream, rate)
        return state

    def _forget(self, before: Stream | None, after: Stream | None) -> None:
        if before is None:
            return
        self._states.pop(before.stream_id, None)
        self.direct.forget(before)
        if after is None:
            self._partitions.forget(PartitionRef(before.stream_id, p.number) for p in before.partitions)

    def _readable_partition(self, stream: Stream, project_id: str, partition_id: str) -> int:
        if not partition_id:
            raise ApiError("DIS.4201", "[partition-id: required]")
        number = parse_partition_id(partition_id)
        if number is None:
            raise ApiError(
                "DIS.4201", f"[partition-id: {partition_id[:64]}, expected shardId-0000000000 or 0]"
            )
        where = f"[{stream.name}][{project_id}][{partition_name(number)}]"
        if number >= len(stream.partitions):
            raise ApiError("DIS.4302", where)
        if stream.partitions[number].status is PartitionStatus.EXPIRED:
            raise ApiError("DIS.4319", where)
        return number


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
