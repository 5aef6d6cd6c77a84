"""Dump tasks over the wire (5.5.1 to 5.5.10, and the update of chapter 6): operations, states, what clients send. Fields are in
test_wire_task_fields.py, what destinations say in test_wire_task_destinations.py."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator

import pytest
from tests.support.destinations import FakePostgres
from tests.support.server import Server
from tests.support.tasks import (
    KMS_SECRET,
    LAKE_SECRET,
    SAMPLES,
    Fakes,
    body_of,
    create,
    name_of,
    path_of,
    server_with,
)
from tests.support.wire import Json, Wire, done, ok, refused

Make = Callable[..., str]
STATES = {"ERROR", "STARTING", "PAUSED", "RUNNING", "DELETE", "ABNORMAL"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Fakes]]:
    with server_with(tmp_path_factory.mktemp("tasks")) as started:
        yield started


@pytest.fixture(scope="module")
def server(both: tuple[Server, Fakes]) -> Server:
    return both[0]


@pytest.fixture
def stream(make: Make) -> str:
    return make(data_type="JSON")


def details(wire: Wire, stream: str, name: str) -> Json:
    return ok(wire.call("GET", path_of(stream, f"/{name}")))


def listed(wire: Wire, stream: str, query: str = "") -> Json:
    return ok(wire.call("GET", path_of(stream), query))


def made(wire: Wire, stream: str, sample: str = "OBS", **changes: object) -> str:
    body = body_of(sample, **changes)
    done(create(wire, stream, body), 201)
    return name_of(body)


def act(wire: Wire, stream: str, action: str, *ids: str) -> None:
    body = {"action": action, "tasks": [{"id": one} for one in ids]}
    done(wire.call("POST", path_of(stream, "/action"), body=body), 200)


class TestCreate:
    @pytest.mark.parametrize("sample", SAMPLES)
    def test_answers_201_without_a_body_to_every_sample(self, wire: Wire, stream: str, sample: str) -> None:
        """5.5.1, 5.5.7 to 5.5.10: "201 Normal response"."""
        done(create(wire, stream, body_of(sample)), 201)

    @pytest.mark.parametrize("root", ["streams", "stream"])
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_paths(self, wire: Wire, stream: str, root: str, slash: str) -> None:
        """clients.md 0, rules 1 and 2: with and without a trailing slash, `stream` and `streams`."""
        body = body_of("OBS")
        base = f"/{root}/{stream}/transfer-tasks"
        done(wire.call("POST", f"{base}{slash}", body=body), 201)
        name = name_of(body)
        assert ok(wire.call("GET", f"{base}{slash}"))["total_number"] == 1
        task = ok(wire.call("GET", f"{base}/{name}{slash}"))
        stop = {"action": "stop", "tasks": [{"id": task["task_id"]}]}
        done(wire.call("POST", f"{base}/action{slash}", body=stop), 200)
        done(wire.call("DELETE", f"{base}/{name}{slash}"), 204)

    def test_by_the_streams_id(self, wire: Wire, stream: str) -> None:
        stream_id = ok(wire.describe(stream))["stream_id"]
        name = made(wire, stream_id)
        assert details(wire, stream_id, name)["stream_name"] == stream
        assert listed(wire, stream)["tasks"][0]["task_name"] == name

    def test_a_name_that_is_taken(self, wire: Wire, stream: str, make: Make) -> None:
        """Section 7.1: names are taken within a stream."""
        body = body_of("OBS")
        done(create(wire, stream, body), 201)
        refused(create(wire, stream, body), "DIS.4355", naming=name_of(body))
        done(create(wire, make(), body), 201)

    def test_at_most_five_for_a_stream(self, wire: Wire, stream: str) -> None:
        """Section 7.1: "A maximum of five dump tasks can be created for one stream at the same time.\""""
        names = [made(wire, stream) for _ in range(5)]
        refused(create(wire, stream, body_of("OBS")), "DIS.4357")
        refused(create(wire, stream, body_of("OBS", task_name=names[0])), "DIS.4355")
        done(wire.call("DELETE", path_of(stream, f"/{names[0]}")), 204)
        made(wire, stream)

    def test_a_stream_that_is_not_there(self, wire: Wire, name: str) -> None:
        refused(create(wire, name, body_of("OBS")), "DIS.4301", naming=name)

    def test_a_stream_of_another_project(self, wire: Wire, stream: str) -> None:
        reply = wire.http.post(
            f"{wire.endpoint}/v2/0123456789abcdef0123456789abcdef/streams/{stream}/transfer-tasks",
            json=body_of("OBS"),
            headers={"X-Auth-Token": wire.token},
        )
        refused(reply, "DIS.4117")

    @pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"x"', b'{"destination_type": "OBS"} x'])
    def test_a_body_that_is_no_object(self, wire: Wire, stream: str, body: bytes) -> None:
        refused(wire.call("POST", path_of(stream), content=body), "DIS.4300")

    def test_no_body(self, wire: Wire, stream: str) -> None:
        refused(wire.call("POST", path_of(stream), content=b""), "DIS.4202")

    def test_latest_starts_behind_what_is_there_and_trim_horizon_before_it(
        self, wire: Wire, server: Server, stream: str
    ) -> None:
        """Table 5-82 consumer_strategy: it is kept, and neither has delivered anything."""
        wire.put_data(stream, b"{}", b"{}")
        for strategy in ("LATEST", "TRIM_HORIZON"):
            task = details(wire, stream, made(wire, stream, consumer_strategy=strategy))
            assert task["obs_destination_description"]["consumer_strategy"] == strategy
            assert task["partitions"][0]["last_transfer_offset"] == -1


