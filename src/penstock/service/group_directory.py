"""Consumer groups in memory: the group of every app that ever had one. Owns finding them, what they see of streams, and what others ask
about them; knows no HTTP. `service.groups` is what their members ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Self

from penstock.catalog.base import Catalog
from penstock.catalog.tables.groups import GROUPS
from penstock.clock import Clock, SystemClock
from penstock.errors import ApiError
from penstock.limits import Limits
from penstock.model.apps import App
from penstock.model.groups import Group, Key, StreamView
from penstock.model.patterns import Pattern
from penstock.model.streams import Stream, StreamStatus
from penstock.service.app_directory import Apps
from penstock.service.directory import Directory

_PATTERNS_KEPT = 1000


class Groups:
    """The groups of all projects, by project and app."""

    def __init__(
        self, directory: Directory | None = None, clock: Clock | None = None, limits: Limits | None = None
    ) -> None:
        self._directory = Directory() if directory is None else directory  # an empty one is false
        self._clock = clock or SystemClock()
        self._limits = limits or Limits()
        self._groups: dict[tuple[str, str], Group] = {}
        self._matching: dict[tuple[str, str], tuple[Pattern, tuple[Key, ...]]] = {}
        """Project and pattern -> what it reads as, and the names that match."""
        self.saving: dict[str, asyncio.Task[None]] = {}
        """App id -> the writing of its group to the catalog."""

    def __repr__(self) -> str:
        return f"<Groups, {len(self._groups)}>"

    @classmethod
    async def open(
        cls, catalog: Catalog, apps: Apps, directory: Directory, clock: Clock, limits: Limits
    ) -> Self:
        """Everything the catalog has. Members have the time of a session to be heard of again."""
        groups = cls(directory, clock, limits)
        for saved in await catalog.select(GROUPS):
            app = apps.by_id(saved.app_id)
            if app is None:
                continue  # its row is damaged
            group = groups._groups[app.project_id, app.name] = Group(
                app.app_id, limits, groups._look(app.project_id), groups.now(), saved
            )
            groups._tell_anew(app.project_id, group)
        return groups

    def now(self) -> float:
        """The time that groups go by."""
        return self._clock.monotonic()

    def find(self, project_id: str, name: str) -> Group | None:
        """The group of that name, if it ever had a member."""
        return self._groups.get((project_id, name))

    def of(self, app: App) -> Group:
        """The group of an app, new and empty when it never had a member."""
        key = (app.project_id, app.name)
        group = self._groups.get(key)
        if group is None or group.app_id != app.app_id:  # made again under the same name
            look = self._look(app.project_id)
            group = self._groups[key] = Group(app.app_id, self._limits, look, self.now())
        return group

    def all(self) -> Iterator[Group]:
        """Every group."""
        return iter(list(self._groups.values()))

    def forget_without(self, apps: Apps) -> None:
        """Forget groups whose app has gone."""
        for key in [key for key, group in self._groups.items() if apps.by_id(group.app_id) is None]:
            del self._groups[key]

    def live_members(self, project_id: str, app_name: str) -> int:
        """Members of the app's group that have not left and have not timed out."""
        group = self.find(project_id, app_name)
        return 0 if group is None else len(group.members(self.now()))

    def check_commit(self, project_id: str, app_name: str, client_id: str, generation_id: int) -> None:
        """Whether a member may commit. DIS.4701 while it waits for the next generation, DIS.4702 when it is no member, DIS.4703 when
        its generation is not the group's."""
        group = self.find(project_id, app_name)
        if group is None:
            raise ApiError("DIS.4702", f"[{client_id[:80]}]")
        group.check_commit(client_id, generation_id, self.now())

    def matching(self, project_id: str, pattern: str) -> tuple[Key, ...]:
        """The project's streams whose names a pattern matches, in order of their names. Raises BadPattern."""
        key = (project_id, pattern)
        known = self._matching.get(key)
        if known is None:
            compiled = Pattern(pattern)
            streams, _ = self._directory.page(project_id, "", self._directory.count(project_id))
            names = (s.name for s in streams if s.status is not StreamStatus.TERMINATING)
            known = compiled, tuple(Key(name) for name in names if compiled.matches(name))
            if len(self._matching) >= _PATTERNS_KEPT:
                self._matching.clear()
            self._matching[key] = known
        return known[1]

    def _match_anew(self, stream: Stream, *, present: bool) -> None:
        """A stream came or went: patterns that match its name match others now. The rest keep the very tuple they had."""
        name = Key(stream.name)
        for key, (pattern, names) in self._matching.items():
            if key[0] == stream.project_id and (name in names) != present and pattern.matches(stream.name):
                others = [one for one in names if one != name]
                self._matching[key] = pattern, tuple(sorted([*others, name] if present else others))

    def stream_changed(self, before: Stream | None, after: Stream | None) -> None:
        """For `Directory.on_change`: whoever reads the stream joins again when its partitions are others."""
        was, is_ = _readable(before), _readable(after)
        if was == is_:
            return
        stream = after or before
        assert stream is not None
        came_or_went = (was is None) != (is_ is None)
        if came_or_went:
            self._match_anew(stream, present=was is None)
        for (project_id, _), group in self._groups.items():
            group.streams_changed(self.now())
            if came_or_went and project_id == stream.project_id:
                self._tell_anew(project_id, group)

    def _tell_anew(self, project_id: str, group: Group) -> None:
        group.told_anew(lambda pattern: self.matching(project_id, pattern), self.now())

    def _look(self, project_id: str) -> _Look:
        return _Look(self._directory, project_id)


class _Look:
    """What the groups of a project see of streams."""

    def __init__(self, directory: Directory, project_id: str) -> None:
        self._directory = directory
        self._project_id = project_id

    def __call__(self, key: Key) -> StreamView | None:
        directory = self._directory
        stream = directory.by_id(key.text) if key.by_id else directory.get(self._project_id, key.text)
        numbers = _readable(stream)
        return None if stream is None or numbers is None else StreamView(stream.stream_id, numbers)


def _readable(stream: Stream | None) -> tuple[int, ...] | None:
    """Partitions that somebody must read: also DELETED ones, whose records stay readable until retention has passed. None when there is
    no such stream any more."""
    if stream is None or stream.status is StreamStatus.TERMINATING:
        return None
    return tuple(partition.number for partition in stream.readable)
