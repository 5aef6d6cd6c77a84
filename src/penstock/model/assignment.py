"""Which member of a consumer group reads which partition. Owns the arithmetic; knows no group, no time and no wire.

Balanced: no partition could be handed on, directly or along a chain of members, so that two loads that differ by two or more
come closer. Between members that want the same streams that means: they differ by at most one. Sticky: what a member had stays with it
unless balance takes it away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

Assignment = dict[str, dict[str, list[int]]]
"""Member -> stream id -> partition numbers, ascending. Every member has an entry; streams without partitions have none."""


def assign(
    wanted: Mapping[str, AbstractSet[str]],
    partitions: Mapping[str, Sequence[int]],
    before: Mapping[str, Mapping[str, Sequence[int]]],
) -> Assignment:
    """Give every partition of a stream that anybody wants to one of those who want it.

    `wanted` is member -> stream ids, `partitions` stream id -> partition numbers, `before` the assignment that held until now.
    The same arguments give the same result, in whatever order they come.
    """
    board = _Board(wanted)
    unplaced: list[tuple[str, int]] = []
    for stream in sorted(partitions):
        if not board.takers.get(stream):
            continue
        owners = {
            number: member
            for member in sorted(before)
            for number in before[member].get(stream, ())
            if stream in wanted.get(member, ())
        }
        for number in partitions[stream]:
            if number in owners:
                board.give(owners[number], stream, number, kept=True)
            else:
                unplaced.append((stream, number))
    # Streams that few want first: their partitions have the least choice.
    unplaced.sort(key=lambda place: (len(board.takers[place[0]]), place))
    for stream, number in unplaced:
        board.give(min(board.takers[stream], key=lambda m: (board.load[m], m)), stream, number, kept=False)
    while board.level():
        pass
    return board.result()


class _Board:
    """Who has what while it is being decided."""

    def __init__(self, wanted: Mapping[str, AbstractSet[str]]) -> None:
        self.load = dict.fromkeys(sorted(wanted), 0)
        self.takers: dict[str, list[str]] = {}
        for member in self.load:
            for stream in wanted[member]:
                self.takers.setdefault(stream, []).append(member)
        self._has: dict[str, dict[str, dict[int, bool]]] = {member: {} for member in self.load}
        """Member -> stream -> partition number -> whether the member had it before."""

    def give(self, member: str, stream: str, number: int, *, kept: bool) -> None:
        self._has[member].setdefault(stream, {})[number] = kept
        self.load[member] += 1

    def level(self) -> bool:
        """Bring two loads closer by one, if any two that differ by two or more can be; whether any could."""
        if not self.load:
            return False
        lowest = min(self.load.values())
        for rich in sorted(self.load, key=lambda m: (-self.load[m], m)):
            if self.load[rich] < lowest + 2:
                return False
            if chain := self._chain(rich):
                for giver, stream, taker in reversed(chain):
                    self._move(giver, stream, taker)
                return True
        return False

    def _chain(self, rich: str) -> list[tuple[str, str, str]]:
        """The shortest way to hand a partition's worth of load from `rich` to a member with at least two less."""
        came: dict[str, tuple[str, str]] = {}
        queue = deque([rich])
        seen = {rich}
        poorest = ""
        while queue and not poorest:
            member = queue.popleft()
            reached = []
            for stream in sorted(self._has[member]):
                if not self._has[member][stream]:
                    continue
                for taker in self.takers[stream]:
                    if taker not in seen:
                        seen.add(taker)
                        came[taker] = (member, stream)
                        reached.append(taker)
            queue.extend(reached)
            able = [taker for taker in reached if self.load[taker] + 2 <= self.load[rich]]
            poorest = min(able, key=lambda m: (self.load[m], m), default="")
        chain = []
        at = poorest
        while at and at != rich:
            giver, stream = came[at]
            chain.append((giver, stream, at))
            at = giver
        return chain[::-1]

    def _move(self, giver: str, stream: str, taker: str) -> None:
        numbers = self._has[giver][stream]
        # What the giver has not had before goes first: nobody has begun to read it.
        number = min(numbers, key=lambda n: (numbers[n], -n))
        del numbers[number]
        self.load[giver] -= 1
        self.give(taker, stream, number, kept=False)

    def result(self) -> Assignment:
        return {
            member: {stream: sorted(has[stream]) for stream in sorted(has) if has[stream]}
            for member, has in self._has.items()
        }
