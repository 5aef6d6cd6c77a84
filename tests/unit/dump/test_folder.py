"""The store that is a folder (dump.base.Store): a file is there whole or not at all, whatever dies."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.dump_files import body, contents

from penstock.dump.base import Body, NotDelivered
from penstock.dump.stores import folder as module
from penstock.dump.stores.folder import FolderStore


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    (tmp_path / "lake").mkdir()
    return tmp_path / "lake"


@pytest.fixture
async def store(bucket: Path) -> AsyncIterator[FolderStore]:
    opened = FolderStore(bucket, "lake")
    yield opened
    await opened.close()


async def test_put_makes_directories_and_leaves_nothing_else(store: FolderStore, bucket: Path) -> None:
    assert await store.put("a/b/c.txt", body(b"one"), epoch=1) is True
    assert contents(bucket) == {"a/b/c.txt": b"one"}
    assert await store.size("a/b/c.txt") == 3
    assert b"".join([piece async for piece in await store.get("a/b/c.txt")]) == b"one"


async def test_put_that_must_not_overwrite_leaves_what_is_there(store: FolderStore, bucket: Path) -> None:
    assert await store.put("a", body(b"one"), epoch=1, overwrite=False) is True
    assert await store.put("a", body(b"other"), epoch=1, overwrite=False) is False
    assert contents(bucket) == {"a": b"one"}
    assert await store.put("a", body(b"other"), epoch=1) is True
    assert contents(bucket) == {"a": b"other"}


async def test_no_file_is_overwritten_that_came_while_it_was_written(
    store: FolderStore, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have made it between the look and the naming."""
    write = FolderStore._write

    def late(self: FolderStore, work: Any, temporary: Path, given: Body) -> None:
        write(self, work, temporary, given)
        (bucket / "a").write_bytes(b"theirs")

    monkeypatch.setattr(FolderStore, "_write", late)
    assert await store.put("a", body(b"ours"), epoch=1, overwrite=False) is False
    assert contents(bucket) == {"a": b"theirs"}


