"""Formats of dump files: text, CSV, Parquet, Carbon. Owns which a task's descriptor means; one module each has the rest."""

from __future__ import annotations

from pathlib import Path

from penstock.dump.base import Format
from penstock.model.streams import Stream
from penstock.model.tasks import FileType


def make_format(kind: FileType, delimiter: str, stream: Stream, data: Path) -> Format:
    """What makes a task's files. `delimiter` is the descriptor's `record_delimiter`, which counts for text only; `data` is the server's
    data directory. Libraries are imported here, when the first task needs them."""
    if kind is FileType.TEXT:
        from penstock.dump.formats.text import TextFormat

        return TextFormat(delimiter)
    if kind is FileType.CSV:
        from penstock.dump.formats.csv import CsvFormat

        return CsvFormat(stream.data_schema)
    if kind is FileType.PARQUET:
        from penstock.dump.formats.parquet import ParquetFormat

        return ParquetFormat(stream.data_schema)
    from penstock.dump.formats.carbon import CarbonFormat

    return CarbonFormat(stream, data)
