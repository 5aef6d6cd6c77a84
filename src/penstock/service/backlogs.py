"""What dump tasks have before them: records, bytes and age, by partition. Knows no schedule.

A partition that can be read no more, or has been damaged where the task stands, has no backlog: `unreadable` says why.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.log.base import Corrupt, LogError, PartitionRef, RecordLog
from penstock.model.dumps import Backlog
from penstock.model.streams import PartitionStatus, Stream
from penstock.model.tasks import TaskPosition


class Unreadable(NamedTuple):
    """A partition whose next record is damaged."""

    partition: int
    reason: str


async def backlogs(
    log: RecordLog, stream: Stream, positions: dict[int, TaskPosition]
) -> tuple[list[Backlog], list[Unreadable]]:
    """The partitions that have records for a task that stands at `positions`, in order; one without a position is newer than the
    task and begins at 0."""
    found: list[Backlog] = []
    damaged: list[Unreadable] = []
    for partition in stream.partitions:
        if partition.status is PartitionStatus.EXPIRED:
            continue
        position = positions.get(partition.number)
        following = 0 if position is None else position.next_sequence
        ref = PartitionRef(stream.stream_id, partition.number)
        try:
            if log.bounds(ref).next <= following:
                continue
            waiting = await log.waiting(ref, following)
        except Corrupt as error:
            damaged.append(Unreadable(partition.number, str(error)))
            continue
        except LogError:
            continue  # the stream is being deleted
        if waiting.records:
            found.append(
                Backlog(
                    partition=partition.number,
                    first=waiting.first,
                    records=waiting.records,
                    size=waiting.size,
                    oldest_ms=waiting.oldest_ms,
                    missing=waiting.first - following,
                )
            )
    return found, damaged
