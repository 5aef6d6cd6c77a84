"""The identity endpoints, through the router: the shapes clients read (clients.md 6, API reference 3.1 and 7.3)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import signing
from tests.support.captures import load, request
from tests.support.identity import PASSWORD, make_identity

from penstock.clock import SteppedClock
from penstock.config import Settings
from penstock.http.app import Application
from penstock.http.routes import ROUTES
from penstock.iam.authenticator import make_authenticator
from penstock.iam.identity import Identity
from penstock.limits import PROFILES
from penstock.service.context import Context

HOST = "127.0.0.1:20004"
BASE = f"http://{HOST}"
Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    """A reply, read."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def token(self) -> str:
        return self.headers["X-Subject-Token"]


class Service:
    """The identity routes on a stepped clock."""

    def __init__(self, identity: Identity, clock: SteppedClock) -> None:
        self.identity, self.clock = identity, clock
        nothing = cast(Any, None)
        context = Context(
            settings=Settings(data=Path("unused"), auth=identity.auth, region=identity.region),
            limits=identity.limits,
            clock=clock,
            catalog=nothing,
            log=nothing,
            identity=identity,
            authenticator=make_authenticator(identity),
            directory=nothing,
            records=cast(Any, SimpleNamespace(direct=None)),
        )
        self.application = Application(context, ROUTES)

    async def call(
        self,
        method: str,
        target: str,
        headers: Headers | None = None,
        body: object = None,
        scheme: str = "http",
    ) -> Answer:
        raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        named = [("Host", HOST), *(headers or [])]
        response = await self.application.respond(request(method, target, named, raw), scheme)
        assert response.content_type == "application/json; charset=utf-8"
        return Answer(response.status, msgspec.json.decode(response.joined()), dict(response.headers))

    async def post(self, identity: object, scope: object = None, target: str = "/v3/auth/tokens") -> Answer:
        auth = {"identity": identity} | ({} if scope is None else {"scope": scope})
        return await self.call("POST", target, [("Content-Type", "application/json")], {"auth": auth})

    async def signed(self, target: str, headers: dict[str, str] | None = None) -> Answer:
        fields = signing.sign(
            "A",
            "GET",
            target,
            headers or {"Accept": "*/*"},
            access_key="AKEXAMPLE",
            secret_key="SKEXAMPLE",
            now_ms=self.clock.now_ms(),
        )
        return await self.call("GET", target, fields)


async def make(*, auth: bool = True) -> Service:
    clock = SteppedClock()
    return Service(await make_identity(clock=clock, auth=auth), clock)


@pytest.fixture
async def service() -> Service:
    return await make()


def by_password(password: str = PASSWORD, **user: object) -> dict[str, object]:
    who = user or {"name": "user1", "domain": {"name": "account1"}}
    return {"methods": ["password"], "password": {"user": {"password": password, **who}}}


def by_token(token: str) -> dict[str, object]:
    return {"methods": ["token"], "token": {"id": token}}


PROJECT = {"project": {"name": "region1", "domain": {"name": "account1"}}}


# Discovery


async def test_discovery(service: Service) -> None:
    answer = await service.call("GET", "/v3")
    assert answer.status == 200
    version = answer.body["version"]
    assert (version["id"], version["status"]) == ("v3.14", "stable")
    assert version["links"] == [{"rel": "self", "href": f"{BASE}/v3/"}]
    root = await service.call("GET", "/")
    assert root.body == {"version": version, "versions": {"values": [version]}}


@pytest.mark.parametrize(
    ("target", "scheme", "href"),
    [
        ("/v3/", "https", f"https://{HOST}/v3/"),
        ("/dis/v3", "http", f"{BASE}/dis/v3/"),
        ("/a/b%20c/v3/", "http", f"{BASE}/a/b%20c/v3/"),
    ],
)
async def test_discovery_says_how_it_was_reached(
    service: Service, target: str, scheme: str, href: str
) -> None:
    answer = await service.call("GET", target, scheme=scheme)
    assert answer.body["version"]["links"][0]["href"] == href


