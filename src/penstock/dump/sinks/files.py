"""Files: each partition's share of a round becomes a file, or one for each directory of record time. Owns the order of things, what
to do about a file that is there already, and the manifest; where files are is the store's, what is in them the format's.

Names come from the plan and the same records give the same bytes, so a round that is repeated finds its files and leaves them.
A file with other bytes is replaced, unless retention took records since: then the file has what the log has no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import tzinfo
from typing import NamedTuple

import msgspec
from crc32c import crc32c

from penstock.dump import manifest as manifests_
from penstock.dump.base import Chunk, Encoded, Format, NotDelivered, Part, Reject, Round, Store
from penstock.dump.destinations.base import log
from penstock.dump.formats.record_time import split
from penstock.model.dumps import RECORD_TIME, error_key, joined
from penstock.model.streams import partition_name
from penstock.model.tasks import ProcessingSchema

FILES_AT_ONCE = 8
_ENCODING_AT_ONCE = 2
"""Encoding holds the interpreter most of the time, and needs a multiple of a batch's memory."""


class _Unit(NamedTuple):
    """What becomes a file (several files of Carbon): a part's records, or those of one of its directories."""

    part: Part
    key: str
    chunks: Sequence[Chunk]


class _Done(NamedTuple):
    """A unit that is in the store."""

    files: list[manifests_.File]
    rejects: list[Reject]
    kept: bool
    """A file was left as it was, with records that the batch has no more."""


