"""A worker's view of the partitions: every call goes to the core. Owns the worker's cache of encoded frames."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import msgspec

from penstock.limits import PartitionRate
from penstock.log.base import Batch, Bounds, Closed, Frame, Packed, PartitionRef
from penstock.log.payload import encode as encode_payload
from penstock.rpc import Disconnected, Peer, RemoteError
from penstock.service.partitions import Slice, Stored, Throttled
from penstock.workers.memory import Tray
from penstock.workers.messages import (
    FetchCall,
    FetchResult,
    PlaceCall,
    PlaceResult,
    PutBatch,
    PutCall,
    PutResult,
    unpack_error,
    unpack_put,
)

CACHE_BYTES = 16 << 20
TRAY_FROM = 4096
"""Bytes of payload from which on a message is cheaper without them."""

_put_results = msgspec.msgpack.Decoder(list[PutResult])
_fetch_result = msgspec.msgpack.Decoder(FetchResult)
_place_result = msgspec.msgpack.Decoder(PlaceResult)


class RemotePartitions:
    """A PartitionStore (see there) in front of the core's."""

    def __init__(self, core: Peer, tray: Tray) -> None:
        self._core = core
        self._tray = tray
        self._puts: list[_Put] = []
        """Those of this turn of the loop."""
        self._rendered: OrderedDict[tuple[PartitionRef, int], tuple[bytes, int]] = OrderedDict()
        """The wire form of a frame, and the bytes of its data."""
        self._rendered_bytes = 0

    async def put(self, batches: Sequence[Batch | Packed], rate: PartitionRate) -> list[Stored]:
        """See PartitionStore.put. What is asked in one turn of the loop goes to the core in one message."""
        loop = asyncio.get_running_loop()
        if not self._puts:
            loop.call_soon(self._send_puts)
        put = _Put(list(map(_packed, batches)), rate, loop.create_future())
        self._puts.append(put)
        return await put.done

    def _send_puts(self) -> None:
        puts, self._puts = self._puts, []
        packed = [one for put in puts for one in put.batches]
        size = sum(len(one.payload) for one in packed)
        page = self._tray.put((one.payload for one in packed), size) if size >= TRAY_FROM else -1
        rates: list[PartitionRate] = []
        batches: list[PutBatch] = []
        for put in puts:
            rate = -1
            if not put.rate.writes_freely:
                if put.rate not in rates:
                    rates.append(put.rate)
                rate = rates.index(put.rate)
            for ref, count, payload, data in put.batches:
                if page < 0:
                    batches.append(PutBatch(ref.stream_id, ref.number, count, payload, data, 0, rate))
                else:
                    batches.append(PutBatch(ref.stream_id, ref.number, count, b"", data, len(payload), rate))
        try:
            asked = self._core.request("put", PutCall(batches, page, rates))
        except Disconnected as error:
            _not_known(puts, error)
            return
        self._core.flush()
        asked.add_done_callback(partial(_answer, puts))

    async def fetch(
        self, ref: PartitionRef, sequence: int, max_bytes: int | None, max_records: int, rate: PartitionRate
    ) -> list[Slice]:
        call = FetchCall(ref.stream_id, ref.number, sequence, max_bytes, max_records, rate)
        result = _fetch_result.decode(await self._ask("fetch", call))
        if result.failure is not None:
            raise unpack_error(result.failure)
        if result.throttled:
            raise Throttled
        slices = []
        for part in result.slices:
            frame = Frame(ref, part.base, part.count, part.append_ms, part.payload)
            if (kept := self._rendered.get((ref, part.base))) is not None:
                frame.rendered, frame.data_bytes = kept
            slices.append(Slice(frame, part.start, part.stop, part.size))
        return slices

    async def bounds(self, ref: PartitionRef) -> Bounds:
        result = await self._place(ref, None)
        return Bounds(result.earliest, result.next)

    async def sequence_at(self, ref: PartitionRef, timestamp_ms: int) -> int:
        return (await self._place(ref, timestamp_ms)).sequence

    async def _place(self, ref: PartitionRef, timestamp_ms: int | None) -> PlaceResult:
        result = _place_result.decode(
            await self._ask("place", PlaceCall(ref.stream_id, ref.number, timestamp_ms))
        )
        if result.failure is not None:
            raise unpack_error(result.failure)
        return result

    async def _ask(self, kind: str, call: object) -> msgspec.Raw:
        try:
            return await self._core.call(kind, call)
        except (Disconnected, RemoteError) as error:
            raise Closed(str(error)) from None

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        key = (frame.ref, frame.base)
        if key in self._rendered or len(rendered) > CACHE_BYTES // 4:
            return
        self._rendered[key] = (rendered, frame.data_bytes)
        self._rendered_bytes += len(rendered)
        while self._rendered_bytes > CACHE_BYTES:
            self._rendered_bytes -= len(self._rendered.popitem(last=False)[1][0])

    def forget(self, refs: Iterable[PartitionRef]) -> None:
        """The windows are the core's, and it forgets by itself."""


class _Put(NamedTuple):
    """A request on its way."""

    batches: list[Packed]
    rate: PartitionRate
    done: asyncio.Future[list[Stored]]


def _answer(puts: list[_Put], asked: asyncio.Future[msgspec.Raw]) -> None:
    try:
        results = iter(_put_results.decode(asked.result()))
    except (Disconnected, RemoteError) as error:
        _not_known(puts, error)
        return
    for put in puts:
        stored = [Stored(*unpack_put(result)) for result in islice(results, len(put.batches))]
        if not put.done.done():
            put.done.set_result(stored)


def _not_known(puts: list[_Put], error: Exception) -> None:
    """Whether it was stored is not known, so it is not acknowledged."""
    for put in puts:
        if not put.done.done():
            put.done.set_result([Stored(one.records, Closed(str(error))) for one in put.batches])


def _packed(batch: Batch | Packed) -> Packed:
    if isinstance(batch, Packed):
        return batch
    return Packed(batch.ref, len(batch.data), encode_payload(batch.keys, batch.data))
