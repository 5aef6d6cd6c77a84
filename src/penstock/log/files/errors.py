"""What the embedded engine may say beyond `log.base`. Owns the types; knows nothing else."""

from __future__ import annotations

import errno

from penstock.log.base import DiskFull, LogError, PartitionRef, ReadOnly, UnknownPartition

FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
"""Errors of a write that pass once somebody makes room."""
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})


class AlreadyInUse(LogError):
    """Another process has this data directory open."""


class UnsupportedFormat(LogError):
    """The directory was written by a version of Penstock this one does not understand; nothing was changed."""


class OutOfFiles(DiskFull):
    """No file could be opened (EMFILE, ENFILE). As with a full disk, nothing is acknowledged and later appends are
    tried again."""


def of_write(error: OSError, what: str) -> LogError:
    """The answer to a failed open or write: DiskFull and OutOfFiles pass, all else makes the partition read-only."""
    reason = f"{what}: {error.strerror or error}"
    if error.errno in FULL:
        return DiskFull(reason)
    if error.errno in OUT_OF_FILES:
        return OutOfFiles(reason)
    return ReadOnly(reason)


def unknown(ref: PartitionRef) -> UnknownPartition:
    """There is no such partition."""
    return UnknownPartition(f"there is no partition {ref.number} of stream {ref.stream_id}")
