"""The Java SDK (`huaweicloud-sdk-java-dis` 1.3.21), unmodified, over TCP: every operation, and what each refusal becomes in it.

How requests travel (protobuf, compression, tokens, threads) is in test_java_sdk_modes.py.
"""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Callable, Iterator

import pytest
from tests.support.driver import Driver, Json
from tests.support.sdks import Sdk, java, java_client
from tests.support.server import Server
from tests.support.tasks import SAMPLES, body_of, server_with
from tests.support.wire import HASH_MAX, PARTITION_0, Wire, b64

pytestmark = pytest.mark.services

Make = Callable[..., str]
PARTITION_1 = "shardId-0000000001"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_with(tmp_path_factory.mktemp("java")) as (started, _):
        yield started


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with java() as started:
        yield started


@pytest.fixture(scope="module")
def sdk(driver: Driver, server: Server) -> Sdk:
    return java_client(driver, server, "json")


@pytest.fixture
def stream(make: Make) -> str:
    return make(data_type="JSON")


@pytest.fixture
def app(sdk: Sdk, wire: Wire, name: str) -> Iterator[str]:
    sdk.call("createApp", appName=name)
    yield name
    wire.call("DELETE", f"/apps/{name}")


def put(sdk: Sdk, stream: str, *records: Json) -> list[Json]:
    reply = sdk.call("putRecords", streamName=stream, records=list(records))
    assert reply["failedRecordCount"] == 0, reply
    entries: list[Json] = reply["records"]
    return entries


def put_data(sdk: Sdk, stream: str, *data: bytes, **fields: object) -> list[Json]:
    return put(sdk, stream, *({"data": b64(one), **fields} for one in data))


def cursor(sdk: Sdk, stream: str, partition: str = "0", **query: object) -> str:
    reply = sdk.call("getPartitionCursor", streamName=stream, partitionId=partition, **query)
    assert isinstance(reply["partitionCursor"], str)
    return reply["partitionCursor"]


def read(sdk: Sdk, where: str) -> list[bytes]:
    reply = sdk.call("getRecords", partitionCursor=where)
    assert reply["nextPartitionCursor"]
    return [base64.b64decode(record["data"]) for record in reply["records"]]


