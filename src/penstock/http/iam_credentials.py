"""Access keys over the IAM API: permanent ones of users (`/v3.0/OS-CREDENTIAL/credentials`) and temporary ones
(`/v3.0/OS-CREDENTIAL/securitytokens`).

Owns their shapes and who may have whose: anybody his own, the owner and those with iam:credentials:* everybody's but the
owner's. What a temporary key is, is `iam.temporary`'s; who may take an agency over, `iam_agencies`'.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from penstock.catalog.base import AccessKey, QuotaExceeded, User
from penstock.catalog.tables.iam import Agency
from penstock.errors import ApiError, invalid, malformed
from penstock.http.call import Access, Call, Doc, Parameter, Reply, Route
from penstock.http.iam_form import (
    SECTION,
    Json,
    identity_errors,
    instant,
    manager,
    missing,
    own_user,
    route,
    store_of,
)
from penstock.http.iam_taking import AssumeRole, agency_to_take, taker, taking_user
from penstock.iam import policies
from penstock.iam.base import Principal
from penstock.iam.policies import refusal
from penstock.iam.refused import Refused

DESCRIPTION_LENGTH = 255


class NewKey(msgspec.Struct):
    user_id: str
    description: str | None = None


class CreateKey(msgspec.Struct):
    """Body of POST credentials."""

    credential: NewKey


class KeyChange(msgspec.Struct):
    """What is to change: the rest stays."""

    status: Literal["active", "inactive", ""] | None = None
    description: str | None = None


class UpdateKey(msgspec.Struct):
    """Body of PUT credentials/{access_key}."""

    credential: KeyChange


class TokenMethod(msgspec.Struct):
    """The token to make a key with; without an id, the one in X-Auth-Token."""

    id: str | None = None
    duration_seconds: int | None = None


class Methods(msgspec.Struct):
    """`token` or `assume_role`, and a policy that narrows what the key may do."""

    methods: list[str]
    token: TokenMethod | None = None
    assume_role: AssumeRole | None = None
    policy: dict[str, Any] | None = None


class Auth(msgspec.Struct):
    identity: Methods


class CreateSecurityToken(msgspec.Struct):
    """Body of POST securitytokens."""

    auth: Auth


# Permanent keys -------------------------------------------------------------------------------------------------------


def _key_json(key: AccessKey) -> Json:
    return {
        "access": key.access_key,
        "user_id": key.user_id,
        "status": "active" if key.enabled else "inactive",
        "create_time": instant(key.created_ms),
        "description": key.description,
    }


def _may(call: Call, action: str, user: User) -> Principal:
    """The caller, who may manage that user's keys: his own, or with `action` those of all but the owner, as whom a key would do
    everything. Raises DIS.4116."""
    principal = call.require_principal()
    if principal.temporary:
        # It would outlive itself.
        raise refusal(action)
    if principal.user_id == user.user_id and not principal.assumed:
        return principal
    if call.context.identity.is_owner(user) and not principal.owner:
        raise refusal(action)
    return manager(call, action)


def _own_key(call: Call, action: str) -> AccessKey:
    """The key in the path, of a user whose keys the caller may manage."""
    key = store_of(call).keys.get(call.params["access_key"])
    user = store_of(call).users.get(key.user_id) if key is not None else None
    if key is None or user is None or user.domain_id != call.require_principal().domain_id:
        raise missing("access key", call.params["access_key"])
    _may(call, action, user)
    return key


async def create_key(call: Call) -> Reply:
    """POST credentials: the only time the secret is told."""
    wanted = call.decode(CreateKey).credential
    if not wanted.user_id:
        raise invalid("credential.user_id", "missing")
    user = own_user(call, wanted.user_id)
    _may(call, "iam:credentials:createCredential", user)
    description = _description(wanted.description)
    try:
        name, secret = await call.context.identity.add_access_key(user.user_id, description=description)
    except QuotaExceeded as error:
        most = call.context.limits.access_keys_per_user
        raise ApiError("DIS.4308", f"[{most} access keys of a user]") from error
    return Reply(201, {"credential": _key_json(store_of(call).keys[name]) | {"secret": secret}})


async def list_keys(call: Call) -> Reply:
    """GET credentials: those of one user; without `user_id` of everybody, for who may see them, else the caller's own."""
    principal, store, action = call.require_principal(), store_of(call), "iam:credentials:listCredentials"
    if user_id := call.query.get("user_id"):
        user = own_user(call, user_id)
        _may(call, action, user)
        users = [user]
    elif call.context.identity.allows(principal, None, action) and not principal.temporary:
        users = [
            one
            for one in store.users_of(principal.domain_id)
            if principal.owner or not call.context.identity.is_owner(one)
        ]
    else:
        user = own_user(call, principal.user_id)
        _may(call, action, user)
        users = [user]
    found = [key for user in users for key in store.keys_of(user.user_id)]
    return Reply(200, {"credentials": [_key_json(key) for key in found]})


async def show_key(call: Call) -> Reply:
    """GET credentials/{access_key}."""
    key = _own_key(call, "iam:credentials:getCredential")
    # When a key was last used is not kept: it would be a write for each request.
    return Reply(200, {"credential": _key_json(key) | {"last_use_time": ""}})


async def update_key(call: Call) -> Reply:
    """PUT credentials/{access_key}: an inactive key is refused from the very next request on."""
    key = _own_key(call, "iam:credentials:updateCredential")
    wanted = call.decode(UpdateKey).credential
    changes: Json = {}
    if wanted.status:
        changes["enabled"] = wanted.status == "active"
    if wanted.description is not None:
        changes["description"] = _description(wanted.description)
    if changes:
        key = await store_of(call).update_key(key.access_key, **changes)
    return Reply(200, {"credential": _key_json(key)})


