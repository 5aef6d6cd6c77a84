"""`penstock iam ...`: every subcommand, its options and its help. Owns names and texts; the work is in `cli.iam`, which each command
imports when it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from penstock.cli.options import (
    DEFAULT_ENDPOINT,
    HELP,
    AsJson,
    CaCert,
    CredentialsFile,
    Endpoint,
    Insecure,
    connect,
)

if TYPE_CHECKING:
    from penstock.cli.client import Client


def _typer() -> typer.Typer:
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=HELP)


iam_app = _typer()
account_app, user_app, group_app, policy_app = _typer(), _typer(), _typer(), _typer()
key_app, agency_app, project_app = _typer(), _typer(), _typer()
iam_app.add_typer(account_app, name="account", help="Create and list accounts: the operator's.")
iam_app.add_typer(user_app, name="user", help="Create, list, disable and delete users; set passwords.")
iam_app.add_typer(group_app, name="group", help="Create groups, and put users into them.")
iam_app.add_typer(policy_app, name="policy", help="Create, show, grant and revoke policies.")
iam_app.add_typer(key_app, name="key", help="Create, list, disable and delete access keys.")
iam_app.add_typer(agency_app, name="agency", help="Create, list, grant and delete agencies.")
iam_app.add_typer(project_app, name="project", help="Create and list projects.")


def _connection(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    credentials: CredentialsFile = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
) -> None:
    """The options of every command here."""


def _command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
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


def _argument(metavar: str, text: str) -> Any:
    return typer.Argument(metavar=metavar, help=text, show_default=False)


_Account = Annotated[str, _argument("ACCOUNT", "Name of the account.")]
_User = Annotated[str, _argument("USER", "Name or id of the user.")]
_Users = Annotated[list[str], _argument("USER...", "Names or ids of users.")]
_Group = Annotated[str, _argument("GROUP", "Name or id of the group.")]
_Policy = Annotated[str, _argument("POLICY", "Name or id of the policy.")]
_Key = Annotated[str, _argument("KEY", "Id of the access key.")]
_Agency = Annotated[str, _argument("AGENCY", "Name or id of the agency.")]
_Project = Annotated[str, _argument("PROJECT", "Name of the project.")]
_Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Write the credentials to this new file; without it, print them."
    ),
]
_PasswordFile = Annotated[
    str | None,
    typer.Option("--password-file", metavar="F", help="The password is its first line; - is standard input."),
]
_In = Annotated[
    str,
    typer.Option("--project", metavar="P", help="Where: a project.  [default: that of the credentials]"),
]
_AllProjects = Annotated[bool, typer.Option("--all-projects", help="Where: every project, and the account.")]
_InAccount = Annotated[bool, typer.Option("--account", help="Where: the account, for managing it (iam:*).")]


@_command(account_app, "create")
def account_create(
    client: Client,
    account: _Account,
    owner: Annotated[
        str, typer.Option("--owner", metavar="USER", help="The user who may do everything in it.")
    ] = "admin",
    password_file: _PasswordFile = None,
    project: Annotated[
        str, typer.Option("--project", metavar="P", help="Its project.  [default: the server's region]")
    ] = "",
    out: _Out = None,
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


@_command(account_app, "list")
def account_list(client: Client, as_json: AsJson = False) -> None:
    """List accounts: the operator only.

    \b
    Example:
      penstock iam account list
    """
    from penstock.cli import iam

    iam.list_accounts(client, as_json=as_json)


@_command(user_app, "create")
def user_create(
    client: Client,
    user: _User,
    password_file: _PasswordFile = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="G", help="Put into this group; may be repeated.")
    ] = None,
) -> None:
    """Create a user.

    Without --password-file only access keys let the user in: penstock iam key create.

    \b
    Examples:
      penstock iam user create anna --group readers --password-file anna.txt
      penstock iam user create ci --group writers
    """
    from penstock.cli import iam

    iam.create_user(client, user, password=iam.read_password(password_file), groups=group or [])


@_command(user_app, "list")
def user_list(client: Client, as_json: AsJson = False) -> None:
    """List the users of the account.

    \b
    Example:
      penstock iam user list
    """
    from penstock.cli import iam

    iam.list_users(client, as_json=as_json)


@_command(user_app, "disable")
def user_disable(client: Client, user: _User) -> None:
    """Disable a user: keys and tokens end at once.

    \b
    Example:
      penstock iam user disable anna
    """
    from penstock.cli import iam

    iam.change_user(client, user, "Disabled", enabled=False)


@_command(user_app, "enable")
def user_enable(client: Client, user: _User) -> None:
    """Enable a user again: keys work again, tokens have ended.

    \b
    Example:
      penstock iam user enable anna
    """
    from penstock.cli import iam

    iam.change_user(client, user, "Enabled", enabled=True)


@_command(user_app, "password")
def user_password(
    client: Client,
    user: _User,
    password_file: Annotated[
        str,
        typer.Option(
            "--password-file", metavar="F", help="The password is its first line; - is standard input."
        ),
    ] = "-",  # noqa: S107 standard input
) -> None:
    """Give a user another password: tokens made with the old one end.

    \b
    Examples:
      penstock iam user password anna < anna.txt
      penstock iam user password anna --password-file anna.txt
    """
    from penstock.cli import iam

    iam.change_user(client, user, "Changed the password of", password=iam.read_password(password_file))


@_command(user_app, "delete")
def user_delete(client: Client, user: _User) -> None:
    """Delete a user, with keys, memberships and grants.

    \b
    Example:
      penstock iam user delete anna
    """
    from penstock.cli import iam

    iam.delete_user(client, user)


@_command(group_app, "create")
def group_create(client: Client, group: _Group) -> None:
    """Create a group: what policies are granted to.

    \b
    Example:
      penstock iam group create readers
    """
    from penstock.cli import iam

    iam.create_group(client, group)


@_command(group_app, "list")
def group_list(client: Client, as_json: AsJson = False) -> None:
    """List groups and who is in them.

    \b
    Example:
      penstock iam group list
    """
    from penstock.cli import iam

    iam.list_groups(client, as_json=as_json)


@_command(group_app, "add")
def group_add(client: Client, group: _Group, user: _Users) -> None:
    """Put users into a group.

    \b
    Example:
      penstock iam group add readers anna bert
    """
    from penstock.cli import iam

    iam.change_members(client, group, user, add=True)


@_command(group_app, "remove")
def group_remove(client: Client, group: _Group, user: _Users) -> None:
    """Take users out of a group.

    \b
    Example:
      penstock iam group remove readers anna
    """
    from penstock.cli import iam

    iam.change_members(client, group, user, add=False)


@_command(group_app, "delete")
def group_delete(client: Client, group: _Group) -> None:
    """Delete a group, with its grants; its users stay.

    \b
    Example:
      penstock iam group delete readers
    """
    from penstock.cli import iam

    iam.delete_group(client, group)


@_command(policy_app, "create")
def policy_create(
    client: Client,
    policy: _Policy,
    file: Annotated[str, _argument("FILE", "The policy, JSON; - is standard input.")],
    account: Annotated[
        bool, typer.Option("--account", help="For the account (iam:*), not projects.")
    ] = False,
) -> None:
    """Create a custom policy.

    \b
    Example:
      penstock iam policy create tailing - <<< '{"Version": "1.1", "Statement": [
        {"Effect": "Allow", "Action": ["dis:streams:get", "dis:records:read*"]}]}'
    """
    from penstock.cli import iam

    iam.create_policy(client, policy, file, account=account)


@_command(policy_app, "list")
def policy_list(client: Client, as_json: AsJson = False) -> None:
    """List custom and system-defined policies.

    \b
    Example:
      penstock iam policy list
    """
    from penstock.cli import iam

    iam.list_policies(client, as_json=as_json)


@_command(policy_app, "show")
def policy_show(client: Client, policy: _Policy) -> None:
    """Print what a policy says, JSON.

    \b
    Example:
      penstock iam policy show "DIS User"
    """
    from penstock.cli import iam

    iam.show_policy(client, policy)


@_command(policy_app, "grant")
def policy_grant(
    client: Client,
    policy: _Policy,
    group: Annotated[str, typer.Option("--group", metavar="G", help="To whom.", show_default=False)],
    project: _In = "",
    all_projects: _AllProjects = False,
    account: _InAccount = False,
) -> None:
    """Grant a policy to a group, from the next request on.

    \b
    Examples:
      penstock iam policy grant "DIS ReadOnlyAccess" --group readers
      penstock iam policy grant "DIS User" --group writers --all-projects
      penstock iam policy grant "Security Administrator" --group clerks --account
    """
    from penstock.cli import iam

    iam.grant_group(client, policy, group, iam.Place(project, all_projects, account))


@_command(policy_app, "revoke")
def policy_revoke(
    client: Client,
    policy: _Policy,
    group: Annotated[str, typer.Option("--group", metavar="G", help="From whom.", show_default=False)],
    project: _In = "",
    all_projects: _AllProjects = False,
    account: _InAccount = False,
) -> None:
    """Take a policy from a group, from the next request on.

    \b
    Example:
      penstock iam policy revoke "DIS ReadOnlyAccess" --group readers
    """
    from penstock.cli import iam

    iam.grant_group(client, policy, group, iam.Place(project, all_projects, account), revoke=True)


@_command(policy_app, "delete")
def policy_delete(client: Client, policy: _Policy) -> None:
    """Delete a custom policy, with its grants.

    \b
    Example:
      penstock iam policy delete tailing
    """
    from penstock.cli import iam

    iam.delete_policy(client, policy)


@_command(key_app, "create")
def key_create(
    client: Client,
    user: _User,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What it is for.")] = "",
    out: _Out = None,
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


@_command(key_app, "list")
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


@_command(key_app, "disable")
def key_disable(client: Client, key: _Key) -> None:
    """Disable an access key: the next request signed with it is refused.

    \b
    Example:
      penstock iam key disable QWERTYUIOPASDFGHJKLZ
    """
    from penstock.cli import iam

    iam.change_key(client, key, "inactive")


@_command(key_app, "enable")
def key_enable(client: Client, key: _Key) -> None:
    """Enable an access key again.

    \b
    Example:
      penstock iam key enable QWERTYUIOPASDFGHJKLZ
    """
    from penstock.cli import iam

    iam.change_key(client, key, "active")


@_command(key_app, "delete")
def key_delete(client: Client, key: _Key) -> None:
    """Delete an access key.

    \b
    Example:
      penstock iam key delete QWERTYUIOPASDFGHJKLZ
    """
    from penstock.cli import iam

    iam.delete_key(client, key)


@_command(agency_app, "create")
def agency_create(
    client: Client,
    agency: _Agency,
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


@_command(agency_app, "list")
def agency_list(client: Client, as_json: AsJson = False) -> None:
    """List the agencies of the account.

    \b
    Example:
      penstock iam agency list
    """
    from penstock.cli import iam

    iam.list_agencies(client, as_json=as_json)


@_command(agency_app, "grant")
def agency_grant(
    client: Client,
    agency: _Agency,
    policy: _Policy,
    project: _In = "",
    all_projects: _AllProjects = False,
    account: _InAccount = False,
) -> None:
    """Grant a policy to an agency.

    \b
    Example:
      penstock iam agency grant auditors "DIS ReadOnlyAccess" --all-projects
    """
    from penstock.cli import iam

    iam.grant_agency(client, agency, policy, iam.Place(project, all_projects, account))


@_command(agency_app, "revoke")
def agency_revoke(
    client: Client,
    agency: _Agency,
    policy: _Policy,
    project: _In = "",
    all_projects: _AllProjects = False,
    account: _InAccount = False,
) -> None:
    """Take a policy from an agency.

    \b
    Example:
      penstock iam agency revoke auditors "DIS ReadOnlyAccess" --all-projects
    """
    from penstock.cli import iam

    iam.grant_agency(client, agency, policy, iam.Place(project, all_projects, account), revoke=True)


@_command(agency_app, "delete")
def agency_delete(client: Client, agency: _Agency) -> None:
    """Delete an agency: whoever took it over has it no more.

    \b
    Example:
      penstock iam agency delete auditors
    """
    from penstock.cli import iam

    iam.delete_agency(client, agency)


@_command(project_app, "create")
def project_create(client: Client, project: _Project) -> None:
    """Create a project; prints its id.

    \b
    Example:
      penstock iam project create eu
    """
    from penstock.cli import iam

    iam.create_project(client, project)


@_command(project_app, "list")
def project_list(client: Client, as_json: AsJson = False) -> None:
    """List the projects of the account.

    \b
    Example:
      penstock iam project list
    """
    from penstock.cli import iam

    iam.list_projects(client, as_json=as_json)


@_command(iam_app, "token")
def token(
    client: Client,
    agency: Annotated[
        str, typer.Option("--agency", metavar="A", help="In the name of this agency of another account.")
    ] = "",
    account: Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="Whose agency.")] = "",
    project: Annotated[str, typer.Option("--project", metavar="P", help="In which of its projects.")] = "",
) -> None:
    """Print a token: your own, or that of an agency you may take over.

    \b
    Examples:
      penstock iam token
      penstock iam token --agency auditors --account acme --project local
    """
    from penstock.cli import iam

    iam.print_token(client, agency=agency, account=account, project=project)
