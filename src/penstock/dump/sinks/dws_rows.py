"""Records as the text that COPY takes. Owns which attribute or field goes into which column, what a value looks like there, and what
`options` say of records that do not fit (5.5.7 table 5-106); knows no database, no sequence numbers and no transaction.

All of it is decided here, before the database sees anything, so that every server behaves alike: PostgreSQL has no such options.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import msgspec

from penstock.dump.base import Chunk
from penstock.dump.decoding import lines, not_json
from penstock.model.streams import DataType, Stream
from penstock.model.tasks import DwsDescriptor, DwsOptions

_SHAPES_KEPT = 1024
"""Sets of attributes that are remembered; records of one producer have few."""
_QUESTION_MARK = "penstock-question-mark"
_NOT_UTF8 = "not UTF-8; compatible_illegal_chars would put ? for what is wrong"
_ZERO = "holds the character zero, which no text can; compatible_illegal_chars would make it a space"

# Cells are put together with marks around each and become what COPY takes a batch at a time: a step for every cell would take longer
# than all the rest. Neither JSON nor the lines of CSV that come this way have marks in them; `escaped` leaves none.
_BEFORE, _AFTER, _END = b"\x1e", b"\x1f", b"\x1d"
_BETWEEN = _AFTER + _BEFORE
_LINE_BREAKS = (b"\n", b"\r")
_NOT_PLAIN = (b'"', b"\\", b"\t", *_LINE_BREAKS, _BEFORE, _AFTER, _END)
_ESCAPES = str.maketrans(
    {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\x1d": r"\x1d", "\x1e": r"\x1e", "\x1f": r"\x1f"}
)
_QUOTE, _NULL = b'"', b"null"

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode

codecs.register_error(_QUESTION_MARK, lambda error: ("?", getattr(error, "end")))  # noqa: B009


class Encoded(NamedTuple):
    """`text` has a line of COPY for each of the `rows` records that fit, in order; `refused` says of the others, by their index, why
    they do not."""

    text: bytes
    rows: int
    refused: dict[int, str]


class Rows(Protocol):
    """Makes lines of records. Works without waiting; the caller gives it a thread, one at a time."""

    def encode(self, records: Sequence[bytes]) -> Encoded:
        """The records' lines."""


def make_rows(stream: Stream, descriptor: DwsDescriptor, columns: Sequence[str]) -> Rows:
    """What makes the lines of a stream's records for `columns`: those that the task names, or all of the table.

    JSON: attributes go to columns by name. CSV: fields go to columns by position, or by the names that the stream's `data_schema` gives
    them. What separates the fields is what the stream says of its data, else `dws_delimiter`.
    """
    options = descriptor.options
    # Naming columns says which part of the records is wanted, so that the rest is not too much.
    extra_allowed = options.ignore_extra_data or bool(descriptor.columns)
    if stream.data_type is not DataType.CSV:
        return JsonRows(columns, options, extra_allowed=extra_allowed)
    delimiter = stream.csv_delimiter or descriptor.dws_delimiter
    names = _field_names(stream.data_schema)
    if names:
        return CsvRows(columns, options, delimiter, names, extra_allowed=extra_allowed)
    return CsvRows(columns, options, delimiter)


class Assigned(NamedTuple):
    """Which name fills each column, None for a column without one; and the names that fill none."""

    names: list[str | None]
    extra: list[str]


def assign(columns: Sequence[str], names: Sequence[str]) -> Assigned:
    """Find a name for each column: its own, else the first one that is the same in another case (tables made with unquoted names have
    them in small letters). No name fills two columns."""
    left = dict.fromkeys(names)
    chosen: list[str | None] = [column if column in left else None for column in columns]
    for name in chosen:
        if name is not None:
            del left[name]
    folded: dict[str, str] = {}
    for name in left:
        folded.setdefault(name.lower(), name)
    for place, column in enumerate(columns):
        if chosen[place] is None and (found := folded.pop(column.lower(), None)) is not None:
            chosen[place] = found
            del left[found]
    return Assigned(chosen, list(left))


def escaped(text: str) -> str:
    """A text as COPY takes it."""
    return text.translate(_ESCAPES)


