"""Keeping tables that get a commit every few minutes for years small: old snapshots are expired, old metadata files deleted. Owns how
much is kept; knows no records and no round. What a table's own properties say comes first. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyiceberg.table import Table, TableProperties

METADATA_FILES = 20
"""Metadata files kept beside the current one."""
AGE_MS = 86_400_000
"""Snapshots younger than this before the newest stay, as long as they are not too many."""
MOST_SNAPSHOTS = 500
"""More than a day at the default interval. Each makes every commit some 0.4 ms longer, and its metadata 650 bytes."""
FEWEST_SNAPSHOTS = 10
AT_ONCE = 50
"""Snapshots are expired once as many may go: each time is a commit of its own."""


def defaults(properties: Mapping[str, str]) -> dict[str, str]:
    """What a table that says nothing is told: a commit deletes the oldest metadata file, which are otherwise kept for ever."""
    wanted = {
        TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED: "true",
        TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: str(METADATA_FILES),
    }
    if TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED in properties:
        return {}
    return {name: value for name, value in wanted.items() if name not in properties}


def expirable(table: Table) -> list[int]:
    """Snapshots that may go."""
    properties = table.properties
    age = properties.get(TableProperties.MAX_SNAPSHOT_AGE_MS)
    least = int(properties.get(TableProperties.MIN_SNAPSHOTS_TO_KEEP, FEWEST_SNAPSHOTS))
    most = len(table.metadata.snapshots) if age is not None else max(least, MOST_SNAPSHOTS)
    by_age = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.timestamp_ms, reverse=True)
    if not by_age:
        return []
    oldest = by_age[0].timestamp_ms - int(age or AGE_MS)
    held = {reference.snapshot_id for reference in table.metadata.refs.values()}
    return [
        snapshot.snapshot_id
        for number, snapshot in enumerate(by_age)
        if number >= least
        and (number >= most or snapshot.timestamp_ms < oldest)
        and snapshot.snapshot_id not in held
    ]


def expire(table: Table) -> None:
    """Expire what may go, if it is enough to be worth a commit."""
    old = expirable(table)
    if len(old) >= AT_ONCE:
        table.maintenance.expire_snapshots().by_ids(old).commit()
