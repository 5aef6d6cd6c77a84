"""What the embedded engine promises beyond the contract: visibility, indexes, damage, waiting and ending."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest
from tests.support.disks import FaultyDisk
from tests.support.logs import Records, as_after_a_crash, put, read_all, start

from penstock.clock import SteppedClock
from penstock.config import Sync
from penstock.log.base import Batch, Closed, Corrupt, Durable, LogError, PartitionRef
from penstock.log.files import Disk, FileLog, open_log
from penstock.log.payload import encode

A = PartitionRef("a" * 20, 0)


class _SlowDisk(Disk):
    """Syncs wait until told."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.waiting = threading.Event()

    def fdatasync(self, fd: int) -> None:
        self.waiting.set()
        self.go_on.wait(30)
        super().fdatasync(fd)


async def _stuck(tmp_path: Path) -> tuple[FileLog, _SlowDisk]:
    disk = _SlowDisk()
    log = await start(tmp_path, disk)
    await log.create([A])
    await log.append([Batch(A, [b"first"], None)])
    disk.go_on.clear()
    disk.waiting.clear()
    return log, disk


async def test_nothing_is_visible_before_it_is_durable(tmp_path: Path) -> None:
    log, disk = await _stuck(tmp_path)
    append = asyncio.create_task(log.append([Batch(A, [b"second"], None)]))
    await asyncio.to_thread(disk.waiting.wait, 30)
    assert not append.done()
    assert log.bounds(A) == (0, 1)
    assert await log.read(A, 1, 1 << 20, 10) == []
    assert await log.sequence_at(A, 1 << 60) == 1
    log._cache.drop(A)
    frames = await log.read(A, 0, 1 << 20, 10)
    assert [f.base for f in frames] == [0], "the file holds more, the disk may not"
    disk.go_on.set()
    assert isinstance((await append)[0], Durable)
    assert log.bounds(A) == (0, 2)
    await log.close()


async def test_one_sync_for_all_that_wait(tmp_path: Path) -> None:
    log, disk = await _stuck(tmp_path)
    first = asyncio.create_task(log.append([Batch(A, [b"x"], None)]))
    await asyncio.to_thread(disk.waiting.wait, 30)
    others = [asyncio.create_task(log.append([Batch(A, [b"y"], None)])) for _ in range(50)]
    await asyncio.sleep(0)
    counting = FaultyDisk()
    for writer in log._writers.values():
        writer._disk = counting
    disk.go_on.set()
    await asyncio.gather(first, *others)
    assert counting.calls["fdatasync"] == 1
    assert counting.calls["pwritev"] == 1
    await log.close()


async def test_what_comes_while_the_disk_works_shares_the_next_sync(tmp_path: Path) -> None:
    """In as many turns of the event loop as it may be, and with calls in between."""
    log, disk = await _stuck(tmp_path)
    syncs: list[int] = []
    sync = Disk.fdatasync
    told: list[Durable | LogError] = []
    appends = [asyncio.create_task(log.append([Batch(A, [b"second"], None)]))]
    await asyncio.to_thread(disk.waiting.wait, 30)

    def counted(fd: int) -> None:
        syncs.append(fd)
        sync(disk, fd)

    disk.fdatasync = counted  # type: ignore[method-assign]
    for number in range(5):
        appends.append(asyncio.create_task(log.append([Batch(A, [b"%d" % number], None)])))
        assert log.begin(A, encode(None, [b"begun"]), 1, told.append)
        await asyncio.sleep(0.01)
    between = [asyncio.create_task(log._committer.between_groups(lambda: log._writers[A].next))]
    await asyncio.sleep(0.01)
    appends.append(asyncio.create_task(log.append([Batch(A, [b"behind the call"], None)])))
    await asyncio.sleep(0)
    between.append(asyncio.create_task(log._committer.between_groups(lambda: log._writers[A].next)))
    disk.go_on.set()
    results = await asyncio.gather(*appends)
    assert sorted(result[0].base for result in results if isinstance(result[0], Durable)) == [
        1, *(3 + 2 * number for number in range(5)), 12,
    ]  # fmt: skip
    assert [result.base for result in told if isinstance(result, Durable)] == [2, 4, 6, 8, 10]
    assert await asyncio.gather(*between) == [12, 13], "what was queued before a call is written before it"
    assert len(syncs) == 2
    await log.close()


