"""Frames and journal batches of the log (docs/log-format.md) through both codecs: the same bytes, and the same frames found in any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import codecs

from penstock.log.base import Frame, PartitionRef
from penstock.log.files import format as fmt
from penstock.log.files.format import JournalRun

pytestmark = pytest.mark.services
NAME = fmt.ident("s" * 20, 7)
REF = PartitionRef("s" * 20, 7)
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
PAYLOAD = st.one_of(
    st.binary(max_size=80), st.sampled_from([0, 1, 65_535, 65_536, 200_000]).map(lambda n: b"\xa5" * n)
)
FRAMES = st.lists(st.tuples(U64, st.integers(0, 2**32 - 1), U64, st.binary(max_size=60)), max_size=6)


@pytest.fixture(autouse=True, scope="module")
def built() -> None:
    codecs.compiled()


@given(U32, U32, U64, st.integers(1, 2**32 - 1), U64, PAYLOAD)
def test_frame_headers(
    salt: int, durable: int, base: int, count: int, append_ms: int, payload: bytes
) -> None:
    frame = Frame(REF, base, count, append_ms, payload)
    with codecs.using("native"):
        compiled = fmt.pack_frame(NAME, salt, durable, frame)
    with codecs.using("python"):
        assert compiled == fmt.pack_frame(NAME, salt, durable, frame)


@given(
    FRAMES,
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 7)), max_size=3),
    st.integers(0, 2000),
    st.integers(0, 100),
)
def test_frames_found(
    frames: list[tuple[int, int, int, bytes]],
    before: int,
    flips: list[tuple[int, int]],
    cut: int,
    position: int,
) -> None:
    """In whole files, damaged ones, short ones, and from places where no frame begins."""
    content = bytearray(before)
    for base, records, append_ms, payload in frames:
        content += fmt.pack_frame(
            NAME, 9, min(len(content), 64), Frame(REF, base, records, append_ms, payload)
        )
        content += payload
    for at, bit in flips:
        if at < len(content):
            content[at] ^= 1 << bit
    view = memoryview(bytes(content[: max(0, len(content) - cut)] if cut < 200 else content))
    for start in {before, min(position, len(view))}:
        with codecs.using("native"):
            compiled = fmt.frames_in(view, start, start + 64, NAME, 9)
        with codecs.using("python"):
            found = fmt.frames_in(view, start, start + 64, NAME, 9)
        assert compiled == found
        assert all(type(head) is fmt.FrameHead for head in compiled)
    if not flips and cut >= 200:
        with codecs.using("native"):
            whole = fmt.frames_in(view, before, before, NAME, 9)
        assert len(whole) == next(
            (i for i, (_, records, *_) in enumerate(frames) if not records), len(frames)
        )


RUN = st.tuples(U64, U32, U32, st.lists(st.binary(max_size=50), min_size=1, max_size=4))


@given(U32, U64, U64, st.lists(RUN, max_size=5))
def test_batches(
    salt: int, generation: int, number: int, given_runs: list[tuple[int, int, int, list[bytes]]]
) -> None:
    runs = [
        JournalRun(NAME, base, segment_salt, offset, sum(map(len, data)), data)
        for base, segment_salt, offset, data in given_runs
    ]
    with codecs.using("native"):
        compiled = b"".join(fmt.pack_batch(salt, generation, number, runs))
    with codecs.using("python"):
        assert compiled == b"".join(fmt.pack_batch(salt, generation, number, runs))
    batch = fmt.batch_at(memoryview(compiled), 0, salt, generation, number)
    assert batch is not None and batch.end == len(compiled)
    assert [(r.base, r.salt, r.offset, b"".join(r.data)) for r in batch.runs] == [
        (base, segment_salt, offset, b"".join(data)) for base, segment_salt, offset, data in given_runs
    ]


def test_pieces_that_are_not_bytes_are_pythons() -> None:
    run = JournalRun(NAME, 1, 2, 3, 4, [memoryview(b"abcd")])
    with codecs.using("native"):
        compiled = b"".join(fmt.pack_batch(5, 6, 7, [run]))
    with codecs.using("python"):
        assert compiled == b"".join(fmt.pack_batch(5, 6, 7, [run]))


def test_names_of_another_length_are_refused() -> None:
    native = codecs.compiled()
    with pytest.raises(ValueError, match="24 bytes"):
        native.pack_frame(b"short", 1, 1, 1, 1, 1, b"")
    with pytest.raises(ValueError, match="24 bytes"):
        native.frames_in(b"", 0, 0, b"short", 1)
