"""Plans of dump tasks: which records a round takes, when it is due, what its files are called, when to try again. Pure: owns these
rules; knows no storage and no destination.

    plan -> deliver -> commit

A plan names its ranges and its files before anything is written, so that a crash repeats the same round; the commit moves the
task's positions and forgets the plan in one transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import msgspec

from penstock.model import tasks as model
from penstock.model.streams import partition_name

RECORD_TIME = "{time}"
"""Stands in a planned key for the directory that each record's own time says."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
ERROR_FOLDERS = {
    model.DestinationType.OBS: "obs_error",
    model.DestinationType.DWS: "dws_error",
    model.DestinationType.MRS: "mrs_error",
    model.DestinationType.DLI: "dli_error",
}
"""Where records go that cannot be delivered, below bucket and prefix; CloudTable has two (`error_folder`)."""
_DIRECTORIES = {
    "yyyy": "%Y",
    "yyyy/MM": "%Y/%m",
    "yyyy/MM/dd": "%Y/%m/%d",
    "yyyy/MM/dd/HH": "%Y/%m/%d/%H",
    "yyyy/MM/dd/HH/mm": "%Y/%m/%d/%H/%M",
}


class PlannedPart(msgspec.Struct, frozen=True):
    """Records `first` to `last` of a partition, and the key their files begin with (`Encoded.name` follows); may hold
    RECORD_TIME. The key is empty where a destination has no files."""

    partition: int
    first: int
    last: int
    key: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A round of a task: at most one at a time is kept."""

    task_id: str
    number: int
    """Greater than that of every earlier round of the task: when it was planned, in milliseconds, or one more than the last. A round
    that is repeated keeps its number."""
    created_ms: int
    parts: tuple[PlannedPart, ...]
    failing_since_ms: int = 0
    """When it first could not be delivered; 0: it never failed. Restarts do not move it."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs a task. Every taking counts `epoch` up, so that what an earlier holder still does can be told apart and refused."""

    task_id: str
    owner: str
    epoch: int
    until_ms: int


class Backlog(msgspec.Struct, frozen=True):
    """What one partition has for a task: `records` from `first` on, about `size` bytes, the oldest appended at `oldest_ms`."""

    partition: int
    first: int
    records: int
    size: int
    oldest_ms: int
    missing: int = 0
    """Records before `first` that retention took."""


# What records a file has and where it is ------------------------------------------------------------------------------


def time_directory(partition_format: str, moment: datetime) -> str:
    """The directory of a time: `2026/11/26`; empty without a format (5.5.1 table 5-82)."""
    return moment.strftime(_DIRECTORIES[partition_format]) if partition_format else ""


def file_name(stream_name: str, task: model.Task, partition: int, first: int, last: int) -> str:
    """What a file is called, without what its format adds. It sorts by sequence number; the task's id is in it, so that a stream that
    is made again under its old name overwrites nothing."""
    return f"{stream_name}-{task.name}-{task.task_id}-{partition_name(partition)}-{first:020d}-{last:020d}"


def joined(*parts: str) -> str:
    """A key of parts; empty ones and doubled slashes are left out."""
    return "/".join(step for part in parts for step in part.split("/") if step)


def planned_key(
    task: model.Task, stream_name: str, partition: int, first: int, last: int, created_ms: int, zone: tzinfo
) -> str:
    """The key of a part's files in the bucket (OBS), or below `mrs_hdfs_path` (MRS); empty elsewhere."""
    descriptor = task.descriptor
    name = file_name(stream_name, task, partition, first, last)
    if isinstance(descriptor, model.ObsDescriptor):
        directory = time_directory(
            descriptor.partition_format, datetime.fromtimestamp(created_ms / 1000, zone)
        )
        if directory and descriptor.processing_schema is not None:
            directory = RECORD_TIME
        return joined(descriptor.file_prefix, directory, name)
    if isinstance(descriptor, model.MrsDescriptor):
        return joined(descriptor.hdfs_prefix_folder, name)
    return ""


