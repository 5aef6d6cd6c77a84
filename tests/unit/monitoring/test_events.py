"""Events: noticed without waiting, written in batches, bounded, cut at bursts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.streams import PROJECT, call, make_context

from penstock.catalog.base import CatalogError
from penstock.catalog.tables.monitoring import EVENTS
from penstock.clock import SteppedClock
from penstock.limits import Limits
from penstock.model.events import KINDS
from penstock.service import events as events_module
from penstock.service.context import Context
from penstock.service.events import EventFilter, Events

OTHER = "f" * 32


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = await make_context(tmp_path, clock=SteppedClock())
    made.events = Events(made.catalog, made.limits, made.clock)
    made.events.listen(made.directory, lambda event: ())
    yield made
    await made.catalog.close()


async def listed(context: Context, project: str = PROJECT, **wanted: Any) -> list[tuple[str, str, str]]:
    page = await context.events.page(project, EventFilter(**wanted), 0, 1000)
    assert page.count == len(page.events)
    return [(event.kind, event.source_name, event.description) for event in page.events]


async def test_streams_made_and_deleted_are_events(context: Context) -> None:
    await call(context, "POST", "/streams", {"stream_name": "s", "partition_count": 2})
    stream = context.directory.get(PROJECT, "s")
    assert stream is not None
    await call(context, "DELETE", "/streams/s")
    page = await context.events.page(PROJECT, EventFilter(), 0, 10)
    assert [(e.kind, e.type_id, e.source_name, e.source_id) for e in page.events] == [
        ("stream_deleted", "dis_event.101", "s", stream.stream_id),
        ("stream_created", "dis_event.100", "s", stream.stream_id),
    ]
    assert page.events[1].description == "2 partitions"
    assert page.events[0].occur_time == context.clock.now_ms()


async def test_ids_keep_the_order_even_within_a_millisecond(context: Context) -> None:
    for number in range(500):
        context.events.emit("auto_scale_ok", PROJECT, "", str(number))
    assert [detail for _, _, detail in await listed(context)] == [str(n) for n in reversed(range(500))]


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.quiet_seconds])
async def test_bursts_are_one_event_a_minute_and_stream(context: Context, kind: str) -> None:
    clock: Any = context.clock
    for stream in ("a", "a", "b", "a"):
        context.events.emit(kind, PROJECT, stream, "")
    context.events.emit(kind, OTHER, "a", "")
    clock.advance(59)
    context.events.emit(kind, PROJECT, "a", "")
    assert [name for _, name, _ in await listed(context)] == ["b", "a"]
    assert len(await listed(context, OTHER)) == 1
    clock.advance(1)
    context.events.emit(kind, PROJECT, "a", "again")
    assert (await listed(context))[0] == (kind, "a", "again")


async def test_an_unknown_kind_is_nothing(context: Context) -> None:
    context.events.emit("no_such_kind", PROJECT, "", "")
    assert await listed(context) == []


async def test_without_a_catalog_events_are_forgotten() -> None:
    events = Events()
    events.emit("stream_created", PROJECT, "s", "")
    assert await events.flush() == 0
    assert (await events.page(PROJECT, EventFilter(), 0, 10)).count == 0


async def test_filters(context: Context) -> None:
    clock: Any = context.clock
    start = clock.now_ms()
    context.events.emit("auto_scale_ok", PROJECT, "a", "1")
    clock.advance(1)
    context.events.emit("auto_scale_ok", PROJECT, "b", "2")
    clock.advance(1)
    context.events.emit("dump_restored", PROJECT, "a", "3")

    async def found(**wanted: Any) -> str:
        return "".join(detail for _, _, detail in await listed(context, **wanted))

    assert await found() == "321"
    assert await found(kinds=frozenset({"auto_scale_ok"})) == "21"
    assert await found(kinds=frozenset({"auto_scale_ok", "dump_restored"})) == "321"
    assert await found(stream_name="a") == "31"
    assert await found(start_ms=start + 1000) == "32"
    assert await found(end_ms=start + 1000) == "21"
    assert await found(start_ms=start + 1, end_ms=start + 1999) == "2"
    assert await found(stream_name="a", kinds=frozenset({"dump_restored"})) == "3"


async def test_pages(context: Context) -> None:
    for number in range(5):
        context.events.emit("auto_scale_ok", PROJECT, "", str(number))
    pages = []
    for offset in (0, 2, 4, 6):
        page = await context.events.page(PROJECT, EventFilter(), offset, 2)
        pages.append(("".join(event.description for event in page.events), page.count, page.has_more))
    assert pages == [("43", 5, True), ("21", 5, True), ("0", 5, False), ("", 5, False)]


async def test_a_project_keeps_its_newest(tmp_path: Path) -> None:
    made = await make_context(tmp_path, limits=Limits(events_per_project=10), clock=SteppedClock())
    events = Events(made.catalog, made.limits, made.clock)
    events.emit("auto_scale_ok", OTHER, "", "other")
    for number in range(25):
        events.emit("auto_scale_ok", PROJECT, "", str(number))
    await events.flush()
    assert await made.catalog.count(EVENTS, project_id=PROJECT) == 10
    assert await made.catalog.count(EVENTS, project_id=OTHER) == 1
    page = await events.page(PROJECT, EventFilter(), 0, 100)
    assert [event.description for event in page.events] == [str(n) for n in reversed(range(15, 25))]
    await made.catalog.close()


async def test_old_events_go(context: Context) -> None:
    clock: Any = context.clock
    context.events.emit("auto_scale_ok", PROJECT, "", "old")
    clock.advance(10)
    context.events.emit("auto_scale_ok", PROJECT, "", "new")
    await context.events.flush()
    assert await context.events.drop_before(clock.now_ms()) == 1
    assert await listed(context) == [("auto_scale_ok", "", "new")]


async def test_memory_is_bounded_while_nothing_can_be_written(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "QUEUE", 5)
    for number in range(8):
        context.events.emit("auto_scale_ok", PROJECT, "", str(number))
    assert await context.events.flush() == 5
    context.events.emit("auto_scale_ok", PROJECT, "", "later")
    assert [detail for _, _, detail in await listed(context)] == ["later", "4", "3", "2", "1", "0"]


async def test_what_cannot_be_written_is_written_later(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> int:
        raise CatalogError("disk full")

    for number in range(3):
        context.events.emit("auto_scale_ok", PROJECT, "", str(number))
    with monkeypatch.context() as patched:
        patched.setattr(context.catalog, "apply", full)
        with pytest.raises(CatalogError):
            await context.events.flush()
    assert [detail for _, _, detail in await listed(context)] == ["2", "1", "0"]


async def test_what_is_being_written_is_listed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, slow = context.catalog.apply, asyncio.Event()

    async def slowly(*changes: Any) -> int:
        await slow.wait()
        return await apply(*changes)

    monkeypatch.setattr(context.catalog, "apply", slowly)
    context.events.emit("auto_scale_ok", PROJECT, "", "1")
    writing = asyncio.ensure_future(context.events.flush())
    await asyncio.sleep(0)
    asking = asyncio.ensure_future(listed(context))
    await asyncio.sleep(0.05)
    slow.set()
    assert [detail for _, _, detail in await asking] == ["1"]
    await writing


async def test_the_memory_of_bursts_is_bounded(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "_QUIET_KEYS", 100)
    for number in range(1000):
        context.events.emit("traffic_limited", PROJECT, f"s{number}", "")
    assert len(context.events._quiet) <= 100


async def test_a_long_detail_is_cut(context: Context) -> None:
    context.events.emit("auto_scale_failed", PROJECT, "", "x" * 100_000)
    assert len((await listed(context))[0][2]) == 1000
