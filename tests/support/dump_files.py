"""Files of dump tasks in tests: the descriptor of an OBS task, a format that refuses records, what a bucket holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from crc32c import crc32c

from penstock.dump.base import Body, Chunk, Encoded, Reject, Store
from penstock.model.tasks import ConsumerStrategy, FileType, ObsDescriptor


def obs_descriptor(**changes: Any) -> ObsDescriptor:
    """A task `archive` that writes lines into bucket `lake`, below `dumps`."""
    made = ObsDescriptor(
        task_name="archive",
        agency_name="dis_admin_agency",
        deliver_time_interval=30,
        consumer_strategy=ConsumerStrategy.LATEST,
        retry_duration=0,
        obs_bucket_path="lake",
        file_prefix="dumps",
        partition_format="",
        destination_file_type=FileType.TEXT,
        record_delimiter="\n",
        processing_schema=None,
    )
    return msgspec.structs.replace(made, **changes)


class Picky:
    """A format that takes no record with `bad` in it. With `parts`, so many files of every batch."""

    extension = ".picky"

    def __init__(self, parts: int = 1) -> None:
        self.parts = parts
        self.encoded = 0
        """How often it was asked."""

    def encode(self, chunks: Iterable[Chunk]) -> tuple[list[Encoded], list[Reject]]:
        self.encoded += 1
        good, bad = [], []
        for chunk in chunks:
            for offset, data in enumerate(chunk.data):
                if b"bad" in data:
                    bad.append(Reject(chunk.base + offset, data, "bad"))
                else:
                    good.append(data)
        names = [self.extension] if self.parts == 1 else [f".picky/{number}" for number in range(self.parts)]
        return [Encoded(name, body(b"".join(good)), len(good)) for name in names if good], bad


def body(data: bytes) -> Body:
    made = Body()
    made.write(data)
    return made


def crc(data: bytes) -> str:
    """As manifests have it."""
    return f"{crc32c(data):08x}"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, temporary ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def stored(store: Store) -> dict[str, bytes]:
    """Every file of a store."""
    return {
        found.key: b"".join([piece async for piece in await store.get(found.key)])
        async for found in store.list("")
    }
