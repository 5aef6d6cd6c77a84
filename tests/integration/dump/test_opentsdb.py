"""Dumps into a real OpenTSDB: points come back by queries, also after the same round again, illegal ones are rejected and hold up
nothing, and what OpenTSDB could not store is tried again (5.5.10 tables 5-122 to 5-126)."""

from __future__ import annotations

import asyncio
import json
import random
import string
from collections.abc import Iterator, Sequence
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.services.opentsdb import OpenTsdb
from tests.support.rounds import Crash, MadeRound, make_round, make_stream

from penstock.destinations import CloudTable, Destinations
from penstock.dump.base import NotDelivered
from penstock.dump.destinations.base import Place
from penstock.dump.sinks.opentsdb import OpenTsdbSink
from penstock.model.tasks import (
    AttributeType,
    CloudTableDescriptor,
    ConsumerStrategy,
    Metric,
    OpenTsdbSchema,
    TimestampType,
    TsdbTag,
    TsdbTimestamp,
    TsdbValue,
)

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

STREAM = make_stream(partitions=2)
NOW = 1_700_000_000
ZONE = timezone(timedelta(hours=8))


@pytest.fixture(scope="module")
def tsdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenTsdb]:
    with OpenTsdb(tmp_path_factory.mktemp("opentsdb")) as started:
        yield started


def schema(
    *metrics: str,
    value: AttributeType = AttributeType.BIGINT,
    tags: Sequence[tuple[str, AttributeType]] = (("host", AttributeType.STRING),),
) -> OpenTsdbSchema:
    """Constant metrics of the attributes at (13 digits), value, and tags that are called like their attributes."""
    return OpenTsdbSchema(
        metric=tuple(Metric("Constant", name) for name in metrics),
        timestamp=TsdbTimestamp(TimestampType.TIMESTAMP, "at"),
        value=TsdbValue(value, "value"),
        tags=tuple(TsdbTag(name, kind, name) for name, kind in tags),
    )


def described(*schemas: OpenTsdbSchema) -> CloudTableDescriptor:
    return CloudTableDescriptor(
        task_name="opentsdbtask",
        agency_name="dis_admin_agency",
        deliver_time_interval=300,
        consumer_strategy=ConsumerStrategy.LATEST,
        retry_duration=1800,
        cloudtable_cluster_name="cluster",
        cloudtable_cluster_id="id",
        cloudtable_table_name="",
        cloudtable_schema=None,
        opentsdb_schema=schemas,
        cloudtable_row_key_delimiter=".",
        obs_backup_bucket_path="",
        backup_file_prefix="",
    )


def sink_to(url: str, descriptor: CloudTableDescriptor, seconds: float = 30) -> OpenTsdbSink:
    entry = CloudTable(cluster_id="id", opentsdb=url)
    place = Place(Destinations(cloudtable=(entry,)), Path(), 5, "root", ZONE)
    return OpenTsdbSink(place, descriptor, STREAM, seconds)


async def deliver(tsdb: OpenTsdb, round_: MadeRound, seconds: float = 30) -> None:
    """As a process does that opens the task, delivers, and ends."""
    descriptor = round_.task.descriptor
    assert isinstance(descriptor, CloudTableDescriptor)
    sink = sink_to(tsdb.url, descriptor, seconds)
    try:
        await sink.deliver(round_)
    finally:
        await sink.close()


def record(host: Any, value: Any, at: Any = NOW * 1000, **more: Any) -> bytes:
    return json.dumps({"host": host, "value": value, "at": at} | more).encode()


def points(tsdb: OpenTsdb, metric: str) -> dict[tuple[tuple[str, str], ...], dict[str, float]]:
    """What queries find: by tags, the values by time as texts."""
    found = tsdb.query(metric, NOW - 100_000, NOW + 100_000)
    return {tuple(sorted(series["tags"].items())): series["dps"] for series in found}


def host(name: str) -> tuple[tuple[str, str], ...]:
    return (("host", name),)


