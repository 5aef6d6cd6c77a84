"""Redis Streams with `appendfsync always`: the peer that commits in groups too.

Its own load generator for puts (redis-benchmark, pipelines as batches), the raw-socket consumers for gets.
"""

from __future__ import annotations

import csv
import socket
from pathlib import Path

from bench import machine, processes
from bench.cases import CONSUMERS, FILL, KEYS, Case
from bench.load.model import Load
from bench.load.tail import Spec
from bench.systems.base import System, Unsupported, replay

# Records in about 1 MB, the default fetch of a DIS client.
FETCH_BYTES = 1 << 20


class Redis(System):
    """`redis-server --appendonly yes`, without snapshots or rewrites in the middle of a run."""

    def __init__(self, fsync: str = "always") -> None:
        self.fsync = fsync
        self.name = "redis"
        self.label = f"Redis Streams, appendfsync {fsync}"
        self.durable = {"always": "yes", "everysec": "1 s late", "no": "no"}[fsync]
        self._filled: dict[int, str] = {}

    def install(self) -> None:
        machine.need_debian("redis-server", "redis-server")
        machine.need_debian("redis-benchmark", "redis-tools")

    def start(self, directory: Path, server_core: int | None, load_core: int | None) -> None:
        self.port, self.load_core = processes.free_port(), load_core
        argv = [
            "redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(directory),
            "--daemonize", "no", "--save", "", "--appendonly", "yes", "--appendfsync", self.fsync,
            # A rewrite of the growing file would run beside the load, on the server's one core.
            "--auto-aof-rewrite-percentage", "0",
        ]  # fmt: skip
        self.server = processes.Server(self.name, argv, directory, server_core)
        self.server.wait_until(lambda: self.command("PING") == "+PONG")

    def command(self, *words: str) -> str:
        """One command with a one-line reply."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            parts = [f"*{len(words)}", *(part for word in words for part in (f"${len(word)}", word)), ""]
            sock.sendall("\r\n".join(parts).encode())
            with sock.makefile("r") as file:
                return file.readline().rstrip()

    def length(self, stream: str) -> int:
        return int(self.command("XLEN", stream).removeprefix(":"))

    def prepare(self, case: Case) -> str:
        if case.kind == "put":
            return case.name
        if case.kind == "get":
            stream = self._filled.get(case.size)
            if stream is None:
                stream = f"fill-{case.size}"
                self._put(stream, FILL, case.size, 16, 3.0)
                self._filled[case.size] = stream
            return stream
        raise Unsupported("redis-benchmark cannot be followed to an exact end")

    def load(self, case: Case, prepared: str, seconds: float) -> Load:
        if case.kind == "put":
            return self._put(prepared, case.records, case.size, case.connections, seconds)
        return replay(
            Spec(
                protocol="redis", host="127.0.0.1", port=self.port, stream=prepared, consumers=CONSUMERS,
                seconds=seconds, limit=case.records or FETCH_BYTES // case.size, size=case.size,
                partitions=["0"], ends=[self.length(prepared)],
            ),
            self.load_core,
        )  # fmt: skip

    def verify(self, case: Case, prepared: str, load: Load) -> None:
        if case.kind == "put":
            # Kept from row to row the streams would fill the memory.
            self.command("DEL", prepared)

    def _put(self, stream: str, records: int, size: int, connections: int, seconds: float) -> Load:
        """redis-benchmark counts commands, not seconds: a short run first says how many make `seconds`."""
        before = self.length(stream)
        step = records * connections
        probe = self._benchmark(stream, records, size, connections, max(step * 2, 4_000))
        count = max(round(probe.rate * seconds / step), 2) * step
        middle = self.length(stream)
        load = self._benchmark(stream, records, size, connections, count)
        appended = self.length(stream) - middle
        if appended != load.records or middle - before != probe.records:
            load.wrong.append(f"{load.records} acknowledged, {appended} in the stream")
        load.handled = load.records + probe.records
        return load

    def _benchmark(self, stream: str, records: int, size: int, connections: int, count: int) -> Load:
        argv = [
            "redis-benchmark", "-h", "127.0.0.1", "-p", str(self.port), "-c", str(connections), "-n", str(count),
            "-P", str(records), "-r", str(KEYS), "--csv",
            "XADD", stream, "*", "k", "__rand_int__", "d", "x" * size,
        ]  # fmt: skip
        ran = processes.run(argv, self.load_core, 120)
        row = list(csv.DictReader(ran.stdout[ran.stdout.index('"test"') :].splitlines()))[-1]
        rate = float(row["rps"])
        return Load(
            records=count,
            requests=count // records,
            seconds=count / rate,
            p50_ms=float(row["p50_latency_ms"]),
            p99_ms=float(row["p99_latency_ms"]),
            generator_cpu=ran.cpu,
            generator_wall=ran.wall,
            notes={"max_ms": float(row["max_latency_ms"])},
        )
