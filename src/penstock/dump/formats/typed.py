"""Records with a schema: decoded, checked and made into columns by what is compiled once for the schema. Owns what JSON each Avro type
takes, and what Arrow type it becomes; knows no file.

What a type takes, where Avro's own JSON leaves off or nobody writes it:

- `bytes` and `fixed`: text, a character from U+0000 to U+00FF for each byte (Avro's JSON).
- Dates and times: Avro's numbers, or text after RFC 3339; without an offset it is UTC. Fractions finer than the type are cut off.
- `decimal`: a number, or one as text. It has to fit without rounding.
- Unions: the plain value, not Avro's `{"branch": value}`.
- A nullable field that is not there is null; any other needs a default. Attributes that the schema does not have are left out.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property, partial
from operator import attrgetter
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pyarrow as pa
from msgspec import Meta

from penstock.dump.base import Chunk, Reject
from penstock.dump.decoding import EPOCH, MISSING, not_json, reason
from penstock.dump.formats import avro
from penstock.dump.formats.avro import AnyType, Kind
from penstock.dump.formats.columns import (
    Column,
    Leaf,
    ListColumn,
    MapColumn,
    Parts,
    StructColumn,
    zero_object,
)

Check = Callable[[Any], Any]
"""Answers the value to keep; raises ValueError saying what is wrong. Never sees a null of a nullable type."""

_BAD = (ValueError, ArithmeticError, RecursionError)
"""What a record may make its decoding raise."""
_EPOCH_DAY = EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)
_NO_FLOAT = 3.4028235677973366e38
"""From here on a number rounds to no float of 32 bits any more."""
_LONG = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_INT = Annotated[int, Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
_LOCAL = Annotated[datetime, Meta(tz=False)]
_DAYTIME = Annotated[time, Meta(tz=False)]


def _latin(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError("a character beyond U+00FF is no byte") from error


def _days(value: int | date) -> int:
    return value if isinstance(value, int) else value.toordinal() - _EPOCH_DAY


def _time_micros(value: int | time) -> int:
    if isinstance(value, int):
        return value
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def _time_millis(value: int | time) -> int:
    return value if isinstance(value, int) else _time_micros(value) // 1000


def _micros(value: int | datetime) -> int:
    if isinstance(value, int):
        return value
    offset = value.utcoffset() or timedelta()
    return (value.replace(tzinfo=EPOCH.tzinfo) - EPOCH - offset) // _MICROSECOND


def _millis(value: int | datetime) -> int:
    return value if isinstance(value, int) else _micros(value) // 1000


_MILLIS_OF_DAY = Annotated[int, Meta(ge=0, lt=86_400_000)]
_MICROS_OF_DAY = Annotated[int, Meta(ge=0, lt=86_400_000_000)]
_SCALARS: dict[Kind, tuple[Any, Check | None, Any, Any]] = {
    Kind.NULL: (None, None, pa.string(), None),
    Kind.BOOLEAN: (bool, None, pa.bool_(), False),
    Kind.INT: (_INT, None, pa.int32(), 0),
    Kind.LONG: (_LONG, None, pa.int64(), 0),
    Kind.FLOAT: (Annotated[float, Meta(gt=-_NO_FLOAT, lt=_NO_FLOAT)], None, pa.float32(), 0.0),
    Kind.DOUBLE: (float, None, pa.float64(), 0.0),
    Kind.STRING: (str, None, pa.string(), ""),
    Kind.BYTES: (str, _latin, pa.binary(), b""),
    Kind.DATE: (_INT | date, _days, pa.date32(), 0),
    Kind.TIME_MILLIS: (_MILLIS_OF_DAY | _DAYTIME, _time_millis, pa.time32("ms"), 0),
    Kind.TIME_MICROS: (_MICROS_OF_DAY | _DAYTIME, _time_micros, pa.time64("us"), 0),
    Kind.TIMESTAMP_MILLIS: (_LONG | datetime, _millis, pa.timestamp("ms", tz="UTC"), 0),
    Kind.TIMESTAMP_MICROS: (_LONG | datetime, _micros, pa.timestamp("us", tz="UTC"), 0),
    Kind.LOCAL_TIMESTAMP_MILLIS: (_LONG | _LOCAL, _millis, pa.timestamp("ms"), 0),
    Kind.LOCAL_TIMESTAMP_MICROS: (_LONG | _LOCAL, _micros, pa.timestamp("us"), 0),
    Kind.UUID: (UUID, str, pa.string(), ""),
}
"""JSON taken, what becomes of it, the type of the column, and its zero."""


class TypedRecords:
    """Decodes the records of one schema and makes tables of them."""

    def __init__(self, schema: str) -> None:
        """`schema` is a stream's `data_schema`, which has been checked."""
        type_ = avro.read(schema)
        self._value = _compile(type_)
        if isinstance(type_, avro.Record):
            assert isinstance(self._value.column, StructColumn)
            self._parts = self._value.column.parts
        else:
            self._parts = Parts([(avro.VALUE, self._value.column, lambda value: value)])
        self.schema = pa.schema(self._parts.fields)

    def decode(self, chunks: Iterable[Chunk]) -> tuple[list[Any], list[Reject]]:
        """Records that fit the schema, in order, and those that do not, with the field at fault."""
        read = self._value.read
        values: list[Any] = []
        rejects: list[Reject] = []
        for chunk in chunks:
            try:
                values += list(map(read, chunk.data))
            except _BAD:
                for sequence, data in enumerate(chunk.data, chunk.base):
                    try:
                        values.append(read(data))
                    except msgspec.ValidationError as error:
                        rejects.append(Reject(sequence, data, f"does not fit the schema: {reason(error)}"))
                    except _BAD as error:
                        rejects.append(Reject(sequence, data, not_json(error)))
        return values, rejects

    def table(self, values: list[Any]) -> Any:
        """A table of decoded records."""
        return pa.Table.from_arrays(self._parts.arrays(values), schema=self.schema)


