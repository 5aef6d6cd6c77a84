"""Opening the embedded log: its options, and what has to be done before it can be used."""

from __future__ import annotations

import asyncio
import os

from penstock.clock import Clock
from penstock.config import Sync
from penstock.log.files import directory
from penstock.log.files.disk import Disk
from penstock.log.files.engine import FileLog
from penstock.log.files.journal import JOURNAL_BYTES, SYNCS_BEFORE


async def open_log(
    directory_: os.PathLike[str] | str,
    *,
    sync: Sync,
    clock: Clock,
    disk: Disk | None = None,
    segment_bytes: int = 64 << 20,
    cache_bytes: int = 24 << 20,
    open_files: int = 256,
    journal_bytes: int = JOURNAL_BYTES,
    syncs_before_journal: int = SYNCS_BEFORE,
) -> FileLog:
    """The log in DIRECTORY/log, recovered and ready.

    `segment_bytes`: size at which a segment is sealed (4 KiB to 1 GiB); `cache_bytes`: memory for recent frames;
    `open_files`: descriptors kept; `journal_bytes`: size of a journal (0: there are none), made when one would have saved
    `syncs_before_journal` syncs. Raises AlreadyInUse, UnsupportedFormat, OSError.
    """
    if not 4096 <= segment_bytes <= 1 << 30:
        raise ValueError("segment_bytes is 4096 to 1 GiB")
    disk = disk or Disk()
    opened = await asyncio.to_thread(directory.open_directory, disk, os.fspath(directory_))
    return FileLog(
        opened, sync=sync, clock=clock, disk=disk, segment_bytes=segment_bytes, cache_bytes=cache_bytes,
        open_files=open_files, journal_bytes=journal_bytes, syncs_before_journal=syncs_before_journal,
    )  # fmt: skip
