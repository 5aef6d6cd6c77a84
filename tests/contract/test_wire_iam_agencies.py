"""Two accounts on one server: agencies from one to the other (/v3.0/OS-AGENCY, tokens and temporary keys by assume_role), a
stream shared between them (5.1.7), and everything else of the other account not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.controls import ON, advance
from tests.support.iam import PASSWORD, Iam, Json, read, refused, token, unique
from tests.support.iam_keys import Account, Key, make_account
from tests.support.server import Server
from tests.support.wire import Wire, b64, done, ok
from tests.support.wire import refused as wire_refused

AGENCIES = "/v3.0/OS-AGENCY/agencies"
ACCOUNTS = "/v3.0/OS-ACCOUNT/accounts"
LENT = "/v3.0/OS-CREDENTIAL/securitytokens"


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("agencies") / "data", "--workers", str(request.param)) as started:
        yield started


@pytest.fixture(scope="module")
def other(iam: Iam) -> Iterator[Account]:
    """Another account: the one that is trusted."""
    made = make_account(iam, unique("partner"))
    with made.iam, made.wire:
        yield made


@pytest.fixture(scope="module")
def taker(other: Account) -> Iterator[Iam]:
    """A user of the other account who may take agencies over."""
    user = other.iam.user()
    role = other.iam.system("Agent Operator")
    other.iam.grant_account(other.iam.group("", user["id"]), role, other.domain_id)
    with other.iam.as_user(user) as one:
        yield one


def make_agency(iam: Iam, domain_id: str, trusted: str, **fields: object) -> Json:
    body = {"name": unique("agency"), "domain_id": domain_id, "trust_domain_name": trusted} | fields
    made: Json = iam.post(AGENCIES, {"agency": body})["agency"]
    return made


def granted(iam: Iam, agency: Json, server: Server, name: str = "DIS FullAccess") -> Json:
    """The agency, with a policy in the project."""
    url = f"/v3.0/OS-AGENCY/projects/{server.project_id}/agencies/{agency['id']}/roles/{iam.system(name)}"
    iam.done("PUT", url)
    return agency


def take(
    iam: Iam, agency: str, domain: Json, scope: object = None, path: str = "/v3/auth/tokens", **more: object
) -> httpx.Response:
    identity = {"methods": ["assume_role"], "assume_role": {"agency_name": agency} | domain} | more
    auth: Json = {"identity": identity}
    if scope is not None:
        auth["scope"] = scope
    return iam.call("POST", path, {"auth": auth})


def taken(iam: Iam, agency: Json, server: Server) -> Wire:
    """A client of the project's streams in the name of an agency."""
    domain, scope = {"domain_id": agency["domain_id"]}, {"project": {"id": server.project_id}}
    reply = take(iam, agency["name"], domain, scope)
    assert reply.status_code == 201, reply.text
    return Wire(iam.endpoint, server.project_id, reply.headers["X-Subject-Token"])


def streams(wire: Wire) -> httpx.Response:
    return wire.call("GET", "/streams")


