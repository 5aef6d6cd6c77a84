"""Destinations of dump tasks in the configuration: `[[obs]] [[dws]] [[mrs]] [[dli]] [[cloudtable]] [[kms]]`. Owns their
keys, checks and which entry answers for a name; opens nothing and knows no tasks.

Every string may be `env:NAME` (a variable of the environment) or `file:PATH` (a file's text without its last newline;
relative to the configuration file). The first entry that matches wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

ANY = "*"
_SECRETS = ("access_key", "secret_key", "secret", "token", "credential")


class DestinationError(ValueError):
    """An entry that cannot be used; the message names it."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every entry has. `agencies` are who may use it, as `NAME` or `ACCOUNT/NAME`; none: every agency of any account."""

    agencies: tuple[str, ...] = ()

    def __repr__(self) -> str:
        shown = {
            name: "..." if name in _SECRETS and value else value
            for name, value in msgspec.structs.asdict(self).items()
        }
        return f"<{type(self).__name__} {shown}>"

    def admits(self, agency: str, account: str) -> bool:
        """Whether an agency of that account may use it."""
        return not self.agencies or agency in self.agencies or f"{account}/{agency}" in self.agencies


class Obs(_Entry, frozen=True, kw_only=True):
    """A bucket, or with `*` every bucket: of an S3-compatible store at `endpoint`, or the folder `folder` (with `*`: the
    folders in it)."""

    bucket: str
    endpoint: str = ""
    folder: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""


class _Cluster(_Entry, frozen=True, kw_only=True):
    """A cluster, found by id and name; an entry without a name takes any."""

    cluster_id: str
    cluster_name: str = ANY


class Dws(_Cluster, frozen=True, kw_only=True):
    """A PostgreSQL-compatible server. Users come with the tasks."""

    host: str
    port: int = 5432
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"


class Mrs(_Cluster, frozen=True, kw_only=True):
    """HDFS, over WebHDFS without Kerberos."""

    webhdfs: str
    user: str = "hdfs"


class Dli(_Entry, frozen=True, kw_only=True):
    """An Iceberg catalog: `rest` at `uri`, or `sql` in the database `uri` (sqlite:// or postgresql://)."""

    catalog: Literal["rest", "sql"] = "sql"
    uri: str = ""
    warehouse: str = ""
    name: str = "penstock"
    """What the SQL catalog is called in its database."""
    token: str = ""
    """Bearer token of a REST catalog."""


class CloudTable(_Cluster, frozen=True, kw_only=True):
    """HBase by its REST server, OpenTSDB, or both."""

    hbase_rest: str = ""
    opentsdb: str = ""


class Kms(_Entry, frozen=True, kw_only=True):
    """A key that encrypts the passwords that come with DWS tasks."""

    key_id: str
    key_name: str = ANY
    secret: str


class Destinations(msgspec.Struct, frozen=True, kw_only=True):
    """All entries, in the order of the file."""

    obs: tuple[Obs, ...] = ()
    dws: tuple[Dws, ...] = ()
    mrs: tuple[Mrs, ...] = ()
    dli: tuple[Dli, ...] = ()
    cloudtable: tuple[CloudTable, ...] = ()
    kms: tuple[Kms, ...] = ()

    def bucket(self, name: str) -> Obs | None:
        """The entry of a bucket."""
        return next((entry for entry in self.obs if entry.bucket in (name, ANY)), None)

    def key(self, key_id: str, key_name: str) -> Kms | None:
        """The entry of a KMS key: its id and its name."""
        return next(
            (e for e in self.kms if e.key_id in (key_id, ANY) and e.key_name in (key_name, ANY)),
            None,
        )


C = TypeVar("C", bound=_Cluster)


def cluster(entries: tuple[C, ...], cluster_id: str, cluster_name: str) -> C | None:
    """The entry of a cluster: its id and its name."""
    return next(
        (e for e in entries if e.cluster_id in (cluster_id, ANY) and e.cluster_name in (cluster_name, ANY)),
        None,
    )