def keyed(
    part: PlannedPart, task: model.Task, stream_name: str, created_ms: int, zone: tzinfo
) -> PlannedPart:
    """The part with the key that the task's settings give it in a round planned at that time."""
    key = planned_key(task, stream_name, part.partition, part.first, part.last, created_ms, zone)
    return msgspec.structs.replace(part, key=key)


def error_key(task: model.Task, stream_name: str, part: PlannedPart) -> str:
    """Where a part's records go that cannot be delivered: a key in `descriptor.bucket`."""
    descriptor = task.descriptor
    prefix = (
        descriptor.backup_file_prefix
        if isinstance(descriptor, model.CloudTableDescriptor)
        else descriptor.file_prefix
    )
    name = file_name(stream_name, task, part.partition, part.first, part.last)
    return joined(prefix, error_folder(descriptor), f"{name}.txt")


def error_folder(descriptor: model.AnyDescriptor) -> str:
    """`dws_error` and so on (5.5.7 to 5.5.10, `retry_duration`)."""
    if isinstance(descriptor, model.CloudTableDescriptor):
        return "cloudtable_error" if descriptor.cloudtable_schema is not None else "opentsdb_error"
    return ERROR_FOLDERS[descriptor.kind]


# When -----------------------------------------------------------------------------------------------------------------


def due_ms(descriptor: model.AnyDescriptor, backlog: Backlog) -> int:
    """When what is waiting has waited for the task's interval."""
    return backlog.oldest_ms + descriptor.deliver_time_interval * 1000


def size_trigger(descriptor: model.AnyDescriptor) -> int | None:
    """Bytes after which a file is written although the interval has not passed."""
    if isinstance(descriptor, model.ObsDescriptor) and descriptor.deliver_size_interval:
        return descriptor.deliver_size_interval * 1_000_000
    return None


def due(descriptor: model.AnyDescriptor, backlogs: list[Backlog], now_ms: int) -> list[Backlog]:
    """What a round that begins now takes from: every partition once one has waited long enough, else those that have enough."""
    if any(due_ms(descriptor, backlog) <= now_ms for backlog in backlogs):
        return backlogs
    enough = size_trigger(descriptor)
    return [] if enough is None else [backlog for backlog in backlogs if backlog.size >= enough]


def waits_for(
    descriptor: model.AnyDescriptor, backlog: Backlog | None, plan: Plan | None, partition: int, now_ms: int
) -> str:
    """Why nothing of a partition has been delivered yet, in a line for people."""
    if plan is not None and any(part.partition == partition for part in plan.parts):
        since = f", failing since {shown_time(plan.failing_since_ms)}" if plan.failing_since_ms else ""
        return f"being delivered, planned at {shown_time(plan.created_ms)}{since}"
    if backlog is None:
        return "nothing to deliver: every record there is has been"
    due_at = due_ms(descriptor, backlog)
    size = size_trigger(descriptor)
    line = f"{backlog.records} records, about {backlog.size} bytes, the oldest {max(0, now_ms - backlog.oldest_ms) / 1000:.0f} s old: "
    if due_at <= now_ms or (size is not None and backlog.size >= size):
        return line + "due, the next round takes them"
    or_size = "" if size is None else f" or once there are {size} bytes"
    return (
        line
        + f"due at {shown_time(due_at)}{or_size} (deliver_time_interval {descriptor.deliver_time_interval} s)"
    )


def shown_time(milliseconds: int) -> str:
    """A time as people read it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def pause_seconds(attempt: int, random: float) -> float:
    """How long to wait after that many attempts in a row (from 1) failed: 1 s, doubled up to a minute, each spread over its second
    half by `random` (0 to 1)."""
    whole = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 16))
    return whole * (0.5 + random / 2)


def gives_up_ms(descriptor: model.AnyDescriptor, failing_since_ms: int) -> int | None:
    """When a round that fails since then is backed up and passed over; None: never (OBS has nowhere to back up to)."""
    if descriptor.kind is model.DestinationType.OBS:
        return None
    return failing_since_ms + descriptor.retry_duration * 1000
