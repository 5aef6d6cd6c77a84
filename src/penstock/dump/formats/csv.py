"""CSV from JSON (RFC 4180): a header, then a line for each record. Owns which columns there are and what is in a cell; checks no types.

Columns are the fields of the stream's schema, in its order; attributes that it does not have are left out. Without a schema, or with
one that is not that of a record, they are all attributes of the file's records, sorted. Every file has a header: columns without a
schema differ from file to file. Cells: text as it is, null and attributes that are not there as nothing, everything else as JSON.
Lines end with a newline alone, as in text files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from operator import methodcaller
from typing import Any

from penstock.dump.base import Body, Chunk, Encoded, Reject
from penstock.dump.decoding import batches, json_text, objects_twice, plain_objects
from penstock.dump.formats import avro

MOST_ATTRIBUTES = 1000
"""Without a schema, a file of more has one column, the record as JSON: its attributes are data and no columns."""
_AS_THEY_ARE = frozenset((str, int, float, type(None)))
"""The writer's text of numbers is JSON, too."""


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
            cells = [_cells(values, name) for name in columns] or [list(map(json_text, values))]
            rows = list(zip(*cells, strict=True))
            body.write(_lines(rows if records else [columns or [avro.VALUE], *rows]).encode())
            records += len(values)
        if not records:
            body.close()
            return [], rejects
        return [Encoded(self.extension, body, records)], rejects


def _objects(chunks: Iterable[Chunk], rejects: list[Reject]) -> Iterator[list[dict[str, Any]]]:
    for batch in batches(chunks):
        values, bad = plain_objects(batch)
        rejects += bad
        if values:
            yield values


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
    return [value if type(value) in _AS_THEY_ARE else json_text(value) for value in column]


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    """Lines of CSV. The writer is told to end lines with both characters, because it puts only those in quotes that it ends lines with,
    and some readers take either for the end of a line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    written = text.getvalue()
    if written.count("\r") == written.count("\n") == len(rows):  # none in a cell
        return written.replace("\r\n", "\n")
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return "".join(lines)


class _Lines(list[str]):
    """Takes what a writer writes, which is a line at a time."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")
