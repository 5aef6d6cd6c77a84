"""The Kafka adapter itself (Java, 1.2.2 with its own SDK 1.3.3): consumer groups, manual assignment, producing (clients.md 1.9, 9).

Its heartbeats come every 10 s whatever it is told, and no test can make it faster: one rebalance takes up to 10 s.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import maven
from tests.support.driver import Driver
from tests.support.server import Server
from tests.support.wire import Json, Wire, done, ok

pytestmark = pytest.mark.services

PROJECT = Path(__file__).parents[1] / "clients/kafka"
# Shorter than by default: a member that was killed need not be waited for as long.
CONFIG = """
[limits]
control_requests_per_second = 1000000
group_session_seconds = 16.0
group_rebalance_seconds = 14.0
"""
WAIT_SECONDS = 90.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("kafka")
    config = directory / "penstock.toml"
    config.write_text(CONFIG)
    with Server(directory / "data", "--config", str(config)) as started:
        yield started


@pytest.fixture(scope="module")
def command() -> list[str]:
    return maven.command(PROJECT, "penstock.Main")


@pytest.fixture(scope="module")
def java(command: list[str]) -> Iterator[Driver]:
    with Driver(command) as driver:
        yield driver


class Consumer:
    """A consumer in a JVM that polls all the time, and everything it was given."""

    def __init__(self, driver: Driver, server: Server, name: str, group: str, **properties: object) -> None:
        self.driver = driver
        self.name = name
        self.records: list[tuple[str, int, int, str]] = []
        """Stream, partition, offset, value."""
        self.assigned: set[tuple[str, int]] = set()
        self.assignments = 0
        self.errors: list[str] = []
        settings = connection(server) | {
            "group.id": group,
            "client.id": name,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": "false",
        }
        self.call("open", properties=settings | {key.replace("_", "."): v for key, v in properties.items()})

    def call(self, operation: str, **arguments: object) -> Any:
        return self.driver.call(operation, consumer=self.name, **arguments)

    def start(self, *streams: str, pattern: str = "") -> Consumer:
        if pattern:
            self.call("subscribePattern", pattern=pattern)
        else:
            self.call("subscribe", streams=list(streams))
        self.call("start", timeout=300)
        return self

    def look(self) -> Consumer:
        state = self.call("state")
        self.records += [(stream, part, offset, value) for stream, part, offset, _, value in state["records"]]
        self.assigned = {(stream, part) for stream, part in state["assigned"]}
        self.assignments = state["assignments"]
        self.errors += state["errors"]
        return self

    @property
    def values(self) -> list[str]:
        return [value for *_, value in self.records]


def connection(server: Server) -> Json:
    """What the adapter needs to know of a server."""
    return {
        "endpoint": server.endpoint,
        "ak": server.ak,
        "sk": server.sk,
        "projectId": server.project_id,
        "region": "region1",
    }


def until(what: str, consumers: list[Consumer], condition: Callable[[], bool]) -> None:
    """Looks at the consumers until the condition holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        for consumer in consumers:
            consumer.look()
        if condition():
            return
        assert time.monotonic() < deadline, (
            what,
            [(c.name, sorted(c.assigned), len(c.records), c.errors[-3:]) for c in consumers],
        )
        time.sleep(0.1)


def share(consumers: list[Consumer], stream: str, partitions: int) -> Callable[[], bool]:
    """Whether these consumers read all partitions, each as many as the others or one more, each partition once."""

    def holds() -> bool:
        shares = [consumer.assigned for consumer in consumers]
        everything = {(stream, number) for number in range(partitions)}
        sizes = {len(one) for one in shares}
        return (
            set().union(*shares) == everything
            and sum(map(len, shares)) == partitions
            and max(sizes) - min(sizes) <= 1
        )

    return holds


class Producer:
    """Writes numbered records with the adapter's producer and remembers what was stored where."""

    def __init__(self, driver: Driver, server: Server, stream: str) -> None:
        self.driver = driver
        self.server = server
        self.stream = stream
        self.stored: set[tuple[str, int, int, str]] = set()

    def write(self, partitions: int, each: int = 5) -> None:
        first = len(self.stored)
        records = [
            [number % partitions, f"key{number}", f"value{number}"]
            for number in range(first, first + partitions * each)
        ]
        stored = self.driver.call(
            "produce", properties=connection(self.server), stream=self.stream, records=records
        )
        for (partition, offset), (asked, _, value) in zip(stored, records, strict=True):
            assert partition == asked
            self.stored.add((self.stream, partition, offset, str(value)))

    def read_once_by(self, *consumers: Consumer) -> Callable[[], bool]:
        """Whether they have everything that was written; never anything twice."""

        def holds() -> bool:
            read = [record for consumer in consumers for record in consumer.records]
            assert len(read) == len(set(read)), "a record was delivered twice"
            return set(read) == self.stored

        return holds


