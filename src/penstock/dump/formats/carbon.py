"""CarbonData from JSON, with the columns that Parquet has. Owns what Arrow's types become in Carbon, and how columns are sent to the
helper that writes the files; that process is `dump.carbon_helper`'s.

A file of records is a directory, `<planned key>.carbon/`: the data, then the index that names it. Their own names are the same in
every directory, whatever records retention may have left for a later attempt, and the same records give the same bytes: a
delivery that is repeated replaces file by file, and a directory never has files of two attempts side by side.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from penstock.dump.base import Chunk, Encoded, Reject
from penstock.dump.carbon_helper import Column, ColumnType, carbon_helper
from penstock.dump.decoding import batches, objects_twice
from penstock.dump.formats.inferred import InferredRecords
from penstock.dump.formats.typed import TypedRecords
from penstock.model.streams import Stream

FRAME_BYTES = 4 << 20
"""Rows are sent that many bytes at a time, or one by one when they are larger."""
MOST_ROWS = 16_384
"""In a frame."""
_DIGITS = 38
"""Carbon's decimals have no more."""
_NOT_IN_NAMES = re.compile(r"\W")
_INT32 = struct.Struct("<i")
_encode = msgspec.json.Encoder().encode


class CarbonFormat:
    """Makes a directory of JSON records. Those that do not fit are rejected, and the others are not affected."""

    extension = ".carbon"

    def __init__(self, stream: Stream, data: Path) -> None:
        """`data` is the server's data directory."""
        self._typed = None if stream.data_schema is None else TypedRecords(stream.data_schema)
        self._helper = carbon_helper(data)

    def encode(self, chunks: Iterable[Chunk]) -> tuple[list[Encoded], list[Reject]]:
        """NotDelivered when the helper is not there (yet)."""
        rejects: list[Reject] = []
        found = self._tables(chunks, rejects)
        head = next(found, None)
        if head is None:
            return [], rejects
        records = 0

        def frames() -> Iterator[bytes]:
            nonlocal records
            for table in _chained(head, found):
                records += table.num_rows
                yield from frames_of(table)

        made = self._helper.make(columns_of(head.schema), frames())
        # Data comes first, and has the records; nearly always it is one file.
        return [
            Encoded(f"{self.extension}/{name}", body, 0 if number else records)
            for number, (name, body) in enumerate(made)
        ], rejects

    def _tables(self, chunks: Iterable[Chunk], rejects: list[Reject]) -> Iterator[Any]:
        """Of one schema, a batch of records at a time."""
        if self._typed is None:
            columns = InferredRecords()
            groups, bad = objects_twice(chunks, columns.add)
            rejects += bad
            yield from map(columns.table, groups)
            return
        for batch in batches(chunks):
            values, bad = self._typed.decode(batch)
            rejects += bad
            if values:
                yield self._typed.table(values)


def _chained(head: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield head
    yield from rest


# Types ----------------------------------------------------------------------------------------------------------------


def column_names(names: Iterable[str]) -> list[str]:
    """Names as Carbon can read them: lower case (it knows no other), `_` for what is neither letter nor digit (a point leads to a
    part, a comma ends a name), and a number at the end of one that is taken."""
    unique: dict[str, None] = {}
    for name in names:
        plain = _NOT_IN_NAMES.sub("_", name.lower()) or "_"
        tried, number = plain, 1
        while tried in unique:
            number += 1
            tried = f"{plain}_{number}"
        unique[tried] = None
    return list(unique)


def columns_of(schema: Any) -> list[Column]:
    """The columns of a file with that Arrow schema."""
    return [
        _column(name, type_)
        for name, type_ in zip(column_names(schema.names), map(sent_type, schema.types), strict=True)
    ]


def _column(name: str, type_: Any) -> Column:
    if pa.types.is_decimal(type_):
        return Column(name, ColumnType.DECIMAL, type_.precision, type_.scale)
    return Column(name, _TYPES[type_])


_TYPES = {
    pa.bool_(): ColumnType.BOOLEAN,
    pa.int32(): ColumnType.INT,
    pa.int64(): ColumnType.LONG,
    pa.float32(): ColumnType.FLOAT,
    pa.float64(): ColumnType.DOUBLE,
    pa.date32(): ColumnType.DATE,
    pa.timestamp("ms"): ColumnType.TIMESTAMP,
    pa.string(): ColumnType.TEXT,
    pa.binary(): ColumnType.BINARY,
}
"""Arrow types that are sent as they are, as decimals of up to 38 digits are."""


def sent_type(type_: Any) -> Any:
    """What a column of that type is made into: Carbon has no times of day, and its times are milliseconds. What it has nothing for is
    text: of JSON for lists, maps and objects."""
    if pa.types.is_timestamp(type_):
        return pa.timestamp("ms")
    if pa.types.is_fixed_size_binary(type_):
        return pa.binary()
    if type_ in _TYPES or (pa.types.is_decimal128(type_) and type_.precision <= _DIGITS):
        return type_
    return pa.string()


def sent_array(array: Any) -> Any:
    """A column as it is sent."""
    type_ = sent_type(array.type)
    if array.type == type_:
        return array
    if pa.types.is_nested(array.type):
        values = array.to_pylist(maps_as_pydicts="strict")
        return pa.array([None if value is None else str(_encode(value), "utf-8") for value in values], type_)
    if pa.types.is_timestamp(array.type):
        # Stored is the moment in UTC; a local time is kept as if it were one. Finer fractions are cut off.
        if array.type.unit == "us":
            array = pc.floor_temporal(array, unit="millisecond")
        return array.cast(pa.timestamp("ms", array.type.tz)).cast(pa.int64()).cast(type_)
    return array.cast(type_)


# Frames (Columns.java) ------------------------------------------------------------------------------------------------


def frames_of(table: Any) -> Iterator[bytes]:
    """The rows of a table, each frame of about FRAME_BYTES."""
    for batch in table.combine_chunks().to_batches(max_chunksize=MOST_ROWS):
        yield from _halved(pa.record_batch(list(map(sent_array, batch.columns)), names=batch.schema.names))


def _halved(batch: Any) -> Iterator[bytes]:
    if batch.nbytes <= FRAME_BYTES or batch.num_rows == 1:
        yield b"".join(
            [_INT32.pack(batch.num_rows), *(part for array in batch.columns for part in _parts(array))]
        )
    else:
        half = batch.num_rows // 2
        yield from _halved(batch.slice(0, half))
        yield from _halved(batch.slice(half))


def _parts(array: Any) -> Iterator[bytes | memoryview]:
    """A column: which values are not null, then the values, with anything in the place of nulls."""
    if array.null_count:
        yield b"\1"
        yield _values(array.is_valid().cast(pa.uint8()), 1)
    else:
        yield b"\0"
    if pa.types.is_boolean(array.type):
        yield _values(array.cast(pa.uint8()), 1)
    elif pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        _, offsets, data = array.buffers()
        starts = pa.Array.from_buffers(pa.int32(), len(array) + 1, [None, offsets], offset=array.offset)
        first, last = starts[0].as_py(), starts[-1].as_py()
        yield _values(pc.subtract(starts, pa.scalar(first, pa.int32())), 4)
        yield b"" if data is None else memoryview(data)[first:last]
    else:
        yield _values(array, array.type.bit_width // 8)


def _values(array: Any, width: int) -> memoryview:
    """The numbers of a column, `width` bytes each."""
    start = array.offset * width
    return memoryview(array.buffers()[1])[start : start + len(array) * width]
