"""A real PostgreSQL (`postgres`): scram passwords, fsync on, TCP only; superuser and database `penstock`. Needs the server's programs.

As root the server runs as the system user `postgres`, which must be there, else as the caller.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from tests.services.base import Service
from tests.support import tools

NEEDS = "PostgreSQL's server: apt-get install -y postgresql"
SYSTEM_USER = "postgres"
USER = DATABASE = "penstock"
PASSWORD = "the-Password-of-the-superuser"


class Postgres(Service):
    """`connect` asks it. `settings` are added to its configuration."""

    def __init__(self, directory: Path, settings: dict[str, str] | None = None) -> None:
        super().__init__(directory.resolve())
        self.settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""} | (settings or {})

    @property
    def number(self) -> int:
        """The port."""
        return self.port("postgres")

    def start_all(self) -> None:
        data = self.directory / "data"
        initdb = program("initdb")
        as_user = self._as_user()
        if not (data / "PG_VERSION").exists():
            self._make(data, initdb, as_user)
        self._settle(data / "postmaster.pid")
        settings = [f"-c{name}={value}" for name, value in self.settings.items()]
        server = Path(initdb).with_name("postgres")
        self.run("postgres", [*as_user, server, "-D", data, "-p", str(self.number), *settings])
        self.wait("postgres", self._answers)

    def stop(self) -> None:
        # SIGTERM, which the base sends, would wait for every client.
        if self.running("postgres"):
            self.resume("postgres")
            self._processes["postgres"].send_signal(signal.SIGINT)
        super().stop()

    def pause(self, name: str) -> None:
        """The server and all its connections: the postmaster alone would leave those working."""
        for pid in self._all():
            os.kill(pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        for pid in self._all():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _all(self) -> list[int]:
        """The postmaster and its children, which have process groups of their own."""
        pid = self._processes["postgres"].pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except FileNotFoundError:
            children = []
        return [pid, *map(int, children)]

    def _as_user(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        setpriv = tools.find("setpriv", needs="setpriv: apt-get install -y util-linux")
        command = [setpriv, f"--reuid={SYSTEM_USER}", f"--regid={SYSTEM_USER}", "--init-groups"]
        if subprocess.run([*command, "test", "-x", self.directory], check=False).returncode:
            # Below a directory that is closed to it (pytest's) it needs leave to pass through.
            command += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        return command

    def _make(self, data: Path, initdb: str, as_user: list[str]) -> None:
        password = self.directory / "password"
        data.mkdir(mode=0o700, exist_ok=True)
        password.write_text(PASSWORD)
        if as_user:
            owner = pwd.getpwnam(SYSTEM_USER)
            for path in (data, password):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        options = ["-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8"]
        tools.run([*as_user, initdb, "-D", str(data), "-U", USER, *options], Path("/"))
        password.unlink()

    def _settle(self, file: Path) -> None:
        """A server that was killed can stay among the processes for a moment; its file then bars the next one."""
        until = time.monotonic() + 10
        while not self.running("postgres") and file.exists() and time.monotonic() < until:
            if not Path(f"/proc/{file.read_text().splitlines()[0]}").exists():
                return
            time.sleep(0.1)

    def _answers(self) -> None:
        with self.connect(database="postgres") as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, (DATABASE,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    # For tests

    @contextlib.contextmanager
    def connect(self, database: str = DATABASE) -> Iterator[psycopg.Connection[Any]]:
        """As the superuser, every statement by itself."""
        connection = psycopg.connect(
            host="127.0.0.1",
            port=self.number,
            user=USER,
            password=PASSWORD,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )
        with contextlib.closing(connection):
            yield connection

    def query(self, sql: Any, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of one statement; none of one that has none."""
        with self.connect() as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description is not None else []


def installed() -> bool:
    """Whether there is a server to start."""
    return bool(_programs("initdb")) or shutil.which("initdb") is not None


def program(name: str) -> str:
    """A program of the newest server that is installed."""
    return tools.find(*map(str, _programs(name)), name, needs=NEEDS)


def _programs(name: str) -> list[Path]:
    """Where Debian's packages have it, the newest first."""
    return sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: [int(digits) for digits in re.findall("[0-9]+", str(path))],
        reverse=True,
    )
