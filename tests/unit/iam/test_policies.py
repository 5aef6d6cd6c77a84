"""The policy language: what is read, what is refused, what a decision is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ApiError
from penstock.iam.policies import Policy, decide, read, read_stored
from penstock.limits import Limits

LIMITS = Limits()


def policy(*statements: tuple[str, str], **more: Any) -> Policy:
    """Statements as (effect, action); `more` goes into each."""
    written = [{"Effect": effect, "Action": [action], **more} for effect, action in statements]
    return read({"Version": "1.1", "Statement": written}, LIMITS)


def allowed(action: str, *policies: Policy, **attributes: str) -> bool | None:
    return decide(policies, action, {f"g:{name}": value for name, value in attributes.items()})


def test_silence_is_not_a_denial() -> None:
    assert allowed("dis:streams:get") is None
    assert allowed("dis:streams:get", policy(("Allow", "dis:streams:list"))) is None
    assert allowed("dis:streams:get", policy(("Allow", "dis:streams:get"))) is True
    assert allowed("dis:streams:get", policy(("Deny", "dis:streams:get"))) is False


def test_deny_wins_wherever_it_stands() -> None:
    allow, deny = policy(("Allow", "dis:*:*")), policy(("Deny", "dis:streams:get"))
    for policies in ((allow, deny), (deny, allow)):
        assert allowed("dis:streams:get", *policies) is False
        assert allowed("dis:streams:list", *policies) is True
    both = policy(("Allow", "dis:*:*"), ("Deny", "dis:streams:*"))
    assert allowed("dis:streams:get", both) is False


@pytest.mark.parametrize(
    ("pattern", "action", "matches"),
    [
        ("dis:streams:get", "dis:streams:get", True),
        ("DIS:STREAMS:GET", "dis:streams:get", True),
        ("dis:appstate:get", "dis:AppState:get", True),
        ("dis:*:get*", "dis:streams:get", True),
        ("dis:*:get*", "dis:records:getx", True),
        ("dis:*:get*", "dis:streams:forget", False),
        ("dis:*:*get", "dis:streams:forget", True),
        ("dis:s*s:get", "dis:streams:get", True),
        ("dis:s*s:get", "dis:stream:get", False),
        ("dis:streams:*", "dis:streamPolicies:create", False),
        ("dis:stream*:*", "dis:streamPolicies:create", True),
        ("*", "dis:streams:get", True),
        ("dis:*", "dis:streams:get", True),
        ("dis:*", "iam:users:getUser", False),
        ("dis", "dis:streams:get", False),
        ("dis:streams", "dis:streams:get", False),
        ("dis:streams:get", "dis:streams", False),
    ],
)
def test_patterns(pattern: str, action: str, matches: bool) -> None:
    assert (allowed(action, policy(("Allow", pattern))) is True) is matches


PART = st.text("ab*", min_size=1, max_size=4)


@given(
    st.lists(PART, min_size=3, max_size=3),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=3, max_size=3),
)
def test_patterns_match_as_regular_expressions_do(pattern: list[str], action: list[str]) -> None:
    expected = all(
        re.fullmatch(part.replace("*", "[ab]*"), have) for part, have in zip(pattern, action, strict=True)
    )
    found = allowed(":".join(action), policy(("Allow", ":".join(pattern))))
    assert (found is True) is expected


EFFECT = st.sampled_from(["Allow", "Deny"])
ACTION = st.sampled_from(["dis:a:get", "dis:a:list", "dis:b:get", "dis:*:get", "dis:a:*", "*"])


@given(st.lists(st.tuples(EFFECT, ACTION), min_size=1, max_size=8), st.permutations(range(8)))
def test_order_and_division_into_policies_do_not_matter(
    statements: list[tuple[str, str]], order: list[int]
) -> None:
    together = policy(*statements)
    apart = [policy(statements[index]) for index in order if index < len(statements)]
    for action in ("dis:a:get", "dis:a:list", "dis:b:get", "dis:c:x"):
        assert allowed(action, together) is allowed(action, *apart)


@pytest.mark.parametrize(
    ("operator", "values", "name", "holds"),
    [
        ("StringEquals", ["anna"], "anna", True),
        ("StringEquals", ["anna", "bert"], "bert", True),
        ("StringEquals", ["anna"], "Anna", False),
        ("StringNotEquals", ["anna"], "anna", False),
        ("StringNotEquals", ["anna"], "bert", True),
        ("StringEqualsIgnoreCase", ["ANNA"], "anna", True),
        ("StringNotEqualsIgnoreCase", ["ANNA"], "anna", False),
        ("StringLike", ["an*"], "anna", True),
        ("StringLike", ["an*"], "bert", False),
        ("StringNotLike", ["an*"], "bert", True),
        ("StringMatch", ["*a"], "anna", True),
        ("StringNotMatch", ["*a"], "anna", False),
        ("StringEquals", "anna", "anna", True),
    ],
)
def test_conditions(operator: str, values: object, name: str, holds: bool) -> None:
    one = policy(("Allow", "dis:*:*"), Condition={operator: {"g:UserName": values}})
    assert (allowed("dis:a:b", one, UserName=name) is True) is holds


def test_all_conditions_must_hold() -> None:
    condition = {"StringEquals": {"g:UserName": ["anna"], "g:DomainName": ["acme"]}}
    one = policy(("Deny", "dis:*:*"), Condition=condition)
    assert allowed("dis:a:b", one, UserName="anna", DomainName="acme") is False
    assert allowed("dis:a:b", one, UserName="anna", DomainName="other") is None


def test_agencies_as_resources() -> None:
    with pytest.raises(ApiError, match="uri"):
        policy(("Allow", "iam:agencies:assume"), Resource={"uri": ["/iam/users/a1"]})
    one = policy(("Allow", "iam:agencies:assume"), Resource={"uri": ["/iam/agencies/a1"]})
    assert decide([one], "iam:agencies:assume", {}, "/iam/agencies/a1") is True
    assert decide([one], "iam:agencies:assume", {}, "/iam/agencies/a2") is None
    assert decide([one], "iam:agencies:assume", {}) is None


@pytest.mark.parametrize("resource", ["*", ["*"], ["dis:*:*:*:*"], None])
def test_every_resource(resource: object) -> None:
    assert allowed("dis:a:b", policy(("Allow", "dis:*:*"), Resource=resource)) is True


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["Version", "Statement", "Depends", "x"]), JSON)
    | st.fixed_dictionaries(
        {
            "Version": st.just("1.1"),
            "Statement": st.lists(
                st.dictionaries(st.sampled_from(["Effect", "Action", "Resource", "Condition"]), JSON),
                max_size=2,
            ),
        }
    )
)
def test_anything_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        read(document, LIMITS)
    except ApiError as error:
        assert error.code in ("DIS.4200", "DIS.4300")


def test_a_stored_policy_outlives_the_limits_it_was_written_under() -> None:
    many = ",".join('{"Effect":"Allow","Action":["dis:a:b"]}' for _ in range(20))
    assert len(read_stored(f'{{"Version":"1.1","Statement":[{many}]}}')) == 20
