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
from penstock.log.files.scan import BLOCK, Scanner

FIRST_BLOCK = 192 << 10
"""Reads begin with an index stride and some: a small fetch is not worth a megabyte."""


class Source(NamedTuple):
    """A segment as a worker thread needs it: its frames lie before byte `size`, and its records before `end`."""

    ref: PartitionRef
    ident: bytes
    path: str
    name: str
    base: int
    end: int


class Loaded(NamedTuple):
    """What there is to know about a segment before reading in it."""

    salt: int
    size: int
    sparse: SparseIndex


def load_sealed(disk: Disk, files: FilePool, source: Source) -> Loaded:
    """Salt, size and index of a sealed segment; a missing or damaged index is made again. Raises OSError, Corrupt,
    UnsupportedFormat."""
    index_path = source.path[: -len(".seg")] + ".idx"
    with files.using(source.path) as fd:
        size = disk.size(fd)
        header = _header(disk, fd, source)
        try:
            raw = read_small(disk, index_path)
        except OSError:
            raw = None
        index = None
        if raw is not None:
            index = indexes.decode(raw, header.salt if header else None, source.base, size)
        if header is not None:
            salt: int | None = header.salt
        elif index is not None and (stored := fmt.unpack_index(raw or b"")) is not None:
            salt = stored.salt
        else:
            salt = salt_of_frames(disk, fd, source.ident, size)
        if salt is None:
            raise Corrupt(source.name, 0, "neither its header nor any frame is intact")
        if index is None:
            index = indexes.build(disk, fd, source.ident, salt, source.base, size)
            save_index(disk, source.path, index, salt, source.base, size)
    return Loaded(salt, size, index)


def build_index(disk: Disk, files: FilePool, source: Source, salt: int, size: int) -> SparseIndex:
    """The index of the first `size` bytes of a segment. Raises OSError."""
    with files.using(source.path) as fd:
        return indexes.build(disk, fd, source.ident, salt, source.base, size)


def save_index(disk: Disk, path: str, index: SparseIndex, salt: int, base: int, size: int) -> None:
    """Write the index of a sealed segment next to it. Not being able to is no error: it can be made again."""
    try:
        content = indexes.encode(index, salt, base, size)
        write_small(disk, path[: -len(".seg")] + ".idx", content, durable=False)
    except OSError:
        pass


def read_frames(
    disk: Disk,
    files: FilePool,
    source: Source,
    salt: int,
    start: int,
    size: int,
    sequence: int,
    max_bytes: int,
    max_records: int,
) -> list[Frame]:
    """Consecutive frames from the one that holds `sequence` on, looked for from byte `start`: until the limits are
    covered, then on to the end of what was read anyway. Raises Corrupt when that very record is unreadable, OSError."""
    frames: list[Frame] = []
    taken = 0
    following = sequence
    enough = sequence + max_records
    with files.using(source.path) as fd:
        scanner = Scanner(
            disk, fd, source.ident, salt, start, size, min(FIRST_BLOCK, max_bytes + FIRST_BLOCK)
        )
        damage: str | None = None
        damaged_at = start
        while following < source.end:
            if (taken >= max_bytes or following >= enough) and not scanner.buffered():
                break
            head = scanner.next()
            if head is None:
                if frames:
                    break
                damage, damaged_at = scanner.reason or "the file ends early", scanner.offset
                head = scanner.resync(source.base)
                if head is None or head.base > sequence:
                    until = head.base if head else source.end
                    raise Corrupt(
                        source.name, damaged_at, f"{damage}; records up to {until - 1} cannot be read"
                    )
                continue
            if head.next <= sequence:
                continue
            if head.base > following and not frames:
                raise Corrupt(
                    source.name,
                    head.offset,
                    f"{damage or 'records are missing'}; records up to {head.base - 1} cannot be read",
                )
            if frames and head.base != following:
                break
            if head.next > source.end:
                break
            frames.append(Frame(source.ref, head.base, head.records, head.append_ms, scanner.payload(head)))
            taken += head.length
            following = head.next
            scanner.read_ahead(min(BLOCK, max_bytes - taken))
    return frames


def first_since(
    disk: Disk, files: FilePool, source: Source, salt: int, start: int, size: int, timestamp_ms: int
) -> int | None:
    """Sequence number of the first readable record at or after a time, looked for from byte `start`; None when the
    segment has none. Raises OSError."""
    with files.using(source.path) as fd:
        scanner = Scanner(disk, fd, source.ident, salt, start, size, FIRST_BLOCK)
        while True:
            while (head := scanner.next()) is not None:
                if head.append_ms >= timestamp_ms:
                    return head.base
            if not scanner.reason or scanner.resync(source.base) is None:
                return None


def _header(disk: Disk, fd: int, source: Source) -> fmt.SegmentHeader | None:
    try:
        header = fmt.unpack_segment(read_exactly(disk, fd, HEADER_BYTES, 0))
    except fmt.UnknownVersion as error:
        raise UnsupportedFormat(f"{source.path}: {error}") from error
    if header is None or header.base != source.base:
        return None
    if fmt.ident(header.stream_id, header.partition) != source.ident:
        return None
    return header