async def test_giving_up_on_an_append_leaves_the_others_alone(tmp_path: Path) -> None:
    log, disk = await _stuck(tmp_path)
    appends = [asyncio.create_task(log.append([Batch(A, [b"%d" % i], None)])) for i in range(3)]
    await asyncio.to_thread(disk.waiting.wait, 30)
    appends[1].cancel()
    disk.go_on.set()
    assert isinstance((await appends[0])[0], Durable)
    assert isinstance((await appends[2])[0], Durable)
    with pytest.raises(asyncio.CancelledError):
        await appends[1]
    await log.close()


async def test_closing_acknowledges_what_was_accepted(tmp_path: Path) -> None:
    log, disk = await _stuck(tmp_path)
    appends = [asyncio.create_task(log.append([Batch(A, [b"%d" % i], None)])) for i in range(10)]
    await asyncio.to_thread(disk.waiting.wait, 30)
    closing = asyncio.create_task(log.close())
    await asyncio.sleep(0.01)
    (late,) = await log.append([Batch(A, [b"late"], None)])
    assert isinstance(late, Closed)
    disk.go_on.set()
    for (result,) in await asyncio.gather(*appends):
        assert isinstance(result, Durable)
    await closing
    await log.close()
    log = await start(tmp_path)
    assert log.bounds(A) == (0, 11)
    await log.close()


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("what", ["missing", "garbage", "of another segment"])
async def test_indexes_can_be_done_without(tmp_path: Path, what: str, clean: bool) -> None:
    log = await start(tmp_path / "log", segment_bytes=300_000, cache_bytes=1)
    await log.create([A])
    records: Records = {}
    for i in range(300):
        await put(log, records, A, [b"%d " % i * 1000] * 3)
    await log.close()
    data = tmp_path / "log"
    if not clean:
        (data / "log" / "clean").unlink()
    indexes = sorted(data.rglob("*.idx"))
    assert len(indexes) > 5
    contents = [path.read_bytes() for path in indexes]
    for i, path in enumerate(indexes):
        if what == "missing":
            path.unlink()
        else:
            path.write_bytes(b"garbage" if what == "garbage" else contents[i - 1])
    log = await start(data, segment_bytes=300_000, cache_bytes=1)
    for sequence in (0, 1, 450, 899):
        (frame, *_) = await log.read(A, sequence, 1, 1)
        assert frame.base <= sequence < frame.base + 3
    assert await read_all(log, A) == (records[A], [])
    assert [path.read_bytes() for path in indexes] == contents, "made again, the same"
    await log.close()


async def test_consumers_share_what_was_read(tmp_path: Path) -> None:
    """Reads of the same records by several consumers cost one read of the disk."""
    disk = FaultyDisk()
    log = await start(tmp_path, disk)
    await log.create([A])
    for _ in range(100):
        await log.append([Batch(A, [b"x" * 50], None)])
    log._cache.drop(A)
    for _ in range(3):
        for sequence in range(100):
            (frame, *_) = await log.read(A, sequence, 1, 1)
            assert frame.base == sequence
    assert disk.calls["pread"] <= 2
    await log.close()


async def _with_damage(tmp_path: Path, where: int) -> tuple[Path, Records]:
    """A crashed directory of one segment with 20 frames, one byte of frame number `where` changed."""
    log = await start(tmp_path / "log")
    await log.create([A])
    records: Records = {}
    ends = []
    for i in range(20):
        await put(log, records, A, [b"%d" % i * 30])
        ends.append(next((tmp_path / "log").rglob("*.seg")).stat().st_size)
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    segment = next(crashed.rglob("*.seg"))
    raw = bytearray(segment.read_bytes())
    raw[ends[where] - 1] ^= 1
    segment.write_bytes(raw)
    return crashed, records


