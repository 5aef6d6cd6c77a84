"""Penstock as its users meet it: `penstock serve`, a token, HTTP and JSON; every acknowledgement durable.

After a put the whole stream is read back outside the measured time: contiguous sequence numbers, payloads that
were sent, and as many as were acknowledged.
"""

from __future__ import annotations

import csv
import http.client
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from bench import machine, processes
from bench.cases import CONSUMERS, FILL, Case
from bench.load import paced, payloads, wrk
from bench.load.model import Load
from bench.load.tail import Spec
from bench.systems.base import System, Tailers, replay

MARKS = ('"failed_record_count":0', '"failed_record_count": 0')
READY = "penstock ready on http://127.0.0.1:"
RECENT = 20
"""Requests of 500 records in the streams that are read from recent frames: 2 MB of payload, less than is kept in memory."""
COLD_RECORDS = 3_000_000
"""What a cold replay reads, at least: 600 MB of payload."""


class _Read(msgspec.Struct):
    sequence_number: str
    data: str


class _Reply(msgspec.Struct):
    records: list[_Read]
    next_partition_cursor: str


class Penstock(System):
    name = "penstock"
    label = "Penstock"
    durable = "yes"
    ours = True

    def __init__(self, *, partitions: int = 1, serve: tuple[str, ...] = ()) -> None:
        self.partitions = partitions
        self.serve = serve
        self._filled: dict[int, str] = {}
        self._cold: str | None = None
        self._streams = 0

    # -- start -----------------------------------------------------------------------------------------

    def install(self) -> None:
        beside = Path(sys.executable).with_name("penstock")
        found = str(beside) if beside.exists() else shutil.which("penstock")
        if found is None:
            raise machine.Missing("penstock is missing: pip install -e .")
        self.command = found
        wrk.tool()

    def start(self, directory: Path, server_core: int | None, load_core: int | None) -> None:
        self.directory, self.load_core = directory, load_core
        data = directory / "data"
        argv = [
            self.command, "serve", "--data", str(data), "--listen", "127.0.0.1:0",
            "--limits", "relaxed", "--sync", "always", *self.serve,
        ]  # fmt: skip
        begun = time.perf_counter()
        self.server = processes.Server(self.name, argv, directory, server_core)
        self.server.wait_until(self._ready, pause=0.01)
        self.ready_s = time.perf_counter() - begun
        with (data / "credentials.csv").open(newline="") as file:
            owner = next(csv.DictReader(file))
        self.project = owner["Project Id"]
        self.headers = {"Host": f"127.0.0.1:{self.port}", "X-Auth-Token": self._token(owner)}

    def _ready(self) -> bool:
        for line in self.server.out.read_text().splitlines():
            if line.startswith(READY):
                self.port = int(line.removeprefix(READY).split()[0].rstrip("/"))
                return True
        return False

    def _token(self, owner: dict[str, str]) -> str:
        user = {
            "name": owner["User Name"],
            "password": owner["Password"],
            "domain": {"name": owner["Account Name"]},
        }
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"id": self.project}},
        }
        status, headers, body = self._call("POST", "/v3/auth/tokens", {"auth": auth}, {})
        if status != 201:
            raise processes.Died(f"no token: {status} {body[:300]!r}")
        return headers["x-subject-token"]

    # -- control calls ---------------------------------------------------------------------------------

    def _call(
        self, method: str, path: str, content: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = dict(self.headers if headers is None else headers)
        body = None
        if content is not None:
            sent["Content-Type"] = "application/json"
            body = json.dumps(content)
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def _dis(self, method: str, path: str, content: Any = None) -> bytes:
        status, _, body = self._call(method, f"/v2/{self.project}/{path}", content)
        if status >= 300:
            raise processes.Died(f"{method} {path}: {status} {body[:300]!r}")
        return body

    def create(self, name: str, partitions: int | None = None) -> str:
        self._streams += 1
        stream = f"{name}-{self._streams}"
        count = partitions or self.partitions
        content = {"stream_name": stream, "partition_count": count, "data_type": "BLOB"}
        self._dis("POST", "streams", content)
        return stream

    def ends(self, stream: str) -> list[int]:
        """The next sequence number of every partition: how many records each has, from 0."""
        found = json.loads(self._dis("GET", f"streams/{stream}?limit_partitions=1000"))
        return [int(each["sequence_number_range"].strip("[] ").split(":")[1]) for each in found["partitions"]]

    # -- loads -----------------------------------------------------------------------------------------

    def prepare(self, case: Case) -> Any:
        if case.kind == "get":
            if case.size not in self._filled:
                stream = self.create(f"fill-{case.size}")
                requests = self._requests(stream, FILL, case.size)
                load = self._put(requests, FILL, 16, 3.0)
                if load.wrong:
                    raise processes.Died("; ".join(load.wrong))
                requests.unlink()
                self._filled[case.size] = stream
            return self._filled[case.size]
        if case.kind == "recent":
            # Made anew for every round: what was read or written in between has taken its place in memory.
            stream = self.create(case.name)
            requests = self._requests(stream, case.records, case.size)
            self.send(requests, RECENT * self.partitions)
            return stream, requests
        if case.kind == "cold":
            return self._prepare_cold(case)
        stream = self.create(case.name)
        return stream, self._requests(stream, case.records, case.size)

    def _prepare_cold(self, case: Case) -> str:
        """A stream far larger than what is kept in memory, and none of it in the page cache."""
        if self._cold is None:
            stream = self.create(case.name)
            requests = self._requests(stream, FILL, case.size)
            while sum(self._settled(stream)) < COLD_RECORDS:
                load = self._put(requests, FILL, 16, 2.0)
                if load.wrong or not load.records:
                    raise processes.Died("; ".join(load.wrong) or "nothing was put")
            requests.unlink()
            self._cold = stream
        machine.forget(self.directory / "data")
        return self._cold

    def send(self, requests: Path, count: int) -> None:
        """The first requests of the file, one after the other."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.connect()
        try:
            for request in payloads.read_requests(requests, count):
                connection.sock.sendall(request)
                reply = http.client.HTTPResponse(connection.sock)
                reply.begin()
                body = reply.read()
                if reply.status != 200 or not any(mark.encode() in body for mark in MARKS):
                    raise processes.Died(f"put: {reply.status} {body[:300]!r}")
        finally:
            connection.close()

    def _requests(self, stream: str, records: int, size: int) -> Path:
        path = self.directory / f"{stream}.requests"
        headers = {**self.headers, "Content-Type": "application/json"}
        target = f"/v2/{self.project}/records"
        payloads.write_requests(
            path,
            records,
            size,
            lambda batch: payloads.http_request("POST", target, headers, payloads.dis_body(stream, batch)),
        )
        return path

    def _put(self, requests: Path, records: int, connections: int, seconds: float) -> Load:
        return wrk.put(
            f"http://127.0.0.1:{self.port}/", requests, records=records, connections=connections,
            seconds=seconds, marks=MARKS, core=self.load_core,
        )  # fmt: skip

    def spec(self, stream: str, size: int, limit: int, seconds: float, consumers: int = CONSUMERS) -> Spec:
        return Spec(
            protocol="dis", host="127.0.0.1", port=self.port, stream=stream, consumers=consumers,
            seconds=seconds, limit=limit, size=size,
            partitions=[f"shardId-{number:010d}" for number in range(self.partitions)],
            path=f"/v2/{self.project}", headers={"X-Auth-Token": self.headers["X-Auth-Token"]},
        )  # fmt: skip

    def load(self, case: Case, prepared: Any, seconds: float) -> Load:
        if case.kind == "get":
            spec = self.spec(prepared, case.size, case.records, seconds)
            spec.ends = self.ends(prepared)
            return replay(spec, self.load_core)
        if case.kind == "cold":
            return self._replay_cold(case, prepared)
        stream, requests = prepared
        if case.kind == "put":
            return self._put(requests, case.records, case.connections, seconds)
        if case.kind == "recent":
            spec = self.spec(stream, case.size, case.records, seconds, case.connections)
            spec.ends = self.ends(stream)
            return replay(spec, self.load_core)
        if case.kind == "paced":
            return self._paced(case, requests, seconds)
        return self._tail(case, stream, requests, seconds)

    def _replay_cold(self, case: Case, stream: str) -> Load:
        """Once from the first record to the last: a second time it would come from the page cache."""
        spec = self.spec(stream, case.size, case.records, 120.0, case.connections)
        spec.ends, spec.laps = self.ends(stream), 1
        before = machine.disk_read_mb(self.server.pid)
        load = replay(spec, self.load_core)
        if load.notes["laps"] != case.connections:
            load.wrong.append(f"not at the end of the stream after {spec.seconds:.0f} s")
        if (before is not None) and (after := machine.disk_read_mb(self.server.pid)) is not None:
            load.notes["disk_mb"] = round(after - before, 1)
        load.notes["read_mb"] = round(sum(spec.ends) * case.size / 1e6, 1)
        return load

    def _paced(self, case: Case, requests: Path, seconds: float) -> Load:
        """Half of what all connections together just reached, at a fixed pace whatever the server does."""
        reached = self._put(requests, case.records, case.connections, 2.0)
        rate = reached.requests / reached.seconds / 2
        found = paced.paced(
            paced.Spec(self.port, str(requests), rate, seconds, case.connections), self.load_core
        )
        latencies = [each / 1e3 for each in found["latencies_us"]]
        sent = len(latencies)
        return Load(
            records=sent * case.records,
            requests=sent,
            seconds=found["seconds"],
            p50_ms=paced.percentile(latencies, 0.5),
            p99_ms=paced.percentile(latencies, 0.99),
            generator_cpu=1.0 - found["idle"],
            generator_wall=1.0,
            wrong=[*reached.wrong, *([found["wrong"]] if found["wrong"] else [])],
            notes={
                "asked_rate": round(rate * case.records),
                "late_ms": round(found["late_ms"], 3),
                "max_ms": max(latencies, default=0.0),
            },
            handled=reached.records + sent * case.records,
        )

    def _tail(self, case: Case, stream: str, requests: Path, seconds: float) -> Load:
        """Consumers from the beginning of an empty stream while it is written; all of it, then the end."""
        tailers = Tailers(self.spec(stream, case.size, 0, seconds * 3 + 20), self.load_core)
        try:
            put = self._put(requests, case.records, case.connections, seconds)
            # Requests cut off at the end of the put may still be carried out.
            ends = self.ends(stream)
            while (again := self._settled(stream)) != ends:
                ends = again
            behind = time.perf_counter()
            load = tailers.finish(ends)
            load.notes["behind_s"] = round(time.perf_counter() - behind, 3)
        finally:
            tailers.stop()
        load.generator_cpu += put.generator_cpu
        load.wrong.extend(put.wrong)
        load.notes["put_rate"] = round(put.rate)
        return load

    def _settled(self, stream: str) -> list[int]:
        time.sleep(0.2)
        return self.ends(stream)

    # -- checks ----------------------------------------------------------------------------------------

    def verify(self, case: Case, prepared: Any, load: Load) -> None:
        if case.kind in ("get", "cold"):
            return
        stream, requests = prepared
        ends = self._settled(stream)
        appended = sum(ends)
        if case.kind in ("put", "paced"):
            cut_off, acknowledged = case.connections * case.records, load.handled or load.records
            if not acknowledged <= appended <= acknowledged + cut_off:
                load.wrong.append(f"{acknowledged} acknowledged, {appended} appended (cut off: <= {cut_off})")
            sent = payloads.pool(case.records, case.size)
            decoder = msgspec.json.Decoder(_Reply)
            for number, end in enumerate(ends):
                self._read_back(stream, number, end, sent, decoder, load)
        requests.unlink()
        self._dis("DELETE", f"streams/{stream}")

    def _read_back(
        self,
        stream: str,
        number: int,
        end: int,
        sent: set[str],
        decoder: msgspec.json.Decoder[_Reply],
        load: Load,
    ) -> None:
        """Every record of a partition, decoded: each number once and in order, each payload one that was sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        base = f"/v2/{self.project}"
        query = f"stream-name={stream}&partition-id=shardId-{number:010d}&cursor-type=TRIM_HORIZON"
        cursor = json.loads(self._dis("GET", f"cursors?{query}"))["partition_cursor"]
        position = 0
        try:
            while position < end:
                connection.request("GET", f"{base}/records?partition-cursor={cursor}", headers=self.headers)
                reply = connection.getresponse()
                body = reply.read()
                if reply.status != 200:
                    load.wrong.append(f"reading back: {reply.status} {body[:200]!r}")
                    return
                found = decoder.decode(body)
                for record in found.records:
                    if int(record.sequence_number) != position or record.data not in sent:
                        load.wrong.append(
                            f"reading back: not what was sent at {position} of partition {number}"
                        )
                        return
                    position += 1
                if not found.records:
                    load.wrong.append(f"reading back: nothing at {position} of {end}")
                    return
                cursor = found.next_partition_cursor
        finally:
            connection.close()
        if position != end:
            load.wrong.append(f"reading back: {position} records, the stream says {end}")
