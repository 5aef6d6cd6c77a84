"""Hostile clients over TCP, with figures: R10 slow clients, R11 huge bodies and bombs, R13 smuggling, R15 forged cursors.

    python -m tests.faults.hostile [r10 r11 r13 r15] [--seconds 60]

Each line says what was done and what was seen; the exit code is 1 when a pass figure of the plan is missed. Short forms of all of it
run in tests/contract.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.progress import track
from tests.support.server import Server
from tests.support.wire import Wire, b64, connect, done, exchange, receive
from tests.support.wirecodec import lz4_bomb, snappy_bomb, zstd_bomb

MIB = 1 << 20
RSS_GROWTH = 50 * MIB
"""R10. For R11 the bound is what bodies in flight may take, `bodies_in_flight_bytes`, and is measured the same way."""


class Report:
    """Lines as they come, and whether all was well."""

    def __init__(self) -> None:
        self.failed = 0

    def line(self, passed: bool, text: str) -> None:
        self.failed += not passed
        print(f"{'pass' if passed else 'FAIL'}  {text}", flush=True)


@contextmanager
def peak(pid: int) -> Iterator[Callable[[], int]]:
    """How far resident memory rose above what it was."""
    process, stop = psutil.Process(pid), threading.Event()
    first = highest = process.memory_info().rss

    def watch() -> None:
        nonlocal highest
        while not stop.wait(0.02):
            highest = max(highest, process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield lambda: highest - first
    stop.set()
    thread.join()


# R10 ------------------------------------------------------------------------------------------------------------------


def r10(server: Server, report: Report, seconds: float) -> None:
    """500 clients that send a byte of their headers a second, 200 of their body, 200 that read a byte of a reply a second."""
    with Wire.to(server) as wire:
        done(wire.create("slow", 1), 201)
        wire.put_data("slow", *[b"x" * 1000] * 1000)
        before = _latency(wire, min(seconds, 10))
        with peak(server.pid) as risen:
            ended: Counter[str] = Counter()
            attack = threading.Thread(
                target=lambda: asyncio.run(_slow_clients(server, wire, seconds, ended)), daemon=True
            )
            attack.start()
            time.sleep(2)
            during = _latency(wire, seconds - 4)
            attack.join()
            grown = risen()
    report.line(
        during < 2 * before or during < 0.002,
        f"R10 p99 of another client {before * 1e3:.2f} ms alone, {during * 1e3:.2f} ms meanwhile",
    )
    report.line(grown < RSS_GROWTH, f"R10 memory rose by {grown / MIB:.1f} MiB")
    report.line(
        ended["headers closed"] == 500,
        f"R10 {ended['headers closed']} of 500 slow headers closed by the server",
    )
    print(f"      {dict(ended)}")


def _latency(wire: Wire, seconds: float) -> float:
    """The 99th percentile of small puts, one after the other."""
    spent, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        wire.put_data("slow", b"a")
        spent.append(time.perf_counter() - began)
        time.sleep(0.002)
    return sorted(spent)[int(len(spent) * 0.99)]


async def _slow_clients(server: Server, wire: Wire, seconds: float, ended: Counter[str]) -> None:
    host, port = "127.0.0.1", server.port
    until = time.monotonic() + seconds
    path = f"/v2/{wire.project_id}/records"
    token = f"X-Auth-Token: {wire.token}\r\n"

    async def drip(kind: str, first: bytes, then: bytes) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(first)
        try:
            for at in range(len(then)):
                if time.monotonic() > until or reader.at_eof():
                    break
                writer.write(then[at : at + 1])
                await writer.drain()
                await asyncio.sleep(1)
            ended[f"{kind} {'closed' if reader.at_eof() else 'still open'}"] += 1
        except ConnectionError:
            ended[f"{kind} closed"] += 1
        finally:
            writer.close()

    async def sip() -> None:
        cursor = await asyncio.to_thread(wire.cursor, "slow", "0", cursor_type="TRIM_HORIZON")
        reader, writer = await asyncio.open_connection(host, port, limit=16)
        request = f"GET {path}?partition-cursor={cursor} HTTP/1.1\r\nHost: a\r\n{token}\r\n"
        writer.write(request.encode() * 3)
        while time.monotonic() < until and not reader.at_eof():
            await reader.read(1)
            await asyncio.sleep(1)
        ended[f"replies {'closed' if reader.at_eof() else 'still open'}"] += 1
        writer.close()

    heads = f"POST {path} HTTP/1.1\r\nHost: a\r\nX-Slow: ".encode()
    bodies = f"POST {path} HTTP/1.1\r\nHost: a\r\n{token}Content-Length: 100000\r\n\r\n".encode()
    await asyncio.gather(
        *(drip("headers", b"", heads + b"x" * 4000) for _ in range(500)),
        *(drip("bodies", bodies, b" " * 4000) for _ in range(200)),
        *(sip() for _ in range(200)),
        return_exceptions=True,
    )


# R11 ------------------------------------------------------------------------------------------------------------------


def r11(server: Server, report: Report) -> None:
    """Bodies that are too large, or become too large."""
    with Wire.to(server) as wire:
        done(wire.create("huge", 1), 201)
        put = f"/v2/{wire.project_id}/records"
        record = {"data": b64(b"x")}
        bombs = [
            ("gzip 10 GB", *_gzip_bomb()),
            ("zstd 10 GB", zstd_bomb(10 << 30, None), {"Content-Encoding": "zstd"}),
            ("zstd 10 GB, declared 100", zstd_bomb(10 << 30, 100),
             {"Content-Encoding": "zstd", "x-dis-zstd-content-length": "100"}),
            ("snappy 4 GB declared", snappy_bomb(MIB, (1 << 32) - 1), {"Content-Encoding": "snappy"}),
            ("lz4, declared 2 GB", lz4_bomb(MIB),
             {"Content-Encoding": "lz4", "x-dis-lz4-content-length": str(2 << 30)}),
            ("lz4, declared 10", lz4_bomb(MIB), {"Content-Encoding": "lz4", "x-dis-lz4-content-length": "10"}),
        ]  # fmt: skip
        with peak(server.pid) as risen:
            for name, body, headers in bombs:
                reply = wire.call("POST", "/records", content=body, headers=headers)
                report.line(
                    400 <= reply.status_code < 500,
                    f"R11 {name} ({len(body):,} bytes sent): {reply.status_code} {reply.json()['error_code']}",
                )
            body = json.dumps({"stream_name": "huge", "records": [record] * 100_001}).encode()
            reply = wire.call("POST", "/records", content=body)
            report.line(
                reply.status_code == 400,
                f"R11 100,001 records: {reply.status_code} {reply.json()['error_code']}",
            )
            for text, head in (
                ("1 GB declared", f"Content-Length: {1 << 30}"),
                (
                    "12 MB and 1 signed",
                    f"Authorization: SDK-HMAC-SHA256 Access=x\r\nContent-Length: {12 * MIB + 1}",
                ),
            ):
                token = "" if "signed" in text else f"X-Auth-Token: {wire.token}\r\n"
                request = f"POST {put} HTTP/1.1\r\nHost: a\r\n{token}{head}\r\n\r\n".encode()
                raw = exchange(server.endpoint, request)
                report.line(raw.status == 413, f"R11 {text}: {raw.status}, before any of it was sent")
            sent, status = _endless(server, wire)
            report.line(status == 413, f"R11 chunks without end: {status} after {sent / MIB:.0f} MiB")
            grown = risen()
        report.line(grown < 256 * MIB, f"R11 memory rose by {grown / MIB:.1f} MiB at most")
        report.line(wire.put("huge", [record]).status_code == 200, "R11 the server goes on")


def _gzip_bomb() -> tuple[bytes, dict[str, str]]:
    import zlib

    packer = zlib.compressobj(9, wbits=31)
    piece = b"\0" * (16 * MIB)
    body = b"".join(packer.compress(piece) for _ in range((10 << 30) // len(piece))) + packer.flush()
    return body, {"Content-Encoding": "gzip"}


def _endless(server: Server, wire: Wire) -> tuple[int, int]:
    sent, replies = 0, []
    with connect(server.endpoint) as sock:
        reader = threading.Thread(target=lambda: replies.append(receive(sock)), daemon=True)
        head = f"POST /v2/{wire.project_id}/records HTTP/1.1\r\nHost: a\r\nX-Auth-Token: {wire.token}\r\n"
        sock.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        reader.start()
        try:
            while not replies and sent < 100 * MIB:
                sock.sendall(b"100000\r\n" + b"x" * MIB + b"\r\n")
                sent += MIB
        except OSError:
            pass
        reader.join(10)
    return sent, replies[0].status if replies else 0


# R13 ------------------------------------------------------------------------------------------------------------------

_TAIL = b"GET /v3 HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED: tuple[bytes, ...] = (
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"Content-Length: 1, 2\r\n\r\nab",
    b"Content-Length: +1\r\n\r\na",
    b"Content-Length: 0x1\r\n\r\na",
    b"Content-Length : 1\r\n\r\na",
    b" Content-Length: 1\r\n\r\na",
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    b"X: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
    b"X: a\0b\r\n\r\n",
    b"X: a\nContent-Length: 1\r\n\r\na",
    b"X: a\rb\r\n\r\n",
    b"X: " + b"y" * (64 << 10) + b"\r\n\r\n",
    b"\r\n".join(b"X%d: y" % number for number in range(2000)) + b"\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n1;\n\r\na\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\na\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
)
"""What two parties may read in two ways, as headers after the request line and Host."""


def r13(server: Server, report: Report) -> None:
    """Requests that frame themselves in two ways, with another request right behind."""
    refused = 0
    for framing in SMUGGLED:
        with connect(server.endpoint, timeout=15) as sock:
            sock.sendall(b"POST /v3/auth/tokens HTTP/1.1\r\nHost: a\r\n" + framing + _TAIL)
            reply = receive(sock)
            rest = b""
            if reply.closed:
                sock.settimeout(3)
                try:
                    rest = sock.recv(65536)
                except OSError:
                    rest = b""
        fine = reply.status in (400, 413, 431, 501) and reply.closed and not rest
        refused += fine
        if not fine:
            report.line(
                False, f"R13 {framing[:60]!r}: {reply.status}, closed {reply.closed}, then {rest[:60]!r}"
            )
    report.line(
        refused == len(SMUGGLED),
        f"R13 {refused} of {len(SMUGGLED)} refused and closed, nothing behind them carried out",
    )


# R15 ------------------------------------------------------------------------------------------------------------------


def r15(server: Server, report: Report) -> None:
    """Every bit of a cursor flipped, and what a forger would put together."""
    with Wire.to(server) as wire:
        for name in ("cursor-a", "cursor-b"):
            done(wire.create(name, 1), 201)
            wire.put_data(name, b"1", b"2")
        cursor = wire.cursor("cursor-a", cursor_type="TRIM_HORIZON")
        other = wire.cursor("cursor-b", cursor_type="TRIM_HORIZON")
        raw = base64.urlsafe_b64decode(cursor)
        forged = [
            base64.urlsafe_b64encode(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]).decode()
            for at in range(len(raw))
            for bit in range(8)
        ]
        document = json.loads(raw)
        for key, value in (
            ("stream-name", "cursor-b"), ("partition-id", "shardId-0000000001"), ("starting-sequence-number", "1"),
            ("starting-sequence-number", 1), ("stream-id", None), ("mac", ""), ("mac", []), ("cursor-type", {}),
        ):  # fmt: skip
            changed = document | {"getIteratorParam": document["getIteratorParam"] | {key: value}}
            forged.append(
                base64.urlsafe_b64encode(json.dumps(changed, separators=(",", ":")).encode()).decode()
            )
        forged += [cursor[:at] + other[at:] for at in range(1, len(cursor), 7)]
        forged += [cursor + "=", cursor[:-1], cursor * 2, "A" * 513, "x", "e30", "bnVsbA"]
        forged = [text for text in forged if text not in (cursor, other)]
        outcome: Counter[str] = Counter()
        for text in track(forged, description="forged cursors"):
            reply = wire.get(text)
            outcome[f"{reply.status_code} {reply.json().get('error_code', 'records')}"] += 1
        done(wire.delete("cursor-a"), 204)
        done(wire.create("cursor-a", 1), 201)
        again = wire.get(cursor)
        outcome[f"{again.status_code} {again.json().get('error_code', 'records')}"] += 1
    good = sum(count for what, count in outcome.items() if what in ("400 DIS.4217", "400 DIS.4225"))
    report.line(
        good == len(forged) + 1,
        f"R15 {good:,} of {len(forged) + 1:,} forged cursors refused: {dict(outcome)}",
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["r10", "r11", "r13", "r15"])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the slow clients of R10 go on")
    arguments = parser.parse_args()
    report = Report()
    with (
        tempfile.TemporaryDirectory() as directory,
        Server(Path(directory) / "data", "--limits", "relaxed") as server,
    ):
        steps: dict[str, Callable[[], None]] = {
            "r10": lambda: r10(server, report, arguments.seconds),
            "r11": lambda: r11(server, report),
            "r13": lambda: r13(server, report),
            "r15": lambda: r15(server, report),
        }
        for name in arguments.what:
            steps[name]()
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
