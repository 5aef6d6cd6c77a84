"""Routes of stream management (5.1.1 to 5.1.4). Owns the mapping of paths, parameters and statuses; the rest is
`service.streams`'s."""

from __future__ import annotations

from penstock.http.call import Call, Doc, Number, Parameter, Reply, Route
from penstock.service import streams
from penstock.service.stream_types import CreateStreamRequest, DescribeStreamReply, ListStreamsReply

_LIMIT = Number("limit", "Streams on a page.", "list_streams_default", minimum=1, maximum="list_streams_max")
_LIMIT_PARTITIONS = Number(
    "limit_partitions",
    "Partitions on a page.",
    "list_partitions_default",
    minimum=1,
    maximum="list_partitions_max",
)
_START_STREAM = Parameter("start_stream_name", "Stream after which the list starts.")
_START_PARTITION = Parameter(
    "start_partitionId",
    "Partition after which the list starts; it is not returned itself.",
    aliases=("start_partition_id",),
)
_STREAM_ID = Parameter("stream_id", "Id of the stream, instead of its name.")


async def create(call: Call) -> Reply:
    """POST /streams: 201 without a body."""
    request = call.decode(CreateStreamRequest)
    await streams.create_stream(call.context, call.require_principal(), call.project_id, request)
    return Reply(201)


async def list_(call: Call) -> Reply:
    """GET /streams; with `stream_id` the description of that stream, which the Kafka adapter asks for without a name
    (clients.md 1.2)."""
    if call.query.get("stream_id"):
        return await describe(call)
    reply = await streams.list_streams(
        call.context,
        call.require_principal(),
        call.project_id,
        limit=_LIMIT.of(call),
        start_stream_name=_START_STREAM.of(call),
    )
    return Reply(200, reply)


async def describe(call: Call) -> Reply:
    """GET /streams/{stream_name}."""
    reply = await streams.describe_stream(
        call.context,
        call.require_principal(),
        call.project_id,
        call.params.get("stream_name", ""),
        stream_id=_STREAM_ID.of(call),
        start_partition_id=_START_PARTITION.of(call),
        limit_partitions=_LIMIT_PARTITIONS.of(call),
    )
    return Reply(200, reply)


async def delete(call: Call) -> Reply:
    """DELETE /streams/{stream_name}: 204."""
    await streams.delete_stream(
        call.context,
        call.require_principal(),
        call.project_id,
        call.params["stream_name"],
        stream_id=_STREAM_ID.of(call),
    )
    return Reply(204)


ROUTES: list[Route] = [
    Route(
        "POST",
        "/v2/{project_id}/streams",
        create,
        action="dis:streams:create",
        doc=Doc(
            "5.1.1",
            "Create a stream",
            CreateStreamRequest,
            status=201,
            errors=("DIS.4307", "DIS.4308", "DIS.4360", "DIS.4601"),
        ),
    ),
    Route(
        "GET",
        "/v2/{project_id}/streams",
        list_,
        action="dis:streams:list",
        doc=Doc(
            "5.1.2",
            "List streams",
            reply=ListStreamsReply,
            query=(_LIMIT, _START_STREAM),
            errors=("DIS.4200",),
        ),
    ),
    Route(
        "GET",
        "/v2/{project_id}/streams/{stream_name}",
        describe,
        action="dis:streams:get",
        doc=Doc(
            "5.1.4",
            "Describe a stream",
            reply=DescribeStreamReply,
            query=(_STREAM_ID, _START_PARTITION, _LIMIT_PARTITIONS),
            errors=("DIS.4301", "DIS.4200", "DIS.4201"),
        ),
    ),
    Route(
        "DELETE",
        "/v2/{project_id}/streams/{stream_name}",
        delete,
        action="dis:streams:delete",
        doc=Doc("5.1.3", "Delete a stream", status=204, query=(_STREAM_ID,), errors=("DIS.4301",)),
    ),
]
