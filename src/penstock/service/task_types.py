"""Requests and replies of dump tasks (5.5) as types. Owns their fields, order and documentation, which the OpenAPI description
repeats; knows no rules: `service.task_checks` has those.

Numbers arrive as numbers or as texts, booleans as booleans or as "true", "on" and their opposites (clients.md 1.6). Details
answer with the types of the requests, as table 5-92 does; what is None is left out, passwords always are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Absent = Literal[""]
"""What some clients send for a field of any type they have no value for."""


def _text(description: str, *values: str, **schema: Any) -> Meta:
    """Documentation of a field; `values` are the only ones accepted."""
    return Meta(
        description=description, extra_json_schema=schema | ({"enum": list(values)} if values else {})
    )


TaskName = Annotated[
    str, _text("1 to 64 letters, digits, hyphens and underscores.", minLength=1, maxLength=64)
]
AgencyName = Annotated[
    str, _text("An agency of the account, such as dis_admin_agency.", minLength=1, maxLength=64)
]
Interval = Annotated[
    int | str | None, _text("Seconds between deliveries, 30 to 900; no file for an empty one. Default 300.")
]
Strategy = Annotated[
    str | None,
    _text("Where to start: LATEST (default) or TRIM_HORIZON."),
]
Prefix = Annotated[
    str | None,
    _text("Directory: letters, digits, underscores and slashes, not starting with one.", maxLength=50),
]
Retry = Annotated[
    int | str | None,
    _text("Seconds to go on trying before the records are backed up, 0 to 7200. Default 1800."),
]
FileTypeField = Annotated[
    str | None, _text("text (default), csv, parquet or carbon; all but text only from JSON.")
]
Delimiter = Annotated[
    str | None, _text("Between records: `,` `;` `|` or a newline, which is the default; NULL for none.")
]
Flag = bool | str | None


class ProcessingSchemaField(Struct, frozen=True, omit_defaults=True):
    """Which attribute of a record says when it happened (5.5.1 table 5-83)."""

    timestamp_name: Annotated[str | None, _text("JSON attribute.")] = None
    timestamp_type: Annotated[str | None, _text("String, or Timestamp: milliseconds since the epoch.")] = None
    timestamp_format: Annotated[str | None, _text("Form of the time, mandatory for String.")] = None


class ObsDestinationDescriptor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """5.5.1 table 5-82."""

    task_name: TaskName
    agency_name: AgencyName
    deliver_time_interval: Interval = None
    consumer_strategy: Strategy = None
    file_prefix: Prefix = None
    partition_format: Annotated[
        str | None,
        _text("Directories by time: yyyy, yyyy/MM, yyyy/MM/dd, yyyy/MM/dd/HH or yyyy/MM/dd/HH/mm."),
    ] = None
    obs_bucket_path: Annotated[str, _text("Bucket.")]
    destination_file_type: FileTypeField = None
    processing_schema: ProcessingSchemaField | Absent | None = None
    record_delimiter: Delimiter = None
    retry_duration: Annotated[
        int | str | None, _text("0 to 7200. Dumps to OBS are tried for ever whatever it says. Default 0.")
    ] = None
    deliver_size_interval: Annotated[
        int | str | None, _text("MB after which a file is written at once, 1 to 300. Default: none.")
    ] = None


class OptionsField(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fault tolerance of DWS (5.5.7 table 5-106)."""

    fill_missing_fields: Annotated[
        Flag, _text("true/on or false/off (default): missing last fields become NULL.")
    ] = None
    ignore_extra_data: Annotated[
        Flag, _text("true/on or false/off (default): extra columns are ignored.")
    ] = None
    compatible_illegal_chars: Annotated[
        Flag, _text("true/on or false/off (default): invalid characters are replaced.")
    ] = None
    reject_limit: Annotated[int | str | None, _text("Most rows refused, or unlimited. Default 0.")] = None
    error_table_name: Annotated[str | None, _text("Table that records refused rows.")] = None


