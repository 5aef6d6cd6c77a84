"""An external Keystone in the configuration: `[iam]`. Owns its keys and checks; asks nobody.

Every text may be `env:NAME` or `file:PATH`, as destinations' may.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.destinations import DestinationError, read_value


class ExternalError(ValueError):
    """A setting that cannot be used; the message names it."""


class External(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Keystone that says whose the tokens are that this server did not issue; without `keystone`, nobody does. `user` and
    `password` are of a user who may validate tokens, in `project`."""

    keystone: str = ""
    user: str = ""
    password: str = ""
    user_domain: str = "Default"
    project: str = "service"
    project_domain: str = "Default"
    cache_seconds: float = 60.0
    """How long a token that held is believed: no longer after it was revoked there."""
    timeout_seconds: float = 5.0
    cacert: str = ""
    """Authority to trust, a PEM file; relative to the configuration file."""

    def __repr__(self) -> str:
        return f"<External {self.keystone}>"


def read(document: Mapping[str, Any], file: Path, environ: Mapping[str, str]) -> External:
    """`[iam]` of a configuration. Raises ExternalError naming the key."""
    given = document.get("iam", {})
    where = f"{file}: [iam]"
    try:
        values = {
            key: read_value(f"{where} {key}", value, file.parent, environ) for key, value in given.items()
        }
        external = msgspec.convert(values, External)
    except DestinationError as error:
        raise ExternalError(str(error)) from error
    except msgspec.ValidationError as error:
        raise ExternalError(f"{where}: {error}") from error
    if not external.keystone:
        if given:
            raise ExternalError(f'{where} needs keystone = "http://HOST:PORT/v3"')
        return external
    try:
        parts = urlsplit(external.keystone)
        _ = parts.port
    except ValueError as error:
        raise ExternalError(f"{where} keystone: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ExternalError(f"{where} keystone is not http://HOST:PORT/v3 or https://HOST:PORT/v3")
    if not external.user or not external.password:
        raise ExternalError(f"{where} needs user and password: of who may validate tokens there")
    if not 0 <= external.cache_seconds <= 3600 or not 0 < external.timeout_seconds <= 60:
        raise ExternalError(f"{where}: cache_seconds is 0 to 3600, timeout_seconds more than 0 up to 60")
    if external.cacert:
        path = file.parent / external.cacert
        if not path.is_file():
            raise ExternalError(f"{where} cacert: there is no file {path}")
        external = msgspec.structs.replace(external, cacert=str(path))
    return external
