"""Routes of permission policies of streams (5.1.7, 5.1.8). Owns the mapping of paths, parameters and statuses; the rest is
`service.stream_policies`'s."""

from __future__ import annotations

from penstock.http.call import Call, Doc, Parameter, Reply, Route
from penstock.service import stream_policies
from penstock.service.stream_policies import AddPolicyRequest, PoliciesReply, RemovePoliciesRequest

_PATH = "/v2/{project_id}/streams/{stream_name}/policies"
_STREAM_ID = Parameter("stream_id", "Id of the stream in the path.")
_PRINCIPAL = Parameter("principal_name", "Whose policies to remove; several separated by commas.")
_ACTION = Parameter("action_type", "Action whose policies to remove.")


async def add(call: Call) -> Reply:
    """POST: 200 without a body (the Chinese edition; the English one says 201)."""
    request = call.decode(AddPolicyRequest)
    await stream_policies.add_policies(call.context, call.project_id, call.params["stream_name"], request)
    return Reply(200)


async def list_(call: Call) -> Reply:
    """GET."""
    reply = stream_policies.list_policies(call.context, call.project_id, call.params["stream_name"])
    return Reply(200, reply)


async def remove(call: Call) -> Reply:
    """DELETE: 204. Only chapter 6 names it, so what to remove is taken from the query, or from a body like POST's."""
    body = call.decode(RemovePoliciesRequest) if call.body.strip() else RemovePoliciesRequest()
    request = RemovePoliciesRequest(
        stream_id=_STREAM_ID.of(call) or body.stream_id,
        principal_name=_PRINCIPAL.of(call) or body.principal_name,
        action_type=_ACTION.of(call) or body.action_type,
    )
    await stream_policies.remove_policies(call.context, call.project_id, call.params["stream_name"], request)
    return Reply(204)


ROUTES: list[Route] = [
    Route(
        "POST",
        _PATH,
        add,
        action="dis:streamPolicies:create",
        doc=Doc(
            "5.1.7",
            "Add permission policies to a stream",
            request=AddPolicyRequest,
            errors=("DIS.4301", "DIS.4200", "DIS.4308"),
        ),
    ),
    Route(
        "GET",
        _PATH,
        list_,
        action="dis:streamPolicies:list",
        doc=Doc("5.1.8", "List a stream's permission policies", reply=PoliciesReply, errors=("DIS.4301",)),
    ),
    Route(
        "DELETE",
        _PATH,
        remove,
        action="dis:streamPolicies:delete",
        doc=Doc(
            "6",
            "Remove permission policies of a stream",
            request=RemovePoliciesRequest,
            status=204,
            query=(_STREAM_ID, _PRINCIPAL, _ACTION),
            errors=("DIS.4301", "DIS.4200"),
        ),
    ),
]
