"""Records as lines of COPY: which attribute or field goes where, what values look like, what `options` refuse (5.5.7 table 5-106)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rounds import make_stream

from penstock.dump.sinks.dws_rows import Assigned, CsvRows, Encoded, JsonRows, assign, make_rows
from penstock.model.streams import DataType
from penstock.model.tasks import ConsumerStrategy, DwsDescriptor, DwsOptions

NO_OPTIONS = DwsOptions()
LENIENT = DwsOptions(fill_missing_fields=True, ignore_extra_data=True, compatible_illegal_chars=True)


def cells(encoded: Encoded) -> list[list[str | None]]:
    """What COPY would read (PostgreSQL manual, COPY, "Text Format")."""
    if not encoded.rows:
        assert encoded.text == b""
        return []
    assert encoded.text.endswith(b"\n")
    lines = encoded.text.decode().split("\n")[:-1]
    assert len(lines) == encoded.rows
    return [[_cell(cell) for cell in line.split("\t")] for line in lines]


def _cell(cell: str) -> str | None:
    if cell == r"\N":
        return None
    text, at = "", 0
    while at < len(cell):
        if cell[at] != "\\":
            text, at = text + cell[at], at + 1
        elif cell[at + 1] == "x":
            text, at = text + chr(int(cell[at + 2 : at + 4], 16)), at + 4
        else:
            text, at = text + {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}[cell[at + 1]], at + 2
    return text


def objects(
    columns: str, *records: Any, options: DwsOptions = NO_OPTIONS, extra_allowed: bool = False
) -> Encoded:
    data = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    return JsonRows(columns.split(","), options, extra_allowed=extra_allowed).encode(data)


def csv_lines(columns: str, *records: bytes, options: DwsOptions = NO_OPTIONS, **more: Any) -> Encoded:
    return CsvRows(columns.split(","), options, more.pop("delimiter", ","), **more).encode(records)


class TestAssign:
    def test_a_columns_own_name_comes_before_another_case_of_it(self) -> None:
        assert assign(["a", "A", "b"], ["B", "A", "a", "b"]) == Assigned(["a", "A", "b"], ["B"])

    def test_the_first_of_several_cases_is_taken(self) -> None:
        assert assign(["id"], ["iD", "ID"]) == Assigned(["iD"], ["ID"])

    def test_no_name_fills_two_columns(self) -> None:
        assert assign(["id", "ID"], ["Id"]) == Assigned(["Id", None], [])

    def test_what_is_left_over_on_both_sides(self) -> None:
        assert assign(["a", "b"], ["c", "a"]) == Assigned(["a", None], ["c"])


class TestJson:
    def test_attributes_go_to_columns_by_name_in_any_order(self) -> None:
        assert cells(objects("a,b", {"b": 1, "a": "x"}, {"A": "y", "B": 2})) == [["x", "1"], ["y", "2"]]

    @pytest.mark.parametrize(
        "raw, expected",
        [
            (b"null", None),
            (b'"null"', "null"),
            (b'""', ""),
            (b'"\\\\N"', "\\N"),
            (b'"\\""', '"'),
            (b'"\\u001e\\u001f\\u001d"', "\x1e\x1f\x1d"),
            (b'"\\ud83d\\ude00"', "\U0001f600"),
            ('"漢"'.encode(), "漢"),
            (b"true", "true"),
            (b"1.10", "1.10"),
            (b"123456789012345678901234567890", "123456789012345678901234567890"),
            (b"[]", "[]"),
            (b'{"k":\n\t"v" ,\r\n"n":null}', '{"k":\n\t"v" ,\r\n"n":null}'),
            (b'{"k":"a\\n\\"\\\\"}', '{"k":"a\\n\\"\\\\"}'),
        ],
    )
    @pytest.mark.parametrize("other", [b"0", b'"\\t"'], ids=["plain", "escaped"])
    def test_values(self, raw: bytes, expected: str | None, other: bytes) -> None:
        """Also beside a value that makes the record one with escapes."""
        (row,) = cells(objects("a,b", b' {"b":' + other + b' , "a" : ' + raw + b" }\n"))
        assert row[0] == expected

    @given(st.lists(st.lists(st.none() | st.text() | st.integers(), min_size=2, max_size=2), max_size=5))
    def test_any_values_are_read_as_they_were(self, rows: list[list[Any]]) -> None:
        rows = [[v.replace("\0", "") if isinstance(v, str) else v for v in row] for row in rows]
        for ascii_only in (True, False):
            records = [
                json.dumps(dict(zip("ab", row, strict=True)), ensure_ascii=ascii_only).encode()
                for row in rows
            ]
            encoded = JsonRows(["a", "b"], NO_OPTIONS).encode(records)
            assert encoded.refused == {}
            assert cells(encoded) == [[v if v is None else str(v) for v in row] for row in rows]

    def test_the_last_of_two_equal_attributes_counts(self) -> None:
        assert cells(objects("a", b'{"a":1,"a":2}')) == [["2"]]

    @pytest.mark.parametrize(
        "record",
        [b"", b"no", b"[1]", b"1", b'{"a":1', b'{"a":1} {"a":2}', b'{"a":"\t"}', b'{"a":01}', b"[" * 100_000],
    )
    def test_what_is_no_object_is_refused_alone(self, record: bytes) -> None:
        encoded = objects("a", {"a": 1}, record, {"a": 2})
        assert cells(encoded) == [["1"], ["2"]]
        assert encoded.refused[1].startswith("not a JSON object")

    def test_a_missing_attribute_is_null_or_refused(self) -> None:
        encoded = objects("a,b", {"a": 1}, {"b": 2, "a": 3})
        assert cells(encoded) == [["3", "2"]]
        assert encoded.refused == {0: "no attribute for column b; fill_missing_fields would make it NULL"}
        filled = objects("a,b", {"a": 1}, {}, options=DwsOptions(fill_missing_fields=True))
        assert cells(filled) == [["1", None], [None, None]]

    def test_an_attribute_without_a_column_is_left_out_or_refused(self) -> None:
        encoded = objects("a", {"a": 1, "x": 2}, {"a": 3})
        assert cells(encoded) == [["3"]]
        assert encoded.refused == {0: "no column for attribute x; ignore_extra_data would leave it out"}
        ignoring = DwsOptions(ignore_extra_data=True)
        assert cells(objects("a", {"x": 2, "a": 1, "A": 4}, options=ignoring)) == [["1"]]

    def test_of_many_shapes_each_is_judged_for_itself(self) -> None:
        records = [{f"x{n}": 1, "a": n} if n % 3 == 0 else {"a": n} for n in range(4000)]
        encoded = objects("a", *records)
        assert list(encoded.refused) == list(range(0, 4000, 3))
        assert cells(encoded) == [[str(n)] for n in range(4000) if n % 3]

    def test_illegal_characters_are_replaced_or_refused(self) -> None:
        """As GaussDB does it: zero becomes a space, what is not UTF-8 a question mark."""
        records = [b'{"a":"\xff\xe6\xbcx"}', b'{"a":"p\\u0000q"}', b'{"a":"r\0s"}', b'{"a":"\xef\xbf\xbd"}']
        strict = objects("a", *records)
        assert cells(strict) == [["\ufffd"]]
        assert sorted(strict.refused) == [0, 1, 2]
        assert "compatible_illegal_chars" in strict.refused[0]
        compatible = objects("a", *records, options=LENIENT)
        assert cells(compatible) == [["??x"], ["p q"], ["r s"], ["\ufffd"]]

    def test_half_a_pair_of_surrogates_is_no_text(self) -> None:
        encoded = objects("a", b'{"a":"\\ud800"}', b'{"a":"\\ud800x"}', {"a": 1}, options=LENIENT)
        assert cells(encoded) == [["1"]]
        assert sorted(encoded.refused) == [0, 1]

    def test_halves_of_a_character_in_two_records_do_not_make_one(self) -> None:
        encoded = objects("a", b'{"a":"x"}\xe6', b'\xbc\xa2{"a":"y"}')
        assert sorted(encoded.refused) == [0, 1]


class TestCsv:
    def test_fields_go_to_columns_by_position(self) -> None:
        encoded = csv_lines("a,b,c", b"1,two,\n", b'"x, ""y""",,z\r\n', b",,")
        assert cells(encoded) == [["1", "two", None], ['x, "y"', None, "z"], [None, None, None]]

    @pytest.mark.parametrize("delimiter", [",", ";", "|", "||", "\t", "\x1e"])
    def test_every_delimiter(self, delimiter: str) -> None:
        records = [delimiter.join(["1", "null", "é"]).encode()]
        assert cells(csv_lines("a,b,c", *records, delimiter=delimiter)) == [["1", "null", "é"]]

    @given(st.lists(st.lists(st.text(st.sampled_from('ax,;\\N"\t\x1d\x1e\x1fé ')), min_size=2, max_size=2)))
    def test_any_fields_are_read_as_they_were(self, rows: list[list[str]]) -> None:
        def written(field: str) -> str:
            return '"' + field.replace('"', '""') + '"' if set(field) & set('",') else field

        records = [",".join(map(written, row)).encode() for row in rows]
        assert cells(csv_lines("a,b", *records)) == [[field or None for field in row] for row in rows]

    def test_too_few_fields_are_filled_or_refused(self) -> None:
        encoded = csv_lines("a,b,c", b"1", b"1,2,3", b"")
        assert cells(encoded) == [["1", "2", "3"]]
        assert encoded.refused[0] == "1 of 3 fields; fill_missing_fields would make the others NULL"
        assert cells(csv_lines("a,b,c", b"1", b"", options=LENIENT)) == [["1", None, None], [None] * 3]

    def test_too_many_fields_are_left_out_or_refused(self) -> None:
        encoded = csv_lines("a,b", b"1,2,3", b"1,2", b"1,2,")
        assert cells(encoded) == [["1", "2"]]
        assert encoded.refused[0] == "3 fields, not 2; ignore_extra_data would leave out the others"
        assert cells(csv_lines("a,b", b"1,2,3", options=LENIENT)) == [["1", "2"]]

    def test_fields_shift_between_records_only_within_one(self) -> None:
        """Two records with too many and too few breaks that together have the right number."""
        assert sorted(csv_lines("a,b", b"1,2,3", b"4").refused) == [0, 1]

    def test_what_is_no_line_is_refused_alone(self) -> None:
        encoded = csv_lines("a,b", b'"open,1', b'x"y,2', b"1,2\n3,4", b"5,6")
        assert cells(encoded)[-1] == ["5", "6"]
        assert 0 in encoded.refused and 2 in encoded.refused

    def test_illegal_characters_are_replaced_or_refused(self) -> None:
        assert sorted(csv_lines("a,b", b"\xff,1", b"p\0q,2", b"x,3").refused) == [0, 1]
        encoded = csv_lines("a,b", b"\xff,1", b"p\0q,2", b"x,3", options=LENIENT)
        assert cells(encoded) == [["?", "1"], ["p q", "2"], ["x", "3"]]

    def test_names_of_the_schema_say_where_fields_go(self) -> None:
        names = ["x", "B", "a"]
        refused = csv_lines("a,b", b"1,2,3", names=names).refused
        assert refused == {0: "no column for field x of data_schema"}
        assert cells(csv_lines("a,b", b"1,2,3", names=names, extra_allowed=True)) == [["3", "2"]]
        assert csv_lines("a,b,c", b"1,2,3", names=names).refused == {
            0: "data_schema has no field for column c"
        }
        assert cells(csv_lines("a,b,c", b"1,2,3", names=names, options=LENIENT)) == [["3", "2", None]]


