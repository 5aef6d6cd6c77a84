"""Traffic control of one partition (API reference 5.1.1, DIS.4303; reliability plan R17): 2 x overload for 10 s.

What was accepted is counted by the times the server gave the records, so that this machine's pauses do not count.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.conftest import StartServer
from tests.support.server import Server
from tests.support.wire import MIB, Record, Wire, b64, ok, page_of, refused, refused_entry

Make = Callable[..., str]
SECONDS = 10.0
PERIOD = 0.02


class Load:
    """Puts requests of `records` on a fixed beat, whatever becomes of them."""

    def __init__(self, server: Server, stream: str, partition: str, records: list[bytes]) -> None:
        self.sent = self.accepted = 0
        self.codes: dict[str, int] = {}
        self._server = server
        self._body = [{"data": b64(data), "partition_id": partition} for data in records]
        self._stream = stream

    def run(self, period: float, seconds: float) -> None:
        with Wire.to(self._server) as client:
            began = time.monotonic()
            beat = 0
            while (due := beat * period) < seconds:
                time.sleep(max(0.0, began + due - time.monotonic()))
                beat += 1
                reply = ok(client.put(self._stream, self._body))
                self.sent += len(self._body)
                self.accepted += len(self._body) - reply["failed_record_count"]
                for entry in reply["records"]:
                    if "error_code" in entry:
                        refused_entry(entry, "DIS.4303")
                        self.codes[entry["error_code"]] = self.codes.get(entry["error_code"], 0) + 1


def accepted_in(wire: Wire, stream: str, partition: str, seconds: float) -> tuple[int, int, int, int]:
    """Records and bytes accepted in `seconds` from the first on, and the most of each in any one second."""
    stamps = [(record.timestamp, len(record.data)) for record in read_paced(wire, stream, partition)]
    first = stamps[0][0]
    inside = [(stamp, size) for stamp, size in stamps if stamp < first + seconds * 1000]
    most_records = most_bytes = start = size_now = 0
    for end, (stamp, size) in enumerate(stamps):
        size_now += size
        # Stamps are whole milliseconds, taken when the record is written: 15 ms of a second are left out.
        while stamps[start][0] <= stamp - 985:
            size_now -= stamps[start][1]
            start += 1
        most_records = max(most_records, end - start + 1)
        most_bytes = max(most_bytes, size_now)
    return len(inside), sum(size for _, size in inside), most_records, most_bytes


def read_paced(wire: Wire, stream: str, partition: str) -> list[Record]:
    """All records; a read over the partition's own limit waits."""
    cursor = wire.cursor(stream, partition, cursor_type="TRIM_HORIZON")
    records: list[Record] = []
    while True:
        reply = wire.get(cursor)
        if reply.status_code == 400:
            refused(reply, "DIS.4303")
            time.sleep(0.1)
            continue
        page = page_of(reply)
        if not page[0]:
            return records
        records += page[0]
        cursor = page[1]


@pytest.mark.parametrize(
    ("records", "rate"),
    [
        pytest.param([b"x" * 10] * 40, "records", id="twice 1,000 records/s"),
        pytest.param([b"x" * 8192] * 5, "bytes", id="twice 1 MB/s"),
    ],
)
def test_accepts_the_documented_rate_and_no_more(
    server: Server, wire: Wire, make: Make, records: list[bytes], rate: str
) -> None:
    stream = make(partitions=2)
    overload = Load(server, stream, "0", records)
    beside = Load(server, stream, "1", [b"y" * 10] * 10)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(overload.run, PERIOD, SECONDS), pool.submit(beside.run, PERIOD, SECONDS)]
        for job in jobs:
            job.result()
    assert overload.codes.keys() == {"DIS.4303"}
    assert beside.accepted == beside.sent, (
        "a partition at half its limit was throttled because of its neighbour"
    )
    count, size, most_records, most_bytes = accepted_in(wire, stream, "0", SECONDS)
    print(
        f"{rate}: {count} records, {size} bytes in {SECONDS} s; at most {most_records}, {most_bytes} in a second"
    )
    limit, accepted, slack = (1000, count, len(records)) if rate == "records" else (MIB, size, 5 * 8192)
    assert abs(accepted - limit * SECONDS) <= limit * SECONDS * 0.01 + slack
    # A record's time is when it was written, later than when it was let in: on a busy machine by more than what is left out of a second,
    # so that a request of the second before may count in this one.
    assert most_records <= 1000 * 1.005 + len(records)
    assert most_bytes <= MIB * 1.005 + sum(map(len, records))


