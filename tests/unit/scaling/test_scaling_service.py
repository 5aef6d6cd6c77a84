"""Scaling in log and catalog: the order of the steps, crashes between them, quotas, the life of a partition, the log's bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.memory_log import MemoryLog
from tests.support.streams import PRINCIPAL, PROJECT, call, document, make_context

from penstock.catalog.base import CatalogError, QuotaExceeded
from penstock.catalog.tables.scaling import SCALINGS
from penstock.clock import SteppedClock
from penstock.errors import ApiError
from penstock.jobs.retention import expire_once
from penstock.limits import PROFILES, Limits
from penstock.log.base import Batch, DiskFull, LogError, PartitionRef
from penstock.model.streams import PartitionStatus, Stream
from penstock.service import lifecycle
from penstock.service.context import Context
from penstock.service.directory import Directory
from penstock.service.partitions import Partitions
from penstock.service.puts import PutRecord, PutRecords
from penstock.service.reconcile import Reconciled, reconcile
from penstock.service.records import Records
from penstock.service.scaling import scale
from penstock.service.scaling_log import ScalingLog

HOUR = 3600.0


class Told:
    """Takes events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def emit(self, kind: str, project_id: str, stream_name: str, detail: str) -> None:
        self.events.append((kind, stream_name))


async def a_context(directory: Path, limits: Limits | None = None) -> Context:
    context = await make_context(directory, limits=limits)
    context.events = Told()  # type: ignore[assignment]
    return context


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = await a_context(tmp_path)
    yield made
    await made.catalog.close()


@pytest.fixture
async def relaxed(tmp_path: Path) -> AsyncIterator[Context]:
    made = await a_context(tmp_path, PROFILES["relaxed"])
    yield made
    await made.catalog.close()


def clock_of(context: Context) -> SteppedClock:
    assert isinstance(context.clock, SteppedClock)
    return context.clock


async def create(context: Context, name: str = "s", partitions: int = 1, **fields: object) -> Stream:
    body = {"stream_name": name, "partition_count": partitions, **fields}
    await call(context, "POST", "/streams", body)
    return of(context, name)


def of(context: Context, name: str = "s") -> Stream:
    stream = context.directory.get(PROJECT, name)
    assert stream is not None
    return stream


async def resize(context: Context, target: int, name: str = "s") -> Any:
    body = {"stream_name": name, "target_partition_count": target}
    return document(await call(context, "PUT", f"/streams/{name}", body))


async def describe(context: Context, name: str = "s") -> Any:
    return document(await call(context, "GET", f"/streams/{name}"))


