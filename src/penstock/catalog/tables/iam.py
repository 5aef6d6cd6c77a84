"""Tables of groups, policies, agencies and revoked tokens."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table

TABLES: tuple[Table[Any], ...] = ()
