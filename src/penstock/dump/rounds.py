"""A round while it is delivered: its records, what it passes over, and the backup of that. Owns reading a planned round, its
accounting and the error files; knows no schedule and no sink.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec
import structlog

from penstock.dump.base import Batch, Body, Chunk, NotDelivered, Part, Reject, Store
from penstock.dump.core import Core, Reading
from penstock.log.payload import decode as decode_payload
from penstock.model.dumps import Plan, error_key
from penstock.model.streams import Stream
from penstock.model.tasks import NO_DELIMITER, MrsDescriptor, ObsDescriptor, Task, TaskPosition

READ_BYTES = 512 << 10
"""Asked for at once: small, so that the server does its other work within a millisecond or two, whatever the size of the appends."""

_log = structlog.get_logger("penstock.dump")


class DamagedRecords(NotDelivered):
    """The log cannot read a record of the round."""


async def read_batch(
    core: Core, task_id: str, epoch: int, partition: int, first: int, last: int, most: int | None = None
) -> Batch:
    """Records `first` to `last`, as far as retention has left them. With `most`, fewer when their data is that many bytes or more:
    the batch then ends with the record that reaches it. Raises DamagedRecords."""
    chunks: list[Chunk] = []
    following, size = first, 0

    def ask(sequence: int) -> asyncio.Task[Reading]:
        return asyncio.create_task(core.read(task_id, epoch, partition, sequence, READ_BYTES))

    asked = ask(first)
    try:
        while following <= last:
            reading = await asked
            if reading.damage:
                raise DamagedRecords(f"partition {partition} cannot be read: {reading.damage}")
            if not reading.pieces:
                if reading.earliest <= following:
                    raise NotDelivered(f"partition {partition} ends before record {last}")
                following = min(reading.earliest, last + 1)
                asked = ask(following)
                continue
            newest = reading.pieces[-1]
            if newest.base + newest.count <= last:
                # Fetched while this one is decoded.
                asked = ask(newest.base + newest.count)
            for piece in reading.pieces:
                keys, data = decode_payload(piece.payload)
                start = max(0, following - piece.base)
                stop = min(piece.count, last + 1 - piece.base)
                if start >= stop:
                    break
                if most is not None:
                    lengths = list(map(len, data))
                    size += sum(lengths[start:stop])
                    if size >= most:
                        over = size - most
                        while stop - start > 1 and lengths[stop - 1] <= over:
                            stop -= 1
                            over -= lengths[stop]
                        last = piece.base + stop - 1
                whole = start == 0 and stop == piece.count
                chunks.append(
                    Chunk(
                        piece.base + start,
                        piece.append_ms,
                        keys if whole or keys is None else keys[start:stop],
                        data if whole else data[start:stop],
                    )
                )
                following = piece.base + stop
                if following > last:
                    break
    finally:
        # What nobody waits for any more says nothing, whatever becomes of it.
        asked.cancel()
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())
    kept = sum(len(chunk.data) for chunk in chunks)
    return Batch(partition, first, last, chunks, last - first + 1 - kept)


class RoundAtWork:
    """A `dump.base.Round`. `open_store` gives where rejects go (None: nowhere, they are only counted)."""

    def __init__(
        self,
        task: Task,
        stream: Stream,
        plan: Plan,
        parts: Sequence[Part],
        epoch: int,
        *,
        open_store: Callable[[], Store | None],
        reached: Callable[[str], None],
    ) -> None:
        self.task = task
        self.stream = stream
        self.plan = plan
        self.parts = parts
        self.epoch = epoch
        self.reached = reached
        self._open_store = open_store
        self._discards: dict[int, int] = {}

    async def reject(self, partition: int, rejects: Sequence[Reject]) -> None:
        """See Round.reject."""
        self._discards[partition] = len(rejects)
        if not rejects:
            return
        part = next(part for part in self.parts if part.planned.partition == partition)
        _log.warning(
            "records passed over",
            task=self.task.name,
            task_id=self.task.task_id,
            partition=partition,
            records=len(rejects),
            first=rejects[0].sequence,
            reason=rejects[0].reason[:500],
        )
        await self._back_up(part, [reject.data for reject in rejects])

    def discarded(self, partition: int, records: int) -> None:
        """See Round.discarded."""
        self._discards[partition] = records

    async def give_up(self) -> None:
        """Back up everything: the round goes there instead of where it should. Raises NotDelivered."""
        for part in self.parts:
            self._discards[part.planned.partition] = len(part.batch)
            if part.batch.chunks:
                await self._back_up(part, [data for chunk in part.batch.chunks for data in chunk.data])

    def positions(
        self, known: dict[int, TaskPosition], now_ms: int, *, delivered: bool
    ) -> list[TaskPosition]:
        """Where the task stands after the round."""
        return [self._position(part, known, now_ms, delivered) for part in self.parts]

    def _position(
        self, part: Part, known: dict[int, TaskPosition], now_ms: int, delivered: bool
    ) -> TaskPosition:
        planned = part.planned
        before = known.get(planned.partition) or TaskPosition(
            task_id=self.task.task_id, partition=planned.partition, next_sequence=planned.first
        )
        # What retention took between the last round and this one counts, too.
        passed = self._discards.get(planned.partition, 0)
        missing = part.batch.missing + max(0, planned.first - before.next_sequence)
        after = msgspec.structs.replace(
            before,
            next_sequence=planned.last + 1,
            discard=before.discard + passed + missing,
            trouble=None,
            reason="",
        )
        if delivered and passed < len(part.batch):
            after = msgspec.structs.replace(after, last_transfer_ms=now_ms, last_transfer_offset=planned.last)
        return after

    async def _back_up(self, part: Part, records: Iterable[bytes]) -> None:
        store, planned = self._open_store(), part.planned
        if store is None:
            _log.error(
                "records dropped: the task has no obs_backup_bucket_path",
                task=self.task.name,
                partition=planned.partition,
                first=planned.first,
                last=planned.last,
            )
            return
        key = error_key(self.task, self.stream.name, planned)
        body = await asyncio.to_thread(_error_file, records, _delimiter(self.task))
        try:
            if part.batch.missing and (await store.size(key) or 0) >= body.size:
                return  # an earlier attempt backed up records that retention has taken since
            await store.put(key, body, epoch=self.epoch)
        except NotDelivered as error:
            raise NotDelivered(
                f"records that cannot be delivered cannot be backed up either: {error}"
            ) from error
        finally:
            body.close()
        _log.warning("records backed up", task=self.task.name, key=key, bucket=self.task.descriptor.bucket)


def _delimiter(task: Task) -> bytes:
    descriptor = task.descriptor
    if isinstance(descriptor, ObsDescriptor | MrsDescriptor) and descriptor.record_delimiter != NO_DELIMITER:
        return descriptor.record_delimiter.encode()
    return b"\n"


def _error_file(records: Iterable[bytes], delimiter: bytes) -> Body:
    """The records as they came, each followed by the delimiter."""
    body = Body()
    for record in records:
        body.write(record + delimiter)
    return body
