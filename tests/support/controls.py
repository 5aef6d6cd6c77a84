"""A server's clock and disk in the hands of a test: the pages of `test_controls`."""

from __future__ import annotations

import httpx
from tests.support.server import Server

ON = {"PENSTOCK_TEST_CONTROLS": "on"}
"""Environment of a server that can be controlled."""


def advance(server: Server, seconds: float) -> int:
    """Let time pass on the server, jobs included; its time then, milliseconds since the epoch."""
    reply = httpx.post(
        f"{server.manage}/test/clock", json={"advance_seconds": seconds}, timeout=60, trust_env=False
    )
    assert reply.status_code == 200, reply.text
    now = reply.json()["now_ms"]
    assert isinstance(now, int)
    return now


def break_disk(server: Server, call: str, error: str = "EIO", *, after: int = 0, times: int = 1) -> None:
    """Make calls on the log's files fail."""
    fault = {"call": call, "error": error, "after": after, "times": times}
    reply = httpx.post(f"{server.manage}/test/faults", json=fault, timeout=60, trust_env=False)
    assert reply.status_code == 204, reply.text


def heal_disk(server: Server) -> None:
    """Make them work again."""
    assert httpx.delete(f"{server.manage}/test/faults", timeout=60, trust_env=False).status_code == 204
