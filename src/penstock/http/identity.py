"""The identity endpoints clients call: version discovery, tokens, projects, domains and the service catalog.

Owns the shapes of Keystone v3 as DIS clients read them (clients.md 6, API reference 3.1, 3.2 and 7.3); who exists
and what a password is worth is iam's to say. Errors carry both the IAM form (`error`) and the gateway's fields.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec

from penstock.catalog.base import Project, User
from penstock.errors import ApiError, malformed
from penstock.http.call import Access, Call, Handler, Reply, Route
from penstock.iam.identity import Identity, Issued
from penstock.iam.refused import Refused
from penstock.iam.tokens import Claims

_TOKENS = "/v3/auth/tokens"
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_INTERFACES = ("public", "internal", "admin")
_ROLE = {"id": "te_admin", "name": "te_admin"}


class DomainRef(msgspec.Struct):
    """An account by id or name."""

    id: str | None = None
    name: str | None = None


class UserRef(msgspec.Struct):
    """A user by id, or by name and account, with its password."""

    password: str
    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None


class ProjectRef(msgspec.Struct):
    """A project by id, or by name (within the user's account unless one is named)."""

    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None


class PasswordMethod(msgspec.Struct):
    user: UserRef


class TokenMethod(msgspec.Struct):
    id: str


class Methods(msgspec.Struct):
    methods: list[str]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None


class Scope(msgspec.Struct):
    project: ProjectRef | None = None
    domain: DomainRef | None = None


class Auth(msgspec.Struct):
    identity: Methods
    scope: Scope | str | None = None
    """A text (`unscoped`), absent or empty: a token for neither project nor account."""


class TokenRequest(msgspec.Struct):
    """Body of POST /v3/auth/tokens."""

    auth: Auth


def _identity_errors(handler: Callable[[Call], Awaitable[Reply]]) -> Handler:
    """Refusals in the form identity clients read."""

    @functools.wraps(handler)
    async def guarded(call: Call) -> Reply:
        try:
            return await handler(call)
        except ApiError as error:
            return Reply(error.status, error_body(error))

    return guarded


def error_body(error: ApiError) -> dict[str, Any]:
    """`error` as Keystone has it, and the four fields of every other refusal."""
    title = HTTPStatus(error.status).phrase
    return {
        "error": {"code": error.status, "message": error.message, "title": title},
        "errorCode": error.code,
        "message": error.message,
        "error_code": error.code,
        "error_msg": error.message,
    }


# Version discovery


@_identity_errors
async def root(call: Call) -> Reply:
    """GET /: what versions there are, for clients given the bare address."""
    version = _version(base_url(call, ""))
    return Reply(200, {"versions": {"values": [version]}, "version": version})


@_identity_errors
async def version(call: Call) -> Reply:
    """GET /v3."""
    return Reply(200, {"version": _version(base_url(call, "/v3"))})


def _version(base: str) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/v3/"}],
        "media-types": [
            {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"},
        ],
    }


# Tokens


@_identity_errors
async def create_token(call: Call) -> Reply:
    """POST /v3/auth/tokens (API reference 3.1, 3.2): 201, the token in X-Subject-Token, what it says in the body."""
    auth = call.decode(TokenRequest).auth
    identity = call.context.identity
    user, methods, expires_ms = await _who(call, auth.identity)
    project, domain_scope = _scope(identity, user, auth.scope)
    issued = identity.issue(user, methods, project=project, domain_scope=domain_scope, expires_ms=expires_ms)
    return _token_reply(call, 201, issued)


@_identity_errors
async def show_token(call: Call) -> Reply:
    """GET /v3/auth/tokens: what the token in X-Subject-Token says; 404 when it is not valid."""
    subject = call.header("x-subject-token")
    if not subject:
        raise malformed("X-Subject-Token", "was not sent")
    try:
        claims, _ = call.context.identity.read_token(subject.encode("latin-1"))
    except Refused as refused:
        reason = refused.reason.replace("X-Auth-Token", "X-Subject-Token")
        raise ApiError("APIGW.0301", f"[{reason}]", status=404) from refused
    return _token_reply(call, 200, Issued(subject, claims))


async def _who(call: Call, asked: Methods) -> tuple[User, tuple[str, ...], int | None]:
    """The user who proves to be one, the methods of the token to make, and when it ends at the latest."""
    identity, peer = call.context.identity, call.sent.peer
    if asked.methods == ["password"] and asked.password is not None:
        reference = asked.password.user
        domain = reference.domain or DomainRef()
        if not reference.id and not (reference.name and (domain.id or domain.name)):
            raise malformed("auth.identity.password.user", "needs id, or name and domain (its id or name)")
        user = identity.user(
            user_id=reference.id, name=reference.name, domain_id=domain.id, domain_name=domain.name
        )
        who = reference.id or f"{domain.id or domain.name}/{reference.name}"
        return await identity.login(peer, user, who, reference.password), ("password",), None
    if asked.methods == ["token"] and asked.token is not None:
        if not identity.auth:
            return identity.first_user(), ("token",), None
        text = asked.token.id.encode("utf-8", "surrogatepass")
        try:
            claims, principal = identity.read_token(text)
        except Refused as refused:
            identity.refuse(peer, "token:" + asked.token.id[:16], refused)
        user = identity.user(user_id=principal.user_id)
        assert user is not None  # read_token refuses otherwise
        return user, tuple(dict.fromkeys((*claims.methods, "token"))), claims.expires_ms
    raise malformed("auth.identity.methods", 'must be ["password"] or ["token"], with an object of that name')


def _scope(identity: Identity, user: User, scope: Scope | str | None) -> tuple[Project | None, bool]:
    """The project asked for, whether the account was; (None, False) is unscoped."""
    if not isinstance(scope, Scope) or (scope.project is None and scope.domain is None):
        return None, False
    if scope.project is not None and scope.domain is not None:
        raise malformed("auth.scope", "has both project and domain")
    if scope.project is None:
        assert scope.domain is not None
        if not _own_domain(identity, user, scope.domain):
            raise _no_scope("domain", scope.domain.id or scope.domain.name)
        return None, True
    wanted = scope.project
    if not wanted.id and not wanted.name:
        raise malformed("auth.scope.project", "needs id or name")
    project = identity.project(user.domain_id, project_id=wanted.id, name=wanted.name)
    if project is None or not (wanted.domain is None or _own_domain(identity, user, wanted.domain)):
        raise _no_scope("project", wanted.id or wanted.name)
    return project, False


def _own_domain(identity: Identity, user: User, wanted: DomainRef) -> bool:
    if not identity.auth or not (wanted.id or wanted.name):
        return True
    domain = identity.domain(domain_id=wanted.id, name=wanted.name)
    return domain is not None and domain.domain_id == user.domain_id


def _no_scope(kind: str, wanted: str | None) -> ApiError:
    return ApiError("APIGW.0301", f"[auth.scope.{kind}: the user has no {kind} {wanted or ''}]")


def _token_reply(call: Call, status: int, issued: Issued) -> Reply:
    identity, claims = call.context.identity, issued.claims
    user = identity.user(user_id=claims.user_id)
    assert user is not None
    domain = identity.domain_of(user)
    owner = {"id": domain.domain_id, "name": domain.name}
    token: dict[str, Any] = {
        "expires_at": _time(claims.expires_ms),
        "issued_at": _time(claims.issued_ms),
        "methods": claims.methods,
        "audit_ids": [claims.audit_id],
        "user": {"id": user.user_id, "name": user.name, "domain": owner, "password_expires_at": ""},
    }
    project = _project_of(identity, claims)
    if project is not None:
        token["project"] = {"id": project.project_id, "name": project.name, "domain": owner}
    elif claims.domain_scope:
        token["domain"] = owner
    if project is not None or claims.domain_scope:
        token["roles"] = [_ROLE]
        if not _asked(call, b"nocatalog"):
            token["catalog"] = service_catalog(
                base_url(call, _TOKENS), identity.region, project.project_id if project else None
            )
    return Reply(status, {"token": token}, (("X-Subject-Token", issued.text),))


def _project_of(identity: Identity, claims: Claims) -> Project | None:
    if claims.project_id is None:
        return None
    return identity.project(claims.domain_id, project_id=claims.project_id)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# What there is


@_identity_errors
async def list_projects(call: Call) -> Reply:
    """GET /v3/projects?name= (API reference 7.3): the account's projects; one element for a name that exists."""
    return Reply(200, _projects(call, "/v3/projects"))


@_identity_errors
async def list_own_projects(call: Call) -> Reply:
    """GET /v3/auth/projects: the projects a token can be asked for, in the same shape."""
    return Reply(200, _projects(call, "/v3/auth/projects"))


def _projects(call: Call, route: str) -> dict[str, Any]:
    identity, principal = call.context.identity, call.require_principal()
    base, name = base_url(call, route), call.query.get("name")
    projects = identity.projects_of(principal.domain_id)
    if name is not None:
        project = identity.project(principal.domain_id, name=name)
        projects = [project] if project is not None else []
    return {
        "projects": [
            {
                "domain_id": project.domain_id,
                "is_domain": False,
                "parent_id": project.domain_id,
                "name": project.name,
                "description": "",
                "links": {"next": None, "previous": None, "self": f"{base}/v3/projects/{project.project_id}"},
                "id": project.project_id,
                "enabled": True,
            }
            for project in projects
        ],
        "links": {"next": None, "previous": None, "self": base + route},
    }


@_identity_errors
async def list_own_domains(call: Call) -> Reply:
    """GET /v3/auth/domains?name=: the caller's account."""
    principal, route = call.require_principal(), "/v3/auth/domains"
    base, name = base_url(call, route), call.query.get("name")
    domain = {
        "id": principal.domain_id,
        "name": principal.domain_name,
        "description": "",
        "enabled": True,
        "links": {"next": None, "previous": None, "self": f"{base}/v3/domains/{principal.domain_id}"},
    }
    return Reply(
        200,
        {
            "domains": [domain] if name in (None, principal.domain_name) else [],
            "links": {"next": None, "previous": None, "self": base + route},
        },
    )


@_identity_errors
async def show_catalog(call: Call) -> Reply:
    """GET /v3/auth/catalog: where the services are, as in a token of the same scope. A signature has no project of
    its own: X-Project-Id's, or the account's only one."""
    identity, principal, route = call.context.identity, call.require_principal(), "/v3/auth/catalog"
    base = base_url(call, route)
    project_id = principal.project_id
    if project_id is None and (asked := call.header("x-project-id")):
        project = identity.project(principal.domain_id, project_id=asked)
        project_id = project.project_id if project else None
    if project_id is None and len(projects := identity.projects_of(principal.domain_id)) == 1:
        project_id = projects[0].project_id
    catalog = service_catalog(base, identity.region, project_id)
    return Reply(200, {"catalog": catalog, "links": {"next": None, "previous": None, "self": base + route}})


def service_catalog(base: str, region: str, project_id: str | None) -> list[dict[str, Any]]:
    """Where each service is: `dis` for clients that append `v2/{project_id}`, `disv2` for those that do not."""
    services = [
        ("identity", "keystone", f"{base}/v3"),
        ("iam", "iam", f"{base}/v3"),
        ("dis", "dis", f"{base}/"),
    ]
    if project_id is not None:
        services.append(("disv2", "disv2", f"{base}/v2/{project_id}"))
    return [
        {
            "id": kind,
            "type": kind,
            "name": name,
            "endpoints": [
                {
                    "id": f"{kind}-{interface}",
                    "interface": interface,
                    "region": region,
                    "region_id": region,
                    "url": url,
                }
                for interface in _INTERFACES
            ],
        }
        for kind, name, url in services
    ]


def base_url(call: Call, route: str) -> str:
    """Scheme, host and any path prefix the client reached this server under, without a slash at the end. `route` is
    what follows the prefix in the path."""
    host = call.header("host")
    if not _HOST.fullmatch(host):
        host = str(call.context.settings.listen)
    prefix = call.sent.path.decode("latin-1").rstrip("/").removesuffix(route)
    return f"{call.scheme}://{host}{prefix}"


def _asked(call: Call, parameter: bytes) -> bool:
    """Whether a query parameter was sent, with or without a value."""
    return any(piece.partition(b"=")[0] == parameter for piece in call.sent.query.split(b"&"))


ROUTES: list[Route] = [
    Route("GET", "/", root, Access.OPEN),
    Route("GET", "/v3", version, Access.OPEN),
    Route("POST", _TOKENS, create_token, Access.OPEN),
    Route("GET", _TOKENS, show_token, Access.IDENTITY),
    Route("GET", "/v3/projects", list_projects, Access.IDENTITY),
    Route("GET", "/v3/auth/projects", list_own_projects, Access.IDENTITY),
    Route("GET", "/v3/auth/domains", list_own_domains, Access.IDENTITY),
    Route("GET", "/v3/auth/catalog", show_catalog, Access.IDENTITY),
]
