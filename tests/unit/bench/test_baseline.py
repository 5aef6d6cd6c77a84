"""Efficiency against a release: what is compared, flagged, scaled and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import baseline
from bench.baseline import Baseline, compare, other_processor, save
from bench.cases import CASES

THEN = Baseline(
    "0.1.0", "2026-01-01", "3.11", 10.0, {"put-1x200": 50.0, "put-500x200": 1.0, "get-1x200": 40.0}
)


def test_rows_that_both_have_are_compared_in_the_order_of_the_table() -> None:
    changes = compare(THEN, {"put-500x200": 1.05, "put-1x200": 60.0, "tail-500x200": 1.0}, 10.0)
    assert [each.case for each in changes] == ["put-1x200", "put-500x200"]
    assert [each.change for each in changes] == pytest.approx([0.2, 0.05])
    assert [each.worse for each in changes] == [True, False]


def test_ten_per_cent_worse_is_not_more_than_ten_per_cent() -> None:
    (change,) = compare(Baseline("0", "d", "p", 10.0, {"put-1x200": 100.0}), {"put-1x200": 110.0}, 10.0)
    assert change.change == pytest.approx(0.1)
    (better,) = compare(THEN, {"put-1x200": 25.0}, 10.0)
    assert (better.change, better.worse) == (-0.5, False)


def test_a_slower_processor_is_no_loss_of_efficiency() -> None:
    (change,) = compare(THEN, {"put-1x200": 100.0}, 20.0)
    assert (change.then, change.change) == (100.0, 0.0)


def test_a_yardstick_that_differs_little_scales_nothing() -> None:
    assert not other_processor(THEN, 10.9)
    (change,) = compare(THEN, {"put-1x200": 50.0}, 10.9)
    assert change.then == 50.0


def test_a_later_run_of_the_same_version_replaces_only_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    assert baseline.load(file) is None
    save(THEN, file)
    whole = save(Baseline("0.1.0", "2026-01-02", "3.11", 10.1, {"put-500x200": 0.9}), file)
    assert whole.cpu_us == {"put-1x200": 50.0, "put-500x200": 0.9, "get-1x200": 40.0}
    assert baseline.load(file) == whole


def test_another_version_starts_anew(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    save(THEN, file)
    whole = save(Baseline("0.2.0", "2026-02-01", "3.11", 10.0, {"put-500x200": 0.9}), file)
    assert whole.cpu_us == {"put-500x200": 0.9}


def test_the_table_names_the_release_and_flags_what_is_worse() -> None:
    changes = compare(THEN, {"put-1x200": 60.0, "put-500x200": 1.0}, 10.0)
    shown = baseline.table(THEN, changes, 10.0)
    assert "0.1.0" in str(shown.title)
    assert [bool(flag) for flag in shown.columns[-1].cells] == [True, False]


def test_the_committed_figures_are_of_rows_that_exist() -> None:
    found = baseline.load()
    assert found is None or set(found.cpu_us) <= {case.name for case in CASES}


def test_the_yardstick_takes_time() -> None:
    assert baseline.yardstick(rounds=1) > 0
