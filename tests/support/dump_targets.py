"""Every kind of destination as the conformance suite sees it: a real server, what Penstock's configuration says of it, tasks, and what a
reader finds there. Owns these; the servers are `tests.services`', what goes wrong on the way to them `tests.support.faulty`'s.

A target is shared by many tests. Each of them has a place of its own in it: a table, a directory, a prefix, a metric, made by `make` and
called `t0001` and so on.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType
from tests.services import s3 as s3_module
from tests.services.hdfs import HdfsCluster
from tests.services.iceberg_rest import WAREHOUSE, IcebergRest
from tests.services.opentsdb import OpenTsdb
from tests.services.postgres import Postgres
from tests.services.s3 import ACCESS_KEY, REGION, S3, SECRET_KEY
from tests.support.dump_target import (
    AWAY,
    DATABASE,
    DATABASE_PASSWORD,
    FILES,
    FIRST_MS,
    IDEMPOTENT,
    SCHEMA,
    TRANSACTION,
    Services,
    Target,
    files_below,
    lines_of,
)
from tests.support.faulty import FaultyHttp, FaultyPostgres, Request
from tests.support.tasks import CLOUDTABLE_ID, DWS_ID, KMS_ID, KMS_SECRET, MRS_ID
from tests.support.wire import Json

from penstock.destinations import Dli
from penstock.dump.sinks.iceberg_catalog import embedded_catalog


class Folder(Target):
    """OBS: text in a folder, which takes everything."""

    name = "folder"
    points = FILES
    whole = "part"
    poison = passes = False
    sample = "OBS"
    stream: ClassVar[Json] = {"data_type": "BLOB"}
    bucket = "lake"

    def set_up(self, services: Services) -> None:
        (self.buckets / self.bucket).mkdir(exist_ok=True)

    def fields(self, name: str) -> Json:
        return {
            "obs_bucket_path": self.bucket,
            "file_prefix": name,
            "partition_format": "yyyy/MM/dd",
            "destination_file_type": "text",
            "record_delimiter": "\n",
        }

    def records(self, name: str) -> Counter[int]:
        found: Counter[int] = Counter()
        for path in files_below(self.buckets / self.bucket, name):
            data = path.read_bytes()
            assert data.endswith(b"\n"), path
            found.update(json.loads(line)["id"] for line in data.splitlines())
        return found

    def errors(self, name: str) -> Counter[bytes]:
        return Counter()

    def down(self) -> None:
        (self.buckets / self.bucket).rename(self.directory / AWAY)

    def up(self) -> None:
        (self.directory / AWAY).rename(self.buckets / self.bucket)

    def block(self, name: str) -> None:
        """A file is where a directory should be."""
        (self.buckets / self.bucket / name).rename(self.buckets / self.bucket / f"{name}y")
        (self.buckets / self.bucket / name).write_bytes(b"")

    def unblock(self, name: str) -> None:
        (self.buckets / self.bucket / name).unlink()


class Beside(Folder):
    """Another bucket, beside any target."""

    name = bucket = "beside"


class ObjectStore(Target):
    """OBS: Parquet in an S3 server."""

    name = "s3"
    points = FILES
    whole = "part"
    passes = False
    sample = "OBS"
    stream: ClassVar[Json] = {"data_type": "JSON", "data_schema": SCHEMA}

    def set_up(self, services: Services) -> None:
        self.s3 = services.get(S3)
        self.s3.bucket("lake")
        self.proxies = [FaultyHttp(self.s3.port("s3"))]
        self._lake = _bucket(self.s3, "lake")

    def config(self) -> str:
        lake = f"""
