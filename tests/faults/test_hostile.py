"""R10, R13 and R15 of the fault plan in short; with figures: `python -m tests.faults.hostile`."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from tests.conftest import StartServer
from tests.faults import hostile
from tests.support.server import Server
from tests.support.wire import Wire, done


def test_clients_that_do_not_read_their_replies_make_room_for_others(
    start_server: StartServer, tmp_path: Path
) -> None:
    """R10: replies nobody reads take no more memory than `replies_unread_bytes`, and nobody waits for them."""
    config = tmp_path / "penstock.toml"
    config.write_text("[limits]\nreplies_unread_bytes = 1\n")
    server = start_server("--config", str(config), "--limits", "relaxed")
    with Wire.to(server) as wire:
        done(wire.create("s1"), 201)
        for _ in range(8):
            wire.put_data("s1", *[b"x" * 1000] * 1000)
        cursor = wire.cursor("s1", cursor_type="TRIM_HORIZON")
        request = (
            f"GET /v2/{wire.project_id}/records?partition-cursor={cursor} HTTP/1.1\r\nHost: a\r\n"
            f"X-Auth-Token: {wire.token}\r\n\r\n"
        ).encode()
        stalled = []
        for _ in range(12):
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.sendall(request * 4)  # more than the kernel takes for it
            stalled.append(sock)
        time.sleep(1.5)
        assert len(wire.read_all("s1")) == 8000
        cut = sum(_ended(sock) for sock in stalled)
        assert cut > 0, "nobody was cut off"
        assert wire.put_data("s1", b"goes on")


def _ended(sock: socket.socket) -> bool:
    """Whether the server has closed the connection: what it had sent can be read, then it ends."""
    sock.settimeout(5)
    with sock:
        try:
            while sock.recv(1 << 20):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
    return True


def test_requests_that_can_be_read_in_two_ways(server: Server) -> None:
    report = hostile.Report()
    hostile.r13(server, report)
    assert report.failed == 0


def test_forged_cursors(server: Server) -> None:
    report = hostile.Report()
    hostile.r15(server, report)
    assert report.failed == 0
