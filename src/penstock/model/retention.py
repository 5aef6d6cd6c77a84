"""How long records and partitions live. Owns the arithmetic; knows no log and no clock.

A scaled-down partition is DELETED: unwritable, but readable until retention has passed since, then EXPIRED: its newest
record is older than that (limits-and-rules.md, scaling rules).
"""

from __future__ import annotations

import msgspec

from penstock.model.streams import PartitionStatus, Stream

HOUR_MS = 3_600_000


def horizon_ms(stream: Stream, now_ms: int) -> int:
    """Records appended before this are over their retention."""
    return now_ms - stream.retention_hours * HOUR_MS


def expire_partitions(stream: Stream, now_ms: int) -> Stream:
    """The stream with every DELETED partition over its retention EXPIRED; the same object when there is none."""
    horizon = horizon_ms(stream, now_ms)
    over = {
        p.number
        for p in stream.partitions
        if p.status is PartitionStatus.DELETED and p.deleted_ms is not None and p.deleted_ms < horizon
    }
    if not over:
        return stream
    partitions = tuple(
        msgspec.structs.replace(p, status=PartitionStatus.EXPIRED) if p.number in over else p
        for p in stream.partitions
    )
    return msgspec.structs.replace(stream, partitions=partitions, modified_ms=now_ms)
