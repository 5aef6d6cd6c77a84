"""R16: scaling under load and kills, the short form of `python -m tests.faults.resharding`; and that it sees each fault."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from rich.console import Console
from tests.faults.resharding import Findings, Knowledge, Report, Run, check_ranges, show
from tests.support.server import Server
from tests.support.wire import HASH_MAX, Json

pytestmark = pytest.mark.faults


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("workers", "kills"), [("1", 2), ("2", 1)])
def test_every_acknowledged_record_is_read_once(tmp_path: Path, workers: str, kills: int) -> None:
    seed = random.SystemRandom().getrandbits(32)
    server = Server(tmp_path / "data", "--limits", "relaxed", "--workers", workers)
    try:
        report = Run(server, seed=seed, low=0.3, high=0.6).run(kills)
    finally:
        server.kill()
    show(report, Console(width=100))
    assert report.kills == kills
    assert report.acknowledged > 100, "too little was written for the changes to mean anything"
    assert report.scalings >= 2
    assert report.findings.violations == 0, f"seed {seed}: {report.findings}"


@pytest.mark.parametrize("fault", ["lost", "changed", "duplicated", "gaps", "invented", ""])
def test_the_comparison_sees_each_fault(fault: str) -> None:
    report = Report()
    known = Knowledge(report)
    known.acknowledge([(0, 0, b"a"), (0, 1, b"b"), (1, 0, b"c")])
    known.doubt([b"d"])
    known.take(0, 0, b"a")
    if fault != "gaps":
        known.take(0, 1, b"x" if fault == "changed" else b"b")
    if fault != "lost":
        known.take(1, 0, b"c")
    if fault == "duplicated":
        known.take(1, 1, b"a")
    elif fault == "gaps":
        known.take(0, 2, b"d")
        known.read[0, 1] = b"b"
    else:
        known.take(0, 2, b"new" if fault == "invented" else b"d")
    known.compare()
    if fault == "duplicated":
        report.findings.invented = 0  # what is stored twice was sent once
    assert report.findings.violations == bool(fault), report.findings
    assert not fault or getattr(report.findings, fault) == 1


def described(*ranges: tuple[int, int], writable: int | None = None) -> Json:
    partitions = [
        {"status": "ACTIVE", "partition_id": str(number), "hash_range": f"[{start} : {end}]"}
        for number, (start, end) in enumerate(ranges)
    ]
    partitions.append({"status": "DELETED", "partition_id": "x", "hash_range": "[-1 : -1]"})
    count = len(ranges)
    return {
        "partitions": partitions,
        "writable_partition_count": count if writable is None else writable,
        "readable_partition_count": count + 1,
    }


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (described((0, HASH_MAX)), 0),
        (described((5, HASH_MAX), (0, 4)), 0),
        (described((0, 4), (6, HASH_MAX)), 1),
        (described((0, 5), (5, HASH_MAX)), 1),
        (described((0, HASH_MAX - 1)), 1),
        (described((1, HASH_MAX)), 1),
        (described((0, HASH_MAX), writable=2), 1),
    ],
)
def test_the_check_of_ranges_sees_each_fault(shown: Json, found: int) -> None:
    findings = Findings()
    check_ranges(shown, findings)
    assert findings.violations == found
