"""Changing partitions and updating streams over the wire (API reference 5.1.5, 5.1.6), the scaling log, freezing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server
from tests.support.wire import HASH_MAX, Json, Wire, done, ok, refused, refused_entry

AVRO = json.dumps({"type": "record", "name": "R", "fields": [{"name": "key1", "type": "string"}]})
Make = Callable[..., str]


def scale(wire: Wire, name: str, target: object, query: str = "", **fields: object) -> Json:
    return ok(put(wire, name, target, query, **fields))


def put(wire: Wire, name: str, target: object, query: str = "", **fields: object) -> httpx.Response:
    body = {"stream_name": name, "target_partition_count": target} | fields
    return wire.call("PUT", f"/streams/{name}", query, body=body)


def update(wire: Wire, name: str, **fields: object) -> httpx.Response:
    return wire.call("PUT", f"/streams/{name}", body={"stream_name": name} | fields, version="v3")


def states(shown: Json) -> list[str]:
    return [partition["status"] for partition in shown["partitions"]]


def ranges(shown: Json) -> list[tuple[int, int]]:
    """Hash ranges of the ACTIVE partitions, in order."""
    found = [
        re.fullmatch(r"\[(\d+) : (\d+)\]", partition["hash_range"])
        for partition in shown["partitions"]
        if partition["status"] == "ACTIVE"
    ]
    return sorted((int(match[1]), int(match[2])) for match in found if match)


def covers(spans: Sequence[tuple[int, int]]) -> bool:
    following = 0
    for start, end in spans:
        if start != following:
            return False
        following = end + 1
    return following == HASH_MAX + 1


class TestChangePartitions:
    """5.1.5, table 5-27."""

    def test_answers_the_counts(self, wire: Wire, make: Make) -> None:
        """clients.md 1.2: integers; gtc takes 200 and nothing else."""
        name = make(partitions=2)
        assert scale(wire, name, 5) == {
            "stream_name": name,
            "current_partition_count": 2,
            "target_partition_count": 5,
        }

    def test_scale_up_is_there_at_once(self, wire: Wire, make: Make) -> None:
        """Terraform polls the description until writable_partition_count is what it asked for (clients.md 1.2)."""
        name = make(partitions=2)
        before = ok(wire.describe(name))
        scale(wire, name, 3)
        shown = ok(wire.describe(name))
        assert shown["writable_partition_count"] == shown["readable_partition_count"] == 3
        assert states(shown) == ["ACTIVE"] * 3
        assert shown["partitions"][2]["sequence_number_range"] == "[0 : 0]"
        assert covers(ranges(shown))
        step = HASH_MAX // 3
        assert [end for _, end in ranges(shown)] == [step, 2 * step, HASH_MAX]
        assert shown["last_modified_time"] >= before["last_modified_time"]
        for number in range(3):
            (entry,) = wire.put_data(name, b"x", partition_id=str(number))
            assert entry["partition_id"] == f"shardId-{number:010d}"

    def test_names_the_parents(self, wire: Wire, make: Make) -> None:
        """Table 5-20: where the keys of a partition were before."""
        name = make(partitions=1)
        assert "parent_partitions" not in ok(wire.describe(name))["partitions"][0]
        scale(wire, name, 2)
        first, second = ok(wire.describe(name))["partitions"]
        assert "parent_partitions" not in first
        assert second["parent_partitions"] == "shardId-0000000000"
        scale(wire, name, 1)
        assert ok(wire.describe(name))["partitions"][0]["parent_partitions"] == "shardId-0000000001"

    def test_scale_down_keeps_what_can_be_read(self, wire: Wire, make: Make) -> None:
        """limits-and-rules.md: readable and not writable; the numbers stay (clients.md 7, rule 1)."""
        name = make(partitions=3)
        for number in range(3):
            wire.put_data(name, b"a", b"b", partition_id=str(number))
        scale(wire, name, 1)
        shown = ok(wire.describe(name))
        assert states(shown) == ["ACTIVE", "DELETED", "DELETED"]
        assert (shown["writable_partition_count"], shown["readable_partition_count"]) == (1, 3)
        for partition in shown["partitions"][1:]:
            assert partition["hash_range"] == "[-1 : -1]"
            assert partition["sequence_number_range"] == "[0 : 2]"
        assert ranges(shown) == [(0, HASH_MAX)]
        assert [record.data for record in wire.read_all(name, "2")] == [b"a", b"b"]
        assert [record.data for record in wire.read_all(name, "shardId-0000000001")] == [b"a", b"b"]
        reply = ok(
            wire.put(name, [{"data": "YQ==", "partition_id": "2"}, {"data": "YQ==", "partition_key": "k"}])
        )
        assert reply["failed_record_count"] == 1
        refused_entry(reply["records"][0], "DIS.4319")
        assert reply["records"][1]["partition_id"] == "shardId-0000000000"

    def test_keys_go_where_the_new_ranges_say(self, wire: Wire, make: Make) -> None:
        name = make(partitions=1)
        scale(wire, name, 4)
        for number, (start, end) in enumerate(ranges(ok(wire.describe(name)))):
            for key in (start, end):
                (entry,) = wire.put_data(name, b"x", explicit_hash_key=str(key))
                assert entry["partition_id"] == f"shardId-{number:010d}"

    def test_a_revived_partition_goes_on_with_its_numbers(self, wire: Wire, make: Make) -> None:
        name = make(partitions=2)
        wire.put_data(name, b"a", b"b", partition_id="1")
        scale(wire, name, 1)
        scale(wire, name, 2)
        shown = ok(wire.describe(name))
        assert states(shown) == ["ACTIVE", "ACTIVE"]
        assert covers(ranges(shown))
        (entry,) = wire.put_data(name, b"c", partition_id="1")
        assert entry["sequence_number"] == "2"
        assert [record.data for record in wire.read_all(name, "1")] == [b"a", b"b", b"c"]

    def test_a_cursor_lives_on_over_a_change(self, wire: Wire, make: Make) -> None:
        name = make(partitions=2)
        wire.put_data(name, b"a", partition_id="1")
        cursor = wire.cursor(name, "1", cursor_type="TRIM_HORIZON")
        scale(wire, name, 1)
        records, cursor = wire.read(cursor)
        assert [record.data for record in records] == [b"a"]
        scale(wire, name, 3)
        wire.put_data(name, b"b", partition_id="1")
        assert [record.data for record in wire.read(cursor)[0]] == [b"b"]

    def test_the_same_number_changes_nothing(self, wire: Wire, make: Make) -> None:
        name = make(partitions=2)
        before = ok(wire.describe(name))
        assert scale(wire, name, 2) == {
            "stream_name": name,
            "current_partition_count": 2,
            "target_partition_count": 2,
        }
        assert ok(wire.describe(name)) == before

    def test_finds_a_stream_by_its_id(self, wire: Wire, make: Make) -> None:
        """In the path as Kafka and Terraform may have it, and in the query (clients.md 1.2)."""
        name = make(partitions=1)
        stream_id = ok(wire.describe(name))["stream_id"]
        for target, path, query, body in (
            (2, stream_id, "", {"stream_name": name}),
            (3, stream_id, "", {"stream_name": stream_id}),
            (4, name, f"stream_id={stream_id}", {"stream_name": name}),
            (5, "any", f"stream_id={stream_id}", {"stream_name": name}),
            (6, name, f"stream_id={stream_id}", {}),
        ):
            reply = wire.call(
                "PUT", f"/streams/{path}", query, body=body | {"target_partition_count": target}
            )
            assert ok(reply)["stream_name"] == name
            assert ok(wire.describe(name))["writable_partition_count"] == target

    def test_takes_the_slash_and_fields_that_nobody_knows(self, wire: Wire, make: Make) -> None:
        name = make(partitions=1)
        body = {"stream_name": name, "target_partition_count": 2, "other": None}
        ok(wire.call("PUT", f"/streams/{name}/", body=body))

    @pytest.mark.parametrize("fields", [{}, {"data_duration": 48}, {"target_partition_count": None}])
    def test_without_a_target_says_what_the_real_service_says(
        self, wire: Wire, make: Make, fields: Json
    ) -> None:
        """clients.md 1.1: gtc's update of a stream, answered so by the real service."""
        name = make(partitions=1)
        reply = wire.call("PUT", f"/streams/{name}", body={"stream_name": name} | fields)
        assert refused(reply, "DIS.4200") == "Invalid request. [Invalid target_partition_count null.]"

    @pytest.mark.parametrize("target", [0, -1, 1001, 1 << 63])
    def test_refuses_numbers_out_of_range(self, wire: Wire, make: Make, target: int) -> None:
        name = make(partitions=1)
        refused(put(wire, name, target), "DIS.4200", naming="target_partition_count")

    @pytest.mark.parametrize("target", ["2", 1.5, True, [2], {}])
    def test_refuses_wrong_types(self, wire: Wire, make: Make, target: object) -> None:
        name = make(partitions=1)
        refused(put(wire, name, target), "DIS.4300", naming="target_partition_count")
        assert ok(wire.describe(name))["writable_partition_count"] == 1

    def test_refuses_another_name_in_the_body(self, wire: Wire, make: Make) -> None:
        name = make(partitions=1)
        for other in ("other", "x" * 100):
            refused(put(wire, name, 2, stream_name=other), "DIS.4200", naming="stream_name")
        refused(put(wire, name, 2, stream_name=None), "DIS.4200", naming="stream_name")
        refused(put(wire, name, 2, stream_name=7), "DIS.4300", naming="stream_name")

    def test_refuses_what_is_no_body(self, wire: Wire, make: Make) -> None:
        name = make(partitions=1)
        refused(wire.call("PUT", f"/streams/{name}", content=b""), "DIS.4202")
        refused(wire.call("PUT", f"/streams/{name}", content=b"{"), "DIS.4300")
        refused(wire.call("PUT", f"/streams/{name}", content=b"[]"), "DIS.4300")

    def test_names_a_missing_stream(self, wire: Wire, name: str) -> None:
        """400 here (clients.md 5)."""
        message = refused(put(wire, name, 2), "DIS.4301")
        assert message == f"Stream does not exist. [{name}][{wire.project_id}]"

    def test_refuses_more_than_the_quota(self, wire: Wire, make: Make) -> None:
        """50 COMMON and 10 ADVANCED partitions of a project; DELETED ones do not count."""
        name = make(partitions=1)
        refused(put(wire, name, 51), "DIS.4308")
        wide = make(partitions=2, stream_type="ADVANCED")
        refused(put(wire, wide, 11), "DIS.4308")
        scale(wire, wide, 10)
        other_refused = wire.create(f"{wide}x", 1, stream_type="ADVANCED")
        refused(other_refused, "DIS.4308")
        scale(wire, wide, 9)
        other = make(f"{wide}x", 1, stream_type="ADVANCED")
        refused(put(wire, wide, 10), "DIS.4308")
        refused(put(wire, other, 2), "DIS.4308")
        assert ok(wire.describe(wide))["writable_partition_count"] == 9

    def test_a_list_counts_active_partitions(self, wire: Wire, make: Make) -> None:
        name = make(partitions=3)
        scale(wire, name, 2)
        (info,) = [
            one
            for one in ok(wire.call("GET", "/streams", "limit=100"))["stream_info_list"]
            if one["stream_name"] == name
        ]
        assert info["partition_count"] == 2


