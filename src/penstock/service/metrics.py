"""Monitoring (chapter 5.6): what is measured of a stream and of a partition. Owns which labels, which window and the shape of
the answer; the points are `service.points`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.errors import ApiError
from penstock.iam.base import Principal
from penstock.model.metrics import PARTITION_LABELS, STREAM, STREAM_LABELS, Point, Reading, read
from penstock.model.routing import parse_partition_id
from penstock.model.streams import Right, Stream, partition_name
from penstock.service.context import Context

MINUTE = 60
DAY = 86_400
DEFAULT_SECONDS = 3600
"""The window when a client leaves it open (the old Python client sends both times empty)."""
LATE_SECONDS = 300
"""How much longer ago than 7 days a window may begin: clocks differ, and requests take their time."""
_MILLISECONDS = 10**11
"""A time from here on cannot be seconds: 13 digits are taken for milliseconds."""
_DIGITS = 15


class DataPoint(msgspec.Struct):
    """5.6.1 table 5-132: the minute that begins at `timestamp` (seconds) and its value, a whole number."""

    timestamp: int
    value: int


class Metrics(msgspec.Struct):
    """5.6.1 table 5-131. The points under both names: clients disagree (clients.md 1.7)."""

    label: str
    dataPoints: list[DataPoint]  # noqa: N815 the wire's name
    data_points: list[DataPoint]


class MetricsReply(msgspec.Struct, omit_defaults=True):
    """5.6.1 table 5-130. `metrics` is the first of `metrics_list`, which is there when `label_list` was asked for."""

    metrics: Metrics
    metrics_list: list[Metrics] | None = None


class Question(msgspec.Struct, frozen=True):
    """What is asked, as the query has it (empty texts are absent)."""

    label: str
    label_list: str
    start_time: str
    end_time: str


async def stream_metrics(
    context: Context, principal: Principal, project_id: str, stream_name: str, question: Question
) -> MetricsReply:
    """5.6.1. DIS.4301, DIS.4209 (label), DIS.4203 and DIS.4204 (window)."""
    stream = _stream(context, principal, project_id, stream_name)
    return await _answer(context, stream, STREAM, STREAM_LABELS, question)


async def partition_metrics(
    context: Context,
    principal: Principal,
    project_id: str,
    stream_name: str,
    partition_id: str,
    question: Question,
) -> MetricsReply:
    """5.6.2. As for a stream, and DIS.4201 (no partition's id), DIS.4302 (no such partition)."""
    stream = _stream(context, principal, project_id, stream_name)
    number = parse_partition_id(partition_id)
    if number is None:
        raise ApiError("DIS.4201", f"[partition_id: {partition_id[:64]}, expected shardId-0000000000 or 0]")
    if number >= len(stream.partitions):
        raise ApiError("DIS.4302", f"[{stream.name}][{project_id}][{partition_name(number)}]")
    return await _answer(context, stream, number, PARTITION_LABELS, question)


def _stream(context: Context, principal: Principal, project_id: str, name: str) -> Stream:
    return context.access.find_stream(principal, project_id, name, name, Right.INFO)


async def _answer(
    context: Context, stream: Stream, number: int, labels: Mapping[str, Reading], question: Question
) -> MetricsReply:
    wanted = _labels(question, labels)
    now = context.clock.now_ms() // 1000
    start, end = _window(question, now, context.limits.metric_days)
    first, last = start // MINUTE, min(end, now) // MINUTE
    points: dict[int, Point] = {}
    if first <= last and context.points is not None:
        points = await context.points.points(stream.stream_id, number, first, last)
    metrics = []
    for label in wanted:
        encoded: Any = _encode(points, labels[label], first, last)
        metrics.append(Metrics(label, encoded, encoded))
        await asyncio.sleep(0)  # ten labels over seven days are 100,000 points: let others in between
    return MetricsReply(metrics[0], metrics if question.label_list else None)


def _encode(points: Mapping[int, Point], reading: Reading, first: int, last: int) -> msgspec.Raw:
    """Every minute of the window, those without traffic with 0: what a graph needs."""
    values = {minute: read(point, reading) for minute, point in points.items()}
    entries = [
        f'{{"timestamp":{minute * MINUTE},"value":{values.get(minute, 0)}}}'
        for minute in range(first, last + 1)
    ]
    return msgspec.Raw(f"[{','.join(entries)}]".encode())


def _labels(question: Question, known: Mapping[str, Reading]) -> Sequence[str]:
    """The labels asked for, each once: `label_list` prevails (5.6.1 table 5-128)."""
    text = question.label_list or question.label
    names = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ApiError("DIS.4209", "[label: neither label nor label_list is given]")
    for name in names:
        if name not in known:
            raise ApiError("DIS.4209", f"[{name[:64]}]")
    if len(names) > 1 and not question.label_list:
        raise ApiError("DIS.4209", "[label: one at a time, several in label_list]")
    return list(names)


def _window(question: Question, now: int, days: int) -> tuple[int, int]:
    """Start and end in seconds, both included. The last hour where nothing is said; an end in the future is now."""
    end = _time("end_time", question.end_time)
    start = _time("start_time", question.start_time)
    if end is None:
        end = max(now, start or 0)
    if start is None:
        start = max(0, end - DEFAULT_SECONDS)
    if start > end:
        raise ApiError("DIS.4203", f"[start_time: {start} is after end_time {end}]")
    if end - start > days * DAY or start < now - days * DAY - LATE_SECONDS:
        raise ApiError("DIS.4204")
    return start, end


def _time(name: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ApiError("DIS.4203", f"[{name}: {text[:32]} is not a time in seconds]")
    value = int(text)
    return value // 1000 if value >= _MILLISECONDS else value
