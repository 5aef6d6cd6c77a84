"""Which format a task's descriptor means."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from tests.support.records import chunks_of, only

from penstock.dump.formats import make_format
from penstock.model.streams import DataType, Stream, StreamStatus
from penstock.model.tasks import FileType

SCHEMA = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "tags", "type": {"type": "map", "values": "int"}},
        {"name": "legs", "type": ["null", {"type": "array", "items": {"type": "record", "name": "L", "fields": [{"name": "to", "type": "string"}]}}]},
    ],
}  # fmt: skip
RECORDS = [
    {"id": 2, "time": 1_700_000_000_123, "price": 9.75, "tags": {"a": 1}, "legs": [{"to": "x"}, {"to": "y"}]},
    {"id": 1, "time": "2026-11-26T01:02:03Z", "price": "-1", "tags": {}, "legs": None},
]


def stream(schema: str | None) -> Stream:
    return Stream(
        stream_id="S" * 20,
        project_id="p",
        name="s",
        status=StreamStatus.RUNNING,
        data_type=DataType.JSON,
        retention_hours=24,
        created_ms=0,
        modified_ms=0,
        data_schema=schema,
        partitions=(),
    )


@pytest.mark.parametrize(
    ("kind", "delimiter", "file"),
    [
        (FileType.TEXT, ";", b'{"b": 1};{"a": 2}'),
        (FileType.TEXT, "NULL", b'{"b": 1}{"a": 2}'),
        (FileType.CSV, ";", b"a,b\n,1\n2,\n"),
    ],
)
def test_the_delimiter_counts_for_text_only(
    kind: FileType, delimiter: str, file: bytes, tmp_path: Path
) -> None:
    format_ = make_format(kind, delimiter, stream(None), tmp_path)
    assert only(format_.encode(chunks_of([{"b": 1}, {"a": 2}])))[1] == file


def test_the_columns_are_those_of_the_streams_schema(tmp_path: Path) -> None:
    format_ = make_format(FileType.CSV, "\n", stream(json.dumps(SCHEMA)), tmp_path)
    _, body = only(format_.encode(chunks_of(RECORDS)))
    assert body.decode().splitlines() == [
        "id,time,price,tags,legs",
        '2,1700000000123,9.75,"{""a"":1}","[{""to"":""x""},{""to"":""y""}]"',
        "1,2026-11-26T01:02:03Z,-1,{},",
    ]


def test_another_reader_finds_the_types_of_the_schema_in_parquet(tmp_path: Path) -> None:
    format_ = make_format(FileType.PARQUET, "\n", stream(json.dumps(SCHEMA)), tmp_path)
    encoded, body = only(format_.encode(chunks_of(RECORDS)))
    (tmp_path / f"file{encoded.name}").write_bytes(body)
    with duckdb.connect() as connection:
        connection.execute(f"create view r as from '{tmp_path}/file.parquet'")
        types = dict(connection.execute("select column_name, column_type from (describe r)").fetchall())
        assert types == {
            "id": "BIGINT",
            "time": "TIMESTAMP WITH TIME ZONE",
            "price": "DECIMAL(9,2)",
            "tags": "MAP(VARCHAR, INTEGER)",
            "legs": 'STRUCT("to" VARCHAR)[]',
        }
        rows = connection.execute(
            "select id, epoch_ms(time), price::varchar, tags, legs from r order by id"
        ).fetchall()
    assert rows == [
        (1, 1_795_654_923_000, "-1.00", {}, None),
        (2, 1_700_000_000_123, "9.75", {"a": 1}, [{"to": "x"}, {"to": "y"}]),
    ]
