"""A stream's new state: what it is made from, and what happens when it cannot be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.streams import PROJECT, call, make_context

from penstock.catalog.base import CatalogError
from penstock.errors import ApiError, invalid
from penstock.model.streams import Stream, Tag
from penstock.service import lifecycle
from penstock.service.context import Context
from penstock.service.tags import TagsActionRequest, act_on_tags


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = await make_context(tmp_path)
    await call(made, "POST", "/streams", {"stream_name": "s1", "partition_count": 1})
    yield made
    await lifecycle.settle()
    await made.catalog.close()


def stream(context: Context) -> Stream:
    found = context.directory.get(PROJECT, "s1")
    assert found is not None
    return found


def tagged(key: str) -> lifecycle.How:
    return lambda one: msgspec.structs.replace(one, tags=(*one.tags, Tag(key)))


async def test_it_is_made_from_the_newest_state(context: Context) -> None:
    """Not from the one that was seen before others changed it."""
    seen = stream(context)
    await asyncio.gather(*(lifecycle.change(context, seen, tagged(key)) for key in "abc"))
    assert [tag.key for tag in stream(context).tags] == ["a", "b", "c"]
    assert await context.catalog.stream_by_id(seen.stream_id) == stream(context)


async def test_a_stream_that_went_away_meanwhile(context: Context) -> None:
    seen = stream(context)
    await call(context, "DELETE", "/streams/s1")
    assert await lifecycle.change(context, seen, tagged("a")) is None
    await call(context, "POST", "/streams", {"stream_name": "s1", "partition_count": 1})
    assert await lifecycle.change(context, seen, tagged("a")) is None
    assert stream(context).tags == ()


async def test_what_refuses_changes_nothing(context: Context) -> None:
    def refuse(one: Stream) -> Stream:
        raise invalid("field", "no")

    before = stream(context)
    with pytest.raises(ApiError):
        await lifecycle.change(context, before, refuse)
    assert stream(context) is before


async def test_nothing_new_is_not_written(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: Any) -> None:
        raise AssertionError("written")

    monkeypatch.setattr(context.catalog, "replace_stream", write)
    before = stream(context)
    same = await lifecycle.change(context, before, msgspec.structs.replace)
    assert same == before
    assert stream(context) is before


async def test_memory_follows_the_catalog(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is not there."""

    async def fail(*_: Any) -> None:
        raise CatalogError("the disk is full")

    monkeypatch.setattr(context.catalog, "replace_stream", fail)
    request = msgspec.convert({"action": "create", "tags": [{"key": "a"}]}, TagsActionRequest)
    before = stream(context)
    with pytest.raises(CatalogError):
        await act_on_tags(context, PROJECT, "s1", request)
    assert stream(context) is before


async def test_who_hangs_up_leaves_no_half(context: Context) -> None:
    """The change goes on to its end; catalog and memory agree."""
    work = asyncio.ensure_future(lifecycle.change(context, stream(context), tagged("a")))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await lifecycle.settle()
    assert [tag.key for tag in stream(context).tags] == ["a"]
    assert await context.catalog.stream_by_id(stream(context).stream_id) == stream(context)
