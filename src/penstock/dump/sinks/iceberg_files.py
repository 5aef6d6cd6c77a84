"""Data files of Iceberg tables: rows split by the table's partitions, written as Parquet, described for a commit. Owns these; knows no
records and no round. Everything here blocks.

The library's own way to write files brings rows into the table's schema first, and on the way turns lists and maps that are null into
empty ones. Rows have the schema already when they come here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    ParquetFormatWriter,
    _determine_partitions,
    bin_pack_arrow_table,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionKey
from pyiceberg.schema import Schema, sanitize_column_names
from pyiceberg.table import TableProperties
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record
from pyiceberg.utils.properties import property_as_int


def arrow_schema(schema: Schema) -> pa.Schema:
    """What rows must be: the types of the files, in which names of columns of columns are written as files have them, under the
    names that the table's columns have."""
    written = schema_to_pyarrow(sanitize_column_names(schema))
    return pa.schema([field.with_name(own.name) for field, own in zip(written, schema.fields, strict=True)])


def write(io: FileIO, metadata: TableMetadata, rows: pa.Table) -> list[DataFile]:
    """Write rows of `arrow_schema` as new files that nothing refers to yet."""
    schema = metadata.schema()
    file_schema = sanitize_column_names(schema)
    written = schema_to_pyarrow(file_schema)
    places = load_location_provider(metadata.location, metadata.properties)
    name = uuid.uuid4()
    files = []
    for number, (key, part) in enumerate(_parts(metadata, rows)):
        path = places.new_data_location(f"{number:05}-{name}.parquet", key)
        output = io.new_output(path)
        writer = ParquetFormatWriter(output, file_schema, metadata.properties)
        with writer:
            writer.write(pa.Table.from_arrays(part.columns, schema=written))
        files.append(
            DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=path,
                file_format=FileFormat.PARQUET,
                partition=key.partition if key is not None else Record(),
                file_size_in_bytes=len(output),
                sort_order_id=None,
                spec_id=metadata.default_spec_id,
                equality_ids=None,
                key_metadata=None,
                **writer.result().to_serialized_dict(),
            )
        )
    return files


def _parts(metadata: TableMetadata, rows: pa.Table) -> Iterator[tuple[PartitionKey | None, pa.Table]]:
    """What goes into one file each."""
    size = property_as_int(
        metadata.properties,
        TableProperties.WRITE_TARGET_FILE_SIZE_BYTES,
        TableProperties.WRITE_TARGET_FILE_SIZE_BYTES_DEFAULT,
    )
    assert size is not None
    spec = metadata.spec()
    parts: list[tuple[PartitionKey | None, pa.Table]] = [(None, rows)]
    if not spec.is_unpartitioned():
        found = _determine_partitions(spec=spec, schema=metadata.schema(), arrow_table=rows)
        parts = [(part.partition_key, part.arrow_table_partition) for part in found]
    for key, part in parts:
        for batches in bin_pack_arrow_table(part, size):
            yield key, pa.Table.from_batches(batches)
