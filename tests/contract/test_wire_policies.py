"""Permission policies over the wire (API reference 5.1.7, 5.1.8, chapter 6), and streams shared between two accounts:
every field and refusal, and who can do what with a stream afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from tests.contract.conftest import Make
from tests.support.accounts import Login, add_users
from tests.support.server import Server
from tests.support.wire import Json, Wire, b64, done, ok, page_of, refused
from tests.support.wirecodec import PbRecord, put_request

RIGHTS = ("putRecords", "getRecords", "getStreamInfo")


class Others(NamedTuple):
    """Who there is beside the account that has the streams."""

    helper: Login
    """Of the account that has the streams, without any permission."""
    reader: Login
    """Of that account too, with the role DIS User."""
    partner: Login
    """Owner of another account."""
    clerk: Login
    """Of the partner's account, with the role DIS User."""
    trainee: Login
    """Of the partner's account, without any permission."""
    third: Login
    """Owner of a third account."""


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Others]]:
    directory = tmp_path_factory.mktemp("accounts")
    config = directory / "penstock.toml"
    config.write_text("[limits]\ncontrol_requests_per_second = 1000000\npolicies_per_stream = 10\n")
    with Server(directory / "data", "--config", str(config)) as server:
        yield server, populate(server)


def populate(server: Server) -> Others:
    """Accounts and users for a server, which is started again."""
    server.terminate()
    data: Path = server.data
    helper, reader = add_users(data, server.account, "helper", "reader", granted=["reader"])
    partner, clerk, trainee = add_users(data, "partner", "owner", "clerk", "trainee", granted=["clerk"])
    (third,) = add_users(data, "third.account", "owner")
    server.start()
    return Others(helper, reader, partner, clerk, trainee, third)


@pytest.fixture(scope="module")
def server(others: tuple[Server, Others]) -> Server:
    return others[0]


@pytest.fixture(scope="module")
def users(others: tuple[Server, Others]) -> Others:
    return others[1]


@pytest.fixture(scope="module")
def wires(server: Server, users: Others) -> Iterator[dict[str, Wire]]:
    """A client for each of them, by name."""
    made = {name: login.wire(server) for name, login in users._asdict().items()}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture
def partner(wires: dict[str, Wire]) -> Wire:
    return wires["partner"]


@pytest.fixture
def stream(wire: Wire, make: Make) -> tuple[str, str]:
    """Name and id of a new stream of two partitions."""
    name = make(partitions=2)
    return name, ok(wire.describe(name))["stream_id"]


def policy(stream: tuple[str, str], principal: str, action: str = "putRecords", **fields: object) -> Json:
    return {
        "stream_id": stream[1],
        "principal_name": principal,
        "action_type": action,
        "effect": "accept",
        **fields,
    }


def grant(wire: Wire, stream: tuple[str, str], principal: str, *actions: str) -> None:
    for action in actions:
        done(add(wire, stream, policy(stream, principal, action)), 200)


def add(wire: Wire, stream: tuple[str, str], body: object) -> httpx.Response:
    return wire.call("POST", f"/streams/{stream[0]}/policies", body=body)


def remove(wire: Wire, stream: tuple[str, str], query: str = "", body: object = None) -> httpx.Response:
    return wire.call("DELETE", f"/streams/{stream[0]}/policies", query, body=body)


def rules(wire: Wire, stream: tuple[str, str]) -> list[Json]:
    found: list[Json] = ok(wire.call("GET", f"/streams/{stream[0]}/policies"))["rules"]
    return found


def names(wire: Wire, stream: tuple[str, str]) -> list[str]:
    return [f"{rule['principal_name']} {rule['action_type']}" for rule in rules(wire, stream)]


# What somebody tries with a stream they know the id of.


def put(wire: Wire, stream: tuple[str, str], data: bytes = b"x", name: str | None = None) -> httpx.Response:
    body: Json = {"stream_id": stream[1], "records": [{"data": b64(data), "partition_id": "0"}]}
    return wire.call("POST", "/records", body=body if name is None else {**body, "stream_name": name})


def cursor(wire: Wire, stream: tuple[str, str], query: str = "") -> httpx.Response:
    query = query or f"stream-id={stream[1]}"
    return wire.call("GET", "/cursors", f"{query}&partition-id=0&cursor-type=TRIM_HORIZON")


def describe(wire: Wire, stream: tuple[str, str]) -> httpx.Response:
    return wire.call("GET", f"/streams/{stream[1]}")


