"""What is in a task's files. Owns reading each once, and comparing sizes and checksums with the manifest and records with the log."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import Sequence
from typing import IO, NamedTuple

from crc32c import crc32c

from penstock.dump import manifest as manifests
from penstock.dump.base import SPOOL_MEMORY, Chunk, Encoded, Reject
from penstock.dump.formats.record_time import split
from penstock.dump.verify.report import Means, Part, Report, Subject, prefix_of
from penstock.model.dumps import file_name, joined
from penstock.model.streams import partition_name
from penstock.model.tasks import FileType, MrsDescriptor, ObsDescriptor


class _Contents(NamedTuple):
    """A file that was read."""

    size: int
    crc: str
    tail_crc: str
    """Of as many of its last bytes as were asked for."""
    rows: int | None


class Contents:
    """Checks files, part by part."""

    def __init__(
        self, subject: Subject, descriptor: ObsDescriptor | MrsDescriptor, means: Means, report: Report
    ) -> None:
        self.subject = subject
        self.descriptor = descriptor
        self.kind = descriptor.destination_file_type
        self.means = means
        self.report = report

    async def check(self, part: Part, listed: dict[str, int]) -> None:
        """Count a part and check its files. `listed` has sizes of files; others are asked for."""
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

    async def _of_log(self, part: Part) -> list[Chunk]:
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

    def _expected(self, part: Part, chunks: Sequence[Chunk]) -> dict[str, Encoded]:
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
                expected[at[0] if at else joined(prefix_of(descriptor), end)] = one
        if chunks[0].base == part.first and len(rejects) != part.rejected:
            self.report.differs(
                "rejects",
                partition_name(part.partition),
                f"round {part.round}: {part.rejected} records were rejected, of those in the log it is {len(rejects)}",
            )
        return expected

    def _check_keys(self, part: Part, chunks: Sequence[Chunk], expected: dict[str, Encoded]) -> None:
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
        self, part: Part, file: manifests.File, listed: dict[str, int], expected: Encoded | None
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
