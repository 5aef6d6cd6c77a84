"""Who reads what: every partition once, as evenly as wishes allow, and no moves that balance does not ask for."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from penstock.model.assignment import Assignment, assign

STREAMS = ("s1", "s2", "s3")
Wanted = Mapping[str, frozenset[str]]
Partitions = Mapping[str, range]

members = st.lists(st.sampled_from([f"m{number}" for number in range(8)]), unique=True, max_size=8)
partitions = st.dictionaries(st.sampled_from(STREAMS), st.integers(0, 9).map(range), max_size=3)
wanted = st.dictionaries(
    st.sampled_from([f"m{number}" for number in range(6)]),
    st.frozensets(st.sampled_from(STREAMS)),
    max_size=6,
)


def pairs(assignment: Mapping[str, Mapping[str, list[int]]]) -> list[tuple[str, int]]:
    return [
        (stream, number)
        for share in assignment.values()
        for stream, numbers in share.items()
        for number in numbers
    ]


def loads(assignment: Assignment) -> dict[str, int]:
    return {member: sum(map(len, share.values())) for member, share in assignment.items()}


def all_of(wishes: Wanted, streams: Partitions) -> list[tuple[str, int]]:
    taken = {stream for wish in wishes.values() for stream in wish}
    return [(stream, number) for stream in streams if stream in taken for number in streams[stream]]


@given(wanted, partitions, wanted, partitions)
def test_every_wanted_partition_is_read_by_one_who_wants_it(
    wishes: Wanted, streams: Partitions, earlier: Wanted, earlier_streams: Partitions
) -> None:
    before = assign(earlier, earlier_streams, {})
    result = assign(wishes, streams, before)
    assert result.keys() == wishes.keys()
    assert sorted(pairs(result)) == sorted(all_of(wishes, streams))
    assert all(result[member].keys() <= wishes[member] for member in result)
    assert all(numbers == sorted(numbers) for share in result.values() for numbers in share.values())


@given(members, partitions, members)
def test_members_that_want_the_same_differ_by_one_at_most(
    some: list[str], streams: Partitions, earlier: list[str]
) -> None:
    everything = frozenset(STREAMS)
    before = assign(dict.fromkeys(earlier, everything), streams, {})
    found = loads(assign(dict.fromkeys(some, everything), streams, before)).values()
    assert not found or max(found) - min(found) <= 1


@given(members, partitions, members)
def test_members_that_want_the_same_keep_what_balance_allows(
    some: list[str], streams: Partitions, earlier: list[str]
) -> None:
    everything = frozenset(STREAMS)
    before = assign(dict.fromkeys(earlier, everything), streams, {})
    after = assign(dict.fromkeys(some, everything), streams, before)
    if not some:
        return
    least = len(all_of(dict.fromkeys(some, everything), streams)) // len(some)
    for member in set(some) & set(earlier):
        had, has = (set(pairs({member: one[member]})) for one in (before, after))
        assert len(had & has) >= min(len(had), least)


@given(wanted, partitions)
def test_the_same_members_and_streams_keep_everything(wishes: Wanted, streams: Partitions) -> None:
    before = assign(wishes, streams, {})
    assert assign(wishes, streams, before) == before


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]), st.frozensets(st.sampled_from(STREAMS)), min_size=1, max_size=3
    ),
    st.dictionaries(st.sampled_from(STREAMS), st.integers(0, 2).map(range), max_size=3),
    st.randoms(),
)
def test_no_other_assignment_is_more_even(wishes: Wanted, streams: Partitions, random: object) -> None:
    """Against every assignment there is: the sum of the squares of loads is the least possible."""
    places = all_of(wishes, streams)
    takers = [[member for member in wishes if stream in wishes[member]] for stream, _ in places]
    best = min(sum(choice.count(member) ** 2 for member in wishes) for choice in itertools.product(*takers))
    assert sum(load**2 for load in loads(assign(wishes, streams, {})).values()) == best


@given(wanted, partitions)
def test_the_order_in_which_members_come_does_not_matter(wishes: Wanted, streams: Partitions) -> None:
    backwards = dict(list(wishes.items())[::-1])
    assert assign(backwards, dict(list(streams.items())[::-1]), {}) == assign(wishes, streams, {})


def test_a_newcomer_takes_from_who_has_most() -> None:
    before = {"a": {"s": [0, 1, 2]}, "b": {"s": [3, 4, 5]}}
    after = assign({key: {"s"} for key in "abc"}, {"s": range(6)}, before)
    assert after == {"a": {"s": [0, 1]}, "b": {"s": [3, 4]}, "c": {"s": [2, 5]}}


def test_a_chain_of_members_evens_out_what_no_single_move_can() -> None:
    """a and c have no stream in common, b shares one with each."""
    wishes = {"a": {"s1"}, "b": {"s1", "s2"}, "c": {"s2"}}
    before = {"a": {"s1": [0, 1, 2]}, "b": {"s2": [0, 1]}, "c": {"s2": [2]}}
    after = assign(wishes, {"s1": range(3), "s2": range(3)}, before)
    assert loads(after) == {"a": 2, "b": 2, "c": 2}


def test_many_members_and_partitions() -> None:
    members = [f"m{number:03}" for number in range(200)]
    before = assign({key: {"s"} for key in members[:150]}, {"s": range(1000)}, {})
    after = assign({key: {"s"} for key in members}, {"s": range(1000)}, before)
    assert set(loads(after).values()) == {5}
