"""An Identity to test with: a catalog in memory with the identity tables, and accounts of known names and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from penstock.catalog.base import (
    AccessKey,
    Catalog,
    Change,
    Domain,
    Exists,
    Expect,
    Insert,
    Missing,
    Project,
    QuotaExceeded,
    Remove,
    Replace,
    User,
)
from penstock.catalog.rows import ACCESS_KEYS, DOMAINS, PROJECTS, USERS
from penstock.catalog.table import Table, Value
from penstock.clock import SteppedClock
from penstock.iam.identity import Identity
from penstock.iam.sealing import Sealer
from penstock.limits import PROFILES, Limits

MASTER_KEY = bytes(range(32))
PASSWORD = "correct horse, battery"


class MemoryCatalog:
    """What identity uses of catalog.base.Catalog. `writes_left` n makes the n-th write from now raise Crash (0: the next) before
    anything is written."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[tuple[Value, ...], Any]] = {}
        self._secrets: dict[str, bytes] = {}
        self.writes_left: int | None = None

    def _writing(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Crash
            self.writes_left -= 1

    async def apply(self, *changes: Change) -> int:
        self._writing()
        before = {name: dict(rows) for name, rows in self._rows.items()}
        try:
            return [self._apply(change) for change in changes][-1]
        except BaseException:
            self._rows = before
            raise

    def _apply(self, change: Change) -> int:
        table = change.table
        rows = self._rows.setdefault(table.name, {})
        if isinstance(change, Remove):
            gone = [key for key, row in rows.items() if _has(table, row, change.where)]
            for key in gone:
                del rows[key]
            return len(gone)
        values = table.values(change.value)
        key = values[: table.keys]
        if isinstance(change, Expect):
            if rows.get(key) != change.value:
                raise Missing(str(key))
            return 0
        if isinstance(change, Insert) and key in rows:
            raise Exists(str(key))
        if isinstance(change, Replace) and key not in rows:
            raise Missing(str(key))
        named = [c for c in ("domain_id", "name") if c in table.columns and "name" in table.columns]
        same: dict[str, Value] = {column: values[table.columns.index(column)] for column in named}
        if same and any(_has(table, row, same) for other, row in rows.items() if other != key):
            raise Exists(str(same))
        new = key not in rows
        rows[key] = change.value
        if new and not isinstance(change, Replace):
            for quota in change.quotas:
                if sum(_has(table, row, quota.where) for row in rows.values()) > quota.most:
                    raise QuotaExceeded(table.name)
        return 1

    async def select(self, table: Table[Any], **_: object) -> list[Any]:
        return [row for _key, row in sorted(self._rows.get(table.name, {}).items())]

    def replace_user(self, user: User) -> None:
        """Not of the interface: what another process did to a user."""
        self._apply(Replace(USERS, user))

    async def domains(self) -> list[Domain]:
        return await self.select(DOMAINS)

    async def users(self) -> list[User]:
        return await self.select(USERS)

    async def projects(self) -> list[Project]:
        return await self.select(PROJECTS)

    async def access_keys(self) -> list[AccessKey]:
        return await self.select(ACCESS_KEYS)

    async def secret(self, name: str, make: bytes) -> bytes:
        if name not in self._secrets:
            self._writing()
        return self._secrets.setdefault(name, make)


def _has(table: Table[Any], row: Any, where: Mapping[str, Value]) -> bool:
    values = dict(zip(table.columns, table.values(row), strict=True))
    return all(values[name] == value for name, value in where.items())


class Crash(Exception):
    """The process ended here."""


def as_catalog(catalog: MemoryCatalog) -> Catalog:
    """For signatures: identity uses nothing else of a catalog."""
    return cast(Catalog, catalog)


async def make_identity(
    *,
    clock: SteppedClock | None = None,
    limits: Limits = PROFILES["documented"],
    auth: bool = True,
    catalog: MemoryCatalog | None = None,
    master_key: bytes = MASTER_KEY,
) -> Identity:
    """Account `account1` with user `user1` (password PASSWORD), projects `pid` (named `region1`) and `pid-from-iam`
    (named `region2`), key AKEXAMPLE / SKEXAMPLE; account `account2` with user `user2`, project `pid2`, key AKOTHER /
    SKOTHER. Region `region1`."""
    identity = await Identity.open(
        as_catalog(catalog or MemoryCatalog()),
        Sealer({1: master_key}),
        clock or SteppedClock(),
        limits,
        auth=auth,
        region="region1",
    )
    if identity.domain(name="account1"):
        return identity
    domain = await identity.add_domain("account1")
    user = await identity.add_user(domain.domain_id, "user1", PASSWORD)
    await identity.add_project(domain.domain_id, "region1", "pid")
    await identity.add_project(domain.domain_id, "region2", "pid-from-iam")
    await identity.add_access_key(user.user_id, "AKEXAMPLE", "SKEXAMPLE")
    other = await identity.add_domain("account2")
    stranger = await identity.add_user(other.domain_id, "user2", PASSWORD)
    await identity.add_project(other.domain_id, "region1", "pid2")
    await identity.add_access_key(stranger.user_id, "AKOTHER", "SKOTHER")
    return identity
