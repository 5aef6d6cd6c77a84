"""Delivering events to those who subscribed (chapter 6): by webhook, or as records of a stream. Owns retries and what an
address must be; who subscribed is `service.subscriptions`'s.

Each subscription has a lane of its own, so that an endpoint that fails or hangs delays nobody else's events. What is not
delivered yet has a row in the catalog and outlives a restart: an event arrives at least once, its id tells repetitions.

A name in a URL is resolved here, and the request goes to the very address that was checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog

from penstock import __version__
from penstock.catalog.base import CatalogError, Remove
from penstock.catalog.tables.monitoring import DELIVERIES
from penstock.errors import ApiError
from penstock.iam.base import Principal
from penstock.iam.sealing import SealingError
from penstock.model.addresses import refusal
from penstock.model.events import Event, Subscription
from penstock.service.context import Context
from penstock.service.events import ShownEvent, shown
from penstock.service.puts import PutRecord, PutRecords
from penstock.service.subscriptions import Subscriptions

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 300.0
_HOUR_MS = 3_600_000
_OK = range(200, 300)

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Addresses of a host and port."""

_log = structlog.get_logger("penstock.webhooks")


class Payload(msgspec.Struct):
    """The body of a webhook, or the data of a record."""

    subscription_id: str
    subscription_name: str
    project_id: str
    attempt: int
    event: ShownEvent


class NotDelivered(Exception):
    """Not taken this time; the message says why."""


class _Lane:
    """One subscription's events, oldest first."""

    def __init__(self) -> None:
        self.events: deque[str] = deque()
        self.task: asyncio.Task[None] | None = None
        self.wake = asyncio.Event()


