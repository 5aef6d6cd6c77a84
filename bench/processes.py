"""Child processes: started on a core, listening on 127.0.0.1, ended by pid whatever happens.

It must not know what the children are.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import machine


class Died(Exception):
    """A server did not come up, or a load generator failed; the message ends with its log."""


def free_port() -> int:
    """A free port below the ephemeral range, so that no outgoing connection takes it meanwhile."""
    while True:
        port = random.randrange(20_100, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def guarded(argv: Sequence[str]) -> list[str]:
    """The command, told by the kernel to end when this process is killed outright."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *argv] if setpriv else list(argv)


class Server:
    """A server process in its own session: Ctrl-C reaches only the benchmark, which then stops it."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        directory: Path,
        core: int | None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.out = directory / f"{name}.out"
        with self.log.open("wb") as log, self.out.open("wb") as out, machine.pinned(core):
            self._process = subprocess.Popen(
                guarded(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=directory,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait_until(self, answers: Callable[[], bool], seconds: float = 60.0, *, pause: float = 0.05) -> None:
        """Until `answers` is true (an OSError counts as not yet); otherwise stop it and raise `Died`."""
        deadline = time.monotonic() + seconds
        while True:
            if self._process.poll() is not None:
                raise Died(f"{self.name} ended with {self._process.returncode} while starting\n{self.tail()}")
            try:
                if answers():
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                self.stop()
                raise Died(f"{self.name} was not ready in {seconds:.0f} s\n{self.tail()}")
            time.sleep(pause)

    def alive(self) -> bool:
        return self._process.poll() is None

    def tail(self) -> str:
        lines = (self.log.read_text(errors="replace") + self.out.read_text(errors="replace")).splitlines()
        return "\n".join(lines[-20:])

    def stop(self) -> None:
        """SIGTERM, 10 s, SIGKILL; then whatever it left of its session."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._end_session()

    def kill(self) -> None:
        """SIGKILL, to all of its session at once; gone when this returns."""
        self._end_session()
        self._process.wait()

    def _end_session(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


@dataclass(frozen=True, slots=True)
class Ran:
    """A load generator that has ended: what it printed, its wall time and the CPU it used, seconds."""

    stdout: str
    wall: float
    cpu: float


def run(
    argv: Sequence[str], core: int | None, seconds: float, *, cwd: Path | None = None, check: bool = True
) -> Ran:
    """Run a load generator to its end on a core, at most `seconds` + 30."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with machine.pinned(core):
        process = subprocess.Popen(
            guarded(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )
    try:
        stdout, stderr = process.communicate(timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise Died(f"{argv[0]} did not end within {seconds + 30:.0f} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if check and process.returncode:
        raise Died(
            f"{' '.join(argv[:3])} ended with {process.returncode}\n{stdout[-2000:]}\n{stderr[-2000:]}"
        )
    return Ran(stdout, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
