"""Granting policies over the IAM API: to groups in projects and in the account, to groups and users in enterprise projects, and
looking at what is granted.

Owns the paths of grants and their answers. Whom and where is a Grant's subject and scope, so that other subjects
(agencies) need only their paths.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from penstock.catalog.tables.iam import Grant
from penstock.errors import invalid
from penstock.http.call import Call, Parameter, Reply, Route
from penstock.http.iam_form import (
    PAGE,
    PER_PAGE,
    TRUE_FALSE,
    Json,
    flag,
    link,
    links,
    manager,
    missing,
    own_domain,
    own_group,
    own_project,
    own_user,
    page_of,
    route,
    same_domain,
    store_of,
)
from penstock.http.iam_roles import own_policy, role_json
from penstock.iam import roles
from penstock.iam.names import PROJECT_ID, check_text

_INHERITED_ONLY = Parameter("is_inherited", "Only those in all projects, or only others.", TRUE_FALSE)
_INCLUDE_GROUP = Parameter("include_group", "`false`: the user's own only.", TRUE_FALSE)

Where = Callable[[Call], str]
"""Subject or scope of a grant, from the path. Raises IAM.0004 for what is not the caller's account's."""


# Subjects and scopes of paths -------------------------------------------------------------------------------------------


def group_in_path(call: Call) -> str:
    return f"group:{own_group(call, call.params['group_id']).group_id}"


def user_in_path(call: Call) -> str:
    return f"user:{own_user(call, call.params['user_id']).user_id}"


def project_in_path(call: Call) -> str:
    return f"project:{own_project(call, call.params['project_id']).project_id}"


def domain_in_path(call: Call) -> str:
    return f"domain:{own_domain(call, call.params['domain_id']).domain_id}"


def inherited_in_path(call: Call) -> str:
    """The account and all its projects."""
    return f"inherited:{own_domain(call, call.params['domain_id']).domain_id}"


def enterprise_in_path(call: Call) -> str:
    """Enterprise projects are nothing but their ids: streams say which one they are in."""
    name = call.params["enterprise_project_id"]
    return f"enterprise:{check_text(PROJECT_ID, 'enterprise_project_id', name)}"


# The four operations on any of them ---------------------------------------------------------------------------------------


def granting(subject: Where, scope: Where) -> Callable[[Call], Awaitable[Reply]]:
    """PUT: 204, granted before or not."""

    async def put(call: Call) -> Reply:
        grant = Grant(subject(call), scope(call), _policy_in_path(call))
        manager(call, f"iam:permissions:grantRoleTo{_where(grant)}")
        await store_of(call).add_grant(grant)
        return Reply(204)

    return put


def checking(subject: Where, scope: Where) -> Callable[[Call], Awaitable[Reply]]:
    """HEAD: 204 or 404."""

    async def check(call: Call) -> Reply:
        grant = Grant(subject(call), scope(call), _policy_in_path(call))
        manager(call, f"iam:permissions:checkRoleFor{_where(grant)}")
        if grant not in store_of(call).grants(grant.subject):
            raise missing("grant of role", grant.policy_id)
        return Reply(204)

    return check


def revoking(subject: Where, scope: Where) -> Callable[[Call], Awaitable[Reply]]:
    """DELETE: 204, 404 when it was not granted."""

    async def revoke(call: Call) -> Reply:
        grant = Grant(subject(call), scope(call), _policy_in_path(call))
        manager(call, f"iam:permissions:revokeRoleFrom{_where(grant)}")
        if grant not in store_of(call).grants(grant.subject):
            raise missing("grant of role", grant.policy_id)
        await store_of(call).remove_grant(grant)
        return Reply(204)

    return revoke


def listing(subject: Where, scope: Where) -> Callable[[Call], Awaitable[Reply]]:
    """GET: the policies granted, as `roles`."""

    async def list_granted(call: Call) -> Reply:
        who, where = subject(call), scope(call)
        manager(call, f"iam:permissions:listRolesFor{_where(Grant(who, where, ''))}")
        policy_ids = sorted(grant.policy_id for grant in store_of(call).grants(who) if grant.scope == where)
        found = [role for policy_id in policy_ids if (role := role_json(call, policy_id)) is not None]
        path = call.sent.path.decode("latin-1")
        here = links(call, path[path.index("/v3") :])
        return Reply(200, {"roles": found, "links": here})

    return list_granted


def _where(grant: Grant) -> str:
    """The end of an action's name, such as `GroupOnProject`."""
    subject, scope = grant.subject.partition(":")[0], grant.scope.partition(":")[0]
    place = {"inherited": "Domain", "enterprise": "EnterpriseProject"}.get(scope, scope.capitalize())
    return f"{subject.capitalize()}On{place}"


