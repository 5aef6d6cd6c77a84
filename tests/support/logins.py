"""More accounts and users for a server's data, made while it does not run, and clients that speak for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import httpx
from tests.support.server import Server
from tests.support.wire import Wire

from penstock.catalog.sqlite import open_catalog
from penstock.catalog.tables.iam import Grant
from penstock.clock import SystemClock
from penstock.iam.identity import Identity
from penstock.iam.roles import SYSTEM_POLICIES
from penstock.iam.sealing import Sealer
from penstock.limits import Limits

PASSWORD = "correct horse, battery"


class Login(NamedTuple):
    """A user with a key."""

    account: str
    domain_id: str
    project_id: str
    user: str
    user_id: str
    ak: str
    sk: str

    def token(self, server: Server) -> str:
        """A token for the project."""
        user = {"name": self.user, "password": PASSWORD, "domain": {"name": self.account}}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": {"id": self.project_id}}}}
        reply = httpx.post(f"{server.endpoint}/v3/auth/tokens", json=body, timeout=30, trust_env=False)
        assert reply.status_code == 201, reply.text
        return reply.headers["X-Subject-Token"]

    def wire(self, server: Server) -> Wire:
        """A client."""
        return Wire(server.endpoint, self.project_id, self.token(server))


def add_users(data: Path, account: str, *users: str, granted: Iterable[str] = ()) -> list[Login]:
    """Users of an account, which is made with a project if it is not there: the first user of a new one is its owner. Those
    in `granted` get the role `dis_user` (chapter 6: DIS User) in the account's projects."""
    return asyncio.run(_add_users(data, account, users, frozenset(granted)))


async def _add_users(
    data: Path, account: str, users: tuple[str, ...], granted: frozenset[str]
) -> list[Login]:
    catalog = await open_catalog(data / "catalog.db")
    try:
        identity = await Identity.open(catalog, Sealer.open(data), SystemClock(), Limits())
        domain = identity.domain(name=account) or await identity.add_domain(account)
        projects = identity.projects_of(domain.domain_id)
        project = projects[0] if projects else await identity.add_project(domain.domain_id, "local")
        logins = []
        for name in users:
            user = await identity.add_user(domain.domain_id, name, PASSWORD)
            ak, sk = await identity.add_access_key(user.user_id)
            if name in granted:
                role = next(one.policy_id for one in SYSTEM_POLICIES if one.name == "dis_user")
                scope = f"inherited:{domain.domain_id}"
                await identity.store.add_grant(Grant(f"user:{user.user_id}", scope, role))
            logins.append(Login(account, domain.domain_id, project.project_id, name, user.user_id, ak, sk))
        return logins
    finally:
        await catalog.close()
