"""Checkpoints (5.3): commit, show, delete. Owns what is asked and answered; knows no HTTP.

The app is one of the caller's project; the stream may be one of another account that is shared with the caller.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from msgspec import Meta, Struct

from penstock.catalog.base import Missing, Remove
from penstock.catalog.table import Value
from penstock.catalog.tables.apps import CHECKPOINTS
from penstock.errors import ApiError, stream_missing
from penstock.iam.base import Principal
from penstock.log.base import PartitionRef, UnknownPartition
from penstock.model import apps as rules
from penstock.model import validation
from penstock.model.apps import App, Checkpoint
from penstock.model.streams import PartitionStatus, Right, Stream, StreamStatus, partition_name
from penstock.service.apps import app_missing, find_app
from penstock.service.context import Context
from penstock.service.lifecycle import to_the_end
from penstock.service.stream_types import Absent, given

NOTHING = "-1"
"""The sequence number of an app that has committed nothing (clients.md 1.5: the Kafka adapter takes it for none)."""


def _text(description: str, **schema: Any) -> Meta:
    return Meta(description=description, extra_json_schema=schema or None)


class CommitCheckpointRequest(Struct, frozen=True, kw_only=True):
    """Body of POST /v2/{project_id}/checkpoints (5.3.1 table 5-56), and what the Kafka adapter adds (clients.md 1.5)."""

    app_name: str
    checkpoint_type: Annotated[str, _text("Only the sequence number is kept.", enum=["LAST_READ"])]
    stream_name: Annotated[str | None, _text("Mandatory without `stream_id`.")] = None
    stream_id: Annotated[str | None, _text("Instead of the name: a stream of another account.")] = None
    partition_id: Annotated[str, _text("`shardId-0000000000` or `0`.")]
    sequence_number: Annotated[str, _text("From 0 to the end of the partition's range.", pattern="^[0-9]+$")]
    metadata: Annotated[str | None, _text("Anything the app wants to keep beside it.", maxLength=1000)] = None
    client_id: Annotated[str | None, _text("The member of the consumer group that commits.")] = None
    generation_id: Annotated[int | Absent | None, _text("Its generation of the group.")] = None


class CheckpointReply(Struct, frozen=True, kw_only=True):
    """Reply of GET /v2/{project_id}/checkpoints (5.3.2 table 5-60)."""

    sequence_number: Annotated[str, _text("What was committed last; `-1` when nothing was.")]
    metadata: str


async def commit_checkpoint(
    context: Context, principal: Principal, project_id: str, request: CommitCheckpointRequest
) -> None:
    """5.3.1. Durable when this returns. A number smaller than the one before is taken too: apps go back.

    DIS.4200 (a field), DIS.4301, DIS.4205 (stream being deleted), DIS.4332, DIS.4201, DIS.4302, DIS.4319 (partition), DIS.4701 to
    DIS.4703 (consumer group), DIS.4216 (no number), DIS.4224 (beyond the end).
    """
    kind = rules.checkpoint_type(request.checkpoint_type)
    metadata = rules.metadata(request.metadata or "", context.limits)
    stream = _stream(
        context, principal, project_id, request.stream_name, request.stream_id, "dis:checkpoints:commit"
    )
    app = find_app(context, project_id, request.app_name)
    number = _partition(stream, project_id, request.partition_id)
    if stream.status is StreamStatus.TERMINATING:
        raise ApiError("DIS.4205")
    _check_group(context, project_id, app, request)
    sequence = rules.sequence_number(request.sequence_number)
    try:
        earliest, following = context.log.bounds(PartitionRef(stream.stream_id, number))
    except UnknownPartition:
        raise stream_missing(stream.name, project_id) from None
    checkpoint = Checkpoint(
        app_id=app.app_id,
        stream_id=stream.stream_id,
        partition_number=number,
        checkpoint_type=kind,
        sequence=rules.within_range(sequence, earliest, following),
        metadata=metadata,
        committed_ms=context.clock.now_ms(),
    )
    try:
        await context.commits.commit(context, checkpoint)
    except Missing:
        # Deleted while it was on its way; another one may have its name by now.
        if context.apps.by_id(app.app_id) is None:
            raise app_missing(app.name) from None
        raise stream_missing(stream.name, project_id) from None


async def show_checkpoint(
    context: Context,
    principal: Principal,
    project_id: str,
    *,
    app_name: str,
    stream_name: str,
    stream_id: str,
    partition_id: str,
    checkpoint_type: str,
) -> CheckpointReply:
    """5.3.2. `-1` and no metadata when nothing was committed (an error would stop the Kafka adapter's poll).

    DIS.4200, DIS.4301, DIS.4332, DIS.4201, DIS.4302, DIS.4319.
    """
    kind = rules.checkpoint_type(checkpoint_type)
    stream = _stream(context, principal, project_id, stream_name, stream_id, "dis:checkpoints:get")
    app = find_app(context, project_id, app_name)
    number = _partition(stream, project_id, partition_id)
    found = None
    if stream.stream_id in context.apps.streams_of(app):
        found = await context.catalog.find(
            CHECKPOINTS,
            app_id=app.app_id,
            stream_id=stream.stream_id,
            partition_number=number,
            checkpoint_type=kind,
        )
    if found is None:
        return CheckpointReply(sequence_number=NOTHING, metadata="")
    return CheckpointReply(sequence_number=str(found.sequence), metadata=found.metadata)


async def delete_checkpoints(
    context: Context,
    principal: Principal,
    project_id: str,
    *,
    app_name: str,
    stream_name: str,
    stream_id: str,
    partition_id: str,
    checkpoint_type: str,
) -> None:
    """5.3.3. Those of one partition, or without a partition id all the app has of the stream; of every type unless one is named
    (the old Python client names none, clients.md 1.5).

    DIS.4375 when there is none; DIS.4200, DIS.4301, DIS.4332, DIS.4201, DIS.4302.
    """
    where: dict[str, Value] = {}
    if checkpoint_type:
        where["checkpoint_type"] = rules.checkpoint_type(checkpoint_type)
    stream = _stream(context, principal, project_id, stream_name, stream_id, "dis:checkpoints:delete")
    app = find_app(context, project_id, app_name)
    if partition_id:
        where["partition_number"] = _partition(stream, project_id, partition_id, readable=False)
    await asyncio.shield(to_the_end(_delete(context, app, stream, where)))


async def _delete(context: Context, app: App, stream: Stream, where: dict[str, Value]) -> None:
    owners: dict[str, Value] = {"app_id": app.app_id, "stream_id": stream.stream_id}
    if not await context.catalog.apply(Remove(CHECKPOINTS, owners | where)):
        raise ApiError("DIS.4375", f"[{app.name}][{stream.name}]")
    while True:
        commits = context.apps.commits
        if await context.catalog.select(CHECKPOINTS, owners, limit=1):
            return
        # One that was committed while the catalog looked is one it may not have seen.
        if context.apps.commits == commits:
            context.apps.removed(app.app_id, stream.stream_id)
            return


def _stream(
    context: Context,
    principal: Principal,
    project_id: str,
    name: str | None,
    stream_id: str | None,
    action: str,
) -> Stream:
    """The project's stream, or one of another account that may be read. DIS.4200 without name and id, DIS.4116, DIS.4301."""
    return context.access.find_stream(principal, project_id, name, stream_id, Right.GET, action)


def _partition(stream: Stream, project_id: str, text: str, *, readable: bool = True) -> int:
    """Its number. DIS.4201 for what is no id, DIS.4302 for one the stream never had, DIS.4319 once it cannot be read any more."""
    number = validation.partition_number(text)
    # The caller's project: a stream of another account does not tell which that account's is.
    where = f"[{stream.name}][{project_id}][{partition_name(number)}]"
    if number >= len(stream.partitions):
        raise ApiError("DIS.4302", where)
    if readable and stream.partitions[number].status is PartitionStatus.EXPIRED:
        raise ApiError("DIS.4319", where)
    return number


def _check_group(context: Context, project_id: str, app: App, request: CommitCheckpointRequest) -> None:
    """A member of a consumer group commits only in its group's generation. A program that reads partitions of its own choice is in
    no generation (absent, or -1): it commits like anybody as long as the group has no members, as with Kafka."""
    generation = given(request.generation_id)
    if not request.client_id and generation is None:
        return
    if generation is None or generation < 0:
        if not context.groups.live_members(project_id, app.name):
            return
        generation = -1
    context.groups.check_commit(project_id, app.name, request.client_id or "", generation)
