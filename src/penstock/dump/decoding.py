"""Reading records: JSON objects, lines of CSV, attributes and times in them. Owns what of a record can be read, and the reason given
when it cannot; knows no file format and no destination.

A whole chunk is decoded in one go; only a chunk with a bad record is gone through record by record to find it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import count, repeat
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from penstock.dump.base import Chunk, Reject
from penstock.model.tasks import TIMESTAMP_FORMATS, TimestampType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REASON_CHARACTERS = 300
"""Longest reason of a reject: a record's own text may be in it."""
BATCH_BYTES = 8 << 20
"""Records are made into files that many bytes at a time."""
_MARGIN = 100
_SHALLOW_BYTES = 1000
_TIMES_KEPT = 1 << 16
_STAND_INS = range(0xE000, 0xF900)
"""Characters of private use, one of which stands in for a delimiter that is longer than one."""

csv.field_size_limit(
    1 << 30
)  # of the whole process: the default is less than a record, and records have their own limit

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_FIELDS = {
    "%Y": "(?P<year>[0-9]{4})",
    "%m": "(?P<month>[0-9]{1,2})",
    "%d": "(?P<day>[0-9]{1,2})",
    "%H": "(?P<hour>[0-9]{1,2})",
    "%M": "(?P<minute>[0-9]{1,2})",
    "%S": "(?P<second>[0-9]{1,2})",
}
_FORMS = {
    form: re.compile(re.sub("%.", lambda code: _FIELDS[code[0]], directives))
    for form, directives in TIMESTAMP_FORMATS.items()
}
"""Numbers may be short of leading zeros, except years. strptime takes four times as long."""

R = TypeVar("R")
V = TypeVar("V")


class _Missing:
    """The type of MISSING."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()
"""An attribute that is not there, which is not the same as one that is null."""


class Row(NamedTuple):
    """A record whose data is a JSON object."""

    sequence: int
    append_ms: int
    value: dict[str, Any]
    data: bytes


class CsvRow(NamedTuple):
    """A record of a CSV stream."""

    sequence: int
    append_ms: int
    fields: list[str]
    data: bytes


class Unreadable(ValueError):
    """A record cannot be read; the message says why."""


def reason(error: Exception | str) -> str:
    """What an error says, as one line that is not too long."""
    return " ".join(str(error).split())[:REASON_CHARACTERS]


def batches(chunks: Iterable[Chunk], size: int = BATCH_BYTES) -> Iterator[list[Chunk]]:
    """Chunks in groups of about that many bytes, at least one in each."""
    batch: list[Chunk] = []
    filled = 0
    for chunk in chunks:
        batch.append(chunk)
        filled += sum(map(len, chunk.data))
        if filled >= size:
            yield batch
            batch, filled = [], 0
    if batch:
        yield batch


# JSON -----------------------------------------------------------------------------------------------------------------


def objects(chunks: Iterable[Chunk]) -> tuple[list[Row], list[Reject]]:
    """Records decoded, one JSON object each. Integers keep every digit; of an attribute that is there twice the last one counts."""
    return _rows(chunks, Row._make, _objects, _object)


def plain_objects(chunks: Iterable[Chunk]) -> tuple[list[dict[str, Any]], list[Reject]]:
    """`objects`, for what needs their values only."""
    return _rows(chunks, itemgetter(2), _objects, _object)


def objects_twice(
    chunks: Iterable[Chunk], look: Callable[[list[dict[str, Any]]], None]
) -> tuple[Iterator[list[dict[str, Any]]], list[Reject]]:
    """For what has to have seen all of a file before it begins: calls `look` with all objects, a batch at a time, then gives them again.
    They are decoded again unless there is but one batch; what stays in memory is the records as they came."""
    groups = list(batches(chunks))
    rejects: list[Reject] = []
    values: list[dict[str, Any]] = []
    for group in groups:
        values, bad = plain_objects(group)
        rejects += bad
        look(values)
    if len(groups) <= 1:
        return iter([values] if values else []), rejects
    again = (plain_objects(group)[0] for group in groups)
    return filter(None, again), rejects


def _objects(data: list[bytes]) -> list[dict[str, Any]]:
    # What decodes must encode again, wherever that is called from: so what may be nested deep decodes with less of the stack left.
    deep = max(map(len, data), default=0) >= _SHALLOW_BYTES
    return _deeper(_MARGIN if deep else 0, data)


def _deeper(frames: int, data: list[bytes]) -> list[dict[str, Any]]:
    return _deeper(frames - 1, data) if frames else list(map(_decode, data))


def _object(data: bytes) -> dict[str, Any]:
    try:
        return _objects([data])[0]
    except (ValueError, RecursionError) as error:
        raise Unreadable(not_json(error)) from error


def not_json(error: Exception) -> str:
    """The reason of a record that did not decode."""
    if isinstance(error, UnicodeDecodeError):
        return "not a JSON object: a text in it is not UTF-8"
    if isinstance(error, RecursionError):
        return "not a JSON object that can be read: nested too deep"
    return f"not a JSON object: {reason(error)}"


def json_text(value: Any) -> str:
    """A value as text: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else str(_encode(value), "utf-8")


