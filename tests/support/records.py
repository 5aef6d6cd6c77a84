"""Records as chunks, for tests of what decodes them and makes files of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from penstock.dump.base import Chunk, Encoded, Record, Reject

APPENDED_MS = 1_700_000_000_000


def chunks_of(records: Sequence[Any], size: int = 3, base: int = 100) -> list[Chunk]:
    """Records as they come, or as JSON; `size` of them an append, one append a second."""
    data = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    return [
        Chunk(base + start, APPENDED_MS + start * 1000, None, data[start : start + size])
        for start in range(0, len(data), size)
    ]


def records_of(chunks: Iterable[Chunk]) -> list[Record]:
    """Chunks one by one."""
    found = []
    for chunk in chunks:
        keys = chunk.keys or [None] * len(chunk.data)
        for offset, (key, data) in enumerate(zip(keys, chunk.data, strict=True)):
            found.append(Record(chunk.base + offset, chunk.append_ms, key, data))
    return found


def reasons(rejects: Sequence[Reject]) -> dict[int, str]:
    """Sequence number -> reason."""
    return {reject.sequence: reject.reason for reject in rejects}


def only(encoded: tuple[list[Encoded], list[Reject]]) -> tuple[Encoded, bytes]:
    """The one file, of records none of which was rejected."""
    (file,), rejects = encoded
    assert rejects == []
    return file, file.body.bytes()


patient = settings(deadline=None, max_examples=60)
"""For properties of records, which take long to make up."""
texts = st.text(st.characters(codec="utf-8"), max_size=6)
longs = st.integers(-(1 << 63), (1 << 63) - 1)
doubles = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | longs | doubles | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
"""Any JSON."""
json_objects = st.dictionaries(texts, json_values, max_size=4)
