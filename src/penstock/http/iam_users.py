"""IAM users over the IAM API, in both its dialects: Keystone's (`/v3/users`) and the cloud's own (`/v3.0/OS-USER/users`).

Owns their shapes and who may change whom: the owner and those with iam:users:* everybody but the owner, anybody himself.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from penstock.catalog.base import User
from penstock.errors import ApiError, invalid
from penstock.http.call import Call, Parameter, Reply, Route
from penstock.http.iam_form import (
    ENABLED,
    Json,
    flag,
    link,
    links,
    manager,
    manager_or_self,
    moment,
    own_user,
    route,
    same_domain,
    store_of,
)
from penstock.iam.identity import check_password
from penstock.iam.names import check_name
from penstock.iam.policies import refusal
from penstock.iam.refused import Refused

USER_NAME_LENGTH = 64
DESCRIPTION_LENGTH = 255

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")
_PHONE = re.compile(r"[0-9]{1,32}")
_AREA = re.compile(r"[0-9+-]{1,8}")
_XUSER = re.compile(r"[!-~]{1,128}")

AccessMode = Literal["default", "programmatic", "console"]


class NewUser(msgspec.Struct):
    """A user to make, in either dialect. Without a password only access keys let the user in."""

    name: str
    domain_id: str | None = None
    password: str | None = None
    enabled: bool | None = None
    description: str | None = None
    email: str | None = None
    areacode: str | None = None
    phone: str | None = None
    access_mode: AccessMode | Literal[""] | None = None
    pwd_status: bool | None = None
    xuser_id: str | None = None
    xuser_type: str | None = None


class CreateUser(msgspec.Struct):
    user: NewUser


class UserChange(msgspec.Struct):
    """What is to change: the rest stays."""

    name: str | None = None
    domain_id: str | None = None
    password: str | None = None
    enabled: bool | None = None
    description: str | None = None
    email: str | None = None
    areacode: str | None = None
    phone: str | None = None
    access_mode: AccessMode | Literal[""] | None = None
    pwd_status: bool | None = None
    xuser_id: str | None = None
    xuser_type: str | None = None


class UpdateUser(msgspec.Struct):
    user: UserChange


class OwnChange(msgspec.Struct):
    """What a user may change of himself. `mobile` is `0086-13812345678`."""

    email: str | None = None
    mobile: str | None = None


class UpdateOwn(msgspec.Struct):
    user: OwnChange


class PasswordChange(msgspec.Struct):
    password: str
    original_password: str


class ChangePassword(msgspec.Struct):
    user: PasswordChange


# Shapes ---------------------------------------------------------------------------------------------------------------


def user_json(call: Call, user: User) -> Json:
    """A user in Keystone's dialect."""
    return {
        "pwd_status": not user.must_change,
        "domain_id": user.domain_id,
        "last_project_id": "",
        "name": user.name,
        "description": user.description,
        "password_expires_at": "",
        "links": links(call, f"/v3/users/{user.user_id}"),
        "id": user.user_id,
        "enabled": user.enabled,
        "pwd_strength": "high" if user.password_hash else "",
        "access_mode": user.access_mode,
    }


def _own_json(call: Call, user: User) -> Json:
    """The same in the cloud's dialect, which says more."""
    return user_json(call, user) | {
        "xuser_id": user.xuser_id,
        "xuser_type": user.xuser_type,
        "xdomain_id": "",
        "xdomain_type": "",
        "areacode": user.area_code,
        "email": user.email,
        "phone": user.phone,
        "is_domain_owner": call.context.identity.is_owner(user),
        "create_time": moment(user.created_ms),
        "update_time": "",
        "last_login_time": "",
        "last_pwd_auth_time": "",
        "pwd_create_time": moment(user.password_ms),
        "modify_pwd_time": moment(user.password_ms),
        "default_project_id": "",
        "status": 0,
    }


def _one(call: Call, user: User) -> Json:
    return {"links": link(call, f"/v3/users/{user.user_id}")}


# Operations -----------------------------------------------------------------------------------------------------------


async def list_users(call: Call) -> Reply:
    """GET /v3/users."""
    principal = manager(call, "iam:users:listUsers")
    name, enabled = call.query.get("name"), flag(ENABLED, call)
    users = store_of(call).users_of(same_domain(call, call.query.get("domain_id")) or principal.domain_id)
    found = [
        user_json(call, user)
        for user in users
        if name in (None, user.name) and enabled in (None, user.enabled)
    ]
    return Reply(200, {"users": found, "links": links(call, "/v3/users")})


