"""HTTP/1.1 on a connection: httptools parses, the rest is here, with limits on everything a stranger can make grow and one write
per reply.

Owns sockets' timing and sizes; knows nothing of what a request means (that is `http.app`). A request is answered once it
has arrived whole, in the order of arrival. Limits: header bytes and count, body bytes per request and in flight, bytes of replies
that nobody reads, time for headers and for a body, idle time, connections.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import httptools

from penstock.errors import ApiError
from penstock.http.app import too_large
from penstock.http.cycle import Cycle
from penstock.http.direct import token_of
from penstock.http.exchange import Response
from penstock.http.heads import Head, Known
from penstock.http.shared import Shared, Unread
from penstock.iam.base import SentRequest, by_name

_DISCARD_BYTES = 64 << 20
_DISCARD_SECONDS = 5.0
_SLOW_BODY_BYTES_PER_SECOND = 1024
_STALLED_WRITE_SECONDS = 60.0
_HASH_BYTES = 256 << 10
"""Larger bodies take several reads: what a signature is over is hashed between them, not all at once."""
_PIECES = 64
"""A reply in more pieces is copied together: a system call for many small ones costs more than the copy."""


class Protocol(asyncio.Protocol):
    """A connection."""

    __slots__ = (
        "_began", "_body_began", "_busy", "_discarded", "_due", "_header_bytes", "_headers", "_held", "_known", "_last_read",
        "_learn", "_parser", "_peer", "_queue", "_read_paused", "_reading", "_refusal", "_scheme", "_shared", "_url", "_within",
        "_write_mark", "_write_paused",
        "loop", "transport", "waiting",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting = shared.waiting
        self._shared = shared
        self._parser: Any = httptools.HttpRequestParser(self)
        # What follows a request with `Connection: close` is no error of that request.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._queue: deque[Cycle] = deque()
        """Requests that have arrived, the one being answered first."""
        self._busy = False
        """Whether the first of the queue is being answered, or will be in the next turn."""
        self._held = False
        """Whether it is not begun with because the client does not take the replies before it."""
        self._reading: Cycle | None = None
        self._within = False
        """Whether the parser is in the middle of a request."""
        self._due = 0
        """Bytes that are missing of the body of a request whose head was known: they do not go through the parser."""
        self._known: Known | None = None
        """What the last request began with, as far as it was known: the next one mostly begins with the same bytes."""
        self._learn: bytes | None = None
        """What was read where a request begins, until its head is parsed."""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._refusal: Response | None = None
        self._began: float | None = None
        self._body_began = 0.0
        self._last_read = loop.time()
        self._discarded = 0
        self._write_mark = (0, self._last_read)
        self._read_paused = self._write_paused = False
        self._peer, self._scheme = "", "http"

    # Arriving -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._peer = str(peer[0])
        if transport.get_extra_info("sslcontext"):
            self._scheme = "https"
        connections = self._shared.connections
        connections.add(self)
        if len(connections) > self._shared.limits.connections:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        for cycle in self._queue:
            cycle.gone = True
            self._release(cycle)
        self._queue.clear()
        if self._reading is not None:
            self._release(self._reading)
            self._reading = None
        if exc is None:
            self.transport.close()
        self._parser = None
        self._shared.left(self)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            self._discard(len(data))
            return
        self._last_read = self.loop.time()
        if self._due:
            data = self._take(data)
        elif not self._within and self._began is None and not self._queue:
            known = self._known
            if known is None or not data.startswith(known.start):
                known = self._known = self._shared.heads.find(data)
            if known is None:
                self._learn = data
            else:
                data = self._receive_known(known, data)
        if data:
            self._parse(data)
            self._learn = None
        # Not before: the parser must not be entered again, and what is wrong further on in the same read is known now.
        if self._queue and not self._busy:
            self._busy = True
            self._answer_next()

    def _receive_known(self, known: Known, data: bytes) -> bytes:
        """Begin with a request whose head need not be parsed. What is left of `data` for the parser: all of it when there is
        no room, for it to be refused as any other."""
        method, path, query, head, at, _ = known
        shared, length = self._shared, head.length
        if shared.in_flight + length > shared.limits.bodies_in_flight_bytes:
            return data
        cycle = Cycle(self, method, path, query, head)
        if len(data) == at + length:  # all of it, and nothing else
            cycle.size = length
            shared.in_flight += length
            cycle.chunks.append(data[at:])
            self._queue.append(cycle)
            return b""
        self._reading = cycle
        self._body_began = self._last_read
        self._due = length
        return self._take(data[at:])

    def _take(self, data: bytes) -> bytes:
        """Bytes of the body of such a request, and what is behind it."""
        cycle, due = self._reading, self._due
        assert cycle is not None
        rest = b""
        if len(data) > due:
            data, rest = data[:due], data[due:]
        if data:
            cycle.size += len(data)
            self._shared.in_flight += len(data)
            cycle.chunks.append(data)
            self._due = due = due - len(data)
        if not due:
            self.on_message_complete()
        return rest

    def _parse(self, data: bytes) -> None:
        if self._began is None and self._reading is None:
            self._began = self._last_read
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Answered as plain HTTP/1.1, as the protocol allows. What follows is for the parser alone.
            self._within = True
        except httptools.HttpParserError:
            if self._refusal is None:
                self._refuse(ApiError("APIGW.0106", "[not an HTTP/1.1 request]"))
            return
        if self._reading is None and self._began is not None:
            self._header_bytes += len(data)
            if self._header_bytes > self._shared.limits.header_bytes:
                self._refuse(_too_many_headers(self._shared.limits.header_bytes))

    def on_message_begin(self) -> None:
        self._within = True
        self._url = b""
        self._headers = []
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        size = self._header_bytes = self._header_bytes + len(name) + len(value)
        headers, limits = self._headers, self._shared.limits
        if size > limits.header_bytes or len(headers) >= limits.header_count:
            self._refuse(_too_many_headers(limits.header_bytes))
            raise ValueError("headers over the limit")
        headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._refusal is not None:
            return  # behind a refused request, in the same read
        self._began = None
        self._header_bytes = 0
        url, query = self._url, b""
        if b"#" in url:
            url = url.partition(b"#")[0]
        if b"?" in url:
            url, _, query = url.partition(b"?")
        if b"://" in url[:8]:  # absolute form, as a proxy sends it
            url = b"/" + url.split(b"://", 1)[1].partition(b"/")[2]
        parser, shared, headers = self._parser, self._shared, self._headers
        named = by_name(headers)
        length = int(named.get(b"content-length", b"0"))
        head = Head(headers, named, shared.app.body_limit(named), length, token_of(headers, named))
        cycle = Cycle(self, parser.get_method().decode("ascii"), url, query, head)
        cycle.keep_alive = parser.should_keep_alive() and parser.get_http_version() == "1.1"
        learn, self._learn = self._learn, None
        if learn is not None and cycle.keep_alive:
            cycle.block = shared.heads.block(learn, head)
        if length > _HASH_BYTES and b"authorization" in named and b"x-auth-token" not in named:
            cycle.hashed = sha256()
        self._reading = cycle
        self._body_began = self._last_read
        if length > head.limit:
            self._refuse(too_large(head.limit))
        elif shared.in_flight + length > shared.limits.bodies_in_flight_bytes:
            self._refuse(ApiError("APIGW.0203", "[too many bodies in flight]"))
        elif (
            b"expect" in named
            and not self._queue
            and any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        ):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        cycle = self._reading
        if cycle is None:
            self._discard(len(body))
            return
        cycle.size += len(body)
        self._shared.in_flight += len(body)
        if cycle.size > cycle.head.limit:
            self._refuse(too_large(cycle.head.limit))
            return
        cycle.chunks.append(body)
        if cycle.hashed is not None:
            cycle.hashed.update(body)

    def on_message_complete(self) -> None:
        self._within = False
        cycle = self._reading
        if cycle is None:
            return
        self._reading = None
        self._queue.append(cycle)
        if len(self._queue) > 1 and not self._read_paused:
            # Pipelined requests wait in the socket, not in memory.
            self._read_paused = True
            self.transport.pause_reading()

    # Answering ----------------------------------------------------------------------------------------------------

    def _answer_next(self) -> None:
        """Begin with the first of the queue, unless replies are to wait: then `resume_writing` does."""
        self._held = self._write_paused
        if self._held or not self._queue:
            return
        cycle, shared = self._queue[0], self._shared
        if cycle.refusal is not None:
            self.answered(cycle, cycle.refusal)
            return
        shared.begun(cycle)
        chunks, cycle.chunks = cycle.chunks, []
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        del chunks
        if shared.direct is not None and cycle.head.token is not None and shared.direct.begin(cycle, body):
            return
        head, body_hash = cycle.head, "" if cycle.hashed is None else cycle.hashed.hexdigest()
        sent = SentRequest(
            cycle.method, cycle.path, cycle.query, head.headers, body, self._peer, head.named, body_hash
        )
        del body  # whoever reads it may let go of it
        if shared.unread and cycle.method == "GET":
            work = self._answer_with_room(sent)
        else:
            work = shared.app.respond(sent, self._scheme)
        del sent
        cycle.begin(work)

    async def _answer_with_room(self, sent: SentRequest) -> Response:
        await self._shared.room()
        return await self._shared.app.respond(sent, self._scheme)

    def answered(self, cycle: Cycle, response: Response | bytes) -> None:
        """Send the reply, and go on with the next request or end the connection. Bytes are a 200 from behind its Date header on."""
        self._release(cycle)
        if cycle.gone or self.transport.is_closing():
            return
        keep_alive = cycle.keep_alive and not self._shared.draining
        if isinstance(response, bytes):
            if cycle.block is not None:
                self._shared.heads.keep(cycle.block, cycle.head)
            if not keep_alive:
                response = response.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
            self.transport.write(self._shared.start_of_success() + response)
        else:
            if cycle.block is not None and response.status == 200:
                self._shared.heads.keep(cycle.block, cycle.head)
            self._send(response, keep_alive=keep_alive, head=cycle.method == "HEAD")
        queue = self._queue
        if queue:
            queue.popleft()
        if not keep_alive:
            self.transport.close()
        elif queue:
            # In a turn of its own: other connections are served between the many requests one may send ahead.
            self.loop.call_soon(self._answer_next)
        else:
            self._busy = False
            self._last_read = self.loop.time()
            shared = self._shared
            if shared.crowded:
                if not self._read_paused:
                    self._read_paused = True
                    self.transport.pause_reading()
                shared.wait_turn(self)
            elif self._read_paused:
                self.resume()
            if shared.turns:
                shared.give_turns(2)

    def resume(self) -> None:
        """Read again, after a pause."""
        self._read_paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _send(self, response: Response, *, keep_alive: bool, head: bool = False) -> None:
        """With `head`, what a body would be and nothing of it."""
        status, content_type, body, headers = response
        transport = self.transport
        start = self._shared.start(status)
        for name, value in headers:
            start += f"{name}: {value}\r\n"
        if content_type is not None:
            start += f"content-type: {content_type}\r\n"
        if status != 204:
            size = len(body) if isinstance(body, bytes) else sum(map(len, body))
            start += f"content-length: {size}\r\n"
        start += "\r\n" if keep_alive else "connection: close\r\n\r\n"
        first = start.encode("latin-1")
        if head or not body:
            transport.write(first)
        elif isinstance(body, bytes):
            transport.write(first + body)
        elif len(body) > _PIECES:
            transport.write(b"".join([first, *body]))
        else:
            transport.writelines([first, *body])
        if (waiting := transport.get_write_buffer_size()) and self not in self._shared.unread:
            self._shared.unread[self] = Unread(waiting, self.loop.time())

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._held:
            self._held = False
            self.loop.call_soon(self._answer_next)

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
            last = Cycle(self, "", b"", b"", Head([], {}, 0, 0))
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

    def _release(self, cycle: Cycle) -> None:
        shared = self._shared
        shared.ended(cycle)
        shared.in_flight -= cycle.size
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


def factory(shared: Shared, loop: asyncio.AbstractEventLoop) -> Callable[[], Protocol]:
    """What makes the connections of a listener."""
    return lambda: Protocol(shared, loop)


def _too_many_headers(limit: int) -> ApiError:
    return ApiError("APIGW.0106", f"[headers: more than {limit} bytes, or too many of them]")
