"""What a frame's payload holds: the records of one append, by column. Owns its encoding; knows no files.

A payload is msgpack `[keys, data]`: `keys` is nil or an array of str|nil, `data` an array of bin, equally long.
Both directions run in C for the whole frame.
"""

from __future__ import annotations

import msgspec

from penstock import codec

SMALL_BYTES = 4 << 10
"""Payloads up to this are joined with others for the same partition: a frame costs the same whatever is in it."""
JOINED_BYTES, JOINED_RECORDS = 32 << 10, 200
"""What is joined grows no further: who reads wants whole frames."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[list[str | None] | None, list[bytes]])


def encode(keys: list[str | None] | None, data: list[bytes]) -> bytes:
    """The payload for these records."""
    return _encoder.encode((keys, data))


def decode(payload: bytes) -> tuple[list[str | None] | None, list[bytes]]:
    """Keys (or None when no record has one) and data. Raises `msgspec.DecodeError` for what is no payload."""
    return _decoder.decode(payload)


def join(payloads: list[bytes]) -> bytes:
    """One payload with the records of several, in order."""
    native = codec.native
    if native is not None and (joined := native.join_payloads(payloads)) is not None:
        return joined
    keys: list[str | None] = []
    data: list[bytes] = []
    keyed = False
    for payload in payloads:
        some_keys, some_data = _decoder.decode(payload)
        if some_keys is None:
            keys += [None] * len(some_data)
        else:
            keyed = True
            keys += some_keys
        data += some_data
    return _encoder.encode((keys if keyed else None, data))


def fit(payload: bytes, start: int, max_records: int, budget: int, *, one: bool) -> tuple[int, int]:
    """How many of at most `max_records` records from `start` on hold `budget` bytes of data at most, and how many bytes they hold; with
    `one` the first of them does not have to."""
    native = codec.native
    if (
        native is not None
        and budget >= 0
        and (found := native.fit(payload, start, max_records, budget, one)) is not None
    ):
        return found
    taken = size = 0
    for data in decode(payload)[1][start : start + max_records]:
        if size + len(data) > budget and not (one and not taken):
            break
        taken += 1
        size += len(data)
    return taken, size


def count_bytes(payload: bytes, start: int, stop: int) -> int:
    """Bytes of data in records `start` to `stop` of a payload."""
    native = codec.native
    if native is not None and (size := native.data_bytes(payload, start, stop)) is not None:
        return size
    return sum(map(len, decode(payload)[1][start:stop]))
