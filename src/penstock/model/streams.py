"""What a stream and its partitions are. Owns the types and their states; knows no storage, no wire, no clock."""

from __future__ import annotations

from enum import StrEnum

import msgspec

ENTERPRISE_PROJECT_KEY = "_sys_enterprise_project_id"
"""Key of the system tag that holds a stream's enterprise project (5.1.1 table 5-6)."""


class StreamStatus(StrEnum):
    """States of a stream (5.1.2 table 5-11). TERMINATED streams are gone, so it never shows."""

    CREATING = "CREATING"
    RUNNING = "RUNNING"
    TERMINATING = "TERMINATING"
    FROZEN = "FROZEN"


class StreamType(StrEnum):
    """COMMON: 1 MB/s a partition; ADVANCED: 5 MB/s (5.1.1 table 5-3)."""

    COMMON = "COMMON"
    ADVANCED = "ADVANCED"


class DataType(StrEnum):
    """What the records hold (5.1.1 table 5-3)."""

    BLOB = "BLOB"
    JSON = "JSON"
    CSV = "CSV"


class PartitionStatus(StrEnum):
    """States of a partition (5.1.4 table 5-20): DELETED ones are still readable, EXPIRED ones no more."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    DELETED = "DELETED"
    EXPIRED = "EXPIRED"


class Tag(msgspec.Struct, frozen=True):
    """A tag of a stream (5.1.1 table 5-5), or a system tag (table 5-6)."""

    key: str
    value: str = ""


class Right(StrEnum):
    """What a stream's policy allows (5.1.7 table 5-32). Whoever has any of them may see the stream's details."""

    PUT = "putRecords"
    GET = "getRecords"
    INFO = "getStreamInfo"


class StreamPolicy(msgspec.Struct, frozen=True):
    """Who else may use a stream (5.1.7): all users of an account (`user_id` empty), or one."""

    domain_id: str
    domain_name: str
    user_id: str
    user_name: str
    action: Right


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """One partition. `hash_start`..`hash_end` are inclusive; both -1 once DELETED."""

    number: int
    status: PartitionStatus = PartitionStatus.ACTIVE
    hash_start: int
    hash_end: int
    parents: str = ""
    deleted_ms: int | None = None


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One stream with all its partitions, in order of their numbers (contiguous from 0)."""

    stream_id: str
    """20 characters of A-Z, a-z, 0-9: a stream deleted and made again under its old name has another."""
    project_id: str
    name: str
    status: StreamStatus
    stream_type: StreamType = StreamType.COMMON
    data_type: DataType = DataType.BLOB
    retention_hours: int
    created_ms: int
    modified_ms: int
    auto_scale_enabled: bool = False
    auto_scale_min: int = 0
    auto_scale_max: int = 0
    data_schema: str | None = None
    csv_delimiter: str | None = None
    compression_format: str | None = None
    tags: tuple[Tag, ...] = ()
    sys_tags: tuple[Tag, ...] = ()
    policies: tuple[StreamPolicy, ...] = ()
    partitions: tuple[Partition, ...]

    @property
    def enterprise_project_id(self) -> str:
        """From the system tag; `0` is the default enterprise project."""
        return next((t.value for t in self.sys_tags if t.key == ENTERPRISE_PROJECT_KEY), "") or "0"

    @property
    def active(self) -> tuple[Partition, ...]:
        """The writable partitions."""
        return tuple(p for p in self.partitions if p.status is PartitionStatus.ACTIVE)

    @property
    def readable(self) -> tuple[Partition, ...]:
        """ACTIVE and DELETED partitions (5.1.4: readable_partition_count)."""
        return tuple(
            p for p in self.partitions if p.status in (PartitionStatus.ACTIVE, PartitionStatus.DELETED)
        )


def partition_name(number: int) -> str:
    """The id clients see: `shardId-` and ten digits (clients.md section 4)."""
    return f"shardId-{number:010d}"
