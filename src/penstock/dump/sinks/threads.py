"""Calls of libraries that block, each in a thread of its own and with a time limit. Owns what becomes of calls that hang; knows no
library.

A thread cannot be ended. One that takes too long, or whose caller was cancelled, is left behind: it holds up neither later calls nor the
end of the process, and what it was asked by must make sure that what it still does is harmless. So that a destination that hangs for
hours does not fill the process with threads, there are never more than a few of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from penstock.dump.base import NotDelivered

MOST_LEFT = 4
"""Calls of one caller that may hang at a time; while there are as many, nothing is tried."""

T = TypeVar("T")


class Threads:
    """The calls of one sink. `what` names the destination in messages."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._left: list[threading.Thread] = []

    def __repr__(self) -> str:
        return f"<Threads for {self.what}, {len(self._left)} left behind>"

    async def run(self, seconds: float, function: Callable[[], T]) -> T:
        """What the function returns or raises. Raises NotDelivered when it takes longer, or when too many others still hang."""
        self._left = [thread for thread in self._left if thread.is_alive()]
        if len(self._left) >= MOST_LEFT:
            raise NotDelivered(f"{self.what}: {MOST_LEFT} earlier attempts still wait for an answer")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def tell(result: T | None, error: BaseException | None) -> None:
            if not answer.done():
                if error is not None:
                    answer.set_exception(error)
                else:
                    answer.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                result = function()
            except BaseException as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(tell, result, error)

        thread = threading.Thread(target=work, name="dump", daemon=True)
        thread.start()
        try:
            await asyncio.wait((answer,), timeout=seconds)
        except asyncio.CancelledError:
            answer.cancel()
            self._left.append(thread)
            raise
        if not answer.done():
            answer.cancel()
            self._left.append(thread)
            raise NotDelivered(f"{self.what}: no answer within {seconds:g} seconds")
        return answer.result()
