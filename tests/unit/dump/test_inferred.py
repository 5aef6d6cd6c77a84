"""Parquet files made from JSON without a schema: what columns become (formats/inferred.py)."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import json_objects, patient
from tests.unit.dump.test_parquet import table

from penstock.dump import decoding
from penstock.dump.formats import inferred


def fits(out: Any, value: Any, type_: Any) -> bool:
    """Whether a value came out as what it was, given what its column became."""
    if value is None:
        return out is None
    if pa.types.is_struct(type_):
        return all(fits(out[field.name], value.get(field.name), field.type) for field in type_) and (
            value.keys() <= {field.name for field in type_}
        )
    if pa.types.is_list(type_):
        return len(out) == len(value) and all(
            fits(o, v, type_.value_type) for o, v in zip(out, value, strict=True)
        )
    if pa.types.is_string(type_):
        return bool(out == value if isinstance(value, str) else json.loads(out) == value)
    return bool(out == value) and isinstance(out, bool) == isinstance(value, bool)


@patient
@given(st.lists(json_objects, min_size=1, max_size=8), st.integers(1, 4))
def test_no_record_is_lost_whatever_is_in_it(records: list[dict[str, Any]], size: int) -> None:
    found = table(records, size=size)
    if found.schema.names == ["value"] and not any("value" in record for record in records):
        assert [json.loads(row["value"]) for row in found.to_pylist()] == records
        return
    assert found.schema.names == sorted({name for record in records for name in record})
    for out, record in zip(found.to_pylist(), records, strict=True):
        assert fits(out, record, pa.struct(list(found.schema)))


@patient
@given(st.lists(json_objects, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_columns_depend_on_which_records_there_are_and_not_on_their_order_or_batches(
    records: list[dict[str, Any]], random: Any
) -> None:
    expected = table(records).schema
    shuffled = records.copy()
    random.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding.batches, "__defaults__", (1,))
        assert table(shuffled, size=1).schema == expected


@pytest.mark.parametrize(
    ("values", "type_", "out"),
    [
        ([1, None, -5], pa.int64(), [1, None, -5]),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([1 << 53, 0.5], pa.float64(), [float(1 << 53), 0.5]),
        ([(1 << 53) + 1, 0.5], pa.string(), ["9007199254740993", "0.5"]),
        ([(1 << 63) - 1, -(1 << 63)], pa.int64(), [(1 << 63) - 1, -(1 << 63)]),
        ([1 << 63, 1], pa.string(), ["9223372036854775808", "1"]),
        ([True, False], pa.bool_(), [True, False]),
        ([True, 1], pa.string(), ["true", "1"]),
        (["a", ""], pa.string(), ["a", ""]),
        (["a", 1, None], pa.string(), ["a", "1", None]),
        ([None, None], pa.string(), [None, None]),
        ([[1], [2.5, None], []], pa.list_(pa.field("element", pa.float64())), [[1.0], [2.5, None], []]),
        ([[], []], pa.list_(pa.field("element", pa.string())), [[], []]),
        ([[1], {"a": 1}], pa.string(), ["[1]", '{"a":1}']),
        ([{}, {}], pa.string(), ["{}", "{}"]),
        ([{"a": 1}, {}], pa.struct([("a", pa.int64())]), [{"a": 1}, {"a": None}]),
        ([{"b": 1}, {"a": "x"}, None], pa.struct([("a", pa.string()), ("b", pa.int64())]), [{"a": None, "b": 1}, {"a": "x", "b": None}, None]),
    ],
)  # fmt: skip
def test_what_attributes_become(values: list[Any], type_: Any, out: list[Any]) -> None:
    found = table([{"f": value} for value in values], size=1)
    assert found.schema.field("f") == pa.field("f", type_)
    assert found.column("f").to_pylist() == out


def test_objects_with_too_many_attributes_are_json_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inferred, "MOST_ATTRIBUTES", 2)
    records = [{"f": {"a": 1}}, {"f": {"b": 2}}, {"f": {"c": 3}}]
    assert table(records).column("f").to_pylist() == ['{"a":1}', '{"b":2}', '{"c":3}']
    assert table([record["f"] for record in records]).to_pylist() == [
        {"value": text} for text in ('{"a":1}', '{"b":2}', '{"c":3}')
    ]


def test_what_is_nested_too_deep_is_json_text() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    found = table([deep]).to_pylist()[0]
    for _ in range(inferred.DEEPEST + 1):
        found = found["a"]
    assert json.loads(found)["a"]["a"]
