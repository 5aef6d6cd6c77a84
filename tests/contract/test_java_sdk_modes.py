"""The Java SDK (1.3.21), unmodified, over TCP: how requests travel (JSON, protobuf, lz4, snappy, zstd, tokens, an endpoint of their own
for management), its clients with threads and its producer, what it sends again by itself, and what time brings.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator

import cramjam
import pytest
from tests.support import controls
from tests.support.driver import Driver, Json, Refused
from tests.support.sdks import Sdk, java, java_client
from tests.support.server import Server
from tests.support.wire import b64

pytestmark = pytest.mark.services

Make = Callable[..., str]
MODES: dict[str, dict[str, str]] = {
    "json": {},
    "protobuf": {"body__serialize__type": "protobuf"},
    **{
        f"{form}-{packing}": {
            "body__serialize__type": form,
            "body__compress__enabled": "true",
            "body__compress__type": packing,
        }
        for form in ("json", "protobuf")
        for packing in ("lz4", "snappy", "zstd")
    },
}


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with java() as started:
        yield started


def put(sdk: Sdk, stream: str, *data: bytes, **fields: object) -> list[Json]:
    records = [{"data": b64(one), **fields} for one in data]
    reply = sdk.call("putRecords", streamName=stream, records=records)
    assert reply["failedRecordCount"] == 0, reply
    entries: list[Json] = reply["records"]
    return entries


def read(sdk: Sdk, stream: str, partition: str = "0", operation: str = "{}") -> list[bytes]:
    """Everything, page by page; `operation` is a pattern of the methods' names."""
    where = sdk.call(
        operation.format("getPartitionCursor"),
        streamName=stream,
        partitionId=partition,
        cursorType="TRIM_HORIZON",
    )["partitionCursor"]
    back: list[bytes] = []
    while True:
        page = sdk.call(operation.format("getRecords"), partitionCursor=where)
        if not page["records"]:
            return back
        back += [base64.b64decode(record["data"]) for record in page["records"]]
        where = page["nextPartitionCursor"]


@pytest.mark.parametrize("mode", MODES)
class TestBodies:
    def test_records_of_any_bytes(self, driver: Driver, server: Server, make: Make, mode: str) -> None:
        """clients.md 3.1 to 3.3. Protobuf bodies go both ways; what a mode writes, plain JSON reads."""
        sdk = java_client(driver, server, mode, **MODES[mode])
        stream = make(partitions=2)
        data = [b"", bytes(range(256)), b"text " * 10_000, os.urandom(50_000), "größer".encode()]
        entries = put(sdk, stream, *data, partitionId="1", partitionKey="key")
        assert [entry["partitionId"] for entry in entries] == ["shardId-0000000001"] * len(data)
        assert [entry["sequenceNumber"] for entry in entries] == [str(n) for n in range(len(data))]
        assert read(sdk, stream, "1") == data
        assert read(java_client(driver, server, "plain"), stream, "1") == data
        assert read(sdk, stream) == []

    def test_everything_else(self, driver: Driver, server: Server, name: str, mode: str) -> None:
        """Compression covers every POST and PUT; nothing but records is protobuf."""
        sdk = java_client(driver, server, mode, **MODES[mode])
        sdk.call("createStream", streamName=name, partitionCount=1)
        sdk.call("updatePartitionCount", streamName=name, targetPartitionCount=2)
        assert sdk.call("describeStream", streamName=name)["writablePartitionCount"] == 2
        put(sdk, name, b"x", partitionId="0")
        sdk.call("createApp", appName=name)
        where = {"appName": name, "streamName": name, "checkpointType": "LAST_READ", "partitionId": "0"}
        sdk.call("commitCheckpoint", **where, sequenceNumber="1")
        assert sdk.call("getCheckpoint", **where)["sequenceNumber"] == "1"
        sdk.call("deleteApp", appName=name)
        sdk.call("deleteStream", streamName=name)

    def test_refusals(self, driver: Driver, server: Server, name: str, mode: str) -> None:
        sdk = java_client(driver, server, mode, **MODES[mode])
        error = sdk.refused("putRecords", streamName=name, records=[{"data": b64(b"a")}])
        assert (error.kind, error.fields["getStreamName"]) == ("DISStreamNotExistsException", name)
        error = sdk.refused("getRecords", partitionCursor="nonsense")
        assert (error.kind, error.status, error.code) == ("DISClientException", 400, "DIS.4217")


