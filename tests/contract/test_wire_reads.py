"""Cursors and reading over the wire (API reference 5.4.2 and 5.4.3): every cursor type, every refusal, forgery."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import StartServer
from tests.support.server import Server
from tests.support.wire import MIB, Json, Wire, b64, done, ok, refused

Make = Callable[..., str]
SHAPE = re.compile(r"[A-Za-z0-9_-]{1,512}")


def inside(cursor: str) -> Json:
    """A cursor as the Kafka adapter decodes it (clients.md 4)."""
    assert SHAPE.fullmatch(cursor), cursor
    outer = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    assert set(outer) == {"getIteratorParam", "generateTimestamp"}
    assert isinstance(outer["generateTimestamp"], int)
    inner = outer["getIteratorParam"]
    assert isinstance(inner, dict)
    return inner


@pytest.fixture
def stream(wire: Wire, make: Make) -> str:
    """A stream whose partition 0 holds a, b, c, d."""
    name = make(partitions=2)
    wire.put_data(name, b"a", b"b", partition_id="0")
    time.sleep(0.005)
    wire.put_data(name, b"c", b"d", partition_id="0")
    return name


def texts(wire: Wire, cursor: str) -> str:
    return b"".join(record.data for record in wire.read(cursor)[0]).decode()


class TestCursorTypes:
    """Table 5-76."""

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"cursor_type": "TRIM_HORIZON"}, "abcd"),
            ({"cursor_type": "LATEST"}, ""),
            ({"cursor_type": "AT_SEQUENCE_NUMBER", "starting_sequence_number": "2"}, "cd"),
            ({"cursor_type": "AT_SEQUENCE_NUMBER", "starting_sequence_number": "0"}, "abcd"),
            ({"cursor_type": "AT_SEQUENCE_NUMBER", "starting_sequence_number": "4"}, ""),
            ({"cursor_type": "AFTER_SEQUENCE_NUMBER", "starting_sequence_number": "0"}, "bcd"),
            ({"cursor_type": "AFTER_SEQUENCE_NUMBER", "starting_sequence_number": "3"}, ""),
            ({"starting_sequence_number": "1"}, "bcd"),
            ({"cursor_type": "", "starting_sequence_number": "1", "timestamp": "0"}, "bcd"),
            ({}, "abcd"),
            ({"cursor_type": "AT_SEQUENCE_NUMBER"}, "abcd"),
            ({"cursor_type": "AFTER_SEQUENCE_NUMBER"}, "abcd"),
            ({"cursor_type": "AT_TIMESTAMP"}, "abcd"),
            ({"cursor_type": "AT_TIMESTAMP", "timestamp": "0"}, "abcd"),
        ],
    )
    def test_where_reading_starts(self, wire: Wire, stream: str, query: Json, expected: str) -> None:
        for partition in ("0", "shardId-0000000000"):
            cursor = wire.cursor(stream, partition, **query)
            inside(cursor)
            assert texts(wire, cursor) == expected

    def test_latest_sees_what_comes_after(self, wire: Wire, stream: str) -> None:
        cursor = wire.cursor(stream, cursor_type="LATEST")
        wire.put_data(stream, b"e", partition_id="0")
        assert texts(wire, cursor) == "e"

    def test_at_timestamp_resolves_to_a_number_inside_the_cursor(self, wire: Wire, stream: str) -> None:
        """offsetsForTimes of the Kafka adapter reads it there."""
        stamps = [record.timestamp for record in wire.read_all(stream)]
        assert stamps[1] < stamps[2]
        for stamp, number in (
            (stamps[0], 0),
            (stamps[1] + 1, 2),
            (stamps[2], 2),
            (stamps[3] + 1, 4),
            (stamps[3] + 3_600_000, 4),
            (stamps[0] - 1000, 0),
        ):
            cursor = wire.cursor(stream, cursor_type="AT_TIMESTAMP", timestamp=stamp)
            assert inside(cursor)["starting-sequence-number"] == str(number), stamp
            assert texts(wire, cursor) == "abcd"[number:]

    def test_at_timestamp_before_retention_names_the_oldest(self, wire: Wire, stream: str) -> None:
        """In the form that the Kafka adapter parses and retries with (clients.md 5)."""
        reply = wire.cursor_reply(stream, cursor_type="AT_TIMESTAMP", timestamp=1_500_000_000_000)
        message = refused(reply, "DIS.4300")
        match = re.fullmatch(
            r"Request error\. \[timestamp is expired, timestamp should be larger than (\d{13})\]", message
        )
        assert match, message
        assert texts(wire, wire.cursor(stream, cursor_type="AT_TIMESTAMP", timestamp=match[1])) == "abcd"

    def test_carries_what_clients_read(self, wire: Wire, stream: str) -> None:
        inner = inside(wire.cursor(stream, cursor_type="AT_SEQUENCE_NUMBER", starting_sequence_number="3"))
        assert inner["stream-name"] == stream
        assert inner["partition-id"] in ("0", "shardId-0000000000")
        assert inner["starting-sequence-number"] == "3"

    def test_finds_a_stream_by_id(self, wire: Wire, stream: str) -> None:
        stream_id = ok(wire.describe(stream))["stream_id"]
        for name in ("", "no-such-stream"):
            reply = wire.cursor_reply(name, stream_id=stream_id, cursor_type="TRIM_HORIZON")
            assert texts(wire, ok(reply)["partition_cursor"]) == "abcd"

    def test_stays_short_for_the_longest_name(self, wire: Wire, make: Make) -> None:
        name = make("n" * 64)
        number = str((1 << 63) - 1)
        wire.cursor(name)
        refused(wire.cursor_reply(name, starting_sequence_number=number), "DIS.4224")


class TestCursorRefusals:
    @pytest.mark.parametrize("kind", ["latest", "EARLIEST", "x" * 1000, "AT_SEQUENCE_NUMBER,LATEST"])
    def test_unknown_type(self, wire: Wire, stream: str, kind: str) -> None:
        refused(wire.cursor_reply(stream, cursor_type=kind), "DIS.4215")

    @pytest.mark.parametrize("number", ["x", "-1", "1.0", "0x1", str(1 << 63), "9" * 5000, "١", "1 "])
    def test_no_sequence_number(self, wire: Wire, stream: str, number: str) -> None:
        refused(wire.cursor_reply(stream, starting_sequence_number=number), "DIS.4216")

    @pytest.mark.parametrize("kind", ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", ""])
    def test_sequence_number_out_of_range(self, wire: Wire, stream: str, kind: str) -> None:
        """The Kafka adapter takes its new position from the three numbers (clients.md 5)."""
        message = refused(
            wire.cursor_reply(stream, cursor_type=kind, starting_sequence_number="5280"), "DIS.4224"
        )
        assert message == "Sequence_number out of range. [5280][ should be within ][0][ ][4]"

    @pytest.mark.parametrize("timestamp", ["x", "-1", "1.5", "9" * 40])
    def test_no_timestamp(self, wire: Wire, stream: str, timestamp: str) -> None:
        reply = wire.cursor_reply(stream, cursor_type="AT_TIMESTAMP", timestamp=timestamp)
        refused(reply, "DIS.4200", naming="timestamp")

    @pytest.mark.parametrize("partition", ["2", "shardId-0000000002", "999999999"])
    def test_unknown_partition(self, wire: Wire, stream: str, partition: str) -> None:
        refused(wire.cursor_reply(stream, partition, cursor_type="LATEST"), "DIS.4302")

    @pytest.mark.parametrize("partition", ["x", "-1", "shard-0", "shardId-", "0 ", "9" * 30])
    def test_no_partition_id(self, wire: Wire, stream: str, partition: str) -> None:
        refused(wire.cursor_reply(stream, partition, cursor_type="LATEST"), "DIS.4201", "DIS.4302")

    def test_missing_partition_id(self, wire: Wire, stream: str) -> None:
        refused(
            wire.call("GET", "/cursors", f"stream-name={stream}"), "DIS.4200", "DIS.4201", naming="partition"
        )

    def test_missing_stream(self, wire: Wire, name: str) -> None:
        message = refused(wire.cursor_reply(name, cursor_type="LATEST"), "DIS.4301")
        assert message == f"Stream does not exist. [{name}][{wire.project_id}]"

    def test_no_stream_at_all(self, wire: Wire) -> None:
        refused(wire.call("GET", "/cursors", "partition-id=0"), "DIS.4200", naming="stream")


class TestRecords:
    """Tables 5-71, 5-73 and 5-74."""

    def test_what_a_record_looks_like(self, wire: Wire, make: Make) -> None:
        stream = make()
        before = int(time.time() * 1000)
        wire.put_data(stream, b"data", partition_key="k")
        page = ok(wire.get(wire.cursor(stream)))
        assert set(page) == {"records", "next_partition_cursor"}
        (record,) = page["records"]
        stamp = record.pop("timestamp")
        assert before - 2000 <= stamp <= time.time() * 1000 + 2000
        assert record == {
            "partition_key": "k", "sequence_number": "0", "data": "ZGF0YQ==", "timestamp_type": "CreateTime",
        }  # fmt: skip

    def test_an_empty_page_has_a_fresh_cursor(self, wire: Wire, stream: str) -> None:
        cursor = wire.cursor(stream, cursor_type="LATEST")
        for _ in range(3):
            time.sleep(0.002)
            page = ok(wire.get(cursor))
            assert page["records"] == []
            assert page["next_partition_cursor"] != cursor
            cursor = page["next_partition_cursor"]
            inside(cursor)
        wire.put_data(stream, b"e", partition_id="0")
        assert texts(wire, cursor) == "e"

    def test_a_cursor_may_be_used_again(self, wire: Wire, stream: str) -> None:
        cursor = wire.cursor(stream)
        assert texts(wire, cursor) == texts(wire, cursor) == "abcd"

    def test_limit_and_app_name(self, wire: Wire, stream: str) -> None:
        """Not in the reference; the old Python SDK and the Kafka adapter send them (clients.md 1.3)."""
        cursor = wire.cursor(stream)
        seen = []
        for expected in ("abc", "d", ""):
            records, cursor = wire.read(cursor, "limit=3&app_name=some-app")
            assert b"".join(record.data for record in records).decode() == expected
            seen += [record.sequence for record in records]
        assert seen == [0, 1, 2, 3]
        first = wire.cursor(stream)
        for query in (
            "limit=1000",
            "limit=10000",
            "limit=0",
            "limit=",
            "app_name=",
            "app_name",
            "max_fetch_bytes=",
        ):
            assert len(wire.read(first, query)[0]) == 4, query
        for query in ("limit=10001", "limit=-1", "limit=x"):
            refused(wire.get(first, query), "DIS.4200", naming="limit")
        for query in ("max_fetch_bytes=-1", "max_fetch_bytes=x"):
            refused(wire.get(first, query), "DIS.4200", naming="max_fetch_bytes")

    def test_max_fetch_bytes_smaller_than_a_record_gets_none(self, wire: Wire, make: Make) -> None:
        """Table 5-71: "If the value is less than the size of a single record in the partition, the record cannot be
        obtained"."""
        stream = make()
        wire.put_data(stream, b"x" * 100, b"y" * 100, b"z" * 100)
        cursor = wire.cursor(stream)
        records, again = wire.read(cursor, "max_fetch_bytes=50")
        assert records == []
        assert len(wire.read(again)[0]) == 3
        assert len(wire.read(cursor, "max_fetch_bytes=10000")[0]) == 3
        sizes = []
        while page := wire.read(cursor, "max_fetch_bytes=250"):
            if not page[0]:
                break
            sizes.append(len(page[0]))
            cursor = page[1]
        assert sum(sizes) == 3
        assert max(sizes) <= 2

    def test_follows_cursors_through_large_records(self, wire: Wire, make: Make) -> None:
        stream = make(stream_type="ADVANCED")
        for letter in b"abc":
            wire.put_data(stream, bytes([letter]) * MIB)
        records = wire.read_all(stream)
        assert [(record.sequence, record.data[:1], len(record.data)) for record in records] == [
            (0, b"a", MIB), (1, b"b", MIB), (2, b"c", MIB),
        ]  # fmt: skip

    def test_reads_from_the_middle_of_a_request(self, wire: Wire, make: Make) -> None:
        stream = make()
        wire.put_data(stream, *(str(number).encode() for number in range(500)))
        for start in (0, 1, 250, 499, 500):
            cursor = wire.cursor(stream, starting_sequence_number=start)
            numbers = [int(record.data) for record in wire.read(cursor)[0]]
            assert numbers == list(range(start, 500))


