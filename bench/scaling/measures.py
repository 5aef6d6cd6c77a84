"""The growths: more partitions, connections, consumers, retained data and streams, one function each.

Sizes of a growth take turns within a round, so that a noisy minute hits them all; retained data cannot be taken away again, so
there a server without any takes turns with the one that grows. It must not judge or show anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.load import wrk
from bench.load.tail import Spec
from bench.metadata import Api, send_all
from bench.processes import Died
from bench.scaling.model import Found, Point, State
from bench.scaling.servers import Grown, add, by_keys, by_turns, covering, large
from bench.systems.base import Tailers, replay
from bench.systems.penstock import MARKS

FREE_BEYOND_GB = 3.0
"""What must stay free on the disk besides the data that is kept."""
STORED = 1.1
"""Bytes on the disk for a byte of payload, at most."""
ASK_EVERY = 1.0
"""Seconds between two questions of a consumer that has nothing to read."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and for how long."""

    partitions: Sequence[int]
    connections: Sequence[int]
    consumers: Sequence[int]
    gigabytes: Sequence[float]
    streams: Sequence[int]
    seconds: float
    rounds: int


@dataclass(slots=True)
class Bench:
    """What every growth needs."""

    plan: Plan
    directory: Path
    cores: tuple[int, int]
    say: Callable[[str], None]
    found: Found

    def server(self, name: str) -> Grown:
        return Grown(self.directory / name, self.cores)

    @contextlib.contextmanager
    def servers(self, names: Sequence[str]) -> Iterator[list[Grown]]:
        """Some servers at once, ended with their data whatever happens."""
        started: list[Grown] = []
        try:
            for name in names:
                started.append(self.server(name))
            yield started
        finally:
            for server in started:
                server.stop()
            for name in names:
                shutil.rmtree(self.directory / name, ignore_errors=True)

    def point(self, growth: str, load: str, size: float) -> Point:
        point = Point(growth, load, size)
        self.found.points.append(point)
        return point


@dataclass(frozen=True, slots=True)
class Turn:
    """A load of a size on its server."""

    point: Point
    server: Grown
    requests: Path
    records: int
    connections: int
    streams: Sequence[str]

    @property
    def longer(self) -> float:
        """Large puts of very many connections all arrive before the first is answered: that is no share of a long run."""
        return 1 + self.records * self.connections / 125_000

    def put(self, bench: Bench) -> None:
        bench.say(f"{self.point.load} · {self.point.size:g} {self.point.growth}")
        bench.found.wrong += self.server.put(
            self.point,
            self.requests,
            self.records,
            self.connections,
            bench.plan.seconds * self.longer,
            self.streams,
        )


def partitions(bench: Bench) -> None:
    """Puts into one partition by turns, and puts spread over all by their keys; each size has its own server."""
    sizes = bench.plan.partitions
    most = max(sizes)
    with bench.servers([f"partitions-{size}" for size in sizes]) as servers:
        turns: list[Turn] = []
        for size, server in zip(sizes, servers, strict=True):
            bench.say(f"making {size:,} partitions")
            made = server.create_partitions("wide", size)
            streams = list(dict.fromkeys(stream for stream, _ in made))
            # The first record makes a partition's file: that is another cost.
            bodies = list(covering(made))
            server.send(server.post(iter(bodies), "covering"), len(bodies))
            for records, connections in ((1, 32), (50, 16)):
                load = f"put {records} x 200 B, one partition each put, by turns"
                requests = server.post(by_turns(made, records, 200, most), f"turns-{records}")
                point = bench.point("partitions", load, size)
                turns.append(Turn(point, server, requests, records, connections, streams))
            point = bench.point("partitions", "put 500 x 200 B, spread over all by keys", size)
            turns.append(
                Turn(point, server, server.post(by_keys(streams, 500, 200), "keys"), 500, 16, streams)
            )
        for _ in range(bench.plan.rounds):
            # A load after the other, each over all sizes.
            for turn in sorted(turns, key=lambda turn: turn.point.load):
                turn.put(bench)
        for size, server in zip(sizes, servers, strict=True):
            bench.say(f"at rest, stopped and killed · {size:,} partitions")
            last = next(turn for turn in turns if turn.server is server and turn.records == 50)
            rest(bench, server, State("partitions", size), last.requests, 50)


def rest(bench: Bench, server: Grown, state: State, requests: Path, records: int) -> None:
    bench.found.states.append(state)
    server.at_rest(state, bench.plan.rounds, requests, records)


def connections(bench: Bench) -> None:
    """More clients, each with one request outstanding."""
    with bench.servers(["connections"]) as (server,):
        stream = server.create("clients")
        turns = []
        for records in (1, 50, 500):
            requests = server.post(by_keys([stream], records, 200), f"clients-{records}")
            for size in bench.plan.connections:
                point = bench.point("connections", f"put {records} x 200 B", size)
                turns.append(Turn(point, server, requests, records, size, [stream]))
        for _ in range(bench.plan.rounds):
            for turn in turns:
                turn.put(bench)


