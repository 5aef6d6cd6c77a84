"""The contract of RecordLog (src/penstock/log/base.py), which every engine passes: the embedded one, and the double
that other tests use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.memory_log import MemoryLog

from penstock.clock import SteppedClock
from penstock.config import Sync
from penstock.log.base import (
    Batch,
    Bounds,
    Durable,
    LogError,
    OutOfRange,
    Packed,
    PartitionRef,
    RecordLog,
    UnknownPartition,
    Waiting,
)
from penstock.log.files import open_log
from penstock.log.payload import decode, encode

Open = Callable[[SteppedClock], Awaitable[RecordLog]]
A = PartitionRef("a" * 20, 0)
B = PartitionRef("a" * 20, 1)
OTHER = PartitionRef("b" * 20, 0)


@pytest.fixture(params=["files", "files-os", "files-journal", "memory"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the log; again after a close, where the engine keeps anything."""

    async def files(clock: SteppedClock) -> RecordLog:
        sync = Sync("os" if request.param == "files-os" else "always")
        if (
            request.param == "files-journal"
        ):  # and hardly any cache, so that what waits for its segment is read from there
            return await open_log(
                tmp_path, sync=sync, clock=clock, segment_bytes=4096, cache_bytes=800, journal_bytes=1 << 16, syncs_before_journal=0,
            )  # fmt: skip
        return await open_log(tmp_path, sync=sync, clock=clock, segment_bytes=4096)

    async def memory(clock: SteppedClock) -> RecordLog:
        return MemoryLog(clock)

    return memory if request.param == "memory" else files


async def _read(
    log: RecordLog, ref: PartitionRef, start: int, step: int = 1 << 20
) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while True:
        frames = await log.read(ref, start, step, 7)
        if not frames:
            return found
        for frame in frames:
            assert frame.base <= start < frame.base + frame.count, "frames follow each other without a gap"
            data = decode(frame.payload)[1]
            assert len(data) == frame.count
            found += [(frame.base + i, data[i]) for i in range(start - frame.base, frame.count)]
            start = frame.base + frame.count


async def test_numbers_are_contiguous_and_order_holds(reopen: Open) -> None:
    log = await reopen(SteppedClock())
    await log.create([A, B])
    wrote: dict[PartitionRef, list[bytes]] = {A: [], B: []}
    for number in range(60):
        batches = [
            Batch(ref, [b"%d-%d-%d" % (ref.number, number, i) for i in range(1 + number % 5)], None)
            for ref in (A, B)
        ]
        for batch, result in zip(batches, await log.append(batches), strict=True):
            assert isinstance(result, Durable)
            assert result.base == len(wrote[batch.ref])
            wrote[batch.ref] += batch.data
    for ref in (A, B):
        assert log.bounds(ref) == (0, len(wrote[ref]))
        assert await _read(log, ref, 0) == list(enumerate(wrote[ref]))
        assert (await _read(log, ref, 17, step=1))[:2] == list(enumerate(wrote[ref]))[17:19]
    await log.close()


async def test_concurrent_appends_each_get_their_own_numbers(reopen: Open) -> None:
    log = await reopen(SteppedClock())
    await log.create([A])
    results = await asyncio.gather(*(log.append([Batch(A, [b"%d" % i] * 3, None)]) for i in range(100)))
    bases = sorted(r.base for (r,) in results if isinstance(r, Durable))
    assert bases == list(range(0, 300, 3))
    stored = dict(await _read(log, A, 0))
    for i, (result,) in enumerate(results):
        assert isinstance(result, Durable)
        assert [stored[result.base + k] for k in range(3)] == [b"%d" % i] * 3
    await log.close()


async def test_begun_batches_are_appended_and_told_of_later(reopen: Open) -> None:
    log = await reopen(SteppedClock())
    await log.create([A, B])
    told: list[tuple[int, Durable | LogError]] = []
    everybody = asyncio.Event()

    def done(number: int) -> Callable[[Durable | LogError], None]:
        def tell(result: Durable | LogError) -> None:
            told.append((number, result))
            assert isinstance(result, Durable)
            assert log.bounds(A if number < 20 else B).next > result.base, "visible before it is told"
            if len(told) == 40:
                everybody.set()
            if number == 7:
                raise RuntimeError("whoever waits has a mistake")

        return tell

    appended = asyncio.create_task(log.append([Batch(A, [b"append"], None)]))
    await asyncio.sleep(0)
    for number in range(20):
        payload = encode(None, [b"%d" % number] * (1 + number % 3))
        try:
            assert log.begin(A, payload, 1 + number % 3, done(number))
            assert log.begin(B, payload, 1 + number % 3, done(20 + number))
        except RuntimeError:
            assert number == 7, "of the log that tells at once"
            assert log.begin(B, payload, 1 + number % 3, done(20 + number))
    await asyncio.wait_for(everybody.wait(), 30)
    assert isinstance((await appended)[0], Durable)
    for first, found in ((0, (await _read(log, A, 0))[1:]), (20, await _read(log, B, 0))):
        results = [result for number, result in sorted(told, key=_first) if first <= number < first + 20]
        bases = [result.base for result in results if isinstance(result, Durable)]
        assert [data for _, data in found] == [b"%d" % n for n in range(20) for _ in range(1 + n % 3)]
        assert [dict(found)[base] for base in bases] == [b"%d" % n for n in range(20)]
    await log.close()


