"""R18, exactly once into every destination: dump tasks that deliver through a network that fails, into real servers, killed again and
again.

`python -m tests.faults.dumping --kills 100 --targets dws hdfs`: of the requests to a destination 10 % fail before it sees them, 5 % are
carried out and their answers lost, and now and then it says 503 to everything for a while; for one record in a hundred there is no way into
it at all. The dump process is killed at a step of a round drawn by lot, every tenth time the whole server is. In the end every
record must be at the destination once, every record it cannot take in the error directory, nothing else anywhere, and the lag zero.

Owns the lots and the comparison; destinations are `tests.support.dump_targets`', tasks `tests.support.dump_bench`'s.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tests.support import dump_targets
from tests.support.controls import ON
from tests.support.dump_bench import Bench, Dump
from tests.support.dump_target import INTERVAL, Services, Target
from tests.support.faulty import Fault, Plan, Request, bursts, seeded
from tests.support.server import Server

TARGETS: dict[str, type[Target]] = {
    kind.name: kind
    for kind in vars(dump_targets).values()
    if isinstance(kind, type)
    and issubclass(kind, Target)
    and "name" in vars(kind)
    and kind is not dump_targets.Beside
}
FAILING = {Fault.REFUSE: 6.0, Fault.RESET: 4.0, Fault.LOSE: 5.0}
"""Percent of requests."""
PASSING, REFUSED = 60, 15
"""So many requests pass, then so many are refused in a row."""
REQUESTS = {"dws": 10, "mrs": 4, "rest": 4}
"""About how many requests a round takes where it is many: so many times less often one fails, or no round would ever get through."""
RECORDS = 40
SETTLE_SECONDS = 120.0
CONFIG = """
[limits]
deliver_seconds_min = 1
destination_seconds = 2

"""


@dataclass
class Report:
    """What a run did and found."""

    target: str
    records: int = 0
    poison: int = 0
    kills: int = 0
    server_kills: int = 0
    failed_requests: int = 0
    missing: int = 0
    surplus: int = 0
    errors_missing: int = 0
    errors_surplus: int = 0
    lag: int = 0
    discard_wrong: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def violations(self) -> int:
        return (
            self.missing
            + self.surplus
            + self.errors_missing
            + self.errors_surplus
            + self.lag
            + self.discard_wrong
        )


def run(
    kind: type[Target], kills: int, seed: int, directory: Path, progress: Progress | None = None
) -> Report:
    """One destination. Nothing is given up for (a retry_duration of hours): every record must arrive."""
    report = Report(kind.name)
    chance = random.Random(seed)
    began = time.monotonic()
    bar = None if progress is None else progress.add_task(kind.name, total=kills)
    services = Services(directory / "services")
    try:
        target = kind(services, directory)
        try:
            config = directory / "penstock.toml"
            config.write_text(CONFIG + target.config())
            server = Server(target.data, "--config", str(config), "--limits", "relaxed", env=ON)
            with server, Bench(server, target) as bench:
                changes = {"retry_duration": 7200} if target.passes else {}
                dump = bench.dump(partitions=3, **changes)
                for proxy in target.proxies:
                    proxy.plan = _plan(seed, REQUESTS.get(kind.name, 1))
                for number in range(kills):
                    _step(bench, dump, target, chance, report, number)
                    if progress is not None and bar is not None:
                        progress.advance(bar)
                report.failed_requests = sum(proxy.failed() for proxy in target.proxies)
                for proxy in target.proxies:
                    proxy.heal()
                _compare(bench, dump, target, report)
        finally:
            target.close()
    finally:
        services.stop()
    report.seconds = time.monotonic() - began
    return report


def _plan(seed: int, requests: int) -> Plan:
    """One request in seven fails by lot (of several in a round, one in so many times seven), and there are bursts."""
    lots = seeded(seed, {fault: percent / requests for fault, percent in FAILING.items()})
    burst = bursts(Fault.REFUSE, passing=PASSING * requests, failing=REFUSED)

    def plan(request: Request) -> Fault:
        drawn = lots(request)
        in_burst = burst(request)
        return drawn if drawn is not Fault.NONE else in_burst

    return plan


def _step(
    bench: Bench, dump: Dump, target: Target, chance: random.Random, report: Report, number: int
) -> None:
    """Some records, a death, and time in which it is noticed."""
    bad = sum(chance.random() < 0.01 for _ in range(RECORDS)) if target.poison else 0
    dump.put(RECORDS, bad=bad)
    report.records += RECORDS
    report.poison += bad
    if number % 10 == 9:
        bench.server.kill()
        report.server_kills += 1
        bench.start_again()
    elif chance.random() < 0.7:
        bench.kill_at(chance.choice(target.points))
    elif (pid := _dump_process(bench)) is not None:
        os.kill(pid, signal.SIGKILL)
    report.kills += 1
    _advance(bench, INTERVAL + 1)
    for _ in range(chance.randrange(3)):
        _advance(bench, 0)


def _advance(bench: Bench, seconds: float) -> None:
    """Let time pass. A destination that answers nothing for a minute is no reason to stop."""
    with contextlib.suppress(httpx.ReadTimeout):
        bench.advance(seconds)


def _dump_process(bench: Bench) -> int | None:
    """Its pid, if it lives."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = re.search(r"^PPid:\s*(\d+)", (entry / "status").read_text(), re.MULTILINE)
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"penstock.dump.process" in command and parent and int(parent[1]) == bench.server.pid:
            return int(entry.name)
    return None


