"""Heads that are known: a connection on which they are reads and answers what one that parses everything does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import ApiError
from penstock.http.app import Application
from penstock.http.exchange import Response
from penstock.http.heads import Head, Heads
from penstock.http.protocol import Protocol
from penstock.http.shared import Shared
from penstock.iam.base import SentRequest
from penstock.limits import Limits

Asked = tuple[str, bytes, bytes, list[tuple[bytes, bytes]], bytes]

PLAIN = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Auth-Token: t\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /v2/p/records?partition-cursor=%d HTTP/1.1\r\nHost: x\r\nX-Auth-Token: t\r\n\r\n"


class _App:
    def __init__(self) -> None:
        self.context = SimpleNamespace(limits=Limits())
        self.direct = None
        self.room: object = None
        self.asked: list[Asked] = []

    def body_limit(self, named: Mapping[bytes, bytes]) -> int:
        return 64 if b"x-auth-token" in named else 8

    def refusal(self, error: ApiError) -> Response:
        return Response(error.status, None, error.code.encode())

    async def respond(self, sent: SentRequest, scheme: str) -> Response:
        assert sent.named is not None
        self.asked.append((sent.method, sent.path, sent.query, list(sent.headers), sent.body))
        await asyncio.sleep(0)
        return Response(404 if sent.path == b"/no" else 200, None, sent.path + sent.body)


class _Unknown(Heads):
    """Knows no head, ever."""

    def keep(self, block: bytes, head: Head) -> None: ...


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[bytes] = []
        self.ended = False

    def write(self, data: Any) -> None:
        start, _, rest = bytes(data).partition(b"\r\n\r\n")
        self.statuses += [start.split(b"\r\n")[0], rest]

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def _shared(heads: Heads) -> tuple[Shared, _App]:
    app = _App()
    shared = Shared(cast(Application, app), asyncio.get_running_loop())
    shared.heads = heads
    return shared, app


async def _talk(shared: Shared, pieces: list[bytes]) -> list[bytes]:
    transport = _Transport()
    protocol = Protocol(shared, asyncio.get_running_loop())
    protocol.connection_made(transport)
    for piece in pieces:
        if transport.ended:
            break
        protocol.data_received(piece)
        for _ in range(20):
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    assert shared.in_flight == 0
    return transport.statuses


_requests = st.sampled_from(
    [
        PLAIN,
        GET % 1,
        GET % 22,
        PLAIN.replace(b"POST", b"PUT"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"/a", b"/no"),
        PLAIN.replace(b"/a", b"/\xc3\xa4"),
        PLAIN.replace(b"/a", b"http://h/a"),
        PLAIN.replace(b"?b=c", b"#f"),
        PLAIN.replace(b"?b=c", b"  x"),
        PLAIN.replace(b"Host: x", b"Connection: keep-alive"),
        PLAIN.replace(b"Host: x", b"Connection: close"),
        PLAIN.replace(b"Host: x", b"Expect: 100-continue"),
        PLAIN.replace(b"Host: x", b"Upgrade: h2c\r\nConnection: upgrade"),
        PLAIN.replace(b"Host: x", b"Authorization: y"),
        PLAIN.replace(b"Host: x", b"Host: x\r\nHost: y"),
        PLAIN.replace(b"Host: x", b"Host: x\r\n folded"),
        PLAIN.replace(b"Host: x", b"Host: x\nA: b"),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 5"),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length: 500"),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length: 0") + b"\r\n",
        PLAIN.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked").replace(
            b"hello", b"5\r\nhello\r\n0\r\n\r\n"
        ),
        PLAIN.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        PLAIN.replace(b"\r\n\r\n", b"\n\r\n"),
        PLAIN.replace(b"\r\n\r\n", b"\n\n"),
        b"\r\n" + PLAIN,
        b"\r\n\r\n" + PLAIN,
        b"\n" + PLAIN,
        PLAIN + b"POST /x HTTP/1.1\r\nX: ",
        PLAIN + b"POST /x HTTP/1.1\r\nX-Auth-Token: t\r\nContent-Length: 500\r\n\r\n",
        b"POST /x HTTP/1.1\r\nX-Auth-Token: t\r\nContent-Length: 60\r\n\r\n",
        b"X",
        b"\r\n",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_requests, min_size=1, max_size=6), st.data())
def test_what_is_asked_and_answered_does_not_depend_on_what_is_known(
    requests: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    if data.draw(st.booleans()):
        pieces = requests
    else:
        pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if a < b]

    async def run() -> None:
        (plain, parsing), (knowing, known) = _shared(_Unknown()), _shared(Heads())
        for request in (PLAIN, GET % 333, *requests):
            await _talk(knowing, [request])
        known.asked.clear()
        for _ in range(2):
            assert await _talk(knowing, pieces) == await _talk(plain, pieces)
        assert known.asked == parsing.asked

    asyncio.run(run())


class _Counting(Heads):
    found = 0

    def find(self, data: bytes) -> Any:
        known = super().find(data)
        self.found += known is not None
        return known


@pytest.mark.parametrize("size", [len(GET), 60, 90, 1 << 20])
async def test_known_heads_are_used_whatever_the_line_and_however_the_body_arrives(size: int) -> None:
    heads = _Counting()
    shared, app = _shared(heads)
    again = PLAIN.replace(b"/a?b=c", b"/d")
    for request in (PLAIN, again):
        head, body = request[:-5], request[-5:]
        await _talk(shared, [head, *(body[i : i + 1] for i in range(5))] if size < 80 else [request])
    assert heads.found == 1
    assert [(path, query, body) for _, path, query, _, body in app.asked] == [
        (b"/a", b"b=c", b"hello"),
        (b"/d", b"", b"hello"),
    ]


async def test_what_failed_is_not_known() -> None:
    heads = _Counting()
    shared, _ = _shared(heads)
    for _ in range(2):
        await _talk(shared, [PLAIN.replace(b"/a", b"/no")])
    assert heads.found == 0


async def test_a_known_head_with_no_room_for_its_body_is_refused() -> None:
    shared, app = _shared(Heads())
    await _talk(shared, [PLAIN])
    shared.in_flight = shared.limits.bodies_in_flight_bytes
    transport, protocol = _Transport(), Protocol(shared, asyncio.get_running_loop())
    protocol.connection_made(transport)
    protocol.data_received(PLAIN)
    assert transport.statuses[0].startswith(b"HTTP/1.1 503")
    assert len(app.asked) == 1


async def test_two_requests_in_one_read_do_not_become_one_anothers() -> None:
    shared, app = _shared(Heads())
    second = PLAIN.replace(b"X-Auth-Token: t", b"X-Auth-Token: u")
    for piece in (PLAIN + second, PLAIN, second):
        await _talk(shared, [piece])
    tokens = [dict(headers)[b"x-auth-token"] for _, _, _, headers, _ in app.asked]
    assert tokens == [b"t", b"u", b"t", b"u"]


async def test_a_head_begun_before_is_parsed_to_its_end() -> None:
    shared, app = _shared(Heads())
    await _talk(shared, [PLAIN])
    transport, protocol = _Transport(), Protocol(shared, asyncio.get_running_loop())
    protocol.connection_made(transport)
    for piece in (b"\r\n", PLAIN):
        protocol.data_received(piece)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(app.asked) == 2
    # Nothing has begun any more that could be late.
    protocol.sweep(protocol.loop.time() + shared.limits.header_seconds + 1)
    assert not transport.ended
    assert [line for line in transport.statuses if line.startswith(b"HTTP/1.1 408")] == []


async def test_known_requests_that_are_sent_ahead_wait_in_the_socket() -> None:
    shared, app = _shared(Heads())
    await _talk(shared, [PLAIN])
    paused = []

    class Transport(_Transport):
        def pause_reading(self) -> None:
            paused.append(len(app.asked))

        def resume_reading(self) -> None:
            paused.append(-len(app.asked))

    transport, protocol = Transport(), Protocol(shared, asyncio.get_running_loop())
    protocol.connection_made(transport)
    for _ in range(2):
        protocol.data_received(PLAIN)
    assert paused == [2]
    for _ in range(20):
        await asyncio.sleep(0)
    assert paused == [2, -3]
    assert app.asked[1:] == [app.asked[0]] * 2


async def test_a_connection_knows_a_head_only_as_it_was() -> None:
    """Whatever the last request on it began with, which is looked at first."""
    shared, app = _shared(Heads())
    longer = PLAIN.replace(b"Content-Length: 5", b"Content-Length: 6") + b"!"
    other = PLAIN.replace(b"X-Auth-Token: t", b"X-Auth-Token: u")
    for requests in (
        [PLAIN, longer, other],
        [PLAIN, longer, PLAIN, other, other, GET % 7, other, PLAIN[:-1], b"o"],
    ):
        await _talk(shared, requests)
    assert [(method, dict(headers).get(b"x-auth-token"), body) for method, _, _, headers, body in app.asked[3:]] == [
        ("POST", b"t", b"hello"),
        ("POST", b"t", b"hello!"),
        ("POST", b"t", b"hello"),
        ("POST", b"u", b"hello"),
        ("POST", b"u", b"hello"),
        ("GET", b"t", b""),
        ("POST", b"u", b"hello"),
        ("POST", b"t", b"hello"),
    ]  # fmt: skip


async def test_bodies_of_known_heads_count_while_they_are_in_memory() -> None:
    shared, app = _shared(Heads())
    await _talk(shared, [PLAIN])
    protocol = Protocol(shared, asyncio.get_running_loop())
    protocol.connection_made(_Transport())
    protocol.data_received(PLAIN)
    assert shared.in_flight == 5
    for _ in range(20):
        await asyncio.sleep(0)
    assert (shared.in_flight, len(app.asked)) == (0, 2)


_HEAD = Head([(b"a", b"b"), (b"c", b"d")], {b"a": b"b", b"c": b"d"}, 8, 0)
_BLOCK = b"\r\na: b\r\nc: d\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "head"),
    [
        (b"GET / HTTP/1.1" + _BLOCK[:-2] + _BLOCK[2:], _HEAD._replace(headers=_HEAD.headers * 2)),
        *(
            (b"GET / HTTP/1.1" + _BLOCK, _HEAD._replace(named={name: b"b", b"c": b"d"}))
            for name in (b"authorization", b"expect", b"transfer-encoding", b"upgrade")
        ),
        (b"GET / HTTP/1.1" + _BLOCK[:-2], _HEAD),
        (_BLOCK, _HEAD),
        (b"GET / HTTP/1.1" + _BLOCK.replace(b"b", b"b" * 2048), _HEAD),
        (b"GET / HTTP/1.1" + _BLOCK.replace(b"b", b"b\r\n e"), _HEAD),
        (b"GET / HTTP/1.1" + _BLOCK.replace(b"a: b\r\n", b"a: b\n"), _HEAD),
        (b"GET / HTTP/1.1" + _BLOCK.replace(b"a: b", b"a: b\n e"), _HEAD),
        (b"GET / HTTP/1.1" + _BLOCK.replace(b"a: b\r\n", b"a: b\n\r"), _HEAD),
        (b"GET / HTTP/1.1" + _BLOCK.replace(b"a: b", b"a: b\r e"), _HEAD),
    ],
)
def test_what_may_be_read_in_two_ways_or_changes_each_time_is_not_kept(data: bytes, head: Head) -> None:
    heads = Heads()
    assert heads.block(b"GET / HTTP/1.1" + _BLOCK + b"x", _HEAD) == _BLOCK
    assert heads.block(data, head) is None


def test_lines_are_kept_that_come_again_and_only_so_many() -> None:
    heads = Heads()
    heads.keep(_BLOCK, _HEAD)
    for number in range(300):
        for line in (b"GET /%d HTTP/1.1", b"GET /a?%d HTTP/1.1", b"GET /" + b"x" * 300 + b"%d HTTP/1.1"):
            known = heads.find(line % number + _BLOCK)
            assert known is not None
            assert b" " + known.path + (b"?" + known.query if known.query else b"") + b" " in line % number
        assert len(heads._lines) <= 256
    assert all(len(line) <= 256 and b"?" not in line for line in heads._lines)


def test_a_block_that_is_known_takes_no_others_place() -> None:
    heads = Heads()
    for number in (*range(256), 255, 255):
        heads.keep(b"\r\na: %d\r\n\r\n" % number, _HEAD)
    assert all(heads.find(b"GET / HTTP/1.1\r\na: %d\r\n\r\n" % number) for number in range(256))


def test_only_so_many_are_known() -> None:
    heads = Heads()
    head = Head([(b"a", b"b")], {b"a": b"b"}, 8, 0)
    for number in range(1000):
        heads.keep(b"\r\na: %d\r\n\r\n" % number, head)
    known = [number for number in range(1000) if heads.find(b"GET / HTTP/1.1\r\na: %d\r\n\r\n" % number)]
    assert known == list(range(744, 1000))
