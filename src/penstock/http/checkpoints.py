"""Routes of checkpoints (5.3). Owns the mapping of paths, parameters and statuses.

No route names its action: it is checked for the stream, which body or query name, once that is found.
"""

from __future__ import annotations

from penstock.http.apps import CHECKPOINT_TYPE
from penstock.http.call import Call, Doc, Parameter, Reply, Route
from penstock.service import checkpoints

CHECKPOINTS = "/v2/{project_id}/checkpoints"

_APP_NAME = Parameter("app_name", "The app.", required=True)
_STREAM_NAME = Parameter("stream_name", "The stream; mandatory without `stream_id`.")
_STREAM_ID = Parameter("stream_id", "Instead of the name: a stream of another account.")
_PARTITION_ID = Parameter("partition_id", "`shardId-0000000000` or `0`.", required=True)
_ANY_PARTITION = _PARTITION_ID._replace(
    description="`shardId-0000000000` or `0`; without it all partitions.", required=False
)
_ANY_TYPE = CHECKPOINT_TYPE._replace(required=False)


async def commit(call: Call) -> Reply:
    """POST /checkpoints: 201 without a body, once it is on the disk."""
    request = call.decode(checkpoints.CommitCheckpointRequest)
    await checkpoints.commit_checkpoint(call.context, call.require_principal(), call.project_id, request)
    return Reply(201)


async def show(call: Call) -> Reply:
    """GET /checkpoints."""
    reply = await checkpoints.show_checkpoint(
        call.context,
        call.require_principal(),
        call.project_id,
        app_name=_APP_NAME.of(call),
        stream_name=_STREAM_NAME.of(call),
        stream_id=_STREAM_ID.of(call),
        partition_id=_PARTITION_ID.of(call),
        checkpoint_type=CHECKPOINT_TYPE.of(call),
    )
    return Reply(200, reply)


async def delete(call: Call) -> Reply:
    """DELETE /checkpoints: 204."""
    await checkpoints.delete_checkpoints(
        call.context,
        call.require_principal(),
        call.project_id,
        app_name=_APP_NAME.of(call),
        stream_name=_STREAM_NAME.of(call),
        stream_id=_STREAM_ID.of(call),
        partition_id=_ANY_PARTITION.of(call),
        checkpoint_type=_ANY_TYPE.of(call),
    )
    return Reply(204)


ROUTES: list[Route] = [
    Route(
        "POST",
        CHECKPOINTS,
        commit,
        doc=Doc(
            "5.3.1",
            "Commit a checkpoint",
            request=checkpoints.CommitCheckpointRequest,
            status=201,
            errors=(
                "DIS.4200",
                "DIS.4201",
                "DIS.4202",
                "DIS.4205",
                "DIS.4216",
                "DIS.4224",
                "DIS.4300",
                "DIS.4301",
                "DIS.4302",
                "DIS.4319",
                "DIS.4332",
                "DIS.4701",
                "DIS.4702",
                "DIS.4703",
            ),
        ),
    ),
    Route(
        "GET",
        CHECKPOINTS,
        show,
        doc=Doc(
            "5.3.2",
            "Show a checkpoint",
            reply=checkpoints.CheckpointReply,
            query=(_STREAM_NAME, _STREAM_ID, _PARTITION_ID, _APP_NAME, CHECKPOINT_TYPE),
            errors=("DIS.4200", "DIS.4201", "DIS.4301", "DIS.4302", "DIS.4319", "DIS.4332"),
        ),
    ),
    Route(
        "DELETE",
        CHECKPOINTS,
        delete,
        doc=Doc(
            "5.3.3",
            "Delete checkpoints",
            status=204,
            query=(_STREAM_NAME, _STREAM_ID, _APP_NAME, _ANY_TYPE, _ANY_PARTITION),
            errors=("DIS.4200", "DIS.4201", "DIS.4301", "DIS.4302", "DIS.4332", "DIS.4375"),
        ),
    ),
]
