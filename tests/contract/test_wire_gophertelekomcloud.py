"""gophertelekomcloud's acceptance tests of DIS, request by request, with the status codes that it takes and no other (clients.md 0,
1 and 7.12). It is in no registry of clients, so that its requests are written out here.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import pytest
from tests.support.sender import Keys, Sender
from tests.support.server import Server
from tests.support.tasks import server_with
from tests.support.wire import Json

SIGNED = ("accept", "content-type", "host", "user-agent")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_with(tmp_path_factory.mktemp("gtc")) as (started, _):
        yield started


class Client:
    """Asks below /v2/{project_id}/, as it does, and takes one status."""

    def __init__(self, server: Server, *, keys: bool) -> None:
        headers = {
            "User-Agent": "gophertelekomcloud/2.0.0",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        if keys:
            # Empty parts of the scope, the project unsigned, a connection for each request (clients.md 2.1).
            headers |= {"Connection": "close", "X-Project-Id": server.project_id}
        else:
            headers["X-Auth-Token"] = server.token()
        self._sender = Sender(
            server, headers, keys=Keys("C", SIGNED) if keys else None, bodied=("Content-Type",)
        )
        self._base = f"/v2/{server.project_id}/"

    def __call__(self, method: str, path: str, status: int, body: object = None) -> Json:
        reply = self._sender.send(method, self._base + path, body)
        assert reply.status_code == status, f"{method} {path}: {reply.status_code} {reply.text}"
        if not reply.content:
            return {}
        assert reply.headers["Content-Type"].startswith("application/json")
        answer: Json = reply.json()
        return answer

    def close(self) -> None:
        self._sender.close()


@pytest.fixture(params=["token", "keys"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    made = Client(server, keys=request.param == "keys")
    yield made
    made.close()


def test_workflow(client: Client, name: str) -> None:
    """Apps, streams, checkpoints, records, metrics: its TestDISWorkflow in its order."""
    client("POST", "apps", 201, {"app_name": name})
    app = client("GET", f"apps/{name}", 200)
    assert app["app_name"] == name
    apps = client("GET", "apps?limit=10", 200)
    assert (apps["total_number"], apps["has_more_app"]) == (1, False)
    assert apps["apps"][0]["app_name"] == name

    client("POST", "streams", 201, {"stream_name": name, "partition_count": 3})
    stream = client("GET", f"streams/{name}", 200)
    assert (stream["stream_name"], stream["status"]) == (name, "RUNNING")
    assert stream["writable_partition_count"] == 3

    state = client("GET", f"apps/{name}/streams/{name}?checkpoint_type=LAST_READ", 200)
    assert len(state["partition_consuming_states"]) == 3

    body: Json = {"stream_name": name, "target_partition_count": 4}
    changed = client("PUT", f"streams/{name}", 200, body)
    assert (changed["current_partition_count"], changed["target_partition_count"]) == (3, 4)

    streams = client("GET", "streams", 200)
    assert streams["total_number"] == 1
    assert streams["stream_info_list"][0]["data_type"] == "BLOB"

    body = {
        "app_name": name,
        "checkpoint_type": "LAST_READ",
        "stream_name": name,
        "partition_id": "0",
        "sequence_number": "0",
    }
    client("POST", "checkpoints", 201, body)
    where = f"app_name={name}&checkpoint_type=LAST_READ&partition_id=0&stream_name={name}"
    assert client("GET", f"checkpoints?{where}", 200)["sequence_number"] == "0"

    data = base64.b64encode(b"data").decode()
    put = client("POST", "records", 200, {"stream_name": name, "records": [{"data": data}]})
    assert put["failed_record_count"] == 0
    assert {"partition_id", "sequence_number"} <= set(put["records"][0])
    cursor = client("GET", f"cursors?partition-id=0&stream-name={name}", 200)["partition_cursor"]
    got = client("GET", f"records?partition-cursor={cursor}", 200)
    assert {"records", "next_partition_cursor"} <= set(got)

    now = int(time.time())
    window = f"end_time={now + 50}&label={{label}}&start_time={now}"
    label = "total_put_bytes_per_stream"
    metrics = client("GET", f"streams/{name}/metrics?{window.format(label=label)}", 200)["metrics"]
    assert metrics["label"] == label
    assert isinstance(metrics["data_points"], list)
    label = "total_put_bytes_per_partition"
    metrics = client("GET", f"streams/{name}/partitions/0/metrics?{window.format(label=label)}", 200)
    assert metrics["metrics"]["label"] == label

    client("DELETE", f"checkpoints?{where}", 204)
    client("DELETE", f"streams/{name}", 204)
    client("DELETE", f"apps/{name}", 204)
    client("GET", f"streams/{name}", 404)
    assert client("GET", "apps", 200)["total_number"] == 0


def test_dump_workflow(client: Client, name: str) -> None:
    """Its TestDISDumpWorkflow: OBS takes 201 alone; states change at once."""
    client("POST", "streams", 201, {"stream_name": name, "partition_count": 3, "data_type": "JSON"})
    task: Json = {
        "destination_type": "OBS",
        "obs_destination_descriptor": {
            "task_name": name,
            "agency_name": "dis_admin_agency",
            "deliver_time_interval": 30,
            "consumer_strategy": "LATEST",
            "file_prefix": "",
            "partition_format": "yyyy/MM/dd/HH/mm",
            "obs_bucket_path": "obsbucket",
            "destination_file_type": "text",
            "record_delimiter": "|",
        },
    }
    client("POST", f"streams/{name}/transfer-tasks", 201, task)
    listed = client("GET", f"streams/{name}/transfer-tasks", 200)
    assert (listed["total_number"], listed["tasks"][0]["task_name"]) == (1, name)
    shown = client("GET", f"streams/{name}/transfer-tasks/{name}", 200)
    assert shown["task_id"] == listed["tasks"][0]["task_id"]
    for action, state in (("stop", "PAUSED"), ("start", "RUNNING")):
        body = {"action": action, "tasks": [{"id": shown["task_id"]}]}
        client("POST", f"streams/{name}/transfer-tasks/action", 200, body)
        assert client("GET", f"streams/{name}/transfer-tasks/{name}", 200)["state"] == state
    client("DELETE", f"streams/{name}/transfer-tasks/{name}", 204)
    client("DELETE", f"streams/{name}", 204)


def test_policies(client: Client, server: Server, name: str) -> None:
    """With the reference's `accept`: its own test sends the word `effect`, which no service has ever taken (clients.md 1.1)."""
    client("POST", "streams", 201, {"stream_name": name, "partition_count": 1})
    stream_id = client("GET", f"streams/{name}", 200)["stream_id"]
    assert client("GET", f"streams/{name}/policies", 200)["rules"] == []
    body = {
        "stream_name": name,
        "stream_id": stream_id,
        "principal_name": server.account,
        "action_type": "putRecords",
        "effect": "accept",
    }
    client("POST", f"streams/{name}/policies", 200, body)
    (rule,) = client("GET", f"streams/{name}/policies", 200)["rules"]
    assert rule["principal_name"].startswith(server.account)
    assert (rule["action_type"], rule["effect"]) == ("putRecords", "accept")
    client("DELETE", f"streams/{name}", 204)


def test_update_without_a_count_is_refused(client: Client, name: str) -> None:
    """Its update goes to the partitions' path; the live service answers this (clients.md 1.1)."""
    client("POST", "streams", 201, {"stream_name": name, "partition_count": 1})
    answer = client("PUT", f"streams/{name}", 400, {"stream_name": name, "data_duration": 48})
    assert answer["errorCode"] == "DIS.4200"
    client("DELETE", f"streams/{name}", 204)
