"""Compressed request bodies (clients.md 3.3) and bombs (R11)."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import cramjam
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ApiError
from penstock.http.wire.compression import inflate

LIMIT = 12 << 20
BODIES = st.binary(max_size=5000) | st.binary(min_size=1, max_size=20).map(lambda piece: piece * 400)


def lz4_block(body: bytes) -> bytes:
    return bytes(cramjam.lz4.compress_block(body, store_size=False))


@given(BODIES.filter(bool))
def test_round_trips(body: bytes) -> None:
    assert inflate(lz4_block(body), "lz4", str(len(body)), LIMIT) == body
    assert inflate(bytes(cramjam.snappy.compress_raw(body)), "snappy", "", LIMIT) == body
    packed = zstandard.ZstdCompressor().compress(body)
    assert inflate(packed, "zstd", str(len(body)), LIMIT) == body
    assert inflate(packed, "zstd", "", LIMIT) == body
    assert inflate(gzip.compress(body), "gzip", "", LIMIT) == body
    assert inflate(body, "identity", "", LIMIT) == inflate(body, "", "", LIMIT) == body


def test_the_captured_lz4_body_of_the_java_client() -> None:
    """clients.md 3.3, captured from huaweicloud-sdk-java-dis 1.3.21: 149 bytes, declared 179."""
    body = bytes.fromhex(
        "fc397b2273747265616d5f6e616d65223a227331222c227265636f726473223a5b7b2264617461223a22614756736247383d"
        "222c22706172746974696f6e5f6b6579223a226b31227d2c2900f30279222c226578706c696369745f686173682d00193941"
        "002069647300856861726449642d300100f00f222c2274696d657374616d70223a313532373537373430323534317d5d7d"
    )
    text = inflate(body, "lz4", "179", LIMIT)
    assert text.startswith(b'{"stream_name":"s1","records":[{"data":"aGVsbG8="') and len(text) == 179


def _refused(body: bytes, encoding: str, declared: str = "", limit: int = LIMIT) -> ApiError:
    tracemalloc.start()
    try:
        with pytest.raises(ApiError) as caught:
            inflate(body, encoding, declared, limit)
        assert tracemalloc.get_traced_memory()[1] < 2 * limit + (8 << 20), "inflated before it was refused"
    finally:
        tracemalloc.stop()
    return caught.value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_bombs_are_refused_by_size_before_they_are_inflated() -> None:
    zeros = zstandard.ZstdCompressor().compress(b"\0" * (200 << 20))
    assert _refused(zeros, "zstd").status == 413
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * (200 << 20))
    assert _refused(unsized, "zstd").status == 413
    assert _refused(unsized, "zstd", "100").status == 413, "the declared size is a promise"
    assert _refused(gzip.compress(b"\0" * (200 << 20)), "gzip").status == 413
    assert _refused(bytes(cramjam.snappy.compress_raw(b"\0" * (20 << 20))), "snappy").status == 413
    assert _refused(lz4_block(b"\0" * (20 << 20)), "lz4", str(20 << 20)).status == 413
    assert _refused(_varint(10 << 30) + b"abc", "snappy").status in (400, 413)


@pytest.mark.parametrize(
    "declared", ["", "x", "-1", "1e3", "99999999999999999999", "0", "10", "4096", "4294967296"]
)
def test_lies_about_the_lz4_size(declared: str) -> None:
    error = _refused(lz4_block(b"a" * 1000), "lz4", declared)
    assert error.status in (400, 413) and error.code in ("DIS.4300", "APIGW.0201")


@given(st.binary(max_size=300), st.sampled_from(["lz4", "snappy", "zstd", "gzip"]), st.integers(0, 5000))
def test_any_bytes_are_inflated_or_refused(body: bytes, encoding: str, declared: int) -> None:
    try:
        assert len(inflate(body, encoding, str(declared) if encoding == "lz4" else "", 4096)) <= 4096
    except ApiError as error:
        assert error.code in ("DIS.4300", "APIGW.0201")


def test_two_zstd_frames_and_cut_frames() -> None:
    frame = zstandard.ZstdCompressor().compress(b"a" * 1000)
    for cut in range(1, len(frame)):
        assert _refused(frame[:cut], "zstd").code == "DIS.4300"
    assert _refused(frame + frame, "zstd").code == "DIS.4300"
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(range(256)) * 2000)
    assert inflate(unsized, "zstd", "", LIMIT) == bytes(range(256)) * 2000
    assert _refused(unsized[:-1], "zstd").code == "DIS.4300"
    assert _refused(struct.pack("<I", 0xFD2FB528), "zstd").code == "DIS.4300"


def test_other_encodings_are_named() -> None:
    error = _refused(b"x", "br")
    assert (error.status, error.code) == (415, "APIGW.0107") and "br" in error.message
