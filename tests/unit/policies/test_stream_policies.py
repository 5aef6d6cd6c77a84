"""Principals' names, adding, merging and removing policies of streams (5.1.7, 5.1.8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.identity import PASSWORD, make_identity
from tests.support.streams import PROJECT, call, make_context

from penstock.errors import ApiError
from penstock.limits import Limits
from penstock.model.streams import Stream
from penstock.service.context import Context
from penstock.service.stream_policies import (
    AddPolicyRequest,
    RemovePoliciesRequest,
    add_policies,
    list_policies,
    remove_policies,
)


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    """With the stream s1 and the accounts account1 and account2 of tests.support.identity."""
    made = await make_context(tmp_path, limits=Limits(policies_per_stream=5))
    made.identity = await make_identity()
    await call(made, "POST", "/streams", {"stream_name": "s1", "partition_count": 1})
    yield made
    await made.catalog.close()


def stream(context: Context) -> Stream:
    found = context.directory.get(PROJECT, "s1")
    assert found is not None
    return found


async def add(context: Context, principal: str, action: str = "putRecords", **fields: Any) -> None:
    request = {"stream_id": stream(context).stream_id, "effect": "accept"} | fields
    await add_policies(
        context,
        PROJECT,
        "s1",
        AddPolicyRequest(principal_name=principal, action_type=action, **request),
    )


async def remove(context: Context, **fields: str) -> None:
    await remove_policies(context, PROJECT, "s1", RemovePoliciesRequest(**fields))


def rules(context: Context) -> list[str]:
    """`name action` of each."""
    found = list_policies(context, PROJECT, "s1").rules
    return [f"{rule.principal_name} {rule.action_type}" for rule in found]


async def refused(work: Any) -> ApiError:
    with pytest.raises(ApiError) as error:
        await work
    return error.value


async def test_names_become_ids(context: Context) -> None:
    await add(context, "account2")
    await add(context, "account1.user1, account2.user2", "getRecords")
    domains = [context.identity.domain(name=name) for name in ("account1", "account2")]
    users = [context.identity.user(name=f"user{n}", domain_name=f"account{n}") for n in (1, 2)]
    assert all(domains)
    assert all(users)
    first, second = domains
    assert [rule.principal for rule in list_policies(context, PROJECT, "s1").rules] == [
        f"{second.domain_id}.*",  # type: ignore[union-attr]
        f"{first.domain_id}.{users[0].user_id}",  # type: ignore[union-attr]
        f"{second.domain_id}.{users[1].user_id}",  # type: ignore[union-attr]
    ]
    assert rules(context) == [
        "account2.* putRecords",
        "account1.user1 getRecords",
        "account2.user2 getRecords",
    ]
    # What the directory has is what the catalog has.
    assert await context.catalog.stream_by_id(stream(context).stream_id) == stream(context)


async def test_duplicates_are_merged(context: Context) -> None:
    await add(context, "account2")
    for same in ("account2", "account2.*", "account2,account2.*"):
        await add(context, same)
    assert rules(context) == ["account2.* putRecords"]


@pytest.mark.parametrize(
    "name",
    ["nobody", "nobody.*", "nobody.user1", "account1.nobody", "account1.", ".user1", "account1.user1.*", "*"],
)
async def test_who_does_not_exist_is_refused(context: Context, name: str) -> None:
    """DIS.4200 naming the field, and of several none is added."""
    error = await refused(add(context, f"account2,{name}"))
    assert error.code == "DIS.4200"
    assert "principal_name" in error.message
    assert name.removesuffix(".*") in error.message
    assert rules(context) == []


@pytest.mark.parametrize("name", ["", " ", ",", "account2,", "account2,,account1"])
async def test_a_missing_name_is_refused(context: Context, name: str) -> None:
    error = await refused(add(context, name))
    assert (error.code, rules(context)) == ("DIS.4200", [])
    assert "principal_name" in error.message


async def test_names_with_points(context: Context) -> None:
    """An account of that name, or a user of a shorter one; in doubt neither."""
    identity = context.identity
    dotted = await identity.add_domain("a.b")
    await identity.add_user(dotted.domain_id, "c.d", PASSWORD)
    await add(context, "a.b")
    await add(context, "a.b.c.d")
    await add(context, "a.b.*", "getRecords")
    assert rules(context) == ["a.b.* putRecords", "a.b.c.d putRecords", "a.b.* getRecords"]
    other = await identity.add_domain("a")
    await identity.add_user(other.domain_id, "b", PASSWORD)
    assert "may be an account or a user" in (await refused(add(context, "a.b"))).message
    await add(context, "a.b.*", "getStreamInfo")  # no doubt here


async def test_too_many(context: Context) -> None:
    names = ",".join(["account1", "account1.user1", "account2", "account2.user2"])
    await add(context, names)
    assert (await refused(add(context, names, "getRecords"))).code == "DIS.4308"
    assert (await refused(add(context, ",".join(["account1"] * 6)))).code == "DIS.4308"
    await add(context, "account1", "getRecords")
    assert len(rules(context)) == 5
    await add(context, "account1", "getRecords")  # no more than before


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({}, []),
        ({"principal_name": "account2"}, ["account2.user2 putRecords", "account1.* getRecords"]),
        ({"principal_name": "account2.*"}, ["account2.user2 putRecords", "account1.* getRecords"]),
        (
            {"principal_name": "account2, account2.user2"},
            ["account1.* getRecords"],
        ),
        (
            {"principal_name": "account2", "action_type": "putRecords"},
            ["account2.* getRecords", "account2.user2 putRecords", "account1.* getRecords"],
        ),
        ({"action_type": "getRecords"}, ["account2.* putRecords", "account2.user2 putRecords"]),
    ],
)
async def test_removing(context: Context, fields: dict[str, str], left: list[str]) -> None:
    await add(context, "account2")
    await add(context, "account2", "getRecords")
    await add(context, "account2.user2")
    await add(context, "account1", "getRecords")
    await remove(context, **fields)
    assert rules(context) == left


async def test_removing_by_the_listed_ids(context: Context) -> None:
    await add(context, "account2, account2.user2, account1")
    first, second, _ = list_policies(context, PROJECT, "s1").rules
    await remove(context, principal_name=f"{first.principal},{second.principal}")
    assert rules(context) == ["account1.* putRecords"]


async def test_what_is_gone_can_be_taken_back(context: Context) -> None:
    await add(context, "account2, account2.user2")
    context.identity = await make_identity()  # other ids: the accounts of the policies are gone
    await remove(context, principal_name="account2,account2.user2")
    assert rules(context) == []


@pytest.mark.parametrize(
    ("fields", "naming"),
    [
        ({"principal_name": "account1"}, "principal_name"),
        ({"principal_name": "account2,account1"}, "principal_name"),
        ({"principal_name": "account2", "action_type": "getRecords"}, "principal_name"),
        ({"action_type": "getStreamInfo"}, "action_type"),
        ({"action_type": "get"}, "action_type"),
        ({"stream_id": "another"}, "stream_id"),
        ({"principal_name": "account2,"}, "principal_name"),
    ],
)
async def test_removing_what_is_not_there(context: Context, fields: dict[str, str], naming: str) -> None:
    """A revocation that revokes nothing must not look like one."""
    await add(context, "account2")
    error = await refused(remove(context, **fields))
    assert error.code == "DIS.4200"
    assert naming in error.message
    assert rules(context) == ["account2.* putRecords"]


async def test_removing_all_of_none(context: Context) -> None:
    await remove(context)
    assert rules(context) == []


async def test_at_the_same_time_none_is_lost(context: Context) -> None:
    await asyncio.gather(
        *(add(context, name) for name in ("account1", "account2", "account1.user1", "account2.user2"))
    )
    assert len(rules(context)) == 4


async def test_the_rest_of_the_stream_stays(context: Context) -> None:
    before = stream(context)
    await add(context, "account2")
    assert msgspec.structs.replace(stream(context), policies=()) == before
