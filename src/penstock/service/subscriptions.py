"""Event subscriptions (chapter 6): who is told of which events. Owns their rules and keeps them in memory beside the catalog;
delivering is `jobs.webhooks`'s. Secrets are sealed, opened only to sign, and never shown.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from penstock.catalog.base import Catalog, Exists, Insert, Quota, QuotaExceeded, Remove, Replace
from penstock.catalog.tables.monitoring import SUBSCRIPTIONS
from penstock.clock import Clock
from penstock.errors import ApiError, invalid
from penstock.iam.sealing import Sealer
from penstock.limits import Limits
from penstock.model.addresses import refusal
from penstock.model.events import KIND_OF_TYPE, KINDS, Event, Subscription
from penstock.service.context import Context

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_STREAM = 1
"""`topic_type` of a subscription that goes into a stream; 0 is a notification topic, here a webhook."""

Texts = list[str] | str
"""A list, or one text with commas or line breaks between them."""


class SubscriptionRequest(msgspec.Struct):
    """What may be said of a subscription when it is made or changed. `kinds` and `streams`: all when empty or absent.
    `enable`, `event_ids`, `events_ids`, `event_streamids` and `topic_type` are the cloud service's names for the same."""

    name: str | None = None
    kinds: Texts | None = None
    streams: Texts | None = None
    url: str | None = None
    secret: str | None = None
    enabled: bool | None = None
    topic_type: Annotated[int, msgspec.Meta(ge=0, le=1)] | None = None
    topic_name: str | None = None
    topic_urn: str | None = None
    enable: bool | None = None
    event_ids: Texts | None = None
    events_ids: Texts | None = None
    event_streamids: Texts | None = None


class ShownSubscription(msgspec.Struct):
    """A subscription as clients see it."""

    subscription_id: str
    name: str
    kinds: tuple[str, ...]
    event_ids: tuple[str, ...]
    streams: tuple[str, ...]
    url: str
    topic_type: int
    topic_name: str
    signed: bool
    enabled: bool
    create_time: int
    last_modified_time: int


class SubscriptionsReply(msgspec.Struct):
    """A project's subscriptions, ordered by name. `count` is how many there are in all."""

    count: int
    subscriptions: list[ShownSubscription]
    has_more: bool


class Subscriptions:
    """All subscriptions of all projects."""

    def __init__(self, catalog: Catalog, sealer: Sealer, limits: Limits, clock: Clock) -> None:
        self._catalog = catalog
        self._sealer = sealer
        self._limits = limits
        self._clock = clock
        self._by_id: dict[str, Subscription] = {}
        self._by_project: dict[str, dict[str, Subscription]] = {}
        self._lock = asyncio.Lock()
        self.changed: Callable[[str], None] = lambda subscription_id: None
        """Told of the id of each subscription that was changed or removed."""

    async def load(self) -> None:
        """Read everything from the catalog."""
        for subscription in await self._catalog.select(SUBSCRIPTIONS):
            self._keep(subscription)

    def _keep(self, subscription: Subscription) -> None:
        self._by_id[subscription.subscription_id] = subscription
        self._by_project.setdefault(subscription.project_id, {})[subscription.subscription_id] = subscription

    def matching(self, event: Event) -> Iterable[str]:
        """Ids of the subscriptions an event is for."""
        for subscription in self._by_project.get(event.project_id, {}).values():
            if subscription.wants(event):
                yield subscription.subscription_id

    def get(self, subscription_id: str) -> Subscription | None:
        """The subscription with that id, of any project."""
        return self._by_id.get(subscription_id)

    def of_project(self, project_id: str) -> list[Subscription]:
        """A project's, ordered by name."""
        return sorted(self._by_project.get(project_id, {}).values(), key=lambda s: s.name)

    def secret(self, subscription: Subscription) -> bytes:
        """What requests to its webhook are signed with; empty without one. Raises SealingError."""
        if not subscription.sealed_secret:
            return b""
        return self._sealer.unseal(subscription.sealed_secret, _purpose(subscription.subscription_id))

    def seal(self, subscription_id: str, secret: str) -> bytes:
        """A secret, sealed for one subscription."""
        return self._sealer.seal(secret.encode(), _purpose(subscription_id)) if secret else b""

    async def insert(self, subscription: Subscription) -> None:
        """DIS.4200 (the name is taken), DIS.4308 (quota)."""
        most = self._limits.subscriptions_per_project
        async with self._lock:
            try:
                quota = Quota({"project_id": subscription.project_id}, most)
                await self._catalog.apply(Insert(SUBSCRIPTIONS, subscription, (quota,)))
            except Exists as error:
                raise invalid("name", f"there is a subscription {subscription.name}") from error
            except QuotaExceeded as error:
                raise ApiError("DIS.4308", f"[{most} of {most} event subscriptions used]") from error
            self._keep(subscription)

    async def replace(self, subscription: Subscription) -> None:
        """DIS.4200 (the name is taken), DIS.4603 (gone meanwhile)."""
        async with self._lock:
            if subscription.subscription_id not in self._by_id:
                raise missing(subscription.subscription_id)
            try:
                await self._catalog.apply(Replace(SUBSCRIPTIONS, subscription))
            except Exists as error:
                raise invalid("name", f"there is a subscription {subscription.name}") from error
            self._keep(subscription)
        self.changed(subscription.subscription_id)

    async def remove(self, subscription: Subscription) -> None:
        """Forget it and what it was still to be told."""
        async with self._lock:
            subscription_id = subscription.subscription_id
            await self._catalog.apply(Remove(SUBSCRIPTIONS, {"subscription_id": subscription_id}))
            self._by_id.pop(subscription_id, None)
            of_project = self._by_project.get(subscription.project_id, {})
            of_project.pop(subscription_id, None)
            if not of_project:
                self._by_project.pop(subscription.project_id, None)
        self.changed(subscription_id)


