"""Streams from memory: what the hot path and every operation ask instead of the catalog. Owns the cache, its order and
the locks by name; knows no HTTP, no log, no rules.

Never stale about a change made in this process: who writes the catalog calls `put` or `drop` before answering. Streams
are immutable: a change is another object, so tables derived from one may be keyed on its identity.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right, insort
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from penstock.catalog.base import Catalog
from penstock.model.streams import Stream, StreamStatus, StreamType

OnChange = Callable[[Stream | None, Stream | None], None]
"""Called with the stream before (None: it is new) and after (None: it is gone), once the directory says the latter."""


class Directory:
    """All streams of all projects."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], Stream] = {}
        self._by_id: dict[str, Stream] = {}
        self._names: dict[str, list[str]] = {}
        """Names of each project, sorted (by code point, as Python compares)."""
        self._subscribers: list[OnChange] = []
        self._locks: dict[tuple[str, str], _Lock] = {}

    def __repr__(self) -> str:
        return f"<Directory, {len(self._by_id)} streams in {len(self._names)} projects>"

    def __len__(self) -> int:
        return len(self._by_id)

    @classmethod
    async def open(cls, catalog: Catalog) -> Self:
        """A directory of everything the catalog has."""
        directory = cls()
        for stream in await catalog.streams_in():
            directory.put(stream)
        return directory

    def get(self, project_id: str, name: str) -> Stream | None:
        """The stream of that name, of any status."""
        return self._by_name.get((project_id, name))

    def by_id(self, stream_id: str) -> Stream | None:
        """The stream with that id, of any project: the caller checks whose it is."""
        return self._by_id.get(stream_id)

    def find(self, project_id: str, name_or_id: str) -> Stream | None:
        """The project's stream of that name, or else with that id (clients.md 1.2: the path may hold an id)."""
        return self._by_name.get((project_id, name_or_id)) or self.find_id(project_id, name_or_id)

    def find_id(self, project_id: str, stream_id: str) -> Stream | None:
        """The project's stream with that id."""
        stream = self._by_id.get(stream_id)
        return stream if stream is not None and stream.project_id == project_id else None

    def all(self) -> list[Stream]:
        """Every stream."""
        return list(self._by_id.values())

    def page(self, project_id: str, after: str, limit: int) -> tuple[list[Stream], bool]:
        """Up to `limit` streams of a project with names greater than `after` (which need not exist), in order; and
        whether there are more."""
        names = self._names.get(project_id, [])
        start = bisect_right(names, after) if after else 0
        page = [self._by_name[project_id, name] for name in names[start : start + limit]]
        return page, start + limit < len(names)

    def count(self, project_id: str) -> int:
        """How many streams a project has, of any status."""
        return len(self._names.get(project_id, ()))

    def used(self, project_id: str, stream_type: StreamType) -> tuple[int, int]:
        """What counts against quotas: streams of a project, and ACTIVE partitions of those of one type."""
        living = [
            stream
            for name in self._names.get(project_id, ())
            if (stream := self._by_name[project_id, name]).status is not StreamStatus.TERMINATING
        ]
        return len(living), sum(len(s.active) for s in living if s.stream_type is stream_type)

    def put(self, stream: Stream) -> None:
        """Take in a new stream or a new state of one."""
        before = self._by_id.get(stream.stream_id)
        if before is stream:
            return
        key = (stream.project_id, stream.name)
        assert before is None or (before.project_id, before.name) == key, (
            "a stream keeps its name and project"
        )
        if key not in self._by_name:
            insort(self._names.setdefault(stream.project_id, []), stream.name)
        self._by_name[key] = self._by_id[stream.stream_id] = stream
        self._tell(before, stream)

    def drop(self, stream: Stream) -> None:
        """Forget a stream; no error when it is unknown."""
        known = self._by_id.pop(stream.stream_id, None)
        if known is None:
            return
        key = (known.project_id, known.name)
        if self._by_name.get(key) is known:
            del self._by_name[key]
            names = self._names[known.project_id]
            names.remove(known.name)
            if not names:
                del self._names[known.project_id]
        self._tell(known, None)

    def on_change(self, callback: OnChange) -> None:
        """Call `callback` at every change from now on."""
        self._subscribers.append(callback)

    @asynccontextmanager
    async def lock(self, project_id: str, name: str) -> AsyncIterator[None]:
        """Held by whoever changes the stream of that name, from before looking at it until `put` or `drop`."""
        key = (project_id, name)
        lock = self._locks.setdefault(key, _Lock())
        lock.holders += 1
        try:
            async with lock:
                yield
        finally:
            lock.holders -= 1
            if not lock.holders:
                del self._locks[key]

    def _tell(self, before: Stream | None, after: Stream | None) -> None:
        for callback in self._subscribers:
            callback(before, after)


class _Lock(asyncio.Lock):
    """Counts who holds it or waits, so that locks of names nobody uses are dropped."""

    holders = 0
