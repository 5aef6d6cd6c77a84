"""Memory that the core and its workers share. Owns how it is laid out and who may write where; knows nothing of what it is for.

`Tray` carries payloads from one worker to the core: a socket would copy them twice more, and through the kernel. `Board` is where the core
publishes the bounds of partitions, so that a worker need not ask. Both are files without a name, inherited as descriptors; they go
with the last process that has them mapped, however it ends, and a new worker gets new ones.

Every word is written by one side only, and has been before a message tells of it; the system calls of that message keep the order. What is read
without a message (`BoardView.bounds`, a page that was freed) relies on a store not overtaking an earlier load or store of the same process, as
on x86; where it might, thousands of instructions lie between.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable

from penstock.log.base import Bounds, PartitionRef

PAGE_BYTES = 16 << 10
PAGES = 512
"""8 MB a worker: they are used for as long as a message takes. Those first in memory are used first, so few are ever touched."""
_FLAGS_BYTES = 4096
_TRAY_BYTES = _FLAGS_BYTES + PAGES * PAGE_BYTES
_FREE, _TAKEN = b"\0", b"\1"

SLOTS = 1 << 17
"""Partitions that a board has room for, 4 MB (of which what is used is real). Workers ask about those that found none."""
_WORDS = 4
"""Of 8 bytes, a slot: generation (0: not in use), earliest, next, one to spare."""
_BOARD_BYTES = SLOTS * _WORDS * 8


def _nameless(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("penstock")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


class Tray:
    """The worker's end."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, _TRAY_BYTES)

    def put(self, pieces: Iterable[bytes], size: int) -> int:
        """Put down pieces of `size` bytes together, one behind the other; the page they begin at, for `TrayView.take`, or -1 when there is no
        room."""
        pages = -(-size // PAGE_BYTES)
        page = self._map.find(_FREE * pages, 0, PAGES)
        if page < 0:
            return -1
        self._map[page : page + pages] = _TAKEN * pages
        at = _FLAGS_BYTES + page * PAGE_BYTES
        for piece in pieces:
            end = at + len(piece)
            self._map[at:end] = piece
            at = end
        return page


class TrayView:
    """The core's end; `fd` is for the worker to inherit."""

    def __init__(self) -> None:
        self.fd = _nameless(_TRAY_BYTES)
        self._map = mmap.mmap(self.fd, _TRAY_BYTES)

    def take(self, page: int, sizes: Iterable[int]) -> list[bytes]:
        """Copies of the pieces from a page on; the room they had is free again."""
        start = at = _FLAGS_BYTES + page * PAGE_BYTES
        pieces = []
        for size in sizes:
            pieces.append(self._map[at : at + size])
            at += size
        pages = -(-(at - start) // PAGE_BYTES)
        self._map[page : page + pages] = _FREE * pages
        return pieces

    def close(self) -> None:
        """The worker is gone."""
        self._map.close()
        os.close(self.fd)


class Board:
    """The core's end: bounds of the partitions that some worker has asked for. `fd` is for workers to inherit."""

    def __init__(self, bounds: Callable[[PartitionRef], Bounds], slots: int = SLOTS) -> None:
        self.fd = _nameless(_BOARD_BYTES)
        self._words = memoryview(mmap.mmap(self.fd, _BOARD_BYTES)).cast("Q")
        self._bounds = bounds
        self._slots: dict[PartitionRef, int] = {}
        self._unused = deque(range(slots))
        self._generation = 0

    def slot(self, ref: PartitionRef) -> tuple[int, int] | None:
        """Where a partition's bounds are from now on, and the generation that is there as long as they are; None when there is no room.
        Raises UnknownPartition."""
        earliest, following = self._bounds(ref)
        at = self._slots.get(ref)
        if at is None:
            if not self._unused:
                return None
            # The one that has been free the longest: what a worker still remembers of it is long gone.
            at = self._slots[ref] = self._unused.popleft() * _WORDS
            words = self._words
            words[at + 1], words[at + 2] = earliest, following
            self._generation += 1
            words[at] = self._generation
        return at, self._words[at]

    def note(self, ref: PartitionRef, bounds: Bounds | None) -> None:
        """Bounds have changed; None: the partition is gone."""
        at = self._slots.get(ref)
        if at is None:
            return
        if bounds is None:
            del self._slots[ref]
            self._words[at] = 0
            self._unused.append(at // _WORDS)
        else:
            self._words[at + 1], self._words[at + 2] = bounds

    def __len__(self) -> int:
        return len(self._slots)


class BoardView:
    """A worker's end: reads only."""

    def __init__(self, fd: int) -> None:
        self._words = memoryview(mmap.mmap(fd, _BOARD_BYTES, prot=mmap.PROT_READ)).cast("Q")
        self._slots: dict[PartitionRef, tuple[int, int]] = {}

    def remember(self, ref: PartitionRef, slot: int, generation: int) -> None:
        """What `Board.slot` said of a partition."""
        self._slots[ref] = slot, generation

    def bounds(self, ref: PartitionRef) -> Bounds | None:
        """Bounds now; None when the core has to be asked."""
        known = self._slots.get(ref)
        if known is None:
            return None
        at, generation = known
        words = self._words
        # In this order: both only grow, so `next` is never before `earliest`; and they were this partition's if the slot still is.
        bounds = Bounds(words[at + 1], words[at + 2])
        if words[at] != generation:
            del self._slots[ref]
            return None
        return bounds

    def forget(self, ref: PartitionRef) -> None:
        """The partition is gone."""
        self._slots.pop(ref, None)
