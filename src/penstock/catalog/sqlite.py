"""The embedded catalog: one SQLite file. Owns the file, its two threads, its transactions and what is asked of streams; the SQL
of any table is in `statements`. Knows no rules about streams.

What is put together into SQL (S608) are names from `rows.TABLES` and clauses of this file; values are always bound.

Write-ahead log and `synchronous = FULL`: a call that returned is on the disk. Writes run on one thread with one connection, so
they are serial; `BEGIN IMMEDIATE` keeps them so against other processes. Those that wait for the thread together are committed
together, each in a savepoint of its own: one sync for all of them. Reads have a thread and a connection of their own, so that
they wait for no sync; they see what is committed, which is what has been answered. Reads on hot paths come from
`service.directory`, not from here.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import structlog

from penstock.catalog import rows, statements
from penstock.catalog.base import (
    AccessKey,
    Catalog,
    CatalogError,
    Change,
    Damaged,
    Domain,
    Exists,
    Project,
    QuotaExceeded,
    Remove,
    StreamQuota,
    TooNew,
    User,
)
from penstock.catalog.migrations import migrations
from penstock.catalog.table import Table, Value
from penstock.files import sync_directory
from penstock.model.streams import Stream, StreamStatus, StreamType

R = TypeVar("R")
T = TypeVar("T", bound=msgspec.Struct)

APPLICATION_ID = 0x50454E53
"""`PENS`, in the file's header: another program's database is refused instead of changed."""
BUSY_SECONDS = 10.0
"""How long a call waits for another process that holds the file."""
GROUP_MAX = 512
"""Writes committed together at most."""

_log = structlog.get_logger("penstock.catalog")


async def open_catalog(path: Path) -> Catalog:
    """The catalog in `path`, made (mode 0600) or migrated first where needed.

    Raises Damaged when the file is no catalog, TooNew when a later version wrote it, CatalogError when it cannot be
    opened.
    """
    writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catalog")
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catalog reads")
    loop = asyncio.get_running_loop()
    try:
        write = await loop.run_in_executor(writer, _open, path)
        try:
            read = await loop.run_in_executor(reader, _open_reader, path)
        except BaseException:
            await loop.run_in_executor(writer, write.close)
            raise
    except BaseException:
        writer.shutdown(wait=False)
        reader.shutdown(wait=False)
        raise
    return SqliteCatalog(path, _Side(write, writer), _Side(read, reader))


def _open_reader(path: Path) -> sqlite3.Connection:
    with _errors(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
        except BaseException:
            connection.close()
            raise
    return connection


def _open(path: Path) -> sqlite3.Connection:
    with _errors(path):
        created = _create_private(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        if created:
            sync_directory(path.parent)
    return connection


def _create_private(path: Path) -> bool:
    """Make the file so that only its owner reads it (it holds password hashes); whether it is new. SQLite gives the
    files beside it the same mode."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return False
    os.close(handle)
    return True


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check whose file it is, set it up, bring its tables to this version."""
    owner, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise Damaged(f"{path} is a database of another program")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # A page overwritten by accident is found out instead of believed; a planted schema runs no code.
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    steps = migrations()
    if version > len(steps):
        raise TooNew(
            f"{path} has catalog version {version}, written by a later Penstock; this one knows versions up to "
            f"{len(steps)}: start the later one, or restore a backup made before the upgrade"
        )
    for step in steps[version:]:
        with _transaction(connection):
            if _pragma(connection, "user_version") >= step.version:
                continue  # another process was faster
            for statement in _statements(step.sql):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO schema_version (version, name) VALUES (?, ?)", (step.version, step.name)
            )
            connection.execute(f"PRAGMA user_version = {step.version}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit the transaction they belong to."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """What SQLite and the file system say, as CatalogError."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        kind = CatalogError if error.sqlite_errorname == "SQLITE_CONSTRAINT_FOREIGNKEY" else Exists
        raise kind(f"catalog: {error}") from error
    except sqlite3.DatabaseError as error:
        damaged = error.__class__ is sqlite3.DatabaseError
        raise (Damaged if damaged else CatalogError)(f"catalog {path}: {error}") from error
    except OSError as error:
        raise CatalogError(f"catalog {path}: {error.strerror}") from error


class _Side(NamedTuple):
    """A connection and the only thread that uses it."""

    connection: sqlite3.Connection
    executor: ThreadPoolExecutor


