"""Avro schemas as plain types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.dump.decoding import MISSING
from penstock.dump.formats.avro import (
    VALUE,
    AnyType,
    Array,
    Decimal,
    Enum,
    Field,
    Fixed,
    Json,
    Kind,
    Map,
    Record,
    Scalar,
    columns,
    read,
)
from penstock.limits import Limits
from penstock.model.schema import check_schema


def type_of(schema: Any) -> AnyType:
    text = json.dumps(schema)
    check_schema(text, Limits())  # nothing else gets here
    return read(text)


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


@pytest.mark.parametrize("name", ["boolean", "int", "long", "float", "double", "string", "bytes", "null"])
def test_primitives(name: str) -> None:
    assert type_of(name) == type_of({"type": name}) == Scalar(Kind(name))


@pytest.mark.parametrize(
    ("of", "logical"),
    [
        ("int", "date"),
        ("int", "time-millis"),
        ("long", "time-micros"),
        ("long", "timestamp-millis"),
        ("long", "timestamp-micros"),
        ("long", "local-timestamp-millis"),
        ("long", "local-timestamp-micros"),
        ("string", "uuid"),
    ],
)
def test_logical_types_count_on_the_type_they_are_made_for_only(of: str, logical: str) -> None:
    """Avro specification, "Logical Types": implementations must ignore unknown or invalid logical types."""
    assert type_of({"type": of, "logicalType": logical}) == Scalar(Kind(logical))
    assert type_of({"type": "double", "logicalType": logical}) == Scalar(Kind.DOUBLE)
    assert type_of({"type": of, "logicalType": "colour"}) == Scalar(Kind(of))


@pytest.mark.parametrize(
    ("extra", "type_"),
    [
        ({"precision": 9, "scale": 2}, Decimal(9, 2)),
        ({"precision": 9}, Decimal(9, 0)),
        ({"precision": 77}, Scalar(Kind.BYTES)),
    ],
)
def test_decimals_of_bytes(extra: dict[str, Any], type_: AnyType) -> None:
    assert type_of({"type": "bytes", "logicalType": "decimal", **extra}) == type_


def test_types_with_parts() -> None:
    assert type_of({"type": "array", "items": "int"}) == Array(Scalar(Kind.INT))
    assert type_of({"type": "map", "values": {"type": "array", "items": "int"}}) == Map(
        Array(Scalar(Kind.INT))
    )
    assert type_of({"type": "fixed", "name": "F", "size": 3}) == Fixed(3)
    assert type_of(
        {"type": "fixed", "name": "F", "size": 9, "logicalType": "decimal", "precision": 9, "scale": 9}
    ) == (Decimal(9, 9))
    assert type_of({"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "B"}) == Enum(
        ("A", "B"), "B"
    )
    fields = ({"name": "a", "type": "int", "default": 5}, {"name": "b", "type": "int"})
    assert type_of(record(*fields)) == Record(
        (Field("a", Scalar(Kind.INT), 5), Field("b", Scalar(Kind.INT), MISSING))
    )


@pytest.mark.parametrize(
    ("union", "type_"),
    [
        (["null", "string"], Scalar(Kind.STRING, nullable=True)),
        (["string", "null"], Scalar(Kind.STRING, nullable=True)),
        (["string"], Scalar(Kind.STRING)),
        (["null"], Scalar(Kind.NULL, nullable=True)),
        (["int", "long"], Scalar(Kind.LONG)),
        (["null", "int", "float"], Scalar(Kind.DOUBLE, nullable=True)),
        (["double", "long"], Json((Scalar(Kind.DOUBLE), Scalar(Kind.LONG)))),
        (["null", "int", "string"], Json((Scalar(Kind.INT), Scalar(Kind.STRING)), nullable=True)),
        (["null", {"type": "array", "items": "int"}], Array(Scalar(Kind.INT), nullable=True)),
    ],
)
def test_unions(union: list[Any], type_: AnyType) -> None:
    assert type_of(union) == type_


def test_names_are_found_across_namespaces_and_keep_their_types() -> None:
    inner = {"type": "enum", "name": "E", "namespace": "other", "symbols": ["A"]}
    schema = {
        "type": "record",
        "name": "R",
        "namespace": "here",
        "fields": [
            {"name": "a", "type": inner},
            {"name": "b", "type": {"type": "fixed", "name": "F", "size": 2}},
            {"name": "c", "type": ["null", "other.E"]},
            {"name": "d", "type": {"type": "array", "items": "here.F"}},
            {"name": "e", "type": "F"},
        ],
    }
    assert [field.type for field in columns(type_of(schema))] == [
        Enum(("A",)),
        Fixed(2),
        Enum(("A",), nullable=True),
        Array(Fixed(2)),
        Fixed(2),
    ]


def test_a_record_within_itself_is_json() -> None:
    schema = record(
        {"name": "next", "type": ["null", "R"]}, {"name": "more", "type": {"type": "array", "items": "R"}}
    )
    assert [field.type for field in columns(type_of(schema))] == [Json(nullable=True), Array(Json())]


def test_a_record_that_is_used_twice_is_there_twice() -> None:
    inner = record({"name": "x", "type": "int"}, name="I")
    schema = record({"name": "a", "type": inner}, {"name": "b", "type": "I"})
    first, second = columns(type_of(schema))
    assert first.type == second.type == Record((Field("x", Scalar(Kind.INT)),))


def test_a_record_without_fields_is_json() -> None:
    assert type_of(record()) == Json()


def test_what_is_no_record_is_one_column() -> None:
    assert columns(type_of("int")) == (Field(VALUE, Scalar(Kind.INT)),)


def test_types_that_double_at_every_level_end_somewhere() -> None:
    schema: dict[str, Any] = record({"name": "x", "type": "int"}, name="L0")
    for level in range(1, 14):
        fields = [{"name": "f0", "type": schema}]
        fields += [{"name": f"f{i}", "type": f"L{level - 1}"} for i in range(1, 4)]
        schema = record(*fields, name=f"L{level}")

    def leaves(type_: AnyType) -> int:
        return sum(leaves(field.type) for field in type_.fields) if isinstance(type_, Record) else 1

    assert 2000 < leaves(type_of(schema)) < 3000
