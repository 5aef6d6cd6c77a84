"""Hash keys: from partition keys, and their ranges per partition. Owns the arithmetic; knows no streams, no storage.

The hash is what the Java producer computes (clients.md section 4): the first 8 bytes of the MD5 of the key,
big endian, without the sign bit. Ranges are inclusive and split [0 : 2^63-1] evenly.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from penstock.limits import HASH_MAX


def _fastest_md5() -> Callable[[bytes], Any]:
    """The interpreter's own MD5, which starts faster on short keys than OpenSSL's and works where FIPS forbids that."""
    try:
        fast: Callable[[bytes], Any] = import_module("_md5").md5
    except ImportError:
        return lambda data: hashlib.md5(data, usedforsecurity=False)
    return fast


_md5_of = _fastest_md5()


def key_hash(key: str) -> int:
    """Hash of a partition key, 0 to 2^63-1."""
    digest: bytes = _md5_of(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") & HASH_MAX


def split(count: int) -> list[tuple[int, int]]:
    """Inclusive hash ranges of `count` partitions: the i-th covers i*w+1 to (i+1)*w with w = (2^63-1) // count, the
    first from 0, the last to 2^63-1."""
    assert 1 <= count <= HASH_MAX
    width = HASH_MAX // count
    ranges = [(index * width + 1, (index + 1) * width) for index in range(count)]
    ranges[0] = (0, ranges[0][1])
    ranges[-1] = (ranges[-1][0], HASH_MAX)
    return ranges


def partition_for(hash_key: int, ends: Sequence[int]) -> int:
    """Index of the range that holds `hash_key`; `ends` are the inclusive ends in order, the last one 2^63-1."""
    return bisect_left(ends, hash_key)
