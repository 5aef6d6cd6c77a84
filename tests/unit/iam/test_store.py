"""Who exists: every change is in the catalog and in memory alike, takes effect at once, and survives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.identity import MASTER_KEY, make_identity

from penstock.catalog.base import Catalog, CatalogError, Domain, Exists, QuotaExceeded, User
from penstock.catalog.sqlite import open_catalog
from penstock.catalog.tables.iam import CustomPolicy, Grant, Group, RevokedToken
from penstock.clock import SteppedClock
from penstock.iam.decisions import ANY_ENTERPRISE
from penstock.iam.identity import Identity
from penstock.iam.refused import Failed, Refused
from penstock.iam.roles import BY_NAME
from penstock.iam.sealing import Sealer
from penstock.limits import Limits

LIMITS = Limits(
    users_per_account=3,
    groups_per_account=2,
    groups_per_user=1,
    projects_per_account=2,
    policies_per_account=1,
    grants_per_subject=2,
    accounts=2,
    revoked_tokens_per_user=2,
)
FULL = BY_NAME["DIS FullAccess"].policy_id


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    opened = await open_catalog(tmp_path / "catalog.db")
    yield opened
    await opened.close()


async def open_identity(catalog: Catalog, limits: Limits = LIMITS) -> Identity:
    return await Identity.open(catalog, Sealer({1: MASTER_KEY}), SteppedClock(), limits)


@pytest.fixture
async def identity(catalog: Catalog) -> Identity:
    """Account `acme` with owner `anna` and project `p1`."""
    made = await open_identity(catalog)
    domain = await made.add_domain("acme", "acme")
    await made.add_user(domain.domain_id, "anna", "")
    await made.add_project(domain.domain_id, "north", "p1")
    return made


def state(identity: Identity) -> dict[str, Any]:
    """Everything a store knows."""
    store = identity.store
    return {
        "domains": store.domains,
        "users": store.users,
        "projects": store.projects,
        "keys": store.keys,
        "groups": store.groups,
        "policies": store.policies,
        "revoked": store.revoked,
        "members": {group: set(store.members(group)) for group in store.groups},
        "memberships": {user: set(store.memberships(user)) for user in store.users},
        "grants": sorted(store.all_grants()),
        "names": {user.user_id: store.user_named(user.domain_id, user.name) for user in store.users.values()},
    }


async def test_memory_says_what_the_catalog_says_after_every_change(
    identity: Identity, catalog: Catalog
) -> None:
    store = identity.store
    bert = await identity.add_user("acme", "bert", "")
    group = Group("g1", "acme", "team")
    policy = CustomPolicy("c1", "acme", "mine", "XA", '{"Version":"1.1","Statement":[]}')
    grant = Grant("group:g1", "project:p1", FULL)
    key, _ = await identity.add_access_key(bert.user_id)
    steps: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.add_group(group),
        lambda: store.add_member("g1", bert.user_id),
        lambda: store.add_policy(policy),
        lambda: store.add_grant(grant),
        lambda: store.add_grant(Grant("group:g1", "inherited:acme", "c1")),
        lambda: store.update_user(bert.user_id, name="berta", end_tokens=True),
        lambda: store.update_group("g1", name="crew"),
        lambda: store.update_project("p1", enabled=False),
        lambda: store.replace_policy(msgspec.structs.replace(policy, name="ours")),
        lambda: store.update_key(key, enabled=False),
        lambda: store.revoke(RevokedToken("a1", bert.user_id, 10_000), 0),
        lambda: store.remove_policy("c1"),
        lambda: store.remove_grant(grant),
        lambda: store.add_grant(grant),
        lambda: store.remove_member("g1", bert.user_id),
        lambda: store.add_member("g1", bert.user_id),
        lambda: store.add_grant(Grant(f"user:{bert.user_id}", "enterprise:e1", FULL)),
        lambda: store.remove_user(bert.user_id),
        lambda: store.remove_group("g1"),
    ]
    for number, step in enumerate(steps):
        told: list[int] = []
        store.on_change(lambda told=told: told.append(1))  # type: ignore[misc]
        await step()
        assert told, number
        assert state(identity) == state(await open_identity(catalog)), number
    assert await catalog.check() == []
    assert not store.groups and not store.policies and not list(store.all_grants())


async def test_a_change_the_catalog_refuses_changes_nothing(identity: Identity, catalog: Catalog) -> None:
    store = identity.store
    bert = await identity.add_user("acme", "bert", "")
    await store.add_group(Group("g1", "acme", "team"))
    await store.add_group(Group("g2", "acme", "crew"))
    await store.add_member("g1", bert.user_id)
    await store.add_policy(CustomPolicy("c1", "acme", "mine", "XA", "{}"))
    for scope in ("project:p1", "inherited:acme"):
        await store.add_grant(Grant("group:g1", scope, FULL))
    await identity.add_user("acme", "cleo", "")
    await identity.add_project("acme", "south")
    await identity.add_domain("other")
    before = state(identity)
    refusals: list[tuple[type[CatalogError], Callable[[], Awaitable[Any]]]] = [
        (Exists, lambda: identity.add_user("acme", "bert", "")),
        (QuotaExceeded, lambda: identity.add_user("acme", "dora", "")),
        (Exists, lambda: store.update_user(bert.user_id, name="cleo")),
        (Exists, lambda: store.update_group("g1", name="crew")),
        (QuotaExceeded, lambda: store.add_group(Group("g3", "acme", "more"))),
        (QuotaExceeded, lambda: store.add_member("g2", bert.user_id)),
        (QuotaExceeded, lambda: store.add_policy(CustomPolicy("c2", "acme", "more", "XA", "{}"))),
        (QuotaExceeded, lambda: store.add_grant(Grant("group:g1", "domain:acme", FULL))),
        (QuotaExceeded, lambda: identity.add_project("acme", "west")),
        (QuotaExceeded, lambda: identity.add_domain("third")),
    ]
    for error, change in refusals:
        with pytest.raises(error):
            await change()
        assert state(identity) == before
    assert state(await open_identity(catalog)) == before


async def test_the_first_user_owns_the_account(identity: Identity) -> None:
    anna, bert = identity.user(name="anna", domain_id="acme"), await identity.add_user("acme", "bert", "")
    assert anna
    assert identity.principal(anna).owner
    assert not identity.principal(bert).owner


async def test_accounts_from_before_there_were_owners(catalog: Catalog) -> None:
    """Data directories of earlier versions: documents without the new fields, one user in each account."""
    await catalog.insert_domain(Domain("d1", "old"))
    await catalog.insert_user(User("u1", "d1", "only", ""))
    identity = await open_identity(catalog)
    only = identity.store.users["u1"]
    assert identity.principal(only).owner
    second = await identity.add_user("d1", "second", "")
    for one in (identity, await open_identity(catalog)):
        assert one.is_owner(one.store.users["u1"])
        assert not one.is_owner(one.store.users[second.user_id])


async def test_revoked_tokens_stay_few(identity: Identity, catalog: Catalog) -> None:
    """Those that would have expired are forgotten; a user who revokes more than may be kept ends all of the user's."""
    store = identity.store
    bert = await identity.add_user("acme", "bert", "")
    tokens = [identity.issue(bert, ("password",)) for _ in range(4)]

    def hold() -> list[bool]:
        return [_holds(identity, token.text) for token in tokens]

    await identity.revoke(tokens[0].claims)
    await identity.revoke(tokens[1].claims)
    assert hold() == [False, False, True, True]
    assert len(store.revoked) == 2
    await identity.revoke(tokens[2].claims)
    assert hold() == [False] * 4
    assert not store.revoked
    assert state(identity) == state(await open_identity(catalog))
    later = identity.issue(store.users[bert.user_id], ("password",))
    assert _holds(identity, later.text)
    await store.revoke(RevokedToken("short", bert.user_id, 5), 0)
    await store.revoke(RevokedToken("next", bert.user_id, 50), 6)
    assert set(store.revoked) == {"next"}


