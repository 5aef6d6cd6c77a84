"""The commands of `penstock dump` that make, show and change tasks: names, options and help. Owns texts; the work is in
`cli.dump_tasks`, imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.dump_app import dump_app
from penstock.cli.options import AsJson, StreamName, command

__all__ = ["dump_app"]

if TYPE_CHECKING:
    from penstock.cli.client import Client

_TaskName = Annotated[str, typer.Argument(metavar="TASK", help="Name of the dump task.", show_default=False)]


@command(dump_app, "create")
def dump_create(
    client: Client,
    stream: StreamName,
    task: _TaskName,
    bucket: Annotated[
        str, typer.Option("--bucket", metavar="BUCKET", help="Write files into this bucket (OBS).")
    ] = "",
    prefix: Annotated[str, typer.Option("--prefix", metavar="DIR", help="Directory in the bucket.")] = "",
    file_type: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="text, csv, parquet or carbon.")
    ] = "text",
    partition_format: Annotated[
        str,
        typer.Option(
            "--directories",
            metavar="FORMAT",
            help="Directories by time: yyyy/MM/dd, down to yyyy/MM/dd/HH/mm.",
        ),
    ] = "",
    interval: Annotated[
        int | None,
        typer.Option("--interval", metavar="SECONDS", help="Seconds between files.  [default: 300]"),
    ] = None,
    oldest: Annotated[
        bool, typer.Option("--oldest", help="Begin with the oldest record, not with what comes from now on.")
    ] = False,
    descriptor: Annotated[
        Path | None,
        typer.Option(
            "--body",
            metavar="FILE",
            help="The whole request as JSON, for any destination; - is standard input.",
        ),
    ] = None,
) -> None:
    """Create a dump task.

    Into a bucket with --bucket, or into any destination with the body of the API's request in a file (docs/dump-tasks.md); TASK then
    takes the place of the name in it.

    \b
    Examples:
      penstock dump create clicks archive --bucket lake
      penstock dump create clicks archive --bucket lake --format parquet --directories yyyy/MM/dd --oldest
      penstock dump create clicks rows --body dws.json
    """
    from penstock.cli import dump_tasks

    if descriptor is not None:
        dump_tasks.create_from(client, stream, task, descriptor)
        return
    options = {
        "obs_bucket_path": bucket,
        "file_prefix": prefix,
        "destination_file_type": file_type,
        "partition_format": partition_format,
        "deliver_time_interval": interval,
        "consumer_strategy": "TRIM_HORIZON" if oldest else "LATEST",
    }
    dump_tasks.create(client, stream, task, options)


@command(dump_app, "list")
def dump_list(
    client: Client,
    stream: StreamName,
    as_json: AsJson = False,
) -> None:
    """List the dump tasks of a stream.

    \b
    Examples:
      penstock dump list clicks
      penstock dump list clicks --json | jq -r .task_name
    """
    from penstock.cli import dump_tasks

    dump_tasks.list_all(client, stream, as_json=as_json)


@command(dump_app, "show")
def dump_show(
    client: Client,
    stream: StreamName,
    task: _TaskName,
    as_json: AsJson = False,
) -> None:
    """Show how far a dump task is, and what it waits for.

    Each partition with the last record delivered, the records passed over, the lag, and why what is there has not been delivered yet.

    \b
    Examples:
      penstock dump show clicks archive
      penstock dump show clicks archive --json | jq .lag
    """
    from penstock.cli import dump_tasks

    dump_tasks.show(client, stream, task, as_json=as_json)


@command(dump_app, "stop")
def dump_stop(
    client: Client,
    stream: StreamName,
    task: _TaskName,
) -> None:
    """Stop a dump task. It keeps its place.

    \b
    Example:
      penstock dump stop clicks archive
    """
    from penstock.cli import dump_tasks

    dump_tasks.act(client, stream, task, "stop")


@command(dump_app, "start")
def dump_start(
    client: Client,
    stream: StreamName,
    task: _TaskName,
) -> None:
    """Start a dump task where it stopped.

    \b
    Example:
      penstock dump start clicks archive
    """
    from penstock.cli import dump_tasks

    dump_tasks.act(client, stream, task, "start")


@command(dump_app, "delete")
def dump_delete(
    client: Client,
    stream: StreamName,
    task: _TaskName,
) -> None:
    """Delete a dump task. What it has delivered stays.

    \b
    Example:
      penstock dump delete clicks archive
    """
    from penstock.cli import dump_tasks

    dump_tasks.delete(client, stream, task)