class TestWhichDescriptor:
    """clients.md 1.6."""

    def test_the_only_one_says_the_type(self, wire: Wire, stream: str) -> None:
        """The Java SDK sends no destination_type, and the stream's name in the body."""
        for sample, (kind, field, _) in SAMPLES.items():
            if sample == "OPENTSDB":
                continue
            body = body_of(sample)
            del body["destination_type"]
            body["stream_name"] = stream
            done(create(wire, stream, body), 201)
            assert details(wire, stream, body[field]["task_name"])["destination_type"] == kind

    @pytest.mark.parametrize("value", [None, "", "NOWHERE"])
    def test_absent_in_other_words(self, wire: Wire, stream: str, value: str | None) -> None:
        """`NOWHERE` is what tables call the default."""
        done(create(wire, stream, body_of("OBS") | {"destination_type": value}), 201)

    def test_clouds_by_another_name(self, wire: Wire, stream: str) -> None:
        """The sample of 5.5.10 says CLOUDBASE."""
        body = body_of("HBASE") | {"destination_type": "CLOUDBASE"}
        done(create(wire, stream, body), 201)
        assert details(wire, stream, name_of(body))["destination_type"] == "CLOUDTABLE"

    def test_what_the_go_sdk_always_sends(self, wire: Wire, stream: str) -> None:
        """The four descriptors that are not used are null, and so is processing_schema."""
        body = {field: None for _, field, _ in SAMPLES.values()} | body_of("OBS", processing_schema=None)
        done(create(wire, stream, body), 201)

    @pytest.mark.parametrize("value", [None, "", {}, {"task_name": 5}, "text", 7, [1]])
    def test_what_does_not_count_may_be_anything(self, wire: Wire, stream: str, value: object) -> None:
        """The older Python SDK sends keys of earlier calls along."""
        done(create(wire, stream, body_of("OBS") | {"mrs_destination_descriptor": value}), 201)

    def test_stale_fields_of_other_kinds(self, wire: Wire, stream: str) -> None:
        body = body_of("OBS")
        body["obs_destination_descriptor"] |= {"mrs_hdfs_path": "/user", "row_key": [], "no_such_field": {}}
        done(create(wire, stream, body), 201)

    def test_dli_under_the_name_of_mrs(self, wire: Wire, stream: str) -> None:
        """What gophertelekomcloud sends."""
        body = body_of("DLI")
        body["mrs_destination_descriptor"] = body.pop("dli_destination_descriptor")
        body["mrs_destination_descriptor"]["deliver_time_interval"] = "30"
        done(create(wire, stream, body), 201)
        shown = details(wire, stream, name_of(body))
        assert shown["destination_type"] == "DLI"
        assert shown["dli_destination_description"]["deliver_time_interval"] == 30

    def test_mrs_with_another_spelling_of_the_path(self, wire: Wire, stream: str) -> None:
        """gophertelekomcloud: `mrs_hdfs_patch`."""
        body = body_of("MRS")
        body["mrs_destination_descriptor"]["mrs_hdfs_patch"] = body["mrs_destination_descriptor"].pop(
            "mrs_hdfs_path"
        )
        done(create(wire, stream, body), 201)
        shown = details(wire, stream, name_of(body))["mrs_destination_description"]
        assert shown["mrs_hdfs_path"] == shown["mrs_hdfs_patch"] == "/user"

    def test_open_telekom_clouds_extra_fields(self, wire: Wire, stream: str) -> None:
        """clients.md 9: `StreamName`, and a processing_schema with empty texts."""
        body = body_of("OBS", processing_schema={"timestamp_name": "", "timestamp_type": ""})
        done(create(wire, stream, body | {"StreamName": stream}), 201)
        shown = details(wire, stream, name_of(body))["obs_destination_description"]
        assert "processing_schema" not in shown

    @pytest.mark.parametrize("value", ["UQUERY", "obs", "FOO", "DELETE"])
    def test_other_types(self, wire: Wire, stream: str, value: str) -> None:
        refused(
            create(wire, stream, body_of("OBS") | {"destination_type": value}),
            "DIS.4200",
            naming="destination_type",
        )

    def test_a_type_that_is_no_text(self, wire: Wire, stream: str) -> None:
        body = body_of("OBS") | {"destination_type": 1}
        refused(create(wire, stream, body), "DIS.4300", naming="destination_type")

    def test_two_and_no_type(self, wire: Wire, stream: str) -> None:
        body = body_of("OBS") | body_of("MRS")
        del body["destination_type"]
        refused(create(wire, stream, body), "DIS.4200", naming="destination_type")

    def test_none_at_all(self, wire: Wire, stream: str) -> None:
        refused(create(wire, stream, {"stream_name": stream}), "DIS.4200", naming="destination_type")

    @pytest.mark.parametrize("sample", SAMPLES)
    @pytest.mark.parametrize("value", [None, "", {}, "missing"])
    def test_a_type_without_its_descriptor(self, wire: Wire, stream: str, sample: str, value: object) -> None:
        kind, field, _ = SAMPLES[sample]
        body = {"destination_type": kind} | ({} if value == "missing" else {field: value})
        refused(create(wire, stream, body), "DIS.4200", naming=field)

    @pytest.mark.parametrize("value", ["text", 7, [1], True])
    def test_a_descriptor_that_is_no_object(self, wire: Wire, stream: str, value: object) -> None:
        body = {"destination_type": "OBS", "obs_destination_descriptor": value}
        refused(create(wire, stream, body), "DIS.4300", naming="obs_destination_descriptor")


