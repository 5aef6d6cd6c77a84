"""Many segments synced at a time. Owns when one call for the whole file system is cheaper than one for each file: it takes 40 ms for
10,000 files that were written to, where one for each takes a core 350 ms."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from penstock.log.files.disk import Disk, sync
from penstock.log.files.segment import Segment
from penstock.log.files.writer import Mark, Writer

MANY = 64
"""From so many files on, what else is waiting to be written on that disk is waited for too."""


def sync_files(disk: Disk, root: str, paths: Sequence[str]) -> dict[str, OSError]:
    """Of many files below `root`, those that could not be synced, and why. One that is gone need not be."""
    if disk.syncs_all:
        with suppress(OSError):
            disk.sync_all(root)
            return {}
    failed = {}
    for path in paths:
        try:
            fd = disk.open(path, write=True)
            try:
                sync(disk, fd)
            finally:
                disk.close(fd)
        except FileNotFoundError:
            continue
        except OSError as error:
            failed[path] = error
    return failed


def sync_together(disk: Disk, root: str, writers: Sequence[Writer]) -> list[tuple[Segment, Mark] | None]:
    """`Writer.sync_behind` for each of them, on any thread. Never raises."""
    if len(writers) >= MANY and disk.syncs_all:
        known = [writer.known_written() for writer in writers]
        # When it fails it does not say which file it was: they are asked one by one.
        with suppress(OSError):
            disk.sync_all(root)
            return known
    return [writer.sync_behind() for writer in writers]


def finish_together(disk: Disk, root: str, writers: Sequence[Writer]) -> None:
    """`Writer.finish` for each of them, on the commit thread. Never raises."""
    behind = [writer for writer in writers if writer.unsynced]
    if len(behind) >= MANY and disk.syncs_all:
        for writer in behind:
            writer.try_write_back()
        for writer, synced in zip(behind, sync_together(disk, root, behind), strict=True):
            if synced is not None:
                writer.synced_to(*synced)
    for writer in writers:
        writer.finish()
