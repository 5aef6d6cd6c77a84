"""Measures the embedded log: appends, recovery, opening many segments. `python bench/log_engine.py --dir DIR`.

Prints one line a measurement. "loop us" is CPU time of the event-loop thread per append, "CPU us" of the whole process.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench import machine
from penstock.clock import SystemClock
from penstock.config import Sync, parse_sync
from penstock.log.base import Batch, Durable, PartitionRef
from penstock.log.files import FileLog, open_log
from penstock.log.files.disk import Disk
from penstock.log.files.recovery import recover

RECORD = bytes(range(200))


async def start(directory: Path, sync: Sync, **options: Any) -> FileLog:
    return await open_log(directory, sync=sync, clock=SystemClock(), **options)


async def appends(
    directory: Path, sync: Sync, records: int, outstanding: int, partitions: int, seconds: float
) -> None:
    log = await start(directory, sync)
    refs = [PartitionRef("bench", number) for number in range(partitions)]
    await log.create(refs)
    data = [RECORD] * records
    until = time.perf_counter() + seconds
    waits: list[float] = []

    async def client(number: int) -> None:
        batch = [Batch(refs[number % partitions], data, None)]
        while (begun := time.perf_counter()) < until:
            (result,) = await log.append(batch)
            assert isinstance(result, Durable), result
            waits.append(time.perf_counter() - begun)

    begun, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
    await asyncio.gather(*(client(number) for number in range(outstanding)))
    took, cpu, own = time.perf_counter() - begun, time.process_time() - cpu, time.thread_time() - own
    n = len(waits)
    waits.sort()
    print(
        f"append {records:4d} x 200 B, {outstanding} outstanding, {partitions:4d} partitions, {sync!s:13}: "
        f"{n / took:9,.0f} appends/s {n * records / took:11,.0f} records/s {n * records * 200 / took / 1e6:6,.0f} MB/s  "
        f"p50 {waits[n // 2] * 1e3:6.2f} ms  p99 {waits[n * 99 // 100] * 1e3:6.2f} ms  "
        f"loop {own / n * 1e6:5.1f} us  CPU {cpu / n * 1e6:5.1f} us an append",
        flush=True,
    )
    await log.close()


async def tail_reads(directory: Path) -> None:
    log = await start(directory, Sync("os"))
    ref = PartitionRef("bench", 0)
    await log.create([ref])
    for _ in range(200):
        await log.append([Batch(ref, [RECORD] * 500, None)])
    end = log.bounds(ref).next
    for name, sequence, limit in (("1 frame", end - 500, 500), ("20 frames", end - 10_000, 10_000)):
        begun, n = time.perf_counter(), 20_000
        for _ in range(n):
            await log.read(ref, sequence, 10 << 20, limit)
        took = time.perf_counter() - begun
        print(f"read from the cache, {name:9} of 500 x 200 B: {took / n * 1e6:6.1f} us a read")
    await log.close()


async def disk_reads(directory: Path, records: int) -> None:
    log = await start(directory, Sync("os"))
    ref = PartitionRef("bench", 0)
    await log.create([ref])
    batch = Batch(ref, [RECORD] * records, None)
    total = 0
    while total < 100_000_000:
        await log.append([batch] * 64)
        total += 64 * records * 200
    await log.close()
    log = await start(directory, Sync("os"), cache_bytes=24 << 20)
    sequence, begun, n, size = 0, time.perf_counter(), 0, 0
    while frames := await log.read(ref, sequence, 2 << 20, 10_000):
        sequence = frames[-1].base + frames[-1].count
        n += 1
        size += sum(len(frame.payload) for frame in frames)
    took = time.perf_counter() - begun
    print(
        f"replay from disk, {records:3d} x 200 B frames, 10,000 records or 2 MiB a read: {size / took / 1e6:6.0f} MB/s, {took / n * 1e3:.2f} ms a read"
    )
    await log.close()


async def recovery(directory: Path, records: int) -> None:
    log = await start(directory, Sync("os"), segment_bytes=1 << 30)
    ref = PartitionRef("bench", 0)
    await log.create([ref])
    batch = Batch(ref, [RECORD] * records, None)
    total = 0
    while total < 250_000_000:
        await log.append([batch] * 64)
        total += 64 * records * 200
    await log.close()
    begun = time.perf_counter()
    found = recover(Disk(), f"{directory}/log", ref, None)
    took = time.perf_counter() - begun
    size = found.tail.size
    print(
        f"recovery of one tail of {size / 1e6:.0f} MB in frames of {records:3d} x 200 B: {size / took / 1e6:7,.0f} MB/s ({took:.2f} s)"
    )


async def opening(directory: Path, partitions: int, segments: int) -> None:
    log = await start(directory, Sync("os"), segment_bytes=4096)
    refs = [PartitionRef("bench", number) for number in range(partitions)]
    await log.create(refs)
    for _ in range(segments):
        await log.append([Batch(ref, [b"x" * 3900], None) for ref in refs])
    await log.close()
    for how in ("after a close", "after a crash"):
        if how == "after a crash":
            (directory / "log" / "ends").unlink(missing_ok=True)
            (directory / "log" / "clean").unlink(missing_ok=True)
        begun = time.perf_counter()
        log = await start(directory, Sync("os"))
        took = time.perf_counter() - begun
        n = sum(len(p.segments) for p in log._partitions.values())
        print(f"opening {n:,} segments in {partitions:,} partitions, {how}: {took:.3f} s")
        await log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=None, help="where to write; a real disk")
    parser.add_argument("--seconds", type=float, default=3.0, help="per append measurement")
    parser.add_argument("--sync", type=parse_sync, default=Sync("always"))
    parser.add_argument("--warm", type=int, default=2048, help="MB written before each append measurement")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--only", default="", help="measurements whose name holds this")
    options = parser.parse_args()
    if options.uvloop:
        import uvloop

        uvloop.install()
    a = options.seconds
    runs: list[tuple[str, Callable[[Path], Coroutine[Any, Any, None]]]] = [
        ("append-1", lambda d: appends(d, options.sync, 1, 64, 1, a)),
        ("append-10", lambda d: appends(d, options.sync, 10, 64, 1, a)),
        ("append-500", lambda d: appends(d, options.sync, 500, 64, 1, a)),
        ("append-lone", lambda d: appends(d, options.sync, 1, 1, 1, a)),
        ("append-4p", lambda d: appends(d, options.sync, 1, 64, 4, a)),
        ("append-64p", lambda d: appends(d, options.sync, 1, 64, 64, a)),
        ("append-os", lambda d: appends(d, Sync("os"), 1, 64, 1, a)),
        ("append-os-500", lambda d: appends(d, Sync("os"), 500, 64, 1, a)),
        ("append-interval", lambda d: appends(d, Sync("interval", 50), 1, 64, 1, a)),
        ("tail", tail_reads),
        ("replay-1", lambda d: disk_reads(d, 1)),
        ("replay-500", lambda d: disk_reads(d, 500)),
        ("recovery-1", lambda d: recovery(d, 1)),
        ("recovery-10", lambda d: recovery(d, 10)),
        ("recovery-500", lambda d: recovery(d, 500)),
        ("open-100", lambda d: opening(d, 100, 100)),
        ("open-10000", lambda d: opening(d, 10_000, 1)),
    ]
    print(f"Python {sys.version.split()[0]}, {'uvloop' if options.uvloop else 'asyncio'}")
    for name, run in runs:
        if options.only in name:
            directory = Path(tempfile.mkdtemp(prefix="penstock-bench-", dir=options.dir))
            try:
                if name.startswith("append"):
                    machine.warm(directory, options.warm)
                asyncio.run(run(directory))
            finally:
                shutil.rmtree(directory)


if __name__ == "__main__":
    main()
