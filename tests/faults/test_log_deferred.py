"""Frames that are durable in a journal and wait for their segments (docs/log-format.md): they are read, found, handed out and deleted as
all others are, and a disk that is full or fails when they are written loses none of them."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.disks import FaultyDisk, PathDisk
from tests.support.logs import Records, as_after_a_crash, few_are_many, note, read_all, start

from penstock.cli.doctor import doctor
from penstock.log.base import Batch, DiskFull, Durable, Frame, PartitionRef, ReadOnly
from penstock.log.files import FileLog, journal
from penstock.log.files.disk import Buffer, Disk
from penstock.log.files.inspect import check_log
from penstock.log.files.outside import OutsideReader
from penstock.log.files.segment import Partition, Segment
from penstock.log.files.writer import Mark, Writer
from penstock.log.payload import decode

pytestmark = pytest.mark.faults
REFS = [PartitionRef("s" * 20, number) for number in range(5)]
JOURNAL = 1 << 18


class PickyDisk(PathDisk):
    """Writes and syncs that touch files with a certain text in their path fail."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.number = errno.ENOSPC
        self.writes: list[str] = []

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        path = self.paths[fd]
        if self.text and self.text in path:
            raise OSError(self.number, os.strerror(self.number))
        self.writes.append(path)
        return super().pwritev(fd, buffers, offset)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits goes on waiting until there is a reason: not because nothing else happens for a moment."""
    monkeypatch.setattr(journal, "IDLE_SECONDS", 60.0)
    monkeypatch.setattr(journal, "OLD_SECONDS", 60.0)
    monkeypatch.setattr(journal, "TRY_AGAIN_SECONDS", 0.05)


async def _waiting(path: Path, disk: Disk | None = None, *, groups: int = 20) -> tuple[FileLog, Records]:
    """A log of which most is in a journal only, and not in the cache."""
    log = await start(path, disk, cache_bytes=1000, journal_bytes=JOURNAL)
    await log.create(REFS)
    records: Records = {}
    for number in range(2000):
        await _append(log, records, REFS, b"early %d" % number)
        if any(log._partitions[ref].deferred for ref in REFS):
            break
        await asyncio.sleep(0.005)
    for number in range(groups):
        await _append(log, records, REFS, b"%d" % number * 20)
    for ref in REFS:
        assert len(log._partitions[ref].deferred) > groups
    return log, records


async def _append(log: FileLog, records: Records, refs: Sequence[PartitionRef], data: bytes) -> None:
    for ref, result in zip(refs, await log.append([Batch(ref, [data], None) for ref in refs]), strict=True):
        assert isinstance(result, Durable), result
        note(records, ref, result.base, [data])


async def _holds(path: Path, records: Records) -> None:
    log = await start(path)
    assert log.damage == () and log.health().ok
    for ref in REFS:
        assert await read_all(log, ref) == (records[ref], [])
    await log.close()


async def _all_there(log: FileLog, records: Records) -> None:
    for ref in REFS:
        assert await read_all(log, ref) == (records[ref], [])


async def test_they_are_read(tmp_path: Path) -> None:
    disk = PickyDisk()
    log, records = await _waiting(tmp_path, disk)
    disk.writes.clear()
    await _all_there(log, records)
    for ref in REFS:
        for sequence in range(len(records[ref])):
            (frame, *_) = await log.read(ref, sequence, 1, 1)
            assert decode(frame.payload)[1][sequence - frame.base] == records[ref][sequence]
            waiting = await log.waiting(ref, sequence)
            assert waiting.records == len(records[ref]) - sequence
        frames = await log.read(ref, 3, 1 << 20, 5)
        assert [frame.base for frame in frames][:1] == [3] and len(frames) >= 5
    assert not disk.writes, "for none of that it had to be written"
    await log.close()
    await _holds(tmp_path, records)


async def test_they_are_found_by_their_time(tmp_path: Path) -> None:
    log, records = await _waiting(tmp_path)
    ref = REFS[0]
    (first,) = await log.read(ref, len(records[ref]) - 3, 1, 1)
    log._committer._clock.advance(5)  # type: ignore[attr-defined]
    await _append(log, records, [ref], b"later")
    assert await log.sequence_at(ref, first.append_ms + 1) == len(records[ref]) - 1
    assert await log.sequence_at(ref, first.append_ms) <= first.base
    assert await log.sequence_at(ref, 0) == 0
    await log.close()


async def test_another_process_is_told_of_what_is_in_the_file(tmp_path: Path) -> None:
    """`place` has it written first; nobody else's frames are."""
    disk = PickyDisk()
    log, records = await _waiting(tmp_path, disk)
    disk.writes.clear()
    reader = OutsideReader()
    for ref in REFS[:2]:
        found: dict[int, bytes] = {}
        sequence = 0
        while (place := await log.place(ref, sequence)) is not None:
            for frame in reader.frames(place, sequence, 1 << 20):
                found.update(enumerate(decode(frame.payload)[1], frame.base))
                sequence = frame.base + frame.count
        assert found == records[ref]
        assert not log._partitions[ref].deferred
    assert {path.split("/")[-2] for path in disk.writes} <= {"0000000000", "0000000001"}
    assert log._partitions[REFS[2]].deferred
    written = len(records[REFS[0]])
    await _append(log, records, REFS, b"later")
    place = await log.place(REFS[0], 3)
    assert place is not None and place.end == written, "the rest is not in the file"
    assert sum(frame.count for frame in reader.frames(place, 0, 1 << 20)) == written
    reader.close()
    await log.close()
    await _holds(tmp_path, records)


