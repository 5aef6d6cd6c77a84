"""R1, the kill audit: acknowledged records survive SIGKILL, unchanged, in order, at their sequence numbers.

`python -m tests.faults.kill_audit --kills 500`: four writers put records while the server is killed again and again at
random moments and started on the same data; after every start all partitions are read and compared with what was
acknowledged. Every acknowledgement goes to a ledger in a process of its own before it counts.

Owns the load, the ledger and the comparison. Speaks to the server over the wire only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tests.support.server import Server
from tests.support.wire import MIB, Json, Wire, b64

PARTITIONS = 5
WRITERS = 4
FETCH_BYTES = 8 * MIB
_ROW = struct.Struct(">HHQQ16s")
"""Writer, partition, the writer's own count, sequence number, digest of key and data."""


def digest(key: str | None, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16, key=(key or "").encode()).digest()


# The ledger -------------------------------------------------------------------------------------------------------


class Ledger:
    """A process that writes down what was acknowledged. `write` returns when the pipe has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.kill_audit", "--ledger", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    def write(self, rows: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with self._lock:
            pipe.write(rows)
            pipe.flush()

    def close(self) -> int:
        """Let it finish; how many rows it wrote down."""
        output, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return int(output)

    def rows(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        with self.path.open("rb") as file:
            while row := file.read(_ROW.size):
                yield _ROW.unpack(row)


def keep_ledger(path: Path) -> None:
    """The ledger's process: everything from the pipe into the file, until the pipe closes."""
    size = 0
    with path.open("wb", buffering=0) as file:
        while piece := os.read(sys.stdin.fileno(), 1 << 16):
            file.write(piece)
            size += len(piece)
    assert size % _ROW.size == 0
    print(size // _ROW.size)


# The load ---------------------------------------------------------------------------------------------------------


class Writer(threading.Thread):
    """Puts mixed requests one after the other until told to stop or the server is gone. Each acknowledged record goes
    to the ledger; `unsure` keeps the digests of records whose request got no answer, or an error."""

    def __init__(
        self,
        number: int,
        wire: Wire,
        stream: str,
        ledger: Ledger,
        seed: int,
        unsure: set[bytes],
        counts: list[int],
    ) -> None:
        super().__init__(name=f"writer {number}", daemon=True)
        self.acknowledged = self.bytes = 0
        self.failure: BaseException | None = None
        self._number = number
        self._wire = wire
        self._stream = stream
        self._ledger = ledger
        self._random = random.Random(seed)
        self._unsure = unsure
        self._counts = counts
        """Acknowledged records of every writer since the audit's start: goes on over restarts."""
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._put()
        except httpx.TransportError:
            pass  # the server is gone
        except BaseException as error:
            self.failure = error

    def _put(self) -> None:
        records = list(self._records())
        digests = [digest(key, data) for key, data, _ in records]
        body: list[Json] = []
        for key, data, wanted in records:
            sent: Json = {"data": b64(data)}
            if key is not None:
                sent["partition_key"] = key
            if wanted is not None:
                sent["partition_id"] = wanted
            body.append(sent)
        try:
            reply = self._wire.put(self._stream, body)
            if reply.status_code != 200:
                assert reply.status_code == 503 or "DIS.5000" in reply.text, (
                    f"{reply.status_code} {reply.text[:500]}"
                )
                self._unsure.update(digests)
                self._stopped.wait(0.05)
                return
            answer = reply.json()
        except httpx.TransportError:
            self._unsure.update(digests)
            raise
        rows = bytearray()
        for entry, one, (_, data, _) in zip(answer["records"], digests, records, strict=True):
            if "error_code" in entry:
                self._unsure.add(one)
                continue
            number = int(entry["partition_id"].removeprefix("shardId-"))
            self._counts[self._number] += 1
            count = self._counts[self._number]
            rows += _ROW.pack(self._number, number, count, int(entry["sequence_number"]), one)
            self.bytes += len(data)
        self._ledger.write(bytes(rows))
        self.acknowledged += len(rows) // _ROW.size

    def _records(self) -> Iterator[tuple[str | None, bytes, str | None]]:
        """1 to 500 records of 1 byte to 1 MB: many small, some large, by key, by partition and by turns."""
        pick = self._random
        shape = pick.random()
        if shape < 0.06:
            sizes = [pick.choice((MIB, pick.randrange(1, MIB)))]
        elif shape < 0.40:
            sizes = [pick.randrange(1, 2000)]
        else:
            most = pick.choice((10, 200, 2000))
            sizes = [pick.randrange(1, most) for _ in range(pick.randrange(2, 501))]
        one_partition = pick.random() < 0.3
        fixed = str(pick.randrange(PARTITIONS))
        for size in sizes:
            data = pick.randbytes(size)
            if one_partition:
                yield None, data, fixed
            elif pick.random() < 0.5:
                yield f"key-{pick.randrange(1000)}", data, None
            else:
                yield None, data, None


# The comparison ---------------------------------------------------------------------------------------------------


@dataclass
class Findings:
    """What is wrong; all zero after a clean audit."""

    lost: int = 0
    changed: int = 0
    duplicated: int = 0
    gaps: int = 0
    disordered: int = 0
    invented: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, kind: str, example: str, count: int = 1) -> None:
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.examples) < 20:
            self.examples.append(f"{kind}: {example}")

    @property
    def violations(self) -> int:
        return self.lost + self.changed + self.duplicated + self.gaps + self.disordered + self.invented


