"""One group, call by call: states, generations, who is waited for and how long (clients.md 1.9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.errors import ApiError
from penstock.limits import Limits
from penstock.model.groups import Group, Heartbeat, Key, Saved, StreamView, Sync, Wish

S = Wish(keys=(Key("s"),))
HURRIED = Wish(keys=(Key("s"),), hurried=True)
NAMED = Wish(keys=(Key("s"),), rebalance_seconds=20.0)
LIMITS = Limits()


class Bench:
    """A group of an app with a stream of three partitions, its clock, and what was written."""

    def __init__(self, limits: Limits = LIMITS, saved: Saved | None = None) -> None:
        self.now = 0.0
        self.streams = {"s": StreamView("id-s", (0, 1, 2)), "t": StreamView("id-t", (0, 1))}
        self.limits = limits
        self.written: list[Saved] = [saved] if saved else []
        self.group = Group("app", limits, self.look, self.now, saved)

    def look(self, key: Key) -> StreamView | None:
        return self.streams.get(key.text)

    def join(self, client: str, wish: Wish = S) -> float:
        return self.group.join(client, wish, self.now)

    def sync(self, client: str) -> Sync:
        self.group.tick(self.now)
        if self.group.to_save is not None:
            self.written.append(self.group.to_save)
            self.group.saved(self.group.to_save)
        return self.group.sync(client, self.now)

    def beat(self, client: str, generation: int | None = None) -> Heartbeat:
        known = self.group.generation if generation is None else generation
        return self.group.heartbeat(client, known, self.now)

    def commit(self, client: str, generation: int | None = None) -> str:
        known = self.group.generation if generation is None else generation
        return refusal(lambda: self.group.check_commit(client, known, self.now))

    def stable(self, *clients: str, wish: Wish = S) -> Bench:
        """With these members, who have synced."""
        for client in clients:
            self.join(client, wish)
        self.now += 1
        for client in clients:
            assert self.sync(client) is Sync.OK
        return self

    def restart(self) -> Bench:
        return Bench(self.limits, self.written[-1])


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except ApiError as error:
        return error.code
    return ""


class TestJoining:
    def test_the_first_waits_a_moment_for_others_who_start_too(self) -> None:
        bench = Bench()
        assert bench.join("a") == 1.0
        bench.now = 0.5
        assert bench.sync("a") is Sync.WAITING
        assert bench.join("b") == 0.5
        bench.now = 1.0
        assert bench.sync("a") is Sync.OK
        assert bench.sync("b") is Sync.OK
        assert bench.group.generation == 1
        assert bench.group.shares("a") == {"s": [0, 2]}
        assert bench.group.shares("b") == {"s": [1]}

    def test_who_is_in_a_hurry_need_not_wait(self) -> None:
        bench = Bench()
        assert bench.join("a", HURRIED) == 0.0
        assert bench.sync("a") is Sync.OK

    def test_a_second_one_waits_for_the_first_to_join_again(self) -> None:
        bench = Bench().stable("a")
        assert bench.join("b") == 10.0
        assert bench.sync("b") is Sync.WAITING
        assert bench.sync("a") is Sync.REJOIN
        assert bench.beat("a") is Heartbeat.JOINING
        assert bench.join("a") == 0.0
        assert bench.beat("a", 1) is Heartbeat.SYNCING
        assert bench.sync("a") is Sync.OK
        assert bench.sync("b") is Sync.OK
        assert bench.group.generation == 2

    def test_a_client_that_asks_every_500_ms_sleeps_less(self) -> None:
        bench = Bench().stable("a", wish=NAMED)
        assert bench.join("b", NAMED) == 1.0

    def test_joining_again_with_the_same_wish_changes_nothing(self) -> None:
        """Threads of version 1.2.20 both join; a consumer that is started again has its old id."""
        bench = Bench().stable("a", "b")
        assert bench.join("a") == 0.0
        assert bench.sync("a") is Sync.OK
        assert bench.beat("b") is Heartbeat.STABLE
        assert bench.group.generation == 1

    def test_joining_again_for_other_streams_is_a_rebalance(self) -> None:
        bench = Bench().stable("a", "b")
        bench.join("a", Wish(keys=(Key("s"), Key("t"))))
        assert bench.beat("b") is Heartbeat.JOINING
        bench.join("b")
        assert bench.sync("a") is Sync.OK
        assert bench.group.shares("a")["t"] == [0, 1]

    def test_keys_are_what_the_member_named(self) -> None:
        bench = Bench()
        bench.streams["id-s"] = bench.streams["s"]
        bench.stable("a", wish=Wish(keys=(Key("id-s", True),)))
        assert bench.group.shares("a") == {"id-s": [0, 1, 2]}


class TestHeartbeats:
    def test_an_unknown_member_is_to_join(self) -> None:
        """GROUP_NOT_EXIST ends version 1.2.2 for good."""
        assert Bench().beat("x", -1) is Heartbeat.JOINING
        assert Bench().beat("x", 7) is Heartbeat.JOINING

    def test_a_member_that_starts_again_is_to_join(self) -> None:
        assert Bench().stable("a").beat("a", -1) is Heartbeat.JOINING

    def test_a_member_of_an_older_generation_is_to_sync(self) -> None:
        bench = Bench().stable("a")
        assert bench.beat("a", 0) is Heartbeat.SYNCING
        assert bench.beat("a", 1) is Heartbeat.STABLE

    def test_a_member_that_has_joined_is_to_sync(self) -> None:
        bench = Bench().stable("a")
        bench.join("b")
        assert bench.beat("b", -1) is Heartbeat.JOINING
        bench.join("a")
        assert bench.beat("a", 1) is Heartbeat.SYNCING


class TestGivingUp:
    def test_silent_for_a_session(self) -> None:
        bench = Bench().stable("a", "b")
        bench.now += LIMITS.group_session_seconds - 1
        assert bench.beat("a") is Heartbeat.STABLE
        bench.now += 1
        assert bench.beat("a") is Heartbeat.JOINING
        bench.join("a")
        assert bench.sync("a") is Sync.OK
        assert bench.group.shares("a") == {"s": [0, 1, 2]}
        assert bench.sync("b") is Sync.REJOIN

    def test_a_rebalance_waits_25_s_for_who_names_no_time(self) -> None:
        bench = Bench().stable("a")
        bench.join("b")
        bench.now += LIMITS.group_rebalance_seconds - 0.1
        assert bench.sync("b") is Sync.WAITING
        bench.now += 0.1
        assert bench.sync("b") is Sync.OK
        assert bench.beat("a", 1) is Heartbeat.JOINING
        assert bench.commit("a", 1) == "DIS.4702"

    def test_longer_for_who_sends_heartbeats_more_seldom(self) -> None:
        """A poll of version 1.2.2 may take 30 s, and no heartbeat comes in it."""
        bench = Bench().stable("a")
        for _ in range(2):
            bench.now += 30
            assert bench.beat("a") is Heartbeat.STABLE
        bench.join("b")
        bench.now += 31
        assert bench.sync("b") is Sync.WAITING
        assert bench.beat("a") is Heartbeat.JOINING
        bench.join("a")
        assert bench.sync("b") is Sync.OK
        assert bench.sync("a") is Sync.OK

    def test_as_long_as_it_says(self) -> None:
        bench = Bench().stable("a", wish=NAMED)
        bench.now += 5
        bench.join("b", NAMED)
        bench.now += 19.9
        assert bench.sync("b") is Sync.WAITING
        bench.now += 0.1
        assert bench.sync("b") is Sync.OK

    @pytest.mark.parametrize("wish", [S, NAMED])
    def test_who_lives_but_never_joins_holds_nobody_up_for_ever(self, wish: Wish) -> None:
        bench = Bench().stable("a", wish=wish)
        bench.join("b", wish)
        for _ in range(9):
            bench.now += 5
            bench.beat("a")
            answer = bench.sync("b")
        assert answer is Sync.OK

    def test_leaving_is_a_rebalance(self) -> None:
        bench = Bench().stable("a", "b")
        bench.group.leave("a", bench.now)
        bench.group.leave("nobody", bench.now)
        assert bench.beat("b") is Heartbeat.JOINING
        assert bench.group.members(bench.now) == ["b"]


class TestCommits:
    def test_codes(self) -> None:
        bench = Bench().stable("a")
        assert bench.commit("a") == ""
        assert bench.commit("x") == "DIS.4702"
        assert bench.commit("") == "DIS.4702"
        assert bench.commit("a", 0) == "DIS.4703"
        assert bench.commit("a", 2) == "DIS.4703"
        assert bench.commit("a", -1) == "DIS.4703"

    def test_during_a_rebalance(self) -> None:
        """A member commits what it has read when its partitions are taken from it, and then joins."""
        bench = Bench().stable("a")
        bench.join("b")
        assert bench.commit("a", 1) == ""
        assert bench.commit("b", 1) == "DIS.4701"
        bench.join("a")
        assert bench.commit("a", 1) == "DIS.4703"
        assert bench.sync("b") is Sync.OK
        assert bench.commit("a", 2) == "DIS.4703"
        assert bench.sync("a") is Sync.OK
        assert bench.commit("a", 2) == ""

    def test_once_joined_and_others_have_not(self) -> None:
        bench = Bench().stable("a", "b")
        bench.join("c")
        bench.join("a")
        assert bench.commit("a") == "DIS.4701"
        assert bench.commit("b") == ""


class TestPlaces:
    def test_as_many_as_partitions(self) -> None:
        bench = Bench()
        for client in "abc":
            bench.join(client)
        assert refusal(lambda: bench.join("d")) == "DIS.4339"
        assert bench.join("d", Wish(keys=(Key("t"),))) > 0

    def test_partitions_of_all_its_streams_count(self) -> None:
        both = Wish(keys=(Key("s"), Key("t")))
        bench = Bench()
        for client in "abcde":
            bench.join(client, both)
        assert refusal(lambda: bench.join("f", both)) == "DIS.4339"

    def test_200_at_most(self) -> None:
        bench = Bench()
        bench.streams["s"] = StreamView("id-s", tuple(range(1000)))
        for number in range(200):
            bench.join(f"m{number}")
        assert refusal(lambda: bench.join("one more")) == "DIS.4339"

    def test_members_stay_when_partitions_go(self) -> None:
        bench = Bench().stable("a", "b", "c")
        bench.streams["s"] = StreamView("id-s", (0,))
        bench.group.streams_changed(bench.now)
        for client in "abc":
            bench.join(client)
        assert [bench.sync(client) for client in "abc"] == [Sync.OK] * 3
        assert [bench.group.shares(client) for client in "abc"] == [{"s": [0]}, {}, {}]

    def test_a_pattern_that_matches_nothing_yet_has_a_place(self) -> None:
        bench = Bench()
        nothing = Wish(keys=(), pattern="x.*")
        for client in "abc":
            bench.join(client, nothing)
        bench.now = 1.0
        assert bench.sync("a") is Sync.OK
        assert bench.group.shares("a") == {}

    def test_who_waits_is_told_once_all_are_known_to_live(self) -> None:
        bench = Bench().stable("a", "b", "c")
        bench.now += 5
        assert bench.join("d") == 10.0
        assert bench.sync("d") is Sync.WAITING
        assert [bench.beat(client) for client in "ab"] == [Heartbeat.STABLE] * 2
        assert bench.sync("d") is Sync.WAITING
        assert bench.beat("c") is Heartbeat.STABLE
        assert refusal(lambda: bench.sync("d")) == "DIS.4339"
        assert bench.sync("d") is Sync.REJOIN
        assert bench.group.members(bench.now) == ["a", "b", "c"]

    def test_who_waits_has_the_place_of_one_that_is_gone(self) -> None:
        bench = Bench().stable("a", "b", "c")
        bench.now += 5
        bench.join("d")
        for client in "ab":
            bench.beat(client)
        bench.now += 20.1
        assert bench.beat("a") is Heartbeat.JOINING
        assert bench.group.members(bench.now) == ["a", "b", "d"]
        for client in "ab":
            bench.join(client)
        assert bench.sync("d") is Sync.OK

    def test_no_more_wait_than_may_be_members(self) -> None:
        bench = Bench(Limits(group_members_max=2)).stable("a", "b")
        bench.now += 5
        bench.join("c")
        bench.join("d")
        assert refusal(lambda: bench.join("e")) == "DIS.4339"


class TestRestart:
    def test_nobody_hears_of_a_generation_before_it_is_written(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.now = 1.0
        assert bench.group.sync("a", bench.now) is Sync.WAITING
        saved = bench.group.to_save
        assert saved is not None
        bench.group.saved(saved)
        assert bench.group.sync("a", bench.now) is Sync.OK

    def test_members_and_generation_survive(self) -> None:
        bench = Bench().stable("a", "b").restart()
        assert bench.beat("a", 1) is Heartbeat.STABLE
        assert bench.sync("b") is Sync.OK
        assert bench.group.shares("b") == {"s": [1]}
        assert bench.commit("a", 1) == ""

    def test_who_is_not_heard_of_within_a_session_is_gone(self) -> None:
        bench = Bench().stable("a", "b").restart()
        bench.now = LIMITS.group_session_seconds - 1
        assert bench.beat("a", 1) is Heartbeat.STABLE
        bench.now += 1
        assert bench.group.members(bench.now) == ["a"]

    def test_an_empty_group_goes_on_counting(self) -> None:
        bench = Bench().stable("a")
        bench.group.leave("a", bench.now)
        assert bench.group.to_save is not None
        bench.written.append(bench.group.to_save)
        bench = bench.restart()
        assert bench.group.members(bench.now) == []
        bench.stable("b")
        assert bench.group.generation == 2

    def test_streams_that_changed_meanwhile(self) -> None:
        bench = Bench().stable("a")
        saved = bench.written[-1]
        group = Group("app", LIMITS, lambda key: StreamView("id-s", (0, 1, 2, 3)), 0.0, saved)
        assert group.heartbeat("a", 1, 0.0) is Heartbeat.JOINING


class TestStreams:
    def test_nothing_happens_when_what_is_read_stays(self) -> None:
        bench = Bench().stable("a")
        bench.streams["t"] = StreamView("id-t", ())
        bench.group.streams_changed(bench.now)
        assert bench.beat("a") is Heartbeat.STABLE

    def test_partitions_come_and_streams_go(self) -> None:
        bench = Bench().stable("a", wish=Wish(keys=(Key("s"), Key("t"))))
        del bench.streams["t"]
        bench.streams["s"] = StreamView("id-s", (0, 1, 2, 3))
        bench.group.streams_changed(bench.now)
        assert bench.beat("a") is Heartbeat.JOINING
        bench.join("a", Wish(keys=(Key("s"), Key("t"))))
        assert bench.sync("a") is Sync.OK
        assert bench.group.shares("a") == {"s": [0, 1, 2, 3]}

    def test_a_pattern_must_be_told_anew_before_it_is_given_a_stream(self) -> None:
        """Version 1.2.2 refuses partitions of a stream that no join has told it."""
        bench = Bench().stable("a", wish=Wish(keys=(Key("s"),), pattern="."))
        both = (Key("s"), Key("t"))
        bench.group.told_anew(lambda _: both, bench.now)
        assert bench.beat("a") is Heartbeat.JOINING
        bench.join("a", Wish(keys=both, pattern="."))
        bench.group.told_anew(lambda _: both, bench.now)
        assert bench.sync("a") is Sync.OK
        assert bench.group.shares("a") == {"s": [0, 1, 2], "t": [0, 1]}

    def test_also_one_that_has_joined_already(self) -> None:
        bench = Bench()
        bench.join("a", Wish(keys=(Key("s"),), pattern="."))
        bench.group.told_anew(lambda _: (Key("s"), Key("t")), bench.now)
        bench.now = 1.0
        assert bench.sync("a") is Sync.REJOIN