class TestList:
    """5.5.2, tables 5-86 and 5-87."""

    def test_shows_every_field(self, wire: Wire, stream: str) -> None:
        before = int(time.time() * 1000)
        name = made(wire, stream)
        page = listed(wire, stream)
        assert set(page) == {"tasks", "total_number", "quota"}
        assert (page["total_number"], page["quota"]) == (1, 5)
        (task,) = page["tasks"]
        assert set(task) == {
            "task_id", "task_name", "destination_type", "state", "create_time", "last_transfer_timestamp",
        }  # fmt: skip
        assert (task["task_name"], task["destination_type"], task["state"]) == (name, "OBS", "RUNNING")
        assert before - 2000 <= task["create_time"] <= time.time() * 1000 + 2000
        assert task["last_transfer_timestamp"] == 0
        assert len(task["task_id"]) == 20

    def test_without_any(self, wire: Wire, stream: str) -> None:
        assert listed(wire, stream) == {"tasks": [], "total_number": 0, "quota": 5}

    def test_pages_in_order_of_names(self, wire: Wire, stream: str) -> None:
        """The Java SDK asks with limit=10 and start_task_name (clients.md 1.6)."""
        names = sorted(made(wire, stream, task_name=f"t-{letter}") for letter in "cab")
        seen = []
        start = ""
        while True:
            page = listed(wire, stream, f"limit=2&start_task_name={start}")
            assert page["total_number"] == 3
            if not page["tasks"]:
                break
            seen += [task["task_name"] for task in page["tasks"]]
            start = seen[-1]
        assert seen == names

    @pytest.mark.parametrize(
        "query", ["", "limit=0", "start_task_name&limit=0", "stream_name=x&limit=10&", "limit=100"]
    )
    def test_queries_that_clients_send(self, wire: Wire, stream: str, query: str) -> None:
        names = [made(wire, stream) for _ in range(5)]
        assert sorted(task["task_name"] for task in listed(wire, stream, query)["tasks"]) == sorted(names)

    @pytest.mark.parametrize("limit", ["101", "-1", "x", "1.5"])
    def test_refuses_other_limits(self, wire: Wire, stream: str, limit: str) -> None:
        refused(wire.call("GET", path_of(stream), f"limit={limit}"), "DIS.4200", naming="limit")

    def test_a_stream_that_is_not_there(self, wire: Wire, name: str) -> None:
        refused(wire.call("GET", path_of(name)), "DIS.4301", naming=name)


