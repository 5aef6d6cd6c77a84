"""Where the server's time goes: a sampling profiler beside one load.

perf where it is (the whole process, kernel included; by areas too), py-spy where it is (Python functions). One of them is required.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import areas
from bench.cases import CASES, Case
from bench.load.model import Load
from bench.runner import Result
from bench.systems.base import System


def _tool(name: str) -> str | None:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


class Profiler:
    """Wraps the measured part of Penstock's cases; figures taken meanwhile are slower than without."""

    def __init__(self, directory: Path, seconds: float) -> None:
        self.directory = directory
        self.seconds = seconds
        self.perf, self.spy = _tool("perf"), _tool("py-spy")
        self.summaries: list[str] = []
        self.areas: dict[str, dict[str, float]] = {}
        """Row -> area -> share, of its last round."""

    @property
    def missing(self) -> str | None:
        """What to install when there is no profiler at all."""
        if self.perf or self.spy:
            return None
        return "no profiler: apt-get install linux-perf, or pip install py-spy"

    def around(self, case: Case, system: System, load: Callable[[], Load]) -> Load:
        if system.name != "penstock":
            return load()
        self.directory.mkdir(parents=True, exist_ok=True)
        pid, span = str(system.server.pid), str(max(1, int(self.seconds) - 1))
        running: list[subprocess.Popen[bytes]] = []
        data, stacks = self.directory / f"{case.name}.perf", self.directory / f"{case.name}.stacks"
        quiet = subprocess.DEVNULL
        if self.perf:
            argv = [
                self.perf,
                "record",
                "-q",
                "-F",
                "997",
                "-g",
                "-o",
                str(data),
                "-p",
                pid,
                "--",
                "sleep",
                span,
            ]
            running.append(subprocess.Popen(argv, stdout=quiet, stderr=quiet))
        if self.spy:
            argv = [self.spy, "record", "-r", "200", "-d", span, "-f", "raw", "-o", str(stacks), "-p", pid]
            running.append(subprocess.Popen(argv, stdout=quiet, stderr=quiet))
        try:
            result = load()
            for process in running:
                process.wait(30)
        finally:
            for process in running:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if self.perf and data.exists():
            self._perf_report(case, data)
        if self.spy and stacks.exists():
            self._spy_report(case, stacks)
        return result

    def _perf_report(self, case: Case, data: Path) -> None:
        for sort in ("dso", "dso,symbol"):
            argv = [
                str(self.perf), "report", "--stdio", "-q", "--no-children", "-g", "none", "-i", str(data), "--sort", sort,
            ]  # fmt: skip
            text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
            lines = [line.rstrip() for line in text.splitlines() if "%" in line]
            path = self.directory / f"{case.name}.perf-{sort.replace(',', '-')}.txt"
            path.write_text("\n".join(lines) + "\n")
            self.summaries.append(f"{case.title}, perf by {sort}:\n" + "\n".join(lines[:14]))
        argv = [str(self.perf), "script", "-F", areas.FIELDS, "-i", str(data)]
        printed = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        if found := areas.shares(printed):
            self.areas[case.name] = found
        data.unlink()

    def where(self, results: Sequence[Result]) -> str:
        """The areas of all rows as Markdown, kept in `profile.json` too; a line that says why there are none."""
        if not self.areas:
            why = "perf recorded nothing" if self.perf else "that takes perf: apt-get install linux-perf"
            return f"no areas: {why}"
        titles = {case.name: case.title for case in CASES}
        cpu_us = {result.case: result.cpu_us for result in results if result.case in self.areas}
        content = {name: {"cpu_us": cpu_us.get(name), "areas": found} for name, found in self.areas.items()}
        (self.directory / "profile.json").write_text(json.dumps(content, indent=1) + "\n")
        return areas.markdown(
            {titles[name]: found for name, found in self.areas.items()},
            {titles[name]: value for name, value in cpu_us.items()},
        )

    def _spy_report(self, case: Case, stacks: Path) -> None:
        """Self time by function, from collapsed stacks (`a;b;c COUNT`)."""
        own: Counter[str] = Counter()
        for line in stacks.read_text().splitlines():
            stack, _, samples = line.rpartition(" ")
            own[stack.rpartition(";")[2]] += int(samples)
        total = sum(own.values()) or 1
        lines = [f"{samples / total:7.2%}  {name}" for name, samples in own.most_common(20)]
        self.summaries.append(f"{case.title}, py-spy, own time by function:\n" + "\n".join(lines))
