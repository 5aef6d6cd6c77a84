"""R16, resharding under load: a stream is scaled up and down while it is written, read and killed.

`python -m tests.faults.resharding --kills 50`: eight writers put records by key, by hash key, by partition and by turns, eight
readers follow the partitions, the number of partitions goes up and down between 1 and 50, and the server is killed again and
again. Every acknowledged record must be read exactly once from ACTIVE and DELETED partitions, and in every description the
ranges of the ACTIVE partitions cover the space without gap or overlap.

Owns the load, the scaling and the comparison. Speaks to the server over the wire only.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from tests.faults import kill_audit
from tests.faults.kill_audit import digest
from tests.support.server import Server
from tests.support.wire import HASH_MAX, Json, Wire, b64, page_of

STREAM = "resharding"
WRITERS = READERS = 8
MOST = 50
_RANGE = re.compile(r"\[(-?\d+) : (-?\d+)\]")
_LOOK_SECONDS = 0.1
"""How often a reader looks for new partitions."""

Sent = tuple[str | None, bytes]
"""Key and data of a record."""


@dataclass
class Findings(kill_audit.Findings):
    """What is wrong; all zero after a clean run."""

    uncovered: int = 0
    miscounted: int = 0

    @property
    def violations(self) -> int:
        return super().violations + self.uncovered + self.miscounted


@dataclass
class Report:
    """What a run did and found."""

    kills: int = 0
    acknowledged: int = 0
    refused: int = 0
    records_read: int = 0
    scalings: int = 0
    descriptions: int = 0
    partitions: int = 0
    seconds: float = 0.0
    restarts: list[float] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)


class Knowledge:
    """What was acknowledged and what was read, by all threads."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.acknowledged: dict[tuple[int, int], bytes] = {}
        self.unsure: set[bytes] = set()
        self.read: dict[tuple[int, int], bytes] = {}
        self.positions: dict[int, int] = {}
        """The next sequence number to read of each partition."""
        self._seen: set[bytes] = set()
        self._lock = threading.Lock()

    def acknowledge(self, rows: Iterable[tuple[int, int, bytes]]) -> None:
        with self._lock:
            for partition, sequence, one in rows:
                if (partition, sequence) in self.acknowledged:
                    self.report.findings.add("duplicated", f"partition {partition} gave {sequence} twice")
                self.acknowledged[partition, sequence] = one
                self.report.acknowledged += 1

    def doubt(self, digests: Iterable[bytes]) -> None:
        with self._lock:
            self.unsure.update(digests)

    def take(self, partition: int, sequence: int, one: bytes) -> None:
        """A record that was read."""
        with self._lock:
            findings = self.report.findings
            expected = self.positions.get(partition, 0)
            where = f"partition {partition} sequence number {sequence}"
            if sequence > expected:
                findings.add("gaps", f"{where} where {expected} was next", sequence - expected)
            elif sequence < expected:
                findings.add("duplicated", f"{where} was read twice")
            if one in self._seen:
                findings.add("duplicated", f"{where} holds a record that was read elsewhere")
            self._seen.add(one)
            self.positions[partition] = sequence + 1
            self.read[partition, sequence] = one
            self.report.records_read += 1

    def compare(self) -> None:
        """Everything acknowledged was read, and nothing that was never sent."""
        findings = self.report.findings
        for place, one in self.acknowledged.items():
            found = self.read.get(place)
            if found is None:
                findings.add("lost", f"partition {place[0]} sequence number {place[1]}")
            elif found != one:
                findings.add("changed", f"partition {place[0]} sequence number {place[1]}")
        for place, one in self.read.items():
            if place not in self.acknowledged and one not in self.unsure:
                findings.add("invented", f"partition {place[0]} sequence number {place[1]}")


