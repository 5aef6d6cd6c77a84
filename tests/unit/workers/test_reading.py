"""A worker reads the log by itself: what any worker has acknowledged and nothing that is gone, asking the core as little as can be."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.logs import Records, put, start

from penstock.clock import SteppedClock
from penstock.limits import UNLIMITED, PartitionRate
from penstock.log.base import (
    Batch,
    Closed,
    Corrupt,
    Durable,
    LogError,
    OutOfRange,
    PartitionRef,
    Place,
    UnknownPartition,
)
from penstock.log.files import FileLog
from penstock.log.payload import decode, encode
from penstock.rpc import Peer
from penstock.service.partitions import Partitions, Slice, Stored, Throttled, data_bytes
from penstock.workers.answers import Answers
from penstock.workers.memory import BoardView, Tray, TrayView
from penstock.workers.reading import AHEAD_MOST, FrameReader
from penstock.workers.remote import RemotePartitions

REF = PartitionRef("s" * 20, 3)
MIB = 1 << 20
FREE = PartitionRate(write_bytes=UNLIMITED, write_records=UNLIMITED, read_bytes=UNLIMITED)


class Core:
    """The core's end and a clock of its own, without processes: workers are connected by real sockets and memory."""

    def __init__(self, log: FileLog) -> None:
        self.log = log
        self.clock = SteppedClock()
        self.partitions = Partitions(log, self.clock, fetch_bytes=MIB)
        self.answers = Answers(log, self.partitions)
        self.asked: Counter[str] = Counter()
        self.peers: list[Peer] = []

    async def worker(self) -> RemotePartitions:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        tray = TrayView()
        answers = self.answers
        methods: dict[str, Any] = {
            "put": partial(answers.put, tray),
            "take": answers.take,
            "read": answers.read,
            "slot": answers.slot,
            "time": answers.time,
        }

        def counted(name: str) -> Any:
            async def method(body: msgspec.Raw) -> Any:
                self.asked[name] += 1
                return await methods[name](body)

            return method

        for one in (ours, theirs):
            one.setblocking(False)
        _, server = await loop.create_connection(
            lambda: Peer({name: counted(name) for name in methods}), sock=ours
        )
        _, client = await loop.create_connection(lambda: Peer({}), sock=theirs)
        self.peers += [server, client]
        return RemotePartitions(client, Tray(tray.fd), BoardView(answers.board.fd), fetch_bytes=MIB)


@asynccontextmanager
async def core_of(path: Path, **kwargs: Any) -> AsyncIterator[Core]:
    log = await start(path, **kwargs)
    await log.create([REF])
    core = Core(log)
    yield core
    for peer in core.peers:
        peer.close()
    await log.close()


def _data(slices: list[Slice]) -> list[bytes]:
    return [one for part in slices for one in decode(part.frame.payload)[1][part.start : part.stop]]


async def _fetch(worker: RemotePartitions, sequence: int, records: int = 1000) -> list[bytes]:
    return _data(await worker.fetch(REF, sequence, None, records, FREE))


async def _stored(worker: RemotePartitions, data: list[bytes], rate: PartitionRate = FREE) -> Durable:
    ((admitted, result),) = await worker.put([Batch(REF, data, None)], rate)
    assert admitted == len(data) and isinstance(result, Durable)
    return result


async def test_what_one_has_acknowledged_every_other_sees(tmp_path: Path) -> None:
    async with core_of(tmp_path) as core:
        one, other = await core.worker(), await core.worker()
        assert await _fetch(other, 0) == []
        for number in range(30):
            # Small ones go into the message, large ones into the tray.
            data = [b"%d." % number * (1 if number % 2 else 4000)] * 3
            base = (await _stored(one, data)).base
            assert base == number * 3
            assert await _fetch(other, base) == data
            assert (await other.bounds(REF)).next == base + 3
        assert core.asked["put"] == 30 and core.asked["slot"] == 1


async def test_what_was_read_before_is_not_asked_for(tmp_path: Path) -> None:
    async with core_of(tmp_path) as core:
        worker = await core.worker()
        records: Records = {}
        for number in range(40):
            await put(core.log, records, REF, [b"%d" % number * 400] * 10)
        expected = list(records[REF].values())

        async def replay() -> list[bytes]:
            found: list[bytes] = []
            while more := await _fetch(worker, len(found), 7):
                found += more
            return found

        assert await replay() == expected
        core.asked.clear()
        assert await replay() == expected
        assert not core.asked, "neither for frames nor for where the log ends"


