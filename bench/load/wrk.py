"""Puts over HTTP: wrk with ready-made requests, every reply looked into.

It must not know which server answers.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench import machine, processes
from bench.load.model import Load

SCRIPT = Path(__file__).with_name("requests.lua")


def tool() -> str:
    """wrk's path; installed from Debian's package when we may."""
    return machine.need_debian("wrk", "wrk")


def put(
    url: str,
    requests: Path,
    *,
    records: int,
    connections: int,
    seconds: float,
    marks: tuple[str, str],
    core: int | None,
) -> Load:
    """`connections` keep-alive connections send the requests in turn for `seconds` (rounded up to whole ones).

    Requests still unanswered at the end are not counted, though the server may carry them out: up to one
    a connection.
    """
    whole = max(1, round(seconds))
    argv = [
        tool(), "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "20s", "--latency",
        "-s", str(SCRIPT), url, "--", str(requests), *marks,
    ]  # fmt: skip
    ran = processes.run(argv, core, whole)
    found = json.loads(ran.stdout.strip().splitlines()[-1])
    wrong = []
    if found["bad"]:
        wrong.append(f"{found['bad']} replies were not a full success: {found['example']}")
    if found["socket_errors"]:
        wrong.append(f"{found['socket_errors']} socket errors")
    return Load(
        records=(found["requests"] - found["bad"]) * records,
        requests=found["requests"],
        seconds=found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        generator_cpu=ran.cpu,
        generator_wall=ran.wall,
        wrong=wrong,
        notes={"max_ms": found["max_ms"]},
    )
