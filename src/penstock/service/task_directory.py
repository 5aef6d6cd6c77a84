"""Dump tasks from memory, with how far each has got: what the API asks and what an engine that delivers works by. Owns the
cache, the order of catalog and memory, and the sealing of passwords; knows no HTTP, no rules and no destination.

For who delivers: `all` and `of` say which tasks there are; `on_change` calls at every change (made, paused, started, updated,
gone); `positions` says where to go on, `set_trouble` how it goes; `password` opens what came with the task. Rounds and leases
are `service.task_runs`'. A task whose stream goes away goes with it.
"""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Self

import msgspec
import structlog

from penstock.catalog.base import Catalog, Change, Insert, Missing, Put, Quota, Remove, Replace
from penstock.catalog.tables.tasks import POSITIONS, TASKS
from penstock.iam.sealing import Sealer
from penstock.model.streams import Stream
from penstock.model.tasks import AnyDescriptor, Task, TaskPosition, TaskState

OnTask = Callable[[Task | None, Task | None], None]
"""Called with the task before (None: it is new) and after (None: it is gone)."""

_log = structlog.get_logger("penstock.tasks")


class Tasks:
    """All tasks of all streams."""

    def __init__(self, catalog: Catalog | None = None, sealer: Sealer | None = None) -> None:
        self._catalog_or_none = catalog
        self._sealer_or_none = sealer
        self._by_id: dict[str, Task] = {}
        self._by_stream: dict[str, dict[str, Task]] = {}
        """Stream id -> name -> task."""
        self._positions: dict[str, dict[int, TaskPosition]] = {}
        self._subscribers: list[OnTask] = []
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Tasks, {len(self._by_id)} of {len(self._by_stream)} streams>"

    def __len__(self) -> int:
        return len(self._by_id)

    @classmethod
    async def open(cls, catalog: Catalog, sealer: Sealer) -> Self:
        """Everything the catalog has."""
        tasks = cls(catalog, sealer)
        for task in await catalog.select(TASKS):
            tasks._put(task)
        for position in await catalog.select(POSITIONS):
            if position.task_id in tasks._by_id:
                tasks._positions.setdefault(position.task_id, {})[position.partition] = position
        return tasks

    # Asking

    def all(self) -> list[Task]:
        """Every task."""
        return list(self._by_id.values())

    def by_id(self, task_id: str) -> Task | None:
        """The task with that id, of any stream: the caller checks whose it is."""
        return self._by_id.get(task_id)

    def find(self, stream_id: str, name: str) -> Task | None:
        """The stream's task of that name."""
        return self._by_stream.get(stream_id, {}).get(name)

    def of(self, stream_id: str) -> list[Task]:
        """The stream's tasks in order of their names (by code point)."""
        tasks = self._by_stream.get(stream_id, {})
        return [tasks[name] for name in sorted(tasks)]

    def page(self, stream_id: str, after: str, limit: int) -> list[Task]:
        """Up to `limit` of the stream's tasks with names greater than `after`."""
        tasks = self.of(stream_id)
        start = bisect_right(tasks, after, key=lambda task: task.name) if after else 0
        return tasks[start : start + limit]

    def count(self, stream_id: str) -> int:
        """How many tasks the stream has."""
        return len(self._by_stream.get(stream_id, ()))

    def positions(self, task_id: str) -> dict[int, TaskPosition]:
        """Partition -> how far the task has got in it. A partition without one begins at its first record."""
        return dict(self._positions.get(task_id, {}))

    def last_transfer_ms(self, task_id: str) -> int:
        """When the task last delivered anything; 0 for never."""
        return max((p.last_transfer_ms for p in self._positions.get(task_id, {}).values()), default=0)

    # Changing: the catalog first, memory second

    async def add(self, task: Task, positions: Iterable[TaskPosition], most: int) -> None:
        """Keep a new task and where it starts. Raises Exists (the name), QuotaExceeded (`most` for each stream), CatalogError (the
        stream is gone)."""
        starts = tuple(positions)
        quota = Quota({"stream_id": task.stream_id}, most)
        async with self._lock:
            await self._catalog.apply(
                Insert(TASKS, task, (quota,)), *(Insert(POSITIONS, start) for start in starts)
            )
            self._positions[task.task_id] = {start.partition: start for start in starts}
            self._put(task)

    async def update(self, task_id: str, descriptor: AnyDescriptor, sealed_password: bytes) -> None:
        """Other settings for a task. Raises Missing when it is gone."""
        async with self._lock:
            task = self._known(task_id)
            await self._replace(
                msgspec.structs.replace(task, descriptor=descriptor, sealed_password=sealed_password)
            )

    async def set_paused(self, task_ids: Iterable[str], paused: bool) -> None:
        """Stop or start tasks, all or none; those that are in that state already stay. Raises Missing when one is gone."""
        async with self._lock:
            changed = [
                msgspec.structs.replace(task, paused=paused, trouble=None, reason="")
                for task in map(self._known, dict.fromkeys(task_ids))
                if task.paused is not paused
            ]
            await self._replace(*changed)

    async def set_trouble(self, task_id: str, trouble: TaskState | None, reason: str = "") -> None:
        """Say how a task goes: ABNORMAL, ERROR, or None when all is well. Nothing happens when it is gone or already so."""
        async with self._lock:
            task = self._by_id.get(task_id)
            if task is not None and (task.trouble, task.reason) != (trouble, reason):
                await self._replace(msgspec.structs.replace(task, trouble=trouble, reason=reason))

    async def advance(self, *positions: TaskPosition, also: Iterable[Change] = ()) -> None:
        """Commit how far tasks have got, and with it what is `also` to change, all or none; one task's positions are one caller's.
        Raises CatalogError when a task is gone."""
        # Without the lock: commits of many tasks share a sync of the disk.
        await self._catalog.apply(*also, *(Put(POSITIONS, position) for position in positions))
        for position in positions:
            if position.task_id in self._by_id:
                self._positions.setdefault(position.task_id, {})[position.partition] = position

    async def remove(self, task: Task) -> bool:
        """Forget a task; whether it was there."""
        async with self._lock:
            if task.task_id not in self._by_id:
                return False
            await self._catalog.apply(Remove(TASKS, {"task_id": task.task_id}))
            self._drop(task.task_id)
            return True

    def stream_changed(self, before: Stream | None, after: Stream | None) -> None:
        """Streams' tasks go with them: the catalog's by its schema, ours here (Directory.on_change)."""
        if before is not None and after is None:
            for task in self.of(before.stream_id):
                self._drop(task.task_id)

    def on_change(self, callback: OnTask) -> None:
        """Call `callback` at every change of a task from now on. Positions are no change."""
        self._subscribers.append(callback)

    # Passwords

    def seal(self, task_id: str, password: str, key: str) -> bytes:
        """A password as the catalog may have it: sealed under the KMS key named in the task, whose secret is `key`, and that
        under the server's own."""
        purpose = _purpose(task_id)
        return self._sealer.seal(_kms(key).seal(password.encode(), purpose), purpose)

    def password(self, task: Task, key: str) -> str:
        """What `seal` was given. Raises SealingError when the key is another one."""
        purpose = _purpose(task.task_id)
        return _kms(key).unseal(self._sealer.unseal(task.sealed_password, purpose), purpose).decode()

    # Within

    async def _replace(self, *tasks: Task) -> None:
        if not tasks:
            return
        await self._catalog.apply(*(Replace(TASKS, task) for task in tasks))
        for task in tasks:
            if task.task_id in self._by_id:
                self._put(task)

    def _known(self, task_id: str) -> Task:
        task = self._by_id.get(task_id)
        if task is None:
            raise Missing(f"task {task_id}")
        return task

    def _put(self, task: Task) -> None:
        before = self._by_id.get(task.task_id)
        self._by_id[task.task_id] = task
        self._by_stream.setdefault(task.stream_id, {})[task.name] = task
        self._tell(before, task)

    def _drop(self, task_id: str) -> None:
        task = self._by_id.pop(task_id)
        self._positions.pop(task_id, None)
        names = self._by_stream[task.stream_id]
        del names[task.name]
        if not names:
            del self._by_stream[task.stream_id]
        self._tell(task, None)

    def _tell(self, before: Task | None, after: Task | None) -> None:
        for callback in self._subscribers:
            callback(before, after)

    @property
    def _catalog(self) -> Catalog:
        assert self._catalog_or_none is not None, "not opened"
        return self._catalog_or_none

    @property
    def _sealer(self) -> Sealer:
        assert self._sealer_or_none is not None, "not opened"
        return self._sealer_or_none


def _purpose(task_id: str) -> bytes:
    return f"task:{task_id}:user_password".encode()


def _kms(secret: str) -> Sealer:
    return Sealer({1: hashlib.sha256(b"penstock kms\0" + secret.encode()).digest()})
