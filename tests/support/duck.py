"""DuckDB reading Iceberg tables: an engine that is not the one that wrote them. Its extensions come from Python packages, so nothing is
fetched."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import duckdb

_EXTENSIONS = ("avro", "httpfs", "iceberg")
"""In this order: the last needs the others."""


def query(metadata: str, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a statement about `t`, the table with that metadata file."""
    with duckdb.connect() as connection:
        for name in _EXTENSIONS:
            (folder,) = importlib.import_module(f"duckdb_extension_{name}").__path__
            (file,) = Path(folder).rglob("*.duckdb_extension")
            connection.execute(f"FORCE INSTALL '{file}'")
            connection.execute(f"LOAD {name}")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE VIEW t AS SELECT * FROM iceberg_scan('{metadata}')")
        rows: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
        return rows