class TestDetails:
    """5.5.4, tables 5-92 to 5-95, and its sample."""

    def test_shows_every_field(self, wire: Wire, stream: str) -> None:
        name = made(wire, stream)
        shown = details(wire, stream, name)
        stream_id = ok(wire.describe(stream))["stream_id"]
        assert shown["stream_id"] == shown["streamId"] == stream_id
        assert (shown["stream_name"], shown["task_name"]) == (stream, name)
        assert shown["task_id"] == listed(wire, stream)["tasks"][0]["task_id"]
        assert (shown["destination_type"], shown["state"]) == ("OBS", "RUNNING")
        assert isinstance(shown["create_time"], int)
        assert shown["last_transfer_timestamp"] == 0
        assert "state_reason" not in shown

    def test_shows_every_partition_as_table_and_sample_do(self, wire: Wire, make: Make) -> None:
        """Table 5-93 lists what a partition of a stream has, the sample shows how far the task is: both."""
        stream = make(partitions=3)
        shown = details(wire, stream, made(wire, stream))
        described = ok(wire.describe(stream))["partitions"]
        for partition, expected in zip(shown["partitions"], described, strict=True):
            assert partition["partition_id"] == partition["partitionId"] == expected["partition_id"]
            assert {key: partition[key] for key in expected} == expected
            assert partition["state"] == "RUNNING"
            assert partition["discard"] == 0
            assert partition["last_transfer_timestamp"] == 0
            assert partition["last_transfer_offset"] == -1

    @pytest.mark.parametrize("sample", SAMPLES)
    def test_shows_the_descriptor_but_its_secrets(self, wire: Wire, stream: str, sample: str) -> None:
        body = body_of(sample)
        done(create(wire, stream, body), 201)
        _, field, _ = SAMPLES[sample]
        reply = wire.call("GET", path_of(stream, f"/{name_of(body)}"))
        shown = ok(reply)[field.replace("descriptor", "description")]
        expected = copy.deepcopy(body[field])
        expected.pop("user_password", None)
        if "retry_duration" in expected:
            expected["retry_duration"] = str(expected["retry_duration"])
        if sample == "DWS":
            expected["options"] |= {"reject_limit": "0", "error_table_name": ""}
            assert shown["dws_table_columns"] == ""
        for key, value in expected.items():
            assert shown[key] == value, key
        assert "user_password" not in reply.text
        assert FakePostgres.password not in reply.text

    def test_shows_defaults(self, wire: Wire, stream: str) -> None:
        """Table 5-82."""
        name = "defaults"
        descriptor = {"task_name": name, "agency_name": "dis_admin_agency", "obs_bucket_path": "obsbucket"}
        done(create(wire, stream, {"obs_destination_descriptor": descriptor}), 201)
        assert details(wire, stream, name)["obs_destination_description"] == descriptor | {
            "deliver_time_interval": 300,
            "consumer_strategy": "LATEST",
            "file_prefix": "",
            "partition_format": "",
            "destination_file_type": "text",
            "record_delimiter": "\n",
            "retry_duration": 0,
        }

    @pytest.mark.parametrize(
        ("sample", "keys"),
        [
            ("OBS", {"obs_destination_description"}),
            ("DWS", {"dws_destination_description", "dws_destination_descripton"}),
            ("MRS", {"mrs_destination_description"}),
            ("DLI", {"dli_destination_description"}),
            (
                "HBASE",
                {
                    "cloudtable_destination_description",
                    "cloudtable_destination_descripton",
                    "cloud_table_destination_description",
                },
            ),
        ],
    )
    def test_under_every_name_that_clients_look_for(
        self, wire: Wire, stream: str, sample: str, keys: set[str]
    ) -> None:
        """clients.md 1.6: two SDKs misspell it."""
        shown = details(wire, stream, made(wire, stream, sample))
        assert {key for key in shown if "_destination_" in key} == keys
        assert len({json.dumps(shown[key]) for key in keys}) == 1

    def test_with_what_the_java_sdk_adds(self, wire: Wire, stream: str) -> None:
        name = made(wire, stream)
        query = f"task_name={name}&stream_name={stream}&"
        assert ok(wire.call("GET", path_of(stream, f"/{name}/"), query))["task_name"] == name

    def test_a_task_that_is_not_there(self, wire: Wire, stream: str, name: str) -> None:
        refused(wire.call("GET", path_of(stream, "/none")), "DIS.4354", naming="none")
        refused(wire.call("GET", path_of(name, "/none")), "DIS.4301", naming=name)

    def test_a_task_called_action(self, wire: Wire, stream: str) -> None:
        made(wire, stream, task_name="action")
        assert details(wire, stream, "action")["task_name"] == "action"
        done(wire.call("DELETE", path_of(stream, "/action")), 204)