async def test_many_frames_are_one_write(tmp_path: Path) -> None:
    disk = PickyDisk()
    log, records = await _waiting(tmp_path, disk, groups=100)
    disk.writes.clear()
    await log.close()
    segments = [path for path in disk.writes if path.endswith(".seg")]
    assert sorted(segments) == sorted(set(segments)) and len(segments) == len(REFS)
    await _holds(tmp_path, records)


async def test_a_full_disk_takes_them_later(tmp_path: Path) -> None:
    """R5: what was acknowledged is there and can be read; the partition takes no more until there is room, others go on."""
    disk = PickyDisk()
    log, records = await _waiting(tmp_path, disk)
    disk.text = "/0000000000/"
    bad, good = REFS[0], REFS[1:]
    assert await log.place(bad, 0) is None or (await log.place(bad, len(records[bad]) - 1)) is None
    await _all_there(log, records)
    (result,) = await log.append([Batch(bad, [b"no room"], None)])
    assert isinstance(result, DiskFull)
    assert log.health().ok
    for number in range(2000):  # more than all journals hold
        await _append(log, records, good, b"%d" % number * 20)
    await _all_there(log, records)
    crashed = as_after_a_crash(tmp_path, tmp_path / "crashed")
    await _holds(crashed, records)
    disk.text = ""
    await _append(log, records, REFS, b"room again")
    for _ in range(500):
        if not log._backlog._stuck:
            break
        await _append(log, records, good, b"time passes")
        await asyncio.sleep(0.01)
    await _all_there(log, records)
    await log.close()
    shutil.rmtree(crashed)
    await _holds(tmp_path, records)


async def test_a_disk_that_is_full_to_the_end(tmp_path: Path) -> None:
    """The journal is kept, and the next start brings it all."""
    disk = PickyDisk()
    log, records = await _waiting(tmp_path / "log", disk)
    disk.text = ".seg"
    await log.close()
    assert list((tmp_path / "log" / "log").glob("journal-*"))
    await _holds(tmp_path / "log", records)


async def test_a_disk_that_fails(tmp_path: Path) -> None:
    """R6: the partition is read-only and says so; what was acknowledged can be read, and is there after the next start."""
    disk = PickyDisk()
    log, records = await _waiting(tmp_path, disk)
    disk.text, disk.number = "/0000000000/", errno.EIO
    assert await log.place(REFS[0], len(records[REFS[0]]) - 1) is None
    (result,) = await log.append([Batch(REFS[0], [b"lost"], None)])
    assert isinstance(result, ReadOnly)
    await _append(log, records, REFS[1:], b"others go on")
    assert "read-only" in log.health().problems[0]
    await _all_there(log, records)
    await log.close()
    await _holds(tmp_path, records)


