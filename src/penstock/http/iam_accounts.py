"""Accounts: made and listed by the operator, who is the owner of the account that the first start made. Owns their two operations,
which no reference has; what an account begins with is `iam.identity`'s."""

from __future__ import annotations

import secrets

import msgspec

from penstock.errors import ApiError
from penstock.http.call import Call, Reply, Route
from penstock.http.iam_form import Json, route, store_of
from penstock.iam.base import Principal
from penstock.iam.identity import check_password
from penstock.iam.names import check_name
from penstock.iam.policies import refusal


class NewOwner(msgspec.Struct):
    """The user who may do everything in the account. Without a password one is made up and told."""

    name: str
    password: str | None = None


class NewProject(msgspec.Struct):
    name: str


class NewAccount(msgspec.Struct):
    name: str
    owner: NewOwner
    project: NewProject | None = None


class CreateAccount(msgspec.Struct):
    """Body of POST accounts. Without a project there is one named as the server's region."""

    account: NewAccount


def operator(call: Call, action: str) -> Principal:
    """The caller, who must be the operator. No policy allows this: policies are the accounts' own. Raises DIS.4116."""
    principal = call.require_principal()
    domain = store_of(call).domains.get(principal.domain_id)
    if not principal.owner or principal.temporary or domain is None or not domain.operator:
        raise refusal(action)
    return principal


async def create_account(call: Call) -> Reply:
    """POST accounts: 201 with everything its owner needs; the secret, and a password that was made up, are told this once."""
    operator(call, "iam:accounts:createAccount")
    wanted, identity = call.decode(CreateAccount).account, call.context.identity
    check_name("account.name", wanted.name)
    check_name("account.owner.name", wanted.owner.name)
    made_up = "" if wanted.owner.password else secrets.token_urlsafe(18)
    if wanted.owner.password:
        check_password(
            "account.owner.password", wanted.owner.password, wanted.owner.name, call.context.limits
        )
    if identity.domain(name=wanted.name) is not None:
        raise ApiError("IAM.0005", "[account.name: taken]")
    project = wanted.project.name if wanted.project else identity.region
    account = await identity.add_account(
        wanted.name, wanted.owner.name, wanted.owner.password or made_up, project
    )
    owner: Json = {"id": account.owner.user_id, "name": account.owner.name}
    if made_up:
        owner["password"] = made_up
    shown = {
        "id": account.domain.domain_id,
        "name": account.domain.name,
        "owner": owner,
        "project": {"id": account.project.project_id, "name": account.project.name},
        "credential": {"access": account.access_key, "secret": account.secret_key},
    }
    return Reply(201, {"account": shown})


async def list_accounts(call: Call) -> Reply:
    """GET accounts, by name."""
    operator(call, "iam:accounts:listAccounts")
    store = store_of(call)
    shown = []
    for domain in sorted(store.domains.values(), key=lambda one: one.name):
        owner = store.users.get(domain.owner_id)
        shown.append(
            {
                "id": domain.domain_id,
                "name": domain.name,
                "owner": {"id": owner.user_id, "name": owner.name} if owner else None,
                "projects": len(store.projects_of(domain.domain_id)),
                "users": sum(user.domain_id == domain.domain_id for user in store.users.values()),
            }
        )
    return Reply(200, {"accounts": shown})


_ACCOUNTS = "/v3.0/OS-ACCOUNT/accounts"

ROUTES: list[Route] = [
    route(
        "POST",
        _ACCOUNTS,
        create_account,
        "Make an account",
        request=CreateAccount,
        status=201,
        errors=("DIS.4300", "IAM.0005", "DIS.4308"),
    ),
    route("GET", _ACCOUNTS, list_accounts, "List accounts"),
]
