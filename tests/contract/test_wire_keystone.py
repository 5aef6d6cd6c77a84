"""Tokens of an external Keystone over the wire, against a small one: whose they are, what their roles allow, what is kept, and what
happens when it cannot be asked. `python -m tests.services.keystone` does it with a real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.iam import Iam, unique
from tests.support.iam import refused as iam_refused
from tests.support.keystone import PASSWORD, USER, FakeKeystone
from tests.support.server import Server
from tests.support.wire import Wire, done, ok, refused

from penstock.http.routes import ROUTES


@pytest.fixture(scope="module")
def keystone() -> Iterator[FakeKeystone]:
    with FakeKeystone() as fake:
        yield fake


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, keystone: FakeKeystone
) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("keystone")
    config = directory / "penstock.toml"
    config.write_text(
        f'[iam]\nkeystone = "{keystone.url}"\nuser = "{USER}"\npassword = "env:KEYSTONE_PASSWORD"\n'
        "cache_seconds = 3600\n"
    )
    arguments = ("--config", str(config), "--limits", "relaxed", "--workers", str(request.param))
    with Server(directory / "data", *arguments, env={"KEYSTONE_PASSWORD": PASSWORD}) as one:
        yield one


def wire(server: Server, token: str, project: str = "kp") -> Wire:
    return Wire(server.endpoint, project, token)


def test_an_admin_does_everything_in_the_project(server: Server, keystone: FakeKeystone) -> None:
    for role in ("admin", "te_admin"):
        name = unique("stream")
        with wire(server, keystone.add(unique("boss"), role, "other")) as client:
            done(client.create(name), 201)
            for _ in range(4):
                client.put_data(name, b"x")
            assert len(client.read_all(name)) == 4
            done(client.delete(name), 204)


def test_other_roles_are_policies_of_that_name(server: Server, keystone: FakeKeystone) -> None:
    with Iam.owner(server) as iam:
        iam.policy({"Action": ["dis:streams:create"]}, name="makers")
    with wire(server, keystone.add(unique("t"), "member", "DIS ReadOnlyAccess")) as client:
        ok(client.call("GET", "/streams"))
        refused(client.create(unique("no")), "DIS.4116", status=403)
    with wire(server, keystone.add(unique("t"), "makers")) as client:
        done(client.create(unique("made")), 201)
        refused(client.call("GET", "/streams"), "DIS.4116", status=403)
    with wire(server, keystone.add(unique("t"), "member")) as client:
        refused(client.call("GET", "/streams"), "DIS.4116", status=403)
    # Roles for managing identity manage nothing here.
    with Iam(server.endpoint, keystone.add(unique("t"), "admin", "secu_admin")) as iam:
        iam_refused(iam.call("GET", "/v3/users"), "DIS.4116", 403)


def test_the_tokens_project_and_no_other(server: Server, keystone: FakeKeystone) -> None:
    token = keystone.add(unique("t"), "admin")
    for project in ("another", server.project_id):
        with wire(server, token, project) as client:
            refused(client.call("GET", "/streams"), "DIS.4117")
    with wire(server, keystone.add(unique("t"), "admin", project="")) as client:
        refused(client.call("GET", "/streams"), "DIS.4117")
    # A project of this server's is not Keystone's to give away.
    with wire(
        server, keystone.add(unique("t"), "admin", project=server.project_id), server.project_id
    ) as client:
        refused(client.call("GET", "/streams"), "APIGW.0301", status=401)


def test_what_does_not_hold(server: Server, keystone: FakeKeystone) -> None:
    expired = keystone.add(unique("t"), "admin", expires="2020-01-01T00:00:00Z")
    for token in ("nobody", expired, "x" * 9000, "pst1.forged.mac"):
        with wire(server, token) as client:
            for _ in range(2):
                refused(client.call("GET", "/streams"), "APIGW.0301", status=401)
                refused(client.get("cursor"), "APIGW.0301", status=401)
    for path in ("/v3/auth/tokens", "/v3.0/OS-CREDENTIAL/securitytokens"):
        identity = {
            "methods": ["assume_role"],
            "assume_role": {"agency_name": "a", "domain_name": "penstock"},
        }
        headers = {"X-Auth-Token": keystone.add(unique("t"), "admin")}
        reply = httpx.post(
            server.endpoint + path, json={"auth": {"identity": identity}}, headers=headers, trust_env=False
        )
        iam_refused(reply, "APIGW.0301", 401)


def test_own_tokens_are_nobody_elses_business(server: Server, keystone: FakeKeystone) -> None:
    before = keystone.asked
    with Wire.to(server) as client:
        ok(client.call("GET", "/streams"))
    assert keystone.asked == before


def test_answers_are_kept(server: Server, keystone: FakeKeystone) -> None:
    token, before = keystone.add(unique("t"), "admin"), keystone.asked
    for _ in range(10):
        with wire(server, token) as client:
            ok(client.call("GET", "/streams"))
    assert keystone.asked - before == 1  # control calls are the core's
    del keystone.tokens[token]
    with wire(server, token) as client:
        ok(client.call("GET", "/streams"))


def test_when_it_cannot_be_asked(server: Server, keystone: FakeKeystone) -> None:
    token = keystone.add(unique("t"), "admin")
    keystone.broken = True
    try:
        with wire(server, token) as client:
            refused(client.call("GET", "/streams"), "APIGW.0203", status=503)
            refused(client.get("cursor"), "APIGW.0203", status=503)
    finally:
        keystone.broken = False
    # Not kept; and a service token that has ended is asked for again.
    keystone.own.clear()
    with wire(server, token) as client:
        ok(client.call("GET", "/streams"))


def test_no_route_fails(server: Server, keystone: FakeKeystone) -> None:
    """Whatever an admin of Keystone asks for, it is answered."""
    token = keystone.add(unique("t"), "admin")
    with httpx.Client(timeout=30, trust_env=False, headers={"X-Auth-Token": token}) as http:
        for route in ROUTES:
            path = route.path.replace("{project_id}", "kp").replace("{", "").replace("}", "")
            reply = http.request(route.method, server.endpoint + path, json={})
            assert reply.status_code < 500, (route.method, route.path, reply.text)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('keystone = "nowhere"', "keystone is not http"),
        ('keystone = "http://k/v3"', "needs user and password"),
        ('user = "x"', "needs keystone"),
        ('keystone = "http://k/v3"\nuser = "u"\npassword = "env:NO_SUCH"', "the environment has no NO_SUCH"),
        ('keystone = "http://k/v3"\nuser = "u"\npassword = "p"\ncache_seconds = -1', "cache_seconds is 0"),
        ('keystone = "http://k/v3"\nuser = "u"\npassword = "p"\ncacert = "none.pem"', "there is no file"),
        ('keystone = "http://k/v3"\nuser = "u"\npassword = "p"\nkeys = 1', "unknown field `keys`"),
    ],
)
def test_bad_settings_name_the_key(tmp_path: Path, lines: str, said: str) -> None:
    from penstock.config import ConfigError, load

    config = tmp_path / "penstock.toml"
    config.write_text(f"[iam]\n{lines}\n")
    with pytest.raises(ConfigError, match=r"\[iam\]") as caught:
        load({}, file=config, environ={})
    assert said in str(caught.value)
