"""Small batches of one group share a frame (docs/log-format.md): each still has its own numbers, and nothing else changes."""

from __future__ import annotations

import asyncio
import errno
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.disks import FaultyDisk
from tests.support.logs import Records, as_after_a_crash, note, put, read_all, start

from penstock.log.base import Batch, DiskFull, Durable, PartitionRef
from penstock.log.files.index import STRIDE
from penstock.log.files.joining import joined
from penstock.log.files.writer import Entry
from penstock.log.payload import JOINED_BYTES, JOINED_RECORDS, SMALL_BYTES, decode, encode

A, B = PartitionRef("a" * 20, 0), PartitionRef("a" * 20, 1)
SIZES = st.sampled_from([0, 10, SMALL_BYTES - 200, SMALL_BYTES, 3 * SMALL_BYTES])


def entry(data: list[bytes]) -> Entry:
    return Entry(None, encode(None, data), len(data), 0)  # type: ignore[arg-type]


@given(st.lists(st.tuples(SIZES, st.sampled_from([1, 2, 60, 150])), min_size=1, max_size=40))
def test_all_records_in_order_within_the_bounds(given_: list[tuple[int, int]]) -> None:
    entries = []
    for number, (size, count) in enumerate(given_):
        data = [b"%d " % number * (size // count // 4) + b"%d.%d" % (number, i) for i in range(count)]
        entries.append(entry(data))
    found = joined(entries)
    assert [one for payload, *_ in found for one in decode(payload)[1]] == [
        one for each in entries for one in decode(each.payload)[1]
    ]
    assert sum(part[2] for part in found) == len(entries)
    at = 0
    for payload, count, of in found:
        theirs = entries[at : at + of]
        at += of
        assert count == sum(one.count for one in theirs) == len(decode(payload)[1])
        if of > 1:
            assert all(len(one.payload) <= SMALL_BYTES for one in theirs)
            assert len(payload) <= JOINED_BYTES + 10 and count <= JOINED_RECORDS
        else:
            assert payload is theirs[0].payload
    for before, after in itertools.pairwise(found):
        if before[2] == after[2] == 1 and max(len(before[0]), len(after[0])) <= SMALL_BYTES:
            assert before[1] + after[1] > JOINED_RECORDS, "they could have shared a frame"


def test_a_frame_grows_no_further_than_its_bound() -> None:
    each = [bytes(3000)]
    found = joined([entry(each) for _ in range(25)])
    fit = (JOINED_BYTES + 10) // 3000
    assert [part[1] for part in found] == [fit] * (25 // fit) + [25 % fit]
    assert max(len(part[0]) for part in found) <= JOINED_BYTES + 10


@pytest.mark.parametrize("journal_bytes", [0, 1 << 20], ids=["segments", "journal"])
async def test_requests_of_a_group_share_a_frame(tmp_path: Path, journal_bytes: int) -> None:
    log = await start(tmp_path / "log", journal_bytes=journal_bytes)
    await log.create([A, B])
    records: Records = {}
    await put(log, records, A, [b"first"])
    await put(log, records, B, [b"first"])
    await asyncio.sleep(0.2 if journal_bytes else 0)  # the journal is made meanwhile
    large = b"x" * (SMALL_BYTES + 1)
    waiting = [
        log.append([Batch(A, [b"%d" % i, b"-"], None), Batch(B, [large if i == 3 else b"s"], [f"k{i}"])])
        for i in range(6)
    ]
    for number, results in enumerate(await asyncio.gather(*waiting)):
        for ref, result in zip((A, B), results, strict=True):
            assert isinstance(result, Durable)
            data = [b"%d" % number, b"-"] if ref is A else [large if number == 3 else b"s"]
            note(records, ref, result.base, data)
    frames = await log.read(A, 0, 1 << 20, 100)
    assert [(frame.base, frame.count) for frame in frames] == [(0, 1), (1, 12)]
    frames = await log.read(B, 0, 1 << 20, 100)
    assert [(frame.base, frame.count) for frame in frames] == [(0, 1), (1, 3), (4, 1), (5, 2)]
    assert decode(frames[1].payload)[0] == ["k0", "k1", "k2"]
    crashed = await start(as_after_a_crash(tmp_path / "log", tmp_path / "crashed"))
    for each in (log, crashed):
        for ref in (A, B):
            assert await read_all(each, ref) == (records[ref], [])
        await each.close()


async def test_a_frame_that_cannot_be_written_fails_all_who_share_it(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path / "log", disk)
    await log.create([A])
    records: Records = {}
    await put(log, records, A, [b"first"])
    disk.fail("pwritev", errno.ENOSPC, times=-1)
    results = await asyncio.gather(*(log.append([Batch(A, [b"%d" % i], None)]) for i in range(4)))
    assert [type(one) for (one,) in results] == [DiskFull] * 4
    disk.heal()
    await put(log, records, A, [b"after"])
    assert await read_all(log, A) == ({0: b"first", 1: b"after"}, [])
    await log.close()


async def test_a_segment_ends_between_frames(tmp_path: Path) -> None:
    """Those that share a frame and no longer fit begin the next segment."""
    log = await start(tmp_path / "log", segment_bytes=4096)
    await log.create([A])
    records: Records = {}
    for size in (1000, 1900, 300, 700):
        data = [[bytes([i]) * size] for i in range(7)]
        results = await asyncio.gather(*(log.append([Batch(A, one, None)]) for one in data))
        for one, (result,) in zip(data, results, strict=True):
            assert isinstance(result, Durable)
            note(records, A, result.base, one)
    assert len(log._partitions[A].segments) == 4
    assert await read_all(log, A) == (records[A], [])
    await log.close()


@pytest.mark.parametrize("journal_bytes", [0, 1 << 20], ids=["segments", "journal"])
async def test_what_was_just_put_is_read_from_memory_and_shared(tmp_path: Path, journal_bytes: int) -> None:
    disk = FaultyDisk()
    log = await start(tmp_path / "log", disk, journal_bytes=journal_bytes)
    await log.create([A])
    records: Records = {}
    await put(log, records, A, [b"first"])
    await asyncio.sleep(0.2 if journal_bytes else 0)  # the journal is made meanwhile
    await put(log, records, A, [b"second"])
    reads = disk.calls.get("pread", 0)
    frames = await log.read(A, 1, 1 << 20, 100)
    assert disk.calls.get("pread", 0) == reads
    log.keep_rendered(frames[0], b"wire form")
    again = await log.read(A, 1, 1 << 20, 100)
    assert again[0] is frames[0] and again[0].rendered == b"wire form"
    await log.close()


async def test_frames_of_one_group_get_few_entries_of_the_index(tmp_path: Path) -> None:
    log = await start(tmp_path / "log", segment_bytes=8 << 20)
    await log.create([A])
    await asyncio.gather(*(log.append([Batch(A, [bytes(SMALL_BYTES + 1)], None)]) for _ in range(200)))
    (segment,) = log._partitions[A].segments
    assert segment.index is not None and segment.size is not None
    assert segment.size // STRIDE // 2 < len(segment.index.offsets) <= segment.size // STRIDE + 1
    await log.close()
