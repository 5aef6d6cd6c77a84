"""`penstock iam`, and its `user`, `group` and `policy`: every subcommand, its options and its help. Owns names and texts; the work is
in `cli.iam`, which each command imports when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.iam_account_app import account_app, agency_app, key_app, project_app
from penstock.cli.iam_options import (
    GroupName,
    InAccount,
    InAllProjects,
    InProject,
    PasswordFile,
    PolicyName,
    UserName,
    UserNames,
    argument,
)
from penstock.cli.options import AsJson, command, make_app

if TYPE_CHECKING:
    from penstock.cli.client import Client

iam_app, user_app, group_app, policy_app = make_app(), make_app(), make_app(), make_app()
iam_app.add_typer(account_app, name="account", help="Create and list accounts: the operator's.")
iam_app.add_typer(user_app, name="user", help="Create, list, disable and delete users; set passwords.")
iam_app.add_typer(group_app, name="group", help="Create groups, and put users into them.")
iam_app.add_typer(policy_app, name="policy", help="Create, show, grant and revoke policies.")
iam_app.add_typer(key_app, name="key", help="Create, list, disable and delete access keys.")
iam_app.add_typer(agency_app, name="agency", help="Create, list, grant and delete agencies.")
iam_app.add_typer(project_app, name="project", help="Create and list projects.")


@command(user_app, "create")
def user_create(
    client: Client,
    user: UserName,
    password_file: PasswordFile = None,
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


@command(user_app, "list")
def user_list(client: Client, as_json: AsJson = False) -> None:
    """List the users of the account.

    \b
    Example:
      penstock iam user list
    """
    from penstock.cli import iam

    iam.list_users(client, as_json=as_json)


@command(user_app, "disable")
def user_disable(client: Client, user: UserName) -> None:
    """Disable a user: keys and tokens end at once.

    \b
    Example:
      penstock iam user disable anna
    """
    from penstock.cli import iam

    iam.change_user(client, user, "Disabled", enabled=False)


@command(user_app, "enable")
def user_enable(client: Client, user: UserName) -> None:
    """Enable a user again: keys work again, tokens have ended.

    \b
    Example:
      penstock iam user enable anna
    """
    from penstock.cli import iam

    iam.change_user(client, user, "Enabled", enabled=True)


@command(user_app, "password")
def user_password(
    client: Client,
    user: UserName,
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


@command(user_app, "delete")
def user_delete(client: Client, user: UserName) -> None:
    """Delete a user, with keys, memberships and grants.

    \b
    Example:
      penstock iam user delete anna
    """
    from penstock.cli import iam

    iam.delete_user(client, user)


@command(group_app, "create")
def group_create(client: Client, group: GroupName) -> None:
    """Create a group: what policies are granted to.

    \b
    Example:
      penstock iam group create readers
    """
    from penstock.cli import iam

    iam.create_group(client, group)


@command(group_app, "list")
def group_list(client: Client, as_json: AsJson = False) -> None:
    """List groups and who is in them.

    \b
    Example:
      penstock iam group list
    """
    from penstock.cli import iam

    iam.list_groups(client, as_json=as_json)


@command(group_app, "add")
def group_add(client: Client, group: GroupName, user: UserNames) -> None:
    """Put users into a group.

    \b
    Example:
      penstock iam group add readers anna bert
    """
    from penstock.cli import iam

    iam.change_members(client, group, user, add=True)


@command(group_app, "remove")
def group_remove(client: Client, group: GroupName, user: UserNames) -> None:
    """Take users out of a group.

    \b
    Example:
      penstock iam group remove readers anna
    """
    from penstock.cli import iam

    iam.change_members(client, group, user, add=False)


@command(group_app, "delete")
def group_delete(client: Client, group: GroupName) -> None:
    """Delete a group, with its grants; its users stay.

    \b
    Example:
      penstock iam group delete readers
    """
    from penstock.cli import iam

    iam.delete_group(client, group)


@command(policy_app, "create")
def policy_create(
    client: Client,
    policy: PolicyName,
    file: Annotated[str, argument("FILE", "The policy, JSON; - is standard input.")],
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


@command(policy_app, "list")
def policy_list(client: Client, as_json: AsJson = False) -> None:
    """List custom and system-defined policies.

    \b
    Example:
      penstock iam policy list
    """
    from penstock.cli import iam

    iam.list_policies(client, as_json=as_json)


@command(policy_app, "show")
def policy_show(client: Client, policy: PolicyName) -> None:
    """Print what a policy says, JSON.

    \b
    Example:
      penstock iam policy show "DIS User"
    """
    from penstock.cli import iam

    iam.show_policy(client, policy)


@command(policy_app, "grant")
def policy_grant(
    client: Client,
    policy: PolicyName,
    group: Annotated[str, typer.Option("--group", metavar="G", help="To whom.", show_default=False)],
    project: InProject = "",
    all_projects: InAllProjects = False,
    account: InAccount = False,
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


@command(policy_app, "revoke")
def policy_revoke(
    client: Client,
    policy: PolicyName,
    group: Annotated[str, typer.Option("--group", metavar="G", help="From whom.", show_default=False)],
    project: InProject = "",
    all_projects: InAllProjects = False,
    account: InAccount = False,
) -> None:
    """Take a policy from a group, from the next request on.

    \b
    Example:
      penstock iam policy revoke "DIS ReadOnlyAccess" --group readers
    """
    from penstock.cli import iam

    iam.grant_group(client, policy, group, iam.Place(project, all_projects, account), revoke=True)


@command(policy_app, "delete")
def policy_delete(client: Client, policy: PolicyName) -> None:
    """Delete a custom policy, with its grants.

    \b
    Example:
      penstock iam policy delete tailing
    """
    from penstock.cli import iam

    iam.delete_policy(client, policy)


@command(iam_app, "token")
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
