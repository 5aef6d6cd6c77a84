"""`penstock stream scale`, `update`, `scalings`, `freeze`, `thaw`: what each does and prints. Owns texts; the client does the
asking."""

from __future__ import annotations

import msgspec

from penstock.cli import output
from penstock.cli.client import Client
from penstock.cli.failure import CommandError


def scale(client: Client, name: str, partitions: int) -> None:
    """Changes the number of partitions and says what it was."""
    reply = client.change_partitions(name, partitions)
    before = reply.get("current_partition_count")
    if before == partitions:
        output.note(f"{name} has {output.count(partitions, 'partition')} already.")
    else:
        output.note(f"{name} has {output.count(partitions, 'partition')} now, {before} before.")


def update(client: Client, name: str, **fields: object) -> None:
    """Changes what is given."""
    if all(value is None for value in fields.values()):
        raise CommandError("Nothing to change", "See what can be: penstock stream update --help", status=2)
    client.update_stream(name, **fields)
    output.note(f"Updated {name}.")


def list_all(client: Client, name: str, *, as_json: bool) -> None:
    """One line for each change."""
    changes = list(client.scalings(name))
    if as_json:
        for change in changes:
            output.line(msgspec.json.encode(change))
    elif not changes:
        output.note(f"{name} has the partitions it was created with.")
    else:
        rows = [
            (
                output.time(change.get("create_timestamp")),
                str(change.get("src_partition_count")),
                str(change.get("target_partition_count")),
                "automatic" if change.get("auto_scale") else "manual",
            )
            for change in changes
        ]
        output.table(("TIME", "FROM", "TO", "BY"), rows, right={1, 2})
    output.flush()


def act(client: Client, name: str, action: str) -> None:
    """Freezes or thaws."""
    client.act_on_stream(name, action)
    output.note(f"{name} takes no records until it is thawed." if action == "freeze" else f"Thawed {name}.")
