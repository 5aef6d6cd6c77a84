"""Open files: bounded when they can be, never in the way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.support.disks import FaultyDisk

from penstock.log.files.pool import FilePool


def _open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_the_least_recently_used_is_closed(tmp_path: Path) -> None:
    pool = FilePool(FaultyDisk(), 3)
    fds = []
    for number in range(5):
        handle = pool.acquire(str(tmp_path / str(number)), create=True)
        fds.append(handle.fd)
        pool.release(handle)
    assert len(pool) == 3
    with pool.using(str(tmp_path / "4")) as fd:
        assert fd == fds[4]
    pool.close()
    assert not any(map(_open, set(fds)))


def test_files_in_use_stay_open_beyond_the_limit(tmp_path: Path) -> None:
    pool = FilePool(FaultyDisk(), 2)
    handles = [pool.acquire(str(tmp_path / str(number)), create=True) for number in range(5)]
    assert len(pool) == 5 and all(_open(handle.fd) for handle in handles)
    for handle in handles:
        pool.release(handle)
    with pool.using(str(tmp_path / "0")):
        assert len(pool) <= 5
    extra = pool.acquire(str(tmp_path / "x"), create=True)
    assert len(pool) == 2
    pool.release(extra)
    pool.close()


def test_a_forgotten_file_is_closed_by_its_last_user(tmp_path: Path) -> None:
    pool = FilePool(FaultyDisk(), 2)
    first = pool.acquire(str(tmp_path / "a"), create=True)
    second = pool.acquire(str(tmp_path / "a"))
    assert first is second
    pool.forget_under(str(tmp_path))
    pool.release(first)
    assert _open(second.fd)
    pool.release(second)
    assert not _open(second.fd) and len(pool) == 0


def test_reading_first_and_writing_later(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    pool = FilePool(FaultyDisk(), 2)
    reader = pool.acquire(str(tmp_path / "a"))
    writer = pool.acquire(str(tmp_path / "a"), write=True)
    assert reader is not writer and writer.writable
    assert os.pwrite(writer.fd, b"y", 0) == 1
    assert os.pread(reader.fd, 1, 0) == b"y"
    pool.release(reader)
    assert pool.acquire(str(tmp_path / "a")) is writer
    pool.release(writer)
    pool.release(writer)
    pool.close()


def test_room_is_made_when_descriptors_run_out(tmp_path: Path) -> None:
    disk = FaultyDisk()
    pool = FilePool(disk, 100)
    for number in range(5):
        pool.release(pool.acquire(str(tmp_path / str(number)), create=True))
    disk.fail("create", errno.EMFILE)
    handle = pool.acquire(str(tmp_path / "x"), create=True)
    assert len(pool) == 1
    disk.fail("create", errno.EMFILE, times=2)
    with pytest.raises(OSError, match="Too many open files"):
        pool.acquire(str(tmp_path / "y"), create=True)
    disk.fail("fsync_dir", errno.EMFILE)
    pool.sync_directory(str(tmp_path))
    pool.release(handle)
    pool.close()
