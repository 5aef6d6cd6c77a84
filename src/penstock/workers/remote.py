"""A worker's view of the partitions: puts go to the core, reads to the worker's own reader (`reading`) or, where they are counted, to the
core. Owns which puts share a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec
import structlog

from penstock.limits import UNLIMITED, PartitionRate
from penstock.log.base import Batch, Bounds, Closed, Durable, Frame, LogError, Packed, PartitionRef
from penstock.log.payload import encode as encode_payload
from penstock.rpc import Disconnected, Peer, RemoteError
from penstock.service.partitions import Slice, Stored, Throttled, cut, data_bytes
from penstock.workers.memory import BoardView, Tray
from penstock.workers.messages import (
    PutCall,
    PutResult,
    TakeCall,
    TakeResult,
    TimeCall,
    TimeResult,
    unpack_error,
    unpack_put,
)
from penstock.workers.reading import FrameReader
from penstock.workers.sheet import Sheet

TRAY_FROM = 4096
"""Bytes of payload from which on a message is cheaper without them."""
TRAY_MOST = 4 << 20
"""With so many, a message does not wait for more: it is to find room."""

TAKES = 4
"""How often a read asks what may be given before it is refused."""

_log = structlog.get_logger("penstock.workers")
_put_results = msgspec.msgpack.Decoder(list[PutResult])
_take_result = msgspec.msgpack.Decoder(TakeResult)
_time_result = msgspec.msgpack.Decoder(TimeResult)


class RemotePartitions:
    """A PartitionStore (see there) in front of the core's. `fetch_bytes` is how much a read returns when nothing is asked for."""

    def __init__(self, core: Peer, tray: Tray, board: BoardView, *, fetch_bytes: int) -> None:
        self._core = core
        self._tray = tray
        self._fetch_bytes = fetch_bytes
        self._reader = FrameReader(self._ask, board)
        self._puts: list[_Put | _Direct] = []
        """Those of this turn of the loop."""
        self._bytes = 0

    async def put(self, batches: Sequence[Batch | Packed], rate: PartitionRate) -> list[Stored]:
        """See PartitionStore.put. What is asked in one turn of the loop goes to the core in one message."""
        put = _Put(list(map(_packed, batches)), rate, asyncio.get_running_loop().create_future())
        self._add(put, sum([len(one.payload) for one in put.batches]))
        return await put.done

    def begin(
        self,
        ref: PartitionRef,
        encoded: bytes,
        records: int,
        size: int,
        rate: PartitionRate,
        done: Callable[[Durable | LogError], None],
    ) -> bool:
        """See PartitionStore.begin."""
        if not rate.writes_freely:
            return False
        self._add(_Direct(Packed(ref, records, encoded, size), rate, done), len(encoded))
        return True

    def _add(self, put: _Put | _Direct, size: int) -> None:
        if not self._puts:
            asyncio.get_running_loop().call_soon(self._send_puts)
        self._puts.append(put)
        self._bytes += size
        if self._bytes >= TRAY_MOST:
            self._send_puts()

    def _send_puts(self) -> None:
        puts, self._puts, self._bytes = self._puts, [], 0
        if not puts:
            return
        try:
            asked = self._core.request("put", self._message(puts))
        except Disconnected as error:
            _not_known(puts, error)
        except Exception as error:
            _log.exception("puts were not sent")
            _not_known(puts, error)
        else:
            self._core.flush()
            asked.add_done_callback(partial(_answer, puts))

    def _message(self, puts: list[_Put | _Direct]) -> PutCall:
        sheet = Sheet()
        for put in puts:
            put.add_to(sheet)
        payloads = sheet.payloads()
        size = sum(map(len, payloads))
        page = self._tray.put(payloads, size) if size >= TRAY_FROM else -1
        return sheet.call(payloads, page)

    async def fetch(
        self, ref: PartitionRef, sequence: int, max_bytes: int | None, max_records: int, rate: PartitionRate
    ) -> list[Slice]:
        """See PartitionStore.fetch. Where reads are counted, for all workers together, the core is asked what may be given of what was read
        here; if that is less, for as much again."""
        budget = self._fetch_bytes if max_bytes is None else max_bytes
        frames = await self._reader.read(ref, sequence, max(budget, 1), max_records)
        given = cut(frames, sequence, budget, max_records, strict=max_bytes is not None)
        if rate.read_bytes >= UNLIMITED:
            return given
        for _ in range(TAKES):
            if not given:
                return given
            size = sum(map(data_bytes, given))
            call = TakeCall(ref.stream_id, ref.number, size, rate)
            result = _take_result.decode(await self._ask("take", call))
            if result.failure is not None:
                raise unpack_error(result.failure)
            if result.space >= size:
                return given
            given = cut(frames, sequence, result.space, max_records, strict=True)
            if not given:
                raise Throttled
        raise Throttled  # others are quicker every time

    async def bounds(self, ref: PartitionRef) -> Bounds:
        """See PartitionStore.bounds."""
        return await self._reader.bounds(ref)

    async def sequence_at(self, ref: PartitionRef, timestamp_ms: int) -> int:
        """See PartitionStore.sequence_at."""
        result = _time_result.decode(
            await self._ask("time", TimeCall(ref.stream_id, ref.number, timestamp_ms))
        )
        if result.failure is not None:
            raise unpack_error(result.failure)
        return result.sequence

    async def _ask(self, kind: str, call: object) -> msgspec.Raw:
        try:
            return await self._core.call(kind, call)
        except (Disconnected, RemoteError) as error:
            raise Closed(str(error)) from None

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        """See PartitionStore.keep_rendered."""
        self._reader.cache.keep_rendered(frame, rendered)

    def forget(self, refs: Iterable[PartitionRef]) -> None:
        """See PartitionStore.forget. The windows are the core's, and it forgets by itself."""
        for ref in refs:
            self._reader.forget(ref)

    def let_go(self) -> None:
        """To be called now and then: see FrameReader.let_go."""
        self._reader.let_go()

    def close(self) -> None:
        self._reader.close()


