"""The short way of a put: with it a server answers, stores and counts what one without it does, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import codecs
from tests.support.identity import PASSWORD, make_identity
from tests.support.memory_log import MemoryLog
from tests.support.streams import call, make_context

from penstock.catalog.tables.iam import Agency, Grant
from penstock.clock import SteppedClock
from penstock.http.app import Application
from penstock.http.direct import Direct
from penstock.http.protocol import Protocol
from penstock.http.shared import Shared
from penstock.iam import roles
from penstock.iam.authenticator import make_authenticator
from penstock.iam.identity import Identity
from penstock.limits import PROFILES
from penstock.log.base import PartitionRef
from penstock.model.streams import StreamStatus
from penstock.service.access import Access
from penstock.service.context import Context
from penstock.service.partitions import Partitions
from penstock.service.records import Records
from penstock.service.traffic import Traffic

Step = Callable[["World"], Any]
DATE = re.compile(rb"date: [^\r]*\r\n")


class _Counting(Direct):
    """How many puts went the short way."""

    taken = 0

    def begin(self, cycle: Any, body: bytes) -> bool:
        done = super().begin(cycle, body)
        self.taken += done
        return done


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False

    def write(self, data: Any) -> None:
        self.written += DATE.sub(b"", bytes(data))

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


class World:
    """A server without sockets: streams `one` and `four` (of one and four partitions) in project `pid`, another `one` in `pid2`, which is
    another account's, and one connection."""

    clock: SteppedClock
    log: MemoryLog
    context: Context
    identity: Identity
    direct: _Counting
    shared: Shared
    token: str
    transport: _Transport
    protocol: Protocol

    @classmethod
    async def make(cls, directory: Path, *, profile: str, direct: bool, auth: bool = True) -> World:
        directory.mkdir()
        self = cls()
        self.clock = SteppedClock()
        limits = PROFILES[profile]
        self.log = MemoryLog(self.clock)
        self.context = context = await make_context(directory, limits=limits, clock=self.clock, log=self.log)
        self.identity = context.identity = await make_identity(clock=self.clock, limits=limits, auth=auth)
        context.authenticator = make_authenticator(self.identity)
        context.traffic = Traffic(self.clock)
        partitions = Partitions(context.log, self.clock, fetch_bytes=limits.fetch_bytes_default)
        access = Access(self.identity, context.directory)
        context.records = Records(
            partitions, context.directory, access, limits, self.clock, b"k" * 32, context.traffic
        )
        for name, count in (("one", 1), ("four", 4)):
            await self.call("POST", "/streams", {"stream_name": name, "partition_count": count})
        await self.call("POST", "/streams", {"stream_name": "one", "partition_count": 1}, project="pid2")
        app = Application(context, ())
        app._request_prefix = "0" * 16
        assert app.direct is not None
        app.direct.__class__ = _Counting
        assert isinstance(app.direct, _Counting)
        self.direct = app.direct
        if not direct:
            app.direct = None
        self.shared = Shared(app, asyncio.get_running_loop())
        self.token = self.token_of("user1")
        self.connect()
        return self

    def connect(self) -> None:
        """Go on with another connection."""
        self.transport = _Transport()
        self.protocol = Protocol(self.shared, asyncio.get_running_loop())
        self.protocol.connection_made(self.transport)

    async def call(self, method: str, path: str, body: object = None, *, project: str = "pid") -> None:
        reply = await call(self.context, method, path, body, project=project)
        assert reply.status < 300

    def token_of(self, name: str, account: str = "account1", project: str = "region1") -> str:
        user = self.identity.user(name=name, domain_name=account)
        assert user is not None
        return self.identity.issue(
            user, ("password",), project=self.identity.project(user.domain_id, name=project)
        ).text

    async def send(
        self,
        body: bytes,
        *,
        project: str = "pid",
        method: str = "POST",
        query: str = "",
        token: str | None = None,
        headers: str = "Content-Type: application/json\r\n",
    ) -> None:
        head = f"{method} /v2/{project}/records{query} HTTP/1.1\r\nHost: x\r\n"
        if (token := self.token if token is None else token) != "-":
            head += f"X-Auth-Token: {token}\r\n"
        head += f"{headers}Content-Length: {len(body)}\r\n\r\n"
        self.protocol.data_received(head.encode() + body)
        for _ in range(20):
            await asyncio.sleep(0)

    def seen(self) -> dict[str, Any]:
        """Everything that tells two worlds apart."""
        names = {one.stream_id: f"{one.project_id}/{one.name}" for one in self.context.directory.all()}
        replies = self.transport.written
        for stream_id, name in names.items():
            replies = replies.replace(stream_id.encode(), name.ljust(20).encode())
        counted = [
            (names.get(one.stream_id), one.number, one.minute, one.point)
            for one in self.context.traffic.take()
            if any(one.point)
        ]
        frames = {
            (names.get(ref.stream_id), ref.number): [
                (frame.base, frame.count, frame.append_ms, frame.payload) for frame in partition.frames
            ]
            for ref, partition in self.log._partitions.items()
        }
        totals = self.context.records.totals
        return {
            "replies": replies,
            "ended": self.transport.ended,
            "in flight": self.shared.in_flight,
            "totals": {name: getattr(totals, name) for name in totals.__slots__},
            "counted": sorted(counted, key=str),
            "frames": frames,
        }

    async def close(self) -> None:
        self.protocol.connection_lost(None)
        await self.context.catalog.close()


