"""How requests arrive: paths and queries as clients spell them, framing of bodies, `Expect`, unknown routes.

clients.md section 0, and 7 rules 7, 15.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable

import pytest
from tests.support.wire import Wire, b64, connect, done, error_body, exchange, ok, receive, refused
from tests.support.wirecodec import chunks

Make = Callable[..., str]


def head(wire: Wire, method: str, path: str, *extra: str) -> bytes:
    """A request's head, written out."""
    lines = [
        f"{method} /v2/{wire.project_id}{path} HTTP/1.1",
        f"Host: {wire.endpoint.removeprefix('http://')}",
    ]
    lines += [f"X-Auth-Token: {wire.token}", *extra, "", ""]
    return "\r\n".join(lines).encode()


def put_body(stream: str, data: bytes = b"a") -> bytes:
    return json.dumps({"stream_name": stream, "records": [{"data": b64(data)}]}).encode()


class TestPathsAndQueries:
    @pytest.mark.parametrize("prefix", ["", "/some/prefix", "/dis", "/a/b/c/d"])
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_a_prefix_and_a_trailing_slash_do_not_matter(
        self, wire: Wire, name: str, prefix: str, slash: str
    ) -> None:
        there = Wire(wire.endpoint, wire.project_id, wire.token, prefix)
        body = {"stream_name": name, "partition_count": 1}
        done(there.call("POST", f"/streams{slash}", body=body), 201)
        assert ok(there.call("GET", f"/streams/{name}{slash}"))["stream_name"] == name
        assert ok(there.call("GET", f"/streams{slash}"))["stream_names"]
        ok(there.call("POST", f"/records{slash}", content=put_body(name)))
        cursor = ok(there.call("GET", f"/cursors{slash}", f"stream-name={name}&partition-id=0"))[
            "partition_cursor"
        ]
        assert len(ok(there.call("GET", f"/records{slash}", f"partition-cursor={cursor}"))["records"]) == 1
        done(there.call("DELETE", f"/streams/{name}{slash}"), 204)
        there.close()

    @pytest.mark.parametrize(
        "query",
        ["", "&", "limit=&", "limit", "limit&start_stream_name", "&&limit=10&&", "unknown=1&x", "limit=10&"],
    )
    def test_empty_and_bare_parameters_are_absent(self, wire: Wire, query: str) -> None:
        raw = exchange(wire.endpoint, head(wire, "GET", f"/streams?{query}"))
        assert raw.status == 200, raw

    def test_percent_encoding(self, wire: Wire, make: Make) -> None:
        stream = make()
        encoded = "".join(f"%{byte:02x}" for byte in stream.encode())
        assert ok(wire.call("GET", f"/streams/{encoded}"))["stream_name"] == stream
        reply = wire.call("GET", "/cursors", f"stream%2Dname={encoded}&partition-id=%30")
        assert "partition_cursor" in ok(reply)

    @pytest.mark.parametrize("query", ["limit=%FF", "%FF=1", "start_stream_name=%ED%A0%80"])
    def test_refuses_text_that_is_no_utf8(self, wire: Wire, query: str) -> None:
        refused(wire.call("GET", "/streams", query), "APIGW.0106", "DIS.4200")

    @pytest.mark.parametrize("path", ["/streams/a/b/c/d", "/nothing", "/", "/recordss", "/streams/a/unknown"])
    def test_unknown_routes(self, wire: Wire, path: str) -> None:
        refused(wire.call("GET", path), "APIGW.0101", status=404)

    @pytest.mark.parametrize("path", ["/v9/p/streams", "/v2", "/v2/", "/v2//streams", "/v1/x"])
    def test_unknown_paths_without_a_project(self, wire: Wire, path: str) -> None:
        refused(wire.http.get(f"{wire.endpoint}{path}"), "APIGW.0101", status=404)

    @pytest.mark.parametrize(
        ("method", "path"),
        [("PATCH", "/records"), ("PUT", "/cursors"), ("DELETE", "/records"), ("PUT", "/streams")],
    )
    def test_methods_that_are_not_there(self, wire: Wire, method: str, path: str) -> None:
        reply = wire.call(method, path)
        refused(reply, "APIGW.0104", status=405)
        assert reply.headers["allow"]