# JSON -----------------------------------------------------------------------------------------------------------------

_Pick = Callable[[dict[str, Any]], Iterable[Any]]


class JsonRows:
    """JSON objects. Numbers keep their digits as they were sent; null is NULL; objects and arrays are JSON text."""

    def __init__(self, columns: Sequence[str], options: DwsOptions, *, extra_allowed: bool = False) -> None:
        self._columns = columns
        self._options = options
        self._extra_allowed = extra_allowed or options.ignore_extra_data
        self._shapes: dict[tuple[str, ...], _Pick | str] = {}

    def encode(self, records: Sequence[bytes]) -> Encoded:
        records, refused = _readable(records, self._options)
        rows: list[bytes] = []
        shapes = self._shapes
        for index, record in enumerate(records):
            if refused and index in refused:
                continue
            try:
                value = _decode(record)
            except (ValueError, RecursionError) as error:
                refused[index] = not_json(error)
                continue
            keys = tuple(value)
            pick = shapes.get(keys) or self._shape(keys)
            if isinstance(pick, str):
                refused[index] = pick
            elif b"\\" not in record:
                rows.append(_BETWEEN.join(pick(value)))
            else:
                try:
                    rows.append(_BETWEEN.join([self._careful(bytes(raw)) for raw in pick(value)]))
                except ValueError as error:
                    refused[index] = f"an attribute {error}"
        text = _END.join(rows)
        if any(space in text for space in (*_LINE_BREAKS, b"\t")):  # between the parts of an object or array
            for space, letters in ((b"\n", rb"\n"), (b"\r", rb"\r"), (b"\t", rb"\t")):
                text = text.replace(space, letters)
        text = _wrapped(text)
        text = text.replace(_BEFORE + _NULL + _AFTER, _BEFORE + rb"\N" + _AFTER)
        text = text.replace(_BEFORE + _QUOTE, _BEFORE).replace(_QUOTE + _AFTER, _AFTER)
        return Encoded(_unwrapped(text) if rows else b"", len(rows), refused)

    def _shape(self, keys: tuple[str, ...]) -> _Pick | str:
        """What picks the value for each column out of records that have these attributes; or why such records do not fit."""
        names, extra = assign(self._columns, keys)
        missing = [column for column, name in zip(self._columns, names, strict=True) if name is None]
        found: _Pick | str
        if missing and not self._options.fill_missing_fields:
            found = f"no attribute for column {missing[0]}; fill_missing_fields would make it NULL"
        elif extra and not self._extra_allowed:
            found = f"no column for attribute {extra[0][:100]}; ignore_extra_data would leave it out"
        elif missing or len(names) == 1:
            found = _picking(names)
        else:
            found = itemgetter(*names)
        if len(self._shapes) >= _SHAPES_KEPT:
            self._shapes.clear()
        self._shapes[keys] = found
        return found

    def _careful(self, cell: bytes) -> bytes:
        """A value of a record with escapes in it, so that it can stand between the others. Raises ValueError."""
        if cell[0] in b"{[":
            return cell.replace(b"\\", rb"\\")
        if cell[:1] != _QUOTE:
            return cell
        text = _text(cell)
        if "\0" in text:
            if not self._options.compatible_illegal_chars:
                raise ValueError(_ZERO)
            text = text.replace("\0", " ")
        return _QUOTE + escaped(text).encode() + _QUOTE


def _picking(names: Sequence[str | None]) -> _Pick:
    return lambda value: [_NULL if name is None else value[name] for name in names]


# CSV ------------------------------------------------------------------------------------------------------------------


