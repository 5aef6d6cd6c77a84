"""The three public Python SDKs, unmodified, pointed at a server: `huaweicloudsdkdis`, the older `huaweicloud-python-sdk-dis` (in a
process of its own) and `otcextensions`. Owns how each is set up; their fixtures are in tests/contract/conftest.py."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openstack
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkdis.v2 import DisClient
from otcextensions import sdk
from tests.support.server import Server

DRIVER = Path(__file__).with_name("old_sdk_driver.py")
P0 = "shardId-0000000000"


class Failed(Exception):
    """What the SDK raised, as its text."""


class OldSdk:
    """The SDK's client in a process of its own; `client.method(...)` returns the body of its answer."""

    def __init__(self, server: Server, encoding: str, **changes: str) -> None:
        self.encoding = encoding
        settings = {
            "endpoint": server.endpoint,
            "ak": server.ak,
            "sk": server.sk,
            "projectid": server.project_id,
            "region": "any-region",
            "bodySerializeType": "protobuf" if encoding == "protobuf" else "",
        } | changes
        self._process = subprocess.Popen(
            [sys.executable, str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python", "NO_PROXY": "*"},
        )
        self._say(settings)

    def _say(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def call(self, method: str, *args: object, **kwargs: object) -> tuple[int, Any]:
        self._say({"method": method, "args": args, "kwargs": kwargs})
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the driver ended"
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["status"], answer["body"]

    def body(self, method: str, *args: object, **kwargs: object) -> Any:
        return self.call(method, *args, **kwargs)[1]

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(10)

    def read(self, stream: str, partition: str = P0, kind: str = "TRIM_HORIZON", *more: str) -> list[bytes]:
        """Follow cursors until an empty page."""
        cursor = self.body("getCursor", stream, partition, kind, *more)["partition_cursor"]
        data: list[bytes] = []
        while True:
            page = self.body("getRecords", cursor)
            cursor = page["next_partition_cursor"]
            assert cursor
            if not page["records"]:
                return data
            data += [raw(record["data"]) for record in page["records"]]


def raw(data: Any) -> bytes:
    """Data as the SDK returns it: bytes with protobuf, text where it is UTF-8 with JSON."""
    return base64.b64decode(data["base64"]) if isinstance(data, dict) else str(data).encode()


def client_of(server: Server, *, ak: str = "", sk: str = "", project_id: str = "") -> Any:
    """A client of `huaweicloudsdkdis`."""
    keys = BasicCredentials(ak or server.ak, sk or server.sk, project_id or server.project_id)
    return DisClient.new_builder().with_credentials(keys).with_endpoint(server.endpoint).build()


def connect(server: Server, *, password: str = "") -> Any:
    """A connection of openstacksdk with `otcextensions`."""
    connection: Any = openstack.connection.Connection(
        auth={
            "auth_url": f"{server.endpoint}/v3",
            "username": server.user,
            "password": password or server.password,
            "project_name": server.project,
            "user_domain_name": server.account,
            "project_domain_name": server.account,
        },
        region_name="local",
    )
    sdk.register_otc_extensions(connection)
    return connection
