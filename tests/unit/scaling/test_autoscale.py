"""The job of automatic scaling: what traffic of the last minute does to a stream, and who is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.support.streams import PROJECT, call, document, make_context

from penstock.catalog.base import CatalogError
from penstock.clock import SteppedClock
from penstock.jobs.autoscale import AutoScale
from penstock.limits import PROFILES, Limits
from penstock.service.context import Context
from penstock.service.traffic import Counters

MB = 1 << 20
START = 1_700_000_040_000 - 1_700_000_040_000 % 60_000
"""The beginning of a minute."""


class Seen:
    """Traffic as told, by stream id."""

    def __init__(self) -> None:
        self.minutes: dict[str, Counters] = {}

    def last_minute(self, stream_id: str) -> Counters:
        return self.minutes.get(stream_id, Counters())


class Told:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def emit(self, kind: str, project_id: str, stream_name: str, detail: str) -> None:
        assert project_id == PROJECT
        self.events.append((kind, stream_name, detail))

    def take(self) -> list[str]:
        kinds = [kind for kind, _, _ in self.events]
        self.events.clear()
        return kinds


class Scene:
    """A context with traffic and events to look at, and the job."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.seen, self.told = Seen(), Told()
        context.traffic = self.seen  # type: ignore[assignment]
        context.events = self.told  # type: ignore[assignment]
        self.job = AutoScale(context)

    async def create(self, name: str = "s", partitions: int = 5, **fields: object) -> None:
        body = {"stream_name": name, "partition_count": partitions, "auto_scale_enabled": True} | fields
        await call(self.context, "POST", "/streams", body)

    def carry(self, name: str = "s", *, up: float, down: float = 0.0, throttled: int = 0) -> None:
        """From now on every minute looks like this: shares of what the stream's partitions carry."""
        stream = self.context.directory.get(PROJECT, name)
        assert stream is not None
        counters = self.seen.minutes[stream.stream_id] = Counters()
        active = len(stream.active)
        counters.bytes_in = round(up * active * MB * 60)
        counters.bytes_out = round(down * active * 2 * MB * 60)
        counters.puts_throttled = throttled

    async def pass_minutes(self, minutes: float) -> int:
        clock = self.context.clock
        assert isinstance(clock, SteppedClock)
        clock.advance(minutes * 60)
        return await self.job.scale_once()

    def count(self, name: str = "s") -> int:
        stream = self.context.directory.get(PROJECT, name)
        assert stream is not None
        return len(stream.active)


async def scene_of(directory: Path, limits: Limits | None = None) -> Scene:
    return Scene(await make_context(directory, limits=limits, clock=SteppedClock(START + 10_000)))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = await scene_of(tmp_path)
    yield made
    await made.context.catalog.close()


async def test_busy_and_throttled_grows(scene: Scene) -> None:
    """5 partitions: 9, as the manual's example."""
    await scene.create()
    scene.carry(up=0.85, throttled=1)
    assert await scene.pass_minutes(2) == 1
    assert scene.count() == 9
    (event,) = scene.told.events
    assert event[:2] == ("auto_scale_ok", "s")
    assert "from 5 to 9 partitions" in event[2]
    shown = document(await call(scene.context, "GET", "/streams/s"))
    assert shown["writable_partition_count"] == 9
    (entry,) = shown["update_partition_counts"]
    assert entry["auto_scale"] is True
    assert (entry["src_partition_count"], entry["target_partition_count"]) == (5, 9)


async def test_idle_shrinks_to_half(scene: Scene) -> None:
    """5 partitions: 2, as the manual's example; one scale-down an hour."""
    await scene.create()
    scene.carry(up=0.2, down=0.29)
    assert await scene.pass_minutes(2) == 1
    assert scene.count() == 2
    scene.carry(up=0)
    assert await scene.pass_minutes(59) == 0
    assert await scene.pass_minutes(1) == 1
    assert scene.count() == 1
    assert scene.told.take() == ["auto_scale_ok", "auto_scale_ok"]


@pytest.mark.parametrize(
    ("up", "down", "throttled"), [(0.79, 0, 9), (0.95, 0, 0), (0.31, 0, 0), (0.1, 0.31, 0)]
)
async def test_stays(scene: Scene, up: float, down: float, throttled: int) -> None:
    await scene.create()
    scene.carry(up=up, down=down, throttled=throttled)
    for _ in range(5):
        assert await scene.pass_minutes(1) == 0
    assert scene.told.events == []


async def test_more_than_a_minute_between(scene: Scene) -> None:
    await scene.create(partitions=1)
    scene.carry(up=0.9, throttled=1)
    assert await scene.pass_minutes(2) == 1
    scene.carry(up=0.9, throttled=1)
    assert await scene.pass_minutes(1) == 0
    assert await scene.pass_minutes(0.2) == 1
    assert scene.count() == 4


