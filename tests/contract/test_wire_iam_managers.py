"""Who may manage users, groups and policies, what users may do about themselves, and how tokens end (API reference 3.1, chapter
6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.support.iam import Iam, login, read, refused, token, unique
from tests.support.server import Server


@pytest.fixture(scope="module")
def nobody(iam: Iam, server: Server) -> Iterator[Iam]:
    """A user without any permission."""
    with iam.as_user(iam.user(), server.project_id) as client:
        yield client


@pytest.fixture(scope="module")
def names(iam: Iam, server: Server, domain_id: str, owner_id: str) -> dict[str, str]:
    role = iam.policy({"Action": ["dis:streams:get"]})
    return {
        "owner": owner_id,
        "group": iam.group(),
        "project": server.project_id,
        "domain": domain_id,
        "role": role,
    }


class TestManagers:
    """Who may manage: the owner, and whom a policy of the account says so."""

    CALLS = (
        ("GET", "/v3/users", "iam:users:listUsers"),
        ("POST", "/v3/users", "iam:users:createUser"),
        ("GET", "/v3/users/{owner}", "iam:users:getUser"),
        ("PATCH", "/v3/users/{owner}", "iam:users:updateUser"),
        ("DELETE", "/v3/users/{owner}", "iam:users:deleteUser"),
        ("GET", "/v3.0/OS-USER/users/{owner}", "iam:users:getUser"),
        ("PUT", "/v3.0/OS-USER/users/{owner}", "iam:users:updateUser"),
        ("PUT", "/v3.0/OS-USER/users/{owner}/info", "iam:users:updateUser"),
        ("GET", "/v3/users/{owner}/groups", "iam:groups:listGroupsForUser"),
        ("GET", "/v3/users/{owner}/projects", "iam:projects:listProjectsForUser"),
        ("GET", "/v3/groups", "iam:groups:listGroups"),
        ("POST", "/v3/groups", "iam:groups:createGroup"),
        ("GET", "/v3/groups/{group}", "iam:groups:getGroup"),
        ("PATCH", "/v3/groups/{group}", "iam:groups:updateGroup"),
        ("DELETE", "/v3/groups/{group}", "iam:groups:deleteGroup"),
        ("GET", "/v3/groups/{group}/users", "iam:users:listUsersForGroup"),
        ("PUT", "/v3/groups/{group}/users/{owner}", "iam:permissions:addUserToGroup"),
        ("DELETE", "/v3/groups/{group}/users/{owner}", "iam:permissions:removeUserFromGroup"),
        ("POST", "/v3/projects", "iam:projects:createProject"),
        ("PATCH", "/v3/projects/{project}", "iam:projects:updateProject"),
        ("PUT", "/v3-ext/projects/{project}", "iam:projects:updateProject"),
        ("GET", "/v3/roles", "iam:roles:listRoles"),
        ("GET", "/v3/roles/{role}", "iam:roles:getRole"),
        ("GET", "/v3.0/OS-ROLE/roles", "iam:roles:listRoles"),
        ("POST", "/v3.0/OS-ROLE/roles", "iam:roles:createRole"),
        ("PATCH", "/v3.0/OS-ROLE/roles/{role}", "iam:roles:updateRole"),
        ("DELETE", "/v3.0/OS-ROLE/roles/{role}", "iam:roles:deleteRole"),
        (
            "PUT",
            "/v3/projects/{project}/groups/{group}/roles/{role}",
            "iam:permissions:grantRoleToGroupOnProject",
        ),
        (
            "DELETE",
            "/v3/domains/{domain}/groups/{group}/roles/{role}",
            "iam:permissions:revokeRoleFromGroupOnDomain",
        ),
        ("GET", "/v3/projects/{project}/groups/{group}/roles", "iam:permissions:listRolesForGroupOnProject"),
        ("GET", "/v3.0/OS-PERMISSION/role-assignments", "iam:permissions:listRoleAssignments"),
    )

    @pytest.mark.parametrize(("method", "path", "action"), CALLS)
    def test_a_user_without_permissions_may_not(
        self, nobody: Iam, names: dict[str, str], method: str, path: str, action: str
    ) -> None:
        refused(nobody.call(method, path.format(**names), {}), "DIS.4116", 403, naming=f"[{action}]")

    def test_security_administrators_may_all_of_it(
        self, iam: Iam, names: dict[str, str], domain_id: str
    ) -> None:
        user = iam.user()
        group_id = iam.group("", user["id"])
        with iam.as_user(user) as manager:
            iam.grant_account(group_id, iam.system("Security Administrator"), domain_id)
            for method, path, action in self.CALLS:
                if method == "DELETE" or "{owner}" in path:
                    continue
                reply = manager.call(method, path.format(**names), {})
                assert reply.status_code != 403, (method, path, action, reply.text)
            made = manager.user()
            manager.done("DELETE", f"/v3/users/{made['id']}")

    def test_but_not_over_the_owner(
        self, iam: Iam, names: dict[str, str], domain_id: str, owner_id: str
    ) -> None:
        """Whose password opens everything."""
        user = iam.user()
        iam.grant_account(iam.group("", user["id"]), iam.system("Security Administrator"), domain_id)
        with iam.as_user(user) as manager:
            body = {"user": {"password": "Taken-over-1"}}
            for path in (f"/v3/users/{owner_id}", f"/v3.0/OS-USER/users/{owner_id}"):
                method = "PATCH" if path.startswith("/v3/") else "PUT"
                refused(manager.call(method, path, body), "DIS.4116", 403)
            refused(manager.call("DELETE", f"/v3/users/{owner_id}"), "DIS.4116", 403)

    def test_single_actions(self, iam: Iam, domain_id: str) -> None:
        user = iam.user()
        role = iam.policy({"Action": ["iam:users:list*"]}, kind="AX")
        iam.grant_account(iam.group("", user["id"]), role, domain_id)
        with iam.as_user(user) as manager:
            assert manager.get("/v3/users")["users"]
            refused(manager.call("POST", "/v3/users", {}), "DIS.4116", 403, naming="createUser")

    def test_the_log_says_who_changed_what_and_no_secret(self, iam: Iam, server: Server) -> None:
        user = iam.user(password="Not-for-the-log-1")
        notes = [note for note in server.events("identity changed") if note["by"] == server.user]
        assert {"method": "POST", "path": "/v3/users", "account": server.account}.items() <= notes[-1].items()
        iam.done("DELETE", f"/v3/users/{user['id']}")
        assert str(server.events("identity changed")[-1]["path"]).endswith(user["id"])
        assert "Not-for-the-log-1" not in server.stderr

    def test_users_see_themselves(self, iam: Iam) -> None:
        user = iam.user()
        group_id = iam.group("", user["id"])
        with iam.as_user(user) as mine:
            assert mine.get(f"/v3/users/{user['id']}")["user"]["name"] == user["name"]
            assert mine.get(f"/v3.0/OS-USER/users/{user['id']}")["user"]["id"] == user["id"]
            assert [g["id"] for g in mine.get(f"/v3/users/{user['id']}/groups")["groups"]] == [group_id]
            assert mine.get(f"/v3/users/{user['id']}/projects")["projects"]
            mine.done("HEAD", f"/v3/groups/{group_id}/users/{user['id']}")
            mine.done("PUT", f"/v3.0/OS-USER/users/{user['id']}/info", {"user": {"email": "me@example.com"}})
            body: Any = {"user": {"enabled": True}}
            refused(mine.call("PATCH", f"/v3/users/{user['id']}", body), "DIS.4116", 403)


class TestTokens:
    def test_revoked_at_once_and_for_good(self, iam: Iam, server: Server) -> None:
        user = iam.user()
        text, other = token(iam.endpoint, user, server.project_id), token(iam.endpoint, user)
        assert iam.call("GET", "/v3/auth/tokens", X_Subject_Token=text).status_code == 200
        assert iam.call("DELETE", "/v3/auth/tokens", X_Subject_Token=text).status_code == 204
        for _ in range(2):
            with Iam(iam.endpoint, text) as revoked:
                reply = revoked.call("GET", f"/v3/users/{user['id']}")
                assert reply.status_code == 401
                assert "revoked" in reply.text
            server.restart(kill=True)
        refused(iam.call("GET", "/v3/auth/tokens", X_Subject_Token=text), "IAM.0004", 404, naming="revoked")
        refused(iam.call("DELETE", "/v3/auth/tokens", X_Subject_Token=text), "IAM.0004", 404)
        assert iam.call("GET", "/v3/auth/tokens", X_Subject_Token=other).status_code == 200

    def test_what_was_made_from_it_ends_too(self, iam: Iam, server: Server) -> None:
        user = iam.user()
        first = token(iam.endpoint, user)
        body = {
            "auth": {
                "identity": {"methods": ["token"], "token": {"id": first}},
                "scope": {"project": {"id": server.project_id}},
            }
        }
        replies = [httpx.post(f"{iam.endpoint}/v3/auth/tokens", json=body, trust_env=False) for _ in "ab"]
        a, b = (reply.headers["X-Subject-Token"] for reply in replies)
        said = replies[0].json()["token"]
        assert len(said["audit_ids"]) == 2

        def holds(text: str) -> bool:
            status = iam.call("GET", "/v3/auth/tokens", X_Subject_Token=text).status_code
            assert iam.call("HEAD", "/v3/auth/tokens", X_Subject_Token=text).status_code == status
            return status == 200

        assert iam.call("DELETE", "/v3/auth/tokens", X_Subject_Token=a).status_code == 204
        assert (holds(first), holds(a), holds(b)) == (True, False, True)
        assert iam.call("DELETE", "/v3/auth/tokens", X_Subject_Token=first).status_code == 204
        assert (holds(first), holds(a), holds(b)) == (False, False, False)

    def test_without_a_subject(self, iam: Iam) -> None:
        for method in ("GET", "DELETE"):
            refused(iam.call(method, "/v3/auth/tokens"), "DIS.4300", 400, naming="X-Subject-Token")
        refused(iam.call("DELETE", "/v3/auth/tokens", X_Subject_Token="junk"), "IAM.0004", 404)

    def test_scopes_and_roles(self, iam: Iam, server: Server, domain_id: str) -> None:
        user = iam.user()
        group_id, role = iam.group("", user["id"]), iam.policy({"Action": ["dis:*:*"]}, name=unique("roles"))
        iam.grant(group_id, role, server.project_id)
        scoped = read(login(iam.endpoint, user, {"project": {"name": server.project}}), 201)["token"]
        assert [one["id"] for one in scoped["roles"]] == [role]
        assert scoped["project"]["id"] == server.project_id
        whole = read(login(iam.endpoint, user, {"domain": {"id": domain_id}}), 201)["token"]
        assert (whole["roles"], whole["domain"]["id"]) == ([], domain_id)
        assert "project" not in whole
        assert not {"roles", "catalog", "project", "domain"} & set(
            read(login(iam.endpoint, user), 201)["token"]
        )

    def test_domains(self, iam: Iam, server: Server, domain_id: str) -> None:
        for path in ("/v3/domains", "/v3/auth/domains"):
            (domain,) = iam.get(path)["domains"]
            assert (domain["id"], domain["name"], domain["enabled"]) == (domain_id, server.account, True)
            assert iam.get(f"{path}?name=other")["domains"] == []
        assert iam.get(f"/v3/domains/{domain_id}")["domain"] == domain