class TestMakeRows:
    SCHEMA = json.dumps(
        {"type": "record", "name": "r", "fields": [{"name": n, "type": "string"} for n in ("b", "a")]}
    )

    def descriptor(self, columns: str = "", **options: Any) -> DwsDescriptor:
        return DwsDescriptor(
            task_name="load",
            agency_name="dis_admin_agency",
            deliver_time_interval=30,
            consumer_strategy=ConsumerStrategy.LATEST,
            retry_duration=60,
            dws_cluster_name="cluster",
            dws_cluster_id="c",
            dws_database_name="d",
            dws_schema="s",
            dws_table_name="t",
            dws_delimiter=";",
            user_name="u",
            kms_user_key_name="k",
            kms_user_key_id="k",
            obs_bucket_path="bucket",
            file_prefix="",
            dws_table_columns=columns,
            options=DwsOptions(**options),
        )

    def test_csv_is_split_at_the_streams_delimiter_else_at_the_tasks(self) -> None:
        stream = make_stream(DataType.CSV)
        assert cells(make_rows(stream, self.descriptor(), ["a", "b"]).encode([b"1,2;3"])) == [["1,2", "3"]]
        stream = make_stream(DataType.CSV, csv_delimiter=",")
        assert cells(make_rows(stream, self.descriptor(), ["a", "b"]).encode([b"1,2;3"])) == [["1", "2;3"]]

    def test_a_schema_names_the_fields_of_csv(self) -> None:
        stream = make_stream(DataType.CSV, schema=self.SCHEMA)
        assert cells(make_rows(stream, self.descriptor(), ["a", "b"]).encode([b"1;2"])) == [["2", "1"]]

    def test_columns_that_are_named_say_what_is_wanted(self) -> None:
        """5.5.7 `dws_table_columns`: c1 and c2 of the schema are dumped. The rest is not, and nothing is wrong with it."""
        rows = make_rows(make_stream(DataType.JSON), self.descriptor("a"), ["a"])
        assert cells(rows.encode([b'{"a":1,"b":2}'])) == [["1"]]
        stream = make_stream(DataType.CSV, schema=self.SCHEMA)
        assert cells(make_rows(stream, self.descriptor("a"), ["a"]).encode([b"1;2"])) == [["2"]]

    def test_without_names_csv_has_as_many_fields_as_there_are_columns(self) -> None:
        rows = make_rows(make_stream(DataType.CSV), self.descriptor("a"), ["a"])
        assert list(rows.encode([b"1;2"]).refused) == [0]
