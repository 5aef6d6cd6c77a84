"""Ready-made records: random bytes under a thousand keys, and the HTTP requests that carry them.

Random bytes, so that nobody gains by compressing; a fixed seed, so that every run sends the same.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.cases import KEYS

# Bytes of distinct requests kept ready: enough to leave the processor's caches, little to load.
POOL_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Record:
    key: str
    data: str
    """base64, standard alphabet, padded"""


def batches(records: int, size: int) -> Iterator[list[Record]]:
    """Distinct requests of `records` records of `size` bytes; enough of them to use every key."""
    source = random.Random(20_004)
    requests = max(KEYS // records, 1)
    requests = max(requests, min(64, POOL_BYTES // (records * size * 3 // 2 + 200)))
    turn = 0
    keys = [f"device-{number:04d}" for number in range(KEYS)]
    source.shuffle(keys)
    for _ in range(requests):
        batch = []
        for _ in range(records):
            batch.append(Record(keys[turn % KEYS], base64.b64encode(source.randbytes(size)).decode()))
            turn += 1
        yield batch


def large_batches(records: int, size: int, requests: int) -> Iterator[list[Record]]:
    """Distinct requests, as few as are asked for, whatever their size."""
    source = random.Random(20_004)
    for number in range(requests):
        yield [
            Record(f"device-{number * records + each:04d}", base64.b64encode(source.randbytes(size)).decode())
            for each in range(records)
        ]


def pool(records: int, size: int) -> set[str]:
    """Every payload that `batches` makes, as base64: what may be read back."""
    return {record.data for batch in batches(records, size) for record in batch}


def dis_body(stream: str, batch: list[Record]) -> bytes:
    """A PutRecords body of section 5.4.1, compact JSON."""
    entries = [{"data": record.data, "partition_key": record.key} for record in batch]
    return json.dumps({"stream_name": stream, "records": entries}, separators=(",", ":")).encode()


def kinesis_body(stream: str, batch: list[Record]) -> bytes:
    entries = [{"Data": record.data, "PartitionKey": record.key} for record in batch]
    return json.dumps({"StreamName": stream, "Records": entries}, separators=(",", ":")).encode()


def http_request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """One HTTP/1.1 request, complete."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_requests(path: Path, count: int) -> Iterator[bytes]:
    """`count` requests of a file of `write_requests`, from its first on and round again."""
    lengths = [int(line) for line in path.with_name(path.name + ".index").read_text().split()]
    with path.open("rb") as file:
        requests = [file.read(length) for length in lengths[:count]]
    for number in range(count):
        yield requests[number % len(requests)]


def write_requests(
    path: Path,
    records: int,
    size: int,
    build: Callable[[list[Record]], bytes],
) -> None:
    """The file that `requests.lua` sends from, and its index."""
    write(path, (build(batch) for batch in batches(records, size)))


def write(path: Path, requests: Iterable[bytes]) -> None:
    """The same of requests that are made already."""
    lengths = []
    with path.open("wb") as file:
        for request in requests:
            lengths.append(len(request))
            file.write(request)
    path.with_name(path.name + ".index").write_text("".join(f"{length}\n" for length in lengths))
