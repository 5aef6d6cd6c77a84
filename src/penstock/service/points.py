"""One-minute points of streams and partitions (5.6). Owns where they are between the counters of `service.traffic` and the
catalog; knows no labels and no HTTP.

The ten minutes that are running are kept in memory and written whenever they have changed; what is older is in the catalog
alone. Points are exact: what a request has put or got is counted once, whichever process took it, and a question is answered
from everything counted so far. A crash loses what was counted since the last `flush`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from penstock.catalog.base import Catalog, Put, Remove
from penstock.catalog.tables.monitoring import METRIC_BLOCKS
from penstock.clock import Clock
from penstock.model.metrics import (
    BLOCK_MINUTES,
    MINUTE_MS,
    STREAM,
    STREAM_LABELS,
    MetricBlock,
    Point,
    add,
    read,
)
from penstock.model.streams import Stream
from penstock.service.directory import Directory
from penstock.service.events import Events
from penstock.service.traffic import Counted, Traffic

ROWS_AT_ONCE = 200
"""Rows written in one transaction, so that others need not wait long for theirs."""
BLOCKS_UNWRITTEN = 6
"""How many blocks are kept in memory while the catalog takes none: an hour."""
ROWS_REMOVED_AT_ONCE = 5000
ABNORMAL_MINUTES = 3
"""So many minutes in a row with refusals are abnormal, so many without are normal again."""

Key = tuple[str, int, int]
"""Stream id, partition number, block."""

_log = structlog.get_logger("penstock.metrics")
_PUTS_THROTTLED = STREAM_LABELS["traffic_control_put"]
_GETS_THROTTLED = STREAM_LABELS["traffic_control_get"]


async def _nobody() -> None:
    """Nobody else counts."""


class Points:
    """The points of every stream and partition."""

    def __init__(
        self, catalog: Catalog, traffic: Traffic, directory: Directory, events: Events, clock: Clock
    ) -> None:
        self.gather: Callable[[], Awaitable[None]] = _nobody
        """Has other processes report what they have counted."""
        self._catalog = catalog
        self._traffic = traffic
        self._directory = directory
        self._events = events
        self._clock = clock
        self._lock = asyncio.Lock()
        self._pending: dict[Key, dict[int, Point]] = {}
        self._blocks: dict[Key, dict[int, Point]] = {}
        self._changed: set[Key] = set()
        # Blocks up to this one may have rows that are not in memory.
        self._running = self._written_block = self._block()
        self._since_start: dict[str, Point] = {}
        self._refused: dict[str, _Refusals] = {}
        directory.on_change(
            lambda before, after: self._forget(before.stream_id) if before and not after else None
        )

    def _block(self) -> int:
        return self._clock.now_ms() // MINUTE_MS // BLOCK_MINUTES

    # Counting ---------------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Take over what `traffic` has counted."""
        if (running := self._block()) != self._running:
            self._running = running
            self._give_up(running - BLOCKS_UNWRITTEN)
        for counted in self._traffic.take():
            stream = self._directory.by_id(counted.stream_id)
            if stream is None:
                continue  # deleted meanwhile
            key = (counted.stream_id, counted.number, counted.minute // BLOCK_MINUTES)
            minutes = self._pending.setdefault(key, {})
            minutes[counted.minute] = add(minutes.get(counted.minute, []), counted.point)
            if counted.number == STREAM:
                known = self._since_start.get(stream.stream_id, [])
                self._since_start[stream.stream_id] = add(known, counted.point)
                self._note_refusals(counted)

    def _give_up(self, before: int) -> None:
        """Forget what could not be written for so long: memory is for what runs."""
        lost = [key for key in self._pending.keys() | self._changed if key[2] < before]
        for key in lost:
            self._pending.pop(key, None)
            self._blocks.pop(key, None)
            self._changed.discard(key)
        if lost:
            _log.error("points lost, the catalog takes none", rows=len(lost))

    @property
    def waiting(self) -> int:
        """About how many rows a flush would write."""
        return max(len(self._pending.keys() | self._changed), self._traffic.waiting)

    async def flush(self) -> int:
        """Write what has changed; how many rows that were."""
        self.collect()
        written = 0
        while self._pending or self._changed:
            async with self._lock:
                done = await self._write_some()
            if not done:
                break
            written += done
        running = self._block()
        for key in [key for key in self._blocks if key[2] < running and key not in self._changed]:
            del self._blocks[key]
        self._written_block = max(self._written_block, running - 1)
        return written

    async def _write_some(self) -> int:
        for key in list(self._pending)[:ROWS_AT_ONCE]:
            block = self._blocks.get(key)
            if block is None:
                block = await self._stored(key) if key[2] <= self._written_block else {}
                block = self._blocks.setdefault(key, block)
            for minute, point in self._pending.pop(key, {}).items():
                block[minute] = add(block.get(minute, []), point)
            self._changed.add(key)
        keys = [key for key in list(self._changed)[:ROWS_AT_ONCE] if key in self._blocks]
        self._changed.difference_update(keys)
        try:
            await self._catalog.apply(
                *(Put(METRIC_BLOCKS, MetricBlock(*key, dict(self._blocks[key]))) for key in keys)
            )
        except BaseException:
            # A stream that has gone meanwhile, or a catalog that takes nothing now: what is still there is tried again.
            self._changed.update(key for key in keys if self._directory.by_id(key[0]) is not None)
            raise
        return len(keys)

    async def _stored(self, key: Key) -> dict[int, Point]:
        stream_id, number, block = key
        row = await self._catalog.find(
            METRIC_BLOCKS, stream_id=stream_id, partition_number=number, block=block
        )
        return {} if row is None else dict(row.minutes)

    async def drop_before(self, now_ms: int, days: int) -> int:
        """Remove what is older than `days`; how many rows went."""
        oldest_kept = (now_ms // MINUTE_MS - days * 24 * 60) // BLOCK_MINUTES
        removed = 0
        for (block,) in await self._catalog.distinct(METRIC_BLOCKS, "block"):
            if int(block) < oldest_kept:
                removed += await self._catalog.apply(Remove(METRIC_BLOCKS, {"block": block}))
        return removed

    async def remove(self, stream: Stream) -> None:
        """Before a stream goes: remove what would be too much to go with it in one transaction."""
        if await self._catalog.count(METRIC_BLOCKS, stream_id=stream.stream_id) > ROWS_REMOVED_AT_ONCE:
            for number in (STREAM, *(partition.number for partition in stream.partitions)):
                where: dict[str, str | int] = {"stream_id": stream.stream_id, "partition_number": number}
                await self._catalog.apply(Remove(METRIC_BLOCKS, where))

    def _forget(self, stream_id: str) -> None:
        """A stream is gone, and its rows with it."""
        for known in (self._pending, self._blocks):
            for key in [key for key in known if key[0] == stream_id]:
                del known[key]
        self._changed = {key for key in self._changed if key[0] != stream_id}
        self._since_start.pop(stream_id, None)
        self._refused.pop(stream_id, None)

    # Asking -----------------------------------------------------------------------------------------------------

    async def points(self, stream_id: str, number: int, first: int, last: int) -> dict[int, Point]:
        """The minutes from `first` to `last` that had traffic."""
        await self.gather()
        self.collect()
        start, stop = first // BLOCK_MINUTES, last // BLOCK_MINUTES
        found: dict[int, Point] = {}
        async with self._lock:
            if start <= self._written_block:
                for row in await self._catalog.select(
                    METRIC_BLOCKS,
                    {"stream_id": stream_id, "partition_number": number},
                    order="block",
                    after=start - 1,
                    limit=stop - start + 1,
                ):
                    found.update(row.minutes)
            for block in range(start, stop + 1):
                key = (stream_id, number, block)
                found.update(self._blocks.get(key, {}))
                for minute, point in self._pending.get(key, {}).items():
                    found[minute] = add(found.get(minute, []), point)
        return {minute: point for minute, point in found.items() if first <= minute <= last}

    def since_start(self) -> dict[str, Point]:
        """What each stream that had traffic has carried since the process started."""
        self.collect()
        return dict(self._since_start)

    # Refusals ---------------------------------------------------------------------------------------------------

    def _note_refusals(self, counted: Counted) -> None:
        throttled = read(counted.point, _throttled)
        if not throttled:
            return
        self._refused.setdefault(counted.stream_id, _Refusals()).last_minute = counted.minute
        self._emit("traffic_limited", counted.stream_id, f"{throttled} requests met the limit of a partition")

    def watch_traffic(self) -> None:
        """Once a minute: say which streams' traffic has become abnormal, and which is normal again."""
        minute = self._clock.now_ms() // MINUTE_MS - 1
        for stream_id, refusals in list(self._refused.items()):
            refused = refusals.last_minute >= minute
            refusals.run = refusals.run + 1 if refused == refusals.refusing else 1
            refusals.refusing = refused
            if refused and refusals.run == ABNORMAL_MINUTES and not refusals.abnormal:
                refusals.abnormal = True
                self._emit(
                    "traffic_abnormal", stream_id, f"requests refused in {ABNORMAL_MINUTES} minutes in a row"
                )
            elif not refused and refusals.run >= ABNORMAL_MINUTES:
                if refusals.abnormal:
                    self._emit(
                        "traffic_restored", stream_id, f"nothing refused for {ABNORMAL_MINUTES} minutes"
                    )
                del self._refused[stream_id]

    def _emit(self, kind: str, stream_id: str, detail: str) -> None:
        stream = self._directory.by_id(stream_id)
        if stream is not None:
            self._events.emit(kind, stream.project_id, stream.name, detail)


def _throttled(point: Point) -> int:
    return _PUTS_THROTTLED(point) + _GETS_THROTTLED(point)


class _Refusals:
    """A stream's minutes with and without refusals. `run` is how many of the same there were in a row."""

    __slots__ = ("abnormal", "last_minute", "refusing", "run")

    def __init__(self) -> None:
        self.last_minute = self.run = 0
        self.refusing = self.abnormal = False
