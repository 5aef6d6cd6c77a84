"""Options that many commands have, the client they make, and how a command gets one. Owns their names and texts; loads nothing heavy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from penstock.cli.client import Client

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

Endpoint = Annotated[
    str,
    typer.Option("--endpoint", envvar="PENSTOCK_ENDPOINT", metavar="URL", help="Where the server is."),
]
CredentialsFile = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        metavar="FILE",
        help="The server's credentials.csv.  [default: $PENSTOCK_CREDENTIALS, or ./data/credentials.csv]",
    ),
]
CaCert = Annotated[
    Path | None,
    typer.Option("--cacert", envvar="PENSTOCK_CACERT", metavar="FILE", help="Authority to trust (https)."),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Trust any certificate (https).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
StreamName = Annotated[str, typer.Argument(metavar="STREAM", help="Name of the stream.", show_default=False)]
PartitionId = Annotated[
    str | None,
    typer.Option("--partition", "-p", metavar="P", help="Only this partition: 3, or shardId-0000000003."),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="WHERE",
        help="Where to start: trim (oldest record), latest (only what comes from now on), a sequence number, 10m / 2h / "
        "1d ago, or a time (2026-01-31T12:00:00Z).",
    ),
]

DEFAULT_ENDPOINT = "http://127.0.0.1:20004"


def connect(endpoint: str, credentials: Path | None, cacert: Path | None, insecure: bool) -> Client:
    """A client as the options say."""
    from penstock.cli import credentials as files
    from penstock.cli.client import Client

    return Client(endpoint, files.read(files.find(credentials)), cacert=cacert, insecure=insecure)


def make_app() -> typer.Typer:
    """A group of commands."""
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=HELP)


def _connection(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """The options of every command here."""


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make `function(client, ...)` a command: the options of a connection are added and take the client's place."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            options = {one: given.pop(one) for one in inspect.signature(_connection).parameters}
            with connect(**options) as client:
                function(client, **given)

        own = list(inspect.signature(function).parameters.values())[1:]
        added = list(inspect.signature(_connection).parameters.values())
        hints = get_type_hints(_connection, include_extras=True)
        hints |= {
            key: value
            for key, value in get_type_hints(
                function, localns={"Client": object}, include_extras=True
            ).items()
            if key != "client"
        }
        parameters = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[one.name])
            for one in (*own, *added)
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = hints
        run.__doc__ = function.__doc__
        app.command(name)(run)
        return function

    return decorate
