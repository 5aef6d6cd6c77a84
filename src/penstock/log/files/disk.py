"""The seam: every file call of the log goes through a `Disk`. Owns the calls; knows nothing of what is in the files.

Tests replace it to inject short writes, EIO, ENOSPC, EINTR, EMFILE and lost sectors. Methods raise OSError.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import re
import secrets
from collections.abc import Sequence

IOV_MAX = 1024
"""Buffers one vectored write may take (Linux)."""
_SYNCFS_REPORTS = (5, 8)
"""Linux from which on syncfs says when a write failed."""

Buffer = bytes | memoryview


class Disk:
    """The real one."""

    @property
    def shared(self) -> bool:
        """Whether another process that opens the same files sees what this one does."""
        return True

    def open(self, path: str, *, write: bool) -> int:
        """Descriptor of an existing file."""
        return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)

    def create(self, path: str) -> int:
        """Descriptor of a new file, open for both; an existing one is an error."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def size_of(self, path: str) -> int:
        return os.stat(path).st_size  # noqa: PTH116

    def links(self, fd: int) -> int:
        """How many names an open file has; 0 when it has been removed."""
        return os.fstat(fd).st_nlink

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file or when the kernel says so."""
        return os.pread(fd, length, offset)

    def will_need(self, fd: int, offset: int, length: int) -> None:
        """These bytes are about to be read."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        """Bytes written, perhaps fewer than asked for; at most IOV_MAX buffers."""
        return os.pwritev(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    @property
    def syncs_all(self) -> bool:
        """Whether `sync_all` can be had and trusted."""
        return _syncs_all()

    def sync_all(self, path: str) -> None:
        """What fdatasync of every file of the file system below a directory does, in one go."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(fd):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(fd)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def fsync_dir(self, path: str) -> None:
        """Make names created, renamed or removed in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def unlink(self, path: str) -> None:
        os.unlink(path)  # noqa: PTH108

    def rename(self, old: str, new: str) -> None:
        """Atomic; replaces a file of the new name."""
        os.rename(old, new)  # noqa: PTH104

    def mkdir(self, path: str) -> bool:
        """Whether it is new."""
        try:
            os.mkdir(path)  # noqa: PTH102
        except FileExistsError:
            return False
        return True

    def rmdir(self, path: str) -> None:
        os.rmdir(path)  # noqa: PTH106

    def names(self, path: str) -> list[str]:
        """Names in a directory, in no order; none when there is no such directory."""
        try:
            return os.listdir(path)  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []

    def free(self, path: str) -> int:
        """Bytes that may still be written to the file system of a directory."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    def lock(self, path: str) -> int | None:
        """Descriptor that holds an exclusive lock on a file until closed; None when another process has it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise
        return fd

    def salt(self) -> int:
        """A random number nobody outside knows."""
        return secrets.randbelow(0xFFFFFFFF) + 1

    def reached(self, point: str) -> None:
        """Called at the moments a crash would be most telling; does nothing here, tests die in it."""


def _syncs_all() -> bool:
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    if platform.system() != "Linux" or release is None:
        return False
    return (int(release[1]), int(release[2])) >= _SYNCFS_REPORTS and hasattr(ctypes.CDLL(None), "syncfs")


def write_all(disk: Disk, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
    """Write all of `buffers` from `offset` on, carrying on after short and interrupted writes; bytes written.

    Raises OSError; how much has reached the file is then unknown.
    """
    start = offset
    for at in range(0, len(buffers), IOV_MAX):
        chunk = buffers[at : at + IOV_MAX]
        expected = sum(map(len, chunk))
        while expected:
            try:
                written = disk.pwritev(fd, chunk, offset)
            except InterruptedError:
                continue
            if written <= 0:
                raise OSError(errno.ENOSPC, "the file takes no more bytes")
            offset += written
            expected -= written
            if expected:
                chunk = _behind(chunk, written)
    return offset - start


def _behind(buffers: Sequence[Buffer], written: int) -> list[Buffer]:
    """What is left of `buffers` behind the first `written` bytes."""
    for i, buffer in enumerate(buffers):
        if written < len(buffer):
            return [memoryview(buffer)[written:], *buffers[i + 1 :]]
        written -= len(buffer)
    return []


def read_exactly(disk: Disk, fd: int, length: int, offset: int) -> bytes:
    """`length` bytes from `offset`, or fewer when the file ends first. Raises OSError."""
    parts = []
    while length > 0:
        try:
            part = disk.pread(fd, length, offset)
        except InterruptedError:
            continue
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def sync(disk: Disk, fd: int) -> None:
    """fdatasync that does not mind signals. Raises OSError, after which what is on disk is unknown."""
    while True:
        try:
            return disk.fdatasync(fd)
        except InterruptedError:
            continue


def write_small(disk: Disk, path: str, content: bytes, *, durable: bool) -> None:
    """Replace a small file as a whole: under another name first, then renamed. Raises OSError."""
    temporary = f"{path}.tmp"
    try:
        disk.unlink(temporary)
    except FileNotFoundError:
        pass
    fd = disk.create(temporary)
    try:
        write_all(disk, fd, [content], 0)
        if durable:
            sync(disk, fd)
    finally:
        disk.close(fd)
    disk.rename(temporary, path)
    if durable:
        disk.fsync_dir(os.path.dirname(path))  # noqa: PTH120


def read_small(disk: Disk, path: str) -> bytes | None:
    """All of a small file; None when it is not there. Raises other OSErrors."""
    try:
        fd = disk.open(path, write=False)
    except FileNotFoundError:
        return None
    try:
        return read_exactly(disk, fd, disk.size(fd), 0)
    finally:
        disk.close(fd)