async def test_points_by_query(tsdb: OpenTsdb) -> None:
    """Every type of values and tags; both kinds of metrics and times; a point for every schema and metric of it."""
    by_text = OpenTsdbSchema(
        metric=(Metric("String", "called"), Metric("Constant", "query.constant")),
        timestamp=TsdbTimestamp(TimestampType.STRING, "date", "yyyy/MM/dd HH:mm:ss"),
        value=TsdbValue(AttributeType.STRING, "text"),
        tags=tuple(TsdbTag(f"t_{kind}", kind, kind.lower()) for kind in AttributeType),
    )
    typed = [
        OpenTsdbSchema(
            metric=(Metric("Constant", f"query.{kind.lower()}"),),
            timestamp=TsdbTimestamp(TimestampType.TIMESTAMP, "timestamp"),
            value=TsdbValue(kind, kind.lower()),
            tags=(TsdbTag("host", AttributeType.STRING, "called"),),
        )
        for kind in AttributeType
        if kind is not AttributeType.STRING
    ]
    data = {
        "called": "query.named",
        "date": "2023/11/15 06:13:20",  # NOW, in the zone of the place
        "text": "1.5",
        "bigint": 2**63 - 1,
        "double": 0.1,
        "boolean": True,
        "timestamp": NOW * 1000 + 7,
        "string": "a/b-c.d_é",
        "decimal": 2.50,
    }
    round_ = make_round(described(by_text, *typed), STREAM, {0: [json.dumps(data).encode()]})
    await deliver(tsdb, round_)
    assert round_.rejected == {} and round_.points == ["visible"]
    tags = {
        "t_Bigint": str(2**63 - 1),
        "t_Double": "0.1",
        "t_Boolean": "true",
        "t_Timestamp": str(NOW * 1000 + 7),
        "t_String": "a/b-c.d_é",
        "t_Decimal": "2.5",
    }
    for metric in ("query.named", "query.constant"):
        assert points(tsdb, metric) == {tuple(sorted(tags.items())): {str(NOW): 1.5}}
    found = {}
    for kind in ("bigint", "double", "boolean", "timestamp", "decimal"):
        [values] = points(tsdb, f"query.{kind}").values()
        found[kind] = values[str(NOW)]
    assert found == {
        "bigint": 2**63 - 1,
        "double": pytest.approx(0.1),
        "boolean": 1,
        "timestamp": NOW * 1000 + 7,
        "decimal": 2.5,
    }


async def test_again_is_the_same(tsdb: OpenTsdb) -> None:
    """C1: a round that is delivered again, after a crash or for no reason, leaves what the first delivery left, floats too."""
    descriptor = described(schema("again.float", value=AttributeType.DOUBLE), schema("again.integer"))
    round_ = make_round(
        descriptor,
        STREAM,
        {0: [record("a", 5, NOW * 1000 + i) for i in range(3)], 1: [record("b", 300), b"no"]},
    )
    round_.crash_at = "visible"
    with pytest.raises(Crash):
        await deliver(tsdb, round_)
    for epoch in (2, 3):
        repeated = round_.again(epoch)
        await deliver(tsdb, repeated)
        assert {partition: len(found) for partition, found in repeated.rejected.items()} == {1: 1}
    for metric in ("again.float", "again.integer"):
        assert points(tsdb, metric) == {host("a"): {str(NOW): 5}, host("b"): {str(NOW): 300}}


async def test_one_point_several_times(tsdb: OpenTsdb) -> None:
    """The last record wins, and only its value is sent: an integer of another length beside it would fail every query."""
    records = [record("a", 1), record("a", 300), record("b", 5), record("a", 70_000)]
    await deliver(tsdb, make_round(described(schema("several")), STREAM, {0: records}))
    assert points(tsdb, "several") == {host("a"): {str(NOW): 70_000}, host("b"): {str(NOW): 5}}


