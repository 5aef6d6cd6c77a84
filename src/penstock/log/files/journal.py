"""The journal: one file that makes a group durable which touches many segments, with one sync. Owns its files, when they are made and
when they may be written over; knows segments only as writers that can be synced behind their backs.

A group is written into the journal and synced: then it is acknowledged. Its frames wait in the `Backlog` until they are written into
their segments, as many of a partition at a time as have come together. When a journal is full, the next one goes on, and the segments
it speaks of are written and synced in the background; it is written over only after that. After a crash `replay` writes into the
segments what they lack.

Journals are full of zeros or of old batches before they are used, so that a sync of one waits for no change of the file system's own
records: that is most of what an `fdatasync` of a file that grows costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum

import structlog

from penstock.log.base import DiskFull
from penstock.log.files.backlog import Backlog
from penstock.log.files.disk import Disk, sync, write_all
from penstock.log.files.errors import of_write
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
from penstock.log.files.together import sync_together
from penstock.log.files.writer import Entry, Mark, Run, Writer

PREFIX = "journal-"
JOURNALS_MAX = 4
JOURNAL_BYTES = 32 << 20
SYNCS_BEFORE = 64
"""So many syncs of segments, each of which a journal would have saved, go before the first one: a log that is hardly used makes none."""
FILE_SHARE = 256 << 10
"""Bytes of a group for each of its files up to which writing them twice is cheaper than syncing each file."""
STEP_BYTES, STEP_FILES = 2 << 20, 16
"""After so many bytes what they touched is written and synced already, unless it is more files: all of a full journal's at once would
keep the disk from the next groups for as long as it takes to write them."""
BACKLOG_BYTES = 20 << 20
"""Memory of frames that wait for their segments, from which on they are written as fast as others come."""
BACKLOG_SHARE = 2
"""So many partitions are written for each one a group touches, while there is reason to."""
BACKLOG_LEAST = 16
OLD_SECONDS = 1.0
"""What has waited so long is written too, within as long again: a copy of the files lacks no more than that."""
IDLE_FILES = 64
"""So many are written at a time when nothing else is to be done."""
TRY_AGAIN_SECONDS = 1.0
"""Between attempts to write what a full disk did not take."""
IDLE_SECONDS = 0.1
"""What waits is written when no group has come for so long."""
FREE_SHARE = 16
"""A journal takes at most this part of what is free on the disk."""
_ZEROS = bytes(1 << 20)

_log = structlog.get_logger("penstock.log")


class _State(Enum):
    PREPARING = "being made, or getting a new header"
    READY = "may be written from the start"
    ACTIVE = "takes batches"
    FULL = "its segments are being written"
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
        self.ticket = 0
        """Of the backlog, when it was full: who has a later one has nothing waiting that is only here."""


class Journals:
    """The files of one log. Used by the commit thread, but for what runs in the threads of `pool`; `call` has something done on the
    commit thread; `broken` is told of writers that became read-only; `mark` makes it known, durably, that this directory has journals."""

    def __init__(
        self,
        disk: Disk,
        root: str,
        backlog: Backlog,
        pool: ThreadPoolExecutor,
        call: Callable[[Callable[[], None]], None],
        broken: Callable[[Writer], None],
        mark: Callable[[], None],
        *,
        size: int = JOURNAL_BYTES,
        syncs_before: int = SYNCS_BEFORE,
    ) -> None:
        self._disk = disk
        self._root = root
        self._backlog = backlog
        self._pool = pool
        self._call = call
        self._broken = broken
        self._mark = mark
        self._size = size
        self._wait = syncs_before
        self._files: list[_Journal] = []
        self._active: _Journal | None = None
        self._numbers = max([0, *map(number_of, disk.names(root))])
        self._batch = self._numbers << 40
        """Number of the next batch: larger than any before, in whatever order journals become ready, and than those in a journal that
        was kept from before the start."""
        self._generation = 0
        self._marked = False
        self._stepping = False
        self._try_again_at = 0.0
        self._aged = self._ageing = 0
        self._age_at = 0.0
        self.problem: str | None = None
        """Why there are no journals any more until restart."""

    def takes(self, entries: Sequence[Entry], files: int) -> bool:
        """Whether this group should be, and can be, made durable here. Then `write` has room for it."""
        if self.problem is not None or self._backlog.bytes > 2 * BACKLOG_BYTES:
            return False
        size = sum(len(entry.payload) for entry in entries)
        if size > files * FILE_SHARE:
            return False
        # At worst each frame begins a segment.
        size += BATCH_BYTES + len(entries) * (FRAME_BYTES + RUN_BYTES + HEADER_BYTES)
        if size > (self._size - HEADER_BYTES) // 4:
            return False
        if self._wait > 0:
            self._wait -= files
            return False
        active = self._active
        if active is not None and active.offset + size > self._size:
            self._flush(active)
            active = self._active = None
        if active is None:
            active = self._active = self._next()
        return active is not None

    def write(self, staged: list[tuple[Writer, list[Run]]]) -> None:
        """Make durable what writers have staged, after `takes`, and tell them how it went. After an error nothing is known of this group
        and no journal takes any more, unless the disk is just full."""
        active = self._active
        assert active is not None
        runs: list[JournalRun] = []
        for _, its_runs in staged:
            runs += [run.journal for run in its_runs if run.deferred and run.journal is not None]
        if not runs:
            return
        pieces = pack_batch(active.salt, active.generation, self._batch, runs)
        self._batch += 1
        try:
            size = write_all(self._disk, active.fd, pieces, active.offset)
        except OSError as error:
            # A batch that is not whole is none, and the next one goes over it.
            self._refuse(staged, error, unknown=not isinstance(of_write(error, ""), DiskFull))
            return
        try:
            self._disk.reached("after_journal_write_before_sync")
            sync(self._disk, active.fd)
        except OSError as error:
            self._refuse(staged, error, unknown=True)
            return
        active.offset += size
        for writer, its_runs in staged:
            writer.journaled()
            active.touched[writer] = (its_runs[-1].segment, writer.size)
        if active.offset - active.stepped >= STEP_BYTES and not self._stepping:
            self._step(active)

    def _refuse(self, staged: list[tuple[Writer, list[Run]]], error: OSError, *, unknown: bool) -> None:
        for writer, runs in staged:
            if runs and runs[-1].deferred:
                writer.journal_failed(runs, error, unknown=unknown)
        if unknown:
            self._give_up(f"the journal: {error.strerror or error}")

    def write_behind(self, touched: int) -> None:
        """After a group that touched so many partitions (0: nothing else is to be done): write some of what waits."""
        backlog = self._backlog
        if len(backlog):
            now = time.monotonic()
            if now >= self._age_at:
                self._age_at = now + OLD_SECONDS
                self._aged, self._ageing = self._ageing, backlog.ticket
            if now >= self._try_again_at:
                self._try_again_at = now + TRY_AGAIN_SECONDS
                backlog.unstick()
            if not touched:
                self._write(backlog.first(IDLE_FILES))
            elif self._is_behind():
                self._write(backlog.first(max(BACKLOG_LEAST, BACKLOG_SHARE * touched)))
        oldest = backlog.oldest
        for journal in self._files:
            if journal.state is _State.FULL and oldest >= journal.ticket:
                self._sync(journal)

    def _is_behind(self) -> bool:
        backlog = self._backlog
        return (
            backlog.bytes > BACKLOG_BYTES
            or backlog.oldest < self._aged
            or any(file.state is _State.FULL for file in self._files)
        )

    @property
    def idle_work(self) -> float | None:
        """After how many seconds without a group `write_behind` has something to do; None: it has not."""
        if self._backlog.first(1) or any(file.state is _State.FULL for file in self._files):
            return IDLE_SECONDS
        return TRY_AGAIN_SECONDS if len(self._backlog) else None

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

    def _write(self, writers: Iterable[Writer]) -> None:
        for writer in writers:
            writer.try_write_back()
            if writer.problem is not None:
                self._broken(writer)

    def _step(self, journal: _Journal) -> None:
        journal.stepped = journal.offset
        if len(journal.touched) > STEP_FILES:
            return
        behind = [writer for writer, (_, size) in journal.touched.items() if writer.flushed.size < size]
        self._write(behind)
        self._stepping = True

        def done(found: list[tuple[Segment, Mark] | None]) -> None:
            self._stepping = False
            self._take(behind, found)

        def one_by_one() -> None:
            found = [writer.sync_behind() for writer in behind]
            self._call(lambda: done(found))

        self._pool.submit(one_by_one)

    def _take(self, writers: list[Writer], found: list[tuple[Segment, Mark] | None]) -> None:
        for writer, synced in zip(writers, found, strict=True):
            if synced is not None:
                writer.synced_to(*synced)
            self._broken(writer)

    def _flush(self, journal: _Journal) -> None:
        """It is full: what it speaks of has to be brought into the segments, a few with each of the next groups when there are many."""
        journal.state = _State.FULL
        journal.ticket = self._backlog.ticket
        if len(journal.touched) <= IDLE_FILES:
            self._write(journal.touched)
        if self._backlog.oldest >= journal.ticket:
            self._sync(journal)

    def _sync(self, journal: _Journal) -> None:
        journal.state = _State.FLUSHING
        writers = [
            writer
            for writer, (_, size) in journal.touched.items()
            if writer.flushed.size < size and writer.unsynced
        ]

        def done(found: list[tuple[Segment, Mark] | None]) -> None:
            self._take(writers, found)
            self._flushed(journal)

        def together() -> None:
            found = sync_together(self._disk, self._root, writers)
            self._call(lambda: done(found))

        self._pool.submit(together)

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
        self._wait = 100 * SYNCS_BEFORE

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
    return writer.deleted or writer.segment is not segment or writer.flushed.size >= size