[[obs]]
bucket = "lake"
endpoint = "{self.proxy.url}"
region = "{REGION}"
access_key = "{ACCESS_KEY}"
secret_key = "{SECRET_KEY}"
"""
        return lake + super().config()

    def fields(self, name: str) -> Json:
        return {
            "obs_bucket_path": "lake",
            "file_prefix": name,
            "destination_file_type": "parquet",
            "record_delimiter": "\n",
        }

    def _objects(self, name: str) -> dict[str, bytes]:
        import obstore

        keys = [found["path"] for page in obstore.list(self._lake) for found in page]
        return {
            key: bytes(obstore.get(self._lake, key).bytes())
            for key in keys
            if key.startswith(name) and not key.rpartition("/")[2].startswith((".", "_"))
        }

    def records(self, name: str) -> Counter[int]:
        found: Counter[int] = Counter()
        for key, data in self._objects(name).items():
            if "/obs_error/" not in key:
                found.update(pq.read_table(io.BytesIO(data))["id"].to_pylist())
        return found

    def errors(self, name: str) -> Counter[bytes]:
        return lines_of(data for key, data in self._objects(name).items() if "/obs_error/" in key)

    def is_commit(self, request: Request) -> bool:
        return request.method == "PUT" and request.target.startswith("/lake/t")

    def lock_out(self, name: str) -> None:
        self._restart("another-secret")

    def let_in(self, name: str) -> None:
        self._restart(SECRET_KEY)

    def _restart(self, secret: str) -> None:
        self.s3.kill_all()
        with patch.object(s3_module, "SECRET_KEY", secret):
            self.s3.start()


class Database(Target):
    """DWS: rows in PostgreSQL."""

    name = "dws"
    points = TRANSACTION
    whole = "round"
    sample = "DWS"

    def set_up(self, services: Services) -> None:
        self.postgres = services.get(Postgres)
        self.proxies = [FaultyPostgres(self.postgres.number)]
        self.postgres.query("DROP SCHEMA IF EXISTS s CASCADE")
        self.postgres.query("DROP ROLE IF EXISTS loader")
        self.postgres.query(f"CREATE ROLE loader LOGIN PASSWORD '{DATABASE_PASSWORD}'")
        self.postgres.query("CREATE SCHEMA s AUTHORIZATION loader")

    def config(self) -> str:
        return f"""
[[dws]]
cluster_id = "{DWS_ID}"
host = "127.0.0.1"
port = {self.proxy.port}
sslmode = "disable"

[[kms]]
key_id = "{KMS_ID}"
secret = "{KMS_SECRET}"