class Expectation:
    """What was acknowledged in one stream, from the ledger: digest by partition and sequence number."""

    def __init__(self, findings: Findings) -> None:
        self.by_partition: list[dict[int, bytes]] = [{} for _ in range(PARTITIONS)]
        self.count = 0
        self._findings = findings
        self._last: dict[tuple[int, int], int] = {}

    def take(self, writer: int, partition: int, sequence: int, one: bytes) -> None:
        """One acknowledgement, in the order in which its writer got them."""
        taken = self.by_partition[partition]
        if sequence in taken:
            self._findings.add("duplicated", f"partition {partition} gave {sequence} twice")
        # A writer sends one request after the other: within a partition its numbers can only grow.
        if sequence <= self._last.get((writer, partition), -1):
            self._findings.add(
                "disordered", f"partition {partition}: {sequence} acknowledged after a later one"
            )
        self._last[writer, partition] = sequence
        taken[sequence] = one
        self.count += 1


def compare(
    wire: Wire, stream: str, expected: Expectation, unsure: set[bytes], findings: Findings
) -> tuple[int, int]:
    """Read every partition to its end and compare. Returns records and bytes read."""
    records = size = 0
    for partition in range(PARTITIONS):
        acknowledged = expected.by_partition[partition]
        confirmed = following = 0
        for sequence, key, data in read(wire, stream, partition):
            where = f"partition {partition} sequence number {sequence}"
            if sequence > following:
                findings.add("gaps", f"{where} where {following} was next", sequence - following)
            elif sequence < following:
                findings.add("duplicated", f"{where} was read twice")
            following = sequence + 1
            records += 1
            size += len(data)
            one = digest(key, data)
            wanted = acknowledged.get(sequence)
            if wanted is None:
                if one not in unsure:
                    findings.add("invented", f"{where} was never sent")
            elif wanted != one:
                findings.add("changed", where)
            else:
                confirmed += 1
        missing = [number for number in acknowledged if number >= following]
        if missing:
            findings.add(
                "lost",
                f"partition {partition} ends at {following}, acknowledged {max(missing)}",
                len(missing),
            )
        lost_inside = len(acknowledged) - confirmed - len(missing)
        if lost_inside and not findings.changed and not findings.gaps:
            findings.add("lost", f"partition {partition}", lost_inside)
    return records, size


def read(wire: Wire, stream: str, partition: int) -> Iterator[tuple[int, str | None, bytes]]:
    cursor = wire.cursor(stream, str(partition), cursor_type="TRIM_HORIZON")
    while True:
        page, cursor = wire.read(cursor, f"max_fetch_bytes={FETCH_BYTES}")
        if not page:
            return
        for record in page:
            yield record.sequence, record.key, record.data


# The audit --------------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What an audit did and found."""

    kills: int = 0
    requests_bytes: int = 0
    acknowledged: int = 0
    records_read: int = 0
    bytes_read: int = 0
    restarts: list[float] = field(default_factory=list)
    largest_bytes: int = 0
    seconds: float = 0.0
    findings: Findings = field(default_factory=Findings)