def test_a_request_is_cut_where_the_second_is_full(wire: Wire, make: Make) -> None:
    """The front of the request is taken, the rest refused: the order survives a client's retry."""
    stream = make()
    reply = ok(wire.put(stream, [{"data": b64(str(number).encode())} for number in range(1500)]))
    assert reply["failed_record_count"] == 500
    codes = [entry.get("error_code") for entry in reply["records"]]
    assert codes == [None] * 1000 + ["DIS.4303"] * 500
    assert [int(record.data) for record in wire.read_all(stream)] == list(range(1000))


def test_advanced_partitions_take_more(wire: Wire, make: Make) -> None:
    """5 MB/s or 2,000 records/s (limits-and-rules.md)."""
    stream = make(stream_type="ADVANCED")
    reply = ok(wire.put(stream, [{"data": b64(b"x")}] * 2500))
    assert reply["failed_record_count"] == 500
    bytes_stream = make(stream_type="ADVANCED")
    assert ok(wire.put(bytes_stream, [{"data": b64(b"x" * MIB)}] * 5))["failed_record_count"] == 0
    assert ok(wire.put(bytes_stream, [{"data": b64(b"x")}]))["failed_record_count"] == 1


def test_reads_are_limited_too(wire: Wire, make: Make) -> None:
    """2 MB/s from a COMMON partition; the whole request is refused, and a later one goes on."""
    stream = make()
    for _ in range(3):
        wire.put_data(stream, b"x" * MIB)
        time.sleep(1.0)
    cursor = wire.cursor(stream, cursor_type="TRIM_HORIZON")
    seen: list[int] = []
    refusals = 0
    deadline = time.monotonic() + 20
    while len(seen) < 3 and time.monotonic() < deadline:
        reply = wire.get(cursor)
        if reply.status_code == 400:
            refused(reply, "DIS.4303")
            refusals += 1
            time.sleep(0.1)
            continue
        page, cursor = page_of(reply)
        seen += [record.sequence for record in page]
    assert seen == [0, 1, 2]
    assert refusals > 0


def test_control_requests_are_limited_by_project(start_server: StartServer) -> None:
    """DIS.4305: 100 a second; records go through meanwhile."""
    server = start_server()
    with Wire.to(server) as client:
        client.create("s")
        stop = threading.Event()
        replies = []

        def hammer() -> None:
            with Wire.to(server) as other:
                while not stop.is_set():
                    replies.append(other.call("GET", "/streams"))

        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(hammer)
            for _ in range(20):
                ok(client.put("s", [{"data": b64(b"a")}]))
                time.sleep(0.05)
            stop.set()
            job.result()
    refusals = [reply for reply in replies if reply.status_code != 200]
    assert refusals, f"{len(replies)} control requests in a second, none refused"
    for reply in refusals:
        refused(reply, "DIS.4305")


def test_relaxed_lifts_rates(relaxed_wire: Wire) -> None:
    relaxed_wire.create("fast", 60)
    records = [{"data": b64(b"x" * 300), "partition_id": "0"}] * 20_000
    assert ok(relaxed_wire.put("fast", records))["failed_record_count"] == 0
    for _ in range(4):
        assert ok(relaxed_wire.put("fast", [{"data": b64(b"x" * MIB)}]))["failed_record_count"] == 0