class TestExpiry:
    def test_a_cursor_lives_as_long_as_it_is_told(self, start_server: StartServer, tmp_path: Path) -> None:
        """5.4.2: 5 minutes; here one second. Every page brings a fresh one."""
        config = tmp_path / "penstock.toml"
        config.write_text("[limits]\ncursor_seconds = 1\n")
        with Wire.to(start_server("--config", str(config))) as client:
            done(client.create("s"), 201)
            client.put_data("s", b"a", b"b")
            cursor = first = client.cursor("s")
            seen = []
            for _ in range(6):
                time.sleep(0.3)
                page, cursor = client.read(cursor, "limit=1")
                seen += [record.data for record in page]
            assert seen == [b"a", b"b"]
            refused(client.get(first), "DIS.4225")
            assert len(client.read_all("s")) == 2

    def test_cursors_outlive_a_restart(self, start_server: StartServer) -> None:
        """No session is kept on the server: a cursor is all there is."""
        server = start_server()
        with Wire.to(server) as client:
            done(client.create("s"), 201)
            client.put_data("s", b"a")
            cursor = client.cursor("s")
        server.restart(kill=True)
        with Wire.to(server) as client:
            assert texts(client, cursor) == "a"


class TestForgery:
    """Design: bound to project, stream id and partition; whatever was not handed out is refused."""

    @pytest.mark.parametrize(
        "cursor", ["", "x", "A" * 512, "A" * 513, "A" * 60_000, "!!!", "e30", "W10", "é"]
    )
    def test_refuses_what_is_no_cursor(self, wire: Wire, cursor: str) -> None:
        refused(wire.get(cursor), "DIS.4217", *(("DIS.4200",) if not cursor else ()))

    def test_refuses_a_missing_cursor(self, wire: Wire) -> None:
        refused(wire.call("GET", "/records"), "DIS.4217", "DIS.4200", naming="cursor")

    def test_refuses_each_flipped_bit(self, wire: Wire, stream: str) -> None:
        cursor = wire.cursor(stream, starting_sequence_number="1")
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        for position in range(len(raw) * 8):
            changed = bytearray(raw)
            changed[position // 8] ^= 1 << position % 8
            text = base64.urlsafe_b64encode(changed).decode().rstrip("=")
            refused(wire.get(text), "DIS.4217", "DIS.4225")

    def test_refuses_each_changed_character(self, wire: Wire, stream: str) -> None:
        """Also the last one, whose low bits Base64 decoders ignore, and padding."""
        cursor = wire.cursor(stream)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        for position, letter in enumerate(cursor):
            other = alphabet[(alphabet.index(letter) + 1) % 64]
            refused(wire.get(cursor[:position] + other + cursor[position + 1 :]), "DIS.4217", "DIS.4225")
        for text in (cursor[:-1], cursor[1:], cursor + "A", cursor * 2):
            refused(wire.get(text), "DIS.4217", "DIS.4225")

    def test_refuses_spliced_fields(self, wire: Wire, stream: str) -> None:
        cursor = wire.cursor(stream, starting_sequence_number="1")
        outer = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        for changes in (
            {"starting-sequence-number": "0"},
            {"partition-id": "shardId-0000000001"},
            {"partition-id": "1"},
            {"stream-name": "another"},
            {"stream-id": "A" * 20},
            {"starting-sequence-number": None},
            {"starting-sequence-number": 1},
            {"starting-sequence-number": ["1"]},
        ):
            inner = outer["getIteratorParam"] | changes
            forged = json.dumps({**outer, "getIteratorParam": inner}, separators=(",", ":")).encode()
            refused(wire.get(base64.urlsafe_b64encode(forged).decode().rstrip("=")), "DIS.4217", "DIS.4225")
        later = {**outer, "generateTimestamp": outer["generateTimestamp"] + 60_000}
        others: list[object] = [later, {**outer, "x": 1}, {}, [], 1, None]
        for forged_outer in others:
            forged = json.dumps(forged_outer, separators=(",", ":")).encode()
            refused(wire.get(base64.urlsafe_b64encode(forged).decode().rstrip("=")), "DIS.4217", "DIS.4225")

    def test_refuses_the_cursor_of_a_stream_deleted_and_made_again(self, wire: Wire, name: str) -> None:
        wire.create(name)
        wire.put_data(name, b"old")
        cursor = wire.cursor(name)
        wire.delete(name)
        deadline = time.monotonic() + 10
        while wire.create(name).status_code != 201:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        wire.put_data(name, b"new")
        refused(wire.get(cursor), "DIS.4217", "DIS.4301")

    def test_refuses_the_cursor_of_another_server(
        self, wire: Wire, stream: str, relaxed: Server, relaxed_wire: Wire, name: str
    ) -> None:
        relaxed_wire.create(name)
        refused(wire.get(relaxed_wire.cursor(name)), "DIS.4217")
        refused(relaxed_wire.get(wire.cursor(stream)), "DIS.4217")

    def test_put_and_cursor_agree_after_base64(self, wire: Wire, stream: str) -> None:
        """The cursor goes into a query without encoding (the Java SDK does not encode): it must need none."""
        cursor = wire.cursor(stream)
        reply = wire.call("GET", "/records/", f"partition-cursor={cursor}&")
        assert [record["data"] for record in ok(reply)["records"]] == [
            b64(one) for one in (b"a", b"b", b"c", b"d")
        ]
