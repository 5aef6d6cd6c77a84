"""R4, bit rot: flip one random bit of a stored file, open the log, read everything.

`python -m tests.faults.bitrot --trials 10000`. Each trial must find: nothing wrong is ever returned; what cannot be read is
refused naming the very file; every other record is served; no byte of the file was changed or removed; the next
sequence number is the same; `penstock doctor` sees it. Owns the trials; the log is used through its public calls.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.support.logs import Records, as_after_a_crash, put, read_all, start

from penstock.log.base import PartitionRef
from penstock.log.files.inspect import check_log

REFS = [PartitionRef("s" * 20, 0), PartitionRef("s" * 20, 1), PartitionRef("t" * 20, 0)]
SEGMENT_BYTES = 4096


class Template(NamedTuple):
    """A data directory by file, and what it holds."""

    files: dict[str, bytes]
    records: Records
    clean: bool


class Outcome(NamedTuple):
    """What a trial flipped and how many records that made unreadable."""

    file: str
    bit: int
    unreadable: int


async def make(path: Path, *, clean: bool) -> Template:
    """Three partitions of several segments; closed in order, or as a crash leaves it."""
    log = await start(path / "log", segment_bytes=SEGMENT_BYTES)
    await log.create(REFS)
    records: Records = {}
    random_ = random.Random(1)
    for number in range(40):
        for ref in REFS:
            data = [b"%d-%d" % (number, i) * random_.randint(1, 40) for i in range(random_.randint(1, 4))]
            await put(log, records, ref, data)
    if clean:
        await log.close()
        source = path / "log"
    else:
        # Wait for the indexes of sealed segments, which are written beside the appends.
        log._threads.shutdown()
        source = as_after_a_crash(path / "log", path / "crashed")
        log._threads = type(log._threads)(1)
        await log.close()
    files = {str(p.relative_to(source)): p.read_bytes() for p in source.rglob("*") if p.is_file()}
    return Template(files, records, clean)


async def trial(template: Template, path: Path, random_: random.Random) -> Outcome:
    """Flip one bit; raises AssertionError when anything but the documented happens."""
    for name, content in template.files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    name = random_.choice([n for n, content in template.files.items() if content])
    sound = template.files[name]
    bit = random_.randrange(8 * len(sound))
    if name.endswith(".seg") and not template.clean:
        # Of the last frame of a partition nobody can say after a crash whether it had been acknowledged.
        tails = {str(Path(n).parent): n for n in sorted(template.files) if n.endswith(".seg")}
        if name in tails.values():
            bit = random_.randrange(8 * sound.rindex(b"PkFr"))
    rotten = bytearray(sound)
    rotten[bit // 8] ^= 1 << bit % 8
    (path / name).write_bytes(rotten)
    if name.endswith(".seg"):
        assert any(report.problems for report in check_log(path)), "doctor sees it"
    log = await start(path, segment_bytes=SEGMENT_BYTES)
    unreadable = 0
    for ref in REFS:
        expected = template.records[ref]
        assert log.bounds(ref) == (0, len(expected)), "nothing is lost, no number is given out again"
        found, refusals = await read_all(log, ref)
        assert found.items() <= expected.items(), "what is returned is what was stored"
        unreadable += len(expected) - len(found)
        for refusal in refusals:
            assert name.endswith(refusal.segment), "the refusal names the file"
        assert bool(refusals) == (len(found) < len(expected))
        assert await put(log, {}, ref, [b"new"]) == len(expected)
        frames = await log.read(ref, len(expected), 1, 1)
        assert len(frames) == 1
    await log.close()
    if name.endswith(".seg"):
        assert (path / name).read_bytes()[: len(rotten)] == rotten, "the file is as it was"
    else:
        assert unreadable == 0, "an index and the table of ends can be done without"
    return Outcome(name, bit, unreadable)


async def run(trials: int, seed: int) -> dict[str, int]:
    """Outcomes by kind of file."""
    random_ = random.Random(seed)
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as directory:
        templates = [await make(Path(directory) / str(clean), clean=clean) for clean in (True, False)]
        for number in range(trials):
            path = Path(directory) / "trial"
            state = random_.getstate()
            try:
                outcome = await trial(random_.choice(templates), path, random_)
            except BaseException:
                print(f"trial {number} of seed {seed} failed")
                random_.setstate(state)
                raise
            shutil.rmtree(path)
            kind = f"{Path(outcome.file).suffix or Path(outcome.file).name}, {'some' if outcome.unreadable else 'no'} records unreadable"
            counts[kind] = counts.get(kind, 0) + 1
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for kind, count in sorted(asyncio.run(run(options.trials, options.seed)).items()):
        print(f"{count:6} {kind}")
