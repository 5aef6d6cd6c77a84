"""Groups under a storm of joins, kills, restarts and changes of streams: never two readers of one partition, always to rest
again."""

from __future__ import annotations

import pytest
from tests.support.consumers import Client, World

from penstock.model.groups import Key, StreamView, Wish

NAMED = Wish(keys=(Key("s1"), Key("s2")))
ONE = Wish(keys=(Key("s1"),))
NEW = Wish(keys=(Key("s1"),), rebalance_seconds=20.0)
BY_ID = Wish(keys=(Key("id-1", True),), rebalance_seconds=20.0)
PATTERN = Wish(keys=(), pattern="s[12]")


def event(world: World, number: int) -> None:
    random = world.random
    living = world.living()
    kind = random.choice(("start", "start", "kill", "leave", "restart", "scale", "drop", "make", "nothing"))
    if kind == "start" and len(living) < 8:
        wish, old = random.choice(
            ((NAMED, True), (ONE, True), (NEW, False), (BY_ID, False), (PATTERN, True), (PATTERN, False))
        )
        world.start(wish, old=old)
    elif kind == "kill" and living:
        world.kill(random.choice(living))
    elif kind == "leave" and living:
        world.unsubscribe(random.choice(living))
    elif kind == "restart":
        world.restart()
    elif kind == "scale" and world.streams:
        name = random.choice(sorted(world.streams))
        view = world.streams[name]
        world.change_streams(name, view._replace(numbers=tuple(range(random.randint(1, 6)))))
    elif kind == "drop" and random.random() < 0.3:
        world.change_streams("s2", None)
    elif kind == "make" and "s2" not in world.streams:
        world.change_streams("s2", StreamView(f"id-2-{number}", (0, 1)))


@pytest.mark.parametrize("seed", range(24))
def test_storm(seed: int) -> None:
    world = World(seed)
    for number in range(100):
        event(world, number)
        world.run(world.random.choice((0.1, 1.0, 5.0, 15.0, 40.0)))
    world.change_streams("s1", StreamView("id-1", tuple(range(12))))
    world.run(200.0)
    settled(world)


def settled(world: World) -> None:
    """Everybody who lives reads, and everything is read."""
    living = world.living()
    if not living:
        assert world.group.members(world.now) == []
        return
    assert world.group.stable
    assert sorted(client.name for client in living) == world.group.members(world.now)
    for client in living:
        assert client.stable, client.name
        assert client.told.generation == world.group.generation
    read = [partition for client in living for partition in client.reading]
    assert len(read) == len(set(read))
    wanted = {key.text.removeprefix("id-").replace("1", "s1") for c in living for key in c.wish.keys}
    wanted |= {name for c in living if c.wish.pattern for name in world.streams}
    assert set(read) == {
        (world.streams[name].stream_id, number)
        for name in {"s1" if text.endswith("s1") else text for text in wanted}
        if name in world.streams
        for number in world.streams[name].numbers
    }


@pytest.mark.parametrize("old", [True, False])
def test_two_share_and_one_takes_over(old: bool) -> None:
    world = World(1)
    wish = ONE if old else NEW
    first = world.start(wish, old=old)
    world.run(3)
    assert first.reading == {("id-1", 0), ("id-1", 1), ("id-1", 2)}
    second = world.start(wish, old=old)
    world.run(30)
    assert sorted((len(first.reading), len(second.reading))) == [1, 2]
    world.kill(first)
    world.run(90)
    assert len(second.reading) == 3


@pytest.mark.parametrize("seed", range(5))
def test_a_restart_of_the_server_disturbs_nobody(seed: int) -> None:
    """Members go on reading in the generation they are in."""
    world = World(seed)
    clients = [world.start(NAMED, old=world.random.random() < 0.5) for _ in range(4)]
    world.run(60)
    before = [(client.told, client.reading) for client in clients]
    for _ in range(3):
        world.restart()
        world.run(30)
    assert [(client.told, client.reading) for client in clients] == before
    assert all(client.stable for client in clients)


def test_who_comes_too_late_is_refused_and_disturbs_nobody() -> None:
    world = World(3)
    clients = [world.start(ONE, old=True) for _ in range(3)]
    world.run(40)
    generation = world.group.generation
    extra = world.start(ONE, old=True)
    world.run(200)
    assert extra.refusals
    assert not extra.reading
    assert world.group.generation == generation
    world.kill(clients[0])
    world.run(120)
    assert extra.stable
    assert len(extra.reading) == 1


def test_a_consumer_that_is_started_again_gets_its_place_without_a_refusal() -> None:
    """Clients do not leave when they end (clients.md 1.9): the old one is still a member."""
    world = World(4)
    world.change_streams("s1", StreamView("id-1", (0,)))
    first = world.start(ONE, old=True)
    world.run(5)
    world.kill(first)
    second = world.start(ONE, old=True)
    world.run(45)
    assert second.stable
    assert second.refusals == 0
    assert second.reading == {("id-1", 0)}


def test_a_pattern_follows_streams_that_come_and_go() -> None:
    world = World(5)
    clients: list[Client] = [world.start(PATTERN, old=old) for old in (True, False)]
    world.change_streams("s2", None)
    world.run(40)
    assert {stream for client in clients for stream, _ in client.reading} == {"id-1"}
    world.change_streams("s2", StreamView("id-9", (0, 1)))
    world.run(40)
    assert {stream for client in clients for stream, _ in client.reading} == {"id-1", "id-9"}
