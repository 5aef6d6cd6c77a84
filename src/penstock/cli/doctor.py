"""`penstock doctor` and `penstock dump-segment`: what is in a data directory, read and never changed. Owns how it is shown;
the reading is `log.files.inspect`'s."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track
from rich.table import Table

from penstock.log.files.format import FrameHead, SegmentHeader
from penstock.log.files.inspect import (
    Damage,
    PartitionReport,
    check_ends,
    check_journals,
    check_log,
    frames,
    in_use,
    open_segment,
)
from penstock.log.payload import decode

if TYPE_CHECKING:
    from penstock.catalog.base import Catalog

_PREVIEW = 60


def doctor(data: Path, *, as_json: bool = False) -> int:
    """Check a data directory: exit code 0 when nothing is wrong, 1 when something is, 2 when it is none."""
    if not (data / "log").is_dir():
        print(f"{data} is not a data directory: it holds no log. Name the directory given to `penstock serve --data`.", file=sys.stderr)  # fmt: skip
        return 2
    busy = in_use(data)
    error = Console(stderr=True)
    reports = list(track(check_log(data), description="reading", console=error, transient=True))
    problems = check_ends(data) + ([] if busy else check_journals(data))
    problems += [f"{r.stream_id}/{r.number}: {text}" for r in reports for text in r.problems]
    names: dict[str, str] = {}
    if busy:
        error.print(
            "A server is using this directory: its catalog is left alone, its newest records may be missed."
        )
    elif (data / "catalog.db").exists():
        names, found = asyncio.run(_catalog(data / "catalog.db"))
        problems += found
    if as_json:
        document = {"partitions": [r._asdict() for r in reports], "in_use": busy, "problems": problems}
        print(json.dumps(document, indent=2))
        return 1 if problems else 0
    _show(reports, names, problems)
    return 1 if problems else 0


async def _catalog(path: Path) -> tuple[dict[str, str], list[str]]:
    from penstock.catalog.base import CatalogError
    from penstock.catalog.sqlite import open_catalog

    with TemporaryDirectory(prefix="penstock-doctor-") as folder:
        # Opening a catalog may migrate it: a copy is opened, which only this user can read.
        copy = Path(folder) / path.name
        try:
            for suffix in ("", "-wal"):
                if (source := path.with_name(path.name + suffix)).exists():
                    shutil.copyfile(source, copy.with_name(source.name))
            catalog = await open_catalog(copy)
        except (OSError, CatalogError) as error:
            return {}, [f"catalog: {str(error).replace(str(copy), str(path))}"]
        return await _checked(catalog)


async def _checked(catalog: Catalog) -> tuple[dict[str, str], list[str]]:
    try:
        names = {stream.stream_id: stream.name for stream in await catalog.streams_in()}
        return names, [f"catalog: {text}" for text in await catalog.check()]
    finally:
        await catalog.close()


def _show(reports: list[PartitionReport], names: dict[str, str], problems: list[str]) -> None:
    console = Console()
    table = Table("stream", "partition", "segments", "records", "sequence numbers", "bytes", "problems")
    for column in table.columns[2:6]:
        column.justify = "right"
    for report in reports:
        table.add_row(
            names.get(report.stream_id, report.stream_id),
            str(report.number),
            str(report.segments),
            f"{report.records:,}",
            f"[{report.earliest} : {report.next}]".replace("[", r"\["),
            f"{report.bytes:,}",
            str(len(report.problems)) if report.problems else "",
        )
    console.print(table)
    for text in problems:
        console.print(text, markup=False, style="red", soft_wrap=True)
    records = sum(report.records for report in reports)
    console.print(f"{len(reports)} partitions, {records:,} records, {len(problems) or 'no'} problems")
    if journaled := sum(report.journaled for report in reports):
        console.print(
            f"{journaled:,} records more are in a journal, from where the server writes them into these segments."
        )


def dump_segment(path: Path, *, records: bool = False) -> int:
    """Print the frames of a segment: exit code 0, 1 when bytes are damaged, 2 when it cannot be read at all."""
    console = Console()
    try:
        header = open_segment(path).header
        if header is None:
            raise ValueError("it does not begin with an intact segment header")
        _head(console, path, header)
        damaged = 0
        for found in frames(path):
            if isinstance(found, Damage):
                damaged += 1
                console.print(
                    f"{found.offset:>12}  {found.until - found.offset} bytes are no frame: {found.reason}",
                    style="red",
                    markup=False,
                )
            else:
                _frame(console, *found, records=records)
    except (OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    return 1 if damaged else 0


def _head(console: Console, path: Path, header: SegmentHeader) -> None:
    console.print(
        f"{path}: stream {header.stream_id}, partition {header.partition}, from sequence number {header.base}, "
        f"made {_time(header.created_ms)}",
        markup=False,
        soft_wrap=True,
    )
    console.print(
        f"{'offset':>12}  {'base':>12}  {'records':>8}  {'bytes':>10}  {'appended':<24}  crc", markup=False
    )


def _frame(console: Console, head: FrameHead, payload: bytes, *, records: bool) -> None:
    console.print(
        f"{head.offset:>12}  {head.base:>12}  {head.records:>8}  {head.length:>10}  {_time(head.append_ms):<24}  ok",
        markup=False,
        highlight=False,
    )
    if records:
        keys, data = decode(payload)
        for index, one in enumerate(data):
            key = keys[index] if keys else None
            more = "…" if len(one) > _PREVIEW else ""
            console.print(
                f"{'':14}{head.base + index:>12}  {key!r}  {len(one)} bytes  {one[:_PREVIEW]!r}{more}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
