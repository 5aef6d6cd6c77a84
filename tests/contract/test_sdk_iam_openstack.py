"""The identity half of `openstacksdk`, unmodified, over TCP: what `openstack user`, `group`, `project`, `role` and `token` do
(clients.md 6 has the login of it)."""

from __future__ import annotations

from typing import Any

import openstack
import pytest
from openstack import exceptions
from tests.support.iam import PASSWORD, unique
from tests.support.server import Server

Connection = Any


def connect(server: Server, username: str, password: str, **scope: str) -> Connection:
    auth = {
        "auth_url": f"{server.endpoint}/v3",
        "username": username,
        "password": password,
        "user_domain_name": server.account,
        **scope,
    }
    return openstack.connection.Connection(auth=auth, region_name="local", identity_api_version="3")


@pytest.fixture(scope="module")
def cloud(server: Server) -> Connection:
    return connect(
        server,
        server.user,
        server.password,
        project_name=server.project,
        project_domain_name=server.account,
    )


def test_users(cloud: Connection, server: Server) -> None:
    name = unique("os")
    made = cloud.identity.create_user(name=name, password=PASSWORD, description="d")
    assert (made.name, made.is_enabled, made.description) == (name, True, "d")
    assert name in [user.name for user in cloud.identity.users()]
    assert cloud.identity.find_user(name).id == made.id
    assert cloud.identity.get_user(made.id).name == name
    changed = cloud.identity.update_user(made, description="e", is_enabled=False)
    assert (changed.description, changed.is_enabled) == ("e", False)
    with pytest.raises(exceptions.ConflictException):
        cloud.identity.create_user(name=name, password=PASSWORD)
    cloud.identity.delete_user(made)
    with pytest.raises(exceptions.NotFoundException):
        cloud.identity.get_user(made.id)
    assert cloud.identity.find_user(name) is None


def test_groups(cloud: Connection) -> None:
    name = unique("os")
    group = cloud.identity.create_group(name=name, description="d")
    user = cloud.identity.create_user(name=unique("os"), password=PASSWORD)
    assert cloud.identity.find_group(name).id == group.id
    assert not cloud.identity.check_user_in_group(user, group)
    cloud.identity.add_user_to_group(user, group)
    assert cloud.identity.check_user_in_group(user, group)
    assert [one.id for one in cloud.identity.group_users(group)] == [user.id]
    assert [one.id for one in cloud.identity.user_groups(user)] == [group.id]
    cloud.identity.remove_user_from_group(user, group)
    assert not cloud.identity.check_user_in_group(user, group)
    assert cloud.identity.update_group(group, description="e").description == "e"
    cloud.identity.delete_group(group)


def test_projects_and_domains(cloud: Connection, server: Server) -> None:
    name = unique("os")
    made = cloud.identity.create_project(name=name, description="d")
    assert (made.name, made.is_enabled) == (name, True)
    assert cloud.identity.find_project(name).id == made.id
    assert cloud.identity.update_project(made, description="e").description == "e"
    assert server.project_id in [project.id for project in cloud.identity.projects()]
    (domain,) = cloud.identity.domains()
    assert domain.name == server.account
    assert cloud.identity.get_domain(domain.id).name == server.account
    assert [one.name for one in cloud.identity.services() if one.type == "dis"] == ["dis"]
    assert [region.id for region in cloud.identity.regions()]
    assert [point.interface for point in cloud.identity.endpoints()]


def test_roles_let_a_user_at_streams(cloud: Connection, server: Server) -> None:
    user = cloud.identity.create_user(name=unique("os"), password=PASSWORD)
    group = cloud.identity.create_group(name=unique("os"))
    cloud.identity.add_user_to_group(user, group)
    role = cloud.identity.find_role("dis_user")
    project = cloud.identity.get_project(server.project_id)
    mine = connect(
        server, user.name, PASSWORD, project_name=server.project, project_domain_name=server.account
    )
    url = f"{server.endpoint}/v2/{server.project_id}/streams"

    def status() -> int:
        code: int = mine.session.get(url, raise_exc=False).status_code
        return code

    assert status() == 403
    assert not cloud.identity.validate_group_has_project_role(project, group, role)
    cloud.identity.assign_project_role_to_group(project, group, role)
    assert cloud.identity.validate_group_has_project_role(project, group, role)
    assert status() == 200
    found = cloud.identity.role_assignments(group_id=group.id)
    assert [(one.role["id"], one.scope["project"]["id"]) for one in found] == [(role.id, server.project_id)]
    cloud.identity.unassign_project_role_from_group(project, group, role)
    assert status() == 403
    cloud.identity.assign_project_role_to_user(project, user, role)
    assert cloud.identity.validate_user_has_project_role(project, user, role)
    assert status() == 200
    cloud.identity.unassign_project_role_from_user(project, user, role)
    assert status() == 403


def test_tokens(cloud: Connection, server: Server) -> None:
    user = cloud.identity.create_user(name=unique("os"), password=PASSWORD)
    mine = connect(
        server, user.name, PASSWORD, project_name=server.project, project_domain_name=server.account
    )
    text = mine.auth_token
    headers = {"X-Subject-Token": text}
    assert cloud.session.get(f"{server.endpoint}/v3/auth/tokens", headers=headers).status_code == 200
    assert cloud.session.delete(f"{server.endpoint}/v3/auth/tokens", headers=headers).status_code == 204
    reply = cloud.session.get(f"{server.endpoint}/v3/auth/tokens", headers=headers, raise_exc=False)
    assert reply.status_code == 404
    # It logs in again when its token is refused.
    assert mine.session.get(f"{server.endpoint}/v3/auth/projects").status_code == 200
    assert mine.auth_token != text
