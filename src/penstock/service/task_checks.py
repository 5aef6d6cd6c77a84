"""Rules of dump tasks' descriptors (5.5.1, 5.5.7 to 5.5.10): every field checked, every default filled in. Owns the rules and
their codes; asks no destination and knows no storage.

A field out of range is DIS.4200 naming its whole path (`obs_destination_descriptor.file_prefix`); what is wrong inside a
CloudTable schema is DIS.4345, inside an OpenTSDB schema DIS.4348. `""` is absent everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, TypedDict, TypeVar

from penstock.errors import ApiError, invalid
from penstock.limits import Limits
from penstock.model import tasks as model
from penstock.model.streams import DataType, Stream
from penstock.model.validation import shown, within
from penstock.service import task_types as wire
from penstock.service.stream_types import given
from penstock.service.task_schemas import check_opentsdb, check_row_schema

E = TypeVar("E", bound=StrEnum)

_TASK_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_/]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"-?[0-9]{1,20}")
_IDENTIFIER = re.compile(r"[^\x00-\x1f\x7f,\"']{1,63}")
_FLAGS = {"true": True, "on": True, "true/on": True, "false": False, "off": False, "false/off": False}
_FOLDER_PARTS = re.compile(r"[^\x00-\x1f\x7f:\\]*")
_ESCAPED = {"\\n": "\n", "\\\\n": "\n"}
"""A newline as shells and Terraform files write it."""


class Checked(NamedTuple):
    """A descriptor that may be kept, and the password that came with it (None: none did)."""

    descriptor: model.AnyDescriptor
    password: str | None = None


def check(request: wire.TaskRequest, stream: Stream, limits: Limits) -> Checked:
    """The descriptor of a request with every default filled in. Raises DIS.4200, DIS.4345, DIS.4348."""
    fields = _Fields(request.field, limits)
    descriptor = request.descriptor
    if isinstance(descriptor, wire.ObsDestinationDescriptor):
        return Checked(_obs(fields, descriptor, stream))
    if isinstance(descriptor, wire.DwsDestinationDescriptor):
        password = (
            fields.text("user_password", descriptor.user_password) if descriptor.user_password else None
        )
        return Checked(_dws(fields, descriptor), password)
    if isinstance(descriptor, wire.MrsDestinationDescriptor):
        return Checked(_mrs(fields, descriptor, stream))
    if isinstance(descriptor, wire.DliDestinationDescriptor):
        return Checked(_dli(fields, descriptor))
    return Checked(_cloudtable(fields, descriptor, stream))


def check_data_type(descriptor: model.AnyDescriptor, stream: Stream) -> None:
    """Whether such a destination takes such data: tables need columns. DIS.4200 naming destination_type."""
    wanted: tuple[DataType, ...]
    if isinstance(descriptor, model.DwsDescriptor | model.DliDescriptor):
        wanted = (DataType.JSON, DataType.CSV)
    elif isinstance(descriptor, model.CloudTableDescriptor):
        wanted = (DataType.JSON,)
    else:
        return
    if stream.data_type not in wanted:
        raise invalid(
            "destination_type",
            f"{descriptor.kind} takes {' or '.join(wanted)}, and the stream's data_type is {stream.data_type}",
        )


class _Common(TypedDict):
    """The fields of `model.Descriptor`."""

    task_name: str
    agency_name: str
    deliver_time_interval: int
    consumer_strategy: model.ConsumerStrategy
    retry_duration: int


class _Fields:
    """Checks of single fields; each answers the value to keep."""

    def __init__(self, prefix: str, limits: Limits) -> None:
        self.prefix = prefix
        self.limits = limits

    def path(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    def refuse(self, name: str, reason: str) -> ApiError:
        return invalid(self.path(name), reason)

    def text(self, name: str, value: str | None, longest: int | None = None) -> str:
        """A text that must be there."""
        if not value:
            raise self.refuse(name, "missing")
        return self.optional(name, value, longest)

    def optional(self, name: str, value: str | None, longest: int | None = None) -> str:
        """A text, or the empty one."""
        longest = self.limits.task_text_length if longest is None else longest
        if value and len(value) > longest:
            raise self.refuse(name, f"{len(value)} characters, at most {longest}")
        if value and _CONTROL.search(value):
            raise self.refuse(name, "holds a control character")
        return value or ""

    def one_of(self, name: str, value: str | None, values: tuple[str, ...], default: str = "") -> str:
        if not value:
            return default
        if value not in values:
            raise self.refuse(name, f"{shown(value)!r} is not one of {', '.join(map(repr, values))}")
        return value

    def member(self, name: str, value: str | None, kind: type[E], default: E) -> E:
        return kind(self.one_of(name, value, tuple(kind), default))

    def number(self, name: str, value: int | str | None, low: int, high: int, default: int) -> int:
        """A whole number, as such or as a text."""
        if value is None or value == "":
            return default
        if isinstance(value, str):
            if not _NUMBER.fullmatch(value):
                raise self.refuse(name, f"{shown(value)!r} is not a whole number")
            value = int(value)
        return within(self.path(name), value, low, high)

    def flag(self, name: str, value: wire.Flag) -> bool:
        """A boolean, as such or as a text; false when absent."""
        if value is None or value == "":
            return False
        if isinstance(value, bool):
            return value
        if value.lower() not in _FLAGS:
            raise self.refuse(name, f"{shown(value)!r} is not true/on or false/off")
        return _FLAGS[value.lower()]

    # Fields that all destinations have, or several

    def task_name(self, value: str) -> str:
        name = self.text("task_name", value, self.limits.task_name_length)
        if not _TASK_NAME.fullmatch(name):
            raise self.refuse(
                "task_name",
                f"not 1 to {self.limits.task_name_length} letters, digits, hyphens and underscores",
            )
        return name

    def prefix_of(self, name: str, value: str | None) -> str:
        text = self.optional(name, value, self.limits.file_prefix_length)
        if text and not _PREFIX.fullmatch(text):
            raise self.refuse(name, "not letters, digits, underscores and slashes, or it starts with a slash")
        return text

    def interval(self, value: int | str | None) -> int:
        limits = self.limits
        return self.number(
            "deliver_time_interval",
            value,
            limits.deliver_seconds_min,
            limits.deliver_seconds_max,
            limits.deliver_seconds_default,
        )

    def common(self, given_: wire.AnyDestinationDescriptor, *, retry_default: int | None = None) -> _Common:
        """What every destination's descriptor has."""
        limits = self.limits
        if retry_default is None:
            retry_default = limits.retry_seconds_default
        return {
            "task_name": self.task_name(given_.task_name),
            "agency_name": self.text("agency_name", given_.agency_name, limits.agency_name_length),
            "deliver_time_interval": self.interval(given_.deliver_time_interval),
            "consumer_strategy": self.member(
                "consumer_strategy",
                given_.consumer_strategy,
                model.ConsumerStrategy,
                model.ConsumerStrategy.LATEST,
            ),
            "retry_duration": self.number(
                "retry_duration", given_.retry_duration, 0, limits.retry_seconds_max, retry_default
            ),
        }

    def record_delimiter(self, value: str | None) -> str:
        value = _ESCAPED.get(value or "", value)
        return self.one_of("record_delimiter", value, (*model.RECORD_DELIMITERS, model.NO_DELIMITER), "\n")

    def file_type(self, value: str | None, stream: Stream) -> model.FileType:
        lowered = value.lower() if value else None
        kind = self.member("destination_file_type", lowered, model.FileType, model.FileType.TEXT)
        if kind is not model.FileType.TEXT and stream.data_type is not DataType.JSON:
            raise self.refuse(
                "destination_file_type",
                f"{kind} is made from JSON, and the stream's data_type is {stream.data_type}",
            )
        return kind


