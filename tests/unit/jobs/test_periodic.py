"""Jobs that run again and again."""

from __future__ import annotations

import asyncio

from penstock.jobs.periodic import Periodic


async def until(condition: asyncio.Event) -> None:
    await asyncio.wait_for(condition.wait(), 10)


async def test_it_runs_at_once_and_again_after_a_failure() -> None:
    runs = 0
    enough = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            enough.set()
        raise RuntimeError("this time")

    job = Periodic("test", work, 0.001)
    job.start()
    await until(enough)
    await job.stop()
    seen = runs
    await asyncio.sleep(0.01)
    assert runs == seen
    assert "stopped" in repr(job)


async def test_stopping_interrupts_a_run() -> None:
    started = asyncio.Event()
    ended = asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    job = Periodic("test", work, 1)
    job.start()
    await until(started)
    await job.stop()
    assert ended.is_set()


async def test_stopping_what_never_started() -> None:
    await Periodic("test", lambda: asyncio.sleep(0), 1).stop()