def attribute(value: dict[str, Any], path: str) -> Any:
    """The attribute of that very name; else, with dots in the name, the one it leads to through nested objects; else MISSING."""
    found = value.get(path, MISSING)
    if found is not MISSING or "." not in path:
        return found
    here: Any = value
    for step in path.split("."):
        if not isinstance(here, dict):
            return MISSING
        here = here.get(step, MISSING)
    return here


# CSV ------------------------------------------------------------------------------------------------------------------


def lines(chunks: Iterable[Chunk], delimiter: str) -> tuple[list[CsvRow], list[Reject]]:
    """Records of a CSV stream, one line each; fields are text, and an empty line has none. A line break at a record's end is not data;
    one within quotes is. A delimiter may be longer than a character."""

    def one(data: bytes) -> list[str]:
        try:
            return _fields([data], delimiter)[0]
        except UnicodeDecodeError as error:
            raise Unreadable("not a line of CSV: not UTF-8") from error
        except csv.Error as error:
            raise Unreadable(f"not a line of CSV: {reason(error).split(' - ')[0]}") from error

    return _rows(chunks, CsvRow._make, lambda data: _fields(data, delimiter), one)


def _fields(data: Sequence[bytes], delimiter: str) -> list[list[str]]:
    texts = [str(record, "utf-8").removesuffix("\n").removesuffix("\r") for record in data]
    if len(delimiter) == 1 and delimiter not in '"\r\n':
        rows = list(csv.reader(texts, delimiter=delimiter, strict=True))
    else:
        whole = "\n".join(texts)
        stand_in = next((chr(code) for code in _STAND_INS if chr(code) not in whole), "")
        if not stand_in:
            raise csv.Error("every character of private use is in it")
        replaced = [text.replace(delimiter, stand_in) for text in texts]
        rows = [
            [field.replace(stand_in, delimiter) for field in row]
            for row in csv.reader(replaced, delimiter=stand_in, strict=True)
        ]
    if len(rows) != len(texts):  # quotes left open take in the next record
        raise csv.Error("quotes are not closed")
    return rows


# Times ----------------------------------------------------------------------------------------------------------------


def moment(value: Any, kind: TimestampType, form: str, zone: tzinfo) -> datetime | None:
    """A record's time, in `zone`; None when it is not one (5.5.1 table 5-83). A Timestamp is 13 digits, a number or text: milliseconds
    since 1970 UTC. A String is a local time in `zone`, written in `form`, one of TIMESTAMP_FORMATS."""
    if kind is TimestampType.STRING:
        return _local(value, form, zone) if type(value) is str else None
    if type(value) is str and len(value) == 13 and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or not 10**12 <= value < 10**13:
        return None
    return (EPOCH + timedelta(milliseconds=value)).astimezone(zone)


@lru_cache(maxsize=_TIMES_KEPT)  # records that follow each other often have the same second
def _local(text: str, form: str, zone: tzinfo) -> datetime | None:
    found = _FORMS[form].fullmatch(text)
    if found is None:
        return None
    numbers = {name: int(digits) for name, digits in found.groupdict().items()}
    try:
        return datetime(**numbers, tzinfo=zone)
    except ValueError:
        return None


def _rows(
    chunks: Iterable[Chunk],
    make: Callable[[tuple[int, int, V, bytes]], R],
    many: Callable[[list[bytes]], list[V]],
    one: Callable[[bytes], V],
) -> tuple[list[R], list[Reject]]:
    """Decode chunk by chunk with `many`, which may raise anything a bad record makes it raise, else record by record with `one`, which
    raises Unreadable."""
    rows: list[R] = []
    rejects: list[Reject] = []
    for chunk in chunks:
        try:
            values = many(chunk.data)
        except (ValueError, csv.Error, RecursionError):
            for sequence, data in enumerate(chunk.data, chunk.base):
                try:
                    rows.append(make((sequence, chunk.append_ms, one(data), data)))
                except Unreadable as error:
                    rejects.append(Reject(sequence, data, str(error)))
        else:
            rows.extend(map(make, zip(count(chunk.base), repeat(chunk.append_ms), values, chunk.data)))
    return rows, rejects
