"""The cache of recent frames: runs without gaps, bounded memory, one object for all readers."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from penstock.log.base import Frame, PartitionRef
from penstock.log.files.cache import OVERHEAD, FrameCache

A = PartitionRef("a", 0)
B = PartitionRef("b", 0)


def _held(cache: FrameCache, ref: PartitionRef) -> list[Frame]:
    """All frames of a partition up to number 2000."""
    found = (cache.run(ref, sequence, 1, 1) for sequence in range(2000))
    return [frame for run in found for frame in run]


def _frame(ref: PartitionRef, base: int, count: int = 1, size: int = 100) -> Frame:
    return Frame(ref, base, count, 0, bytes(size))


@given(
    st.lists(
        st.tuples(st.sampled_from([A, B]), st.integers(0, 60), st.integers(0, 400), st.integers(0, 4)),
        max_size=150,
    ),
    st.integers(500, 8000),
    st.integers(0, 400),
)
def test_never_more_than_its_limit_and_never_a_gap(
    added: list[tuple[PartitionRef, int, int, int]], limit: int, rendered: int
) -> None:
    cache = FrameCache(limit)
    for ref, number, size, written in added:
        if written:
            first = max([number, *(frame.base // 3 + 1 for frame in _held(cache, ref))])
            run = [_frame(ref, 3 * (first + i), 3, size) for i in range(written)]
            cache.add_written(ref, run)
            assert all(frame is run[i] for i, frame in enumerate(cache.run(ref, 3 * first, 1 << 20, 1000)))
        else:
            frame = cache.add(_frame(ref, 3 * number, 3, size))
            cache.keep_rendered(frame, bytes(rendered))
        assert cache.bytes <= limit
    total = 0
    for ref in (A, B):
        held: dict[int, Frame] = {}
        for sequence in range(2000):
            run = cache.run(ref, sequence, 1 << 20, 1000)
            for i, frame in enumerate(run):
                assert frame.ref == ref
                assert held.setdefault(frame.base, frame) is frame
                assert i == 0 or frame.base == run[i - 1].base + 3
            if run:
                assert run[0].base <= sequence < run[0].base + 3
        total += sum(len(f.payload) + len(f.rendered or b"") + OVERHEAD for f in held.values())
    assert total == cache.bytes, "what is counted is what is held"


def test_limits_of_a_run() -> None:
    cache = FrameCache(1 << 20)
    for number in range(10):
        cache.add(_frame(A, number * 2, 2, 100))
    assert len(cache.run(A, 0, 1, 1)) == 1
    assert len(cache.run(A, 0, 101, 1000)) == 2
    assert len(cache.run(A, 0, 1 << 20, 2)) == 1
    assert len(cache.run(A, 1, 1 << 20, 2)) == 2, "from the middle of a frame"
    assert len(cache.run(A, 0, 1 << 20, 1000)) == 10
    assert cache.run(A, 20, 1, 1) == [] and cache.run(B, 0, 1, 1) == []


def test_readers_share_a_frame_and_what_was_rendered() -> None:
    cache = FrameCache(1 << 20)
    first = cache.add(_frame(A, 0))
    assert cache.add(_frame(A, 0)) is first
    cache.keep_rendered(first, b"wire")
    (again,) = cache.run(A, 0, 1, 1)
    assert again.rendered == b"wire"
    stranger = _frame(A, 0)
    cache.keep_rendered(stranger, b"x" * 1000)
    assert stranger.rendered is None, "what is not held is not kept"


def test_frames_read_out_of_order_join() -> None:
    cache = FrameCache(1 << 20)
    numbers = list(range(50))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        cache.add(_frame(A, number))
    assert [f.base for f in cache.run(A, 0, 1 << 20, 1000)] == list(range(50))


def test_the_oldest_go_first_and_a_dropped_partition_is_free() -> None:
    cache = FrameCache(10 * (OVERHEAD + 100))
    for number in range(100):
        cache.add(_frame(A if number % 2 else B, number))
    assert cache.run(A, 1, 1, 1) == []
    assert cache.run(A, 99, 1, 1) != []
    cache.drop(A)
    cache.drop(B)
    cache.drop(B)
    assert cache.bytes == 0
    huge = _frame(A, 0, size=1 << 20)
    assert cache.add(huge) is huge
    assert cache.bytes == 0
