"""Standard output of commands: lines of bytes, and a quiet end when the reader has gone. Owns nothing else."""

from __future__ import annotations

import os
import sys
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


def _reader_gone() -> NoReturn:
    # What is still buffered must not be tried again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(PIPE_CLOSED)
