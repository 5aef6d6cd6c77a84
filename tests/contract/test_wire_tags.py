"""Tags over the wire (API reference 5.7): every operation, field, rule and refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from tests.contract.conftest import Make
from tests.support.server import Server
from tests.support.wire import Json, Wire, done, ok, refused

ACTION = "/stream/resource_instances/action"


@pytest.fixture
def stream(wire: Wire, make: Make) -> str:
    """The id of a new stream."""
    return stream_id(wire, make())


@pytest.fixture(scope="module")
def streams(server: Server) -> Iterator[dict[str, str]]:
    """Streams to find: names to ids."""
    tags = {
        "find-me-0": [],
        "find-me-1": [tag("env", "test"), tag("team", "blue")],
        "find-me-2": [tag("env", "production"), tag("team", "blue")],
        "find-me-3": [tag("env", "test")],
        "find-me-4": [tag("team", "red"), tag("empty")],
    }
    with Wire.to(server) as wire:
        for name, own in tags.items():
            done(wire.create(name, tags=own), 201)
        yield {name: stream_id(wire, name) for name in tags}
        for name in tags:
            wire.delete(name)


def stream_id(wire: Wire, name: str) -> str:
    found = ok(wire.describe(name))["stream_id"]
    assert isinstance(found, str)
    return found


def tag(key: str, value: str | None = None) -> Json:
    return {"key": key} if value is None else {"key": key, "value": value}


def add(wire: Wire, stream: str, body: object) -> httpx.Response:
    return wire.call("POST", f"/stream/{stream}/tags", body=body)


def act(wire: Wire, stream: str, action: str, *tags: Json) -> httpx.Response:
    return wire.call("POST", f"/stream/{stream}/tags/action", body={"action": action, "tags": list(tags)})


def tags_of(wire: Wire, stream: str) -> list[Json]:
    reply = ok(wire.call("GET", f"/stream/{stream}/tags"))
    assert set(reply) == {"tags"}
    tags: list[Json] = reply["tags"]
    return tags


class TestAdd:
    """5.7.1."""

    def test_answers_204_and_shows_everywhere(self, wire: Wire, make: Make) -> None:
        name = make(tags=[tag("a", "1")])
        stream = stream_id(wire, name)
        done(add(wire, stream, {"tag": tag("key", "value")}), 204)
        both = [tag("a", "1"), tag("key", "value")]
        assert tags_of(wire, stream) == both
        assert ok(wire.describe(name))["tags"] == both
        listed = ok(wire.call("GET", "/streams", "limit=100"))["stream_info_list"]
        assert next(one for one in listed if one["stream_name"] == name)["tags"] == both

    def test_a_key_set_again_is_overwritten_in_its_place(self, wire: Wire, stream: str) -> None:
        for key, value in (("a", "1"), ("b", "2"), ("a", "3")):
            done(add(wire, stream, {"tag": tag(key, value)}), 204)
        assert tags_of(wire, stream) == [tag("a", "3"), tag("b", "2")]

    def test_a_stream_is_found_by_its_name_too(self, wire: Wire, make: Make) -> None:
        name = make()
        done(add(wire, name, {"tag": tag("k", "v")}), 204)
        assert tags_of(wire, name) == tags_of(wire, stream_id(wire, name)) == [tag("k", "v")]

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("k", ""),
            ("k" * 36, "v" * 43),
            ("Az_0-9", "Az.09-_"),
            ("通道", "通道"),
            ("a.b:c@d", "with spaces inside"),
        ],
    )
    def test_takes_the_union_of_the_documented_characters(
        self, wire: Wire, stream: str, key: str, value: str
    ) -> None:
        done(add(wire, stream, {"tag": tag(key, value)}), 204)
        assert tags_of(wire, stream) == [tag(key, value)]

    @pytest.mark.parametrize("absent", [{}, {"value": None}, {"value": ""}])
    def test_the_value_may_be_absent(self, wire: Wire, stream: str, absent: Json) -> None:
        done(add(wire, stream, {"tag": {"key": "k", **absent}, "unknown": 1}), 204)
        assert tags_of(wire, stream) == [tag("k", "")]

    @pytest.mark.parametrize(
        ("bad", "naming"),
        [
            (tag("", "v"), "tag.key"),
            (tag("k" * 37, "v"), "tag.key"),
            (tag("a=b", "v"), "tag.key"),
            (tag("a*", "v"), "tag.key"),
            (tag("a/b", "v"), "tag.key"),
            (tag(" a", "v"), "tag.key"),
            (tag("k", "v" * 44), "tag.value"),
            (tag("k", "a,b"), "tag.value"),
            (tag("k", "<v>"), "tag.value"),
            (tag("k", "v\n"), "tag.value"),
            ({"value": "v"}, "tag.key"),
            ({"key": None, "value": "v"}, "tag.key"),
        ],
    )
    def test_refuses_what_is_out_of_range_or_missing(
        self, wire: Wire, stream: str, bad: Json, naming: str
    ) -> None:
        refused(add(wire, stream, {"tag": bad}), "DIS.4200", naming=naming)
        assert tags_of(wire, stream) == []

    @pytest.mark.parametrize("body", [{}, {"tag": None}])
    def test_needs_a_tag(self, wire: Wire, stream: str, body: Json) -> None:
        refused(add(wire, stream, body), "DIS.4200", naming="tag")

    @pytest.mark.parametrize(
        ("body", "naming"),
        [
            ({"tag": "k"}, "tag"),
            ({"tag": [tag("k", "v")]}, "tag"),
            ({"tag": {"key": 1, "value": "v"}}, "tag.key"),
            ({"tag": {"key": "k", "value": 1}}, "tag.value"),
            ([], "body"),
        ],
    )
    def test_refuses_wrong_types(self, wire: Wire, stream: str, body: object, naming: str) -> None:
        refused(add(wire, stream, body), "DIS.4300", naming=naming)

    def test_refuses_an_empty_body_and_no_json(self, wire: Wire, stream: str) -> None:
        path = f"/stream/{stream}/tags"
        refused(wire.call("POST", path, content=b""), "DIS.4202")
        refused(wire.call("POST", path, content=b"{"), "DIS.4300", naming="body")

    def test_ten_are_the_most(self, wire: Wire, stream: str) -> None:
        """DIS.4601; a key that is there already is none more."""
        for number in range(10):
            done(add(wire, stream, {"tag": tag(f"k{number}", "v")}), 204)
        refused(add(wire, stream, {"tag": tag("k10", "v")}), "DIS.4601")
        done(add(wire, stream, {"tag": tag("k3", "new")}), 204)
        assert len(tags_of(wire, stream)) == 10
        assert tag("k3", "new") in tags_of(wire, stream)

    def test_a_stream_that_is_not_there(self, wire: Wire) -> None:
        refused(add(wire, "nobody", {"tag": tag("k", "v")}), "DIS.4603", naming="nobody")


class TestList:
    """5.7.2."""

    def test_a_stream_without_tags(self, wire: Wire, stream: str) -> None:
        assert tags_of(wire, stream) == []

    def test_a_stream_that_is_not_there(self, wire: Wire) -> None:
        refused(wire.call("GET", "/stream/nobody/tags"), "DIS.4603", naming="nobody")

    def test_a_deleted_stream_is_not_there(self, wire: Wire, make: Make) -> None:
        name = make(tags=[tag("gone", "1")])
        stream = stream_id(wire, name)
        done(wire.delete(name), 204)
        refused(wire.call("GET", f"/stream/{stream}/tags"), "DIS.4603")
        assert "gone" not in [one["key"] for one in ok(wire.call("GET", "/stream/tags"))["tags"]]


class TestDelete:
    """5.7.3."""

    def test_answers_204(self, wire: Wire, stream: str) -> None:
        act(wire, stream, "create", tag("a", "1"), tag("b", "2"))
        done(wire.call("DELETE", f"/stream/{stream}/tags/a"), 204)
        assert tags_of(wire, stream) == [tag("b", "2")]

    def test_a_key_that_needs_escaping(self, wire: Wire, stream: str) -> None:
        act(wire, stream, "create", tag("通 道", "1"))
        done(wire.call("DELETE", f"/stream/{stream}/tags/%E9%80%9A%20%E9%81%93"), 204)
        assert tags_of(wire, stream) == []

    def test_a_key_that_is_not_there(self, wire: Wire, stream: str) -> None:
        act(wire, stream, "create", tag("a", "1"))
        refused(wire.call("DELETE", f"/stream/{stream}/tags/b"), "DIS.4604", naming="b")
        assert tags_of(wire, stream) == [tag("a", "1")]

    def test_a_stream_that_is_not_there(self, wire: Wire) -> None:
        refused(wire.call("DELETE", "/stream/nobody/tags/a"), "DIS.4603", naming="nobody")


class TestBatch:
    """5.7.4 and 5.7.7."""

    def test_create_adds_and_overwrites(self, wire: Wire, stream: str) -> None:
        done(act(wire, stream, "create", tag("key1", "value1"), tag("key2", "value3")), 204)
        done(act(wire, stream, "create", tag("key2", "new"), tag("key3")), 204)
        assert tags_of(wire, stream) == [tag("key1", "value1"), tag("key2", "new"), tag("key3", "")]
        done(act(wire, stream, "create", tag("key2", "new"), tag("key3")), 204)  # idempotent
        assert len(tags_of(wire, stream)) == 3

    def test_delete_goes_by_the_key(self, wire: Wire, stream: str) -> None:
        """A tag that does not exist counts as deleted; values do not matter."""
        act(wire, stream, "create", *(tag(key, "v") for key in "abcd"))
        done(act(wire, stream, "delete", tag("a", "v"), tag("b"), tag("c", "another"), tag("never")), 204)
        assert tags_of(wire, stream) == [tag("d", "v")]
        done(act(wire, stream, "delete", tag("a", "v")), 204)

    def test_delete_does_not_check_characters(self, wire: Wire, stream: str) -> None:
        done(act(wire, stream, "delete", tag("a=b*/" * 20, "<" * 100)), 204)

    def test_what_terraform_sends_for_a_changed_tag(self, wire: Wire, stream: str) -> None:
        """clients.md section 9: one delete with values, then one create."""
        act(wire, stream, "create", tag("env", "test"), tag("team", "a"))
        done(act(wire, stream, "delete", tag("env", "test"), tag("team", "a")), 204)
        done(act(wire, stream, "create", tag("env", "production"), tag("team", "a")), 204)
        assert tags_of(wire, stream) == [tag("env", "production"), tag("team", "a")]

    @pytest.mark.parametrize(
        ("tags", "naming"),
        [
            ([tag("good", "1"), tag("bad=", "2")], "tags[1].key"),
            ([tag("good", "1"), tag("also", "x" * 44)], "tags[1].value"),
            ([tag("good", "1"), tag("", "2")], "tags[1].key"),
            ([tag("good", "1"), tag("good", "2")], "tags[1].key"),
            ([], "tags"),
        ],
    )
    def test_create_is_all_or_nothing(self, wire: Wire, stream: str, tags: list[Json], naming: str) -> None:
        refused(act(wire, stream, "create", *tags), "DIS.4200", naming=naming)
        assert tags_of(wire, stream) == []

    def test_more_than_ten(self, wire: Wire, stream: str) -> None:
        refused(act(wire, stream, "create", *(tag(f"k{n}", "v") for n in range(11))), "DIS.4601")
        done(act(wire, stream, "create", *(tag(f"k{n}", "v") for n in range(8))), 204)
        refused(act(wire, stream, "create", *(tag(f"n{n}", "v") for n in range(3))), "DIS.4601")
        assert len(tags_of(wire, stream)) == 8
        done(act(wire, stream, "create", *(tag(f"k{n}", "w") for n in range(6, 10))), 204)
        assert len(tags_of(wire, stream)) == 10

    @pytest.mark.parametrize("key", ["", " ", "   "])
    def test_delete_refuses_a_blank_key_and_deletes_nothing(self, wire: Wire, stream: str, key: str) -> None:
        act(wire, stream, "create", tag("a", "1"))
        refused(act(wire, stream, "delete", tag("a"), tag(key)), "DIS.4200", naming="tags[1].key")
        assert tags_of(wire, stream) == [tag("a", "1")]

    @pytest.mark.parametrize("action", ["update", "Create", "filter", ""])
    def test_other_actions(self, wire: Wire, stream: str, action: str) -> None:
        refused(act(wire, stream, action, tag("a", "1")), "DIS.4605")

    @pytest.mark.parametrize(
        ("body", "code", "naming"),
        [
            ({"tags": [tag("a", "1")]}, "DIS.4200", "action"),
            ({"action": None, "tags": [tag("a", "1")]}, "DIS.4200", "action"),
            ({"action": "create"}, "DIS.4200", "tags"),
            ({"action": "delete", "tags": None}, "DIS.4200", "tags"),
            ({"action": "delete", "tags": [{"value": "1"}]}, "DIS.4200", "key"),
            ({"action": "delete", "tags": []}, "DIS.4200", "tags"),
            ({"action": 1, "tags": []}, "DIS.4300", "action"),
            ({"action": "create", "tags": {}}, "DIS.4300", "tags"),
            ({"action": "create", "tags": [{"key": 5}]}, "DIS.4300", "tags[0].key"),
        ],
    )
    def test_bodies_that_say_too_little(
        self, wire: Wire, stream: str, body: Json, code: str, naming: str
    ) -> None:
        refused(wire.call("POST", f"/stream/{stream}/tags/action", body=body), code, naming=naming)

    def test_a_stream_that_is_not_there(self, wire: Wire) -> None:
        refused(act(wire, "nobody", "create", tag("a", "1")), "DIS.4603", naming="nobody")
        refused(act(wire, "nobody", "delete", tag("a", "1")), "DIS.4603", naming="nobody")

    def test_batches_at_the_same_time_lose_nothing(self, server: Server, wire: Wire, stream: str) -> None:
        """Each sees what the one before has written."""
        url = f"{server.endpoint}/v2/{server.project_id}/stream/{stream}/tags"

        async def together() -> None:
            async with httpx.AsyncClient(headers={"X-Auth-Token": server.token()}, trust_env=False) as client:
                replies = await asyncio.gather(
                    *(client.post(url, json={"tag": tag(f"k{n}", "v")}) for n in range(10))
                )
            assert [reply.status_code for reply in replies] == [204] * 10

        asyncio.run(together())
        assert {one["key"] for one in tags_of(wire, stream)} == {f"k{n}" for n in range(10)}


class TestFind:
    """5.7.6, on streams of a project of their own kind: their names share a part that no other stream has."""

    def find(self, wire: Wire, action: str = "filter", **fields: object) -> Json:
        body = {"action": action, "matches": [{"key": "resource_name", "value": "find-me"}], **fields}
        return ok(wire.call("POST", ACTION, body=body))

    def names(self, wire: Wire, **fields: object) -> list[str]:
        found = self.find(wire, "filter", **fields)
        assert found["total_count"] == len(found["resources"])
        assert self.find(wire, "count", **fields) == {"total_count": found["total_count"]}
        return [one["resource_name"][-1] for one in found["resources"]]

    def test_a_resource_is_id_name_detail_and_tags(self, wire: Wire, streams: dict[str, str]) -> None:
        found = self.find(wire, tags=[{"key": "env", "values": ["production"]}])
        assert found == {
            "resources": [
                {
                    "resource_detail": None,
                    "resource_id": streams["find-me-2"],
                    "resource_name": "find-me-2",
                    "tags": [tag("env", "production"), tag("team", "blue")],
                }
            ],
            "total_count": 1,
        }

    @pytest.mark.parametrize(
        ("fields", "names"),
        [
            ({}, "01234"),
            ({"tags": [{"key": "env"}]}, "123"),
            ({"tags": [{"key": "env", "values": []}]}, "123"),
            ({"tags": [{"key": "env", "values": None}]}, "123"),
            ({"tags": [{"key": "env", "values": ["test"]}]}, "13"),
            ({"tags": [{"key": "env", "values": ["test", "production"]}]}, "123"),
            ({"tags": [{"key": "env", "values": ["*est"]}]}, "13"),
            ({"tags": [{"key": "env", "values": ["*rod", "none"]}]}, "2"),
            ({"tags": [{"key": "empty", "values": [""]}]}, "4"),
            ({"tags": [{"key": "env"}, {"key": "team", "values": ["blue"]}]}, "12"),
            ({"tags_any": [{"key": "env", "values": ["production"]}, {"key": "empty"}]}, "24"),
            ({"not_tags": [{"key": "env", "values": ["test"]}, {"key": "team"}]}, "0234"),
            (
                {"not_tags_any": [{"key": "env", "values": ["test"]}, {"key": "team", "values": ["red"]}]},
                "02",
            ),
            ({"tags": [{"key": "team"}], "not_tags_any": [{"key": "empty"}]}, "12"),
            ({"tags": [{"key": "missing"}]}, ""),
            ({"tags": [], "tags_any": [], "not_tags": [], "not_tags_any": []}, "01234"),
            ({"tags": None, "tags_any": "", "not_tags": None, "not_tags_any": ""}, "01234"),
            ({"tags": [{"key": f"k{n}", "values": [str(v) for v in range(10)]} for n in range(10)]}, ""),
        ],
    )
    def test_conditions(self, wire: Wire, streams: dict[str, str], fields: Json, names: str) -> None:
        assert self.names(wire, **fields) == list(names)

    @pytest.mark.parametrize(
        "matches",
        [
            [{"key": "resource_name", "value": "find-me-3"}],
            [{"key": "resource_name", "value": "me-3"}],
            {"key": "resource_name", "value": "find-me-3"},
            '[{"key":"resource_name","value":"find-me-3"}]',
            '{"key":"resource_name","value":"find-me-3"}',
            "find-me-3",
        ],
    )
    def test_names(self, wire: Wire, streams: dict[str, str], matches: object) -> None:
        """An array in the example, a text in table 5-159; a part of the name is enough."""
        assert self.names(wire, matches=matches) == ["3"]

    @pytest.mark.parametrize(
        "matches", [None, "", [], {"key": "resource_name"}, [{"key": "resource_name", "value": ""}]]
    )
    def test_no_name_is_no_condition(self, wire: Wire, streams: dict[str, str], matches: object) -> None:
        assert self.names(wire, matches=matches, tags=[{"key": "empty"}]) == ["4"]

    @pytest.mark.parametrize("write", [str, int])
    def test_pages(self, wire: Wire, streams: dict[str, str], write: type) -> None:
        """limit and offset are texts in table 5-159; numbers do too. total_count is of all pages."""
        seen: list[str] = []
        while True:
            page = self.find(wire, limit=write(2), offset=write(len(seen)))
            assert page["total_count"] == 5
            if not page["resources"]:
                break
            assert len(page["resources"]) <= 2
            seen += [one["resource_name"] for one in page["resources"]]
        assert seen == sorted(streams)

    @pytest.mark.parametrize("limit", [0, "0", "", None, 1000, "1000"])
    def test_limits_that_are_the_most(self, wire: Wire, streams: dict[str, str], limit: object) -> None:
        assert len(self.find(wire, limit=limit, offset="")["resources"]) == 5

    @pytest.mark.parametrize(
        ("fields", "code", "naming"),
        [
            ({"limit": 1001}, "DIS.4200", "limit"),
            ({"limit": "1001"}, "DIS.4200", "limit"),
            ({"limit": "-1"}, "DIS.4200", "limit"),
            ({"limit": "ten"}, "DIS.4200", "limit"),
            ({"limit": "1.5"}, "DIS.4200", "limit"),
            ({"limit": "9" * 5000}, "DIS.4200", "limit"),
            ({"limit": []}, "DIS.4300", "limit"),
            ({"offset": -1}, "DIS.4200", "offset"),
            ({"offset": "-1"}, "DIS.4200", "offset"),
            ({"offset": "next"}, "DIS.4200", "offset"),
            ({"offset": 1 << 70}, "DIS.4200", "offset"),
            ({"offset": {}}, "DIS.4300", "offset"),
            ({"tags": "x"}, "DIS.4300", "tags"),
            ({"tags": [{"key": 1}]}, "DIS.4300", "tags[0].key"),
            ({"tags": [{"key": "a", "values": "v"}]}, "DIS.4300", "tags[0].values"),
            ({"tags": [{"key": "a", "values": [1]}]}, "DIS.4300", "tags[0].values[0]"),
            ({"matches": 5}, "DIS.4300", "matches"),
            ({"matches": '{"name":1}'}, "DIS.4300", "matches"),
            ({"matches": '{"x":' + "[" * 100_000}, "DIS.4300", "matches"),
            ({"matches": [{"key": "resource_id", "value": "x"}]}, "DIS.4200", "matches[0].key"),
            ({"matches": [{"value": "x"}]}, "DIS.4200", "key"),
            ({"matches": [{"key": "resource_name", "value": "x" * 65}]}, "DIS.4200", "matches[0].value"),
            ({"matches": [{"key": "resource_name"}, {"key": "resource_name"}]}, "DIS.4200", "matches[1].key"),
        ],
    )
    def test_refuses(self, wire: Wire, fields: Json, code: str, naming: str) -> None:
        body = {"action": "filter", **fields}
        refused(wire.call("POST", ACTION, body=body), code, naming=naming)

    @pytest.mark.parametrize("field", ["tags", "tags_any", "not_tags", "not_tags_any"])
    @pytest.mark.parametrize(
        ("value", "naming"),
        [
            ([{"key": f"k{n}"} for n in range(11)], ""),
            ([{"key": "k", "values": [str(n) for n in range(11)]}], "[0].values"),
            ([{"key": ""}], "[0].key"),
            ([{"values": ["v"]}], "key"),
            ([{}], "key"),
            ([{"key": "k" * 37}], "[0].key"),
            ([{"key": "k"}, {"key": "k"}], "[1].key"),
            ([{"key": "k", "values": ["v", "v"]}], "[0].values"),
            ([{"key": "k", "values": ["v" * 44]}], "[0].values[0]"),
        ],
    )
    def test_every_list_has_the_same_rules(
        self, wire: Wire, field: str, value: list[Json], naming: str
    ) -> None:
        """At most 10 keys and 10 values, each once; the key cannot be blank."""
        for action in ("filter", "count"):
            message = refused(wire.call("POST", ACTION, body={"action": action, field: value}), "DIS.4200")
            assert f"[{field}" in message
            assert naming in message

    def test_count_takes_no_page(self, wire: Wire, streams: dict[str, str]) -> None:
        assert self.find(wire, "count", limit="5000", offset="x") == {"total_count": 5}

    @pytest.mark.parametrize("action", ["delete", "FILTER", ""])
    def test_other_actions(self, wire: Wire, action: str) -> None:
        refused(wire.call("POST", ACTION, body={"action": action}), "DIS.4605")

    def test_needs_an_action(self, wire: Wire) -> None:
        refused(wire.call("POST", ACTION, body={}), "DIS.4200", naming="action")
        refused(wire.call("POST", ACTION, content=b""), "DIS.4202")


def test_all_tags_of_a_project(relaxed_wire: Wire) -> None:
    """5.7.5: keys in order, each with its values, once."""
    wire = relaxed_wire
    assert ok(wire.call("GET", "/stream/tags")) == {"tags": []}
    for number, tags in enumerate(
        ([tag("b", "2"), tag("a", "1")], [tag("b", "1")], [tag("b", "2"), tag("c")], [])
    ):
        done(wire.create(f"all-{number}", tags=tags), 201)
    expected = [
        {"key": "a", "values": ["1"]},
        {"key": "b", "values": ["1", "2"]},
        {"key": "c", "values": [""]},
    ]
    assert ok(wire.call("GET", "/stream/tags")) == {"tags": expected}
    assert ok(wire.call("GET", "/stream/tags/")) == {"tags": expected}


def test_more_streams_than_a_page_and_a_stream_called_tags(relaxed_wire: Wire) -> None:
    wire = relaxed_wire
    for number in range(12):
        done(wire.create(f"many-{number:02}"), 201)
    done(wire.create("tags", tags=[tag("x", "y")]), 201)
    body = {"action": "filter", "matches": [{"key": "resource_name", "value": "many-"}]}
    assert len(ok(wire.call("POST", ACTION, body=body))["resources"]) == 12
    assert ok(wire.describe("tags"))["stream_name"] == "tags"
    assert tags_of(wire, "tags") == [tag("x", "y")]


@pytest.mark.parametrize("kind", ["disk", "streams", "Stream"])
def test_other_resource_types(wire: Wire, kind: str) -> None:
    """Table 6-1 prints {resource_type}: DIS.4602 for all but `stream`."""
    one = {"tag": tag("a", "1")}
    many = {"action": "create", "tags": [tag("a", "1")]}
    for method, path, body in (
        ("POST", f"/{kind}/x/tags", one),
        ("GET", f"/{kind}/x/tags", None),
        ("DELETE", f"/{kind}/x/tags/a", None),
        ("POST", f"/{kind}/x/tags/action", many),
    ):
        refused(wire.call(method, path, body=body), "DIS.4602", naming=kind)
    if kind != "streams":  # where these are streams called `tags` and `resource_instances`
        refused(wire.call("GET", f"/{kind}/tags"), "DIS.4602", naming=kind)
        find = {"action": "filter"}
        refused(wire.call("POST", f"/{kind}/resource_instances/action", body=find), "DIS.4602", naming=kind)


def test_tags_outlive_a_crash(server: Server, wire: Wire, make: Make) -> None:
    stream = stream_id(wire, make(tags=[tag("a", "1"), tag("b", "1")]))
    done(act(wire, stream, "create", tag("b", "2"), tag("c", "3")), 204)
    done(wire.call("DELETE", f"/stream/{stream}/tags/a"), 204)
    server.restart(kill=True)
    wire.token = server.token()
    assert tags_of(wire, stream) == [tag("b", "2"), tag("c", "3")]
