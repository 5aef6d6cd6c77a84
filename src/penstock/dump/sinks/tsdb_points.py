"""Records as points of OpenTSDB (5.5.10 tables 5-122 to 5-126), points as bodies of its API, and its answers. Pure: owns what a point
is, which records are none, and what the server's complaints mean; sends nothing.

A record gives a point for every schema and every metric in it. A point that has been put may be put again only with the very same
value: OpenTSDB keeps an integer, a longer integer and a float of one time beside each other, and then fails every query over
them. So the type of a schema's value decides what it is sent as, and of all points of a round with one metric, tags and time only
the last is sent.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from penstock.dump.base import Part, Reject
from penstock.dump.decoding import Row, moment
from penstock.dump.sinks.attribute_types import Reader, Source, Unfit, Value, rows, text
from penstock.model.tasks import (
    AttributeType,
    Metric,
    OpenTsdbSchema,
    TimestampType,
    TsdbTag,
    TsdbTimestamp,
    TsdbValue,
)
from penstock.model.validation import shown

NAME_BYTES = 32_767
"""Longest name of a metric or a tag: they are row keys of HBase."""
SECONDS_END = 1 << 32
"""From here on OpenTSDB takes a time for milliseconds."""
_CONSTANT = "Constant"
_GZIP_LEVEL = 6

Key = tuple[str, int, tuple[tuple[str, str], ...]]
"""What makes a point that point: metric, time, tags."""


class Point(NamedTuple):
    """A point, and the records that it was made of, in order: the last gave the value."""

    metric: str
    timestamp: int
    """Since 1970 UTC: seconds, from SECONDS_END on milliseconds."""
    value: int | float
    tags: dict[str, str]
    sources: list[Source]


class Made(NamedTuple):
    """What became of a round: points, and by partition the records that are none."""

    points: list[Point]
    rejects: dict[int, list[Reject]]


class PointMaker:
    """Makes points by one task's schemas; `zone` is the one of times that are texts."""

    def __init__(self, schemas: Sequence[OpenTsdbSchema], zone: tzinfo) -> None:
        self._schemas = schemas
        self._zone = zone

    def make(self, parts: Iterable[Part]) -> Made:
        """The points of a round, in the order of the records that came first."""
        points: dict[Key, Point] = {}
        rejected: dict[int, list[Reject]] = {}
        for partition, found, rejects in rows(parts):
            for row in found:
                try:
                    made = self._points(row)
                except Unfit as error:
                    rejects.append(Reject(row.sequence, row.data, str(error)))
                    continue
                source = Source(partition, row.sequence, row.data)
                for point in made:
                    key = point_key(point.metric, point.timestamp, point.tags)
                    known = points.get(key)
                    if known is not None:
                        point.sources.extend(one for one in known.sources if one is not source)
                    point.sources.append(source)
                    points[key] = point
            if rejects:
                rejected.setdefault(partition, []).extend(rejects)
        return Made(list(points.values()), rejected)

    def _points(self, row: Row) -> list[Point]:
        """All points of a record. Raises Unfit: then it has none."""
        reader = Reader(row)
        made = []
        for schema in self._schemas:
            value = _number(reader, schema.value)
            if value is None:
                continue
            timestamp = _time(reader, schema.timestamp, self._zone)
            tags = _tags(reader, schema.tags)
            for metric in schema.metric:
                made.append(Point(_metric(reader, metric), timestamp, value, tags, []))
        if not made:
            raise Unfit("it has none of the attributes that values are made of")
        return made


def point_key(metric: str, timestamp: int, tags: dict[str, str]) -> Key:
    """What two points must not share."""
    return metric, timestamp, tuple(sorted(tags.items()))


def _metric(reader: Reader, metric: Metric) -> str:
    if metric.type == _CONSTANT:
        return metric.value
    name = reader.read(metric.value, AttributeType.STRING)
    if not name:
        raise Unfit(f"attribute {metric.value} names no metric")
    return _name(metric.value, text(name))


def _time(reader: Reader, wanted: TsdbTimestamp, zone: tzinfo) -> int:
    """Seconds since 1970 UTC of a text, milliseconds of a Timestamp."""
    kind = AttributeType.TIMESTAMP if wanted.type is TimestampType.TIMESTAMP else AttributeType.STRING
    value = reader.read(wanted.value, kind)
    if value is None:
        raise Unfit(f"attribute {wanted.value} is missing")
    if isinstance(value, int):
        return value
    found = moment(value, wanted.type, wanted.format, zone)
    if found is None:
        raise Unfit(f"attribute {wanted.value} is not a time of the form {wanted.format}")
    seconds = round(found.timestamp())
    if seconds <= 0:
        raise Unfit(f"attribute {wanted.value} is a time before 1970")
    return seconds if seconds < SECONDS_END else seconds * 1000


