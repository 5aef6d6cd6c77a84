"""The commit thread: takes everything that waits, writes it, syncs once per file, answers all of it at once. Owns group
commit and the order of things; how a partition is written is `writer`'s business.

While the disk works on one group the next one forms, so the busier the log, the more requests share a sync.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog

from penstock.clock import Clock
from penstock.config import Sync
from penstock.log.base import Durable, LogError, ReadOnly
from penstock.log.files.backlog import Backlog, Wrote
from penstock.log.files.disk import Disk
from penstock.log.files.ends import EndsTable
from penstock.log.files.errors import OutOfFiles
from penstock.log.files.journal import Journals
from penstock.log.files.segment import Partition, Segment
from penstock.log.files.writer import Entry, Mark, Run, Writer

SYNC_THREADS = 16
DIRECT_SYNCS = 4
"""Up to so many files are synced one after the other: quicker than waking threads (reference: performance, Log)."""

ENDS_SECONDS, ENDS_BYTES = 5.0, 128 << 20
"""The table of ends is written when something is new, after so long or so many bytes: what came later is read by a start after a crash."""

T = TypeVar("T")
Done = Callable[[Durable | LogError], None]
"""Called with what became of an entry."""
MakeJournals = Callable[
    [ThreadPoolExecutor, Callable[[Callable[[], None]], None], Callable[[Writer], None]], Journals
]
"""From a pool of threads, a way to have something done on the commit thread, and whom to tell of read-only writers."""
_log = structlog.get_logger("penstock.log")


class Group:
    """Entries that are committed together, and who waits for them: futures, or what is called with an entry's result."""

    __slots__ = ("calls", "entries", "stored", "waiters")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.calls: list[tuple[Entry, Done]] = []
        self.stored: list[tuple[Partition, list[Run]]] = []

    def take_in(self, other: Group) -> None:
        """Join a group that came after this one."""
        self.entries += other.entries
        self.waiters += other.waiters
        self.calls += other.calls


