"""Rows as stored: a JSON document, the columns beside it and a checksum. Owns the encoding and the table of tables;
knows no database. Both stores share it, so a row of one is a row of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from crc32c import crc32c

from penstock.catalog.base import AccessKey, Damaged, Domain, Project, User
from penstock.model.streams import Stream

T = TypeVar("T", bound=msgspec.Struct)


class Table(NamedTuple, Generic[T]):
    """One table: `columns` are what `values` takes from a struct, the key first; the document and its checksum follow."""

    name: str
    kind: type[T]
    columns: tuple[str, ...]
    values: Callable[[T], tuple[str | int, ...]]

    @property
    def all_columns(self) -> str:
        """Every column, for SELECT and INSERT."""
        return ", ".join((*self.columns, "document", "checksum"))

    @property
    def marks(self) -> str:
        """As many `?` as there are columns."""
        return ", ".join("?" * (len(self.columns) + 2))

    def encode(self, value: T) -> tuple[str | int, ...]:
        """The row of `value`, in the order of `all_columns`."""
        values = self.values(value)
        document = msgspec.json.encode(value).decode()
        return (*values, document, checksum(self.name, str(values[0]), document))

    def decode(self, row: Sequence[Any]) -> T:
        """The struct of a row. Raises Damaged naming the row when anything about it does not agree."""
        *values, document, stored = row
        where = f"{self.name} row {values[0]!r}"
        if not isinstance(document, str) or checksum(self.name, str(values[0]), document) != stored:
            raise Damaged(f"{where} fails its checksum")
        try:
            value = msgspec.json.decode(document, type=self.kind)
        except msgspec.MsgspecError as error:
            raise Damaged(f"{where} cannot be read: {error}") from error
        if self.values(value) != tuple(values):
            raise Damaged(f"{where}: its columns and its document disagree")
        return value


def checksum(table: str, key: str, document: str) -> int:
    """CRC32C over the table's name, the key and the document: a row copied over another is noticed too."""
    return crc32c(f"{table}\0{key}\0{document}".encode("utf-8", "surrogatepass"))


STREAMS = Table(
    "streams",
    Stream,
    ("stream_id", "project_id", "name", "status", "stream_type", "active_partitions"),
    lambda s: (s.stream_id, s.project_id, s.name, str(s.status), str(s.stream_type), len(s.active)),
)
DOMAINS = Table("domains", Domain, ("domain_id", "name"), lambda d: (d.domain_id, d.name))
USERS = Table("users", User, ("user_id", "domain_id", "name"), lambda u: (u.user_id, u.domain_id, u.name))
PROJECTS = Table(
    "projects", Project, ("project_id", "domain_id", "name"), lambda p: (p.project_id, p.domain_id, p.name)
)
ACCESS_KEYS = Table("access_keys", AccessKey, ("access_key", "user_id"), lambda k: (k.access_key, k.user_id))

TABLES: tuple[Table[Any], ...] = (STREAMS, DOMAINS, USERS, PROJECTS, ACCESS_KEYS)


def encode_secret(name: str, secret: bytes) -> tuple[str, str, int]:
    """A row of `secrets`: name, document, checksum."""
    document = secret.hex()
    return name, document, checksum("secrets", name, document)


def decode_secret(row: Sequence[Any]) -> bytes:
    """The bytes of a row of `secrets`. Raises Damaged."""
    name, document, stored = row
    if not isinstance(document, str) or checksum("secrets", str(name), document) != stored:
        raise Damaged(f"secrets row {name!r} fails its checksum")
    return bytes.fromhex(document)
