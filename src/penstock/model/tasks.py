"""What a dump task is (5.5): where it delivers a stream to, how, and how far it has got. Owns the types and their states;
knows no storage, no wire and no destination.

Descriptors are kept as checked, with every default filled in, so that what a task does never depends on what a later release
takes for a default. Passwords are not in them: a task keeps those sealed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec


class DestinationType(StrEnum):
    """Where to (5.5.7 table 5-104)."""

    OBS = "OBS"
    MRS = "MRS"
    DLI = "DLI"
    CLOUDTABLE = "CLOUDTABLE"
    DWS = "DWS"


class TaskState(StrEnum):
    """States of a task (5.5.2 table 5-87). A deleted task is gone, so DELETE never shows."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    ABNORMAL = "ABNORMAL"
    ERROR = "ERROR"
    DELETE = "DELETE"


class ConsumerStrategy(StrEnum):
    """Where a task starts: with what comes after it was made, or with the oldest record."""

    LATEST = "LATEST"
    TRIM_HORIZON = "TRIM_HORIZON"


class FileType(StrEnum):
    """What files hold (5.5.1; Chinese edition table 5-83). All but text are made from JSON."""

    TEXT = "text"
    CSV = "csv"
    PARQUET = "parquet"
    CARBON = "carbon"


class TimestampType(StrEnum):
    """What holds the time of a record (5.5.1 table 5-83)."""

    STRING = "String"
    TIMESTAMP = "Timestamp"


class AttributeType(StrEnum):
    """Types of JSON attributes (5.5.10 table 5-120)."""

    BIGINT = "Bigint"
    DOUBLE = "Double"
    BOOLEAN = "Boolean"
    TIMESTAMP = "Timestamp"
    STRING = "String"
    DECIMAL = "Decimal"


PARTITION_FORMATS = ("yyyy", "yyyy/MM", "yyyy/MM/dd", "yyyy/MM/dd/HH", "yyyy/MM/dd/HH/mm")
TIMESTAMP_FORMATS = {
    "yyyy/MM/dd HH:mm:ss": "%Y/%m/%d %H:%M:%S",
    "MM/dd/yyyy HH:mm:ss": "%m/%d/%Y %H:%M:%S",
    "dd/MM/yyyy HH:mm:ss": "%d/%m/%Y %H:%M:%S",
    "yyyy-MM-dd HH:mm:ss": "%Y-%m-%d %H:%M:%S",
    "MM-dd-yyyy HH:mm:ss": "%m-%d-%Y %H:%M:%S",
    "dd-MM-yyyy HH:mm:ss": "%d-%m-%Y %H:%M:%S",
}
"""Forms of times in records (5.5.1 table 5-83), and what Python calls them."""
RECORD_DELIMITERS = (",", ";", "|", "\n")
NO_DELIMITER = "NULL"
"""Records one after the other without anything between (newer editions of 5.5.1)."""
DWS_DELIMITERS = (",", ";", "|")
ROW_KEY_DELIMITERS = (",", ".", "|", ";", "\\", "-", "_", "~")
UNLIMITED_REJECTS = "unlimited"