class TestData:
    def test_compressed_records(self, driver: Driver, server: Server, make: Make) -> None:
        """`data.compress.enabled`: the server keeps snappy bytes and knows nothing of it (clients.md 3.4)."""
        sdk = java_client(driver, server, "snappy", data__compress__enabled="true")
        stream = make()
        put(sdk, stream, b"again and " * 500, b"")
        assert read(sdk, stream) == [b"again and " * 500, b""]
        kept = read(java_client(driver, server, "plain"), stream)
        assert len(kept[0]) < 1000
        assert bytes(cramjam.snappy.decompress_raw(kept[0])) == b"again and " * 500

    def test_encrypted_records(self, driver: Driver, server: Server, make: Make) -> None:
        """`data.encrypt.enabled`: the server keeps a text of salt, vector and cipher."""
        sdk = java_client(
            driver, server, "secret", data__encrypt__enabled="true", data__password="correct horse"
        )
        stream = make()
        put(sdk, stream, b"nobody reads this")
        assert read(sdk, stream) == [b"nobody reads this"]
        (kept,) = read(java_client(driver, server, "plain"), stream)
        assert b"nobody" not in kept


class TestAuthentication:
    def test_with_a_token(self, driver: Driver, server: Server, make: Make) -> None:
        """`auth.type=authtoken`: X-Auth-Token and neither a signature nor a date (clients.md 2.1)."""
        given = {"ak": "", "sk": "", "auth__type": "authtoken", "auth__token": server.token()}
        sdk = java_client(driver, server, "token", **given)
        stream = make()
        put(sdk, stream, b"a")
        assert read(sdk, stream) == [b"a"]
        assert stream in sdk.call("listStreams", limit=100)["streamNames"]
        bad = java_client(driver, server, "bad-token", **(given | {"auth__token": "x" * 200}))
        error = bad.refused("listStreams")
        assert (error.kind, error.status) == ("DISAuthenticationException", 401)

    def test_keys_changed_while_it_runs(self, driver: Driver, server: Server) -> None:
        sdk = java_client(driver, server, "changed", sk="wrong-secret-key")
        assert sdk.refused("listStreams").status == 401
        sdk.call("updateCredentials", ak=server.ak, sk=server.sk)
        sdk.call("listStreams")

    def test_an_endpoint_for_management(self, driver: Driver, server: Server, name: str) -> None:
        """`manager.endpoint` takes streams and apps, `endpoint` records (clients.md 6)."""
        nowhere = "http://127.0.0.1:9"
        split = java_client(driver, server, "split", endpoint=nowhere, manager__endpoint=server.endpoint)
        split.call("createStream", streamName=name, partitionCount=1)
        assert split.call("describeStream", streamName=name)["streamName"] == name
        assert "127.0.0.1:9" in split.refused("getRecords", partitionCursor="x").message
        both = java_client(driver, server, "both", manager__endpoint=server.endpoint)
        put(both, name, b"a")
        assert read(both, name) == [b"a"]
        both.call("deleteStream", streamName=name)

    def test_a_host_without_a_dot_is_refused_by_it(self, driver: Driver, server: Server) -> None:
        """clients.md 6: `localhost` never gets as far as a server."""
        with pytest.raises(Refused, match="invalid endpoint"):
            java_client(driver, server, "host", endpoint=f"http://localhost:{server.port}")


