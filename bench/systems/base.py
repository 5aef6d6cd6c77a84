"""What the runner asks of every system under load.

It must not know how any one of them works.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from bench import machine
from bench.cases import Case
from bench.load.model import Load
from bench.load.tail import Spec, encode
from bench.processes import Died, Server, guarded


class Unsupported(Exception):
    """The system has no such operation, or it would say nothing; the message says why."""


class System(ABC):
    """One system: installed once, started in a directory on a core, loaded from another core."""

    name: str
    label: str
    durable: str
    """Is a record on disk when it is acknowledged? yes, no, or how late."""
    ours: bool = False
    """Penstock, in whatever arrangement: without it there is nothing to measure."""

    server: Server

    @abstractmethod
    def install(self) -> None:
        """Bring what it needs; `Missing` says how to install what cannot be brought."""

    @abstractmethod
    def start(self, directory: Path, server_core: int | None, load_core: int | None) -> None:
        """Start it with its data under `directory`; ready when this returns."""

    @abstractmethod
    def prepare(self, case: Case) -> Any:
        """What the load of `case` needs beforehand, outside the measured time."""

    @abstractmethod
    def load(self, case: Case, prepared: Any, seconds: float) -> Load:
        """Put the load of `case` on it for `seconds`."""

    def verify(self, case: Case, prepared: Any, load: Load) -> None:
        """After the measured time: add to `load.wrong` what does not add up. Nothing, unless overridden."""
        return

    def stop(self) -> None:
        if hasattr(self, "server"):
            self.server.stop()


class Tailers:
    """The consumers of `bench.load.tail` as a child process on the load core."""

    def __init__(self, spec: Spec, core: int | None) -> None:
        with machine.pinned(core):
            self._process = subprocess.Popen(
                guarded([sys.executable, "-m", "bench.load.tail"]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=Path(__file__).parents[2],
            )
        self._limit = spec.seconds + 30
        self._write(encode(spec))
        if spec.ends is None:
            assert self._process.stdout is not None
            self._process.stdout.readline()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Died(f"the consumers ended early\n{self._error()}") from None

    def _error(self) -> str:
        assert self._process.stderr is not None
        self._process.kill()
        return self._process.stderr.read().decode(errors="replace")[-2000:]

    def finish(self, ends: list[int] | None = None) -> Load:
        """Tell following consumers where the stream ends, wait for all, and give their account."""
        if ends is not None:
            self._write(json.dumps(ends) + "\n")
        killer = threading.Timer(self._limit, self._process.kill)
        killer.start()
        try:
            stdout, stderr = self._process.communicate()
        finally:
            killer.cancel()
            self.stop()
        if self._process.returncode or not stdout.strip():
            raise Died(f"the consumers ended with {self._process.returncode}\n{stderr.decode()[-2000:]}")
        found = json.loads(stdout.splitlines()[-1])
        wrong = list(found["wrong"])
        if ends is not None and any(each != sum(ends) for each in found["each"]):
            wrong.append(f"consumers read {found['each']} of {sum(ends)} records")
        return Load(
            records=found["records"],
            requests=found["requests"],
            seconds=found["seconds"],
            p50_ms=found["p50_ms"],
            p99_ms=found["p99_ms"],
            generator_cpu=found["cpu"],
            generator_wall=found["seconds"],
            wrong=wrong,
            notes={"laps": found["laps"]},
        )

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def replay(spec: Spec, core: int | None) -> Load:
    """Consumers that read a finished stream again and again for `spec.seconds`."""
    tailers = Tailers(spec, core)
    try:
        return tailers.finish()
    finally:
        tailers.stop()