def is_not_there(wire: Wire, stream: tuple[str, str], *, doing: str) -> None:
    """As if there were no such stream."""
    tries: dict[str, Callable[[Wire, tuple[str, str]], httpx.Response]] = {
        "put": put,
        "get": cursor,
        "info": describe,
    }
    message = refused(tries[doing](wire, stream), "DIS.4301", status=404 if doing == "info" else 400)
    assert message == f"Stream does not exist. [{stream[1]}][{wire.project_id}]"


class TestAdding:
    """5.1.7."""

    def test_answers_200_without_a_body(self, wire: Wire, stream: tuple[str, str]) -> None:
        done(add(wire, stream, policy(stream, "partner")), 200)

    @pytest.mark.parametrize("action", RIGHTS)
    @pytest.mark.parametrize("effect", ["accept", "ACCEPT", "Accept"])
    def test_every_action_and_effect(
        self, wire: Wire, stream: tuple[str, str], action: str, effect: str
    ) -> None:
        done(add(wire, stream, policy(stream, "partner", action, effect=effect)), 200)
        (rule,) = rules(wire, stream)
        assert (rule["action_type"], rule["effect"]) == (action, "accept")

    @pytest.mark.parametrize(
        ("principal", "shown"),
        [
            ("partner", ["partner.*"]),
            ("partner.*", ["partner.*"]),
            ("partner.clerk", ["partner.clerk"]),
            ("partner.clerk,partner.trainee", ["partner.clerk", "partner.trainee"]),
            ("partner.clerk, third.account.owner", ["partner.clerk", "third.account.owner"]),
            ("third.account", ["third.account.*"]),
            ("partner,partner.*,partner", ["partner.*"]),
        ],
    )
    def test_principals(self, wire: Wire, stream: tuple[str, str], principal: str, shown: list[str]) -> None:
        done(add(wire, stream, policy(stream, principal)), 200)
        done(add(wire, stream, policy(stream, principal)), 200)  # nothing twice
        assert names(wire, stream) == [f"{name} putRecords" for name in shown]

    def test_the_stream_may_be_named_by_its_id(self, wire: Wire, stream: tuple[str, str]) -> None:
        path = f"/streams/{stream[1]}/policies/"
        done(wire.call("POST", path, body=policy(stream, "partner", stream_name=stream[0], extra=1)), 200)
        assert ok(wire.call("GET", path))["stream_id"] == stream[1]

    @pytest.mark.parametrize(
        ("fields", "naming"),
        [
            ({"stream_id": None}, "stream_id"),
            ({"stream_id": ""}, "stream_id"),
            ({"stream_id": "AnotherStreamsId1234"}, "stream_id"),
            ({"principal_name": None}, "principal_name"),
            ({"principal_name": ""}, "principal_name"),
            ({"principal_name": "partner,"}, "principal_name"),
            ({"principal_name": "nobody"}, "principal_name"),
            ({"principal_name": "nobody.owner"}, "principal_name"),
            ({"principal_name": "partner.nobody"}, "principal_name"),
            ({"principal_name": "partner.clerk,nobody"}, "nobody"),
            ({"action_type": None}, "action_type"),
            ({"action_type": ""}, "action_type"),
            ({"action_type": "deleteRecords"}, "action_type"),
            ({"effect": None}, "effect"),
            ({"effect": ""}, "effect"),
            ({"effect": "deny"}, "effect"),
            ({"effect": "effect"}, "effect"),
        ],
    )
    def test_refuses_what_is_missing_or_not_there(
        self, wire: Wire, stream: tuple[str, str], fields: Json, naming: str
    ) -> None:
        """`effect: effect` is what a test of gophertelekomcloud sends, to a service that does not know the path
        (clients.md 1.1 and 1.2)."""
        refused(add(wire, stream, policy(stream, "partner") | fields), "DIS.4200", naming=naming)
        assert rules(wire, stream) == []

    @pytest.mark.parametrize("field", ["stream_id", "principal_name", "action_type", "effect"])
    def test_every_field_is_mandatory_and_a_text(
        self, wire: Wire, stream: tuple[str, str], field: str
    ) -> None:
        """Table 5-32."""
        body = policy(stream, "partner")
        refused(add(wire, stream, body | {field: 1}), "DIS.4300", naming=field)
        refused(add(wire, stream, body | {field: ["x"]}), "DIS.4300", naming=field)
        del body[field]
        refused(add(wire, stream, body), "DIS.4200", naming=field)

    def test_no_body_and_no_json(self, wire: Wire, stream: tuple[str, str]) -> None:
        path = f"/streams/{stream[0]}/policies"
        refused(wire.call("POST", path, content=b""), "DIS.4202")
        refused(wire.call("POST", path, content=b"[]"), "DIS.4300", naming="body")
        refused(wire.call("POST", path, content=b"{"), "DIS.4300", naming="body")

    def test_a_stream_that_is_not_there(self, wire: Wire) -> None:
        gone = ("nobody", "x")
        refused(add(wire, gone, policy(gone, "partner")), "DIS.4301", naming="[nobody]")
        refused(wire.call("GET", "/streams/nobody/policies"), "DIS.4301", naming="[nobody]")
        refused(remove(wire, gone), "DIS.4301", naming="[nobody]")

    def test_there_is_a_most(self, wire: Wire, stream: tuple[str, str]) -> None:
        """`policies_per_stream`, 10 on this server."""
        people = "partner,partner.clerk,partner.trainee,partner.owner"
        grant(wire, stream, people, "putRecords", "getRecords")
        refused(add(wire, stream, policy(stream, people, "getStreamInfo")), "DIS.4308")
        assert len(rules(wire, stream)) == 8
        refused(add(wire, stream, policy(stream, ",".join(["partner"] * 11))), "DIS.4308")

    def test_they_end_with_the_stream(self, wire: Wire, stream: tuple[str, str], partner: Wire) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        done(wire.delete(stream[0]), 204)
        done(wire.create(stream[0]), 201)
        for doing in ("put", "get", "info"):
            is_not_there(partner, stream, doing=doing)
        again = (stream[0], ok(wire.describe(stream[0]))["stream_id"])
        assert rules(wire, again) == []
        is_not_there(partner, again, doing="put")


