"""This machine: which cores the two sides use, what the processes on them spend, and what tools there are.

Linux only (`/proc`, CPU affinity). It must not know any system under test.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


class Missing(Exception):
    """A tool is not there; the message names the command that installs it."""


# -- cores ---------------------------------------------------------------------------------------------


def cores() -> tuple[int, int]:
    """(server's core, load generator's core); equal when the process may use only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[1] if len(allowed) > 1 else allowed[0]


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Children started inside inherit the core; None: nothing is pinned. Affinity is the calling thread's, so no other
    thread moves."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# -- what processes spend ------------------------------------------------------------------------------


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, ()))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of every thread of every process in the tree, to a clock tick (10 ms)."""
    return sum(map(own_cpu_seconds, tree(pid)))


def own_cpu_seconds(pid: int) -> float:
    """The same of one process without its children; 0 when it is gone."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK
    return 0.0


def core_seconds(core: int | None) -> float:
    """Time that a core (None: all of them) was not idle since the machine started, whoever used it, seconds."""
    wanted = "cpu" if core is None else f"cpu{core}"
    for line in Path("/proc/stat").read_text().splitlines():
        name, _, rest = line.partition(" ")
        if name == wanted:
            user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(int, rest.split())
            return (user + nice + system + irq + softirq + steal) / TICK
    return 0.0


def reset_peak_rss(pid: int) -> None:
    """Start a new high-water mark for every process in the tree."""
    for each in tree(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{each}/clear_refs").write_text("5")


def peak_rss_mb(pid: int) -> float:
    """Sum of the high-water marks of the tree, 10^6 bytes: shared pages count once per process."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1]) * 1024
    return total / 1e6


def resident_mb(pid: int) -> float:
    """Resident memory of the tree now, 10^6 bytes: shared pages count once per process."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
    return total / 1e6


# -- the disk ------------------------------------------------------------------------------------------


def forget(directory: Path) -> None:
    """Ask the kernel to keep nothing of the files there in its page cache; what is not written yet is written first."""
    os.sync()
    for path in directory.rglob("*"):
        # A file may go meanwhile: the server works on.
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                file = os.open(path, os.O_RDONLY)
                try:
                    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(file)


def warm(directory: Path, megabytes: int) -> None:
    """Have the kernel use its memory once. On a virtual machine the first use of a page costs several times a write
    to it, which a measurement of a few seconds would take for the server's own work."""
    path = directory / "warm"
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(bytes(1 << 20))
    path.unlink()


def warm_most(directory: Path) -> None:
    """`warm` for half of the memory that can be had, and at most a tenth of what is free on the disk."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    warm(directory, min(available // 2, shutil.disk_usage(directory).free // 10) >> 20)


def disk_read_mb(pid: int) -> float | None:
    """What the tree has had fetched from the disk so far, 10^6 bytes; None where the kernel does not say."""
    total = 0
    for each in tree(pid):
        try:
            for line in Path(f"/proc/{each}/io").read_text().splitlines():
                if line.startswith("read_bytes:"):
                    total += int(line.split()[1])
        except OSError:
            return None
    return total / 1e6


def group_commits(directory: Path, request: int, most: int, seconds: float = 1.0) -> dict[int, float]:
    """The disk's own group commits: requests in a group (1, 2, 4 ... `most`) -> requests/s when groups of so many requests of
    `request` bytes are appended to a file and fdatasync'ed, one group after the other, with nothing else to do."""
    rates = {}
    group = 1
    while group <= most:
        data = os.urandom(request * group)
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            done, begun = 0, time.perf_counter()
            while (took := time.perf_counter() - begun) < seconds:
                file.write(data)
                os.fdatasync(file.fileno())
                done += group
                if done * request % (1 << 29) < group * request:  # a file of at most half a gigabyte
                    file.seek(0)
                    file.truncate()
            rates[group] = done / took
        group *= 2
    return rates


# -- tools ---------------------------------------------------------------------------------------------


def cache() -> Path:
    """Where peers are installed once."""
    root = os.environ.get("PENSTOCK_SERVICES_CACHE") or str(Path.home() / ".cache" / "penstock-services")
    path = Path(root).absolute() / "bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


def need(tool: str, hint: str) -> str:
    """The path of a tool that only its own installer can bring."""
    found = shutil.which(tool)
    if found is None:
        raise Missing(f"{tool} is missing: {hint}")
    return found


def need_debian(tool: str, package: str) -> str:
    """The path of a tool in a Debian package, which is installed when we may."""
    found = shutil.which(tool)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _apt_install(package)
        found = shutil.which(tool)
    if found is None:
        raise Missing(f"{tool} is missing: apt-get install {package}")
    return found


def _apt_install(package: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Server packages start a service of their own on all interfaces or a fixed port unless a policy forbids it.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    install = [
        "apt-get",
        "-qq",
        "-o",
        "DPkg::Lock::Timeout=300",
        "install",
        "-y",
        "--no-install-recommends",
        package,
    ]
    try:
        if subprocess.run(install, env=environment, stdout=sys.stderr, check=False).returncode:
            subprocess.run(["apt-get", "-qq", "update"], env=environment, stdout=sys.stderr, check=False)
            subprocess.run(install, env=environment, stdout=sys.stderr, check=False)
    finally:
        if ours:
            policy.unlink(missing_ok=True)


# -- facts for the reader ------------------------------------------------------------------------------


def filesystem(path: Path) -> str:
    """Type of the file system that holds `path`."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, found, *_ = line.split()
        if path.absolute().is_relative_to(point) and len(point) > len(best):
            best, kind = point, found
    return kind


def sync_ms(directory: Path, size: int = 131_072, rounds: int = 60) -> float:
    """Median time to append `size` bytes to a file and fdatasync it, ms: what a durable group costs here."""
    times = []
    data = os.urandom(size)
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(rounds):
            start = time.perf_counter()
            file.write(data)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return sorted(times)[rounds // 2] * 1e3


def facts(directory: Path) -> dict[str, str | float | int]:
    """What the table cannot say: processor, kernel, interpreter, disk."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "processor": model,
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": filesystem(directory),
        "fdatasync_128k_ms": round(sync_ms(directory), 3),
        "load_before": round(os.getloadavg()[0], 2),
    }
