"""The directory: never stale, never another order, never a lock left."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.support.catalogs import FREE, a_stream

from penstock.catalog.sqlite import open_catalog
from penstock.model.streams import Stream, StreamStatus, StreamType
from penstock.service.directory import Directory


async def test_opening_reads_everything(tmp_path: Path) -> None:
    catalog = await open_catalog(tmp_path / "catalog.db")
    streams = [a_stream(name, project_id=project) for project in ("p1", "p2") for name in ("b", "a")]
    for stream in streams:
        await catalog.insert_stream(stream, FREE)
    directory = await Directory.open(catalog)
    assert len(directory) == 4
    assert directory.get("p2", "a") == a_stream("a", project_id="p2")
    assert directory.get("p3", "a") is None
    await catalog.close()


def test_a_change_is_another_object_and_told_afterwards() -> None:
    directory = Directory()
    told: list[tuple[Stream | None, Stream | None, Stream | None]] = []
    directory.on_change(lambda before, after: told.append((before, after, directory.by_id("id-p1-s1"))))
    first = a_stream()
    second = msgspec.structs.replace(first, retention_hours=48)
    directory.put(first)
    directory.put(first)
    directory.put(second)
    assert directory.get("p1", "s1") is second
    directory.drop(first)
    directory.drop(first)
    assert told == [(None, first, first), (first, second, second), (second, None, None)]
    assert directory.get("p1", "s1") is None
    assert directory.page("p1", "", 10) == ([], False)


def test_dropping_an_old_stream_leaves_the_new_one_of_its_name() -> None:
    directory = Directory()
    old, new = a_stream(stream_id="old"), a_stream(stream_id="new")
    directory.put(old)
    directory.put(new)
    directory.drop(old)
    assert directory.get("p1", "s1") is new
    assert directory.page("p1", "", 10) == ([new], False)


def test_a_name_before_an_id_and_only_of_the_project() -> None:
    directory = Directory()
    stream = a_stream()
    named = a_stream(stream.stream_id, stream_id="other")
    directory.put(stream)
    assert directory.find("p1", stream.stream_id) is stream
    assert directory.find("p2", stream.stream_id) is None
    assert directory.find_id("p2", stream.stream_id) is None
    directory.put(named)
    assert directory.find("p1", stream.stream_id) is named


def test_what_counts_against_quotas() -> None:
    directory = Directory()
    for stream in (
        a_stream("a", partitions=3, deleted=4),
        a_stream("b", partitions=2, stream_type=StreamType.ADVANCED),
        a_stream("c", partitions=9, status=StreamStatus.TERMINATING),
        a_stream("d", partitions=7, project_id="p2"),
    ):
        directory.put(stream)
    assert directory.used("p1", StreamType.COMMON) == (2, 3)
    assert directory.used("p1", StreamType.ADVANCED) == (2, 2)
    assert directory.used("p3", StreamType.COMMON) == (0, 0)
    assert directory.count("p1") == 3


NAMES = st.text("aAzZ09_-", min_size=1, max_size=4)


@given(st.lists(st.tuples(st.booleans(), NAMES)), NAMES | st.just(""), st.integers(1, 8))
def test_pages_are_slices_of_the_sorted_names(
    changes: list[tuple[bool, str]], after: str, limit: int
) -> None:
    directory = Directory()
    present: set[str] = set()
    for adding, name in changes:
        if adding:
            directory.put(a_stream(name))
            present.add(name)
        else:
            directory.drop(a_stream(name))
            present.discard(name)
    ordered = sorted(present)
    start = bisect_right(ordered, after) if after else 0
    page, more = directory.page("p1", after, limit)
    assert [s.name for s in page] == ordered[start : start + limit]
    assert more == (len(ordered) > start + limit)
    assert directory.count("p1") == len(ordered)


class TestLock:
    async def test_one_at_a_time_per_name(self) -> None:
        directory = Directory()
        inside: list[str] = []

        async def work(name: str) -> None:
            async with directory.lock("p1", name):
                assert name not in inside
                inside.append(name)
                await asyncio.sleep(0.001)
                inside.remove(name)

        await asyncio.gather(*(work(name) for name in "aab" * 5))

    async def test_names_do_not_wait_for_each_other(self) -> None:
        directory = Directory()
        async with directory.lock("p1", "a"), directory.lock("p1", "b"), directory.lock("p2", "a"):
            pass

    async def test_none_is_kept_whatever_happens(self) -> None:
        directory = Directory()

        async def hold(name: str) -> None:
            async with directory.lock("p1", name):
                await asyncio.sleep(10)

        tasks = [asyncio.create_task(hold(name)) for name in "aaab"]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert directory._locks == {}
