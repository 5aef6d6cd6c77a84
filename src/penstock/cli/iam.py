"""`penstock iam ...`: what each command asks and prints. Owns texts, tables and which thing a name means; the client does the asking.

Whatever has a name may be given by it or by its id.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from penstock.cli import output
from penstock.cli.client import Client
from penstock.cli.failure import CommandError, ServerError
from penstock.cli.signing import encode
from penstock.credentials import COLUMNS

Json = dict[str, Any]

_ACCOUNTS = "/v3.0/OS-ACCOUNT/accounts"
_AGENCIES = "/v3.0/OS-AGENCY/agencies"
_KEYS = "/v3.0/OS-CREDENTIAL/credentials"
_POLICIES = "/v3.0/OS-ROLE/roles"


class Place(NamedTuple):
    """Where a policy is granted: in a project, in all of them, or in the account (which is for `iam:*`)."""

    project: str = ""
    all_projects: bool = False
    account: bool = False


# What names mean ------------------------------------------------------------------------------------------------------


def _listed(client: Client, path: str, kind: str) -> list[Json]:
    found: list[Json] = client.identity("GET", path).get(kind) or []
    return found


def _find(entries: list[Json], what: str, wanted: str, *names: str) -> Json:
    """The entry with that id, or else that name."""
    for field in ("id", *(names or ("name",))):
        for entry in entries:
            if entry.get(field) == wanted:
                return entry
    raise CommandError(f"There is no {what} {wanted}", f"See what there is: penstock iam {what} list")


def _user(client: Client, wanted: str) -> Json:
    return _find(_listed(client, "/v3/users", "users"), "user", wanted)


def _group(client: Client, wanted: str) -> Json:
    return _find(_listed(client, "/v3/groups", "groups"), "group", wanted)


def _project(client: Client, wanted: str) -> Json:
    return _find(_listed(client, "/v3/projects", "projects"), "project", wanted)


def _agency(client: Client, wanted: str) -> Json:
    return _find(_listed(client, _AGENCIES, "agencies"), "agency", wanted)


def _policies(client: Client) -> list[Json]:
    """The account's own first: they win over system-defined ones of the same name."""
    return [*_listed(client, _POLICIES, "roles"), *_listed(client, "/v3/roles", "roles")]


def _policy(client: Client, wanted: str) -> Json:
    return _find(_policies(client), "policy", wanted, "display_name", "name")


def _domain_id(client: Client) -> str:
    return str(_listed(client, "/v3/auth/domains", "domains")[0]["id"])


# Printing -------------------------------------------------------------------------------------------------------------


def _show(entries: list[Json], columns: dict[str, str], *, as_json: bool, none: str) -> None:
    """A table with a row for each; `columns` is header to field."""
    if as_json:
        for entry in entries:
            output.line(msgspec.json.encode(entry))
    elif not entries:
        output.note(none)
    else:
        rows = [tuple(_cell(entry.get(field)) for field in columns.values()) for entry in entries]
        output.table(tuple(columns), rows, right=set())
    output.flush()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return str(value.get("name", ""))
    text = "" if value is None else str(value)
    return (text if text.isprintable() else repr(text)) or "-"


def read_password(file: str | None) -> str:
    """The first line of a file, `-` for standard input; empty without one. Passwords are no arguments: others on the machine
    see those."""
    if file is None:
        return ""
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--password-file {file}: {error}", status=2) from error
    password = text.splitlines()[0] if text else ""
    if not password:
        raise CommandError(f"--password-file {file} is empty", status=2)
    return password