class TestListing:
    """5.1.8."""

    def test_every_field(self, wire: Wire, stream: tuple[str, str], users: Others) -> None:
        grant(wire, stream, "partner", "putRecords")
        grant(wire, stream, "partner.clerk", "getRecords")
        domain = users.partner.domain_id
        assert ok(wire.call("GET", f"/streams/{stream[0]}/policies")) == {
            "stream_id": stream[1],
            "streamId": stream[1],
            "rules": [
                {
                    "principal": f"{domain}.*",
                    "principal_name": "partner.*",
                    "action_type": "putRecords",
                    "effect": "accept",
                },
                {
                    "principal": f"{domain}.{users.clerk.user_id}",
                    "principal_name": "partner.clerk",
                    "action_type": "getRecords",
                    "effect": "accept",
                },
            ],
        }

    def test_none(self, wire: Wire, stream: tuple[str, str]) -> None:
        assert rules(wire, stream) == []

    def test_is_for_the_account_that_has_the_stream(
        self, wire: Wire, stream: tuple[str, str], partner: Wire
    ) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        path = f"/streams/{stream[1]}/policies"
        refused(partner.call("GET", path), "DIS.4301")
        refused(partner.call("POST", path, body=policy(stream, "partner")), "DIS.4301")
        refused(partner.call("DELETE", path), "DIS.4301")
        assert len(rules(wire, stream)) == 3


