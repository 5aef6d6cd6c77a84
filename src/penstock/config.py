"""Settings: penstock.toml, then PENSTOCK_* variables, then the command line; one typed object.

Owns names, defaults and checks of settings. Knows nothing of what reads them.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from penstock.destinations import TABLES as DESTINATIONS
from penstock.destinations import DestinationError, Destinations
from penstock.destinations import read as read_destinations
from penstock.external import External, ExternalError
from penstock.external import read as read_external
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
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name may look like 127.anything and lead anywhere


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
    test_controls: bool = False
    """Whether the management listener can move the clock and make the disk fail."""
    access_log: Path | None = None
    """A line for each request; `-` is standard error."""
    access_log_fields: bool = False
    """Whether those lines name the fields of each request."""
    region: str = "local"
    """Region named in the service catalog."""
    events_allow_private: bool = False
    """Whether webhooks may be at loopback and private addresses."""
    time_zone: str = "UTC"
    """Zone of the directories that dump tasks name after times."""
    destinations: Destinations = Destinations()
    """Where dump tasks may deliver to."""
    external: External = External()
    """Who else issues tokens."""


def parse_address(text: str, name: str = "--listen") -> Address:
    """HOST:PORT, [V6]:PORT or :PORT (loopback)."""
    host, separator, port = text.rpartition(":")
    if not separator or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigError(
            f"{name} {text!r} is not HOST:PORT, such as 127.0.0.1:20004 (port 0 picks a free one)"
        )
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def parse_sync(text: str, name: str = "--sync") -> Sync:
    """always, os, or interval:Nms."""
    if text in ("always", "os"):
        return Sync(text)
    match = re.fullmatch(r"interval:([0-9]{1,6})ms", text)
    if match and int(match[1]) > 0:
        return Sync("interval", int(match[1]))
    raise ConfigError(f"{name} {text!r} is not always, interval:50ms (any number of milliseconds) or os")


KEYS: dict[str, str] = {
    "data": "--data",
    "listen": "--listen",
    "manage": "--manage",
    "limits": "--limits",
    "sync": "--sync",
    "workers": "--workers",
    "auth": "--auth",
    "tls_cert": "--tls-cert",
    "tls_key": "--tls-key",
    "log_level": "--log-level",
    "test_controls": "--test-controls",
    "access_log": "--access-log",
    "access_log_fields": "--access-log-fields",
    "region": "--region",
    "time_zone": "--time-zone",
}
"""Name in [server] of the file, and in capitals after PENSTOCK_ -> option of `penstock serve` (region, time_zone, access_log_fields
and test_controls have none)."""

EVENT_KEYS = ("allow_private",)
"""Names in [events] of the file, and in capitals after PENSTOCK_EVENTS_."""

LOG_LEVELS = ("debug", "info", "warning", "error")
WORKERS_MAX = 64


class _Given(NamedTuple):
    """A value and where it was said, for messages."""

    value: Any
    name: str


def load(
    overrides: Mapping[str, Any],
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from a TOML file (keys as in docs/configuration.md), then PENSTOCK_* variables, then `overrides`
    (command line; None means not given). Without `file`, PENSTOCK_CONFIG may name one. Raises ConfigError."""
    environ = os.environ if environ is None else environ
    given: dict[str, _Given] = {}
    limit_overrides: dict[str, object] = {}
    targets = Destinations()
    external = External()
    name = "--config"
    if file is None and (named := environ.get("PENSTOCK_CONFIG")):
        file, name = Path(named), "PENSTOCK_CONFIG"
    if file is not None:
        given, limit_overrides, targets, external = _read_file(file, name, environ)
    for key in (*KEYS, *(f"events_{name}" for name in EVENT_KEYS)):
        variable = f"PENSTOCK_{key.upper()}"
        if value := environ.get(variable):
            given[key] = _Given(value, variable)
    given |= {key: _Given(value, KEYS[key]) for key, value in overrides.items() if value is not None}
    return msgspec.structs.replace(_build(given, limit_overrides), destinations=targets, external=external)


def _read_file(
    file: Path, name: str, environ: Mapping[str, str]
) -> tuple[dict[str, _Given], dict[str, object], Destinations, External]:
    try:
        with file.open("rb") as handle:
            document = tomllib.load(handle)
    except OSError as error:
        raise ConfigError(f"{name} {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} {file}: {error}") from error
    for table, content in document.items():
        if table in DESTINATIONS:
            continue  # checked by whose they are
        if table not in ("server", "limits", "events", "iam"):
            raise ConfigError(
                f"{file}: [{table}] is not a table of the configuration; there are [server], [limits], [events] and [iam], "
                f"and {', '.join(f'[[{one}]]' for one in DESTINATIONS)}"
            )
        if not isinstance(content, dict):
            raise ConfigError(f"{file}: {table} is not a table; write [{table}]")
    server = document.get("server", {})
    for key in server:
        if key not in KEYS:
            raise ConfigError(f"{file}: [server] {key} is not a setting; there are {', '.join(sorted(KEYS))}")
    given = {key: _Given(value, f"{file}: [server] {key} =") for key, value in server.items()}
    for key, value in document.get("events", {}).items():
        if key not in EVENT_KEYS:
            raise ConfigError(f"{file}: [events] {key} is not a setting; there are {', '.join(EVENT_KEYS)}")
        given[f"events_{key}"] = _Given(value, f"{file}: [events] {key} =")
    try:
        targets = read_destinations(document, file.parent, environ)
        external = read_external(document, file, environ)
    except DestinationError as error:
        raise ConfigError(f"{file}: {error}") from error
    except ExternalError as error:
        raise ConfigError(str(error)) from error
    return given, dict(document.get("limits", {})), targets, external


