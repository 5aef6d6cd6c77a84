"""What every kind of destination is to the conformance suite: the interface, records, and the servers they share. The kinds are in
`tests.support.dump_targets`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from tests.services.base import Service
from tests.support.faulty import Fault, Faulty, Request, some
from tests.support.tasks import body_of
from tests.support.wire import Json

Kind = TypeVar("Kind", bound=Service)
Whole = Literal["round", "part", "record"]
"""What a reader sees all of or nothing: a round, a partition's share of it, or a record."""

INTERVAL = 30
RETRY = 60
FIRST_MS = 1_700_000_000_000
"""The time of record 0; each is a second after the one before."""
SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "Event",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "name", "type": "string"},
            {"name": "at", "type": "long"},
        ],
    }
)
DATABASE_PASSWORD = "the-Password-of-the-task"
DATABASE = "conformance"
AWAY = "unmounted"
"""What a folder is called while it is gone."""
FILES = ("planned", "staged", "visible", "manifest", "delivered", "committed")
TRANSACTION = ("planned", "staged", "visible", "delivered", "committed")
IDEMPOTENT = ("planned", "visible", "delivered", "committed")


def good_record(number: int) -> bytes:
    """A record that every target takes."""
    value = {"id": number, "name": f"n{number % 7}", "at": FIRST_MS + number * 1000}
    return json.dumps(value).encode()


def bad_record(number: int) -> bytes:
    """A record that no target takes but those that take anything."""
    return b'{"id": %d, "name": "n' % number


class Services:
    """The real servers of a run, one kind at a time: they are heavy."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: Service | None = None

    def get(self, kind: type[Kind]) -> Kind:
        """The server of that kind; any other is stopped."""
        if isinstance(self._running, kind):
            return self._running
        self.stop()
        made = kind(self._directory / kind.__name__.lower())
        made.start()
        self._running = made
        return made

    def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.stop()


class Target:
    """One kind of destination.

    points   the steps of a round where its sink can be killed (`penstock.dump.points`)
    whole    what a reader sees all of or nothing
    poison   there are records that it cannot take
    passes   a round that fails for longer than `retry_duration` is backed up and passed over
    """

    name: ClassVar[str]
    points: ClassVar[tuple[str, ...]]
    whole: ClassVar[Whole]
    poison: ClassVar[bool] = True
    passes: ClassVar[bool] = True
    sample: ClassVar[str]
    stream: ClassVar[Json] = {"data_type": "JSON"}
    """Fields of the streams that it takes."""

    def __init__(self, services: Services, directory: Path) -> None:
        """`directory` is for the server's data and the buckets."""
        self.directory = directory
        self.data = directory / "data"
        self.buckets = directory / "buckets"
        self.proxies: list[Faulty] = []
        (self.buckets / "backup").mkdir(parents=True, exist_ok=True)
        self.set_up(services)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def proxy(self) -> Faulty:
        """The way to the server."""
        return self.proxies[0]

    def set_up(self, services: Services) -> None:
        """Start what is needed."""

    def close(self) -> None:
        for proxy in self.proxies:
            proxy.close()

    def config(self) -> str:
        """What the configuration says of it, with folders as other buckets."""
        return f'[[obs]]\nbucket = "*"\nfolder = "{self.buckets}"\n'

    def make(self, name: str) -> None:
        """A place of a test's own."""

    def fields(self, name: str) -> Json:
        """What the descriptor of a task that delivers there says, beside what all say."""
        raise NotImplementedError

    def body(self, task: str, name: str, **changes: Any) -> Json:
        """What makes a task there."""
        common: Json = {
            "task_name": task,
            "deliver_time_interval": INTERVAL,
            "consumer_strategy": "TRIM_HORIZON",
        }
        if self.passes:
            common["retry_duration"] = RETRY
        return body_of(self.sample, **(common | self.fields(name) | changes))

    def elsewhere(self, name: str) -> Json:
        """Fields that an update changes, so that what it delivers or backs up goes to another prefix."""
        return {"file_prefix": f"{name}x"}

    def records(self, name: str) -> Counter[int]:
        """The ids of all records that a reader finds, each as often as it is there. What is there in part fails."""
        raise NotImplementedError

    def errors(self, name: str) -> Counter[bytes]:
        """All records in the error directory."""
        return lines_of(
            path.read_bytes() for path in files_below(self.buckets / "backup", name) if "_error/" in str(path)
        )

    # Going wrong

    def is_commit(self, request: Request) -> bool:
        """Whether that request makes records visible."""
        raise NotImplementedError

    def down(self) -> None:
        """It is gone."""
        self.proxy.down()

    def up(self) -> None:
        """It is back."""
        self.proxy.up()

    def recover(self) -> None:
        """Whatever a test left behind, it works again."""
        for proxy in self.proxies:
            proxy.heal()
        if (self.directory / AWAY).exists():
            self.up()

    def block(self, name: str) -> None:
        """It answers, but no record gets there; an update is still taken."""
        self.proxy.plan = some(Fault.REFUSE, self.is_commit)

    def unblock(self, name: str) -> None:
        self.proxy.heal()

    def lock_out(self, name: str) -> None:
        """Whoever delivers has no right to any more."""
        raise NotImplementedError

    def let_in(self, name: str) -> None:
        raise NotImplementedError


def files_below(bucket: Path, name: str) -> list[Path]:
    """Files below prefixes that start with a name, without hidden ones."""
    found = [path for start in bucket.glob(f"{name}*") for path in start.rglob("*")]
    return [path for path in found if path.is_file() and not path.name.startswith((".", "_"))]


def lines_of(files: Iterable[bytes]) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for data in files:
        assert data.endswith(b"\n")
        found.update(data.splitlines())
    return found
