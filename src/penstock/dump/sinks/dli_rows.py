"""Records as rows of an Iceberg table: a column at a time, each value as its column's type, and the records that do not fit. Owns how
values become columns; knows no catalog and no round.

JSON attributes go to the columns of their names, fields of CSV to those that the stream's schema names, else to columns in
order. A value is taken as it is when all of a column are of its kind, else one by one; both give the same.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampNanoType,
    TimestampType,
    TimestamptzNanoType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from penstock.dump.base import Chunk, Reject
from penstock.dump.decoding import Row, lines, objects, reason
from penstock.dump.sinks.iceberg_files import arrow_schema
from penstock.dump.sinks.iceberg_types import MILLISECONDS, Declared, carries, valid_name
from penstock.model.streams import DataType, Stream

_NULL = type(None)
_AS_THEY_ARE: dict[type[IcebergType], set[type]] = {
    BooleanType: {bool, _NULL},
    IntegerType: {int, _NULL},
    LongType: {int, _NULL},
    FloatType: {int, float, _NULL},
    DoubleType: {int, float, _NULL},
    StringType: {str, _NULL},
}
"""Values that need no more than Arrow's own conversion."""
_LARGEST_FLOAT = 3.4028235677973366e38  # halfway to what the next one would be: rounds down
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_ONE = date(1970, 1, 1)
_INTEGER = re.compile(r"[+-]?[0-9]+(\.0*)?")
_DIGITS = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = {"nan", "infinity", "-infinity", "inf", "-inf"}
_SHOWN = 40
_encode = msgspec.json.Encoder(decimal_format="number").encode
_exact = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_exact_any = msgspec.json.Decoder(float_hook=Decimal).decode


class Read(NamedTuple):
    """Records of a partition that could be read: an object each, in order."""

    sequences: list[int]
    values: list[dict[str, Any]]
    data: list[bytes]


class Rows(NamedTuple):
    """What of some records goes into a table, and by its index why a record does not."""

    table: pa.Table
    bad: dict[int, str]


def read(
    stream: Stream, chunks: Iterable[Chunk], schema: Schema, known: Declared | None
) -> tuple[Read, list[Reject]]:
    """Decode a stream's records. With decimals in the table, numbers keep the digits they are written with."""
    if stream.data_type is DataType.CSV:
        return _read_csv(stream, chunks, schema, known)
    rows, rejects = objects(chunks)
    if _decimals(schema.as_struct()) or (known is not None and _decimals(known.struct)):
        rows = [row._replace(value=_exact(row.data)) for row in rows]
    return _read(rows), rejects


def _read(rows: Sequence[Row]) -> Read:
    return Read([row.sequence for row in rows], [row.value for row in rows], [row.data for row in rows])


def _read_csv(
    stream: Stream, chunks: Iterable[Chunk], schema: Schema, known: Declared | None
) -> tuple[Read, list[Reject]]:
    columns = known.struct.fields if known is not None else schema.as_struct().fields
    names = [field.name for field in columns]
    found, rejects = lines(chunks, stream.csv_delimiter or ",")
    rows = []
    for row in found:
        if len(row.fields) > len(names):
            whose = "schema" if known is not None else "table"
            why = f"{len(row.fields)} fields, and the {whose} has {len(names)}"
            rejects.append(Reject(row.sequence, row.data, why))
        else:
            rows.append(
                Row(row.sequence, row.append_ms, dict(zip(names, row.fields, strict=False)), row.data)
            )
    return _read(rows), rejects


def _decimals(kind: IcebergType) -> bool:
    if isinstance(kind, StructType):
        return any(_decimals(field.field_type) for field in kind.fields)
    if isinstance(kind, ListType):
        return _decimals(kind.element_type)
    if isinstance(kind, MapType):
        return _decimals(kind.value_type) or _decimals(kind.key_type)
    return isinstance(kind, DecimalType)


