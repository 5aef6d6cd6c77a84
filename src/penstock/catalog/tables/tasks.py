"""Tables of dump tasks (5.5): the tasks, how far each has got in each partition, the round each is at, and who runs it."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table
from penstock.model.dumps import Lease, Plan
from penstock.model.tasks import Task, TaskPosition

TASKS = Table("tasks", Task, ("task_id", "stream_id", "name"), lambda t: (t.task_id, t.stream_id, t.name))
POSITIONS = Table(
    "task_positions",
    TaskPosition,
    ("task_id", "partition_number"),
    lambda p: (p.task_id, p.partition),
    keys=2,
)
PLANS = Table("task_plans", Plan, ("task_id",), lambda p: (p.task_id,))
LEASES = Table("task_leases", Lease, ("task_id",), lambda one: (one.task_id,))

TABLES: tuple[Table[Any], ...] = (TASKS, POSITIONS, PLANS, LEASES)
