"""Streams shared between accounts: who there is, policies, and what somebody tries with a stream they know the id of."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import httpx
from tests.support.accounts import Login, add_users
from tests.support.server import Server
from tests.support.wire import Json, Wire, b64, done, ok, refused

RIGHTS = ("putRecords", "getRecords", "getStreamInfo")
StreamRef = tuple[str, str]
"""Name and id."""


class Others(NamedTuple):
    """Who there is beside the account that has the streams."""

    helper: Login
    """Of the account that has the streams, without any permission."""
    reader: Login
    """Of that account too, with the role DIS User."""
    partner: Login
    """Owner of another account."""
    clerk: Login
    """Of the partner's account, with the role DIS User."""
    trainee: Login
    """Of the partner's account, without any permission."""
    third: Login
    """Owner of a third account."""


def populate(server: Server) -> Others:
    """Accounts and users for a server, which is started again."""
    server.terminate()
    data = server.data
    helper, reader = add_users(data, server.account, "helper", "reader", granted=["reader"])
    partner, clerk, trainee = add_users(data, "partner", "owner", "clerk", "trainee", granted=["clerk"])
    (third,) = add_users(data, "third.account", "owner")
    server.start()
    return Others(helper, reader, partner, clerk, trainee, third)


def policy(stream: StreamRef, principal: str, action: str = "putRecords", **fields: object) -> Json:
    return {
        "stream_id": stream[1],
        "principal_name": principal,
        "action_type": action,
        "effect": "accept",
        **fields,
    }


def grant(wire: Wire, stream: StreamRef, principal: str, *actions: str) -> None:
    for action in actions:
        done(add(wire, stream, policy(stream, principal, action)), 200)


def add(wire: Wire, stream: StreamRef, body: object) -> httpx.Response:
    return wire.call("POST", f"/streams/{stream[0]}/policies", body=body)


def remove(wire: Wire, stream: StreamRef, query: str = "", body: object = None) -> httpx.Response:
    return wire.call("DELETE", f"/streams/{stream[0]}/policies", query, body=body)


def rules(wire: Wire, stream: StreamRef) -> list[Json]:
    found: list[Json] = ok(wire.call("GET", f"/streams/{stream[0]}/policies"))["rules"]
    return found


def names(wire: Wire, stream: StreamRef) -> list[str]:
    return [f"{rule['principal_name']} {rule['action_type']}" for rule in rules(wire, stream)]


# What somebody tries with a stream they know the id of.


def put(wire: Wire, stream: StreamRef, data: bytes = b"x", name: str | None = None) -> httpx.Response:
    body: Json = {"stream_id": stream[1], "records": [{"data": b64(data), "partition_id": "0"}]}
    return wire.call("POST", "/records", body=body if name is None else {**body, "stream_name": name})


def cursor(wire: Wire, stream: StreamRef, query: str = "") -> httpx.Response:
    query = query or f"stream-id={stream[1]}"
    return wire.call("GET", "/cursors", f"{query}&partition-id=0&cursor-type=TRIM_HORIZON")


def describe(wire: Wire, stream: StreamRef) -> httpx.Response:
    return wire.call("GET", f"/streams/{stream[1]}")


def is_not_there(wire: Wire, stream: StreamRef, *, doing: str) -> None:
    """As if there were no such stream."""
    tries: dict[str, Callable[[Wire, StreamRef], httpx.Response]] = {
        "put": put,
        "get": cursor,
        "info": describe,
    }
    message = refused(tries[doing](wire, stream), "DIS.4301", status=404 if doing == "info" else 400)
    assert message == f"Stream does not exist. [{stream[1]}][{wire.project_id}]"
