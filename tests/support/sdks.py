"""The Java SDK, Java SDK v3 and Go SDK v3, connected to a server under test. Owns where their drivers are and what each must be told to
connect; tests of theirs are marked `services`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import golang, maven
from tests.support.driver import Driver, Refused
from tests.support.server import Server

_CLIENTS = Path(__file__).resolve().parents[1] / "clients"


class Sdk:
    """One client of a driver. Operations are methods of the SDK's client class, by their names."""

    def __init__(self, driver: Driver, name: str) -> None:
        self.driver = driver
        self.name = name

    def call(self, operation: str, /, **arguments: object) -> Any:
        return self.driver.call(f"{self.name}.{operation}", **arguments)

    def asked(self, operation: str, arguments: dict[str, object]) -> Any:
        """For arguments whose names are no Python names, such as `partition-id`."""
        return self.driver.call(f"{self.name}.{operation}", **arguments)

    def refused(self, operation: str, /, **arguments: object) -> Refused:
        return self.driver.refused(f"{self.name}.{operation}", **arguments)


@contextmanager
def java() -> Iterator[Driver]:
    """The driver of the Java SDK."""
    with Driver(maven.command(_CLIENTS / "java", "Driver")) as driver:
        yield driver


def java_client(driver: Driver, server: Server, name: str, kind: str = "sync", **properties: str) -> Sdk:
    """A client of the Java SDK: `kind` is sync, async, nio or producer; in `properties`, `__` stands for a dot."""
    given = {
        "endpoint": server.endpoint,
        "ak": server.ak,
        "sk": server.sk,
        "projectId": server.project_id,
        "region": "local",
        "exception.retries": "1",
    }
    given |= {key.replace("__", "."): value for key, value in properties.items()}
    driver.call("connect", name=name, kind=kind, properties=given)
    return Sdk(driver, name)


@contextmanager
def java_v3() -> Iterator[Driver]:
    """The driver of the Java SDK v3."""
    with Driver(maven.command(_CLIENTS / "java-v3", "Driver")) as driver:
        yield driver


@contextmanager
def go_v3() -> Iterator[Driver]:
    """The driver of the Go SDK v3."""
    with Driver(golang.command(_CLIENTS / "go-v3")) as driver:
        yield driver


def v3_client(driver: Driver, server: Server, name: str, **changes: object) -> Sdk:
    """A client of one of the SDKs v3, by endpoint unless `changes` say a region."""
    given: dict[str, object] = {
        "ak": server.ak,
        "sk": server.sk,
        "project_id": server.project_id,
        "endpoint": server.endpoint,
    }
    driver.call("connect", name=name, **(given | changes))
    return Sdk(driver, name)
