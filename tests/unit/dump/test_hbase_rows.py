"""Records as rows of HBase: types and their texts (C4; docs/dump-cloudtable.md), row keys, cells, what is merged and what is refused
(5.5.10 tables 5-119 to 5-121)."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.rounds import APPENDED_MS, make_batch

from penstock.dump.base import Batch, Chunk, Part
from penstock.dump.sinks import hbase_rows
from penstock.dump.sinks.hbase_rows import Made, Put, RowMaker, batches, body
from penstock.model.dumps import PlannedPart
from penstock.model.tasks import AttributeType, CloudTableSchema, Column, RowKey

STRING = AttributeType.STRING


def part(records: Sequence[bytes], partition: int = 0, first: int = 0) -> Part:
    batch = make_batch(partition, records, first)
    return Part(PlannedPart(partition, batch.first, batch.last), batch)


def made(
    records: Sequence[bytes],
    key: Sequence[str] = ("id",),
    columns: Sequence[str] = ("x", "y"),
    delimiter: str = ".",
) -> Made:
    schema = CloudTableSchema(
        tuple(RowKey(name, STRING) for name in key),
        tuple(Column("f", name.replace(".", "_"), name, STRING) for name in columns),
    )
    return RowMaker(schema, delimiter).make([part(records)])


def record(**attributes: Any) -> bytes:
    return json.dumps(attributes).encode()


def converted(kind: AttributeType, written: str) -> bytes | str:
    """What a cell of that type holds when a record has `written`; a reason when the record is none."""
    schema = CloudTableSchema((RowKey("id", STRING),), (Column("f", "c", "v", kind),))
    puts, rejects = RowMaker(schema, ".").make([part([f'{{"id": "a", "v": {written}}}'.encode()])])
    if rejects:
        assert not puts
        return rejects[0][0].reason
    return puts[0].cells[b"f:c"]


@pytest.mark.parametrize(
    ("kind", "written", "text"),
    [
        ("Bigint", "0", "0"),
        ("Bigint", "9223372036854775807", "9223372036854775807"),
        ("Bigint", "-9223372036854775808", "-9223372036854775808"),
        ("Bigint", '"42"', "42"),
        ("Double", "1.50", "1.5"),
        ("Double", "3", "3.0"),
        ("Double", "1e22", "1e+22"),
        ("Double", "-0.0", "-0.0"),
        ("Double", "5e-324", "5e-324"),
        ("Double", '"0.1"', "0.1"),
        ("Boolean", "true", "true"),
        ("Boolean", "false", "false"),
        ("Boolean", '"false"', "false"),
        ("Timestamp", "1700000000123", "1700000000123"),
        ("Timestamp", '"1700000000123"', "1700000000123"),
        ("String", '"h\\u00e9 \\ud83d\\ude00"', "hé 😀"),
        ("String", '""', ""),
        ("Decimal", "1.50", "1.50"),
        ("Decimal", "7", "7"),
        ("Decimal", "0.1234567890123456789012345", "0.1234567890123456789012345"),
        ("Decimal", "123456789012345678901234567890", "123456789012345678901234567890"),
        ("Decimal", "1e5", "1E+5"),
        ("Decimal", '"-0.00"', "-0.00"),
    ],
)
def test_texts_of_types(kind: str, written: str, text: str) -> None:
    assert converted(AttributeType(kind), written) == text.encode()


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("Bigint", "9223372036854775808"),
        ("Bigint", "-9223372036854775809"),
        ("Bigint", "1.0"),
        ("Bigint", "true"),
        ("Bigint", '"007"'),
        ("Bigint", '"+5"'),
        ("Bigint", '"٣"'),
        ("Bigint", '" 5"'),
        ("Double", "true"),
        ("Double", '"NaN"'),
        ("Double", '"Infinity"'),
        ("Double", '"1e999"'),
        ("Double", f"1{'0' * 400}"),
        ("Double", '"1_000"'),
        ("Boolean", "1"),
        ("Boolean", '"True"'),
        ("Timestamp", "1700000000"),
        ("Timestamp", "-170000000012"),
        ("Timestamp", "1700000000123.0"),
        ("Timestamp", '"2026-11-26 00:00:00"'),
        ("String", "5"),
        ("String", "{}"),
        ("String", "false"),
        ("Decimal", "false"),
        ("Decimal", '"NaN"'),
        ("Decimal", '"1e99999999999999999999"'),
        ("Decimal", "[1]"),
    ],
)
def test_not_of_the_type(kind: str, written: str) -> None:
    """C2: a value that is not of its type rejects the record and names the attribute."""
    assert converted(AttributeType(kind), written) == f"attribute v is not a {kind}"


def test_a_record_is_a_string_and_a_decimal() -> None:
    """Reading a record again for its decimals does not make texts of its other numbers, or numbers of its texts."""
    schema = CloudTableSchema(
        (RowKey("n", AttributeType.DECIMAL), RowKey("n", AttributeType.DOUBLE)),
        (Column("f", "a", "s", STRING), Column("f", "b", "s", AttributeType.DECIMAL)),
    )
    [put] = RowMaker(schema, "~").make([part([b'{"n": 1.50, "s": "2.50"}'])]).puts
    assert put[:3] == (b"1.50~1.5", APPENDED_MS, {b"f:a": b"2.50", b"f:b": b"2.50"})


def test_row_key() -> None:
    """The parts in order with the delimiter between, which is not escaped; empty parts count."""
    records = [record(a="1", b="2", x=""), record(a="1.2", b="", x="")]
    keys = [put.key for put in made(records, key=("b", "a")).puts]
    assert keys == [b"2.1", b".1.2"]
    assert made(records, key=("b", "a"), delimiter="\\").puts[0].key == b"2\\1"


def test_attributes_in_objects() -> None:
    """A name with dots is an attribute of that name, or else leads into objects."""
    data = b'{"id": "a", "o": {"p": "nested"}, "q.r": "flat", "q": {"r": "no"}}'
    assert made([data], columns=("o.p", "q.r")).puts[0].cells == {b"f:o_p": b"nested", b"f:q_r": b"flat"}


def test_missing_and_null() -> None:
    """No cell for a column's attribute that is missing or null; no row without a cell, or without one part of its key."""
    puts, rejects = made([record(id="a", x=None, y="1"), record(id="b", x=None), record(id=None, x="1")])
    assert [(put.key, put.cells) for put in puts] == [(b"a", {b"f:y": b"1"})]
    assert [(reject.sequence, reject.reason) for reject in rejects[0]] == [
        (1, "it has none of the attributes that the columns are made of"),
        (2, "attribute id of the row key is missing"),
    ]


