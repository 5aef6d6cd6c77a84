"""Parquet files made from JSON: with an Avro schema, and without one."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import chunks_of, doubles, longs, only, patient, reasons, texts

from penstock.dump import decoding
from penstock.dump.base import Encoded, Reject
from penstock.dump.formats.parquet import ParquetFormat


def record_schema(*fields: tuple[Any, ...]) -> str:
    """A schema of fields (name, type) or (name, type, default)."""
    return json.dumps(
        {
            "type": "record",
            "name": "Top",
            "fields": [dict(zip(("name", "type", "default"), field, strict=False)) for field in fields],
        }
    )


def encode(
    records: list[Any], schema: str | None = None, size: int = 3
) -> tuple[list[Encoded], list[Reject]]:
    return ParquetFormat(schema).encode(chunks_of(records, size))


def table(records: list[Any], schema: str | None = None, size: int = 3) -> Any:
    """The file of records that all fit."""
    encoded, body = only(encode(records, schema, size))
    assert (encoded.name, encoded.records) == (".parquet", len(records))
    return pq.read_table(io.BytesIO(body))


def rejected(value: Any, type_: Any) -> str:
    """Why a value of the field `f` does not fit; the same record with a value that fits, before and after it, does."""
    schema = record_schema(("f", ["null", type_]))
    (encoded,), rejects = encode([{"f": None}, {"f": value}, {"f": None}], schema)
    assert encoded.records == 2
    (sequence,) = reasons(rejects)
    assert sequence == 101
    return reasons(rejects)[sequence]


# With a schema: anything that fits comes out as it went in ------------------------------------------------------------

Pairs = st.SearchStrategy[tuple[Any, Any]]
"""JSON values with what comes out for them."""
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1)


def _same(values: st.SearchStrategy[Any]) -> Pairs:
    return values.map(lambda value: (value, value))


def _latin(value: str) -> tuple[str, bytes]:
    return value, value.encode("latin-1")


def _times(step: timedelta) -> Pairs:
    """Of a day, as numbers and as text."""
    return st.integers(0, _DAY // step - 1).flatmap(
        lambda n: st.sampled_from([n, (_EPOCH + n * step).time().isoformat()]).map(
            lambda given_: (given_, (_EPOCH + n * step).time())
        )
    )


def _moments(step: timedelta, zone: Any) -> Pairs:
    def pair(when: datetime) -> Pairs:
        number = (when - _EPOCH) // step
        out = (_EPOCH + number * step).replace(tzinfo=zone)
        return st.sampled_from([number, when.isoformat() + ("Z" if zone else "")]).map(
            lambda given_: (given_, out)
        )

    return st.datetimes().flatmap(pair)


def _dates() -> Pairs:
    return st.dates().flatmap(
        lambda day: st.sampled_from([(day - date(1970, 1, 1)).days, day.isoformat()]).map(
            lambda given_: (given_, day)
        )
    )


def _decimals(precision: int, scale: int) -> Pairs:
    def pair(whole: int) -> tuple[str, Decimal]:
        value = Decimal(f"{whole}e-{scale}")
        return format(value, "f"), value

    return st.integers(-(10**precision) + 1, 10**precision - 1).map(pair)


_latins = st.text(st.characters(max_codepoint=255), max_size=6).map(_latin)
_LEAVES: list[tuple[Any, Pairs]] = [
    ("boolean", _same(st.booleans())),
    ("int", _same(st.integers(-(1 << 31), (1 << 31) - 1))),
    ("long", _same(longs)),
    ("float", _same(st.floats(width=32, allow_nan=False, allow_infinity=False))),
    ("double", _same(doubles)),
    ("double", st.integers(-(1 << 53), 1 << 53).map(lambda n: (n, float(n)))),
    ("string", _same(texts)),
    ("bytes", _latins),
    ({"type": "int", "logicalType": "date"}, _dates()),
    ({"type": "int", "logicalType": "time-millis"}, _times(timedelta(milliseconds=1))),
    ({"type": "long", "logicalType": "time-micros"}, _times(timedelta(microseconds=1))),
    ({"type": "long", "logicalType": "timestamp-millis"}, _moments(timedelta(milliseconds=1), UTC)),
    ({"type": "long", "logicalType": "timestamp-micros"}, _moments(timedelta(microseconds=1), UTC)),
    ({"type": "long", "logicalType": "local-timestamp-millis"}, _moments(timedelta(milliseconds=1), None)),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, _moments(timedelta(microseconds=1), None)),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3}, _decimals(9, 3)),
    ({"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 20}, _decimals(50, 20)),
    ({"type": "string", "logicalType": "uuid"}, _same(st.uuids().map(str))),
]


@st.composite
def typed(draw: st.DrawFn, names: list[int], depth: int = 3) -> tuple[Any, Pairs]:
    """A schema and what its values are."""
    names.append(0)
    name = f"N{len(names)}"
    kind = draw(
        st.sampled_from(
            ["leaf"] * 4 + ["fixed", "enum"] + ["array", "map", "record", "nullable", "union"] * (depth > 0)
        )
    )
    if kind == "leaf":
        leaf: tuple[Any, Pairs] = draw(st.sampled_from(_LEAVES))
        return leaf
    if kind == "fixed":
        return {"type": "fixed", "name": name, "size": 4}, st.text(
            st.characters(max_codepoint=255), min_size=4, max_size=4
        ).map(_latin)
    if kind == "enum":
        return {"type": "enum", "name": name, "symbols": ["A", "B"]}, _same(st.sampled_from(["A", "B"]))
    if kind == "union":
        return ["boolean", "null", "string"], st.one_of(
            st.booleans().map(lambda value: (value, json.dumps(value))),
            texts.map(lambda value: (value, json.dumps(value))),
            st.just((None, None)),
        )
    if kind == "record":
        parts = {
            f"{field}_": draw(typed(names, depth - 1))
            for field in draw(st.sets(st.sampled_from("abcd"), min_size=1))
        }
        return (
            {
                "type": "record",
                "name": name,
                "fields": [{"name": field, "type": part[0]} for field, part in parts.items()],
            },
            st.fixed_dictionaries({field: part[1] for field, part in parts.items()}).map(
                lambda pairs: (
                    {f: pair[0] for f, pair in pairs.items()},
                    {f: pair[1] for f, pair in pairs.items()},
                )
            ),
        )
    inner, values = draw(typed(names, depth - 1))
    if kind == "array":
        return {"type": "array", "items": inner}, st.lists(values, max_size=3).map(
            lambda pairs: ([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        )
    if kind == "map":
        return {"type": "map", "values": inner}, st.dictionaries(texts, values, max_size=3).map(
            lambda pairs: (
                {k: pair[0] for k, pair in pairs.items()},
                [(k, pair[1]) for k, pair in pairs.items()],
            )
        )
    if isinstance(inner, list):
        return inner, values
    return ["null", inner], st.just((None, None)) | values


@patient
@given(st.data())
def test_every_record_that_fits_comes_out_as_it_went_in(data: st.DataObject) -> None:
    names: list[int] = []
    fields = [(field, *data.draw(typed(names))) for field in ("class", "_x", "value")]
    schema = record_schema(*((field, type_) for field, type_, _ in fields))
    pairs = data.draw(
        st.lists(
            st.fixed_dictionaries({field: values for field, _, values in fields}), min_size=1, max_size=6
        )
    )
    records = [{field: pair[0] for field, pair in record.items()} for record in pairs]
    found = table(records, schema, size=data.draw(st.integers(1, 4)))
    assert found.to_pylist() == [{field: pair[1] for field, pair in record.items()} for record in pairs]


@pytest.mark.parametrize(
    ("type_", "arrow", "parquet"),
    [
        ("boolean", pa.bool_(), "BOOLEAN"),
        ("int", pa.int32(), "INT32"),
        ("long", pa.int64(), "INT64"),
        ("float", pa.float32(), "FLOAT"),
        ("double", pa.float64(), "DOUBLE"),
        ("string", pa.string(), "BYTE_ARRAY"),
        ("bytes", pa.binary(), "BYTE_ARRAY"),
        ("null", pa.string(), "BYTE_ARRAY"),
        ({"type": "fixed", "name": "F", "size": 3}, pa.binary(3), "FIXED_LEN_BYTE_ARRAY"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, pa.string(), "BYTE_ARRAY"),
        ({"type": "int", "logicalType": "date"}, pa.date32(), "INT32"),
        ({"type": "int", "logicalType": "time-millis"}, pa.time32("ms"), "INT32"),
        ({"type": "long", "logicalType": "time-micros"}, pa.time64("us"), "INT64"),
        ({"type": "long", "logicalType": "timestamp-millis"}, pa.timestamp("ms", tz="UTC"), "INT64"),
        ({"type": "long", "logicalType": "timestamp-micros"}, pa.timestamp("us", tz="UTC"), "INT64"),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, pa.timestamp("ms"), "INT64"),
        ({"type": "long", "logicalType": "local-timestamp-micros"}, pa.timestamp("us"), "INT64"),
        ({"type": "string", "logicalType": "uuid"}, pa.string(), "BYTE_ARRAY"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            pa.decimal128(9, 2),
            "FIXED_LEN_BYTE_ARRAY",
        ),
        (["int", "string"], pa.string(), "BYTE_ARRAY"),
    ],
)
def test_columns_have_the_types_of_the_schema_and_nullable_is_what_can_be_null(
    type_: Any, arrow: Any, parquet: str
) -> None:
    branches = type_ if isinstance(type_, list) else [type_]
    nullable = ["null", *branches] if type_ != "null" else "null"
    _, body = only(
        encode(
            [{"n": None, "more": []}],
            record_schema(
                ("n", nullable),
                (
                    "more",
                    {
                        "type": "array",
                        "items": type_
                        if not isinstance(type_, dict) or "name" not in type_
                        else type_["name"],
                    },
                ),
            ),
        )
    )
    found = pq.ParquetFile(io.BytesIO(body))
    assert found.schema_arrow.field("n") == pa.field("n", arrow, nullable=True)
    assert found.schema_arrow.field("more") == pa.field(
        "more", pa.list_(pa.field("element", arrow, nullable=type_ == "null")), nullable=False
    )
    assert found.schema.column(0).physical_type == parquet


# With a schema: what does not fit is rejected, naming the field ----------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        ("int", 1 << 31, "Expected `int` <= 2147483647"),
        ("int", -(1 << 31) - 1, "Expected `int` >= -2147483648"),
        ("int", 1.5, "Expected `int | null`, got `float`"),
        ("int", True, "Expected `int | null`, got `bool`"),
        ("int", "1", "Expected `int | null`, got `str`"),
        ("long", 1 << 63, "Expected `int` <= 9223372036854775807"),
        ("float", 3.40282357e38, "Expected `float` < 3.4"),
        ("double", "1.5", "Expected `float | null`, got `str`"),
        ("boolean", 0, "Expected `bool | null`, got `int`"),
        ("string", 5, "Expected `str | null`, got `int`"),
        ("string", {}, "Expected `str | null`, got `object`"),
        ("bytes", "Ā", "f: a character beyond U+00FF is no byte"),
        ({"type": "fixed", "name": "F", "size": 2}, "abc", "Expected `str` of length <= 2"),
        ({"type": "fixed", "name": "F", "size": 2}, "a", "Expected `str` of length >= 2"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B", "Invalid enum value 'B'"),
        ({"type": "array", "items": "int"}, [1, "x"], "Expected `int`, got `str` - at `$.f[1]`"),
        ({"type": "map", "values": "int"}, {"a": None}, "Expected `int`, got `null` - at `$.f[...]`"),
        ({"type": "int", "logicalType": "date"}, "2026-02-30", "Invalid RFC3339 encoded date"),
        ({"type": "int", "logicalType": "time-millis"}, 86_400_000, "Expected `int` <= 86399999"),
        ({"type": "long", "logicalType": "time-micros"}, -1, "Expected `int` >= 0"),
        (
            {"type": "long", "logicalType": "time-micros"},
            "10:00:00Z",
            "Expected `time` with no timezone component",
        ),
        ({"type": "long", "logicalType": "timestamp-millis"}, "soon", "Invalid RFC3339 encoded datetime"),
        (
            {"type": "long", "logicalType": "local-timestamp-millis"},
            "2026-01-01T00:00:00Z",
            "Expected `datetime` with no timezone component",
        ),
        ({"type": "string", "logicalType": "uuid"}, "none", "Invalid UUID"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            123.4,
            "f: 123.4 does not fit decimal(4, 2)",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            "1.234",
            "f: 1.234 does not fit decimal(4, 2)",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            "NaN",
            "f: NaN does not fit decimal(4, 2)",
        ),
        (
            {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]},
            {"x": "no"},
            "- at `$.f.x`",
        ),
        (
            {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]},
            {},
            "Object missing required field `x` - at `$.f`",
        ),
        (
            {"type": "record", "name": "I", "fields": [{"name": "x", "type": "bytes"}]},
            {"x": "Ā"},
            "x: a character beyond U+00FF is no byte - at `$.f`",
        ),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_rejected_and_its_neighbours_are_not(
    type_: Any, value: Any, reason: str
) -> None:
    found = rejected(value, type_)
    assert found.startswith("does not fit the schema: ")
    assert reason in found
    assert "f" in found.removeprefix("does not fit the schema: ")


def test_a_value_that_fits_no_branch_of_its_union_is_rejected() -> None:
    schema = record_schema(("f", ["int", "string"]))
    (encoded,), rejects = encode([{"f": 1}, {"f": 1.5}, {"f": None}, {"f": "x"}], schema)
    assert encoded.records == 2
    assert reasons(rejects) == dict.fromkeys(
        (101, 102), "does not fit the schema: f: fits no branch of the union"
    )


def test_what_is_no_json_is_rejected_as_that() -> None:
    (encoded,), rejects = encode([{"f": ""}, b"{", b"[]", b'{"f":"\xff"}'], record_schema(("f", "string")))
    assert encoded.records == 1
    assert reasons(rejects) == {
        101: "not a JSON object: Input data was truncated",
        102: "does not fit the schema: Expected `object`, got `array`",
        103: "not a JSON object: a text in it is not UTF-8",
    }


def test_no_file_when_nothing_is_left() -> None:
    for schema in (None, record_schema(("f", "int"))):
        files, rejects = encode([b"no", b"[]"], schema)
        assert (files, list(reasons(rejects))) == ([], [100, 101])
        assert encode([], schema) == ([], [])


# With a schema: defaults, promotion, odd schemas -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "default", "value"),
    [
        ("int", 7, 7),
        ("double", 7, 7.0),
        ("string", "", ""),
        (["null", "int"], None, None),
        (["int", "null"], 5, 5),
        ("bytes", "ÿ", b"\xff"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            "\u0001\u0002",
            Decimal("2.58"),
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 1},
            (3**80).to_bytes(16, "big").decode("latin-1"),
            Decimal(f"{3**80}e-1"),
        ),
        ({"type": "array", "items": "int"}, [1, 2], [1, 2]),
        ({"type": "map", "values": "int"}, {"a": 1}, [("a", 1)]),
        (
            {"type": "record", "name": "I", "fields": [{"name": "x", "type": "bytes"}]},
            {"x": "a"},
            {"x": b"a"},
        ),
        ({"type": "array", "items": "bytes"}, ["a"], [b"a"]),
        (["string", "int"], "x", '"x"'),
        ({"type": "int", "logicalType": "date"}, 1, date(1970, 1, 2)),
    ],
)
def test_a_field_that_is_not_there_has_its_default(type_: Any, default: Any, value: Any) -> None:
    """Avro specification, "Complex Types", `default`; each record has it anew."""
    assert table([{}, {}], record_schema(("f", type_, default))).to_pylist() == [{"f": value}] * 2


def test_without_a_default_only_what_can_be_null_may_be_missing() -> None:
    schema = record_schema(("a", "int"), ("b", ["null", "int"]), ("c", ["null", "int", "string"]))
    (encoded,), rejects = encode([{"a": 1}, {"b": 1}], schema)
    assert pq.read_table(io.BytesIO(encoded.body.bytes())).to_pylist() == [{"a": 1, "b": None, "c": None}]
    assert reasons(rejects) == {101: "does not fit the schema: Object missing required field `a`"}


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        ("int", 1 << 31),
        ("bytes", "Ā"),
        ({"type": "array", "items": "int"}, ["x"]),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B"),
        ({"type": "fixed", "name": "F", "size": 2}, "abc"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 1}, "\u0001\u0001"),
        ({"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]}, {}),
    ],
)
def test_a_default_that_is_none_of_its_type_does_not_count(type_: Any, default: Any) -> None:
    files, rejects = encode([{}], record_schema(("f", type_, default)))
    assert files == []
    assert reasons(rejects) == {100: "does not fit the schema: Object missing required field `f`"}


def test_whole_numbers_are_taken_for_fractions() -> None:
    """Avro specification, "Schema Resolution": int is promotable to long, float or double."""
    schema = record_schema(("l", "long"), ("f", "float"), ("d", "double"), ("m", ["int", "float"]))
    assert table([{"l": 1, "f": 2, "d": 3, "m": 4}], schema).to_pylist() == [
        {"l": 1, "f": 2.0, "d": 3.0, "m": 4.0}
    ]


def test_an_enum_with_a_default_takes_any_symbol() -> None:
    schema = record_schema(("f", {"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "B"}))
    assert table([{"f": "A"}, {"f": "C"}], schema).to_pylist() == [{"f": "A"}, {"f": "B"}]


def test_attributes_that_the_schema_does_not_have_are_left_out() -> None:
    assert table([{"f": 1, "g": 2}], record_schema(("f", "int"))).to_pylist() == [{"f": 1}]


def test_a_record_within_itself_is_json_text() -> None:
    schema = record_schema(("n", "int"), ("next", ["null", "Top"]))
    found = table([{"n": 1, "next": {"n": 2, "next": None}}, {"n": 3, "next": None}], schema).to_pylist()
    assert found == [{"n": 1, "next": '{"n": 2, "next": null}'}, {"n": 3, "next": None}]


def test_a_null_object_around_what_cannot_be_null_is_null_itself() -> None:
    inner = {
        "type": "record",
        "name": "I",
        "fields": [
            {"name": "a", "type": "int"},
            {"name": "b", "type": {"type": "array", "items": "string"}},
            {"name": "c", "type": {"type": "map", "values": "int"}},
            {
                "name": "d",
                "type": {"type": "record", "name": "J", "fields": [{"name": "x", "type": "bytes"}]},
            },
            {"name": "e", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}},
        ],
    }
    value = {"a": 1, "b": ["x"], "c": {"k": 1}, "d": {"x": "y"}, "e": 1.25}
    found = table([{"f": None}, {"f": value}, {"f": None}], record_schema(("f", ["null", inner]))).to_pylist()
    out = {"a": 1, "b": ["x"], "c": [("k", 1)], "d": {"x": b"y"}, "e": Decimal("1.25")}
    assert found == [{"f": None}, {"f": out}, {"f": None}]


def test_a_schema_of_no_record_gives_one_column() -> None:
    found = table([{"a": 1}, {}], '{"type": "map", "values": "int"}')
    assert found.to_pylist() == [{"value": [("a", 1)]}, {"value": []}]
    _, rejects = encode([{"a": "x"}], '{"type": "map", "values": "int"}')
    assert reasons(rejects) == {100: "does not fit the schema: Expected `int`, got `str` - at `$[...]`"}
    either = json.loads(
        f"[{record_schema(('f', 'int'))}, {record_schema(('g', 'int')).replace('Top', 'Other')}]"
    )
    assert table([{"g": 1}, {"f": 2}], json.dumps(either)).to_pylist() == [
        {"value": '{"g": 1}'},
        {"value": '{"f": 2}'},
    ]


# Files -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", [None, record_schema(("a", "int"), ("b", ["null", "string"]))])
def test_batches_are_row_groups_and_bytes_are_the_same_every_time(
    schema: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [{"a": i, "b": "x" * (i % 5)} for i in range(100)]
    monkeypatch.setattr(decoding.batches, "__defaults__", (230,))
    _, body = only(encode(records, schema, size=10))
    assert body == only(encode(records, schema, size=10))[1]
    file = pq.ParquetFile(io.BytesIO(body))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [20] * 5
    assert file.read().to_pylist() == records
    assert {file.metadata.row_group(0).column(i).compression for i in range(2)} == {"SNAPPY"}


def test_uuids_are_written_one_way() -> None:
    schema = record_schema(("f", {"type": "string", "logicalType": "uuid"}))
    given_ = UUID(int=255)
    assert table([{"f": given_.hex.upper()}], schema).to_pylist() == [{"f": str(given_)}]


def test_the_largest_float_may_be_written_with_few_digits() -> None:
    (found,) = table([{"f": 3.4028235e38}], record_schema(("f", "float"))).to_pylist()
    assert found == {"f": 3.4028234663852886e38}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0001-01-01T00:00:00+23:59", -62_135_683_140), ("9999-12-31T23:59:59-23:59", 253_402_387_139)],
)
def test_an_offset_may_lead_beyond_the_years_that_python_has(text: str, seconds: int) -> None:
    schema = record_schema(("f", {"type": "long", "logicalType": "timestamp-millis"}))
    assert table([{"f": text}], schema).column("f").cast(pa.int64()).to_pylist() == [seconds * 1000]


@pytest.mark.parametrize(
    "number", ["1e99999999999999999999", "9" * 5000, '"sNaN"', '"-Infinity"', '"1e9999999"']
)
def test_numbers_beyond_all_measure_are_rejected(number: str) -> None:
    """Whatever a record holds, it must not make the file fail."""
    decimal_ = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
    for type_ in (decimal_, "double", "long", ["long", "double"]):
        files, rejects = encode([f'{{"f":{number}}}'.encode()], record_schema(("f", type_)))
        assert (files, list(reasons(rejects))) == ([], [100])


def test_a_time_with_an_offset_is_the_moment_it_means_and_one_without_is_utc() -> None:
    schema = record_schema(("f", {"type": "long", "logicalType": "timestamp-millis"}))
    found = table([{"f": "2026-11-26T01:02:03.4567+08:00"}, {"f": "2026-11-26 01:02:03"}], schema).to_pylist()
    assert found == [
        {"f": datetime(2026, 11, 25, 17, 2, 3, 456_000, UTC)},
        {"f": datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC)},
    ]
    local = record_schema(("f", {"type": "int", "logicalType": "time-millis"}))
    assert table([{"f": "01:02:03.4567"}], local).to_pylist() == [{"f": time(1, 2, 3, 456_000)}]