def _tell_credentials(values: Json, out: Path | None) -> None:
    """A credentials.csv, to a new file that only its owner reads, or printed: the only time the secret is told."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS.values())
    writer.writerow([values.get(field, "") for field in COLUMNS])
    if out is None:
        output.line(text.getvalue().rstrip("\n"))
        output.flush()
        return
    with os.fdopen(_create(out), "w", encoding="utf-8") as file:
        file.write(text.getvalue())
    output.note(f"Its credentials are in {out}; nobody can read the secret again.")


def _create(out: Path) -> int:
    try:
        return os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise CommandError(f"--out {out} is there already", "Name another file.", status=2) from None
    except OSError as error:
        raise CommandError(f"--out {out}: {error.strerror}", status=2) from error


def check_out(out: Path | None) -> None:
    """Before anything is made whose secret would then have nowhere to go."""
    if out is not None and (out.exists() or not out.parent.is_dir()):
        reason = "is there already" if out.exists() else "has no directory"
        raise CommandError(f"--out {out} {reason}", "Name another file.", status=2)


# Accounts -------------------------------------------------------------------------------------------------------------


def create_account(
    client: Client, name: str, *, owner: str, password: str, project: str, out: Path | None
) -> None:
    """With its owner, a project and a key of the owner."""
    check_out(out)
    wanted: Json = {"name": name, "owner": {"name": owner} | ({"password": password} if password else {})}
    if project:
        wanted["project"] = {"name": project}
    made: Json = client.identity("POST", _ACCOUNTS, body={"account": wanted})["account"]
    values = {
        "user": made["owner"]["name"],
        "access_key": made["credential"]["access"],
        "secret_key": made["credential"]["secret"],
        "account": made["name"],
        "password": password or made["owner"].get("password", ""),
        "project": made["project"]["name"],
        "project_id": made["project"]["id"],
    }
    output.note(f"Made account {name}, owned by {owner}.")
    _tell_credentials(values, out)


def list_accounts(client: Client, *, as_json: bool) -> None:
    columns = {"ACCOUNT": "name", "ID": "id", "OWNER": "owner", "USERS": "users", "PROJECTS": "projects"}
    _show(_listed(client, _ACCOUNTS, "accounts"), columns, as_json=as_json, none="No accounts.")


# Users ----------------------------------------------------------------------------------------------------------------


def create_user(client: Client, name: str, *, password: str, groups: list[str]) -> None:
    """A user, in these groups."""
    group_ids = [_group(client, group)["id"] for group in groups]
    wanted = {"name": name} | ({"password": password} if password else {})
    user: Json = client.identity("POST", "/v3/users", body={"user": wanted})["user"]
    for group_id in group_ids:
        client.identity("PUT", f"/v3/groups/{encode(group_id)}/users/{encode(user['id'])}")
    more = "" if groups else f" It may do nothing yet: penstock iam group add GROUP {name}"
    output.note(f"Made user {name} ({user['id']}).{more}")


def list_users(client: Client, *, as_json: bool) -> None:
    columns = {"USER": "name", "ID": "id", "ENABLED": "enabled", "DESCRIPTION": "description"}
    _show(_listed(client, "/v3/users", "users"), columns, as_json=as_json, none="No users.")


def change_user(client: Client, name: str, done: str, **changes: object) -> None:
    """PATCH, and say what was done."""
    user = _user(client, name)
    client.identity("PATCH", f"/v3/users/{encode(user['id'])}", body={"user": changes})
    output.note(f"{done} {name}.")


def delete_user(client: Client, name: str) -> None:
    client.identity("DELETE", f"/v3/users/{encode(_user(client, name)['id'])}")
    output.note(f"Deleted user {name}, with keys and grants.")


# Groups ---------------------------------------------------------------------------------------------------------------


def create_group(client: Client, name: str) -> None:
    client.identity("POST", "/v3/groups", body={"group": {"name": name}})
    output.note(f"Made group {name}. Grant it something: penstock iam policy grant POLICY --group {name}")


def list_groups(client: Client, *, as_json: bool) -> None:
    groups = _listed(client, "/v3/groups", "groups")
    for group in groups:
        users = _listed(client, f"/v3/groups/{encode(group['id'])}/users", "users")
        group["users"] = [user["name"] for user in users]
    if not as_json:
        groups = [group | {"users": ", ".join(group["users"])} for group in groups]
    columns = {"GROUP": "name", "ID": "id", "USERS": "users"}
    _show(groups, columns, as_json=as_json, none="No groups yet. Make one: penstock iam group create NAME")


def delete_group(client: Client, name: str) -> None:
    client.identity("DELETE", f"/v3/groups/{encode(_group(client, name)['id'])}")
    output.note(f"Deleted group {name}.")


def change_members(client: Client, group: str, users: list[str], *, add: bool) -> None:
    group_id = _group(client, group)["id"]
    for name in users:
        user_id = _user(client, name)["id"]
        path = f"/v3/groups/{encode(group_id)}/users/{encode(user_id)}"
        client.identity("PUT" if add else "DELETE", path)
    output.note(f"{', '.join(users)}: {'added to' if add else 'removed from'} {group}.")


# Policies -------------------------------------------------------------------------------------------------------------


def create_policy(client: Client, name: str, file: str, *, account: bool) -> None:
    """A custom policy from JSON."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        document = json.loads(text)
    except (OSError, ValueError) as error:
        raise CommandError(f"{file}: {error}", status=2) from error
    role = {"display_name": name, "type": "AX" if account else "XA", "policy": document}
    client.identity("POST", _POLICIES, body={"role": role})
    output.note(f"Made policy {name}. Grant it: penstock iam policy grant {name} --group GROUP")


