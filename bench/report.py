"""What is shown: the table with ratios, the marks, what was measured, a plot and a JSON file.

It must not measure anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cases import CASES, CONSUMERS, Case
from bench.marks import Judged, by_key, judge
from bench.runner import Result
from bench.systems.base import System

COLOURS = {
    "penstock": "#0b6e4f",
    "redis": "#c0392b",
    "kinesalite": "#e08e0b",
    "moto": "#b9a44c",
    "nats": "#7f8fa6",
    "nats-always": "#2e5c8a",
    "kafka": "#5b3a8c",
}

# Above this share of the server's core for others a row says more about them; the kernel's write-back is below it.
DISTURBED = 0.2

STATEMENT = """\
One run on one machine, all systems in the same minutes: the ratios carry over to another machine, the figures do not.
Each server is held on one core, its load generator on another. A value is the median round; "ratio" is Penstock's
records/s over this system's. Puts: keep-alive HTTP/1.1 connections with one request outstanding each (Penstock,
kinesalite, moto: wrk), pipelines of as many XADD (redis-benchmark), windows of as many asynchronous publishes (a Go
program), batches of 128 KB that Kafka's ProducerPerformance makes itself (its steady state). Penstock checks a token on
every request; no peer checks anything. Gets: {consumers} consumers, one connection each, everybody reads every record;
records/s is what all received together. Half the rate, recent frames and cold replay are measured of Penstock alone: an
open loop; frames that are in memory; a log of 600 MB of payload, none of it in the page cache, read once. Payloads are
random bytes (redis-benchmark and the NATS program repeat theirs). CPU is every thread of the server, without the kernel's
own write-back threads. RSS is the highest resident memory; Redis and moto hold the data in it. "generator idle": where it
is near 0 % the generator was the limit and the figure is a lower bound. "checked": every reply was looked into; for
Penstock the count appended equals what was acknowledged (requests cut off at the end apart), and all of it was read back,
decoded and compared."""


def count(value: float) -> str:
    """A rate for people: three digits and a unit."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            scaled = value / limit
            return (
                f"{scaled:.2f} {unit}"
                if scaled < 10
                else f"{scaled:.1f} {unit}"
                if scaled < 100
                else f"{scaled:.0f} {unit}"
            )
    return f"{value:.0f}"


def ratio(value: float) -> str:
    return f"{value:.2f} x" if value < 10 else f"{value:,.0f} x"


