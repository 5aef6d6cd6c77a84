"""CloudTable: HBase by its REST server, OpenTSDB by its HTTP API. Owns which cluster a name means, and whether table and column
families are there. Penstock never makes or changes a table: HBase's REST server drops families that a change leaves out.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from penstock.destinations import CloudTable, cluster
from penstock.dump.destinations.base import Destination, Place, http_client
from penstock.errors import ApiError
from penstock.model.tasks import CloudTableDescriptor
from penstock.model.validation import shown

_JSON = {"Accept": "application/json"}


def resolve(place: Place, descriptor: CloudTableDescriptor) -> Destination:
    """What the descriptor's schema is for. DIS.4341 (no such cluster, or not with that), DIS.4335."""
    name, cluster_id = descriptor.cloudtable_cluster_name, descriptor.cloudtable_cluster_id
    entry = cluster(place.destinations.cloudtable, cluster_id, name)
    if entry is None:
        raise ApiError("DIS.4341", f"[{shown(name)}][{shown(cluster_id)}]")
    place.admit(entry, descriptor.agency_name)
    if descriptor.cloudtable_schema is None:
        if not entry.opentsdb:
            raise ApiError("DIS.4341", f"[{shown(name)}: OpenTSDB is not enabled]")
        return OpenTsdb(entry, place.seconds)
    if not entry.hbase_rest:
        raise ApiError("DIS.4341", f"[{shown(name)}: HBase is not enabled]")
    families = {column.column_family_name for column in descriptor.cloudtable_schema.columns}
    return HBase(entry, descriptor.cloudtable_table_name, families, place.seconds)


class HBase:
    """The table of one task."""

    def __init__(self, entry: CloudTable, table: str, families: set[str], seconds: float) -> None:
        self.entry = entry
        self.table = table
        self.families = families
        self.seconds = seconds

    async def check(self) -> None:
        """DIS.4341 (it does not answer), DIS.4342 (no such table), DIS.4343 (no such family)."""
        root = self.entry.hbase_rest.rstrip("/")
        async with http_client(self.seconds, "DIS.4341", "HBase") as client:
            # First the cluster: a REST server without an HBase behind answers 404 for every table.
            status = await client.get(f"{root}/status/cluster", headers=_JSON)
            if status.status_code != 200:
                raise ApiError("DIS.4341", f"[HBase answers with status {status.status_code}]")
            reply = await client.get(f"{root}/{quote(self.table, safe=':')}/schema", headers=_JSON)
        if reply.status_code == 404:
            raise ApiError("DIS.4342", f"[{shown(self.table)}]")
        if reply.status_code != 200:
            raise ApiError("DIS.4341", f"[HBase answers with status {reply.status_code}]")
        missing = sorted(self.families - _families(reply.content))
        if missing:
            raise ApiError("DIS.4343", f"[{shown(self.table)}: {shown(missing[0])}]")


class OpenTsdb:
    """The time series database of one task."""

    def __init__(self, entry: CloudTable, seconds: float) -> None:
        self.entry = entry
        self.seconds = seconds

    async def check(self) -> None:
        """DIS.4341 when it does not answer."""
        async with http_client(self.seconds, "DIS.4341", "OpenTSDB") as client:
            reply = await client.get(f"{self.entry.opentsdb.rstrip('/')}/api/version")
        if reply.status_code != 200:
            raise ApiError("DIS.4341", f"[OpenTSDB answers with status {reply.status_code}]")


class _Family(msgspec.Struct):
    name: str


class _Schema(msgspec.Struct, rename={"families": "ColumnSchema"}):
    families: list[_Family]


def _families(body: bytes) -> set[str]:
    """Names in a table's schema. DIS.4341 for what is none."""
    try:
        return {family.name for family in msgspec.json.decode(body, type=_Schema).families}
    except msgspec.MsgspecError as error:
        raise ApiError("DIS.4341", "[what answers is no HBase]") from error
