"""The Carbon writer while it runs: a child process in Java that makes files of typed columns. Owns that process, its start, its end
and the wire (described in jvm/carbon-writer, Main.java and Columns.java); knows no Arrow and no task, and leaves building to
`dump.carbon_build`.

One per dump process, made at first use: a JVM takes seconds to start. It ends when nobody has used it for IDLE_SECONDS, and with its
parent. One request at a time; whoever comes meanwhile waits.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import struct
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import IO, NamedTuple

import structlog

from penstock.dump import carbon_build
from penstock.dump.base import READ_BYTES, Body, NotDelivered
from penstock.errors import invalid
from penstock.model.tasks import AnyDescriptor, FileType, MrsDescriptor, ObsDescriptor

log = structlog.get_logger("penstock.dump")

HEAP = "1g"
"""Most memory for the JVM's objects; it takes what it needs. A round of 300 MB fits."""
IDLE_SECONDS = 300.0
REQUEST_SECONDS = 300.0
"""A helper that takes longer hangs, and is killed."""
STDERR_LINES = 40
_FLAGS = (
    f"-Xmx{HEAP}",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-Duser.timezone=UTC",
    "-Dfile.encoding=UTF-8",
    # The library is of the time before modules.
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
)
_MAIN = "penstock.carbon.Main"
_HEAD = struct.Struct(">ci")
_MAKE, _ROWS, _END, _READ, _TEXT, _DONE, _FAILED = b"M", b"R", b"E", b"V", b"T", b"O", b"X"


class ColumnType(IntEnum):
    """Types of columns as they are sent (Columns.java)."""

    BOOLEAN = 1
    INT = 2
    LONG = 3
    FLOAT = 4
    DOUBLE = 5
    DATE = 6
    TIMESTAMP = 7
    DECIMAL = 8
    TEXT = 9
    BINARY = 10


class Column(NamedTuple):
    """A column of a file. `precision` and `scale` are those of DECIMAL."""

    name: str
    type: ColumnType
    precision: int = 0
    scale: int = 0


class Made(NamedTuple):
    """A file that was made."""

    name: str
    body: Body


def check_carbon(descriptor: AnyDescriptor, data: Path) -> None:
    """DIS.4200 when a task wants Carbon files and nothing here can make them. Looks for programs, runs none."""
    if not isinstance(descriptor, ObsDescriptor | MrsDescriptor):
        return
    if descriptor.destination_file_type is FileType.CARBON and (lacks := carbon_build.missing(data)):
        kind = descriptor.kind.lower()
        raise invalid(f"{kind}_destination_descriptor.destination_file_type", lacks)


