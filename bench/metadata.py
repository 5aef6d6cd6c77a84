"""`python -m bench.metadata`: many streams, apps and checkpoints. How long lists and descriptions take then, how many checkpoints
a second are committed, what they cost the puts, and what all of it takes of memory.

The command line, the load and the table; it must not know how Penstock keeps any of it. Marks: every list and description
under 20 ms (99 of 100), puts slowed by less than 10 % while checkpoints are committed at `--rate`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.cases import Case
from bench.load import payloads
from bench.processes import Died
from bench.systems.penstock import Penstock

MARK_MS = 20.0
MARK_SLOWED = 0.10
STREAMS_OF_AN_APP = 5
PARTITIONS = 2
PUTS = (Case("put-10x200", "put", 10, 200, 32), Case("put-500x200", "put", 500, 200, 16))
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything there is."""

    streams: int
    apps: int
    commits: int
    samples: int
    rounds: int
    seconds: float


FULL = Scale(streams=1_000, apps=10_000, commits=1_000_000, samples=500, rounds=5, seconds=4.0)
QUICK = Scale(streams=100, apps=1_000, commits=20_000, samples=100, rounds=2, seconds=2.0)


@dataclass(slots=True)
class Found:
    """What was measured, for the table and the file."""

    latencies: list[dict[str, Any]] = field(default_factory=list)
    puts: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


# -- requests ------------------------------------------------------------------------------------------