class _Put:
    """A request on its way. `places`: in which batch of the message each of its own is, and behind how many records."""

    __slots__ = ("batches", "done", "places", "rate")

    def __init__(
        self, batches: list[Packed], rate: PartitionRate, done: asyncio.Future[list[Stored]]
    ) -> None:
        self.batches = batches
        self.rate = rate
        self.done = done
        self.places: list[tuple[int, int]] = []

    def add_to(self, sheet: Sheet) -> None:
        self.places = [sheet.add(one, self.rate) for one in self.batches]

    def answer(self, results: list[PutResult]) -> None:
        self._set(
            [
                unpack_put(results[at], behind, one.records)
                for one, (at, behind) in zip(self.batches, self.places, strict=True)
            ]
        )

    def fail(self, error: LogError) -> None:
        self._set([Stored(one.records, error) for one in self.batches])

    def _set(self, stored: list[Stored]) -> None:
        if not self.done.done():
            self.done.set_result(stored)


class _Direct:
    """One batch on its way, of which nothing is counted, without a coroutine that waits for it."""

    __slots__ = ("_done", "_packed", "_place", "_rate")

    def __init__(
        self, packed: Packed, rate: PartitionRate, done: Callable[[Durable | LogError], None]
    ) -> None:
        self._packed = packed
        self._rate = rate
        self._done = done
        self._place = (-1, 0)

    def add_to(self, sheet: Sheet) -> None:
        self._place = sheet.add(self._packed, self._rate)

    def answer(self, results: list[PutResult]) -> None:
        at, behind = self._place
        result = unpack_put(results[at], behind, self._packed.records).result
        assert result is not None
        self._done(result)

    def fail(self, error: LogError) -> None:
        self._done(error)


def _answer(puts: list[_Put | _Direct], asked: asyncio.Future[msgspec.Raw]) -> None:
    try:
        results = _put_results.decode(asked.result())
    except (Disconnected, RemoteError) as error:
        _not_known(puts, error)
        return
    for put in puts:
        try:
            put.answer(results)
        except Exception:
            _log.exception("what waited for a put failed")  # the others must not wait for ever


def _not_known(puts: list[_Put | _Direct], error: Exception) -> None:
    """Whether it was stored is not known, so it is not acknowledged."""
    for put in puts:
        put.fail(Closed(str(error)))


def _packed(batch: Batch | Packed) -> Packed:
    if isinstance(batch, Packed):
        return batch
    return Packed(batch.ref, len(batch.data), encode_payload(batch.keys, batch.data))
