"""`penstock dump`: a person makes a task, sees what it waits for, and checks what it delivered (5.5.1 to 5.5.6)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.support import controls
from tests.support.server import Server
from tests.support.wire import Wire, done

Run = Callable[..., str]


@pytest.fixture
def server(tmp_path: Path) -> Server:
    (tmp_path / "data" / "obs" / "lake").mkdir(parents=True)
    return Server(tmp_path / "data", "--limits", "relaxed", env=controls.ON)


def run(server: Server, *arguments: str, status: int = 0, text: str = "") -> str:
    """Standard output of a command; then standard error."""
    environ = os.environ | {
        "PENSTOCK_ENDPOINT": server.endpoint,
        "PENSTOCK_CREDENTIALS": str(server.data / "credentials.csv"),
        "PENSTOCK_DATA": str(server.data),
    }
    finished = subprocess.run(
        [sys.executable, "-m", "penstock", "dump", *arguments],
        env=environ,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == status, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def metrics(server: Server) -> str:
    """The page that Prometheus reads."""
    return httpx.get(f"{server.manage}/metrics", trust_env=False).text


def test_the_life_of_a_task(server: Server) -> None:
    with server, Wire.to(server) as wire:
        done(wire.create("clicks"), 201)
        wire.put_data("clicks", *(b"%d" % number for number in range(5)))
        assert "penstock dump create clicks NAME" in run(server, "list", "clicks")
        assert "--bucket BUCKET" in run(server, "create", "clicks", "archive", status=2)
        run(server, "create", "clicks", "archive", "--bucket", "lake", "--interval", "30", "--oldest")
        shown = run(server, "show", "clicks", "archive")
        assert "lag 5 records" in shown
        assert "deliver_time_interval 30 s" in shown
        assert (
            f'penstock_dump_lag_records{{project_id="{server.project_id}",stream="clicks",task="archive"}} 5.0'
            in metrics(server)
        )
        controls.advance(server, 31)
        shown = run(server, "show", "clicks", "archive")
        assert "nothing to deliver" in shown
        assert "exactly once" in shown
        details = json.loads(run(server, "show", "clicks", "archive", "--json"))
        assert details["lag"] == {"records": 0, "bytes": 0, "seconds": 0.0}
        assert details["partitions"][0]["last_transfer_offset"] == 4
        assert "no differences" in run(server, "verify", "clicks", "archive")
        (file,) = (server.data / "obs" / "lake").glob("*.txt")
        assert file.read_bytes() == b"0\n1\n2\n3\n4\n"
        file.write_bytes(b"0\n1\n2\n3\n5\n")
        run(server, "verify", "clicks", "archive", status=1)
        run(server, "stop", "clicks", "archive")
        assert "PAUSED" in run(server, "list", "clicks")
        run(server, "start", "clicks", "archive")
        run(server, "delete", "clicks", "archive")
        assert "DIS.4354" in run(server, "show", "clicks", "archive", status=1)


def test_any_destination_from_a_file(server: Server, tmp_path: Path) -> None:
    with server, Wire.to(server) as wire:
        done(wire.create("clicks"), 201)
        body = {"destination_type": "OBS", "obs_destination_descriptor": {"obs_bucket_path": "lake"}}
        run(server, "create", "clicks", "first", "--body", "-", text=json.dumps(body))
        file = tmp_path / "body.json"
        file.write_text(json.dumps(body))
        run(server, "create", "clicks", "second", "--body", str(file))
        names = [
            json.loads(line)["task_name"] for line in run(server, "list", "clicks", "--json").splitlines()
        ]
        assert names == ["first", "second"]
        assert "not the body of a request" in run(
            server, "create", "clicks", "third", "--body", "-", text="[]", status=2
        )
        assert "bucket create nowhere" in run(
            server, "create", "clicks", "third", "--bucket", "nowhere", status=1
        )
