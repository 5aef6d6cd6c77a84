"""Servers of HBase and OpenTSDB that answer what real ones only do when they are ill: whether the round is tried again or its records are
given up, and what the line for people says (part B; docs/dump-cloudtable.md)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.destinations import Answer, Asked, FakeHttp
from tests.support.rounds import MadeRound, make_round, make_stream

from penstock.destinations import CloudTable, Destinations
from penstock.dump.base import NotDelivered
from penstock.dump.destinations.base import Place
from penstock.dump.sinks import hbase
from penstock.dump.sinks.hbase import HBaseSink
from penstock.dump.sinks.opentsdb import OpenTsdbSink
from penstock.model.tasks import (
    AttributeType,
    CloudTableDescriptor,
    CloudTableSchema,
    Column,
    ConsumerStrategy,
    Metric,
    OpenTsdbSchema,
    RowKey,
    TimestampType,
    TsdbTag,
    TsdbTimestamp,
    TsdbValue,
)

STREAM = make_stream()
ROWS = CloudTableSchema(
    (RowKey("id", AttributeType.STRING),), (Column("f", "x", "value", AttributeType.BIGINT),)
)
POINTS = OpenTsdbSchema(
    metric=(Metric("Constant", "m"),),
    timestamp=TsdbTimestamp(TimestampType.TIMESTAMP, "at"),
    value=TsdbValue(AttributeType.BIGINT, "value"),
    tags=(TsdbTag("id", AttributeType.STRING, "id"),),
)


def described(schema: CloudTableSchema | None, *schemas: OpenTsdbSchema) -> CloudTableDescriptor:
    return CloudTableDescriptor(
        task_name="task",
        agency_name="dis_admin_agency",
        deliver_time_interval=300,
        consumer_strategy=ConsumerStrategy.LATEST,
        retry_duration=1800,
        cloudtable_cluster_name="cluster",
        cloudtable_cluster_id="id",
        cloudtable_table_name="t",
        cloudtable_schema=schema,
        opentsdb_schema=schemas,
        cloudtable_row_key_delimiter=".",
        obs_backup_bucket_path="",
        backup_file_prefix="",
    )


HBASE = described(ROWS)
TSDB = described(None, POINTS)


def sink(descriptor: CloudTableDescriptor, url: str, seconds: float = 5) -> HBaseSink | OpenTsdbSink:
    entry = CloudTable(cluster_id="id", hbase_rest=url, opentsdb=url)
    place = Place(Destinations(cloudtable=(entry,)), Path(), 5, "root")
    kind = HBaseSink if descriptor is HBASE else OpenTsdbSink
    return kind(place, descriptor, STREAM, seconds)


def round_of(descriptor: CloudTableDescriptor, records: int) -> MadeRound:
    data = [json.dumps({"id": f"{i}", "value": i, "at": 1_700_000_000_000}).encode() for i in range(records)]
    return make_round(descriptor, STREAM, {0: data})


async def deliver(url: str, round_: MadeRound, seconds: float = 5) -> None:
    descriptor = round_.task.descriptor
    assert isinstance(descriptor, CloudTableDescriptor)
    opened = sink(descriptor, url, seconds)
    try:
        await opened.deliver(round_)
    finally:
        await opened.close()


class Answers(FakeHttp):
    """Answers with what a function says."""

    def __init__(self, says: Callable[[Asked], Answer]) -> None:
        super().__init__()
        self._says = says

    def answer(self, asked: Asked) -> Answer:
        return self._says(asked)


@pytest.mark.parametrize("descriptor", [HBASE, TSDB], ids=["hbase", "opentsdb"])
async def test_not_reachable(descriptor: CloudTableDescriptor) -> None:
    """The line has no address: there may be a password in it."""
    with pytest.raises(NotDelivered, match="is not reachable") as raised:
        await deliver("http://somebody:the-password@127.0.0.1:9", round_of(descriptor, 1))
    assert "the-password" not in str(raised.value)


@pytest.mark.parametrize("descriptor", [HBASE, TSDB], ids=["hbase", "opentsdb"])
async def test_no_answer(descriptor: CloudTableDescriptor) -> None:
    """A server that takes a request and says nothing has its time, and no more."""
    with Answers(lambda asked: Answer(200)) as fake:
        fake.hang = True
        with pytest.raises(NotDelivered, match=r"does not answer within 0\.5 seconds"):
            await deliver(fake.url, round_of(descriptor, 1), seconds=0.5)


@pytest.mark.parametrize("descriptor", [HBASE, TSDB], ids=["hbase", "opentsdb"])
@pytest.mark.parametrize("status", [301, 401, 403, 404, 429, 500, 503])
async def test_statuses_that_are_nobodys_fault(descriptor: CloudTableDescriptor, status: int) -> None:
    """C2: tried again, nothing given up; the line is one line, without the stack."""
    text = "Unavailable\r\njava.io.IOException: closed\n\tat org.apache.A.b(A.java:1)\n\tat org.apache.C"
    with Answers(lambda asked: Answer(status, text, "text/plain")) as fake:
        round_ = round_of(descriptor, 3)
        with pytest.raises(NotDelivered, match=f"answers with status {status}: ") as raised:
            await deliver(fake.url, round_)
    assert "\tat" not in str(raised.value) and "\n" not in str(raised.value)
    assert round_.rejected == {} and round_.points == []


async def test_no_hbase_behind_its_rest_server() -> None:
    """A 404 for a table is not believed while the cluster does not say how it is."""

    def says(asked: Asked) -> Answer:
        return Answer(404 if asked.method == "PUT" else 503, "Not found\r\nTableNotFoundException: t")

    refused = pytest.raises(NotDelivered, match="the cluster behind its REST server does not answer")
    with Answers(says) as fake, refused:
        await deliver(fake.url, round_of(HBASE, 1))


@pytest.mark.parametrize("status", [400, 413, 500])
async def test_hbase_that_refuses_everything(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the rows' fault: none is given up, and that is noticed before each has been tried."""
    monkeypatch.setattr(hbase, "SUSPECTS", 20)
    with Answers(lambda asked: Answer(status if asked.method == "PUT" else 200)) as fake:
        round_ = round_of(HBASE, 5000)
        with pytest.raises(NotDelivered, match=f"refuses every row of table t: status {status}"):
            await deliver(fake.url, round_)
        assert round_.rejected == {} and round_.points == []
        assert len(fake.requests) < 20 * hbase.SUSPECTS


