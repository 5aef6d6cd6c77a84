"""The arithmetic of `make bench-scale`: what a size has lost, which marks a run is judged by, and what the puts carry."""

from __future__ import annotations

import json

import pytest
from bench.scaling.model import Found, Point, State, judge, losses, series
from bench.scaling.servers import by_keys, by_turns, covering, large


def point(size: float, rate: float, control: float | None = None, load: str = "put") -> Point:
    return Point("partitions", load, size, rates=[rate], controls=[] if control is None else [control])


def test_a_loss_is_against_the_best_of_all_smaller_sizes() -> None:
    assert losses([point(1, 50.0), point(10, 100.0), point(100, 80.0)]) == pytest.approx([0.0, -1.0, 0.2])


def test_with_a_control_a_loss_is_against_that() -> None:
    assert losses([point(1, 90.0, 100.0), point(20, 60.0, 80.0)]) == pytest.approx([0.1, 0.25])


def test_nothing_measured_has_lost_nothing() -> None:
    assert losses([]) == []
    assert losses([point(1, 0.0)]) == [0.0]


def test_rates_are_medians_of_the_rounds() -> None:
    assert Point("streams", "put", 1, rates=[1.0, 9.0, 2.0]).rate == 2.0
    assert Point("streams", "put", 1).control is None


def test_a_series_is_in_the_order_of_its_sizes() -> None:
    found = series([point(10, 1.0), point(1, 2.0), point(1, 3.0, load="other")], "partitions")
    assert [each.size for each in found["put"]] == [1, 10]
    assert list(found) == ["put", "other"]


def test_marks_on_puts_start_up_and_memory() -> None:
    found = Found(
        points=[point(1, 100.0), point(10, 95.0), point(100, 80.0)],
        states=[
            State("streams", 100, clean_s=[0.5], killed_s=[0.6], idle_mb=90.0),
            State("streams", 1_000, clean_s=[1.0], killed_s=[2.5], idle_mb=149.0),
        ],
    )
    judged = {mark.mark: mark for mark in judge(found)}
    put = judged["put: worst over 1 to 100 partitions"]
    assert (put.passed, put.value) == (False, "20.0% at 100")
    assert judged["start-up after a clean stop, slowest over streams"].passed
    killed = judged["start-up after SIGKILL, slowest over streams"]
    assert (killed.passed, killed.value) == (False, "2.50 s at 1000")
    assert judged["idle memory with 1,000 streams"].passed


def test_one_size_alone_says_nothing_of_growth() -> None:
    assert judge(Found(points=[point(1, 100.0)])) == []


def test_a_run_is_read_as_it_was_written() -> None:
    found = Found(points=[point(1, 100.0, 90.0)], states=[State("streams", 1, clean_s=[1.0])], left_out=["x"])
    assert Found.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_puts_by_turns_name_one_partition_each() -> None:
    partitions = [("a", 0), ("a", 1), ("b", 0)]
    bodies = [json.loads(body) for body in by_turns(partitions, 2, 10, 6)]
    assert [body["stream_name"] for body in bodies] == ["a", "a", "b"] * 2
    assert [{record["partition_id"] for record in body["records"]} for body in bodies[:3]] == [
        {"shardId-0000000000"},
        {"shardId-0000000001"},
        {"shardId-0000000000"},
    ]


def test_puts_by_keys_have_many_and_take_streams_by_turns() -> None:
    bodies = [json.loads(body) for body in by_keys(["a", "b"], 500, 10)]
    assert {body["stream_name"] for body in bodies} == {"a", "b"}
    assert all(len({record["partition_key"] for record in body["records"]}) == 500 for body in bodies)


def test_covering_reaches_every_partition_once() -> None:
    partitions = [("a", number) for number in range(1_000)] + [("b", 0)]
    reached = [
        (body["stream_name"], record["partition_id"])
        for body in map(json.loads, covering(partitions))
        for record in body["records"]
    ]
    assert len(reached) == len(set(reached)) == 1_001


def test_large_puts_are_as_few_as_asked_for() -> None:
    bodies = [json.loads(body) for body in large("a", 3, 9_000, 2)]
    assert [len(body["records"]) for body in bodies] == [3, 3]
    assert all(len(record["data"]) == 12_000 for body in bodies for record in body["records"])
