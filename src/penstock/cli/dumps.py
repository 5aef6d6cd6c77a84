"""`penstock dump ...`: what a task has delivered, checked in its store. Owns texts, and how task, stream and records come over the API;
the checks are `dump.verify`'s."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from penstock.cli import output, positions, serving
from penstock.cli.client import Client
from penstock.cli.failure import CommandError, ServerError
from penstock.cli.reading import READABLE, PartitionReader
from penstock.dump.base import Chunk, NotDelivered, Store
from penstock.dump.destinations.base import Place
from penstock.dump.destinations.mrs import Hdfs
from penstock.dump.destinations.obs import Bucket
from penstock.dump.formats import make_format
from penstock.dump.stores.buckets import open_bucket
from penstock.dump.verify import Means, Report, Standing, Subject
from penstock.dump.verify import verify as check
from penstock.errors import ApiError
from penstock.model.streams import DataType, Stream, StreamStatus, partition_name
from penstock.model.tasks import MrsDescriptor, ObsDescriptor, Task

UNCHECKED = 2
"""The exit code when nothing can be said."""
_LONGEST_PAUSE = 2.0
_GONE = ("DIS.4224", "DIS.4226", "DIS.4319")
"""What the server says of records that have passed their retention since it was asked which there are."""
_ABSENT = {"processing_schema": None, "file_prefix": "", "partition_format": "", "hdfs_prefix_folder": ""}
"""What a descriptor is that does not come with these."""
_ADVICE = "Name the server's own: --data DIR, and --config FILE if it has one"


def verify(
    client: Client,
    stream: str,
    task: str,
    *,
    config: Path | None,
    data: Path | None,
    quick: bool,
    as_json: bool,
) -> int:
    """Prints what differs; the exit code."""
    try:
        settings = serving.settings({"data": data}, config)
        place = Place(
            settings.destinations,
            settings.data,
            settings.limits.destination_seconds,
            client.credentials.account,
            ZoneInfo(settings.time_zone),
        )
        subject = _subject(client, stream, task)
        report = asyncio.run(_checked(client, place, subject, quick=quick, show=not as_json))
    except NotDelivered as error:
        raise CommandError(f"Not checked: {error}", status=UNCHECKED) from error
    except ApiError as error:
        raise CommandError(f"Not checked: {error}", _ADVICE, status=UNCHECKED) from error
    except CommandError as error:
        error.status = UNCHECKED
        raise
    if as_json:
        output.line(msgspec.json.encode(report))
    else:
        _show(report, quick=quick)
    output.flush()
    return 1 if report.differences else 0


def _subject(client: Client, stream: str, name: str) -> Subject:
    """The task and its stream. Asked before anything is read, so that what comes later is only ever more."""
    details = client.dump_task(stream, name)
    described = client.describe(stream)
    kind = str(details.get("destination_type"))
    found = {
        "OBS": ("obs_destination_description", ObsDescriptor),
        "MRS": ("mrs_destination_description", MrsDescriptor),
    }.get(kind)
    if found is None:
        raise CommandError(
            f"Task {name} delivers to {kind}: only files can be verified, of OBS and MRS tasks"
        )
    field, type_ = found
    earliest = {
        str(one["partition_id"]): positions.sequence_range(one)
        for one in described["partitions"]
        if one.get("status") in READABLE
    }
    try:
        descriptor: Any = msgspec.convert(_ABSENT | details[field] | {"type": kind}, type_, strict=False)
        standings = {
            _number(one["partition_id"]): Standing(
                last=one["last_transfer_offset"],
                discard=one["discard"],
                earliest=_oldest(earliest.get(one["partition_id"])),
            )
            for one in details["partitions"]
        }
        return Subject(
            _stream(described),
            Task(
                task_id=details["task_id"],
                stream_id=described["stream_id"],
                project_id=client.credentials.project_id,
                name=details["task_name"],
                created_ms=details["create_time"],
                descriptor=descriptor,
            ),
            standings,
        )
    except (KeyError, ValueError, msgspec.ValidationError) as error:
        raise CommandError(
            f"{client.endpoint} describes the task in a way that cannot be read: {error!r}"
        ) from error


def _stream(described: Mapping[str, Any]) -> Stream:
    """What formats need of a stream."""
    csv = described.get("csv_properties") or {}
    return Stream(
        stream_id=described["stream_id"],
        project_id="",
        name=described["stream_name"],
        status=StreamStatus.RUNNING,
        data_type=DataType(described["data_type"]),
        retention_hours=described["retention_period"],
        created_ms=described["create_time"],
        modified_ms=described["last_modified_time"],
        data_schema=described.get("data_schema"),
        csv_delimiter=csv.get("delimiter"),
        partitions=(),
    )


def _number(partition_id: str) -> int:
    return int(partition_id.rpartition("-")[2])


def _oldest(bounds: tuple[int, int] | None) -> int | None:
    """The oldest record of a partition; None when there is none."""
    return None if bounds is None or bounds[0] >= bounds[1] else bounds[0]


async def _checked(client: Client, place: Place, subject: Subject, *, quick: bool, show: bool) -> Report:
    descriptor = subject.task.descriptor
    assert isinstance(descriptor, ObsDescriptor | MrsDescriptor)
    backup = _bucket(place, descriptor)
    store = backup
    if isinstance(descriptor, MrsDescriptor):
        from penstock.dump.stores.hdfs import HdfsStore

        store = HdfsStore(Hdfs.resolve(place, descriptor))
    make = make_format(
        descriptor.destination_file_type, descriptor.record_delimiter, subject.stream, place.data
    )

    def read(partition: int, first: int, last: int) -> list[Chunk]:
        return _read(client, subject.stream.name, partition, first, last)

    with _Bar(show) as bar:
        try:
            means = Means(store, backup, make, place.zone, None if quick else read, bar)
            return await check(subject, means)
        finally:
            for opened in {store, backup}:
                await opened.close()


def _bucket(place: Place, descriptor: ObsDescriptor | MrsDescriptor) -> Store:
    bucket = Bucket.resolve(place, descriptor.bucket, descriptor.agency_name)
    if bucket.folder is not None and not bucket.folder.is_dir():
        raise CommandError(f"Not checked: there is no folder {bucket.folder}", _ADVICE)
    return open_bucket(bucket)


def _read(client: Client, stream: str, partition: int, first: int, last: int) -> list[Chunk]:
    """The log's records in that range, as far as it has them; at the pace that flow control allows."""
    reader = PartitionReader(client, stream, partition_name(partition), positions.at(first))
    chunks: list[Chunk] = []
    pause = 0.1
    while first <= last:
        try:
            records = reader.next()
        except ServerError as error:
            if error.code in _GONE:
                break
            if error.code != "DIS.4303" and error.http_status != 503:
                raise
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            continue
        pause = 0.1
        records = [record for record in records if first <= int(record.sequence_number) <= last]
        if not records:
            break
        chunks.append(
            Chunk(
                int(records[0].sequence_number),
                records[0].timestamp,
                None,
                [record.data for record in records],
            )
        )
        first = int(records[-1].sequence_number) + 1
    return chunks


class _Bar:
    """How far it is, on standard error of a terminal."""

    def __init__(self, show: bool) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("checking"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (show and console.is_terminal),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, total: int) -> None:
        self._task = self._progress.add_task("", total=total)

    def advance(self, done: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, done)


def _show(report: Report, *, quick: bool) -> None:
    """A line for each difference and note, and one that sums up."""
    for what, found in (("DIFFERENCE", report.differences), ("note", report.notes)):
        for one in found:
            output.line(f"{what}  {one.where}: {one.text}")
    checked = f"{output.count(report.rounds, 'round')}, {output.count(report.files, 'file')}, {report.bytes:,} bytes"
    if not quick:
        checked += f"; {output.count(report.compared, 'record')} compared with the log, which has {report.gone:,} others no more"
    verdict = output.count(len(report.differences), "difference") if report.differences else "no differences"
    output.line(f"{verdict}: {checked}")
