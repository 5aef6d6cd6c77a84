"""Records as rows of HBase (5.5.10 tables 5-119 to 5-121), and rows as bodies of its REST server. Pure: owns what a row is; sends
nothing.

The row key is the texts of its attributes with the delimiter between them, the value of a cell the text of one attribute
(`attribute_types`), its timestamp the arrival of the record: delivering a record again writes the same version again. Records of
a round that have one row key and one millisecond become one row, of each cell the value of the latest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from penstock.dump.base import Part, Reject
from penstock.dump.decoding import Row
from penstock.dump.sinks.attribute_types import Reader, Source, Unfit, rows, text
from penstock.model.tasks import CloudTableSchema

KEY_BYTES = 32_767
"""Longest row key of HBase (HConstants.MAX_ROW_LENGTH)."""
CELL_BYTES = 10 << 20
"""Largest cell, its key in it, that HBase's client takes (`hbase.client.keyvalue.maxsize`)."""
ROWS = 1_000
"""Rows of one request."""
BODY_BYTES = 2 << 20
"""Bytes of keys, columns and values of one request; a single larger row is one too."""
_CELL_OVERHEAD = 20
"""What HBase adds to row key, column and value."""


class Put(NamedTuple):
    """A row at one time: cells are `family:name` -> value. `sources` are the records in it, in order."""

    key: bytes
    timestamp: int
    cells: dict[bytes, bytes]
    sources: list[Source]

    @property
    def size(self) -> int:
        """About what it takes in a request, before that is encoded."""
        own = sum(len(column) + len(value) + _CELL_OVERHEAD for column, value in self.cells.items())
        return len(self.key) + own


class Made(NamedTuple):
    """What became of a round: rows, and by partition the records that are none."""

    puts: list[Put]
    rejects: dict[int, list[Reject]]


class RowMaker:
    """Makes rows by one task's schema."""

    def __init__(self, schema: CloudTableSchema, delimiter: str) -> None:
        self._key = schema.row_key
        self._columns = [
            (f"{c.column_family_name}:{c.column_name}".encode(), c.value, c.type) for c in schema.columns
        ]
        self._delimiter = delimiter

    def make(self, parts: Iterable[Part]) -> Made:
        """The rows of a round, in the order of the records that came first."""
        puts: dict[tuple[bytes, int], Put] = {}
        rejected: dict[int, list[Reject]] = {}
        for partition, found, rejects in rows(parts):
            for row in found:
                try:
                    key, cells = self._row(row)
                except Unfit as error:
                    rejects.append(Reject(row.sequence, row.data, str(error)))
                    continue
                source = Source(partition, row.sequence, row.data)
                put = puts.setdefault((key, row.append_ms), Put(key, row.append_ms, cells, []))
                put.sources.append(source)
                if len(put.sources) > 1:
                    put.cells.update(cells)
            if rejects:
                rejected.setdefault(partition, []).extend(rejects)
        return Made(list(puts.values()), rejected)

    def _row(self, row: Row) -> tuple[bytes, dict[bytes, bytes]]:
        """Row key and cells of a record. Raises Unfit."""
        reader = Reader(row)
        texts = []
        for part in self._key:
            value = reader.read(part.value, part.type)
            if value is None:
                raise Unfit(f"attribute {part.value} of the row key is missing")
            texts.append(text(value))
        key = self._delimiter.join(texts).encode()
        if not 0 < len(key) <= KEY_BYTES:
            raise Unfit(f"a row key of {len(key)} bytes: HBase takes 1 to {KEY_BYTES}")
        cells = {}
        for column, name, kind in self._columns:
            value = reader.read(name, kind)
            if value is None:
                continue
            cells[column] = text(value).encode()
            size = len(key) + len(column) + len(cells[column]) + _CELL_OVERHEAD
            if size > CELL_BYTES:
                raise Unfit(f"attribute {name} makes a cell of {size} bytes: HBase takes {CELL_BYTES}")
        if not cells:
            raise Unfit("it has none of the attributes that the columns are made of")
        return key, cells


def batches(puts: Iterable[Put]) -> Iterator[list[Put]]:
    """Rows, as many together as one request takes."""
    batch: list[Put] = []
    size = 0
    for put in puts:
        if batch and (len(batch) == ROWS or size + put.size > BODY_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(put)
        size += put.size
    if batch:
        yield batch


class _Cell(msgspec.Struct, rename={"value": "$"}):
    column: bytes
    timestamp: int
    value: bytes


class _Row(msgspec.Struct, rename={"cells": "Cell"}):
    key: bytes
    cells: list[_Cell]


class _Body(msgspec.Struct, rename={"rows": "Row"}):
    rows: list[_Row]


_encode = msgspec.json.Encoder().encode  # bytes become base64, as HBase's REST server wants them


def body(puts: Iterable[Put]) -> bytes:
    """The body of a request that puts these rows."""
    return _encode(
        _Body(
            [
                _Row(put.key, [_Cell(column, put.timestamp, value) for column, value in put.cells.items()])
                for put in puts
            ]
        )
    )
