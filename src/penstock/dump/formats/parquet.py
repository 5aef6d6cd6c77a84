"""Parquet from JSON: typed by the stream's schema, or by what the records of a file have. Owns how files are written; `typed` and
`inferred` have the columns.

Records are taken a batch at a time, and each batch is a row group, so that memory is bounded however large a file is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow.parquet as pq

from penstock.dump.base import Body, Chunk, Encoded, Reject
from penstock.dump.decoding import batches, objects_twice
from penstock.dump.formats.inferred import InferredRecords
from penstock.dump.formats.typed import TypedRecords

COMPRESSION = "snappy"
"""What everything reads, from Hadoop on."""


class ParquetFormat:
    """Makes one file of JSON records. Those that do not fit are rejected, and the others are not affected."""

    extension = ".parquet"

    def __init__(self, schema: str | None) -> None:
        """`schema` is the stream's `data_schema`."""
        self._typed = None if schema is None else TypedRecords(schema)

    def encode(self, chunks: Iterable[Chunk]) -> tuple[list[Encoded], list[Reject]]:
        rejects: list[Reject] = []
        file = _File()
        if self._typed is None:
            columns = InferredRecords()
            groups, rejects = objects_twice(chunks, columns.add)
            for values in groups:
                file.write(columns.table(values))
        else:
            for batch in batches(chunks):
                values, bad = self._typed.decode(batch)
                rejects += bad
                if values:
                    file.write(self._typed.table(values))
        return file.close(), rejects


class _File:
    """A Parquet file in the making; there is none before something is written."""

    def __init__(self) -> None:
        self._body = Body()
        self._writer: Any = None
        self._records = 0

    def write(self, table: Any) -> None:
        """Append a row group."""
        if self._writer is None:
            # Readers get their types from Parquet's own schema: Arrow's copy of it would only differ from release to release.
            self._writer = pq.ParquetWriter(
                _Unclosed(self._body), table.schema, compression=COMPRESSION, store_schema=False
            )
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._records += table.num_rows

    def close(self) -> list[Encoded]:
        """Write what belongs at the end."""
        if self._writer is None:
            self._body.close()
            return []
        self._writer.close()
        return [Encoded(ParquetFormat.extension, self._body, self._records)]


class _Unclosed:
    """A body as the file that Arrow writes; closing it keeps what it has."""

    closed = False

    def __init__(self, body: Body) -> None:
        self._body = body

    def write(self, data: bytes) -> int:
        return self._body.write(data)

    def flush(self) -> None:
        self._body.flush()

    def close(self) -> None:
        self.closed = True
