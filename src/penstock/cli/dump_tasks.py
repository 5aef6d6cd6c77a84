"""Dump tasks on the command line: what `penstock dump create`, `list`, `show`, `start`, `stop` and `delete` do and print. Owns texts and
tables; the client does the asking."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from penstock.cli import output
from penstock.cli.client import Client
from penstock.cli.failure import CommandError

AGENCY = "dis_admin_agency"
"""What every account has."""
_HEADER = ("PARTITION", "STATE", "DELIVERED TO", "AT", "PASSED OVER", "LAG", "WHY")


def create(client: Client, stream: str, task: str, options: dict[str, Any]) -> None:
    """A task that writes into a bucket; options without a value are left to the server."""
    if not options["obs_bucket_path"]:
        raise CommandError(
            "A task needs a destination", "Say --bucket BUCKET, or --body FILE for another one", status=2
        )
    descriptor = {"task_name": task, "agency_name": AGENCY} | {
        name: value for name, value in options.items() if value not in ("", None)
    }
    body = {"destination_type": "OBS", "obs_destination_descriptor": descriptor}
    client.create_dump_task(stream, body)
    _created(stream, task)


def create_from(client: Client, stream: str, task: str, file: Path) -> None:
    """A task as the file's JSON says, under this name."""
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        body = msgspec.json.decode(text, type=dict[str, Any])
    except OSError as error:
        raise CommandError(
            f"{file}: {error.strerror}", "Name a file with the request's body", status=2
        ) from error
    except msgspec.MsgspecError as error:
        raise CommandError(
            f"{file} is not the body of a request: {error}", "See docs/dump-tasks.md", status=2
        ) from error
    for value in body.values():
        if isinstance(value, dict):
            value["task_name"] = task
            value.setdefault("agency_name", AGENCY)
    client.create_dump_task(stream, body)
    _created(stream, task)


def _created(stream: str, task: str) -> None:
    output.note(f"Created {task}. See how far it is: penstock dump show {stream} {task}")


def list_all(client: Client, stream: str, *, as_json: bool) -> None:
    """One line for each task."""
    tasks = list(client.dump_tasks(stream))
    if as_json:
        for task in tasks:
            output.line(msgspec.json.encode(task))
    elif not tasks:
        output.note(
            f"{stream} has no dump tasks. Create one: penstock dump create {stream} NAME --bucket BUCKET"
        )
    else:
        rows = [
            (
                str(task.get("task_name")),
                str(task.get("destination_type")),
                str(task.get("state")),
                output.time(task.get("create_time")),
                output.time(task.get("last_transfer_timestamp") or None),
            )
            for task in tasks
        ]
        output.table(("TASK", "TO", "STATE", "CREATED", "LAST DELIVERY"), rows, right=set())
    output.flush()


def show(client: Client, stream: str, task: str, *, as_json: bool) -> None:
    """The task and its partitions."""
    details = client.dump_task(stream, task)
    if as_json:
        output.line(msgspec.json.encode(details))
        output.flush()
        return
    lag = details.get("lag") or {}
    output.line(
        f"{details.get('task_name')} ({details.get('task_id')}) to {details.get('destination_type')}, {details.get('state')}"
    )
    if reason := details.get("state_reason"):
        output.line(str(reason))
    output.line(
        f"lag {output.count(lag.get('records', 0), 'record')}, {lag.get('bytes', 0)} bytes, {lag.get('seconds', 0):.0f} s; "
        f"last delivery {output.time(details.get('last_transfer_timestamp') or None)}; {details.get('guarantee', 'nothing delivered yet')}"
    )
    output.line("")
    rows = [
        (
            str(partition.get("partition_id")),
            str(partition.get("state")),
            str(partition.get("last_transfer_offset")),
            output.time(partition.get("last_transfer_timestamp") or None),
            str(partition.get("discard")),
            str((partition.get("lag") or {}).get("records", 0)),
            str(partition.get("state_reason", "")),
        )
        for partition in details.get("partitions", ())
    ]
    output.table(_HEADER, rows, right={2, 4, 5})
    output.flush()


def act(client: Client, stream: str, task: str, action: str) -> None:
    """Start or stop it."""
    client.act_on_dump_task(stream, client.dump_task(stream, task)["task_id"], action)
    output.note(f"{'Started' if action == 'start' else 'Stopped'} {task}.")


def delete(client: Client, stream: str, task: str) -> None:
    """Delete it."""
    client.delete_dump_task(stream, task)
    output.note(f"Deleted {task}. What it has delivered stays.")