class TestStreams:
    def test_create_and_describe(self, sdk: Sdk, name: str) -> None:
        """5.1.1, 5.1.4. It sends `private` and `is_private` besides (clients.md 1.2)."""
        sdk.call(
            "createStream",
            streamName=name,
            partitionCount=2,
            streamType="ADVANCED",
            dataType="CSV",
            dataDuration=48,
            compressionFormat="gzip",
            csvProperties={"delimiter": ";"},
            tags=[{"key": "k", "value": "v"}],
            sysTags=[{"key": "_sys_enterprise_project_id", "value": "0"}],
            autoScaleEnabled=True,
            autoScaleMinPartitionCount=1,
            autoScaleMaxPartitionCount=5,
        )
        shown = sdk.call("describeStream", streamName=name)
        expected = {
            "streamName": name,
            "status": "RUNNING",
            "streamType": "ADVANCED",
            "dataType": "CSV",
            "retentionPeriod": 48,
            "compressionFormat": "gzip",
            "csvProperties": {"delimiter": ";"},
            "writablePartitionCount": 2,
            "readablePartitionCount": 2,
            "hasMorePartitions": False,
            "autoScaleEnabled": True,
            "autoScaleMinPartitionCount": 1,
            "autoScaleMaxPartitionCount": 5,
            "tags": [{"key": "k", "value": "v"}],
        }
        assert {key: shown[key] for key in expected} == expected
        assert shown["streamId"]
        assert shown["createTime"] > 1_600_000_000_000
        assert [partition["partitionId"] for partition in shown["partitions"]] == [PARTITION_0, PARTITION_1]
        assert {partition["status"] for partition in shown["partitions"]} == {"ACTIVE"}
        assert shown["partitions"][0]["hashRange"].startswith("[0 : ")
        assert shown["partitions"][1]["hashRange"].endswith(f" : {HASH_MAX}]")
        assert shown["partitions"][0]["sequenceNumberRange"] == "[0 : 0]"

    def test_data_schema(self, sdk: Sdk, name: str) -> None:
        schema = '{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}'
        sdk.call("createStream", streamName=name, partitionCount=1, dataType="JSON", dataSchema=schema)
        assert sdk.call("describeStream", streamName=name)["dataSchema"] == schema

    def test_describe_page_by_page(self, sdk: Sdk, make: Make) -> None:
        """The first partition of a page is the one after `startPartitionId`; "0" becomes the long form."""
        name = make(partitions=3)
        first = sdk.call("describeStream", streamName=name, limitPartitions=1)
        assert first["hasMorePartitions"]
        rest = sdk.call("describeStream", streamName=name, startPartitionId="0", limitPartitions=5)
        assert [one["partitionId"] for one in first["partitions"]] == [PARTITION_0]
        assert [one["partitionId"] for one in rest["partitions"]] == [PARTITION_1, "shardId-0000000002"]

    def test_list_page_by_page(self, sdk: Sdk, make: Make) -> None:
        names = sorted(make(tags=[{"key": "n", "value": str(number)}]) for number in range(3))
        before = names[0][:-1]
        page = sdk.call("listStreams", limit=2, exclusiveStartStreamName=before)
        assert page["streamNames"] == names[:2]
        assert page["hasMoreStreams"]
        info = page["streamInfos"][0]
        assert (info["streamName"], info["status"], info["partitionCount"]) == (names[0], "RUNNING", 1)
        assert info["streamId"]
        assert info["tags"][0]["key"] == "n"
        page = sdk.call("listStreams", exclusiveStartStreamName=names[1])
        assert page["streamNames"][0] == names[2]
        assert page["streamNumber"] >= 3

    def test_change_partitions(self, sdk: Sdk, stream: str) -> None:
        """5.1.6, section 6. It reads `result_code` and `result_msg` of `update_partition_counts` where there are any."""
        reply = sdk.call("updatePartitionCount", streamName=stream, targetPartitionCount=2)
        assert reply == {"streamName": stream, "currentPartitionCount": 1, "targetPartitionCount": 2}
        shown = sdk.call("describeStream", streamName=stream)
        assert shown["writablePartitionCount"] == 2
        (change,) = shown["updatePartitionCounts"]
        assert (change["srcPartitionCount"], change["targetPartitionCount"]) == (1, 2)
        assert change["createTimestamp"] > 1_600_000_000_000
        assert change["autoScale"] is False

    def test_update(self, sdk: Sdk, make: Make) -> None:
        """PUT …/update/ (clients.md 1.1)."""
        name = make(data_type="BLOB")
        sdk.call("updateStream", streamName=name, updateType="x", dataType="JSON")
        assert sdk.call("describeStream", streamName=name)["dataType"] == "JSON"
        sdk.call(
            "updateStream",
            streamName=name,
            autoScaleEnabled=True,
            autoScaleMinPartitionCount=1,
            autoScaleMaxPartitionCount=4,
        )
        shown = sdk.call("describeStream", streamName=name)
        assert (shown["autoScaleEnabled"], shown["autoScaleMaxPartitionCount"]) == (True, 4)
        assert shown["dataType"] == "JSON"

    def test_delete(self, sdk: Sdk, name: str) -> None:
        sdk.call("createStream", streamName=name, partitionCount=1)
        sdk.call("deleteStream", streamName=name)
        error = sdk.refused("describeStream", streamName=name)
        assert (error.kind, error.status, error.code) == ("DISClientException", 404, "DIS.4301")