def _policy_in_path(call: Call) -> str:
    """A system-defined policy by id or name, or a custom one of the account by id."""
    role_id = call.params["role_id"]
    if (system := roles.BY_ID.get(role_id) or roles.BY_NAME.get(role_id)) is not None:
        return system.policy_id
    return own_policy(call, role_id).policy_id


# Looking at many ------------------------------------------------------------------------------------------------------


async def list_assignments(call: Call) -> Reply:
    """GET /v3.0/OS-PERMISSION/role-assignments: every grant of the account, filtered."""
    manager(call, "iam:permissions:listRoleAssignments")
    found = _filtered(call, "scope.enterprise_projects_id")
    shown = [_assignment(grant) for grant in page_of(call, found)]
    return Reply(200, {"role_assignments": shown, "total_num": len(found)})


async def list_keystone_assignments(call: Call) -> Reply:
    """GET /v3/role_assignments: the same in Keystone's dialect, which knows no enterprise projects."""
    manager(call, "iam:permissions:listRoleAssignments")
    found = [grant for grant in _filtered(call, "") if not grant.scope.startswith("enterprise:")]
    shown = [
        _assignment(grant) | {"links": {"assignment": link(call, f"/v3/roles/{grant.policy_id}")["self"]}}
        for grant in found
    ]
    return Reply(200, {"role_assignments": shown, "links": links(call, "/v3/role_assignments")})


def _filtered(call: Call, enterprise: str) -> list[Grant]:
    query, mine = call.query, same_domain(call, call.query.get("domain_id"))
    store = store_of(call)
    subjects = {f"user:{user.user_id}" for user in store.users_of(mine)}
    subjects |= {f"group:{group.group_id}" for group in store.groups_of(mine)}
    subjects |= {f"agency:{agency.agency_id}" for agency in store.agencies_of(mine)}
    found = [grant for grant in store.all_grants() if grant.subject in subjects]
    with_groups = flag(_INCLUDE_GROUP, call) is not False
    role_id = query.get("role_id") or query.get("role.id")
    if role_id:
        found = [grant for grant in found if grant.policy_id == role_id]
    for kind in ("user", "group", "agency"):
        wanted = query.get(f"subject.{kind}_id") or query.get(f"{kind}.id")
        if not wanted:
            continue
        names = {f"{kind}:{wanted}"}
        if kind == "user" and with_groups and "subject.user_id" in query:
            names |= set(store.subjects(wanted))
        found = [grant for grant in found if grant.subject in names]
    if whose := query.get("subject"):
        if whose not in ("user", "group", "agency"):
            raise invalid("subject", "must be user, group or agency")
        found = [grant for grant in found if grant.subject.startswith(f"{whose}:")]
    if place := query.get("scope"):
        if place not in ("project", "domain", "enterprise_project"):
            raise invalid("scope", "must be project, domain or enterprise_project")
        kinds = {"domain": ("domain", "inherited"), "enterprise_project": ("enterprise",)}.get(
            place, (place,)
        )
        found = [grant for grant in found if grant.scope.partition(":")[0] in kinds]
    if project_id := query.get("scope.project_id") or query.get("scope.project.id"):
        found = [grant for grant in found if grant.scope == f"project:{project_id}"]
    if domain := query.get("scope.domain_id") or query.get("scope.domain.id"):
        found = [grant for grant in found if grant.scope in (f"domain:{domain}", f"inherited:{domain}")]
    if enterprise and (name := query.get(enterprise)):
        found = [grant for grant in found if grant.scope == f"enterprise:{name}"]
    if (inherited := flag(_INHERITED_ONLY, call)) is not None:
        found = [grant for grant in found if grant.scope.startswith("inherited:") is inherited]
    return sorted(found)


