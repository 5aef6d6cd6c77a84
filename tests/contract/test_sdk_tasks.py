"""Dump tasks (5.5) through the Python SDKs, unmodified, over TCP: `huaweicloudsdkdis`, `huaweicloud-python-sdk-dis` (JSON and
protobuf bodies) and `otcextensions`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdis.v2 import (
    BatchStartTransferTaskReq,
    BatchStartTransferTaskRequest,
    BatchStopTransferTaskReq,
    BatchStopTransferTaskRequest,
    BatchTransferTask,
    CreateObsTransferTaskRequest,
    CreateTransferTaskReq,
    DeleteTransferTaskRequest,
    ListTransferTasksRequest,
    OBSDestinationDescriptorRequest,
    ProcessingSchema,
    ShowTransferTaskRequest,
)
from openstack import exceptions
from tests.support.python_sdks import Failed, OldSdk
from tests.support.server import Server
from tests.support.tasks import CLOUDTABLE_ID, DWS_ID, SAMPLES, body_of, create, name_of, server_with
from tests.support.wire import Wire, done

Make = Callable[..., str]
P0 = "shardId-0000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_with(tmp_path_factory.mktemp("sdk-tasks")) as (server, _):
        yield server


@pytest.fixture
def stream(make: Make) -> str:
    return make(data_type="JSON")


class TestHuaweicloudsdkdis:
    @staticmethod
    def descriptor(task: str, **changes: object) -> Any:
        fields: dict[str, object] = {
            "task_name": task,
            "agency_name": "dis_admin_agency",
            "deliver_time_interval": 300,
            "consumer_strategy": "TRIM_HORIZON",
            "file_prefix": "p/q",
            "partition_format": "yyyy/MM",
            "obs_bucket_path": "obsbucket",
            "destination_file_type": "text",
            "processing_schema": ProcessingSchema("ts", "String", "yyyy/MM/dd HH:mm:ss"),
            "record_delimiter": "|",
        }
        return OBSDestinationDescriptorRequest(**(fields | changes))

    def create(self, client: Any, stream: str, task: str, **changes: object) -> Any:
        body = CreateTransferTaskReq(
            destination_type="OBS", obs_destination_descriptor=self.descriptor(task, **changes)
        )
        return client.create_obs_transfer_task(CreateObsTransferTaskRequest(stream_name=stream, body=body))

    @staticmethod
    def show(client: Any, stream: str, task: str) -> Any:
        return client.show_transfer_task(ShowTransferTaskRequest(stream_name=stream, task_name=task))

    @staticmethod
    def refused(call: Callable[[], object]) -> str:
        with pytest.raises(ClientRequestException) as caught:
            call()
        assert caught.value.status_code == 400
        code = caught.value.error_code
        assert isinstance(code, str)
        return code

    def test_a_tasks_life(self, client: Any, stream: str, wire: Wire) -> None:
        assert self.create(client, stream, "t1").status_code == 201
        shown = self.show(client, stream, "t1")
        assert (shown.stream_name, shown.task_name, shown.destination_type) == (stream, "t1", "OBS")
        assert shown.state == "RUNNING"
        assert shown.create_time > 1_600_000_000_000
        assert shown.last_transfer_timestamp == 0
        kept = shown.obs_destination_description
        sent = self.descriptor("t1")
        assert kept.to_dict() == sent.to_dict()
        (partition,) = shown.partitions
        assert (partition.partition_id, partition.status) == (P0, "ACTIVE")
        assert partition.sequence_number_range == "[0 : 0]"
        listed = client.list_transfer_tasks(ListTransferTasksRequest(stream_name=stream))
        assert (listed.total_number, listed.quota) == (1, 5)
        assert (listed.tasks[0].task_name, listed.tasks[0].state) == ("t1", "RUNNING")
        task_id = wire.call("GET", f"/streams/{stream}/transfer-tasks").json()["tasks"][0]["task_id"]
        tasks = [BatchTransferTask(id=task_id)]
        stop = BatchStopTransferTaskReq(action="stop", tasks=tasks)
        client.batch_stop_transfer_task(BatchStopTransferTaskRequest(stream_name=stream, body=stop))
        assert self.show(client, stream, "t1").state == "PAUSED"
        start = BatchStartTransferTaskReq(action="start", tasks=tasks)
        client.batch_start_transfer_task(BatchStartTransferTaskRequest(stream_name=stream, body=start))
        assert self.show(client, stream, "t1").state == "RUNNING"
        client.delete_transfer_task(DeleteTransferTaskRequest(stream_name=stream, task_name="t1"))
        assert self.refused(lambda: self.show(client, stream, "t1")) == "DIS.4354"

    def test_refusals(self, client: Any, stream: str) -> None:
        self.create(client, stream, "t1")
        for code, call in (
            ("DIS.4355", lambda: self.create(client, stream, "t1")),
            ("DIS.4200", lambda: self.create(client, stream, "t 2")),
            ("DIS.4200", lambda: self.create(client, stream, "t2", deliver_time_interval=29)),
            ("DIS.4306", lambda: self.create(client, stream, "t2", obs_bucket_path="nowhere")),
            ("DIS.4335", lambda: self.create(client, stream, "t2", agency_name="nobody")),
            ("DIS.4301", lambda: self.create(client, "no-such-stream", "t2")),
            ("DIS.4354", lambda: self.show(client, stream, "t2")),
        ):
            assert self.refused(call) == code
        for number in range(4):
            self.create(client, stream, f"more-{number}")
        assert self.refused(lambda: self.create(client, stream, "t2")) == "DIS.4357"

    @pytest.mark.parametrize(
        ("sample", "attribute"),
        [
            ("DWS", "dws_destination_descripton"),
            ("MRS", "mrs_destination_description"),
            ("DLI", "dli_destination_description"),
            ("HBASE", "cloudtable_destination_descripton"),
            ("OPENTSDB", "cloudtable_destination_descripton"),
        ],
    )
    def test_reads_what_it_cannot_make(
        self, client: Any, wire: Wire, stream: str, sample: str, attribute: str
    ) -> None:
        """Its types misspell two of the names (clients.md 1.6)."""
        body = body_of(sample)
        done(create(wire, stream, body), 201)
        shown = getattr(self.show(client, stream, name_of(body)), attribute)
        sent = copy.deepcopy(body[SAMPLES[sample][1]])
        assert sent.pop("user_password", None) is None or shown.user_password is None
        sent.get("options", {}).update(reject_limit="0", error_table_name="")
        for field, value in sent.items():
            if hasattr(shown, field):  # it has no destination_file_type for MRS
                kept = getattr(shown, field)
                if field == "retry_duration":
                    kept = int(kept)
                assert _plain(kept) == value, field


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


class TestOldSdk:
    """It adds and describes under `/stream/`, lists and deletes under `/streams/` (clients.md 0, rule 2)."""

    COMMON = {"agency_name": "dis_admin_agency", "deliver_time_interval": 60, "obs_bucket_path": "obsbucket"}  # noqa: RUF012

    def test_a_tasks_life(self, sdk: OldSdk, stream: str) -> None:
        status, _ = sdk.call("add_dump_task", stream, "t1", "OBS", self.COMMON | {"file_prefix": "a"})
        assert status == 201
        shown = sdk.body("describe_dump_task", stream, "t1")
        assert (shown["stream_name"], shown["task_name"], shown["state"]) == (stream, "t1", "RUNNING")
        assert [partition["partitionId"] for partition in shown["partitions"]] == [P0]
        assert shown["obs_destination_description"]["file_prefix"] == "a"
        listed = sdk.body("list_dump_task", stream)
        assert (listed["total_number"], listed["tasks"][0]["task_name"]) == (1, "t1")
        assert sdk.call("delete_dump_task", stream, "t1")[0] == 204
        assert sdk.body("list_dump_task", stream)["tasks"] == []

    def test_every_kind(self, sdk: OldSdk, stream: str) -> None:
        cluster = {"cloudtable_cluster_name": "cloudtablecluster", "cloudtable_cluster_id": CLOUDTABLE_ID}
        hbase = body_of("HBASE")["cloudtable_destination_descriptor"]
        points = body_of("OPENTSDB")["cloudtable_destination_descriptor"]["opentsdb_schema"][0]
        for kind, fields in (
            ("MRS", body_of("MRS")["mrs_destination_descriptor"]),
            ("DLI", body_of("DLI")["dli_destination_descriptor"]),
            ("DWS", body_of("DWS")["dws_destination_descriptor"]),
            (
                "CloudTable_HBase",
                {**self.COMMON, **cluster, "cloudtable_table_name": "cloudtabletable"}
                | hbase["cloudtable_schema"],
            ),
            ("CloudTable_OpenTSDB", {**self.COMMON, **cluster} | points),
        ):
            assert sdk.call("add_dump_task", stream, kind, kind, fields)[0] == 201, kind
            shown = sdk.body("describe_dump_task", stream, kind)
            assert shown["destination_type"] == kind.partition("_")[0].upper()

    def test_refusals(self, sdk: OldSdk, stream: str) -> None:
        for code, *args in (
            ("DIS.4354", "describe_dump_task", stream, "none"),
            ("DIS.4354", "delete_dump_task", stream, "none"),
            ("DIS.4301", "list_dump_task", "no-such-stream"),
            ("DIS.4200", "add_dump_task", stream, "t 1", "OBS", self.COMMON),
            ("DIS.4306", "add_dump_task", stream, "t1", "OBS", self.COMMON | {"obs_bucket_path": "none"}),
            ("DIS.4350", "add_dump_task", stream, "t1", "DWS",
             body_of("DWS", dws_cluster_name=DWS_ID)["dws_destination_descriptor"]),
        ):  # fmt: skip
            with pytest.raises(Failed, match=code):
                sdk.call(*args)


class TestOtcextensions:
    DESCRIPTOR = {  # noqa: RUF012
        "task_name": "t1",
        "agency_name": "dis_admin_agency",
        "obs_bucket_path": "obsbucket",
        "deliver_time_interval": 30,
        "file_prefix": "a",
    }

    def test_a_tasks_life(self, dis: Any, wire: Wire, stream: str) -> None:
        dis.create_dump_task(stream, destination_type="OBS", obs_destination_descriptor=self.DESCRIPTOR)
        shown = dis.get_dump_task(stream, "t1")
        assert (shown.task_name, shown.stream_name, shown.status) == ("t1", stream, "RUNNING")
        assert shown.stream_id == wire.describe(stream).json()["stream_id"]
        assert shown.created_at > 1_600_000_000_000
        assert shown.obs_destination_description.deliver_time_interval == 30
        assert shown.obs_destination_description.file_prefix == "a"
        assert shown.partitions[0]["partitionId"] == P0
        (listed,) = dis.dump_tasks(stream)
        assert (listed.task_id, listed.task_name) == (shown.task_id, "t1")
        dis.pause_dump_task(stream, [shown.task_id])
        assert dis.get_dump_task(stream, "t1").status == "PAUSED"
        dis.start_dump_task(stream, [shown.task_id])
        assert dis.get_dump_task(stream, "t1").status == "RUNNING"
        dis.delete_dump_task(stream, "t1")
        assert list(dis.dump_tasks(stream)) == []

    def test_refusals(self, dis: Any, stream: str) -> None:
        calls: list[tuple[str, Callable[[], object]]] = [
            ("DIS.4354", lambda: dis.get_dump_task(stream, "none")),
            ("DIS.4354", lambda: dis.pause_dump_task(stream, ["none"])),
            (
                "DIS.4306",
                lambda: dis.create_dump_task(
                    stream,
                    destination_type="OBS",
                    obs_destination_descriptor=self.DESCRIPTOR | {"obs_bucket_path": "none"},
                ),
            ),
        ]
        for code, call in calls:
            with pytest.raises(exceptions.BadRequestException) as caught:
                call()
            assert code in str(caught.value.response.text)
