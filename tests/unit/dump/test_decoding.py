"""Reading records: JSON, CSV, attributes, times."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import APPENDED_MS, chunks_of, json_objects, patient, reasons, texts

from penstock.dump.base import Chunk
from penstock.dump.decoding import (
    MISSING,
    attribute,
    batches,
    json_text,
    lines,
    moment,
    objects,
    objects_twice,
)
from penstock.model.tasks import TIMESTAMP_FORMATS, TimestampType

SHANGHAI = ZoneInfo("Asia/Shanghai")


# JSON -----------------------------------------------------------------------------------------------------------------


@patient
@given(st.lists(json_objects, max_size=10), st.integers(1, 4))
def test_every_object_is_decoded_with_its_sequence_number_and_time(
    records: list[dict[str, Any]], size: int
) -> None:
    rows, rejects = objects(chunks_of(records, size, base=7))
    assert rejects == []
    assert [row.value for row in rows] == records
    assert [row.sequence for row in rows] == list(range(7, 7 + len(records)))
    assert [row.append_ms for row in rows] == [
        APPENDED_MS + i // size * size * 1000 for i in range(len(records))
    ]
    assert [json.loads(row.data) for row in rows] == records


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a JSON object: Input data was truncated"),
        (b'{"a":1', "not a JSON object: Input data was truncated"),
        (b'{"a":1} {"b":2}', "not a JSON object: "),
        (b"[1]", "not a JSON object: Expected `object`, got `array`"),
        (b"null", "not a JSON object: Expected `object`, got `null`"),
        (b'"text"', "not a JSON object: Expected `object`, got `str`"),
        (b'{"a":"\xff"}', "not a JSON object: a text in it is not UTF-8"),
        (b'{"a":"\\ud800"}', "not a JSON object: "),
        (b'{"a":1e999}', "not a JSON object: Number out of range"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "not a JSON object that can be read: nested too deep"),
    ],
)
def test_what_is_no_object_is_rejected_and_its_neighbours_are_not(data: bytes, reason: str) -> None:
    rows, rejects = objects(chunks_of([{"n": 0}, data, {"n": 2}], base=10))
    assert [(row.sequence, row.value) for row in rows] == [(10, {"n": 0}), (12, {"n": 2})]
    assert [(reject.sequence, reject.data) for reject in rejects] == [(11, data)]
    assert rejects[0].reason.startswith(reason)
    assert len(rejects[0].reason) < 400


def test_whole_numbers_keep_every_digit_and_white_space_around_is_nothing() -> None:
    rows, _ = objects(chunks_of([b' {"n": 123456789012345678901234567890}\r\n']))
    assert rows[0].value == {"n": 123456789012345678901234567890}


def test_what_was_decoded_can_be_made_into_text_from_further_down_the_stack() -> None:
    def from_below(frames: int, value: Any) -> str:
        return from_below(frames - 1, value) if frames else json_text(value)

    # some of these are nested too deep for what is left of the stack: those must have been rejected
    rows, rejects = objects(
        chunks_of([b'{"a":' + b"[" * n + b"]" * n + b"}" for n in (*range(500, 1000, 5), 100_000)], size=10)
    )
    assert rows
    assert rejects
    for row in rows:
        assert from_below(60, row.value) == str(row.data, "utf-8")


@patient
@given(st.lists(json_objects, max_size=12), st.integers(1, 4))
def test_objects_that_are_given_twice_are_the_same_ones(records: list[dict[str, Any]], size: int) -> None:
    seen: list[dict[str, Any]] = []
    given_, rejects = objects_twice(chunks_of([*records, b"no"], size), seen.extend)
    assert seen == records
    assert [value for values in given_ for value in values] == records
    assert list(reasons(rejects)) == [100 + len(records)]


def test_batches_end_with_the_chunk_that_fills_them() -> None:
    chunks = [Chunk(i, 0, None, [b"12345"]) for i in range(5)]
    assert list(batches(iter(chunks), size=10)) == [chunks[:2], chunks[2:4], chunks[4:]]
    assert list(batches([], size=10)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", {"b": {"c": 1}}),
        ("a.b", {"c": 1}),
        ("a.b.c", 1),
        ("a.b.c.d", MISSING),
        ("a.x", MISSING),
        ("x", MISSING),
        ("n", None),
        ("n.a", MISSING),
        ("dotted.name", 2),
        ("a.", MISSING),
        ("", MISSING),
    ],
)
def test_an_attribute_is_found_by_its_name_or_else_by_its_path(path: str, value: Any) -> None:
    record = {"a": {"b": {"c": 1}}, "n": None, "dotted.name": 2, "dotted": {"name": 3}}
    assert attribute(record, path) == value


# CSV ------------------------------------------------------------------------------------------------------------------


@patient
@given(
    st.lists(st.lists(texts, min_size=2, max_size=4), max_size=8),
    st.sampled_from([",", ";", "|", "\t", "||", "::"]),
)
def test_every_line_of_csv_gives_its_fields(rows: list[list[str]], delimiter: str) -> None:
    quoted = [delimiter.join('"' + field.replace('"', '""') + '"' for field in row) for row in rows]
    found, rejects = lines(chunks_of([line.encode() + b"\r\n" for line in quoted], base=5), delimiter)
    assert rejects == []
    assert [row.fields for row in found] == rows
    assert [row.sequence for row in found] == list(range(5, 5 + len(rows)))


@pytest.mark.parametrize(
    ("data", "delimiter", "fields"),
    [
        (b"a,b", ",", ["a", "b"]),
        (b"a,b\n", ",", ["a", "b"]),
        (b"a,,", ",", ["a", "", ""]),
        (b'"a\nb",c', ",", ["a\nb", "c"]),
        (b"", ",", []),
        (b"\n", ",", []),
        (b"a;b,c", ";", ["a", "b,c"]),
        (b"a||b|c", "||", ["a", "b|c"]),
        (b'"a||b"||c', "||", ["a||b", "c"]),
        (b"a\nb\n", "\n", ["a", "b"]),
        (b'a"b"c', '"', ["a", "b", "c"]),
        (b"x" * 500_000 + b",y", ",", ["x" * 500_000, "y"]),
        ("ä,日本".encode(), ",", ["ä", "日本"]),
    ],
)
def test_fields_of_a_line(data: bytes, delimiter: str, fields: list[str]) -> None:
    rows, rejects = lines(chunks_of([data]), delimiter)
    assert rejects == []
    assert [row.fields for row in rows] == [fields]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'a,"b', "not a line of CSV: "),
        (b'"a"b,c', "not a line of CSV: "),
        (b"a\nb", "not a line of CSV: "),
        (b"a,\xff", "not a line of CSV: not UTF-8"),
    ],
)
def test_a_bad_line_is_rejected_and_takes_no_neighbour_along(data: bytes, reason: str) -> None:
    rows, rejects = lines(chunks_of([b"1,2", data, b"3,4", b'"5",6'], size=4, base=0), ",")
    assert [(row.sequence, row.fields) for row in rows] == [(0, ["1", "2"]), (2, ["3", "4"]), (3, ["5", "6"])]
    assert [(reject.sequence, reject.data) for reject in rejects] == [(1, data)]
    assert rejects[0].reason.startswith(reason)


# Times (5.5.1 table 5-83) ---------------------------------------------------------------------------------------------


@patient
@given(st.datetimes(), st.sampled_from(sorted(TIMESTAMP_FORMATS)))
def test_times_written_in_a_form_are_read_in_it(when: datetime, form: str) -> None:
    when = when.replace(microsecond=0)
    text = (
        form.replace("yyyy", f"{when.year:04}")
        .replace("MM", f"{when.month:02}")
        .replace("dd", f"{when.day:02}")
        .replace("HH", f"{when.hour:02}")
        .replace("mm", f"{when.minute:02}")
        .replace("ss", f"{when.second:02}")
    )
    assert moment(text, TimestampType.STRING, form, SHANGHAI) == when.replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize("form", sorted(TIMESTAMP_FORMATS))
@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2026-11-26T01:02:03",
        "99/99/9999 01:02:03",
        "2026/11/26 01:02",
        "12-31-2026 24:00:00 ",
        "30-02-2026 01:02:03",
        "2026-02-30 01:02:03",
        "١٢-١٢-٢٠٢٦ 01:02:03",
        1_700_000_000_000,
        None,
        True,
        ["2026-11-26 01:02:03"],
        MISSING,
    ],
)
def test_a_text_that_is_no_time_in_the_form_is_none(form: str, value: Any) -> None:
    assert moment(value, TimestampType.STRING, form, UTC) is None


@pytest.mark.parametrize("value", [1_700_000_000_123, "1700000000123"])
def test_a_timestamp_is_thirteen_digits_shown_in_the_zone(value: Any) -> None:
    when = moment(value, TimestampType.TIMESTAMP, "", SHANGHAI)
    assert when is not None
    assert when == datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
    assert when.isoformat() == "2023-11-15T06:13:20.123000+08:00"


@pytest.mark.parametrize(
    "value",
    [
        999_999_999_999,
        10_000_000_000_000,
        "170000000012",
        "17000000001234",
        "-700000000123",
        "1_700_000_000",
        "１７０００００００００００",
        1.7e12,
        True,
        None,
        MISSING,
        {},
        "2026-11-26 01:02:03",
    ],
)
def test_what_is_not_thirteen_digits_is_no_timestamp(value: Any) -> None:
    assert moment(value, TimestampType.TIMESTAMP, "", UTC) is None
