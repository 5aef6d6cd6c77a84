"""`--workers N`: each worker reads the log by itself, and what it reads is what any other has acknowledged, whatever happens meanwhile."""

from __future__ import annotations

import base64
import http.client
import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from tests.support.server import Server

WORKERS = 3
MIB = 1 << 20


class Connection:
    """One connection to the server, and so one of its workers."""

    def __init__(self, server: Server) -> None:
        self._server = server
        host, _, port = server.endpoint.partition("://")[2].partition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=20)

    def ask(self, method: str, path: str, query: Any = None, content: Any = None) -> tuple[int, Any]:
        """Status and body. Raises OSError, HTTPException."""
        target = f"/v2/{self._server.project_id}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"X-Auth-Token": self._server.token(), "Content-Type": "application/json"}
        self._connection.request(method, target, None if content is None else json.dumps(content), headers)
        reply = self._connection.getresponse()
        body = reply.read()
        return reply.status, json.loads(body) if body else None

    def worker(self) -> int:
        """The process it is connected to."""
        self.ask("GET", "/streams")
        port = self._connection.sock.getsockname()[1]
        for child in psutil.Process(self._server.pid).children():
            if any(each.raddr and each.raddr.port == port for each in child.net_connections("tcp")):
                return child.pid
        raise AssertionError("connected to no worker")

    def create(self, stream: str, partitions: int = 1) -> None:
        status, reply = self.ask(
            "POST", "/streams", content={"stream_name": stream, "partition_count": partitions}
        )
        assert status == 201, reply

    def put(self, stream: str, data: list[bytes], key: str = "k") -> list[tuple[str, int]]:
        """Partition and sequence number of each."""
        records = [{"data": base64.b64encode(one).decode(), "partition_key": key} for one in data]
        status, reply = self.ask("POST", "/records", content={"stream_name": stream, "records": records})
        assert status == 200, reply
        return [(one["partition_id"], int(one["sequence_number"])) for one in reply["records"]]

    def cursor(self, stream: str, partition: str = "0", sequence: int | None = None) -> str:
        query = {"stream-name": stream, "partition-id": partition, "cursor-type": "TRIM_HORIZON"}
        if sequence is not None:
            query |= {"cursor-type": "AT_SEQUENCE_NUMBER", "starting-sequence-number": str(sequence)}
        status, reply = self.ask("GET", "/cursors", query)
        assert status == 200, reply
        return str(reply["partition_cursor"])

    def read(self, cursor: str, limit: int = 10_000) -> tuple[list[tuple[int, bytes]], str]:
        """Sequence numbers and data, and the cursor to go on with."""
        status, reply = self.ask("GET", "/records", {"partition-cursor": cursor, "limit": limit})
        assert status == 200, reply
        found = [(int(one["sequence_number"]), base64.b64decode(one["data"])) for one in reply["records"]]
        return found, reply["next_partition_cursor"]

    def read_all(self, stream: str, partition: str = "0") -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        cursor = self.cursor(stream, partition)
        while True:
            more, cursor = self.read(cursor)
            if not more:
                return found
            found += more

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", "--workers", str(WORKERS), "--limits", "relaxed") as running:
        yield running


def _one_each(server: Server) -> list[Connection]:
    """A connection to each worker."""
    found: dict[int, Connection] = {}
    deadline = time.monotonic() + 30
    while len(found) < WORKERS and time.monotonic() < deadline:
        connection = Connection(server)
        if found.setdefault(connection.worker(), connection) is not connection:
            connection.close()
    assert len(found) == WORKERS
    return list(found.values())


def test_what_one_worker_has_acknowledged_all_read(server: Server) -> None:
    workers = _one_each(server)
    workers[0].create("s")
    cursor = workers[0].cursor("s")
    for number in range(60):
        # Through the message and through shared memory, alone and with others in a frame.
        data = [b"%d-%d." % (number, i) * random.choice([1, 3000]) for i in range(number % 4 + 1)]
        ((_, first), *_) = workers[number % WORKERS].put("s", data)
        expected = list(enumerate(data, first))
        for one in workers:
            assert one.read(cursor)[0] == expected
        cursor = workers[0].read(cursor)[1]
    for one in workers:
        assert one.read(cursor)[0] == []


