"""Dump tasks in the service: where they start, what an engine that delivers reads and writes, what goes when a stream goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.streams import PRINCIPAL, PROJECT, call, make_context
from tests.support.tasks import KMS_ID, KMS_SECRET, SAMPLES, body_of

from penstock.catalog.base import CatalogError, Missing
from penstock.destinations import Destinations, Kms
from penstock.errors import ApiError
from penstock.iam.sealing import Sealer, SealingError
from penstock.log.base import Bounds, PartitionRef
from penstock.model.streams import Partition, PartitionStatus, Stream, StreamStatus
from penstock.model.tasks import Task, TaskPosition, TaskState
from penstock.service import lifecycle, tasks
from penstock.service import task_types as wire
from penstock.service.context import Context
from penstock.service.task_asking import Question
from penstock.service.task_directory import Tasks

SEALER = Sealer({1: b"k" * 32})
TYPES: dict[str, Any] = {
    "obs_destination_descriptor": wire.ObsDestinationDescriptor,
    "dws_destination_descriptor": wire.DwsDestinationDescriptor,
}


class OneAgency:
    """Every account has the one that the samples name."""

    def agency(self, domain_id: str, name: str) -> object:
        return object() if name == "dis_admin_agency" else None


async def opened(directory: Path, context: Context | None = None) -> Context:
    """A context with its tasks as the catalog has them: `context` again, or a new one."""
    context = context or await make_context(directory)
    context.tasks = await Tasks.open(context.catalog, SEALER)
    context.directory.on_change(context.tasks.stream_changed)
    context.identity = OneAgency()  # type: ignore[assignment]
    key = Kms(key_id=KMS_ID, key_name="kmskey", secret=KMS_SECRET)
    context.settings = msgspec.structs.replace(context.settings, destinations=Destinations(kms=(key,)))
    return context


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = await opened(tmp_path)
    await call(made, "POST", "/streams", {"stream_name": "s", "partition_count": 3, "data_type": "JSON"})
    yield made
    await made.catalog.close()


def request_of(sample: str = "OBS", **changes: object) -> wire.TaskRequest:
    field = SAMPLES[sample][1]
    descriptor = body_of(sample, **changes)[field]
    return wire.TaskRequest(field, msgspec.convert(descriptor, TYPES[field]))


async def make(context: Context, sample: str = "OBS", **changes: object) -> Task:
    return await tasks.create_task(context, PRINCIPAL, PROJECT, "s", request_of(sample, **changes))


def stream_of(context: Context) -> Stream:
    stream = context.directory.get(PROJECT, "s")
    assert stream is not None
    return stream


async def code_of(work: Any) -> str:
    with pytest.raises(ApiError) as caught:
        await work
    return caught.value.code


class Bounded:
    """A log whose partitions hold what is said."""

    def __init__(self, log: Any, bounds: dict[int, Bounds]) -> None:
        self._log = log
        self._bounds = bounds

    def bounds(self, ref: PartitionRef) -> Bounds:
        return self._bounds[ref.number]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class TestStart:
    """Table 5-82 consumer_strategy: where a task begins is durable with the task."""

    @pytest.mark.parametrize(("strategy", "starts"), [("LATEST", [9, 5, 0]), ("TRIM_HORIZON", [4, 5, 0])])
    async def test_in_every_partition(
        self, context: Context, tmp_path: Path, strategy: str, starts: list[int]
    ) -> None:
        context.log = Bounded(context.log, {0: Bounds(4, 9), 1: Bounds(5, 5), 2: Bounds(0, 0)})
        task = await make(context, consumer_strategy=strategy)
        before = context.tasks
        for known in (before, (await opened(tmp_path, context)).tasks):
            positions = known.positions(task.task_id)
            assert [positions[number].next_sequence for number in range(3)] == starts
            assert {(p.discard, p.last_transfer_ms, p.last_transfer_offset) for p in positions.values()} == {
                (0, 0, -1)
            }

    async def test_only_where_anything_can_be_read(self, context: Context) -> None:
        stream = stream_of(context)
        gone = Partition(number=2, status=PartitionStatus.EXPIRED, hash_start=-1, hash_end=-1)
        context.directory.put(msgspec.structs.replace(stream, partitions=(*stream.partitions[:2], gone)))
        task = await make(context)
        assert set(context.tasks.positions(task.task_id)) == {0, 1}
        shown = await tasks.show_task(context, PROJECT, "s", task.name)
        assert [p.status for p in shown.partitions] == ["ACTIVE", "ACTIVE", "EXPIRED"]
        assert shown.partitions[2].sequence_number_range is msgspec.UNSET


class TestEngine:
    """What delivers works by `Tasks`; users see it in the details."""

    async def test_commits_of_deliveries(self, context: Context, tmp_path: Path) -> None:
        task = await make(context)
        first = TaskPosition(
            task_id=task.task_id,
            partition=0,
            next_sequence=8,
            discard=2,
            last_transfer_ms=70,
            last_transfer_offset=7,
        )
        new = TaskPosition(
            task_id=task.task_id, partition=3, next_sequence=1, last_transfer_ms=80, last_transfer_offset=0
        )
        await context.tasks.advance(first, new)
        again = await opened(tmp_path, context)
        assert again.tasks.positions(task.task_id)[0] == first
        assert again.tasks.positions(task.task_id)[3] == new
        shown = await tasks.show_task(again, PROJECT, "s", task.name)
        assert shown.last_transfer_timestamp == 80
        one = shown.partitions[0]
        assert (one.discard, one.last_transfer_timestamp, one.last_transfer_offset) == (2, 70, 7)
        listed = await tasks.list_tasks(again, PROJECT, "s", limit=10)
        assert listed.tasks[0].last_transfer_timestamp == 80

    async def test_trouble_shows_until_it_is_over(self, context: Context, tmp_path: Path) -> None:
        task = await make(context)
        await context.tasks.set_trouble(task.task_id, TaskState.ABNORMAL, "the bucket is gone")
        again = await opened(tmp_path, context)
        shown = await tasks.show_task(again, PROJECT, "s", task.name)
        assert (shown.state, shown.state_reason) == ("ABNORMAL", "the bucket is gone")
        assert shown.partitions[0].state == "ABNORMAL"
        assert (await tasks.list_tasks(again, PROJECT, "s", limit=10)).tasks[0].state == "ABNORMAL"
        await again.tasks.set_paused([task.task_id], True)
        shown = await tasks.show_task(again, PROJECT, "s", task.name)
        assert (shown.state, shown.state_reason) == ("PAUSED", msgspec.UNSET)
        await again.tasks.set_paused([task.task_id], False)
        assert (await tasks.show_task(again, PROJECT, "s", task.name)).state == "RUNNING"
        await again.tasks.set_trouble(task.task_id, TaskState.ERROR, "x")
        await again.tasks.set_trouble(task.task_id, None)
        assert (await tasks.show_task(again, PROJECT, "s", task.name)).state == "RUNNING"

    async def test_trouble_of_one_partition(self, context: Context) -> None:
        task = await make(context)
        await context.tasks.advance(
            TaskPosition(
                task_id=task.task_id, partition=1, next_sequence=0, trouble=TaskState.ABNORMAL, reason="x"
            )
        )
        shown = await tasks.show_task(context, PROJECT, "s", task.name)
        assert [p.state for p in shown.partitions] == ["RUNNING", "ABNORMAL", "RUNNING"]

    async def test_hears_of_every_change(self, context: Context) -> None:
        heard: list[tuple[object, object]] = []
        context.tasks.on_change(
            lambda before, after: heard.append((before and before.state, after and after.state))
        )
        task = await make(context)
        await context.tasks.set_paused([task.task_id], True)
        await context.tasks.set_paused([task.task_id], True)
        await context.tasks.set_paused([task.task_id], False)
        await context.tasks.advance(TaskPosition(task_id=task.task_id, partition=0, next_sequence=1))
        await tasks.delete_task(context, PROJECT, "s", task.name)
        assert heard == [(None, "RUNNING"), ("RUNNING", "PAUSED"), ("PAUSED", "RUNNING"), ("RUNNING", None)]

    async def test_a_task_that_is_gone(self, context: Context) -> None:
        task = await make(context)
        await tasks.delete_task(context, PROJECT, "s", task.name)
        with pytest.raises(CatalogError):
            await context.tasks.advance(TaskPosition(task_id=task.task_id, partition=0, next_sequence=1))
        assert context.tasks.positions(task.task_id) == {}
        await context.tasks.set_trouble(task.task_id, TaskState.ERROR)
        with pytest.raises(Missing):
            await context.tasks.set_paused([task.task_id], True)
        assert not await context.tasks.remove(task)

    async def test_opens_the_password(self, context: Context, tmp_path: Path) -> None:
        task = await make(context, "DWS", user_password="pass-word")
        assert b"pass-word" not in task.sealed_password
        again = await opened(tmp_path, context)
        kept = again.tasks.by_id(task.task_id)
        assert kept is not None
        assert again.tasks.password(kept, KMS_SECRET) == "pass-word"
        with pytest.raises(SealingError):
            again.tasks.password(kept, "another key")
        other = msgspec.structs.replace(kept, task_id="x" * 20)
        with pytest.raises(SealingError):
            again.tasks.password(other, KMS_SECRET)


class TestStreams:
    async def test_tasks_go_with_their_stream(self, context: Context, tmp_path: Path) -> None:
        task = await make(context)
        await lifecycle.delete(context, stream_of(context))
        assert context.tasks.all() == []
        assert context.tasks.by_id(task.task_id) is None
        assert len((await opened(tmp_path, context)).tasks) == 0

    @pytest.mark.parametrize("status", [StreamStatus.FROZEN, StreamStatus.TERMINATING, StreamStatus.CREATING])
    async def test_a_stream_that_does_not_run_takes_no_changes(
        self, context: Context, status: StreamStatus
    ) -> None:
        """DIS.4205; what is there can still be looked at, and deleted."""
        task = await make(context)
        context.directory.put(msgspec.structs.replace(stream_of(context), status=status))
        action = wire.TransferTaskActionRequest(action="stop", tasks=[wire.BatchTransferTask(task.task_id)])
        assert await code_of(make(context)) == "DIS.4205"
        assert await code_of(tasks.act(context, PROJECT, "s", action)) == "DIS.4205"
        with pytest.raises(ApiError, match=r"DIS\.4205"):
            tasks.task_to_update(context, PROJECT, "s", task_name=task.name)
        assert (await tasks.show_task(context, PROJECT, "s", task.name)).state == "RUNNING"
        assert (await tasks.list_tasks(context, PROJECT, "s", limit=1)).total_number == 1
        await tasks.delete_task(context, PROJECT, "s", task.name)

    async def test_a_stream_that_goes_while_the_destination_is_asked(self, context: Context) -> None:
        class Slow:
            async def check(self, question: Question) -> None:
                await lifecycle.delete(context, question.stream)

        context.destinations = Slow()
        assert await code_of(make(context)) in ("DIS.4205", "DIS.4301")
        assert context.tasks.all() == []


class TestRaces:
    async def test_of_many_creations_at_once_five_are_taken(self, context: Context) -> None:
        class Slow:
            async def check(self, question: Question) -> None:
                await asyncio.sleep(0)

        context.destinations = Slow()
        results = await asyncio.gather(*(make(context) for _ in range(9)), return_exceptions=True)
        refused = [result.code for result in results if isinstance(result, ApiError)]
        assert refused == ["DIS.4357"] * 4
        assert context.tasks.count(stream_of(context).stream_id) == 5

    async def test_of_two_with_one_name_one_is_taken(self, context: Context) -> None:
        made = [make(context, task_name="same") for _ in range(3)]
        results = await asyncio.gather(*made, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["ApiError", "ApiError", "Task"]
        assert {result.code for result in results if isinstance(result, ApiError)} == {"DIS.4355"}

    async def test_a_client_that_hangs_up_leaves_catalog_and_memory_alike(
        self, context: Context, tmp_path: Path
    ) -> None:
        making = asyncio.ensure_future(make(context))
        await asyncio.sleep(0)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        await lifecycle.settle()
        before = context.tasks.all()
        assert before == (await opened(tmp_path, context)).tasks.all()


async def test_the_destination_is_asked_with_the_password_and_not_shown_it(context: Context) -> None:
    asked: list[Question] = []

    class Curious:
        async def check(self, question: Question) -> None:
            asked.append(question)

    context.destinations = Curious()
    task = await make(context, "DWS", user_password="pass-word")
    assert (asked[0].password, asked[0].account) == ("pass-word", PRINCIPAL.domain_name)
    assert "pass-word" not in repr(asked[0])
    assert "pass-word" not in repr(task)
    # An update that brings none asks with the one that is kept.
    update = request_of("DWS", task_name=task.name, user_password=None, deliver_time_interval=90)
    await tasks.update_task(context, PRINCIPAL, PROJECT, task, update)
    assert asked[1].password == "pass-word"
    kept = context.tasks.by_id(task.task_id)
    assert kept is not None
    assert context.tasks.password(kept, KMS_SECRET) == "pass-word"


async def test_an_update_when_the_key_is_another_one(context: Context) -> None:
    task = await make(context, "DWS")
    other = Kms(key_id=KMS_ID, key_name="kmskey", secret="another")
    context.settings = msgspec.structs.replace(context.settings, destinations=Destinations(kms=(other,)))
    update = request_of("DWS", task_name=task.name, user_password=None)
    assert await code_of(tasks.update_task(context, PRINCIPAL, PROJECT, task, update)) == "DIS.4351"
