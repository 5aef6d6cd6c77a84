"""A connection fed byte by byte and all at once, without a network."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.errors import ApiError
from penstock.http.app import Application
from penstock.http.exchange import Response
from penstock.http.protocol import Protocol
from penstock.http.shared import Shared
from penstock.iam.base import SentRequest
from penstock.limits import Limits

REFUSED = (
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n" + b"y" * 40 + b"\r\n0\r\n\r\n"
)
BEHIND = b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n"


class _App:
    """Counts what it is asked; bodies are at most 32 bytes."""

    def __init__(self) -> None:
        self.context = SimpleNamespace(limits=Limits())
        self.direct = None
        self.asked: list[bytes] = []
        self.room: object = None

    def body_limit(self, named: Mapping[bytes, bytes]) -> int:
        return 32

    def refusal(self, error: ApiError) -> Response:
        return Response(error.status, None, error.code.encode())

    async def respond(self, sent: SentRequest, scheme: str) -> Response:
        self.asked.append(sent.path)
        return Response(200, None, sent.path)


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.ended = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.written += b"".join(list_of_data)

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _feed(pieces: list[bytes]) -> tuple[_App, _Transport]:
    app, transport = _App(), _Transport()
    loop = asyncio.get_running_loop()
    protocol = Protocol(Shared(cast(Application, app), loop), loop)
    protocol.connection_made(transport)
    for piece in pieces:
        protocol.data_received(piece)
    for _ in range(20):
        await asyncio.sleep(0)
    return app, transport


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
async def test_nothing_behind_a_refused_request_is_carried_out(size: int) -> None:
    """However it arrives: what follows a refusal may be part of what was refused (R13)."""
    sent = REFUSED + BEHIND
    app, transport = await _feed([sent[i : i + size] for i in range(0, len(sent), size)])
    assert app.asked == []
    assert transport.written.startswith(b"HTTP/1.1 413 ")
    assert transport.written.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
async def test_pipelined_requests_are_answered_in_order(size: int) -> None:
    sent = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(5)) + REFUSED
    app, transport = await _feed([sent[i : i + size] for i in range(0, len(sent), size)])
    assert app.asked == [b"/0", b"/1", b"/2", b"/3", b"/4"]
    statuses = re.findall(rb"HTTP/1\.1 (\d{3})", transport.written)
    assert statuses == [b"200"] * 5 + [b"413"]
    assert transport.closed or transport.ended


async def test_every_body_is_released() -> None:
    app, loop = _App(), asyncio.get_running_loop()
    shared = Shared(cast(Application, app), loop)
    for sent in (REFUSED, b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", REFUSED[:70]):
        protocol = Protocol(shared, loop)
        protocol.connection_made(_Transport())
        protocol.data_received(sent)
        for _ in range(20):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
    assert shared.in_flight == 0


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def _connect(app: _App) -> tuple[Protocol, _Transport]:
    loop, transport = asyncio.get_running_loop(), _Transport()
    protocol = Protocol(Shared(cast(Application, app), loop), loop)
    protocol.connection_made(transport)
    return protocol, transport


async def test_a_request_behind_replies_nobody_takes_is_begun_once_they_are_taken() -> None:
    app = _App()
    protocol, transport = _connect(app)
    protocol.pause_writing()
    protocol.data_received(BEHIND + BEHIND.replace(b"/b", b"/c"))
    await _turns()
    assert app.asked == []
    # However often that changes before the next turn.
    protocol.resume_writing()
    protocol.pause_writing()
    protocol.resume_writing()
    await _turns()
    assert app.asked == [b"/b", b"/c"]
    assert transport.written.count(b"HTTP/1.1 200") == 2


async def test_replies_pause_between_requests_sent_ahead() -> None:
    app = _App()
    protocol, _ = _connect(app)
    protocol.data_received(BEHIND * 3)
    protocol.pause_writing()
    await _turns()
    assert len(app.asked) == 1
    protocol.resume_writing()
    await _turns()
    assert len(app.asked) == 3


class _Waiting(_App):
    """Answers once `go` is set, whatever that is set to."""

    def __init__(self) -> None:
        super().__init__()
        self.go: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    async def respond(self, sent: SentRequest, scheme: str) -> Response:
        self.asked.append(sent.path)
        await asyncio.sleep(0)
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.001))
        async with asyncio.Lock():
            return await self.go


async def test_an_answer_may_wait_for_anything_that_is_a_future() -> None:
    app = _Waiting()
    protocol, transport = _connect(app)
    protocol.data_received(BEHIND)
    await asyncio.sleep(0.05)
    assert transport.written == b""
    assert len(protocol.waiting) == 1
    app.go.set_result(Response(200, None, b"done"))
    await _turns()
    assert transport.written.endswith(b"done")
    assert not protocol.waiting


async def test_an_answer_nobody_waits_for_any_more_is_carried_to_its_end_and_not_sent() -> None:
    app = _Waiting()
    protocol, transport = _connect(app)
    protocol.data_received(BEHIND)
    protocol.connection_lost(None)
    await asyncio.sleep(0.05)
    app.go.set_result(Response(200, None, b"done"))
    await _turns()
    assert transport.written == b""
    assert not protocol.waiting


async def test_what_cannot_be_answered_ends_the_connection() -> None:
    app, noted = _Waiting(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noted.append(context["exception"]))
    protocol, transport = _connect(app)
    protocol.data_received(BEHIND)
    await asyncio.sleep(0.05)
    app.go.set_exception(RuntimeError("bug"))
    await _turns()
    assert [str(error) for error in noted] == ["bug"]
    assert transport.closed
    assert not protocol.waiting