async def test_damage_in_the_tail_is_kept_reported_and_stepped_over(tmp_path: Path) -> None:
    crashed, records = await _with_damage(tmp_path, 7)
    segment = next(crashed.rglob("*.seg"))
    before = segment.read_bytes()
    for round_ in range(3):
        log = await start(crashed)
        if round_ == 0:
            (problem,) = log.damage
            assert f"{20 * '0'}.seg" in problem and "records 7 to 7 cannot be read" in problem
        assert log.health().ok, "writing is trusted"
        found, refusals = await read_all(log, A)
        assert found == {n: data for n, data in records[A].items() if n != 7}
        assert len(refusals) == 1 and "records up to 7" in str(refusals[0])
        assert await put(log, records, A, [b"goes on"]) == 20 + round_
        assert await log.sequence_at(A, 0) == 0
        await log.close()
        assert segment.read_bytes() == before
    assert len(list(crashed.rglob("*.seg"))) == 2, "in a new segment, once"


async def test_the_last_frame_is_known_after_a_close_in_order(tmp_path: Path) -> None:
    """Even when the log is then opened and killed without a write: `ends` keeps what was durable."""
    log = await start(tmp_path / "log")
    await log.create([A])
    records: Records = {}
    for i in range(3):
        await put(log, records, A, [b"%d" % i * 30])
    await log.close()
    log = await start(tmp_path / "log")
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    raw = next(crashed.rglob("*.seg")).read_bytes()
    for number, rotten in enumerate((raw[:-1] + b"?", raw[:-40], raw[:64], b"")):
        copy = Path(shutil.copytree(crashed, tmp_path / str(number)))
        segment = next(copy.rglob("*.seg"))
        segment.write_bytes(rotten)
        log = await start(copy)
        if number:
            assert log.damage
        else:
            assert not log.damage, "what was durable then is not read again: whoever reads it finds out"
        assert log.bounds(A).next == 3, "no number is given out again"
        with pytest.raises(Corrupt, match=segment.name):
            await log.read(A, 2, 1, 1)
        assert segment.read_bytes() == rotten
        assert await put(log, {}, A, [b"goes on"]) == 3
        await log.close()


async def test_damaged_segments_expire_in_their_time_only(tmp_path: Path) -> None:
    clock = SteppedClock(1_000_000)
    log = await open_log(tmp_path, sync=Sync("always"), clock=clock, segment_bytes=4096)
    await log.create([A])
    for _ in range(30):
        await log.append([Batch(A, [b"x" * 500], None)])
        clock.advance(1)
    await log.close()
    first, second = sorted(tmp_path.rglob("*.seg"))[:2]
    for path in tmp_path.rglob("*.idx"):
        path.unlink()
    first.write_bytes(b"?" * first.stat().st_size)
    log = await open_log(tmp_path, sync=Sync("always"), clock=clock, segment_bytes=4096)
    follows = int(second.stem)
    assert await log.expire(A, 1_000_000 + follows * 1000 - 500) == 0, "its newest record may be younger"
    assert first.exists()
    assert await log.expire(A, 1_000_000 + follows * 1000 + 500) == follows
    assert not first.exists()
    assert log.bounds(A).earliest == follows
    await log.close()


async def test_names_that_cannot_be_partitions(tmp_path: Path) -> None:
    log = await start(tmp_path)
    for ref in (
        PartitionRef("../up", 0),
        PartitionRef("", 0),
        PartitionRef("s" * 21, 0),
        PartitionRef("s", -1),
    ):
        with pytest.raises(ValueError, match="cannot name a partition"):
            await log.create([ref])
    await log.create([A])
    with pytest.raises(ValueError, match="1 record"):
        await log.append([Batch(A, [], None)])
    await log.close()


async def test_many_partitions_with_few_files(tmp_path: Path) -> None:
    log = await start(tmp_path, open_files=8)
    refs = [PartitionRef("a" * 20, number) for number in range(300)]
    await log.create(refs)
    for _ in range(3):
        results = await log.append([Batch(ref, [b"x"], None) for ref in refs])
        assert all(isinstance(result, Durable) for result in results)
        assert len(log._files) <= 8
    await log.close()
    log = await start(tmp_path, open_files=8)
    assert all(log.bounds(ref) == (0, 3) for ref in refs)
    await log.close()
