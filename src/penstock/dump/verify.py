"""Whether what a task delivered is in its store: manifests against files, ranges against the task's positions, and records against the
log as far as it still has them. Owns the checks and what they are called; knows no API and shows nothing.

It writes nothing. A difference is something that should not be; a note is something that explains what looks like one.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from itertools import pairwise
from typing import IO, Any, NamedTuple, Protocol

import msgspec
from crc32c import crc32c

from penstock.dump import manifest as manifests
from penstock.dump.base import SPOOL_MEMORY, Chunk, Encoded, Format, Reject, Store
from penstock.dump.formats.record_time import split
from penstock.model.dumps import error_folder, file_name, joined
from penstock.model.streams import Stream, partition_name
from penstock.model.tasks import FileType, MrsDescriptor, ObsDescriptor, Task

_RANGE = re.compile(r"-(shardId-[0-9]{10})-([0-9]{20})-([0-9]{20})")
"""In every file's name (`model.dumps.file_name`)."""


class Found(msgspec.Struct, frozen=True):
    """A difference or a note. `what` is one of: manifest, missing, size, checksum, content, records, overlap, gap, unnamed, rejects."""

    what: str
    where: str
    """A key or a partition."""
    text: str


class Report(msgspec.Struct, kw_only=True):
    """What a check found. Bytes and records are those of the files that were looked at."""

    stream: str
    task: str
    task_id: str
    rounds: int = 0
    files: int = 0
    bytes: int = 0
    records: int = 0
    compared: int = 0
    """Records that were compared with the log."""
    gone: int = 0
    """Records that the log has no more: only their files' checksums could be checked."""
    differences: list[Found] = []
    notes: list[Found] = []

    def differs(self, what: str, where: str, text: str) -> None:
        self.differences.append(Found(what, where, text))

    def note(self, what: str, where: str, text: str) -> None:
        self.notes.append(Found(what, where, text))


class Standing(NamedTuple):
    """How a partition stands: what the task's details say of it, and the oldest record that the log has (None: nothing any more)."""

    last: int
    discard: int
    earliest: int | None


class Subject(NamedTuple):
    """What is verified, as of before the manifests are read."""

    stream: Stream
    task: Task
    partitions: dict[int, Standing]


class Progress(Protocol):
    """Told how far it is, in bytes."""

    def begin(self, total: int) -> None: ...

    def advance(self, done: int) -> None: ...


Read = Callable[[int, int, int], list[Chunk]]
"""Records of a partition from a sequence number to another, as far as the log has them. Called in a thread."""


class Means(NamedTuple):
    """What it is verified with. `backup` is where rejects are; `read` None: only names, sizes and ranges are checked."""

    store: Store
    backup: Store
    make: Format
    zone: tzinfo
    read: Read | None
    progress: Progress


class _Part(NamedTuple):
    """A partition's share of a round, by its manifest."""

    round: int
    created_ms: int
    partition: int
    first: int
    last: int
    files: list[manifests.File]
    rejected: int
    rejected_keys: list[str]
    missing: int


class _Contents(NamedTuple):
    """A file that was read."""

    size: int
    crc: str
    tail_crc: str
    """Of as many of its last bytes as were asked for."""
    rows: int | None


async def verify(subject: Subject, means: Means) -> Report:
    """Check everything. Raises NotDelivered when a store cannot be read."""
    return await _Verification(subject, means).run()


