"""What every catalog store promises of any table (catalog/base.py): changes that go together, rows that go with others, pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.conformance.test_catalog import STORES
from tests.support.catalogs import FREE, Store, a_stream

from penstock.catalog.base import (
    Catalog,
    CatalogError,
    Damaged,
    Exists,
    Expect,
    Insert,
    Missing,
    Put,
    Quota,
    QuotaExceeded,
    Remove,
    Replace,
)
from penstock.catalog.tables.apps import APPS, CHECKPOINTS
from penstock.model.apps import App, Checkpoint, CheckpointType

STREAM = a_stream()
ONE = App(app_id="i1", project_id="p1", name="one", created_ms=1)
TWO = App(app_id="i2", project_id="p1", name="two", created_ms=2)


def a_checkpoint(app: App = ONE, partition: int = 0, sequence: int = 0) -> Checkpoint:
    return Checkpoint(app.app_id, STREAM.stream_id, partition, CheckpointType.LAST_READ, sequence, "é\0", 1)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)


@pytest.fixture
async def catalog(store: Store) -> AsyncIterator[Catalog]:
    opened = await store.open()
    await opened.insert_stream(STREAM, FREE)
    await opened.apply(Insert(APPS, ONE), Insert(APPS, TWO))
    yield opened
    await opened.close()


class TestChanges:
    async def test_insert_put_replace_remove(self, catalog: Catalog) -> None:
        assert await catalog.apply(Insert(CHECKPOINTS, a_checkpoint())) == 1
        assert await catalog.apply(Put(CHECKPOINTS, a_checkpoint(sequence=1))) == 1
        assert await catalog.apply(Put(CHECKPOINTS, a_checkpoint(partition=1))) == 1
        assert await catalog.apply(Replace(CHECKPOINTS, a_checkpoint(sequence=2))) == 1
        assert await catalog.select(CHECKPOINTS) == [a_checkpoint(sequence=2), a_checkpoint(partition=1)]
        assert await catalog.apply(Remove(CHECKPOINTS, {"app_id": "i1"})) == 2
        assert await catalog.apply(Remove(CHECKPOINTS, {"app_id": "i1"})) == 0

    async def test_a_key_or_a_unique_name_is_taken(self, catalog: Catalog) -> None:
        with pytest.raises(Exists):
            await catalog.apply(Insert(APPS, ONE))
        same_name = msgspec.structs.replace(ONE, app_id="i3")
        for change in (Insert(APPS, same_name), Put(APPS, same_name)):
            with pytest.raises(Exists):
                await catalog.apply(change)
        assert await catalog.select(APPS) == [ONE, TWO]

    async def test_put_over_a_row_changes_all_of_it(self, catalog: Catalog) -> None:
        renamed = msgspec.structs.replace(ONE, name="renamed", created_ms=9)
        await catalog.apply(Put(APPS, renamed))
        assert await catalog.find(APPS, name="renamed") == renamed
        assert await catalog.find(APPS, name="one") is None

    async def test_replacing_what_is_not_there(self, catalog: Catalog) -> None:
        with pytest.raises(Missing):
            await catalog.apply(Replace(CHECKPOINTS, a_checkpoint()))

    async def test_only_if_a_row_is_what_it_was(self, catalog: Catalog) -> None:
        await catalog.apply(Insert(CHECKPOINTS, a_checkpoint(sequence=1)))
        await catalog.apply(
            Expect(CHECKPOINTS, a_checkpoint(sequence=1)), Replace(CHECKPOINTS, a_checkpoint(sequence=2))
        )
        for other in (a_checkpoint(sequence=1), a_checkpoint(partition=1)):
            with pytest.raises(Missing):
                await catalog.apply(
                    Expect(CHECKPOINTS, other), Put(CHECKPOINTS, a_checkpoint(sequence=3)), Remove(APPS, {})
                )
        assert await catalog.select(CHECKPOINTS) == [a_checkpoint(sequence=2)]
        assert await catalog.count(APPS) == 2

    async def test_all_or_nothing(self, catalog: Catalog) -> None:
        lost = msgspec.structs.replace(a_checkpoint(), app_id="nobody")
        for failing in (
            [Insert(APPS, ONE)],
            [Replace(CHECKPOINTS, a_checkpoint(TWO))],
            [Put(CHECKPOINTS, lost)],
            [Put(CHECKPOINTS, lost), Put(CHECKPOINTS, a_checkpoint(partition=3))],
        ):
            with pytest.raises(CatalogError):
                await catalog.apply(Put(CHECKPOINTS, a_checkpoint()), Remove(APPS, {"name": "two"}), *failing)
        assert await catalog.select(CHECKPOINTS) == []
        assert await catalog.count(APPS) == 2

    async def test_the_last_of_a_row_of_puts_stays(self, catalog: Catalog) -> None:
        sequences = [5, 3, 8, 1]
        await catalog.apply(*(Put(CHECKPOINTS, a_checkpoint(sequence=n)) for n in sequences))
        assert await catalog.select(CHECKPOINTS) == [a_checkpoint(sequence=1)]

    async def test_puts_of_several_tables_keep_their_order(self, catalog: Catalog) -> None:
        new = App(app_id="i3", project_id="p1", name="new", created_ms=1)
        await catalog.apply(
            Put(CHECKPOINTS, a_checkpoint()),
            Put(APPS, new),
            Put(CHECKPOINTS, a_checkpoint(new)),
            Remove(CHECKPOINTS, {"app_id": "i1"}),
        )
        assert await catalog.select(CHECKPOINTS) == [a_checkpoint(new)]

    async def test_quotas_count_new_rows_only(self, catalog: Catalog) -> None:
        quota = (Quota({"project_id": "p1"}, 2),)
        third = App(app_id="i3", project_id="p1", name="three", created_ms=1)
        for change in (Insert(APPS, third, quota), Put(APPS, third, quota)):
            with pytest.raises(QuotaExceeded):
                await catalog.apply(change)
        await catalog.apply(Put(APPS, msgspec.structs.replace(ONE, name="renamed"), quota))
        other = msgspec.structs.replace(third, project_id="p2")
        await catalog.apply(Insert(APPS, other, (Quota({"project_id": "p2"}, 1),)))

    async def test_changes_made_at_once_are_in_order(self, catalog: Catalog) -> None:
        """Each is answered on its own: those between that fail take nothing with them."""
        lost = msgspec.structs.replace(a_checkpoint(), app_id="nobody")
        works = [catalog.apply(Put(CHECKPOINTS, a_checkpoint(sequence=n))) for n in range(100)]
        works[10:10] = [catalog.apply(Put(CHECKPOINTS, lost)), catalog.apply(Insert(APPS, ONE))]
        results = await asyncio.gather(*works, return_exceptions=True)
        assert [type(r) for r in results[10:12]] == [CatalogError, Exists]
        assert [r for r in results if r == 1] == [1] * 100
        assert await catalog.select(CHECKPOINTS) == [a_checkpoint(sequence=99)]


class TestRowsThatBelongToOthers:
    async def test_they_need_them(self, catalog: Catalog) -> None:
        for lost in ({"app_id": "nobody"}, {"stream_id": "nothing"}):
            with pytest.raises(CatalogError):
                await catalog.apply(Put(CHECKPOINTS, msgspec.structs.replace(a_checkpoint(), **lost)))

    async def test_they_go_with_them(self, catalog: Catalog) -> None:
        await catalog.apply(
            *(Put(CHECKPOINTS, a_checkpoint(app, number)) for app in (ONE, TWO) for number in (0, 1))
        )
        await catalog.apply(Remove(APPS, {"app_id": "i1"}))
        assert await catalog.select(CHECKPOINTS) == [a_checkpoint(TWO, 0), a_checkpoint(TWO, 1)]
        await catalog.remove_stream(STREAM.stream_id)
        assert await catalog.count(CHECKPOINTS) == 0
        assert await catalog.count(APPS) == 1

    async def test_a_new_state_of_the_owner_keeps_them(self, catalog: Catalog) -> None:
        await catalog.apply(Put(CHECKPOINTS, a_checkpoint()))
        await catalog.apply(Put(APPS, msgspec.structs.replace(ONE, created_ms=7)))
        await catalog.replace_stream(msgspec.structs.replace(STREAM, retention_hours=48))
        assert await catalog.count(CHECKPOINTS) == 1


class TestReading:
    async def test_pages(self, catalog: Catalog) -> None:
        everything = [a_checkpoint(ONE, number) for number in range(12)]
        await catalog.apply(*(Put(CHECKPOINTS, one) for one in reversed(everything)))
        await catalog.apply(Put(CHECKPOINTS, a_checkpoint(TWO)))
        where: dict[str, str | int] = {"app_id": "i1", "stream_id": STREAM.stream_id}
        order = "partition_number"
        assert await catalog.select(CHECKPOINTS, where, order=order) == everything
        assert await catalog.select(CHECKPOINTS, where, order=order, after=1, limit=3) == everything[2:5]
        assert await catalog.select(CHECKPOINTS, where, order=order, after=11) == []
        back = await catalog.select(CHECKPOINTS, where, order=order, after=2, descending=True)
        assert back == everything[1::-1]
        assert await catalog.count(CHECKPOINTS, **where) == 12

    async def test_find(self, catalog: Catalog) -> None:
        await catalog.apply(Put(CHECKPOINTS, a_checkpoint(sequence=4)))
        keys = {"app_id": "i1", "stream_id": STREAM.stream_id, "checkpoint_type": "LAST_READ"}
        assert await catalog.find(CHECKPOINTS, partition_number=0, **keys) == a_checkpoint(sequence=4)
        assert await catalog.find(CHECKPOINTS, partition_number=1, **keys) is None

    async def test_distinct(self, catalog: Catalog, store: Store) -> None:
        assert await catalog.distinct(CHECKPOINTS, "app_id") == []
        await catalog.apply(
            *(Put(CHECKPOINTS, a_checkpoint(app, number)) for app in (ONE, TWO) for number in range(3))
        )
        pairs = {("i1", STREAM.stream_id), ("i2", STREAM.stream_id)}
        found = await catalog.distinct(CHECKPOINTS, "app_id", "stream_id")
        assert (len(found), {tuple(pair) for pair in found}) == (2, pairs)
        await store.execute("UPDATE checkpoints SET checksum = 0 WHERE app_id = ?", "i1")
        assert {tuple(p) for p in await catalog.distinct(CHECKPOINTS, "app_id", "stream_id")} == pairs

    async def test_what_was_answered_is_seen(self, catalog: Catalog) -> None:
        for sequence in range(50):
            await catalog.apply(Put(CHECKPOINTS, a_checkpoint(sequence=sequence)))
            assert await catalog.select(CHECKPOINTS) == [a_checkpoint(sequence=sequence)]

    async def test_a_damaged_row(self, catalog: Catalog, store: Store) -> None:
        await catalog.apply(*(Put(CHECKPOINTS, a_checkpoint(app)) for app in (ONE, TWO)))
        await store.execute("UPDATE checkpoints SET partition_number = 5 WHERE app_id = ?", "i1")
        assert await catalog.select(CHECKPOINTS) == [a_checkpoint(TWO)]
        with pytest.raises(Damaged):
            await catalog.find(CHECKPOINTS, app_id="i1")
        assert any("checkpoints row" in problem for problem in await catalog.check())
        await catalog.apply(Put(CHECKPOINTS, a_checkpoint(ONE)))
        await catalog.apply(Remove(APPS, {"app_id": "i1"}))
        assert await catalog.check() == []
