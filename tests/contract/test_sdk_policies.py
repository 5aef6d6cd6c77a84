"""Policies of streams (5.1.8) and streams of another account through the Python SDKs, unmodified, over TCP:
`huaweicloudsdkdis`, `huaweicloud-python-sdk-dis` (JSON and protobuf bodies) and `otcextensions`."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import openstack
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdis.v2 import (
    ConsumeRecordsRequest,
    DisClient,
    ListPoliciesRequest,
    PutRecordsRequest,
    PutRecordsRequestEntry,
    SendRecordsRequest,
    ShowStreamRequest,
)
from otcextensions import sdk as otc
from tests.support.accounts import PASSWORD, Login, add_users
from tests.support.python_sdks import Failed, OldSdk, raw
from tests.support.server import Server
from tests.support.wire import Wire, b64, done, ok

Make = Callable[..., str]
P0 = "shardId-0000000000"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Login]]:
    """A server, and the owner of an account beside the one that has the streams."""
    with Server(tmp_path_factory.mktemp("accounts") / "data", "--limits", "relaxed") as started:
        started.terminate()
        (partner,) = add_users(started.data, "partner", "owner")
        started.start()
        yield started, partner


@pytest.fixture(scope="module")
def server(shared: tuple[Server, Login]) -> Server:
    return shared[0]


@pytest.fixture(scope="module")
def partner(shared: tuple[Server, Login]) -> Login:
    return shared[1]


@pytest.fixture
def stream(wire: Wire, make: Make) -> tuple[str, str]:
    """Name and id of a stream the partner may put to and get from."""
    name = make()
    stream_id = ok(wire.describe(name))["stream_id"]
    for action in ("putRecords", "getRecords"):
        policy = {
            "stream_id": stream_id,
            "principal_name": "partner",
            "action_type": action,
            "effect": "accept",
        }
        done(wire.call("POST", f"/streams/{name}/policies", body=policy), 200)
    return name, stream_id


def client_of(server: Server, ak: str, sk: str, project_id: str) -> Any:
    keys = BasicCredentials(ak, sk, project_id)
    return DisClient.new_builder().with_credentials(keys).with_endpoint(server.endpoint).build()


def cursor_of(server: Server, partner: Login, stream: tuple[str, str]) -> str:
    """From the earliest record on. The cursor calls of both Huawei SDKs know no stream id, so it is made without them."""
    with partner.wire(server) as client:
        query = f"stream-id={stream[1]}&partition-id=0&cursor-type=TRIM_HORIZON"
        cursor = ok(client.call("GET", "/cursors", query))["partition_cursor"]
    assert isinstance(cursor, str)
    return cursor


def revoke(wire: Wire, stream: tuple[str, str]) -> None:
    done(wire.call("DELETE", f"/streams/{stream[0]}/policies"), 204)


def test_listing(server: Server, partner: Login, stream: tuple[str, str]) -> None:
    """5.1.8."""
    client = client_of(server, server.ak, server.sk, server.project_id)
    reply = client.list_policies(ListPoliciesRequest(stream_name=stream[0]))
    assert reply.stream_id == stream[1]
    assert [(rule.principal, rule.principal_name, rule.action_type, rule.effect) for rule in reply.rules] == [
        (f"{partner.domain_id}.*", "partner.*", action, "accept") for action in ("putRecords", "getRecords")
    ]


def test_huaweicloudsdkdis(server: Server, partner: Login, wire: Wire, stream: tuple[str, str]) -> None:
    client = client_of(server, partner.ak, partner.sk, partner.project_id)
    records = [PutRecordsRequestEntry(data=b64(b"shared"))]
    put = SendRecordsRequest(body=PutRecordsRequest(stream_id=stream[1], records=records))
    assert client.send_records(put).failed_record_count == 0
    shown = client.show_stream(ShowStreamRequest(stream_name=stream[1]))
    assert (shown.stream_name, shown.stream_id) == stream
    cursor = cursor_of(server, partner, stream)
    page = client.consume_records(ConsumeRecordsRequest(partition_cursor=cursor))
    assert [base64.b64decode(record.data) for record in page.records] == [b"shared"]
    revoke(wire, stream)
    with pytest.raises(ClientRequestException) as error:
        client.send_records(put)
    assert error.value.error_code == "DIS.4301"


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_old_python_sdk(
    server: Server, partner: Login, wire: Wire, stream: tuple[str, str], encoding: str
) -> None:
    """`put_records(stream_name, stream_id, …)`: "support authorization scenarios use stream_id"."""
    sdk = OldSdk(server, encoding, ak=partner.ak, sk=partner.sk, projectid=partner.project_id)
    try:
        reply = sdk.body("put_records", "", stream[1], [{"data": "shared", "partition_id": P0}])
        assert reply["failed_record_count"] == 0
        assert sdk.body("describeStream", stream[1])["stream_id"] == stream[1]
        cursor = cursor_of(server, partner, stream)
        page = sdk.body("getRecords", cursor)
        assert [raw(record["data"]) for record in page["records"]] == [b"shared"]
        revoke(wire, stream)
        with pytest.raises(Failed, match=r"DIS\.4301"):
            sdk.body("getRecords", cursor)
    finally:
        sdk.close()


def test_otcextensions(server: Server, partner: Login, wire: Wire, stream: tuple[str, str]) -> None:
    """Its upload cannot send an id (it appends to a dictionary); it describes and reads."""
    wire.put_data(stream[0], b"shared")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connection = openstack.connection.Connection(
            auth={
                "auth_url": f"{server.endpoint}/v3",
                "username": partner.user,
                "password": PASSWORD,
                "project_id": partner.project_id,
                "user_domain_name": partner.account,
            },
            region_name="local",
        )
        otc.register_otc_extensions(connection)
        dis = connection.dis
        assert dis.get_stream(stream[1]).name == stream[0]
        cursor = dis.get_data_cursor("", "0", **{"stream-id": stream[1], "cursor-type": "TRIM_HORIZON"})
        records = list(dis.download_data(cursor.partition_cursor))
        connection.close()
    assert [base64.b64decode(record.data) for record in records] == [b"shared"]
