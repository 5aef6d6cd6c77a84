"""What several tests of dump tasks share: lakes in each kind of catalog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.iceberg_rest import IcebergRest
from tests.services.postgres import DATABASE, PASSWORD, USER, Postgres
from tests.support.lakes import SECONDS, Lake, make_lake, used

from penstock.destinations import Destinations, Dli
from penstock.dump.destinations.base import Place
from penstock.dump.sinks import iceberg_catalog


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IcebergRest]:
    with IcebergRest(tmp_path_factory.mktemp("rest")) as service:
        yield service


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres")) as service:
        yield service


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Lake]:
    place = Place(Destinations(), tmp_path, SECONDS, "account")
    iceberg_catalog.embedded_catalog(Dli(), tmp_path / "lakehouse" / "catalog.db").close()
    yield from used(make_lake(place, "web"))


@pytest.fixture
def in_rest(rest: IcebergRest, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lake]:
    rest.start()
    place = Place(Destinations(dli=(rest.entry(),), obs=(rest.s3.entry(),)), tmp_path, SECONDS, "account")
    yield from used(make_lake(place, _database(request), rest))


@pytest.fixture
def in_postgres(postgres: Postgres, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lake]:
    postgres.start()
    uri = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{postgres.number}/{DATABASE}"
    entry = Dli(catalog="sql", uri=uri, warehouse=f"file://{tmp_path}/warehouse")
    yield from used(
        make_lake(
            Place(Destinations(dli=(entry,)), tmp_path, SECONDS, "account"), _database(request), postgres
        )
    )


def _database(request: pytest.FixtureRequest) -> str:
    """Each test has its own."""
    return "".join(sign if sign.isalnum() else "_" for sign in request.node.name)


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("in_postgres", marks=pytest.mark.services),
        pytest.param("in_rest", marks=pytest.mark.services),
    ]
)
def lake(request: pytest.FixtureRequest) -> Lake:
    found: Lake = request.getfixturevalue(request.param)
    return found
