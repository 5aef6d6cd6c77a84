"""What the commands of `penstock iam` share: their arguments and options. Loads nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


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
