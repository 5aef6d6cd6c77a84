"""Numbered SQL migrations and how they are found. Owns the files' form (`0001_name.sql`); knows no database.

A published migration is never edited: what changes a table is a new file.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_FILE = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")


class Migration(NamedTuple):
    """One step: takes a catalog from `version - 1` to `version`."""

    version: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations in order; their versions are contiguous from 1."""
    found = [
        Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8"))
        for entry in files(__package__).iterdir()
        if (match := _FILE.fullmatch(entry.name))
    ]
    found.sort()
    assert [m.version for m in found] == list(range(1, len(found) + 1)), (
        "migrations are numbered from 1 without gaps"
    )
    return tuple(found)
