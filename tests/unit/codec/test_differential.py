"""The compiled codec against the Python one: whatever it accepts gives the same bytes, whatever it leaves alone is Python's.

Bodies are written here piece by piece, so that white space, escapes, the order of fields and their oddities vary.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.faults import codec_fuzz
from tests.support import codec_cases, codecs

from penstock.log.payload import encode
from penstock.service.records import Placed, PutOutcome

pytestmark = pytest.mark.services


@pytest.fixture(autouse=True, scope="module")
def built() -> None:
    codecs.compiled()


SPACE = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n"])
TEXT = st.one_of(
    st.text(max_size=12),
    st.text(st.sampled_from('ab"\\/\b\f\n\r\t\x00\x1f\x7fé€😀'), max_size=40),
    st.sampled_from(["", "k" * 31, "k" * 32, "k" * 255, "k" * 256, "k" * 70_000]),
)
NUMBERS = st.sampled_from(
    "0 -0 00 1 -1 17 1764000000000 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 "
    f"1.0 1e3 1E400 0.5 1. +1 - {'9' * 400}".split()
)
PARTITION = st.one_of(
    st.integers(0, 6).map(lambda n: f"shardId-{n:010d}"),
    st.sampled_from(["0", "5", "00000", "SHARDID-2", "shardId-", "shardId-x", "-1", "1 ", "٣", "shardıd-0"]),
    st.sampled_from(["9" * 19, "9" * 20, "ſhardId-0", "shardId-shardId-0"]),
    TEXT,
)
HASH = st.one_of(
    st.integers(0, 2**63).map(str),
    st.sampled_from(["0", "9223372036854775807", "9223372036854775808", "00", "-1", "+1", "1_0", "²"]),
    TEXT,
)
DATA = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([255, 256, 65_535, 65_536]).map(lambda size: b"\xfb" * size),
).map(lambda data: base64.b64encode(data).decode())
BAD_DATA = st.sampled_from(
    [
        "a",
        "aG",
        "aGk",
        "aGk=",
        "aGl=",
        "aH==",
        "aGk==",
        "====",
        "=",
        "a===",
        "aGk=aGk=",
        "_-8=",
        "a Gk=",
        "aGk=\n",
    ]
)


@st.composite
def string(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A JSON string, with escapes where it must have them and where it need not."""
    text = draw(texts)
    how = draw(st.integers(0, 3))
    if how == 0:
        return json.dumps(text)
    if how == 1:
        return json.dumps(text, ensure_ascii=False)
    if how == 2:
        return json.dumps(text).replace("/", "\\/").replace("=", "\\u003D")
    return '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in text) + '"'


