"""Streams used by other accounts and users over the wire (API reference 5.1.7, 5.4, chapter 6): who can do what, and when it
ends. The policies themselves are in test_wire_policies.py."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.contract.conftest import Make
from tests.support.accounts import PASSWORD, Login
from tests.support.server import Server
from tests.support.sharing import (
    RIGHTS,
    Others,
    StreamRef,
    add,
    cursor,
    describe,
    grant,
    is_not_there,
    names,
    policy,
    put,
    remove,
)
from tests.support.wire import Wire, done, ok, page_of, refused, refused_entry
from tests.support.wirecodec import PbRecord, put_request


@pytest.fixture(scope="module")
def server(others: tuple[Server, Others]) -> Server:
    return others[0]


@pytest.fixture
def stream(wire: Wire, make: Make) -> StreamRef:
    """Name and id of a new stream of two partitions."""
    name = make(partitions=2)
    return name, ok(wire.describe(name))["stream_id"]


class TestAnotherAccount:
    """A stream authorised to another account works by stream_id, with that account's own project in the path."""

    @pytest.mark.parametrize("doing", ["put", "get", "info"])
    def test_without_a_policy_it_is_not_there(
        self, wires: dict[str, Wire], stream: StreamRef, doing: str
    ) -> None:
        is_not_there(wires["partner"], stream, doing=doing)

    def test_putting_in_json(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
        grant(wire, stream, "partner", "putRecords")
        reply = ok(put(partner, stream, b"from the partner"))
        assert reply["failed_record_count"] == 0
        ok(put(partner, stream, b"name given too", name=""))
        ok(put(partner, stream, b"not a name of ours", name=stream[0]))
        data = [record.data for record in wire.read_all(stream[0])]
        assert data == [b"from the partner", b"name given too", b"not a name of ours"]

    def test_putting_in_protobuf(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
        grant(wire, stream, "partner", "putRecords")
        body = put_request("", [PbRecord(b"binary", partition_id="0")], stream[1])
        reply = partner.call(
            "POST", "/records", content=body, headers={"Content-Type": "application/x-protobuf"}
        )
        assert reply.status_code == 200, reply.text
        assert [record.data for record in wire.read_all(stream[0])] == [b"binary"]

    def test_getting(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
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
    def test_describing(self, wire: Wire, partner: Wire, stream: StreamRef, right: str) -> None:
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

    def test_it_is_in_no_list(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        assert ok(partner.call("GET", "/streams"))["stream_names"] == []
        found = {"action": "filter"}
        assert ok(partner.call("POST", "/stream/resource_instances/action", body=found))["total_count"] == 0

    @pytest.mark.parametrize(
        ("right", "may"),
        [("putRecords", {"put", "info"}), ("getRecords", {"get", "info"}), ("getStreamInfo", {"info"})],
    )
    def test_each_right_is_for_itself(
        self, wire: Wire, partner: Wire, stream: StreamRef, right: str, may: set[str]
    ) -> None:
        grant(wire, stream, "partner", right)
        for doing in {"put", "get", "info"} - may:
            is_not_there(partner, stream, doing=doing)

    def test_nobody_else(self, wire: Wire, wires: dict[str, Wire], stream: StreamRef) -> None:
        grant(wire, stream, "partner", *RIGHTS)
        for doing in ("put", "get", "info"):
            is_not_there(wires["third"], stream, doing=doing)

    def test_one_user_of_the_account(self, wire: Wire, wires: dict[str, Wire], stream: StreamRef) -> None:
        grant(wire, stream, "partner.clerk", "putRecords")
        ok(put(wires["clerk"], stream))
        is_not_there(wires["partner"], stream, doing="put")

    def test_management_stays_with_the_account(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
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
        self, wire: Wire, partner: Wire, stream: StreamRef
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

    def test_errors_name_the_caller_s_project(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
        """Nothing tells whose the stream is."""
        grant(wire, stream, "partner", "putRecords", "getRecords")
        query = f"stream-id={stream[1]}&partition-id=7"
        body = {"stream_id": stream[1], "records": [{"data": "eA==", "partition_id": "7"}]}
        (entry,) = ok(partner.call("POST", "/records", body=body))["records"]
        for message in (
            refused(partner.call("GET", "/cursors", query), "DIS.4302"),
            refused_entry(entry, "DIS.4302"),
        ):
            assert partner.project_id in message
            assert wire.project_id not in message


class TestReadingWithCheckpoints:
    """What a reader of another account needs beside the records: an app and checkpoints, in its own project (5.2.5, 5.3)."""

    def query(self, stream: StreamRef) -> str:
        return f"stream_id={stream[1]}&app_name=reader&partition_id=0&checkpoint_type=LAST_READ"

    def commit(self, wire: Wire, stream: StreamRef, number: str) -> httpx.Response:
        body = {
            "app_name": "reader",
            "checkpoint_type": "LAST_READ",
            "stream_id": stream[1],
            "partition_id": "0",
            "sequence_number": number,
        }
        return wire.call("POST", "/checkpoints", body=body)

    def test_with_the_right_to_get(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
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

    def test_without_it(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
        grant(wire, stream, "partner", "putRecords", "getStreamInfo")
        done(partner.call("POST", "/apps", body={"app_name": "reader"}), 201)
        try:
            refused(self.commit(partner, stream, "0"), "DIS.4301")
            refused(partner.call("GET", "/checkpoints", self.query(stream)), "DIS.4301")
        finally:
            partner.call("DELETE", "/apps/reader")


class TestRevoking:
    """From the very next request on."""

    def test_everything_stops(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
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

    def test_one_right_of_two(self, wire: Wire, partner: Wire, stream: StreamRef) -> None:
        grant(wire, stream, "partner", "putRecords", "getRecords")
        where = ok(cursor(partner, stream))["partition_cursor"]
        done(remove(wire, stream, "action_type=getRecords"), 204)
        ok(put(partner, stream))
        is_not_there(partner, stream, doing="get")
        refused(partner.get(where), "DIS.4301")

    def test_a_cursor_is_for_the_project_it_was_made_for(
        self, wire: Wire, wires: dict[str, Wire], stream: StreamRef
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
        self, wires: dict[str, Wire], wire: Wire, stream: StreamRef
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

    def test_of_the_account_with_a_role(self, wires: dict[str, Wire], wire: Wire, stream: StreamRef) -> None:
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
        self, server: Server, wires: dict[str, Wire], wire: Wire, stream: StreamRef
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
        self, wires: dict[str, Wire], wire: Wire, stream: StreamRef
    ) -> None:
        """The account's own user decides which of its users may use what others share."""
        grant(wire, stream, "partner", *RIGHTS)
        ok(put(wires["clerk"], stream))
        ok(describe(wires["clerk"], stream))
        ok(cursor(wires["clerk"], stream))
        refused(put(wires["trainee"], stream), "DIS.4116", status=403, naming="dis:records:write")
        refused(describe(wires["trainee"], stream), "DIS.4116", status=403, naming="dis:streams:get")


def test_policies_outlive_a_crash(server: Server, users: Others, wire: Wire, stream: StreamRef) -> None:
    grant(wire, stream, "partner", "putRecords", "getRecords")
    done(remove(wire, stream, "action_type=getRecords"), 204)
    server.restart(kill=True)
    wire.token = server.token()
    assert names(wire, stream) == ["partner.* putRecords"]
    with users.partner.wire(server) as partner:
        ok(put(partner, stream))
        is_not_there(partner, stream, doing="get")


def test_workers_know_at_once(tmp_path: Path) -> None:
    """An account made while the server runs, then policies that come and go: whichever worker is asked next, on a connection
    of its own."""
    with (
        Server(tmp_path / "data", "--workers", "2", "--limits", "relaxed") as server,
        Wire.to(server) as wire,
    ):
        partner = make_account(server, "partner")
        done(wire.create("s1"), 201)
        stream = ("s1", ok(wire.describe("s1"))["stream_id"])
        for _ in range(3):
            grant(wire, stream, "partner", "putRecords", "getRecords")
            where = ""
            for _ in range(8):
                with again(partner) as fresh:
                    ok(put(fresh, stream))
                    where = ok(cursor(fresh, stream))["partition_cursor"]
                    ok(fresh.get(where))
            done(remove(wire, stream), 204)
            for _ in range(8):
                with again(partner) as fresh:
                    is_not_there(fresh, stream, doing="put")
                    is_not_there(fresh, stream, doing="get")
                    refused(fresh.get(where), "DIS.4301")


def make_account(server: Server, name: str) -> Wire:
    """What the operator does for another account, and its owner's client."""
    body = {"account": {"name": name, "owner": {"name": "owner", "password": PASSWORD}}}
    url = f"{server.endpoint}/v3.0/OS-ACCOUNT/accounts"
    headers = {"X-Auth-Token": server.token()}
    reply = httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False)
    account = ok(reply, 201)["account"]
    key = account["credential"]
    login = Login(
        name,
        account["id"],
        account["project"]["id"],
        "owner",
        account["owner"]["id"],
        key["access"],
        key["secret"],
    )
    return login.wire(server)


def again(wire: Wire) -> Wire:
    """The same user on another connection."""
    return Wire(wire.endpoint, wire.project_id, wire.token)
