"""Looks at a log without changing it: frames of a segment, and what is wrong with a directory. Owns no state; takes no
lock, so that it also works beside a running server (whose newest bytes it may then miss)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from penstock.log.base import LogError, PartitionRef
from penstock.log.files import format as fmt
from penstock.log.files.directory import CLEAN, FOLDER, LOCK, list_partitions
from penstock.log.files.disk import Disk, read_exactly
from penstock.log.files.ends import ENDS
from penstock.log.files.format import HEADER_BYTES, End, FrameHead, JournalRun, SegmentHeader
from penstock.log.files.journal import number_of
from penstock.log.files.recovery import load_ends, segment_bases
from penstock.log.files.replay import JournaledSegment, read_journals
from penstock.log.files.scan import RECOVERY_BLOCK, OpenSegment, Scanner
from penstock.log.files.segment import SUFFIX, partition_directory


class Damage(NamedTuple):
    """Bytes that are no intact frame: from `offset` to `until`. `at_end`: no frame follows, as far as the file went
    when it was opened."""

    offset: int
    until: int
    reason: str
    at_end: bool = False


class SegmentView(NamedTuple):
    """A segment file from end to end."""

    header: SegmentHeader | None
    size: int


class PartitionReport(NamedTuple):
    """One partition as its segments are on disk. `next` is the sequence number after the last intact record there; behind that a journal
    holds `journaled` more, which the next start, or the running server, writes into the segments."""

    stream_id: str
    number: int
    segments: int
    records: int
    earliest: int
    next: int
    bytes: int
    problems: tuple[str, ...]
    journaled: int = 0


def open_segment(path: Path) -> SegmentView:
    """Header and size. Raises OSError; ValueError for another format version."""
    disk = Disk()
    fd = disk.open(str(path), write=False)
    try:
        return SegmentView(fmt.unpack_segment(read_exactly(disk, fd, HEADER_BYTES, 0)), disk.size(fd))
    finally:
        disk.close(fd)


def frames(path: Path) -> Iterator[tuple[FrameHead, bytes] | Damage]:
    """Every frame of a segment with its payload, and every place where there is none but should be. Raises OSError;
    ValueError when the header is lost, so that frames cannot be told from other bytes."""
    disk = Disk()
    fd = disk.open(str(path), write=False)
    try:
        size = disk.size(fd)
        header = fmt.unpack_segment(read_exactly(disk, fd, HEADER_BYTES, 0))
        if header is None:
            raise ValueError("the segment's header does not match its checksum")
        name = fmt.ident(header.stream_id, header.partition)
        scanner = Scanner(OpenSegment(disk, fd, name, header.salt), HEADER_BYTES, size, RECOVERY_BLOCK)
        following = header.base
        while True:
            while (head := scanner.next()) is not None:
                yield head, scanner.payload(head)
                following = head.next
            offset, reason = scanner.offset, scanner.reason
            if offset == size:
                return
            if (later := scanner.resync(following)) is None:
                yield Damage(offset, size, reason, at_end=True)
                return
            yield Damage(offset, later.offset, reason)
    finally:
        disk.close(fd)


Journals = dict[JournaledSegment, list[JournalRun]]


def check_partition(
    data: Path, stream_id: str, number: int, durable: int, journals: Journals | None = None
) -> PartitionReport:
    """Read every segment of a partition. `durable` is how far its records are known to have been synced (the table of
    ends): unreadable bytes at the very end are a torn tail only behind that."""
    disk = Disk()
    root = str(data / FOLDER)
    directory = Path(partition_directory(root, PartitionRef(stream_id, number)))
    bases = segment_bases(disk.names(str(directory)))
    problems: list[str] = []
    records = size = 0
    following = bases[0] if bases else 0
    for place, base in enumerate(bases):
        path = directory / f"{base:020d}{SUFFIX}"
        last = place == len(bases) - 1
        if base != following:
            problems.append(f"{path.name}: records {following} to {base - 1} are missing before it")
            following = base
        try:
            size += path.stat().st_size
            if path.stat().st_size < HEADER_BYTES and last:
                continue  # just created; the next start writes its header
            header = open_segment(path).header
            if header is not None and (header.stream_id, header.partition, header.base) != (
                stream_id,
                number,
                base,
            ):
                problems.append(
                    f"{path.name}: it is another segment's file: stream {header.stream_id}, "
                    f"partition {header.partition}, from sequence number {header.base}"
                )
                continue
            for found in frames(path):
                if isinstance(found, Damage):
                    if last and found.at_end and following >= durable:
                        continue  # torn: cut off at the next start
                    problems.append(f"{path.name}: bytes {found.offset} to {found.until}: {found.reason}")
                    continue
                head, _ = found
                if head.base != following:
                    problems.append(f"{path.name}: records {following} to {head.base - 1} cannot be read")
                records += head.records
                following = head.next
        except FileNotFoundError:
            following = base if last else bases[place + 1]  # expired since the names were read
        except (OSError, ValueError) as error:
            problems.append(f"{path.name}: {error}")
    runs = (
        (journals or {}).get(JournaledSegment(PartitionRef(stream_id, number), bases[-1])) if bases else None
    )
    journaled = _records_behind(runs or [], following)
    if following + journaled < durable:
        problems.append(f"records {following} to {durable - 1} were stored and are missing at the end")
    if problems and any(map(number_of, disk.names(root))):
        problems.append("a journal is there: what of this it holds, the next start mends")
    return PartitionReport(
        stream_id,
        number,
        len(bases),
        records,
        bases[0] if bases else 0,
        following,
        size,
        tuple(problems),
        journaled,
    )


def _records_behind(runs: list[JournalRun], following: int) -> int:
    """How many records from `following` on these hold without a gap."""
    first = following
    for run in runs:
        view = memoryview(b"".join(run.data))
        begin = 0 if run.offset else HEADER_BYTES
        for head in fmt.frames_in(view, begin, run.offset + begin, run.name, run.salt):
            if head.base == following:
                following = head.next
    return following - first


def check_log(data: Path) -> Iterator[PartitionReport]:
    """Every partition of a data directory, in order. Raises OSError when there is no log."""
    disk = Disk()
    root = data / FOLDER
    if not root.is_dir():
        raise FileNotFoundError(f"{data} holds no log (there is no {root})")
    journals: Journals = {}
    with suppress(OSError, LogError):  # `check_journals` says it
        journals = read_journals(disk, str(root), [])[1]
    ends = next((found for name in (CLEAN, ENDS) if (found := _ends(disk, root / name)[0])), {})
    for ref in list_partitions(disk, str(root)):
        end = ends.get(ref)
        yield check_partition(data, ref.stream_id, ref.number, end.next if end else 0, journals)


def check_ends(data: Path) -> list[str]:
    """What is wrong with the tables of ends. Without them records missing at the end of a log go unnoticed."""
    disk = Disk()
    return [text for name in (CLEAN, ENDS) if (text := _ends(disk, data / FOLDER / name)[1])]


def check_journals(data: Path) -> list[str]:
    """What of the journals cannot be read. Beside a running server, which writes over them, that means nothing."""
    problems: list[str] = []
    try:
        read_journals(Disk(), str(data / FOLDER), problems)
    except (OSError, LogError) as error:
        problems.append(str(error))
    return problems


def _ends(disk: Disk, path: Path) -> tuple[dict[PartitionRef, End], str]:
    """A table, and what is wrong with it; a table that is not there is not wrong."""
    try:
        ends = load_ends(disk, str(path))
        if ends is None and path.exists():
            return {}, f"{path.name}: it does not match its checksum; missing last records cannot be told"
    except (OSError, LogError) as error:
        return {}, f"{path.name}: {error}"
    return ends or {}, ""


def in_use(data: Path) -> bool:
    """Whether a server holds the lock."""
    import fcntl

    path = data / FOLDER / LOCK
    if not path.exists():
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)
