"""What clients really asked servers during a run of the tests: access logs with field names, and when each test ran.

Owns the directory of one run (PENSTOCK_TEST_RECORD names it; nothing is recorded without) and how a request is brought
together with the test that made it and the client that sent it: tests run one after the other, so the time tells.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

VARIABLE = "PENSTOCK_TEST_RECORD"

CLIENTS: tuple[tuple[str, str], ...] = (
    ("java", r"X-SDK-Version/1\.3\.5"),
    ("kafka", r"X-SDK-Version/1\.3\.3"),
    ("py3", r"huaweicloud-usdk-python"),
    ("java-v3", r"huaweicloud-usdk-java"),
    ("go-v3", r"huaweicloud-usdk-go"),
    ("pyOld", r"dis-python-sdk"),
    ("otcpy", r"openstacksdk|otcextensions|keystoneauth"),
)
"""Clients by what they say in User-Agent and X-SDK-Version (clients.md section 2). Everything else is `raw`: requests that
the tests write themselves, byte by byte."""


class Seen(NamedTuple):
    """One request of a run."""

    test: str
    client: str
    method: str
    route: str
    status: int
    codes: tuple[str, ...]
    fields: tuple[str, ...]
    replied: tuple[str, ...]


def directory() -> Path | None:
    """Where this process of the run records; None when it does not."""
    name = os.environ.get(VARIABLE)
    return Path(name) / os.environ.get("PYTEST_XDIST_WORKER", "main") if name else None


def environment() -> dict[str, str]:
    """What makes a server record."""
    where = directory()
    if where is None:
        return {}
    where.mkdir(parents=True, exist_ok=True)
    file = where / f"{secrets.token_hex(8)}.access"
    return {"PENSTOCK_ACCESS_LOG": str(file), "PENSTOCK_ACCESS_LOG_FIELDS": "on"}


def note(test: str) -> None:
    """A test begins."""
    where = directory()
    if where is None:
        return
    where.mkdir(parents=True, exist_ok=True)
    with (where / "tests").open("a") as file:
        file.write(json.dumps([time.time_ns() // 1_000_000, test]) + "\n")


def client_of(agent: str) -> str:
    """The short name of a client."""
    return next((name for name, form in CLIENTS if re.search(form, agent, re.IGNORECASE)), "raw")


def read(where: Path) -> Iterator[Seen]:
    """The requests of a run that had a route. Each process of the run has a directory of its own in `where`."""
    for process in sorted(path.parent for path in where.glob("*/tests")):
        yield from _read_process(process)


def _read_process(where: Path) -> Iterator[Seen]:
    tests = [json.loads(line) for line in (where / "tests").read_text().splitlines()]
    starts = [start for start, _ in tests]
    for file in sorted(where.glob("*.access")):
        for line in file.read_text().splitlines():
            try:
                entry = json.loads(line)
                index = bisect_right(starts, entry["time"]) - 1
            except (ValueError, TypeError, KeyError):  # its server was killed while it wrote
                continue
            if "schemathesis" in entry["agent"]:  # what is generated shows nothing on purpose
                continue
            if index < 0 or not entry["route"]:
                continue
            yield Seen(
                tests[index][1],
                # Raw tests imitate clients, down to what they call themselves.
                "raw" if "/test_wire_" in tests[index][1] else client_of(entry["agent"]),
                entry["method"],
                entry["route"],
                entry["status"],
                tuple(entry.get("codes", ())),
                tuple(entry.get("fields", ())),
                tuple(entry.get("replied", ())),
            )
