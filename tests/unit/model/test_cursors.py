"""Cursors: 5.4.2 ("1 to 512 characters", "5 minutes"), clients.md section 4, and forgery (R15)."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ApiError
from penstock.limits import SEQUENCE_MAX
from penstock.model.cursors import Cursor, CursorCodec, CursorType

NOW = 1_764_000_000_000
CODEC = CursorCodec(b"k" * 32)
NAMES = st.text("abcXYZ019_-", min_size=1, max_size=64)
CURSORS = st.builds(
    Cursor,
    NAMES,
    st.text("abcXYZ019", min_size=20, max_size=20),
    st.integers(0, 9_999),
    st.sampled_from(CursorType),
    st.integers(0, SEQUENCE_MAX),
    st.just(NOW),
)


@given(CURSORS)
def test_what_was_written_is_read_back_within_512_characters(cursor: Cursor) -> None:
    text = CODEC.encode(cursor, "p1")
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,512}", text)
    assert CODEC.decode(text, "p1", NOW) == cursor


def test_the_longest_cursor_fits() -> None:
    """5.4.3 table 5-78: at most 512 characters, with the longest of everything in it."""
    cursor = Cursor("n" * 64, "i" * 20, 9_999_999_999, CursorType.AFTER_SEQUENCE_NUMBER, SEQUENCE_MAX, NOW)
    assert len(CODEC.encode(cursor, "p" * 64)) <= 512


@given(CURSORS)
def test_the_kafka_adapter_can_decode_it(cursor: Cursor) -> None:
    """clients.md 4: exactly these keys outside, the resolved sequence number inside."""
    text = CODEC.encode(cursor, "p1")
    decoded = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert set(decoded) == {"getIteratorParam", "generateTimestamp"}
    assert decoded["generateTimestamp"] == NOW
    assert decoded["getIteratorParam"]["starting-sequence-number"] == str(cursor.sequence)
    assert decoded["getIteratorParam"]["stream-name"] == cursor.stream_name


def _code(text: str, project: str = "p1", now: int = NOW, codec: CursorCodec = CODEC) -> str:
    with pytest.raises(ApiError) as caught:
        codec.decode(text, project, now)
    return caught.value.code


def test_every_flipped_bit_is_refused() -> None:
    text = CODEC.encode(Cursor("s", "i" * 20, 0, CursorType.LATEST, 5, NOW), "p1")
    for index in range(len(text)):
        for bit in range(7):
            changed = text[:index] + chr(ord(text[index]) ^ (1 << bit)) + text[index + 1 :]
            assert _code(changed) == "DIS.4217", (index, bit)


@given(CURSORS, st.integers(0, 600), st.integers(0, 600))
def test_a_part_of_a_cursor_is_refused(cursor: Cursor, start: int, stop: int) -> None:
    text = CODEC.encode(cursor, "p1")
    part = text[start:stop]
    if part != text:
        assert _code(part) == "DIS.4217"


@given(CURSORS, CURSORS, st.integers(1, 400))
def test_spliced_cursors_are_refused(one: Cursor, other: Cursor, at: int) -> None:
    first, second = CODEC.encode(one, "p1"), CODEC.encode(other, "p1")
    spliced = first[:at] + second[at:]
    if spliced not in (first, second):
        assert _code(spliced) == "DIS.4217"


@given(st.text(max_size=520))
def test_any_text_is_refused(text: str) -> None:
    assert _code(text) == "DIS.4217"


@given(CURSORS)
def test_bound_to_project_and_key(cursor: Cursor) -> None:
    text = CODEC.encode(cursor, "p1")
    assert _code(text, "p2") == "DIS.4217"
    assert _code(text, codec=CursorCodec(b"other key other key")) == "DIS.4217"


@pytest.mark.parametrize(
    ("age_ms", "refused"), [(0, False), (300_000, False), (300_001, True), (-300_001, True)]
)
def test_valid_for_five_minutes_to_the_millisecond(age_ms: int, refused: bool) -> None:
    """5.4.2 table 5-71: "The validity period of a data cursor is 5 minutes"; R15: expired by 1 ms."""
    text = CODEC.encode(Cursor("s", "i" * 20, 0, CursorType.LATEST, 5, NOW), "p1")
    if refused:
        assert _code(text, now=NOW + age_ms) == "DIS.4225"
    else:
        assert CODEC.decode(text, "p1", NOW + age_ms).sequence == 5


def test_513_characters_are_refused() -> None:
    with pytest.raises(ApiError) as caught:
        CODEC.decode("A" * 513, "p1", NOW)
    assert "partition-cursor: 513 characters" in caught.value.message