class SqliteCatalog:
    """A Catalog; made by `open_catalog`."""

    def __init__(self, path: Path, writer: _Side, reader: _Side) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._closed = False
        self._waiting: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<SqliteCatalog {self._path}>"

    async def _call(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Run `work`, which reads. A caller that goes away does not interrupt it."""
        if self._closed:
            raise CatalogError("the catalog is closed")
        return await self._run(self._reader, work)

    async def _run(self, side: _Side, work: Callable[[sqlite3.Connection], R]) -> R:
        def guarded() -> R:
            with _errors(self._path):
                return work(side.connection)

        return await asyncio.get_running_loop().run_in_executor(side.executor, guarded)

    async def _write(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Run `work` in a transaction. A caller that goes away does not interrupt it."""
        if self._closed:
            raise CatalogError("the catalog is closed")
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(work, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_waiting(), name="catalog commits")
        return await done

    async def _commit_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
            try:
                outcomes = await loop.run_in_executor(self._writer.executor, self._commit, group)
            except BaseException as error:
                outcomes = [error] * len(group)
            for (_, done), outcome in zip(group, outcomes, strict=True):
                if done.cancelled():
                    continue
                if isinstance(outcome, BaseException):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)
        self._committing = None

    def _commit(self, group: list[_Write]) -> list[Any]:
        """One transaction; a result or an error for each. Raises when none could be committed."""
        connection = self._writer.connection
        outcomes: list[Any] = []
        with _errors(self._path), _transaction(connection):
            if len(group) == 1:
                return [group[0].work(connection)]
            for work, _ in group:
                connection.execute("SAVEPOINT one")
                try:
                    with _errors(self._path):
                        outcomes.append(work(connection))
                except Exception as error:
                    if not connection.in_transaction:
                        raise  # a full disk ended all of it
                    connection.execute("ROLLBACK TO one")
                    outcomes.append(error)
                connection.execute("RELEASE one")
        return outcomes

    # Streams

    async def insert_stream(self, stream: Stream, quota: StreamQuota) -> None:
        def work(connection: sqlite3.Connection) -> None:
            # The name before the quotas: who repeats a create wants to hear that it is there.
            statements.insert(connection, rows.STREAMS, stream)
            living = "FROM streams WHERE project_id = ? AND status <> ?"
            streams = connection.execute(
                f"SELECT count(*) {living}", (stream.project_id, StreamStatus.TERMINATING)
            ).fetchone()[0]
            if streams > quota.streams:
                raise QuotaExceeded(f"project {stream.project_id} has {quota.streams} streams already")
            _check_partitions(connection, stream, quota.partitions.get(stream.stream_type))

        await self._write(work)

    async def replace_stream(self, stream: Stream, *also: Change, partition_quota: int | None = None) -> None:
        def work(connection: sqlite3.Connection) -> None:
            statements.replace(connection, rows.STREAMS, stream)
            _check_partitions(connection, stream, partition_quota)
            statements.apply(connection, *also)

        await self._write(work)

    async def remove_stream(self, stream_id: str) -> None:
        await self.apply(Remove(rows.STREAMS, {"stream_id": stream_id}))

    async def stream_by_name(self, project_id: str, name: str) -> Stream | None:
        return await self._one(rows.STREAMS, "project_id = ? AND name = ?", (project_id, name))

    async def stream_by_id(self, stream_id: str) -> Stream | None:
        return await self._one(rows.STREAMS, "stream_id = ?", (stream_id,))

    async def list_streams(self, project_id: str, after: str, limit: int) -> list[Stream]:
        tail = "WHERE project_id = ? AND name > ? ORDER BY name LIMIT ?"
        return await self._many(rows.STREAMS, tail, (project_id, after, limit))

    async def count_streams(self, project_id: str) -> int:
        query = "SELECT count(*) FROM streams WHERE project_id = ?"
        return await self._call(lambda c: int(c.execute(query, (project_id,)).fetchone()[0]))

    async def count_partitions(self, project_id: str, stream_type: StreamType) -> int:
        return await self._call(lambda c: _active_partitions(c, project_id, stream_type))

    async def streams_in(self, status: StreamStatus | None = None) -> list[Stream]:
        order = "ORDER BY project_id, name"
        if status is None:
            return await self._many(rows.STREAMS, order)
        return await self._many(rows.STREAMS, f"WHERE status = ? {order}", (status,))

    async def stream_ids(self) -> list[str]:
        query = "SELECT stream_id FROM streams ORDER BY stream_id"
        return await self._call(lambda c: [row[0] for row in c.execute(query)])

    # Identity

    async def insert_domain(self, domain: Domain) -> None:
        await self._write(lambda c: statements.insert(c, rows.DOMAINS, domain))

    async def insert_user(self, user: User) -> None:
        await self._write(lambda c: statements.insert(c, rows.USERS, user))

    async def insert_project(self, project: Project) -> None:
        await self._write(lambda c: statements.insert(c, rows.PROJECTS, project))

    async def insert_access_key(self, key: AccessKey, per_user: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            statements.insert(connection, rows.ACCESS_KEYS, key)
            query = "SELECT count(*) FROM access_keys WHERE user_id = ?"
            if connection.execute(query, (key.user_id,)).fetchone()[0] > per_user:
                raise QuotaExceeded(f"user {key.user_id} has {per_user} access keys already")

        await self._write(work)

    async def domains(self) -> Sequence[Domain]:
        return await self._many(rows.DOMAINS, "ORDER BY domain_id")

    async def users(self) -> Sequence[User]:
        return await self._many(rows.USERS, "ORDER BY user_id")

    async def projects(self) -> Sequence[Project]:
        return await self._many(rows.PROJECTS, "ORDER BY project_id")

    async def access_keys(self) -> Sequence[AccessKey]:
        return await self._many(rows.ACCESS_KEYS, "ORDER BY access_key")

    async def secret(self, name: str, make: bytes) -> bytes:
        def work(connection: sqlite3.Connection) -> bytes:
            query = "SELECT name, document, checksum FROM secrets WHERE name = ?"
            row = connection.execute(query, (name,)).fetchone()
            if row is None:
                row = rows.encode_secret(name, make)
                connection.execute("INSERT INTO secrets (name, document, checksum) VALUES (?, ?, ?)", row)
            return rows.decode_secret(row)

        return await self._write(work)

    # Any table

    async def apply(self, *changes: Change) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return statements.apply(connection, *changes)

        return await self._write(work)

    async def find(self, table: Table[T], **where: Value) -> T | None:
        clause, values = statements.condition(table, where)
        return await self._one(table, clause, values)

    async def select(
        self,
        table: Table[T],
        where: Mapping[str, Value] | None = None,
        *,
        order: str = "",
        after: Value | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[T]:
        clause, values = statements.condition(table, where or {})
        column = statements.column(table, order or table.columns[0])
        if after is not None:
            clause += f" AND {column} {'<' if descending else '>'} ?"
            values.append(after)
        tail = f"WHERE {clause} ORDER BY {column} {'DESC' if descending else 'ASC'}"
        if limit is not None:
            tail += " LIMIT ?"
            values.append(limit)
        return await self._many(table, tail, values)

    async def count(self, table: Table[Any], **where: Value) -> int:
        return await self._call(lambda c: statements.count(c, table, where))

    async def distinct(self, table: Table[Any], *columns: str) -> list[tuple[Value, ...]]:
        names = ", ".join(statements.column(table, column) for column in columns)
        query = f"SELECT DISTINCT {names} FROM {table.name}"  # noqa: S608
        return await self._call(lambda c: c.execute(query).fetchall())

    # The whole

    async def check(self) -> list[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            # The first line of a sound file is `ok`; anything else is a sentence a line.
            problems = [line for (line,) in connection.execute("PRAGMA quick_check(20)") if line != "ok"]
            for table, rowid, parent, _ in connection.execute("PRAGMA foreign_key_check"):
                problems.append(f"{table} row number {rowid} names a row of {parent} that does not exist")
            for table_ in rows.TABLES:
                # One row at a time: there may be a million.
                found = statements.each(connection, table_)
                problems += [str(row) for row in found if isinstance(row, Damaged)]
            for row in connection.execute("SELECT name, document, checksum FROM secrets ORDER BY name"):
                try:
                    rows.decode_secret(row)
                except Damaged as damage:
                    problems.append(str(damage))
            return [f"{self._path.name}: {problem}" for problem in problems]

        try:
            return await self._call(work)
        except CatalogError as error:
            return [str(error)]

    async def close(self) -> None:
        """Finish what was asked for, fold the write-ahead log into the file and close it."""
        if self._closed:
            return
        while self._committing is not None:
            await asyncio.wait([self._committing])
        self._closed = True
        try:
            # The last connection to close folds the write-ahead log: the one that may write.
            await self._run(self._reader, lambda c: c.close())
            await self._run(self._writer, lambda c: c.close())
        finally:
            self._reader.executor.shutdown(wait=False)
            self._writer.executor.shutdown(wait=False)

    async def _one(self, table: Table[T], where: str, parameters: Sequence[Any]) -> T | None:
        query = f"SELECT {table.all_columns} FROM {table.name} WHERE {where}"  # noqa: S608
        row = await self._call(lambda c: c.execute(query, parameters).fetchone())
        return None if row is None else table.decode(row)

    async def _many(self, table: Table[T], tail: str, parameters: Sequence[Any] = ()) -> list[T]:
        found, damage = await self._call(lambda c: statements.select(c, table, tail, parameters))
        for problem in damage:
            _log.error("catalog row damaged", problem=problem)
        return found


class _Write(NamedTuple):
    """A write that waits for the catalog's thread."""

    work: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]


def _active_partitions(connection: sqlite3.Connection, project_id: str, stream_type: StreamType) -> int:
    query = (
        "SELECT coalesce(sum(active_partitions), 0) FROM streams "
        "WHERE project_id = ? AND stream_type = ? AND status <> ?"
    )
    return int(connection.execute(query, (project_id, stream_type, StreamStatus.TERMINATING)).fetchone()[0])


def _check_partitions(connection: sqlite3.Connection, stream: Stream, most: int | None) -> None:
    if most is None:
        return
    used = _active_partitions(connection, stream.project_id, stream.stream_type)
    if used > most:
        raise QuotaExceeded(
            f"project {stream.project_id} would have {used} {stream.stream_type} partitions, more than {most}"
        )
