"""The journal: one file that makes a group durable which touches many segments, with one sync. Owns its files, when they are made and
when they may be written over; knows segments only as writers that can be synced behind their backs.

A group is written into its segments, unsynced, and into the journal, synced: then it is acknowledged. When a journal is full, the next
one goes on, and the segments it speaks of are synced in the background; it is written over only after that. After a crash
`replay` writes into the segments what they lack.

Journals are full of zeros or of old batches before they are used, so that a sync of one waits for no change of the file system's own
records: that is most of what an `fdatasync` of a file that grows costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum

import structlog

from penstock.log.files.disk import Disk, sync, write_all
from penstock.log.files.format import (
    BATCH_BYTES,
    FRAME_BYTES,
    HEADER_BYTES,
    RUN_BYTES,
    JournalRun,
    pack_batch,
    pack_journal,
)
from penstock.log.files.segment import Segment
from penstock.log.files.writer import Entry, Run, Writer

PREFIX = "journal-"
JOURNALS_MAX = 4
JOURNAL_BYTES = 32 << 20
GROUPS_BEFORE = 64
"""So many groups that want a journal go without: a log that is hardly used makes none."""
FILE_SHARE = 256 << 10
"""Bytes of a group for each of its files up to which writing them twice is cheaper than syncing each file."""
STEP_BYTES, STEP_FILES = 2 << 20, 16
"""After so many bytes what they touched is synced already, unless it is more files: all of a full journal's at once would keep the
disk from the next groups for as long as it takes to write them."""
FREE_SHARE = 16
"""A journal takes at most this part of what is free on the disk."""
_ZEROS = bytes(1 << 20)

_log = structlog.get_logger("penstock.log")


class _State(Enum):
    PREPARING = "being made, or getting a new header"
    READY = "may be written from the start"
    ACTIVE = "takes batches"
    FLUSHING = "its segments are being synced"
    KEPT = "its segments could not be synced: needed by the next start"


class _Journal:
    """One file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = -1
        self.state = _State.PREPARING
        self.salt = 0
        self.generation = 0
        self.offset = self.stepped = HEADER_BYTES
        self.touched: dict[Writer, tuple[Segment, int]] = {}
        """Up to where segments have to be synced before this file is written over."""


