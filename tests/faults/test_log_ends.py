"""The table of ends is written while the log is in use (docs/log-format.md): a start after a crash reads what came later, shows all
there is, and misses what should be there."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.disks import FaultyDisk, PathDisk
from tests.support.logs import Records, as_after_a_crash, note, put, read_all, start

from penstock.log.base import Batch, Durable, PartitionRef
from penstock.log.files import FileLog, commit
from penstock.log.files.disk import Disk
from penstock.log.files.recovery import load_ends

pytestmark = pytest.mark.faults
REFS = [PartitionRef("s" * 20, number) for number in range(3)]
LARGE = b"x" * (300 << 10)


class CountingDisk(PathDisk):
    """Counts the bytes that are read of segments."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        found = super().pread(fd, length, offset)
        if self.paths[fd].endswith(".seg"):
            self.read += len(found)
        return found


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "ENDS_SECONDS", 0.0)


async def _append(log: FileLog, records: Records, refs: Sequence[PartitionRef], data: bytes) -> None:
    results = await log.append([Batch(ref, [data], None) for ref in refs])
    for ref, result in zip(refs, results, strict=True):
        assert isinstance(result, Durable), result
        note(records, ref, result.base, [data])


async def _filled(path: Path) -> Records:
    """A log in use whose table of ends knows most of it, as a crash leaves it under `crashed`."""
    log = await start(path / "log", segment_bytes=64 << 20)
    await log.create(REFS)
    records: Records = {}
    for number in range(20):
        await _append(log, records, REFS, b"%d." % number + LARGE)
    for _ in range(200):
        ends = load_ends(Disk(), str(path / "log" / "log" / "ends"))
        if ends is not None and all(ends[ref].next >= 18 for ref in REFS if ref in ends) and len(ends) == 3:
            break
        await _append(log, records, REFS, b"more")
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("no table of ends is written")
    for number in range(5):
        await _append(log, records, REFS, b"later %d" % number)
    as_after_a_crash(path / "log", path / "crashed")
    await log.close()
    return records


async def test_what_it_knows_is_not_read_at_the_start(tmp_path: Path) -> None:
    records = await _filled(tmp_path)
    disk = CountingDisk()
    log = await start(tmp_path / "crashed", disk)
    assert disk.read < 2 * len(LARGE), "of 18 MB"
    assert log.damage == () and log.health().ok
    for ref in REFS:
        assert log.bounds(ref) == (0, len(records[ref]))
        assert await log.sequence_at(ref, 0) == 0
        assert (await log.waiting(ref, 0)).records == len(records[ref])
        assert await read_all(log, ref) == (records[ref], [])
        await put(log, records, ref, [b"goes on"])
        assert await read_all(log, ref) == (records[ref], [])
    await log.close()
    log = await start(tmp_path / "crashed")
    for ref in REFS:
        assert await read_all(log, ref) == (records[ref], [])
    await log.close()


async def test_what_it_knows_and_is_not_there_is_missed(tmp_path: Path) -> None:
    """Of a log that was never closed in order: cut off in the middle it would look as if no more had been stored."""
    records = await _filled(tmp_path)
    path = next((tmp_path / "crashed" / "log" / REFS[0].stream_id / "0000000000").glob("*.seg"))
    content = path.read_bytes()
    path.write_bytes(content[: 10 * len(LARGE)])
    log = await start(tmp_path / "crashed")
    (problem,) = log.damage
    assert "cannot be read" in problem
    assert log.bounds(REFS[0]).next >= 18, "no number is given out again"
    found, refusals = await read_all(log, REFS[0])
    assert found.items() < records[REFS[0]].items() and refusals
    for ref in REFS[1:]:
        assert await read_all(log, ref) == (records[ref], [])
    await log.close()


async def test_damage_before_it_is_found_by_who_reads_it(tmp_path: Path) -> None:
    records = await _filled(tmp_path)
    path = next((tmp_path / "crashed" / "log" / REFS[0].stream_id / "0000000000").glob("*.seg"))
    content = bytearray(path.read_bytes())
    content[5 * len(LARGE)] ^= 1
    path.write_bytes(content)
    log = await start(tmp_path / "crashed")
    assert log.damage == ()
    found, refusals = await read_all(log, REFS[0])
    assert len(found) == len(records[REFS[0]]) - 1 and found.items() < records[REFS[0]].items()
    assert len(refusals) == 1
    await log.close()


async def test_a_table_that_cannot_be_written(tmp_path: Path) -> None:
    """Nothing depends on it."""
    disk = FaultyDisk()
    log = await start(tmp_path / "log", disk)
    await log.create(REFS)
    records: Records = {}
    await _append(log, records, REFS, b"makes segments")
    disk.fail("create", errno.ENOSPC, times=-1)
    for number in range(10):
        await _append(log, records, REFS, b"%d" % number)
        await asyncio.sleep(0.005)
    assert disk.calls["create"] > 3, "it was tried"
    disk.heal()
    assert log.health().ok
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    for path in (crashed, tmp_path / "log"):
        log = await start(path)
        for ref in REFS:
            assert await read_all(log, ref) == (records[ref], [])
        await log.close()


async def test_partitions_that_were_deleted_are_not_missed(tmp_path: Path) -> None:
    log = await start(tmp_path / "log")
    other = PartitionRef("o" * 20, 0)
    await log.create([*REFS, other])
    records: Records = {}
    for number in range(10):
        await _append(log, records, [*REFS, other], b"%d" % number)
    await log.delete_stream(other.stream_id)
    for number in range(10):
        await _append(log, records, REFS, b"%d" % number)
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    log = await start(crashed)
    assert log.damage == () and sorted(log.partitions()) == REFS
    for ref in REFS:
        assert await read_all(log, ref) == (records[ref], [])
    await log.close()
