"""The access log: a line for each request with names and never values, also from several processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support.wire import PARTITION_0, Wire, b64, ok


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_request_leaves_a_line(start_server: StartServer, tmp_path: Path, workers: str) -> None:
    file = tmp_path / "access.log"
    server = start_server(
        "--access-log", str(file), "--workers", workers, env={"PENSTOCK_ACCESS_LOG_FIELDS": "on"}
    )
    with Wire.to(server) as wire:
        wire.create("s1")
        put = wire.put("s1", [{"data": b64(b"secret-data")}, {"data": b64(b"x"), "partition_id": "7"}])
        ok(put)
        wire.describe("missing", "limit_partitions=3")
        wire.call("GET", "/nothing")
    found = {(line["method"], line["route"]): line for line in lines(file)}
    assert found["POST", "/v2/{project_id}/streams"]["fields"] == ["stream_name", "partition_count"]
    stored = found["POST", "/v2/{project_id}/records"]
    assert stored["fields"] == ["stream_name", "records", "records[].data", "records[].partition_id"]
    assert stored["replied"][:2] == ["failed_record_count", "records"]
    assert stored["codes"] == [ok(put)["records"][1]["error_code"]]
    assert stored["request_id"] == put.headers["x-request-id"]
    assert (stored["status"], stored["key"], stored["peer"]) == (200, "token", "127.0.0.1")
    assert stored["bytes_out"] == len(put.content)
    described = found["GET", "/v2/{project_id}/streams/{stream_name}"]
    assert (described["status"], described["codes"]) == (404, ["DIS.4301"])
    assert described["fields"] == ["?limit_partitions"]
    assert found["GET", ""]["codes"] == ["APIGW.0101"]
    text = file.read_text()
    assert wire.token not in text
    assert b64(b"secret-data") not in text
    assert PARTITION_0 not in text
    assert file.stat().st_mode & 0o007 == 0
