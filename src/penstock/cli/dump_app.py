"""The commands of `penstock dump`: names, options and help. Owns texts; the work is in `cli.dumps`, imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.options import AsJson, StreamName, command, make_app

if TYPE_CHECKING:
    from penstock.cli.client import Client

dump_app = make_app()


@command(dump_app, "verify")
def dump_verify(
    client: Client,
    stream: StreamName,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of the dump task.", show_default=False)],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The server's configuration.  [default: $PENSTOCK_CONFIG]"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="The server's data directory.  [default: $PENSTOCK_DATA, or ./data]",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Check names, sizes and ranges only; read no file and no record.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check what a dump task has delivered.

    Compares the task's files (OBS and MRS) with its manifests, their ranges with how far the task says it is, and their records with
    the log as far as it still has them. Reads the bucket itself, so it needs the server's configuration and data directory.
    Changes nothing; may run while the task delivers.

    Exit code: 0 nothing differs, 1 something does, 2 it could not be checked.

    \b
    Examples:
      penstock dump verify clicks archive
      penstock dump verify clicks archive --config /etc/penstock.toml --data /var/lib/penstock
      penstock dump verify clicks archive --quick
      penstock dump verify clicks archive --json | jq .differences
    """
    from penstock.cli import dumps

    raise typer.Exit(
        dumps.verify(client, stream, task, config=config, data=data, quick=quick, as_json=as_json)
    )