class _Verification:
    def __init__(self, subject: Subject, means: Means) -> None:
        self.subject = subject
        self.means = means
        self.report = Report(
            stream=subject.stream.name,
            task=subject.task.name,
            task_id=subject.task.task_id,
            differences=[],
            notes=[],
        )
        descriptor = subject.task.descriptor
        assert isinstance(descriptor, ObsDescriptor | MrsDescriptor)
        self.descriptor = descriptor
        self.kind = descriptor.destination_file_type
        self.mark = f"{subject.stream.name}-{subject.task.name}-{subject.task.task_id}-shardId-"
        """What the names of the task's files begin with."""

    async def run(self) -> Report:
        parts: list[_Part] = []
        for made in await self._manifests():
            parts += _parts(made)
        self.report.rounds = len({part.round for part in parts})
        listed = await self._list()
        backed_up = await self._backed_up(parts)
        for number in sorted({*self.subject.partitions, *(part.partition for part in parts)}):
            self._check_ranges(number, [part for part in parts if part.partition == number], backed_up)
        self._check_unnamed(parts, listed)
        self.means.progress.begin(sum(file.bytes for part in parts for file in part.files))
        for part in parts:
            await self._check_part(part, listed)
        return self.report

    # Which ranges there are

    async def _manifests(self) -> list[manifests.Manifest]:
        """All of the task's, by round; what cannot be read is a difference."""
        task, stream = self.subject.task, self.subject.stream
        folder = manifests.folder(stream.name, task.name, task.task_id)
        found = []
        for key in sorted([one.key async for one in self.means.store.list(f"{folder}/")]):
            data = b"".join([piece async for piece in await self.means.store.get(key)])
            try:
                made = manifests.decode(data)
            except manifests.UnreadableManifest as error:
                self.report.differs("manifest", key, str(error))
                continue
            if (made.task_id, made.stream_id) != (task.task_id, stream.stream_id):
                self.report.differs("manifest", key, "of another task")
            elif key != manifests.manifest_key(stream, task, made.round):
                self.report.differs("manifest", key, f"of round {made.round}")
            else:
                found.append(made)
        return found

    async def _list(self) -> dict[str, int]:
        """Keys and sizes of the task's files where it writes now."""
        prefix = _prefix(self.descriptor)
        return {
            found.key: found.size
            async for found in self.means.store.list(prefix)
            if any(step.startswith(self.mark) for step in found.key.split("/"))
        }

    async def _backed_up(self, parts: Iterable[_Part]) -> list[tuple[int, int, int]]:
        """Partition and range of error files that belong to no manifest: rounds that were given up and passed over."""
        folder = joined(self.descriptor.file_prefix, error_folder(self.descriptor))
        found: dict[str, tuple[int, int, int]] = {}
        async for one in self.means.backup.list(f"{folder}/"):
            name = _name(one.key)
            if name.startswith(self.mark) and (match := _RANGE.search(name)):
                found[one.key] = (int(match[1][-10:]), int(match[2]), int(match[3]))
        for part in parts:
            for key in part.rejected_keys:
                # An update may have moved the task since, so that it is not among those listed.
                if found.pop(key, None) is None and await self.means.backup.size(key) is None:
                    self.report.differs(
                        "rejects", key, f"round {part.round}: the file of rejected records is not there"
                    )
        return sorted(found.values())

    def _check_ranges(
        self, number: int, parts: Sequence[_Part], backed_up: Sequence[tuple[int, int, int]]
    ) -> None:
        """Neither overlaps nor gaps up to the last record that the task says it delivered."""
        name = partition_name(number)
        standing = self.subject.partitions.get(number) or Standing(-1, 0, None)
        ordered = sorted(parts, key=lambda part: (part.first, part.last))
        gaps: list[tuple[int, int]] = []
        for before, after in pairwise(ordered):
            if after.first <= before.last:
                self.report.differs(
                    "overlap",
                    name,
                    f"records {after.first} to {min(before.last, after.last)} are in rounds {before.round} and {after.round}",
                )
            elif after.first > before.last + 1:
                gaps.append((before.last + 1, after.first - 1))
        reached = max((part.last for part in ordered), default=-1)
        if standing.last > reached:
            if ordered:
                gaps.append((reached + 1, standing.last))
            else:
                self.report.differs(
                    "gap", name, f"the task has delivered up to record {standing.last}; no manifest names any"
                )
        for part in ordered:
            if part.last > standing.last:
                self.report.note(
                    "records",
                    name,
                    f"round {part.round} ({part.first} to {part.last}) is there, not committed yet",
                )
        named = sum(part.rejected + part.missing for part in parts if part.last <= standing.last)
        self._explain(name, gaps, [one for one in backed_up if one[0] == number], standing.discard - named)

    def _explain(
        self,
        name: str,
        gaps: Sequence[tuple[int, int]],
        backed_up: Sequence[tuple[int, int, int]],
        unexplained: int,
    ) -> None:
        """Gaps are all right as far as the records in them were backed up, or passed over: `unexplained` of the task's `discard` are
        in no manifest."""
        for first, last in gaps:
            count = last - first + 1
            inside = [one for one in backed_up if first <= one[1] and one[2] <= last]
            for _, start, end in inside:
                self.report.note(
                    "gap", name, f"records {start} to {end} are in no file: they were backed up as errors"
                )
                count -= end - start + 1
                unexplained -= end - start + 1
            if count and count <= unexplained:
                unexplained -= count
                self.report.note(
                    "gap",
                    name,
                    f"{count} records of {first} to {last} are in no file: the task passed over them (discard)",
                )
            elif count:
                self.report.differs("gap", name, f"{count} records of {first} to {last} are in no file")

    def _check_unnamed(self, parts: Sequence[_Part], listed: dict[str, int]) -> None:
        named = {file.key for part in parts for file in part.files}
        errors = joined(self.descriptor.file_prefix, error_folder(self.descriptor)) + "/"
        for key in sorted(listed.keys() - named):
            if isinstance(self.descriptor, ObsDescriptor) and key.startswith(errors):
                continue
            match = _RANGE.search(key)
            standing = self.subject.partitions.get(int(match[1][-10:])) if match else None
            if match and int(match[3]) > (standing.last if standing else -1):
                self.report.note("unnamed", key, "being delivered, or left by a round that goes on")
            else:
                self.report.differs("unnamed", key, "no manifest names it")

    # What is in the files

    async def _check_part(self, part: _Part, listed: dict[str, int]) -> None:
        self.report.files += len(part.files)
        self.report.bytes += sum(file.bytes for file in part.files)
        counts = [file.records for file in part.files]
        # Of Carbon, several files hold the same records.
        if None not in counts and self.kind is not FileType.CARBON:
            records = sum(count or 0 for count in counts)
            self.report.records += records
            total = part.last - part.first + 1
            if records + part.rejected + part.missing != total:
                self.report.differs(
                    "records",
                    partition_name(part.partition),
                    f"round {part.round}: {records} in files, {part.rejected} rejected and {part.missing} missing are not "
                    f"the {total} of {part.first} to {part.last}",
                )
        chunks = await self._of_log(part)
        expected = None
        if chunks and self.kind is FileType.TEXT:
            expected = await asyncio.to_thread(self._expected, part, chunks)
            self._check_keys(part, chunks, expected)
        try:
            for file in part.files:
                await self._check_file(
                    part, file, listed, None if expected is None else expected.get(file.key)
                )
        finally:
            for one in (expected or {}).values():
                one.body.close()

    async def _of_log(self, part: _Part) -> list[Chunk]:
        """What the log still has of a part."""
        standing = self.subject.partitions.get(part.partition)
        total = part.last - part.first + 1 - part.missing
        if self.means.read is None:
            return []
        chunks: list[Chunk] = []
        if standing is not None and standing.earliest is not None and standing.earliest <= part.last:
            first = max(part.first, standing.earliest)
            chunks = await asyncio.to_thread(self.means.read, part.partition, first, part.last)
        have = sum(len(chunk.data) for chunk in chunks)
        self.report.compared += have
        self.report.gone += max(0, total - have)
        if chunks and have != part.last - chunks[0].base + 1:
            self.report.differs(
                "records",
                partition_name(part.partition),
                f"the log has {have} records of {chunks[0].base} to {part.last}",
            )
        return chunks

    def _expected(self, part: _Part, chunks: Sequence[Chunk]) -> dict[str, Encoded]:
        """Key -> the file that these records make. In a thread."""
        descriptor, stream = self.descriptor, self.subject.stream
        name = file_name(stream.name, self.subject.task, part.partition, part.first, part.last)
        directories: dict[str, Sequence[Chunk]] = {"": chunks}
        rejects: list[Reject] = []
        processing = descriptor.processing_schema if isinstance(descriptor, ObsDescriptor) else None
        form = descriptor.partition_format if isinstance(descriptor, ObsDescriptor) else ""
        if processing and form:
            timed, rejects = split(chunks, processing, form, self.means.zone)
            directories = {**timed}
        expected = {}
        for directory, of_directory in directories.items():
            encoded, unusable = self.means.make.encode(of_directory)
            rejects += unusable
            for one in encoded:
                # By its end: an update may have moved the task to another prefix since.
                end = joined(directory, name + one.name)
                at = [file.key for file in part.files if f"/{file.key}".endswith(f"/{end}")]
                expected[at[0] if at else joined(_prefix(descriptor), end)] = one
        if chunks[0].base == part.first and len(rejects) != part.rejected:
            self.report.differs(
                "rejects",
                partition_name(part.partition),
                f"round {part.round}: {part.rejected} records were rejected, of those in the log it is {len(rejects)}",
            )
        return expected

    def _check_keys(self, part: _Part, chunks: Sequence[Chunk], expected: dict[str, Encoded]) -> None:
        """The log's records belong into the files that the round has, and no others."""
        named = {file.key for file in part.files}
        for key in sorted(expected.keys() - named):
            self.report.differs(
                "content", key, f"{expected[key].records} records of the log belong there; there is no file"
            )
        if chunks[0].base == part.first:
            for key in sorted(named - expected.keys()):
                self.report.differs("content", key, "the log has no records that belong there")

    async def _check_file(
        self, part: _Part, file: manifests.File, listed: dict[str, int], expected: Encoded | None
    ) -> None:
        size = listed.get(file.key)
        if size is None:  # an update may have moved the task since
            size = await self.means.store.size(file.key)
        if size is None:
            self.report.differs("missing", file.key, f"round {part.round}: the file is not there")
        elif size != file.bytes:
            self.report.differs(
                "size", file.key, f"round {part.round}: {size} bytes, {file.bytes} were written"
            )
        elif self.means.read is not None:
            tail = 0 if expected is None else min(expected.body.size, file.bytes)
            read = await self._read(file.key, file.bytes, tail)
            if read.crc != file.crc32c:
                self.report.differs(
                    "checksum",
                    file.key,
                    f"round {part.round}: CRC32C {read.crc}, {file.crc32c} was written",
                )
            elif expected is not None and (
                expected.body.size > file.bytes or read.tail_crc != f"{expected.body.crc:08x}"
            ):
                self.report.differs(
                    "content",
                    file.key,
                    f"round {part.round}: it does not end with the {expected.records} records that the log has",
                )
            elif expected is not None and expected.records == file.records and expected.body.size != size:
                self.report.differs(
                    "content", file.key, f"round {part.round}: it has more than the log's records"
                )
            elif read.rows is not None and file.records is not None and read.rows != file.records:
                self.report.differs(
                    "records",
                    file.key,
                    f"round {part.round}: {read.rows} records, {file.records} were written",
                )
            return
        self.means.progress.advance(file.bytes)

    async def _read(self, key: str, size: int, tail: int) -> _Contents:
        """Read a file once: its size and checksums, and how many records are in it where its kind tells."""
        rows = self.kind in (FileType.CSV, FileType.PARQUET)
        done = crc = tail_crc = 0
        with tempfile.SpooledTemporaryFile(SPOOL_MEMORY) as copy:
            async for piece in await self.means.store.get(key):
                crc = crc32c(piece, crc)
                skip = max(0, size - tail - done)
                if tail and skip < len(piece):
                    tail_crc = crc32c(memoryview(piece)[skip:], tail_crc)
                if rows:
                    copy.write(piece)
                done += len(piece)
                self.means.progress.advance(len(piece))
            counted = await asyncio.to_thread(_rows, copy, self.kind) if rows else None
        return _Contents(done, f"{crc:08x}", f"{tail_crc:08x}", counted)


