"""The IAM API byte by byte: users, passwords, groups, projects, policies, grants, and what is refused how.

Shapes are those of the public client's models (clients.md 6; API reference 3.1, 6 and 7.3)."""

from __future__ import annotations

import httpx
import pytest
from tests.support.iam import PASSWORD, Iam, Json, login, read, refused, token, unique
from tests.support.server import Server

ALLOW_ALL = {"Effect": "Allow", "Action": ["dis:*:*"]}


class TestUsers:
    def test_create_show_list_update_delete(self, iam: Iam, domain_id: str) -> None:
        name = unique("anna")
        made = iam.user(name, description="An analyst", domain_id=domain_id, enabled=True)
        user_id = made["id"]
        assert made == {
            "pwd_status": False,
            "domain_id": domain_id,
            "last_project_id": "",
            "name": name,
            "description": "An analyst",
            "password_expires_at": "",
            "links": {"self": f"{iam.endpoint}/v3/users/{user_id}"},
            "id": user_id,
            "enabled": True,
            "pwd_strength": "high",
            "access_mode": "default",
        }
        shown = iam.get(f"/v3/users/{user_id}")["user"]
        assert shown["links"] == {
            "self": f"{iam.endpoint}/v3/users/{user_id}",
            "previous": None,
            "next": None,
        }
        assert {**shown, "links": 0} == {**made, "links": 0}
        listed = iam.get("/v3/users")
        assert shown in listed["users"]
        assert listed["links"]["self"] == f"{iam.endpoint}/v3/users"
        assert [user["id"] for user in iam.get(f"/v3/users?name={name}&enabled=true")["users"]] == [user_id]
        assert iam.get(f"/v3/users?name={name}&enabled=false")["users"] == []
        renamed = unique("anne")
        changed = read(
            iam.call("PATCH", f"/v3/users/{user_id}", {"user": {"name": renamed, "description": ""}})
        )
        assert (changed["user"]["name"], changed["user"]["description"]) == (renamed, "")
        iam.done("DELETE", f"/v3/users/{user_id}")
        refused(iam.call("GET", f"/v3/users/{user_id}"), "IAM.0004", 404, naming=user_id)
        refused(iam.call("DELETE", f"/v3/users/{user_id}"), "IAM.0004", 404)

    def test_the_other_dialect(self, iam: Iam, domain_id: str) -> None:
        """POST, GET, PUT /v3.0/OS-USER/users and .../info."""
        wanted = {
            "name": unique("bert"),
            "domain_id": domain_id,
            "password": PASSWORD,
            "email": "bert@example.com",
            "areacode": "0086",
            "phone": "13812345678",
            "access_mode": "programmatic",
            "pwd_status": False,
            "xuser_id": "x1",
            "xuser_type": "TenantIdp",
            "enabled": True,
            "description": "",
        }
        made = iam.post("/v3.0/OS-USER/users", {"user": wanted})["user"]
        for field in set(wanted) - {"password", "pwd_status"}:
            assert made[field] == wanted[field], field
        assert made["pwd_status"] is True
        assert made["is_domain_owner"] is False
        assert made["create_time"].startswith("20")
        url = f"/v3.0/OS-USER/users/{made['id']}"
        assert iam.get(url)["user"]["email"] == "bert@example.com"
        changed = read(iam.call("PUT", url, {"user": {"email": "b@example.com", "access_mode": "console"}}))
        assert (changed["user"]["email"], changed["user"]["access_mode"]) == ("b@example.com", "console")
        assert changed["user"]["phone"] == "13812345678"
        iam.done("PUT", f"{url}/info", {"user": {"email": "c@example.com", "mobile": "0049-170"}})
        shown = iam.get(url)["user"]
        assert (shown["email"], shown["areacode"], shown["phone"]) == ("c@example.com", "0049", "170")

    @pytest.mark.parametrize(
        ("field", "value", "code"),
        [
            ("name", "", "DIS.4200"),
            ("name", None, "DIS.4200"),
            ("name", 5, "DIS.4300"),
            ("name", "x" * 65, "DIS.4200"),
            ("name", "a\nb", "DIS.4200"),
            ("password", "short", "DIS.4200"),
            ("password", "x" * 1025, "DIS.4200"),
            ("password", "line\nbreak", "DIS.4200"),
            ("password", 7, "DIS.4300"),
            ("email", "nowhere", "DIS.4200"),
            ("phone", "123", "DIS.4200"),
            ("areacode", "0086", "DIS.4200"),
            ("access_mode", "both", "DIS.4300"),
            ("enabled", "yes", "DIS.4300"),
            ("description", "x" * 256, "DIS.4200"),
            ("xuser_id", "x", "DIS.4200"),
        ],
    )
    def test_bad_fields_are_named(self, iam: Iam, field: str, value: object, code: str) -> None:
        wanted = {"name": unique("bad"), "password": PASSWORD, field: value}
        reply = iam.call("POST", "/v3.0/OS-USER/users", {"user": wanted})
        refused(reply, code, 400, naming=field)

    def test_a_password_is_not_the_name(self, iam: Iam) -> None:
        for password in ("christopher", "rehpotsirhc"):
            wanted = {"name": "christopher", "password": password}
            refused(iam.call("POST", "/v3/users", {"user": wanted}), "DIS.4200", 400, naming="password")

    def test_null_and_empty_are_absent(self, iam: Iam) -> None:
        wanted = {
            "name": unique("nulls"),
            "password": None,
            "email": "",
            "phone": None,
            "areacode": "",
            "access_mode": "",
            "description": None,
            "domain_id": "",
            "unknown": 1,
        }
        made = iam.post("/v3.0/OS-USER/users", {"user": wanted})["user"]
        assert (made["email"], made["access_mode"], made["pwd_strength"]) == ("", "default", "")
        reply = login(iam.endpoint, made, password="")
        assert reply.status_code == 401

    def test_names_are_unique_in_the_account(self, iam: Iam) -> None:
        name = unique("twice")
        iam.user(name)
        other = iam.user()
        refused(iam.call("POST", "/v3/users", {"user": {"name": name}}), "IAM.0005", 409)
        reply = iam.call("PATCH", f"/v3/users/{other['id']}", {"user": {"name": name}})
        refused(reply, "IAM.0005", 409)

    def test_another_account_is_not_there(self, iam: Iam) -> None:
        wanted = {"name": unique("far"), "domain_id": "0" * 32}
        refused(iam.call("POST", "/v3/users", {"user": wanted}), "IAM.0004", 404, naming="domain")
        refused(iam.call("GET", f"/v3/users?domain_id={'0' * 32}"), "IAM.0004", 404)
        refused(iam.call("GET", f"/v3/domains/{'0' * 32}"), "IAM.0004", 404)

    def test_the_owner_stays(self, iam: Iam, owner_id: str, server: Server) -> None:
        url = f"/v3/users/{owner_id}"
        refused(iam.call("DELETE", url), "DIS.4200", 400, naming="owner")
        refused(iam.call("PATCH", url, {"user": {"enabled": False}}), "DIS.4200", 400, naming="owner")
        assert iam.get(f"/v3.0/OS-USER/users/{owner_id}")["user"]["is_domain_owner"] is True


