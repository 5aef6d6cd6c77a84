"""Who may do what over the wire: tokens, signatures, projects (clients.md 2 and 6, API reference 3.2)."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable

import httpx
import pytest
from tests.conftest import StartServer
from tests.support.server import Server
from tests.support.signing import VARIANTS, Variant, sign
from tests.support.wire import Wire, b64, done, ok, refused

Make = Callable[..., str]
_addresses = itertools.count(2)


def signed(
    server: Server,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    variant: Variant = "A",
    age: float = 0,
    sk: str = "",
    ak: str = "",
    change: Callable[[list[tuple[str, str]]], list[tuple[str, str]]] = lambda headers: headers,
    send_body: bytes | None = None,
    send_path: str = "",
) -> httpx.Response:
    """Sign one request and send it, or another one in its place, from an address of its own: failures count by
    address and key."""
    target = f"/v2/{server.project_id}{path}"
    headers = {"Host": server.endpoint.removeprefix("http://"), "Content-Type": "application/json"}
    everything = sign(
        variant, method, target, headers, body,
        access_key=ak or server.ak, secret_key=sk or server.sk, now_ms=round((time.time() - age) * 1000),
    )  # fmt: skip
    url = server.endpoint + (f"/v2/{server.project_id}{send_path}" if send_path else target)
    transport = httpx.HTTPTransport(local_address=f"127.0.0.{next(_addresses)}")
    with httpx.Client(transport=transport, trust_env=False) as client:
        content = body if send_body is None else send_body
        return client.request(method, url, headers=change(everything), content=content)


def put_body(stream: str, data: bytes = b"a") -> bytes:
    return json.dumps({"stream_name": stream, "records": [{"data": b64(data)}]}).encode()


class TestSignatures:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_every_variant_on_every_call(self, server: Server, name: str, variant: Variant) -> None:
        create = json.dumps({"stream_name": name, "partition_count": 1}).encode()
        done(signed(server, "POST", "/streams", create, variant=variant), 201)
        ok(signed(server, "GET", f"/streams/{name}/?limit_partitions=100&", variant=variant))
        ok(signed(server, "POST", "/records/", put_body(name), variant=variant))
        query = f"/cursors?stream-name={name}&partition-id=0&cursor-type=TRIM_HORIZON"
        cursor = ok(signed(server, "GET", query, variant=variant))["partition_cursor"]
        page = ok(signed(server, "GET", f"/records?partition-cursor={cursor}", variant=variant))
        assert len(page["records"]) == 1
        done(signed(server, "DELETE", f"/streams/{name}", variant=variant), 204)

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_wrong_secret(self, server: Server, variant: Variant) -> None:
        reply = signed(server, "GET", "/streams", variant=variant, sk="x" * 40)
        refused(reply, "APIGW.0301", status=401)

    def test_unknown_access_key(self, server: Server) -> None:
        refused(signed(server, "GET", "/streams", ak="A" * 20), "APIGW.0301", status=401)

    @pytest.mark.parametrize("minutes", [-16, 16, 60 * 24 * 365])
    def test_outside_the_window(self, server: Server, minutes: int) -> None:
        refused(signed(server, "GET", "/streams", age=60 * minutes), "APIGW.0301", status=401)

    @pytest.mark.parametrize("minutes", [-14, 14])
    def test_inside_the_window(self, server: Server, minutes: int) -> None:
        ok(signed(server, "GET", "/streams", age=60 * minutes))

    def test_altered_body(self, server: Server, make: Make, wire: Wire) -> None:
        stream = make()
        reply = signed(server, "POST", "/records", put_body(stream), send_body=put_body(stream, b"b"))
        refused(reply, "APIGW.0301", status=401)
        assert wire.read_all(stream) == []

    @pytest.mark.parametrize(
        "path", ["/streams?limit=11", "/streams?limit=10&x=1", "/streams", "/streams/a?limit=10"]
    )
    def test_altered_path_or_query(self, server: Server, path: str) -> None:
        reply = signed(server, "GET", "/streams?limit=10", send_path=path)
        refused(reply, "APIGW.0301", status=401)

    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("Host", "elsewhere.example.com"),
            ("Content-Type", "text/plain"),
            ("X-Sdk-Date", "20260101T000000Z"),
            ("X-Sdk-Date", "nonsense"),
            ("X-Sdk-Date", ""),
            ("Authorization", ""),
            ("Authorization", "SDK-HMAC-SHA256"),
            ("Authorization", "Bearer x"),
            ("Authorization", "SDK-HMAC-SHA256 Access=, SignedHeaders=, Signature="),
            ("Authorization", "SDK-HMAC-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=" + "0" * 64),
            ("Authorization", "x" * 10_000),
        ],
    )
    def test_altered_headers(self, server: Server, header: str, value: str) -> None:
        def change(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
            return [(name, value if name == header else text) for name, text in headers]

        refused(signed(server, "GET", "/streams", change=change), "APIGW.0301", status=401)

    def test_the_date_must_be_signed(self, server: Server) -> None:
        """Else an old request could be sent again under a new date."""

        def change(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
            return [
                (name, text.replace(";x-sdk-date", "") if name == "Authorization" else text)
                for name, text in headers
            ]

        refused(signed(server, "GET", "/streams", change=change), "APIGW.0301", status=401)

    def test_an_equal_request_is_carried_out_again(self, server: Server, make: Make, wire: Wire) -> None:
        """The signature's resolution is a second: two equal puts in one are signed alike, and both count."""
        stream = make()
        now = time.time()
        for _ in range(2):
            ok(signed(server, "POST", "/records", put_body(stream), age=time.time() - now))
        assert len(wire.read_all(stream)) == 2


