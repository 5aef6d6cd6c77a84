"""Automatic scaling: looks at what went through streams in the last minute and scales those that ask for it. Owns when; the rules
are `model.scaling`'s, the change is `service.scaling`'s.
"""

from __future__ import annotations

import asyncio

import structlog

from penstock.errors import ApiError
from penstock.jobs.periodic import Periodic
from penstock.limits import Limits, PartitionRate
from penstock.model.scaling import HOUR_MS, MINUTE_MS, SETTLE_MS, Decision, Load, decide, load
from penstock.model.streams import Stream, StreamStatus, StreamType
from penstock.service.context import Context
from penstock.service.lifecycle import to_the_end
from penstock.service.scaling import room, scale

INTERVAL_SECONDS = 10.0
_COUNTED_MS = 3000
"""So long after a minute all processes have said what they counted in it."""

_log = structlog.get_logger("penstock.scaling")


class AutoScale(Periodic):
    """Runs `scale_once` every `interval` seconds."""

    def __init__(self, context: Context, interval: float = INTERVAL_SECONDS) -> None:
        self._context = context
        self._since_ms = context.clock.now_ms()
        self._told: dict[str, tuple[str, int]] = {}
        """What was said of a stream that could not be scaled, and when."""
        super().__init__("automatic scaling", self.scale_once, interval)

    async def scale_once(self) -> int:
        """One look at every stream; how many were scaled. A stream that fails is logged and its owner told; the others go
        on."""
        context, scaled = self._context, 0
        now = context.clock.now_ms()
        # Less than a whole minute was counted: that looks idle, and need not have been.
        if now - self._since_ms < SETTLE_MS or now % MINUTE_MS < _COUNTED_MS:
            return 0
        for stream in context.directory.all():
            if (
                stream.auto_scale_enabled
                and stream.status is StreamStatus.RUNNING
                and now - stream.created_ms >= SETTLE_MS
            ):
                try:
                    scaled += await self._look(stream)
                except ApiError as error:
                    self._failed(stream, error.message, quota=error.code == "DIS.4308")
                except Exception as error:
                    _log.exception("automatic scaling failed", stream=stream.name, stream_id=stream.stream_id)
                    self._failed(stream, type(error).__name__, quota=False)
        for stream_id in [one for one in self._told if context.directory.by_id(one) is None]:
            del self._told[stream_id]
        return scaled

    async def _look(self, stream: Stream) -> bool:
        context = self._context
        active = len(stream.active)
        seen = seen_load(context, stream, active)
        if seen is None:
            return False
        decision = decide(
            active,
            seen,
            (stream.auto_scale_min, stream.auto_scale_max),
            list(await context.scalings.history(context, stream)),
            room=room(context, stream),
            limits=context.limits,
            now_ms=context.clock.now_ms(),
        )
        if decision.target is None:
            if decision.blocked:
                self._failed(stream, decision.blocked, quota=decision.quota)
            return False
        work = to_the_end(scale(context, stream, decision.target, automatic=True))
        if await asyncio.shield(work) is None:
            return False
        self._told.pop(stream.stream_id, None)
        self._succeeded(stream, decision, seen, active)
        return True

    def _succeeded(self, stream: Stream, decision: Decision, seen: Load, active: int) -> None:
        assert decision.target is not None
        why = f"upload {seen.upload:.0%} and download {seen.download:.0%} of the bandwidth"
        if decision.quota:
            why += "; the quota leaves no more"
            self._context.events.emit("quota_insufficient", stream.project_id, stream.name, why)
        self._context.events.emit(
            "auto_scale_ok",
            stream.project_id,
            stream.name,
            f"from {active} to {decision.target} partitions: {why}",
        )

    def _failed(self, stream: Stream, reason: str, *, quota: bool) -> None:
        """Say it once an hour for the same reason, not at every look."""
        now = self._context.clock.now_ms()
        said, when = self._told.get(stream.stream_id, ("", 0))
        if said == reason and abs(now - when) < HOUR_MS:
            return
        self._told[stream.stream_id] = reason, now
        _log.warning(
            "stream not scaled automatically", stream=stream.name, stream_id=stream.stream_id, reason=reason
        )
        events = self._context.events
        events.emit("auto_scale_failed", stream.project_id, stream.name, reason)
        if quota:
            events.emit("quota_insufficient", stream.project_id, stream.name, reason)


def seen_load(context: Context, stream: Stream, active: int) -> Load | None:
    """What went through the stream in the last minute that is complete, as shares of its bandwidth."""
    counted = context.traffic.last_minute(stream.stream_id)
    return load(
        active,
        rate_of(stream, context.limits),
        bytes_in=counted.bytes_in,
        records_in=counted.records_in,
        bytes_out=counted.bytes_out,
        throttled=counted.puts_throttled,
    )


def rate_of(stream: Stream, limits: Limits) -> PartitionRate:
    """What one partition of the stream carries."""
    return limits.advanced if stream.stream_type is StreamType.ADVANCED else limits.common
