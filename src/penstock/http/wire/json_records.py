"""PutRecords and GetRecords as JSON. Owns those bytes (clients.md 1.3, 3.2); knows no storage and no HTTP.

Replies are put together per partition and per frame, not per record, wherever records of a request stay together.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import msgspec

from penstock import codec
from penstock.http.call import decode_json
from penstock.log.base import Frame
from penstock.log.payload import decode as decode_payload
from penstock.model.streams import partition_name
from penstock.service.direct import Streams, Taken
from penstock.service.puts import ColumnarPut, PutRecords, PutRequest
from penstock.service.records import Fetched, Placed, PutOutcome, Records

_put_decoder = msgspec.json.Decoder(PutRecords)
_encoder = msgspec.json.Encoder()
_BEFORES = 4096
_befores: dict[int, bytes] = {}
"""What comes before the number in the reply to a put of one record, by partition."""


class _Keyed(msgspec.Struct, gc=False, omit_defaults=True):
    """A record with a key, or among records with one (5.4.2 table 5-74)."""

    sequence_number: str
    data: bytes
    timestamp: int
    timestamp_type: str
    partition_key: str | None = None


class _Keyless(msgspec.Struct, gc=False):
    sequence_number: str
    data: bytes
    timestamp: int
    timestamp_type: str


def decode_put(body: bytes) -> PutRequest:
    """A PutRecords body. DIS.4202 when empty, DIS.4300 naming the field that is missing, mistyped or no Base64."""
    native = codec.native
    if native is not None and (puts := native.decode_put_json(body)) is not None:
        return ColumnarPut(puts, native)
    try:
        return _put_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_json(body, PutRecords)  # refuses again, naming the field


def take_put(body: bytes, streams: Streams) -> Taken | None:
    """The same of a body whose records plainly go to one partition of one of these streams, routed and packed. None: it has to be decoded,
    and may be wrong."""
    native = codec.native
    return None if native is None else native.take_put_json(body, streams)


def encode_one(partition: int, sequence: int) -> bytes:
    """The reply to a put of one record, stored in that partition under that number."""
    before = _befores.get(partition)
    if before is None:
        if len(_befores) >= _BEFORES:
            _befores.clear()
        before = _befores[partition] = b'{"failed_record_count":0,"records":[%b' % _before(partition).encode()
    return b'%b%d"}]}' % (before, sequence)


def encode_outcome(outcome: PutOutcome) -> bytes:
    """The reply to PutRecords: a pair `partition_id`, `sequence_number` or `error_code`, `error_message` a record,
    never both (the old Python client takes the absence of `sequence_number` for failure)."""
    native = codec.native
    if native is not None:
        reply = native.encode_outcome_json(outcome.total, outcome.placed, outcome.failed)
        if reply is not None:
            return reply
    if len(outcome.placed) == 1 and not outcome.failed:
        entries = _entries(outcome.placed[0])
        return b'{"failed_record_count":0,"records":[%b]}' % entries.encode()
    replies: list[str] = [""] * outcome.total
    for place in outcome.placed:
        before = _before(place.partition)
        indices = range(outcome.total) if place.indices is None else place.indices
        for index, sequence in zip(indices, range(place.base, place.base + place.records), strict=True):
            replies[index] = f'{before}{sequence}"}}'
    for index, (code, message) in outcome.failed.items():
        replies[index] = _encoder.encode({"error_code": code, "error_message": message}).decode()
    return b'{"failed_record_count":%d,"records":[%b]}' % (len(outcome.failed), ",".join(replies).encode())


def _before(partition: int) -> str:
    return f'{{"partition_id":"{partition_name(partition)}","sequence_number":"'


def _entries(place: Placed) -> str:
    before = _before(place.partition)
    if place.records == 1:
        return f'{before}{place.base}"}}'
    sequences = map(str, range(place.base, place.base + place.records))
    return before + ('"},' + before).join(sequences) + '"}'


def encode_fetched(fetched: Fetched, records: Records) -> list[bytes]:
    """The reply to GetRecords, in pieces. The form of a whole frame is kept with the frame: ten consumers cost one encoding."""
    pieces = [b'{"records":[']
    for part in fetched.slices:
        if len(pieces) > 1:
            pieces.append(b",")
        frame = part.frame
        if part.whole:
            rendered = frame.rendered
            if rendered is None:
                rendered = _render(frame, 0, frame.count)
                records.keep_rendered(frame, rendered)
            pieces.append(rendered)
        else:
            pieces.append(_render(frame, part.start, part.stop))
    pieces.append(b'],"next_partition_cursor":"%b"}' % fetched.next_cursor.encode())
    return pieces


def _render(frame: Frame, start: int, stop: int) -> bytes:
    native = codec.native
    if native is not None:
        made = native.render_json(frame.payload, start, stop, frame.base, frame.append_ms)
        if made is not None:
            if stop - start == frame.count:
                frame.data_bytes = made[1]
            return made[0]
    keys, data = decode_payload(frame.payload)
    if stop - start == frame.count:
        frame.data_bytes = sum(map(len, data))
    else:
        data = data[start:stop]
        keys = None if keys is None else keys[start:stop]
    sequences = map(str, range(frame.base + start, frame.base + stop))
    when: Any = repeat(frame.append_ms)
    kind: Any = repeat("CreateTime")
    entries: list[Any]
    if keys is None:
        entries = list(map(_Keyless, sequences, data, when, kind))
    else:
        entries = list(map(_Keyed, sequences, data, when, kind, keys))
    return _encoder.encode(entries)[1:-1]
