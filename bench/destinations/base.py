"""What `bench.dumps` asks of a destination: a real server, the tasks that deliver into it, and how fast it is without Penstock.

A destination is told records and places and knows nothing of what is measured. Every delivery gets a place of its own: a prefix, a
table, a metric.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

FIRST_MS = 1_700_000_000_000
PIECE_BYTES = 64 << 20
"""A file of the measurements without Penstock: as large as a file of a dump gets."""
_POOL = random.Random(20_004).randbytes(1 << 15).hex().encode()
KEPT = "backup"
FIELDS = (("id", "long"), ("name", "string"), ("at", "long"), ("value", "double"), ("note", "string"))
SCHEMA = json.dumps(
    {"type": "record", "name": "Event", "fields": [{"name": name, "type": kind} for name, kind in FIELDS]}
)


@dataclass(frozen=True, slots=True)
class Records:
    """JSON objects of `size` bytes with the numbers 0 to `count` - 1, no two alike."""

    count: int
    size: int

    @property
    def total(self) -> int:
        """Bytes of all of them."""
        return self.count * self.size

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self.count):
            yield self.record(number)

    def record(self, number: int) -> bytes:
        head = b'{"id":%d,"name":"device-%04d","at":%d,"value":%.2f,"note":"' % (
            number,
            number % 1000,
            FIRST_MS + number * 1000,
            number % 10_007 / 100,
        )
        return head + self._note(number, len(head)) + b'"}'

    def _note(self, number: int, head: int) -> bytes:
        start = number * 61 % (len(_POOL) - self.size)
        return _POOL[start : start + self.size - head - 2]

    def values(self) -> Iterator[tuple[int, str, int, float, str]]:
        """The same, taken apart."""
        for record in self:
            value = json.loads(record)
            yield value["id"], value["name"], value["at"], value["value"], value["note"]


@dataclass(frozen=True, slots=True)
class Own:
    """How fast a destination is without Penstock: `total` bytes of records, in that time; `what` was done."""

    total: int
    seconds: float
    what: str

    @property
    def mb(self) -> float:
        """MB/s."""
        return self.total / self.seconds / 1e6


class Destination:
    """One row. `heavy` ones need a JVM; `share` of the records are put for slow ones."""

    name: ClassVar[str]
    title: ClassVar[str]
    heavy: ClassVar[bool] = False
    share: ClassVar[float] = 1.0
    size: ClassVar[int] = 200
    kind: ClassVar[str]
    field: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        """`directory` has the server's `data` and everything else."""
        self.directory = directory
        self.buckets = directory / "buckets"
        (self.buckets / KEPT).mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start its server."""

    def stop(self) -> None:
        """End it."""

    def pids(self) -> list[int]:
        """Its processes, for those who want them elsewhere."""
        return []

    def config(self) -> str:
        """What Penstock's configuration says of it."""
        return f'[[obs]]\nbucket = "*"\nfolder = "{self.buckets}"\n'

    def make(self, place: str) -> None:
        """A place for one delivery."""

    def remove(self, place: str) -> None:
        """It is not needed any more."""

    def descriptor(self, place: str) -> dict[str, Any]:
        raise NotImplementedError

    def body(self, task: str, place: str) -> dict[str, Any]:
        """What creates a task that delivers everything there, at once."""
        common = {
            "task_name": task,
            "agency_name": "dis_admin_agency",
            "consumer_strategy": "TRIM_HORIZON",
            "deliver_time_interval": 1,
        }
        return {"destination_type": self.kind, self.field: common | self.descriptor(place)}

    def check(self, place: str, records: Records) -> str:
        """What is wrong with what is there after everything was delivered; empty: nothing."""
        raise NotImplementedError

    def own(self, records: Records, place: str) -> Own:
        """Put the same without Penstock; what is made beforehand is outside the time."""
        raise NotImplementedError


def differs(found: int, expected: int) -> str:
    """What to say when not everything is there once."""
    return "" if found == expected else f"{found} records are there instead of {expected}"


def timed(work: Callable[[], object]) -> float:
    """Seconds, with a disk that has nothing else to write when it begins."""
    os.sync()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def slices(items: Iterator[Any], count: int) -> Iterator[list[Any]]:
    """Lists of so many, the last one shorter."""
    while some := list(islice(items, count)):
        yield some


def pieces(records: Records) -> Iterator[bytes]:
    """The records as lines, in files of PIECE_BYTES."""
    for some in slices(iter(records), PIECE_BYTES // (records.size + 1)):
        yield b"\n".join(some) + b"\n"
