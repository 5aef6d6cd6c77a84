"""Manifests: what each round of a task put into its store, as one small JSON file. Owns their form, names and reading; knows no sink.

One is written when a round's files are there and before the round is committed, so what a manifest names exists, and what was
committed has a manifest. They are in a folder whose name begins with `_`: Spark and Hive take nothing in it for data.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from penstock.dump.base import Body
from penstock.model.dumps import joined
from penstock.model.streams import Stream
from penstock.model.tasks import Task

VERSION = 1
FOLDER = "_manifests"
_SUFFIX = ".json"


PartitionId = Annotated[str, msgspec.Meta(pattern=r"^shardId-[0-9]{10}$")]


class UnreadableManifest(ValueError):
    """Not a manifest of a version that is known; the message says what is wrong."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a round: all or, in directories of record time, some of the records `first` to `last`."""

    key: str
    partition_id: PartitionId
    first: int
    last: int
    records: int | None
    """None when an earlier attempt made the file of records that are gone since, and died before it could say."""
    bytes: int
    crc32c: str
    """Eight hexadecimal digits."""


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """Records of a range that could not be put into a file: they are in the file `key` of the task's bucket."""

    partition_id: PartitionId
    first: int
    last: int
    records: int
    key: str


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Records `first` to `last`, all of them: retention took them before they could be delivered."""

    partition_id: PartitionId
    first: int
    last: int
    records: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A round: the ranges of its files, rejects and missing records together are the ranges it took."""

    version: int = VERSION
    stream_name: str
    stream_id: str
    task_name: str
    task_id: str
    round: int
    created_ms: int
    files: tuple[File, ...]
    rejected: tuple[Rejected, ...] = ()
    missing: tuple[Missing, ...] = ()


def folder(stream_name: str, task_name: str, task_id: str) -> str:
    """Where a task's manifests are, at the root of its store."""
    return joined(FOLDER, f"{stream_name}-{task_name}-{task_id}")


def manifest_key(stream: Stream, task: Task, number: int) -> str:
    """The key of a round's manifest. They sort by round."""
    return joined(folder(stream.name, task.name, task.task_id), f"{number:012d}{_SUFFIX}")


def encode(manifest: Manifest) -> Body:
    """The file. The same manifest gives the same bytes."""
    body = Body()
    body.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    return body


def decode(data: bytes) -> Manifest:
    """A manifest that was read. Raises UnreadableManifest."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableManifest(f"not a manifest: {error}") from error
    if manifest.version != VERSION:
        raise UnreadableManifest(f"of version {manifest.version}, which this release does not know")
    return manifest