{super().config()}"""

    def make(self, name: str) -> None:
        self.postgres.query(f"CREATE TABLE s.{name} (id bigint, name text, at bigint)")
        self.postgres.query(f"ALTER TABLE s.{name} OWNER TO loader")

    def fields(self, name: str) -> Json:
        return {
            "dws_database_name": "penstock",
            "dws_schema": "s",
            "dws_table_name": name,
            "user_name": "loader",
            "user_password": DATABASE_PASSWORD,
            "obs_bucket_path": "backup",
            "file_prefix": name,
        }

    def records(self, name: str) -> Counter[int]:
        return Counter(number for (number,) in self.postgres.query(f"SELECT id FROM s.{name}"))

    def is_commit(self, request: Request) -> bool:
        return request.target == "COMMIT"

    def lock_out(self, name: str) -> None:
        self.change_password("changed")

    def let_in(self, name: str) -> None:
        self.change_password(DATABASE_PASSWORD)

    def change_password(self, password: str) -> None:
        """Of the user that tasks have."""
        self.postgres.query(f"ALTER ROLE loader PASSWORD '{password}'")
        # Who is in stays in: a password counts at the door.
        self.postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'loader'")


class Hadoop(Target):
    """MRS: CSV in HDFS."""

    name = "mrs"
    points = FILES
    whole = "part"
    sample = "MRS"
    stream: ClassVar[Json] = {"data_type": "JSON", "data_schema": SCHEMA}

    def set_up(self, services: Services) -> None:
        self.hdfs = services.get(HdfsCluster)
        namenode = FaultyHttp(self.hdfs.port("namenode-http"))
        datanode = FaultyHttp(self.hdfs.port("datanode-1-http"))
        # The NameNode says where the DataNode is.
        namenode.replace = {f"127.0.0.1:{datanode.upstream}".encode(): f"127.0.0.1:{datanode.port}".encode()}
        self.proxies = [namenode, datanode]

    def config(self) -> str:
        mine = f'[[mrs]]\ncluster_id = "{MRS_ID}"\nwebhdfs = "{self.proxy.url}"\nuser = "penstock"\n\n'
        return mine + super().config()

    def make(self, name: str) -> None:
        self.hdfs.call("PUT", f"/dis/{name}", "MKDIRS")
        self.let_in(name)

    def fields(self, name: str) -> Json:
        return {
            "mrs_hdfs_path": f"/dis/{name}",
            "hdfs_prefix_folder": "raw",
            "destination_file_type": "csv",
            "obs_bucket_path": "backup",
            "file_prefix": name,
        }

    def elsewhere(self, name: str) -> Json:
        return {"hdfs_prefix_folder": "raw/more"}

    def records(self, name: str) -> Counter[int]:
        found: Counter[int] = Counter()
        waiting = [f"/dis/{name}"]
        while waiting:
            directory = waiting.pop()
            listing = self.hdfs.call("GET", directory, "LISTSTATUS")
            for status in listing["FileStatuses"]["FileStatus"]:
                path = f"{directory}/{status['pathSuffix']}"
                if status["pathSuffix"].startswith((".", "_")):
                    continue  # what Hive and Spark do not read
                if status["type"] == "DIRECTORY":
                    waiting.append(path)
                    continue
                text = self.hdfs.read(path).decode()
                assert text.endswith("\n"), path
                found.update(int(row["id"]) for row in csv.DictReader(io.StringIO(text)))
        return found

    def is_commit(self, request: Request) -> bool:
        return "op=RENAME" in request.target

    def lock_out(self, name: str) -> None:
        self.hdfs.call("PUT", f"/dis/{name}", "SETOWNER", owner="somebody")
        self.hdfs.call("PUT", f"/dis/{name}", "SETPERMISSION", permission="700")

    def let_in(self, name: str) -> None:
        self.hdfs.call("PUT", f"/dis/{name}", "SETOWNER", owner="penstock")
        self.hdfs.call("PUT", f"/dis/{name}", "SETPERMISSION", permission="755")


class Lakehouse(Target):
    """DLI: the embedded lakehouse."""

    name = "lakehouse"
    points = TRANSACTION
    whole = "round"
    sample = "DLI"

    def catalog(self) -> Catalog:
        return embedded_catalog(Dli(), self.data / "lakehouse" / "catalog.db")

    def make(self, name: str) -> None:
        catalog = self.catalog()
        catalog.create_namespace_if_not_exists(DATABASE)
        schema = Schema(
            NestedField(1, "id", LongType(), required=False),
            NestedField(2, "name", StringType(), required=False),
            NestedField(3, "at", LongType(), required=False),
        )
        catalog.create_table((DATABASE, name), schema)
        catalog.close()

    def fields(self, name: str) -> Json:
        return {
            "dli_database_name": DATABASE,
            "dli_table_name": name,
            "obs_bucket_path": "backup",
            "file_prefix": name,
        }

    def records(self, name: str) -> Counter[int]:
        catalog = self.catalog()
        try:
            scan = catalog.load_table((DATABASE, name)).scan(selected_fields=("id",))
            return Counter(scan.to_arrow()["id"].to_pylist())
        finally:
            catalog.close()

    def down(self) -> None:
        """Its disk is gone; the catalog, which the sink may have open, stays."""
        self._tables.rename(self.directory / AWAY)

    def up(self) -> None:
        if self._tables.exists():
            shutil.rmtree(self._tables)
        (self.directory / AWAY).rename(self._tables)

    @property
    def _tables(self) -> Path:
        return self.data / "lakehouse" / DATABASE

    def block(self, name: str) -> None:
        self.down()

    def unblock(self, name: str) -> None:
        self.up()


class RemoteLakehouse(Lakehouse):
    """DLI: a catalog over REST, tables in S3."""

    name = "rest"

    def set_up(self, services: Services) -> None:
        self.iceberg = services.get(IcebergRest)
        self.proxies = [FaultyHttp(self.iceberg.port("http")), FaultyHttp(self.iceberg.s3.port("s3"))]
        # The catalog says where it is, and where the files are.
        self.proxy.replace = {
            f"127.0.0.1:{proxy.upstream}".encode(): f"127.0.0.1:{proxy.port}".encode()
            for proxy in self.proxies
        }

    def catalog(self) -> Catalog:
        return RestCatalog(
            "direct",
            uri=self.iceberg.uri,
            warehouse=WAREHOUSE,
            **{
                "s3.endpoint": self.iceberg.s3.endpoint,
                "s3.access-key-id": ACCESS_KEY,
                "s3.secret-access-key": SECRET_KEY,
                "s3.region": REGION,
            },
        )

    def config(self) -> str:
        return f"""
