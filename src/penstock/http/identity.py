"""The identity endpoints clients call first: version discovery, tokens, the account and the service catalog.

Owns the shapes of Keystone v3 as DIS clients read them (clients.md 6, API reference 3.1, 3.2 and 7.3); who exists
and what a password is worth is iam's to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.catalog.base import Domain, Project, User
from penstock.catalog.tables.iam import Agency
from penstock.errors import ApiError, malformed
from penstock.http.call import Access, Call, Doc, Handler, Parameter, Reply, Route
from penstock.http.iam_form import SECTION, base_url, identity_errors, instant, link, links, own_domain
from penstock.http.iam_taking import AssumeRole, agency_to_take, taker, taking_user
from penstock.iam import roles
from penstock.iam.identity import Identity, Issued
from penstock.iam.policies import refusal
from penstock.iam.refused import Refused
from penstock.iam.tokens import Claims

_TOKENS = "/v3/auth/tokens"
_INTERFACES = ("public", "internal", "admin")
_OWNER_ROLES = ("te_admin", "secu_admin")
_ERRORS = ("IAM.0004", "DIS.4200")


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
    assume_role: AssumeRole | None = None


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


@identity_errors
async def root(call: Call) -> Reply:
    """GET /: what versions there are, for clients given the bare address."""
    version = _version(base_url(call))
    return Reply(200, {"versions": {"values": [version]}, "version": version})


@identity_errors
async def version(call: Call) -> Reply:
    """GET /v3."""
    return Reply(200, {"version": _version(base_url(call))})


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


@identity_errors
async def create_token(call: Call) -> Reply:
    """POST /v3/auth/tokens (API reference 3.1, 3.2): 201, the token in X-Subject-Token, what it says in the body."""
    auth = call.decode(TokenRequest).auth
    identity = call.context.identity
    if auth.identity.methods == ["assume_role"] and auth.identity.assume_role is not None:
        return _create_agency_token(call, auth.identity.assume_role, auth.scope)
    user, methods, before = await _who(call, auth.identity)
    project, domain_scope = _scope(identity, user.domain_id, auth.scope)
    issued = identity.issue(
        user,
        methods,
        project=project,
        domain_scope=domain_scope,
        expires_ms=before.expires_ms if before else None,
        chain=(before.chain or before.audit_id) if before else "",
    )
    return _token_reply(call, 201, issued)


def _create_agency_token(call: Call, asked: AssumeRole, scope: Scope | str | None) -> Reply:
    """With X-Auth-Token or a signature of a user of the account that the agency trusts: a token in the account that made it."""
    principal, identity = taker(call), call.context.identity
    agency = agency_to_take(call, principal, asked)
    user, made_with, expires_ms = taking_user(call, principal)
    project, domain_scope = _scope(identity, agency.domain_id, scope)
    kind, _, name = made_with.partition(":")
    issued = identity.issue(
        user,
        ("assume_role",),
        project=project,
        domain_scope=domain_scope,
        expires_ms=expires_ms,
        chain=name if kind == "token" else "",
        agency=agency,
    )
    return _token_reply(call, 201, issued)


@identity_errors
async def show_token(call: Call) -> Reply:
    """GET /v3/auth/tokens: what the token in X-Subject-Token says; 404 when it is not valid."""
    return _token_reply(call, 200, _subject(call))


@identity_errors
async def revoke_token(call: Call) -> Reply:
    """DELETE /v3/auth/tokens: the token in X-Subject-Token holds no more, nor does any made from it; 404 when it did not hold
    before. Who has a token may end it."""
    await call.context.identity.revoke(_subject(call).claims)
    return Reply(204)


def _subject(call: Call) -> Issued:
    """The token in X-Subject-Token, which must hold now."""
    subject = call.header("x-subject-token")
    if not subject:
        raise malformed("X-Subject-Token", "was not sent")
    try:
        claims, _ = call.context.identity.read_token(subject.encode("latin-1"))
    except Refused as refused:
        reason = refused.reason.replace("X-Auth-Token", "X-Subject-Token")
        raise ApiError("IAM.0004", f"[{reason}]") from refused
    return Issued(subject, claims)


async def _who(call: Call, asked: Methods) -> tuple[User, tuple[str, ...], Claims | None]:
    """The user who proves to be one, the methods of the token to make, and the token it is made from."""
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
        if principal.assumed:
            raise refusal("iam:tokens:assume")
        user = identity.user(user_id=principal.user_id)
        assert user is not None  # read_token refuses otherwise
        return user, tuple(dict.fromkeys((*claims.methods, "token"))), claims
    raise malformed(
        "auth.identity.methods",
        'must be ["password"], ["token"] or ["assume_role"], with an object of that name',
    )


def _scope(identity: Identity, domain_id: str, scope: Scope | str | None) -> tuple[Project | None, bool]:
    """The project asked for, whether the account was; (None, False) is unscoped."""
    if not isinstance(scope, Scope) or (scope.project is None and scope.domain is None):
        return None, False
    if scope.project is not None and scope.domain is not None:
        raise malformed("auth.scope", "has both project and domain")
    if scope.project is None:
        assert scope.domain is not None
        if not _own_domain(identity, domain_id, scope.domain):
            raise _no_scope("domain", scope.domain.id or scope.domain.name)
        return None, True
    wanted = scope.project
    if not wanted.id and not wanted.name:
        raise malformed("auth.scope.project", "needs id or name")
    project = identity.project(domain_id, project_id=wanted.id, name=wanted.name)
    if (
        project is None
        or not project.enabled
        or not (wanted.domain is None or _own_domain(identity, domain_id, wanted.domain))
    ):
        raise _no_scope("project", wanted.id or wanted.name)
    return project, False


def _own_domain(identity: Identity, domain_id: str, wanted: DomainRef) -> bool:
    if not identity.auth or not (wanted.id or wanted.name):
        return True
    domain = identity.domain(domain_id=wanted.id, name=wanted.name)
    return domain is not None and domain.domain_id == domain_id


def _no_scope(kind: str, wanted: str | None) -> ApiError:
    return ApiError("APIGW.0301", f"[auth.scope.{kind}: the user has no {kind} {wanted or ''}]")


def _token_reply(call: Call, status: int, issued: Issued) -> Reply:
    identity, claims = call.context.identity, issued.claims
    user = identity.user(user_id=claims.user_id)
    assert user is not None
    domain = identity.store.domains[claims.domain_id]
    owner = {"id": domain.domain_id, "name": domain.name}
    agency = identity.store.agencies.get(claims.agency_id)
    token: dict[str, Any] = {
        "expires_at": instant(claims.expires_ms),
        "issued_at": instant(claims.issued_ms),
        "methods": claims.methods,
        "audit_ids": [claims.audit_id, claims.chain] if claims.chain else [claims.audit_id],
        "user": {"id": user.user_id, "name": user.name, "domain": owner, "password_expires_at": ""},
    }
    if agency is not None:
        home = identity.domain_of(user)
        token["assumed_by"] = {
            "user": token["user"] | {"domain": {"id": home.domain_id, "name": home.name}},
        }
        token["user"] = {"id": agency.agency_id, "name": f"{domain.name}/{agency.name}", "domain": owner}
    project = _project_of(identity, claims)
    if project is not None:
        token["project"] = {"id": project.project_id, "name": project.name, "domain": owner}
    elif claims.domain_scope:
        token["domain"] = owner
    if project is not None or claims.domain_scope:
        token["roles"] = _roles(identity, user, project, agency)
        if not _asked(call, b"nocatalog"):
            token["catalog"] = service_catalog(
                base_url(call), identity.region, project.project_id if project else None
            )
    return Reply(status, {"token": token}, (("X-Subject-Token", issued.text),))


def _roles(
    identity: Identity, user: User, project: Project | None, agency: Agency | None
) -> list[dict[str, str]]:
    """What the user, or the agency, is granted where the token is for, by name."""
    if agency is None and identity.is_owner(user):
        granted: Iterable[str] = (roles.BY_NAME[name].policy_id for name in _OWNER_ROLES)
    else:
        domain_id = agency.domain_id if agency else user.domain_id
        subjects = [f"agency:{agency.agency_id}"] if agency else identity.store.subjects(user.user_id)
        scope = f"project:{project.project_id}" if project else f"domain:{domain_id}"
        wanted = (scope, f"inherited:{domain_id}")
        found = (grant for subject in subjects for grant in identity.store.grants(subject))
        granted = dict.fromkeys(grant.policy_id for grant in sorted(found) if grant.scope in wanted)
    named = []
    for policy_id in granted:
        system, custom = roles.BY_ID.get(policy_id), identity.store.policies.get(policy_id)
        if system is not None or custom is not None:
            # Clients look for te_admin by either.
            name = system.name if system else custom.name if custom else ""
            named.append({"id": name if name in _OWNER_ROLES else policy_id, "name": name})
    return named


def _project_of(identity: Identity, claims: Claims) -> Project | None:
    if claims.project_id is None:
        return None
    return identity.project(claims.domain_id, project_id=claims.project_id)


# What there is


@identity_errors
async def list_own_domains(call: Call) -> Reply:
    """GET /v3/auth/domains?name=: the caller's account."""
    return _domains(call, "/v3/auth/domains")


