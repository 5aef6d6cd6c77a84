"""MRS and CloudTable: files in HDFS, rows in HBase, points in OpenTSDB. All of them need Java."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.destinations.base import (
    FIRST_MS,
    KEPT,
    Destination,
    Own,
    Records,
    differs,
    pieces,
    slices,
    timed,
)
from bench.processes import Died

IN_FLIGHT = 4
"""Requests at once without Penstock, as many as a dump has."""
MRS_ID = "f8123fa6-99f1-4ed9-83f4-c827c7277d41"
CLOUDTABLE_ID = "b8c095e2-db5f-4732-8a1d-eacd662e35dc"


class HdfsText(Destination):
    """MRS: text over WebHDFS."""

    name, title = "hdfs-text", "HDFS, text"
    heavy = True
    share = 0.5
    kind, field = "MRS", "mrs_destination_descriptor"

    def start(self) -> None:
        from tests.services.hdfs import HdfsCluster

        self.hdfs = HdfsCluster(self.directory / "hdfs")
        self.hdfs.start()

    def stop(self) -> None:
        self.hdfs.stop()

    def config(self) -> str:
        entry = (
            f'[[mrs]]\ncluster_id = "{MRS_ID}"\nwebhdfs = "{self.hdfs.url}"\nuser = "{self.hdfs.USER}"\n\n'
        )
        return entry + super().config()

    def make(self, place: str) -> None:
        self.hdfs.call("PUT", f"/dis/{place}", "MKDIRS")

    def remove(self, place: str) -> None:
        self.hdfs.call("DELETE", f"/dis/{place}", "DELETE", recursive="true")

    def descriptor(self, place: str) -> dict[str, Any]:
        return {
            "mrs_cluster_id": MRS_ID,
            "mrs_cluster_name": "mrs",
            "mrs_hdfs_path": f"/dis/{place}",
            "hdfs_prefix_folder": "",
            "destination_file_type": "text",
            "record_delimiter": "\n",
            "obs_bucket_path": KEPT,
        }

    def check(self, place: str, records: Records) -> str:
        found = sum(self._sizes(f"/dis/{place}"))
        return "" if found == records.count * (records.size + 1) else f"{found} bytes are there"

    def _sizes(self, path: str) -> Iterator[int]:
        """Of what Hive and Spark read."""
        for status in self.hdfs.call("GET", path, "LISTSTATUS")["FileStatuses"]["FileStatus"]:
            name = status["pathSuffix"]
            if name.startswith((".", "_")):
                continue
            if status["type"] == "DIRECTORY":
                yield from self._sizes(f"{path}/{name}")
            else:
                yield status["length"]

    def own(self, records: Records, place: str) -> Own:
        import httpx

        prepared = list(pieces(records))

        def put() -> None:
            for number, piece in enumerate(prepared):
                path = f"/dis/{place}-own-{number}"
                where = self.hdfs.call("PUT", path, "CREATE", noredirect="true", overwrite="true")
                httpx.put(where["Location"], content=piece, timeout=60, trust_env=False).raise_for_status()

        seconds = timed(put)
        for number in range(len(prepared)):
            self.remove(f"{place}-own-{number}")
        return Own(records.total, seconds, "WebHDFS creation of files of 64 MiB")


class HBaseRows(Destination):
    """CloudTable: rows of two cells over HBase's REST server."""

    name, title = "hbase", "HBase, 2 columns"
    heavy = True
    share = 0.2
    kind, field = "CLOUDTABLE", "cloudtable_destination_descriptor"

    def start(self) -> None:
        from tests.services.hbase import HBase

        self.hbase = HBase(self.directory / "hbase")
        self.hbase.start()

    def stop(self) -> None:
        self.hbase.stop()

    def config(self) -> str:
        entry = f'[[cloudtable]]\ncluster_id = "{CLOUDTABLE_ID}"\nhbase_rest = "{self.hbase.rest}"\n\n'
        return entry + super().config()

    def make(self, place: str) -> None:
        self.hbase.create(place, ["f"])

    def remove(self, place: str) -> None:
        self.hbase.drop(place)

    def descriptor(self, place: str) -> dict[str, Any]:
        columns = [
            {"column_family_name": "f", "column_name": name, "value": name, "type": "String"}
            for name in ("name", "note")
        ]
        return _cloudtable() | {
            "cloudtable_table_name": place,
            "cloudtable_schema": {"row_key": [{"value": "id", "type": "Bigint"}], "columns": columns},
        }

    def check(self, place: str, records: Records) -> str:
        """Samples: to read all of it would take longer than the rest."""
        for number in random.Random(1).sample(range(records.count), min(records.count, 200)):
            cells = self.hbase.cells(place, str(number).encode())
            value = json.loads(records.record(number))
            if {column: data.decode() for column, _, data in cells} != {
                "f:name": value["name"],
                "f:note": value["note"],
            }:
                return f"row {number} is {cells}"
        return ""

    def own(self, records: Records, place: str) -> Own:
        def text(data: object) -> str:
            return base64.b64encode(str(data).encode()).decode()

        bodies = [
            json.dumps(
                {
                    "Row": [
                        {
                            "key": text(number),
                            "Cell": [
                                {"column": text("f:name"), "timestamp": FIRST_MS, "$": text(name)},
                                {"column": text("f:note"), "timestamp": FIRST_MS, "$": text(note)},
                            ],
                        }
                        for number, name, _, _, note in some
                    ]
                }
            ).encode()
            for some in slices(records.values(), 1000)
        ]
        self.make(f"{place}_own")
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        seconds = _send("PUT", f"{self.hbase.rest}/{place}_own/rows", headers, bodies)
        self.remove(f"{place}_own")
        return Own(records.total, seconds, "REST puts of 1,000 prepared rows, 4 in flight")


