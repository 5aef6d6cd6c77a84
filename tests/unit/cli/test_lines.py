"""Lines in batches: nothing is lost, nothing is made up, nothing is held back."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli import lines


def batched(content: bytes, *, records: int = 500, size: int = 1 << 20) -> list[list[bytes]]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return list(lines.batches(file.fileno(), records=records, size=size))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\nb", [b"a", b"b"]),
        (b"\n\na\n", [b"", b"", b"a"]),
        (b"a\r\nb\x00\xff\n", [b"a\r", b"b\x00\xff"]),
    ],
)
def test_lines(content: bytes, expected: list[bytes]) -> None:
    assert [line for batch in batched(content) for line in batch] == expected


@given(
    st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b"")), max_size=60),
    st.integers(1, 9),
    st.integers(1, 40),
)
def test_batches_hold_all_lines_in_order_and_keep_their_limits(
    content: list[bytes], records: int, size: int
) -> None:
    found = batched(b"".join(line + b"\n" for line in content), records=records, size=size)
    assert [line for batch in found for line in batch] == content
    for batch in found:
        assert 1 <= len(batch) <= records
        assert len(batch) == 1 or sum(map(len, batch)) <= size


def test_a_line_longer_than_a_read() -> None:
    long = b"x" * 1_000_000
    assert batched(long + b"\ny\n", size=10) == [[long], [b"y"]]


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES", 1000)
    (tmp_path / "f").write_bytes(b"x" * 300_000)
    with (tmp_path / "f").open("rb") as file, pytest.raises(ValueError, match="longer than 1000 bytes"):
        list(lines.batches(file.fileno()))


def test_a_quiet_pipe_hands_out_what_came() -> None:
    reading, writing = os.pipe()
    batches: Iterator[list[bytes]] = lines.batches(reading, wait=0.01)
    os.write(writing, b"one\ntwo\nhal")
    assert next(batches) == [b"one", b"two"]

    def finish() -> None:
        os.write(writing, b"f\n")
        os.close(writing)

    later = threading.Timer(0.05, finish)
    later.start()
    assert next(batches) == [b"half"]
    assert next(batches, None) is None
    later.join()
    os.close(reading)