class TestRemoving:
    """DELETE: chapter 6 has it without a shape; docs/sharing.md says which."""

    @pytest.fixture
    def shared(self, wire: Wire, stream: tuple[str, str]) -> tuple[str, str]:
        grant(wire, stream, "partner", "putRecords", "getRecords")
        grant(wire, stream, "partner.clerk", "putRecords")
        return stream

    def test_all(self, wire: Wire, shared: tuple[str, str]) -> None:
        done(remove(wire, shared), 204)
        assert rules(wire, shared) == []
        done(remove(wire, shared), 204)

    @pytest.mark.parametrize("effect", [{}, {"effect": "accept"}])
    @pytest.mark.parametrize("in_body", [True, False])
    def test_some(self, wire: Wire, shared: tuple[str, str], in_body: bool, effect: Json) -> None:
        wanted = {"principal_name": "partner", "action_type": "putRecords", "stream_id": shared[1], **effect}
        if in_body:
            done(remove(wire, shared, body=wanted), 204)
        else:
            done(remove(wire, shared, "&".join(f"{key}={value}" for key, value in wanted.items())), 204)
        assert names(wire, shared) == ["partner.* getRecords", "partner.clerk putRecords"]

    @pytest.mark.parametrize(
        ("query", "left"),
        [
            ("principal_name=partner", ["partner.clerk putRecords"]),
            ("principal_name=partner.*", ["partner.clerk putRecords"]),
            ("principal_name=partner.clerk", ["partner.* putRecords", "partner.* getRecords"]),
            ("principal_name=partner,partner.clerk&action_type=putRecords", ["partner.* getRecords"]),
            ("action_type=putRecords", ["partner.* getRecords"]),
            ("principal_name=&action_type&", []),
        ],
    )
    def test_what_goes(self, wire: Wire, shared: tuple[str, str], query: str, left: list[str]) -> None:
        done(remove(wire, shared, query), 204)
        assert names(wire, shared) == left

    @pytest.mark.parametrize("body", [{}, {"principal_name": None, "action_type": ""}])
    def test_absent_fields_mean_all(self, wire: Wire, shared: tuple[str, str], body: Json) -> None:
        done(remove(wire, shared, body=body), 204)
        assert rules(wire, shared) == []

    @pytest.mark.parametrize(
        ("query", "naming"),
        [
            ("principal_name=third.account", "principal_name"),
            ("principal_name=partner,nobody", "nobody"),
            ("action_type=getStreamInfo", "action_type"),
            ("action_type=everything", "action_type"),
            ("stream_id=another", "stream_id"),
        ],
    )
    def test_refuses_what_no_policy_says(
        self, wire: Wire, shared: tuple[str, str], query: str, naming: str
    ) -> None:
        refused(remove(wire, shared, query), "DIS.4200", naming=naming)
        assert len(rules(wire, shared)) == 3

    def test_wrong_types(self, wire: Wire, shared: tuple[str, str]) -> None:
        refused(remove(wire, shared, body={"principal_name": 1}), "DIS.4300", naming="principal_name")
        refused(remove(wire, shared, body=[]), "DIS.4300", naming="body")
        assert len(rules(wire, shared)) == 3


