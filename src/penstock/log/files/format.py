"""The bytes of the embedded log. Owns every layout (docs/log-format.md draws them); does no I/O.

Five things are stored: segment headers, frames, sparse indexes, the table of ends and the journal. All integers are little
endian. Each carries a CRC32C. A frame cannot be all zero, and says everything about itself: stream, partition,
first sequence number. The `salt` is random per segment and secret to clients, so no record can hold bytes that
pass for a frame of the segment it is stored in, nor can blocks left over from another file.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from crc32c import crc32c

from penstock import codec
from penstock.log.base import Frame

VERSION = 1
HEADER_BYTES = 64
FRAME_BYTES = 64
"""Both headers are 64 bytes; a frame's payload follows its header."""
PAYLOAD_MAX = 1 << 30
SEGMENT_MAX = 1 << 31
"""Offsets in a segment fit 32 bits even when the largest payload follows a full segment."""

SEGMENT_MAGIC = b"PENSTOCK"
FRAME_MAGIC = b"PkFr"
INDEX_MAGIC = b"PkIx"
ENDS_MAGIC = b"PkEn"
JOURNAL_MAGIC = b"PkJn"
BATCH_MAGIC = b"PkJb"
JOURNAL_VERSION = 2
"""Of a table of ends that has journals beside it: who knows no journals must not open that directory."""

_SEGMENT = struct.Struct("<8sHHI20sIQQI")  # + u32 crc over it
_FRAME = struct.Struct("<4sIIIIIQQ24s")
_FRAME_LEAD = struct.Struct("<4sII")  # magic, salt, crc
_FRAME_BODY = struct.Struct("<IIIQQ24s")  # what the crc covers, before the payload
_IDENT = struct.Struct("<20sI")
_LEAD = struct.Struct("<4sHHI")  # magic, version, reserved, crc over all else: indexes and tables of ends
_INDEX = struct.Struct("<IIQQQQ")  # salt, entries, segment base, segment bytes, next, last_ms
_END = struct.Struct("<20sIIIQQQ")  # stream, partition, salt, offset, base, next, last_ms
_JOURNAL = struct.Struct("<IQ40x")  # salt, generation; behind the lead
_BATCH = struct.Struct(
    "<4sIIIIQQ"
)  # magic, salt, crc over all that follows, runs, bytes of them, generation, number
_RUN = struct.Struct(
    "<24sQIII"
)  # ident, segment base, segment salt, offset in the segment, bytes; these follow
_U32 = struct.Struct("<I")
_CRC_FROM = _FRAME_LEAD.size

assert _SEGMENT.size + 4 == HEADER_BYTES
assert _LEAD.size + _JOURNAL.size == HEADER_BYTES
BATCH_BYTES = _BATCH.size
RUN_BYTES = _RUN.size
assert _FRAME.size == FRAME_BYTES == _FRAME_LEAD.size + _FRAME_BODY.size


class UnknownVersion(ValueError):
    """Intact bytes of a version this program does not know."""


class SegmentHeader(NamedTuple):
    """First 64 bytes of a segment. `created_ms` is not before the append time of any earlier record."""

    stream_id: str
    partition: int
    salt: int
    base: int
    created_ms: int


class FrameHead(NamedTuple):
    """A frame but for its payload, and where it begins. `durable`: bytes of the segment known to be synced when it
    was written."""

    offset: int
    length: int
    records: int
    durable: int
    base: int
    append_ms: int

    @property
    def end(self) -> int:
        """Offset of the byte after the frame."""
        return self.offset + FRAME_BYTES + self.length

    @property
    def next(self) -> int:
        """Sequence number after the frame's last."""
        return self.base + self.records


class IndexFile(NamedTuple):
    """A sparse index of the segment with this salt, base and size; `next` and `last_ms` are those of its end."""

    salt: int
    base: int
    size: int
    next: int
    last_ms: int
    offsets: array[int]
    bases: array[int]
    times: array[int]


class JournalRun(NamedTuple):
    """Bytes that belong into a segment, one frame or more (and its header before the first ones): where, and `data`, `length`
    bytes in all."""

    name: bytes
    base: int
    salt: int
    offset: int
    length: int
    data: Sequence[bytes | memoryview]


class JournalBatch(NamedTuple):
    """Runs that were committed together; the batch ends before `end` of the journal."""

    number: int
    runs: list[JournalRun]
    end: int


class End(NamedTuple):
    """All before `offset` of the segment (`base`, `salt`) was durable; `next` and `last_ms` are those of that point."""

    stream_id: str
    partition: int
    salt: int
    offset: int
    base: int
    next: int
    last_ms: int


def ident(stream_id: str, partition: int) -> bytes:
    """The 24 bytes that name a partition inside a frame."""
    return _IDENT.pack(stream_id.encode("ascii"), partition)


def ident_parts(raw: bytes) -> tuple[str, int]:
    """Stream id and partition number of `ident`."""
    stream, partition = _IDENT.unpack(raw)
    return stream.rstrip(b"\0").decode("ascii", "replace"), partition