def _build(given: Mapping[str, _Given], limit_overrides: dict[str, object]) -> Settings:
    profile_name = str(given["limits"].value) if "limits" in given else "documented"
    if profile_name not in PROFILES:
        raise ConfigError(f"{given['limits'].name} {profile_name!r} is not one of {', '.join(PROFILES)}")
    try:
        limits = profile(profile_name, limit_overrides)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    settings = Settings(
        data=_path(given, "data") or Path("data"),
        listen=_address(given, "listen") or Address("127.0.0.1", 20004),
        manage=_address(given, "manage"),
        limits_profile=profile_name,
        limits=limits,
        sync=parse_sync(str(given["sync"].value), given["sync"].name) if "sync" in given else Sync("always"),
        workers=_workers(given),
        auth=_switch(given, "auth", default=True),
        tls_cert=_path(given, "tls_cert"),
        tls_key=_path(given, "tls_key"),
        log_level=_level(given),
        test_controls=_switch(given, "test_controls", default=False),
        access_log=_path(given, "access_log"),
        access_log_fields=_switch(given, "access_log_fields", default=False),
        region=_region(given),
        time_zone=_zone(given),
        events_allow_private=_switch(given, "events_allow_private", default=False),
    )
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    if not settings.auth and not settings.listen.is_loopback:
        raise ConfigError(
            f"--auth off serves only loopback addresses, not {settings.listen.host}: use --listen 127.0.0.1:PORT"
        )
    if settings.test_controls and settings.workers > 1:
        raise ConfigError("--test-controls on goes with one worker: each of several has a clock of its own")
    if settings.test_controls and settings.manage is not None and not settings.manage.is_loopback:
        raise ConfigError(
            "--test-controls on needs a loopback --manage: anybody who reaches it may break the disk"
        )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError(
            "--tls-cert and --tls-key go together; `penstock cert` makes a pair for development"
        )
    for name, path in (("--tls-cert", settings.tls_cert), ("--tls-key", settings.tls_key)):
        if path is not None and not path.is_file():
            raise ConfigError(f"{name} {path}: there is no such file")
    if settings.data.exists() and not settings.data.is_dir():
        raise ConfigError(f"--data {settings.data} is not a directory")


def _said(given: Mapping[str, _Given], key: str, default: object) -> tuple[Any, str]:
    """The value and where it was said; the default, said nowhere."""
    return (given[key].value, given[key].name) if key in given else (default, "")


def _address(given: Mapping[str, _Given], key: str) -> Address | None:
    if key not in given:
        return None
    value, name = given[key]
    return value if isinstance(value, Address) else parse_address(str(value), name)


def _path(given: Mapping[str, _Given], key: str) -> Path | None:
    if key not in given:
        return None
    value, name = given[key]
    if not isinstance(value, str | Path) or str(value) == "":
        raise ConfigError(f"{name} {value!r} is not a path")
    return Path(value)


def _workers(given: Mapping[str, _Given]) -> int:
    value, name = _said(given, "workers", 1)
    text = "" if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= WORKERS_MAX):
        raise ConfigError(f"{name} {value!r} is not a whole number from 1 to {WORKERS_MAX}")
    return int(text)


def _level(given: Mapping[str, _Given]) -> str:
    value, name = _said(given, "log_level", "info")
    if (level := str(value).lower()) not in LOG_LEVELS:
        raise ConfigError(f"{name} {value!r} is not one of {', '.join(LOG_LEVELS)}")
    return level


def _region(given: Mapping[str, _Given]) -> str:
    value, name = _said(given, "region", "local")
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
        raise ConfigError(f"{name} {value!r} is not a region name: up to 64 letters, digits, `_`, `-` or `.`")
    return value


def _zone(given: Mapping[str, _Given]) -> str:
    value, name = _said(given, "time_zone", "UTC")
    try:
        return ZoneInfo(str(value)).key
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"{name} {value!r} is not a time zone such as UTC or Asia/Shanghai") from error


def _switch(given: Mapping[str, _Given], key: str, *, default: bool) -> bool:
    value, name = _said(given, key, default)
    if value in (True, "on", "true"):
        return True
    if value in (False, "off", "false"):
        return False
    raise ConfigError(f"{name} {value!r} is not on or off")


def encode_settings(settings: Settings) -> dict[str, Any]:
    """Settings as plain values, to hand to a process that answers requests: without the destinations, whose secrets are the
    core's."""
    settings = msgspec.structs.replace(settings, destinations=Destinations())
    values: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    return values


def decode_settings(values: dict[str, Any]) -> Settings:
    """What `encode_settings` made."""
    return msgspec.convert(values, Settings, dec_hook=lambda kind, value: kind(value))
