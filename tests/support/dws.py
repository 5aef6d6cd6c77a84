"""DWS for tests: a real PostgreSQL with a table, and what delivers into it. `postgres` and `delivering` are fixtures to import, with
`server`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.services.postgres import Postgres
from tests.support.rounds import MadeRound, make_round, make_stream

from penstock.destinations import Destinations, Dws, Kms
from penstock.dump.destinations.base import Place
from penstock.dump.sinks.dws import DwsSink
from penstock.model.tasks import ConsumerStrategy, DwsDescriptor, DwsOptions

PASSWORD = "the-Password-of-the-task"
TASK = "task0000000000000001"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres")) as postgres:
        postgres.query(f"CREATE ROLE loader LOGIN PASSWORD '{PASSWORD}'")
        postgres.query(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
        yield postgres


@pytest.fixture
def postgres(server: Postgres) -> Postgres:
    """With an empty schema `s` that `loader` owns and `guest` may use, and in it the table `t`."""
    server.start()
    server.query("DROP SCHEMA IF EXISTS s CASCADE")
    server.query("CREATE SCHEMA s AUTHORIZATION loader")
    server.query("GRANT USAGE ON SCHEMA s TO guest")
    table(server, "id integer, name text, score numeric, at timestamp, tags jsonb")
    return server


def table(server: Postgres, columns: str) -> None:
    server.query("DROP TABLE IF EXISTS s.t")
    server.query(f"CREATE TABLE s.t ({columns})")
    server.query("ALTER TABLE s.t OWNER TO loader")
    server.query("GRANT INSERT ON s.t TO guest")


class Delivering:
    """What a test needs to deliver: a descriptor, a stream, sinks that are closed at the end."""

    def __init__(self, server: Postgres, directory: Path) -> None:
        entry = Dws(cluster_id="c", host="127.0.0.1", port=server.number, sslmode="disable")
        destinations = Destinations(dws=(entry,), kms=(Kms(key_id="k", secret="secret"),))
        self.place = Place(destinations, directory, 5.0, "account")
        self.options: dict[str, Any] = {}
        self.fields: dict[str, Any] = {}
        self.stream = make_stream()
        self.password = PASSWORD
        self.sinks: list[DwsSink] = []

    @property
    def descriptor(self) -> DwsDescriptor:
        fields: dict[str, Any] = {
            "task_name": "load",
            "agency_name": "dis_admin_agency",
            "deliver_time_interval": 30,
            "consumer_strategy": ConsumerStrategy.TRIM_HORIZON,
            "retry_duration": 60,
            "dws_cluster_name": "cluster",
            "dws_cluster_id": "c",
            "dws_database_name": "penstock",
            "dws_schema": "s",
            "dws_table_name": "t",
            "dws_delimiter": ",",
            "user_name": "loader",
            "kms_user_key_name": "key",
            "kms_user_key_id": "k",
            "obs_bucket_path": "bucket",
            "file_prefix": "",
            "dws_table_columns": "",
            "options": DwsOptions(**self.options),
        }
        return DwsDescriptor(**(fields | self.fields))

    def sink(self) -> DwsSink:
        sink = DwsSink(self.place, self.descriptor, self.stream, self.password)
        self.sinks.append(sink)
        return sink

    def round(self, records: Sequence[Any] | Mapping[int, Sequence[Any]], **more: Any) -> MadeRound:
        parts = records if isinstance(records, Mapping) else {0: records}
        data = {
            partition: [r if isinstance(r, bytes) else json.dumps(r).encode() for r in values]
            for partition, values in parts.items()
        }
        return make_round(self.descriptor, self.stream, data, **more)

    async def deliver(self, records: Sequence[Any] | Mapping[int, Sequence[Any]], **more: Any) -> MadeRound:
        round_ = self.round(records, **more)
        await self.sink().deliver(round_)
        return round_


@pytest.fixture
async def delivering(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Delivering]:
    made = Delivering(postgres, tmp_path)
    yield made
    for sink in made.sinks:
        await sink.close()


def person(number: int | str, **more: Any) -> dict[str, Any]:
    return {"id": number, "name": f"n{number}", "score": 1.5, "at": None, "tags": None} | more


def ids(server: Postgres) -> list[int]:
    """In the order of the table."""
    return [number for (number,) in server.query("SELECT id FROM s.t ORDER BY ctid")]


def offsets(server: Postgres) -> list[tuple[Any, ...]]:
    return server.query(
        "SELECT partition_number, first_sequence, next_sequence, discarded FROM s.penstock_offsets ORDER BY 1"
    )