class Webhooks:
    """Delivers what `Events` has written down, and what was left over when the server stopped."""

    name = "webhooks"

    def __init__(self, context: Context, *, resolve: Resolve | None = None) -> None:
        assert context.subscriptions is not None
        self._context = context
        self._subscriptions: Subscriptions = context.subscriptions
        self._resolve = resolve or _resolve
        self._lanes: dict[str, _Lane] = {}
        self._slots = asyncio.Semaphore(context.limits.webhooks_at_once)
        self._loading: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    def start(self) -> None:
        """Take over from the catalog what is still to be delivered."""
        # No proxies, no redirects, no cookies kept: a request goes where the subscription says, or nowhere.
        self._client = httpx.AsyncClient(
            timeout=self._context.limits.webhook_seconds,
            follow_redirects=False,
            trust_env=False,
            verify=httpx.create_ssl_context(),  # with SSL_CERT_FILE, where one is named
        )
        for name in ("httpx", "httpcore"):  # they would log URLs, which may hold secrets
            logging.getLogger(name).setLevel(logging.WARNING)
        self._context.events.delivered_to = self.add
        self._subscriptions.changed = self._changed
        self._loading = asyncio.create_task(self._load(), name=self.name)

    async def stop(self) -> None:
        """Stop; what is under way is tried again after the next start."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        tasks += [] if self._loading is None else [self._loading]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._client is not None:
            await self._client.aclose()

    async def _load(self) -> None:
        known = await self._context.catalog.select(DELIVERIES, order="event_id")
        for delivery in known:
            self._enqueue(delivery.subscription_id, delivery.event_id)

    def add(self, subscription_id: str, event: Event) -> None:
        """A delivery was written down."""
        self._enqueue(subscription_id, event.event_id)

    def _enqueue(self, subscription_id: str, event_id: str) -> None:
        lane = self._lanes.setdefault(subscription_id, _Lane())
        if event_id in lane.events:
            return  # told of it while the rows were read
        lane.events.append(event_id)
        if lane.task is None:
            lane.task = asyncio.create_task(
                self._run(subscription_id, lane), name=f"webhook {subscription_id}"
            )

    def _changed(self, subscription_id: str) -> None:
        if (lane := self._lanes.get(subscription_id)) is not None:
            lane.wake.set()

    async def _run(self, subscription_id: str, lane: _Lane) -> None:
        attempt = 0
        try:
            while lane.events:
                try:
                    done = await self._turn(subscription_id, lane, attempt + 1)
                except (CatalogError, SealingError, OSError) as error:
                    _log.error("event not delivered", subscription=subscription_id, reason=str(error))
                    done = False
                attempt = 0 if done else attempt + 1
                if not done:
                    await self._wait(lane, attempt)
        except Exception:
            _log.exception("deliveries stopped until the next event", subscription=subscription_id)
        finally:
            lane.task = None
            if not lane.events:
                self._lanes.pop(subscription_id, None)

    async def _wait(self, lane: _Lane, attempt: int) -> None:
        """Longer after each failure; a change of the subscription ends it."""
        lane.wake.clear()
        seconds = min(FIRST_WAIT_SECONDS * 2 ** min(attempt - 1, 16), LONGEST_WAIT_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lane.wake.wait(), seconds)

    async def _turn(self, subscription_id: str, lane: _Lane, attempt: int) -> bool:
        """Try the oldest event; whether it is off the lane."""
        context = self._context
        subscription = self._subscriptions.get(subscription_id)
        if subscription is None or not subscription.enabled:
            lane.events.clear()
            await context.catalog.apply(Remove(DELIVERIES, {"subscription_id": subscription_id}))
            return True
        over = len(lane.events) - context.limits.deliveries_per_subscription
        for _ in range(over):
            await self._give_up(subscription, lane, "too many are waiting")
        event_id = lane.events[0]
        event = await context.events.find(event_id)
        if event is None:
            await self._give_up(subscription, lane, "the event is kept no more")
            return True
        if event.occurred_ms < context.clock.now_ms() - context.limits.webhook_hours * _HOUR_MS:
            await self._give_up(subscription, lane, f"not taken within {context.limits.webhook_hours} hours")
            return True
        try:
            async with self._slots:
                await self.deliver(subscription, event, attempt)
        except NotDelivered as reason:
            _log.warning(
                "event not taken, will be tried again",
                subscription=subscription.name,
                event_id=event_id,
                attempt=attempt,
                reason=str(reason),
            )
            return False
        await self._off(subscription_id, lane)
        return True

    async def _give_up(self, subscription: Subscription, lane: _Lane, reason: str) -> None:
        _log.error("event given up", subscription=subscription.name, event_id=lane.events[0], reason=reason)
        await self._off(subscription.subscription_id, lane)

    async def _off(self, subscription_id: str, lane: _Lane) -> None:
        await self._context.catalog.apply(
            Remove(DELIVERIES, {"subscription_id": subscription_id, "event_id": lane.events[0]})
        )
        lane.events.popleft()

    # One delivery -----------------------------------------------------------------------------------------------

    async def deliver(self, subscription: Subscription, event: Event, attempt: int) -> None:
        """Raises NotDelivered."""
        body = msgspec.json.encode(
            Payload(
                subscription.subscription_id,
                subscription.name,
                subscription.project_id,
                attempt,
                shown(event),
            )
        )
        if subscription.url:
            await self._post(subscription, event, body)
        else:
            await self._put(subscription, body)

    async def _put(self, subscription: Subscription, body: bytes) -> None:
        request = PutRecords([PutRecord(body)], subscription.topic_name)
        try:
            outcome = await self._context.records.put(
                _OURSELVES, subscription.project_id, request, body_bytes=len(body)
            )
        except ApiError as error:
            raise NotDelivered(str(error)) from error
        for code, message in outcome.failed.values():
            raise NotDelivered(f"{code} {message}")

    async def _post(self, subscription: Subscription, event: Event, body: bytes) -> None:
        assert self._client is not None
        parts = urlsplit(subscription.url)
        host = parts.hostname or ""
        address = await self._address(host, parts.port or (443 if parts.scheme == "https" else 80))
        moment = str(self._context.clock.now_ms() // 1000)
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": f"penstock/{__version__}",
            "X-Penstock-Event": event.kind,
            "X-Penstock-Event-Id": event.event_id,
            "X-Penstock-Timestamp": moment,
        }
        if secret := self._subscriptions.secret(subscription):
            headers["X-Penstock-Signature"] = signature(secret, moment, body)
        url = httpx.URL(subscription.url).copy_with(host=str(address))
        extensions = {"sni_hostname": host} if parts.scheme == "https" else {}
        try:
            async with (
                asyncio.timeout(self._context.limits.webhook_seconds),
                self._client.stream(
                    "POST", url, content=body, headers=headers, extensions=extensions
                ) as reply,
            ):
                status = reply.status_code  # whatever the body says, it is not read
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, ValueError) as error:
            raise NotDelivered(f"{type(error).__name__}: {error}") from error
        if status not in _OK:
            raise NotDelivered(f"answered with status {status}")

    async def _address(self, host: str, port: int) -> IPv4Address | IPv6Address:
        """The address to call. Every address of a name must be one that may be called."""
        try:
            async with asyncio.timeout(self._context.limits.webhook_seconds):
                texts = await self._resolve(host, port)
            addresses = [ip_address(text) for text in texts]
        except (OSError, TimeoutError, ValueError) as error:
            raise NotDelivered(f"{host} cannot be resolved: {error}") from error
        if not addresses:
            raise NotDelivered(f"{host} has no address")
        for address in addresses:
            if reason := refusal(address, allow_private=self._context.settings.events_allow_private):
                raise NotDelivered(reason)
        return addresses[0]


_OURSELVES = Principal(user_id="", user_name="penstock", domain_id="", domain_name="", owner=True)


def signature(secret: bytes, moment: str, body: bytes) -> str:
    """The value of X-Penstock-Signature: HMAC-SHA256 over the timestamp header, a dot and the body, in hexadecimal."""
    digest = hmac.new(secret, moment.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


async def _resolve(host: str, port: int) -> list[str]:
    """Addresses of a host. In a thread of its own that nobody waits for: a resolver may take as long as it likes, and neither
    other names nor the end of the process with it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found: list[str] | OSError = [str(entry[4][0]).partition("%")[0] for entry in entries]
        except (OSError, UnicodeError) as error:
            found = error if isinstance(error, OSError) else OSError(str(error))
        with contextlib.suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
    return await answer
