"""What is done with a data directory before it is used. Owns the recovery procedure of docs/log-format.md, whose step
numbers appear here; changes nothing but torn tails.

The one question is what an unreadable place in a tail segment is: bytes a crash kept from being written (never
acknowledged: cut off), or acknowledged bytes that went bad (kept, reported, never written over). Frames answer it:
each says how much of the segment had been synced when it was written.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.log.base import PartitionRef
from penstock.log.files import format as fmt
from penstock.log.files import index as indexes
from penstock.log.files.disk import Disk, read_exactly, read_small, sync, write_all
from penstock.log.files.errors import UnsupportedFormat
from penstock.log.files.format import HEADER_BYTES, End, FrameHead
from penstock.log.files.index import SparseIndex
from penstock.log.files.scan import RECOVERY_BLOCK, OpenSegment, Scanner
from penstock.log.files.segment import SUFFIX, Partition, Segment


class Tail(NamedTuple):
    """Where a partition goes on: in the last of its segments, or (`segment` None) in a new one that begins at `next`."""

    segment: Segment | None
    size: int
    next: int
    last_ms: int
    read_only: str | None = None


class Found(NamedTuple):
    """A partition as it was on disk."""

    partition: Partition
    tail: Tail
    problems: list[str]


class Scan(NamedTuple):
    """A tail segment read from `start` to its end. `torn_at` is where what was never acknowledged begins; `damage` says what
    acknowledged bytes are unreadable."""

    sparse: SparseIndex
    salt: int
    torn_at: int
    damage: list[str]
    next: int
    start: int


def segment_bases(names: list[str]) -> list[int]:
    """First sequence numbers of the segments among the names in a partition's directory, in order."""
    return sorted(int(n[: -len(SUFFIX)]) for n in names if n.endswith(SUFFIX) and n[: -len(SUFFIX)].isdigit())


def recover(disk: Disk, root: str, ref: PartitionRef, end: End | None, *, synced: bool = True) -> Found:
    """Bring one partition into a state to go on from. `end` is what the table of ends says of it. Without `synced` the caller sees to
    step 11. Raises LogError for a directory of another format version."""
    partition = Partition(root, ref)
    # Step 4: names alone tell which segments there are. Only the last one is opened.
    partition.segments = [
        Segment(partition.directory, base) for base in segment_bases(disk.names(partition.directory))
    ]
    try:
        tail, problems = _tail(disk, partition, end, synced)
    except fmt.UnknownVersion as error:
        raise UnsupportedFormat(f"{partition.segments[-1].path}: {error}; nothing was changed") from error
    except OSError as error:
        # Unreadable for now: what can be read elsewhere stays readable, and nothing is written.
        last = partition.segments[-1]
        reason = unreadable(last, error)
        tail = Tail(None, 0, max(last.base, end.next if end else 0), end.last_ms if end else 0, reason)
        problems = [reason]
    partition.next = tail.next
    partition.last_ms = tail.last_ms
    return Found(partition, tail, problems)


def unreadable(segment: Segment, error: OSError) -> str:
    """Why a partition whose last segment is this one is read-only."""
    return f"segment {segment.name} cannot be read: {error.strerror or error}"


def _tail(disk: Disk, partition: Partition, end: End | None, synced: bool) -> tuple[Tail, list[str]]:
    if not partition.segments:
        if end is None:
            return Tail(None, 0, 0, 0), []
        lost = f"{partition.directory}: all segments are missing; records before {end.next} are lost"
        return Tail(None, 0, end.next, end.last_ms), [lost]
    segment = partition.segments[-1]
    if end is not None and segment.base < end.base:
        lost = f"segment {end.base:020d}{SUFFIX} of {partition.directory} is missing"
        segment.damaged = True
        return Tail(None, 0, end.next, end.last_ms), [lost]
    if end is not None and segment.base > end.base:
        end = None  # rolled since: the table says nothing of this segment
    # Step 5: nothing has come since the table of ends was written, and the segment need not be read.
    if end is not None and disk.size_of(segment.path) == end.offset:
        segment.salt, segment.size, segment.unscanned = end.salt, end.offset, end.offset
        return Tail(segment, end.offset, end.next, end.last_ms), []
    fd = disk.open(segment.path, write=True)
    try:
        return _open_tail(disk, fd, partition, segment, end, synced)
    finally:
        disk.close(fd)


