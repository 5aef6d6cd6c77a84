"""Groups that touch many partitions are durable in a journal first (docs/log-format.md): kills inside the replay, torn and damaged
journals, disks that refuse them."""

from __future__ import annotations

import asyncio
import errno
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.disks import FaultyDisk, PathDisk
from tests.support.logs import Records, as_after_a_crash, few_are_many, note, put, read_all, start

from penstock.log.base import Batch, Durable, PartitionRef, ReadOnly
from penstock.log.files import FileLog
from penstock.log.files import format as fmt
from penstock.log.files.disk import Buffer, Disk
from penstock.log.files.recovery import load_ends

pytestmark = pytest.mark.faults
REFS = [PartitionRef("s" * 20, number) for number in range(5)]
SIZE = 1 << 16


class _Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class MortalDisk(Disk):
    """Its process dies at the n-th call that changes anything; a write may have been done in part."""

    def __init__(self, left: int, share: float = 1.0) -> None:
        self.left = left
        self._share = share

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _Killed

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        if self.left == 0:
            joined = b"".join(buffers)
            super().pwritev(fd, [joined[: int(len(joined) * self._share)]], offset)
        self._step()
        return super().pwritev(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        self._step()

    def sync_all(self, path: str) -> None:
        self._step()

    def fsync_dir(self, path: str) -> None:
        self._step()

    def unlink(self, path: str) -> None:
        self._step()
        super().unlink(path)

    def rename(self, old: str, new: str) -> None:
        self._step()
        super().rename(old, new)

    def truncate(self, fd: int, size: int) -> None:
        self._step()
        super().truncate(fd, size)


async def _group(log: FileLog, records: Records, refs: Sequence[PartitionRef], data: bytes) -> None:
    """One group that touches those partitions."""
    results = await log.append([Batch(ref, [data, b"and " + data], None) for ref in refs])
    for ref, result in zip(refs, results, strict=True):
        assert isinstance(result, Durable), result
        note(records, ref, result.base, [data, b"and " + data])


async def _until_there_is_a_journal(log: FileLog, records: Records, path: Path) -> Path:
    for _ in range(500):
        await _group(log, records, REFS, b"early")
        found = journals(path)
        if found and fmt.BATCH_MAGIC in found[0].read_bytes():
            return found[0]
        await asyncio.sleep(0.01)
    raise AssertionError("no journal is in use")


class OneBadFile(PathDisk):
    """Syncs of one partition's segments fail."""

    def __init__(self) -> None:
        super().__init__()
        self.bad = ""

    def fdatasync(self, fd: int) -> None:
        if self.bad and self.bad in self.paths[fd]:
            raise OSError(errno.EIO, "the disk says no")


def journals(path: Path) -> list[Path]:
    return sorted((path / "log").glob("journal-*"))


async def _in_use(path: Path, groups: int = 8) -> tuple[FileLog, Records]:
    """A log whose last groups are in a journal."""
    log = await start(path, journal_bytes=SIZE)
    await log.create(REFS)
    records: Records = {}
    await _until_there_is_a_journal(log, records, path)
    for number in range(groups):
        await _group(log, records, REFS, b"%d" % number * 20)
    return log, records


def _without_what_was_not_synced(crashed: Path, journaled: Path) -> None:
    """Of every segment only the header and the frames before the journal's first batch: what a loss of power may leave."""
    raw = memoryview(journaled.read_bytes())
    header = fmt.unpack_journal(bytes(raw[:64]))
    assert header is not None
    position, cuts = 64, dict[PartitionRef, int]()
    while (batch := fmt.batch_at(raw, position, *header, 0)) is not None:
        for run in batch.runs:
            cuts.setdefault(PartitionRef(*fmt.ident_parts(run.name)), run.offset)
        position = batch.end
    assert set(cuts) == set(REFS)
    for ref, cut in cuts.items():
        (segment,) = (crashed / "log" / ref.stream_id / f"{ref.number:010d}").glob("*.seg")
        segment.write_bytes(segment.read_bytes()[:cut])


async def _holds(path: Path, records: Records, *, damage: bool = False) -> None:
    log = await start(path, journal_bytes=SIZE)
    assert bool(log.damage) is damage, log.damage
    assert not journals(path), "what was brought into the segments needs no journal"
    for ref in REFS:
        assert await read_all(log, ref) == (records[ref], [])
        await put(log, {}, ref, [b"goes on"])
    await log.close()


async def _until_written(path: Path, records: Records) -> None:
    """What is in a journal is in the segments as well: it is written when nothing else is to be done."""
    last = {ref: held[max(held)] for ref, held in records.items()}
    for _ in range(500):
        files = {ref: b"".join(segment.read_bytes() for segment in _segments(path, ref)) for ref in records}
        if all(last[ref] in files[ref] for ref in records):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not written")


def _segments(path: Path, ref: PartitionRef) -> list[Path]:
    return sorted((path / "log" / ref.stream_id / f"{ref.number:010d}").glob("*.seg"))


async def _crashed(tmp_path: Path, *, written: bool = False) -> tuple[Path, Records]:
    log, records = await _in_use(tmp_path / "log")
    if written:
        await _until_written(tmp_path / "log", records)
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    assert not journals(tmp_path / "log"), "a close in order leaves none"
    await _holds(tmp_path / "log", records)
    return crashed, records


async def test_a_killed_process(tmp_path: Path) -> None:
    crashed, records = await _crashed(tmp_path)
    await _holds(crashed, records)


async def test_segments_that_got_nothing(tmp_path: Path) -> None:
    crashed, records = await _crashed(tmp_path)
    _without_what_was_not_synced(crashed, journals(crashed)[0])
    await _holds(crashed, records)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
async def test_killed_at_every_step_of_the_replay(
    tmp_path: Path, share: float, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2 with kills inside the replay: begun again, it ends the same."""
    if many:
        few_are_many(monkeypatch)
    crashed, records = await _crashed(tmp_path)
    _without_what_was_not_synced(crashed, journals(crashed)[0])
    step, done = 0, False
    while not done:
        copy = tmp_path / f"{step}"
        shutil.copytree(crashed, copy)
        try:
            log = await start(copy, MortalDisk(step, share))
        except _Killed:
            pass
        else:
            done = True
            log._disk.left = 1 << 30  # type: ignore[attr-defined]
            await log.close()
        again = tmp_path / f"{step}-again"
        shutil.copytree(copy, again)
        await _holds(again, records)
        step += 1
    assert step > 10


async def test_a_last_batch_cut_at_every_byte(tmp_path: Path) -> None:
    """R3: it was never acknowledged; what was before it is there."""
    log, records = await _in_use(tmp_path / "log", groups=3)
    journal = journals(tmp_path / "log")[0]
    before = journal.read_bytes()
    segments = {path: path.stat().st_size for path in (tmp_path / "log").rglob("*.seg")}
    await _group(log, {}, REFS[:2], b"last")
    after = journal.read_bytes()
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    changed = [i for i in range(len(after)) if before[i] != after[i]]
    first, last = changed[0], changed[-1]
    assert last - first > 200
    for path, size in segments.items():
        copy = crashed / path.relative_to(tmp_path / "log")
        copy.write_bytes(copy.read_bytes()[:size])
    for cut in range(first, last + 1, 7):
        copy = tmp_path / f"cut-{cut}"
        shutil.copytree(crashed, copy)
        (copy / "log" / journal.name).write_bytes(after[:cut] + before[cut:])
        await _holds(copy, records)
        shutil.rmtree(copy)


async def test_a_damaged_batch_is_said(tmp_path: Path) -> None:
    """R4: bytes that went bad in the middle; the segments have it all, so nothing is lost, but nothing is silent either."""
    crashed, records = await _crashed(tmp_path, written=True)
    journal = journals(crashed)[0]
    raw = bytearray(journal.read_bytes())
    at = raw.find(b"33333")
    assert at > 0
    raw[at] ^= 1
    journal.write_bytes(raw)
    await _holds(crashed, records, damage=True)


async def test_records_lost_with_a_damaged_batch_are_named(tmp_path: Path) -> None:
    crashed, records = await _crashed(tmp_path)
    journal = journals(crashed)[0]
    _without_what_was_not_synced(crashed, journal)
    raw = bytearray(journal.read_bytes())
    raw[raw.find(b"33333")] ^= 1
    journal.write_bytes(raw)
    log = await start(crashed)
    assert any("batches" in problem for problem in log.damage)
    for ref in REFS:
        found, refusals = await read_all(log, ref)
        assert found.items() <= records[ref].items()
        assert len(found) < len(records[ref])
        assert refusals or log.bounds(ref).next < len(records[ref])
    await log.close()


async def test_old_batches_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    """Journals are written over, again and again; what lies behind the last batch is of another generation."""
    log = await start(tmp_path / "log", journal_bytes=SIZE)
    await log.create(REFS)
    records: Records = {}
    random_ = random.Random(1)
    for number in range(400):
        await _group(log, records, random_.sample(REFS, 3), b"%d." % number * random_.randint(1, 60))
        if not number % 20:
            await asyncio.sleep(0.01)
    assert len(journals(tmp_path / "log")) > 1
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    await _holds(crashed, records)


async def test_journals_are_replayed_in_the_order_they_were_written(tmp_path: Path) -> None:
    """Not in that of their names or headers: which of two is ready first depends on threads."""
    crashed, records = await _crashed(tmp_path)
    (journal,) = journals(crashed)
    _without_what_was_not_synced(crashed, journal)
    raw = memoryview(journal.read_bytes())
    header = fmt.unpack_journal(bytes(raw[:64]))
    assert header is not None
    batches, position = [], 64
    while (batch := fmt.batch_at(raw, position, *header, 0)) is not None:
        batches.append(batch)
        position = batch.end
    half = len(batches) // 2
    journal.unlink()
    for name, generation, part in ((1, 3, batches[half:]), (2, 2, batches[:half])):
        content = fmt.pack_journal(7, generation)
        for batch in part:
            content += b"".join(fmt.pack_batch(7, generation, batch.number, batch.runs))
        (crashed / "log" / f"journal-{name:010d}").write_bytes(content.ljust(SIZE, b"\0"))
    await _holds(crashed, records)


@pytest.mark.parametrize("written", [True, False])
async def test_a_copy_of_a_log_in_use_is_a_prefix(tmp_path: Path, written: bool) -> None:
    """R24: the segments are copied first, the journals when they have been written over twice. All is there that was written into the
    segments before; the last second's may not be."""
    log, records = await _in_use(tmp_path / "log")
    if written:
        await _until_written(tmp_path / "log", records)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "log", copy, ignore=shutil.ignore_patterns("journal-*", "*.tmp"))
    early: Records = {ref: dict(held) for ref, held in records.items()}
    for number in range(400):
        await _group(log, records, REFS, b"%d" % number * 20)
        if not number % 20:
            await asyncio.sleep(0.01)
    for journal in journals(tmp_path / "log"):
        shutil.copy(journal, copy / "log" / journal.name)
    await log.close()
    if written:
        await _holds(copy, early)
        return
    log = await start(copy)
    assert log.damage == () and log.health().ok
    for ref in REFS:
        found, refusals = await read_all(log, ref)
        assert refusals == [] and sorted(found) == list(range(len(found)))
        assert found.items() <= early[ref].items()
    await log.close()


async def test_a_sync_of_the_journal_that_fails(tmp_path: Path) -> None:
    """R6: nothing is acknowledged, and what it touched takes no more; others go on without it."""
    disk = FaultyDisk()
    log = await start(tmp_path, disk, journal_bytes=SIZE)
    await log.create(REFS)
    records: Records = {}
    await _until_there_is_a_journal(log, records, tmp_path)
    disk.fail("fdatasync", errno.EIO)
    results = await log.append([Batch(ref, [b"lost"], None) for ref in REFS[:3]])
    assert all(isinstance(result, ReadOnly) for result in results)
    assert not log.health().ok
    results = await log.append([Batch(ref, [b"x"], None) for ref in REFS])
    assert [type(result) for result in results] == [ReadOnly] * 3 + [Durable] * 2
    for ref in REFS[3:]:
        note(records, ref, len(records[ref]), [b"x"])
    await log.close()
    log = await start(tmp_path)
    for ref in REFS:
        found, _ = await read_all(log, ref)
        assert found.items() >= records[ref].items()
    await log.close()


async def test_a_journal_whose_segments_cannot_be_synced_is_kept(tmp_path: Path) -> None:
    """What was acknowledged through it is in no other place that can be trusted."""
    disk = OneBadFile()
    log = await start(tmp_path / "log", disk, journal_bytes=SIZE)
    await log.create(REFS)
    records: Records = {}
    await _until_there_is_a_journal(log, records, tmp_path / "log")
    await _group(log, records, REFS, b"before")
    disk.bad = "/0000000000/"
    for number in range(2000):
        await _group(log, records, REFS[1:], b"%d" % number)
        if not log.health().ok and number > 1000:
            break
        if not number % 20:
            await asyncio.sleep(0.005)
    assert "read-only" in log.health().problems[0]
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    disk.bad = ""
    await log.close()
    (segment,) = (crashed / "log" / REFS[0].stream_id / "0000000000").glob("*.seg")
    cut = segment.read_bytes().rfind(b"PkFr")
    segment.write_bytes(segment.read_bytes()[:cut])
    await _holds(crashed, records)


@pytest.mark.parametrize("call", ["create", "pwritev", "fsync_dir", "free"])
async def test_a_disk_that_gives_none(tmp_path: Path, call: str) -> None:
    """Without a journal everything works as before it had one."""
    disk = FaultyDisk()
    log = await start(tmp_path, disk, journal_bytes=1 << 20)
    await log.create(REFS)
    records: Records = {}
    for ref in REFS:
        await put(log, records, ref, [b"its segment is there"])
    if call == "free":
        disk.free = lambda path: 0  # type: ignore[method-assign]
    else:
        disk.fail(call, errno.ENOSPC, times=1)
    await asyncio.sleep(0.2)
    for _ in range(10):
        results = await log.append([Batch(ref, [b"x"], None) for ref in REFS])
        for ref, result in zip(REFS, results, strict=True):
            if isinstance(result, Durable):
                note(records, ref, result.base, [b"x"])
        await asyncio.sleep(0.01)
    assert log.health().ok
    await log.close()
    await _holds(tmp_path, records)


async def test_a_segment_that_cannot_be_filled_keeps_the_journal(tmp_path: Path) -> None:
    """A full disk at the start: the partition is read-only and says so, and the start after that has it all."""
    crashed, records = await _crashed(tmp_path)
    _without_what_was_not_synced(crashed, journals(crashed)[0])
    disk = FaultyDisk()
    disk.fail("pwritev", errno.ENOSPC, times=1)
    log = await start(crashed, disk)
    assert any("a journal holds" in problem for problem in log.health().problems)
    assert journals(crashed)
    await log.close()
    ends = load_ends(Disk(), str(crashed / "log" / "clean"))
    assert ends is not None
    await _holds(crashed, records)


async def test_a_program_that_knows_no_journals_is_kept_out(tmp_path: Path) -> None:
    """R20: it reads the table of ends first, which has a version it does not know."""
    crashed, _ = await _crashed(tmp_path)
    raw = (crashed / "log" / "ends").read_bytes()
    assert int.from_bytes(raw[4:6], "little") == fmt.JOURNAL_VERSION != fmt.VERSION
    assert not (crashed / "log" / "clean").exists()


async def test_a_stream_deleted_meanwhile(tmp_path: Path) -> None:
    log, _ = await _in_use(tmp_path / "log")
    await log.delete_stream(REFS[0].stream_id)
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    assert journals(crashed)
    await log.close()
    log = await start(crashed)
    assert log.damage == () and not log.partitions() and not journals(crashed)
    await log.close()
