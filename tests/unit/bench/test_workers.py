"""Speed-up over the fewest workers."""

from __future__ import annotations

import pytest
from bench.workers import arguments, speed_ups


def test_speed_up_is_over_the_fewest() -> None:
    assert speed_ups({4: 350.0, 1: 100.0, 2: 190.0}) == pytest.approx({1: 1.0, 2: 1.9, 4: 3.5})
    assert speed_ups({2: 0.0, 4: 10.0}) == {2: 0.0, 4: 0.0}


def test_workers_are_measured_once_each_the_fewest_first() -> None:
    assert arguments(["--workers", "4,1,4"]).workers == [1, 4]
