"""Which batches of a group, all for one partition, share a frame: small ones do, for a frame costs the same whatever is in it. Owns that
choice; knows no files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.log.payload import JOINED_BYTES, JOINED_RECORDS, SMALL_BYTES, join

if TYPE_CHECKING:
    from penstock.log.files.writer import Entry


Joined = tuple[bytes, int, int]
"""What becomes one frame: a payload, its records, and of how many entries in a row it is."""


def joined(entries: list[Entry]) -> list[Joined]:
    """Entries of one partition as frames, in order: small ones share one."""
    if len(entries) == 1:
        entry = entries[0]
        return [(entry.payload, entry.count, 1)]
    found: list[Joined] = []
    payloads: list[bytes] = []
    count = room = 0
    for entry in entries:
        size = len(entry.payload)
        small = size <= SMALL_BYTES
        if payloads and not (small and size <= room and count + entry.count <= JOINED_RECORDS):
            found.append(_one(payloads, count))
            payloads, count = [], 0
        if not payloads:
            room = JOINED_BYTES if small else 0
        payloads.append(entry.payload)
        count += entry.count
        room -= size
    found.append(_one(payloads, count))
    return found


def _one(payloads: list[bytes], count: int) -> Joined:
    return payloads[0] if len(payloads) == 1 else join(payloads), count, len(payloads)
