"""Scaling over hours and days, over the wire, with the server's own test controls: frequencies, the life of a partition, automatic
scaling from real traffic."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from tests.conftest import StartServer
from tests.support.controls import ON, advance
from tests.support.server import Server
from tests.support.wire import Json, Wire, b64, done, ok, refused

HOUR = 3600
MINUTE = 60
WRITE_BYTES = 10_000


def scale(wire: Wire, name: str, target: int) -> httpx.Response:
    body = {"stream_name": name, "target_partition_count": target}
    return wire.call("PUT", f"/streams/{name}", body=body)


def again(server: Server, wire: Wire) -> None:
    """A token lives for a day: get another."""
    server._tokens.clear()
    wire.token = server.token()


def test_days_of_scaling(start_server: StartServer) -> None:
    """Ten times up and once down within an hour (limits-and-rules.md), DELETED, EXPIRED and back again."""
    server = start_server(env=ON)
    with Wire.to(server) as wire:
        done(wire.create("s", 2), 201)
        wire.put_data("s", b"a", b"b", partition_id="1")
        ok(scale(wire, "s", 1))
        ok(scale(wire, "s", 2))
        assert "allowed again from" in refused(scale(wire, "s", 1), "DIS.4200")
        advance(server, HOUR - 30)
        refused(scale(wire, "s", 1), "DIS.4200")
        advance(server, 31)
        ok(scale(wire, "s", 1))
        for target in range(2, 12):
            ok(scale(wire, "s", target))
        refused(scale(wire, "s", 12), "DIS.4200")
        advance(server, HOUR + 1)
        ok(scale(wire, "s", 12))
        ok(scale(wire, "s", 1))
        advance(server, 23 * HOUR)
        again(server, wire)
        cursor = wire.cursor("s", "1", cursor_type="LATEST")
        ok(wire.get(cursor))
        advance(server, HOUR + 1)
        again(server, wire)
        shown = ok(wire.describe("s"))
        assert [partition["status"] for partition in shown["partitions"]] == ["ACTIVE"] + ["EXPIRED"] * 11
        assert shown["readable_partition_count"] == 1
        refused(wire.cursor_reply("s", "1", cursor_type="TRIM_HORIZON"), "DIS.4319")
        ok(scale(wire, "s", 2))
        revived = ok(wire.describe("s"))["partitions"][1]
        assert (revived["status"], revived["sequence_number_range"]) == ("ACTIVE", "[2 : 2]")
        assert wire.put_data("s", b"c", partition_id="1")[0]["sequence_number"] == "2"


def test_automatic_scaling_from_traffic(start_server: StartServer, tmp_path: Path) -> None:
    """A stream whose writes are throttled grows from 3 to 5 partitions; an idle one shrinks from 5 to 2; both are events."""
    config = tmp_path / "penstock.toml"
    config.write_text(
        "[limits]\ncontrol_requests_per_second = 1000000\n[limits.common]\n"
        f"write_bytes = {WRITE_BYTES}\nwrite_records = 1000\nread_bytes = 100000\n"
    )
    server = start_server("--config", str(config), env=ON)
    with Wire.to(server) as wire:
        done(wire.create("busy", 3, auto_scale_enabled=True, auto_scale_min_partition_count=3), 201)
        done(wire.create("idle", 5, auto_scale_enabled=True), 201)
        done(wire.create("off", 5), 201)
        advance(server, 2 * MINUTE)
        for _ in range(5):  # a slow machine may not fill its first minute
            if fill_a_minute(server, wire, "busy", partitions=3) > 0.85:
                break
        advance(server, 10)
        busy, idle, off = (ok(wire.describe(name)) for name in ("busy", "idle", "off"))
        assert changes(busy) == [(3, 5, True)]
        assert changes(idle) == [(5, 2, True)]
        assert "update_partition_counts" not in off
        assert busy["writable_partition_count"] == 5
        assert idle["readable_partition_count"] == 5
        told = {
            (event["kind"], event["source_name"])
            for event in ok(wire.call("GET", "/events", "limit=100"))["events"]
            if event["kind"] == "auto_scale_ok"
        }
        assert told == {("auto_scale_ok", "busy"), ("auto_scale_ok", "idle")}


def fill_a_minute(server: Server, wire: Wire, name: str, *, partitions: int) -> float:
    """Put more than the stream carries, throughout a minute of the server's; what share of its bandwidth was taken."""
    now = advance(server, 0)
    now = advance(server, MINUTE - now % 60_000 / 1000)
    ends = now // 60_000 * 60_000 + 58_000
    records = [{"data": b64(b"x" * 2000), "partition_id": str(n % partitions)} for n in range(6 * partitions)]
    taken = 0
    while now < ends:
        began = time.monotonic()
        refused_records = ok(wire.put(name, records))["failed_record_count"]
        assert refused_records > 0, "more than a second's worth is throttled"
        taken += len(records) - refused_records
        # A second of the server's time each, however long the request took.
        now = advance(server, max(0.02, 1.01 - (time.monotonic() - began)))
    return taken * 2000 / (partitions * WRITE_BYTES * 60)


def changes(shown: Json) -> list[tuple[int, int, bool]]:
    return [
        (entry["src_partition_count"], entry["target_partition_count"], entry["auto_scale"])
        for entry in shown["update_partition_counts"]
    ]
