"""A bucket that is a folder. Owns how a file becomes whole or stays absent there: written under a temporary name in its directory,
synced, then given its name, and the directory synced.

Everything that touches the disk runs in threads of the store's own, so that a disk that hangs (NFS) holds up nobody else. A thread
cannot be ended: one that nobody waits for any more gives up before it makes anything visible.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TypeVar

from penstock.dump.base import READ_BYTES, Body, Found, NotDelivered
from penstock.dump.stores.buckets import PROBE, checked, in_the_way
from penstock.files import sync_directory

_THREADS = 8
_STALLED_SECONDS = 30.0
"""How long one step of the disk's may take, or a wait for a thread, before the disk counts as hanging."""
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.tmp-(?P<epoch>[0-9]+)-[0-9]+", re.DOTALL)
_NAME_BYTES = 255
_DIRECTORIES_KEPT = 10_000
"""So many directories are remembered: tasks with a directory for each minute make new ones for ever."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems say that know no hard links."""
_FULL = {errno.ENOSPC: "the disk is full; free some space", errno.EDQUOT: "its quota is used up; raise it"}
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY)

T = TypeVar("T")
_Listing = tuple[list[str], list[Found]]


class _Abandoned(Exception):
    """Nobody waits for this thread's work any more."""


class _Work:
    """What goes on in a thread, as its waiter sees it: `step` counts while it gets on."""

    def __init__(self) -> None:
        self.steps = 0
        self.abandoned = False

    def step(self) -> None:
        """Called between steps, and before anything becomes visible. Raises _Abandoned."""
        if self.abandoned:
            raise _Abandoned
        self.steps += 1


