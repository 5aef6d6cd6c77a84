"""Dump tasks (5.5): create, list, show, update, delete, start and stop. Owns what is asked and answered, in which order things
are checked, and what a task looks like; knows no HTTP. Rules of fields are `service.task_checks`', state is
`service.task_directory`'s, destinations are asked through `service.task_asking`, and who delivers is `dump`'s.

Order of a creation: the stream, the fields, name and quota, the agency, the destination, the kind of data; name and quota again
when it is written.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from typing import Any

import msgspec
import structlog

from penstock.catalog.base import CatalogError, Exists, Missing, QuotaExceeded
from penstock.errors import ApiError, invalid, stream_missing
from penstock.iam.base import Principal
from penstock.iam.sealing import SealingError
from penstock.log.base import PartitionRef, RecordLog, UnknownPartition
from penstock.model import tasks as model
from penstock.model.dumps import Backlog, Plan, waits_for
from penstock.model.streams import Partition, PartitionStatus, Stream, StreamStatus, partition_name
from penstock.model.tasks import ConsumerStrategy, Task, TaskPosition
from penstock.model.validation import shown
from penstock.service import task_types as wire
from penstock.service.backlogs import backlogs
from penstock.service.context import Context
from penstock.service.lifecycle import to_the_end
from penstock.service.task_asking import Question
from penstock.service.task_checks import Checked, check, check_data_type

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 20
_ACTIONS = {"start": False, "stop": True}
"""Action -> whether the task is paused then."""

_log = structlog.get_logger("penstock.tasks")


async def create_task(
    context: Context, principal: Principal, project_id: str, stream_name: str, request: wire.TaskRequest
) -> Task:
    """5.5.1, 5.5.7 to 5.5.10. The task is RUNNING when this returns, and what is put from then on is in it.

    DIS.4301, DIS.4205, DIS.4200 (a field), DIS.4355 (exists), DIS.4357 (quota), DIS.4335 (agency), and what the destination says.
    """
    stream = _stream(context, project_id, stream_name, running=True)
    checked = check(request, stream, context.limits)
    if isinstance(checked.descriptor, model.DwsDescriptor) and checked.password is None:
        raise invalid(f"{request.field}.user_password", "missing")
    name = checked.descriptor.task_name
    if context.tasks.find(stream.stream_id, name) is not None:
        raise ApiError("DIS.4355", f"[{name}]")
    most = context.limits.tasks_per_stream
    if context.tasks.count(stream.stream_id) >= most:
        raise ApiError("DIS.4357", f"[{most} tasks]")
    await _ask(context, principal, stream, checked.descriptor, checked.password or "")
    task_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    task = Task(
        task_id=task_id,
        stream_id=stream.stream_id,
        project_id=project_id,
        name=name,
        created_ms=context.clock.now_ms(),
        descriptor=checked.descriptor,
        sealed_password=_sealed(context, task_id, checked),
        domain_id=principal.domain_id,
        account=principal.domain_name,
    )
    await asyncio.shield(to_the_end(_add(context, task)))
    _log.info(
        "dump task created", task=name, task_id=task_id, stream=stream.name, to=str(task.descriptor.kind)
    )
    return task


async def list_tasks(
    context: Context, project_id: str, stream_name: str, *, limit: int, start_task_name: str = ""
) -> wire.ListTransferTasksReply:
    """5.5.2. A page of the stream's tasks in order of their names, after `start_task_name`. DIS.4301."""
    stream = _stream(context, project_id, stream_name)
    tasks = context.tasks
    return wire.ListTransferTasksReply(
        tasks=[
            wire.TransferTask(
                task_id=task.task_id,
                task_name=task.name,
                destination_type=task.descriptor.kind,
                state=task.state,
                create_time=task.created_ms,
                last_transfer_timestamp=tasks.last_transfer_ms(task.task_id),
            )
            for task in tasks.page(stream.stream_id, start_task_name, limit)
        ],
        total_number=tasks.count(stream.stream_id),
        quota=context.limits.tasks_per_stream,
    )


