"""`penstock app` and `penstock checkpoint` against a real server: every command, its output, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.support.server import Server

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(server: Server) -> Run:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
    own = {"PENSTOCK_ENDPOINT": server.endpoint, "PENSTOCK_CREDENTIALS": str(server.credentials_file)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "penstock", *arguments],
            input="",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=inherited | own,
        )

    return run


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def failed(result: subprocess.CompletedProcess[str], *said: str, status: int = 1) -> None:
    assert result.returncode == status, result.stderr
    for text in said:
        assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_from_creation_to_deletion(cli: Run) -> None:
    assert "No apps yet" in cli("app", "list").stderr
    assert "Created billing" in cli("app", "create", "billing").stderr
    failed(cli("app", "create", "billing"), "DIS.4330", "penstock app list")
    done(cli("stream", "create", "clicks", "--partitions", "2"))
    done(cli("put", "clicks", "a", "b", "c", "--partition", "1"))
    assert "no checkpoints" in done(cli("app", "show", "billing"))
    assert "No app has checkpoints of clicks" in cli("app", "list", "--stream", "clicks").stderr

    assert "goes on at 2" in cli("checkpoint", "commit", "billing", "clicks", "2", "-p", "1").stderr
    first, second = objects(done(cli("checkpoint", "show", "billing", "clicks", "--json")))
    assert (first["sequence_number"], first["lag"]) == ("-1", 0)
    assert (second["sequence_number"], second["lag"], second["latest_offset"]) == ("2", 1, 3)
    table = done(cli("checkpoint", "show", "billing", "clicks")).splitlines()
    assert table[0].split() == ["PARTITION", "STATUS", "CHECKPOINT", "EARLIEST", "NEXT", "LAG", "METADATA"]
    assert table[2].split() == ["shardId-0000000001", "ACTIVE", "2", "0", "3", "1"]

    shown = done(cli("app", "show", "billing"))
    assert "clicks, lag 1" in shown
    assert json.loads(done(cli("app", "show", "billing", "--json")))["app_name"] == "billing"
    assert [one["app_name"] for one in objects(done(cli("app", "list", "--stream", "clicks", "--json")))] == [
        "billing"
    ]
    assert done(cli("app", "list")).splitlines()[1].split()[0::3] == ["billing", "clicks"]

    failed(cli("checkpoint", "commit", "billing", "clicks", "9"), "DIS.4224", "penstock stream show clicks")
    done(cli("checkpoint", "commit", "billing", "clicks", "0", "--metadata", "x" * 100))
    assert f"{'x' * 40}..." in done(cli("checkpoint", "show", "billing", "clicks"))
    assert "partition 0 of clicks" in cli("checkpoint", "delete", "billing", "clicks", "-p", "0").stderr
    done(cli("checkpoint", "delete", "billing", "clicks"))
    failed(
        cli("checkpoint", "delete", "billing", "clicks"), "DIS.4375", "penstock checkpoint show APP clicks"
    )

    failed(cli("app", "delete", "billing"), "--yes", status=2)
    assert "Deleted billing" in cli("app", "delete", "billing", "--yes").stderr
    failed(cli("app", "show", "billing"), "DIS.4332", "penstock app create")
    failed(cli("checkpoint", "show", "billing", "clicks"), "DIS.4332")
