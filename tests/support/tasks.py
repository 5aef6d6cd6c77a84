"""Dump tasks for tests: the reference's own samples as descriptors, and a server whose destinations are fakes."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.destinations import (
    FakeHBase,
    FakeIceberg,
    FakeOpenTsdb,
    FakePostgres,
    FakeS3,
    FakeWebHdfs,
)
from tests.support.server import Server
from tests.support.wire import Json, Wire

DWS_ID = "f82dc227-3691-47eb-bca7-e7851f509b2a"
MRS_ID = "f8123fa6-99f1-4ed9-83f4-c827c7277d41"
CLOUDTABLE_ID = "b8c095e2-db5f-4732-8a1d-eacd662e35dc"
KMS_ID = "1e759f06-9188-4d21-afab-a75e57c04d2b"
KMS_SECRET = "the-Secret-of-the-KMS-key"
LAKE_KEY = "LAKEACCESSKEY"
LAKE_SECRET = "the-Secret-of-the-lake"

_numbers = itertools.count()

# The samples of 5.5.1, 5.5.7, 5.5.8, 5.5.9 and 5.5.10, but for an empty dws_delimiter.
_COMMON: Json = {"consumer_strategy": "LATEST", "agency_name": "dis_admin_agency"}
OBS: Json = _COMMON | {
    "destination_file_type": "text",
    "obs_bucket_path": "obsbucket",
    "file_prefix": "",
    "partition_format": "yyyy/MM/dd/HH/mm",
    "record_delimiter": "|",
    "deliver_time_interval": 30,
}
DWS: Json = _COMMON | {
    "dws_cluster_name": "dwscluster",
    "dws_cluster_id": DWS_ID,
    "dws_database_name": "postgres",
    "dws_schema": "dbadmin",
    "dws_table_name": "dwstablename",
    "dws_delimiter": ",",
    "user_name": "dbadmin",
    "user_password": FakePostgres.password,
    "kms_user_key_name": "kmskey",
    "kms_user_key_id": KMS_ID,
    "obs_bucket_path": "obsbucket",
    "file_prefix": "",
    "deliver_time_interval": 60,
    "retry_duration": 1800,
    "options": {
        "fill_missing_fields": "false",
        "ignore_extra_data": "false",
        "compatible_illegal_chars": "false",
    },
}
MRS: Json = _COMMON | {
    "destination_file_type": "text",
    "mrs_cluster_id": MRS_ID,
    "mrs_cluster_name": "mrscluster",
    "mrs_hdfs_path": "/user",
    "obs_bucket_path": "obsbucket",
    "file_prefix": "",
    "hdfs_prefix_folder": "",
    "deliver_time_interval": 30,
    "retry_duration": 1800,
}
DLI: Json = _COMMON | {
    "dli_database_name": "dlidatabasename",
    "dli_table_name": "dlitablename",
    "obs_bucket_path": "obsbucket",
    "file_prefix": "",
    "deliver_time_interval": 300,
    "retry_duration": 300,
}
_CLOUDTABLE: Json = {
    "agency_name": "dis_admin_agency",
    "cloudtable_cluster_name": "cloudtablecluster",
    "cloudtable_cluster_id": CLOUDTABLE_ID,
    "retry_duration": 1800,
    "obs_backup_bucket_path": "obsbackupbucket",
    "backup_file_prefix": "",
}
HBASE: Json = _CLOUDTABLE | {
    "consumer_strategy": "TRIM_HORIZON",
    "cloudtable_table_name": "cloudtabletable",
    "cloudtable_row_key_delimiter": "|",
    "cloudtable_schema": {
        "row_key": [{"value": "datavalue", "type": "String"}],
        "columns": [
            {"column_family_name": "cfname1", "column_name": "ID", "value": "datavalue1", "type": "String"},
            {
                "column_family_name": "cfname2",
                "column_name": "VALUE",
                "value": "datavalue2",
                "type": "String",
            },
        ],
    },
}
OPENTSDB: Json = _CLOUDTABLE | {
    "consumer_strategy": "LATEST",
    "opentsdb_schema": [
        {
            "metric": [{"type": "Constant", "value": "age"}],
            "timestamp": {"value": "date", "type": "String", "format": "yyyy/MM/dd HH:mm:ss"},
            "value": {"value": "value", "type": "Bigint"},
            "tags": [{"name": "name", "value": "name", "type": "Bigint"}],
        }
    ],
}
SAMPLES: dict[str, tuple[str, str, Json]] = {
    "OBS": ("OBS", "obs_destination_descriptor", OBS),
    "DWS": ("DWS", "dws_destination_descriptor", DWS),
    "MRS": ("MRS", "mrs_destination_descriptor", MRS),
    "DLI": ("DLI", "dli_destination_descriptor", DLI),
    "HBASE": ("CLOUDTABLE", "cloudtable_destination_descriptor", HBASE),
    "OPENTSDB": ("CLOUDTABLE", "cloudtable_destination_descriptor", OPENTSDB),
}
"""Sample -> destination_type, name of the descriptor, the descriptor without its task_name."""


class Remove:
    """Says that a field of a sample is left out."""


REMOVE = Remove()


def body_of(sample: str, **changes: Any) -> Json:
    """A body that creates the sample's task under a name nobody has used, with fields of the descriptor changed; a path into it has
    `__` for dots: options__reject_limit=5."""
    kind, field, given = SAMPLES[sample]
    descriptor = {"task_name": f"task-{next(_numbers)}"} | copy.deepcopy(given)
    for path, value in changes.items():
        at: Any = descriptor
        *parents, last = path.split("__")
        for parent in parents:
            at = at[int(parent)] if parent.isdigit() else at[parent]
        key: Any = int(last) if last.isdigit() else last
        if value is REMOVE:
            del at[key]
        else:
            at[key] = value
    return {"destination_type": kind, field: descriptor}


def name_of(body: Json) -> str:
    """The task a body creates."""
    return str(next(value["task_name"] for value in body.values() if isinstance(value, dict)))


class Fakes:
    """Every destination but buckets, and a store with the buckets `lake` and `backup`."""

    def __init__(self) -> None:
        self.hdfs = FakeWebHdfs()
        self.hbase = FakeHBase()
        self.opentsdb = FakeOpenTsdb()
        self.iceberg = FakeIceberg()
        self.dws = FakePostgres()
        self.s3 = FakeS3(LAKE_KEY, "lake", "backup")

    def all(self) -> tuple[FakeWebHdfs | FakeHBase | FakeOpenTsdb | FakeIceberg | FakePostgres | FakeS3, ...]:
        return self.hdfs, self.hbase, self.opentsdb, self.iceberg, self.dws, self.s3

    def reset(self) -> None:
        for fake in self.all():
            fake.reset()

    def config(self, directory: Path, *, buckets: str = "", seconds: float = 10.0) -> Path:
        """A configuration that names them all; `buckets` is what it says of [[obs]]."""
        (directory / "kms.key").write_text(KMS_SECRET + "\n")
        file = directory / "penstock.toml"
        file.write_text(
            f"""
