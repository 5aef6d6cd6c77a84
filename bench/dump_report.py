"""What `bench.dumps` found, as tables, a plot and a file. It must not know how any of it was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import sampling

MARK_SLOWED = 0.20
GROUPS = {
    "read from the server": (
        "dump/rounds.py:read_batch",
        "penstock/rpc.py",
        "RemoteCore",
        "runners.py:Runner.run",
    ),
    "decode the log's frames": ("penstock/log/payload.py",),
    "decode JSON": ("dump/decoding.py", "typed.py", "_decode"),
    "encode": ("dump/formats/", "dump/sinks/dws_rows.py", "dli_rows.py", "hbase_rows", "tsdb_points"),
    "write": ("dump/stores/", "dws_copy.py", "psycopg", "httpx", "obstore"),
}
"""For --profile: where a stack belongs, by a word in it; the first that fits."""


@dataclass(slots=True)
class Delivery:
    """All records of a stream delivered once: CPU seconds of both processes, peak memory of the dump process, 10^6 bytes."""

    seconds: float
    dump_cpu: float
    server_cpu: float
    dump_rss_mb: float


@dataclass(slots=True)
class Row:
    """A destination's line of the table. `mb` and `own_mb` are 10^6 bytes of records a second, CPU is seconds per million records."""

    name: str
    title: str
    records: int
    size: int
    rate: float
    mb: float
    own_mb: float
    own: str
    dump_cpu: float
    server_cpu: float
    dump_rss_mb: float
    first_seconds: float
    guarantee: str
    deliveries: list[Delivery]
    wrong: list[str]

    @property
    def ratio(self) -> float:
        return self.mb / self.own_mb


@dataclass(slots=True)
class Beside:
    """Puts of one kind at one rate, without and with a dump that is busy."""

    destination: str
    case: str
    puts_per_second: float
    alone_ms: dict[str, float]
    beside_ms: dict[str, float]
    delivered_per_second: float
    dump_cpu: float
    server_cpu: float
    server_cpu_alone: float
    windows: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def slowed(self) -> float:
        return self.beside_ms["p99"] / self.alone_ms["p99"] - 1


def show(console: Console, rows: Sequence[Row], beside: Sequence[Beside]) -> bool:
    """The tables; whether the mark is reached and nothing was wrong."""
    table = Table(title="From the log to the destination (CPU: seconds per million records)")
    columns = (
        "destination",
        "records",
        "records/s",
        "MB/s",
        "without Penstock",
        "ratio",
        "dump CPU",
        "server CPU",
        "peak RSS",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "destination" else "right")
    for row in rows:
        table.add_row(
            row.title, f"{row.records:,} x {row.size} B", f"{row.rate:,.0f}", f"{row.mb:,.1f}", f"{row.own_mb:,.1f} MB/s",
            f"{row.ratio:.2f}", f"{row.dump_cpu:.2f}", f"{row.server_cpu:.2f}", f"{row.dump_rss_mb:,.0f} MB",
        )  # fmt: skip
    if rows:
        console.print(table)
        for row in rows:
            console.print(
                f"{row.title}: {row.guarantee}; first task {row.first_seconds:.1f} s; without Penstock: {row.own}",
                style="dim",
            )
    reached = True
    puts = Table(
        title=f"Puts at a fixed rate beside a busy dump (mark: p99 slowed by less than {MARK_SLOWED:.0%})"
    )
    headings = (
        "dump",
        "put",
        "puts/s",
        "p50 ms",
        "beside",
        "p99 ms",
        "beside",
        "slowed by",
        "delivered/s",
        "CPU server",
        "dump",
        "mark",
    )
    for column in headings:
        puts.add_column(column, justify="left" if column in ("dump", "put") else "right")
    for one in beside:
        good = one.slowed < MARK_SLOWED
        reached &= good
        puts.add_row(
            one.destination, one.case, f"{one.puts_per_second:,.0f}", f"{one.alone_ms['p50']:.2f}",
            f"{one.beside_ms['p50']:.2f}", f"{one.alone_ms['p99']:.2f}", f"{one.beside_ms['p99']:.2f}", f"{one.slowed:+.0%}",
            f"{one.delivered_per_second:,.0f}", f"{one.server_cpu_alone:.0%} {one.server_cpu:.0%}", f"{one.dump_cpu:.0%}",
            "yes" if good else "[red]NO[/]",
        )  # fmt: skip
    if beside:
        console.print(puts)
    wrong = [
        *(problem for row in rows for problem in row.wrong),
        *(problem for one in beside for problem in one.wrong),
    ]
    for problem in wrong:
        console.print(f"[red]wrong:[/] {problem}", highlight=False)
    return reached and not wrong


def plot(file: Path, rows: Sequence[Row]) -> bool:
    """MB/s of each destination, with and without Penstock, on a logarithmic scale. False without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(10, 0.6 * len(rows) + 1.5))
    places = range(len(rows))
    for shift, label, values, colour in (
        (-0.2, "dump task", [row.mb for row in rows], "#0b5cad"),
        (0.2, "without Penstock", [row.own_mb for row in rows], "#b8c4d0"),
    ):
        bars = axis.barh([place + shift for place in places], values, 0.38, label=label, color=colour)
        axis.bar_label(bars, [f"{value:,.1f}" for value in values], fontsize=8, padding=3)
    axis.set_yticks(places, [row.title for row in rows])
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.margins(x=0.2)
    axis.set_xlabel("MB/s of records")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return True


def show_profile(console: Console, name: str, spent: Counter[str]) -> dict[str, Any]:
    """Where the dump process's time went in the deliveries of a destination."""
    shares = sampling.within(spent, GROUPS)
    console.print(f"{name}: " + ", ".join(f"{group} {share:.0%}" for group, share in shares.items()))
    costs = sampling.costs(spent)
    for share, line in costs:
        console.print(f"  {share:6.1%}  {line}", highlight=False)
    return {"shares": shares, "lines": costs}
