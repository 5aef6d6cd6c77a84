"""The scaling log: every change of a stream's partition count, durable. Owns what is kept in memory of it; knows no HTTP.

The newest changes of a stream are in memory from the first time they are asked for: describing a stream and the rules of
frequency need them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.catalog.base import Change, Insert, Remove
from penstock.catalog.tables.scaling import SCALINGS
from penstock.model.scaling import Scaling, kept_for_rules
from penstock.model.streams import Stream

if TYPE_CHECKING:
    from penstock.service.context import Context


class ScalingLog:
    """All streams' changes. Who changes a stream holds its lock from `next` until `add`."""

    def __init__(self) -> None:
        self._newest: dict[str, deque[Scaling]] = {}
        self._subscribed = False

    async def history(self, context: Context, stream: Stream) -> Sequence[Scaling]:
        """The newest changes, oldest first: as many as the rules of frequency need, and those that are shown."""
        known = self._newest.get(stream.stream_id)
        if known is not None:
            return known
        limits = context.limits
        most = max(limits.scalings_shown, kept_for_rules(limits))
        rows = await context.catalog.select(
            SCALINGS, {"stream_id": stream.stream_id}, order="number", limit=most, descending=True
        )
        found = deque(reversed(rows), maxlen=most)
        if context.directory.by_id(stream.stream_id) is None:
            return found  # deleted meanwhile: nobody would forget it
        if not self._subscribed:
            self._subscribed = True
            context.directory.on_change(self._forget)
        # Another call may have been faster, and a change be in what it read.
        return self._newest.setdefault(stream.stream_id, found)

    async def newest(self, context: Context, stream: Stream) -> list[Scaling]:
        """What a description of the stream shows, oldest first."""
        return list(await self.history(context, stream))[-context.limits.scalings_shown :]

    async def next(
        self, context: Context, stream: Stream, target: int, *, automatic: bool
    ) -> tuple[Scaling, list[Change]]:
        """The entry of a change that is about to be made, and how it is written down; the oldest ones beyond what is kept
        go at the same time."""
        history = await self.history(context, stream)
        entry = Scaling(
            stream_id=stream.stream_id,
            number=history[-1].number + 1 if history else 1,
            occurred_ms=context.clock.now_ms(),
            source=len(stream.active),
            target=target,
            automatic=automatic,
        )
        changes: list[Change] = [Insert(SCALINGS, entry)]
        over = entry.number - context.limits.scalings_kept
        if over > 0:
            changes.append(Remove(SCALINGS, {"stream_id": stream.stream_id, "number": over}))
        return entry, changes

    def add(self, entry: Scaling) -> None:
        """Take in a change that is durable now."""
        known = self._newest.get(entry.stream_id)
        if known is not None:
            known.append(entry)

    async def page(
        self, context: Context, stream: Stream, *, before: int, limit: int
    ) -> tuple[list[Scaling], int, bool]:
        """Entries with numbers less than `before` (0: all), newest first; how many are kept; whether there are more."""
        where: dict[str, str | int] = {"stream_id": stream.stream_id}
        found = await context.catalog.select(
            SCALINGS, where, order="number", after=before or None, limit=limit + 1, descending=True
        )
        total = await context.catalog.count(SCALINGS, stream_id=stream.stream_id)
        return found[:limit], total, len(found) > limit

    def _forget(self, before: Stream | None, after: Stream | None) -> None:
        if before is not None and after is None:
            self._newest.pop(before.stream_id, None)
