"""How far a table holds a task's records: one property of the table for each partition, written in the same commit as the rows. Owns
how they are named, written, read, and when they may go. Pure.

    penstock.<task_id>.<partition> = "<next sequence number> <passed over in that round> <yyyy-mm-dd>"

Properties of a table outlive its snapshots. One that was not written for longer than any stream keeps its records guards nothing: no
record that it speaks of can be delivered again. So it goes with a later commit, whichever task that is of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from penstock.dump.base import Chunk

KEPT = timedelta(days=30)
"""The longest retention is 7 days (limits.py); a task's plan is made when its records are still there."""
_NAME = re.compile(r"penstock\.[A-Za-z0-9]+\.[0-9]+")
_VALUE = re.compile(r"([0-9]+) ([0-9]+) ([0-9]{4}-[0-9]{2}-[0-9]{2})")


class Offset(NamedTuple):
    """Everything before `next_sequence` is in the table, or was passed over: `discarded` of the last round that was committed."""

    next_sequence: int
    discarded: int


def name(task_id: str, partition: int) -> str:
    """The property's name."""
    return f"penstock.{task_id}.{partition}"


def value(offset: Offset, created_ms: int) -> str:
    """The property's value; `created_ms` is when the round was planned."""
    return f"{offset.next_sequence} {offset.discarded} {_day(created_ms).isoformat()}"


def read(properties: Mapping[str, str], task_id: str, partition: int) -> Offset:
    """How far that partition is in the table. Raises ValueError when somebody wrote something else there."""
    text = properties.get(name(task_id, partition))
    if text is None:
        return Offset(0, 0)
    found = _VALUE.fullmatch(text)
    if found is None:
        raise ValueError(f"the table's property {name(task_id, partition)} is not one of ours")
    return Offset(int(found[1]), int(found[2]))


def outlived(properties: Mapping[str, str], created_ms: int) -> list[str]:
    """Properties that guard nothing any more."""
    last = _day(created_ms) - KEPT
    found = []
    for key, text in properties.items():
        written = _VALUE.fullmatch(text) if _NAME.fullmatch(key) else None
        if written is not None and date.fromisoformat(written[3]) < last:
            found.append(key)
    return found


def after(chunks: Iterable[Chunk], next_sequence: int) -> list[Chunk]:
    """What is left of these records from that sequence number on."""
    left = []
    for chunk in chunks:
        skip = max(0, next_sequence - chunk.base)
        if skip < len(chunk.data):
            keys = None if chunk.keys is None else chunk.keys[skip:]
            left.append(Chunk(chunk.base + skip, chunk.append_ms, keys, chunk.data[skip:]) if skip else chunk)
    return left


def _day(created_ms: int) -> date:
    return datetime.fromtimestamp(created_ms / 1000, UTC).date()
