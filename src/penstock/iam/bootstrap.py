"""First start: one account, user, project and access key, and the file that tells them.

Owns credentials.csv and the PENSTOCK_BOOTSTRAP_* variables; knows no HTTP. The file is written before the catalog,
and a start that finds the catalog incomplete goes on with the file's values: no crash leaves a server whose
credentials nobody has. Once there are a user, a project and a key, nothing here changes anything, whatever the
variables say.
"""

from __future__ import annotations

import csv
import io
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from penstock.catalog.base import Catalog
from penstock.clock import Clock
from penstock.config import ConfigError
from penstock.credentials import COLUMNS, FILE
from penstock.errors import ApiError
from penstock.iam.identity import Identity
from penstock.iam.names import (
    ACCESS_KEY,
    PROJECT_ID,
    SECRET_KEY,
    check_name,
    check_text,
    new_access_key,
    new_secret_key,
)
from penstock.iam.passwords import PASSWORD_BYTES
from penstock.iam.sealing import Sealer, write_private
from penstock.limits import Limits


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The one row of credentials.csv. `password` is empty when it could not be told any more."""

    user: str
    access_key: str
    secret_key: str
    account: str
    password: str
    project: str
    project_id: str


_FORMS: dict[str, re.Pattern[str] | None] = {
    "user": None,
    "account": None,
    "project": None,
    "access_key": ACCESS_KEY,
    "secret_key": SECRET_KEY,
    "project_id": PROJECT_ID,
}
"""Fields with a form of their own; None: a name."""


async def bootstrap(
    catalog: Catalog,
    sealer: Sealer,
    clock: Clock,
    limits: Limits,
    *,
    directory: Path,
    region: str,
    environ: Mapping[str, str],
) -> Credentials | None:
    """Make what is missing for somebody to use the server; None when nothing was (any start but the first).
    Raises ConfigError for a variable or a credentials.csv that cannot be used."""
    users, projects = await catalog.users(), await catalog.projects()
    if users and projects and await catalog.access_keys():
        return None
    identity = await Identity.open(catalog, sealer, clock, limits, region=region)
    path = directory / FILE
    written = _read(path)
    if not users:
        wanted = _wanted(environ, {"project": region} | (written or {}))
    elif written is not None:
        # The user has the password hash of this file: nothing else may be told.
        wanted = msgspec.structs.replace(_wanted({}, written), password=written["password"])
    else:
        # The file is gone between two halves of a first start: the password cannot be told again.
        known = {"user": users[0].name, "account": identity.domain_of(users[0]).name, "project": region}
        if projects:
            known |= {"project": projects[0].name, "project_id": projects[0].project_id}
        wanted = msgspec.structs.replace(_wanted({}, known), password="")
    if written != msgspec.to_builtins(wanted):
        write_private(path, _render(wanted))
    await _store(identity, wanted)
    return wanted


async def _store(identity: Identity, wanted: Credentials) -> None:
    domain = identity.domain(name=wanted.account) or await identity.add_domain(wanted.account)
    user = identity.user(name=wanted.user, domain_id=domain.domain_id)
    if user is None:
        user = await identity.add_user(domain.domain_id, wanted.user, wanted.password)
    if not identity.owns(domain.domain_id, wanted.project_id):
        await identity.add_project(domain.domain_id, wanted.project, wanted.project_id)
    if identity.signing_key(wanted.access_key) is None:
        await identity.add_access_key(user.user_id, wanted.access_key, wanted.secret_key)


def _wanted(environ: Mapping[str, str], known: Mapping[str, str]) -> Credentials:
    """Variables, then what is known, then defaults and random values."""

    def value(field: str, otherwise: str) -> str:
        return environ.get(f"PENSTOCK_BOOTSTRAP_{field.upper()}") or known.get(field) or otherwise

    credentials = Credentials(
        user=value("user", "admin"),
        access_key=value("access_key", new_access_key()),
        secret_key=value("secret_key", new_secret_key()),
        account=value("account", "penstock"),
        password=value("password", secrets.token_urlsafe(18)),
        project=value("project", "local"),
        project_id=value("project_id", secrets.token_hex(16)),
    )
    for field, form in _FORMS.items():
        text = getattr(credentials, field)
        try:
            check_text(form, field, text) if form is not None else check_name(field, text)
        except ApiError as error:
            raise ConfigError(f"PENSTOCK_BOOTSTRAP_{field.upper()}: {error.message}") from error
    if not credentials.password.isprintable() or len(credentials.password.encode()) > PASSWORD_BYTES:
        raise ConfigError("PENSTOCK_BOOTSTRAP_PASSWORD must be printable characters, at most 1024 bytes")
    return credentials


def _render(credentials: Credentials) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS.values())
    writer.writerow([getattr(credentials, field) for field in COLUMNS])
    return text.getvalue().encode()


def _read(path: Path) -> dict[str, str] | None:
    """What an earlier first start wrote before it could finish; None when there is no file."""
    try:
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8"))))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if len(rows) != 2 or rows[0] != list(COLUMNS.values()) or len(rows[1]) != len(COLUMNS):
        raise ConfigError(f"{path} is not what a first start writes; move it away to get a new one")
    return dict(zip(COLUMNS, rows[1], strict=True))