def _open_tail(
    disk: Disk, fd: int, partition: Partition, segment: Segment, end: End | None, synced: bool
) -> tuple[Tail, list[str]]:
    file_size = disk.size(fd)
    scan, header = scan_tail(disk, fd, partition.ident, segment.base, end)
    if scan is None:
        # Step 7: the segment had just been created; its name says where the partition goes on.
        created_ms = _newest_before(disk, partition)
        salt = disk.salt()
        ref = partition.ref
        disk.truncate(fd, 0)
        fresh = fmt.SegmentHeader(ref.stream_id, ref.number, salt, segment.base, created_ms)
        write_all(disk, fd, [fmt.pack_segment(fresh)], 0)
        if synced:
            sync(disk, fd)
        segment.salt, segment.size, segment.index = salt, HEADER_BYTES, SparseIndex()
        return Tail(segment, HEADER_BYTES, segment.base, created_ms), []
    segment.salt, segment.index = scan.salt, scan.sparse
    if scan.start > HEADER_BYTES:
        segment.unscanned = scan.start
    problems = [f"segment {segment.name}: {text}" for text in scan.damage]
    # Step 9: cut off what was never acknowledged. Step 11: make durable what is about to be shown.
    if scan.torn_at < file_size:
        disk.truncate(fd, scan.torn_at)
    if synced:
        sync(disk, fd)
    segment.size = scan.torn_at
    last_ms = max(scan.sparse.last_ms, header.created_ms if header else 0, end.last_ms if end else 0)
    if not last_ms:
        last_ms = _newest_before(disk, partition)
    if problems:
        # Step 10: nothing is written into a damaged segment any more.
        segment.damaged = True
        return Tail(None, 0, scan.next, last_ms), problems
    return Tail(segment, scan.torn_at, scan.next, last_ms), []


def scan_tail(
    disk: Disk, fd: int, name: bytes, base: int, end: End | None
) -> tuple[Scan | None, fmt.SegmentHeader | None]:
    """Read a tail segment (steps 6 and 8), changing nothing; no `Scan` when it holds neither header nor frames. Raises
    OSError, UnknownVersion."""
    file_size = disk.size(fd)
    damage: list[str] = []
    # Step 6: the header, or what can stand in for it.
    header = fmt.unpack_segment(read_exactly(disk, fd, HEADER_BYTES, 0))
    if header is not None and (fmt.ident(header.stream_id, header.partition) != name or header.base != base):
        header = None
    salt = header.salt if header else salt_of_frames(disk, fd, name, file_size)
    if end is not None and salt is not None and end.salt != salt:
        end = None
    acknowledged = end.offset if end else 0
    if salt is None:
        if acknowledged <= HEADER_BYTES:
            return None, None
        assert end is not None
        salt = end.salt
    # Step 8: every frame that the table of ends does not know of, and behind every unreadable place the next one.
    index = SparseIndex()
    index.next = base
    start = HEADER_BYTES
    if end is not None and header is not None and HEADER_BYTES < acknowledged <= file_size:
        start = acknowledged
        index.ends(start, end.next, end.last_ms)
    scanner = Scanner(OpenSegment(disk, fd, name, salt), start, file_size, RECOVERY_BLOCK)
    while True:
        while heads := scanner.batch():
            index.add_all(heads)
        torn_at = scanner.offset
        if torn_at == file_size >= acknowledged:
            break
        if (head := _later(scanner, index.next)) is not None:
            damage.append(_describe(torn_at, scanner.reason, index.next, head.base))
            index.due = 0
            continue
        if torn_at < acknowledged:
            assert end is not None
            damage.append(_describe(torn_at, scanner.reason or "the file ends early", index.next, end.next))
            index.next = max(index.next, end.next)
            torn_at = file_size
        break
    if header is None:
        if index.size == HEADER_BYTES and not damage:
            return None, None  # a first write whose beginning is missing: nothing was acknowledged
        damage.insert(0, "its header does not match its checksum")
    return Scan(index, salt, torn_at, damage, index.next, start), header