def _assignment(grant: Grant) -> Json:
    subject, _, who = grant.subject.partition(":")
    kind, _, where = grant.scope.partition(":")
    scope: Json = {{"inherited": "domain", "enterprise": "enterprise_project"}.get(kind, kind): {"id": where}}
    if kind == "inherited":
        scope["OS-INHERIT:inherited_to"] = "projects"
    return {
        "role": {"id": grant.policy_id},
        subject: {"id": who},
        "scope": scope,
        "is_inherited": kind == "inherited",
    }


async def list_enterprise_groups(call: Call) -> Reply:
    """GET .../enterprise-projects/{enterprise_project_id}/groups: those that are granted anything in it."""
    manager(call, "iam:permissions:listGroupsOnEnterpriseProject")
    store, scope = store_of(call), enterprise_in_path(call)
    groups = [
        group
        for group in store.groups_of(call.require_principal().domain_id)
        if any(grant.scope == scope for grant in store.grants(f"group:{group.group_id}"))
    ]
    return Reply(
        200,
        {
            "groups": [
                {
                    "createTime": group.created_ms,
                    "description": group.description,
                    "domainId": group.domain_id,
                    "id": group.group_id,
                    "name": group.name,
                }
                for group in groups
            ]
        },
    )


async def list_enterprise_users(call: Call) -> Reply:
    """GET .../enterprise-projects/{enterprise_project_id}/users: those that are granted anything in it themselves."""
    manager(call, "iam:permissions:listUsersOnEnterpriseProject")
    store, scope = store_of(call), enterprise_in_path(call)
    shown = []
    for user in store.users_of(call.require_principal().domain_id):
        number = sum(grant.scope == scope for grant in store.grants(f"user:{user.user_id}"))
        if number:
            shown.append(
                {
                    "domain_id": user.domain_id,
                    "id": user.user_id,
                    "name": user.name,
                    "enabled": user.enabled,
                    "description": user.description,
                    "policy_num": number,
                    "lastest_policy_time": 0,  # the IAM API's spelling
                }
            )
    return Reply(200, {"users": shown})


def _enterprise_projects(subject: Where) -> Callable[[Call], Awaitable[Reply]]:
    async def list_projects(call: Call) -> Reply:
        who = subject(call)
        manager(call, "iam:permissions:listEnterpriseProjects" + who.partition(":")[0].capitalize())
        names = sorted(
            {
                grant.scope.partition(":")[2]
                for grant in store_of(call).grants(who)
                if grant.scope.startswith("enterprise:")
            }
        )
        return Reply(200, {"enterprise-projects": [{"projectId": name} for name in names]})

    return list_projects


# Routes ---------------------------------------------------------------------------------------------------------------


def grant_routes(path: str, listed: str, subject: Where, scope: Where, what: str) -> list[Route]:
    """PUT, HEAD and DELETE of `path`, GET of `listed`."""
    return [
        route(
            "PUT", path, granting(subject, scope), f"Grant a policy {what}", status=204, errors=("DIS.4308",)
        ),
        route("HEAD", path, checking(subject, scope), f"Whether a policy is granted {what}", status=204),
        route("DELETE", path, revoking(subject, scope), f"Revoke a policy {what}", status=204),
        route("GET", listed, listing(subject, scope), f"List policies granted {what}"),
    ]