def _obs(fields: _Fields, given_: wire.ObsDestinationDescriptor, stream: Stream) -> model.ObsDescriptor:
    size = fields.number(
        "deliver_size_interval", given_.deliver_size_interval, 1, fields.limits.deliver_megabytes_max, 0
    )
    return model.ObsDescriptor(
        **fields.common(given_, retry_default=0),
        obs_bucket_path=fields.text("obs_bucket_path", given_.obs_bucket_path),
        file_prefix=fields.prefix_of("file_prefix", given_.file_prefix),
        partition_format=fields.one_of("partition_format", given_.partition_format, model.PARTITION_FORMATS),
        destination_file_type=fields.file_type(given_.destination_file_type, stream),
        record_delimiter=fields.record_delimiter(given_.record_delimiter),
        processing_schema=_processing_schema(fields, given(given_.processing_schema)),
        deliver_size_interval=size or None,
    )


def _processing_schema(
    fields: _Fields, schema: wire.ProcessingSchemaField | None
) -> model.ProcessingSchema | None:
    # Open Telekom Cloud's provider always sends one with empty texts (clients.md 9).
    if schema is None or not (schema.timestamp_name or schema.timestamp_type or schema.timestamp_format):
        return None
    kind = fields.one_of(
        "processing_schema.timestamp_type", schema.timestamp_type, tuple(model.TimestampType)
    )
    if not kind:
        raise fields.refuse("processing_schema.timestamp_type", "missing")
    form = fields.one_of(
        "processing_schema.timestamp_format", schema.timestamp_format, tuple(model.TIMESTAMP_FORMATS)
    )
    if kind == model.TimestampType.STRING and not form:
        raise fields.refuse("processing_schema.timestamp_format", "missing, and timestamp_type is String")
    return model.ProcessingSchema(
        timestamp_name=fields.text("processing_schema.timestamp_name", schema.timestamp_name),
        timestamp_type=model.TimestampType(kind),
        timestamp_format=form,
    )


