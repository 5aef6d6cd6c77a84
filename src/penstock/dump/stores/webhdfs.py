"""WebHDFS below one directory: requests, answers, and what refusals mean. Owns the connections, the shapes of answers, and what may be
over in a moment; knows no store. Hadoop 3 or later, without Kerberos.

A refusal says what it is in `RemoteException.exception`. Its HTTP status does not: 403 is also safe mode.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
import msgspec

from penstock.dump.base import READ_BYTES, SPOOL_MEMORY, Body, NotDelivered
from penstock.dump.destinations.mrs import Hdfs

ANSWER_SECONDS = 30.0
"""How long a NameNode may take to answer, a DataNode to take or give a piece."""
PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds before a step is repeated: a killed DataNode goes on being handed out, and the first request after a NameNode's restart
fails. What lasts longer is for the next attempt."""
_LONGEST_MESSAGE = 300
_LASTING = frozenset(
    {
        "AccessControlException",
        "AlreadyBeingCreatedException",
        "DSQuotaExceededException",
        "IllegalArgumentException",
        "InvalidPathException",
        "MaxDirectoryItemsExceededException",
        "NSQuotaExceededException",
        "ParentNotDirectoryException",
        "PathComponentTooLongException",
        "PathIsNotEmptyDirectoryException",
        "SecurityException",
        "UnsupportedOperationException",
    }
)
"""Exceptions that are not over in a moment. All others may be, also those that are not known here."""
_ADVICE = {
    "AccessControlException": "give the configured user the right to write there",
    "AlreadyBeingCreatedException": "something else is writing this file",
    "DSQuotaExceededException": "raise the quota of the directory",
    "NSQuotaExceededException": "raise the quota of the directory",
    "SafeModeException": "it goes on when the NameNode has left safe mode",
    "StandbyException": "webhdfs must name the active NameNode",
}

T = TypeVar("T")


class Passing(NotDelivered):
    """May be over in a moment: worth repeating at once."""


class Missing(NotDelivered):
    """There is no such file or directory."""


class Exists(NotDelivered):
    """There is such a file already."""


class Status(msgspec.Struct, rename="camel"):
    """A file or directory; `path_suffix` is its name in a listing. `length` is in bytes."""

    type: str
    length: int
    path_suffix: str = ""


class _FileStatus(msgspec.Struct):
    status: Status = msgspec.field(name="FileStatus")


class _Statuses(msgspec.Struct):
    entries: list[Status] = msgspec.field(name="FileStatus")


class _Partial(msgspec.Struct):
    statuses: _Statuses = msgspec.field(name="FileStatuses")


class Listing(msgspec.Struct, rename="camel"):
    """A page of a directory, in the order of the names, and how many entries follow."""

    partial_listing: _Partial
    remaining_entries: int

    @property
    def entries(self) -> list[Status]:
        return self.partial_listing.statuses.entries


class _DirectoryListing(msgspec.Struct):
    listing: Listing = msgspec.field(name="DirectoryListing")


class _Location(msgspec.Struct):
    url: str = msgspec.field(name="Location")


class _Boolean(msgspec.Struct):
    boolean: bool


class _Remote(msgspec.Struct):
    exception: str
    message: str | None = None


class _RemoteException(msgspec.Struct):
    remote: _Remote = msgspec.field(name="RemoteException")