class Audit:
    """Kills one server again and again. `fresh_every` kills a new stream begins, so that reading all of it stays short."""

    def __init__(
        self, server: Server, scratch: Path, *, seed: int, low: float, high: float, fresh_every: int = 10
    ) -> None:
        self.report = Report()
        self._server = server
        self._scratch = scratch
        self._random = random.Random(seed)
        self._low = low
        self._high = high
        self._fresh_every = fresh_every

    def run(self, kills: int, progress: Progress | None = None) -> Report:
        began = time.monotonic()
        task = None if progress is None else progress.add_task("kills", total=kills)
        self._server.start()
        done = 0
        while done < kills:
            for _ in self._stream(f"audit-{done}", min(self._fresh_every, kills - done)):
                done += 1
                self.report.kills += 1
                if progress is not None and task is not None:
                    violations = self.report.findings.violations
                    text = f"{self.report.acknowledged:,} acknowledged, {violations} violations"
                    progress.update(task, completed=done, description=text)
        self.report.seconds = time.monotonic() - began
        return self.report

    def _stream(self, stream: str, kills: int) -> Iterator[None]:
        """Kill `kills` times while writing to one stream; yields after each."""
        report = self.report
        ledger = Ledger(self._scratch / f"{stream}.ledger")
        unsure: set[bytes] = set()
        counts = [0] * WRITERS
        expected = Expectation(report.findings)
        consumed = 0
        with Wire.to(self._server) as wire:
            assert wire.create(stream, PARTITIONS).status_code == 201
        for _ in range(kills):
            acknowledged = self._write_and_kill(stream, ledger, unsure, counts)
            report.acknowledged += acknowledged
            report.restarts.append(self._server.start())
            # The file is behind the pipe by what the ledger has not read yet.
            self._await_rows(ledger, expected.count + acknowledged)
            for number, (writer, partition, _, sequence, one) in enumerate(ledger.rows()):
                if number >= consumed:
                    expected.take(writer, partition, sequence, one)
                    consumed += 1
            with Wire.to(self._server) as wire:
                records, size = compare(wire, stream, expected, unsure, report.findings)
            report.records_read += records
            report.bytes_read += size
            report.largest_bytes = max(report.largest_bytes, size)
            yield
        assert ledger.close() == expected.count
        with Wire.to(self._server) as wire:
            assert wire.delete(stream).status_code == 204

    def _write_and_kill(self, stream: str, ledger: Ledger, unsure: set[bytes], counts: list[int]) -> int:
        """Write for a random while, then SIGKILL. How many records were acknowledged."""
        wires = [Wire.to(self._server) for _ in range(WRITERS)]
        writers = [
            Writer(number, wire, stream, ledger, self._random.getrandbits(64), unsure, counts)
            for number, wire in enumerate(wires)
        ]
        for writer in writers:
            writer.start()
        time.sleep(self._random.uniform(self._low, self._high))
        self._server.kill()
        for writer in writers:
            writer.stop()
        for writer in writers:
            writer.join(30)
            assert not writer.is_alive()
            if writer.failure is not None:
                raise writer.failure
        for wire in wires:
            wire.close()
        self.report.requests_bytes += sum(writer.bytes for writer in writers)
        return sum(writer.acknowledged for writer in writers)

    @staticmethod
    def _await_rows(ledger: Ledger, rows: int) -> None:
        deadline = time.monotonic() + 30
        while ledger.path.stat().st_size < rows * _ROW.size:
            assert time.monotonic() < deadline, "the ledger is behind"
            time.sleep(0.005)


def show(report: Report, console: Console) -> None:
    """The figures, as a table."""
    table = Table(title=f"Kill audit: {report.kills} times SIGKILL under {WRITERS} writers")
    table.add_column("")
    table.add_column("", justify="right")
    restarts = sorted(report.restarts)
    largest = report.largest_bytes / (1 << 30)
    slowest = restarts[-1] if restarts else 0.0
    findings = report.findings
    rows = [
        ("acknowledged records", f"{report.acknowledged:,}"),
        ("acknowledged bytes", f"{report.requests_bytes:,}"),
        ("records read back and compared, all rounds", f"{report.records_read:,}"),
        ("bytes read back", f"{report.bytes_read:,}"),
        ("acknowledged, lost", f"{findings.lost:,}"),
        ("acknowledged, changed", f"{findings.changed:,}"),
        ("sequence numbers duplicated", f"{findings.duplicated:,}"),
        ("sequence numbers missing", f"{findings.gaps:,}"),
        ("acknowledgements out of order in a partition", f"{findings.disordered:,}"),
        ("records never sent", f"{findings.invented:,}"),
        ("restart until ready, median", f"{restarts[len(restarts) // 2]:.2f} s" if restarts else "-"),
        ("restart until ready, slowest", f"{slowest:.2f} s"),
        ("largest stream at a restart", f"{largest:.3f} GiB"),
        ("time", f"{report.seconds:.0f} s"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    for example in findings.examples:
        console.print(f"[red]{example}[/red]")
    verdict = (
        "[red]VIOLATED[/red]"
        if findings.violations
        else "[green]Nothing acknowledged was lost or changed.[/green]"
    )
    console.print(verdict)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill_audit", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument(
        "--low", type=float, default=0.2, help="earliest kill after the writers start, seconds"
    )
    parser.add_argument("--high", type=float, default=5.0, help="latest kill")
    parser.add_argument("--seed", type=int, help="repeat a run's choices (its moments differ all the same)")
    parser.add_argument(
        "--data", type=Path, help="where to work; kept afterwards (default: a temporary directory)"
    )
    parser.add_argument("--ledger", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.ledger is not None:
        keep_ledger(options.ledger)
        return 0
    console = Console()
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    console.print(f"seed {seed}")
    with contextlib.ExitStack() as stack:
        scratch = options.data or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-audit-"))
        )
        scratch.mkdir(parents=True, exist_ok=True)
        server = Server(scratch / "data", "--limits", "relaxed")
        stack.callback(server.kill)
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
            )
        )
        report = Audit(server, scratch, seed=seed, low=options.low, high=options.high).run(
            options.kills, progress
        )
        progress.stop()
        show(report, console)
    return 1 if report.findings.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
