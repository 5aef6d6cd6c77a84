"""Apps from memory: what every operation of 5.2 and 5.3 asks instead of the catalog. Owns the cache, its order and which streams
each app has checkpoints of; knows no HTTP and no rules. The checkpoints themselves stay in the catalog: there may be a million.

Never stale about a change made in this process: who writes the catalog calls `put`, `drop`, `committed` or `removed` as soon as
the catalog has answered.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Self

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
        self._streams: dict[str, set[str]] = {}
        """App id -> ids of the streams it has checkpoints of. An app without any has no entry."""
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
        for app in await catalog.select(APPS):
            apps.put(app)
        same: dict[Value, str] = {}
        for app_id, stream_id in await catalog.distinct(CHECKPOINTS, "app_id", "stream_id"):
            # Many apps read one stream: its id is in memory once.
            apps.committed(str(app_id), same.setdefault(stream_id, str(stream_id)))
        return apps

    def find(self, project_id: str, name: str) -> App | None:
        """The project's app of that name."""
        return self._by_name.get((project_id, name))

    def by_id(self, app_id: str) -> App | None:
        """The app with that id, of any project."""
        return self._by_id.get(app_id)

    def streams_of(self, app: App) -> frozenset[str] | set[str]:
        """Ids of the streams the app has checkpoints of."""
        return self._streams.get(app.app_id, frozenset())

    def page(
        self, project_id: str, after: str, limit: int, stream_id: str = ""
    ) -> tuple[list[App], bool, int]:
        """Up to `limit` apps of a project with names greater than `after`, in order; whether there are more; how many there are
        in all. With `stream_id` only those that have checkpoints of that stream."""
        names = self._names.get(project_id, [])
        if stream_id:
            by_name, streams = self._by_name, self._streams
            names = [n for n in names if stream_id in streams.get(by_name[project_id, n].app_id, ())]
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
        known = self._by_id.pop(app.app_id, None)
        self._streams.pop(app.app_id, None)
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
        streams = self._streams.get(app_id)
        if streams is None:
            self._streams[app_id] = {stream_id}
        else:
            streams.add(stream_id)

    def removed(self, app_id: str, stream_id: str) -> None:
        """The app has no checkpoint of the stream any more."""
        streams = self._streams.get(app_id)
        if streams is not None:
            streams.discard(stream_id)
            if not streams:
                del self._streams[app_id]

    def stream_changed(self, before: Stream | None, after: Stream | None) -> None:
        """For `Directory.on_change`: checkpoints go with their stream."""
        if before is not None and after is None:
            for app_id in [a for a, streams in self._streams.items() if before.stream_id in streams]:
                self.removed(app_id, before.stream_id)
