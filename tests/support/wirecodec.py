"""Bodies written by hand: protobuf messages of clients.md 3.1 and the compressions of 3.3, bombs included.

Owns the test's own idea of these bytes. Uses nothing of Penstock and no generated protobuf code.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cramjam
import zstandard

VARINT, BYTES = 0, 2


def varint(number: int) -> bytes:
    """A varint; negative numbers as 64-bit two's complement."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: an integer as a varint, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(raw)) + raw


def parse(message: bytes) -> list[tuple[int, int | bytes]]:
    """Every field of a message in order: number, and an integer or bytes."""
    fields: list[tuple[int, int | bytes]] = []
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        if tag & 7 == VARINT:
            number, position = _read_varint(message, position)
            fields.append((tag >> 3, number))
        else:
            assert tag & 7 == BYTES, f"wire type {tag & 7} in a message that has none"
            length, position = _read_varint(message, position)
            assert position + length <= len(message)
            fields.append((tag >> 3, message[position : position + length]))
            position += length
    return fields


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if not byte & 0x80:
            return value, position


class PbRecord(NamedTuple):
    """A record to put; fields as in clients.md 3.1."""

    data: bytes
    partition_key: str | None = None
    partition_id: str | None = None
    explicit_hash_key: str | None = None
    timestamp: int | None = None


def put_request(stream: str, records: Sequence[PbRecord], stream_id: str | None = None) -> bytes:
    """PutRecordsRequest: 1 streamName, 30 streamId, 2 records."""
    body = field(1, stream)
    for record in records:
        entry = field(3, record.data)
        if record.explicit_hash_key is not None:
            entry += field(4, record.explicit_hash_key)
        if record.partition_key is not None:
            entry += field(5, record.partition_key)
        if record.partition_id is not None:
            entry += field(6, record.partition_id)
        if record.timestamp is not None:
            entry += field(29, record.timestamp)
        body += field(2, entry)
    if stream_id is not None:
        body += field(30, stream_id)
    return body


class PbResult(NamedTuple):
    failed: int
    entries: list[dict[str, str]]


def put_result(message: bytes) -> PbResult:
    """PutRecordsResult: 21 failedRecordCount (required), 22 records of 23 to 26."""
    names = {23: "partition_id", 24: "sequence_number", 25: "error_code", 26: "error_message"}
    failed: int | None = None
    entries = []
    for number, value in parse(message):
        if number == 21:
            assert isinstance(value, int)
            failed = value
        else:
            assert number == 22 and isinstance(value, bytes), number
            entries.append({names[n]: _text(v) for n, v in parse(value)})
    assert failed is not None, "failedRecordCount is required even when 0"
    return PbResult(failed, entries)


class PbPage(NamedTuple):
    next_cursor: str
    records: list[dict[str, object]]


def get_result(message: bytes) -> PbPage:
    """GetRecordsResult: 14 nextShardIterator (required), 16 records of 17, 18, 19, 27, 28."""
    names = {17: "partition_key", 18: "sequence_number", 19: "data", 27: "timestamp", 28: "timestamp_type"}
    cursor: str | None = None
    records: list[dict[str, object]] = []
    for number, value in parse(message):
        assert isinstance(value, bytes)
        if number == 14:
            cursor = value.decode()
        else:
            assert number == 16, number
            records.append({names[n]: v if n in (19, 27) else _text(v) for n, v in parse(value)})
    assert cursor is not None, "nextShardIterator is required"
    return PbPage(cursor, records)


def _text(value: int | bytes) -> str:
    assert isinstance(value, bytes)
    return value.decode()


def compressed(kind: str, body: bytes) -> tuple[bytes, dict[str, str]]:
    """A body as the Java SDK compresses it, and the headers that say so (clients.md 3.3)."""
    if kind == "lz4":
        block = bytes(cramjam.lz4.compress_block(body, store_size=False))
        return block, {"Content-Encoding": "lz4", "x-dis-lz4-content-length": str(len(body))}
    if kind == "snappy":
        return bytes(cramjam.snappy.compress_raw(body)), {"Content-Encoding": "snappy"}
    frame = zstandard.ZstdCompressor().compress(body)
    return frame, {"Content-Encoding": "zstd", "x-dis-zstd-content-length": str(len(body))}


def zstd_bomb(size: int, declared: int | None) -> bytes:
    """A zstd frame of run-length blocks that inflates to about `size` zeros: 4 bytes for every 128 KiB.

    `declared` is the content size in the frame's header; None leaves it out.
    """
    block = 128 << 10
    blocks = max(1, size // block)
    window = (10 << 3).to_bytes(1, "little")  # 1 MiB
    if declared is None:
        header = b"\x28\xb5\x2f\xfd" + bytes([0b0000_0000]) + window
    else:
        header = b"\x28\xb5\x2f\xfd" + bytes([0b1100_0000]) + window + struct.pack("<Q", declared)
    body = bytearray()
    for number in range(blocks):
        last = number == blocks - 1
        body += (int(last) | 1 << 1 | block << 3).to_bytes(3, "little") + b"\0"
    return header + bytes(body)


def snappy_bomb(compressed_size: int, declared: int) -> bytes:
    """A raw snappy block that says it inflates to `declared` bytes: one literal, then copies of 64 bytes."""
    body = varint(declared) + b"\x00 "
    copy = bytes([(63 << 2) | 2]) + struct.pack("<H", 1)
    return body + copy * ((compressed_size - len(body)) // len(copy))


def lz4_bomb(compressed_size: int) -> bytes:
    """A raw LZ4 block of one long match: 255 bytes for each of its bytes."""
    return b"\x1f " + b"\x01\x00" + b"\xff" * (compressed_size - 10) + b"\x00" + b"\x50     "


def chunks(body: bytes, size: int) -> Iterator[bytes]:
    """`body` in pieces, for a chunked request."""
    for start in range(0, len(body), size):
        yield body[start : start + size]
