"""The one clock. Owns how time is read; knows nothing of what it is used for.

Everything that asks for the time gets a `Clock`, so that tests (and people who test their own programs
against Penstock) can step it.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is stored and shown, monotonic time for durations."""

    def now_ms(self) -> int:
        """Wall-clock time, milliseconds since the epoch (UTC)."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean something."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class SteppedTime:
    """The machine's clocks and what has been added to them: time passes, and more of it when somebody says so."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + round(self._seconds * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self._seconds

    @property
    def advanced(self) -> float:
        """Seconds that have been added so far."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once on both clocks."""
        if seconds < 0:
            raise ValueError("time does not pass backwards")
        self._seconds += seconds


class SteppedClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 0.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        if seconds < 0:
            raise ValueError("time does not pass backwards; use set_wall to move the wall clock")
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds

    def set_wall(self, now_ms: int) -> None:
        """Move the wall clock anywhere (an NTP step); the monotonic clock does not notice."""
        self._now_ms = now_ms
