"""A disk whose calls fail when told to: for people who test what their programs do when a server's disk does. Owns the faults
that are set; `Disk` does the rest.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

from penstock.log.files.disk import Buffer, Disk

CALLS = ("pread", "pwritev", "fdatasync", "create")
ERRORS = ("EIO", "ENOSPC", "EMFILE")


class Fault(NamedTuple):
    """The calls after the next `after` ones fail with `error`, `times` times (-1: until healed)."""

    error: str
    after: int
    times: int


class InjectedDisk(Disk):
    """Thread-safe; does nothing of its own until `fail` is called."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._lock = threading.Lock()

    def fail(self, call: str, fault: Fault) -> None:
        """Set the fault of one of CALLS."""
        with self._lock:
            self._faults[call] = fault

    @property
    def shared(self) -> bool:
        """Not while calls fail: another process's would not."""
        return not self._faults

    def heal(self) -> None:
        """No call fails any more."""
        with self._lock:
            self._faults.clear()

    def _maybe(self, call: str) -> None:
        if not self._faults:
            return
        with self._lock:
            fault = self._faults.get(call)
            if fault is None or fault.times == 0:
                return
            if fault.after:
                self._faults[call] = fault._replace(after=fault.after - 1)
                return
            if fault.times > 0:
                self._faults[call] = fault._replace(times=fault.times - 1)
        number = getattr(errno, fault.error)
        raise OSError(number, f"{os.strerror(number)} (injected)")

    def create(self, path: str) -> int:
        self._maybe("create")
        return super().create(path)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self._maybe("pread")
        return super().pread(fd, length, offset)

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        self._maybe("pwritev")
        return super().pwritev(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        self._maybe("fdatasync")
        super().fdatasync(fd)

    def sync_all(self, path: str) -> None:
        self._maybe("fdatasync")
        super().sync_all(path)