class WebHdfs:
    """Operations on what is below the directory of `hdfs`; keys are paths there. Nothing is repeated except by `repeated`. `seconds`
    bounds every wait."""

    def __init__(self, hdfs: Hdfs, seconds: float) -> None:
        self.hdfs = hdfs
        self.seconds = seconds
        self._client: httpx.AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def repeated(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do a step again while it fails in a way that may be over in a moment."""
        for pause in PAUSES:
            try:
                return await step()
            except Passing:
                await asyncio.sleep(pause)
        return await step()

    async def status(self, key: str) -> Status | None:
        """None: there is nothing."""
        try:
            reply = await self._ask("GET", key, "GETFILESTATUS")
        except Missing:
            return None
        return self._decoded(reply, _FileStatus).status

    async def page(self, directory: str, after: str) -> Listing | None:
        """Entries of a directory whose names follow `after`; None: there is no directory."""
        start = self.hdfs.quoted(after)
        try:
            # Gateways spell it like the documentation, NameNodes do not.
            rest = f"&startafter={start}&startAfter={start}" if after else ""
            reply = await self._ask("GET", directory, "LISTSTATUS_BATCH", rest)
        except Missing:
            return None
        return self._decoded(reply, _DirectoryListing).listing

    async def make_directory(self, key: str) -> None:
        """With all above it; nothing when it is there."""
        await self._ask("PUT", key, "MKDIRS")

    async def create(self, key: str, body: Body) -> None:
        """A new file. It is visible from the beginning, and stays when this fails or breaks off."""
        # SYNC_BLOCK: closed means on the disks of the DataNodes, not in their memory only.
        rest = "&noredirect=true&overwrite=false&createflag=CREATE,SYNC_BLOCK"
        location = self._decoded(await self._ask("PUT", key, "CREATE", rest), _Location)
        client = await self._connected()
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(body.size)}
        with self._errors("CREATE", key, "DataNode"):
            reply = await client.put(location.url, content=_pieces(body), headers=headers)
        if reply.status_code != 201:
            raise self._refusal(reply, "CREATE", key)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """A file's bytes, in pieces."""
        location = self._decoded(await self._ask("GET", key, "OPEN", "&noredirect=true"), _Location)
        client = await self._connected()
        with self._errors("OPEN", key, "DataNode"):
            async with client.stream("GET", location.url) as reply:
                if reply.status_code != 200:
                    await reply.aread()
                    raise self._refusal(reply, "OPEN", key)
                async for piece in reply.aiter_bytes(READ_BYTES):
                    yield piece

    async def rename(self, key: str, to: str, *, overwrite: bool) -> bool:
        """Whether it was done. With `overwrite` a file that is there is replaced in one step, except by gateways (HttpFS): they do not
        know the option and answer False, as they do when the file to rename, or the directory, is missing."""
        option = "OVERWRITE" if overwrite else "NONE"
        rest = f"&destination={self.hdfs.quoted(self.hdfs.full_path(to))}&renameoptions={option}"
        try:
            reply = await self._ask("PUT", key, "RENAME", rest)
        except (Missing, Exists):
            return False
        # A NameNode that was given options answers nothing.
        return not reply.content or self._decoded(reply, _Boolean).boolean

    async def delete(self, key: str) -> None:
        """Remove a file, not into the trash; nothing when there is none."""
        await self._ask("DELETE", key, "DELETE", "&recursive=false")

    async def close(self) -> None:
        """Give back connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _connected(self) -> httpx.AsyncClient:
        async with self._connecting:
            if self._client is None:
                trusted = await asyncio.to_thread(httpx.create_ssl_context)
                self._client = httpx.AsyncClient(timeout=self.seconds, trust_env=False, verify=trusted)
            return self._client

    async def _ask(self, method: str, key: str, operation: str, rest: str = "") -> httpx.Response:
        """The NameNode's answer, of status 200; any other is raised."""
        client = await self._connected()
        with self._errors(operation, key, "NameNode"):
            async with asyncio.timeout(self.seconds):
                reply = await client.request(method, self.hdfs.url(operation, rest, key))
        if reply.status_code != 200:
            raise self._refusal(reply, operation, key)
        return reply

    @contextmanager
    def _errors(self, operation: str, key: str, node: str) -> Iterator[None]:
        """Failures of a connection, as lines for people. Addresses of DataNodes stay out: they may hold a token."""
        what = f"HDFS {operation} {self.hdfs.full_path(key)}"
        try:
            yield
        except (TimeoutError, httpx.TimeoutException) as error:
            line = (
                f"{what}: the {node} does not answer within {self.seconds:g} s; is it overloaded or hanging?"
            )
            raise NotDelivered(line) from error
        except httpx.ConnectError as error:
            line = f"{what}: the {node} is not reachable from here; does it run, and does its name resolve?"
            raise Passing(line) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            reason = str(error) or type(error).__name__
            raise Passing(f"{what}: the connection to the {node} broke off: {reason}") from error

    def _refusal(self, reply: httpx.Response, operation: str, key: str) -> NotDelivered:
        """What an answer means that is not the wanted one."""
        what = f"HDFS {operation} {self.hdfs.full_path(key)}"
        try:
            remote = msgspec.json.decode(reply.content, type=_RemoteException).remote
        except msgspec.MsgspecError:
            if reply.status_code == 401:
                return NotDelivered(f"{what}: refused with 401; only clusters without Kerberos are supported")
            kind = Passing if reply.status_code >= 500 else NotDelivered
            return kind(f"{what}: status {reply.status_code}; is webhdfs the address of a NameNode?")
        # Stack traces follow the message, and lines of a message are one line here.
        message = " ".join((remote.message or "").partition("\n\tat")[0].split())[:_LONGEST_MESSAGE]
        advice = f"; {_ADVICE[remote.exception]}" if remote.exception in _ADVICE else ""
        line = f"{what}: {remote.exception}: {message}{advice}"
        if remote.exception == "FileNotFoundException":
            return Missing(line)
        if remote.exception == "FileAlreadyExistsException":
            return Exists(line)
        return NotDelivered(line) if remote.exception in _LASTING else Passing(line)

    def _decoded(self, reply: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(reply.content, type=kind)
        except msgspec.MsgspecError as error:
            line = f"HDFS: what answers at {self.hdfs.entry.webhdfs} is no WebHDFS of Hadoop 3 or later"
            raise NotDelivered(line) from error


async def _pieces(body: Body) -> AsyncIterator[bytes]:
    """All of it from the front; from a thread where it comes from a disk."""
    pieces = body.pieces()
    if body.size <= SPOOL_MEMORY:
        for piece in pieces:
            yield piece
        return
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
