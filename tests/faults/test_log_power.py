"""Power loss at any moment, three times in a row: acknowledged records survive, whatever becomes of unsynced sectors."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from tests.support.disks import PowerDisk
from tests.support.logs import Records, few_are_many, note, put, read_all, start

from penstock.log.base import Batch, Durable, PartitionRef
from penstock.log.files import commit

pytestmark = pytest.mark.faults
NEVER = 1 << 62
REFS = [PartitionRef("s" * 20, 0), PartitionRef("s" * 20, 1)]
JOURNAL = 8192
"""So small that it is full after a handful of groups, and written over soon."""
SEEDS = 2000 if "PENSTOCK_KILLS" in os.environ else 150
"""With journals much depends on which thread is quicker; `make faults` does many more."""


class _Load:
    """Puts until told to stop. `sent` is all there ever was, `acknowledged` what was answered."""

    def __init__(self) -> None:
        self.sent: set[bytes] = set()
        self.acknowledged: Records = {ref: {} for ref in REFS}
        self.expired = dict.fromkeys(REFS, 0)
        """Records before this number may be gone, all of them while `expiring`."""
        self.expiring = dict.fromkeys(REFS, 0)
        self.count = 0

    async def work(self, path: Path, disk: PowerDisk, seed: int, journal_bytes: int) -> None:
        random_ = random.Random(seed)
        log = await start(path, disk, segment_bytes=4096, cache_bytes=4096, journal_bytes=journal_bytes)
        await log.create(REFS)

        async def writer() -> None:
            while disk.on_crash is not None:
                ref = random_.choice(REFS)
                data = []
                for _ in range(random_.randint(1, 3)):
                    self.count += 1
                    data.append(b"%d." % self.count * random_.choice((1, 30, 60 if journal_bytes else 400)))
                self.sent.update(data)
                if random_.random() < 0.05:
                    self.expiring[ref] += 1
                    await log.expire(ref, 1 << 60)
                    self.expiring[ref] -= 1
                    self.expired[ref] = log.bounds(ref).earliest
                (result,) = await log.append([Batch(ref, data, None)])
                assert isinstance(result, Durable), result
                if disk.on_crash is not None:
                    note(self.acknowledged, ref, result.base, data)

        self.expiring = dict.fromkeys(REFS, 0)
        await asyncio.gather(*(writer() for _ in range(4)))
        await log.close()

    async def check(self, path: Path) -> None:
        """Everything acknowledged is there, in its place; the rest was sent, and counts as acknowledged from now on."""
        log = await start(path, segment_bytes=4096)
        assert log.damage == ()
        assert log.health().ok
        for ref in REFS:
            if ref not in log.partitions():
                assert not self.acknowledged[ref]
                continue
            found, refusals = await read_all(log, ref)
            assert refusals == []
            expired = self.expired[ref]
            due = {n: data for n, data in self.acknowledged[ref].items() if n >= expired}
            assert found.items() >= due.items()
            earliest, following = log.bounds(ref)
            assert earliest <= expired, "nothing is gone before its time"
            assert sorted(found) == list(range(earliest, following))
            assert following > max(self.acknowledged[ref], default=-1), "no number is given out again"
            assert set(found.values()) <= self.sent
            self.acknowledged[ref], self.expired[ref] = found, earliest
            data = b"after %d" % len(found)
            self.sent.add(data)
            await put(log, self.acknowledged, ref, [data])
        await log.close()


@pytest.mark.parametrize(
    ("seed", "journal_bytes"),
    [(seed, 0) for seed in range(40)] + [(seed, JOURNAL) for seed in range(SEEDS)],
)
async def test_acknowledged_records_survive(
    tmp_path: Path, seed: int, journal_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_ = random.Random(seed)
    if seed % 2:  # what a log of many partitions does: one sync for all files
        few_are_many(monkeypatch)
    if seed % 3:  # and its table of ends written with every group
        monkeypatch.setattr(commit, "ENDS_SECONDS", 0.0)
    load = _Load()
    path = tmp_path / "0"
    path.mkdir()
    for generation in range(1, 4):
        disk = PowerDisk()
        disk.crash_at = random_.randint(1, 600 if journal_bytes else 120)
        after = tmp_path / str(generation)
        kept: list[Records] = []
        floors: list[dict[PartitionRef, int]] = []

        def power_goes(
            disk: PowerDisk = disk,
            source: Path = path,
            target: Path = after,
            kept: list[Records] = kept,
            floors: list[dict[PartitionRef, int]] = floors,
        ) -> None:
            disk.on_crash = None
            kept.append({ref: dict(records) for ref, records in load.acknowledged.items()})
            floors.append({ref: NEVER if load.expiring[ref] else load.expired[ref] for ref in REFS})
            disk.crash(random_, source, target)

        disk.on_crash = power_goes
        await load.work(path, disk, random_.randrange(1 << 30), journal_bytes)
        assert kept, "the load went on until the power went"
        load.acknowledged, load.expired = kept[0], floors[0]
        path = after
        await load.check(path)
