"""The data directory: lock, table of ends, streams and partitions as directories. Owns their names and the order in which
things appear and vanish; the recovery of one partition is `recovery`'s.

ROOT/LOCK, ROOT/clean or ROOT/ends, ROOT/STREAM/PARTITION/SEGMENT, and ROOT/.deleting-... while a stream goes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from penstock.log.base import PartitionRef
from penstock.log.files.disk import Disk, write_small
from penstock.log.files.ends import ENDS
from penstock.log.files.errors import AlreadyInUse
from penstock.log.files.format import JOURNAL_VERSION, VERSION, End, pack_ends
from penstock.log.files.journal import number_of
from penstock.log.files.pool import FilePool
from penstock.log.files.recovery import Found, load_ends, recover, unreadable
from penstock.log.files.replay import replay
from penstock.log.files.segment import Segment, index_path, partition_directory
from penstock.log.files.together import MANY, sync_files

FOLDER = "log"
LOCK = "LOCK"
CLEAN = "clean"
DELETING = ".deleting-"
RECOVERY_THREADS = 8


class Opened(NamedTuple):
    """A locked directory and what recovery found in it. `ends`: the table of ends of the last close in order; `problems`: what of its
    journals is unreadable."""

    root: str
    lock: int
    found: list[Found]
    ends: dict[PartitionRef, End]
    problems: list[str]


def open_directory(disk: Disk, data: str) -> Opened:
    """Steps 1 to 11 of docs/log-format.md. Raises AlreadyInUse, UnsupportedFormat, OSError."""
    os.makedirs(data, exist_ok=True)  # noqa: PTH103
    root = f"{data}/{FOLDER}"
    if disk.mkdir(root):
        disk.fsync_dir(data)
    # Step 1: one process at a time.
    lock = disk.lock(f"{root}/{LOCK}")
    if lock is None:
        raise AlreadyInUse(f"another process is using {data}: stop it, or choose another data directory")
    try:
        # Step 2: was it closed in order? From now on the table only says what was durable at least.
        ends = load_ends(disk, f"{root}/{CLEAN}")
        closed = ends is not None
        if ends is None:
            ends = load_ends(disk, f"{root}/{ENDS}") or {}
        # Step 3: finish deletions.
        for name in disk.names(root):
            if name.startswith(DELETING):
                remove_moved(disk, root, f"{root}/{name}")
        # Before any segment is looked at: what journals hold of them.
        replayed = replay(disk, root)
        in_order = closed and not replayed.changed and not replayed.failed
        found = _recover_all(disk, root, ends, in_order, replayed.failed)
        if closed:
            disk.rename(f"{root}/{CLEAN}", f"{root}/{ENDS}")
        else:
            with suppress(FileNotFoundError):
                disk.unlink(f"{root}/{CLEAN}")
        disk.fsync_dir(root)
    except BaseException:
        disk.close(lock)
        raise
    return Opened(root, lock, found, ends, replayed.problems)


def _recover_all(
    disk: Disk, root: str, ends: dict[PartitionRef, End], in_order: bool, failed: dict[PartitionRef, str]
) -> list[Found]:
    """Steps 4 to 11 for every partition; those in `failed` stay read-only, for that reason. After a crash most of the time is
    waiting for the disk: one sync a partition, or one for all of many."""
    refs = list_partitions(disk, root)
    together = not in_order and len(refs) >= MANY

    def one(ref: PartitionRef) -> Found:
        found = recover(disk, root, ref, ends.get(ref), synced=not together)
        if (reason := failed.get(ref)) is None:
            return found
        return _read_only(found, reason)

    if together:
        everything = [one(ref) for ref in refs]
        tails = {
            found.partition.segments[-1].path: i
            for i, found in enumerate(everything)
            if found.partition.segments
        }
        for path, error in sync_files(disk, root, list(tails)).items():
            found = everything[tails[path]]
            everything[tails[path]] = _read_only(found, unreadable(found.partition.segments[-1], error))
        return everything
    if in_order or len(refs) < RECOVERY_THREADS:
        return [one(ref) for ref in refs]
    with ThreadPoolExecutor(RECOVERY_THREADS, thread_name_prefix="log-recovery") as threads:
        return list(threads.map(one, refs))


def _read_only(found: Found, reason: str) -> Found:
    return found._replace(tail=found.tail._replace(read_only=reason), problems=[*found.problems, reason])


def list_partitions(disk: Disk, root: str) -> list[PartitionRef]:
    """Every partition with a directory, in order."""
    refs = []
    for stream_id in disk.names(root):
        if stream_id in (LOCK, CLEAN, ENDS) or stream_id.startswith("."):
            continue
        refs += [
            PartitionRef(stream_id, int(name))
            for name in disk.names(f"{root}/{stream_id}")
            if len(name) == 10 and name.isdigit()
        ]
    return sorted(refs)


def make_partitions(disk: Disk, root: str, refs: Sequence[PartitionRef]) -> None:
    """Directories for new partitions, durable. The first append makes the first segment. Raises OSError."""
    streams = {ref.stream_id for ref in refs}
    new = [stream_id for stream_id in streams if disk.mkdir(f"{root}/{stream_id}")]
    for ref in refs:
        disk.mkdir(partition_directory(root, ref))
    for stream_id in streams:
        disk.fsync_dir(f"{root}/{stream_id}")
    if new:
        disk.fsync_dir(root)


def move_stream_away(disk: Disk, root: str, stream_id: str) -> str:
    """Rename a stream's directory, at once gone for all who open files; where it is now. Raises OSError."""
    moved = f"{root}/{DELETING}{stream_id}-{disk.salt():08x}"
    disk.rename(f"{root}/{stream_id}", moved)
    return moved


def remove_moved(disk: Disk, root: str, moved: str) -> None:
    """Remove a stream that has been moved away. What cannot be removed now is removed by the next start."""
    with suppress(OSError):
        disk.fsync_dir(root)
    for partition in disk.names(moved):
        for name in disk.names(f"{moved}/{partition}"):
            with suppress(OSError):
                disk.unlink(f"{moved}/{partition}/{name}")
        with suppress(OSError):
            disk.rmdir(f"{moved}/{partition}")
    with suppress(OSError):
        disk.rmdir(moved)


def remove_segments(disk: Disk, files: FilePool, segments: Sequence[Segment]) -> None:
    """Remove expired segments, oldest first and one durably after the other, so that what a crash leaves has no gap.
    What cannot be removed now is there again after a restart, and expires again."""
    with suppress(OSError):
        for segment in segments:
            disk.unlink(segment.path)
            files.forget(segment.path)
            with suppress(FileNotFoundError):
                disk.unlink(index_path(segment.path))
            files.sync_directory(os.path.dirname(segment.path))  # noqa: PTH120


def write_clean(disk: Disk, root: str, ends: Sequence[End]) -> None:
    """Record that the log was closed in order. Without it the next start reads the tail segments."""
    version = JOURNAL_VERSION if any(map(number_of, disk.names(root))) else VERSION
    with suppress(OSError):
        write_small(disk, f"{root}/{CLEAN}", pack_ends(ends, version), durable=True)
