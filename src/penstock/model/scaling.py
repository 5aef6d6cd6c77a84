"""Changing how many partitions a stream has (5.1.5), and when that happens by itself. Owns the rules: which partitions come
and go, what ranges they get, how often it may be done, what traffic asks for; knows no storage and no clock.

Scale-up brings DELETED partitions back, then EXPIRED ones, then adds new numbers; scale-down deletes the highest numbers. The
ranges of all ACTIVE partitions are split anew, so that the space is always covered once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from penstock.limits import UNLIMITED, Limits, PartitionRate
from penstock.model.hashing import split
from penstock.model.streams import Partition, PartitionStatus, Stream, partition_name

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
BUSY_SHARE = 0.8
"""More than this share of the write bandwidth, and throttling: automatic scale-up."""
IDLE_SHARE = 0.3
"""Less than this share of both bandwidths: automatic scale-down."""
SETTLE_MS = 2 * MINUTE_MS
"""No automatic change within this time of one in the other direction."""


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a stream's partition count, as it is logged; `number` counts them from 1."""

    stream_id: str
    number: int
    occurred_ms: int
    source: int
    target: int
    automatic: bool = False

    @property
    def up(self) -> bool:
        return self.target > self.source


# What a change does -----------------------------------------------------------------------------------------------


def rescale(stream: Stream, target: int, now_ms: int) -> Stream:
    """The stream with `target` ACTIVE partitions, another number than it has. Partitions that come back keep their numbers:
    their logs go on where they ended."""
    before = stream.active
    assert 1 <= target != len(before)
    if target < len(before):
        numbers = sorted(p.number for p in before)[:target]
    else:
        resting = [
            p.number
            for status in (PartitionStatus.DELETED, PartitionStatus.EXPIRED)
            for p in stream.partitions
            if p.status is status
        ]
        fresh = range(len(stream.partitions), len(stream.partitions) + target)
        numbers = sorted([*(p.number for p in before), *[*resting, *fresh][: target - len(before)]])
    ranges = dict(zip(numbers, split(target), strict=True))
    parents = _parents(before, ranges)
    partitions = [
        _changed(partition, ranges.get(partition.number), parents, now_ms) for partition in stream.partitions
    ]
    partitions += [
        Partition(number=n, hash_start=ranges[n][0], hash_end=ranges[n][1], parents=parents[n])
        for n in numbers
        if n >= len(stream.partitions)
    ]
    return msgspec.structs.replace(stream, partitions=tuple(partitions), modified_ms=now_ms)


def _changed(
    partition: Partition, place: tuple[int, int] | None, parents: dict[int, str], now_ms: int
) -> Partition:
    if place is not None:
        return Partition(
            number=partition.number,
            hash_start=place[0],
            hash_end=place[1],
            parents=parents[partition.number],
        )
    if partition.status is not PartitionStatus.ACTIVE:
        return partition
    return msgspec.structs.replace(
        partition, status=PartitionStatus.DELETED, hash_start=-1, hash_end=-1, deleted_ms=now_ms
    )


def _parents(before: Iterable[Partition], ranges: dict[int, tuple[int, int]]) -> dict[int, str]:
    """Names of the other partitions whose keys go to each partition from now on, which a reader who wants the order of keys
    reads first; separated by commas."""
    old = sorted(before, key=lambda p: p.hash_start)
    parents: dict[int, str] = {}
    first = 0
    for number, (start, end) in sorted(ranges.items(), key=lambda item: item[1]):
        while old[first].hash_end < start:
            first += 1
        names = []
        for partition in old[first:]:
            if partition.hash_start > end:
                break
            if partition.number != number:
                names.append(partition_name(partition.number))
        parents[number] = ",".join(names)
    return parents


# How often --------------------------------------------------------------------------------------------------------


