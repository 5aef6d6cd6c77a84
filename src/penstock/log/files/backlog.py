"""Which partitions have frames that are durable in a journal and not yet in their segment. Owns their order, how much that is, and
what the event loop has to be told once they are written; knows nothing of files. Used by the commit thread alone.

A write of one frame into its own file costs as much as one of a hundred, so they wait here for each other: the more partitions a log
has, the longer.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from penstock.log.files.segment import Partition, Segment
    from penstock.log.files.writer import Writer

FRAME_OVERHEAD = 300
"""About what a frame that waits takes of memory beyond its bytes."""


class Wrote(NamedTuple):
    """A segment holds everything before byte `size` now."""

    partition: Partition
    segment: Segment
    size: int


class Backlog:
    """Writers with frames that wait, those that wait longest first."""

    def __init__(self) -> None:
        self.bytes = 0
        """Of memory, about."""
        self.ticket = 0
        """Grows with every writer that joins: who had something waiting when it was N is through when `oldest` is N or more."""
        self.tickets: dict[Writer, int] = {}
        """Who waits for its turn, not for room on the disk. For reading only."""
        self._stuck: dict[Writer, int] = {}
        self._wrote: list[Wrote] = []

    def __len__(self) -> int:
        return len(self.tickets) + len(self._stuck)

    def grew(self, writer: Writer, size: int) -> None:
        """So many bytes more of this writer's wait."""
        self.bytes += size
        if writer not in self.tickets and writer not in self._stuck:
            self.tickets[writer] = self.ticket
            self.ticket += 1

    def wrote(self, writer: Writer, size: int, what: Wrote) -> None:
        """So many bytes, all that waited, are in the segment."""
        self.left(writer, size)
        self._wrote.append(what)

    def left(self, writer: Writer, size: int) -> None:
        """They wait no longer: written, or never to be."""
        self.bytes -= size
        self.tickets.pop(writer, None)
        self._stuck.pop(writer, None)

    def shrank(self, size: int) -> None:
        """So many bytes were taken back; the writer may have others."""
        self.bytes -= size

    def stuck(self, writer: Writer) -> None:
        """It cannot be written now; those behind it go first."""
        if (ticket := self.tickets.pop(writer, None)) is not None:
            self._stuck[writer] = ticket

    def unstick(self) -> None:
        """All of them are to be tried again."""
        self.tickets = {**self._stuck, **self.tickets}
        self._stuck = {}

    @property
    def oldest(self) -> int:
        """Ticket of who waits longest; `ticket` when nobody does."""
        first = next(iter(self.tickets.values()), self.ticket)
        return min(first, *self._stuck.values()) if self._stuck else first

    def first(self, count: int) -> list[Writer]:
        """Those that wait longest and can be tried."""
        return list(islice(self.tickets, count))

    def take(self) -> list[Wrote]:
        """What has been written since the last time."""
        taken, self._wrote = self._wrote, []
        return taken