def _holds(identity: Identity, text: str) -> bool:
    try:
        identity.read_token(text.encode())
    except Refused:
        return False
    return True


async def test_decisions_are_kept_and_dropped(identity: Identity) -> None:
    store = identity.store
    bert = identity.principal(await identity.add_user("acme", "bert", ""))
    await store.add_group(Group("g1", "acme", "team"))
    await store.add_member("g1", bert.user_id)
    grant = Grant("group:g1", "enterprise:e1", FULL)
    for granted in (True, False, True):
        await (store.add_grant(grant) if granted else store.remove_grant(grant))
        for _ in range(2):
            assert identity.allows(bert, "p1", "dis:streams:get", "e1") is granted
            assert identity.allows(bert, "p1", "dis:streams:get", ANY_ENTERPRISE) is granted
            assert not identity.allows(bert, "p1", "dis:streams:get", "e2")
            assert not identity.allows(bert, "p1", "dis:streams:get")
            # No check mark in the last column of table 6-1.
            assert not identity.allows(bert, "p1", "dis:streams:list", "e1")
    deny = CustomPolicy(
        "c1", "acme", "no", "XA", '{"Version":"1.1","Statement":[{"Effect":"Deny","Action":["*"]}]}'
    )
    await store.add_policy(deny)
    await store.add_grant(Grant("group:g1", "project:p1", "c1"))
    assert not identity.allows(bert, "p1", "dis:streams:get", "e1")


async def test_what_an_assumed_principal_may_is_its_own(identity: Identity) -> None:
    """Not what the user may who stands behind it."""
    bert = await identity.add_user("acme", "bert", "")
    await identity.store.add_grant(Grant(f"user:{bert.user_id}", "project:p1", FULL))
    principal = identity.principal(bert)
    assumed = msgspec.structs.replace(principal, assumed="agency:a1")
    assert identity.allows(principal, "p1", "dis:streams:get")
    assert not identity.allows(assumed, "p1", "dis:streams:get")
    await identity.store.add_grant(Grant("agency:a1", "project:p1", FULL))
    assert identity.allows(assumed, "p1", "dis:streams:get")


async def test_failures_counted_elsewhere() -> None:
    identity = await make_identity()
    identity.failures = None
    with pytest.raises(Failed) as caught:
        identity.refuse("10.0.0.1", "key", Refused("wrong"))
    assert (caught.value.code, caught.value.status, caught.value.peer) == ("APIGW.0301", 401, "10.0.0.1")
