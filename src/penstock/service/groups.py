"""What members of consumer groups ask (clients.md 1.9): join, sync, heartbeat, leave. Owns the shapes, who may join, and that a
generation is on the disk before anybody hears of it; knows no HTTP. The group itself is `model.groups`.
"""

from __future__ import annotations

import asyncio
import math
from typing import Annotated

from msgspec import Meta, Struct

from penstock.catalog.base import CatalogError, Put
from penstock.catalog.tables.groups import GROUPS
from penstock.errors import ApiError, invalid
from penstock.iam.base import Principal
from penstock.limits import Limits
from penstock.model.groups import Group, Heartbeat, Key, Saved, Sync, Wish
from penstock.model.patterns import BadPattern
from penstock.model.streams import Right
from penstock.service.apps import app_missing, find_app
from penstock.service.context import Context
from penstock.service.lifecycle import to_the_end
from penstock.service.stream_types import Absent, given

READ = "dis:records:read"
"""What a member must be allowed for each stream it wants: its partitions are taken from others."""


class _Request(Struct, frozen=True, kw_only=True, rename="camel"):
    group_id: Annotated[str | None, Meta(description="The app; the path says it too.")] = None
    client_id: Annotated[str | None, Meta(description="The member; mandatory to join.")] = None


class JoinRequest(_Request, frozen=True, kw_only=True, rename="camel"):
    """Body of POST /v2/{project_id}/apps/{group}/consumers."""

    interested_stream: Annotated[list[str] | Absent | None, Meta(description="Names of streams.")] = None
    interested_stream_id_list: Annotated[
        list[str] | Absent | None, Meta(description="Ids of streams, also of other accounts.")
    ] = None
    stream_pattern: Annotated[
        str | None,
        Meta(description="Instead of names and ids: a Java regular expression that whole names match."),
    ] = None
    accelerate_assign_enabled: Annotated[
        bool | Absent | None, Meta(description="The first member need not wait for others.")
    ] = None
    rebalance_timeout_ms: Annotated[
        int | Absent | None, Meta(description="How long the group may wait for this member to join again.")
    ] = None


class MemberRequest(_Request, frozen=True, kw_only=True, rename="camel"):
    """Body of a sync and of a heartbeat."""

    generation: Annotated[
        int | Absent | None, Meta(description="The generation the member knows; -1 at first.")
    ] = None


class JoinReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """Reply to a join. The states of the protocol are OK, ERROR, REJOIN, ERR_SUBSCRIPTION and GROUP_NOT_EXIST."""

    state: Annotated[str, Meta(description="`OK`, or `ERR_SUBSCRIPTION`: a stream does not exist.")]
    sync_delayed_time_ms: Annotated[int, Meta(description="Milliseconds to wait before the sync.")] = 0
    subscription: Annotated[list[str], Meta(description="The streams; with a pattern those it matches.")] = []


class SyncReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """Reply to a sync."""

    state: Annotated[
        str, Meta(description="`OK`; `WAITING`: others have not joined yet, ask again; `REJOIN`: join first.")
    ]
    generation: Annotated[int, Meta(description="The group's generation, which only ever grows.")]
    assignment: Annotated[
        dict[str, list[int]],
        Meta(description="Stream, as the member named it, and numbers of its partitions."),
    ] = {}


class HeartbeatReply(Struct, frozen=True, kw_only=True):
    """Reply to a heartbeat."""

    state: Annotated[str, Meta(description="`STABLE`: go on reading; `JOINING`: join; `SYNCING`: sync.")]


async def join(
    context: Context, principal: Principal, project_id: str, group_name: str, request: JoinRequest
) -> JoinReply:
    """Become a member, or join the next generation. DIS.4332 (no such app), DIS.4339 (no place), DIS.4116, DIS.4200."""
    _agree("groupId", group_name, request.group_id)
    client = _client(request.client_id, context.limits)
    app = find_app(context, project_id, group_name)
    group = context.groups.of(app)
    wish = _wish(context, principal, project_id, request, group.wish_of(client))
    if wish is None:
        return JoinReply(state="ERR_SUBSCRIPTION")
    seconds = group.join(client, wish, context.groups.now())
    # Up, and a little more: a client that comes too early asks again only after 5 s.
    delay = math.ceil(seconds * 1000) + 10 if seconds else 0
    return JoinReply(state="OK", sync_delayed_time_ms=delay, subscription=[key.text for key in wish.keys])


async def sync(
    context: Context, project_id: str, group_name: str, client: str, request: MemberRequest
) -> SyncReply:
    """The member's partitions, once everybody has joined. DIS.4339 for who waited for a place in vain."""
    _check(group_name, client, request)
    group = context.groups.find(project_id, group_name)
    if group is None:
        return SyncReply(state=Sync.REJOIN, generation=0)
    group.tick(context.groups.now())
    await save(context, group)
    state = group.sync(client, context.groups.now())
    shares = group.shares(client) if state is Sync.OK else {}
    return SyncReply(state=state, generation=group.generation, assignment=shares)