class TestAccounts:
    def test_the_operator_makes_and_lists_them(self, iam: Iam, server: Server, other: Account) -> None:
        listed = {one["name"]: one for one in iam.get(ACCOUNTS)["accounts"]}
        assert {server.account, other.name} <= set(listed)
        assert listed[other.name]["owner"] == {"id": other.owner["id"], "name": "boss"}
        assert ok(streams(other.wire))["stream_info_list"] == []
        signed = other.key.call(server.endpoint, "GET", f"/v2/{other.project_id}/streams")
        assert signed.status_code == 200
        body = {"account": {"name": other.name, "owner": {"name": "x"}}}
        refused(iam.call("POST", ACCOUNTS, body), "IAM.0005", 409)

    def test_with_a_password_and_a_project(self, iam: Iam) -> None:
        name = unique("given")
        body = {
            "account": {
                "name": name,
                "owner": {"name": "eve", "password": PASSWORD},
                "project": {"name": "eu"},
            }
        }
        made = iam.post(ACCOUNTS, body)["account"]
        assert set(made["owner"]) == {"id", "name"}
        assert made["project"]["name"] == "eu"
        assert token(iam.endpoint, {"name": "eve", "domain": {"name": name}}, made["project"]["id"])

    @pytest.mark.parametrize(
        ("account", "code", "naming"),
        [
            ({}, "DIS.4200", "name"),
            ({"name": "x"}, "DIS.4200", "owner"),
            ({"name": "", "owner": {"name": "o"}}, "DIS.4200", "account.name"),
            ({"name": "y" * 65, "owner": {"name": "o"}}, "DIS.4200", "account.name"),
            ({"name": "z", "owner": {"name": ""}}, "DIS.4200", "owner.name"),
            ({"name": "z", "owner": {"name": "o", "password": "x"}}, "DIS.4200", "password"),
            ({"name": "z", "owner": {"name": "o"}, "project": {"name": ""}}, "DIS.4200", "project.name"),
            ({"name": 5, "owner": {"name": "o"}}, "DIS.4300", "name"),
        ],
    )
    def test_bad_fields(self, iam: Iam, account: Json, code: str, naming: str) -> None:
        refused(iam.call("POST", ACCOUNTS, {"account": account}), code, 400, naming=naming)

    def test_nobody_else_may(self, iam: Iam, server: Server, other: Account, domain_id: str) -> None:
        """Not even who may do everything in the operator's account."""
        user = iam.user()
        iam.grant_account(iam.group("", user["id"]), iam.system("FullAccess"), domain_id)
        body = {"account": {"name": unique("no"), "owner": {"name": "x"}}}
        with iam.as_user(user) as full:
            for caller in (full, other.iam):
                refused(caller.call("POST", ACCOUNTS, body), "DIS.4116", 403, naming="iam:accounts")
                refused(caller.call("GET", ACCOUNTS), "DIS.4116", 403)

    def test_nothing_of_the_other_is_there(self, iam: Iam, server: Server, other: Account) -> None:
        user, group, role = iam.user(), iam.group(), iam.policy({"Action": ["dis:*"]})
        agency = iam.get(AGENCIES)["agencies"][0]
        project, domain = server.project_id, agency["domain_id"]
        for method, path in (
            ("GET", f"/v3/users/{user['id']}"),
            ("DELETE", f"/v3/groups/{group}"),
            ("GET", f"/v3.0/OS-ROLE/roles/{role}"),
            ("GET", f"{AGENCIES}/{agency['id']}"),
            ("DELETE", f"{AGENCIES}/{agency['id']}"),
            ("GET", f"/v3.0/OS-CREDENTIAL/credentials/{server.ak}"),
            ("GET", f"/v3.0/OS-CREDENTIAL/credentials?user_id={user['id']}"),
            ("GET", f"/v3/projects/{project}/groups/{group}/roles"),
            ("GET", f"/v3.0/OS-AGENCY/projects/{project}/agencies/{agency['id']}/roles"),
            ("GET", f"/v3.0/OS-AGENCY/domains/{domain}/agencies/{agency['id']}/roles"),
            ("GET", f"{AGENCIES}?domain_id={domain}"),
        ):
            refused(other.iam.call(method, path), "IAM.0004", 404)
        wire = Wire(server.endpoint, server.project_id, other.iam.token)
        wire_refused(streams(wire), "DIS.4117")
        assert [one["name"] for one in other.iam.get(AGENCIES)["agencies"]] == ["dis_admin_agency"]


class TestSharing:
    def test_a_stream_is_shared_and_no_more(self, iam: Iam, server: Server, other: Account) -> None:
        """5.1.7: what a policy names, to whom it names, until it is gone."""
        name = unique("shared")
        mine = Wire(server.endpoint, server.project_id, iam.token)
        done(mine.create(name), 201)
        stream_id = ok(mine.describe(name))["stream_id"]
        body: Json = {"stream_id": stream_id, "records": [{"data": b64(b"hello"), "partition_key": "k"}]}
        wire_refused(other.wire.call("POST", "/records", body=body), "DIS.4301")
        policy = {
            "stream_id": stream_id,
            "principal_name": f"{other.name}.boss",
            "action_type": "putRecords",
            "effect": "accept",
        }
        done(mine.call("POST", f"/streams/{name}/policies", body=policy), 200)
        for _ in range(4):
            assert ok(other.wire.call("POST", "/records", body=body))["failed_record_count"] == 0
        cursor = f"stream-name=&stream-id={stream_id}&partition-id=0&cursor-type=TRIM_HORIZON"
        wire_refused(other.wire.call("GET", "/cursors", cursor), "DIS.4301", "DIS.4116", "DIS.4200")
        assert ok(streams(other.wire))["stream_info_list"] == []
        assert [record.data for record in mine.read_all(name)] == [b"hello"] * 4
        done(mine.call("DELETE", f"/streams/{name}/policies", body=policy), 204)
        wire_refused(other.wire.call("POST", "/records", body=body), "DIS.4301")


