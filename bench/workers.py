"""`python -m bench.workers`: puts and reads with `--workers 1, 2, 4 ...`, as speed-up over one.

All servers are up at once and take turns. Unlike in `python -m bench` nothing is pinned: a server may use every core, and the load
generator shares them with it, as it is said under the table. The command line and the table; it must not know how loads are made.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import machine
from bench.__main__ import interrupted
from bench.cases import Case
from bench.load.model import Load
from bench.processes import Died
from bench.report import count
from bench.runner import Result, Runner
from bench.systems.base import System
from bench.systems.penstock import Penstock

# More connections than in `python -m bench`: the kernel spreads them over the workers by chance.
CASES = (
    Case("put-1x200", "put", 1, 200, 64),
    Case("put-1x200-256", "put", 1, 200, 256),
    Case("put-10x200", "put", 10, 200, 64),
    Case("put-500x200", "put", 500, 200, 32),
    Case("recent-500x200", "recent", 500, 200, 16),
    Case("recent-10x200", "recent", 10, 200, 16),
)


class Workers(Penstock):
    def __init__(self, count: int, serve: tuple[str, ...] = ()) -> None:
        super().__init__(partitions=4, serve=("--workers", str(count), *serve))
        self.name = f"workers-{count}"
        self.label = f"--workers {count}"
        self.count = count


class CoreProcess:
    """What the process that owns the log spends on a record: with one worker there is no other."""

    def __init__(self) -> None:
        self._us: dict[tuple[str, str], list[float]] = {}

    def around(self, case: Case, system: System, load: Callable[[], Load]) -> Load:
        before = machine.own_cpu_seconds(system.server.pid)
        done = load()
        if records := done.handled or done.records:
            spent = machine.own_cpu_seconds(system.server.pid) - before
            self._us.setdefault((case.name, system.name), []).append(spent / records * 1e6)
        return done

    def us(self, case: Case, system: System) -> float:
        found = self._us.get((case.name, system.name))
        return statistics.median(found) if found else 0.0

    def as_json(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for (case, system), values in self._us.items():
            found.setdefault(case, {})[system] = statistics.median(values)
        return found


def speed_ups(rates: Mapping[int, float]) -> dict[int, float]:
    """Workers -> rate over that of the fewest."""
    base = rates[min(rates)]
    return {count: rate / base if base else 0.0 for count, rate in sorted(rates.items())}


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description="Measure `--workers N`.")
    parser.add_argument("--workers", default="1,2,4", help="comma list (default %(default)s)")
    parser.add_argument("--cases", default="", help=f"comma list of {', '.join(case.name for case in CASES)}")
    parser.add_argument("--seconds", type=float, default=3.0, help="per load, server and round (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="the median is shown (default 3)")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s")
    parser.add_argument("--data-root", type=Path, help="where servers keep data, on a real disk")
    parser.add_argument(
        "--results", type=Path, default=Path(__file__).with_name("results"), help="where workers.json goes"
    )
    found = parser.parse_args(argv)
    if found.quick:
        found.seconds, found.rounds = 1.0, 1
    found.workers = sorted({int(each) for each in found.workers.split(",") if each})
    starts = tuple(each for each in found.cases.split(",") if each)
    found.cases = [case for case in CASES if not starts or case.name.startswith(starts)]
    if not found.cases or not found.workers:
        parser.error("nothing to measure")
    return found


def table(
    results: Sequence[Result], systems: Sequence[Workers], cases: Sequence[Case], core: CoreProcess
) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, title="Several HTTP processes", title_style="bold")
    for heading in (
        "load",
        "workers",
        "records/s",
        "speed-up",
        "server CPU us/record",
        "in the core process",
        "server, cores",
        "generator idle",
    ):
        shown.add_column(heading, justify="left" if heading == "load" else "right")
    found = {(result.case, result.system): result for result in results}
    for case in cases:
        rates = {
            system.count: found[case.name, system.name].rate
            for system in systems
            if (case.name, system.name) in found
        }
        ups = speed_ups(rates) if rates else {}
        for number, system in enumerate(systems):
            result = found.get((case.name, system.name))
            if result is not None:
                shown.add_row(
                    escape(case.title) if number == 0 else "", str(system.count), count(result.rate),
                    f"{ups[system.count]:.2f} x", f"{result.cpu_us:.2f}", f"{core.us(case, system):.2f}", f"{result.server_busy:.2f}",
                    f"{result.generator_idle:.0%}",
                )  # fmt: skip
        shown.add_section()
    return shown


def measure(
    asked: argparse.Namespace, systems: Sequence[Workers], core: CoreProcess, console: Console
) -> tuple[list[Result], dict[str, Any]]:
    """Every load; all servers have ended when this returns."""
    directory = Path(tempfile.mkdtemp(prefix="workers-", dir=asked.data_root or machine.cache()))
    runner = Runner(
        systems, directory, asked.results, (None, None), lambda text: console.print(text, style="dim")
    )
    results: list[Result] = []
    try:
        facts = {**machine.facts(directory), "seconds": asked.seconds, "rounds": asked.rounds}
        runner.start()
        for case in asked.cases:
            results.extend(runner.measure(case, asked.seconds, asked.rounds, runner.say, core.around))
    finally:
        runner.close()
    return results, facts


def main(argv: Sequence[str] | None = None) -> int:
    asked = arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 170)
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    systems = [Workers(count) for count in asked.workers]
    core = CoreProcess()
    try:
        results, facts = measure(asked, systems, core, console)
    except (machine.Missing, Died) as error:
        console.print(f"[red]bench.workers:[/] {escape(str(error))}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("[yellow]bench.workers: interrupted; all servers are stopped[/]")
        return 130
    console.print(table(results, systems, asked.cases, core))
    cores = len(os.sched_getaffinity(0))
    console.print(
        f"{cores} cores, shared by the server's processes and the load generator: near-linear can only be what has a core for each. "
        "What the core process spends on a record is the part that more workers do not share: its inverse is the ceiling.",
        style="dim",
        highlight=False,
    )
    wrong = [f"{result.case}, {result.system}: {each}" for result in results for each in result.wrong]
    for each in wrong:
        console.print(f"[red]NOT RIGHT[/] {escape(each)}", highlight=False)
    asked.results.mkdir(parents=True, exist_ok=True)
    file = asked.results / "workers.json"
    file.write_text(
        json.dumps(
            {
                "facts": facts,
                "core_process_us": core.as_json(),
                "results": [each.as_json() for each in results],
            },
            indent=1,
        )
        + "\n"
    )
    console.print(f"written: {file}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
