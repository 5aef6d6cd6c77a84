"""Apps from memory: what every operation of 5.2 and 5.3 asks instead of the catalog. Owns the cache, its order and which streams
each app has checkpoints of; knows no HTTP and no rules. The checkpoints themselves stay in the catalog: there may be a million.

Never stale about a change made in this process: who writes the catalog calls `put`, `drop`, `committed` or `removed` as soon as
the catalog has answered.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Set
from typing import Self

import msgspec

from penstock.catalog.base import Catalog
from penstock.catalog.table import Value
from penstock.catalog.tables.apps import APPS, CHECKPOINTS
from penstock.model.apps import App
from penstock.model.streams import Stream


class Apps:
    """All apps of all projects."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], App] = {}
        self._by_id: dict[str, App] = {}
        self._names: dict[str, list[str]] = {}
        """Names of each project, sorted by code point."""
        self._streams: dict[str, dict[str, None]] = {}
        """App id -> ids of the streams it has checkpoints of. An app without any has no entry."""
        self._readers: dict[str, list[tuple[str, str]]] = {}
        """Stream id -> project and name of the apps that have checkpoints of it, sorted."""
        self.commits = 0
        """How many times checkpoints were written: who looks twice sees whether any was written between."""

    def __repr__(self) -> str:
        return f"<Apps, {len(self._by_id)} in {len(self._names)} projects>"

    def __len__(self) -> int:
        return len(self._by_id)

    @classmethod
    async def open(cls, catalog: Catalog) -> Self:
        """Everything the catalog has."""
        apps = cls()
        same: dict[Value, str] = {}
        for app in await catalog.select(APPS):
            project_id = same.setdefault(app.project_id, app.project_id)
            apps.put(msgspec.structs.replace(app, project_id=project_id))
        for app_id, stream_id in await catalog.distinct(CHECKPOINTS, "app_id", "stream_id"):
            # Many apps read one stream: its id is in memory once, as those of projects are.
            apps.committed(str(app_id), same.setdefault(stream_id, str(stream_id)))
        return apps

    def find(self, project_id: str, name: str) -> App | None:
        """The project's app of that name."""
        return self._by_name.get((project_id, name))

    def by_id(self, app_id: str) -> App | None:
        """The app with that id, of any project."""
        return self._by_id.get(app_id)

    def streams_of(self, app: App) -> Set[str]:
        """Ids of the streams the app has checkpoints of."""
        return self._streams.get(app.app_id, {}).keys()

    def page(
        self, project_id: str, after: str, limit: int, stream_id: str = ""
    ) -> tuple[list[App], bool, int]:
        """Up to `limit` apps of a project with names greater than `after`, in order; whether there are more; how many there are
        in all. With `stream_id` only those that have checkpoints of that stream."""
        if stream_id:
            readers = self._readers.get(stream_id, [])
            first, end = bisect_left(readers, (project_id, "")), bisect_left(readers, (project_id + "\0", ""))
            start = bisect_right(readers, (project_id, after)) if after else first
            keys = readers[start : min(end, start + limit)]
            return [self._by_name[key] for key in keys], start + limit < end, end - first
        names = self._names.get(project_id, [])
        start = bisect_right(names, after) if after else 0
        page = [self._by_name[project_id, name] for name in names[start : start + limit]]
        return page, start + limit < len(names), len(names)

    def count(self, project_id: str) -> int:
        """How many apps a project has."""
        return len(self._names.get(project_id, ()))

    def put(self, app: App) -> None:
        """Take in a new app."""
        key = (app.project_id, app.name)
        if key not in self._by_name:
            insort(self._names.setdefault(app.project_id, []), app.name)
        self._by_name[key] = self._by_id[app.app_id] = app

    def drop(self, app: App) -> None:
        """Forget an app and that it has checkpoints; no error when it is unknown."""
        for stream_id in list(self.streams_of(app)):
            self.removed(app.app_id, stream_id)
        known = self._by_id.pop(app.app_id, None)
        key = (app.project_id, app.name)
        if known is None or self._by_name.get(key) is not known:
            return
        del self._by_name[key]
        names = self._names[app.project_id]
        del names[bisect_right(names, app.name) - 1]
        if not names:
            del self._names[app.project_id]

    def committed(self, app_id: str, stream_id: str) -> None:
        """The app has a checkpoint of the stream."""
        self.commits += 1
        app = self._by_id.get(app_id)
        if app is None:
            return  # its row is damaged
        streams = self._streams.setdefault(app_id, {})
        if stream_id not in streams:
            streams[stream_id] = None
            insort(self._readers.setdefault(stream_id, []), (app.project_id, app.name))

    def removed(self, app_id: str, stream_id: str) -> None:
        """The app has no checkpoint of the stream any more."""
        app, streams = self._by_id.get(app_id), self._streams.get(app_id, {})
        if app is None or stream_id not in streams:
            return
        del streams[stream_id]
        if not streams:
            del self._streams[app_id]
        readers = self._readers[stream_id]
        del readers[bisect_left(readers, (app.project_id, app.name))]
        if not readers:
            del self._readers[stream_id]

    def stream_changed(self, before: Stream | None, after: Stream | None) -> None:
        """For `Directory.on_change`: checkpoints go with their stream."""
        if before is not None and after is None:
            for key in list(self._readers.get(before.stream_id, ())):
                self.removed(self._by_name[key].app_id, before.stream_id)
