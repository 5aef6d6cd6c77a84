"""What can happen to a stream that its owner wants to hear of, and who wants to. Pure: owns the kinds and the shapes, knows no
storage and no HTTP.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import msgspec


class Severity(IntEnum):
    """Levels of an event."""

    NORMAL = 0
    WARNING = 1


class Category(IntEnum):
    """What an event is about: an account's quota, a stream, a dump task."""

    USER = 0
    STREAM = 1
    TASK = 2


class Kind(NamedTuple):
    """`type_id` and `type_name` are how the cloud service calls it; those it does not know count from 100 on. After one,
    others of the same stream are left out for `quiet_seconds`."""

    name: str
    type_id: str
    type_name: str
    severity: Severity
    category: Category
    quiet_seconds: int = 0


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("dump_restored", "dis_event.000", "Dump task restored", Severity.NORMAL, Category.TASK),
        Kind("dump_abnormal", "dis_event.001", "Dump task abnormal", Severity.WARNING, Category.TASK, 60),
        Kind(
            "quota_insufficient", "dis_event.002", "Quota insufficient", Severity.WARNING, Category.USER, 60
        ),
        Kind("traffic_limited", "dis_event.003", "Traffic limited", Severity.WARNING, Category.STREAM, 60),
        Kind("auto_scale_ok", "dis_event.004", "Auto scaling succeeded", Severity.NORMAL, Category.STREAM),
        Kind(
            "auto_scale_failed", "dis_event.005", "Auto scaling failed", Severity.WARNING, Category.STREAM, 60
        ),
        Kind(
            "traffic_abnormal", "dis_event.006", "Stream traffic abnormal", Severity.WARNING, Category.STREAM
        ),
        Kind(
            "traffic_restored", "dis_event.007", "Stream traffic restored", Severity.NORMAL, Category.STREAM
        ),
        Kind(
            "manual_scale_failed",
            "dis_event.008",
            "Manual scaling failed",
            Severity.WARNING,
            Category.STREAM,
            60,
        ),
        Kind("stream_created", "dis_event.100", "Stream created", Severity.NORMAL, Category.STREAM),
        Kind("stream_deleted", "dis_event.101", "Stream deleted", Severity.NORMAL, Category.STREAM),
    )
}
"""Name -> kind."""

KIND_OF_TYPE: dict[str, str] = {kind.type_id: kind.name for kind in KINDS.values()}
"""`dis_event.000` -> name."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. Ids are unique, and in the order in which events were noticed."""

    event_id: str
    project_id: str
    kind: str
    occurred_ms: int
    stream_name: str
    stream_id: str
    detail: str


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of which events: those of `kinds` (all when empty) about `streams` (names; all when empty, then those of no
    stream too). They go to the webhook `url`, or into the stream `topic_name` of the same project when there is no url.
    `sealed_secret` is sealed with the id as associated data; empty without a secret."""

    subscription_id: str
    project_id: str
    name: str
    kinds: tuple[str, ...]
    streams: tuple[str, ...]
    url: str
    topic_name: str
    sealed_secret: bytes
    enabled: bool
    created_ms: int
    modified_ms: int

    def wants(self, event: Event) -> bool:
        """Whether the event is for it."""
        return (
            self.enabled
            and event.project_id == self.project_id
            and (not self.kinds or event.kind in self.kinds)
            and (not self.streams or event.stream_name in self.streams)
        )


class Delivery(msgspec.Struct, frozen=True):
    """An event that a subscriber has not taken yet."""

    subscription_id: str
    event_id: str