async def test_file_systems_without_hard_links(
    store: FolderStore, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert await store.put("a", body(b"one"), epoch=1, overwrite=False) is True
    assert await store.put("a", body(b"other"), epoch=1, overwrite=False) is False
    assert contents(bucket) == {"a": b"one"}


@pytest.mark.parametrize("key", ["../x", "/x", "a/../x", "a//b", "", "a/", ".", "a\0b", "x" * 1025])
async def test_keys_never_leave_the_bucket(store: FolderStore, bucket: Path, key: str) -> None:
    for call in (store.put(key, body(b""), epoch=1), store.size(key), store.get(key), store.delete(key)):
        with pytest.raises(NotDelivered, match="cannot be the name of a file"):
            await call
    assert contents(bucket.parent) == {}


async def test_what_a_process_that_died_left_of_a_file_goes_with_the_next_put_of_it(
    store: FolderStore, bucket: Path
) -> None:
    (bucket / "d").mkdir()
    old, foreign, newer = ".a.txt.tmp-3-1", ".b.txt.tmp-3-1", ".a.txt.tmp-9-1"
    for name in (old, foreign, newer):
        (bucket / "d" / name).write_bytes(b"half")
    assert [found.key async for found in store.list("")] == []
    await store.put("d/a.txt", body(b"whole"), epoch=4)
    # Epochs are each task's own: what somebody else may still be writing stays.
    assert contents(bucket) == {"d/a.txt": b"whole", f"d/{foreign}": b"half", f"d/{newer}": b"half"}
    assert [found.key async for found in store.list("")] == ["d/a.txt"]


async def test_names_of_255_bytes_can_be_written(store: FolderStore, bucket: Path) -> None:
    name = "x" * 255
    await store.put(name, body(b"1"), epoch=1)
    assert contents(bucket) == {name: b"1"}


async def test_a_disk_that_is_full_leaves_nothing(
    store: FolderStore, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotDelivered, match=r"bucket lake: the disk is full; free some space"):
        await store.put("a", body(b"one"), epoch=1)
    assert contents(bucket) == {}


async def test_a_bucket_that_is_gone_is_not_made(bucket: Path) -> None:
    """A disk that is not mounted looks like that: nothing may be written beside it."""
    bucket.rmdir()
    store = FolderStore(bucket, "lake")
    for call in (store.put("a/b", body(b"1"), epoch=1), store.put("a", body(b"1"), epoch=1), store.size("a")):
        with pytest.raises(
            NotDelivered, match=r"bucket lake does not exist; make it: penstock bucket create lake"
        ):
            await call
    with pytest.raises(NotDelivered, match="does not exist"):
        [found async for found in store.list("")]
    configured = FolderStore(bucket, "lake", configured=True)
    with pytest.raises(NotDelivered, match="make or mount the folder that the configuration names"):
        await configured.put("a", body(b"1"), epoch=1)
    assert not bucket.exists()


@pytest.mark.parametrize(("there", "key"), [("a", "a/b"), ("a/b", "a")])
async def test_a_file_and_a_directory_of_one_name(
    store: FolderStore, bucket: Path, there: str, key: str
) -> None:
    await store.put(there, body(b"1"), epoch=1)
    for overwrite in (True, False):
        with pytest.raises(NotDelivered, match="give the task another prefix"):
            await store.put(key, body(b"2"), epoch=1, overwrite=overwrite)
    assert contents(bucket) == {there: b"1"}
    assert await store.size(key) is None


async def test_list_and_delete(store: FolderStore, bucket: Path) -> None:
    for key in ("p/2026/a", "p/2026/b", "p/20/a", "pq", "z"):
        await store.put(key, body(key.encode()), epoch=1)
    (bucket / ".penstock-probe-0123").touch()

    async def keys(prefix: str) -> list[str]:
        return sorted([found.key async for found in store.list(prefix)])

    assert await keys("") == ["p/20/a", "p/2026/a", "p/2026/b", "pq", "z"]
    assert await keys("p") == ["p/20/a", "p/2026/a", "p/2026/b", "pq"]
    assert await keys("p/") == ["p/20/a", "p/2026/a", "p/2026/b"]
    assert await keys("p/2026/") == ["p/2026/a", "p/2026/b"]
    assert await keys("p/2026/b") == ["p/2026/b"]
    assert await keys("none/") == []
    assert {found.key: found.size async for found in store.list("pq")} == {"pq": 2}
    await store.delete("pq")
    await store.delete("pq")
    assert await keys("pq") == []


async def test_a_disk_that_hangs_is_not_waited_for(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing becomes visible when it answers at last: the round has been given up."""
    answers, hanging, ended = threading.Event(), threading.Event(), threading.Event()
    real = os.fsync

    def hang(descriptor: int) -> None:
        hanging.set()
        answers.wait(20)
        real(descriptor)

    unlink = Path.unlink

    def noticed(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok)
        ended.set()

    monkeypatch.setattr(os, "fsync", hang)
    monkeypatch.setattr(Path, "unlink", noticed)
    store = FolderStore(bucket, "lake", stalled=0.05)
    with pytest.raises(NotDelivered, match="its disk has not answered"):
        await store.put("a", body(b"one"), epoch=1)
    assert hanging.is_set()
    answers.set()
    await asyncio.to_thread(ended.wait, 20)
    assert contents(bucket) == {}


async def test_a_put_that_is_cancelled_makes_nothing_visible(
    store: FolderStore, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    real = os.fsync

    def slow(descriptor: int) -> None:
        loop.call_soon_threadsafe(writing.set)
        go_on.wait(20)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    putting = asyncio.create_task(store.put("a", body(b"one"), epoch=1))
    await writing.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    go_on.set()
    await asyncio.to_thread(store._threads.shutdown)
    assert contents(bucket) == {}


async def test_directories_that_are_made_are_synced_up_to_the_bucket(
    store: FolderStore, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the file was there already: whoever made it may have died before its name was durable."""
    synced: list[Path] = []
    monkeypatch.setattr(module, "sync_directory", synced.append)
    await store.put("a/b/c", body(b"1"), epoch=1)
    assert synced == [bucket / "a/b", bucket / "a", bucket]
    synced.clear()
    await store.put("a/b/d", body(b"1"), epoch=1)
    assert synced == [bucket / "a/b"]
    synced.clear()
    other = FolderStore(bucket, "lake")
    assert await other.put("a/b/c", body(b"1"), epoch=2, overwrite=False) is False
    assert synced == [bucket / "a/b", bucket / "a", bucket]
