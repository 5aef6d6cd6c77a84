"""`--from`: what it may say, and the cursor it becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli import positions
from penstock.cli.failure import CommandError

NOW = 1_700_000_000_000


def at_time(ms: int) -> dict[str, str]:
    return {"cursor-type": "AT_TIMESTAMP", "timestamp": str(ms)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trim", {"cursor-type": "TRIM_HORIZON"}),
        ("TRIM_HORIZON", {"cursor-type": "TRIM_HORIZON"}),
        ("latest", {"cursor-type": "LATEST"}),
        ("0", {"cursor-type": "AT_SEQUENCE_NUMBER", "starting-sequence-number": "0"}),
        ("007", {"cursor-type": "AT_SEQUENCE_NUMBER", "starting-sequence-number": "7"}),
        ("10m", at_time(NOW - 600_000)),
        ("2h", at_time(NOW - 7_200_000)),
        ("1d", at_time(NOW - 86_400_000)),
        ("999999999d", at_time(0)),
        ("2023-11-14T22:13:20Z", at_time(NOW)),
        ("2023-11-14T23:13:20.5+01:00", at_time(NOW + 500)),
    ],
)
def test_places(text: str, expected: dict[str, str]) -> None:
    assert positions.parse(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "-1", "1.5", "10 minutes", "2023-13-01", "٣"])
def test_other_words_are_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        positions.parse(text, NOW)
    assert caught.value.status == 2
    assert "trim" in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    try:
        place = positions.parse(text, NOW)
    except CommandError:
        return
    assert "cursor-type" in place


@pytest.mark.parametrize(
    ("text", "expected"), [("[3 : 10]", (3, 10)), ("[0:0]", (0, 0)), (None, (0, 0)), ("[-1 : -1]", (-1, -1))]
)
def test_the_range_of_a_partition(text: str | None, expected: tuple[int, int]) -> None:
    assert positions.sequence_range({"sequence_number_range": text}) == expected
