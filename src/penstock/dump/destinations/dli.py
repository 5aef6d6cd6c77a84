"""DLI: Iceberg tables in a catalog, over REST or in an SQL database. Owns which catalog is meant and whether database (namespace)
and table are there.

Only names are asked for here, which needs no Iceberg library: REST is the Iceberg project's own protocol, and the two tables of
an SQL catalog are those of its JDBC catalog. Without any `[[dli]]` the catalog is DIR/lakehouse/catalog.db.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from penstock.destinations import Dli
from penstock.dump.destinations.base import Place, http_client, imported, log, within
from penstock.errors import ApiError
from penstock.model.tasks import DliDescriptor
from penstock.model.validation import shown

FOLDER = "lakehouse"
DATABASE = "catalog.db"
_LEVELS = "\x1f"
"""Between the levels of a namespace in a path of the REST protocol."""

_NAMESPACE = """
SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = {0} AND namespace = {0}
UNION SELECT 1 FROM iceberg_tables WHERE catalog_name = {0} AND table_namespace = {0}
"""
_TABLE = (
    "SELECT 1 FROM iceberg_tables WHERE catalog_name = {0} AND table_namespace = {0} AND table_name = {0}"
)


def resolve(place: Place, descriptor: DliDescriptor) -> RestCatalog | SqlCatalog:
    """The catalog of the first entry, or the embedded one. DIS.4335."""
    entry = place.destinations.dli[0] if place.destinations.dli else Dli()
    place.admit(entry, descriptor.agency_name)
    if entry.catalog == "rest":
        return RestCatalog(entry, descriptor, place.seconds)
    return SqlCatalog(entry, descriptor, place.data / FOLDER / DATABASE, place.seconds)


class _Catalog:
    """What both kinds of catalogs answer."""

    def __init__(self, entry: Dli, descriptor: DliDescriptor, seconds: float) -> None:
        self.entry = entry
        self.database = descriptor.dli_database_name
        self.table = descriptor.dli_table_name
        self.seconds = seconds

    def no_database(self) -> ApiError:
        return ApiError("DIS.4337", f"[{shown(self.database)}{self.advice('database')}]")

    def no_table(self) -> ApiError:
        return ApiError("DIS.4338", f"[{shown(self.database)}.{shown(self.table)}{self.advice()}]")

    def advice(self, what: str = "table") -> str:
        """What makes a database or table that is missing, as the end of a line: nothing that is ours, but for the embedded catalog."""
        return ""

    def silent(self, reason: str) -> ApiError:
        return ApiError("DIS.4337", f"[the catalog {reason}]")


class RestCatalog(_Catalog):
    """A table in a catalog that speaks Iceberg's REST protocol."""

    async def check(self) -> None:
        """DIS.4337 (no such namespace, or no answer), DIS.4338 (no such table, or it is not for us)."""
        headers = {"Authorization": f"Bearer {self.entry.token}"} if self.entry.token else {}
        root = f"{self.entry.uri.rstrip('/')}/v1"
        query = {"warehouse": self.entry.warehouse} if self.entry.warehouse else {}
        async with http_client(self.seconds, "DIS.4337", "the catalog") as client:
            client.headers.update(headers)
            reply = await client.get(f"{root}/config", params=query)
            if reply.status_code != 200:
                raise self.silent(f"answers with status {reply.status_code}")
            prefix = _prefix(reply.content)
            # As it is: catalogs send it percent-encoded where it has to be.
            root = f"{root}/{prefix}" if prefix else root
            namespace = quote(_LEVELS.join(self.database.split(".")), safe="")
            reply = await client.get(f"{root}/namespaces/{namespace}")
            if reply.status_code == 404:
                raise self.no_database()
            if reply.status_code != 200:
                raise self.silent(f"answers with status {reply.status_code}")
            path = f"{root}/namespaces/{namespace}/tables/{quote(self.table, safe='')}"
            reply = await client.head(path)
            if reply.status_code in (405, 501):
                reply = await client.get(path)
            if reply.status_code in (401, 403, 404):
                raise self.no_table()
            if not reply.is_success:
                raise self.silent(f"answers with status {reply.status_code}")


class SqlCatalog(_Catalog):
    """A table in a catalog in a database; `embedded` is the file when the entry names none."""

    def __init__(self, entry: Dli, descriptor: DliDescriptor, embedded: Path, seconds: float) -> None:
        super().__init__(entry, descriptor, seconds)
        self.embedded = embedded

    def advice(self, what: str = "table") -> str:
        if self.entry.uri:
            return ""
        name = self.database if what == "database" else f"{self.database}.{self.table}"
        return f"; create it: penstock lakehouse {what} create {shown(name)}"

    async def check(self) -> None:
        """DIS.4337 (no such namespace, or no answer), DIS.4338 (no such table)."""
        parts = urlsplit(self.entry.uri)
        names = (self.entry.name, self.database)
        async with within(self.seconds, "DIS.4337", "the catalog"):
            if parts.scheme.startswith("postgresql"):
                found = await self._ask_postgres(self.entry.uri, names)
            else:
                file = Path(parts.path.removeprefix("/")) if self.entry.uri else self.embedded
                found = await asyncio.to_thread(self._ask_sqlite, file, names)
        if not found[0]:
            raise self.no_database()
        if not found[1]:
            raise self.no_table()

    def _ask_sqlite(self, file: Path, names: tuple[str, str]) -> tuple[bool, bool]:
        if not file.is_file():
            return False, False
        try:
            with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                namespace = connection.execute(_NAMESPACE.format("?"), names * 2).fetchone()
                table = connection.execute(_TABLE.format("?"), (*names, self.table)).fetchone()
        except sqlite3.Error as error:
            log.warning("catalog refused", file=str(file), reason=str(error))
            raise self.silent("cannot be read") from error
        return namespace is not None, table is not None

    async def _ask_postgres(self, uri: str, names: tuple[str, str]) -> tuple[bool, bool]:
        psycopg: Any = await imported("psycopg")
        scheme, _, rest = uri.partition("://")
        try:
            async with await psycopg.AsyncConnection.connect(
                f"{scheme.partition('+')[0]}://{rest}",
                autocommit=True,
                connect_timeout=max(2, int(self.seconds)),
            ) as connection:
                namespace = await (await connection.execute(_NAMESPACE.format("%s"), names * 2)).fetchone()
                table = await (await connection.execute(_TABLE.format("%s"), (*names, self.table))).fetchone()
        except psycopg.Error as error:
            log.warning("catalog refused", reason=" ".join(str(error).split())[:1000])
            raise self.silent("cannot be read") from error
        return namespace is not None, table is not None


class _Config(msgspec.Struct):
    defaults: dict[str, Any] = {}
    overrides: dict[str, Any] = {}


def _prefix(body: bytes) -> str:
    """The prefix of the warehouse's paths."""
    try:
        config = msgspec.json.decode(body, type=_Config)
    except msgspec.MsgspecError as error:
        raise ApiError("DIS.4337", "[what answers is no Iceberg catalog]") from error
    return str(config.overrides.get("prefix") or config.defaults.get("prefix") or "")
