"""What a verification is given and what it finds. Owns these types and how a manifest is taken apart; checks nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, NamedTuple, Protocol

import msgspec

from penstock.dump import manifest as manifests
from penstock.dump.base import Chunk, Format, Store
from penstock.model.dumps import joined
from penstock.model.streams import Stream
from penstock.model.tasks import MrsDescriptor, ObsDescriptor, Task


class Found(msgspec.Struct, frozen=True):
    """A difference or a note. `what` is one of: manifest, missing, size, checksum, content, records, overlap, gap, unnamed, rejects."""

    what: str
    where: str
    """A key or a partition."""
    text: str


class Report(msgspec.Struct, kw_only=True):
    """What a check found. Bytes and records are those of the files that were looked at."""

    stream: str
    task: str
    task_id: str
    rounds: int = 0
    files: int = 0
    bytes: int = 0
    records: int = 0
    compared: int = 0
    """Records that were compared with the log."""
    gone: int = 0
    """Records that the log has no more: only their files' checksums could be checked."""
    differences: list[Found] = []
    notes: list[Found] = []

    def differs(self, what: str, where: str, text: str) -> None:
        self.differences.append(Found(what, where, text))

    def note(self, what: str, where: str, text: str) -> None:
        self.notes.append(Found(what, where, text))


class Standing(NamedTuple):
    """How a partition stands: what the task's details say of it, and the oldest record that the log has (None: nothing any more)."""

    last: int
    discard: int
    earliest: int | None


class Subject(NamedTuple):
    """What is verified, as of before the manifests are read."""

    stream: Stream
    task: Task
    partitions: dict[int, Standing]


class Progress(Protocol):
    """Told how far it is, in bytes."""

    def begin(self, total: int) -> None: ...

    def advance(self, done: int) -> None: ...


Read = Callable[[int, int, int], list[Chunk]]
"""Records of a partition from a sequence number to another, as far as the log has them. Called in a thread."""


class Means(NamedTuple):
    """What it is verified with. `backup` is where rejects are; `read` None: only names, sizes and ranges are checked."""

    store: Store
    backup: Store
    make: Format
    zone: tzinfo
    read: Read | None
    progress: Progress


class Part(NamedTuple):
    """A partition's share of a round, by its manifest."""

    round: int
    partition: int
    first: int
    last: int
    files: list[manifests.File]
    rejected: int
    rejected_keys: list[str]
    missing: int


def prefix_of(descriptor: ObsDescriptor | MrsDescriptor) -> str:
    """Where a task's files are, below the root of its store."""
    given = descriptor.hdfs_prefix_folder if isinstance(descriptor, MrsDescriptor) else descriptor.file_prefix
    prefix = joined(given)
    return f"{prefix}/" if prefix else ""


def name_of(key: str) -> str:
    return key.rpartition("/")[2]


def parts_of(made: manifests.Manifest) -> list[Part]:
    """A manifest by partitions."""
    entries: list[Any] = [*made.files, *made.rejected, *made.missing]
    names = sorted({one.partition_id for one in entries})
    parts = []
    for name in names:
        files = [file for file in made.files if file.partition_id == name]
        rejected = [one for one in made.rejected if one.partition_id == name]
        missing = [one for one in made.missing if one.partition_id == name]
        ranges = [one for one in entries if one.partition_id == name]
        parts.append(
            Part(
                round=made.round,
                partition=int(name.rpartition("-")[2]),
                first=min(one.first for one in ranges),
                last=max(one.last for one in ranges),
                files=files,
                rejected=sum(one.records for one in rejected),
                rejected_keys=[one.key for one in rejected],
                missing=sum(one.records for one in missing),
            )
        )
    return parts