class CsvRows:
    """Lines of CSV, without names their fields as they come. An empty field is NULL."""

    def __init__(
        self,
        columns: Sequence[str],
        options: DwsOptions,
        delimiter: str,
        names: Sequence[str] = (),
        *,
        extra_allowed: bool = False,
    ) -> None:
        self._options = options
        self._delimiter = delimiter
        self._width = len(names or columns)
        self._refuses_all = ""
        self._order: list[int] | None = None
        if names:
            assigned = assign(columns, names)
            missing = [c for c, name in zip(columns, assigned.names, strict=True) if name is None]
            if missing and not options.fill_missing_fields:
                self._refuses_all = f"data_schema has no field for column {missing[0]}"
            elif assigned.extra and not (extra_allowed or options.ignore_extra_data):
                self._refuses_all = f"no column for field {assigned.extra[0]} of data_schema"
            # What is not there is taken from the end, where an empty field is put.
            self._order = [-1 if name is None else names.index(name) for name in assigned.names]

    def encode(self, records: Sequence[bytes]) -> Encoded:
        records, refused = _readable(records, self._options)
        if not refused and self._order is None and (plain := self._plain(records)) is not None:
            return Encoded(plain, len(records), {})
        decoded, rejects = lines([Chunk(0, 0, None, list(records))], self._delimiter)
        for reject in rejects:
            refused.setdefault(reject.sequence, reject.reason)
        rows: list[bytes] = []
        for index, _, fields, _ in decoded:
            if index in refused:
                continue
            cells = self._cells(fields or [""])
            if isinstance(cells, str):
                refused[index] = cells
            else:
                rows.append("\t".join([escaped(cell) or r"\N" for cell in cells]).encode() + b"\n")
        return Encoded(b"".join(rows), len(rows), refused)

    def _plain(self, records: Sequence[bytes]) -> bytes | None:
        """Lines of records without quotes and other special characters that have the right number of fields; None when some are not
        so."""
        delimiter = self._delimiter.encode()
        bare = [record.removesuffix(b"\n").removesuffix(b"\r") for record in records]
        whole = _END.join(bare)
        if any(special in whole for special in _NOT_PLAIN if special != _END):
            return None
        breaks = self._width - 1
        if whole.count(_END) != len(bare) - 1 or any(record.count(delimiter) != breaks for record in bare):
            return None
        text = _wrapped(whole.replace(delimiter, _BETWEEN))
        return _unwrapped(text.replace(_BEFORE + _AFTER, _BEFORE + rb"\N" + _AFTER))

    def _cells(self, fields: list[str]) -> list[str] | str:
        """The fields for the columns in order; or why they do not fit."""
        if self._refuses_all:
            return self._refuses_all
        count = len(fields)
        if count < self._width:
            if not self._options.fill_missing_fields:
                return f"{count} of {self._width} fields; fill_missing_fields would make the others NULL"
            fields = fields + [""] * (self._width - count)
        elif count > self._width:
            if not self._options.ignore_extra_data:
                return f"{count} fields, not {self._width}; ignore_extra_data would leave out the others"
            fields = fields[: self._width]
        if self._order is None:
            return fields
        fields = [*fields, ""]
        return [fields[place] for place in self._order]


def _field_names(data_schema: str | None) -> list[str]:
    """What the stream's schema calls the fields of its lines; nothing when it does not."""
    schema: Any = json.loads(data_schema) if data_schema else None
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return []
    return [field["name"] for field in schema["fields"]]


# Both -----------------------------------------------------------------------------------------------------------------


def _wrapped(text: bytes) -> bytes:
    """Rows with _END between them, now with marks around every cell."""
    return _BEFORE + text.replace(_END, _AFTER + _END + _BEFORE) + _AFTER


def _unwrapped(text: bytes) -> bytes:
    """The lines that COPY takes."""
    text = text.replace(_AFTER + _END + _BEFORE, b"\n").replace(_BETWEEN, b"\t")
    return text[1:-1] + b"\n"


def _readable(records: Sequence[bytes], options: DwsOptions) -> tuple[Sequence[bytes], dict[int, str]]:
    """Records whose characters a database takes: UTF-8 without zeros. Others are made so when the task says so (zero becomes a space,
    what is not UTF-8 a question mark, as GaussDB does it), else refused."""
    whole = b"\n".join(records)
    if b"\0" not in whole and _is_utf8(whole):
        return records, {}
    if options.compatible_illegal_chars:
        return [str(record, "utf-8", _QUESTION_MARK).replace("\0", " ").encode() for record in records], {}
    refused = {}
    for index, record in enumerate(records):
        if b"\0" in record:
            refused[index] = _ZERO
        elif not _is_utf8(record):
            refused[index] = _NOT_UTF8
    return records, refused


def _is_utf8(text: bytes) -> bool:
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