@dataclass(frozen=True)
class _Value:
    """What one type is compiled to: what it is decoded as, what is checked then, and the column of what comes out."""

    decoded: Any
    check: Check | None
    column: Column

    @cached_property
    def read(self) -> Callable[[bytes | msgspec.Raw], Any]:
        """Decode one value alone, and check it. Raises ValueError and RecursionError."""
        decode: Callable[[bytes | msgspec.Raw], Any] = msgspec.json.Decoder(self.decoded).decode
        check = self.check
        if check is None:
            return decode

        def read(data: bytes | msgspec.Raw) -> Any:
            value = decode(data)
            try:
                return check(value)
            except ValueError as error:
                raise msgspec.ValidationError(str(error)) from error

        return read


def _compile(type_: AnyType) -> _Value:
    value = _plain(type_)
    if not type_.nullable or type_ == avro.Scalar(Kind.NULL, nullable=True):
        return value
    check = value.check
    if isinstance(type_, avro.Json):
        return value  # decoded as raw text, null and all
    return _Value(
        value.decoded | None,
        None if check is None else partial(_check_nullable, check),
        value.column,
    )


def _check_nullable(check: Check, value: Any) -> Any:
    return None if value is None else check(value)


def _plain(type_: AnyType) -> _Value:
    """Without nulls, except for what its column takes."""
    nullable = type_.nullable
    if isinstance(type_, avro.Scalar):
        decoded, check, arrow, zero = _SCALARS[type_.kind]
        return _Value(decoded, check, Leaf(arrow, nullable or type_.kind is Kind.NULL, zero))
    if isinstance(type_, avro.Decimal):
        arrow = (pa.decimal128 if type_.precision <= 38 else pa.decimal256)(type_.precision, type_.scale)
        return _Value(decimal.Decimal, _decimal(type_), Leaf(arrow, nullable, decimal.Decimal()))
    if isinstance(type_, avro.Fixed):
        text = Annotated[str, Meta(min_length=type_.size, max_length=type_.size)]
        return _Value(text, _latin, Leaf(pa.binary(type_.size), nullable, bytes(type_.size)))
    if isinstance(type_, avro.Enum):
        return _enum(type_)
    if isinstance(type_, avro.Array):
        items = _compile(type_.items)
        return _Value(
            list[items.decoded],  # type: ignore[name-defined]
            None if items.check is None else partial(_check_list, items.check),
            ListColumn(items.column, nullable),
        )
    if isinstance(type_, avro.Map):
        items = _compile(type_.values)
        return _Value(
            dict[str, items.decoded],  # type: ignore[name-defined]
            None if items.check is None else partial(_check_map, items.check),
            MapColumn(items.column, nullable),
        )
    return _record(type_) if isinstance(type_, avro.Record) else _json(type_)


