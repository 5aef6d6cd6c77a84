"""Avro schemas as plain types: what a stream's `data_schema` says of its records. Owns the reading of a schema and what becomes of
what columns cannot express; knows no file format.

A schema's names are resolved here, so that every type stands for itself. Decided where Avro leaves it open:

- `["null", T]` is a nullable T; whole numbers of both sizes are `long`, those without `long` and fractions are `double`; any other
  union is `Json`: the text of the value.
- A record that holds itself is `Json` from there on, as is a record without fields.
- Logical types that are unknown, or wrong for what they are given to, do not count, as Avro has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec
from fastavro.schema import parse_schema

from penstock.dump.decoding import MISSING

VALUE = "value"
"""The only column of values that have no fields."""
MOST_COLUMNS = 2000
"""Records that would take a schema beyond this are `Json`: named types can be repeated without end."""
MOST_DIGITS = 76
"""Decimals of more digits are bytes: nothing reads them."""


class Kind(StrEnum):
    """Types without parts, as Avro calls them."""

    NULL = "null"
    BOOLEAN = "boolean"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    STRING = "string"
    BYTES = "bytes"
    DATE = "date"
    TIME_MILLIS = "time-millis"
    TIME_MICROS = "time-micros"
    TIMESTAMP_MILLIS = "timestamp-millis"
    TIMESTAMP_MICROS = "timestamp-micros"
    LOCAL_TIMESTAMP_MILLIS = "local-timestamp-millis"
    LOCAL_TIMESTAMP_MICROS = "local-timestamp-micros"
    UUID = "uuid"


@dataclass(frozen=True, kw_only=True)
class Type:
    """What every type has."""

    nullable: bool = False


@dataclass(frozen=True)
class Scalar(Type):
    """A type without parts."""

    kind: Kind


@dataclass(frozen=True)
class Decimal(Type):
    """A number of `precision` digits, `scale` of them after the point."""

    precision: int
    scale: int


@dataclass(frozen=True)
class Fixed(Type):
    """So many bytes."""

    size: int


@dataclass(frozen=True)
class Enum(Type):
    """One of `symbols`; any other is taken for `default`, if there is one."""

    symbols: tuple[str, ...]
    default: str | None = None


@dataclass(frozen=True)
class Array(Type):
    """Values of one type, in order."""

    items: AnyType


@dataclass(frozen=True)
class Map(Type):
    """Values of one type, by text."""

    values: AnyType


@dataclass(frozen=True)
class Field:
    """An attribute. `default` is a JSON value; MISSING when there is none. A default of bytes and decimals is text, a character a
    byte."""

    name: str
    type: AnyType
    default: Any = MISSING


@dataclass(frozen=True)
class Record(Type):
    """An object; there is at least one field."""

    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Json(Type):
    """A value that is kept as JSON text: one of `branches`, or anything when there are none."""

    branches: tuple[AnyType, ...] = ()


AnyType = Scalar | Decimal | Fixed | Enum | Array | Map | Record | Json

_LOGICAL = {
    "int": (Kind.DATE, Kind.TIME_MILLIS),
    "long": (
        Kind.TIME_MICROS,
        Kind.TIMESTAMP_MILLIS,
        Kind.TIMESTAMP_MICROS,
        Kind.LOCAL_TIMESTAMP_MILLIS,
        Kind.LOCAL_TIMESTAMP_MICROS,
    ),
    "string": (Kind.UUID,),
}
_PRIMITIVES = frozenset(("null", "boolean", "int", "long", "float", "double", "string", "bytes"))
_NAMED = frozenset(("record", "error", "enum", "fixed"))
_WHOLE = frozenset((Kind.INT, Kind.LONG))
_EXACT_IN_DOUBLE = frozenset((Kind.INT, Kind.FLOAT, Kind.DOUBLE))


def read(schema: str) -> AnyType:
    """The type that a schema is. It has been checked (`model.schema.check_schema`)."""
    return _Reader().type(parse_schema(msgspec.json.decode(schema)))


def columns(type_: AnyType) -> tuple[Field, ...]:
    """What a table of such values has as columns: the fields of a record; VALUE for anything else, which is the whole of it."""
    return type_.fields if isinstance(type_, Record) else (Field(VALUE, type_),)


@dataclass
class _Reader:
    """Reads one schema, which the parser has given full names, and no type but a name, an object or a union."""

    definitions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    within: list[str] = field(default_factory=list)
    """Names of the records being read, from the outside in."""
    columns: int = 0

    def type(self, schema: Any) -> AnyType:
        if isinstance(schema, list):
            return self.union(schema)
        if isinstance(schema, str):
            return (
                self.primitive(schema, {}) if schema in _PRIMITIVES else self.named(self.definitions[schema])
            )
        name = schema["type"]
        if name in _NAMED:
            self.definitions[schema["name"]] = schema
            return self.named(schema)
        if name == "array":
            return Array(self.type(schema["items"]))
        if name == "map":
            return Map(self.type(schema["values"]))
        return self.primitive(name, schema)

    def primitive(self, name: str, schema: Mapping[str, Any]) -> AnyType:
        self.columns += 1
        logical = schema.get("logicalType")
        if logical in _LOGICAL.get(name, ()):
            return Scalar(Kind(logical))
        return (self.decimal(schema) if name == "bytes" else None) or Scalar(Kind(name))

    def decimal(self, schema: Mapping[str, Any]) -> Decimal | None:
        """None when it is none, or not a valid one."""
        precision, scale = schema.get("precision"), schema.get("scale", 0)
        if schema.get("logicalType") != "decimal" or type(precision) is not int or type(scale) is not int:
            return None
        return (
            Decimal(precision, scale) if 0 <= scale <= precision and 1 <= precision <= MOST_DIGITS else None
        )

    def named(self, schema: Mapping[str, Any]) -> AnyType:
        name, kind = schema["name"], schema["type"]
        if kind == "fixed":
            self.columns += 1
            return self.decimal(schema) or Fixed(schema["size"])
        if kind == "enum":
            self.columns += 1
            return Enum(tuple(schema["symbols"]), schema.get("default"))
        if name in self.within or self.columns > MOST_COLUMNS or not schema["fields"]:
            return Json()
        self.within.append(name)
        fields = tuple(
            Field(each["name"], self.type(each["type"]), each.get("default", MISSING))
            for each in schema["fields"]
        )
        self.within.pop()
        return Record(fields)

    def union(self, schemas: list[Any]) -> AnyType:
        branches = [self.type(schema) for schema in schemas]
        others = [
            branch for branch in branches if not (isinstance(branch, Scalar) and branch.kind is Kind.NULL)
        ]
        nullable = len(others) < len(branches)
        if not others:
            return Scalar(Kind.NULL, nullable=True)
        if len(others) == 1:
            return replace(others[0], nullable=nullable or others[0].nullable)
        kinds = {branch.kind if isinstance(branch, Scalar) else None for branch in others}
        if kinds <= _WHOLE:
            return Scalar(Kind.LONG, nullable=nullable)
        if kinds <= _EXACT_IN_DOUBLE:
            return Scalar(Kind.DOUBLE, nullable=nullable)
        return Json(tuple(others), nullable=nullable)