class FolderStore:
    """Files of a folder that exists already: a missing one may be a disk that is not mounted, so it is never made. `configured`: the
    folder is one of the configuration's, not of the data directory."""

    def __init__(
        self, folder: Path, name: str, *, configured: bool = False, stalled: float = _STALLED_SECONDS
    ) -> None:
        self._folder = folder
        self._name = name
        self._configured = configured
        self._stalled = stalled
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"bucket-{name}")
        self._attempts = count(1)
        self._swept: dict[Path, dict[str, list[tuple[int, Path]]]] = {}
        self._synced: set[Path] = set()
        """Directories whose names this process has made durable, up to the bucket."""

    def __repr__(self) -> str:
        return f"<FolderStore {self._folder}>"

    async def put(self, key: str, body: Body, *, epoch: int, overwrite: bool = True) -> bool:
        """`dump.base.Store.put`."""
        path = self._path(key)
        return await self._run(key, lambda work: self._put(work, path, body, epoch, overwrite))

    async def size(self, key: str) -> int | None:
        """`dump.base.Store.size`."""
        path = self._path(key)
        return await self._run(key, lambda _: self._size(path))

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """`dump.base.Store.get`."""
        path = self._path(key)
        file = await self._run(key, lambda _: path.open("rb"))

        async def pieces() -> AsyncIterator[bytes]:
            with file:
                while piece := await self._run(key, lambda _: file.read(READ_BYTES)):
                    yield piece

        return pieces()

    async def list(self, prefix: str) -> AsyncIterator[Found]:
        """`dump.base.Store.list`. Follows no links to directories."""
        parent = prefix.rpartition("/")[0]
        waiting = [checked(parent) if parent else ""]
        await self._run(prefix, lambda _: self._require_folder())
        while waiting:
            directory = waiting.pop()
            directories, files = await self._run(prefix, lambda _, at=directory: self._scan(at))  # type: ignore[misc]
            waiting.extend(key for key in directories if f"{key}/".startswith(prefix[: len(key) + 1]))
            for found in files:
                if found.key.startswith(prefix):
                    yield found

    async def delete(self, key: str) -> None:
        """`dump.base.Store.delete`."""
        path = self._path(key)

        def remove(_: _Work) -> None:
            if self._size(path) is not None:
                path.unlink(missing_ok=True)
                sync_directory(path.parent)

        await self._run(key, remove)

    async def close(self) -> None:
        """`dump.base.Store.close`."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    # In a thread

    def _put(self, work: _Work, path: Path, body: Body, epoch: int, overwrite: bool) -> bool:
        if not overwrite and self._there(path):
            self._sync_to(path.parent)
            return False
        self._make_directory(path.parent)
        self._sweep(path, epoch)
        temporary = path.with_name(_temporary_name(path.name, epoch, next(self._attempts)))
        try:
            self._write(work, temporary, body)
            work.step()
            if overwrite:
                temporary.replace(path)
                made = True
            else:
                made = self._name_it(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        self._sync_to(path.parent)
        return made

    def _write(self, work: _Work, temporary: Path, body: Body) -> None:
        written = 0
        with temporary.open("xb", buffering=0) as file:
            for piece in body.pieces():
                work.step()
                view = memoryview(piece)
                while view:
                    done = file.write(view)
                    view = view[done:]
                    written += done
            work.step()
            os.fsync(file.fileno())
        if written != body.size:
            raise NotDelivered(
                f"bucket {self._name}: {written} of {body.size} bytes were written; trying again"
            )

    def _name_it(self, temporary: Path, path: Path) -> bool:
        """Give a file its name unless that is taken."""
        try:
            os.link(temporary, path)
        except FileExistsError:
            return not self._there(path)  # which raises for a directory
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Not one step, but only the holder of the task's lease writes this name.
            if self._there(path):
                return False
            temporary.replace(path)
        return True

    def _there(self, path: Path) -> bool:
        """Whether there is such a file. Raises IsADirectoryError for a directory of that name."""
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return False
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return True

    def _size(self, path: Path) -> int | None:
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._require_folder()
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _scan(self, directory: str) -> _Listing:
        """Keys of the directories and files in a directory."""
        listing: _Listing = ([], [])
        directories, files = listing
        try:
            with os.scandir(self._folder / directory) as entries:
                for entry in entries:
                    key = f"{directory}/{entry.name}" if directory else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(key)
                    elif not entry.name.startswith(PROBE) and not _TEMPORARY.fullmatch(entry.name):
                        files.append(Found(key, entry.stat().st_size))
        except (FileNotFoundError, NotADirectoryError):
            pass  # taken away since, or never there
        return listing

    def _require_folder(self) -> None:
        if not self._folder.is_dir():
            raise NotDelivered(
                f"bucket {self._name} does not exist; "
                + (
                    "make or mount the folder that the configuration names"
                    if self._configured
                    else f"make it: penstock bucket create {self._name}"
                )
            )

    def _make_directory(self, directory: Path) -> None:
        if directory.is_dir():
            return
        self._require_folder()
        for step in reversed([directory, *directory.parents]):
            if self._folder in step.parents:
                step.mkdir(exist_ok=True)
        self._synced.discard(directory)

    def _sync_to(self, directory: Path) -> None:
        """Make names in a directory durable, and once those of the directories that lead to it: whoever made them may have died
        before it had."""
        sync_directory(directory)
        if directory not in self._synced:
            if len(self._synced) >= _DIRECTORIES_KEPT:
                self._synced.clear()
            for step in directory.parents:
                if step != self._folder and self._folder not in step.parents:
                    break
                sync_directory(step)
            self._synced.add(directory)

    def _sweep(self, path: Path, epoch: int) -> None:
        """Remove what processes that died while they wrote this very file have left of it. Looks into a directory once."""
        left = self._swept.get(path.parent)
        if left is None:
            left = {}
            with os.scandir(path.parent) as entries:
                for entry in entries:
                    if match := _TEMPORARY.fullmatch(entry.name):
                        left.setdefault(match["name"], []).append((int(match["epoch"]), Path(entry.path)))
            if len(self._swept) >= _DIRECTORIES_KEPT:
                self._swept.clear()
            self._swept[path.parent] = left
        for written, temporary in left.pop(path.name, ()):
            if written < epoch:
                temporary.unlink(missing_ok=True)

    # Around threads

    def _path(self, key: str) -> Path:
        return self._folder / checked(key)

    async def _run(self, key: str, function: Callable[[_Work], T]) -> T:
        """Run it in a thread. Raises NotDelivered when it fails or gets on no more."""
        work = _Work()
        seen = -1
        future = asyncio.get_running_loop().run_in_executor(self._threads, function, work)
        try:
            while not (await asyncio.wait({future}, timeout=self._stalled))[0]:
                if work.steps == seen:
                    raise NotDelivered(
                        f"bucket {self._name}: its disk has not answered for {self._stalled:g} seconds; is it mounted, "
                        "is its server running?"
                    )
                seen = work.steps
            return future.result()
        except OSError as error:
            raise self._refusal(key, error) from error
        finally:
            work.abandoned = True
            if not future.done():
                future.cancel()
                future.add_done_callback(_forget)

    def _refusal(self, key: str, error: OSError) -> NotDelivered:
        """What the operating system's word means for the person."""
        number = error.errno or 0
        where = f"bucket {self._name}"
        if not self._folder.is_dir():
            try:
                self._require_folder()
            except NotDelivered as missing:
                return missing
        if number in _FULL:
            return NotDelivered(f"{where}: {_FULL[number]}")
        if number in _DENIED:
            reason = os.strerror(number).lower()
            return NotDelivered(f"{where}: {reason}; give the server's user the right to write there")
        if number in _IN_THE_WAY:
            return in_the_way(self._name, key)
        if number == errno.ENOENT:
            return NotDelivered(f"{where}: {key} is not there any more")
        return NotDelivered(f"{where}: {os.strerror(number).lower() if number else 'the disk fails'}")


def _temporary_name(name: str, epoch: int, attempt: int) -> str:
    """Hidden, and of this process and this attempt alone: an attempt that was given up may still be writing."""
    made = f".{name}.tmp-{epoch}-{attempt}"
    surplus = len(os.fsencode(made)) - _NAME_BYTES
    return made if surplus <= 0 else f".{name[:-surplus]}.tmp-{epoch}-{attempt}"


def _forget(future: asyncio.Future[T]) -> None:
    """The result of work that was given up: nobody wants it."""
    if not future.cancelled():
        future.exception()
