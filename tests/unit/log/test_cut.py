"""What a reader gets of the frames that were read (GetRecords, 5.4.2): whole records within the bytes and the number asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import codecs

from penstock.log.base import Frame, PartitionRef
from penstock.log.payload import decode, encode
from penstock.service.partitions import cut

REF = PartitionRef("a" * 20, 0)


def frames(*batches: list[int]) -> list[Frame]:
    found, base = [], 0
    for sizes in batches:
        found.append(Frame(REF, base, len(sizes), 5, encode(None, [bytes(size) for size in sizes])))
        base += len(sizes)
    return found


@pytest.fixture(params=codecs.EACH, autouse=True, scope="module")
def codec(request: pytest.FixtureRequest) -> object:
    with codecs.using(request.param):
        yield


@given(
    st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=6), min_size=1, max_size=4),
    st.integers(0, 30),
    st.integers(-1, 200),
    st.integers(1, 25),
    st.booleans(),
)
def test_as_many_as_fit(
    batches: list[list[int]], sequence: int, budget: int, most: int, strict: bool
) -> None:
    """A first record over the bytes is left out where they were asked for (`strict`), and given otherwise; no later one is."""
    sizes = [size for batch in batches for size in batch]
    sequence = min(sequence, len(sizes) - 1)
    given_ = frames(*batches)
    while given_[0].base + given_[0].count <= sequence:
        given_.pop(0)
    found = cut(given_, sequence, budget, most, strict=strict)
    got = [len(one) for part in found for one in decode(part.frame.payload)[1][part.start : part.stop]]
    assert got == sizes[sequence : sequence + len(got)] and len(got) <= most
    for part in found:
        held = decode(part.frame.payload)[1][part.start : part.stop]
        assert part.size in {-1, sum(map(len, held))}
    if len(got) > (0 if strict else 1):
        assert sum(got) <= budget
    if not strict:
        assert got
