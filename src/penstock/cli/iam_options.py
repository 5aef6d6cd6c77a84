"""What the commands of `penstock iam` share: their arguments and options, and the client that each gets. Loads nothing heavy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from penstock.cli.options import (
    DEFAULT_ENDPOINT,
    HELP,
    CaCert,
    CredentialsFile,
    Endpoint,
    Insecure,
    connect,
)


def make_app() -> typer.Typer:
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


def argument(metavar: str, text: str) -> Any:
    return typer.Argument(metavar=metavar, help=text, show_default=False)


AccountName = Annotated[str, argument("ACCOUNT", "Name of the account.")]
UserName = Annotated[str, argument("USER", "Name or id of the user.")]
UserNames = Annotated[list[str], argument("USER...", "Names or ids of users.")]
GroupName = Annotated[str, argument("GROUP", "Name or id of the group.")]
PolicyName = Annotated[str, argument("POLICY", "Name or id of the policy.")]
KeyId = Annotated[str, argument("KEY", "Id of the access key.")]
AgencyName = Annotated[str, argument("AGENCY", "Name or id of the agency.")]
ProjectName = Annotated[str, argument("PROJECT", "Name of the project.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Write the credentials to this new file; without it, print them."
    ),
]
PasswordFile = Annotated[
    str | None,
    typer.Option("--password-file", metavar="F", help="The password is its first line; - is standard input."),
]
InProject = Annotated[
    str,
    typer.Option("--project", metavar="P", help="Where: a project.  [default: that of the credentials]"),
]
InAllProjects = Annotated[bool, typer.Option("--all-projects", help="Where: every project, and the account.")]
InAccount = Annotated[bool, typer.Option("--account", help="Where: the account, for managing it (iam:*).")]
