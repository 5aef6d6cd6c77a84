"""R12: malformed input against every route, inside one process. A few thousand cases run in every test run; the long run is

    python -m tests.faults.fuzz --cases 1000000 [--seed 1]

Requests start from what clients really sent (tests/contract/vectors) and from bodies made from the OpenAPI description, and are
then broken: values replaced, keys doubled, renamed or left out, bytes flipped, cut or put in, numbers of 400 digits, texts with
lone surrogates, nesting 100,000 deep, protobuf with wrong types and lengths. A case fails when the reply is a 5xx, has a code
that is not in the table, or costs more than 100 ms of CPU; the run fails when memory grows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from rich.progress import track
from tests.support.captures import load

from penstock import observe, server
from penstock.config import load as load_settings
from penstock.errors import CODES
from penstock.http.app import Application
from penstock.http.openapi import describe
from penstock.http.routes import ROUTES
from penstock.iam.base import SentRequest
from penstock.limits import Limits

CPU_SECONDS = 0.1
PROJECT = "p"
_FURNISH_EVERY = 40
_WORDS = ("s1", "s2", "a1", "g1", "t1", "bucket", "LAST_READ", "0", "shardId-0000000000", "dis_admin_agency")
_NASTY: tuple[Any, ...] = (
    None, "", " ", 0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 1.5, 1e308, -0.0, True, False, [], {}, [[]], [None],
    {"": ""}, "0", "-1", "\x00", "\u2028", "é" * 300, "a" * 70_000, "💥", "../../etc/passwd", "%00", "' OR 1=1 --", "${jndi:x}",
    "shardId--0000000001", "shardId-99999999999999999999", "2026-99-99", "=", "aGk", "a=Gk=", "__proto__",
)  # fmt: skip
_RAW = (
    b"NaN", b"Infinity", b"-", b"1" * 400, b"1e999", b"1e-999", b'"\\ud800"', b'"\\u0000"', b"[" * 100_000, b'{"a":' * 20_000,
    b'"' + b"\\" * 9 + b'"', b"\xff\xfe", b'"\xc3"', b"nul", b"truex", b"'x'", b'{"a":1,"a":2}', b"/* */1", b"01", b".5",
)  # fmt: skip
_MARK = "\ue000raw\ue000"


class Outcome(NamedTuple):
    """What a run saw."""

    cases: int
    statuses: dict[int, int]
    codes: dict[str, int]
    slowest_cpu_seconds: float
    slowest: str
    failures: list[str]
    grown_bytes: int


class Seed(NamedTuple):
    """A request to break."""

    method: str
    path: str
    query: str
    content_type: str
    body: bytes


def seeds() -> list[Seed]:
    """What clients sent, and one request for each route with a body of its schema."""
    found = [
        Seed(
            one.request.method,
            one.request.path.decode()
            .replace("/pid-from-iam/", f"/{PROJECT}/")
            .replace("/pid/", f"/{PROJECT}/"),
            one.request.query.decode(),
            one.header("content-type"),
            one.request.body,
        )
        for one in load()
    ]
    document = describe(ROUTES, Limits())
    chance = random.Random(0)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method == "parameters":
                continue
            filled = path
            for part in methods.get("parameters", ()):
                value = PROJECT if part["name"] == "project_id" else chance.choice(_WORDS[:5])
                filled = filled.replace("{" + part["name"] + "}", value)
            query = "&".join(
                f"{one['name']}={chance.choice(one['schema'].get('enum', ('1', 's1', '0')))}"
                for one in operation["parameters"]
            )
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            body = b""
            if content:
                body = json.dumps(_sample(document, content["schema"], chance, 6)).encode()
            found.append(Seed(method.upper(), filled, query, "application/json", body))
    return found


def _sample(document: dict[str, Any], schema: dict[str, Any], chance: random.Random, depth: int) -> Any:
    """Some value that fits a schema, more or less."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if "anyOf" in schema:
        best = [one for one in schema["anyOf"] if one.get("type") != "null" and one.get("enum") != [""]]
        return _sample(document, chance.choice(best or schema["anyOf"]), chance, depth)
    kind = schema.get("type")
    if kind == "object" and depth:
        return {
            name: _sample(document, inner, chance, depth - 1)
            for name, inner in schema.get("properties", {}).items()
        }
    if kind == "array" and depth:
        return [_sample(document, schema.get("items", {}) or {}, chance, depth - 1)]
    if kind == "integer":
        return schema.get("minimum", 1)
    return {"boolean": True, "number": 1.5, "null": None}.get(str(kind), chance.choice(_WORDS))