async def test_illegal_points(tsdb: OpenTsdb) -> None:
    """What OpenTSDB will never take is rejected with its reason, and the others are stored. Of a record with one illegal point the
    others stay, too."""
    two = described(schema("illegal"), schema("illegal.too", tags=[("other", AttributeType.STRING)]))
    wide = "".join(random.Random(5).choices(string.ascii_letters, k=20_000))
    records = [
        record("good", 1, other="x"),
        record("a b", 2, other="stays"),
        record("温", 3, other="x"),
        record("a\0b", 4, other="x"),
        record(wide, 5, other="wide"),
        record("good", 6, at="yesterday", other="x"),
        record("good", "six", other="x"),
        record(None, 7, other="x"),
        record("good", 2**64, other="x"),
        record("good", 8, at=NOW * 1000 + 2000, other="x"),
    ]
    round_ = make_round(two, STREAM, {1: records})
    await deliver(tsdb, round_)
    assert points(tsdb, "illegal") == {host("good"): {str(NOW): 1, str(NOW + 2): 8}}
    assert set(points(tsdb, "illegal.too")) == {(("other", name),) for name in ("x", "stays", "wide")}
    rejects = round_.rejected[1]
    assert [(reject.sequence, reject.data) for reject in rejects] == list(enumerate(records))[1:9]
    reasons = [reject.reason for reject in rejects]
    assert 'OpenTSDB refuses it: Invalid tag value with key [host] ("a b"): illegal character' in reasons[0]
    assert reasons[1] == "attribute host has characters that OpenTSDB does not keep"
    assert "illegal character" in reasons[2]
    assert "bytes is more than it takes" in reasons[3]
    assert reasons[4:] == [
        "attribute at is not a Timestamp",
        "attribute value is not a Bigint",
        "it has none of the attributes that tags are made of, and a point needs one",
        "attribute value is not a Bigint",
    ]
    assert round_.points == ["visible"]


async def test_backup_fails(tsdb: OpenTsdb) -> None:
    """Rejects are backed up after the good points are in, and a backup that fails fails the round."""
    round_ = make_round(described(schema("backup")), STREAM, {0: [record("a", 1), record("a b", 2)]})
    round_.reject_fails = "the bucket is full"
    with pytest.raises(NotDelivered, match="the bucket is full"):
        await deliver(tsdb, round_)
    assert set(points(tsdb, "backup")) == {host("a")}


