"""`penstock app ...` and `penstock checkpoint ...`: every subcommand, its options and its help. Owns names and texts; the work is in
`cli.apps`, which each command imports when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.options import (
    DEFAULT_ENDPOINT,
    HELP,
    AsJson,
    CaCert,
    CredentialsFile,
    Endpoint,
    Insecure,
    StreamName,
    connect,
)

consumer_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=HELP)
checkpoint_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=HELP)

_AppName = Annotated[str, typer.Argument(metavar="APP", help="Name of the app.", show_default=False)]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@consumer_app.command("create")
def app_create(
    name: _AppName,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Create an app.

    An app is a name under which a program keeps its checkpoints: how far it has read each partition.

    \b
    Example:
      penstock app create billing
    """
    from penstock.cli import apps

    with connect(endpoint, credentials, cacert, insecure) as client:
        apps.create(client, name)


@consumer_app.command("list")
def app_list(
    stream: Annotated[
        str, typer.Option("--stream", metavar="STREAM", help="Only apps with checkpoints of this stream.")
    ] = "",
    as_json: AsJson = False,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """List the apps of the project.

    \b
    Examples:
      penstock app list
      penstock app list --stream clicks --json | jq -r .app_name
    """
    from penstock.cli import apps

    with connect(endpoint, credentials, cacert, insecure) as client:
        apps.list_all(client, stream=stream, as_json=as_json)


@consumer_app.command("show")
def app_show(
    name: _AppName,
    as_json: AsJson = False,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Show an app and how far it has read.

    For each stream it has checkpoints of: the partitions, what was committed, and how many records lie behind that (the lag).

    \b
    Examples:
      penstock app show billing
      penstock app show billing --json | jq .commit_checkpoint_stream_names
    """
    from penstock.cli import apps

    with connect(endpoint, credentials, cacert, insecure) as client:
        apps.show(client, name, as_json=as_json)


@consumer_app.command("delete")
def app_delete(
    name: _AppName,
    yes: _Yes = False,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Delete an app and its checkpoints, for good.

    \b
    Examples:
      penstock app delete billing
      penstock app delete billing --yes
    """
    from penstock.cli import apps

    with connect(endpoint, credentials, cacert, insecure) as client:
        apps.delete(client, name, yes=yes)


@checkpoint_app.command("show")
def checkpoint_show(
    app: _AppName,
    stream: StreamName,
    as_json: AsJson = False,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Show how far an app has read a stream.

    Every partition, with or without a checkpoint.

    \b
    Examples:
      penstock checkpoint show billing clicks
      penstock checkpoint show billing clicks --json | jq .lag
    """
    from penstock.cli import apps

    with connect(endpoint, credentials, cacert, insecure) as client:
        apps.show_checkpoints(client, app, stream, as_json=as_json)


@checkpoint_app.command("commit")
def checkpoint_commit(
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
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Set a checkpoint.

    Forward to skip records, back to read them again: what a program that starts at its checkpoints does next.

    \b
    Examples:
      penstock checkpoint commit billing clicks 0
      penstock checkpoint commit billing clicks 1500 --partition 3
    """
    from penstock.cli import apps

    with connect(endpoint, credentials, cacert, insecure) as client:
        apps.commit(client, app, stream, partition, sequence, metadata)


@checkpoint_app.command("delete")
def checkpoint_delete(
    app: _AppName,
    stream: StreamName,
    partition: Annotated[
        str, typer.Option("--partition", "-p", metavar="P", help="Only this partition.  [default: all]")
    ] = "",
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """Delete the checkpoints of an app on a stream.

    \b
    Examples:
      penstock checkpoint delete billing clicks
      penstock checkpoint delete billing clicks --partition 3
    """
    from penstock.cli import apps

    with connect(endpoint, credentials, cacert, insecure) as client:
        apps.delete_checkpoints(client, app, stream, partition)