def test_a_group_through_everything_that_happens_to_it(
    server: Server, java: Driver, command: list[str]
) -> None:
    """Consumers share partitions; every record is delivered once; join, scaling, a crash of the server and of a consumer."""
    stream, group = "shared", "team"
    with Wire.to(server) as wire:
        done(wire.create(stream, 4), 201)
    producer = Producer(java, server, stream)
    producer.write(4)

    a = Consumer(java, server, "a", group).start(stream)
    until("the first reads everything", [a], producer.read_once_by(a))
    assert share([a], stream, 4)()
    for part in range(4):
        offsets = [offset for _, number, offset, _ in a.records if number == part]
        assert offsets == sorted(offsets)

    with Driver(command) as other:
        b = Consumer(other, server, "b", group).start(stream)
        until("two share", [a, b], share([a, b], stream, 4))
        producer.write(4)
        until("both read their own", [a, b], producer.read_once_by(a, b))
        assert {(s, p) for s, p, *_ in b.records} == b.assigned

        with Wire.to(server) as wire:
            ok(
                wire.call(
                    "PUT",
                    f"/streams/{stream}",
                    body={"stream_name": stream, "target_partition_count": 6},
                )
            )
        producer.write(6)
        until("new partitions are shared too", [a, b], share([a, b], stream, 6))
        until("and read from their beginning", [a, b], producer.read_once_by(a, b))

        before = (a.assignments, b.assignments, a.assigned, b.assigned)
        server.restart(kill=True)
        producer.write(6)
        until("a crash of the server loses nothing", [a, b], producer.read_once_by(a, b))
        # Longer than a heartbeat takes: had the server forgotten its members, they would have joined again.
        began = time.monotonic()
        until("heartbeats go on", [a, b], lambda: time.monotonic() > began + 11)
        assert (a.assignments, b.assignments, a.assigned, b.assigned) == before

        # What was committed when b is killed is what a goes on from.
        b.call("stop")
        b.look()
        b.call("commitSync")
        b.driver.kill()

    # Nobody says goodbye for who was killed: its session ends.
    until("one takes over", [a], share([a], stream, 6))
    producer.write(6)
    until("and reads everything", [a], producer.read_once_by(a, b))
    assert not [error for error in a.errors if "not exist" in error], a.errors
    a.call("stop")
    a.call("close")


def test_a_consumer_that_is_started_again_finds_its_place(server: Server, java: Driver) -> None:
    """close() does not leave the group (clients.md 1.9), and the stream has one partition only: the new one waits, is not
    refused, and goes on where the old one committed. A second one beside it is (DIS.4339)."""
    with Wire.to(server) as wire:
        done(wire.create("narrow", 1), 201)
    producer = Producer(java, server, "narrow")
    producer.write(1)
    old = Consumer(java, server, "old", "again").start("narrow")
    until("the old one reads", [old], producer.read_once_by(old))
    began = time.monotonic()
    until("for a while", [old], lambda: time.monotonic() > began + 1.5)
    old.call("stop")
    old.call("commitSync")
    old.call("close")
    producer.write(1)
    new = Consumer(java, server, "new", "again").start("narrow")
    until("the new one reads on", [new], lambda: set(old.records) | set(new.records) == producer.stored)
    assert not set(old.records) & set(new.records)
    assert new.errors == []

    # One more than there are partitions is refused, and not for ever.
    extra = Consumer(java, server, "extra", "again").start("narrow")
    until("it is refused", [new, extra], lambda: bool(extra.errors))
    assert "DIS.4339" in extra.errors[0]
    assert new.assignments == 1
    new.call("stop")
    new.call("commitSync")
    new.call("unsubscribe")
    new.call("close")
    until("it has the place", [extra], lambda: extra.assigned == {("narrow", 0)})
    assert extra.records == []
    extra.call("stop")
    extra.call("unsubscribe")
    extra.call("close")


