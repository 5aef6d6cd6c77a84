"""Memory that tasks share (engines-and-sinks.md A3): rounds that wait for a destination that hangs leave the rest to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.dumping import Dumping, FakeSink, obs

from penstock.dump.base import Round
from penstock.dump.engine import MEMORY_BYTES
from penstock.dump.runner import ROUND_BYTES

HANGING = MEMORY_BYTES // ROUND_BYTES
"""So many rounds of the largest size are all that fits."""


@pytest.fixture
async def dumping(tmp_path: Path) -> AsyncIterator[Dumping]:
    made = await Dumping.open(tmp_path)
    await made.start()
    yield made
    await made.close()


async def test_small_rounds_read_again_after_a_restart_hold_up_nobody(
    dumping: Dumping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a plan's records need is known only when they have been read."""
    for number in range(HANGING):
        await dumping.add(obs(task_name=f"hangs-{number}"), task_id=f"task000000000000000{number}")
    dumping.world.failures = ["down"] * HANGING
    await dumping.put(0, b"a")
    await dumping.after(30)
    await dumping.stop()

    hung: set[str] = set()
    deliver = FakeSink.deliver

    async def hangs(sink: FakeSink, round_: Round) -> None:
        if round_.task.name.startswith("hangs"):
            hung.add(round_.task.name)
            await asyncio.Event().wait()
        await deliver(sink, round_)

    monkeypatch.setattr(FakeSink, "deliver", hangs)
    starting = asyncio.create_task(dumping.start())
    async with asyncio.timeout(10):
        while len(hung) < HANGING:
            await asyncio.sleep(0.01)
        task = await dumping.add(obs(task_name="goes"), task_id="task0000000000000009")
        await dumping.coordinator.settle()
        await dumping.put(1, b"b")
        dumping.clock.advance(30)
        while dumping.positions(task)[1].next_sequence == 0:
            await asyncio.sleep(0.01)
    assert dumping.world.records() == [b"b"]
    starting.cancel()