def _parts(made: manifests.Manifest) -> list[_Part]:
    """A manifest by partitions."""
    entries: list[Any] = [*made.files, *made.rejected, *made.missing]
    names = sorted({one.partition_id for one in entries})
    parts = []
    for name in names:
        files = [file for file in made.files if file.partition_id == name]
        rejected = [one for one in made.rejected if one.partition_id == name]
        missing = [one for one in made.missing if one.partition_id == name]
        ranges = [one for one in entries if one.partition_id == name]
        parts.append(
            _Part(
                round=made.round,
                created_ms=made.created_ms,
                partition=int(name.rpartition("-")[2]),
                first=min(one.first for one in ranges),
                last=max(one.last for one in ranges),
                files=files,
                rejected=sum(one.records for one in rejected),
                rejected_keys=[one.key for one in rejected],
                missing=sum(one.records for one in missing),
            )
        )
    return parts


def _prefix(descriptor: ObsDescriptor | MrsDescriptor) -> str:
    """Where a task's files are, below the root of its store."""
    given = descriptor.hdfs_prefix_folder if isinstance(descriptor, MrsDescriptor) else descriptor.file_prefix
    prefix = joined(given)
    return f"{prefix}/" if prefix else ""


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _rows(copy: IO[bytes], kind: FileType) -> int | None:
    """Records in a file; None when it cannot be read as what it should be, which its checksum tells already."""
    copy.seek(0)
    if kind is FileType.PARQUET:
        import pyarrow
        import pyarrow.parquet

        try:
            return int(pyarrow.parquet.ParquetFile(copy).metadata.num_rows)
        except pyarrow.ArrowInvalid:
            return None
    text = io.TextIOWrapper(copy, "utf-8", errors="replace", newline="")
    try:
        return sum(1 for _ in csv.reader(text)) - 1
    finally:
        text.detach()