def test_a_pattern_follows_streams_and_who_leaves_is_gone(server: Server, java: Driver) -> None:
    """A new stream that matches is read from its beginning; unsubscribe() leaves at once, so the app may be deleted."""
    with Wire.to(server) as wire:
        done(wire.create("logs-1", 1), 201)
        done(wire.create("logging", 1), 201)
        one = Producer(java, server, "logs-1")
        one.write(1)
        reader = Consumer(java, server, "reader", "patterns").start(pattern=r"logs-\d+")
        until("the stream that matches", [reader], one.read_once_by(reader))
        assert reader.assigned == {("logs-1", 0)}
        done(wire.create("logs-2", 1), 201)
        two = Producer(java, server, "logs-2")
        two.write(1)
        until("one that comes later", [reader], lambda: {*reader.records} == one.stored | two.stored)
        assert reader.assigned == {("logs-1", 0), ("logs-2", 0)}
        assert reader.errors == []
        assert wire.call("DELETE", "/apps/patterns").json()["errorCode"] == "DIS.4331"
        reader.call("stop")
        reader.call("unsubscribe")
        done(wire.call("DELETE", "/apps/patterns"), 204)
        reader.call("close")


def test_a_stream_that_does_not_exist(server: Server, java: Driver) -> None:
    """ERR_SUBSCRIPTION is what the adapter makes an exception of; once the stream is there it reads."""
    lost = Consumer(java, server, "lost", "nowhere").start("missing")
    until("it says so", [lost], lambda: bool(lost.errors))
    assert "may be not exist" in lost.errors[0]
    with Wire.to(server) as wire:
        done(wire.create("missing", 1), 201)
    until("then it reads", [lost], lambda: lost.assigned == {("missing", 0)})
    lost.call("stop")
    lost.call("unsubscribe")


def test_without_a_group(server: Server, java: Driver) -> None:
    """assign, seek, positions, offsets by time, both kinds of commit, listing, waking up."""
    with Wire.to(server) as wire:
        done(wire.create("alone", 2), 201)
    producer = Producer(java, server, "alone")
    producer.write(2)
    between = int(time.time() * 1000)
    time.sleep(0.05)
    producer.write(2)
    by_partition: defaultdict[int, list[list[Any]]] = defaultdict(list)
    for _, number, offset, value in sorted(producer.stored, key=lambda record: record[2]):
        by_partition[number].append([offset, value])
    zero, one = ["alone", 0], ["alone", 1]

    consumer = Consumer(java, server, "alone", "single")
    consumer.call("assign", partitions=[zero, one])

    def poll(count: int) -> dict[int, list[list[Any]]]:
        found: defaultdict[int, list[list[Any]]] = defaultdict(list)
        deadline = time.monotonic() + WAIT_SECONDS
        while sum(map(len, found.values())) < count:
            for _, number, offset, _, value in consumer.call("poll", timeout=500):
                found[number].append([offset, value])
            assert time.monotonic() < deadline, found
        return found

    assert poll(20) == by_partition
    assert consumer.call("position", partition=zero) == 10
    assert consumer.call("committed", partition=zero) is None
    consumer.call("commitSync")
    assert consumer.call("committed", partition=zero) == [10, ""]
    consumer.call("commitSync", partition=one, offset=3, metadata="here")
    assert consumer.call("committed", partition=one) == [3, "here"]
    consumer.call("seekToBeginning", partitions=[one])
    assert consumer.call("position", partition=one) == 0
    assert poll(10) == {1: by_partition[1]}
    assert consumer.call("commitAsync") == ""
    assert consumer.call("committed", partition=one) == [10, ""]
    consumer.call("seek", partition=zero, offset=7)
    assert poll(3) == {0: by_partition[0][7:]}
    consumer.call("seekToEnd", partitions=[zero, one])
    assert consumer.call("position", partition=zero) == 10
    assert consumer.call("beginningOffsets", partitions=[zero, one]) == {"0": 0, "1": 0}
    assert consumer.call("endOffsets", partitions=[zero, one]) == {"0": 10, "1": 10}
    assert consumer.call("offsetsForTimes", partition=one, timestamp=between) == 5
    assert consumer.call("partitionsFor", stream="alone") == 2
    assert "alone" in consumer.call("listTopics")
    assert consumer.call("wakeupDuringPoll") < 30_000
    consumer.call("close")


def test_without_keys_and_partitions_records_are_spread(server: Server, java: Driver) -> None:
    with Wire.to(server) as wire:
        done(wire.create("spread", 2), 201)
    stored = java.call(
        "produce",
        properties=connection(server),
        stream="spread",
        records=[[None, None, f"v{number}"] for number in range(10)],
    )
    assert {partition for partition, _ in stored} == {0, 1}