class TestRecords:
    def test_round_trip_with_every_field(self, sdk: Sdk, make: Make) -> None:
        name = make(partitions=2)
        stamp = int(time.time() * 1000) - 60_000
        data = bytes(range(256))
        entries = put(
            sdk,
            name,
            {"data": b64(data), "partitionKey": "k", "partitionId": "1", "timestamp": stamp},
            {"data": b64(b""), "partitionId": PARTITION_1},
        )
        assert [entry["partitionId"] for entry in entries] == [PARTITION_1] * 2
        assert [entry["sequenceNumber"] for entry in entries] == ["0", "1"]
        assert {entry["errorCode"] for entry in entries} == {None}
        reply = sdk.call(
            "getRecords", partitionCursor=cursor(sdk, name, "1"), limit=10, maxFetchBytes=1 << 20
        )
        first, second = reply["records"]
        assert base64.b64decode(first["data"]) == data
        assert (first["partitionKey"], first["sequenceNumber"]) == ("k", "0")
        assert first["timestamp"] > stamp  # when it was written; what the client sends is taken and not kept
        assert first["timestampType"] == "CreateTime"
        assert (second["data"], second["partitionKey"]) == ("", None)
        assert read(sdk, cursor(sdk, name, "0")) == []

    def test_one_record(self, sdk: Sdk, stream: str) -> None:
        reply = sdk.call("putRecord", streamName=stream, data=b64(b"one"), partitionKey="k")
        assert reply == {"partitionId": PARTITION_0, "sequenceNumber": "0"}
        assert read(sdk, cursor(sdk, stream)) == [b"one"]

    def test_keys_and_hash_keys_choose_the_partition(self, sdk: Sdk, make: Make) -> None:
        """clients.md 4: "hello" and "1" hash into the upper half, "a" and "key" into the lower one."""
        name = make(partitions=2)
        entries = put(
            sdk,
            name,
            *({"data": b64(b"x"), "partitionKey": key} for key in ("a", "key", "1", "hello")),
            {"data": b64(b"x"), "partitionKey": "hello", "explicitHashKey": "0"},
            {"data": b64(b"x"), "partitionKey": "a", "explicitHashKey": str(HASH_MAX)},
        )
        chosen = [int(entry["partitionId"].removeprefix("shardId-")) for entry in entries]
        assert chosen == [0, 0, 1, 1, 0, 1]

    def test_by_the_streams_id(self, sdk: Sdk, stream: str) -> None:
        stream_id = sdk.call("describeStream", streamName=stream)["streamId"]
        reply = sdk.call("putRecords", streamId=stream_id, records=[{"data": b64(b"a")}])
        assert reply["failedRecordCount"] == 0
        where = sdk.call("getPartitionCursor", streamId=stream_id, partitionId="0", cursorType="TRIM_HORIZON")
        assert read(sdk, where["partitionCursor"]) == [b"a"]

    def test_every_cursor_type(self, sdk: Sdk, stream: str) -> None:
        put_data(sdk, stream, b"a", b"b", b"c")
        stamp = sdk.call("getRecords", partitionCursor=cursor(sdk, stream))["records"][0]["timestamp"]
        everything = [b"a", b"b", b"c"]
        cases: tuple[tuple[Json, list[bytes]], ...] = (
            ({}, everything),
            ({"cursorType": "TRIM_HORIZON"}, everything),
            ({"cursorType": "LATEST"}, []),
            ({"cursorType": "AT_SEQUENCE_NUMBER", "startingSequenceNumber": "1"}, [b"b", b"c"]),
            ({"startingSequenceNumber": "2"}, [b"c"]),
            ({"startingSequenceNumber": "3"}, []),
            ({"cursorType": "AFTER_SEQUENCE_NUMBER", "startingSequenceNumber": "0"}, [b"b", b"c"]),
            ({"cursorType": "AT_TIMESTAMP", "timestamp": stamp}, everything),
            ({"cursorType": "AT_TIMESTAMP", "timestamp": stamp + 60_000}, []),
        )
        for query, expected in cases:
            assert read(sdk, cursor(sdk, stream, **query)) == expected, query

    def test_limit_and_app_name(self, sdk: Sdk, stream: str) -> None:
        """Both are sent and in no reference (clients.md 1.3)."""
        put_data(sdk, stream, b"a", b"b", b"c")
        first = sdk.call("getRecords", partitionCursor=cursor(sdk, stream), limit=2, appName="anything")
        assert [base64.b64decode(one["data"]) for one in first["records"]] == [b"a", b"b"]
        assert read(sdk, first["nextPartitionCursor"]) == [b"c"]


