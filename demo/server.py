"""A Penstock server of the demo's own, in a process group of its own so that it can be killed like a power cut.

Owns starting, killing and finding the credentials. Uses the public command line only.
"""

from __future__ import annotations

import contextlib
import csv
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

_READY = "penstock ready on "


class ServerError(Exception):
    """The server did not come up; the message holds the end of its log."""


class Credentials(NamedTuple):
    """What the first start wrote into credentials.csv."""

    access_key: str
    secret_key: str
    project_id: str


class Server:
    """`penstock serve` on one data directory; the port stays the same over restarts."""

    def __init__(self, data: Path, log: Path, config: Path | None = None) -> None:
        self.data = data
        self.config = config
        self.log = log
        self.endpoint = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self, timeout: float = 60.0) -> float:
        """Start and wait until it accepts connections. Returns how long that took, in seconds."""
        listen = self.endpoint.removeprefix("http://") or "127.0.0.1:0"
        command = [
            sys.executable, "-m", "penstock", "serve",
            "--data", str(self.data), "--listen", listen, "--limits", "relaxed",
        ]  # fmt: skip
        if self.config is not None:
            command += ["--config", str(self.config)]
        began = time.monotonic()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        self._process = process
        assert process.stdout is not None
        while (left := began + timeout - time.monotonic()) > 0:
            if not select.select([process.stdout], [], [], min(left, 0.5))[0]:
                continue
            line = process.stdout.readline()
            if line.startswith(_READY):
                self.endpoint = line.removeprefix(_READY).strip()
                return time.monotonic() - began
            if not line:
                break
        self.kill()
        tail = self.log.read_text(errors="replace").splitlines()[-20:]
        raise ServerError("the server did not come up; the end of its log:\n" + "\n".join(tail))

    def credentials(self) -> Credentials:
        """The access key that the first start made."""
        with (self.data / "credentials.csv").open(newline="") as handle:
            row = next(csv.DictReader(handle))
        return Credentials(row["Access Key Id"], row["Secret Access Key"], row["Project Id"])

    def kill(self) -> None:
        """SIGKILL the whole process group: nothing gets a chance to finish."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            status = process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return status
