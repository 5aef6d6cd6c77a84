"""A decoded PutRecords request, by record or by column: what may be asked of it, and its records packed by partition.

Owns the two forms, which answer alike: `PutRecords` holds objects, `ColumnarPut` what the compiled codec decoded, of which no
object per record is ever made. Knows no wire and no limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

import msgspec

from penstock import codec
from penstock.limits import SEQUENCE_MAX
from penstock.log.base import Packed, PartitionRef
from penstock.log.payload import encode as encode_payload
from penstock.model.routing import RecordError, RoutingTable

Failures = dict[int, tuple[str, str]]
"""Index of a record -> code and message."""
Places = Sequence[int] | None
"""Where records of a partition are in their request; None: all of them are."""


class PutRequest(Protocol):
    """A PutRecords request (5.4.1 table 5-66), decoded by whichever codec."""

    @property
    def stream_name(self) -> str | None: ...
    @property
    def stream_id(self) -> str | None: ...

    def count(self) -> int:
        """How many records."""

    def data_bytes(self) -> int:
        """Bytes of their data."""

    def first_long_key(self, limit: int) -> tuple[int, int] | None:
        """Index and characters of the first partition key that has more than `limit`."""

    def first_large(self, limit: int) -> tuple[int, int] | None:
        """Index and bytes of the first record that has more than `limit` of data."""

    def pack(
        self, routing: RoutingTable, refs: Mapping[int, PartitionRef], failed: Failures
    ) -> tuple[list[Packed], list[Places]]:
        """The records by partition, in the order in which partitions appear, and where they are in the request. Those that
        cannot go anywhere are put into `failed`. The request is used up."""


class PutRecord(msgspec.Struct, gc=False):
    """One record of a PutRecords request (5.4.1 table 5-67). `data` is the decoded bytes. `timestamp` is what the Java
    client sends: checked for its type, otherwise unused, for records carry the time they were written (table 5-74)."""

    data: bytes
    partition_key: str | None = None
    partition_id: str | None = None
    explicit_hash_key: str | None = None
    timestamp: Annotated[int, msgspec.Meta(ge=-SEQUENCE_MAX - 1, le=SEQUENCE_MAX)] | None = None


class PutRecords(msgspec.Struct):
    """A PutRequest with an object for each record: what the Python codec decodes, and the description of the body."""

    records: list[PutRecord] | None = None
    stream_name: str | None = None
    stream_id: str | None = None

    def count(self) -> int:
        return len(self.records or ())

    def data_bytes(self) -> int:
        return sum(len(record.data) for record in self.records or ())

    def first_long_key(self, limit: int) -> tuple[int, int] | None:
        for index, record in enumerate(self.records or ()):
            if record.partition_key and len(record.partition_key) > limit:
                return index, len(record.partition_key)
        return None

    def first_large(self, limit: int) -> tuple[int, int] | None:
        for index, record in enumerate(self.records or ()):
            if len(record.data) > limit:
                return index, len(record.data)
        return None

    def pack(
        self, routing: RoutingTable, refs: Mapping[int, PartitionRef], failed: Failures
    ) -> tuple[list[Packed], list[Places]]:
        records = self.records or []
        self.records = None  # the payloads hold what is stored
        keys = [record.partition_key for record in records]
        data = [record.data for record in records]
        numbers = _numbers(routing, records, keys, failed)
        columns = keys if any(keys) else None
        if columns is not None and not all(columns):
            columns = [key or None for key in columns]
        first = numbers[0]
        if numbers.count(first) == len(numbers):
            return ([_packed(refs[first], data, columns)], [None]) if first >= 0 else ([], [])
        groups: dict[int, list[int]] = {}
        for index, number in enumerate(numbers):
            group = groups.get(number)
            if group is None:
                groups[number] = [index]
            else:
                group.append(index)
        groups.pop(-1, None)
        packed = [
            _packed(
                refs[number],
                [data[i] for i in indices],
                None if columns is None else [columns[i] for i in indices],
            )
            for number, indices in groups.items()
        ]
        return packed, list(groups.values())


def _packed(ref: PartitionRef, data: list[bytes], keys: list[str | None] | None) -> Packed:
    return Packed(ref, len(data), encode_payload(keys, data), sum(map(len, data)))


def _numbers(
    routing: RoutingTable, records: list[PutRecord], keys: list[str | None], failed: Failures
) -> list[int]:
    """The partition of each record; -1 for those put into `failed`."""
    # Most requests name keys only: then routing is one look-up a record, in C.
    if (
        routing.numbers
        and all(keys)
        and not any(record.partition_id or record.explicit_hash_key for record in records)
    ):
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


class ColumnarPut:
    """A PutRequest the compiled codec decoded."""

    __slots__ = ("_codec", "_puts", "stream_id", "stream_name")

    def __init__(self, puts: codec.Puts, by: codec.Native) -> None:
        self._puts = puts
        self._codec = by
        self.stream_name = puts.stream_name
        self.stream_id = puts.stream_id

    @property
    def records(self) -> list[PutRecord]:
        """The records as objects, without their timestamps; for tests and for whoever looks."""
        return [PutRecord(*self._puts.record(index)) for index in range(len(self._puts))]

    def count(self) -> int:
        return len(self._puts)

    def data_bytes(self) -> int:
        return self._puts.data_bytes

    def first_long_key(self, limit: int) -> tuple[int, int] | None:
        return self._puts.first_long_key(limit)

    def first_large(self, limit: int) -> tuple[int, int] | None:
        return self._puts.first_large(limit)

    def pack(
        self, routing: RoutingTable, refs: Mapping[int, PartitionRef], failed: Failures
    ) -> tuple[list[Packed], list[Places]]:
        router = routing.compiled
        if router is None:
            router = routing.compiled = self._codec.Router(routing.ends, routing.numbers)
        routing.turn, groups, odd = self._puts.pack(router, routing.turn)
        for index, partition_id, explicit_hash_key in odd:
            try:
                routing.route(partition_id, explicit_hash_key, None)
            except RecordError as error:
                failed[index] = (error.code, error.message)
        new = tuple.__new__  # there may be hundreds
        packed = [
            new(Packed, (refs[number], records, payload, size))
            for number, records, payload, size, _ in groups
        ]
        return packed, [where for *_, where in groups]
