"""`python -m tests.services.spark`: delivers to a table of every kind of column and asks Spark what is in it. Not among the other tests:
the first time it fetches 450 MB, and Spark takes a gigabyte of memory."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from tests.services import spark
from tests.support.rounds import make_round, make_stream

from penstock.cli import lakehouse
from penstock.destinations import Destinations
from penstock.dump.destinations import dli as destinations
from penstock.dump.destinations.base import Place
from penstock.dump.sinks import iceberg_catalog
from penstock.dump.sinks.dli import DliSink
from penstock.model.tasks import ConsumerStrategy, DliDescriptor

COLUMNS = [
    "id:long:required",
    "small:int",
    "ok:boolean",
    "single:float",
    "number:double",
    "price:decimal(9,2)",
    "day:date",
    "at:timestamptz",
    "local:timestamp",
    "name:string",
    "key:uuid",
    "mark:fixed[2]",
    "raw:binary",
    "tags:list<string>",
    "sums:map<string,int>",
    "order:struct<n:int,lines:list<struct<article:string>>>",
]
FIRST = {
    "id": 1,
    "small": -5,
    "ok": True,
    "single": 0.5,
    "number": 1e100,
    "price": "12.345",
    "day": "2026-11-26",
    "at": "2026-11-26T12:00:00.123456+02:00",
    "local": "2026-11-26 12:00:00",
    "name": "Wörterbuch",
    "key": "f79c3e09-677c-4bbd-a479-3f349cb785e7",
    "mark": "AAE=",
    "raw": "AAEC",
    "tags": ["a", "b"],
    "sums": {"x": 1},
    "order": {"n": 1, "lines": [{"article": "bolt"}, {"article": "nut"}]},
}
EXPECTED = {
    **FIRST,
    "price": 12.35,
    "at": "2026-11-26T10:00:00.123Z",
    "local": "2026-11-26T12:00:00.000",
}
SECOND = {"id": 2, "added": [1.5], "order": {"n": 2, "total": 10}}


def main() -> None:
    descriptor = DliDescriptor(
        task_name="spark",
        agency_name="dis_admin_agency",
        deliver_time_interval=30,
        consumer_strategy=ConsumerStrategy.LATEST,
        retry_duration=0,
        dli_database_name="web",
        dli_table_name="orders",
        obs_bucket_path="bucket",
        file_prefix="",
    )
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        lakehouse.create_database(data, "web")
        lakehouse.create_table(data, "web.orders", COLUMNS, ["day(at)", "bucket(4,id)"])
        place = Place(Destinations(), data, 10, "account")
        asyncio.run(_deliver(place, descriptor))
        destination = destinations.resolve(place, descriptor)
        with iceberg_catalog.open_catalog(place, destination, descriptor.agency_name) as catalog:
            table = iceberg_catalog.load(place, destination, descriptor.agency_name, catalog)
            types, rows = spark.query(table.metadata_location, "SELECT * FROM t ORDER BY id")
    print(types)
    print(json.dumps(rows, indent=1, ensure_ascii=False))
    first, second = rows
    assert first == EXPECTED, first
    assert second == {"id": 2, "added": [1.5], "order": {"n": 2, "total": 10}}, second
    print("Spark reads what was delivered.")


async def _deliver(place: Place, descriptor: DliDescriptor) -> None:
    sink = DliSink(place, descriptor, make_stream())
    for number, value in enumerate((FIRST, SECOND)):
        record = json.dumps(value).encode()
        made = make_round(descriptor, make_stream(), {0: [record]}, first={0: number}, number=number)
        for _ in range(2):
            await sink.deliver(made.again())
        assert not made.rejected
    await sink.close()


main()
