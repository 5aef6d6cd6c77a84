"""Projects of an account over the IAM API: list, make, show, change. Owns their shapes; a project is never removed, for its
streams would be lost with it: it can be disabled."""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.catalog.base import Project
from penstock.errors import invalid
from penstock.http.call import Call, Parameter, Reply, Route
from penstock.http.iam_form import (
    ENABLED,
    PAGE,
    PER_PAGE,
    TRUE_FALSE,
    Json,
    flag,
    link,
    links,
    manager,
    manager_or_self,
    own_project,
    own_user,
    page_of,
    route,
    same_domain,
    store_of,
)
from penstock.iam.names import check_name

DESCRIPTION_LENGTH = 255
_IS_DOMAIN = Parameter("is_domain", "Projects are none: with `true` there are none.", TRUE_FALSE)


class NewProject(msgspec.Struct):
    """A project to make. `parent_id` is a project above it: kept nowhere, projects are all alike."""

    name: str
    domain_id: str | None = None
    parent_id: str | None = None
    description: str | None = None


class CreateProject(msgspec.Struct):
    project: NewProject


class ProjectChange(msgspec.Struct):
    name: str | None = None
    description: str | None = None
    enabled: bool | None = None


class UpdateProject(msgspec.Struct):
    project: ProjectChange


class ProjectStatus(msgspec.Struct):
    status: Literal["normal", "suspended"]


class UpdateProjectStatus(msgspec.Struct):
    project: ProjectStatus


def project_json(call: Call, project: Project) -> Json:
    """A project in a list."""
    return {
        "domain_id": project.domain_id,
        "is_domain": False,
        "parent_id": project.domain_id,
        "name": project.name,
        "description": project.description,
        "links": links(call, f"/v3/projects/{project.project_id}"),
        "id": project.project_id,
        "enabled": project.enabled,
    }


async def list_projects(call: Call) -> Reply:
    """GET /v3/projects (API reference 7.3): the account's, one element for a `name` that exists."""
    return _list(call, "/v3/projects")


async def list_own_projects(call: Call) -> Reply:
    """GET /v3/auth/projects: the projects a token can be asked for."""
    return _list(call, "/v3/auth/projects", only_enabled=True)


async def list_projects_of_user(call: Call) -> Reply:
    """GET /v3/users/{user_id}/projects: the projects the user can ask a token for."""
    user = own_user(call, call.params["user_id"])
    manager_or_self(call, "iam:projects:listProjectsForUser", user)
    return _list(call, f"/v3/users/{user.user_id}/projects", only_enabled=True)


def _list(call: Call, path: str, *, only_enabled: bool = False) -> Reply:
    identity, principal, query = call.context.identity, call.require_principal(), call.query
    projects = identity.projects_of(principal.domain_id)
    if (name := query.get("name")) is not None:
        # With `--auth off` every name is one.
        named = identity.project(principal.domain_id, name=name)
        projects = [named] if named is not None else []
    enabled = True if only_enabled else flag(ENABLED, call)
    for wanted in (query.get("domain_id"), query.get("parent_id")):
        if wanted and wanted != principal.domain_id:
            projects = []
    if enabled is not None:
        projects = [project for project in projects if project.enabled is enabled]
    if flag(_IS_DOMAIN, call):
        projects = []
    shown = [project_json(call, project) for project in page_of(call, projects)]
    return Reply(200, {"projects": shown, "links": links(call, path)})


async def create_project(call: Call) -> Reply:
    """POST /v3/projects."""
    manager(call, "iam:projects:createProject")
    wanted = call.decode(CreateProject).project
    domain_id = same_domain(call, wanted.domain_id)
    if wanted.parent_id and wanted.parent_id != domain_id:
        own_project(call, wanted.parent_id)
    description = _description(wanted.description)
    made = await call.context.identity.add_project(domain_id, wanted.name, description=description)
    return _reply(call, 201, made)


async def show_project(call: Call) -> Reply:
    """GET /v3/projects/{project_id}: any user may see the account's projects, as in the list."""
    return Reply(200, {"project": project_json(call, own_project(call, call.params["project_id"]))})


async def show_details(call: Call) -> Reply:
    """GET /v3-ext/projects/{project_id}: with its status."""
    project = own_project(call, call.params["project_id"])
    shown = project_json(call, project) | {"status": "normal" if project.enabled else "suspended"}
    return Reply(200, {"project": shown})


async def update_project(call: Call) -> Reply:
    """PATCH /v3/projects/{project_id}."""
    project = own_project(call, call.params["project_id"])
    manager(call, "iam:projects:updateProject")
    wanted = call.decode(UpdateProject).project
    changes: Json = {}
    if wanted.name:
        changes["name"] = check_name("project.name", wanted.name)
    if wanted.description is not None:
        changes["description"] = _description(wanted.description)
    if wanted.enabled is not None:
        changes["enabled"] = _enabled(call, project, "project.enabled", wanted.enabled)
    return _reply(call, 200, await store_of(call).update_project(project.project_id, **changes))


async def update_status(call: Call) -> Reply:
    """PUT /v3-ext/projects/{project_id}: `suspended` refuses everybody, `normal` takes them again."""
    project = own_project(call, call.params["project_id"])
    manager(call, "iam:projects:updateProject")
    normal = call.decode(UpdateProjectStatus).project.status == "normal"
    enabled = _enabled(call, project, "project.status", normal)
    await store_of(call).update_project(project.project_id, enabled=enabled)
    return Reply(204)


def _enabled(call: Call, project: Project, field: str, wanted: bool) -> bool:
    """Nobody saws off the branch he sits on: the reply would be the token's last."""
    if not wanted and call.require_principal().project_id == project.project_id:
        raise invalid(field, "the project that the token is for cannot be suspended with it")
    return wanted


def _description(text: str | None) -> str:
    return check_name("project.description", text, DESCRIPTION_LENGTH) if text else ""


def _reply(call: Call, status: int, project: Project) -> Reply:
    shown = project_json(call, project) | {"links": link(call, f"/v3/projects/{project.project_id}")}
    return Reply(status, {"project": shown})


_FILTERS = (
    Parameter("name", "Only the project of that name."),
    Parameter("domain_id", "The account."),
    Parameter("parent_id", "The account."),
    ENABLED,
    _IS_DOMAIN,
    PAGE,
    PER_PAGE,
)

ROUTES: list[Route] = [
    route("GET", "/v3/projects", list_projects, "List projects", query=_FILTERS),
    route("GET", "/v3/auth/projects", list_own_projects, "List projects a token can be asked for"),
    route("GET", "/v3/users/{user_id}/projects", list_projects_of_user, "List projects of a user"),
    route(
        "POST",
        "/v3/projects",
        create_project,
        "Make a project",
        request=CreateProject,
        status=201,
        errors=("IAM.0004", "IAM.0005", "DIS.4308"),
    ),
    route("GET", "/v3/projects/{project_id}", show_project, "Show a project"),
    route(
        "PATCH",
        "/v3/projects/{project_id}",
        update_project,
        "Change a project",
        request=UpdateProject,
        errors=("IAM.0005",),
    ),
    route("GET", "/v3-ext/projects/{project_id}", show_details, "Show a project and its status"),
    route(
        "PUT",
        "/v3-ext/projects/{project_id}",
        update_status,
        "Suspend a project, or not",
        request=UpdateProjectStatus,
        status=204,
    ),
]
