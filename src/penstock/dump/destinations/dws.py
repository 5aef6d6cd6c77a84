"""DWS: a PostgreSQL-compatible database. Owns which cluster and key names mean and whether the table takes what a task would
write. Everything that is wrong with the cluster is DIS.4350, with the field at fault in the message; the key is DIS.4351.
"""

from __future__ import annotations

from typing import Any

from penstock.destinations import Dws, cluster
from penstock.dump.destinations.base import Place, imported, log, within
from penstock.errors import ApiError
from penstock.model.tasks import DwsDescriptor
from penstock.model.validation import shown

_COLUMNS = """
SELECT a.attname, has_table_privilege(c.oid, 'INSERT')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
"""
ERROR_COLUMNS = ("nodeid", "begintime", "filename", "rownum", "rawrecord", "detail")
"""Columns of an error table, as GaussDB has them."""


class Database:
    """The table of one task."""

    def __init__(self, entry: Dws, descriptor: DwsDescriptor, password: str, seconds: float) -> None:
        self.entry = entry
        self.descriptor = descriptor
        self._password = password
        self.seconds = seconds

    @classmethod
    def resolve(cls, place: Place, descriptor: DwsDescriptor, password: str) -> Database:
        """DIS.4350 (no such cluster), DIS.4351 (no such key), DIS.4335."""
        entry = cluster(place.destinations.dws, descriptor.dws_cluster_id, descriptor.dws_cluster_name)
        if entry is None:
            raise ApiError(
                "DIS.4350", f"[{shown(descriptor.dws_cluster_name)}][{shown(descriptor.dws_cluster_id)}]"
            )
        place.admit(entry, descriptor.agency_name)
        key = place.destinations.key(descriptor.kms_user_key_id, descriptor.kms_user_key_name)
        if key is None:
            raise ApiError(
                "DIS.4351", f"[{shown(descriptor.kms_user_key_name)}][{shown(descriptor.kms_user_key_id)}]"
            )
        place.admit(key, descriptor.agency_name)
        return cls(entry, descriptor, password, place.seconds)

    async def connect(self) -> Any:
        """A connection as the task's user, every statement by itself. DIS.4350."""
        psycopg: Any = await imported("psycopg")
        try:
            return await psycopg.AsyncConnection.connect(
                host=self.entry.host,
                port=self.entry.port,
                sslmode=self.entry.sslmode,
                dbname=self.descriptor.dws_database_name,
                user=self.descriptor.user_name,
                password=self._password,
                connect_timeout=max(2, int(self.seconds)),
                application_name="penstock",
                autocommit=True,
                # Statements as texts: poolers and servers that speak an old protocol take those.
                cursor_factory=psycopg.AsyncClientCursor,
            )
        except psycopg.Error as error:
            raise _refusal(error) from error

    async def check(self) -> None:
        """DIS.4350: it does not answer, refuses the user, or the table is not there, lacks a column or may not be written to; or what
        would be the error table is another one. A missing error table is made when it is needed."""
        psycopg: Any = await imported("psycopg")
        async with within(self.seconds, "DIS.4350", "the cluster"):
            connection = await self.connect()
            try:
                cursor = await connection.execute(
                    _COLUMNS, (self.descriptor.dws_schema, self.descriptor.dws_table_name)
                )
                rows = await cursor.fetchall()
                errors = await self._error_columns(connection)
            except psycopg.Error as error:
                raise _refusal(error) from error
            finally:
                await connection.close()
        table = f"{shown(self.descriptor.dws_schema)}.{shown(self.descriptor.dws_table_name)}"
        if not rows:
            raise ApiError("DIS.4350", f"[dws_table_name: {table} does not exist]")
        if not rows[0][1]:
            raise ApiError("DIS.4350", f"[user_name: may not insert into {table}]")
        missing = sorted(set(self.descriptor.columns) - {name for name, _ in rows})
        if missing:
            raise ApiError("DIS.4350", f"[dws_table_columns: {table} has no column {shown(missing[0])}]")
        missing = sorted(set(ERROR_COLUMNS) - {name for name, _ in errors}) if errors else []
        if missing:
            raise ApiError("DIS.4350", f"[options.error_table_name: no error table, it has no {missing[0]}]")
        if errors and not errors[0][1]:
            raise ApiError("DIS.4350", "[options.error_table_name: user_name may not insert into it]")

    async def _error_columns(self, connection: Any) -> list[tuple[str, bool]]:
        name = self.descriptor.options.error_table_name
        if not name:
            return []
        cursor = await connection.execute(_COLUMNS, (self.descriptor.dws_schema, name))
        return list(await cursor.fetchall())


def _refusal(error: Exception) -> ApiError:
    """What the server said, without where it is."""
    said = " ".join(str(error).split())
    log.warning("database refused", reason=said[:1000])
    _, fatal, reason = said.partition("FATAL: ")
    return ApiError(
        "DIS.4350", f"[{shown(reason.strip(), 200)}]" if fatal else "[the cluster does not answer]"
    )
