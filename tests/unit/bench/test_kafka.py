"""What Kafka's ProducerPerformance prints, read."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from bench.systems.kafka import parse, pom

PLAIN = """\
291121 records sent, 195121.313673 records/sec (37.22 MB/sec), 57.31 ms avg latency, 337.00 ms max latency, 47 ms 50th, 112 ms 95th, 114 ms 99th, 116 ms 99.9th.
"""
WARMED = (
    "Warmup first 87336 records. Steady state results will print after the complete test summary.\n"
    + PLAIN
    + "203785 steady state records sent, 302351.632047 records/sec (57.67 MB/sec), 74.76 ms avg latency, "
    "117.00 ms max latency, 86 ms 50th, 113 ms 95th, 115 ms 99th, 116 ms 99.9th.\n"
)
PROGRESS = "100 records sent, 20.0 records/sec (0.00 MB/sec), 1.0 ms avg latency, 2.0 ms max latency.\n"


def test_a_run_without_a_warm_up() -> None:
    expected = {"records": 291121.0, "rate": 195121.313673, "p50": 47.0, "p99": 114.0, "max": 337.0}
    assert parse(PROGRESS + PLAIN) == expected


def test_after_a_warm_up_the_steady_state_counts() -> None:
    assert parse(WARMED) == {
        "records": 203785.0,
        "rate": 302351.632047,
        "p50": 86.0,
        "p99": 115.0,
        "max": 117.0,
    }


def test_what_says_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no summary"):
        parse(PROGRESS)


def test_the_project_that_fetches_it_is_xml() -> None:
    names = [each.text for each in ET.fromstring(pom()).iter() if each.tag.endswith("artifactId")]
    assert {"kafka_2.13", "kafka-tools"} <= set(names)
