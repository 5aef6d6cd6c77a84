"""Routes of events and their subscriptions (chapter 6), under /v1 and /v2. Owns the mapping of paths, parameters and statuses.

The reference names the operations and their actions only (table 6-1): docs/events.md says what they take and answer.
"""

from __future__ import annotations

import re

import msgspec

from penstock.errors import invalid
from penstock.http.call import Call, Doc, Number, Parameter, Reply, Route
from penstock.model.events import KIND_OF_TYPE, KINDS
from penstock.service import subscriptions
from penstock.service.events import EventFilter, EventsReply
from penstock.service.subscriptions import ShownSubscription, SubscriptionRequest, SubscriptionsReply

_MILLISECONDS = 10**11
"""A time from here on cannot be seconds."""


class ShownKind(msgspec.Struct):
    """A kind of event that can be subscribed to."""

    kind: str
    type_id: str
    type_name: str
    severity: int
    category: int


class KindsReply(msgspec.Struct):
    """Every kind there is."""

    count: int
    events: list[ShownKind]


_KIND = Parameter(
    "kind",
    f"Only these kinds, separated by commas: {', '.join(KINDS)}.",
    aliases=("kinds", "type_id", "event_type"),
)
_STREAM = Parameter("stream_name", "Only events of this stream, by name or id.", aliases=("stream_id",))
_START = Parameter("start_time", "Only events from this time on, in seconds or milliseconds.")
_END = Parameter("end_time", "Only events up to this time, in seconds or milliseconds.")
_LIMIT = Number(
    "limit", "How many to return.", default="list_events_default", minimum=1, maximum="list_events_max"
)
_OFFSET = Number("offset", "How many to leave out first.")
_SUBSCRIPTIONS_LIMIT = Number(
    "limit",
    "How many to return.",
    default="subscriptions_per_project",
    minimum=1,
    maximum="subscriptions_per_project",
)


async def list_(call: Call) -> Reply:
    """GET /events: newest first."""
    wanted = EventFilter(
        kinds=_kinds(_KIND.of(call)),
        stream_name=_STREAM.of(call),
        start_ms=_time(_START, call) or 0,
        end_ms=_end(call),
    )
    page = await call.context.events.page(call.project_id, wanted, _OFFSET.of(call), _LIMIT.of(call))
    return Reply(200, page)


async def list_kinds(call: Call) -> Reply:
    """GET /event-list: what can be subscribed to."""
    kinds = [
        ShownKind(kind.name, kind.type_id, kind.type_name, int(kind.severity), int(kind.category))
        for kind in KINDS.values()
    ]
    return Reply(200, KindsReply(len(kinds), kinds))


def _kinds(text: str) -> frozenset[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    kinds = [KIND_OF_TYPE.get(name, name) for name in names]
    for kind in kinds:
        if kind not in KINDS:
            raise invalid("kind", f"{kind[:64]} is not one of {', '.join(KINDS)}")
    return frozenset(kinds)


def _time(parameter: Parameter, call: Call) -> int | None:
    """Milliseconds; seconds are taken for what they are."""
    text = parameter.of(call)
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
        raise invalid(parameter.name, f"{text[:32]} is not a time")
    return int(text) if int(text) >= _MILLISECONDS else int(text) * 1000


def _end(call: Call) -> int | None:
    """A second named as the end belongs to it whole."""
    end = _time(_END, call)
    return None if end is None else end + 999 if end % 1000 == 0 else end


async def create(call: Call) -> Reply:
    """POST /event-subs: 201 with the subscription, whose id the other operations take."""
    request = call.decode(SubscriptionRequest)
    return Reply(201, await subscriptions.create(call.context, call.project_id, request))


async def list_subscriptions(call: Call) -> Reply:
    """GET /event-subs."""
    offset, limit = _OFFSET.of(call), _SUBSCRIPTIONS_LIMIT.of(call)
    return Reply(200, subscriptions.page(call.context, call.project_id, offset, limit))


async def describe(call: Call) -> Reply:
    """GET /event-subs/{sub_id}."""
    return Reply(200, subscriptions.describe(call.context, call.project_id, call.params["sub_id"]))


async def update(call: Call) -> Reply:
    """PUT /event-subs/{sub_id}."""
    request = call.decode(SubscriptionRequest)
    shown = await subscriptions.update(call.context, call.project_id, call.params["sub_id"], request)
    return Reply(200, shown)


async def delete(call: Call) -> Reply:
    """DELETE /event-subs/{sub_id}: 204."""
    await subscriptions.delete(call.context, call.project_id, call.params["sub_id"])
    return Reply(204)


_EVENTS = Doc(
    "6 table 6-1",
    "What happened, newest first",
    reply=EventsReply,
    query=(_KIND, _STREAM, _START, _END, _LIMIT, _OFFSET),
    errors=("DIS.4200",),
)
_LIST = Doc(
    "6 table 6-1",
    "Subscriptions of the project",
    reply=SubscriptionsReply,
    query=(_SUBSCRIPTIONS_LIMIT, _OFFSET),
    errors=("DIS.4200",),
)
_CREATE = Doc(
    "6 table 6-1",
    "Subscribe to events",
    SubscriptionRequest,
    ShownSubscription,
    status=201,
    errors=("DIS.4200", "DIS.4301", "DIS.4308"),
)
_ONE = Doc("6", "One subscription", reply=ShownSubscription, errors=("DIS.4603",))
_UPDATE = Doc(
    "6 table 6-1",
    "Change a subscription",
    SubscriptionRequest,
    ShownSubscription,
    errors=("DIS.4200", "DIS.4301", "DIS.4603"),
)
_DELETE = Doc("6 table 6-1", "Remove a subscription", status=204, errors=("DIS.4603",))
_KINDS = Doc("6", "Kinds of events that can be subscribed to", reply=KindsReply)


def _routes(version: str) -> list[Route]:
    base = f"/{version}/{{project_id}}"
    subs, one = f"{base}/event-subs", f"{base}/event-subs/{{sub_id}}"
    return [
        Route("GET", f"{base}/events", list_, action="dis:events:list", doc=_EVENTS),
        Route("GET", f"{base}/event-list", list_kinds, action="dis:events:list", doc=_KINDS),
        Route("POST", subs, create, action="dis:eventEnumSubs:create", doc=_CREATE),
        Route("GET", subs, list_subscriptions, action="dis:eventEnumSubs:list", doc=_LIST),
        Route("GET", one, describe, action="dis:eventEnumSubs:list", doc=_ONE),
        Route("PUT", one, update, action="dis:eventEnumSubs:update", doc=_UPDATE),
        Route("DELETE", one, delete, action="dis:eventEnumSubs:delete", doc=_DELETE),
    ]


ROUTES: list[Route] = [*_routes("v1"), *_routes("v2")]
