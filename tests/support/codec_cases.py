"""One input through both codecs: what either makes of it, and whether they differ. Owns the comparison, which the differential
tests and `make fuzz` share; the inputs are theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from tests.support.codecs import compiled, records_of, using

from penstock.errors import ApiError
from penstock.http.wire import json_records, protobuf
from penstock.log.base import Frame, Packed, PartitionRef
from penstock.log.payload import count_bytes
from penstock.log.payload import decode as decode_payload
from penstock.model.hashing import split
from penstock.model.routing import RoutingTable
from penstock.model.streams import Partition, PartitionStatus, Stream, StreamStatus
from penstock.service.partitions import Slice
from penstock.service.puts import ColumnarPut, Failures, PutRequest
from penstock.service.records import Fetched, PutOutcome

LIMITS = (0, 1, 5, 64)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, IndexError)
_DECODERS = {"json": json_records.decode_put, "protobuf": protobuf.decode_put}


class Difference(AssertionError):
    """The codecs do not agree."""


class Table(NamedTuple):
    """How the partitions of a stream are: a status each."""

    statuses: tuple[PartitionStatus, ...]
    turn: int = 0

    def routing(self) -> RoutingTable:
        active = [number for number, status in enumerate(self.statuses) if status is PartitionStatus.ACTIVE]
        ranges = dict(zip(active, split(len(active)) if active else [], strict=True))
        partitions = tuple(
            Partition(number=number, status=status, hash_start=low, hash_end=high)
            for number, status in enumerate(self.statuses)
            for low, high in [ranges.get(number, (-1, -1))]
        )
        stream = Stream(
            stream_id="i" * 20,
            name="s",
            project_id="p" * 32,
            status=StreamStatus.RUNNING,
            retention_hours=24,
            created_ms=0,
            modified_ms=0,
            partitions=partitions,
        )
        table = RoutingTable(stream)
        table.turn = self.turn % max(1, len(table.numbers))
        return table


def table(*statuses: str, turn: int = 0) -> Table:
    return Table(tuple(PartitionStatus(status) for status in statuses), turn)


ONE = table("ACTIVE")
FOUR = table("ACTIVE", "DELETED", "ACTIVE", "ACTIVE", "EXPIRED", "ACTIVE", turn=2)
NONE = table("DELETED")


def put(kind: str, body: bytes, partitions: Sequence[Table] = (ONE, FOUR, NONE)) -> bool:
    """Decode, check, route and pack a body with both codecs. Whether the compiled one decoded it. Raises Difference."""
    wanted = _put("python", kind, body, partitions)
    got = _put("native", kind, body, partitions)
    if wanted[1:] != got[1:]:
        raise Difference(f"{kind} {body[:2000]!r}: {wanted[1:]!r:.2000} and {got[1:]!r:.2000}")
    if kind == "json" and got[0]:
        taken(body, partitions)
    elif kind == "json" and compiled().take_put_json(body, {}) is not None:
        raise Difference(f"{body[:2000]!r} is taken")
    return got[0]


def taken(body: bytes, partitions: Sequence[Table]) -> int:
    """A JSON body the compiled codec decodes, taken in one go as far as it can be: what that gives is what decoding and packing give.
    How often it was. Raises Difference."""
    times = 0
    with using("python"):
        request = json_records.decode_put(body)
        name, count = request.stream_name, request.count()
        wanted = [
            _packed(json_records.decode_put(body), one.routing()) if count else None for one in partitions
        ]
    for one, expected in zip(partitions, wanted, strict=True):
        table = one.routing()
        router = compiled().Router(table.ends, table.numbers)
        streams = {"other": (router, "wrong"), name or "": (router, "right")}
        found = compiled().take_put_json(body, streams)
        packed, where, failed, turn = expected if expected is not None else ([], [], {}, -1)
        plain = name is not None and not request.stream_id and len(packed) == 1 and where == [None]
        if found is None and plain and count == 1 and not failed and turn == table.turn:
            raise Difference(f"{body[:2000]!r} is not taken, and is {packed}")
        if found is not None:
            times += 1
            batch = packed[0] if plain and not failed and turn == table.turn else None
            if batch is None or found != (
                "right",
                batch.ref.number,
                batch.records,
                batch.payload,
                batch.size,
            ):
                raise Difference(f"{body[:2000]!r}: {found}, and {expected}")
    return times


def _put(name: str, kind: str, body: bytes, partitions: Sequence[Table]) -> tuple[bool, object]:
    with using(name):
        try:
            request = _DECODERS[kind](body)
        except ApiError as error:
            return False, (error.code, error.message)
        seen: list[object] = [request.stream_name, request.stream_id, request.count(), request.data_bytes()]
        seen += [(request.first_long_key(limit), request.first_large(limit)) for limit in LIMITS]
        seen += [(r.data, r.partition_key, r.partition_id, r.explicit_hash_key) for r in records_of(request)]
        if request.count():
            for one in partitions:
                seen.append(_packed(_DECODERS[kind](body), one.routing()))
        return isinstance(request, ColumnarPut), seen


def _packed(
    request: PutRequest, routing: RoutingTable
) -> tuple[list[Packed], list[list[int] | None], Failures, int]:
    failed: Failures = {}
    refs = {number: PartitionRef("i" * 20, number) for number in range(16)}
    packed, places = request.pack(routing, refs, failed)
    where = [None if place is None else list(place) for place in places]
    return packed, where, failed, routing.turn


def outcome(made: PutOutcome) -> None:
    """Replies to PutRecords. Raises Difference."""
    for encode in (json_records.encode_outcome, protobuf.encode_outcome):
        with using("python"):
            wanted = encode(made)
        with using("native"):
            got = encode(made)
        if wanted != got:
            raise Difference(f"{made}: {wanted!r:.2000} and {got!r:.2000}")


class _Keeper:
    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        """Every rendering is made anew."""


def fetched(payload: bytes, count: int, start: int, stop: int, base: int, append_ms: int) -> None:
    """Replies to GetRecords of one slice. Raises Difference, but not for what no log holds: a payload of another length."""
    results = []
    for name in ("python", "native"):
        with using(name):
            results.append(_fetched(payload, count, start, stop, base, append_ms))
    if results[0] != results[1]:
        raise Difference(f"{payload[:2000]!r} {start}:{stop}: {results[0]!r:.2000} and {results[1]!r:.2000}")


def _is_payload(payload: bytes, count: int) -> bool:
    try:
        keys, data = decode_payload(payload)
    except _UNREADABLE:
        return False
    return len(data) == count and (keys is None or len(keys) == count)


def _fetched(payload: bytes, count: int, start: int, stop: int, base: int, append_ms: int) -> object:
    frame = Frame(PartitionRef("i" * 20, 0), base, count, append_ms, payload)
    part = Fetched([Slice(frame, start, stop)], "cursor")
    whole = stop - start == count
    seen: list[object] = []
    for encode in (_as_json, protobuf.encode_fetched):
        frame.data_bytes = -1
        try:
            seen.append(encode(part))
        except _UNREADABLE as error:
            seen.append(type(error))
        else:
            seen.append(frame.data_bytes if whole else None)
    try:
        seen.append(count_bytes(payload, start, stop))
    except _UNREADABLE as error:
        seen.append(type(error))
    return seen


def _as_json(part: Fetched) -> bytes:
    return b"".join(json_records.encode_fetched(part, _Keeper()))  # type: ignore[arg-type]
