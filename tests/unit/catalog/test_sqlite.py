"""What only the embedded catalog promises: its file, its migrations, its refusals."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.support.catalogs import FREE, a_stream

from penstock.catalog.base import CatalogError, Damaged, TooNew
from penstock.catalog.migrations import Migration, migrations
from penstock.catalog.sqlite import APPLICATION_ID, open_catalog


def pragma(path: Path, name: str) -> int | str:
    connection = sqlite3.connect(path)
    try:
        value: int | str = connection.execute(f"PRAGMA {name}").fetchone()[0]
        return value
    finally:
        connection.close()


class TestFile:
    async def test_only_its_owner_reads_it(self, tmp_path: Path) -> None:
        path = tmp_path / "catalog.db"
        before = os.umask(0)
        try:
            catalog = await open_catalog(path)
            await catalog.insert_stream(a_stream(), FREE)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        finally:
            os.umask(before)
        assert modes == {"catalog.db": 0o600, "catalog.db-wal": 0o600, "catalog.db-shm": 0o600}
        await catalog.close()

    async def test_a_file_that_became_readable_is_closed_again(self, tmp_path: Path) -> None:
        path = tmp_path / "catalog.db"
        await (await open_catalog(path)).close()
        path.chmod(0o644)
        await (await open_catalog(path)).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def test_write_ahead_log_and_versions(self, tmp_path: Path) -> None:
        path = tmp_path / "catalog.db"
        await (await open_catalog(path)).close()
        assert pragma(path, "journal_mode") == "wal"
        assert pragma(path, "application_id") == APPLICATION_ID
        assert pragma(path, "user_version") == len(migrations())
        connection = sqlite3.connect(path)
        applied = connection.execute("SELECT version, name FROM schema_version ORDER BY version").fetchall()
        connection.close()
        assert applied == [(m.version, m.name) for m in migrations()]

    async def test_closing_leaves_one_file(self, tmp_path: Path) -> None:
        catalog = await open_catalog(tmp_path / "catalog.db")
        await catalog.insert_stream(a_stream(), FREE)
        await catalog.close()
        assert [file.name for file in tmp_path.iterdir()] == ["catalog.db"]

    async def test_a_missing_directory_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(CatalogError, match="nowhere"):
            await open_catalog(tmp_path / "nowhere" / "catalog.db")


class TestRefusals:
    async def test_a_later_version_is_refused_untouched(self, tmp_path: Path) -> None:
        path = tmp_path / "catalog.db"
        await (await open_catalog(path)).close()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 9999")
        connection.close()
        before = path.read_bytes()
        with pytest.raises(TooNew, match="9999"):
            await open_catalog(path)
        assert path.read_bytes() == before

    async def test_what_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "catalog.db"
        path.write_bytes(b"not a database, but longer than a header is " * 10)
        before = path.read_bytes()
        with pytest.raises(Damaged, match="database"):
            await open_catalog(path)
        assert path.read_bytes() == before

    async def test_another_program_s_database(self, tmp_path: Path) -> None:
        path = tmp_path / "catalog.db"
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
        connection.close()
        before = path.read_bytes()
        with pytest.raises(Damaged, match="another program"):
            await open_catalog(path)
        assert path.read_bytes() == before

    async def test_an_empty_file_becomes_a_catalog(self, tmp_path: Path) -> None:
        # What a crash right after making the file leaves.
        (tmp_path / "catalog.db").touch()
        catalog = await open_catalog(tmp_path / "catalog.db")
        assert await catalog.streams_in() == []
        await catalog.close()

    async def test_overwritten_pages_are_reported(self, tmp_path: Path) -> None:
        path = tmp_path / "catalog.db"
        catalog = await open_catalog(path)
        for number in range(50):
            await catalog.insert_stream(a_stream(f"s{number}", partitions=20), FREE)
        await catalog.close()
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(size // 2)
            file.write(b"\xa5" * 8192)
        damaged = await open_catalog(path)
        assert await damaged.check() != []
        await damaged.close()


class TestMigrations:
    def test_they_are_in_the_package(self) -> None:
        assert migrations()[0][:2] == (1, "initial")

    async def test_a_failing_one_leaves_the_version_before_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "catalog.db"
        await (await open_catalog(path)).close()
        broken = Migration(
            len(migrations()) + 1, "broken", "CREATE TABLE half (x TEXT);\nINSERT INTO missing VALUES (1);\n"
        )
        monkeypatch.setattr("penstock.catalog.sqlite.migrations", lambda: (*migrations(), broken))
        with pytest.raises(CatalogError, match="missing"):
            await open_catalog(path)
        monkeypatch.undo()
        assert pragma(path, "user_version") == len(migrations())
        connection = sqlite3.connect(path)
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
        connection.close()
        await (await open_catalog(path)).close()

    async def test_a_new_one_is_applied_once_and_keeps_the_rows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "catalog.db"
        catalog = await open_catalog(path)
        await catalog.insert_stream(a_stream(), FREE)
        await catalog.close()
        step = Migration(len(migrations()) + 1, "more", "-- why; really\nCREATE TABLE more (x TEXT);\n")
        steps = (*migrations(), step)
        monkeypatch.setattr("penstock.catalog.sqlite.migrations", lambda: steps)
        for _ in range(2):
            catalog = await open_catalog(path)
            assert await catalog.streams_in() == [a_stream()]
            await catalog.close()
        assert pragma(path, "user_version") == step.version


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """The process dies right after the call returned, without closing anything."""
    script = textwrap.dedent(
        """
        import asyncio, os, sys
        from pathlib import Path
        from penstock.catalog.sqlite import open_catalog
        from tests.support.catalogs import FREE, a_stream

        async def main():
            catalog = await open_catalog(Path(sys.argv[1]))
            for number in range(20):
                await catalog.insert_stream(a_stream(f"s{number:02}"), FREE)
                print(number, flush=True)
            os.kill(os.getpid(), 9)

        asyncio.run(main())
        """
    )
    path = tmp_path / "catalog.db"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -9, done.stderr
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute("SELECT name FROM streams ORDER BY name")]
    connection.close()
    assert names == [f"s{number:02}" for number in range(len(done.stdout.split()))]
    assert len(names) == 20
