"""A bounded number of open files. Owns descriptors and who uses them; knows nothing of what is in the files.

Used from every thread. The limit is a target, not a wall: when every file is in use one more is opened, so nobody
waits for anybody (10,000 partitions work under an ordinary ulimit because few are in use at a time).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from penstock.log.files.disk import Disk
from penstock.log.files.errors import OUT_OF_FILES


class Handle:
    """An open file; `fd` is valid until released."""

    __slots__ = ("fd", "forgotten", "path", "pins", "writable")

    def __init__(self, path: str, fd: int, writable: bool) -> None:
        self.path = path
        self.fd = fd
        self.writable = writable
        self.pins = 0
        self.forgotten = False


class FilePool:
    """Least recently used files are closed first."""

    def __init__(self, disk: Disk, limit: int) -> None:
        self._disk = disk
        self._limit = limit
        self._lock = threading.Lock()
        self._handles: OrderedDict[str, Handle] = OrderedDict()

    def __len__(self) -> int:
        return len(self._handles)

    def acquire(self, path: str, *, write: bool = False, create: bool = False) -> Handle:
        """An open file that stays open until `release`. Raises OSError."""
        with self._lock:
            handle = self._handles.get(path)
            if handle is not None and (handle.writable or not write) and not create:
                self._handles.move_to_end(path)
                handle.pins += 1
                return handle
            if handle is not None:
                self._forget(handle)
            self._shrink(self._limit - 1)
            try:
                fd = self._open(path, write, create)
            except OSError as error:
                if error.errno not in OUT_OF_FILES:
                    raise
                self._shrink(0)
                fd = self._open(path, write, create)
            handle = Handle(path, fd, write or create)
            handle.pins = 1
            self._handles[path] = handle
            return handle

    def release(self, handle: Handle) -> None:
        """The other half of `acquire`."""
        with self._lock:
            handle.pins -= 1
            if handle.forgotten and not handle.pins:
                self._disk.close(handle.fd)

    @contextmanager
    def using(self, path: str) -> Iterator[int]:
        """Descriptor for reading, for the length of a `with`."""
        handle = self.acquire(path)
        try:
            yield handle.fd
        finally:
            self.release(handle)

    def forget(self, path: str) -> None:
        """Close a file now, or when its last user is done: it is about to be removed."""
        with self._lock:
            if (handle := self._handles.get(path)) is not None:
                self._forget(handle)

    def forget_under(self, directory: str) -> None:
        """Forget every file in a directory."""
        with self._lock:
            for handle in [h for p, h in self._handles.items() if p.startswith(f"{directory}/")]:
                self._forget(handle)

    def forget_removed(self) -> None:
        """Forget files that have no name any more."""
        with self._lock:
            for handle in [h for h in self._handles.values() if not self._disk.links(h.fd)]:
                self._forget(handle)

    def sync_directory(self, path: str) -> None:
        """`Disk.fsync_dir`, with a descriptor to spare. Raises OSError."""
        try:
            self._disk.fsync_dir(path)
        except OSError as error:
            if error.errno not in OUT_OF_FILES:
                raise
            with self._lock:
                self._shrink(0)
            self._disk.fsync_dir(path)

    def close(self) -> None:
        """Forget all."""
        with self._lock:
            for handle in list(self._handles.values()):
                self._forget(handle)

    def _open(self, path: str, write: bool, create: bool) -> int:
        return self._disk.create(path) if create else self._disk.open(path, write=write)

    def _forget(self, handle: Handle) -> None:
        del self._handles[handle.path]
        handle.forgotten = True
        if not handle.pins:
            self._disk.close(handle.fd)

    def _shrink(self, target: int) -> None:
        surplus = len(self._handles) - target
        if surplus <= 0:
            return
        # The oldest come first, so a look at a few of many is enough.
        idle = islice((handle for handle in self._handles.values() if not handle.pins), surplus)
        for handle in list(idle):
            self._forget(handle)
