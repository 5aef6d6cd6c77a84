"""Rules of apps and checkpoints (5.2.1 table 5-39, 5.3.1 table 5-56)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ApiError
from penstock.limits import SEQUENCE_MAX, Limits
from penstock.model import apps as rules

LIMITS = Limits()
POSITIONS = st.integers(0, 1 << 40)


def code_of(error: pytest.ExceptionInfo[ApiError]) -> str:
    return error.value.code


@given(st.text(max_size=210))
def test_names(name: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,200}", name, re.ASCII) and not name.endswith("\n"):
        assert rules.app_name(name, LIMITS) == name
    else:
        with pytest.raises(ApiError) as error:
            rules.app_name(name, LIMITS)
        assert code_of(error) == "DIS.4200"


@given(st.integers(0, SEQUENCE_MAX))
def test_every_sequence_number_is_one(number: int) -> None:
    assert rules.sequence_number(str(number)) == number


@given(st.one_of(st.text(), st.integers(max_value=-1).map(str), st.integers(SEQUENCE_MAX + 1).map(str)))
def test_nothing_else_is(text: str) -> None:
    if re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) and not text.endswith("\n") and int(text) <= SEQUENCE_MAX:
        return
    with pytest.raises(ApiError) as error:
        rules.sequence_number(text)
    assert code_of(error) == "DIS.4216"


@given(POSITIONS, POSITIONS, POSITIONS)
def test_the_range_is_from_0_to_the_end(sequence: int, one: int, other: int) -> None:
    earliest, following = sorted((one, other))
    if sequence <= following:
        assert rules.within_range(sequence, earliest, following) == sequence
        return
    with pytest.raises(ApiError) as error:
        rules.within_range(sequence, earliest, following)
    assert code_of(error) == "DIS.4224"
    # clients.md section 5: the Java SDK takes the three numbers from the brackets.
    found = re.findall(r"\[(\d+)\]", error.value.message)
    assert found == [str(sequence), str(earliest), str(following)]


@given(st.none() | POSITIONS, POSITIONS, POSITIONS)
def test_lag_is_what_can_still_be_read(sequence: int | None, one: int, other: int) -> None:
    earliest, following = sorted((one, other))
    lag = rules.lag(sequence, earliest, following)
    assert 0 <= lag <= following - earliest
    if sequence is None:
        assert lag == following - earliest
    elif earliest <= sequence <= following:
        assert lag == following - sequence


def test_metadata_counts_characters() -> None:
    assert rules.metadata("名" * 1000, LIMITS) == "名" * 1000
    with pytest.raises(ApiError):
        rules.metadata("m" * 1001, LIMITS)