class DwsDestinationDescriptor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """5.5.7 table 5-105."""

    task_name: TaskName
    agency_name: AgencyName
    deliver_time_interval: Interval = None
    consumer_strategy: Strategy = None
    dws_cluster_name: str
    dws_cluster_id: str
    dws_database_name: str
    dws_schema: str
    dws_table_name: str
    dws_delimiter: Annotated[str, _text("Between columns: `,` `;` or `|`.")]
    user_name: str
    user_password: Annotated[
        str | None, _text("Mandatory in requests, never in replies.", writeOnly=True)
    ] = None
    kms_user_key_name: str
    kms_user_key_id: str
    obs_bucket_path: Annotated[str, _text("Bucket for what cannot be delivered.")]
    file_prefix: Prefix = None
    retry_duration: Retry = None
    dws_table_columns: Annotated[str | None, _text("Columns to fill, such as c1,c2. Default: all.")] = None
    options: OptionsField | Absent | None = None


class MrsDestinationDescriptor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """5.5.8 table 5-110."""

    task_name: TaskName
    agency_name: AgencyName
    deliver_time_interval: Interval = None
    consumer_strategy: Strategy = None
    mrs_cluster_name: str
    mrs_cluster_id: str
    mrs_hdfs_path: Annotated[str | None, _text("Directory in HDFS; mandatory.")] = None
    mrs_hdfs_patch: Annotated[str | None, _text("Another spelling of mrs_hdfs_path.")] = None
    file_prefix: Prefix = None
    hdfs_prefix_folder: Annotated[str | None, _text("Directory below it.", maxLength=50)] = None
    obs_bucket_path: Annotated[str, _text("Bucket for what cannot be delivered.")]
    destination_file_type: FileTypeField = None
    record_delimiter: Delimiter = None
    retry_duration: Retry = None


class DliDestinationDescriptor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """5.5.9 table 5-114."""

    task_name: TaskName
    agency_name: AgencyName
    deliver_time_interval: Interval = None
    consumer_strategy: Strategy = None
    dli_database_name: str
    dli_table_name: str
    obs_bucket_path: Annotated[str, _text("Bucket for what cannot be delivered.")]
    file_prefix: Prefix = None
    retry_duration: Retry = None


_ATTRIBUTE_TYPES = "Bigint, Double, Boolean, Timestamp, String or Decimal."


class RowKeyField(Struct, frozen=True):
    """5.5.10 table 5-120."""

    value: Annotated[str | None, _text("JSON attribute.")] = None
    type: Annotated[str | None, _text(_ATTRIBUTE_TYPES)] = None


class ColumnField(Struct, frozen=True):
    """5.5.10 table 5-121."""

    column_family_name: str | None = None
    column_name: Annotated[str | None, _text("1 to 32 letters, digits and underscores.")] = None
    value: Annotated[str | None, _text("JSON attribute.")] = None
    type: Annotated[str | None, _text(_ATTRIBUTE_TYPES)] = None


class CloudtableSchemaField(Struct, frozen=True):
    """5.5.10 table 5-119."""

    row_key: Annotated[list[RowKeyField] | Absent | None, _text("1 to 64.")] = None
    columns: Annotated[list[ColumnField] | Absent | None, _text("1 to 4096.")] = None


class OpenTSDBMetricField(Struct, frozen=True):
    """5.5.10 table 5-123."""

    type: Annotated[str | None, _text("Constant, or String: the attribute that names the metric.")] = None
    value: Annotated[str | None, _text("1 to 32 letters, digits and periods.")] = None


class OpenTSDBTimestampField(Struct, frozen=True, omit_defaults=True):
    """5.5.10 table 5-124."""

    type: Annotated[str | None, _text("Timestamp or String.")] = None
    value: Annotated[str | None, _text("JSON attribute: 1 to 32 letters, digits and underscores.")] = None
    format: Annotated[str | None, _text("Form of the time, mandatory for String.")] = None


class OpenTSDBValueField(Struct, frozen=True):
    """5.5.10 table 5-125."""

    type: Annotated[str | None, _text(_ATTRIBUTE_TYPES)] = None
    value: Annotated[str | None, _text("1 to 32 letters, digits and underscores.")] = None


class OpenTSDBTagField(Struct, frozen=True):
    """5.5.10 table 5-126."""

    name: Annotated[str | None, _text("1 to 32 letters, digits and underscores.")] = None
    type: Annotated[str | None, _text(_ATTRIBUTE_TYPES)] = None
    value: Annotated[str | None, _text("1 to 32 letters, digits and underscores.")] = None


