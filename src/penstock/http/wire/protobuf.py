"""PutRecords and GetRecords as protobuf (clients.md 3.1). Owns field numbers and bytes; knows no storage and no HTTP.

Requests are read by the protobuf library from a schema built here; replies, a handful of string fields, are written directly.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from penstock import codec
from penstock.errors import ApiError, malformed
from penstock.log.payload import decode as decode_payload
from penstock.model.streams import partition_name
from penstock.service.partitions import Slice
from penstock.service.puts import ColumnarPut, PutRecord, PutRecords, PutRequest
from penstock.service.records import Fetched, PutOutcome

CONTENT_TYPE = "application/x-protobuf"

_FIELD = descriptor_pb2.FieldDescriptorProto
# Every field is optional here: clients disagree on which are required (the old Python client sends both names, one empty).
_REQUEST = (
    ("streamName", 1, _FIELD.TYPE_STRING, _FIELD.LABEL_OPTIONAL),
    ("records", 2, _FIELD.TYPE_MESSAGE, _FIELD.LABEL_REPEATED),
    ("streamId", 30, _FIELD.TYPE_STRING, _FIELD.LABEL_OPTIONAL),
)
_ENTRY = (
    ("data", 3, _FIELD.TYPE_BYTES, _FIELD.LABEL_OPTIONAL),
    ("explicitHashKey", 4, _FIELD.TYPE_STRING, _FIELD.LABEL_OPTIONAL),
    ("partitionKey", 5, _FIELD.TYPE_STRING, _FIELD.LABEL_OPTIONAL),
    ("partitionId", 6, _FIELD.TYPE_STRING, _FIELD.LABEL_OPTIONAL),
    ("timestamp", 29, _FIELD.TYPE_INT64, _FIELD.LABEL_OPTIONAL),
)
_FAILED_COUNT, _RESULTS = 21, 22
_RESULT_PARTITION, _RESULT_SEQUENCE, _RESULT_CODE, _RESULT_MESSAGE = 23, 24, 25, 26
_NEXT_CURSOR, _RECORDS = 14, 16
_KEY, _SEQUENCE, _DATA, _TIMESTAMP, _TIMESTAMP_TYPE = 17, 18, 19, 27, 28


def _request_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="penstock/records.proto", package="penstock", syntax="proto2"
    )
    for message_name, fields in (("PutRecordsRequestEntry", _ENTRY), ("PutRecordsRequest", _REQUEST)):
        message = file.message_type.add(name=message_name)
        for name, number, kind, label in fields:
            field = message.field.add(name=name, number=number, type=kind, label=label)
            if kind == _FIELD.TYPE_MESSAGE:
                field.type_name = ".penstock.PutRecordsRequestEntry"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("penstock.PutRecordsRequest"))


Request = _request_class()


def decode_put(body: bytes) -> PutRequest:
    """A PutRecordsRequest. DIS.4202 when empty, DIS.4300 when it cannot be read."""
    native = codec.native
    if native is not None and (puts := native.decode_put_protobuf(body)) is not None:
        return ColumnarPut(puts, native)
    if not body:
        raise ApiError("DIS.4202")
    message = Request()
    try:
        message.ParseFromString(body)
        records = []
        for index, entry in enumerate(message.records):
            if not entry.HasField("data"):
                raise malformed(f"records[{index}].data", "required")
            texts = entry.partitionKey, entry.partitionId, entry.explicitHashKey
            _check_texts(texts)
            records.append(PutRecord(entry.data, *texts, entry.timestamp))
        _check_texts((message.streamName, message.streamId))
        return PutRecords(records, message.streamName, message.streamId)
    except DecodeError:
        raise malformed("body", "not a PutRecordsRequest") from None


def _check_texts(texts: tuple[str, ...]) -> None:
    """The library gives what is not UTF-8 as bytes."""
    for text in texts:
        if type(text) is not str:
            raise malformed("body", "a string is not UTF-8")


def encode_outcome(outcome: PutOutcome) -> bytes:
    """A PutRecordsResult; `failedRecordCount` is required there, so it is written even when 0."""
    native = codec.native
    if native is not None:
        reply = native.encode_outcome_protobuf(outcome.total, outcome.placed, outcome.failed)
        if reply is not None:
            return reply
    entries: list[bytes] = [b""] * outcome.total
    for place in outcome.placed:
        name = _text(_RESULT_PARTITION, partition_name(place.partition))
        indices = range(outcome.total) if place.indices is None else place.indices
        for index, sequence in zip(indices, range(place.base, place.base + place.records), strict=True):
            entries[index] = name + _text(_RESULT_SEQUENCE, str(sequence))
    for index, (code, message) in outcome.failed.items():
        entries[index] = _text(_RESULT_CODE, code) + _text(_RESULT_MESSAGE, message)
    head = _varint(_FAILED_COUNT << 3) + _varint(len(outcome.failed))
    return head + b"".join(_bytes(_RESULTS, entry) for entry in entries)


def encode_fetched(fetched: Fetched) -> bytes:
    """A GetRecordsResult."""
    return b"".join([_text(_NEXT_CURSOR, fetched.next_cursor), *map(_render, fetched.slices)])


def _render(part: Slice) -> bytes:
    frame = part.frame
    native = codec.native
    if native is not None:
        made = native.render_protobuf(frame.payload, part.start, part.stop, frame.base, frame.append_ms)
        if made is not None:
            if part.whole:
                frame.data_bytes = made[1]
            return made[0]
    keys, data = decode_payload(frame.payload)
    if frame.data_bytes < 0:
        frame.data_bytes = sum(map(len, data))
    when = _varint(_TIMESTAMP << 3) + _varint(frame.append_ms) + _text(_TIMESTAMP_TYPE, "CreateTime")
    parts = []
    for index in range(part.start, part.stop):
        key = keys[index] if keys else None
        parts.append(
            _bytes(
                _RECORDS,
                (_text(_KEY, key) if key else b"")
                + _text(_SEQUENCE, str(frame.base + index))
                + _bytes(_DATA, data[index])
                + when,
            )
        )
    return b"".join(parts)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
