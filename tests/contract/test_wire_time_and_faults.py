"""Refusals that need time, or a disk that fails, over the wire (section 7.1 of the API reference), with the server's own test
controls."""

from __future__ import annotations

import httpx
import pytest
from tests.conftest import StartServer
from tests.support.controls import ON, advance, break_disk, heal_disk
from tests.support.server import Server
from tests.support.wire import Wire, b64, done, ok, refused, refused_entry

HOUR = 3600


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server("--limits", "relaxed", env=ON)


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire.to(server)


def again(server: Server, wire: Wire) -> None:
    """A token lives for a day: get another."""
    server._tokens.clear()
    wire.token = server.token()


def test_a_cursor_expires(server: Server, wire: Wire) -> None:
    """DIS.4225 (5.4.3: "The validity period is 5 minutes"), and no moment earlier."""
    done(wire.create("s1"), 201)
    cursor = wire.cursor("s1", cursor_type="TRIM_HORIZON")
    advance(server, 295)
    ok(wire.get(cursor))
    advance(server, 10)
    refused(wire.get(cursor), "DIS.4225")
    ok(wire.get(wire.cursor("s1", cursor_type="TRIM_HORIZON")))


def test_records_expire_under_a_cursor(server: Server, wire: Wire) -> None:
    """DIS.4226: what the cursor points at is over its retention. DIS.4224 for a new cursor at it."""
    done(wire.create("s1"), 201)
    wire.put_data("s1", *[b"x" * 1000] * 100)
    advance(server, 24 * HOUR - 100)
    again(server, wire)
    cursor = wire.cursor("s1", cursor_type="AT_SEQUENCE_NUMBER", starting_sequence_number=3)
    ok(wire.get(cursor))
    advance(server, 200)
    again(server, wire)
    refused(wire.get(cursor), "DIS.4226")
    refused(wire.cursor_reply("s1", cursor_type="AT_SEQUENCE_NUMBER", starting_sequence_number=3), "DIS.4224")
    assert ok(wire.describe("s1"))["partitions"][0]["sequence_number_range"] == "[100 : 100]"
    assert [entry["sequence_number"] for entry in wire.put_data("s1", b"next")] == ["100"]


def test_a_partition_expires(server: Server, wire: Wire) -> None:
    """DIS.4319: a partition scaled away is readable until its retention has passed (limits-and-rules.md)."""
    done(wire.create("s1", 2), 201)
    wire.put_data("s1", b"kept", partition_id="1")
    ok(wire.call("PUT", "/streams/s1", body={"stream_name": "s1", "target_partition_count": 1}))
    cursor = wire.cursor("s1", "1", cursor_type="TRIM_HORIZON")
    assert [record.data for record in wire.read(cursor)[0]] == [b"kept"]
    advance(server, 24 * HOUR + 60)
    again(server, wire)
    refused(wire.cursor_reply("s1", "1", cursor_type="TRIM_HORIZON"), "DIS.4319")
    described = ok(wire.describe("s1"))
    assert [p["status"] for p in described["partitions"]] == ["ACTIVE", "EXPIRED"]
    assert described["readable_partition_count"] == 1


def test_a_timestamp_older_than_retention(server: Server, wire: Wire) -> None:
    """DIS.4300 with the text the Kafka adapter looks for (clients.md section 5)."""
    done(wire.create("s1"), 201)
    now = advance(server, 0)
    message = refused(
        wire.cursor_reply("s1", cursor_type="AT_TIMESTAMP", timestamp=now - 25 * HOUR * 1000), "DIS.4300"
    )
    assert "timestamp is expired, timestamp should be larger than" in message


def test_a_frozen_stream(wire: Wire) -> None:
    """DIS.4205."""
    done(wire.create("s1"), 201)
    assert wire.call("POST", "/streams/s1/action", body={"action": "freeze"}).status_code < 300
    refused(wire.put("s1", [{"data": b64(b"x")}]), "DIS.4205")
    assert wire.call("POST", "/streams/s1/action", body={"action": "thaw"}).status_code < 300
    wire.put_data("s1", b"x")


def test_a_full_disk(server: Server, wire: Wire) -> None:
    """Per record DIS.4303, which clients retry; nothing acknowledged is lost, and nothing is needed once there is room."""
    done(wire.create("s1"), 201)
    wire.put_data("s1", b"before")
    break_disk(server, "pwritev", "ENOSPC", times=-1)
    reply = ok(wire.put("s1", [{"data": b64(b"no room")}]))
    refused_entry(reply["records"][0], "DIS.4303")
    heal_disk(server)
    wire.put_data("s1", b"after")
    assert [record.data for record in wire.read_all("s1")] == [b"before", b"after"]


def test_a_disk_that_fails(server: Server, wire: Wire) -> None:
    """DIS.5000 a record; the partition is read-only and the server says it is not ready; others go on."""
    done(wire.create("s1", 2), 201)
    wire.put_data("s1", b"before", partition_id="0")
    break_disk(server, "fdatasync", "EIO")
    reply = ok(wire.put("s1", [{"data": b64(b"lost"), "partition_id": "0"}]))
    refused_entry(reply["records"][0], "DIS.5000")
    reply = ok(wire.put("s1", [{"data": b64(b"still"), "partition_id": "0"}]))
    refused_entry(reply["records"][0], "DIS.5000")
    assert httpx.get(f"{server.manage}/readyz", trust_env=False).status_code == 503
    wire.put_data("s1", b"elsewhere", partition_id="1")
    assert wire.read_all("s1")[0].data == b"before"


def test_a_disk_that_cannot_be_read(server: Server, wire: Wire) -> None:
    """DIS.5000 with 500 for the whole request."""
    done(wire.create("s1"), 201)
    wire.put_data("s1", b"x" * 1000)
    server.restart()  # nothing in memory
    again(server, wire)
    cursor = wire.cursor("s1", cursor_type="TRIM_HORIZON")
    break_disk(server, "pread", "EIO", times=-1)
    refused(wire.get(cursor), "DIS.5000", status=500)
    heal_disk(server)
    assert len(wire.read_all("s1")) == 1


def test_what_the_controls_refuse(server: Server) -> None:
    def post(page: str, body: object) -> httpx.Response:
        return httpx.post(f"{server.manage}/test/{page}", json=body, trust_env=False)

    assert post("clock", {"advance_seconds": -1}).status_code == 400
    assert post("clock", {}).status_code == 400
    assert post("faults", {"call": "reboot"}).status_code == 400
    assert httpx.get(f"{server.manage}/test/clock", trust_env=False).json()["now_ms"] > 0


def test_there_are_none_unless_asked_for(start_server: StartServer) -> None:
    server = start_server()
    assert httpx.post(f"{server.manage}/test/clock", json={}, trust_env=False).status_code == 404