class TestFrequency:
    """limits-and-rules.md: 10 scale-ups by hand and 1 scale-down in an hour, for each stream."""

    def test_the_second_scale_down_says_when(self, wire: Wire, make: Make) -> None:
        name = make(partitions=4)
        scale(wire, name, 3)
        message = refused(put(wire, name, 2), "DIS.4200", naming="target_partition_count")
        match = re.search(r"allowed again from (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)", message)
        assert match
        again = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        assert 3500 < again - time.time() <= 3601
        assert ok(wire.describe(name))["writable_partition_count"] == 3
        scale(wire, make(partitions=2), 1)

    def test_the_eleventh_scale_up(self, wire: Wire, make: Make) -> None:
        name = make(partitions=1)
        for target in range(2, 12):
            scale(wire, name, target)
        refused(put(wire, name, 12), "DIS.4200", naming="allowed again from")
        scale(wire, name, 11)
        scale(wire, name, 1)

    def test_relaxed_limits_lift_them(self, relaxed_wire: Wire, name: str) -> None:
        done(relaxed_wire.create(name, 1), 201)
        for target in (20, 1, 60, 2, 100, 1, 3):
            scale(relaxed_wire, name, target)
            shown = ok(relaxed_wire.describe(name, "limit_partitions=1000"))
            assert shown["writable_partition_count"] == target
            assert covers(ranges(shown))
        assert shown["readable_partition_count"] == 100
        done(relaxed_wire.delete(name), 204)