async def test_many_points(tsdb: OpenTsdb) -> None:
    """10,000 points that compress well, and 1,000 that do not: bodies stay below what OpenTSDB takes."""
    rng = random.Random(7)
    names = {
        f"{i:03}{''.join(rng.choices(string.ascii_letters + string.digits, k=150))}": i for i in range(1000)
    }
    parts = {
        0: [record(f"h{i % 10}", i, (NOW + i // 10) * 1000) for i in range(10_000)],
        1: [record(name, i) for name, i in names.items()],
    }
    round_ = make_round(described(schema("many")), STREAM, parts)
    await deliver(tsdb, round_)
    assert round_.rejected == {}
    expected = {host(name): {str(NOW): i} for name, i in names.items()}
    for h in range(10):
        expected[host(f"h{h}")] = {str(NOW + i // 10): i for i in range(h, 10_000, 10)}
    assert points(tsdb, "many") == expected


async def test_cancelled(tsdb: OpenTsdb) -> None:
    """A task that is taken away in the middle of a delivery leaves nothing that another delivery does not put right."""
    records = [record(f"h{i % 10}", i, (NOW + i // 10) * 1000) for i in range(5000)]
    round_ = make_round(described(schema("cancelled")), STREAM, {0: records})
    sink = sink_to(tsdb.url, described(schema("cancelled")))
    for pause in (0.0, 0.02, 0.1, 0.3):
        delivery = asyncio.create_task(sink.deliver(round_.again()))
        await asyncio.sleep(pause)
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)
    await sink.deliver(round_)
    await sink.close()
    found = points(tsdb, "cancelled")
    assert sum(map(len, found.values())) == 5000
    assert found[host("h9")][str(NOW + 499)] == 4999


async def test_unknown_metric(tsdb: OpenTsdb) -> None:
    """Part B: a metric that nobody has made is configuration. The line says what to do; nothing is rejected."""
    tsdb.kill("opentsdb")
    tsdb.settings["tsd.core.auto_create_metrics"] = "false"
    tsdb.start()
    try:
        round_ = make_round(
            described(schema("unknown.metric"), schema("penstock.ready")),
            STREAM,
            {0: [record("a", 1), b"no"]},
        )
        with pytest.raises(
            NotDelivered, match=r"metric unknown\.metric .*tsdb mkmetric unknown\.metric.*auto_create_metrics"
        ):
            await deliver(tsdb, round_)
        assert round_.rejected == {} and round_.points == []
        tsdb.assign("unknown.metric")
        await deliver(tsdb, round_)
        assert points(tsdb, "unknown.metric") == {host("a"): {str(NOW): 1}}
        assert len(round_.rejected[0]) == 1
    finally:
        tsdb.kill("opentsdb")
        tsdb.settings["tsd.core.auto_create_metrics"] = "true"
        tsdb.start()


async def test_hbase_hangs(tsdb: OpenTsdb) -> None:
    """With HBase paused nothing is stored, and OpenTSDB says so or says nothing: the round is tried again."""
    descriptor = described(schema("hangs"))
    await deliver(tsdb, make_round(descriptor, STREAM, {0: [record("a", 1)]}))
    known = make_round(
        descriptor, STREAM, {0: [record("a", 2, (NOW + 1) * 1000), record("a b", 3)]}, first={0: 1}
    )
    new = make_round(descriptor, STREAM, {0: [record("never-seen", 4)]}, first={0: 3})
    tsdb.pause("hbase")
    try:
        with pytest.raises(NotDelivered, match="OpenTSDB could not store points: Write timedout"):
            await deliver(tsdb, known, seconds=3)
        with pytest.raises(NotDelivered, match="OpenTSDB"):
            await deliver(tsdb, new, seconds=3)
        assert known.rejected == new.rejected == {}
    finally:
        tsdb.resume("hbase")
    for round_ in (known, new):
        async with asyncio.timeout(180):
            while True:
                try:
                    await deliver(tsdb, round_)
                    break
                except NotDelivered:
                    await asyncio.sleep(1)
    assert points(tsdb, "hangs") == {
        host("a"): {str(NOW): 1, str(NOW + 1): 2},
        host("never-seen"): {str(NOW): 4},
    }
    assert len(known.rejected[0]) == 1


async def test_opentsdb_gone(tsdb: OpenTsdb) -> None:
    """Part C2: no server is a reason to try again; the sink goes on when there is one."""
    descriptor = described(schema("gone"))
    round_ = make_round(descriptor, STREAM, {0: [record("a", 1)]})
    sink = sink_to(tsdb.url, descriptor)
    await sink.deliver(round_)
    tsdb.kill("opentsdb")
    try:
        with pytest.raises(NotDelivered, match="OpenTSDB is not reachable"):
            await sink.deliver(round_)
    finally:
        tsdb.start()
    await sink.deliver(round_)
    await sink.close()
    assert points(tsdb, "gone") == {host("a"): {str(NOW): 1}}


async def test_values_are_typed_by_the_schema(tsdb: OpenTsdb) -> None:
    """A Double that is whole in the record is stored as a float: an integer and a float of one time fail every query."""
    descriptor = described(schema("typed", value=AttributeType.DOUBLE))
    await deliver(tsdb, make_round(descriptor, STREAM, {0: [record("a", 5)]}))
    reply = httpx.post(
        f"{tsdb.url}/api/query",
        json={"start": NOW - 10, "end": NOW + 10, "queries": [{"metric": "typed", "aggregator": "none"}]},
        timeout=30,
        trust_env=False,
    )
    assert '"1700000000":5.0' in reply.text
