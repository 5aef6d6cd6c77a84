"""Retention: what is dropped, what is kept, and that one failure stops nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.catalogs import FREE, a_stream
from tests.support.memory_log import MemoryLog
from tests.support.streams import make_context

from penstock.clock import SteppedClock
from penstock.jobs.retention import expire_once
from penstock.log.base import Batch, Corrupt, LogError, PartitionRef, ReadOnly
from penstock.model.retention import HOUR_MS, expire_partitions, horizon_ms
from penstock.model.streams import PartitionStatus, Stream, StreamStatus
from penstock.service.context import Context

HOUR = 3600.0


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = await make_context(tmp_path)
    yield made
    await made.catalog.close()


def clock_of(context: Context) -> SteppedClock:
    assert isinstance(context.clock, SteppedClock)
    return context.clock


async def add(context: Context, name: str = "s1", **changes: Any) -> Stream:
    stream = a_stream(name, **changes)
    await context.catalog.insert_stream(stream, FREE)
    context.directory.put(stream)
    await context.log.create([PartitionRef(stream.stream_id, p.number) for p in stream.partitions])
    return stream


async def put(context: Context, stream: Stream, number: int = 0, count: int = 1) -> None:
    (result,) = await context.log.append(
        [Batch(PartitionRef(stream.stream_id, number), [b"x"] * count, None)]
    )
    assert not isinstance(result, LogError)


def earliest(context: Context, stream: Stream, number: int = 0) -> int:
    return context.log.bounds(PartitionRef(stream.stream_id, number)).earliest


async def test_what_is_over_goes_and_what_is_not_stays(context: Context) -> None:
    stream = await add(context)
    await put(context, stream, count=5)
    clock_of(context).advance(23 * HOUR)
    await put(context, stream, count=3)
    assert await expire_once(context) == 0
    clock_of(context).advance(HOUR)
    assert await expire_once(context) == 0, "exactly 24 hours are kept"
    clock_of(context).advance(0.001)
    assert await expire_once(context) == 5
    assert context.log.bounds(PartitionRef(stream.stream_id, 0)) == (5, 8)
    assert await expire_once(context) == 0


async def test_each_stream_has_its_own(context: Context) -> None:
    short, long = await add(context, "short"), await add(context, "long", retention_hours=168)
    for stream in (short, long):
        for number in (0, 1):
            await put(context, stream, number)
    clock_of(context).advance(25 * HOUR)
    assert await expire_once(context) == 2
    assert (earliest(context, short), earliest(context, short, 1)) == (1, 1)
    assert (earliest(context, long), earliest(context, long, 1)) == (0, 0)


async def test_terminating_streams_are_left_alone(context: Context) -> None:
    stream = await add(context, status=StreamStatus.TERMINATING)
    await put(context, stream)
    clock_of(context).advance(25 * HOUR)
    assert await expire_once(context) == 0


@pytest.mark.parametrize(
    "failure", [ReadOnly("sync failed"), Corrupt("0.seg", 0, "bad"), OSError(5, "EIO")], ids=repr
)
async def test_one_partition_that_fails_stops_no_other(
    context: Context, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    bad, good = await add(context, "bad"), await add(context, "good")
    for stream in (bad, good):
        await put(context, stream)
    expire = context.log.expire

    async def failing(ref: PartitionRef, before_ms: int) -> int:
        if ref == PartitionRef(bad.stream_id, 0):
            raise failure
        return await expire(ref, before_ms)

    monkeypatch.setattr(context.log, "expire", failing)
    clock_of(context).advance(25 * HOUR)
    assert await expire_once(context) == 1
    assert earliest(context, good) == 1


async def test_a_stream_deleted_half_way_is_no_error(context: Context) -> None:
    stream = await add(context)
    await context.log.delete_stream(stream.stream_id)
    assert await expire_once(context) == 0


async def test_a_retention_made_longer_half_way_counts_at_once(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await add(context, partitions=2)
    for number in (0, 1):
        await put(context, stream, number)
    clock_of(context).advance(25 * HOUR)
    expire = context.log.expire

    async def lengthen(ref: PartitionRef, before_ms: int) -> int:
        context.directory.put(msgspec.structs.replace(stream, retention_hours=168))
        return await expire(ref, before_ms)

    monkeypatch.setattr(context.log, "expire", lengthen)
    assert await expire_once(context) == 1
    assert earliest(context, stream, 1) == 0


async def test_scaled_down_partitions_expire_when_nothing_in_them_can_be_read(context: Context) -> None:
    """limits-and-rules.md, scaling: readable until retention passes, then EXPIRED; the numbers go on."""
    now = context.clock.now_ms()
    stream = await add(context, partitions=1, deleted=1)
    scaled = msgspec.structs.replace(stream.partitions[1], deleted_ms=now)
    stream = msgspec.structs.replace(stream, partitions=(stream.partitions[0], scaled))
    await context.catalog.replace_stream(stream)
    context.directory.put(stream)
    await put(context, stream, 1, count=4)
    clock_of(context).advance(24 * HOUR)
    assert await expire_once(context) == 0
    assert context.directory.by_id(stream.stream_id) is stream
    clock_of(context).advance(1)
    assert await expire_once(context) == 4
    expired = context.directory.by_id(stream.stream_id)
    assert expired is not None
    assert [p.status for p in expired.partitions] == [PartitionStatus.ACTIVE, PartitionStatus.EXPIRED]
    assert expired.modified_ms == context.clock.now_ms()
    assert await context.catalog.stream_by_id(stream.stream_id) == expired
    assert context.log.bounds(PartitionRef(stream.stream_id, 1)) == (4, 4)
    await expire_once(context)
    assert context.directory.by_id(stream.stream_id) is expired, "once"


async def test_whole_segments_only(tmp_path: Path) -> None:
    clock = SteppedClock()
    context = await make_context(tmp_path, clock=clock, log=MemoryLog(clock, segment_frames=2))
    stream = await add(context)
    await put(context, stream)
    clock.advance(2 * HOUR)
    await put(context, stream)
    clock.advance(23 * HOUR)
    assert await expire_once(context) == 0
    clock.advance(2 * HOUR)
    assert await expire_once(context) == 2
    await context.catalog.close()


@given(st.lists(st.tuples(st.sampled_from(PartitionStatus), st.integers(0, 400 * HOUR_MS) | st.none())))
def test_only_deleted_partitions_over_the_horizon_change(
    states: list[tuple[PartitionStatus, int | None]],
) -> None:
    now = 400 * HOUR_MS
    one = a_stream(partitions=1).partitions[0]
    stream = a_stream()
    partitions = tuple(
        msgspec.structs.replace(one, number=n, status=status, deleted_ms=deleted)
        for n, (status, deleted) in enumerate(states)
    )
    stream = msgspec.structs.replace(stream, partitions=partitions)
    after = expire_partitions(stream, now)
    changed = [p.number for p, q in zip(stream.partitions, after.partitions, strict=True) if p != q]
    assert changed == [
        n
        for n, (status, deleted) in enumerate(states)
        if status is PartitionStatus.DELETED and deleted is not None and deleted < horizon_ms(stream, now)
    ]
    assert all(after.partitions[n].status is PartitionStatus.EXPIRED for n in changed)
    assert (after is stream) == (not changed)
