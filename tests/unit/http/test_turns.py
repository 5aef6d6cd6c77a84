"""Many large requests at once (`http.shared`): connections that have had an answer wait for their next turn, all of them get it, and a
client that stops in the middle of a body keeps nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.errors import ApiError
from penstock.http import shared as shared_module
from penstock.http.app import Application
from penstock.http.exchange import Response
from penstock.http.protocol import Protocol
from penstock.http.shared import Shared
from penstock.iam.base import SentRequest
from penstock.limits import Limits

BODY = b"x" * 1000
REQUEST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + BODY


class _App:
    """Answers when told to."""

    def __init__(self) -> None:
        self.context = SimpleNamespace(limits=Limits())
        self.direct = None
        self.room: object = None
        self.open: list[asyncio.Future[None]] = []
        self.answered = 0

    def body_limit(self, named: Mapping[bytes, bytes]) -> int:
        return 1 << 20

    def refusal(self, error: ApiError) -> Response:
        return Response(error.status, None, error.code.encode())

    async def respond(self, sent: SentRequest, scheme: str) -> Response:
        assert sent.body == BODY
        gate = asyncio.get_running_loop().create_future()
        self.open.append(gate)
        await gate
        self.answered += 1
        return Response(200, None, b"")


class _Client(asyncio.Transport):
    """Sends its next request as soon as it has the answer and is read from."""

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.protocol = Protocol(shared, self.loop)
        self.paused = self.closed = False
        self.answers = 0
        self._ready = True
        self.protocol.connection_made(self)

    def go_on(self) -> None:
        if self._ready and not self.paused and not self.closed:
            self._ready = False
            self.protocol.data_received(REQUEST)

    def write(self, data: Any) -> None:
        self.answers += bytes(data).count(b"HTTP/1.1 200")
        self._ready = True
        self.loop.call_soon(self.go_on)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True
        self.loop.call_soon(self.protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self.loop.call_soon(self.go_on)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_module, "AHEAD_BYTES", 5 * len(BODY))
    monkeypatch.setattr(shared_module, "AHEAD_REQUESTS", 3)


async def _turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_get_their_turn_and_few_are_answered_at_a_time() -> None:
    app = _App()
    shared = Shared(cast(Application, app), asyncio.get_running_loop())
    clients = [_Client(shared) for _ in range(50)]
    for client in clients:
        client.go_on()
    await _turn()
    assert len(app.open) == 50, "nobody has had a turn yet"
    most = 0
    for _ in range(2000):
        for gate in app.open[:3]:
            gate.set_result(None)
        del app.open[:3]
        await _turn()
        if app.answered > 100:
            most = max(most, len(app.open))
        if app.answered > 1000:
            break
        if not app.open:
            await asyncio.sleep(0.006)  # those that wait are let in by time, too
    assert app.answered > 1000
    assert 3 <= most <= 24, "of 50; those that are let in by time come on top"
    counts = [client.answers for client in clients]
    assert min(counts) >= 12, "in order"
    assert shared.answering == len(app.open)
    assert shared.answering_bytes == len(app.open) * len(BODY)


async def test_all_answered_at_once_let_the_others_in_after_a_moment() -> None:
    """No answer is on its way that could do it."""
    app = _App()
    shared = Shared(cast(Application, app), asyncio.get_running_loop())
    clients = [_Client(shared) for _ in range(100)]
    for client in clients:
        client.go_on()
    await _turn()
    for gate in app.open:
        gate.set_result(None)
    app.open.clear()
    for _ in range(500):
        await asyncio.sleep(0.002)
        for gate in app.open:
            gate.set_result(None)
        app.open.clear()
        if all(client.answers > 2 for client in clients):
            break
    assert all(client.answers > 2 for client in clients)


async def test_a_body_that_does_not_come_keeps_nobody_waiting() -> None:
    app = _App()
    shared = Shared(cast(Application, app), asyncio.get_running_loop())
    slow = [_Client(shared) for _ in range(50)]
    for client in slow:
        client.protocol.data_received(REQUEST[:-1])
    assert shared.in_flight > 5 * len(BODY) and not shared.crowded
    quick = _Client(shared)
    for number in range(10):
        quick.go_on()
        await _turn()
        app.open.pop().set_result(None)
        await _turn()
        assert quick.answers == number + 1


async def test_connections_that_go_while_they_wait_or_are_answered() -> None:
    app = _App()
    shared = Shared(cast(Application, app), asyncio.get_running_loop())
    clients = [_Client(shared) for _ in range(30)]
    for client in clients:
        client.go_on()
    await _turn()
    for gate in app.open[:15]:
        gate.set_result(None)
    del app.open[:15]
    await _turn()
    waiting = [client for client in clients if client.paused]
    assert waiting and len(shared.turns) == len(waiting)
    for client in clients[5:]:
        client.close()
    await _turn()
    for gate in app.open:
        gate.set_result(None)
    app.open.clear()
    for _ in range(300):
        await asyncio.sleep(0.002)
        for gate in app.open:
            gate.set_result(None)
        app.open.clear()
        if all(client.answers > 3 for client in clients[:5]):
            break
    assert all(client.answers > 3 for client in clients[:5])
    assert 0 <= shared.answering <= 5 and not any(client.paused for client in clients[:5])
    assert shared.answering_bytes == shared.answering * len(BODY)