@pytest.mark.parametrize("host", ["", 'evil"><', "a b", "x" * 300, "host/path", "user@host"])
async def test_a_host_that_is_none_is_not_repeated(service: Service, host: str) -> None:
    response = await service.application.respond(request("GET", "/v3", [("Host", host)]), "http")
    assert msgspec.json.decode(response.joined())["version"]["links"][0]["href"] == f"{BASE}/v3/"


# Tokens


@pytest.mark.parametrize(
    "scope",
    [
        PROJECT,
        {"project": {"name": "region1"}},
        {"project": {"id": "pid"}},
        {"project": {"id": "pid", "name": ""}},
        {"project": {"id": None, "name": "region1", "domain": None}},
    ],
)
async def test_a_token_for_a_project(service: Service, scope: object) -> None:
    answer = await service.post(by_password(), scope)
    assert answer.status == 201
    token = answer.body["token"]
    assert token["issued_at"] == "2023-11-14T22:13:20.000000Z"
    assert token["expires_at"] == "2023-11-15T22:13:20.000000Z"
    assert token["methods"] == ["password"]
    domain = token["user"]["domain"]
    assert domain["name"] == "account1"
    assert token["user"]["name"] == "user1"
    assert token["project"] == {"id": "pid", "name": "region1", "domain": domain}
    assert token["roles"]
    urls = {
        (entry["type"], endpoint["interface"], endpoint["region"], endpoint["region_id"]): endpoint["url"]
        for entry in token["catalog"]
        for endpoint in entry["endpoints"]
    }
    expected = {"identity": f"{BASE}/v3", "iam": f"{BASE}/v3", "dis": f"{BASE}/", "disv2": f"{BASE}/v2/pid"}
    assert urls == {
        (kind, interface, "region1", "region1"): url
        for kind, url in expected.items()
        for interface in ("public", "internal", "admin")
    }
    principal = service.identity.read_token(answer.token.encode())[1]
    assert (principal.user_name, principal.project_id) == ("user1", "pid")


@pytest.mark.parametrize("scope", [{"domain": {"name": "account1"}}, {"domain": {"id": "?"}}])
async def test_a_token_for_the_account(service: Service, scope: dict[str, dict[str, str]]) -> None:
    domain = service.identity.domain(name="account1")
    assert domain
    if "id" in scope["domain"]:
        scope = {"domain": {"id": domain.domain_id}}
    answer = await service.post(by_password(), scope)
    assert answer.status == 201
    token = answer.body["token"]
    assert token["domain"] == {"id": domain.domain_id, "name": "account1"}
    assert "project" not in token
    assert [entry["type"] for entry in token["catalog"]] == ["identity", "iam", "dis"]


@pytest.mark.parametrize("scope", [None, {}, "unscoped", {"project": None}])
async def test_a_token_for_neither(service: Service, scope: object) -> None:
    answer = await service.post(by_password(), scope)
    assert answer.status == 201
    assert not {"project", "domain", "catalog", "roles"} & answer.body["token"].keys()


@pytest.mark.parametrize(
    "target",
    ["/v3/auth/tokens?nocatalog", "/v3/auth/tokens?nocatalog=true", "/v3/auth/tokens/?a=1&nocatalog="],
)
async def test_without_the_catalog(service: Service, target: str) -> None:
    answer = await service.post(by_password(), PROJECT, target)
    assert answer.status == 201
    assert "catalog" not in answer.body["token"]


async def test_a_catalog_behind_a_prefix(service: Service) -> None:
    answer = await service.post(by_password(), PROJECT, "/pen/stock/v3/auth/tokens/")
    urls = {entry["type"]: entry["endpoints"][0]["url"] for entry in answer.body["token"]["catalog"]}
    assert urls["disv2"] == f"{BASE}/pen/stock/v2/pid"
    assert urls["dis"] == f"{BASE}/pen/stock/"


