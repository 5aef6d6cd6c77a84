"""Limits: the page users read says what the table says; profiles differ only where they may."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.limits import PROFILES, UNLIMITED, profile

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"


def flat(name: str) -> dict[str, Any]:
    """Limits of a profile by the names the page uses."""
    found: dict[str, Any] = {}
    for key, value in msgspec.to_builtins(PROFILES[name]).items():
        found |= (
            {f"{key}.{part}": number for part, number in value.items()}
            if isinstance(value, dict)
            else {key: value}
        )
    return found


def shown(value: float) -> str:
    return "unlimited" if value == UNLIMITED else f"{value:,}"


def test_the_page_lists_every_limit_with_its_values() -> None:
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    documented, relaxed = flat("documented"), flat("relaxed")
    assert rows == [(name, shown(value), shown(relaxed[name])) for name, value in documented.items()]


def test_relaxed_is_never_tighter_and_keeps_what_protects_memory() -> None:
    documented, relaxed = flat("documented"), flat("relaxed")
    assert all(relaxed[name] >= value for name, value in documented.items())
    for name in (
        "record_bytes",
        "partitions_per_stream",
        "bodies_in_flight_bytes",
        "replies_unread_bytes",
        "connections",
        "cursor_length",
    ):
        assert relaxed[name] == documented[name]


def test_single_limits_are_replaced() -> None:
    changed = profile("documented", {"partitions_common": 7, "common": {"write_records": 5}})
    assert (changed.partitions_common, changed.common.write_records) == (7, 5)
    assert changed.common.write_bytes == PROFILES["documented"].common.write_bytes


@pytest.mark.parametrize(
    "overrides",
    [{"nope": 1}, {"record_bytes": "1"}, {"record_bytes": 0}, {"record_bytes": -1}, {"common": {"nope": 1}}],
    ids=str,
)
def test_what_is_no_limit_is_refused_by_name(overrides: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\[limits\]"):
        profile("documented", overrides)
