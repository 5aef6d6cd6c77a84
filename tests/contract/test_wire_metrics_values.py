"""Metrics equal what was put and read (5.6.1, 5.6.2), with JSON and protobuf, with one process and with several; over a stop and
a kill."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator

import pytest
from tests.support.metrics import partition_totals, totals
from tests.support.server import Server
from tests.support.wire import Wire, b64, done, ok, page_of, refused
from tests.support.wirecodec import PbRecord, get_result, put_request, put_result

LATENCY = ("total_put_req_latency", "total_get_req_latency")
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("monitoring")
    config = directory / "penstock.toml"
    config.write_text("[limits]\ncontrol_requests_per_second = 1000000\n")
    with Server(directory / "data", "--config", str(config), "--workers", str(request.param)) as started:
        yield started


class TestValues:
    def test_equal_what_was_put_and_read(self, wire: Wire, name: str) -> None:
        done(wire.create(name, 3), 201)
        wire.put_data(name, b"", b"a", b"bc" * 100, partition_id="shardId-0000000000")
        wire.put_data(name, b"\x00\xff" * 500, partition_id="1", partition_key="keys are not counted")
        # One request, two partitions.
        ok(
            wire.put(
                name,
                [{"data": b64(b"123"), "partition_id": "0"}, {"data": b64(b"4567"), "partition_id": "1"}],
            )
        )
        first = wire.read_all(name, "0")
        assert len(first) == 4
        wire.read_all(name, "0", "limit=1")
        counted = totals(wire, name)
        latency = {label: counted.pop(label) for label in LATENCY}
        put_bytes = 201 + 1000 + 7
        got = 2 * (201 + 3)
        # 2 requests for the first reading (one page, one empty), 5 for the second.
        assert counted == {
            "total_put_bytes_per_stream": put_bytes,
            "total_get_bytes_per_stream": got,
            "total_put_records_per_stream": 6,
            "total_get_records_per_stream": 8,
            "total_put_req_suc_per_stream": 3,
            "total_get_req_suc_per_stream": 7,
            "traffic_control_put": 0,
            "traffic_control_get": 0,
        }
        assert all(value >= 1 for value in latency.values())
        assert totals(wire, name, "0") == partition_totals(204, got, 4, 8)
        assert totals(wire, name, "shardId-0000000001") == partition_totals(1004, 0, 2, 0)
        assert totals(wire, name, "2") == partition_totals(0, 0, 0, 0)

    def test_equal_what_was_put_and_read_as_protobuf(self, wire: Wire, name: str) -> None:
        done(wire.create(name, 1), 201)
        records = [PbRecord(b"x" * size, partition_key="k") for size in (0, 10, 2000)]
        reply = wire.call("POST", "/records", content=put_request(name, records), headers=PROTOBUF)
        assert put_result(reply.content).failed == 0
        page = wire.call(
            "GET",
            "/records",
            f"partition-cursor={wire.cursor(name, cursor_type='TRIM_HORIZON')}",
            headers=PROTOBUF,
        )
        assert len(get_result(page.content).records) == 3
        assert totals(wire, name, "0") == partition_totals(2010, 2010, 3, 3)

    def test_what_is_read_in_parts(self, wire: Wire, name: str) -> None:
        done(wire.create(name, 1), 201)
        wire.put_data(name, *[bytes([65 + i]) * (10 * (i + 1)) for i in range(6)])
        page, _ = page_of(wire.get(wire.cursor(name, cursor_type="TRIM_HORIZON"), "max_fetch_bytes=65"))
        assert [len(record.data) for record in page] == [10, 20, 30]
        page, _ = page_of(
            wire.get(
                wire.cursor(name, cursor_type="AT_SEQUENCE_NUMBER", starting_sequence_number="2"), "limit=2"
            )
        )
        assert [len(record.data) for record in page] == [30, 40]
        assert totals(wire, name, "0") == partition_totals(210, 130, 6, 5)

    def test_records_refused_are_not_counted_as_stored(self, wire: Wire, name: str) -> None:
        done(wire.create(name, 1), 201)
        reply = ok(wire.put(name, [{"data": b64(b"yes")}, {"data": b64(b"no"), "partition_id": "9"}]))
        assert reply["failed_record_count"] == 1
        ok(wire.put(name, [{"data": b64(b"no"), "partition_id": "9"}]))
        refused(wire.put(name, [{"data": "?"}]), "DIS.4300")
        counted = totals(wire, name)
        assert counted["total_put_bytes_per_stream"] == 3
        assert counted["total_put_records_per_stream"] == 1
        assert counted["total_put_req_suc_per_stream"] == 1

    def test_traffic_control_is_counted_and_an_event(self, wire: Wire, name: str) -> None:
        """A COMMON partition takes 1,000 records a second."""
        done(wire.create(name, 1), 201)
        body = [{"data": b64(b"x")}] * 1200
        replies = [ok(wire.put(name, body))["failed_record_count"] for _ in range(3)]
        assert replies[0] == 200
        counted = totals(wire, name)
        assert counted["traffic_control_put"] == sum(failed > 0 for failed in replies)
        assert counted["total_put_records_per_stream"] == 3600 - sum(replies)
        assert counted["total_put_req_suc_per_stream"] == sum(failed < 1200 for failed in replies)
        events = ok(wire.call("GET", "/events", f"stream_name={name}&kind=traffic_limited"))
        assert events["count"] == 1

    def test_traffic_control_of_reading_is_counted(self, wire: Wire, name: str) -> None:
        """A COMMON partition gives 2 MB a second."""
        done(wire.create(name, 1, stream_type="ADVANCED"), 201)
        for _ in range(4):
            ok(wire.put(name, [{"data": b64(b"x" * 1_000_000)}]))
        cursor = wire.cursor(name, cursor_type="TRIM_HORIZON")
        statuses = [wire.get(cursor).status_code for _ in range(12)]
        counted = totals(wire, name)
        assert counted["traffic_control_get"] == statuses.count(400)
        assert counted["total_get_req_suc_per_stream"] == statuses.count(200)
        assert counted["total_get_bytes_per_stream"] == 1_000_000 * counted["total_get_records_per_stream"]

    def test_a_stream_made_again_begins_at_0(self, wire: Wire, name: str) -> None:
        done(wire.create(name, 1), 201)
        wire.put_data(name, b"old")
        assert totals(wire, name)["total_put_bytes_per_stream"] == 3
        done(wire.delete(name), 204)
        done(wire.create(name, 1), 201)
        assert totals(wire, name)["total_put_bytes_per_stream"] == 0
        wire.put_data(name, b"newer")
        assert totals(wire, name)["total_put_bytes_per_stream"] == 5

    def test_by_the_streams_id(self, wire: Wire, name: str) -> None:
        done(wire.create(name, 1), 201)
        wire.put_data(name, b"abc")
        stream_id = ok(wire.describe(name))["stream_id"]
        assert totals(wire, stream_id)["total_put_bytes_per_stream"] == 3

    def test_a_partition_that_can_be_written_no_more(self, wire: Wire, name: str) -> None:
        done(wire.create(name, 2), 201)
        wire.put_data(name, b"abc", partition_id="1")
        scaled = wire.call("PUT", f"/streams/{name}", body={"stream_name": name, "target_partition_count": 1})
        assert scaled.status_code == 200, scaled.text
        assert totals(wire, name, "1") == partition_totals(3, 0, 1, 0)

    def test_survive_a_stop_and_a_kill(self, server: Server, wire: Wire, name: str) -> None:
        done(wire.create(name, 2), 201)
        wire.put_data(name, b"12345", partition_id="1")
        wire.read_all(name, "1")
        before = totals(wire, name), totals(wire, name, "1")
        server.restart()
        with Wire.to(server) as again:
            assert (totals(again, name), totals(again, name, "1")) == before
            again.put_data(name, b"67", partition_id="1")
            assert totals(again, name)["total_put_bytes_per_stream"] == 7
            _written(server, ok(again.describe(name))["stream_id"], 7)
        server.restart(kill=True)
        with Wire.to(server) as again:
            assert totals(again, name, "1") == partition_totals(7, 5, 2, 1)
        wire.token = server.token()


def _written(server: Server, stream_id: str, size: int) -> None:
    """Wait until the file says that so many bytes were put."""
    query = "SELECT document FROM metric_blocks WHERE stream_id = ? AND partition_number = -1"
    deadline = time.monotonic() + 30
    found = -1
    while time.monotonic() < deadline:
        with contextlib.closing(
            sqlite3.connect(f"file:{server.data / 'catalog.db'}?mode=ro", uri=True)
        ) as file:
            rows = [json.loads(document)["minutes"] for (document,) in file.execute(query, (stream_id,))]
        found = sum(point[0] for minutes in rows for point in minutes.values())
        if found == size:
            return
        time.sleep(0.1)
    raise AssertionError(f"{found} bytes written instead of {size}")