async def test_users_by_id_and_accounts_by_id(service: Service) -> None:
    user = service.identity.user(name="user1", domain_name="account1")
    assert user
    for who in ({"id": user.user_id}, {"name": "user1", "domain": {"id": user.domain_id}}):
        assert (await service.post(by_password(**who), PROJECT)).status == 201


@pytest.mark.parametrize(
    "identity",
    [
        by_password("wrong"),
        by_password(""),
        by_password(PASSWORD, name="nobody", domain={"name": "account1"}),
        by_password(PASSWORD, name="user1", domain={"name": "account2"}),
        by_password(PASSWORD, name="user1", domain={"name": "nowhere"}),
        by_password(PASSWORD, name="user1", domain={"id": "nowhere", "name": "account1"}),
        by_password(PASSWORD, id="nobody"),
        by_token("nonsense"),
        by_token("é\ud7ff"),
    ],
)
async def test_wrong_credentials(service: Service, identity: object) -> None:
    answer = await service.post(identity, PROJECT)
    assert answer.status == 401
    body = answer.body
    assert body["errorCode"] == body["error_code"] == "APIGW.0301"
    assert body["error"] == {"code": 401, "message": body["message"], "title": "Unauthorized"}
    assert body["error_msg"] == body["message"]
    assert "X-Subject-Token" not in answer.headers


async def test_wrong_names_and_wrong_passwords_are_told_the_same(service: Service) -> None:
    answers = [
        await service.post(identity, PROJECT)
        for identity in (
            by_password("wrong"),
            by_password("wrong", name="nobody", domain={"name": "account1"}),
        )
    ]
    assert answers[0].body == answers[1].body


@pytest.mark.parametrize(
    "scope",
    [
        {"project": {"name": "region9"}},
        {"project": {"id": "pid2"}},
        {"project": {"name": "region1", "domain": {"name": "account2"}}},
        {"project": {"name": "region1", "domain": {"name": "nowhere"}}},
        {"domain": {"name": "account2"}},
        {"domain": {"id": "nowhere"}},
    ],
)
async def test_scopes_of_others(service: Service, scope: dict[str, object]) -> None:
    answer = await service.post(by_password(), scope)
    assert answer.status == 401
    assert f"auth.scope.{next(iter(scope))}" in answer.body["message"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", ""),
        (b"{", "body"),
        (b"[]", "body"),
        (b"{}", "auth"),
        (b'{"auth":{}}', "identity"),
        (b'{"auth":{"identity":{"methods":"password"}}}', "methods"),
        (b'{"auth":{"identity":{"methods":["totp"]}}}', "auth.identity.methods"),
        (b'{"auth":{"identity":{"methods":["password"]}}}', "auth.identity.methods"),
        (b'{"auth":{"identity":{"methods":["password","token"]}}}', "auth.identity.methods"),
        (b'{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"u"}}}}}', "password"),
        (
            b'{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"u","password":"p"}}}}}',
            "domain",
        ),
        (
            b'{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":1,"password":"p"}}}}}',
            "name",
        ),
        (b'{"auth":{"identity":{"methods":["token"],"token":{"id":7}}}}', "id"),
        (b"[" * 5000, "body"),
        (b'{"auth":{"identity":{"methods":["\xff"]}}}', "body"),
    ],
)
async def test_malformed_bodies(service: Service, body: bytes, named: str) -> None:
    answer = await service.call("POST", "/v3/auth/tokens", [], body)
    assert answer.status == 400
    assert answer.body["error"]["title"] == "Bad Request"
    assert named in answer.body["message"]


@pytest.mark.parametrize(
    "scope", [{"project": {}}, {"project": {"name": ""}}, PROJECT | {"domain": {"name": "account1"}}, 7]
)
async def test_malformed_scopes(service: Service, scope: object) -> None:
    answer = await service.post(by_password(), scope)
    assert answer.status == 400
    assert "auth.scope" in answer.body["message"]