async def heartbeat(
    context: Context, project_id: str, group_name: str, client: str, request: MemberRequest
) -> HeartbeatReply:
    """What the member has to do now. Whoever is unknown is to join: saying that the group does not exist would end the old Kafka
    adapter for good (clients.md 1.9)."""
    _check(group_name, client, request)
    group = context.groups.find(project_id, group_name)
    if group is None:
        return HeartbeatReply(state=Heartbeat.JOINING)
    generation = given(request.generation)
    return HeartbeatReply(
        state=group.heartbeat(client, -1 if generation is None else generation, context.groups.now())
    )


async def leave(context: Context, project_id: str, group_name: str, client: str) -> None:
    """Forget a member; no error when it is none."""
    group = context.groups.find(project_id, group_name)
    if group is not None:
        group.leave(client, context.groups.now())
        await save(context, group)


async def save(context: Context, group: Group) -> None:
    """Write what the catalog does not know of the group yet. DIS.4332 when its app has gone, CatalogError."""
    saving = context.groups.saving
    while (saved := group.to_save) is not None:
        task = saving.get(group.app_id)
        if task is None:
            task = saving[group.app_id] = to_the_end(_write(context, group, saved))
            task.add_done_callback(lambda _: saving.pop(group.app_id, None))
        try:
            await asyncio.shield(task)
        except CatalogError:
            if context.apps.by_id(group.app_id) is None:
                raise app_missing("its app was deleted") from None
            raise


async def _write(context: Context, group: Group, saved: Saved) -> None:
    await context.catalog.apply(Put(GROUPS, saved))
    group.saved(saved)


async def sweep(context: Context) -> None:
    """Give up members that have been silent for too long also where nobody asks; forget groups of apps that have gone."""
    groups = context.groups
    groups.forget_without(context.apps)
    for group in groups.all():
        group.tick(groups.now())
        if context.apps.by_id(group.app_id) is not None:
            await save(context, group)


def _wish(
    context: Context, principal: Principal, project_id: str, request: JoinRequest, before: Wish | None
) -> Wish | None:
    """What a member asks for; None when one of its streams does not exist, or is named twice. One that existed when the member
    joined `before` may have gone: whoever lives on is not told that its subscription is wrong."""
    limits = context.limits
    names = list(dict.fromkeys(given(request.interested_stream) or ()))
    ids = list(dict.fromkeys(given(request.interested_stream_id_list) or ()))
    for field, texts in (("interestedStream", names), ("interestedStreamIdList", ids)):
        if len(texts) > limits.group_streams_max:
            raise invalid(field, f"{len(texts)} streams, at most {limits.group_streams_max}")
    timeout = given(request.rebalance_timeout_ms)
    if timeout is not None and timeout < 0:
        raise invalid("rebalanceTimeoutMs", f"{timeout} is less than 0")
    if request.stream_pattern:
        context.access.check(principal, project_id, READ)
        keys = _matching(context, project_id, request.stream_pattern)
    elif names or ids:
        known = set(before.keys) if before is not None else set()
        seen: set[str] = set()
        chosen = []
        for text, by_id in [(name, False) for name in names] + [(one, True) for one in ids]:
            key = _find(context, principal, project_id, text, by_id, seen)
            if key is None and Key(text, by_id) in known:
                key = Key(text, by_id)
            if key is None:
                return None
            chosen.append(key)
        keys = tuple(chosen)
    else:
        raise invalid("interestedStream", "required")
    return Wish(
        keys=keys,
        pattern=request.stream_pattern or "",
        rebalance_seconds=min(timeout / 1000, limits.group_rebalance_seconds_max) if timeout else None,
        hurried=bool(given(request.accelerate_assign_enabled)),
    )


def _find(
    context: Context, principal: Principal, project_id: str, text: str, by_id: bool, seen: set[str]
) -> Key | None:
    """The key of a stream that exists and is not in `seen`, to which it is added. DIS.4116."""
    name = None if by_id else text
    try:
        stream = context.access.find_stream(principal, project_id, name, text, Right.GET, READ)
    except ApiError as error:
        if error.code != "DIS.4301":
            raise
        return None
    if stream.stream_id in seen:
        return None
    seen.add(stream.stream_id)
    # Where a name is asked for, an id does too (clients.md 1.2).
    return Key(text, by_id or context.directory.get(project_id, text) is not stream)


def _matching(context: Context, project_id: str, pattern: str) -> tuple[Key, ...]:
    if len(pattern) > context.limits.stream_pattern_length:
        raise invalid(
            "streamPattern", f"{len(pattern)} characters, at most {context.limits.stream_pattern_length}"
        )
    try:
        return context.groups.matching(project_id, pattern)
    except BadPattern as error:
        raise invalid("streamPattern", str(error)) from error


def _client(text: str | None, limits: Limits) -> str:
    if not text:
        raise invalid("clientId", "missing")
    if len(text) > limits.client_id_length or not text.isprintable() or "/" in text:
        raise invalid("clientId", f"not 1 to {limits.client_id_length} printable characters without a slash")
    return text


def _check(group_name: str, client: str, request: MemberRequest) -> None:
    _agree("groupId", group_name, request.group_id)
    _agree("clientId", client, request.client_id)


def _agree(field: str, path: str, body: str | None) -> None:
    if body and body != path:
        raise invalid(field, "not the one in the path")
