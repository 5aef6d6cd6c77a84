"""Quotas and statistics of a project (chapter 6 names them without a shape; docs/monitoring.md has it). Owns what is counted;
the limits are `limits`', everything counted is in memory."""

from __future__ import annotations

import msgspec

from penstock.limits import UNLIMITED
from penstock.model.streams import Stream, StreamStatus, StreamType
from penstock.model.validation import partition_quota
from penstock.service.context import Context


class QuotaItem(msgspec.Struct):
    """How much of a resource there may be and is. `quota` -1 is no limit."""

    type: str
    quota: int
    used: int
    unit: str = ""
    min: int = 0
    max: int = -1


class Resources(msgspec.Struct):
    """Every kind of resource that has a quota."""

    resources: list[QuotaItem]


class QuotasReply(msgspec.Struct):
    """Reply of GET /quotas."""

    quotas: Resources


class Count(msgspec.Struct):
    """How many there are, by what tells them apart."""

    total: int
    common: int = 0
    advanced: int = 0


class Carried(msgspec.Struct):
    """What all streams together carried in the last minute that is complete. Bytes are of data before Base64."""

    put_bytes: int = 0
    put_records: int = 0
    put_requests: int = 0
    put_throttled: int = 0
    get_bytes: int = 0
    get_records: int = 0
    get_requests: int = 0
    get_throttled: int = 0


class StatisticsReply(msgspec.Struct):
    """Reply of GET /statistics. `partitions` are those that can be written to, `readable_partitions` all with records."""

    streams: Count
    partitions: Count
    readable_partitions: int
    apps: int
    transfer_tasks: int
    event_subscriptions: int
    last_minute: Carried


def _living(context: Context, project_id: str) -> list[Stream]:
    streams, _ = context.directory.page(project_id, "", context.directory.count(project_id))
    return [stream for stream in streams if stream.status is not StreamStatus.TERMINATING]


def _item(kind: str, quota: int, used: int) -> QuotaItem:
    shown = -1 if quota >= UNLIMITED else quota
    return QuotaItem(kind, shown, used, max=shown)


def quotas(context: Context, project_id: str) -> QuotasReply:
    """GET /quotas: what a project may have and has. Dump tasks have their quota per stream: used is what the stream with
    most of them has."""
    limits, living = context.limits, _living(context, project_id)
    used = {kind: sum(len(s.active) for s in living if s.stream_type is kind) for kind in StreamType}
    tasks = max((context.tasks.count(stream.stream_id) for stream in living), default=0)
    subscriptions = 0 if context.subscriptions is None else len(context.subscriptions.of_project(project_id))
    return QuotasReply(
        Resources(
            [
                _item("stream", limits.streams_per_project, len(living)),
                _item(
                    "common_partition",
                    partition_quota(StreamType.COMMON, limits),
                    used[StreamType.COMMON],
                ),
                _item(
                    "advanced_partition",
                    partition_quota(StreamType.ADVANCED, limits),
                    used[StreamType.ADVANCED],
                ),
                _item("app", limits.apps_per_project, context.apps.count(project_id)),
                _item("transfer_task", limits.tasks_per_stream, tasks),
                _item("event_subscription", limits.subscriptions_per_project, subscriptions),
            ]
        )
    )


async def statistics(context: Context, project_id: str) -> StatisticsReply:
    """GET /statistics: what a project has, and what went through it in the last minute."""
    if context.points is not None:
        await context.points.gather()
    living = _living(context, project_id)
    carried = Carried()
    for stream in living:
        counters = context.traffic.last_minute(stream.stream_id)
        carried.put_bytes += counters.bytes_in
        carried.put_records += counters.records_in
        carried.put_requests += counters.puts
        carried.put_throttled += counters.puts_throttled
        carried.get_bytes += counters.bytes_out
        carried.get_records += counters.records_out
        carried.get_requests += counters.gets
        carried.get_throttled += counters.gets_throttled
    common = [stream for stream in living if stream.stream_type is StreamType.COMMON]
    advanced = [stream for stream in living if stream.stream_type is StreamType.ADVANCED]
    active = [sum(len(stream.active) for stream in some) for some in (living, common, advanced)]
    return StatisticsReply(
        streams=Count(len(living), len(common), len(advanced)),
        partitions=Count(*active),
        readable_partitions=sum(len(stream.readable) for stream in living),
        apps=context.apps.count(project_id),
        transfer_tasks=sum(context.tasks.count(stream.stream_id) for stream in living),
        event_subscriptions=0
        if context.subscriptions is None
        else len(context.subscriptions.of_project(project_id)),
        last_minute=carried,
    )
