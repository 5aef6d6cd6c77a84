"""A real server for tests: `penstock serve` in a process of its own, on a free port, with its data in a directory.

Owns starting, stopping, killing and finding out what a client must know. Uses the public command line only.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from tests.support import recording

from penstock import codec

READY = "penstock ready on "
START_SECONDS = 60.0
STOP_SECONDS = 15.0


class StartFailed(AssertionError):
    """The server did not come up; the message holds its exit code and the end of its standard error."""


class Server:
    """`penstock serve --data DATA --listen 127.0.0.1:0 ARGS`. A restart keeps the port and the data.

    with Server(tmp_path / "data", "--limits", "relaxed") as server:
        httpx.get(f"{server.endpoint}/v3")
    """

    def __init__(self, data: Path, *args: str, env: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.args = list(args)
        self.env = dict(env or {})
        self.log = data.with_name(f"{data.name}.stderr")
        """Standard error of every start, one after the other."""
        self.endpoint = ""
        """http://127.0.0.1:PORT, known from the first start on."""
        self._process: subprocess.Popen[str] | None = None
        self._log_from = 0
        self._tokens: dict[str, str] = {}

    # Running

    def start(self, timeout: float = START_SECONDS) -> float:
        """Starts it and waits until it accepts connections. Returns how many seconds that took."""
        assert self._process is None, "already running"
        listen = self.endpoint.partition("://")[2] or "127.0.0.1:0"
        given = [] if "--listen" in self.args else ["--listen", listen]
        command = [sys.executable, "-m", "penstock", "serve", "--data", str(self.data), *given, *self.args]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
        if chosen := os.environ.get(codec.VARIABLE):
            inherited[codec.VARIABLE] = chosen
        inherited |= recording.environment()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env=inherited | self.env,
            )
        stdout = self._process.stdout
        assert stdout is not None
        while (left := began + timeout - time.monotonic()) > 0:
            if not select.select([stdout], [], [], min(left, 0.5))[0]:
                continue
            line = stdout.readline()
            if line.startswith(READY):
                self.endpoint = line.removeprefix(READY).strip()
                return time.monotonic() - began
            if not line:
                break
        status = self.kill()
        raise StartFailed(f"penstock serve did not come up (exit code {status}):\n{self.log_tail()}")

    def kill(self) -> int:
        """SIGKILL to the whole process group, like a power cut of the process."""
        return self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        return self._end(signal.SIGTERM)

    def restart(self, *, kill: bool = False) -> float:
        """Stops it (or kills it) and starts it again on the same port and data."""
        status = self._end(signal.SIGKILL if kill else signal.SIGTERM)
        assert kill or status == 0, f"exit code {status} after SIGTERM:\n{self.log_tail()}"
        return self.start()

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Waits for it to end by itself; the exit code."""
        assert self._process is not None, "not running"
        self._process.wait(timeout)
        return self._end(signal.SIGKILL)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not running"
        return self._process.pid

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            # SIGTERM is for the server itself, which tells its own; a kill is for all of them at once.
            os.killpg(process.pid, number) if number == signal.SIGKILL else process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(
                f"not gone {STOP_SECONDS:g} s after {number.name}:\n{self.log_tail()}"
            ) from None
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(f"--- end of the server's standard error ({self.log}):\n{self.log_tail()}", file=sys.stderr)
        self.kill()

    # What a client must know

    @property
    def stderr(self) -> str:
        """Standard error since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.stderr.splitlines()[-lines:])

    def events(self, name: str) -> list[dict[str, object]]:
        """Log entries of this start whose event is `name`."""
        found = []
        for line in self.stderr.splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == name:
                    found.append(entry)
        return found

    @property
    def manage(self) -> str:
        """The management listener, http://127.0.0.1:PORT."""
        entries = self.events("management ready")
        assert entries, f"no `management ready` in the log:\n{self.log_tail()}"
        return str(entries[-1]["url"])

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    @property
    def credentials_file(self) -> Path:
        return self.data / "credentials.csv"

    @property
    def credentials(self) -> dict[str, str]:
        """The row of credentials.csv, by its header."""
        with self.credentials_file.open(newline="") as file:
            return next(csv.DictReader(file))

    @property
    def ak(self) -> str:
        return self.credentials["Access Key Id"]

    @property
    def sk(self) -> str:
        return self.credentials["Secret Access Key"]

    @property
    def user(self) -> str:
        return self.credentials["User Name"]

    @property
    def password(self) -> str:
        return self.credentials["Password"]

    @property
    def account(self) -> str:
        return self.credentials["Account Name"]

    @property
    def project(self) -> str:
        return self.credentials["Project Name"]

    @property
    def project_id(self) -> str:
        return self.credentials["Project Id"]

    def token(self) -> str:
        """A token for the project; asked for once a start."""
        key = f"{self.endpoint} {self._log_from}"
        if key not in self._tokens:
            user = {"name": self.user, "password": self.password, "domain": {"name": self.account}}
            identity = {"methods": ["password"], "password": {"user": user}}
            body = {"auth": {"identity": identity, "scope": {"project": {"id": self.project_id}}}}
            reply = httpx.post(f"{self.endpoint}/v3/auth/tokens", json=body, timeout=30, trust_env=False)
            assert reply.status_code == 201, f"{reply.status_code} {reply.text}\n{self.log_tail()}"
            self._tokens[key] = reply.headers["X-Subject-Token"]
        return self._tokens[key]

    def __repr__(self) -> str:
        return f"<Server {self.endpoint or 'not started'} {' '.join(self.args)} data {self.data}>"