class TestLog:
    """update_partition_counts of a description (table 5-22), and the scaling log."""

    def test_a_description_lists_the_changes(self, wire: Wire, make: Make) -> None:
        """Without result_code and result_msg: SDKs disagree about their types (clients.md 7, rule 3)."""
        name = make(partitions=2)
        assert "update_partition_counts" not in ok(wire.describe(name))
        before = time.time() * 1000
        scale(wire, name, 4)
        scale(wire, name, 1)
        first, second = ok(wire.describe(name))["update_partition_counts"]
        for entry in (first, second):
            assert before - 2000 <= entry.pop("create_timestamp") <= time.time() * 1000 + 2000
        assert first == {"src_partition_count": 2, "target_partition_count": 4, "auto_scale": False}
        assert second == {"src_partition_count": 4, "target_partition_count": 1, "auto_scale": False}

    def test_the_log_in_pages(self, wire: Wire, make: Make) -> None:
        name = make(partitions=1)
        path = f"/streams/{name}/update_partition_counts"
        empty = ok(wire.call("GET", path))
        assert empty["update_partition_counts"] == []
        assert (empty["total_number"], empty["has_more"]) == (0, False)
        for target in range(2, 7):
            scale(wire, name, target)
        seen: list[int] = []
        query = "limit=2"
        while True:
            page = ok(wire.call("GET", path, query))
            assert page["stream_name"] == name
            assert page["total_number"] == 5
            for entry in page["update_partition_counts"]:
                assert entry["result_code"] == 1
                assert entry["auto_scale"] is False
                assert entry["src_partition_count"] == entry["target_partition_count"] - 1
                assert isinstance(entry["create_timestamp"], int)
            seen += [entry["target_partition_count"] for entry in page["update_partition_counts"]]
            if not page["has_more"]:
                assert "next_start" not in page
                break
            query = f"limit=2&start={page['next_start']}"
        assert seen == [6, 5, 4, 3, 2]

    def test_refuses_other_pages(self, wire: Wire, make: Make) -> None:
        path = f"/streams/{make()}/update_partition_counts"
        for query in ("limit=101", "limit=-1", "limit=x", "start=-1", "start=x"):
            refused(wire.call("GET", path, query), "DIS.4200", naming=query.partition("=")[0])

    def test_names_a_missing_stream(self, wire: Wire, name: str) -> None:
        refused(wire.call("GET", f"/streams/{name}/update_partition_counts"), "DIS.4301")