class TestBodies:
    def test_chunked(self, wire: Wire, make: Make) -> None:
        stream = make()
        for size in (1, 7, 1 << 16):
            body = chunks(put_body(stream, b"x" * 1000), size)
            ok(wire.call("POST", "/records", content=body))
        assert [len(record.data) for record in wire.read_all(stream)] == [1000] * 3

    def test_chunked_with_extensions_and_trailers(self, wire: Wire, make: Make) -> None:
        body = put_body(make())
        sent = head(wire, "POST", "/records", "Content-Type: application/json", "Transfer-Encoding: chunked")
        sent += f"{len(body):x};name=value\r\n".encode() + body + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"
        assert exchange(wire.endpoint, sent).status == 200

    def test_get_and_delete_with_a_body(self, wire: Wire, make: Make) -> None:
        """clients.md 0, rule 12."""
        stream = make()
        body = json.dumps({"stream_name": stream}).encode()
        assert ok(wire.call("GET", f"/streams/{stream}", content=body))["stream_name"] == stream
        done(wire.call("DELETE", f"/streams/{stream}", content=body), 204)

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json", "application/json; charset=utf-8", "application/json; charset=UTF-8",
            "application/json;charset=UTF-8", "APPLICATION/JSON", "text/plain", "",
        ],
    )  # fmt: skip
    def test_json_under_every_content_type(self, wire: Wire, make: Make, content_type: str) -> None:
        """clients.md 3.2."""
        ok(wire.call("POST", "/records", content=put_body(make()), headers={"Content-Type": content_type}))

    def test_expect_100_continue(self, wire: Wire, make: Make) -> None:
        """The .NET SDK waits for it before it sends a body."""
        body = put_body(make())
        with connect(wire.endpoint) as sock:
            sock.sendall(
                head(wire, "POST", "/records", f"Content-Length: {len(body)}", "Expect: 100-continue")
            )
            interim = sock.recv(1024)
            assert interim.startswith(b"HTTP/1.1 100 "), interim
            assert interim.endswith(b"\r\n\r\n")
            sock.sendall(body)
            assert receive(sock).status == 200

    def test_expect_100_continue_of_a_body_that_is_too_large(self, wire: Wire) -> None:
        size = 1 << 40
        with connect(wire.endpoint) as sock:
            sock.sendall(head(wire, "POST", "/records", f"Content-Length: {size}", "Expect: 100-continue"))
            reply = receive(sock)
        assert reply.status == 413
        error_body(reply.headers["content-type"], reply.body, "APIGW.0201")

    def test_a_connection_carries_many_requests(self, wire: Wire, make: Make) -> None:
        body = put_body(make())
        one = head(wire, "POST", "/records", f"Content-Length: {len(body)}") + body
        with connect(wire.endpoint) as sock:
            for number in range(5):
                sock.sendall(one)
                reply = receive(sock)
                assert json.loads(reply.body)["records"][0]["sequence_number"] == str(number)
                assert not reply.closed

    def test_requests_sent_ahead_are_answered_in_order(self, wire: Wire, make: Make) -> None:
        stream = make()
        body = put_body(stream)
        one = head(wire, "POST", "/records", f"Content-Length: {len(body)}") + body
        last = head(wire, "GET", f"/streams/{stream}", "Connection: close")
        with connect(wire.endpoint) as sock:
            sock.sendall(one * 3 + last)
            received = b""
            while piece := sock.recv(65536):
                received += piece
        positions = [received.index(f'"sequence_number":"{number}"'.encode()) for number in range(3)]
        assert positions == sorted(positions)
        assert b"[0 : 3]" in received[positions[-1] :]

    def test_connection_close_is_kept(self, wire: Wire) -> None:
        assert exchange(wire.endpoint, head(wire, "GET", "/streams", "Connection: close")).closed

    def test_http_1_0(self, wire: Wire) -> None:
        sent = head(wire, "GET", "/streams").replace(b"HTTP/1.1", b"HTTP/1.0")
        reply = exchange(wire.endpoint, sent)
        assert reply.status == 200
        assert reply.closed

    def test_a_body_is_stored_once_when_the_client_leaves_early(self, wire: Wire, make: Make) -> None:
        """A body that never arrives whole stores nothing."""
        stream = make()
        body = put_body(stream)
        with connect(wire.endpoint) as sock:
            sock.sendall(head(wire, "POST", "/records", f"Content-Length: {len(body)}") + body[:-1])
        assert wire.read_all(stream) == []