async def test_a_journal_without_room(tmp_path: Path) -> None:
    """A file system that needs room to write over a file (copy on write): the group fails, the next one does not."""
    disk = PickyDisk()
    log, records = await _waiting(tmp_path, disk)
    waiting = {ref: len(log._partitions[ref].deferred) for ref in REFS}
    disk.text = "journal-"
    results = await log.append([Batch(ref, [b"no room"], None) for ref in REFS])
    assert all(isinstance(result, DiskFull) for result in results)
    disk.text = ""
    assert log.health().ok
    await _all_there(log, records)
    await _append(log, records, REFS, b"room again")
    for ref in REFS:
        assert len(log._partitions[ref].deferred) == waiting[ref] + 1, "a journal is still in use"
    await _all_there(log, records)
    crashed = as_after_a_crash(tmp_path, tmp_path / "crashed")
    await log.close()
    await _holds(crashed, records)
    shutil.rmtree(crashed)
    await _holds(tmp_path, records)


async def test_a_journal_without_room_when_a_segment_has_just_begun(tmp_path: Path) -> None:
    """Its header is in the journal with its first frames, whichever attempt that is."""
    disk = PickyDisk()
    log = await start(tmp_path, disk, segment_bytes=4096, cache_bytes=1000, journal_bytes=JOURNAL)
    await log.create(REFS)
    records: Records = {}
    random_ = random.Random(2)
    failed = 0
    for number in range(300):
        if number % 3 == 2:
            disk.text = "journal-"
            results = await log.append([Batch(ref, [b"no" * 200, b"room"], None) for ref in REFS])
            disk.text = ""
            for ref, result in zip(REFS, results, strict=True):
                if isinstance(result, Durable):
                    note(records, ref, result.base, [b"no" * 200, b"room"])
                else:
                    assert isinstance(result, DiskFull)
                    failed += 1
        await _append(log, records, REFS, b"%d." % number * random_.randint(1, 300))
    assert failed > 100 and log.health().ok
    crashed = as_after_a_crash(tmp_path, tmp_path / "crashed")
    await _all_there(log, records)
    await log.close()
    await _holds(crashed, records)
    shutil.rmtree(crashed)
    await _holds(tmp_path, records)


async def test_the_header_of_a_segment_is_in_the_journal_at_the_second_attempt_too(tmp_path: Path) -> None:
    """A loss of power may leave an empty file, whichever group its first frames came with."""
    disk = PickyDisk()
    log, records = await _waiting(tmp_path / "log", disk)
    new = PartitionRef("n" * 20, 0)
    await log.create([new])
    disk.text = "journal-"
    (result,) = await log.append([Batch(new, [b"no room"], None)])
    assert isinstance(result, DiskFull)
    disk.text = ""
    await _append(log, records, [new], b"room")
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    (segment,) = (crashed / "log" / new.stream_id).rglob("*.seg")
    segment.write_bytes(b"")
    log = await start(crashed)
    assert log.damage == () and log.health().ok
    assert await read_all(log, new) == (records[new], [])
    await log.close()


async def test_deleted_before_they_were_written(tmp_path: Path) -> None:
    disk = PickyDisk()
    log, _ = await _waiting(tmp_path, disk)
    disk.writes.clear()
    await log.delete_stream(REFS[0].stream_id)
    assert not disk.writes and not log._backlog.bytes and not len(log._backlog)
    await log.close()
    log = await start(tmp_path)
    assert log.damage == () and not log.partitions()
    await log.close()


async def test_a_deletion_that_fails_leaves_them(tmp_path: Path) -> None:
    class NoRename(PickyDisk):
        def rename(self, old: str, new: str) -> None:
            if ".deleting" in new:
                raise OSError(errno.EIO, "no")
            super().rename(old, new)

    log, records = await _waiting(tmp_path, NoRename())
    with pytest.raises(ReadOnly, match="deleting"):
        await log.delete_stream(REFS[0].stream_id)
    await _all_there(log, records)
    await _append(log, records, REFS, b"goes on")
    await log.close()
    await _holds(tmp_path, records)


