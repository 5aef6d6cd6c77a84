"""Stream management (5.1.1 to 5.1.4): create, list, describe, delete. Owns what is asked and answered; knows no HTTP.
What happens in log and catalog is `service.lifecycle`'s.
"""

from __future__ import annotations

import asyncio
import secrets
import string

import msgspec

from penstock.errors import stream_missing
from penstock.iam.base import Principal
from penstock.limits import Limits
from penstock.log.base import PartitionRef, RecordLog, UnknownPartition
from penstock.model import validation
from penstock.model.hashing import split
from penstock.model.scaling import Scaling
from penstock.model.schema import check_schema, schema_text
from penstock.model.streams import (
    DataType,
    Partition,
    PartitionStatus,
    Right,
    Stream,
    StreamStatus,
    StreamType,
    Tag,
    partition_name,
)
from penstock.service import lifecycle
from penstock.service.context import Context
from penstock.service.lifecycle import finish_terminating
from penstock.service.reconcile import reconcile
from penstock.service.stream_types import (
    CreateStreamRequest,
    CsvProperties,
    DescribeStreamReply,
    ListStreamsReply,
    PartitionResult,
    StreamInfo,
    TagField,
    UpdatePartitionCount,
    given,
    tag_fields,
)

__all__ = [
    "create_stream",
    "delete_stream",
    "describe_stream",
    "find_stream",
    "finish_terminating",
    "list_streams",
    "reconcile",
]

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 20
_DELETE_PATIENCE_SECONDS = 20.0
"""How long a DELETE waits for the disk to be freed before it answers; the work goes on."""


async def create_stream(
    context: Context, principal: Principal, project_id: str, request: CreateStreamRequest
) -> Stream:
    """5.1.1. The stream is RUNNING when this returns: Terraform reads it at once (clients.md 1.2).

    DIS.4116, DIS.4200 (a field), DIS.4307 (exists), DIS.4308 (quota), DIS.4360 (schema), DIS.4601 (tags).
    """
    stream = _new_stream(project_id, request, context.limits, context.clock.now_ms())
    # The route let pass who may create in some enterprise project; it must be this one.
    context.access.check_enterprise(principal, project_id, "dis:streams:create", stream.enterprise_project_id)
    return await asyncio.shield(lifecycle.to_the_end(lifecycle.create(context, stream)))


async def list_streams(
    context: Context, principal: Principal, project_id: str, *, limit: int, start_stream_name: str = ""
) -> ListStreamsReply:
    """5.1.2. A page of the project's streams in order of their names, after `start_stream_name`."""
    streams, more = context.directory.page(project_id, start_stream_name, limit)
    return ListStreamsReply(
        total_number=context.directory.count(project_id),
        stream_names=[stream.name for stream in streams],
        stream_info_list=[_info(stream) for stream in streams],
        has_more_streams=more,
    )


async def describe_stream(
    context: Context,
    principal: Principal,
    project_id: str,
    stream_name: str,
    *,
    stream_id: str = "",
    start_partition_id: str = "",
    limit_partitions: int,
) -> DescribeStreamReply:
    """5.1.4. The stream and its partitions with numbers greater than the one in `start_partition_id`.

    404 with DIS.4301 (missing), DIS.4116 (listing a stream by its id is describing it), DIS.4201 (no partition id).
    """
    first = validation.partition_number(start_partition_id) + 1 if start_partition_id else 0
    # An id may be that of a stream of another account, in the path too: the Kafka adapter puts it there.
    stream = context.access.find_stream(
        principal,
        project_id,
        "" if stream_id else stream_name,
        stream_id or stream_name,
        Right.INFO,
        "dis:streams:get",
        status=404,
    )
    page = stream.partitions[first : first + limit_partitions]
    changes = await context.scalings.newest(context, stream)
    csv = stream.csv_delimiter
    return DescribeStreamReply(
        stream_id=stream.stream_id,
        stream_name=stream.name,
        create_time=stream.created_ms,
        last_modified_time=stream.modified_ms,
        retention_period=stream.retention_hours,
        status=stream.status,
        stream_type=stream.stream_type,
        data_type=stream.data_type,
        data_schema=msgspec.UNSET if stream.data_schema is None else stream.data_schema,
        csv_properties=msgspec.UNSET if csv is None else CsvProperties(csv),
        compression_format=msgspec.UNSET if stream.compression_format is None else stream.compression_format,
        writable_partition_count=len(stream.active),
        readable_partition_count=len(stream.readable),
        partitions=[_partition(context.log, stream.stream_id, partition) for partition in page],
        has_more_partitions=first + limit_partitions < len(stream.partitions),
        update_partition_counts=[_scaling(one) for one in changes] or msgspec.UNSET,
        tags=tag_fields(stream.tags),
        sys_tags=tag_fields(stream.sys_tags),
        auto_scale_enabled=stream.auto_scale_enabled,
        auto_scale_min_partition_count=stream.auto_scale_min if stream.auto_scale_enabled else 0,
        auto_scale_max_partition_count=stream.auto_scale_max if stream.auto_scale_enabled else 0,
    )


