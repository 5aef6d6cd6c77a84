"""What journals hold is written into the segments that lack it, before anything else looks at these. Owns that step of
docs/log-format.md; may be killed at any moment and begun again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from penstock.log.base import PartitionRef
from penstock.log.files import format as fmt
from penstock.log.files.disk import Disk, read_exactly, sync, write_all
from penstock.log.files.errors import UnsupportedFormat
from penstock.log.files.format import HEADER_BYTES, JournalRun
from penstock.log.files.journal import number_of
from penstock.log.files.segment import SUFFIX, partition_directory
from penstock.log.files.together import MANY, sync_files

THREADS = 8
AHEAD = 512
"""So many files are read ahead at a time, when there are many."""


class Replayed(NamedTuple):
    """`changed`: segments got something they lacked. `problems`: what of the journals is unreadable or has no place, a sentence each.
    `failed`: partitions that what is theirs could not be written into, and why; the journals stay for the next start."""

    changed: bool
    problems: list[str]
    failed: dict[PartitionRef, str]


class JournaledSegment(NamedTuple):
    """Of which segment a journal holds something."""

    ref: PartitionRef
    base: int


def replay(disk: Disk, root: str) -> Replayed:
    """Bring all journals of a directory into its segments and remove them. Raises OSError when a journal cannot be read,
    UnsupportedFormat."""
    problems: list[str] = []
    names, segments = read_journals(disk, root, problems)
    if not names:
        return Replayed(False, [], {})
    changed = False
    failed: dict[PartitionRef, str] = {}

    def lacks(segment: JournaledSegment, error: OSError) -> None:
        name = f"segment {segment.base:020d}{SUFFIX} of partition {segment.ref.number}"
        failed[segment.ref] = (
            f"{name} of stream {segment.ref.stream_id} lacks acknowledged records that a journal holds: "
            f"{error.strerror or error}"
        )

    many = len(segments) >= MANY
    for (segment, _), result in _bring_all(disk, root, segments, many):
        if isinstance(result, OSError):
            lacks(segment, result)
        elif isinstance(result, str):
            problems.append(result)
            changed = True
        else:
            changed |= result
    if many:
        paths = {_path(root, segment): segment for segment in segments}
        for path, error in sync_files(disk, root, list(paths)).items():
            lacks(paths[path], error)
    disk.reached("after_replay_before_remove")
    if not failed:
        for name in names:
            disk.unlink(f"{root}/{name}")
        disk.fsync_dir(root)
    return Replayed(changed, problems, failed)


def read_journals(
    disk: Disk, root: str, problems: list[str]
) -> tuple[list[str], dict[JournaledSegment, list[JournalRun]]]:
    """Names of the journals of a directory, and what they hold of each segment, in order; `problems` gets a sentence for each thing that
    cannot be read. Raises OSError, UnsupportedFormat."""
    names = sorted((name for name in disk.names(root) if number_of(name)), key=number_of)
    journals = []
    for name in names:
        found = _read(disk, f"{root}/{name}", problems)
        if found is not None:
            journals.append(found)
    # What was journaled first comes first: only then does each run begin where its segment ends. One journal at a time takes batches.
    segments: dict[JournaledSegment, list[JournalRun]] = defaultdict(list)
    refs: dict[bytes, PartitionRef] = {}
    for _, runs in sorted(journals, key=lambda journal: journal[0]):
        for run in runs:
            if (ref := refs.get(run.name)) is None:
                ref = refs[run.name] = PartitionRef(*fmt.ident_parts(run.name))
            segments[JournaledSegment(ref, run.base)].append(run)
    return names, segments


def _read(disk: Disk, path: str, problems: list[str]) -> tuple[int, list[JournalRun]] | None:
    """Number of the first batch and the runs of one journal, in order; None when it holds none."""
    fd = disk.open(path, write=False)
    try:
        view = memoryview(read_exactly(disk, fd, disk.size(fd), 0))
    finally:
        disk.close(fd)
    try:
        header = fmt.unpack_journal(bytes(view[:HEADER_BYTES]))
    except fmt.UnknownVersion as error:
        raise UnsupportedFormat(f"{path}: {error}; nothing was changed") from error
    if header is None:
        # The header is on the disk before the first batch: without one nothing was acknowledged, unless it went bad later.
        if bytes(view[HEADER_BYTES : HEADER_BYTES + 4]) == fmt.BATCH_MAGIC:
            problems.append(f"{path}: its header is damaged; what it held was not looked at")
        return None
    salt, generation = header
    runs: list[JournalRun] = []
    position, first = HEADER_BYTES, -1
    for start, batch in _batches(view, salt, generation):
        if start != position:
            problems.append(f"{path}: damaged at byte {position}; batches up to byte {start} cannot be read")
        if first < 0:
            first = batch.number
        runs += batch.runs
        position = batch.end
    return (first, runs) if runs else None


def _batches(view: memoryview, salt: int, generation: int) -> Iterator[tuple[int, fmt.JournalBatch]]:
    """Intact batches and where they begin, also behind damage. Batches of earlier generations lie behind the last one: their salt is
    another."""
    mark = fmt.batch_mark(salt)
    raw: bytes = view.obj  # type: ignore[assignment]
    position, number = HEADER_BYTES, 0
    while 0 <= position < len(view):
        batch = fmt.batch_at(view, position, salt, generation, number)
        if batch is None:
            position = raw.find(mark, position + 1)
            continue
        yield position, batch
        position, number = batch.end, batch.number + 1


def _bring_all(
    disk: Disk, root: str, segments: dict[JournaledSegment, list[JournalRun]], many: bool
) -> Iterator[tuple[tuple[JournaledSegment, list[JournalRun]], bool | str | OSError]]:
    if many:
        # Synced together afterwards: threads would be in each other's way more than they wait for the disk.
        items = list(segments.items())
        for at in range(0, len(items), AHEAD):
            _read_ahead(disk, root, items[at : at + AHEAD])
            for item in items[at : at + AHEAD]:
                yield item, _bring(disk, root, *item, synced=False)
        return
    with ThreadPoolExecutor(THREADS, thread_name_prefix="log-replay") as threads:
        results = threads.map(lambda item: _bring(disk, root, *item), segments.items())
        yield from zip(segments.items(), results, strict=True)


def _read_ahead(disk: Disk, root: str, items: list[tuple[JournaledSegment, list[JournalRun]]]) -> None:
    """Have the kernel read the places of many files at a time, instead of one after the other when they are looked at."""
    for segment, runs in items:
        with suppress(OSError):
            fd = disk.open(_path(root, segment), write=False)
            try:
                disk.will_need(fd, 0, HEADER_BYTES)
                disk.will_need(fd, runs[0].offset, sum(run.length for run in runs))
            finally:
                disk.close(fd)


def _path(root: str, segment: JournaledSegment) -> str:
    return f"{partition_directory(root, segment.ref)}/{segment.base:020d}{SUFFIX}"


def _bring(
    disk: Disk, root: str, segment: JournaledSegment, runs: list[JournalRun], *, synced: bool = True
) -> bool | str | OSError:
    """Write into a segment what it lacks, and sync it: whether it lacked anything. A sentence when that has no place there."""
    path = _path(root, segment)
    try:
        fd = disk.open(path, write=True)
    except FileNotFoundError:
        return False  # expired or deleted since: its name was on the disk before its first frame was written
    except OSError as error:
        return error
    try:
        result = _fill(disk, fd, path, runs)
        if synced and not isinstance(result, str):
            # What the kernel still has of a process that was killed may not be on the disk yet.
            sync(disk, fd)
        return result
    except OSError as error:
        return error
    finally:
        disk.close(fd)


def _fill(disk: Disk, fd: int, path: str, runs: list[JournalRun]) -> bool | str:
    changed = False
    size = disk.size(fd)
    with suppress(fmt.UnknownVersion):
        header = fmt.unpack_segment(read_exactly(disk, fd, HEADER_BYTES, 0))
        if header is not None and header.salt != runs[0].salt:
            return f"{path}: a journal speaks of another file of this name"
    for offset, content in _joined(runs):
        if offset > size:
            # A copy that was made file by file from a log in use, the segment before the journal: as it was then, it is whole. Or a
            # damaged batch, which has been said.
            break
        if read_exactly(disk, fd, len(content), offset) != content:
            write_all(disk, fd, [content], offset)
            changed = True
        size = max(size, offset + len(content))
    return changed


def _joined(runs: list[JournalRun]) -> Iterator[tuple[int, bytes]]:
    """Runs that follow each other as one."""
    start, pieces, end = runs[0].offset, list(runs[0].data), runs[0].offset + runs[0].length
    for run in runs[1:]:
        if run.offset == end:
            pieces += run.data
        else:
            yield start, b"".join(pieces)
            start, pieces = run.offset, list(run.data)
        end = run.offset + run.length
    yield start, b"".join(pieces)