class TestPasswords:
    def test_users_change_their_own(self, iam: Iam) -> None:
        user = iam.user()
        url = f"/v3/users/{user['id']}/password"
        with iam.as_user(user) as mine:
            wrong = {"user": {"password": "Another-horse-8", "original_password": "wrong"}}
            assert mine.call("POST", url, wrong).status_code == 401
            same = {"user": {"password": PASSWORD, "original_password": PASSWORD}}
            refused(mine.call("POST", url, same), "DIS.4200", 400, naming="password")
            right = {"user": {"password": "Another-horse-8", "original_password": PASSWORD}}
            mine.done("POST", url, right)
            # The token was made with the old password.
            assert mine.call("GET", f"/v3/users/{user['id']}").status_code == 401
        assert login(iam.endpoint, user).status_code == 401
        assert token(iam.endpoint, user, password="Another-horse-8")

    def test_nobody_changes_anothers_this_way(self, iam: Iam, owner_id: str) -> None:
        user = iam.user()
        body = {"user": {"password": "Another-horse-8", "original_password": PASSWORD}}
        refused(iam.call("POST", f"/v3/users/{user['id']}/password", body), "DIS.4116", 403)

    def test_a_reset_ends_tokens(self, iam: Iam) -> None:
        user = iam.user()
        with iam.as_user(user) as mine:
            assert mine.get(f"/v3/users/{user['id']}")
            reset = {"user": {"password": "Reset-horse-9"}}
            assert iam.call("PATCH", f"/v3/users/{user['id']}", reset).status_code == 200
            assert mine.call("GET", f"/v3/users/{user['id']}").status_code == 401
        assert token(iam.endpoint, user, password="Reset-horse-9")

    def test_tokens_of_the_disabled_never_come_back(self, iam: Iam) -> None:
        user = iam.user()
        url = f"/v3/users/{user['id']}"
        with iam.as_user(user) as mine:
            read(iam.call("PATCH", url, {"user": {"enabled": False}}))
            assert mine.call("GET", url).status_code == 401
            assert login(iam.endpoint, user).status_code == 401
            read(iam.call("PATCH", url, {"user": {"enabled": True}}))
            assert mine.call("GET", url).status_code == 401
        assert token(iam.endpoint, user)


