"""`penstock app ...` and `penstock checkpoint ...`: what each command does and prints. Owns texts and tables; the client does the
asking."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.cli import output
from penstock.cli.client import Client
from penstock.cli.failure import CommandError, ServerError

_NONE = "-1"
_HEADER = ("PARTITION", "STATUS", "CHECKPOINT", "EARLIEST", "NEXT", "LAG", "METADATA")
_METADATA_SHOWN = 40


def create(client: Client, name: str) -> None:
    """Creates it and says how to go on."""
    client.create_app(name)
    output.note(f"Created {name}. See how far it has read: penstock app show {name}")


def list_all(client: Client, *, stream: str, as_json: bool) -> None:
    """One line for each app."""
    apps = list(client.apps(stream))
    if as_json:
        for app in apps:
            output.line(msgspec.json.encode(app))
    elif not apps:
        about = f"No app has checkpoints of {stream}." if stream else "No apps yet."
        output.note(f"{about} Create one: penstock app create NAME")
    else:
        rows = [
            (
                str(app.get("app_name")),
                output.time(app.get("create_time")),
                ", ".join(app.get("commit_checkpoint_stream_names") or ["-"]),
            )
            for app in apps
        ]
        output.table(("APP", "CREATED", "CHECKPOINTS OF"), rows, right=set())
    output.flush()


def show(client: Client, name: str, *, as_json: bool) -> None:
    """The app, and how far it has read each stream it has checkpoints of."""
    app = client.app(name)
    if as_json:
        output.line(msgspec.json.encode(app))
        output.flush()
        return
    output.line(f"{app.get('app_name')} ({app.get('app_id')}), created {output.time(app.get('create_time'))}")
    streams = app.get("commit_checkpoint_stream_names") or []
    if not streams:
        output.line("no checkpoints")
    for stream in streams:
        output.line("")
        try:
            states = list(client.consuming_states(name, stream))
        except ServerError as error:
            # Deleted since, or shared by another account: then only its id finds it.
            output.line(f"{stream}: {error.message}")
            continue
        output.line(f"{stream}, lag {sum(_lag(state) for state in states)}")
        output.table(_HEADER, _rows(states), right={2, 3, 4, 5})
    output.flush()


def delete(client: Client, name: str, *, yes: bool) -> None:
    """Deletes it, having asked when there is somebody to ask."""
    if not yes:
        client.app(name)
        if not sys.stdin.isatty():
            raise CommandError(f"Deleting {name} deletes its checkpoints", "Say so: --yes", status=2)
        output.note(f"This deletes {name} and its checkpoints, for good. Type the app's name to go on:")
        if sys.stdin.readline().strip() != name:
            raise CommandError("Nothing was deleted.")
    client.delete_app(name)
    output.note(f"Deleted {name}.")


def show_checkpoints(client: Client, app: str, stream: str, *, as_json: bool) -> None:
    """One line for each partition."""
    states = list(client.consuming_states(app, stream))
    if as_json:
        for state in states:
            output.line(msgspec.json.encode(state))
    else:
        output.table(_HEADER, _rows(states), right={2, 3, 4, 5})
    output.flush()


def commit(client: Client, app: str, stream: str, partition: str, sequence: int, metadata: str) -> None:
    """Commits and says what."""
    client.commit(app, stream, partition, str(sequence), metadata)
    output.note(f"{app} goes on at {sequence} in partition {partition} of {stream}.")


def delete_checkpoints(client: Client, app: str, stream: str, partition: str) -> None:
    """Deletes and says what."""
    client.delete_checkpoints(app, stream, partition)
    which = f"partition {partition} of {stream}" if partition else stream
    output.note(f"{app} has no checkpoint of {which} any more.")


def _lag(state: dict[str, Any]) -> int:
    lag = state.get("lag", 0)
    return lag if isinstance(lag, int) else 0


def _rows(states: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for state in states:
        sequence, metadata = str(state.get("sequence_number")), str(state.get("metadata") or "")
        metadata = metadata if metadata.isprintable() else repr(metadata)
        rows.append(
            (
                str(state.get("partition_id")),
                str(state.get("status")),
                "-" if sequence == _NONE else sequence,
                str(state.get("earliest_offset")),
                str(state.get("latest_offset")),
                str(_lag(state)),
                metadata if len(metadata) <= _METADATA_SHOWN else f"{metadata[:_METADATA_SHOWN]}...",
            )
        )
    return rows
