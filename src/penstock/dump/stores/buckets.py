"""Buckets as stores. Owns which kind of store a bucket is, and what may be a key in one; knows no plans and no formats."""

from __future__ import annotations

from penstock.dump.base import NotDelivered, Store
from penstock.dump.destinations.base import request_seconds
from penstock.dump.destinations.obs import Bucket

LONGEST_KEY = 1024
"""Bytes: S3's limit; a folder's file system has one for each step beside it."""
PROBE = ".penstock-probe"
"""What names of probes begin with (`dump.destinations.obs`): no files of anybody's."""


def open_bucket(bucket: Bucket) -> Store:
    """The store that a bucket is. Connects to nothing yet."""
    # Imported here: only who has a bucket of that kind needs its library.
    if bucket.folder is not None:
        from penstock.dump.stores.folder import FolderStore

        return FolderStore(bucket.folder, bucket.name, configured=bucket.entry is not None)
    from penstock.dump.stores.s3 import S3Store

    return S3Store(bucket, seconds=request_seconds(bucket.seconds))


def checked(key: str) -> str:
    """The key, when it is one: `a/b/c`, no step empty, `.` or `..`, so that it never leads out of the bucket. Raises NotDelivered."""
    if (
        len(key.encode("utf-8", "surrogateescape")) > LONGEST_KEY
        or any(step in ("", ".", "..") for step in key.split("/"))
        or "\0" in key
    ):
        raise NotDelivered(f"{key[:100]!r} cannot be the name of a file; check the task's prefix")
    return key


def in_the_way(name: str, key: str) -> NotDelivered:
    """Something else is where a file should be."""
    return NotDelivered(
        f"bucket {name}: {key} cannot be made: another object has the name of one of its folders, or the name is a folder's. "
        "Move that away, or give the task another prefix"
    )
