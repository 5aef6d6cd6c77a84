"""`penstock iam account`, `key`, `agency` and `project`: every subcommand, its options and its help. Owns names and texts; the work
is in `cli.iam`, which each command imports when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.iam_options import (
    AccountName,
    AgencyName,
    InAccount,
    InAllProjects,
    InProject,
    KeyId,
    Out,
    PasswordFile,
    PolicyName,
    ProjectName,
    UserName,
)
from penstock.cli.options import AsJson, command, make_app

if TYPE_CHECKING:
    from penstock.cli.client import Client

account_app, key_app, agency_app, project_app = make_app(), make_app(), make_app(), make_app()


@command(account_app, "create")
def account_create(
    client: Client,
    account: AccountName,
    owner: Annotated[
        str, typer.Option("--owner", metavar="USER", help="The user who may do everything in it.")
    ] = "admin",
    password_file: PasswordFile = None,
    project: Annotated[
        str, typer.Option("--project", metavar="P", help="Its project.  [default: the server's region]")
    ] = "",
    out: Out = None,
) -> None:
    """Create an account: an owner, a project, an access key.

    Only the operator may: the owner of the account that the server's first start made. Without --password-file a password is made
    up. What is printed, or written with --out, is a credentials file like the server's own: the only time the secret is told.

    \b
    Examples:
      penstock iam account create acme --out acme.csv
      penstock iam account create acme --owner eve --project eu --password-file -
    """
    from penstock.cli import iam

    password = iam.read_password(password_file)
    iam.create_account(client, account, owner=owner, password=password, project=project, out=out)


@command(account_app, "list")
def account_list(client: Client, as_json: AsJson = False) -> None:
    """List accounts: the operator only.

    \b
    Example:
      penstock iam account list
    """
    from penstock.cli import iam

    iam.list_accounts(client, as_json=as_json)


@command(key_app, "create")
def key_create(
    client: Client,
    user: UserName,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What it is for.")] = "",
    out: Out = None,
) -> None:
    """Create an access key of a user: at most two.

    What is printed, or written with --out, is a credentials file: the only time the secret is told.

    \b
    Examples:
      penstock iam key create ci --out ci.csv
      PENSTOCK_CREDENTIALS=ci.csv penstock stream list
    """
    from penstock.cli import iam

    iam.create_key(client, user, description=description, out=out)


@command(key_app, "list")
def key_list(
    client: Client,
    user: Annotated[str, typer.Argument(metavar="[USER]", help="Only of this user.")] = "",
    as_json: AsJson = False,
) -> None:
    """List access keys: everybody's you may see.

    \b
    Examples:
      penstock iam key list
      penstock iam key list ci
    """
    from penstock.cli import iam

    iam.list_keys(client, user, as_json=as_json)


@command(key_app, "disable")
def key_disable(client: Client, key: KeyId) -> None:
    """Disable an access key: the next request signed with it is refused.

    \b
    Example:
      penstock iam key disable QWERTYUIOPASDFGHJKLZ
    """
    from penstock.cli import iam

    iam.change_key(client, key, "inactive")


@command(key_app, "enable")
def key_enable(client: Client, key: KeyId) -> None:
    """Enable an access key again.

    \b
    Example:
      penstock iam key enable QWERTYUIOPASDFGHJKLZ
    """
    from penstock.cli import iam

    iam.change_key(client, key, "active")


@command(key_app, "delete")
def key_delete(client: Client, key: KeyId) -> None:
    """Delete an access key.

    \b
    Example:
      penstock iam key delete QWERTYUIOPASDFGHJKLZ
    """
    from penstock.cli import iam

    iam.delete_key(client, key)


@command(agency_app, "create")
def agency_create(
    client: Client,
    agency: AgencyName,
    trust: Annotated[
        str,
        typer.Option(
            "--trust", metavar="WHO", help="An account, or a service (op_svc_dis).", show_default=False
        ),
    ],
    duration: Annotated[
        str, typer.Option("--duration", metavar="D", help="FOREVER, ONEDAY or days.")
    ] = "FOREVER",
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What it is for.")] = "",
) -> None:
    """Create an agency: another account, or a service, may act in yours.

    \b
    Examples:
      penstock iam agency create auditors --trust partner --duration 30
      penstock iam agency grant auditors "DIS ReadOnlyAccess"
    """
    from penstock.cli import iam

    iam.create_agency(client, agency, trust=trust, duration=duration, description=description)


@command(agency_app, "list")
def agency_list(client: Client, as_json: AsJson = False) -> None:
    """List the agencies of the account.

    \b
    Example:
      penstock iam agency list
    """
    from penstock.cli import iam

    iam.list_agencies(client, as_json=as_json)


@command(agency_app, "grant")
def agency_grant(
    client: Client,
    agency: AgencyName,
    policy: PolicyName,
    project: InProject = "",
    all_projects: InAllProjects = False,
    account: InAccount = False,
) -> None:
    """Grant a policy to an agency.

    \b
    Example:
      penstock iam agency grant auditors "DIS ReadOnlyAccess" --all-projects
    """
    from penstock.cli import iam

    iam.grant_agency(client, agency, policy, iam.Place(project, all_projects, account))


@command(agency_app, "revoke")
def agency_revoke(
    client: Client,
    agency: AgencyName,
    policy: PolicyName,
    project: InProject = "",
    all_projects: InAllProjects = False,
    account: InAccount = False,
) -> None:
    """Take a policy from an agency.

    \b
    Example:
      penstock iam agency revoke auditors "DIS ReadOnlyAccess" --all-projects
    """
    from penstock.cli import iam

    iam.grant_agency(client, agency, policy, iam.Place(project, all_projects, account), revoke=True)


@command(agency_app, "delete")
def agency_delete(client: Client, agency: AgencyName) -> None:
    """Delete an agency: whoever took it over has it no more.

    \b
    Example:
      penstock iam agency delete auditors
    """
    from penstock.cli import iam

    iam.delete_agency(client, agency)


@command(project_app, "create")
def project_create(client: Client, project: ProjectName) -> None:
    """Create a project; prints its id.

    \b
    Example:
      penstock iam project create eu
    """
    from penstock.cli import iam

    iam.create_project(client, project)


@command(project_app, "list")
def project_list(client: Client, as_json: AsJson = False) -> None:
    """List the projects of the account.

    \b
    Example:
      penstock iam project list
    """
    from penstock.cli import iam

    iam.list_projects(client, as_json=as_json)
