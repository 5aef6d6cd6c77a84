"""Start-up: make log and catalog agree after a crash. Owns what may be removed; knows no HTTP.

Nothing that ever held a record is removed here. Partitions no stream owns are left by a create that did not finish, and
those are empty; anything else without an owner means a catalog that was lost or is an old copy, and is kept and named.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import structlog

from penstock.log.base import LogError, PartitionRef
from penstock.model.streams import PartitionStatus, StreamStatus
from penstock.service.context import Context
from penstock.service.lifecycle import finish_terminating, references

_log = structlog.get_logger("penstock.reconcile")


class Reconciled(NamedTuple):
    """What was done, and what a person has to look at (one sentence each)."""

    removed: int = 0
    """Streams without a row whose empty partitions were removed."""
    restored: int = 0
    """Partitions of RUNNING streams that were missing in the log and are there again, empty."""
    finished: int = 0
    """Deletions that were completed."""
    problems: tuple[str, ...] = ()


async def reconcile(context: Context) -> Reconciled:
    """Run once at start, before anything is served."""
    finished = await finish_terminating(context)
    removed, problems = await _remove_orphans(context)
    restored, missing = await _restore_partitions(context)
    problems += missing
    for problem in problems:
        _log.error("log and catalog disagree", problem=problem)
    result = Reconciled(removed, restored, finished, tuple(problems))
    if removed or restored or finished:
        _log.info("log and catalog reconciled", removed=removed, restored=restored, finished=finished)
    return result


async def _remove_orphans(context: Context) -> tuple[int, list[str]]:
    # The rows, not the directory: a damaged row still owns its records.
    owners = set(await context.catalog.stream_ids())
    orphans: dict[str, list[PartitionRef]] = defaultdict(list)
    for ref in context.log.partitions():
        if ref.stream_id not in owners:
            orphans[ref.stream_id].append(ref)
    removed = 0
    problems: list[str] = []
    for stream_id, refs in orphans.items():
        if any(context.log.bounds(ref).next for ref in refs):
            problems.append(
                f"the log holds records of stream {stream_id}, which the catalog does not know: they are kept"
            )
            continue
        try:
            await context.log.delete_stream(stream_id)
            removed += 1
        except (LogError, OSError) as error:
            problems.append(f"empty partitions of unknown stream {stream_id} cannot be removed: {error}")
    return removed, problems


async def _restore_partitions(context: Context) -> tuple[int, list[str]]:
    present = set(context.log.partitions())
    restored = 0
    problems: list[str] = []
    for stream in context.directory.all():
        if stream.status is StreamStatus.TERMINATING:
            continue
        living = [p for p in stream.partitions if p.status is not PartitionStatus.EXPIRED]
        missing = [ref for ref in references(stream, living) if ref not in present]
        if not missing:
            continue
        problems.append(
            f"{len(missing)} of {len(living)} partitions of stream {stream.name} ({stream.stream_id}) were not in the "
            "log and were made again, empty: their records are lost"
        )
        await context.log.create(missing)
        restored += len(missing)
    return restored, problems
