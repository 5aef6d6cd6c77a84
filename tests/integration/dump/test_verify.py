"""`penstock dump verify` against a real server that delivers: into its own folder, and into an S3 server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.services.hdfs import HdfsCluster
from tests.services.s3 import ACCESS_KEY, REGION, S3, SECRET_KEY
from tests.support import controls
from tests.support.server import Server
from tests.support.wire import Wire, done, ok

Run = Callable[..., subprocess.CompletedProcess[str]]
RECORD = b'{"id":%d,"text":"' + b"x" * 1000 + b'"}'


class Site:
    """A server with its configuration, and the folder that its bucket `lake` is."""

    def __init__(self, server: Server, config: Path | None, bucket: Path) -> None:
        self.server = server
        self.config = config
        self.bucket = bucket

    def verify(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
        own = {
            "PENSTOCK_ENDPOINT": self.server.endpoint,
            "PENSTOCK_CREDENTIALS": str(self.server.credentials_file),
        }
        named = [] if self.config is None else ["--config", str(self.config)]
        return subprocess.run(
            [sys.executable, "-m", "penstock", "dump", "verify", *arguments, *named],
            input="",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=inherited | own,
        )

    def create(self, wire: Wire, stream: str, of: dict[str, Any] | None = None, **fields: Any) -> None:
        """A stream and a task `archive` that delivers once it has a megabyte."""
        done(wire.create(stream, 1, **(of or {})), 201)
        descriptor = {
            "task_name": "archive",
            "agency_name": "dis_admin_agency",
            "obs_bucket_path": "lake",
            "file_prefix": "dumps",
            "consumer_strategy": "TRIM_HORIZON",
            "deliver_time_interval": 900,
            "deliver_size_interval": 1,
        } | fields
        body = {"destination_type": "OBS", "obs_destination_descriptor": descriptor}
        done(wire.call("POST", f"/streams/{stream}/transfer-tasks", body=body), 201)

    def deliver(
        self, stream: str, record: bytes = RECORD, of: dict[str, Any] | None = None, **fields: Any
    ) -> None:
        """The same, with 1,500 such records of 1 KB, of which the first megabyte has been delivered."""
        with Wire.to(self.server) as wire:
            self.create(wire, stream, of, **fields)
            for start in range(0, 1500, 500):
                wire.put_data(stream, *(record % number for number in range(start, start + 500)))
            until = time.monotonic() + 60
            while True:
                details = ok(wire.call("GET", f"/streams/{stream}/transfer-tasks/archive"))
                if details["partitions"][0]["last_transfer_offset"] >= 900:
                    return
                assert time.monotonic() < until, details
                time.sleep(0.2)


@pytest.fixture(scope="module", params=["folder", pytest.param("s3", marks=pytest.mark.services)])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    data = directory / "data"
    options = ["--limits", "relaxed"]
    if request.param == "folder":
        bucket = data / "obs" / "lake"
        bucket.mkdir(parents=True)
        with Server(data, *options) as server:
            yield with_an_idle_task(Site(server, None, bucket))
        return
    with S3(directory / "s3") as s3:
        config = directory / "penstock.toml"
        config.write_text(
            f'[[obs]]\nbucket = "*"\nendpoint = "{s3.endpoint}"\nregion = "{REGION}"\n'
            f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n'
        )
        bucket = s3.bucket("lake")
        with Server(data, "--config", str(config), *options) as server:
            yield with_an_idle_task(Site(server, config, bucket))


def with_an_idle_task(site: Site) -> Site:
    with Wire.to(site.server) as wire:
        site.create(wire, "idle")
    return site


def report(result: subprocess.CompletedProcess[str], status: int) -> dict[str, Any]:
    assert result.returncode == status, result.stderr + result.stdout
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_what_was_delivered_and_what_was_damaged(site: Site) -> None:
    site.deliver("clicks")
    data = ["--data", str(site.server.data)]
    result = site.verify("clicks", "archive", *data)
    assert result.returncode == 0, result.stderr + result.stdout
    assert result.stdout.startswith("no differences: ")
    assert "compared with the log, which has 0 others no more" in result.stdout
    found = report(site.verify("clicks", "archive", *data, "--json"), 0)
    assert found["differences"] == [] and found["compared"] == found["records"] > 900
    [file, *_] = sorted(site.bucket.glob("dumps/clicks-archive-*.txt"))
    right = file.read_bytes()
    assert right.startswith(RECORD % 0 + b"\n")
    file.write_bytes(right.replace(b"x", b"y", 1))
    found = report(site.verify("clicks", "archive", *data, "--json"), 1)
    [difference] = found["differences"]
    assert (difference["what"], difference["where"]) == ("checksum", f"dumps/{file.name}")
    result = site.verify("clicks", "archive", *data)
    assert result.returncode == 1
    said = rf"DIFFERENCE  dumps/{re.escape(file.name)}: round [0-9]+: CRC32C [0-9a-f]{{8}}, [0-9a-f]{{8}} was written\n"
    assert re.match(said, result.stdout), result.stdout
    assert result.stderr == ""
    assert "\n1 difference: " in result.stdout
    # Its bytes are not read: nothing to see.
    assert site.verify("clicks", "archive", *data, "--quick").returncode == 0
    file.unlink()
    found = report(site.verify("clicks", "archive", *data, "--json", "--quick"), 1)
    assert [one["what"] for one in found["differences"]] == ["missing"]
    file.write_bytes(right)


def test_parquet_in_directories_of_record_time(site: Site) -> None:
    """5.5.1 table 5-83. Rows are counted."""
    site.deliver(
        "flights",
        RECORD.replace(b"%d", b"1700000%06d"),
        of={"data_type": "JSON"},
        destination_file_type="parquet",
        partition_format="yyyy/MM/dd/HH/mm",
        processing_schema={"timestamp_name": "id", "timestamp_type": "Timestamp"},
    )
    found = report(site.verify("flights", "archive", "--data", str(site.server.data), "--json"), 0)
    assert found["compared"] == found["records"] > 900
    assert list(site.bucket.glob("dumps/2023/11/14/22/13/flights-archive-*.parquet"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing", "archive"), "DIS.4301"),
        (("idle", "nothing"), "DIS.4354"),
        (("idle", "archive", "--endpoint", "http://127.0.0.1:9"), "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_checked(site: Site, arguments: tuple[str, ...], said: str) -> None:
    result = site.verify(*arguments, "--data", str(site.server.data))
    assert result.returncode == 2, result.stdout
    assert said in result.stderr and "Traceback" not in result.stderr and result.stdout == ""


def test_a_task_that_has_delivered_nothing(site: Site) -> None:
    result = site.verify("idle", "archive", "--data", str(site.server.data))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("no differences: 0 rounds, 0 files, 0 bytes; ")


def test_without_the_server_s_data_directory_or_configuration(site: Site, tmp_path: Path) -> None:
    bare = Site(site.server, None, site.bucket)
    result = bare.verify("idle", "archive", "--data", str(tmp_path))
    assert result.returncode == 2
    assert "Name the server's own: --data DIR, and --config FILE" in result.stderr


@pytest.mark.services
def test_files_in_hdfs(tmp_path: Path) -> None:
    """5.5.8: they are checked over WebHDFS; what cannot be delivered would be in a bucket."""
    config = tmp_path / "penstock.toml"
    data = tmp_path / "data"
    (data / "obs" / "lake").mkdir(parents=True)
    with HdfsCluster(tmp_path / "hdfs") as hdfs:
        hdfs.call("PUT", "/dis/raw", "MKDIRS")
        config.write_text(
            f'[[mrs]]\ncluster_id = "i"\ncluster_name = "c"\nwebhdfs = "{hdfs.url}"\nuser = "{hdfs.USER}"\n'
        )
        descriptor = {
            "task_name": "archive",
            "agency_name": "dis_admin_agency",
            "mrs_cluster_id": "i",
            "mrs_cluster_name": "c",
            "mrs_hdfs_path": "/dis",
            "hdfs_prefix_folder": "raw",
            "obs_bucket_path": "lake",
            "consumer_strategy": "TRIM_HORIZON",
            "deliver_time_interval": 30,
        }
        with Server(data, "--config", str(config), env=controls.ON) as server, Wire.to(server) as wire:
            done(wire.create("clicks", 1), 201)
            body = {"destination_type": "MRS", "mrs_destination_descriptor": descriptor}
            done(wire.call("POST", "/streams/clicks/transfer-tasks", body=body), 201)
            wire.put_data("clicks", b"a", b"b", b"c")
            until = time.monotonic() + 60
            while not (names := [name for name in hdfs.names("/dis/raw") if name.startswith("clicks-")]):
                assert time.monotonic() < until
                controls.advance(server, 31)
            site = Site(server, config, data)
            arguments = ("clicks", "archive", "--data", str(data), "--json")
            while (found := report(site.verify(*arguments), 0))["notes"]:  # not committed yet
                assert time.monotonic() < until, found
            assert (found["files"], found["compared"]) == (1, 3)
            hdfs.write(f"/dis/raw/{names[0]}", b"a\nB\nc\n")
            [difference] = report(site.verify(*arguments), 1)["differences"]
            assert (difference["what"], difference["where"]) == ("checksum", f"raw/{names[0]}")