def _compare(bench: Bench, dump: Dump, target: Target, report: Report) -> None:
    """Everything has its time, then counts."""
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        _advance(bench, INTERVAL + 1)
        found, errors = dump.records(), dump.errors()
        shown = dump.details()
        lag = shown["lag"]["records"]
        if (found == dump.expected and errors == dump.poison and not lag) or time.monotonic() > until:
            break
    missing, surplus = dump.expected - found, found - dump.expected
    report.missing, report.surplus = missing.total(), surplus.total()
    report.errors_missing = (dump.poison - errors).total()
    report.errors_surplus = (errors - dump.poison).total()
    report.lag = lag
    discarded = sum(part["discard"] for part in shown["partitions"])
    report.discard_wrong = abs(discarded - dump.poison.total())
    for what, counted in (("missing", missing), ("surplus", surplus)):
        if counted:
            report.wrong.append(f"{what}: {_first(counted)}")
    if lag:
        report.wrong.append(f"{shown['state']}: {shown.get('state_reason')}")


def _first(counted: Counter[int]) -> str:
    return ", ".join(f"{key} ({count})" for key, count in sorted(counted.items())[:10])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.dumping", description="Dump tasks against faults and kills (R18)."
    )
    parser.add_argument("--kills", type=int, default=100, help="for each destination (default 100)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targets", nargs="*", choices=[*TARGETS], default=[*TARGETS])
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    reports = []
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for name in options.targets:
            with tempfile.TemporaryDirectory(prefix="penstock-dumping-") as scratch:
                reports.append(run(TARGETS[name], options.kills, options.seed, Path(scratch), progress))
    _show(console, reports)
    return 1 if any(report.violations for report in reports) else 0


def _show(console: Console, reports: Sequence[Report]) -> None:
    table = Table(title="Exactly once into every destination (R18)")
    names = "target records poison kills servers failed missing surplus e-miss e-surp lag discard s"
    for name in names.split():
        table.add_column(name, justify="left" if name == "target" else "right")
    for one in reports:
        numbers = (
            one.records,
            one.poison,
            one.kills,
            one.server_kills,
            one.failed_requests,
            one.missing,
            one.surplus,
            one.errors_missing,
            one.errors_surplus,
            one.lag,
            one.discard_wrong,
            round(one.seconds),
        )
        table.add_row(one.target, *(f"{number:,}" for number in numbers))
    console.print(table)
    for one in reports:
        for line in one.wrong:
            console.print(f"[red]{one.target}: {line}[/red]")


if __name__ == "__main__":
    sys.exit(main())
