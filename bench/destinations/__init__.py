"""Where `bench.dumps` dumps to: one class for each line of its table."""

from __future__ import annotations

from bench.destinations.base import Destination
from bench.destinations.hadoop import HBaseRows, HdfsText, OpenTsdbPoints
from bench.destinations.obs import FolderParquet, FolderParquet1K, FolderText, FolderText1K, S3Parquet, S3Text
from bench.destinations.tables import IcebergTable, PostgresRows

ALL: tuple[type[Destination], ...] = (
    FolderText, FolderText1K, FolderParquet, FolderParquet1K, S3Text, S3Parquet, PostgresRows, IcebergTable, HdfsText,
    HBaseRows, OpenTsdbPoints,
)  # fmt: skip
