"""Signed requests with permanent and temporary access keys, and a second account of a running server."""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

import httpx
from tests.support import signing
from tests.support.iam import Iam, Json, login
from tests.support.wire import Wire


class Key(NamedTuple):
    """A key to sign with; temporary ones have a security token."""

    access: str
    secret: str
    securitytoken: str = ""

    @classmethod
    def of(cls, credential: Json) -> Key:
        return cls(credential["access"], credential["secret"], credential.get("securitytoken", ""))

    def call(
        self,
        endpoint: str,
        method: str,
        path: str,
        body: object = None,
        *,
        sign_token: bool = True,
        now_ms: int = 0,
    ) -> httpx.Response:
        """A request signed with it (scheme A). The security token is a signed header, as py3's, or not, as pyOld's and go's
        (clients.md 2.1)."""
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"Host": httpx.URL(endpoint).netloc.decode(), "Content-Type": "application/json"}
        token = {"X-Security-Token": self.securitytoken} if self.securitytoken else {}
        signed = signing.sign(
            "A",
            method,
            path,
            sent | (token if sign_token else {}),
            content,
            access_key=self.access,
            secret_key=self.secret,
            now_ms=now_ms or int(time.time() * 1000),
        )
        merged = sent | token | dict(signed)
        return httpx.request(
            method, endpoint + path, content=content, headers=merged, timeout=30, trust_env=False
        )


class Account(NamedTuple):
    """An account made by the operator: its owner over the IAM API and as a client of streams."""

    domain_id: str
    name: str
    project_id: str
    owner: Json
    iam: Iam
    wire: Wire
    key: Key


def make_account(operator: Iam, name: str) -> Account:
    """A second account, as the operator makes it."""
    body = {"account": {"name": name, "owner": {"name": "boss"}}}
    made: Json = operator.post("/v3.0/OS-ACCOUNT/accounts", body)["account"]
    owner: dict[str, Any] = made["owner"]
    reply = login(
        operator.endpoint, owner, {"project": {"id": made["project"]["id"]}}, password=owner["password"]
    )
    assert reply.status_code == 201, reply.text
    token = reply.headers["X-Subject-Token"]
    return Account(
        made["id"],
        name,
        made["project"]["id"],
        owner,
        Iam(operator.endpoint, token),
        Wire(operator.endpoint, made["project"]["id"], token),
        Key.of(made["credential"]),
    )
