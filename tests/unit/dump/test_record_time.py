"""Directories by the time in each record (5.5.1 table 5-83, `processing_schema`)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import chunks_of, patient, reasons, records_of

from penstock.dump.base import Chunk
from penstock.dump.formats.record_time import split
from penstock.model.tasks import PARTITION_FORMATS, ProcessingSchema, TimestampType

SHANGHAI = ZoneInfo("Asia/Shanghai")
TIMESTAMP = ProcessingSchema("time", TimestampType.TIMESTAMP)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("yyyy/MM/dd HH:mm:ss", "2026/02/03 04:05:06"),
        ("MM/dd/yyyy HH:mm:ss", "02/03/2026 04:05:06"),
        ("dd/MM/yyyy HH:mm:ss", "03/02/2026 04:05:06"),
        ("yyyy-MM-dd HH:mm:ss", "2026-02-03 04:05:06"),
        ("MM-dd-yyyy HH:mm:ss", "02-03-2026 04:05:06"),
        ("dd-MM-yyyy HH:mm:ss", "03-02-2026 04:05:06"),
    ],
)
@pytest.mark.parametrize("zone", [UTC, SHANGHAI])
def test_texts_are_local_times_as_they_are(form: str, text: str, zone: Any) -> None:
    found, rejects = split(
        chunks_of([{"time": text}]),
        ProcessingSchema("time", TimestampType.STRING, form),
        "yyyy/MM/dd/HH/mm",
        zone,
    )
    assert (list(found), rejects) == (["2026/02/03/04/05"], [])


@pytest.mark.parametrize(
    ("zone", "directories"),
    [
        (UTC, ["2023", "2023/12", "2023/12/31", "2023/12/31/23", "2023/12/31/23/59"]),
        (SHANGHAI, ["2024", "2024/01", "2024/01/01", "2024/01/01/07", "2024/01/01/07/59"]),
    ],
)
def test_timestamps_are_shown_in_the_zone(zone: Any, directories: list[str]) -> None:
    last = int(datetime(2023, 12, 31, 23, 59, 59, 999_000, UTC).timestamp() * 1000)
    found = [
        directory
        for partition_format in PARTITION_FORMATS
        for directory in split(
            chunks_of([{"time": last}, {"time": str(last)}]), TIMESTAMP, partition_format, zone
        )[0]
    ]
    assert found == directories


def test_an_hour_that_comes_twice_is_one_directory() -> None:
    """Berlin puts its clocks back at 01:00 UTC."""
    first = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp() * 1000)
    found, _ = split(
        chunks_of([{"time": first}, {"time": first + 3_600_000}]),
        TIMESTAMP,
        "yyyy/MM/dd/HH",
        ZoneInfo("Europe/Berlin"),
    )
    assert list(found) == ["2026/10/25/02"]


@patient
@given(
    st.lists(
        st.one_of(
            st.integers(1_700_000_000_000, 1_700_000_400_000).map(lambda ms: {"time": ms}),
            st.sampled_from([{"time": "soon"}, {}, b"no"]),
        ),
        max_size=20,
    ),
    st.integers(1, 5),
)
def test_the_directories_and_the_rejects_have_every_record_once_in_order(
    records: list[Any], size: int
) -> None:
    chunks = chunks_of(records, size)
    found, rejects = split(chunks, TIMESTAMP, "yyyy/MM/dd/HH/mm", UTC)
    everything = {record.sequence: record for record in records_of(chunks)}
    taken = [record for pieces in found.values() for record in records_of(pieces)]
    assert sorted([record.sequence for record in taken] + [reject.sequence for reject in rejects]) == sorted(
        everything
    )
    assert all(everything[record.sequence] == record for record in taken)
    assert all(everything[reject.sequence].data == reject.data for reject in rejects)
    assert list(reasons(rejects)) == sorted(reasons(rejects))
    for directory, pieces in found.items():
        sequences = [record.sequence for record in records_of(pieces)]
        assert sequences == sorted(sequences)
        for record in records_of(pieces):
            time = records[record.sequence - 100]["time"]
            assert datetime.fromtimestamp(time / 1000, UTC).strftime("%Y/%m/%d/%H/%M") == directory


def test_keys_stay_with_their_records_and_a_chunk_that_is_not_cut_stays_whole() -> None:
    early, late = b'{"time":1700000000000}', b'{"time":1800000000000}'
    mixed = Chunk(0, 5, ["a", None, "c", "d"], [early, late, late, early])
    whole = Chunk(4, 6, ["e", "f"], [early, early])
    found, _ = split([mixed, whole], TIMESTAMP, "yyyy", UTC)
    assert found == {
        "2023": [Chunk(0, 5, ["a"], [early]), Chunk(3, 5, ["d"], [early]), whole],
        "2027": [Chunk(1, 5, [None, "c"], [late, late])],
    }
    assert found["2023"][2] is whole


def test_without_a_time_a_record_is_rejected_saying_why() -> None:
    form = ProcessingSchema("at.time", TimestampType.STRING, "yyyy-MM-dd HH:mm:ss")
    good = {"at": {"time": "2026-11-26 01:02:03"}}
    records = [good, {"at": {}}, {"at": {"time": "x" * 100}}, b"no", {"at.time": None}, good]
    found, rejects = split(chunks_of(records), form, "yyyy", UTC)
    assert [record.sequence for record in records_of(found["2026"])] == [100, 105]
    assert reasons(rejects) == {
        101: "at.time: missing",
        102: f"at.time: '{'x' * 40}' is not a time in the form yyyy-MM-dd HH:mm:ss",
        103: "not a JSON object: Input data was truncated",
        104: "at.time: null is not a time in the form yyyy-MM-dd HH:mm:ss",
    }
    assert reasons(split(chunks_of([{"time": 5}]), TIMESTAMP, "yyyy", UTC)[1]) == {
        100: "time: 5 is not a timestamp of 13 digits"
    }


def test_without_a_partition_format_there_is_no_directory() -> None:
    found, _ = split(chunks_of([{"time": 1_700_000_000_000}]), TIMESTAMP, "", UTC)
    assert list(found) == [""]