class TestGroups:
    def test_create_show_list_update_delete(self, iam: Iam, domain_id: str) -> None:
        name = unique("team")
        made = iam.post("/v3/groups", {"group": {"name": name, "description": "d", "domain_id": domain_id}})
        group = made["group"]
        assert set(group) == {"description", "id", "domain_id", "name", "links", "create_time"}
        assert (group["name"], group["description"], group["domain_id"]) == (name, "d", domain_id)
        assert isinstance(group["create_time"], int)
        url = f"/v3/groups/{group['id']}"
        shown = iam.get(url)["group"]
        assert shown in iam.get("/v3/groups")["groups"]
        assert [one["id"] for one in iam.get(f"/v3/groups?name={name}")["groups"]] == [group["id"]]
        refused(iam.call("POST", "/v3/groups", {"group": {"name": name}}), "IAM.0005", 409)
        changed = read(iam.call("PATCH", url, {"group": {"description": "", "name": name + "2"}}))["group"]
        assert (changed["name"], changed["description"]) == (name + "2", "")
        iam.done("DELETE", url)
        refused(iam.call("GET", url), "IAM.0004", 404)

    @pytest.mark.parametrize(
        ("field", "value"), [("name", ""), ("name", "x" * 129), ("description", "x" * 256)]
    )
    def test_bad_fields_are_named(self, iam: Iam, field: str, value: str) -> None:
        wanted = {"name": unique("bad"), field: value}
        refused(iam.call("POST", "/v3/groups", {"group": wanted}), "DIS.4200", 400, naming=field)

    def test_membership(self, iam: Iam) -> None:
        user, group_id = iam.user(), iam.group()
        url = f"/v3/groups/{group_id}/users/{user['id']}"
        assert iam.call("HEAD", url).status_code == 404
        refused(iam.call("DELETE", url), "IAM.0004", 404)
        for _ in range(2):
            iam.done("PUT", url)
        iam.done("HEAD", url)
        assert [one["id"] for one in iam.get(f"/v3/groups/{group_id}/users")["users"]] == [user["id"]]
        assert [one["id"] for one in iam.get(f"/v3/users/{user['id']}/groups")["groups"]] == [group_id]
        iam.done("DELETE", url)
        assert iam.get(f"/v3/groups/{group_id}/users")["users"] == []
        for wrong in (f"/v3/groups/{group_id}/users/none", f"/v3/groups/none/users/{user['id']}"):
            refused(iam.call("PUT", wrong), "IAM.0004", 404, naming="none")

    def test_a_user_is_in_at_most_20(self, iam: Iam) -> None:
        user = iam.user()
        for _ in range(20):
            iam.group("", user["id"])
        group_id = iam.group()
        refused(iam.call("PUT", f"/v3/groups/{group_id}/users/{user['id']}"), "DIS.4308", 400)

    def test_head_leaves_the_connection_usable(self, iam: Iam) -> None:
        """A refusal of HEAD has no body: what follows on the connection would be taken for the next reply."""
        with Iam(iam.endpoint, iam.token) as one:
            for _ in range(3):
                assert one.call("HEAD", "/v3/groups/a/users/b").status_code == 404
                assert one.get("/v3")["version"]