async def test_expired_before_they_were_written(tmp_path: Path) -> None:
    log, records = await _waiting(tmp_path)
    gone = await log.expire(REFS[0], 1 << 60)
    assert gone == len(records[REFS[0]]) and log.bounds(REFS[0]).earliest == gone
    assert not log._partitions[REFS[0]].deferred
    await _append(log, records, REFS, b"goes on")
    assert [frame.base for frame in await log.read(REFS[0], gone, 1 << 20, 10)] == [gone]
    await log.close()
    del records[REFS[0]]
    log = await start(tmp_path)
    assert log.bounds(REFS[0]) == (gone, gone + 1)
    await log.close()


async def test_a_large_group_goes_behind_them(tmp_path: Path) -> None:
    """It is too large for the journal: what waits is written first, or there would be a hole."""
    log, records = await _waiting(tmp_path)
    large = b"x" * (300 << 10)
    await _append(log, records, REFS[:1], large)
    await _all_there(log, records)
    assert not log._partitions[REFS[0]].deferred and log._partitions[REFS[1]].deferred
    await _append(log, records, REFS, b"small again")
    await _all_there(log, records)
    crashed = as_after_a_crash(tmp_path, tmp_path / "crashed")
    await log.close()
    await _holds(crashed, records)


def test_frames_behind_those_that_waited_are_not_looked_for_among_them() -> None:
    """The event loop hears of a large group before it hears that what waited for it is written."""
    partition = Partition("/log", REFS[0])
    segment = Segment(partition.directory, 0, salt=1, size=64)
    partition.publish(segment, [Frame(REFS[0], 0, 2, 5, b"waits", 64)], deferred=True)
    assert [frame.base for frame in partition.deferred_from(1, 100, 100)] == [0]
    assert partition.end(0) == 0 and partition.size(segment) == 64
    partition.publish(segment, [Frame(REFS[0], 2, 1, 5, b"large", 133)])
    assert not partition.deferred_from(2, 100, 100) and not partition.deferred_from(1, 100, 100)
    assert partition.end(0) == 3 and partition.size(segment) == 133 + 64 + 5
    partition.publish(segment, [Frame(REFS[0], 3, 1, 5, b"waits again", 202)], deferred=True)
    partition.wrote(segment, 202)
    assert [frame.base for frame in partition.deferred_from(3, 100, 100)] == [3]


@pytest.mark.parametrize("many", [False, True])
async def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: bool) -> None:
    """However many partitions wait, and whatever comes: from some amount on as much is written as comes."""
    monkeypatch.setattr(journal, "BACKLOG_BYTES", 20_000)
    monkeypatch.setattr(journal, "STEP_FILES", 0)
    if many:
        few_are_many(monkeypatch)
    refs = [PartitionRef("s" * 20, number) for number in range(200)]
    log = await start(tmp_path, cache_bytes=1000, journal_bytes=JOURNAL)
    await log.create(refs)
    records: Records = {}
    random_ = random.Random(3)
    most = waited = 0
    for number in range(1500):
        await _append(log, records, random_.sample(refs, 5), b"%d." % number * random_.randint(1, 20))
        most = max(most, log._backlog.bytes)
        waited = max(waited, len(log._backlog))
        if not number % 10:
            await asyncio.sleep(0)
    assert waited > 20
    journals = log._committer._journals
    assert journals is not None
    assert {file.state.name for file in journals._files}.isdisjoint({"KEPT"}), "all of them are used again"
    assert most < 20_000 + 8 * 1000
    for ref in refs:
        assert await read_all(log, ref) == (records.get(ref, {}), [])
    crashed = as_after_a_crash(tmp_path, tmp_path / "crashed")
    await log.close()
    assert not log._backlog.bytes and not len(log._backlog)
    for path in (crashed, tmp_path):
        again = await start(path)
        assert again.damage == ()
        for ref in refs:
            assert await read_all(again, ref) == (records.get(ref, {}), [])
        await again.close()
        if path is crashed:
            shutil.rmtree(crashed)


async def test_what_waits_is_written_when_nothing_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, records = await _waiting(tmp_path)
    monkeypatch.setattr(journal, "IDLE_SECONDS", 0.01)
    await _append(log, records, REFS, b"wakes it up")
    for _ in range(500):
        if not len(log._backlog):
            break
        await asyncio.sleep(0.01)
    assert not any(log._partitions[ref].deferred for ref in REFS) and not log._backlog.bytes
    await log.close()


