"""What start-up puts right after a crash, and what it must leave alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.catalogs import FREE, SqliteStore, a_stream
from tests.support.memory_log import MemoryLog
from tests.support.streams import PROJECT, call, make_context

from penstock.catalog.base import CatalogError
from penstock.log.base import Batch, LogError, PartitionRef
from penstock.model.streams import PartitionStatus, StreamStatus
from penstock.service import lifecycle
from penstock.service.context import Context
from penstock.service.directory import Directory
from penstock.service.reconcile import Reconciled, reconcile


@pytest.fixture
async def context(tmp_path: Path) -> Any:
    made = await make_context(tmp_path)
    yield made
    await made.catalog.close()


async def restart(context: Context) -> Reconciled:
    """Memory is gone; log and catalog stay."""
    await lifecycle.settle()
    context.directory = await Directory.open(context.catalog)
    return await reconcile(context)


async def create(context: Context, name: str = "s1", partitions: int = 2) -> str:
    await call(context, "POST", "/streams", {"stream_name": name, "partition_count": partitions})
    stream = context.directory.get(PROJECT, name)
    assert stream is not None
    return stream.stream_id


def agree(context: Context) -> bool:
    owned = [PartitionRef(s.stream_id, p.number) for s in context.directory.all() for p in s.partitions]
    return sorted(owned) == list(context.log.partitions())


async def test_nothing_to_do(context: Context) -> None:
    await create(context)
    assert await restart(context) == Reconciled()
    assert agree(context)


async def test_a_create_cut_before_its_row_leaves_nothing(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object) -> None:
        raise CatalogError("power")

    with monkeypatch.context() as patched:
        patched.setattr(context.catalog, "insert_stream", crash)
        patched.setattr(lifecycle, "_undo_create", crash)
        with pytest.raises(CatalogError):
            await create(context)
    assert len(context.log.partitions()) == 2
    assert await restart(context) == Reconciled(removed=1)
    assert context.log.partitions() == []
    await create(context)


@pytest.mark.parametrize("freed", [False, True], ids=["before the log", "after the log"])
async def test_a_delete_cut_anywhere_is_finished(
    context: Context, monkeypatch: pytest.MonkeyPatch, freed: bool
) -> None:
    await create(context)

    async def crash(*_: object) -> None:
        raise CatalogError("power")

    with monkeypatch.context() as patched:
        if freed:
            patched.setattr(context.catalog, "remove_stream", crash)
        else:
            patched.setattr(context.log, "delete_stream", crash)
        with pytest.raises(CatalogError):
            await call(context, "DELETE", "/streams/s1")
    assert [s.status for s in await context.catalog.streams_in()] == [StreamStatus.TERMINATING]
    assert await restart(context) == Reconciled(finished=1)
    assert await context.catalog.streams_in() == []
    assert context.log.partitions() == []
    await create(context)


async def test_a_deletion_that_still_fails_does_not_stop_the_start(context: Context) -> None:
    assert isinstance(context.log, MemoryLog)
    await create(context)
    context.log.fail_delete = LogError("busy")
    await call(context, "DELETE", "/streams/s1")
    assert (await restart(context)).finished == 0
    assert [s.status for s in context.directory.all()] == [StreamStatus.TERMINATING]


async def test_partitions_missing_in_the_log_are_made_and_named(context: Context) -> None:
    stream_id = await create(context)
    await context.log.delete_stream(stream_id)
    await context.log.create([PartitionRef(stream_id, 1)])
    result = await restart(context)
    assert result.restored == 1
    assert "1 of 2 partitions of stream s1" in result.problems[0]
    assert agree(context)


async def test_expired_partitions_need_no_files(context: Context) -> None:
    stream = a_stream(partitions=1, deleted=1, project_id=PROJECT)
    gone = msgspec.structs.replace(stream.partitions[1], status=PartitionStatus.EXPIRED)
    stream = msgspec.structs.replace(stream, partitions=(stream.partitions[0], gone))
    await context.catalog.insert_stream(stream, FREE)
    await context.log.create([PartitionRef(stream.stream_id, 0)])
    assert await restart(context) == Reconciled()


async def test_records_without_an_owner_are_never_removed(context: Context) -> None:
    """A lost catalog, or an old copy of one, must not cost the data."""
    ref = PartitionRef("unknown", 1)
    await context.log.create([PartitionRef("unknown", 0), ref])
    await context.log.append([Batch(ref, [b"x"], None)])
    result = await restart(context)
    assert result.removed == 0
    assert "unknown" in result.problems[0]
    assert len(context.log.partitions()) == 2


async def test_records_that_are_all_over_their_retention_were_still_records(context: Context) -> None:
    ref = PartitionRef("unknown", 0)
    await context.log.create([ref])
    await context.log.append([Batch(ref, [b"x"], None)])
    await context.log.expire(ref, context.clock.now_ms() + 1)
    assert (await restart(context)).removed == 0


async def test_a_damaged_row_still_owns_its_partitions(context: Context, tmp_path: Path) -> None:
    await create(context, "good")
    bad = await create(context, "bad")
    await SqliteStore(tmp_path).execute("UPDATE streams SET checksum = 0 WHERE stream_id = ?", bad)
    assert await restart(context) == Reconciled()
    assert [s.name for s in context.directory.all()] == ["good"]
    assert {ref.stream_id for ref in context.log.partitions()} >= {bad}


async def test_finishing_and_deleting_at_once(context: Context) -> None:
    assert isinstance(context.log, MemoryLog)
    await create(context)
    context.log.fail_delete = LogError("busy")
    await call(context, "DELETE", "/streams/s1")
    context.log.fail_delete = None
    finished, again = await asyncio.gather(
        lifecycle.finish_terminating(context), lifecycle.finish_terminating(context)
    )
    assert finished + again == 1
    assert len(context.directory) == 0
