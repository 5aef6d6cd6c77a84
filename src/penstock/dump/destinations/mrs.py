"""HDFS of an MRS cluster, over WebHDFS. Owns which cluster a name means and whether its directory can be written to.

A refusal says what it is in `RemoteException.exception`, not by its status: 403 is also what a NameNode on standby answers.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from penstock.destinations import Mrs, cluster
from penstock.dump.destinations.base import Place, http_client
from penstock.errors import ApiError
from penstock.model.tasks import MrsDescriptor
from penstock.model.validation import shown

_INACTIVE = ("StandbyException", "SafeModeException", "RetriableException")


class Hdfs:
    """The directory of one task."""

    def __init__(self, entry: Mrs, path: str, seconds: float) -> None:
        self.entry = entry
        self.path = path
        self.seconds = seconds

    @classmethod
    def resolve(cls, place: Place, descriptor: MrsDescriptor) -> Hdfs:
        """DIS.4208 (no such cluster), DIS.4335, DIS.4336 (no path)."""
        entry = cluster(place.destinations.mrs, descriptor.mrs_cluster_id, descriptor.mrs_cluster_name)
        if entry is None:
            raise ApiError(
                "DIS.4208", f"[{shown(descriptor.mrs_cluster_name)}][{shown(descriptor.mrs_cluster_id)}]"
            )
        place.admit(entry, descriptor.agency_name)
        path = descriptor.mrs_hdfs_path
        if not path.startswith("/") or {".", ".."} & set(path.split("/")) or ":" in path:
            raise ApiError("DIS.4336", f"[{shown(path)}: not the absolute path of a directory]")
        return cls(entry, path, place.seconds)

    async def check(self) -> None:
        """DIS.4208 (the cluster does not answer), DIS.4336 (no directory, or not one that can be written to)."""
        async with http_client(self.seconds, "DIS.4208", "WebHDFS") as client:
            reply = await client.get(self.url("GETFILESTATUS"))
            if reply.status_code != 200:
                raise self._refusal(reply.status_code, reply.content)
            status = _object(reply.content).get("FileStatus")
            if not isinstance(status, dict):
                raise ApiError("DIS.4208", "[what answers is no WebHDFS]")
            if status.get("type") != "DIRECTORY":
                raise ApiError("DIS.4336", f"[{shown(self.path)}: not a directory]")
            reply = await client.get(self.url("CHECKACCESS", "&fsaction=-w-"))
            if reply.status_code == 403:
                raise self._refusal(reply.status_code, reply.content)

    def full_path(self, key: str) -> str:
        """The path in HDFS of what is called `key` below the directory; of the directory itself without one."""
        return f"{self.path.rstrip('/')}/{key}" if key else self.path

    def url(self, operation: str, rest: str = "", key: str = "") -> str:
        """The address of an operation on the directory, or on `key` below it."""
        root = self.entry.webhdfs.rstrip("/")
        root = root if root.endswith("/webhdfs/v1") else f"{root}/webhdfs/v1"
        path = quote(self.full_path(key))
        return f"{root}{path}?op={operation}&user.name={self.quoted(self.entry.user)}{rest}"

    @staticmethod
    def quoted(text: str) -> str:
        """A value of a parameter."""
        return quote(text, safe="")

    def _refusal(self, status: int, body: bytes) -> ApiError:
        remote = _object(body).get("RemoteException")
        name = remote.get("exception", "") if isinstance(remote, dict) else ""
        if name == "FileNotFoundException":
            return ApiError("DIS.4336", f"[{shown(self.path)}: does not exist]")
        if name == "AccessControlException":
            return ApiError("DIS.4336", f"[{shown(self.path)}: permission denied]")
        if name in _INACTIVE:
            return ApiError("DIS.4208", "[the NameNode is not active]")
        if status == 401:
            return ApiError("DIS.4208", "[only clusters without Kerberos are supported]")
        if name and status in (400, 403):
            return ApiError("DIS.4336", f"[{shown(self.path)}: {shown(name)}]")
        return ApiError("DIS.4208", f"[WebHDFS answers with status {status}]")


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
