"""Which partition a record goes to. Owns the precedence and the errors of one record; knows no storage.

`partition_id` > `explicit_hash_key` > `partition_key` > round robin (5.4.1 table 5-67, clients.md section 4).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from penstock.errors import render
from penstock.limits import HASH_MAX
from penstock.model.hashing import key_hash
from penstock.model.streams import PartitionStatus, Stream, partition_name

_CACHED_KEYS = 1 << 16
_CACHED_KEY_LENGTH = 128
_NAME_PREFIX = "shardid-"


class RecordError(Exception):
    """One record cannot be stored; the others of its request can. Becomes `error_code`/`error_message` in a 200."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.message = render(code, detail)
        super().__init__(self.message)


def parse_partition_id(text: str) -> int | None:
    """The number in `shardId-0000000000` (any padding, any case of the name) or `0`; None when it is neither."""
    digits = text[len(_NAME_PREFIX) :] if text[: len(_NAME_PREFIX)].lower() == _NAME_PREFIX else text
    if not digits or len(digits) > 19 or not digits.isascii() or not digits.isdigit():
        return None
    return int(digits)


class RoutingTable:
    """Routes the records of one state of a stream; made again when the stream changes."""

    __slots__ = ("_by_key", "by_number", "compiled", "ends", "numbers", "only", "stream", "turn")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        active = sorted(stream.active, key=lambda p: p.hash_start)
        self.ends = [p.hash_end for p in active]
        self.numbers = [p.number for p in active]
        self.by_number = {p.number: p for p in stream.partitions}
        self.only = self.numbers[0] if len(self.numbers) == 1 else None
        self._by_key: dict[str, int] = {}
        self.turn = 0
        """Where round robin is: an index of `numbers`."""
        self.compiled: Any = None
        """What the compiled codec made of this table."""

    def by_key(self, key: str) -> int:
        """The partition whose range holds the hash of `key`."""
        number = self._by_key.get(key)
        if number is None:
            number = self.by_hash(key_hash(key))
            if len(key) <= _CACHED_KEY_LENGTH:
                if len(self._by_key) >= _CACHED_KEYS:
                    self._by_key.clear()
                self._by_key[key] = number
        return number

    def by_keys(self, keys: Sequence[str | None]) -> list[int]:
        """The partition of each key; every one of them is a key."""
        if self.only is not None:
            return [self.only] * len(keys)
        numbers = list(map(self._by_key.get, keys))  # type: ignore[arg-type]
        if None in numbers:
            return [self.by_key(key) for key in keys]  # type: ignore[arg-type]
        return numbers  # type: ignore[return-value]

    def by_hash(self, value: int) -> int:
        """The partition whose range holds `value`; the last range takes what a rounding leaves over."""
        return self.numbers[min(bisect_left(self.ends, value), len(self.ends) - 1)]

    def round_robin(self) -> int:
        """The next partition in turn."""
        self.turn = (self.turn + 1) % len(self.numbers)
        return self.numbers[self.turn]

    def route(
        self, partition_id: str | None, explicit_hash_key: str | None, partition_key: str | None
    ) -> int:
        """The partition for one record. Raises RecordError."""
        if partition_id:
            return self._named(partition_id)
        if not self.numbers:
            raise RecordError("DIS.4302", self._where("none is writable"))
        if explicit_hash_key:
            return self.by_hash(self._hash_key(explicit_hash_key))
        if partition_key:
            return self.by_key(partition_key)
        return self.round_robin()

    def _named(self, partition_id: str) -> int:
        number = parse_partition_id(partition_id)
        if number is None:
            raise RecordError("DIS.4201", f"[{partition_id[:64]}: expected shardId-0000000000 or 0]")
        partition = self.by_number.get(number)
        if partition is None or partition.status is PartitionStatus.CREATING:
            raise RecordError("DIS.4302", self._where(partition_name(number)))
        if partition.status is not PartitionStatus.ACTIVE:
            raise RecordError("DIS.4319", self._where(partition_name(number)))
        return number

    def _hash_key(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > HASH_MAX:
            raise RecordError(
                "DIS.4200", f"[explicit_hash_key: {text[:32]} is not a whole number from 0 to {HASH_MAX}]"
            )
        return int(text)

    def _where(self, partition: str) -> str:
        return f"[{self.stream.name}][{self.stream.project_id}][{partition}]"
