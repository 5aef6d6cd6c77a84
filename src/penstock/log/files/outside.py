"""Reads a log in use from another process of the same machine, in the place that its owner names (`RecordLog.place`). Owns its own
descriptors; writes nothing and knows nothing of what the owner does meanwhile, so a file may be gone when it looks.
"""

from __future__ import annotations

from penstock.log.base import Frame, Place
from penstock.log.files.disk import Disk
from penstock.log.files.format import ident
from penstock.log.files.pool import FilePool
from penstock.log.files.reader import Reader, Source, Wanted

OPEN_FILES = 64
_UNLIMITED = 1 << 62


class OutsideReader:
    """May be used by several threads."""

    def __init__(self) -> None:
        disk = Disk()
        self._files = FilePool(disk, OPEN_FILES)
        self._reader = Reader(disk, self._files)

    def frames(
        self, place: Place, sequence: int, max_bytes: int, max_records: int = _UNLIMITED
    ) -> list[Frame]:
        """As `RecordLog.read`. Raises Corrupt, OSError."""
        name = ident(place.ref.stream_id, place.ref.number)
        source = Source(place.ref, name, place.path, place.name, place.base, place.end)
        wanted = Wanted(place.start, sequence, max_bytes, max_records)
        return self._reader.frames(source, place.salt, place.size, wanted)

    def let_go(self) -> None:
        """Close files that their owner has removed: while they are open their room on the disk is not free."""
        self._files.forget_removed()

    def close(self) -> None:
        self._files.close()
