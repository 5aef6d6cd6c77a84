"""Opening Iceberg tables: the catalog of an entry, time limits of its connections, where the keys of its warehouse come from, and what
its errors are in a line. Owns these; knows no records and no round. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitStateUnknownException,
    ForbiddenError,
    NoSuchNamespaceError,
    NoSuchTableError,
    OAuthError,
    RESTError,
    UnauthorizedError,
)
from pyiceberg.io import load_file_io
from pyiceberg.table import Table
from requests import PreparedRequest, RequestException, Response, Session, Timeout
from requests.adapters import HTTPAdapter
from sqlalchemy.exc import SQLAlchemyError

from penstock.destinations import Dli
from penstock.dump.base import NotDelivered
from penstock.dump.decoding import reason
from penstock.dump.destinations import dli
from penstock.dump.destinations.base import Place

CONNECT_SECONDS = 10
ANSWER_SECONDS = 30
_POSTGRES = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": ANSWER_SECONDS * 1000,
}
"""So that a server that is gone is noticed; one that only hangs is left behind by the caller's own time limit."""
_S3 = ("s3", "s3a", "s3n")
_KEYS = ("s3.access-key-id", "s3.session-token", "client.access-key-id")
_REGION = "us-east-1"
"""When nothing names one: otherwise it would be looked up in the cloud."""
_FOLDER_MODE = 0o700


class _Patient(HTTPAdapter):
    """Requests with time limits; never sent twice, because a commit may have arrived although no answer came."""

    def __init__(self, seconds: float) -> None:
        super().__init__(max_retries=0)
        self._seconds = seconds

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        kwargs["timeout"] = kwargs.get("timeout") or (CONNECT_SECONDS, self._seconds)
        if isinstance(request.body, bytes) and b'"add-schema"' in request.body:
            request.prepare_body(with_last_column(request.body), None)
        return super().send(request, *args, **kwargs)


def with_last_column(body: bytes) -> bytes:
    """A commit that adds columns, with the highest column id of each schema: the protocol lets clients leave it out, which some
    catalogs (Nessie 0.99) answer with an error."""
    commit = msgspec.json.decode(body)
    for update in commit["updates"]:
        if update.get("action") == "add-schema":
            update.setdefault("last-column-id", max(_ids(update["schema"])))
    return msgspec.json.encode(commit)


def _ids(kind: Any) -> Iterator[int]:
    """Ids of columns, and of what is in them, in a type written as JSON."""
    if isinstance(kind, dict):
        yield from (kind[name] for name in ("id", "element-id", "key-id", "value-id") if name in kind)
        for below in kind.values():
            yield from _ids(below)
    elif isinstance(kind, list):
        for below in kind:
            yield from _ids(below)


class _Rest(RestCatalog):
    def __init__(self, name: str, seconds: float, **properties: str) -> None:
        self._seconds = seconds
        super().__init__(name, **properties)

    def _create_session(self) -> Session:
        session = super()._create_session()
        # As when a task is made: the configuration says where the catalog is, not the environment's proxies.
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Patient(self._seconds))
        return session


Destination = dli.RestCatalog | dli.SqlCatalog


def open_catalog(place: Place, destination: Destination, agency: str) -> Catalog:
    """Connect to the catalog."""
    entry = destination.entry
    if isinstance(destination, dli.RestCatalog):
        properties = {"uri": entry.uri}
        if entry.warehouse:
            properties["warehouse"] = entry.warehouse
        if entry.token:
            properties["token"] = entry.token
        return _Rest(entry.name, place.request_seconds, **properties)
    warehouse = entry.warehouse or (destination.embedded.parent.absolute().as_uri() if not entry.uri else "")
    properties = {
        "uri": _database(destination),
        "warehouse": warehouse,
        "pool_pre_ping": "true",
        "init_catalog_tables": "false",
        **storage(place, warehouse, {}, agency),
    }
    return SqlCatalog(entry.name, **properties)


def embedded_catalog(entry: Dli, file: Path) -> Catalog:
    """The catalog in the data directory, made if it is not there yet."""
    file.parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    return SqlCatalog(entry.name, uri=_sqlite(file), warehouse=file.parent.absolute().as_uri())