def value(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """What a text field may be sent as."""
    usual = string(texts)
    return st.one_of(usual, usual, usual, st.sampled_from(["null", "7", '"\\ud800"', "[]", "nul"]))


ANYTHING = st.one_of(
    NUMBERS,
    string(TEXT),
    st.sampled_from(
        ["null", "true", "false", "[]", "{}", '{"a":[1,{"b":null}]}', "[" * 50 + "]" * 50, "tru", ""]
    ),
    st.sampled_from(['"\\ud800"', '"\\udc00\\ud800"', '"\\x"', '"\n"', '"\\u12"', '"']),
)


def members(fields: dict[str, st.SearchStrategy[str]], required: tuple[str, ...]) -> st.SearchStrategy[str]:
    """A JSON object: fields in any order, some absent, seldom twice, and some that mean nothing."""

    @st.composite
    def build(draw: st.DrawFn) -> str:
        names = list(draw(st.sets(st.sampled_from(sorted(fields)))))
        if draw(st.integers(0, 30)):
            names = sorted(set(names) | set(required))
        if draw(st.integers(0, 40)) == 0 and names:
            names.append(names[0])
        if draw(st.integers(0, 4)) == 0:
            names.append("?")
        parts = []
        for name in draw(st.permutations(names)):
            if name == "?":
                key, held = draw(string(st.sampled_from(["x", "", "data ", "é", "Data"]))), draw(ANYTHING)
            else:
                key, held = f'"{name}"', draw(fields[name])
            parts.append(f"{draw(SPACE)}{key}{draw(SPACE)}:{draw(SPACE)}{held}{draw(SPACE)}")
        return "{" + ",".join(parts) + (draw(SPACE) if not parts else "") + "}"

    return build()


RECORD = members(
    {
        "data": st.one_of(string(DATA), string(DATA), string(DATA), string(BAD_DATA), value(DATA)),
        "partition_key": value(TEXT),
        "partition_id": value(PARTITION),
        "explicit_hash_key": value(HASH),
        "timestamp": st.one_of(NUMBERS, st.just("null")),
    },
    ("data",),
)
PLAIN_RECORD = st.tuples(string(DATA), string(TEXT)).map(
    lambda pair: f'{{"data":{pair[0]},"partition_key":{pair[1]}}}'
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    kind = st.one_of(PLAIN_RECORD, PLAIN_RECORD, RECORD) if draw(st.booleans()) else PLAIN_RECORD
    records = draw(st.lists(kind, max_size=20))
    comma = draw(st.sampled_from([",", ",", " ,\n"]))
    fields = {
        "records": st.just(f"[{draw(SPACE)}{comma.join(records)}{draw(SPACE)}]"),
        "stream_name": value(TEXT),
        "stream_id": value(TEXT),
    }
    body = draw(SPACE) + draw(members(fields, ("records",))) + draw(st.one_of(SPACE, st.just(" x")))
    return body.encode("utf-8", "surrogatepass")


@settings(max_examples=600, deadline=None)
@given(bodies())
def test_json_puts(body: bytes) -> None:
    codec_cases.put("json", body)


@settings(max_examples=300, deadline=None)
@given(bodies(), st.data())
def test_json_puts_with_bytes_changed(body: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(body) - 1)))
        size = data.draw(st.integers(0, 3))
        body = body[:at] + data.draw(st.binary(max_size=3)) + body[at + size :]
    codec_cases.put("json", body)


def test_what_clients_send_is_decoded_by_the_compiled_codec() -> None:
    """Otherwise everything would be right, and slow."""
    data = base64.b64encode(b"x" * 200).decode()
    records: list[dict[str, Any]] = [
        {"data": data, "partition_key": "k"},
        {"data": data, "partition_key": "é\n", "explicit_hash_key": None, "partition_id": None},
        {"data": data, "partition_id": "shardId-0000000000", "timestamp": 1_764_000_000_000},
        {"data": "", "explicit_hash_key": "17", "record_type": "x", "flag": True, "size": 12},
    ]
    body = {"stream_name": "s", "stream_id": "", "records": records}
    for text in (json.dumps(body), json.dumps(body, indent=1), json.dumps(body, ensure_ascii=False)):
        assert codec_cases.put("json", text.encode())
    assert codec_cases.put("json", json.dumps(body).replace("=", "\\u003d").replace("/", "\\/").encode())
    assert codec_cases.put("protobuf", bytes.fromhex("0a027331120a1a0568656c6c6f2a0130f20100"))


def test_what_most_puts_are_is_taken_in_one_go() -> None:
    data = base64.b64encode(b"x" * 200).decode()

    def taken(*records: dict[str, Any], **more: Any) -> list[int]:
        body = json.dumps(
            {"stream_name": "s", "records": [{"data": data} | record for record in records]} | more
        )
        tables = (codec_cases.ONE, codec_cases.FOUR, codec_cases.NONE)
        return [codec_cases.taken(body.encode(), [table]) for table in tables]

    assert taken({}) == [1, 0, 0]
    assert taken({}, {"partition_key": "k"}) == [1, 0, 0]
    assert taken({"partition_key": "k"}) == [1, 1, 0]
    assert taken({"partition_key": ""}, stream_id="") == [1, 0, 0]
    assert taken({"explicit_hash_key": "17"}, stream_id=None) == [1, 1, 0]
    assert taken({"partition_id": "0"}) == [1, 1, 0]
    assert taken({"partition_id": "1"}) == [0, 0, 0]
    assert taken({"partition_id": "0"}, {"partition_id": "0"}) == [0, 0, 0]
    assert taken({"explicit_hash_key": "x"}) == taken({}, stream_id="i") == taken() == [0, 0, 0]