class Connection:
    """One keep-alive connection; one request outstanding."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        return int(head[9:12]), await self._reader.readexactly(length) if length else b""

    def close(self) -> None:
        self._writer.close()


class Api:
    """Requests to one server, as bytes."""

    def __init__(self, system: Penstock) -> None:
        self.port = system.port
        self._base = f"/v2/{system.project}"
        self._headers = {**system.headers, "Content-Type": "application/json"}

    def get(self, path: str) -> bytes:
        return payloads.http_request("GET", self._base + path, self._headers)

    def post(self, path: str, body: object) -> bytes:
        content = json.dumps(body, separators=(",", ":")).encode()
        return payloads.http_request("POST", self._base + path, self._headers, content)

    def commit(self, app: str, stream: str, partition: int) -> bytes:
        """Sequence number 0: nothing was put into the streams that apps read."""
        body = {
            "app_name": app,
            "stream_name": stream,
            "partition_id": str(partition),
            "sequence_number": "0",
            "checkpoint_type": "LAST_READ",
            "metadata": "",
        }
        return self.post("/checkpoints", body)


async def send_all(port: int, requests: Iterator[bytes], expected: int, connections: int) -> int:
    """Send them all, `connections` at a time; how many. Raises Died at the first other status."""
    sent = 0

    async def run() -> None:
        nonlocal sent
        connection = await Connection.open(port)
        try:
            for request in requests:
                status, body = await connection.send(request)
                if status != expected:
                    raise Died(f"{status} instead of {expected}: {body[:300]!r}\n{request[:200]!r}")
                sent += 1
        finally:
            connection.close()

    await asyncio.gather(*(run() for _ in range(connections)))
    return sent


async def paced(port: int, requests: Iterator[bytes], rate: float, until: float) -> int:
    """Send `rate` of them a second, evenly, until that time (of `perf_counter`); how many were answered 201."""
    begun = time.perf_counter()
    turn = itertools.count()
    sent = 0

    async def run() -> None:
        nonlocal sent
        connection = await Connection.open(port)
        try:
            while True:
                at = begun + next(turn) / rate
                if at >= until:
                    return
                if (wait := at - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                status, body = await connection.send(next(requests))
                if status != 201:
                    raise Died(f"commit: {status} {body[:300]!r}")
                sent += 1
        finally:
            connection.close()

    await asyncio.gather(*(run() for _ in range(8)))
    return sent


# -- the world -----------------------------------------------------------------------------------------


class World:
    """The streams and apps that exist, and the commits that are made."""

    def __init__(self, api: Api, scale: Scale) -> None:
        self.api = api
        self.scale = scale
        self.source = random.Random(20_004)
        self.streams = [f"stream-{number:04d}" for number in range(scale.streams)]
        self.apps = [f"app-{number:05d}" for number in range(scale.apps)]
        self.reads = {app: self.source.sample(self.streams, STREAMS_OF_AN_APP) for app in self.apps}

    def checkpoints(self) -> list[tuple[str, str, int]]:
        """Every app, stream and partition that is committed, in no order."""
        found = [
            (app, stream, number)
            for app, streams in self.reads.items()
            for stream in streams
            for number in range(PARTITIONS)
        ]
        self.source.shuffle(found)
        return found

    def commits(self, count: int | None = None) -> Iterator[bytes]:
        """`count` commits, of every checkpoint in turn; without end when None."""
        requests = itertools.cycle(self.checkpoints())
        for app, stream, number in itertools.islice(requests, count):
            yield self.api.commit(app, stream, number)

    async def make(self) -> None:
        streams = (
            self.api.post("/streams", {"stream_name": name, "partition_count": PARTITIONS})
            for name in self.streams
        )
        await send_all(self.api.port, streams, 201, 16)
        apps = (self.api.post("/apps", {"app_name": name}) for name in self.apps)
        await send_all(self.api.port, apps, 201, CONNECTIONS)

    def questions(self) -> list[tuple[str, Callable[[], bytes]]]:
        """What is asked for the latencies: a name and how the next request is made."""
        get, pick = self.api.get, self.source.choice

        def page(names: Sequence[str]) -> str:
            return pick(names[: max(1, len(names) - 100)])

        def state(app: str) -> str:
            return f"/apps/{app}/streams/{pick(self.reads[app])}?checkpoint_type=LAST_READ&limit=1000"

        def checkpoint(app: str) -> str:
            stream = pick(self.reads[app])
            return (
                f"/checkpoints?app_name={app}&stream_name={stream}&partition_id=0&checkpoint_type=LAST_READ"
            )

        return [
            ("list streams, 100", lambda: get(f"/streams?limit=100&start_stream_name={page(self.streams)}")),
            ("describe a stream", lambda: get(f"/streams/{pick(self.streams)}")),
            ("list apps, 100", lambda: get(f"/apps?limit=100&start_app_name={page(self.apps)}")),
            ("list apps of a stream, 100", lambda: get(f"/apps?limit=100&stream_name={pick(self.streams)}")),
            ("show an app", lambda: get(f"/apps/{pick(self.apps)}")),
            ("consumption state", lambda: get(state(pick(self.apps)))),
            ("show a checkpoint", lambda: get(checkpoint(pick(self.apps)))),
        ]


# -- measurements --------------------------------------------------------------------------------------


async def latencies(world: World, samples: int, when: str) -> list[dict[str, Any]]:
    """One request at a time, each question in turn."""
    connection = await Connection.open(world.api.port)
    questions = world.questions()
    times: dict[str, list[float]] = {name: [] for name, _ in questions}
    for _ in range(samples):
        for name, make in questions:
            request = make()
            begun = time.perf_counter()
            status, body = await connection.send(request)
            times[name].append((time.perf_counter() - begun) * 1e3)
            if status != 200:
                raise Died(f"{name}: {status} {body[:300]!r}")
    connection.close()
    rows = []
    for name, found in times.items():
        found.sort()
        p99 = found[min(len(found) - 1, int(len(found) * 0.99))]
        rows.append(
            {
                "what": name,
                "when": when,
                "p50_ms": statistics.median(found),
                "p99_ms": p99,
                "max_ms": found[-1],
            }
        )
    return rows


async def latencies_beside_commits(world: World, rate: float, samples: int) -> list[dict[str, Any]]:
    committing = asyncio.create_task(paced(world.api.port, world.commits(), rate, time.perf_counter() + 3600))
    try:
        return await latencies(world, samples, f"beside {rate:g} commits/s")
    finally:
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)


def put_rates(system: Penstock, world: World, rate: float, scale: Scale, found: Found) -> None:
    """Each put alone and beside commits, by turns: what both share (the disk, the machine) changes for both."""
    for case in PUTS:
        prepared = system.prepare(case)
        rates: dict[bool, list[float]] = {False: [], True: []}
        p99: dict[bool, list[float]] = {False: [], True: []}
        committed = 0
        system.load(case, prepared, 1.0)  # the stream is warm
        for number in range(scale.rounds):
            for beside in (False, True) if number % 2 else (True, False):
                until = time.perf_counter() + scale.seconds
                if beside:
                    load, sent = asyncio.run(_put_beside(system, case, prepared, world, rate, scale.seconds))
                    committed += sent
                else:
                    load = system.load(case, prepared, scale.seconds)
                rates[beside].append(load.rate)
                p99[beside].append(load.p99_ms)
                found.wrong.extend(load.wrong)
                time.sleep(max(0.0, until - time.perf_counter()))
        alone, both = statistics.median(rates[False]), statistics.median(rates[True])
        found.puts.append(
            {
                "case": case.name,
                "alone": alone,
                "beside": both,
                "slowed": 1 - both / alone,
                "alone_p99_ms": statistics.median(p99[False]),
                "beside_p99_ms": statistics.median(p99[True]),
                "commits_per_second": committed / (scale.rounds * scale.seconds),
            }
        )


async def _put_beside(
    system: Penstock, case: Case, prepared: Any, world: World, rate: float, seconds: float
) -> tuple[Any, int]:
    until = time.perf_counter() + seconds
    load, sent = await asyncio.gather(
        asyncio.to_thread(system.load, case, prepared, seconds),
        paced(world.api.port, world.commits(), rate, until),
    )
    return load, sent


def timed(work: Coroutine[Any, Any, Any]) -> float:
    """Run it; seconds."""
    begun = time.perf_counter()
    uvloop.run(work)
    return time.perf_counter() - begun


def measure(system: Penstock, scale: Scale, rate: float, say: Callable[[str], None]) -> Found:
    """Everything, in order; the server runs."""
    found = Found()
    pid = system.server.pid
    found.facts["rss_mb_empty"] = machine.resident_mb(pid)
    world = World(Api(system), scale)
    say(f"making {scale.streams} streams and {scale.apps} apps")
    found.facts["making_seconds"] = timed(world.make())
    found.facts["rss_mb_made"] = machine.resident_mb(pid)
    say(f"{scale.commits} commits of {len(world.checkpoints())} checkpoints")
    cpu = machine.cpu_seconds(pid)
    seconds = timed(send_all(world.api.port, world.commits(scale.commits), 201, CONNECTIONS))
    found.facts["commits_per_second"] = scale.commits / seconds
    found.facts["server_cpu_us_a_commit"] = (machine.cpu_seconds(pid) - cpu) / scale.commits * 1e6
    found.facts["rss_mb_committed"] = machine.resident_mb(pid)
    cpu = machine.cpu_seconds(pid)
    uvloop.run(paced(world.api.port, world.commits(), rate, time.perf_counter() + scale.seconds))
    found.facts["server_cpu_share_at_rate"] = (machine.cpu_seconds(pid) - cpu) / scale.seconds
    say("latencies")
    found.latencies += uvloop.run(latencies(world, scale.samples, "alone"))
    found.latencies += uvloop.run(latencies_beside_commits(world, rate, scale.samples))
    say(f"puts, alone and beside {rate:g} commits a second")
    put_rates(system, world, rate, scale, found)
    found.facts["rss_mb_after_puts"] = machine.resident_mb(pid)
    return found


def restarted(system: Penstock, directory: Path, cores: tuple[int, int], found: Found) -> None:
    """Stop and start on the same data: how long it takes to be ready with all of it."""
    system.server.stop()
    begun = time.perf_counter()
    system.start(directory, *cores)
    found.facts["restart_seconds"] = time.perf_counter() - begun
    found.facts["rss_mb_restarted"] = machine.resident_mb(system.server.pid)
    found.facts["catalog_mb"] = (directory / "data" / "catalog.db").stat().st_size / 1e6


# -- the table -----------------------------------------------------------------------------------------


def show(console: Console, found: Found) -> bool:
    """The table; whether every mark is reached."""
    reached = True
    table = Table(title=f"Latency, ms (mark: p99 under {MARK_MS:g})")
    for column in ("request", "when", "p50", "p99", "max", "mark"):
        table.add_column(column, justify="left" if column in ("request", "when") else "right")
    for row in found.latencies:
        good = row["p99_ms"] < MARK_MS
        reached &= good
        figures = (f"{row[key]:.2f}" for key in ("p50_ms", "p99_ms", "max_ms"))
        table.add_row(row["what"], row["when"], *figures, "yes" if good else "[red]NO[/]")
    console.print(table)
    table = Table(title=f"Records put a second (mark: slowed by less than {MARK_SLOWED:.0%})")
    for column in ("put", "alone", "beside commits", "slowed by", "p99 ms", "beside", "commits/s", "mark"):
        table.add_column(column, justify="left" if column == "put" else "right")
    for row in found.puts:
        good = row["slowed"] < MARK_SLOWED
        reached &= good
        table.add_row(
            row["case"], f"{row['alone']:,.0f}", f"{row['beside']:,.0f}", f"{row['slowed']:.1%}",
            f"{row['alone_p99_ms']:.1f}", f"{row['beside_p99_ms']:.1f}", f"{row['commits_per_second']:,.0f}",
            "yes" if good else "[red]NO[/]",
        )  # fmt: skip
    console.print(table)
    for name, value in found.facts.items():
        console.print(f"{name:24} {value:,.2f}" if isinstance(value, float) else f"{name:24} {value}")
    for problem in found.wrong:
        console.print(f"[red]wrong:[/] {problem}", highlight=False)
    return reached and not found.wrong


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.metadata",
        description="Measure Penstock with many streams, apps and checkpoints.",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, under a minute")
    parser.add_argument("--commits", type=int, help="checkpoints committed before anything is asked")
    parser.add_argument(
        "--rate",
        type=float,
        default=100.0,
        help="commits a second beside puts (default %(default)g: what the documented limits allow a project)",
    )
    parser.add_argument("--data-root", type=Path, help="where the server keeps data, on a real disk")
    parser.add_argument(
        "--results", type=Path, default=Path(__file__).with_name("results"), help="where metadata.json goes"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    asked = arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 150)
    scale = QUICK if asked.quick else FULL
    if asked.commits:
        scale = Scale(**{name: getattr(scale, name) for name in Scale.__slots__} | {"commits": asked.commits})
    cores = machine.cores()
    directory = Path(tempfile.mkdtemp(prefix="metadata-", dir=asked.data_root or machine.cache()))
    os.sched_setaffinity(0, {cores[1]})
    system = Penstock(partitions=1)
    facts = machine.facts(directory)
    try:
        system.install()
        system.start(directory, *cores)
        try:
            found = measure(system, scale, asked.rate, lambda text: console.print(text, style="dim"))
            restarted(system, directory, cores, found)
        finally:
            system.server.stop()
    except (machine.Missing, Died) as error:
        console.print(f"[red]bench.metadata:[/] {error}", highlight=False)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    found.facts |= facts
    reached = show(console, found)
    asked.results.mkdir(parents=True, exist_ok=True)
    file = asked.results / "metadata.json"
    file.write_text(
        json.dumps({"latencies": found.latencies, "puts": found.puts, "facts": found.facts}, indent=1)
    )
    console.print(f"written: {file}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