def answered(reply: httpx.Response) -> httpx.Response:
    """A reply that must have gone well, or come from a server that is going: whether the call was carried out is not known
    then."""
    if reply.status_code == 503 or "DIS.5000" in reply.text:
        raise httpx.ReadError(f"the server is going: {reply.text[:300]}")
    assert reply.status_code == 200, f"{reply.status_code} {reply.text[:300]}"
    return reply


def look(wire: Wire, report: Report) -> Json:
    """Describe the stream and check what must always hold."""
    shown: Json = answered(wire.describe(STREAM, "limit_partitions=1000")).json()
    report.descriptions += 1
    check_ranges(shown, report.findings)
    return shown


def check_ranges(shown: Json, findings: Findings) -> None:
    """The ranges of ACTIVE partitions cover the space once, and the counts say how many there are."""
    spans = []
    states = {"ACTIVE": 0, "DELETED": 0}
    for partition in shown["partitions"]:
        match = _RANGE.fullmatch(partition["hash_range"])
        assert match
        span = int(match[1]), int(match[2])
        states[partition["status"]] += 1
        if partition["status"] == "ACTIVE":
            spans.append(span)
        elif span != (-1, -1):
            findings.add("uncovered", f"{partition['partition_id']} is DELETED and has the range {span}")
    following = 0
    for start, end in sorted(spans):
        if start != following or end < start:
            findings.add("uncovered", f"a range begins at {start} where {following} was next")
        following = end + 1
    if following != HASH_MAX + 1:
        findings.add("uncovered", f"the ranges end at {following - 1}")
    counts = shown["writable_partition_count"], shown["readable_partition_count"]
    if counts != (states["ACTIVE"], sum(states.values())):
        findings.add("miscounted", f"{counts} said, {states} shown")