class TestAnotherAccount:
    """A stream authorised to another account works by stream_id, with that account's own project in the path."""

    @pytest.mark.parametrize("doing", ["put", "get", "info"])
    def test_without_a_policy_it_is_not_there(
        self, wires: dict[str, Wire], stream: tuple[str, str], doing: str
    ) -> None:
        is_not_there(wires["partner"], stream, doing=doing)

    def test_putting_in_json(self, wire: Wire, partner: Wire, stream: tuple[str, str]) -> None:
        grant(wire, stream, "partner", "putRecords")
        reply = ok(put(partner, stream, b"from the partner"))
        assert reply["failed_record_count"] == 0
        ok(put(partner, stream, b"name given too", name=""))
        ok(put(partner, stream, b"not a name of ours", name=stream[0]))
        data = [record.data for record in wire.read_all(stream[0])]
        assert data == [b"from the partner", b"name given too", b"not a name of ours"]

    def test_putting_in_protobuf(self, wire: Wire, partner: Wire, stream: tuple[str, str]) -> None:
        grant(wire, stream, "partner", "putRecords")
        body = put_request("", [PbRecord(b"binary", partition_id="0")], stream[1])
        reply = partner.call(
            "POST", "/records", content=body, headers={"Content-Type": "application/x-protobuf"}
        )
        assert reply.status_code == 200, reply.text
        assert [record.data for record in wire.read_all(stream[0])] == [b"binary"]

    def test_getting(self, wire: Wire, partner: Wire, stream: tuple[str, str]) -> None:
        wire.put_data(stream[0], b"one", b"two", partition_id="0")
        grant(wire, stream, "partner", "getRecords")
        where = ok(cursor(partner, stream))["partition_cursor"]
        first, where = partner.read(where, "limit=1")
        assert [record.data for record in first] == [b"one"]
        rest, where = partner.read(where)
        assert [record.data for record in rest] == [b"two"]
        # As Java and the Kafka adapter send it, the name left empty (clients.md 1.3).
        ok(cursor(partner, stream, f"stream-name=&stream-id={stream[1]}"))
        wire.put_data(stream[0], b"three", partition_id="0")
        assert [record.data for record in partner.read(where)[0]] == [b"three"]

    @pytest.mark.parametrize("right", RIGHTS)
    def test_describing(self, wire: Wire, partner: Wire, stream: tuple[str, str], right: str) -> None:
        """Any right will do: the Kafka adapter reads the partitions of what it puts to and gets from (clients.md 1.2)."""
        grant(wire, stream, "partner", right)
        name, stream_id = stream
        for path, query in (
            (f"/streams/{stream_id}", ""),
            (f"/streams/{stream_id}", f"stream_id={stream_id}"),
            (f"/streams/{name}", f"stream_id={stream_id}"),
            ("/streams/", f"stream_id={stream_id}"),
            ("/streams", f"stream_id={stream_id}&limit_partitions=1"),
        ):
            shown = ok(partner.call("GET", path, query))
            assert (shown["stream_id"], shown["stream_name"]) == (stream_id, name)
        refused(partner.call("GET", f"/streams/{name}"), "DIS.4301", status=404)

    def test_it_is_in_no_list(self, wire: Wire, partner: Wire, stream: tuple[str, str]) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        assert ok(partner.call("GET", "/streams"))["stream_names"] == []
        found = {"action": "filter"}
        assert ok(partner.call("POST", "/stream/resource_instances/action", body=found))["total_count"] == 0

    @pytest.mark.parametrize(
        ("right", "may"),
        [("putRecords", {"put", "info"}), ("getRecords", {"get", "info"}), ("getStreamInfo", {"info"})],
    )
    def test_each_right_is_for_itself(
        self, wire: Wire, partner: Wire, stream: tuple[str, str], right: str, may: set[str]
    ) -> None:
        grant(wire, stream, "partner", right)
        for doing in {"put", "get", "info"} - may:
            is_not_there(partner, stream, doing=doing)

    def test_nobody_else(self, wire: Wire, wires: dict[str, Wire], stream: tuple[str, str]) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        for doing in ("put", "get", "info"):
            is_not_there(wires["third"], stream, doing=doing)

    def test_one_user_of_the_account(
        self, wire: Wire, wires: dict[str, Wire], stream: tuple[str, str]
    ) -> None:
        grant(wire, stream, "partner.clerk", "putRecords")
        ok(put(wires["clerk"], stream))
        is_not_there(wires["partner"], stream, doing="put")

    def test_management_stays_with_the_account(
        self, wire: Wire, partner: Wire, stream: tuple[str, str]
    ) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        for path, query in (
            (f"/streams/{stream[1]}", ""),
            (f"/streams/{stream[0]}", f"stream_id={stream[1]}"),
        ):
            refused(partner.call("DELETE", path, query), "DIS.4301", status=404)
        tag = {"tag": {"key": "a", "value": "b"}}
        refused(partner.call("POST", f"/stream/{stream[1]}/tags", body=tag), "DIS.4603")
        assert ok(wire.describe(stream[0]))["tags"] == []

    def test_a_stream_of_ones_own_of_the_same_name(
        self, wire: Wire, partner: Wire, stream: tuple[str, str]
    ) -> None:
        """Table 5-66: the id counts when no stream has the name."""
        grant(wire, stream, "partner", *RIGHTS)
        done(partner.create(stream[0]), 201)
        try:
            ok(put(partner, stream, b"mine", name=stream[0]))
            ok(put(partner, stream, b"shared"))
            assert [record.data for record in partner.read_all(stream[0])] == [b"mine"]
            assert [record.data for record in wire.read_all(stream[0])] == [b"shared"]
            (record,) = partner.read(ok(cursor(partner, stream))["partition_cursor"])[0]
            assert record.data == b"shared"
        finally:
            partner.delete(stream[0])

    def test_errors_name_the_caller_s_project(
        self, wire: Wire, partner: Wire, stream: tuple[str, str]
    ) -> None:
        """Nothing tells whose the stream is."""
        grant(wire, stream, "partner", "getRecords")
        query = f"stream-id={stream[1]}&partition-id=7"
        message = refused(partner.call("GET", "/cursors", query), "DIS.4302")
        assert partner.project_id in message
        assert wire.project_id not in message


