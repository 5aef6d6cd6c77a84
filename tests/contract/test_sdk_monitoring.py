"""Monitoring through real clients (5.6): `huaweicloudsdkdis`, `huaweicloud-python-sdk-dis` (JSON and protobuf), and the requests
of the .NET and Go clients as they send them (clients.md 1.7)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdis.v2 import ShowPartitionMetricsRequest, ShowStreamMetricsRequest
from tests.support.metrics import PARTITION_LABELS, STREAM_LABELS, points_of
from tests.support.python_sdks import Failed, OldSdk
from tests.support.wire import Wire, done, ok

P0 = "shardId-0000000000"


@pytest.fixture(scope="module")
def stream(wire: Wire) -> str:
    """Two records of 3 and 5 bytes in the first of two partitions, read once."""
    done(wire.create("monitored", 2), 201)
    wire.put_data("monitored", b"abc", b"defgh", partition_id="0")
    wire.read_all("monitored")
    return "monitored"


def span() -> tuple[int, int]:
    now = int(time.time())
    return now - 600, now


class TestSdk:
    @pytest.mark.parametrize(
        ("label", "value"),
        [
            ("total_put_bytes_per_stream", 8),
            ("total_get_bytes_per_stream", 8),
            ("total_put_records_per_stream", 2),
            ("total_get_records_per_stream", 2),
            ("total_put_req_suc_per_stream", 1),
            ("total_get_req_suc_per_stream", 2),
            ("traffic_control_put", 0),
            ("traffic_control_get", 0),
        ],
    )
    def test_a_stream(self, client: Any, stream: str, label: str, value: int) -> None:
        start, end = span()
        request = ShowStreamMetricsRequest(stream_name=stream, label=label, start_time=start, end_time=end)
        reply = client.show_stream_metrics(request)
        assert reply.metrics.label == label
        assert sum(point.value for point in reply.metrics.data_points) == value
        assert len(reply.metrics.data_points) == 11

    def test_several_labels(self, client: Any, stream: str) -> None:
        start, end = span()
        labels = ",".join(STREAM_LABELS)
        request = ShowStreamMetricsRequest(
            stream_name=stream, label_list=labels, start_time=start, end_time=end
        )
        reply = client.show_stream_metrics(request)
        assert [metrics.label for metrics in reply.metrics_list] == list(STREAM_LABELS)
        assert all(len(metrics.data_points) == 11 for metrics in reply.metrics_list)

    @pytest.mark.parametrize(
        ("partition", "values"), [(P0, (8, 8, 2, 2)), ("0", (8, 8, 2, 2)), ("1", (0, 0, 0, 0))]
    )
    def test_a_partition(
        self, client: Any, stream: str, partition: str, values: tuple[int, int, int, int]
    ) -> None:
        start, end = span()
        for label, value in zip(PARTITION_LABELS, values, strict=True):
            reply = client.show_partition_metrics(
                ShowPartitionMetricsRequest(
                    stream_name=stream, partition_id=partition, label=label, start_time=start, end_time=end
                )
            )
            assert reply.metrics.label == label
            assert sum(point.value for point in reply.metrics.data_points) == value

    def test_refusals(self, client: Any, stream: str) -> None:
        start, end = span()
        for changes, code in (
            ({"label": None}, "DIS.4209"),
            ({"start_time": start - 8 * 86_400}, "DIS.4204"),
            ({"start_time": end + 1}, "DIS.4203"),
            ({"stream_name": "nobody"}, "DIS.4301"),
        ):
            fields = {
                "stream_name": stream,
                "label": STREAM_LABELS[0],
                "start_time": start,
                "end_time": end,
            } | changes
            with pytest.raises(ClientRequestException) as error:
                client.show_stream_metrics(ShowStreamMetricsRequest(**fields))
            assert error.value.error_code == code


class TestOldSdk:
    @pytest.mark.parametrize("given", [False, True])
    def test_a_stream(self, sdk: OldSdk, stream: str, given: bool) -> None:
        """A GET with a body, and without times with empty ones."""
        status, body = sdk.call(
            "streamMonitor", stream, "total_put_bytes_per_stream", *(span() if given else ())
        )
        assert status == 200
        assert body["metrics"]["label"] == "total_put_bytes_per_stream"
        assert sum(value for _, value in points_of(body["metrics"])) == 8

    @pytest.mark.parametrize("partition", [P0, "0"])
    def test_a_partition(self, sdk: OldSdk, stream: str, partition: str) -> None:
        _, body = sdk.call("partitionMonitor", stream, partition, "total_put_records_per_partition", *span())
        assert body["metrics"]["label"] == "total_put_records_per_partition"
        assert sum(value for _, value in points_of(body["metrics"])) == 2

    def test_a_refusal(self, sdk: OldSdk, stream: str) -> None:
        with pytest.raises(Failed, match="Invalid metrics label"):
            sdk.call("streamMonitor", stream, "bytes")


def test_as_the_dotnet_client_asks(wire: Wire, stream: str) -> None:
    """Trailing slash, three days."""
    now = int(time.time())
    query = f"label=total_put_bytes_per_stream&start_time={now - 3 * 86_400}&end_time={now}"
    metrics = ok(wire.call("GET", f"/streams/{stream}/metrics/", query))["metrics"]
    assert sum(value for _, value in points_of(metrics)) == 8


def test_as_the_go_client_asks(wire: Wire, stream: str) -> None:
    """Its acceptance tests: from now to 50 seconds later, partition `0`, the label echoed; it reads `data_points`."""
    now = int(time.time())
    window = f"start_time={now}&end_time={now + 50}"
    reply = ok(wire.call("GET", f"/streams/{stream}/metrics", f"label=total_put_bytes_per_stream&{window}"))
    assert reply["metrics"]["label"] == "total_put_bytes_per_stream"
    assert reply["metrics"]["data_points"]
    path = f"/streams/{stream}/partitions/0/metrics"
    reply = ok(wire.call("GET", path, f"label=total_put_bytes_per_partition&{window}"))
    assert reply["metrics"]["label"] == "total_put_bytes_per_partition"
