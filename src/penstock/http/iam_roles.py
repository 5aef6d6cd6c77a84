"""Policies over the IAM API: system-defined ones to look at (`/v3/roles`), custom ones to write (`/v3.0/OS-ROLE/roles`). Owns
their shapes; what a policy may say is iam.policies'."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from penstock.catalog.tables.iam import CustomPolicy
from penstock.errors import ApiError, invalid
from penstock.http.call import Access, Call, Doc, Parameter, Reply, Route
from penstock.http.iam_form import (
    PAGE,
    PER_PAGE,
    SECTION,
    Json,
    identity_errors,
    link,
    links,
    manager,
    missing,
    page_of,
    route,
    same_domain,
    store_of,
)
from penstock.iam import policies, roles
from penstock.iam.names import check_name, new_id

NAME_LENGTH = 64
DESCRIPTION_LENGTH = 256


class WrittenPolicy(msgspec.Struct):
    """A custom policy to make or to take the place of one. `type` is AX (the account) or XA (projects)."""

    display_name: str
    type: Literal["AX", "XA"]
    policy: dict[str, Any]
    description: str | None = None
    description_cn: str | None = None


class WritePolicy(msgspec.Struct):
    """Body of POST and PATCH."""

    role: WrittenPolicy


def role_json(call: Call, policy_id: str) -> Json | None:
    """A policy of either kind by its id, as lists have it; None for one that is gone."""
    system, custom = roles.BY_ID.get(policy_id), store_of(call).policies.get(policy_id)
    if system is not None:
        return system_json(call, system)
    return custom_json(call, custom) if custom is not None else None


def system_json(call: Call, one: roles.SystemPolicy) -> Json:
    """A system-defined policy."""
    return {
        "domain_id": None,
        "flag": "fine_grained" if one.name.startswith("system_") else None,
        "description_cn": one.description,
        "catalog": one.catalog,
        "name": one.name,
        "description": one.description,
        "links": links(call, f"/v3/roles/{one.policy_id}"),
        "id": one.policy_id,
        "display_name": one.display_name,
        "type": one.kind,
        "policy": one.document,
        "updated_time": "0",
        "created_time": "0",
    }


def custom_json(call: Call, one: CustomPolicy) -> Json:
    """A custom policy."""
    return {
        "domain_id": one.domain_id,
        "flag": "fine_grained",
        "description_cn": one.description_cn,
        "catalog": "CUSTOMED",
        "name": f"custom_{one.policy_id}",
        "description": one.description,
        "links": links(call, f"/v3/roles/{one.policy_id}"),
        "id": one.policy_id,
        "display_name": one.name,
        "type": one.kind,
        "policy": msgspec.Raw(one.text.encode()),
        "updated_time": str(one.updated_ms),
        "created_time": str(one.created_ms),
    }


# What there is --------------------------------------------------------------------------------------------------------


async def list_roles(call: Call) -> Reply:
    """GET /v3/roles: system-defined policies; with `domain_id` the account's custom ones."""
    manager(call, "iam:roles:listRoles")
    query = call.query
    found: list[Json] = []
    if query.get("domain_id"):
        domain_id = same_domain(call, query["domain_id"])
        found = [custom_json(call, one) for one in store_of(call).policies_of(domain_id)]
    else:
        found = [system_json(call, one) for one in roles.SYSTEM_POLICIES]
    for field in ("name", "display_name", "catalog"):
        if wanted := query.get(field):
            found = [one for one in found if wanted.casefold() in one[field].casefold()]
    if kind := query.get("type"):
        account = kind.lower() in ("domain", "ax")
        found = [one for one in found if one["type"] == "AA" or (one["type"] == "AX") is account]
    if permission := query.get("permission_type"):
        found = [one for one in found if (one["flag"] == "fine_grained") is (permission == "policy")]
    shown = page_of(call, found)
    return Reply(200, {"roles": shown, "links": links(call, "/v3/roles"), "total_number": len(found)})


async def show_role(call: Call) -> Reply:
    """GET /v3/roles/{role_id}: system-defined, or one of the account's own."""
    manager(call, "iam:roles:getRole")
    role_id = call.params["role_id"]
    if role_id not in roles.BY_ID:
        own_policy(call, role_id)
    return Reply(200, {"role": role_json(call, role_id)})


async def list_policies(call: Call) -> Reply:
    """GET /v3.0/OS-ROLE/roles: the account's custom policies."""
    principal = manager(call, "iam:roles:listRoles")
    found = store_of(call).policies_of(principal.domain_id)
    shown = [custom_json(call, one) for one in page_of(call, found)]
    return Reply(
        200, {"roles": shown, "links": links(call, "/v3.0/OS-ROLE/roles"), "total_number": len(found)}
    )


