"""R5, R6, R7: full disks, failing syncs, short and interrupted writes, no more descriptors."""

from __future__ import annotations

import asyncio
import errno
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.support.disks import FaultyDisk
from tests.support.logs import Records, as_after_a_crash, note, put, read_all, start

from penstock.log.base import Batch, Corrupt, DiskFull, Durable, PartitionRef, ReadOnly, UnknownPartition
from penstock.log.files import OutOfFiles

pytestmark = pytest.mark.faults
A = PartitionRef("s" * 20, 0)
B = PartitionRef("s" * 20, 1)
EINTR = -1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
async def test_full_disk(tmp_path: Path, number: int) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk)
    await log.create([A, B])
    records: Records = {}
    await put(log, records, A, [b"before"])
    disk.fail("pwritev", number, times=-1)
    results = await log.append([Batch(A, [b"lost"], None), Batch(B, [b"lost"], None)])
    assert all(isinstance(result, DiskFull) for result in results)
    assert log.bounds(A) == (0, 1) and log.bounds(B) == (0, 0)
    assert log.health().ok, "it passes"
    assert await read_all(log, A) == (records[A], [])
    disk.heal()
    assert await put(log, records, A, [b"after"]) == 1, "no gap"
    assert await put(log, records, B, [b"after"]) == 0
    crashed = as_after_a_crash(tmp_path, tmp_path.with_name(f"{tmp_path.name}-crashed"))
    await log.close()
    for path in (tmp_path, crashed):
        log = await start(path)
        assert log.damage == ()
        assert await read_all(log, A) == (records[A], [])
        await log.close()


async def test_a_write_cut_short_by_a_full_disk_is_undone(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk)
    await log.create([A])
    records: Records = {}
    await put(log, records, A, [b"before"])
    segment = next(tmp_path.rglob("*.seg"))
    size = segment.stat().st_size
    room = [100, 7, 0]
    disk.short = lambda wanted: room.pop(0)
    (result,) = await log.append([Batch(A, [b"lost" * 1000], None)])
    assert isinstance(result, DiskFull)
    assert segment.stat().st_size == size
    disk.heal()
    await put(log, records, A, [b"after"])
    await log.close()
    log = await start(tmp_path)
    assert await read_all(log, A) == (records[A], [])
    await log.close()


async def test_what_was_queued_behind_a_failure_fails_with_it(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk)
    await log.create([A])
    disk.fail("pwritev", errno.ENOSPC, after=1, times=1)  # the header fits, the frames do not
    results = await asyncio.gather(*(log.append([Batch(A, [b"x"], None)]) for _ in range(20)))
    outcomes = [isinstance(result, Durable) for (result,) in results]
    assert not any(outcomes), "order holds: nothing overtakes what failed"
    (result,) = await log.append([Batch(A, [b"x"], None)])
    assert isinstance(result, Durable) and result.base == 0
    await log.close()


@pytest.mark.parametrize("call", ["create", "pwritev"])
async def test_no_room_for_a_new_segment(tmp_path: Path, call: str) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk, segment_bytes=4096)
    await log.create([A])
    records: Records = {}
    for i in range(40):
        if i % 3 == 0:
            disk.fail(call, errno.ENOSPC)
        data = [b"%d" % i * 400]
        (result,) = await log.append([Batch(A, data, None)])
        if isinstance(result, Durable):
            note(records, A, result.base, data)
        else:
            assert isinstance(result, DiskFull)
    assert 20 <= len(records[A]) < 40
    await log.close()
    log = await start(tmp_path, segment_bytes=4096)
    assert log.damage == ()
    assert await read_all(log, A) == (records[A], [])
    await log.close()


async def test_undoing_fails_too(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk)
    await log.create([A, B])
    records: Records = {}
    await put(log, records, A, [b"before"])
    disk.fail("pwritev", errno.ENOSPC)
    disk.fail("truncate", errno.EIO)
    (result,) = await log.append([Batch(A, [b"lost"], None)])
    assert isinstance(result, ReadOnly)
    assert not log.health().ok
    await put(log, records, B, [b"others go on"])
    await log.close()


