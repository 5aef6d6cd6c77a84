"""Tables of metrics, events and event subscriptions (5.6, chapter 6)."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table
from penstock.model.events import Delivery, Event, Subscription
from penstock.model.metrics import MetricBlock

METRIC_BLOCKS = Table(
    "metric_blocks",
    MetricBlock,
    ("stream_id", "partition_number", "block"),
    lambda b: (b.stream_id, b.number, b.block),
    keys=3,
)
EVENTS = Table("events", Event, ("event_id", "project_id"), lambda e: (e.event_id, e.project_id))
SUBSCRIPTIONS = Table(
    "event_subscriptions",
    Subscription,
    ("subscription_id", "project_id", "name"),
    lambda s: (s.subscription_id, s.project_id, s.name),
)
DELIVERIES = Table(
    "event_deliveries",
    Delivery,
    ("subscription_id", "event_id"),
    lambda d: (d.subscription_id, d.event_id),
    keys=2,
)

TABLES: tuple[Table[Any], ...] = (METRIC_BLOCKS, EVENTS, SUBSCRIPTIONS, DELIVERIES)