async def test_not_down_soon_after_up(scene: Scene) -> None:
    await scene.create()
    scene.carry(up=0.9, throttled=1)
    assert await scene.pass_minutes(2) == 1
    scene.carry(up=0)
    assert await scene.pass_minutes(2) == 0
    assert await scene.pass_minutes(0.2) == 1
    assert scene.count() == 4


async def test_bounds_of_the_stream(scene: Scene) -> None:
    await scene.create(auto_scale_min_partition_count=4, auto_scale_max_partition_count=6)
    scene.carry(up=0.9, throttled=1)
    assert await scene.pass_minutes(2) == 1
    assert scene.count() == 6
    assert await scene.pass_minutes(5) == 0
    scene.carry(up=0)
    assert await scene.pass_minutes(5) == 1
    assert scene.count() == 4
    assert await scene.pass_minutes(90) == 0


async def test_only_streams_that_ask_for_it(scene: Scene) -> None:
    await scene.create("off", auto_scale_enabled=False)
    await scene.create("cold")
    await call(scene.context, "POST", "/streams/cold/action", {"action": "freeze"})
    for name in ("off", "cold"):
        scene.carry(name, up=0.9, throttled=1)
    assert await scene.pass_minutes(5) == 0
    await call(scene.context, "POST", "/streams/cold/action", {"action": "thaw"})
    await call(scene.context, "PUT", "/streams/off/update", {"auto_scale_enabled": True})
    assert await scene.pass_minutes(5) == 2


async def test_nothing_before_a_whole_minute_was_counted(scene: Scene) -> None:
    """A server just started, and a stream just made, look idle."""
    await scene.create("old", 4)
    assert await scene.pass_minutes(1) == 0
    await scene.create("new", 4)
    assert await scene.pass_minutes(1) == 1
    assert (scene.count("old"), scene.count("new")) == (2, 4)
    # A new job, that is a new process.
    scene.job = AutoScale(scene.context)
    assert await scene.pass_minutes(1) == 0
    assert await scene.pass_minutes(1) == 1
    assert scene.count("new") == 2


async def test_the_first_seconds_of_a_minute_wait_for_the_workers(scene: Scene) -> None:
    await scene.create()
    scene.carry(up=0.9, throttled=1)
    assert await scene.pass_minutes(3 - 10 / 60) == 0
    assert await scene.pass_minutes(3 / 60) == 1


async def test_quota_insufficient(scene: Scene) -> None:
    """As far as the quota goes; when there is none left, that is said once an hour."""
    await scene.create()
    await scene.create("rest", 43, auto_scale_enabled=False)
    scene.carry(up=0.9, throttled=1)
    assert await scene.pass_minutes(2) == 1
    assert scene.count() == 7
    assert scene.told.take() == ["quota_insufficient", "auto_scale_ok"]
    scene.carry(up=0.9, throttled=1)
    for _ in range(10):
        assert await scene.pass_minutes(2) == 0
    assert scene.told.take() == ["auto_scale_failed", "quota_insufficient"]
    assert await scene.pass_minutes(60) == 0
    assert scene.told.take() == ["auto_scale_failed", "quota_insufficient"]


async def test_ten_an_hour(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(Limits(), partitions_common=1000)
    scene = await scene_of(tmp_path, limits)
    await scene.create(partitions=1)
    done = 0
    for _ in range(14):
        scene.carry(up=0.9, throttled=1)
        done += await scene.pass_minutes(2)
    assert done == 10
    assert scene.told.take() == ["auto_scale_ok"] * 10 + ["auto_scale_failed"]
    await scene.context.catalog.close()


async def test_a_failure_is_told_and_stops_no_other_stream(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.create("a")
    await scene.create("b")
    for name in ("a", "b"):
        scene.carry(name, up=0.9, throttled=1)
    replace = scene.context.catalog.replace_stream

    async def fail(stream, *also, **more):  # type: ignore[no-untyped-def]
        if stream.name == "a":
            raise CatalogError("disk")
        await replace(stream, *also, **more)

    with monkeypatch.context() as patched:
        patched.setattr(scene.context.catalog, "replace_stream", fail)
        assert await scene.pass_minutes(2) == 1
    assert (scene.count("a"), scene.count("b")) == (5, 9)
    assert scene.told.take() == ["auto_scale_failed", "auto_scale_ok"]
    assert await scene.pass_minutes(2) == 1
    assert scene.count("a") == 9


async def test_relaxed_limits_know_no_bandwidth(tmp_path: Path) -> None:
    scene = await scene_of(tmp_path, PROFILES["relaxed"])
    await scene.create(partitions=8)
    assert await scene.pass_minutes(10) == 0
    assert scene.count() == 8
    await scene.context.catalog.close()
