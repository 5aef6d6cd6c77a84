"""The older SDK `huaweicloud-python-sdk-dis` over TCP, with JSON and with protobuf bodies."""

from __future__ import annotations

import pytest
from tests.support.python_sdks import P0, Failed, OldSdk
from tests.support.server import Server


def test_create_describe_delete(sdk: OldSdk, name: str) -> None:
    status, _ = sdk.call("createStream", name, 2, "JSON", "ADVANCED", 48)
    assert status == 201
    shown = sdk.body("describeStream", name)
    assert shown["stream_name"] == name
    assert (shown["stream_type"], shown["data_type"], shown["retention_period"]) == ("ADVANCED", "JSON", 48)
    assert [part["status"] for part in shown["partitions"]] == ["ACTIVE", "ACTIVE"]
    status, _ = sdk.call("deleteStream", name)
    assert status == 204


def test_list_and_pages(sdk: OldSdk, name: str) -> None:
    names = [f"{name}-{letter}" for letter in "abc"]
    for one in names:
        sdk.call("createStream", one, 1, "BLOB", "COMMON")
    listed = sdk.body("listStream", name, 2)
    assert listed["stream_names"] == names[:2]
    assert listed["has_more_streams"] is True
    assert listed["total_number"] >= 3
    assert sdk.body("listStream", names[1])["stream_names"][:1] == names[2:]
    for one in names:
        sdk.call("deleteStream", one)


def test_pages_of_partitions(sdk: OldSdk, name: str) -> None:
    sdk.call("createStream", name, 5, "BLOB", "COMMON")
    page = sdk.body("describeStream", name, "shardId-0000000001", 2)
    assert [part["partition_id"] for part in page["partitions"]] == [
        "shardId-0000000002",
        "shardId-0000000003",
    ]
    assert page["has_more_partitions"] is True


def test_put_and_get(sdk: OldSdk, name: str) -> None:
    sdk.call("createStream", name, 2, "BLOB", "COMMON")
    texts = ["plain", "ключ", "x" * 10_000, " "]
    records = [
        {"data": texts[0], "partition_id": P0},
        {"data": texts[1], "partition_id": "0"},
        {"data": texts[2], "explicit_hash_key": "0"},
        {"data": texts[3], "partition_key": "a"},
        {"data": "other", "explicit_hash_key": str((1 << 63) - 1)},
    ]
    answer = sdk.body("putRecords", name, records)
    assert answer["failed_record_count"] == 0
    assert [entry["sequence_number"] for entry in answer["records"]] == ["0", "1", "2", "3", "0"]
    assert [entry["partition_id"] for entry in answer["records"]] == [P0] * 4 + ["shardId-0000000001"]
    assert sdk.read(name) == [text.encode() for text in texts]
    assert sdk.read(name, "shardId-0000000001") == [b"other"]


def test_what_a_record_carries(sdk: OldSdk, name: str) -> None:
    sdk.call("createStream", name, 1, "BLOB", "COMMON")
    sdk.call("putRecords", name, [{"data": "a", "partition_key": "k"}, {"data": "b", "partition_id": "0"}])
    cursor = sdk.body("getCursor", name, P0, "TRIM_HORIZON")["partition_cursor"]
    first, second = sdk.body("getRecords", cursor)["records"]
    assert (first["partitionKey"], first["sequence_number"], first["timestamp_type"]) == (
        "k",
        "0",
        "CreateTime",
    )
    assert isinstance(first["timestamp"], int)
    assert second["partitionKey"] is None


def test_every_cursor_type(sdk: OldSdk, name: str) -> None:
    sdk.call("createStream", name, 1, "BLOB", "COMMON")
    sdk.call("putRecords", name, [{"data": letter, "partition_id": "0"} for letter in "abc"])
    cursor = sdk.body("getCursor", name, P0, "TRIM_HORIZON")["partition_cursor"]
    stamp = sdk.body("getRecords", cursor)["records"][0]["timestamp"]
    for more, expected in (
        (("TRIM_HORIZON",), b"abc"),
        (("LATEST",), b""),
        (("AT_SEQUENCE_NUMBER", "1"), b"bc"),
        (("AT_SEQUENCE_NUMBER",), b"abc"),
        (("AFTER_SEQUENCE_NUMBER", "1"), b"c"),
        (("AT_TIMESTAMP", "", str(stamp)), b"abc"),
        (("AT_TIMESTAMP", "", str(stamp + 60_000)), b""),
    ):
        assert b"".join(sdk.read(name, "0", *more)) == expected, more


def test_failures_of_single_records(sdk: OldSdk, name: str) -> None:
    """It takes a record for failed when its entry has no sequence_number."""
    sdk.call("createStream", name, 1, "BLOB", "COMMON")
    records = [{"data": "good", "partition_id": "0"}, {"data": "bad", "partition_id": "7"}]
    answer = sdk.body("put_records", name, "", records)
    assert answer["failed_record_count"] == 1
    good, bad = answer["records"]
    assert (good["partition_id"], good["sequence_number"]) == (P0, "0")
    assert "error_code" not in good
    assert bad["error_code"] == "DIS.4302"
    assert not bad.get("sequence_number")
    assert sdk.read(name) == [b"good"]


def test_put_by_stream_id(sdk: OldSdk, name: str) -> None:
    sdk.call("createStream", name, 1, "BLOB", "COMMON")
    stream_id = sdk.body("describeStream", name)["stream_id"]
    assert sdk.body("put_records", "", stream_id, [{"data": "a"}])["failed_record_count"] == 0
    assert sdk.read(name) == [b"a"]


def test_resends_what_traffic_control_refused(sdk: OldSdk, name: str) -> None:
    """More than a partition's 1,000 records a second: the SDK sends again just what got DIS.4303, until all are in."""
    sdk.call("createStream", name, 1, "BLOB", "COMMON")
    for start in (0, 800):
        records = [{"data": str(start + number), "partition_id": "0"} for number in range(800)]
        assert sdk.body("putRecords", name, records)["failed_record_count"] == 0
    assert sorted(int(data) for data in sdk.read(name)) == list(range(1600))


@pytest.mark.parametrize(
    ("method", "args", "code"),
    [
        ("describeStream", ["no-such-stream"], "DIS.4301"),
        ("deleteStream", ["no-such-stream"], "DIS.4301"),
        ("put_records", ["no-such-stream", "", [{"data": "a"}]], "DIS.4301"),
        ("getCursor", ["no-such-stream", "0", "LATEST"], "DIS.4301"),
        ("createStream", ["bad name", 1, "BLOB", "COMMON"], "DIS.4200"),
        ("createStream", ["x", 99, "BLOB", "COMMON"], "DIS.4308"),
        ("createStream", ["x", 1, "BLOB", "COMMON", 1], "DIS.4200"),
        ("getRecords", ["nonsense"], "DIS.4217"),
        ("put_records", ["no-such-stream", "", []], "DIS.4301"),
    ],
)
def test_refusals_as_it_shows_them(sdk: OldSdk, method: str, args: list[object], code: str) -> None:
    with pytest.raises(Failed, match=code):
        sdk.call(method, *args)


def test_wrong_secret(server: Server) -> None:
    client = OldSdk(server, "json", sk="wrong")
    with pytest.raises(Failed, match=r"APIGW\.0301"):
        client.call("listStream")
    client.close()
