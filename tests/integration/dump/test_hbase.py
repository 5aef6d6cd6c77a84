"""Dumps into a real HBase: what each type becomes, one version however often a round is delivered, whose fault a refusal is, and an
HBase that is gone behind a REST server that lives (5.5.10 tables 5-118 to 5-121)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.services.hbase import HBase
from tests.support.rounds import APPENDED_MS, Crash, MadeRound, make_round, make_stream

from penstock.destinations import CloudTable, Destinations
from penstock.dump.base import NotDelivered
from penstock.dump.destinations.base import Place
from penstock.dump.sinks import hbase_rows
from penstock.dump.sinks.hbase import HBaseSink
from penstock.model.tasks import (
    AttributeType,
    CloudTableDescriptor,
    CloudTableSchema,
    Column,
    ConsumerStrategy,
    RowKey,
)

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

STREAM = make_stream(partitions=2)
SCHEMA = CloudTableSchema(
    (RowKey("id", AttributeType.STRING),),
    (Column("f", "x", "x", AttributeType.STRING), Column("g", "y", "y", AttributeType.STRING)),
)


@pytest.fixture(scope="module")
def hbase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HBase]:
    with HBase(tmp_path_factory.mktemp("hbase")) as started:
        yield started


@pytest.fixture
def table(hbase: HBase, request: pytest.FixtureRequest) -> str:
    """A table of the test's own with families f and g, five versions of each cell."""
    name = str(request.node.name)
    hbase.create(name, ["f", "g"], versions=5)
    return name


def described(table: str, schema: CloudTableSchema = SCHEMA, delimiter: str = ".") -> CloudTableDescriptor:
    return CloudTableDescriptor(
        task_name="hbasetask",
        agency_name="dis_admin_agency",
        deliver_time_interval=300,
        consumer_strategy=ConsumerStrategy.LATEST,
        retry_duration=1800,
        cloudtable_cluster_name="cluster",
        cloudtable_cluster_id="id",
        cloudtable_table_name=table,
        cloudtable_schema=schema,
        opentsdb_schema=(),
        cloudtable_row_key_delimiter=delimiter,
        obs_backup_bucket_path="",
        backup_file_prefix="",
    )


def sink_to(rest: str, descriptor: CloudTableDescriptor, seconds: float = 30) -> HBaseSink:
    entry = CloudTable(cluster_id="id", hbase_rest=rest)
    return HBaseSink(Place(Destinations(cloudtable=(entry,)), Path(), 5, "root"), descriptor, STREAM, seconds)


async def deliver(hbase: HBase, round_: MadeRound, seconds: float = 30) -> None:
    """As a process does that opens the task, delivers, and ends."""
    descriptor = round_.task.descriptor
    assert isinstance(descriptor, CloudTableDescriptor)
    sink = sink_to(hbase.rest, descriptor, seconds)
    try:
        await sink.deliver(round_)
    finally:
        await sink.close()


def record(**attributes: Any) -> bytes:
    return json.dumps(attributes).encode()


async def test_types_byte_by_byte(hbase: HBase, table: str) -> None:
    """Every type as the text it is documented as (docs/dump-cloudtable.md), in the row key too; the arrival is the timestamp."""
    kinds = list(AttributeType)
    schema = CloudTableSchema(
        tuple(RowKey(kind.lower(), kind) for kind in kinds),
        tuple(Column("f", kind, kind.lower(), kind) for kind in kinds),
    )
    data = (
        b'{"bigint": -9223372036854775808, "double": 0.1, "boolean": true, "timestamp": 1700000000123,'
        b' "string": "h\\u00e9\\u0000\\ud83d\\ude00", "decimal": 12345678901234567890.1200}'
    )
    round_ = make_round(described(table, schema, "|"), STREAM, {0: [data]})
    await deliver(hbase, round_)
    texts = {
        "Bigint": "-9223372036854775808",
        "Double": "0.1",
        "Boolean": "true",
        "Timestamp": "1700000000123",
        "String": "hé\0😀",
        "Decimal": "12345678901234567890.1200",
    }
    key = "|".join(texts[kind] for kind in kinds).encode()
    cells = {(f"f:{kind}", APPENDED_MS, texts[kind].encode()) for kind in kinds}
    assert {key: cells} == {found: set(row) for found, row in hbase.rows(table).items()}
    assert round_.points == ["visible"]
    assert round_.rejected == {}


