"""What all connections of a listener share: the application, its limits, what is in memory for all of them together. Owns the room for
bodies and replies, and ending everything; knows no HTTP beyond a reply's first lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING

from penstock.http.app import Application
from penstock.http.cycle import Cycle
from penstock.http.heads import Heads
from penstock.http.manage import ManageApplication

if TYPE_CHECKING:
    from penstock.http.protocol import Protocol

_UNREAD_SECONDS = 1.0
"""A client that takes nothing for so long may be cut off when others need the room its reply takes."""
_ROOM_SECONDS = 0.1
AHEAD_BYTES, AHEAD_REQUESTS = 3 << 20, 8
"""With so many bytes of bodies and so many requests being answered, connections that have had their turn wait for the next one: bodies of
hundreds at once are out of the processor's caches before they are looked at, and take memory."""
_TURNS, _TURNS_SECONDS = 8, 0.005
"""So many of those that wait are let in at a time, when no reply does it."""


class Shared:
    """What all connections of a server share: the application, its limits, the bytes of bodies and of unread replies in memory."""

    def __init__(self, app: Application | ManageApplication, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.limits = app.context.limits
        self.in_flight = 0
        self.answering = self.answering_bytes = 0
        """Requests that have been begun with, and bytes of their bodies: they end without any client's help."""
        self.turns: deque[Protocol] = deque()
        """Connections that are not read from until others have been answered."""
        self._turning = False
        self.draining = False
        self.unread: dict[Protocol, Unread] = {}
        """Connections whose client has not taken its reply yet, the oldest first."""
        self.connections: set[Protocol] = set()
        self.waiting: set[Cycle] = set()
        """Requests whose answer waits for something: held here, for nothing else has to hold them."""
        self.heads = Heads()
        self.direct = app.direct
        self._emptied = asyncio.Event()
        self._loop = loop
        self._starts_at = 0
        self._starts: dict[int, str] = {}
        self._start_of_success = b""
        app.room = self.room

    def start(self, status: int) -> str:
        """The status line and the Date header, made once a second."""
        now = int(time.time())
        if now != self._starts_at:
            self._starts_at = now
            self._starts, self._start_of_success = {}, b""
        start = self._starts.get(status)
        if start is None:
            date = email.utils.formatdate(now, usegmt=True)
            start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ndate: {date}\r\n"
            self._starts[status] = start
        return start

    def start_of_success(self) -> bytes:
        """The same of a 200."""
        if int(time.time()) != self._starts_at or not self._start_of_success:
            self._start_of_success = self.start(200).encode()
        return self._start_of_success

    def begun(self, cycle: Cycle) -> None:
        """A request is being answered from now on."""
        cycle.counted = size = cycle.size
        self.answering += 1
        self.answering_bytes += size

    def ended(self, cycle: Cycle) -> None:
        """It has been answered, if it had been begun with."""
        if cycle.counted >= 0:
            self.answering -= 1
            self.answering_bytes -= cycle.counted
            cycle.counted = -1

    @property
    def crowded(self) -> bool:
        """Whether who has been answered waits for the others before it is read from again."""
        return self.answering_bytes > AHEAD_BYTES and self.answering > AHEAD_REQUESTS

    def wait_turn(self, connection: Protocol) -> None:
        """Read from a connection when there is room for what it sends."""
        self.turns.append(connection)
        if not self._turning:
            self._turning = True
            self._loop.call_later(_TURNS_SECONDS, self._turn)

    def give_turns(self, count: int) -> None:
        """Let so many in, as far as there is room."""
        turns = self.turns
        while count and turns and not self.crowded:
            turns.popleft().resume()
            count -= 1

    def _turn(self) -> None:
        self.give_turns(_TURNS)
        self._turning = bool(self.turns)
        if self._turning:
            self._loop.call_later(_TURNS_SECONDS, self._turn)

    async def finish(self, seconds: float) -> None:
        """Let every request that has arrived be answered; cut what takes longer."""
        self.draining = True
        for connection in list(self.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty(), seconds)
        for connection in list(self.connections):
            connection.transport.abort()
        # A turn of the loop for the aborted ones to go.
        await asyncio.sleep(0)

    async def _empty(self) -> None:
        while self.connections:
            self._emptied.clear()
            await self._emptied.wait()

    def left(self, connection: Protocol) -> None:
        """A connection has gone."""
        self.connections.discard(connection)
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
        for connection in list(self.connections):
            connection.sweep(now)


class Unread:
    """How much of a reply a client has not taken, and since when that has not changed."""

    __slots__ = ("since", "waiting")

    def __init__(self, waiting: int, since: float) -> None:
        self.waiting = waiting
        self.since = since