class ProcessingSchema(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which attribute of a record says when it happened (5.5.1 table 5-83)."""

    timestamp_name: str
    timestamp_type: TimestampType
    timestamp_format: str = ""
    """One of TIMESTAMP_FORMATS, for String."""


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """What every destination's descriptor has."""

    kind: ClassVar[DestinationType]

    task_name: str
    agency_name: str
    deliver_time_interval: int
    """Seconds between deliveries."""
    consumer_strategy: ConsumerStrategy
    retry_duration: int
    """Seconds to go on trying before records are backed up and passed over; 0 for OBS: for ever."""

    @property
    def bucket(self) -> str:
        """The bucket it delivers to, or backs up to; empty without one."""
        raise NotImplementedError


class ObsDescriptor(Descriptor, frozen=True, kw_only=True, tag="OBS"):
    """5.5.1 table 5-82."""

    kind = DestinationType.OBS

    obs_bucket_path: str
    file_prefix: str
    partition_format: str
    destination_file_type: FileType
    record_delimiter: str
    processing_schema: ProcessingSchema | None
    deliver_size_interval: int | None = None
    """MB after which a file is written although the interval has not passed."""

    @property
    def bucket(self) -> str:
        return self.obs_bucket_path


class DwsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Fault tolerance of DWS (5.5.7 table 5-106)."""

    fill_missing_fields: bool = False
    ignore_extra_data: bool = False
    compatible_illegal_chars: bool = False
    reject_limit: int | None = 0
    """None: unlimited."""
    error_table_name: str = ""


class DwsDescriptor(Descriptor, frozen=True, kw_only=True, tag="DWS"):
    """5.5.7 table 5-105, without the password."""

    kind = DestinationType.DWS

    dws_cluster_name: str
    dws_cluster_id: str
    dws_database_name: str
    dws_schema: str
    dws_table_name: str
    dws_delimiter: str
    user_name: str
    kms_user_key_name: str
    kms_user_key_id: str
    obs_bucket_path: str
    file_prefix: str
    dws_table_columns: str
    """As given: `c1,c2`; empty for all."""
    options: DwsOptions

    @property
    def bucket(self) -> str:
        return self.obs_bucket_path

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns named; none means all of the table."""
        return tuple(c.strip() for c in self.dws_table_columns.split(",")) if self.dws_table_columns else ()


class MrsDescriptor(Descriptor, frozen=True, kw_only=True, tag="MRS"):
    """5.5.8 table 5-110."""

    kind = DestinationType.MRS

    mrs_cluster_name: str
    mrs_cluster_id: str
    mrs_hdfs_path: str
    hdfs_prefix_folder: str
    obs_bucket_path: str
    file_prefix: str
    destination_file_type: FileType
    record_delimiter: str

    @property
    def bucket(self) -> str:
        return self.obs_bucket_path


class DliDescriptor(Descriptor, frozen=True, kw_only=True, tag="DLI"):
    """5.5.9 table 5-114."""

    kind = DestinationType.DLI

    dli_database_name: str
    dli_table_name: str
    obs_bucket_path: str
    file_prefix: str

    @property
    def bucket(self) -> str:
        return self.obs_bucket_path


class RowKey(msgspec.Struct, frozen=True):
    """A part of an HBase row key (5.5.10 table 5-120)."""

    value: str
    """JSON attribute."""
    type: AttributeType


class Column(msgspec.Struct, frozen=True):
    """A column of HBase (5.5.10 table 5-121)."""

    column_family_name: str
    column_name: str
    value: str
    """JSON attribute."""
    type: AttributeType


class CloudTableSchema(msgspec.Struct, frozen=True):
    """How JSON becomes HBase rows (5.5.10 table 5-119)."""

    row_key: tuple[RowKey, ...]
    columns: tuple[Column, ...]


class Metric(msgspec.Struct, frozen=True):
    """An OpenTSDB metric (5.5.10 table 5-123): Constant, or the attribute that names it."""

    type: str
    value: str


class TsdbTimestamp(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an OpenTSDB time comes from (5.5.10 table 5-124)."""

    type: TimestampType
    value: str
    format: str = ""


class TsdbValue(msgspec.Struct, frozen=True):
    """Where an OpenTSDB value comes from (5.5.10 table 5-125)."""

    type: AttributeType
    value: str


class TsdbTag(msgspec.Struct, frozen=True):
    """An OpenTSDB tag (5.5.10 table 5-126)."""

    name: str
    type: AttributeType
    value: str


class OpenTsdbSchema(msgspec.Struct, frozen=True):
    """How JSON becomes OpenTSDB points (5.5.10 table 5-122)."""

    metric: tuple[Metric, ...]
    timestamp: TsdbTimestamp
    value: TsdbValue
    tags: tuple[TsdbTag, ...]


class CloudTableDescriptor(Descriptor, frozen=True, kw_only=True, tag="CLOUDTABLE"):
    """5.5.10 table 5-118: HBase with `cloudtable_schema`, OpenTSDB with `opentsdb_schema`."""

    kind = DestinationType.CLOUDTABLE

    cloudtable_cluster_name: str
    cloudtable_cluster_id: str
    cloudtable_table_name: str
    cloudtable_schema: CloudTableSchema | None
    opentsdb_schema: tuple[OpenTsdbSchema, ...]
    cloudtable_row_key_delimiter: str
    obs_backup_bucket_path: str
    backup_file_prefix: str

    @property
    def bucket(self) -> str:
        return self.obs_backup_bucket_path


AnyDescriptor = ObsDescriptor | DwsDescriptor | MrsDescriptor | DliDescriptor | CloudTableDescriptor


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One dump task of a stream. Users say `paused`; the engine that delivers says `trouble`."""

    task_id: str
    """20 characters of A-Z, a-z, 0-9."""
    stream_id: str
    project_id: str
    name: str
    created_ms: int
    descriptor: AnyDescriptor
    sealed_password: bytes = b""
    """What `user_password` became; who opens it must know the task's id (service.task_directory)."""
    domain_id: str = ""
    account: str = ""
    """Id and name of the account whose agency it names."""
    paused: bool = False
    trouble: TaskState | None = None
    """ABNORMAL while deliveries fail and are tried again, ERROR when they cannot be; None when all is well."""
    reason: str = ""
    """Why, in a line, for the details and the log."""

    @property
    def state(self) -> TaskState:
        """What lists and details show."""
        if self.paused:
            return TaskState.PAUSED
        return self.trouble or TaskState.RUNNING


class TaskPosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far a task has got in one partition. Without one, a partition is delivered from its first record on: it did not exist
    when the task was made."""

    task_id: str
    partition: int
    next_sequence: int
    """The first record that is not delivered."""
    discard: int = 0
    """Records passed over: backed up, poison, or gone before they were delivered."""
    last_transfer_ms: int = 0
    last_transfer_offset: int = -1
    """Sequence number of the last record delivered; -1 for none."""
    trouble: TaskState | None = None
    reason: str = ""