def _first(pair: tuple[int, object]) -> int:
    return pair[0]


async def test_what_cannot_be_begun_is_left_to_append(reopen: Open) -> None:
    log = await reopen(SteppedClock())
    await log.create([A])
    told: list[Durable | LogError] = []
    payload = encode(None, [b"x"])
    assert not log.begin(B, payload, 1, told.append)
    await log.delete_stream(A.stream_id)
    assert not log.begin(A, payload, 1, told.append)
    await log.create([OTHER])
    await log.close()
    assert not log.begin(OTHER, payload, 1, told.append)
    assert told == []


async def test_closing_tells_of_what_was_begun(reopen: Open) -> None:
    log = await reopen(SteppedClock())
    await log.create([A])
    told: list[Durable | LogError] = []
    assert log.begin(A, encode(None, [b"x"]), 1, told.append)
    await log.close()
    assert [type(result) for result in told] == [Durable]


async def test_keys_and_packed_batches(reopen: Open) -> None:
    log = await reopen(SteppedClock())
    await log.create([A])
    await log.append([Batch(A, [b"1", b"2"], ["k", None]), Packed(A, 2, encode(["x", "y"], [b"3", b"4"]))])
    keys: list[str | None] = []
    data: list[bytes] = []
    for frame in await log.read(A, 0, 1 << 20, 100):  # they may share one
        some_keys, some_data = decode(frame.payload)
        assert frame.base == len(data) and frame.count == len(some_data)
        keys += some_keys or [None] * frame.count
        data += some_data
    assert (keys, data) == (["k", None, "x", "y"], [b"1", b"2", b"3", b"4"])
    await log.close()


async def test_a_failing_partition_fails_its_own_batch_only(reopen: Open) -> None:
    log = await reopen(SteppedClock())
    await log.create([A])
    first, second, third = await log.append([Batch(ref, [b"x"], None) for ref in (A, OTHER, A)])
    assert isinstance(first, Durable) and isinstance(third, Durable) and third.base == 1
    assert isinstance(second, UnknownPartition)
    with pytest.raises(UnknownPartition):
        log.bounds(OTHER)
    with pytest.raises(UnknownPartition):
        await log.read(OTHER, 0, 1, 1)
    await log.close()


async def test_reading_at_and_beyond_the_ends(reopen: Open) -> None:
    log = await reopen(SteppedClock())
    await log.create([A])
    assert log.bounds(A) == (0, 0)
    assert await log.read(A, 0, 1 << 20, 10) == []
    await log.append([Batch(A, [b"x"] * 5, None)])
    assert await log.read(A, 5, 1 << 20, 10) == []
    for beyond in (6, 100):
        with pytest.raises(OutOfRange):
            await log.read(A, beyond, 1 << 20, 10)
    assert len(await log.read(A, 3, 1, 1)) == 1, "one frame at least"
    await log.close()


async def test_positions_by_time(reopen: Open) -> None:
    clock = SteppedClock(1_000_000)
    log = await reopen(clock)
    await log.create([A])
    for _ in range(50):
        await log.append([Batch(A, [b"x" * 50] * 3, None)])
        clock.advance(10)
    assert await log.sequence_at(A, 0) == 0
    assert await log.sequence_at(A, 1_000_000) == 0
    assert await log.sequence_at(A, 1_000_001) == 3
    assert await log.sequence_at(A, 1_000_000 + 10_000 * 20) == 60
    assert await log.sequence_at(A, 1_000_000 + 10_000 * 49 + 1) == 150, "later than all: the next number"
    clock.set_wall(5)
    result = (await log.append([Batch(A, [b"back"], None)]))[0]
    assert isinstance(result, Durable) and result.append_ms >= 1_000_000 + 10_000 * 49, (
        "time stays sorted (R8)"
    )
    await log.close()


async def test_expiry_moves_the_floor_and_survives(reopen: Open) -> None:
    clock = SteppedClock(1_000_000)
    log = await reopen(clock)
    await log.create([A])
    for _ in range(60):
        await log.append([Batch(A, [b"x" * 300], None)])
        clock.advance(1)
    assert await log.oldest_ms(A) == 1_000_000
    assert await log.expire(A, 0) == 0
    gone = await log.expire(A, 1_000_000 + 40_000)
    earliest, following = log.bounds(A)
    assert 0 < gone == earliest <= 40 and following == 60
    with pytest.raises(OutOfRange):
        await log.read(A, 0, 1, 1)
    assert (await _read(log, A, earliest))[0][0] == earliest
    await log.expire(A, 9_000_000_000)
    assert log.bounds(A) == (60, 60), "everything is gone, the numbers go on"
    assert await log.oldest_ms(A) is None
    await log.close()
    if not isinstance(log, MemoryLog):
        log = await reopen(clock)
        assert log.bounds(A) == (60, 60)
        assert (await log.append([Batch(A, [b"x"], None)]))[0] == Durable(60, clock.now_ms())
        await log.close()


