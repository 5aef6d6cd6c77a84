"""Types of JSON attributes in CloudTable schemas (5.5.10 table 5-120): which values are of a type, and how each is written as text. Owns
both; knows no destination.

| type | a value of a record is one if it is | as text |
|---|---|---|
| Bigint | an integer of 64 bits, or a text of one | its digits |
| Double | a number, or a text of one, within what a double holds | the shortest that reads back: `0.1`, `3.0`, `1e+22` |
| Decimal | a number, or a text of one | every digit as it was written, as Java's BigDecimal has it: `1.50`, `1E+5` |
| Boolean | true or false, or a text of one | `true`, `false` |
| Timestamp | milliseconds since 1970 UTC, 13 digits, or a text of them | its digits |
| String | a text | itself |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal, DecimalException
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from penstock.dump.base import Chunk, Part, Reject
from penstock.dump.decoding import MISSING, Row, attribute, objects
from penstock.model.tasks import AttributeType
from penstock.model.validation import shown

Value = int | float | bool | Decimal | str

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}


class Source(NamedTuple):
    """The record that something was made of."""

    partition: int
    sequence: int
    data: bytes


class Unfit(ValueError):
    """A record cannot be delivered; the message says which attribute and why."""


class Written(str):
    """A number with a fraction or an exponent, as the record has it."""

    __slots__ = ()


_decode_exactly = msgspec.json.Decoder(dict[str, Any], float_hook=Written).decode


class Reader:
    """Reads the attributes of one record; what is Decimal needs all its digits, so the record is read again for those."""

    __slots__ = ("_exact", "_row")

    def __init__(self, row: Row) -> None:
        self._row = row
        self._exact: dict[str, Any] | None = None

    def read(self, name: str, kind: AttributeType) -> Value | None:
        """An attribute's value; None when it is missing or null. Raises Unfit when it is not of its type."""
        source = self._row.value
        if kind is AttributeType.DECIMAL:
            if self._exact is None:
                self._exact = _decode_exactly(self._row.data)
            source = self._exact
        found = source.get(name)
        if found is None:  # which it may be, or be in an object
            found = attribute(source, name)
            if found is None or found is MISSING:
                return None
        try:
            return _READ[kind](found)
        except (ValueError, ArithmeticError) as error:
            raise Unfit(f"attribute {shown(name)} is not a {kind}") from error


def text(value: Value) -> str:
    """A value of any type as text."""
    if type(value) is str:
        return value
    if value is True or value is False:
        return "true" if value else "false"
    return str(value)


def rows(parts: Iterable[Part]) -> Iterable[tuple[int, list[Row], list[Reject]]]:
    """The records of a round, part by part: partition, JSON objects, and what is none."""
    for part in parts:
        chunks: list[Chunk] = part.batch.chunks
        found, rejects = objects(chunks)
        yield part.planned.partition, found, rejects


def _bigint(value: Any) -> int:
    if type(value) is str and _INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise ValueError
    return value


def _double(value: Any) -> float:
    if type(value) is str and not _NUMBER.fullmatch(value):
        raise ValueError
    if type(value) not in (float, int, str):
        raise ValueError
    number = float(value)
    if not isfinite(number):
        raise ValueError
    return number


def _decimal(value: Any) -> Decimal:
    if type(value) is str and not _NUMBER.fullmatch(value):
        raise ValueError
    if type(value) not in (Written, int, str):
        raise ValueError
    try:
        number = Decimal(value)
    except DecimalException as error:  # an exponent of twenty digits
        raise ValueError from error
    if not number.is_finite():
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    if type(value) is str:
        value = _BOOLEANS.get(value)
    if type(value) is not bool:
        raise ValueError
    return value


def _timestamp(value: Any) -> int:
    if type(value) is str and _INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is not int or not 10**12 <= value < 10**13:
        raise ValueError
    return value


def _string(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return value


_READ: dict[AttributeType, Callable[[Any], Value]] = {
    AttributeType.BIGINT: _bigint,
    AttributeType.DOUBLE: _double,
    AttributeType.BOOLEAN: _boolean,
    AttributeType.TIMESTAMP: _timestamp,
    AttributeType.STRING: _string,
    AttributeType.DECIMAL: _decimal,
}
