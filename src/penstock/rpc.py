"""Calls between two processes over a socket pair. Owns framing and matching replies to calls; knows nothing of what is called.

A message is a 4-byte big-endian length and a msgpack array `[number, kind, body]`: `kind` is a method's name for a call,
"" for a result, "!" for an error (body: its text). Either end calls the other.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec
import structlog

_LENGTH = struct.Struct(">I")
MESSAGE_BYTES = 256 << 20
"""Largest message: a request's records, or the frames of one read."""
_RESULT, _ERROR = "", "!"

Method = Callable[[msgspec.Raw], Awaitable[Any]]
_log = structlog.get_logger("penstock.rpc")


class Disconnected(Exception):
    """The other process is gone."""


class RemoteError(Exception):
    """The other process could not do it; the message says why."""


class _Message(msgspec.Struct, array_like=True):
    number: int
    kind: str
    body: msgspec.Raw


class Peer(asyncio.BufferedProtocol):
    """One end. `methods` are what the other end may call; each gets the body undecoded and returns what to encode."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._calls: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._number = 0
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_Message)
        self._buffer = bytearray(1 << 18)
        self._start = self._end = 0
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._outgoing: list[bytes] = []
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # Calling ------------------------------------------------------------------------------------------------------

    async def call(self, kind: str, body: object) -> msgspec.Raw:
        """The result of a call, undecoded. Raises Disconnected, RemoteError."""
        return await self.request(kind, body)

    def request(self, kind: str, body: object) -> asyncio.Future[msgspec.Raw]:
        """The same for who does not wait at once. Raises Disconnected; the future does, and RemoteError."""
        if self._transport is None or self._transport.is_closing():
            raise Disconnected("the other process is gone")
        self._number += 1
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._send(self._number, kind, body)
        self._calls[self._number] = future
        return future

    def _send(self, number: int, kind: str, body: object) -> None:
        data = self._encoder.encode((number, kind, body))
        if not self._outgoing:
            # Everything said in one turn of the loop leaves in one write.
            asyncio.get_running_loop().call_soon(self.flush)
        self._outgoing += (_LENGTH.pack(len(data)), data)

    def flush(self) -> None:
        """Send what has been said so far, rather than in the next turn of the loop."""
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(outgoing))

    def close(self) -> None:
        """End the connection."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    # Being called -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=64 << 20)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        calls, self._calls = self._calls, {}
        for future in calls.values():
            if not future.done():
                future.set_exception(Disconnected("the other process is gone"))
        if not self.closed.done():
            self.closed.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._start == self._end:
            self._start = self._end = 0
        if self._end == len(self._buffer):
            pending = self._buffer[self._start : self._end]
            wanted = _LENGTH.unpack_from(pending)[0] + _LENGTH.size if len(pending) >= _LENGTH.size else 0
            # A new buffer, for the old one may still be exported; large enough for the message that has begun.
            self._buffer = bytearray(max(1 << 18, wanted, len(pending) * 2))
            self._buffer[: len(pending)] = pending
            self._start, self._end = 0, len(pending)
        return memoryview(self._buffer)[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self._end += nbytes
        buffer = self._buffer
        while self._end - self._start >= _LENGTH.size:
            size = _LENGTH.unpack_from(buffer, self._start)[0]
            if size > MESSAGE_BYTES:
                _log.error("message too large", size=size)
                self.close()
                return
            begin = self._start + _LENGTH.size
            if self._end < begin + size:
                return
            self._start = begin + size
            self._receive(self._decoder.decode(bytes(memoryview(buffer)[begin : begin + size])))

    def _receive(self, message: _Message) -> None:
        if message.kind in (_RESULT, _ERROR):
            future = self._calls.pop(message.number, None)
            if future is None or future.done():
                return
            if message.kind == _RESULT:
                future.set_result(message.body)
            else:
                future.set_exception(RemoteError(msgspec.msgpack.decode(message.body, type=str)))
            return
        task = asyncio.get_running_loop().create_task(self._serve(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, message: _Message) -> None:
        try:
            result = await self._methods[message.kind](message.body)
        except Exception as error:
            _log.exception("call failed", method=message.kind)
            self._send(message.number, _ERROR, f"{type(error).__name__}: {error}")
        else:
            self._send(message.number, _RESULT, result)
