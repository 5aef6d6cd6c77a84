"""Recovery: from any cut, zeros or garbage in what was not synced, to the last whole frame and nothing invented."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.logs import Records, as_after_a_crash, put, read_all, start

from penstock.clock import SteppedClock
from penstock.config import Sync
from penstock.log.base import PartitionRef
from penstock.log.files import AlreadyInUse, UnsupportedFormat, open_log
from penstock.log.files.disk import Disk
from penstock.log.files.format import SegmentHeader, pack_segment

REF = PartitionRef("s" * 20, 3)


def _tail(path: Path) -> Path:
    return sorted(path.rglob("*.seg"))[-1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.binary(max_size=200), min_size=1, max_size=5), min_size=1, max_size=12),
    st.sampled_from(["cut", "zero", "garbage", "longer"]),
    st.floats(0, 1),
    st.binary(min_size=1, max_size=700),
)
def test_damage_anywhere_behind_the_first_frame(
    batches: list[list[bytes]], how: str, where: float, noise: bytes
) -> None:
    """Not synced since the segment was made (mode `os`), so all of it may be torn."""

    async def run(path: Path) -> None:
        log = await start(path / "log", sync="os")
        await log.create([REF])
        records: Records = {}
        for batch in batches:
            await put(log, records, REF, batch)
        crashed = as_after_a_crash(path / "log", path / "crashed")
        await log.close()
        tail = _tail(crashed)
        raw = tail.read_bytes()
        at = round(where * len(raw))
        if how == "cut":
            tail.write_bytes(raw[:at])
        elif how == "zero":
            tail.write_bytes(raw[:at] + bytes(len(raw) - at))
        elif how == "garbage":
            tail.write_bytes(raw[:at] + (noise * (len(raw) // len(noise) + 1))[: len(raw) - at])
        else:
            tail.write_bytes(raw + noise)
        for _ in range(2):
            log = await start(crashed, sync="os")
            assert log.health().ok and log.damage == ()
            found, refusals = await read_all(log, REF)
            assert refusals == []
            assert found.items() <= records.get(REF, {}).items()
            assert sorted(found) == list(range(len(found))), "contiguous from 0"
            if how == "longer":
                assert found == records[REF]
            records = {REF: dict(found)}
            assert await put(log, records, REF, [b"new"]) == len(found)
            await log.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    log = await start(tmp_path)
    with pytest.raises(AlreadyInUse, match="another process is using"):
        await start(tmp_path)
    await log.close()
    await (await start(tmp_path)).close()


@pytest.mark.parametrize("clean", [True, False])
async def test_another_format_version_is_refused_and_left_alone(tmp_path: Path, clean: bool) -> None:
    log = await start(tmp_path)
    await log.create([REF])
    await put(log, {}, REF, [b"x"])
    await log.close()
    if not clean:
        (tmp_path / "log" / "clean").unlink()
        tail = _tail(tmp_path)
        raw = pack_segment(SegmentHeader(REF.stream_id, REF.number, 5, 0, 0))
    else:
        tail = tmp_path / "log" / "clean"
        raw = tail.read_bytes()
    tail.write_bytes(_as_version_9(raw, clean) + (b"" if clean else b"whatever version 9 holds"))
    before = tail.read_bytes()
    with pytest.raises(UnsupportedFormat, match="reads format 1"):
        await start(tmp_path)
    assert tail.read_bytes() == before
    Disk().lock(str(tmp_path / "log" / "LOCK"))  # not held any more


def _as_version_9(raw: bytes, table: bool) -> bytes:
    from crc32c import crc32c

    if table:
        begin = raw[:4] + b"\x09\0" + raw[6:8]
        return begin + crc32c(raw[12:], crc32c(begin)).to_bytes(4, "little") + raw[12:]
    body = raw[:8] + b"\x09\0" + raw[10:60]
    return body + crc32c(body).to_bytes(4, "little")


async def test_records_that_look_like_frames_are_only_records(tmp_path: Path) -> None:
    """A client stores a segment file in the partition it came from; the tail behind is torn."""
    log = await start(tmp_path / "a")
    await log.create([REF])
    records: Records = {}
    for i in range(20):
        await put(log, records, REF, [b"%d" % i * 50])
    stolen = _tail(tmp_path / "a").read_bytes()
    await put(log, records, REF, [stolen, stolen[64:]])
    crashed = as_after_a_crash(tmp_path / "a", tmp_path / "b")
    await log.close()
    tail = _tail(crashed)
    raw = bytearray(tail.read_bytes())
    start_of_last = raw.rindex(b"PkFr", 0, len(raw) - 2 * len(stolen))
    raw[start_of_last + 8] ^= 1
    tail.write_bytes(raw)
    log = await start(crashed)
    assert log.bounds(REF).next <= 21
    found, _ = await read_all(log, REF)
    assert found.items() <= records[REF].items()
    await log.close()


async def test_what_an_interrupted_deletion_left_is_removed(tmp_path: Path) -> None:
    log = await start(tmp_path)
    await log.create([REF])
    await put(log, {}, REF, [b"x"])
    await log.close()
    (tmp_path / "log" / REF.stream_id).rename(tmp_path / "log" / f".deleting-{REF.stream_id}-0badcafe")
    log = await start(tmp_path)
    assert list(log.partitions()) == []
    assert not list((tmp_path / "log").glob(".deleting*"))
    await log.close()


async def test_time_stays_sorted_over_restarts(tmp_path: Path) -> None:
    clock = SteppedClock(5_000_000)

    async def reopen() -> object:
        log = await open_log(tmp_path, sync=Sync("always"), clock=clock)
        await log.create([REF])
        records: Records = {}
        await put(log, records, REF, [b"x"])
        (frame,) = await log.read(REF, log.bounds(REF).next - 1, 1, 1)
        if frame.base == 1:
            await log.expire(REF, 1 << 50)
        await log.close()
        return frame.append_ms

    for wall in (5_000_000, 4_000_000, 1, 6_000_000):
        clock.set_wall(wall)
        assert await reopen() == max(5_000_000, wall)
