"""Types of Iceberg columns: from a stream's Avro schema, or from the values seen in JSON; which columns a table lacks. Owns these
rules; knows no records, no catalog and no round.

Widening does not depend on the order of records: booleans, whole numbers, numbers, and lists and objects of what they hold meet
their own kind; whole numbers and numbers make numbers; whatever else meets makes a string, which holds the JSON text.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
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
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

MOST_COLUMNS = 1000
"""A table gets no more than this by what records hold; columns of objects in columns count."""
MOST_NEW_COLUMNS = 100
"""As many in one round."""
LONGEST_NAME = 255
DEEPEST = 16
"""Objects and lists in columns; what is deeper becomes a string."""

MILLISECONDS, MICROSECONDS, NANOSECONDS = 1000, 1, -1000
"""What a number counts where a time is expected: microseconds in one of them, or (negative) the other way round."""

_PRIMITIVES: dict[str, type[IcebergType]] = {
    "boolean": BooleanType,
    "int": IntegerType,
    "long": LongType,
    "float": FloatType,
    "double": DoubleType,
    "string": StringType,
    "bytes": BinaryType,
    "enum": StringType,
}
_LOGICAL: dict[str, type[IcebergType]] = {
    "uuid": UUIDType,
    "date": DateType,
    "time-millis": TimeType,
    "time-micros": TimeType,
    "timestamp-millis": TimestamptzType,
    "timestamp-micros": TimestamptzType,
    "timestamp-nanos": TimestamptzType,
    "local-timestamp-millis": TimestampType,
    "local-timestamp-micros": TimestampType,
    "local-timestamp-nanos": TimestampType,
}
_UNITS = {"millis": MILLISECONDS, "micros": MICROSECONDS, "nanos": NANOSECONDS}
_MOST_DIGITS = 38


class Declared(NamedTuple):
    """What a stream's schema says of its records: attributes in order, and what numbers count where they stand for times, by the path
    of the attribute (`order.created`)."""

    struct: StructType
    units: dict[str, int]


class Addition(NamedTuple):
    """A column that a table lacks: its path (`("order", "total")`) and type."""

    path: tuple[str, ...]
    type: IcebergType


def valid_name(name: str) -> bool:
    """Whether an attribute's name can be a column's: printable, 1 to LONGEST_NAME characters, no dots (they lead into columns of
    columns), no space at an end."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and "." not in name and name == name.strip()


def carries(value: Any) -> bool:
    """Whether a value says anything of its type: nulls, and lists and objects of nothing, do not."""
    if isinstance(value, dict):
        return any(map(carries, value.values()))
    if isinstance(value, list):
        return any(map(carries, value))
    return value is not None


# Avro -----------------------------------------------------------------------------------------------------------------


def declared(schema: str | None) -> Declared | None:
    """What a stream's `data_schema` says (5.1.1 table 5-3); None without one, or when it describes no record."""
    if not schema:
        return None
    document = msgspec.json.decode(schema)
    if not isinstance(document, dict) or document.get("type") != "record":
        return None
    reader = _Avro()
    struct = reader.type(document, "", 0)
    return Declared(struct, reader.units) if isinstance(struct, StructType) else None


class _Avro:
    """Reads one schema, which `model.schema` has found to be Avro."""

    def __init__(self) -> None:
        self.units: dict[str, int] = {}
        self._ids = itertools.count(1)
        self._named: dict[str, dict[str, Any]] = {}
        self._open: set[str] = set()

    def type(self, schema: Any, path: str, depth: int) -> IcebergType:
        """A column's type. What has no counterpart (several types in a union, records in themselves) is a string of JSON."""
        if isinstance(schema, list):
            branches = [branch for branch in schema if branch not in ("null", {"type": "null"})]
            return self.type(branches[0], path, depth) if len(branches) == 1 else StringType()
        if isinstance(schema, str):
            named = self._named.get(schema.rpartition(".")[2])
            if named is not None:
                return self.type(named, path, depth)
            return _PRIMITIVES.get(schema, StringType)()
        kind = schema.get("type")
        name = str(schema.get("name", "")).rpartition(".")[2]
        if name:
            self._named.setdefault(name, schema)
        if isinstance(kind, (dict, list)):
            return self.type(kind, path, depth)
        if depth > DEEPEST:
            return StringType()
        if kind == "record":
            return self._record(schema, name, path, depth)
        if kind == "array":
            element = self.type(schema.get("items"), f"{path}.element", depth + 1)
            return ListType(next(self._ids), element, element_required=False)
        if kind == "map":
            value = self.type(schema.get("values"), f"{path}.value", depth + 1)
            return MapType(next(self._ids), StringType(), next(self._ids), value, value_required=False)
        return self._scalar(schema, str(kind), path)

    def _record(self, schema: dict[str, Any], name: str, path: str, depth: int) -> IcebergType:
        if name in self._open:
            return StringType()
        self._open.add(name)
        fields = []
        for field in schema.get("fields", ()):
            below = f"{path}.{field['name']}" if path else str(field["name"])
            # The schema of a field may stand beside its name: {"name": .., "type": "bytes", "logicalType": "decimal"}.
            beside = (
                isinstance(field["type"], str) and field["type"] in _PRIMITIVES and "logicalType" in field
            )
            kind = self.type({**field, "name": ""} if beside else field["type"], below, depth + 1)
            fields.append(NestedField(next(self._ids), str(field["name"]), kind, required=False))
        self._open.discard(name)
        return StructType(*fields) if fields else StringType()

    def _scalar(self, schema: dict[str, Any], kind: str, path: str) -> IcebergType:
        logical = str(schema.get("logicalType", ""))
        if logical == "decimal" and kind in ("bytes", "fixed"):
            precision, scale = schema.get("precision", 0), schema.get("scale", 0)
            if (
                isinstance(precision, int)
                and isinstance(scale, int)
                and 0 <= scale <= precision <= _MOST_DIGITS
            ):
                return DecimalType(precision, scale)
        if logical in _LOGICAL:
            if unit := _UNITS.get(logical.rpartition("-")[2]):
                self.units[path] = unit
            return _LOGICAL[logical]()
        if kind == "fixed":
            return FixedType(int(schema.get("size", 1)))
        named = self._named.get(kind.rpartition(".")[2]) if kind not in _PRIMITIVES else None
        if named is not None and named is not schema:
            return self.type(named, path, DEEPEST)
        return _PRIMITIVES.get(kind, StringType)()