class TestReadingWithCheckpoints:
    """What a reader of another account needs beside the records: an app and checkpoints, in its own project (5.2.5, 5.3)."""

    def query(self, stream: tuple[str, str]) -> str:
        return f"stream_id={stream[1]}&app_name=reader&partition_id=0&checkpoint_type=LAST_READ"

    def commit(self, wire: Wire, stream: tuple[str, str], number: str) -> httpx.Response:
        body = {
            "app_name": "reader",
            "checkpoint_type": "LAST_READ",
            "stream_id": stream[1],
            "partition_id": "0",
            "sequence_number": number,
        }
        return wire.call("POST", "/checkpoints", body=body)

    def test_with_the_right_to_get(self, wire: Wire, partner: Wire, stream: tuple[str, str]) -> None:
        wire.put_data(stream[0], b"one", b"two", partition_id="0")
        grant(wire, stream, "partner", "getRecords")
        done(partner.call("POST", "/apps", body={"app_name": "reader"}), 201)
        try:
            done(self.commit(partner, stream, "1"), 201)
            found = ok(partner.call("GET", "/checkpoints", self.query(stream)))
            assert found["sequence_number"] == "1"
            state = f"checkpoint_type=LAST_READ&stream_id={stream[1]}"
            shown = ok(partner.call("GET", f"/apps/reader/streams/{stream[1]}", state))
            assert shown["partition_consuming_states"][0]["sequence_number"] == "1"
            done(remove(wire, stream), 204)
            refused(self.commit(partner, stream, "1"), "DIS.4301")
            refused(partner.call("GET", "/checkpoints", self.query(stream)), "DIS.4301")
            refused(partner.call("GET", f"/apps/reader/streams/{stream[1]}", state), "DIS.4301")
        finally:
            partner.call("DELETE", "/apps/reader")

    def test_without_it(self, wire: Wire, partner: Wire, stream: tuple[str, str]) -> None:
        grant(wire, stream, "partner", "putRecords", "getStreamInfo")
        done(partner.call("POST", "/apps", body={"app_name": "reader"}), 201)
        try:
            refused(self.commit(partner, stream, "0"), "DIS.4301")
            refused(partner.call("GET", "/checkpoints", self.query(stream)), "DIS.4301")
        finally:
            partner.call("DELETE", "/apps/reader")


class TestRevoking:
    """From the very next request on."""

    def test_everything_stops(self, wire: Wire, partner: Wire, stream: tuple[str, str]) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        ok(put(partner, stream))
        where = ok(cursor(partner, stream))["partition_cursor"]
        ok(partner.get(where))
        done(remove(wire, stream), 204)
        is_not_there(partner, stream, doing="put")
        is_not_there(partner, stream, doing="get")
        is_not_there(partner, stream, doing="info")
        # A cursor made before is worth nothing any more.
        message = refused(partner.get(where), "DIS.4301")
        assert message == f"Stream does not exist. [{stream[0]}][{partner.project_id}]"
        grant(wire, stream, "partner", "getRecords")
        assert len(partner.read(where)[0]) == 1

    def test_one_right_of_two(self, wire: Wire, partner: Wire, stream: tuple[str, str]) -> None:
        grant(wire, stream, "partner", "putRecords", "getRecords")
        where = ok(cursor(partner, stream))["partition_cursor"]
        done(remove(wire, stream, "action_type=getRecords"), 204)
        ok(put(partner, stream))
        is_not_there(partner, stream, doing="get")
        refused(partner.get(where), "DIS.4301")

    def test_a_cursor_is_for_the_project_it_was_made_for(
        self, wire: Wire, wires: dict[str, Wire], stream: tuple[str, str]
    ) -> None:
        grant(wire, stream, "partner,third.account", "getRecords")
        theirs = ok(cursor(wires["partner"], stream))["partition_cursor"]
        own = ok(cursor(wire, stream))["partition_cursor"]
        refused(wires["third"].get(theirs), "DIS.4217")
        refused(wire.get(theirs), "DIS.4217")
        refused(wires["partner"].get(own), "DIS.4217")
        # Of one project, but by a user who is not named: the cursor does not carry the right.
        done(remove(wire, stream), 204)
        grant(wire, stream, "partner.clerk", "getRecords")
        mine = ok(cursor(wires["clerk"], stream))["partition_cursor"]
        page_of(wires["clerk"].get(mine))
        refused(wires["partner"].get(mine), "DIS.4301")


