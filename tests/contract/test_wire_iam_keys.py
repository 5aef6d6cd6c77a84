"""Access keys over the IAM API byte by byte: permanent ones (/v3.0/OS-CREDENTIAL/credentials) and temporary ones
(/v3.0/OS-CREDENTIAL/securitytokens; clients.md 2.1), which streams feel with the very next request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.controls import ON, advance
from tests.support.iam import PASSWORD, Iam, Json, read, refused
from tests.support.iam_keys import Key
from tests.support.server import Server
from tests.support.wire import b64
from tests.support.wire import refused as wire_refused

KEYS = "/v3.0/OS-CREDENTIAL/credentials"
LENT = "/v3.0/OS-CREDENTIAL/securitytokens"


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("keys") / "data", "--workers", str(request.param)) as started:
        yield started


@pytest.fixture(scope="module")
def stream(iam: Iam, server: Server) -> str:
    reply = iam.call(
        "POST", f"/v2/{server.project_id}/streams", {"stream_name": "shared", "partition_count": 1}
    )
    assert reply.status_code == 201
    return "shared"


def make_key(iam: Iam, user_id: str, **fields: object) -> Json:
    made: Json = iam.post(KEYS, {"credential": {"user_id": user_id} | fields})["credential"]
    return made


def reader(iam: Iam, server: Server) -> Json:
    """A new user who may look at streams and put records."""
    user = iam.user()
    iam.grant(
        iam.group("", user["id"]),
        iam.policy({"Action": ["dis:streams:*", "dis:records:*"]}),
        server.project_id,
    )
    return user


def put(key: Key, server: Server, stream: str, **how: bool) -> httpx.Response:
    body = {"stream_name": stream, "records": [{"data": b64(b"x"), "partition_key": "k"}]}
    return key.call(server.endpoint, "POST", f"/v2/{server.project_id}/records", body, **how)


def streams(key: Key, server: Server, **how: bool) -> httpx.Response:
    return key.call(server.endpoint, "GET", f"/v2/{server.project_id}/streams", **how)


def lend(iam: Iam, *, token: str = "", policy: object = None, **method: object) -> httpx.Response:
    identity: Json = {"methods": ["token"], "token": {"id": token or iam.token} | method}
    if policy is not None:
        identity["policy"] = policy
    return httpx.post(iam.endpoint + LENT, json={"auth": {"identity": identity}}, timeout=30, trust_env=False)


def lent(iam: Iam, **fields: object) -> Key:
    return Key.of(read(lend(iam, **fields), 201)["credential"])  # type: ignore[arg-type]


class TestPermanent:
    def test_create_show_list_update_delete(self, iam: Iam) -> None:
        user_id = iam.user()["id"]
        made = make_key(iam, user_id, description="ci")
        assert set(made) == {"access", "secret", "user_id", "status", "create_time", "description"}
        assert (made["user_id"], made["status"], made["description"]) == (user_id, "active", "ci")
        url = f"{KEYS}/{made['access']}"
        shown = iam.get(url)["credential"]
        assert "secret" not in shown
        assert set(shown) == {"access", "user_id", "status", "create_time", "description", "last_use_time"}
        (listed,) = iam.get(f"{KEYS}?user_id={user_id}")["credentials"]
        assert listed == {key: value for key, value in shown.items() if key != "last_use_time"}
        assert listed in iam.get(KEYS)["credentials"]
        change = {"credential": {"status": "inactive", "description": ""}}
        changed = read(iam.call("PUT", url, change))["credential"]
        assert (changed["status"], changed["description"]) == ("inactive", "")
        again = read(iam.call("PUT", url, {"credential": {"status": None, "description": None}}))
        assert again["credential"]["status"] == "inactive"
        iam.done("DELETE", url)
        for method in ("GET", "DELETE"):
            refused(iam.call(method, url), "IAM.0004", 404, naming=made["access"])

    def test_two_of_a_user(self, iam: Iam) -> None:
        user_id = iam.user()["id"]
        make_key(iam, user_id)
        made = make_key(iam, user_id)
        reply = iam.call("POST", KEYS, {"credential": {"user_id": user_id}})
        refused(reply, "DIS.4308", 400, naming="2 access keys")
        iam.done("DELETE", f"{KEYS}/{made['access']}")
        make_key(iam, user_id)

    @pytest.mark.parametrize(
        ("body", "code", "status", "naming"),
        [
            ({}, "DIS.4200", 400, "credential"),
            ({"credential": {}}, "DIS.4200", 400, "user_id"),
            ({"credential": {"user_id": ""}}, "DIS.4200", 400, "user_id"),
            ({"credential": {"user_id": 5}}, "DIS.4300", 400, "user_id"),
            ({"credential": {"user_id": "nobody"}}, "IAM.0004", 404, "nobody"),
            ({"credential": {"user_id": "OWN", "description": "x" * 256}}, "DIS.4200", 400, "description"),
            ({"credential": {"user_id": "OWN", "description": "a\nb"}}, "DIS.4200", 400, "description"),
            ({"credential": {"user_id": "OWN", "description": 1}}, "DIS.4300", 400, "description"),
        ],
    )
    def test_bad_bodies(
        self, iam: Iam, owner_id: str, body: Json, code: str, status: int, naming: str
    ) -> None:
        if body.get("credential", {}).get("user_id") == "OWN":
            body = {"credential": body["credential"] | {"user_id": owner_id}}
        refused(iam.call("POST", KEYS, body), code, status, naming=naming)

    def test_bad_status(self, iam: Iam) -> None:
        url = f"{KEYS}/{make_key(iam, iam.user()['id'])['access']}"
        refused(iam.call("PUT", url, {"credential": {"status": "off"}}), "DIS.4300", 400, naming="status")
        refused(iam.call("PUT", url), "DIS.4202", 400)

    def test_signs_and_ends_with_the_very_next_request(self, iam: Iam, server: Server, stream: str) -> None:
        user = reader(iam, server)
        made = make_key(iam, user["id"])
        key, url = Key.of(made), f"{KEYS}/{made['access']}"
        for status, answer in (("active", 200), ("inactive", 401), ("active", 200), ("inactive", 401)):
            read(iam.call("PUT", url, {"credential": {"status": status}}))
            for _ in range(4):
                assert put(key, server, stream).status_code == answer
        read(iam.call("PUT", url, {"credential": {"status": "active"}}))
        assert streams(key, server).status_code == 200
        iam.done("DELETE", url)
        for _ in range(4):
            wire_refused(put(key, server, stream), "APIGW.0301", status=401)
        wire_refused(streams(key, server), "APIGW.0301", status=401)

    def test_own_keys_and_others(self, iam: Iam, server: Server, owner_id: str, domain_id: str) -> None:
        user, other, manager = iam.user(), iam.user(), iam.user()
        theirs = make_key(iam, other["id"])
        owners = iam.get(f"{KEYS}?user_id={owner_id}")["credentials"][0]["access"]
        with iam.as_user(user) as self_:
            mine = make_key(self_, user["id"])
            assert [one["access"] for one in self_.get(KEYS)["credentials"]] == [mine["access"]]
            read(self_.call("PUT", f"{KEYS}/{mine['access']}", {"credential": {"description": "d"}}))
            self_.get(f"{KEYS}/{mine['access']}")
            self_.done("DELETE", f"{KEYS}/{mine['access']}")
            for method, path, body in (
                ("POST", KEYS, {"credential": {"user_id": other["id"]}}),
                ("GET", f"{KEYS}?user_id={other['id']}", None),
                ("GET", f"{KEYS}/{theirs['access']}", None),
                ("PUT", f"{KEYS}/{theirs['access']}", {"credential": {"status": "inactive"}}),
                ("DELETE", f"{KEYS}/{theirs['access']}", None),
                ("DELETE", f"{KEYS}/{owners}", None),
            ):
                refused(self_.call(method, path, body), "DIS.4116", 403, naming="iam:credentials:")
        iam.grant_account(iam.group("", manager["id"]), iam.system("Security Administrator"), domain_id)
        with iam.as_user(manager) as secure:
            make_key(secure, other["id"])
            secure.done("DELETE", f"{KEYS}/{theirs['access']}")
            listed = {one["access"] for one in secure.get(KEYS)["credentials"]}
            assert owners not in listed
            # As the owner a key would do everything.
            refused(secure.call("POST", KEYS, {"credential": {"user_id": owner_id}}), "DIS.4116", 403)
            refused(secure.call("DELETE", f"{KEYS}/{owners}"), "DIS.4116", 403)

    def test_goes_with_its_user(self, iam: Iam, server: Server, stream: str) -> None:
        user = reader(iam, server)
        key = Key.of(make_key(iam, user["id"]))
        assert put(key, server, stream).status_code == 200
        read(iam.call("PATCH", f"/v3/users/{user['id']}", {"user": {"enabled": False}}))
        wire_refused(put(key, server, stream), "APIGW.0301", status=401)
        read(iam.call("PATCH", f"/v3/users/{user['id']}", {"user": {"enabled": True}}))
        assert put(key, server, stream).status_code == 200
        iam.done("DELETE", f"/v3/users/{user['id']}")
        wire_refused(put(key, server, stream), "APIGW.0301", status=401)


class TestTemporary:
    @pytest.mark.parametrize("signed", [True, False], ids=["token signed", "token unsigned"])
    def test_works_signed_and_unsigned(self, iam: Iam, server: Server, stream: str, signed: bool) -> None:
        reply = read(lend(iam, duration_seconds=900), 201)["credential"]
        assert set(reply) == {"access", "secret", "securitytoken", "expires_at"}
        key = Key.of(reply)
        for _ in range(4):
            assert put(key, server, stream, sign_token=signed).status_code == 200
        assert streams(key, server, sign_token=signed).status_code == 200

    def test_what_is_wrong_is_refused(self, iam: Iam, server: Server, stream: str) -> None:
        key, other = lent(iam), lent(iam)
        for bad in (
            key._replace(securitytoken=""),
            key._replace(securitytoken="elsewhere"),
            key._replace(securitytoken=other.securitytoken),
            key._replace(securitytoken=key.securitytoken[:-1]),
            key._replace(securitytoken=key.securitytoken[:40] + "AAAA" + key.securitytoken[44:]),
            key._replace(securitytoken=iam.token),
            key._replace(secret=other.secret),
            key._replace(access=other.access),
            Key(server.ak, server.sk, key.securitytoken),
        ):
            wire_refused(put(bad, server, stream), "APIGW.0301", status=401)
        assert put(key, server, stream).status_code == 200

    @pytest.mark.parametrize(
        ("method", "code", "naming"),
        [
            ({"duration_seconds": 899}, "DIS.4200", "duration_seconds"),
            ({"duration_seconds": 86401}, "DIS.4200", "duration_seconds"),
            ({"duration_seconds": -1}, "DIS.4200", "duration_seconds"),
            ({"duration_seconds": "900"}, "DIS.4300", "duration_seconds"),
            ({"id": 7}, "DIS.4300", "id"),
        ],
    )
    def test_bad_fields(self, iam: Iam, method: Json, code: str, naming: str) -> None:
        refused(lend(iam, **method), code, 400, naming=naming)

    @pytest.mark.parametrize(
        "identity",
        [
            {"methods": []},
            {"methods": ["password"]},
            {"methods": ["assume_role"]},
            {"methods": ["token", "assume_role"], "token": {}},
        ],
    )
    def test_bad_methods(self, iam: Iam, identity: Json) -> None:
        refused(iam.call("POST", LENT, {"auth": {"identity": identity}}), "DIS.4300", 400, naming="methods")

    def test_the_token_in_the_header_or_the_body(self, iam: Iam, server: Server) -> None:
        for identity in (
            {"methods": ["token"]},
            {"methods": ["token"], "token": {"id": "", "duration_seconds": None}},
        ):
            made = iam.post(LENT, {"auth": {"identity": identity}})["credential"]
            assert streams(Key.of(made), server).status_code == 200
        refused(lend(iam, token="nonsense"), "APIGW.0301", 401)
        body = {"auth": {"identity": {"methods": ["token"]}}}
        none = httpx.post(server.endpoint + LENT, json=body, timeout=30, trust_env=False)
        refused(none, "DIS.4200", 400, naming="token.id")

    def test_a_policy_narrows(self, iam: Iam, server: Server, stream: str) -> None:
        """The owner's own key included; nothing is added to what the user may do."""
        policy = {
            "Version": "1.1",
            "Statement": [
                {"Effect": "Allow", "Action": ["dis:records:*"], "Resource": None, "Condition": None},
            ],
        }
        key = lent(iam, policy=policy)
        assert put(key, server, stream).status_code == 200
        wire_refused(streams(key, server), "DIS.4116", status=403, naming="dis:streams:list")
        user = iam.user()
        with iam.as_user(user) as plain:
            wider = lent(
                plain, policy={"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["*"]}]}
            )
        wire_refused(put(wider, server, stream), "DIS.4116", status=403)

    @pytest.mark.parametrize(
        ("policy", "code"),
        [
            ({"Version": "1.1", "Statement": []}, "DIS.4200"),
            ({"Version": "2", "Statement": [{"Effect": "Allow", "Action": ["dis:*"]}]}, "DIS.4200"),
            ({"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": 5}]}, "DIS.4300"),
            ({"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["dis:*"] * 400}]}, "DIS.4200"),
            (5, "DIS.4300"),
        ],
    )
    def test_bad_policies(self, iam: Iam, policy: object, code: str) -> None:
        refused(lend(iam, policy=policy), code, 400, naming="policy")

    def test_manages_no_keys_and_makes_none(self, iam: Iam, server: Server, owner_id: str) -> None:
        key = lent(iam)
        for method, path, body in (
            ("POST", KEYS, {"credential": {"user_id": owner_id}}),
            ("GET", KEYS, None),
            (
                "POST",
                f"/v3/users/{owner_id}/password",
                {"user": {"password": PASSWORD, "original_password": "x"}},
            ),
        ):
            refused(key.call(server.endpoint, method, path, body), "DIS.4116", 403)
        narrowed = lent(
            iam, policy={"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["dis:*"]}]}
        )
        refused(narrowed.call(server.endpoint, "GET", "/v3/users"), "DIS.4116", 403)
        refused(narrowed.call(server.endpoint, "POST", "/v3/users", {"user": {"name": "x"}}), "DIS.4116", 403)

    def test_ends_with_what_it_was_made_with(self, iam: Iam, server: Server, stream: str) -> None:
        def check(key: Key, answer: int) -> None:
            for _ in range(4):
                assert put(key, server, stream).status_code == answer

        user = reader(iam, server)
        with iam.as_user(user) as one:
            key = lent(one)
            check(key, 200)
            one.call("DELETE", "/v3/auth/tokens", X_Subject_Token=one.token)
            check(key, 401)
        with iam.as_user(user) as one:
            key = lent(one)
            check(key, 200)
            read(iam.call("PATCH", f"/v3/users/{user['id']}", {"user": {"password": "another one 8"}}))
            check(key, 401)
        with iam.as_user(user, password="another one 8") as one:
            key = lent(one)
            check(key, 200)
            read(iam.call("PATCH", f"/v3/users/{user['id']}", {"user": {"enabled": False}}))
            check(key, 401)
            read(iam.call("PATCH", f"/v3/users/{user['id']}", {"user": {"enabled": True}}))
            check(key, 401)
        with iam.as_user(user, password="another one 8") as one:
            key = lent(one)
            iam.done("DELETE", f"/v3/users/{user['id']}")
            check(key, 401)

    def test_survives_a_restart(self, iam: Iam, server: Server, stream: str) -> None:
        key, permanent = lent(iam), make_key(iam, reader(iam, server)["id"], description="kept")
        off = make_key(iam, permanent["user_id"])
        read(iam.call("PUT", f"{KEYS}/{off['access']}", {"credential": {"status": "inactive"}}))
        server.restart(kill=True)
        assert put(key, server, stream).status_code == 200
        assert put(Key.of(permanent), server, stream).status_code == 200
        wire_refused(put(Key.of(off), server, stream), "APIGW.0301", status=401)
        assert iam.get(f"{KEYS}/{permanent['access']}")["credential"]["description"] == "kept"


def test_time_passes(tmp_path: Path) -> None:
    """15 minutes unless more are asked for, up to what the token has left."""
    with Server(tmp_path / "data", env=ON) as server, Iam.owner(server) as iam:
        short, long = lent(iam), lent(iam, duration_seconds=86_400)
        now = advance(server, 899)
        path = f"/v2/{server.project_id}/streams"
        assert short.call(server.endpoint, "GET", path, now_ms=now).status_code == 200
        now = advance(server, 1)
        reply = short.call(server.endpoint, "GET", path, now_ms=now)
        wire_refused(reply, "APIGW.0301", status=401, naming="expired")
        assert long.call(server.endpoint, "GET", path, now_ms=now).status_code == 200
        now = advance(server, 86_400 - 900)
        reply = long.call(server.endpoint, "GET", path, now_ms=now)
        wire_refused(reply, "APIGW.0301", status=401, naming="expired")
