"""Compressed request bodies (clients.md 3.3), and bombs: refused before they take memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import zstandard
from tests.support.server import Server
from tests.support.wire import MIB, Json, Wire, b64, ok, refused
from tests.support.wirecodec import (
    PbRecord,
    compressed,
    lz4_bomb,
    put_request,
    put_result,
    snappy_bomb,
    varint,
    zstd_bomb,
)

Make = Callable[..., str]
KINDS = ["lz4", "snappy", "zstd"]
GIB = 1 << 30
REFUSALS = ("DIS.4300", "APIGW.0201")
"""Not what it says it is, or larger than a body may be."""


def refused_somehow(reply: httpx.Response) -> None:
    """413 when the size is known to be too large, 400 when the body is not what it says."""
    assert reply.status_code in (400, 413), reply
    refused(reply, *REFUSALS, status=reply.status_code)


def body_of(stream: str, *data: bytes) -> bytes:
    records: list[Json] = [{"data": b64(one)} for one in data]
    return json.dumps({"stream_name": stream, "records": records}).encode()


class TestEncodings:
    @pytest.mark.parametrize("kind", KINDS)
    def test_json(self, wire: Wire, make: Make, kind: str) -> None:
        stream = make()
        data = [b"a", b"compressible " * 1000, bytes(range(256)) * 4]
        content, headers = compressed(kind, body_of(stream, *data))
        reply = wire.call("POST", "/records", content=content, headers=headers | {"Accept-Encoding": kind})
        assert ok(reply)["failed_record_count"] == 0
        assert "content-encoding" not in reply.headers, "these clients cannot decode a compressed reply"
        assert [record.data for record in wire.read_all(stream)] == data

    @pytest.mark.parametrize("kind", KINDS)
    def test_protobuf(self, wire: Wire, make: Make, kind: str) -> None:
        stream = make()
        content, headers = compressed(kind, put_request(stream, [PbRecord(b"x" * 5000)] * 3))
        headers["Content-Type"] = "application/x-protobuf; charset=utf-8"
        reply = wire.call("POST", "/records", content=content, headers=headers)
        assert reply.headers["content-type"] == "application/x-protobuf"
        assert put_result(reply.content).failed == 0
        assert [record.data for record in wire.read_all(stream)] == [b"x" * 5000] * 3

    @pytest.mark.parametrize("kind", KINDS)
    def test_control_operations(self, wire: Wire, name: str, kind: str) -> None:
        """Every JSON body of the Java SDK is compressed, not only records."""
        content, headers = compressed(kind, json.dumps({"stream_name": name, "partition_count": 1}).encode())
        assert wire.call("POST", "/streams", content=content, headers=headers).status_code == 201
        assert ok(wire.describe(name))["stream_name"] == name

    def test_zstd_without_its_size_header(self, wire: Wire, make: Make) -> None:
        content, _ = compressed("zstd", body_of(make(), b"a"))
        ok(wire.call("POST", "/records", content=content, headers={"Content-Encoding": "zstd"}))

    def test_a_full_request_compressed(self, wire: Wire, make: Make) -> None:
        stream = make(partitions=5)
        records = [{"data": b64(b"x" * MIB), "partition_id": str(number)} for number in range(5)]
        content, headers = compressed("lz4", json.dumps({"stream_name": stream, "records": records}).encode())
        reply = ok(wire.call("POST", "/records", content=content, headers=headers))
        assert reply["failed_record_count"] == 0

    @pytest.mark.parametrize("encoding", ["br", "x", "deflate", "lz4, zstd"])
    def test_other_encodings(self, wire: Wire, make: Make, encoding: str) -> None:
        reply = wire.call(
            "POST", "/records", content=body_of(make(), b"a"), headers={"Content-Encoding": encoding}
        )
        refused(reply, "APIGW.0107", status=415)


class TestDamaged:
    @pytest.mark.parametrize("kind", KINDS)
    def test_bodies_that_cannot_be_inflated(self, wire: Wire, make: Make, kind: str) -> None:
        content, headers = compressed(kind, body_of(make(), b"some text that compresses, compresses" * 50))
        for damaged in (b"\x01", b"garbage", content[:-5], content[5:], b"\xff" * 1000):
            refused_somehow(wire.call("POST", "/records", content=damaged, headers=headers))

    @pytest.mark.parametrize("declared", ["", "x", "-1", "1.5", "9" * 30])
    def test_lz4_needs_its_size(self, wire: Wire, make: Make, declared: str) -> None:
        content, headers = compressed("lz4", body_of(make(), b"a"))
        headers["x-dis-lz4-content-length"] = declared
        refused_somehow(wire.call("POST", "/records", content=content, headers=headers))

    @pytest.mark.parametrize("off", [-1, 1, 1000, -100])
    def test_lz4_of_another_size_than_declared(self, wire: Wire, make: Make, off: int) -> None:
        body = body_of(make(), b"text " * 100)
        content, headers = compressed("lz4", body)
        headers["x-dis-lz4-content-length"] = str(len(body) + off)
        refused_somehow(wire.call("POST", "/records", content=content, headers=headers))


class TestBombs:
    """A small body that would inflate to gigabytes is refused before it takes the memory."""

    @pytest.fixture(autouse=True)
    def _memory(self, server: Server) -> object:
        """The server's peak memory may not grow by more than a body and its copies."""
        before = peak_memory(server.pid)
        yield
        assert peak_memory(server.pid) - before < 120 * MIB

    @pytest.mark.parametrize("declared", [None, 10, 10 * GIB, (1 << 64) - 3])
    @pytest.mark.parametrize("header", [None, 10, 10 * GIB])
    def test_zstd(self, wire: Wire, declared: int | None, header: int | None) -> None:
        content = zstd_bomb(10 * GIB, declared)
        assert len(content) < MIB
        headers = {"Content-Encoding": "zstd"}
        if header is not None:
            headers["x-dis-zstd-content-length"] = str(header)
        refused_somehow(wire.call("POST", "/records", content=content, headers=headers))

    def test_zstd_of_many_frames(self, wire: Wire) -> None:
        frame = zstandard.ZstdCompressor().compress(b" " * MIB)
        content = frame * (MIB // len(frame))
        refused_somehow(wire.call("POST", "/records", content=content, headers={"Content-Encoding": "zstd"}))

    def test_zstd_with_a_huge_window(self, wire: Wire) -> None:
        """A frame may ask the decoder for a window of gigabytes."""
        content = b"\x28\xb5\x2f\xfd\x00" + bytes([(31 - 10) << 3]) + zstd_bomb(10 * GIB, None)[6:]
        refused_somehow(wire.call("POST", "/records", content=content, headers={"Content-Encoding": "zstd"}))

    @pytest.mark.parametrize("declared", [10, 21 * MIB, (1 << 32) - 1, 1 << 40])
    def test_snappy(self, wire: Wire, declared: int) -> None:
        content = snappy_bomb(MIB, declared)
        refused_somehow(
            wire.call("POST", "/records", content=content, headers={"Content-Encoding": "snappy"})
        )
        tiny = varint(declared) + b"\x00a"
        refused_somehow(wire.call("POST", "/records", content=tiny, headers={"Content-Encoding": "snappy"}))

    @pytest.mark.parametrize("declared", [10, 12 * MIB, 255 * MIB, 10 * GIB, 1 << 62])
    def test_lz4(self, wire: Wire, declared: int) -> None:
        headers = {"Content-Encoding": "lz4", "x-dis-lz4-content-length": str(declared)}
        refused_somehow(wire.call("POST", "/records", content=lz4_bomb(MIB), headers=headers))
        refused_somehow(wire.call("POST", "/records", content=b"\x00", headers=headers))

    @pytest.mark.parametrize("kind", KINDS)
    def test_just_over_the_largest_body(self, wire: Wire, kind: str) -> None:
        content, headers = compressed(kind, b" " * (12 * MIB + 1))
        refused(wire.call("POST", "/records", content=content, headers=headers), "APIGW.0201", status=413)


def peak_memory(pid: int) -> int:
    """The most memory a process has ever held, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmHWM")
