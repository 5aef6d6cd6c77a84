"""Events and event subscriptions on the wire (chapter 6 table 6-1; shapes: docs/events.md), under /v1 and /v2, with webhooks
received here, over a restart and a kill."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.support.server import Server
from tests.support.wire import Json, Wire, done, ok, refused

URL = "https://hooks.example.com/dis"
KINDS = {
    "dump_restored": "dis_event.000",
    "dump_abnormal": "dis_event.001",
    "quota_insufficient": "dis_event.002",
    "traffic_limited": "dis_event.003",
    "auto_scale_ok": "dis_event.004",
    "auto_scale_failed": "dis_event.005",
    "traffic_abnormal": "dis_event.006",
    "traffic_restored": "dis_event.007",
    "manual_scale_failed": "dis_event.008",
    "stream_created": "dis_event.100",
    "stream_deleted": "dis_event.101",
}
SHOWN = {
    "subscription_id",
    "name",
    "kinds",
    "event_ids",
    "streams",
    "url",
    "topic_type",
    "topic_name",
    "signed",
    "enabled",
    "create_time",
    "last_modified_time",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("events")
    config = directory / "penstock.toml"
    config.write_text("[limits]\ncontrol_requests_per_second = 1000000\n[events]\nallow_private = true\n")
    with Server(directory / "data", "--config", str(config)) as started:
        yield started


class Receiver:
    """Takes webhooks on loopback. `statuses` are its next answers, then 200."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.changed:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    outer.got.append((headers, body))
                    status = outer.statuses.pop(0) if outer.statuses else 200
                    outer.changed.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/hook"

    def events(self, count: int) -> list[Json]:
        """The events of the first `count` requests, once there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, 30), f"only {len(self.got)}"
        return [json.loads(body)["event"] for _, body in self.got]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def clean(wire: Wire) -> Iterator[None]:
    """Subscriptions of a test go with it."""
    yield
    for one in ok(wire.call("GET", "/event-subs", version="v1"))["subscriptions"]:
        done(wire.call("DELETE", f"/event-subs/{one['subscription_id']}", version="v1"), 204)


def events(wire: Wire, query: str = "", version: str = "v1") -> list[Json]:
    reply = ok(wire.call("GET", "/events", query, version=version))
    assert set(reply) == {"count", "events", "has_more"}
    found: list[Json] = reply["events"]
    for event in found:
        assert set(event) == {
            "id",
            "kind",
            "type_id",
            "type_name",
            "severity",
            "category",
            "description",
            "occur_time",
            "source_name",
            "source_id",
        }
        assert KINDS[event["kind"]] == event["type_id"]
    return found


def subscribe(wire: Wire, version: str = "v1", **body: Any) -> Json:
    shown = ok(wire.call("POST", "/event-subs", body=body, version=version), 201)
    assert set(shown) == SHOWN
    return shown


class TestEvents:
    def test_a_streams_life(self, wire: Wire, name: str) -> None:
        began = int(time.time() * 1000)
        done(wire.create(name, 2), 201)
        stream_id = ok(wire.describe(name))["stream_id"]
        done(wire.delete(name), 204)
        for version in ("v1", "v2"):
            found = events(wire, f"stream_name={name}", version)
            assert [event["kind"] for event in found] == ["stream_deleted", "stream_created"]
            assert {event["source_id"] for event in found} == {stream_id}
            assert all(began - 1000 <= event["occur_time"] <= time.time() * 1000 + 1000 for event in found)
        assert events(wire, f"stream_id={stream_id}") == found

    def test_a_quota_that_runs_out(self, wire: Wire, name: str) -> None:
        refused(wire.create(name, 51), "DIS.4308")
        newest = events(wire, "kind=quota_insufficient")[0]
        assert (newest["severity"], newest["category"]) == (1, 0)
        assert "COMMON partitions" in newest["description"]
        refused(wire.create(name, 51), "DIS.4308")
        assert events(wire, "kind=quota_insufficient")[0] == newest, "a minute has not passed"

    def test_filters_and_pages(self, wire: Wire, name: str) -> None:
        for number in range(3):
            done(wire.create(f"{name}-{number}"), 201)
            done(wire.delete(f"{name}-{number}"), 204)
        mine = events(wire, "limit=6")
        assert [event["source_name"] for event in mine] == [f"{name}-{n}" for n in (2, 2, 1, 1, 0, 0)]
        both = "kind=stream_created,dis_event.101&limit=2&offset=1"
        assert events(wire, both) == mine[1:3]
        created = events(wire, "kind=stream_created&limit=3")
        assert created == [event for event in mine if event["kind"] == "stream_created"]
        reply = ok(wire.call("GET", "/events", f"stream_name={name}-1&limit=1", version="v1"))
        assert (reply["count"], reply["has_more"], len(reply["events"])) == (2, True, 1)
        first, last = mine[-1]["occur_time"], mine[0]["occur_time"]
        within = [e for e in events(wire, f"start_time={first}&end_time={last}") if e in mine]
        assert within == mine
        assert mine[0] not in events(wire, f"end_time={last // 1000 - 1}")
        assert events(wire, f"start_time={last // 1000 + 1}") == []

    @pytest.mark.parametrize(
        ("query", "naming"),
        [
            ("kind=nothing", "kind"),
            ("kind=stream_created,nothing", "kind"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("limit=x", "limit"),
            ("offset=-1", "offset"),
            ("start_time=x", "start_time"),
            ("end_time=-5", "end_time"),
            ("end_time=1234567890123456", "end_time"),
        ],
    )
    def test_wrong_questions(self, wire: Wire, query: str, naming: str) -> None:
        refused(wire.call("GET", "/events", query, version="v1"), "DIS.4200", naming=naming)

    def test_what_can_be_subscribed_to(self, wire: Wire) -> None:
        for version in ("v1", "v2"):
            reply = ok(wire.call("GET", "/event-list", version=version))
            assert reply["count"] == len(KINDS)
            assert {kind["kind"]: kind["type_id"] for kind in reply["events"]} == KINDS

    def test_survive_a_stop_and_a_kill(self, server: Server, wire: Wire, name: str) -> None:
        done(wire.create(name, 1), 201)
        before = events(wire, f"stream_name={name}")
        server.restart(kill=True)
        wire.token = server.token()
        assert events(wire, f"stream_name={name}") == before
        server.restart()
        wire.token = server.token()
        assert events(wire, f"stream_name={name}") == before


class TestSubscriptions:
    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_life(self, wire: Wire, version: str) -> None:
        shown = subscribe(
            wire,
            version,
            name="alarms",
            kinds=["traffic_limited"],
            streams=["a", "b"],
            url=URL,
            secret="s3cret",
        )
        assert shown["kinds"] == ["traffic_limited"]
        assert shown["event_ids"] == ["dis_event.003"]
        assert (shown["streams"], shown["url"], shown["signed"], shown["enabled"]) == (
            ["a", "b"],
            URL,
            True,
            True,
        )
        path = f"/event-subs/{shown['subscription_id']}"
        listed = wire.call("GET", "/event-subs", version=version)
        assert ok(listed) == {"count": 1, "subscriptions": [shown], "has_more": False}
        assert "s3cret" not in listed.text
        assert ok(wire.call("GET", path, version=version)) == shown
        changed = ok(wire.call("PUT", path, body={"kinds": [], "enabled": False}, version=version))
        assert changed == shown | {
            "kinds": [],
            "event_ids": [],
            "enabled": False,
            "last_modified_time": changed["last_modified_time"],
        }
        assert changed["last_modified_time"] >= shown["last_modified_time"]
        done(wire.call("DELETE", path, version=version), 204)
        for method in ("GET", "DELETE"):
            refused(wire.call(method, path, version=version), "DIS.4603")
        refused(wire.call("PUT", path, body={"name": "x"}, version=version), "DIS.4603")

    def test_the_cloud_services_names_for_the_same(self, wire: Wire, name: str) -> None:
        done(wire.create(name, 1), 201)
        stream_id = ok(wire.describe(name))["stream_id"]
        shown = subscribe(
            wire,
            name="a",
            url=URL,
            enable=False,
            event_ids=["dis_event.000", "dis_event.001"],
            event_streamids=[stream_id],
            topic_urn="urn:smn:region:project:topic",
        )
        assert shown["kinds"] == ["dump_restored", "dump_abnormal"]
        assert (shown["streams"], shown["enabled"]) == ([name], False)
        shown = subscribe(wire, name="b", url=URL, events_ids="dis_event.002\\ndis_event.003,dis_event.002")
        assert shown["kinds"] == ["quota_insufficient", "traffic_limited"]

    def test_optional_fields_take_null_and_empty(self, wire: Wire) -> None:
        nothing: dict[str, Any] = dict.fromkeys(
            ("kinds", "streams", "secret", "enabled", "topic_type", "topic_name", "event_ids", "unknown")
        )
        shown = subscribe(wire, name="a", url=URL, **nothing)
        assert (shown["kinds"], shown["streams"], shown["signed"], shown["enabled"]) == ([], [], False, True)
        empty = {"kinds": "", "streams": "", "secret": "", "topic_name": "", "event_ids": "", "topic_urn": ""}
        assert subscribe(wire, name="b", url=URL, **empty)["kinds"] == []
        path = f"/event-subs/{shown['subscription_id']}"
        assert ok(wire.call("PUT", path, body={"url": "", "name": None}, version="v1"))["url"] == URL

    @pytest.mark.parametrize(
        ("body", "naming"),
        [
            ({}, "name"),
            ({"name": ""}, "name"),
            ({"name": "-a"}, "name"),
            ({"name": "a b"}, "name"),
            ({"name": "a" * 65}, "name"),
            ({"url": None}, "url"),
            ({"url": "ftp://hooks.example.com/"}, "url"),
            ({"url": "https:///x"}, "url"),
            ({"url": "https://hooks.example.com:99999/"}, "url"),
            ({"url": "https://user:secret@hooks.example.com/"}, "url"),
            ({"url": "https://hooks.example.com/ x"}, "url"),
            ({"url": "https://hooks.example.com/\u00fc"}, "url"),
            ({"url": "https://hooks.example.com/" + "x" * 2048}, "url"),
            ({"url": "http://169.254.169.254/latest"}, "url"),
            ({"url": "http://[::ffff:169.254.169.254]/"}, "url"),
            ({"url": "http://0.0.0.0/"}, "url"),
            ({"kinds": ["nothing"]}, "kinds"),
            ({"streams": [f"s{n}" for n in range(101)]}, "streams"),
            ({"streams": ["s" * 65]}, "streams"),
            ({"secret": "s" * 257}, "secret"),
            ({"url": None, "topic_type": 0, "topic_name": "smn"}, "url"),
            ({"url": None, "topic_type": 1}, "topic_name"),
            ({"topic_type": 2}, "topic_type"),
        ],
    )
    def test_out_of_range(self, wire: Wire, body: Json, naming: str) -> None:
        whole = {"name": "a", "url": URL} | body if body else {"url": URL}
        reply = wire.call("POST", "/event-subs", body=whole, version="v1")
        refused(reply, "DIS.4200", "DIS.4300", naming=naming)
        assert "secret@" not in reply.text

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", 1),
            ("kinds", 1),
            ("kinds", [1]),
            ("url", {}),
            ("secret", []),
            ("enabled", "yes"),
            ("streams", {}),
        ],
    )
    def test_wrong_types(self, wire: Wire, field: str, value: object) -> None:
        body = {"name": "a", "url": URL, field: value}
        refused(wire.call("POST", "/event-subs", body=body, version="v1"), "DIS.4300", naming=field)

    def test_no_body(self, wire: Wire) -> None:
        refused(wire.call("POST", "/event-subs", version="v1"), "DIS.4202")
        refused(wire.call("POST", "/event-subs", content=b"[]", version="v1"), "DIS.4300")

    def test_a_name_is_taken_once_and_there_are_20(self, wire: Wire) -> None:
        first = subscribe(wire, name="n0", url=URL)
        body = {"name": "n0", "url": URL}
        refused(wire.call("POST", "/event-subs", body=body, version="v1"), "DIS.4200", naming="name")
        for number in range(1, 20):
            subscribe(wire, name=f"n{number}", url=URL)
        body = {"name": "n20", "url": URL}
        refused(wire.call("POST", "/event-subs", body=body, version="v1"), "DIS.4308")
        path = f"/event-subs/{first['subscription_id']}"
        refused(wire.call("PUT", path, body={"name": "n1"}, version="v1"), "DIS.4200", naming="name")
        page = ok(wire.call("GET", "/event-subs", "limit=2&offset=1", version="v1"))
        assert [one["name"] for one in page["subscriptions"]] == ["n1", "n10"]
        assert (page["count"], page["has_more"]) == (20, True)
        refused(wire.call("GET", "/event-subs", "limit=21", version="v1"), "DIS.4200", naming="limit")

    def test_a_stream_that_is_not_there(self, wire: Wire) -> None:
        body = {"name": "a", "topic_type": 1, "topic_name": "nobody"}
        refused(wire.call("POST", "/event-subs", body=body, version="v1"), "DIS.4301")


class TestDelivery:
    def test_signed_and_in_order(self, wire: Wire, receiver: Receiver, name: str) -> None:
        shown = subscribe(wire, name="a", url=receiver.url, secret="s3cret", streams=[name])
        done(wire.create(name, 1), 201)
        done(wire.delete(name), 204)
        got = receiver.events(2)
        assert got == list(reversed(events(wire, f"stream_name={name}")))
        for headers, body in receiver.got:
            assert json.loads(body)["subscription_id"] == shown["subscription_id"]
            signed = headers["x-penstock-timestamp"].encode() + b"." + body
            digest = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
            assert headers["x-penstock-signature"] == f"sha256={digest}"
            assert headers["x-penstock-event-id"] == json.loads(body)["event"]["id"]

    def test_into_a_stream(self, wire: Wire, name: str) -> None:
        done(wire.create(name, 1), 201)
        shown = subscribe(wire, name="a", topic_type=1, topic_name=name, streams=[f"{name}-x"])
        assert (shown["topic_type"], shown["topic_name"], shown["url"]) == (1, name, "")
        done(wire.create(f"{name}-x", 1), 201)
        done(wire.delete(f"{name}-x"), 204)
        deadline = time.monotonic() + 30
        while len(records := wire.read_all(name)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        payloads = [json.loads(record.data) for record in records]
        assert [payload["event"]["kind"] for payload in payloads] == ["stream_created", "stream_deleted"]

    def test_again_after_failures_and_restarts(
        self, server: Server, wire: Wire, receiver: Receiver, name: str
    ) -> None:
        """At least once: the event's id tells repetitions."""
        receiver.statuses = [500] * 1000
        subscribe(wire, name="a", url=receiver.url, streams=[name])
        done(wire.create(name, 1), 201)
        first = receiver.events(1)[0]
        server.restart(kill=True)
        wire.token = server.token()
        receiver.statuses = []
        got = receiver.events(len(receiver.got) + 1)
        assert {event["id"] for event in got} == {first["id"]}
        log = server.log.read_text()
        assert receiver.url not in log, "a URL may hold a secret"

    def test_private_addresses_are_refused_unless_allowed(
        self, start_server: Any, receiver: Receiver
    ) -> None:
        server = start_server()
        with Wire.to(server) as wire:
            for url in (receiver.url, "http://[::1]/", "http://10.0.0.1/", "http://192.168.0.1:8080/x"):
                reply = wire.call("POST", "/event-subs", body={"name": "a", "url": url}, version="v1")
                refused(reply, "DIS.4200", naming="allow_private")
            # A name is looked up when it is called, and what it leads to is refused then.
            subscribe(wire, name="b", url=receiver.url.replace("127.0.0.1", "localhost"))
            done(wire.create("s", 1), 201)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and not server.events("event not taken, will be tried again"):
                time.sleep(0.1)
            assert "private address" in str(
                server.events("event not taken, will be tried again")[0]["reason"]
            )
        assert receiver.got == []
