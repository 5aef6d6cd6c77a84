"""The plots of `bench.scale`: one message each, readable when small.

It must not measure or judge anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.report import count
from bench.scaling.model import MARK_IDLE_MB, MARK_START_S, Found, Point, State, series

COLOURS = ("#0b6e4f", "#c0392b", "#2e5c8a", "#e08e0b")
MARKERS = ("o", "s", "^", "D")
MARK_COLOUR = "#8a8a8a"
SIZE = (7.2, 4.4)
PUTS = {
    "partitions": ("Put rate against partitions touched", "partitions"),
    "connections": ("Put rate against connections", "connections, one request outstanding on each"),
    "consumers": ("Puts and reads against consumers", "consumers"),
    "streams": ("Put rate against streams on the server", "streams"),
}


def plots(found: Found, directory: Path) -> list[Path] | None:
    """The PNG files made; None without matplotlib. What was not measured has no plot."""
    try:
        import matplotlib as mpl
    except ImportError:
        return None
    mpl.use("Agg")
    mpl.rcParams.update(
        {"font.size": 11, "axes.titlesize": 13, "axes.titleweight": "bold", "lines.linewidth": 2}
    )
    from matplotlib import pyplot as plt

    directory.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []

    def draw(name: str, on: Callable[[Any], None]) -> None:
        figure, axis = plt.subplots(figsize=SIZE)
        on(axis)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
        axis.set_axisbelow(True)
        figure.tight_layout()
        path = directory / f"scale-{name}.png"
        figure.savefig(path, dpi=110)
        plt.close(figure)
        made.append(path)

    for growth, (title, label) in PUTS.items():
        lines = series(found.points, growth)
        if any(len(points) > 1 for points in lines.values()):
            draw(growth, partial(_rates, lines=lines, title=title, label=label))
    if kept := series(found.points, "GB retained"):
        draw("retained", partial(_against_control, lines=kept))
    for growth, name, label in (
        ("partitions", "start-partitions", "partitions"),
        ("GB retained", "start-retained", "GB of retained data"),
    ):
        if states := [state for state in found.states if state.growth == growth]:
            draw(name, partial(_starts, states=states, label=label))
    grown = {
        growth: [state for state in found.states if state.growth == growth]
        for growth in ("streams", "partitions")
    }
    if any(len(states) > 1 for states in grown.values()):
        draw("memory", partial(_memory, grown=grown))
    return made


def _log_sizes(axis: Any, sizes: Sequence[float], label: str) -> None:
    axis.set_xscale("log")
    axis.set_xticks(sizes, [f"{size:,g}" for size in sizes])
    axis.minorticks_off()
    axis.set_xlabel(label)
    # A single size still gets a readable axis.
    beside = max(1.3, (max(sizes) / min(sizes)) ** 0.06)
    axis.set_xlim(min(sizes) / beside, max(sizes) * beside)


def _log_values(axis: Any, values: Sequence[float], head: float) -> None:
    """From 1, 2 or 5 times a power of ten below the smallest to `head` times the largest, labelled at all such steps."""
    axis.set_yscale("log")
    steps = [digit * 10.0**power for power in range(-4, 9) for digit in (1, 2, 5)]
    low = max((step for step in steps if step <= min(values) * 0.8), default=steps[0])
    high = max(values) * head
    ticks = [step for step in steps if low <= step <= high]
    if len(ticks) > 8:
        ticks = [step for step in ticks if f"{step:e}".startswith("1.0")]
    axis.set_ylim(low, high)
    axis.set_yticks(ticks, [_tick(tick) for tick in ticks])
    axis.minorticks_off()


def _tick(value: float) -> str:
    for limit, unit in ((1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


def _rates(axis: Any, lines: dict[str, list[Point]], title: str, label: str) -> None:
    values = [point.rate for points in lines.values() for point in points if point.rate > 0]
    for number, (load, points) in enumerate(lines.items()):
        sizes, rates = [point.size for point in points], [point.rate for point in points]
        axis.plot(sizes, rates, color=COLOURS[number], marker=MARKERS[number], label=load)
        for at in {0, len(points) - 1}:
            axis.annotate(
                count(rates[at]), (sizes[at], rates[at]), xytext=(0, 7), textcoords="offset points", ha="center",
                fontsize=9.5, color=COLOURS[number],
            )  # fmt: skip
    # Room above the lines for their names.
    _log_values(axis, values, 1.6 * 2.2 ** len(lines))
    _log_sizes(axis, sorted({point.size for points in lines.values() for point in points}), label)
    axis.set_ylabel("records/s")
    axis.set_title(title, loc="left")
    axis.legend(loc="upper left", frameon=False, fontsize=9.5)


def _against_control(axis: Any, lines: dict[str, list[Point]]) -> None:
    for number, (load, points) in enumerate(lines.items()):
        shares = [100 * point.rate / point.control if point.control else 0.0 for point in points]
        axis.plot(
            [point.size for point in points],
            shares,
            color=COLOURS[number],
            marker=MARKERS[number],
            label=load,
        )
    axis.axhline(90, color=MARK_COLOUR, linestyle="--", linewidth=1.2)
    axis.annotate(
        "mark: loses less than 10 %", (0.99, 90), xycoords=("axes fraction", "data"), xytext=(0, -4),
        textcoords="offset points", ha="right", va="top", fontsize=9.5, color=MARK_COLOUR,
    )  # fmt: skip
    _log_sizes(
        axis, sorted({point.size for points in lines.values() for point in points}), "GB of retained data"
    )
    axis.set_ylim(0, max(125.0, axis.get_ylim()[1]))
    axis.set_ylabel("put rate, % of a server without data")
    axis.set_title("Puts against retained data", loc="left")
    axis.legend(loc="lower left", frameon=False, fontsize=9.5)


def _starts(axis: Any, states: Sequence[State], label: str) -> None:
    sizes = [state.size for state in states]
    for number, (name, values) in enumerate(
        (
            ("after a clean stop", [state.clean for state in states]),
            ("after SIGKILL", [state.killed for state in states]),
        )
    ):
        axis.plot(sizes, values, color=COLOURS[number], marker=MARKERS[number], label=name)
    axis.axhline(MARK_START_S, color=MARK_COLOUR, linestyle="--", linewidth=1.2)
    axis.annotate(
        f"mark: {MARK_START_S:g} s", (0.99, MARK_START_S), xycoords=("axes fraction", "data"), xytext=(0, 4),
        textcoords="offset points", ha="right", fontsize=9.5, color=MARK_COLOUR,
    )  # fmt: skip
    _log_sizes(axis, sizes, label)
    slowest = max(max(state.clean, state.killed) for state in states)
    axis.set_ylim(0, max(MARK_START_S * 1.25, slowest * 1.15))
    axis.set_ylabel("seconds until it takes requests")
    axis.set_title(f"Start-up against {label}", loc="left")
    axis.legend(loc="upper left", frameon=False, fontsize=9.5)


def _memory(axis: Any, grown: dict[str, list[State]]) -> None:
    sizes: set[float] = set()
    highest = MARK_IDLE_MB
    for number, (growth, states) in enumerate(grown.items()):
        if not states:
            continue
        values = [state.idle_mb for state in states]
        axis.plot(
            [state.size for state in states],
            values,
            color=COLOURS[number],
            marker=MARKERS[number],
            label=growth,
        )
        sizes |= {state.size for state in states}
        highest = max(highest, *values)
    axis.axhline(MARK_IDLE_MB, color=MARK_COLOUR, linestyle="--", linewidth=1.2)
    axis.annotate(
        f"mark: {MARK_IDLE_MB:g} MB at 1,000 streams", (0.99, MARK_IDLE_MB), xycoords=("axes fraction", "data"),
        xytext=(0, 4), textcoords="offset points", ha="right", fontsize=9.5, color=MARK_COLOUR,
    )  # fmt: skip
    _log_sizes(axis, sorted(sizes), "streams (of one partition), partitions")
    axis.set_ylim(0, highest * 1.2)
    axis.set_ylabel("resident memory at rest, MB")
    axis.set_title("Idle memory against streams and partitions", loc="left")
    axis.legend(loc="lower right", frameon=False, fontsize=9.5)
