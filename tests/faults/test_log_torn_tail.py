"""R3: the tail cut at every byte of the last frames; sectors of the unsynced batch zeroed and filled with garbage."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from tests.support.logs import Records, as_after_a_crash, put, read_all, start

from penstock.log.base import Batch, PartitionRef

pytestmark = pytest.mark.faults
REF = PartitionRef("s" * 20, 0)


def _tail(path: Path) -> Path:
    return sorted(path.rglob("*.seg"))[-1]


async def test_cut_at_every_byte_of_the_last_three_frames(tmp_path: Path) -> None:
    log = await start(tmp_path / "log")
    await log.create([REF])
    records: Records = {}
    ends = [64]
    sizes = []
    for i in range(6):
        await put(log, records, REF, [b"%d" % i * 11, b"second"])
        ends.append(_tail(tmp_path / "log").stat().st_size)
        sizes.append(len(records[REF]))
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    tail = _tail(crashed)
    raw = tail.read_bytes()
    for cut in range(ends[3], ends[6]):
        tail.write_bytes(raw[:cut])
        whole = sum(1 for end in ends[1:] if end <= cut)
        log = await start(crashed)
        expected = {n: data for n, data in records[REF].items() if n < 2 * whole}
        assert await read_all(log, REF) == (expected, []), cut
        assert log.bounds(REF) == (0, 2 * whole)
        assert log.health().ok and log.damage == ()
        assert tail.stat().st_size == ends[whole]
        await log.close()
        (crashed / "log" / "clean").unlink()


@pytest.mark.parametrize("fill", ["zero", "garbage", "old"])
async def test_each_sector_of_the_unsynced_batch(tmp_path: Path, fill: str) -> None:
    """One group of several frames, not synced when the power went."""
    log = await start(tmp_path / "log")
    await log.create([REF])
    records: Records = {}
    for i in range(5):
        await put(log, records, REF, [b"%d" % i * 100])
    synced = _tail(tmp_path / "log").stat().st_size
    batches = [[b"%d-%d" % (i, k) * 60 for k in range(3)] for i in range(9)]
    await log.append([Batch(REF, batch, None) for batch in batches])
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    raw = _tail(crashed).read_bytes()
    assert len(raw) - synced > 8 * 512
    everything = dict(records[REF])
    for number, data in enumerate([one for batch in batches for one in batch], start=5):
        everything[number] = data
    random_ = random.Random(3)
    for sector in range(synced // 512, len(raw) // 512 + 1):
        first, last = max(sector * 512, synced), min((sector + 1) * 512, len(raw))
        content = {"zero": bytes(last - first), "garbage": random_.randbytes(last - first)}.get(fill)
        copy = tmp_path / f"{sector}"
        shutil.copytree(crashed, copy)
        # "old": what the sectors of the file held before, the frames just before.
        filler = (
            content if content is not None else raw[first - 512 : first][: last - first].ljust(last - first)
        )
        _tail(copy).write_bytes(raw[:first] + filler + raw[last:])
        log = await start(copy)
        found, refusals = await read_all(log, REF)
        assert refusals == [] and log.damage == ()
        assert found.items() >= records[REF].items(), "what was acknowledged before"
        assert found.items() <= everything.items()
        assert sorted(found) == list(range(len(found)))
        await put(log, {REF: found}, REF, [b"goes on"])
        await log.close()


async def test_zeros_behind_the_tail_are_cut(tmp_path: Path) -> None:
    log = await start(tmp_path / "log")
    await log.create([REF])
    records: Records = {}
    await put(log, records, REF, [b"x"])
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    size = _tail(crashed).stat().st_size
    with _tail(crashed).open("ab") as file:
        file.write(bytes(1 << 20))
    log = await start(crashed)
    assert _tail(crashed).stat().st_size == size
    assert await read_all(log, REF) == (records[REF], [])
    await log.close()


@pytest.mark.parametrize("left", [0, 1, 63, 64])
async def test_a_segment_that_was_only_just_created(tmp_path: Path, left: int) -> None:
    """Its name is there, its header in part: the numbers go on from its name."""
    log = await start(tmp_path / "log", segment_bytes=4096)
    await log.create([REF])
    records: Records = {}
    for i in range(6):
        await put(log, records, REF, [b"%d" % i * 1500])
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    tail = _tail(crashed)
    fresh = tail.with_name(f"{6:020d}.seg")
    fresh.write_bytes(tail.read_bytes()[:left] if left < 64 else b"\0" * 64)
    for _ in range(2):
        log = await start(crashed, segment_bytes=4096)
        assert log.bounds(REF).next == len(records[REF]) and log.damage == ()
        await put(log, records, REF, [b"goes on"])
        assert await read_all(log, REF) == (records[REF], [])
        await log.close()
