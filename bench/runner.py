"""Runs every case on every system, systems in turn within a case, so that a noisy minute hits them all.

It must not know any system, nor how results are shown.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.cases import Case
from bench.load.model import Load
from bench.processes import Died
from bench.systems.base import System, Unsupported


@dataclass(slots=True)
class Result:
    """A case on a system: the median round by records/s, whole, and the rates of all rounds."""

    case: str
    system: str
    rate: float
    rates: list[float]
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Server CPU time per record, microseconds."""
    server_busy: float
    """Share of its core that the server used, 0 to 1 (more with several processes)."""
    generator_idle: float
    rss_mb: float
    """Highest resident memory of the server in any round, 10^6 bytes."""
    requests: int
    checked: bool
    wrong: list[str] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)
    disturbed: float = 0.0
    """Share of the server's core that went to anything but the server, 0 to 1: kernel writers, or other programs."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Round:
    load: Load
    cpu: float
    wall: float
    rss: float
    others: float


Around = Callable[[Case, System, Callable[[], Load]], Load]
"""Wraps the measured part, for a profiler."""


def plain(_case: Case, _system: System, load: Callable[[], Load]) -> Load:
    return load()


class Runner:
    """Keeps the systems running from the first case to the last; `close` ends them all."""

    def __init__(
        self,
        systems: Sequence[System],
        directory: Path,
        logs: Path,
        cores: tuple[int | None, int | None],
        say: Callable[[str], None],
    ) -> None:
        self.systems = list(systems)
        self.directory = directory
        self.logs = logs
        self.say = say
        self.server_core, self.load_core = cores
        self.skipped: dict[str, str] = {}

    def start(self) -> None:
        """Install and start all; a peer that cannot be had is left out and named, Penstock is not."""
        for system in list(self.systems):
            self.say(f"starting {system.label}")
            try:
                system.install()
                home = self.directory / system.name
                home.mkdir(parents=True)
                system.start(home, self.server_core, self.load_core)
            except (machine.Missing, Died, OSError, subprocess.CalledProcessError) as error:
                if system.ours:
                    raise
                system.stop()
                self.skipped[system.label] = str(error)
                self.systems.remove(system)

    def close(self) -> None:
        for system in self.systems:
            system.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def measure(
        self, case: Case, seconds: float, rounds: int, step: Callable[[str], None], around: Around = plain
    ) -> Iterable[Result]:
        """All rounds of a case on all systems; `step` is told before each."""
        done: dict[str, list[Round]] = {system.name: [] for system in self.systems}
        for number in range(rounds):
            for system in self.systems:
                if f"{system.label}: {case.title}" in self.skipped or (case.alone and not system.ours):
                    continue
                step(f"{case.title} · {system.label} · round {number + 1} of {rounds}")
                try:
                    done[system.name].append(self._round(case, system, seconds, around))
                except Unsupported as reason:
                    self.skipped[f"{system.label}: {case.title}"] = str(reason)
                except (Died, OSError) as error:
                    if system.ours:
                        raise
                    self.skipped[f"{system.label}: {case.title}"] = str(error)
        for system in self.systems:
            if done[system.name]:
                yield self._result(case, system, done[system.name])

    def _round(self, case: Case, system: System, seconds: float, around: Around) -> Round:
        prepared = system.prepare(case)
        # What another system left unwritten would be written while this one is measured.
        os.sync()
        pid = system.server.pid
        machine.reset_peak_rss(pid)
        core, cpu, start = (
            machine.core_seconds(self.server_core),
            machine.cpu_seconds(pid),
            time.perf_counter(),
        )
        load = around(case, system, lambda: system.load(case, prepared, seconds))
        wall, used = time.perf_counter() - start, machine.cpu_seconds(pid) - cpu
        others = max(0.0, machine.core_seconds(self.server_core) - core - used)
        rss = machine.peak_rss_mb(pid)
        if not system.server.alive():
            raise Died(f"{system.label} ended under load\n{system.server.tail()}")
        system.verify(case, prepared, load)
        if load.wrong:
            self.keep_log(system, case)
        return Round(load, used, wall, rss, others)

    def keep_log(self, system: System, case: Case) -> None:
        """The server's log outlives the run where something was not right."""
        self.logs.mkdir(parents=True, exist_ok=True)
        kept = self.logs / f"{case.name}.{system.name}.log"
        shutil.copyfile(system.server.log, kept)
        self.say(f"not right: {case.name} on {system.name}; its log: {kept}")

    def _result(self, case: Case, system: System, rounds: list[Round]) -> Result:
        rates = [each.load.rate for each in rounds]
        middle = min(rounds, key=lambda each: abs(each.load.rate - statistics.median_low(rates)))
        load = middle.load
        return Result(
            case=case.name,
            system=system.name,
            rate=load.rate,
            rates=[round(rate, 1) for rate in rates],
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            cpu_us=middle.cpu / (load.handled or load.records) * 1e6 if load.records else 0.0,
            server_busy=middle.cpu / (middle.wall if load.handled else load.seconds) if load.seconds else 0.0,
            generator_idle=load.idle,
            rss_mb=max(each.rss for each in rounds),
            requests=load.requests,
            checked=not any(each.load.wrong for each in rounds),
            wrong=[wrong for each in rounds for wrong in each.load.wrong],
            notes=load.notes,
            disturbed=min(1.0, middle.others / middle.wall),
        )
