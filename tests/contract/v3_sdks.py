"""What the Java SDK v3 and the Go SDK v3 are both asked: every operation they have, and how refusals look in them.

They share their shapes, names and faults, being made from one description; test_java_v3.py and test_go_v3.py run this with each.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Iterator

import pytest
from tests.support.driver import Driver, Json
from tests.support.sdks import Sdk, v3_client
from tests.support.server import Server
from tests.support.tasks import SAMPLES, body_of, create, name_of, path_of, server_with
from tests.support.wire import HASH_MAX, PARTITION_0, Wire, b64, done, ok

Make = Callable[..., str]
PARTITION_1 = "shardId-0000000001"


def stream_of(sdk: Sdk, name: str, partitions: int = 1, **fields: object) -> None:
    reply = sdk.call("createStream", body={"stream_name": name, "partition_count": partitions, **fields})
    assert reply["http_status"] == 201


def put(sdk: Sdk, stream: str, *data: bytes, **fields: object) -> list[Json]:
    records = [{"data": b64(one), **fields} for one in data]
    reply = sdk.call("sendRecords", body={"stream_name": stream, "records": records})
    assert (reply["http_status"], reply["failed_record_count"]) == (200, 0)
    entries: list[Json] = reply["records"]
    return entries


def cursor(sdk: Sdk, stream: str, partition: str = "0", **query: object) -> str:
    """`query` with underscores for hyphens."""
    named = {"stream-name": stream, "partition-id": partition}
    named |= {key.replace("_", "-"): value for key, value in query.items()}  # type: ignore[misc]
    text = sdk.asked("showCursor", dict(named))["partition_cursor"]
    assert isinstance(text, str)
    return text


def consume(sdk: Sdk, where: str, **query: object) -> Json:
    reply: Json = sdk.asked("consumeRecords", {"partition-cursor": where, **query})
    assert reply["next_partition_cursor"]
    return reply


def read(sdk: Sdk, where: str) -> list[bytes]:
    return [base64.b64decode(record.get("data") or "") for record in consume(sdk, where)["records"]]


def task_body(task: str, **changes: object) -> Json:
    body = body_of("OBS", task_name=task, **changes)
    body["obs_destination_descriptor"]["processing_schema"] = {
        "timestamp_name": "ts",
        "timestamp_type": "String",
        "timestamp_format": "yyyy/MM/dd HH:mm:ss",
    }
    return body


class V3:
    """The tests. Each SDK's module has a `driver` of its own."""

    reads_states = True
    reads_resources = True
    """Whether its response classes have what the server answers: in Java two of them are other classes' copies."""

    @pytest.fixture(scope="class")
    @staticmethod
    def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        with server_with(tmp_path_factory.mktemp("v3")) as (started, _):
            yield started

    @pytest.fixture(scope="class")
    @staticmethod
    def wire(server: Server) -> Iterator[Wire]:
        with Wire.to(server) as client:
            yield client

    @pytest.fixture(scope="class")
    @staticmethod
    def sdk(driver: Driver, server: Server) -> Sdk:
        return v3_client(driver, server, "default")

    # Streams

    def test_create_and_show(self, sdk: Sdk, name: str) -> None:
        """5.1.1, 5.1.4."""
        fields = {
            "stream_type": "ADVANCED",
            "data_type": "CSV",
            "csv_properties": {"delimiter": ";"},
            "compression_format": "gzip",
            "auto_scale_enabled": True,
            "auto_scale_min_partition_count": 1,
            "auto_scale_max_partition_count": 5,
            "tags": [{"key": "k", "value": "v"}],
        }
        project = [{"key": "_sys_enterprise_project_id", "value": "0"}]
        stream_of(sdk, name, 2, data_duration=48, sys_tags=project, **fields)
        shown = sdk.call("showStream", stream_name=name)
        assert shown["http_status"] == 200
        assert {field: shown[field] for field in fields} == fields
        assert (shown["stream_name"], shown["status"]) == (name, "RUNNING")
        assert shown["retention_period"] == 48
        assert (shown["writable_partition_count"], shown["readable_partition_count"]) == (2, 2)
        assert shown["has_more_partitions"] is False
        assert shown["stream_id"]
        assert shown["create_time"] > 1_600_000_000_000
        first, second = shown["partitions"]
        assert (first["partition_id"], second["partition_id"]) == (PARTITION_0, PARTITION_1)
        assert (first["status"], first["sequence_number_range"]) == ("ACTIVE", "[0 : 0]")
        assert first["hash_range"].startswith("[0 : ")
        assert second["hash_range"].endswith(f" : {HASH_MAX}]")

    def test_pages_of_partitions_and_streams(self, sdk: Sdk, make: Make) -> None:
        names = sorted(make(partitions=3) for _ in range(3))
        page = sdk.call("showStream", stream_name=names[0], limit_partitions=1)
        assert page["has_more_partitions"] is True
        page = sdk.call("showStream", stream_name=names[0], limit_partitions=9, start_partitionId=PARTITION_0)
        assert [one["partition_id"] for one in page["partitions"]] == [PARTITION_1, "shardId-0000000002"]
        page = sdk.call("listStreams", limit=2, start_stream_name=names[0][:-1])
        assert (page["stream_names"], page["has_more_streams"]) == (names[:2], True)
        info = page["stream_info_list"][0]
        assert (info["stream_name"], info["status"], info["partition_count"]) == (names[0], "RUNNING", 3)
        page = sdk.call("listStreams", start_stream_name=names[1])
        assert page["stream_names"][0] == names[2]
        assert page["total_number"] >= 3

    def test_change_partitions(self, sdk: Sdk, name: str) -> None:
        stream_of(sdk, name)
        for target, before in ((2, 1), (1, 2)):
            body = {"stream_name": name, "target_partition_count": target}
            # It reads nothing of the reply.
            assert sdk.call("updatePartitionCount", stream_name=name, body=body)["http_status"] == 200
            shown = sdk.call("showStream", stream_name=name)
            assert shown["writable_partition_count"] == target
            counts = [
                (one["src_partition_count"], one["target_partition_count"])
                for one in shown["update_partition_counts"]
            ]
            assert (before, target) in counts

    def test_update(self, sdk: Sdk, make: Make) -> None:
        """PUT /v3/… (clients.md 1.1)."""
        name = make(data_type="BLOB")
        schema = '{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}'
        fields = {
            "data_type": "JSON",
            "data_schema": schema,
            "auto_scale_enabled": True,
            "auto_scale_min_partition_count": 1,
            "auto_scale_max_partition_count": 4,
        }
        sdk.call("updateStream", stream_name=name, body={"stream_name": name, "data_duration": 72, **fields})
        shown = sdk.call("showStream", stream_name=name)
        assert {field: shown[field] for field in fields} == fields
        assert shown["retention_period"] == 72

    def test_delete(self, sdk: Sdk, name: str) -> None:
        stream_of(sdk, name)
        assert sdk.call("deleteStream", stream_name=name)["http_status"] == 204
        error = sdk.refused("showStream", stream_name=name)
        assert (error.status, error.code) == (404, "DIS.4301")

    def test_policies(self, sdk: Sdk, server: Server, wire: Wire, make: Make) -> None:
        """5.1.8; it can list them and not make them."""
        name = make()
        assert sdk.call("listPolicies", stream_name=name)["rules"] == []
        body = {
            "stream_id": ok(wire.describe(name))["stream_id"],
            "principal_name": server.account,
            "action_type": "putRecords",
            "effect": "accept",
        }
        done(wire.call("POST", f"/streams/{name}/policies", body=body), 200)
        reply = sdk.call("listPolicies", stream_name=name)
        (rule,) = reply["rules"]
        assert (rule["action_type"], rule["effect"]) == ("putRecords", "accept")
        assert reply["stream_id"]

    # Records

    def test_records(self, sdk: Sdk, make: Make) -> None:
        name = make(partitions=2)
        data = [b"", bytes(range(256)), os.urandom(50_000), "größer".encode()]
        entries = put(sdk, name, *data, partition_id="1", partition_key="k")
        assert [entry["partition_id"] for entry in entries] == [PARTITION_1] * 4
        assert [entry["sequence_number"] for entry in entries] == ["0", "1", "2", "3"]
        assert not any(entry.get("error_code") for entry in entries)
        page = consume(sdk, cursor(sdk, name, PARTITION_1), max_fetch_bytes=1 << 20)
        assert [base64.b64decode(record.get("data") or "") for record in page["records"]] == data
        first = page["records"][0]
        assert (first["partition_key"], first["sequence_number"]) == ("k", "0")
        assert first["timestamp_type"] == "CreateTime"
        assert first["timestamp"] > 1_600_000_000_000
        assert read(sdk, page["next_partition_cursor"]) == []
        assert read(sdk, cursor(sdk, name, "0")) == []

    def test_keys_and_hash_keys(self, sdk: Sdk, make: Make) -> None:
        """clients.md 4."""
        name = make(partitions=2)
        for fields, partition in (
            ({"partition_key": "a"}, PARTITION_0),
            ({"partition_key": "hello"}, PARTITION_1),
            ({"partition_key": "hello", "explicit_hash_key": "0"}, PARTITION_0),
            ({"explicit_hash_key": str(HASH_MAX)}, PARTITION_1),
            ({"explicit_hash_key": str(HASH_MAX), "partition_id": "0"}, PARTITION_0),
        ):
            assert put(sdk, name, b"x", **fields)[0]["partition_id"] == partition, fields

    def test_every_cursor_type(self, sdk: Sdk, make: Make) -> None:
        name = make()
        put(sdk, name, b"a", b"b", b"c")
        stamp = consume(sdk, cursor(sdk, name))["records"][0]["timestamp"]
        everything = [b"a", b"b", b"c"]
        cases: tuple[tuple[Json, list[bytes]], ...] = (
            ({}, everything),
            ({"cursor_type": "TRIM_HORIZON"}, everything),
            ({"cursor_type": "LATEST"}, []),
            ({"cursor_type": "AT_SEQUENCE_NUMBER", "starting_sequence_number": "1"}, [b"b", b"c"]),
            ({"starting_sequence_number": "2"}, [b"c"]),
            ({"cursor_type": "AFTER_SEQUENCE_NUMBER", "starting_sequence_number": "0"}, [b"b", b"c"]),
            ({"cursor_type": "AT_TIMESTAMP", "timestamp": stamp}, everything),
            ({"cursor_type": "AT_TIMESTAMP", "timestamp": stamp + 60_000}, []),
        )
        for query, expected in cases:
            assert read(sdk, cursor(sdk, name, **query)) == expected, query

    # Apps and checkpoints

    def test_apps(self, sdk: Sdk, name: str) -> None:
        """5.2."""
        assert sdk.call("createApp", body={"app_name": name})["http_status"] == 201
        shown = sdk.call("showApp", app_name=name)
        assert shown["app_name"] == name
        assert shown["app_id"]
        assert shown["create_time"] > 1_600_000_000_000
        listed = sdk.call("listApp", limit=10, start_app_name=name[:-1])
        assert name in [one["app_name"] for one in listed["apps"]]
        assert listed["has_more_app"] is False
        assert sdk.refused("createApp", body={"app_name": name}).code == "DIS.4330"
        assert sdk.call("deleteApp", app_name=name)["http_status"] == 204
        assert sdk.refused("showApp", app_name=name).code == "DIS.4332"

    def test_checkpoints(self, sdk: Sdk, name: str, make: Make) -> None:
        """5.3, 5.2.5."""
        stream = make(partitions=2)
        sdk.call("createApp", body={"app_name": name})
        put(sdk, stream, *[b"x"] * 5, partition_id="1")
        where = {"app_name": name, "stream_name": stream, "checkpoint_type": "LAST_READ", "partition_id": "1"}
        reply = sdk.call("commitCheckpoint", body={**where, "sequence_number": "3", "metadata": "note"})
        assert reply["http_status"] == 201
        kept = sdk.call("showCheckpoint", **where)
        assert (kept["sequence_number"], kept["metadata"]) == ("3", "note")
        state = sdk.call(
            "showConsumerState", app_name=name, stream_name=stream, checkpoint_type="LAST_READ", limit=10
        )
        assert state["app_name"] == name
        if self.reads_states:
            assert (state["stream_name"], state["has_more"]) == (stream, False)
            first, second = state["partition_consuming_states"]
            assert (first["partition_id"], second["partition_id"]) == (PARTITION_0, PARTITION_1)
            assert second["sequence_number"] == "3"
            assert (second["earliest_offset"], second["latest_offset"]) == (0, 5)
        assert sdk.call("showApp", app_name=name)["commit_checkpoint_stream_names"] == [stream]
        assert sdk.call("deleteCheckpoint", **where)["http_status"] == 204
        assert sdk.call("showCheckpoint", **where).get("sequence_number") in (None, "-1")
        sdk.call("deleteApp", app_name=name)

    # Dump tasks

    def test_a_tasks_life(self, sdk: Sdk, wire: Wire, make: Make) -> None:
        """5.5.1 to 5.5.6."""
        stream = make(data_type="JSON")
        sent = task_body("t1")
        reply = sdk.call("createObsTransferTask", stream_name=stream, body=sent)
        assert reply["http_status"] == 201
        shown = sdk.call("showTransferTask", stream_name=stream, task_name="t1")
        assert (shown["stream_name"], shown["task_name"]) == (stream, "t1")
        assert (shown["state"], shown["destination_type"]) == ("RUNNING", "OBS")
        assert shown["create_time"] > 1_600_000_000_000
        kept = shown["obs_destination_description"]
        for field, value in sent["obs_destination_descriptor"].items():
            if value != "":  # an empty text may come back as absent
                assert kept[field] == value, field
        listed = sdk.call("listTransferTasks", stream_name=stream)
        assert listed["total_number"] == 1
        assert (listed["tasks"][0]["task_name"], listed["tasks"][0]["state"]) == ("t1", "RUNNING")
        # It has no place for the ids that it wants.
        task_id = ok(wire.call("GET", path_of(stream)))["tasks"][0]["task_id"]
        for operation, action, state in (
            ("batchStopTransferTask", "stop", "PAUSED"),
            ("batchStartTransferTask", "start", "RUNNING"),
        ):
            sdk.call(operation, stream_name=stream, body={"action": action, "tasks": [{"id": task_id}]})
            shown = sdk.call("showTransferTask", stream_name=stream, task_name="t1")
            assert shown["state"] == state
        reply = sdk.call("deleteTransferTask", stream_name=stream, task_name="t1")
        assert reply["http_status"] == 204
        error = sdk.refused("showTransferTask", stream_name=stream, task_name="t1")
        assert (error.status, error.code) == (400, "DIS.4354")

    @pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample != "OBS"])
    def test_shows_tasks_that_it_cannot_make(self, sdk: Sdk, wire: Wire, make: Make, sample: str) -> None:
        """It misspells two of the descriptions (clients.md 1.6) and must read the others."""
        stream = make(data_type="JSON")
        body = body_of(sample)
        done(create(wire, stream, body), 201)
        shown = sdk.call("showTransferTask", stream_name=stream, task_name=name_of(body))
        assert shown["destination_type"] == SAMPLES[sample][0]
        assert sdk.call("listTransferTasks", stream_name=stream)["tasks"][0]["task_name"] == name_of(body)
        if sample in ("MRS", "DLI"):
            kept = shown[f"{sample.lower()}_destination_description"]
            assert kept["agency_name"] == "dis_admin_agency"
            assert kept["obs_bucket_path"] == "obsbucket"

    # Metrics

    def test_metrics(self, sdk: Sdk, make: Make) -> None:
        """5.4: the label is echoed, points are pairs of time and value."""
        stream = make()
        put(sdk, stream, b"12345", b"12345")
        now = int(time.time())
        window = {"start_time": now - 3600, "end_time": now + 120}
        label = "total_put_records_per_stream"
        reply = sdk.call("showStreamMetrics", stream_name=stream, label=label, **window)
        assert reply["metrics"]["label"] == label
        points = reply["metrics"].get("dataPoints") or reply["metrics"].get("data_points")
        assert all({"timestamp", "value"} <= set(point) for point in points)
        both = f"{label},total_get_records_per_stream"
        reply = sdk.call("showStreamMetrics", stream_name=stream, label_list=both, **window)
        assert [one["label"] for one in reply["metrics_list"]] == both.split(",")
        label = "total_put_bytes_per_partition"
        reply = sdk.call(
            "showPartitionMetrics", stream_name=stream, partition_id=PARTITION_0, label=label, **window
        )
        assert reply["metrics"]["label"] == label
        error = sdk.refused("showStreamMetrics", stream_name=stream, **window)
        assert (error.status, error.code) == (400, "DIS.4209")

    # Tags

    def test_tags(self, sdk: Sdk, wire: Wire, make: Make) -> None:
        """5.7."""
        stream = make()
        stream_id = ok(wire.describe(stream))["stream_id"]

        def tags() -> dict[str, str]:
            reply = sdk.call("showStreamTags", stream_id=stream_id)
            return {tag["key"]: tag["value"] for tag in reply["tags"]}

        body: Json = {"tag": {"key": "v3-one", "value": "1"}}
        assert sdk.call("createTag", stream_id=stream_id, body=body)["http_status"] in (201, 204)
        body = {"action": "create", "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]}
        sdk.call("batchCreateTags", stream_id=stream_id, body=body)
        assert tags() == {"v3-one": "1", "a": "1", "b": "2"}
        assert {"key": "v3-one", "values": ["1"]} in sdk.call("listTags")["tags"]
        body = {
            "action": "filter",
            "limit": "10",
            "offset": "0",
            "tags": [{"key": "v3-one", "values": ["1"]}],
        }
        reply = sdk.call("listResourcesByTags", body=body)
        assert reply["http_status"] == 200
        if self.reads_resources:
            assert reply["total_count"] == 1
            (found,) = reply["resources"]
            assert (found["resource_id"], found["resource_name"]) == (stream_id, stream)
        body = {"action": "count", "tags_any": [{"key": "v3-one", "values": []}]}
        reply = sdk.call("listResourcesByTags", body=body)
        assert not self.reads_resources or reply["total_count"] == 1
        body = {"action": "delete", "tags": [{"key": "a", "value": "1"}]}
        sdk.call("batchDeleteTags", stream_id=stream_id, body=body)
        sdk.call("deleteTag", stream_id=stream_id, key="v3-one")
        assert tags() == {"b": "2"}
        assert sdk.refused("deleteTag", stream_id=stream_id, key="v3-one").code == "DIS.4604"

    # Refusals

    def test_refusals(self, sdk: Sdk, server: Server, make: Make) -> None:
        """Code, message and request id, not the HTTP status in their place (clients.md 5)."""
        stream = make()
        missing = f"{stream}x"
        error = sdk.refused("sendRecords", body={"stream_name": missing, "records": [{"data": b64(b"a")}]})
        assert (error.status, error.code) == (400, "DIS.4301")
        assert error.message == f"Stream does not exist. [{missing}][{server.project_id}]"
        assert error.fields["request_id"]
        new = {"stream_name": missing, "partition_count": 1}
        for operation, arguments, code in (
            ("createStream", {"body": new | {"stream_name": stream}}, "DIS.4307"),
            ("createStream", {"body": new | {"partition_count": 0}}, "DIS.4200"),
            ("createStream", {"body": new | {"data_schema": "{"}}, "DIS.4360"),
            ("sendRecords", {"body": {"stream_name": stream, "records": []}}, "DIS.4202"),
            ("showCursor", {"stream-name": stream, "partition-id": "7"}, "DIS.4302"),
            (
                "showCursor",
                {"stream-name": stream, "partition-id": "0", "starting-sequence-number": "7"},
                "DIS.4224",
            ),
            ("consumeRecords", {"partition-cursor": "nonsense"}, "DIS.4217"),
            ("showStreamTags", {"stream_id": "nobody"}, "DIS.4603"),
        ):
            with pytest.raises(Exception, match=code) as caught:
                sdk.asked(operation, arguments)  # type: ignore[arg-type]
            assert getattr(caught.value, "status", None) == 400, operation

    def test_strangers(self, driver: Driver, server: Server) -> None:
        for changes, status, code in (
            ({"sk": "not-the-secret-key-of-this-access-key"}, 401, "APIGW.0301"),
            ({"ak": "NOBODYSKEY1234567890"}, 401, "APIGW.0301"),
            ({"project_id": "0123456789abcdef0123456789abcdef"}, 400, "DIS.4117"),
        ):
            error = v3_client(driver, server, "stranger", **changes).refused("listStreams")
            assert (error.status, error.code) == (status, code)

    def test_finds_its_project_through_the_region(self, driver: Driver, server: Server, name: str) -> None:
        """A region and no project id: GET /v3/projects?name=REGION, signed in its own way (clients.md 2.1, 6)."""
        sdk = v3_client(
            driver,
            server,
            "by-region",
            project_id=None,
            region=server.project,
            iam_endpoint=server.endpoint,
        )
        stream_of(sdk, name)
        put(sdk, name, b"a")
        assert read(sdk, cursor(sdk, name)) == [b"a"]
