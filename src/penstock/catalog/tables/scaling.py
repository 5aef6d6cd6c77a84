"""Tables of the scaling log (5.1.5)."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table

TABLES: tuple[Table[Any], ...] = ()