class TestDelete:
    """5.5.3."""

    def test_answers_204(self, wire: Wire, stream: str) -> None:
        name = made(wire, stream)
        done(wire.call("DELETE", path_of(stream, f"/{name}")), 204)
        assert listed(wire, stream)["total_number"] == 0
        refused(wire.call("GET", path_of(stream, f"/{name}")), "DIS.4354")

    def test_a_task_that_is_not_there(self, wire: Wire, stream: str, name: str) -> None:
        refused(wire.call("DELETE", path_of(stream, "/none")), "DIS.4354", naming="none")
        refused(wire.call("DELETE", path_of(name, "/none")), "DIS.4301", naming=name)

    def test_a_name_is_free_again(self, wire: Wire, stream: str) -> None:
        name = made(wire, stream)
        first = details(wire, stream, name)["task_id"]
        done(wire.call("DELETE", path_of(stream, f"/{name}")), 204)
        made(wire, stream, task_name=name)
        assert details(wire, stream, name)["task_id"] != first

    def test_tasks_go_with_their_stream(self, wire: Wire, make: Make) -> None:
        stream = make()
        name = made(wire, stream)
        wire.delete(stream)
        refused(wire.call("GET", path_of(stream, f"/{name}")), "DIS.4301")
        make(stream)
        assert listed(wire, stream)["total_number"] == 0
        made(wire, stream, task_name=name)


