"""Points between the counters and the catalog: exact over minutes, flushes and restarts; gone with their stream or their age."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.streams import PROJECT, make_context

from penstock.catalog.base import CatalogError, StreamQuota
from penstock.catalog.tables.monitoring import METRIC_BLOCKS
from penstock.clock import SteppedClock
from penstock.jobs.rollup import Rollup
from penstock.log.base import PartitionRef
from penstock.model.metrics import STREAM
from penstock.model.streams import Partition, Stream, StreamStatus
from penstock.service import points as points_module
from penstock.service.context import Context
from penstock.service.events import EventFilter, Events
from penstock.service.points import Points
from penstock.service.traffic import Counted, Traffic

BLOCK = 2_833_340
MINUTE = BLOCK * 10
"""The first of ten minutes."""


class Monitored:
    """A context that counts, on a clock of its own."""

    def __init__(self, context: Context, clock: SteppedClock) -> None:
        self.context, self.clock = context, clock
        self.traffic = context.traffic
        assert context.points is not None
        self.points: Points = context.points

    async def stream(self, name: str) -> Stream:
        stream = Stream(
            stream_id=f"id-{name}",
            project_id=PROJECT,
            name=name,
            status=StreamStatus.RUNNING,
            retention_hours=24,
            created_ms=0,
            modified_ms=0,
            partitions=(Partition(number=0, hash_start=0, hash_end=9),),
        )
        await self.context.catalog.insert_stream(stream, StreamQuota(1000, {}))
        self.context.directory.put(stream)
        return stream

    def put(self, stream_id: str, number: int = 0, size: int = 10) -> None:
        for one in (number, STREAM):
            counters = self.traffic.of(PartitionRef(stream_id, one))
            counters.bytes_in += size
            counters.records_in += 1

    def throttle(self, stream_id: str) -> None:
        self.traffic.of(PartitionRef(stream_id, STREAM)).puts_throttled += 1

    async def bytes(self, stream_id: str, number: int, first: int = 0, last: int = 30) -> dict[int, int]:
        found = await self.points.points(stream_id, number, MINUTE + first, MINUTE + last)
        return {minute - MINUTE: point[0] for minute, point in sorted(found.items())}


async def monitored(directory: Path, clock: SteppedClock) -> Monitored:
    context = await make_context(directory, clock=clock)
    context.traffic = Traffic(clock)
    context.events = Events(context.catalog, context.limits, clock)
    context.events.listen(context.directory, lambda event: ())
    context.points = Points(context.catalog, context.traffic, context.directory, context.events, clock)
    return Monitored(context, clock)


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Monitored]:
    made = await monitored(tmp_path, SteppedClock(MINUTE * 60_000))
    yield made
    await made.context.catalog.close()


async def test_points_before_and_after_they_are_written(made: Monitored) -> None:
    await made.stream("a")
    made.put("id-a", size=1)
    assert await made.bytes("id-a", 0) == {0: 1}
    assert await made.points.flush() == 2
    assert await made.bytes("id-a", 0) == {0: 1}
    made.put("id-a", size=2)
    assert await made.bytes("id-a", 0) == {0: 3}
    assert await made.bytes("id-a", STREAM) == {0: 3}
    assert await made.bytes("id-a", 1) == {}
    assert await made.points.flush() == 2
    assert await made.points.flush() == 0, "nothing has changed"


async def test_over_minutes_and_blocks(made: Monitored) -> None:
    await made.stream("a")
    for minute in range(25):
        made.put("id-a", size=minute + 1)
        if minute % 3 == 0:
            await made.points.flush()
        made.clock.advance(60)
    expected = {minute: minute + 1 for minute in range(25)}
    assert await made.bytes("id-a", 0) == expected
    await made.points.flush()
    assert await made.bytes("id-a", 0) == expected
    assert await made.bytes("id-a", 0, 9, 11) == {9: 10, 10: 11, 11: 12}
    assert len(made.points._blocks) <= 4, "only the block that runs stays in memory"
    rows = await made.context.catalog.select(METRIC_BLOCKS, {"stream_id": "id-a", "partition_number": 0})
    assert sorted(row.block for row in rows) == [BLOCK, BLOCK + 1, BLOCK + 2]


async def test_a_restart_within_a_minute_goes_on_where_it_was(made: Monitored, tmp_path: Path) -> None:
    await made.stream("a")
    made.put("id-a", size=1)
    await made.points.flush()
    await made.context.catalog.close()
    again = await monitored(tmp_path, made.clock)
    again.put("id-a", size=10)
    assert await again.bytes("id-a", 0) == {0: 11}
    await again.points.flush()
    again.clock.advance(60)
    again.put("id-a", size=100)
    await again.points.flush()
    assert await again.bytes("id-a", 0) == {0: 11, 1: 100}
    await again.context.catalog.close()
    last = await monitored(tmp_path, made.clock)
    assert await last.bytes("id-a", STREAM) == {0: 11, 1: 100}
    await last.context.catalog.close()


async def test_counts_that_come_late_are_added_to_what_was_written(made: Monitored) -> None:
    await made.stream("a")
    made.put("id-a", size=1)
    await made.points.flush()
    made.clock.advance(11 * 60)
    await made.points.flush()
    assert not made.points._blocks
    made.traffic.add([Counted("id-a", 0, MINUTE, [5, 1])])
    assert await made.bytes("id-a", 0) == {0: 6}
    await made.points.flush()
    assert await made.bytes("id-a", 0) == {0: 6}


async def test_points_go_with_their_stream(made: Monitored) -> None:
    stream = await made.stream("a")
    await made.stream("b")
    made.put("id-a")
    made.put("id-b")
    await made.points.flush()
    made.put("id-a")
    await made.context.catalog.remove_stream("id-a")
    made.context.directory.drop(stream)
    made.put("id-b")
    made.put("id-a")
    await made.points.flush()
    assert await made.context.catalog.count(METRIC_BLOCKS, stream_id="id-a") == 0
    assert await made.bytes("id-a", 0) == {}
    assert await made.bytes("id-b", 0) == {0: 20}
    assert set(made.points.since_start()) == {"id-b"}


async def test_a_write_that_fails_is_tried_again(made: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    await made.stream("a")
    made.put("id-a", size=7)

    async def full(*_: object) -> int:
        raise CatalogError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(made.context.catalog, "apply", full)
        with pytest.raises(CatalogError):
            await made.points.flush()
        assert await made.bytes("id-a", 0) == {0: 7}
        made.put("id-a", size=3)
        with pytest.raises(CatalogError):
            await made.points.flush()
    assert await made.points.flush() == 2
    assert await made.bytes("id-a", 0) == {0: 10}


async def test_many_rows_are_written_in_several_transactions(
    made: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points_module, "ROWS_AT_ONCE", 3)
    for number in range(5):
        await made.stream(f"s{number}")
        made.put(f"id-s{number}", size=number + 1)
    assert await made.points.flush() == 10
    for number in range(5):
        assert await made.bytes(f"id-s{number}", 0) == {0: number + 1}


async def test_what_is_older_than_7_days_goes(made: Monitored) -> None:
    await made.stream("a")
    made.put("id-a", size=1)
    await made.points.flush()
    made.clock.advance(7 * 86_400 - 60)
    made.put("id-a", size=2)
    await made.points.flush()
    assert await made.points.drop_before(made.clock.now_ms(), 7) == 0
    made.clock.advance(11 * 60)
    assert await made.points.drop_before(made.clock.now_ms(), 7) == 2
    assert await made.bytes("id-a", 0) == {}
    week = 7 * 24 * 60
    assert await made.bytes("id-a", 0, week - 1, week) == {week - 1: 2}


async def test_other_processes_are_asked_first(made: Monitored) -> None:
    await made.stream("a")

    async def gather() -> None:
        made.traffic.add([Counted("id-a", 0, MINUTE, [9, 1])])

    made.points.gather = gather
    assert await made.bytes("id-a", 0) == {0: 9}


async def kinds(made: Monitored) -> list[str]:
    page = await made.context.events.page(PROJECT, EventFilter(), 0, 100)
    return [event.kind for event in reversed(page.events) if event.kind != "stream_created"]


async def test_refusals_are_an_event_once_a_minute(made: Monitored) -> None:
    await made.stream("a")
    await made.stream("b")
    for _ in range(3):
        made.throttle("id-a")
        made.points.collect()
    assert await kinds(made) == ["traffic_limited"]
    made.throttle("id-b")
    made.points.collect()
    made.clock.advance(60)
    made.throttle("id-a")
    made.points.collect()
    assert await kinds(made) == ["traffic_limited"] * 3


async def test_three_minutes_of_refusals_are_abnormal_three_without_normal(made: Monitored) -> None:
    await made.stream("a")
    rollup = Rollup(made.context)
    seen: list[list[str]] = []
    for refused in (
        True,
        True,
        False,
        True,
        True,
        True,
        True,
        False,
        False,
        True,
        False,
        False,
        False,
        False,
    ):
        if refused:
            made.throttle("id-a")
        await rollup.run_once()
        made.clock.advance(60)
        await rollup.run_once()
        seen.append([kind for kind in await kinds(made) if kind != "traffic_limited"])
    assert seen == [[]] * 5 + [["traffic_abnormal"]] * 7 + [["traffic_abnormal", "traffic_restored"]] * 2


async def test_refusals_are_looked_at_every_minute_however_much_is_counted(
    made: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.jobs.rollup.FEW_ROWS", 0)
    monkeypatch.setattr("penstock.jobs.rollup.ROWS_A_SECOND", 0.0001)
    monkeypatch.setattr("penstock.jobs.rollup.BUSY_SECONDS", 1e6)
    await made.stream("a")
    rollup = Rollup(made.context)
    await rollup.run_once()
    for _ in range(3):
        made.throttle("id-a")
        made.clock.advance(60)
        await rollup.run_once()
    assert made.points.waiting, "nothing has been written"
    assert [kind for kind in await kinds(made) if kind != "traffic_limited"] == ["traffic_abnormal"]


async def test_the_job_writes_few_rows_at_once_and_many_less_often(
    made: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.jobs.rollup.FEW_ROWS", 2)
    monkeypatch.setattr("penstock.jobs.rollup.ROWS_A_SECOND", 1)
    await made.stream("a")
    await made.stream("b")
    rollup = Rollup(made.context)
    made.clock.advance(10)
    made.put("id-a")
    await rollup.run_once()
    assert made.points.waiting == 0
    made.put("id-a")
    made.put("id-b")
    made.clock.advance(1)
    await rollup.run_once()
    assert made.points.waiting == 4
    made.clock.advance(2)
    await rollup.run_once()
    assert made.points.waiting == 4, "four rows, one a second"
    made.clock.advance(1)
    await rollup.run_once()
    assert made.points.waiting == 0
    monkeypatch.setattr("penstock.jobs.rollup.BUSY_SECONDS", 2.0)
    made.put("id-a")
    made.put("id-b")
    made.clock.advance(1)
    await rollup.run_once()
    assert made.points.waiting == 4
    made.clock.advance(1)
    await rollup.run_once()
    assert made.points.waiting == 0, "however many they are, they do not wait longer"
    made.put("id-a")
    await rollup.finish()
    assert made.points.waiting == 0


async def test_a_page_of_prometheus_has_what_streams_carried(made: Monitored) -> None:
    await made.stream("a")
    made.put("id-a", size=4)
    made.put("id-a", size=5)
    await made.points.flush()
    made.clock.advance(600)
    made.put("id-a", size=1)
    assert made.points.since_start() == {"id-a": [10, 3]}
    assert msgspec.json.encode(made.points.since_start()) == b'{"id-a":[10,3]}'


async def test_memory_is_bounded_while_the_catalog_takes_nothing(
    made: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made.stream("a")

    async def full(*_: object) -> int:
        raise CatalogError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(made.context.catalog, "apply", full)
        for _ in range(30):
            made.put("id-a", size=1)
            with pytest.raises(CatalogError):
                await made.points.flush()
            made.clock.advance(600)
        assert len(made.points._blocks) <= 2 * (points_module.BLOCKS_UNWRITTEN + 1)
    made.put("id-a", size=1)
    await made.points.flush()
    assert sum((await made.bytes("id-a", 0, 0, 600)).values()) == points_module.BLOCKS_UNWRITTEN + 1


async def test_a_stream_with_many_rows_goes_in_parts(
    made: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points_module, "ROWS_REMOVED_AT_ONCE", 3)
    stream = await made.stream("a")
    for _ in range(3):
        made.put("id-a")
        await made.points.flush()
        made.clock.advance(600)
    await made.points.remove(stream)
    assert await made.context.catalog.count(METRIC_BLOCKS) == 0


async def test_a_damaged_row_stops_nothing(made: Monitored) -> None:
    await made.stream("a")
    made.put("id-a", size=1)
    await made.points.flush()
    catalog: Any = made.context.catalog
    await catalog._write(lambda c: c.execute("UPDATE metric_blocks SET checksum = 0"))
    assert await made.bytes("id-a", 0) == {0: 1}, "the block that runs is in memory"
    made.clock.advance(8 * 86_400)
    made.put("id-a", size=2)
    await made.points.flush()
    assert await made.points.drop_before(made.clock.now_ms(), 7) == 2
    assert [row.block for row in await catalog.select(METRIC_BLOCKS)] == [BLOCK + 8 * 144] * 2


async def test_a_stream_that_goes_in_the_middle_ends_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that the catalog refuses is of one run only: the job runs on, and stopping it says nothing."""
    made = await make_context(tmp_path)
    rollup = Rollup(made)

    async def refused() -> None:
        raise CatalogError("FOREIGN KEY constraint failed")

    monkeypatch.setattr(rollup, "_points", refused)
    rollup.start()
    await asyncio.sleep(0.05)
    await rollup.run_once()
    await rollup.stop()
    await made.catalog.close()