TABLES: dict[str, type[_Entry]] = {
    "obs": Obs,
    "dws": Dws,
    "mrs": Mrs,
    "dli": Dli,
    "cloudtable": CloudTable,
    "kms": Kms,
}
"""Array of tables in the file -> what an entry of it is."""


def read(document: Mapping[str, Any], directory: Path, environ: Mapping[str, str]) -> Destinations:
    """The destinations in a configuration. `directory` is where relative paths of `file:` start.

    Raises DestinationError naming the entry and the key.
    """
    found: dict[str, tuple[_Entry, ...]] = {}
    for name, kind in TABLES.items():
        entries = document.get(name, [])
        if not isinstance(entries, list):
            raise DestinationError(f"{name} is an array of tables; write [[{name}]]")
        found[name] = tuple(
            _entry(f"[[{name}]] number {number}", entry, kind, directory, environ)
            for number, entry in enumerate(entries, 1)
        )
    return msgspec.convert(found, Destinations)


def _entry(
    where: str, given: object, kind: type[_Entry], directory: Path, environ: Mapping[str, str]
) -> _Entry:
    if not isinstance(given, dict):
        raise DestinationError(f"{where} is not a table; write it as [[...]] and keys below")
    values = {key: read_value(f"{where}: {key}", value, directory, environ) for key, value in given.items()}
    try:
        entry = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise DestinationError(f"{where}: {error}") from error
    _check(where, entry)
    return entry


def read_value(where: str, value: object, directory: Path, environ: Mapping[str, str]) -> object:
    """A value of the file, `env:` and `file:` looked up. Raises DestinationError naming `where`."""
    if isinstance(value, list):
        return [read_value(where, one, directory, environ) for one in value]
    if not isinstance(value, str):
        return value
    source, _, rest = value.partition(":")
    if source == "env":
        if not environ.get(rest):
            raise DestinationError(f"{where}: the environment has no {rest}")
        return environ[rest]
    if source == "file":
        try:
            return (directory / rest).read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise DestinationError(f"{where}: {directory / rest}: {reason}") from error
    return value


_NEEDED = {
    Obs: ("bucket",),
    Dws: ("cluster_id", "host"),
    Mrs: ("cluster_id", "webhdfs"),
    CloudTable: ("cluster_id",),
    Kms: ("key_id", "secret"),
}
_URLS = ("endpoint", "webhdfs", "hbase_rest", "opentsdb")


def _check(where: str, entry: _Entry) -> None:
    """What types do not say."""
    values = msgspec.structs.asdict(entry)
    for key in _NEEDED.get(type(entry), ()):
        if not values[key]:
            raise DestinationError(f"{where}: {key} is empty")
    for key in _URLS:
        if values.get(key):
            _check_url(f"{where}: {key}", values[key])
    if isinstance(entry, Obs):
        if bool(entry.endpoint) == bool(entry.folder):
            raise DestinationError(f"{where}: one of endpoint and folder must be given")
        if bool(entry.access_key) != bool(entry.secret_key):
            raise DestinationError(f"{where}: access_key and secret_key go together")
        if entry.folder and not Path(entry.folder).is_absolute():
            raise DestinationError(f"{where}: folder {entry.folder} is not an absolute path")
    elif isinstance(entry, Dws):
        if not 1 <= entry.port <= 65535:
            raise DestinationError(f"{where}: port {entry.port} is outside 1 to 65535")
    elif isinstance(entry, CloudTable):
        if not entry.hbase_rest and not entry.opentsdb:
            raise DestinationError(f"{where}: hbase_rest, opentsdb or both must be given")
    elif isinstance(entry, Dli):
        if entry.catalog == "rest":
            _check_url(f"{where}: uri", entry.uri)
        elif entry.uri and urlsplit(entry.uri).scheme.partition("+")[0] not in ("sqlite", "postgresql"):
            raise DestinationError(f"{where}: uri is neither sqlite:///PATH nor postgresql://...")


def _check_url(where: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise DestinationError(f"{where}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DestinationError(f"{where} is not http://HOST:PORT or https://HOST:PORT")