def test_workers_killed_amid_puts_lose_nothing(server: Server) -> None:
    Connection(server).create("s", partitions=2)
    acknowledged: dict[tuple[str, int], bytes] = {}
    over = threading.Event()

    def text(writer: int, number: int, record: int) -> bytes:
        made = random.Random(f"{writer} {number} {record}")
        return b"%d %d %d " % (writer, number, record) + made.randbytes(made.choice([5, 50, 20_000]))

    def write(writer: int) -> None:
        connection, number = Connection(server), 0
        while not over.is_set():
            number += 1
            data = [text(writer, number, record) for record in range(3)]
            try:
                places = connection.put("s", data, key=str(writer))
            except (OSError, http.client.HTTPException):  # it was that worker's connection
                connection.close()
                connection = Connection(server)
                continue
            acknowledged.update(zip(places, data, strict=True))

    with ThreadPoolExecutor(8) as pool:
        writing = [pool.submit(write, writer) for writer in range(8)]
        try:
            for _ in range(6):
                before = len(acknowledged)
                deadline = time.monotonic() + 30
                while len(acknowledged) < before + 60 and time.monotonic() < deadline:
                    time.sleep(0.02)
                victim = random.choice(psutil.Process(server.pid).children())
                victim.send_signal(signal.SIGKILL)
        finally:
            over.set()
        for done in writing:
            done.result()
    deadline = time.monotonic() + 30
    while len(psutil.Process(server.pid).children()) < WORKERS and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(acknowledged) >= 6 * 60
    for one in _one_each(server):
        stored: dict[tuple[str, int], bytes] = {}
        for partition in ("shardId-0000000000", "shardId-0000000001"):
            found = one.read_all("s", partition)
            assert [number for number, _ in found] == list(range(len(found)))
            stored |= {(partition, number): data for number, data in found}
        assert {place: stored.get(place) for place in acknowledged} == acknowledged
        for data in stored.values():  # also those whose worker died before it could say so
            writer, number, record = map(int, data.split(b" ", 3)[:3])
            assert data == text(writer, number, record)


def test_shared_memory_of_a_dead_worker_is_freed(server: Server) -> None:
    core = psutil.Process(server.pid)

    def shared() -> int:
        return sum("memfd:penstock" in one.path for one in core.memory_maps(grouped=False))

    Connection(server).create("s")
    before = shared()
    assert before == WORKERS + 1, "a tray for each, and the board"
    for _ in range(3):
        victims = core.children()
        victims[0].send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 30
        while victims[0] in core.children() or len(core.children()) < WORKERS:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for one in _one_each(server):
        one.put("s", [b"x" * 100_000])
    assert shared() == before


def test_a_stream_that_is_made_again_is_another(server: Server) -> None:
    workers = _one_each(server)
    for round_ in range(5):
        workers[round_ % WORKERS].create("s")
        data = [b"%d." % round_ * 2000] * 50
        for one in workers:
            one.put("s", data)
        cursors = []
        for one in workers:
            assert one.read_all("s") == list(enumerate(data * WORKERS))
            cursors.append(one.cursor("s", sequence=3))
        status, _ = workers[(round_ + 1) % WORKERS].ask("DELETE", "/streams/s")
        assert status == 204
        for one, cursor in zip(workers, cursors, strict=True):
            status, reply = one.ask("GET", "/records", {"partition-cursor": cursor})
            assert (status, reply["errorCode"]) == (400, "DIS.4301")
        workers[0].create("s")
        for one, cursor in zip(workers, cursors, strict=True):
            status, reply = one.ask("GET", "/records", {"partition-cursor": cursor})
            assert (status, reply["errorCode"]) == (400, "DIS.4217")
            assert one.read_all("s") == []
        assert workers[0].ask("DELETE", "/streams/s")[0] == 204


def test_memory_of_a_worker_does_not_grow_with_what_it_reads(server: Server) -> None:
    first, *_ = _one_each(server)
    first.create("s")
    worker = psutil.Process(first.worker())
    for number in range(60):
        first.put("s", [b"%04d" % number + random.randbytes(1000) for _ in range(2000)])
    before = worker.memory_info().rss
    assert len(first.read_all("s")) == 120_000
    assert worker.memory_info().rss - before < 64 * MIB
