"""The table of ends of a log in use: how far each partition was durable at least. Owns the file `ends` while the log is open; what rows
say is `format.End`'s. Used from every thread.

It is written now and then, so that the start after a crash need not read what came before, and knows that it was there.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from penstock.log.base import PartitionRef
from penstock.log.files.disk import Disk, write_small
from penstock.log.files.format import JOURNAL_VERSION, VERSION, End, pack_ends

ENDS = "ends"


class EndsTable:
    """Begins with what the last table says."""

    def __init__(self, disk: Disk, root: str, ends: dict[PartitionRef, End]) -> None:
        self._disk = disk
        self._path = f"{root}/{ENDS}"
        self._rows = ends
        self._version = VERSION
        self._lock = threading.Lock()

    def get(self, ref: PartitionRef) -> End | None:
        """The newest row of a partition."""
        return self._rows.get(ref)

    def forget(self, ref: PartitionRef) -> None:
        """The partition is gone."""
        with self._lock:
            self._rows.pop(ref, None)

    def mark_journals(self) -> None:
        """Before the first journal: a program that knows none must refuse this directory, or it would start without what they hold.
        Raises OSError."""
        with self._lock:
            self._version = JOURNAL_VERSION
            self._write()

    def update(self, ends: Sequence[End]) -> None:
        """Write rows that have changed. Not being able to is no error: the table that is there says less, and nothing wrong."""
        with self._lock, suppress(OSError):
            for end in ends:
                self._rows[PartitionRef(end.stream_id, end.partition)] = end
            self._write()

    def _write(self) -> None:
        write_small(self._disk, self._path, pack_ends(list(self._rows.values()), self._version), durable=True)
