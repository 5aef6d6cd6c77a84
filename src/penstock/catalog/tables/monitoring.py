"""Tables of metrics, events and event subscriptions (5.6, chapter 6)."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table

TABLES: tuple[Table[Any], ...] = ()
