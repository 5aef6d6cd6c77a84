"""The writing end of a partition. Owns its file while it grows, the next sequence number, and undoing what failed; used
by the commit thread alone (but for the flags marked below).

Invariants:
- `next` and `size` describe frames written in full; a failed write is cut off again before anything else is written.
- Nothing is answered, and nothing becomes visible, before `synced` has passed it (mode `always`). What lies between `flushed` and
  `synced` is durable in a journal only, which is kept until `flushed` has passed it.
- What lies behind `written` is in no segment yet, but in `_deferred`, in order; whatever is written goes behind that.
- A segment is created only when all of the one before it is synced: what lies behind a later segment is durable.
- After any error whose effect on the disk is unknown (a sync that failed, above all) the writer takes nothing more:
  the kernel may have dropped the pages, and a second sync would report success.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import msgspec

from penstock.log.base import DiskFull, Durable, Frame, LogError, ReadOnly, UnknownPartition
from penstock.log.files.backlog import FRAME_OVERHEAD, Backlog, Wrote
from penstock.log.files.disk import Buffer, Disk, sync, write_all
from penstock.log.files.errors import OUT_OF_FILES, OutOfFiles, of_write
from penstock.log.files.format import (
    FRAME_BYTES,
    HEADER_BYTES,
    End,
    JournalRun,
    SegmentHeader,
    pack_frame,
    pack_segment,
)
from penstock.log.files.joining import Joined, joined
from penstock.log.files.pool import FilePool, Handle
from penstock.log.files.segment import Partition, Segment


class Entry(msgspec.Struct, gc=False, eq=False):
    """One batch on its way: what to store, then what became of it. `epoch` is the writer's when it was queued."""

    writer: Writer
    payload: bytes
    count: int
    epoch: int
    result: Durable | LogError | None = None


class Run(NamedTuple):
    """Frames for one segment in one go, and the entries they are of. `journal`: the same as a journal holds it; None where there was
    nothing to write. `deferred`: they are not in the segment yet."""

    segment: Segment
    frames: list[Frame]
    entries: list[Entry]
    journal: JournalRun | None = None
    deferred: bool = False


class Mark(NamedTuple):
    """A place between two frames of the open segment: its offset, the next sequence number and the last append time there."""

    size: int
    next: int
    last_ms: int


