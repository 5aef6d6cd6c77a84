"""Routes of stream management (5.1.1 to 5.1.4). Owns the mapping of paths, parameters and statuses; the rest is
`service.streams`'s."""

from __future__ import annotations

from penstock.http.call import Call, Reply, Route
from penstock.service import streams
from penstock.service.stream_types import CreateStreamRequest


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
    limits = call.context.limits
    reply = await streams.list_streams(
        call.context,
        call.require_principal(),
        call.project_id,
        limit=call.integer("limit", limits.list_streams_default, 1, limits.list_streams_max),
        start_stream_name=call.query.get("start_stream_name", ""),
    )
    return Reply(200, reply)


async def describe(call: Call) -> Reply:
    """GET /streams/{stream_name}."""
    limits, query = call.context.limits, call.query
    reply = await streams.describe_stream(
        call.context,
        call.require_principal(),
        call.project_id,
        call.params.get("stream_name", ""),
        stream_id=query.get("stream_id", ""),
        start_partition_id=query.get("start_partitionId") or query.get("start_partition_id", ""),
        limit_partitions=call.integer(
            "limit_partitions", limits.list_partitions_default, 1, limits.list_partitions_max
        ),
    )
    return Reply(200, reply)


async def delete(call: Call) -> Reply:
    """DELETE /streams/{stream_name}: 204."""
    await streams.delete_stream(
        call.context,
        call.require_principal(),
        call.project_id,
        call.params["stream_name"],
        stream_id=call.query.get("stream_id", ""),
    )
    return Reply(204)


ROUTES: list[Route] = [
    Route("POST", "/v2/{project_id}/streams", create),
    Route("GET", "/v2/{project_id}/streams", list_),
    Route("GET", "/v2/{project_id}/streams/{stream_name}", describe),
    Route("DELETE", "/v2/{project_id}/streams/{stream_name}", delete),
]
