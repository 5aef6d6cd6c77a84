"""User groups over the IAM API: groups and who is in them. Owns their shapes."""

from __future__ import annotations

import msgspec

from penstock.catalog.tables.iam import Group
from penstock.http.call import Call, Parameter, Reply, Route
from penstock.http.iam_form import (
    Json,
    link,
    links,
    manager,
    manager_or_self,
    missing,
    own_group,
    own_user,
    route,
    same_domain,
    store_of,
)
from penstock.http.iam_users import user_json
from penstock.iam.names import check_name, new_id

NAME_LENGTH = 128
DESCRIPTION_LENGTH = 255


class NewGroup(msgspec.Struct):
    name: str
    domain_id: str | None = None
    description: str | None = None


class CreateGroup(msgspec.Struct):
    group: NewGroup


class GroupChange(msgspec.Struct):
    name: str | None = None
    domain_id: str | None = None
    description: str | None = None


class UpdateGroup(msgspec.Struct):
    group: GroupChange


def group_json(call: Call, group: Group) -> Json:
    """A group in a list."""
    return {
        "description": group.description,
        "id": group.group_id,
        "domain_id": group.domain_id,
        "name": group.name,
        "links": links(call, f"/v3/groups/{group.group_id}"),
        "create_time": group.created_ms,
    }


async def list_groups(call: Call) -> Reply:
    """GET /v3/groups."""
    manager(call, "iam:groups:listGroups")
    domain_id, name = same_domain(call, call.query.get("domain_id")), call.query.get("name")
    groups = [group for group in store_of(call).groups_of(domain_id) if name in (None, group.name)]
    shown = [group_json(call, group) for group in groups]
    return Reply(200, {"groups": shown, "links": links(call, "/v3/groups")})


async def create_group(call: Call) -> Reply:
    """POST /v3/groups."""
    manager(call, "iam:groups:createGroup")
    wanted = call.decode(CreateGroup).group
    group = Group(
        group_id=new_id(),
        domain_id=same_domain(call, wanted.domain_id),
        name=check_name("group.name", wanted.name, NAME_LENGTH),
        description=_description(wanted.description),
        created_ms=call.context.clock.now_ms(),
    )
    return _reply(call, 201, await store_of(call).add_group(group))


async def show_group(call: Call) -> Reply:
    """GET /v3/groups/{group_id}."""
    group = own_group(call, call.params["group_id"])
    manager(call, "iam:groups:getGroup")
    return Reply(200, {"group": group_json(call, group)})


async def update_group(call: Call) -> Reply:
    """PATCH /v3/groups/{group_id}."""
    group = own_group(call, call.params["group_id"])
    manager(call, "iam:groups:updateGroup")
    wanted = call.decode(UpdateGroup).group
    same_domain(call, wanted.domain_id)
    changes: Json = {}
    if wanted.name:
        changes["name"] = check_name("group.name", wanted.name, NAME_LENGTH)
    if wanted.description is not None:
        changes["description"] = _description(wanted.description)
    return _reply(call, 200, await store_of(call).update_group(group.group_id, **changes))


async def delete_group(call: Call) -> Reply:
    """DELETE /v3/groups/{group_id}: with memberships and grants."""
    group = own_group(call, call.params["group_id"])
    manager(call, "iam:groups:deleteGroup")
    await store_of(call).remove_group(group.group_id)
    return Reply(204)


async def list_members(call: Call) -> Reply:
    """GET /v3/groups/{group_id}/users."""
    group = own_group(call, call.params["group_id"])
    manager(call, "iam:users:listUsersForGroup")
    store = store_of(call)
    users = sorted((store.users[user_id] for user_id in store.members(group.group_id)), key=lambda u: u.name)
    return Reply(
        200,
        {
            "users": [user_json(call, user) for user in users],
            "links": links(call, f"/v3/groups/{group.group_id}/users"),
        },
    )


async def list_memberships(call: Call) -> Reply:
    """GET /v3/users/{user_id}/groups."""
    user = own_user(call, call.params["user_id"])
    manager_or_self(call, "iam:groups:listGroupsForUser", user)
    store = store_of(call)
    groups = sorted(
        (store.groups[group_id] for group_id in store.memberships(user.user_id)), key=lambda g: g.name
    )
    return Reply(
        200,
        {
            "groups": [group_json(call, group) for group in groups],
            "links": links(call, f"/v3/users/{user.user_id}/groups"),
        },
    )


async def add_member(call: Call) -> Reply:
    """PUT /v3/groups/{group_id}/users/{user_id}."""
    group, user = own_group(call, call.params["group_id"]), own_user(call, call.params["user_id"])
    manager(call, "iam:permissions:addUserToGroup")
    await store_of(call).add_member(group.group_id, user.user_id)
    return Reply(204)


async def check_member(call: Call) -> Reply:
    """HEAD /v3/groups/{group_id}/users/{user_id}: 204 or 404."""
    group, user = own_group(call, call.params["group_id"]), own_user(call, call.params["user_id"])
    manager_or_self(call, "iam:permissions:checkUserInGroup", user)
    if user.user_id not in store_of(call).members(group.group_id):
        raise missing("user in group", user.user_id)
    return Reply(204)


async def remove_member(call: Call) -> Reply:
    """DELETE /v3/groups/{group_id}/users/{user_id}."""
    group, user = own_group(call, call.params["group_id"]), own_user(call, call.params["user_id"])
    manager(call, "iam:permissions:removeUserFromGroup")
    if user.user_id not in store_of(call).members(group.group_id):
        raise missing("user in group", user.user_id)
    await store_of(call).remove_member(group.group_id, user.user_id)
    return Reply(204)


def _description(text: str | None) -> str:
    return check_name("group.description", text, DESCRIPTION_LENGTH) if text else ""


def _reply(call: Call, status: int, group: Group) -> Reply:
    shown = group_json(call, group) | {"links": link(call, f"/v3/groups/{group.group_id}")}
    return Reply(status, {"group": shown})


_MEMBER = "/v3/groups/{group_id}/users/{user_id}"

ROUTES: list[Route] = [
    route(
        "GET",
        "/v3/groups",
        list_groups,
        "List groups",
        query=(Parameter("name", "Only the group of that name."), Parameter("domain_id", "The account.")),
        errors=("IAM.0004",),
    ),
    route(
        "POST",
        "/v3/groups",
        create_group,
        "Make a group",
        request=CreateGroup,
        status=201,
        errors=("IAM.0004", "IAM.0005", "DIS.4308"),
    ),
    route("GET", "/v3/groups/{group_id}", show_group, "Show a group"),
    route(
        "PATCH",
        "/v3/groups/{group_id}",
        update_group,
        "Change a group",
        request=UpdateGroup,
        errors=("IAM.0005",),
    ),
    route("DELETE", "/v3/groups/{group_id}", delete_group, "Delete a group", status=204),
    route("GET", "/v3/groups/{group_id}/users", list_members, "List users of a group"),
    route("GET", "/v3/users/{user_id}/groups", list_memberships, "List groups of a user"),
    route("PUT", _MEMBER, add_member, "Add a user to a group", status=204, errors=("DIS.4308",)),
    route("HEAD", _MEMBER, check_member, "Whether a user is in a group", status=204),
    route("DELETE", _MEMBER, remove_member, "Take a user out of a group", status=204),
]
