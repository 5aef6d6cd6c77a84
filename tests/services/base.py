"""What all services share: ports, starting in the background, waiting until they answer, killing, pausing and stopping by pid. Knows no
service.

    class Redis(Service):
        def start_all(self) -> None:
            self.run("redis", ["redis-server", "--port", str(self.port("http"))])
            self.wait("redis", lambda: ping(self.port("http")))

After `kill(name)` or `stop()`, `start()` brings back what is not running, on the same ports with the same data.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

START_SECONDS = 90.0


class Service:
    """One server, which may be several processes, with its data, logs and ports in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self.directory}: {', '.join(self._processes) or 'not running'}>"

    def start_all(self) -> None:
        """Install what is missing, start what is not `running`, return when it really answers."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self.start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start what is not running."""
        return self.__enter__()

    def stop(self) -> None:
        """End everything that was started here, politely and then not."""
        for name in list(self._processes):
            self.resume(name)
            self._processes[name].terminate()
        until = time.monotonic() + 20
        for name in list(self._processes):
            process = self._processes.pop(name)
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # For start_all

    def port(self, name: str) -> int:
        """A free port of 127.0.0.1 that stays this service's: below the ephemeral range, so that no outgoing connection takes it
        while the server is down."""
        file = self.directory / "ports.json"
        ports: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        if name in ports:
            return ports[name]
        while name not in ports:
            number = random.randrange(20100, 32000)
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", number))
                ports[name] = number
        file.write_text(json.dumps(ports))
        return ports[name]

    def running(self, name: str) -> bool:
        """Whether that process was started here and lives."""
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def run(
        self, name: str, command: Sequence[str | Path], environment: dict[str, str] | None = None
    ) -> None:
        """Start a process that is not running; its output goes to `name.log`."""
        if self.running(name):
            return
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=self.directory,
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, name: str, answers: Callable[[], object], seconds: float = START_SECONDS) -> None:
        """Until `answers` raises nothing and is not False; the process dying or time running out is an error with its log."""
        until = time.monotonic() + seconds
        while True:
            failure: object
            try:
                if answers() is not False:
                    return
                failure = "not yet"
            except Exception as error:
                failure = error
            dead = not self.running(name)
            if dead or time.monotonic() > until:
                log = (self.directory / f"{name}.log").read_text(errors="replace")[-3000:]
                state = "died" if dead else f"did not answer within {seconds:g} s"
                raise RuntimeError(f"{type(self).__name__} {name} {state} ({failure}):\n{log}")
            time.sleep(0.2)

    # For tests

    def kill(self, name: str) -> None:
        """As kill -9."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def pause(self, name: str) -> None:
        """It stays, and does nothing any more: SIGSTOP for the whole process group."""
        os.killpg(self._processes[name].pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Undo `pause`."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._processes[name].pid, signal.SIGCONT)
