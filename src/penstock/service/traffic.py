"""What goes through each partition and stream, by the minute. Owns the counters of this process until somebody takes them;
knows no storage and no HTTP.

Written on the hot path: one look-up and a few additions for each batch, the same again for the stream of each request. What
is counted is taken once a second, in the core by `service.metrics`, in a worker to be sent there.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.clock import Clock, SystemClock
from penstock.log.base import Packed, PartitionRef
from penstock.model.metrics import FIELDS, MINUTE_MS, STREAM, Point

_RECENT_MINUTES = 3


class Counters:
    """One partition, or under the number STREAM a whole stream, in one minute. Times are microseconds, summed."""

    __slots__ = FIELDS

    def __init__(self) -> None:
        self.bytes_in = self.records_in = self.bytes_out = self.records_out = 0
        self.puts = self.puts_us = self.puts_throttled = 0
        self.gets = self.gets_us = self.gets_throttled = 0

    def point(self) -> Point:
        """The values in the order of FIELDS."""
        return [
            self.bytes_in,
            self.records_in,
            self.bytes_out,
            self.records_out,
            self.puts,
            self.puts_us,
            self.puts_throttled,
            self.gets,
            self.gets_us,
            self.gets_throttled,
        ]

    def add(self, point: Point) -> None:
        """Count what was counted elsewhere."""
        for name, value in zip(FIELDS, point, strict=True):
            if value:
                setattr(self, name, getattr(self, name) + value)


class Counted(msgspec.Struct, array_like=True, gc=False):
    """What has been added to one partition in one minute (`minute` counts from the epoch)."""

    stream_id: str
    number: int
    minute: int
    point: Point


class Traffic:
    """Counters of every partition with traffic. `clock` says which minute it is."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._minute = 0
        self._now: dict[PartitionRef, Counters] = {}
        self._ended: list[Counted] = []
        self._recent: dict[int, dict[str, Counters]] = {}

    def of(self, ref: PartitionRef) -> Counters:
        """The counters of a partition to add to, now. Never keep them: the next call may return others."""
        minute = self._clock.now_ms() // MINUTE_MS
        if minute != self._minute:
            self._end_minute(minute)
        return self._now.get(ref) or self._new(ref)

    def put(self, ref: PartitionRef, whole: PartitionRef, records: int, size: int, microseconds: int) -> None:
        """Count a put all of which went to one partition, for it and for its stream (`whole`)."""
        minute = self._clock.now_ms() // MINUTE_MS
        if minute != self._minute:
            self._end_minute(minute)
        one = self._now.get(ref) or self._new(ref)
        one.records_in += records
        one.bytes_in += size
        stream = self._now.get(whole) or self._new(whole)
        stream.records_in += records
        stream.bytes_in += size
        stream.puts += 1
        stream.puts_us += microseconds

    def _new(self, ref: PartitionRef) -> Counters:
        counters = self._now[ref] = Counters()
        return counters

    def put_each(self, whole: PartitionRef, parts: Iterable[Packed], microseconds: int) -> int:
        """The same of a put that went to several, whose payloads are not looked at. How many records that are."""
        all_, now = self.of(whole), self._now
        records = size = 0
        for ref, count, _, length in parts:
            counters = now.get(ref) or self._new(ref)
            counters.records_in += count
            counters.bytes_in += length
            records += count
            size += length
        all_.records_in += records
        all_.bytes_in += size
        all_.puts += 1
        all_.puts_us += microseconds
        return records

    @property
    def waiting(self) -> int:
        """How many counters `take` would return."""
        return len(self._now) + len(self._ended)

    def take(self) -> list[Counted]:
        """What has been counted since the last time, oldest minute first."""
        self._end_minute(self._clock.now_ms() // MINUTE_MS)
        taken, self._ended = self._ended, []
        return taken

    def add(self, counted: Iterable[Counted]) -> None:
        """Count what another process has counted."""
        for one in counted:
            self._ended.append(one)
            self._remember(one)

    def last_minute(self, stream_id: str) -> Counters:
        """All of a stream in the last minute of the clock that is complete. Nobody may change what is returned."""
        minute = self._clock.now_ms() // MINUTE_MS
        if minute != self._minute:
            self._end_minute(minute)
        return self._recent.get(minute - 1, {}).get(stream_id) or Counters()

    def _end_minute(self, following: int) -> None:
        """Put what was counted so far aside; from now on counters are of the minute `following`."""
        for ref, counters in self._now.items():
            counted = Counted(ref.stream_id, ref.number, self._minute, counters.point())
            self._ended.append(counted)
            self._remember(counted)
        if self._now:
            self._now = {}
        if following != self._minute:
            self._minute = following
            for minute in [m for m in self._recent if not following - _RECENT_MINUTES < m <= following + 1]:
                del self._recent[minute]

    def _remember(self, counted: Counted) -> None:
        if counted.number != STREAM:
            return
        streams = self._recent.setdefault(counted.minute, {})
        counters = streams.get(counted.stream_id)
        if counters is None:
            counters = streams[counted.stream_id] = Counters()
        counters.add(counted.point)
