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
FEW_ROWS, ROWS_A_SECOND, BUSY_SECONDS = 64, 200, 30.0
"""And while more rows than FEW_ROWS change at a time: as long as it takes for no more than so many a second, at most BUSY_SECONDS. With
thousands of busy partitions taking the counters every second is a tenth of all that a put costs."""
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
        if (minute := clock.now_ms() // MINUTE_MS) != self._minute:
            self._minute = minute
            points.collect()
            points.watch_traffic()
        rows = points.waiting
        pause = 0.0 if rows <= FEW_ROWS else min(rows / ROWS_A_SECOND, BUSY_SECONDS)
        if clock.monotonic() - self._flushed >= pause:
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
