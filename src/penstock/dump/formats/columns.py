"""Values into columns: one Arrow array for each attribute of many records, with whole lists and in C wherever that goes. Owns how lists,
maps and objects become arrays; knows no schema language and no file.

Where a column is not nullable, an object around it that is null has `zero` in its place: the column itself never holds a null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from types import SimpleNamespace
from typing import Any, Protocol

import pyarrow as pa

Getter = Callable[[Any], Any]


class Column(Protocol):
    """Makes arrays of one type."""

    @property
    def type(self) -> Any: ...
    @property
    def nullable(self) -> bool: ...
    @property
    def zero(self) -> Any: ...
    def array(self, values: list[Any]) -> Any:
        """An array as long as `values`, each of which fits; None is null."""


@dataclass(frozen=True)
class Leaf:
    """Values without parts; `convert` is called for those that are not null."""

    type: Any
    nullable: bool
    zero: Any
    convert: Callable[[Any], Any] | None = None

    def array(self, values: list[Any]) -> Any:
        if self.convert is not None:
            convert = self.convert
            values = [None if value is None else convert(value) for value in values]
        return pa.array(values, self.type)


class ListColumn:
    """Lists of values of one type."""

    zero: Sequence[Any] = ()

    def __init__(self, items: Column, nullable: bool) -> None:
        self.items = items
        self.nullable = nullable
        self.type = pa.list_(pa.field("element", items.type, items.nullable))

    def array(self, values: list[Any]) -> Any:
        flat = list(chain.from_iterable(filter(None, values)))
        return pa.ListArray.from_arrays(_offsets(values), self.items.array(flat), type=self.type)


class MapColumn:
    """Objects with values of one type."""

    zero: Any = {}  # noqa: RUF012 - nobody writes to it

    def __init__(self, items: Column, nullable: bool) -> None:
        self.items = items
        self.nullable = nullable
        self.type = pa.map_(pa.string(), pa.field("value", items.type, items.nullable))

    def array(self, values: list[Any]) -> Any:
        maps = [value for value in values if value]
        keys = pa.array(list(chain.from_iterable(maps)), pa.string())
        items = self.items.array(list(chain.from_iterable(value.values() for value in maps)))
        return pa.MapArray.from_arrays(_offsets(values), keys, items, type=self.type)


class Parts:
    """What objects are taken apart into: a name, a column and how to get the value for each part."""

    def __init__(self, parts: Iterable[tuple[str, Column, Getter]]) -> None:
        self._parts = list(parts)
        self.fields = [pa.field(name, column.type, column.nullable) for name, column, _ in self._parts]

    def arrays(self, values: Sequence[Any]) -> list[Any]:
        """One for each part; no value is null."""
        return [column.array(list(map(getter, values))) for _, column, getter in self._parts]


class StructColumn:
    """Objects with known parts. `zero` is one whose parts are all zero."""

    def __init__(self, parts: Parts, nullable: bool, zero: Any) -> None:
        self.parts = parts
        self.nullable = nullable
        self.zero = zero
        self.type = pa.struct(parts.fields)

    def array(self, values: list[Any]) -> Any:
        nulls = [value is None for value in values]
        mask = None
        if any(nulls):
            mask = pa.array(nulls)
            values = [self.zero if value is None else value for value in values]
        return pa.StructArray.from_arrays(self.parts.arrays(values), fields=self.parts.fields, mask=mask)


def zero_object(zeros: dict[str, Any]) -> Any:
    """Something with these attributes."""
    return SimpleNamespace(**zeros)


def _offsets(values: list[Any]) -> Any:
    """Where each value's items begin, and the end of the last; null for a null."""
    offsets: list[int | None] = []
    end = 0
    for value in values:
        if value is None:
            offsets.append(None)
        else:
            offsets.append(end)
            end += len(value)
    offsets.append(end)
    return pa.array(offsets, pa.int32())
