"""Records as points of OpenTSDB, bodies and answers (C4; 5.5.10 tables 5-122 to 5-126)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any

import pytest
from tests.support.rounds import make_batch

from penstock.dump.base import Part
from penstock.dump.sinks.tsdb_points import Complaint, Made, Point, PointMaker, body, complaints
from penstock.model.dumps import PlannedPart
from penstock.model.tasks import (
    AttributeType,
    Metric,
    OpenTsdbSchema,
    TimestampType,
    TsdbTag,
    TsdbTimestamp,
    TsdbValue,
)

AT = 1_700_000_000_000
STRING = AttributeType.STRING
HOST = TsdbTag("host", STRING, "host")


def schema(
    *metrics: str,
    named: Sequence[str] = (),
    value: str = "value",
    kind: AttributeType = AttributeType.BIGINT,
    tags: Sequence[TsdbTag] = (HOST,),
    form: str = "",
) -> OpenTsdbSchema:
    called = tuple(Metric("Constant", name) for name in metrics) + tuple(
        Metric("String", name) for name in named
    )
    time = TsdbTimestamp(TimestampType.STRING if form else TimestampType.TIMESTAMP, "at", form)
    return OpenTsdbSchema(metric=called, timestamp=time, value=TsdbValue(kind, value), tags=tuple(tags))


def made(records: Sequence[bytes], *schemas: OpenTsdbSchema, zone: tzinfo = UTC) -> Made:
    batch = make_batch(0, records)
    return PointMaker(schemas, zone).make([Part(PlannedPart(0, batch.first, batch.last), batch)])


def record(**attributes: Any) -> bytes:
    return json.dumps({"host": "a", "value": 1, "at": AT} | attributes).encode()


def reasons(made: Made) -> list[str]:
    return [reject.reason for reject in made.rejects.get(0, [])]


def test_a_point_for_every_schema_and_metric() -> None:
    two = schema("a", "b"), schema(named=["metric"], value="other")
    points = made([record(metric="c.d", other=2)], *two).points
    assert [point[:4] for point in points] == [
        ("a", AT, 1, {"host": "a"}),
        ("b", AT, 1, {"host": "a"}),
        ("c.d", AT, 2, {"host": "a"}),
    ]


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("Bigint", "5", 5),
        ("Bigint", '"-9223372036854775808"', -(1 << 63)),
        ("Double", "5", 5.0),
        ("Double", "0.1", 0.1),
        ("Boolean", "true", 1),
        ("Boolean", "false", 0),
        ("Timestamp", str(AT), AT),
        ("String", '"5"', 5.0),
        ("String", '"1e3"', 1000.0),
        ("Decimal", "5", 5.0),
        ("Decimal", "2.50", 2.5),
    ],
)
def test_values(kind: str, written: str, value: float) -> None:
    """A type is sent as integers always, or as floats always: both at one time fail every query (part B)."""
    data = f'{{"host": "a", "at": {AT}, "value": {written}}}'.encode()
    [point] = made([data], schema("m", kind=AttributeType(kind))).points
    assert point.value == value
    assert type(point.value) is type(value)


@pytest.mark.parametrize(
    ("kind", "written", "reason"),
    [
        ("Bigint", "1.5", "attribute value is not a Bigint"),
        ("Bigint", "9223372036854775808", "attribute value is not a Bigint"),
        ("String", '"five"', "attribute value is not a Double"),
        ("String", "5", "attribute value is not a String"),
        ("Decimal", '"1e999"', "attribute value is more than a double holds"),
        ("Double", "null", "it has none of the attributes that values are made of"),
    ],
)
def test_values_that_are_none(kind: str, written: str, reason: str) -> None:
    data = f'{{"host": "a", "at": {AT}, "value": {written}}}'.encode()
    refused = made([data], schema("m", kind=AttributeType(kind)))
    assert refused.points == []
    assert reasons(refused) == [reason]


def test_times() -> None:
    """Timestamps as they are, in milliseconds; texts as seconds, in the zone of the place."""
    assert made([record(at=str(AT + 7))], schema("m")).points[0].timestamp == AT + 7
    form = "dd/MM/yyyy HH:mm:ss"
    zone = timezone(timedelta(hours=8))
    records = [record(at="15/11/2023 06:13:20"), record(at="01/01/2107 00:00:00")]
    assert [point.timestamp for point in made(records, schema("m", form=form), zone=zone).points] == [
        1_700_000_000,
        4_323_254_400_000,
    ]
    bad = [record(at=at) for at in (1_700_000_000, "15/11/2023", None, "01/01/1969 00:00:00")]
    assert reasons(made(bad, schema("m", form=form))) == [
        "attribute at is not a String",
        "attribute at is not a time of the form dd/MM/yyyy HH:mm:ss",
        "attribute at is missing",
        "attribute at is a time before 1970",
    ]


def test_tags() -> None:
    """Texts of all types; a tag that is missing, null or empty is left out, and one must be left."""
    tags = [TsdbTag(kind, kind, kind.lower()) for kind in AttributeType]
    data = {"bigint": 5, "double": 5, "boolean": True, "timestamp": AT, "string": "a/b", "decimal": None}
    full = record(**data)
    [point] = made([full], schema("m", tags=tags)).points
    assert point.tags == {
        "Bigint": "5",
        "Double": "5.0",
        "Boolean": "true",
        "Timestamp": str(AT),
        "String": "a/b",
    }
    refused = made([record(string=""), record(bigint="x", string="y")], schema("m", tags=tags))
    assert reasons(refused) == [
        "it has none of the attributes that tags are made of, and a point needs one",
        "attribute bigint is not a Bigint",
    ]


def test_names_that_opentsdb_cannot_keep() -> None:
    """It keeps Latin-1: other letters would all become question marks. Of what it can keep, it says itself what is legal."""
    records = [
        record(host="温度", metric="m"),
        record(metric="µ温"),
        record(host="é b", metric="m"),
        record(host="h" * 32_768, metric="m"),
        record(metric=""),
        record(metric=5),
    ]
    refused = made(records, schema(named=["metric"]))
    assert [(p.metric, p.tags) for p in refused.points] == [("m", {"host": "é b"})]
    assert reasons(refused) == [
        "attribute host has characters that OpenTSDB does not keep",
        "attribute metric has characters that OpenTSDB does not keep",
        "attribute host is 32768 characters: OpenTSDB takes 32767",
        "attribute metric names no metric",
        "attribute metric is not a String",
    ]


def test_a_record_is_rejected_as_a_whole() -> None:
    """A record of which one point is known to be illegal gives none; a schema whose value is missing asks for none."""
    two = schema("a"), schema("b", value="other", tags=[TsdbTag("zone", STRING, "zone")])
    result = made([record(other=2), record(), record(other=3, zone="z")], *two)
    assert [(point.metric, point.value) for point in result.points] == [("a", 1), ("b", 3)]
    assert [source.sequence for source in result.points[0].sources] == [1, 2]
    assert [reject.sequence for reject in result.rejects[0]] == [0]


def test_one_point_of_several_records() -> None:
    """The last one's value is sent, and all of them are its sources."""
    points = made([record(value=1), record(value=2, host="b"), record(value=300)], schema("m", "m")).points
    assert [(point.value, point.tags["host"]) for point in points] == [(300, "a"), (2, "b")]
    assert [[source.sequence for source in point.sources] for point in points] == [[0, 2], [1]]


