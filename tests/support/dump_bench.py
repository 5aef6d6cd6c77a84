"""A server with dump tasks, in the hands of a test: tasks that deliver into a target, what was put for them, the server's clock, and the
moments when it or its dump process dies. Owns what a test expects to find; what is there is the target's.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Self

import httpx
from tests.support import controls
from tests.support.dump_target import INTERVAL, Services, Target, bad_record, good_record
from tests.support.dump_targets import Beside
from tests.support.server import Server
from tests.support.tasks import path_of
from tests.support.wire import Json, Wire, b64, done, ok

WAIT_SECONDS = 90.0
_numbers = itertools.count(1)


def eventually(holds: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Return when it holds; an error says what it was not."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not within {seconds:g} s: {holds()!r}"
        time.sleep(0.02)


class Bench:
    """One test's view of a server. Its streams go with it, and what it did to the network."""

    def __init__(self, server: Server, target: Target) -> None:
        self.server = server
        self.target = target
        self.wire = Wire.to(server)
        self._ahead = 0.0
        self._dumps: list[Dump] = []
        self._beside: Beside | None = None

    def __enter__(self) -> Self:
        for proxy in self.target.proxies:
            proxy.done.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self.target.recover()
        if not self.server.running:
            self.start_again()
        for dump in self._dumps:
            self.wire.delete(dump.stream)
        controls.heal_disk(self.server)
        self.wire.close()

    # Tasks

    def dump(self, partitions: int = 2, **changes: Any) -> Dump:
        """A new stream with a task into a new place of the target; `changes` are of its descriptor."""
        return self._made(self.target, partitions, changes)

    def dump_beside(self) -> Dump:
        """A stream with a task into a folder, every second."""
        if self._beside is None:
            self._beside = Beside(Services(self.target.directory), self.target.directory)
        return self._made(self._beside, 1, {"deliver_time_interval": 1})

    def _made(self, target: Target, partitions: int, changes: Json) -> Dump:
        made = Dump(self, target, f"t{next(_numbers):04d}", partitions, changes)
        self._dumps.append(made)
        return made

    # Time

    def advance(self, seconds: float) -> None:
        """Let time pass; what is due has been tried when this returns."""
        controls.advance(self.server, seconds)

    def settle(self) -> None:
        """Try again what waits to be tried again."""
        controls.advance(self.server, 0)

    def sleep(self, seconds: float) -> None:
        """Let real time pass."""
        time.sleep(seconds)

    # Deaths

    def kill_at(self, point: str, *, server: bool = False) -> None:
        """Have the dump process, or everything, die once at a step of a round."""
        fault = {"call": f"dump.{point}", "times": 1, "server": server}
        reply = httpx.post(f"{self.server.manage}/test/faults", json=fault, timeout=30, trust_env=False)
        assert reply.status_code == 204, reply.text

    def processes(self) -> int:
        """How many dump processes this start of the server has had so far."""
        return len(self.server.events("dump process ready"))

    def advance_until_death(self, seconds: float) -> None:
        """Let time pass, in which the server dies."""
        now_ms = httpx.get(f"{self.server.manage}/test/clock", timeout=60, trust_env=False).json()["now_ms"]
        self._ahead = now_ms / 1000 - time.time() + seconds
        with contextlib.suppress(httpx.TransportError):
            controls.advance(self.server, seconds)
        self.server.wait(WAIT_SECONDS)

    def start_again(self) -> None:
        """Start a server that died; its clock goes on where it was."""
        self.server.start()
        self.wire.close()
        self.wire = Wire.to(self.server)
        self.advance(self._ahead)