class Committer:
    """Starts its thread at once. `publish` is called on the event loop with what became durable, before those who
    wait for it go on. `files_at_once`: files written to before the first of them is synced, so kept open (in mode
    `interval` between groups too). `journals` makes them, for mode `always`; `wrote` is called, after `publish`, with what of the
    `backlog` their groups leave has been written since. `ends` is kept up to date."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        disk: Disk,
        clock: Clock,
        mode: Sync,
        publish: Callable[[Partition, list[Run]], None],
        files_at_once: int,
        backlog: Backlog,
        wrote: Callable[[list[Wrote]], None],
        ends: EndsTable,
        journals: MakeJournals | None,
    ) -> None:
        self._loop = loop
        self._disk = disk
        self._clock = clock
        self._mode = mode.mode
        self._interval = mode.interval_ms / 1000
        self._publish = publish
        self._slice = files_at_once
        self._backlog = backlog
        self._wrote = wrote
        self._ends = ends
        self._unnoted: set[Writer] = set()
        """Written to since the table of ends was."""
        self._unnoted_bytes = 0
        self._note_at = time.monotonic() + ENDS_SECONDS
        self._noting: Future[None] | None = None
        self._forming: Group | None = None
        """What has come in this turn of the event loop."""
        self._queue: queue.SimpleQueue[Group | Callable[[], None]] = queue.SimpleQueue()
        """A call: something to do between groups."""
        self._stopping = False
        self._pool = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="log-sync")
        self._journals: Journals | None = None
        if journals is not None and self._mode == "always":
            self._journals = journals(
                self._pool, lambda call: self._queue.put(partial(self._guard, call)), self.note_problem
            )
        self._dirty: dict[Writer, None] = {}
        self._sync_at = 0.0
        self._behind: Future[list[tuple[Writer, Segment, Mark]]] | None = None
        self.problems: dict[Writer, str] = {}
        """Why partitions are read-only. Read by the event loop."""
        self.crash: str | None = None
        self._thread = threading.Thread(target=self._run, name="log-commit", daemon=True)
        self._thread.start()

    # On the event loop.

    def health(self) -> list[str]:
        """Why writing is not trusted, a sentence each."""
        found = [self.crash] if self.crash is not None else []
        if self._journals is not None and self._journals.problem is not None:
            found.append(self._journals.problem)
        return found + list(self.problems.values())

    def submit(self, entries: list[Entry]) -> asyncio.Future[None]:
        """Queue entries; the future is done when each has its result."""
        waiter = self._loop.create_future()
        group = self._group()
        group.entries += entries
        group.waiters.append(waiter)
        return waiter

    def submit_one(self, entry: Entry, done: Done) -> None:
        """Queue an entry; `done` is called with its result, as part of the turn of the event loop that all of its group share."""
        group = self._group()
        group.entries.append(entry)
        group.calls.append((entry, done))

    def _group(self) -> Group:
        group = self._forming
        if group is None:
            group = self._forming = Group()
            # Not before the loop has seen to all that has arrived: a thread that is woken for the first of it has the loop wait for the
            # interpreter, and takes a group of one.
            self._loop.call_soon(self._hand_over)
        return group

    def _hand_over(self) -> None:
        group, self._forming = self._forming, None
        if group is not None:
            self._queue.put(group)

    async def between_groups(self, call: Callable[[], T]) -> T:
        """Run a call on the commit thread, where no write is under way."""
        future: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            try:
                result = call()
            except Exception as error:
                self._tell_wrote()
                self.tell(_set_exception, future, error)
            else:
                self._tell_wrote()
                self.tell(_set_result, future, result)

        self._hand_over()
        self._queue.put(run)
        return await future

    async def stop(self) -> None:
        """Finish what is queued and end the thread."""

        def last() -> None:
            self._stopping = True

        self._hand_over()
        self._queue.put(last)
        await self._loop.run_in_executor(None, self._thread.join)
        self._pool.shutdown()
        if self._journals is not None:
            self._journals.close(remove=self.crash is None and not self.problems)

    def _finish(self, group: Group) -> None:
        try:
            for partition, runs in group.stored:
                self._publish(partition, runs)
        finally:
            for waiter in group.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            for entry, done in group.calls:
                assert entry.result is not None
                try:
                    done(entry.result)
                except Exception:
                    _log.exception("what waited for the log failed")  # the others must not wait for ever

    # On the commit thread.

    def _run(self) -> None:
        while not self._stopping:
            try:
                item = self._queue.get(timeout=self._patience())
            except queue.Empty:
                self._guard(self._sync_dirty)
                self._guard(self._write_behind, 0)
                continue
            if not isinstance(item, Group):
                item()
                continue
            call = self._join(item)
            self._guard(self._commit, item)
            for entry in item.entries:
                if entry.result is None:
                    entry.result = ReadOnly(str(self.crash))
            self.tell(self._finish, item)
            self._guard(self._write_behind, len(item.stored))
            self._guard(self._note_ends)
            if self._dirty and time.monotonic() >= self._sync_at:
                self._guard(self._sync_dirty)
            if call is not None:
                call()

    def _join(self, group: Group) -> Callable[[], None] | None:
        """Take in the groups that have come meanwhile; the call they end at, if any."""
        while not self._queue.empty():
            item = self._queue.get()
            if not isinstance(item, Group):
                return item
            group.take_in(item)
        return None

    def _guard(self, call: Callable[..., None], *arguments: object) -> None:
        """An error nobody foresaw must not end the thread silently: from then on nothing is acknowledged."""
        try:
            if self.crash is None:
                call(*arguments)
        except Exception as error:
            self.crash = f"the log takes no more until restart: {type(error).__name__}: {error}"
            _log.exception("log stopped")

    def _commit(self, group: Group) -> None:
        now_ms = self._clock.now_ms()
        by_writer: dict[Writer, list[Entry]] = {}
        for entry in group.entries:
            self._unnoted_bytes += len(entry.payload)
            if (known := by_writer.get(entry.writer)) is None:
                by_writer[entry.writer] = [entry]
            else:
                known.append(entry)
        self._unnoted.update(by_writer)
        touched = list(by_writer.items())
        if self._journals is not None and self._journals.takes(group.entries, len(touched)):
            self._commit_slice(group, touched, now_ms, journals=self._journals)
            return
        # A group may touch more partitions than files can be open.
        for at in range(0, len(touched), self._slice):
            self._commit_slice(group, touched[at : at + self._slice], now_ms)

    def _commit_slice(
        self,
        group: Group,
        touched: list[tuple[Writer, list[Entry]]],
        now_ms: int,
        *,
        last_try: bool = False,
        journals: Journals | None = None,
    ) -> None:
        written = []
        refused = []
        for writer, entries in touched:
            if runs := writer.write(entries, now_ms, deferred=journals is not None):
                written.append((writer, runs))
            else:
                self.note_problem(writer)
            if len(runs) != 1 or runs[0].entries is not entries:
                refused.append((writer, entries))  # some of them, perhaps
            if journals is not None:
                writer.release()
        self._disk.reached("after_write_before_sync")
        if journals is not None:
            journals.write(written)
        elif self._mode == "always":
            self._sync([writer for writer, _ in written])
        self._disk.reached("after_sync_before_ack")
        for writer, runs in written:
            if writer.settle(runs):
                group.stored.append((writer.partition, runs))
            else:
                self.note_problem(writer)
            if self._mode == "interval":
                if not self._dirty:
                    self._sync_at = time.monotonic() + self._interval
                self._dirty[writer] = None
            else:
                writer.release()
        starved = [(w, left) for w, entries in refused if (left := [e for e in entries if _starved(e)])]
        if starved and last_try:
            starved[0][0].refuse_queued()
        elif starved:
            # Everybody else is done and has let go of files: one at a time now.
            for one in starved:
                if self._dirty:
                    self._sync_all_dirty()
                self._commit_slice(group, [one], now_ms, last_try=True)
        if len(self._dirty) > self._slice:
            self._sync_all_dirty()

    def _write_behind(self, touched: int) -> None:
        if self._journals is not None:
            self._journals.write_behind(touched)
            self._tell_wrote()

    def _note_ends(self) -> None:
        """Now and then: have it written down how far partitions are durable."""
        now = time.monotonic()
        if now < self._note_at and self._unnoted_bytes < ENDS_BYTES:
            return
        if self._noting is not None and not self._noting.done():
            return
        self._note_at, self._unnoted_bytes = now + ENDS_SECONDS, 0
        sound = [writer for writer in self._unnoted if writer.problem is None and not writer.deleted]
        ends = [end for writer in sound if (end := writer.end()) is not None]
        self._unnoted = {writer for writer in sound if writer.flushed.size < writer.size}
        if ends:
            self._noting = self._pool.submit(self._ends.update, ends)

    def _tell_wrote(self) -> None:
        if wrote := self._backlog.take():
            self.tell(self._wrote, wrote)

    def _sync(self, writers: list[Writer]) -> None:
        if len(writers) <= DIRECT_SYNCS:
            for writer in writers:
                writer.sync()
        else:
            shares = [writers[i::SYNC_THREADS] for i in range(min(SYNC_THREADS, len(writers)))]
            list(self._pool.map(_sync_each, shares))

    def _patience(self) -> float | None:
        if self._journals is not None:
            return self._journals.idle_work
        return max(0.0, self._sync_at - time.monotonic()) if self._dirty else None

    def _sync_dirty(self) -> None:
        """Mode `interval`: have what was written synced behind the writers' backs. A slow disk delays the next round;
        work does not pile up."""
        self._sync_at = time.monotonic() + self._interval
        if self._behind is not None:
            if not self._behind.done():
                return
            self._collect()
        if self._dirty:
            self._behind = self._pool.submit(_sync_behind, list(self._dirty))

    def _sync_all_dirty(self) -> None:
        """Mode `interval`: sync now and here, to let go of files."""
        if self._behind is not None:
            self._collect()
        self._sync(list(self._dirty))
        self._collect()

    def _collect(self) -> None:
        """Take note of what a round in the background has done, waiting for it if need be."""
        if self._behind is not None:
            for writer, segment, size in self._behind.result():
                writer.synced_to(segment, size)
            self._behind = None
        for writer in list(self._dirty):
            self.note_problem(writer)
            if writer.problem is not None or writer.deleted or writer.synced == writer.size:
                writer.release()
                del self._dirty[writer]

    def note_problem(self, writer: Writer) -> None:
        """Make known that a partition is read-only, if it is."""
        if writer.problem is not None and not writer.deleted and writer not in self.problems:
            self.problems[writer] = writer.problem
            _log.error("partition read-only", problem=writer.problem)

    def tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Have a call made on the event loop, after what has been told before."""
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass  # the loop is gone, and with it everybody who waited


def _starved(entry: Entry) -> bool:
    return isinstance(entry.result, OutOfFiles)


def _sync_each(writers: list[Writer]) -> None:
    for writer in writers:
        writer.sync()


def _sync_behind(writers: list[Writer]) -> list[tuple[Writer, Segment, Mark]]:
    done = []
    for writer in writers:
        if (synced := writer.sync_behind()) is not None:
            done.append((writer, *synced))
    return done


def _set_result(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
