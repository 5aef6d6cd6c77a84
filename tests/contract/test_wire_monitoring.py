"""Monitoring on the wire (5.6.1, 5.6.2): windows, labels, partitions, refusals; quotas and statistics (chapter 6). That values are
right is test_wire_metrics_values.py's."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from tests.support.metrics import PARTITION_LABELS, STREAM_LABELS, points_of, window
from tests.support.wire import Wire, done, ok, refused

DAY = 86_400


@pytest.fixture(scope="module")
def stream(wire: Wire) -> str:
    """A stream that got three bytes."""
    done(wire.create("monitored", 1), 201)
    wire.put_data("monitored", b"abc")
    return "monitored"


class TestWindow:
    def get(self, wire: Wire, stream: str, query: str) -> Any:
        return wire.call("GET", f"/streams/{stream}/metrics", f"label=total_put_bytes_per_stream&{query}")

    def points(self, wire: Wire, stream: str, query: str) -> list[tuple[int, int]]:
        reply = ok(self.get(wire, stream, query))
        assert set(reply) == {"metrics"}
        assert reply["metrics"]["label"] == "total_put_bytes_per_stream"
        return points_of(reply["metrics"])

    def test_every_minute_is_there(self, wire: Wire, stream: str) -> None:
        now = int(time.time())
        points = self.points(wire, stream, f"start_time={now - 600}&end_time={now}")
        assert points[0][0] == (now - 600) // 60 * 60
        assert points[-1][0] == now // 60 * 60
        assert len(points) == 11

    def test_seven_days(self, wire: Wire, stream: str) -> None:
        now = int(time.time())
        points = self.points(wire, stream, f"start_time={now - 7 * DAY}&end_time={now}")
        assert len(points) == 7 * 24 * 60 + 1
        assert sum(value for _, value in points) == 3

    def test_one_minute(self, wire: Wire, stream: str) -> None:
        now = int(time.time())
        assert self.points(wire, stream, f"start_time={now - 3600}&end_time={now - 3600}") == [
            ((now - 3600) // 60 * 60, 0)
        ]

    @pytest.mark.parametrize("query", ["", "start_time=&end_time=", "start_time&end_time"])
    def test_left_open_it_is_the_last_hour(self, wire: Wire, stream: str, query: str) -> None:
        """The old Python client sends both empty (clients.md 1.7)."""
        points = self.points(wire, stream, query)
        assert 60 <= len(points) <= 62
        assert abs(points[-1][0] - time.time()) <= 121
        assert sum(value for _, value in points) == 3

    def test_an_end_in_the_future_is_now(self, wire: Wire, stream: str) -> None:
        """What the Go client's own tests send: from now to now and 50 seconds."""
        now = int(time.time())
        points = self.points(wire, stream, f"start_time={now}&end_time={now + 50}")
        assert 1 <= len(points) <= 2
        assert self.points(wire, stream, f"start_time={now + 3600}&end_time={now + 7200}") == []

    def test_milliseconds_are_taken_for_what_they_are(self, wire: Wire, stream: str) -> None:
        now = int(time.time())
        points = self.points(wire, stream, f"start_time={now - 60}000&end_time={now}999")
        assert points[0][0] == (now - 60) // 60 * 60

    @pytest.mark.parametrize(
        "query",
        [
            "start_time=x&end_time=1",
            "start_time=-1&end_time=1",
            "start_time=1.5&end_time=2",
            "start_time=10000000000000000&end_time=1",
            "start_time=%D9%A1&end_time=2",
            "end_time=yesterday",
        ],
    )
    def test_what_is_no_time(self, wire: Wire, stream: str, query: str) -> None:
        refused(self.get(wire, stream, query), "DIS.4203", naming="_time")

    def test_a_start_after_the_end(self, wire: Wire, stream: str) -> None:
        now = int(time.time())
        query = f"start_time={now}&end_time={now - 61}"
        refused(self.get(wire, stream, query), "DIS.4203", naming="start_time")

    @pytest.mark.parametrize(("start", "end"), [(8 * DAY, 0), (8 * DAY, 7 * DAY + 3600), (7 * DAY, -3600)])
    def test_more_than_seven_days(self, wire: Wire, stream: str, start: int, end: int) -> None:
        """7.1: "Only the monitoring information generated in the recent seven days can be queried"."""
        now = int(time.time())
        refused(self.get(wire, stream, f"start_time={now - start}&end_time={now - end}"), "DIS.4204")

    def test_long_ago(self, wire: Wire, stream: str) -> None:
        refused(self.get(wire, stream, "start_time=1&end_time=2"), "DIS.4204")