class TestRefusedFraming:
    """Requests that are no HTTP/1.1 get 400 and the connection is closed."""

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"nonsense\r\n\r\n",
            b"GET /v3 HTTP/9.9\r\n\r\n",
            b"GET /v3 HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
            b"GET /v3 HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
            b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, x\r\n\r\n",
        ],
        ids=lambda sent: repr(sent[:90])[2:],
    )
    def test_bad_requests(self, wire: Wire, request_bytes: bytes) -> None:
        reply = exchange(wire.endpoint, request_bytes)
        assert reply.status in (400, 501, 505), reply
        assert reply.closed
        error_body(reply.headers["content-type"], reply.body, "APIGW.0106")
        assert reply.headers.get("x-request-id")

    def test_too_many_header_bytes(self, wire: Wire) -> None:
        reply = exchange(wire.endpoint, head(wire, "GET", "/streams", "X-Long: " + "x" * 70_000))
        assert reply.status in (400, 413, 431)
        assert reply.closed

    def test_a_body_larger_than_any(self, wire: Wire) -> None:
        """Refused by its declared size, before it is sent."""
        reply = exchange(wire.endpoint, head(wire, "POST", "/records", f"Content-Length: {1 << 40}"))
        assert reply.status == 413
        error_body(reply.headers["content-type"], reply.body, "APIGW.0201")

    def test_nothing_behind_a_refused_request_is_carried_out(self, wire: Wire) -> None:
        """What follows a refusal on a connection may be part of what was refused (R13): it must not run."""
        name = f"behind-{os.getpid()}"
        body = json.dumps({"stream_name": name, "partition_count": 1}).encode()
        # Without credentials a body may be 64 KiB: this one is refused, and the whole of both fits one read.
        refused = b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        refused += b"10001\r\n" + b"x" * 0x10001 + b"\r\n0\r\n\r\n"
        behind = head(wire, "POST", "/streams", f"Content-Length: {len(body)}") + body
        for _ in range(5):
            with connect(wire.endpoint) as sock:
                sock.sendall(refused + behind)
                first = receive(sock)
                assert (first.status, first.closed) == (413, True)
                sock.settimeout(2)
                assert sock.recv(100) == b"", "one reply, then the end"
        assert wire.call("GET", f"/streams/{name}").status_code == 404

    def test_chunks_without_end(self, wire: Wire) -> None:
        """Refused once they exceed what a body may be."""
        piece = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        with connect(wire.endpoint) as sock:
            sock.sendall(head(wire, "POST", "/records", "Transfer-Encoding: chunked"))
            replies = []
            reader = threading.Thread(target=lambda: replies.append(receive(sock)), daemon=True)
            reader.start()
            sent = 0
            try:
                while reader.is_alive() and sent < 64:
                    sock.sendall(piece)
                    sent += 1
            except OSError:
                pass
            reader.join(10)
        assert sent < 64
        assert not replies or replies[0].status == 413