def _number(reader: Reader, wanted: TsdbValue) -> int | float | None:
    """The value, always an integer or always a float for one type; None when it is missing or null."""
    value: Value | None = reader.read(wanted.value, wanted.type)
    if value is None:
        return None
    if isinstance(value, str):
        value = reader.read(wanted.value, AttributeType.DOUBLE)
    if isinstance(value, Decimal):
        value = float(value)
        if not isfinite(value):
            raise Unfit(f"attribute {wanted.value} is more than a double holds")
    assert isinstance(value, int | float)
    return int(value) if isinstance(value, bool) else value


def _tags(reader: Reader, wanted: Sequence[TsdbTag]) -> dict[str, str]:
    tags = {}
    for tag in wanted:
        value = reader.read(tag.value, tag.type)
        if value is not None and value != "":
            tags[tag.name] = _name(tag.value, text(value))
    if not tags:
        raise Unfit("it has none of the attributes that tags are made of, and a point needs one")
    return tags


def _name(where: str, name: str) -> str:
    """The name of a metric, or a tag's value. Which of the characters that it can keep are legal, the server decides."""
    try:
        size = len(name.encode("latin-1"))
    except UnicodeEncodeError as error:
        # It would keep a question mark, the same one for every other such character.
        raise Unfit(f"attribute {shown(where)} has characters that OpenTSDB does not keep") from error
    if size > NAME_BYTES:
        raise Unfit(f"attribute {shown(where)} is {size} characters: OpenTSDB takes {NAME_BYTES}")
    return name


# Requests and answers -------------------------------------------------------------------------------------------------


class _Sent(msgspec.Struct):
    metric: str
    timestamp: int
    value: int | float
    tags: dict[str, str]


_encode = msgspec.json.Encoder().encode


def body(points: Iterable[Point]) -> bytes:
    """A compressed body that puts these points; the same points give the same bytes."""
    plain = _encode([_Sent(p.metric, p.timestamp, p.value, p.tags) for p in points])
    return gzip.compress(plain, _GZIP_LEVEL, mtime=0)


class Complaint(NamedTuple):
    """What the server has against one of the points that it was sent; `point` is None when it is none of them."""

    point: Point | None
    said: str

    @property
    def unknown(self) -> bool:
        """The metric has not been made, and the server makes none."""
        return self.said.startswith("Unknown metric")

    @property
    def late(self) -> bool:
        """It was not stored within the time, and may be yet."""
        return self.said.startswith(_LATE)

    @property
    def passing(self) -> bool:
        """Nothing is wrong with the point. Where something is, the server says what: an illegal name, too many tags."""
        return bool(_PASSING.match(self.said))


_LATE = "Write timedout"
_PASSING = re.compile(
    rf"Unknown metric|{_LATE}|Storage exception|Please throttle|Timeout exception|Unexpected exception"
    r"|[\w.$]+Exception\b"
)
"""How complaints begin that are not about the point (PutDataPointRpc of OpenTSDB 2.4). Those that are may quote any name, so only the
beginning counts."""


class _Refused(msgspec.Struct):
    datapoint: dict[str, Any]
    error: str


class _Answer(msgspec.Struct):
    success: int
    failed: int
    errors: list[_Refused] = []
    timeouts: int = 0


def complaints(points: Sequence[Point], content: bytes) -> list[Complaint] | None:
    """What an answer to these points complains of (`details`); None when it is no such answer, or does not count them all."""
    try:
        answer = msgspec.json.decode(content, type=_Answer)
    except msgspec.MsgspecError:
        return None
    if answer.success + answer.failed + answer.timeouts < len(points):
        return None
    if not answer.errors:
        return [] if answer.success == len(points) else None
    known = {point_key(p.metric, p.timestamp, p.tags): p for p in points}
    found = []
    for refused in answer.errors:
        about = refused.datapoint
        try:
            key = point_key(about["metric"], about["timestamp"], about["tags"])
        except (KeyError, AttributeError, TypeError):
            found.append(Complaint(None, refused.error))
        else:
            found.append(Complaint(known.get(key), refused.error))
    return found
