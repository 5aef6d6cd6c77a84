"""Tables of dump tasks (5.5): the tasks, and how far each has got in each partition."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table
from penstock.model.tasks import Task, TaskPosition

TASKS = Table("tasks", Task, ("task_id", "stream_id", "name"), lambda t: (t.task_id, t.stream_id, t.name))
POSITIONS = Table(
    "task_positions",
    TaskPosition,
    ("task_id", "partition_number"),
    lambda p: (p.task_id, p.partition),
    keys=2,
)

TABLES: tuple[Table[Any], ...] = (TASKS, POSITIONS)
