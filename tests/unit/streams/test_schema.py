"""`data_schema` (5.1.1 table 5-3, DIS.4360)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ApiError
from penstock.limits import Limits
from penstock.model.schema import check_schema, schema_text

SAMPLE = {
    "type": "record",
    "name": "RecordName",
    "fields": [{"name": "key1", "type": "string", "doc": "Type inferred from '\"value1\"'"}],
}
GOOD: list[Any] = [
    SAMPLE,
    "string",
    ["null", "string"],
    {"type": "array", "items": "long"},
    {"type": "map", "values": "double"},
    {"type": "enum", "name": "E", "symbols": ["A", "B"]},
    {"type": "fixed", "name": "F", "size": 16},
    {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]},
]
BAD: list[Any] = [
    5,
    None,
    True,
    {},
    {"type": "record"},
    {"type": "recrod", "name": "R", "fields": []},
    {"type": "record", "name": "R", "fields": 5},
    {"type": "record", "name": "R", "fields": [5]},
    {"type": "record", "name": 5, "fields": []},
    {"type": "record", "name": "R", "fields": [{"name": "x", "type": "nope"}]},
    {"type": "enum", "name": "E"},
    {"type": "array"},
    {"type": ["string"]},
    "nope",
    SAMPLE | {"__fastavro_parsed": True},
    {"type": "array", "items": {"__fastavro_parsed": True, "type": "record"}},
]


@pytest.mark.parametrize("schema", GOOD, ids=json.dumps)
def test_avro_is_accepted(schema: Any) -> None:
    check_schema(json.dumps(schema), Limits())


@pytest.mark.parametrize("schema", BAD, ids=json.dumps)
def test_anything_else_is_refused(schema: Any) -> None:
    with pytest.raises(ApiError) as refused:
        check_schema(json.dumps(schema), Limits())
    assert refused.value.code == "DIS.4360"
    assert "data_schema" in refused.value.message


@pytest.mark.parametrize(
    "text", ["string", "{", "", '{"type": "string"} x'], ids=["bare", "open", "empty", "more"]
)
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ApiError, match=r"DIS\.4360"):
        check_schema(text, Limits())


def nested(depth: int, opening: str, middle: str, closing: str) -> str:
    return opening * depth + middle + closing * depth


@pytest.mark.parametrize("depth", [65, 1000, 5000])
@pytest.mark.parametrize(
    ("opening", "middle", "closing"), [("[", "", "]"), ('{"type":"array","items":', '"int"', "}")]
)
def test_depth_is_bounded_before_the_parser_sees_it(
    depth: int, opening: str, middle: str, closing: str
) -> None:
    with pytest.raises(ApiError, match=r"DIS\.4360"):
        check_schema(nested(depth, opening, middle, closing), Limits(data_schema_bytes=1 << 20))


def test_depth_that_is_allowed() -> None:
    check_schema(nested(60, '{"type":"array","items":', '"int"', "}"), Limits())


def test_size_is_bounded() -> None:
    check_schema(json.dumps("string" + "") + " " * 100, Limits(data_schema_bytes=200))
    with pytest.raises(ApiError, match="200 bytes"):
        check_schema('"string"' + " " * 193, Limits(data_schema_bytes=200))


def test_an_object_is_kept_as_its_text() -> None:
    assert json.loads(schema_text(SAMPLE)) == SAMPLE
    assert schema_text(' {"a": 1}') == ' {"a": 1}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just("string"),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["type", "name", "fields", "items", "symbols", "namespace", "x"]), inner
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_json_breaks_it(value: Any) -> None:
    """Accepted, or DIS.4360: nothing else."""
    try:
        check_schema(msgspec.json.encode(value).decode(), Limits())
    except ApiError as error:
        assert error.code == "DIS.4360"