async def test_again_is_the_same_version(hbase: HBase, table: str) -> None:
    """C1: a round that is delivered again, after a crash or for no reason, leaves one version of each cell."""
    round_ = make_round(
        described(table), STREAM, {0: [record(id="a", x="1"), b"no"], 1: [record(id="b", x="2", y="3")]}
    )
    round_.crash_at = "visible"
    with pytest.raises(Crash):
        await deliver(hbase, round_)
    for epoch in (2, 3):
        repeated = round_.again(epoch)
        await deliver(hbase, repeated)
        assert {partition: len(found) for partition, found in repeated.rejected.items()} == {0: 1}
    assert hbase.cells(table, b"a") == [("f:x", APPENDED_MS, b"1")]
    assert hbase.cells(table, b"b") == [("f:x", APPENDED_MS, b"2"), ("g:y", APPENDED_MS, b"3")]


async def test_one_row_key_several_times(hbase: HBase, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one millisecond the later record wins, cell by cell; later milliseconds are versions of their own. However many requests
    that takes."""
    monkeypatch.setattr(hbase_rows, "ROWS", 1)
    first = [record(id="a", x="1", y="old"), record(id="b", x="0"), record(id="a", x="2")]
    later = [record(id="a", x="3")]
    await deliver(hbase, make_round(described(table), STREAM, {0: first + later}))
    assert hbase.cells(table, b"a") == [
        ("f:x", APPENDED_MS + 1, b"3"),
        ("f:x", APPENDED_MS, b"2"),
        ("g:y", APPENDED_MS, b"old"),
    ]
    # The next round has a record of the millisecond that the last one ended with.
    following = make_round(described(table), STREAM, {0: [record(id="a", x="4")]}, first={0: 4})
    assert following.parts[0].batch.chunks[0].append_ms == APPENDED_MS + 1
    await deliver(hbase, following)
    assert hbase.cells(table, b"a")[0] == ("f:x", APPENDED_MS + 1, b"4")


async def test_records_that_are_no_rows(hbase: HBase, table: str) -> None:
    """C2: what is no row is rejected with its reason, and the others are delivered."""
    records = [
        record(id="good", x="1"),
        b"{",
        record(id=5, x="1"),
        record(x="1"),
        record(id=None, x="1"),
        record(id="", x="1"),
        record(id="k" * 32_768, x="1"),
        record(id="none"),
        record(id="wrong", x=["1"]),
        record(id="k" * 32_767, x=None, y="2"),
    ]
    round_ = make_round(described(table), STREAM, {1: records})
    await deliver(hbase, round_)
    assert set(hbase.rows(table)) == {b"good", b"k" * 32_767}
    rejects = round_.rejected[1]
    assert [(reject.sequence, reject.data) for reject in rejects] == list(enumerate(records))[1:9]
    assert [reject.reason for reject in rejects[1:]] == [
        "attribute id is not a String",
        "attribute id of the row key is missing",
        "attribute id of the row key is missing",
        "a row key of 0 bytes: HBase takes 1 to 32767",
        "a row key of 32768 bytes: HBase takes 1 to 32767",
        "it has none of the attributes that the columns are made of",
        "attribute x is not a String",
    ]
    assert round_.points == ["visible"]


async def test_backup_fails(hbase: HBase, table: str) -> None:
    """Rejects are backed up after the good rows are in, and a backup that fails fails the round."""
    round_ = make_round(described(table), STREAM, {0: [record(id="a", x="1"), b"no"]})
    round_.reject_fails = "the bucket is full"
    with pytest.raises(NotDelivered, match="the bucket is full"):
        await deliver(hbase, round_)
    assert set(hbase.rows(table)) == {b"a"}


async def test_table_missing(hbase: HBase) -> None:
    """Part B: a table that is gone is for people to put right, and not made here."""
    round_ = make_round(described("later"), STREAM, {0: [record(id="a", x="1")]})
    with pytest.raises(NotDelivered, match="HBase has no table later: create it"):
        await deliver(hbase, round_)
    assert hbase.call("GET", "/later/exists", missing=True).status_code == 404
    assert round_.points == []
    hbase.create("later", ["f", "g"])
    await deliver(hbase, round_.again())
    assert set(hbase.rows("later")) == {b"a"}


async def test_family_missing(hbase: HBase) -> None:
    """Part B: meanwhile the other rows may be written, and are written again."""
    hbase.create("narrow", ["f"], versions=5)
    round_ = make_round(
        described("narrow"), STREAM, {0: [record(id="a", x="1"), record(id="b", y="2"), b"no"]}
    )
    with pytest.raises(
        NotDelivered, match=r"table narrow has not all of the column families of the task.* g "
    ):
        await deliver(hbase, round_)
    assert round_.rejected == {} and round_.points == []
    hbase.add_family("narrow", "g")
    await deliver(hbase, round_.again())
    assert hbase.rows("narrow") == {
        b"a": [("f:x", APPENDED_MS, b"1")],
        b"b": [("g:y", APPENDED_MS, b"2")],
    }
    assert len(hbase.cells("narrow", b"a")) == 1


async def test_row_that_the_server_refuses(hbase: HBase, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that only the server knows to be wrong is found among the others; alone it cannot be told from a server that is."""
    monkeypatch.setattr(hbase_rows, "KEY_BYTES", 1 << 20)
    records = [record(id=f"{i:04}", x="1") for i in range(300)]
    records[137] = poison = record(id="k" * 40_000, x="1")
    round_ = make_round(described(table), STREAM, {0: records})
    await deliver(hbase, round_)
    assert len(hbase.rows(table)) == 299
    [reject] = round_.rejected[0]
    assert reject[:2] == (137, poison)
    assert "Row length 40000 is > 32767" in reject.reason
    with pytest.raises(NotDelivered, match="refuses every row"):
        await deliver(hbase, make_round(described(table), STREAM, {0: [poison]}))


async def test_cancelled(hbase: HBase, table: str) -> None:
    """A task that is taken away in the middle of a delivery leaves nothing that another delivery does not put right."""
    round_ = make_round(
        described(table), STREAM, {0: [record(id=f"{i:05}", x="x" * 100) for i in range(5000)]}
    )
    sink = sink_to(hbase.rest, described(table))
    for pause in (0.0, 0.02, 0.1, 0.2):
        delivery = asyncio.create_task(sink.deliver(round_.again()))
        await asyncio.sleep(pause)
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
    await sink.deliver(round_)
    await sink.close()
    rows = hbase.rows(table)
    assert len(rows) == 5000
    assert hbase.cells(table, b"04999") == [("f:x", APPENDED_MS + 1666, b"x" * 100)]


async def test_many_rows(hbase: HBase, table: str) -> None:
    """10,000 rows of two partitions, in many requests: all are there, each as its record says."""
    parts = {
        partition: [record(id=f"{partition}-{i:05}", x=f"x{i}", y=f"y{i}") for i in range(5000)]
        for partition in (0, 1)
    }
    await deliver(hbase, make_round(described(table), STREAM, parts))
    rows = hbase.rows(table)
    assert len(rows) == 10_000
    for partition in (0, 1):
        for i in range(5000):
            at = APPENDED_MS + i // 3
            assert rows[f"{partition}-{i:05}".encode()] == [
                ("f:x", at, f"x{i}".encode()),
                ("g:y", at, f"y{i}".encode()),
            ]


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_hbase_gone_behind_its_rest_server(hbase: HBase, how: str) -> None:
    """Part B: the REST server hangs for minutes and then answers 404. It is given up long before, nothing is rejected, and the
    round is delivered when HBase is back."""
    table = f"gone-{how}"
    hbase.create(table, ["f", "g"], versions=5)
    round_ = make_round(described(table), STREAM, {0: [record(id="a", x="1"), b"no"]})
    sink = sink_to(hbase.rest, described(table), seconds=2)
    await sink.deliver(round_.again())
    getattr(hbase, how)("hbase")
    try:
        async with asyncio.timeout(60):
            for _ in range(2):
                with pytest.raises(NotDelivered, match="HBase does not answer within 2 seconds"):
                    await sink.deliver(round_)
        assert round_.rejected == {} and round_.points == []
    finally:
        hbase.resume("hbase") if how == "pause" else hbase.start()
    await sink.close()
    async with asyncio.timeout(timedelta(minutes=3).total_seconds()):
        while True:  # the REST server may go on waiting for where the table was
            try:
                await deliver(hbase, round_)
                break
            except NotDelivered:
                await asyncio.sleep(1)
    assert hbase.cells(table, b"a") == [("f:x", APPENDED_MS, b"1")]
    assert len(round_.rejected[0]) == 1