async def delete_key(call: Call) -> Reply:
    """DELETE credentials/{access_key}."""
    key = _own_key(call, "iam:credentials:deleteCredential")
    await store_of(call).remove_key(key.access_key)
    return Reply(204)


def _description(text: str | None) -> str:
    if text and (len(text) > DESCRIPTION_LENGTH or not text.isprintable()):
        raise invalid("credential.description", f"at most {DESCRIPTION_LENGTH} printable characters")
    return text or ""


# Temporary keys -------------------------------------------------------------------------------------------------------


async def create_security_token(call: Call) -> Reply:
    """POST securitytokens: a temporary access key of the token's user, or in the name of an agency."""
    asked = call.decode(CreateSecurityToken).auth.identity
    if asked.methods == ["token"]:
        made = _by_token(call, asked.token or TokenMethod(), _policy(call, asked))
    elif asked.methods == ["assume_role"] and asked.assume_role is not None:
        made = _by_agency(call, asked.assume_role, _policy(call, asked))
    else:
        raise malformed(
            "auth.identity.methods", 'must be ["token"] or ["assume_role"], with an object of that name'
        )
    return Reply(201, {"credential": made})


def _by_token(call: Call, method: TokenMethod, policy: str) -> Json:
    identity = call.context.identity
    seconds = _seconds(call, "auth.identity.token.duration_seconds", method.duration_seconds)
    if not identity.auth:
        return _lend(call, "", identity.first_user(), seconds, policy=policy)
    text = method.id or call.header("x-auth-token")
    if not text:
        raise invalid("auth.identity.token.id", "missing, and so is X-Auth-Token")
    try:
        claims, _ = identity.read_token(text.encode("utf-8", "surrogatepass"))
    except Refused as refused:
        identity.refuse(call.sent.peer, "token:" + text[:16], refused)
    agency: Agency | None = None
    if claims.agency_id:
        agency = store_of(call).agencies[claims.agency_id]
    return _lend(
        call,
        f"token:{claims.chain or claims.audit_id}",
        store_of(call).users[claims.user_id],
        seconds,
        agency=agency,
        policy=policy,
        # What was made with a token does not outlive it.
        expires_ms=claims.expires_ms,
    )


def _by_agency(call: Call, method: AssumeRole, policy: str) -> Json:
    seconds = _seconds(call, "auth.identity.assume_role.duration_seconds", method.duration_seconds)
    principal = taker(call)
    agency = agency_to_take(call, principal, method)
    user, made_with, expires_ms = taking_user(call, principal)
    return _lend(call, made_with, user, seconds, agency=agency, policy=policy, expires_ms=expires_ms)


def _lend(call: Call, made_with: str, user: User, seconds: int, **fields: Any) -> Json:
    session, text = call.context.identity.lend(made_with, user, seconds, **fields)
    return {
        "access": session.access_key,
        "secret": session.secret,
        "securitytoken": text,
        "expires_at": instant(session.expires_ms),
    }


def _seconds(call: Call, field: str, asked: int | None) -> int:
    limits = call.context.limits
    low, high = limits.temporary_key_seconds_min, limits.temporary_key_seconds_max
    if asked in (None, 0):
        return low
    if not low <= asked <= high:
        raise invalid(field, f"{asked} is outside {low} to {high}")
    return asked


def _policy(call: Call, asked: Methods) -> str:
    """What narrows the key, as text; empty for nothing."""
    if not asked.policy:
        return ""
    # The public client sends null for what it leaves out, and a list for `Resource`.
    statements = asked.policy.get("Statement")
    document = {key: value for key, value in asked.policy.items() if value is not None}
    if isinstance(statements, list):
        document["Statement"] = [
            {key: value for key, value in one.items() if value is not None} if isinstance(one, dict) else one
            for one in statements
        ]
    limits = msgspec.structs.replace(
        call.context.limits, policy_bytes=call.context.limits.temporary_key_policy_bytes
    )
    policies.read(document, limits, "auth.identity.policy")
    return msgspec.json.encode(document).decode()


_KEYS = "/v3.0/OS-CREDENTIAL/credentials"

ROUTES: list[Route] = [
    route(
        "POST",
        _KEYS,
        create_key,
        "Make an access key",
        request=CreateKey,
        status=201,
        errors=("IAM.0004", "DIS.4308"),
    ),
    route(
        "GET",
        _KEYS,
        list_keys,
        "List access keys",
        query=(Parameter("user_id", "Only those of this user."),),
        errors=("IAM.0004",),
    ),
    route("GET", _KEYS + "/{access_key}", show_key, "Show an access key"),
    route("PUT", _KEYS + "/{access_key}", update_key, "Change an access key", request=UpdateKey),
    route("DELETE", _KEYS + "/{access_key}", delete_key, "Delete an access key", status=204),
    Route(
        "POST",
        "/v3.0/OS-CREDENTIAL/securitytokens",
        identity_errors(create_security_token),
        # The token in the body says who it is.
        Access.OPEN,
        doc=Doc(
            SECTION,
            "Make a temporary access key",
            CreateSecurityToken,
            Json,
            201,
            errors=("IAM.0004", "DIS.4116", "DIS.4200", "DIS.4300", "APIGW.0301", "DIS.4309"),
        ),
    ),
]
