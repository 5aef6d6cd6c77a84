"""Lakes for tests of the DLI sink: a catalog with a database of the test's own, tables in it, sinks that are closed at the end."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import (
    LongType,
    NestedField,
    StringType,
)
from tests.support.rounds import MadeRound, make_round, make_stream

from penstock.dump.destinations import dli as destinations
from penstock.dump.destinations.base import Place
from penstock.dump.sinks import iceberg_catalog
from penstock.dump.sinks.dli import DliSink
from penstock.model.streams import Stream
from penstock.model.tasks import ConsumerStrategy, DliDescriptor

SECONDS = 10.0
CLICKS = Schema(NestedField(1, "id", LongType(), required=True), NestedField(2, "name", StringType()))


@dataclasses.dataclass
class Lake:
    """A catalog with a database, tables in it, and sinks that are closed at the end."""

    place: Place
    database: str
    catalog: Catalog
    service: Any = None
    sinks: list[DliSink] = dataclasses.field(default_factory=list)

    def descriptor(self, table: str = "clicks") -> DliDescriptor:
        return DliDescriptor(
            task_name="to-the-lake",
            agency_name="dis_admin_agency",
            deliver_time_interval=30,
            consumer_strategy=ConsumerStrategy.LATEST,
            retry_duration=0,
            dli_database_name=self.database,
            dli_table_name=table,
            obs_bucket_path="bucket",
            file_prefix="",
        )

    def create(self, schema: Schema = CLICKS, name: str = "clicks", **more: Any) -> None:
        self.catalog.create_table((self.database, name), schema, **more)

    def sink(self, stream: Stream | None = None, table: str = "clicks") -> DliSink:
        sink = DliSink(self.place, self.descriptor(table), stream or make_stream())
        self.sinks.append(sink)
        return sink

    def round(
        self, *records: Any, stream: Stream | None = None, table: str = "clicks", **more: Any
    ) -> MadeRound:
        """A round of partition 0; what is no bytes is written as JSON."""
        data = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
        return make_round(self.descriptor(table), stream or make_stream(), {0: data}, **more)

    def table(self, name: str = "clicks") -> Table:
        destination = destinations.resolve(self.place, self.descriptor(name))
        return iceberg_catalog.load(self.place, destination, "dis_admin_agency", self.catalog)

    def rows(self, name: str = "clicks") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.table(name).scan().to_arrow().to_pylist()
        return sorted(rows, key=lambda row: json.dumps(row, default=str))

    def ids(self) -> list[int]:
        return sorted(row["id"] for row in self.rows())


def clicks(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"n{number}"} for number in numbers]


def make_lake(place: Place, database: str, service: Any = None) -> Lake:
    probe = Lake(place, database, None).descriptor()  # type: ignore[arg-type]
    destination = destinations.resolve(place, probe)
    catalog = iceberg_catalog.open_catalog(place, destination, "dis_admin_agency")
    if isinstance(destination, destinations.SqlCatalog):
        catalog.create_tables()  # type: ignore[attr-defined]
    catalog.create_namespace((database,))
    return Lake(place, database, catalog, service)


def used(lake: Lake) -> Iterator[Lake]:
    yield lake
    for sink in lake.sinks:
        asyncio.run(sink.close())
    lake.catalog.close()
