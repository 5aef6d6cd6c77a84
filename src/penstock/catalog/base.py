"""Catalog: the interface of the metadata store and the rows that cross it.

Owns the contract (tests/conformance/test_catalog.py holds it, each store passes it). Knows no HTTP, no log, no secrets in clear:
what is sealed arrives sealed. Every call is atomic and durable when it returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from penstock.catalog.failures import CatalogError, Damaged, Exists, Missing, QuotaExceeded, TooNew
from penstock.catalog.table import Table, Value
from penstock.model.streams import Stream, StreamStatus, StreamType

__all__ = [
    "CatalogError",
    "Damaged",
    "Exists",
    "Missing",
    "QuotaExceeded",
    "TooNew",
]  # and what is defined here

T = TypeVar("T", bound=msgspec.Struct)


class Quota(NamedTuple):
    """At most `most` rows of the table may have these values in these columns, the row being written among them."""

    where: Mapping[str, Value]
    most: int


class Insert(NamedTuple):
    """Write a row that must be new: Exists, QuotaExceeded otherwise; CatalogError when what it refers to is missing."""

    table: Table[Any]
    value: msgspec.Struct
    quotas: tuple[Quota, ...] = ()


class Put(NamedTuple):
    """Write a row, over the one with its key if there is one; QuotaExceeded only counts when it is new."""

    table: Table[Any]
    value: msgspec.Struct
    quotas: tuple[Quota, ...] = ()


class Replace(NamedTuple):
    """Write a new state of a row that must exist: Missing otherwise."""

    table: Table[Any]
    value: msgspec.Struct


class Remove(NamedTuple):
    """Remove every row with these values in these columns, and what refers to it where the schema says so."""

    table: Table[Any]
    where: Mapping[str, Value]


class Expect(NamedTuple):
    """Change nothing: the row with the key of `value` must be exactly `value`, Missing otherwise. What comes with it then happens only
    if nobody else was quicker."""

    table: Table[Any]
    value: msgspec.Struct


Change = Insert | Put | Replace | Remove | Expect


class StreamQuota(NamedTuple):
    """Checked in the same transaction as the insert. Counts are per project; TERMINATING streams count no more."""

    streams: int
    partitions: dict[StreamType, int]


class Domain(msgspec.Struct, frozen=True):
    """An account. `owner_id` is the user who may do everything in it; empty until it has a user. `operator` is the account of the
    first start, whose owner makes others; `furnished` says that it has been given its default agency, which may be gone since."""

    domain_id: str
    name: str
    owner_id: str = ""
    operator: bool = False
    furnished: bool = False


class User(msgspec.Struct, frozen=True):
    """An IAM user of an account. `password_hash` is argon2; empty: no password opens it. `epoch` counts what ends all tokens of
    the user (a new password, being disabled): a token says at which count it was made."""

    user_id: str
    domain_id: str
    name: str
    password_hash: str
    enabled: bool = True
    epoch: int = 0
    description: str = ""
    email: str = ""
    phone: str = ""
    area_code: str = ""
    access_mode: str = "default"
    """`default`, `programmatic` or `console`: what the IAM API keeps and shows; both ways in are open to all."""
    must_change: bool = False
    """Whether the password was given by another (the IAM API's pwd_status)."""
    xuser_id: str = ""
    xuser_type: str = ""
    created_ms: int = 0
    password_ms: int = 0
    """When the password was set."""


class Project(msgspec.Struct, frozen=True):
    """A project of an account: what isolates streams."""

    project_id: str
    domain_id: str
    name: str
    description: str = ""
    enabled: bool = True
    created_ms: int = 0


class AccessKey(msgspec.Struct, frozen=True):
    """An access key pair; the secret is sealed with the id as associated data."""

    access_key: str
    user_id: str
    sealed_secret: bytes
    created_ms: int
    enabled: bool = True
    description: str = ""


class Catalog(Protocol):
    """Calls are made on the event loop that opened it."""

    async def insert_stream(self, stream: Stream, quota: StreamQuota) -> None:
        """Raises Exists when project and name are taken (by a stream of any status), QuotaExceeded."""

    async def replace_stream(self, stream: Stream, *also: Change, partition_quota: int | None = None) -> None:
        """Write a new state of a stream that exists (by `stream_id`), and with it what is `also` to change. Raises
        CatalogError when there is none, QuotaExceeded when its project would have more than `partition_quota` ACTIVE
        partitions of its type."""

    async def remove_stream(self, stream_id: str) -> None:
        """Forget a stream; no error when there is none."""

    async def stream_by_name(self, project_id: str, name: str) -> Stream | None:
        """Raises Damaged."""

    async def stream_by_id(self, stream_id: str) -> Stream | None:
        """Raises Damaged."""

    async def list_streams(self, project_id: str, after: str, limit: int) -> list[Stream]:
        """Up to `limit` streams of a project with names greater than `after`, ordered by name (code points)."""

    async def count_streams(self, project_id: str) -> int:
        """How many streams a project has, of any status."""

    async def count_partitions(self, project_id: str, stream_type: StreamType) -> int:
        """ACTIVE partitions of a project's streams of one type that are not TERMINATING."""

    async def streams_in(self, status: StreamStatus | None = None) -> list[Stream]:
        """All streams of all projects, or those in one status. Damaged rows are left out; `check` names them."""

    async def stream_ids(self) -> list[str]:
        """The id of every stream row, of damaged ones too: who removes what no stream owns must ask this."""

    async def insert_domain(self, domain: Domain) -> None:
        """Raises Exists when the id or the name is taken."""

    async def insert_user(self, user: User) -> None:
        """Raises Exists when the id is taken, or the name within the domain; CatalogError without the domain."""

    async def insert_project(self, project: Project) -> None:
        """Raises Exists when the id is taken, or the name within the domain; CatalogError without the domain."""

    async def insert_access_key(self, key: AccessKey, per_user: int) -> None:
        """Raises Exists when the id is taken, QuotaExceeded when the user has `per_user` already, CatalogError
        without the user."""

    async def domains(self) -> Sequence[Domain]:
        """All of them; this and its three siblings leave damaged rows out (`check` names them)."""

    async def users(self) -> Sequence[User]: ...

    async def projects(self) -> Sequence[Project]: ...

    async def access_keys(self) -> Sequence[AccessKey]: ...

    async def secret(self, name: str, make: bytes) -> bytes:
        """The stored (sealed) secret `name`; `make` is stored first when there is none. Raises Damaged."""

    # Any table (catalog/table.py). Columns named in `where` must be columns of the table.

    async def apply(self, *changes: Change) -> int:
        """All of the changes or, when one raises, none; how many rows the last one touched. Calls made at the same time share one
        sync of the disk."""

    async def find(self, table: Table[T], **where: Value) -> T | None:
        """The row with these values. Raises Damaged."""

    async def select(
        self,
        table: Table[T],
        where: Mapping[str, Value] | None = None,
        *,
        order: str = "",
        after: Value | None = None,
        limit: int | None = None,
        descending: bool = False,
    ) -> list[T]:
        """Rows with these values, ordered by column `order` (the first one by default), beyond `after` in it. Damaged rows are left
        out; `check` names them."""

    async def count(self, table: Table[Any], **where: Value) -> int:
        """How many rows have these values."""

    async def distinct(self, table: Table[Any], *columns: str) -> list[tuple[Value, ...]]:
        """What rows have in these columns, each combination once, those of damaged rows too."""

    async def check(self) -> list[str]:
        """What is wrong with the stored data, one sentence each (for `penstock doctor` and health)."""

    async def close(self) -> None: ...
