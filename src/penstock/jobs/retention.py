"""Retention: drop records older than their stream keeps them, expire scaled-down partitions. Owns when; what and how
much is `model.retention`'s and the log's."""

from __future__ import annotations

import asyncio

import structlog

from penstock.jobs.periodic import Periodic
from penstock.log.base import LogError, PartitionRef, UnknownPartition
from penstock.model.retention import expire_partitions, horizon_ms
from penstock.model.streams import Stream, StreamStatus, partition_name
from penstock.service.context import Context

INTERVAL_SECONDS = 30.0
_PARTITIONS_AT_A_TIME = 64
"""After so many the loop serves others: there may be 10,000 of them."""

_log = structlog.get_logger("penstock.retention")


class Retention(Periodic):
    """Runs `expire_once` every `interval` seconds."""

    def __init__(self, context: Context, interval: float = INTERVAL_SECONDS) -> None:
        super().__init__("retention", lambda: expire_once(context), interval)


async def expire_once(context: Context) -> int:
    """One pass over every partition; how many records were dropped. A partition that fails is logged and skipped."""
    dropped = visited = 0
    for seen in context.directory.all():
        for partition in seen.partitions:
            # The newest state each time: a retention just made longer must keep what the old one would drop.
            stream = context.directory.by_id(seen.stream_id)
            if stream is None or stream.status is StreamStatus.TERMINATING:
                break
            dropped += await _expire(
                context, stream, partition.number, horizon_ms(stream, context.clock.now_ms())
            )
            visited += 1
            if visited % _PARTITIONS_AT_A_TIME == 0:
                await asyncio.sleep(0)
        await _expire_partitions(context, seen.stream_id)
    return dropped


async def _expire(context: Context, stream: Stream, number: int, before_ms: int) -> int:
    try:
        count = await context.log.expire(PartitionRef(stream.stream_id, number), before_ms)
    except UnknownPartition:
        return 0  # deleted meanwhile
    except (LogError, OSError) as error:
        _log.error(
            "records not expired", stream=stream.name, partition=partition_name(number), reason=str(error)
        )
        return 0
    if count:
        _log.info(
            "records expired",
            stream=stream.name,
            stream_id=stream.stream_id,
            partition=partition_name(number),
            records=count,
            before_ms=before_ms,
        )
    return count


async def _expire_partitions(context: Context, stream_id: str) -> None:
    seen = context.directory.by_id(stream_id)
    if seen is None or expire_partitions(seen, context.clock.now_ms()) is seen:
        return
    async with context.directory.lock(seen.project_id, seen.name):
        stream = context.directory.by_id(stream_id)
        if stream is None or stream.status is StreamStatus.TERMINATING:
            return
        changed = expire_partitions(stream, context.clock.now_ms())
        if changed is stream:
            return
        await context.catalog.replace_stream(changed)
        context.directory.put(changed)
    _log.info("partitions expired", stream=changed.name, readable=len(changed.readable))
