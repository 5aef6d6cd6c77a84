"""Puts at a fixed rate: a cheap open-loop client on raw sockets, run as a process of its own.

`python -m bench.load.paced SPEC` with a `Spec` as JSON, one JSON line out. A request that is due while every connection is
busy waits for one, and its wait counts: a server that stalls does not slow down what is asked of it. The client's own lateness does
not count; it is told apart, in `late_ms`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.processes import run

MARKS = (b'"failed_record_count":0', b'"failed_record_count": 0')
PRIORITY = -10
"""It stands for clients on other machines: what else runs on its core gives way, as far as we may ask for that."""


@dataclass(slots=True)
class Spec:
    """What to send: `requests` is a file of `bench.load.payloads.write_requests`, `rate` in requests a second."""

    port: int
    requests: str
    rate: float
    seconds: float
    connections: int


class Connection:
    """One keep-alive connection with one request outstanding."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.since = 0.0
        self.unsent = memoryview(b"")
        self.reply = bytearray()

    def fileno(self) -> int:
        return self.sock.fileno()

    def begin(self, request: bytes, since: float) -> None:
        self.since = since
        self.unsent = memoryview(request)
        self.reply.clear()
        self.send()

    def send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.unsent = self.unsent[self.sock.send(self.unsent) :]

    def receive(self) -> bool:
        """Take what has arrived; True when the reply is whole."""
        with contextlib.suppress(BlockingIOError):
            got = self.sock.recv(1 << 18)
            if not got:
                raise ConnectionError("the server closed the connection")
            self.reply += got
        end = self.reply.find(b"\r\n\r\n")
        if end < 0:
            return False
        at = self.reply.lower().find(b"content-length:", 0, end)
        length = int(self.reply[at + 15 : self.reply.find(b"\r\n", at)])
        return len(self.reply) >= end + 4 + length


def drive(spec: Spec, requests: list[bytes]) -> dict[str, Any]:
    """Send until the time is over and everything is answered."""
    connections = [Connection(spec.port) for _ in range(spec.connections)]
    free, busy = deque(connections), set[Connection]()
    waiting: deque[float] = deque()
    latencies: list[float] = []
    lateness: list[float] = []
    sent, wrong = 0, ""
    total = round(spec.rate * spec.seconds)
    begun = time.perf_counter()
    while len(latencies) < total:
        now = time.perf_counter()
        while sent + len(waiting) < total and (due := begun + (sent + len(waiting)) / spec.rate) <= now:
            lateness.append(now - due)
            waiting.append(now)
        while waiting and free:
            connection = free.popleft()
            busy.add(connection)
            connection.begin(requests[sent % len(requests)], waiting.popleft())
            sent += 1
        asked = sent + len(waiting)
        pause = 1.0 if asked >= total else max(0.0, begun + asked / spec.rate - time.perf_counter())
        writing = [connection for connection in busy if connection.unsent]
        readable, writable, _ = select.select(busy, writing, [], pause)
        for connection in writable:
            connection.send()
        for connection in readable:
            if connection.receive():
                latencies.append(time.perf_counter() - connection.since)
                busy.discard(connection)
                free.append(connection)
                if not connection.reply.startswith(b"HTTP/1.1 200") or not any(
                    mark in connection.reply for mark in MARKS
                ):
                    wrong = wrong or bytes(connection.reply[:300]).decode(errors="replace")
    for connection in connections:
        connection.sock.close()
    return {
        "seconds": time.perf_counter() - begun,
        "latencies_us": [round(latency * 1e6) for latency in latencies],
        "late_ms": percentile(lateness, 0.99) * 1e3,
        "wrong": wrong,
    }


def percentile(found: list[float], share: float) -> float:
    """Of what was measured, in any order."""
    ordered = sorted(found)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def paced(spec: Spec, core: int | None) -> dict[str, Any]:
    """One run, in a process on that core: see `drive`."""
    argv = [sys.executable, "-m", "bench.load.paced", json.dumps(asdict(spec))]
    ran = run(argv, core, spec.seconds, cwd=Path(__file__).parents[2])
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found | {"idle": max(0.0, 1 - ran.cpu / ran.wall)}


def main() -> None:
    spec = Spec(**json.loads(sys.argv[1]))
    file = Path(spec.requests)
    lengths = [int(line) for line in file.with_name(file.name + ".index").read_text().split()]
    with file.open("rb") as source:
        requests = [source.read(length) for length in lengths]
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        # Where sessions are scheduled against each other, a process's priority counts within its own only: so one of its own.
        os.setsid()
        Path("/proc/self/autogroup").write_text(str(PRIORITY))
    print(json.dumps(drive(spec, requests)), flush=True)


if __name__ == "__main__":
    main()