def _sqlite(file: Path) -> str:
    return f"sqlite:///{file.absolute()}?timeout={ANSWER_SECONDS}"


def _database(destination: dli.SqlCatalog) -> str:
    uri = destination.entry.uri
    if not uri:
        return _sqlite(destination.embedded)
    scheme, _, rest = uri.partition("://")
    if not scheme.startswith("postgresql"):
        return uri
    base, _, query = rest.partition("?")
    given: dict[str, Any] = {**_POSTGRES, **dict(parse_qsl(query))}
    return f"postgresql+psycopg://{base}?{urlencode(given)}"


def load(place: Place, destination: Destination, agency: str, catalog: Catalog) -> Table:
    """The table as it is now, with what its files need to be reached."""
    identifier = (*destination.database.split("."), destination.table)
    table = catalog.load_table(identifier)
    given = table.io.properties
    added = storage(place, table.metadata.location, given, agency)
    if all(given.get(name) == value for name, value in added.items()):
        return table
    io = load_file_io({**given, **added}, table.metadata.location)
    return Table(table.name(), table.metadata, table.metadata_location, io, catalog, table.config)


def storage(place: Place, location: str, given: Mapping[str, Any], agency: str) -> dict[str, str]:
    """What reaching files in S3 needs beside what the catalog gave: time limits, and when no keys came with the table those of the
    bucket's `[[obs]]` entry, if the agency may use it."""
    parts = urlsplit(location)
    if parts.scheme not in _S3:
        return {}
    found = {"s3.connect-timeout": str(CONNECT_SECONDS), "s3.request-timeout": str(ANSWER_SECONDS)}
    entry = place.destinations.bucket(parts.netloc)
    usable = entry is not None and entry.endpoint and entry.admits(agency, place.account)
    if entry is not None and usable and not any(given.get(key) for key in _KEYS):
        found |= {"s3.endpoint": entry.endpoint, "s3.region": entry.region}
        if entry.access_key:
            found |= {"s3.access-key-id": entry.access_key, "s3.secret-access-key": entry.secret_key}
        else:
            found["s3.anonymous"] = "true"
    if not given.get("s3.region") and not given.get("client.region"):
        found.setdefault("s3.region", _REGION)
    return found


def secrets(place: Place, destination: Destination) -> list[str]:
    """What no message may hold."""
    entry = destination.entry
    found = [entry.token, urlsplit(entry.uri).password or ""]
    found += [bucket.secret_key for bucket in place.destinations.obs]
    return [secret for secret in found if secret]


def not_delivered(error: Exception, destination: Destination, hidden: list[str]) -> NotDelivered:
    """What went wrong, as a line for people."""
    if isinstance(error, NotDelivered):
        return error
    line = reason(_line(error, destination))
    for secret in hidden:
        line = line.replace(secret, "...")
    return NotDelivered(line)


def _line(error: Exception, destination: Destination) -> str:
    table = f"{destination.database}.{destination.table}"
    if isinstance(error, (NoSuchTableError, NoSuchNamespaceError)):
        return f"the lakehouse has no table {table}{destination.advice()}"
    if isinstance(error, (UnauthorizedError, ForbiddenError, OAuthError)):
        return f"the catalog refuses access to {table}: check the token of [[dli]]"
    if isinstance(error, CommitStateUnknownException):
        return "the catalog did not say whether it took the commit"
    if isinstance(error, RESTError):
        return f"the catalog answers with an error: {type(error).__name__}: {error}"
    if isinstance(error, Timeout):
        return "the catalog does not answer in time"
    if isinstance(error, RequestException):
        return f"the catalog cannot be reached: {type(error).__name__}"
    if isinstance(error, SQLAlchemyError):
        # Its own text has the statement and its values.
        cause = getattr(error, "orig", None) or type(error).__name__
        return f"the catalog's database: {cause}"
    if isinstance(error, OSError):
        return f"files of {table}: {error}"
    return f"{table}: {type(error).__name__}: {error}"
