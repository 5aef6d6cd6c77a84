"""The Open Telekom Cloud SDK `otcextensions`, unmodified: password, token, endpoint from the catalog (type disv2)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from openstack import exceptions
from tests.support.python_sdks import connect
from tests.support.server import Server


def read(dis: Any, cursor: str) -> list[bytes]:
    """One page."""
    return [base64.b64decode(record.data) for record in dis.download_data(cursor)]


def test_takes_its_endpoint_from_the_catalog(server: Server, dis: Any) -> None:
    assert dis.get_endpoint() == f"{server.endpoint}/v2/{server.project_id}"


def test_streams(dis: Any, name: str) -> None:
    dis.create_stream(
        stream_name=name,
        partition_count=2,
        stream_type="COMMON",
        data_type="JSON",
        data_duration=48,
        tags=[{"key": "k", "value": "v"}],
    )
    shown = dis.get_stream(name)
    assert (shown.name, shown.status, shown.data_type, shown.retention_period) == (
        name,
        "RUNNING",
        "JSON",
        48,
    )
    assert shown.writable_partition_count == shown.readable_partition_count == 2
    assert shown.is_auto_scale_enabled is False
    assert [part["partition_id"] for part in shown.partitions] == ["shardId-0000000000", "shardId-0000000001"]
    assert shown.tags == [{"key": "k", "value": "v"}]
    assert shown.created_at > 1_600_000_000_000


def test_pages_of_streams_without_a_limit(dis: Any, name: str) -> None:
    """It pages by the last name seen and drops the limit (clients.md 1.2)."""
    names = [f"{name}-{number:02}" for number in range(12)]
    for one in names:
        dis.create_stream(stream_name=one, partition_count=1)
    assert [stream.name for stream in dis.streams() if stream.name.startswith(f"{name}-")] == names
    limited = list(dis.streams(limit=3, start_stream_name=f"{name}-04"))
    assert [stream.name for stream in limited] == names[5:8]
    for one in names:
        dis.delete_stream(one)


def test_records_and_every_cursor_type(dis: Any, name: str) -> None:
    dis.create_stream(stream_name=name, partition_count=1)
    records = [
        {"data": base64.b64encode(letter).decode(), "partition_key": "k"} for letter in (b"a", b"b", b"c")
    ]
    dis.upload_data(stream_name=name, records=records)
    first = next(iter(dis.download_data(dis.get_data_cursor(name, "0").partition_cursor)))
    assert (first.sequence_number, first.partition_key, first.timestamp_type) == ("0", "k", "CreateTime")
    for query, expected in (
        ({}, [b"a", b"b", b"c"]),
        ({"cursor-type": "TRIM_HORIZON"}, [b"a", b"b", b"c"]),
        ({"cursor-type": "LATEST"}, []),
        ({"cursor-type": "AT_SEQUENCE_NUMBER", "starting-sequence-number": "1"}, [b"b", b"c"]),
        ({"cursor-type": "AFTER_SEQUENCE_NUMBER", "starting-sequence-number": "1"}, [b"c"]),
        ({"cursor-type": "AT_TIMESTAMP", "timestamp": first.timestamp}, [b"a", b"b", b"c"]),
    ):
        cursor = dis.get_data_cursor(name, "shardId-0000000000", **query).partition_cursor
        assert read(dis, cursor) == expected, query


def test_delete(dis: Any, name: str) -> None:
    dis.create_stream(stream_name=name, partition_count=1)
    dis.delete_stream(name)


def test_a_missing_stream_is_not_found(dis: Any, name: str) -> None:
    """It takes nothing but 404 for "not found"."""
    with pytest.raises(exceptions.NotFoundException) as caught:
        dis.get_stream(name)
    assert "DIS.4301" in str(caught.value.response.text)
    with pytest.raises(exceptions.NotFoundException):
        dis.delete_stream(name)
    dis.delete_stream(name, ignore_missing=True)


def test_refusals_show_the_message(dis: Any, name: str) -> None:
    dis.create_stream(stream_name=name, partition_count=1)
    with pytest.raises(exceptions.BadRequestException) as caught:
        dis.create_stream(stream_name=name, partition_count=1)
    assert "The stream already exists." in str(caught.value)
    assert caught.value.response.json()["errorCode"] == "DIS.4307"
    with pytest.raises(exceptions.BadRequestException):
        dis.get_data_cursor(name, "9")


def test_a_wrong_password(server: Server) -> None:
    with pytest.raises(Exception, match="401"):
        connect(server, password="wrong").dis.get_endpoint()
