"""`python -m bench.scale`: cost as work grows. Puts, start-up and memory at more and more partitions, connections, consumers,
retained data and streams; a table, a JSON file and plots.

The command line and the table; `docs/performance.md` says how to read them. It must not know how anything is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import machine
from bench.__main__ import interrupted
from bench.processes import Died
from bench.report import count
from bench.scaling.measures import GROWTHS, Bench, Plan
from bench.scaling.model import Found, judge, losses, series
from bench.scaling.plots import plots

ROOT = Path(__file__).parents[1]
FULL = Plan(
    partitions=(1, 10, 100, 1_000, 10_000), connections=(1, 10, 100, 1_000), consumers=(1, 10, 50, 100, 200),
    gigabytes=(1, 2, 5), streams=(1, 10, 100, 1_000), seconds=3.0, rounds=3,
)  # fmt: skip
QUICK = Plan(
    partitions=(1, 10, 100), connections=(1, 10, 100), consumers=(1, 10), gigabytes=(0.2,), streams=(1, 100),
    seconds=1.0, rounds=1,
)  # fmt: skip


def numbers(text: str) -> tuple[float, ...]:
    return tuple(float(each) for each in text.split(",") if each)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description="Measure what growth costs: plots and a table."
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one round of 1 s, about two minutes"
    )
    parser.add_argument(
        "--only", default=",".join(GROWTHS), help="comma list of what grows (default: %(default)s)"
    )
    parser.add_argument(
        "--gb", type=numbers, help="comma list of gigabytes of retained data (default 1,2,5; 0: none)"
    )
    parser.add_argument("--partitions", type=numbers, help="comma list (default 1,10,100,1000,10000)")
    parser.add_argument("--seconds", type=float, help="per load, size and round (default 3; whole ones)")
    parser.add_argument("--rounds", type=int, help="per load and size; the median is shown (default 3)")
    parser.add_argument("--data-root", type=Path, help="where servers keep data, on a real disk")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "bench" / "results", help="where scale.json goes"
    )
    parser.add_argument(
        "--plots", type=Path, help="where plots go (default docs/plots; with --quick or --only the results)"
    )
    parser.add_argument("--plot-only", action="store_true", help="plots and table of the scale.json there is")
    found = parser.parse_args(argv)
    found.growths = [each for each in found.only.split(",") if each]
    unknown = [each for each in found.growths if each not in GROWTHS]
    if unknown:
        parser.error(f"{unknown[0]} does not grow; there are {', '.join(GROWTHS)}")
    plan = QUICK if found.quick else FULL
    changed = {
        "gigabytes": None if found.gb is None else tuple(each for each in found.gb if each > 0),
        "partitions": None if found.partitions is None else tuple(int(each) for each in found.partitions),
        "seconds": found.seconds,
        "rounds": found.rounds,
    }
    fields = {name: getattr(plan, name) for name in Plan.__slots__}
    found.plan = Plan(**fields | {name: value for name, value in changed.items() if value is not None})
    whole = set(found.growths) == set(GROWTHS) and not found.quick
    found.plots = found.plots or (ROOT / "docs" / "plots" if whole or found.plot_only else found.results)
    return found


def more_files() -> None:
    """As many open files as we may have: a thousand connections, and as many segments. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# -- the table -----------------------------------------------------------------------------------------


def show(console: Console, found: Found) -> bool:
    """The tables; whether every mark is reached and everything was right."""
    table = Table(box=box.SIMPLE_HEAD, title="Cost as work grows", title_style="bold")
    for heading in (
        "load",
        "size",
        "records/s",
        "lost",
        "server CPU us/record",
        "p50 ms",
        "p99 ms",
        "generator idle",
    ):
        table.add_column(heading, justify="left" if heading == "load" else "right")
    for growth in dict.fromkeys(point.growth for point in found.points):
        for load, points in series(found.points, growth).items():
            for point, lost in zip(points, losses(points), strict=True):
                table.add_row(
                    escape(load) if point is points[0] else "",
                    f"{point.size:,g} {growth}",
                    count(point.rate),
                    f"{lost:.1%}" if lost > 0 else "-",
                    *(f"{_middle(each):.2f}" for each in (point.cpu_us, point.p50_ms, point.p99_ms)),
                    _idle(_middle(point.idle)),
                )
            table.add_section()
    console.print(table)
    if found.states:
        table = Table(box=box.SIMPLE_HEAD, title="At rest", title_style="bold")
        for heading in ("size", "start s", "after SIGKILL s", "idle MB", "idle CPU", "MB after the loads"):
            table.add_column(heading, justify="right")
        for state in found.states:
            table.add_row(
                f"{state.size:,g} {state.growth}", f"{state.clean:.2f}", f"{state.killed:.2f}", f"{state.idle_mb:.0f}",
                f"{state.idle_cpu:.1%}", f"{state.loaded_mb:.0f}",
            )  # fmt: skip
        console.print(table)
    reached = True
    table = Table(box=box.SIMPLE_HEAD, title="Marks", title_style="bold")
    for heading in ("mark", "wanted", "reached", ""):
        table.add_column(heading)
    for mark in judge(found):
        reached &= mark.passed
        table.add_row(
            escape(mark.mark), mark.wanted, mark.value, "[green]pass[/]" if mark.passed else "[red]FAIL[/]"
        )
    console.print(table)
    for what in found.left_out:
        console.print(f"[yellow]not measured[/] {escape(what)}", highlight=False)
    for problem in found.wrong:
        console.print(f"[red]NOT RIGHT[/] {escape(problem)}", highlight=False)
    return reached and not found.wrong


def _idle(share: float) -> str:
    """Where the generator was the limit it is said: the server could do more."""
    return f"{share:.0%}" if share > 0.1 else f"[yellow]{share:.0%}[/]"


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def run(asked: argparse.Namespace, console: Console) -> Found:
    """All growths that are asked for; every server has ended when this returns."""
    cores = machine.cores()
    directory = Path(tempfile.mkdtemp(prefix="scale-", dir=asked.data_root or machine.cache()))
    os.sched_setaffinity(0, {cores[1]})
    more_files()
    found = Found()
    if asked.plan.gigabytes and "retained" in asked.growths and max(asked.plan.gigabytes) < 20:
        found.left_out.append(f"more than {max(asked.plan.gigabytes):g} GB of retained data: --gb 1,5,20")
    bench = Bench(asked.plan, directory, cores, lambda text: console.print(text, style="dim"), found)
    try:
        found.facts |= machine.facts(directory) | {"seconds": asked.plan.seconds, "rounds": asked.plan.rounds}
        for growth in asked.growths:
            bench.say("using the memory once that files will be kept in")
            machine.warm_most(directory)
            GROWTHS[growth](bench)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    asked = arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 170)
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    file = asked.results / "scale.json"
    if asked.plot_only:
        if not file.exists():
            console.print(f"[red]bench.scale:[/] no {file}; measure first")
            return 1
        found = Found.from_json(json.loads(file.read_text()))
    else:
        try:
            found = run(asked, console)
        except (machine.Missing, Died) as error:
            console.print(f"[red]bench.scale:[/] {escape(str(error))}", highlight=False)
            return 1
        except KeyboardInterrupt:
            console.print("[yellow]bench.scale: interrupted; all servers are stopped[/]")
            return 130
        asked.results.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found.as_json(), indent=1) + "\n")
    reached = show(console, found)
    console.print(f"written: {file}")
    written = plots(found, asked.plots)
    if written is None:
        console.print("no plots: pip install matplotlib")
    for path in written or ():
        console.print(f"written: {path}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
