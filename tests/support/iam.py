"""The IAM API as a client: users, groups, policies and grants of a running server, and tokens of whomever. Uses nothing of
Penstock, so that what is checked is not what checks."""

from __future__ import annotations

import itertools
from typing import Any, Self

import httpx
from tests.support.server import Server
from tests.support.wire import Wire, check_message

Json = dict[str, Any]
PASSWORD = "Correct-horse-7"

_numbers = itertools.count(1)


class Iam:
    """Calls as one caller. `user` is the name given to what follows a version: `iam.post("/v3/users", {...})`."""

    def __init__(self, endpoint: str, token: str) -> None:
        self.endpoint = endpoint
        self.token = token
        self.http = httpx.Client(timeout=30.0, trust_env=False)

    @classmethod
    def owner(cls, server: Server) -> Iam:
        """The owner of the account that the first start made."""
        return cls(server.endpoint, server.token())

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        sent = {"X-Auth-Token": self.token} | {key.replace("_", "-"): value for key, value in headers.items()}
        return self.http.request(method, self.endpoint + path, json=body, headers=sent)

    def get(self, path: str) -> Json:
        return read(self.call("GET", path))

    def post(self, path: str, body: object, status: int = 201) -> Json:
        return read(self.call("POST", path, body), status)

    def done(self, method: str, path: str, body: object = None, status: int = 204) -> None:
        reply = self.call(method, path, body)
        assert reply.status_code == status, f"{reply.status_code} {reply.text}"
        assert reply.content == b""

    # Things with names of their own

    def user(self, name: str = "", **fields: object) -> Json:
        """A new user with PASSWORD, unless told otherwise."""
        wanted = {"name": name or unique("user"), "password": PASSWORD} | fields
        user: Json = self.post("/v3/users", {"user": wanted})["user"]
        return user

    def group(self, name: str = "", *members: str) -> str:
        """A new group; its id."""
        made: Json = self.post("/v3/groups", {"group": {"name": name or unique("group")}})["group"]
        for user_id in members:
            self.done("PUT", f"/v3/groups/{made['id']}/users/{user_id}")
        return str(made["id"])

    def policy(self, *statements: Json, name: str = "", kind: str = "XA") -> str:
        """A new custom policy; its id. A statement without Effect allows."""
        document = {"Version": "1.1", "Statement": [{"Effect": "Allow"} | one for one in statements]}
        role = {"display_name": name or unique("policy"), "type": kind, "policy": document}
        return str(self.post("/v3.0/OS-ROLE/roles", {"role": role})["role"]["id"])

    def system(self, name: str) -> str:
        """The id of a system-defined policy by the name people read."""
        roles = self.get("/v3/roles")["roles"]
        return next(str(role["id"]) for role in roles if role["display_name"] == name)

    def grant(self, group_id: str, role_id: str, project_id: str) -> None:
        self.done("PUT", f"/v3/projects/{project_id}/groups/{group_id}/roles/{role_id}")

    def grant_account(self, group_id: str, role_id: str, domain_id: str) -> None:
        self.done("PUT", f"/v3/domains/{domain_id}/groups/{group_id}/roles/{role_id}")

    def as_user(self, user: Json, project_id: str = "", password: str = PASSWORD) -> Iam:
        """The same server as that user."""
        return Iam(self.endpoint, token(self.endpoint, user, project_id, password))

    def wire(self, user: Json, project_id: str, password: str = PASSWORD) -> Wire:
        """A client of streams as that user."""
        return Wire(self.endpoint, project_id, token(self.endpoint, user, project_id, password))


def unique(kind: str) -> str:
    """A name nobody has used."""
    return f"{kind}-{next(_numbers)}"


def login(endpoint: str, user: Json, scope: object = None, password: str = PASSWORD) -> httpx.Response:
    """POST /v3/auth/tokens with a password. `user` is anything with an id, or a name and a domain."""
    who = {key: user[key] for key in ("id", "name", "domain") if key in user} | {"password": password}
    if "id" in who:
        who.pop("name", None)
    auth: Json = {"identity": {"methods": ["password"], "password": {"user": who}}}
    if scope is not None:
        auth["scope"] = scope
    return httpx.post(f"{endpoint}/v3/auth/tokens", json={"auth": auth}, timeout=30, trust_env=False)


def token(endpoint: str, user: Json, project_id: str = "", password: str = PASSWORD) -> str:
    """A token of a user, for a project or for none."""
    scope = {"project": {"id": project_id}} if project_id else None
    reply = login(endpoint, user, scope, password)
    assert reply.status_code == 201, f"{reply.status_code} {reply.text}"
    return reply.headers["X-Subject-Token"]


def read(reply: httpx.Response, status: int = 200) -> Json:
    """The object of a reply that must have gone well."""
    assert reply.status_code == status, f"{reply.status_code} {reply.text}"
    value = reply.json()
    assert isinstance(value, dict)
    return value


def refused(reply: httpx.Response, code: str, status: int, naming: str = "") -> str:
    """A refusal in the IAM form: `error` as Keystone has it, and the fields of every other; its message."""
    assert reply.status_code == status, f"{reply.status_code} instead of {status}: {reply.text[:500]}"
    assert reply.headers.get("x-request-id"), reply.headers
    body = reply.json()
    assert set(body) == {"error", "errorCode", "message", "error_code", "error_msg"}, body
    assert body["error"]["code"] == status
    assert body["error"]["message"] == body["message"] == body["error_msg"]
    assert body["errorCode"] == body["error_code"]
    message = check_message(body["errorCode"], body["message"], code)
    assert naming in message, f"{message!r} does not name {naming}"
    return message
