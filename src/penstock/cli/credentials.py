"""Who the command line speaks as: the credentials file the server wrote. Owns its format as a reader; no HTTP."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from penstock.cli.failure import CommandError
from penstock.credentials import COLUMNS, FILE


class Credentials(NamedTuple):
    """One row of credentials.csv."""

    user: str
    access_key: str
    secret_key: str
    account: str
    password: str
    project: str
    project_id: str


_ADVICE = (
    "The server writes it at its first start, into its data directory: credentials.csv.\n"
    "Name it with --credentials FILE, or PENSTOCK_CREDENTIALS=FILE, or run this where ./data is."
)


def find(given: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """The file to use: the one given, else PENSTOCK_CREDENTIALS, else in PENSTOCK_DATA, else in ./data."""
    environ = os.environ if environ is None else environ
    if given is not None:
        return given
    if named := environ.get("PENSTOCK_CREDENTIALS"):
        return Path(named)
    return Path(environ.get("PENSTOCK_DATA") or "data") / FILE


def read(path: Path) -> Credentials:
    """The first row of the file. Raises CommandError when there is none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            row = next(csv.DictReader(file), None)
    except FileNotFoundError:
        raise CommandError(f"There is no credentials file {path}", _ADVICE) from None
    except PermissionError:
        raise CommandError(
            f"{path} may be read by its owner only",
            "Run this as the user that runs the server, or copy the file.",
        ) from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", _ADVICE) from None
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not a credentials file (not UTF-8 text)", _ADVICE) from None
    missing = [column for column in COLUMNS.values() if row is None or not row.get(column)]
    needed = {"Access Key Id", "Secret Access Key", "Project Id"}.intersection(missing)
    if row is None or needed:
        raise CommandError(f"{path} is not a credentials file: it has no {', '.join(missing)}", _ADVICE)
    return Credentials(**{field: row.get(column) or "" for field, column in COLUMNS.items()})