class Journals:
    """The files of one log. Used by the commit thread, but for what runs in the threads of `pool`; `call` has something done on the
    commit thread; `broken` is told of writers that became read-only; `mark` makes it known, durably, that this directory has journals."""

    def __init__(
        self,
        disk: Disk,
        root: str,
        pool: ThreadPoolExecutor,
        call: Callable[[Callable[[], None]], None],
        broken: Callable[[Writer], None],
        mark: Callable[[], None],
        *,
        size: int = JOURNAL_BYTES,
        groups_before: int = GROUPS_BEFORE,
    ) -> None:
        self._disk = disk
        self._root = root
        self._pool = pool
        self._call = call
        self._broken = broken
        self._mark = mark
        self._size = size
        self._wait = groups_before
        self._files: list[_Journal] = []
        self._active: _Journal | None = None
        self._numbers = max([0, *map(number_of, disk.names(root))])
        self._batch = self._numbers << 40
        """Number of the next batch: larger than any before, in whatever order journals become ready, and than those in a journal that
        was kept from before the start."""
        self._generation = 0
        self._marked = False
        self._stepping = False
        self.problem: str | None = None
        """Why there are no journals any more until restart."""

    def takes(self, entries: Sequence[Entry], files: int) -> bool:
        """Whether this group should be, and can be, made durable here. Then `write` has room for it."""
        if self.problem is not None:
            return False
        size = sum(len(entry.payload) for entry in entries)
        if size > files * FILE_SHARE:
            return False
        # At worst each frame begins a segment.
        size += BATCH_BYTES + len(entries) * (FRAME_BYTES + RUN_BYTES + HEADER_BYTES)
        if size > (self._size - HEADER_BYTES) // 4:
            return False
        if self._wait:
            self._wait -= 1
            return False
        active = self._active
        if active is not None and active.offset + size > self._size:
            self._flush(active)
            active = self._active = None
        if active is None:
            active = self._active = self._next()
        return active is not None

    def write(self, written: list[tuple[Writer, list[Run]]]) -> None:
        """Make durable what has been written into segments, after `takes`. Raises OSError, after which nothing is known of this
        group, and no journal takes any more."""
        active = self._active
        assert active is not None
        runs: list[JournalRun] = []
        for _, its_runs in written:
            runs += [run.journal for run in its_runs if run.journal is not None]
        if not runs:
            return
        pieces = pack_batch(active.salt, active.generation, self._batch, runs)
        for writer, its_runs in written:
            active.touched[writer] = (its_runs[-1].segment, writer.size)
        try:
            active.offset += write_all(self._disk, active.fd, pieces, active.offset)
            self._disk.reached("after_journal_write_before_sync")
            sync(self._disk, active.fd)
        except OSError as error:
            self._give_up(f"the journal: {error.strerror or error}")
            raise
        self._batch += 1
        if active.offset - active.stepped >= STEP_BYTES and not self._stepping:
            self._step(active)

    def close(self, *, remove: bool) -> None:
        """Close all; with `remove` every segment is synced, so nothing needs them. No thread of the pool's runs any more."""
        for journal in self._files:
            if journal.fd >= 0:
                self._disk.close(journal.fd)
            if remove:
                with suppress(OSError):
                    self._disk.unlink(journal.path)
        self._files.clear()

    # On the commit thread

    def _next(self) -> _Journal | None:
        """One that may be written; if there is none, and more are allowed, another is made for later groups."""
        for journal in self._files:
            if journal.state is _State.READY:
                journal.state = _State.ACTIVE
                return journal
        making = any(journal.state is _State.PREPARING for journal in self._files)
        if not making and sum(journal.state is not _State.KEPT for journal in self._files) < JOURNALS_MAX:
            self._numbers += 1
            journal = _Journal(f"{self._root}/{PREFIX}{self._numbers:010d}")
            self._files.append(journal)
            self._prepare(journal)
        return None

    def _step(self, journal: _Journal) -> None:
        journal.stepped = journal.offset
        behind = [writer for writer, (_, size) in journal.touched.items() if writer.flushed < size]
        if not 0 < len(behind) <= STEP_FILES:
            return
        self._stepping = True

        def done(found: list[tuple[Segment, int] | None]) -> None:
            self._stepping = False
            self._take(behind, found)

        def one_by_one() -> None:
            found = [writer.sync_behind() for writer in behind]
            self._call(lambda: done(found))

        self._pool.submit(one_by_one)

    def _take(self, writers: list[Writer], found: list[tuple[Segment, int] | None]) -> None:
        for writer, synced in zip(writers, found, strict=True):
            if synced is not None:
                writer.synced_to(*synced)
            self._broken(writer)

    def _flush(self, journal: _Journal) -> None:
        journal.state = _State.FLUSHING
        writers = list(journal.touched)
        waiting = [self._pool.submit(Writer.sync_behind, writer) for writer in writers]
        left = len(waiting)

        def one_done() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._take(writers, [future.result() for future in waiting])
                self._flushed(journal)

        for future in waiting:
            future.add_done_callback(lambda _: self._call(one_done))

    def _flushed(self, journal: _Journal) -> None:
        self._disk.reached("after_flush_before_reuse")
        if self.problem is None and all(map(_needless, journal.touched, journal.touched.values())):
            journal.touched.clear()
            self._prepare(journal)
        else:
            journal.state = _State.KEPT

    def _prepare(self, journal: _Journal) -> None:
        self._generation += 1
        journal.state = _State.PREPARING
        journal.salt, journal.generation = self._disk.salt(), self._generation
        journal.offset = journal.stepped = HEADER_BYTES
        self._pool.submit(self._make, journal)

    def _prepared(self, journal: _Journal, error: OSError | None) -> None:
        if error is None:
            journal.state = _State.READY
            return
        _log.warning("no journal", reason=error.strerror or str(error))
        if journal.fd >= 0:
            self._disk.close(journal.fd)
        with suppress(OSError):
            self._disk.unlink(journal.path)
        self._files.remove(journal)
        self._wait = 100 * GROUPS_BEFORE

    def _give_up(self, problem: str) -> None:
        self.problem = problem
        active, self._active = self._active, None
        if active is not None:
            self._flush(active)  # what it made durable before should not depend on it

    # In a thread of the pool

    def _make(self, journal: _Journal) -> None:
        failed: OSError | None = None
        try:
            self._make_or_fail(journal)
        except OSError as error:
            failed = error
        self._call(lambda: self._prepared(journal, failed))

    def _make_or_fail(self, journal: _Journal) -> None:
        disk = self._disk
        if not self._marked:
            self._mark()
            self._marked = True
        if journal.fd < 0:
            if disk.free(self._root) < FREE_SHARE * self._size:
                raise OSError(0, "little room is left on the disk")
            journal.fd = disk.create(journal.path)
            for offset in range(0, self._size, len(_ZEROS)):
                write_all(disk, journal.fd, [_ZEROS[: self._size - offset]], offset)
            disk.fsync_dir(self._root)
        write_all(disk, journal.fd, [pack_journal(journal.salt, journal.generation)], 0)
        sync(disk, journal.fd)


def number_of(name: str) -> int:
    """Of a journal's file; 0 for other names."""
    digits = name.removeprefix(PREFIX)
    return int(digits) if digits != name and digits.isdigit() else 0


def _needless(writer: Writer, needed: tuple[Segment, int]) -> bool:
    segment, size = needed
    # A segment is sealed only after all of it is synced.
    return writer.deleted or writer.segment is not segment or writer.flushed >= size