class TestActions:
    """5.5.5 and 5.5.6, tables 5-97 to 5-101."""

    def test_stop_and_start(self, wire: Wire, stream: str) -> None:
        """gophertelekomcloud's test: PAUSED and RUNNING at once; of one task and not of another."""
        names = [made(wire, stream) for _ in range(3)]
        ids = [details(wire, stream, name)["task_id"] for name in names]
        for action, state in (
            ("stop", "PAUSED"),
            ("stop", "PAUSED"),
            ("start", "RUNNING"),
            ("start", "RUNNING"),
        ):
            act(wire, stream, action, *ids[:2], ids[0])
            assert [details(wire, stream, name)["state"] for name in names] == [state, state, "RUNNING"]
            assert {t["task_name"]: t["state"] for t in listed(wire, stream)["tasks"]} == dict(
                zip(names, (state, state, "RUNNING"), strict=True)
            )
            assert details(wire, stream, names[0])["partitions"][0]["state"] == state

    def test_only_states_of_table_5_87(self, wire: Wire, stream: str) -> None:
        made(wire, stream)
        assert {task["state"] for task in listed(wire, stream)["tasks"]} <= STATES

    def test_with_the_streams_name_in_the_body(self, wire: Wire, stream: str) -> None:
        """The Java SDK."""
        task_id = details(wire, stream, made(wire, stream))["task_id"]
        body = {"action": "stop", "stream_name": stream, "tasks": [{"id": task_id}]}
        done(wire.call("POST", path_of(stream, "/action/"), body=body), 200)

    def test_all_or_none(self, wire: Wire, stream: str, make: Make) -> None:
        name = made(wire, stream)
        known = details(wire, stream, name)["task_id"]
        other = make()
        strange = details(wire, other, made(wire, other))["task_id"]
        for wrong in ("none", strange, name):
            body = {"action": "stop", "tasks": [{"id": known}, {"id": wrong}]}
            refused(wire.call("POST", path_of(stream, "/action"), body=body), "DIS.4354", naming=wrong)
            assert details(wire, stream, name)["state"] == "RUNNING"

    @pytest.mark.parametrize(
        ("body", "code", "naming"),
        [
            ({"tasks": [{"id": "x"}]}, "DIS.4200", "action"),
            ({"action": "", "tasks": [{"id": "x"}]}, "DIS.4200", "action"),
            ({"action": None, "tasks": [{"id": "x"}]}, "DIS.4200", "action"),
            ({"action": "pause", "tasks": [{"id": "x"}]}, "DIS.4200", "action"),
            ({"action": 1, "tasks": [{"id": "x"}]}, "DIS.4300", "action"),
            ({"action": "stop"}, "DIS.4200", "tasks"),
            ({"action": "stop", "tasks": None}, "DIS.4200", "tasks"),
            ({"action": "stop", "tasks": []}, "DIS.4200", "tasks"),
            ({"action": "stop", "tasks": "x"}, "DIS.4300", "tasks"),
            ({"action": "stop", "tasks": ["x"]}, "DIS.4300", "tasks"),
            ({"action": "stop", "tasks": [{}]}, "DIS.4200", "tasks"),
            ({"action": "stop", "tasks": [{"id": ""}]}, "DIS.4200", "tasks[0].id"),
            ({"action": "stop", "tasks": [{"id": 5}]}, "DIS.4300", "tasks"),
        ],
    )
    def test_refuses_other_bodies(self, wire: Wire, stream: str, body: Json, code: str, naming: str) -> None:
        refused(wire.call("POST", path_of(stream, "/action"), body=body), code, naming=naming)

    def test_a_stream_that_is_not_there(self, wire: Wire, name: str) -> None:
        body = {"action": "stop", "tasks": [{"id": "x"}]}
        refused(wire.call("POST", path_of(name, "/action"), body=body), "DIS.4301", naming=name)