async def test_what_waits_for_a_reader(reopen: Open) -> None:
    """How dump tasks know when a file is due, and what lag is made of."""
    clock = SteppedClock(1_000_000)
    log = await reopen(clock)
    await log.create([A])
    assert await log.waiting(A, 0) == Waiting(0, 0, 0, 0)
    for _ in range(200):
        await log.append([Batch(A, [b"x" * 1000] * 10, None)])
        clock.advance(1)
    for reopened in (False, True):
        if reopened and not isinstance(log, MemoryLog):
            await log.close()
            log = await reopen(clock)
        whole = await log.waiting(A, 0)
        assert (whole.first, whole.records, whole.oldest_ms) == (0, 2000, 1_000_000)
        assert whole.size == pytest.approx(2_000_000, rel=0.1)
        late = await log.waiting(A, 1985)
        assert (late.first, late.records, late.oldest_ms) == (1985, 15, 1_198_000)
        assert late.size == pytest.approx(15_000, rel=0.4)
        assert await log.waiting(A, 2000) == Waiting(2000, 0, 0, 0)
    await log.expire(A, 1_000_000 + 100_000)
    earliest = log.bounds(A).earliest
    left = await log.waiting(A, 0)
    assert 0 < earliest == left.first
    assert left.records == 2000 - earliest
    with pytest.raises(UnknownPartition):
        await log.waiting(B, 0)
    await log.close()


async def test_who_reads_everything_once_leaves_no_trace(reopen: Open) -> None:
    """`keep=False` returns what a read returns, however it is cut."""
    clock = SteppedClock()
    log = await reopen(clock)
    await log.create([A])
    for number in range(300):
        await log.append([Batch(A, [b"%d" % number * 100] * 7, None)])
    if not isinstance(log, MemoryLog):
        await log.close()
        log = await reopen(clock)
    for size in (1, 3000, 1 << 20):
        found: list[bytes] = []
        following = 5
        while frames := await log.read(A, following, size, 1 << 40, keep=False):
            assert frames[0].base <= following
            for frame in frames:
                found += decode(frame.payload)[1][max(0, following - frame.base) :]
                following = frame.base + frame.count
        assert found == [b"%d" % number * 100 for number in range(300) for _ in range(7)][5:]
    await log.close()


async def test_deleting_a_stream(reopen: Open, tmp_path: Path) -> None:
    log = await reopen(SteppedClock())
    await log.create([A, B, OTHER])
    await log.append([Batch(ref, [b"x" * 1000] * 10, None) for ref in (A, B, OTHER)])
    await log.delete_stream(A.stream_id)
    assert list(log.partitions()) == [OTHER]
    assert isinstance((await log.append([Batch(A, [b"x"], None)]))[0], UnknownPartition)
    assert log.bounds(OTHER) == (0, 10)
    await log.delete_stream("never" + "x" * 15)
    await log.close()
    assert not list(tmp_path.rglob(f"{A.stream_id}*")), "the disk is free again"


async def test_who_watches_is_told_before_anybody_goes_on(reopen: Open) -> None:
    log = await reopen(SteppedClock())
    told: dict[PartitionRef, Bounds | None] = {}
    log.watch(told.__setitem__)
    await log.create([A, B])
    for number in range(1, 40):
        await log.append([Batch(A, [b"x" * 300], None)])
        assert told[A] == (0, number)
    assert B not in told
    await log.expire(A, 1 << 60)
    assert told[A] == log.bounds(A) == (39, 39)
    await log.append([Batch(B, [b"y"], None)])
    assert told[B] == (0, 1)
    await log.delete_stream(A.stream_id)
    assert told == {A: None, B: None}
    await log.close()


async def test_everything_is_there_after_reopening(reopen: Open) -> None:
    clock = SteppedClock()
    log = await reopen(clock)
    if isinstance(log, MemoryLog):
        return  # it keeps nothing: the two engines of files are what this is about
    await log.create([A, B])
    for number in range(40):
        await log.append([Batch(A, [b"%d" % number * 100], None)])
    await log.close()
    for _ in range(3):
        log = await reopen(clock)
        assert sorted(log.partitions()) == [A, B] and log.health().ok
        assert [data for _, data in await _read(log, A, 0)][:40] == [b"%d" % n * 100 for n in range(40)]
        following = log.bounds(A).next
        assert (await log.append([Batch(A, [b"more"], None)]))[0] == Durable(following, clock.now_ms())
        await log.close()
