"""What Penstock has to reach, judged: the marks of `bench.cases` against what a run measured.

Plain values in, plain values out. It must not measure or show anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.cases import CASES, MARKS, DiskMark, LimitMark, Mark, RateMark, RatioMark
from bench.runner import Result

Found = Mapping[tuple[str, str], Result]
"""(case, system) -> what was measured"""
Disk = Mapping[str, float]
"""Case -> records/s of the disk's own group commits, measured beside it"""


@dataclass(frozen=True, slots=True)
class Judged:
    """`value` and `passed` are None where the run has not what it takes; `stretch`: no failure when missed."""

    mark: str
    wanted: str
    value: float | None
    passed: bool | None
    stretch: bool = False

    @property
    def failed(self) -> bool:
        return self.passed is False and not self.stretch


def by_key(results: Sequence[Result]) -> dict[tuple[str, str], Result]:
    return {(result.case, result.system): result for result in results}


def judge(results: Sequence[Result], disk: Disk, marks: Sequence[Mark] = MARKS) -> list[Judged]:
    """Every mark, in their order."""
    found = by_key(results)
    return [_judge(mark, found, disk) for mark in marks]


def _judge(mark: Mark, found: Found, disk: Disk) -> Judged:
    if isinstance(mark, LimitMark):
        return _limit(mark, found)
    if isinstance(mark, RateMark):
        ours = found.get((mark.case, "penstock"))
        value = ours.rate if ours else None
        passed = None if value is None else value >= mark.least
        return Judged(f"{title(mark.case)}: records/s", f">= {mark.least:,.0f}", value, passed)
    if isinstance(mark, DiskMark):
        return _disk(mark, found, disk)
    return _ratio(mark, found)


def _limit(mark: LimitMark, found: Found) -> Judged:
    names = [mark.case] if mark.case else [case.name for case in CASES]
    values = [getattr(found[name, "penstock"], mark.figure) for name in names if (name, "penstock") in found]
    value = max(values) if values else None
    where = title(mark.case) if mark.case else "peak over all loads"
    text = f"{where}: {mark.figure.replace('_', ' ')}"
    return Judged(text, f"<= {mark.most:g}", value, None if value is None else value <= mark.most)


def _ratio(mark: RatioMark, found: Found) -> Judged:
    ours, theirs = found.get((mark.case, "penstock")), found.get((mark.against_case, mark.against))
    value = ours.rate / theirs.rate if ours and theirs and theirs.rate else None
    whose = "Penstock's own" if mark.against == "penstock" else f"{mark.against}'s"
    against = whose if mark.against_case == mark.case else f"{whose} {title(mark.against_case)}"
    note = f" ({mark.note})" if mark.note else ""
    passed = None if value is None else value >= mark.least
    return Judged(
        f"{title(mark.case)} / {against}{note}", f">= {mark.least:g} x", value, passed, mark.stretch
    )


def _disk(mark: DiskMark, found: Found, disk: Disk) -> Judged:
    """The lower of two bars; with only one of them measured that one, and it is said."""
    ours, theirs = found.get((mark.case, "penstock")), found.get((mark.case, mark.against))
    bars = []
    if theirs and theirs.rate:
        bars.append((mark.least * theirs.rate, f"{mark.least:g} x {mark.against}'s"))
    if disk.get(mark.case):
        bars.append((mark.share * disk[mark.case], f"{mark.share:.0%} of the disk's own group commits"))
    text = f"{title(mark.case)}: records/s"
    if ours is None or not bars:
        wanted = f">= {mark.least:g} x {mark.against}'s or {mark.share:.0%} of the disk's own, the lower"
        return Judged(text, wanted, None, None)
    least, why = min(bars)
    only = "" if len(bars) == 2 else ", the other not in this run"
    passed: bool | None = ours.rate >= least
    # The bar that was not measured might be the lower one.
    if not passed and len(bars) < 2:
        passed = None
    return Judged(text, f">= {least:,.0f} ({why}{only})", ours.rate, passed)


def title(name: str) -> str:
    return next(case.title for case in CASES if case.name == name)