async def show_policy(call: Call) -> Reply:
    """GET /v3.0/OS-ROLE/roles/{role_id}."""
    manager(call, "iam:roles:getRole")
    policy = own_policy(call, call.params["role_id"])
    references = sum(grant.policy_id == policy.policy_id for grant in store_of(call).all_grants())
    return Reply(200, {"role": custom_json(call, policy) | {"references": references}})


def own_policy(call: Call, policy_id: str) -> CustomPolicy:
    """A custom policy of the caller's account."""
    policy = store_of(call).policies.get(policy_id)
    if policy is None or policy.domain_id != call.require_principal().domain_id:
        raise missing("role", policy_id)
    return policy


# Writing --------------------------------------------------------------------------------------------------------------


async def create_policy(call: Call) -> Reply:
    """POST /v3.0/OS-ROLE/roles."""
    principal = manager(call, "iam:roles:createRole")
    now = call.context.clock.now_ms()
    made = _policy(call, CustomPolicy(new_id(), principal.domain_id, "", "", "", created_ms=now))
    return _reply(call, 201, await store_of(call).add_policy(made))


async def update_policy(call: Call) -> Reply:
    """PATCH /v3.0/OS-ROLE/roles/{role_id}: the whole of it anew."""
    before = own_policy(call, call.params["role_id"])
    manager(call, "iam:roles:updateRole")
    return _reply(call, 200, await store_of(call).replace_policy(_policy(call, before)))


async def delete_policy(call: Call) -> Reply:
    """DELETE /v3.0/OS-ROLE/roles/{role_id}: with its grants. 200, as the IAM API has it."""
    policy = own_policy(call, call.params["role_id"])
    manager(call, "iam:roles:deleteRole")
    await store_of(call).remove_policy(policy.policy_id)
    return Reply(200)


def _policy(call: Call, before: CustomPolicy) -> CustomPolicy:
    """`before` as the body says."""
    wanted = call.decode(WritePolicy).role
    name = check_name("role.display_name", wanted.display_name, NAME_LENGTH)
    same = [one for one in store_of(call).policies_of(before.domain_id) if one.name == name]
    if any(one.policy_id != before.policy_id for one in same):
        raise ApiError("IAM.0005", "[role.display_name: taken]")
    policies.read(wanted.policy, call.context.limits)
    return msgspec.structs.replace(
        before,
        name=name,
        kind=wanted.type,
        text=msgspec.json.encode(wanted.policy).decode(),
        description=_description("role.description", wanted.description),
        description_cn=_description("role.description_cn", wanted.description_cn),
        updated_ms=call.context.clock.now_ms(),
    )


def _description(field: str, text: str | None) -> str:
    if text and len(text) > DESCRIPTION_LENGTH:
        raise invalid(field, f"at most {DESCRIPTION_LENGTH} characters")
    return text or ""


def _reply(call: Call, status: int, policy: CustomPolicy) -> Reply:
    shown = custom_json(call, policy) | {"links": link(call, f"/v3/roles/{policy.policy_id}")}
    return Reply(status, {"role": shown})


_CHECKED = ("DIS.4300", "IAM.0005", "DIS.4308")

ROUTES: list[Route] = [
    route(
        "GET",
        "/v3/roles",
        list_roles,
        "List system-defined policies, or with `domain_id` custom ones",
        query=(
            Parameter("name", "A part of the name."),
            Parameter("display_name", "A part of the name people read."),
            Parameter("catalog", "The service, such as DIS."),
            Parameter("type", "`domain` or `project`: where it can be granted."),
            Parameter("permission_type", "`role` or `policy`."),
            Parameter("domain_id", "The account: its custom policies."),
            PAGE,
            PER_PAGE,
        ),
        errors=("IAM.0004",),
    ),
    route("GET", "/v3/roles/{role_id}", show_role, "Show a policy"),
    route("GET", "/v3.0/OS-ROLE/roles", list_policies, "List custom policies", query=(PAGE, PER_PAGE)),
    route(
        "POST",
        "/v3.0/OS-ROLE/roles",
        create_policy,
        "Make a custom policy",
        request=WritePolicy,
        status=201,
        errors=_CHECKED,
    ),
    route("GET", "/v3.0/OS-ROLE/roles/{role_id}", show_policy, "Show a custom policy"),
    route(
        "PATCH",
        "/v3.0/OS-ROLE/roles/{role_id}",
        update_policy,
        "Change a custom policy",
        request=WritePolicy,
        errors=_CHECKED,
    ),
    Route(
        "DELETE",
        "/v3.0/OS-ROLE/roles/{role_id}",
        identity_errors(delete_policy),
        Access.IDENTITY,
        doc=Doc(SECTION, "Delete a custom policy", errors=("DIS.4116", "IAM.0004")),
    ),
]