class TestProjects:
    def test_create_show_list_update(self, iam: Iam, domain_id: str) -> None:
        name = unique("north")
        body = {"project": {"name": name, "description": "d", "parent_id": domain_id}}
        made = iam.post("/v3/projects", body)["project"]
        assert set(made) == {
            "domain_id",
            "is_domain",
            "parent_id",
            "name",
            "description",
            "links",
            "id",
            "enabled",
        }
        assert (made["name"], made["domain_id"], made["enabled"]) == (name, domain_id, True)
        url = f"/v3/projects/{made['id']}"
        assert iam.get(url)["project"]["description"] == "d"
        assert [one["id"] for one in iam.get(f"/v3/projects?name={name}")["projects"]] == [made["id"]]
        assert made["id"] in [one["id"] for one in iam.get("/v3/auth/projects")["projects"]]
        refused(iam.call("POST", "/v3/projects", body), "IAM.0005", 409)
        changed = read(iam.call("PATCH", url, {"project": {"name": name + "2", "description": ""}}))
        assert (changed["project"]["name"], changed["project"]["description"]) == (name + "2", "")
        refused(iam.call("GET", "/v3/projects/none"), "IAM.0004", 404)
        refused(iam.call("PATCH", "/v3/projects/none", {"project": {}}), "IAM.0004", 404)

    def test_pages(self, iam: Iam) -> None:
        for _ in range(3):
            iam.post("/v3/projects", {"project": {"name": unique("paged")}})
        everything = [one["id"] for one in iam.get("/v3/projects")["projects"]]
        pages = [
            [one["id"] for one in iam.get(f"/v3/projects?page={page}&per_page=2")["projects"]]
            for page in (1, 2)
        ]
        assert pages == [everything[:2], everything[2:4]]
        refused(iam.call("GET", "/v3/projects?per_page=301"), "DIS.4200", 400, naming="per_page")

    def test_a_suspended_project_takes_nobody(self, iam: Iam) -> None:
        made = iam.post("/v3/projects", {"project": {"name": unique("south")}})["project"]
        user = iam.user()
        url = f"/v3-ext/projects/{made['id']}"
        text = token(iam.endpoint, user, made["id"])
        iam.done("PUT", url, {"project": {"status": "suspended"}})
        assert iam.get(url)["project"]["status"] == "suspended"
        assert iam.get(f"/v3/projects/{made['id']}")["project"]["enabled"] is False
        streams = f"{iam.endpoint}/v2/{made['id']}/streams"
        assert httpx.get(streams, headers={"X-Auth-Token": text}, trust_env=False).status_code == 401
        assert login(iam.endpoint, user, {"project": {"id": made["id"]}}).status_code == 401
        assert made["id"] not in [one["id"] for one in iam.get("/v3/auth/projects")["projects"]]
        iam.done("PUT", url, {"project": {"status": "normal"}})
        assert token(iam.endpoint, user, made["id"])
        refused(iam.call("PUT", url, {"project": {"status": "gone"}}), "DIS.4300", 400, naming="status")

    def test_not_with_a_token_for_it(self, iam: Iam, server: Server) -> None:
        """The project of the token that asks."""
        suspended, disabled = {"project": {"status": "suspended"}}, {"project": {"enabled": False}}
        reply = iam.call("PUT", f"/v3-ext/projects/{server.project_id}", suspended)
        refused(reply, "DIS.4200", 400, naming="project.status")
        reply = iam.call("PATCH", f"/v3/projects/{server.project_id}", disabled)
        refused(reply, "DIS.4200", 400, naming="project.enabled")


