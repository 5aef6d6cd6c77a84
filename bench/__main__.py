"""`python -m bench`: measure Penstock and its peers, show the table, leave a plot and a JSON file.

The command line and nothing else; `docs/performance.md` says how to read the result.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench import baseline, machine, report
from bench.cases import CASES, ON_DISK, PROFILED, Case
from bench.processes import Died
from bench.profile import Profiler
from bench.runner import Result, Runner, plain
from bench.systems.base import System
from bench.systems.kafka import Kafka
from bench.systems.kinesis import Kinesalite, Moto
from bench.systems.nats import Nats
from bench.systems.penstock import Penstock
from bench.systems.redis import Redis
from penstock import __version__

PEERS: dict[str, Callable[[], System]] = {
    "redis": Redis,
    "kafka": Kafka,
    "kinesalite": Kinesalite,
    "moto": Moto,
    "nats": lambda: Nats(always=False),
    "nats-always": lambda: Nats(always=True),
}
RESULTS = Path(__file__).with_name("results")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Penstock beside its peers.")
    parser.add_argument("--quick", action="store_true", help="Penstock alone, one round of 2 s a row")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma list, or none (default: %(default)s)")
    parser.add_argument(
        "--cases", default="", help="comma list of rows or their beginnings: put-500, get, ..."
    )
    parser.add_argument(
        "--seconds", type=float, help="per row, system and round (default 3; wrk takes whole ones)"
    )
    parser.add_argument("--rounds", type=int, help="per row and system; the median is shown (default 3)")
    parser.add_argument(
        "--partitions", type=int, default=1, help="partitions of Penstock's streams (default 1)"
    )
    parser.add_argument("--serve", default="", help="more options for `penstock serve`, as one string")
    parser.add_argument("--without-penstock", action="store_true", help="peers alone")
    parser.add_argument(
        "--profile", action="store_true", help="perf or py-spy beside Penstock (slower figures)"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="where the files go (default bench/results)"
    )
    parser.add_argument(
        "--data-root", type=Path, help="where servers keep data, on a real disk (default: the cache)"
    )
    parser.add_argument(
        "--save-baseline",
        action="store_true",
        help="keep the CPU per record of this run's rows in bench/baseline.json, for later runs to compare with",
    )
    parser.add_argument("--list", action="store_true", help="show the rows and end")
    found = parser.parse_args(argv)
    # A profile is of Penstock: peers would only take time.
    alone = found.quick or found.profile or found.peers == "none"
    names = [] if alone else [each for each in found.peers.split(",") if each]
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        parser.error(f"unknown peer {unknown[0]}; there are {', '.join(PEERS)}")
    found.peers = names
    found.seconds = found.seconds or (2.0 if found.quick else 3.0)
    found.rounds = found.rounds or (1 if found.quick else 3)
    starts = tuple(each for each in found.cases.split(",") if each)
    if found.profile and not starts:
        starts = PROFILED
    found.cases = [case for case in CASES if not starts or case.name.startswith(starts)]
    if not found.cases:
        parser.error("no such row; --list shows them")
    return found


def interrupted(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP end the run as Ctrl-C does: through every `finally`."""
    raise KeyboardInterrupt


