"""PutRecords and GetRecords as JSON and protobuf: clients.md 1.3, 3.1, 3.2; 5.4.1 tables 5-66 to 5-69, 5.4.2 table 5-74."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.codecs import records_of

from penstock.errors import ApiError
from penstock.http.wire import json_records, protobuf
from penstock.log.base import Frame, PartitionRef
from penstock.log.payload import encode
from penstock.service.partitions import Slice
from penstock.service.records import Fetched, Placed, PutOutcome

REF = PartitionRef("i" * 20, 3)
KEYS = st.text(max_size=12)
RECORDS = st.lists(st.tuples(st.binary(max_size=40), st.none() | KEYS), min_size=1, max_size=20)


class _NoCache:
    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        frame.rendered = rendered


@given(RECORDS)
def test_json_put_is_read(records: list[tuple[bytes, str | None]]) -> None:
    body = {
        "stream_name": "s",
        "records": [
            {"data": base64.b64encode(d).decode(), "partition_key": k, "other": 1} for d, k in records
        ],
    }
    decoded = json_records.decode_put(json.dumps(body).encode())
    assert [(r.data, r.partition_key) for r in records_of(decoded)] == records


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        ("", "DIS.4202", ""),
        ("   ", "DIS.4202", ""),
        ("{", "DIS.4300", "body"),
        ("[]", "DIS.4300", "body"),
        ('{"records":[{"data":5}]}', "DIS.4300", "records[0].data"),
        ('{"records":[{"data":null}]}', "DIS.4200", "records[0].data"),
        ('{"records":[{"data":"aGk"}]}', "DIS.4300", "records[0].data"),
        ('{"records":[{"data":"a Gk="}]}', "DIS.4300", "records[0].data"),
        ('{"records":[{"data":"aGk=\\n"}]}', "DIS.4300", "records[0].data"),
        ('{"records":[{"data":"_-8="}]}', "DIS.4300", "records[0].data"),
        ('{"records":[{"data":"aGk="},{}]}', "DIS.4200", "records[1].data"),
        ('{"records":[{"data":"aGk=","partition_key":7}]}', "DIS.4300", "records[0].partition_key"),
        ('{"records":[{"data":"aGk=","partition_id":0}]}', "DIS.4300", "records[0].partition_id"),
        ('{"records":[{"data":"aGk=","explicit_hash_key":0}]}', "DIS.4300", "records[0].explicit_hash_key"),
        ('{"stream_name":5,"records":[]}', "DIS.4300", "stream_name"),
        ('{"stream_id":5,"records":[]}', "DIS.4300", "stream_id"),
        ('{"records":"x"}', "DIS.4300", "records"),
        ('{"records":[{"data":"aGk=","timestamp":"x"}]}', "DIS.4300", "records[0].timestamp"),
        ('{"a":' + "[" * 100_000, "DIS.4300", "body"),
        ('{"stream_name":"\\ud800"}', "DIS.4300", "body"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "DIS.4300", "body"),
    ],
)
def test_json_put_is_refused_naming_the_field(body: str, code: str, names: str) -> None:
    """Types and Base64 refuse the whole request; strings given as numbers too, as the real service does. What is
    mandatory and missing is DIS.4200."""
    with pytest.raises(ApiError) as caught:
        json_records.decode_put(body.encode("latin-1"))
    assert caught.value.code == code
    assert names in caught.value.message


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    for decode in (json_records.decode_put, protobuf.decode_put):
        try:
            decode(body)
        except ApiError as error:
            assert error.code in ("DIS.4300", "DIS.4200", "DIS.4202")


def _outcomes() -> st.SearchStrategy[PutOutcome]:
    @st.composite
    def build(draw: st.DrawFn) -> PutOutcome:
        numbers = draw(st.lists(st.integers(-1, 3), min_size=1, max_size=30))
        placed = []
        for number in sorted(set(numbers) - {-1}):
            indices = [i for i, n in enumerate(numbers) if n == number]
            whole = len(indices) == len(numbers) and draw(st.booleans())
            placed.append(
                Placed(number, draw(st.integers(0, 10**18)), len(indices), None if whole else indices)
            )
        failed = {i: ("DIS.4303", 'Exceeded "it"') for i, n in enumerate(numbers) if n == -1}
        return PutOutcome(len(numbers), placed, failed)

    return build()


def _expected(outcome: PutOutcome) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = [{} for _ in range(outcome.total)]
    for place in outcome.placed:
        for offset, index in enumerate(range(outcome.total) if place.indices is None else place.indices):
            name = f"shardId-{place.partition:010d}"
            rows[index] = {"partition_id": name, "sequence_number": str(place.base + offset)}
    for index, (code, message) in outcome.failed.items():
        rows[index] = {"error_code": code, "error_message": message}
    return rows


@given(_outcomes())
def test_json_outcome(outcome: PutOutcome) -> None:
    """clients.md 1.3: same order and length as the request, never both pairs."""
    reply = json.loads(json_records.encode_outcome(outcome))
    assert reply == {"failed_record_count": len(outcome.failed), "records": _expected(outcome)}


@given(_outcomes())
def test_protobuf_outcome(outcome: PutOutcome) -> None:
    """clients.md 3.1: failedRecordCount (21) is required, also when 0; results are 22."""
    fields = _parse(protobuf.encode_outcome(outcome))
    assert fields[0] == (21, len(outcome.failed))
    names = {23: "partition_id", 24: "sequence_number", 25: "error_code", 26: "error_message"}
    rows = [{names[n]: v.decode() for n, v in _parse(value)} for number, value in fields[1:] if number == 22]
    assert rows == _expected(outcome)


@given(RECORDS, st.integers(0, 10**15), st.data())
def test_fetched_records(records: list[tuple[bytes, str | None]], base: int, data: st.DataObject) -> None:
    """5.4.2 table 5-74; a record put without a key has none when read."""
    keys = [key or None for _, key in records]
    payload = encode(keys if any(keys) else None, [d for d, _ in records])
    frame = Frame(REF, base, len(records), 1_764_000_000_123, payload)
    start = data.draw(st.integers(0, len(records) - 1))
    stop = data.draw(st.integers(start + 1, len(records)))
    fetched = Fetched([Slice(frame, start, stop), Slice(frame, 0, len(records))], "cur")
    reply = json.loads(b"".join(json_records.encode_fetched(fetched, _NoCache())))  # type: ignore[arg-type]
    expected = []
    for index in [*range(start, stop), *range(len(records))]:
        row: dict[str, Any] = {"partition_key": keys[index]} if keys[index] else {}
        row["sequence_number"] = str(base + index)
        row["data"] = base64.b64encode(records[index][0]).decode()
        row |= {"timestamp": 1_764_000_000_123, "timestamp_type": "CreateTime"}
        expected.append(row)
    assert reply == {"records": expected, "next_partition_cursor": "cur"}
    fields = _parse(protobuf.encode_fetched(fetched))
    assert fields[0] == (14, b"cur")
    names = {17: "partition_key", 18: "sequence_number", 19: "data", 27: "timestamp", 28: "timestamp_type"}
    rows = [{names[n]: v for n, v in _parse(value)} for number, value in fields if number == 16]
    for row, wanted in zip(rows, expected, strict=True):
        assert base64.b64encode(row.pop("data")).decode() == wanted.pop("data")
        assert {k: v.decode() if isinstance(v, bytes) else v for k, v in row.items()} == wanted


def test_nothing_to_read_is_an_empty_array() -> None:
    """clients.md 1.3: `records` must be an array, `next_partition_cursor` is never null."""
    reply = json.loads(b"".join(json_records.encode_fetched(Fetched([], "cur"), _NoCache())))  # type: ignore[arg-type]
    assert reply == {"records": [], "next_partition_cursor": "cur"}


def test_captured_protobuf_put_of_the_python_client() -> None:
    """Captured from huaweicloud-python-sdk-dis 2.0.4: streamName "s1", data "hello", key "0", streamId ""."""
    decoded = protobuf.decode_put(bytes.fromhex("0a027331120a1a0568656c6c6f2a0130f20100"))
    assert decoded.stream_name == "s1" and decoded.stream_id == ""
    assert [(r.data, r.partition_key) for r in records_of(decoded)] == [(b"hello", "0")]


def _parse(message: bytes) -> list[tuple[int, Any]]:
    """A reader of protobuf written for this test: varints and length-delimited fields."""
    fields: list[tuple[int, Any]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            fields.append((tag >> 3, varint()))
        else:
            assert tag & 7 == 2
            size = varint()
            fields.append((tag >> 3, message[at : at + size]))
            at += size
    return fields
