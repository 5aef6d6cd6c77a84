"""The life of a stream in log and catalog: made, deleted, also half-way. Owns the order of the steps; knows no HTTP and
no requests.

Create: partitions in the log, then the row; a crash between leaves empty partitions nobody owns. Delete: the row says
TERMINATING, then the log frees the disk, then the row goes; a crash between leaves a TERMINATING row.
`service.reconcile` completes both at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
import structlog

from penstock.catalog.base import Exists, QuotaExceeded, StreamQuota
from penstock.errors import ApiError, stream_missing
from penstock.limits import Limits
from penstock.log.base import LogError, PartitionRef
from penstock.model import validation
from penstock.model.streams import Partition, Stream, StreamStatus, StreamType
from penstock.service.context import Context

R = TypeVar("R")
How = Callable[[Stream], Stream]
"""Makes a new state of a stream."""

_log = structlog.get_logger("penstock.streams")
_background: set[asyncio.Task[Any]] = set()


async def finish_terminating(context: Context) -> int:
    """Free the disk of streams whose deletion was interrupted; how many are gone now. One that cannot be freed is
    logged and stays TERMINATING for the next time."""
    finished = 0
    for stream in context.directory.all():
        if stream.status is not StreamStatus.TERMINATING:
            continue
        try:
            finished += await asyncio.shield(to_the_end(delete(context, stream)))
        except ApiError:
            pass  # another call was faster
    return finished


def quota_of(limits: Limits) -> StreamQuota:
    """The quotas of a project."""
    return StreamQuota(
        streams=limits.streams_per_project,
        partitions={kind: validation.partition_quota(kind, limits) for kind in StreamType},
    )


def references(stream: Stream, partitions: Sequence[Partition]) -> list[PartitionRef]:
    """What the log calls these partitions."""
    return [PartitionRef(stream.stream_id, partition.number) for partition in partitions]


async def create(context: Context, stream: Stream) -> Stream:
    """Make a stream. DIS.4307 (exists), DIS.4308 (quota)."""
    async with context.directory.lock(stream.project_id, stream.name):
        if context.directory.get(stream.project_id, stream.name) is not None:
            raise ApiError("DIS.4307")
        quota = quota_of(context.limits)
        _check_quota(context, stream, quota)
        try:
            await context.log.create(references(stream, stream.partitions))
            await context.catalog.insert_stream(stream, quota)
        except BaseException as error:
            await _undo_create(context, stream)
            if isinstance(error, Exists):
                raise ApiError("DIS.4307") from error
            if isinstance(error, QuotaExceeded):
                raise ApiError("DIS.4308") from error
            raise
        context.directory.put(stream)
    _log.info("stream created", stream=stream.name, stream_id=stream.stream_id, project=stream.project_id)
    return stream


def _check_quota(context: Context, stream: Stream, quota: StreamQuota) -> None:
    """DIS.4308 saying which quota. The catalog decides again; this spares the disk what would be refused."""
    streams, partitions = context.directory.used(stream.project_id, stream.stream_type)
    if streams >= quota.streams:
        raise ApiError("DIS.4308", f"[{streams} of {quota.streams} streams used]")
    most = quota.partitions[stream.stream_type]
    if partitions + len(stream.partitions) > most:
        raise ApiError("DIS.4308", f"[{partitions} of {most} {stream.stream_type} partitions used]")


async def _undo_create(context: Context, stream: Stream) -> None:
    try:
        await context.log.delete_stream(stream.stream_id)
    except (LogError, OSError) as error:
        # Empty partitions stay behind; the next start removes them.
        _log.warning("partitions of a refused stream left", stream_id=stream.stream_id, reason=str(error))


async def delete(context: Context, seen: Stream, missing_as: str = "") -> bool:
    """Delete a stream, from whatever state; whether it is gone. DIS.4301 when another call was faster."""
    stream_id = seen.stream_id
    async with context.directory.lock(seen.project_id, seen.name):
        stream = context.directory.by_id(stream_id)
        if stream is None:
            raise stream_missing(missing_as, seen.project_id, status=404)
        if stream.status is not StreamStatus.TERMINATING:
            now = context.clock.now_ms()
            stream = msgspec.structs.replace(stream, status=StreamStatus.TERMINATING, modified_ms=now)
            await context.catalog.replace_stream(stream)
            context.directory.put(stream)
        try:
            await context.log.delete_stream(stream_id)
        except (LogError, OSError) as error:
            _log.error("stream not freed, will be tried again", stream_id=stream_id, reason=str(error))
            return False
        if context.points is not None:
            await context.points.remove(stream)
        await context.catalog.remove_stream(stream_id)
        context.directory.drop(stream)
    _log.info("stream deleted", stream=stream.name, stream_id=stream_id, project=stream.project_id)
    return True


async def change(context: Context, seen: Stream, how: How) -> Stream | None:
    """Give a stream a new state: `how` makes it from the one that holds, which may be newer than `seen`. The new state; None when
    the stream is gone or being deleted. What `how` raises changes nothing."""
    return await asyncio.shield(to_the_end(_change(context, seen, how)))


async def _change(context: Context, seen: Stream, how: How) -> Stream | None:
    async with context.directory.lock(seen.project_id, seen.name):
        stream = context.directory.by_id(seen.stream_id)
        if stream is None or stream.status is StreamStatus.TERMINATING:
            return None
        changed = how(stream)
        if changed != stream:
            await context.catalog.replace_stream(changed)
            context.directory.put(changed)
        return changed


def to_the_end(work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
    """Start `work` so that it ends, locks and all, even when its caller goes away (a client hanging up)."""
    task = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_ended)
    return task


async def settle() -> None:
    """Wait for what goes on after its caller was answered or went away; before log and catalog close."""
    while _background:
        await asyncio.wait(_background)


def _ended(task: asyncio.Task[Any]) -> None:
    _background.discard(task)
    # Looked at even when nobody waits any more: an ApiError was for a client, the rest is for the operator.
    if not task.cancelled() and (error := task.exception()) and not isinstance(error, ApiError):
        _log.error("stream operation failed", error=repr(error))