def measure(
    runner: Runner, cases: Sequence[Case], asked: argparse.Namespace, console: Console
) -> tuple[list[Result], dict[str, dict[int, float]]]:
    """All rows under one progress bar, and the disk's own group commits beside those that are measured against it."""
    results: list[Result] = []
    disk: dict[str, dict[int, float]] = {}
    profiler = Profiler(asked.results, asked.seconds) if asked.profile else None
    if profiler and profiler.missing:
        raise machine.Missing(profiler.missing)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    # Four redraws a second at most: the bar lives on the load generator's core.
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task("", total=len(cases) * asked.rounds * len(runner.systems))
        steps = 0

        def step(text: str) -> None:
            nonlocal steps
            progress.update(task, description=text, completed=steps)
            if not console.is_terminal:
                console.print(text)
            steps += 1

        for number, case in enumerate(cases):
            around = profiler.around if profiler else plain
            if case.name in ON_DISK:
                disk[case.name] = on_disk(case, runner.directory, asked.seconds)
            results.extend(runner.measure(case, asked.seconds, asked.rounds, step, around))
            if case.name in ON_DISK:
                again = on_disk(case, runner.directory, asked.seconds)
                disk[case.name] = {size: max(rate, disk[case.name][size]) for size, rate in again.items()}
            steps = (number + 1) * asked.rounds * len(runner.systems)
        progress.update(task, description="done", completed=steps)
    for summary in profiler.summaries if profiler else ():
        console.print(summary, highlight=False, markup=False)
    if profiler:
        # As it is, for pasting: no wrapping.
        console.print("\nWhere the server's time goes (figures with a profiler beside it):\n", style="bold")
        print(profiler.where([result for result in results if result.system == "penstock"]), flush=True)
    return results, disk


def efficiency(console: Console, results: Sequence[Result], asked: argparse.Namespace) -> None:
    """CPU per record against the last release, in a table and in `efficiency.json`; or kept as its figures."""
    found = baseline.of_penstock(results)
    if not found or asked.profile:
        return
    yardstick = baseline.yardstick()
    before = baseline.load()
    if before is None:
        console.print("no figures of a release to compare with: python -m bench --save-baseline")
    else:
        changes = baseline.compare(before, found, yardstick)
        console.print(baseline.table(before, changes, yardstick))
        file = asked.results / "efficiency.json"
        file.write_text(json.dumps(baseline.as_json(before, changes, yardstick), indent=1) + "\n")
        console.print(f"written: {file}")
    if asked.save_baseline:
        today = datetime.now(UTC).date().isoformat()
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        baseline.save(baseline.Baseline(__version__, today, python, yardstick, found))
        console.print(f"written: {baseline.FILE}")


def on_disk(case: Case, directory: Path, seconds: float) -> dict[int, float]:
    """Groups of up to as many requests as are outstanding."""
    return machine.group_commits(directory, case.records * case.size, case.connections, seconds / 3)


def main(argv: Sequence[str] | None = None) -> int:
    asked = arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 190)
    if asked.list:
        for case in CASES:
            console.print(f"{case.name:17} {case.title}", highlight=False)
        return 0
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    root = asked.data_root or machine.cache()
    systems: list[System] = []
    if not asked.without_penstock:
        systems.append(Penstock(partitions=asked.partitions, serve=tuple(shlex.split(asked.serve))))
    systems.extend(PEERS[name]() for name in asked.peers)
    server_core, load_core = machine.cores()
    if server_core == load_core:
        console.print("[yellow]Only one core may be used: server and load generator share it.[/]")
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=root))
    if machine.filesystem(directory) in ("tmpfs", "ramfs", "overlay"):
        console.print(
            f"[yellow]{directory} is on {machine.filesystem(directory)}: fdatasync may cost nothing there.[/]"
        )
    # The rest of this process stays off the server's core.
    os.sched_setaffinity(0, {load_core})
    runner = Runner(
        systems,
        directory,
        asked.results,
        (server_core, load_core),
        lambda text: console.print(text, style="dim"),
    )
    try:
        facts = {
            **machine.facts(directory), "seconds": asked.seconds, "rounds": asked.rounds,
            "partitions": asked.partitions, "server_core": server_core, "load_core": load_core,
        }  # fmt: skip
        runner.start()
        results, disk = measure(runner, asked.cases, asked, console)
    except (machine.Missing, Died) as error:
        console.print(f"[red]bench:[/] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("[yellow]bench: interrupted; all servers are stopped[/]")
        return 130
    finally:
        runner.close()
    report.show(console, results, runner.systems, runner.skipped, facts, disk)
    console.print(
        f"written: {report.save(asked.results, results, runner.systems, runner.skipped, facts, disk)}"
    )
    efficiency(console, results, asked)
    picture = report.plot(asked.results, results, runner.systems)
    console.print(f"written: {picture}" if picture else "no plot: pip install matplotlib")
    return 0 if all(result.checked for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