class CarbonHelper:
    """Makes files in the helper; may be used from any thread."""

    def __init__(self, data: Path) -> None:
        self.builder = carbon_build.Builder(data)
        self._lock = threading.Lock()
        self._running: _Process | None = None
        self._idle: threading.Timer | None = None

    def make(self, columns: list[Column], frames: Iterable[bytes]) -> list[Made]:
        """The files of rows, which `frames` has as Columns.java describes them: the data, then the index that names it. Names are always
        the same, and the same rows give the same bytes. NotDelivered."""
        with self._process() as process:
            directory = Path(tempfile.mkdtemp(dir=process.work))
            try:
                process.send(_MAKE, _text(str(directory)) + _columns(columns))
                for frame in frames:
                    process.send(_ROWS, frame)
                process.send(_END, b"")
                _, names = process.answer()
                return [Made(name, _body(directory / name)) for name in names.splitlines()]
            finally:
                shutil.rmtree(directory, ignore_errors=True)

    def read(self, directory: Path) -> list[str]:
        """What a directory of Carbon files holds, read by the library's own reader: lines of JSON, the names of the columns and then
        an array for each row. For tests and for looking."""
        with self._process() as process:
            process.send(_READ, _text(str(directory)))
            lines: list[str] = []
            while True:
                kind, text = process.answer()
                if kind == _DONE:
                    return lines
                lines += text.splitlines()

    def pid(self) -> int | None:
        """Of the helper; None when there is none."""
        return self._running.pid if self._running is not None and self._running.alive else None

    def close(self) -> None:
        """End it. It may be used again, and starts again then."""
        self.builder.close()
        with self._lock:
            self._end()

    @contextlib.contextmanager
    def _process(self) -> Iterator[_Process]:
        """The helper, for one request. What goes wrong with it ends it."""
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            if self._running is not None and not self._running.alive:
                log.warning("carbon writer gone", reason=self._running.last_words())
                self._end()
            if self._running is None:
                self._running = _Process(self.builder.directory())
            process = self._running
            timer = threading.Timer(REQUEST_SECONDS, process.kill)
            timer.daemon = True
            timer.start()
            try:
                process.ready()
                yield process
            except _Refused as refused:
                raise NotDelivered(f"the Carbon writer: {refused}") from None
            except (OSError, EOFError) as error:
                words = process.last_words()
                self._end()
                raise NotDelivered(
                    f"the Carbon writer ended in the middle of its work: {words or error}"
                ) from error
            except BaseException:
                self._end()  # half a request is on the wire
                raise
            finally:
                timer.cancel()
            self._idle = threading.Timer(IDLE_SECONDS, self._end_if_idle)
            self._idle.daemon = True
            self._idle.start()

    def _end_if_idle(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._lock.release()

    def _end(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None


_helpers: dict[Path, CarbonHelper] = {}
_helpers_lock = threading.Lock()


def carbon_helper(data: Path) -> CarbonHelper:
    """The helper of this process. `data` is the server's data directory."""
    with _helpers_lock:
        if data not in _helpers:
            _helpers[data] = CarbonHelper(data)
            atexit.register(_helpers[data].close)
        return _helpers[data]


class _Refused(Exception):
    """The helper lives and says that it cannot do it."""


class _Process:
    """A running helper. Raises OSError and EOFError when it is gone."""

    def __init__(self, built: Path) -> None:
        java = carbon_build.program("java")
        if java is None:
            raise NotDelivered(f"carbon needs Java: {carbon_build.NEEDS}")
        self.work = Path(tempfile.mkdtemp(prefix="penstock-carbon-"))
        options = [*_FLAGS, f"-Djava.io.tmpdir={self.work}"]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [java, *options, "-cp", carbon_build.class_path(built), _MAIN, str(self.work)],
            cwd=self.work,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # ^C is for the server, which still has to deliver
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self._out = self._process.stdin, self._process.stdout
        self._words: deque[str] = deque(maxlen=STDERR_LINES)
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ready(self) -> None:
        """Wait for its first word."""
        if not self._ready:
            self.answer()
            self._ready = True

    def send(self, kind: bytes, body: bytes) -> None:
        self._in.write(_HEAD.pack(kind, len(body)))
        self._in.write(body)

    def answer(self) -> tuple[bytes, str]:
        """The next frame from it."""
        self._in.flush()
        kind, length = _HEAD.unpack(self._exactly(_HEAD.size))
        text = self._exactly(length).decode()
        if kind == _FAILED:
            log.warning("carbon writer failed", trace=text)
            raise _Refused(text.split("\n", 1)[0][:500])
        return kind, text

    def last_words(self) -> str:
        """Why it ended, as far as it said."""
        try:
            ended = f"exit code {self._process.wait(5)}"
        except subprocess.TimeoutExpired:
            return "it has not ended"
        self._listener.join(1)
        said = [line for line in self._words if line and not line.startswith(("\t", " ", "WARN "))]
        return f"{ended}: {said[-1][:500]}" if said else ended

    def kill(self) -> None:
        """It hangs."""
        self._words.append(f"no answer within {REQUEST_SECONDS:g} s, so it was killed")
        self._process.kill()

    def close(self) -> None:
        """End it, politely for a moment."""
        with contextlib.suppress(OSError):
            self._in.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def _exactly(self, length: int) -> bytes:
        data = self._out.read(length)
        if len(data) < length:
            raise EOFError("no answer")
        return data

    def _listen(self, stderr: IO[bytes]) -> None:
        with stderr:
            for line in stderr:
                self._words.append(line.decode(errors="replace").rstrip())


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<i", len(data)) + data


def _columns(columns: list[Column]) -> bytes:
    described = [_text(c.name) + struct.pack("<3B", c.type, c.precision, c.scale) for c in columns]
    return struct.pack("<i", len(columns)) + b"".join(described)


def _body(file: Path) -> Body:
    body = Body()
    with file.open("rb") as data:
        while piece := data.read(READ_BYTES):
            body.write(piece)
    return body
