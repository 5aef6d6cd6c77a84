"""Filters by tags and names: each part alone and together (5.7.6 tables 5-159 and 5-160)."""

from __future__ import annotations

import pytest

from penstock.model.tag_filter import Condition, TagFilter

A = Condition("a", ("1", "2"))
B = Condition("b")

STREAMS = {
    "none": {},
    "a1": {"a": "1"},
    "a3": {"a": "3"},
    "b": {"b": ""},
    "a1b": {"a": "1", "b": "x"},
    "a3b": {"a": "3", "b": "x"},
}


def found(wanted: TagFilter) -> list[str]:
    return [name for name, tags in STREAMS.items() if wanted.lets_through(name, tags)]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (TagFilter(), ["none", "a1", "a3", "b", "a1b", "a3b"]),
        (TagFilter(tags=[A]), ["a1", "a1b"]),
        (TagFilter(tags=[B]), ["b", "a1b", "a3b"]),
        (TagFilter(tags=[A, B]), ["a1b"]),
        (TagFilter(tags_any=[A, B]), ["a1", "b", "a1b", "a3b"]),
        (TagFilter(not_tags=[A, B]), ["none", "a1", "a3", "b", "a3b"]),
        (TagFilter(not_tags=[A]), ["none", "a3", "b", "a3b"]),
        (TagFilter(not_tags_any=[A, B]), ["none", "a3"]),
        (TagFilter(tags=[B], not_tags=[A]), ["b", "a3b"]),
        (TagFilter(tags_any=[A, B], not_tags_any=[A]), ["b", "a3b"]),
        (TagFilter(tags=[A], tags_any=[B]), ["a1b"]),
        (TagFilter(name="a3"), ["a3", "a3b"]),
        (TagFilter(name="b", tags=[A]), ["a1b"]),
        (TagFilter(name="nothing"), []),
    ],
)
def test_parts(wanted: TagFilter, names: list[str]) -> None:
    assert found(wanted) == names


@pytest.mark.parametrize(
    ("wanted", "value", "holds"),
    [
        ("value1", "value1", True),
        ("value1", "value10", False),
        ("value1", "Value1", False),
        ("*value1", "value1", True),
        ("*value1", "my-value1-too", True),
        ("*value1", "value2", False),
        ("*", "", True),
        ("*", "anything", True),
        ("", "", True),
        ("", "anything", False),
    ],
)
def test_values(wanted: str, value: str, holds: bool) -> None:
    """`*value1` as in the example of 5.7.6."""
    assert Condition("k", (wanted,)).holds({"k": value}) is holds


def test_a_condition_needs_its_key() -> None:
    assert not Condition("k", ("*",)).holds({"other": "x"})
    assert not Condition("k").holds({})