def arrange(
    values: Sequence[dict[str, Any]], schema: Schema, *, known: Declared | None, zone: tzinfo, csv: bool
) -> Rows:
    """A table of all records that fit, its columns as `schema` has them. With `csv` the values are texts: an empty one is null unless
    the column is a string, and lists, objects and maps are written as JSON."""
    arrow = arrow_schema(schema)
    making = _Making(zone, known.units if known is not None else {})
    if csv:
        values = making.parsed(values, schema.as_struct())
    columns = making.fields("", schema.as_struct(), list(arrow), values, range(len(values)))
    table = pa.Table.from_arrays(columns, schema=pa.schema([field.with_nullable(True) for field in arrow]))
    if making.bad:
        keep = [True] * len(values)
        for index in making.bad:
            keep[index] = False
        table = table.filter(pa.array(keep))
    # Only now: records that are not kept had nulls where there may be none.
    return Rows(pa.Table.from_arrays(table.columns, schema=arrow), making.bad)


class _Making:
    """Makes the columns of one batch. Paths are as in `Declared.units`; `places` say which record each value is from."""

    def __init__(self, zone: tzinfo, units: dict[str, int]) -> None:
        self.zone = zone
        self.units = units
        self.bad: dict[int, str] = {}

    def refuse(self, place: int, path: str, why: str) -> None:
        self.bad.setdefault(place, reason(f"column {path}: {why}"))

    def parsed(self, values: Sequence[dict[str, Any]], struct: StructType) -> list[dict[str, Any]]:
        """Fields of CSV as what they stand for where that is not for the column's own type to say."""
        texts = {field.name for field in struct.fields if isinstance(field.field_type, StringType)}
        nested = {field.name for field in struct.fields if not field.field_type.is_primitive}
        found = []
        for place, value in enumerate(values):
            row = {name: text if text or name in texts else None for name, text in value.items()}
            for name in nested:
                if text := row.get(name):
                    try:
                        row[name] = _exact_any(text)
                    except (ValueError, RecursionError) as error:
                        self.refuse(place, name, f"not JSON: {error}")
                        row[name] = None
            found.append(row)
        return found

    def fields(
        self,
        path: str,
        struct: StructType,
        arrow: Sequence[pa.Field],
        values: Sequence[dict[str, Any]],
        places: Sequence[int],
    ) -> list[pa.Array]:
        """A column for each field. Names match as they are written, else without regard to case, as SQL has it. What an object has
        beside them would be lost, so its record is refused."""
        spelt = set[str]().union(*values) - {field.name for field in struct.fields}
        others: dict[str, list[str]] = {}
        for name in sorted(spelt):
            others.setdefault(name.lower(), []).append(name)
        made = []
        for field, its in zip(struct.fields, arrow, strict=True):
            of_column = [value.get(field.name) for value in values]
            for name in others.pop(field.name.lower(), ()):
                of_column = [
                    value.get(name) if there is None else there
                    for there, value in zip(of_column, values, strict=True)
                ]
            below = f"{path}.{field.name}" if path else field.name
            made.append(self.field(below, field, its.type, of_column, places))
        for name in (name for names in others.values() for name in names):
            why = "the table takes no more columns" if valid_name(name) else "no name for a column"
            for value, place in zip(values, places, strict=True):
                if carries(value.get(name)):
                    self.refuse(place, f"{path}.{name}" if path else name, why)
        return made

    def field(
        self, path: str, field: NestedField, arrow: pa.DataType, values: list[Any], places: Sequence[int]
    ) -> pa.Array:
        default = getattr(field, "write_default", None)
        if default is not None:
            values = [default if value is None else value for value in values]
        if field.required:
            for value, place in zip(values, places, strict=True):
                if value is None:
                    self.refuse(place, path, "missing, and it is required")
        return self.column(path, field.field_type, arrow, values, places)

    def column(
        self, path: str, kind: IcebergType, arrow: pa.DataType, values: list[Any], places: Sequence[int]
    ) -> pa.Array:
        if isinstance(kind, StructType):
            return self._struct(path, kind, arrow, values, places)
        if isinstance(kind, ListType):
            return self._list(path, kind, arrow, values, places)
        if isinstance(kind, MapType):
            return self._map(path, kind, arrow, values, places)
        if set(map(type, values)) <= _AS_THEY_ARE.get(type(kind), set()):
            try:
                found = pa.array(values, arrow)
                if not isinstance(kind, FloatType) or not pc.any(pc.is_inf(found)).as_py():
                    return found
            except (pa.ArrowException, OverflowError):
                pass  # a number out of range: one by one
        convert = self._converter(kind, path)
        made = []
        for value, place in zip(values, places, strict=True):
            try:
                made.append(None if value is None else convert(value))
            except (ValueError, TypeError, OverflowError, ArithmeticError) as error:
                self.refuse(
                    place, path, f"{_shown(value)} is no {kind}" + (f": {error}" if str(error) else "")
                )
                made.append(None)
        if isinstance(kind, UUIDType):
            return pa.array(made, pa.binary(16)).cast(arrow)
        return pa.array(made, arrow)

    def _struct(
        self, path: str, kind: StructType, arrow: Any, values: list[Any], places: Sequence[int]
    ) -> pa.Array:
        absent, objects_, whose = self._only(dict, "object", path, values, places)
        fields = [arrow.field(index) for index in range(arrow.num_fields)]
        children = self.fields(path, kind, fields, objects_, whose)
        if any(absent):
            number = iter(range(len(objects_)))
            where = pa.array([None if gone else next(number) for gone in absent], pa.int64())
            children = [child.take(where) for child in children]
        return pa.StructArray.from_arrays(children, fields=fields, mask=pa.array(absent, pa.bool_()))

    def _list(
        self, path: str, kind: ListType, arrow: Any, values: list[Any], places: Sequence[int]
    ) -> pa.Array:
        absent, lists, whose = self._only(list, "list", path, values, places)
        elements = [one for value in lists for one in value]
        of = [place for value, place in zip(lists, whose, strict=True) for _ in value]
        made = self.field(f"{path}.element", kind.element_field, arrow.value_type, elements, of)
        return pa.LargeListArray.from_arrays(
            _offsets(absent, lists, pa.int64()), made, type=arrow, mask=pa.array(absent, pa.bool_())
        )

    def _map(
        self, path: str, kind: MapType, arrow: Any, values: list[Any], places: Sequence[int]
    ) -> pa.Array:
        absent, maps, whose = self._only(dict, "object", path, values, places)
        of = [place for value, place in zip(maps, whose, strict=True) for _ in value]
        keys = self.field(
            f"{path}.key", kind.key_field, arrow.key_type, [key for value in maps for key in value], of
        )
        if keys.null_count:  # a key that does not fit: its record is refused, and Arrow takes no map like it
            left = [None if place in self.bad else value for value, place in zip(values, places, strict=True)]
            return self._map(path, kind, arrow, left, places)
        below = [one for value in maps for one in value.values()]
        items = self.field(f"{path}.value", kind.value_field, arrow.item_type, below, of)
        return pa.MapArray.from_arrays(
            _offsets(absent, maps, pa.int32()), keys, items, type=arrow, mask=pa.array(absent, pa.bool_())
        )

    def _only(
        self, wanted: type, name: str, path: str, values: list[Any], places: Sequence[int]
    ) -> tuple[list[bool], list[Any], list[int]]:
        """Which are not of the right kind; those that are, and whose they are."""
        absent = [not isinstance(value, wanted) for value in values]
        if any(absent):
            for value, place, gone in zip(values, places, absent, strict=True):
                if gone and value is not None:
                    self.refuse(place, path, f"{_shown(value)} is no {name}")
            there = [
                (value, place) for value, place, gone in zip(values, places, absent, strict=True) if not gone
            ]
            return absent, [value for value, _ in there], [place for _, place in there]
        return absent, values, list(places)

    def _converter(self, kind: IcebergType, path: str) -> Callable[[Any], Any]:
        """What makes one value, or raises ValueError."""
        unit = self.units.get(path, MILLISECONDS)
        if isinstance(kind, DecimalType):
            return _decimal(kind)
        if isinstance(kind, FixedType):
            return lambda value: _sized(_bytes(value), len(kind))
        if isinstance(kind, (TimestampType, TimestampNanoType)):
            return lambda value: _moment(value, unit, self.zone).astimezone(self.zone).replace(tzinfo=None)
        if isinstance(kind, (TimestamptzType, TimestamptzNanoType)):
            return lambda value: _moment(value, unit, self.zone)
        if isinstance(kind, TimeType):
            return lambda value: _time(value, unit)
        return _CONVERTERS.get(type(kind), _unknown)