def _dws(fields: _Fields, given_: wire.DwsDestinationDescriptor) -> model.DwsDescriptor:
    delimiter = fields.one_of("dws_delimiter", given_.dws_delimiter, model.DWS_DELIMITERS)
    if not delimiter:
        raise fields.refuse("dws_delimiter", "missing")
    return model.DwsDescriptor(
        **fields.common(given_),
        dws_cluster_name=fields.text("dws_cluster_name", given_.dws_cluster_name),
        dws_cluster_id=fields.text("dws_cluster_id", given_.dws_cluster_id),
        dws_database_name=fields.text("dws_database_name", given_.dws_database_name),
        dws_schema=fields.text("dws_schema", given_.dws_schema),
        dws_table_name=fields.text("dws_table_name", given_.dws_table_name),
        dws_delimiter=delimiter,
        user_name=fields.text("user_name", given_.user_name),
        kms_user_key_name=fields.text("kms_user_key_name", given_.kms_user_key_name),
        kms_user_key_id=fields.text("kms_user_key_id", given_.kms_user_key_id),
        obs_bucket_path=fields.text("obs_bucket_path", given_.obs_bucket_path),
        file_prefix=fields.prefix_of("file_prefix", given_.file_prefix),
        dws_table_columns=_table_columns(fields, given_.dws_table_columns),
        options=_options(fields, given(given_.options) or wire.OptionsField()),
    )


def _table_columns(fields: _Fields, value: str | None) -> str:
    text = fields.optional("dws_table_columns", value, 64 * fields.limits.task_text_length)
    columns = [column.strip() for column in text.split(",")] if text else []
    for column in columns:
        if not _IDENTIFIER.fullmatch(column):
            raise fields.refuse("dws_table_columns", f"{shown(column)!r} is not the name of a column")
    if len(set(columns)) != len(columns):
        raise fields.refuse("dws_table_columns", "names a column twice")
    return text


