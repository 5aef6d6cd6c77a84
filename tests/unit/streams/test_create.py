"""Creating streams: every field, default, limit and error of 5.1.1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.memory_log import MemoryLog
from tests.support.streams import PROJECT, call, document, make_context

from penstock.errors import ApiError
from penstock.limits import PROFILES
from penstock.log.base import DiskFull, PartitionRef
from penstock.model.streams import Stream
from penstock.service.context import Context

UUID = "0c4b1d2e-9b7a-4f11-8a53-d4d7a1e2b3c4"
SCHEMA = '{"type":"record","name":"R","fields":[{"name":"key1","type":"string"}]}'


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    made = await make_context(tmp_path)
    yield made
    await made.catalog.close()


def body(**changes: Any) -> dict[str, Any]:
    """The smallest create, changed; None takes a field away."""
    whole = {"stream_name": "s1", "partition_count": 1} | changes
    return {name: value for name, value in whole.items() if value is not None}


async def created(context: Context, **changes: Any) -> Stream:
    reply = await call(context, "POST", "/streams", body(**changes))
    assert (reply.status, reply.body) == (201, None)
    stream = context.directory.get(PROJECT, changes.get("stream_name", "s1"))
    assert stream is not None
    assert await context.catalog.stream_by_id(stream.stream_id) == stream
    return stream


async def refused(context: Context, request: object) -> ApiError:
    before = len(context.directory)
    with pytest.raises(ApiError) as error:
        await call(context, "POST", "/streams", request)
    assert len(context.directory) == len(await context.catalog.streams_in()) == before
    assert len({ref.stream_id for ref in context.log.partitions()}) == before, "partitions left in the log"
    assert error.value.status == 400
    return error.value


async def test_defaults_of_table_5_3(context: Context) -> None:
    stream = await created(context)
    assert len(stream.stream_id) == 20
    assert stream.stream_id.isalnum()
    assert (stream.stream_type, stream.data_type, stream.retention_hours) == ("COMMON", "BLOB", 24)
    assert (stream.auto_scale_enabled, stream.auto_scale_min, stream.auto_scale_max) == (False, 0, 0)
    assert (stream.data_schema, stream.csv_delimiter, stream.compression_format) == (None, None, None)
    assert (stream.tags, stream.sys_tags) == ((), ())
    assert stream.created_ms == stream.modified_ms == context.clock.now_ms()
    assert context.log.bounds(PartitionRef(stream.stream_id, 0)) == (0, 0)


async def test_everything_at_once(context: Context) -> None:
    """The captured body of the official Python SDK, schema added."""
    stream = await created(
        context,
        stream_type="ADVANCED",
        data_type="CSV",
        data_duration=168,
        auto_scale_enabled=True,
        auto_scale_min_partition_count=1,
        auto_scale_max_partition_count=2,
        csv_properties={"delimiter": ","},
        compression_format="snappy",
        data_schema=SCHEMA,
        tags=[{"key": "k", "value": "v"}],
        sys_tags=[{"key": "_sys_enterprise_project_id", "value": "0"}],
    )
    reply = document(await call(context, "GET", "/streams/s1"))
    assert stream.retention_hours == 168
    assert reply["data_schema"] == SCHEMA
    assert reply["csv_properties"] == {"delimiter": ","}
    assert reply["compression_format"] == "snappy"
    assert reply["tags"] == [{"key": "k", "value": "v"}]
    assert reply["sys_tags"] == [{"key": "_sys_enterprise_project_id", "value": "0"}]
    assert (reply["auto_scale_min_partition_count"], reply["auto_scale_max_partition_count"]) == (1, 2)


ABSENT_FIELDS = [
    "stream_type",
    "data_type",
    "data_duration",
    "auto_scale_enabled",
    "auto_scale_min_partition_count",
    "auto_scale_max_partition_count",
    "data_schema",
    "csv_properties",
    "compression_format",
    "tags",
    "sys_tags",
]


@pytest.mark.parametrize("field", ABSENT_FIELDS)
@pytest.mark.parametrize("empty", ["", None], ids=["empty", "null"])
async def test_empty_and_null_are_absent(context: Context, field: str, empty: str | None) -> None:
    """clients.md section 0, rule 8: the Go client sends all of them."""
    await call(context, "POST", "/streams", {"stream_name": "s1", "partition_count": 1, field: empty})
    stream = context.directory.get(PROJECT, "s1")
    assert stream is not None
    defaults = await created(context, stream_name="s2")
    for name in ("stream_type", "data_type", "retention_hours", "auto_scale_enabled", "data_schema", "tags"):
        assert getattr(stream, name) == getattr(defaults, name)


@pytest.mark.parametrize(
    "changes",
    [
        {"private": False, "is_private": False},  # java
        {
            "data_schema": "",
            "tags": [],
            "stream_type": "COMMON",
            "data_type": "BLOB",
            "data_duration": 24,
        },  # go
        {"csv_properties": {}, "processing_schema": {}},  # gophertelekomcloud
        {"csv_properties": {"delimiter": ""}},
        {"csv_properties": {"delimiter": "\t"}},
        {
            "auto_scale_enabled": False,
            "auto_scale_min_partition_count": 0,
            "auto_scale_max_partition_count": 0,
        },
        {
            "auto_scale_enabled": False,
            "auto_scale_min_partition_count": 9,
            "auto_scale_max_partition_count": 3,
        },
        {"auto_scale_enabled": True},
        {
            "auto_scale_enabled": True,
            "auto_scale_min_partition_count": 2,
            "auto_scale_max_partition_count": 2,
        },
        {"stream_name": "a"},
        {"stream_name": "Az09_-" + "x" * 58},
        {"partition_count": 50},
        {"partition_count": 10, "stream_type": "ADVANCED"},
        {"data_duration": 24},
        {"data_duration": 72},
        {"data_duration": 168},
        {"data_type": "JSON"},
        {"compression_format": "gzip"},
        {"compression_format": "zip"},
        {"data_schema": {"type": "record", "name": "R", "fields": []}},
        {"data_schema": ["null", "string"]},
        {"tags": [{"key": f"k{n}", "value": ""} for n in range(10)]},
        {"tags": [{"key": "k"}, {"key": "K", "value": None}]},
        {"tags": [{"key": "x" * 36, "value": "y" * 43}]},
        {"tags": [{"key": "键-_", "value": "值.-_"}, {"key": "with space:+@é", "value": "a b"}]},
        {"sys_tags": [{"key": "_sys_enterprise_project_id", "value": UUID}]},
        {"sys_tags": [{"key": "_sys_enterprise_project_id", "value": UUID.upper()}]},
    ],
    ids=str,
)
async def test_accepted(context: Context, changes: dict[str, Any]) -> None:
    stream = await created(context, **changes)
    if not changes.get("auto_scale_enabled"):
        reply = document(await call(context, "GET", f"/streams/{stream.name}"))
        assert reply["auto_scale_min_partition_count"] == reply["auto_scale_max_partition_count"] == 0


@pytest.mark.parametrize(
    ("changes", "code", "names"),
    [
        # Table 5-3 stream_name: 1 to 64 of letters, digits, _ and -
        ({"stream_name": None}, "DIS.4200", "stream_name"),
        ({"stream_name": ""}, "DIS.4200", "stream_name"),
        ({"stream_name": "x" * 65}, "DIS.4200", "stream_name"),
        ({"stream_name": "a.b"}, "DIS.4200", "stream_name"),
        ({"stream_name": "a b"}, "DIS.4200", "stream_name"),
        ({"stream_name": "a\n"}, "DIS.4200", "stream_name"),
        ({"stream_name": "a/b"}, "DIS.4200", "stream_name"),
        ({"stream_name": "流"}, "DIS.4200", "stream_name"),
        ({"stream_name": "é"}, "DIS.4200", "stream_name"),
        ({"stream_name": "\u0661"}, "DIS.4200", "stream_name"),
        ({"stream_name": 5}, "DIS.4300", "stream_name"),
        ({"stream_name": ["a"]}, "DIS.4300", "stream_name"),
        # partition_count: an integer, at least 1
        ({"partition_count": None}, "DIS.4200", "partition_count"),
        ({"partition_count": 0}, "DIS.4200", "partition_count"),
        ({"partition_count": -1}, "DIS.4200", "partition_count"),
        ({"partition_count": 1001}, "DIS.4200", "partition_count"),
        ({"partition_count": 10**30}, "DIS.4200", "partition_count"),
        ({"partition_count": "1"}, "DIS.4300", "partition_count"),
        ({"partition_count": 1.0}, "DIS.4300", "partition_count"),
        ({"partition_count": True}, "DIS.4300", "partition_count"),
        ({"partition_count": ""}, "DIS.4300", "partition_count"),
        # Quotas of 5.1.1: 50 COMMON and 10 ADVANCED partitions
        ({"partition_count": 51}, "DIS.4308", "COMMON"),
        ({"partition_count": 11, "stream_type": "ADVANCED"}, "DIS.4308", "ADVANCED"),
        # Enumerations, letter case counts
        ({"stream_type": "common"}, "DIS.4200", "stream_type"),
        ({"stream_type": "SPECIAL"}, "DIS.4200", "stream_type"),
        ({"stream_type": 1}, "DIS.4300", "stream_type"),
        ({"data_type": "BLOG"}, "DIS.4200", "data_type"),
        ({"data_type": "json"}, "DIS.4200", "data_type"),
        ({"data_type": "FILE"}, "DIS.4200", "data_type"),
        ({"compression_format": "GZIP"}, "DIS.4200", "compression_format"),
        ({"compression_format": "lz4"}, "DIS.4200", "compression_format"),
        # data_duration: 24 to 168
        ({"data_duration": 23}, "DIS.4200", "data_duration"),
        ({"data_duration": 169}, "DIS.4200", "data_duration"),
        ({"data_duration": 0}, "DIS.4200", "data_duration"),
        ({"data_duration": -24}, "DIS.4200", "data_duration"),
        ({"data_duration": "24"}, "DIS.4300", "data_duration"),
        ({"data_duration": 24.5}, "DIS.4300", "data_duration"),
        # Automatic scaling: minimum 1, maximum at least the minimum and within the quota
        ({"auto_scale_enabled": 1}, "DIS.4300", "auto_scale_enabled"),
        ({"auto_scale_enabled": "true"}, "DIS.4300", "auto_scale_enabled"),
        (
            {"auto_scale_enabled": True, "auto_scale_min_partition_count": 0},
            "DIS.4200",
            "auto_scale_min_partition_count",
        ),
        (
            {
                "auto_scale_enabled": True,
                "auto_scale_min_partition_count": 3,
                "auto_scale_max_partition_count": 2,
            },
            "DIS.4200",
            "auto_scale_max_partition_count",
        ),
        (
            {"auto_scale_enabled": True, "auto_scale_max_partition_count": 51},
            "DIS.4200",
            "auto_scale_max_partition_count",
        ),
        (
            {"auto_scale_enabled": True, "auto_scale_max_partition_count": 11, "stream_type": "ADVANCED"},
            "DIS.4200",
            "auto_scale_max_partition_count",
        ),
        ({"auto_scale_min_partition_count": "1"}, "DIS.4300", "auto_scale_min_partition_count"),
        # Schema and CSV
        ({"data_schema": "not avro"}, "DIS.4360", "data_schema"),
        ({"data_schema": {"type": "record"}}, "DIS.4360", "data_schema"),
        ({"data_schema": '"string"' + " " * (1 << 16)}, "DIS.4360", "data_schema"),
        ({"data_schema": 5}, "DIS.4300", "data_schema"),
        ({"csv_properties": {"delimiter": "x" * 11}}, "DIS.4200", "csv_properties.delimiter"),
        ({"csv_properties": {"delimiter": 5}}, "DIS.4300", "csv_properties.delimiter"),
        ({"csv_properties": ","}, "DIS.4300", "csv_properties"),
        # Table 5-5: at most 10 tags; key 1 to 36 characters, unique; value 0 to 43
        ({"tags": [{"key": f"k{n}"} for n in range(11)]}, "DIS.4601", "10"),
        ({"tags": [{"value": "v"}]}, "DIS.4200", "tags[0].key"),
        ({"tags": [{"key": None}]}, "DIS.4200", "tags[0].key"),
        ({"tags": [{"key": ""}]}, "DIS.4200", "tags[0].key"),
        ({"tags": [{"key": "x" * 37}]}, "DIS.4200", "tags[0].key"),
        ({"tags": [{"key": "k", "value": "x" * 44}]}, "DIS.4200", "tags[0].value"),
        ({"tags": [{"key": "a"}, {"key": "b"}, {"key": "a"}]}, "DIS.4200", "tags[2].key"),
        ({"tags": [{"key": " k"}]}, "DIS.4200", "tags[0].key"),
        ({"tags": [{"key": "k "}]}, "DIS.4200", "tags[0].key"),
        ({"tags": [{"key": "k", "value": "v "}]}, "DIS.4200", "tags[0].value"),
        ({"tags": [{"key": "k\x00"}]}, "DIS.4200", "tags[0].key"),
        ({"tags": [{"key": 1}]}, "DIS.4300", "tags[0].key"),
        ({"tags": [{"key": "k", "value": 1}]}, "DIS.4300", "tags[0].value"),
        ({"tags": {"key": "k"}}, "DIS.4300", "tags"),
        ({"tags": ["k"]}, "DIS.4300", "tags[0]"),
        *(({"tags": [{"key": f"a{c}b"}]}, "DIS.4200", "tags[0].key") for c in "=*<>\\,|/"),
        *(({"tags": [{"key": "k", "value": f"a{c}b"}]}, "DIS.4200", "tags[0].value") for c in "=*<>\\,|/"),
        # Table 5-6: the enterprise project
        ({"sys_tags": [{"key": "other", "value": "0"}]}, "DIS.4200", "sys_tags[0].key"),
        (
            {"sys_tags": [{"key": "_sys_enterprise_project_id", "value": "1"}]},
            "DIS.4200",
            "sys_tags[0].value",
        ),
        ({"sys_tags": [{"key": "_sys_enterprise_project_id"}]}, "DIS.4200", "sys_tags[0].value"),
        (
            {"sys_tags": [{"key": "_sys_enterprise_project_id", "value": "0"}] * 2},
            "DIS.4200",
            "sys_tags[1].key",
        ),
    ],
    ids=str,
)
async def test_refused(context: Context, changes: dict[str, Any], code: str, names: str) -> None:
    error = await refused(context, body(**changes))
    assert error.code == code, error.message
    assert names in error.message
    assert error.message.count("DIS.") == 0, "clients look for codes anywhere"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "DIS.4202"),
        (b" \r\n", "DIS.4202"),
        (b"{}", "DIS.4200"),
        (b"null", "DIS.4300"),
        (b"[]", "DIS.4300"),
        (b'"x"', "DIS.4300"),
        (b"{", "DIS.4300"),
        (b'{"stream_name":"s1","partition_count":1} x', "DIS.4300"),
        (b'{"stream_name":"\xff","partition_count":1}', "DIS.4300"),
        (b'{"stream_name":"\\ud800","partition_count":1}', "DIS.4300"),
        (b'{"stream_name":"s1","partition_count":' + b"9" * 5000 + b"}", "DIS.4300"),
        (b'{"stream_name":"s1","partition_count":1e400}', "DIS.4300"),
        (b'{"stream_name":"s1","partition_count":1,"x":' + b"[" * 100_000, "DIS.4300"),
        (
            b'{"stream_name":"s1","partition_count":1,"data_schema":'
            + b"[" * 100_000
            + b"]" * 100_000
            + b"}",
            "DIS.4300",
        ),
        (
            b'{"stream_name":"s1","partition_count":1,"data_schema":' + b"[" * 200 + b"]" * 200 + b"}",
            "DIS.4360",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bodies_that_are_none(context: Context, raw: bytes, code: str) -> None:
    assert (await refused(context, raw)).code == code


class TestQuotas:
    async def test_a_name_is_taken(self, context: Context) -> None:
        stream = await created(context)
        assert (await refused(context, body(partition_count=50))).code == "DIS.4307"
        assert context.directory.get(PROJECT, "s1") is stream

    async def test_names_of_other_projects_are_free(self, context: Context) -> None:
        await created(context)
        assert (await call(context, "POST", "/streams", body(), project="other")).status == 201

    async def test_partitions_add_up_per_type(self, context: Context) -> None:
        await created(context, partition_count=30)
        assert (await refused(context, body(stream_name="s2", partition_count=21))).code == "DIS.4308"
        await created(context, stream_name="s2", partition_count=20)
        await created(context, stream_name="s3", partition_count=10, stream_type="ADVANCED")
        assert (await refused(context, body(stream_name="s4"))).code == "DIS.4308"

    async def test_a_deleted_stream_gives_its_quota_back(self, context: Context) -> None:
        await created(context, partition_count=50)
        await call(context, "DELETE", "/streams/s1")
        await created(context, partition_count=50)

    async def test_streams_per_project(self, tmp_path: Path) -> None:
        limits = msgspec.structs.replace(PROFILES["documented"], streams_per_project=2)
        context = await make_context(tmp_path, limits=limits)
        await created(context, stream_name="a")
        await created(context, stream_name="b")
        error = await refused(context, body(stream_name="c"))
        assert error.code == "DIS.4308"
        assert "2 of 2 streams" in error.message
        await context.catalog.close()

    async def test_relaxed_lifts_quotas_but_not_the_size_of_a_stream(self, tmp_path: Path) -> None:
        context = await make_context(tmp_path, limits=PROFILES["relaxed"])
        await created(context, partition_count=1000, auto_scale_enabled=True)
        await created(context, stream_name="s2", partition_count=500)
        assert (await refused(context, body(stream_name="s3", partition_count=1001))).code == "DIS.4200"
        await context.catalog.close()


async def test_a_log_that_cannot_leaves_nothing(context: Context) -> None:
    assert isinstance(context.log, MemoryLog)
    context.log.fail_create = DiskFull("no space")
    with pytest.raises(DiskFull):
        await call(context, "POST", "/streams", body())
    context.log.fail_create = None
    await created(context)
