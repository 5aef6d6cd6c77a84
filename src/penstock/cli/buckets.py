"""`penstock bucket ...`: buckets that are folders of a data directory, for dump tasks without an object store. Owns texts and
the folders; no server need run."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from penstock.cli import output
from penstock.cli.failure import CommandError
from penstock.dump.destinations.obs import FOLDER, valid_name


def directory(given: Path | None) -> Path:
    """The data directory: the one given, else PENSTOCK_DATA, else ./data. Only that last one must be there already: a bucket may be
    made before the server's first start, but not by mistake where no server is."""
    named = given or os.environ.get("PENSTOCK_DATA")
    found = Path(named or "data")
    if found.exists() and not found.is_dir():
        raise CommandError(f"{found} is not a directory", status=2)
    if not named and not found.is_dir():
        raise CommandError(
            f"{found} is no data directory", "Name the server's: --data DIR, or PENSTOCK_DATA=DIR", status=2
        )
    return found


def create(data: Path, name: str) -> None:
    """Makes it; one that is there stays as it is."""
    if not valid_name(name):
        raise CommandError(
            f"{name!r} cannot be a bucket's name",
            "2 to 63 letters, digits, periods, hyphens and underscores, the first a letter or digit",
            status=2,
        )
    folder = data / FOLDER / name
    try:
        for path in (data, folder.parent, folder):
            path.mkdir(mode=0o700, parents=path is data, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror}") from error
    output.note(
        f"Bucket {name} is the folder {folder}. Dump tasks can write to it now: obs_bucket_path {name}"
    )


def list_all(data: Path, *, as_json: bool) -> None:
    """One line for each bucket."""
    root = data / FOLDER
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    buckets = [(path, int(path.stat().st_mtime * 1000)) for path in folders if valid_name(path.name)]
    if as_json:
        for path, changed in buckets:
            output.line(msgspec.json.encode({"name": path.name, "folder": str(path), "changed": changed}))
    elif not buckets:
        output.note("No buckets yet. Create one: penstock bucket create NAME")
    else:
        rows = [(path.name, output.time(changed), str(path)) for path, changed in buckets]
        output.table(("BUCKET", "CHANGED", "FOLDER"), rows, right=set())
    output.flush()