async def test_a_token_from_a_token_does_not_outlive_it(service: Service) -> None:
    first = await service.post(by_password())
    service.clock.advance(3600)
    second = await service.post(by_token(first.token), PROJECT)
    assert second.status == 201
    assert second.body["token"]["methods"] == ["password", "token"]
    assert second.body["token"]["project"]["id"] == "pid"
    assert second.body["token"]["expires_at"] == first.body["token"]["expires_at"]
    third = await service.post(by_token(second.token), {"project": {"id": "pid-from-iam"}})
    assert third.body["token"]["methods"] == ["password", "token"]
    service.clock.advance(23 * 3600)
    assert (await service.post(by_token(second.token), PROJECT)).status == 401


async def test_failed_logins_answer_4309_in_the_end(service: Service) -> None:
    codes = [(await service.post(by_password("wrong"), PROJECT)).body["error_code"] for _ in range(21)]
    assert codes == ["APIGW.0301"] * 20 + ["DIS.4309"]
    assert (await service.post(by_password(), PROJECT)).status == 201


async def test_a_token_is_shown(service: Service) -> None:
    made = await service.post(by_password(), PROJECT)
    mine = ("X-Auth-Token", made.token)
    shown = await service.call("GET", "/v3/auth/tokens", [mine, ("X-Subject-Token", made.token)])
    assert shown.status == 200
    assert shown.body == made.body
    assert shown.token == made.token
    assert (await service.call("GET", "/v3/auth/tokens", [mine, ("X-Subject-Token", "bad")])).status == 404
    assert (await service.call("GET", "/v3/auth/tokens", [mine])).status == 400
    assert (await service.call("GET", "/v3/auth/tokens", [("X-Subject-Token", made.token)])).status == 401
    service.clock.advance(60)
    late = await service.post(by_password(), PROJECT)
    service.clock.advance(24 * 3600 - 60)
    pair = [("X-Auth-Token", late.token), ("X-Subject-Token", made.token)]
    gone = await service.call("GET", "/v3/auth/tokens", pair)
    assert gone.status == 404
    assert "X-Subject-Token has expired" in gone.body["message"]


# What there is


@pytest.mark.parametrize("route", ["/v3/projects", "/v3/auth/projects"])
async def test_projects(service: Service, route: str) -> None:
    answer = await service.signed(route + "?name=region1")
    domain = service.identity.domain(name="account1")
    assert domain
    assert answer.status == 200
    assert answer.body == {
        "projects": [
            {
                "domain_id": domain.domain_id,
                "is_domain": False,
                "parent_id": domain.domain_id,
                "name": "region1",
                "description": "",
                "links": {"next": None, "previous": None, "self": f"{BASE}/v3/projects/pid"},
                "id": "pid",
                "enabled": True,
            }
        ],
        "links": {"next": None, "previous": None, "self": BASE + route},
    }
    assert [project["id"] for project in (await service.signed(route)).body["projects"]] == [
        "pid",
        "pid-from-iam",
    ]
    assert (await service.signed(route + "?name=region9")).body["projects"] == []
    token = (await service.post(by_password())).token
    listed = await service.call("GET", route, [("X-Auth-Token", token)])
    assert [project["name"] for project in listed.body["projects"]] == ["region1", "region2"]
    assert (await service.call("GET", route)).status == 401


async def test_domains(service: Service) -> None:
    domain = service.identity.domain(name="account1")
    assert domain
    for query, count in (("", 1), ("?name=account1", 1), ("?name=account2", 0)):
        answer = await service.signed("/v3/auth/domains" + query)
        assert answer.status == 200
        assert [(row["id"], row["name"]) for row in answer.body["domains"]] == [
            (domain.domain_id, "account1")
        ] * count
        assert answer.body["links"]["self"] == f"{BASE}/v3/auth/domains"


