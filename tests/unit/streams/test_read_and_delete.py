"""Listing, describing and deleting streams: 5.1.2, 5.1.3 and 5.1.4."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.catalogs import a_stream
from tests.support.memory_log import MemoryLog
from tests.support.streams import PROJECT, call, document, make_context

from penstock.clock import SteppedClock
from penstock.errors import ApiError
from penstock.limits import PROFILES
from penstock.log.base import Batch, LogError, PartitionRef
from penstock.model.streams import PartitionStatus, Stream, StreamStatus
from penstock.service import lifecycle
from penstock.service.context import Context


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = await make_context(tmp_path, limits=PROFILES["relaxed"])
    yield made
    await lifecycle.settle()
    await made.catalog.close()


async def create(context: Context, name: str = "s1", partitions: int = 1, project: str = PROJECT) -> Stream:
    body = {"stream_name": name, "partition_count": partitions}
    await call(context, "POST", "/streams", body, project=project)
    stream = context.directory.get(project, name)
    assert stream is not None
    return stream


async def put_in(context: Context, stream: Stream) -> None:
    """Store a state no operation makes yet (scaling, freezing)."""
    await context.catalog.replace_stream(stream)
    context.directory.put(stream)


async def refused(context: Context, method: str, path: str, **query: str) -> ApiError:
    with pytest.raises(ApiError) as error:
        await call(context, method, path, **query)
    return error.value


async def get(context: Context, path: str, **query: str) -> Any:
    reply = await call(context, "GET", path, **query)
    assert reply.status == 200
    return document(reply)


class TestList:
    """5.1.2 tables 5-8, 5-10, 5-11."""

    async def test_an_empty_project(self, context: Context) -> None:
        assert await get(context, "/streams") == {
            "total_number": 0,
            "stream_names": [],
            "stream_info_list": [],
            "has_more_streams": False,
        }

    async def test_the_sample_s_fields_in_its_order(self, context: Context) -> None:
        stream = await create(context, partitions=3)
        reply = await get(context, "/streams")
        assert list(reply) == ["total_number", "stream_names", "stream_info_list", "has_more_streams"]
        assert reply["stream_names"] == ["s1"]
        assert list(reply["stream_info_list"][0].items()) == [
            ("stream_id", stream.stream_id),
            ("stream_name", "s1"),
            ("create_time", stream.created_ms),
            ("retention_period", 24),
            ("status", "RUNNING"),
            ("stream_type", "COMMON"),
            ("data_type", "BLOB"),
            ("partition_count", 3),
            ("tags", []),
            ("sys_tags", []),
            ("auto_scale_enabled", False),
            ("auto_scale_min_partition_count", 0),
            ("auto_scale_max_partition_count", 0),
        ]

    async def test_partition_count_counts_active_ones(self, context: Context) -> None:
        stream = a_stream(partitions=2, deleted=3, project_id=PROJECT)
        context.directory.put(stream)
        assert (await get(context, "/streams"))["stream_info_list"][0]["partition_count"] == 2

    async def test_pages_cover_everything_once(self, context: Context) -> None:
        names = sorted(f"{kind}{n}" for kind in ("s", "S", "-", "_") for n in range(6))
        for name in reversed(names):
            await create(context, name)
        found: list[str] = []
        more = True
        while more:
            page = await get(context, "/streams", limit="7", start_stream_name=found[-1] if found else "")
            assert page["total_number"] == len(names)
            assert page["stream_names"] == [info["stream_name"] for info in page["stream_info_list"]]
            assert 1 <= len(page["stream_names"]) <= 7
            found += page["stream_names"]
            more = page["has_more_streams"]
        assert found == names

    async def test_has_more_is_exact_at_the_edge(self, context: Context) -> None:
        for name in "abcd":
            await create(context, name)
        assert (await get(context, "/streams", limit="4"))["has_more_streams"] is False
        assert (await get(context, "/streams", limit="3"))["has_more_streams"] is True
        assert (await get(context, "/streams", limit="2", start_stream_name="b"))["has_more_streams"] is False

    async def test_the_start_is_exclusive_and_need_not_exist(self, context: Context) -> None:
        for name in "ac":
            await create(context, name)
        assert (await get(context, "/streams", start_stream_name="a"))["stream_names"] == ["c"]
        assert (await get(context, "/streams", start_stream_name="b"))["stream_names"] == ["c"]
        assert (await get(context, "/streams", start_stream_name="zz"))["stream_names"] == []

    @pytest.mark.parametrize("limit", ["", "0"])
    async def test_ten_by_default(self, context: Context, limit: str) -> None:
        for number in range(12):
            await create(context, f"s{number:02}")
        reply = await get(context, "/streams", limit=limit)
        assert (len(reply["stream_names"]), reply["total_number"], reply["has_more_streams"]) == (
            10,
            12,
            True,
        )

    @pytest.mark.parametrize("limit", ["101", "-1", "x", "1.0", "9" * 30, "\u0661"])
    async def test_limits_out_of_range(self, context: Context, limit: str) -> None:
        error = await refused(context, "GET", "/streams", limit=limit)
        assert (error.status, error.code) == (400, "DIS.4200")
        assert "limit" in error.message

    async def test_other_projects_are_invisible(self, context: Context) -> None:
        await create(context, "mine")
        await create(context, "theirs", project="other")
        reply = await get(context, "/streams")
        assert (reply["stream_names"], reply["total_number"]) == (["mine"], 1)


class TestDescribe:
    """5.1.4 tables 5-17, 5-19, 5-20."""

    async def test_keys_in_the_order_of_real_servers(self, context: Context) -> None:
        """clients.md section 7: nothing more than what is set."""
        await create(context)
        assert list(await get(context, "/streams/s1")) == [
            "stream_id",
            "stream_name",
            "create_time",
            "last_modified_time",
            "retention_period",
            "status",
            "stream_type",
            "data_type",
            "writable_partition_count",
            "readable_partition_count",
            "partitions",
            "has_more_partitions",
            "tags",
            "sys_tags",
            "auto_scale_enabled",
            "auto_scale_min_partition_count",
            "auto_scale_max_partition_count",
        ]

    async def test_one_partition_covers_all_keys(self, context: Context) -> None:
        await create(context)
        assert (await get(context, "/streams/s1"))["partitions"] == [
            {
                "status": "ACTIVE",
                "partition_id": "shardId-0000000000",
                "hash_range": "[0 : 9223372036854775807]",
                "sequence_number_range": "[0 : 0]",
            }
        ]

    async def test_sequence_numbers_are_earliest_and_next(self, context: Context) -> None:
        stream = await create(context)
        ref = PartitionRef(stream.stream_id, 0)
        clock = context.clock
        assert isinstance(clock, SteppedClock)
        await context.log.append([Batch(ref, [b"a", b"b"], None)])
        clock.advance(10)
        await context.log.append([Batch(ref, [b"c"], None)])
        await context.log.expire(ref, clock.now_ms())
        assert (await get(context, "/streams/s1"))["partitions"][0]["sequence_number_range"] == "[2 : 3]"

    async def test_scaled_down_partitions(self, context: Context) -> None:
        """DELETED: `[-1 : -1]`, still readable; EXPIRED: no sequence numbers (clients take that for "expired")."""
        stream = await create(context, partitions=4)
        states = [
            PartitionStatus.ACTIVE,
            PartitionStatus.ACTIVE,
            PartitionStatus.DELETED,
            PartitionStatus.EXPIRED,
        ]
        partitions = tuple(
            p
            if state is PartitionStatus.ACTIVE
            else msgspec.structs.replace(
                p, status=state, hash_start=-1, hash_end=-1, parents="shardId-0000000000"
            )
            for p, state in zip(stream.partitions, states, strict=True)
        )
        await put_in(context, msgspec.structs.replace(stream, partitions=partitions))
        reply = await get(context, "/streams/s1")
        assert (reply["writable_partition_count"], reply["readable_partition_count"]) == (2, 3)
        assert reply["partitions"][2] == {
            "status": "DELETED",
            "partition_id": "shardId-0000000002",
            "hash_range": "[-1 : -1]",
            "sequence_number_range": "[0 : 0]",
            "parent_partitions": "shardId-0000000000",
        }
        assert reply["partitions"][3]["status"] == "EXPIRED"
        assert "sequence_number_range" not in reply["partitions"][3]

    @pytest.mark.parametrize("spelling", ["start_partitionId", "start_partition_id"])
    @pytest.mark.parametrize("start", ["shardId-0000000002", "shardId-2", "SHARDID-0000000002", "2", "02"])
    async def test_paging_is_exclusive_in_every_spelling(
        self, context: Context, spelling: str, start: str
    ) -> None:
        await create(context, partitions=6)
        reply = await get(context, "/streams/s1", **{spelling: start}, limit_partitions="2")
        assert [p["partition_id"] for p in reply["partitions"]] == [
            "shardId-0000000003",
            "shardId-0000000004",
        ]
        assert reply["has_more_partitions"] is True
        assert reply["writable_partition_count"] == 6

    async def test_zero_is_the_partition_before_the_second(self, context: Context) -> None:
        await create(context, partitions=3)
        reply = await get(context, "/streams/s1", start_partitionId="0")
        assert [p["partition_id"][-1] for p in reply["partitions"]] == ["1", "2"]

    async def test_pages_cover_everything_once(self, context: Context) -> None:
        await create(context, partitions=250)
        found: list[str] = []
        more = True
        while more:
            page = await get(context, "/streams/s1", start_partitionId=found[-1] if found else "")
            assert len(page["partitions"]) in (100, 50)
            found += [p["partition_id"] for p in page["partitions"]]
            more = page["has_more_partitions"]
        assert found == [f"shardId-{n:010}" for n in range(250)]

    async def test_a_start_past_the_end_is_an_empty_page(self, context: Context) -> None:
        await create(context, partitions=2)
        reply = await get(context, "/streams/s1", start_partition_id="shardId-9999999999")
        assert (reply["partitions"], reply["has_more_partitions"]) == ([], False)

    @pytest.mark.parametrize(
        "start", ["shardId-", "shardId-x", "shardId--1", "-1", "x", "1 ", "9" * 40, "\u0661"]
    )
    async def test_what_is_no_partition_id(self, context: Context, start: str) -> None:
        await create(context)
        error = await refused(context, "GET", "/streams/s1", start_partitionId=start)
        assert (error.status, error.code) == (400, "DIS.4201")
        assert start in error.message

    @pytest.mark.parametrize("limit", ["1001", "-1", "x"])
    async def test_limits_out_of_range(self, context: Context, limit: str) -> None:
        await create(context)
        error = await refused(context, "GET", "/streams/s1", limit_partitions=limit)
        assert error.code == "DIS.4200"
        assert "limit_partitions" in error.message

    async def test_a_thousand_at_once(self, context: Context) -> None:
        await create(context, partitions=1000)
        reply = await get(context, "/streams/s1", limit_partitions="1000")
        assert (len(reply["partitions"]), reply["has_more_partitions"]) == (1000, False)

    async def test_by_id(self, context: Context) -> None:
        """The path or the query may hold the id; the Kafka adapter leaves the name away (clients.md 1.2)."""
        stream = await create(context)
        by_name = await get(context, "/streams/s1")
        assert await get(context, f"/streams/{stream.stream_id}") == by_name
        assert await get(context, "/streams", stream_id=stream.stream_id) == by_name
        assert await get(context, "/streams/whatever", stream_id=stream.stream_id) == by_name

    async def test_a_name_that_looks_like_an_id_wins_as_a_name(self, context: Context) -> None:
        first = await create(context)
        named = await create(context, first.stream_id)
        assert (await get(context, f"/streams/{first.stream_id}"))["stream_id"] == named.stream_id

    async def test_the_id_of_a_stream_made_again_is_gone(self, context: Context) -> None:
        old = await create(context)
        await call(context, "DELETE", "/streams/s1")
        new = await create(context)
        assert new.stream_id != old.stream_id
        assert (await refused(context, "GET", "/streams/s1", stream_id=old.stream_id)).code == "DIS.4301"

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_missing_is_404_in_the_form_clients_parse(self, context: Context, method: str) -> None:
        error = await refused(context, method, "/streams/nope")
        assert (error.status, error.code) == (404, "DIS.4301")
        assert error.message == f"Stream does not exist. [nope][{PROJECT}]"

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_streams_of_other_projects_are_missing(self, context: Context, method: str) -> None:
        theirs = await create(context, "theirs", project="other")
        for path, query in (
            ("/streams/theirs", {}),
            (f"/streams/{theirs.stream_id}", {}),
            ("/streams/x", {"stream_id": theirs.stream_id}),
        ):
            error = await refused(context, method, path, **query)
            assert (error.status, error.code) == (404, "DIS.4301")
        assert context.directory.by_id(theirs.stream_id) is theirs


class TestDelete:
    """5.1.3."""

    async def test_the_disk_is_free_and_so_is_the_name(self, context: Context) -> None:
        old = await create(context, partitions=3)
        reply = await call(context, "DELETE", "/streams/s1")
        assert (reply.status, reply.body) == (204, None)
        assert context.log.partitions() == []
        assert await context.catalog.streams_in() == []
        assert (await refused(context, "GET", "/streams/s1")).status == 404
        assert (await refused(context, "DELETE", "/streams/s1")).status == 404
        new = await create(context)
        assert new.stream_id != old.stream_id

    async def test_by_id(self, context: Context) -> None:
        stream = await create(context)
        await call(context, "DELETE", f"/streams/{stream.stream_id}")
        assert len(context.directory) == 0

    async def test_others_stay(self, context: Context) -> None:
        await create(context)
        kept = await create(context, "s2")
        await call(context, "DELETE", "/streams/s1")
        assert context.directory.all() == await context.catalog.streams_in() == [kept]
        assert context.log.partitions() == [PartitionRef(kept.stream_id, 0)]

    async def test_a_log_that_cannot_keeps_it_terminating_until_it_can(self, context: Context) -> None:
        log = context.log
        assert isinstance(log, MemoryLog)
        stream = await create(context)
        log.fail_delete = LogError("busy")
        assert (await call(context, "DELETE", "/streams/s1")).status == 204
        assert (await get(context, "/streams/s1"))["status"] == "TERMINATING"
        row = await context.catalog.stream_by_id(stream.stream_id)
        assert row is not None
        assert row.status is StreamStatus.TERMINATING
        with pytest.raises(ApiError, match=r"DIS\.4307"):
            await create(context)
        assert await lifecycle.finish_terminating(context) == 0
        log.fail_delete = None
        assert await lifecycle.finish_terminating(context) == 1
        assert (await refused(context, "GET", "/streams/s1")).status == 404
        await create(context)


class TestConcurrency:
    async def test_one_name_many_creates(self, context: Context) -> None:
        results = await asyncio.gather(*(create(context) for _ in range(10)), return_exceptions=True)
        refusals = [r for r in results if isinstance(r, ApiError)]
        assert [r.code for r in refusals] == ["DIS.4307"] * 9
        stream = context.directory.get(PROJECT, "s1")
        assert stream is not None
        assert context.log.partitions() == [PartitionRef(stream.stream_id, 0)]

    async def test_one_stream_many_deletes(self, context: Context) -> None:
        await create(context)
        results = await asyncio.gather(
            *(call(context, "DELETE", "/streams/s1") for _ in range(5)), return_exceptions=True
        )
        assert sum(not isinstance(r, BaseException) for r in results) == 1
        assert [r.status for r in results if isinstance(r, ApiError)] == [404] * 4

    async def test_creates_and_deletes_of_one_name_mixed(self, context: Context) -> None:
        for round_ in range(20):
            works = [create(context), call(context, "DELETE", "/streams/s1")] * 3
            if round_ % 2:
                works.reverse()
            results = await asyncio.gather(*works, return_exceptions=True)
            assert all(not isinstance(r, BaseException) or isinstance(r, ApiError) for r in results), results
            rows = await context.catalog.streams_in()
            assert rows == context.directory.all()
            assert context.log.partitions() == [PartitionRef(s.stream_id, 0) for s in rows]

    async def test_a_quota_holds_against_many_names(self, tmp_path: Path) -> None:
        (tmp_path / "documented").mkdir()
        context = await make_context(tmp_path / "documented")
        results = await asyncio.gather(
            *(create(context, f"s{n}", 20) for n in range(5)), return_exceptions=True
        )
        assert [r.code for r in results if isinstance(r, ApiError)] == ["DIS.4308"] * 3
        assert len(context.log.partitions()) == 40
        await context.catalog.close()

    @pytest.mark.parametrize("steps", range(8))
    async def test_a_client_that_hangs_up_leaves_both_sides_agreeing(
        self, context: Context, steps: int
    ) -> None:
        await create(context, "s0")
        tasks = [
            asyncio.ensure_future(work)
            for work in (create(context, "s1"), call(context, "DELETE", "/streams/s0"))
        ]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await lifecycle.settle()
        rows = await context.catalog.streams_in()
        assert rows == context.directory.all()
        assert {ref.stream_id for ref in context.log.partitions()} == {s.stream_id for s in rows}
        assert all(s.status is StreamStatus.RUNNING for s in rows)