async def show_task(
    context: Context, project_id: str, stream_name: str, task_name: str
) -> wire.ShowTransferTaskReply:
    """5.5.4. Everything about a task but its password. DIS.4301, DIS.4354."""
    stream = _stream(context, project_id, stream_name)
    task = _task(context, stream, task_name)
    positions = context.tasks.positions(task.task_id)
    found, _ = await backlogs(context.log, stream, positions)
    waiting = {backlog.partition: backlog for backlog in found}
    now = context.clock.now_ms()
    runs = context.task_runs
    plan = None if runs is None else runs.plan(task.task_id)
    return wire.ShowTransferTaskReply(
        stream_id=stream.stream_id,
        streamId=stream.stream_id,
        stream_name=stream.name,
        task_name=task.name,
        task_id=task.task_id,
        destination_type=task.descriptor.kind,
        state=task.state,
        create_time=task.created_ms,
        last_transfer_timestamp=context.tasks.last_transfer_ms(task.task_id),
        state_reason=task.reason or msgspec.UNSET,
        lag=_lag(found, now),
        guarantee=(None if runs is None else runs.guarantees.get(task.task_id)) or msgspec.UNSET,
        partitions=[
            _partition(
                context.log,
                task,
                stream,
                partition,
                positions.get(partition.number),
                waiting.get(partition.number),
                plan,
                now,
            )
            for partition in stream.partitions
        ],
        **{name: describe(task.descriptor) for name in _DESCRIPTIONS[task.descriptor.kind]},
    )


async def delete_task(context: Context, project_id: str, stream_name: str, task_name: str) -> None:
    """5.5.3. What it has delivered stays. DIS.4301, DIS.4354."""
    stream = _stream(context, project_id, stream_name)
    task = _task(context, stream, task_name)
    if not await asyncio.shield(to_the_end(context.tasks.remove(task))):
        raise ApiError("DIS.4354", f"[{shown(task_name)}]")
    _log.info("dump task deleted", task=task.name, task_id=task.task_id, stream=stream.name)


async def act(
    context: Context, project_id: str, stream_name: str, request: wire.TransferTaskActionRequest
) -> None:
    """5.5.5, 5.5.6: start or stop the stream's tasks with these ids, all or none; who is so already stays so.

    DIS.4301, DIS.4205, DIS.4200 (another action, no task), DIS.4354 (an id the stream has no task with).
    """
    stream = _stream(context, project_id, stream_name, running=True)
    if request.action not in _ACTIONS:
        raise invalid("action", f"{shown(request.action)!r} is not start or stop")
    if not request.tasks:
        raise invalid("tasks", "missing")
    for index, entry in enumerate(request.tasks):
        if not entry.id:
            raise invalid(f"tasks[{index}].id", "missing")
        task = context.tasks.by_id(entry.id)
        if task is None or task.stream_id != stream.stream_id:
            raise ApiError("DIS.4354", f"[{shown(entry.id)}]")
    ids = [entry.id for entry in request.tasks]
    try:
        await asyncio.shield(to_the_end(context.tasks.set_paused(ids, _ACTIONS[request.action])))
    except Missing as error:
        raise ApiError("DIS.4354") from error
    _log.info("dump tasks changed", action=request.action, task_ids=ids, stream=stream.name)


def task_to_update(
    context: Context, project_id: str, stream_name: str, *, task_id: str = "", task_name: str = ""
) -> Task:
    """The task an update is about. DIS.4301, DIS.4205, DIS.4354, DIS.4200 (it names none)."""
    stream = _stream(context, project_id, stream_name, running=True)
    if not task_id and not task_name:
        raise invalid("task_name", "missing")
    if not task_id:
        return _task(context, stream, task_name)
    task = context.tasks.by_id(task_id)
    if task is None or task.stream_id != stream.stream_id or (task_name and task.name != task_name):
        raise ApiError("DIS.4354", f"[{shown(task_id)}]")
    return task


async def update_task(
    context: Context, principal: Principal, project_id: str, task: Task, request: wire.TaskRequest
) -> None:
    """PUT (chapter 6): other settings for a task, which goes on where it is. The request has every field, what was not sent as it
    is now. Everything is checked as at a creation; kind and name stay.

    DIS.4200, DIS.4335, DIS.4354, and what the destination says.
    """
    stream = context.directory.by_id(task.stream_id)
    if stream is None:
        raise ApiError("DIS.4354", f"[{task.name}]")
    checked = check(request, stream, context.limits)
    descriptor = checked.descriptor
    if descriptor.kind is not task.descriptor.kind:
        raise invalid("destination_type", f"the task delivers to {task.descriptor.kind}")
    if descriptor.task_name != task.name:
        raise invalid(f"{request.field}.task_name", f"the task is {task.name}")
    if isinstance(task.descriptor, model.DwsDescriptor) and checked.password is None:
        checked = checked._replace(password=_password(context, task, task.descriptor))
    await _ask(context, principal, stream, descriptor, checked.password or "")
    sealed = _sealed(context, task.task_id, checked)
    try:
        await asyncio.shield(to_the_end(context.tasks.update(task.task_id, descriptor, sealed)))
    except Missing as error:
        raise ApiError("DIS.4354", f"[{task.name}]") from error
    _log.info("dump task updated", task=task.name, task_id=task.task_id, stream=stream.name)


