"""The sink of DWS: every round is one transaction of COPY that also moves the task's offsets, so that its rows are in exactly once. Owns
the order of the steps and what becomes of refused rows; `dws_rows` has what a row looks like, `dws_copy` every statement.

    lock the offsets -> skip what is in already -> COPY -> error table -> move the offsets -> back up rejects -> COMMIT
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import psycopg
import structlog

from penstock.dump.base import Batch, Chunk, NotDelivered, Part, Reject, Round
from penstock.dump.destinations.base import Place
from penstock.dump.destinations.dws import Database
from penstock.dump.sinks import dws_copy
from penstock.dump.sinks.dws_copy import OFFSETS, ErrorRow, Offset, Raced, Session
from penstock.dump.sinks.dws_rows import Encoded, Rows, make_rows
from penstock.errors import ApiError
from penstock.model.dumps import PlannedPart
from penstock.model.streams import Stream, partition_name
from penstock.model.tasks import DwsDescriptor, DwsOptions

EXACTLY_ONCE = "exactly once"
AT_LEAST_ONCE = "at least once"
PIECE_ROWS = 16_384
PIECE_BYTES = 4 << 20
"""Records are encoded and sent a piece at a time: the next is encoded while one is sent."""
_RACES = 3

log = structlog.get_logger("penstock.dump")


class DwsSink:
    """Delivers one task. Its connection is kept from round to round, until something fails."""

    def __init__(self, place: Place, descriptor: DwsDescriptor, stream: Stream, password: str) -> None:
        self.guarantee = EXACTLY_ONCE
        self.statement_seconds = place.request_seconds
        self.copy_seconds = dws_copy.COPY_SECONDS
        self._database = Database.resolve(place, descriptor, password)
        self._descriptor = descriptor
        self._stream = stream
        self._session: Session | None = None
        self._warned: set[str] = set()

    async def deliver(self, round_: Round) -> None:
        """See `Sink`. What is refused is in the backup before the rest is committed."""
        session = None
        try:
            session = await self._connected()
            await self._deliver(session, round_)
            session = None
        except psycopg.Error as error:
            assert session is not None
            raise session.failure(error) from error
        finally:
            if session is not None:  # in the middle of something
                self._session = None
                await session.close()

    async def close(self) -> None:
        """See `Sink`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _connected(self) -> Session:
        if self._session is None or not self._session.usable:
            try:
                connection = await self._database.connect()
            except ApiError as error:
                raise NotDelivered(f"the database cannot be used: {error.message}") from error
            self._session = Session(connection, self._descriptor.dws_schema, self._descriptor.dws_table_name)
            self._session.statement_seconds = self.statement_seconds
            self._session.copy_seconds = self.copy_seconds
        return self._session

    async def _deliver(self, session: Session, round_: Round) -> None:
        exact = await session.prepare_offsets()
        self._say_guarantee(exact)
        errors = self._descriptor.options.error_table_name
        if errors and not await session.prepare_errors(errors):
            self._warn("no error table", table=errors, advice="the user may not create it in the schema")
            errors = ""
        locked = await self._begin(session, round_, exact)
        todo: list[tuple[PlannedPart, Batch]] = []
        for part in round_.parts:
            planned = part.planned
            offset = locked[planned.partition]
            batch = _remaining(part, offset)
            if batch is not None:
                todo.append((planned, batch))
            elif offset.first == planned.first:
                round_.discarded(planned.partition, offset.discarded)
        if not todo:
            await session.roll_back()
            return
        columns = await session.columns(self._descriptor.columns)
        await session.start_copying()
        rejects = await self._load(session, columns, [batch for _, batch in todo])
        if errors and rejects:
            await session.write_errors(errors, _error_rows(rejects, round_))
        if exact:
            moved = [_moved(locked[p.partition], p, len(rejects.get(p.partition, ()))) for p, _ in todo]
            await session.move(round_.task.task_id, moved)
        for partition, refused in sorted(rejects.items()):
            await round_.reject(partition, refused)
        round_.reached("staged")
        await session.commit()
        round_.reached("visible")

    async def _begin(self, session: Session, round_: Round, exact: bool) -> dict[int, Offset]:
        """A transaction that has the offsets of the parts' partitions locked; without a table of them, as if all were new."""
        firsts = {part.planned.partition: part.planned.first for part in round_.parts}
        await session.begin()
        if not exact:
            return {partition: Offset(partition, first, first, 0) for partition, first in firsts.items()}
        for _ in range(_RACES):
            try:
                return {o.partition: o for o in await session.lock(round_.task.task_id, firsts)}
            except Raced:
                await session.roll_back()
                await session.begin()
        raise NotDelivered(f"table {OFFSETS}: other processes deliver this task, too")

    async def _load(
        self, session: Session, columns: Sequence[str], batches: Sequence[Batch]
    ) -> dict[int, list[Reject]]:
        """COPY all of it; what was refused, by partition and in order."""
        rows = make_rows(self._stream, self._descriptor, columns)
        limit = tolerated(self._descriptor.options)
        rejects: dict[int, list[Reject]] = {}
        count = 0
        pieces = _pieces(batches)
        piece = next(pieces, None)
        encoding = asyncio.ensure_future(_encode(rows, piece))
        try:
            while piece is not None:
                encoded = await encoding
                following = next(pieces, None)
                encoding = asyncio.ensure_future(_encode(rows, following))
                for index, reason in await self._copy(session, columns, encoded, piece, limit, count):
                    partition, reject = piece.reject(index, reason)
                    rejects.setdefault(partition, []).append(reject)
                    count += 1
                    if limit is not None and count > limit:
                        where = f"record {reject.sequence} of {partition_name(partition)}"
                        raise NotDelivered(
                            f"more rows are refused than reject_limit allows, {limit}: {where}: {reason}"
                        )
                piece = following
        finally:
            encoding.cancel()
        return rejects

    async def _copy(
        self,
        session: Session,
        columns: Sequence[str],
        encoded: Encoded,
        piece: _Piece,
        limit: int | None,
        count: int,
    ) -> list[tuple[int, str]]:
        """COPY a piece; the indexes of the records that are refused, here or by the table, and why, in order. `count` were before."""
        most = None if limit is None else limit - count - len(encoded.refused)
        refused = dict(encoded.refused)
        if encoded.rows and (most is None or most >= 0):
            kept = [index for index in range(len(piece.records)) if index not in encoded.refused]
            for line, reason in await session.copy(columns, encoded.text, most):
                refused[kept[line]] = reason
        return sorted(refused.items())

    def _say_guarantee(self, exact: bool) -> None:
        self.guarantee = EXACTLY_ONCE if exact else AT_LEAST_ONCE
        if not exact:
            self._warn(
                "rows may be delivered twice after a crash",
                advice=f"make {OFFSETS} in schema {self._descriptor.dws_schema}, or let the user create tables there",
            )

    def _warn(self, event: str, **facts: str) -> None:
        if event not in self._warned:
            self._warned.add(event)
            log.warning(event, task=self._descriptor.task_name, **facts)


