"""A consumer group: who is in it, which generation holds, who reads what (clients.md 1.9). Owns the states and when they change; knows
no storage, no wire and no clock: `now` is seconds on any clock that does not go back, streams are looked up through a function.

STABLE: the generation's assignment holds. JOINING: members were told to join again, and those that have done so wait. A member that
is waited for has until it has been silent for too long; then the group goes on without it. Nobody's partitions are given
to another before their reader has joined again or is given up: no two members of a generation read one partition.

A newcomer to a group that has as many members as its streams have partitions waits too, outside the group, until it is known whether
all of them are alive. Clients do not say goodbye when they end, and whoever starts one again at once must not be refused.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from penstock.errors import ApiError
from penstock.limits import Limits
from penstock.model.assignment import Assignment, assign

HEARTBEAT_SECONDS = 10.0
"""How often clients send heartbeats unless told otherwise; the old Kafka adapter does whatever it is told."""
_MARGIN_SECONDS = 0.5
"""What a heartbeat may be late by."""
_FRESH_SECONDS = 1.0
"""Who was heard of so recently is alive."""
_QUICK_SECONDS = 1.0
"""How long a client that asks again every 500 ms is told to sleep at most; the old adapter asks every 5 s."""


class Heartbeat(StrEnum):
    """Answers to a heartbeat. GROUP_NOT_EXIST is one too, but ends the old adapter for good: it is never given."""

    JOINING = "JOINING"
    SYNCING = "SYNCING"
    STABLE = "STABLE"


class Sync(StrEnum):
    """Answers to a sync."""

    OK = "OK"
    WAITING = "WAITING"
    REJOIN = "REJOIN"


class Key(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A stream as a member names it: what its assignment calls it."""

    text: str
    by_id: bool = False