# What a task looks like ----------------------------------------------------------------------------------------------

_DESCRIPTIONS: dict[model.DestinationType, tuple[str, ...]] = {
    # The second and third spellings are those of huaweicloudsdkdis and gophertelekomcloud (clients.md 1.6).
    model.DestinationType.OBS: ("obs_destination_description",),
    model.DestinationType.DWS: ("dws_destination_description", "dws_destination_descripton"),
    model.DestinationType.MRS: ("mrs_destination_description",),
    model.DestinationType.DLI: ("dli_destination_description",),
    model.DestinationType.CLOUDTABLE: (
        "cloudtable_destination_description",
        "cloudtable_destination_descripton",
        "cloud_table_destination_description",
    ),
}
_WIRE: dict[model.DestinationType, type[msgspec.Struct]] = {
    model.DestinationType.OBS: wire.ObsDestinationDescriptor,
    model.DestinationType.DWS: wire.DwsDestinationDescriptor,
    model.DestinationType.MRS: wire.MrsDestinationDescriptor,
    model.DestinationType.DLI: wire.DliDestinationDescriptor,
    model.DestinationType.CLOUDTABLE: wire.CloudtableDestinationDescriptor,
}


def describe(descriptor: model.AnyDescriptor) -> Any:
    """A descriptor as clients see it: the type its request has."""
    values: dict[str, Any] = msgspec.to_builtins(descriptor)
    if descriptor.kind is not model.DestinationType.OBS:
        # A text in the tables of 5.5.7 to 5.5.10; the Java and Go SDKs v3 refuse a whole reply for a number.
        values["retry_duration"] = str(descriptor.retry_duration)
    if isinstance(descriptor, model.DwsDescriptor):
        values["options"] = _options(descriptor.options)
    elif isinstance(descriptor, model.MrsDescriptor):
        values["mrs_hdfs_patch"] = descriptor.mrs_hdfs_path
    elif isinstance(descriptor, model.CloudTableDescriptor) and not descriptor.opentsdb_schema:
        del values["opentsdb_schema"]
    return msgspec.convert(values, _WIRE[descriptor.kind])


def _options(options: model.DwsOptions) -> dict[str, str]:
    """Texts, as table 5-98 has them."""
    limit = options.reject_limit
    return {
        "fill_missing_fields": str(options.fill_missing_fields).lower(),
        "ignore_extra_data": str(options.ignore_extra_data).lower(),
        "compatible_illegal_chars": str(options.compatible_illegal_chars).lower(),
        "reject_limit": model.UNLIMITED_REJECTS if limit is None else str(limit),
        "error_table_name": options.error_table_name,
    }


def _lag(waiting: list[Backlog], now_ms: int) -> wire.TaskLag:
    return wire.TaskLag(
        records=sum(backlog.records for backlog in waiting),
        bytes=sum(backlog.size for backlog in waiting),
        seconds=max((max(0, now_ms - backlog.oldest_ms) / 1000 for backlog in waiting), default=0.0),
    )


def _partition(
    log: RecordLog,
    task: Task,
    stream: Stream,
    partition: Partition,
    position: TaskPosition | None,
    backlog: Backlog | None,
    plan: Plan | None,
    now_ms: int,
) -> wire.TaskPartition:
    """What the table lists and what the sample shows of a partition, in one."""
    position = position or TaskPosition(task_id=task.task_id, partition=partition.number, next_sequence=0)
    name = partition_name(partition.number)
    bounds = _bounds(log, stream, partition)
    return wire.TaskPartition(
        partition_id=name,
        partitionId=name,
        status=partition.status,
        hash_range=f"[{partition.hash_start} : {partition.hash_end}]",
        sequence_number_range=msgspec.UNSET if bounds is None else f"[{bounds[0]} : {bounds[1]}]",
        parent_partitions=partition.parents or msgspec.UNSET,
        state=task.state if task.paused else position.trouble or task.state,
        discard=position.discard,
        last_transfer_timestamp=position.last_transfer_ms,
        last_transfer_offset=position.last_transfer_offset,
        lag=_lag([] if backlog is None else [backlog], now_ms),
        state_reason=position.reason
        or (
            "stopped" if task.paused else waits_for(task.descriptor, backlog, plan, partition.number, now_ms)
        ),
    )


