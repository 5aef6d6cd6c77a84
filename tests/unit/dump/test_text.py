"""Text files: the records as they are (5.5.1 `record_delimiter`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import chunks_of, only, patient

from penstock.dump.base import Chunk
from penstock.dump.formats.text import TextFormat
from penstock.model.tasks import NO_DELIMITER, RECORD_DELIMITERS


@pytest.mark.parametrize(
    ("delimiter", "file"),
    [
        (",", b"one,two,three,four"),
        (";", b"one;two;three;four"),
        ("|", b"one|two|three|four"),
        ("\n", b"one\ntwo\nthree\nfour\n"),
        (NO_DELIMITER, b"onetwothreefour"),
    ],
)
def test_delimiters_stand_between_records_and_a_newline_ends_each(delimiter: str, file: bytes) -> None:
    encoded, body = only(TextFormat(delimiter).encode(chunks_of([b"one", b"two", b"three", b"four"])))
    assert (encoded.name, encoded.records) == (".txt", 4)
    assert body == file


@patient
@given(
    st.lists(st.binary(max_size=8), min_size=1),
    st.integers(1, 4),
    st.sampled_from([*RECORD_DELIMITERS, "NULL"]),
)
def test_the_same_file_however_records_were_appended(records: list[bytes], size: int, delimiter: str) -> None:
    format_ = TextFormat(delimiter)
    encoded, body = only(format_.encode(chunks_of(records, size)))
    assert body == only(format_.encode(chunks_of(records, len(records))))[1]
    assert encoded.records == len(records)
    assert encoded.body.size == len(body)


@patient
@given(st.lists(st.binary(max_size=8).filter(lambda data: b"\n" not in data), min_size=1), st.integers(1, 4))
def test_lines_of_files_that_are_put_together_are_the_records(records: list[bytes], size: int) -> None:
    whole = b"".join(only(TextFormat("\n").encode([chunk]))[1] for chunk in chunks_of(records, size))
    assert whole.split(b"\n") == [*records, b""]


def test_no_records_no_file() -> None:
    assert TextFormat("\n").encode([]) == ([], [])
    assert TextFormat(",").encode([Chunk(0, 0, None, [])]) == ([], [])