def list_policies(client: Client, *, as_json: bool) -> None:
    policies = [one | {"whose": "custom" if one["domain_id"] else "system"} for one in _policies(client)]
    columns = {"POLICY": "display_name", "KIND": "whose", "DESCRIPTION": "description", "ID": "id"}
    _show(policies, columns, as_json=as_json, none="No policies.")


def show_policy(client: Client, name: str) -> None:
    output.line(json.dumps(_policy(client, name)["policy"], indent=2))
    output.flush()


def delete_policy(client: Client, name: str) -> None:
    policy = _find(_listed(client, _POLICIES, "roles"), "policy", name, "display_name")
    client.identity("DELETE", f"{_POLICIES}/{encode(policy['id'])}")
    output.note(f"Deleted policy {name}, with its grants.")


def _grant_path(client: Client, subject: str, subject_id: str, policy_id: str, place: Place) -> str:
    """Of a group or an agency; without a place, the project of the credentials."""
    whose, role = f"{subject}/{encode(subject_id)}", encode(policy_id)
    prefix = "/v3.0/OS-AGENCY" if subject == "agencies" else "/v3"
    if place.all_projects:
        prefix = "/v3.0/OS-INHERIT" if subject == "agencies" else "/v3/OS-INHERIT"
        return f"{prefix}/domains/{encode(_domain_id(client))}/{whose}/roles/{role}/inherited_to_projects"
    if place.account:
        return f"{prefix}/domains/{encode(_domain_id(client))}/{whose}/roles/{role}"
    project = _project(client, place.project)["id"] if place.project else client.credentials.project_id
    return f"{prefix}/projects/{encode(project)}/{whose}/roles/{role}"


def _where(client: Client, place: Place) -> str:
    if place.all_projects:
        return "all projects"
    if place.account:
        return "the account"
    return f"project {place.project or client.credentials.project or client.credentials.project_id}"


def check_place(place: Place) -> None:
    if bool(place.project) + place.all_projects + place.account > 1:
        raise CommandError("--project, --all-projects and --account exclude each other", status=2)


def grant_group(client: Client, policy: str, group: str, place: Place, *, revoke: bool = False) -> None:
    check_place(place)
    group_id, policy_id = _group(client, group)["id"], _policy(client, policy)["id"]
    path = _grant_path(client, "groups", group_id, policy_id, place)
    client.identity("DELETE" if revoke else "PUT", path)
    output.note(f"{group} has {policy} in {_where(client, place)}{' no more' if revoke else ''}.")


# Keys -----------------------------------------------------------------------------------------------------------------


