"""Writing checkpoints: many calls, few transactions. Owns the order and the grouping; knows no HTTP and no rules.

Calls that wait for the disk are written together, and a group that follows another waits a little for more: every group costs a
sync of the disk that records are waiting for too. A commit that comes alone waits for nothing.

Of several for one partition only the last is written: the others were overwritten before anybody could have read them, and every
call is answered when what overwrote it is on the disk.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from penstock.catalog.base import CatalogError, Missing, Put
from penstock.catalog.tables.apps import CHECKPOINTS
from penstock.model.apps import Checkpoint

if TYPE_CHECKING:
    from penstock.service.context import Context

GROUP_MAX = 512
"""Checkpoints in one transaction at most: whoever else writes to the catalog waits that long."""
INTERVAL_SECONDS = 0.02
"""From the beginning of one group to that of the next, at least, unless as many wait as a group may have."""

_Key = tuple[str, str, int]


class _Waiting:
    """The newest checkpoint of one partition that is not written yet, and who waits for it."""

    __slots__ = ("calls", "checkpoint")

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.calls: list[asyncio.Future[None]] = []

    def answer(self, error: BaseException | None = None) -> None:
        for done in self.calls:
            if done.done():
                continue  # its caller went away
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)


class Commits:
    """The checkpoints that are on their way to the catalog."""

    def __init__(self) -> None:
        self._waiting: dict[_Key, _Waiting] = {}
        self._writing: asyncio.Task[None] | None = None
        self._not_before = 0.0
        """When the next group may begin, in the loop's time."""

    def __repr__(self) -> str:
        return f"<Commits, {len(self._waiting)} waiting>"

    async def commit(self, context: Context, checkpoint: Checkpoint) -> None:
        """Returns when the checkpoint, or a later one of the same partition, is on the disk. A caller that goes away does not
        take it back. Raises Missing when app or stream have gone, CatalogError."""
        key = (checkpoint.app_id, checkpoint.stream_id, checkpoint.partition_number)
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = _Waiting(checkpoint)
        waiting.checkpoint = checkpoint
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.calls.append(done)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(context), name="checkpoints")
        await done

    async def _write(self, context: Context) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            # Without a pause too, what arrives in the same turn of the loop goes into the same group.
            pause = 0.0 if len(self._waiting) >= GROUP_MAX else self._not_before - loop.time()
            await asyncio.sleep(max(0.0, pause))
            self._not_before = loop.time() + INTERVAL_SECONDS
            group = [self._waiting.pop(key) for key in list(islice(self._waiting, GROUP_MAX))]
            try:
                await self._write_group(context, group)
            except Exception as error:
                for waiting in group:
                    waiting.answer(error)
        self._writing = None

    async def _write_group(self, context: Context, group: list[_Waiting]) -> None:
        try:
            await context.catalog.apply(*(Put(CHECKPOINTS, waiting.checkpoint) for waiting in group))
        except CatalogError:
            # One whose app or stream has just gone fails all of them. Memory knows which: who removed it was answered before us.
            living = [waiting for waiting in group if _has_owners(context, waiting.checkpoint)]
            if len(living) == len(group):
                raise
            for waiting in group:
                if waiting not in living:
                    waiting.answer(Missing("the app or the stream of a checkpoint has gone"))
            if living:
                await self._write_group(context, living)
            return
        for waiting in group:
            context.apps.committed(waiting.checkpoint.app_id, waiting.checkpoint.stream_id)
            waiting.answer()


def _has_owners(context: Context, checkpoint: Checkpoint) -> bool:
    return (
        context.apps.by_id(checkpoint.app_id) is not None
        and context.directory.by_id(checkpoint.stream_id) is not None
    )