def put(stream: str, *records: dict[str, Any], **more: Any) -> bytes:
    rows = [{"data": base64.b64encode(b"data").decode()} | record for record in records]
    return json.dumps({"stream_name": stream, "records": rows} | more).encode()


async def _known(world: World) -> None:
    """All streams have been put to."""
    other = world.token_of("user2", "account2")
    for project, name, token in (("pid", "one", None), ("pid", "four", None), ("pid2", "one", other)):
        await world.send(put(name, {"partition_key": "first"}), project=project, token=token)


async def _compare(
    tmp_path: Path, steps: list[Step], profile: str = "relaxed", *, auth: bool = True
) -> tuple[int, dict[str, Any]]:
    """Take the steps in both worlds; how many puts went the short way, and what is there in the end."""
    number = len(list(tmp_path.iterdir()))
    worlds = [
        await World.make(tmp_path / f"{number}-{direct}", profile=profile, direct=direct, auth=auth)
        for direct in (True, False)
    ]
    found = []
    for world in worlds:
        for step in steps:
            await step(world)
        found.append(world.seen())
        await world.close()
    assert found[0] == found[1]
    assert worlds[1].direct.taken == 0
    return worlds[0].direct.taken, found[0]


@pytest.fixture(autouse=True)
def compiled() -> Iterator[None]:
    with codecs.using("native"):
        yield


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = await World.make(tmp_path / "w", profile="relaxed", direct=True)
    yield made
    await made.close()


pytestmark = pytest.mark.services