def consumers(bench: Bench) -> None:
    """Puts beside consumers that ask once a second at the end of another stream and find nothing new; and what consumers
    receive together when all of them read recent frames."""
    plan = bench.plan
    with bench.servers(["consumers"]) as (server,):
        stream, quiet = server.create("busy"), server.create("quiet")
        requests = server.post(by_keys([stream], 500, 200), "busy")
        beside = {
            size: bench.point("consumers", "put 500 x 200 B beside consumers that ask once a second", size)
            for size in plan.consumers
        }
        reads = {
            size: bench.point("consumers", "read 500 x 200 B, recent frames, all together", size)
            for size in plan.consumers
        }
        for _ in range(plan.rounds):
            for size, point in beside.items():
                spec = consuming(server, quiet, size, plan.seconds * 3 + 20)
                spec.poll = ASK_EVERY
                tailers = Tailers(spec, server.load_core)
                try:
                    time.sleep(2 * ASK_EVERY)
                    Turn(point, server, requests, 500, 16, [stream]).put(bench)
                    bench.found.wrong += tailers.finish(server.ends(quiet)).wrong
                finally:
                    tailers.stop()
            for size, point in reads.items():
                bench.say(f"{point.load} · {size} consumers")
                tail = server.create("recent")
                server.send(server.post(by_keys([tail], 500, 200), "recent"), 20)
                spec = consuming(server, tail, size, plan.seconds)
                spec.ends, spec.limit = server.ends(tail), 500
                cpu = machine.cpu_seconds(server.server.pid)
                load = replay(spec, server.load_core)
                cpu = machine.cpu_seconds(server.server.pid) - cpu
                bench.found.wrong += load.wrong
                add(point, load, cpu)


def consuming(server: Grown, stream: str, size: int, seconds: float) -> Spec:
    return server.spec(stream, 200, 0, seconds, size)


def retained(bench: Bench) -> None:
    """A log that grows by PutRecords of 16 x 256 KB; the same puts on it and on a server without any data."""
    plan = bench.plan
    if not plan.gigabytes:
        return
    free = shutil.disk_usage(bench.directory).free / 1e9
    sizes = [size for size in sorted(plan.gigabytes) if size * STORED + FREE_BEYOND_GB <= free]
    for size in sorted(set(plan.gigabytes) - set(sizes)):
        bench.found.left_out.append(
            f"{size:g} GB of retained data: {size * STORED + FREE_BEYOND_GB:.0f} GB must be free under the data directory, {free:.0f} GB are"
        )
    if not sizes:
        return
    with bench.servers(["retained", "control"]) as (server, control):
        kept = server.create("kept", 4)
        filling = server.post(large(kept, 16, 1 << 18, 4), "filling")
        prepared = {}
        for each in (server, control):
            stream = each.create("measured")
            requests = {
                records: each.post(by_keys([stream], records, 200), f"m-{records}") for records in (1, 500)
            }
            prepared[each] = (stream, requests)
        for size in sizes:
            fill(bench, server, kept, filling, size)
            loads = {1: 32, 500: 16}
            points = {
                records: bench.point("GB retained", f"put {records} x 200 B", size) for records in loads
            }
            for _ in range(plan.rounds):
                for records, point in points.items():
                    beside = Point(point.growth, f"{point.load}, nothing retained", size)
                    for each, kind in ((server, point), (control, beside)):
                        stream, requests = prepared[each]
                        Turn(kind, each, requests[records], records, loads[records], [stream]).put(bench)
                    point.controls += beside.rates
            bench.say(f"at rest, stopped and killed · {size:g} GB")
            stream, requests = prepared[server]
            rest(bench, server, State("GB retained", size), requests[500], 500)


def fill(bench: Bench, server: Grown, stream: str, requests: Path, gigabytes: float) -> None:
    """Until the stream holds so much."""
    begun, had = time.perf_counter(), server.held([stream]) * (1 << 18) / 1e9
    have = had
    while have < gigabytes:
        bench.say(f"filling · {have:.1f} of {gigabytes:g} GB")
        # At 4 connections 16 MB are on their way: little beside a gigabyte.
        load = wrk.put(
            f"http://127.0.0.1:{server.port}/", requests, records=16, connections=4,
            seconds=1.0 if gigabytes - have < 1 else 3.0, marks=MARKS, core=server.load_core,
        )  # fmt: skip
        if load.wrong or not load.records:
            raise Died(f"filling: {'; '.join(load.wrong) or 'nothing was put'}")
        have = server.held([stream]) * (1 << 18) / 1e9
    took = time.perf_counter() - begun
    bench.found.facts[f"filled_to_{gigabytes:g}_gb_mb_s"] = round((have - had) * 1e3 / took) if took else 0


def streams(bench: Bench) -> None:
    """More streams, each with a few records; puts into one of them, and the server at rest. Each size has its own server."""
    sizes = bench.plan.streams
    with bench.servers([f"streams-{size}" for size in sizes]) as servers:
        turns = []
        for size, server in zip(sizes, servers, strict=True):
            bench.say(f"making {size:,} streams")
            api = Api(server)
            names = [f"many-{number:05d}" for number in range(size)]
            made = (api.post("/streams", {"stream_name": name, "partition_count": 1}) for name in names)
            asyncio.run(send_all(server.port, made, 201, min(16, size)))
            first = server.post(by_turns([(name, 0) for name in names], 10, 200, size), "first")
            server.send(first, size)
            requests = server.post(by_keys(names[:1], 500, 200), "one")
            turns.append(
                Turn(
                    bench.point("streams", "put 500 x 200 B into one of them", size),
                    server,
                    requests,
                    500,
                    16,
                    names[:1],
                )
            )
        for _ in range(bench.plan.rounds):
            for turn in turns:
                turn.put(bench)
        for turn in turns:
            bench.say(f"at rest, stopped and killed · {turn.point.size:g} streams")
            rest(bench, turn.server, State("streams", turn.point.size), turn.requests, 500)


GROWTHS: dict[str, Callable[[Bench], None]] = {
    "partitions": partitions,
    "connections": connections,
    "consumers": consumers,
    "retained": retained,
    "streams": streams,
}
