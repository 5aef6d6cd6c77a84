"""What the core answers when a worker puts or reads records. Owns the translation between messages and the log; knows no processes and no
HTTP."""

from __future__ import annotations

import msgspec

from penstock.limits import UNLIMITED, PartitionRate
from penstock.log.base import Durable, LogError, Packed, PartitionRef, RecordLog
from penstock.service.partitions import Partitions, Stored
from penstock.workers.memory import Board, TrayView
from penstock.workers.messages import (
    PutCall,
    PutResult,
    ReadCall,
    ReadFrame,
    ReadResult,
    SlotCall,
    SlotResult,
    TakeCall,
    TakeResult,
    TimeCall,
    TimeResult,
    pack_error,
    reference,
)

_FREE = PartitionRate(write_bytes=UNLIMITED, write_records=UNLIMITED, read_bytes=UNLIMITED)
_put = msgspec.msgpack.Decoder(PutCall)
_take = msgspec.msgpack.Decoder(TakeCall)
_read = msgspec.msgpack.Decoder(ReadCall)
_slot = msgspec.msgpack.Decoder(SlotCall)
_time = msgspec.msgpack.Decoder(TimeCall)


class Answers:
    """For all workers. Methods are as `rpc.Peer` calls them."""

    def __init__(self, log: RecordLog, partitions: Partitions) -> None:
        self._log = log
        self._partitions = partitions
        self.board = Board(log.bounds)
        log.watch(self.board.note)

    async def put(self, tray: TrayView, body: msgspec.Raw) -> list[PutResult]:
        """Store what one worker sends."""
        call = _put.decode(body)
        packed = [
            Packed(PartitionRef(batch.stream_id, batch.number), batch.count, payload, batch.size)
            for batch, payload in zip(call.batches, _payloads(call, tray), strict=True)
        ]
        if call.rates:
            rates = [*call.rates, _FREE]
            stored = await self._partitions.put_each(packed, [rates[batch.rate] for batch in call.batches])
        else:
            stored = await self._partitions.put(packed, _FREE)
        return list(map(_stored, stored))

    async def take(self, body: msgspec.Raw) -> TakeResult:
        """Count what is about to be given."""
        call = _take.decode(body)
        try:
            return TakeResult(self._partitions.take(reference(call), call.size, call.rate))
        except LogError as error:
            return TakeResult(failure=pack_error(error))

    async def read(self, body: msgspec.Raw) -> ReadResult:
        """Frames, or where they are."""
        call = _read.decode(body)
        ref = reference(call)
        try:
            if call.outside and (place := await self._log.place(ref, call.sequence)) is not None:
                return ReadResult([], place)
            frames = await self._log.read(ref, call.sequence, call.max_bytes, UNLIMITED)
        except LogError as error:
            return ReadResult([], failure=pack_error(error))
        return ReadResult([ReadFrame(f.base, f.count, f.append_ms, f.payload) for f in frames])

    async def slot(self, body: msgspec.Raw) -> SlotResult:
        """Show a partition on the board from now on."""
        ref = reference(_slot.decode(body))
        try:
            bounds, slot = self._log.bounds(ref), self.board.slot(ref)
        except LogError as error:
            return SlotResult(failure=pack_error(error))
        return SlotResult(*bounds, *(slot or (0, 0)))

    async def time(self, body: msgspec.Raw) -> TimeResult:
        """The sequence number at a time."""
        call = _time.decode(body)
        try:
            return TimeResult(await self._partitions.sequence_at(reference(call), call.timestamp_ms))
        except LogError as error:
            return TimeResult(failure=pack_error(error))


def _payloads(call: PutCall, tray: TrayView) -> list[bytes]:
    """The payload of each batch, out of the message or the worker's tray."""
    if call.page < 0:
        return [batch.payload for batch in call.batches]
    return tray.take(call.page, [batch.shared for batch in call.batches])


def _stored(result: Stored) -> PutResult:
    if isinstance(result.result, Durable):
        return PutResult(result.admitted, result.result.base, result.result.append_ms)
    return PutResult(result.admitted, failure=None if result.result is None else pack_error(result.result))
