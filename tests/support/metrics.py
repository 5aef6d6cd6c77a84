"""Reading metrics over the wire (5.6): the labels of the reference, and checks of every point's form."""

from __future__ import annotations

import itertools
import time

from tests.support.wire import Json, Wire, ok

STREAM_LABELS = (
    "total_put_bytes_per_stream",
    "total_get_bytes_per_stream",
    "total_put_records_per_stream",
    "total_get_records_per_stream",
    "total_put_req_latency",
    "total_get_req_latency",
    "total_put_req_suc_per_stream",
    "total_get_req_suc_per_stream",
    "traffic_control_put",
    "traffic_control_get",
)
"""5.6.1 table 5-128."""
PARTITION_LABELS = (
    "total_put_bytes_per_partition",
    "total_get_bytes_per_partition",
    "total_put_records_per_partition",
    "total_get_records_per_partition",
)
"""5.6.2 table 5-134."""


def points_of(metrics: Json) -> list[tuple[int, int]]:
    """The points, checked for their form: one a minute, integers, the same under both names (clients.md 1.7)."""
    assert set(metrics) == {"label", "dataPoints", "data_points"}
    assert metrics["dataPoints"] == metrics["data_points"]
    points = [(point["timestamp"], point["value"]) for point in metrics["dataPoints"]]
    assert all(set(point) == {"timestamp", "value"} for point in metrics["dataPoints"])
    assert all(type(number) is int for point in points for number in point), "Java and Go parse int64"
    times = [timestamp for timestamp, _ in points]
    assert all(timestamp % 60 == 0 for timestamp in times)
    assert all(b - a == 60 for a, b in itertools.pairwise(times)), "a minute is missing"
    return points


def window() -> str:
    now = int(time.time())
    return f"start_time={now - 3600}&end_time={now}"


def totals(wire: Wire, stream: str, partition: str = "") -> dict[str, int]:
    """The sum of each label over the last hour."""
    labels = PARTITION_LABELS if partition else STREAM_LABELS
    path = f"/streams/{stream}/partitions/{partition}/metrics" if partition else f"/streams/{stream}/metrics"
    reply = ok(wire.call("GET", path, f"label_list={','.join(labels)}&{window()}"))
    assert set(reply) == {"metrics", "metrics_list"}
    assert reply["metrics"] == reply["metrics_list"][0]
    assert [metrics["label"] for metrics in reply["metrics_list"]] == list(labels)
    return {m["label"]: sum(value for _, value in points_of(m)) for m in reply["metrics_list"]}


def partition_totals(put_bytes: int, got_bytes: int, put_records: int, got_records: int) -> dict[str, int]:
    return dict(zip(PARTITION_LABELS, (put_bytes, got_bytes, put_records, got_records), strict=True))
