"""Apps in memory: pages, and which streams each has checkpoints of, against a plain model of both."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from tests.support.catalogs import FREE, a_stream

from penstock.catalog.base import Put
from penstock.catalog.sqlite import open_catalog
from penstock.catalog.tables.apps import APPS, CHECKPOINTS
from penstock.model.apps import App, Checkpoint, CheckpointType
from penstock.service.app_directory import Apps

NAMES = st.text("abAB01_-", min_size=1, max_size=4)


def an_app(name: str, project: str = "p") -> App:
    return App(app_id=f"id-{project}-{name}", project_id=project, name=name, created_ms=1)


@given(
    names=st.sets(NAMES), with_checkpoints=st.sets(NAMES), limit=st.integers(1, 5), after=st.text(max_size=3)
)
def test_pages_cover_everything_once_and_in_order(
    names: set[str], with_checkpoints: set[str], limit: int, after: str
) -> None:
    """5.2.2: whatever page size, following `start_app_name` from anywhere gives every later app once, in order."""
    apps = Apps()
    for name in names:
        apps.put(an_app(name))
        apps.put(an_app(name, "other"))
        if name in with_checkpoints:
            apps.committed(an_app(name).app_id, "s1")
            apps.committed(an_app(name, "other").app_id, "s1")
            apps.committed("of an app whose row is damaged", "s1")
    for stream_id, wanted in (("", names), ("s1", names & with_checkpoints), ("s2", set[str]())):
        seen: list[str] = []
        start, more = after, True
        while more:
            page, more, total = apps.page("p", start, limit, stream_id)
            assert total == len(wanted)
            assert len(page) <= limit
            assert len(page) == limit or not more
            seen += [app.name for app in page]
            start = seen[-1] if page else start
        ordered = sorted(wanted)
        assert seen == ordered[bisect_right(ordered, after) :]


class Model(RuleBasedStateMachine):
    """Apps made, deleted, and their checkpoints, in any order."""

    made: Bundle[App] = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.apps = Apps()
        self.known: dict[str, App] = {}
        self.streams: dict[str, set[str]] = {}

    @rule(target=made, name=NAMES)
    def create(self, name: str) -> App:
        app = self.known.setdefault(name, an_app(name))
        self.apps.put(app)
        self.streams.setdefault(app.app_id, set())
        return app

    @rule(app=consumes(made))
    def delete(self, app: App) -> None:
        self.apps.drop(app)
        self.known.pop(app.name, None)
        self.streams.pop(app.app_id, None)

    @rule(app=made, stream_id=st.sampled_from("xyz"))
    def commit(self, app: App, stream_id: str) -> None:
        if app.app_id in self.streams:
            before = self.apps.commits
            self.apps.committed(app.app_id, stream_id)
            self.streams[app.app_id].add(stream_id)
            assert self.apps.commits > before

    @rule(app=made, stream_id=st.sampled_from("xyz"))
    def remove(self, app: App, stream_id: str) -> None:
        self.apps.removed(app.app_id, stream_id)
        self.streams.get(app.app_id, set()).discard(stream_id)

    @rule(stream_id=st.sampled_from("xyz"))
    def delete_stream(self, stream_id: str) -> None:
        stream = a_stream(stream_id=stream_id)
        self.apps.stream_changed(stream, stream)
        self.apps.stream_changed(None, stream)
        self.apps.stream_changed(stream, None)
        for streams in self.streams.values():
            streams.discard(stream_id)

    @invariant()
    def agrees(self) -> None:
        page, more, total = self.apps.page("p", "", 1000)
        assert [app.name for app in page] == sorted(self.known)
        assert (more, total, len(self.apps)) == (False, len(self.known), len(self.known))
        assert self.apps.count("p") == len(self.known)
        for name, app in self.known.items():
            assert self.apps.find("p", name) is self.apps.by_id(app.app_id) is app
            assert self.apps.streams_of(app) == self.streams[app.app_id]
        assert self.apps.find("other", "a") is None


TestModel = Model.TestCase


async def test_opened_from_the_catalog(tmp_path: Path) -> None:
    catalog = await open_catalog(tmp_path / "catalog.db")
    first, second = a_stream(), a_stream("s2")
    for stream in (first, second):
        await catalog.insert_stream(stream, FREE)
    await catalog.apply(*(Put(APPS, an_app(name)) for name in ("b", "a", "c")))
    await catalog.apply(
        *(
            Put(
                CHECKPOINTS,
                Checkpoint(an_app(name).app_id, stream.stream_id, number, CheckpointType.LAST_READ, 0, "", 1),
            )
            for name, stream, number in (("a", first, 0), ("a", first, 1), ("a", second, 0), ("b", second, 0))
        )
    )
    apps = await Apps.open(catalog)
    assert [app.name for app in apps.page("p", "", 10)[0]] == ["a", "b", "c"]
    assert apps.streams_of(an_app("a")) == {first.stream_id, second.stream_id}
    assert apps.streams_of(an_app("b")) == {second.stream_id}
    assert apps.streams_of(an_app("c")) == set()
    await catalog.close()
