"""Traffic control: how much a partition takes or gives in any second. Owns the counting; the clock is passed in.

A window remembers what it admitted and when; whatever a client does, no second ever sees more than the limit. A bucket that refills
would let a burst through on top of the rate after every pause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

WINDOW_SECONDS = 1.0
EARLY_SECONDS = 0.005
"""A client that paces itself exactly at the limit is not refused for arriving this early. What is admitted early counts from
when it was due, so that the rate stays exact over any longer time."""


class RateWindow:
    """Admits at most `max_count` items and `max_bytes` bytes in any second.

    Memory is bounded by the limit itself: an entry stands for at least one admitted item.
    """

    __slots__ = ("_bytes", "_count", "_due", "_entries", "max_bytes", "max_count")

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self.max_count = max_count
        self.max_bytes = max_bytes
        self._entries: deque[tuple[float, int, int]] = deque()
        self._count = 0
        self._bytes = 0
        self._due = 0.0

    def _forget(self, now: float) -> None:
        entries = self._entries
        while entries and entries[0][0] <= now - WINDOW_SECONDS + EARLY_SECONDS:
            at, count, size = entries.popleft()
            self._due = at + WINDOW_SECONDS
            self._count -= count
            self._bytes -= size

    def admit(self, sizes: Sequence[int], now: float) -> int:
        """How many of these items, from the front, fit at monotonic time `now`; they are counted at once.
        The rest are refused together, so that a partition's order survives a client's retry."""
        self._forget(now)
        room = self.max_count - self._count
        space = self.max_bytes - self._bytes
        taken = total = 0
        for size in sizes:
            if taken >= room or total + size > space:
                break
            taken += 1
            total += size
        if taken:
            self._add(taken, total, now)
        return taken

    def admit_all(self, count: int, size: int, now: float) -> bool:
        """Whether `count` items of `size` bytes together all fit now; they are counted only then."""
        self._forget(now)
        if count > self.max_count - self._count or size > self.max_bytes - self._bytes:
            return False
        if count:
            self._add(count, size, now)
        return True

    def space(self, now: float) -> int:
        """Bytes that still fit now."""
        self._forget(now)
        return max(0, self.max_bytes - self._bytes) if self._count < self.max_count else 0

    def spend(self, size: int, now: float) -> None:
        """Count `size` bytes (one item) that were given without asking again."""
        self._add(1, size, now)

    def _add(self, count: int, size: int, now: float) -> None:
        entries = self._entries
        now = max(now, self._due)
        # Entries of one millisecond share a place: many tiny requests do not grow the window.
        if entries and now - entries[-1][0] < 0.001:
            at, had, had_bytes = entries[-1]
            entries[-1] = (at, had + count, had_bytes + size)
        else:
            entries.append((now, count, size))
        self._count += count
        self._bytes += size
