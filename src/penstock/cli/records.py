"""`penstock put`, `get` and `tail`: where records come from and how they are printed. Owns texts and progress."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from penstock.cli import lines, output, positions
from penstock.cli.client import Client, Record
from penstock.cli.failure import CommandError
from penstock.cli.putting import Tally, Writer
from penstock.cli.reading import StreamReader


def put(
    client: Client, stream: str, data: list[str], *, key: str | None, file: str | None, partition: str | None
) -> None:
    """Writes the arguments, or lines; says on standard error what is acknowledged."""
    if data and file is not None:
        raise CommandError("DATA and --file do not go together", status=2)
    writer = Writer(client, stream, key=key, partition=partition)
    if data:
        for place in writer.write([text.encode(errors="surrogateescape") for text in data]):
            output.line(f"{place.partition_id} {place.sequence_number}")
        output.flush()
        return
    if file in (None, "-"):
        if sys.stdin.isatty():
            output.note("Reading lines from the terminal; each becomes a record. Ctrl-D ends.")
        _put_lines(writer, sys.stdin.fileno(), total=None)
        return
    path = Path(str(file))
    try:
        with path.open("rb") as handle:
            _put_lines(writer, handle.fileno(), total=path.stat().st_size if path.is_file() else None)
    except OSError as error:
        raise CommandError(f"--file {path}: {error.strerror}", status=2) from error


def _put_lines(writer: Writer, descriptor: int, *, total: int | None) -> None:
    began = time.monotonic()
    try:
        with _progress(writer.tally, total) as advance:
            for batch in lines.batches(descriptor):
                writer.write(batch)
                advance()
    except ValueError as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt:
        output.note(_summary(writer.tally, time.monotonic() - began))
        raise
    output.note(_summary(writer.tally, time.monotonic() - began))


def _summary(tally: Tally, seconds: float) -> str:
    rate = f", {tally.records / seconds:,.0f} records/s" if seconds > 1 else ""
    again = f", {tally.retried:,} sent again" if tally.retried else ""
    noun = "record" if tally.records == 1 else "records"
    return f"Acknowledged {tally.records:,} {noun}, {tally.bytes:,} bytes in {seconds:.1f} s{rate}{again}."


@contextmanager
def _progress(tally: Tally, total: int | None) -> Iterator[Callable[[], None]]:
    """A bar on a terminal when a file is read; nothing otherwise."""
    if total is None or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[records]:,} records"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("put", total=total, records=0)
        # The newlines are read but not stored: one byte a record.
        yield lambda: progress.update(task, completed=tally.bytes + tally.records, records=tally.records)


def get(
    client: Client, stream: str, *, partition: str | None, start: str, limit: int | None, as_json: bool
) -> None:
    """Prints what there is now."""
    if limit is not None and limit < 1:
        raise CommandError(f"--limit {limit} is not 1 or more", status=2)
    place = positions.parse(start, _now_ms())
    reader = StreamReader(client, stream, lambda described: place, partition=partition)
    _print(reader.to_the_end(), as_json=as_json, limit=limit)


def tail(
    client: Client,
    stream: str,
    *,
    partition: str | None,
    start: str | None,
    last: int,
    follow: bool,
    as_json: bool,
) -> None:
    """Prints the newest records, and with `follow` what comes."""
    if last < 0:
        raise CommandError(f"--last {last} is not 0 or more", status=2)
    place = None if start is None else positions.parse(start, _now_ms())

    def begin(described: Mapping[str, object]) -> Mapping[str, str]:
        if place is not None:
            return place
        earliest, following = positions.sequence_range(described)
        return positions.at(max(earliest, following - last))

    reader = StreamReader(
        client, stream, begin, partition=partition, warn=lambda text: output.note(f"penstock: {text}")
    )
    _print(reader.follow() if follow else reader.to_the_end(), as_json=as_json)


def _print(batches: Iterable[list[Record]], *, as_json: bool, limit: int | None = None) -> None:
    """Prints records as they come, each batch flushed; at most `limit`."""
    left = limit
    try:
        for batch in batches:
            for record in batch if left is None else batch[:left]:
                output.line(as_object(record) if as_json else record.data)
            output.flush()
            if left is not None:
                left -= len(batch)
                if left <= 0:
                    return
    except KeyboardInterrupt:
        # How somebody ends a tail: not a failure, and no half line is left behind.
        output.flush()
        raise SystemExit(130) from None


def as_object(record: Record) -> bytes:
    """One record as JSON: `data` when it is UTF-8 text, else `data_base64`."""
    fields: dict[str, object] = {
        "partition_id": record.partition_id,
        "sequence_number": record.sequence_number,
        "partition_key": record.partition_key,
        "timestamp": record.timestamp,
    }
    try:
        fields["data"] = record.data.decode()
    except UnicodeDecodeError:
        fields["data_base64"] = base64.b64encode(record.data).decode()
    return msgspec.json.encode(fields)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
