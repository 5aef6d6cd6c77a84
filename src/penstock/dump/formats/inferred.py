"""Records without a schema: their columns are found by looking at all records of a file. Owns what the attributes of a file become;
knows no file format.

The same records give the same columns, whatever their order, sorted by name, all nullable:

- whole numbers: int64; with fractions among them: double, when each of them is exact in one; true and false: boolean; text: string;
- objects: a struct of all their attributes; lists: a list of what all their items are;
- anything else (kinds mixed, numbers too large, objects without or with too many attributes, too deep): a string, with texts as they
  are and everything else as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from operator import methodcaller
from typing import Any

import pyarrow as pa

from penstock.dump.decoding import json_text
from penstock.dump.formats.avro import VALUE
from penstock.dump.formats.columns import Column, Leaf, ListColumn, Parts, StructColumn

MOST_ATTRIBUTES = 1000
"""Objects with more, counted over a file, are JSON text: their attributes are data and no columns."""
DEEPEST = 16
"""What is nested deeper is JSON text."""
_LONG = range(-(1 << 63), 1 << 63)
_EXACT_IN_DOUBLE = range(-(1 << 53), (1 << 53) + 1)


class Seen:
    """What one attribute has been, in all records so far."""

    def __init__(self, depth: int = 0) -> None:
        self.depth = depth
        self.types: set[type] = set()
        self.low = 0
        self.high = 0
        self.items: Seen | None = None
        self.attributes: dict[str, Seen] = {}
        self.text = False
        """It can only be a string any more."""

    def add(self, values: Sequence[Any]) -> None:
        """Look at more of them."""
        types = set(map(type, values)) - {type(None)}
        self.types |= types
        self.text = self.text or self.depth > DEEPEST or not self._uniform
        if self.text or not types:
            return
        if int in types:
            numbers = [value for value in values if type(value) is int]
            numbers += (self.low, self.high)
            self.low, self.high = min(numbers), max(numbers)
        elif list in types:
            self.items = self.items or Seen(self.depth + 1)
            self.items.add(list(chain.from_iterable(filter(None, values))))
        elif dict in types:
            self._add_objects(list(filter(None, values)))

    def _add_objects(self, objects: list[dict[str, Any]]) -> None:
        names = set().union(*objects)
        if len(names | self.attributes.keys()) > MOST_ATTRIBUTES:
            self.text = True
            self.attributes.clear()
            return
        for name in names:
            seen = self.attributes.setdefault(name, Seen(self.depth + 1))
            seen.add(list(map(methodcaller("get", name), objects)))

    @property
    def _uniform(self) -> bool:
        return len(self.types) <= 1 or self.types == {int, float}

    def column(self) -> Column:
        """The column that takes all of it."""
        if not self.text:
            if self.types == {bool}:
                return Leaf(pa.bool_(), True, None)
            if self.types == {int} and self.low in _LONG and self.high in _LONG:
                return Leaf(pa.int64(), True, None)
            if float in self.types and self.low in _EXACT_IN_DOUBLE and self.high in _EXACT_IN_DOUBLE:
                return Leaf(pa.float64(), True, None)
            if self.types == {list}:
                assert self.items is not None
                return ListColumn(self.items.column(), True)
            if self.types == {dict} and self.attributes:
                return StructColumn(self.parts(), True, {})
        plain = self.types <= {str}
        return Leaf(pa.string(), True, None, None if plain else json_text)

    def parts(self) -> Parts:
        """The attributes of objects."""
        return Parts(
            (name, self.attributes[name].column(), methodcaller("get", name))
            for name in sorted(self.attributes)
        )


class InferredRecords:
    """Finds the columns of a file in two goes: `add` all records, then make tables of them."""

    def __init__(self) -> None:
        self._seen = Seen()

    def add(self, values: list[dict[str, Any]]) -> None:
        """Look at records of the file."""
        self._seen.add(values)

    @cached_property
    def parts(self) -> Parts:
        """The columns. Without any, or with too many attributes, there is one: VALUE, the record as JSON."""
        column = self._seen.column()
        return (
            column.parts
            if isinstance(column, StructColumn)
            else Parts([(VALUE, column, lambda value: value)])
        )

    def table(self, values: list[dict[str, Any]]) -> Any:
        """A table of records that have been added; no more can be."""
        return pa.Table.from_arrays(self.parts.arrays(values), schema=pa.schema(self.parts.fields))