class FileSink:
    """Delivers the rounds of one task into a store."""

    guarantee = "exactly once"

    def __init__(
        self,
        store: Store,
        make: Format,
        *,
        processing: ProcessingSchema | None,
        partition_format: str,
        zone: tzinfo,
        manifests: bool,
    ) -> None:
        self._store = store
        self._make = make
        self._processing = processing
        self._partition_format = partition_format
        self._zone = zone
        self._manifests = manifests
        self._number = 0
        self._done: dict[str, _Done] = {}
        """Of round `_number`: key of a unit -> what became of it. An attempt after a failed one does not send it again."""

    def __repr__(self) -> str:
        return f"<FileSink {self._store!r}, round {self._number}>"

    async def deliver(self, round_: Round) -> None:
        """`dump.base.Sink.deliver`."""
        if round_.plan.number != self._number:
            self._number = round_.plan.number
            self._done = {}
        units: list[_Unit] = []
        rejects: dict[int, list[Reject]] = {}
        for part in round_.parts:
            of_part, unusable = await self._units(part)
            units += of_part
            rejects.setdefault(part.planned.partition, []).extend(unusable)
        await self._deliver_units(round_, units)
        for unit in units:
            rejects[unit.part.planned.partition] += self._done[unit.key].rejects
        for partition, found in rejects.items():
            if found:
                await round_.reject(partition, sorted(found))
        if self._manifests:
            await self._write_manifest(round_, units, rejects)

    async def close(self) -> None:
        """`dump.base.Sink.close`."""
        try:
            await self._store.close()
        except Exception as error:
            log.warning("store not closed", store=repr(self._store), reason=repr(error)[:1000])

    async def _units(self, part: Part) -> tuple[list[_Unit], list[Reject]]:
        """A part's units, and records that belong into no directory."""
        key, chunks = part.planned.key, part.batch.chunks
        if RECORD_TIME not in key:
            return [_Unit(part, key, chunks)], []
        if self._processing is None:  # an update of the task took it away since the round was planned
            return [_Unit(part, joined(*key.split(RECORD_TIME)), chunks)], []
        directories, rejects = await asyncio.to_thread(
            split, chunks, self._processing, self._partition_format, self._zone
        )
        return [
            _Unit(part, joined(key.replace(RECORD_TIME, directory)), of_directory)
            for directory, of_directory in directories.items()
        ], rejects

    async def _deliver_units(self, round_: Round, units: Sequence[_Unit]) -> None:
        """All at the same time, some of them going on. After a failure no further one begins, but those that have begun end: what
        they made is not made again."""
        failures: list[BaseException] = []
        slots = asyncio.Semaphore(FILES_AT_ONCE)
        encoding = asyncio.Semaphore(_ENCODING_AT_ONCE)

        async def one(unit: _Unit) -> None:
            async with slots:
                if failures or unit.key in self._done:
                    return
                try:
                    self._done[unit.key] = await self._deliver_unit(round_, unit, encoding)
                except asyncio.CancelledError:
                    raise
                except BaseException as error:
                    failures.append(error)

        await asyncio.gather(*map(one, units))
        if failures:
            # A fault of ours, or the lease's loss, says more than that a store did not answer.
            raise min(failures, key=lambda error: isinstance(error, NotDelivered))

    async def _deliver_unit(self, round_: Round, unit: _Unit, encoding: asyncio.Semaphore) -> _Done:
        async with encoding:
            encoded, rejects = await asyncio.to_thread(self._make.encode, unit.chunks)
        try:
            round_.reached("staged")
            kept = False
            if len(encoded) > 1:
                # They belong together: all of this attempt, or all of an earlier one.
                kept = bool(unit.part.batch.missing) and await self._all_there(unit, encoded)
            files = []
            for one in encoded:
                if len(encoded) > 1:
                    if not kept:
                        await self._store.put(unit.key + one.name, one.body, epoch=round_.epoch)
                else:
                    kept = not await self._put(round_, unit, one)
                files.append(await self._describe(unit, unit.key + one.name, None if kept else one))
                round_.reached("visible")
            if not encoded and unit.part.batch.missing:
                # All that could be delivered is gone since; an earlier attempt may have been in time.
                key = unit.key + self._make.extension
                if await self._store.size(key) is not None:
                    files, kept = [await self._describe(unit, key, None)], True
            return _Done(files, rejects, kept)
        finally:
            for one in encoded:
                one.body.close()

    async def _put(self, round_: Round, unit: _Unit, encoded: Encoded) -> bool:
        """Whether these bytes are the file's now; False when an earlier one with more records was left."""
        key, body = unit.key + encoded.name, encoded.body
        if await self._store.put(key, body, epoch=round_.epoch, overwrite=False):
            return True
        # Bytes may differ although the size is right: an update of the task may have come between.
        size = await self._store.size(key)
        if size == body.size and await self._checksum(key) == (body.size, body.crc):
            return True
        if unit.part.batch.missing and size is not None:
            log.info("file left as it was", key=key, bytes=size, missing=unit.part.batch.missing)
            return False
        log.warning("file with other bytes replaced", key=key, bytes=size, now=body.size)
        await self._store.put(key, body, epoch=round_.epoch)
        return True

    async def _checksum(self, key: str) -> tuple[int, int]:
        """Size and CRC32C of a file that is there."""
        size = crc = 0
        async for piece in await self._store.get(key):
            size += len(piece)
            crc = crc32c(piece, crc)
        return size, crc

    async def _all_there(self, unit: _Unit, encoded: Sequence[Encoded]) -> bool:
        for one in encoded:
            if await self._store.size(unit.key + one.name) is None:
                return False
        return True

    async def _describe(self, unit: _Unit, key: str, encoded: Encoded | None) -> manifests_.File:
        """A file's entry in the manifest; of one that was left as it was (None) its bytes tell."""
        planned = unit.part.planned
        if encoded is not None:
            size, crc = encoded.body.size, encoded.body.crc
        elif self._manifests:
            size, crc = await self._checksum(key)
        else:
            size = crc = 0
        return manifests_.File(
            key=key,
            partition_id=partition_name(planned.partition),
            first=planned.first,
            last=planned.last,
            records=None if encoded is None else encoded.records,
            bytes=size,
            crc32c=f"{crc:08x}",
        )

    async def _write_manifest(
        self, round_: Round, units: Sequence[_Unit], rejects: dict[int, list[Reject]]
    ) -> None:
        key = manifests_.manifest_key(round_.stream, round_.task, round_.plan.number)
        kept = {unit.part.planned.partition for unit in units if self._done[unit.key].kept}
        made = self._manifest(round_, units, rejects, kept)
        if kept:
            made = _with_what_was_known(made, kept, await self._read_manifest(key))
        body = manifests_.encode(made)
        try:
            await self._store.put(key, body, epoch=round_.epoch)
        finally:
            body.close()
        round_.reached("manifest")

    def _manifest(
        self, round_: Round, units: Sequence[_Unit], rejects: dict[int, list[Reject]], kept: set[int]
    ) -> manifests_.Manifest:
        files = [file for unit in units for file in self._done[unit.key].files]
        return manifests_.Manifest(
            stream_name=round_.stream.name,
            stream_id=round_.stream.stream_id,
            task_name=round_.task.name,
            task_id=round_.task.task_id,
            round=round_.plan.number,
            created_ms=round_.plan.created_ms,
            files=tuple(sorted(files, key=lambda file: file.key)),
            rejected=tuple(
                manifests_.Rejected(
                    partition_id=partition_name(planned.partition),
                    first=planned.first,
                    last=planned.last,
                    records=len(rejects[planned.partition]),
                    key=error_key(round_.task, round_.stream.name, planned),
                )
                for planned, _ in round_.parts
                if rejects[planned.partition]
            ),
            missing=tuple(
                manifests_.Missing(
                    partition_id=partition_name(planned.partition),
                    first=planned.first,
                    last=planned.first + batch.missing - 1,
                    records=batch.missing,
                )
                for planned, batch in round_.parts
                # What was left in place has them.
                if batch.missing and planned.partition not in kept
            ),
        )

    async def _read_manifest(self, key: str) -> manifests_.Manifest | None:
        """The manifest that an earlier attempt at the round wrote before it died."""
        if await self._store.size(key) is None:
            return None
        data = b"".join([piece async for piece in await self._store.get(key)])
        try:
            return manifests_.decode(data)
        except manifests_.UnreadableManifest:
            return None


def _with_what_was_known(
    made: manifests_.Manifest, kept: set[int], earlier: manifests_.Manifest | None
) -> manifests_.Manifest:
    """The manifest, with what an earlier one says of the files that were left: how many records they have, and lack."""
    if earlier is None:
        return made
    known = {file.key: file for file in earlier.files}
    partitions = {partition_name(number) for number in kept}
    return msgspec.structs.replace(
        made,
        files=tuple(
            known[file.key]
            if file.records is None and file.key in known and known[file.key].crc32c == file.crc32c
            else file
            for file in made.files
        ),
        missing=made.missing + tuple(one for one in earlier.missing if one.partition_id in partitions),
    )
