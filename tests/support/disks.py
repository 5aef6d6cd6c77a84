"""Disks that fail, for the embedded log (`penstock.log.files.disk.Disk`). Owns the faults; knows nothing of the log.

`FaultyDisk` fails chosen calls. `PowerDisk` knows what had been synced and can say what a loss of power leaves.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from penstock.log.files.disk import Buffer, Disk


class PathDisk(Disk):
    """Knows which file each descriptor is of."""

    def __init__(self) -> None:
        self.paths: dict[int, str] = {}

    def open(self, path: str, *, write: bool) -> int:
        fd = super().open(path, write=write)
        self.paths[fd] = path
        return fd

    def create(self, path: str) -> int:
        fd = super().create(path)
        self.paths[fd] = path
        return fd


class FaultyDisk(Disk):
    """Counts calls by name; `fail` makes some raise. `short` limits the bytes one write takes."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.short: Callable[[int], int] | None = None
        self._faults: dict[str, tuple[int, int, int]] = {}
        self._lock = threading.Lock()

    def fail(self, call: str, number: int, *, after: int = 0, times: int = 1) -> None:
        """From now on the calls after the next `after` ones raise this errno, `times` times (-1: for good)."""
        self._faults[call] = (number, self.calls.get(call, 0) + after, times)

    def heal(self) -> None:
        self._faults.clear()
        self.short = None

    def _count(self, call: str) -> None:
        with self._lock:
            seen = self.calls[call] = self.calls.get(call, 0) + 1
            if call not in self._faults:
                return
            number, after, times = self._faults[call]
            if seen <= after or times == 0:
                return
            self._faults[call] = (number, after, times - 1)
        _raise(number)

    def open(self, path: str, *, write: bool) -> int:
        self._count("open")
        return super().open(path, write=write)

    def create(self, path: str) -> int:
        self._count("create")
        return super().create(path)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self._count("pread")
        return super().pread(fd, length, offset)

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        if self.short is not None:
            joined = b"".join(buffers)
            allowed = self.short(len(joined))
            if allowed < len(joined):
                # What fits is written, then the rest fails or is tried again.
                return super().pwritev(fd, [joined[:allowed]], offset) if allowed else 0
        self._count("pwritev")
        return super().pwritev(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        self._count("fdatasync")

    def sync_all(self, path: str) -> None:
        self._count("sync_all")

    def truncate(self, fd: int, size: int) -> None:
        self._count("truncate")
        super().truncate(fd, size)

    def fsync_dir(self, path: str) -> None:
        self._count("fsync_dir")

    def unlink(self, path: str) -> None:
        self._count("unlink")
        super().unlink(path)


def _raise(number: int) -> NoReturn:
    if number < 0:
        raise InterruptedError("interrupted")
    raise OSError(number, os.strerror(number))


class PowerDisk(Disk):
    """Loses what was not synced, in sectors of 512 bytes: `crash` writes what is left to another directory.

    When `crash_at` calls have been made, `on_crash` is called in the middle of whatever goes on.
    """

    def __init__(self) -> None:
        self.on_crash: Callable[[], None] | None = None
        self.crash_at = -1
        self.operations = 0
        self._lock = threading.RLock()
        self._paths: dict[int, str] = {}
        self._synced: dict[str, bytes] = {}
        self._new: set[str] = set()
        """Files whose names need not survive."""
        self._ghosts: dict[str, bytes] = {}
        """Removed files whose removal need not survive."""

    def crash(self, random_: random.Random, source: Path, target: Path) -> None:
        """What is on disk after losing power now: the synced, and any of the rest."""
        with self._lock:
            shutil.copytree(source, target, ignore=lambda _, names: [n for n in names if n.endswith(".tmp")])
            for path in [p for p in target.rglob("*") if p.is_file()]:
                original = str(source / path.relative_to(target))
                if original in self._new and random_.random() < 0.5:
                    path.unlink()
                    continue
                if (synced := self._synced.get(original)) is not None:
                    path.write_bytes(_mix(random_, synced, path.read_bytes()))
            for original, content in self._ghosts.items():
                path = target / Path(original).relative_to(source)
                if random_.random() < 0.5 and path.parent.is_dir() and not path.exists():
                    path.write_bytes(content)

    def _step(self) -> None:
        self.operations += 1
        if self.operations == self.crash_at and self.on_crash is not None:
            self.on_crash()

    def open(self, path: str, *, write: bool) -> int:
        with self._lock:
            fd = super().open(path, write=write)
            self._paths[fd] = path
            if path not in self._synced:
                self._synced[path] = Path(path).read_bytes()
            return fd

    def create(self, path: str) -> int:
        with self._lock:
            self._step()
            fd = super().create(path)
            self._paths[fd] = path
            self._synced[path] = b""
            self._new.add(path)
            return fd

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        with self._lock:
            self._step()
            return super().pwritev(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        with self._lock:
            self._step()
            path = self._paths[fd]
            if Path(path).exists():
                self._synced[path] = Path(path).read_bytes()

    def sync_all(self, path: str) -> None:
        with self._lock:
            self._step()
            for name in self._synced:
                if Path(name).exists():
                    self._synced[name] = Path(name).read_bytes()

    def truncate(self, fd: int, size: int) -> None:
        with self._lock:
            self._step()
            super().truncate(fd, size)

    def fsync_dir(self, path: str) -> None:
        with self._lock:
            self._step()
            self._new = {p for p in self._new if str(Path(p).parent) != path}
            self._ghosts = {p: c for p, c in self._ghosts.items() if str(Path(p).parent) != path}

    def unlink(self, path: str) -> None:
        with self._lock:
            self._step()
            super().unlink(path)
            content = self._synced.pop(path, None)
            if content is not None and path not in self._new:
                self._ghosts[path] = content
            self._new.discard(path)

    def rename(self, old: str, new: str) -> None:
        with self._lock:
            self._step()
            super().rename(old, new)
            if old in self._synced:
                self._synced[new] = self._synced.pop(old)
            self._new.discard(old)
            self._new.add(new)


def _mix(random_: random.Random, old: bytes, new: bytes) -> bytes:
    """A file of which some sectors are as synced and some as written since."""
    low, high = sorted((len(old), len(new)))
    size = random_.choice((low, high, random_.randint(low, high)))
    kept = random_.choice((0.0, 0.5, 0.9, 1.0))
    old, new = old.ljust(high, b"\0"), new.ljust(high, b"\0")
    sectors = []
    for at in range(0, high, 512):
        sectors.append((new if random_.random() < kept else old)[at : at + 512])
    return b"".join(sectors)[:size]
