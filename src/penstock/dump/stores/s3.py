"""A bucket of an S3-compatible store. Owns how files are put there once, also by stores that know no conditional puts, and what a
store's refusals mean. Signing, retries of a request and multipart uploads are obstore's.

A conditional put that timed out may still land, and then refuses the next one: who made the file is told by its size, not by the
answer. An upload in parts that is given up leaves parts that nobody sees; a lifecycle rule of the store removes them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from penstock.dump.base import Body, Found, NotDelivered
from penstock.dump.destinations.base import log
from penstock.dump.destinations.obs import Bucket
from penstock.dump.stores.buckets import PROBE, checked, in_the_way

SECONDS = 30.0
"""How long one request may take: a file of up to WHOLE_BYTES, or a part."""
RETRIES = 2
WHOLE_BYTES = 16 << 20
"""Larger files are uploaded in parts, which stores take no condition for."""
LOOK_BYTES = 256 << 10
"""Before a larger file is sent it is asked whether it is there: a repeated round sends nothing."""
PART_BYTES = 8 << 20
PARTS_AT_ONCE = 3
READ_BYTES = 8 << 20
_BROKEN = "HTTP error"
_NOT_CONDITIONAL = ("status code: 501", "<Code>NotImplemented", "not yet implemented", "not supported")

_REASONS: tuple[tuple[str, str], ...] = (
    ("<Code>NoSuchBucket", "does not exist; make it in the store that the configuration names"),
    ("<Code>InvalidAccessKey", "its store does not know the access key; check access_key in [[obs]]"),
    ("<Code>XAdminUserNotFound", "its store does not know the access key; check access_key in [[obs]]"),
    ("<Code>SignatureDoesNotMatch", "the secret key is wrong; check secret_key in [[obs]]"),
    ("<Code>AuthorizationHeaderMalformed", "its store has another region; check region in [[obs]]"),
    ("<Code>RequestTimeTooSkewed", "the clocks of this machine and of the store differ; set them"),
    ("<Code>QuotaExceeded", "its quota is used up; raise it, or remove files"),
    ("status code: 507", "its store is full; free some space"),
    ("status code: 403", "permission denied; give the access key the right to read, list and write there"),
    ("status code: 401", "permission denied; give the access key the right to read, list and write there"),
    ("status code: 503", "its store is overloaded (503); trying again"),
    ("kind: Timeout,", "its store has not answered within {seconds} seconds; is it overloaded or paused?"),
    ("kind: Connect,", "its store cannot be reached; is it running, is endpoint in [[obs]] right?"),
    (_BROKEN, "the connection to its store broke; trying again"),
)
"""What is found in an error -> what it means. The first that matches."""
_STATUS = re.compile(r"status code: ([0-9]{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")


class S3Store:
    """The objects of one bucket."""

    def __init__(self, bucket: Bucket, *, seconds: float = SECONDS) -> None:
        self._bucket = bucket
        self._name = bucket.name
        self._seconds = seconds
        self._opened: Any = None
        self._conditional = True
        """Whether the store takes a put that must not overwrite; one that says no is not asked again."""

    def __repr__(self) -> str:
        return f"<S3Store {self._name}>"

    async def put(self, key: str, body: Body, *, epoch: int, overwrite: bool = True) -> bool:
        """`dump.base.Store.put`. Nothing has a temporary name here: an object is there when all of it is."""
        checked(key)
        if not overwrite:
            if body.size > LOOK_BYTES and await self.size(key) is not None:
                return False
            if self._conditional and body.size <= WHOLE_BYTES:
                created = await self._create(key, body)
                if created is not None:
                    return created
            # Not one step, but only the holder of the task's lease writes this name.
            if body.size <= LOOK_BYTES and await self.size(key) is not None:
                return False
        if body.size <= WHOLE_BYTES:
            await self._ask("put_async", key, body.bytes(), use_multipart=False)
        else:
            await self._ask(
                "put_async",
                key,
                body.pieces(PART_BYTES),
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        return True

    async def _create(self, key: str, body: Body) -> bool | None:
        """Make an object unless there is one; None when the store cannot be asked to do that in one step."""
        try:
            await self._request("put_async", key, body.bytes(), mode="create", use_multipart=False)
        except Exception as error:
            text = str(error)
            if type(error).__name__ == "AlreadyExistsError":
                if await self.size(key) is None:
                    raise in_the_way(self._name, key) from error
                return False
            if any(mark in text for mark in _NOT_CONDITIONAL):
                log.info("store without conditional puts", bucket=self._name)
                self._conditional = False
                return None
            refusal = self._refusal(error, key)
            # Stores refuse before they have read all, and the connection breaks before they are heard.
            if _BROKEN in text and await self.size(key) is not None:
                return False
            raise refusal from error
        return True

    async def size(self, key: str) -> int | None:
        """`dump.base.Store.size`. Stores answer 404 for a bucket that is gone, too."""
        try:
            return int((await self._request("head_async", checked(key)))["size"])
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._refusal(error, key) from error

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """`dump.base.Store.get`. In ranges, so that none takes longer than a request may."""
        size = await self.size(key)
        if size is None:
            raise NotDelivered(f"bucket {self._name}: {key} is not there")

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, size, READ_BYTES):
                length = min(READ_BYTES, size - start)
                yield bytes(await self._ask("get_range_async", key, start=start, length=length))

        return pieces()

    async def list(self, prefix: str) -> AsyncIterator[Found]:
        """`dump.base.Store.list`."""
        # obstore's prefixes are whole steps: `a/b` has `a/b/c`, not `a/bc`.
        parent = prefix.rpartition("/")[0]
        store = await self._store()
        obstore: Any = _obstore()
        pages = obstore.list(store, checked(parent) if parent else None).__aiter__()
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    page = await anext(pages, None)
            except TimeoutError as error:
                raise NotDelivered(
                    f"bucket {self._name}: its store has not listed its objects within {self._seconds:g} seconds"
                ) from error
            except Exception as error:
                raise self._refusal(error, prefix) from error
            if page is None:
                return
            for found in page:
                key = found["path"]
                if key.startswith(prefix) and not key.rpartition("/")[2].startswith(PROBE):
                    yield Found(key, found["size"])

    async def delete(self, key: str) -> None:
        """`dump.base.Store.delete`."""
        try:
            await self._request("delete_async", checked(key))
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self._refusal(error, key) from error

    async def close(self) -> None:
        """`dump.base.Store.close`."""
        self._opened = None

    async def _store(self) -> Any:
        if self._opened is None:
            self._opened = await self._bucket.store(seconds=self._seconds, retries=RETRIES)
        return self._opened

    async def _request(self, operation: str, key: str, *given: Any, **options: Any) -> Any:
        store = await self._store()
        return await getattr(_obstore(), operation)(store, key, *given, **options)

    async def _ask(self, operation: str, key: str, *given: Any, **options: Any) -> Any:
        """A request whose every failure is NotDelivered."""
        try:
            return await self._request(operation, key, *given, **options)
        except Exception as error:
            raise self._refusal(error, key) from error

    def _refusal(self, error: Exception, key: str) -> NotDelivered:
        """What a store's refusal means for the person. The store's own words are in the log: they may hold addresses and key ids."""
        if isinstance(error, NotDelivered):
            return error
        text = str(error)
        log.info("bucket refused", bucket=self._name, key=key, reason=text[:1000])
        if type(error).__name__ == "AlreadyExistsError":
            return in_the_way(self._name, key)
        for mark, meaning in _REASONS:
            if mark in text:
                return NotDelivered(f"bucket {self._name}: {meaning.format(seconds=f'{self._seconds:g}')}")
        if isinstance(error, FileNotFoundError):
            return NotDelivered(
                f"bucket {self._name}: {key} is not there, or the store knows neither bucket nor access key"
            )
        status, code = _STATUS.search(text), _CODE.search(text)
        said = " ".join(match[1] for match in (status, code) if match)
        return NotDelivered(f"bucket {self._name}: its store refuses ({said or 'see the log'})")


def _obstore() -> Any:
    """Loaded by `Bucket.store` before anything can be asked."""
    import obstore

    return obstore