class OpenTSDBSchemaField(Struct, frozen=True):
    """5.5.10 table 5-122."""

    metric: list[OpenTSDBMetricField] | Absent | None = None
    timestamp: OpenTSDBTimestampField | Absent | None = None
    value: OpenTSDBValueField | Absent | None = None
    tags: list[OpenTSDBTagField] | Absent | None = None


class CloudtableDestinationDescriptor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """5.5.10 table 5-118."""

    task_name: TaskName
    agency_name: AgencyName
    deliver_time_interval: Interval = None
    consumer_strategy: Strategy = None
    cloudtable_cluster_name: str
    cloudtable_cluster_id: str
    cloudtable_table_name: Annotated[str | None, _text("HBase table, mandatory with cloudtable_schema.")] = (
        None
    )
    cloudtable_schema: Annotated[
        CloudtableSchemaField | Absent | None, _text("Dump to HBase; or opentsdb_schema.")
    ] = None
    opentsdb_schema: Annotated[
        list[OpenTSDBSchemaField] | Absent | None, _text("Dump to OpenTSDB; or cloudtable_schema.")
    ] = None
    cloudtable_row_key_delimiter: Annotated[
        str | None, _text("Between parts of a row key: one of `,.|;\\-_~`. Default: a period.")
    ] = None
    obs_backup_bucket_path: Annotated[str | None, _text("Bucket for what cannot be delivered.")] = None
    backup_file_prefix: Prefix = None
    retry_duration: Retry = None


AnyDestinationDescriptor = (
    ObsDestinationDescriptor
    | DwsDestinationDescriptor
    | MrsDestinationDescriptor
    | DliDestinationDescriptor
    | CloudtableDestinationDescriptor
)


class CreateTransferTaskRequest(Struct, frozen=True, kw_only=True):
    """Body of POST …/transfer-tasks (5.5.1 table 5-81, 5.5.7 to 5.5.10). One descriptor counts, the one `destination_type`
    names; the others are ignored. Fields not named here are ignored."""

    destination_type: Annotated[
        str | None, _text("OBS, MRS, DLI, CLOUDTABLE or DWS; of the only descriptor when left out.")
    ] = None
    obs_destination_descriptor: ObsDestinationDescriptor | Absent | None = None
    dws_destination_descriptor: DwsDestinationDescriptor | Absent | None = None
    mrs_destination_descriptor: MrsDestinationDescriptor | Absent | None = None
    dli_destination_descriptor: DliDestinationDescriptor | Absent | None = None
    cloudtable_destination_descriptor: CloudtableDestinationDescriptor | Absent | None = None


class UpdateTransferTaskRequest(Struct, frozen=True, kw_only=True):
    """Body of PUT …/transfer-tasks (chapter 6 names the operation, no edition describes it): fields of the descriptor that
    are left out keep their values, so none is mandatory here. Without a descriptor nothing changes."""

    destination_type: str | None = None
    obs_destination_descriptor: dict[str, Any] | Absent | None = None
    dws_destination_descriptor: dict[str, Any] | Absent | None = None
    mrs_destination_descriptor: dict[str, Any] | Absent | None = None
    dli_destination_descriptor: dict[str, Any] | Absent | None = None
    cloudtable_destination_descriptor: dict[str, Any] | Absent | None = None
    task_id: Annotated[str | None, _text("The task; or its name, here or in the descriptor.")] = None
    task_name: str | None = None


class BatchTransferTask(Struct, frozen=True):
    """A task of a batch (5.5.5 table 5-98)."""

    id: Annotated[str, _text("Id of the task.")]


class TransferTaskActionRequest(Struct, frozen=True, kw_only=True):
    """Body of POST …/transfer-tasks/action (5.5.5 table 5-97, 5.5.6 table 5-100)."""

    action: Annotated[str, _text("What to do with the tasks.", "start", "stop")]
    tasks: Annotated[list[BatchTransferTask], _text("One at least.", minItems=1)]


