"""Small helpers for tests of the embedded log: make one, copy it as a crash leaves it, read all that can be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from penstock.clock import SteppedClock
from penstock.config import Sync
from penstock.log.base import Batch, Corrupt, Durable, PartitionRef, RecordLog
from penstock.log.files import Disk, FileLog, directory, open_log, replay, together
from penstock.log.payload import decode

Records = dict[PartitionRef, dict[int, bytes]]
"""Data by sequence number."""


async def start(
    path: Path,
    disk: Disk | None = None,
    *,
    sync: str = "always",
    interval_ms: int = 0,
    segment_bytes: int = 1 << 20,
    cache_bytes: int = 1 << 20,
    open_files: int = 256,
    journal_bytes: int = 0,
) -> FileLog:
    """With `journal_bytes`, journals of that size are made for the first group that wants one."""
    return await open_log(
        path,
        sync=Sync(sync, interval_ms),
        clock=SteppedClock(),
        disk=disk,
        segment_bytes=segment_bytes,
        cache_bytes=cache_bytes,
        open_files=open_files,
        journal_bytes=journal_bytes,
        syncs_before_journal=0,
    )


async def put(log: RecordLog, records: Records, ref: PartitionRef, data: list[bytes]) -> int:
    """Append, note what is acknowledged, and say from which number on."""
    (result,) = await log.append([Batch(ref, data, None)])
    assert isinstance(result, Durable), result
    note(records, ref, result.base, data)
    return result.base


def note(records: Records, ref: PartitionRef, base: int, data: list[bytes]) -> None:
    held = records.setdefault(ref, {})
    for i, one in enumerate(data):
        assert base + i not in held, f"sequence number {base + i} was given out twice"
        held[base + i] = one


def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every number of segments synced as many are: with one call for all."""
    for module in (directory, replay, together):
        monkeypatch.setattr(module, "MANY", 0)


def as_after_a_crash(source: Path, target: Path) -> Path:
    """Copy the directory of a log in use: what the kernel has, as if the process had been killed."""
    # A small file that is just being replaced may be gone before it is copied; what it would have left says nothing.
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.tmp"))
    return target


async def read_all(log: RecordLog, ref: PartitionRef) -> tuple[dict[int, bytes], list[Corrupt]]:
    """Every record that can be read, and each distinct refusal, stepping over one record at a time."""
    earliest, following = log.bounds(ref)
    found: dict[int, bytes] = {}
    refusals: list[Corrupt] = []
    sequence = earliest
    while sequence < following:
        try:
            frames = await log.read(ref, sequence, 1 << 20, 1000)
        except Corrupt as error:
            if not refusals or str(refusals[-1]) != str(error):
                refusals.append(error)
            sequence += 1
            continue
        assert frames, "there is a record, so there is a frame"
        for frame in frames:
            assert frame.base <= sequence < frame.base + frame.count
            data = decode(frame.payload)[1]
            for i in range(sequence - frame.base, frame.count):
                found[frame.base + i] = data[i]
            sequence = frame.base + frame.count
    return found, refusals
