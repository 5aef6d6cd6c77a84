"""NATS JetStream, with its default of an fsync every two minutes, and with `sync_interval: always`.

Its load generator is a small Go program on the official client (natsbench/), built once into the cache. A
message is a record, and a window of asynchronous publishes is a request; the partition key is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import machine, processes
from bench.cases import CONSUMERS, FILL, Case
from bench.load.model import Load
from bench.systems.base import System, Unsupported

VERSION = "v2.15.2"
SOURCE = Path(__file__).with_name("natsbench")


class Nats(System):
    def __init__(self, *, always: bool) -> None:
        self.always = always
        self.name = "nats-always" if always else "nats"
        self.label = "NATS JetStream, " + ("sync_interval: always" if always else "default sync (2 min)")
        self.durable = "yes" if always else "2 min late"
        self._filled: dict[int, str] = {}

    def install(self) -> None:
        go = machine.need("go", "install Go (1.26 or newer)")
        root = machine.cache() / f"nats-{VERSION}"
        self.binary = root / "nats-server"
        if not self.binary.exists():
            environment = {**os.environ, "GOBIN": str(root), "GOFLAGS": "-mod=mod"}
            argv = [go, "install", f"github.com/nats-io/nats-server/v2@{VERSION}"]
            subprocess.run(argv, check=True, env=environment, stdout=sys.stderr)
        sources = sorted(SOURCE.iterdir())
        digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
        self.bench = machine.cache() / f"natsbench-{digest}"
        if not self.bench.exists():
            # Built beside and renamed, so that an interrupted build is no program.
            unfinished = self.bench.with_suffix(".part")
            subprocess.run(
                [go, "build", "-o", str(unfinished), "."], check=True, cwd=SOURCE, stdout=sys.stderr
            )
            shutil.move(unfinished, self.bench)

    def start(self, directory: Path, server_core: int | None, load_core: int | None) -> None:
        self.port, self.load_core = processes.free_port(), load_core
        sync = "  sync_interval: always\n" if self.always else ""
        config = directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\nserver_name: "bench"\njetstream {{\n'
            f'  store_dir: "{directory / "data"}"\n  max_file_store: 40GB\n{sync}}}\n'
        )
        self.server = processes.Server(
            self.name, [str(self.binary), "-c", str(config)], directory, server_core
        )
        self.server.wait_until(self._answers)

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 2) as sock, sock.makefile("rwb") as file:
            sock.settimeout(2)
            file.readline()
            file.write(b'CONNECT {"verbose":false}\r\nSUB r 1\r\nPUB $JS.API.INFO r 0\r\n\r\n')
            file.flush()
            while not (line := file.readline()).startswith(b"MSG"):
                if not line or line.startswith(b"-ERR"):
                    return False
            return b'"error"' not in file.readline()

    def _run(self, stream: str, mode: str, seconds: float = 1.0, **options: int) -> dict[str, Any]:
        argv = [
            str(self.bench), "-url", f"nats://127.0.0.1:{self.port}", "-stream", stream, "-mode", mode,
            "-seconds", str(seconds), *(f"-{name}={value}" for name, value in options.items()),
        ]  # fmt: skip
        ran = processes.run(argv, self.load_core, seconds)
        return dict(json.loads(ran.stdout)) if ran.stdout else {}

    def prepare(self, case: Case) -> str:
        if case.kind == "tail":
            raise Unsupported("not measured: its clients follow by push, without requests")
        if case.kind == "put":
            self._run(case.name, "create")
            return case.name
        if case.size not in self._filled:
            stream = f"fill-{case.size}"
            self._run(stream, "create")
            self._run(stream, "put", 2.0, connections=16, records=FILL, size=case.size)
            self._filled[case.size] = stream
        return self._filled[case.size]

    def load(self, case: Case, prepared: str, seconds: float) -> Load:
        if case.kind == "put":
            options = {"connections": case.connections, "records": case.records, "size": case.size}
        else:
            options = {"consumers": CONSUMERS, "records": case.records}
        found = self._run(prepared, case.kind, seconds, **options)
        return Load(
            records=found["records"],
            requests=found["requests"],
            seconds=found["seconds"],
            p50_ms=found["p50_ms"],
            p99_ms=found["p99_ms"],
            generator_cpu=found["cpu"],
            generator_wall=found["seconds"],
            wrong=found["wrong"],
        )

    def verify(self, case: Case, prepared: str, load: Load) -> None:
        if case.kind == "put":
            self._run(prepared, "delete")
