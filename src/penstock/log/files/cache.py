"""Recent frames in memory, shared by all who read them. Owns how many bytes that may be; does no I/O.

Per partition the frames are kept in order, as one or more runs without gaps. First in, first out: consumers at the
tail and consumers replaying together both find what was written or read last. Evicting is done in slices, so that
adding a frame costs a constant time however many small ones are held.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque

from penstock.log.base import Frame, PartitionRef

OVERHEAD = 400
"""About what a frame costs beyond its bytes: two objects, two list slots."""
_SLACK = 32
"""Eviction frees one part in this many at a time."""


class _Shelf:
    __slots__ = ("bases", "frames")

    def __init__(self) -> None:
        self.bases: list[int] = []
        self.frames: list[Frame] = []


class FrameCache:
    """At most `limit` bytes of payload, rendered form and overhead."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._shelves: dict[PartitionRef, _Shelf] = {}
        self._order: deque[Frame] = deque()
        self.bytes = 0

    def add(self, frame: Frame) -> Frame:
        """Keep a frame; the one already held for that sequence number is returned instead, when there is one."""
        size = len(frame.payload) + OVERHEAD
        if size > self._limit:
            return frame
        shelf = self._shelves.get(frame.ref)
        if shelf is None:
            shelf = self._shelves[frame.ref] = _Shelf()
        bases = shelf.bases
        if not bases or frame.base > bases[-1]:
            bases.append(frame.base)
            shelf.frames.append(frame)
        else:
            i = bisect_left(bases, frame.base)
            if bases[i] == frame.base:
                return shelf.frames[i]
            bases.insert(i, frame.base)
            shelf.frames.insert(i, frame)
        self._order.append(frame)
        self.bytes += size
        if self.bytes > self._limit:
            self._evict()
        return frame

    def add_written(self, ref: PartitionRef, frames: list[Frame]) -> None:
        """Keep frames of one partition that have just been written, in order."""
        size = sum([len(frame.payload) for frame in frames]) + OVERHEAD * len(frames)
        shelf = self._shelves.get(ref)
        if size > self._limit or (shelf is not None and frames[0].base <= shelf.bases[-1]):
            for frame in frames:
                self.add(frame)
            return
        if shelf is None:
            shelf = self._shelves[ref] = _Shelf()
        shelf.bases += [frame.base for frame in frames]
        shelf.frames += frames
        self._order += frames
        self.bytes += size
        if self.bytes > self._limit:
            self._evict()

    def run(self, ref: PartitionRef, sequence: int, max_bytes: int, max_records: int) -> list[Frame]:
        """Frames without a gap from the one that holds `sequence` on, until the limits are covered; none when that
        one is not here."""
        shelf = self._shelves.get(ref)
        if shelf is None:
            return []
        i = bisect_right(shelf.bases, sequence) - 1
        if i < 0:
            return []
        frames = shelf.frames
        frame = frames[i]
        following = frame.base + frame.count
        if following <= sequence:
            return []
        found = [frame]
        size = len(frame.payload)
        enough = sequence + max_records
        for i in range(i + 1, len(frames)):  # noqa: B020
            frame = frames[i]
            if frame.base != following or size >= max_bytes or following >= enough:
                break
            found.append(frame)
            size += len(frame.payload)
            following += frame.count
        return found

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        """Hold the wire form with a frame that is held; otherwise forget it."""
        shelf = self._shelves.get(frame.ref)
        if shelf is None:
            return
        i = bisect_left(shelf.bases, frame.base)
        if i == len(shelf.bases) or shelf.frames[i] is not frame:
            return
        size = len(rendered) - len(frame.rendered or b"")
        if len(rendered) + len(frame.payload) + OVERHEAD > self._limit // 2:
            return
        frame.rendered = rendered
        self.bytes += size
        if self.bytes > self._limit:
            self._evict()

    def drop(self, ref: PartitionRef) -> None:
        """Forget a partition."""
        shelf = self._shelves.pop(ref, None)
        if shelf is not None and shelf.frames:
            held = {id(frame) for frame in shelf.frames}
            self._order = deque(frame for frame in self._order if id(frame) not in held)
            self.bytes -= sum(map(_size, shelf.frames))

    def _evict(self) -> None:
        target = self._limit - self._limit // _SLACK
        victims: dict[PartitionRef, list[Frame]] = {}
        order, ref, taken = self._order, None, []
        while self.bytes > target and order:
            frame = order.popleft()
            self.bytes -= len(frame.payload) + OVERHEAD
            if frame.rendered is not None:
                self.bytes -= len(frame.rendered)
            if frame.ref is not ref:  # mostly one partition's follow each other
                ref = frame.ref
                taken = victims.setdefault(ref, [])
            taken.append(frame)
        for ref, frames in victims.items():
            self._remove(ref, frames)

    def _remove(self, ref: PartitionRef, victims: list[Frame]) -> None:
        shelf = self._shelves[ref]
        n = len(victims)
        if shelf.frames[:n] == victims:  # written in order, evicted in order: identity, compared in C
            del shelf.frames[:n], shelf.bases[:n]
        else:
            gone = {id(frame) for frame in victims}
            shelf.frames = [frame for frame in shelf.frames if id(frame) not in gone]
            shelf.bases = [frame.base for frame in shelf.frames]
        if not shelf.frames:
            del self._shelves[ref]


def _size(frame: Frame) -> int:
    return len(frame.payload) + len(frame.rendered or b"") + OVERHEAD
