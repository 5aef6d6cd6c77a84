"""`penstock stream ...`: what each command does and prints. Owns texts and tables; the client does the asking."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.cli import output, positions
from penstock.cli.client import Client
from penstock.cli.failure import CommandError

PARTITIONS_SHOWN = 100


def create(
    client: Client,
    name: str,
    *,
    partitions: int,
    kind: str,
    retention: int | None,
    data_type: str | None,
    tags: Sequence[str],
) -> None:
    """Creates it and says how to go on."""
    pairs = []
    for tag in tags:
        key, separator, value = tag.partition("=")
        if not key or not separator:
            raise CommandError(f"--tag {tag!r} is not KEY=VALUE", status=2)
        pairs.append({"key": key, "value": value})
    client.create_stream(
        name,
        partition_count=partitions,
        stream_type=kind.upper(),
        data_duration=retention,
        data_type=data_type.upper() if data_type else None,
        tags=pairs or None,
    )
    output.note(
        f"Created {name} with {output.count(partitions, 'partition')}. Write to it: echo hello | penstock put {name}"
    )


def list_all(client: Client, *, as_json: bool) -> None:
    """One line for each stream."""
    streams = list(client.streams())
    if as_json:
        for stream in streams:
            output.line(msgspec.json.encode(stream))
    elif not streams:
        output.note("No streams yet. Create one: penstock stream create NAME")
    else:
        rows = [
            (
                str(stream.get("stream_name")),
                str(stream.get("status")),
                str(stream.get("stream_type")),
                str(stream.get("partition_count")),
                f"{stream.get('retention_period')} h",
                output.time(stream.get("create_time")),
            )
            for stream in streams
        ]
        output.table(("STREAM", "STATUS", "TYPE", "PARTITIONS", "RETENTION", "CREATED"), rows, right={3, 4})
    output.flush()


def show(client: Client, name: str, *, as_json: bool) -> None:
    """Everything about one stream."""
    stream = client.describe(name)
    if as_json:
        output.line(msgspec.json.encode(stream))
        output.flush()
        return
    tags = ", ".join(f"{tag['key']}={tag['value']}" for tag in stream.get("tags") or [])
    facts = {
        "Stream": stream.get("stream_name"),
        "Id": stream.get("stream_id"),
        "Status": stream.get("status"),
        "Type": f"{stream.get('stream_type')}, {stream.get('data_type')}",
        "Retention": f"{stream.get('retention_period')} hours",
        "Created": output.time(stream.get("create_time")),
        "Partitions": f"{stream.get('writable_partition_count')} writable, {stream.get('readable_partition_count')} readable",
        "Scaling": _scaling(stream),
        "Tags": tags,
    }
    for label, fact in facts.items():
        if fact:
            output.line(f"{label:<12}{fact}")
    output.line("")
    partitions: list[Mapping[str, Any]] = stream.get("partitions") or []
    rows = []
    for partition in partitions[:PARTITIONS_SHOWN]:
        earliest, following = positions.sequence_range(partition)
        place = (f"{earliest}", f"{following}", f"{following - earliest}")
        rows.append((str(partition.get("partition_id")), str(partition.get("status")), *place))
    output.table(("PARTITION", "STATUS", "OLDEST", "NEXT", "RECORDS"), rows, right={2, 3, 4})
    if len(partitions) > PARTITIONS_SHOWN:
        output.line(f"... and {len(partitions) - PARTITIONS_SHOWN} more: penstock stream show {name} --json")
    output.flush()


def _scaling(stream: Mapping[str, Any]) -> str:
    """Between how many partitions automatic scaling moves; empty when it is off."""
    if not stream.get("auto_scale_enabled"):
        return ""
    fewest, most = stream.get("auto_scale_min_partition_count"), stream.get("auto_scale_max_partition_count")
    return f"automatic, {fewest} to {most} partitions"


def delete(client: Client, name: str, *, yes: bool) -> None:
    """Deletes it, having asked when there is somebody to ask."""
    if not yes:
        client.describe(name)
        if not sys.stdin.isatty():
            raise CommandError(f"Deleting {name} deletes all its records", "Say so: --yes", status=2)
        output.note(f"This deletes {name} and all its records, for good. Type the stream's name to go on:")
        if sys.stdin.readline().strip() != name:
            raise CommandError("Nothing was deleted.")
    client.delete_stream(name)
    output.note(f"Deleted {name}.")
