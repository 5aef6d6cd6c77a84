"""Counting of failed authentications (DIS.4309). Owns the counters; knows nothing of what failed.

A minute starts with the first failure of an address with one key; the counters are bounded, the oldest go first.
"""

from __future__ import annotations

from penstock.clock import Clock

_SECONDS = 60.0


class Failures:
    """Failures per (address, key) in a minute."""

    def __init__(self, clock: Clock, per_minute: int, entries: int = 4096) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._entries = entries
        self._counters: dict[tuple[str, str], list[float]] = {}

    def record(self, peer: str, key: str) -> bool:
        """Count one failure; True when there had been `per_minute` already within the minute."""
        now = self._clock.monotonic()
        counter = self._counters.get((peer, key))
        if counter is None or now - counter[0] >= _SECONDS:
            self._counters.pop((peer, key), None)
            if len(self._counters) >= self._entries:
                del self._counters[next(iter(self._counters))]
            self._counters[peer, key] = counter = [now, 0.0]
        counter[1] += 1
        return counter[1] > self._per_minute

    def __len__(self) -> int:
        return len(self._counters)
