"""Protobuf bodies of PutRecords and GetRecords, encoded and decoded by hand (clients.md 3.1)."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from tests.support import codecs
from tests.support.wire import HASH_MAX, MIB, Wire, ok, refused
from tests.support.wirecodec import PbPage, PbRecord, PbResult, field, get_result, put_request, put_result


@pytest.fixture(scope="module", params=codecs.EACH)
def server_codec(request: pytest.FixtureRequest) -> dict[str, str]:
    return codecs.environment(request.param)


Make = Callable[..., str]
TYPES = [
    "application/x-protobuf; charset=utf-8",
    "application/x-protobuf;charset=utf-8",
    "application/x-protobuf",
]


def send(wire: Wire, body: bytes, content_type: str = TYPES[0]) -> httpx.Response:
    return wire.call("POST", "/records/", content=body, headers={"Content-Type": content_type})


def stored(reply: httpx.Response) -> PbResult:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-protobuf"
    assert reply.headers["x-request-id"]
    return put_result(reply.content)


def fetch(wire: Wire, cursor: str, query: str = "") -> PbPage:
    """The request's Content-Type asks for a protobuf reply; there is no body."""
    rest = f"&{query}" if query else ""
    reply = wire.call(
        "GET",
        "/records",
        f"partition-cursor={cursor}{rest}",
        headers={"Content-Type": TYPES[0], "Accept": "*/*"},
    )
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-protobuf"
    return get_result(reply.content)


@pytest.mark.parametrize("content_type", TYPES)
def test_put_and_get(wire: Wire, make: Make, content_type: str) -> None:
    stream = make()
    records = [
        PbRecord(bytes(range(256)), partition_key="ключ", timestamp=1_700_000_000_000),
        PbRecord(b"plain"),
        PbRecord(b"x" * 100_000, partition_id="0"),
    ]
    result = stored(send(wire, put_request(stream, records, stream_id=""), content_type))
    assert result.failed == 0
    assert result.entries == [
        {"partition_id": "shardId-0000000000", "sequence_number": str(number)} for number in range(3)
    ]
    page = fetch(wire, wire.cursor(stream))
    assert [record["data"] for record in page.records] == [record.data for record in records]
    assert [record["sequence_number"] for record in page.records] == ["0", "1", "2"]
    assert page.records[0]["partition_key"] == "ключ"
    assert not page.records[1].get("partition_key")
    assert {record["timestamp_type"] for record in page.records} == {"CreateTime"}
    json_page = wire.read(wire.cursor(stream))[0]
    assert [record["timestamp"] for record in page.records] == [record.timestamp for record in json_page]
    assert [record.data for record in json_page] == [record.data for record in records]


def test_cursors_of_one_encoding_work_in_the_other(wire: Wire, make: Make) -> None:
    stream = make()
    wire.put_data(stream, b"a", b"b", b"c")
    page = fetch(wire, wire.cursor(stream), "limit=1")
    assert [record["data"] for record in page.records] == [b"a"]
    assert [record.data for record in wire.read(page.next_cursor)[0]] == [b"b", b"c"]
    empty = fetch(wire, wire.cursor(stream, cursor_type="LATEST"))
    assert empty.records == []
    assert wire.read(empty.next_cursor)[0] == []


def test_routing_and_faults_of_single_records(wire: Wire, make: Make) -> None:
    stream = make(partitions=3)
    records = [
        PbRecord(b"0", explicit_hash_key="0"),
        PbRecord(b"1", explicit_hash_key=str(HASH_MAX)),
        PbRecord(b"2", partition_id="shardId-0000000001", partition_key="k"),
        PbRecord(b"3", partition_id="7"),
        PbRecord(b"4", explicit_hash_key="-1"),
        PbRecord(b"5", partition_key="a"),
        PbRecord(b"6", partition_id="", explicit_hash_key="", partition_key=""),
    ]
    result = stored(send(wire, put_request(stream, records)))
    assert result.failed == 2
    where = [entry.get("partition_id") for entry in result.entries]
    assert where[:3] == ["shardId-0000000000", "shardId-0000000002", "shardId-0000000001"]
    assert where[5] == "shardId-0000000000"
    assert result.entries[3]["error_code"] == "DIS.4302"
    assert result.entries[3]["error_message"].startswith("Partition does not exist. ")
    assert result.entries[4]["error_code"] == "DIS.4200"
    assert not result.entries[3].get("sequence_number")


def test_order_of_fields_and_unknown_ones_do_not_matter(wire: Wire, make: Make) -> None:
    stream = make()
    extended = field(8, "file") + field(9, "id") + field(10, 1) + field(11, 5)
    entry = field(5, "k") + field(29, (1 << 64) - 1) + field(7, extended) + field(99, "?") + field(3, b"data")
    body = field(2, entry) + field(77, 5) + field(30, "") + field(1, stream)
    assert stored(send(wire, body)).failed == 0
    (record,) = wire.read_all(stream)
    assert (record.data, record.key) == (b"data", "k")


def test_finds_a_stream_by_id(wire: Wire, make: Make) -> None:
    stream = make()
    stream_id = ok(wire.describe(stream))["stream_id"]
    assert stored(send(wire, put_request("", [PbRecord(b"a")], stream_id=stream_id))).failed == 0


class TestRefusals:
    """Errors are JSON in either encoding: every client reads them as text."""

    @pytest.mark.parametrize(
        "body",
        [
            b"\x0a",
            b"\x0a\xff\xff\xff\xff\x0f",
            b"\xff" * 20,
            b"\x00\x00",
            field(1, "s") + b"\x12\x05\x1a\x64ab",
            field(1, 5) + field(2, field(3, b"a")),
            field(1, b"\xff\xfe") + field(2, field(3, b"a")),
            b"\x0b\x0c",
            field(1, "s") + field(2, field(3, 7)),
            b'{"stream_name":"s","records":[]}',
        ],
        ids=lambda body: body[:12].hex(),
    )
    def test_what_is_no_message(self, wire: Wire, body: bytes) -> None:
        refused(send(wire, body), "DIS.4300", "DIS.4301", "DIS.4202", "DIS.4200")

    def test_an_empty_body(self, wire: Wire) -> None:
        assert refused(send(wire, b""), "DIS.4202") == "Empty request."

    def test_no_records_for_a_stream_that_is_there(self, wire: Wire, make: Make) -> None:
        assert refused(send(wire, put_request(make(), [])), "DIS.4202") == "Empty request."

    def test_a_missing_stream(self, wire: Wire, name: str) -> None:
        message = refused(send(wire, put_request(name, [PbRecord(b"a")])), "DIS.4301")
        assert message == f"Stream does not exist. [{name}][{wire.project_id}]"

    def test_sizes(self, wire: Wire, make: Make) -> None:
        stream = make(partitions=6)
        refused(send(wire, put_request(stream, [PbRecord(b"x" * (MIB + 1))])), "DIS.4300", naming="data")
        full = [PbRecord(b"x" * MIB, partition_id=str(number)) for number in range(5)]
        refused(send(wire, put_request(stream, [*full, PbRecord(b"x", partition_id="5")])), "DIS.4300")
        assert stored(send(wire, put_request(stream, full))).failed == 0
        refused(send(wire, put_request(stream, [PbRecord(b"")] * 10_001)), "DIS.4200", "DIS.4300")

    def test_errors_of_a_protobuf_get(self, wire: Wire) -> None:
        reply = wire.call("GET", "/records", "partition-cursor=x", headers={"Content-Type": TYPES[0]})
        refused(reply, "DIS.4217")