_PROJECT = "/v3/projects/{project_id}/groups/{group_id}/roles"
_DOMAIN = "/v3/domains/{domain_id}/groups/{group_id}/roles"
_INHERITED = "/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles"
_ENTERPRISE = "/v3.0/OS-PERMISSION/enterprise-projects/{enterprise_project_id}"

ROUTES: list[Route] = [
    *grant_routes(
        _PROJECT + "/{role_id}", _PROJECT, group_in_path, project_in_path, "to a group in a project"
    ),
    *grant_routes(
        _DOMAIN + "/{role_id}", _DOMAIN, group_in_path, domain_in_path, "to a group in the account"
    ),
    *grant_routes(
        _INHERITED + "/{role_id}/inherited_to_projects",
        _INHERITED + "/inherited_to_projects",
        group_in_path,
        inherited_in_path,
        "to a group in all projects",
    ),
    *(
        one
        for place, scope, where in (
            ("projects/{project_id}", project_in_path, "a project"),
            ("domains/{domain_id}", domain_in_path, "the account"),
        )
        for one in grant_routes(
            f"/v3/{place}/users/{{user_id}}/roles/{{role_id}}",
            f"/v3/{place}/users/{{user_id}}/roles",
            user_in_path,
            scope,
            f"to a user in {where}",
        )
    ),
    *grant_routes(
        _ENTERPRISE + "/groups/{group_id}/roles/{role_id}",
        _ENTERPRISE + "/groups/{group_id}/roles",
        group_in_path,
        enterprise_in_path,
        "to a group in an enterprise project",
    ),
    *grant_routes(
        _ENTERPRISE + "/users/{user_id}/roles/{role_id}",
        _ENTERPRISE + "/users/{user_id}/roles",
        user_in_path,
        enterprise_in_path,
        "to a user in an enterprise project",
    ),
    route("GET", _ENTERPRISE + "/groups", list_enterprise_groups, "List groups of an enterprise project"),
    route("GET", _ENTERPRISE + "/users", list_enterprise_users, "List users of an enterprise project"),
    route(
        "GET",
        "/v3.0/OS-PERMISSION/groups/{group_id}/enterprise-projects",
        _enterprise_projects(group_in_path),
        "List enterprise projects of a group",
    ),
    route(
        "GET",
        "/v3.0/OS-PERMISSION/users/{user_id}/enterprise-projects",
        _enterprise_projects(user_in_path),
        "List enterprise projects of a user",
    ),
    route(
        "GET",
        "/v3.0/OS-PERMISSION/role-assignments",
        list_assignments,
        "List what is granted",
        query=(
            Parameter("domain_id", "The account."),
            Parameter("role_id", "Only grants of this policy."),
            Parameter("subject", "`user`, `group` or `agency`."),
            Parameter("subject.user_id", "Only those of this user, and of the user's groups."),
            Parameter("subject.group_id", "Only those of this group."),
            Parameter("subject.agency_id", "Only those of this agency."),
            Parameter("scope", "`project`, `domain` or `enterprise_project`."),
            Parameter("scope.project_id", "Only those in this project."),
            Parameter("scope.domain_id", "Only those in the account."),
            Parameter("scope.enterprise_projects_id", "Only those in this enterprise project."),
            _INHERITED_ONLY,
            _INCLUDE_GROUP,
            PAGE,
            PER_PAGE,
        ),
        errors=("IAM.0004",),
    ),
    route(
        "GET",
        "/v3/role_assignments",
        list_keystone_assignments,
        "List what is granted",
        query=(
            Parameter("user.id", "Only those of this user."),
            Parameter("group.id", "Only those of this group."),
            Parameter("role.id", "Only grants of this policy."),
            Parameter("scope.project.id", "Only those in this project."),
            Parameter("scope.domain.id", "Only those in the account."),
        ),
        errors=("IAM.0004",),
    ),
]