[limits]
control_requests_per_second = 1000000
partitions_common = 1000
destination_seconds = {seconds}

[[mrs]]
cluster_id = "{MRS_ID}"
cluster_name = "mrscluster"
webhdfs = "{self.hdfs.url}"

[[dws]]
cluster_id = "{DWS_ID}"
cluster_name = "dwscluster"
host = "127.0.0.1"
port = {self.dws.port}

[[dli]]
catalog = "rest"
uri = "{self.iceberg.url}/iceberg"
warehouse = "warehouse"

[[cloudtable]]
cluster_id = "{CLOUDTABLE_ID}"
cluster_name = "cloudtablecluster"
hbase_rest = "{self.hbase.url}"
opentsdb = "{self.opentsdb.url}"

[[kms]]
key_id = "{KMS_ID}"
key_name = "kmskey"
secret = "file:kms.key"
{buckets}
"""
        )
        return file


@contextmanager
def server_with(
    directory: Path, *, buckets: str = "", seconds: float = 10.0
) -> Iterator[tuple[Server, Fakes]]:
    """A server whose destinations are fakes; with folders as buckets unless `buckets` says something else."""
    fakes = Fakes()
    with ExitStack() as stack:
        for fake in fakes.all():
            stack.callback(fake.close)
        config = fakes.config(directory, buckets=buckets.replace("S3_URL", fakes.s3.url), seconds=seconds)
        data = directory / "data"
        for name in ("obsbucket", "obsbackupbucket"):
            (data / "obs" / name).mkdir(parents=True)
        env = {
            "LAKE_KEY": LAKE_KEY,
            "LAKE_SECRET": LAKE_SECRET,
            "JAVA_HOME": str(idle_jdk(directory / "jdk")),
        }
        server = Server(data, "--config", str(config), env=env)
        stack.enter_context(server)
        yield server, fakes


def idle_jdk(home: Path) -> Path:
    """A JAVA_HOME whose programs are there and fail: taking a task for Carbon files is a matter of looking for them."""
    (home / "bin").mkdir(parents=True)
    for name in ("java", "javac", "mvn"):
        program = home / "bin" / name
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    return home


def path_of(stream: str, rest: str = "") -> str:
    return f"/streams/{stream}/transfer-tasks{rest}"


def create(wire: Wire, stream: str, body: Json) -> Any:
    return wire.call("POST", path_of(stream), body=body)
