"""Table 6-1 enforced: every row's request, for users whom nothing, exactly it, or everything but it is allowed; deny over allow,
wildcards, system-defined policies, enterprise projects, accounts apart."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest
from tests.support.accounts import Login, add_users
from tests.support.iam import Iam, Json, token, unique
from tests.support.isolation import Victim, attempt, with_key, with_token
from tests.support.server import Server
from tests.support.wire import Wire, b64, done, error_body, ok, refused

TABLE: tuple[tuple[str, str, str, object], ...] = (
    # Action, method, path after the project with {stream} for one, body.
    ("dis:apps:create", "POST", "/apps", {"app_name": "table"}),
    ("dis:apps:list", "GET", "/apps", None),
    ("dis:apps:get", "GET", "/apps/table", None),
    ("dis:AppState:get", "GET", "/apps/table/streams/{stream}?checkpoint_type=LAST_READ", None),
    ("dis:apps:delete", "DELETE", "/apps/none", None),
    ("dis:events:list", "GET", "v1/events", None),
    ("dis:eventEnumSubs:create", "POST", "v1/event-subs", {}),
    ("dis:eventEnumSubs:list", "GET", "v1/event-subs", None),
    ("dis:eventEnumSubs:update", "PUT", "v1/event-subs/none", {}),
    ("dis:eventEnumSubs:delete", "DELETE", "v1/event-subs/none", None),
    ("dis:streamPolicies:create", "POST", "/streams/{stream}/policies", {}),
    ("dis:streamPolicies:list", "GET", "/streams/{stream}/policies", None),
    ("dis:streamPolicies:delete", "DELETE", "/streams/{stream}/policies", {}),
    ("dis:streams:get", "GET", "/streams/{stream}", None),
    ("dis:streams:create", "POST", "/streams", {"stream_name": "a b", "partition_count": 1}),
    ("dis:streams:list", "GET", "/streams", None),
    ("dis:streams:update", "PUT", "/streams/{stream}/update", {}),
    ("dis:streams:update", "PUT", "/streams/{stream}", {}),
    ("dis:streams:delete", "DELETE", "/streams/none", None),
    ("dis:transferTasks:create", "POST", "/streams/{stream}/transfer-tasks", {}),
    ("dis:transferTasks:update", "PUT", "/streams/{stream}/transfer-tasks", {}),
    ("dis:transferTasks:list", "GET", "/streams/{stream}/transfer-tasks", None),
    ("dis:transferTasks:get", "GET", "/streams/{stream}/transfer-tasks/none", None),
    ("dis:transferTasks:delete", "DELETE", "/streams/{stream}/transfer-tasks/none", None),
    ("dis:records:write", "POST", "/records", {"stream_name": "{stream}", "records": [{"data": "YQ=="}]}),
    ("dis:records:readCursor", "GET", "/cursors?stream-name={stream}&partition-id=0", None),
    ("dis:records:read", "GET", "/records?partition-cursor={cursor}", None),
    (
        "dis:checkpoints:commit",
        "POST",
        "/checkpoints",
        {
            "app_name": "table",
            "stream_name": "{stream}",
            "partition_id": "0",
            "sequence_number": "0",
            "checkpoint_type": "LAST_READ",
        },
    ),
    (
        "dis:checkpoints:get",
        "GET",
        "/checkpoints?app_name=table&stream_name={stream}&partition_id=0&checkpoint_type=LAST_READ",
        None,
    ),
    (
        "dis:checkpoints:delete",
        "DELETE",
        "/checkpoints?app_name=table&stream_name={stream}&partition_id=0&checkpoint_type=LAST_READ",
        None,
    ),
    ("dis:tagResources:list", "POST", "/stream/resource_instances/action", {"action": "count"}),
    ("dis:tagResources:update", "POST", "/stream/{stream_id}/tags/action", {}),
    ("dis:tagResources:create", "POST", "/stream/{stream_id}/tags", {}),
    ("dis:tagResources:delete", "DELETE", "/stream/{stream_id}/tags/none", None),
    ("dis:tags:list", "GET", "/stream/tags", None),
)
UNLISTED = (("GET", "/quotas"), ("GET", "v1/statistics"))
"""What the note below the table leaves to system-defined policies."""
ACTIONS = sorted({action for action, *_ in TABLE})


class Place(NamedTuple):
    """Where the table's requests go: as the user, with the policy that is all the user has."""

    iam: Iam
    user: Wire
    user_id: str
    policy_id: str
    group_id: str
    stream: str
    stream_id: str
    cursor: str

    def say(self, *statements: Json) -> None:
        """The user's policy says this from now on."""
        document = {"Version": "1.1", "Statement": list(statements)}
        role = {"display_name": "the-policy", "type": "XA", "policy": document}
        reply = self.iam.call("PATCH", f"/v3.0/OS-ROLE/roles/{self.policy_id}", {"role": role})
        assert reply.status_code == 200, reply.text

    def allow(self, *actions: str) -> None:
        self.say({"Effect": "Allow", "Action": list(actions)})

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        version, path = ("v1", path[2:]) if path.startswith("v1") else ("v2", path)
        path, _, query = path.partition("?")
        names = {"{stream}": self.stream, "{stream_id}": self.stream_id, "{cursor}": self.cursor}
        for name, value in names.items():
            path, query = path.replace(name, value), query.replace(name, value)
        if isinstance(body, dict):
            body = {
                key: names.get(value, value) if isinstance(value, str) else value
                for key, value in body.items()
            }
        return self.user.call(method, path, query, body=body, version=version)

    def refused(self) -> list[str]:
        """Actions of the table whose requests are refused, each named by its refusal."""
        found = []
        for action, method, path, body in TABLE:
            reply = self.ask(method, path, body)
            if reply.status_code == 403:
                message = error_body(reply.headers["content-type"], reply.content, "DIS.4116")
                assert message == f"Invalid RBAC. [{action}]", (method, path)
                found.append(action)
            else:
                assert reply.status_code < 500, (method, path, reply.text)
                assert reply.json().get("errorCode") != "APIGW.0101" if reply.content else True, path
        return found