async def test_hbase_that_refuses_for_a_while() -> None:
    """Rows that are taken when they are put again were never bad; the round is delivered without a reject."""
    refused: list[bool] = []

    def says(asked: Asked) -> Answer:
        rows = json.loads(asked.body)["Row"] if asked.method == "PUT" else []
        ill = (
            any(row["key"] == "Nw==" for row in rows) and len(refused) < 4
        )  # "7": 8 rows are halved three times
        if ill:
            refused.append(True)
        return Answer(500 if ill else 200)

    with Answers(says) as fake:
        round_ = round_of(HBASE, 8)
        await deliver(fake.url, round_)
    assert round_.rejected == {} and round_.points == ["visible"]
    assert len(refused) == 4


async def test_hbase_that_stops_taking_anything() -> None:
    """Rows are given up only while another is still taken: a server that fell ill in between decides nothing."""
    alone: list[Any] = []

    def says(asked: Asked) -> Answer:
        if asked.method != "PUT":
            return Answer(200)
        rows = json.loads(asked.body)["Row"]
        bad = any(row["key"] == "Nw==" for row in rows)
        if bad and len(rows) == 1:
            alone.append(rows)
        return Answer(500 if bad or alone else 200)

    with Answers(says) as fake:
        round_ = round_of(HBASE, 8)
        with pytest.raises(NotDelivered, match="refuses every row"):
            await deliver(fake.url, round_)
    assert round_.rejected == {} and round_.points == []


def late_points(asked: Asked, late: Callable[[dict[str, Any]], bool]) -> Answer:
    points = json.loads(gzip.decompress(asked.body))
    errors = [
        {"datapoint": p | {"value": str(p["value"])}, "error": "Write timedout"} for p in points if late(p)
    ]
    answer = {"success": len(points) - len(errors), "timeouts": len(errors), "failed": 0, "errors": errors}
    return Answer(400 if errors else 200, json.dumps(answer))


async def test_points_that_are_late() -> None:
    """What was not stored in time is sent once more, alone; only then the round is tried again."""
    sent: list[int] = []

    def says(asked: Asked) -> Answer:
        sent.append(len(json.loads(gzip.decompress(asked.body))))
        return late_points(asked, lambda point: point["value"] in (3, 4) and len(sent) == 1)

    with Answers(says) as fake:
        round_ = round_of(TSDB, 10)
        await deliver(fake.url, round_)
    assert sent == [10, 2]
    assert round_.rejected == {} and round_.points == ["visible"]
    with Answers(lambda asked: late_points(asked, lambda point: point["value"] == 3)) as fake:
        round_ = round_of(TSDB, 10)
        with pytest.raises(NotDelivered, match="OpenTSDB could not store points: Write timedout"):
            await deliver(fake.url, round_)
        assert len(fake.requests) == 2
    assert round_.rejected == {} and round_.points == []


@pytest.mark.parametrize(
    "body", ["", "<html>", '{"error":{"code":400}}', '{"success":9,"failed":0,"errors":[]}']
)
async def test_opentsdb_that_does_not_say(body: str) -> None:
    """Unless every point is accounted for, the round is tried again."""
    with Answers(lambda asked: Answer(200, body)) as fake:
        round_ = round_of(TSDB, 10)
        with pytest.raises(NotDelivered, match="does not say what became of the points"):
            await deliver(fake.url, round_)
    assert round_.rejected == {} and round_.points == []


async def test_opentsdb_that_takes_less() -> None:
    """Bodies are halved until they fit, whatever the server's limit is; a point that never does is given up."""
    wide = "w" * 3000

    def says(asked: Asked) -> Answer:
        points = json.loads(gzip.decompress(asked.body))
        if len(points) > 7 or points[0]["tags"]["id"] == wide:
            return Answer(400, "<p>Chunked request not supported.</p>", "text/html")
        return Answer(200, json.dumps({"success": len(points), "failed": 0, "errors": []}))

    with Answers(says) as fake:
        round_ = round_of(TSDB, 100)
        await deliver(fake.url, round_)
        assert round_.rejected == {}
        data = json.dumps({"id": wide, "value": 1, "at": 1_700_000_000_000}).encode()
        round_ = make_round(TSDB, STREAM, {0: [data]})
        await deliver(fake.url, round_)
    assert [reject.data for reject in round_.rejected[0]] == [data]
    assert "is more than it takes" in round_.rejected[0][0].reason
