"""Tables of apps and checkpoints (5.2, 5.3)."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table
from penstock.model.apps import App, Checkpoint

APPS = Table(
    "apps",
    App,
    ("app_id", "project_id", "name"),
    lambda a: (a.app_id, a.project_id, a.name),
)
CHECKPOINTS = Table(
    "checkpoints",
    Checkpoint,
    ("app_id", "stream_id", "partition_number", "checkpoint_type"),
    lambda c: (c.app_id, c.stream_id, c.partition_number, str(c.checkpoint_type)),
    keys=4,
)

TABLES: tuple[Table[Any], ...] = (APPS, CHECKPOINTS)
