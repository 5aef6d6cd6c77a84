"""Layouts: what is packed is unpacked, and no other bytes pass."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from penstock.log.base import Frame, PartitionRef
from penstock.log.files import format as fmt

streams = st.text("ABCxyz019", min_size=1, max_size=20)
u32 = st.integers(0, 2**32 - 1)
u63 = st.integers(0, 2**63 - 1)
headers = st.builds(fmt.SegmentHeader, streams, u32, u32, u63, u63)
ends = st.builds(fmt.End, streams, u32, u32, u32, u63, u63, u63)


@given(headers)
def test_segment_header(header: fmt.SegmentHeader) -> None:
    raw = fmt.pack_segment(header)
    assert len(raw) == fmt.HEADER_BYTES
    assert fmt.unpack_segment(raw + b"anything") == header


@given(headers, st.integers(0, 8 * fmt.HEADER_BYTES - 1))
def test_a_flipped_bit_in_a_segment_header(header: fmt.SegmentHeader, bit: int) -> None:
    assert fmt.unpack_segment(_flip(fmt.pack_segment(header), bit)) is None


@given(streams, u32, u32, u63, u63, st.integers(1, 2**32 - 1), st.binary(max_size=300), st.data())
def test_frame(
    stream: str, number: int, salt: int, base: int, ms: int, count: int, payload: bytes, data: st.DataObject
) -> None:
    name = fmt.ident(stream, number)
    assert fmt.ident_parts(name) == (stream, number)
    raw = (
        fmt.pack_frame(name, salt, 64, Frame(PartitionRef(stream, number), base, count, ms, payload))
        + payload
    )
    assert raw[:8] == fmt.frame_mark(salt)
    view = memoryview(b"..." + raw)
    head = fmt.frame_head(view, 3, 64, name, salt)
    assert head == fmt.FrameHead(64, len(payload), count, 64, base, ms)
    assert not isinstance(head, str)
    assert fmt.frame_intact(view, 3, head.length)
    assert (head.end, head.next) == (64 + len(raw), base + count)
    assert isinstance(fmt.frame_head(view, 3, 64, fmt.ident("other", 7), salt), str)
    assert isinstance(fmt.frame_head(view, 3, 63, name, salt), str), "synced beyond its own place"
    flipped = memoryview(_flip(raw, data.draw(st.integers(0, 8 * len(raw) - 1))))
    head = fmt.frame_head(flipped, 0, 64, name, salt)
    if not isinstance(head, str) and head.end <= 64 + len(raw):
        assert not fmt.frame_intact(flipped, 0, head.length)


def test_zeros_are_nothing() -> None:
    zeros = memoryview(bytes(4096))
    assert isinstance(fmt.frame_head(zeros, 0, 64, fmt.ident("s", 0), 0), str)
    assert fmt.unpack_segment(bytes(64)) is None
    assert fmt.unpack_index(bytes(100)) is None
    assert fmt.unpack_ends(bytes(100)) is None


@given(st.lists(st.tuples(u63, u63, u63), max_size=20), u32, u63, u63, st.data())
def test_index(
    entries: list[tuple[int, int, int]], salt: int, base: int, size: int, data: st.DataObject
) -> None:
    columns = [array("Q", [entry[i] for entry in entries]) for i in range(3)]
    index = fmt.IndexFile(salt, base, size, 5, 6, *columns)
    raw = fmt.pack_index(index)
    assert fmt.unpack_index(raw) == index
    assert fmt.unpack_index(raw[:-1]) is None
    assert fmt.unpack_index(_flip(raw, data.draw(st.integers(0, 8 * len(raw) - 1)))) is None


@given(st.lists(ends, max_size=5), st.data())
def test_table_of_ends(table: list[fmt.End], data: st.DataObject) -> None:
    raw = fmt.pack_ends(table)
    assert fmt.unpack_ends(raw) == table
    assert fmt.unpack_ends(_flip(raw, data.draw(st.integers(0, 8 * len(raw) - 1)))) is None


def _flip(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