class TestUpdate:
    """PUT …/transfer-tasks: chapter 6 has its action, no edition its shape."""

    def test_changes_what_is_sent_and_keeps_the_rest(self, wire: Wire, stream: str) -> None:
        name = made(wire, stream, file_prefix="a/b")
        before = details(wire, stream, name)
        sent = {"task_name": name, "deliver_time_interval": 60, "partition_format": None, "file_prefix": ""}
        body = {"destination_type": "OBS", "obs_destination_descriptor": sent}
        done(wire.call("PUT", path_of(stream), body=body), 200)
        after = details(wire, stream, name)
        before["obs_destination_description"]["deliver_time_interval"] = 60
        assert after == before

    @pytest.mark.parametrize("sample", SAMPLES)
    def test_of_every_kind(self, wire: Wire, stream: str, sample: str) -> None:
        name = made(wire, stream, sample)
        _, field, _ = SAMPLES[sample]
        sent = {"task_name": name, "deliver_time_interval": "900"}
        done(wire.call("PUT", path_of(stream), body={field: sent}), 200)
        shown = details(wire, stream, name)[field.replace("descriptor", "description")]
        assert shown["deliver_time_interval"] == 900

    def test_finds_the_task_by_id_or_name(self, wire: Wire, stream: str) -> None:
        name = made(wire, stream)
        task_id = details(wire, stream, name)["task_id"]
        for which, seconds in (({"task_id": task_id}, 31), ({"task_name": name}, 32)):
            body = which | {"obs_destination_descriptor": {"deliver_time_interval": seconds}}
            done(wire.call("PUT", path_of(stream, "/"), body=body), 200)
            shown = details(wire, stream, name)["obs_destination_description"]
            assert shown["deliver_time_interval"] == seconds

    @pytest.mark.parametrize("content", [b"{}", b'{"stream_name": "x"}', b'{"task_name": ""}'])
    def test_with_nothing_in_it(self, wire: Wire, stream: str, content: bytes) -> None:
        """The Java SDK sends as good as nothing: nothing changes."""
        name = made(wire, stream)
        before = details(wire, stream, name)
        done(wire.call("PUT", path_of(stream, "/"), content=content), 200)
        assert details(wire, stream, name) == before

    def test_refuses(self, wire: Wire, stream: str, name: str) -> None:
        task = made(wire, stream)
        field = "obs_destination_descriptor"

        def put(body: Json) -> object:
            return wire.call("PUT", path_of(stream), body=body)

        for body, code, naming in (
            ({"task_name": "none"}, "DIS.4354", "none"),
            ({"task_id": "none"}, "DIS.4354", "none"),
            ({field: {"task_name": "none"}}, "DIS.4354", "none"),
            ({field: {"file_prefix": "a"}}, "DIS.4200", "task_name"),
            ({field: {"task_name": task, "file_prefix": "/a"}}, "DIS.4200", f"{field}.file_prefix"),
            ({field: {"task_name": task, "deliver_time_interval": 29}}, "DIS.4200", "deliver_time_interval"),
            ({field: {"task_name": task, "obs_bucket_path": 5}}, "DIS.4300", f"{field}.obs_bucket_path"),
            ({field: {"task_name": task, "obs_bucket_path": "none"}}, "DIS.4306", "none"),
            ({field: {"task_name": task, "agency_name": "none"}}, "DIS.4335", "none"),
            ({"task_name": task, "dli_destination_descriptor": {"x": 1}}, "DIS.4200", "destination_type"),
            ({field: [1]}, "DIS.4300", field),
        ):
            refused(put(body), code, naming=naming)  # type: ignore[arg-type]
        refused(wire.call("PUT", path_of(name), body={}), "DIS.4301", naming=name)
        refused(wire.call("PUT", path_of(stream), content=b""), "DIS.4202")


class TestLasting:
    def test_survives_a_kill(self, server: Server, make: Make) -> None:
        """Tasks and their states are durable when they are answered."""
        with Wire.to(server) as wire:
            stream = make(partitions=2, data_type="JSON")
            tasks = [made(wire, stream, sample) for sample in ("OBS", "DWS", "HBASE")]
            ids = [details(wire, stream, name)["task_id"] for name in tasks]
            act(wire, stream, "stop", ids[1])
            gone = made(wire, stream)
            done(wire.call("DELETE", path_of(stream, f"/{gone}")), 204)
            before = [details(wire, stream, name) for name in tasks]
        server.restart(kill=True)
        with Wire.to(server) as wire:
            assert [details(wire, stream, name) for name in tasks] == before
            assert before[1]["state"] == "PAUSED"
            assert listed(wire, stream)["total_number"] == 3
            sent = {"task_name": tasks[1], "retry_duration": "0"}
            # The password is still there: the database is asked with it again.
            done(wire.call("PUT", path_of(stream), body={"dws_destination_descriptor": sent}), 200)
            wire.delete(stream)

    def test_secrets_are_nowhere(self, server: Server, stream: str, wire: Wire) -> None:
        """Passwords reach the catalog sealed; neither they nor those of the configuration are logged."""
        made(wire, stream, "DWS")
        bad = body_of("DWS", user_password="the-Wrong-Password")
        refused(create(wire, stream, bad), "DIS.4350")
        secrets = [FakePostgres.password, "the-Wrong-Password", KMS_SECRET, LAKE_SECRET]
        files = [path for path in server.data.rglob("*") if path.is_file()]
        assert any(path.name.startswith("catalog.db") for path in files)
        for path in [*files, server.log]:
            content = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in content, f"{secret} in {path}"
