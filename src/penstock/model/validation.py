"""What a stream may be called, tagged and made of (5.1.1 tables 5-3 to 5-6). Owns the checks and their errors; knows no
storage and no wire: values come typed, absent ones as None.

A value out of range is DIS.4200 naming the field; what has a code of its own has that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

from penstock.errors import ApiError, invalid
from penstock.limits import Limits
from penstock.model.routing import parse_partition_id
from penstock.model.streams import ENTERPRISE_PROJECT_KEY, StreamType, Tag

E = TypeVar("E", bound=StrEnum)

COMPRESSION_FORMATS = ("snappy", "gzip", "zip")

_STREAM_NAME = re.compile(r"[A-Za-z0-9_-]+")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# Two documents list what a tag may hold: letters, digits, `-`, `_` and CJK, or anything but these signs. The second
# includes the first. Control characters are in neither.
_NOT_IN_TAGS = re.compile(r"[=*<>\\,|/\x00-\x1f\x7f]")


def stream_name(name: str, limits: Limits) -> str:
    """1 to 64 letters, digits, `_` and `-`."""
    if not 1 <= len(name) <= limits.stream_name_length or not _STREAM_NAME.fullmatch(name):
        raise invalid(
            "stream_name", f"not 1 to {limits.stream_name_length} letters, digits, underscores and hyphens"
        )
    return name


def within(field: str, value: int, low: int, high: int) -> int:
    """`value`, if it is from `low` to `high`."""
    if not low <= value <= high:
        raise invalid(field, f"{shown(value)} is outside {low} to {high}")
    return value


def member(field: str, value: str, kind: type[E]) -> E:
    """The member of an enumeration; letter case counts."""
    try:
        return kind(value)
    except ValueError:
        raise invalid(field, f"not one of {', '.join(kind)}") from None


def compression_format(value: str) -> str:
    """snappy, gzip or zip."""
    if value not in COMPRESSION_FORMATS:
        raise invalid("compression_format", f"not one of {', '.join(COMPRESSION_FORMATS)}")
    return value


def csv_delimiter(value: str, limits: Limits) -> str:
    """Any text that is not too long."""
    if len(value) > limits.csv_delimiter_length:
        raise invalid("csv_properties.delimiter", f"longer than {limits.csv_delimiter_length} characters")
    return value


def partition_quota(stream_type: StreamType, limits: Limits) -> int:
    """ACTIVE partitions a project may have in streams of one type."""
    return limits.partitions_advanced if stream_type is StreamType.ADVANCED else limits.partitions_common


def auto_scale_bounds(
    minimum: int | None, maximum: int | None, stream_type: StreamType, limits: Limits
) -> tuple[int, int]:
    """Bounds of automatic scaling. Left out: 1, and as many partitions as one stream can have within its quota."""
    highest = min(partition_quota(stream_type, limits), limits.partitions_per_stream)
    low = 1 if minimum is None else within("auto_scale_min_partition_count", minimum, 1, highest)
    if maximum is None:
        return low, highest
    high = within("auto_scale_max_partition_count", maximum, 1, highest)
    if high < low:
        raise invalid(
            "auto_scale_max_partition_count", f"{high} is less than auto_scale_min_partition_count, {low}"
        )
    return low, high


def tags(values: Sequence[Tag], limits: Limits, field: str = "tags") -> tuple[Tag, ...]:
    """Up to 10 tags (DIS.4601) with different keys of 1 to 36 characters and values of up to 43."""
    if len(values) > limits.tag_count:
        raise ApiError("DIS.4601", f"[{len(values)} tags, at most {limits.tag_count}]")
    seen: set[str] = set()
    for index, tag in enumerate(values):
        where = f"{field}[{index}]"
        tag_text(f"{where}.key", tag.key, 1, limits.tag_key_length)
        tag_text(f"{where}.value", tag.value, 0, limits.tag_value_length)
        if tag.key in seen:
            raise invalid(f"{where}.key", "used twice")
        seen.add(tag.key)
    return tuple(values)


def tag_text(field: str, text: str, shortest: int, longest: int) -> str:
    """The key or the value of a tag."""
    if not shortest <= len(text) <= longest:
        raise invalid(field, f"{len(text)} characters, not {shortest} to {longest}")
    if text != text.strip(" "):
        raise invalid(field, "begins or ends with a space")
    if _NOT_IN_TAGS.search(text):
        raise invalid(field, "holds a control character or one of = * < > \\ , | /")
    return text


def sys_tags(values: Sequence[Tag]) -> tuple[Tag, ...]:
    """The enterprise project: one tag with that key and a UUID, or "0" for the default one."""
    for index, tag in enumerate(values):
        where = f"sys_tags[{index}]"
        if tag.key != ENTERPRISE_PROJECT_KEY:
            raise invalid(f"{where}.key", f"not {ENTERPRISE_PROJECT_KEY}")
        if tag.value != "0" and not _UUID.fullmatch(tag.value):
            raise invalid(f"{where}.value", "neither an enterprise project's UUID nor 0")
        if index:
            raise invalid(f"{where}.key", "used twice")
    return tuple(values)


def partition_number(text: str) -> int:
    """The number in a partition's id. DIS.4201 naming what is none."""
    number = parse_partition_id(text)
    if number is None:
        raise ApiError("DIS.4201", f"[{shown(text)}]")
    return number


def shown(value: object, longest: int = 80) -> str:
    """A client's value for a message, cut."""
    text = str(value)
    return text if len(text) <= longest else f"{text[:longest]}..."
