"""The form of the IAM API: error bodies, links, times, pages, and who may manage what. Owns what its routes share; knows no
single operation.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

import structlog

from penstock.catalog.base import Domain, Exists, Missing, Project, QuotaExceeded, User
from penstock.catalog.tables.iam import Group
from penstock.errors import ApiError
from penstock.http.call import Access, Call, Doc, Handler, Number, Parameter, Reply, Route
from penstock.iam.base import Principal
from penstock.iam.policies import refusal
from penstock.iam.store import Store

Json = dict[str, Any]
T = TypeVar("T")

SECTION = "3.1, 6 and the IAM API"
TRUE_FALSE = ("true", "false", "True", "False")
"""How clients write a boolean in a query."""
ENABLED = Parameter("enabled", "Only those enabled, or only those that are not.", TRUE_FALSE)
PAGE = Number("page", "Page, from 1 on; with `per_page`.", maximum=1_000_000)
PER_PAGE = Number("per_page", "Entries of a page, at most 300.", maximum=300)

_log = structlog.get_logger("penstock.iam")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


def identity_errors(handler: Callable[[Call], Awaitable[Reply]]) -> Handler:
    """Refusals in the form identity clients read, those of the store among them."""

    @functools.wraps(handler)
    async def guarded(call: Call) -> Reply:
        try:
            reply = await handler(call)
            if call.principal is not None and call.sent.method not in ("GET", "HEAD"):
                _note(call, call.principal)
            return reply
        except ApiError as error:
            refused = error
        except Exists:
            refused = ApiError("IAM.0005", "[the name is taken]")
        except QuotaExceeded:
            refused = ApiError("DIS.4308")
        except (KeyError, Missing):
            # Gone between looking it up and changing it.
            refused = ApiError("IAM.0004", "[it was just removed]")
        return Reply(refused.status, error_body(refused))

    return guarded


def _note(call: Call, principal: Principal) -> None:
    """Who changed what, for the log. Paths hold ids and no secrets; bodies do not belong there."""
    _log.info(
        "identity changed",
        method=call.sent.method,
        path=call.sent.path.decode("latin-1"),
        by=principal.user_name,
        user_id=principal.user_id,
        account=principal.domain_name,
    )


def error_body(error: ApiError) -> Json:
    """`error` as Keystone has it, and the four fields of every other refusal."""
    title = HTTPStatus(error.status).phrase
    return {
        "error": {"code": error.status, "message": error.message, "title": title},
        "errorCode": error.code,
        "message": error.message,
        "error_code": error.code,
        "error_msg": error.message,
    }


def route(
    method: str,
    path: str,
    handler: Callable[[Call], Awaitable[Reply]],
    summary: str,
    *,
    request: Any = None,
    status: int = 200,
    query: Sequence[Any] = (),
    errors: Sequence[str] = (),
) -> Route:
    """A route of the IAM API. Who may call it is decided by its handler: most depend on whom they are about."""
    codes = ["DIS.4116", "DIS.4200", *errors]
    if "{" in path:
        codes.append("IAM.0004")
    reply = Json if status in (200, 201) else None
    doc = Doc(
        SECTION, summary, request=request, reply=reply, status=status, query=tuple(query), errors=tuple(codes)
    )
    return Route(method, path, identity_errors(handler), Access.IDENTITY, doc=doc)


# Who ------------------------------------------------------------------------------------------------------------------


def manager(call: Call, action: str) -> Principal:
    """The caller, who must be allowed `action` (such as `iam:users:createUser`) in the account: its owner, or by a
    policy. Raises DIS.4116."""
    principal = call.require_principal()
    if principal.external or not call.context.identity.allows(principal, None, action):
        raise refusal(action)
    return principal


def manager_or_self(call: Call, action: str, user: User) -> Principal:
    """The same, or the user it is about."""
    principal = call.require_principal()
    if principal.user_id == user.user_id and not principal.assumed and not principal.narrowed:
        return principal
    return manager(call, action)


def missing(kind: str, wanted: str) -> ApiError:
    """404 for what is not there, or of another account."""
    return ApiError("IAM.0004", f"[{kind} {wanted[:64]}]")


def store_of(call: Call) -> Store:
    return call.context.identity.store


def own_user(call: Call, user_id: str) -> User:
    """A user of the caller's account."""
    user = store_of(call).users.get(user_id)
    if user is None or user.domain_id != call.require_principal().domain_id:
        raise missing("user", user_id)
    return user


def own_group(call: Call, group_id: str) -> Group:
    """A group of the caller's account."""
    group = store_of(call).groups.get(group_id)
    if group is None or group.domain_id != call.require_principal().domain_id:
        raise missing("group", group_id)
    return group


def own_project(call: Call, project_id: str) -> Project:
    """A project of the caller's account."""
    project = store_of(call).projects.get(project_id)
    if project is None or project.domain_id != call.require_principal().domain_id:
        raise missing("project", project_id)
    return project


def own_domain(call: Call, domain_id: str) -> Domain:
    """The caller's account, and no other."""
    domain = store_of(call).domains.get(domain_id)
    if domain is None or domain.domain_id != call.require_principal().domain_id:
        raise missing("domain", domain_id)
    return domain


def same_domain(call: Call, domain_id: str | None) -> str:
    """The account named in a body or query, which can only be the caller's. Raises IAM.0004."""
    mine = call.require_principal().domain_id
    if domain_id and domain_id != mine:
        raise missing("domain", domain_id)
    return mine


# Shapes ---------------------------------------------------------------------------------------------------------------


def base_url(call: Call) -> str:
    """Scheme, host and any path prefix the client reached this server under, without a slash at the end."""
    host = call.header("host")
    if not _HOST.fullmatch(host):
        host = str(call.context.settings.listen)
    path = call.sent.path.decode("latin-1")
    found = re.search(r"/(v3|v3\.0|v3-ext)(/|$)", path)
    prefix = path[: found.start()] if found else path.rstrip("/")
    return f"{call.scheme}://{host}{prefix}"


def link(call: Call, path: str) -> Json:
    """`links` of one thing."""
    return {"self": base_url(call) + path}


def links(call: Call, path: str) -> Json:
    """`links` of a list, and of things in lists."""
    return {"self": base_url(call) + path, "previous": None, "next": None}


def page_of(call: Call, entries: list[T]) -> list[T]:
    """The page asked for; everything when none was."""
    page, size = PAGE.of(call), PER_PAGE.of(call)
    if not page and not size:
        return entries
    size = size or 300
    start = (max(page, 1) - 1) * size
    return entries[start : start + size]


def instant(ms: int) -> str:
    """A time as tokens have it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(ms: int) -> str:
    """A time as users have it; empty for one nobody noted."""
    if not ms:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.0")


def flag(parameter: Parameter, call: Call) -> bool | None:
    """A boolean in a query, None when absent. Raises DIS.4200 for what is none."""
    return {"true": True, "false": False}.get(parameter.of(call).lower())
