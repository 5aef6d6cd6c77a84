"""Apps and checkpoints (5.2, 5.3) through the Python SDKs, unmodified, over TCP: `huaweicloudsdkdis`,
`huaweicloud-python-sdk-dis` (JSON and protobuf bodies) and `otcextensions`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdis.v2 import (
    CommitCheckpointReq,
    CommitCheckpointRequest,
    CreateAppReq,
    CreateAppRequest,
    DeleteAppRequest,
    DeleteCheckpointRequest,
    ListAppRequest,
    ShowAppRequest,
    ShowCheckpointRequest,
    ShowConsumerStateRequest,
)
from openstack import exceptions
from tests.support.python_sdks import Failed, OldSdk
from tests.support.wire import Wire, done

Make = Callable[..., str]
P0 = "shardId-0000000000"


@pytest.fixture
def stream(wire: Wire, make: Make) -> str:
    """Two partitions, five records in the first one."""
    made = make(partitions=2)
    wire.put_data(made, *(str(number).encode() for number in range(5)), partition_id="0")
    return made


@pytest.fixture
def app(wire: Wire, name: str) -> Iterator[str]:
    """A name that no app has yet; the app goes away after the test."""
    yield f"{name}-app"
    wire.call("DELETE", f"/apps/{name}-app")


class TestHuaweicloudsdkdis:
    @staticmethod
    def create(client: Any, app: str) -> None:
        client.create_app(CreateAppRequest(body=CreateAppReq(app_name=app)))

    @staticmethod
    def commit(client: Any, app: str, stream: str, sequence: str, partition: str = "0", **more: str) -> None:
        body = CommitCheckpointReq(
            app_name=app,
            checkpoint_type="LAST_READ",
            stream_name=stream,
            partition_id=partition,
            sequence_number=sequence,
            **more,
        )
        client.commit_checkpoint(CommitCheckpointRequest(body=body))

    @staticmethod
    def at(client: Any, app: str, stream: str, partition: str = P0) -> tuple[str, str]:
        reply = client.show_checkpoint(
            ShowCheckpointRequest(
                app_name=app, stream_name=stream, partition_id=partition, checkpoint_type="LAST_READ"
            )
        )
        return reply.sequence_number, reply.metadata

    @staticmethod
    def refused(call: Callable[[], object]) -> str:
        with pytest.raises(ClientRequestException) as caught:
            call()
        assert caught.value.status_code == 400
        code = caught.value.error_code
        assert isinstance(code, str)
        return code

    def test_apps(self, client: Any, app: str, stream: str) -> None:
        self.create(client, app)
        shown = client.show_app(ShowAppRequest(app_name=app))
        assert (shown.app_name, shown.commit_checkpoint_stream_names) == (app, [])
        assert len(shown.app_id) == 20
        assert shown.create_time > 1_600_000_000_000
        self.commit(client, app, stream, "1")
        listed = client.list_app(ListAppRequest(stream_name=stream, limit=100))
        assert (listed.total_number, listed.has_more_app) == (1, False)
        assert (listed.apps[0].app_name, listed.apps[0].commit_checkpoint_stream_names) == (app, [stream])
        client.delete_app(DeleteAppRequest(app_name=app))
        assert self.refused(lambda: client.show_app(ShowAppRequest(app_name=app))) == "DIS.4332"

    def test_pages_of_apps(self, client: Any, wire: Wire, app: str) -> None:
        made = [f"{app}-{letter}" for letter in "cab"]
        for one in made:
            self.create(client, one)
        seen: list[str] = []
        start = app
        while True:
            page = client.list_app(ListAppRequest(limit=2, start_app_name=start))
            seen += [one.app_name for one in page.apps]
            if not page.has_more_app:
                break
            start = seen[-1]
        assert [one for one in seen if one.startswith(app)] == sorted(made)
        for one in made:
            client.delete_app(DeleteAppRequest(app_name=one))

    def test_checkpoints(self, client: Any, app: str, stream: str) -> None:
        self.create(client, app)
        assert self.at(client, app, stream) == ("-1", "")
        self.commit(client, app, stream, "3", metadata="here")
        self.commit(client, app, stream, "0", "shardId-0000000001")
        assert self.at(client, app, stream) == ("3", "here")
        where = {"app_name": app, "stream_name": stream, "checkpoint_type": "LAST_READ"}
        client.delete_checkpoint(DeleteCheckpointRequest(**where, partition_id="1"))
        assert (self.at(client, app, stream), self.at(client, app, stream, "1")) == (
            ("3", "here"),
            ("-1", ""),
        )
        client.delete_checkpoint(DeleteCheckpointRequest(**where))
        assert self.at(client, app, stream) == ("-1", "")
        again = lambda: client.delete_checkpoint(DeleteCheckpointRequest(**where))  # noqa: E731
        assert self.refused(again) == "DIS.4375"

    def test_consumption_state(self, client: Any, app: str, stream: str) -> None:
        self.create(client, app)
        self.commit(client, app, stream, "3")
        request = ShowConsumerStateRequest(app_name=app, stream_name=stream, checkpoint_type="LAST_READ")
        reply = client.show_consumer_state(request)
        assert (reply.app_name, reply.stream_name, reply.has_more) == (app, stream, False)
        first, second = reply.partition_consuming_states
        assert (first.partition_id, first.sequence_number) == (P0, "3")
        assert (first.earliest_offset, first.latest_offset) == (0, 5)
        assert (first.checkpoint_type, first.status) == ("LAST_READ", "ACTIVE")
        assert (second.partition_id, second.sequence_number) == ("shardId-0000000001", "-1")
        request.limit, request.start_partition_id = 1, P0
        assert [
            one.partition_id for one in client.show_consumer_state(request).partition_consuming_states
        ] == ["shardId-0000000001"]

    def test_refusals(self, client: Any, app: str, stream: str) -> None:
        self.create(client, app)
        for call, code in (
            (lambda: self.create(client, app), "DIS.4330"),
            (lambda: self.create(client, "no spaces"), "DIS.4200"),
            (lambda: client.delete_app(DeleteAppRequest(app_name=f"{app}-no")), "DIS.4332"),
            (lambda: self.commit(client, f"{app}-no", stream, "0"), "DIS.4332"),
            (lambda: self.commit(client, app, f"{stream}-no", "0"), "DIS.4301"),
            (lambda: self.commit(client, app, stream, "0", "2"), "DIS.4302"),
            (lambda: self.commit(client, app, stream, "0", "x"), "DIS.4201"),
            (lambda: self.commit(client, app, stream, "6"), "DIS.4224"),
            (lambda: self.commit(client, app, stream, "-1"), "DIS.4216"),
            (lambda: self.commit(client, app, stream, "0", metadata="m" * 1001), "DIS.4200"),
        ):
            assert self.refused(call) == code


class TestPythonSdkDis:
    """clients.md 1.4 and 1.5: slashes at the end, `start_partition_id=0`, checkpoints deleted without a type."""

    def test_apps(self, sdk: OldSdk, app: str) -> None:
        assert sdk.call("createApp", app)[0] == 201
        shown = sdk.body("describeApp", app)
        assert (shown["app_name"], shown["commit_checkpoint_stream_names"]) == (app, [])
        assert sdk.call("createApp", f"{app}2")[0] == 201
        listed = sdk.body("listApp", app)
        assert f"{app}2" in [one["app_name"] for one in listed["apps"]]
        assert isinstance(listed["total_number"], int)
        assert app in [one["app_name"] for one in sdk.body("listApp", "")["apps"]]
        for one in (app, f"{app}2"):
            assert sdk.call("deleteApp", one)[0] == 204
        with pytest.raises(Failed, match=r"DIS\.4332"):
            sdk.call("describeApp", app)
        with pytest.raises(Failed, match=r"DIS\.4332"):
            sdk.call("deleteApp", app)

    def test_checkpoints(self, sdk: OldSdk, app: str, stream: str) -> None:
        sdk.call("createApp", app)
        assert sdk.body("getCheckpoint", stream, app, P0)["sequence_number"] == "-1"
        assert sdk.call("commitCheckpoint", stream, app, P0, "4", "meta")[0] == 201
        assert sdk.call("commitCheckpoint", stream, app, "1", "0")[0] == 201
        found = sdk.body("getCheckpoint", stream, app, "0")
        assert (found["sequence_number"], found["metadata"]) == ("4", "meta")
        assert sdk.call("deleteCheckpoint", stream, app)[0] == 204
        assert sdk.body("getCheckpoint", stream, app, "1")["sequence_number"] == "-1"
        with pytest.raises(Failed, match=r"DIS\.4375"):
            sdk.call("deleteCheckpoint", stream, app)
        with pytest.raises(Failed, match=r"DIS\.4224"):
            sdk.call("commitCheckpoint", stream, app, P0, "99")

    def test_consumption_state(self, sdk: OldSdk, app: str, stream: str) -> None:
        sdk.call("createApp", app)
        sdk.call("commitCheckpoint", stream, app, "0", "2")
        reply = sdk.body("streamConsume", stream, app)
        assert (reply["app_name"], reply["stream_name"]) == (app, stream)
        assert [
            (one["partition_id"], one["sequence_number"], one["latest_offset"], one["earliest_offset"])
            for one in reply["partition_consuming_states"]
        ] == [(P0, "2", 5, 0), ("shardId-0000000001", "-1", 0, 0)]


class TestOtcextensions:
    def test_apps(self, dis: Any, app: str) -> None:
        dis.create_app(app_name=app)
        shown = dis.get_app(app)
        assert (shown.name, shown.commit_checkpoint_stream_names) == (app, [])
        assert len(shown.app_id) == 20
        assert shown.created_at > 1_600_000_000_000
        dis.delete_app(app)
        with pytest.raises(exceptions.BadRequestException, match="app not found"):
            dis.get_app(app)

    def test_pages_of_apps_without_a_limit(self, dis: Any, wire: Wire, app: str) -> None:
        """It pages by `start_app_name` (clients.md 1.4)."""
        made = [f"{app}-{number:02}" for number in range(12)]
        for one in made:
            done(wire.call("POST", "/apps", body={"app_name": one}), 201)
        assert [one.name for one in dis.apps() if one.name.startswith(f"{app}-")] == made
        assert [one.name for one in dis.apps(limit=3, start_app_name=f"{app}-04")] == made[5:8]
        for one in made:
            dis.delete_app(one)

    def test_checkpoints(self, dis: Any, app: str, stream: str) -> None:
        dis.create_app(app_name=app)
        dis.create_checkpoint(
            stream_name=stream, app_name=app, partition_id=P0, sequence_number="2", metadata="m"
        )
        found = dis.get_checkpoint(stream, app, "0")
        assert (found.sequence_number, found.metadata) == ("2", "m")
        states = list(dis.app_consumptions(stream, app))
        assert [(one.partition_id, one.sequence_number, one.latest_offset) for one in states] == [
            (P0, "2", 5),
            ("shardId-0000000001", "-1", 0),
        ]
        assert [one.name for one in dis.apps(stream_name=stream)] == [app]
        dis.delete_checkpoint(stream, app, partition_id=P0)
        assert dis.get_checkpoint(stream, app, P0).sequence_number == "-1"

    def test_reads_on_from_its_checkpoint(self, dis: Any, app: str, stream: str) -> None:
        """What checkpoints are for: commit what is read next, come back, go on there."""
        dis.create_app(app_name=app)
        page = list(dis.download_data(dis.get_data_cursor(stream, P0).partition_cursor))[:3]
        following = str(int(page[-1].sequence_number) + 1)
        dis.create_checkpoint(stream_name=stream, app_name=app, partition_id=P0, sequence_number=following)
        where = dis.get_checkpoint(stream, app, P0).sequence_number
        cursor = dis.get_data_cursor(
            stream, P0, **{"cursor-type": "AT_SEQUENCE_NUMBER", "starting-sequence-number": where}
        )
        rest = [base64.b64decode(one.data) for one in dis.download_data(cursor.partition_cursor)]
        assert rest == [b"3", b"4"]
