"""Consumption apps (5.2): create, list, show, delete, and how far each has read a stream. Owns what is asked and answered; knows
no HTTP."""

from __future__ import annotations

import asyncio
import secrets
import string
from typing import Annotated

from msgspec import Meta, Struct

from penstock.catalog.base import Exists, Insert, Quota, QuotaExceeded, Remove
from penstock.catalog.tables.apps import APPS, CHECKPOINTS
from penstock.errors import ApiError
from penstock.iam.base import Principal
from penstock.limits import UNLIMITED
from penstock.log.base import PartitionRef, UnknownPartition
from penstock.model import apps as rules
from penstock.model import validation
from penstock.model.apps import App, Checkpoint
from penstock.model.streams import Right, Stream, partition_name
from penstock.service.context import Context
from penstock.service.lifecycle import to_the_end

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 20


class CreateAppRequest(Struct, frozen=True):
    """Body of POST /v2/{project_id}/apps (5.2.1 table 5-39)."""

    app_name: Annotated[
        str,
        Meta(
            description="1 to 200 letters, digits, underscores and hyphens.",
            extra_json_schema={"minLength": 1, "maxLength": 200},
        ),
    ]


class AppReply(Struct, frozen=True, kw_only=True):
    """Reply of GET /v2/{project_id}/apps/{app_name} (5.2.4 table 5-49), and one app of a list (5.2.2 table 5-44)."""

    app_id: str
    app_name: str
    create_time: Annotated[int, Meta(description="Milliseconds since the epoch.")]
    commit_checkpoint_stream_names: Annotated[
        list[str], Meta(description="Streams the app has checkpoints of, in order of their names.")
    ]


class ListAppsReply(Struct, frozen=True, kw_only=True):
    """Reply of GET /v2/{project_id}/apps (5.2.2 table 5-43)."""

    total_number: Annotated[int, Meta(description="Apps that meet the criteria, on this page or not.")]
    apps: list[AppReply]
    has_more_app: bool


class PartitionConsumingState(Struct, frozen=True, kw_only=True, gc=False):
    """How far an app has read one partition (5.2.5)."""

    partition_id: Annotated[str, Meta(description="`shardId-` and ten digits.")]
    sequence_number: Annotated[str, Meta(description="What was committed last; `-1` when nothing was.")]
    latest_offset: Annotated[
        int, Meta(description="Sequence number the next record will get: the end of its range.")
    ]
    earliest_offset: Annotated[int, Meta(description="Sequence number of the earliest record.")]
    lag: Annotated[int, Meta(description="Records from the checkpoint on that can still be read.")]
    checkpoint_type: str
    status: Annotated[str, Meta(description="State of the partition.")]
    metadata: str


class ConsumingStateReply(Struct, frozen=True, kw_only=True):
    """Reply of GET /v2/{project_id}/apps/{app_name}/streams/{stream_name}: what both editions name (5.2.5 table 5-53)."""

    has_more: bool
    stream_name: str
    stream_id: str
    app_name: str
    app_id: str
    create_time: Annotated[int, Meta(description="When the app was made, milliseconds since the epoch.")]
    commit_checkpoint_stream_names: list[str]
    partition_consuming_states: list[PartitionConsumingState]


async def create_app(
    context: Context, principal: Principal, project_id: str, request: CreateAppRequest
) -> App:
    """5.2.1. DIS.4200 (the name), DIS.4330 (exists), DIS.4329 (quota)."""
    app = App(
        app_id="".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)),
        project_id=project_id,
        name=rules.app_name(request.app_name, context.limits),
        created_ms=context.clock.now_ms(),
    )
    return await asyncio.shield(to_the_end(_create(context, app)))


async def _create(context: Context, app: App) -> App:
    # The name before the quota: who repeats a create wants to hear that it is there.
    if context.apps.find(app.project_id, app.name) is not None:
        raise ApiError("DIS.4330")
    most = context.limits.apps_per_project
    full = ApiError("DIS.4329", f"[at most {most} apps in a project]")
    if context.apps.count(app.project_id) >= most:
        raise full
    quotas = () if most >= UNLIMITED else (Quota({"project_id": app.project_id}, most),)
    try:
        await context.catalog.apply(Insert(APPS, app, quotas))
    except Exists:
        raise ApiError("DIS.4330") from None
    except QuotaExceeded:
        raise full from None
    context.apps.put(app)
    return app


async def list_apps(
    context: Context,
    principal: Principal,
    project_id: str,
    *,
    limit: int,
    start_app_name: str = "",
    stream_name: str = "",
) -> ListAppsReply:
    """5.2.2. A page of the project's apps in order of their names, after `start_app_name`; with `stream_name` only those that
    have checkpoints of it (DIS.4301 when there is no such stream)."""
    stream_id = ""
    if stream_name:
        find = context.access.find_stream
        stream_id = find(principal, project_id, stream_name, stream_name, Right.GET).stream_id
    apps, more, total = context.apps.page(project_id, start_app_name, limit, stream_id)
    return ListAppsReply(total_number=total, apps=[_reply(context, app) for app in apps], has_more_app=more)