def disk_rates(disk: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """Records/s of the disk's best group, by row."""
    records = {case.name: case.records for case in CASES}
    return {name: max(groups.values()) * records[name] for name, groups in disk.items() if groups}


def table(results: Sequence[Result], systems: Sequence[System]) -> Table:
    """A section for every case, a row for every system, Penstock first."""
    found = by_key(results)
    shown = Table(box=box.SIMPLE_HEAD, title="Penstock and its peers, one core each", title_style="bold")
    shown.add_column("load / system", no_wrap=True)
    shown.add_column("durable at ack")
    for heading in ("records/s", "MB/s", "ratio", "p50 ms", "p99 ms", "server CPU us/record", "server busy"):
        shown.add_column(heading, justify="right")
    shown.add_column("generator idle", justify="right")
    shown.add_column("peak RSS MB", justify="right")
    shown.add_column("checked", justify="center")
    for case in CASES:
        rows = [
            (system, found[case.name, system.name]) for system in systems if (case.name, system.name) in found
        ]
        if not rows:
            continue
        shown.add_row(f"[bold]{escape(case.title)}[/]")
        ours = found.get((case.name, "penstock"))
        for system, result in rows:
            own = system.name == "penstock"
            compared = "" if own or ours is None or not result.rate else ratio(ours.rate / result.rate)
            idle = f"{result.generator_idle:.0%}"
            shown.add_row(
                f"  {system.label}",
                system.durable,
                count(result.rate),
                f"{result.rate * case.size / 1e6:,.1f}",
                compared,
                f"{result.p50_ms:.2f}" if result.p50_ms else "-",
                f"{result.p99_ms:.2f}" if result.p99_ms else "-",
                f"{result.cpu_us:.2f}" if result.cpu_us < 100 else f"{result.cpu_us:,.0f}",
                f"{result.server_busy:.0%}",
                idle if result.generator_idle > 0.1 else f"[yellow]{idle}[/]",
                f"{result.rss_mb:,.0f}",
                "[green]yes[/]" if result.checked else "[red]NO[/]",
                style="bold green" if own else None,
            )
        shown.add_section()
    return shown


def marks_table(judged: Sequence[Judged]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, title="Marks", title_style="bold")
    for heading in ("mark", "wanted", "reached", ""):
        shown.add_column(heading, justify="left" if heading in ("mark", "") else "right")
    verdicts = {True: "[green]pass[/]", False: "[red]FAIL[/]", None: "[dim]not in this run[/]"}
    for mark in judged:
        if mark.value is None:
            value = "-"
        else:
            value = f"{mark.value:.2f}" if mark.value < 1_000 else f"{mark.value:,.0f}"
        verdict = "[yellow]not yet[/]" if mark.stretch and mark.passed is False else verdicts[mark.passed]
        shown.add_row(mark.mark, mark.wanted, value, verdict)
    return shown


def disk_lines(disk: Mapping[str, Mapping[int, float]]) -> list[str]:
    """The disk's own group commits, a line for each row they were measured beside."""
    lines = []
    for name, groups in disk.items():
        case = next(case for case in CASES if case.name == name)
        each = ", ".join(
            f"{size}: {count(rate * case.records)} ({rate * case.records * case.size / 1e6:,.0f} MB/s)"
            for size, rate in groups.items()
        )
        lines.append(
            f"The disk's own group commits of {case.records} x {case.size} B, records/s by requests in a group: {each}"
        )
    return lines


def show(
    console: Console,
    results: Sequence[Result],
    systems: Sequence[System],
    skipped: Mapping[str, str],
    facts: Mapping[str, Any],
    disk: Mapping[str, Mapping[int, float]],
) -> None:
    """Everything a person reads at the end."""
    console.print(table(results, systems))
    console.print(marks_table(judge(results, disk_rates(disk))))
    for line in disk_lines(disk):
        console.print(line, highlight=False)
    for result in results:
        for wrong in dict.fromkeys(result.wrong):
            console.print(f"[red]NOT RIGHT[/] {result.system}, {result.case}: {escape(wrong)}")
    for result in results:
        if result.case.startswith("tail") and "put_rate" in result.notes:
            console.print(
                f"{result.case}: the producer put {count(result.notes['put_rate'])} records/s meanwhile; the "
                f"consumers were at the end {result.notes['behind_s'] * 1e3:.0f} ms after it was known."
            )
        if "asked_rate" in result.notes:
            console.print(
                f"{result.case}: {count(result.notes['asked_rate'])} records/s were asked for and {count(result.rate)} done; "
                f"the client itself was late by at most {result.notes['late_ms']:.2f} ms for 99 of 100."
            )
        if "disk_mb" in result.notes:
            console.print(
                f"{result.case}: {result.notes['disk_mb']:,.0f} MB came from the disk for "
                f"{result.notes['read_mb']:,.0f} MB of payload to each."
            )
    noisy = [result for result in results if result.disturbed > DISTURBED]
    if noisy:
        worst = max(noisy, key=lambda result: result.disturbed)
        console.print(
            f"[yellow]Not a quiet machine:[/] in {len(noisy)} of {len(results)} rows more than {DISTURBED:.0%} of the "
            f"server's core went to something else (worst: {worst.disturbed:.0%}, {worst.case} of {worst.system}). "
            "Do not quote this run."
        )
    for what, why in skipped.items():
        console.print(f"[yellow]not measured[/] {escape(what)}: {escape(why.splitlines()[0])}")
    console.print()
    console.print(STATEMENT.format(consumers=CONSUMERS), style="dim", highlight=False)
    console.print(
        f"{facts['processor']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}, "
        f"{facts['filesystem']}; fdatasync of 128 KB takes {facts['fdatasync_128k_ms']} ms; {facts['rounds']} rounds of "
        f"{facts['seconds']:g} s; load average before: {facts['load_before']}.",
        style="dim",
        highlight=False,
    )


def save(
    directory: Path,
    results: Sequence[Result],
    systems: Sequence[System],
    skipped: Mapping[str, str],
    facts: Mapping[str, Any],
    disk: Mapping[str, Mapping[int, float]],
) -> Path:
    """`bench.json`: everything that was shown, and the rates of every round."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "bench.json"
    content = {
        "facts": dict(facts),
        "systems": {system.name: {"label": system.label, "durable": system.durable} for system in systems},
        "marks": [asdict(mark) for mark in judge(results, disk_rates(disk))],
        "disk_requests_per_second_by_group": {name: dict(groups) for name, groups in disk.items()},
        "results": [result.as_json() for result in results],
        "not_measured": dict(skipped),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def plot(directory: Path, results: Sequence[Result], systems: Sequence[System]) -> Path | None:
    """`bench.png`: records/s on a logarithmic scale; hatched where an acknowledgement promises no durability.
    None without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return None
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = by_key(results)
    panels: list[tuple[str, list[Case]]] = []
    for heading, kinds in (
        ("Put", ("put",)),
        (f"Get, {CONSUMERS} consumers together", ("get", "tail")),
        ("Read, Penstock alone", ("recent", "cold")),
    ):
        for size in (200, 1_000):
            cases = [
                case
                for case in CASES
                if case.kind in kinds
                and case.size == size
                and any((case.name, each.name) in found for each in systems)
            ]
            if cases:
                panels.append((f"{heading}: {'200 B' if size == 200 else '1 KB'} records", cases))
    if not panels:
        return None
    rows = (len(panels) + 1) // 2
    figure, axes = plt.subplots(rows, min(len(panels), 2), figsize=(15, 4.6 * rows), squeeze=False)
    for axis, (heading, cases) in zip(axes.flat, panels, strict=False):
        _panel(axis, heading, cases, systems, found)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    named: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    labels, handles = list(named), list(named.values())
    figure.legend(handles, labels, loc="upper center", ncols=min(len(labels), 3), frameon=False)
    # The legend takes up to two lines above the panels.
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.5 / (4.6 * rows) * (1 + len(labels) // 4)))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "bench.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _panel(
    axis: Any,
    heading: str,
    cases: Sequence[Case],
    systems: Sequence[System],
    found: Mapping[tuple[str, str], Result],
) -> None:
    systems = [system for system in systems if any((case.name, system.name) in found for case in cases)]
    width = 0.84 / len(systems)
    for index, system in enumerate(systems):
        places, heights = [], []
        for place, case in enumerate(cases):
            result = found.get((case.name, system.name))
            if result is not None and result.rate > 0:
                places.append(place + (index - (len(systems) - 1) / 2) * width)
                heights.append(result.rate)
        durable = system.durable == "yes"
        bars = axis.bar(
            places,
            heights,
            width * 0.94,
            color=COLOURS.get(system.name, "#555555"),
            alpha=1.0 if durable else 0.55,
            hatch=None if durable else "///",
            edgecolor="white",
            linewidth=0.4,
            label=f"{system.label} (durable: {system.durable})",
        )
        axis.bar_label(bars, [count(each) for each in heights], rotation=90, fontsize=7, padding=3)
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * 6)
    axis.set_xticks(range(len(cases)), [_tick(case) for case in cases])
    axis.set_ylabel("records/s")
    axis.set_title(heading, loc="left", fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)


def _tick(case: Case) -> str:
    if case.kind == "tail":
        return f"tail while\nputting {case.records}"
    if case.kind in ("recent", "cold"):
        return f"{case.kind},\n{case.connections} consumer{'s' if case.connections > 1 else ''}"
    if case.kind == "get":
        return f"limit {case.records}" if case.records else "default fetch"
    return f"{case.records} a request\n{case.connections} connections"