@pytest.mark.parametrize("kind", ["async", "nio"])
class TestThreads:
    """DISClientAsync runs calls on threads, DISClientAsync2 on an event loop; both tell a Future and an AsyncHandler."""

    def test_every_operation(self, driver: Driver, server: Server, name: str, kind: str) -> None:
        sdk = java_client(driver, server, kind, kind)
        sdk.call("createStreamAsync", streamName=name, partitionCount=1)
        assert name in sdk.call("listStreamsAsync", limit=100)["streamNames"]
        data = [b"a", os.urandom(10_000)]
        reply = sdk.call("putRecordsAsync", streamName=name, records=[{"data": b64(one)} for one in data])
        assert reply["failedRecordCount"] == 0
        assert read(sdk, name, operation="{}Async") == data
        changed = sdk.call("updatePartitionCountAsync", streamName=name, targetPartitionCount=2)
        assert changed["targetPartitionCount"] == 2
        assert len(sdk.call("describeStreamAsync", streamName=name)["partitions"]) == 2
        sdk.call("createAppAsync", appName=name)
        assert sdk.call("describeAppAsync", appName=name)["appName"] == name
        assert name in [one["appName"] for one in sdk.call("listAppsAsync", limit=100)["apps"]]
        where = {"appName": name, "streamName": name, "checkpointType": "LAST_READ", "partitionId": "0"}
        sdk.call("commitCheckpointAsync", **where, sequenceNumber="1")
        assert sdk.call("getCheckpointAsync", **where)["sequenceNumber"] == "1"
        state = sdk.call(
            "listStreamConsumingStateAsync",
            appName=name,
            streamName=name,
            checkpointType="LAST_READ",
            limit=10,
        )
        assert state["partitionConsumingStates"][0]["sequenceNumber"] == "1"
        deletes: tuple[tuple[str, Json], ...] = (
            ("deleteCheckpointAsync", where),
            ("deleteAppAsync", {"appName": name}),
            ("deleteStreamAsync", {"streamName": name}),
        )
        # DISClientAsync2 never sends a DELETE and fails by itself: somebody else deletes then.
        deleting = sdk if kind == "async" else java_client(driver, server, "deleting", "async")
        for operation, arguments in deletes:
            deleting.call(operation, **arguments)
        assert sdk.refused("describeAppAsync", appName=name)
        assert sdk.refused("describeStreamAsync", streamName=name)
        sdk.call("close")

    def test_refusals(self, driver: Driver, server: Server, name: str, kind: str) -> None:
        """DISClientAsync2 has no exceptions of its own and shows the status alone."""
        sdk = java_client(driver, server, kind, kind)
        put_error = sdk.refused("putRecordsAsync", streamName=name, records=[{"data": b64(b"a")}])
        get_error = sdk.refused("getRecordsAsync", partitionCursor="nonsense")
        if kind == "async":
            assert put_error.kind == "DISStreamNotExistsException"
            assert get_error.code == "DIS.4217"
        else:
            assert put_error.message == get_error.message == "400 Bad Request"
        sdk.call("close")


class TestProducer:
    """DISProducer: batches in the background, one Future a record."""

    def test_many_records(self, driver: Driver, server: Server, make: Make) -> None:
        stream = make(partitions=2, stream_type="ADVANCED")
        sdk = java_client(driver, server, "producer", "producer", linger__ms="5", batch__count="100")
        records = [{"data": b64(str(n).encode()), "partitionKey": str(n % 7)} for n in range(1000)]
        entries = sdk.call("put", streamName=stream, records=records)
        assert {entry["errorCode"] for entry in entries} == {None}
        plain = java_client(driver, server, "plain")
        back = [read(plain, stream, partition) for partition in ("0", "1")]
        assert sorted(int(one) for part in back for one in part) == list(range(1000))
        for n, entry in enumerate(entries):
            partition = int(entry["partitionId"].removeprefix("shardId-"))
            assert back[partition][int(entry["sequenceNumber"])] == str(n).encode()
        sdk.call("close")

    def test_in_order(self, driver: Driver, server: Server, make: Make) -> None:
        """`order.by.partition`: it computes the partition as the server does, from `writable_partition_count`."""
        stream = make(partitions=3, stream_type="ADVANCED")
        sdk = java_client(
            driver, server, "ordered", "producer", order__by__partition="true", batch__count="50"
        )
        records = [{"data": b64(b"%d" % n), "partitionKey": "0a1"[n % 3]} for n in range(300)]
        sdk.call("put", streamName=stream, records=records)
        plain = java_client(driver, server, "plain")
        back = [[int(one) for one in read(plain, stream, partition)] for partition in ("0", "1", "2")]
        # clients.md 4, n=3: "0" and "1" hash into the second third, "a" into the first.
        assert back[0] == [n for n in range(300) if n % 3 == 1]
        assert back[1] == [n for n in range(300) if n % 3 != 1]
        assert back[2] == []
        sdk.call("close")


