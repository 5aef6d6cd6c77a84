"""Which streams a filter by tags and name lets through (5.7.6 table 5-159). Pure: knows no requests and no storage.

A value that begins with `*` stands for every value that contains the rest, as in the reference's example; names match when they
contain the text. Letter case counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

ANY = "*"
"""What a value begins with that is looked for anywhere in a tag's value. No tag can hold it."""


class Condition(NamedTuple):
    """A key the stream must have, with one of the values; without `values` any will do (table 5-160)."""

    key: str
    values: tuple[str, ...] = ()

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether a stream with these tags meets it."""
        value = tags.get(self.key)
        if value is None:
            return False
        return not self.values or any(
            wanted[1:] in value if wanted.startswith(ANY) else wanted == value for wanted in self.values
        )


class TagFilter(NamedTuple):
    """All parts that are given must let a stream through; an empty one says nothing."""

    tags: Sequence[Condition] = ()
    """All of these hold."""
    tags_any: Sequence[Condition] = ()
    """At least one of these holds."""
    not_tags: Sequence[Condition] = ()
    """Not all of these hold."""
    not_tags_any: Sequence[Condition] = ()
    """None of these holds."""
    name: str = ""
    """The name contains it."""

    def lets_through(self, name: str, tags: Mapping[str, str]) -> bool:
        """Whether a stream of that name with these tags is among the results."""
        return (
            self.name in name
            and all(condition.holds(tags) for condition in self.tags)
            and (not self.tags_any or any(condition.holds(tags) for condition in self.tags_any))
            and (not self.not_tags or not all(condition.holds(tags) for condition in self.not_tags))
            and not any(condition.holds(tags) for condition in self.not_tags_any)
        )
