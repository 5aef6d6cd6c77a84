"""Updating streams (5.1.6), and freezing and thawing them. Owns the checks; knows no HTTP.

A FROZEN stream takes no records and no changes (DIS.4205) but can be described, read and deleted. Nothing freezes a stream but
its operator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from penstock.errors import ApiError, stream_missing
from penstock.iam.base import Principal
from penstock.limits import Limits
from penstock.log.base import LogError, UnknownPartition
from penstock.model import validation
from penstock.model.retention import expire_partitions, horizon_ms
from penstock.model.schema import check_schema, schema_text
from penstock.model.streams import DataType, Stream, StreamStatus
from penstock.service.context import Context
from penstock.service.lifecycle import references, to_the_end
from penstock.service.scaling import named_stream
from penstock.service.stream_types import StreamActionRequest, UpdateStreamRequest, given
from penstock.service.streams import find_stream

ACTIONS = {"freeze": StreamStatus.FROZEN, "thaw": StreamStatus.RUNNING}

_log = structlog.get_logger("penstock.streams")


async def update_stream(
    context: Context,
    principal: Principal,
    project_id: str,
    stream_name: str,
    request: UpdateStreamRequest,
    *,
    stream_id: str = "",
    name_required: bool,
) -> Stream:
    """5.1.6. What the request leaves out stays. A shorter retention counts at once.

    DIS.4200 (a field), DIS.4205 (not RUNNING), DIS.4301 (missing), DIS.4360 (schema).
    """
    fields = _fields(request, context.limits)
    seen = named_stream(
        context, project_id, stream_name, stream_id, request.stream_name, required=name_required
    )

    def changed(stream: Stream) -> Stream:
        if stream.status is not StreamStatus.RUNNING:
            raise ApiError("DIS.4205")
        now = context.clock.now_ms()
        updated = msgspec.structs.replace(
            stream, modified_ms=now, **fields, **_bounds(stream, request, context.limits)
        )
        return expire_partitions(updated, now)

    updated = await _replace(context, seen, changed)
    if updated.retention_hours < seen.retention_hours:
        await _expire(context, updated)
    return updated


async def act(
    context: Context,
    principal: Principal,
    project_id: str,
    stream_name: str,
    request: StreamActionRequest,
    *,
    stream_id: str = "",
) -> Stream:
    """Freeze or thaw a stream; done again it changes nothing. DIS.4200 (another action), DIS.4205 (it is being deleted),
    DIS.4301 (missing)."""
    try:
        status = ACTIONS[request.action]
    except KeyError:
        names = ", ".join(ACTIONS)
        raise ApiError("DIS.4200", f"[action: not one of {names}]") from None
    seen = find_stream(context, project_id, stream_name, stream_id, status=None)

    def changed(stream: Stream) -> Stream:
        if stream.status not in ACTIONS.values():
            raise ApiError("DIS.4205")
        if stream.status is status:
            return stream
        return msgspec.structs.replace(stream, status=status, modified_ms=context.clock.now_ms())

    updated = await _replace(context, seen, changed)
    _log.info("stream state set", stream=updated.name, stream_id=updated.stream_id, status=str(status))
    return updated


async def _replace(context: Context, seen: Stream, change: Callable[[Stream], Stream]) -> Stream:
    """Put a changed state of the stream in place of the newest one, which `change` gets. DIS.4301 when it is gone."""

    async def work() -> Stream:
        async with context.directory.lock(seen.project_id, seen.name):
            stream = context.directory.by_id(seen.stream_id)
            if stream is None:
                raise stream_missing(seen.name, seen.project_id)
            changed = change(stream)
            if changed is not stream:
                await context.catalog.replace_stream(changed)
                context.directory.put(changed)
            return changed

    return await asyncio.shield(to_the_end(work()))


def _fields(request: UpdateStreamRequest, limits: Limits) -> dict[str, object]:
    """The fields that do not depend on the stream, checked as on creation."""
    fields: dict[str, object] = {}
    hours = given(request.data_duration)
    if hours is not None:
        fields["retention_hours"] = validation.within(
            "data_duration", hours, limits.retention_hours_min, limits.retention_hours_max
        )
    if data_type := request.data_type:
        fields["data_type"] = validation.member("data_type", data_type, DataType)
    elif data_type := request.target_data_type:
        fields["data_type"] = validation.member("target_data_type", data_type, DataType)
    if given_schema := request.data_schema or request.target_data_schema:
        schema = schema_text(given_schema)
        check_schema(schema, limits)
        fields["data_schema"] = schema
    return fields


def _bounds(stream: Stream, request: UpdateStreamRequest, limits: Limits) -> dict[str, object]:
    """Automatic scaling from now on. A bound left out stays as it is, and is the default where there was none; with
    automatic scaling off bounds mean nothing."""
    enabled = given(request.auto_scale_enabled)
    low, high = given(request.auto_scale_min_partition_count), given(request.auto_scale_max_partition_count)
    if enabled is None:
        enabled = stream.auto_scale_enabled
    if not enabled:
        return {"auto_scale_enabled": False, "auto_scale_min": 0, "auto_scale_max": 0}
    if stream.auto_scale_enabled:
        low = stream.auto_scale_min if low is None else low
        high = stream.auto_scale_max if high is None else high
    low, high = validation.auto_scale_bounds(low, high, stream.stream_type, limits)
    return {"auto_scale_enabled": True, "auto_scale_min": low, "auto_scale_max": high}


async def _expire(context: Context, stream: Stream) -> None:
    """Drop what a shorter retention keeps no more, now and not at the next pass of the job."""
    before = horizon_ms(stream, context.clock.now_ms())
    for ref in references(stream, stream.partitions):
        try:
            await context.log.expire(ref, before)
        except UnknownPartition:
            continue
        except (LogError, OSError) as error:
            _log.error("records not expired", stream=stream.name, partition=ref.number, reason=str(error))
