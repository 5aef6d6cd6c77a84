"""Libraries that block: what hangs is left behind, and there are never more than a few of those."""

from __future__ import annotations

import asyncio
import threading

import pytest

from penstock.dump.base import NotDelivered
from penstock.dump.sinks.threads import MOST_LEFT, Threads


async def test_what_a_call_returns_and_raises() -> None:
    threads = Threads("the lake")
    assert await threads.run(10, lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        await threads.run(10, lambda: 1 // 0)


async def test_what_hangs_is_left_behind() -> None:
    threads = Threads("the lake")
    released = threading.Event()
    try:
        for _ in range(MOST_LEFT):
            with pytest.raises(NotDelivered, match=r"the lake: no answer within 0\.05 seconds"):
                await threads.run(0.05, released.wait)
        with pytest.raises(NotDelivered, match="4 earlier attempts still wait"):
            await threads.run(10, lambda: 1)
    finally:
        released.set()
    async with asyncio.timeout(10):
        while True:
            try:
                assert await threads.run(10, lambda: 1) == 1
                break
            except NotDelivered:
                await asyncio.sleep(0.01)


async def test_a_caller_that_is_cancelled_waits_no_longer() -> None:
    threads = Threads("the lake")
    released, began = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        released.wait()

    calling = asyncio.create_task(threads.run(60, work))
    await asyncio.to_thread(began.wait)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    released.set()


def test_a_call_that_ends_after_the_event_loop_says_nothing() -> None:
    released, ended = threading.Event(), threading.Event()

    def work() -> None:
        released.wait()
        ended.set()

    with pytest.raises(NotDelivered):
        asyncio.run(Threads("the lake").run(0.05, work))
    released.set()
    assert ended.wait(10)
