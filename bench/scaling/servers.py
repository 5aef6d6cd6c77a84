"""A Penstock that is made to grow, and that is stopped, killed and started again on the data it has.

It must not know which sizes are measured.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.load import payloads, wrk
from bench.load.model import Load
from bench.scaling.model import Point, State
from bench.systems.penstock import MARKS, Penstock

PARTITIONS_OF_A_STREAM = 1_000
"""What a stream may have (docs/limits.md); more partitions are several streams."""
KEYS = 10_000
POOL = 64
"""Distinct requests where partitions are chosen by keys."""
COVERED = 500
"""Partitions that one put of `covering` reaches."""
REST_SECONDS = 3.0
SETTLING = 100
"""Tenths of a second that a server may take to store what it has been sent."""


class Grown(Penstock):
    """One server with its own data, under `home`."""

    def __init__(self, home: Path, cores: tuple[int, int]) -> None:
        super().__init__(partitions=1)
        self.home, self.cores = home, cores
        home.mkdir(parents=True)
        self.install()
        self.start(home, *cores)

    def create_partitions(self, name: str, count: int) -> list[tuple[str, int]]:
        """(stream, number) of `count` partitions, in as many streams as that takes."""
        found: list[tuple[str, int]] = []
        while len(found) < count:
            here = min(count - len(found), PARTITIONS_OF_A_STREAM)
            stream = self.create(name, here)
            found.extend((stream, number) for number in range(here))
        return found

    def post(self, bodies: Iterator[bytes], name: str) -> Path:
        """A file of PutRecords requests with these bodies, for wrk."""
        path = self.directory / f"{name}.requests"
        headers = {**self.headers, "Content-Type": "application/json"}
        target = f"/v2/{self.project}/records"
        payloads.write(path, (payloads.http_request("POST", target, headers, body) for body in bodies))
        return path

    def put(
        self,
        point: Point,
        requests: Path,
        records: int,
        connections: int,
        seconds: float,
        streams: Sequence[str],
    ) -> list[str]:
        """One round of a load, added to the point; what was not right. What was acknowledged has to be in the streams."""
        before = self._all_stored(streams)
        # What was left unwritten would be written while this is measured.
        os.sync()
        cpu = machine.cpu_seconds(self.server.pid)
        load = wrk.put(
            f"http://127.0.0.1:{self.port}/", requests, records=records, connections=connections, seconds=seconds,
            marks=MARKS, core=self.load_core,
        )  # fmt: skip
        cpu = machine.cpu_seconds(self.server.pid) - cpu
        add(point, load, cpu)
        time.sleep(0.2)
        appended = self.held(streams) - before
        wrong = list(load.wrong)
        if not load.records:
            wrong.append(f"nothing was acknowledged in {load.seconds:.0f} s")
        if not load.records <= appended <= load.records + records * connections:
            wrong.append(f"{load.records} acknowledged, {appended} appended")
        return [f"{point.load}, {point.size:g} {point.growth}: {each}" for each in wrong]

    def _all_stored(self, streams: Sequence[str]) -> int:
        """Records in these streams once nothing comes any more: what clients that are gone had sent, half a million records perhaps, is
        still being stored."""
        before, now = -1, self.held(streams)
        for _ in range(SETTLING):
            if now == before:
                break
            time.sleep(0.1)
            before, now = now, self.held(streams)
        return now

    def held(self, streams: Sequence[str]) -> int:
        """Records in these streams."""
        return sum(sum(self.ends(stream)) for stream in streams)

    # -- at rest ---------------------------------------------------------------------------------------

    def at_rest(self, state: State, rounds: int, disturb: Path, records: int) -> None:
        """Memory now; then stopped and started, killed and started, by turns. Before each kill records are put, so that there
        is a tail to recover (their token outlives a restart); before each start the page cache is asked to forget all data."""
        state.loaded_mb = machine.resident_mb(self.server.pid)
        for number in range(rounds):
            self.server.stop()
            state.clean_s.append(self._again())
            if number == 0:
                # The first replies (the token) have loaded what an idle server keeps.
                cpu = machine.cpu_seconds(self.server.pid)
                time.sleep(REST_SECONDS)
                state.idle_cpu = (machine.cpu_seconds(self.server.pid) - cpu) / REST_SECONDS
                state.idle_mb = machine.resident_mb(self.server.pid)
            wrk.put(
                f"http://127.0.0.1:{self.port}/", disturb, records=records, connections=16, seconds=1.0, marks=MARKS,
                core=self.load_core,
            )  # fmt: skip
            self.server.kill()
            state.killed_s.append(self._again())

    def _again(self) -> float:
        """Started on its data; seconds until it takes requests."""
        machine.forget(self.directory / "data")
        self.start(self.home, *self.cores)
        return self.ready_s


def add(point: Point, load: Load, cpu: float) -> None:
    point.rates.append(load.rate)
    point.p50_ms.append(load.p50_ms)
    point.p99_ms.append(load.p99_ms)
    point.idle.append(load.idle)
    if load.records:
        point.cpu_us.append(cpu / load.records * 1e6)


# -- bodies --------------------------------------------------------------------------------------------


def _body(stream: str, entries: list[dict[str, Any]]) -> bytes:
    return json.dumps({"stream_name": stream, "records": entries}, separators=(",", ":")).encode()


def by_turns(
    partitions: Sequence[tuple[str, int]], records: int, size: int, requests: int
) -> Iterator[bytes]:
    """`requests` puts, each into one partition that it names, over all partitions by turns. There are as many of them for few
    partitions as for many, so that the client has the same work."""
    data = [record.data for batch in payloads.batches(records, size) for record in batch]
    at = 0
    for number in range(requests):
        stream, partition = partitions[number % len(partitions)]
        name = f"shardId-{partition:010d}"
        entries = []
        for _ in range(records):
            entries.append({"data": data[at % len(data)], "partition_id": name})
            at += 1
        yield _body(stream, entries)


def covering(partitions: Sequence[tuple[str, int]]) -> Iterator[bytes]:
    """A record for each partition, in as few puts as may be: afterwards none of them is new."""
    numbers: dict[str, list[int]] = {}
    for stream, number in partitions:
        numbers.setdefault(stream, []).append(number)
    for stream, each in numbers.items():
        for at in range(0, len(each), COVERED):
            some = each[at : at + COVERED]
            yield _body(
                stream, [{"data": "AAAA", "partition_id": f"shardId-{number:010d}"} for number in some]
            )


def by_keys(streams: Sequence[str], records: int, size: int) -> Iterator[bytes]:
    """Puts whose records are spread over all partitions of a stream by their keys; streams by turns."""
    data = [record.data for batch in payloads.batches(records, size) for record in batch]
    at = 0
    for number in range(POOL):
        entries = []
        for _ in range(records):
            # A prime step: neighbours in a put are no neighbours in the next.
            entries.append({"data": data[at % len(data)], "partition_key": f"device-{at * 7919 % KEYS:05d}"})
            at += 1
        yield _body(streams[number % len(streams)], entries)


def large(stream: str, records: int, size: int, requests: int) -> Iterator[bytes]:
    """Few requests of much: what fills a log fast."""
    batches = payloads.large_batches(records, size, requests)
    for batch in batches:
        yield payloads.dis_body(stream, batch)
