"""Consumer groups over the wire: every body, state and refusal of clients.md 1.9, in the words of both adapter versions."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.controls import ON
from tests.support.groups import Group, renew
from tests.support.iam import Iam
from tests.support.server import Server
from tests.support.sharing import populate
from tests.support.wire import Json, Wire, done, ok, refused

_numbers = itertools.count()
SESSION = 45
HOUR = 3600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("groups") / "data", "--limits", "relaxed", env=ON) as started:
        yield started


@pytest.fixture(scope="module")
def wire(server: Server) -> Iterator[Wire]:
    with Wire.to(server) as client:
        yield client


def a_name(kind: str = "s") -> str:
    return f"{kind}{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def stream(wire: Wire) -> Iterator[str]:
    """A stream of three partitions."""
    name = a_name()
    done(wire.create(name, 3), 201)
    yield name
    wire.delete(name)


@pytest.fixture
def group(server: Server, wire: Wire) -> Iterator[Group]:
    """A group nobody is in, whose app exists."""
    name = a_name("g")
    done(wire.call("POST", "/apps/", body={"app_name": name}), 201)
    yield Group(server, wire, name)
    wire.call("DELETE", f"/apps/{name}")


class TestJoin:
    def test_version_1_2_2(self, group: Group, stream: str) -> None:
        assert group.beat("c", -1) == "JOINING"
        reply = group.join("c", stream)
        assert reply == {"state": "OK", "syncDelayedTimeMs": 1010, "subscription": [stream]}
        group.advance(1.1)
        reply = group.sync("c")
        assert reply == {"state": "OK", "generation": 1, "assignment": {stream: [0, 1, 2]}}
        assert group.beat("c", 1) == "STABLE"

    def test_version_1_2_20(self, group: Group, stream: str) -> None:
        """It always sends an empty list of ids, and how long it would be waited for."""
        fields = {"interestedStreamIdList": [], "accelerateAssignEnabled": False, "rebalanceTimeoutMs": 20000}
        assert group.join("c", stream, **fields)["syncDelayedTimeMs"] == 1010
        group.advance(1.1)
        assert group.sync("c")["assignment"] == {stream: [0, 1, 2]}
        # Another one: the first, which has a thread for it, hears of it at its next heartbeat.
        assert group.join("d", stream, **fields)["syncDelayedTimeMs"] == 1010
        assert group.sync("d")["state"] == "WAITING"
        assert group.beat("c", 1) == "JOINING"
        done(group.commit("c", 1, stream), 201)
        group.join("c", stream, **fields)
        assert group.sync("c", 1)["generation"] == 2
        assert group.sync("d") == {"state": "OK", "generation": 2, "assignment": {stream: [2]}}
        assert [group.beat(c, 2) for c in "cd"] == ["STABLE", "STABLE"]

    def test_who_is_in_a_hurry(self, group: Group, stream: str) -> None:
        assert group.join("c", stream, accelerateAssignEnabled=True)["syncDelayedTimeMs"] == 0
        assert group.sync("c")["state"] == "OK"

    def test_by_id(self, group: Group, wire: Wire, stream: str) -> None:
        stream_id = ok(wire.describe(stream))["stream_id"]
        assert group.join("c", interestedStreamIdList=[stream_id])["subscription"] == [stream_id]
        group.join("d", stream)
        group.advance(1.1)
        assert group.sync("c")["assignment"] == {stream_id: [0, 2]}
        assert group.sync("d")["assignment"] == {stream: [1]}

    def test_an_id_among_the_names(self, group: Group, wire: Wire, stream: str) -> None:
        """Where a name is asked for, an id does too (clients.md 1.2)."""
        stream_id = ok(wire.describe(stream))["stream_id"]
        group.stable("c", on=(stream_id,))
        assert group.sync("c")["assignment"] == {stream_id: [0, 1, 2]}

    @pytest.mark.parametrize("absent", [None, "", "left out"])
    def test_optional_fields(self, group: Group, stream: str, absent: str | None) -> None:
        """clients.md 0, rule 8."""
        names = (
            "groupId",
            "interestedStreamIdList",
            "streamPattern",
            "accelerateAssignEnabled",
            "rebalanceTimeoutMs",
        )
        fields: Json = {} if absent == "left out" else dict.fromkeys(names, absent)
        body = {"clientId": "c", "interestedStream": [stream], "unknown": [1]} | fields
        assert ok(group.post("", body))["state"] == "OK"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("groupId", 1),
            ("clientId", 1),
            ("interestedStream", "s"),
            ("interestedStream", [1]),
            ("interestedStreamIdList", {}),
            ("interestedStreamIdList", [None]),
            ("streamPattern", ["s"]),
            ("accelerateAssignEnabled", "yes"),
            ("rebalanceTimeoutMs", "20000"),
            ("rebalanceTimeoutMs", 1.5),
        ],
    )
    def test_wrong_types(self, group: Group, stream: str, field: str, value: object) -> None:
        body = {"groupId": group.name, "clientId": "c", "interestedStream": [stream]} | {field: value}
        refused(group.post("", body), "DIS.4300", naming=field)

    @pytest.mark.parametrize(
        ("field", "value", "named"),
        [
            ("clientId", None, "clientId"),
            ("clientId", "", "clientId"),
            ("clientId", "c" * 201, "clientId"),
            ("clientId", "a/b", "clientId"),
            ("clientId", "a\nb", "clientId"),
            ("groupId", "another", "groupId"),
            ("interestedStream", [], "interestedStream"),
            ("interestedStream", None, "interestedStream"),
            ("interestedStream", ["s"] * 2 + [f"s{n}" for n in range(100)], "interestedStream"),
            ("interestedStreamIdList", [f"s{n}" for n in range(101)], "interestedStreamIdList"),
            ("streamPattern", "(", "streamPattern"),
            ("streamPattern", "(a)\\1", "streamPattern"),
            ("streamPattern", "a" * 257, "streamPattern"),
            ("rebalanceTimeoutMs", -1, "rebalanceTimeoutMs"),
        ],
    )
    def test_values_out_of_range(
        self, group: Group, stream: str, field: str, value: object, named: str
    ) -> None:
        body = {"groupId": group.name, "clientId": "c", "interestedStream": [stream]} | {field: value}
        refused(group.post("", body), "DIS.4200", naming=named)

    def test_bodies_that_are_none(self, group: Group, wire: Wire) -> None:
        path = f"/apps/{group.name}/consumers"
        refused(wire.call("POST", path), "DIS.4202")
        refused(wire.call("POST", path, content=b"{"), "DIS.4300")
        refused(wire.call("POST", path, content=b"[]"), "DIS.4300")

    def test_the_app_must_exist(self, server: Server, wire: Wire, stream: str) -> None:
        """The adapter makes it before it joins. Nothing it asks earlier is answered with what would end it."""
        group = Group(server, wire, "nobody-made-it")
        assert group.beat("c", -1) == "JOINING"
        assert group.sync("c")["state"] == "REJOIN"
        refused(group.try_join("c", stream), "DIS.4332", naming="nobody-made-it")
        group.leave("c")

    def test_a_stream_that_does_not_exist(self, group: Group, stream: str) -> None:
        wrong = {"state": "ERR_SUBSCRIPTION", "syncDelayedTimeMs": 0, "subscription": []}
        assert group.join("c", stream, "no-such-stream") == wrong
        assert group.join("c", interestedStreamIdList=["no-such-id"]) == wrong
        assert group.beat("c", -1) == "JOINING"

    def test_the_same_stream_by_name_and_by_id(self, group: Group, wire: Wire, stream: str) -> None:
        stream_id = ok(wire.describe(stream))["stream_id"]
        assert group.join("c", stream, interestedStreamIdList=[stream_id])["state"] == "ERR_SUBSCRIPTION"
        assert group.join("c", stream, stream)["subscription"] == [stream]

    def test_no_more_members_than_partitions(self, group: Group, stream: str) -> None:
        for client in "abc":
            assert group.join(client, stream)["state"] == "OK"
        refused(group.try_join("d", stream), "DIS.4339")
        assert group.join("a", stream)["state"] == "OK"

    def test_who_comes_when_it_is_full_waits_until_all_are_known_to_live(
        self, group: Group, stream: str
    ) -> None:
        generation = group.stable("a", "b", "c", on=(stream,))
        group.advance(5)
        assert group.join("d", stream) == {
            "state": "OK",
            "syncDelayedTimeMs": 10010,
            "subscription": [stream],
        }
        assert group.sync("d")["state"] == "WAITING"
        assert [group.beat(client, generation) for client in "abc"] == ["STABLE"] * 3
        refused(group.try_sync("d"), "DIS.4339")

    def test_who_comes_when_it_is_full_has_the_place_of_one_that_has_ended(
        self, group: Group, stream: str
    ) -> None:
        generation = group.stable("a", "b", "c", on=(stream,))
        group.advance(5)
        group.join("d", stream)
        assert [group.beat(client, generation) for client in "ab"] == ["STABLE"] * 2
        group.advance(21)
        assert [group.beat(client, generation) for client in "ab"] == ["JOINING"] * 2
        for client in "ab":
            group.join(client, stream)
        assert [len(group.sync(client)["assignment"][stream]) for client in "abd"] == [1, 1, 1]
        assert group.beat("c", generation) == "JOINING"


class TestPattern:
    def test_names_that_match_as_a_whole(self, group: Group, wire: Wire) -> None:
        prefix = a_name("p")
        for suffix in ("-1", "-22", "-x"):
            done(wire.create(prefix + suffix), 201)
        reply = group.join("c", streamPattern=rf"\Q{prefix}\E-\d+")
        assert reply["subscription"] == [f"{prefix}-1", f"{prefix}-22"]
        group.advance(1.1)
        assert group.sync("c")["assignment"] == {f"{prefix}-1": [0], f"{prefix}-22": [0]}
        # A new one is only assigned once a join has named it: the adapter takes no other.
        done(wire.create(f"{prefix}-3"), 201)
        assert group.beat("c", 1) == "JOINING"
        assert len(group.join("c", streamPattern=rf"\Q{prefix}\E-\d+")["subscription"]) == 3
        assert set(group.sync("c")["assignment"]) == {f"{prefix}-1", f"{prefix}-22", f"{prefix}-3"}
        assert group.beat("c", 2) == "STABLE"
        done(wire.create(f"{prefix}-other"), 201)
        assert group.beat("c", 2) == "STABLE"
        done(wire.delete(f"{prefix}-22"), 204)
        assert group.beat("c", 2) == "JOINING"
        for suffix in ("-1", "-x", "-3", "-other"):
            wire.delete(prefix + suffix)

    def test_one_that_matches_nothing_yet(self, group: Group, wire: Wire) -> None:
        name = a_name("later")
        assert group.join("c", streamPattern=name)["subscription"] == []
        group.advance(1.1)
        assert group.sync("c") == {"state": "OK", "generation": 1, "assignment": {}}
        done(wire.create(name), 201)
        assert group.beat("c", 1) == "JOINING"
        group.join("c", streamPattern=name)
        assert group.sync("c")["assignment"] == {name: [0]}
        wire.delete(name)


class TestStates:
    def test_a_sync_of_a_stranger(self, group: Group) -> None:
        assert group.sync("x") == {"state": "REJOIN", "generation": 0, "assignment": {}}

    def test_a_sync_before_joining_again(self, group: Group, stream: str) -> None:
        group.stable("a", on=(stream,))
        group.join("b", stream)
        assert group.sync("a", 1)["state"] == "REJOIN"

    def test_a_heartbeat_of_an_older_generation(self, group: Group, stream: str) -> None:
        generation = group.stable("a", on=(stream,))
        assert group.beat("a", generation - 1) == "SYNCING"

    def test_a_consumer_that_starts_again_under_its_name(self, group: Group, stream: str) -> None:
        """Nobody else is disturbed."""
        generation = group.stable("a", "b", on=(stream,))
        assert group.beat("a", -1) == "JOINING"
        assert group.join("a", stream)["syncDelayedTimeMs"] == 0
        assert group.sync("a")["generation"] == generation
        assert group.beat("b", generation) == "STABLE"

    def test_leaving(self, group: Group, stream: str) -> None:
        generation = group.stable("a", "b", on=(stream,))
        group.leave("b")
        group.leave("b")
        assert group.beat("a", generation) == "JOINING"
        group.join("a", stream)
        assert group.sync("a") == {
            "state": "OK",
            "generation": generation + 1,
            "assignment": {stream: [0, 1, 2]},
        }

    def test_silence(self, group: Group, stream: str) -> None:
        generation = group.stable("a", "b", on=(stream,))
        group.advance(SESSION - 1)
        assert group.beat("a", generation) == "STABLE"
        group.advance(1.5)
        assert group.beat("a", generation) == "JOINING"
        assert group.beat("b", generation) == "JOINING"
        assert group.sync("b")["state"] == "REJOIN"

    @pytest.mark.parametrize("path", ["partitions", "heartbeats"])
    def test_bodies_of_syncs_and_heartbeats(self, group: Group, path: str) -> None:
        for body in ({}, {"generation": None}, {"generation": "", "groupId": "", "clientId": None}):
            ok(group.post(f"c/{path}", body))
        refused(group.post(f"c/{path}", {"generation": "1"}), "DIS.4300", naming="generation")
        refused(group.post(f"c/{path}", {"generation": 1.5}), "DIS.4300", naming="generation")
        refused(group.post(f"c/{path}", {"clientId": "d"}), "DIS.4200", naming="clientId")
        refused(group.post(f"c/{path}", {"groupId": "d"}), "DIS.4200", naming="groupId")
        refused(group.wire.call("POST", f"/apps/{group.name}/consumers/c/{path}"), "DIS.4202")

    def test_generations_are_numbers_of_any_size(self, group: Group, stream: str) -> None:
        group.stable("a", on=(stream,))
        assert group.beat("a", 1 << 62) == "SYNCING"

    def test_replies_hold_numbers_not_texts(self, group: Group, stream: str) -> None:
        """A wrong type is null to the adapter, and then a NullPointerException (clients.md 7.8)."""
        group.join("a", stream)
        group.advance(1.1)
        text = group.try_sync("a").text
        assert json.loads(text)["assignment"][stream] == [0, 1, 2]
        assert '"generation":1' in text


class TestStreams:
    def test_partitions_that_come(self, group: Group, wire: Wire, stream: str) -> None:
        generation = group.stable("a", on=(stream,))
        scale(wire, stream, 5)
        assert group.beat("a", generation) == "JOINING"
        group.join("a", stream)
        assert group.sync("a")["assignment"] == {stream: [0, 1, 2, 3, 4]}

    def test_deleted_partitions_are_read_until_their_records_have_expired(
        self, server: Server, group: Group, wire: Wire, stream: str
    ) -> None:
        wire.put_data(stream, b"x", partition_id="2")
        generation = group.stable("a", on=(stream,))
        scale(wire, stream, 1)
        assert group.beat("a", generation) == "STABLE"
        assert group.sync("a")["assignment"] == {stream: [0, 1, 2]}
        group.advance(23 * HOUR)
        renew(server, wire)
        generation = group.stable("a", on=(stream,))
        assert group.sync("a")["assignment"] == {stream: [0, 1, 2]}
        group.advance(2 * HOUR)
        renew(server, wire)
        group.stable("a", on=(stream,))
        assert group.sync("a")["assignment"] == {stream: [0]}

    def test_a_stream_that_goes(self, group: Group, wire: Wire, stream: str) -> None:
        """Who reads others too goes on with them, and with the stream of that name once there is one again."""
        other = a_name()
        done(wire.create(other), 201)
        generation = group.stable("a", on=(stream, other))
        done(wire.delete(other), 204)
        assert group.beat("a", generation) == "JOINING"
        assert group.join("a", stream, other)["state"] == "OK"
        assert group.sync("a")["assignment"] == {stream: [0, 1, 2]}
        done(wire.create(other), 201)
        assert group.beat("a", generation + 1) == "JOINING"
        group.join("a", stream, other)
        assert group.sync("a")["assignment"] == {stream: [0, 1, 2], other: [0]}
        wire.delete(other)

    def test_members_with_different_wishes(self, group: Group, wire: Wire, stream: str) -> None:
        other = a_name()
        done(wire.create(other, 3), 201)
        group.join("a", stream)
        group.join("b", stream, other)
        group.advance(1.1)
        shares = [group.sync(client)["assignment"] for client in "ab"]
        assert shares == [{stream: [0, 1, 2]}, {other: [0, 1, 2]}]
        wire.delete(other)


class TestCommits:
    """HTTP 400, which the adapter recognises by the code anywhere in the text."""

    def test_of_members(self, group: Group, stream: str) -> None:
        generation = group.stable("a", on=(stream,))
        done(group.commit("a", generation, stream), 201)
        refused(group.commit("x", generation, stream), "DIS.4702")
        refused(group.commit("a", generation + 1, stream), "DIS.4703")
        refused(group.commit("a", None, stream), "DIS.4703")

    def test_during_a_rebalance(self, group: Group, stream: str) -> None:
        generation = group.stable("a", "b", on=(stream,))
        group.join("c", stream)
        refused(group.commit("c", generation, stream), "DIS.4701")
        done(group.commit("a", generation, stream), 201)
        group.join("a", stream)
        refused(group.commit("a", generation, stream), "DIS.4701")
        group.join("b", stream)
        refused(group.commit("a", generation, stream), "DIS.4703")
        group.sync("a")
        done(group.commit("a", generation + 1, stream), 201)

    def test_after_a_session(self, group: Group, stream: str) -> None:
        generation = group.stable("a", on=(stream,))
        group.advance(SESSION)
        refused(group.commit("a", generation, stream), "DIS.4702")

    def test_without_a_group(self, group: Group, stream: str) -> None:
        """Version 1.2.2 says nothing about itself: its commits are taken from anybody."""
        refused(group.commit("a", 0, stream), "DIS.4702")
        body = {"app_name": group.name, "checkpoint_type": "LAST_READ", "stream_name": stream}
        body |= {"partition_id": "0", "sequence_number": "0"}
        done(group.wire.call("POST", "/checkpoints/", body=body), 201)


class TestApps:
    def test_an_app_in_use_is_not_deleted(self, group: Group, stream: str) -> None:
        """DIS.4331 (5.2.3): a group that has members."""
        group.stable("a", on=(stream,))
        refused(group.wire.call("DELETE", f"/apps/{group.name}"), "DIS.4331")
        group.advance(SESSION)
        done(group.wire.call("DELETE", f"/apps/{group.name}"), 204)

    def test_an_app_that_is_made_again_has_another_group(self, group: Group, stream: str) -> None:
        group.stable("a", on=(stream,))
        group.leave("a")
        done(group.wire.call("DELETE", f"/apps/{group.name}"), 204)
        assert group.sync("a")["state"] == "REJOIN"
        done(group.wire.call("POST", "/apps", body={"app_name": group.name}), 201)
        group.join("b", stream)
        group.advance(1.1)
        assert group.sync("b")["generation"] == 1


class TestRestart:
    @pytest.mark.parametrize("kill", [True, False])
    def test_members_go_on(self, group: Group, stream: str, kill: bool) -> None:
        generation = group.stable("a", "b", on=(stream,))
        shares = [group.sync(client)["assignment"] for client in "ab"]
        group.server.restart(kill=kill)
        renew(group.server, group.wire)
        assert [group.beat(client, generation) for client in "ab"] == ["STABLE"] * 2
        assert [group.sync(client)["assignment"] for client in "ab"] == shares
        done(group.commit("a", generation, stream), 201)
        refused(group.wire.call("DELETE", f"/apps/{group.name}"), "DIS.4331")
        group.advance(SESSION)
        done(group.wire.call("DELETE", f"/apps/{group.name}"), 204)

    def test_generations_never_begin_again(self, group: Group, stream: str) -> None:
        generation = group.stable("a", on=(stream,))
        group.leave("a")
        group.server.restart(kill=True)
        renew(group.server, group.wire)
        assert group.stable("b", on=(stream,)) == generation + 1

    def test_in_the_middle_of_a_rebalance(self, group: Group, stream: str) -> None:
        """What was not settled is asked for again; nobody is told that the group does not exist."""
        generation = group.stable("a", on=(stream,))
        group.join("b", stream)
        group.join("a", stream)
        group.server.restart(kill=True)
        renew(group.server, group.wire)
        assert group.sync("a", generation)["assignment"] == {stream: [0, 1, 2]}
        assert group.sync("b")["state"] == "REJOIN"
        assert group.join("b", stream)["state"] == "OK"
        assert group.beat("a", generation) == "JOINING"
        group.join("a", stream)
        assert [group.sync(client)["generation"] for client in "ab"] == [generation + 1] * 2


def test_with_workers(start_server: StartServer) -> None:
    """One process knows the groups, whichever is asked."""
    server = start_server("--workers", "2")
    streams = ("w1",)
    with Wire.to(server) as wire:
        done(wire.create(*streams, 2), 201)
        done(wire.call("POST", "/apps", body={"app_name": "g"}), 201)
    for client in "ab":
        with Wire.to(server) as wire:  # a connection of its own
            group = Group(server, wire, "g")
            group.join(client, *streams, accelerateAssignEnabled=True)
    with Wire.to(server) as wire:
        group = Group(server, wire, "g")
        assert group.sync("b")["state"] == "WAITING"
        assert group.sync("a")["state"] == "REJOIN"
        group.join("a", *streams)
        assert [len(group.sync(client)["assignment"]["w1"]) for client in "ab"] == [1, 1]
        refused(group.commit("a", 0, "w1"), "DIS.4703")


def test_who_may_join(start_server: StartServer) -> None:
    """Commits of checkpoints, and reading of every stream it wants (docs/consumer-groups.md)."""
    server = start_server(env=ON)
    with Wire.to(server) as wire, Iam.owner(server) as iam:
        done(wire.create("s1"), 201)
        done(wire.call("POST", "/apps", body={"app_name": "g"}), 201)

        def user(*actions: str) -> Group:
            person = iam.user()
            if actions:
                granted = iam.group("", person["id"])
                iam.grant(granted, iam.policy({"Action": list(actions)}), server.project_id)
            return Group(server, iam.wire(person, server.project_id), "g")

        nobody, committer = user(), user("dis:checkpoints:commit")
        reader = user("dis:checkpoints:commit", "dis:records:read")
        for path in ("", "c/partitions", "c/heartbeats"):
            refused(nobody.post(path, {}), "DIS.4116", status=403, naming="dis:checkpoints:commit")
        reply = nobody.wire.call("DELETE", "/apps/g/consumers/c")
        refused(reply, "DIS.4116", status=403)
        refused(committer.try_join("c", "s1"), "DIS.4116", status=403, naming="dis:records:read")
        refused(
            committer.try_join("c", streamPattern=".*"), "DIS.4116", status=403, naming="dis:records:read"
        )
        assert reader.join("c", "s1")["state"] == "OK"


def test_streams_of_another_account(start_server: StartServer) -> None:
    """By id, and only those that a policy lets it read."""
    server = start_server(env=ON)
    others = populate(server)
    with Wire.to(server) as wire:
        for name in ("open", "closed"):
            done(wire.create(name, 2), 201)
        ids = [ok(wire.describe(name))["stream_id"] for name in ("open", "closed")]
        body = {"stream_id": ids[0], "principal_name": "partner.*"}
        body |= {"action_type": "getRecords", "effect": "accept"}
        done(wire.call("POST", "/streams/open/policies", body=body), 200)
    with others.partner.wire(server) as wire:
        done(wire.call("POST", "/apps", body={"app_name": "g"}), 201)
        group = Group(server, wire, "g")
        assert group.join("c", interestedStreamIdList=[ids[1]])["state"] == "ERR_SUBSCRIPTION"
        assert group.join("c", "open")["state"] == "ERR_SUBSCRIPTION"
        assert group.join("c", interestedStreamIdList=[ids[0]])["state"] == "OK"
        group.advance(1.1)
        assert group.sync("c")["assignment"] == {ids[0]: [0, 1]}


def scale(wire: Wire, stream: str, partitions: int) -> None:
    body: dict[str, Any] = {"stream_name": stream, "target_partition_count": partitions}
    ok(wire.call("PUT", f"/streams/{stream}", body=body))


def test_members_are_not_refused_for_asking_often(start_server: StartServer, tmp_path: Path) -> None:
    """DIS.4305 counts other requests: 200 members that wait ask 400 times a second (clients.md 1.9)."""
    config = tmp_path / "penstock.toml"
    config.write_text("[limits]\ncontrol_requests_per_second = 1\n")
    with Wire.to(start_server("--config", str(config))) as wire:
        for _ in range(20):
            ok(wire.call("POST", "/apps/g/consumers/c/heartbeats", body={"generation": -1}))
