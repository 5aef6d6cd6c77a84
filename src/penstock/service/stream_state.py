"""What the operations on records keep at hand: a stream's routes and names, and the counters of the metrics page. Owns those types; does
nothing with them."""

from __future__ import annotations

from penstock.limits import PartitionRate
from penstock.log.base import PartitionRef
from penstock.model.metrics import STREAM
from penstock.model.routing import RoutingTable
from penstock.model.streams import Stream


class Totals:
    """Counters since the start, for the metrics page."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "puts",
        "reads",
        "records_in",
        "records_out",
        "refused",
        "throttled",
    )

    def __init__(self) -> None:
        self.puts = self.records_in = self.bytes_in = self.refused = self.throttled = 0
        self.reads = self.records_out = self.bytes_out = 0

    def take(self) -> dict[str, int]:
        """What has been counted since the last time, those that are not 0."""
        taken = {name: value for name in self.__slots__ if (value := getattr(self, name))}
        for name, value in taken.items():
            setattr(self, name, getattr(self, name) - value)
        return taken

    def add(self, counted: dict[str, int]) -> None:
        """Count what another process has counted."""
        for name, value in counted.items():
            setattr(self, name, getattr(self, name) + value)


class StreamState:
    """What the hot path derives from one state of a stream; dropped when the stream changes."""

    __slots__ = ("rate", "refs", "routing", "stream", "whole")

    def __init__(self, stream: Stream, rate: PartitionRate) -> None:
        self.stream = stream
        self.routing = RoutingTable(stream)
        self.refs = {p.number: PartitionRef(stream.stream_id, p.number) for p in stream.partitions}
        self.whole = PartitionRef(stream.stream_id, STREAM)
        self.rate = rate
