"""Putting records over the wire (API reference 5.4.1): routing, faults of one record, faults of the request, sizes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.support import codecs
from tests.support.wire import HASH_MAX, MIB, Json, Wire, b64, ok, refused, refused_entry


@pytest.fixture(scope="module", params=codecs.EACH)
def server_codec(request: pytest.FixtureRequest) -> dict[str, str]:
    return codecs.environment(request.param)


Make = Callable[..., str]


class TestReply:
    """Tables 5-68 and 5-69, clients.md 1.3."""

    def test_gives_place_and_number_and_nothing_else(self, wire: Wire, make: Make) -> None:
        stream = make()
        reply = ok(wire.put(stream, [{"data": b64(b"a"), "partition_key": "k"}, {"data": b64(b"b")}]))
        assert reply == {
            "failed_record_count": 0,
            "records": [
                {"partition_id": "shardId-0000000000", "sequence_number": "0"},
                {"partition_id": "shardId-0000000000", "sequence_number": "1"},
            ],
        }

    def test_keeps_what_was_put(self, wire: Wire, make: Make) -> None:
        stream = make()
        data = [bytes(range(256)), b"\0", b"x" * 1000, "流".encode()]
        wire.put_data(stream, *data, partition_key="ключ \"'\\/\u0001")
        records = wire.read_all(stream)
        assert [record.data for record in records] == data
        assert {record.key for record in records} == {"ключ \"'\\/\u0001"}
        assert [record.sequence for record in records] == [0, 1, 2, 3]

    def test_returns_no_key_where_none_was_given(self, wire: Wire, make: Make) -> None:
        """Table 5-74: partition_id instead of partition_key returns no key."""
        stream = make()
        wire.put_data(stream, b"a", partition_id="0")
        page = ok(wire.get(wire.cursor(stream, cursor_type="TRIM_HORIZON")))
        assert page["records"][0].get("partition_key") is None

    def test_takes_nulls_and_empty_strings_as_absent(self, wire: Wire, make: Make) -> None:
        """The Go SDK sends every field, empty (clients.md 1.3)."""
        stream = make()
        empty = {"partition_id": "", "explicit_hash_key": "", "partition_key": "", "timestamp": None}
        body = {"stream_name": stream, "stream_id": "", "records": [{"data": b64(b"a"), **empty}]}
        assert ok(wire.call("POST", "/records/", body=body))["failed_record_count"] == 0
        nulls: Json = {"stream_name": stream, "stream_id": None}
        nulls["records"] = [{"data": b64(b"b"), **dict.fromkeys(empty)}]
        assert ok(wire.call("POST", "/records", body=nulls))["failed_record_count"] == 0

    def test_ignores_unknown_fields_and_takes_a_timestamp(self, wire: Wire, make: Make) -> None:
        stream = make()
        record = {"data": b64(b"a"), "timestamp": 1_600_000_000_000, "extended_info": {"x": [1]}, "other": 5}
        body = {"records": [record], "stream_name": stream, "other": None}
        assert ok(wire.call("POST", "/records", body=body))["failed_record_count"] == 0

    def test_finds_a_stream_by_id(self, wire: Wire, make: Make) -> None:
        """Table 5-66: stream_id is used when stream_name finds nothing."""
        stream = make()
        stream_id = ok(wire.describe(stream))["stream_id"]
        records = [{"data": b64(b"a")}]
        for body in (
            {"stream_id": stream_id, "records": records},
            {"stream_name": "", "stream_id": stream_id, "records": records},
            {"stream_name": "no-such-stream", "stream_id": stream_id, "records": records},
            {"stream_name": stream, "stream_id": "NoSuchStreamIdentifier"[:20], "records": records},
        ):
            assert ok(wire.call("POST", "/records", body=body))["failed_record_count"] == 0
        assert len(wire.read_all(stream)) == 4


class TestRouting:
    """partition_id, then explicit_hash_key, then partition_key, then round robin (table 5-67, clients.md 4)."""

    @pytest.mark.parametrize(
        ("partitions", "key", "expected"),
        [(n, key, want) for n, wants in ((2, (1, 1, 0, 0, 1)), (3, (1, 1, 0, 1, 2)))
         for key, want in zip(("0", "1", "a", "key", "hello"), wants, strict=True)],
    )  # fmt: skip
    def test_hashes_keys_as_the_java_producer_does(
        self, wire: Wire, make: Make, partitions: int, key: str, expected: int
    ) -> None:
        (entry,) = wire.put_data(make(partitions=partitions), b"a", partition_key=key)
        assert entry["partition_id"] == f"shardId-{expected:010}"

    @pytest.mark.parametrize("partitions", [1, 2, 3, 7])
    def test_explicit_hash_keys_reach_both_ends(self, wire: Wire, make: Make, partitions: int) -> None:
        stream = make(partitions=partitions)
        step = HASH_MAX // partitions
        for key, expected in (
            (0, 0),
            (step, 0),
            (min(step + 1, HASH_MAX), min(1, partitions - 1)),
            (HASH_MAX - 1, partitions - 1),
            (HASH_MAX, partitions - 1),
        ):
            (entry,) = wire.put_data(stream, b"a", explicit_hash_key=str(key), partition_key="a")
            assert entry["partition_id"] == f"shardId-{expected:010}", key

    @pytest.mark.parametrize("spelling", ["2", "shardId-0000000002", "shardId-2", "shardId-02"])
    def test_partition_id_comes_first_in_every_spelling(self, wire: Wire, make: Make, spelling: str) -> None:
        stream = make(partitions=3)
        (entry,) = wire.put_data(
            stream, b"a", partition_id=spelling, explicit_hash_key="0", partition_key="a"
        )
        assert entry["partition_id"] == "shardId-0000000002"

    def test_spreads_records_without_any(self, wire: Wire, make: Make) -> None:
        stream = make(partitions=4)
        used = [entry["partition_id"] for _ in range(8) for entry in wire.put_data(stream, b"a", b"b")]
        counts = [used.count(f"shardId-{number:010}") for number in range(4)]
        assert counts == [4, 4, 4, 4]

    def test_keeps_the_order_of_a_request_in_each_partition(self, wire: Wire, make: Make) -> None:
        stream = make(partitions=3)
        records = [{"data": b64(str(i).encode()), "partition_id": str(i * 7 % 3)} for i in range(60)]
        reply = ok(wire.put(stream, records))
        for number in range(3):
            read = wire.read_all(stream, str(number))
            mine = [i for i in range(60) if i * 7 % 3 == number]
            assert [int(record.data) for record in read] == mine
            assert [int(reply["records"][i]["sequence_number"]) for i in mine] == list(range(20))


class TestRecordFaults:
    """Faults that belong to one record: inside a 200, the others are stored."""

    @pytest.mark.parametrize(
        ("field", "value", "code"),
        [
            ("partition_id", "3", "DIS.4302"),
            ("partition_id", "shardId-0000000003", "DIS.4302"),
            ("partition_id", "shardId-99999999999999999999", "DIS.4201"),
            ("partition_id", "x", "DIS.4201"),
            ("partition_id", "-1", "DIS.4201"),
            ("partition_id", "shard-0", "DIS.4201"),
            ("explicit_hash_key", "-1", "DIS.4200"),
            ("explicit_hash_key", str(HASH_MAX + 1), "DIS.4200"),
            ("explicit_hash_key", "x", "DIS.4200"),
            ("explicit_hash_key", "1.0", "DIS.4200"),
            ("explicit_hash_key", "9" * 400, "DIS.4200"),
        ],
    )
    def test_refuses_one_and_stores_the_rest(
        self, wire: Wire, make: Make, field: str, value: str, code: str
    ) -> None:
        stream = make(partitions=3)
        bad = {"data": b64(b"bad"), field: value, "partition_key": "k"}
        good = [{"data": b64(b"one"), "partition_id": "1"}, {"data": b64(b"two"), "partition_id": "1"}]
        reply = ok(wire.put(stream, [good[0], bad, good[1]]))
        assert reply["failed_record_count"] == 1
        refused_entry(reply["records"][1], code, *({"DIS.4302"} if code == "DIS.4201" else ()))
        assert [entry.get("sequence_number") for entry in reply["records"]] == ["0", None, "1"]
        assert [record.data for record in wire.read_all(stream, "1")] == [b"one", b"two"]
        assert wire.read_all(stream, "0") == wire.read_all(stream, "2") == []

    def test_answers_200_even_when_all_are_refused(self, wire: Wire, make: Make) -> None:
        reply = ok(wire.put(make(), [{"data": b64(b"a"), "partition_id": "9"}] * 3))
        assert reply["failed_record_count"] == 3
        for entry in reply["records"]:
            refused_entry(entry, "DIS.4302")


class TestRequestFaults:
    """Faults of the whole request: nothing of it is stored."""

    @pytest.mark.parametrize("field", ["data", "partition_key", "partition_id", "explicit_hash_key"])
    @pytest.mark.parametrize("value", [5, 0, True, 1.5, ["0"], {"a": "b"}])
    def test_refuses_text_given_as_anything_else(
        self, wire: Wire, make: Make, field: str, value: object
    ) -> None:
        """clients.md 3.2: the real service refuses numbers where a text belongs."""
        stream = make()
        records: list[Json] = [{"data": b64(b"good")}, {"data": b64(b"a"), field: value}]
        refused(wire.put(stream, records), "DIS.4300", naming=field)
        assert wire.read_all(stream) == []

    @pytest.mark.parametrize("field", ["stream_name", "stream_id"])
    def test_refuses_a_number_for_the_stream(self, wire: Wire, field: str) -> None:
        body = {field: 5, "records": [{"data": b64(b"a")}]}
        refused(wire.call("POST", "/records", body=body), "DIS.4300", naming=field)

    @pytest.mark.parametrize("value", ["x", {}, 5, [None], [5], ["a"], [[]]])
    def test_refuses_records_of_another_shape(self, wire: Wire, make: Make, value: object) -> None:
        body = {"stream_name": make(), "records": value}
        refused(wire.call("POST", "/records", body=body), "DIS.4300", naming="records")

    @pytest.mark.parametrize("value", ["1", "x", 1.5, True, [], 10**30])
    def test_refuses_a_timestamp_that_is_no_integer(self, wire: Wire, make: Make, value: object) -> None:
        refused(wire.put(make(), [{"data": b64(b"a"), "timestamp": value}]), "DIS.4300", naming="timestamp")

    @pytest.mark.parametrize(
        "text", ["a", "aGk", "!!!!", "-_8=", "aGk=aGk=", "YQ==\x00", "йй==", "=", "===="]
    )
    def test_refuses_what_is_no_standard_base64(self, wire: Wire, make: Make, text: str) -> None:
        stream = make()
        refused(wire.put(stream, [{"data": b64(b"good")}, {"data": text}]), "DIS.4300", naming="data")
        assert wire.read_all(stream) == []

    @pytest.mark.parametrize("record", [{}, {"data": None}, {"partition_key": "k"}])
    def test_refuses_a_record_without_data(self, wire: Wire, make: Make, record: Json) -> None:
        refused(wire.put(make(), [record]), "DIS.4300", "DIS.4200", naming="data")

    @pytest.mark.parametrize("records", [[], None, "absent"])
    def test_refuses_an_empty_list(self, wire: Wire, make: Make, records: object) -> None:
        body: Json = {"stream_name": make(), "records": records}
        if records == "absent":
            del body["records"]
        message = refused(wire.call("POST", "/records", body=body), "DIS.4202")
        assert message == "Empty request."

    @pytest.mark.parametrize("body", [b"", b" "])
    def test_refuses_an_empty_body(self, wire: Wire, body: bytes) -> None:
        assert refused(wire.call("POST", "/records", content=body), "DIS.4202") == "Empty request."

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"[]",
            b"null",
            b'"a"',
            b"\xff",
            b"[" * 100_000,
            b'{"records":' + b"[" * 100_000,
        ],
        ids=lambda body: repr(body[:16]),
    )
    def test_refuses_what_is_no_json_object(self, wire: Wire, body: bytes) -> None:
        refused(wire.call("POST", "/records", content=body), "DIS.4300")

    def test_refuses_half_a_surrogate(self, wire: Wire, make: Make) -> None:
        body = json.dumps({"stream_name": make(), "records": [{"data": "YQ==", "partition_key": "\ud800"}]})
        refused(wire.call("POST", "/records", content=body.encode()), "DIS.4300")

    def test_names_a_missing_stream(self, wire: Wire, name: str) -> None:
        """400 here (the Java SDK looks for 400 and the code)."""
        message = refused(wire.put(name, [{"data": b64(b"a")}]), "DIS.4301")
        assert message == f"Stream does not exist. [{name}][{wire.project_id}]"

    def test_refuses_a_request_without_a_stream(self, wire: Wire) -> None:
        body = {"records": [{"data": b64(b"a")}]}
        refused(wire.call("POST", "/records", body=body), "DIS.4200", "DIS.4300", naming="stream")


class TestSizes:
    """Records of 1 MB, requests of 5 MB and 10,000 records, of decoded data (limits-and-rules.md)."""

    def test_ten_thousand_records_and_no_more(self, wire: Wire, make: Make) -> None:
        stream = make(partitions=10)
        record = {"data": b64(b"a")}
        spread = [{**record, "partition_id": str(number % 10)} for number in range(10_000)]
        reply = ok(wire.put(stream, spread))
        assert reply["failed_record_count"] == 0
        assert len(reply["records"]) == 10_000
        refused(wire.put(stream, [*spread, record]), "DIS.4200", "DIS.4300", naming="records")

    def test_a_record_of_one_mebibyte_and_no_more(self, wire: Wire, make: Make) -> None:
        stream = make()
        refused(wire.put(stream, [{"data": b64(b"x" * (MIB + 1))}]), "DIS.4300", naming="data")
        assert (
            ok(wire.put(stream, [{"data": b64(b"x" * MIB), "partition_key": "k" * 200}]))[
                "failed_record_count"
            ]
            == 0
        )
        assert [len(record.data) for record in wire.read_all(stream)] == [MIB]

    def test_a_request_of_five_mebibytes_and_no_more(self, wire: Wire, make: Make) -> None:
        stream = make(partitions=6)
        full = [
            {"data": b64(b"x" * MIB), "partition_id": str(number), "partition_key": "k"}
            for number in range(5)
        ]
        refused(wire.put(stream, [*full, {"data": b64(b"x"), "partition_id": "5"}]), "DIS.4300")
        assert wire.read_all(stream, "0") == []
        assert ok(wire.put(stream, full))["failed_record_count"] == 0

    def test_a_body_of_twelve_mebibytes_and_no_more(self, wire: Wire, make: Make) -> None:
        """3.2: a body is at most 12 MB; more is refused whatever it holds."""
        stream = make()
        body = json.dumps({"stream_name": stream, "records": [{"data": b64(b"a")}]}).encode()
        assert wire.call("POST", "/records", content=body.ljust(12 * MIB)).status_code == 200
        refused(wire.call("POST", "/records", content=body.ljust(12 * MIB + 1)), "APIGW.0201", status=413)