async def refused(work: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await work
    error: ApiError = caught.value
    return error


async def restart(context: Context) -> Reconciled:
    """Memory is gone; log and catalog stay."""
    await lifecycle.settle()
    context.directory = await Directory.open(context.catalog)
    context.access.directory = context.directory
    context.scalings = ScalingLog()
    return await reconcile(context)


class TestCrashes:
    async def test_between_log_and_catalog_leaves_nothing_wrong(
        self, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = await create(context)

        async def crash(*_: object, **__: object) -> None:
            raise CatalogError("power")

        with monkeypatch.context() as patched:
            patched.setattr(context.catalog, "replace_stream", crash)
            with pytest.raises(CatalogError):
                await resize(context, 4)
        assert of(context) == before
        assert len(context.log.partitions()) == 4, "made before anybody says that they are there"
        assert await restart(context) == Reconciled()
        assert of(context) == before
        assert "update_partition_counts" not in await describe(context)
        assert (await resize(context, 3))["current_partition_count"] == 1
        assert [p["sequence_number_range"] for p in (await describe(context))["partitions"]] == [
            "[0 : 0]"
        ] * 3
        await call(context, "DELETE", "/streams/s")
        assert context.log.partitions() == []

    async def test_before_the_log_changes_nothing(self, context: Context) -> None:
        assert isinstance(context.log, MemoryLog)
        before = await create(context)
        context.log.fail_create = DiskFull("no space")
        error = await refused(resize(context, 4))
        assert error.code == "DIS.5000"
        assert of(context) == before
        assert context.events.events == [("manual_scale_failed", "s")]  # type: ignore[attr-defined]
        context.log.fail_create = None
        await resize(context, 4)

    async def test_after_the_catalog_everything_is_there(self, context: Context) -> None:
        await create(context, partitions=3)
        await resize(context, 5)
        clock_of(context).advance(1)
        await resize(context, 2)
        before = of(context)
        shown = await describe(context)
        assert await restart(context) == Reconciled()
        assert of(context) == before
        assert await describe(context) == shown

    async def test_a_caller_that_goes_away_interrupts_nothing(
        self, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await create(context)
        began = asyncio.Event()
        made = context.log.create

        async def slow(refs: Any) -> None:
            began.set()
            await asyncio.sleep(0.01)
            await made(refs)

        monkeypatch.setattr(context.log, "create", slow)
        caller = asyncio.create_task(resize(context, 4))
        await began.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await lifecycle.settle()
        assert len(of(context).active) == 4

    async def test_a_partition_missing_in_the_log_is_made_again(self, context: Context) -> None:
        """Reconcile knows partitions that scaling made."""
        stream = await create(context, partitions=2)
        await resize(context, 3)
        await context.log.delete_stream(stream.stream_id)
        assert (await restart(context)).restored == 3


class TestLife:
    async def test_deleted_expired_revived(self, context: Context) -> None:
        """5.1.4 table 5-20, limits-and-rules.md: readable until retention has passed, then DIS.4319; the numbers go on."""
        stream = await create(context, partitions=2)
        partitions = Partitions(context.log, context.clock, fetch_bytes=1 << 20)
        records = Records(
            partitions, context.directory, context.access, context.limits, context.clock, b"k" * 32
        )

        async def put(partition: str) -> Any:
            request = PutRecords([PutRecord(b"x", partition_id=partition)], stream_name="s")
            return await records.put(PRINCIPAL, PROJECT, request, body_bytes=10)

        async def cursor() -> str:
            return await records.cursor(
                PRINCIPAL,
                PROJECT,
                stream_name="s",
                stream_id="",
                partition_id="1",
                cursor_type="TRIM_HORIZON",
                sequence="",
                timestamp="",
            )

        assert (await put("1")).placed[0].base == 0
        await resize(context, 1)
        assert (await put("1")).failed[0][0] == "DIS.4319"
        clock_of(context).advance(23 * HOUR)
        await expire_once(context)
        where = await cursor()
        assert len((await records.fetch(PRINCIPAL, PROJECT, where, None, 10)).slices) == 1
        clock_of(context).advance(HOUR - 60)
        where = await cursor()
        clock_of(context).advance(61)
        await expire_once(context)
        shown = await describe(context)
        assert shown["partitions"][1]["status"] == "EXPIRED"
        assert shown["partitions"][1]["hash_range"] == "[-1 : -1]"
        assert (shown["writable_partition_count"], shown["readable_partition_count"]) == (1, 1)
        assert (await refused(cursor())).code == "DIS.4319"
        assert (await refused(records.fetch(PRINCIPAL, PROJECT, where, None, 10))).code == "DIS.4319"
        assert (await put("1")).failed[0][0] == "DIS.4319"
        await resize(context, 2)
        revived = (await describe(context))["partitions"][1]
        assert (revived["status"], revived["sequence_number_range"]) == ("ACTIVE", "[1 : 1]")
        assert (await put("1")).placed[0].base == 1, "a sequence number is never used twice"
        assert context.log.bounds(PartitionRef(stream.stream_id, 1)) == (1, 2)

    async def test_a_shorter_retention_counts_at_once(self, context: Context) -> None:
        stream = await create(context, partitions=2, data_duration=72)
        ref = PartitionRef(stream.stream_id, 0)
        await context.log.append([Batch(ref, [b"old"], None)])
        await resize(context, 1)
        clock_of(context).advance(30 * HOUR)
        await context.log.append([Batch(ref, [b"new"], None)])
        body = {"stream_name": "s", "data_duration": 24}
        await call(context, "PUT", "/streams/s/update", body)
        shown = await describe(context)
        assert shown["partitions"][0]["sequence_number_range"] == "[1 : 2]"
        assert shown["partitions"][1]["status"] == "EXPIRED"

    async def test_a_longer_retention_keeps_what_would_have_gone(self, context: Context) -> None:
        await create(context, partitions=2)
        await resize(context, 1)
        await call(context, "PUT", "/streams/s/update", {"data_duration": 72})
        clock_of(context).advance(30 * HOUR)
        await expire_once(context)
        assert (await describe(context))["partitions"][1]["status"] == "DELETED"

    async def test_terminating_is_shown_and_takes_nothing(self, context: Context) -> None:
        assert isinstance(context.log, MemoryLog)
        await create(context, partitions=2)
        context.log.fail_delete = LogError("busy")
        await call(context, "DELETE", "/streams/s")
        assert (await describe(context))["status"] == "TERMINATING"
        page = document(await call(context, "GET", "/streams"))
        assert [info["status"] for info in page["stream_info_list"]] == ["TERMINATING"]
        for work in (
            resize(context, 3),
            call(context, "PUT", "/streams/s/update", {"data_duration": 48}),
            call(context, "POST", "/streams/s/action", {"action": "freeze"}),
            call(context, "POST", "/streams/s/action", {"action": "thaw"}),
        ):
            assert (await refused(work)).code == "DIS.4205"
        assert (await describe(context))["status"] == "TERMINATING"


class TestQuotas:
    async def test_two_streams_at_once(self, context: Context) -> None:
        """The catalog decides, whoever looked first."""
        await create(context, "a")
        await create(context, "b")
        results = await asyncio.gather(
            resize(context, 40, "a"), resize(context, 40, "b"), return_exceptions=True
        )
        codes = [one.code for one in results if isinstance(one, ApiError)]
        assert codes == ["DIS.4308"]
        assert context.directory.used(PROJECT, of(context, "a").stream_type)[1] == 41
        kinds = [kind for kind, _ in context.events.events]  # type: ignore[attr-defined]
        assert kinds == ["manual_scale_failed", "quota_insufficient"]

    async def test_the_catalog_has_the_last_word(
        self, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await create(context)

        async def full(*_: object, **__: object) -> None:
            raise QuotaExceeded("50")

        monkeypatch.setattr(context.catalog, "replace_stream", full)
        assert (await refused(resize(context, 4))).code == "DIS.4308"
        assert len(of(context).active) == 1

    async def test_a_quota_made_smaller_forbids_no_scale_down(self, context: Context) -> None:
        await create(context, partitions=10)
        context.limits = msgspec.structs.replace(context.limits, partitions_common=2)
        await resize(context, 5)
        assert (await refused(resize(context, 6))).code == "DIS.4308"


class TestFrequencies:
    async def test_exact_by_the_clock(self, context: Context) -> None:
        """10 scale-ups and 1 scale-down an hour; one more an hour after the first."""
        await create(context)
        for target in range(2, 12):
            await resize(context, target)
            clock_of(context).advance(60)
        await resize(context, 5)
        assert (await refused(resize(context, 4))).code == "DIS.4200"
        assert (await refused(resize(context, 6))).code == "DIS.4200"
        clock_of(context).advance(3600 - 10 * 60 - 0.001)
        error = await refused(resize(context, 6))
        assert "10 scale-ups within an hour, allowed again from 2023-11-14T23:13:20Z" in error.message
        clock_of(context).advance(0.001)
        await resize(context, 6)
        assert (await refused(resize(context, 7))).code == "DIS.4200"
        clock_of(context).advance(59)
        assert (await refused(resize(context, 7))).code == "DIS.4200"
        clock_of(context).advance(1)
        await resize(context, 7)
        assert (await refused(resize(context, 1))).code == "DIS.4200"
        clock_of(context).advance(540)
        await resize(context, 1)

    async def test_they_are_known_after_a_restart(self, context: Context) -> None:
        await create(context, partitions=4)
        await resize(context, 3)
        await restart(context)
        assert (await refused(resize(context, 2))).code == "DIS.4200"

    async def test_each_stream_has_its_own(self, context: Context) -> None:
        await create(context, "a", 2)
        await create(context, "b", 2)
        await resize(context, 1, "a")
        await resize(context, 1, "b")


class TestLog:
    async def test_it_is_bounded(self, relaxed: Context) -> None:
        relaxed.limits = msgspec.structs.replace(relaxed.limits, scalings_kept=5, scalings_shown=3)
        stream = await create(relaxed)
        for target in range(2, 12):
            await resize(relaxed, target)
        targets = [
            entry["target_partition_count"] for entry in (await describe(relaxed))["update_partition_counts"]
        ]
        assert targets == [9, 10, 11]
        assert await relaxed.catalog.count(SCALINGS, stream_id=stream.stream_id) == 5
        page = document(await call(relaxed, "GET", "/streams/s/update_partition_counts"))
        assert [entry["target_partition_count"] for entry in page["update_partition_counts"]] == [
            11,
            10,
            9,
            8,
            7,
        ]
        await restart(relaxed)
        assert [
            entry["target_partition_count"] for entry in (await describe(relaxed))["update_partition_counts"]
        ] == targets

    async def test_it_goes_with_its_stream(self, relaxed: Context) -> None:
        await create(relaxed)
        await resize(relaxed, 2)
        await call(relaxed, "DELETE", "/streams/s")
        assert await relaxed.catalog.count(SCALINGS) == 0
        assert relaxed.scalings._newest == {}
        await create(relaxed)
        assert "update_partition_counts" not in await describe(relaxed)

    async def test_reading_it_while_it_grows(self, relaxed: Context) -> None:
        """Whoever loads it first, every change is in it once."""
        stream = await create(relaxed)
        await asyncio.gather(
            *(describe(relaxed) for _ in range(5)),
            *(resize(relaxed, target) for target in range(2, 12)),
            *(describe(relaxed) for _ in range(5)),
        )
        numbers = [entry.number for entry in await relaxed.scalings.history(relaxed, stream)]
        assert numbers == list(range(1, 11))


async def test_streams_of_other_projects_are_not_there(context: Context) -> None:
    stream = await create(context, partitions=2)
    for method, path, body in (
        ("PUT", "", {"stream_name": "s", "target_partition_count": 3}),
        ("PUT", "/update", {"data_duration": 48}),
        ("POST", "/action", {"action": "freeze"}),
        ("GET", "/update_partition_counts", None),
    ):
        for name in ("s", stream.stream_id):
            work = call(context, method, f"/streams/{name}{path}", body, project="other")
            assert (await refused(work)).code == "DIS.4301", path
        if method != "GET":
            work = call(
                context, method, f"/streams/s{path}", body, project="other", stream_id=stream.stream_id
            )
            assert (await refused(work)).code == "DIS.4301", path
    assert of(context) == stream


async def test_a_stream_deleted_meanwhile_is_missing(context: Context) -> None:
    stream = await create(context)
    await call(context, "DELETE", "/streams/s")
    assert (await refused(scale(context, stream, 3))).code == "DIS.4301"


async def test_scaling_one_stream_many_times_at_once(relaxed: Context) -> None:
    """One after the other: every change sees the one before."""
    await create(relaxed)
    await asyncio.gather(*(resize(relaxed, target) for target in (5, 2, 9, 1, 7)))
    entries = (await describe(relaxed))["update_partition_counts"]
    sources = [1, *(entry["target_partition_count"] for entry in entries)]
    assert [entry["src_partition_count"] for entry in entries] == sources[:-1]
    assert len(of(relaxed).active) == sources[-1]
    assert {p.status for p in of(relaxed).partitions} <= {PartitionStatus.ACTIVE, PartitionStatus.DELETED}
