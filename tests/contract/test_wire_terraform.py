"""What both Terraform providers send, request by request (clients.md 1, 2.1, 6, 9): they are in no registry of clients, so
that their requests are written out here. tfhw: terraform-provider-huaweicloud over golangsdk. tfotc:
terraform-provider-opentelekomcloud over gophertelekomcloud.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.support.sender import Keys, Sender
from tests.support.server import Server
from tests.support.tasks import server_with
from tests.support.wire import Json, done, ok, refused


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_with(tmp_path_factory.mktemp("terraform")) as (started, _):
        yield started


class TestHuaweicloud:
    """tfhw: short signatures over accept, content-type, region, user-agent and x-sdk-date; neither host nor project."""

    @pytest.fixture
    @staticmethod
    def dis(server: Server) -> Iterator[Sender]:
        headers = {
            "User-Agent": "terraform-provider-iac golangsdk/2.0.0",
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Region": server.project,
            "X-Project-Id": server.project_id,
        }
        signed = ("accept", "content-type", "region", "user-agent")
        with Sender(server, headers, keys=Keys("A", signed)) as client:
            yield client

    @pytest.fixture
    @staticmethod
    def iam(server: Server) -> Iterator[Sender]:
        headers = {"User-Agent": "terraform-provider-iac golangsdk/2.0.0", "Accept": "application/json"}
        with Sender(server, headers, keys=Keys("A", ("accept", "user-agent"))) as client:
            yield client

    def test_configure(self, server: Server, iam: Sender) -> None:
        """Before every command: the project by its region's name, then the account without a name."""
        projects = ok(iam.send("GET", f"/v3/projects?name={server.project}"))["projects"]
        assert [(one["id"], one["name"]) for one in projects] == [(server.project_id, server.project)]
        domains = ok(iam.send("GET", "/v3/auth/domains"))["domains"]
        assert server.account in [one["name"] for one in domains]
        assert ok(iam.send("GET", "/v3/projects?name=nobodys"))["projects"] == []

    def test_a_streams_life(self, server: Server, dis: Sender, name: str) -> None:
        """Create, read at once, scale, poll, tag, update, delete, gone."""
        base = f"/v2/{server.project_id}/streams"
        body: Json = {
            "stream_name": name,
            "partition_count": 1,
            "auto_scale_enabled": True,
            "auto_scale_min_partition_count": 1,
            "auto_scale_max_partition_count": 5,
            "stream_type": "COMMON",
            "data_type": "JSON",
            "data_duration": 24,
            "compression_format": "snappy",
            "data_schema": '{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}',
            "tags": [{"key": "foo", "value": "bar"}, {"key": "key", "value": "value"}],
            "sys_tags": [{"key": "_sys_enterprise_project_id", "value": "0"}],
        }
        done(dis.send("POST", base, body), 201)
        shown = ok(dis.send("GET", f"{base}/{name}"))
        for field in (
            "stream_name", "stream_type", "data_type", "compression_format", "data_schema", "tags",
            "auto_scale_enabled", "auto_scale_min_partition_count", "auto_scale_max_partition_count",
        ):  # fmt: skip
            assert shown[field] == body[field], field
        assert shown["sys_tags"] == body["sys_tags"]
        assert (shown["status"], shown["retention_period"]) == ("RUNNING", 24)
        assert (shown["writable_partition_count"], shown["has_more_partitions"]) == (1, False)
        assert {"stream_id", "create_time", "readable_partition_count", "partitions"} <= set(shown)

        scale = {"stream_name": name, "target_partition_count": 3}
        assert ok(dis.send("PUT", f"{base}/{name}", scale))["target_partition_count"] == 3
        shown = ok(dis.send("GET", f"{base}/{name}"))
        assert shown["writable_partition_count"] == 3
        assert [part["status"] for part in shown["partitions"]].count("ACTIVE") == 3

        action = f"/v2/{server.project_id}/stream/{shown['stream_id']}/tags/action"
        delete = {"action": "delete", "tags": [{"key": "foo", "value": "bar"}, {"key": "key"}]}
        done(dis.send("POST", action, delete), 204)
        create = {"action": "create", "tags": [{"key": "foo", "value": "new"}]}
        done(dis.send("POST", action, create), 204)
        assert ok(dis.send("GET", f"{base}/{name}"))["tags"] == [{"key": "foo", "value": "new"}]

        update = {"stream_name": name, "data_duration": 48, "auto_scale_enabled": False}
        ok(dis.send("PUT", f"/v3/{server.project_id}/streams/{name}", update))
        shown = ok(dis.send("GET", f"{base}/{name}"))
        assert (shown["retention_period"], shown["auto_scale_enabled"]) == (48, False)

        done(dis.send("DELETE", f"{base}/{name}"), 204)
        assert dis.send("GET", f"{base}/{name}").status_code == 404
        refused(dis.send("DELETE", f"{base}/{name}"), "DIS.4301", status=404)

    def test_the_host_may_be_any(self, server: Server, dis: Sender) -> None:
        """It is not signed: names of endpoints and proxies do not matter."""
        dis.headers["Host"] = "dis.example.com"
        ok(dis.send("GET", f"/v2/{server.project_id}/streams"))


