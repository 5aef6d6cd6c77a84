"""Writing checkpoints in groups: what is written, who is answered what, in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.support.catalogs import FREE, a_stream
from tests.support.streams import make_context

from penstock.catalog.base import CatalogError, Change, Missing, Put, Remove
from penstock.catalog.tables.apps import APPS, CHECKPOINTS
from penstock.model.apps import App, Checkpoint, CheckpointType
from penstock.service import checkpoint_commits
from penstock.service.checkpoint_commits import GROUP_MAX
from penstock.service.context import Context

STREAM = a_stream(partitions=4)
APP = App(app_id="app-id", project_id="p1", name="app", created_ms=1)


class Slow:
    """A catalog that waits before it writes, counts what it is asked, and fails when told to."""

    def __init__(self, catalog: Any) -> None:
        self.catalog = catalog
        self.groups: list[list[Change]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: BaseException | None = None

    async def apply(self, *changes: Change) -> int:
        self.groups.append(list(changes))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        touched: int = await self.catalog.apply(*changes)
        return touched

    def __getattr__(self, name: str) -> Any:
        return getattr(self.catalog, name)


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = await make_context(tmp_path)
    await made.catalog.insert_stream(STREAM, FREE)
    made.directory.put(STREAM)
    await made.catalog.apply(Put(APPS, APP))
    made.apps.put(APP)
    made.catalog = cast(Any, Slow(made.catalog))
    yield made
    await made.catalog.close()


def slow(context: Context) -> Slow:
    assert isinstance(context.catalog, Slow)
    return context.catalog


def checkpoint(sequence: int, partition: int = 0, app: App = APP) -> Checkpoint:
    return Checkpoint(
        app.app_id, STREAM.stream_id, partition, CheckpointType.LAST_READ, sequence, f"m{sequence}", 1
    )


def start(context: Context, *checkpoints: Checkpoint) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(context.commits.commit(context, one)) for one in checkpoints]


async def stored(context: Context) -> dict[int, int]:
    return {c.partition_number: c.sequence for c in await context.catalog.select(CHECKPOINTS)}


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_is_on_the_disk_when_it_returns(context: Context) -> None:
    await context.commits.commit(context, checkpoint(3))
    assert await context.catalog.select(CHECKPOINTS) == [checkpoint(3)]
    assert context.apps.streams_of(APP) == {STREAM.stream_id}


async def test_nobody_is_answered_before(context: Context) -> None:
    slow(context).gate.clear()
    tasks = start(context, checkpoint(1), checkpoint(2, 1))
    await turns()
    assert not any(task.done() for task in tasks)
    assert context.apps.streams_of(APP) == set()
    slow(context).gate.set()
    await asyncio.gather(*tasks)


async def test_what_waits_together_is_written_together_and_only_the_last_of_a_partition(
    context: Context,
) -> None:
    slow(context).gate.clear()
    tasks = start(context, checkpoint(1))
    await turns()
    tasks += start(context, checkpoint(2), checkpoint(9, 1), checkpoint(7), checkpoint(5), checkpoint(8, 1))
    await turns()
    slow(context).gate.set()
    await asyncio.gather(*tasks)
    written = [
        [change.value for change in group if isinstance(change, Put)] for group in slow(context).groups
    ]
    assert written == [[checkpoint(1)], [checkpoint(5), checkpoint(8, 1)]]
    assert await stored(context) == {0: 5, 1: 8}


async def test_a_later_commit_wins_over_one_that_is_being_written(context: Context) -> None:
    slow(context).gate.clear()
    first = start(context, checkpoint(9))
    await turns()
    second = start(context, checkpoint(2))
    await turns()
    slow(context).gate.set()
    await asyncio.gather(*first, *second)
    assert await stored(context) == {0: 2}


async def test_groups_are_bounded(context: Context) -> None:
    apps = [msgspec.structs.replace(APP, app_id=f"i{n}", name=f"n{n}") for n in range(GROUP_MAX + 10)]
    await context.catalog.apply(*(Put(APPS, app) for app in apps))
    slow(context).groups.clear()
    await asyncio.gather(*start(context, *(checkpoint(1, 0, app) for app in apps)))
    assert [len(group) for group in slow(context).groups] == [GROUP_MAX, 10]
    assert await context.catalog.count(CHECKPOINTS) == len(apps)


async def test_one_whose_app_has_gone_fails_alone(context: Context) -> None:
    gone = msgspec.structs.replace(APP, app_id="gone")
    results = await asyncio.gather(
        *start(context, checkpoint(1), checkpoint(2, 1, gone), checkpoint(3, 2)), return_exceptions=True
    )
    assert [results[0], results[2]] == [None, None]
    assert isinstance(results[1], Missing)
    assert await stored(context) == {0: 1, 2: 3}
    assert context.apps.streams_of(gone) == set()


async def test_one_whose_stream_has_gone_fails_alone(context: Context) -> None:
    other = a_stream("s2")
    await context.catalog.insert_stream(other, FREE)
    lost = msgspec.structs.replace(checkpoint(1), stream_id="lost")
    kept = msgspec.structs.replace(checkpoint(1), stream_id=other.stream_id)
    context.directory.put(other)
    results = await asyncio.gather(*start(context, lost, kept), return_exceptions=True)
    assert isinstance(results[0], Missing)
    assert results[1] is None


async def test_all_of_them_gone(context: Context) -> None:
    gone = msgspec.structs.replace(APP, app_id="gone")
    results = await asyncio.gather(*start(context, checkpoint(2, 1, gone)), return_exceptions=True)
    assert isinstance(results[0], Missing)
    await context.commits.commit(context, checkpoint(1))


async def test_a_disk_that_fails_fails_everybody_once(context: Context) -> None:
    slow(context).failure = CatalogError("disk full")
    results = await asyncio.gather(*start(context, checkpoint(1), checkpoint(2, 1)), return_exceptions=True)
    assert results == [slow(context).failure] * 2
    assert len(slow(context).groups) == 1
    assert context.apps.streams_of(APP) == set()
    slow(context).failure = None
    await context.commits.commit(context, checkpoint(4))
    assert await stored(context) == {0: 4}


async def test_what_nobody_expects_does_not_stop_it(context: Context) -> None:
    slow(context).failure = RuntimeError("a bug")
    with pytest.raises(RuntimeError):
        await context.commits.commit(context, checkpoint(1))
    slow(context).failure = None
    await context.commits.commit(context, checkpoint(4))


async def test_a_caller_that_goes_away_takes_nothing_back(context: Context) -> None:
    slow(context).gate.clear()
    first, second = start(context, checkpoint(1), checkpoint(2, 1))
    await turns()
    first.cancel()
    await turns()
    slow(context).gate.set()
    await second
    assert await stored(context) == {0: 1, 1: 2}
    assert context.apps.streams_of(APP) == {STREAM.stream_id}


async def test_commits_and_removals_of_an_app_in_one_transaction_of_the_catalog(context: Context) -> None:
    """A commit that reached the catalog before the removal is gone with the app; one after it says so. Memory agrees either way."""
    for _ in range(50):
        await context.catalog.apply(Put(APPS, APP))
        context.apps.put(APP)

        async def remove() -> None:
            await context.catalog.apply(Remove(APPS, {"app_id": APP.app_id}))
            context.apps.drop(APP)

        results = await asyncio.gather(
            context.commits.commit(context, checkpoint(1)),
            remove(),
            context.commits.commit(context, checkpoint(2)),
            return_exceptions=True,
        )
        assert all(result is None or isinstance(result, Missing) for result in results), results
        assert context.apps.streams_of(APP) == set()
        assert await context.catalog.count(CHECKPOINTS) == 0


class TestPauses:
    """A group waits for more only behind another one."""

    @pytest.fixture(autouse=True)
    def for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoint_commits, "INTERVAL_SECONDS", 3600.0)

    async def test_one_that_comes_alone_waits_for_nothing(self, context: Context) -> None:
        await asyncio.wait_for(context.commits.commit(context, checkpoint(1)), 30)

    async def test_one_behind_another_waits_for_more(self, context: Context) -> None:
        await asyncio.wait_for(context.commits.commit(context, checkpoint(1)), 30)
        waiting = start(context, checkpoint(2))
        await turns()
        waiting += start(context, checkpoint(3), checkpoint(4, 1))
        await turns()
        assert not any(task.done() for task in waiting)
        assert len(slow(context).groups) == 1
        for task in waiting:
            task.cancel()

    async def test_a_full_group_does_not_wait(self, context: Context) -> None:
        apps = [msgspec.structs.replace(APP, app_id=f"i{n}", name=f"n{n}") for n in range(GROUP_MAX)]
        await context.catalog.apply(*(Put(APPS, app) for app in apps))
        slow(context).gate.clear()
        first = start(context, checkpoint(1))
        await turns()
        rest = start(context, *(checkpoint(1, 0, app) for app in apps))
        await turns()
        slow(context).gate.set()
        await asyncio.wait_for(asyncio.gather(*first, *rest), 30)