# Values ---------------------------------------------------------------------------------------------------------------


class _Seen:
    """What values of one attribute were seen."""

    __slots__ = ("element", "fields", "kinds")

    def __init__(self) -> None:
        self.kinds: set[type[IcebergType]] = set()
        self.element: _Seen | None = None
        self.fields: dict[str, _Seen] = {}

    def see(self, value: Any, depth: int = 0) -> None:
        if not carries(value):
            return
        if isinstance(value, (dict, list)) and depth >= DEEPEST:
            self.kinds.add(StringType)
        elif isinstance(value, dict):
            self.kinds.add(StructType)
            for name, below in value.items():
                if carries(below):
                    self.fields.setdefault(name, _Seen()).see(below, depth + 1)
        elif isinstance(value, list):
            self.kinds.add(ListType)
            self.element = self.element or _Seen()
            for below in value:
                self.element.see(below, depth + 1)
        elif isinstance(value, bool):
            self.kinds.add(BooleanType)
        elif isinstance(value, int):
            self.kinds.add(LongType if -(1 << 63) <= value < 1 << 63 else StringType)
        else:
            self.kinds.add(StringType if isinstance(value, str) else DoubleType)

    def type(self, ids: Iterable[int]) -> IcebergType:
        number = iter(ids)
        if self.kinds == {LongType, DoubleType}:
            return DoubleType()
        if len(self.kinds) != 1:
            return StringType()
        (kind,) = self.kinds
        if kind is ListType:
            assert self.element is not None
            return ListType(next(number), self.element.type(number), element_required=False)
        if kind is not StructType:
            return kind()
        names = sorted(self.fields)
        if len({name.lower() for name in names}) != len(names) or not all(map(valid_name, names)):
            return StringType()
        return StructType(
            *(
                NestedField(next(number), name, self.fields[name].type(number), required=False)
                for name in names
            )
        )


def inferred(values: Iterable[Any]) -> IcebergType:
    """The type that takes all of these values."""
    seen = _Seen()
    for value in values:
        seen.see(value)
    return seen.type(itertools.count(1))


# What a table lacks ---------------------------------------------------------------------------------------------------


def additions(
    struct: StructType, values: Sequence[dict[str, Any]], known: StructType | None
) -> list[Addition]:
    """Columns that a table of these columns must get, so that nothing of `values` is lost: first those that the stream's schema
    (`known`) has, then those that only records have, by name. No more than the limits allow, and only where the name can be one."""
    room = min(MOST_NEW_COLUMNS, MOST_COLUMNS - _size(struct))
    found: list[Addition] = []
    for addition in _additions((), struct, values, known):
        room -= _size(addition.type) + 1
        if room < 0:
            break
        found.append(addition)
    return found


def _additions(
    path: tuple[str, ...], kind: IcebergType, values: Sequence[Any], known: IcebergType | None
) -> Iterable[Addition]:
    if isinstance(kind, ListType):
        elements = [one for value in values if isinstance(value, list) for one in value]
        of = known.element_type if isinstance(known, ListType) else None
        yield from _additions((*path, "element"), kind.element_type, elements, of)
    elif isinstance(kind, MapType):
        below = [one for value in values if isinstance(value, dict) for one in value.values()]
        of = known.value_type if isinstance(known, MapType) else None
        yield from _additions((*path, "value"), kind.value_type, below, of)
    elif isinstance(kind, StructType):
        objects = [value for value in values if isinstance(value, dict)]
        names = set[str]().union(*objects)
        taken = {field.name.lower() for field in kind.fields}
        of_name = (
            {field.name: field.field_type for field in known.fields} if isinstance(known, StructType) else {}
        )
        for name in itertools.chain(of_name, sorted(names)):
            if name.lower() in taken or not valid_name(name):
                continue
            there = [value[name] for value in objects if name in value]
            if name in of_name or any(map(carries, there)):
                taken.add(name.lower())
                yield Addition((*path, name), of_name.get(name) or inferred(there))
        for field in kind.fields:
            if isinstance(field.field_type, (StructType, ListType, MapType)):
                there = [value[field.name] for value in objects if field.name in value]
                yield from _additions((*path, field.name), field.field_type, there, of_name.get(field.name))


def _size(kind: IcebergType) -> int:
    """Columns in a type."""
    if isinstance(kind, StructType):
        return sum(1 + _size(field.field_type) for field in kind.fields)
    if isinstance(kind, ListType):
        return _size(kind.element_type)
    return _size(kind.value_type) if isinstance(kind, MapType) else 0