def test_body() -> None:
    """Numbers as numbers, floats with a point or an exponent; the same points give the same bytes."""
    points = [
        Point("m", 5, 3.0, {"h": "é"}, []),
        Point("m", 6, 1e22, {"h": "b"}, []),
        Point("m", 7, 3, {"h": "b"}, []),
    ]
    assert body(points) == body(points)
    text = gzip.decompress(body(points)).decode()
    assert [item["tags"] for item in json.loads(text)] == [{"h": "é"}, {"h": "b"}, {"h": "b"}]
    assert [text.partition(f'"timestamp":{at},"value":')[2].partition(",")[0] for at in (5, 6, 7)] == [
        "3.0",
        "1e22",
        "3",
    ]


A = Point("m", 5, 1, {"h": "a", "i": "x"}, [])
B = Point("m", 6, 1, {"h": "b"}, [])


def answer(success: int, *errors: tuple[object, str], timeouts: int = 0) -> bytes:
    listed = [{"datapoint": about, "error": said} for about, said in errors]
    counts = {"success": success, "failed": len(errors), "timeouts": timeouts}
    return json.dumps(counts | {"errors": listed}).encode()


def test_answers() -> None:
    """Complaints belong to points by metric, time and tags; values come back as texts."""
    about = {"metric": "m", "timestamp": 5, "value": "1", "tags": {"i": "x", "h": "a"}}
    assert complaints([A, B], answer(2)) == []
    assert complaints([A, B], answer(1, (about, "Invalid tag"))) == [Complaint(A, "Invalid tag")]
    strange = about | {"timestamp": 7}
    assert complaints([A, B], answer(1, (strange, "Invalid tag"))) == [Complaint(None, "Invalid tag")]
    assert complaints([A, B], answer(1, ({}, "Invalid tag"))) == [Complaint(None, "Invalid tag")]


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b'{"error":{"code":400}}', answer(1), answer(1, timeouts=1), answer(0, timeouts=2)],
)
def test_answers_that_do_not_say(content: bytes) -> None:
    """Not all points are accounted for: nobody knows what became of them."""
    assert complaints([A, B], content) is None


@pytest.mark.parametrize(
    ("said", "passing", "unknown"),
    [
        ("Unknown metric", True, True),
        ("Write timedout", True, False),
        ("Storage exception: connection reset", True, False),
        ("Please throttle", True, False),
        ("Timeout exception", True, False),
        ("Unexpected exception", True, False),
        ("org.hbase.async.NonRecoverableException: no", True, False),
        ('Invalid tag value with key [h] ("a b"): illegal character:  ', False, False),
        ("Too many tags: 9 maximum allowed: 8", False, False),
        ("Unable to parse value to a number", False, False),
        ("Missing tags", False, False),
    ],
)
def test_what_complaints_mean(said: str, passing: bool, unknown: bool) -> None:
    """Part B: which of what OpenTSDB 2.4 says is about the point, and which passes or is configuration."""
    assert (Complaint(A, said).passing, Complaint(A, said).unknown) == (passing, unknown)


def test_an_illegal_name_may_have_the_word_exception_in_it() -> None:
    """Names are quoted in complaints: a tag called like an exception must not keep a task from ever going on."""
    said = 'Invalid tag value with key [h] ("java.lang.Exception !"): illegal character:  '
    assert not Complaint(A, said).passing
