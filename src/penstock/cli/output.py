"""Standard output of commands: lines of bytes, tables, and a quiet end when the reader has gone. Owns nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NoReturn

PIPE_CLOSED = 141
"""The exit code that a shell shows for a program whose reader went away (128 + SIGPIPE)."""


def line(text: bytes | str) -> None:
    """One line. Seen at once on a terminal, otherwise after `flush`."""
    try:
        sys.stdout.buffer.write((text if isinstance(text, bytes) else text.encode()) + b"\n")
    except BrokenPipeError:
        _reader_gone()


def flush() -> None:
    """Everything written so far is out."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_gone()


def note(text: str) -> None:
    """A word to the person, on standard error: never mixed with data."""
    print(text, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int]) -> None:
    """Aligned columns, as wide as their longest entry; easy to read and to cut."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = (cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(row))
        line("  ".join(cells).rstrip())


def count(number: int, noun: str) -> str:
    """`1 stream`, `2 streams`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def time(ms: object) -> str:
    """Milliseconds as UTC time."""
    return (
        datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if isinstance(ms, int) else "-"
    )


def _reader_gone() -> NoReturn:
    # What is still buffered must not be tried again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(PIPE_CLOSED)