async def test_reads_ahead_of_who_reads_on(tmp_path: Path) -> None:
    async with core_of(tmp_path, segment_bytes=64 * MIB) as core:
        worker = await core.worker()
        for _ in range(8):
            await core.log.append([Batch(REF, [os.urandom(1000)] * 25, None)] * 50)
        total, sequence = 8 * 50 * 25, 0
        while sequence < total:
            sequence += len(await _fetch(worker, sequence, 50))
        assert sequence == total
        # 10 MB in stretches of up to 1 MB, and what is near the end.
        assert core.asked["read"] < 25


async def test_memory_is_bounded(tmp_path: Path) -> None:
    async with core_of(tmp_path, segment_bytes=64 * MIB) as core:
        asking = Core(core.log)
        reader = FrameReader(_direct(asking), BoardView(asking.answers.board.fd), 2 * MIB)
        for _ in range(8):
            await core.log.append([Batch(REF, [os.urandom(1000)] * 25, None)] * 50)
        sequence, most = 0, 0
        while frames := await reader.read(REF, sequence, MIB, 100):
            for frame in frames:
                reader.cache.keep_rendered(frame, frame.payload + b"rendered")
            last = frames[-1]
            sequence = last.base + last.count
            most = max(most, reader.cache.bytes)
        assert sequence == 8 * 50 * 25
        assert AHEAD_MOST < most <= 2 * MIB
        reader.close()


async def test_many_who_want_the_same_ask_once(tmp_path: Path) -> None:
    async with core_of(tmp_path) as core:
        worker = await core.worker()
        await core.log.append([Batch(REF, [b"x" * 1000] * 100, None)] * 5)
        found = await asyncio.gather(*(_fetch(worker, 0, 10) for _ in range(20)))
        assert found == [[b"x" * 1000] * 10] * 20
        assert core.asked["read"] == 1


