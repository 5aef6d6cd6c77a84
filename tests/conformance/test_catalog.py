"""What every catalog store promises (catalog/base.py). Add a store to STORES and it is held to the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from tests.support.catalogs import FREE, SqliteStore, Store, a_stream

from penstock.catalog.base import (
    AccessKey,
    Catalog,
    CatalogError,
    Damaged,
    Domain,
    Exists,
    Insert,
    Project,
    QuotaExceeded,
    StreamQuota,
    User,
)
from penstock.catalog.tables.scaling import SCALINGS
from penstock.model.scaling import Scaling
from penstock.model.streams import PartitionStatus, Stream, StreamStatus, StreamType, Tag

STORES: dict[str, Callable[[Path], Store]] = {"sqlite": SqliteStore}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)


@pytest.fixture
async def catalog(store: Store) -> AsyncIterator[Catalog]:
    opened = await store.open()
    yield opened
    await opened.close()


async def fill(catalog: Catalog, *streams: Stream) -> None:
    for stream in streams:
        await catalog.insert_stream(stream, FREE)


class TestStreams:
    async def test_a_stream_comes_back_as_it_was_written(self, catalog: Catalog) -> None:
        stream = a_stream(
            "näme-is-free-here",
            partitions=3,
            deleted=2,
            data_schema='"string"',
            csv_delimiter="|",
            compression_format="zip",
            auto_scale_enabled=True,
            auto_scale_min=1,
            auto_scale_max=10,
            tags=(Tag("键", "值"), Tag("k", "")),
            sys_tags=(Tag("_sys_enterprise_project_id", "0"),),
        )
        await fill(catalog, stream)
        assert await catalog.stream_by_id(stream.stream_id) == stream
        assert await catalog.stream_by_name("p1", stream.name) == stream
        assert await catalog.streams_in() == [stream]

    async def test_what_was_written_outlives_the_catalog(self, store: Store) -> None:
        first = await store.open()
        await fill(first, a_stream())
        await first.close()
        second = await store.open()
        assert await second.streams_in() == [a_stream()]
        await second.close()

    async def test_missing_is_none(self, catalog: Catalog) -> None:
        await fill(catalog, a_stream())
        assert await catalog.stream_by_id("other") is None
        assert await catalog.stream_by_name("p1", "S1") is None
        assert await catalog.stream_by_name("p2", "s1") is None

    async def test_a_name_is_taken_in_its_project_only(self, catalog: Catalog) -> None:
        await fill(catalog, a_stream(), a_stream(project_id="p2"))
        with pytest.raises(Exists):
            await catalog.insert_stream(a_stream(stream_id="another"), FREE)
        with pytest.raises(Exists):
            await catalog.insert_stream(a_stream("s2", stream_id=a_stream().stream_id), FREE)
        assert len(await catalog.streams_in()) == 2

    async def test_a_terminating_stream_keeps_its_name(self, catalog: Catalog) -> None:
        await fill(catalog, a_stream(status=StreamStatus.TERMINATING))
        with pytest.raises(Exists):
            await catalog.insert_stream(a_stream(stream_id="another"), FREE)

    async def test_a_new_state_replaces_the_old_one(self, catalog: Catalog) -> None:
        await fill(catalog, a_stream(), a_stream("s2"))
        changed = msgspec.structs.replace(
            a_stream(partitions=5), status=StreamStatus.FROZEN, retention_hours=72
        )
        await catalog.replace_stream(changed)
        assert await catalog.stream_by_name("p1", "s1") == changed
        assert await catalog.count_partitions("p1", StreamType.COMMON) == 7
        assert await catalog.stream_by_name("p1", "s2") == a_stream("s2")

    async def test_a_new_state_within_the_quota_only(self, catalog: Catalog) -> None:
        """What is changed with it stays as it was, too."""
        await fill(catalog, a_stream(), a_stream("s2"), a_stream("s3", stream_type=StreamType.ADVANCED))
        larger = a_stream(partitions=5)
        logged = Scaling(stream_id=larger.stream_id, number=1, occurred_ms=1, source=2, target=5)
        with pytest.raises(QuotaExceeded):
            await catalog.replace_stream(larger, Insert(SCALINGS, logged), partition_quota=6)
        assert await catalog.stream_by_name("p1", "s1") == a_stream()
        assert await catalog.count(SCALINGS) == 0
        await catalog.replace_stream(larger, Insert(SCALINGS, logged), partition_quota=7)
        assert await catalog.count_partitions("p1", StreamType.COMMON) == 7
        assert await catalog.select(SCALINGS, {"stream_id": larger.stream_id}) == [logged]
        await catalog.remove_stream(larger.stream_id)
        assert await catalog.count(SCALINGS) == 0

    async def test_replacing_what_is_not_there_is_an_error(self, catalog: Catalog) -> None:
        with pytest.raises(CatalogError):
            await catalog.replace_stream(a_stream())
        assert await catalog.streams_in() == []

    async def test_a_removed_stream_frees_its_name(self, catalog: Catalog) -> None:
        await fill(catalog, a_stream())
        await catalog.remove_stream(a_stream().stream_id)
        await catalog.remove_stream(a_stream().stream_id)
        assert await catalog.stream_by_name("p1", "s1") is None
        await fill(catalog, a_stream(stream_id="second"))

    async def test_streams_by_status_and_ids(self, catalog: Catalog) -> None:
        going = a_stream("s2", status=StreamStatus.TERMINATING)
        await fill(catalog, a_stream(), going, a_stream(project_id="p2"))
        assert await catalog.streams_in(StreamStatus.TERMINATING) == [going]
        assert await catalog.streams_in(StreamStatus.FROZEN) == []
        assert await catalog.stream_ids() == sorted(s.stream_id for s in await catalog.streams_in())


class TestPages:
    NAMES = ("-", "0", "A", "Z", "_", "a", "a-", "aB", "ab", "z", "ä", "\U0001f600")
    """In order of code points: neither letter case nor a locale counts, and U+1F600 is behind the BMP."""

    async def test_pages_follow_code_points(self, catalog: Catalog) -> None:
        await fill(catalog, *(a_stream(name) for name in reversed(self.NAMES)))
        found: list[str] = []
        while page := await catalog.list_streams("p1", found[-1] if found else "", 5):
            assert len(page) <= 5
            found += [stream.name for stream in page]
        assert found == list(self.NAMES) == sorted(self.NAMES)

    async def test_the_start_is_exclusive_and_need_not_exist(self, catalog: Catalog) -> None:
        await fill(catalog, a_stream("a"), a_stream("c"), a_stream("a", project_id="p2"))
        assert [s.name for s in await catalog.list_streams("p1", "a", 10)] == ["c"]
        assert [s.name for s in await catalog.list_streams("p1", "b", 10)] == ["c"]
        assert await catalog.list_streams("p1", "c", 10) == []
        assert await catalog.list_streams("nobody", "", 10) == []


class TestQuotas:
    async def test_counts_are_per_project_and_type(self, catalog: Catalog) -> None:
        await fill(
            catalog,
            a_stream("a", partitions=3, deleted=4),
            a_stream("b", partitions=2, stream_type=StreamType.ADVANCED),
            a_stream("c", partitions=9, status=StreamStatus.TERMINATING),
            a_stream("d", partitions=7, project_id="p2"),
        )
        assert await catalog.count_streams("p1") == 3
        assert await catalog.count_partitions("p1", StreamType.COMMON) == 3
        assert await catalog.count_partitions("p1", StreamType.ADVANCED) == 2
        assert await catalog.count_partitions("p2", StreamType.COMMON) == 7
        assert await catalog.count_partitions("p3", StreamType.COMMON) == 0

    async def test_partitions_up_to_the_quota_and_not_one_more(self, catalog: Catalog) -> None:
        quota = StreamQuota(100, {StreamType.COMMON: 5, StreamType.ADVANCED: 1})
        await catalog.insert_stream(a_stream("a", partitions=3), quota)
        with pytest.raises(QuotaExceeded):
            await catalog.insert_stream(a_stream("b", partitions=3), quota)
        assert await catalog.stream_by_name("p1", "b") is None
        await catalog.insert_stream(a_stream("b", partitions=2), quota)
        await catalog.insert_stream(a_stream("c", partitions=1, stream_type=StreamType.ADVANCED), quota)
        await catalog.insert_stream(a_stream("a", partitions=5, project_id="p2"), quota)

    async def test_streams_up_to_the_quota(self, catalog: Catalog) -> None:
        quota = StreamQuota(2, FREE.partitions)
        for name in "ab":
            await catalog.insert_stream(a_stream(name), quota)
        with pytest.raises(QuotaExceeded):
            await catalog.insert_stream(a_stream("c"), quota)
        await catalog.replace_stream(a_stream("a", status=StreamStatus.TERMINATING))
        await catalog.insert_stream(a_stream("c"), quota)

    async def test_a_taken_name_is_told_before_a_quota(self, catalog: Catalog) -> None:
        await fill(catalog, a_stream())
        with pytest.raises(Exists):
            await catalog.insert_stream(a_stream(stream_id="another"), StreamQuota(1, FREE.partitions))

    async def test_racing_inserts_never_pass_a_quota(self, catalog: Catalog) -> None:
        quota = StreamQuota(100, {StreamType.COMMON: 10, StreamType.ADVANCED: 10})
        results = await asyncio.gather(
            *(catalog.insert_stream(a_stream(f"s{n}", partitions=3), quota) for n in range(8)),
            return_exceptions=True,
        )
        assert [type(r) for r in results].count(QuotaExceeded) == 5
        assert await catalog.count_partitions("p1", StreamType.COMMON) == 9

    async def test_racing_inserts_of_one_name_make_one(self, store: Store, catalog: Catalog) -> None:
        other = await store.open()
        results = await asyncio.gather(
            *(c.insert_stream(a_stream(stream_id=f"{n}"), FREE) for n, c in enumerate([catalog, other] * 4)),
            return_exceptions=True,
        )
        assert [type(r) for r in results].count(Exists) == 7
        assert len(await other.streams_in()) == 1
        await other.close()

    async def test_racing_inserts_through_two_catalogs_never_pass_a_quota(
        self, store: Store, catalog: Catalog
    ) -> None:
        other = await store.open()
        quota = StreamQuota(3, FREE.partitions)
        results = await asyncio.gather(
            *(c.insert_stream(a_stream(f"s{n}"), quota) for n, c in enumerate([catalog, other] * 4)),
            return_exceptions=True,
        )
        assert [type(r) for r in results].count(QuotaExceeded) == 5
        assert await catalog.count_streams("p1") == 3
        await other.close()


class TestIdentity:
    async def test_rows_come_back(self, catalog: Catalog) -> None:
        domain, user = Domain("d1", "acme"), User("u1", "d1", "anna", "$argon2id$…", enabled=False)
        project, key = Project("p1", "d1", "north"), AccessKey("AK", "u1", b"\x00\xffsealed", 5)
        await catalog.insert_domain(domain)
        await catalog.insert_user(user)
        await catalog.insert_project(project)
        await catalog.insert_access_key(key, 2)
        assert list(await catalog.domains()) == [domain]
        assert list(await catalog.users()) == [user]
        assert list(await catalog.projects()) == [project]
        assert list(await catalog.access_keys()) == [key]

    async def test_names_are_taken_within_a_domain(self, catalog: Catalog) -> None:
        await catalog.insert_domain(Domain("d1", "one"))
        await catalog.insert_domain(Domain("d2", "two"))
        await catalog.insert_user(User("u1", "d1", "anna", ""))
        await catalog.insert_user(User("u2", "d2", "anna", ""))
        await catalog.insert_project(Project("p1", "d1", "north"))
        await catalog.insert_project(Project("p2", "d2", "north"))
        for again in (
            catalog.insert_domain(Domain("d3", "one")),
            catalog.insert_domain(Domain("d1", "three")),
            catalog.insert_user(User("u3", "d1", "anna", "")),
            catalog.insert_user(User("u1", "d1", "bert", "")),
            catalog.insert_project(Project("p3", "d1", "north")),
            catalog.insert_project(Project("p1", "d2", "south")),
        ):
            with pytest.raises(Exists):
                await again

    async def test_an_owner_must_be_there(self, catalog: Catalog) -> None:
        for orphan in (
            catalog.insert_user(User("u1", "nobody", "anna", "")),
            catalog.insert_project(Project("p1", "nobody", "north")),
            catalog.insert_access_key(AccessKey("AK", "nobody", b"", 0), 2),
        ):
            with pytest.raises(CatalogError) as refused:
                await orphan
            assert not isinstance(refused.value, (Exists, QuotaExceeded))

    async def test_access_keys_per_user(self, catalog: Catalog) -> None:
        await catalog.insert_domain(Domain("d1", "one"))
        for user in ("u1", "u2"):
            await catalog.insert_user(User(user, "d1", user, ""))
        await catalog.insert_access_key(AccessKey("A", "u1", b"", 0), 2)
        with pytest.raises(Exists):
            await catalog.insert_access_key(AccessKey("A", "u2", b"", 0), 2)
        await catalog.insert_access_key(AccessKey("B", "u1", b"", 0), 2)
        with pytest.raises(QuotaExceeded):
            await catalog.insert_access_key(AccessKey("C", "u1", b"", 0), 2)
        await catalog.insert_access_key(AccessKey("C", "u2", b"", 0), 2)

    async def test_a_secret_is_made_once(self, store: Store, catalog: Catalog) -> None:
        assert await catalog.secret("cursor", b"first") == b"first"
        assert await catalog.secret("cursor", b"second") == b"first"
        assert await catalog.secret("other", b"") == b""
        other = await store.open()
        assert await other.secret("cursor", b"third") == b"first"
        await other.close()

    async def test_racing_for_a_secret_gives_all_the_same(self, store: Store, catalog: Catalog) -> None:
        other = await store.open()
        found = await asyncio.gather(
            *(c.secret("cursor", bytes([n])) for n, c in enumerate([catalog, other] * 5))
        )
        assert len(set(found)) == 1
        await other.close()


class TestDamage:
    async def test_a_sound_catalog_has_nothing_to_say(self, catalog: Catalog) -> None:
        assert await catalog.check() == []
        await fill(catalog, a_stream())
        await catalog.secret("cursor", b"x")
        assert await catalog.check() == []

    @pytest.mark.parametrize(
        ("statement", "parameters"),
        [
            ("UPDATE streams SET document = replace(document, '24', '25') WHERE stream_id = ?", ()),
            ("UPDATE streams SET checksum = checksum + 1 WHERE stream_id = ?", ()),
            ("UPDATE streams SET active_partitions = 1 WHERE stream_id = ?", ()),
            ("UPDATE streams SET status = 'TERMINATING' WHERE stream_id = ?", ()),
            ("UPDATE streams SET name = 's9' WHERE stream_id = ?", ()),
            ("UPDATE streams SET document = '{}' WHERE stream_id = ?", ()),
        ],
        ids=["document", "checksum", "count", "status", "name", "emptied"],
    )
    async def test_a_damaged_row_hides_no_other(
        self, store: Store, catalog: Catalog, statement: str, parameters: tuple[str, ...]
    ) -> None:
        bad = a_stream("s1")
        await fill(catalog, bad, a_stream("s2"), a_stream("s3"))
        await store.execute(statement, *parameters, bad.stream_id)
        assert [s.name for s in await catalog.streams_in()] == ["s2", "s3"]
        assert bad.stream_id in await catalog.stream_ids()
        with pytest.raises(Damaged, match=bad.stream_id):
            await catalog.stream_by_id(bad.stream_id)
        problems = await catalog.check()
        assert len(problems) == 1
        assert bad.stream_id in problems[0]

    async def test_a_row_copied_over_another_is_noticed(self, store: Store, catalog: Catalog) -> None:
        one, two = a_stream("s1"), a_stream("s2")
        await fill(catalog, one, two)
        copy = "(SELECT {} FROM streams WHERE stream_id = ?)"
        await store.execute(
            f"UPDATE streams SET document = {copy.format('document')}, checksum = {copy.format('checksum')} "
            "WHERE stream_id = ?",
            one.stream_id,
            one.stream_id,
            two.stream_id,
        )
        assert await catalog.streams_in() == [one]

    async def test_a_damaged_row_still_holds_its_name(self, store: Store, catalog: Catalog) -> None:
        await fill(catalog, a_stream())
        await store.execute("UPDATE streams SET checksum = 0")
        with pytest.raises(Exists):
            await catalog.insert_stream(a_stream(stream_id="another"), FREE)

    async def test_a_damaged_user_hides_no_other(self, store: Store, catalog: Catalog) -> None:
        await catalog.insert_domain(Domain("d1", "one"))
        await catalog.insert_user(User("u1", "d1", "anna", ""))
        await catalog.insert_user(User("u2", "d1", "bert", ""))
        await store.execute(
            "UPDATE users SET document = replace(document, 'anna', 'eve') WHERE user_id = 'u1'"
        )
        assert [user.name for user in await catalog.users()] == ["bert"]
        assert "u1" in (await catalog.check())[0]

    async def test_a_damaged_secret_is_never_given_out(self, store: Store, catalog: Catalog) -> None:
        await catalog.secret("cursor", b"\x01\x02")
        await store.execute("UPDATE secrets SET document = 'ff02'")
        with pytest.raises(Damaged, match="cursor"):
            await catalog.secret("cursor", b"new")
        assert "cursor" in (await catalog.check())[0]


async def test_a_closed_catalog_says_so(store: Store) -> None:
    catalog = await store.open()
    await catalog.close()
    await catalog.close()
    with pytest.raises(CatalogError):
        await catalog.streams_in()


async def test_a_caller_that_goes_away_leaves_all_or_nothing(catalog: Catalog) -> None:
    task = asyncio.create_task(catalog.insert_stream(a_stream(), FREE))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await catalog.streams_in() in ([], [a_stream()])
    assert await catalog.check() == []


async def test_deleted_partitions_stay_in_the_document(catalog: Catalog) -> None:
    await fill(catalog, a_stream(partitions=1, deleted=1))
    found = await catalog.stream_by_name("p1", "s1")
    assert found is not None
    assert [p.status for p in found.partitions] == [PartitionStatus.ACTIVE, PartitionStatus.DELETED]
