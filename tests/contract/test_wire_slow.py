"""Clients that are slow, and more at once than there is room for: APIGW.0202 and APIGW.0203, with limits set low."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.conftest import StartServer
from tests.support.server import Server
from tests.support.wire import Wire, connect, done, error_body, exchange, receive


@pytest.fixture
def server(start_server: StartServer, tmp_path: Path) -> Server:
    config = tmp_path / "penstock.toml"
    config.write_text(
        "[limits]\nheader_seconds = 1.0\nbody_idle_seconds = 1.0\nbodies_in_flight_bytes = 100000\nbody_token_bytes = 90000\n"
    )
    return start_server("--config", str(config))


def head(wire: Wire, length: int) -> bytes:
    return (
        f"POST /v2/{wire.project_id}/records HTTP/1.1\r\nHost: a\r\nX-Auth-Token: {wire.token}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("what", ["headers", "body"])
def test_a_request_that_does_not_arrive(server: Server, what: str) -> None:
    """R10: answered and closed after the time there is for it."""
    with Wire.to(server) as wire, connect(server.endpoint) as sock:
        sock.sendall(head(wire, 1000) if what == "body" else head(wire, 1000)[:-2])
        reply = receive(sock)
    assert (reply.status, reply.closed) == (408, True)
    error_body(reply.headers["content-type"], reply.body, "APIGW.0202")


def test_more_bodies_at_once_than_there_is_room_for(server: Server) -> None:
    """Refused, not kept; and taken again once the others have gone."""
    with Wire.to(server) as wire:
        done(wire.create("s1"), 201)
        with connect(server.endpoint) as sock:
            sock.sendall(head(wire, 90_000) + b" " * 60_000)
            time.sleep(0.3)
            reply = exchange(server.endpoint, head(wire, 80_000))
            assert (reply.status, reply.closed) == (503, True)
            error_body(reply.headers["content-type"], reply.body, "APIGW.0203")
        time.sleep(0.3)
        assert wire.put_data("s1", b"x" * 50_000)
