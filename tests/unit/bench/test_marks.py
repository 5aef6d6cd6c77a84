"""The marks of `make bench`: what is judged against what, and what a run without one of the two says."""

from __future__ import annotations

from bench.cases import CASES, MARKS, DiskMark, LimitMark, Mark, RateMark, RatioMark
from bench.marks import judge
from bench.runner import Result

DISK = DiskMark("put-500x1k", "redis", 2.0, 0.8)


def result(case: str, system: str, rate: float, p99_ms: float = 1.0, rss_mb: float = 100.0) -> Result:
    return Result(
        case=case, system=system, rate=rate, rates=[rate], p50_ms=1.0, p99_ms=p99_ms, cpu_us=1.0, server_busy=0.5,
        generator_idle=0.5, rss_mb=rss_mb, requests=1, checked=True,
    )  # fmt: skip


def test_every_mark_names_rows_that_exist() -> None:
    names = {case.name for case in CASES}
    for mark in MARKS:
        assert mark.case is None or mark.case in names
        if isinstance(mark, RatioMark):
            assert mark.against_case in names


def test_an_empty_run_judges_nothing() -> None:
    judged = judge([], {})
    assert len(judged) == len(MARKS)
    assert all(each.passed is None and each.value is None and not each.failed for each in judged)


def test_a_ratio_is_ours_over_theirs() -> None:
    mark = RatioMark("put-1x200", "redis", "put-1x200", 0.5)
    run = [result("put-1x200", "penstock", 50.0), result("put-1x200", "redis", 100.0)]
    (even,) = judge(run, {}, [mark])
    assert (even.value, even.passed) == (0.5, True)
    run[0] = result("put-1x200", "penstock", 49.0)
    (below,) = judge(run, {}, [mark])
    assert below.failed


def test_a_stretch_that_is_missed_is_no_failure() -> None:
    mark = RatioMark("put-1x200", "redis", "put-1x200", 1.0, stretch=True)
    run = [result("put-1x200", "penstock", 50.0), result("put-1x200", "redis", 100.0)]
    (judged,) = judge(run, {}, [mark])
    assert judged.passed is False
    assert not judged.failed


def test_the_lower_of_peer_and_disk_counts() -> None:
    redis = result("put-500x1k", "redis", 100.0)
    (by_peer,) = judge([result("put-500x1k", "penstock", 200.0), redis], {"put-500x1k": 1000.0}, [DISK])
    assert by_peer.passed
    assert "redis" in by_peer.wanted
    (by_disk,) = judge([result("put-500x1k", "penstock", 160.0), redis], {"put-500x1k": 200.0}, [DISK])
    assert by_disk.passed
    assert "disk" in by_disk.wanted
    (missed,) = judge([result("put-500x1k", "penstock", 159.0), redis], {"put-500x1k": 200.0}, [DISK])
    assert missed.failed


def test_with_one_of_the_two_bars_a_mark_can_pass_but_not_fail() -> None:
    (passed,) = judge([result("put-500x1k", "penstock", 160.0)], {"put-500x1k": 200.0}, [DISK])
    assert passed.passed
    (unknown,) = judge([result("put-500x1k", "penstock", 100.0)], {"put-500x1k": 200.0}, [DISK])
    assert unknown.passed is None
    assert unknown.value == 100.0


def test_rates_and_limits_are_penstocks_own() -> None:
    run = [
        result("recent-500x200-3", "penstock", 3_000_000.0),
        result("put-1x200", "penstock", 1.0, p99_ms=5.1, rss_mb=80.0),
        result("put-1x200", "redis", 1.0, p99_ms=99.0, rss_mb=9_000.0),
    ]
    marks: list[Mark] = [
        RateMark("recent-500x200-3", 3_000_000),
        LimitMark("put-1x200", "p99_ms", 5.0),
        LimitMark(None, "rss_mb", 120.0),
    ]
    assert [each.passed for each in judge(run, {}, marks)] == [True, False, True]