def _later(scanner: Scanner, sequence: int) -> FrameHead | None:
    """The next intact frame behind a place that had been synced before it was written, so that the place is damaged;
    the scanner goes there. Frames of the same unsynced write prove nothing, so the search goes on behind them."""
    torn_at, reason = scanner.offset, scanner.reason
    first: FrameHead | None = None
    head = scanner.resync(sequence)
    while head is not None:
        first = first or head
        if head.durable > torn_at:
            scanner.offset, scanner.reason = first.offset, reason
            return first
        scanner.offset = head.end
        head = scanner.next() or scanner.resync(sequence)
        if head is not None:
            sequence = head.base
    scanner.offset, scanner.reason = torn_at, reason
    return None


def _describe(offset: int, reason: str, sequence: int, until: int) -> str:
    return f"damaged at byte {offset}: {reason}; records {sequence} to {until - 1} cannot be read"


def salt_of_frames(disk: Disk, fd: int, name: bytes, size: int) -> int | None:
    """Salt of the first intact frame of a segment whose header is lost; None when it holds none. Raises OSError."""
    offset = HEADER_BYTES
    while size - offset >= fmt.FRAME_BYTES:
        block = memoryview(read_exactly(disk, fd, min(RECOVERY_BLOCK, size - offset), offset))
        raw: bytes = block.obj  # type: ignore[assignment]
        position = raw.find(fmt.FRAME_MAGIC)
        while 0 <= position <= len(raw) - fmt.FRAME_BYTES:
            salt = fmt.frame_salt(block, position)
            if salt is not None:
                probe = Scanner(OpenSegment(disk, fd, name, salt), offset + position, size, fmt.FRAME_BYTES)
                if probe.next() is not None:
                    return salt
            position = raw.find(fmt.FRAME_MAGIC, position + 1)
        if offset + len(raw) >= size or len(raw) < fmt.FRAME_BYTES:
            return None
        offset += len(raw) - fmt.FRAME_BYTES + 1
    return None


def _newest_before(disk: Disk, partition: Partition) -> int:
    """A time not before the newest record of the segments before the last one; 0 when there is none."""
    for segment in reversed(partition.segments[:-1]):
        try:
            fd = disk.open(segment.path, write=False)
        except OSError:
            continue
        try:
            size = disk.size(fd)
            header = fmt.unpack_segment(read_exactly(disk, fd, HEADER_BYTES, 0))
            salt = header.salt if header else salt_of_frames(disk, fd, partition.ident, size)
            if salt is not None:
                found = indexes.build(OpenSegment(disk, fd, partition.ident, salt), segment.base, size)
                if found.times:
                    return found.last_ms
            if header:
                return header.created_ms
        finally:
            disk.close(fd)
    return 0


def load_ends(disk: Disk, path: str) -> dict[PartitionRef, End] | None:
    """A table of ends by partition; None when it is missing or damaged. Raises OSError, LogError."""
    raw = read_small(disk, path)
    if raw is None:
        return None
    try:
        ends = fmt.unpack_ends(raw)
    except fmt.UnknownVersion as error:
        raise UnsupportedFormat(f"{path}: {error}; nothing was changed") from error
    if ends is None:
        return None
    return {PartitionRef(end.stream_id, end.partition): end for end in ends}