class TestUpdate:
    """5.1.6, table 5-29: PUT /v3."""

    def test_answers_204_without_a_body(self, wire: Wire, make: Make) -> None:
        """As both editions of the reference say."""
        name = make()
        done(update(wire, name, data_duration=48), 204)
        assert ok(wire.describe(name))["retention_period"] == 48

    def test_answers_golangsdk_with_a_body(self, wire: Wire, make: Make) -> None:
        """It fails on a PUT's 204 and decodes what comes; it sends a header `region` (clients.md 1.2)."""
        name = make()
        body = {"stream_name": name, "data_duration": 72}
        reply = wire.call("PUT", f"/streams/{name}", body=body, version="v3", headers={"region": "r1"})
        assert ok(reply)["stream_name"] == name
        assert ok(wire.describe(name))["retention_period"] == 72

    def test_keeps_what_is_left_out(self, wire: Wire, make: Make) -> None:
        name = make(partitions=2, data_type="CSV", data_duration=72, tags=[{"key": "k", "value": "v"}])
        before = ok(wire.describe(name))
        done(update(wire, name, data_type="JSON"), 204)
        shown = ok(wire.describe(name))
        assert shown["last_modified_time"] >= before["last_modified_time"]
        before["data_type"], before["last_modified_time"] = "JSON", shown["last_modified_time"]
        assert shown == before

    @pytest.mark.parametrize(
        ("field", "value", "shown_as"),
        [
            ("data_duration", 24, "retention_period"),
            ("data_duration", 168, "retention_period"),
            ("data_type", "BLOB", "data_type"),
            ("data_type", "CSV", "data_type"),
            ("data_schema", AVRO, "data_schema"),
        ],
    )
    def test_takes_every_field(
        self, wire: Wire, make: Make, field: str, value: object, shown_as: str
    ) -> None:
        name = make(data_type="JSON", data_duration=48)
        done(update(wire, name, **{field: value}), 204)
        assert ok(wire.describe(name))[shown_as] == value

    def test_automatic_scaling(self, wire: Wire, make: Make) -> None:
        name = make(partitions=2)

        def shown() -> tuple[bool, int, int]:
            now = ok(wire.describe(name))
            return (
                now["auto_scale_enabled"],
                now["auto_scale_min_partition_count"],
                now["auto_scale_max_partition_count"],
            )

        low, high = "auto_scale_min_partition_count", "auto_scale_max_partition_count"
        done(update(wire, name, **{low: 2, high: 8}), 204)
        assert shown() == (False, 0, 0), "bounds mean nothing while it is off, as on creation"
        done(update(wire, name, auto_scale_enabled=True, **{low: 2, high: 8}), 204)
        assert shown() == (True, 2, 8)
        done(update(wire, name, **{high: 9}), 204)
        assert shown() == (True, 2, 9)
        done(update(wire, name, data_duration=48, auto_scale_enabled=None, **{low: "", high: None}), 204)
        assert shown() == (True, 2, 9)
        done(update(wire, name, auto_scale_enabled=False), 204)
        assert shown() == (False, 0, 0)
        done(update(wire, name, auto_scale_enabled=True), 204)
        assert shown() == (True, 1, 50)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("data_duration", 23),
            ("data_duration", 169),
            ("data_type", "XML"),
            ("auto_scale_min_partition_count", 0),
            ("auto_scale_min_partition_count", 51),
            ("auto_scale_max_partition_count", 51),
            ("auto_scale_max_partition_count", -1),
        ],
    )
    def test_refuses_values_out_of_range(self, wire: Wire, make: Make, field: str, value: object) -> None:
        name = make()
        before = ok(wire.describe(name))
        refused(update(wire, name, auto_scale_enabled=True, **{field: value}), "DIS.4200", naming=field)
        assert ok(wire.describe(name)) == before

    def test_refuses_bounds_that_cross(self, wire: Wire, make: Make) -> None:
        name = make(auto_scale_enabled=True, auto_scale_min_partition_count=5)
        refused(
            update(wire, name, auto_scale_max_partition_count=4),
            "DIS.4200",
            naming="auto_scale_max_partition_count",
        )

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("stream_name", 1),
            ("data_duration", "48"),
            ("data_duration", 48.5),
            ("data_type", 1),
            ("data_schema", 1),
            ("auto_scale_enabled", "true"),
            ("auto_scale_min_partition_count", "1"),
            ("auto_scale_max_partition_count", [1]),
        ],
    )
    def test_refuses_wrong_types(self, wire: Wire, make: Make, field: str, value: object) -> None:
        refused(update(wire, make(), **{field: value}), "DIS.4300", naming=field)

    def test_refuses_a_schema_that_is_not_avro(self, wire: Wire, make: Make) -> None:
        refused(update(wire, make(), data_schema='{"type":"record"}'), "DIS.4360")

    def test_refuses_missing_and_other_names(self, wire: Wire, make: Make) -> None:
        name = make()
        refused(update(wire, name, stream_name=None), "DIS.4200", naming="stream_name")
        refused(update(wire, name, stream_name="other"), "DIS.4200", naming="stream_name")
        refused(wire.call("PUT", f"/streams/{name}", content=b"", version="v3"), "DIS.4202")
        refused(wire.call("PUT", f"/streams/{name}", content=b"{", version="v3"), "DIS.4300")

    def test_names_a_missing_stream(self, wire: Wire, name: str) -> None:
        message = refused(update(wire, name, data_duration=48), "DIS.4301")
        assert message == f"Stream does not exist. [{name}][{wire.project_id}]"

    def test_finds_a_stream_by_its_id(self, wire: Wire, make: Make) -> None:
        name = make()
        stream_id = ok(wire.describe(name))["stream_id"]
        for hours, path, query in ((25, stream_id, ""), (26, name, f"stream_id={stream_id}")):
            body = {"stream_name": name, "data_duration": hours}
            done(wire.call("PUT", f"/streams/{path}", query, body=body, version="v3"), 204)
            assert ok(wire.describe(name))["retention_period"] == hours


