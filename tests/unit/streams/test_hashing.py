"""Hash keys and ranges (clients.md section 4)."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.limits import HASH_MAX
from penstock.model.hashing import key_hash, partition_for, split


@pytest.mark.parametrize(
    ("key", "hashed", "of_two", "of_three"),
    [
        ("0", 5750288053043553775, 1, 1),
        ("1", 4956847150856741762, 1, 1),
        ("a", 919145239626757800, 0, 0),
        ("key", 4354430579665871434, 0, 1),
        ("hello", 6719722671305337462, 1, 2),
    ],
)
def test_values_of_the_java_producer(key: str, hashed: int, of_two: int, of_three: int) -> None:
    assert key_hash(key) == hashed
    for count, expected in ((2, of_two), (3, of_three)):
        assert partition_for(hashed, [end for _, end in split(count)]) == expected


def java_index(hash_key: int, count: int) -> int:
    """The Java producer's own arithmetic, its overflow at 2^63-1 clamped."""
    width = HASH_MAX // count
    index = hash_key // width
    if hash_key % width == 0 and index > 0:
        index -= 1
    return min(index, count - 1)


@given(st.integers(1, 10_000))
def test_ranges_cover_everything_once(count: int) -> None:
    ranges = split(count)
    assert len(ranges) == count
    assert ranges[0][0] == 0
    assert ranges[-1][1] == HASH_MAX
    assert all(start <= end for start, end in ranges)
    assert all(before[1] + 1 == after[0] for before, after in pairwise(ranges))


@given(st.integers(1, 1000), st.data())
def test_every_hash_falls_where_clients_think(count: int, data: st.DataObject) -> None:
    ranges = split(count)
    edges = [edge for pair in ranges for edge in pair]
    hash_key = data.draw(st.integers(0, HASH_MAX) | st.sampled_from(edges))
    index = partition_for(hash_key, [end for _, end in ranges])
    assert ranges[index][0] <= hash_key <= ranges[index][1]
    assert index == java_index(hash_key, count)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_key_hashes_to_63_bits_of_its_md5(key: str) -> None:
    whole = int(hashlib.md5(key.encode()).hexdigest(), 16)
    assert key_hash(key) == (whole >> 64) & HASH_MAX