class TestPolicies:
    def test_create_show_list_update_delete(self, iam: Iam, domain_id: str) -> None:
        name = unique("readers")
        document = {"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["dis:streams:get"]}]}
        role = {
            "display_name": name,
            "type": "XA",
            "policy": document,
            "description": "d",
            "description_cn": "说明",
        }
        made = iam.post("/v3.0/OS-ROLE/roles", {"role": role})["role"]
        assert {field: made[field] for field in role} == role
        assert made["catalog"] == "CUSTOMED"
        assert made["domain_id"] == domain_id
        url = f"/v3.0/OS-ROLE/roles/{made['id']}"
        shown = iam.get(url)["role"]
        assert (shown["references"], shown["policy"]) == (0, document)
        listed = iam.get("/v3.0/OS-ROLE/roles")
        assert listed["total_number"] == len(listed["roles"])
        assert made["id"] in [one["id"] for one in listed["roles"]]
        assert made["id"] in [one["id"] for one in iam.get(f"/v3/roles?domain_id={domain_id}")["roles"]]
        assert iam.get(f"/v3/roles/{made['id']}")["role"]["display_name"] == name
        refused(iam.call("POST", "/v3.0/OS-ROLE/roles", {"role": role}), "IAM.0005", 409)
        changed = {
            "display_name": name + "2",
            "type": "AX",
            "policy": {"Version": "1.1", "Statement": [ALLOW_ALL]},
        }
        after = read(iam.call("PATCH", url, {"role": changed}))["role"]
        assert {field: after[field] for field in changed} == changed
        assert iam.call("DELETE", url).status_code == 200
        refused(iam.call("GET", url), "IAM.0004", 404)
        refused(iam.call("PATCH", url, {"role": changed}), "IAM.0004", 404)

    @pytest.mark.parametrize(
        ("statement", "code", "naming"),
        [
            ({"Effect": "Maybe", "Action": ["dis:*:*"]}, "DIS.4200", "Effect"),
            ({"Action": ["dis:*:*"]}, "DIS.4200", "Effect"),
            ({"Effect": "Allow"}, "DIS.4200", "Action"),
            ({"Effect": "Allow", "Action": []}, "DIS.4200", "Action"),
            ({"Effect": "Allow", "Action": "dis:*:*"}, "DIS.4300", "Action"),
            ({"Effect": "Allow", "Action": ["dis:a b:c"]}, "DIS.4200", "Action"),
            ({"Effect": "Allow", "Action": ["a:b:c:d"]}, "DIS.4200", "Action"),
            ({"Effect": "Allow", "Action": ["dis:x:y"] * 101}, "DIS.4200", "Action"),
            ({**ALLOW_ALL, "Resource": ["dis:*:*:stream:one"]}, "DIS.4200", "Resource"),
            ({**ALLOW_ALL, "Resource": [1]}, "DIS.4300", "Resource"),
            ({**ALLOW_ALL, "Resource": {"uri": ["/other"]}}, "DIS.4200", "Resource"),
            (
                {**ALLOW_ALL, "Condition": {"DateLessThan": {"g:CurrentTime": ["x"]}}},
                "DIS.4200",
                "DateLessThan",
            ),
            (
                {**ALLOW_ALL, "Condition": {"StringEquals": {"g:SourceIp": ["10.0.0.1"]}}},
                "DIS.4200",
                "g:SourceIp",
            ),
            ({**ALLOW_ALL, "Condition": {"StringEquals": {"g:UserName": []}}}, "DIS.4200", "g:UserName"),
            ({**ALLOW_ALL, "Condition": []}, "DIS.4300", "Condition"),
        ],
    )
    def test_what_cannot_be_evaluated_is_refused(
        self, iam: Iam, statement: Json, code: str, naming: str
    ) -> None:
        document = {"Version": "1.1", "Statement": [ALLOW_ALL, statement]}
        role = {"display_name": unique("bad"), "type": "XA", "policy": document}
        refused(iam.call("POST", "/v3.0/OS-ROLE/roles", {"role": role}), code, 400, naming=naming)

    @pytest.mark.parametrize(
        ("change", "naming"),
        [
            ({"policy": {"Version": "5.0", "Statement": [ALLOW_ALL]}}, "Version"),
            ({"policy": {"Version": "1.1", "Statement": []}}, "Statement"),
            ({"policy": {"Version": "1.1", "Statement": [ALLOW_ALL] * 9}}, "Statement"),
            ({"policy": {"Version": "1.1", "Statement": [ALLOW_ALL], "x": "y" * 6144}}, "6144"),
            ({"policy": None}, "policy"),
            ({"display_name": ""}, "display_name"),
            ({"description": "x" * 257}, "description"),
        ],
    )
    def test_limits(self, iam: Iam, change: Json, naming: str) -> None:
        role: Json = {"display_name": unique("bad"), "type": "XA", "policy": {"Version": "1.1"}}
        role["policy"]["Statement"] = [ALLOW_ALL]
        reply = iam.call("POST", "/v3.0/OS-ROLE/roles", {"role": role | change})
        refused(reply, "DIS.4200", 400, naming=naming)

    def test_system_defined_ones(self, iam: Iam) -> None:
        """Table 6-1's note names four."""
        listed = iam.get("/v3/roles")
        names = {role["display_name"] for role in listed["roles"]}
        assert {"DIS User", "DIS ReadOnlyAccess", "DIS CommonOperations", "DIS FullAccess"} <= names
        assert listed["total_number"] == len(listed["roles"])
        assert {role["catalog"] for role in iam.get("/v3/roles?catalog=DIS")["roles"]} == {"DIS"}
        found = iam.get("/v3/roles?display_name=DIS%20FullAccess")["roles"]
        assert [role["policy"]["Statement"] for role in found] == [[ALLOW_ALL]]
        assert all(role["type"] in ("AX", "AA") for role in iam.get("/v3/roles?type=domain")["roles"])
        assert iam.get(f"/v3/roles/{found[0]['id']}")["role"]["display_name"] == "DIS FullAccess"
        refused(iam.call("DELETE", f"/v3.0/OS-ROLE/roles/{found[0]['id']}"), "IAM.0004", 404)


class TestGrants:
    PATHS = (
        "/v3/projects/{project}/groups/{group}/roles",
        "/v3/domains/{domain}/groups/{group}/roles",
        "/v3/projects/{project}/users/{user}/roles",
        "/v3/domains/{domain}/users/{user}/roles",
        "/v3.0/OS-PERMISSION/enterprise-projects/eps1/groups/{group}/roles",
        "/v3.0/OS-PERMISSION/enterprise-projects/eps1/users/{user}/roles",
    )

    @pytest.mark.parametrize("path", PATHS)
    def test_put_head_get_delete(self, iam: Iam, server: Server, domain_id: str, path: str) -> None:
        user = iam.user()
        names = {
            "project": server.project_id,
            "domain": domain_id,
            "group": iam.group(),
            "user": user["id"],
        }
        self._walk(iam, path.format(**names), path.format(**names) + "/{role}")

    def test_inherited(self, iam: Iam, domain_id: str) -> None:
        base = f"/v3/OS-INHERIT/domains/{domain_id}/groups/{iam.group()}/roles"
        self._walk(iam, base + "/inherited_to_projects", base + "/{role}/inherited_to_projects")

    def _walk(self, iam: Iam, listed: str, path: str) -> None:
        custom, system = iam.policy({"Action": ["dis:streams:get"]}), iam.system("DIS User")
        assert iam.get(listed)["roles"] == []
        for role in (custom, system):
            url = path.format(role=role)
            assert iam.call("HEAD", url).status_code == 404
            refused(iam.call("DELETE", url), "IAM.0004", 404)
            for _ in range(2):
                iam.done("PUT", url)
            iam.done("HEAD", url)
        roles = iam.get(listed)["roles"]
        assert {role["id"] for role in roles} == {custom, system}
        assert all(role["policy"]["Statement"] for role in roles)
        iam.done("DELETE", path.format(role=custom))
        assert [role["id"] for role in iam.get(listed)["roles"]] == [system]
        refused(iam.call("PUT", path.format(role="none")), "IAM.0004", 404, naming="none")

    def test_what_is_not_the_accounts(self, iam: Iam, server: Server) -> None:
        role, group_id = iam.system("DIS User"), iam.group()
        for url in (
            f"/v3/projects/none/groups/{group_id}/roles/{role}",
            f"/v3/projects/{server.project_id}/groups/none/roles/{role}",
            f"/v3/domains/none/groups/{group_id}/roles/{role}",
            f"/v3.0/OS-PERMISSION/enterprise-projects/eps1/users/none/roles/{role}",
        ):
            refused(iam.call("PUT", url), "IAM.0004", 404, naming="none")
        url = f"/v3.0/OS-PERMISSION/enterprise-projects/a%20b/groups/{group_id}/roles/{role}"
        refused(iam.call("PUT", url), "DIS.4200", 400, naming="enterprise_project_id")

    def test_enterprise_projects_of_groups_and_users(self, iam: Iam) -> None:
        user, group_id, role = iam.user(), iam.group(), iam.system("DIS User")
        base = "/v3.0/OS-PERMISSION/enterprise-projects/eps7"
        iam.done("PUT", f"{base}/groups/{group_id}/roles/{role}")
        iam.done("PUT", f"{base}/users/{user['id']}/roles/{role}")
        assert [one["id"] for one in iam.get(f"{base}/groups")["groups"]] == [group_id]
        assert [(one["id"], one["policy_num"]) for one in iam.get(f"{base}/users")["users"]] == [
            (user["id"], 1)
        ]
        for whose in (f"groups/{group_id}", f"users/{user['id']}"):
            found = iam.get(f"/v3.0/OS-PERMISSION/{whose}/enterprise-projects")
            assert found == {"enterprise-projects": [{"projectId": "eps7"}]}

    def test_assignments(self, iam: Iam, server: Server, domain_id: str) -> None:
        user = iam.user()
        group_id, role = iam.group("", user["id"]), iam.policy({"Action": ["dis:*:*"]})
        iam.grant(group_id, role, server.project_id)
        iam.done(
            "PUT", f"/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role}/inherited_to_projects"
        )
        iam.done("PUT", f"/v3.0/OS-PERMISSION/enterprise-projects/eps8/users/{user['id']}/roles/{role}")
        base = f"/v3.0/OS-PERMISSION/role-assignments?domain_id={domain_id}&role_id={role}"
        assert iam.get(base)["total_num"] == 3
        (project,) = iam.get(f"{base}&scope=project")["role_assignments"]
        assert project == {
            "role": {"id": role},
            "group": {"id": group_id},
            "scope": {"project": {"id": server.project_id}},
            "is_inherited": False,
        }
        for query, count in (
            (f"subject.group_id={group_id}", 2),
            (f"subject.user_id={user['id']}", 3),
            (f"subject.user_id={user['id']}&include_group=false", 1),
            ("subject=user", 1),
            ("scope=domain", 1),
            (f"scope.project_id={server.project_id}", 1),
            (f"scope.domain_id={domain_id}", 1),
            ("scope.enterprise_projects_id=eps8", 1),
            ("is_inherited=true", 1),
            ("page=2&per_page=2", 1),
        ):
            found = iam.get(f"{base}&{query}")["role_assignments"]
            assert len(found) == count, (query, found)
        refused(iam.call("GET", f"{base}&scope=planet"), "DIS.4200", 400, naming="scope")
        keystone = iam.get(f"/v3/role_assignments?group.id={group_id}&scope.project.id={server.project_id}")
        assert [one["role"]["id"] for one in keystone["role_assignments"]] == [role]

    def test_what_goes_away_takes_its_grants_along(self, iam: Iam, server: Server) -> None:
        group_id, role = iam.group(), iam.policy({"Action": ["dis:*:*"]})
        iam.grant(group_id, role, server.project_id)
        assert iam.get(f"/v3.0/OS-ROLE/roles/{role}")["role"]["references"] == 1
        iam.done("DELETE", f"/v3/groups/{group_id}")
        assert iam.get(f"/v3.0/OS-ROLE/roles/{role}")["role"]["references"] == 0