def _purpose(subscription_id: str) -> bytes:
    return f"event-subscription:{subscription_id}".encode()


def missing(subscription_id: str) -> ApiError:
    """DIS.4603 naming the subscription."""
    return ApiError("DIS.4603", f"[subscription {subscription_id[:64]}]")


# Operations -----------------------------------------------------------------------------------------------------


def _all(context: Context) -> Subscriptions:
    assert context.subscriptions is not None
    return context.subscriptions


def _find(context: Context, project_id: str, subscription_id: str) -> Subscription:
    found = _all(context).get(subscription_id)
    if found is None or found.project_id != project_id:
        raise missing(subscription_id)
    return found


async def create(context: Context, project_id: str, request: SubscriptionRequest) -> ShownSubscription:
    """POST /event-subs. DIS.4200 naming the field, DIS.4308 (quota)."""
    now = context.clock.now_ms()
    if not request.name:
        raise invalid("name", "missing")
    fresh = Subscription(
        subscription_id=secrets.token_hex(16),
        project_id=project_id,
        name=request.name,
        kinds=(),
        streams=(),
        url="",
        topic_name="",
        sealed_secret=b"",
        enabled=True,
        created_ms=now,
        modified_ms=now,
    )
    subscription = _changed(context, fresh, request)
    await _all(context).insert(subscription)
    return _shown(subscription)


async def update(
    context: Context, project_id: str, subscription_id: str, request: SubscriptionRequest
) -> ShownSubscription:
    """PUT /event-subs/{sub_id}: what is given changes, the rest stays. DIS.4603, DIS.4200."""
    known = _find(context, project_id, subscription_id)
    subscription = _changed(context, known, request)
    await _all(context).replace(subscription)
    return _shown(subscription)


async def delete(context: Context, project_id: str, subscription_id: str) -> None:
    """DELETE /event-subs/{sub_id}. DIS.4603."""
    await _all(context).remove(_find(context, project_id, subscription_id))


def describe(context: Context, project_id: str, subscription_id: str) -> ShownSubscription:
    """GET /event-subs/{sub_id}. DIS.4603."""
    return _shown(_find(context, project_id, subscription_id))


def page(context: Context, project_id: str, offset: int, limit: int) -> SubscriptionsReply:
    """GET /event-subs."""
    known = _all(context).of_project(project_id)
    found = known[offset : offset + limit]
    return SubscriptionsReply(len(known), list(map(_shown, found)), offset + len(found) < len(known))


