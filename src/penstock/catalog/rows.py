"""The tables of the catalog. Owns the list; each chapter's own tables are in catalog/tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.catalog.base import AccessKey, Damaged, Domain, Project, User
from penstock.catalog.table import Table, checksum
from penstock.catalog.tables import apps, groups, iam, monitoring, scaling, tasks
from penstock.model.streams import Stream

STREAMS = Table(
    "streams",
    Stream,
    ("stream_id", "project_id", "name", "status", "stream_type", "active_partitions"),
    lambda s: (s.stream_id, s.project_id, s.name, str(s.status), str(s.stream_type), len(s.active)),
)
DOMAINS = Table("domains", Domain, ("domain_id", "name"), lambda d: (d.domain_id, d.name))
USERS = Table("users", User, ("user_id", "domain_id", "name"), lambda u: (u.user_id, u.domain_id, u.name))
PROJECTS = Table(
    "projects", Project, ("project_id", "domain_id", "name"), lambda p: (p.project_id, p.domain_id, p.name)
)
ACCESS_KEYS = Table("access_keys", AccessKey, ("access_key", "user_id"), lambda k: (k.access_key, k.user_id))

TABLES: tuple[Table[Any], ...] = (
    STREAMS,
    DOMAINS,
    USERS,
    PROJECTS,
    ACCESS_KEYS,
    *scaling.TABLES,
    *apps.TABLES,
    *groups.TABLES,
    *tasks.TABLES,
    *monitoring.TABLES,
    *iam.TABLES,
)


def encode_secret(name: str, secret: bytes) -> tuple[str, str, int]:
    """A row of `secrets`: name, document, checksum."""
    document = secret.hex()
    return name, document, checksum("secrets", name, document)


def decode_secret(row: Sequence[Any]) -> bytes:
    """The bytes of a row of `secrets`. Raises Damaged."""
    name, document, stored = row
    if not isinstance(document, str) or checksum("secrets", str(name), document) != stored:
        raise Damaged(f"secrets row {name!r} fails its checksum")
    return bytes.fromhex(document)
