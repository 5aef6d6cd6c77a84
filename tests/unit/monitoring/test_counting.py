"""What records put and read count, at the level of the service: over minutes of a stepped clock, with and without traffic control."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import codecs
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
from penstock.service.records import PutOutcome, Records
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
        return len((await self.put_into([(one, partition) for one in data])).failed)

    async def put_into(self, records: list[tuple[bytes, str]]) -> PutOutcome:
        """Data and partition of each record; decoded by the codec at hand."""
        rows = [
            {"data": base64.b64encode(one).decode(), "partition_id": partition} for one, partition in records
        ]
        body = json.dumps({"stream_name": "s", "records": rows}).encode()
        return await self.records.put(PRINCIPAL, PROJECT, json_records.decode_put(body), body_bytes=len(body))

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


@pytest.fixture(params=codecs.EACH, autouse=True)
def each_codec(request: pytest.FixtureRequest) -> Iterator[None]:
    with codecs.using(request.param):
        yield


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


async def test_traffic_control_of_one_request_to_several_partitions(tmp_path: Path) -> None:
    """Of each partition the front is taken; places in the request stay right, in the reply too."""
    clock = SteppedClock(MINUTE * 60_000)
    context = await make_context(tmp_path, clock=clock, log=MemoryLog(clock))
    await call(context, "POST", "/streams", {"stream_name": "s", "partition_count": 3})
    made = Counting(context, "documented")
    records = [(b"x" * (index % 7), ("0", "2", "9")[index % 3]) for index in range(3300)]
    outcome = await made.put_into(records)
    assert outcome.total == 3300
    missing = set(range(2, 3300, 3))
    refused = {index for index in range(3000, 3300) if index % 3 != 2}
    assert {index for index, (code, _) in outcome.failed.items() if code == "DIS.4302"} == missing
    assert {index for index, (code, _) in outcome.failed.items() if code == "DIS.4303"} == refused
    assert [(place.partition, place.base, place.records) for place in outcome.placed] == [
        (0, 0, 1000),
        (2, 0, 1000),
    ]
    stored = [index for index in range(3000) if index % 3 != 2]
    assert made.count()[0]["bytes_in"] == sum(index % 7 for index in stored)
    for number in (0, 2):
        own = [index for index in stored if records[index][1] == str(number)]
        assert made.count(number)[0]["bytes_in"] == sum(index % 7 for index in own)
    reply = json.loads(json_records.encode_outcome(outcome))
    assert reply["failed_record_count"] == len(missing) + len(refused)
    for index, row in enumerate(reply["records"]):
        if index in outcome.failed:
            assert row["error_code"] == outcome.failed[index][0]
        else:
            place = {
                "partition_id": f"shardId-{int(records[index][1]):010d}",
                "sequence_number": str(index // 3),
            }
            assert row == place
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
