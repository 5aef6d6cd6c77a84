"""The short way of a put that is what most are: all of its records for one partition of a running stream of the project, and traffic
control admits them all. Owns that way, which does and counts what `Records.put` does, with one object and no coroutine for each put.

Whatever is unusual is left to `Records.put`, before anything has been done or counted: so is every refusal. Knows no wire and no HTTP.
"""

from __future__ import annotations

from typing import Any

from penstock.clock import Clock
from penstock.errors import ApiError
from penstock.iam.base import Principal
from penstock.limits import Limits
from penstock.log.base import Durable, LogError
from penstock.model.streams import Stream
from penstock.service.access import Access
from penstock.service.failures import record_failure
from penstock.service.partitions import PartitionStore
from penstock.service.stream_state import StreamState, Totals
from penstock.service.traffic import Traffic

WRITE = "dis:records:write"
"""What an IAM user must be allowed to put (chapter 6 table 6-1)."""
Streams = dict[str, tuple[Any, StreamState]]
"""Streams by name: what the compiled codec made of their routes, and their state."""
Taken = tuple[StreamState, int, int, bytes, int]
"""A request: its stream, partition, how many records, their payload, bytes of their data."""
_NONE: Streams = {}


class DirectPut:
    """A put on its way. Whoever answers it makes a class of it, with `stored`."""

    __slots__ = ("began", "body_bytes", "number", "records", "size", "state")

    began: float
    body_bytes: int
    number: int
    records: int
    size: int
    state: StreamState

    def stored(self, result: Durable | LogError) -> None:
        """Called with what became of the records, on the event loop; `DirectPuts.count` it and answer."""
        raise NotImplementedError


class DirectPuts:
    """The streams that are put to, and the way there."""

    def __init__(
        self,
        partitions: PartitionStore,
        access: Access,
        limits: Limits,
        clock: Clock,
        traffic: Traffic,
        totals: Totals,
    ) -> None:
        self._partitions = partitions
        self._access = access
        self._clock = clock
        self._traffic = traffic
        self._totals = totals
        self._streams: dict[str, Streams] = {}
        self._records_max = limits.records_per_request
        self.body_max = min(limits.partition_key_length, limits.record_bytes, limits.request_bytes)
        """Nothing in a body of so many bytes is over a limit of sizes."""

    def streams(self, project_id: str) -> Streams:
        """Those of a project that have been put to since they last changed. Not to be changed."""
        return self._streams.get(project_id, _NONE)

    def know(self, state: StreamState) -> None:
        """Let the next put to a stream go this way. It is as the directory has it, is running, and has just been put to."""
        stream, router = state.stream, state.routing.compiled
        if router is not None:
            self._streams.setdefault(stream.project_id, {})[stream.name] = (router, state)

    def forget(self, stream: Stream) -> None:
        """A stream is about to change, or has gone."""
        streams = self._streams.get(stream.project_id)
        if streams is not None and streams.pop(stream.name, None) is not None and not streams:
            del self._streams[stream.project_id]

    def begin(
        self, put: DirectPut, principal: Principal, project_id: str, taken: Taken, body_bytes: int
    ) -> bool:
        """Store what the compiled codec took from a body of at most `body_max` bytes for one of `streams(project_id)`, where the
        principal may act; `put.stored` is called with what became of it. False: nothing has been done, `Records.put` is to be asked."""
        state, number, records, payload, size = taken
        if records > self._records_max or not (
            principal.owner or self._allowed(principal, project_id, state.stream)
        ):
            return False
        put.began = self._clock.monotonic()
        put.state = state
        put.number = number
        put.records = records
        put.size = size
        put.body_bytes = body_bytes
        return self._partitions.begin(state.refs[number], payload, records, size, state.rate, put.stored)

    def _allowed(self, principal: Principal, project_id: str, stream: Stream) -> bool:
        try:
            self._access.check(principal, project_id, WRITE, stream)
        except ApiError:
            return False
        return True

    def count(self, put: DirectPut, result: Durable | LogError) -> tuple[str, str] | None:
        """Count what became of a put. Code and message of its records' failure; None: they are durable."""
        totals, state, records = self._totals, put.state, put.records
        totals.puts += 1
        totals.bytes_in += put.body_bytes
        if isinstance(result, Durable):
            totals.records_in += records
            microseconds = int((self._clock.monotonic() - put.began) * 1_000_000)
            self._traffic.put(state.refs[put.number], state.whole, records, put.size, microseconds)
            return None
        totals.refused += records
        return record_failure(result, state.stream, put.number)