def test_one_row_of_several_records() -> None:
    """The same key in the same millisecond is one row, of each cell the value of the latest record, also over partitions; another
    millisecond is another version."""
    records = [
        record(id="a", x="1", y="1"),
        record(id="a", x="2"),
        record(id="b", x="3"),
        record(id="a", x="4"),
    ]
    schema = CloudTableSchema(
        (RowKey("id", STRING),), (Column("f", "x", "x", STRING), Column("f", "y", "y", STRING))
    )
    puts = RowMaker(schema, ".").make([part(records, 0), part([record(id="a", y="5")], 1)]).puts
    assert [(put.key, put.timestamp, put.cells) for put in puts] == [
        (b"a", APPENDED_MS, {b"f:x": b"2", b"f:y": b"5"}),
        (b"b", APPENDED_MS, {b"f:x": b"3"}),
        (b"a", APPENDED_MS + 1, {b"f:x": b"4"}),
    ]
    assert [source[:2] for source in puts[0].sources] == [(0, 0), (0, 1), (1, 0)]


def test_cell_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part B: HBase refuses cells of more than 10 MB, row key and column counted."""
    assert hbase_rows.CELL_BYTES == 10_485_760
    monkeypatch.setattr(hbase_rows, "CELL_BYTES", 1000)
    room = 1000 - 20 - len(b"a") - len(b"f:x")
    puts, rejects = made([record(id="a", x="v" * room), record(id="a", x="v" * (room + 1))])
    assert len(puts[0].cells[b"f:x"]) == room
    assert rejects[0][0].reason == "attribute x makes a cell of 1001 bytes: HBase takes 1000"


def test_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many rows together as one request takes, by number and by bytes; a row that is larger goes alone."""
    puts = [Put(b"%d" % i, 0, {b"f:x": b"v" * (1000 if i == 5 else 10)}, []) for i in range(8)]
    monkeypatch.setattr(hbase_rows, "ROWS", 3)
    monkeypatch.setattr(hbase_rows, "BODY_BYTES", 500)
    assert [[put.key for put in batch] for batch in batches(puts)] == [
        [b"0", b"1", b"2"],
        [b"3", b"4"],
        [b"5"],
        [b"6", b"7"],
    ]
    assert list(batches([])) == []


def test_body() -> None:
    """JSON as HBase's REST server takes it, everything in it base64."""
    sent = json.loads(body([Put(b"k\xff", 17, {b"f:x": b"\0", b"f:y": b""}, [])]))
    assert sent == {
        "Row": [
            {
                "key": base64.b64encode(b"k\xff").decode(),
                "Cell": [
                    {"column": base64.b64encode(b"f:x").decode(), "timestamp": 17, "$": "AA=="},
                    {"column": base64.b64encode(b"f:y").decode(), "timestamp": 17, "$": ""},
                ],
            }
        ]
    }


def test_what_is_no_json() -> None:
    """C2: records that are no JSON objects are rejected, those around them are not."""
    batch = Batch(3, 7, 9, [Chunk(7, 5, None, [record(id="a", x="1"), b"[]", record(id="b", x="1")])])
    schema = CloudTableSchema((RowKey("id", STRING),), (Column("f", "x", "x", STRING),))
    puts, rejects = RowMaker(schema, ".").make([Part(PlannedPart(3, 7, 9), batch)])
    assert [put.key for put in puts] == [b"a", b"b"]
    assert [(reject.sequence, reject.data) for reject in rejects[3]] == [(8, b"[]")]
