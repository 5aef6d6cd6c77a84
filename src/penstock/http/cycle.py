"""One request and what answers it. Owns how the answer is carried on; knows neither parsing nor sending.

The coroutine that answers is carried on without a task: its first part runs at once, the rest when the future it waits for is done.
Nothing cancels it, and whatever needs a task makes its own (see `Application.respond`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from penstock.http.exchange import Response
from penstock.http.heads import Head

if TYPE_CHECKING:
    from hashlib import _Hash as HASH

    from penstock.http.protocol import Protocol


class Cycle:
    """One request and its reply."""

    __slots__ = (
        "_work", "block", "chunks", "counted", "gone", "hashed", "head", "keep_alive", "method", "path", "protocol", "query",
        "refusal", "size",
    )  # fmt: skip

    def __init__(self, protocol: Protocol, method: str, path: bytes, query: bytes, head: Head) -> None:
        self.protocol = protocol
        self.method = method
        self.path = path
        self.query = query
        self.head = head
        self.block: bytes | None = None
        """What to keep of the head once it is answered with success (see `http.heads`)."""
        self.chunks: list[bytes] = []
        self.hashed: HASH | None = None
        """Of a body that a signature is over, as far as it has arrived."""
        self.size = 0
        self.counted = -1
        """Bytes that count as being answered (see `Shared.begun`); -1 while it is not."""
        self.keep_alive = True
        self.refusal: Response | None = None
        self.gone = False
        """Whether the connection is: nobody reads the reply."""

    def begin(self, work: Coroutine[Any, Any, Response]) -> None:
        """Answer with what `work` returns."""
        self._work = work
        if not self._step():
            self.protocol.waiting.add(self)

    def answered(self, response: Response | bytes) -> None:
        """Send this, see `Protocol.answered`."""
        self.protocol.answered(self, response)

    def _go_on(self, _: object = None) -> None:
        if self._step():
            self.protocol.waiting.discard(self)

    def _step(self) -> bool:
        """Whether the work is done."""
        try:
            future = self._work.send(None)
        except StopIteration as done:
            self.protocol.answered(self, done.value)
            return True
        except BaseException as error:
            self.protocol.waiting.discard(self)
            self.protocol.transport.abort()
            if not isinstance(error, asyncio.CancelledError):
                raise
            return True
        if future is None:  # a turn of the loop
            self.protocol.loop.call_soon(self._go_on)
        else:
            # What a task does when it is given a future to wait for.
            future._asyncio_future_blocking = False
            future.add_done_callback(self._go_on)
        return False