class Wish(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a member joins with. With a pattern, `keys` are the names it was told to match."""

    keys: tuple[Key, ...]
    pattern: str = ""
    rebalance_seconds: float | None = None
    """How long it would have others waited for; None: it does not say, as the old adapter."""
    hurried: bool = False
    """Whether it need not wait for others when the group is empty (`accelerateAssignEnabled`)."""


class StreamView(NamedTuple):
    """A stream that exists, and the partitions of it that can be read."""

    stream_id: str
    numbers: tuple[int, ...]


Look = Callable[[Key], StreamView | None]
"""Finds a stream of the group's project (by name) or any that may be read (by id)."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What must survive a restart: a row of the catalog. Written once a generation, never for a heartbeat."""

    app_id: str
    generation: int
    members: dict[str, Wish]
    assignment: Assignment


class _Member(msgspec.Struct, kw_only=True):
    """Somebody in the group."""

    wish: Wish
    seen: float
    """When it was last heard of."""
    beat: float | None = None
    """When its last heartbeat of this generation came."""
    gap: float = 0.0
    """Seconds between its last two heartbeats."""
    joined: bool = False
    """Whether it has joined the generation that is being made. Means nothing while STABLE."""
    synced: bool = False
    """Whether it has been told its assignment."""


class _Candidate(msgspec.Struct, kw_only=True):
    """Somebody who waits for a place."""

    wish: Wish
    since: float
    seen: float


class Group:
    """One group. Every call first lets pass what the time since the last one brings about."""

    def __init__(
        self, app_id: str, limits: Limits, look: Look, now: float, saved: Saved | None = None
    ) -> None:
        """`saved` is what the catalog has: its members have all the time of a member to be heard of again."""
        self.app_id = app_id
        self.generation = 0
        self.assignment: Assignment = {}
        self._limits = limits
        self._look = look
        self._members: dict[str, _Member] = {}
        self._candidates: dict[str, _Candidate] = {}
        self._joining = False
        self._since = now
        """When the rebalance began."""
        self._hold_until = now
        """When a group that was empty makes its first generation: others may be starting too."""
        self.to_save: Saved | None = None
        """What the catalog does not know yet. Nobody is told a generation before it does; who has written it says `saved`."""
        if saved is not None:
            self.generation = saved.generation
            self.assignment = saved.assignment
            self._members = {
                client: _Member(wish=wish, seen=now, synced=True) for client, wish in saved.members.items()
            }
            self.streams_changed(now)

    def __repr__(self) -> str:
        state = "joining" if self._joining else "stable"
        return f"<Group {self.app_id}, generation {self.generation}, {len(self._members)} members, {state}>"

    @property
    def stable(self) -> bool:
        """Whether the assignment of `generation` holds."""
        return not self._joining and bool(self._members)

    def saved(self, written: Saved) -> None:
        """The catalog knows of `written` now."""
        if self.to_save is written:
            self.to_save = None

    def _save(self) -> None:
        self.to_save = Saved(
            app_id=self.app_id,
            generation=self.generation,
            members={client: member.wish for client, member in self._members.items()},
            assignment=self.assignment,
        )

    def members(self, now: float) -> list[str]:
        """Who is in it."""
        self.tick(now)
        return sorted(self._members)

    def wish_of(self, client: str) -> Wish | None:
        """What a member joined with; None for who is none."""
        member = self._members.get(client)
        return None if member is None else member.wish

    def idle(self, now: float) -> bool:
        """Whether nobody is or wants to be in it."""
        self.tick(now)
        return not self._members and not self._candidates

    # What clients ask

    def join(self, client: str, wish: Wish, now: float) -> float:
        """Take in a member, or what a member wants now. Seconds after which it is worth to sync. DIS.4339 when all places are taken by
        members that are alive."""
        self.tick(now)
        member = self._members.get(client)
        if member is None:
            if not self._has_place(wish):
                return self._queue(client, wish, now)
            self._admit(client, wish, now)
        else:
            changed = member.wish.keys != wish.keys or member.wish.pattern != wish.pattern
            member.wish = wish
            member.seen = now
            if self._joining:
                member.joined = True
            elif changed:
                self._rebalance(now)
                member.joined = True
        self.tick(now)
        return self._delay(wish, now)

    def sync(self, client: str, now: float) -> Sync:
        """Whether a member may begin to read. DIS.4339 for who waited for a place in vain."""
        self.tick(now)
        member = self._members.get(client)
        if member is None:
            return self._sync_candidate(client, now)
        member.seen = now
        if self._joining:
            return Sync.WAITING if member.joined else Sync.REJOIN
        if self.to_save is not None:
            return Sync.WAITING
        member.synced = True
        member.beat = None
        return Sync.OK

    def heartbeat(self, client: str, generation: int, now: float) -> Heartbeat:
        """What a member has to do next. Unknown members are to join."""
        self.tick(now)
        member = self._members.get(client)
        if member is None:
            return Heartbeat.JOINING
        member.seen = now
        if member.beat is not None:
            member.gap = now - member.beat
        member.beat = now
        if generation < 0:
            # It has just started, or asks for a new start: a known member keeps its partitions.
            return Heartbeat.JOINING
        if self._joining:
            return Heartbeat.SYNCING if member.joined else Heartbeat.JOINING
        if generation != self.generation or not member.synced:
            return Heartbeat.SYNCING
        return Heartbeat.STABLE

    def leave(self, client: str, now: float) -> None:
        """Forget a member; nothing happens when it is none."""
        self.tick(now)
        self._candidates.pop(client, None)
        if client in self._members:
            self._remove([client], now)
            self.tick(now)

    def check_commit(self, client: str, generation: int, now: float) -> None:
        """Whether a member may commit. During a rebalance it may until it has joined again: it commits what it has read when
        its partitions are taken from it. DIS.4701, DIS.4702, DIS.4703."""
        self.tick(now)
        member = self._members.get(client)
        if member is None:
            raise ApiError("DIS.4702", f"[{client[:80]}]")
        if self._joining and member.joined:
            raise ApiError("DIS.4701", f"[after generation {self.generation}]")
        if generation != self.generation or not member.synced:
            raise ApiError("DIS.4703", f"[{generation}, the group is at {self.generation}]")
        member.seen = now

    def shares(self, client: str) -> dict[str, list[int]]:
        """What a member reads, by its own names for the streams. Only after `sync` said OK."""
        member = self._members[client]
        mine = self.assignment.get(client, {})
        found = {}
        for key in member.wish.keys:
            view = self._look(key)
            if view is not None and mine.get(view.stream_id):
                found[key.text] = list(mine[view.stream_id])
        return found

    # What happens to it

    def streams_changed(self, now: float) -> None:
        """Streams or partitions came or went: rebalance if that changes what there is to read."""
        if not self._members:
            return
        if self._joining:
            return  # the generation that is being made looks at the streams when it is made
        _, partitions = self._wanted()
        assigned = {
            (stream, number)
            for share in self.assignment.values()
            for stream, numbers in share.items()
            for number in numbers
        }
        if assigned != {(stream, number) for stream, numbers in partitions.items() for number in numbers}:
            self._rebalance(now)

    def told_anew(self, matching: Callable[[str], tuple[Key, ...]], now: float) -> None:
        """A stream came or went: members whose pattern now matches other names must join again, to be told them."""
        for member in self._members.values():
            pattern = member.wish.pattern
            if pattern and matching(pattern) != member.wish.keys:
                if self._joining:
                    member.joined = False
                else:
                    self._rebalance(now)

    def tick(self, now: float) -> None:
        """Let time pass: give up who has been silent for too long, and make the generation that everybody has joined."""
        limits = self._limits
        session = limits.group_session_seconds
        for client in [c for c, one in self._candidates.items() if now >= one.seen + session]:
            del self._candidates[client]
        gone = [client for client in self._members if now >= self._given_up(client)]
        if gone:
            self._remove(gone, now)
        self._admit_candidates(now)
        if not self._joining or any(not member.joined for member in self._members.values()):
            return
        if now >= self._hold_until:
            self._complete()

    def _given_up(self, client: str) -> float:
        """When a member counts as gone, if nothing is heard of it until then."""
        member = self._members[client]
        session = member.seen + self._limits.group_session_seconds
        if self._joining:
            if member.joined:
                return session
            since = self._since
        else:
            waiting = [one.since for one in self._candidates.values() if one.since > member.seen]
            if not waiting:
                return session
            since = min(waiting)
        named = member.wish.rebalance_seconds
        usual = member.gap * 1.5
        if named is None:
            # Counted from when it was heard of last: one that ended long before the rebalance holds nobody up.
            silent = member.seen + max(self._limits.group_rebalance_seconds, usual)
            return min(silent, since + self._limits.group_session_seconds)
        return min(session, since + max(named, usual))

    def _rebalance(self, now: float) -> None:
        self._joining = True
        self._since = self._hold_until = now
        for member in self._members.values():
            member.joined = False

    def _remove(self, clients: list[str], now: float) -> None:
        for client in clients:
            del self._members[client]
        if not self._members:
            self._joining = False
            self.assignment = {}
            self._save()
        elif not self._joining:
            self._rebalance(now)

    def _admit(self, client: str, wish: Wish, now: float) -> None:
        first = not self._members
        if first or not self._joining:
            self._rebalance(now)
        if first and not wish.hurried:
            self._hold_until = now + self._limits.group_initial_seconds
        self._members[client] = _Member(wish=wish, seen=now, joined=True)

    def _complete(self) -> None:
        wanted, partitions = self._wanted()
        self.assignment = assign(wanted, partitions, self.assignment)
        self.generation += 1
        self._joining = False
        for member in self._members.values():
            member.synced = False
            member.beat = None
        self._save()

    def _wanted(self) -> tuple[dict[str, set[str]], dict[str, tuple[int, ...]]]:
        """Stream ids by member, and the partitions of each."""
        partitions: dict[str, tuple[int, ...]] = {}
        wanted: dict[str, set[str]] = {}
        same: dict[int, set[str]] = {}
        for client, member in self._members.items():
            # Members with one pattern share one tuple of names, which may be long.
            keys = member.wish.keys
            if id(keys) not in same:
                views = self._views(member.wish)
                partitions |= views
                same[id(keys)] = set(views)
            wanted[client] = same[id(keys)]
        return wanted, partitions

    def _views(self, wish: Wish) -> dict[str, tuple[int, ...]]:
        found = (self._look(key) for key in wish.keys)
        return {view.stream_id: view.numbers for view in found if view is not None}

    def _delay(self, wish: Wish, now: float) -> float:
        """Seconds until the generation is probably made: when those who are waited for send their next heartbeat."""
        if not self._joining:
            return 0.0
        expected = self._hold_until
        for member in self._members.values():
            if not member.joined:
                expected = max(expected, member.seen + (member.gap or HEARTBEAT_SECONDS) + _MARGIN_SECONDS)
        most = HEARTBEAT_SECONDS if wish.rebalance_seconds is None else _QUICK_SECONDS
        return min(max(0.0, expected - now), most)

    # Places

    def _has_place(self, wish: Wish) -> bool:
        if len(self._members) >= self._limits.group_members_max:
            return False
        views = self._views(wish)
        places = sum(map(len, views.values()))
        # Without a partition so far (a pattern that matches nothing yet), there is nothing to count against.
        return not places or len(self._rivals(wish)) < places

    def _rivals(self, wish: Wish) -> list[_Member]:
        """Members that read any of the streams."""
        streams = self._views(wish).keys()
        return [
            member for member in self._members.values() if not streams.isdisjoint(self._views(member.wish))
        ]

    def _queue(self, client: str, wish: Wish, now: float) -> float:
        known = self._candidates.get(client)
        since = now if known is None else known.since
        if known is None and len(self._candidates) >= self._limits.group_members_max:
            raise self._full(wish)
        if self._all_alive(wish, now - _FRESH_SECONDS if known is None else since):
            self._candidates.pop(client, None)
            raise self._full(wish)
        self._candidates[client] = _Candidate(wish=wish, since=since, seen=now)
        return HEARTBEAT_SECONDS if wish.rebalance_seconds is None else _QUICK_SECONDS

    def _sync_candidate(self, client: str, now: float) -> Sync:
        candidate = self._candidates.get(client)
        if candidate is None:
            return Sync.REJOIN
        candidate.seen = now
        if not self._all_alive(candidate.wish, candidate.since):
            return Sync.WAITING
        del self._candidates[client]
        raise self._full(candidate.wish)

    def _all_alive(self, wish: Wish, since: float) -> bool:
        members = self._rivals(wish) if len(self._members) < self._limits.group_members_max else None
        return all(member.seen >= since for member in (members or self._members.values()))

    def _admit_candidates(self, now: float) -> None:
        for client, candidate in sorted(self._candidates.items(), key=lambda item: item[1].since):
            if self._has_place(candidate.wish):
                del self._candidates[client]
                self._admit(client, candidate.wish, now)
                self._members[client].seen = candidate.seen

    def _full(self, wish: Wish) -> ApiError:
        return ApiError("DIS.4339", f"[{len(self._rivals(wish))} of them are alive]")