[[dli]]
catalog = "rest"
uri = "{self.proxy.url}/iceberg"
warehouse = "{WAREHOUSE}"

[[obs]]
bucket = "{WAREHOUSE}"
endpoint = "{self.proxies[1].url}"
region = "{REGION}"
access_key = "{ACCESS_KEY}"
secret_key = "{SECRET_KEY}"

{Target.config(self)}"""

    def is_commit(self, request: Request) -> bool:
        return request.method == "POST" and "/tables/" in request.target

    down = Target.down
    up = Target.up
    block = Target.block
    unblock = Target.unblock


class HBaseTable(Target):
    """CloudTable: rows in HBase."""

    name = "hbase"
    points = IDEMPOTENT
    whole = "record"
    sample = "HBASE"

    def set_up(self, services: Services) -> None:
        # The one below OpenTSDB: one server for both targets.
        self.hbase = services.get(OpenTsdb).hbase
        self.proxies = [FaultyHttp(self.hbase.port("rest"))]

    def config(self) -> str:
        mine = f'[[cloudtable]]\ncluster_id = "{CLOUDTABLE_ID}"\nhbase_rest = "{self.proxy.url}"\n\n'
        return mine + super().config()

    def make(self, name: str) -> None:
        self.hbase.create(name, ["f", "g"], versions=5)

    def fields(self, name: str) -> Json:
        columns = [
            {"column_family_name": "f", "column_name": "name", "value": "name", "type": "String"},
            {"column_family_name": "g", "column_name": "at", "value": "at", "type": "Timestamp"},
        ]
        schema = {"row_key": [{"value": "id", "type": "Bigint"}], "columns": columns}
        return {
            "cloudtable_table_name": name,
            "cloudtable_schema": schema,
            "obs_backup_bucket_path": "backup",
            "backup_file_prefix": name,
        }

    def elsewhere(self, name: str) -> Json:
        return {"backup_file_prefix": f"{name}x"}

    def records(self, name: str) -> Counter[int]:
        found: Counter[int] = Counter()
        reply = self.hbase.call("GET", f"/{name}/*?maxversions=5", missing=True)
        for row in reply.json()["Row"] if reply.status_code == 200 else ():
            columns = Counter(base64.b64decode(cell["column"]) for cell in row["Cell"])
            assert set(columns) == {b"f:name", b"g:at"}, row
            found[int(base64.b64decode(row["key"]))] = max(columns.values())
        return found

    def is_commit(self, request: Request) -> bool:
        return request.method == "PUT" and request.target.endswith("/penstock")


class TimeSeries(Target):
    """CloudTable: points in OpenTSDB."""

    name = "opentsdb"
    points = IDEMPOTENT
    whole = "record"
    sample = "OPENTSDB"

    def set_up(self, services: Services) -> None:
        self.tsdb = services.get(OpenTsdb)
        self.proxies = [FaultyHttp(self.tsdb.port("opentsdb"))]

    def config(self) -> str:
        mine = f'[[cloudtable]]\ncluster_id = "{CLOUDTABLE_ID}"\nopentsdb = "{self.proxy.url}"\n\n'
        return mine + super().config()

    def make(self, name: str) -> None:
        self.tsdb.assign(name)

    def fields(self, name: str) -> Json:
        schema = {
            "metric": [{"type": "Constant", "value": name}],
            "timestamp": {"value": "at", "type": "Timestamp"},
            "value": {"value": "id", "type": "Bigint"},
            "tags": [{"name": "name", "value": "name", "type": "String"}],
        }
        return {
            "opentsdb_schema": [schema],
            "obs_backup_bucket_path": "backup",
            "backup_file_prefix": name,
        }

    def elsewhere(self, name: str) -> Json:
        return {"backup_file_prefix": f"{name}x"}

    def records(self, name: str) -> Counter[int]:
        first = FIRST_MS // 1000
        series = self.tsdb.query(name, first - 10, first + 1_000_000)
        return Counter(int(value) for one in series for value in one["dps"].values())

    def is_commit(self, request: Request) -> bool:
        return request.method == "POST" and request.target.startswith("/api/put")


def _bucket(s3: S3, name: str) -> Any:
    """A bucket as a reader has it, not through the proxy."""
    from obstore.store import S3Store

    return S3Store(
        name,
        endpoint=s3.endpoint,
        region=REGION,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
