"""Efficiency: the server's processor time for a record, row by row, against that of the last release.

Owns `bench/baseline.json`, which is committed: `python -m bench --save-baseline` writes it from a run. Processor time hardly depends on
what else the machine does, but it does on the processor; so a fixed piece of work, the yardstick, is timed with it, and the figures of
a release are scaled when the yardstick says that this is another processor. It must not measure any server.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from bench.cases import CASES
from bench.runner import Result

FILE = Path(__file__).with_name("baseline.json")
WORSE = 0.10
"""More than this above the release is flagged."""
SAME_PROCESSOR = 0.10
"""Yardsticks that differ by less are of the same processor: figures are compared as they are."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """`cpu_us`: row -> microseconds a record. `yardstick_ms`: see `yardstick`. `python`: its minor version."""

    version: str
    date: str
    python: str
    yardstick_ms: float
    cpu_us: dict[str, float]


@dataclass(frozen=True, slots=True)
class Change:
    """A row: microseconds a record then (scaled to this processor) and now; `change` 0.1 is ten per cent worse."""

    case: str
    then: float
    now: float

    @property
    def change(self) -> float:
        return self.now / self.then - 1

    @property
    def worse(self) -> bool:
        return self.change > WORSE


def yardstick(rounds: int = 7) -> float:
    """Processor time of some hashing, compressing and decoding, in ms: the least of several rounds."""
    data = bytes(range(256)) * 4096
    text = json.dumps([{"key": f"device-{number}", "data": "x" * 100} for number in range(2_000)])
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        hashlib.sha256(data).digest()
        zlib.crc32(data)
        zlib.compress(data[:200_000], 1)
        sum(len(each["key"]) for each in json.loads(text))
        times.append(time.process_time() - begun)
    return min(times) * 1e3


def of_penstock(results: Sequence[Result]) -> dict[str, float]:
    """Row -> microseconds a record."""
    return {result.case: result.cpu_us for result in results if result.system == "penstock" and result.cpu_us}


def load(file: Path = FILE) -> Baseline | None:
    """None when there is none yet."""
    return Baseline(**json.loads(file.read_text())) if file.exists() else None


def save(now: Baseline, file: Path = FILE) -> Baseline:
    """Written; rows that this run has not measured stay as they were if they are of the same version."""
    before = load(file)
    kept: Mapping[str, float] = {}
    if before and before.version == now.version and not other_processor(before, now.yardstick_ms):
        kept = before.cpu_us
    order = [case.name for case in CASES]
    merged = {**kept, **now.cpu_us}
    rows = {name: round(merged[name], 3) for name in order if name in merged}
    whole = Baseline(now.version, now.date, now.python, round(now.yardstick_ms, 3), rows)
    file.write_text(json.dumps(asdict(whole), indent=1) + "\n")
    return whole


def other_processor(baseline: Baseline, yardstick_ms: float) -> bool:
    return abs(yardstick_ms / baseline.yardstick_ms - 1) > SAME_PROCESSOR


def scale(baseline: Baseline, yardstick_ms: float) -> float:
    """What the release's figures are multiplied by to be those of this processor."""
    return yardstick_ms / baseline.yardstick_ms if other_processor(baseline, yardstick_ms) else 1.0


def compare(baseline: Baseline, cpu_us: Mapping[str, float], yardstick_ms: float) -> list[Change]:
    """The rows that both have, in the order of the table."""
    factor = scale(baseline, yardstick_ms)
    return [
        Change(case.name, baseline.cpu_us[case.name] * factor, cpu_us[case.name])
        for case in CASES
        if baseline.cpu_us.get(case.name) and cpu_us.get(case.name)
    ]


def as_json(baseline: Baseline, changes: Sequence[Change], yardstick_ms: float) -> dict[str, Any]:
    return {
        "release": baseline.version,
        "release_date": baseline.date,
        "scaled_by": round(scale(baseline, yardstick_ms), 3),
        "rows": {
            each.case: {"then": each.then, "now": each.now, "change": round(each.change, 4)}
            for each in changes
        },
    }


def table(baseline: Baseline, changes: Sequence[Change], yardstick_ms: float) -> Table:
    titles = {case.name: case.title for case in CASES}
    scaled = ""
    if other_processor(baseline, yardstick_ms):
        scaled = f"; another processor: its figures times {scale(baseline, yardstick_ms):.2f}"
    shown = Table(
        box=box.SIMPLE_HEAD,
        title=f"Server CPU, us a record, against {baseline.version} ({baseline.date}{scaled})",
        title_style="bold",
    )
    for heading in ("load", "then", "now", "change", ""):
        shown.add_column(heading, justify="left" if heading in ("load", "") else "right")
    for each in changes:
        flag = f"[red]more than {WORSE:.0%} worse[/]" if each.worse else ""
        shown.add_row(
            escape(titles[each.case]), f"{each.then:.3f}", f"{each.now:.3f}", f"{each.change:+.1%}", flag
        )
    return shown
