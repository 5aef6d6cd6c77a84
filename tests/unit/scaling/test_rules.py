"""The rules of scaling: which partitions come and go, that ranges always cover the space once, how often, and when by itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.catalogs import a_stream

from penstock.limits import HASH_MAX, PROFILES, UNLIMITED, Limits, PartitionRate
from penstock.model.retention import expire_partitions
from penstock.model.scaling import (
    HOUR_MS,
    Decision,
    Load,
    Scaling,
    allowed_from,
    decide,
    kept_for_rules,
    load,
    rescale,
    time_text,
)
from penstock.model.streams import PartitionStatus, Stream, partition_name

NOW = 1_700_000_000_000
LIMITS = Limits()
MB = 1 << 20
RATE = LIMITS.common


def numbers(stream: Stream, status: PartitionStatus) -> list[int]:
    return [p.number for p in stream.partitions if p.status is status]


def covers_the_space(stream: Stream) -> bool:
    ranges = sorted((p.hash_start, p.hash_end) for p in stream.active)
    following = 0
    for start, end in ranges:
        if start != following or end < start:
            return False
        following = end + 1
    return following == HASH_MAX + 1


class TestRescale:
    def test_up_splits_the_ranges_anew_and_names_the_parents(self) -> None:
        grown = rescale(a_stream(partitions=1), 2, NOW)
        half = HASH_MAX // 2
        first, second = grown.partitions
        assert (first.hash_start, first.hash_end, first.parents) == (0, half, "")
        assert (second.hash_start, second.hash_end) == (half + 1, HASH_MAX)
        assert second.parents == partition_name(0)
        assert grown.modified_ms == NOW

    def test_down_deletes_the_highest_numbers(self) -> None:
        small = rescale(a_stream(partitions=5), 2, NOW)
        assert numbers(small, PartitionStatus.ACTIVE) == [0, 1]
        for number in (2, 3, 4):
            gone = small.partitions[number]
            assert gone.status is PartitionStatus.DELETED
            assert (gone.hash_start, gone.hash_end, gone.deleted_ms) == (-1, -1, NOW)
        # Fifths go into halves: the third of five lies in both.
        assert small.partitions[0].parents == ",".join(map(partition_name, (1, 2)))
        assert small.partitions[1].parents == ",".join(map(partition_name, (2, 3, 4)))

    def test_down_to_one_takes_every_key(self) -> None:
        (only,) = rescale(a_stream(partitions=3), 1, NOW).active
        assert (only.hash_start, only.hash_end) == (0, HASH_MAX)
        assert only.parents == ",".join(map(partition_name, (1, 2)))

    def test_up_revives_deleted_ones_then_expired_ones_then_adds(self) -> None:
        """limits-and-rules.md, scaling rules: the order of the Chinese manual."""
        stream = rescale(a_stream(partitions=6), 4, NOW)
        stream = expire_partitions(stream, NOW + 25 * HOUR_MS)
        stream = rescale(stream, 2, NOW + 26 * HOUR_MS)
        assert numbers(stream, PartitionStatus.DELETED) == [2, 3]
        assert numbers(stream, PartitionStatus.EXPIRED) == [4, 5]
        active = [numbers(rescale(stream, target, NOW), PartitionStatus.ACTIVE) for target in range(3, 9)]
        assert active == [list(range(target)) for target in range(3, 9)]

    def test_deleted_before_expired_whatever_their_numbers(self) -> None:
        stream = a_stream(partitions=4)
        states = [
            PartitionStatus.ACTIVE,
            PartitionStatus.EXPIRED,
            PartitionStatus.ACTIVE,
            PartitionStatus.DELETED,
        ]
        stream = msgspec.structs.replace(
            stream,
            partitions=tuple(
                msgspec.structs.replace(p, status=status)
                if status is PartitionStatus.ACTIVE
                else msgspec.structs.replace(p, status=status, hash_start=-1, hash_end=-1, deleted_ms=1)
                for p, status in zip(stream.partitions, states, strict=True)
            ),
        )
        # Ranges of what is ACTIVE, as they would be.
        first, second = stream.partitions[0], stream.partitions[2]
        half = HASH_MAX // 2
        stream = msgspec.structs.replace(
            stream,
            partitions=(
                msgspec.structs.replace(first, hash_start=0, hash_end=half),
                stream.partitions[1],
                msgspec.structs.replace(second, hash_start=half + 1, hash_end=HASH_MAX),
                stream.partitions[3],
            ),
        )
        assert numbers(rescale(stream, 3, NOW), PartitionStatus.ACTIVE) == [0, 2, 3]
        assert numbers(rescale(stream, 4, NOW), PartitionStatus.ACTIVE) == [0, 1, 2, 3]
        assert numbers(rescale(stream, 5, NOW), PartitionStatus.ACTIVE) == [0, 1, 2, 3, 4]

    def test_a_revived_partition_is_as_new(self) -> None:
        stream = rescale(rescale(a_stream(partitions=2), 1, NOW), 2, NOW + 1)
        assert stream.partitions[1].status is PartitionStatus.ACTIVE
        assert stream.partitions[1].deleted_ms is None

    @given(
        start=st.integers(1, 40),
        steps=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30 * HOUR_MS)), max_size=12),
    )
    def test_ranges_always_cover_the_space_once(self, start: int, steps: list[tuple[int, int]]) -> None:
        stream, now, most = a_stream(partitions=start), NOW, start
        for target, passed in steps:
            now += passed
            stream = expire_partitions(stream, now)
            before = {p.number: p for p in stream.active}
            if target == len(before):
                continue
            changed = rescale(stream, target, now)
            most = max(most, target)
            assert len(changed.active) == target
            assert covers_the_space(changed)
            assert [p.number for p in changed.partitions] == list(range(len(changed.partitions)))
            assert len(changed.partitions) == most, "numbers are used again before new ones are made"
            for partition in changed.partitions:
                if partition.status is not PartitionStatus.ACTIVE:
                    assert (partition.hash_start, partition.hash_end) == (-1, -1)
            for partition in changed.active:
                expected = {
                    partition_name(old.number)
                    for old in before.values()
                    if old.number != partition.number
                    and old.hash_start <= partition.hash_end
                    and partition.hash_start <= old.hash_end
                }
                assert set(filter(None, partition.parents.split(","))) == expected
            if target < len(before):
                assert numbers(changed, PartitionStatus.ACTIVE) == sorted(before)[:target]
            else:
                assert set(before) <= set(numbers(changed, PartitionStatus.ACTIVE))
            stream = changed


def history(*changes: tuple[float, int, int, bool]) -> list[Scaling]:
    """Changes as (minutes ago, from, to, automatic)."""
    return [
        Scaling(
            stream_id="s",
            number=number,
            occurred_ms=NOW - round(ago * 60_000),
            source=source,
            target=target,
            automatic=automatic,
        )
        for number, (ago, source, target, automatic) in enumerate(changes, 1)
    ]


class TestFrequency:
    """limits-and-rules.md: 10 automatic and 10 manual scale-ups and 1 scale-down an hour."""

    def test_ten_manual_scale_ups(self) -> None:
        nine = history(*[(50 - n, n, n + 1, False) for n in range(9)])
        assert allowed_from(nine, up=True, automatic=False, limits=LIMITS, now_ms=NOW) is None
        ten = [*nine, *history((1, 9, 10, False))]
        again = allowed_from(ten, up=True, automatic=False, limits=LIMITS, now_ms=NOW)
        assert again == NOW + 10 * 60_000, "when the first of the ten is an hour old"
        assert allowed_from(ten, up=True, automatic=False, limits=LIMITS, now_ms=again) is None
        assert allowed_from(ten, up=True, automatic=False, limits=LIMITS, now_ms=again - 1) == again

    def test_manual_and_automatic_scale_ups_count_apart(self) -> None:
        ten = history(*[(30 - n, n, n + 1, True) for n in range(10)])
        assert allowed_from(ten, up=True, automatic=False, limits=LIMITS, now_ms=NOW) is None
        assert allowed_from(ten, up=True, automatic=True, limits=LIMITS, now_ms=NOW) is not None

    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize("second", [True, False])
    def test_scale_downs_count_together(self, first: bool, second: bool) -> None:
        one = history((59, 4, 2, first))
        again = allowed_from(one, up=False, automatic=second, limits=LIMITS, now_ms=NOW)
        assert again == NOW + 60_000
        assert allowed_from(one, up=True, automatic=second, limits=LIMITS, now_ms=NOW) is None

    def test_relaxed_lifts_them(self) -> None:
        many = history(*[(1, n, n + 1, False) for n in range(50)], *[(1, n + 1, n, True) for n in range(50)])
        relaxed = PROFILES["relaxed"]
        for up in (True, False):
            assert allowed_from(many, up=up, automatic=False, limits=relaxed, now_ms=NOW) is None
        assert kept_for_rules(relaxed) == 0
        assert kept_for_rules(LIMITS) == 21

    def test_a_clock_set_back_forbids_nothing_for_long(self) -> None:
        ahead = history((-100, 4, 2, False))
        assert allowed_from(ahead, up=False, automatic=False, limits=LIMITS, now_ms=NOW) is None

    def test_times_round_up(self) -> None:
        assert time_text(1_700_000_000_001) == "2023-11-14T22:13:21Z"


class TestLoad:
    def test_shares_of_the_bandwidth(self) -> None:
        seen = load(5, RATE, bytes_in=5 * MB * 30, records_in=0, bytes_out=5 * 2 * MB * 15, throttled=0)
        assert seen == Load(0.5, 0.25, False)

    def test_the_fuller_of_bytes_and_records_counts(self) -> None:
        """A COMMON partition takes 1 MB or 1,000 records a second, whichever comes first."""
        seen = load(1, RATE, bytes_in=60, records_in=54_000, bytes_out=0, throttled=3)
        assert seen is not None
        assert seen.upload == 0.9
        assert seen.throttled is True

    def test_without_a_write_rate_there_is_nothing_to_compare_with(self) -> None:
        free = PROFILES["relaxed"].common
        assert load(1, free, bytes_in=1 << 40, records_in=1, bytes_out=0, throttled=0) is None
        some = PartitionRate(write_bytes=UNLIMITED, write_records=10, read_bytes=UNLIMITED)
        assert load(1, some, bytes_in=1 << 40, records_in=300, bytes_out=1 << 40, throttled=0) == Load(
            0.5, 0, False
        )


def ask(
    active: int,
    seen: Load,
    changes: Sequence[Scaling] = (),
    *,
    bounds: tuple[int, int] = (1, 50),
    room: int = 100,
    limits: Limits = LIMITS,
) -> Decision:
    return decide(active, seen, bounds, changes, room=room, limits=limits, now_ms=NOW)


BUSY = Load(0.9, 0.9, True)
IDLE = Load(0.1, 0.1, False)


class TestDecide:
    @pytest.mark.parametrize(
        ("active", "target"), [(1, 2), (2, 4), (3, 5), (4, 7), (5, 9), (6, 10), (9, 15), (30, 50)]
    )
    def test_up_to_the_count_divided_by_six_tenths(self, active: int, target: int) -> None:
        assert ask(active, BUSY) == Decision(target)

    @pytest.mark.parametrize(("active", "target"), [(2, 1), (3, 1), (4, 2), (5, 2), (50, 25)])
    def test_down_to_half(self, active: int, target: int) -> None:
        assert ask(active, IDLE) == Decision(target)

    @pytest.mark.parametrize(
        "seen",
        [
            Load(0.8, 0, True),  # not more than 80 %
            Load(0.99, 0, False),  # nothing throttled
            Load(0.3, 0, False),  # not less than 30 %
            Load(0, 0.3, False),
            Load(0.5, 0.5, True),
            Load(0.29, 0.9, False),
            Load(0.9, 0.29, False),
        ],
    )
    def test_stays(self, seen: Load) -> None:
        assert ask(4, seen) == Decision()

    @pytest.mark.parametrize("seen", [Load(0.8001, 0, True), Load(1.2, 0, True)])
    def test_just_above(self, seen: Load) -> None:
        assert ask(4, seen).target == 7

    def test_just_below(self) -> None:
        assert ask(4, Load(0.2999, 0.2999, True)).target == 2

    def test_bounds(self) -> None:
        assert ask(5, BUSY, bounds=(1, 7)) == Decision(7)
        assert ask(5, BUSY, bounds=(1, 5)) == Decision()
        assert ask(5, BUSY, bounds=(1, 3)) == Decision()
        assert ask(5, IDLE, bounds=(4, 10)) == Decision(4)
        assert ask(5, IDLE, bounds=(5, 10)) == Decision()
        assert ask(5, IDLE, bounds=(7, 10)) == Decision()
        assert ask(1, IDLE, bounds=(0, 0)) == Decision()

    def test_quota(self) -> None:
        assert ask(5, BUSY, room=2) == Decision(7, quota=True)
        blocked = ask(5, BUSY, room=0)
        assert (blocked.target, blocked.quota) == (None, True)
        assert blocked.blocked

    @pytest.mark.parametrize(
        ("changes", "up", "down"),
        [
            # more than a minute between automatic ones
            (history((1.0, 3, 5, True)), False, False),
            (history((1.001, 3, 5, True)), True, False),
            (history((2.0, 3, 5, True)), True, False),
            (history((2.001, 3, 5, True)), True, True),
            # no automatic scale-down within two minutes of any scale-up
            (history((0.01, 3, 5, False)), True, False),
            (history((2.0, 3, 5, False)), True, False),
            (history((2.001, 3, 5, False)), True, True),
            # no automatic scale-up within two minutes of any scale-down (and one scale-down an hour)
            (history((0.5, 9, 5, False)), False, False),
            (history((2.0, 9, 5, True)), False, False),
            (history((2.001, 9, 5, True)), True, False),
            (history((59.9, 9, 5, False)), True, False),
            (history((60, 9, 5, False)), True, True),
            # ten automatic scale-ups an hour
            (history(*[(50 - n * 4, n, n + 1, True) for n in range(10)]), False, True),
            (history(*[(50 - n * 4, n, n + 1, False) for n in range(10)]), True, True),
        ],
    )
    def test_times_between(self, changes: list[Scaling], up: bool, down: bool) -> None:
        assert (ask(5, BUSY, changes).target == 9) is up
        assert (ask(5, IDLE, changes).target == 2) is down

    def test_the_eleventh_in_an_hour_says_when(self) -> None:
        ten = history(*[(50 - n * 4, n, n + 1, True) for n in range(10)])
        assert "allowed again from" in ask(5, BUSY, ten).blocked
        down = history((30, 9, 5, True))
        assert ask(5, IDLE, down) == Decision(), "an idle stream can wait in silence"

    @given(
        active=st.integers(1, 1000),
        low=st.integers(1, 50),
        extra=st.integers(0, 1000),
        room=st.integers(-5, 1000),
        seen=st.builds(Load, st.floats(0, 3), st.floats(0, 3), st.booleans()),
        changes=st.lists(
            st.tuples(st.floats(-5, 90), st.integers(1, 9), st.integers(1, 9), st.booleans()), max_size=15
        ),
    )
    def test_never_beyond_what_is_allowed(
        self,
        active: int,
        low: int,
        extra: int,
        room: int,
        seen: Load,
        changes: list[tuple[float, int, int, bool]],
    ) -> None:
        past = history(*[change for change in changes if change[1] != change[2]])
        target = ask(active, seen, past, bounds=(low, low + extra), room=room).target
        if target is None:
            return
        assert target != active
        assert target >= 1
        if target > active:
            assert seen.throttled
            assert seen.upload > 0.8
            assert target <= low + extra
            assert target - active <= room
            assert target <= -(-active * 10 // 6)
        else:
            assert max(seen.upload, seen.download) < 0.3
            assert target >= low
            assert target >= active // 2
        assert allowed_from(past, up=target > active, automatic=True, limits=LIMITS, now_ms=NOW) is None
        for one in past:
            if one.automatic:
                assert abs(NOW - one.occurred_ms) > 60_000
            if one.up is not (target > active):
                assert abs(NOW - one.occurred_ms) > 120_000
