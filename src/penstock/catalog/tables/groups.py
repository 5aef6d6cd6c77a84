"""Tables of consumer groups."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table
from penstock.model.groups import Saved

GROUPS = Table("consumer_groups", Saved, ("app_id",), lambda group: (group.app_id,))

TABLES: tuple[Table[Any], ...] = (GROUPS,)
