"""Changing partitions and updating streams (5.1.5, 5.1.6) through the official Python SDKs, and the requests of the clients that
are not in the registries: both Terraform providers, gophertelekomcloud (clients.md 1.1, 1.2)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdis.v2 import (
    ShowStreamRequest,
    UpdatePartitionCountReq,
    UpdatePartitionCountRequest,
    UpdateStreamReq,
    UpdateStreamRequest,
)
from openstack import exceptions
from tests.support.python_sdks import Failed, OldSdk
from tests.support.wire import Wire, done, ok, refused

AVRO = json.dumps({"type": "record", "name": "R", "fields": [{"name": "key1", "type": "string"}]})
Make = Callable[..., str]


class TestHuaweicloudsdkdis:
    """client."""

    @staticmethod
    def scale(client: Any, name: str, target: int) -> Any:
        body = UpdatePartitionCountReq(stream_name=name, target_partition_count=target)
        return client.update_partition_count(UpdatePartitionCountRequest(stream_name=name, body=body))

    def test_change_partitions_and_describe(self, client: Any, make: Make) -> None:
        name = make(partitions=2)
        assert self.scale(client, name, 4).status_code == 200
        self.scale(client, name, 1)
        shown = client.show_stream(ShowStreamRequest(stream_name=name))
        assert (shown.writable_partition_count, shown.readable_partition_count) == (1, 4)
        assert [p.status for p in shown.partitions] == ["ACTIVE", "DELETED", "DELETED", "DELETED"]
        assert shown.partitions[1].hash_range == "[-1 : -1]"
        assert shown.partitions[0].parent_partitions == ",".join(
            f"shardId-{number:010d}" for number in (1, 2, 3)
        )
        first, second = shown.update_partition_counts
        assert (first.src_partition_count, first.target_partition_count, first.auto_scale) == (2, 4, False)
        assert (second.src_partition_count, second.target_partition_count) == (4, 1)
        assert second.create_timestamp >= first.create_timestamp > 1_600_000_000_000

    def test_update(self, client: Any, make: Make) -> None:
        name = make(partitions=2)
        body = UpdateStreamReq(
            stream_name=name,
            data_duration=48,
            data_type="JSON",
            data_schema=AVRO,
            auto_scale_enabled=True,
            auto_scale_min_partition_count=2,
            auto_scale_max_partition_count=6,
        )
        assert client.update_stream(UpdateStreamRequest(stream_name=name, body=body)).status_code == 204
        shown = client.show_stream(ShowStreamRequest(stream_name=name))
        assert (shown.retention_period, shown.data_type, shown.data_schema) == (48, "JSON", AVRO)
        assert shown.auto_scale_enabled is True
        assert (shown.auto_scale_min_partition_count, shown.auto_scale_max_partition_count) == (2, 6)

    def test_refusals(self, client: Any, make: Make) -> None:
        name = make(partitions=2)
        for target, code in ((51, "DIS.4308"), (0, "DIS.4200")):
            with pytest.raises(ClientRequestException) as caught:
                self.scale(client, name, target)
            assert caught.value.error_code == code
        self.scale(client, name, 1)
        self.scale(client, name, 2)
        with pytest.raises(ClientRequestException) as caught:
            self.scale(client, name, 1)
        assert caught.value.error_code == "DIS.4200"
        assert "allowed again from" in caught.value.error_msg
        with pytest.raises(ClientRequestException) as caught:
            body = UpdateStreamReq(stream_name=name, data_duration=1)
            client.update_stream(UpdateStreamRequest(stream_name=name, body=body))
        assert caught.value.error_code == "DIS.4200"


class TestPythonSdkDis:
    """pyOld."""

    def test_change_partitions_and_describe(self, sdk: OldSdk, make: Make) -> None:
        name = make(partitions=1)
        status, body = sdk.call("changepartitionQuantity", name, 3)
        assert status == 200
        assert body == {"stream_name": name, "current_partition_count": 1, "target_partition_count": 3}
        sdk.call("changepartitionQuantity", name, 2)
        shown = sdk.body("describeStream", name)
        assert [part["status"] for part in shown["partitions"]] == ["ACTIVE", "ACTIVE", "DELETED"]
        assert len(shown["update_partition_counts"]) == 2

    def test_records_of_a_deleted_partition(self, sdk: OldSdk, make: Make) -> None:
        """It can still be read, and takes nothing."""
        name = make(partitions=2)
        sdk.body("putRecords", name, [{"data": "kept", "partition_id": "1"}])
        sdk.call("changepartitionQuantity", name, 1)
        assert sdk.read(name, "shardId-0000000001") == [b"kept"]
        answer = sdk.body("put_records", name, "", [{"data": "late", "partition_id": "1"}])
        assert answer["failed_record_count"] == 1
        assert answer["records"][0]["error_code"] == "DIS.4319"

    def test_refusals(self, sdk: OldSdk, make: Make) -> None:
        name = make(partitions=1)
        with pytest.raises(Failed, match=r"DIS\.4308"):
            sdk.call("changepartitionQuantity", name, 51)
        with pytest.raises(Failed, match=r"DIS\.4301"):
            sdk.call("changepartitionQuantity", f"{name}-none", 2)


class TestOtcextensions:
    """otcpy."""

    def test_change_partitions_and_describe(self, dis: Any, make: Make) -> None:
        name = make(partitions=2)
        changed = dis.update_stream_partition(name, 3)
        assert (changed.current_partition_count, changed.target_partition_count) == (2, 3)
        shown = dis.get_stream(name)
        assert shown.writable_partition_count == 3
        assert [part["status"] for part in shown.partitions] == ["ACTIVE"] * 3

    def test_refusals(self, dis: Any, make: Make) -> None:
        with pytest.raises(exceptions.BadRequestException) as caught:
            dis.update_stream_partition(make(), 51)
        assert "Insufficient quota." in str(caught.value)


class TestTerraform:
    """Both providers change partitions with one PUT and poll until writable_partition_count is the target; golangsdk takes
    200, 201 and 202 for a PUT and decodes the body."""

    def test_scale_as_both_do(self, wire: Wire, make: Make) -> None:
        name = make(partitions=1)
        body = {"stream_name": name, "target_partition_count": 3}
        assert wire.call("PUT", f"/streams/{name}", body=body).status_code == 200
        shown = ok(wire.describe(name))
        assert shown["writable_partition_count"] == 3
        assert shown["has_more_partitions"] is False

    @pytest.mark.parametrize(
        "fields",
        [
            {"data_duration": 48},
            {"data_type": "JSON"},
            {
                "auto_scale_enabled": True,
                "auto_scale_min_partition_count": 1,
                "auto_scale_max_partition_count": 5,
            },
            {"auto_scale_enabled": False},
        ],
    )
    def test_update_as_tfhw_does(self, wire: Wire, make: Make, fields: dict[str, object]) -> None:
        name = make()
        reply = wire.call(
            "PUT",
            f"/streams/{name}",
            body={"stream_name": name} | fields,
            version="v3",
            headers={"region": "local", "Content-Type": "application/json"},
        )
        assert reply.status_code in (200, 201, 202)
        assert isinstance(reply.json(), dict)
        shown = ok(wire.describe(name))
        for key, value in fields.items():
            assert shown["retention_period" if key == "data_duration" else key] == value

    def test_a_deleted_stream_is_404(self, wire: Wire, make: Make) -> None:
        name = make(partitions=2)
        wire.call("PUT", f"/streams/{name}", body={"stream_name": name, "target_partition_count": 1})
        done(wire.delete(name), 204)
        refused(wire.describe(name), "DIS.4301", status=404)


class TestGophertelekomcloud:
    """gtc takes exactly 200, and its acceptance test scales a stream of three partitions to four (clients.md 7, rule 12)."""

    def test_change_partitions(self, wire: Wire, make: Make) -> None:
        name = make(partitions=3)
        reply = wire.call("PUT", f"/streams/{name}", body={"stream_name": name, "target_partition_count": 4})
        assert ok(reply)["target_partition_count"] == 4
        (entry,) = ok(wire.put(name, [{"data": base64.b64encode(b"x").decode(), "partition_id": "3"}]))[
            "records"
        ]
        assert entry["sequence_number"] == "0"

    def test_its_update_is_refused_as_the_real_service_does(self, wire: Wire, make: Make) -> None:
        name = make(partitions=3)
        body = {"stream_name": name, "data_duration": 48, "data_type": "JSON", "auto_scale_enabled": False}
        message = refused(wire.call("PUT", f"/streams/{name}", body=body), "DIS.4200")
        assert message == "Invalid request. [Invalid target_partition_count null.]"