def _check_list(check: Check, values: list[Any]) -> list[Any]:
    return [check(value) for value in values]


def _check_map(check: Check, values: dict[str, Any]) -> dict[str, Any]:
    return {key: check(value) for key, value in values.items()}


def _record(type_: avro.Record) -> _Value:
    """A class of its own, whose attributes are f0, f1, ...: names of fields may be words of Python."""
    values = [_compile(field.type) for field in type_.fields]
    names = [f"f{index}" for index in range(len(values))]
    checks = [
        (name, field.name, value.check)
        for name, field, value in zip(names, type_.fields, values, strict=True)
        if value.check is not None
    ]

    def check(self: Any) -> None:
        for name, field, each in checks:
            try:
                setattr(self, name, each(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"{field}: {error}") from error

    record = msgspec.defstruct(
        "Record",
        [
            (name, value.decoded, *_default(field, value))
            for name, field, value in zip(names, type_.fields, values, strict=True)
        ],
        namespace={"__post_init__": check} if checks else None,
        rename={name: field.name for name, field in zip(names, type_.fields, strict=True)},
        kw_only=True,
        gc=False,
    )
    parts = Parts(
        (field.name, value.column, attrgetter(name))
        for name, field, value in zip(names, type_.fields, values, strict=True)
    )
    zero = zero_object({name: value.column.zero for name, value in zip(names, values, strict=True)})
    return _Value(record, None, StructColumn(parts, type_.nullable, zero))


def _default(field: avro.Field, value: _Value) -> tuple[Any, ...]:
    """What a field that is not there is decoded as; nothing when it must be there. A default that is none of its type does not count:
    Avro's parsers let it pass."""
    given = field.default
    if given is MISSING:
        if not field.type.nullable:
            return ()
        given = None
    if isinstance(field.type, avro.Decimal) and isinstance(
        given, str
    ):  # as Avro has it, bytes of a whole number
        try:
            given = f"{int.from_bytes(_latin(given), 'big', signed=True)}e-{field.type.scale}"
        except ValueError:
            return ()
    encoded = msgspec.json.encode(given)
    try:
        value.read(encoded)
    except ValueError:
        return ()
    default = msgspec.json.decode(encoded, type=value.decoded)
    return (msgspec.field(default_factory=lambda: default),)


def _enum(type_: avro.Enum) -> _Value:
    column = Leaf(pa.string(), type_.nullable, "")
    if type_.default is None:
        return _Value(Literal[type_.symbols], None, column)
    symbols, default = frozenset(type_.symbols), type_.default
    return _Value(str, lambda value: value if value in symbols else default, column)


def _json(type_: avro.Json) -> _Value:
    branches = [_compile(branch) for branch in type_.branches]
    anything = msgspec.json.Decoder().decode

    def check(raw: msgspec.Raw) -> str | None:
        try:
            text = str(raw, "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError("a text in it is not UTF-8") from error
        if text == "null" and type_.nullable:
            return None
        if not branches:
            anything(raw)
            return text
        for branch in branches:
            try:
                branch.read(raw)
            except ValueError:
                continue
            return text
        raise ValueError("fits no branch of the union")

    return _Value(msgspec.Raw, check, Leaf(pa.string(), type_.nullable, ""))


def _decimal(type_: avro.Decimal) -> Check:
    context = decimal.Context(prec=type_.precision, traps=[decimal.InvalidOperation, decimal.Inexact])
    step = decimal.Decimal(1).scaleb(-type_.scale)

    def check(value: decimal.Decimal) -> decimal.Decimal:
        try:
            if value.is_finite():
                return value.quantize(step, context=context)
        except decimal.DecimalException:
            pass
        raise ValueError(f"{str(value)[:40]} does not fit decimal({type_.precision}, {type_.scale})")

    return check
