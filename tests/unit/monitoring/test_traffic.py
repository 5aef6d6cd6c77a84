"""Counters by the minute: which minute, what is taken, what the last minute was."""

from __future__ import annotations

from penstock.clock import SteppedClock
from penstock.log.base import PartitionRef
from penstock.model.metrics import FIELDS, PARTITION_LABELS, STREAM, STREAM_LABELS, add, read
from penstock.service.traffic import Counted, Counters, Traffic

MINUTE = 28_333_334
"""A minute since the epoch, where the clock of these tests begins."""


def clock() -> SteppedClock:
    return SteppedClock(MINUTE * 60_000)


def put(traffic: Traffic, ref: PartitionRef, records: int, size: int) -> None:
    counters = traffic.of(ref)
    counters.records_in += records
    counters.bytes_in += size


def test_what_is_counted_is_taken_once_with_its_minute() -> None:
    stepped = clock()
    traffic = Traffic(stepped)
    put(traffic, PartitionRef("s", 0), 2, 20)
    put(traffic, PartitionRef("s", 0), 1, 5)
    stepped.advance(59.999)
    put(traffic, PartitionRef("s", 1), 1, 1)
    stepped.advance(0.001)
    put(traffic, PartitionRef("s", 0), 4, 400)
    taken = {(one.number, one.minute): one.point[:2] for one in traffic.take()}
    assert taken == {(0, MINUTE): [25, 3], (1, MINUTE): [1, 1], (0, MINUTE + 1): [400, 4]}
    assert traffic.take() == []


class _Hurrying(SteppedClock):
    """Every look at it is a minute later."""

    def now_ms(self) -> int:
        self.advance(60)
        return super().now_ms()


def test_a_put_to_one_partition_is_counted_for_it_and_its_stream_in_one_minute() -> None:
    traffic = Traffic(_Hurrying(MINUTE * 60_000))
    for number in (0, 1, 0):
        traffic.put(PartitionRef("s", number), PartitionRef("s", STREAM), 2, 20, 7)
    taken = [
        (one.number, one.minute - MINUTE, dict(zip(FIELDS, one.point, strict=True))) for one in traffic.take()
    ]
    counted = [
        (number, minute, {name: n for name, n in point.items() if n}) for number, minute, point in taken
    ]
    one, whole = {"records_in": 2, "bytes_in": 20}, {"records_in": 2, "bytes_in": 20, "puts": 1, "puts_us": 7}
    assert counted == [
        (0, 1, one),
        (STREAM, 1, whole),
        (1, 2, one),
        (STREAM, 2, whole),
        (0, 3, one),
        (STREAM, 3, whole),
    ]


def test_a_minute_may_be_taken_in_parts() -> None:
    traffic = Traffic(clock())
    put(traffic, PartitionRef("s", 0), 1, 1)
    assert [one.point[:2] for one in traffic.take()] == [[1, 1]]
    put(traffic, PartitionRef("s", 0), 1, 10)
    assert [(one.minute, one.point[:2]) for one in traffic.take()] == [(MINUTE, [10, 1])]


def test_the_last_minute_is_the_one_that_is_complete() -> None:
    stepped = clock()
    traffic = Traffic(stepped)
    whole = PartitionRef("s", STREAM)
    put(traffic, whole, 2, 20)
    put(traffic, PartitionRef("s", 0), 2, 20)
    assert traffic.last_minute("s").bytes_in == 0, "the minute still runs"
    traffic.take()
    put(traffic, whole, 1, 5)
    stepped.advance(60)
    assert (traffic.last_minute("s").bytes_in, traffic.last_minute("s").records_in) == (25, 3)
    assert traffic.last_minute("other").bytes_in == 0
    put(traffic, whole, 1, 7)
    stepped.advance(60)
    assert traffic.last_minute("s").bytes_in == 7
    stepped.advance(60)
    assert traffic.last_minute("s").bytes_in == 0


def test_what_workers_report_counts_in_its_own_minute() -> None:
    stepped = clock()
    traffic = Traffic(stepped)
    worker = Traffic(stepped)
    put(traffic, PartitionRef("s", STREAM), 1, 1)
    put(worker, PartitionRef("s", STREAM), 1, 10)
    stepped.advance(60)
    put(worker, PartitionRef("s", STREAM), 1, 1000)
    traffic.add(worker.take())
    assert traffic.last_minute("s").bytes_in == 11
    points: dict[int, int] = {}
    for one in traffic.take():
        points[one.minute] = points.get(one.minute, 0) + one.point[0]
    assert points == {MINUTE: 11, MINUTE + 1: 1000}


def test_memory_holds_no_more_than_a_few_minutes() -> None:
    stepped = clock()
    traffic = Traffic(stepped)
    for _ in range(100):
        put(traffic, PartitionRef("s", STREAM), 1, 1)
        traffic.take()
        stepped.advance(60)
    assert len(traffic._recent) <= 4


def test_a_clock_set_back_loses_nothing() -> None:
    stepped = clock()
    traffic = Traffic(stepped)
    put(traffic, PartitionRef("s", 0), 1, 1)
    stepped.set_wall((MINUTE - 10) * 60_000)
    put(traffic, PartitionRef("s", 0), 1, 2)
    assert {one.minute: one.point[0] for one in traffic.take()} == {MINUTE: 1, MINUTE - 10: 2}


def test_counters_are_in_the_order_of_the_fields() -> None:
    counters = Counters()
    for number, name in enumerate(FIELDS):
        setattr(counters, name, number)
    assert counters.point() == list(range(len(FIELDS)))
    counters.add([1] * len(FIELDS))
    assert counters.point() == [number + 1 for number in range(len(FIELDS))]


def test_points_add_up_without_zeros_at_the_end() -> None:
    assert add([1, 2, 0, 4], [1]) == [2, 2, 0, 4]
    assert add([], [1, 0, 0]) == [1]
    assert add([], []) == []
    first = [1, 1]
    assert add(first, [0, 0, 3]) == [1, 1, 3]
    assert first == [1, 1]


def test_labels_read_what_their_names_say() -> None:
    """Tables 5-128 and 5-134."""
    point = [100, 3, 50, 2, 4, 8_001, 5, 6, 0, 7]
    assert {label: read(point, reading) for label, reading in STREAM_LABELS.items()} == {
        "total_put_bytes_per_stream": 100,
        "total_get_bytes_per_stream": 50,
        "total_put_records_per_stream": 3,
        "total_get_records_per_stream": 2,
        "total_put_req_latency": 3,  # 2.00025 ms, rounded up
        "total_get_req_latency": 0,
        "total_put_req_suc_per_stream": 4,
        "total_get_req_suc_per_stream": 6,
        "traffic_control_put": 5,
        "traffic_control_get": 7,
    }
    assert {label: read([100, 3], reading) for label, reading in PARTITION_LABELS.items()} == {
        "total_put_bytes_per_partition": 100,
        "total_get_bytes_per_partition": 0,
        "total_put_records_per_partition": 3,
        "total_get_records_per_partition": 0,
    }


def test_an_average_of_no_requests_is_0_and_of_any_at_least_1_ms() -> None:
    latency = STREAM_LABELS["total_put_req_latency"]
    assert read([], latency) == 0
    assert read([0, 0, 0, 0, 3, 1], latency) == 1
    assert read([0, 0, 0, 0, 2, 4000], latency) == 2


def test_what_crosses_processes_is_an_array() -> None:
    assert Counted("s", 1, 2, [3]).__struct_config__.array_like
