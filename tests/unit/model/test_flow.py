"""Traffic control: never more than the limit in any second, all of it when asked for (R17)."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from penstock.model.flow import EARLY_SECONDS, WINDOW_SECONDS, RateWindow

ARRIVALS = st.lists(
    st.tuples(st.floats(0, 0.5), st.lists(st.integers(0, 400), min_size=1, max_size=30)),
    min_size=1,
    max_size=60,
)


@given(ARRIVALS)
def test_no_window_sees_more_than_the_limit(arrivals: list[tuple[float, list[int]]]) -> None:
    window = RateWindow(50, 2000)
    now, log = 0.0, []
    for pause, sizes in arrivals:
        now += pause
        taken = window.admit(sizes, now)
        assert 0 <= taken <= len(sizes)
        log.append((now, taken, sum(sizes[:taken])))
    for start, _, _ in log:
        inside = [
            entry for entry in log if start <= entry[0] < start + WINDOW_SECONDS - EARLY_SECONDS - 0.001
        ]
        assert sum(count for _, count, _ in inside) <= 50
        assert sum(size for _, _, size in inside) <= 2000


def _accepted(overload: float, seconds: int, batch: int) -> list[tuple[float, int]]:
    window = RateWindow(1000, 1 << 20)
    step = batch / (1000 * overload)
    accepted = []
    for index in range(int(seconds / step)):
        at = index * step
        accepted.append((at, window.admit([100] * batch, at)))
    return accepted


def test_overload_gets_exactly_the_limit_in_any_ten_seconds() -> None:
    """limits-and-rules.md: 1,000 records/s for a COMMON partition; R17: within 1 % in any 10 s window."""
    for overload in (1.0, 2.0, 10.0):
        for batch in (1, 10, 100, 500):
            accepted = _accepted(overload, 40, batch)
            for start in (0.0, 3.0, 7.5, 22.25):
                total = sum(count for at, count in accepted if start <= at < start + 10)
                assert 9_900 <= total <= 10_100, (overload, batch, start, total)


def test_a_client_that_paces_itself_at_the_limit_is_not_refused() -> None:
    """R17 at 1x: timers of real clients are a few milliseconds off."""
    jitter = random.Random(7)
    window = RateWindow(1000, 1 << 20)
    taken = sum(window.admit([100] * 100, index * 0.1 + jitter.uniform(0, 0.0045)) for index in range(200))
    assert taken >= 19_800


def test_below_the_limit_nothing_is_refused() -> None:
    assert all(count == 10 for _, count in _accepted(0.5, 20, 10))


def test_a_full_second_fits_at_once_and_again_a_second_later() -> None:
    window = RateWindow(1000, 1 << 20)
    assert window.admit([1] * 1500, 0.0) == 1000
    assert window.admit([1], 0.5) == 0
    assert window.admit([1] * 1500, 1.0) == 1000


def test_bytes_are_counted_too_and_order_is_kept() -> None:
    window = RateWindow(1000, 1 << 20)
    assert window.admit([1 << 20], 0.0) == 1
    assert window.admit([0, 1, 0], 0.1) == 1, "an empty record fits, the next does not, and nothing after it"


def test_memory_does_not_grow_with_requests() -> None:
    window = RateWindow(1 << 62, 1 << 62)
    for index in range(200_000):
        window.admit([1], index * 1e-5)
    assert len(window._entries) <= 1001