DIRECT: dict[str, Step] = {
    "key": lambda w: w.send(put("four", {"partition_key": "k"})),
    "partition": lambda w: w.send(put("four", {"partition_id": "shardId-0000000003"})),
    "hash": lambda w: w.send(put("four", {"explicit_hash_key": "9223372036854775807"})),
    "no key, one partition": lambda w: w.send(put("one", {})),
    "more records": lambda w: w.send(put("one", {}, {"partition_key": "k"}, {"partition_key": ""})),
    "no type": lambda w: w.send(put("one", {}), headers=""),
    "other headers": lambda w: w.send(put("one", {}), headers="Accept: */*\r\nUser-Agent: a/1\r\n"),
    "last on the connection": lambda w: w.send(put("one", {}), headers="Connection: close\r\n"),
    "HTTP/1.1 twice": lambda w: w.send(put("one", {}) * 1, headers="X-A: b\r\n"),
}
LEFT: dict[str, Step] = {
    "round robin": lambda w: w.send(put("four", {})),
    "several partitions": lambda w: w.send(put("four", {"partition_id": "0"}, {"partition_id": "1"})),
    "several, one of which fails": lambda w: w.send(put("one", {}, {"partition_id": "7"})),
    "a partition there is not": lambda w: w.send(put("four", {"partition_id": "7"})),
    "a bad partition": lambda w: w.send(put("four", {"partition_id": "x"})),
    "a bad hash": lambda w: w.send(put("four", {"explicit_hash_key": "x"})),
    "no records": lambda w: w.send(put("one")),
    "no stream": lambda w: w.send(put("none", {})),
    "an id too": lambda w: w.send(put("one", {}, stream_id="x")),
    "no body": lambda w: w.send(b""),
    "no JSON": lambda w: w.send(put("one", {})[:-1]),
    "bad Base64": lambda w: w.send(put("one", {"data": "?"})),
    "a large record": lambda w: w.send(put("one", {"data": base64.b64encode(bytes(9000)).decode()})),
    "a long key": lambda w: w.send(put("one", {"partition_key": "k" * 4097})),
    "deflated": lambda w: w.send(gzip.compress(put("one", {})), headers="Content-Encoding: gzip\r\n"),
    "said to be deflated": lambda w: w.send(put("one", {}), headers="Content-Encoding: gzip\r\n"),
    "protobuf": lambda w: w.send(put("one", {}), headers="Content-Type: Application/X-Protobuf\r\n"),
    "a query": lambda w: w.send(put("one", {}), query="?a=%ff"),
    "another method": lambda w: w.send(put("one", {}), method="PUT"),
    "another path": lambda w: w.send(put("one", {}), project="pid/x"),
    "another project": lambda w: w.send(put("one", {}), project="pid-from-iam"),
    "another account's project": lambda w: w.send(put("one", {}), project="pid2"),
    "no token": lambda w: w.send(put("one", {}), token="-"),
    "a wrong token": lambda w: w.send(put("one", {}), token=w.token[:-1]),
    "two tokens": lambda w: w.send(put("one", {}), headers=f"X-Auth-Token: {w.token}\r\n"),
    "another's token": lambda w: w.send(put("one", {}), token=w.token_of("user2", "account2")),
}


@pytest.mark.parametrize("name", DIRECT)
async def test_what_most_puts_are_goes_the_short_way(tmp_path: Path, name: str) -> None:
    taken, found = await _compare(tmp_path, [_known, DIRECT[name]])
    assert taken == 1
    assert found["replies"].count(b'"failed_record_count":0') == 4


@pytest.mark.parametrize("name", LEFT)
async def test_everything_else_does_not(tmp_path: Path, name: str) -> None:
    assert (await _compare(tmp_path, [_known, LEFT[name]]))[0] == 0


def _advance(seconds: float) -> Step:
    async def advance(world: World) -> None:
        world.clock.advance(seconds)

    return advance


def _read_only(number: int) -> Step:
    async def fail(world: World) -> None:
        stream = world.context.directory.get("pid", "four")
        assert stream is not None
        world.log.read_only.add(PartitionRef(stream.stream_id, number))

    return fail


_steps = st.sampled_from(
    [
        *DIRECT.values(),
        *LEFT.values(),
        _advance(0.3),
        _advance(61.0),
        _advance(90_000.0),
        _read_only(0),
        lambda w: w.call("PUT", "/streams/four", {"stream_name": "four", "target_partition_count": 5}),
        lambda w: w.call("PUT", "/streams/four", {"stream_name": "four", "target_partition_count": 3}),
    ]
)


@settings(max_examples=15, deadline=None)
@given(st.lists(_steps, min_size=5, max_size=30), st.sampled_from(["relaxed", "documented"]), st.booleans())
def test_any_sequence(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], profile: str, auth: bool
) -> None:
    async def each(world: World, step: Step) -> None:
        if world.transport.ended:
            world.connect()
        try:
            await step(world)
        except Exception as error:
            assert "DIS." in str(error)  # the stream cannot be scaled so

    def wrap(step: Step) -> Step:
        return lambda world: each(world, step)

    wrapped = [wrap(step) for step in (_known, *steps)]
    asyncio.run(_compare(tmp_path_factory.mktemp("any"), wrapped, profile, auth=auth))


