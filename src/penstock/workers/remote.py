"""A worker's view of the partitions: every call goes to the core. Owns the worker's cache of encoded frames."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import msgspec

from penstock.limits import PartitionRate
from penstock.log.base import Batch, Bounds, Closed, Frame, Packed, PartitionRef
from penstock.log.payload import encode as encode_payload
from penstock.rpc import Disconnected, Peer, RemoteError
from penstock.service.partitions import Slice, Stored, Throttled
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

_put_results = msgspec.msgpack.Decoder(list[PutResult])
_fetch_result = msgspec.msgpack.Decoder(FetchResult)
_place_result = msgspec.msgpack.Decoder(PlaceResult)


class RemotePartitions:
    """A PartitionStore (see there) in front of the core's."""

    def __init__(self, core: Peer) -> None:
        self._core = core
        self._rendered: OrderedDict[tuple[PartitionRef, int], tuple[bytes, int]] = OrderedDict()
        """The wire form of a frame, and the bytes of its data."""
        self._rendered_bytes = 0

    async def put(self, batches: Sequence[Batch | Packed], rate: PartitionRate) -> list[Stored]:
        call = PutCall(
            [
                PutBatch(*packed.ref, packed.records, packed.payload, packed.size)
                for packed in map(_packed, batches)
            ],
            rate,
        )
        try:
            results = _put_results.decode(await self._core.call("put", call))
        except (Disconnected, RemoteError) as error:
            # Whether it was stored is not known, so it is not acknowledged.
            return [Stored(batch.count, Closed(str(error))) for batch in call.batches]
        return [Stored(*unpack_put(result)) for result in results]

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


def _packed(batch: Batch | Packed) -> Packed:
    if isinstance(batch, Packed):
        return batch
    return Packed(batch.ref, len(batch.data), encode_payload(batch.keys, batch.data))