class TransferTask(Struct, frozen=True, kw_only=True):
    """A task of a list (5.5.2 table 5-87)."""

    task_id: str
    task_name: str
    destination_type: str
    state: Annotated[str, _text("State.", "ERROR", "STARTING", "PAUSED", "RUNNING", "DELETE", "ABNORMAL")]
    create_time: Annotated[int, _text("Milliseconds since the epoch.")]
    last_transfer_timestamp: Annotated[int, _text("Milliseconds since the epoch; 0 before the first.")]


class ListTransferTasksReply(Struct, frozen=True, kw_only=True):
    """Reply of GET …/transfer-tasks (5.5.2 table 5-86)."""

    tasks: list[TransferTask]
    total_number: Annotated[int, _text("Tasks of the stream, on this page or not.")]
    quota: Annotated[int, _text("Tasks a stream may have.")]


class TaskLag(Struct, frozen=True, kw_only=True, gc=False):
    """What is not delivered yet. Not in the reference."""

    records: int
    bytes: Annotated[int, _text("About: bytes of the log.")]
    seconds: Annotated[float, _text("Age of the oldest record.")]


class TaskPartition(Struct, frozen=True, kw_only=True, gc=False):
    """One partition of a task: what table 5-93 lists and what the sample of 5.5.4 shows."""

    partition_id: Annotated[str, _text("`shardId-` and ten digits; `partitionId` says the same.")]
    partitionId: str  # noqa: N815
    status: Annotated[str, _text("State of the partition.", "CREATING", "ACTIVE", "DELETED", "EXPIRED")]
    hash_range: str
    sequence_number_range: str | UnsetType = UNSET
    parent_partitions: str | UnsetType = UNSET
    state: Annotated[str, _text("State of the dump of it.")]
    discard: Annotated[int, _text("Records passed over.")]
    last_transfer_timestamp: Annotated[int, _text("Milliseconds since the epoch; 0 before the first.")]
    last_transfer_offset: Annotated[int, _text("Last sequence number delivered; -1 for none.")]
    lag: TaskLag | UnsetType = UNSET
    state_reason: Annotated[str | UnsetType, _text("Why what is there has not been delivered yet.")] = UNSET


class ShowTransferTaskReply(Struct, frozen=True, kw_only=True):
    """Reply of GET …/transfer-tasks/{task_name} (5.5.4 table 5-92), with the other spellings that clients look for."""

    stream_id: str
    streamId: str  # noqa: N815
    stream_name: str
    task_name: str
    task_id: str
    destination_type: str
    state: Annotated[str, _text("State.", "ERROR", "STARTING", "PAUSED", "RUNNING", "DELETE", "ABNORMAL")]
    create_time: Annotated[int, _text("Milliseconds since the epoch.")]
    last_transfer_timestamp: Annotated[int, _text("Milliseconds since the epoch; 0 before the first.")]
    state_reason: Annotated[str | UnsetType, _text("Why a task is ABNORMAL or in ERROR.")] = UNSET
    lag: Annotated[TaskLag | UnsetType, _text("Of all partitions together; seconds is the oldest's.")] = UNSET
    guarantee: Annotated[
        str | UnsetType,
        _text("What a delivery is worth, once there was one.", "exactly once", "idempotent", "at least once"),
    ] = UNSET
    obs_destination_description: ObsDestinationDescriptor | UnsetType = UNSET
    dws_destination_description: DwsDestinationDescriptor | UnsetType = UNSET
    dws_destination_descripton: DwsDestinationDescriptor | UnsetType = UNSET
    mrs_destination_description: MrsDestinationDescriptor | UnsetType = UNSET
    dli_destination_description: DliDestinationDescriptor | UnsetType = UNSET
    cloudtable_destination_description: CloudtableDestinationDescriptor | UnsetType = UNSET
    cloudtable_destination_descripton: CloudtableDestinationDescriptor | UnsetType = UNSET
    cloud_table_destination_description: CloudtableDestinationDescriptor | UnsetType = UNSET
    partitions: list[TaskPartition]


class TaskRequest(msgspec.Struct, frozen=True):
    """The descriptor that counts. `field` is the name it came under, for messages."""

    field: str
    descriptor: AnyDestinationDescriptor
