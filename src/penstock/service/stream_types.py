"""Requests and replies of stream management (5.1.1 to 5.1.6) as types. Owns their fields, order and documentation, which
the OpenAPI description repeats; knows no rules.

Optional fields of requests take null and `""` for absent, whatever their type (clients.md section 0, rule 8). Order of
the replies' fields is the one real servers use (clients.md section 7).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

V = TypeVar("V")

Absent = Literal[""]
"""What some clients send for a field of any type they have no value for."""


def given(value: V | Literal[""] | None) -> V | None:
    """The value of an optional field, None when it is absent."""
    return None if value == "" else value


def _text(description: str, *values: str, **schema: Any) -> Meta:
    """Documentation of a field; `values` are the only ones accepted."""
    return Meta(
        description=description, extra_json_schema=schema | ({"enum": list(values)} if values else {})
    )


class TagField(Struct, frozen=True):
    """A tag (5.1.1 tables 5-5 and 5-6)."""

    key: Annotated[str, _text("Key, unique for each stream.", minLength=1, maxLength=36)]
    value: Annotated[str | None, _text("Value.", maxLength=43)] = ""


class CsvProperties(Struct, frozen=True):
    """Attributes of CSV data (5.1.1 table 5-4)."""

    delimiter: Annotated[str | None, _text("Data separator.")] = None


class CreateStreamRequest(Struct, frozen=True, kw_only=True):
    """Body of POST /v2/{project_id}/streams (5.1.1 table 5-3). Fields not named here are ignored."""

    stream_name: Annotated[
        str, _text("1 to 64 letters, digits, underscores and hyphens.", minLength=1, maxLength=64)
    ]
    partition_count: Annotated[int, _text("Number of partitions.", minimum=1)]
    stream_type: Annotated[
        str | None,
        _text("COMMON: 1 MB/s for each partition; ADVANCED: 5 MB/s. Default COMMON.", "COMMON", "ADVANCED"),
    ] = None
    data_type: Annotated[str | None, _text("Source data type. Default BLOB.", "BLOB", "JSON", "CSV")] = None
    data_duration: Annotated[
        int | Absent | None, _text("Retention in hours. Default 24.", minimum=24, maximum=168)
    ] = None
    auto_scale_enabled: Annotated[
        bool | Absent | None, _text("Whether to scale automatically. Default false.")
    ] = None
    auto_scale_min_partition_count: Annotated[
        int | Absent | None, _text("Fewest partitions after an automatic scale-down. Default 1.", minimum=1)
    ] = None
    auto_scale_max_partition_count: Annotated[
        int | Absent | None,
        _text("Most partitions after an automatic scale-up. Default: the quota.", minimum=1),
    ] = None
    data_schema: Annotated[
        str | dict[str, Any] | list[Any] | None, _text("Avro schema of JSON and CSV data, as a JSON text.")
    ] = None
    csv_properties: CsvProperties | Absent | None = None
    compression_format: Annotated[
        str | None, _text("Compression of the data. Default: none.", "snappy", "gzip", "zip")
    ] = None
    tags: Annotated[list[TagField] | Absent | None, _text("At most 10 tags.")] = None
    sys_tags: Annotated[list[TagField] | Absent | None, _text("The enterprise project.")] = None


class ChangePartitionsRequest(Struct, frozen=True, kw_only=True):
    """Body of PUT /v2/{project_id}/streams/{stream_name} (5.1.5 table 5-27)."""

    stream_name: Annotated[
        str | None, _text("Name of the stream, as in the path.", minLength=1, maxLength=64)
    ] = None
    target_partition_count: Annotated[
        int | Absent | None, _text("Number of partitions to have; required.", minimum=1)
    ] = None


class ChangePartitionsReply(Struct, frozen=True, kw_only=True):
    """Its reply, as clients read it (clients.md 1.2)."""

    stream_name: str
    current_partition_count: Annotated[int, _text("ACTIVE partitions before.")]
    target_partition_count: Annotated[int, _text("ACTIVE partitions from now on.")]


class UpdateStreamRequest(Struct, frozen=True, kw_only=True):
    """Body of PUT /v3/{project_id}/streams/{stream_name} (5.1.6 table 5-29) and of PUT
    /v2/{project_id}/streams/{stream_name}/update. What is absent stays as it is."""

    stream_name: Annotated[
        str | None, _text("Name of the stream, as in the path.", minLength=1, maxLength=64)
    ] = None
    data_duration: Annotated[int | Absent | None, _text("Retention in hours.", minimum=24, maximum=168)] = (
        None
    )
    data_type: Annotated[str | None, _text("Source data type.", "BLOB", "JSON", "CSV")] = None
    data_schema: Annotated[
        str | dict[str, Any] | list[Any] | None, _text("Avro schema of JSON and CSV data, as a JSON text.")
    ] = None
    auto_scale_enabled: Annotated[bool | Absent | None, _text("Whether to scale automatically.")] = None
    auto_scale_min_partition_count: Annotated[
        int | Absent | None, _text("Fewest partitions after an automatic scale-down.", minimum=1)
    ] = None
    auto_scale_max_partition_count: Annotated[
        int | Absent | None, _text("Most partitions after an automatic scale-up.", minimum=1)
    ] = None
    update_type: Annotated[str | None, _text("What to update, such as AUTO_SCALE; not needed.")] = None
    target_data_type: Annotated[str | None, _text("Older name of data_type.", "BLOB", "JSON", "CSV")] = None
    target_data_schema: Annotated[
        str | dict[str, Any] | list[Any] | None, _text("Older name of data_schema.")
    ] = None


class UpdateStreamReply(Struct, frozen=True, kw_only=True):
    """Reply of PUT /v2/{project_id}/streams/{stream_name}/update, as the Java SDK reads it (clients.md 1.2)."""

    stream_name: str
    target_data_type: Annotated[str, _text("Source data type from now on.")]


class StreamActionRequest(Struct, frozen=True, kw_only=True):
    """Body of POST /v2/{project_id}/streams/{stream_name}/action."""

    action: Annotated[str, _text("What to do.", "freeze", "thaw")]


class UpdatePartitionCount(Struct, frozen=True, kw_only=True, gc=False):
    """One change of the partition count (5.1.4 table 5-22), without the two fields whose types clients disagree about
    (clients.md section 7, rule 3)."""

    create_timestamp: Annotated[int, _text("Milliseconds since the epoch.")]
    src_partition_count: Annotated[int, _text("ACTIVE partitions before.")]
    target_partition_count: Annotated[int, _text("ACTIVE partitions after.")]
    auto_scale: Annotated[bool, _text("Whether automatic scaling did it.")]


class ScalingLogEntry(UpdatePartitionCount, frozen=True, kw_only=True, gc=False):
    """The same in the scaling log."""

    result_code: Annotated[int, _text("1: done.")] = 1


class ScalingLogReply(Struct, frozen=True, kw_only=True):
    """Reply of GET /v2/{project_id}/streams/{stream_name}/update_partition_counts."""

    stream_id: str
    stream_name: str
    total_number: Annotated[int, _text("Entries that are kept, on this page or not.")]
    update_partition_counts: Annotated[list[ScalingLogEntry], _text("Newest first.")]
    has_more: bool
    next_start: Annotated[int | UnsetType, _text("`start` of the next page; left out on the last one.")] = (
        UNSET
    )


class StreamInfo(Struct, frozen=True, kw_only=True):
    """One stream of a list (5.1.2 table 5-11)."""

    stream_id: str
    stream_name: str
    create_time: Annotated[int, _text("Milliseconds since the epoch.")]
    retention_period: Annotated[int, _text("Hours.")]
    status: Annotated[str, _text("State.", "CREATING", "RUNNING", "TERMINATING", "FROZEN")]
    stream_type: str
    data_type: str
    partition_count: Annotated[int, _text("ACTIVE partitions.")]
    tags: list[TagField]
    sys_tags: list[TagField]
    auto_scale_enabled: bool
    auto_scale_min_partition_count: int
    auto_scale_max_partition_count: int


class ListStreamsReply(Struct, frozen=True, kw_only=True):
    """Reply of GET /v2/{project_id}/streams (5.1.2 table 5-10)."""

    total_number: Annotated[int, _text("Streams of the project, on this page or not.")]
    stream_names: list[str]
    stream_info_list: list[StreamInfo]
    has_more_streams: bool


class PartitionResult(Struct, frozen=True, kw_only=True, gc=False):
    """One partition (5.1.4 table 5-20)."""

    status: Annotated[str, _text("State.", "CREATING", "ACTIVE", "DELETED", "EXPIRED")]
    partition_id: Annotated[str, _text("`shardId-` and ten digits.")]
    hash_range: Annotated[str, _text("`[first : last]`, both inclusive; `[-1 : -1]` once DELETED.")]
    sequence_number_range: Annotated[
        str | UnsetType, _text("`[earliest : next]`; left out when nothing can be read any more.")
    ] = UNSET
    parent_partitions: str | UnsetType = UNSET


class DescribeStreamReply(Struct, frozen=True, kw_only=True):
    """Reply of GET /v2/{project_id}/streams/{stream_name} (5.1.4 table 5-19)."""

    stream_id: str
    stream_name: str
    create_time: Annotated[int, _text("Milliseconds since the epoch.")]
    last_modified_time: Annotated[int, _text("Milliseconds since the epoch.")]
    retention_period: Annotated[int, _text("Hours.")]
    status: Annotated[str, _text("State.", "CREATING", "RUNNING", "TERMINATING", "FROZEN")]
    stream_type: str
    data_type: str
    data_schema: str | UnsetType = UNSET
    csv_properties: CsvProperties | UnsetType = UNSET
    compression_format: str | UnsetType = UNSET
    writable_partition_count: Annotated[int, _text("ACTIVE partitions.")]
    readable_partition_count: Annotated[int, _text("ACTIVE and DELETED partitions.")]
    partitions: list[PartitionResult]
    has_more_partitions: bool
    update_partition_counts: Annotated[
        list[UpdatePartitionCount] | UnsetType,
        _text("The newest changes, oldest first; left out when there was none."),
    ] = UNSET
    tags: list[TagField]
    sys_tags: list[TagField]
    auto_scale_enabled: bool
    auto_scale_min_partition_count: int
    auto_scale_max_partition_count: int


def tag_fields(tags: tuple[Any, ...]) -> list[TagField]:
    """Stored tags as they are answered."""
    return [TagField(tag.key, tag.value) for tag in tags]