async def test_what_has_waited_long_is_written_though_others_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, records = await _waiting(tmp_path)
    monkeypatch.setattr(journal, "OLD_SECONDS", 0.02)
    log._committer._journals._age_at = 0.0  # type: ignore[union-attr]
    for number in range(300):
        await _append(log, records, REFS[:1], b"%d" % number)
        if not any(log._partitions[ref].deferred for ref in REFS[1:]):
            break
        await asyncio.sleep(0.005)
    assert not any(log._partitions[ref].deferred for ref in REFS[1:])
    await log.close()


@pytest.mark.parametrize("worse", [False, True])
async def test_one_sync_for_all_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worse: bool
) -> None:
    """It does not say which file it was: they are asked one by one, and only what fails then is read-only."""
    few_are_many(monkeypatch)
    log, records = await _waiting(tmp_path / "log")
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    disk = FaultyDisk()
    disk.fail("sync_all", errno.EIO, times=-1)
    if worse:
        disk.fail("fdatasync", errno.EIO)
    log = await start(crashed, disk)
    assert log.health().ok is not worse
    for ref in REFS:
        found, _ = await read_all(log, ref)
        assert found == records[ref] or worse
    assert bool(list((crashed / "log").glob("journal-*"))) is worse
    await log.close()
    await _holds(crashed, records)


async def test_one_sync_for_all_that_fails_while_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_are_many(monkeypatch)
    disk = FaultyDisk()
    disk.fail("sync_all", errno.EIO, times=-1)
    monkeypatch.setattr(journal, "STEP_FILES", 0)
    log, records = await _waiting(tmp_path, disk)
    already = disk.calls.get("sync_all", 0)
    synced: list[str] = []
    real = Writer.sync_behind

    def noted(writer: Writer) -> tuple[Segment, Mark] | None:
        assert writer.segment is not None
        synced.append(writer.segment.path)
        return real(writer)

    monkeypatch.setattr(Writer, "sync_behind", noted)
    for number in range(3000):
        await _append(log, records, REFS, b"%d" % number * 20)
        if disk.calls.get("sync_all", 0) > already:
            break
    await asyncio.sleep(0.1)
    assert len(set(synced)) == len(REFS)
    assert log.health().ok
    await log.close()
    await _holds(tmp_path, records)


async def test_doctor_counts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a server that was killed: the segments alone do not say how much there is."""
    log, records = await _waiting(tmp_path / "log")
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    reports = {PartitionRef(r.stream_id, r.number): r for r in check_log(crashed)}
    for ref in REFS:
        report = reports[ref]
        assert report.problems == () and report.records == report.next < len(records[ref])
        assert report.journaled == len(records[ref]) - report.records
    assert await asyncio.to_thread(doctor, crashed) == 0
    waiting = sum(report.journaled for report in reports.values())
    assert f"{waiting} records more are in a journal" in " ".join(capsys.readouterr().out.split())
    (path,) = (crashed / "log").glob("journal-*")
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"33333")] ^= 1
    path.write_bytes(raw)
    assert await asyncio.to_thread(doctor, crashed) == 1
    assert "damaged at byte" in capsys.readouterr().out
    for report in check_log(tmp_path / "log"):
        assert report.journaled == 0


async def test_one_sync_at_the_start_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a journal: what is about to be shown may not be on the disk, and the kernel has said so once."""
    log = await start(tmp_path / "log")
    await log.create(REFS)
    records: Records = {}
    await _append(log, records, REFS, b"before")
    crashed = as_after_a_crash(tmp_path / "log", tmp_path / "crashed")
    await log.close()
    few_are_many(monkeypatch)
    disk = FaultyDisk()
    disk.fail("sync_all", errno.EIO)
    disk.fail("fdatasync", errno.EIO)
    log = await start(crashed, disk)
    (problem,) = log.health().problems
    assert "partition 0" in problem or "0000000000/" in problem
    results = await log.append([Batch(ref, [b"after"], None) for ref in REFS])
    assert [type(result) for result in results] == [ReadOnly] + [Durable] * 4
    await log.close()
