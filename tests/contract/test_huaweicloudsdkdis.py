"""The official SDK `huaweicloudsdkdis`, unmodified, over TCP: streams, records, cursors, errors as it reports them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkdis.v2 import (
    ConsumeRecordsRequest,
    CreateStreamReq,
    CreateStreamRequest,
    CSVProperties,
    DeleteStreamRequest,
    DisClient,
    ListStreamsRequest,
    PutRecordsRequest,
    PutRecordsRequestEntry,
    SendRecordsRequest,
    ShowCursorRequest,
    ShowStreamRequest,
    SysTag,
    Tag,
)
from tests.support.python_sdks import client_of
from tests.support.server import Server

Client = Any
AVRO = json.dumps({"type": "record", "name": "R", "fields": [{"name": "key1", "type": "string"}]})


def create(client: Client, name: str, partitions: int = 1, **fields: object) -> None:
    body = CreateStreamReq(stream_name=name, partition_count=partitions, **fields)
    client.create_stream(CreateStreamRequest(body=body))


def put(client: Client, stream: str, *records: dict[str, str]) -> Any:
    entries = [PutRecordsRequestEntry(**record) for record in records]
    body = PutRecordsRequest(stream_name=stream, records=entries)
    return client.send_records(SendRecordsRequest(body=body))


def cursor(client: Client, stream: str, partition: str = "0", **query: object) -> str:
    reply = client.show_cursor(ShowCursorRequest(stream_name=stream, partition_id=partition, **query))
    text = reply.partition_cursor
    assert isinstance(text, str)
    return text


def read(client: Client, where: str) -> list[bytes]:
    """Follow cursors until an empty page."""
    data: list[bytes] = []
    while True:
        reply = client.consume_records(ConsumeRecordsRequest(partition_cursor=where))
        assert reply.next_partition_cursor
        if not reply.records:
            return data
        data += [base64.b64decode(record.data) for record in reply.records]
        where = reply.next_partition_cursor


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refused(call: Callable[[], object]) -> ClientRequestException:
    with pytest.raises(ClientRequestException) as caught:
        call()
    error: ClientRequestException = caught.value
    assert error.request_id
    return error


class TestStreams:
    def test_create_with_every_field_and_show(self, client: Client, name: str) -> None:
        create(
            client,
            name,
            2,
            stream_type="ADVANCED",
            data_type="CSV",
            data_duration=48,
            auto_scale_enabled=True,
            auto_scale_min_partition_count=1,
            auto_scale_max_partition_count=4,
            data_schema=AVRO,
            csv_properties=CSVProperties(delimiter=";"),
            compression_format="snappy",
            tags=[Tag(key="team", value="blue")],
            sys_tags=[SysTag(key="_sys_enterprise_project_id", value="0")],
        )
        shown = client.show_stream(ShowStreamRequest(stream_name=name))
        assert (shown.stream_name, shown.status, shown.stream_type) == (name, "RUNNING", "ADVANCED")
        assert (shown.data_type, shown.retention_period, shown.compression_format) == ("CSV", 48, "snappy")
        assert shown.auto_scale_enabled is True
        assert (shown.auto_scale_min_partition_count, shown.auto_scale_max_partition_count) == (1, 4)
        assert shown.data_schema == AVRO
        assert shown.csv_properties.delimiter == ";"
        assert [(tag.key, tag.value) for tag in shown.tags] == [("team", "blue")]
        assert [tag.key for tag in shown.sys_tags] == ["_sys_enterprise_project_id"]
        assert (shown.writable_partition_count, shown.readable_partition_count) == (2, 2)
        assert [part.partition_id for part in shown.partitions] == [
            "shardId-0000000000",
            "shardId-0000000001",
        ]
        assert shown.has_more_partitions is False
        assert shown.stream_id

    def test_pages_of_partitions(self, client: Client, name: str) -> None:
        create(client, name, 5)
        seen: list[str] = []
        start = None
        while True:
            page = client.show_stream(
                ShowStreamRequest(stream_name=name, limit_partitions=2, start_partition_id=start)
            )
            seen += [part.partition_id for part in page.partitions]
            if not page.has_more_partitions:
                break
            start = seen[-1]
        assert seen == [f"shardId-{number:010}" for number in range(5)]

    def test_pages_of_streams(self, client: Client, name: str) -> None:
        names = [f"{name}-{letter}" for letter in "cab"]
        for one in names:
            create(client, one)
        seen: list[str] = []
        start = name
        while True:
            page = client.list_streams(ListStreamsRequest(limit=2, start_stream_name=start))
            assert page.total_number >= 3
            assert [info.stream_name for info in page.stream_info_list] == page.stream_names
            seen += page.stream_names
            if not page.has_more_streams:
                break
            start = seen[-1]
        assert [one for one in seen if one.startswith(f"{name}-")] == sorted(names)
        for one in names:
            client.delete_stream(DeleteStreamRequest(stream_name=one))

    def test_delete(self, client: Client, name: str) -> None:
        create(client, name)
        client.delete_stream(DeleteStreamRequest(stream_name=name))
        error = refused(lambda: client.delete_stream(DeleteStreamRequest(stream_name=f"{name}-no")))
        assert (error.status_code, error.error_code) == (404, "DIS.4301")


class TestRecords:
    def test_put_by_key_hash_and_partition(self, client: Client, name: str) -> None:
        create(client, name, 3)
        reply = put(
            client,
            name,
            {"data": b64(b"0"), "partition_key": "hello"},
            {"data": b64(b"1"), "explicit_hash_key": "0"},
            {"data": b64(b"2"), "explicit_hash_key": str((1 << 63) - 1)},
            {"data": b64(b"3"), "partition_id": "1"},
            {"data": b64(b"4"), "partition_id": "shardId-0000000001"},
        )
        assert reply.failed_record_count == 0
        places = [int(entry.partition_id.removeprefix("shardId-")) for entry in reply.records]
        assert places == [2, 0, 2, 1, 1]
        assert [entry.sequence_number for entry in reply.records] == ["0", "0", "1", "0", "1"]
        assert all(entry.error_code is None for entry in reply.records)
        for number, expected in enumerate(([b"1"], [b"3", b"4"], [b"0", b"2"])):
            assert read(client, cursor(client, name, str(number), cursor_type="TRIM_HORIZON")) == expected

    def test_failures_of_single_records(self, client: Client, name: str) -> None:
        create(client, name, 2)
        reply = put(
            client,
            name,
            {"data": b64(b"good"), "partition_id": "0"},
            {"data": b64(b"bad"), "partition_id": "9"},
            {"data": b64(b"bad"), "explicit_hash_key": "-1"},
        )
        assert reply.failed_record_count == 2
        assert [entry.error_code for entry in reply.records] == [None, "DIS.4302", "DIS.4200"]
        assert reply.records[1].error_message.startswith("Partition does not exist. ")
        assert reply.records[1].sequence_number is None
        assert reply.records[1].partition_id is None

    def test_what_a_record_carries(self, client: Client, name: str) -> None:
        create(client, name)
        put(client, name, {"data": b64(b"a"), "partition_key": "k"}, {"data": b64(b"b")})
        page = client.consume_records(ConsumeRecordsRequest(partition_cursor=cursor(client, name)))
        first, second = page.records
        assert (first.partition_key, first.sequence_number, first.timestamp_type) == ("k", "0", "CreateTime")
        assert first.timestamp > 1_600_000_000_000
        assert second.partition_key is None

    def test_every_cursor_type(self, client: Client, name: str) -> None:
        create(client, name)
        put(client, name, *({"data": b64(letter)} for letter in (b"a", b"b", b"c")))
        page = client.consume_records(ConsumeRecordsRequest(partition_cursor=cursor(client, name)))
        stamp = page.records[0].timestamp
        everything = [b"a", b"b", b"c"]
        for query, expected in (
            ({}, everything),
            ({"cursor_type": "TRIM_HORIZON"}, everything),
            ({"cursor_type": "LATEST"}, []),
            ({"cursor_type": "AT_SEQUENCE_NUMBER", "starting_sequence_number": "1"}, [b"b", b"c"]),
            ({"starting_sequence_number": "2"}, [b"c"]),
            ({"cursor_type": "AFTER_SEQUENCE_NUMBER", "starting_sequence_number": "0"}, [b"b", b"c"]),
            ({"cursor_type": "AT_TIMESTAMP", "timestamp": stamp}, everything),
            ({"cursor_type": "AT_TIMESTAMP", "timestamp": stamp + 60_000}, []),
        ):
            assert read(client, cursor(client, name, **query)) == expected, query

    def test_reads_many_pages_to_the_end(self, client: Client, name: str) -> None:
        create(client, name, stream_type="ADVANCED")
        data = [os.urandom(20_000) for _ in range(100)]
        for start in range(0, 100, 25):
            put(client, name, *({"data": b64(one)} for one in data[start : start + 25]))
        where = cursor(client, name, cursor_type="TRIM_HORIZON")
        pages, back = 0, []
        while True:
            page = client.consume_records(
                ConsumeRecordsRequest(partition_cursor=where, max_fetch_bytes=150_000)
            )
            if not page.records:
                break
            pages += 1
            back += [base64.b64decode(record.data) for record in page.records]
            where = page.next_partition_cursor
        assert back == data
        assert pages >= 100 // 7


class TestErrors:
    """The SDK shows code, message and request id, not the HTTP status in their place (clients.md 5)."""

    def test_missing_stream(self, server: Server, client: Client, name: str) -> None:
        for call, status in (
            (lambda: client.show_stream(ShowStreamRequest(stream_name=name)), 404),
            (lambda: put(client, name, {"data": b64(b"a")}), 400),
            (lambda: cursor(client, name), 400),
        ):
            error = refused(call)
            assert (error.status_code, error.error_code) == (status, "DIS.4301")
            assert error.error_msg == f"Stream does not exist. [{name}][{server.project_id}]"

    def test_other_codes(self, client: Client, name: str) -> None:
        create(client, name)
        for call, code in (
            (lambda: create(client, name), "DIS.4307"),
            (lambda: create(client, f"{name}x", 51), "DIS.4308"),
            (lambda: create(client, f"{name}x", 0), "DIS.4200"),
            (lambda: create(client, f"{name}x", data_schema="{"), "DIS.4360"),
            (lambda: put(client, name), "DIS.4202"),
            (lambda: put(client, name, {"data": "!"}), "DIS.4300"),
            (lambda: cursor(client, name, cursor_type="NEWEST"), "DIS.4215"),
            (lambda: cursor(client, name, starting_sequence_number="x"), "DIS.4216"),
            (lambda: cursor(client, name, starting_sequence_number="7"), "DIS.4224"),
            (lambda: cursor(client, name, "7"), "DIS.4302"),
            (lambda: read(client, "nonsense"), "DIS.4217"),
        ):
            error = refused(call)
            assert (error.status_code, error.error_code) == (400, code), error.error_msg

    def test_wrong_secret(self, server: Server) -> None:
        stranger = client_of(server, sk="not-the-secret-key-of-this-access-key")
        error = refused(lambda: stranger.list_streams(ListStreamsRequest()))
        assert (error.status_code, error.error_code) == (401, "APIGW.0301")

    def test_unknown_access_key(self, server: Server) -> None:
        stranger = client_of(server, ak="NOBODYSKEY1234567890")
        error = refused(lambda: stranger.list_streams(ListStreamsRequest()))
        assert (error.status_code, error.error_code) == (401, "APIGW.0301")

    def test_a_project_of_somebody_else(self, server: Server) -> None:
        stranger = client_of(server, project_id="0123456789abcdef0123456789abcdef")
        error = refused(lambda: stranger.list_streams(ListStreamsRequest()))
        assert (error.status_code, error.error_code) == (400, "DIS.4117")


def test_finds_its_project_through_the_region(server: Server, name: str) -> None:
    """`with_region` and no project id: GET /v3/projects?name=REGION, signed (clients.md 6)."""
    keys = BasicCredentials(server.ak, server.sk).with_iam_endpoint(server.endpoint)
    region = Region(server.project, server.endpoint)
    client = DisClient.new_builder().with_credentials(keys).with_region(region).build()
    create(client, name)
    put(client, name, {"data": b64(b"a")})
    assert read(client, cursor(client, name)) == [b"a"]
    shown = client_of(server).show_stream(ShowStreamRequest(stream_name=name))
    assert shown.stream_name == name
