"""`penstock serve`: settings from the command line, and the hints for a first start. Owns no server: penstock.server does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from penstock.cli.failure import CommandError
from penstock.config import ConfigError, Settings, load
from penstock.credentials import FILE

_REACHABLE_AS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104
"""Listening on all addresses: the one to try first."""


def settings(overrides: dict[str, Any], config: Path | None) -> Settings:
    """The settings; a wrong one is a CommandError with exit code 2."""
    try:
        return load(overrides, file=config)
    except ConfigError as error:
        raise CommandError(str(error), status=2) from error


def hints(given: Settings, program: str) -> str:
    """What somebody needs who starts Penstock for the first time: endpoint, credentials, three commands."""
    scheme = "https" if given.tls_cert else "http"
    credentials = given.data / FILE
    host = str(given.listen).rpartition(":")[0]
    host = _REACHABLE_AS.get(host, host)
    endpoint = f"{scheme}://{host}:{given.listen.port}" if given.listen.port else "printed when it is ready"
    exports = []
    if given.listen.port and endpoint != "http://127.0.0.1:20004":
        exports.append(f"export PENSTOCK_ENDPOINT={endpoint}")
    if credentials != Path("data/credentials.csv"):
        exports.append(f"export PENSTOCK_CREDENTIALS={credentials}")
    lines = [
        f"Endpoint      {endpoint}",
        f"Credentials   {credentials}   (written at the first start; user, password, access key, project)",
        "Try in another terminal, in this directory:",
        *(f"  {line}" for line in exports),
        f"  {program} stream create first --partitions 2",
        f"  echo hello | {program} put first",
        f"  {program} tail first",
    ]
    return "\n".join(lines)


def serve(given: Settings, *, show_hints: bool, program: str) -> int:
    """Runs the server until it is told to stop; its exit code."""
    from penstock.server import run

    if show_hints:
        print(hints(given, program), end="\n\n", file=sys.stderr, flush=True)
    return run(given)