class TestApps:
    def test_life(self, sdk: Sdk, name: str) -> None:
        """5.2. Creating fails in it unless the reply is empty (clients.md 0, rule 4)."""
        sdk.call("createApp", appName=name)
        shown = sdk.call("describeApp", appName=name)
        assert shown["appName"] == name
        assert shown["appId"]
        assert shown["createTime"] > 1_600_000_000_000
        listed = sdk.call("listApps", limit=10, exclusiveStartAppName=name[:-1])
        assert name in [one["appName"] for one in listed["apps"]]
        assert listed["hasMoreApp"] is False
        error = sdk.refused("createApp", appName=name)
        assert (error.kind, error.status, error.code) == ("DISClientException", 400, "DIS.4330")
        sdk.call("deleteApp", appName=name)
        assert sdk.refused("describeApp", appName=name).code == "DIS.4332"

    def test_checkpoints(self, sdk: Sdk, app: str, make: Make) -> None:
        """5.3 and 5.2.5: one entry for each partition, with and without a checkpoint."""
        stream = make(partitions=2)
        put_data(sdk, stream, *[b"x"] * 5, partitionId="1")
        where = {"appName": app, "streamName": stream, "checkpointType": "LAST_READ", "partitionId": "1"}
        assert sdk.call("getCheckpoint", **where)["sequenceNumber"] in (None, "-1")
        sdk.call("commitCheckpoint", **where, sequenceNumber="3", metadata="note")
        assert sdk.call("getCheckpoint", **where) == {"sequenceNumber": "3", "metadata": "note"}
        state = sdk.call(
            "listStreamConsumingState", appName=app, streamName=stream, checkpointType="LAST_READ", limit=10
        )
        assert (state["streamName"], state["appName"], state["hasMore"]) == (stream, app, False)
        first, second = state["partitionConsumingStates"]
        assert [first["partitionId"], second["partitionId"]] == [PARTITION_0, PARTITION_1]
        assert (second["sequenceNumber"], second["earliestOffset"], second["latestOffset"]) == ("3", 0, 5)
        assert second["status"] == "ACTIVE"
        listed = sdk.call("listApps", streamName=stream)
        assert [one["appName"] for one in listed["apps"]] == [app]
        sdk.call("deleteCheckpoint", **where)
        assert sdk.call("getCheckpoint", **where)["sequenceNumber"] in (None, "-1")

    def test_refusals(self, sdk: Sdk, app: str, stream: str) -> None:
        where: Json = {"streamName": stream, "checkpointType": "LAST_READ", "partitionId": "0"}
        error = sdk.refused("commitCheckpoint", appName=f"{app}x", sequenceNumber="0", **where)
        assert (error.kind, error.code) == ("DISClientException", "DIS.4332")
        where["partitionId"] = "7"
        error = sdk.refused("commitCheckpoint", appName=app, sequenceNumber="0", **where)
        assert (error.kind, error.code) == ("DISPartitionNotExistsException", "DIS.4302")
        where |= {"partitionId": "0", "streamName": f"{stream}x"}
        error = sdk.refused("getCheckpoint", appName=app, **where)
        assert (error.kind, error.code) == ("DISStreamNotExistsException", "DIS.4301")
        assert error.fields["getStreamName"] == f"{stream}x"


# Sample of tests/support/tasks.py -> what the Java SDK calls its descriptor's fields.
_RENAMED = {
    "task_name": "transferTaskName",
    "row_key": "rowKeySchema",
    "columns": "columnsSchema",
    "column_name": "qualifierName",
    "metric": "metricSchema",
    "tags": "tagsSchema",
    "backup_file_prefix": "backupfilePrefix",
    "cloudtable_row_key_delimiter": "cloudtableRowkeyDelimiter",
}
_POINTS = {"timestamp": "timestampSchema", "value": "valueSchema"}