@pytest.fixture(scope="module")
def logins(server: Server) -> list[Login]:
    """Made while the server does not run: a user without permissions, one who may do what DIS User may, a stranger."""
    server.terminate()
    made = add_users(server.data, server.account, "clerk", "writer", granted=["writer"])
    made += add_users(server.data, "stranger", "owner")
    server.start()
    return made


@pytest.fixture(scope="module")
def users(logins: list[Login]) -> list[Login]:
    return logins[:2]


@pytest.fixture(scope="module")
def stranger(logins: list[Login]) -> Login:
    return logins[2]


@pytest.fixture(scope="module")
def place(logins: list[Login], server: Server, wire: Wire) -> Iterator[Place]:
    stream = unique("guarded")
    done(wire.create(stream), 201)
    wire.put_data(stream, b"one")
    done(wire.call("POST", "/apps", body={"app_name": "table"}), 201)
    cursor = wire.cursor(stream, cursor_type="TRIM_HORIZON")
    with Iam.owner(server) as iam:
        user = iam.user()
        group_id = iam.group("", user["id"])
        policy_id = iam.policy({"Action": ["none:none:none"]}, name="the-policy")
        iam.grant(group_id, policy_id, server.project_id)
        with iam.wire(user, server.project_id) as client:
            stream_id = ok(wire.describe(stream))["stream_id"]
            yield Place(iam, client, user["id"], policy_id, group_id, stream, stream_id, cursor)
    wire.delete(stream)