def test_every_put_a_client_was_seen_to_send_is_decoded_by_the_compiled_codec() -> None:
    puts = codec_fuzz.sent()
    assert {kind for kind, _ in puts} == {"json", "protobuf"}
    assert len(puts) > 10
    for kind, body in puts:
        assert codec_cases.put(kind, body), body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}",
        b"{}{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"records":[' + b'{"data":' * 50_000,
        b'{"records":[{"data":"' + b"A" * 100_001,
        b'{"records":[{"data":"aGk=","timestamp":' + b"9" * 100_000 + b"}]}",
        b'{"records":[{"data":"aGk=","partition_key":"\xff"}]}',
        b'{"records":[{"data":"aGk=","partition_key":"\xed\xa0\x80"}]}',
        b'{"records":[{"data":"aGk=","partition_key":"\xc0\x80"}]}',
        b'{"records":[{"data":"aGk=","\xff":1}]}',
        b'{"records":[{"data":"aGk=","x":"\xff"}]}',
        b'{"stream_name":"\xff","records":[{"data":"aGk="}]}',
        b'\xef\xbb\xbf{"records":[{"data":"aGk="}]}',
        b'{"records":[{"data":"aGk="}],}',
        b'{"records":[{"data":"aGk="},]}',
        b'{"records":[{"data":"aGk=",}]}',
        b'{"records":[{"data":"aGk="}]]',
        b'{"records":[{"data":"aGk="}]}\x00',
        b'{"records":[{"data":"aGk=","data":"aG8="}]}',
        b'{"records":[{"data":"aGk="}],"records":[]}',
        b'{"records":[{"d\\u0061ta":"aGk="}]}',
        json.dumps({"records": [{"data": "aGk="}] * 3}).encode("utf-16"),
    ],
)
def test_hostile_json(body: bytes) -> None:
    for end in {len(body), len(body) // 2, max(0, len(body) - 1)}:
        codec_cases.put("json", body[:end])


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, held: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(held)) + held


def texts(number: int, of: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    encoded = of.map(lambda text: text.encode("utf-8", "surrogatepass"))
    return st.one_of(encoded, encoded, encoded, st.sampled_from([b"", b"\xff", b"a\xc3"])).map(
        lambda held: field(number, held)
    )


STRAY = st.one_of(
    st.builds(
        lambda n, v: varint(n << 3) + varint(v), st.sampled_from([3, 7, 29, 500]), st.integers(-1, 2**64)
    ),
    st.builds(lambda n, v: varint(n << 3 | 1) + v, st.integers(7, 40), st.binary(min_size=8, max_size=8)),
    st.builds(lambda n, v: varint(n << 3 | 5) + v, st.integers(2, 40), st.binary(min_size=4, max_size=4)),
    st.builds(field, st.sampled_from([7, 40, 1 << 28, (1 << 29) - 1, 1 << 29, 0]), st.binary(max_size=5)),
    st.builds(lambda n: varint(n << 3 | 3) + varint(n << 3 | 4), st.integers(1, 40)),
    st.binary(max_size=4),
    st.sampled_from(
        [
            b"\x80\x00",
            b"\xe8\x81\x00\x00",
            b"\xe8\x01" + b"\x80" * 9 + b"\x01",
            b"\xe8\x01" + b"\xff" * 9 + b"\x7f",
        ]
    ),
)


@st.composite
def message(draw: st.DrawFn, usual: list[st.SearchStrategy[bytes]]) -> bytes:
    """Fields in any order, some left out; seldom what should not be there."""
    parts = [draw(one) for one in usual if draw(st.integers(0, 5))]
    if draw(st.integers(0, 8)) == 0:
        parts.append(draw(st.one_of(STRAY, *usual)))
    return b"".join(draw(st.permutations(parts)))


ENTRY = message(
    [
        st.binary(max_size=300).map(lambda data: field(3, data)),
        texts(4, HASH),
        texts(5, TEXT),
        texts(6, PARTITION),
        st.integers(-1, 2**63).map(lambda when: varint(29 << 3) + varint(when)),
    ]
)
PLAIN_ENTRY = st.tuples(st.binary(max_size=300), texts(5, TEXT)).map(lambda pair: field(3, pair[0]) + pair[1])


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.one_of(PLAIN_ENTRY, PLAIN_ENTRY, ENTRY), max_size=12),
    texts(1, TEXT),
    texts(30, TEXT),
    st.data(),
)
def test_protobuf_puts(entries: list[bytes], name: bytes, identity: bytes, data: st.DataObject) -> None:
    held = [st.just(name), st.just(identity), *(st.just(field(2, entry)) for entry in entries)]
    codec_cases.put("protobuf", data.draw(message(held)))


