"""An Identity to test with: a catalog in memory with the identity tables, and accounts of known names and keys."""

from __future__ import annotations

from typing import cast

from penstock.catalog.base import AccessKey, Catalog, Domain, Exists, Project, QuotaExceeded, User
from penstock.clock import SteppedClock
from penstock.iam.identity import Identity
from penstock.iam.sealing import Sealer
from penstock.limits import PROFILES, Limits

MASTER_KEY = bytes(range(32))
PASSWORD = "correct horse, battery"


class MemoryCatalog:
    """The identity half of catalog.base.Catalog. `crash_after` makes the n-th write from now raise Crash after it
    is done (0: before anything is written)."""

    def __init__(self) -> None:
        self._domains: list[Domain] = []
        self._users: list[User] = []
        self._projects: list[Project] = []
        self._keys: list[AccessKey] = []
        self._secrets: dict[str, bytes] = {}
        self.writes_left: int | None = None

    def _writing(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Crash
            self.writes_left -= 1

    async def insert_domain(self, domain: Domain) -> None:
        self._writing()
        if any(domain.domain_id == row.domain_id or domain.name == row.name for row in self._domains):
            raise Exists(domain.name)
        self._domains.append(domain)

    async def insert_user(self, user: User) -> None:
        self._writing()
        if any((user.domain_id, user.name) == (row.domain_id, row.name) for row in self._users):
            raise Exists(user.name)
        self._users.append(user)

    async def insert_project(self, project: Project) -> None:
        self._writing()
        for row in self._projects:
            if project.project_id == row.project_id:
                raise Exists(project.project_id)
            if (project.domain_id, project.name) == (row.domain_id, row.name):
                raise Exists(project.name)
        self._projects.append(project)

    async def insert_access_key(self, key: AccessKey, per_user: int) -> None:
        self._writing()
        if any(key.access_key == row.access_key for row in self._keys):
            raise Exists(key.access_key)
        if sum(key.user_id == row.user_id for row in self._keys) >= per_user:
            raise QuotaExceeded
        self._keys.append(key)

    def replace_user(self, user: User) -> None:
        """Not of the interface: what another process did to a user."""
        self._users = [user if row.user_id == user.user_id else row for row in self._users]

    async def domains(self) -> list[Domain]:
        return list(self._domains)

    async def users(self) -> list[User]:
        return list(self._users)

    async def projects(self) -> list[Project]:
        return list(self._projects)

    async def access_keys(self) -> list[AccessKey]:
        return list(self._keys)

    async def secret(self, name: str, make: bytes) -> bytes:
        if name not in self._secrets:
            self._writing()
        return self._secrets.setdefault(name, make)


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
