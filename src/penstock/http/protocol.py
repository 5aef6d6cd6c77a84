"""HTTP/1.1 on a connection: uvicorn's parser and connection handling, with limits on everything a stranger can make grow
and one write per reply.

Owns sockets' timing and sizes; knows nothing of what a request means (that is `http.app`). A request is answered once it
has arrived whole, in the order of arrival. Limits: header bytes and count, body bytes per request and in flight, bytes of replies
that nobody reads, time for headers and for a body, idle time, connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from penstock.errors import ApiError
from penstock.http.app import Application, too_large
from penstock.http.exchange import Response
from penstock.http.manage import ManageApplication
from penstock.iam.base import SentRequest

_DISCARD_BYTES = 64 << 20
_DISCARD_SECONDS = 5.0
_SLOW_BODY_BYTES_PER_SECOND = 1024
_STALLED_WRITE_SECONDS = 60.0
_UNREAD_SECONDS = 1.0
"""A client that takes nothing for so long may be cut off when others need the room its reply takes."""
_ROOM_SECONDS = 0.1
_PIECES = 64
"""A reply in more pieces is copied together: a system call for many small ones costs more than the copy."""


async def _unused(scope: object, receive: object, send: object) -> None:
    """uvicorn's settings want an ASGI application; requests go to `Application.respond` directly."""


