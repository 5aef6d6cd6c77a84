"""R2: a process that dies at the most telling moments of the log, again and again on the same directory, with journals that are written
over all the time; everything it said was acknowledged is there afterwards. `make faults` does each moment 20 times."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.logs import Records, read_all, start

from penstock.log.base import Batch, Durable, PartitionRef
from penstock.log.files.disk import Disk

pytestmark = pytest.mark.faults
TIMES = 3 if "PENSTOCK_KILLS" not in os.environ else 20
DIED = 77
REFS = [PartitionRef("s" * 20, number) for number in range(6)]
POINTS = (
    "after_write_before_sync",
    "after_new_segment_before_sync",
    "after_journal_write_before_sync",
    "after_sync_before_ack",
    "after_flush_before_reuse",
    "after_replay_before_remove",
)


class Deadly(Disk):
    """Ends the process when a point has been reached often enough."""

    def __init__(self, point: str, left: int) -> None:
        self._point = point
        self._left = left

    def reached(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left < 0:
                os._exit(DIED)


async def work(path: Path, point: str, left: int, seed: int) -> None:
    """Append for ever; a line for each record that was acknowledged, written before the next append."""
    random_ = random.Random(seed)
    log = await start(path, Deadly(point, left), segment_bytes=1 << 14, journal_bytes=1 << 14)
    await log.create(REFS)

    async def writer(number: int) -> None:
        for turn in range(1_000_000):
            ref = random_.choice(REFS)
            data = b"%d-%d-%d." % (seed, number, turn) + bytes(random_.choice((0, 10, 300)))
            (result,) = await log.append([Batch(ref, [data], None)])
            assert isinstance(result, Durable), result
            os.write(1, b"%d %d %b\n" % (ref.number, result.base, data.split(b".")[0]))

    await asyncio.gather(*(writer(number) for number in range(8)))


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.timeout(300)
async def test_nothing_is_lost_at(tmp_path: Path, point: str) -> None:
    records: Records = {ref: {} for ref in REFS}
    random_ = random.Random(point)
    for turn in range(TIMES):
        if point == "after_replay_before_remove":
            # It takes a death while a journal is in use to come there.
            _until_it_dies(tmp_path, "after_flush_before_reuse", random_.randint(1, 30), turn, records)
            _until_it_dies(tmp_path, point, 0, turn, records)
        else:
            _until_it_dies(tmp_path, point, random_.randint(0, 30), turn, records)
        await _check(tmp_path, records)


def _until_it_dies(path: Path, point: str, left: int, turn: int, records: Records) -> None:
    argv = [sys.executable, "-m", "tests.faults.test_log_points", str(path), point, str(left), str(turn)]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, timeout=60)
    assert done.returncode == DIED, done.stderr.decode()[-2000:]
    for line in done.stdout.splitlines():
        number, base, data = line.split()
        held = records[REFS[int(number)]]
        assert int(base) not in held, "a sequence number was given out twice"
        held[int(base)] = data


async def _check(path: Path, records: Records) -> None:
    log = await start(path)
    assert log.damage == () and log.health().ok
    for ref in REFS:
        if ref not in log.partitions():
            assert not records[ref]
            continue
        found, refusals = await read_all(log, ref)
        assert not refusals
        assert sorted(found) == list(range(len(found)))
        known = {number: data.split(b".")[0] for number, data in found.items()}
        assert known.items() >= records[ref].items()
        records[ref] = known
    await log.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