def in_java(value: object, *, points: bool = False) -> object:
    """A descriptor of the reference under the names of the Java SDK's setters; `points` inside of an OpenTSDB schema."""
    if isinstance(value, list):
        return [in_java(one, points=points) for one in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, one in value.items():
        first, *rest = key.split("_")
        name = _RENAMED.get(key) or first + "".join(part.title() for part in rest)
        if points and isinstance(one, dict):
            name = _POINTS.get(key, name)
        out[name] = in_java(one, points=points or key == "opentsdb_schema")
    return out


class TestTasks:
    @pytest.mark.parametrize("sample", SAMPLES)
    def test_every_kind(self, sdk: Sdk, stream: str, sample: str) -> None:
        """5.5.1, 5.5.3, 5.5.7 to 5.5.10."""
        kind, field, _ = SAMPLES[sample]
        descriptor = copy.deepcopy(body_of(sample)[field])
        descriptor.pop("retry_duration", None)  # its descriptors have none
        given = in_java(descriptor)
        assert isinstance(given, dict)
        prefix = kind.lower()
        sdk.call(
            "createTransferTask",
            streamName=stream,
            destinationType=kind,
            **{f"{prefix}DestinationDescriptor": given},
        )
        shown = sdk.call(
            "describeTransferTask", streamName=stream, transferTaskName=given["transferTaskName"]
        )
        assert (shown["streamName"], shown["destinationType"]) == (stream, kind)
        assert shown["transferTaskName"] == given["transferTaskName"]
        assert shown["transferTaskId"]
        assert shown["state"] in ("RUNNING", "STARTING")
        assert shown["createTime"] > 1_600_000_000_000
        (partition,) = shown["partitions"]
        assert partition["partitionId"] == PARTITION_0
        kept = shown[f"{prefix}DestinationDescription"]
        assert kept["retryDuration"] == (0 if sample == "OBS" else 1800)
        secrets = {"transferTaskName", "userPassword"}
        for key, value in given.items():
            if key in kept and key not in secrets:
                assert _without_nulls(kept[key], value) == value, key

    def test_list_stop_start_update_delete(self, sdk: Sdk, stream: str) -> None:
        names = ["t1", "t2", "t3"]
        for name in names:
            descriptor = in_java(body_of("OBS", task_name=name)["obs_destination_descriptor"])
            # It need not say what the only descriptor says (clients.md 1.6).
            sdk.call("createTransferTask", streamName=stream, obsDestinationDescriptor=descriptor)
        page = sdk.call("listTransferTasks", streamName=stream, limit=2)
        assert [task["transferTaskName"] for task in page["tasks"]] == names[:2]
        assert page["taskNumber"] == 3
        page = sdk.call("listTransferTasks", streamName=stream, exclusiveStartTaskName="t2")
        (task,) = page["tasks"]
        assert (task["transferTaskName"], task["destinationType"]) == ("t3", "OBS")
        assert task["createTime"] > 1_600_000_000_000
        task_id = sdk.call("describeTransferTask", streamName=stream, transferTaskName="t3")["transferTaskId"]
        for action, state in (("stop", "PAUSED"), ("start", "RUNNING")):
            sdk.call(
                "batchTransferTask", streamName=stream, action=action, transferTasks=[{"taskId": task_id}]
            )
            shown = sdk.call("describeTransferTask", streamName=stream, transferTaskName="t3")
            assert shown["state"] == state
        sdk.call("deleteTransferTask", streamName=stream, transferTaskName="t3")
        error = sdk.refused("describeTransferTask", streamName=stream, transferTaskName="t3")
        assert (error.kind, error.code) == ("DISClientException", "DIS.4354")

    def test_refusals(self, sdk: Sdk, stream: str) -> None:
        for change, code in (
            ({"obs_bucket_path": "nowhere"}, "DIS.4306"),
            ({"agency_name": "nobody"}, "DIS.4335"),
            ({"deliver_time_interval": 1}, "DIS.4200"),
        ):
            descriptor = in_java(body_of("OBS", **change)["obs_destination_descriptor"])
            error = sdk.refused("createTransferTask", streamName=stream, obsDestinationDescriptor=descriptor)
            assert error.code == code, error


def _without_nulls(value: object, like: object) -> object:
    """`value` without the nulls that getters of unset fields give, and without what `like` leaves out."""
    if isinstance(value, list) and isinstance(like, list):
        return [_without_nulls(one, other) for one, other in zip(value, like, strict=True)]
    if isinstance(value, dict) and isinstance(like, dict):
        return {key: _without_nulls(one, like[key]) for key, one in value.items() if key in like}
    return value


class TestErrors:
    """Its exceptions say more than a code where the status is 400 and the text parses (clients.md 5)."""

    def test_a_stream_that_is_not_there(self, sdk: Sdk, name: str) -> None:
        for operation, more in (
            ("putRecords", {"records": [{"data": b64(b"a")}]}),
            ("getPartitionCursor", {"partitionId": "0"}),
            ("updatePartitionCount", {"targetPartitionCount": 2}),
            ("listTransferTasks", {}),
        ):
            error = sdk.refused(operation, streamName=name, **more)
            assert (error.kind, error.status) == ("DISStreamNotExistsException", 400), operation
            assert error.fields["getStreamName"] == name

    def test_a_partition_that_is_not_there(self, sdk: Sdk, stream: str) -> None:
        error = sdk.refused("getPartitionCursor", streamName=stream, partitionId="7")
        assert (error.kind, error.code) == ("DISPartitionNotExistsException", "DIS.4302")

    def test_a_sequence_number_out_of_range(self, sdk: Sdk, stream: str) -> None:
        put_data(sdk, stream, *[b"x"] * 3)
        error = sdk.refused(
            "getPartitionCursor", streamName=stream, partitionId="0", startingSequenceNumber="5280"
        )
        assert (error.kind, error.code) == ("DISSequenceNumberOutOfRangeException", "DIS.4224")
        assert error.fields["getInvalidSequenceNumber"] == 5280
        assert error.fields["getEarliestSequenceNumber"] == 0
        assert error.fields["getLatestSequenceNumber"] == 3

    def test_a_timestamp_that_is_out_of_range(self, sdk: Sdk, stream: str) -> None:
        put_data(sdk, stream, b"x")
        error = sdk.refused(
            "getPartitionCursor", streamName=stream, partitionId="0", cursorType="AT_TIMESTAMP", timestamp=1
        )
        assert (error.kind, error.code) == ("DISTimestampOutOfRangeException", "DIS.4300")
        earliest = error.fields["getEarliestTimestamp"]
        assert read(sdk, cursor(sdk, stream, cursorType="AT_TIMESTAMP", timestamp=earliest + 60_000)) == [
            b"x"
        ]

    def test_too_large_a_request(self, sdk: Sdk, stream: str) -> None:
        records = [{"data": b64(bytes(1_000_000))} for _ in range(8)]
        error = sdk.refused("putRecords", streamName=stream, records=records)
        assert error.status in (400, 413), error
        assert error.kind in ("DISRequestEntityTooLargeException", "DISClientException"), error

    def test_other_codes(self, sdk: Sdk, stream: str) -> None:
        for operation, arguments, code in (
            ("createStream", {"partitionCount": 1}, "DIS.4307"),
            ("createStream", {"streamName": f"{stream}x", "partitionCount": 0}, "DIS.4200"),
            ("createStream", {"streamName": f"{stream}x", "partitionCount": 1, "dataType": "X"}, "DIS.4200"),
            ("putRecords", {"records": []}, "DIS.4202"),
            ("getPartitionCursor", {"partitionId": "0", "cursorType": "NEWEST"}, "DIS.4215"),
            ("getPartitionCursor", {"partitionId": "0", "startingSequenceNumber": "x"}, "DIS.4216"),
        ):
            error = sdk.refused(operation, **({"streamName": stream} | arguments))
            assert (error.kind, error.status, error.code) == ("DISClientException", 400, code), operation
        error = sdk.refused("getRecords", partitionCursor="nonsense")
        assert (error.kind, error.status, error.code) == ("DISClientException", 400, "DIS.4217")

    def test_strangers(self, driver: Driver, server: Server) -> None:
        wrong = java_client(driver, server, "wrong", sk="not-the-secret-key-of-this-access-key")
        error = wrong.refused("listStreams")
        assert (error.kind, error.status, error.code) == ("DISAuthenticationException", 401, "APIGW.0301")
        other = java_client(driver, server, "other", projectId="0123456789abcdef0123456789abcdef")
        assert other.refused("listStreams").code == "DIS.4117"
