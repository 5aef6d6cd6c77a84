"""Compressed request bodies (clients.md 3.3). Owns the three encodings and the refusal of bombs.

`lz4` is one raw block whose size the client names in a header, `snappy` a raw block that begins with its size, `zstd` a
frame. The size is known and checked before anything is inflated, and never exceeded while it is.
"""

from __future__ import annotations

import zlib

import cramjam
import zstandard

from penstock.errors import ApiError, malformed

ENCODINGS = ("identity", "lz4", "snappy", "zstd", "gzip")


def inflate(body: bytes, encoding: str, declared: str, limit: int) -> bytes:
    """The body behind `Content-Encoding: encoding`. `declared` is the text of `x-dis-{lz4,zstd}-content-length` ("" when
    not sent), `limit` the largest size allowed.

    413 APIGW.0201 when larger, 415 APIGW.0107 for other encodings, DIS.4300 for what cannot be inflated.
    """
    if encoding in ("", "identity") or not body:
        return body
    if encoding == "lz4":
        return _lz4(body, _size(declared, "x-dis-lz4-content-length", limit))
    if encoding == "snappy":
        return _snappy(body, limit)
    if encoding == "zstd":
        if declared:
            limit = min(limit, _size(declared, "x-dis-zstd-content-length", limit))
        return _zstd(body, limit)
    if encoding == "gzip":
        return _gzip(body, limit)
    raise ApiError("APIGW.0107", f"[content-encoding: {encoding[:32]}, expected lz4, snappy, zstd or gzip]")


def _too_large(limit: int) -> ApiError:
    return ApiError("APIGW.0201", f"[inflated body is over {limit} bytes]")


def _size(text: str, header: str, limit: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise malformed(header, "a whole number is required")
    if int(text) > limit:
        raise _too_large(limit)
    return int(text)


def _lz4(body: bytes, size: int) -> bytes:
    # A block inflates at most 255-fold: a larger claim is a lie, and no buffer is made for it.
    if size > len(body) * 255 + 64:
        raise malformed("x-dis-lz4-content-length", "larger than the body can inflate to")
    buffer = bytearray(max(size, 1))
    try:
        written = cramjam.lz4.decompress_block_into(body, buffer, output_len=size)
    except (cramjam.DecompressionError, ValueError, TypeError, OverflowError):
        raise malformed("body", "not an LZ4 block of the declared size") from None
    if written != size:
        raise malformed("x-dis-lz4-content-length", f"declared {size} bytes, the body holds {written}")
    return bytes(memoryview(buffer)[:size])


def _snappy(body: bytes, limit: int) -> bytes:
    size = shift = 0
    for byte in body[:5]:
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    else:
        raise malformed("body", "not a snappy block")
    if size > limit:
        raise _too_large(limit)
    # No more than three bytes make sixty-four: a larger claim is a lie, and no buffer is made for it.
    if size > len(body) * 22 + 64:
        raise malformed("body", "a snappy block that cannot be as large as it says")
    try:
        inflated = bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError:
        raise malformed("body", "not a snappy block") from None
    return inflated


def _zstd(body: bytes, limit: int) -> bytes:
    try:
        size = _check_zstd(body)
        if size is not None and size > limit:
            raise _too_large(limit)
        # The window bounds what the decoder allocates, whatever the content size says.
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
            inflated = bytes(reader.read(limit + 1))
    except zstandard.ZstdError:
        raise malformed("body", "not a zstd frame") from None
    if len(inflated) > limit:
        raise _too_large(limit)
    if size is not None and len(inflated) != size:
        raise malformed("body", f"a zstd frame that declares {size} bytes and holds {len(inflated)}")
    return inflated


def _check_zstd(body: bytes) -> int | None:
    """The content size of one whole frame, None when it does not say. The reader takes a frame that was cut for its end,
    so the blocks are walked here (RFC 8878, 3.1.1)."""
    parameters = zstandard.get_frame_parameters(body)
    at = zstandard.frame_header_size(body)
    last = False
    while not last:
        header = int.from_bytes(body[at : at + 3], "little")
        if at + 3 > len(body):
            raise malformed("body", "a zstd frame that ends too soon")
        last = bool(header & 1)
        repeated = header >> 1 & 3 == 1
        at += 3 + (1 if repeated else header >> 3)
    if at + (4 if parameters.has_checksum else 0) != len(body):
        raise malformed("body", "not one whole zstd frame")
    unknown = (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR)
    return None if parameters.content_size in unknown else int(parameters.content_size)


def _gzip(body: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise malformed("body", "not gzip") from None
    if len(inflated) > limit:
        raise _too_large(limit)
    if not inflater.eof:
        raise malformed("body", "gzip that ends too soon")
    return inflated
