"""What records put and read count, at the level of the service: over minutes of a stepped clock, with and without traffic control."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.memory_log import MemoryLog
from tests.support.streams import PRINCIPAL, PROJECT, call, make_context

from penstock.clock import SteppedClock
from penstock.errors import ApiError
from penstock.http.wire import json_records, protobuf
from penstock.limits import PROFILES
from penstock.model.metrics import FIELDS, STREAM
from penstock.service.access import Access
from penstock.service.context import Context
from penstock.service.partitions import Partitions
from penstock.service.puts import PutRecord, PutRecords
from penstock.service.records import Records
from penstock.service.traffic import Traffic

MINUTE = 28_333_334


class Counting:
    """Records over a log in memory, whose minutes the test moves."""

    def __init__(self, context: Context, profile: str) -> None:
        self.context = context
        limits = PROFILES[profile]
        self.traffic = Traffic(context.clock)
        self.records = Records(
            Partitions(context.log, context.clock, fetch_bytes=limits.fetch_bytes_default),
            context.directory,
            Access(None, context.directory),
            limits,
            context.clock,
            b"k" * 32,
            self.traffic,
        )
        self.counted: dict[tuple[int, int], dict[str, int]] = {}

    async def put(self, *data: bytes, partition: str = "0") -> int:
        """How many were refused."""
        request = PutRecords([PutRecord(one, partition_id=partition) for one in data], "s")
        outcome = await self.records.put(PRINCIPAL, PROJECT, request, body_bytes=sum(map(len, data)) + 100)
        return len(outcome.failed)

    async def read(self, sequence: int = 0, *, binary: bool = False, max_records: int = 10_000) -> None:
        cursor = await self.records.cursor(
            PRINCIPAL,
            PROJECT,
            stream_name="s",
            stream_id="",
            partition_id="0",
            cursor_type="AT_SEQUENCE_NUMBER",
            sequence=str(sequence),
            timestamp="",
        )
        fetched = await self.records.fetch(PRINCIPAL, PROJECT, cursor, None, max_records)
        if binary:
            protobuf.encode_fetched(fetched)
        else:
            json_records.encode_fetched(fetched, self.records)
        self.records.returned(fetched)

    def count(self, number: int = STREAM) -> list[dict[str, int]]:
        """What is not 0, minute by minute, but for times."""
        for one in self.traffic.take():
            known = self.counted.setdefault((one.number, one.minute), {})
            for name, value in zip(FIELDS, one.point, strict=True):
                if value and not name.endswith("_us"):
                    known[name] = known.get(name, 0) + value
        return [self.counted[key] for key in sorted(self.counted) if key[0] == number]


@pytest.fixture(params=["documented", "relaxed"])
async def made(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Counting]:
    clock = SteppedClock(MINUTE * 60_000)
    context = await make_context(tmp_path, clock=clock, log=MemoryLog(clock))
    await call(context, "POST", "/streams", {"stream_name": "s", "partition_count": 2})
    yield Counting(context, request.param)
    await context.catalog.close()


def step(made: Counting, seconds: float) -> None:
    clock: Any = made.context.clock
    clock.advance(seconds)


async def test_over_a_minute(made: Counting) -> None:
    await made.put(b"abc", b"")
    step(made, 59.9)
    await made.put(b"defgh", partition="1")
    await made.read()
    step(made, 0.1)
    await made.put(b"ij")
    await made.read(binary=True)
    await made.read(1, max_records=1)
    assert made.count() == [
        {"bytes_in": 8, "records_in": 3, "puts": 2, "bytes_out": 3, "records_out": 2, "gets": 1},
        {"bytes_in": 2, "records_in": 1, "puts": 1, "bytes_out": 5, "records_out": 4, "gets": 2},
    ]
    assert made.count(0) == [
        {"bytes_in": 3, "records_in": 2, "bytes_out": 3, "records_out": 2},
        {"bytes_in": 2, "records_in": 1, "bytes_out": 5, "records_out": 4},
    ]
    assert made.count(1) == [{"bytes_in": 5, "records_in": 1}]


async def test_a_frame_read_again_and_in_parts(made: Counting) -> None:
    await made.put(*[b"x" * size for size in (1, 10, 100, 1000)])
    for _ in range(2):
        await made.read()
        await made.read(binary=True)
    await made.read(1, max_records=2)
    await made.read(3, binary=True)
    whole = made.count()[0]
    assert whole["bytes_out"] == 4 * 1111 + 110 + 1000
    assert (whole["records_out"], whole["gets"]) == (4 * 4 + 2 + 1, 6)


async def test_an_empty_read_counts_as_a_request(made: Counting) -> None:
    await made.read()
    assert made.count() == [{"gets": 1}]


async def test_traffic_control(tmp_path: Path) -> None:
    clock = SteppedClock(MINUTE * 60_000)
    context = await make_context(tmp_path, clock=clock, log=MemoryLog(clock))
    await call(context, "POST", "/streams", {"stream_name": "s", "partition_count": 1})
    made = Counting(context, "documented")
    assert await made.put(*[b"x"] * 600) == 0
    assert await made.put(*[b"x"] * 600) == 200
    assert await made.put(b"x") == 1
    assert made.count() == [{"bytes_in": 1000, "records_in": 1000, "puts": 2, "puts_throttled": 2}]
    step(made, 2)
    for _ in range(3):
        assert await made.put(b"y" * 1_000_000) == 0
        step(made, 2)
    await made.read(1000, max_records=2)
    with pytest.raises(ApiError, match=r"DIS\.4303"):
        await made.read(1002)
    whole = made.count()[0]
    assert (whole["gets"], whole["gets_throttled"], whole["bytes_out"]) == (1, 1, 2_000_000)
    await context.catalog.close()


async def test_times_are_those_of_the_clock(made: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    log: Any = made.context.log
    append = log.append

    async def slowly(batches: Any) -> Any:
        step(made, 0.25)
        return await append(batches)

    monkeypatch.setattr(log, "append", slowly)
    await made.put(b"x")
    await made.put(b"x")
    (whole,) = [one for one in made.traffic.take() if one.number == STREAM]
    assert whole.point[FIELDS.index("puts_us")] == pytest.approx(500_000, abs=2)