def create_key(client: Client, user: str, *, description: str, out: Path | None) -> None:
    """A key, as a credentials file of the user for the project of the credentials."""
    check_out(out)
    found = _user(client, user)
    wanted = {"user_id": found["id"], "description": description}
    made: Json = client.identity("POST", _KEYS, body={"credential": wanted})["credential"]
    who = client.credentials
    values = {
        "user": found["name"],
        "access_key": made["access"],
        "secret_key": made["secret"],
        "account": who.account,
        "project": who.project,
        "project_id": who.project_id,
    }
    output.note(f"Made key {made['access']} of {found['name']}.")
    _tell_credentials(values, out)


def list_keys(client: Client, user: str, *, as_json: bool) -> None:
    path = f"{_KEYS}?user_id={encode(_user(client, user)['id'])}" if user else _KEYS
    keys = _listed(client, path, "credentials")
    if not as_json:
        try:
            names = {one["id"]: one["name"] for one in _listed(client, "/v3/users", "users")}
        except ServerError:
            names = {}  # a user who sees only his own keys sees no users
        keys = [key | {"user": names.get(key["user_id"], key["user_id"])} for key in keys]
    columns = {"KEY": "access", "USER": "user", "STATUS": "status", "CREATED": "create_time"}
    _show(keys, columns, as_json=as_json, none="No keys.")


def change_key(client: Client, key: str, status: str) -> None:
    client.identity("PUT", f"{_KEYS}/{encode(key)}", body={"credential": {"status": status}})
    output.note(f"{key} is {status}.")


def delete_key(client: Client, key: str) -> None:
    client.identity("DELETE", f"{_KEYS}/{encode(key)}")
    output.note(f"Deleted {key}.")


# Agencies -------------------------------------------------------------------------------------------------------------


def create_agency(client: Client, name: str, *, trust: str, duration: str, description: str) -> None:
    wanted = {
        "name": name,
        "domain_id": _domain_id(client),
        "trust_domain_name": trust,
        "duration": duration,
        "description": description,
    }
    client.identity("POST", _AGENCIES, body={"agency": wanted})
    output.note(
        f"Made agency {name} for {trust}. Grant it something: penstock iam agency grant {name} POLICY"
    )


def list_agencies(client: Client, *, as_json: bool) -> None:
    columns = {"AGENCY": "name", "TRUSTS": "trust_domain_name", "UNTIL": "expire_time", "ID": "id"}
    _show(_listed(client, _AGENCIES, "agencies"), columns, as_json=as_json, none="No agencies.")


def grant_agency(client: Client, agency: str, policy: str, place: Place, *, revoke: bool = False) -> None:
    check_place(place)
    agency_id, policy_id = _agency(client, agency)["id"], _policy(client, policy)["id"]
    path = _grant_path(client, "agencies", agency_id, policy_id, place)
    client.identity("DELETE" if revoke else "PUT", path)
    output.note(f"{agency} has {policy} in {_where(client, place)}{' no more' if revoke else ''}.")


def delete_agency(client: Client, name: str) -> None:
    client.identity("DELETE", f"{_AGENCIES}/{encode(_agency(client, name)['id'])}")
    output.note(f"Deleted agency {name}.")


# Projects and tokens --------------------------------------------------------------------------------------------------


def create_project(client: Client, name: str) -> None:
    made: Json = client.identity("POST", "/v3/projects", body={"project": {"name": name}})["project"]
    output.note(f"Made project {name}.")
    output.line(str(made["id"]))
    output.flush()


def list_projects(client: Client, *, as_json: bool) -> None:
    columns = {"PROJECT": "name", "ID": "id", "ENABLED": "enabled"}
    _show(_listed(client, "/v3/projects", "projects"), columns, as_json=as_json, none="No projects.")


def print_token(client: Client, *, agency: str, account: str, project: str) -> None:
    """The caller's own, or in the name of another account's agency."""
    if not agency:
        output.line(client.token())
    elif not account or not project:
        raise CommandError("--agency needs --account and --project: whose it is, and where", status=2)
    else:
        output.line(client.agency_token(agency, account, project))
    output.flush()
