"""The two connections of the embedded catalog: reads do not wait for writes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from tests.support.catalogs import FREE, a_stream

from penstock.catalog.base import CatalogError
from penstock.catalog.sqlite import SqliteCatalog, open_catalog


async def test_a_read_does_not_wait_for_a_write_and_does_not_see_it(tmp_path: Path) -> None:
    catalog = await open_catalog(tmp_path / "catalog.db")
    assert isinstance(catalog, SqliteCatalog)
    await catalog.insert_stream(a_stream(), FREE)
    written, go_on = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM streams")
        written.set()
        assert go_on.wait(30)

    writing = asyncio.create_task(catalog._write(work))
    await asyncio.to_thread(written.wait, 30)
    assert await asyncio.wait_for(catalog.stream_by_name("p1", "s1"), 30) == a_stream()
    assert await catalog.check() == []
    assert not writing.done()
    go_on.set()
    await writing
    assert await catalog.stream_by_name("p1", "s1") is None
    await catalog.close()


async def test_the_side_that_reads_cannot_write(tmp_path: Path) -> None:
    catalog = await open_catalog(tmp_path / "catalog.db")
    assert isinstance(catalog, SqliteCatalog)
    with pytest.raises(CatalogError, match="readonly"):
        await catalog._call(lambda c: c.execute("DELETE FROM streams"))
    await catalog.close()


async def test_what_is_written_is_synced(tmp_path: Path) -> None:
    """A kill cannot show it: what the kernel has outlives the process."""
    catalog = await open_catalog(tmp_path / "catalog.db")
    assert isinstance(catalog, SqliteCatalog)
    full = 2
    assert await catalog._write(lambda c: c.execute("PRAGMA synchronous").fetchone()[0]) == full
    assert await catalog._write(lambda c: c.execute("PRAGMA foreign_keys").fetchone()[0]) == 1
    await catalog.close()


async def test_nothing_goes_on_after_closing(tmp_path: Path) -> None:
    catalog = await open_catalog(tmp_path / "catalog.db")
    await catalog.close()
    await catalog.close()
    with pytest.raises(CatalogError, match="closed"):
        await catalog.stream_by_name("p1", "s1")
    with pytest.raises(CatalogError, match="closed"):
        await catalog.insert_stream(a_stream(), FREE)
    for thread in [one for one in threading.enumerate() if one.name.startswith("catalog")]:
        thread.join(30)
        assert not thread.is_alive()