async def test_traffic_control_admits_as_many(tmp_path: Path) -> None:
    rows = [{"data": ""} for _ in range(90)]
    steps: list[Step] = [lambda w: w.send(put("one", *rows))] * 15
    taken, found = await _compare(tmp_path, [*steps, _advance(1.0), *steps], "documented")
    assert 20 <= taken < 29
    assert found["totals"]["records_in"] == 2000
    assert found["totals"]["throttled"] == 2 * 15 * 90 - 2000


async def test_records_a_failing_disk_refuses(tmp_path: Path) -> None:
    steps: list[Step] = [_known, _read_only(2), lambda w: w.send(put("four", {"partition_id": "2"}))]
    taken, found = await _compare(tmp_path, steps)
    assert taken == 1
    assert found["replies"].count(b"DIS.5000") == 1
    assert found["totals"]["refused"] == 1


async def test_a_token_that_ends_is_refused(world: World) -> None:
    await _known(world)
    await world.send(put("one", {}))
    assert world.direct.taken == 1
    world.clock.advance(world.context.limits.token_seconds)
    await world.send(put("one", {}))
    assert world.direct.taken == 1
    assert world.transport.written.count(b"HTTP/1.1 401 ") == 1


async def test_a_token_that_is_revoked_is_refused(world: World) -> None:
    await _known(world)
    await world.send(put("one", {}))
    await world.identity.revoke(world.identity.read_token(world.token.encode())[0])
    await world.send(put("one", {}))
    assert world.direct.taken == 1
    assert world.transport.written.count(b"HTTP/1.1 401 ") == 1


async def test_an_agency_that_runs_out_is_refused(world: World) -> None:
    identity, now = world.identity, world.clock.now_ms()
    giver, taker = identity.domain(name="account1"), identity.user(name="user2", domain_name="account2")
    assert giver is not None
    assert taker is not None
    agency = await identity.store.add_agency(
        Agency(
            agency_id="agency-1",
            domain_id=giver.domain_id,
            name="agency",
            trust_domain_id=taker.domain_id,
            trust_domain_name="account2",
            days=1,
            created_ms=now - 86_400_000 + 60_000,
        )
    )
    await identity.store.add_grant(
        Grant("agency:agency-1", "project:pid", roles.BY_NAME["DIS CommonOperations"].policy_id)
    )
    project = identity.project(giver.domain_id, name="region1")
    token = identity.issue(taker, ("assume_role",), project=project, agency=agency).text
    await _known(world)
    for _ in range(2):
        await world.send(put("one", {}), token=token)
    assert world.transport.written.count(b"HTTP/1.1 200 ") == 5
    world.clock.advance(60)
    await world.send(put("one", {}), token=token)
    assert world.transport.written.count(b"HTTP/1.1 401 ") == 1


async def test_as_many_records_as_a_request_may_have(world: World) -> None:
    await _known(world)
    direct = world.context.records.direct
    assert direct is not None
    limits = msgspec.structs.replace(world.context.limits, records_per_request=2)
    world.context.records._limits = limits
    direct._records_max = limits.records_per_request
    await world.send(put("one", {}, {}))
    await world.send(put("one", {}, {}, {}))
    assert world.direct.taken == 1
    assert world.transport.written.count(b"DIS.4200") == 2, "both spellings of the code"


async def test_what_such_a_put_begins_with_is_known_then(world: World) -> None:
    await _known(world)
    new = f"POST /v2/pid/records HTTP/1.1\r\nHost: new\r\nX-Auth-Token: {world.token}\r\n"
    body = put("one", {})
    whole = f"{new}Content-Length: {len(body)}\r\n\r\n".encode() + body
    assert world.shared.heads.find(whole) is None
    world.protocol.data_received(whole)
    assert world.direct.taken == 1
    assert world.shared.heads.find(whole) is not None


async def test_a_token_made_before_the_clock_was_set_back_is_looked_at(world: World) -> None:
    await _known(world)
    world.clock.set_wall(world.clock.now_ms() - 86_400_000)
    await world.send(put("one", {}))
    assert world.direct.taken == 0
    assert world.transport.written.count(b"HTTP/1.1 401 ") == 1