class TestTable:
    def test_without_permissions_nothing_is_allowed(self, place: Place) -> None:
        place.allow("none:none:none")
        assert place.refused() == [action for action, *_ in TABLE]

    def test_everything_but_one(self, place: Place) -> None:
        """Deny wins, and takes effect with the very next request."""
        place.allow("dis:*:*")
        assert place.refused() == []
        for action in ACTIONS:
            place.say(
                {"Effect": "Deny", "Action": [action]},
                {"Effect": "Allow", "Action": ["dis:*:*"]},
            )
            assert set(place.refused()) == {action}

    def test_exactly_one(self, place: Place) -> None:
        for action in ACTIONS:
            place.allow(action)
            assert set(ACTIONS) - set(place.refused()) == {action}

    @pytest.mark.parametrize(
        ("pattern", "allowed"),
        [
            ("dis:*", lambda action: True),
            ("DIS:Streams:*", lambda action: action.startswith("dis:streams:")),
            ("dis:*:get*", lambda action: action.rpartition(":")[2].startswith("get")),
            ("dis:*:list", lambda action: action.endswith(":list")),
            ("dis:stream*:*", lambda action: action.startswith("dis:stream")),
            ("*:records:*", lambda action: ":records:" in action),
            ("*", lambda action: True),
            ("dis:records", lambda action: False),
            ("obs:*:*", lambda action: False),
            ("dis:strea:get", lambda action: False),
        ],
    )
    def test_wildcards(self, place: Place, pattern: str, allowed: object) -> None:
        place.allow(pattern)
        assert callable(allowed)
        assert set(place.refused()) == {action for action in ACTIONS if not allowed(action)}

    def test_the_owner_may_everything(self, place: Place, wire: Wire) -> None:
        """ "An account has all of the permissions"."""
        as_owner = place._replace(user=wire)
        assert as_owner.refused() == []


class TestSystemPolicies:
    READ = frozenset(a for a in ACTIONS if a.rpartition(":")[2] in ("get", "list"))
    DATA = frozenset(a for a in ACTIONS if a.split(":")[1] in ("records", "checkpoints", "apps"))

    @pytest.mark.parametrize(
        ("name", "allowed"),
        [
            ("DIS FullAccess", frozenset(ACTIONS)),
            ("DIS Administrator", frozenset(ACTIONS)),
            ("DIS ReadOnlyAccess", READ),
            ("DIS User", READ | DATA),
            (
                "DIS CommonOperations",
                READ | DATA | {a for a in ACTIONS if a.split(":")[1] in ("tagResources", "eventEnumSubs")},
            ),
            (
                "DIS Operator",
                frozenset(a for a in ACTIONS if a.split(":")[1] not in ("records", "checkpoints")) | READ,
            ),
            ("Tenant Administrator", frozenset(ACTIONS)),
            ("Tenant Guest", READ),
            ("Security Administrator", frozenset()),
        ],
    )
    def test_what_each_allows(self, place: Place, server: Server, name: str, allowed: frozenset[str]) -> None:
        place.allow("none:none:none")
        role = place.iam.system(name)
        url = f"/v3/projects/{server.project_id}/groups/{place.group_id}/roles/{role}"
        place.iam.done("PUT", url)
        try:
            assert set(ACTIONS) - set(place.refused()) == allowed
            for method, path in UNLISTED:
                expected = 403 if name == "Security Administrator" else 200
                assert place.ask(method, path).status_code == expected, path
        finally:
            place.iam.done("DELETE", url)

    def test_what_the_table_leaves_out(self, place: Place) -> None:
        """Quotas and statistics: a system-defined policy, or a wildcard over the service."""
        place.allow(*ACTIONS)
        for method, path in UNLISTED:
            refused(place.ask(method, path), "DIS.4116", status=403)