@identity_errors
async def list_domains(call: Call) -> Reply:
    """GET /v3/domains?name=: the same; nobody sees another account."""
    return _domains(call, "/v3/domains")


def _domains(call: Call, path: str) -> Reply:
    principal, name = call.require_principal(), call.query.get("name")
    mine = call.context.identity.domain(domain_id=principal.domain_id)
    found = [_domain(call, mine)] if mine is not None and name in (None, mine.name) else []
    return Reply(200, {"domains": found, "links": links(call, path)})


@identity_errors
async def show_domain(call: Call) -> Reply:
    """GET /v3/domains/{domain_id}."""
    return Reply(200, {"domain": _domain(call, own_domain(call, call.params["domain_id"]))})


def _domain(call: Call, domain: Domain) -> dict[str, Any]:
    return {
        "id": domain.domain_id,
        "name": domain.name,
        "description": "",
        "enabled": True,
        "links": link(call, f"/v3/domains/{domain.domain_id}"),
    }


@identity_errors
async def show_catalog(call: Call) -> Reply:
    """GET /v3/auth/catalog: where the services are, as in a token of the same scope. A signature has no project of
    its own: X-Project-Id's, or the account's only one."""
    identity, principal, route = call.context.identity, call.require_principal(), "/v3/auth/catalog"
    base = base_url(call)
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


