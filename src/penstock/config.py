"""Settings: penstock.toml, then PENSTOCK_* variables, then the command line; one typed object.

Owns names, defaults and checks of settings. Knows nothing of what reads them.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.limits import PROFILES, Limits, profile


class ConfigError(Exception):
    """A setting that cannot be used; the message names it and says what would do."""


class Sync(msgspec.Struct, frozen=True):
    """When an append is acknowledged: after fdatasync (`always`), before one that follows within `interval_ms`, or
    once the kernel has it (`os`)."""

    mode: str
    interval_ms: int = 0

    def __str__(self) -> str:
        return f"interval:{self.interval_ms}ms" if self.mode == "interval" else self.mode


class Address(msgspec.Struct, frozen=True):
    """HOST:PORT; port 0 picks a free one. IPv6 hosts without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `penstock serve` can be told."""

    data: Path
    listen: Address = Address("127.0.0.1", 20004)
    manage: Address | None = None
    """None: loopback, the port after `listen`'s, or any free one if that is taken."""
    limits_profile: str = "documented"
    limits: Limits = PROFILES["documented"]
    sync: Sync = Sync("always")
    workers: int = 1
    auth: bool = True
    tls_cert: Path | None = None
    tls_key: Path | None = None
    log_level: str = "info"
    region: str = "local"
    """Region named in the service catalog."""


def parse_address(text: str, name: str = "--listen") -> Address:
    """HOST:PORT, [V6]:PORT or :PORT (loopback)."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{name} {text!r} is not HOST:PORT, such as 127.0.0.1:20004 (port 0 picks a free one)")
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def parse_sync(text: str, name: str = "--sync") -> Sync:
    """always, os, or interval:Nms."""
    if text in ("always", "os"):
        return Sync(text)
    match = re.fullmatch(r"interval:([0-9]{1,6})ms", text)
    if match and int(match[1]) > 0:
        return Sync("interval", int(match[1]))
    raise ConfigError(f"{name} {text!r} is not always, interval:50ms (any number of milliseconds) or os")


_KEYS = {
    "data", "listen", "manage", "sync", "workers", "auth", "tls_cert", "tls_key", "log_level", "region", "limits",
}  # fmt: skip


def load(
    overrides: Mapping[str, Any],
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from a TOML file (keys as in docs/configuration.md), then PENSTOCK_* variables, then `overrides`
    (command line; None means not given). Raises ConfigError."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    limit_overrides: dict[str, object] = {}
    if file is not None:
        values, limit_overrides = _read_file(file)
    for key in _KEYS:
        if (variable := environ.get(f"PENSTOCK_{key.upper()}")) not in (None, ""):
            values[key] = variable
    values |= {key: value for key, value in overrides.items() if value is not None}
    return _build(values, limit_overrides)


def _read_file(file: Path) -> tuple[dict[str, Any], dict[str, object]]:
    try:
        with file.open("rb") as handle:
            document = tomllib.load(handle)
    except OSError as error:
        raise ConfigError(f"--config {file}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--config {file}: {error}") from error
    server = document.get("server", {})
    if not isinstance(server, dict):
        raise ConfigError(f"{file}: [server] is not a table")
    for key in server:
        if key not in _KEYS:
            raise ConfigError(f"{file}: [server] {key} is not a setting; there are {', '.join(sorted(_KEYS))}")
    limit_overrides = document.get("limits", {})
    if not isinstance(limit_overrides, dict):
        raise ConfigError(f"{file}: [limits] is not a table")
    return dict(server), dict(limit_overrides)


def _build(values: Mapping[str, Any], limit_overrides: dict[str, object]) -> Settings:
    profile_name = str(values.get("limits", "documented"))
    if profile_name not in PROFILES:
        raise ConfigError(f"--limits {profile_name!r} is not one of {', '.join(PROFILES)}")
    try:
        limits = profile(profile_name, limit_overrides)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    listen = values.get("listen", "127.0.0.1:20004")
    manage = values.get("manage")
    auth = _switch(values.get("auth", "on"))
    address = listen if isinstance(listen, Address) else parse_address(str(listen))
    if not auth and not address.is_loopback:
        raise ConfigError(f"--auth off serves only loopback addresses, not {address.host}: use --listen 127.0.0.1:PORT")
    cert, key = values.get("tls_cert"), values.get("tls_key")
    if (cert is None) != (key is None):
        raise ConfigError("--tls-cert and --tls-key go together; `penstock cert` makes a pair for development")
    for name, path in (("--tls-cert", cert), ("--tls-key", key)):
        if path is not None and not Path(path).is_file():
            raise ConfigError(f"{name} {path}: there is no such file")
    workers = str(values.get("workers", 1))
    if not workers.isdigit() or not 1 <= int(workers) <= 64:
        raise ConfigError(f"--workers {workers!r} is not a whole number from 1 to 64")
    return Settings(
        data=Path(values.get("data", "data")),
        listen=address,
        manage=None if manage is None else parse_address(str(manage), "--manage"),
        limits_profile=profile_name,
        limits=limits,
        sync=parse_sync(str(values.get("sync", "always"))),
        workers=int(workers),
        auth=auth,
        tls_cert=None if cert is None else Path(cert),
        tls_key=None if key is None else Path(key),
        log_level=str(values.get("log_level", "info")),
        region=str(values.get("region", "local")),
    )


def _switch(value: object) -> bool:
    if value in (True, "on", "true"):
        return True
    if value in (False, "off", "false"):
        return False
    raise ConfigError(f"--auth {value!r} is not on or off")