class TestAgencies:
    def test_create_show_list_update_delete(self, iam: Iam, domain_id: str, other: Account) -> None:
        made = make_agency(iam, domain_id, other.name, description="d", duration="ONEDAY")
        assert set(made) == {
            "id",
            "name",
            "domain_id",
            "trust_domain_id",
            "trust_domain_name",
            "description",
            "duration",
            "create_time",
            "expire_time",
        }
        assert (made["trust_domain_id"], made["trust_domain_name"]) == (other.domain_id, other.name)
        assert (made["duration"], made["description"], made["domain_id"]) == ("24", "d", domain_id)
        assert made["expire_time"] > made["create_time"]
        url = f"{AGENCIES}/{made['id']}"
        assert iam.get(url)["agency"] == made
        for query in (f"domain_id={domain_id}&name={made['name']}", f"trust_domain_id={other.domain_id}"):
            assert made in iam.get(f"{AGENCIES}?{query}")["agencies"]
        assert iam.get(f"{AGENCIES}?name=nothing")["agencies"] == []
        for sent, shown in (("FOREVER", "FOREVER"), (20, "480"), ("3", "72"), ("ONEDAY", "24")):
            changed = read(iam.call("PUT", url, {"agency": {"duration": sent}}))["agency"]
            assert (changed["duration"], changed["description"]) == (shown, "d")
        change = {"trust_domain_name": "op_svc_obs", "description": ""}
        changed = read(iam.call("PUT", url, {"agency": change}))["agency"]
        assert (changed["trust_domain_name"], changed["description"]) == ("op_svc_obs", "")
        iam.done("DELETE", url)
        refused(iam.call("GET", url), "IAM.0004", 404, naming=made["id"])

    def test_every_account_has_the_one_of_dump_tasks(self, iam: Iam, other: Account) -> None:
        """5.5.1: dis_admin_agency; deleted, it stays so."""
        for one in (iam, other.iam):
            (agency,) = one.get(f"{AGENCIES}?name=dis_admin_agency")["agencies"]
            assert (agency["trust_domain_name"], agency["duration"]) == ("op_svc_dis", "FOREVER")
            assert agency["expire_time"] is None

    @pytest.mark.parametrize(
        ("change", "code", "status", "naming"),
        [
            ({"name": ""}, "DIS.4200", 400, "name"),
            ({"name": "x" * 65}, "DIS.4200", 400, "name"),
            ({"name": 5}, "DIS.4300", 400, "name"),
            ({"name": "dis_admin_agency"}, "IAM.0005", 409, "name"),
            ({"domain_id": "elsewhere"}, "IAM.0004", 404, "elsewhere"),
            ({"trust_domain_name": ""}, "DIS.4200", 400, "trust_domain_name"),
            ({"trust_domain_name": "nobody"}, "IAM.0004", 404, "nobody"),
            ({"trust_domain_name": "OWN"}, "DIS.4200", 400, "trust_domain_name"),
            ({"trust_domain_id": "nobody"}, "IAM.0004", 404, "domain"),
            ({"duration": "WEEK"}, "DIS.4200", 400, "duration"),
            ({"duration": 0}, "DIS.4200", 400, "duration"),
            ({"duration": "0"}, "DIS.4200", 400, "duration"),
            ({"duration": -1}, "DIS.4200", 400, "duration"),
            ({"duration": 36501}, "DIS.4200", 400, "duration"),
            ({"duration": True}, "DIS.4300", 400, "duration"),
            ({"duration": [1]}, "DIS.4300", 400, "duration"),
            ({"description": "x" * 256}, "DIS.4200", 400, "description"),
        ],
    )
    def test_bad_fields(
        self,
        iam: Iam,
        server: Server,
        domain_id: str,
        other: Account,
        change: Json,
        code: str,
        status: int,
        naming: str,
    ) -> None:
        body = {"name": unique("bad"), "domain_id": domain_id, "trust_domain_name": other.name} | change
        if body["trust_domain_name"] == "OWN":
            body["trust_domain_name"] = server.account
        refused(iam.call("POST", AGENCIES, {"agency": body}), code, status, naming=naming)

    def test_grants(self, iam: Iam, server: Server, domain_id: str, other: Account) -> None:
        agency, role = make_agency(iam, domain_id, other.name), iam.system("DIS User")
        inherited = f"/v3.0/OS-INHERIT/domains/{domain_id}/agencies/{agency['id']}/roles"
        for listed, one in (
            (f"/v3.0/OS-AGENCY/projects/{server.project_id}/agencies/{agency['id']}/roles", "/{}"),
            (f"/v3.0/OS-AGENCY/domains/{domain_id}/agencies/{agency['id']}/roles", "/{}"),
            (inherited, "/{}/inherited_to_projects"),
        ):
            where, url = listed + one.format("").rstrip("/"), listed + one.format(role)
            if listed is inherited:
                where = f"{listed}/inherited_to_projects"
            assert iam.call("HEAD", url).status_code == 404
            iam.done("PUT", url)
            iam.done("PUT", url)
            assert iam.call("HEAD", url).status_code == 204
            assert [found["id"] for found in iam.get(where)["roles"]] == [role]
            iam.done("DELETE", url)
            refused(iam.call("DELETE", url), "IAM.0004", 404)
        iam.done("PUT", f"{inherited}/{role}/inherited_to_projects")
        found = iam.get(f"/v3.0/OS-PERMISSION/role-assignments?subject.agency_id={agency['id']}")
        assert [one["agency"]["id"] for one in found["role_assignments"]] == [agency["id"]]

    def test_who_may_manage_them(self, iam: Iam, domain_id: str, server: Server, other: Account) -> None:
        agency = make_agency(iam, domain_id, other.name)
        body = {"name": "x", "domain_id": domain_id, "trust_domain_name": other.name}
        with iam.as_user(iam.user()) as nobody:
            for method, path, sent in (
                ("POST", AGENCIES, {"agency": body}),
                ("GET", AGENCIES, None),
                ("GET", f"{AGENCIES}/{agency['id']}", None),
                ("PUT", f"{AGENCIES}/{agency['id']}", {"agency": {"description": "x"}}),
                ("DELETE", f"{AGENCIES}/{agency['id']}", None),
                (
                    "PUT",
                    f"/v3.0/OS-AGENCY/domains/{domain_id}/agencies/{agency['id']}/roles/secu_admin",
                    None,
                ),
            ):
                refused(nobody.call(method, path, sent), "DIS.4116", 403, naming="iam:")