class Shared:
    """What all connections of a server share: the application, its limits, the bytes of bodies and of unread replies in memory."""

    def __init__(self, app: Application | ManageApplication, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.limits = app.context.limits
        self.in_flight = 0
        self.draining = False
        self.unread: dict[Protocol, _Unread] = {}
        """Connections whose client has not taken its reply yet, the oldest first."""
        self.state = ServerState()
        self._emptied = asyncio.Event()
        self.config = Config(
            _unused, log_config=None, access_log=False, lifespan="off", ws="none", http="httptools"
        )
        self.config.load()
        self._loop = loop
        self._date_at = 0
        self._date = b""
        app.room = self.room

    def date(self) -> bytes:
        """The Date header's line, made once a second."""
        now = int(time.time())
        if now != self._date_at:
            self._date_at = now
            self._date = b"date: " + email.utils.formatdate(now, usegmt=True).encode() + b"\r\n"
        return self._date

    def factory(self) -> Callable[[], Protocol]:
        return lambda: Protocol(self, self._loop)

    async def finish(self, seconds: float) -> None:
        """Let every request that has arrived be answered; cut what takes longer."""
        self.draining = True
        for connection in list(self.state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty(), seconds)
        for connection in list(self.state.connections):
            connection.transport.abort()
        # A turn of the loop for the aborted ones to go.
        await asyncio.sleep(0)

    async def _empty(self) -> None:
        while self.state.connections:
            self._emptied.clear()
            await self._emptied.wait()

    def left(self, connection: Protocol) -> None:
        """A connection has gone."""
        self.unread.pop(connection, None)
        self._emptied.set()

    async def room(self) -> None:
        """Return once what clients have not read leaves room for another large reply. Clients that take nothing for a while
        are the ones that make it, by being cut off."""
        while self.unread and not self._make_room():  # noqa: ASYNC110 nothing tells when a client has read some more
            await asyncio.sleep(_ROOM_SECONDS)

    def _make_room(self) -> bool:
        now, total = self._loop.time(), 0
        for connection, mark in list(self.unread.items()):
            waiting = connection.transport.get_write_buffer_size()
            if not waiting:
                del self.unread[connection]
                continue
            if waiting != mark.waiting:
                mark.waiting, mark.since = waiting, now
            total += waiting
        most = self.limits.replies_unread_bytes
        for connection, mark in list(self.unread.items()):
            if total <= most:
                break
            if now - mark.since >= _UNREAD_SECONDS:
                total -= mark.waiting
                del self.unread[connection]
                connection.transport.abort()
        return total <= most

    def sweep(self) -> None:
        """Close what is too slow or idle; called once a second."""
        now = self._loop.time()
        for connection in list(self.state.connections):
            assert isinstance(connection, Protocol)
            connection.sweep(now)


class _Unread:
    """How much of a reply a client has not taken, and since when that has not changed."""

    __slots__ = ("since", "waiting")

    def __init__(self, waiting: int, since: float) -> None:
        self.waiting = waiting
        self.since = since


class _Event:
    """Stands in for the event uvicorn's own cycle has; nothing here waits for it."""

    def set(self) -> None:
        pass


class _Cycle:
    """One request and its reply."""

    __slots__ = (
        "chunks", "disconnected", "headers", "keep_alive", "limit", "message_event", "method", "path", "query",
        "refusal", "response_complete", "size",
    )  # fmt: skip

    def __init__(self, method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.chunks: list[bytes] = []
        self.size = 0
        self.limit = 0
        self.keep_alive = True
        self.refusal: Response | None = None
        # What the base class reads:
        self.response_complete = False
        self.disconnected = False
        self.message_event = _EVENT


_EVENT = _Event()


class Protocol(HttpToolsProtocol):
    """A connection."""

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(shared.config, shared.state, {}, loop)
        self._shared = shared
        self._queue: deque[_Cycle] = deque()
        self._reading: _Cycle | None = None
        self._header_bytes = 0
        self._refusal: Response | None = None
        self._began: float | None = None
        self._body_began = 0.0
        self._last_read = loop.time()
        self._discarded = 0
        self._write_mark = (0, loop.time())
        self._peer = ""

    # Arriving -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        if len(self.connections) > self._shared.limits.connections:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        for cycle in self._queue:
            cycle.disconnected = True
            self._release(cycle)
        self._queue.clear()
        if self._reading is not None:
            self._release(self._reading)
            self._reading = None
        super().connection_lost(exc)
        self._shared.left(self)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            self._discard(len(data))
            return
        self._last_read = self.loop.time()
        if self._began is None and self._reading is None:
            self._began = self._last_read
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as plain HTTP/1.1, as the protocol allows
        except httptools.HttpParserError:
            if self._refusal is None:
                self._refuse(ApiError("APIGW.0106", "[not an HTTP/1.1 request]"))
            return
        if self._reading is None and self._began is not None:
            self._header_bytes += len(data)
            if self._header_bytes > self._shared.limits.header_bytes:
                self._refuse(_too_many_headers(self._shared.limits.header_bytes))

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._header_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        limits = self._shared.limits
        if self._header_bytes > limits.header_bytes or len(self.headers) >= limits.header_count:
            self._refuse(_too_many_headers(limits.header_bytes))
            raise ValueError("headers over the limit")
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._refusal is not None:
            return  # behind a refused request, in the same read
        self._began = None
        self._header_bytes = 0
        path, _, query = self.url.partition(b"#")[0].partition(b"?")
        if b"://" in path[:8]:  # absolute form, as a proxy sends it
            path = b"/" + path.split(b"://", 1)[1].partition(b"/")[2]
        cycle = _Cycle(self.parser.get_method().decode("ascii"), path, query, self.headers)
        cycle.keep_alive = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        self._reading = cycle
        self._body_began = self._last_read
        cycle.limit = self._shared.app.body_limit(self.headers)
        length = 0
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        if length > cycle.limit:
            self._refuse(too_large(cycle.limit))
        elif self._shared.in_flight + length > self._shared.limits.bodies_in_flight_bytes:
            self._refuse(ApiError("APIGW.0203", "[too many bodies in flight]"))
        elif self.expect_100_continue and not self._queue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        cycle = self._reading
        if cycle is None:
            self._discard(len(body))
            return
        cycle.size += len(body)
        self._shared.in_flight += len(body)
        if cycle.size > cycle.limit:
            self._refuse(too_large(cycle.limit))
            return
        cycle.chunks.append(body)

    def on_message_complete(self) -> None:
        cycle = self._reading
        if cycle is None:
            return
        self._reading = None
        self._queue.append(cycle)
        if len(self._queue) == 1:
            self._start(cycle)
        elif not self.flow.read_paused:
            # Pipelined requests wait in the socket, not in memory.
            self.flow.pause_reading()

    # Answering ----------------------------------------------------------------------------------------------------

    def _start(self, cycle: _Cycle) -> None:
        self.cycle = cycle  # type: ignore[assignment]
        task = self.loop.create_task(self._answer(cycle))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, cycle: _Cycle) -> None:
        if self.flow.write_paused:
            await self.flow.drain()
        if cycle.refusal is not None:
            response = cycle.refusal
        else:
            chunks, cycle.chunks = cycle.chunks, []
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            del chunks
            sent = SentRequest(cycle.method, cycle.path, cycle.query, cycle.headers, body, self._peer)
            del body  # whoever reads it may let go of it
            if cycle.method == "GET" and self._shared.unread:
                await self._shared.room()
            response = await self._shared.app.respond(sent, self.scheme or "http")
        self._release(cycle)
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        keep_alive = cycle.keep_alive and not self._shared.draining
        self._send(response, keep_alive=keep_alive, head=cycle.method == "HEAD")
        self._written(keep_alive=keep_alive)

    def _send(self, response: Response, *, keep_alive: bool, head: bool = False) -> None:
        """With `head`, what a body would be and nothing of it."""
        lines = [STATUS_LINE[response.status], self._shared.date()]
        lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in response.headers]
        if response.content_type is not None:
            lines.append(b"content-type: %b\r\n" % response.content_type.encode())
        body = response.body
        if response.status != 204:
            size = len(body) if isinstance(body, bytes) else sum(map(len, body))
            lines.append(b"content-length: %d\r\n" % size)
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if head or not body:
            self.transport.write(b"".join(lines))
        elif isinstance(body, bytes):
            lines.append(body)
            self.transport.write(b"".join(lines))
        elif len(body) > _PIECES:
            self.transport.write(b"".join(lines + body))
        else:
            self.transport.writelines([b"".join(lines), *body])
        if (waiting := self.transport.get_write_buffer_size()) and self not in self._shared.unread:
            self._shared.unread[self] = _Unread(waiting, self.loop.time())

    def _written(self, *, keep_alive: bool) -> None:
        """A reply has left: go on with the next request, or end the connection."""
        if self._queue:
            self._queue.popleft()
        self.server_state.total_requests += 1
        if not keep_alive:
            self.transport.close()
        elif self._queue:
            self._start(self._queue[0])
        else:
            self.flow.resume_reading()
            self._last_read = self.loop.time()

    def shutdown(self) -> None:
        """Finish what has arrived, take nothing more."""
        if not self._queue and self._reading is None:
            self.transport.close()
        for cycle in self._queue:
            cycle.keep_alive = cycle is not self._queue[-1]

    # Refusing -----------------------------------------------------------------------------------------------------

    def _refuse(self, error: ApiError) -> None:
        """Answer now and end the connection: what follows on it cannot be understood, or is the rest of what was refused. It
        is read and dropped, so that the client reads the answer instead of a reset."""
        self._refusal = response = self._shared.app.refusal(error)
        if self._reading is not None:
            self._release(self._reading)
            self._reading = None
        self._answer_last(response)

    def _answer_last(self, response: Response) -> None:
        if self.transport.is_closing():
            return
        if self._queue:
            last = _Cycle("", b"", b"", [])
            last.refusal = response
            last.keep_alive = False
            self._queue.append(last)
            return
        self._send(response, keep_alive=False)
        self._linger()

    def _linger(self) -> None:
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_DISCARD_SECONDS, self.transport.close)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > _DISCARD_BYTES:
            self.transport.close()

    def _release(self, cycle: _Cycle) -> None:
        self._shared.in_flight -= cycle.size
        cycle.size = 0
        cycle.chunks = []

    def eof_received(self) -> Any:
        # A half-closed client still gets the replies it waits for.
        return bool(self._queue)

    # Time ---------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Close the connection when it takes too long to say what it wants, or to read the reply."""
        limits = self._shared.limits
        waiting = self.transport.get_write_buffer_size()
        if waiting == 0 or waiting != self._write_mark[0]:
            self._write_mark = (waiting, now)
        elif now - self._write_mark[1] > _STALLED_WRITE_SECONDS:
            self.transport.abort()
            return
        if self._refusal is not None or self._queue:
            return
        if self._reading is not None:
            elapsed = now - self._body_began
            slow = (
                elapsed > limits.body_idle_seconds
                and self._reading.size < elapsed * _SLOW_BODY_BYTES_PER_SECOND
            )
            if slow or now - self._last_read > limits.body_idle_seconds:
                self._refuse(ApiError("APIGW.0202", "[body]"))
        elif self._began is not None:
            if now - self._began > limits.header_seconds:
                self._refuse(ApiError("APIGW.0202", "[headers]"))
        elif now - self._last_read > limits.keep_alive_seconds:
            self.transport.close()


def _too_many_headers(limit: int) -> ApiError:
    return ApiError("APIGW.0106", f"[headers: more than {limit} bytes, or too many of them]")
