"""`penstock lakehouse ...`: databases and tables of the Iceberg catalog in a data directory. Owns texts and how columns are written; no
server need run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import Transform, parse_transform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)
from sqlalchemy.exc import SQLAlchemyError

from penstock.cli import output
from penstock.cli.failure import CommandError
from penstock.destinations import Dli
from penstock.dump.destinations.dli import DATABASE, FOLDER
from penstock.dump.sinks import iceberg_upkeep
from penstock.dump.sinks.iceberg_catalog import embedded_catalog
from penstock.dump.sinks.iceberg_types import valid_name

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,254}")
_NAMES = "1 to 255 letters, digits, underscores and hyphens"
_REQUIRED = ":required"
_FIRST_PARTITION = 1000
"""Ids of partition fields begin here, says the table format."""
_PARTITION = re.compile(r"(year|month|day|hour)\((.+)\)|(bucket|truncate)\(([0-9]+),(.+)\)|([^()]+)")
_TYPES: dict[str, type[IcebergType]] = {
    "boolean": BooleanType,
    "int": IntegerType,
    "long": LongType,
    "float": FloatType,
    "double": DoubleType,
    "date": DateType,
    "time": TimeType,
    "timestamp": TimestampType,
    "timestamptz": TimestamptzType,
    "string": StringType,
    "uuid": UUIDType,
    "binary": BinaryType,
}
_TYPE = re.compile(r"(decimal)\((\d+), *(\d+)\)|(fixed)\[(\d+)\]|(list|map|struct)<(.*)>|([a-z]+)")


def create_database(data: Path, name: str) -> None:
    """Makes it; one that is there stays as it is."""
    _check_name(name)

    def work(catalog: Catalog) -> None:
        try:
            catalog.create_namespace((name,))
        except NamespaceAlreadyExistsError:
            pass

    _with_catalog(data, work)
    output.note(f"Database {name} is there. Make a table in it: penstock lakehouse table create {name}.TABLE")


def create_table(data: Path, name: str, columns: list[str], partitions: list[str]) -> None:
    """Makes it."""
    database, dot, table = name.partition(".")
    if not dot:
        raise CommandError(f"{name} names no database", "Write DATABASE.TABLE", status=2)
    _check_name(database)
    _check_name(table)
    schema = schema_of(columns)
    spec = spec_of(schema, partitions)

    def work(catalog: Catalog) -> None:
        try:
            catalog.create_table(
                (database, table), schema, partition_spec=spec, properties=iceberg_upkeep.defaults({})
            )
        except NoSuchNamespaceError as error:
            advice = f"Make it: penstock lakehouse database create {database}"
            raise CommandError(f"There is no database {database}", advice) from error
        except TableAlreadyExistsError as error:
            raise CommandError(f"There is a table {name} already") from error

    _with_catalog(data, work)
    output.note(
        f"Table {name} is there. Dump tasks can write to it now: dli_database_name {database}, dli_table_name {table}"
    )


def list_all(data: Path, *, as_json: bool) -> None:
    """One line for each table."""
    found: list[dict[str, Any]] = []

    def work(catalog: Catalog) -> None:
        for namespace in sorted(catalog.list_namespaces()):
            for identifier in sorted(catalog.list_tables(namespace)):
                table = catalog.load_table(identifier)
                found.append(
                    {
                        "database": ".".join(identifier[:-1]),
                        "table": identifier[-1],
                        "columns": [f"{field.name}:{field.field_type}" for field in table.schema().fields],
                        "changed": table.metadata.last_updated_ms,
                        "metadata": table.metadata_location.removeprefix("file://"),
                    }
                )

    if (data / FOLDER / DATABASE).is_file():
        _with_catalog(data, work)
    if as_json:
        for table in found:
            output.line(msgspec.json.encode(table))
    elif not found:
        output.note(
            "No tables yet. Create one: penstock lakehouse database create NAME, then table create NAME.TABLE"
        )
    else:
        rows = [
            (
                f"{one['database']}.{one['table']}",
                str(len(one["columns"])),
                output.time(one["changed"]),
                one["metadata"],
            )
            for one in found
        ]
        output.table(("TABLE", "COLUMNS", "CHANGED", "METADATA"), rows, right={1})
    output.flush()


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise CommandError(f"{name!r} cannot be the name of a database or table", _NAMES, status=2)


def _with_catalog(data: Path, work: Callable[[Catalog], None]) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with embedded_catalog(Dli(), data / FOLDER / DATABASE) as catalog:
            work(catalog)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or type(error).__name__
        raise CommandError(f"{data / FOLDER / DATABASE}: {cause}") from error
    except OSError as error:
        raise CommandError(f"{data / FOLDER}: {error.strerror or error}") from error


# Columns --------------------------------------------------------------------------------------------------------------


def schema_of(columns: list[str]) -> Schema:
    """Columns as `NAME:TYPE`, with `:required` after those that may not be null. Ids are counted as they come."""
    ids = itertools.count(1)
    fields: list[NestedField] = []
    for text in columns:
        name, colon, kind = text.partition(":")
        required = kind.endswith(_REQUIRED)
        if not colon or not valid_name(name) or any(name.lower() == other.name.lower() for other in fields):
            raise CommandError(
                f"--column {text}: not NAME:TYPE, or the name is taken or none for a column", status=2
            )
        try:
            found = type_of(kind.removesuffix(_REQUIRED), ids)
        except ValueError as error:
            advice = "boolean, int, long, float, double, decimal(9,2), date, time, timestamp, timestamptz, string,\n"
            advice += "uuid, fixed[16], binary, list<string>, map<string,long>, struct<name:string,age:int>"
            raise CommandError(f"--column {text}: {error}", advice, status=2) from error
        fields.append(NestedField(next(ids), name, found, required=required))
    return Schema(*fields)


def type_of(text: str, ids: Iterator[int]) -> IcebergType:
    """A type as Iceberg writes it. Raises ValueError."""
    text = text.strip()
    match = _TYPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text or 'nothing'} is no type")
    if match[1]:
        precision, scale = int(match[2]), int(match[3])
        if not 0 <= scale <= precision <= 38 or not precision:
            raise ValueError(f"{text}: precision is 1 to 38, and the scale not larger")
        return DecimalType(precision, scale)
    if match[4]:
        return FixedType(int(match[5]))
    if not match[6]:
        if text not in _TYPES:
            raise ValueError(f"{text} is no type")
        return _TYPES[text]()
    parts = list(_parts(match[7]))
    if match[6] == "list" and len(parts) == 1:
        return ListType(next(ids), type_of(parts[0], ids), element_required=False)
    if match[6] == "map" and len(parts) == 2:
        key = type_of(parts[0], ids)
        return MapType(next(ids), key, next(ids), type_of(parts[1], ids), value_required=False)
    if match[6] == "struct" and all(":" in part for part in parts):
        pairs = [part.partition(":") for part in parts]
        if len({name.strip() for name, _, _ in pairs}) == len(pairs) and all(
            valid_name(n.strip()) for n, _, _ in pairs
        ):
            return StructType(
                *(
                    NestedField(next(ids), n.strip(), type_of(kind, ids), required=False)
                    for n, _, kind in pairs
                )
            )
    raise ValueError(f"{text} is no type")


def _parts(text: str) -> Iterator[str]:
    """Split at the commas that are in no brackets."""
    depth, start = 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "<([") - (sign in ">)]")
        if sign == "," and not depth:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def spec_of(schema: Schema, partitions: list[str]) -> PartitionSpec:
    """How rows are kept apart."""
    fields: list[PartitionField] = []
    for number, text in enumerate(partitions, _FIRST_PARTITION):
        match = _PARTITION.fullmatch(text.replace(" ", ""))
        name = (match[2] or match[5] or match[6]) if match is not None else ""
        field = next((field for field in schema.fields if field.name == name), None)
        if match is None or field is None:
            raise CommandError(
                f"--partition {text}: not COLUMN, or day(COLUMN) or the like, of a --column", status=2
            )
        kind = match[1] or (f"{match[3]}[{match[4]}]" if match[3] else "identity")
        transform: Transform[Any, Any] = parse_transform(kind)
        if not transform.can_transform(field.field_type):
            raise CommandError(f"--partition {text}: not of a {field.field_type}", status=2)
        own = name if kind == "identity" else f"{name}_{match[1] or match[3]}"
        fields.append(PartitionField(field.field_id, number, transform, own))
    return PartitionSpec(*fields)
