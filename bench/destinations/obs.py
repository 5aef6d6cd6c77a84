"""OBS: files in a folder and in versitygw (S3)."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any, ClassVar

from bench.destinations.base import (
    Destination,
    Own,
    Records,
    differs,
    pieces,
    timed,
)

BUCKET = "lake"


class Files(Destination):
    """OBS, in a folder unless a subclass knows better."""

    kind, field = "OBS", "obs_destination_descriptor"
    format: ClassVar[str] = "text"

    @property
    def folder(self) -> Path:
        """Where a bucket is in the file system."""
        return self.buckets / BUCKET

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def remove(self, place: str) -> None:
        shutil.rmtree(self.folder / place, ignore_errors=True)

    def descriptor(self, place: str) -> dict[str, Any]:
        return {"obs_bucket_path": BUCKET, "file_prefix": place, "destination_file_type": self.format} | (
            {"record_delimiter": "\n"} if self.format == "text" else {}
        )

    def check(self, place: str, records: Records) -> str:
        found = 0
        for path in (self.folder / place).rglob("*"):
            if not path.is_file() or path.name.startswith((".", "_")) or "_error" in str(path):
                continue
            if self.format == "parquet":
                import pyarrow.parquet as pq

                found += pq.read_metadata(path).num_rows
            else:
                with path.open("rb") as file:
                    found += sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
        return differs(found, records.count)

    def own(self, records: Records, place: str) -> Own:
        if self.format == "parquet":
            return _arrow(records, self.folder / f"{place}-own.parquet")
        prepared = list(pieces(records))
        path = self.folder / f"{place}-own"

        def write() -> None:
            for piece in prepared:
                _write(path, piece)

        seconds = timed(write)
        path.unlink()
        return Own(records.total, seconds, "write, fsync and rename of files of 64 MiB")


class FolderText(Files):
    name, title = "folder-text", "folder, text"


class FolderText1K(Files):
    name, title = "folder-text-1k", "folder, text, 1 KB"
    size = 1_000
    share = 0.25


class FolderParquet(Files):
    name, title = "folder-parquet", "folder, Parquet"
    format = "parquet"


class FolderParquet1K(Files):
    name, title = "folder-parquet-1k", "folder, Parquet, 1 KB"
    format = "parquet"
    size = 1_000
    share = 0.25


class S3Text(Files):
    """OBS, in versitygw."""

    name, title = "s3-text", "S3, text"

    def start(self) -> None:
        from tests.services.s3 import S3

        self.s3 = S3(self.directory / "s3")
        self.s3.start()
        self.s3.bucket(BUCKET)

    def stop(self) -> None:
        self.s3.stop()

    def pids(self) -> list[int]:
        return [process.pid for process in self.s3._processes.values()]

    @property
    def folder(self) -> Path:
        return self.s3.root / BUCKET

    def config(self) -> str:
        entry = self.s3.entry(BUCKET)
        lines = (
            f'{name} = "{getattr(entry, name)}"\n'
            for name in ("bucket", "endpoint", "region", "access_key", "secret_key")
        )
        return f"[[obs]]\n{''.join(lines)}\n{super().config()}"

    def own(self, records: Records, place: str) -> Own:
        import obstore
        from obstore.store import S3Store

        entry = self.s3.entry(BUCKET)
        store = S3Store(
            BUCKET,
            endpoint=entry.endpoint,
            region=entry.region,
            access_key_id=entry.access_key,
            secret_access_key=entry.secret_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
        prepared = list(pieces(records))
        seconds = timed(
            lambda: [obstore.put(store, f"{place}-own/{len(piece)}", piece) for piece in prepared]
        )
        self.remove(f"{place}-own")
        return Own(records.total, seconds, "obstore put of objects of 64 MiB")


class S3Parquet(S3Text):
    name, title = "s3-parquet", "S3, Parquet"
    format = "parquet"


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)


def _arrow(records: Records, path: Path) -> Own:
    """The text as Arrow reads it and writes it as Parquet, in pieces as a dump does."""
    import pyarrow.parquet as pq
    from pyarrow import json as arrow_json

    prepared = list(pieces(records))

    def convert() -> None:
        for piece in prepared:
            pq.write_table(arrow_json.read_json(io.BytesIO(piece)), path)
            with path.open("rb") as file:
                os.fsync(file.fileno())

    seconds = timed(convert)
    path.unlink()
    return Own(records.total, seconds, "Arrow's JSON reader and Parquet writer on the same lines, fsync")
