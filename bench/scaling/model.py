"""Cost as work grows, as plain values: what was measured at each size, what it lost, and the marks.

It must not measure or show anything.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MARK_LOSS = 0.10
MARK_START_S = 2.0
MARK_IDLE_MB = 150.0
MARK_STREAMS = 1_000
"""The idle memory with so many streams is judged."""


@dataclass(slots=True)
class Point:
    """A load at a size. `control`: the same load in the same minutes on a server that has not grown, records/s."""

    growth: str
    load: str
    size: float
    rates: list[float] = field(default_factory=list)
    controls: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    """Share of its time that the load generator did nothing, 0 to 1."""

    @property
    def rate(self) -> float:
        return statistics.median(self.rates) if self.rates else 0.0

    @property
    def control(self) -> float | None:
        return statistics.median(self.controls) if self.controls else None


@dataclass(slots=True)
class State:
    """A server of a size, at rest: seconds to be ready, memory and processor when nothing is asked of it."""

    growth: str
    size: float
    clean_s: list[float] = field(default_factory=list)
    killed_s: list[float] = field(default_factory=list)
    idle_mb: float = 0.0
    """After a clean start."""
    loaded_mb: float = 0.0
    """After the loads, before any restart."""
    idle_cpu: float = 0.0
    """Share of a core, 0 to 1."""

    @property
    def clean(self) -> float:
        return statistics.median(self.clean_s)

    @property
    def killed(self) -> float:
        return statistics.median(self.killed_s)


@dataclass(slots=True)
class Found:
    """Everything one run of `bench.scale` has measured."""

    points: list[Point] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Found:
        return cls(
            points=[Point(**each) for each in content["points"]],
            states=[State(**each) for each in content["states"]],
            facts=content["facts"],
            left_out=content["left_out"],
            wrong=content["wrong"],
        )


def series(points: Iterable[Point], growth: str) -> dict[str, list[Point]]:
    """Load -> its points in the order of their sizes."""
    found: dict[str, list[Point]] = {}
    for point in sorted((each for each in points if each.growth == growth), key=lambda each: each.size):
        found.setdefault(point.load, []).append(point)
    return found


def losses(points: Sequence[Point]) -> list[float]:
    """What each point of a series has lost, 0 to 1 (negative: gained): against its control where there is one, otherwise
    against the best of all smaller sizes. The first of a series without controls has lost nothing."""
    found = []
    best = 0.0
    for point in points:
        if point.control is not None:
            base = point.control
        else:
            base = best or point.rate
        found.append(1 - point.rate / base if base else 0.0)
        best = max(best, point.rate)
    return found


@dataclass(frozen=True, slots=True)
class Judged:
    mark: str
    wanted: str
    value: str
    passed: bool


def judge(found: Found) -> list[Judged]:
    """The marks, as far as the run has measured what they speak of."""
    judged = []
    for growth in dict.fromkeys(point.growth for point in found.points):
        for load, points in series(found.points, growth).items():
            if len(points) < 2 and points[0].control is None:
                continue
            lost = losses(points)
            worst = max(range(len(lost)), key=lambda at: lost[at])
            judged.append(
                Judged(
                    f"{load}: worst over {points[0].size:g} to {points[-1].size:g} {growth}",
                    f"loses < {MARK_LOSS:.0%}",
                    f"{lost[worst]:.1%} at {points[worst].size:g}",
                    lost[worst] < MARK_LOSS,
                )
            )
    for growth in dict.fromkeys(state.growth for state in found.states):
        states = [state for state in found.states if state.growth == growth]
        for what in ("clean", "killed"):
            slowest = max(states, key=lambda state: getattr(state, what))
            seconds = getattr(slowest, what)
            how = "a clean stop" if what == "clean" else "SIGKILL"
            judged.append(
                Judged(
                    f"start-up after {how}, slowest over {growth}",
                    f"< {MARK_START_S:g} s",
                    f"{seconds:.2f} s at {slowest.size:g}",
                    seconds < MARK_START_S,
                )
            )
    for state in found.states:
        if state.growth == "streams" and state.size == MARK_STREAMS:
            judged.append(
                Judged(
                    f"idle memory with {MARK_STREAMS:,} streams",
                    f"< {MARK_IDLE_MB:g} MB",
                    f"{state.idle_mb:.0f} MB",
                    state.idle_mb < MARK_IDLE_MB,
                )
            )
    return judged
