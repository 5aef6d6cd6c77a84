"""`FileLog`: the embedded RecordLog, public verbs only. Owns which partitions there are and what is visible of them; the
bytes, the files and the commit thread are other modules' (docs/log-format.md shows how they fit).

An append: `append` (event loop: encode, queue) -> `Committer` (its thread: group) -> `Writer` (frames) -> journal or segment, synced ->
`_publish` (event loop: visible, cached) -> the caller goes on.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog

from penstock.clock import Clock
from penstock.config import Sync
from penstock.log import payload
from penstock.log.base import (
    Batch,
    Bounds,
    Closed,
    Corrupt,
    Durable,
    Frame,
    Health,
    LogError,
    OutOfRange,
    Packed,
    PartitionRef,
    Place,
    Waiting,
)
from penstock.log.files import directory
from penstock.log.files.backlog import Backlog, Wrote
from penstock.log.files.cache import FrameCache
from penstock.log.files.commit import Committer, Done
from penstock.log.files.directory import Opened
from penstock.log.files.disk import Disk
from penstock.log.files.ends import EndsTable
from penstock.log.files.errors import OUT_OF_FILES, OutOfFiles, of_write, unknown
from penstock.log.files.format import PAYLOAD_MAX, End
from penstock.log.files.index import SparseIndex
from penstock.log.files.journal import Journals
from penstock.log.files.pool import FilePool
from penstock.log.files.reader import Loaded, Reader, Source, Wanted
from penstock.log.files.segment import Partition, Segment
from penstock.log.files.together import finish_together
from penstock.log.files.writer import Entry, Run, Writer

READ_THREADS = 4
INDEXES_MAX = 512
"""Indexes of sealed segments kept in memory, about 25 KB each."""
_STREAM_ID = re.compile(r"[A-Za-z0-9_-]{1,20}")

T = TypeVar("T")
_log = structlog.get_logger("penstock.log")


class FileLog:
    """Made by `opening.open_log`. Implements `penstock.log.base.RecordLog`; every call on the event loop that opened it."""

    def __init__(
        self,
        opened: Opened,
        *,
        sync: Sync,
        clock: Clock,
        disk: Disk,
        segment_bytes: int,
        cache_bytes: int,
        open_files: int,
        journal_bytes: int,
        syncs_before_journal: int,
    ) -> None:
        self._root = opened.root
        self._lock = opened.lock
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._files = FilePool(disk, open_files)
        self._reader = Reader(disk, self._files)
        self._cache = FrameCache(cache_bytes)
        self._threads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="log-read")
        self._loop = asyncio.get_running_loop()
        self._backlog = Backlog()
        self._ends = EndsTable(disk, opened.root, opened.ends)

        def journals(
            pool: ThreadPoolExecutor,
            call: Callable[[Callable[[], None]], None],
            broken: Callable[[Writer], None],
        ) -> Journals:
            return Journals(
                disk,
                opened.root,
                self._backlog,
                pool,
                call,
                broken,
                self._ends.mark_journals,
                size=journal_bytes,
                syncs_before=syncs_before_journal,
            )

        self._committer = Committer(
            self._loop,
            disk,
            clock,
            sync,
            self._publish,
            max(1, open_files // 2),
            self._backlog,
            self._note_written,
            self._ends,
            journals if journal_bytes else None,
        )
        self._partitions: dict[PartitionRef, Partition] = {}
        self._writers: dict[PartitionRef, Writer] = {}
        self._indexed: OrderedDict[Segment, None] = OrderedDict()
        self._closed = False
        self._told: Callable[[PartitionRef, Bounds | None], None] | None = None
        self.damage: tuple[str, ...] = (
            *opened.problems,
            *(problem for f in opened.found for problem in f.problems),
        )
        """What recovery found unreadable, a sentence each."""
        for problem in opened.problems:
            _log.error("journal damaged", problem=problem)
        for found in opened.found:
            ref = found.partition.ref
            writer = Writer(found.partition, disk, self._files, self._backlog, segment_bytes)
            writer.resume(found.tail.segment, found.tail.size, found.tail.next, found.tail.last_ms)
            writer.problem = found.tail.read_only
            if writer.problem is None and found.problems:
                writer.begin_anew()
            self._committer.note_problem(writer)
            for problem in found.problems:
                _log.error("log segment damaged", problem=problem)
            self._partitions[ref] = found.partition
            self._writers[ref] = writer

    # Writing.

    async def append(self, batches: Sequence[Batch | Packed]) -> list[Durable | LogError]:
        """See RecordLog.append."""
        if self._closed:
            return [Closed("the log is closed")] * len(batches)
        entries = []
        for batch in batches:
            writer = self._writers.get(batch[0])
            if writer is None:
                return await self._append_some(batches)
            if isinstance(batch, Packed):
                _, records, encoded, _ = batch
                entries.append(Entry(writer, encoded, records, writer.epoch))
            else:
                entries.append(Entry(writer, _encode(batch), len(batch.data), writer.epoch))
        if not entries:
            return []
        await self._committer.submit(entries)
        return [entry.result for entry in entries]  # type: ignore[misc]

    def begin(self, ref: PartitionRef, encoded: bytes, records: int, done: Done) -> bool:
        """See RecordLog.begin."""
        writer = self._writers.get(ref)
        if writer is None or self._closed:
            return False
        self._committer.submit_one(Entry(writer, encoded, records, writer.epoch), done)
        return True

    async def _append_some(self, batches: Sequence[Batch | Packed]) -> list[Durable | LogError]:
        known = [batch for batch in batches if batch.ref in self._writers]
        stored = iter(await self.append(known))
        refs = {batch.ref for batch in known}
        return [next(stored) if batch.ref in refs else unknown(batch.ref) for batch in batches]

    def _publish(self, partition: Partition, runs: list[Run]) -> None:
        if partition.deleted:
            return
        for segment, frames, _, _, deferred in runs:
            sealed = partition.publish(segment, frames, deferred=deferred)
            if sealed is not None:
                self._seal(partition, sealed)
            # What waits for its segment is in memory as it is: who reads it first puts it into the cache.
            if frames and not deferred:
                self._cache.add_written(partition.ref, frames)
        if self._told is not None:
            self._told(partition.ref, partition.bounds())

    def _note_written(self, wrote: list[Wrote]) -> None:
        for partition, segment, size in wrote:
            partition.wrote(segment, size)

    def _seal(self, partition: Partition, segment: Segment) -> None:
        """Keep the index of a segment that is complete now."""
        index, salt, size = segment.index, segment.salt, segment.size
        if index is None or salt is None or size is None or segment.unscanned or segment.damaged:
            segment.index, segment.unscanned = None, 0  # made by a scan when needed
            return
        self._remember(segment)
        loaded = Loaded(salt, size, index)
        self._threads.submit(self._reader.save_index, segment.path, segment.base, loaded)

    # Reading.

    async def read(
        self, ref: PartitionRef, sequence: int, max_bytes: int, max_records: int, *, keep: bool = True
    ) -> list[Frame]:
        """See RecordLog.read."""
        partition = self._partition(ref)
        end = partition.next
        if sequence == end:
            return []
        bounds = partition.bounds()
        if not bounds.earliest <= sequence < end:
            raise OutOfRange(sequence, bounds)
        frames = self._cache.run(ref, sequence, max_bytes, max_records)
        enough = sequence + max_records
        while True:
            following = frames[-1].base + frames[-1].count if frames else sequence
            if following >= end or following >= enough:
                return frames
            taken = sum(len(frame.payload) for frame in frames)
            if frames and taken >= max_bytes:
                return frames
            more = self._cache.run(ref, following, max_bytes - taken, enough - following) if frames else None
            if not more:
                try:
                    more = await self._read_disk(
                        partition, following, max_bytes - taken, enough - following, keep
                    )
                except Corrupt:
                    if frames:
                        return frames
                    raise
            frames += more

    async def _read_disk(
        self, partition: Partition, sequence: int, max_bytes: int, max_records: int, keep: bool
    ) -> list[Frame]:
        if waiting := partition.deferred_from(sequence, max_bytes, max_records):
            return [self._cache.add(frame) for frame in waiting] if keep else waiting
        position = partition.position(sequence)
        segment = partition.segments[position]
        source = self._source(partition, position)
        index, salt, size = await self._loaded(partition, segment, source)
        wanted = Wanted(index.at_sequence(sequence), sequence, max_bytes, max_records)
        call = partial(self._reader.frames, source, salt, size, wanted)
        found = await self._io(partition, segment, sequence, call)
        if not keep:
            return found
        frames: list[Frame] = []
        left, enough = max_bytes, sequence + max_records
        for frame in found:
            held = self._cache.add(frame)
            if not frames or (left > 0 and held.base < enough):
                frames.append(held)
                left -= len(held.payload)
        return frames

    async def place(self, ref: PartitionRef, sequence: int) -> Place | None:
        """See RecordLog.place."""
        partition = self._partition(ref)
        if partition.defers(sequence):
            await self._committer.between_groups(self._writers[ref].try_write_back)
        bounds = partition.bounds()
        if not bounds.earliest <= sequence <= bounds.next:
            raise OutOfRange(sequence, bounds)
        if sequence == bounds.next or not self._disk.shared or partition.defers(sequence):
            return None
        position = partition.position(sequence)
        segment, source = partition.segments[position], self._source(partition, position)
        index, salt, size = await self._loaded(partition, segment, source)
        start = index.at_sequence(sequence)
        return Place(ref, source.path, source.name, salt, source.base, source.end, size, start)

    def bounds(self, ref: PartitionRef) -> Bounds:
        """See RecordLog.bounds."""
        return self._partition(ref).bounds()

    def watch(self, told: Callable[[PartitionRef, Bounds | None], None]) -> None:
        """See RecordLog.watch."""
        self._told = told

    async def sequence_at(self, ref: PartitionRef, timestamp_ms: int) -> int:
        """See RecordLog.sequence_at. Unreadable records are passed over."""
        partition = self._partition(ref)
        if timestamp_ms > partition.last_ms:
            return partition.next
        low, high = 0, len(partition.segments) - 1
        while low < high:
            middle = (low + high) // 2
            newest = await self._newest(partition, middle)
            if newest is not None and newest < timestamp_ms:
                low = middle + 1
            else:
                high = middle
        for position in range(low, len(partition.segments)):
            segment, source = partition.segments[position], self._source(partition, position)
            with suppress(Corrupt):
                index, salt, size = await self._loaded(partition, segment, source)
                start = index.before_time(timestamp_ms)
                call = partial(self._reader.first_since, source, salt, size, start, timestamp_ms)
                found = await self._io(partition, segment, source.base, call) if start < size else None
                if found is not None:
                    return max(found, partition.earliest)
        for frame in partition.deferred:
            if frame.append_ms >= timestamp_ms:
                return max(frame.base, partition.earliest)
        return partition.next

    async def waiting(self, ref: PartitionRef, sequence: int) -> Waiting:
        """See RecordLog.waiting."""
        partition = self._partition(ref)
        bounds = partition.bounds()
        first = min(max(sequence, bounds.earliest), bounds.next)
        if first == bounds.next:
            return Waiting(first, 0, 0, 0)
        frames = await self.read(ref, first, 1, 1, keep=False)
        size, start = 0, partition.position(first)
        for position in range(start, len(partition.segments)):
            segment = partition.segments[position]
            if position > start and segment.size is not None:
                size += segment.size
            else:
                index, _, whole = await self._loaded(partition, segment, self._source(partition, position))
                size += index.behind(first) if position == start else whole
        return Waiting(first, bounds.next - first, size, frames[0].append_ms)

    async def oldest_ms(self, ref: PartitionRef) -> int | None:
        """See RecordLog.oldest_ms. Unreadable records are passed over."""
        partition = self._partition(ref)
        for position in range(len(partition.segments)):
            if (oldest := await self._oldest(partition, position)) is not None:
                return oldest
        return None

    def keep_rendered(self, frame: Frame, rendered: bytes) -> None:
        """See RecordLog.keep_rendered."""
        self._cache.keep_rendered(frame, rendered)

    # Partitions.

    async def create(self, refs: Sequence[PartitionRef]) -> None:
        """See RecordLog.create. Raises DiskFull, ReadOnly (the disk fails), Closed."""
        if self._closed:
            raise Closed("the log is closed")
        new = [ref for ref in refs if ref not in self._partitions]
        for ref in new:
            if not _STREAM_ID.fullmatch(ref.stream_id) or not 0 <= ref.number < 1 << 32:
                raise ValueError(f"{ref} cannot name a partition")
        if not new:
            return
        try:
            await self._run(partial(directory.make_partitions, self._disk, self._root, new))
        except OSError as error:
            raise of_write(error, "creating partitions") from error
        for ref in new:
            if ref not in self._partitions:
                partition = Partition(self._root, ref)
                self._partitions[ref] = partition
                self._writers[ref] = Writer(
                    partition, self._disk, self._files, self._backlog, self._segment_bytes
                )

    async def delete_stream(self, stream_id: str) -> None:
        """See RecordLog.delete_stream. What is queued for it fails with UnknownPartition. Raises LogError when the disk
        refuses; the stream is then still there."""
        writers = {ref: writer for ref, writer in self._writers.items() if ref.stream_id == stream_id}
        if not writers:
            return
        for ref, writer in writers.items():
            del self._writers[ref], self._partitions[ref]
            writer.deleted = writer.partition.deleted = True
            self._cache.drop(ref)
            if self._told is not None:
                self._told(ref, None)

        def move_away() -> str | None:
            moved = None
            with suppress(FileNotFoundError):
                moved = directory.move_stream_away(self._disk, self._root, stream_id)
            for writer in writers.values():
                writer.discard()
                self._committer.problems.pop(writer, None)
                self._files.forget_under(writer.partition.directory)
            return moved

        try:
            moved = await self._committer.between_groups(move_away)
        except OSError as error:
            for ref, writer in writers.items():
                writer.deleted = writer.partition.deleted = False
                self._writers[ref], self._partitions[ref] = writer, writer.partition

            def finish() -> None:
                for writer in writers.values():
                    writer.finish()

            # A journal may have let go of it, taking it for deleted.
            await self._committer.between_groups(finish)
            raise of_write(error, f"deleting stream {stream_id}") from error
        for ref, writer in writers.items():
            self._ends.forget(ref)
            for segment in writer.partition.segments:
                self._indexed.pop(segment, None)
        if moved is not None:
            await self._run(partial(directory.remove_moved, self._disk, self._root, moved))

    async def expire(self, ref: PartitionRef, before_ms: int) -> int:
        """See RecordLog.expire."""
        partition = self._partition(ref)
        lock = partition.expiring = partition.expiring or asyncio.Lock()
        async with lock:
            if partition.last_ms < before_ms and partition.next > partition.earliest:
                await self._roll_expired(partition, before_ms)
            dropped: list[Segment] = []
            count = 0
            while len(partition.segments) > 1:
                newest = await self._newest(partition, 0)
                if partition.deleted or newest is None or newest >= before_ms:
                    break
                segment = partition.segments.pop(0)
                self._indexed.pop(segment, None)
                dropped.append(segment)
                count += partition.segments[0].base - segment.base
            if dropped:
                if self._told is not None:
                    self._told(ref, partition.bounds())
                await self._run(partial(directory.remove_segments, self._disk, self._files, dropped))
            return count

    async def _roll_expired(self, partition: Partition, before_ms: int) -> None:
        """Begin a new segment, so that the last one can go too: its name keeps the next sequence number."""
        writer = self._writers[partition.ref]

        def roll() -> None:
            if writer.problem or writer.deleted or writer.last_ms >= before_ms or not writer.holds_records:
                return
            with suppress(OSError):
                segment = writer.roll(writer.last_ms)
                writer.sync()
                self._committer.tell(self._publish, partition, [Run(segment, [], [])])
            self._committer.note_problem(writer)
            writer.release()

        await self._committer.between_groups(roll)

    def partitions(self) -> Sequence[PartitionRef]:
        """See RecordLog.partitions."""
        return list(self._partitions)

    def health(self) -> Health:
        """See RecordLog.health."""
        problems = self._committer.health()
        return Health(not problems, tuple(problems))

    async def close(self) -> None:
        """See RecordLog.close. The table of ends written last tells the next start that nothing was cut short."""
        if self._closed:
            return
        self._closed = True
        writers = list(self._writers.values())

        def sync_all() -> None:
            finish_together(self._disk, self._root, writers)
            for writer in writers:
                self._committer.note_problem(writer)  # one that could not be finished needs its journal

        await self._committer.between_groups(sync_all)
        await self._committer.stop()
        ends = [end for writer in writers if (end := self._end(writer)) is not None]
        await self._run(partial(directory.write_clean, self._disk, self._root, ends))
        await self._loop.run_in_executor(None, self._threads.shutdown)
        self._files.close()
        self._disk.close(self._lock)

    def __repr__(self) -> str:
        return f"<FileLog {self._root}, {len(self._partitions)} partitions, {len(self._files)} open files>"

    # Helpers.

    def _end(self, writer: Writer) -> End | None:
        if writer.problem is not None or self._committer.crash is not None:
            return self._ends.get(writer.partition.ref)
        return writer.end()

    def _partition(self, ref: PartitionRef) -> Partition:
        partition = self._partitions.get(ref)
        if partition is None:
            raise unknown(ref)
        return partition

    def _source(self, partition: Partition, position: int) -> Source:
        segment = partition.segments[position]
        return Source(
            partition.ref, partition.ident, segment.path, segment.name, segment.base, partition.end(position)
        )

    async def _loaded(
        self, partition: Partition, segment: Segment, source: Source
    ) -> tuple[SparseIndex, int, int]:
        """Index and salt of a segment, and how much of it is in its file."""
        if segment.index is None and (segment is not partition.segments[-1] or segment.salt is None):
            call = partial(self._reader.load, source)
            loaded = await self._io(partition, segment, source.base, call)
            segment.salt, segment.size, segment.index = loaded.salt, loaded.size, loaded.sparse
            self._remember(segment)
        elif segment.unscanned:
            assert segment.salt is not None
            until = segment.unscanned
            scan = partial(self._reader.build_index, source, segment.salt, until)
            earlier = await self._io(partition, segment, source.base, scan)
            if segment.unscanned:  # nobody else was quicker
                segment.unscanned = 0
                if segment.index is None:
                    segment.index = earlier
                else:
                    segment.index.put_before(earlier)
        index = segment.index
        if index is None:
            index = segment.index = SparseIndex()
        if segment in self._indexed:
            self._indexed.move_to_end(segment)
        assert segment.salt is not None
        return index, segment.salt, partition.size(segment)

    def _remember(self, segment: Segment) -> None:
        self._indexed[segment] = None
        while len(self._indexed) > INDEXES_MAX:
            self._indexed.popitem(last=False)[0].index = None

    async def _newest(self, partition: Partition, position: int) -> int | None:
        """Append time of the newest record of a segment, or when that is unreadable a time not before it."""
        if position == len(partition.segments) - 1:
            return partition.last_ms
        segment, end = partition.segments[position], partition.end(position)
        with suppress(Corrupt):
            index, _, _ = await self._loaded(partition, segment, self._source(partition, position))
            if index.next == end:
                return index.last_ms
        for later in range(position + 1, len(partition.segments)):
            if (oldest := await self._oldest(partition, later)) is not None:
                return oldest
        return partition.last_ms

    async def _oldest(self, partition: Partition, position: int) -> int | None:
        with suppress(Corrupt):
            segment = partition.segments[position]
            index, _, _ = await self._loaded(partition, segment, self._source(partition, position))
            return index.first_ms
        return None

    async def _io(self, partition: Partition, segment: Segment, sequence: int, call: Callable[[], T]) -> T:
        """Run a read on a worker thread; what goes wrong becomes an error of the contract."""
        try:
            return await self._run(call)
        except OSError as error:
            if error.errno in OUT_OF_FILES:
                raise OutOfFiles(f"reading: {error.strerror}") from error
            if partition.deleted:
                raise unknown(partition.ref) from None
            if sequence < partition.earliest:
                raise OutOfRange(sequence, partition.bounds()) from None
            raise Corrupt(segment.name, 0, f"it cannot be read: {error.strerror or error}") from error

    async def _run(self, call: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._threads, call)


def _encode(batch: Batch) -> bytes:
    encoded = payload.encode(batch.keys, batch.data)
    if not batch.data or len(encoded) > PAYLOAD_MAX:
        raise ValueError(f"a batch holds 1 record or more, and at most {PAYLOAD_MAX} bytes")
    return encoded