async def show_user(call: Call) -> Reply:
    """GET /v3/users/{user_id}."""
    user = own_user(call, call.params["user_id"])
    manager_or_self(call, "iam:users:getUser", user)
    return Reply(200, {"user": user_json(call, user)})


async def show_own_form(call: Call) -> Reply:
    """GET /v3.0/OS-USER/users/{user_id}."""
    user = own_user(call, call.params["user_id"])
    manager_or_self(call, "iam:users:getUser", user)
    return Reply(200, {"user": _own_json(call, user)})


async def create_user(call: Call) -> Reply:
    """POST /v3/users."""
    user = await _create(call)
    return Reply(201, {"user": user_json(call, user) | _one(call, user)})


async def create_own_form(call: Call) -> Reply:
    """POST /v3.0/OS-USER/users."""
    user = await _create(call)
    return Reply(201, {"user": _own_json(call, user) | _one(call, user)})


async def _create(call: Call) -> User:
    manager(call, "iam:users:createUser")
    wanted = call.decode(CreateUser).user
    domain_id = same_domain(call, wanted.domain_id)
    identity = call.context.identity
    check_name("user.name", wanted.name, USER_NAME_LENGTH)
    fields = _fields(wanted, wanted.name)
    if wanted.password:
        check_password("user.password", wanted.password, wanted.name, call.context.limits)
    if identity.store.user_named(domain_id, wanted.name) is not None:
        # Before a hash is made, which takes long.
        raise ApiError("IAM.0005", "[user.name: taken]")
    fields["must_change"] = wanted.pwd_status is not False and bool(wanted.password)
    return await identity.add_user(domain_id, wanted.name, wanted.password or "", **fields)


async def update_user(call: Call) -> Reply:
    """PATCH /v3/users/{user_id}."""
    user = await _update(call)
    return Reply(200, {"user": user_json(call, user) | _one(call, user)})


async def update_own_form(call: Call) -> Reply:
    """PUT /v3.0/OS-USER/users/{user_id}."""
    user = await _update(call)
    return Reply(200, {"user": _own_json(call, user) | _one(call, user)})


async def _update(call: Call) -> User:
    user = _changeable(call, "iam:users:updateUser")
    wanted = call.decode(UpdateUser).user
    same_domain(call, wanted.domain_id)
    identity = call.context.identity
    owner = identity.is_owner(user)
    if owner and wanted.enabled is False:
        raise invalid("user.enabled", "the owner of an account cannot be disabled")
    changes = _fields(wanted, wanted.name or user.name)
    if wanted.name:
        changes["name"] = check_name("user.name", wanted.name, USER_NAME_LENGTH)
    if wanted.pwd_status is not None:
        changes["must_change"] = not wanted.pwd_status
    end = wanted.enabled is False and user.enabled
    if wanted.password:
        check_password("user.password", wanted.password, wanted.name or user.name, call.context.limits)
        changes |= await identity.hashed(wanted.password)
        end = True
    return await store_of(call).update_user(user.user_id, end_tokens=end, **changes)


async def update_own(call: Call) -> Reply:
    """PUT /v3.0/OS-USER/users/{user_id}/info: what users may change of themselves."""
    user = own_user(call, call.params["user_id"])
    manager_or_self(call, "iam:users:updateUser", user)
    wanted = call.decode(UpdateOwn).user
    changes: Json = {}
    if wanted.email:
        changes["email"] = _checked(_EMAIL, "user.email", wanted.email)
    if wanted.mobile:
        area, dash, phone = wanted.mobile.rpartition("-")
        if not dash:
            raise invalid("user.mobile", "is a country code, `-` and a number")
        changes["area_code"] = _checked(_AREA, "user.mobile", area)
        changes["phone"] = _checked(_PHONE, "user.mobile", phone)
    if not changes:
        raise invalid("user", "neither email nor mobile")
    await store_of(call).update_user(user.user_id, **changes)
    return Reply(204)


