"""Apps and their checkpoints (5.2, 5.3): what they are, what they may be called and say. Owns the types and the checks with
their errors; knows no storage and no wire.

A checkpoint is where an app goes on reading a partition. Clients differ in what they store: the Kafka adapter the number it
reads next, others the last one they read. Both are kept as given; nothing here compares one with an earlier one, so an app may
also go back.
"""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from penstock.errors import ApiError, invalid
from penstock.limits import SEQUENCE_MAX, Limits
from penstock.model.validation import shown

_APP_NAME = re.compile(r"[A-Za-z0-9_-]+")


class CheckpointType(StrEnum):
    """What a checkpoint records (5.3.1 table 5-56): the sequence number only."""

    LAST_READ = "LAST_READ"


class App(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A consumption app (5.2.1): a name under which checkpoints are kept."""

    app_id: str
    """20 characters of A-Z, a-z, 0-9: an app deleted and made again under its old name has another."""
    project_id: str
    name: str
    created_ms: int


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How far an app has read a partition (5.3.1)."""

    app_id: str
    stream_id: str
    partition_number: int
    checkpoint_type: CheckpointType
    sequence: int
    metadata: str
    committed_ms: int


def app_name(name: str, limits: Limits) -> str:
    """1 to 200 letters, digits, `_` and `-` (5.2.1 table 5-39)."""
    if not 1 <= len(name) <= limits.app_name_length or not _APP_NAME.fullmatch(name):
        raise invalid(
            "app_name", f"not 1 to {limits.app_name_length} letters, digits, underscores and hyphens"
        )
    return name


def checkpoint_type(text: str) -> CheckpointType:
    """LAST_READ; letter case counts."""
    try:
        return CheckpointType(text)
    except ValueError:
        raise invalid("checkpoint_type", f"{shown(text)} is not one of {', '.join(CheckpointType)}") from None


def metadata(text: str, limits: Limits) -> str:
    """At most 1,000 characters of anything (5.3.1 table 5-56)."""
    if len(text) > limits.checkpoint_metadata_length:
        raise invalid("metadata", f"{len(text)} characters, at most {limits.checkpoint_metadata_length}")
    return text


def sequence_number(text: str) -> int:
    """The number a client commits. DIS.4216 for what is none."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > SEQUENCE_MAX:
        raise ApiError("DIS.4216", f"[sequence_number: {shown(text)}]")
    return int(text)


def within_range(sequence: int, earliest: int, following: int) -> int:
    """`sequence`, if the partition has, had or will next have it: from 0 to the end of its range, which is what the Kafka adapter
    commits when it has read everything. Numbers of records that have expired stay valid: they were read in time. DIS.4224
    otherwise, in the form the Java SDK parses (clients.md section 5)."""
    if sequence > following:
        raise ApiError("DIS.4224", f"[{sequence}][ should be within ][{earliest}][ ][{following}]")
    return sequence


def lag(sequence: int | None, earliest: int, following: int) -> int:
    """Records from `sequence` on (without one, from the earliest on) that can still be read. It counts the record at `sequence`
    itself: whoever commits what was read last is one behind at best."""
    return max(0, following - max(earliest, sequence or 0))
