"""Records by their own time (5.5.1 table 5-83, `processing_schema`). Owns which directory a record belongs to; makes no file."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo
from functools import lru_cache
from itertools import groupby
from typing import Any

from penstock.dump.base import Chunk, Reject
from penstock.dump.decoding import MISSING, attribute, json_text, moment, objects
from penstock.model.dumps import time_directory
from penstock.model.tasks import ProcessingSchema, TimestampType

_SHOWN = 40


def split(
    chunks: Iterable[Chunk], processing: ProcessingSchema, partition_format: str, zone: tzinfo
) -> tuple[dict[str, list[Chunk]], list[Reject]]:
    """Directory -> the records whose time falls there, in order, as chunks of consecutive ones; and the records without a time that
    can be read. Timestamps are shown in `zone`; Strings are local times already."""
    found: dict[str, list[Chunk]] = {}
    rejects: list[Reject] = []
    for chunk in chunks:
        rows, bad = objects([chunk])
        directories: list[str | None] = [None] * len(chunk.data)
        for row in rows:
            value = attribute(row.value, processing.timestamp_name)
            time = moment(value, processing.timestamp_type, processing.timestamp_format, zone)
            if time is None:
                bad.append(Reject(row.sequence, row.data, _reason(value, processing)))
            else:
                directories[row.sequence - chunk.base] = _directory(
                    partition_format, time.year, time.month, time.day, time.hour, time.minute
                )
        rejects += sorted(bad) if rows and bad else bad
        for directory, piece in _pieces(chunk, directories):
            found.setdefault(directory, []).append(piece)
    return found, rejects


@lru_cache(maxsize=1 << 16)
def _directory(partition_format: str, year: int, month: int, day: int, hour: int, minute: int) -> str:
    return time_directory(partition_format, datetime(year, month, day, hour, minute))


def _pieces(chunk: Chunk, directories: list[str | None]) -> Iterable[tuple[str, Chunk]]:
    """The chunk cut where the directory changes; what has none is left out."""
    if directories and directories[0] is not None and directories.count(directories[0]) == len(directories):
        yield directories[0], chunk
        return
    start = 0
    for directory, run in groupby(directories):
        end = start + sum(1 for _ in run)
        if directory is not None:
            keys = None if chunk.keys is None else chunk.keys[start:end]
            yield directory, Chunk(chunk.base + start, chunk.append_ms, keys, chunk.data[start:end])
        start = end


def _reason(value: Any, processing: ProcessingSchema) -> str:
    """Why a record has no time."""
    name = processing.timestamp_name
    if value is MISSING:
        return f"{name}: missing"
    wanted = (
        f"a time in the form {processing.timestamp_format}"
        if processing.timestamp_type is TimestampType.STRING
        else "a timestamp of 13 digits"
    )
    shown = repr(value[:_SHOWN]) if isinstance(value, str) else json_text(value)[:_SHOWN]
    return f"{name}: {shown} is not {wanted}"