async def test_a_user_needs_the_action_at_each_put(world: World) -> None:
    identity = world.identity
    domain = identity.domain(name="account1")
    assert domain is not None
    user = await identity.add_user(domain.domain_id, "plain", PASSWORD)
    await _known(world)
    token = world.token_of("plain")

    async def status() -> bytes:
        world.connect()
        await world.send(put("one", {}), token=token)
        return world.transport.written[9:12]

    assert [await status() for _ in range(2)] == [b"403", b"403"]
    grant = Grant(f"user:{user.user_id}", "project:pid", roles.BY_NAME["DIS CommonOperations"].policy_id)
    await identity.store.add_grant(grant)
    assert [await status() for _ in range(3)] == [b"200", b"200", b"200"]
    assert world.direct.taken == 2, "the first of a token is read"
    await identity.store.remove_grant(grant)
    assert await status() == b"403"


async def test_a_stream_that_changes_or_goes_is_looked_at_again(world: World) -> None:
    await _known(world)
    directory = world.context.directory
    stream = directory.get("pid", "one")
    assert stream is not None
    directory.put(msgspec.structs.replace(stream, status=StreamStatus.TERMINATING))
    await world.send(put("one", {}))
    assert b"DIS.4205" in world.transport.written
    directory.put(stream)
    await world.send(put("one", {}))
    assert world.direct.taken == 0
    await world.send(put("one", {}))
    assert world.direct.taken == 1
    directory.drop(stream)
    await world.send(put("one", {}))
    assert b"DIS.4301" in world.transport.written
    assert world.direct.taken == 1
    assert world.context.records.direct is not None
    assert list(world.context.records.direct.streams("pid")) == ["four"]


async def test_without_the_compiled_codec(world: World) -> None:
    with codecs.using("python"):
        await _known(world)
        await world.send(put("one", {}))
    assert world.direct.taken == 0
    assert world.transport.written.count(b'"failed_record_count":0') == 4


async def test_an_error_of_our_own_is_a_500_and_no_silence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _known(world)

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(world.context.traffic, "put", broken)
    await world.send(put("one", {}))
    assert world.direct.taken == 1
    assert b"HTTP/1.1 500 " in world.transport.written
    monkeypatch.setattr(world.context.authenticator, "recognise", broken)
    await world.send(put("one", {}))
    assert world.transport.written.count(b'"failed_record_count":0') == 4, "as if there were no short way"


async def test_a_client_that_has_gone_is_not_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await _known(world)
    waiting: list[Any] = []

    def begin(*given: Any) -> bool:
        waiting.append(given)
        return True

    monkeypatch.setattr(world.log, "begin", begin)
    written = world.transport.written
    await world.send(put("one", {}))
    assert world.shared.in_flight > 0
    world.protocol.connection_lost(None)
    assert world.shared.in_flight == 0
    ref, payload, records, done = waiting[0]
    monkeypatch.undo()
    assert world.log.begin(ref, payload, records, done)
    assert world.transport.written == written
    assert world.context.records.totals.records_in == 4, "it is stored all the same"
    world.connect()


async def test_requests_sent_ahead_are_answered_in_order(world: World) -> None:
    await _known(world)
    token = f"X-Auth-Token: {world.token}\r\n"
    requests = b""
    for body in (put("one", {}), put("four", {}), put("one", {}), put("none", {})):
        head = f"POST /v2/pid/records HTTP/1.1\r\nHost: x\r\n{token}Content-Length: {len(body)}\r\n\r\n"
        requests += head.encode() + body
    world.transport.written = b""
    world.protocol.data_received(requests)
    for _ in range(50):
        await asyncio.sleep(0)
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", world.transport.written)
    assert statuses == [b"200", b"200", b"200", b"400"]
    assert re.findall(rb'sequence_number":"(\d+)"', world.transport.written)[::2] == [b"1", b"2"]
    assert world.direct.taken == 2


async def test_with_an_access_log_every_put_is_noted(world: World, tmp_path: Path) -> None:
    world.context.settings = msgspec.structs.replace(
        world.context.settings, access_log=tmp_path / "access.log"
    )
    assert Application(world.context, ()).direct is None
