"""DWS and DLI: rows in PostgreSQL and in the embedded lakehouse."""

from __future__ import annotations

import io
import shutil
from typing import Any, ClassVar

from bench.destinations.base import (
    FIELDS,
    KEPT,
    Destination,
    Own,
    Records,
    differs,
    slices,
    timed,
)

_SQL = {"long": "bigint", "string": "text", "double": "double precision"}
_COLUMNS = ", ".join(f"{name} {_SQL[kind]}" for name, kind in FIELDS)
DWS_ID = "f82dc227-3691-47eb-bca7-e7851f509b2a"
KMS_ID = "1e759f06-9188-4d21-afab-a75e57c04d2b"


class PostgresRows(Destination):
    """DWS: rows by COPY."""

    name, title = "postgres", "PostgreSQL, COPY"
    kind, field = "DWS", "dws_destination_descriptor"

    def start(self) -> None:
        from tests.services.postgres import Postgres

        # As it is tuned where much is loaded: fewer checkpoints than with the 1 GB of a small default.
        self.postgres = Postgres(self.directory / "postgres", {"max_wal_size": "8GB"})
        self.postgres.start()

    def stop(self) -> None:
        self.postgres.stop()

    def pids(self) -> list[int]:
        return self.postgres._all()

    def config(self) -> str:
        return f"""
[[dws]]
cluster_id = "{DWS_ID}"
host = "127.0.0.1"
port = {self.postgres.number}

[[kms]]
key_id = "{KMS_ID}"
secret = "what passwords are sealed with"

{super().config()}"""

    def make(self, place: str) -> None:
        self.postgres.query(f"CREATE TABLE {place} ({_COLUMNS})")

    def remove(self, place: str) -> None:
        self.postgres.query(f"DROP TABLE {place}")

    def descriptor(self, place: str) -> dict[str, Any]:
        from tests.services import postgres

        return {
            "dws_cluster_id": DWS_ID,
            "dws_cluster_name": "dws",
            "kms_user_key_id": KMS_ID,
            "kms_user_key_name": "key",
            "dws_database_name": postgres.DATABASE,
            "dws_schema": "public",
            "dws_table_name": place,
            "dws_delimiter": ",",
            "user_name": postgres.USER,
            "user_password": postgres.PASSWORD,
            "obs_bucket_path": KEPT,
        }

    def check(self, place: str, records: Records) -> str:
        count, ids = self.postgres.query(f"SELECT count(*), count(DISTINCT id) FROM {place}")[0]
        return differs(count, records.count) or differs(ids, records.count)

    def own(self, records: Records, place: str) -> Own:
        rows = (
            b"%d\t%s\t%d\t%f\t%s\n" % (i, n.encode(), a, v, t.encode()) for i, n, a, v, t in records.values()
        )
        blocks = [b"".join(some) for some in slices(rows, 1000)]
        self.make(f"{place}_own")

        def copy() -> None:
            with (
                self.postgres.connect() as connection,
                connection.transaction(),
                connection.cursor().copy(f"COPY {place}_own FROM STDIN") as stream,
            ):
                for block in blocks:
                    stream.write(block)

        seconds = timed(copy)
        self.remove(f"{place}_own")
        return Own(records.total, seconds, "psycopg COPY of prepared text, one transaction")


class IcebergTable(Destination):
    """DLI: the embedded lakehouse."""

    name, title = "iceberg", "Iceberg, embedded"
    kind, field = "DLI", "dli_destination_descriptor"
    database: ClassVar[str] = "bench"

    def _catalog(self) -> Any:
        from penstock.destinations import Dli
        from penstock.dump.sinks.iceberg_catalog import embedded_catalog

        return embedded_catalog(Dli(), self.directory / "data" / "lakehouse" / "catalog.db")

    def make(self, place: str) -> None:
        from pyiceberg.schema import Schema
        from pyiceberg.types import DoubleType, LongType, NestedField, StringType

        types = {"long": LongType(), "string": StringType(), "double": DoubleType()}
        fields = (
            NestedField(n, name, types[kind], required=False) for n, (name, kind) in enumerate(FIELDS, 1)
        )
        catalog = self._catalog()
        catalog.create_namespace_if_not_exists(self.database)
        catalog.create_table((self.database, place), Schema(*fields))
        catalog.close()

    def remove(self, place: str) -> None:
        catalog = self._catalog()
        catalog.drop_table((self.database, place))
        catalog.close()
        shutil.rmtree(self.directory / "data" / "lakehouse" / self.database / place, ignore_errors=True)

    def descriptor(self, place: str) -> dict[str, Any]:
        return {"dli_database_name": self.database, "dli_table_name": place, "obs_bucket_path": KEPT}

    def check(self, place: str, records: Records) -> str:
        catalog = self._catalog()
        snapshot = catalog.load_table((self.database, place)).current_snapshot()
        catalog.close()
        found = int(snapshot.summary["total-records"]) if snapshot and snapshot.summary else 0
        return differs(found, records.count)

    def own(self, records: Records, place: str) -> Own:
        import pyarrow as pa
        from pyarrow import json as arrow_json

        table = arrow_json.read_json(io.BytesIO(b"\n".join(records)))
        table = table.cast(pa.schema([(f.name, f.type) for f in table.schema]))
        self.make(f"{place}_own")
        catalog = self._catalog()
        target = catalog.load_table((self.database, f"{place}_own"))
        seconds = timed(lambda: target.append(table))
        catalog.close()
        self.remove(f"{place}_own")
        return Own(records.total, seconds, "pyiceberg append of a prepared Arrow table")