def _asked(call: Call, parameter: bytes) -> bool:
    """Whether a query parameter was sent, with or without a value."""
    return any(piece.partition(b"=")[0] == parameter for piece in call.sent.query.split(b"&"))


def _route(method: str, path: str, handler: Handler, summary: str, access: Access = Access.IDENTITY) -> Route:
    return Route(
        method, path, handler, access, doc=Doc(SECTION, summary, reply=dict[str, Any], errors=_ERRORS)
    )


ROUTES: list[Route] = [
    _route("GET", "/", root, "Versions of the identity API", Access.OPEN),
    _route("GET", "/v3", version, "The version of the identity API", Access.OPEN),
    Route(
        "POST",
        _TOKENS,
        create_token,
        Access.OPEN,
        doc=Doc(
            "3.1",
            "Obtain a token",
            TokenRequest,
            dict[str, Any],
            201,
            (Parameter("nocatalog", "Leave the list of services out."),),
            ("APIGW.0301", "DIS.4309", "APIGW.0203"),
        ),
    ),
    Route(
        "GET",
        _TOKENS,
        show_token,
        Access.IDENTITY,
        doc=Doc(
            SECTION,
            "What the token in X-Subject-Token says",
            reply=dict[str, Any],
            errors=("IAM.0004", "DIS.4300"),
        ),
    ),
    Route(
        "HEAD",
        _TOKENS,
        show_token,
        Access.IDENTITY,
        doc=Doc(
            SECTION,
            "Whether the token in X-Subject-Token holds",
            reply=dict[str, Any],
            errors=("IAM.0004", "DIS.4300"),
        ),
    ),
    Route(
        "DELETE",
        _TOKENS,
        revoke_token,
        Access.IDENTITY,
        doc=Doc(SECTION, "Revoke the token in X-Subject-Token", status=204, errors=("IAM.0004", "DIS.4300")),
    ),
    _route("GET", "/v3/auth/domains", list_own_domains, "The caller's account"),
    _route("GET", "/v3/domains", list_domains, "The caller's account"),
    _route("GET", "/v3/domains/{domain_id}", show_domain, "The caller's account"),
    _route("GET", "/v3/auth/catalog", show_catalog, "The services"),
]
