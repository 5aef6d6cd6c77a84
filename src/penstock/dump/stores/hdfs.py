"""A directory of HDFS as a store, over WebHDFS. Owns how a file gets there whole, what is repeated, and what earlier processes left;
knows no rounds and no formats.

    MKDIRS -> CREATE -> GETFILESTATUS, its length -> RENAME

A file is written as `.NAME.tmp-EPOCH-RANDOM` beside its place, which Hive and Spark do not read. The random part is for a DataNode that
hung: what it still does when it comes back goes into a file that nobody renames any more.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from functools import partial

from penstock.dump.base import Body, Found, NotDelivered
from penstock.dump.destinations.mrs import Hdfs
from penstock.dump.manifest import FOLDER as MANIFESTS
from penstock.dump.stores.webhdfs import ANSWER_SECONDS, Passing, Status, WebHdfs
from penstock.model.streams import partition_name

_FORGET_SECONDS = 2.0
_MOST_PREPARED = 1000
"""CarbonData's files are a directory each: older ones are forgotten."""
_TEMPORARY = re.compile(r"\..+\.tmp-([0-9]+)-[0-9a-f]{8}")
_PARTITION = f"-{partition_name(0).rstrip('0')}"
"""Follows the stream, the task and its id in a file's name (`model.dumps.file_name`)."""


class HdfsStore:
    """The files below a task's directory (`dump.base.Store`); keys are paths there. `seconds` bounds every wait for an answer."""

    def __init__(self, hdfs: Hdfs, *, seconds: float = ANSWER_SECONDS) -> None:
        self._hdfs = hdfs
        self._web = WebHdfs(hdfs, seconds)
        self._prepared: set[tuple[str, str]] = set()
        """Directory and owner: it is there, without leftovers of that owner."""
        self._preparing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<HdfsStore {self._hdfs.path} at {self._hdfs.entry.webhdfs}>"

    async def put(self, key: str, body: Body, *, epoch: int, overwrite: bool = True) -> bool:
        """See `Store.put`. A file that is there is replaced in one step of the NameNode. Behind a gateway that cannot do that
        (HttpFS) it is removed first: readers find none for a moment, or, if the process dies in it, until the round is delivered
        again."""
        if not overwrite and await self.size(key) is not None:
            return False
        await self._prepare(key, epoch)
        temporary = await self._web.repeated(lambda: self._upload(key, body, epoch))
        try:
            moved = await self._web.repeated(lambda: self._move(temporary, key, body.size, overwrite))
        except NotDelivered:
            await self._forget(temporary)
            raise
        if not moved:
            await self._forget(temporary)
        return moved

    async def size(self, key: str) -> int | None:
        """Bytes of a file; None when there is none. NotDelivered when something else is there."""
        return await self._web.repeated(lambda: self._size(key))

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """A file's bytes, in pieces; NotDelivered when there is none."""
        return self._web.read(key)

    async def list(self, prefix: str) -> AsyncIterator[Found]:
        """Files whose key starts with `prefix`, one directory after the other."""
        waiting = [prefix.rpartition("/")[0]]
        while waiting:
            directory = waiting.pop()
            async for status in self._entries(directory):
                key = f"{directory}/{status.path_suffix}".lstrip("/")
                if not key.startswith(prefix):
                    continue
                if status.type == "DIRECTORY":
                    waiting.append(key)
                elif not _TEMPORARY.fullmatch(status.path_suffix):
                    yield Found(key, status.length)

    async def delete(self, key: str) -> None:
        """Remove a file, not into the trash; no error when there is none."""
        await self._web.repeated(lambda: self._web.delete(key))

    async def close(self) -> None:
        """Give back connections."""
        await self._web.close()

    async def _prepare(self, key: str, epoch: int) -> None:
        """Make the directory and remove what earlier processes left of this owner's in it; once."""
        directory, _, name = key.rpartition("/")
        start = _owned(directory, name)
        async with self._preparing:
            if (directory, start) in self._prepared:
                return
            await self._web.repeated(lambda: self._web.make_directory(directory))
            async for status in self._entries(directory, after=start):
                if not status.path_suffix.startswith(start):
                    break  # in the order of the names: what follows, which may be much, is not ours
                match = _TEMPORARY.fullmatch(status.path_suffix)
                if match is not None and int(match[1]) < epoch:
                    await self.delete(f"{directory}/{status.path_suffix}".lstrip("/"))
            if len(self._prepared) >= _MOST_PREPARED:
                self._prepared.clear()
            self._prepared.add((directory, start))

    async def _upload(self, key: str, body: Body, epoch: int) -> str:
        """The key of a new temporary file that is whole."""
        directory, slash, name = key.rpartition("/")
        temporary = f"{directory}{slash}.{name}.tmp-{epoch}-{secrets.token_hex(4)}"
        try:
            await self._web.create(temporary, body)
            # An upload that broke off leaves a file too, and that could be renamed.
            size = await self._size(temporary)
            if size != body.size:
                where = self._hdfs.full_path(temporary)
                raise Passing(f"HDFS: {where} has {size} bytes, although {body.size} were written")
        except NotDelivered:
            await self._forget(temporary)
            raise
        return temporary

    async def _move(self, temporary: str, key: str, size: int, overwrite: bool) -> bool:
        """Give a whole file its name; False when another is there and stays. Doing it again after its answer was lost is safe."""
        if await self._web.rename(temporary, key, overwrite=overwrite):
            return True
        there, left = await self._size(key), await self._size(temporary)
        if left is None and there == size:
            return True  # the answer that was lost
        if left is None or there is None:
            self._prepared.clear()
            where = self._hdfs.full_path(temporary)
            raise NotDelivered(
                f"HDFS: {where} went away before it got its name; does another process run this task?"
            )
        if not overwrite:
            return False
        await self._web.delete(key)
        if not await self._web.rename(temporary, key, overwrite=True):
            raise Passing(f"HDFS: nothing can be renamed to {self._hdfs.full_path(key)}")
        return True

    async def _forget(self, temporary: str) -> None:
        """Remove a temporary file if that is easily done; otherwise a process of a later epoch does."""
        try:
            async with asyncio.timeout(_FORGET_SECONDS):
                await self._web.delete(temporary)
        except (NotDelivered, TimeoutError):
            pass

    async def _size(self, key: str) -> int | None:
        status = await self._web.status(key)
        if status is None:
            return None
        if status.type != "FILE":
            raise NotDelivered(f"HDFS: {self._hdfs.full_path(key)} is not a file; move it away")
        return status.length

    async def _entries(self, directory: str, after: str = "") -> AsyncIterator[Status]:
        """What is in a directory, in the order of the names; nothing when there is none."""
        while True:
            start = after
            listing = await self._web.repeated(partial(self._web.page, directory, start))
            if listing is None:
                return
            for status in listing.entries:
                if status.path_suffix:  # a file lists itself, without a name
                    yield status
                    after = status.path_suffix
            if not listing.remaining_entries:
                return
            if after == start:
                raise NotDelivered(f"HDFS lists {self._hdfs.full_path(directory)} from the front for ever")


def _owned(directory: str, name: str) -> str:
    """What the names of all temporary files begin with that are as much ours as that of `name` in `directory`."""
    if _PARTITION in directory.rpartition("/")[2] or directory.startswith(f"{MANIFESTS}/"):
        return "."  # a directory of ours: one of CarbonData's files, or the task's manifests
    owner, mark, _ = name.rpartition(_PARTITION)
    return f".{owner}{mark}" if mark else f".{name}.tmp-"
