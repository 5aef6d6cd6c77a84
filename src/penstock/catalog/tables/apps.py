"""Tables of apps and checkpoints (5.2, 5.3)."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table

TABLES: tuple[Table[Any], ...] = ()
