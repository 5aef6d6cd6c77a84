"""Catalog stores for the conformance suite: how each is opened, opened again, and damaged behind its back. A store that
passes tests/conformance/test_catalog.py is a Catalog."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, Protocol

from penstock.catalog.base import Catalog, StreamQuota
from penstock.catalog.sqlite import open_catalog
from penstock.limits import UNLIMITED
from penstock.model.hashing import split
from penstock.model.streams import Partition, PartitionStatus, Stream, StreamStatus, StreamType

FREE = StreamQuota(UNLIMITED, dict.fromkeys(StreamType, UNLIMITED))


class Store(Protocol):
    """One place a catalog is kept."""

    async def open(self) -> Catalog:
        """The catalog, with what was written to it before."""

    async def execute(self, statement: str, *parameters: Any) -> None:
        """Change the stored data past the catalog, in the store's own SQL (`?` marks a parameter)."""


class SqliteStore:
    """A file."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "catalog.db"

    async def open(self) -> Catalog:
        return await open_catalog(self.path)

    async def execute(self, statement: str, *parameters: Any) -> None:
        def work() -> None:
            connection = sqlite3.connect(self.path)
            with connection:
                changed = connection.execute(statement, parameters)
                assert changed.rowcount > 0, "nothing was damaged"
            connection.close()

        await asyncio.to_thread(work)


def a_stream(name: str = "s1", **changes: Any) -> Stream:
    """A stream with two ACTIVE partitions, unless `partitions` says how many; `deleted` more are DELETED."""
    count, deleted = changes.pop("partitions", 2), changes.pop("deleted", 0)
    partitions = [Partition(number=n, hash_start=s, hash_end=e) for n, (s, e) in enumerate(split(count))]
    partitions += [
        Partition(number=count + n, hash_start=-1, hash_end=-1, status=PartitionStatus.DELETED, deleted_ms=1)
        for n in range(deleted)
    ]
    values: dict[str, Any] = {
        "stream_id": f"id-{changes.get('project_id', 'p1')}-{name}",
        "project_id": "p1",
        "name": name,
        "status": StreamStatus.RUNNING,
        "stream_type": StreamType.COMMON,
        "retention_hours": 24,
        "created_ms": 1_700_000_000_000,
        "modified_ms": 1_700_000_000_001,
        "partitions": tuple(partitions),
    }
    return Stream(**values | changes)