class Writer:
    """One partition's. `size` is where the open segment's next frame goes; `synced` is how much of it is durable, `written` how far it is
    in the segment itself, `flushed` how far it is durable there."""

    __slots__ = (
        "_backlog", "_begin", "_deferred", "_disk", "_files", "_handle", "_memory", "_segment_bytes", "deleted", "epoch",
        "flushed", "last_ms", "next", "partition", "problem", "segment", "size", "synced", "written",
    )  # fmt: skip

    def __init__(
        self, partition: Partition, disk: Disk, files: FilePool, backlog: Backlog, segment_bytes: int
    ) -> None:
        self.partition = partition
        self._disk = disk
        self._files = files
        self._backlog = backlog
        self._segment_bytes = segment_bytes
        self._handle: Handle | None = None
        self.segment: Segment | None = None
        """None: the next append creates one."""
        self.size = self.synced = 0
        self.written = self.flushed = Mark(0, 0, 0)
        self._deferred: list[Buffer] = []
        self._memory = 0
        """What those take, about."""
        self._begin = b""
        """The open segment's header, until its first frames are written."""
        self.next = 0
        self.last_ms = 0
        self.epoch = 0
        """Counts failures that pass. An entry queued before one is failed with it. Read by the event loop."""
        self.problem: str | None = None
        """Why the partition is read-only, for good. Read by the event loop."""
        self.deleted = False
        """Set by the event loop when the partition goes."""

    def resume(self, segment: Segment | None, size: int, following: int, last_ms: int) -> None:
        """Go on where recovery says, all of which is synced."""
        self.segment = segment
        self.size = self.synced = size
        self.next, self.last_ms = following, last_ms
        self.written = self.flushed = Mark(size, following, last_ms)

    @property
    def holds_records(self) -> bool:
        """Whether the open segment does."""
        return self.segment is not None and self.size > HEADER_BYTES

    def begin_anew(self) -> None:
        """Step 10 of recovery: go on in a new segment, whose name keeps the next sequence number. When there can be
        none the partition stays read-only."""
        try:
            self.partition.publish(self.roll(self.last_ms), [])
        except OSError as error:
            self._break(f"its last segment is damaged, and beginning another: {error.strerror or error}")
        else:
            self.sync()
        self.release()

    def finish(self) -> None:
        """Write and sync what is not, and let go of the file."""
        if self.unsynced:
            try:
                self.write_back()
                self.hold()
            except OSError as error:
                self._break(f"closing: {error.strerror or error}")
            else:
                self.sync()
        self.release()

    @property
    def unsynced(self) -> bool:
        """Whether the segment lacks something that can be brought into it."""
        return (
            self.problem is None
            and not self.deleted
            and self.segment is not None
            and self.flushed.size < self.size
        )

    def write(self, entries: list[Entry], now_ms: int, *, deferred: bool = False) -> list[Run]:
        """Write one group's entries; those that fail get their result here. Not synced yet, and with `deferred` not written either:
        they are for a journal."""
        if deferred and (run := self._defer(entries, now_ms)) is not None:
            return [run]
        runs: list[Run] = []
        waiting = []
        for entry in entries:
            entry.result = self._refusal(entry)
            if entry.result is None:
                waiting.append(entry)
        try:
            if waiting and self._deferred and not (deferred and self in self._backlog.tickets):
                self.write_back()
            frames = joined(waiting) if waiting else []
            while frames:
                if self.segment is None or self._is_full(frames[0][0]):
                    self.roll(now_ms)
                run = self._write_run(self._stage(frames, waiting, now_ms), deferred)
                runs.append(run)
                del frames[: len(run.frames)], waiting[: len(run.entries)]
        except OSError as error:
            failure = self._failed(error)
            for entry in waiting:
                entry.result = failure
        return runs

    def _defer(self, entries: list[Entry], now_ms: int) -> Run | None:
        """`write` for a journal, where nothing is unusual; None: something is. With many partitions this is what a put costs."""
        segment, offset, epoch = self.segment, self.size, self.epoch
        if (
            segment is None
            or self.deleted
            or self.problem is not None
            or self._begin
            or (self._deferred and self not in self._backlog.tickets)
        ):
            return None
        for entry in entries:
            if entry.epoch != epoch:
                return None
        partition, base, salt, synced = self.partition, self.next, segment.salt, self.synced
        assert salt is not None
        ident, ref, last_ms = partition.ident, partition.ref, max(self.last_ms, now_ms)
        frames: list[Frame] = []
        buffers: list[Buffer] = []
        end, pack = offset, pack_frame
        for payload, count, _ in joined(entries):
            frame = Frame(ref, base, count, last_ms, payload, end)
            frames.append(frame)
            buffers += (pack(ident, salt, synced, frame), payload)
            end += FRAME_BYTES + len(payload)
            base += count
        if end > self._segment_bytes:
            return None
        memory = end - offset + FRAME_OVERHEAD * len(frames)
        self._deferred += buffers
        self._memory += memory
        self._backlog.grew(self, memory)
        self.size, self.next, self.last_ms = end, base, last_ms
        # A named tuple's own constructor takes longer than all of the above.
        new = tuple.__new__
        journal = new(JournalRun, (ident, segment.base, salt, offset, end - offset, buffers))
        return new(Run, (segment, frames, entries, journal, True))

    def sync(self) -> None:
        """Put on disk what has been written. Never raises: a failure makes the writer read-only."""
        if self._handle is None or self.flushed == self.written:
            return
        try:
            sync(self._disk, self._handle.fd)
        except OSError as error:
            self._break(f"fdatasync: {error.strerror or error}")
        else:
            self.flushed = self.written
            self.synced = max(self.synced, self.written.size)

    def write_back(self) -> None:
        """Bring into the segment what is only in a journal. Raises OSError, after which it may be tried again: the same bytes go to the
        same place."""
        if not self._deferred:
            return
        segment = self.segment
        assert segment is not None
        self.hold()
        assert self._handle is not None
        write_all(self._disk, self._handle.fd, self._deferred, self.written.size)
        self.written = Mark(self.size, self.next, self.last_ms)
        waited, self._memory, self._deferred = self._memory, 0, []
        self._backlog.wrote(self, waited, Wrote(self.partition, segment, self.size))

    def try_write_back(self) -> None:
        """`write_back` for the backlog. Never raises: what passes is tried again later, everything else makes the writer read-only."""
        if self.problem is None and not self.deleted:
            try:
                self.write_back()
            except OSError as error:
                if isinstance(of_write(error, ""), DiskFull):
                    self._backlog.stuck(self)
                elif not self.deleted:
                    self._break(f"writing what a journal holds: {error.strerror or error}")
        if self.deleted:
            self._backlog.left(self, 0)  # kept: it may come back
        elif self.problem is not None:
            self.discard()  # the next start brings it from the journal
        else:
            self.release()

    def discard(self) -> None:
        """What waits is not to be written any more."""
        waited, self._memory, self._deferred = self._memory, 0, []
        self._backlog.left(self, waited)
        self.release()

    def journaled(self) -> None:
        """All that waits for a journal is durable in one."""
        self.synced = self.size

    def journal_failed(self, runs: list[Run], error: OSError, *, unknown: bool) -> None:
        """The journal did not take the last of these runs: it is taken back. `unknown`: it may be there or not, as after a sync that
        failed. Else its batches fail alone, and those of earlier runs, which are sealed, are stored."""
        run = runs.pop()
        journal, frame = run.journal, run.frames[0]
        offset = frame.offset
        assert journal is not None
        del self._deferred[-2 * len(run.frames) :]
        taken_back = self.size - offset + FRAME_OVERHEAD * len(run.frames)
        self._memory -= taken_back
        self._backlog.shrank(taken_back)
        if not self._deferred:
            self._backlog.left(self, 0)
        self.size, self.next = offset, frame.base
        if journal.offset == 0:
            self._begin = bytes(journal.data[0])
        if unknown:
            self._break(f"the journal: {error.strerror or error}")
            answer: LogError = ReadOnly(str(self.problem))
        else:
            self.refuse_queued()
            answer = of_write(error, "writing the journal")
        for entry in run.entries:
            entry.result = answer

    def known_written(self) -> tuple[Segment, Mark] | None:
        """On any thread: the open segment and how far it is written at least; None when nothing is to be synced any more."""
        segment = self.segment
        written = self.written
        if segment is None or self.deleted or self.problem is not None:
            return None
        return segment, written

    def end(self) -> End | None:
        """What is known to be durable in the open segment itself; None when that is not even its header."""
        segment, flushed = self.segment, self.flushed
        if segment is None or segment.salt is None or flushed.size < HEADER_BYTES:
            return None
        ref = self.partition.ref
        return End(
            ref.stream_id, ref.number, segment.salt, flushed.size, segment.base, flushed.next, flushed.last_ms
        )

    def sync_behind(self) -> tuple[Segment, Mark] | None:
        """On another thread while the commit thread goes on: sync what is written now, and say how far, for `synced_to`.
        None: nothing to do, or failed."""
        if (known := self.known_written()) is None:
            return None
        segment, written = known
        try:
            handle = self._files.acquire(segment.path, write=True)
            try:
                sync(self._disk, handle.fd)
            finally:
                self._files.release(handle)
        except OSError as error:
            # One that has been sealed meanwhile was synced then, and may have expired.
            if not self.deleted and segment is self.segment:
                self._break(f"fdatasync: {error.strerror or error}")
            return None
        return segment, written

    def synced_to(self, segment: Segment, mark: Mark) -> None:
        """Take note of `sync_behind`; the file may be closed when nothing was written since."""
        if segment is self.segment:
            self.synced = max(self.synced, mark.size)
            self.flushed = max(self.flushed, mark)
            if self.flushed.size == self.size:
                self.release()

    def settle(self, runs: list[Run]) -> bool:
        """Give the entries of these runs their results; whether they were stored."""
        if self.problem is not None:
            for run in runs:
                for entry in run.entries:
                    entry.result = ReadOnly(self.problem)
            return False
        new = tuple.__new__
        for _, frames, entries, _, _ in runs:
            first = frames[0]
            base, append_ms = first.base, first.append_ms
            for entry in entries:
                entry.result = new(Durable, (base, append_ms))
                base += entry.count
        return True

    def roll(self, now_ms: int) -> Segment:
        """Seal the open segment and begin one at `next`. Raises OSError; the open segment then stays open unless the
        writer became read-only."""
        if self.problem is None and self.segment is not None and self.flushed.size < self.size:
            self.write_back()
            self.hold()
            self.sync()
        if self.problem is not None:
            raise OSError(0, self.problem)
        self.last_ms = max(self.last_ms, now_ms)
        salt = self._disk.salt()
        ref = self.partition.ref
        segment = Segment(self.partition.directory, self.next, salt=salt, size=HEADER_BYTES)
        handle = self._create(segment.path)
        try:
            header = SegmentHeader(ref.stream_id, ref.number, salt, self.next, self.last_ms)
            begin = pack_segment(header)
            write_all(self._disk, handle.fd, [begin], 0)
            self._disk.reached("after_new_segment_before_sync")
            self._sync_directory()
        except OSError:
            self._files.forget(segment.path)
            self._files.release(handle)
            with suppress(OSError):
                self._disk.unlink(segment.path)
            raise
        self.release()
        # In this order: whoever sees the new segment (`sync_behind`, on another thread) sees no size of the old one.
        self.size = HEADER_BYTES
        self.written = Mark(HEADER_BYTES, self.next, self.last_ms)
        self.synced, self.flushed = 0, Mark(0, 0, 0)
        self._handle, self.segment, self._begin = handle, segment, begin
        return segment

    def _sync_directory(self) -> None:
        try:
            self._files.sync_directory(self.partition.directory)
        except OSError as error:
            if error.errno not in OUT_OF_FILES:
                self._break(f"fsync of the directory: {error.strerror or error}")
            raise

    def _create(self, path: str) -> Handle:
        try:
            return self._files.acquire(path, create=True)
        except FileExistsError:
            # Left by a creation that failed and could not be undone: it never held a frame.
            self._disk.unlink(path)
            return self._files.acquire(path, create=True)

    def release(self) -> None:
        """Let the file be closed when room is needed: everything in it is synced, or need not be."""
        if self._handle is not None:
            self._files.release(self._handle)
            self._handle = None

    def hold(self) -> None:
        """Keep the file open. Raises OSError."""
        if self._handle is None:
            assert self.segment is not None
            self._handle = self._files.acquire(self.segment.path, write=True)

    def _refusal(self, entry: Entry) -> LogError | None:
        if self.deleted:
            ref = self.partition.ref
            return UnknownPartition(f"partition {ref.number} of stream {ref.stream_id} has been deleted")
        if self.problem is not None:
            return ReadOnly(self.problem)
        if entry.epoch != self.epoch:
            return DiskFull("an append before this one found the disk full")
        return None

    def _is_full(self, payload: bytes) -> bool:
        return self.size > HEADER_BYTES and self.size + FRAME_BYTES + len(payload) > self._segment_bytes

    def _stage(self, parts: list[Joined], waiting: list[Entry], now_ms: int) -> Run:
        """As many frames as the open segment takes, at least one, and the entries in them."""
        assert self.segment is not None
        ref = self.partition.ref
        size, sequence, limit = self.size, self.next, self._segment_bytes
        append_ms = max(self.last_ms, now_ms)
        frames: list[Frame] = []
        taken = 0
        for payload, count, entries in parts:
            length = FRAME_BYTES + len(payload)
            if size + length > limit and size > HEADER_BYTES:
                break
            frames.append(Frame(ref, sequence, count, append_ms, payload, size))
            taken += entries
            size += length
            sequence += count
        return Run(self.segment, frames, waiting[:taken])

    def _write_run(self, run: Run, deferred: bool) -> Run:
        salt = run.segment.salt
        assert salt is not None
        ident, synced = self.partition.ident, self.synced
        buffers: list[Buffer] = []
        for frame in run.frames:
            buffers.append(pack_frame(ident, salt, synced, frame))
            buffers.append(frame.payload)
        offset, written = self.size, sum(map(len, buffers))
        if deferred:
            self._deferred += buffers
            memory = written + FRAME_OVERHEAD * len(run.frames)
            self._memory += memory
            self._backlog.grew(self, memory)
        else:
            self.hold()
            assert self._handle is not None
            write_all(self._disk, self._handle.fd, buffers, offset)
        last = run.frames[-1]
        if self._begin:  # a header that was never synced goes into the journal with the first frames
            journal = JournalRun(ident, run.segment.base, salt, 0, offset + written, [self._begin, *buffers])
            self._begin = b""
        else:
            journal = JournalRun(ident, run.segment.base, salt, offset, written, buffers)
        self.size += written
        self.next = last.base + last.count
        self.last_ms = last.append_ms
        if not deferred:
            self.written = Mark(self.size, self.next, self.last_ms)
        return Run(run.segment, run.frames, run.entries, journal, deferred)

    def _failed(self, error: OSError) -> LogError:
        """Undo a write that failed, and say what the batches that waited for it are told."""
        if self.problem is not None:
            return ReadOnly(self.problem)
        answer = of_write(error, "writing")
        if isinstance(answer, DiskFull):
            if not isinstance(answer, OutOfFiles):  # those are tried once more
                self.refuse_queued()
            if self._handle is not None:
                try:
                    self._disk.truncate(self._handle.fd, self.written.size)
                except OSError as second:
                    self._break(f"undoing a write: {second.strerror or second}")
                    return ReadOnly(str(self.problem))
        else:
            self._break(str(answer))
        return answer

    def refuse_queued(self) -> None:
        """Fail what waits behind a batch that failed, so that nothing overtakes it."""
        self.epoch += 1

    def _break(self, reason: str) -> None:
        if self.problem is None:
            ref = self.partition.ref
            self.problem = (
                f"partition {ref.number} of stream {ref.stream_id} is read-only until restart: {reason}"
            )