def _shown(subscription: Subscription) -> ShownSubscription:
    return ShownSubscription(
        subscription_id=subscription.subscription_id,
        name=subscription.name,
        kinds=subscription.kinds,
        event_ids=tuple(KINDS[kind].type_id for kind in subscription.kinds),
        streams=subscription.streams,
        url=subscription.url,
        topic_type=0 if subscription.url else _STREAM,
        topic_name=subscription.topic_name,
        signed=bool(subscription.sealed_secret),
        enabled=subscription.enabled,
        create_time=subscription.created_ms,
        last_modified_time=subscription.modified_ms,
    )


def _changed(context: Context, before: Subscription, request: SubscriptionRequest) -> Subscription:
    """`before` with what the request says. DIS.4200 naming the field, DIS.4301 (the stream it is to go into)."""
    limits = context.limits
    name = request.name or before.name
    if not NAME.fullmatch(name):
        raise invalid(
            "name", f"{name[:64]} is not 1 to 64 letters, digits, `-` and `_`, the first a letter or digit"
        )
    kinds = _first(request.kinds, request.event_ids, request.events_ids)
    streams = _first(request.streams, request.event_streamids)
    url, topic_name = before.url, before.topic_name
    if request.url:
        url, topic_name = _url(context, request.url), ""
    elif request.topic_type == _STREAM:
        url, topic_name = "", _topic(context, before.project_id, request.topic_name)
    elif not url and (not topic_name or request.topic_type == 0):
        raise invalid("url", "missing: the webhook to call; there is no notification service here")
    secret = before.sealed_secret
    if request.secret:
        if len(request.secret) > limits.webhook_secret_length:
            raise invalid("secret", f"longer than {limits.webhook_secret_length} characters")
        secret = _all(context).seal(before.subscription_id, request.secret)
    enabled = request.enabled if request.enabled is not None else request.enable
    return msgspec.structs.replace(
        before,
        name=name,
        kinds=before.kinds if kinds is None else _kinds(kinds),
        streams=before.streams if streams is None else _streams(context, before.project_id, streams),
        url=url,
        topic_name=topic_name,
        sealed_secret=secret,
        enabled=before.enabled if enabled is None else enabled,
        modified_ms=context.clock.now_ms(),
    )


def _first(*given: Texts | None) -> list[str] | None:
    """The first that is there, as a list without repetitions; "" is absent."""
    for texts in given:
        if texts is not None and texts != "":
            parts = re.split(r"[,\n]|\\n", texts) if isinstance(texts, str) else texts
            return list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    return None


def _kinds(given: list[str]) -> tuple[str, ...]:
    kinds = [KIND_OF_TYPE.get(text, text) for text in given]
    for kind in kinds:
        if kind not in KINDS:
            raise invalid("kinds", f"{kind[:64]} is not one of {', '.join(KINDS)}")
    return tuple(dict.fromkeys(kinds))


def _streams(context: Context, project_id: str, given: list[str]) -> tuple[str, ...]:
    most = context.limits.streams_per_subscription
    if len(given) > most:
        raise invalid("streams", f"{len(given)} streams, at most {most}")
    names = []
    for text in given:
        if len(text) > context.limits.stream_name_length:
            raise invalid("streams", f"{text[:64]} is longer than {context.limits.stream_name_length}")
        stream = context.directory.find(project_id, text)
        names.append(text if stream is None else stream.name)
    return tuple(dict.fromkeys(names))


def _topic(context: Context, project_id: str, name: str | None) -> str:
    if not name:
        raise invalid("topic_name", "missing: the stream events go into")
    if context.directory.get(project_id, name) is None:
        raise ApiError("DIS.4301", f"[{name[:64]}][{project_id}]")
    return name


def _url(context: Context, url: str) -> str:
    """DIS.4200 saying what is wrong with a webhook's address. A name is looked up when it is called."""
    most = context.limits.webhook_url_length
    if len(url) > most:
        raise invalid("url", f"longer than {most} characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise invalid("url", "not a URL") from error
    if parts.scheme not in ("http", "https") or not host:
        raise invalid("url", "not an http or https URL")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise invalid("url", "only printable ASCII characters, others percent-encoded")
    if parts.username is not None or parts.password is not None:
        raise invalid("url", "no user name or password in it: use a secret")
    try:
        address = ip_address(host)
    except ValueError:
        return url
    if reason := refusal(address, allow_private=context.settings.events_allow_private):
        raise invalid("url", reason)
    return url
