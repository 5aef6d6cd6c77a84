"""What is on the disk before anybody hears of it, and what happens when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.catalogs import FREE, a_stream
from tests.support.streams import PRINCIPAL, PROJECT, make_context

from penstock.catalog.base import CatalogError, Change, Remove
from penstock.catalog.tables.apps import APPS
from penstock.catalog.tables.groups import GROUPS
from penstock.clock import SteppedClock
from penstock.errors import ApiError
from penstock.model.groups import Group, Saved
from penstock.service import groups, lifecycle
from penstock.service.apps import CreateAppRequest, create_app
from penstock.service.context import Context
from penstock.service.group_directory import Groups
from penstock.service.groups import JoinRequest, MemberRequest


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    """With an app, a stream of four partitions, and a clock that stands."""
    made = await make_context(tmp_path)
    made.groups = Groups(made.directory, made.clock, made.limits)
    made.directory.on_change(made.groups.stream_changed)
    await create_app(made, PRINCIPAL, PROJECT, CreateAppRequest("g"))
    stream = a_stream("s", project_id=PROJECT, partitions=4)
    await made.catalog.insert_stream(stream, FREE)
    made.directory.put(stream)
    yield made
    await lifecycle.settle()
    await made.catalog.close()


async def join(context: Context, client: str) -> None:
    request = JoinRequest(client_id=client, interested_stream=["s"])
    assert (await groups.join(context, PRINCIPAL, PROJECT, "g", request)).state == "OK"


async def sync(context: Context, client: str) -> groups.SyncReply:
    return await groups.sync(context, PROJECT, "g", client, MemberRequest())


def advance(context: Context, seconds: float) -> None:
    assert isinstance(context.clock, SteppedClock)
    context.clock.advance(seconds)


def group(context: Context) -> Group:
    found = context.groups.find(PROJECT, "g")
    assert found is not None
    return found


async def rows(context: Context) -> list[Saved]:
    return await context.catalog.select(GROUPS)


async def test_one_row_for_a_generation_however_many_ask(context: Context, monkeypatch: Any) -> None:
    written: list[tuple[Change, ...]] = []
    apply = context.catalog.apply

    async def counted(*changes: Change) -> int:
        written.append(changes)
        return await apply(*changes)

    monkeypatch.setattr(context.catalog, "apply", counted)
    for client in "abcd":
        await join(context, client)
    advance(context, 1)
    replies = await asyncio.gather(*(sync(context, client) for client in "abcd" * 5))
    assert {reply.state for reply in replies} == {"OK"}
    assert len(written) == 1
    assert [row.generation for row in await rows(context)] == [1]
    for client in "abcd":
        await groups.heartbeat(context, PROJECT, "g", client, MemberRequest(generation=1))
    assert len(written) == 1


async def test_a_generation_that_cannot_be_written_is_told_to_nobody(
    context: Context, monkeypatch: Any
) -> None:
    await join(context, "a")
    advance(context, 1)
    with monkeypatch.context() as broken:

        async def fail(*changes: Change) -> int:
            raise CatalogError("the disk is full")

        broken.setattr(context.catalog, "apply", fail)
        with pytest.raises(CatalogError):
            await sync(context, "a")
    assert await rows(context) == []
    assert (await sync(context, "a")).state == "OK"
    assert [row.members.keys() for row in await rows(context)] == [{"a"}]


async def test_an_app_that_goes_while_a_member_joins(context: Context) -> None:
    await join(context, "a")
    advance(context, 1)
    app = context.apps.find(PROJECT, "g")
    assert app is not None
    await context.catalog.apply(Remove(APPS, {"app_id": app.app_id}))
    context.apps.drop(app)
    with pytest.raises(ApiError) as refusal:
        await sync(context, "a")
    assert refusal.value.code == "DIS.4332"
    await groups.sweep(context)
    assert context.groups.find(PROJECT, "g") is None


async def test_who_went_silent_is_given_up_where_nobody_asks(context: Context) -> None:
    await join(context, "a")
    advance(context, 1)
    await sync(context, "a")
    advance(context, context.limits.group_session_seconds)
    await groups.sweep(context)
    assert [(row.generation, row.members) for row in await rows(context)] == [(1, {})]


async def test_what_is_opened_is_what_was_written(context: Context) -> None:
    for client in "ab":
        await join(context, client)
    advance(context, 1)
    shares = [(await sync(context, client)).assignment for client in "ab"]
    context.groups = await Groups.open(
        context.catalog, context.apps, context.directory, context.clock, context.limits
    )
    assert context.groups.live_members(PROJECT, "g") == 2
    assert [(await sync(context, client)).assignment for client in "ab"] == shares
    context.groups.check_commit(PROJECT, "g", "a", 1)
