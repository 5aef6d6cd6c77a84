"""What one message asks the core to store: the batches of all requests that a worker had at the time. Owns which of them become one.

A frame costs the core the same whatever is in it, so small batches for the same partition are joined: one frame then holds the records of
several requests, one request behind the other. Where records are counted each request stays on its own.
"""

from __future__ import annotations

from penstock.limits import PartitionRate
from penstock.log.base import Packed, PartitionRef
from penstock.log.payload import JOINED_BYTES, JOINED_RECORDS, SMALL_BYTES, join
from penstock.workers.messages import PutBatch, PutCall


class _Batch:
    __slots__ = ("payloads", "rate", "records", "ref", "room", "size")

    def __init__(self, ref: PartitionRef, rate: int) -> None:
        self.ref = ref
        self.rate = rate
        self.payloads: list[bytes] = []
        self.records = 0
        self.size = 0
        self.room = JOINED_BYTES


class Sheet:
    """One message in the making."""

    def __init__(self) -> None:
        self._batches: list[_Batch] = []
        self._open: dict[PartitionRef, int] = {}
        """The batch of a partition that others may join."""
        self._rates: list[PartitionRate] = []

    def add(self, packed: Packed, rate: PartitionRate) -> tuple[int, int]:
        """Which batch of the message these records are in, and how many come before them there."""
        ref, records, payload, size = packed
        free = rate.writes_freely
        small = free and len(payload) <= SMALL_BYTES
        at = self._open.get(ref, -1) if small else -1
        if at < 0 or not self._fits(self._batches[at], packed):
            at = len(self._batches)
            self._batches.append(_Batch(ref, -1 if free else self._rate(rate)))
            # Also so that nothing overtakes: what comes behind a large one joins what comes behind it.
            self._open[ref] = at if small else -1
        batch = self._batches[at]
        behind = batch.records
        batch.payloads.append(payload)
        batch.records += records
        batch.size = batch.size + size if size >= 0 and batch.size >= 0 else -1
        batch.room -= len(payload)
        return at, behind

    def _fits(self, batch: _Batch, packed: Packed) -> bool:
        return len(packed.payload) <= batch.room and batch.records + packed.records <= JOINED_RECORDS

    def _rate(self, rate: PartitionRate) -> int:
        if rate not in self._rates:
            self._rates.append(rate)
        return self._rates.index(rate)

    def payloads(self) -> list[bytes]:
        """The payload of each batch."""
        return [
            batch.payloads[0] if len(batch.payloads) == 1 else join(batch.payloads) for batch in self._batches
        ]

    def call(self, payloads: list[bytes], page: int) -> PutCall:
        """The message, with these payloads in it, or from `page` of the tray on."""
        here = page < 0
        return PutCall(
            [
                PutBatch(
                    batch.ref.stream_id, batch.ref.number, batch.records,
                    payload if here else b"", batch.size, 0 if here else len(payload), batch.rate,
                )
                for batch, payload in zip(self._batches, payloads, strict=True)
            ],
            page,
            self._rates,
        )  # fmt: skip