def tolerated(options: DwsOptions) -> int | None:
    """How many rows of a round may be refused; None: any number.

    With more, the round is not delivered: something is wrong with the table or the producers, not with single records. It is tried again
    while `retry_duration` lasts, then backed up whole. 0, the default, says that errors are reported at once (table 5-106): each refused
    record is backed up and counted, and the rest is loaded, for one record must not hold up all others.
    """
    return options.reject_limit or None


class _Piece:
    """Records that are encoded and sent together, of one or more partitions."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.size = 0
        self._starts: list[int] = []
        self._origins: list[tuple[int, int]] = []
        """Of each run of records: its partition and its first sequence number."""

    def add(self, partition: int, chunk: Chunk) -> None:
        self._starts.append(len(self.records))
        self._origins.append((partition, chunk.base))
        self.records += chunk.data
        self.size += sum(map(len, chunk.data))

    def reject(self, index: int, reason: str) -> tuple[int, Reject]:
        """The partition of a record, and the record refused."""
        run = bisect_right(self._starts, index) - 1
        partition, base = self._origins[run]
        return partition, Reject(base + index - self._starts[run], self.records[index], reason)


def _pieces(batches: Iterable[Batch]) -> Iterator[_Piece]:
    piece = _Piece()
    for batch in batches:
        for chunk in batch.chunks:
            piece.add(batch.partition, chunk)
            if len(piece.records) >= PIECE_ROWS or piece.size >= PIECE_BYTES:
                yield piece
                piece = _Piece()
    if piece.records:
        yield piece


async def _encode(rows: Rows, piece: _Piece | None) -> Encoded:
    return await asyncio.to_thread(rows.encode, piece.records) if piece is not None else Encoded(b"", 0, {})


def _remaining(part: Part, offset: Offset) -> Batch | None:
    """What of a part is not in yet; None when all of it is. A planned range without any records left is something that can be put in."""
    planned, batch = part
    if offset.following > planned.last:
        return None
    if offset.following <= planned.first:
        return batch
    chunks = []
    for chunk in batch.chunks:
        done = max(0, offset.following - chunk.base)
        if done < len(chunk.data):
            keys = chunk.keys[done:] if chunk.keys is not None else None
            chunks.append(Chunk(chunk.base + done, chunk.append_ms, keys, chunk.data[done:]))
    return Batch(batch.partition, offset.following, batch.last, chunks)


def _moved(offset: Offset, planned: PlannedPart, refused: int) -> Offset:
    """The offset after a round; what an earlier attempt at the same range passed over still counts."""
    if offset.first == planned.first:
        refused += offset.discarded
    return Offset(planned.partition, planned.first, planned.last + 1, refused)


def _error_rows(rejects: dict[int, list[Reject]], round_: Round) -> list[ErrorRow]:
    """Rows of the error table: the partition is the file, the sequence number the row in it."""
    return [
        ErrorRow(round_.plan.created_ms, f"{round_.stream.name}/{partition_name(partition)}", *reject)
        for partition, refused in sorted(rejects.items())
        for reject in refused
    ]