class TestRetries:
    def test_throttled_records_are_sent_again(self, driver: Driver, server: Server, make: Make) -> None:
        """DIS.4303 for a record: it sends just those again, until all are in (clients.md 5). 1 MB a second is allowed."""
        stream = make()
        sdk = java_client(driver, server, "again", records__retries="20")
        data = [bytes([n]) * 200_000 for n in range(12)]
        for start in range(0, 12, 4):
            put(sdk, stream, *data[start : start + 4], partitionKey="k")
        # Reading is throttled too (2 MB a second); that is an exception, tried again when its code is named.
        reader = java_client(
            driver, server, "reader", exception__retries="9", exception__retriable__error__code="DIS.4303"
        )
        assert sorted(read(reader, stream)) == data

    def test_without_retries_the_codes_are_shown(self, driver: Driver, server: Server, make: Make) -> None:
        stream = make()
        sdk = java_client(driver, server, "never", records__retries="0")
        records = [{"data": b64(bytes(400_000)), "partitionKey": "k"} for _ in range(4)]
        entries: list[Json] = []
        for _ in range(3):
            reply = sdk.call("putRecords", streamName=stream, records=records)
            failed = [one for one in reply["records"] if one["errorCode"]]
            assert reply["failedRecordCount"] == len(failed)
            entries += failed
        assert entries
        assert {(one["errorCode"], one["partitionId"]) for one in entries} == {("DIS.4303", None)}

    def test_reading_too_much(self, driver: Driver, server: Server, make: Make) -> None:
        """2 MB a second for each partition; it does not try again unless told to."""
        stream = make()
        sdk = java_client(driver, server, "greedy")
        put(sdk, stream, bytes(900_000))
        where = sdk.call("getPartitionCursor", streamName=stream, partitionId="0", cursorType="TRIM_HORIZON")
        with pytest.raises(Refused) as caught:
            for _ in range(100):
                sdk.call("getRecords", **where)
        assert (caught.value.kind, caught.value.code) == ("DISTrafficControlException", "DIS.4303")

    def test_a_server_that_comes_back(self, driver: Driver, start_server: Callable[..., Server]) -> None:
        """Refused connections are tried again (clients.md 5); what was acknowledged is there after a kill."""
        server = start_server("--limits", "relaxed")
        sdk = java_client(driver, server, "back", exception__retries="8")
        sdk.call("createStream", streamName="s", partitionCount=1)
        put(sdk, "s", b"before")
        server.restart(kill=True)
        put(sdk, "s", b"after")
        assert read(sdk, "s") == [b"before", b"after"]


def test_what_time_brings(driver: Driver, start_server: Callable[..., Server]) -> None:
    """Cursors live 5 minutes, records and the partitions that a merge closed their retention: each has its exception."""
    server = start_server("--limits", "relaxed", env=controls.ON)
    sdk = java_client(driver, server, "clocked")
    sdk.call("createStream", streamName="s", partitionCount=2, dataDuration=24)
    put(sdk, "s", b"old", b"old too", partitionId="0")
    where = {"streamName": "s", "partitionId": "0", "cursorType": "TRIM_HORIZON"}
    cursor = sdk.call("getPartitionCursor", **where)["partitionCursor"]
    controls.advance(server, 301)
    error = sdk.refused("getRecords", partitionCursor=cursor)
    assert (error.kind, error.code) == ("DISClientException", "DIS.4225")
    sdk.call("updatePartitionCount", streamName="s", targetPartitionCount=1)
    controls.advance(server, 23 * 3600)
    # A signature's date is near this machine's clock, not the stepped one; a token's is the server's.
    given = {"auth__type": "authtoken", "auth__token": server.token(), "ak": "", "sk": ""}
    later = java_client(driver, server, "later", **given)
    controls.advance(server, 3600 - 420)
    at_first = {"streamName": "s", "partitionId": "0", "startingSequenceNumber": "0"}
    cursor = later.call("getPartitionCursor", **at_first)["partitionCursor"]
    controls.advance(server, 240)
    error = later.refused("getRecords", partitionCursor=cursor)
    assert (error.kind, error.code) == ("DISSeqNumberOutOfRangeGettingRecordsException", "DIS.4226")
    controls.advance(server, 3600)
    error = later.refused("getPartitionCursor", **at_first)
    assert error.kind == "DISSequenceNumberOutOfRangeException"
    assert (error.fields["getEarliestSequenceNumber"], error.fields["getInvalidSequenceNumber"]) == (2, 0)
    error = later.refused("getPartitionCursor", streamName="s", partitionId="1")
    assert (error.kind, error.code) == ("DISPartitionExpiredException", "DIS.4319")
    put(later, "s", b"new")
    assert read(later, "s") == [b"new"]
