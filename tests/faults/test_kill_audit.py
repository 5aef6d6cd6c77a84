"""R1: 20 kills under load; SIGTERM under load; two servers on one data directory (R23)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from tests.faults.kill_audit import (
    PARTITIONS,
    WRITERS,
    Audit,
    Expectation,
    Findings,
    Ledger,
    Writer,
    compare,
    show,
)
from tests.support.server import Server
from tests.support.wire import Wire, ok

pytestmark = pytest.mark.faults


KILLS = int(os.environ.get("PENSTOCK_KILLS", "20"))
"""`make faults KILLS=500` is the long run."""


@pytest.mark.timeout(300 if KILLS <= 20 else 0)
def test_nothing_acknowledged_is_lost_in_kills(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    server = Server(tmp_path / "data", "--limits", "relaxed")
    try:
        report = Audit(server, tmp_path, seed=seed, low=0.2, high=1.0, fresh_every=4).run(KILLS)
    finally:
        server.kill()
    show(report, Console(width=100))
    assert report.kills == KILLS
    assert report.acknowledged > 1000, "too little was written for the kills to mean anything"
    assert report.findings.violations == 0, f"seed {seed}: {report.findings}"


def test_sigterm_under_load_loses_nothing(tmp_path: Path) -> None:
    """Stops accepting, finishes and acknowledges what it has, exits 0 within 5 s."""
    server = Server(tmp_path / "data", "--limits", "relaxed")
    findings = Findings()
    expected = Expectation(findings)
    unsure: set[bytes] = set()
    try:
        server.start()
        with Wire.to(server) as wire:
            assert wire.create("load", PARTITIONS).status_code == 201
        ledger = Ledger(tmp_path / "ledger")
        counts = [0] * WRITERS
        wires = [Wire.to(server) for _ in range(WRITERS)]
        writers = [
            Writer(number, wire, "load", ledger, number, unsure, counts) for number, wire in enumerate(wires)
        ]
        for writer in writers:
            writer.start()
        time.sleep(1.0)
        began = time.monotonic()
        status = server.terminate()
        took = time.monotonic() - began
        for writer in writers:
            writer.stop()
            writer.join(30)
            assert writer.failure is None, writer.failure
        for wire in wires:
            wire.close()
        assert status == 0, server.log_tail()
        assert took < 5.0
        assert ledger.close() == sum(writer.acknowledged for writer in writers) > 0
        for writer_number, partition, _, sequence, one in ledger.rows():
            expected.take(writer_number, partition, sequence, one)
        server.start()
        with Wire.to(server) as wire:
            compare(wire, "load", expected, unsure, findings)
    finally:
        server.kill()
    assert findings.violations == 0, findings


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Server(data) as first, Wire.to(first) as wire:
        wire.create("s")
        command = [sys.executable, "-m", "penstock", "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode != 0
        assert "penstock ready" not in second.stdout
        assert str(data) in second.stderr
        assert "Traceback" not in second.stderr
        assert "another" in second.stderr or "in use" in second.stderr or "already" in second.stderr, (
            second.stderr
        )
        wire.put_data("s", b"still here")
        assert ok(wire.describe("s"))["partitions"][0]["sequence_number_range"] == "[0 : 1]"
        first.kill()
        assert first.start() >= 0, "a lock that outlives its holder would stop the restart"


@pytest.mark.parametrize("fault", ["lost", "changed", "duplicated", "invented", "disordered"])
def test_the_audit_sees_each_fault(tmp_path: Path, fault: str) -> None:
    """An audit that cannot fail proves nothing: tell it of acknowledgements that were not."""
    from tests.faults.kill_audit import digest

    findings = Findings()
    expected = Expectation(findings)
    with Server(tmp_path / "data", "--limits", "relaxed") as server, Wire.to(server) as wire:
        wire.create("s", PARTITIONS)
        for number in range(3):
            (entry,) = wire.put_data("s", str(number).encode(), partition_id="0")
            if fault == "invented" and number == 1:
                continue
            expected.take(0, 0, int(entry["sequence_number"]), digest(None, str(number).encode()))
        if fault == "lost":
            expected.take(0, 0, 3, digest(None, b"3"))
        elif fault == "changed":
            expected.by_partition[0][1] = digest(None, b"x")
        elif fault == "duplicated":
            expected.take(1, 0, 2, digest(None, b"2"))
        elif fault == "disordered":
            expected.take(0, 0, 1, digest(None, b"1"))
            findings.duplicated = 0
        compare(wire, "s", expected, set(), findings)
    assert getattr(findings, fault) == 1
    assert findings.violations == 1, findings