class TestWhere:
    """Grants hold in their project, in all projects, or in an enterprise project."""

    @pytest.fixture
    def other(self, place: Place) -> str:
        made = place.iam.post("/v3/projects", {"project": {"name": unique("other")}})["project"]
        return str(made["id"])

    def lists(self, place: Place, user: Json, project_id: str) -> bool:
        with place.iam.wire(user, project_id) as client:
            reply = client.call("GET", "/streams")
            if reply.status_code == 403:
                refused(reply, "DIS.4116", status=403, naming="dis:streams:list")
            return reply.status_code == 200

    def test_of_a_project(self, place: Place, server: Server, other: str) -> None:
        user = place.iam.user()
        group_id = place.iam.group("", user["id"])
        place.iam.grant(group_id, place.iam.system("DIS FullAccess"), other)
        assert self.lists(place, user, other)
        assert not self.lists(place, user, server.project_id)

    def test_of_all_projects(self, place: Place, server: Server, other: str) -> None:
        user = place.iam.user()
        group_id, role = place.iam.group("", user["id"]), place.iam.system("DIS FullAccess")
        domain_id = user["domain_id"]
        place.iam.grant_account(group_id, role, domain_id)
        assert not self.lists(place, user, other)  # the account is what belongs to no project
        url = f"/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role}/inherited_to_projects"
        place.iam.done("PUT", url)
        assert self.lists(place, user, other)
        assert self.lists(place, user, server.project_id)
        place.iam.done("DELETE", url)
        assert not self.lists(place, user, other)

    def test_membership_counts_at_once(self, place: Place, server: Server) -> None:
        user = place.iam.user()
        group_id = place.iam.group()
        place.iam.grant(group_id, place.iam.system("DIS FullAccess"), server.project_id)
        url = f"/v3/groups/{group_id}/users/{user['id']}"
        with place.iam.wire(user, server.project_id) as client:
            for _ in range(3):
                assert client.call("GET", "/streams").status_code == 403
                place.iam.done("PUT", url)
                assert client.call("GET", "/streams").status_code == 200
                place.iam.done("DELETE", url)
            assert client.call("GET", "/streams").status_code == 403

    def test_deny_in_one_group_over_allow_in_another(self, place: Place, server: Server) -> None:
        user = place.iam.user()
        for statement in (
            {"Action": ["dis:*:*"]},
            {"Effect": "Deny", "Action": ["dis:streams:list"]},
        ):
            group_id = place.iam.group("", user["id"])
            place.iam.grant(group_id, place.iam.policy(statement), server.project_id)
        with place.iam.wire(user, server.project_id) as client:
            refused(client.call("GET", "/streams"), "DIS.4116", status=403, naming="dis:streams:list")
            assert client.call("GET", "/apps").status_code == 200

    def test_conditions(self, place: Place, server: Server) -> None:
        lucky, other = place.iam.user(), place.iam.user()
        group_id = place.iam.group("", lucky["id"], other["id"])
        condition = {"StringEquals": {"g:UserName": [lucky["name"]]}}
        role = place.iam.policy({"Action": ["dis:*:*"], "Condition": condition})
        place.iam.grant(group_id, role, server.project_id)
        assert self.lists(place, lucky, server.project_id)
        assert not self.lists(place, other, server.project_id)

    def test_enterprise_projects(self, place: Place, server: Server, wire: Wire) -> None:
        """Rows with a check mark in the last column: a grant in the stream's enterprise project allows them."""
        eps, tag = str(uuid.uuid4()), "_sys_enterprise_project_id"
        inside, outside, made = unique("inside"), unique("outside"), unique("made")
        done(wire.create(inside, sys_tags=[{"key": tag, "value": eps}]), 201)
        done(wire.create(outside), 201)
        user = place.iam.user()
        group_id, role = place.iam.group("", user["id"]), place.iam.system("DIS FullAccess")
        place.iam.done("PUT", f"/v3.0/OS-PERMISSION/enterprise-projects/{eps}/groups/{group_id}/roles/{role}")
        with place.iam.wire(user, server.project_id) as client:
            assert ok(client.describe(inside))["stream_name"] == inside
            client.put_data(inside, b"a")
            assert [record.data for record in client.read_all(inside)] == [b"a"]
            commit = {
                "app_name": "table",
                "stream_name": inside,
                "partition_id": "0",
                "sequence_number": "0",
                "checkpoint_type": "LAST_READ",
            }
            done(client.call("POST", "/checkpoints", body=commit), 201)
            refused(client.describe(outside), "DIS.4116", status=403, naming="dis:streams:get")
            refused(client.put(outside, [{"data": b64(b"a")}]), "DIS.4116", status=403, naming="write")
            refused(client.cursor_reply(outside), "DIS.4116", status=403, naming="readCursor")
            commit["stream_name"] = outside
            refused(client.call("POST", "/checkpoints", body=commit), "DIS.4116", status=403, naming="commit")
            # Without a check mark there: only the project counts.
            refused(client.call("GET", "/streams"), "DIS.4116", status=403, naming="dis:streams:list")
            refused(client.call("GET", "/apps"), "DIS.4116", status=403, naming="dis:apps:list")
            refused(client.create(made), "DIS.4116", status=403, naming="dis:streams:create")
            done(client.create(made, sys_tags=[{"key": tag, "value": eps}]), 201)
            done(client.delete(made), 204)
            refused(client.describe(unique("no")), "DIS.4301", status=404)
        for name in (inside, outside):
            wire.delete(name)

    def test_a_user_in_an_enterprise_project(self, place: Place, server: Server, wire: Wire) -> None:
        user, role = place.iam.user(), place.iam.system("DIS ReadOnlyAccess")
        base = f"/v3.0/OS-PERMISSION/enterprise-projects/0/users/{user['id']}/roles/{role}"
        with place.iam.wire(user, server.project_id) as client:
            assert client.describe(place.stream).status_code == 403
            place.iam.done("PUT", base)
            assert client.describe(place.stream).status_code == 200
            refused(client.put(place.stream, [{"data": b64(b"a")}]), "DIS.4116", status=403)


