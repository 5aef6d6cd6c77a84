"""SQL of any table (catalog/table.py), for SQLite connections. Owns the statements that changes and reads become; knows no
transactions and no threads.

What is put together into SQL (S608) are names from `rows.TABLES`; values are always bound.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import Any, TypeVar

import msgspec

from penstock.catalog.base import Change, Damaged, Expect, Insert, Missing, Put, Quota, QuotaExceeded, Remove
from penstock.catalog.table import Table, Value

T = TypeVar("T", bound=msgspec.Struct)


def apply(connection: sqlite3.Connection, *changes: Change) -> int:
    """Make changes, in order; how many rows the last one touched."""
    touched = 0
    for table, together in groupby(changes, _written_together):
        if table is None:
            for change in together:
                touched = _apply(connection, change)
        else:
            rows = [table.encode(change.value) for change in together if isinstance(change, Put)]
            connection.executemany(_put_statement(table), rows)
            touched = 1
    return touched


def _written_together(change: Change) -> Table[Any] | None:
    """The table, for changes that one statement can write as many of as come in a row."""
    return change.table if isinstance(change, Put) and not change.quotas else None


@cache
def _put_statement(table: Table[Any]) -> str:
    keys = ", ".join(table.columns[: table.keys])
    rest = (*table.columns[table.keys :], "document", "checksum")
    return (
        f"INSERT INTO {table.name} ({table.all_columns}) VALUES ({table.marks}) "  # noqa: S608
        f"ON CONFLICT ({keys}) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in rest)}"
    )


def _apply(connection: sqlite3.Connection, change: Change) -> int:
    """How many rows it touched."""
    if isinstance(change, Remove):
        clause, values = condition(change.table, change.where)
        return connection.execute(f"DELETE FROM {change.table.name} WHERE {clause}", values).rowcount  # noqa: S608
    table, value = change.table, change.value
    if isinstance(change, Expect):
        return _expect(connection, table, value)
    if isinstance(change, Insert | Put):
        known = isinstance(change, Put) and _known(connection, table, value)
        if known:
            replace(connection, table, value)
        else:
            insert(connection, table, value)
            _check_quotas(connection, table, change.quotas)
    else:
        replace(connection, table, value)
    return 1


def _known(connection: sqlite3.Connection, table: Table[Any], value: msgspec.Struct) -> bool:
    query = f"SELECT 1 FROM {table.name} WHERE {_by_key(table)}"  # noqa: S608
    return connection.execute(query, table.values(value)[: table.keys]).fetchone() is not None


@cache
def _by_key(table: Table[Any]) -> str:
    """What follows WHERE to find one row; its marks stand for the key."""
    return " AND ".join(f"{column} = ?" for column in table.columns[: table.keys])


def _expect(connection: sqlite3.Connection, table: Table[Any], value: msgspec.Struct) -> int:
    row = table.encode(value)
    query = f"SELECT {table.all_columns} FROM {table.name} WHERE {_by_key(table)}"  # noqa: S608
    found = connection.execute(query, row[: table.keys]).fetchone()
    if found is None or tuple(found) != row:
        raise Missing(f"{table.name}: row {row[: table.keys]} is not what it was")
    return 0


def _check_quotas(connection: sqlite3.Connection, table: Table[Any], quotas: Sequence[Quota]) -> None:
    for quota in quotas:
        if count(connection, table, quota.where) > quota.most:
            raise QuotaExceeded(f"{table.name}: {quota.most} rows with {quota.where} already")


def count(connection: sqlite3.Connection, table: Table[Any], where: Mapping[str, Value]) -> int:
    """How many rows have these values."""
    clause, values = condition(table, where)
    query = f"SELECT count(*) FROM {table.name} WHERE {clause}"  # noqa: S608
    return int(connection.execute(query, values).fetchone()[0])


def condition(table: Table[Any], where: Mapping[str, Value]) -> tuple[str, list[Value]]:
    """What follows WHERE, and what its marks stand for."""
    clause = " AND ".join(f"{column(table, name)} = ?" for name in where)
    return clause or "1 = 1", list(where.values())


def column(table: Table[Any], name: str) -> str:
    """A name that may go into SQL."""
    assert name in table.columns, f"{table.name} has no column {name}"
    return name


def replace(connection: sqlite3.Connection, table: Table[T], value: T) -> None:
    """A new state of a row. Raises Missing."""
    row = table.encode(value)
    columns = (*table.columns, "document", "checksum")
    assigned = ", ".join(f"{c} = ?" for c in columns[table.keys :])
    statement = f"UPDATE {table.name} SET {assigned} WHERE {_by_key(table)}"  # noqa: S608
    changed = connection.execute(statement, (*row[table.keys :], *row[: table.keys]))
    if changed.rowcount != 1:
        raise Missing(f"{table.name}: there is no row {row[: table.keys]} to change")


def insert(connection: sqlite3.Connection, table: Table[T], value: T) -> None:
    """A new row."""
    statement = f"INSERT INTO {table.name} ({table.all_columns}) VALUES ({table.marks})"  # noqa: S608
    connection.execute(statement, table.encode(value))


def select(
    connection: sqlite3.Connection, table: Table[T], tail: str, parameters: Sequence[Any]
) -> tuple[list[T], list[str]]:
    """The sound rows, and a sentence for each damaged one; `tail` is what follows the table's name."""
    found: list[T] = []
    damage: list[str] = []
    for row in each(connection, table, tail, parameters):
        if isinstance(row, Damaged):
            damage.append(str(row))
        else:
            found.append(row)
    return found, damage


def each(
    connection: sqlite3.Connection, table: Table[T], tail: str = "", parameters: Sequence[Any] = ()
) -> Iterator[T | Damaged]:
    """The rows one at a time, or what is wrong with them."""
    query = f"SELECT {table.all_columns} FROM {table.name} {tail}"  # noqa: S608
    for row in connection.execute(query, parameters):
        try:
            yield table.decode(row)
        except Damaged as error:
            yield error
