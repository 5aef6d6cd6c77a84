"""Java's regular expressions of stream names, against Python's where both mean the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.model.patterns import BadPattern, Pattern

_ATOMS = ["a", "b", "-", "_", "1", ".", "[ab]", "[^a]", "[a-c1]", r"\d", r"\w", r"\.", r"\-", "^", "$"]
_SIGNS = ["", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "{0}", "*?"]


def patterns() -> st.SearchStrategy[str]:
    atom = st.sampled_from(_ATOMS)

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        group = st.tuples(st.sampled_from(["(", "(?:"]), inner, st.sampled_from(_SIGNS))
        return st.one_of(
            group.map(lambda parts: f"{parts[0]}{parts[1]}){parts[2]}"),
            st.lists(inner, max_size=3).map("".join),
            st.lists(inner, min_size=2, max_size=3).map("|".join),
        )

    return st.recursive(atom, larger, max_leaves=8)


@given(patterns(), st.text("abc-_1", max_size=8))
def test_matches_what_python_matches(pattern: str, name: str) -> None:
    assert Pattern(pattern).matches(name) == bool(re.fullmatch(pattern, name))


@pytest.mark.parametrize(
    ("pattern", "matches", "not_"),
    [
        (r"\Qa.b\E.*", "a.bc", "axbc"),
        (r"\Qa.b", "a.b", "a.bc"),
        (r"\Qab\E+", "abb", "abab"),
        ("(?i)Orders-[a-f]", "oRDERS-F", "orders-g"),
        (r"\p{Lower}\p{Digit}+", "a12", "A12"),
        (r"\P{Alpha}+", "12-", "1a"),
        ("[a-z&&[^m]]+", "no", "nom"),
        ("[ab[xy]]+", "axby", "c"),
        ("(?<kind>orders|bills)-v[12]", "bills-v2", "bills-v3"),
        ("a|b|", "", "c"),
        (r"\x41\u0042", "AB", "ab"),
        (r"logs\.\w+", "logs.a", "logs_a"),
        (".*", "anything-1_2", "two\nlines"),
    ],
)
def test_java(pattern: str, matches: str, not_: str) -> None:
    compiled = Pattern(pattern)
    assert compiled.matches(matches)
    assert not compiled.matches(not_)


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "a)",
        "(a",
        "[a",
        "[z-a]",
        "*",
        "a**",
        "a++",
        "a{",
        "a{x}",
        "a{3,2}",
        "a{99999}",
        "\\",
        r"(a)\1",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?>a)",
        r"\bword\b",
        r"\p{Han}",
        r"\p{Lower",
        r"\xZZ",
        "(" * 50 + ")" * 50,
    ],
)
def test_what_cannot_be_read_is_said_so(pattern: str) -> None:
    with pytest.raises(BadPattern):
        Pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["((a+)+)+b", "(a|aa)*b", "(((((a*)*)*)*)*)*b", "(a?){64}a{64}b", "(.*.*.*.*.*)*b"]
)
def test_no_pattern_takes_long(pattern: str) -> None:
    """Each of them would keep an engine that goes back busy for ages."""
    assert not Pattern(pattern).matches("a" * 64)


@given(st.text(max_size=40), st.text("abc-_1", max_size=64))
def test_any_text_is_read_or_refused(pattern: str, name: str) -> None:
    try:
        compiled = Pattern(pattern)
    except BadPattern:
        return
    compiled.matches(name)
