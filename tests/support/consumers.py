"""Consumers that follow clients.md 1.9 step by step, against one group, on a clock that the simulation moves.

Owns the clients of both adapter versions, the events that befall them and the server, and what must always hold.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from penstock.errors import ApiError
from penstock.limits import Limits
from penstock.model.groups import Group, Heartbeat, Key, Saved, StreamView, Sync, Wish
from penstock.model.patterns import Pattern

LIMITS = Limits(group_members_max=12)
Partition = tuple[str, int]


class Told(NamedTuple):
    """What a sync said."""

    generation: int
    shares: dict[str, list[int]]


class Client:
    """One consumer: a generator that yields the seconds it sleeps between two requests."""

    def __init__(self, world: World, name: str, wish: Wish, *, old: bool) -> None:
        self.world = world
        self.name = name
        self.wish = wish
        self.old = old
        self.alive = True
        self.stable = False
        self.refusals = 0
        self.reading: set[Partition] = set()
        self.told = Told(-1, {})
        self.steps = self._run()

    def _run(self) -> Iterator[float]:
        world, syncing, generation = self.world, False, -1
        while True:
            state = world.heartbeat(self, generation)
            if state is Heartbeat.STABLE and (syncing or self.stable):
                if not self.stable:
                    self._assigned()
                syncing = False
                # Version 1.2.2 sends heartbeats from its polls; when one takes long, the next comes late.
                yield 10 + world.random.random() * (3 if self.old else 0.2)
                continue
            if self.stable:
                self.stable = False
                self._revoked()
            try:
                if state is not Heartbeat.SYNCING:
                    yield from self._join()
                yield from self._sync()
                syncing, generation = True, self.told.generation
            except ApiError as error:
                assert error.code == "DIS.4339", error
                self.refusals += 1
                syncing = False
                yield world.random.random()  # whoever polls catches the exception and polls again

    def _join(self) -> Iterator[float]:
        yield self.world.join(self)
        if not self.old and self.world.random.random() < 0.3:
            # Version 1.2.20 has a thread for heartbeats, which joins too when it hears that it is to join.
            self.world.heartbeat(self, self.told.generation)
            yield self.world.join(self)

    def _sync(self) -> Iterator[float]:
        while (answer := self.world.sync(self)) is not Sync.OK:
            if answer is Sync.WAITING:
                yield 5.0 if self.old else 0.5
            else:
                yield from self._join()

    def _assigned(self) -> None:
        """What it reads from now on, by stream id."""
        self.stable = True
        self.reading = self.world.resolved(self.told.shares)
        self.world.check_readers(self)

    def _revoked(self) -> None:
        self.world.commit(self)
        self.reading = set()


class World:
    """Streams, a server with its catalog, and clients."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 1000.0
        self.streams: dict[str, StreamView] = {
            "s1": StreamView("id-1", (0, 1, 2)),
            "s2": StreamView("id-2", (0, 1)),
        }
        self.catalog: Saved | None = None
        self.group = Group("app", LIMITS, self.look, self.now)
        self.clients: dict[str, Client] = {}
        self.queue: list[tuple[float, int, Client]] = []
        self.numbers = itertools.count()
        self.owners: dict[int, dict[Partition, str]] = {}
        """Generation -> partition -> who was told to read it."""
        self.highest = 0
        self.restarts = 0

    # What a server is asked

    def look(self, key: Key) -> StreamView | None:
        if key.by_id:
            return next((view for view in self.streams.values() if view.stream_id == key.text), None)
        return self.streams.get(key.text)

    def matching(self, pattern: str) -> tuple[Key, ...]:
        return tuple(Key(name) for name in sorted(self.streams) if Pattern(pattern).matches(name))

    def heartbeat(self, client: Client, generation: int) -> Heartbeat:
        return self.group.heartbeat(client.name, generation, self.now)

    def join(self, client: Client) -> float:
        wish = client.wish
        if wish.pattern:
            wish = Wish(keys=self.matching(wish.pattern), pattern=wish.pattern)
        return self.group.join(client.name, wish, self.now)

    def sync(self, client: Client) -> Sync:
        self.group.tick(self.now)
        self.save()
        answer = self.group.sync(client.name, self.now)
        if answer is Sync.OK:
            client.told = Told(self.group.generation, self.group.shares(client.name))
            self._note(client)
        return answer

    def commit(self, client: Client) -> None:
        """While its partitions are taken from it, a member commits what it has read; its generation is the one it knows."""
        try:
            self.group.check_commit(client.name, client.told.generation, self.now)
        except ApiError as error:
            assert error.code in ("DIS.4702", "DIS.4703"), error

    def save(self) -> None:
        if self.group.to_save is not None:
            self.catalog = self.group.to_save
            self.group.saved(self.catalog)

    # What must always hold

    def resolved(self, shares: dict[str, list[int]]) -> set[Partition]:
        found = set()
        for text, numbers in shares.items():
            view = self.look(Key(text, text.startswith("id-")))
            if view is not None:
                found |= {(view.stream_id, number) for number in numbers}
        return found

    def _note(self, client: Client) -> None:
        generation = client.told.generation
        assert generation >= self.highest, "a generation that was told before"
        self.highest = generation
        owners = self.owners.setdefault(generation, {})
        for partition in self.resolved(client.told.shares):
            assert owners.setdefault(partition, client.name) == client.name, "two members, one partition"

    def check_readers(self, client: Client) -> None:
        """Nobody who lives reads what another is given."""
        for other in self.clients.values():
            if other is not client and other.alive:
                assert not (client.reading & other.reading), f"{client.name} and {other.name} at {self.now}"

    def check_complete(self) -> None:
        """In STABLE every partition that anybody wants has a reader."""
        if self.group.stable:
            wishes = (self.group.wish_of(name) for name in self.group.assignment)
            keys = {key for wish in wishes if wish is not None for key in wish.keys}
            views = {view for key in keys if (view := self.look(key)) is not None}
            wanted = {(view.stream_id, number) for view in views for number in view.numbers}
            assigned = [
                (stream, number)
                for share in self.group.assignment.values()
                for stream, numbers in share.items()
                for number in numbers
            ]
            assert sorted(assigned) == sorted(wanted)

    # What happens

    def start(self, wish: Wish, *, old: bool) -> Client:
        client = Client(self, f"c{len(self.clients)}", wish, old=old)
        self.clients[client.name] = client
        heapq.heappush(self.queue, (self.now, next(self.numbers), client))
        return client

    def kill(self, client: Client) -> None:
        client.alive = client.stable = False
        client.reading = set()

    def unsubscribe(self, client: Client) -> None:
        self.kill(client)
        self.group.leave(client.name, self.now)
        self.save()

    def restart(self) -> None:
        """Everything that is not in the catalog is forgotten; the clock of the new process starts anywhere."""
        self.restarts += 1
        saved = self.catalog
        self.group = Group("app", LIMITS, self.look, self.now, saved)
        self.group.told_anew(self.matching, self.now)

    def change_streams(self, name: str, view: StreamView | None) -> None:
        if view is None:
            self.streams.pop(name, None)
        else:
            self.streams[name] = view
        for client in self.clients.values():
            # Records of a stream that is gone cannot be read by anybody.
            client.reading &= {(v.stream_id, n) for v in self.streams.values() for n in v.numbers}
        self.group.streams_changed(self.now)
        self.group.told_anew(self.matching, self.now)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.queue and self.queue[0][0] <= until:
            self.now, _, client = heapq.heappop(self.queue)
            if client.alive:
                sleep = next(client.steps)
                heapq.heappush(self.queue, (self.now + sleep + 0.001, next(self.numbers), client))
            self.check_complete()
        self.now = until

    def living(self) -> list[Client]:
        return [client for client in self.clients.values() if client.alive]
