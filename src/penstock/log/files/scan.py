"""Walks the frames of a segment file, from any frame on, and over damage. Owns reading in big blocks; knows bytes only
through `format`.

A `Scanner` answers three things: the next frame; why there is none (`reason`); and, behind damage, the next place
where an intact frame of the same segment begins (`resync`).
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.log.files import format as fmt
from penstock.log.files.disk import Disk, read_exactly
from penstock.log.files.format import FRAME_BYTES, FrameHead

BLOCK = 1 << 20
RECOVERY_BLOCK = 4 << 20


class OpenSegment(NamedTuple):
    """A segment file to scan, and what its frames must say of themselves."""

    disk: Disk
    fd: int
    ident: bytes
    salt: int


class Scanner:
    """Frames of one file up to byte `end`. `offset` is where the next frame begins. Raises OSError."""

    def __init__(self, file: OpenSegment, offset: int, end: int, block: int = BLOCK) -> None:
        self.offset = offset
        self.reason = ""
        self._file = file
        self._disk, self._fd, self._name, self._salt = file
        self._end = end
        self._block = block
        self._view = memoryview(b"")
        self._view_at = offset

    def batch(self) -> list[FrameHead]:
        """The frames from `offset` on that are in memory, at least one; `offset` moves behind them. Empty at the end
        (`reason` empty) or at damage."""
        position = self._at(self.offset, FRAME_BYTES)
        if position >= 0:
            heads = fmt.frames_in(self._view, position, self.offset, self._name, self._salt)
            if heads:
                self.offset = heads[-1].end
                return heads
        head = self.next()
        return [] if head is None else [head]

    def next(self) -> FrameHead | None:
        """The frame at `offset`, which moves behind it; None at the end (`reason` empty) or at damage."""
        offset = self.offset
        left = self._end - offset
        if left < FRAME_BYTES:
            self.reason = "the file ends inside a frame's header" if left > 0 else ""
            return None
        position = self._at(offset, FRAME_BYTES)
        if position < 0:
            self.reason = "the file ends early"
            return None
        head = fmt.frame_head(self._view, position, offset, self._name, self._salt)
        if isinstance(head, str):
            self.reason = head
            return None
        size = FRAME_BYTES + head.length
        if size > left:
            self.reason = "the file ends inside a frame"
            return None
        position = self._at(offset, size)
        if position < 0:
            self.reason = "the file ends early"
            return None
        if not fmt.frame_intact(self._view, position, head.length):
            self.reason = "a frame does not match its checksum"
            return None
        self.offset = offset + size
        return head

    def payload(self, head: FrameHead) -> bytes:
        """Payload of a frame `next` or `batch` just gave."""
        position = head.offset + FRAME_BYTES - self._view_at
        return bytes(self._view[position : position + head.length])

    def read_ahead(self, block: int) -> None:
        """Read in blocks of this size from now on, when it is larger than before."""
        self._block = max(self._block, block)

    def resync(self, sequence: int) -> FrameHead | None:
        """The first intact frame behind the damage at `offset` that does not begin before `sequence`; `offset` moves
        to where it begins. None when there is none."""
        mark = fmt.frame_mark(self._salt)
        offset = self.offset + 1
        while self._end - offset >= FRAME_BYTES:
            position = self._at(offset, min(self._block, self._end - offset))
            if position < 0:
                return None
            found = self._view.obj.find(mark, position)  # type: ignore[attr-defined]
            if found < 0:
                # A mark may straddle the end of what is in memory.
                offset = self._view_at + len(self._view) - len(mark) + 1
                continue
            offset = self._view_at + found
            probe = Scanner(self._file, offset, self._end, FRAME_BYTES)
            head = probe.next()
            if head is not None and head.base >= sequence:
                self.offset = offset
                return head
            offset += 1
        return None

    def _at(self, offset: int, length: int) -> int:
        """Position in the view of `length` bytes from `offset`, read when needed; -1 when the file has fewer."""
        position = offset - self._view_at
        if position >= 0 and position + length <= len(self._view):
            return position
        wanted = min(max(length, self._block), self._end - offset)
        self._view = memoryview(read_exactly(self._disk, self._fd, wanted, offset))
        self._view_at = offset
        return 0 if len(self._view) >= length else -1
