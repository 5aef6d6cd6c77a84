"""Who may do what with a stream: IAM actions and the stream's policies together (5.1.7, chapter 6)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.errors import ApiError
from penstock.iam.base import Principal
from penstock.model.streams import Right, Stream, StreamPolicy, StreamStatus
from penstock.service.access import Access, granted
from penstock.service.directory import Directory

MINE, THEIRS = "project-a", "project-b"
OWNER = Principal(user_id="a0", user_name="owner", domain_id="A", domain_name="account-a", owner=True)
USER = Principal(user_id="a1", user_name="user", domain_id="A", domain_name="account-a")
STRANGER = Principal(user_id="b0", user_name="owner", domain_id="B", domain_name="account-b", owner=True)
CLERK = Principal(user_id="b1", user_name="clerk", domain_id="B", domain_name="account-b")
WRITE = "dis:records:write"


class Rules:
    """Stands for an identity: what is allowed to whom."""

    def __init__(self, *allowed: tuple[str, str]) -> None:
        self.allowed = set(allowed)
        self.asked: list[tuple[str, str, str, str | None]] = []

    def allows(self, principal: Principal, project_id: str, action: str, enterprise: str | None) -> bool:
        self.asked.append((principal.user_id, project_id, action, enterprise))
        return (principal.user_id, action) in self.allowed

    def within(self, principal: Principal, project_id: str, action: str) -> bool:
        return not principal.narrowed


def stream(*policies: tuple[str, str, Right], name: str = "s", stream_id: str = "ID") -> Stream:
    """A stream of account A; policies as domain, user and right."""
    return Stream(
        stream_id=stream_id,
        project_id=MINE,
        name=name,
        status=StreamStatus.RUNNING,
        retention_hours=24,
        created_ms=0,
        modified_ms=0,
        policies=tuple(StreamPolicy(domain, domain, user, user, right) for domain, user, right in policies),
        partitions=(),
    )


def access(rules: Any = None, *streams: Stream) -> Access:
    directory = Directory()
    for one in streams:
        directory.put(one)
    return Access(rules, directory)


def refused(*args: Any, **fields: Any) -> ApiError:
    who, *rest = args
    with pytest.raises(ApiError) as error:
        who(*rest, **fields)
    return error.value


@pytest.mark.parametrize(
    ("policy", "who", "may"),
    [
        (("B", "", Right.PUT), STRANGER, {Right.PUT, Right.INFO}),
        (("B", "", Right.PUT), CLERK, {Right.PUT, Right.INFO}),
        (("B", "b1", Right.PUT), CLERK, {Right.PUT, Right.INFO}),
        (("B", "b1", Right.PUT), STRANGER, set()),
        (("B", "", Right.GET), STRANGER, {Right.GET, Right.INFO}),
        (("B", "", Right.INFO), STRANGER, {Right.INFO}),
        (("A", "", Right.PUT), STRANGER, set()),
        (("A", "b1", Right.PUT), CLERK, set()),
    ],
)
def test_what_a_policy_grants(policy: tuple[str, str, Right], who: Principal, may: set[Right]) -> None:
    """Each right for itself; whoever has one sees the details."""
    assert {right for right in Right if granted(stream(policy), who, right)} == may


class TestFinding:
    def test_own_streams_by_name_and_by_id(self) -> None:
        one = stream()
        found = access(None, one).find_stream
        assert found(OWNER, MINE, "s", "", Right.PUT) is one
        assert found(OWNER, MINE, "", "ID", Right.PUT) is one
        assert found(OWNER, MINE, None, "ID", Right.PUT) is one
        assert found(OWNER, MINE, "another", "ID", Right.PUT) is one  # table 5-66

    def test_shared_streams_by_id_only(self) -> None:
        one = stream(("B", "", Right.PUT))
        ask = access(None, one)
        assert ask.find_stream(STRANGER, THEIRS, "", "ID", Right.PUT) is one
        assert ask.find_stream(STRANGER, THEIRS, "s", "ID", Right.PUT) is one
        error = refused(ask.find_stream, STRANGER, THEIRS, "s", "", Right.PUT)
        assert (error.code, error.status) == ("DIS.4301", 400)
        assert f"[s][{THEIRS}]" in error.message

    def test_without_the_right_it_is_not_there(self) -> None:
        ask = access(None, stream(("B", "", Right.PUT)))
        error = refused(ask.find_stream, STRANGER, THEIRS, "", "ID", Right.GET, status=404)
        assert (error.code, error.status) == ("DIS.4301", 404)
        same = refused(ask.find_stream, STRANGER, THEIRS, "", "none", Right.GET, status=404)
        assert error.message.replace("ID", "none") == same.message

    def test_a_name_of_ones_own_comes_first(self) -> None:
        shared = stream(("B", "", Right.PUT))
        own = msgspec.structs.replace(stream(stream_id="OWN"), project_id=THEIRS)
        assert access(None, shared, own).find_stream(STRANGER, THEIRS, "s", "ID", Right.PUT) is own

    def test_another_project_of_the_account_needs_a_policy_too(self) -> None:
        assert refused(access(None, stream()).find_stream, OWNER, "a-2", "", "ID", Right.PUT)
        one = stream(("A", "", Right.PUT))
        assert access(None, one).find_stream(OWNER, "a-2", "", "ID", Right.PUT) is one

    def test_neither_name_nor_id(self) -> None:
        assert refused(access(None).find_stream, OWNER, MINE, "", None, Right.PUT).code == "DIS.4200"


class TestActions:
    def test_owners_are_not_asked_for(self) -> None:
        rules = Rules()
        access(rules, stream()).find_stream(OWNER, MINE, "s", "", Right.PUT, WRITE)
        access(rules).check(OWNER, MINE, WRITE)
        assert rules.asked == []

    def test_users_need_the_action_in_the_stream_s_enterprise_project(self) -> None:
        rules = Rules(("a1", WRITE))
        access(rules, stream()).find_stream(USER, MINE, "s", "", Right.PUT, WRITE)
        assert rules.asked == [("a1", MINE, WRITE, "0")]

    def test_the_action_is_named(self) -> None:
        error = refused(access(Rules(), stream()).find_stream, USER, MINE, "s", "", Right.PUT, WRITE)
        assert error.code == "DIS.4116"
        assert f"[{WRITE}]" in error.message

    def test_who_may_not_is_not_told_whether_there_is_a_stream(self) -> None:
        ask = access(Rules(), stream())
        one = refused(ask.find_stream, USER, MINE, "s", "", Right.PUT, WRITE)
        other = refused(ask.find_stream, USER, MINE, "none", "", Right.PUT, WRITE)
        assert one.message == other.message

    @pytest.mark.parametrize(
        ("action", "right"),
        [
            ("dis:records:write", Right.PUT),
            ("dis:records:read", Right.GET),
            ("dis:records:readCursor", Right.GET),
            ("dis:checkpoints:commit", Right.GET),
            ("dis:checkpoints:get", Right.GET),
            ("dis:AppState:get", Right.GET),
            ("dis:streams:get", Right.INFO),
        ],
    )
    def test_a_policy_adds_to_what_a_user_of_the_account_may(self, action: str, right: Right) -> None:
        ask = access(Rules())
        ask.check(USER, MINE, action, stream(("A", "a1", right)))
        ask.check(USER, MINE, action, stream(("A", "", right)))
        assert refused(ask.check, USER, MINE, action, stream(("A", "a2", right))).code == "DIS.4116"
        others = [stream(("A", "a1", other)) for other in Right if other is not right]
        if right is not Right.INFO:
            for other in others:
                assert refused(ask.check, USER, MINE, action, other).code == "DIS.4116"

    @pytest.mark.parametrize(
        "action", ["dis:streams:delete", "dis:streams:update", "dis:streamPolicies:create"]
    )
    def test_no_policy_gives_the_stream_away(self, action: str) -> None:
        one = stream(*(("A", "a1", right) for right in Right))
        assert refused(access(Rules()).check, USER, MINE, action, one).code == "DIS.4116"

    @pytest.mark.parametrize("changes", [{"narrowed": "{}"}, {"assumed": "agency:1"}])
    def test_a_policy_widens_no_temporary_key_and_no_agency(self, changes: dict[str, str]) -> None:
        """A key may be narrowed below what its user may; an agency is none of the account's users."""
        who = msgspec.structs.replace(USER, **changes)
        one = stream(("A", "", Right.PUT))
        assert refused(access(Rules()).check, who, MINE, WRITE, one).code == "DIS.4116"

    def test_users_of_another_account_need_both(self) -> None:
        one = stream(("B", "b1", Right.PUT))
        error = refused(access(Rules(), one).find_stream, CLERK, THEIRS, "", "ID", Right.PUT, WRITE)
        assert error.code == "DIS.4116"
        rules = Rules(("b1", WRITE))
        assert access(rules, one).find_stream(CLERK, THEIRS, "", "ID", Right.PUT, WRITE) is one
        # In their own project, and without the enterprise project of an account that is not theirs.
        assert rules.asked == [("b1", THEIRS, WRITE, None)]
        error = refused(access(rules, stream()).find_stream, CLERK, THEIRS, "", "ID", Right.PUT, WRITE)
        assert error.code == "DIS.4301"
