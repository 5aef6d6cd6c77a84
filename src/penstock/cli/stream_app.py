"""`penstock stream ...`: every subcommand, its options and its help. Owns names and texts; the work is in `cli.streams` and
`cli.scaling`, which each command imports when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.options import AsJson, StreamName, command, make_app

if TYPE_CHECKING:
    from penstock.cli.client import Client

stream_app = make_app()


@command(stream_app, "create")
def stream_create(
    client: Client,
    name: StreamName,
    partitions: Annotated[
        int, typer.Option("--partitions", "-n", metavar="N", help="Number of partitions.")
    ] = 1,
    stream_type: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="COMMON|ADVANCED",
            help="A COMMON partition takes 1 MB/s, an ADVANCED one 5 MB/s.",
        ),
    ] = "COMMON",
    retention: Annotated[
        int | None, typer.Option("--retention", metavar="HOURS", help="24 to 168.  [default: 24]")
    ] = None,
    data_type: Annotated[
        str | None, typer.Option("--data-type", metavar="BLOB|JSON|CSV", help="[default: BLOB]")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag; may be given again.")
    ] = None,
) -> None:
    """Create a stream.

    \b
    Examples:
      penstock stream create clicks
      penstock stream create clicks --partitions 4 --type ADVANCED --retention 72 --tag team=web
    """
    from penstock.cli import streams

    streams.create(
        client,
        name,
        partitions=partitions,
        kind=stream_type,
        retention=retention,
        data_type=data_type,
        tags=tag or [],
    )


@command(stream_app, "list")
def stream_list(
    client: Client,
    as_json: AsJson = False,
) -> None:
    """List the streams of the project.

    \b
    Examples:
      penstock stream list
      penstock stream list --json | jq -r .stream_name
    """
    from penstock.cli import streams

    streams.list_all(client, as_json=as_json)


@command(stream_app, "show")
def stream_show(
    client: Client,
    name: StreamName,
    as_json: AsJson = False,
) -> None:
    """Show a stream and its partitions, with the sequence numbers that can be read.

    \b
    Examples:
      penstock stream show clicks
      penstock stream show clicks --json | jq .writable_partition_count
    """
    from penstock.cli import streams

    streams.show(client, name, as_json=as_json)


@command(stream_app, "delete")
def stream_delete(
    client: Client,
    name: StreamName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a stream and all its records, for good.

    \b
    Examples:
      penstock stream delete clicks
      penstock stream delete clicks --yes
    """
    from penstock.cli import streams

    streams.delete(client, name, yes=yes)


@command(stream_app, "scale")
def stream_scale(
    client: Client,
    name: StreamName,
    partitions: Annotated[
        int, typer.Argument(metavar="N", help="Number of partitions to have.", show_default=False)
    ],
) -> None:
    """Change the number of partitions.

    Fewer: those with the highest numbers take no more records, and can be read until their retention has passed. More: they come
    back, then new ones are made. Keys spread over the new number at once.

    \b
    Examples:
      penstock stream scale clicks 8
      penstock stream scale clicks 2
    """
    from penstock.cli import scaling

    scaling.scale(client, name, partitions)


@command(stream_app, "update")
def stream_update(
    client: Client,
    name: StreamName,
    retention: Annotated[int | None, typer.Option("--retention", metavar="HOURS", help="24 to 168.")] = None,
    data_type: Annotated[str | None, typer.Option("--data-type", metavar="BLOB|JSON|CSV")] = None,
    auto_scale: Annotated[
        bool | None,
        typer.Option(
            "--auto-scale/--no-auto-scale",
            help="Whether the number of partitions follows the traffic.",
            show_default=False,
        ),
    ] = None,
    fewest: Annotated[
        int | None, typer.Option("--min", metavar="N", help="Fewest partitions after a scale-down by itself.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", metavar="N", help="Most partitions after a scale-up by itself.")
    ] = None,
) -> None:
    """Change what a stream is like.

    What is left out stays as it is. A shorter retention drops what is over it at once.

    \b
    Examples:
      penstock stream update clicks --retention 72
      penstock stream update clicks --auto-scale --min 2 --max 10
    """
    from penstock.cli import scaling

    scaling.update(
        client,
        name,
        data_duration=retention,
        data_type=data_type.upper() if data_type else None,
        auto_scale_enabled=auto_scale,
        auto_scale_min_partition_count=fewest,
        auto_scale_max_partition_count=most,
    )


@command(stream_app, "scalings")
def stream_scalings(
    client: Client,
    name: StreamName,
    as_json: AsJson = False,
) -> None:
    """List the changes of the number of partitions, newest first.

    \b
    Examples:
      penstock stream scalings clicks
      penstock stream scalings clicks --json | jq .target_partition_count
    """
    from penstock.cli import scaling

    scaling.list_all(client, name, as_json=as_json)


@command(stream_app, "freeze")
def stream_freeze(
    client: Client,
    name: StreamName,
) -> None:
    """Take no more records, until it is thawed.

    A frozen stream can be read, described and deleted; puts and changes are refused with DIS.4205.

    \b
    Example:
      penstock stream freeze clicks
    """
    from penstock.cli import scaling

    scaling.act(client, name, "freeze")


@command(stream_app, "thaw")
def stream_thaw(
    client: Client,
    name: StreamName,
) -> None:
    """Let a frozen stream take records again.

    \b
    Example:
      penstock stream thaw clicks
    """
    from penstock.cli import scaling

    scaling.act(client, name, "thaw")
