"""What is measured: counters of a stream or partition in a minute, and the labels they are asked for by (5.6). Pure: owns the
names and the arithmetic, knows no storage and no HTTP.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

MINUTE_MS = 60_000
BLOCK_MINUTES = 10
"""Minutes kept in one row."""
STREAM = -1
"""The partition number under which a whole stream is counted."""

Point = list[int]
"""Counters of a minute, in the order of `FIELDS`."""

FIELDS = (
    "bytes_in",
    "records_in",
    "bytes_out",
    "records_out",
    "puts",
    "puts_us",
    "puts_throttled",
    "gets",
    "gets_us",
    "gets_throttled",
)
"""Bytes are of data before Base64. Times are microseconds, summed over the requests that succeeded."""

Reading = Callable[[Point], int]


def _field(name: str) -> Reading:
    index = FIELDS.index(name)
    return lambda point: point[index]


def _average_ms(total: str, count: str) -> Reading:
    """Rounded up: 0 says that there was no request."""
    spent, requests = FIELDS.index(total), FIELDS.index(count)
    return lambda point: -(-point[spent] // (point[requests] * 1000)) if point[requests] else 0


STREAM_LABELS: dict[str, Reading] = {
    "total_put_bytes_per_stream": _field("bytes_in"),
    "total_get_bytes_per_stream": _field("bytes_out"),
    "total_put_records_per_stream": _field("records_in"),
    "total_get_records_per_stream": _field("records_out"),
    "total_put_req_latency": _average_ms("puts_us", "puts"),
    "total_get_req_latency": _average_ms("gets_us", "gets"),
    "total_put_req_suc_per_stream": _field("puts"),
    "total_get_req_suc_per_stream": _field("gets"),
    "traffic_control_put": _field("puts_throttled"),
    "traffic_control_get": _field("gets_throttled"),
}
"""5.6.1 table 5-128."""

PARTITION_LABELS: dict[str, Reading] = {
    "total_put_bytes_per_partition": _field("bytes_in"),
    "total_get_bytes_per_partition": _field("bytes_out"),
    "total_put_records_per_partition": _field("records_in"),
    "total_get_records_per_partition": _field("records_out"),
}
"""5.6.2 table 5-134."""


class MetricBlock(msgspec.Struct, frozen=True):
    """Ten minutes (`block` counts them from the epoch), those that had traffic: minute since the epoch -> counters, zeros at
    their end left out. `number` is a partition's, or STREAM for the sum."""

    stream_id: str
    number: int
    block: int
    minutes: dict[int, Point]


def add(point: Point, more: Point) -> Point:
    """The sum, a new list without zeros at its end."""
    if len(point) < len(more):
        point, more = more, point
    total = [a + b for a, b in zip(point, more, strict=False)] + point[len(more) :]
    while total and not total[-1]:
        total.pop()
    return total


def read(point: Point, reading: Reading) -> int:
    """A label's value of a point as stored."""
    return reading(point + [0] * (len(FIELDS) - len(point)))
