"""One suite for all destinations of dump tasks, through a real server and into real ones (5.5; engines-and-sinks.md C1 to C3): each
record is there once whatever dies, hangs, refuses or lies in between, and the task tells the truth about it.

    tests.support.dump_targets    the destinations
    tests.support.faulty          what goes wrong on the way to them
    tests.support.dump_bench         a server with tasks, and the time in its hands

`test_conformance_hadoop` has the targets of Hadoop, so that two processes share the work. A class of tests holds for every target that has it as a base; what is below `Delivering` is for some of them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.services.s3 import SECRET_KEY
from tests.support import dump_targets as targets
from tests.support.controls import ON
from tests.support.dump_bench import Bench, Dump, eventually
from tests.support.dump_target import DATABASE_PASSWORD, INTERVAL, RETRY, Services, Target
from tests.support.faulty import Fault, bursts, seeded, some
from tests.support.server import Server
from tests.support.wire import refused

pytestmark = pytest.mark.timeout(600)

CONFIG = """
[limits]
deliver_seconds_min = 1
destination_seconds = 1

"""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    made = Services(tmp_path_factory.mktemp("services"))
    yield made
    made.stop()


@pytest.fixture(scope="class")
def target(
    request: pytest.FixtureRequest, services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    kind: type[Target] = request.cls.kind
    made = kind(services, tmp_path_factory.mktemp(kind.name))
    yield made
    made.close()


@pytest.fixture(scope="class")
def server(target: Target) -> Iterator[Server]:
    config = target.directory / "penstock.toml"
    config.write_text(CONFIG + target.config())
    with Server(target.data, "--config", str(config), "--limits", "relaxed", env=ON) as started:
        yield started


@pytest.fixture
def bench(server: Server, target: Target) -> Iterator[Bench]:
    with Bench(server, target) as made:
        yield made


@pytest.fixture
def dump(bench: Bench) -> Dump:
    return bench.dump()


class Delivering:
    """What holds for every destination."""

    kind: type[Target]

    # Rounds

    def test_what_was_put_is_there_once_after_the_interval(self, bench: Bench, dump: Dump) -> None:
        """5.5.4: details say how far each partition is. Nothing is delivered for an interval without records."""
        dump.put(20)
        bench.settle()
        assert dump.records() == Counter()
        assert {part["last_transfer_offset"] for part in dump.details()["partitions"]} == {-1}
        dump.arrive()
        shown = dump.details()
        assert shown["state"] == "RUNNING"
        assert "state_reason" not in shown
        for part in shown["partitions"]:
            assert part["last_transfer_offset"] == dump.count(part["partition_id"]) - 1
            assert (part["discard"], part["state"]) == (0, "RUNNING")
            assert part["last_transfer_timestamp"] >= shown["create_time"]
        assert shown["last_transfer_timestamp"] == max(
            p["last_transfer_timestamp"] for p in shown["partitions"]
        )
        for _ in range(2):
            bench.advance(INTERVAL + 1)
        assert dump.details() == shown
        dump.put(3)
        dump.arrive()
        assert dump.errors() == Counter()

    def test_a_reader_sees_all_or_nothing(self, bench: Bench, target: Target) -> None:
        """List after write: while a round is being delivered too. What was there once stays."""
        dump = bench.dump(partitions=3)
        dump.put(300)
        seen: list[Counter[int]] = []
        over = threading.Event()

        def read() -> None:
            while not over.is_set():
                seen.append(dump.records())

        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(read)
            try:
                eventually(lambda: len(seen) > 1 or reading.done())
                if target.proxies:
                    target.proxy.bytes_per_second = 50_000
                dump.arrive()
                before = len(seen)
                eventually(lambda: len(seen) > before + 1 or reading.done())
            finally:
                over.set()
            reading.result()
        assert seen[0] == Counter()
        assert seen[-1] == dump.expected
        known: Counter[int] = Counter()
        for found in seen:
            assert not known - found, "records were there and are gone"
            assert not found - dump.expected, "records are there twice"
            dump.check_whole(found)
            known = found

    # Deaths

    def test_the_process_dies_at_every_step(self, bench: Bench, dump: Dump, target: Target) -> None:
        """C1: kill -9 after each step of a round, one after the other: the next process finds what the last one left. Poison is backed up
        and counted once, too."""
        before = bench.processes()
        dump.put(10, bad=3 if target.poison else 0)
        for point in target.points:
            bench.kill_at(point)
        bench.advance(INTERVAL + 1)
        eventually(lambda: bench.processes() == before + len(target.points))
        dump.arrive()
        assert dump.discarded() == len(dump.poison)
        assert dump.errors() == dump.poison
        dump.put(3)
        dump.arrive()

    def test_the_server_dies(self, bench: Bench, dump: Dump, target: Target) -> None:
        """C1: kill -9 of everything after a step, and a start on the same data: after each step where that takes no other server, else
        when some of the round is visible."""
        for point in ("visible",) if target.proxies else target.points:
            dump.put(5)
            bench.kill_at(point, server=True)
            bench.advance_until_death(INTERVAL + 1)
            bench.start_again()
            dump.arrive()
        assert dump.discarded() == 0
        assert dump.details()["state"] == "RUNNING"

    # Changes

    def test_stopped_and_started_at_any_moment(self, bench: Bench) -> None:
        """5.5.5, 5.5.6: what has begun is given up or done, and no record is lost or there twice."""
        dump = bench.dump(deliver_time_interval=1)
        for pause in (0.9, 1.05, 1.2):
            dump.put(10)
            bench.sleep(pause)
            dump.act("stop")
            assert dump.details()["state"] == "PAUSED"
            stopped = dump.records()
            bench.advance(2)
            assert dump.records() - stopped in (Counter(), dump.expected - stopped)
            dump.act("start")
        dump.arrive()

    def test_updated_while_a_round_waits(self, bench: Bench, dump: Dump, target: Target) -> None:
        """Chapter 6: the same records go where the task says now."""
        dump.put(8)
        dump.arrive()
        target.block(dump.name)
        dump.put(8)
        bench.advance(INTERVAL + 1)
        assert dump.details()["state"] == "ABNORMAL"
        dump.update(**target.elsewhere(dump.name))
        target.unblock(dump.name)
        dump.arrive()
        assert dump.discarded() == 0
        assert dump.errors() == Counter()
        dump.put(2)
        dump.arrive()

    def test_partitions_that_come_and_go(self, bench: Bench, dump: Dump) -> None:
        """5.1.5: new partitions are delivered from their first record on, DELETED ones to their last."""
        dump.put(10)
        dump.scale(4)
        dump.put(20)
        dump.scale(1)
        dump.put(5)
        dump.arrive()
        states = {part["status"]: part for part in dump.details()["partitions"]}
        assert set(states) == {"ACTIVE", "DELETED"}
        dump.put(5)
        dump.arrive()


class Rejecting:
    """Destinations that cannot take every record."""

    def test_poison_is_backed_up_and_passed_over(self, bench: Bench, dump: Dump) -> None:
        """C2: exactly the records that cannot be delivered, as they were put; they are counted, and hold up nothing."""
        dump.put(10, bad=3)
        dump.arrive()
        assert dump.errors() == dump.poison
        assert dump.discarded() == 3
        assert dump.details()["state"] == "RUNNING"
        dump.put(0, bad=2)
        bench.advance(INTERVAL + 1)
        assert dump.errors() == dump.poison
        assert dump.discarded() == 5
        dump.put(4)
        dump.arrive()


class TakingAnything:
    """Text into files."""

    def test_nothing_is_poison(self, dump: Dump) -> None:
        """5.5.1: records as they are, one after the other."""
        dump.put(5)
        dump.put_data(b'{"id": 1000}', b'{"id": 1001, "x": "\\u0000\xc3\xa9"}')
        dump.expected.update([1000, 1001])
        dump.arrive()
        assert dump.discarded() == 0


class PassingOver:
    """Destinations with `retry_duration` (5.5.7 to 5.5.10)."""

    def test_down_for_longer_than_retry_duration(self, bench: Bench, dump: Dump, target: Target) -> None:
        """C3: ABNORMAL with a reason while it is tried, then backed up and counted; what comes later is delivered once it is back."""
        dump.put(6)
        target.down()
        bench.advance(INTERVAL + 1)
        shown = dump.details()
        assert shown["state"] == "ABNORMAL"
        assert shown["state_reason"]
        assert {part["state"] for part in shown["partitions"]} == {"ABNORMAL"}
        assert dump.discarded() == 0
        assert dump.errors() == Counter()
        eventually(lambda: dump.event_kinds() == ["dump_abnormal"])
        bench.advance(RETRY + 1)
        lost = dump.give_up_expected()
        assert dump.errors() == lost
        assert dump.discarded() == 6
        assert {part["last_transfer_offset"] for part in dump.details()["partitions"]} == {-1}
        dump.put(4)
        bench.advance(INTERVAL + 1)
        assert dump.details()["state"] == "ABNORMAL"
        target.up()
        dump.arrive()
        assert dump.errors() == lost
        assert dump.discarded() == 6
        assert dump.details()["state"] == "RUNNING"
        eventually(lambda: dump.event_kinds() == ["dump_restored", "dump_abnormal"])


class Deadline:
    """What `PassingOver` means when the server dies."""

    def test_the_deadline_outlives_the_server(self, bench: Bench, dump: Dump, target: Target) -> None:
        """C3: `retry_duration` counts from the first failure, and a death while records are backed up backs them up once."""
        dump.put(6)
        target.down()
        bench.advance(INTERVAL + 1)
        bench.kill_at("backed_up", server=True)
        bench.advance_until_death(RETRY + 1)
        bench.start_again()
        eventually(lambda: dump.discarded() == 6)
        assert dump.errors() == dump.give_up_expected()
        target.up()
        dump.put(2)
        dump.arrive()


class NeverPassingOver:
    """OBS: there is nowhere to back up to."""

    def test_down_for_hours(self, bench: Bench, dump: Dump, target: Target) -> None:
        """5.5.1 has no `retry_duration`: ABNORMAL with a reason until it is back, then everything."""
        dump.put(6)
        target.down()
        bench.advance(INTERVAL + 1)
        eventually(lambda: dump.event_kinds() == ["dump_abnormal"])
        for _ in range(3):
            bench.advance(3600)
            shown = dump.details()
            assert shown["state"] == "ABNORMAL"
            assert shown["state_reason"]
        target.up()
        dump.arrive()
        assert dump.discarded() == 0
        assert dump.details()["state"] == "RUNNING"
        eventually(lambda: dump.event_kinds() == ["dump_restored", "dump_abnormal"])


class OverANetwork:
    """Destinations that a proxy can stand before."""

    @pytest.mark.parametrize("fault", [Fault.LOSE, Fault.GARBAGE, Fault.DELAY])
    def test_answers_that_are_lost_after_the_commit(self, dump: Dump, target: Target, fault: Fault) -> None:
        """C1, "timed out after commit": nobody knows whether the round is there, and it is there once."""
        target.proxy.plan = some(fault, target.is_commit, times=2)
        dump.put(10)
        dump.arrive()
        assert target.proxy.done[fault] > 0
        assert dump.discarded() == 0

    @pytest.mark.parametrize("how", ["by chance", "in bursts"])
    def test_a_network_that_fails_every_third_time(self, bench: Bench, target: Target, how: str) -> None:
        """Refused, reset, lost and garbled by chance, or bursts of 503, over several rounds."""
        percent = {Fault.REFUSE: 10, Fault.RESET: 8, Fault.LOSE: 10, Fault.GARBAGE: 4}
        changes = {"retry_duration": 7200} if target.passes else {}
        dump = bench.dump(partitions=3, **changes)
        for number, proxy in enumerate(target.proxies):
            proxy.plan = (
                seeded(number, percent)
                if how == "by chance"
                else bursts(Fault.REFUSE, passing=4 + number, failing=3)
            )
        for round_ in range(20):
            # Some destinations take a whole round in one request.
            if round_ > 2 and target.proxy.failed() > 1:
                break
            dump.put(12)
            bench.advance(INTERVAL + 1)
        assert target.proxy.failed() > 0
        for _ in range(3):
            bench.settle()
        target.recover()
        dump.arrive()
        assert dump.discarded() == 0
        assert dump.errors() == Counter()

    def test_slow(self, dump: Dump, target: Target) -> None:
        """It takes longer, and nothing else."""
        for proxy in target.proxies:
            proxy.bytes_per_second = 20_000
        dump.put(200)
        dump.arrive()
        assert dump.details()["state"] == "RUNNING"

    def test_one_that_hangs_holds_up_nobody_else(self, bench: Bench, target: Target) -> None:
        """A3: within its time limit the task is ABNORMAL; other tasks go on meanwhile."""
        dump = bench.dump(deliver_time_interval=1)
        beside = bench.dump_beside()
        target.proxy.plan = some(Fault.HANG, target.is_commit)
        dump.put(5)
        eventually(lambda: target.proxy.done[Fault.HANG] > 0)
        for _ in range(2):
            beside.put(5)
            eventually(lambda: beside.records() == beside.expected)
        eventually(lambda: dump.details()["state"] == "ABNORMAL", 60)
        assert beside.details()["state"] == "RUNNING"
        assert dump.details()["state_reason"]
        target.proxy.heal()
        dump.arrive()
        assert dump.discarded() == 0

    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.DELAY])
    def test_stopped_while_a_round_is_delivered(self, bench: Bench, target: Target, fault: Fault) -> None:
        """Before the commit has arrived, and after it: the round that is given up is delivered once after a start."""
        dump = bench.dump(deliver_time_interval=1)
        target.proxy.plan = some(fault, target.is_commit)
        dump.put(5)
        eventually(lambda: target.proxy.done[fault] > 0)
        dump.act("stop")
        bench.settle()
        target.proxy.heal()
        dump.put(5)
        bench.advance(5)
        assert dump.details()["state"] == "PAUSED"
        assert not set(dump.records()) & {5, 6, 7, 8, 9}
        dump.act("start")
        dump.arrive()
        assert dump.discarded() == 0

    def test_deleted_while_a_round_is_delivered(self, bench: Bench, target: Target) -> None:
        """5.5.3: nothing of it comes later, and a new task of that name delivers everything."""
        dump = bench.dump(deliver_time_interval=1)
        target.proxy.plan = some(Fault.HANG, target.is_commit)
        dump.put(5)
        eventually(lambda: target.proxy.done[Fault.HANG] > 0)
        dump.delete()
        bench.settle()
        target.proxy.heal()
        refused(dump.show(), "DIS.4354")
        assert dump.records() == Counter()
        dump.create()
        dump.arrive()
        assert dump.discarded() == 0


class Locking:
    """Destinations with rights."""

    def test_rights_taken_away_and_given_back(self, bench: Bench, dump: Dump, target: Target) -> None:
        """C3: a wrong password may be right again, so it is tried like everything else. Nothing secret is in the reason."""
        dump.put(5)
        dump.arrive()
        target.lock_out(dump.name)
        try:
            dump.put(5)
            bench.advance(INTERVAL + 1)
            shown = dump.details()
            assert shown["state"] == "ABNORMAL"
            assert shown["state_reason"]
            for secret in (SECRET_KEY, DATABASE_PASSWORD):
                assert secret not in shown["state_reason"]
        finally:
            target.let_in(dump.name)
        dump.arrive()
        assert dump.discarded() == 0
        assert dump.details()["state"] == "RUNNING"


class TestFolder(Delivering, TakingAnything, NeverPassingOver):
    kind = targets.Folder


class TestLakehouse(Delivering, Rejecting, PassingOver, Deadline):
    kind = targets.Lakehouse


@pytest.mark.services
class TestObjectStore(Delivering, Rejecting, NeverPassingOver, OverANetwork, Locking):
    kind = targets.ObjectStore


@pytest.mark.services
class TestDatabase(Delivering, Rejecting, PassingOver, OverANetwork, Locking):
    kind = targets.Database

    def test_a_new_password_by_an_update(self, bench: Bench, dump: Dump, target: Target) -> None:
        """Chapter 6: an update may change nothing but the password, which counts from then on."""
        assert isinstance(target, targets.Database)
        dump.put(5)
        dump.arrive()
        target.change_password("the-next-Password")
        try:
            dump.put(5)
            bench.advance(INTERVAL + 1)
            assert dump.details()["state"] == "ABNORMAL"
            dump.update(user_password="the-next-Password")
            dump.arrive()
            assert dump.details()["state"] == "RUNNING"
        finally:
            target.change_password(DATABASE_PASSWORD)


@pytest.mark.services
class TestRemoteLakehouse(Delivering, Rejecting, PassingOver, OverANetwork):
    kind = targets.RemoteLakehouse
