"""What dis-agent and the .NET SDK send (clients.md 1, 2.1, 3.5): neither is in a registry of clients, so that their requests are
written out here. dis-agent is the Java SDK below a reader of files; the .NET SDK sends `Expect: 100-continue`.
"""

from __future__ import annotations

import base64
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from tests.support.sender import Keys, Sender
from tests.support.server import Server
from tests.support.signing import sign
from tests.support.wire import Json, Wire, ok, refused

Make = Callable[..., str]
SIGNED = ("accept", "content-type", "host", "x-project-id", "x-sdk-version")


def sender(server: Server) -> Sender:
    """The Java SDK's headers and scope, with the region of agent.yml."""
    headers = {
        "X-SDK-Version": "1.3.5-SNAPSHOT/java",
        "X-Project-Id": server.project_id,
        "Content-Type": "application/json; charset=utf-8",
        "accept": "*/*; charset=utf-8",
        "Connection": "Keep-Alive",
        "User-Agent": "Apache-HttpClient/4.5.14 (Java/17.0.15)",
        "Accept-Encoding": "gzip,deflate",
    }
    return Sender(server, headers, keys=Keys("C", SIGNED, "cn-north-1", "dis"))


@pytest.fixture
def agent(server: Server) -> Iterator[Sender]:
    with sender(server) as client:
        yield client


class TestAgent:
    def test_looks_at_its_stream_first(self, server: Server, agent: Sender, make: Make) -> None:
        """GET /streams/{S}/ at the start; it takes the type from the reply for the size of its batches."""
        stream = make(partitions=2, stream_type="ADVANCED")
        target = f"/v2/{server.project_id}/streams/{stream}/?stream_name={stream}&limit_partitions=100&"
        shown = ok(agent.send("GET", target))
        assert (shown["stream_name"], shown["stream_type"], shown["status"]) == (
            stream,
            "ADVANCED",
            "RUNNING",
        )

    def test_a_missing_stream(self, server: Server, agent: Sender, name: str) -> None:
        target = f"/v2/{server.project_id}/streams/{name}/?stream_name={name}&limit_partitions=100&"
        refused(agent.send("GET", target), "DIS.4301", status=404)

    def test_lines_of_a_file(self, server: Server, agent: Sender, make: Make, wire: Wire) -> None:
        """A record is a line without its newline under a random number as key; `stream_name` is in the body."""
        stream = make(partitions=2)
        lines = [f"2026-01-01 00:00:{n:02d} größer than {n}".encode() for n in range(60)]
        chooser = random.Random(7)
        keys = [str(chooser.randrange(1 << 31)) for _ in lines]
        for start in range(0, 60, 20):
            records = [
                {"data": base64.b64encode(line).decode(), "partition_key": key}
                for line, key in zip(lines[start : start + 20], keys[start : start + 20], strict=True)
            ]
            body = {"stream_name": stream, "records": records}
            reply = ok(agent.send("POST", f"/v2/{server.project_id}/records/", body))
            assert reply["failed_record_count"] == 0
            assert len(reply["records"]) == 20
        found: list[tuple[bytes, str]] = []
        for partition in ("0", "1"):
            page = ok(wire.get(wire.cursor(stream, partition, cursor_type="TRIM_HORIZON")))["records"]
            found += [(base64.b64decode(one["data"]), one["partition_key"]) for one in page]
            assert page  # random keys reach both
        assert sorted(found) == sorted(zip(lines, keys, strict=True))

    def test_the_largest_line(self, server: Server, agent: Sender, make: Make) -> None:
        """1 MB is the most it sends as one record (clients.md 3.5)."""
        stream = make()
        data = base64.b64encode(bytes(1_000_000)).decode()
        body: Json = {"stream_name": stream, "records": [{"data": data, "partition_key": "1"}]}
        assert ok(agent.send("POST", f"/v2/{server.project_id}/records/", body))["failed_record_count"] == 0

    def test_a_failed_record_is_named_by_its_place(self, server: Server, agent: Sender, make: Make) -> None:
        """It sends again by position: as many results as records, in their order, each with one pair of fields."""
        stream = make()
        data = base64.b64encode(b"x").decode()
        records = [{"data": data, "partition_key": "1"}, {"data": data, "partition_id": "9"}]
        body = {"stream_name": stream, "records": records}
        reply = ok(agent.send("POST", f"/v2/{server.project_id}/records/", body))
        assert reply["failed_record_count"] == 1
        assert set(reply["records"][0]) == {"partition_id", "sequence_number"}
        assert set(reply["records"][1]) == {"error_code", "error_message"}


class TestDotNet:
    def test_waits_for_100_continue(self, server: Server, make: Make, wire: Wire) -> None:
        """Head first, with the signature over a body that follows only after `100 Continue`."""
        stream = make()
        body = b'{"stream_name":"%s","records":[{"data":"aGVsbG8=","partition_key":"k"}]}' % stream.encode()
        target = f"/v2/{server.project_id}/records/"
        headers = {
            "Host": f"127.0.0.1:{server.port}",
            "X-SDK-Version": "1.1.0/.net",
            "X-Project-Id": server.project_id,
            "Content-Type": "application/json; charset=utf-8",
            "accept": "*/*; charset=utf-8",
        }
        pairs = sign(
            "C",
            "POST",
            target,
            headers,
            body,
            access_key=server.ak,
            secret_key=server.sk,
            now_ms=int(time.time() * 1000),
        )
        pairs += [("Expect", "100-continue"), ("Content-Length", str(len(body)))]
        head = f"POST {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in pairs)
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
            connection.sendall(head.encode() + b"\r\n")
            first = connection.recv(1000)
            assert first.startswith(b"HTTP/1.1 100 ")
            connection.sendall(body)
            answer = b""
            while b'"sequence_number"' not in answer:
                part = connection.recv(65536)
                assert part, answer
                answer += part
        assert answer.startswith(b"HTTP/1.1 200 ")
        page = ok(wire.get(wire.cursor(stream)))["records"]
        assert [base64.b64decode(one["data"]) for one in page] == [b"hello"]

    def test_lists(self, server: Server, make: Make) -> None:
        """It reads the first fields of the list alone; counts of a description are integers that it turns into texts."""
        stream = make()
        with sender(server) as client:
            client.headers["X-SDK-Version"] = "1.1.0/.net"
            listed = ok(client.send("GET", f"/v2/{server.project_id}/streams/?start_stream_name=&limit=100"))
            assert stream in listed["stream_names"]
            assert {"total_number", "has_more_streams"} <= set(listed)
            shown = ok(client.send("GET", f"/v2/{server.project_id}/streams/{stream}/"))
            assert (shown["writable_partition_count"], shown["readable_partition_count"]) == (1, 1)