async def change_password(call: Call) -> Reply:
    """POST /v3/users/{user_id}/password: users change their own, saying the one before. Every token made with it ends."""
    user = own_user(call, call.params["user_id"])
    principal = call.require_principal()
    if principal.user_id != user.user_id or principal.assumed or principal.temporary:
        raise refusal("iam:users:changePassword")
    wanted, identity = call.decode(ChangePassword).user, call.context.identity
    check_password("user.password", wanted.password, user.name, call.context.limits)
    if wanted.password == wanted.original_password:
        raise invalid("user.password", "is the one before")
    if not await identity.verify(user, wanted.original_password):
        refused = Refused("original_password is wrong")
        identity.refuse(call.sent.peer, "login:" + user.user_id, refused)
    await identity.set_password(user.user_id, wanted.password)
    return Reply(204)


async def delete_user(call: Call) -> Reply:
    """DELETE /v3/users/{user_id}: with the user's keys, memberships and grants."""
    user = _changeable(call, "iam:users:deleteUser")
    if call.context.identity.is_owner(user):
        raise invalid("user_id", "the owner of an account cannot be deleted")
    await store_of(call).remove_user(user.user_id)
    return Reply(204)


def _changeable(call: Call, action: str) -> User:
    """A user somebody with `action` may change: not the owner, whose password would open everything."""
    user = own_user(call, call.params["user_id"])
    principal = manager(call, action)
    if call.context.identity.is_owner(user) and not principal.owner:
        raise refusal(action)
    return user


def _fields(wanted: NewUser | UserChange, name: str) -> dict[str, Any]:
    """The fields of User that a body sets."""
    fields: dict[str, Any] = {}
    if wanted.enabled is not None:
        fields["enabled"] = wanted.enabled
    if wanted.description is not None:
        fields["description"] = (
            check_name("user.description", wanted.description, DESCRIPTION_LENGTH)
            if wanted.description
            else ""
        )
    if wanted.access_mode:
        fields["access_mode"] = wanted.access_mode
    if wanted.email:
        fields["email"] = _checked(_EMAIL, "user.email", wanted.email)
    if bool(wanted.phone) != bool(wanted.areacode):
        raise invalid("user.phone" if wanted.phone else "user.areacode", "phone and areacode go together")
    if wanted.phone and wanted.areacode:
        fields["phone"] = _checked(_PHONE, "user.phone", wanted.phone)
        fields["area_code"] = _checked(_AREA, "user.areacode", wanted.areacode)
    if bool(wanted.xuser_id) != bool(wanted.xuser_type):
        raise invalid("user.xuser_id", "xuser_id and xuser_type go together")
    if wanted.xuser_id and wanted.xuser_type:
        fields["xuser_id"] = _checked(_XUSER, "user.xuser_id", wanted.xuser_id)
        fields["xuser_type"] = _checked(_XUSER, "user.xuser_type", wanted.xuser_type)
    return fields


def _checked(form: re.Pattern[str], field: str, text: str) -> str:
    if not form.fullmatch(text) or not text.isprintable():
        raise invalid(field, "has not the form of one")
    return text


_CREATE = ("IAM.0004", "IAM.0005", "DIS.4308")

ROUTES: list[Route] = [
    route(
        "GET",
        "/v3/users",
        list_users,
        "List users",
        query=(
            Parameter("name", "Only the user of that name."),
            ENABLED,
            Parameter("domain_id", "The account."),
        ),
        errors=("IAM.0004",),
    ),
    route("POST", "/v3/users", create_user, "Make a user", request=CreateUser, status=201, errors=_CREATE),
    route("GET", "/v3/users/{user_id}", show_user, "Show a user"),
    route(
        "PATCH", "/v3/users/{user_id}", update_user, "Change a user", request=UpdateUser, errors=("IAM.0005",)
    ),
    route("DELETE", "/v3/users/{user_id}", delete_user, "Delete a user", status=204),
    route(
        "POST",
        "/v3/users/{user_id}/password",
        change_password,
        "Change one's own password",
        request=ChangePassword,
        status=204,
        errors=("APIGW.0203",),
    ),
    route(
        "POST",
        "/v3.0/OS-USER/users",
        create_own_form,
        "Make a user",
        request=CreateUser,
        status=201,
        errors=_CREATE,
    ),
    route("GET", "/v3.0/OS-USER/users/{user_id}", show_own_form, "Show a user"),
    route(
        "PUT",
        "/v3.0/OS-USER/users/{user_id}",
        update_own_form,
        "Change a user",
        request=UpdateUser,
        errors=("IAM.0005",),
    ),
    route(
        "PUT",
        "/v3.0/OS-USER/users/{user_id}/info",
        update_own,
        "Change one's own address",
        request=UpdateOwn,
        status=204,
    ),
]