class TestOpenTelekomCloud:
    """tfotc: several tokens for each command, and `dis` looked up in their catalog."""

    HEADERS = {"User-Agent": "TF OpenTelekomCloud gophertelekomcloud", "Accept": "application/json"}  # noqa: RUF012
    SIGNED = ("accept", "content-type", "host", "user-agent")

    @staticmethod
    def login(client: Sender, scope: Json) -> tuple[str, Json]:
        server = client.server
        user = {"name": server.user, "password": server.password, "domain": {"name": server.account}}
        identity = {"methods": ["password"], "password": {"user": user}}
        reply = client.send("POST", "/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        assert reply.status_code == 201, reply.text
        return reply.headers["X-Subject-Token"], reply.json()["token"]

    @staticmethod
    def endpoint(catalog: list[Json], region: str) -> str:
        """As gophertelekomcloud finds it: type `dis`, interface public, the region; it appends v2/{project_id}/."""
        found = [
            endpoint["url"]
            for service in catalog
            if service["type"] == "dis"
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "public" and endpoint["region"] in (region, "*")
        ]
        assert len(found) == 1, catalog
        return str(found[0])

    def test_with_a_password(self, server: Server, name: str) -> None:
        headers = self.HEADERS | {"Content-Type": "application/json"}
        with Sender(server, headers, bodied=("Content-Type",)) as client:
            token, about = self.login(
                client, {"project": {"name": server.project, "domain": {"name": server.account}}}
            )
            assert (about["project"]["id"], about["project"]["name"]) == (server.project_id, server.project)
            url = self.endpoint(about["catalog"], server.project)
            domain_token, domain = self.login(client, {"domain": {"name": server.account}})
            assert domain["domain"]["name"] == server.account
            assert "project" not in domain
            assert domain_token != token
            path = f"{urlsplit(url if url.endswith('/') else url + '/').path}v2/{server.project_id}"
            self.life(client, path, name, {"X-Auth-Token": token})
            refused(client.send("GET", f"{path}/streams", headers={"X-Auth-Token": domain_token}), "DIS.4117")

    def test_with_keys(self, server: Server, name: str) -> None:
        """All signed, with empty parts of the scope, on connections that close (clients.md 2.1)."""
        headers = self.HEADERS | {"Content-Type": "application/json", "Connection": "close"}
        keys = Keys("C", self.SIGNED)
        with Sender(server, headers, keys=keys, bodied=("Content-Type",)) as client:
            projects = ok(client.send("GET", f"/v3/projects?name={server.project}"))["projects"]
            assert [one["id"] for one in projects] == [server.project_id]
            domains = ok(client.send("GET", f"/v3/auth/domains?name={server.account}"))["domains"]
            assert [one["name"] for one in domains] == [server.account]
            catalog = ok(client.send("GET", "/v3/auth/catalog"))["catalog"]
            url = self.endpoint(catalog, server.project)
            path = f"{urlsplit(url if url.endswith('/') else url + '/').path}v2/{server.project_id}"
            self.life(client, path, name, {"X-Project-Id": server.project_id})

    @staticmethod
    def life(client: Sender, path: str, name: str, headers: dict[str, str]) -> None:
        """Its resources dis_stream_v2, dis_app_v2, dis_checkpoint_v2 and dis_dump_task_v2."""

        def send(method: str, target: str, body: object = None) -> Json:
            reply = client.send(method, f"{path}{target}", body, headers=headers)
            assert reply.status_code == 200, reply.text
            answer: Json = reply.json()
            return answer

        def without_body(method: str, target: str, status: int, body: object = None) -> None:
            done(client.send(method, f"{path}{target}", body, headers=headers), status)

        stream: Json = {
            "stream_name": name,
            "partition_count": 2,
            "stream_type": "COMMON",
            "data_type": "BLOB",
            "data_duration": 24,
            "csv_properties": {},
            "compression_format": "zip",
            "tags": [{"key": "created", "value": "tf"}],
        }
        without_body("POST", "/streams", 201, stream)
        shown = send("GET", f"/streams/{name}")
        # The provider dereferences these two.
        assert (shown["has_more_partitions"], shown["writable_partition_count"]) == (False, 2)
        assert send("PUT", f"/streams/{name}", {"stream_name": name, "target_partition_count": 4})
        assert send("GET", f"/streams/{name}")["writable_partition_count"] == 4
        tags = f"/stream/{shown['stream_id']}/tags/action"
        without_body("POST", tags, 204, {"action": "delete", "tags": [{"key": "created", "value": "tf"}]})
        without_body("POST", tags, 204, {"action": "create", "tags": [{"key": "again", "value": "tf"}]})

        without_body("POST", "/apps", 201, {"app_name": name})
        assert send("GET", f"/apps/{name}")["app_name"] == name
        commit = {
            "app_name": name,
            "checkpoint_type": "LAST_READ",
            "stream_name": name,
            "partition_id": "0",
            "sequence_number": "0",
        }
        without_body("POST", "/checkpoints", 201, commit)
        where = f"app_name={name}&checkpoint_type=LAST_READ&partition_id=0&stream_name={name}"
        assert send("GET", f"/checkpoints?{where}")["sequence_number"] == "0"
        without_body("DELETE", f"/checkpoints?{where}", 204)

        task = {
            "destination_type": "OBS",
            "obs_destination_descriptor": {
                "task_name": name,
                "agency_name": "dis_admin_agency",
                "deliver_time_interval": 30,
                "consumer_strategy": "LATEST",
                "file_prefix": "_pf",
                "partition_format": "yyyy/MM/dd/HH/mm",
                "obs_bucket_path": "obsbucket",
                "destination_file_type": "text",
                "record_delimiter": "|",
                "processing_schema": {},
            },
        }
        without_body("POST", f"/streams/{name}/transfer-tasks", 201, task)
        described = send("GET", f"/streams/{name}/transfer-tasks/{name}")
        assert described["state"] == "RUNNING"
        for action, state in (("stop", "PAUSED"), ("start", "RUNNING")):
            body = {"action": action, "tasks": [{"id": described["task_id"]}]}
            assert client.send(
                "POST", f"{path}/streams/{name}/transfer-tasks/action", body, headers=headers
            ).is_success
            assert send("GET", f"/streams/{name}/transfer-tasks/{name}")["state"] == state
        without_body("DELETE", f"/streams/{name}/transfer-tasks/{name}", 204)
        without_body("DELETE", f"/apps/{name}", 204)
        without_body("DELETE", f"/streams/{name}", 204)
        for gone in (f"/streams/{name}", f"/apps/{name}"):
            assert client.send("GET", f"{path}{gone}", headers=headers).status_code in (400, 404)