def _options(fields: _Fields, options: wire.OptionsField) -> model.DwsOptions:
    limit: int | None = None
    if options.reject_limit != model.UNLIMITED_REJECTS:
        limit = fields.number("options.reject_limit", options.reject_limit, 0, 2**31 - 1, 0)
    return model.DwsOptions(
        fill_missing_fields=fields.flag("options.fill_missing_fields", options.fill_missing_fields),
        ignore_extra_data=fields.flag("options.ignore_extra_data", options.ignore_extra_data),
        compatible_illegal_chars=fields.flag(
            "options.compatible_illegal_chars", options.compatible_illegal_chars
        ),
        reject_limit=limit,
        error_table_name=fields.optional("options.error_table_name", options.error_table_name),
    )


def _mrs(fields: _Fields, given_: wire.MrsDestinationDescriptor, stream: Stream) -> model.MrsDescriptor:
    folder = fields.optional(
        "hdfs_prefix_folder", given_.hdfs_prefix_folder, fields.limits.file_prefix_length
    )
    if not _FOLDER_PARTS.fullmatch(folder) or {".", ".."} & set(folder.split("/")):
        raise fields.refuse("hdfs_prefix_folder", "not a directory's name")
    return model.MrsDescriptor(
        **fields.common(given_),
        mrs_cluster_name=fields.text("mrs_cluster_name", given_.mrs_cluster_name),
        mrs_cluster_id=fields.text("mrs_cluster_id", given_.mrs_cluster_id),
        mrs_hdfs_path=fields.text("mrs_hdfs_path", given_.mrs_hdfs_path or given_.mrs_hdfs_patch),
        hdfs_prefix_folder=folder,
        obs_bucket_path=fields.text("obs_bucket_path", given_.obs_bucket_path),
        file_prefix=fields.prefix_of("file_prefix", given_.file_prefix),
        destination_file_type=fields.file_type(given_.destination_file_type, stream),
        record_delimiter=fields.record_delimiter(given_.record_delimiter),
    )


def _dli(fields: _Fields, given_: wire.DliDestinationDescriptor) -> model.DliDescriptor:
    return model.DliDescriptor(
        **fields.common(given_),
        dli_database_name=fields.text("dli_database_name", given_.dli_database_name),
        dli_table_name=fields.text("dli_table_name", given_.dli_table_name),
        obs_bucket_path=fields.text("obs_bucket_path", given_.obs_bucket_path),
        file_prefix=fields.prefix_of("file_prefix", given_.file_prefix),
    )


def _cloudtable(
    fields: _Fields, given_: wire.CloudtableDestinationDescriptor, stream: Stream
) -> model.CloudTableDescriptor:
    rows, points = given(given_.cloudtable_schema), given(given_.opentsdb_schema)
    if (rows is not None) == bool(points):
        raise fields.refuse(
            "cloudtable_schema",
            "opentsdb_schema is given too" if points else "missing, and opentsdb_schema is too",
        )
    table = fields.optional("cloudtable_table_name", given_.cloudtable_table_name)
    if rows is not None and not table:
        raise fields.refuse("cloudtable_table_name", "missing, and cloudtable_schema is given")
    path: Callable[[str], str] = fields.path
    return model.CloudTableDescriptor(
        **fields.common(given_),
        cloudtable_cluster_name=fields.text("cloudtable_cluster_name", given_.cloudtable_cluster_name),
        cloudtable_cluster_id=fields.text("cloudtable_cluster_id", given_.cloudtable_cluster_id),
        cloudtable_table_name=table,
        cloudtable_row_key_delimiter=fields.one_of(
            "cloudtable_row_key_delimiter",
            given_.cloudtable_row_key_delimiter,
            model.ROW_KEY_DELIMITERS,
            ".",
        ),
        obs_backup_bucket_path=fields.optional("obs_backup_bucket_path", given_.obs_backup_bucket_path),
        backup_file_prefix=fields.prefix_of("backup_file_prefix", given_.backup_file_prefix),
        cloudtable_schema=(
            None if rows is None else check_row_schema(path("cloudtable_schema"), rows, stream, fields.limits)
        ),
        opentsdb_schema=check_opentsdb(path("opentsdb_schema"), points or [], stream, fields.limits),
    )
