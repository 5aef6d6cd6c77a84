"""Routes of consumption apps (5.2). Owns the mapping of paths, parameters and statuses."""

from __future__ import annotations

from penstock.http.call import Call, Doc, Number, Parameter, Reply, Route
from penstock.model.apps import CheckpointType
from penstock.service import apps

APPS = "/v2/{project_id}/apps"
APP = APPS + "/{app_name}"

_LIMIT = Number("limit", "Apps on a page.", "list_apps_default", 1, "list_apps_max")
_START = Parameter("start_app_name", "The page begins after this name, which need not exist.")
_STREAM_NAME = Parameter("stream_name", "Only apps that have checkpoints of this stream.")
_STREAM_ID = Parameter("stream_id", "Instead of the name in the path: a stream of another account.")
_PARTITIONS = Number(
    "limit", "Partitions on a page.", "consuming_partitions_default", 1, "consuming_partitions_max"
)
_START_PARTITION = Parameter(
    "start_partition_id",
    "The page begins after this partition; a bare `0` is the same as none.",
    aliases=("start_partitionId",),
)
CHECKPOINT_TYPE = Parameter(
    "checkpoint_type", "Only the sequence number is kept.", values=tuple(CheckpointType), required=True
)


async def create(call: Call) -> Reply:
    """POST /apps: 201 without a body (clients.md section 0: the Java SDK takes nothing else)."""
    request = call.decode(apps.CreateAppRequest)
    await apps.create_app(call.context, call.require_principal(), call.project_id, request)
    return Reply(201)


async def list_(call: Call) -> Reply:
    """GET /apps."""
    reply = await apps.list_apps(
        call.context,
        call.require_principal(),
        call.project_id,
        limit=_LIMIT.of(call),
        start_app_name=_START.of(call),
        stream_name=_STREAM_NAME.of(call),
    )
    return Reply(200, reply)


async def show(call: Call) -> Reply:
    """GET /apps/{app_name}."""
    reply = await apps.show_app(
        call.context, call.require_principal(), call.project_id, call.params["app_name"]
    )
    return Reply(200, reply)


async def delete(call: Call) -> Reply:
    """DELETE /apps/{app_name}: 204."""
    await apps.delete_app(call.context, call.require_principal(), call.project_id, call.params["app_name"])
    return Reply(204)


async def consuming_state(call: Call) -> Reply:
    """GET /apps/{app_name}/streams/{stream_name}."""
    reply = await apps.consuming_state(
        call.context,
        call.require_principal(),
        call.project_id,
        call.params["app_name"],
        call.params["stream_name"],
        checkpoint_type=CHECKPOINT_TYPE.of(call),
        limit=_PARTITIONS.of(call),
        stream_id=_STREAM_ID.of(call),
        start_partition_id=_START_PARTITION.of(call),
    )
    return Reply(200, reply)


ROUTES: list[Route] = [
    Route(
        "POST",
        APPS,
        create,
        action="dis:apps:create",
        doc=Doc(
            "5.2.1",
            "Create a consumption app",
            request=apps.CreateAppRequest,
            status=201,
            errors=("DIS.4200", "DIS.4202", "DIS.4300", "DIS.4329", "DIS.4330"),
        ),
    ),
    Route(
        "GET",
        APPS,
        list_,
        action="dis:apps:list",
        doc=Doc(
            "5.2.2",
            "List consumption apps",
            reply=apps.ListAppsReply,
            query=(_LIMIT, _START, _STREAM_NAME),
            errors=("DIS.4200", "DIS.4301"),
        ),
    ),
    Route(
        "DELETE",
        APP,
        delete,
        action="dis:apps:delete",
        doc=Doc(
            "5.2.3",
            "Delete a consumption app and its checkpoints",
            status=204,
            errors=("DIS.4331", "DIS.4332"),
        ),
    ),
    Route(
        "GET",
        APP,
        show,
        action="dis:apps:get",
        doc=Doc("5.2.4", "Show a consumption app", reply=apps.AppReply, errors=("DIS.4332",)),
    ),
    Route(
        "GET",
        APP + "/streams/{stream_name}",
        consuming_state,
        action="dis:AppState:get",
        doc=Doc(
            "5.2.5",
            "Show how far an app has read a stream",
            reply=apps.ConsumingStateReply,
            query=(CHECKPOINT_TYPE, _PARTITIONS, _START_PARTITION, _STREAM_ID),
            errors=("DIS.4200", "DIS.4201", "DIS.4301", "DIS.4332"),
        ),
    ),
]