async def test_the_catalog(service: Service) -> None:
    made = await service.post(by_password(), PROJECT)
    shown = await service.call("GET", "/v3/auth/catalog", [("X-Auth-Token", made.token)])
    assert shown.status == 200
    assert shown.body["catalog"] == made.body["token"]["catalog"]
    assert shown.body["links"]["self"] == f"{BASE}/v3/auth/catalog"
    # A signature has no project of its own, and this account has two.
    types = [entry["type"] for entry in (await service.signed("/v3/auth/catalog")).body["catalog"]]
    assert types == ["identity", "iam", "dis"]
    with_project = await service.signed("/v3/auth/catalog", {"X-Project-Id": "pid-from-iam"})
    assert with_project.body["catalog"][-1]["endpoints"][0]["url"] == f"{BASE}/v2/pid-from-iam"


async def test_a_signed_catalog_names_the_only_project(service: Service) -> None:
    fields = signing.sign(
        "C",
        "GET",
        "/v3/auth/catalog",
        {},
        access_key="AKOTHER",
        secret_key="SKOTHER",
        now_ms=service.clock.now_ms(),
    )
    answer = await service.call("GET", "/v3/auth/catalog", fields)
    assert answer.body["catalog"][-1]["endpoints"][0]["url"] == f"{BASE}/v2/pid2"


async def test_captured_identity_calls(service: Service) -> None:
    """What the clients sent when they looked for a project: answered in the shape they read."""
    by_path = {capture.request.path: capture for capture in load() if capture.request.path.startswith(b"/v3")}
    lookup = by_path[b"/v3/projects"]
    service.clock.set_wall(lookup.sent_ms)
    response = await service.application.respond(lookup.request, "http")
    (project,) = msgspec.json.decode(response.joined())["projects"]
    assert (project["id"], project["name"]) == ("pid", "region1")
    discovery = await service.application.respond(by_path[b"/v3"].request, "http")
    assert discovery.status == 200
    login = by_path[b"/v3/auth/tokens"].request
    assert (
        await service.application.respond(login, "http")
    ).status == 401  # its user is not ours, its form is right


# --auth off


async def test_with_authentication_off_anybody_gets_a_token_for_anything() -> None:
    service = await make(auth=False)
    wanted = {"project": {"name": "eu-de", "domain": {"name": "whatever"}}}
    made = await service.post(by_password("any", name="any", domain={"name": "any"}), wanted)
    assert made.status == 201
    assert made.body["token"]["project"]["id"] == "eu-de"
    assert made.body["token"]["user"]["name"] == "user1"
    again = await service.post(by_token("anything"), PROJECT)
    assert again.body["token"]["project"]["id"] == "pid"
    for route in ("/v3/projects", "/v3/auth/projects"):
        listed = await service.call("GET", route + "?name=eu-de")
        assert [project["id"] for project in listed.body["projects"]] == ["eu-de"]
    assert (await service.call("GET", "/v3/auth/catalog")).status == 200
    assert (await service.post(by_password(), {"project": {"id": "a/b"}})).status == 401


# Anything

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "auth",
                    "identity",
                    "methods",
                    "password",
                    "user",
                    "scope",
                    "project",
                    "domain",
                    "id",
                    "name",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(body=json_values, scope=json_values)
async def test_any_body_is_answered(service: Service, body: object, scope: object) -> None:
    auth = {"identity": by_token("x"), "scope": scope}
    for value in (body, {"auth": body}, {"auth": auth}):
        answer = await service.call("POST", "/v3/auth/tokens", [], value)
        assert answer.status in (400, 401)


def test_limits_are_the_documented_ones() -> None:
    limits = PROFILES["documented"]
    assert (limits.token_seconds, limits.signature_skew_seconds, limits.access_keys_per_user) == (
        86_400,
        900,
        2,
    )