class TestTaking:
    def test_a_token_of_an_agency(
        self, iam: Iam, server: Server, domain_id: str, other: Account, taker: Iam
    ) -> None:
        agency = granted(iam, make_agency(iam, domain_id, other.name), server)
        scope = {"project": {"id": server.project_id}}
        reply = take(taker, agency["name"], {"domain_name": server.account}, scope)
        made = read(reply, 201)["token"]
        home = {"id": domain_id, "name": server.account}
        assert made["methods"] == ["assume_role"]
        assert made["user"]["domain"] == home
        assert made["user"]["name"] == f"{server.account}/{agency['name']}"
        assert made["project"] == {"id": server.project_id, "name": made["project"]["name"], "domain": home}
        assert made["assumed_by"]["user"]["domain"] == {"id": other.domain_id, "name": other.name}
        assert [role["name"] for role in made["roles"]] == ["system_dis_fullaccess"]
        subject = reply.headers["X-Subject-Token"]
        shown = read(iam.call("GET", "/v3/auth/tokens", X_Subject_Token=subject))["token"]
        assert shown["assumed_by"] == made["assumed_by"]
        with Wire(server.endpoint, server.project_id, subject) as wire:
            name = unique("byagency")
            done(wire.create(name), 201)
            for _ in range(4):
                wire.put_data(name, b"x")
            assert len(wire.read_all(name)) == 4
            done(wire.delete(name), 204)
        with Iam(server.endpoint, subject) as assumed:
            # The grants of the agency, and not those of the account that made it, or of who took it over.
            refused(assumed.call("GET", "/v3/users"), "DIS.4116", 403)
            refused(take(assumed, agency["name"], {"domain_id": domain_id}), "DIS.4116", 403)
            again = {"auth": {"identity": {"methods": ["token"], "token": {"id": subject}}}}
            refused(assumed.call("POST", "/v3/auth/tokens", again), "DIS.4116", 403)

    def test_only_what_it_is_granted(
        self, iam: Iam, server: Server, domain_id: str, other: Account, taker: Iam
    ) -> None:
        agency = granted(iam, make_agency(iam, domain_id, other.name), server, "DIS ReadOnlyAccess")
        with taken(taker, agency, server) as wire:
            ok(streams(wire))
            wire_refused(wire.create(unique("no")), "DIS.4116", status=403)
            role = iam.system("DIS ReadOnlyAccess")
            url = f"/v3.0/OS-AGENCY/projects/{server.project_id}/agencies/{agency['id']}/roles/{role}"
            iam.done("DELETE", url)
            wire_refused(streams(wire), "DIS.4116", status=403)

    def test_who_may_not(self, iam: Iam, server: Server, domain_id: str, other: Account, taker: Iam) -> None:
        agency, service = make_agency(iam, domain_id, other.name), "dis_admin_agency"
        at = {"domain_id": domain_id}
        with other.iam.as_user(other.iam.user()) as nobody:
            refused(take(nobody, agency["name"], at), "DIS.4116", 403, naming="iam:agencies:assume")
        third = make_account(iam, unique("third"))
        with third.iam, third.wire:
            refused(take(third.iam, agency["name"], at), "IAM.0004", 404)
        for caller, name, domain in (
            (iam, agency["name"], at),
            (taker, service, at),
            (taker, "nothing", at),
            (taker, agency["name"], {"domain_id": "nobody"}),
            (taker, agency["name"], {"domain_name": "nobody"}),
            (taker, agency["name"], {"domain_id": domain_id, "domain_name": other.name}),
        ):
            refused(take(caller, name, domain), "IAM.0004", 404)
        refused(take(taker, "", at), "DIS.4200", 400, naming="agency_name")
        refused(take(taker, agency["name"], {}), "DIS.4200", 400, naming="domain_name")
        scope = {"project": {"id": other.project_id}}
        refused(take(taker, agency["name"], at, scope), "APIGW.0301", 401, naming="scope")
        anonymous = {
            "auth": {"identity": {"methods": ["assume_role"], "assume_role": {"agency_name": "x"} | at}}
        }
        for path in ("/v3/auth/tokens", LENT):
            none = httpx.post(server.endpoint + path, json=anonymous, timeout=30, trust_env=False)
            refused(none, "APIGW.0301", 401)

    def test_a_policy_for_one_agency(self, iam: Iam, server: Server, domain_id: str, other: Account) -> None:
        """Resource.uri /iam/agencies/ID."""
        allowed, not_ = (granted(iam, make_agency(iam, domain_id, other.name), server) for _ in range(2))
        user = other.iam.user()
        role = other.iam.policy(
            {"Action": ["iam:agencies:assume"], "Resource": {"uri": [f"/iam/agencies/{allowed['id']}"]}},
            kind="AX",
        )
        other.iam.grant_account(other.iam.group("", user["id"]), role, other.domain_id)
        with other.iam.as_user(user) as one:
            read(take(one, allowed["name"], {"domain_id": domain_id}), 201)
            refused(take(one, not_["name"], {"domain_id": domain_id}), "DIS.4116", 403)

    def test_temporary_keys_of_an_agency(
        self, iam: Iam, server: Server, domain_id: str, other: Account, taker: Iam
    ) -> None:
        agency = granted(iam, make_agency(iam, domain_id, other.name), server)
        at = {"domain_id": domain_id, "duration_seconds": 3600, "session_user": {"name": "robot"}}
        key = Key.of(read(take(taker, agency["name"], at, path=LENT), 201)["credential"])
        path = f"/v2/{server.project_id}/streams"
        for signed in (True, False):
            assert key.call(server.endpoint, "GET", path, sign_token=signed).status_code == 200
        narrow = {"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["dis:apps:*"]}]}
        narrowed = Key.of(read(take(taker, agency["name"], at, path=LENT, policy=narrow), 201)["credential"])
        wire_refused(narrowed.call(server.endpoint, "GET", path), "DIS.4116", status=403)
        # With the access key of the user who takes it over, as the public client does.
        body = {
            "auth": {
                "identity": {"methods": ["assume_role"], "assume_role": {"agency_name": agency["name"]} | at}
            }
        }
        signed_reply = other.key.call(server.endpoint, "POST", LENT, body)
        by_key = Key.of(read(signed_reply, 201)["credential"])
        assert by_key.call(server.endpoint, "GET", path).status_code == 200
        wire_refused(by_key.call(server.endpoint, "GET", f"/v2/{other.project_id}/streams"), "DIS.4117")
        # A temporary key makes no other.
        refused(by_key.call(server.endpoint, "POST", LENT, body), "DIS.4116", 403)
        bad = at | {"duration_seconds": 100}
        refused(take(taker, agency["name"], bad, path=LENT), "DIS.4200", 400, naming="duration_seconds")

    @pytest.mark.parametrize("how", ["deleted", "trusts another", "user disabled"])
    def test_ends_with_the_very_next_request(
        self, iam: Iam, server: Server, domain_id: str, other: Account, how: str
    ) -> None:
        user = other.iam.user()
        other.iam.grant_account(
            other.iam.group("", user["id"]), other.iam.system("Agent Operator"), other.domain_id
        )
        agency = granted(iam, make_agency(iam, domain_id, other.name), server)
        with other.iam.as_user(user) as one, taken(one, agency, server) as wire:
            key = Key.of(
                read(take(one, agency["name"], {"domain_id": domain_id}, path=LENT), 201)["credential"]
            )
            cursors = "stream-name=none&partition-id=0&cursor-type=LATEST"
            path = f"/v2/{server.project_id}/cursors?{cursors}"
            for _ in range(4):
                wire_refused(wire.call("GET", "/cursors", cursors), "DIS.4301")
                wire_refused(key.call(server.endpoint, "GET", path), "DIS.4301")
            if how == "deleted":
                iam.done("DELETE", f"{AGENCIES}/{agency['id']}")
            elif how == "trusts another":
                change = {"agency": {"trust_domain_name": "op_svc_dis"}}
                read(iam.call("PUT", f"{AGENCIES}/{agency['id']}", change))
            else:
                read(other.iam.call("PATCH", f"/v3/users/{user['id']}", {"user": {"enabled": False}}))
            for _ in range(4):
                wire_refused(wire.call("GET", "/cursors", cursors), "APIGW.0301", status=401)
                wire_refused(key.call(server.endpoint, "GET", path), "APIGW.0301", status=401)

    def test_survives_a_restart(
        self, iam: Iam, server: Server, domain_id: str, other: Account, taker: Iam
    ) -> None:
        agency = granted(iam, make_agency(iam, domain_id, other.name, duration=7), server)
        (default,) = other.iam.get(f"{AGENCIES}?name=dis_admin_agency")["agencies"]
        other.iam.done("DELETE", f"{AGENCIES}/{default['id']}")
        with taken(taker, agency, server) as wire:
            server.restart(kill=True)
            ok(streams(wire))
        assert iam.get(f"{AGENCIES}/{agency['id']}")["agency"] == agency
        assert other.iam.get(AGENCIES)["agencies"] == []


def test_an_agency_runs_out(tmp_path: Path) -> None:
    with Server(tmp_path / "data", env=ON) as server, Iam.owner(server) as iam:
        other = make_account(iam, "partner")
        domain_id = iam.get("/v3/auth/domains")["domains"][0]["id"]
        agency = granted(iam, make_agency(iam, domain_id, "partner", duration="ONEDAY"), server)
        advance(server, 80_000)
        other.iam.token = token(server.endpoint, other.owner, password=other.owner["password"])
        with taken(other.iam, agency, server) as wire:
            ok(streams(wire))
            advance(server, 6_399)
            ok(streams(wire))
            advance(server, 1)
            wire_refused(streams(wire), "APIGW.0301", status=401, naming="run out")
            refused(take(other.iam, agency["name"], {"domain_id": domain_id}), "IAM.0004", 404)
