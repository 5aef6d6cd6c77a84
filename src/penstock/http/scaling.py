"""Routes of changing partitions and updating streams (5.1.5, 5.1.6), of the scaling log and of freezing. Owns the mapping of
paths, parameters and statuses."""

from __future__ import annotations

from penstock.http.call import Call, Doc, Number, Parameter, Reply, Route
from penstock.service import scaling, updating
from penstock.service.stream_types import (
    ChangePartitionsReply,
    ChangePartitionsRequest,
    ScalingLogReply,
    StreamActionRequest,
    UpdateStreamReply,
    UpdateStreamRequest,
)

_STREAM_ID = Parameter("stream_id", "Id of the stream, instead of its name.")
_START = Number("start", "`next_start` of the page before.")
_LIMIT = Number(
    "limit", "Entries on a page.", "list_scalings_default", minimum=1, maximum="list_scalings_max"
)


async def change_partitions(call: Call) -> Reply:
    """PUT /v2/.../streams/{stream_name}."""
    reply = await scaling.change_partitions(
        call.context,
        call.require_principal(),
        call.project_id,
        call.params["stream_name"],
        call.decode(ChangePartitionsRequest),
        stream_id=_STREAM_ID.of(call),
    )
    return Reply(200, reply)


async def update_v3(call: Call) -> Reply:
    """PUT /v3/.../streams/{stream_name}: 204, as both editions say. golangsdk, which alone sends a header `region`, takes
    204 for a failure of PUT and wants a body to decode: 200 and the reply of the older form (clients.md 1.1)."""
    reply = await _update(call, name_required=True)
    return Reply(200, reply) if call.header("region") else Reply(204)


async def update_v2(call: Call) -> Reply:
    """PUT /v2/.../streams/{stream_name}/update."""
    return Reply(200, await _update(call, name_required=False))


async def _update(call: Call, *, name_required: bool) -> UpdateStreamReply:
    stream = await updating.update_stream(
        call.context,
        call.require_principal(),
        call.project_id,
        call.params["stream_name"],
        call.decode(UpdateStreamRequest),
        stream_id=_STREAM_ID.of(call),
        name_required=name_required,
    )
    return UpdateStreamReply(stream_name=stream.name, target_data_type=stream.data_type)


async def list_scalings(call: Call) -> Reply:
    """GET /v2/.../streams/{stream_name}/update_partition_counts."""
    reply = await scaling.list_scalings(
        call.context,
        call.require_principal(),
        call.project_id,
        call.params["stream_name"],
        start=_START.of(call),
        limit=_LIMIT.of(call),
    )
    return Reply(200, reply)


async def act(call: Call) -> Reply:
    """POST /v2/.../streams/{stream_name}/action: 200 without a body."""
    await updating.act(
        call.context,
        call.require_principal(),
        call.project_id,
        call.params["stream_name"],
        call.decode(StreamActionRequest),
        stream_id=_STREAM_ID.of(call),
    )
    return Reply(200)


ROUTES: list[Route] = [
    Route(
        "PUT",
        "/v2/{project_id}/streams/{stream_name}",
        change_partitions,
        action="dis:streams:update",
        doc=Doc(
            "5.1.5",
            "Changing partition quantity",
            request=ChangePartitionsRequest,
            reply=ChangePartitionsReply,
            query=(_STREAM_ID,),
            errors=("DIS.4200", "DIS.4202", "DIS.4205", "DIS.4300", "DIS.4301", "DIS.4308"),
        ),
    ),
    Route(
        "PUT",
        "/v3/{project_id}/streams/{stream_name}",
        update_v3,
        action="dis:streams:update",
        doc=Doc(
            "5.1.6",
            "Updating stream information",
            request=UpdateStreamRequest,
            status=204,
            query=(_STREAM_ID,),
            errors=("DIS.4200", "DIS.4202", "DIS.4205", "DIS.4300", "DIS.4301", "DIS.4360"),
        ),
    ),
    Route(
        "PUT",
        "/v2/{project_id}/streams/{stream_name}/update",
        update_v2,
        action="dis:streams:update",
        doc=Doc(
            "5.1.6",
            "Updating stream information, the form of the Java SDK and of table 6-1",
            request=UpdateStreamRequest,
            reply=UpdateStreamReply,
            query=(_STREAM_ID,),
            errors=("DIS.4200", "DIS.4202", "DIS.4205", "DIS.4300", "DIS.4301", "DIS.4360"),
        ),
    ),
    Route(
        "GET",
        "/v2/{project_id}/streams/{stream_name}/update_partition_counts",
        list_scalings,
        action="dis:streams:get",
        doc=Doc(
            "5.1.5",
            "Querying the scaling log",
            reply=ScalingLogReply,
            query=(_START, _LIMIT),
            errors=("DIS.4200", "DIS.4301"),
        ),
    ),
    Route(
        "POST",
        "/v2/{project_id}/streams/{stream_name}/action",
        act,
        action="dis:streams:update",
        doc=Doc(
            "5.1.6",
            "Freezing and thawing a stream",
            request=StreamActionRequest,
            query=(_STREAM_ID,),
            errors=("DIS.4200", "DIS.4202", "DIS.4205", "DIS.4300", "DIS.4301"),
        ),
    ),
]
