"""Rules of CloudTable schemas (5.5.10 tables 5-119 to 5-126): which JSON attribute becomes what in HBase or OpenTSDB. Owns the
rules; everything wrong is DIS.4345 for HBase and DIS.4348 for OpenTSDB, naming the field's whole path.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from penstock.errors import ApiError
from penstock.limits import Limits
from penstock.model import tasks as model
from penstock.model.streams import Stream
from penstock.model.validation import shown
from penstock.service import task_types as wire

E = TypeVar("E", bound=StrEnum)

_NAME = re.compile(r"[A-Za-z0-9_]+")
_METRIC = re.compile(r"[A-Za-z0-9.]+")
_CONSTANT = "Constant"


def check_row_schema(
    path: str, schema: wire.CloudtableSchemaField, stream: Stream, limits: Limits
) -> model.CloudTableSchema:
    """An HBase schema. DIS.4345."""
    checks = _Checks("DIS.4345", path, limits, stream)
    row_key, columns = schema.row_key or [], schema.columns or []
    checks.count("row_key", len(row_key), limits.row_key_attributes)
    checks.count("columns", len(columns), limits.hbase_columns)
    keys = tuple(
        model.RowKey(
            checks.attribute(f"row_key[{i}].value", key.value),
            checks.member(f"row_key[{i}].type", key.type, model.AttributeType),
        )
        for i, key in enumerate(row_key)
    )
    checked = tuple(_column(checks, f"columns[{i}]", column) for i, column in enumerate(columns))
    seen: set[tuple[str, str]] = set()
    for i, column in enumerate(checked):
        name = (column.column_family_name, column.column_name)
        if name in seen:
            raise checks.refuse(f"columns[{i}].column_name", f"{':'.join(map(shown, name))} is used twice")
        seen.add(name)
    return model.CloudTableSchema(keys, checked)


def _column(checks: _Checks, where: str, column: wire.ColumnField) -> model.Column:
    return model.Column(
        column_family_name=checks.text(f"{where}.column_family_name", column.column_family_name),
        column_name=checks.name(f"{where}.column_name", column.column_name),
        value=checks.attribute(f"{where}.value", column.value),
        type=checks.member(f"{where}.type", column.type, model.AttributeType),
    )


def check_opentsdb(
    path: str, schemas: list[wire.OpenTSDBSchemaField], stream: Stream, limits: Limits
) -> tuple[model.OpenTsdbSchema, ...]:
    """OpenTSDB schemas. DIS.4348."""
    checks = _Checks("DIS.4348", path, limits, stream)
    if len(schemas) > limits.opentsdb_schemas:
        raise checks.refuse("", f"{len(schemas)} of them, at most {limits.opentsdb_schemas}")
    return tuple(_points(checks, f"[{i}]", schema) for i, schema in enumerate(schemas))


def _points(checks: _Checks, where: str, schema: wire.OpenTSDBSchemaField) -> model.OpenTsdbSchema:
    metrics, tags = schema.metric or [], schema.tags or []
    checks.count(f"{where}.metric", len(metrics), checks.limits.opentsdb_schemas)
    checks.count(f"{where}.tags", len(tags), checks.limits.opentsdb_schemas)
    time, value = schema.timestamp, schema.value
    if not isinstance(time, wire.OpenTSDBTimestampField):
        raise checks.refuse(f"{where}.timestamp", "missing")
    if not isinstance(value, wire.OpenTSDBValueField):
        raise checks.refuse(f"{where}.value", "missing")
    checked_tags = tuple(_tag(checks, f"{where}.tags[{i}]", tag) for i, tag in enumerate(tags))
    names = [tag.name for tag in checked_tags]
    if len(set(names)) != len(names):
        raise checks.refuse(f"{where}.tags", "a name is used twice")
    return model.OpenTsdbSchema(
        metric=tuple(_metric(checks, f"{where}.metric[{i}]", metric) for i, metric in enumerate(metrics)),
        timestamp=_timestamp(checks, f"{where}.timestamp", time),
        value=model.TsdbValue(
            checks.member(f"{where}.value.type", value.type, model.AttributeType),
            checks.name(f"{where}.value.value", value.value, attribute=True),
        ),
        tags=checked_tags,
    )


def _metric(checks: _Checks, where: str, metric: wire.OpenTSDBMetricField) -> model.Metric:
    kind = checks.one_of(f"{where}.type", metric.type, (_CONSTANT, "String"))
    return model.Metric(
        kind,
        checks.name(f"{where}.value", metric.value, _METRIC, "periods", attribute=kind != _CONSTANT),
    )


def _timestamp(checks: _Checks, where: str, time: wire.OpenTSDBTimestampField) -> model.TsdbTimestamp:
    kind = checks.member(f"{where}.type", time.type, model.TimestampType)
    form = ""
    if kind is model.TimestampType.STRING or time.format:
        form = checks.one_of(f"{where}.format", time.format, tuple(model.TIMESTAMP_FORMATS))
    return model.TsdbTimestamp(kind, checks.name(f"{where}.value", time.value, attribute=True), form)


def _tag(checks: _Checks, where: str, tag: wire.OpenTSDBTagField) -> model.TsdbTag:
    return model.TsdbTag(
        name=checks.name(f"{where}.name", tag.name),
        type=checks.member(f"{where}.type", tag.type, model.AttributeType),
        value=checks.name(f"{where}.value", tag.value, attribute=True),
    )


class _Checks:
    """Checks of single fields of one schema, all with the schema's own code."""

    def __init__(self, code: str, path: str, limits: Limits, stream: Stream) -> None:
        self.code = code
        self.path = path
        self.limits = limits
        self._attributes = _attributes(stream)

    def refuse(self, where: str, reason: str) -> ApiError:
        dot = "" if where.startswith("[") or not where else "."
        return ApiError(self.code, f"[{self.path}{dot}{where}: {reason}]")

    def count(self, where: str, number: int, most: int) -> None:
        if not 1 <= number <= most:
            raise self.refuse(where, f"{number} entries, not 1 to {most}" if number else "missing")

    def text(self, where: str, value: str | None) -> str:
        if not value:
            raise self.refuse(where, "missing")
        if len(value) > self.limits.task_text_length or not value.isprintable():
            raise self.refuse(
                where, f"longer than {self.limits.task_text_length} characters, or not printable"
            )
        return value

    def attribute(self, where: str, value: str | None) -> str:
        """A JSON attribute; one of the stream's schema, if it has one."""
        text = self.text(where, value)
        if self._attributes is not None and text.partition(".")[0] not in self._attributes:
            raise self.refuse(where, f"the stream's data_schema has no attribute {shown(text)}")
        return text

    def name(
        self,
        where: str,
        value: str | None,
        form: re.Pattern[str] = _NAME,
        signs: str = "underscores",
        *,
        attribute: bool = False,
    ) -> str:
        """1 to 32 letters, digits and a sign."""
        text = self.text(where, value)
        longest = self.limits.schema_name_length
        if len(text) > longest or not form.fullmatch(text):
            raise self.refuse(where, f"not 1 to {longest} letters, digits and {signs}")
        return self.attribute(where, text) if attribute else text

    def one_of(self, where: str, value: str | None, values: tuple[str, ...]) -> str:
        if not value:
            raise self.refuse(where, "missing")
        if value not in values:
            raise self.refuse(where, f"{shown(value)} is not one of {', '.join(values)}")
        return value

    def member(self, where: str, value: str | None, kind: type[E]) -> E:
        return kind(self.one_of(where, value, tuple(kind)))


def _attributes(stream: Stream) -> set[str] | None:
    """Names of the record that the stream's schema describes; None when it describes none."""
    if not stream.data_schema:
        return None
    schema: Any = msgspec.json.decode(stream.data_schema)
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return None
    return {str(field.get("name")) for field in schema.get("fields", ()) if isinstance(field, dict)}
