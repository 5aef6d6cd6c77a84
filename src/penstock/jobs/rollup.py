"""Monitoring's periodic work: what has been counted reaches the catalog, what is too old leaves it. Owns when; the points are
`service.points`'s, the events `service.events`'s."""

from __future__ import annotations

import structlog

from penstock.catalog.base import CatalogError
from penstock.jobs.periodic import Periodic
from penstock.model.metrics import MINUTE_MS
from penstock.service.context import Context

EVERY_SECONDS = 1.0
"""What a crash may lose of the counters while few streams are busy."""
BUSY_SECONDS = 5.0
"""And while more than FEW_ROWS change at a time: then writing them costs something."""
FEW_ROWS = 64
_HOUR_MINUTES = 60
_DAY_MS = 86_400_000

_log = structlog.get_logger("penstock.jobs")


class Rollup(Periodic):
    """Flushes points and events; once a minute looks at refusals, once an hour at ages."""

    def __init__(self, context: Context) -> None:
        super().__init__("rollup", self._work_off, EVERY_SECONDS)
        self._context = context
        self._flushed = 0.0
        self._minute = context.clock.now_ms() // MINUTE_MS
        self._cleaned_hour = 0

    async def _work_off(self) -> None:
        """What is due now."""
        context = self._context
        try:
            await self._points()
        finally:
            await context.events.flush()
        now = context.clock.now_ms()
        if now // MINUTE_MS // _HOUR_MINUTES != self._cleaned_hour:
            self._cleaned_hour = now // MINUTE_MS // _HOUR_MINUTES
            await context.events.drop_before(now - context.limits.event_days * _DAY_MS)
            if context.points is not None:
                await context.points.drop_before(now, context.limits.metric_days)

    async def _points(self) -> None:
        points, clock = self._context.points, self._context.clock
        if points is None:
            return
        points.collect()
        if (minute := clock.now_ms() // MINUTE_MS) != self._minute:
            self._minute = minute
            points.watch_traffic()
        if points.waiting <= FEW_ROWS or clock.monotonic() - self._flushed >= BUSY_SECONDS:
            self._flushed = clock.monotonic()
            await points.flush()

    async def finish(self) -> None:
        """Write everything, before the catalog closes."""
        try:
            if self._context.points is not None:
                await self._context.points.flush()
            await self._context.events.flush()
        except CatalogError:
            _log.exception("what was counted last is lost")