class TestSignatures:
    def test_a_key_stands_for_its_user(self, place: Place, users: list[Login], server: Server) -> None:
        """Not for the account: it has the user's rights only."""
        clerk, writer = users
        for login, expected in ((clerk, 403), (writer, 200)):
            with httpx.Client(trust_env=False) as client:
                send = with_key(client, server.endpoint, login.ak, login.sk)
                reply = send("GET", f"/v2/{server.project_id}/streams", b"")
                assert reply.status_code == expected, reply.text

    def test_disabled_and_deleted_users_sign_nothing(
        self, place: Place, users: list[Login], server: Server
    ) -> None:
        _, writer = users
        path, url = f"/v2/{server.project_id}/streams", f"/v3/users/{writer.user_id}"
        with httpx.Client(trust_env=False) as client:
            send = with_key(client, server.endpoint, writer.ak, writer.sk)
            assert send("GET", path, b"").status_code == 200
            for enabled, expected in ((False, 401), (True, 200)):
                reply = place.iam.call("PATCH", url, {"user": {"enabled": enabled}})
                assert reply.status_code == 200, reply.text
                assert send("GET", path, b"").status_code == expected
            place.iam.done("DELETE", url)
            assert send("GET", path, b"").status_code == 401


class TestAccountsApart:
    """R14: nothing of another account, or of a project without a grant, can be reached. `python -m tests.support.isolation
    100000` is the long run."""

    TRIES = 1000

    @pytest.fixture
    def victim(self, place: Place, server: Server) -> Victim:
        domain = place.iam.get("/v3/auth/domains")["domains"][0]
        owner = place.iam.get(f"/v3/users?name={server.user}")["users"][0]
        return Victim(
            server.project_id, place.stream, place.stream_id, place.cursor, domain["id"], owner["id"]
        )

    def test_across_accounts(
        self, server: Server, wire: Wire, place: Place, stranger: Login, victim: Victim
    ) -> None:
        chooser = random.Random(7)
        with httpx.Client(trust_env=False, timeout=30) as client:
            ways = (
                with_token(client, server.endpoint, stranger.token(server)),
                with_key(client, server.endpoint, stranger.ak, stranger.sk),
            )
            for _ in range(self.TRIES):
                tried, problem = attempt(chooser, chooser.choice(ways), stranger.project_id, victim)
                assert not problem, tried
        assert [record.data for record in wire.read_all(place.stream)][:1] == [b"one"]

    def test_across_projects_of_one_account(
        self, server: Server, wire: Wire, place: Place, victim: Victim
    ) -> None:
        """A user with every permission in another project."""
        own = str(place.iam.post("/v3/projects", {"project": {"name": unique("own")}})["project"]["id"])
        user = place.iam.user()
        place.iam.grant(place.iam.group("", user["id"]), place.iam.system("DIS FullAccess"), own)
        chooser, victim = random.Random(8), victim._replace(domain_id="none", user_id="none")
        with httpx.Client(trust_env=False, timeout=30) as client:
            send = with_token(client, server.endpoint, token(server.endpoint, user, own))
            for _ in range(self.TRIES):
                tried, problem = attempt(chooser, send, own, victim)
                assert not problem, tried
        assert [record.data for record in wire.read_all(place.stream)][:1] == [b"one"]