def pack_segment(header: SegmentHeader) -> bytes:
    """Header bytes of a segment."""
    body = _SEGMENT.pack(
        SEGMENT_MAGIC, VERSION, HEADER_BYTES, header.partition, header.stream_id.encode("ascii"), header.salt,
        header.base, header.created_ms, 0,
    )  # fmt: skip
    return body + _U32.pack(crc32c(body))


def unpack_segment(raw: bytes) -> SegmentHeader | None:
    """The header, or None when the bytes are no intact one. Raises UnknownVersion."""
    if len(raw) < HEADER_BYTES or raw[:8] != SEGMENT_MAGIC:
        return None
    if _U32.unpack_from(raw, _SEGMENT.size)[0] != crc32c(raw[: _SEGMENT.size]):
        return None
    _, version, _, partition, stream, salt, base, created_ms, _ = _SEGMENT.unpack_from(raw)
    if version != VERSION:
        raise UnknownVersion(f"log format {version}; this program reads format {VERSION}")
    return SegmentHeader(stream.rstrip(b"\0").decode("ascii"), partition, salt, base, created_ms)


def pack_frame(name: bytes, salt: int, durable: int, frame: Frame) -> bytes:
    """Header bytes of a frame; the payload goes behind them. `name` is `ident` of the partition; `durable`: bytes of
    the segment known to be synced."""
    payload = frame.payload
    if (native := codec.native) is not None:
        packed = native.pack_frame(name, salt, durable, frame.base, frame.count, frame.append_ms, payload)
        if packed is not None:
            return packed
    body = _FRAME_BODY.pack(len(payload), frame.count, durable, frame.base, frame.append_ms, name)
    return _FRAME_LEAD.pack(FRAME_MAGIC, salt, crc32c(payload, crc32c(body))) + body


def frame_mark(salt: int) -> bytes:
    """The first 8 bytes of every frame of a segment: what to search for behind damage."""
    return FRAME_MAGIC + _U32.pack(salt)


def frame_salt(view: memoryview, position: int) -> int | None:
    """Salt of what may be a frame at `position`, for a segment whose header is lost; None when it is none."""
    if bytes(view[position : position + 4]) != FRAME_MAGIC:
        return None
    return int(_U32.unpack_from(view, position + 4)[0])


def frame_head(view: memoryview, position: int, offset: int, name: bytes, salt: int) -> FrameHead | str:
    """Head of the frame at `position` of `view` (64 bytes must be there), `offset` of the file; not yet its CRC.

    A sentence instead when these bytes cannot be a frame of this partition and segment.
    """
    magic, salt_, _, length, count, durable, base, append_ms, name_ = _FRAME.unpack_from(view, position)
    if magic != FRAME_MAGIC:
        return "there is no frame where one should begin"
    if salt_ != salt or name_ != name:
        return "the frame belongs to another segment"
    if not count or length > PAYLOAD_MAX or durable > offset:
        return "the frame's header makes no sense"
    return FrameHead(offset, length, count, durable, base, append_ms)


def frame_intact(view: memoryview, position: int, length: int) -> bool:
    """Whether header and payload (all in `view`) match their checksum."""
    crc: int = _U32.unpack_from(view, position + 8)[0]
    return crc32c(view[position + _CRC_FROM : position + FRAME_BYTES + length]) == crc


def frames_in(view: memoryview, position: int, offset: int, name: bytes, salt: int) -> list[FrameHead]:
    """Heads of the consecutive intact frames that lie in `view` as a whole, from `position` on, which is `offset` of
    the file. Stops without a word at anything else."""
    raw = view.obj
    if (native := codec.native) is not None and type(raw) is bytes and len(raw) == len(view):
        new_head = tuple.__new__
        return [new_head(FrameHead, head) for head in native.frames_in(raw, position, offset, name, salt)]
    # Two million of these a second make the difference for logs of single records: everything is a local here.
    shift, end = offset - position, len(view)
    unpack, new, crc_of = _FRAME.unpack_from, tuple.__new__, crc32c
    heads: list[FrameHead] = []
    while position + FRAME_BYTES <= end:
        magic, salt_, crc, length, records, durable, base, append_ms, name_ = unpack(view, position)
        following = position + FRAME_BYTES + length
        if following > end or salt_ != salt or name_ != name or magic != FRAME_MAGIC or not records:
            break
        offset = position + shift
        if durable > offset or crc_of(view[position + 12 : following]) != crc:
            break
        heads.append(new(FrameHead, (offset, length, records, durable, base, append_ms)))
        position = following
    return heads


def pack_index(index: IndexFile) -> bytes:
    """Bytes of a sparse index file."""
    n = len(index.offsets)
    body = _INDEX.pack(index.salt, n, index.base, index.size, index.next, index.last_ms) + struct.pack(
        f"<{3 * n}Q", *index.offsets, *index.bases, *index.times
    )
    return _with_lead(INDEX_MAGIC, body)


