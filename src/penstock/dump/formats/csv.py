"""CSV from JSON (RFC 4180): a header, then a line for each record. Owns which columns there are and what is in a cell; checks no types.

Columns are the fields of the stream's schema, in its order; attributes that it does not have are left out. Without a schema, or with
one that is not that of a record, they are all attributes of the file's records, sorted. Every file has a header: columns without a
schema differ from file to file. Cells: text as it is, null and attributes that are not there as nothing, everything else as JSON.
Lines end with a newline alone, as in text files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from operator import methodcaller
from typing import Any

from penstock.dump.base import Body, Chunk, Encoded, Reject
from penstock.dump.decoding import batches, json_text, objects, objects_twice
from penstock.dump.formats import avro

MOST_ATTRIBUTES = 1000
"""Without a schema, a file of more has one column, the record as JSON: its attributes are data and no columns."""
_ENDING = "\r\n"
_AS_THEY_ARE = frozenset((str, int, type(None)))


class CsvFormat:
    """Makes one file of JSON objects."""

    extension = ".csv"

    def __init__(self, schema: str | None) -> None:
        """`schema` is the stream's `data_schema`."""
        type_ = None if schema is None else avro.read(schema)
        self._columns = [field.name for field in type_.fields] if isinstance(type_, avro.Record) else None

    def encode(self, chunks: Iterable[Chunk]) -> tuple[list[Encoded], list[Reject]]:
        columns = self._columns
        groups: Iterator[list[dict[str, Any]]]
        if columns is None:
            names = _Names()
            groups, rejects = objects_twice(chunks, names.add)
            columns = names.columns()
        else:
            rejects = []
            groups = _objects(chunks, rejects)
        body = Body()
        records = 0
        for values in groups:
            lines = _Lines()
            writer = csv.writer(lines, lineterminator=_ENDING)
            if not records:
                writer.writerow(columns or [avro.VALUE])
            cells = [_cells(values, name) for name in columns] or [list(map(json_text, values))]
            writer.writerows(zip(*cells, strict=True))
            body.write("".join(lines).encode())
            records += len(values)
        if not records:
            body.close()
            return [], rejects
        return [Encoded(self.extension, body, records)], rejects


def _objects(chunks: Iterable[Chunk], rejects: list[Reject]) -> Iterator[list[dict[str, Any]]]:
    for batch in batches(chunks):
        rows, bad = objects(batch)
        rejects += bad
        if rows:
            yield [row.value for row in rows]


class _Names:
    """All attributes of a file's records."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def add(self, objects: list[dict[str, Any]]) -> None:
        if len(self._names) <= MOST_ATTRIBUTES:
            self._names.update(*objects)

    def columns(self) -> list[str]:
        """None when there are too many."""
        return sorted(self._names) if len(self._names) <= MOST_ATTRIBUTES else []


def _cells(values: list[dict[str, Any]], name: str) -> list[Any]:
    column = list(map(methodcaller("get", name), values))
    if set(map(type, column)) <= _AS_THEY_ARE:
        return column
    return [None if value is None else json_text(value) for value in column]


class _Lines(list[str]):
    """Takes what a writer writes, a line at a time. It is told to end lines with both characters because it only quotes cells with
    characters that it ends lines with, and both would break a line for some readers."""

    def write(self, line: str) -> None:
        self.append(line[: -len(_ENDING)] + "\n")
