"""`penstock app ...` and `penstock checkpoint ...`: every subcommand, its options and its help. Owns names and texts; the work is in
`cli.apps`, which each command imports when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.options import AsJson, StreamName, command, make_app

if TYPE_CHECKING:
    from penstock.cli.client import Client

consumer_app = make_app()
checkpoint_app = make_app()

_AppName = Annotated[str, typer.Argument(metavar="APP", help="Name of the app.", show_default=False)]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@command(consumer_app, "create")
def app_create(
    client: Client,
    name: _AppName,
) -> None:
    """Create an app.

    An app is a name under which a program keeps its checkpoints: how far it has read each partition.

    \b
    Example:
      penstock app create billing
    """
    from penstock.cli import apps

    apps.create(client, name)


@command(consumer_app, "list")
def app_list(
    client: Client,
    stream: Annotated[
        str, typer.Option("--stream", metavar="STREAM", help="Only apps with checkpoints of this stream.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the apps of the project.

    \b
    Examples:
      penstock app list
      penstock app list --stream clicks --json | jq -r .app_name
    """
    from penstock.cli import apps

    apps.list_all(client, stream=stream, as_json=as_json)


@command(consumer_app, "show")
def app_show(
    client: Client,
    name: _AppName,
    as_json: AsJson = False,
) -> None:
    """Show an app and how far it has read.

    For each stream it has checkpoints of: the partitions, what was committed, and how many records lie behind that (the lag).

    \b
    Examples:
      penstock app show billing
      penstock app show billing --json | jq .commit_checkpoint_stream_names
    """
    from penstock.cli import apps

    apps.show(client, name, as_json=as_json)


@command(consumer_app, "delete")
def app_delete(
    client: Client,
    name: _AppName,
    yes: _Yes = False,
) -> None:
    """Delete an app and its checkpoints, for good.

    \b
    Examples:
      penstock app delete billing
      penstock app delete billing --yes
    """
    from penstock.cli import apps

    apps.delete(client, name, yes=yes)


@command(checkpoint_app, "show")
def checkpoint_show(
    client: Client,
    app: _AppName,
    stream: StreamName,
    as_json: AsJson = False,
) -> None:
    """Show how far an app has read a stream.

    Every partition, with or without a checkpoint.

    \b
    Examples:
      penstock checkpoint show billing clicks
      penstock checkpoint show billing clicks --json | jq .lag
    """
    from penstock.cli import apps

    apps.show_checkpoints(client, app, stream, as_json=as_json)


@command(checkpoint_app, "commit")
def checkpoint_commit(
    client: Client,
    app: _AppName,
    stream: StreamName,
    sequence: Annotated[
        int, typer.Argument(metavar="SEQUENCE", help="Sequence number to commit.", show_default=False)
    ],
    partition: Annotated[
        str, typer.Option("--partition", "-p", metavar="P", help="Partition: 3, or shardId-0000000003.")
    ] = "0",
    metadata: Annotated[
        str, typer.Option("--metadata", metavar="TEXT", help="Kept beside it, up to 1,000 characters.")
    ] = "",
) -> None:
    """Set a checkpoint.

    Forward to skip records, back to read them again: what a program that starts at its checkpoints does next.

    \b
    Examples:
      penstock checkpoint commit billing clicks 0
      penstock checkpoint commit billing clicks 1500 --partition 3
    """
    from penstock.cli import apps

    apps.commit(client, app, stream, partition, sequence, metadata)


@command(checkpoint_app, "delete")
def checkpoint_delete(
    client: Client,
    app: _AppName,
    stream: StreamName,
    partition: Annotated[
        str, typer.Option("--partition", "-p", metavar="P", help="Only this partition.  [default: all]")
    ] = "",
) -> None:
    """Delete the checkpoints of an app on a stream.

    \b
    Examples:
      penstock checkpoint delete billing clicks
      penstock checkpoint delete billing clicks --partition 3
    """
    from penstock.cli import apps

    apps.delete_checkpoints(client, app, stream, partition)
