"""How a worker reads the log: its own recent frames, the bounds on the board, segment files where the core says they are. Owns the cache
and when to ask the core; knows nothing of what may be read by whom, nor how much at a time.

A read that finds its frames here costs the core nothing. Otherwise the core is asked once for a stretch of the log: for a place in a file,
which is read here, in a thread, and some way ahead; near the end of the log, and where there is no such place, for the frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import msgspec

from penstock.limits import UNLIMITED
from penstock.log.base import Bounds, Corrupt, Frame, OutOfRange, PartitionRef, Place
from penstock.log.files.cache import FrameCache
from penstock.log.files.outside import OutsideReader
from penstock.workers.memory import BoardView
from penstock.workers.messages import ReadCall, ReadResult, SlotCall, SlotResult, unpack_error

CACHE_BYTES = 16 << 20
NEAR_BYTES = 64 << 10
"""With no more left than this, frames come from the core: it has just written them, and they are few."""
RECORD_BYTES = 1024
"""What a record is taken for before one of its partition has been seen."""
AHEAD_FIRST, AHEAD_MOST = 256 << 10, 1 << 20
"""Bytes read at a time by who goes on where the last read ended: twice as many each time, for with many readers they may be dropped
from the cache before they are wanted."""
THREADS = 2
_TRACES = 4096

Ask = Callable[[str, object], Awaitable[msgspec.Raw]]
"""A call to the core. Raises LogError."""
_slot_result = msgspec.msgpack.Decoder(SlotResult)
_read_result = msgspec.msgpack.Decoder(ReadResult)


class _Trace(NamedTuple):
    """The last stretch of a partition that was read: where it ended, how many bytes it was to be (0: no more than wanted), the size of
    its records."""

    end: int
    ahead: int
    record_bytes: int


_NO_TRACE = _Trace(-1, 0, RECORD_BYTES)


class FrameReader:
    """Reads by any number of callers; all on one event loop."""

    def __init__(self, ask: Ask, board: BoardView, cache_bytes: int = CACHE_BYTES) -> None:
        self._ask = ask
        self._board = board
        self.cache = FrameCache(cache_bytes)
        self._outside = OutsideReader()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="worker-read")
        self._loading: dict[tuple[PartitionRef, int], asyncio.Future[list[Frame]]] = {}
        self._traces: dict[PartitionRef, _Trace] = {}

    async def bounds(self, ref: PartitionRef) -> Bounds:
        """See RecordLog.bounds. What has been acknowledged by any worker counts."""
        bounds = self._board.bounds(ref)
        if bounds is not None:
            return bounds
        result = _slot_result.decode(await self._ask("slot", SlotCall(ref.stream_id, ref.number)))
        if result.failure is not None:
            raise unpack_error(result.failure)
        if result.generation:
            self._board.remember(ref, result.slot, result.generation)
        return Bounds(result.earliest, result.next)

    async def read(self, ref: PartitionRef, sequence: int, max_bytes: int, max_records: int) -> list[Frame]:
        """See RecordLog.read."""
        bounds = await self.bounds(ref)
        end = bounds.next
        if sequence == end:
            return []
        if not bounds.earliest <= sequence < end:
            raise OutOfRange(sequence, bounds)
        enough = sequence + max_records
        frames: list[Frame] = []
        taken, following = 0, sequence
        while following < end and following < enough and (not frames or taken < max_bytes):
            more = self.cache.run(ref, following, max_bytes - taken, enough - following)
            if not more:
                try:
                    more = await self._load(ref, following, end, max_bytes - taken, enough - following)
                except (Corrupt, OutOfRange):
                    if frames:
                        break
                    raise
            if not more:
                break
            for frame in more:
                if frames and (taken >= max_bytes or frame.base >= enough):
                    break
                frames.append(frame)
                taken += len(frame.payload)
            following = frames[-1].base + frames[-1].count
        return frames

    def forget(self, ref: PartitionRef) -> None:
        """The partition is gone."""
        self.cache.drop(ref)
        self._board.forget(ref)
        self._traces.pop(ref, None)

    def let_go(self) -> None:
        """To be called now and then: see OutsideReader.let_go."""
        self._outside.let_go()

    def close(self) -> None:
        self._threads.shutdown()
        self._outside.close()

    # Below: what is not in the cache.

    async def _load(
        self, ref: PartitionRef, sequence: int, end: int, max_bytes: int, max_records: int
    ) -> list[Frame]:
        """Frames from the one that holds `sequence` on, at least one; who asks for the same meanwhile gets the same."""
        key = ref, sequence
        loading = self._loading.get(key)
        if loading is None:
            find = self._find(ref, sequence, end, max_bytes, max_records)
            loading = self._loading[key] = asyncio.ensure_future(find)
            loading.add_done_callback(partial(self._loaded, key))
        # Whoever asked first may hang up, and the others still wait.
        return await asyncio.shield(loading)

    def _loaded(self, key: tuple[PartitionRef, int], loading: asyncio.Future[list[Frame]]) -> None:
        del self._loading[key]
        if not loading.cancelled():
            loading.exception()  # everybody may have hung up

    async def _find(
        self, ref: PartitionRef, sequence: int, end: int, max_bytes: int, max_records: int
    ) -> list[Frame]:
        trace = self._traces.get(ref, _NO_TRACE)
        outside = (end - sequence) * trace.record_bytes > NEAR_BYTES
        frames: list[Frame] = []
        ahead = 0
        if outside:
            found = await self._asked(ref, sequence, outside=True)
            if found.place is None:
                frames = _frames(ref, found)
            else:
                if sequence == trace.end:
                    ahead = max(AHEAD_FIRST, min(trace.ahead * 2, AHEAD_MOST))
                    max_bytes, max_records = ahead, UNLIMITED
                frames = await self._read_file(found.place, sequence, max_bytes, max_records)
        if not frames:
            frames = _frames(ref, await self._asked(ref, sequence, outside=False))
        if frames:
            last = frames[-1]
            following = last.base + last.count
            size = sum(len(frame.payload) for frame in frames) // (following - frames[0].base)
            if len(self._traces) >= _TRACES:
                self._traces.clear()
            self._traces[ref] = _Trace(following, ahead, size + 1)
        return list(map(self.cache.add, frames))

    async def _asked(self, ref: PartitionRef, sequence: int, *, outside: bool) -> ReadResult:
        call = ReadCall(ref.stream_id, ref.number, sequence, NEAR_BYTES, outside)
        result = _read_result.decode(await self._ask("read", call))
        if result.failure is not None:
            raise unpack_error(result.failure)
        return result

    async def _read_file(self, place: Place, sequence: int, max_bytes: int, max_records: int) -> list[Frame]:
        """Empty when that does not go well: the core has the frames, or knows why not."""
        call = partial(self._outside.frames, place, sequence, max_bytes, max_records)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (Corrupt, OSError):
            return []


def _frames(ref: PartitionRef, result: ReadResult) -> list[Frame]:
    return [Frame(ref, part.base, part.count, part.append_ms, part.payload) for part in result.frames]
