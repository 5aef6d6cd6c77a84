"""The sparse index of a segment: about every 64 KiB, which frame begins where and when it was appended. Owns lookups
and how an index is built; its bytes are `format`'s. It only ever says where to start looking: a missing or damaged
index costs a scan, nothing else.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from penstock.log.files.format import HEADER_BYTES, FrameHead, IndexFile, pack_index, unpack_index
from penstock.log.files.scan import RECOVERY_BLOCK, OpenSegment, Scanner

STRIDE = 64 << 10


class SparseIndex:
    """Three columns in order of sequence numbers, which is also the order of offsets and append times."""

    __slots__ = ("bases", "due", "last_ms", "next", "offsets", "size", "times")

    def __init__(self) -> None:
        self.offsets: array[int] = array("Q")
        self.bases: array[int] = array("Q")
        self.times: array[int] = array("Q")
        self.due = 0
        """A frame at or behind this offset gets an entry."""
        self.size = HEADER_BYTES
        """End of the last frame seen."""
        self.next = 0
        self.last_ms = 0

    def add(self, offset: int, end: int, base: int, count: int, append_ms: int) -> None:
        """Note the next frame."""
        if offset >= self.due:
            self.offsets.append(offset)
            self.bases.append(base)
            self.times.append(append_ms)
            self.due = offset + STRIDE
        self.ends(end, base + count, append_ms)

    def ends(self, size: int, following: int, last_ms: int) -> None:
        """Note where the frames that have been noted end."""
        self.size, self.next, self.last_ms = size, following, last_ms

    def add_all(self, heads: Sequence[FrameHead]) -> None:
        """Note the next frames."""
        due = self.due
        for head in heads:
            if head[0] >= due:
                self.offsets.append(head.offset)
                self.bases.append(head.base)
                self.times.append(head.append_ms)
                due = head.offset + STRIDE
        self.due = due
        last = heads[-1]
        self.ends(last.end, last.next, last.append_ms)

    def at_sequence(self, sequence: int) -> int:
        """Offset of an indexed frame that begins at or before `sequence`, else of the first byte after the header."""
        i = bisect_right(self.bases, sequence) - 1
        return self.offsets[i] if i >= 0 else HEADER_BYTES

    def behind(self, sequence: int) -> int:
        """About how many bytes of frames there are from `sequence` to the end: between two indexed frames, as if all records were
        equally long."""
        if not self.bases or sequence >= self.next:
            return 0
        i = max(0, bisect_right(self.bases, sequence) - 1)
        inner = i + 1 < len(self.bases)
        base, offset = self.bases[i], self.offsets[i]
        next_base, next_offset = (self.bases[i + 1], self.offsets[i + 1]) if inner else (self.next, self.size)
        passed = (next_offset - offset) * max(0, sequence - base) // max(1, next_base - base)
        return self.size - offset - passed

    def before_time(self, timestamp_ms: int) -> int:
        """Offset of an indexed frame older than `timestamp_ms`, such that the first that is not comes soon after."""
        i = bisect_left(self.times, timestamp_ms) - 1
        return self.offsets[i] if i >= 0 else HEADER_BYTES

    @property
    def first_ms(self) -> int | None:
        """Append time of the first intact frame."""
        return self.times[0] if self.times else None

    def put_before(self, earlier: SparseIndex) -> None:
        """Join what a scan found of the frames before the first one noted here."""
        self.offsets = earlier.offsets + self.offsets
        self.bases = earlier.bases + self.bases
        self.times = earlier.times + self.times
        if not self.next:
            self.size, self.next, self.last_ms = earlier.size, earlier.next, earlier.last_ms
            self.due = earlier.due


def build(file: OpenSegment, base: int, end: int) -> SparseIndex:
    """An index made by scanning the file up to byte `end`, past any damage. Raises OSError."""
    index = SparseIndex()
    index.next = base
    scanner = Scanner(file, HEADER_BYTES, end, RECOVERY_BLOCK)
    while True:
        while heads := scanner.batch():
            index.add_all(heads)
        if not scanner.reason or scanner.resync(index.next) is None:
            return index
        index.due = 0  # the frame behind damage is a good place to start from


def encode(index: SparseIndex, salt: int, base: int, size: int) -> bytes:
    """File content for the index of a sealed segment of `size` bytes."""
    return pack_index(
        IndexFile(salt, base, size, index.next, index.last_ms, index.offsets, index.bases, index.times)
    )


def decode(raw: bytes, base: int, size: int) -> tuple[int, SparseIndex] | None:
    """Salt of the segment and its index, or None when that is damaged or of another file."""
    stored = unpack_index(raw)
    if stored is None or stored.base != base or stored.size != size:
        return None
    index = SparseIndex()
    index.offsets, index.bases, index.times = stored.offsets, stored.bases, stored.times
    index.size, index.next, index.last_ms = size, stored.next, stored.last_ms
    return stored.salt, index
