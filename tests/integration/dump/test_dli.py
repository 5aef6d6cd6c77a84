"""DLI: rounds into Iceberg tables (5.5.9): in once whatever happens between, columns added, what is refused, catalogs and stores that are
down. Of each catalog: embedded, in PostgreSQL, and Nessie over REST with its tables in S3."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.exceptions import CommitStateUnknownException
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform
from pyiceberg.types import (
    DecimalType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)
from tests.services.iceberg_rest import NESSIE, IcebergRest
from tests.services.postgres import PASSWORD, Postgres
from tests.support import duck
from tests.support.lakes import SECONDS, Lake, clicks
from tests.support.rounds import Crash, MadeRound, make_round, make_stream

from penstock.destinations import Destinations, Dli
from penstock.dump.base import NotDelivered
from penstock.dump.destinations import dli as destinations
from penstock.dump.destinations.base import Place
from penstock.dump.sinks import dli, iceberg_catalog, iceberg_upkeep
from penstock.dump.sinks.dli import DliSink
from penstock.errors import ApiError
from penstock.model.streams import DataType


class TestOnce:
    """C1: delivering a round again leaves the table as if it had been delivered once."""

    async def test_twice(self, lake: Lake) -> None:
        lake.create()
        first = lake.round(*clicks(1, 2, 3))
        await lake.sink().deliver(first)
        assert first.points == ["staged", "visible"]
        for sink in (lake.sinks[0], lake.sink()):
            again = first.again()
            await sink.deliver(again)
            assert again.points == []
        await lake.sinks[0].deliver(lake.round(*clicks(4), first={0: 3}, number=2))
        assert lake.ids() == [1, 2, 3, 4]

    @pytest.mark.parametrize("point", ["staged", "visible"])
    async def test_the_process_dies(self, lake: Lake, point: str) -> None:
        lake.create()
        dies = lake.round(*clicks(1, 2), {"id": "no"})
        dies.crash_at = point
        with pytest.raises(Crash):
            await lake.sink().deliver(dies)
        assert lake.ids() == ([1, 2] if point == "visible" else [])
        again = dies.again()
        await lake.sink().deliver(again)
        assert lake.ids() == [1, 2]
        assert again.discards == {0: 1}

    async def test_partitions_go_in_together(self, lake: Lake) -> None:
        lake.create()
        both = make_round(
            lake.descriptor(),
            make_stream(partitions=2),
            {0: [b'{"id": 1}'], 1: [b'{"id": 2}', b"x"]},
            first={1: 40},
        )
        await lake.sink().deliver(both)
        table = lake.table()
        written = {
            name: value.split()[:2]
            for name, value in table.properties.items()
            if name.startswith("penstock.")
        }
        task = both.task.task_id
        assert written == {f"penstock.{task}.0": ["1", "0"], f"penstock.{task}.1": ["42", "1"]}

    async def test_only_what_is_not_in_yet(self, lake: Lake) -> None:
        """A plan that was made anew, with more records than the one that was committed."""
        lake.create()
        await lake.sink().deliver(lake.round(*clicks(1, 2)))
        await lake.sinks[0].deliver(lake.round(*clicks(1, 2, 3, 4)))
        assert lake.ids() == [1, 2, 3, 4]

    async def test_a_process_that_lost_the_task_comes_late(self, lake: Lake) -> None:
        """A5: the library would put the late commit on top of the other's."""
        lake.create()
        await lake.sink().deliver(lake.round(*clicks(1)))
        late = lake.round(*clicks(2, 3), first={0: 1}, number=2)
        meanwhile = late.again(epoch=2)
        other = lake.sink()
        _at(late, "staged", lambda: _run(other.deliver(meanwhile)))
        await lake.sinks[0].deliver(late)
        assert meanwhile.points == ["staged", "visible"]
        assert lake.ids() == [1, 2, 3]

    async def test_a_late_process_does_not_take_offsets_back(self, lake: Lake) -> None:
        lake.create()
        late = lake.round(*clicks(1, 2))
        other = lake.sink()

        def ahead() -> None:
            _run(other.deliver(late.again(epoch=2)))
            _run(other.deliver(lake.round(*clicks(3), first={0: 2}, number=2)))

        _at(late, "staged", ahead)
        await lake.sink().deliver(late)
        await lake.sink().deliver(lake.round(*clicks(3), first={0: 2}, number=2))
        assert lake.ids() == [1, 2, 3]

    async def test_two_tasks_write_to_one_table(self, lake: Lake) -> None:
        lake.create()
        sinks = [lake.sink() for _ in range(2)]

        async def several(number: int) -> None:
            for round_ in range(3):
                records = clicks(100 * number + round_)
                made = lake.round(*records, task_id=f"task{number}", first={0: round_}, number=round_)
                await sinks[number].deliver(made)

        await asyncio.gather(*(several(number) for number in range(2)))
        assert lake.ids() == [0, 1, 2, 100, 101, 102]

    async def test_the_answer_is_lost(self, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
        lake.create()
        made = lake.round(*clicks(1, 2))
        sink = lake.sink()
        real = type(lake.catalog).commit_table

        def commit(*args: Any) -> Any:
            real(*args)
            raise CommitStateUnknownException("gateway timeout")

        with monkeypatch.context() as patch:
            patch.setattr(type(lake.catalog), "commit_table", commit)
            with pytest.raises(NotDelivered, match="did not say whether"):
                await sink.deliver(made)
        await sink.deliver(made.again())
        assert lake.ids() == [1, 2]

    async def test_others_write_all_the_time(self, embedded: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
        embedded.create()
        made = embedded.round(*clicks(1))

        def others() -> None:
            table = embedded.table()
            table.append(table.scan().to_arrow().schema.empty_table())

        _at(made, "staged", others)
        with pytest.raises(NotDelivered, match="others write"):
            await embedded.sink().deliver(made)
        assert embedded.ids() == []
        data = Path(embedded.table().location().removeprefix("file://")) / "data"
        assert not list(data.glob("*.parquet")), "files of refused commits"


def _at(made: MadeRound, point: str, act: Callable[[], None]) -> None:
    """Do something each time a delivery reaches that point."""
    reached = made.reached

    def hook(name: str) -> None:
        reached(name)
        if name == point:
            act()

    made.reached = hook  # type: ignore[assignment, method-assign]


def _run(waiting: Any) -> None:
    """To its end, beside the event loop that is running."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(waiting)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed, failed


class TestRows:
    async def test_rejects(self, lake: Lake) -> None:
        lake.create()
        made = lake.round(*clicks(1), b"no JSON", {"name": "x"}, {"id": "x"}, *clicks(2))
        await lake.sink().deliver(made)
        assert lake.ids() == [1, 2]
        assert [(reject.sequence, reject.data) for reject in made.rejected[0]] == [
            (1, b"no JSON"),
            (2, b'{"name": "x"}'),
            (3, b'{"id": "x"}'),
        ]
        assert [reject.reason for reject in made.rejected[0]][1:] == [
            "column id: missing, and it is required",
            'column id: "x" is no long',
        ]
        again = made.again()
        await lake.sink().deliver(again)
        assert (again.rejected, again.discards) == ({}, {0: 3})

    async def test_rejects_are_backed_up_before_anything_is_visible(self, embedded: Lake) -> None:
        embedded.create()
        made = embedded.round(*clicks(1), b"x")
        made.reject_fails = "the bucket is gone"
        with pytest.raises(NotDelivered, match="the bucket is gone"):
            await embedded.sink().deliver(made)
        assert embedded.ids() == []

    async def test_a_round_of_rejects_only(self, embedded: Lake) -> None:
        embedded.create()
        made = embedded.round(b"x", b"y")
        await embedded.sink().deliver(made)
        assert (made.discards, embedded.table().metadata.snapshots) == ({0: 2}, [])

    async def test_columns_are_added(self, lake: Lake) -> None:
        lake.create()
        sink = lake.sink()
        await sink.deliver(lake.round(*clicks(1)))
        await sink.deliver(
            lake.round({"id": 2, "price": 1}, {"id": 3, "price": 0.5, "tags": ["a"]}, first={0: 1}, number=2)
        )
        await sink.deliver(lake.round({"id": 4, "price": "x", "tags": ["b"]}, first={0: 3}, number=3))
        assert lake.rows() == [
            {"id": 1, "name": "n1", "price": None, "tags": None},
            {"id": 2, "name": None, "price": 1.0, "tags": None},
            {"id": 3, "name": None, "price": 0.5, "tags": ["a"]},
        ]
        fields = {
            field.name: (str(field.field_type), field.required) for field in lake.table().schema().fields
        }
        assert fields["price"] == ("double", False)
        assert fields["id"] == ("long", True)

    async def test_two_tasks_add_the_same_column(self, lake: Lake) -> None:
        lake.create()
        late = lake.round({"id": 1, "price": 1}, task_id="one")
        other = lake.sink()
        _at(late, "staged", lambda: _run(other.deliver(lake.round({"id": 2, "price": 0.5}, task_id="two"))))
        await lake.sink().deliver(late)
        assert [row["price"] for row in lake.rows()] == [1.0, 0.5]

    async def test_a_table_without_columns_takes_those_of_the_streams_schema(self, embedded: Lake) -> None:
        """5.1.1 table 5-3, `data_schema`."""
        fields = [
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "n", "type": "int"},
        ]
        for data_type, record in ((DataType.JSON, b'{"n": 1, "at": 0}'), (DataType.CSV, b"0,1")):
            name = data_type.value.lower()
            embedded.create(Schema(), name)
            schema = json.dumps({"type": "record", "name": "r", "fields": fields})
            stream = make_stream(data_type, schema=schema)
            await embedded.sink(stream, name).deliver(embedded.round(record, stream=stream, table=name))
            assert embedded.rows(name) == [{"at": datetime(1970, 1, 1, tzinfo=UTC), "n": 1}]

    async def test_partitioned_tables(self, lake: Lake) -> None:
        schema = Schema(
            NestedField(1, "id", LongType()),
            NestedField(2, "kind", StringType()),
            NestedField(3, "at", TimestamptzType()),
        )
        spec = PartitionSpec(
            PartitionField(2, 1000, IdentityTransform(), "kind"),
            PartitionField(3, 1001, DayTransform(), "at_day"),
            PartitionField(1, 1002, BucketTransform(2), "id_bucket"),
        )
        lake.create(schema, partition_spec=spec)
        records = [{"id": n, "kind": "ab"[n % 2], "at": f"2026-11-2{n % 3}T00:00:00Z"} for n in range(12)]
        await lake.sink().deliver(lake.round(*records, {"id": 12}))
        assert lake.ids() == list(range(13))
        files = lake.table().scan(row_filter="kind = 'a'").plan_files()
        assert {file.file.partition[0] for file in files} == {"a"}

    async def test_null_is_not_empty(self, embedded: Lake) -> None:
        """The library's own way to write would make it so."""
        item = StructType(NestedField(4, "n", LongType()))
        embedded.create(
            Schema(
                NestedField(1, "id", LongType()),
                NestedField(2, "items", ListType(3, item, element_required=False)),
                NestedField(5, "by-name", MapType(6, StringType(), 7, item, value_required=False)),
            )
        )
        await embedded.sink().deliver(
            embedded.round(
                {"id": 1}, {"id": 2, "items": [], "by-name": {}}, {"id": 3, "items": [{"n": 1}, {}]}
            )
        )
        metadata = embedded.table().metadata_location.removeprefix("file://")
        assert duck.query(metadata, 'SELECT id, items, "by-name" FROM t ORDER BY id') == [
            (1, None, None),
            (2, [], {}),
            (3, [{"n": 1}, {"n": None}], None),
        ]

    async def test_duckdb_reads_it(self, embedded: Lake) -> None:
        embedded.create(Schema(NestedField(1, "id", LongType()), NestedField(2, "price", DecimalType(9, 2))))
        sink = embedded.sink()
        await sink.deliver(embedded.round({"id": 1, "price": 1.005}))
        await sink.deliver(
            embedded.round(
                {"id": 2, "price": "2", "order": {"day": "x", "n": [1, 2]}}, first={0: 1}, number=2
            )
        )
        metadata = embedded.table().metadata_location.removeprefix("file://")
        assert duck.query(metadata, 'SELECT id, price, "order".n FROM t ORDER BY id') == [
            (1, Decimal("1.01"), None),
            (2, Decimal("2.00"), [1, 2]),
        ]


class TestUpkeep:
    async def test_expired_snapshots_do_not_take_offsets_along(
        self, lake: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in {"AT_ONCE": 2, "AGE_MS": 0, "FEWEST_SNAPSHOTS": 2}.items():
            monkeypatch.setattr(iceberg_upkeep, name, value)
        lake.create()
        rounds = [lake.round(*clicks(number), first={0: number}, number=number) for number in range(6)]
        for made in rounds:
            await lake.sink().deliver(made)
        assert len(lake.table().metadata.snapshots) <= 4
        for made in rounds:
            await lake.sink().deliver(again := made.again())
            assert again.points == []
        assert lake.ids() == list(range(6))

    async def test_old_metadata_files_go(self, embedded: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(iceberg_upkeep, "METADATA_FILES", 3)
        embedded.create()
        sink = embedded.sink()
        for number in range(8):
            await sink.deliver(embedded.round(*clicks(number), first={0: number}, number=number))
        metadata = Path(embedded.table().location().removeprefix("file://")) / "metadata"
        assert len(list(metadata.glob("*.metadata.json"))) == 4

    def test_what_the_table_says_comes_first(self, embedded: Lake) -> None:
        given = {"write.metadata.delete-after-commit.enabled": "false"}
        assert iceberg_upkeep.defaults(given) == {}

    async def test_a_failure_does_not_fail_the_delivery(
        self, embedded: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(table: Table) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(iceberg_upkeep, "expire", fails)
        embedded.create()
        await embedded.sink().deliver(embedded.round(*clicks(1)))
        assert embedded.ids() == [1]

    async def test_offsets_of_tasks_long_gone_go(self, embedded: Lake) -> None:
        embedded.create()
        day = 86_400_000
        old, new = "penstock.old.0", "penstock.new.0"
        await embedded.sink().deliver(embedded.round(*clicks(1), task_id="old", created_ms=20_000 * day))
        await embedded.sink().deliver(embedded.round(*clicks(2), task_id="new", created_ms=20_030 * day))
        assert {old, new} <= embedded.table().properties.keys()
        late = embedded.round(*clicks(3), task_id="new", first={0: 1}, created_ms=20_031 * day)
        await embedded.sink().deliver(late)
        assert {old, new} & embedded.table().properties.keys() == {new}


class TestRefusals:
    async def test_agencies(self, tmp_path: Path) -> None:
        """DIS.4335."""
        place = Place(Destinations(dli=(Dli(agencies=("other",)),)), tmp_path, SECONDS, "account")
        with pytest.raises(ApiError) as refused:
            Lake(place, "web", None).sink()  # type: ignore[arg-type]
        assert refused.value.code == "DIS.4335"

    async def test_a_table_that_is_gone(self, lake: Lake) -> None:
        with pytest.raises(NotDelivered, match=r"has no table .*\.clicks") as said:
            await lake.sink().deliver(lake.round(*clicks(1)))
        assert ("penstock lakehouse table create" in str(said.value)) == (not lake.place.destinations.dli)
        lake.create()
        await lake.sinks[0].deliver(lake.round(*clicks(1)))
        assert lake.ids() == [1]

    async def test_the_embedded_catalog_is_not_there(self, tmp_path: Path) -> None:
        place = Place(Destinations(), tmp_path, SECONDS, "account")
        lake = Lake(place, "web", None)  # type: ignore[arg-type]
        with pytest.raises(NotDelivered):
            await lake.sink().deliver(lake.round(*clicks(1)))
        with pytest.raises(ApiError, match="penstock lakehouse database create web"):
            await destinations.resolve(place, lake.descriptor()).check()
        assert not list(tmp_path.iterdir())

    async def test_properties_that_are_not_ours(self, embedded: Lake) -> None:
        made = embedded.round(*clicks(1))
        embedded.create(properties={f"penstock.{made.task.task_id}.0": "x"})
        with pytest.raises(NotDelivered, match="not one of ours"):
            await embedded.sink().deliver(made)

    @pytest.mark.services
    async def test_wrong_password_of_the_catalog(self, in_postgres: Lake) -> None:
        in_postgres.create()
        entry = in_postgres.place.destinations.dli[0]
        wrong = Dli(
            catalog="sql", uri=entry.uri.replace(PASSWORD, "wrong-Password"), warehouse=entry.warehouse
        )
        in_postgres.place.destinations = Destinations(dli=(wrong,))
        with pytest.raises(NotDelivered, match="password authentication failed") as said:
            await in_postgres.sink().deliver(in_postgres.round(*clicks(1)))
        assert "wrong-Password" not in str(said.value)

    @pytest.mark.services
    async def test_wrong_keys_of_the_store(self, in_rest: Lake, rest: IcebergRest) -> None:
        in_rest.create()
        wrong = rest.s3.entry(secret_key="wrong-secret")
        in_rest.place.destinations = Destinations(dli=(rest.entry(),), obs=(wrong,))
        with pytest.raises(NotDelivered) as said:
            await in_rest.sink().deliver(in_rest.round(*clicks(1)))
        assert "wrong-secret" not in str(said.value)

    @pytest.mark.services
    async def test_keys_of_a_bucket_that_is_not_for_the_agency(
        self, in_rest: Lake, rest: IcebergRest
    ) -> None:
        in_rest.create()
        place = in_rest.place
        given = {"s3.endpoint": rest.s3.endpoint}
        assert "s3.secret-access-key" in iceberg_catalog.storage(
            place, "s3://warehouse/t", given, "dis_admin_agency"
        )
        entry = rest.s3.entry()
        own = type(entry)(
            **{name: getattr(entry, name) for name in entry.__struct_fields__} | {"agencies": ("other",)}
        )
        place.destinations = Destinations(dli=(rest.entry(),), obs=(own,))
        assert "s3.secret-access-key" not in iceberg_catalog.storage(
            place, "s3://warehouse/t", given, "dis_admin_agency"
        )


@pytest.mark.services
class TestDown:
    """Dead, hanging, back again: NotDelivered, and then once."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(iceberg_catalog, "ANSWER_SECONDS", 5)
        monkeypatch.setattr(iceberg_catalog, "CONNECT_SECONDS", 2)
        for name in ("LOAD_SECONDS", "COMMIT_SECONDS", "WRITE_SECONDS"):
            monkeypatch.setattr(dli, name, 15.0)

    async def again_until_in(
        self, lake: Lake, sink: DliSink, made: MadeRound, expected: Sequence[int]
    ) -> None:
        """What hung may still be at work when everything is back; then it is in all the same, once."""
        for _ in range(5):
            try:
                await sink.deliver(made.again())
                break
            except NotDelivered as still:
                last = still
        else:
            raise last
        assert lake.ids() == list(expected)
        await asyncio.sleep(3)
        assert lake.ids() == list(expected)

    @pytest.mark.parametrize("point", ["", "staged"])
    @pytest.mark.parametrize("how", ["kill", "pause"])
    async def test_the_catalog(self, in_rest: Lake, rest: IcebergRest, how: str, point: str) -> None:
        in_rest.create()
        sink = in_rest.sink()
        await sink.deliver(in_rest.round(*clicks(1)))
        made = in_rest.round(*clicks(2), first={0: 1}, number=2)
        if point:
            _at(made, point, lambda: getattr(rest, how)(NESSIE))
        else:
            getattr(rest, how)(NESSIE)
        with pytest.raises(NotDelivered):
            await sink.deliver(made)
        if how == "pause":
            rest.resume(NESSIE)
        rest.start()
        await self.again_until_in(in_rest, sink, made, [1, 2])

    @pytest.mark.parametrize("how", ["kill_all", "pause_all"])
    async def test_the_store_below_it(self, in_rest: Lake, rest: IcebergRest, how: str) -> None:
        in_rest.create()
        sink = in_rest.sink()
        await sink.deliver(in_rest.round(*clicks(1)))
        made = in_rest.round(*clicks(2), first={0: 1}, number=2)
        getattr(rest.s3, how)()
        try:
            with pytest.raises(NotDelivered):
                await sink.deliver(made)
        finally:
            rest.s3.resume_all() if how == "pause_all" else rest.s3.start()
        await self.again_until_in(in_rest, sink, made, [1, 2])

    @pytest.mark.parametrize("point", ["", "staged"])
    async def test_the_database_of_the_catalog_hangs(
        self, in_postgres: Lake, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, point: str
    ) -> None:
        for name in ("LOAD_SECONDS", "COMMIT_SECONDS"):
            monkeypatch.setattr(dli, name, 3.0)
        in_postgres.create()
        sink = in_postgres.sink()
        await sink.deliver(in_postgres.round(*clicks(1)))
        made = in_postgres.round(*clicks(2), first={0: 1}, number=2)
        if point:
            _at(made, point, lambda: postgres.pause("postgres"))
        else:
            postgres.pause("postgres")
        try:
            with pytest.raises(NotDelivered, match="no answer within 3 seconds"):
                await sink.deliver(made)
            with pytest.raises(NotDelivered):
                await sink.deliver(made.again())
        finally:
            postgres.resume("postgres")
        await self.again_until_in(in_postgres, sink, made, [1, 2])

    async def test_cancelled_while_it_hangs(self, in_postgres: Lake, postgres: Postgres) -> None:
        in_postgres.create()
        sink = in_postgres.sink()
        made = in_postgres.round(*clicks(1))
        postgres.pause("postgres")
        try:
            delivering = asyncio.create_task(sink.deliver(made))
            await asyncio.sleep(1)
            delivering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await delivering
        finally:
            postgres.resume("postgres")
        await self.again_until_in(in_postgres, sink, made, [1])


def test_no_date_is_lost_on_the_way(embedded: Lake) -> None:
    """Types that only other engines show as they are."""
    embedded.create(Schema(), "dated")
    fields = [{"name": "d", "type": {"type": "int", "logicalType": "date"}}]
    stream = make_stream(schema=json.dumps({"type": "record", "name": "r", "fields": fields}))
    made = embedded.round({"d": "2026-11-26"}, stream=stream, table="dated")
    asyncio.run(embedded.sink(stream, "dated").deliver(made))
    metadata = embedded.table("dated").metadata_location.removeprefix("file://")
    assert duck.query(metadata, "SELECT d FROM t") == [(date(2026, 11, 26),)]