def allowed_from(
    history: Iterable[Scaling], *, up: bool, automatic: bool, limits: Limits, now_ms: int
) -> int | None:
    """When a change of this kind is allowed again, milliseconds; None when it is now. Scale-ups count apart by whether they
    were automatic; scale-downs count together."""
    if not up:
        most = limits.scale_downs_per_hour
    else:
        most = limits.scale_ups_automatic_per_hour if automatic else limits.scale_ups_manual_per_hour
    if most >= UNLIMITED:
        return None
    # A clock that was set back an hour or more must not forbid changes until it gets there again.
    times = sorted(
        one.occurred_ms
        for one in history
        if one.up is up and (not up or one.automatic is automatic) and abs(now_ms - one.occurred_ms) < HOUR_MS
    )
    return None if len(times) < most else times[-most] + HOUR_MS


def kept_for_rules(limits: Limits) -> int:
    """How many of the newest changes `allowed_from` must be given."""
    rules = (
        limits.scale_ups_automatic_per_hour,
        limits.scale_ups_manual_per_hour,
        limits.scale_downs_per_hour,
    )
    return sum(most for most in rules if most < UNLIMITED)


def time_text(ms: int) -> str:
    """Milliseconds as UTC, up to the next second: nobody who waits until then comes too early."""
    return datetime.fromtimestamp(-(-ms // 1000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# Automatic --------------------------------------------------------------------------------------------------------


class Load(NamedTuple):
    """What went through a stream in a minute, as shares of what its ACTIVE partitions carry."""

    upload: float
    download: float
    throttled: bool


def load(
    active: int, rate: PartitionRate, *, bytes_in: int, records_in: int, bytes_out: int, throttled: int
) -> Load | None:
    """The load of a minute. A partition is as full as the fuller of its two write rates, bytes and records. None when
    nothing limits writing: then there is no bandwidth to compare with."""
    if rate.writes_freely:
        return None

    def share(amount: int, per_second: int) -> float:
        return 0.0 if per_second >= UNLIMITED else amount / (active * per_second * 60)

    upload = max(share(bytes_in, rate.write_bytes), share(records_in, rate.write_records))
    return Load(upload, share(bytes_out, rate.read_bytes), throttled > 0)


class Decision(NamedTuple):
    """`target` None: leave it. `blocked` says what forbids a change that traffic asks for; `quota` that it is the quota."""

    target: int | None = None
    blocked: str = ""
    quota: bool = False


_STAY = Decision()


def decide(
    active: int,
    seen: Load,
    bounds: tuple[int, int],
    history: Sequence[Scaling],
    *,
    room: int,
    limits: Limits,
    now_ms: int,
) -> Decision:
    """Whether to scale now. `bounds` are the fewest and most partitions the stream may have by itself, `room` how many the
    quota leaves.

    Up to ceil(n / 0.6) when writes were throttled and more than 80 % of the bandwidth was used; down to floor(n / 2) when
    less than 30 % of both was. More than a minute after any automatic change, more than two after any in the other direction.
    """
    low, high = bounds
    if seen.throttled and seen.upload > BUSY_SHARE:
        target = min(-(-5 * active // 3), high)
        if target <= active or _too_soon(history, up=True, now_ms=now_ms):
            return _STAY
        again = allowed_from(history, up=True, automatic=True, limits=limits, now_ms=now_ms)
        if again is not None:
            most = limits.scale_ups_automatic_per_hour
            return Decision(
                blocked=f"{most} automatic scale-ups within an hour, allowed again from {time_text(again)}"
            )
        if room <= 0:
            return Decision(blocked=f"{active} partitions, and the quota has no more", quota=True)
        return Decision(min(target, active + room), quota=target > active + room)
    if seen.upload < IDLE_SHARE and seen.download < IDLE_SHARE:
        target = max(active // 2, low, 1)
        if target >= active or _too_soon(history, up=False, now_ms=now_ms):
            return _STAY
        if allowed_from(history, up=False, automatic=True, limits=limits, now_ms=now_ms) is not None:
            return _STAY  # an idle stream can wait; nobody need hear of it
        return Decision(target)
    return _STAY


def _too_soon(history: Iterable[Scaling], *, up: bool, now_ms: int) -> bool:
    return any(
        (one.automatic and abs(now_ms - one.occurred_ms) <= MINUTE_MS)
        or (one.up is not up and abs(now_ms - one.occurred_ms) <= SETTLE_MS)
        for one in history
    )
