"""Delivering: signed, in order, again after failures and restarts, nowhere it must not go, nobody in another's way."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.streams import PROJECT, make_context

from penstock.catalog.tables.monitoring import DELIVERIES
from penstock.cli import certificates
from penstock.clock import SteppedClock
from penstock.iam.sealing import Sealer
from penstock.jobs import webhooks as webhooks_module
from penstock.jobs.webhooks import Webhooks
from penstock.limits import Limits
from penstock.service import subscriptions as operations
from penstock.service.context import Context
from penstock.service.events import Events
from penstock.service.subscriptions import ShownSubscription, SubscriptionRequest, Subscriptions


class Receiver:
    """An HTTP server on loopback that keeps what it is sent. `statuses` are its next answers, then 200."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.hang = False
        self.location = ""
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:]) if k}
        body = await reader.readexactly(int(headers["content-length"]))
        async with self._arrived:
            self.got.append((headers | {":path": head[0].split()[1]}, body))
            self._arrived.notify_all()
        if self.hang:
            await asyncio.sleep(3600)
        status = self.statuses.pop(0) if self.statuses else 200
        location = f"Location: {self.location}\r\n" if self.location else ""
        writer.write(
            f"HTTP/1.1 {status} X\r\n{location}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode()
        )
        await writer.drain()
        writer.close()

    async def wait(self, count: int) -> list[str]:
        """The details of the events of the first `count` requests, once they are there."""
        async with asyncio.timeout(20), self._arrived:
            await self._arrived.wait_for(lambda: len(self.got) >= count)
        return [json.loads(body)["event"]["description"] for _, body in self.got]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?from=penstock"


Start = Callable[..., Any]


class Delivering:
    """A context that delivers. `stop` and `begin` are a restart."""

    def __init__(self, directory: Path, limits: Limits, *, allow_private: bool, resolve: Any) -> None:
        self._directory, self._limits, self._resolve = directory, limits, resolve
        self._allow_private = allow_private
        self.clock = SteppedClock()
        self.context: Context = None  # type: ignore[assignment]
        self.webhooks: Webhooks = None  # type: ignore[assignment]

    async def begin(self) -> None:
        context = await make_context(self._directory, limits=self._limits, clock=self.clock)
        context.settings = msgspec.structs.replace(context.settings, events_allow_private=self._allow_private)
        context.subscriptions = Subscriptions(
            context.catalog, Sealer.open(self._directory), context.limits, self.clock
        )
        await context.subscriptions.load()
        context.events = Events(context.catalog, context.limits, self.clock)
        context.events.listen(context.directory, context.subscriptions.matching)
        self.context = context
        self.webhooks = Webhooks(context, resolve=self._resolve)
        self.webhooks.start()

    async def stop(self) -> None:
        await self.webhooks.stop()
        await self.context.catalog.close()

    async def subscribe(self, name: str, url: str, **fields: Any) -> ShownSubscription:
        return await operations.create(
            self.context, PROJECT, SubscriptionRequest(name=name, url=url, **fields)
        )

    async def emit(self, *details: str, kind: str = "auto_scale_ok", stream: str = "s") -> None:
        for detail in details:
            self.context.events.emit(kind, PROJECT, stream, detail)
        await self.context.events.flush()

    async def settled(self) -> None:
        """Nothing is left to deliver."""
        async with asyncio.timeout(20):
            while await self.context.catalog.count(DELIVERIES):
                await asyncio.sleep(0.01)


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr(webhooks_module, "FIRST_WAIT_SECONDS", 0.02)
    made: list[Delivering] = []

    async def begin(*, allow_private: bool = True, resolve: Any = None, **limits: Any) -> Delivering:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        one = Delivering(directory, Limits(**limits), allow_private=allow_private, resolve=resolve)
        made.append(one)
        await one.begin()
        return one

    yield begin
    for one in made:
        await one.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


