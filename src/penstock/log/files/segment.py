"""A segment file and a partition as the event loop sees them: what is durable and therefore visible, and which of it is not in the
file yet. Owns that state; does no I/O. The commit thread never touches it (its own state is `writer.Writer`).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from operator import attrgetter

from penstock.log.base import Bounds, Frame, PartitionRef
from penstock.log.files.format import FRAME_BYTES, HEADER_BYTES, ident
from penstock.log.files.index import SparseIndex

SUFFIX = ".seg"
INDEX_SUFFIX = ".idx"
_BASE, _OFFSET = attrgetter("base"), attrgetter("offset")


def partition_directory(root: str, ref: PartitionRef) -> str:
    """ROOT/STREAM/PARTITION, ten digits."""
    return f"{root}/{ref.stream_id}/{ref.number:010d}"


def index_path(path: str) -> str:
    """Where the index of a segment file is kept."""
    return path[: -len(SUFFIX)] + INDEX_SUFFIX


class Segment:
    """One file. `salt` and `index` are None until somebody needs them; `size` is the durable part."""

    __slots__ = ("base", "damaged", "index", "path", "salt", "size", "unscanned")

    def __init__(
        self, directory: str, base: int, *, salt: int | None = None, size: int | None = None
    ) -> None:
        self.base = base
        self.path = f"{directory}/{base:020d}{SUFFIX}"
        self.salt = salt
        self.size = size
        self.index: SparseIndex | None = None
        self.unscanned = 0
        """The index lacks what is before this offset: written before the last start, not looked at since."""
        self.damaged = False
        """Known to hold frames that cannot be read."""

    @property
    def name(self) -> str:
        """STREAM/PARTITION/FILE: how errors call it."""
        return "/".join(self.path.rsplit("/", 3)[1:])

    def __repr__(self) -> str:
        return f"<Segment {self.name}, {self.size} bytes>"


class Partition:
    """Segments in order; the last one is written to. `next` is the one after the last durable record."""

    __slots__ = (
        "deferred",
        "deleted",
        "directory",
        "expiring",
        "ident",
        "last_ms",
        "next",
        "ref",
        "segments",
    )

    def __init__(self, root: str, ref: PartitionRef) -> None:
        self.ref = ref
        self.directory = partition_directory(root, ref)
        self.ident = ident(ref.stream_id, ref.number)
        self.segments: list[Segment] = []
        self.deferred: list[Frame] = []
        """The newest frames of the last segment, as far as they are in a journal and not in that file yet."""
        self.next = 0
        self.last_ms = 0
        self.deleted = False
        self.expiring: asyncio.Lock | None = None

    @property
    def earliest(self) -> int:
        return self.segments[0].base if self.segments else self.next

    def bounds(self) -> Bounds:
        return Bounds(self.segments[0].base if self.segments else self.next, self.next)

    def position(self, sequence: int) -> int:
        """Which segment holds `sequence`."""
        return max(0, bisect_right(self.segments, sequence, key=_BASE) - 1)

    def end(self, position: int) -> int:
        """Sequence number after the last one in the file of a segment."""
        following = position + 1
        if following < len(self.segments):
            return self.segments[following].base
        return self.deferred[0].base if self.deferred else self.next

    def size(self, segment: Segment) -> int:
        """Bytes of frames in the file of a segment whose `size` is known."""
        assert segment.size is not None
        return self.deferred[0].offset if self.deferred and segment is self.segments[-1] else segment.size

    def defers(self, sequence: int) -> bool:
        """Whether the frame that holds `sequence` is not in the file yet."""
        return bool(self.deferred) and sequence >= self.deferred[0].base

    def deferred_from(self, sequence: int, max_bytes: int, max_records: int) -> list[Frame]:
        """As `RecordLog.read`, of frames that are not in the file yet; none when the first one is."""
        frames: list[Frame] = []
        if self.defers(sequence):
            left, enough = max_bytes, sequence + max_records
            for i in range(bisect_right(self.deferred, sequence, key=_BASE) - 1, len(self.deferred)):
                frame = self.deferred[i]
                if frames and (left <= 0 or frame.base >= enough):
                    break
                frames.append(frame)
                left -= len(frame.payload)
        return frames

    def wrote(self, segment: Segment, size: int) -> None:
        """The file of a segment holds what is before this offset."""
        if self.deferred and segment is self.segments[-1]:
            del self.deferred[: bisect_left(self.deferred, size, key=_OFFSET)]

    def publish(self, segment: Segment, run: list[Frame], *, deferred: bool = False) -> Segment | None:
        """Make frames visible that are durable at their offsets of `segment`, which may be a new one; the segment it
        seals is returned. `deferred`: in a journal only."""
        sealed = None
        if not self.segments or self.segments[-1] is not segment:
            sealed = self.segments[-1] if self.segments else None
            self.segments.append(segment)
            self.deferred = []  # a segment is begun when the one before it is on the disk
        if deferred:
            self.deferred += run
        elif run:
            self.deferred = []  # what waited was written before these were
        if (index := segment.index) is None:
            index = segment.index = SparseIndex()
        if not run:
            segment.size = segment.size or HEADER_BYTES
            return sealed
        due = index.due
        for frame in run:
            if frame.offset >= due:
                index.add(frame.offset, 0, frame.base, frame.count, frame.append_ms)
                due = index.due
        frame = run[-1]
        segment.size = index.size = frame.offset + FRAME_BYTES + len(frame.payload)
        self.next = index.next = frame.base + frame.count
        self.last_ms = index.last_ms = frame.append_ms
        return sealed

    def __repr__(self) -> str:
        earliest, following = self.bounds()
        return f"<Partition {self.ref.stream_id}/{self.ref.number} {earliest}..{following}, {len(self.segments)} segments>"
