"""Events (chapter 6): what happened to streams, tasks and quotas of a project. Owns noticing, keeping and listing them; who is
told is `service.subscriptions`'s, how is `jobs.webhooks`'s.

`emit` only remembers; `flush` writes what was remembered, with what is to be delivered of it, in one transaction. Bursts are cut
at the source: after some kinds, others of the same stream are left out for a while.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Callable, Iterable

import msgspec
import structlog

from penstock.catalog.base import Catalog, Change, Insert, Remove
from penstock.catalog.tables.monitoring import DELIVERIES, EVENTS
from penstock.clock import Clock, SystemClock
from penstock.limits import Limits
from penstock.model.events import KINDS, Delivery, Event
from penstock.model.streams import Stream
from penstock.service.directory import Directory

QUEUE = 10_000
"""Events remembered and not written yet, at most; more are dropped and counted in the log."""
WRITTEN_AT_ONCE = 200
_TRIMMED_AT_ONCE = 500
_QUIET_KEYS = 10_000
_DETAIL = 1000

_log = structlog.get_logger("penstock.events")


class ShownEvent(msgspec.Struct):
    """An event as clients and webhooks see it. `type_id`, `type_name`, `occur_time` (milliseconds), `source_name` and
    `source_id` are the cloud service's names; severity 1 is a warning; category 0 is a user's quota, 1 a stream, 2 a task."""

    id: str
    kind: str
    type_id: str
    type_name: str
    severity: int
    category: int
    description: str
    occur_time: int
    source_name: str
    source_id: str


class EventsReply(msgspec.Struct):
    """A page of events, newest first. `count` is how many there are in all."""

    count: int
    events: list[ShownEvent]
    has_more: bool


class EventFilter(msgspec.Struct, frozen=True):
    """Which events; empty is any. Times are milliseconds, both included."""

    kinds: frozenset[str] = frozenset()
    stream_name: str = ""
    start_ms: int = 0
    end_ms: int | None = None

    def passes(self, event: Event) -> bool:
        """Whether the event is among them."""
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.stream_name or self.stream_name in (event.stream_name, event.stream_id))
            and event.occurred_ms >= self.start_ms
            and (self.end_ms is None or event.occurred_ms <= self.end_ms)
        )


class Events:
    """Takes events from every part of the server. Without a catalog, as in a worker, it forgets them."""

    def __init__(
        self, catalog: Catalog | None = None, limits: Limits | None = None, clock: Clock | None = None
    ) -> None:
        self._subscribers: Callable[[Event], Iterable[str]] = lambda event: ()
        self.delivered_to: Callable[[str, Event], None] = lambda subscription_id, event: None
        """Told of each delivery that has been written down."""
        self._directory: Directory | None = None
        self._catalog = catalog
        self._limits = limits or Limits()
        self._clock = clock or SystemClock()
        self._waiting: deque[Event] = deque()
        self._writing = asyncio.Lock()
        self._dropped = 0
        self._quiet: dict[tuple[str, str, str], float] = {}
        self._number = itertools.count()

    def listen(self, directory: Directory, subscribers: Callable[[Event], Iterable[str]]) -> None:
        """From now on streams made and deleted are events too. `subscribers` gives the ids of the subscriptions an event is for."""
        self._directory = directory
        self._subscribers = subscribers
        directory.on_change(self._stream_changed)

    def _stream_changed(self, before: Stream | None, after: Stream | None) -> None:
        if before is None and after is not None:
            self._add(
                "stream_created",
                after.project_id,
                after.name,
                after.stream_id,
                f"{len(after.partitions)} partitions",
            )
        elif before is not None and after is None:
            self._add("stream_deleted", before.project_id, before.name, before.stream_id, "")

    def emit(self, kind: str, project_id: str, stream_name: str, detail: str) -> None:
        """Something happened. `kind` is a name of `model.events.KINDS`; `stream_name` is empty when it is about none. Never
        waits and never raises."""
        known = KINDS.get(kind)
        stream = self._directory.get(project_id, stream_name) if self._directory and stream_name else None
        if self._catalog is None or known is None:
            return
        if known.quiet_seconds and self._is_quiet((kind, project_id, stream_name), known.quiet_seconds):
            return
        self._add(kind, project_id, stream_name, "" if stream is None else stream.stream_id, detail)

    def _add(self, kind: str, project_id: str, stream_name: str, stream_id: str, detail: str) -> None:
        if self._catalog is None:
            return
        if len(self._waiting) >= QUEUE:
            self._dropped += 1
            return
        now = self._clock.now_ms()
        number = next(self._number) & 0xFFFF
        self._waiting.append(
            Event(
                event_id=f"{now:012x}{number:04x}{secrets.token_hex(4)}",
                project_id=project_id,
                kind=kind,
                occurred_ms=now,
                stream_name=stream_name,
                stream_id=stream_id,
                detail=detail[:_DETAIL],
            )
        )

    def _is_quiet(self, key: tuple[str, str, str], seconds: int) -> bool:
        now = self._clock.monotonic()
        if self._quiet.get(key, now) > now:
            return True
        if len(self._quiet) >= _QUIET_KEYS:
            self._quiet = {known: until for known, until in self._quiet.items() if until > now}
            if len(self._quiet) >= _QUIET_KEYS:
                self._quiet.clear()
        self._quiet[key] = now + seconds
        return False

    async def flush(self) -> int:
        """Write what was emitted; how many events that were. What another call is writing is written when this returns."""
        async with self._writing:
            return await self._flush()

    async def _flush(self) -> int:
        catalog, written = self._catalog, 0
        while catalog is not None and self._waiting:
            events = [self._waiting.popleft() for _ in range(min(len(self._waiting), WRITTEN_AT_ONCE))]
            changes: list[Change] = [Insert(EVENTS, event) for event in events]
            deliveries = [(one, event) for event in events for one in self._subscribers(event)]
            changes += [Insert(DELIVERIES, Delivery(one, event.event_id)) for one, event in deliveries]
            try:
                await catalog.apply(*changes)
            except BaseException:
                self._waiting.extendleft(reversed(events))
                raise
            for one, event in deliveries:
                self.delivered_to(one, event)
            written += len(events)
            for project_id in {event.project_id for event in events}:
                await self._trim(catalog, project_id)
        if self._dropped:
            _log.error("events dropped, too many at once", events=self._dropped)
            self._dropped = 0
        return written

    async def _trim(self, catalog: Catalog, project_id: str) -> None:
        """Keep a project's newest."""
        while (
            over := await catalog.count(EVENTS, project_id=project_id) - self._limits.events_per_project
        ) > 0:
            oldest = await catalog.select(
                EVENTS, {"project_id": project_id}, order="event_id", limit=min(over, _TRIMMED_AT_ONCE)
            )
            if not oldest:
                break
            await catalog.apply(*(Remove(EVENTS, {"event_id": event.event_id}) for event in oldest))

    async def drop_before(self, before_ms: int) -> int:
        """Remove what is older; how many events went."""
        catalog, removed = self._catalog, 0
        while catalog is not None:
            oldest = await catalog.select(EVENTS, order="event_id", limit=_TRIMMED_AT_ONCE)
            old = [event for event in oldest if event.occurred_ms < before_ms]
            if not old:
                break
            await catalog.apply(*(Remove(EVENTS, {"event_id": event.event_id}) for event in old))
            removed += len(old)
        return removed

    async def page(self, project_id: str, wanted: EventFilter, offset: int, limit: int) -> EventsReply:
        """A project's events, newest first, also those emitted just now."""
        if self._catalog is None:
            return EventsReply(0, [], has_more=False)
        await self.flush()
        if wanted == EventFilter():
            count = await self._catalog.count(EVENTS, project_id=project_id)
            newest = await self._newest(self._catalog, project_id, offset + limit)
            page = newest[offset:]
            return EventsReply(count, list(map(shown, page)), offset + len(page) < count)
        kept = await self._newest(self._catalog, project_id, self._limits.events_per_project)
        found = [event for event in kept if wanted.passes(event)]
        page = found[offset : offset + limit]
        return EventsReply(len(found), list(map(shown, page)), offset + len(page) < len(found))

    async def _newest(self, catalog: Catalog, project_id: str, limit: int) -> list[Event]:
        limit = min(limit, self._limits.events_per_project)
        where: dict[str, str | int] = {"project_id": project_id}
        return await catalog.select(EVENTS, where, order="event_id", descending=True, limit=limit)

    async def find(self, event_id: str) -> Event | None:
        """The event, if it is still kept."""
        return None if self._catalog is None else await self._catalog.find(EVENTS, event_id=event_id)


def shown(event: Event) -> ShownEvent:
    """An event as clients see it."""
    kind = KINDS[event.kind]
    return ShownEvent(
        id=event.event_id,
        kind=kind.name,
        type_id=kind.type_id,
        type_name=kind.type_name,
        severity=int(kind.severity),
        category=int(kind.category),
        description=event.detail,
        occur_time=event.occurred_ms,
        source_name=event.stream_name,
        source_id=event.stream_id,
    )
