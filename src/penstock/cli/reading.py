"""Reads streams: one partition to its end, or all of them on and on. Owns cursors and their renewal; prints nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from penstock.cli import positions
from penstock.cli.client import Client, Record
from penstock.cli.failure import CommandError, ServerError, Unreachable

READABLE = ("ACTIVE", "DELETED")
POLL = 0.25
"""Seconds between looks at partitions that had nothing."""
REFRESH = 10.0
"""Seconds between looks for new partitions."""


class PartitionReader:
    """One partition, from a starting place on. Renews its cursor when that has expired."""

    def __init__(self, client: Client, stream: str, partition: str, start: Mapping[str, str]) -> None:
        self.partition = partition
        self._client = client
        self._stream = stream
        self._start = start
        self._cursor = ""

    def prime(self) -> None:
        """Fetches the cursor: from then on nothing is missed, also with LATEST."""
        if not self._cursor:
            self._cursor = self._client.cursor(self._stream, self.partition, self._start)

    def next(self) -> list[Record]:
        """The next records; empty at the end for now."""
        self.prime()
        try:
            page = self._client.get(self._stream, self.partition, self._cursor)
        except ServerError as error:
            if error.code != "DIS.4225":
                raise
            self._cursor = self._client.cursor(self._stream, self.partition, self._start)
            page = self._client.get(self._stream, self.partition, self._cursor)
        self._cursor = page.next_cursor
        if page.records:
            self._start = positions.after(page.records[-1].sequence_number)
        return page.records


class StreamReader:
    """All readable partitions of a stream (or one), in turns. `start` says where each begins."""

    def __init__(
        self,
        client: Client,
        stream: str,
        start: Callable[[Mapping[str, object]], Mapping[str, str]],
        *,
        partition: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._client = client
        self._stream = stream
        self._sleep = sleep
        self._monotonic = monotonic
        self._warn = warn
        self._only = partition
        self._readers: dict[str, PartitionReader] = {}
        for described in self._described():
            identifier = str(described["partition_id"])
            self._readers[identifier] = PartitionReader(client, stream, identifier, start(described))
        if not self._readers:
            what = f"partition {partition}" if partition else "readable partition"
            raise CommandError(f"Stream {stream} has no {what}", f"See: penstock stream show {stream}")
        for reader in self._readers.values():
            reader.prime()
        self._looked = monotonic()

    def __len__(self) -> int:
        return len(self._readers)

    def to_the_end(self) -> Iterator[list[Record]]:
        """What there is now: each partition in turn until it has nothing more."""
        waiting = dict(self._readers)
        while waiting:
            for identifier, reader in list(waiting.items()):
                records = self._patiently(reader)
                if records:
                    yield records
                else:
                    del waiting[identifier]

    def follow(self) -> Iterator[list[Record]]:
        """What there is and what comes, without end; survives a server that restarts, and finds new partitions."""
        lost = False
        while True:
            quiet = True
            try:
                if self._monotonic() - self._looked > REFRESH:
                    self._find_new()
                for identifier, reader in list(self._readers.items()):
                    try:
                        records = self._patiently(reader)
                    except ServerError as error:
                        if error.code != "DIS.4319":
                            raise
                        self._warn(f"{identifier} has expired; going on with the others")
                        del self._readers[identifier]
                        continue
                    if lost:
                        self._warn("connected again")
                        lost = False
                    if records:
                        quiet = False
                        yield records
            except Unreachable as error:
                if not lost:
                    self._warn(f"{error.message}; trying again every second (Ctrl-C stops)")
                lost = True
                self._sleep(1.0)
                continue
            if quiet:
                self._sleep(POLL)

    def _patiently(self, reader: PartitionReader) -> list[Record]:
        """The reader's next records, waiting out flow control and a server about to stop."""
        pause = 0.1
        while True:
            try:
                return reader.next()
            except ServerError as error:
                if error.code != "DIS.4303" and error.http_status != 503:
                    raise
                self._sleep(pause)
                pause = min(pause * 1.5, 2.0)

    def _find_new(self) -> None:
        self._looked = self._monotonic()
        for described in self._described():
            identifier = str(described["partition_id"])
            # One that was made and scaled away again since the last look holds records, too.
            if identifier not in self._readers:
                self._warn(f"new partition {identifier}")
                start = {"cursor-type": "TRIM_HORIZON"}
                self._readers[identifier] = PartitionReader(self._client, self._stream, identifier, start)

    def _described(self) -> list[Mapping[str, object]]:
        partitions = self._client.describe(self._stream)["partitions"]
        readable = [item for item in partitions if item.get("status") in READABLE]
        return [
            item
            for item in readable
            if self._only is None or same_partition(item["partition_id"], self._only)
        ]


def same_partition(identifier: str, asked: str) -> bool:
    """`shardId-0000000003` is `3` too."""
    digits = asked.removeprefix("shardId-")
    if not (digits.isascii() and digits.isdigit()):
        return identifier == asked
    return int(identifier.removeprefix("shardId-")) == int(digits)
