"""Changing the number of partitions (5.1.5) and asking for the changes made. Owns the checks and the order of the steps; the
rules are `model.scaling`'s. Knows no HTTP.

Partitions that come back or are new are made in the log first, then the catalog says so, in one transaction with the entry of
the scaling log. A crash between leaves empty partitions that the stream's next scale-up takes.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from penstock.catalog.base import QuotaExceeded
from penstock.errors import ApiError, invalid, stream_missing
from penstock.iam.base import Principal
from penstock.limits import Limits
from penstock.log.base import LogError
from penstock.model import validation
from penstock.model.scaling import Scaling, allowed_from, rescale, time_text
from penstock.model.streams import Stream, StreamStatus
from penstock.service.context import Context
from penstock.service.lifecycle import references, to_the_end
from penstock.service.stream_types import (
    ChangePartitionsReply,
    ChangePartitionsRequest,
    ScalingLogEntry,
    ScalingLogReply,
    given,
)
from penstock.service.streams import find_stream

_log = structlog.get_logger("penstock.scaling")


async def change_partitions(
    context: Context,
    principal: Principal,
    project_id: str,
    stream_name: str,
    request: ChangePartitionsRequest,
    *,
    stream_id: str = "",
) -> ChangePartitionsReply:
    """5.1.5. The new partitions take records when this returns. With the number it has already nothing changes.

    DIS.4200 (a field; more often than is allowed, saying when again), DIS.4205 (not RUNNING), DIS.4301 (missing),
    DIS.4308 (quota).
    """
    target = given(request.target_partition_count)
    if target is None:
        # What the real service says of a body without it (clients.md 1.1).
        raise ApiError("DIS.4200", "[Invalid target_partition_count null.]")
    validation.within("target_partition_count", target, 1, context.limits.partitions_per_stream)
    stream = named_stream(context, project_id, stream_name, stream_id, request.stream_name, required=True)
    try:
        entry = await asyncio.shield(to_the_end(scale(context, stream, target)))
    except ApiError as error:
        if error.code in ("DIS.4308", "DIS.5000"):
            detail = f"to {target} partitions: {error.message}"
            context.events.emit("manual_scale_failed", project_id, stream.name, detail)
            if error.code == "DIS.4308":
                context.events.emit("quota_insufficient", project_id, stream.name, detail)
        raise
    return ChangePartitionsReply(
        stream_name=stream.name,
        current_partition_count=target if entry is None else entry.source,
        target_partition_count=target,
    )


async def list_scalings(
    context: Context, principal: Principal, project_id: str, stream_name: str, *, start: int, limit: int
) -> ScalingLogReply:
    """A page of the scaling log, newest first; `start` is the `next_start` of the page before, 0 for the first. DIS.4301
    (missing)."""
    stream = find_stream(context, project_id, stream_name, status=None)
    found, total, more = await context.scalings.page(context, stream, before=start, limit=limit)
    return ScalingLogReply(
        stream_id=stream.stream_id,
        stream_name=stream.name,
        total_number=total,
        update_partition_counts=[
            ScalingLogEntry(
                create_timestamp=one.occurred_ms,
                src_partition_count=one.source,
                target_partition_count=one.target,
                auto_scale=one.automatic,
            )
            for one in found
        ],
        has_more=more,
        next_start=found[-1].number if more else msgspec.UNSET,
    )


def named_stream(
    context: Context, project_id: str, path: str, stream_id: str, body: str | None, *, required: bool
) -> Stream:
    """The stream that path or query name. The body repeats its name (or has the id, where the path has it).

    DIS.4200 when the body names another, or none though it must; DIS.4301 (missing, with 400: clients.md section 5).
    """
    if required and not body and not stream_id:
        raise invalid("stream_name", "missing")
    stream = find_stream(context, project_id, path, stream_id, status=None)
    if body and body not in (stream.name, stream.stream_id):
        raise invalid("stream_name", f"{validation.shown(body)} is not the stream of the path")
    return stream


async def scale(context: Context, seen: Stream, target: int, *, automatic: bool = False) -> Scaling | None:
    """Give a stream `target` ACTIVE partitions, at most as many as the limits allow one; None when it has them already.

    Raises DIS.4200 (too often), DIS.4205, DIS.4301, DIS.4308, DIS.5000 (the disk).
    """
    async with context.directory.lock(seen.project_id, seen.name):
        stream = context.directory.by_id(seen.stream_id)
        if stream is None:
            raise stream_missing(seen.name, seen.project_id)
        if stream.status is not StreamStatus.RUNNING:
            raise ApiError("DIS.4205")
        source = len(stream.active)
        if target == source:
            return None
        limits = context.limits
        entry, changes = await context.scalings.next(context, stream, target, automatic=automatic)
        quota = validation.partition_quota(stream.stream_type, limits) if entry.up else None
        if quota is not None:
            _check_quota(context, stream, target - source, quota)
        _check_frequency(entry, list(await context.scalings.history(context, stream)), limits)
        changed = rescale(stream, target, entry.occurred_ms)
        writable = {partition.number for partition in stream.active}
        coming = [partition for partition in changed.active if partition.number not in writable]
        try:
            await context.log.create(references(stream, coming))
            await context.catalog.replace_stream(changed, *changes, partition_quota=quota)
        except QuotaExceeded as error:
            raise ApiError("DIS.4308") from error
        except LogError as error:
            raise ApiError("DIS.5000", f"[{error}]") from error
        context.scalings.add(entry)
        context.directory.put(changed)
    _log.info(
        "stream scaled",
        stream=stream.name,
        stream_id=stream.stream_id,
        project=stream.project_id,
        source=source,
        target=target,
        automatic=automatic,
    )
    return entry


def room(context: Context, stream: Stream) -> int:
    """How many more partitions the quota of the stream's type leaves its project."""
    quota = validation.partition_quota(stream.stream_type, context.limits)
    return quota - context.directory.used(stream.project_id, stream.stream_type)[1]


def _check_quota(context: Context, stream: Stream, more: int, quota: int) -> None:
    """DIS.4308 saying how much there is. The catalog decides again; this spares the disk what would be refused."""
    left = room(context, stream)
    if more > left:
        raise ApiError("DIS.4308", f"[{quota - left} of {quota} {stream.stream_type} partitions used]")


def _check_frequency(entry: Scaling, history: list[Scaling], limits: Limits) -> None:
    again = allowed_from(
        history, up=entry.up, automatic=entry.automatic, limits=limits, now_ms=entry.occurred_ms
    )
    if again is None:
        return
    if not entry.up:
        kind = f"{limits.scale_downs_per_hour} scale-down{'s' if limits.scale_downs_per_hour > 1 else ''}"
    elif entry.automatic:
        kind = f"{limits.scale_ups_automatic_per_hour} automatic scale-ups"
    else:
        kind = f"{limits.scale_ups_manual_per_hour} scale-ups"
    raise invalid("target_partition_count", f"{kind} within an hour, allowed again from {time_text(again)}")