class OpenTsdbPoints(Destination):
    """CloudTable: points."""

    name, title = "opentsdb", "OpenTSDB, points"
    heavy = True
    share = 0.1
    kind, field = "CLOUDTABLE", "cloudtable_destination_descriptor"

    def start(self) -> None:
        from tests.services.opentsdb import OpenTsdb

        self.tsdb = OpenTsdb(self.directory / "opentsdb")
        self.tsdb.start()

    def stop(self) -> None:
        self.tsdb.stop()

    def config(self) -> str:
        entry = f'[[cloudtable]]\ncluster_id = "{CLOUDTABLE_ID}"\nopentsdb = "{self.tsdb.url}"\n\n'
        return entry + super().config()

    def make(self, place: str) -> None:
        self.tsdb.assign(place)

    def descriptor(self, place: str) -> dict[str, Any]:
        schema = {
            "metric": [{"type": "Constant", "value": place}],
            "timestamp": {"value": "at", "type": "Timestamp"},
            "value": {"value": "value", "type": "Double"},
            "tags": [{"name": "name", "value": "name", "type": "String"}],
        }
        return _cloudtable() | {"opentsdb_schema": [schema]}

    def check(self, place: str, records: Records) -> str:
        first = FIRST_MS // 1000
        series = self.tsdb.query(place, first - 10, first + records.count + 10)
        return differs(sum(len(one["dps"]) for one in series), records.count)

    def own(self, records: Records, place: str) -> Own:
        points = [
            {"metric": f"{place}.own", "timestamp": at, "value": value, "tags": {"name": name}}
            for _, name, at, value, _ in records.values()
        ]
        self.make(f"{place}.own")
        # A body must fit into 8 kB.
        count = 500 * 6_500 // len(gzip.compress(json.dumps(points[:500]).encode(), 6))
        bodies = [gzip.compress(json.dumps(some).encode(), 6) for some in slices(iter(points), count)]
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        seconds = _send("POST", f"{self.tsdb.url}/api/put?details&sync&sync_timeout=10000", headers, bodies)
        return Own(records.total, seconds, f"/api/put?sync of {count} prepared points, gzip, 4 in flight")


def _cloudtable() -> dict[str, Any]:
    return {
        "cloudtable_cluster_name": "cloudtable",
        "cloudtable_cluster_id": CLOUDTABLE_ID,
        "obs_backup_bucket_path": KEPT,
    }


def _send(method: str, url: str, headers: dict[str, str], bodies: Sequence[bytes]) -> float:
    """All of them, IN_FLIGHT at a time; seconds."""
    import httpx

    with httpx.Client(timeout=60, trust_env=False) as client, ThreadPoolExecutor(IN_FLIGHT) as pool:

        def put(body: bytes) -> None:
            reply = client.request(method, url, content=body, headers=headers)
            if not reply.is_success:
                raise Died(f"{url}: {reply.status_code} {reply.text[:300]}")

        return timed(lambda: list(pool.map(put, bodies)))
