"""One transaction of a DWS task: its settings, locks and offsets, COPY with what the table refuses sorted out, the error table. Owns
every statement and how long each may take; knows no records, no rounds and no formats.

What is sent is understood by PostgreSQL from 9.2 on, which is what GaussDB(DWS) speaks: no ON CONFLICT, no lock_timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import sql

from penstock.dump.base import NotDelivered
from penstock.dump.destinations.dws import ERROR_COLUMNS
from penstock.dump.sinks.dws_rows import escaped
from penstock.model.validation import shown

OFFSETS = "penstock_offsets"
"""The table with how far tasks have got, in the schema that they write to."""
STATEMENT_SECONDS = 30.0
COPY_SECONDS = 120.0
"""For one piece (`dws.PIECE_ROWS`, `dws.PIECE_BYTES`): a table with triggers may take a hundred rows a second."""
GRACE_SECONDS = 5.0
"""How much later than the server this side gives up: when it does, the server is not there any more."""
IDLE_SECONDS = 300
"""After which a server ends a transaction that nobody goes on with: that of a process that was stopped, not killed, holds locks."""
BLOCK_BYTES = 256 << 10
LEAST_ROWS = 8
"""When rows are refused one after the other, COPY takes no fewer than this at once."""

_CREATE_OFFSETS = """
CREATE TABLE {table} (
    task_id varchar(64) NOT NULL,
    partition_number integer NOT NULL,
    first_sequence bigint NOT NULL,
    next_sequence bigint NOT NULL,
    discarded bigint NOT NULL,
    PRIMARY KEY (task_id, partition_number)
)"""
_CREATE_ERRORS = """
CREATE TABLE {table} (
    nodeid integer,
    begintime timestamp with time zone,
    filename varchar,
    "rownum" numeric,
    rawrecord text,
    detail text
)"""
_RELATION = """
SELECT c.oid, has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'UPDATE')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s"""
_COLUMNS = """
SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped {stored} ORDER BY attnum"""
_DEFERRED = "SELECT 1 FROM pg_catalog.pg_trigger WHERE tgrelid = %s AND tginitdeferred LIMIT 1"
_MAY_CREATE = """
SELECT has_schema_privilege(oid, 'CREATE') FROM pg_catalog.pg_namespace WHERE nspname = %s"""
_LOCK = """
SELECT partition_number, first_sequence, next_sequence, discarded FROM {table}
WHERE task_id = %s AND partition_number IN ({numbers}) ORDER BY partition_number FOR UPDATE"""
_INSERT = (
    "INSERT INTO {table} (task_id, partition_number, first_sequence, next_sequence, discarded) VALUES {rows}"
)
_UPDATE = """
UPDATE {table} SET first_sequence = {first}, next_sequence = {following}, discarded = {discarded}
WHERE task_id = {task} AND partition_number = {partition}"""

_REFUSED_CLASSES = ("22", "23", "P0")
"""Classes of SQLSTATE that are about a row: data, constraints, what triggers raise."""
_REFUSED = ("44000",)
"""Also: the check option of a view."""
_REFUSED_WITH_LINE = ("54000",)
"""About a row where the server says which: it is too large for a page or an index."""
_MEANING = {
    "42P01": "the table is not there",
    "3F000": "the schema is not there",
    "42501": "the user may not do that",
    "42703": "the table was altered",
    "25006": "the server takes no writes: is it a standby?",
    "53100": "its disk is full",
    "55P03": "somebody holds a lock",
    "57014": "it took too long: does somebody hold a lock?",
    "57P01": "the server is shutting down",
}

T = TypeVar("T")


class Offset(NamedTuple):
    """What the last transaction did that had records of a partition: it took those from `first` up to `following`, exclusive, and passed
    over `discarded` of them."""

    partition: int
    first: int
    following: int
    discarded: int


class Refused(NamedTuple):
    """A line that the table does not take, counted from 0."""

    line: int
    reason: str


class ErrorRow(NamedTuple):
    """A row of the error table: `begun` is its time in ms."""

    begun: int
    file: str
    row: int
    record: bytes
    detail: str


class Raced(Exception):
    """Another process made the same rows of the offsets at the same time: what it did is known after another look."""


class Session:
    """A connection with at most one transaction. Whatever raises leaves it useless: `close` it."""

    def __init__(self, connection: Any, schema: str, table: str) -> None:
        self._connection = connection
        self._schema = schema
        self._table = table
        self.statement_seconds = STATEMENT_SECONDS
        self.copy_seconds = COPY_SECONDS

    @property
    def usable(self) -> bool:
        """Whether it is connected, as far as is known."""
        return not self._connection.closed

    async def close(self) -> None:
        """Leave at once; what is not committed is undone by the server."""
        with contextlib.suppress(psycopg.Error):
            await self._connection.close()

    # Before the transaction

    async def prepare_offsets(self) -> bool:
        """Have the table of offsets; False when it is not there and the user may not make it."""
        return await self._prepare(OFFSETS, _CREATE_OFFSETS, privileges=3) is not None

    async def prepare_errors(self, name: str) -> bool:
        """Have the error table; False when it is not there and the user may not make it."""
        relation = await self._prepare(name, _CREATE_ERRORS, privileges=0)
        if relation is None:
            return False
        missing = sorted(set(ERROR_COLUMNS) - set(await self._columns_of(relation)))
        if missing:
            raise NotDelivered(f"error table {self._name(name)} has no column {missing[0]}")
        return True

    async def _prepare(self, name: str, create: str, *, privileges: int) -> int | None:
        """The oid of a table, made if need be. `privileges`: 3 to read, insert and update, 0 to insert."""
        for _ in range(2):
            found = await self._ask(_RELATION, (self._schema, name))
            if found:
                oid, *may = found[0]
                if not (all(may) if privileges else may[1]):
                    needed = "SELECT, INSERT and UPDATE" if privileges else "INSERT"
                    raise NotDelivered(f"the user needs {needed} on {self._name(name)}")
                return int(oid)
            allowed = await self._ask(_MAY_CREATE, (self._schema,))
            if not allowed or not allowed[0][0]:
                return None
            with contextlib.suppress(psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation):
                await self._run(self._execute(sql.SQL(create).format(table=self._identifier(name))))
        raise NotDelivered(f"table {self._name(name)} could not be made")

    # The transaction

    async def begin(self) -> None:
        """Start. Settings are those of the transaction: a pooler may give the next one another connection."""
        settings = [
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            "SET LOCAL client_encoding TO 'UTF8'",
            f"SET LOCAL statement_timeout TO {int(self.statement_seconds * 1000)}",
        ]
        if self._connection.info.server_version >= 90600:
            settings.append(f"SET LOCAL idle_in_transaction_session_timeout TO {IDLE_SECONDS * 1000}")
        await self._ask("; ".join(settings))
        if (await self._ask("SELECT current_setting('synchronous_commit')"))[0][0] == "off":
            # A commit that a crash of the server can undo is none: the engine goes on from it.
            await self._ask("SET LOCAL synchronous_commit TO on")

    async def columns(self, named: Sequence[str]) -> list[str]:
        """The columns to fill: those `named`, or all that take values."""
        found = await self._ask(_RELATION, (self._schema, self._table))
        if not found:
            raise NotDelivered(f"table {self._name(self._table)} does not exist")
        oid = found[0][0]
        columns = await self._columns_of(oid)
        missing = [name for name in named if name not in columns]
        if missing:
            raise NotDelivered(f"table {self._name(self._table)} has no column {shown(missing[0])}")
        if await self._ask(_DEFERRED, (oid,)):
            # Else COMMIT is the first to say that rows do not fit, and not which.
            await self._ask("SET CONSTRAINTS ALL IMMEDIATE")
        return list(named) or columns

    async def lock(self, task_id: str, firsts: dict[int, int]) -> list[Offset]:
        """Have the offsets of these partitions to ourselves until the transaction ends; of one that has none yet, make it as if all
        before its `firsts` were in. Raises Raced."""
        table = self._identifier(OFFSETS)
        query = sql.SQL(_LOCK).format(
            table=table, numbers=sql.SQL(", ").join(map(sql.Literal, sorted(firsts)))
        )
        found = [Offset(*row) for row in await self._ask(query, (task_id,))]
        new = sorted(set(firsts) - {offset.partition for offset in found})
        if new:
            rows = [sql.SQL("({}, {}, {}, {}, 0)").format(task_id, n, firsts[n], firsts[n]) for n in new]
            try:
                await self._ask(sql.SQL(_INSERT).format(table=table, rows=sql.SQL(", ").join(rows)))
            except psycopg.errors.UniqueViolation as error:
                raise Raced from error
        return found + [Offset(number, firsts[number], firsts[number], 0) for number in new]

    async def move(self, task_id: str, offsets: Iterable[Offset]) -> None:
        """Say what is in now, of partitions that are locked."""
        table = self._identifier(OFFSETS)
        updates = [sql.SQL(_UPDATE).format(table=table, task=task_id, **o._asdict()) for o in offsets]
        await self._ask(sql.SQL(";").join(updates))

    async def commit(self) -> None:
        """Durable and visible when it returns. NotDelivered also where it is not known whether it is."""
        cursor = await self._run(self._execute("COMMIT"))
        if cursor.statusmessage != "COMMIT":
            raise NotDelivered(f"the database did not commit: {cursor.statusmessage}")

    async def roll_back(self) -> None:
        """As if nothing had happened."""
        await self._ask("ROLLBACK")

    # Rows

    async def start_copying(self) -> None:
        """Call once before `copy`."""
        milliseconds = int(self.copy_seconds * 1000)
        await self._ask(f"SET LOCAL statement_timeout TO {milliseconds}; SAVEPOINT piece")

    async def copy(self, columns: Sequence[str], text: bytes, most: int | None) -> list[Refused]:
        """Load lines; what the table refuses is left out and returned, in order. Ends early, with one more, when there are more than
        `most`.

        The server says which line it did not like, and undoes the whole COPY. So the lines before it are sent again by themselves, then
        those behind it: each line about twice, however many are refused (engines-and-sinks.md A4). Where it does not say (foreign keys
        are checked at the end), halves are tried.
        """
        error = await self._try(columns, [text])
        if error is None:
            return []
        lines = text.split(b"\n")[:-1]
        refused: list[Refused] = []
        suspected: dict[int, str] = {}
        start, window = 0, len(lines)
        tried = window
        while True:
            if error is None:
                start += tried
                window *= 4
            else:
                reason, line = _reason(error), self._line(error, tried)
                suspected.clear()
                if tried == 1:
                    refused.append(Refused(start, reason))
                    start += 1
                elif line is None:
                    window = tried // 2
                else:
                    suspected[start + line] = reason
                    window = max(LEAST_ROWS, tried // 2)
            if start in suspected:
                refused.append(Refused(start, suspected.pop(start)))
                start += 1
            if start == len(lines) or (most is not None and len(refused) > most):
                return refused
            end = min([len(lines), start + window, *suspected])
            tried = end - start
            error = await self._try(columns, [line_ + b"\n" for line_ in lines[start:end]])

    async def _try(self, columns: Sequence[str], pieces: Sequence[bytes]) -> psycopg.Error | None:
        """Load lines, all of them or none; the error when the table refuses one."""
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            self._identifier(self._table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        try:
            await self._run(self._copy(statement, b"".join(pieces)), self.copy_seconds)
        except psycopg.Error as error:
            if not self._refuses(error):
                raise self.failure(error) from error
            await self._ask("ROLLBACK TO SAVEPOINT piece")
            return error
        await self._ask("RELEASE SAVEPOINT piece; SAVEPOINT piece")
        return None

    async def write_errors(self, name: str, rows: Sequence[ErrorRow]) -> None:
        """Add rows to the error table. A database that cannot hold a record's characters gets it in ASCII."""
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            self._identifier(name), sql.SQL(", ").join(map(sql.Identifier, ERROR_COLUMNS))
        )
        for ascii_only in (False, True):
            text = "".join(_error_line(row, ascii_only) for row in rows)
            try:
                await self._run(self._copy(statement, text.encode()), self.copy_seconds)
            except psycopg.DataError as error:
                if ascii_only:
                    raise NotDelivered(f"error table {self._name(name)} refuses: {_reason(error)}") from error
                await self._ask("ROLLBACK TO SAVEPOINT piece")
            else:
                return

    # Below

    def _identifier(self, table: str) -> sql.Identifier:
        return sql.Identifier(self._schema, table)

    def _name(self, table: str) -> str:
        return f"{shown(self._schema)}.{shown(table)}"

    async def _columns_of(self, relation: int) -> list[str]:
        stored = "AND attgenerated = ''" if self._connection.info.server_version >= 120000 else ""
        return [name for (name,) in await self._ask(_COLUMNS.format(stored=stored), (relation,))]

    def _refuses(self, error: psycopg.Error) -> bool:
        """Whether an error of COPY is about a row, and another row might be taken."""
        state = error.sqlstate or ""
        if state in _REFUSED_WITH_LINE:
            return self._line(error, None) is not None
        return state.startswith(_REFUSED_CLASSES) or state in _REFUSED

    def _line(self, error: psycopg.Error, lines: int | None) -> int | None:
        """The line an error names, counted from 0; None when it names none. Servers speak languages: what is the same in all is the
        word COPY, the table's name and then the number."""
        for context in (error.diag.context or "").splitlines():
            head, table, tail = context.partition(self._table)
            if not table or "COPY" not in head + tail:
                continue
            found = re.search(r"\d+", tail)
            if found and 1 <= int(found[0]) <= (lines or int(found[0])):
                return int(found[0]) - 1
        return None

    async def _ask(self, statement: Any, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement (or several without parameters); the rows of the last one that has any."""
        cursor = await self._run(self._execute(statement, parameters))
        return await cursor.fetchall() if cursor.description is not None else []

    async def _execute(self, statement: Any, parameters: Sequence[Any] | None = None) -> Any:
        return await self._connection.execute(statement, parameters)

    async def _copy(self, statement: Any, text: bytes) -> None:
        view = memoryview(text)
        async with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for start in range(0, len(text), BLOCK_BYTES):
                await copy.write(view[start : start + BLOCK_BYTES])

    async def _run(self, work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Do something on the connection, within a time: a server that hangs does not even take a request to stop. Then, and when this
        is cancelled, the connection is cut, which ends the work. Errors of the server as they are where callers look at them."""
        limit = (self.statement_seconds if seconds is None else seconds) + GRACE_SECONDS
        task = asyncio.ensure_future(work)
        done: set[asyncio.Future[T]] = set()
        try:
            done, _ = await asyncio.wait({task}, timeout=limit)
        finally:
            if not done:
                # Cut first: the library answers a cancellation by asking the server to stop, and waits for it.
                self._cut()
                await asyncio.wait({task}, timeout=GRACE_SECONDS)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if not done:
            raise NotDelivered(f"the database does not answer: nothing within {limit:g} seconds")
        return task.result()

    def _cut(self) -> None:
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self._connection.fileno())) as duplicate,
        ):
            duplicate.shutdown(socket.SHUT_RDWR)

    def failure(self, error: psycopg.Error) -> NotDelivered:
        """What an error that is not about a row means, for people."""
        if error.sqlstate is None:
            return NotDelivered(f"the connection to the database was lost: {_said(error)}")
        meaning = _MEANING.get(error.sqlstate)
        return NotDelivered(f"the database refuses: {_said(error)}{f' ({meaning})' if meaning else ''}")


def _said(error: psycopg.Error) -> str:
    return shown(" ".join((error.diag.message_primary or str(error)).split()), 300)


def _reason(error: psycopg.Error) -> str:
    """What the database says of a row, with the column where the context has one."""
    column = error.diag.column_name
    found = re.search(r", column ([^:\n]+):", error.diag.context or "")
    column = column or (found[1] if found else None)
    return f"column {shown(column)}: {_said(error)}" if column else _said(error)


def _error_line(row: ErrorRow, ascii_only: bool) -> str:
    record = row.record.decode(errors="replace").replace("\0", " ")
    cells = [
        datetime.fromtimestamp(row.begun / 1000, UTC).isoformat(),
        row.file,
        str(row.row),
        record,
        row.detail,
    ]
    if ascii_only:
        cells = [cell.encode("ascii", "backslashreplace").decode() for cell in cells]
    return "\t".join(["0", *map(escaped, cells)]) + "\n"
