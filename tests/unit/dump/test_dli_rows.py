"""Records as rows of an Iceberg table: what values become, what is refused, which columns a table gets. Huawei's texts say nothing of
types (5.5.9); docs/dump-dli.md does."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.schema import Schema
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
from tests.support.rounds import make_batch, make_stream

from penstock.dump.base import Chunk
from penstock.dump.sinks import iceberg_offsets as offsets
from penstock.dump.sinks.dli_rows import Rows, arrange, read
from penstock.dump.sinks.iceberg_types import (
    MOST_COLUMNS,
    MOST_NEW_COLUMNS,
    Addition,
    additions,
    declared,
    inferred,
)
from penstock.model.streams import DataType

EAST = timezone(timedelta(hours=8))


def schema(kind: IcebergType, required: bool = False) -> Schema:
    return Schema(NestedField(1, "c", kind, required=required))


def rows(table: Schema, *values: dict[str, Any], **more: Any) -> Rows:
    return arrange(values, table, **({"known": None, "zone": UTC, "csv": False} | more))


def column(kind: IcebergType, *values: Any, **more: Any) -> list[Any]:
    """What values become, in a column `c`; all must fit."""
    made = rows(schema(kind), *({"c": value} for value in values), **more)
    assert not made.bad
    found: list[Any] = made.table.column("c").to_pylist()
    return found


def refused(kind: IcebergType, value: Any) -> str:
    """Why a value does not fit; the one beside it does."""
    made = rows(schema(kind), {"c": value}, {})
    assert made.table.column("c").to_pylist() == [None]
    assert list(made.bad) == [0]
    return made.bad[0]


class TestScalars:
    @pytest.mark.parametrize(
        ("kind", "given", "expected"),
        [
            (BooleanType(), [True, False, None, "true", "FALSE"], [True, False, None, True, False]),
            (IntegerType(), [1, -(2**31), 2**31 - 1, "7", 3.0, None], [1, -(2**31), 2**31 - 1, 7, 3, None]),
            (LongType(), [2**63 - 1, " -9 ", Decimal("4.00")], [2**63 - 1, -9, 4]),
            (FloatType(), [1.5, 2, "0.25"], [1.5, 2.0, 0.25]),
            (DoubleType(), [1.5, 2, "1e3", 2**53 + 1, Decimal("0.1")], [1.5, 2.0, 1000.0, 2.0**53, 0.1]),
            (StringType(), ["a", 1, 1.5, True, {"a": [1]}], ["a", "1", "1.5", "true", '{"a":[1]}']),
            (
                DecimalType(9, 2),
                [1, "1.005", 0.1, Decimal("-2.5")],
                list(map(Decimal, ("1", "1.01", "0.1", "-2.5"))),
            ),
            (
                DateType(),
                ["2026-11-26", "20261126", "0", None],
                [date(2026, 11, 26)] * 2 + [date(1970, 1, 1), None],
            ),
            (
                TimeType(),
                ["01:02:03.5", 1, "1"],
                [time(1, 2, 3, 500_000), time(0, 0, 0, 1000), time(0, 0, 0, 1000)],
            ),
            (BinaryType(), ["AAEC", ""], [b"\0\1\2", b""]),
            (FixedType(3), ["AAEC"], [b"\0\1\2"]),
            (
                UUIDType(),
                ["f79c3e09-677c-4bbd-a479-3f349cb785e7"],
                [uuid.UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7")],
            ),
        ],
        ids=lambda value: str(value) if isinstance(value, IcebergType) else "",
    )
    def test_what_fits(self, kind: IcebergType, given: list[Any], expected: list[Any]) -> None:
        assert column(kind, *given) == expected

    @pytest.mark.parametrize(
        ("kind", "values"),
        [
            (BooleanType(), [1, "yes", []]),
            (IntegerType(), [2**31, 1.5, True, "1_0", "0x1", "", {}]),
            (LongType(), [2**63, 1e300, "12a"]),
            (FloatType(), [1e39, "1e39", True]),
            (DoubleType(), ["1e999", "1_0", 10**400, False]),
            (DecimalType(4, 2), [100, "x", "NaN", True, []]),
            (DateType(), ["26.11.2026", 10**9, 1.5]),
            (TimeType(), ["25:00", 86_400_000, -1, "01:00Z"]),
            (TimestampType(), ["yesterday", 10**18, True]),
            (TimestamptzType(), ["2026-13-01", 1.5]),
            (BinaryType(), ["a", "é", 1]),
            (FixedType(2), ["AAEC"]),
            (UUIDType(), ["x", 1]),
        ],
        ids=lambda value: str(value) if isinstance(value, IcebergType) else "",
    )
    def test_what_does_not(self, kind: IcebergType, values: list[Any]) -> None:
        for value in values:
            assert refused(kind, value).startswith("column c: ")

    def test_times_without_an_offset_are_in_the_zone_of_the_server(self) -> None:
        noon = datetime(2026, 11, 26, 12, tzinfo=EAST)
        texts = [
            "2026-11-26 12:00:00",
            "2026/11/26 12:00:00",
            "2026-11-26T04:00:00Z",
            int(noon.timestamp() * 1000),
            str(int(noon.timestamp() * 1000)),
        ]
        assert column(TimestamptzType(), *texts, zone=EAST) == [noon] * len(texts)
        assert column(TimestampType(), *texts, zone=EAST) == [noon.replace(tzinfo=None)] * len(texts)

    @given(
        st.lists(
            st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text()),
            max_size=6,
        )
    )
    @pytest.mark.parametrize(
        "kind", [BooleanType(), IntegerType(), LongType(), FloatType(), DoubleType(), StringType()]
    )
    def test_what_is_beside_a_value_changes_nothing(self, kind: IcebergType, values: list[Any]) -> None:
        """A column all of one kind takes another way than a mixed one."""
        together = rows(schema(kind), *({"c": value} for value in values))
        alone = [rows(schema(kind), {"c": value}) for value in values]
        assert sorted(together.bad) == [place for place, one in enumerate(alone) if one.bad]
        assert repr(together.table.column("c").to_pylist()) == repr(
            [value for one in alone for value in one.table.column("c").to_pylist()]
        )


class TestNested:
    ORDER = StructType(
        NestedField(2, "id", UUIDType(), required=True),
        NestedField(3, "tags", ListType(4, StringType(), element_required=False), required=False),
        NestedField(
            5, "sums", MapType(6, IntegerType(), 7, DecimalType(9, 2), value_required=False), required=False
        ),
    )
    ID = uuid.UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7")

    def test_objects_lists_and_maps(self) -> None:
        value = {"id": str(self.ID), "tags": ["a", None, 1], "sums": {"1": "0.10", "2": None}}
        assert column(self.ORDER, value, None, {"id": str(self.ID)}, value | {"tags": []}) == [
            {"id": self.ID, "tags": ["a", None, "1"], "sums": [(1, Decimal("0.10")), (2, None)]},
            None,
            {"id": self.ID, "tags": None, "sums": None},
            {"id": self.ID, "tags": [], "sums": [(1, Decimal("0.10")), (2, None)]},
        ]

    @pytest.mark.parametrize(
        ("value", "named"),
        [
            ({}, "column c.id: missing"),
            ({"id": 5}, "column c.id: 5 is no uuid"),
            ({"id": str(ID), "tags": "a"}, 'column c.tags: "a" is no list'),
            ({"id": str(ID), "sums": {"x": 1}}, 'column c.sums.key: "x" is no int'),
            ({"id": str(ID), "sums": {"1": "x"}}, 'column c.sums.value: "x" is no decimal(9, 2)'),
            ([], "column c: [] is no object"),
        ],
    )
    def test_the_reason_names_the_column(self, value: Any, named: str) -> None:
        assert refused(self.ORDER, value).startswith(named)

    def test_lists_of_objects_refuse_the_right_record(self) -> None:
        kind = ListType(
            2, StructType(NestedField(3, "n", IntegerType(), required=True)), element_required=True
        )
        values: list[dict[str, Any]] = [
            {"c": [{"n": 1}, {"n": 2}]},
            {"c": [{"n": 3}, {}]},
            {"c": [None]},
            {"c": [{"n": 4}]},
        ]
        made = rows(schema(kind), *values)
        assert made.bad == {
            1: "column c.element.n: missing, and it is required",
            2: "column c.element: missing, and it is required",
        }
        assert made.table.column("c").to_pylist() == [[{"n": 1}, {"n": 2}], [{"n": 4}]]


class TestNames:
    TABLE = Schema(NestedField(1, "pageid", LongType()), NestedField(2, "Name", StringType()))

    def test_case_matters_only_when_both_are_there(self) -> None:
        made = rows(self.TABLE, {"pageId": 1, "NAME": "a"}, {"pageid": 2, "pageId": 3, "Name": "b"})
        assert made.table.to_pylist() == [{"pageid": 1, "Name": "a"}, {"pageid": 2, "Name": "b"}]
        assert additions(self.TABLE.as_struct(), [{"pageId": 1, "NAME": "a"}], None) == []

    def test_what_has_no_column_is_refused_and_not_dropped(self) -> None:
        made = rows(
            self.TABLE,
            {"pageid": 1, "a.b": 1},
            {"pageid": 1, "more": 2},
            {"pageid": 2, "more": None, "a.b": []},
        )
        assert made.bad == {
            0: "column a.b: no name for a column",
            1: "column more: the table takes no more columns",
        }
        assert made.table.num_rows == 1

    def test_required(self) -> None:
        made = rows(schema(LongType(), required=True), {"c": 1}, {"c": None}, {})
        assert made.bad == dict.fromkeys((1, 2), "column c: missing, and it is required")
        assert not made.table.schema.field("c").nullable


class TestReading:
    TABLE = Schema(
        NestedField(1, "id", LongType(), required=True),
        NestedField(2, "name", StringType()),
        NestedField(3, "tags", ListType(4, IntegerType(), element_required=False)),
    )

    def csv(
        self, *records: bytes, schema: str = "", table: Schema = TABLE
    ) -> tuple[list[dict[str, Any]], dict[int, str]]:
        stream = make_stream(DataType.CSV, csv_delimiter=";", schema=schema)
        known = declared(stream.data_schema)
        found, rejects = read(stream, make_batch(0, records).chunks, table, known)
        made = arrange(found.values, table, known=known, zone=UTC, csv=True)
        bad = {found.sequences[place]: why for place, why in made.bad.items()}
        return made.table.to_pylist(), bad | {reject.sequence: reject.reason for reject in rejects}

    def test_csv_by_position(self) -> None:
        table, bad = self.csv(b"1;a;[1,2]", b"2;;", b"3", b";x;", b"4;x;oops", b"5;x;;y", b'6;"a;b"')
        assert [(row["id"], row["name"], row["tags"]) for row in table] == [
            (1, "a", [1, 2]),
            (2, "", None),
            (3, None, None),
            (6, "a;b", None),
        ]
        assert bad[3] == "column id: missing, and it is required"
        assert bad[4].startswith("column tags: not JSON")
        assert bad[5] == "4 fields, and the table has 3"

    def test_the_streams_schema_names_the_fields_of_csv(self) -> None:
        avro = {
            "type": "record",
            "name": "r",
            "fields": [{"name": n, "type": "string"} for n in ("name", "id")],
        }
        table, bad = self.csv(b"a;1", b"b;2;3", schema=json.dumps(avro))
        assert [(row["id"], row["name"]) for row in table] == [(1, "a")]
        assert bad == {1: "3 fields, and the schema has 2"}

    def test_decimals_keep_the_digits_they_are_written_with(self) -> None:
        text = "12345678901234567890.123456789"
        for kind in (DecimalType(38, 9), ListType(2, DecimalType(38, 9), element_required=False)):
            record = f'{{"c": {text if isinstance(kind, DecimalType) else f"[{text}]"}}}'.encode()
            found, _ = read(make_stream(), make_batch(0, [record]).chunks, schema(kind), None)
            (value,) = column(kind, *(value["c"] for value in found.values))
            assert value in (Decimal(text), [Decimal(text)])

    def test_what_is_no_json_object(self) -> None:
        found, rejects = read(make_stream(), make_batch(0, [b"{}", b"[]", b"{"]).chunks, self.TABLE, None)
        assert (found.sequences, [reject.sequence for reject in rejects]) == ([0], [1, 2])


class TestInferring:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([1, None, 2], "long"),
            ([1, 1.5], "double"),
            ([True, None], "boolean"),
            ([True, 1], "string"),
            ([1, "a"], "string"),
            ([2**63], "string"),
            ([[1], [], [1.5]], "list<double>"),
            (
                [{"b": 1}, {"a": [True]}, {"b": 2.5}],
                "struct<4: a: optional list<boolean>, 3: b: optional double>",
            ),
            ([{"a": 1}, [1]], "string"),
            ([{"a": 1, "A": 2}], "string"),
            ([{"a.b": 1}], "string"),
        ],
    )
    def test_widening_does_not_depend_on_the_order(self, values: list[Any], expected: str) -> None:
        found = {_without_ids(inferred(order)) for order in itertools.permutations(values)}
        assert found == {_without_ids_text(expected)}

    def test_what_is_nested_without_end_becomes_text(self) -> None:
        deep: Any = 1
        for _ in range(50):
            deep = [deep]
        kind, levels = inferred([deep]), 0
        while isinstance(kind, ListType):
            kind, levels = kind.element_type, levels + 1
        assert (kind, levels) == (StringType(), 16)
        assert column(inferred([deep]), deep) is not None


def _without_ids(kind: IcebergType) -> str:
    return _without_ids_text(str(kind))


def _without_ids_text(text: str) -> str:
    return "".join(part for part in text.replace("<", "< ").split(" ") if not part.rstrip(":").isdigit())


class TestAdditions:
    TABLE = Schema(
        NestedField(1, "id", LongType()),
        NestedField(
            2, "order", ListType(3, StructType(NestedField(4, "n", LongType())), element_required=False)
        ),
    )

    def missing(self, *values: dict[str, Any], known: str | None = None) -> list[Addition]:
        told = declared(known)
        return additions(self.TABLE.as_struct(), values, told and told.struct)

    def test_attributes_and_attributes_of_attributes(self) -> None:
        found = self.missing(
            {"id": 1, "z": True}, {"order": [{"n": 1, "m": 1.5}], "b": "x", "nothing": None, "empty": []}
        )
        assert [(addition.path, str(addition.type)) for addition in found] == [
            (("b",), "string"),
            (("z",), "boolean"),
            (("order", "element", "m"), "double"),
        ]

    def test_the_streams_schema_comes_first_and_has_the_last_word(self) -> None:
        """5.1.1 table 5-3, `data_schema`."""
        avro = {
            "type": "record",
            "name": "r",
            "fields": [
                {"name": "id", "type": "string"},
                {"name": "z", "type": ["null", "double"]},
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
                {"name": "price", "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
                {"name": "kind", "type": {"type": "enum", "name": "k", "symbols": ["a"]}},
                {"name": "sums", "type": {"type": "map", "values": "int"}},
                {"name": "mixed", "type": ["int", "string"]},
                {"name": "own", "type": ["null", "r"]},
                {"name": "raw", "type": {"type": "fixed", "name": "f", "size": 4}},
                {"name": "again", "type": "f"},
            ],
        }
        found = self.missing({"z": 1, "a": 1}, known=json.dumps(avro))
        assert [(addition.path[0], str(addition.type)) for addition in found] == [
            ("z", "double"),
            ("at", "timestamptz"),
            ("price", "decimal(9, 2)"),
            ("kind", "string"),
            ("sums", "map<string, int>"),
            ("mixed", "string"),
            ("own", "string"),
            ("raw", "fixed[4]"),
            ("again", "fixed[4]"),
            ("a", "long"),
        ]
        told = declared(json.dumps(avro))
        assert told is not None
        made = rows(
            schema(TimestamptzType()), {"c": 1_000_000}, known=told._replace(units={"c": told.units["at"]})
        )
        assert made.table.column("c").to_pylist() == [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]

    def test_limits(self) -> None:
        many = {f"c{number:04}": 1 for number in range(MOST_NEW_COLUMNS + 50)}
        assert len(self.missing(many)) == MOST_NEW_COLUMNS
        full = Schema(
            *(NestedField(number + 1, f"x{number}", LongType()) for number in range(MOST_COLUMNS - 3))
        )
        assert [addition.path[0] for addition in additions(full.as_struct(), [many], None)] == [
            "c0000",
            "c0001",
            "c0002",
        ]

    @pytest.mark.parametrize("name", ["", "a.b", " a", "a\n", "x" * 256])
    def test_names_that_no_column_can_have(self, name: str) -> None:
        assert self.missing({name: 1}) == []


class TestOffsets:
    DAY = 86_400_000

    def test_written_and_read(self) -> None:
        told = {offsets.name("T1", 7): offsets.value(offsets.Offset(12, 3), 1_795_000_000_000)}
        assert told == {"penstock.T1.7": "12 3 2026-11-18"}
        assert offsets.read(told, "T1", 7) == (12, 3)
        assert offsets.read(told, "T1", 8) == (0, 0)

    def test_what_somebody_else_wrote_stops_the_task(self) -> None:
        with pytest.raises(ValueError, match=r"penstock\.T1\.7"):
            offsets.read({"penstock.T1.7": "12"}, "T1", 7)

    def test_they_go_after_thirty_days(self) -> None:
        written = {
            "penstock.T1.0": offsets.value(offsets.Offset(1, 0), 0),
            "penstock.other": "x",
            "owner": "me",
        }
        assert offsets.outlived(written, 30 * self.DAY) == []
        assert offsets.outlived(written, 31 * self.DAY) == ["penstock.T1.0"]

    def test_what_is_left_of_chunks(self) -> None:
        chunks = [
            Chunk(0, 1, None, [b"0", b"1"]),
            Chunk(2, 1, ["a", "b"], [b"2", b"3"]),
            Chunk(9, 1, None, [b"9"]),
        ]
        assert _data(offsets.after(chunks, 0)) == [b"0", b"1", b"2", b"3", b"9"]
        assert offsets.after(chunks, 3)[0] == Chunk(3, 1, ["b"], [b"3"])
        assert offsets.after(chunks, 10) == []


def _data(chunks: Sequence[Chunk]) -> list[bytes]:
    return [data for chunk in chunks for data in chunk.data]
