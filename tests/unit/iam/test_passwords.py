"""Passwords: argon2, the same work for anybody, a bounded number at once."""

from __future__ import annotations

import asyncio

import pytest

from penstock.errors import ApiError
from penstock.iam import passwords
from penstock.iam.passwords import PASSWORD_BYTES, Passwords


async def test_right_wrong_nobody() -> None:
    checker = Passwords()
    stored = await checker.hash("pässword")
    assert stored.startswith("$argon2id$")
    assert "m=19456,t=2,p=1" in stored
    assert await checker.verify(stored, "pässword")
    assert not await checker.verify(stored, "password")
    assert not await checker.verify(stored, "")
    assert not await checker.verify(stored, "\ud800")
    assert not await checker.verify(None, "pässword")
    assert not await checker.verify("not a hash", "pässword")


async def test_nobody_costs_one_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    checker = Passwords()
    stored = await checker.hash("a")
    await checker.verify(None, "warm")
    calls: list[str] = []
    real = checker._hasher.verify

    class Counting:
        def verify(self, stored: str, password: str) -> bool:
            calls.append(stored)
            return real(stored, password)

    monkeypatch.setattr(checker, "_hasher", Counting())
    for known in (stored, None):
        calls.clear()
        await checker.verify(known, "b")
        assert len(calls) == 1


async def test_too_long() -> None:
    checker = Passwords()
    longest = "x" * PASSWORD_BYTES
    stored = await checker.hash(longest)
    assert await checker.verify(stored, longest)
    assert not await checker.verify(stored, longest + "x")
    assert not await checker.verify(await checker.hash(""), longest + "x")


async def test_more_than_can_wait_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_WAITING", 3)
    checker = Passwords()
    results = await asyncio.gather(*(checker.verify(None, "x") for _ in range(5)), return_exceptions=True)
    refusals = [result for result in results if isinstance(result, ApiError)]
    assert [error.code for error in refusals] == ["APIGW.0203"] * 2
    assert not await checker.verify(None, "x")
