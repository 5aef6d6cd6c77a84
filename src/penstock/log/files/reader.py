"""Reads segments from disk, on worker threads. Owns loading of indexes and picking frames out of a file; shares no
state with the event loop: it gets plain values and gives plain values back.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.log.base import Corrupt, Frame, PartitionRef
from penstock.log.files import format as fmt
from penstock.log.files import index as indexes
from penstock.log.files.disk import Disk, read_exactly, read_small, write_small
from penstock.log.files.errors import UnsupportedFormat
from penstock.log.files.format import HEADER_BYTES
from penstock.log.files.index import SparseIndex
from penstock.log.files.pool import FilePool
from penstock.log.files.recovery import salt_of_frames
from penstock.log.files.scan import BLOCK, OpenSegment, Scanner
from penstock.log.files.segment import index_path

FIRST_BLOCK = 192 << 10
"""Reads begin with an index stride and some: a small fetch is not worth a megabyte."""


class Source(NamedTuple):
    """A segment as a worker thread needs it; its records come before sequence number `end`."""

    ref: PartitionRef
    ident: bytes
    path: str
    name: str
    base: int
    end: int


class Loaded(NamedTuple):
    """What there is to know about a segment before reading in it. Its frames lie before byte `size`."""

    salt: int
    size: int
    sparse: SparseIndex


class Wanted(NamedTuple):
    """What to read: from byte `start` on, look for `sequence`."""

    start: int
    sequence: int
    max_bytes: int
    max_records: int


class Reader:
    """All methods may run on any thread, several at a time. They raise OSError and what they say."""

    def __init__(self, disk: Disk, files: FilePool) -> None:
        self._disk = disk
        self._files = files

    def load(self, source: Source) -> Loaded:
        """Salt, size and index of a sealed segment; a missing or damaged index is made again. Raises Corrupt (neither
        header nor frames), UnsupportedFormat."""
        with self._files.using(source.path) as fd:
            size = self._disk.size(fd)
            header = self._header(fd, source)
            try:
                raw = read_small(self._disk, index_path(source.path)) or b""
            except OSError:
                raw = b""
            stored = indexes.decode(raw, source.base, size)
            if header is not None:
                salt: int | None = header.salt
            else:
                salt = stored[0] if stored else salt_of_frames(self._disk, fd, source.ident, size)
            if salt is None:
                raise Corrupt(source.name, 0, "neither its header nor any frame is intact")
            if stored and stored[0] == salt:
                return Loaded(salt, size, stored[1])
            sparse = indexes.build(OpenSegment(self._disk, fd, source.ident, salt), source.base, size)
        loaded = Loaded(salt, size, sparse)
        self.save_index(source.path, source.base, loaded)
        return loaded

    def build_index(self, source: Source, salt: int, size: int) -> SparseIndex:
        """The index of the first `size` bytes of a segment."""
        with self._files.using(source.path) as fd:
            return indexes.build(OpenSegment(self._disk, fd, source.ident, salt), source.base, size)

    def save_index(self, path: str, base: int, loaded: Loaded) -> None:
        """Write the index of a sealed segment next to it. Not being able to is no error: it can be made again."""
        try:
            content = indexes.encode(loaded.sparse, loaded.salt, base, loaded.size)
            write_small(self._disk, index_path(path), content, durable=False)
            try:
                self._disk.size_of(path)
            except FileNotFoundError:  # expired meanwhile
                self._disk.unlink(index_path(path))
        except OSError:
            pass

    def frames(self, source: Source, salt: int, size: int, wanted: Wanted) -> list[Frame]:
        """Consecutive frames from the one that holds `sequence` on: until the limits are covered, then on to the end
        of what was read anyway. Raises Corrupt when that very record is unreadable."""
        start, sequence, max_bytes, max_records = wanted
        frames: list[Frame] = []
        taken, following, enough, end = 0, sequence, sequence + max_records, source.end
        with self._files.using(source.path) as fd:
            file = OpenSegment(self._disk, fd, source.ident, salt)
            scanner = Scanner(file, start, size, min(FIRST_BLOCK, max_bytes + FIRST_BLOCK))
            damage = ""
            while following < end and (not frames or (taken < max_bytes and following < enough)):
                heads = scanner.batch()
                if not heads:
                    if frames:
                        break
                    damage, damaged_at = scanner.reason or "the file ends early", scanner.offset
                    if (later := scanner.resync(source.base)) is None or later.base > sequence:
                        until = later.base if later else end
                        raise _unreadable(source, damaged_at, damage, until)
                    continue
                for head in heads:
                    after = head.base + head.records
                    if after <= sequence:
                        continue
                    if head.base != following or after > end:
                        if frames:
                            return frames
                        if head.base > sequence or after > end:
                            raise _unreadable(source, head.offset, damage or "records are missing", head.base)
                    frames.append(
                        Frame(source.ref, head.base, head.records, head.append_ms, scanner.payload(head))
                    )
                    taken += head.length
                    following = after
                scanner.read_ahead(min(BLOCK, max_bytes - taken))
        return frames

    def first_since(self, source: Source, salt: int, size: int, start: int, timestamp_ms: int) -> int | None:
        """Sequence number of the first readable record at or after a time, looked for from byte `start`; None when
        the segment has none."""
        with self._files.using(source.path) as fd:
            scanner = Scanner(OpenSegment(self._disk, fd, source.ident, salt), start, size, FIRST_BLOCK)
            while True:
                while (head := scanner.next()) is not None:
                    if head.append_ms >= timestamp_ms:
                        return head.base
                if not scanner.reason or scanner.resync(source.base) is None:
                    return None

    def _header(self, fd: int, source: Source) -> fmt.SegmentHeader | None:
        try:
            header = fmt.unpack_segment(read_exactly(self._disk, fd, HEADER_BYTES, 0))
        except fmt.UnknownVersion as error:
            raise UnsupportedFormat(f"{source.path}: {error}") from error
        if header is None or header.base != source.base:
            return None
        return header if fmt.ident(header.stream_id, header.partition) == source.ident else None


def _unreadable(source: Source, offset: int, reason: str, until: int) -> Corrupt:
    return Corrupt(source.name, offset, f"{reason}; records up to {until - 1} cannot be read")
