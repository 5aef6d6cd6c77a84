"""The commands of `penstock bucket`: names, options and help. Owns texts; the work is in `cli.buckets`, imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.options import HELP, AsJson

bucket_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=HELP)

_Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The server's data directory.  [default: $PENSTOCK_DATA, or ./data]",
        show_default=False,
    ),
]


@bucket_app.command("create")
def bucket_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the bucket.", show_default=False)],
    data: _Data = None,
) -> None:
    """Make a bucket.

    A bucket is a folder DIR/obs/NAME that dump tasks write to when the configuration names no object store. One that is there
    already stays as it is.

    \b
    Examples:
      penstock bucket create archive
      penstock bucket create archive --data /var/lib/penstock
    """
    from penstock.cli import buckets

    buckets.create(buckets.directory(data), name)


@bucket_app.command("list")
def bucket_list(
    data: _Data = None,
    as_json: AsJson = False,
) -> None:
    """List buckets.

    Those that are folders of the data directory, with the time of their last change (UTC).

    \b
    Examples:
      penstock bucket list
      penstock bucket list --json
    """
    from penstock.cli import buckets

    buckets.list_all(buckets.directory(data), as_json=as_json)