def unpack_index(raw: bytes) -> IndexFile | None:
    """The index, or None when the bytes are no intact one of this version: it is rebuilt then."""
    body = _checked(raw, INDEX_MAGIC)
    if body is None or len(body) < _INDEX.size:
        return None
    salt, n, base, size, next_, last_ms = _INDEX.unpack_from(body)
    if len(body) != _INDEX.size + 24 * n:
        return None
    values = array("Q", struct.unpack_from(f"<{3 * n}Q", body, _INDEX.size))
    return IndexFile(salt, base, size, next_, last_ms, values[:n], values[n : 2 * n], values[2 * n :])


def pack_ends(ends: Sequence[End], version: int = VERSION) -> bytes:
    """Bytes of a table of ends."""
    body = b"".join(
        _END.pack(e.stream_id.encode("ascii"), e.partition, e.salt, e.offset, e.base, e.next, e.last_ms)
        for e in ends
    )
    return _with_lead(ENDS_MAGIC, body, version)


def unpack_ends(raw: bytes) -> list[End] | None:
    """The ends, or None when the bytes are no intact table. Raises UnknownVersion."""
    body = _checked(raw, ENDS_MAGIC)
    if body is None or len(body) % _END.size:
        return None
    if (version := _LEAD.unpack_from(raw)[1]) not in (VERSION, JOURNAL_VERSION):
        raise UnknownVersion(
            f"log format {version}; this program reads format {VERSION} and {JOURNAL_VERSION}"
        )
    return [
        End(stream.rstrip(b"\0").decode("ascii"), *numbers) for stream, *numbers in _END.iter_unpack(body)
    ]


def pack_journal(salt: int, generation: int) -> bytes:
    """Header bytes of a journal."""
    return _with_lead(JOURNAL_MAGIC, _JOURNAL.pack(salt, generation))


def unpack_journal(raw: bytes) -> tuple[int, int] | None:
    """Salt and generation, or None when the bytes are no intact header. Raises UnknownVersion."""
    body = _checked(raw[:HEADER_BYTES], JOURNAL_MAGIC)
    if body is None or len(body) != _JOURNAL.size:
        return None
    if (version := _LEAD.unpack_from(raw)[1]) != VERSION:
        raise UnknownVersion(f"journal format {version}; this program reads format {VERSION}")
    salt, generation = _JOURNAL.unpack(body)
    return salt, generation


def pack_batch(
    salt: int, generation: int, number: int, runs: Sequence[JournalRun]
) -> list[bytes | memoryview]:
    """A batch of a journal, in pieces."""
    if (native := codec.native) is not None and isinstance(runs, list):
        batch = native.pack_batch(salt, generation, number, runs)
        if batch is not None:
            return [batch]
    pieces: list[bytes | memoryview] = [b""]
    for run in runs:
        pieces.append(_RUN.pack(run.name, run.base, run.salt, run.offset, run.length))
        pieces += run.data
    length = sum(map(len, pieces))
    head = _BATCH.pack(BATCH_MAGIC, salt, 0, len(runs), length, generation, number)
    crc = crc32c(head[12:])
    for piece in pieces:
        crc = crc32c(piece, crc)
    pieces[0] = head[:8] + _U32.pack(crc) + head[12:]
    return pieces


def batch_at(view: memoryview, position: int, salt: int, generation: int, number: int) -> JournalBatch | None:
    """The intact batch at `position` of a journal, of this salt and generation and of `number` or later."""
    if position + BATCH_BYTES > len(view):
        return None
    magic, salt_, crc, count, length, generation_, number_ = _BATCH.unpack_from(view, position)
    start, end = position + BATCH_BYTES, position + BATCH_BYTES + length
    if (
        magic != BATCH_MAGIC
        or salt_ != salt
        or generation_ != generation
        or number_ < number
        or end > len(view)
    ):
        return None
    if crc32c(view[position + 12 : end]) != crc:
        return None
    runs = []
    for _ in range(count):
        name, base, segment_salt, offset, size = _RUN.unpack_from(view, start)
        start += RUN_BYTES
        runs.append(JournalRun(name, base, segment_salt, offset, size, [view[start : start + size]]))
        start += size
    return JournalBatch(number_, runs, end)


def batch_mark(salt: int) -> bytes:
    """The first 8 bytes of every batch of a journal."""
    return BATCH_MAGIC + _U32.pack(salt)


def _with_lead(magic: bytes, body: bytes, version: int = VERSION) -> bytes:
    begin = _LEAD.pack(magic, version, 0, 0)[: -_U32.size]
    return begin + _U32.pack(crc32c(body, crc32c(begin))) + body


def _checked(raw: bytes, expected: bytes) -> bytes | None:
    """What follows the lead of an index or a table of ends, if magic and checksum agree and, for an index (which can
    be made again), the version too."""
    if len(raw) < _LEAD.size:
        return None
    magic, version, _, crc = _LEAD.unpack_from(raw)
    body = raw[_LEAD.size :]
    begin = raw[: _LEAD.size - _U32.size]
    if magic != expected or crc32c(body, crc32c(begin)) != crc:
        return None
    return None if expected == INDEX_MAGIC and version != VERSION else body
