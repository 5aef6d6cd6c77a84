"""One table of the catalog: how a struct becomes a row and back. Owns the encoding and its checksum; knows no database.

A row is the columns that keys, constraints and searches need, a JSON document that says everything (the columns too), and a
checksum over both. Stores share it, so a row of one is a row of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from crc32c import crc32c

from penstock.catalog.failures import Damaged

T = TypeVar("T", bound=msgspec.Struct)

Value = str | int


class Table(NamedTuple, Generic[T]):
    """`columns` are what `values` takes from a struct; the first `keys` of them are the primary key. Document and checksum
    follow."""

    name: str
    kind: type[T]
    columns: tuple[str, ...]
    values: Callable[[T], tuple[Value, ...]]
    keys: int = 1

    @property
    def all_columns(self) -> str:
        """Every column, for SELECT and INSERT."""
        return ", ".join((*self.columns, "document", "checksum"))

    @property
    def marks(self) -> str:
        """As many `?` as there are columns."""
        return ", ".join("?" * (len(self.columns) + 2))

    def encode(self, value: T) -> tuple[Value, ...]:
        """The row of `value`, in the order of `all_columns`."""
        values = self.values(value)
        document = msgspec.json.encode(value).decode()
        return (*values, document, checksum(self.name, self._key(values), document))

    def decode(self, row: Sequence[Any]) -> T:
        """The struct of a row. Raises Damaged naming the row when anything about it does not agree."""
        *values, document, stored = row
        key = self._key(values)
        where = f"{self.name} row {key!r}"
        if not isinstance(document, str) or checksum(self.name, key, document) != stored:
            raise Damaged(f"{where} fails its checksum")
        try:
            value = msgspec.json.decode(document, type=self.kind)
        except msgspec.MsgspecError as error:
            raise Damaged(f"{where} cannot be read: {error}") from error
        if self.values(value) != tuple(values):
            raise Damaged(f"{where}: its columns and its document disagree")
        return value

    def _key(self, values: Sequence[Any]) -> str:
        return "\0".join(map(str, values[: self.keys]))


def checksum(table: str, key: str, document: str) -> int:
    """CRC32C over the table's name, the key and the document: a row copied over another is noticed too."""
    return crc32c(f"{table}\0{key}\0{document}".encode("utf-8", "surrogatepass"))
