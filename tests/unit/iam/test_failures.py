"""Counting of failures, on a stepped clock."""

from __future__ import annotations

from penstock.clock import SteppedClock
from penstock.iam.failures import Failures


def test_a_minute_starts_with_the_first_failure() -> None:
    clock = SteppedClock()
    failures = Failures(clock, 3)
    assert [failures.record("a", "k") for _ in range(5)] == [False, False, False, True, True]
    clock.advance(59)
    assert failures.record("a", "k")
    clock.advance(1)
    assert [failures.record("a", "k") for _ in range(4)] == [False, False, False, True]


def test_addresses_and_keys_are_apart() -> None:
    failures = Failures(SteppedClock(), 1)
    pairs = [("a", "k"), ("a", "l"), ("b", "k")]
    assert [failures.record(*pair) for pair in pairs] == [False] * 3
    assert [failures.record(*pair) for pair in pairs] == [True] * 3


def test_wall_clock_jumps_do_not_matter() -> None:
    clock = SteppedClock()
    failures = Failures(clock, 1)
    failures.record("a", "k")
    clock.set_wall(0)
    assert failures.record("a", "k")


def test_the_oldest_counters_go_first() -> None:
    failures = Failures(SteppedClock(), 1, entries=10)
    for number in range(100):
        failures.record("a", str(number))
    assert len(failures) == 10
    assert failures.record("a", "99")
    assert not failures.record("a", "0")