class TestTokens:
    @pytest.mark.parametrize("token", ["", "x", "A" * 400, "..", "null"])
    def test_no_token_of_ours(self, wire: Wire, token: str) -> None:
        reply = wire.call("GET", "/streams", headers={"X-Auth-Token": token})
        refused(reply, "APIGW.0301", status=401)

    def test_nothing_at_all(self, wire: Wire) -> None:
        url = f"{wire.endpoint}/v2/{wire.project_id}/streams"
        refused(wire.http.get(url), "APIGW.0301", status=401)
        refused(wire.http.post(url, json={}), "APIGW.0301", status=401)

    def test_each_changed_character(self, wire: Wire) -> None:
        for position, letter in list(enumerate(wire.token))[:: max(1, len(wire.token) // 15)]:
            token = wire.token[:position] + ("A" if letter != "A" else "B") + wire.token[position + 1 :]
            reply = wire.call("GET", "/streams", headers={"X-Auth-Token": token})
            if reply.status_code != 401:
                refused(reply, "DIS.4309")
            else:
                refused(reply, "APIGW.0301", status=401)

    def test_a_token_of_another_server(self, wire: Wire, relaxed_wire: Wire) -> None:
        reply = wire.call("GET", "/streams", headers={"X-Auth-Token": relaxed_wire.token})
        assert reply.status_code in (400, 401)
        refused(reply, "APIGW.0301", "DIS.4309", status=reply.status_code)

    def test_a_valid_token_passes_after_many_failures(self, start_server: StartServer) -> None:
        """DIS.4309 is for failing requests only."""
        with Wire.to(start_server()) as client:
            codes = [
                client.call("GET", "/streams", headers={"X-Auth-Token": "wrong"}).json()["errorCode"]
                for _ in range(40)
            ]
            assert codes[0] == "APIGW.0301"
            assert codes[-1] == "DIS.4309"
            ok(client.call("GET", "/streams"))

    def test_lives_over_a_restart_or_is_refused_properly(self, start_server: StartServer) -> None:
        server = start_server()
        with Wire.to(server) as client:
            server.restart(kill=True)
            reply = client.call("GET", "/streams")
            if reply.status_code != 200:
                refused(reply, "APIGW.0301", status=401)
        with Wire.to(server) as client:
            ok(client.call("GET", "/streams"))


class TestProjects:
    """A project sees only its own streams."""

    def test_a_foreign_project_in_the_path(self, server: Server, wire: Wire, make: Make) -> None:
        make()
        foreign = "0123456789abcdef0123456789abcdef"
        other = Wire(wire.endpoint, foreign, wire.token)
        for reply in (
            other.call("GET", "/streams"),
            other.create("x"),
            other.describe("x"),
            other.delete("x"),
            other.put("x", [{"data": b64(b"a")}]),
            other.cursor_reply("x"),
            other.get("x"),
        ):
            refused(reply, "DIS.4117", naming=foreign)
        other.close()

    @pytest.mark.parametrize("project", ["%7Bproject_id%7D", "%2E%2E", "%00", "x" * 500, "%E6%B5%81"])
    def test_what_is_no_project(self, wire: Wire, project: str) -> None:
        """The official SDK sends `{project_id}` itself when it was given none."""
        reply = wire.http.get(f"{wire.endpoint}/v2/{project}/streams", headers={"X-Auth-Token": wire.token})
        assert reply.status_code in (400, 404)
        refused(reply, "DIS.4117", "APIGW.0101", status=reply.status_code)


def test_every_reply_has_a_request_id_of_its_own(wire: Wire) -> None:
    replies = [
        wire.call("GET", "/streams"),
        wire.call("GET", "/nothing"),
        wire.call("PATCH", "/streams"),
        wire.describe("no-such-stream"),
        wire.call("POST", "/streams", content=b"{"),
        wire.http.get(f"{wire.endpoint}/v3"),
        wire.http.get(f"{wire.endpoint}/v2/{wire.project_id}/streams"),
    ]
    ids = [reply.headers["x-request-id"] for reply in replies]
    assert all(ids)
    assert len(set(ids)) == len(ids)
