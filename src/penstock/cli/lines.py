"""Lines of a file or pipe, in batches: full ones from a file, what is there from a slow pipe. Owns nothing else."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

BATCH_RECORDS = 500
BATCH_BYTES = 1 << 20
_CHUNK = 1 << 18
LINE_BYTES = 64 << 20
"""More than any server takes in one record: a line that never ends is refused, not collected."""


def batches(
    descriptor: int, *, records: int = BATCH_RECORDS, size: int = BATCH_BYTES, wait: float = 0.05
) -> Iterator[list[bytes]]:
    """Lists of lines without their newlines, each of at most `records` lines and (but for a single long line) `size`
    bytes. Lines that came are handed out at the latest `wait` seconds after the pipe went quiet. Empty lines count."""
    batch: list[bytes] = []
    held = 0
    for line in _lines(descriptor, wait):
        if line is None:
            if batch:
                yield batch
                batch, held = [], 0
            continue
        if batch and held + len(line) > size:
            yield batch
            batch, held = [], 0
        batch.append(line)
        held += len(line)
        if len(batch) >= records:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _lines(descriptor: int, wait: float) -> Iterator[bytes | None]:
    """Lines as they come; None when nothing came for `wait` seconds."""
    parts: list[bytes] = []
    held = 0
    while True:
        if not select.select([descriptor], [], [], wait)[0]:
            yield None
            select.select([descriptor], [], [])
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            break
        first, *rest = chunk.split(b"\n")
        parts.append(first)
        held += len(first)
        if held > LINE_BYTES:
            raise ValueError(f"a line is longer than {LINE_BYTES} bytes")
        if rest:
            yield b"".join(parts)
            yield from rest[:-1]
            parts, held = [rest[-1]], len(rest[-1])
    if held:
        yield b"".join(parts)
