"""Forms of names, ids and keys, and how new ones are made. No I/O; knows nothing of who has them."""

from __future__ import annotations

import re
import secrets
import string

from penstock.errors import invalid

PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
ACCESS_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
SECRET_KEY = re.compile(r"[!-~]{1,256}")
NAME_LENGTH = 64


def new_id() -> str:
    """32 hexadecimal digits, as the IAM API's ids are."""
    return secrets.token_hex(16)


def new_access_key() -> str:
    """20 characters of A-Z and 0-9."""
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(20))


def new_secret_key() -> str:
    """40 letters and digits."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40))


def check_name(field: str, name: str, length: int = NAME_LENGTH) -> str:
    """A name of an account, user, group, policy or project: 1 to `length` printable characters. Raises ApiError DIS.4200."""
    if not 1 <= len(name) <= length or not name.isprintable() or name != name.strip():
        raise invalid(field, f"a name is 1 to {length} printable characters")
    return name


def check_project_id(field: str, project_id: str) -> str:
    """1 to 64 letters, digits, `_` and `-`: it is a part of paths. Raises ApiError DIS.4200."""
    return check_text(PROJECT_ID, field, project_id)


def check_text(form: re.Pattern[str], field: str, text: str) -> str:
    """`text` if it has the form. Raises ApiError DIS.4200."""
    if not form.fullmatch(text):
        raise invalid(field, f"must match {form.pattern}")
    return text
