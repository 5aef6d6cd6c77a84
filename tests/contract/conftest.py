"""What contract tests share: a server in profile `documented`, a client that adds nothing, streams that go away again."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.iam import Iam
from tests.support.python_sdks import OldSdk, client_of, connect
from tests.support.server import Server
from tests.support.sharing import Others, populate
from tests.support.wire import Wire, done

pytest.register_assert_rewrite("tests.contract.v3_sdks")

Make = Callable[..., str]
_numbers = itertools.count()
_CONFIG = "[limits]\ncontrol_requests_per_second = 1000000\n"
"""The documented limits, but for the rate of control requests: tests send more than a person's programs do."""


@pytest.fixture(scope="module")
def server_codec() -> dict[str, str]:
    """The environment of the servers: the codec is the one they choose. Modules about its formats have another fixture."""
    return {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, server_codec: dict[str, str]) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("documented")
    config = directory / "penstock.toml"
    config.write_text(_CONFIG)
    with Server(directory / "data", "--config", str(config), env=server_codec) as started:
        yield started


@pytest.fixture(scope="module")
def relaxed(tmp_path_factory: pytest.TempPathFactory, server_codec: dict[str, str]) -> Iterator[Server]:
    """Another server, with other credentials, in profile `relaxed`."""
    with Server(
        tmp_path_factory.mktemp("relaxed") / "data", "--limits", "relaxed", env=server_codec
    ) as started:
        yield started


@pytest.fixture(scope="module")
def wire(server: Server) -> Iterator[Wire]:
    client = Wire.to(server)
    yield client
    client.close()


@pytest.fixture(scope="module")
def relaxed_wire(relaxed: Server) -> Iterator[Wire]:
    client = Wire.to(relaxed)
    yield client
    client.close()


@pytest.fixture(scope="module")
def client(server: Server) -> Any:
    """`huaweicloudsdkdis`."""
    return client_of(server)


@pytest.fixture(scope="module", params=["json", "protobuf"])
def sdk(request: pytest.FixtureRequest, server: Server) -> Iterator[OldSdk]:
    """`huaweicloud-python-sdk-dis`, with each kind of body."""
    made = OldSdk(server, request.param)
    yield made
    made.close()


@pytest.fixture(scope="module")
def dis(server: Server) -> Iterator[Any]:
    """`otcextensions`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connection = connect(server)
        yield connection.dis
        connection.close()


@pytest.fixture
def name(wire: Wire) -> Iterator[str]:
    """A stream name that nobody has used; whatever is made under it goes away after the test."""
    text = f"t{os.getpid()}-{next(_numbers)}"
    yield text
    wire.delete(text)


@pytest.fixture
def make(wire: Wire) -> Iterator[Make]:
    """Makes streams, of any name unless told, that go away after the test: make(partitions=3, data_type="JSON")."""
    made: list[str] = []

    def create(name: str = "", partitions: int = 1, **fields: object) -> str:
        name = name or f"t{os.getpid()}-{next(_numbers)}"
        done(wire.create(name, partitions, **fields), 201)
        made.append(name)
        return name

    yield create
    for one in made:
        wire.delete(one)


@pytest.fixture(scope="module")
def iam(server: Server) -> Iterator[Iam]:
    with Iam.owner(server) as client:
        yield client


@pytest.fixture(scope="module")
def domain_id(iam: Iam) -> str:
    return str(iam.get("/v3/auth/domains")["domains"][0]["id"])


@pytest.fixture(scope="module")
def owner_id(iam: Iam, server: Server) -> str:
    return str(iam.get(f"/v3/users?name={server.user}")["users"][0]["id"])


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Others]]:
    """A server with accounts and users besides the first: a module that wants it overrides `server` with its first half."""
    directory = tmp_path_factory.mktemp("accounts")
    config = directory / "penstock.toml"
    config.write_text(f"{_CONFIG}policies_per_stream = 10\n")
    with Server(directory / "data", "--config", str(config)) as started:
        yield started, populate(started)


@pytest.fixture(scope="module")
def users(others: tuple[Server, Others]) -> Others:
    return others[1]


@pytest.fixture(scope="module")
def wires(others: tuple[Server, Others]) -> Iterator[dict[str, Wire]]:
    """A client for each of them, by name."""
    made = {name: login.wire(others[0]) for name, login in others[1]._asdict().items()}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture
def partner(wires: dict[str, Wire]) -> Wire:
    return wires["partner"]