# Within --------------------------------------------------------------------------------------------------------------


def _stream(context: Context, project_id: str, name: str, *, running: bool = False) -> Stream:
    """The project's stream of that name or id. DIS.4301; DIS.4205 when it must be `running` and is not."""
    stream = context.directory.find(project_id, name)
    if stream is None:
        raise stream_missing(name[: context.limits.stream_name_length], project_id)
    if running and stream.status is not StreamStatus.RUNNING:
        raise ApiError("DIS.4205")
    return stream


def _task(context: Context, stream: Stream, name: str) -> Task:
    task = context.tasks.find(stream.stream_id, name)
    if task is None:
        raise ApiError("DIS.4354", f"[{shown(name)}]")
    return task


async def _ask(
    context: Context, principal: Principal, stream: Stream, descriptor: model.AnyDescriptor, password: str
) -> None:
    """The agency, the destination, and whether that takes such data."""
    _check_agency(context, principal, descriptor.agency_name)
    if context.destinations is not None:
        question = Question(
            descriptor=descriptor, stream=stream, account=principal.domain_name, password=password
        )
        await context.destinations.check(question)
    check_data_type(descriptor, stream)


def _check_agency(context: Context, principal: Principal, name: str) -> None:
    """DIS.4335 unless the agency is one of the account's, for this service and not run out."""
    if context.identity.agency(principal.domain_id, name) is None:
        raise ApiError("DIS.4335", f"[{name}: the account has no such agency]")


async def _add(context: Context, task: Task) -> None:
    """Write a task, starting where its strategy says. DIS.4301, DIS.4355, DIS.4357 as things are now."""
    stream = context.directory.by_id(task.stream_id)
    if stream is None or stream.status is not StreamStatus.RUNNING:
        raise ApiError("DIS.4205")
    try:
        await context.tasks.add(task, _starts(context.log, task, stream), context.limits.tasks_per_stream)
    except Exists as error:
        raise ApiError("DIS.4355", f"[{task.name}]") from error
    except QuotaExceeded as error:
        raise ApiError("DIS.4357", f"[{context.limits.tasks_per_stream} tasks]") from error
    except CatalogError as error:
        if context.directory.by_id(task.stream_id) is None:
            raise stream_missing(stream.name, stream.project_id) from error
        raise


def _starts(log: RecordLog, task: Task, stream: Stream) -> list[TaskPosition]:
    """Where a new task begins in each partition that can be read."""
    latest = task.descriptor.consumer_strategy is ConsumerStrategy.LATEST
    return [
        TaskPosition(task_id=task.task_id, partition=partition.number, next_sequence=bounds[latest])
        for partition in stream.partitions
        if (bounds := _bounds(log, stream, partition)) is not None
    ]


def _bounds(log: RecordLog, stream: Stream, partition: Partition) -> tuple[int, int] | None:
    """The earliest record and the next one; None when the partition cannot be read any more."""
    if partition.status is PartitionStatus.EXPIRED:
        return None
    try:
        return log.bounds(PartitionRef(stream.stream_id, partition.number))
    except UnknownPartition:
        return None  # the stream is being deleted


def _sealed(context: Context, task_id: str, checked: Checked) -> bytes:
    """The password of a descriptor as the catalog may have it; nothing when there is none."""
    descriptor = checked.descriptor
    if not isinstance(descriptor, model.DwsDescriptor) or checked.password is None:
        return b""
    return context.tasks.seal(task_id, checked.password, _kms_secret(context, descriptor))


def open_password(context: Context, task: Task) -> str:
    """The password that came with a task; empty when none did. DIS.4351."""
    descriptor = task.descriptor
    return _password(context, task, descriptor) if isinstance(descriptor, model.DwsDescriptor) else ""


def _password(context: Context, task: Task, descriptor: model.DwsDescriptor) -> str:
    """The password a task has. DIS.4351 when its key is not the one it was sealed with."""
    try:
        return context.tasks.password(task, _kms_secret(context, descriptor))
    except SealingError as error:
        raise ApiError("DIS.4351", f"[{shown(descriptor.kms_user_key_name)} is another key now]") from error


def _kms_secret(context: Context, descriptor: model.DwsDescriptor) -> str:
    """The secret of the KMS key a descriptor names. DIS.4351."""
    key = context.settings.destinations.key(descriptor.kms_user_key_id, descriptor.kms_user_key_name)
    if key is None:
        raise ApiError(
            "DIS.4351", f"[{shown(descriptor.kms_user_key_name)}: no [[kms]] of the configuration]"
        )
    return key.secret