@settings(max_examples=300, deadline=None)
@given(st.lists(PLAIN_ENTRY, max_size=12), st.data())
def test_protobuf_puts_with_bytes_changed(entries: list[bytes], data: st.DataObject) -> None:
    body = b"".join(field(2, entry) for entry in entries)
    at = data.draw(st.integers(0, max(0, len(body) - 1)))
    body = body[:at] + data.draw(st.binary(max_size=3)) + body[at + data.draw(st.integers(0, 3)) :]
    codec_cases.put("protobuf", body)


@given(st.binary(max_size=60))
def test_any_bytes(body: bytes) -> None:
    codec_cases.put("json", body)
    codec_cases.put("protobuf", body)
    codec_cases.fetched(body, 1, 0, 1, 0, 0)


@st.composite
def outcomes(draw: st.DrawFn) -> PutOutcome:
    numbers = draw(st.lists(st.integers(-1, 3), min_size=1, max_size=40))
    placed = []
    for number in sorted(set(numbers) - {-1}):
        indices = [index for index, one in enumerate(numbers) if one == number]
        whole = len(indices) == len(numbers) and draw(st.booleans())
        base = draw(st.one_of(st.integers(0, 2**63 - 100), st.sampled_from([0, 9, 99, 10**18 - 1])))
        partition = draw(st.sampled_from([number, 10**9 + number, 10**10 + number]))
        placed.append(Placed(partition, base, len(indices), None if whole else indices))
    failed = {index: (draw(TEXT), draw(TEXT)) for index, one in enumerate(numbers) if one == -1}
    return PutOutcome(len(numbers), placed, failed)


@settings(max_examples=300, deadline=None)
@given(outcomes())
def test_put_replies(made: PutOutcome) -> None:
    codec_cases.outcome(made)
    in_c = [
        place if place.indices is None else place._replace(indices=as_native(list(place.indices)))
        for place in made.placed
    ]
    codec_cases.outcome(made._replace(placed=in_c))


def as_native(indices: list[int]) -> memoryview:
    return memoryview(b"".join(index.to_bytes(4, "little") for index in indices)).cast("I")


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=40), st.none() | TEXT), min_size=1, max_size=40),
    st.one_of(st.integers(0, 2**63 - 100), st.sampled_from([0, 5, 98, 10**18 - 3])),
    st.sampled_from([0, 1, 127, 128, 1_764_000_000_123, 2**63]),
    st.data(),
)
def test_get_replies(
    records: list[tuple[bytes, str | None]], base: int, append_ms: int, data: st.DataObject
) -> None:
    keys = [key for _, key in records]
    payload = encode(keys if any(keys) else None, [held for held, _ in records])
    start = data.draw(st.integers(0, len(records) - 1))
    stop = data.draw(st.integers(start + 1, len(records)))
    for slice_of in ((start, stop), (0, len(records))):
        codec_cases.fetched(payload, len(records), *slice_of, base, append_ms)
    at = data.draw(st.integers(0, len(payload) - 1))
    broken = payload[:at] + data.draw(st.binary(max_size=2)) + payload[at + data.draw(st.integers(0, 2)) :]
    codec_cases.fetched(broken, len(records), start, stop, base, append_ms)