async def show_app(context: Context, principal: Principal, project_id: str, app_name: str) -> AppReply:
    """5.2.4. DIS.4332 when there is no such app."""
    return _reply(context, find_app(context, project_id, app_name))


async def delete_app(context: Context, principal: Principal, project_id: str, app_name: str) -> None:
    """5.2.3. The app and all its checkpoints. DIS.4332 (missing), DIS.4331 (a consumer group of that name has members)."""
    await asyncio.shield(to_the_end(_delete(context, project_id, app_name)))


async def _delete(context: Context, project_id: str, app_name: str) -> None:
    app = find_app(context, project_id, app_name)
    if members := context.groups.live_members(project_id, app.name):
        raise ApiError("DIS.4331", f"[{members} living members of its consumer group]")
    removed = await context.catalog.apply(Remove(APPS, {"app_id": app.app_id}))
    context.apps.drop(app)
    if not removed:
        raise app_missing(app.name)  # another call was faster


async def consuming_state(
    context: Context,
    principal: Principal,
    project_id: str,
    app_name: str,
    stream_name: str,
    *,
    checkpoint_type: str,
    limit: int,
    stream_id: str = "",
    start_partition_id: str = "",
) -> ConsumingStateReply:
    """5.2.5. One entry for each readable partition with a number greater than the one in `start_partition_id`, whether anything
    was committed or not.

    DIS.4200 (checkpoint_type), DIS.4201 (no partition id), DIS.4332, DIS.4301.
    """
    kind = rules.checkpoint_type(checkpoint_type)
    # A bare 0 is how the old Python client says that it has no such parameter (clients.md 1.4).
    first = 0
    if start_partition_id not in ("", "0"):
        first = validation.partition_number(start_partition_id) + 1
    app = find_app(context, project_id, app_name)
    stream = context.access.find_stream(
        principal, project_id, stream_name, stream_id or stream_name, Right.GET
    )
    partitions = [p for p in stream.readable if p.number >= first]
    page = partitions[:limit]
    committed: dict[int, Checkpoint] = {}
    if page and stream.stream_id in context.apps.streams_of(app):
        found = await context.catalog.select(
            CHECKPOINTS,
            {"app_id": app.app_id, "stream_id": stream.stream_id, "checkpoint_type": kind},
            order="partition_number",
            after=page[0].number - 1,
            limit=page[-1].number - page[0].number + 1,
        )
        committed = {checkpoint.partition_number: checkpoint for checkpoint in found}
    states = []
    for partition in page:
        checkpoint = committed.get(partition.number)
        sequence = None if checkpoint is None else checkpoint.sequence
        earliest, following = _bounds(context, stream, partition.number)
        states.append(
            PartitionConsumingState(
                partition_id=partition_name(partition.number),
                sequence_number="-1" if sequence is None else str(sequence),
                latest_offset=following,
                earliest_offset=earliest,
                lag=rules.lag(sequence, earliest, following),
                checkpoint_type=kind,
                status=partition.status,
                metadata="" if checkpoint is None else checkpoint.metadata,
            )
        )
    about = _reply(context, app)
    return ConsumingStateReply(
        has_more=len(partitions) > len(page),
        stream_name=stream.name,
        stream_id=stream.stream_id,
        app_name=about.app_name,
        app_id=about.app_id,
        create_time=about.create_time,
        commit_checkpoint_stream_names=about.commit_checkpoint_stream_names,
        partition_consuming_states=states,
    )


def find_app(context: Context, project_id: str, name: str) -> App:
    """The project's app of that name. DIS.4332 (400) when there is none."""
    app = context.apps.find(project_id, name)
    if app is None:
        raise app_missing(name)
    return app


def app_missing(name: str) -> ApiError:
    """DIS.4332 (400)."""
    return ApiError("DIS.4332", f"[{validation.shown(name)}]")


def _reply(context: Context, app: App) -> AppReply:
    by_id = context.directory.by_id
    streams: list[Stream] = [s for i in context.apps.streams_of(app) if (s := by_id(i)) is not None]
    return AppReply(
        app_id=app.app_id,
        app_name=app.name,
        create_time=app.created_ms,
        commit_checkpoint_stream_names=sorted(stream.name for stream in streams),
    )


def _bounds(context: Context, stream: Stream, number: int) -> tuple[int, int]:
    try:
        return context.log.bounds(PartitionRef(stream.stream_id, number))
    except UnknownPartition:
        return 0, 0  # the stream is being deleted
