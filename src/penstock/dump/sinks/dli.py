"""DLI: rounds into Iceberg tables, exactly once. Owns the delivery of a round: one commit for all of its partitions, with how far each
is. What rows are made of is in `dli_rows`, catalogs in `iceberg_catalog`, old snapshots in `iceberg_upkeep`.

    load the table and its offsets -> rows, columns that are missing -> back up rejects -> write files -> commit

The commit holds only if the table's snapshot is the one that was loaded, so nothing can be in it that the offsets did not say. The
library would repeat a refused commit on top of what came in between; it is told not to, and the offsets are read again first. The same
check stops whoever comes late: another process that ran the task, or a call that was left behind because it took too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import structlog
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, TableProperties, Transaction
from pyiceberg.table.metadata import TableMetadata

from penstock.dump.base import NotDelivered, Reject, Round
from penstock.dump.destinations import dli
from penstock.dump.destinations.base import Place
from penstock.dump.sinks import iceberg_catalog as catalogs
from penstock.dump.sinks import iceberg_files
from penstock.dump.sinks import iceberg_offsets as offsets
from penstock.dump.sinks import iceberg_upkeep as upkeep
from penstock.dump.sinks.dli_rows import Rows, arrange, read
from penstock.dump.sinks.iceberg_types import additions, declared
from penstock.dump.sinks.threads import Threads
from penstock.model.streams import DataType, Stream
from penstock.model.tasks import DliDescriptor

ATTEMPTS = 5
"""Commits of one delivery that may be refused because others wrote to the table in between."""
LOAD_SECONDS = 60.0
WRITE_SECONDS = 300.0
"""For all files of a round."""
COMMIT_SECONDS = 60.0
UPKEEP_SECONDS = 120.0
SETTLE_SECONDS = 2.0
"""For others that found a table empty to have written their first snapshot too."""

log = structlog.get_logger("penstock.dump")

T = TypeVar("T")


class _Refused(Exception):
    """The commit is not in the table, because the table is no more what it was."""


class _Ready(NamedTuple):
    """A round as rows."""

    catalog: Catalog
    table: Table
    transaction: Transaction
    rows: Rows
    rejects: dict[int, list[Reject]]
    passed: dict[int, int]
    """Partitions that are in the table already, with how many records were passed over then."""
    properties: dict[str, str]


class _Transaction(Transaction):
    """Makes the metadata with its updates once for each of them: the library copies all of it, which takes milliseconds for every
    snapshot there is, whenever it looks at a property."""

    _made: tuple[object, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        if self._made is None or self._made[0] is not self._updates:
            self._made = self._updates, super().table_metadata
        return self._made[1]


class DliSink:
    """Delivers one task."""

    guarantee = "exactly once"

    def __init__(self, place: Place, descriptor: DliDescriptor, stream: Stream) -> None:
        """Raises ApiError DIS.4335."""
        self._place = place
        self._agency = descriptor.agency_name
        self._destination = dli.resolve(place, descriptor)
        self._threads = Threads(f"{descriptor.dli_database_name}.{descriptor.dli_table_name}")
        self._hidden = catalogs.secrets(place, self._destination)
        self._catalog: Catalog | None = None

    def __repr__(self) -> str:
        return f"<DliSink {self._threads.what}>"

    async def deliver(self, round_: Round) -> None:
        """All of the round that is not in the table yet, in one commit."""
        for attempt in range(ATTEMPTS):
            with contextlib.suppress(_Refused):
                return await self._attempt(round_)
            await asyncio.sleep(random.uniform(0.05, 0.2) * 2**attempt)  # noqa: S311
        raise NotDelivered(
            f"{self._threads.what}: others write to the table; {ATTEMPTS} commits were refused"
        )

    async def close(self) -> None:
        """Forget the connections."""
        catalog, self._catalog = self._catalog, None
        if catalog is not None:
            with contextlib.suppress(Exception):
                await self._threads.run(COMMIT_SECONDS, catalog.close)

    async def _attempt(self, round_: Round) -> None:
        over = threading.Event()
        try:
            ready = await self._run(LOAD_SECONDS, partial(self._prepare, round_, over))
            self._catalog = ready.catalog
            for partition, discarded in ready.passed.items():
                round_.discarded(partition, discarded)
            for partition, rejects in ready.rejects.items():
                if rejects:
                    await round_.reject(partition, rejects)
            if not ready.rows.table.num_rows:
                return
            files = await self._run(WRITE_SECONDS, partial(_stage, round_, ready, over))
            round_.reached("staged")
            await self._run(COMMIT_SECONDS, partial(_commit, ready, files, over))
            round_.reached("visible")
        finally:
            over.set()
        await self._keep_up(ready)

    async def _keep_up(self, ready: _Ready) -> None:
        """Rows are in the table: what fails now is tried again after a later round."""
        try:
            await self._run(UPKEEP_SECONDS, partial(upkeep.expire, ready.table))
        except NotDelivered as error:
            log.warning("old snapshots not expired", table=self._threads.what, reason=str(error))

    async def _run(self, seconds: float, function: Callable[[], T]) -> T:
        """In a thread. Whatever the libraries raise is NotDelivered; then the next attempt connects anew."""
        try:
            return await self._threads.run(seconds, function)
        except _Refused:
            raise
        except Exception as error:
            self._catalog = None
            told = catalogs.not_delivered(error, self._destination, self._hidden)
            if told is error:
                raise
            log.debug(
                "delivery failed", table=self._threads.what, error=repr(told), kind=type(error).__name__
            )
            raise told from None

    # In threads

    def _load(self, catalog: Catalog) -> Table:
        return _ours(catalogs.load(self._place, self._destination, self._agency, catalog))

    def _prepare(self, round_: Round, over: threading.Event) -> _Ready:
        catalog = self._catalog or catalogs.open_catalog(self._place, self._destination, self._agency)
        table = self._load(catalog)
        if table.current_snapshot() is None and isinstance(self._destination, dli.RestCatalog):
            _begin(table, over)
            table = self._load(catalog)
        stream, transaction = round_.stream, _Transaction(table)
        known = declared(stream.data_schema)
        csv = stream.data_type is DataType.CSV
        passed: dict[int, int] = {}
        rejects: dict[int, list[Reject]] = {}
        properties: dict[str, str] = {}
        records: list[tuple[int, int, bytes]] = []
        values = []
        for planned, batch in round_.parts:
            number = planned.partition
            done = offsets.read(table.properties, round_.task.task_id, number)
            if done.next_sequence > planned.last:
                passed[number] = done.discarded if done.next_sequence == planned.last + 1 else 0
                continue
            found, bad = read(stream, offsets.after(batch.chunks, done.next_sequence), table.schema(), known)
            rejects[number] = bad
            records += ((number, *one) for one in zip(found.sequences, found.data, strict=True))
            values += found.values
        if missing := additions(table.schema().as_struct(), [] if csv else values, known and known.struct):
            with transaction.update_schema() as update:
                for addition in missing:
                    update.add_column(addition.path, addition.type)
        rows = arrange(
            values, transaction.table_metadata.schema(), known=known, zone=self._place.zone, csv=csv
        )
        for index, why in rows.bad.items():
            number, sequence, data = records[index]
            rejects[number].append(Reject(sequence, data, why))
        for planned, _ in round_.parts:
            if planned.partition in rejects:
                rejects[planned.partition].sort()
                offset = offsets.Offset(planned.last + 1, len(rejects[planned.partition]))
                key = offsets.name(round_.task.task_id, planned.partition)
                properties[key] = offsets.value(offset, round_.plan.created_ms)
        return _Ready(catalog, table, transaction, rows, rejects, passed, properties)


def _ours(table: Table) -> Table:
    """The table with what holds for our commits only: none is repeated on top of others, manifests are merged."""
    properties = {
        TableProperties.MANIFEST_MERGE_ENABLED: "true",
        **table.metadata.properties,
        TableProperties.COMMIT_NUM_RETRIES: "0",
    }
    table.metadata = table.metadata.model_copy(update={"properties": properties})
    return table


def _begin(table: Table, over: threading.Event) -> None:
    """Give a table its first snapshot, an empty one. Nessie (0.99) does not check that a table has no snapshot when a commit says so: of
    two that both come first, one would be lost without a word. Like this neither has rows, and then everybody checks a real one."""
    if over.is_set():
        return
    with contextlib.suppress(CommitFailedException), table.transaction() as transaction:
        transaction.update_snapshot().fast_append().commit()
    time.sleep(SETTLE_SECONDS)


def _stage(round_: Round, ready: _Ready, over: threading.Event) -> list[DataFile]:
    """Write the files, and make the commit without asking for it."""
    transaction = ready.transaction
    files = iceberg_files.write(ready.table.io, transaction.table_metadata, ready.rows.table)
    if over.is_set():
        _remove(ready.table, files)
        return []
    said = {"penstock.task": round_.task.name, "penstock.round": str(round_.plan.number)}
    with transaction.update_snapshot(snapshot_properties=said).merge_append() as append:
        for file in files:
            append.append_data_file(file)
    old = offsets.outlived(ready.table.properties, round_.plan.created_ms)
    if old := [name for name in old if name not in ready.properties]:
        transaction.remove_properties(*old)
    transaction.set_properties(ready.properties | upkeep.defaults(ready.table.properties))
    return files


def _commit(ready: _Ready, files: list[DataFile], over: threading.Event) -> None:
    if over.is_set():
        return
    try:
        ready.transaction.commit_transaction()
    except CommitFailedException as error:
        # Certain: nothing refers to these files. After any other failure something might.
        _remove(ready.table, files)
        raise _Refused from error


def _remove(table: Table, files: list[DataFile]) -> None:
    for file in files:
        with contextlib.suppress(Exception):
            table.io.delete(file.file_path)