async def test_what_a_webhook_is_sent(start: Start, receiver: Receiver) -> None:
    """docs/events.md, "Webhooks"."""
    made = await start()
    shown = await made.subscribe("alarms", receiver.url, secret="shared secret")
    await made.emit("scaled from 1 to 2")
    await receiver.wait(1)
    headers, body = receiver.got[0]
    assert headers[":path"] == "/hook?from=penstock"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["content-type"] == "application/json"
    payload = json.loads(body)
    assert payload == {
        "subscription_id": shown.subscription_id,
        "subscription_name": "alarms",
        "project_id": PROJECT,
        "attempt": 1,
        "event": {
            "id": headers["x-penstock-event-id"],
            "kind": "auto_scale_ok",
            "type_id": "dis_event.004",
            "type_name": "Auto scaling succeeded",
            "severity": 0,
            "category": 1,
            "description": "scaled from 1 to 2",
            "occur_time": made.clock.now_ms(),
            "source_name": "s",
            "source_id": "",
        },
    }
    assert headers["x-penstock-event"] == "auto_scale_ok"
    assert headers["x-penstock-timestamp"] == str(made.clock.now_ms() // 1000)
    signed = headers["x-penstock-timestamp"].encode() + b"." + body
    expected = hmac.new(b"shared secret", signed, hashlib.sha256).hexdigest()
    assert headers["x-penstock-signature"] == f"sha256={expected}"
    await made.settled()


async def test_without_a_secret_nothing_is_signed(start: Start, receiver: Receiver) -> None:
    made = await start()
    await made.subscribe("a", receiver.url)
    await made.emit("x")
    await receiver.wait(1)
    assert "x-penstock-signature" not in receiver.got[0][0]


async def test_only_what_was_subscribed_to(start: Start, receiver: Receiver) -> None:
    made = await start()
    await made.subscribe("kinds", receiver.url, kinds=["dump_restored"])
    await made.subscribe("streams", receiver.url, streams=["t"])
    await made.subscribe("off", receiver.url, enabled=False)
    await made.emit("1")
    await made.emit("2", kind="dump_restored")
    await made.emit("3", stream="t")
    await made.emit("4", stream="")
    await made.settled()
    assert sorted(await receiver.wait(2)) == ["2", "3"]


@pytest.mark.parametrize("status", [500, 404, 301, 302, 307, 400, 199 + 101])
async def test_any_other_answer_is_tried_again_in_order(
    start: Start, receiver: Receiver, status: int
) -> None:
    receiver.statuses = [status, status]
    receiver.location = "http://127.0.0.1:1/elsewhere"
    made = await start()
    await made.subscribe("a", receiver.url)
    await made.emit("1", "2")
    await made.settled()
    assert await receiver.wait(4) == ["1", "1", "1", "2"]
    assert [json.loads(body)["attempt"] for _, body in receiver.got] == [1, 2, 3, 1]
    assert len({headers["x-penstock-event-id"] for headers, _ in receiver.got}) == 2


async def test_what_was_not_taken_survives_a_restart(start: Start, receiver: Receiver) -> None:
    receiver.statuses = [503] * 2
    made = await start()
    await made.subscribe("a", receiver.url, secret="s")
    await made.emit("1", "2")
    await receiver.wait(1)
    await made.stop()
    receiver.statuses = []
    receiver.got.clear()
    await made.begin()
    await made.settled()
    assert await receiver.wait(2) == ["1", "2"]
    assert all("x-penstock-signature" in headers for headers, _ in receiver.got)


async def test_an_endpoint_that_hangs_or_is_not_there_delays_nobody(start: Start, receiver: Receiver) -> None:
    async with Receiver() as hanging:
        hanging.hang = True
        made = await start(webhook_seconds=30.0)
        await made.subscribe("hangs", hanging.url)
        await made.subscribe("refuses", "http://127.0.0.1:1/")
        await made.subscribe("works", receiver.url)
        await made.emit(*map(str, range(20)))
        assert await receiver.wait(20) == list(map(str, range(20)))
        assert len(hanging.got) == 1


async def test_an_endpoint_that_hangs_is_given_its_time_only(start: Start, receiver: Receiver) -> None:
    receiver.hang = True
    made = await start(webhook_seconds=0.1)
    await made.subscribe("a", receiver.url)
    await made.emit("1")
    await receiver.wait(1)
    receiver.hang = False
    await made.settled()
    assert set(await receiver.wait(2)) == {"1"}


async def test_given_up_after_a_day(start: Start, receiver: Receiver) -> None:
    made = await start()
    await made.subscribe("a", "http://127.0.0.1:1/")
    await made.emit("1")
    made.clock.advance(24 * 3600 + 1)
    await made.settled()
    await made.emit("2")
    assert await made.context.catalog.count(DELIVERIES) == 1


async def test_the_oldest_are_given_up_when_too_many_wait(start: Start, receiver: Receiver) -> None:
    receiver.statuses = [500] * 1_000_000
    made = await start(deliveries_per_subscription=3)
    await made.subscribe("a", receiver.url)
    await made.emit(*map(str, range(10)))
    async with asyncio.timeout(20):
        while await made.context.catalog.count(DELIVERIES) > 3:
            await asyncio.sleep(0.01)
    receiver.statuses = []
    receiver.got.clear()
    await made.settled()
    assert (await receiver.wait(3))[-3:] == ["7", "8", "9"]


async def test_a_subscription_that_is_gone_or_off_is_told_nothing_more(start: Start) -> None:
    made = await start()
    first = await made.subscribe("gone", "http://127.0.0.1:1/")
    second = await made.subscribe("off", "http://127.0.0.1:1/")
    await made.emit("1", "2")
    assert await made.context.catalog.count(DELIVERIES) == 4
    await operations.delete(made.context, PROJECT, first.subscription_id)
    assert await made.context.catalog.count(DELIVERIES) == 2
    await operations.update(made.context, PROJECT, second.subscription_id, SubscriptionRequest(enabled=False))
    await made.settled()


async def test_a_better_address_is_tried_at_once(
    start: Start, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks_module, "FIRST_WAIT_SECONDS", 300.0)
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    made = await start(resolve=resolve)
    shown = await made.subscribe("a", "http://wrong.example:1/")
    await made.emit("1")
    async with asyncio.timeout(20):
        while not asked:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    await operations.update(
        made.context, PROJECT, shown.subscription_id, SubscriptionRequest(url=receiver.url)
    )
    assert await receiver.wait(1) == ["1"]


async def test_a_name_is_called_at_the_address_that_was_checked(start: Start, receiver: Receiver) -> None:
    made = await start(resolve=_to("127.0.0.1"))
    await made.subscribe("a", f"http://hooks.example.com:{receiver.port}/x")
    await made.emit("1")
    await receiver.wait(1)
    assert receiver.got[0][0]["host"] == f"hooks.example.com:{receiver.port}"


@pytest.mark.parametrize(
    ("addresses", "allow"),
    [
        (["127.0.0.1"], False),
        (["::1"], False),
        (["10.0.0.1"], False),
        (["93.184.215.14", "127.0.0.1"], False),
        (["169.254.169.254"], True),
        (["::ffff:169.254.169.254"], True),
        (["127.0.0.1", "169.254.1.1"], True),
        ([], True),
    ],
)
async def test_names_that_lead_where_nobody_may_call(
    start: Start, receiver: Receiver, addresses: list[str], allow: bool
) -> None:
    made = await start(allow_private=allow, resolve=_to(*addresses))
    shown = await made.subscribe("a", f"http://hooks.example.com:{receiver.port}/")
    subscription = made.context.subscriptions.get(shown.subscription_id)
    made.context.events.emit("auto_scale_ok", PROJECT, "", "1")
    await made.context.events.flush()
    event = await made.context.events.find((await _event_ids(made))[0])
    with pytest.raises(webhooks_module.NotDelivered, match=r"address|never called"):
        await made.webhooks.deliver(subscription, event, 1)
    assert receiver.got == []


@pytest.mark.parametrize(("host", "trusted"), [("hooks.example.com", True), ("other.example.com", False)])
async def test_certificates_are_for_the_name_in_the_url(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool
) -> None:
    certificates.make(tmp_path / "tls", ["hooks.example.com"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "tls" / "server.pem", tmp_path / "tls" / "server-key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls" / "ca.pem"))
    async with Receiver(tls) as receiver:
        made = await start(resolve=_to("127.0.0.1"))
        await made.subscribe("a", f"https://{host}:{receiver.port}/x")
        subscription = made.context.subscriptions.of_project(PROJECT)[0]
        await made.emit("1")
        event = await made.context.events.find((await _event_ids(made))[0])
        if trusted:
            await made.webhooks.deliver(subscription, event, 1)
            assert (await receiver.wait(1))[0] == "1"
        else:
            with pytest.raises(webhooks_module.NotDelivered, match="CERTIFICATE_VERIFY_FAILED"):
                await made.webhooks.deliver(subscription, event, 1)


async def test_a_resolver_that_hangs_holds_nobody(
    start: Start, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, release = socket.getaddrinfo, threading.Event()

    def look_up(host: str, *args: Any, **kwargs: Any) -> Any:
        if host.startswith("slow"):
            release.wait(30)
            raise OSError("no answer")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    made = await start()
    for number in range(10):
        await made.subscribe(f"slow{number}", f"http://slow{number}.example.com/")
    await made.subscribe("works", receiver.url.replace("127.0.0.1", "localhost"))
    await made.emit("1")
    assert await receiver.wait(1) == ["1"]
    release.set()


async def test_proxies_of_the_environment_are_not_used(
    start: Start, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    made = await start()
    await made.subscribe("a", receiver.url)
    await made.emit("1")
    assert await receiver.wait(1) == ["1"]


def _to(*addresses: str) -> Any:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


async def _event_ids(made: Delivering) -> list[str]:
    return [delivery.event_id for delivery in await made.context.catalog.select(DELIVERIES)]