class TestUpdateV2:
    """PUT /v2/.../update: the Java SDK's (clients.md 1.2), and the one table 6-1 names."""

    def test_answers_what_the_java_sdk_reads(self, wire: Wire, make: Make) -> None:
        name = make()
        body = {"update_type": "x", "stream_name": name, "data_type": "JSON"}
        reply = ok(wire.call("PUT", f"/streams/{name}/update/", body=body))
        assert reply == {"stream_name": name, "target_data_type": "JSON"}
        assert ok(wire.describe(name))["data_type"] == "JSON"

    def test_automatic_scaling_without_the_name(self, wire: Wire, make: Make) -> None:
        name = make(partitions=1)
        body = {
            "auto_scale_enabled": True,
            "auto_scale_max_partition_count": 3,
            "auto_scale_min_partition_count": 1,
            "update_type": "AUTO_SCALE",
        }
        ok(wire.call("PUT", f"/streams/{name}/update", body=body))
        shown = ok(wire.describe(name))
        assert shown["auto_scale_enabled"] is True
        assert shown["auto_scale_max_partition_count"] == 3

    def test_takes_the_older_names_of_fields(self, wire: Wire, make: Make) -> None:
        name = make()
        body = {"stream_name": name, "target_data_type": "CSV", "target_data_schema": AVRO}
        assert ok(wire.call("PUT", f"/streams/{name}/update", body=body))["target_data_type"] == "CSV"
        assert ok(wire.describe(name))["data_schema"] == AVRO
        body = {"target_data_type": "XML"}
        refused(wire.call("PUT", f"/streams/{name}/update", body=body), "DIS.4200", naming="target_data_type")

    def test_names_a_missing_stream(self, wire: Wire, name: str) -> None:
        refused(wire.call("PUT", f"/streams/{name}/update", body={"data_type": "CSV"}), "DIS.4301")


