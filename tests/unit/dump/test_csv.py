"""CSV files made from JSON (RFC 4180)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import chunks_of, json_objects, only, patient, reasons

from penstock.dump import decoding
from penstock.dump.formats import csv as csv_format
from penstock.dump.formats.csv import CsvFormat

SCHEMA = json.dumps(
    {"type": "record", "name": "R", "fields": [{"name": name, "type": "string"} for name in ("b", "a")]}
)


def encode(records: list[Any], schema: str | None = None, size: int = 3) -> str:
    encoded, body = only(CsvFormat(schema).encode(chunks_of(records, size)))
    assert (encoded.name, encoded.records) == (".csv", len(records))
    return body.decode()


def same(written: str, value: Any) -> bool:
    """Whether a cell says that; numbers may be written in several ways."""
    if value is None or isinstance(value, str):
        return written == (value or "")
    return bool(json.loads(written) == value) and isinstance(value, bool) == (written in ("true", "false"))


@patient
@given(st.lists(json_objects.filter(bool), min_size=1, max_size=8), st.integers(1, 4))
def test_every_record_is_a_line_with_all_of_its_attributes(records: list[dict[str, Any]], size: int) -> None:
    text = encode(records, size=size)
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == sorted({name for record in records for name in record})
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        assert all(same(written, record.get(name)) for name, written in zip(header, row, strict=True))


@patient
@given(st.lists(json_objects.filter(bool), min_size=1, max_size=8))
def test_the_same_records_give_the_same_bytes_in_one_batch_or_many(records: list[dict[str, Any]]) -> None:
    whole = encode(records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding.batches, "__defaults__", (1,))
        assert encode(records, size=2) == whole


def test_columns_are_the_fields_of_the_schema_in_its_order() -> None:
    text = encode([{"a": "1", "b": "2", "c": "3"}, {"b": "x"}, {}], SCHEMA)
    assert text == "b,a\n2,1\nx,\n,\n"


def test_columns_are_the_attributes_of_the_file_when_the_schema_is_of_no_record() -> None:
    assert encode([{"b": 1}, {"a": 2}], '{"type": "map", "values": "int"}') == "a,b\n,1\n2,\n"


def test_cells_hold_text_as_it_is_and_everything_else_as_json() -> None:
    record: dict[str, Any] = {
        "a": "text",
        "b": None,
        "c": True,
        "d": 1.5,
        "e": 10**30,
        "f": {"x": [1, None]},
        "g": [],
        "h": "ä,\"'",
    }
    assert encode([record]) == (
        "a,b,c,d,e,f,g,h\n"
        'text,,true,1.5,1000000000000000000000000000000,"{""x"":[1,null]}",[],"ä,""\'"\n'
    )  # fmt: skip


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n"])
def test_line_breaks_in_cells_are_quoted_and_kept(ending: str) -> None:
    """RFC 4180 section 2, rule 6; a lone carriage return ends a line for many readers."""
    assert encode([{"a": f"x{ending}y", "b": 1}]) == f'a,b\n"x{ending}y",1\n'


def test_a_column_alone_has_no_empty_lines() -> None:
    assert encode([{"a": None}, {"a": 1}]) == 'a\n""\n1\n'


def test_records_without_attributes_or_with_too_many_are_json_in_one_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert encode([{}, {}]) == "value\n{}\n{}\n"
    monkeypatch.setattr(csv_format, "MOST_ATTRIBUTES", 2)
    assert encode([{"a": 1}, {"b": 2}, {"c": 3}]) == 'value\n"{""a"":1}"\n"{""b"":2}"\n"{""c"":3}"\n'


@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_what_is_no_object_is_rejected(schema: str | None) -> None:
    (encoded,), rejects = CsvFormat(schema).encode(
        chunks_of([{"a": 1, "b": 2}, b"no", {"a": 3, "b": 4}, b"[]"])
    )
    assert encoded.records == 2
    assert list(reasons(rejects)) == [101, 103]
    assert encoded.body.bytes().count(b"\n") == 3


@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_no_file_when_nothing_is_left(schema: str | None) -> None:
    files, rejects = CsvFormat(schema).encode(chunks_of([b"no", b"[]"]))
    assert (files, list(reasons(rejects))) == ([], [100, 101])
    assert CsvFormat(schema).encode([]) == ([], [])
