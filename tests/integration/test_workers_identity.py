"""`--workers 2`: what the core refuses, every worker refuses with the very next request; failures count for all of them together.

Each connection stays with the worker that took it, so several connections see both."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.support.iam import Iam, Json, token
from tests.support.server import Server

CONNECTIONS = 16
STREAM = "shared"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("workers") / "data", "--workers", "2", "--limits", "relaxed") as one:
        with httpx.Client(trust_env=False, headers={"X-Auth-Token": one.token()}) as client:
            body = {"stream_name": STREAM, "partition_count": 1}
            reply = client.post(f"{one.endpoint}/v2/{one.project_id}/streams", json=body)
            assert reply.status_code == 201, reply.text
        yield one


@pytest.fixture(scope="module")
def iam(server: Server) -> Iterator[Iam]:
    with Iam.owner(server) as client:
        yield client


class Many:
    """Connections to both workers, as one user."""

    def __init__(self, server: Server, text: str) -> None:
        self.url = f"{server.endpoint}/v2/{server.project_id}/cursors?stream-name={STREAM}&partition-id=0"
        self.clients = [
            httpx.Client(trust_env=False, timeout=30, headers={"X-Auth-Token": text})
            for _ in range(CONNECTIONS)
        ]

    def ask(self) -> set[int]:
        """Statuses of one request on each connection: a hot one, which workers answer themselves."""
        return {client.get(self.url).status_code for client in self.clients}

    def close(self) -> None:
        for client in self.clients:
            client.close()


@pytest.fixture
def user(iam: Iam) -> Json:
    return iam.user()


@pytest.fixture
def many(server: Server, user: Json) -> Iterator[Many]:
    made = Many(server, token(server.endpoint, user, server.project_id))
    yield made
    made.close()


@pytest.fixture
def group_id(iam: Iam, server: Server, user: Json) -> str:
    made = iam.group("", user["id"])
    iam.grant(made, iam.system("DIS User"), server.project_id)
    return made


def test_membership_and_grants(iam: Iam, server: Server, user: Json, many: Many, group_id: str) -> None:
    url = f"/v3/groups/{group_id}/users/{user['id']}"
    assert many.ask() == {200}
    for _ in range(3):
        iam.done("DELETE", url)
        assert many.ask() == {403}
        iam.done("PUT", url)
        assert many.ask() == {200}
    iam.done("DELETE", f"/v3/projects/{server.project_id}/groups/{group_id}/roles/{iam.system('DIS User')}")
    assert many.ask() == {403}


def test_policies(iam: Iam, server: Server, user: Json, many: Many, group_id: str) -> None:
    policy_id = iam.policy({"Effect": "Deny", "Action": ["dis:records:readCursor"]})
    assert many.ask() == {200}
    iam.grant(group_id, policy_id, server.project_id)
    assert many.ask() == {403}
    assert iam.call("DELETE", f"/v3.0/OS-ROLE/roles/{policy_id}").status_code == 200
    assert many.ask() == {200}


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("PATCH", {"user": {"enabled": False}}),
        ("PATCH", {"user": {"password": "Another-horse-8"}}),
        ("DELETE", None),
    ],
)
def test_users(iam: Iam, user: Json, many: Many, group_id: str, method: str, change: Json | None) -> None:
    assert many.ask() == {200}
    assert iam.call(method, f"/v3/users/{user['id']}", change).status_code in (200, 204)
    assert many.ask() == {401}


def test_revoked_tokens(iam: Iam, server: Server, user: Json, many: Many, group_id: str) -> None:
    text = many.clients[0].headers["X-Auth-Token"]
    assert many.ask() == {200}
    assert iam.call("DELETE", "/v3/auth/tokens", X_Subject_Token=text).status_code == 204
    assert many.ask() == {401}
    again = Many(server, token(server.endpoint, user, server.project_id))
    assert again.ask() == {200}
    again.close()
    server.restart()
    assert many.ask() == {401}


def test_failures_count_together(server: Server) -> None:
    """DIS.4309: 20 failures a minute of one address with one key, whichever workers they came to."""
    headers = {"X-Auth-Token": "pst1.not-a-token-of-anybody"}
    url = f"{server.endpoint}/v2/{server.project_id}/cursors?stream-name={STREAM}&partition-id=0"
    codes = []
    for _ in range(24):
        # A connection each, so that both workers have some.
        with httpx.Client(trust_env=False, timeout=30, headers=headers) as client:
            codes.append(client.get(url).json()["errorCode"])
    assert codes == ["APIGW.0301"] * 20 + ["DIS.4309"] * 4