def cases(count: int, seed: int) -> Iterator[SentRequest]:
    """Broken requests, the same ones for the same seed."""
    chance = random.Random(seed)
    begin = seeds()
    for _ in range(count):
        method, path, query, content_type, body = chance.choice(begin)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            kind = chance.random()
            if kind < 0.55 and body and "protobuf" not in content_type:
                body = break_json(body, chance)
            elif kind < 0.75:
                body = break_bytes(body, chance)
            elif kind < 0.88:
                query = _break_text(query, chance)
            elif kind < 0.95:
                path = "/".join(
                    chance.choice((part, part, part, _text(chance))) if at > 2 else part
                    for at, part in enumerate(path.split("/"))
                )
            elif kind < 0.98:
                content_type = chance.choice(
                    ("application/x-protobuf", "text/plain", "", "application/json;charset=x")
                )
            else:
                method = chance.choice(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"))
        headers = [(b"content-type", content_type.encode("latin-1", "replace"))]
        if chance.random() < 0.03:
            headers.append(
                (b"content-encoding", chance.choice((b"gzip", b"lz4", b"snappy", b"zstd", b"deflate", b"x")))
            )
            headers.append(
                (b"x-dis-lz4-content-length", chance.choice((b"1", b"-1", b"99999999999", b"x", b"179")))
            )
        yield SentRequest(
            method,
            path.encode("utf-8", "surrogatepass"),
            query.encode("utf-8", "surrogatepass"),
            headers,
            body,
            "127.0.0.1",
        )


def break_json(body: bytes, chance: random.Random) -> bytes:
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return break_bytes(body, chance)
    places = list(_places(tree))
    if not places:
        return json.dumps(chance.choice(_NASTY)).encode("utf-8", "surrogatepass")
    holder, key = chance.choice(places)
    kind = chance.random()
    if kind < 0.15 and isinstance(holder, dict):
        del holder[key]
    elif kind < 0.25 and isinstance(holder, dict):
        holder[chance.choice((str(key).upper(), f"{key} ", "", str(key) * 40))] = holder.pop(key)
    elif kind < 0.35 and isinstance(holder, list):
        holder.extend(holder[:1] * chance.choice((1, 12, 2000)))
    elif kind < 0.55:
        holder[key] = _MARK
        raw = chance.choice(_RAW)
        return json.dumps(tree).encode().replace(json.dumps(_MARK).encode(), raw, 1)
    else:
        holder[key] = chance.choice(_NASTY)
    return json.dumps(tree, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def break_bytes(body: bytes, chance: random.Random) -> bytes:
    broken = bytearray(body)
    kind = chance.randrange(5)
    if kind == 0 or not broken:
        at = chance.randint(0, len(broken))
        broken[at:at] = chance.choice((*_RAW, chance.randbytes(chance.choice((1, 9, 300)))))
    elif kind == 1:
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
    elif kind == 2:
        del broken[chance.randrange(len(broken)) :]
    elif kind == 3:
        # What protobuf takes for lengths and for types of fields.
        broken[chance.randrange(len(broken))] = chance.choice(
            (0x7F, 0x80, 0xFF, 0x00, 0x0B, 0x0C, 0x0A, 0x12, 0x1A)
        )
    else:
        at = chance.randrange(len(broken))
        broken[at:at] = broken[at : at + chance.choice((1, 20, 500))] * chance.choice((1, 50))
    return bytes(broken)


def _break_text(query: str, chance: random.Random) -> str:
    pieces = query.split("&") if query else ["limit=1"]
    at = chance.randrange(len(pieces))
    name = pieces[at].partition("=")[0]
    pieces[at] = chance.choice(
        (f"{name}={_text(chance)}", name, f"={_text(chance)}", f"{name}=1&{name}=2", "")
    )
    return "&".join(pieces)


def _text(chance: random.Random) -> str:
    value = chance.choice(_NASTY)
    text = value if isinstance(value, str) else json.dumps(value)
    text = text[: chance.choice((10, 400, 70_000))]
    return chance.choice(
        (text, "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "replace")[:300]), "%", "%zz", "%ff")
    )


def _furnish() -> list[SentRequest]:
    """What the seeds speak of; most of it is there already."""
    made: list[tuple[str, str, Any]] = [
        ("POST", "streams", {"stream_name": name, "partition_count": 2, "data_type": kind})
        for name, kind in (("s1", "BLOB"), ("s2", "JSON"))
    ]
    made += [("POST", "apps", {"app_name": name}) for name in ("a1", "g1")]
    made += [("POST", "records", {"stream_name": "s1", "records": [{"data": "aGk="}] * 3})]
    commit = {
        "app_name": "a1",
        "checkpoint_type": "LAST_READ",
        "stream_name": "s1",
        "partition_id": "0",
        "sequence_number": "0",
    }
    made += [
        ("POST", "checkpoints", commit),
        ("POST", "apps/g1/consumers", {"groupId": "g1", "clientId": "t1", "interestedStream": ["s1"]}),
    ]
    task = {
        "task_name": "t1", "agency_name": "dis_admin_agency", "deliver_time_interval": 300, "obs_bucket_path": "bucket",
        "destination_file_type": "text",
    }  # fmt: skip
    made += [
        ("POST", "streams/s1/transfer-tasks", {"destination_type": "OBS", "obs_destination_descriptor": task})
    ]
    return [
        SentRequest(
            method,
            f"/v2/{PROJECT}/{path}".encode(),
            b"",
            [(b"content-type", b"application/json")],
            json.dumps(body).encode(),
            "127.0.0.1",
        )
        for method, path, body in made
    ]


async def run(
    count: int, seed: int, directory: Path, *, cpu_seconds: float = CPU_SECONDS, progress: bool = False
) -> Outcome:
    """Put `count` cases through an application on a data directory of its own."""
    observe.configure("error")
    settings = load_settings({"data": directory, "auth": "off", "limits": "documented"}, environ={})
    limits = Limits(control_requests_per_second=1 << 62, record_bytes=1 << 16)
    settings = type(settings)(
        **{name: getattr(settings, name) for name in settings.__struct_fields__} | {"limits": limits}
    )
    statuses: Counter[int] = Counter()
    codes: Counter[str] = Counter()
    failures: list[str] = []
    slowest, slowest_what = 0.0, ""
    process = psutil.Process()
    async with server._open(settings) as parts:
        application = Application(parts.context, ROUTES)
        (directory / "obs" / "bucket").mkdir(parents=True)
        warm, started = max(count // 5, 1), 0
        every: Any = cases(count, seed)
        if progress:
            every = track(every, total=count, description="malformed requests")
        for number, sent in enumerate(every):
            if number % _FURNISH_EVERY == 0:
                for valid in _furnish():
                    reply = await application.respond(valid, "http")
                    assert reply.status < 500, reply
            if number == warm:
                started = process.memory_info().rss
            what = (
                f"{sent.method} {sent.path[:120]!r}?{sent.query[:200]!r} {sent.headers} {sent.body[:600]!r}"
            )
            began = time.process_time()
            response = await application.respond(sent, "http")
            spent = time.process_time() - began
            if spent > slowest:
                slowest, slowest_what = spent, what
            statuses[response.status] += 1
            if spent > cpu_seconds:
                failures.append(f"{spent * 1000:.0f} ms of CPU: {what}")
            if response.status >= 500:
                failures.append(f"{response.status} {response.joined()[:300]!r}: {what}")
            elif response.status >= 400:
                code = json.loads(response.joined())["errorCode"]
                codes[code] += 1
                if code not in CODES:
                    failures.append(f"no code of the table, {code}: {what}")
        grown = process.memory_info().rss - started
    return Outcome(count, dict(statuses), dict(codes), slowest, slowest_what, failures, grown)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        outcome = asyncio.run(run(arguments.cases, arguments.seed, Path(directory) / "data", progress=True))
    print(f"{outcome.cases:,} cases in {time.monotonic() - began:.0f} s, seed {arguments.seed}")
    print("statuses:", dict(sorted(outcome.statuses.items())))
    print("codes:", dict(sorted(outcome.codes.items())))
    print(
        f"slowest: {outcome.slowest_cpu_seconds * 1000:.1f} ms of CPU; memory grew by {outcome.grown_bytes / 2**20:.1f} MiB"
    )
    for failure in outcome.failures[:20]:
        print("FAILED", failure[:1500])
    print(f"{len(outcome.failures)} failures")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