class TestFreeze:
    """FROZEN of tables 5-11 and 5-19: no records and no changes, but description, reads and deletion."""

    def test_frozen_and_thawed(self, wire: Wire, make: Make) -> None:
        name = make(partitions=2)
        wire.put_data(name, b"a", partition_id="0")
        cursor = wire.cursor(name, "0", cursor_type="TRIM_HORIZON")
        action = f"/streams/{name}/action"
        for _ in range(2):
            done(wire.call("POST", action, body={"action": "freeze"}), 200)
            assert ok(wire.describe(name))["status"] == "FROZEN"
        listed = ok(wire.call("GET", "/streams", "limit=100"))["stream_info_list"]
        assert [one["status"] for one in listed if one["stream_name"] == name] == ["FROZEN"]
        refused(wire.put(name, [{"data": "YQ=="}]), "DIS.4205")
        refused(put(wire, name, 3), "DIS.4205")
        refused(put(wire, name, 2), "DIS.4205")
        refused(update(wire, name, data_duration=48), "DIS.4205")
        refused(wire.call("PUT", f"/streams/{name}/update", body={"data_type": "CSV"}), "DIS.4205")
        assert [record.data for record in wire.read(cursor)[0]] == [b"a"]
        assert [record.data for record in wire.read_all(name, "0")] == [b"a"]
        for _ in range(2):
            done(wire.call("POST", action, body={"action": "thaw"}), 200)
            assert ok(wire.describe(name))["status"] == "RUNNING"
        wire.put_data(name, b"b", partition_id="0")
        scale(wire, name, 3)

    def test_a_frozen_stream_can_be_deleted(self, wire: Wire, make: Make) -> None:
        name = make()
        done(wire.call("POST", f"/streams/{name}/action", body={"action": "freeze"}), 200)
        done(wire.delete(name), 204)
        refused(wire.describe(name), "DIS.4301", status=404)

    def test_refuses_other_actions(self, wire: Wire, make: Make, name: str) -> None:
        made = make()
        path = f"/streams/{made}/action"
        refused(wire.call("POST", path, body={"action": "melt"}), "DIS.4200", naming="action")
        refused(wire.call("POST", path, body={}), "DIS.4200", naming="action")
        refused(wire.call("POST", path, body={"action": 1}), "DIS.4300", naming="action")
        refused(wire.call("POST", path, content=b""), "DIS.4202")
        refused(wire.call("POST", f"/streams/{name}/action", body={"action": "thaw"}), "DIS.4301")


