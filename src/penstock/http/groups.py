"""Routes of consumer groups (clients.md 1.9; no chapter of the API reference). Owns the mapping of paths, parameters and statuses.

Table 6-1 has no actions for groups. Whoever commits checkpoints for an app may be in its group; what a member wants to read it must
be allowed to read, which is checked for each stream. What members ask is not counted among a project's control requests: during a
rebalance each of them asks twice a second, and a refusal would end its poll.
"""

from __future__ import annotations

from penstock.http.call import Call, Doc, Reply, Route
from penstock.service import groups

CONSUMERS = "/v2/{project_id}/apps/{app_name}/consumers"
CONSUMER = CONSUMERS + "/{client_id}"
ACTION = "dis:checkpoints:commit"


async def join(call: Call) -> Reply:
    """POST /apps/{app_name}/consumers."""
    request = call.decode(groups.JoinRequest)
    principal = call.require_principal()
    return Reply(
        200, await groups.join(call.context, principal, call.project_id, call.params["app_name"], request)
    )


async def sync(call: Call) -> Reply:
    """POST /apps/{app_name}/consumers/{client_id}/partitions."""
    request = call.decode(groups.MemberRequest)
    group, client = call.params["app_name"], call.params["client_id"]
    return Reply(200, await groups.sync(call.context, call.project_id, group, client, request))


async def heartbeat(call: Call) -> Reply:
    """POST /apps/{app_name}/consumers/{client_id}/heartbeats."""
    request = call.decode(groups.MemberRequest)
    group, client = call.params["app_name"], call.params["client_id"]
    return Reply(200, await groups.heartbeat(call.context, call.project_id, group, client, request))


async def leave(call: Call) -> Reply:
    """DELETE /apps/{app_name}/consumers/{client_id}: 204."""
    await groups.leave(call.context, call.project_id, call.params["app_name"], call.params["client_id"])
    return Reply(204)


ROUTES: list[Route] = [
    Route(
        "POST",
        CONSUMERS,
        join,
        action=ACTION,
        counted=False,
        doc=Doc(
            "consumer groups",
            "Join a consumer group",
            request=groups.JoinRequest,
            reply=groups.JoinReply,
            errors=("DIS.4200", "DIS.4202", "DIS.4300", "DIS.4332", "DIS.4339"),
        ),
    ),
    Route(
        "POST",
        CONSUMER + "/partitions",
        sync,
        action=ACTION,
        counted=False,
        doc=Doc(
            "consumer groups",
            "Ask which partitions to read",
            request=groups.MemberRequest,
            reply=groups.SyncReply,
            errors=("DIS.4200", "DIS.4202", "DIS.4300", "DIS.4332", "DIS.4339"),
        ),
    ),
    Route(
        "POST",
        CONSUMER + "/heartbeats",
        heartbeat,
        action=ACTION,
        counted=False,
        doc=Doc(
            "consumer groups",
            "Say that a member is alive",
            request=groups.MemberRequest,
            reply=groups.HeartbeatReply,
            errors=("DIS.4200", "DIS.4202", "DIS.4300"),
        ),
    ),
    Route(
        "DELETE",
        CONSUMER,
        leave,
        action=ACTION,
        counted=False,
        doc=Doc("consumer groups", "Leave a consumer group", status=204),
    ),
]
