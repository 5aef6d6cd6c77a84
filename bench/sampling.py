"""Where the dump process spends its processor time: a sampling thread inside it, for `python -m bench.dumps --profile`.

Every few milliseconds each thread's own processor time (`/proc/self/task/*/schedstat`) since the sample before is put down to the
Python lines it is in. So waiting costs nothing, and work in C counts for the line that called it. Threads that are not Python's (of
Arrow, of Rust) count by name. It must not know what it samples.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

MODULE = "penstock.dump.process"
VARIABLE = "PENSTOCK_BENCH_SAMPLES"
"""Names the directory for the files PID.json."""
EVERY = 0.005
WRITE_EVERY = 0.5
_CUSTOMIZE = "import bench.sampling\nbench.sampling.start_if_asked()\n"


def environment(directory: Path) -> dict[str, str]:
    """What a server needs so that its dump process writes samples there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sitecustomize.py").write_text(_CUSTOMIZE)
    path = os.pathsep.join([str(directory), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path.rstrip(os.pathsep), VARIABLE: str(directory)}


def start_if_asked() -> None:
    """In the interpreter that runs MODULE, and in no other."""
    directory = os.environ.get(VARIABLE)
    if directory and MODULE in getattr(sys, "orig_argv", ()):
        threading.Thread(target=_sample, args=(Path(directory),), name="sampler", daemon=True).start()


def _sample(directory: Path) -> None:
    own = threading.get_native_id()
    before: dict[int, int] = {}
    spent: Counter[str] = Counter()
    written = time.monotonic()
    while True:
        time.sleep(EVERY)
        frames = sys._current_frames()
        natives = {thread.native_id: frames.get(thread.ident or 0) for thread in threading.enumerate()}
        for task in Path("/proc/self/task").iterdir():
            number = int(task.name)
            if number == own:
                continue
            try:
                used = int((task / "schedstat").read_text().split()[0])
            except OSError:
                continue
            if delta := used - before.get(number, 0):
                before[number] = used
                spent[_where(natives.get(number), task.name)] += delta
        del frames, natives
        if time.monotonic() - written > WRITE_EVERY:
            written = time.monotonic()
            file = directory / f"{os.getpid()}.json"
            file.write_text(json.dumps(spent))


def _where(frame: FrameType | None, task: str) -> str:
    """`outermost;...;innermost` without what is beneath every stack, or the thread's name."""
    if frame is None:
        try:
            return f"[{Path(f'/proc/self/task/{task}/comm').read_text().strip()}]"
        except OSError:
            return "[gone]"
    steps: list[str] = []
    at: FrameType | None = frame
    while at is not None:
        code = at.f_code
        steps.append(
            f"{_short(code.co_filename)}:{code.co_qualname if sys.version_info >= (3, 11) else code.co_name}:{at.f_lineno}"
        )
        at = at.f_back
    return ";".join(reversed(steps))


def _short(file: str) -> str:
    for mark in ("site-packages/", "/src/", "lib/python3"):
        if mark in file:
            return file.rpartition(mark)[2]
    return file


def read(directory: Path, pid: int) -> Counter[str]:
    """Stack -> nanoseconds, as far as it has been written; empty before the first writing."""
    file = directory / f"{pid}.json"
    for _ in range(5):
        try:
            return Counter(json.loads(file.read_text()))
        except FileNotFoundError:
            return Counter()
        except ValueError:  # being written
            time.sleep(0.05)
    return Counter()


def costs(spent: Counter[str], most: int = 20) -> list[tuple[float, str]]:
    """(share, line), the dearest first: each stack counts for its innermost line."""
    own: Counter[str] = Counter()
    for stack, nanoseconds in spent.items():
        own[stack.rpartition(";")[2]] += nanoseconds
    total = sum(own.values()) or 1
    return [(nanoseconds / total, line) for line, nanoseconds in own.most_common(most)]


def within(spent: Counter[str], words: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Group -> share of all time: the first group that has a word which occurs in the stack; `other` for the rest."""
    shares: Counter[str] = Counter(dict.fromkeys([*words, "other"], 0))
    for stack, nanoseconds in spent.items():
        group = next((name for name, some in words.items() if any(word in stack for word in some)), "other")
        shares[group] += nanoseconds
    total = sum(shares.values()) or 1
    return {name: nanoseconds / total for name, nanoseconds in shares.items()}