class Worker(threading.Thread):
    """Does one thing again and again until told to stop. A server that is gone because it is being killed ends it; anything
    else that does is kept."""

    def __init__(
        self,
        name: str,
        wire: Wire,
        stop: threading.Event,
        killing: threading.Event,
        work: Callable[[Wire], None],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.failure: BaseException | None = None
        self._wire = wire
        self._halt = stop
        self._killing = killing
        self._work = work

    def run(self) -> None:
        try:
            while not self._halt.is_set():
                self._work(self._wire)
        except BaseException as error:
            if not (isinstance(error, httpx.TransportError) and self._killing.is_set()):
                self.failure = error
        finally:
            self._wire.close()


class Writer:
    """Puts requests of 1 to 40 records, each record once."""

    def __init__(self, number: int, knowledge: Knowledge, seed: int) -> None:
        self._number = number
        self._knowledge = knowledge
        self._random = random.Random(seed)
        self._count = 0

    def __call__(self, wire: Wire) -> None:
        sent: list[Sent] = []
        body: list[Json] = []
        for _ in range(self._random.randrange(1, 41)):
            self._count += 1
            fields, key = self._place()
            data = b"%d %d " % (self._number, self._count) + self._random.randbytes(
                self._random.randrange(100)
            )
            sent.append((key, data))
            body.append({"data": b64(data)} | fields)
        digests = [digest(key, data) for key, data in sent]
        try:
            reply = wire.put(STREAM, body)
            if reply.status_code != 200:  # DIS.5000 of a single record ends no server
                answered(reply)
        except httpx.TransportError:
            self._knowledge.doubt(digests)
            raise
        rows = []
        for entry, one in zip(reply.json()["records"], digests, strict=True):
            if "error_code" not in entry:
                partition = int(entry["partition_id"].removeprefix("shardId-"))
                rows.append((partition, int(entry["sequence_number"]), one))
            elif entry["error_code"] in ("DIS.4302", "DIS.4319"):
                self._knowledge.report.refused += 1  # named a partition that is not writable now: not stored
            else:
                self._knowledge.doubt([one])
        self._knowledge.acknowledge(rows)

    def _place(self) -> tuple[Json, str | None]:
        pick = self._random.random()
        if pick < 0.4:
            key = f"key-{self._random.randrange(500)}"
            return {"partition_key": key}, key
        if pick < 0.6:
            return {"explicit_hash_key": str(self._random.randint(0, HASH_MAX))}, None
        if pick < 0.8:
            return {"partition_id": str(self._random.randrange(MOST))}, None
        return {}, None


class Reader:
    """Follows every partition whose number it has, from where the last one of its kind ended."""

    def __init__(self, number: int, knowledge: Knowledge) -> None:
        self._number = number
        self._knowledge = knowledge

    def __call__(self, wire: Wire) -> None:
        if not self.once(wire):
            time.sleep(_LOOK_SECONDS)

    def once(self, wire: Wire) -> int:
        """Read what there is in each of its partitions; how many records."""
        shown = look(wire, self._knowledge.report)
        count = 0
        for partition in shown["partitions"]:
            number = int(partition["partition_id"].removeprefix("shardId-"))
            if number % READERS != self._number:
                continue
            _, following = _RANGE.fullmatch(partition["sequence_number_range"]).groups()  # type: ignore[union-attr]
            position = self._knowledge.positions.get(number, 0)
            if int(following) > position:
                count += self._follow(wire, number, position)
        return count

    def _follow(self, wire: Wire, number: int, position: int) -> int:
        reply = wire.cursor_reply(
            STREAM, str(number), cursor_type="AT_SEQUENCE_NUMBER", starting_sequence_number=position
        )
        cursor = answered(reply).json()["partition_cursor"]
        count = 0
        while True:
            page, cursor = page_of(answered(wire.get(cursor)))
            if not page:
                return count
            for record in page:
                self._knowledge.take(number, record.sequence, digest(record.key, record.data))
            count += len(page)


class Scaler:
    """Changes the number of partitions, mostly between few and many, and checks each answer."""

    def __init__(self, report: Report, seed: int) -> None:
        self._report = report
        self._random = random.Random(seed)
        self.possible = {1}
        """How many there may be: two numbers while an answer is missing."""

    def __call__(self, wire: Wire) -> None:
        (before,) = self.possible
        target = self._random.choice((1, MOST, self._random.randint(1, MOST)))
        self.possible = {before, target}
        body = {"stream_name": STREAM, "target_partition_count": target}
        answered(wire.call("PUT", f"/streams/{STREAM}", body=body))
        self.possible = {target}
        self._report.scalings += before != target
        self.settle(wire)
        time.sleep(self._random.random() * 0.05)

    def settle(self, wire: Wire) -> None:
        """The stream has as many partitions as it may have, and its log's newest entry says so."""
        shown = look(wire, self._report)
        count = shown["writable_partition_count"]
        logged = shown.get("update_partition_counts", [{"target_partition_count": 1}])
        last = logged[-1]["target_partition_count"]
        if count not in self.possible or last != count:
            self._report.findings.add(
                "miscounted", f"{count} partitions, {self.possible} expected, {last} in the log"
            )
        self.possible = {count}


class Run:
    """One stream, scaled under load and killed `kills` times after `low` to `high` seconds each."""

    def __init__(self, server: Server, *, seed: int, low: float, high: float) -> None:
        self.report = Report()
        self.knowledge = Knowledge(self.report)
        self._server = server
        self._random = random.Random(seed)
        self._low = low
        self._high = high
        self._writers = [
            Writer(number, self.knowledge, self._random.getrandbits(64)) for number in range(WRITERS)
        ]
        self._readers = [Reader(number, self.knowledge) for number in range(READERS)]
        self._scaler = Scaler(self.report, self._random.getrandbits(64))

    def run(self, kills: int, after: Callable[[Report], None] = lambda _: None) -> Report:
        began = time.monotonic()
        self._server.start()
        with Wire.to(self._server) as wire:
            assert wire.create(STREAM, 1).status_code == 201
        for number in range(kills + 1):
            self._round(kill=number < kills)
            after(self.report)
        with Wire.to(self._server) as wire:
            for reader in self._readers:
                while reader.once(wire):
                    pass
            self.report.partitions = len(look(wire, self.report)["partitions"])
        self.knowledge.compare()
        self.report.seconds = time.monotonic() - began
        return self.report

    def _round(self, *, kill: bool) -> None:
        stop, killing = threading.Event(), threading.Event()
        jobs: list[tuple[str, Callable[[Wire], None]]] = [("scaler", self._scaler)]
        jobs += [(f"writer {number}", work) for number, work in enumerate(self._writers)]
        jobs += [(f"reader {number}", work) for number, work in enumerate(self._readers)]
        workers = [Worker(name, Wire.to(self._server), stop, killing, work) for name, work in jobs]
        for worker in workers:
            worker.start()
        time.sleep(self._random.uniform(self._low, self._high))
        if kill:
            killing.set()
            self._server.kill()
            self.report.kills += 1
        stop.set()
        for worker in workers:
            worker.join(60)
            assert not worker.is_alive(), f"{worker.name} hangs"
            if worker.failure is not None:
                raise worker.failure
        if kill:
            self.report.restarts.append(self._server.start())
            with Wire.to(self._server) as wire:
                self._scaler.settle(wire)


def show(report: Report, console: Console) -> None:
    """The figures, as a table."""
    findings = report.findings
    restarts = sorted(report.restarts)
    table = Table(
        title=f"Resharding: {WRITERS} writers, {READERS} readers, 1 to {MOST} partitions, {report.kills} kills"
    )
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in (
        ("changes of the number of partitions", f"{report.scalings:,}"),
        ("partitions ever made", f"{report.partitions:,}"),
        ("descriptions checked", f"{report.descriptions:,}"),
        ("acknowledged records", f"{report.acknowledged:,}"),
        ("refused for the partition they named", f"{report.refused:,}"),
        ("records read", f"{report.records_read:,}"),
        ("acknowledged, lost", f"{findings.lost:,}"),
        ("acknowledged, changed", f"{findings.changed:,}"),
        ("read twice, or sequence numbers given twice", f"{findings.duplicated:,}"),
        ("sequence numbers missing", f"{findings.gaps:,}"),
        ("records never sent", f"{findings.invented:,}"),
        ("ranges with a gap or an overlap", f"{findings.uncovered:,}"),
        ("wrong counts of partitions", f"{findings.miscounted:,}"),
        ("restart until ready, slowest", f"{restarts[-1]:.2f} s" if restarts else "-"),
        ("time", f"{report.seconds:.0f} s"),
    ):
        table.add_row(name, value)
    console.print(table)
    for example in findings.examples:
        console.print(f"[red]{example}[/red]")
    console.print(
        "[red]VIOLATED[/red]"
        if findings.violations
        else "[green]Every acknowledged record was read exactly once, and the ranges always covered the space.[/green]"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.resharding", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--low", type=float, default=0.5, help="earliest kill after a start, seconds")
    parser.add_argument("--high", type=float, default=4.0, help="latest kill")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    parser.add_argument("--seed", type=int, help="repeat a run's choices (its moments differ all the same)")
    parser.add_argument("--data", type=Path, help="where to work; kept afterwards (default: a temporary one)")
    options = parser.parse_args(arguments)
    console = Console()
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    console.print(f"seed {seed}")
    with contextlib.ExitStack() as stack:
        scratch = options.data or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-resharding-"))
        )
        scratch.mkdir(parents=True, exist_ok=True)
        server = Server(scratch / "data", "--limits", "relaxed", "--workers", str(options.workers))
        stack.callback(server.kill)
        run = Run(server, seed=seed, low=options.low, high=options.high)
        report = run.run(
            options.kills,
            lambda r: console.print(
                f"{r.kills} kills, {r.scalings:,} changes, {r.acknowledged:,} acknowledged, "
                f"{r.findings.violations} violations"
            ),
        )
        show(report, console)
    return 1 if report.findings.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