class Dump:
    """A stream with a task, and the place `name` that it delivers to.

    expected   ids of records that must be there, each once
    poison     records that must be in the error directory
    """

    def __init__(self, bench: Bench, target: Target, name: str, partitions: int, changes: Json) -> None:
        self._bench = bench
        self._target = target
        self._changes = changes
        self.name = name
        self.stream = f"stream-{name}"
        self.task = f"task-{name}"
        self.expected: Counter[int] = Counter()
        self.poison: Counter[bytes] = Counter()
        self._next = 0
        self._partitions: dict[int, str] = {}
        """Id of a record -> its partition."""
        self._put: Counter[str] = Counter()
        target.make(name)
        done(self._wire.create(self.stream, partitions, **target.stream), 201)
        self.create()

    @property
    def _wire(self) -> Wire:
        return self._bench.wire

    # The task

    def create(self) -> None:
        body = self._target.body(self.task, self.name, **self._changes)
        done(self._wire.call("POST", path_of(self.stream), body=body), 201)

    def show(self) -> httpx.Response:
        return self._wire.call("GET", path_of(self.stream, f"/{self.task}"))

    def details(self) -> Json:
        return ok(self.show())

    def discarded(self) -> int:
        return sum(part["discard"] for part in self.details()["partitions"])

    def act(self, action: str) -> None:
        """`start` or `stop` it."""
        body = {"action": action, "tasks": [{"id": self.details()["task_id"]}]}
        done(self._wire.call("POST", path_of(self.stream, "/action"), body=body), 200)

    def update(self, **fields: Any) -> None:
        """Change fields of its descriptor."""
        body = self._target.body(self.task, self.name, **(self._changes | fields))
        done(self._wire.call("PUT", path_of(self.stream), body=body), 200)

    def delete(self) -> None:
        done(self._wire.call("DELETE", path_of(self.stream, f"/{self.task}")), 204)

    def scale(self, partitions: int) -> None:
        body = {"stream_name": self.stream, "target_partition_count": partitions}
        ok(self._wire.call("PUT", f"/streams/{self.stream}", body=body))

    def event_kinds(self) -> list[str]:
        """What happened to tasks of the stream, newest first."""
        query = f"stream_name={self.stream}&kind=dump_abnormal,dump_restored"
        return [event["kind"] for event in ok(self._wire.call("GET", "/events", query))["events"]]

    # Records

    def put(self, good: int, *, bad: int = 0) -> None:
        """Put records with the next ids, over all partitions."""
        numbers = range(self._next, self._next + good + bad)
        self._next += good + bad
        poison = [bad_record(number) for number in numbers[:bad]]
        self.put_data(*(good_record(number) for number in numbers[bad:]), numbers=numbers[bad:])
        self.put_data(*poison)
        self.expected.update(numbers[bad:])
        self.poison.update(poison)

    def put_data(self, *data: bytes, numbers: Sequence[int] = ()) -> None:
        """Put these records."""
        if not data:
            return
        records = [{"data": b64(one), "partition_key": f"{index}"} for index, one in enumerate(data)]
        reply = ok(self._wire.put(self.stream, records))
        assert reply["failed_record_count"] == 0, reply
        partitions = [entry["partition_id"] for entry in reply["records"]]
        self._put.update(partitions)
        self._partitions |= dict(zip(numbers, partitions, strict=False))

    def count(self, partition: str) -> int:
        """Records that were put into a partition."""
        return self._put[partition]

    def records(self) -> Counter[int]:
        return self._target.records(self.name)

    def errors(self) -> Counter[bytes]:
        return self._target.errors(self.name)

    def arrive(self) -> None:
        """Let the interval pass, until everything is there; then it is so, once."""
        self._bench.advance(INTERVAL + 1)
        until = time.monotonic() + WAIT_SECONDS
        while (found := self.records()) != self.expected and time.monotonic() < until:
            assert not found - self.expected, f"more than once: {found - self.expected}"
            time.sleep(0.05)
            self._bench.settle()
        missing, surplus = self.expected - found, found - self.expected
        assert not missing and not surplus, f"missing: {missing}, surplus: {surplus}; {self._reason()}"
        eventually(self._committed)

    def give_up_expected(self) -> Counter[bytes]:
        """Nothing that was put so far is expected any more, as it has been passed over; what it was."""
        given_up = Counter(good_record(number) for number in self.expected)
        self.expected = Counter()
        return given_up

    def check_whole(self, found: Counter[int]) -> None:
        """Of what must be seen all or nothing of, `found` has all or nothing. For one round."""
        whole = self._target.whole
        groups: dict[str, set[int]] = {}
        for number, partition in self._partitions.items():
            groups.setdefault({"round": "", "part": partition, "record": f"{number}"}[whole], set()).add(
                number
            )
        for name, numbers in groups.items():
            there = numbers & set(found)
            assert there in (set(), numbers), f"{len(there)} of {len(numbers)} records of a {whole} {name}"

    def _committed(self) -> bool:
        """The task knows where it is."""
        return all(
            part["last_transfer_offset"] + 1 >= 0
            and (part["discard"] or part["last_transfer_offset"] + 1 == self._put[part["partition_id"]])
            for part in self.details()["partitions"]
        )

    def _reason(self) -> str:
        shown = self.details()
        return f"{shown['state']}: {shown.get('state_reason', '')}"