def test_everything_outlives_a_kill(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """States, ranges, parents, the log, its frequencies and a frozen state are as they were answered."""
    server = start_server()
    with Wire.to(server) as wire:
        wire.create("s", 2)
        wire.put_data("s", b"a", b"b", partition_id="1")
        scale(wire, "s", 3)
        scale(wire, "s", 1)
        done(update(wire, "s", data_duration=96, auto_scale_enabled=True), 204)
        wire.create("cold", 1)
        done(wire.call("POST", "/streams/cold/action", body={"action": "freeze"}), 200)
        before = [ok(wire.describe(one)) for one in ("s", "cold")]
        log = ok(wire.call("GET", "/streams/s/update_partition_counts"))
    server.restart(kill=True)
    with Wire.to(server) as wire:
        assert [ok(wire.describe(one)) for one in ("s", "cold")] == before
        assert ok(wire.call("GET", "/streams/s/update_partition_counts")) == log
        assert [record.data for record in wire.read_all("s", "1")] == [b"a", b"b"]
        scale(wire, "s", 2)
        refused(put(wire, "s", 1), "DIS.4200", naming="allowed again from")
        (entry,) = wire.put_data("s", b"c", partition_id="1")
        assert entry["sequence_number"] == "2"
        refused(wire.put("cold", [{"data": "YQ=="}]), "DIS.4205")
        assert len(ok(wire.describe("s"))["update_partition_counts"]) == 3


def test_workers_know_at_once(start_server: Callable[..., Server]) -> None:
    """Whichever process answers: a new partition takes records, a deleted one takes none."""
    server = start_server("--workers", "3", "--limits", "relaxed")
    with Wire.to(server) as wire:
        wire.create("s", 1)
    for target in (4, 2, 6, 1):
        with Wire.to(server) as wire:
            scale(wire, "s", target)
        for _ in range(6):  # connections spread over the workers
            with Wire.to(server) as wire:
                entries = ok(
                    wire.put("s", [{"data": "YQ==", "partition_id": str(number)} for number in range(6)])
                )["records"]
                taken = [number for number, entry in enumerate(entries) if "error_code" not in entry]
                assert taken == list(range(target))