async def delete_stream(
    context: Context, principal: Principal, project_id: str, stream_name: str, *, stream_id: str = ""
) -> None:
    """5.1.3. The stream takes no more calls from now on; its name is free again when its disk is, which is normally
    before this returns. 404 with DIS.4301 (missing)."""
    stream = find_stream(context, project_id, stream_name, stream_id)
    work = lifecycle.to_the_end(lifecycle.delete(context, stream, missing_as=stream.name))
    done, _ = await asyncio.wait([work], timeout=_DELETE_PATIENCE_SECONDS)
    if done:
        work.result()


def find_stream(
    context: Context, project_id: str, name: str, stream_id: str = "", *, status: int | None = 404
) -> Stream:
    """The project's stream with `stream_id` when one is given, else of that name, else with that id. Streams of other
    projects are not there: DIS.4301, for GET and DELETE with 404, as Terraform wants for "gone"."""
    if stream_id:
        stream = context.directory.find_id(project_id, stream_id)
    else:
        stream = context.directory.find(project_id, name)
    if stream is None:
        raise stream_missing(
            (name or stream_id)[: context.limits.stream_name_length], project_id, status=status
        )
    return stream


def _new_stream(project_id: str, request: CreateStreamRequest, limits: Limits, now_ms: int) -> Stream:
    """The stream a request asks for. Every field is checked, in the order of table 5-3."""
    name = validation.stream_name(request.stream_name, limits)
    count = validation.within("partition_count", request.partition_count, 1, limits.partitions_per_stream)
    stream_type = (
        validation.member("stream_type", request.stream_type, StreamType)
        if request.stream_type
        else StreamType.COMMON
    )
    data_type = (
        validation.member("data_type", request.data_type, DataType) if request.data_type else DataType.BLOB
    )
    hours = given(request.data_duration)
    if hours is None:
        hours = limits.retention_hours_default
    validation.within("data_duration", hours, limits.retention_hours_min, limits.retention_hours_max)
    scaling = given(request.auto_scale_enabled) or False
    low, high = 0, 0
    if scaling:
        low, high = validation.auto_scale_bounds(
            given(request.auto_scale_min_partition_count),
            given(request.auto_scale_max_partition_count),
            stream_type,
            limits,
        )
    schema = schema_text(request.data_schema) if request.data_schema else None
    if schema is not None:
        check_schema(schema, limits)
    csv = given(request.csv_properties)
    delimiter = validation.csv_delimiter(csv.delimiter, limits) if csv is not None and csv.delimiter else None
    return Stream(
        stream_id="".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)),
        project_id=project_id,
        name=name,
        status=StreamStatus.RUNNING,
        stream_type=stream_type,
        data_type=data_type,
        retention_hours=hours,
        created_ms=now_ms,
        modified_ms=now_ms,
        auto_scale_enabled=scaling,
        auto_scale_min=low,
        auto_scale_max=high,
        data_schema=schema,
        csv_delimiter=delimiter,
        compression_format=(
            validation.compression_format(request.compression_format) if request.compression_format else None
        ),
        tags=validation.tags(_tags(given(request.tags)), limits),
        sys_tags=validation.sys_tags(_tags(given(request.sys_tags))),
        partitions=tuple(
            Partition(number=number, hash_start=start, hash_end=end)
            for number, (start, end) in enumerate(split(count))
        ),
    )


def _tags(fields: list[TagField] | None) -> list[Tag]:
    return [Tag(field.key, field.value or "") for field in fields or ()]


def _info(stream: Stream) -> StreamInfo:
    return StreamInfo(
        stream_id=stream.stream_id,
        stream_name=stream.name,
        create_time=stream.created_ms,
        retention_period=stream.retention_hours,
        status=stream.status,
        stream_type=stream.stream_type,
        data_type=stream.data_type,
        partition_count=sum(p.status is PartitionStatus.ACTIVE for p in stream.partitions),
        tags=tag_fields(stream.tags),
        sys_tags=tag_fields(stream.sys_tags),
        auto_scale_enabled=stream.auto_scale_enabled,
        auto_scale_min_partition_count=stream.auto_scale_min if stream.auto_scale_enabled else 0,
        auto_scale_max_partition_count=stream.auto_scale_max if stream.auto_scale_enabled else 0,
    )


def _scaling(one: Scaling) -> UpdatePartitionCount:
    return UpdatePartitionCount(
        create_timestamp=one.occurred_ms,
        src_partition_count=one.source,
        target_partition_count=one.target,
        auto_scale=one.automatic,
    )


def _partition(log: RecordLog, stream_id: str, partition: Partition) -> PartitionResult:
    numbers: str | msgspec.UnsetType = msgspec.UNSET
    if partition.status is not PartitionStatus.EXPIRED:
        try:
            earliest, following = log.bounds(PartitionRef(stream_id, partition.number))
            numbers = f"[{earliest} : {following}]"
        except UnknownPartition:
            pass  # the stream is being deleted
    return PartitionResult(
        status=partition.status,
        partition_id=partition_name(partition.number),
        hash_range=f"[{partition.hash_start} : {partition.hash_end}]",
        sequence_number_range=numbers,
        parent_partitions=partition.parents or msgspec.UNSET,
    )
