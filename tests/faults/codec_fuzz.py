"""The compiled codec against the Python one, on bodies that are broken in every way. A few thousand cases run in every test run;
the long run is

    make fuzz                                (or: python -m tests.faults.codec_fuzz --seconds 300 [--seed 1] [--corpus DIR])

Bodies start from what clients sent and from generated ones, or from what libFuzzer found in the Rust sources (`--corpus`: a
directory of files). Every one goes through both codecs: decoding, checks, routing over one and several partitions, packing,
replies and reading back. Whatever differs is a failure, a crash or an exception of another kind too.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.faults.fuzz import break_bytes, break_json
from tests.support import codec_cases
from tests.support.captures import load
from tests.support.codecs import using

from penstock.http.wire import json_records, protobuf
from penstock.log.payload import encode
from penstock.service.puts import PutRecords
from penstock.service.records import Placed, PutOutcome

_KEYS = ("", "k", "é\n", 'a"\\b', "\x00\x1f", "💥" * 9, "k" * 31, "k" * 300, "shardId-0000000001", "7")


class Seen(NamedTuple):
    """What a run saw: cases, those of them that the compiled codec decoded, and differences."""

    cases: int
    compiled: int
    failures: list[str]


class Case(NamedTuple):
    kind: str
    body: bytes


def sent() -> list[Case]:
    """The puts of real clients, but for compressed ones."""
    return [
        Case("protobuf" if "protobuf" in one.header("content-type") else "json", one.request.body)
        for one in load()
        if one.request.method == "POST"
        and one.request.path.rstrip(b"/").endswith(b"/records")
        and not one.header("content-encoding")
    ]


def seeds(corpus: Path | None = None) -> list[Case]:
    """What clients sent, generated bodies, and the files of a corpus."""
    found = sent()
    chance = random.Random(0)
    for count in (0, 1, 1, 2, 5, 20):
        records = []
        for _ in range(count):
            data = chance.randbytes(chance.choice((0, 1, 2, 3, 200, 300)))
            record: dict[str, object] = {"data": base64.b64encode(data).decode()}
            for name in ("partition_key", "partition_id", "explicit_hash_key"):
                if chance.random() < 0.4:
                    record[name] = chance.choice((*_KEYS, None))
            if chance.random() < 0.3:
                record["timestamp"] = chance.randrange(2**63)
            records.append(record)
        body = {"stream_name": "s1", "stream_id": None, "records": records}
        for ascii_only in (True, False):
            found.append(Case("json", json.dumps(body, ensure_ascii=ascii_only).encode()))
        found.append(Case("protobuf", _as_protobuf(found[-1].body)))
    if corpus is not None:
        for kind in ("json", "protobuf"):
            found += [Case(kind, path.read_bytes()) for path in sorted((corpus / f"put_{kind}").iterdir())]
    return found


def write(corpus: Path) -> None:
    """The seeds as files, for libFuzzer to start from."""
    files = [(f"put_{kind}", body) for kind, body in seeds()]
    chance = random.Random(0)
    for count in (1, 2, 15, 16, 200):
        keys = [chance.choice((None, *_KEYS)) for _ in range(count)]
        data = [chance.randbytes(chance.choice((0, 1, 2, 3, 30))) for _ in range(count)]
        for start, stop in ((0, count), (count // 2, count)):
            # As fuzz_targets/payload.rs reads them: from where, to where, the payload.
            files += [("payload", bytes((start, stop)) + encode(given, data)) for given in (keys, None)]
    for kind, content in files:
        directory = corpus / kind
        directory.mkdir(parents=True, exist_ok=True)
        (directory / hashlib.sha256(content).hexdigest()[:40]).write_bytes(content)


def _as_protobuf(body: bytes) -> bytes:
    request = protobuf.Request()
    for record in json.loads(body)["records"]:
        texts = {
            "partitionKey": record.get("partition_key"),
            "partitionId": record.get("partition_id"),
            "explicitHashKey": record.get("explicit_hash_key"),
        }
        given = {name: text for name, text in texts.items() if text is not None}
        request.records.add(data=base64.b64decode(record["data"]), **given)
    request.streamName = "s1"
    made: bytes = request.SerializeToString()
    return made


def cases(seed: int, corpus: Path | None = None) -> Iterator[Case]:
    """The seeds, then without end broken ones."""
    chance = random.Random(seed)
    known = seeds(corpus)
    yield from known
    while True:
        kind, body = chance.choice(known)
        for _ in range(chance.choice((1, 1, 2, 4))):
            broken = break_json if kind == "json" and chance.random() < 0.5 else break_bytes
            body = broken(body, chance)
        yield Case(kind, body)


def check(case: Case) -> bool:
    """Whether the compiled codec decoded it. Raises Difference, or whatever an encoder raised."""
    taken = codec_cases.put(case.kind, case.body)
    if taken:
        replies(case)
    return taken


def replies(case: Case) -> None:
    """Put and read replies of the records in a body that can be decoded."""
    decode = json_records.decode_put if case.kind == "json" else protobuf.decode_put
    with using("python"):
        request = decode(case.body)
    assert isinstance(request, PutRecords)
    records = request.records or []
    if not records:
        return
    total = len(records)
    keys = [record.partition_key or None for record in records]
    payload = encode(keys if any(keys) else None, [record.data for record in records])
    base = len(case.body) * 7919
    codec_cases.fetched(payload, total, 0, total, base, 1_764_000_000_000)
    codec_cases.fetched(payload, total, total // 2, total, base, 1_764_000_000_000)
    even, odd = list(range(0, total, 2)), list(range(1, total, 2))
    codec_cases.outcome(PutOutcome(total, [Placed(0, base, total, None)], {}))
    failed = {index: ("DIS.4303", keys[index] or "") for index in odd}
    codec_cases.outcome(PutOutcome(total, [Placed(3, base, len(even), even)], failed))


def run(seed: int, *, count: int = 0, seconds: float = 0.0, corpus: Path | None = None) -> Seen:
    """So many cases, or as many as fit into the time."""
    ends = time.monotonic() + seconds
    done = compiled = 0
    failures: list[str] = []
    for case in cases(seed, corpus):
        if done >= count and time.monotonic() >= ends:
            break
        done += 1
        try:
            compiled += check(case)
        except Exception as error:  # whatever it is, it is found
            failures.append(f"{type(error).__name__}: {error!s:.3000} in {case.kind} {case.body[:3000]!r}")
            if len(failures) >= 20:
                break
    return Seen(done, compiled, failures)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--write", metavar="DIR", type=Path, help="only write the seeds, as a corpus")
    arguments = parser.parse_args()
    if arguments.write is not None:
        write(arguments.write)
        return 0
    began = time.monotonic()
    seen = run(arguments.seed, seconds=arguments.seconds, corpus=arguments.corpus)
    spent = time.monotonic() - began
    print(
        f"{seen.cases:,} cases in {spent:.0f} s, seed {arguments.seed}; the compiled codec decoded {seen.compiled:,}"
    )
    for failure in seen.failures:
        print("DIFFERENT", failure)
    print(f"{len(seen.failures)} differences")
    return 1 if seen.failures else 0


if __name__ == "__main__":
    sys.exit(main())
