"""A network that fails: a proxy before a real server that does to each request what a test says. Owns forwarding, in a thread of its own,
and what can go wrong with it; knows no destination and no sink.

    with FaultyHttp(service.port("http")) as proxy:
        proxy.plan = some(Fault.LOSE, times=1)      # the next request arrives, its answer does not

`FaultyHttp` speaks HTTP/1.1, `FaultyPostgres` PostgreSQL's protocol 3 (a request is a statement there).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

HOST = "127.0.0.1"
PIECE_BYTES = 16 << 10
HEAD_BYTES = 1 << 20
GARBAGE = bytes(range(256)) * 4
_CLOSED = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError)

T = TypeVar("T")


class Fault(StrEnum):
    """What becomes of a request."""

    NONE = "none"
    REFUSE = "refuse"
    """The server does not see it; the answer is that it is not available (503, or PostgreSQL's 57P03)."""
    RESET = "reset"
    """The server does not see it; the connection is reset."""
    LOSE = "lose"
    """The server does it and answers; then the connection is reset: timed out after commit."""
    HANG = "hang"
    """The server does not see it; nothing happens until `heal`, then the connection is reset."""
    DELAY = "delay"
    """The server does it and answers, but that stays here until `heal`; then the connection is reset."""
    GARBAGE = "garbage"
    """The server does it; bytes that mean nothing are the answer."""


class Request(NamedTuple):
    """What a plan sees of a request: method and path with query; a statement has the method QUERY, a new connection CONNECT."""

    method: str
    target: str
    body: bytes = b""


Plan = Callable[[Request], Fault]
When = Callable[[Request], bool]


def any_(request: Request) -> bool:
    """Every request."""
    return True


def pass_on(request: Request) -> Fault:
    """Nothing fails."""
    return Fault.NONE


def some(fault: Fault, when: When = any_, *, times: int | None = None, after: int = 0) -> Plan:
    """Requests for which `when` holds fail: the first `after` of them pass, then `times` fail (None: all), then all pass."""
    seen = 0

    def plan(request: Request) -> Fault:
        nonlocal seen
        if not when(request):
            return Fault.NONE
        seen += 1
        return fault if seen > after and (times is None or seen <= after + times) else Fault.NONE

    return plan


def bursts(fault: Fault, *, passing: int, failing: int, when: When = any_) -> Plan:
    """So many pass, then so many fail, again and again."""
    seen = 0

    def plan(request: Request) -> Fault:
        nonlocal seen
        if not when(request):
            return Fault.NONE
        seen += 1
        return fault if (seen - 1) % (passing + failing) >= passing else Fault.NONE

    return plan


def seeded(seed: int, percent: Mapping[Fault, float], when: When = any_) -> Plan:
    """Each request fails in one of these ways with this probability."""
    chance = random.Random(seed)

    def plan(request: Request) -> Fault:
        drawn = chance.random() * 100
        if not when(request):
            return Fault.NONE
        for fault, share in percent.items():
            drawn -= share
            if drawn < 0:
                return fault
        return Fault.NONE

    return plan


class Faulty:
    """Listens on `port`, which stays the same while it is `down`, and forwards to `upstream`.

    plan              what becomes of each request; called in the proxy's thread
    bytes_per_second  how fast bytes go through, each way; None: as they come
    done              how many requests each fault (also NONE) has happened to
    replace           bytes of answers -> as long a text instead (addresses that must lead through a proxy, too)
    """

    scheme: ClassVar[str]

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.plan: Plan = pass_on
        self.bytes_per_second: int | None = None
        self.done: Counter[Fault] = Counter()
        self.replace: dict[bytes, bytes] = {}
        self.port = _free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {upstream}", daemon=True)
        self._server: asyncio.Server | None = None
        self._healed = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread.start()
        self.up()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.port} -> {self.upstream}, {dict(self.done)}>"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}"

    # What tests do

    def down(self) -> None:
        """Nobody listens any more; connections are reset."""
        self._call(self._down())

    def up(self) -> None:
        """Somebody listens again."""
        self._call(self._up())

    def heal(self) -> None:
        """Everything works from now on; what hung is reset."""
        self.plan = pass_on
        self.bytes_per_second = None
        self._call(self._release())
        self.up()

    def failed(self) -> int:
        """How many requests anything happened to."""
        return sum(count for fault, count in self.done.items() if fault is not Fault.NONE)

    def close(self) -> None:
        self._call(self._down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # In the thread

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _up(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, HOST, self.port, limit=HEAD_BYTES, reuse_address=True
            )

    async def _down(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _release(self) -> None:
        self._healed.set()
        await asyncio.sleep(0)
        self._healed = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (*_CLOSED, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, until it ends; what is left of it then is reset."""
        raise NotImplementedError

    def _fate(self, request: Request) -> Fault:
        fault = self.plan(request)
        self.done[fault] += 1
        return fault

    async def _wait(self) -> None:
        await self._healed.wait()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        speed = self.bytes_per_second
        if not speed:
            writer.write(data)
            await writer.drain()
            return
        size = max(1, min(PIECE_BYTES, speed // 20))
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(len(piece) / speed)

    def _replaced(self, data: bytes) -> bytes:
        for old, new in self.replace.items():
            assert len(old) == len(new)
            data = data.replace(old, new)
        return data


def _free_port() -> int:
    """Of five digits, as those of `tests.services`, and below the ephemeral range: nobody else takes it while the proxy is down."""
    while True:
        number = random.randrange(20100, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, number))
            return number


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees a reset; not when it has been closed as it should be."""
    if writer.is_closing():
        return
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# HTTP -----------------------------------------------------------------------------------------------------------------

_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nunavailable\n"
)
_NO_BODY = (204, 304)


class _Message(NamedTuple):
    """A request or an answer as bytes. `ended`: its body went up to the end of the connection."""

    start: list[str]
    head: bytes
    body: bytes
    ended: bool = False


class FaultyHttp(Faulty):
    """HTTP/1.1. Every request goes on over a connection of its own, as it is."""

    scheme = "http"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await _message(reader)
            if message is None:
                writer.close()
                return
            method, target = message.start[:2]
            fault = self._fate(Request(method, target, message.body))
            if fault is Fault.RESET:
                return
            if fault is Fault.HANG:
                await self._wait()
                return
            if fault is Fault.REFUSE:
                await self._send(writer, _UNAVAILABLE)
                continue
            answer = await self._forward(message)
            if answer is None or fault is Fault.LOSE:
                return
            if fault is Fault.DELAY:
                await self._wait()
                return
            if fault is Fault.GARBAGE:
                await self._send(writer, GARBAGE)
                writer.close()
                return
            await self._send(writer, self._replaced(answer.head + answer.body))
            if answer.ended:
                writer.close()
                return

    async def _forward(self, message: _Message) -> _Message | None:
        """The server's answer; None when there is none."""
        reader, writer = await asyncio.open_connection(HOST, self.upstream, limit=HEAD_BYTES)
        try:
            await self._send(writer, message.head + message.body)
            while True:
                answer = await _message(reader, asked=message.start[0])
                if answer is None or not answer.start[1].startswith("1"):
                    return answer
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader, *, asked: str = "") -> _Message | None:
    """The next message; `asked` is the method that an answer is for. None at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    lines = head.decode("latin-1").split("\r\n")
    start = lines[0].split(" ", 2)
    fields = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
    }
    if asked == "HEAD" or (asked and (int(start[1]) in _NO_BODY or start[1].startswith("1"))):
        return _Message(start, head, b"")
    if "chunked" in fields.get("transfer-encoding", ""):
        return _Message(start, head, await _chunked(reader))
    if "content-length" in fields:
        return _Message(start, head, await reader.readexactly(int(fields["content-length"])))
    if asked:
        return _Message(start, head, await reader.read(), ended=True)
    return _Message(start, head, b"")


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    """A chunked body as it is on the wire."""
    found = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        found += line
        if size == 0:
            while True:
                line = await reader.readuntil(b"\r\n")
                found += line
                if line == b"\r\n":
                    return found
        found += await reader.readexactly(size + 2)


# PostgreSQL -----------------------------------------------------------------------------------------------------------

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_READY = b"Z"
_STATEMENTS = (b"Q", b"P")


class FaultyPostgres(Faulty):
    """PostgreSQL without TLS. Requests are new connections and statements; what is between them passes."""

    scheme = "postgresql"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            startup = await reader.readexactly(4)
            startup += await reader.readexactly(struct.unpack("!i", startup)[0] - 4)
            if struct.unpack("!i", startup[4:8])[0] not in (_SSL_REQUEST, _GSS_REQUEST):
                break
            writer.write(b"N")
        fault = self._fate(Request("CONNECT", ""))
        if fault is Fault.HANG:
            await self._wait()
        if fault is Fault.REFUSE:
            await self._send(writer, _SHUTTING_DOWN)
            writer.close()
        if fault is not Fault.NONE:
            return
        theirs, server = await asyncio.open_connection(HOST, self.upstream)
        conversation = _Conversation(self, reader, writer, theirs, server)
        try:
            server.write(startup)
            await conversation.run()
        finally:
            server.close()


class _Conversation:
    """One connection, from after its first message on."""

    def __init__(
        self,
        proxy: FaultyPostgres,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        theirs: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._theirs = theirs
        self._server = server
        self._hidden: Fault | None = None
        """What becomes of the server's answers from now on."""

    async def run(self) -> None:
        """Until one side ends, or a fault has ended it."""
        both = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _requests(self) -> None:
        while True:
            kind, rest = await _pg_message(self._reader)
            if kind in _STATEMENTS:
                names = rest[4:].split(b"\0")
                statement = names[0] if kind == b"Q" else names[1]
                fault = self._proxy._fate(Request("QUERY", statement.decode(errors="replace")))
                if fault is Fault.RESET:
                    return
                if fault is Fault.REFUSE:
                    await self._proxy._send(self._writer, _SHUTTING_DOWN)
                    self._writer.close()
                    return
                if fault is Fault.HANG:
                    await self._proxy._wait()
                    return
                if fault is not Fault.NONE:
                    self._hidden = fault
            await self._proxy._send(self._server, kind + rest)

    async def _answers(self) -> None:
        while True:
            kind, rest = await _pg_message(self._theirs)
            if self._hidden is None:
                await self._proxy._send(self._writer, kind + rest)
            elif kind == _READY:
                if self._hidden is Fault.GARBAGE:
                    await self._proxy._send(self._writer, GARBAGE)
                    self._writer.close()
                elif self._hidden is Fault.DELAY:
                    await self._proxy._wait()
                return


async def _pg_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Its type, and its length with what follows."""
    kind = await reader.readexactly(1)
    length = await reader.readexactly(4)
    return kind, length + await reader.readexactly(struct.unpack("!i", length)[0] - 4)


def _pg_error(severity: str, code: str, message: str) -> bytes:
    fields = f"S{severity}\0V{severity}\0C{code}\0M{message}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


_SHUTTING_DOWN = _pg_error("FATAL", "57P03", "the database system is not yet accepting connections")