class TestLabels:
    @pytest.mark.parametrize("label", STREAM_LABELS)
    def test_each_of_a_stream(self, wire: Wire, stream: str, label: str) -> None:
        reply = ok(wire.call("GET", f"/streams/{stream}/metrics", f"label={label}&{window()}"))
        assert reply["metrics"]["label"] == label
        points_of(reply["metrics"])

    @pytest.mark.parametrize("label", PARTITION_LABELS)
    @pytest.mark.parametrize("partition", ["0", "shardId-0000000000"])
    def test_each_of_a_partition(self, wire: Wire, stream: str, partition: str, label: str) -> None:
        path = f"/streams/{stream}/partitions/{partition}/metrics"
        reply = ok(wire.call("GET", path, f"label={label}&{window()}"))
        assert set(reply) == {"metrics"}
        assert reply["metrics"]["label"] == label

    def test_a_list_prevails(self, wire: Wire, stream: str) -> None:
        query = f"label=traffic_control_put&label_list=traffic_control_get&{window()}"
        reply = ok(wire.call("GET", f"/streams/{stream}/metrics", query))
        assert [metrics["label"] for metrics in reply["metrics_list"]] == ["traffic_control_get"]
        assert reply["metrics"]["label"] == "traffic_control_get"

    def test_a_list_may_have_blanks_and_repetitions(self, wire: Wire, stream: str) -> None:
        labels = "traffic_control_put%2C%20traffic_control_get,,traffic_control_put"
        reply = ok(wire.call("GET", f"/streams/{stream}/metrics", f"label_list={labels}&{window()}"))
        assert [m["label"] for m in reply["metrics_list"]] == ["traffic_control_put", "traffic_control_get"]

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "label=",
            "label=&label_list=",
            "label_list=,",
            "label=bytes",
            "label=total_put_bytes_per_partition",
            "label=TOTAL_PUT_BYTES_PER_STREAM",
            "label_list=traffic_control_put,bytes",
            "label=traffic_control_put,traffic_control_get",
            "label=" + "x" * 5000,
        ],
    )
    def test_unknown_to_a_stream(self, wire: Wire, stream: str, query: str) -> None:
        refused(wire.call("GET", f"/streams/{stream}/metrics", f"{query}&{window()}"), "DIS.4209")

    def test_unknown_to_a_partition(self, wire: Wire, stream: str) -> None:
        path = f"/streams/{stream}/partitions/0/metrics"
        for query in ("label=total_put_bytes_per_stream", "label=traffic_control_put", ""):
            refused(wire.call("GET", path, f"{query}&{window()}"), "DIS.4209")

    def test_a_body_says_nothing(self, wire: Wire, stream: str) -> None:
        """The old Python client sends one with its GET (clients.md 1.7)."""
        for content in (json.dumps({"stream_name": "another"}).encode(), b"{", b"[]"):
            reply = wire.call(
                "GET",
                f"/streams/{stream}/metrics",
                "label=traffic_control_put&end_time=&start_time=",
                content=content,
            )
            points_of(ok(reply)["metrics"])

    def test_missing(self, wire: Wire, stream: str) -> None:
        query = f"label=total_put_bytes_per_stream&{window()}"
        refused(wire.call("GET", "/streams/nobody/metrics", query), "DIS.4301")
        query = f"label=total_put_bytes_per_partition&{window()}"
        refused(wire.call("GET", "/streams/nobody/partitions/0/metrics", query), "DIS.4301")
        refused(wire.call("GET", f"/streams/{stream}/partitions/1/metrics", query), "DIS.4302")
        for partition in ("x", "shardId-1x", "-1", "shardId-99999999999999999999"):
            path = f"/streams/{stream}/partitions/{partition}/metrics"
            refused(wire.call("GET", path, query), "DIS.4201", "DIS.4302")


def test_statistics_and_quotas(wire: Wire, name: str) -> None:
    """Chapter 6, the note below table 6-1; shapes: docs/monitoring.md."""
    for version in ("v1", "v2"):
        before = _quotas(wire, version)
        assert set(before) == {
            "stream",
            "common_partition",
            "advanced_partition",
            "app",
            "transfer_task",
            "event_subscription",
        }
        assert before["common_partition"][0] == 50
        assert before["advanced_partition"][0] == 10
        statistics = ok(wire.call("GET", "/statistics", version=version))
        done(wire.create(name, 3, stream_type="ADVANCED"), 201)
        done(wire.call("POST", "/apps", body={"app_name": name}), 201)
        after = _quotas(wire, version)
        for kind, more in (("stream", 1), ("advanced_partition", 3), ("app", 1), ("common_partition", 0)):
            assert after[kind][1] == before[kind][1] + more, kind
        now = ok(wire.call("GET", "/statistics", version=version))
        assert now["streams"]["total"] == statistics["streams"]["total"] + 1
        assert now["streams"]["advanced"] == statistics["streams"]["advanced"] + 1
        assert now["partitions"]["advanced"] == statistics["partitions"]["advanced"] + 3
        assert now["apps"] == statistics["apps"] + 1
        assert set(now["last_minute"]) == set(statistics["last_minute"])
        assert all(type(value) is int for value in now["last_minute"].values())
        done(wire.delete(name), 204)
        done(wire.call("DELETE", f"/apps/{name}"), 204)
        assert _quotas(wire, version) == before


def _quotas(wire: Wire, version: str) -> dict[str, tuple[int, int]]:
    reply = ok(wire.call("GET", "/quotas", version=version))
    return {item["type"]: (item["quota"], item["used"]) for item in reply["quotas"]["resources"]}
