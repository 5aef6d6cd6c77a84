"""Another process reads a log in use: what its owner has acknowledged, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.disks import FaultyDisk
from tests.support.logs import Records, put, start

from penstock.log.base import Batch, Corrupt, OutOfRange, PartitionRef
from penstock.log.files.injected import Fault, InjectedDisk
from penstock.log.files.outside import OutsideReader
from penstock.log.payload import decode

REF = PartitionRef("s" * 20, 3)


async def test_reads_all_of_it_segment_by_segment(tmp_path: Path) -> None:
    log = await start(tmp_path, segment_bytes=4096)
    await log.create([REF])
    records: Records = {}
    for number in range(60):
        await put(log, records, REF, [b"%d" % number * 40, b"and"])
    reader, found, sequence = OutsideReader(), dict[int, bytes](), 0
    while (place := await log.place(REF, sequence)) is not None:
        for frame in reader.frames(place, sequence, 700):
            for at, data in enumerate(decode(frame.payload)[1]):
                found[frame.base + at] = data
        sequence = max(found) + 1
    assert found == records[REF]
    assert len(list(tmp_path.rglob("*.seg"))) > 2
    reader.close()
    await log.close()


async def test_not_what_is_not_acknowledged(tmp_path: Path) -> None:
    log = await start(tmp_path)
    await log.create([REF])
    await put(log, {}, REF, [b"acknowledged"])
    place = await log.place(REF, 0)
    assert place is not None
    with Path(place.path).open("ab") as file:
        file.write(b"PkFr" + bytes(100))
    (frame,) = OutsideReader().frames(place, 0, 1 << 20)
    assert frame.count == 1 and place.end == 1
    assert await log.place(REF, 1) is None, "the end of the log"
    with pytest.raises(OutOfRange):
        await log.place(REF, 2)
    await log.close()


async def test_damage_is_named(tmp_path: Path) -> None:
    log = await start(tmp_path)
    await log.create([REF])
    await log.append([Batch(REF, [b"x" * 50], None)])
    place = await log.place(REF, 0)
    assert place is not None
    raw = bytearray(Path(place.path).read_bytes())
    raw[-10] ^= 1
    Path(place.path).write_bytes(raw)
    with pytest.raises(Corrupt, match="checksum"):
        OutsideReader().frames(place, 0, 1 << 20)
    await log.close()


async def test_a_file_that_is_gone(tmp_path: Path) -> None:
    log = await start(tmp_path)
    await log.create([REF])
    await put(log, {}, REF, [b"x"])
    place = await log.place(REF, 0)
    assert place is not None
    await log.delete_stream(REF.stream_id)
    with pytest.raises(FileNotFoundError):
        OutsideReader().frames(place, 0, 1 << 20)
    await log.close()


async def test_faults_that_are_set_hold_for_whoever_reads(tmp_path: Path) -> None:
    disk = InjectedDisk()
    log = await start(tmp_path, disk)
    await log.create([REF])
    await put(log, {}, REF, [b"x"])
    assert await log.place(REF, 0) is not None
    disk.fail("pread", Fault("EIO", 0, -1))
    assert await log.place(REF, 0) is None
    disk.heal()
    assert await log.place(REF, 0) is not None
    assert FaultyDisk().shared
    await log.close()
