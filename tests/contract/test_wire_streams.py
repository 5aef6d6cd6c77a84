"""Streams over the wire: create, list, describe, delete (API reference 5.1.1 to 5.1.4), every field and refusal."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.server import Server
from tests.support.wire import HASH_MAX, MIB, Json, Wire, done, ok, refused

AVRO = json.dumps({"type": "record", "name": "R", "fields": [{"name": "key1", "type": "string"}]})
ENTERPRISE = "_sys_enterprise_project_id"


class TestCreate:
    """5.1.1, table 5-3."""

    def test_answers_201_with_no_body(self, wire: Wire, name: str) -> None:
        done(wire.create(name), 201)

    def test_is_readable_at_once_with_the_documented_defaults(self, wire: Wire, name: str) -> None:
        before = time.time() * 1000
        wire.create(name, 2)
        shown = ok(wire.describe(name))
        assert shown["stream_name"] == name
        assert shown["status"] == "RUNNING"
        assert shown["stream_type"] == "COMMON"
        assert shown["data_type"] == "BLOB"
        assert shown["retention_period"] == 24
        assert shown["auto_scale_enabled"] is False
        assert shown["auto_scale_min_partition_count"] == 0
        assert shown["auto_scale_max_partition_count"] == 0
        assert shown["tags"] == []
        assert shown["writable_partition_count"] == shown["readable_partition_count"] == 2
        assert shown["has_more_partitions"] is False
        assert before - 2000 <= shown["create_time"] <= time.time() * 1000 + 2000
        assert isinstance(shown["last_modified_time"], int)
        # clients.md 7, rules 1 and 3: absent when unused; the SDKs disagree about their types.
        assert "update_partition_counts" not in shown
        assert not {"csv_properties", "data_schema", "compression_format"} & set(shown)

    def test_keeps_every_field(self, wire: Wire, name: str) -> None:
        fields: Json = {
            "stream_type": "ADVANCED",
            "data_type": "CSV",
            "data_duration": 72,
            "auto_scale_enabled": True,
            "auto_scale_min_partition_count": 1,
            "auto_scale_max_partition_count": 5,
            "data_schema": AVRO,
            "csv_properties": {"delimiter": ";"},
            "compression_format": "gzip",
            "tags": [{"key": "team", "value": "blue-1"}, {"key": "通道", "value": ""}],
            "sys_tags": [{"key": ENTERPRISE, "value": "0"}],
        }
        done(wire.create(name, 2, **fields), 201)
        shown = ok(wire.describe(name))
        fields["retention_period"] = fields.pop("data_duration")
        for key, value in fields.items():
            assert shown[key] == value, key

    @pytest.mark.parametrize("data_type", ["BLOB", "JSON", "CSV"])
    @pytest.mark.parametrize("compression", ["snappy", "gzip", "zip"])
    def test_takes_every_enumerated_value(
        self, wire: Wire, name: str, data_type: str, compression: str
    ) -> None:
        done(wire.create(name, data_type=data_type, compression_format=compression), 201)
        shown = ok(wire.describe(name))
        assert (shown["data_type"], shown["compression_format"]) == (data_type, compression)

    @pytest.mark.parametrize("hours", [24, 25, 72, 168])
    def test_takes_retention_up_to_a_week(self, wire: Wire, name: str, hours: int) -> None:
        """Table 5-3 says both 24-72 and maximum 168: the wider one holds."""
        done(wire.create(name, data_duration=hours), 201)
        assert ok(wire.describe(name))["retention_period"] == hours

    @pytest.mark.parametrize("fill", ["a", "Z9_-", "x" * 40])
    def test_takes_names_of_1_to_64_characters(self, wire: Wire, name: str, fill: str) -> None:
        full = (name + fill)[:64].ljust(64, "x") if len(fill) > 4 else name + fill
        done(wire.create(full), 201)
        done(wire.delete(full), 204)

    def test_takes_what_the_go_sdk_always_sends(self, wire: Wire, name: str) -> None:
        """clients.md 1.2: empty strings and nulls are absent, unknown fields ignored."""
        done(
            wire.create(
                name,
                data_schema="",
                tags=None,
                sys_tags=None,
                csv_properties={},
                processing_schema={},
                private=False,
                is_private=False,
                private_cluster_id=None,
                stream_type="",
                compression_format="",
                data_duration=None,
            ),
            201,
        )
        assert ok(wire.describe(name))["stream_type"] == "COMMON"

    @pytest.mark.parametrize(
        "bad", ["", " ", "a b", "a.b", "é", "a/b", "流", "x" * 65, "a\n", "a\u0000", "a:b", "../a"]
    )
    def test_refuses_other_names(self, wire: Wire, bad: str) -> None:
        refused(wire.create(bad), "DIS.4200", naming="stream_name")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("partition_count", 0),
            ("partition_count", -1),
            ("partition_count", 1 << 63),
            ("stream_type", "FAST"),
            ("stream_type", "common"),
            ("data_type", "BLOG"),
            ("data_duration", 23),
            ("data_duration", 169),
            ("data_duration", -24),
            ("compression_format", "lzo"),
        ],
    )
    def test_refuses_values_out_of_range(self, wire: Wire, name: str, field: str, value: object) -> None:
        body = {"stream_name": name, "partition_count": 1, field: value}
        refused(wire.call("POST", "/streams", body=body), "DIS.4200", naming=field)
        refused(wire.describe(name), "DIS.4301", status=404)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("stream_name", 5),
            ("stream_name", ["a"]),
            ("partition_count", "1"),
            ("partition_count", 1.5),
            ("partition_count", True),
            ("stream_type", 1),
            ("data_duration", "24"),
            ("auto_scale_enabled", 1),
            ("data_schema", 5),
            ("csv_properties", ","),
            ("csv_properties", {"delimiter": 1}),
            ("tags", {"key": "a"}),
            ("tags", ["a"]),
            ("tags", [{"key": 1, "value": "b"}]),
        ],
    )
    def test_refuses_wrong_types(self, wire: Wire, name: str, field: str, value: object) -> None:
        body = {"stream_name": name, "partition_count": 1, field: value}
        refused(wire.call("POST", "/streams", body=body), "DIS.4300", naming=field)
        refused(wire.describe(name), "DIS.4301", status=404)

    @pytest.mark.parametrize("missing", ["stream_name", "partition_count"])
    def test_refuses_missing_fields(self, wire: Wire, name: str, missing: str) -> None:
        body = {"stream_name": name, "partition_count": 1}
        del body[missing]
        refused(wire.call("POST", "/streams", body=body), "DIS.4200", "DIS.4300", naming=missing)

    @pytest.mark.parametrize(("minimum", "maximum", "count"), [(5, 2, 3), (0, 2, 1), (-1, 2, 1), (1, 0, 1)])
    def test_refuses_auto_scaling_bounds_that_cannot_be(
        self, wire: Wire, name: str, minimum: int, maximum: int, count: int
    ) -> None:
        refused(
            wire.create(
                name,
                count,
                auto_scale_enabled=True,
                auto_scale_min_partition_count=minimum,
                auto_scale_max_partition_count=maximum,
            ),
            "DIS.4200",
            naming="auto_scale_",
        )

    @pytest.mark.parametrize(
        "schema",
        [
            "{",
            "no schema",
            '{"type":"record"}',
            '{"type":"record","name":"R","fields":[{"name":"a","type":"strin"}]}',
            '{"type":"enum","name":"E","symbols":["A","A"]}',
        ],
    )
    def test_refuses_a_schema_that_is_not_avro(self, wire: Wire, name: str, schema: str) -> None:
        refused(wire.create(name, data_type="JSON", data_schema=schema), "DIS.4360")

    @pytest.mark.parametrize(
        "tags",
        [
            [{"key": "", "value": "v"}],
            [{"value": "v"}],
            [{"key": "k" * 37, "value": "v"}],
            [{"key": "k", "value": "v" * 44}],
            [{"key": "a=b", "value": "v"}],
            [{"key": "k", "value": "a|b"}],
            [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}],
        ],
    )
    def test_refuses_bad_tags(self, wire: Wire, name: str, tags: list[Json]) -> None:
        """Table 5-5."""
        refused(wire.create(name, tags=tags), "DIS.4200", "DIS.4300", naming="tags")

    def test_refuses_an_eleventh_tag(self, wire: Wire, name: str) -> None:
        """Section 7.1, DIS.4601: at most 10 tags."""
        tags = [{"key": f"k{number}", "value": "v"} for number in range(11)]
        refused(wire.create(name, tags=tags), "DIS.4601")
        done(wire.create(name, tags=tags[:10]), 201)

    def test_refuses_another_system_tag(self, wire: Wire, name: str) -> None:
        """Table 5-6: the key is always _sys_enterprise_project_id."""
        refused(wire.create(name, sys_tags=[{"key": "other", "value": "0"}]), "DIS.4200", naming="sys_tags")

    def test_refuses_a_name_that_is_taken(self, wire: Wire, name: str) -> None:
        wire.create(name)
        refused(wire.create(name), "DIS.4307")

    def test_refuses_more_partitions_than_an_account_has(self, wire: Wire, name: str) -> None:
        """5.1.1: 50 COMMON and 10 ADVANCED partitions; what is deleted counts no more."""
        refused(wire.create(name, 51), "DIS.4308")
        refused(wire.create(name, 11, stream_type="ADVANCED"), "DIS.4308")
        done(wire.create(name, 10, stream_type="ADVANCED"), 201)
        refused(wire.create(f"{name}x", 1, stream_type="ADVANCED"), "DIS.4308")
        done(wire.delete(name), 204)
        done(wire.create(f"{name}x", 1, stream_type="ADVANCED"), 201)
        done(wire.delete(f"{name}x"), 204)

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"[]",
            b'"text"',
            b"1",
            b"null",
            b'{"stream_name": "a", "partition_count": NaN}',
            b"\xff\xfe",
            b'{"stream_name": "\xff", "partition_count": 1}',
            b'{"stream_name": "a", "partition_count": 1} x',
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b'{"stream_name": "\\ud800", "partition_count": 1}',
        ],
        ids=lambda body: repr(body[:24]),
    )
    def test_refuses_what_is_no_json_object(self, wire: Wire, body: bytes) -> None:
        refused(wire.call("POST", "/streams", content=body), "DIS.4300")

    @pytest.mark.parametrize("body", [b"", b"  \r\n"])
    def test_refuses_an_empty_body(self, wire: Wire, body: bytes) -> None:
        refused(wire.call("POST", "/streams", content=body), "DIS.4202")


class TestList:
    """5.1.2, tables 5-8, 5-10 and 5-11."""

    @pytest.fixture
    def names(self, wire: Wire, name: str, make: Callable[..., str]) -> list[str]:
        return [make(f"{name}-{letter}") for letter in "dbeac"]

    def test_pages_in_order_of_names(self, wire: Wire, name: str, names: list[str]) -> None:
        seen: list[str] = []
        start = name
        while True:
            page = ok(wire.call("GET", "/streams", f"limit=2&start_stream_name={start}"))
            ours = [one for one in page["stream_names"] if one.startswith(name)]
            assert len(page["stream_names"]) <= 2
            assert [info["stream_name"] for info in page["stream_info_list"]] == page["stream_names"]
            seen += ours
            if not page["has_more_streams"] or not ours:
                break
            start = page["stream_names"][-1]
        assert seen == sorted(names)

    def test_counts_all_streams_on_every_page(self, wire: Wire, names: list[str]) -> None:
        first = ok(wire.call("GET", "/streams", "limit=1"))
        later = ok(wire.call("GET", "/streams", f"limit=1&start_stream_name={max(names)}"))
        assert first["total_number"] == later["total_number"] >= len(names)
        assert first["has_more_streams"] is True

    def test_shows_what_table_5_11_says(self, wire: Wire, name: str, make: Callable[..., str]) -> None:
        made = make(name, 3, tags=[{"key": "k", "value": "v"}])
        page = ok(wire.call("GET", "/streams", "limit=100"))
        (info,) = [one for one in page["stream_info_list"] if one["stream_name"] == made]
        assert {
            "stream_id", "stream_name", "create_time", "retention_period", "status", "stream_type", "data_type",
            "partition_count", "tags", "auto_scale_enabled", "auto_scale_min_partition_count",
            "auto_scale_max_partition_count",
        } <= set(info)  # fmt: skip
        assert info["partition_count"] == 3
        assert info["tags"] == [{"key": "k", "value": "v"}]
        assert info["stream_id"] == ok(wire.describe(made))["stream_id"]
        assert isinstance(info["create_time"], int)

    def test_lists_ten_unless_told(self, wire: Wire, name: str, make: Callable[..., str]) -> None:
        for number in range(11):
            make(f"{name}-{number:02}")
        for query in ("", "limit=0", "limit=", "limit", "start_stream_name=", "start_stream_name&limit=0&"):
            page = ok(wire.call("GET", "/streams", query))
            assert len(page["stream_names"]) == 10, query
            assert page["has_more_streams"] is True

    @pytest.mark.parametrize("limit", ["101", "-1", "x", "1.5", "1e2", "99999999999999999999999"])
    def test_refuses_other_limits(self, wire: Wire, limit: str) -> None:
        refused(wire.call("GET", "/streams", f"limit={limit}"), "DIS.4200", naming="limit")


class TestDescribe:
    """5.1.4, tables 5-17 to 5-20."""

    @pytest.mark.parametrize("count", [1, 2, 3, 7])
    def test_splits_the_hash_space_evenly(self, wire: Wire, name: str, count: int) -> None:
        """clients.md 4: partition i ends at (i + 1) times floor((2^63 - 1) / n), the last one at 2^63 - 1."""
        wire.create(name, count)
        shown = ok(wire.describe(name))
        step = HASH_MAX // count
        expected = [
            f"[{0 if i == 0 else i * step + 1} : {HASH_MAX if i == count - 1 else (i + 1) * step}]"
            for i in range(count)
        ]
        assert [one["hash_range"] for one in shown["partitions"]] == expected
        assert [one["partition_id"] for one in shown["partitions"]] == [
            f"shardId-{i:010}" for i in range(count)
        ]
        assert {one["status"] for one in shown["partitions"]} == {"ACTIVE"}
        assert {one["sequence_number_range"] for one in shown["partitions"]} == {"[0 : 0]"}

    def test_ends_the_sequence_number_range_at_the_next_one(self, wire: Wire, name: str) -> None:
        wire.create(name)
        wire.put_data(name, b"a", b"b", b"c")
        assert ok(wire.describe(name))["partitions"][0]["sequence_number_range"] == "[0 : 3]"

    @pytest.mark.parametrize("parameter", ["start_partitionId", "start_partition_id"])
    @pytest.mark.parametrize("spelling", ["shardId-0000000001", "1"])
    def test_pages_after_a_partition(self, wire: Wire, name: str, parameter: str, spelling: str) -> None:
        wire.create(name, 5)
        page = ok(wire.describe(name, f"limit_partitions=2&{parameter}={spelling}"))
        numbers = [one["partition_id"] for one in page["partitions"]]
        assert numbers == ["shardId-0000000002", "shardId-0000000003"]
        assert page["has_more_partitions"] is True
        last = ok(wire.describe(name, f"limit_partitions=2&{parameter}={numbers[-1]}"))
        assert [one["partition_id"] for one in last["partitions"]] == ["shardId-0000000004"]
        assert last["has_more_partitions"] is False
        assert last["writable_partition_count"] == last["readable_partition_count"] == 5

    @pytest.mark.parametrize("query", ["limit_partitions=1001", "limit_partitions=-1", "limit_partitions=x"])
    def test_refuses_other_limits(self, wire: Wire, name: str, query: str) -> None:
        wire.create(name)
        refused(wire.describe(name, query), "DIS.4200", naming="limit_partitions")

    def test_refuses_a_start_that_is_no_partition_id(self, wire: Wire, name: str) -> None:
        wire.create(name)
        refused(wire.describe(name, "start_partitionId=shard-x"), "DIS.4201", "DIS.4200")

    def test_finds_a_stream_by_its_id(self, wire: Wire, name: str) -> None:
        """Table 5-17, and the id alone in the path or in the query (clients.md 1.2)."""
        wire.create(name)
        shown = ok(wire.describe(name))
        for path, query in (
            (f"/streams/{shown['stream_id']}", ""),
            (f"/streams/{shown['stream_id']}", f"stream_id={shown['stream_id']}"),
            ("/streams/", f"stream_id={shown['stream_id']}"),
            (f"/streams/{name}", f"stream_name={name}&stream_id=&limit_partitions=100&"),
        ):
            assert ok(wire.call("GET", path, query))["stream_name"] == name, path

    def test_names_a_missing_stream(self, wire: Wire, name: str) -> None:
        """404 here, for Terraform; the code and the brackets for everybody else (clients.md 5)."""
        message = refused(wire.describe(name), "DIS.4301", status=404)
        assert message == f"Stream does not exist. [{name}][{wire.project_id}]"


class TestDelete:
    """5.1.3."""

    def test_answers_204_and_the_stream_is_gone(self, wire: Wire, name: str) -> None:
        wire.create(name)
        done(wire.delete(name), 204)
        gone(wire, name)

    def test_takes_the_query_some_clients_add(self, wire: Wire, name: str) -> None:
        wire.create(name)
        done(wire.call("DELETE", f"/streams/{name}/", f"stream_name={name}&"), 204)
        gone(wire, name)

    def test_names_a_missing_stream(self, wire: Wire, name: str) -> None:
        message = refused(wire.delete(name), "DIS.4301", status=404)
        assert message == f"Stream does not exist. [{name}][{wire.project_id}]"

    def test_a_stream_of_the_same_name_starts_empty(self, wire: Wire, name: str) -> None:
        wire.create(name)
        wire.put_data(name, b"old")
        first = ok(wire.describe(name))["stream_id"]
        done(wire.delete(name), 204)
        gone(wire, name)
        done(wire.create(name), 201)
        assert ok(wire.describe(name))["stream_id"] != first
        assert wire.read_all(name) == []

    def test_frees_the_disk(self, relaxed: Server, relaxed_wire: Wire, name: str) -> None:
        relaxed_wire.create(name)
        before = disk_usage(relaxed.data)
        for _ in range(16):
            relaxed_wire.put_data(name, *[os.urandom(MIB)] * 2)
        full = disk_usage(relaxed.data)
        assert full - before >= 32 * MIB
        done(relaxed_wire.delete(name), 204)
        gone(relaxed_wire, name)
        deadline = time.monotonic() + 10
        while disk_usage(relaxed.data) > before + 4 * MIB:
            assert time.monotonic() < deadline, "a deleted stream still takes its space"
            time.sleep(0.05)

    def test_leaves_the_list(self, wire: Wire, name: str) -> None:
        wire.create(name)
        wire.delete(name)
        gone(wire, name)
        assert name not in ok(wire.call("GET", "/streams", "limit=100"))["stream_names"]


def disk_usage(directory: Path) -> int:
    """Bytes that the files under a directory take on the disk."""
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_blocks * 512
    return total


def gone(wire: Wire, name: str, seconds: float = 10.0) -> None:
    """Wait until a deleted stream is forgotten: until then it may show as TERMINATING, and nothing else."""
    deadline = time.monotonic() + seconds
    while (reply := wire.describe(name)).status_code == 200:
        assert reply.json()["status"] == "TERMINATING"
        assert time.monotonic() < deadline, "the stream is still there"
        time.sleep(0.02)
    refused(reply, "DIS.4301", status=404)
