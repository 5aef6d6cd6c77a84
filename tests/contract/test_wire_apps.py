"""Apps over the wire: create, list, show, delete, consumption state (API reference 5.2), every field and refusal."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from tests.support.server import Server
from tests.support.wire import PARTITION_0, Json, Wire, done, ok, refused

_numbers = itertools.count()


def a_name() -> str:
    return f"a{os.getpid()}-{next(_numbers)}"


def create(wire: Wire, name: object) -> httpx.Response:
    return wire.call("POST", "/apps", body={"app_name": name})


def commit(wire: Wire, app: str, stream: str, partition: str = "0", sequence: str = "0") -> None:
    body = {
        "app_name": app,
        "stream_name": stream,
        "partition_id": partition,
        "sequence_number": sequence,
        "checkpoint_type": "LAST_READ",
    }
    done(wire.call("POST", "/checkpoints", body=body), 201)


def listed(wire: Wire, query: str = "") -> Json:
    return ok(wire.call("GET", "/apps", query))


def names(page: Json) -> list[str]:
    return [app["app_name"] for app in page["apps"]]


def state(wire: Wire, app: str, stream: str, query: str = "") -> httpx.Response:
    rest = f"&{query}" if query else ""
    return wire.call("GET", f"/apps/{app}/streams/{stream}", f"checkpoint_type=LAST_READ{rest}")


def states(wire: Wire, app: str, stream: str, query: str = "") -> list[Json]:
    entries: list[Json] = ok(state(wire, app, stream, query))["partition_consuming_states"]
    return entries


@pytest.fixture
def app(wire: Wire) -> Iterator[str]:
    """An app that exists."""
    name = a_name()
    done(create(wire, name), 201)
    yield name
    wire.call("DELETE", f"/apps/{name}")


class TestCreate:
    """5.2.1, table 5-39."""

    def test_answers_201_with_no_body(self, wire: Wire) -> None:
        """The Java SDK refuses even `{}` (clients.md 0, rule 4)."""
        done(create(wire, name := a_name()), 201)
        assert ok(wire.call("GET", f"/apps/{name}"))["app_name"] == name

    def test_with_a_slash_at_the_end(self, wire: Wire) -> None:
        """clients.md 1.1: the Java SDK and the old Python SDK send one."""
        name = a_name()
        done(wire.call("POST", "/apps/", body={"app_name": name, "unknown": [1]}), 201)
        assert ok(wire.call("GET", f"/apps/{name}/"))["app_name"] == name
        done(wire.call("DELETE", f"/apps/{name}/"), 204)

    @pytest.mark.parametrize("name", ["a", "Z" * 200, "_", "-", "a_B-9", "0"])
    def test_names_of_1_to_200_letters_digits_underscores_and_hyphens(self, wire: Wire, name: str) -> None:
        done(create(wire, name), 201)
        assert ok(wire.call("GET", f"/apps/{name}"))["app_name"] == name
        done(wire.call("DELETE", f"/apps/{name}"), 204)

    @pytest.mark.parametrize("name", ["", "a" * 201, "a b", "a.b", "a/b", "é", "名", "a\n", "a\u0000"])
    def test_other_names(self, wire: Wire, name: str) -> None:
        refused(create(wire, name), "DIS.4200", naming="app_name")

    @pytest.mark.parametrize("name", [1, 1.5, True, ["a"], {"a": 1}])
    def test_wrong_types(self, wire: Wire, name: object) -> None:
        refused(create(wire, name), "DIS.4300", naming="app_name")

    def test_no_name(self, wire: Wire) -> None:
        refused(create(wire, None), "DIS.4200", naming="app_name")
        refused(wire.call("POST", "/apps", body={}), "DIS.4200", naming="app_name")
        refused(wire.call("POST", "/apps", content=b""), "DIS.4202")
        refused(wire.call("POST", "/apps", content=b"{"), "DIS.4300")
        refused(wire.call("POST", "/apps", body=[]), "DIS.4300")

    def test_exists(self, wire: Wire, app: str) -> None:
        """The Kafka adapter tolerates this code (clients.md 1.4)."""
        refused(create(wire, app), "DIS.4330")
        before = ok(wire.call("GET", f"/apps/{app}"))
        refused(create(wire, app), "DIS.4330")
        assert ok(wire.call("GET", f"/apps/{app}")) == before

    def test_names_differ_by_case(self, wire: Wire) -> None:
        name = a_name()
        done(create(wire, name.upper()), 201)
        done(create(wire, name.lower()), 201)

    def test_quota(self, start_server: Callable[..., Server], tmp_path: Path) -> None:
        """DIS.4329: the reference names no number; 1,000 is the default and any may be set."""
        config = tmp_path / "penstock.toml"
        config.write_text("[limits]\napps_per_project = 2\n")
        with Wire.to(start_server("--config", str(config))) as wire:
            done(create(wire, "a"), 201)
            done(create(wire, "b"), 201)
            refused(create(wire, "c"), "DIS.4329", naming="2")
            refused(create(wire, "a"), "DIS.4330")
            done(wire.call("DELETE", "/apps/a"), 204)
            done(create(wire, "c"), 201)
            assert names(listed(wire)) == ["b", "c"]


class TestShow:
    """5.2.4, table 5-49."""

    def test_every_field(self, wire: Wire) -> None:
        before = time.time() * 1000
        done(create(wire, name := a_name()), 201)
        shown = ok(wire.call("GET", f"/apps/{name}"))
        assert set(shown) == {"app_id", "app_name", "create_time", "commit_checkpoint_stream_names"}
        assert (shown["app_name"], shown["commit_checkpoint_stream_names"]) == (name, [])
        assert shown["app_id"].isalnum() and len(shown["app_id"]) == 20
        assert before - 2000 <= shown["create_time"] <= time.time() * 1000 + 2000

    def test_streams_it_has_checkpoints_of(self, wire: Wire, app: str, make: Callable[..., str]) -> None:
        first, second = sorted((make(), make(partitions=2)))
        commit(wire, app, second)
        commit(wire, app, first)
        shown = ok(wire.call("GET", f"/apps/{app}"))
        assert shown["commit_checkpoint_stream_names"] == [first, second]
        done(wire.delete(first), 204)
        assert ok(wire.call("GET", f"/apps/{app}"))["commit_checkpoint_stream_names"] == [second]

    @pytest.mark.parametrize("name", ["no-such-app", "a b", "x" * 500, "%00", "é"])
    def test_missing(self, wire: Wire, name: str) -> None:
        """clients.md 1.4: the Kafka adapter searches the text for DIS.4332."""
        for method in ("GET", "DELETE"):
            refused(wire.call(method, f"/apps/{quote(name, safe='%')}"), "DIS.4332")


class TestDelete:
    """5.2.3."""

    def test_answers_204_and_is_gone(self, wire: Wire, app: str) -> None:
        done(wire.call("DELETE", f"/apps/{app}"), 204)
        refused(wire.call("GET", f"/apps/{app}"), "DIS.4332")
        refused(wire.call("DELETE", f"/apps/{app}"), "DIS.4332")
        assert app not in names(listed(wire, "limit=100"))

    def test_made_again_it_is_another_one(self, wire: Wire, app: str, make: Callable[..., str]) -> None:
        before = ok(wire.call("GET", f"/apps/{app}"))
        commit(wire, app, stream := make())
        done(wire.call("DELETE", f"/apps/{app}"), 204)
        done(create(wire, app), 201)
        after = ok(wire.call("GET", f"/apps/{app}"))
        assert after["app_id"] != before["app_id"]
        assert after["commit_checkpoint_stream_names"] == []
        assert states(wire, app, stream)[0]["sequence_number"] == "-1"

    def test_living_members_of_its_group_keep_it(
        self, wire: Wire, app: str, make: Callable[..., str]
    ) -> None:
        """DIS.4331, until the last member has left (clients.md 1.9)."""
        group = f"/apps/{app}/consumers/"
        member = {"groupId": app, "clientId": "c1", "interestedStream": [make()]}
        assert ok(wire.call("POST", group, body=member))["state"] == "OK"
        refused(wire.call("DELETE", f"/apps/{app}"), "DIS.4331")
        done(wire.call("DELETE", f"{group}c1/"), 204)
        done(wire.call("DELETE", f"/apps/{app}"), 204)

    def test_checkpoints_alone_do_not_keep_it(self, wire: Wire, app: str, make: Callable[..., str]) -> None:
        """design.md: "in use" means that a consumer group of its name has members."""
        commit(wire, app, make())
        done(wire.call("DELETE", f"/apps/{app}"), 204)


class TestList:
    """5.2.2, tables 5-41 and 5-43."""

    @pytest.fixture
    def three(self, wire: Wire) -> Iterator[list[str]]:
        """Three apps that come one after the other in the list."""
        made = [f"{a_name()}-{letter}" for letter in "abc"]
        made = [f"{made[0][:-2]}-{letter}" for letter in "abc"]
        for one in reversed(made):
            done(create(wire, one), 201)
        yield made
        for one in made:
            wire.call("DELETE", f"/apps/{one}")

    def test_fields(self, wire: Wire, app: str) -> None:
        page = listed(wire, "limit=100")
        assert set(page) == {"total_number", "apps", "has_more_app"}
        entry = next(one for one in page["apps"] if one["app_name"] == app)
        assert entry == ok(wire.call("GET", f"/apps/{app}"))

    def test_pages(self, wire: Wire, three: list[str]) -> None:
        before = three[0][:-2]
        page = listed(wire, f"limit=2&start_app_name={before}")
        assert (names(page), page["has_more_app"]) == (three[:2], True)
        page = listed(wire, f"limit=2&start_app_name={three[0]}")
        assert names(page)[:2] == three[1:]
        page = listed(wire, f"start_app_name={three[0]}x")
        assert names(page)[:2] == three[1:], "the name to start with need not exist"
        last = listed(wire, "start_app_name=zzzzzzzzz")
        assert (last["apps"], last["has_more_app"]) == ([], False)
        assert last["total_number"] == listed(wire)["total_number"] >= 3

    def test_is_empty_at_first(self, relaxed_wire: Wire) -> None:
        assert listed(relaxed_wire) == {"total_number": 0, "apps": [], "has_more_app": False}

    def test_default_and_largest_page(self, relaxed_wire: Wire) -> None:
        made = [f"p{number:03}" for number in range(101)]
        for one in made:
            done(create(relaxed_wire, one), 201)
        assert names(listed(relaxed_wire)) == made[:10]
        assert names(listed(relaxed_wire, "limit=0")) == made[:10]
        assert names(listed(relaxed_wire, "limit=")) == made[:10]
        assert names(listed(relaxed_wire, "limit=1")) == made[:1]
        whole = listed(relaxed_wire, "limit=100")
        assert (names(whole), whole["has_more_app"], whole["total_number"]) == (made[:100], True, 101)
        assert names(listed(relaxed_wire, "limit=100&start_app_name=p099")) == made[100:]
        for one in made:
            done(relaxed_wire.call("DELETE", f"/apps/{one}"), 204)

    @pytest.mark.parametrize("limit", ["101", "-1", "x", "1.5", "9" * 30])
    def test_other_limits(self, wire: Wire, limit: str) -> None:
        refused(wire.call("GET", "/apps", f"limit={limit}"), "DIS.4200", naming="limit")

    def test_of_a_stream(self, wire: Wire, three: list[str], make: Callable[..., str]) -> None:
        stream = make()
        for one in (three[2], three[0]):
            commit(wire, one, stream)
        assert listed(wire, f"stream_name={stream}") == {
            "total_number": 2,
            "apps": [ok(wire.call("GET", f"/apps/{one}")) for one in (three[0], three[2])],
            "has_more_app": False,
        }
        page = listed(wire, f"stream_name={stream}&limit=1")
        assert (names(page), page["has_more_app"], page["total_number"]) == (three[:1], True, 2)
        page = listed(wire, f"stream_name={stream}&start_app_name={three[0]}")
        assert (names(page), page["has_more_app"]) == (three[2:], False)
        assert listed(wire, f"stream_name={make()}")["total_number"] == 0

    def test_of_a_stream_that_is_missing(self, wire: Wire) -> None:
        refused(wire.call("GET", "/apps", "stream_name=no-such-stream"), "DIS.4301")


class TestConsumptionState:
    """5.2.5, tables 5-51 and 5-53 (and 5-54 of the Chinese edition)."""

    def test_one_entry_a_partition_without_any_commit(self, wire: Wire, app: str, name: str) -> None:
        """clients.md 1.4: three partitions, three entries."""
        wire.create(name, 3)
        reply = ok(state(wire, app, name))
        assert reply["has_more"] is False
        assert (reply["app_name"], reply["stream_name"]) == (app, name)
        assert reply["stream_id"] == ok(wire.describe(name))["stream_id"]
        assert reply["partition_consuming_states"] == [
            {
                "partition_id": f"shardId-{number:010}",
                "sequence_number": "-1",
                "latest_offset": 0,
                "earliest_offset": 0,
                "lag": 0,
                "checkpoint_type": "LAST_READ",
                "status": "ACTIVE",
                "metadata": "",
            }
            for number in range(3)
        ]
        # Table 5-53 of the English edition names those of the app.
        about = ok(wire.call("GET", f"/apps/{app}"))
        assert {key: reply[key] for key in about} == about

    def test_offsets_and_lag(self, wire: Wire, app: str, make: Callable[..., str]) -> None:
        stream = make(partitions=2)
        wire.put_data(stream, b"a", b"b", b"c", b"d", partition_id="1")
        commit(wire, app, stream, "shardId-0000000001", "1")
        empty, read = states(wire, app, stream)
        assert (empty["latest_offset"], empty["lag"]) == (0, 0)
        assert (read["sequence_number"], read["earliest_offset"], read["latest_offset"]) == ("1", 0, 4)
        assert read["lag"] == 3
        commit(wire, app, stream, "1", "4")
        assert states(wire, app, stream)[1]["lag"] == 0
        other = a_name()
        done(create(wire, other), 201)
        assert [entry["lag"] for entry in states(wire, other, stream)] == [0, 4]

    def test_pages(self, wire: Wire, app: str, make: Callable[..., str]) -> None:
        stream = make(partitions=5)
        for number in (1, 3, 4):
            commit(wire, app, stream, str(number))

        def page(query: str) -> tuple[list[str], bool]:
            reply = ok(state(wire, app, stream, query))
            entries = reply["partition_consuming_states"]
            return [one["partition_id"][-1] + one["sequence_number"] for one in entries], reply["has_more"]

        assert page("limit=2") == (["0-1", "10"], True)
        assert page("limit=2&start_partition_id=shardId-0000000001") == (["2-1", "30"], True)
        assert page("limit=2&start_partition_id=shardId-0000000003") == (["40"], False)
        assert page("start_partition_id=3") == (["40"], False)
        assert page("start_partition_id=shardId-0000000000") == (["10", "2-1", "30", "40"], False)
        assert page("start_partitionId=shardId-0000000003") == (["40"], False)
        assert page("start_partition_id=shardId-0000000004") == ([], False)
        assert page("start_partition_id=999") == ([], False)
        assert page("limit=1000")[1] is False

    def test_a_bare_zero_is_the_beginning(self, wire: Wire, app: str, make: Callable[..., str]) -> None:
        """What the old Python client sends (clients.md 1.4)."""
        stream = make(partitions=3)
        assert len(states(wire, app, stream, "start_partition_id=0&limit=10")) == 3

    def test_default_page_is_100(self, relaxed_wire: Wire) -> None:
        done(relaxed_wire.create("wide", 101), 201)
        done(create(relaxed_wire, "wide-app"), 201)
        reply = ok(state(relaxed_wire, "wide-app", "wide"))
        assert (len(reply["partition_consuming_states"]), reply["has_more"]) == (100, True)
        assert len(states(relaxed_wire, "wide-app", "wide", "limit=0")) == 100
        assert len(states(relaxed_wire, "wide-app", "wide", "limit=1000")) == 101
        done(relaxed_wire.call("DELETE", "/apps/wide-app"), 204)

    def test_by_stream_id(self, wire: Wire, app: str, make: Callable[..., str]) -> None:
        """clients.md 1.4: the path may hold the id, with or without `stream_id=`."""
        stream = make()
        stream_id = ok(wire.describe(stream))["stream_id"]
        expected = ok(state(wire, app, stream))
        assert ok(state(wire, app, stream_id)) == expected
        assert ok(state(wire, app, stream_id, f"stream_id={stream_id}")) == expected
        assert ok(state(wire, app, stream, f"app_name={app}&stream_name={stream}&")) == expected

    @pytest.mark.parametrize("limit", ["1001", "-1", "x"])
    def test_other_limits(self, wire: Wire, app: str, make: Callable[..., str], limit: str) -> None:
        refused(state(wire, app, make(), f"limit={limit}"), "DIS.4200", naming="limit")

    def test_checkpoint_type_is_mandatory(self, wire: Wire, app: str, make: Callable[..., str]) -> None:
        path = f"/apps/{app}/streams/{make()}"
        for query in ("", "checkpoint_type=", "checkpoint_type=LATEST", "checkpoint_type=last_read"):
            refused(wire.call("GET", path, query), "DIS.4200", naming="checkpoint_type")

    @pytest.mark.parametrize("partition", ["x", "shardId-", "-1", "1.5"])
    def test_what_is_no_partition(
        self, wire: Wire, app: str, make: Callable[..., str], partition: str
    ) -> None:
        refused(state(wire, app, make(), f"start_partition_id={partition}"), "DIS.4201", naming=partition)

    def test_missing(self, wire: Wire, app: str, make: Callable[..., str]) -> None:
        refused(state(wire, app, "no-such-stream"), "DIS.4301", naming="[no-such-stream]")
        refused(state(wire, "no-such-app", make()), "DIS.4332")


class TestDurable:
    def test_apps_outlive_a_kill(self, start_server: Callable[..., Server]) -> None:
        server = start_server()
        wire = Wire.to(server)
        wire.create("s1")
        for name in ("kept", "gone"):
            done(create(wire, name), 201)
        commit(wire, "kept", "s1")
        done(wire.call("DELETE", "/apps/gone"), 204)
        before = listed(wire)
        server.restart(kill=True)
        with Wire.to(server) as again:
            assert listed(again) == before
            assert before["apps"][0]["commit_checkpoint_stream_names"] == ["s1"]
            assert names(listed(again, "stream_name=s1")) == ["kept"]
            assert states(again, "kept", "s1")[0]["partition_id"] == PARTITION_0
            refused(create(again, "kept"), "DIS.4330")
        wire.close()
