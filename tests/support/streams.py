"""A context for tests of stream management: a real SQLite catalog, a log in memory, a stepped clock."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from tests.support.memory_log import MemoryLog

from penstock.catalog.sqlite import open_catalog
from penstock.clock import SteppedClock
from penstock.config import Settings
from penstock.http import scaling, streams
from penstock.http.call import Call, Reply
from penstock.iam.base import Principal, SentRequest
from penstock.limits import Limits
from penstock.service.context import Context
from penstock.service.directory import Directory

PROJECT = "0123456789abcdef0123456789abcdef"
PRINCIPAL = Principal(user_id="u", user_name="user", domain_id="d", domain_name="domain")


async def make_context(
    directory: Path, *, limits: Limits | None = None, log: Any = None, clock: Any = None
) -> Context:
    """A context on the catalog in `directory`; `log` and `clock` as given or new."""
    catalog = await open_catalog(directory / "catalog.db")
    clock = clock or SteppedClock()
    settings = Settings(data=directory, limits=limits or Limits())
    return Context(
        settings=settings,
        limits=settings.limits,
        clock=clock,
        catalog=catalog,
        log=log or MemoryLog(clock),
        identity=None,  # type: ignore[arg-type]  # nothing here asks who
        authenticator=None,  # type: ignore[arg-type]
        directory=await Directory.open(catalog),
        records=SimpleNamespace(direct=None),  # type: ignore[arg-type]  # or for records
    )


async def call(
    context: Context,
    method: str,
    path: str,
    body: object = None,
    *,
    project: str = PROJECT,
    **query: str,
) -> Reply:
    """Call the route of `path` (what follows the project, such as `/streams/s1`), as the HTTP layer would."""
    parts = path.strip("/").split("/")
    for route in (*streams.ROUTES, *scaling.ROUTES):
        template = route.path.split("/")[3:]
        if route.method == method and len(template) == len(parts):
            names = {t.strip("{}"): p for t, p in zip(template, parts, strict=True) if t.startswith("{")}
            raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
            return await route.handler(
                Call(
                    context=context,
                    sent=SentRequest(method, path.encode(), b"", [], raw, "127.0.0.1"),
                    principal=PRINCIPAL,
                    params={"project_id": project, **names},
                    query={name: value for name, value in query.items() if value},
                    body=raw,
                )
            )
    raise AssertionError(f"no route for {method} {path}")


def document(reply: Reply) -> Any:
    """The reply's body as clients see it."""
    return msgspec.json.decode(msgspec.json.encode(reply.body))