async def test_one_who_hangs_up_takes_nobody_along(tmp_path: Path) -> None:
    async with core_of(tmp_path) as core:
        worker = await core.worker()
        await core.log.append([Batch(REF, [b"x"], None)])
        await worker.bounds(REF)
        first, second = (asyncio.create_task(_fetch(worker, 0)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == [b"x"]


async def test_expired_records_are_gone_although_they_are_here(tmp_path: Path) -> None:
    async with core_of(tmp_path, segment_bytes=4096) as core:
        worker = await core.worker()
        for number in range(20):
            await core.log.append([Batch(REF, [b"%d" % number * 300], None)])
        assert len(await _fetch(worker, 0)) == 20
        assert await core.log.expire(REF, 1 << 60) > 0
        with pytest.raises(OutOfRange):
            await _fetch(worker, 0)
        await _stored(worker, [b"new"])
        bounds = await worker.bounds(REF)
        assert bounds == core.log.bounds(REF)
        assert bounds.earliest > 0
        with pytest.raises(OutOfRange) as refused:
            await _fetch(worker, 0)
        assert refused.value.bounds == bounds
        assert await _fetch(worker, 20) == [b"new"]


async def test_a_deleted_stream_is_gone_although_it_is_here(tmp_path: Path) -> None:
    async with core_of(tmp_path) as core:
        worker = await core.worker()
        await _stored(worker, [b"x"])
        assert await _fetch(worker, 0) == [b"x"]
        await core.log.delete_stream(REF.stream_id)
        with pytest.raises(UnknownPartition):
            await _fetch(worker, 0)
        ((_, result),) = await worker.put([Batch(REF, [b"y"], None)], FREE)
        assert isinstance(result, UnknownPartition)
        again = PartitionRef("t" * 20, 3)
        await core.log.create([again])
        await worker.put([Batch(again, [b"again"], None)], FREE)
        worker.forget([REF])
        assert _data(await worker.fetch(again, 0, None, 10, FREE)) == [b"again"]
        with pytest.raises(UnknownPartition):
            await _fetch(worker, 0)


async def test_files_that_were_removed_are_let_go(tmp_path: Path) -> None:
    async with core_of(tmp_path, segment_bytes=300_000) as core:
        worker = await core.worker()
        await core.log.append([Batch(REF, [b"x" * 1000] * 100, None)] * 10)
        assert len(await _fetch(worker, 0)) > 100
        await core.log.delete_stream(REF.stream_id)
        assert _removed(tmp_path), "the worker has one open"
        worker.let_go()
        assert not _removed(tmp_path)


async def test_a_file_that_is_gone_when_it_looks(tmp_path: Path) -> None:
    async with core_of(tmp_path, segment_bytes=100_000, cache_bytes=0) as core:
        asking = Core(core.log)
        ask = _direct(asking)

        async def expiring(kind: str, call: object) -> msgspec.Raw:
            answer: msgspec.Raw = await ask(kind, call)
            if kind == "read":
                await core.log.expire(REF, 1 << 60)
            return answer

        reader = FrameReader(expiring, BoardView(asking.answers.board.fd))
        for _ in range(5):
            await core.log.append([Batch(REF, [b"x" * 1000] * 90, None)])
        with pytest.raises(OutOfRange):
            await reader.read(REF, 0, MIB, 10)
        reader.close()


async def test_frames_come_from_the_core_where_there_is_no_place(tmp_path: Path) -> None:
    class NoPlace(FileLog):
        async def place(self, ref: PartitionRef, sequence: int) -> Place | None:
            return None

    async with core_of(tmp_path) as core:
        core.log.__class__ = NoPlace
        worker = await core.worker()
        records: Records = {}
        for number in range(40):
            await put(core.log, records, REF, [b"%d" % number * 400] * 10)
        found: list[bytes] = []
        while more := await _fetch(worker, len(found), 100):
            found += more
        assert found == list(records[REF].values())


async def test_damage_is_named_and_what_is_before_it_is_read(tmp_path: Path) -> None:
    async with core_of(tmp_path, cache_bytes=0) as core:
        worker = await core.worker()
        for number in range(3):
            await core.log.append([Batch(REF, [b"%d" % number * 1000] * 90, None)])
        (segment,) = tmp_path.rglob("*.seg")
        raw = bytearray(segment.read_bytes())
        raw[raw.rindex(b"1" * 1000)] ^= 1
        segment.write_bytes(raw)
        assert await _fetch(worker, 0) == [b"0" * 1000] * 90
        with pytest.raises(Corrupt, match=segment.name):
            await _fetch(worker, 90)
        assert await _fetch(worker, 180) == [b"2" * 1000] * 90


async def test_read_rates_count_for_all_workers_together(tmp_path: Path) -> None:
    rate = PartitionRate(write_bytes=UNLIMITED, write_records=UNLIMITED, read_bytes=100_000)
    async with core_of(tmp_path) as core:
        workers = [await core.worker() for _ in range(3)]
        for _ in range(30):
            await _stored(workers[0], [os.urandom(1000)] * 10)

        async def greedy(worker: RemotePartitions) -> int:
            given = 0
            while given <= 100_000:
                try:
                    slices = await worker.fetch(REF, 0, 30_000, 1000, rate)
                except Throttled:
                    return given
                given += sum(map(data_bytes, slices))
            return given

        for _ in range(3):
            given = await asyncio.gather(*map(greedy, workers))
            # All of it, but for less than a record that found no room.
            assert 99_000 <= sum(given) <= 100_000
            core.clock.advance(1.1)
        assert core.asked["read"] <= 3 * 5, "payloads are read once by each, and do not come through the core"


async def test_write_rates_count_for_all_workers_together(tmp_path: Path) -> None:
    slow = PartitionRate(write_bytes=UNLIMITED, write_records=100, read_bytes=UNLIMITED)
    async with core_of(tmp_path) as core:
        workers = [await core.worker() for _ in range(3)]
        # Some of one message are counted, some are not.
        puts = [
            worker.put([Batch(REF, [b"x"] * 9, None)], slow if number % 2 == 0 else FREE)
            for worker in workers
            for number in range(10)
        ]
        stored = await asyncio.gather(*puts)
        counted = [one for number, (one,) in enumerate(stored) if number % 2 == 0]
        free = [one for number, (one,) in enumerate(stored) if number % 2]
        assert sum(one.admitted for one in counted) == 100
        assert [one.admitted for one in free] == [9] * 15
        assert core.log.bounds(REF).next == 100 + 15 * 9
        assert core.asked["put"] == 3


async def test_each_put_gets_its_own_answer(tmp_path: Path) -> None:
    other, unknown = PartitionRef("s" * 20, 4), PartitionRef("u" * 20, 0)
    async with core_of(tmp_path) as core:
        await core.log.create([other])
        worker = await core.worker()
        sizes = [1, 5000, 20, 70_000, 3]
        puts = [
            [Batch(REF, [os.urandom(size)], None), Batch(unknown, [b"lost"], None), Batch(other, [b"o"] * 2, None)]
            for size in sizes
        ]  # fmt: skip
        answers = await asyncio.gather(*(worker.put(batches, FREE) for batches in puts))
        assert core.asked["put"] == 1
        for number, (batches, stored) in enumerate(zip(puts, answers, strict=True)):
            mine, lost, others = stored
            assert isinstance(mine.result, Durable) and isinstance(others.result, Durable)
            assert isinstance(lost.result, UnknownPartition)
            assert (mine.result.base, others.result.base) == (number, number * 2)
            assert await _fetch(worker, mine.result.base, 1) == batches[0].data


async def test_puts_without_a_coroutine(tmp_path: Path) -> None:
    unknown = PartitionRef("u" * 20, 0)
    slow = PartitionRate(write_bytes=UNLIMITED, write_records=100, read_bytes=UNLIMITED)
    async with core_of(tmp_path) as core:
        worker, loop = await core.worker(), asyncio.get_running_loop()
        results: list[asyncio.Future[Durable | LogError]] = [loop.create_future() for _ in range(21)]

        def broken(result: Durable | LogError) -> None:
            raise RuntimeError("one who fails does not keep the others waiting")

        for number, result in enumerate(results):
            ref = unknown if number == 20 else REF
            assert worker.begin(ref, encode(None, [b"%d" % number] * 2), 2, 4, FREE, result.set_result)
            assert worker.begin(REF, encode(None, [b"-"]), 1, 1, FREE, broken)
        # With others in the same message.
        others = await _stored(worker, [b"other"])
        *durable, refused = await asyncio.gather(*results)
        assert core.asked["put"] == 1
        assert isinstance(refused, UnknownPartition)
        for number, stored in enumerate(durable):
            assert isinstance(stored, Durable)
            assert await _fetch(worker, stored.base, 2) == [b"%d" % number] * 2
        assert others.base == core.log.bounds(REF).next - 1 == 20 * 2 + 21
        assert not worker.begin(REF, encode(None, [b"x"]), 1, 1, slow, broken), (
            "that is for the core to count"
        )
        assert core.log.bounds(REF).next == others.base + 1

        core.peers[0].close()
        await core.peers[1].closed
        gone: asyncio.Future[Durable | LogError] = loop.create_future()
        assert worker.begin(REF, encode(None, [b"x"]), 1, 1, FREE, gone.set_result)
        assert isinstance(await gone, Closed)


async def test_large_puts_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async with core_of(tmp_path, segment_bytes=64 * MIB) as core:
        worker = await core.worker()
        data = [[bytes([number]) * MIB] * 3 for number in range(7)]
        stored = await asyncio.gather(*(worker.put([Batch(REF, one, None)], FREE) for one in data))
        assert core.asked["put"] == 4, "two of them each, for which there is room"
        bases = [one.result.base for (one,) in stored if isinstance(one.result, Durable)]
        assert sorted(bases) == list(range(0, 21, 3))
        for base, one in zip(bases, data, strict=True):
            assert await _fetch(worker, base, 3) == one[:1], "a read returns 1 MB"


async def test_when_the_core_goes_nothing_is_acknowledged(tmp_path: Path) -> None:
    async with core_of(tmp_path) as core:
        worker = await core.worker()
        putting = [asyncio.create_task(worker.put([Batch(REF, [b"x"], None)], FREE)) for _ in range(3)]
        await asyncio.sleep(0)
        core.peers[1].close()
        for (one,) in await asyncio.gather(*putting):
            assert isinstance(one, Stored) and isinstance(one.result, Closed)
        with pytest.raises(LogError):
            await _fetch(worker, 0)


def _direct(core: Core) -> Any:
    """Calls without a socket between."""

    async def ask(kind: str, call: object) -> msgspec.Raw:
        body = msgspec.Raw(msgspec.msgpack.encode(call))
        return msgspec.Raw(msgspec.msgpack.encode(await getattr(core.answers, kind)(body)))

    return ask


def _removed(path: Path) -> list[str]:
    """Files under a directory that this process has open and that have no name any more."""
    found = []
    for name in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = str(name.readlink())
            if target.startswith(str(path)) and target.endswith("(deleted)"):
                found.append(target)
    return found