class TestUsers:
    """Chapter 6: what IAM users may, with and without a policy that names them."""

    def test_of_the_account_without_permission(
        self, wires: dict[str, Wire], wire: Wire, stream: tuple[str, str]
    ) -> None:
        wire.put_data(stream[0], b"x", partition_id="0")
        helper = wires["helper"]
        refused(put(helper, stream), "DIS.4116", status=403, naming="dis:records:write")
        refused(cursor(helper, stream), "DIS.4116", status=403, naming="dis:records:readCursor")
        own = wire.cursor(stream[0], "0", cursor_type="TRIM_HORIZON")
        refused(helper.get(own), "DIS.4116", status=403, naming="dis:records:read")
        refused(helper.describe(stream[0]), "DIS.4116", status=403, naming="dis:streams:get")
        for name in (stream[0], "nobody"):  # nor what there is
            refused(helper.put(name, [{"data": "eA=="}]), "DIS.4116", status=403)

    def test_of_the_account_with_a_role(
        self, wires: dict[str, Wire], wire: Wire, stream: tuple[str, str]
    ) -> None:
        reader = wires["reader"]
        ok(put(reader, stream))
        assert len(reader.read_all(stream[0])) == 1
        ok(reader.call("GET", f"/streams/{stream[0]}/policies"))
        refused(
            add(reader, stream, policy(stream, "partner")),
            "DIS.4116",
            status=403,
            naming="dis:streamPolicies:create",
        )
        refused(remove(reader, stream), "DIS.4116", status=403, naming="dis:streamPolicies:delete")

    def test_a_policy_adds_to_what_a_user_of_the_account_may(
        self, server: Server, wires: dict[str, Wire], wire: Wire, stream: tuple[str, str]
    ) -> None:
        helper = wires["helper"]
        grant(wire, stream, f"{server.account}.helper", "putRecords")
        ok(helper.put(stream[0], [{"data": "eA==", "partition_id": "0"}]))
        ok(put(helper, stream))
        ok(helper.describe(stream[0]))
        refused(cursor(helper, stream), "DIS.4116", status=403)
        grant(wire, stream, f"{server.account}.helper", "getRecords")
        assert len(helper.read_all(stream[0])) == 2
        refused(helper.delete(stream[0]), "DIS.4116", status=403, naming="dis:streams:delete")
        done(remove(wire, stream), 204)
        refused(put(helper, stream), "DIS.4116", status=403)

    def test_of_another_account_both_are_needed(
        self, wires: dict[str, Wire], wire: Wire, stream: tuple[str, str]
    ) -> None:
        """The account's own user decides which of its users may use what others share."""
        grant(wire, stream, "partner", *RIGHTS)
        ok(put(wires["clerk"], stream))
        ok(describe(wires["clerk"], stream))
        ok(cursor(wires["clerk"], stream))
        refused(put(wires["trainee"], stream), "DIS.4116", status=403, naming="dis:records:write")
        refused(describe(wires["trainee"], stream), "DIS.4116", status=403, naming="dis:streams:get")


def test_policies_outlive_a_crash(server: Server, users: Others, wire: Wire, stream: tuple[str, str]) -> None:
    grant(wire, stream, "partner", "putRecords", "getRecords")
    done(remove(wire, stream, "action_type=getRecords"), 204)
    server.restart(kill=True)
    wire.token = server.token()
    assert names(wire, stream) == ["partner.* putRecords"]
    with users.partner.wire(server) as partner:
        ok(put(partner, stream))
        is_not_there(partner, stream, doing="get")


@pytest.mark.parametrize("workers", [2])
def test_workers_know_at_once(tmp_path: Path, workers: int) -> None:
    """Whichever worker is asked next, on a connection of its own."""
    with Server(tmp_path / "data", "--workers", str(workers), "--limits", "relaxed") as server:
        (login,) = add_all(server)
        with Wire.to(server) as wire, login.wire(server) as partner:
            done(wire.create("s1"), 201)
            stream = ("s1", ok(wire.describe("s1"))["stream_id"])
            for _ in range(3):
                grant(wire, stream, "partner", "putRecords", "getRecords")
                where = ""
                for _ in range(8):
                    with login_again(partner) as fresh:
                        ok(put(fresh, stream))
                        where = ok(cursor(fresh, stream))["partition_cursor"]
                        ok(fresh.get(where))
                done(remove(wire, stream), 204)
                for _ in range(8):
                    with login_again(partner) as fresh:
                        is_not_there(fresh, stream, doing="put")
                        is_not_there(fresh, stream, doing="get")
                        refused(fresh.get(where), "DIS.4301")


def add_all(server: Server) -> list[Login]:
    server.terminate()
    logins = add_users(server.data, "partner", "owner")
    server.start()
    return logins


def login_again(wire: Wire) -> Wire:
    """The same user on another connection."""
    return Wire(wire.endpoint, wire.project_id, wire.token)
