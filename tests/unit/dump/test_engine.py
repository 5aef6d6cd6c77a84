"""The engine: plan, deliver, commit (design.md "Dumps", engines-and-sinks.md part C1 and C2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.support.dumping import Dumping, dli, obs, values

from penstock.dump.base import LeaseLost
from penstock.dump.points import POINTS
from penstock.log.base import PartitionRef
from penstock.model.dumps import LONGEST_PAUSE, pause_seconds
from penstock.model.streams import PartitionStatus
from penstock.model.tasks import ConsumerStrategy, TaskState
from penstock.service.task_runs import LEASE_SECONDS


@pytest.fixture
async def dumping(tmp_path: Path) -> AsyncIterator[Dumping]:
    made = await Dumping.open(tmp_path)
    await made.start()
    yield made
    await made.close()


class TestWhen:
    async def test_after_the_interval_all_partitions_together(self, dumping: Dumping) -> None:
        """5.5.1 deliver_time_interval: data is imported once the interval is over; no data, no file."""
        task = await dumping.add(obs())
        await dumping.after(300)
        assert dumping.world.rounds == 0, "nothing to deliver"
        await dumping.put(0, b"a", b"b")
        await dumping.after(20)
        await dumping.put(1, b"c")
        await dumping.after(9)
        assert dumping.world.delivered == {}
        await dumping.after(1)
        assert dumping.world.delivered == {(0, 0, 1): [b"a", b"b"], (1, 0, 0): [b"c"]}
        assert dumping.world.rounds == 1
        position = dumping.positions(task)[0]
        assert (position.next_sequence, position.last_transfer_offset) == (2, 1)
        assert position.last_transfer_ms == dumping.clock.now_ms()
        await dumping.after(300)
        assert dumping.world.rounds == 1, "no file for an empty interval"

    async def test_once_there_is_enough(self, dumping: Dumping) -> None:
        """Chinese edition table 5-82 deliver_size_interval: a second trigger, 1 to 300 MB; only the partition that has enough."""
        await dumping.add(obs(deliver_size_interval=1))
        await dumping.put(1, b"small")
        for number in range(12):
            await dumping.put(0, b"%02d" % number + b"x" * 100_000)
        await dumping.after(2)
        ((key, records),) = dumping.world.delivered.items()
        assert key == (0, 0, 9), "the file ends with the record that reaches the size"
        assert len(records) == 10
        await dumping.after(30)
        assert sorted(dumping.world.delivered) == [(0, 0, 9), (0, 10, 11), (1, 0, 0)]

    @pytest.mark.parametrize("strategy", list(ConsumerStrategy))
    async def test_where_it_starts(self, dumping: Dumping, strategy: ConsumerStrategy) -> None:
        """5.5.1 consumer_strategy."""
        await dumping.put(0, b"before")
        await dumping.add(obs(consumer_strategy=strategy))
        await dumping.put(0, b"after")
        await dumping.after(30)
        latest = strategy is ConsumerStrategy.LATEST
        assert dumping.world.records() == ([b"after"] if latest else [b"before", b"after"])

    async def test_two_tasks_of_a_stream_do_not_notice_each_other(self, dumping: Dumping) -> None:
        await dumping.add(obs(task_name="one"), task_id="task0000000000000001")
        await dumping.add(obs(task_name="two", deliver_time_interval=60), task_id="task0000000000000002")
        await dumping.put(0, b"x")
        await dumping.after(30)
        assert dumping.world.rounds == 1
        await dumping.after(30)
        assert dumping.world.rounds == 2


class TestChanges:
    async def test_stopped_and_started(self, dumping: Dumping) -> None:
        task = await dumping.add(obs())
        await dumping.context.tasks.set_paused([task.task_id], True)
        await dumping.put(0, b"while stopped")
        await dumping.after(300)
        assert dumping.world.rounds == 0
        await dumping.context.tasks.set_paused([task.task_id], False)
        await dumping.settle()
        assert dumping.world.records() == [b"while stopped"]

    async def test_deleted_while_it_fails(self, dumping: Dumping) -> None:
        task = await dumping.add(obs())
        dumping.world.failures = ["down"] * 100
        await dumping.put(0, b"x")
        await dumping.after(30)
        await dumping.context.tasks.remove(task)
        await dumping.settle()
        tried = dumping.world.rounds
        await dumping.after(300)
        assert dumping.world.rounds == tried
        assert dumping.context.task_runs is not None
        assert dumping.context.task_runs.plan(task.task_id) is None

    async def test_an_update_takes_the_planned_records_elsewhere(self, dumping: Dumping) -> None:
        """The same range under the new settings: none is lost and none delivered twice."""
        task = await dumping.add(obs())
        dumping.world.failures = ["no such bucket"]
        await dumping.put(0, b"a")
        await dumping.after(30)
        await dumping.put(0, b"b")
        assert dumping.context.task_runs is not None
        before = dumping.context.task_runs.plan(task.task_id)
        assert before is not None
        await dumping.context.tasks.update(task.task_id, obs(file_prefix="other"), b"")
        await dumping.settle()
        assert dumping.world.delivered == {(0, 0, 0): [b"a"]}
        await dumping.after(30)
        assert dumping.world.records() == [b"a", b"b"]

    async def test_partitions_that_come_and_go(self, dumping: Dumping) -> None:
        """A partition that scaling adds is delivered from its first record on; a DELETED one until it is empty; an EXPIRED one no more."""
        task = await dumping.add(obs())
        stream = dumping.stream
        for number, (partition, record) in enumerate([(0, b"a"), (1, b"b")]):
            await dumping.put(partition, record)
            assert number < 2
        gone = msgspec.structs.replace(stream.partitions[1], status=PartitionStatus.DELETED)
        dumping.context.directory.put(
            msgspec.structs.replace(stream, partitions=(stream.partitions[0], gone))
        )
        await dumping.after(30)
        assert values(dumping.world.records()) == ["a", "b"]
        new = msgspec.structs.replace(stream.partitions[0], number=2)
        await dumping.log.create([PartitionRef(stream.stream_id, 2)])
        expired = msgspec.structs.replace(gone, status=PartitionStatus.EXPIRED)
        dumping.context.directory.put(
            msgspec.structs.replace(stream, partitions=(stream.partitions[0], expired, new))
        )
        await dumping.put(2, b"c")
        await dumping.put(1, b"nobody reads this")
        await dumping.after(30)
        assert values(dumping.world.records()) == ["a", "b", "c"]
        assert dumping.positions(task)[2].next_sequence == 1


class TestFailing:
    async def test_obs_is_tried_for_ever(self, dumping: Dumping) -> None:
        """C2: OBS has nowhere to back up to, so nothing is ever passed over."""
        task = await dumping.add(obs())
        dumping.world.failures = ["the bucket is gone"] * 50
        await dumping.put(0, b"x")
        for _ in range(50):
            await dumping.after(120)
        assert dumping.world.backed_up == {}
        assert dumping.task(task).state is TaskState.ABNORMAL
        assert "the bucket is gone" in dumping.task(task).reason
        await dumping.after(120)
        assert dumping.world.records() == [b"x"]
        assert dumping.task(task).state is TaskState.RUNNING
        assert dumping.task(task).reason == ""

    async def test_given_up_after_retry_duration(self, dumping: Dumping) -> None:
        """5.5.9 retry_duration: the records are backed up to bucket/file_prefix/dli_error, and counted as discarded."""
        task = await dumping.add(dli())
        dumping.world.failures = ["down"] * 1000
        await dumping.put(0, b"a", b"b")
        await dumping.after(30)
        await dumping.after(59)
        assert dumping.world.backed_up == {}
        assert dumping.positions(task)[0].next_sequence == 0
        await dumping.after(1)
        ((key, content),) = dumping.world.backed_up.items()
        assert key.startswith("lost/dli_error/clicks-table-")
        assert content == b"a\nb\n"
        position = dumping.positions(task)[0]
        assert (position.next_sequence, position.discard) == (2, 2)
        assert (position.last_transfer_ms, position.last_transfer_offset) == (0, -1)
        dumping.world.failures = []
        await dumping.put(0, b"c")
        await dumping.after(30)
        assert dumping.world.records() == [b"c"]
        assert dumping.task(task).state is TaskState.RUNNING

    async def test_a_restart_does_not_extend_it(self, dumping: Dumping) -> None:
        task = await dumping.add(dli())
        dumping.world.failures = ["down"] * 1000
        await dumping.put(0, b"a")
        await dumping.after(30)
        for _ in range(5):
            await dumping.stop()
            dumping.clock.advance(12)
            await dumping.start()
        assert list(dumping.world.backed_up.values()) == [b"a\n"]
        assert dumping.positions(task)[0].discard == 1

    async def test_retry_duration_0_is_no_retry(self, dumping: Dumping) -> None:
        await dumping.add(dli(retry_duration=0))
        dumping.world.failures = ["down"]
        await dumping.put(0, b"a")
        await dumping.after(30)
        assert list(dumping.world.backed_up.values()) == [b"a\n"]
        assert dumping.world.rounds == 1

    async def test_nothing_is_passed_over_that_cannot_be_backed_up(self, dumping: Dumping) -> None:
        """C2: if the backup store also fails, keep the plan, state ERROR."""
        task = await dumping.add(dli())
        dumping.world.failures = ["down"] * 1000
        dumping.world.backup_fails = "the disk is full"
        await dumping.put(0, b"a")
        await dumping.after(30)
        await dumping.after(60)
        assert dumping.task(task).state is TaskState.ERROR
        assert "the disk is full" in dumping.task(task).reason
        assert dumping.positions(task)[0].next_sequence == 0
        dumping.world.backup_fails = ""
        await dumping.after(60)
        assert list(dumping.world.backed_up.values()) == [b"a\n"]

    async def test_poison_goes_to_the_error_file_at_once(self, dumping: Dumping) -> None:
        task = await dumping.add(dli())
        dumping.world.poison = lambda record: record.startswith(b"bad")
        await dumping.put(0, b"good 1", b"bad 1", b"good 2", b"bad 2")
        await dumping.after(30)
        assert dumping.world.records() == [b"good 1", b"good 2"]
        assert list(dumping.world.backed_up.values()) == [b"bad 1\nbad 2\n"]
        position = dumping.positions(task)[0]
        assert (position.next_sequence, position.discard, position.last_transfer_offset) == (4, 2, 3)

    async def test_what_retention_took_is_counted(self, dumping: Dumping) -> None:
        """C2: data trimmed by retention before delivery: jump to the oldest, discard += gap."""
        task = await dumping.add(obs())
        await dumping.context.tasks.set_paused([task.task_id], True)
        await dumping.put(0, b"old 1")
        await dumping.put(0, b"old 2")
        dumping.clock.advance(100)
        await dumping.put(0, b"new")
        await dumping.log.expire(PartitionRef(dumping.stream.stream_id, 0), dumping.clock.now_ms())
        await dumping.context.tasks.set_paused([task.task_id], False)
        await dumping.after(30)
        assert dumping.world.delivered == {(0, 2, 2): [b"new"]}
        assert dumping.positions(task)[0].discard == 2

    async def test_a_backup_is_not_replaced_by_one_that_has_less(self, dumping: Dumping) -> None:
        """The process dies after it has backed a round up; retention takes records before the next one does it again."""
        task = await dumping.add(dli(retry_duration=0))
        await dumping.context.tasks.set_paused([task.task_id], True)
        await dumping.put(0, b"old")
        dumping.clock.advance(100)
        await dumping.put(0, b"new")
        dumping.world.failures, dumping.world.die_at = ["down"] * 10, "backed_up"
        await dumping.context.tasks.set_paused([task.task_id], False)
        await dumping.after(1)
        assert dumping.dead
        await dumping.log.expire(PartitionRef(dumping.stream.stream_id, 0), dumping.clock.now_ms() - 50_000)
        await dumping.stop()
        await dumping.start()
        assert list(dumping.world.backed_up.values()) == [b"old\nnew\n"]
        position = dumping.positions(task)[0]
        assert (position.next_sequence, position.discard) == (2, 2)

    def test_pauses(self) -> None:
        assert [pause_seconds(n, 1.0) for n in (1, 2, 3)] == [1, 2, 4]
        assert pause_seconds(1000, 1.0) == LONGEST_PAUSE
        assert pause_seconds(1000, 0.0) == LONGEST_PAUSE / 2


class TestCrashes:
    @pytest.mark.parametrize("point", [p for p in POINTS if p not in ("staged", "manifest", "backed_up")])
    async def test_the_same_round_again(self, dumping: Dumping, point: str) -> None:
        """C1: on restart a plan found is replayed with the same range and keys."""
        task = await dumping.add(obs())
        await dumping.put(0, b"a")
        await dumping.put(1, b"b")
        dumping.world.die_at = point
        await dumping.after(30)
        assert dumping.dead
        await dumping.put(0, b"c")
        await dumping.stop()
        await dumping.start()
        await dumping.after(30)
        assert values(dumping.world.records()) == ["a", "b", "c"]
        assert sorted(dumping.world.delivered) == [(0, 0, 0), (0, 1, 1), (1, 0, 0)]
        assert [p.discard for p in dumping.positions(task).values()] == [0, 0]

    async def test_another_server_takes_over_when_the_lease_has_run_out(
        self, dumping: Dumping, tmp_path: Path
    ) -> None:
        task = await dumping.add(obs())
        await dumping.settle()
        first = dumping.coordinator
        epoch = first.assigned()[0].epoch
        await dumping.stop()
        await dumping.start("other")
        assert dumping.coordinator.assigned() == [], "the first one has the lease"
        dumping.clock.advance(LEASE_SECONDS + 1)
        dumping.coordinator.reassign()
        await dumping.settle()
        assert [assigned.epoch for assigned in dumping.coordinator.assigned()] == [epoch + 1]
        with pytest.raises(LeaseLost):
            await first.commit(task.task_id, epoch, [], "")
        await dumping.put(0, b"x")
        await dumping.after(30)
        assert dumping.world.records() == [b"x"]

    async def test_a_lease_that_is_renewed_stays(self, dumping: Dumping) -> None:
        await dumping.add(obs())
        await dumping.settle()
        runs = dumping.context.task_runs
        assert runs is not None
        for _ in range(10):
            dumping.clock.advance(LEASE_SECONDS / 2)
            assert await runs.renew() == []
        await dumping.put(0, b"x")
        await dumping.after(30)
        assert dumping.world.records() == [b"x"]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_every_record_once(tmp_path: Path, seed: int) -> None:
    """Puts, failures, kills at every point, restarts, pauses and updates in any order: R22's simulation of the dumper."""
    import random

    chance = random.Random(seed)
    dumping = await Dumping.open(tmp_path, partitions=3)
    await dumping.start()
    task = await dumping.add(dli(retry_duration=7200) if seed % 2 else obs())
    sent: list[str] = []
    points = [p for p in POINTS if p not in ("staged", "manifest", "backed_up")]
    for _ in range(60):
        match chance.randrange(8):
            case 0 | 1 | 2:
                records = [f"{len(sent) + n}" for n in range(chance.randrange(1, 6))]
                sent += records
                await dumping.put(chance.randrange(3), *(record.encode() for record in records))
            case 3:
                dumping.world.failures.append("down")
            case 4:
                dumping.world.die_at = chance.choice(points)
            case 5:
                paused = dumping.task(task).paused
                await dumping.context.tasks.set_paused([task.task_id], not paused)
            case _:
                pass
        await dumping.after(chance.choice([1, 10, 31]))
        if dumping.dead or chance.random() < 0.1:
            await dumping.stop()
            await dumping.start()
    dumping.world.die_at, dumping.world.failures = "", []
    await dumping.context.tasks.set_paused([task.task_id], False)
    await dumping.stop()
    await dumping.start()
    for _ in range(4):
        await dumping.after(61)
        await asyncio.sleep(0)
    assert values(dumping.world.records()) == sorted(sent)
    assert sum(p.discard for p in dumping.positions(task).values()) == 0
    await dumping.close()
