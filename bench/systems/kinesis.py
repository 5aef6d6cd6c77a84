"""Kinesis doubles: kinesalite (Node.js) and moto (Python). The same kind of service over HTTP and JSON.

Loaded like Penstock: wrk for puts, the raw-socket consumers for gets. Neither checks a signature.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine, processes
from bench.cases import CONSUMERS, FILL, Case
from bench.load import wrk
from bench.load.model import Load
from bench.load.payloads import http_request, kinesis_body, write_requests
from bench.load.tail import Spec
from bench.systems.base import System, Unsupported, replay

KINESALITE = "3.3.3"
MOTO = "5.2.5"
FETCH_BYTES = 1 << 20
MARKS = ('"FailedRecordCount":0', '"FailedRecordCount": 0')
HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Date": "20260101T000000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/kinesis/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=0",
}
# Its own command line would listen on every interface.
NODE = """
const [port, path] = process.argv.slice(1)
const options = { createStreamMs: 20, deleteStreamMs: 20, updateStreamMs: 20, shardLimit: 1000 }
require("kinesalite")({ ...options, path }).listen(+port, "127.0.0.1")
"""


class Kinesis(System):
    """What both doubles share; one shard a stream."""

    durable = "no"
    shard = "shardId-000000000000"
    port: int

    def __init__(self) -> None:
        self._filled: dict[int, tuple[str, int]] = {}
        self._streams = 0

    def _started(self, directory: Path, load_core: int | None) -> None:
        self.directory, self.load_core = directory, load_core
        self.server.wait_until(self._answers)

    def _answers(self) -> bool:
        return "StreamNames" in self.call("ListStreams", {})

    def call(self, operation: str, content: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {**HEADERS, "X-Amz-Target": f"Kinesis_20131202.{operation}"}
            connection.request("POST", "/", json.dumps(content), headers)
            reply = connection.getresponse()
            body = reply.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
        if reply.status != 200:
            raise OSError(f"{operation}: {reply.status} {body[:200]!r}")
        return dict(json.loads(body)) if body else {}

    def create(self, name: str) -> str:
        self._streams += 1
        stream = f"{name}-{self._streams}"
        self.call("CreateStream", {"StreamName": stream, "ShardCount": 1})
        for _ in range(100):
            described = self.call("DescribeStreamSummary", {"StreamName": stream})
            if described["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
                break
            time.sleep(0.05)
        return stream

    def prepare(self, case: Case) -> Any:
        if case.kind in ("put", "tail"):
            stream = self.create(case.name)
            return stream, self._requests(stream, case.records, case.size)
        if case.size not in self._filled:
            stream = self.create(f"fill-{case.size}")
            requests = self._requests(stream, FILL, case.size)
            self._put(requests, FILL, 8, 2.0)
            time.sleep(0.5)
            self._filled[case.size] = stream, self._count(stream)
        return self._filled[case.size]

    def _count(self, stream: str) -> int:
        """Records in the stream, by reading it: there is no other way to ask."""
        content = {"StreamName": stream, "ShardId": self.shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = self.call("GetShardIterator", content)["ShardIterator"]
        total = 0
        while True:
            reply = self.call("GetRecords", {"ShardIterator": iterator, "Limit": 10_000})
            if not reply["Records"]:
                return total
            total += len(reply["Records"])
            iterator = reply["NextShardIterator"]

    def _requests(self, stream: str, records: int, size: int) -> Path:
        headers = {
            "Host": f"127.0.0.1:{self.port}",
            **HEADERS,
            "X-Amz-Target": "Kinesis_20131202.PutRecords",
        }
        path = self.directory / f"{stream}.requests"
        write_requests(
            path, records, size, lambda batch: http_request("POST", "/", headers, kinesis_body(stream, batch))
        )
        return path

    def _put(self, requests: Path, records: int, connections: int, seconds: float) -> Load:
        return wrk.put(
            f"http://127.0.0.1:{self.port}/", requests, records=records, connections=connections,
            seconds=seconds, marks=MARKS, core=self.load_core,
        )  # fmt: skip

    def _spec(self, stream: str, size: int, limit: int, seconds: float) -> Spec:
        return Spec(
            protocol="kinesis", host="127.0.0.1", port=self.port, stream=stream, consumers=CONSUMERS,
            seconds=seconds, limit=limit, size=size, partitions=[self.shard], headers=HEADERS,
        )  # fmt: skip

    def load(self, case: Case, prepared: Any, seconds: float) -> Load:
        if case.kind == "put":
            return self._put(prepared[1], case.records, case.connections, seconds)
        if case.kind == "tail":
            raise Unsupported("sequence numbers do not count records, so there is no exact end to follow to")
        stream, total = prepared
        spec = self._spec(stream, case.size, case.records or FETCH_BYTES // case.size, seconds)
        spec.ends = [total]
        return replay(spec, self.load_core)

    def verify(self, case: Case, prepared: Any, load: Load) -> None:
        if case.kind == "put":
            Path(prepared[1]).unlink()
            self.call("DeleteStream", {"StreamName": prepared[0]})


class Kinesalite(Kinesis):
    name = "kinesalite"
    label = f"kinesalite {KINESALITE}, on disk"

    def install(self) -> None:
        machine.need("node", "install Node.js (apt-get install nodejs npm)")
        self.root = machine.cache() / f"kinesalite-{KINESALITE}"
        if (self.root / ".complete").exists():
            return
        npm = machine.need("npm", "install Node.js's npm (apt-get install npm)")
        self.root.mkdir(exist_ok=True)
        argv = [
            npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts",
            "--prefix", str(self.root), f"kinesalite@{KINESALITE}",
        ]  # fmt: skip
        subprocess.run(argv, check=True, stdout=sys.stderr)
        (self.root / ".complete").touch()

    def start(self, directory: Path, server_core: int | None, load_core: int | None) -> None:
        self.port = processes.free_port()
        argv = ["node", "-e", NODE, str(self.port), str(directory / "data")]
        env = {"NODE_PATH": str(self.root / "node_modules")}
        self.server = processes.Server(self.name, argv, directory, server_core, env)
        self._started(directory, load_core)


class Moto(Kinesis):
    name = "moto"
    label = f"moto {MOTO} (Kinesis), in memory"

    def install(self) -> None:
        self.root = machine.cache() / f"moto-{MOTO}"
        if (self.root / ".complete").exists():
            return
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(self.root)], check=True)
        pip = [str(self.root / "bin" / "pip"), "install", "-q", f"moto[server]=={MOTO}"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        (self.root / ".complete").touch()

    def start(self, directory: Path, server_core: int | None, load_core: int | None) -> None:
        self.port = processes.free_port()
        argv = [str(self.root / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]
        self.server = processes.Server(self.name, argv, directory, server_core)
        self._started(directory, load_core)

    def prepare(self, case: Case) -> Any:
        if case.kind == "get" and case.records in (1, 10):
            # Every read walks the list from its start: seconds per record, whatever the load.
            raise Unsupported("every read walks the whole shard")
        return super().prepare(case)