def _offsets(absent: Sequence[bool], values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """Where each list or map begins, with nothing in those that are absent."""
    there = iter(values)
    sizes = (0 if gone else len(next(there)) for gone in absent)
    return pa.array(itertools.accumulate(sizes, initial=0), kind)


def _shown(value: Any) -> str:
    text = _encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


# Single values --------------------------------------------------------------------------------------------------------


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError


def _whole(lowest: int, highest: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
            value = int(value.strip().partition(".")[0])
        elif isinstance(value, (float, Decimal)) and value == int(value):
            value = int(value)
        if type(value) is not int:
            raise ValueError
        if not lowest <= value <= highest:
            raise ValueError("out of range")
        return value

    return convert


def _number(value: Any) -> float:
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text) and text.lower() not in _NOT_FINITE:
            raise ValueError
        number = float(text)
        if number in (float("inf"), float("-inf")) and text.lower() not in _NOT_FINITE:
            raise ValueError("out of range")
        return number
    if isinstance(value, float):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError
    number = float(value)
    if number in (float("inf"), float("-inf")):
        raise ValueError("out of range")
    return number


def _single(value: Any) -> float:
    number = _number(value)
    if abs(number) >= _LARGEST_FLOAT and abs(number) != float("inf"):
        raise ValueError("out of range")
    return number


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()


def _decimal(kind: DecimalType) -> Callable[[Any], Decimal]:
    context = Context(prec=kind.precision, rounding=ROUND_HALF_UP)
    step = Decimal(1).scaleb(-kind.scale)

    def convert(value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
            raise ValueError
        if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
            raise ValueError
        try:
            number = Decimal(repr(value) if isinstance(value, float) else value)
            return number.quantize(step, context=context)
        except DecimalException as error:
            raise ValueError("out of range") from error

    return convert


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("not Base64") from error


def _sized(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes")
    return data


def _uuid(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError
    return uuid.UUID(value).bytes


def _microseconds(value: int, unit: int) -> timedelta:
    return timedelta(microseconds=value * unit if unit > 0 else value // -unit)


def _counted(value: Any, *, dates: bool = True) -> Any:
    """A text of digits is the number that it shows; where dates are expected, eight of them are one."""
    if (
        isinstance(value, str)
        and _DIGITS.fullmatch(value.strip())
        and not (dates and len(value.strip()) == 8)
    ):
        return int(value)
    return value


def _moment(value: Any, unit: int, zone: tzinfo) -> datetime:
    """A number counts from 1970 UTC on; a text without an offset is in `zone`."""
    value = _counted(value)
    if type(value) is int:
        return _EPOCH + _microseconds(value, unit)
    if not isinstance(value, str):
        raise ValueError
    found = datetime.fromisoformat(value.strip().replace("/", "-"))
    return found.replace(tzinfo=zone) if found.tzinfo is None else found


def _date(value: Any) -> date:
    """A number counts days, as Avro has it."""
    value = _counted(value)
    if type(value) is int:
        return _DAY_ONE + timedelta(days=value)
    if not isinstance(value, str):
        raise ValueError
    return datetime.fromisoformat(value.strip().replace("/", "-")).date()


def _time(value: Any, unit: int) -> time:
    """A number counts from midnight on."""
    value = _counted(value, dates=False)
    if type(value) is int:
        since = _microseconds(value, unit)
        if not timedelta(0) <= since < timedelta(days=1):
            raise ValueError("out of range")
        return (datetime.min + since).time()
    if not isinstance(value, str):
        raise ValueError
    found = time.fromisoformat(value.strip())
    if found.tzinfo is not None:
        raise ValueError
    return found


def _unknown(value: Any) -> Any:
    raise ValueError("columns of this type cannot be written")


_CONVERTERS: dict[type[IcebergType], Callable[[Any], Any]] = {
    BooleanType: _boolean,
    IntegerType: _whole(-(1 << 31), (1 << 31) - 1),
    LongType: _whole(-(1 << 63), (1 << 63) - 1),
    FloatType: _single,
    DoubleType: _number,
    StringType: _text,
    DateType: _date,
    UUIDType: _uuid,
    BinaryType: _bytes,
}