def test_file_size_limit_for_real(tmp_path: Path) -> None:
    """EFBIG from the kernel (RLIMIT_FSIZE), reads and deletes meanwhile, then room again, without a restart."""
    _in_a_process(
        tmp_path,
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        log = await start(path)
        await log.create([A, B])
        records = {}
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        failed = 0
        for i in range(60):
            data = [bytes([i]) * 9_000]
            (result,) = await log.append([Batch(A, data, None)])
            if isinstance(result, Durable):
                note(records, A, result.base, data)
            else:
                assert isinstance(result, DiskFull), result
                failed += 1
        assert failed > 30, failed
        assert await read_all(log, A) == (records[A], [])
        await log.append([Batch(B, [b"x"], None)])
        assert log.health().ok
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await put(log, records, A, [b"room again" * 3_000])
        await log.close()
        log = await start(path)
        assert await read_all(log, A) == (records[A], [])
        await log.delete_stream(A.stream_id)
        await log.close()
        """,
    )


@pytest.mark.parametrize("forever", [False, True])
async def test_a_failing_sync_is_never_retried_into_an_acknowledgement(tmp_path: Path, forever: bool) -> None:
    """EIO on the n-th sync, n = 1 to 200: whichever it is, no acknowledgement follows on that partition."""
    for n in range(200):
        path = tmp_path / str(n)
        disk = FaultyDisk()
        log = await start(path, disk, segment_bytes=4096)
        await log.create([A, B])
        disk.fail("fdatasync", errno.EIO, after=n, times=-1 if forever else 1)
        records: Records = {A: {}, B: {}}
        broken: set[PartitionRef] = set()
        for i in range(75):
            batches = [Batch(ref, [b"%d" % i * 60], None) for ref in (A, B)]
            for batch, result in zip(batches, await log.append(batches), strict=True):
                if isinstance(result, Durable):
                    assert batch.ref not in broken
                    note(records, batch.ref, result.base, batch.data)
                else:
                    assert isinstance(result, ReadOnly), result
                    broken.add(batch.ref)
            assert log.health().ok == (not broken)
            assert len(log.health().problems) == len(broken)
            if len(broken) == 2 or (broken and not forever and i > n + 5):
                break
        reached = disk.calls["fdatasync"] > n
        assert bool(broken) == reached
        for ref in (A, B):
            assert await read_all(log, ref) == (records[ref], []), "what was acknowledged stays readable"
        disk.heal()
        if broken:
            (result,) = await log.append([Batch(next(iter(broken)), [b"again"], None)])
            assert isinstance(result, ReadOnly), "until restart"
        await log.close()
        log = await start(path, segment_bytes=4096)
        for ref in (A, B):
            found, refusals = await read_all(log, ref)
            assert refusals == []
            assert found.items() >= records[ref].items()
            await put(log, {ref: dict(found)}, ref, [b"goes on"])
        await log.close()
        if not reached:
            return


@pytest.mark.parametrize("call", ["fsync_dir", "pwritev", "open"])
async def test_input_output_errors_elsewhere(tmp_path: Path, call: str) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk, segment_bytes=4096, open_files=1)
    await log.create([A, B])
    records: Records = {}
    await put(log, records, A, [b"x"])
    await put(log, records, B, [b"x"])
    disk.fail(call, errno.EIO)
    # Another segment needs its name synced; the file of the first has been closed meanwhile.
    size = 5000 if call == "fsync_dir" else 1
    (result,) = await log.append([Batch(A, [b"y" * size], None)])
    assert isinstance(result, ReadOnly), result
    assert not log.health().ok
    assert "read-only until restart" in log.health().problems[0]
    await put(log, records, B, [b"others go on"])
    await log.close()
    log = await start(tmp_path, segment_bytes=4096)
    for ref in (A, B):
        found, refusals = await read_all(log, ref)
        assert refusals == [] and found.items() >= records[ref].items()
    await log.close()


async def test_a_failing_sync_in_the_background(tmp_path: Path) -> None:
    """Mode `interval`: acknowledged before the sync, so records may be lost, but it does not go on as if nothing was."""
    disk = FaultyDisk()
    log = await start(tmp_path, disk, sync="interval", interval_ms=1)
    await log.create([A])
    disk.fail("fdatasync", errno.EIO)
    for _ in range(1000):
        (result,) = await log.append([Batch(A, [b"x"], None)])
        if isinstance(result, ReadOnly):
            break
        await asyncio.sleep(0.002)
    assert isinstance(result, ReadOnly)
    assert not log.health().ok
    await log.close()


async def test_interval_syncs_without_more_appends(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk, sync="interval", interval_ms=1)
    await log.create([A])
    await log.append([Batch(A, [b"x"], None)])
    while not disk.calls.get("fdatasync"):
        await asyncio.sleep(0.001)
    await log.close()


@pytest.mark.parametrize("mode", ["always", "interval", "os"])
async def test_short_and_interrupted_writes(tmp_path: Path, mode: str) -> None:
    random_ = random.Random(7)
    disk = FaultyDisk()
    log = await start(tmp_path, disk, sync=mode, interval_ms=1, segment_bytes=8192)
    await log.create([A])
    disk.short = lambda wanted: random_.randint(1, max(1, wanted))
    records: Records = {}
    for i in range(50):
        for call in ("pwritev", "fdatasync", "pread"):
            disk.fail(call, EINTR, after=random_.randint(0, 2))
        await put(log, records, A, [b"%d" % i * 60] * 3)
    disk.short = None
    await log.close()
    log = await start(tmp_path)
    assert await read_all(log, A) == (records[A], [])
    await log.close()


async def test_no_descriptors_for_a_while(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk, open_files=1, cache_bytes=1)
    await log.create([A, B])
    records: Records = {}
    await put(log, records, A, [b"x"])
    await put(log, records, B, [b"x"])
    disk.fail("open", errno.EMFILE, times=-1)
    (result,) = await log.append([Batch(A, [b"y"], None)])
    assert isinstance(result, OutOfFiles)
    with pytest.raises(OutOfFiles):
        await log.read(A, 0, 1, 1)
    assert log.health().ok
    disk.heal()
    assert await put(log, records, A, [b"y"]) == 1
    assert await read_all(log, A) == (records[A], [])
    await log.close()


def test_64_descriptors_for_real(tmp_path: Path) -> None:
    """300 partitions, written and read in turn and at once, in a process that may open 64 files."""
    _in_a_process(
        tmp_path,
        """
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        for mode in ("always", "interval", "os"):
            log = await start(path / mode, sync=mode, interval_ms=5, cache_bytes=1)
            refs = [PartitionRef("s" * 20, number) for number in range(300)]
            await log.create(refs)
            records = {}
            for data in ([b"x" * 10], [b"y" * 10]):
                results = await log.append([Batch(ref, data, None) for ref in refs])
                for ref, result in zip(refs, results):
                    assert isinstance(result, Durable), (mode, ref, result)
                    note(records, ref, result.base, data)
            for ref in refs:
                await put(log, records, ref, [b"one by one"])
            for ref in refs:
                assert await read_all(log, ref) == (records[ref], []), ref
            assert log.health().ok
            await log.close()
            log = await start(path / mode)
            assert len(log.partitions()) == 300
            await log.close()
        """,
    )


async def test_unreadable_segments_spare_the_others(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk, cache_bytes=1)
    await log.create([A, B])
    records: Records = {}
    await put(log, records, A, [b"x"])
    await put(log, records, B, [b"x"])
    disk.fail("pread", errno.EIO)
    with pytest.raises(Corrupt, match="cannot be read"):
        await log.read(A, 0, 1, 1)
    assert await read_all(log, B) == (records[B], [])
    await log.close()


async def test_deleting_a_stream_under_load(tmp_path: Path) -> None:
    """Appends and reads under way fail as for any stream that is not there; nothing of it is left."""
    log = await start(tmp_path, segment_bytes=4096, cache_bytes=1)
    await log.create([A, B])
    other = PartitionRef("t" * 20, 0)
    await log.create([other])
    stopped = 0

    async def write(ref: PartitionRef) -> None:
        nonlocal stopped
        while isinstance(result := (await log.append([Batch(ref, [b"x" * 500], None)]))[0], Durable):
            pass
        assert isinstance(result, UnknownPartition)
        stopped += 1

    async def read(ref: PartitionRef) -> None:
        nonlocal stopped
        try:
            while True:
                await log.read(ref, 0, 1 << 20, 1000)
                await asyncio.sleep(0)
        except UnknownPartition:
            stopped += 1

    tasks = [asyncio.create_task(call(ref)) for ref in (A, B) for call in (write, write, read)]
    await asyncio.sleep(0.05)
    records: Records = {}
    await put(log, records, other, [b"x"])
    await log.delete_stream(A.stream_id)
    await asyncio.gather(*tasks)
    assert stopped == 6
    assert not list(tmp_path.rglob(f"*{A.stream_id}*"))
    await put(log, records, other, [b"x"])
    assert log.health().ok
    await log.close()


async def test_deleting_fails(tmp_path: Path) -> None:
    class NoRename(FaultyDisk):
        def rename(self, old: str, new: str) -> None:
            self._count("rename")
            super().rename(old, new)

    disk = NoRename()
    log = await start(tmp_path, disk)
    await log.create([A])
    records: Records = {}
    await put(log, records, A, [b"x"])
    disk.fail("rename", errno.EIO)
    with pytest.raises(ReadOnly, match="deleting"):
        await log.delete_stream(A.stream_id)
    assert await read_all(log, A) == (records[A], []), "still there"
    disk.fail("unlink", errno.EIO)
    await log.delete_stream(A.stream_id)
    assert list(log.partitions()) == []
    await log.close()
    log = await start(tmp_path)
    assert list(log.partitions()) == []
    assert not list(tmp_path.rglob("*.seg")), "the next start finishes"
    await log.close()


async def test_sealed_segments_are_synced_in_every_mode(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path, disk, sync="os", segment_bytes=4096)
    await log.create([A])
    for _ in range(20):
        await log.append([Batch(A, [b"x" * 1000], None)])
    assert disk.calls["fdatasync"] == len(list(tmp_path.rglob("*.seg"))) - 1
    await log.close()


def _in_a_process(path: Path, body: str) -> None:
    source = (
        "import asyncio, resource, sys\n"
        "from pathlib import Path\n"
        "from penstock.log.base import *\n"
        "from tests.support.logs import *\n"
        "A, B = PartitionRef('s' * 20, 0), PartitionRef('s' * 20, 1)\n"
        "async def main(path):\n" + textwrap.indent(textwrap.dedent(body), "    ") + "\n"
        "asyncio.run(main(Path(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source, str(path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
