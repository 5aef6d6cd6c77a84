"""Payloads of frames (log.payload) through both codecs: joined to the same bytes, cut at the same records."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import codecs

from penstock.log.payload import decode, encode, fit, join

pytestmark = pytest.mark.services
DATA = st.one_of(st.binary(max_size=20), st.sampled_from([31, 255, 256, 65_536]).map(lambda n: b"\xa5" * n))
KEY = st.one_of(st.none(), st.text(max_size=12), st.sampled_from([31, 32, 255, 256]).map("k".__mul__))


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    data = draw(st.lists(DATA, max_size=draw(st.sampled_from([2, 20]))))
    if draw(st.booleans()):
        return encode(None, data)
    return encode(draw(st.lists(KEY, min_size=len(data), max_size=len(data))), data)


@pytest.fixture(autouse=True, scope="module")
def built() -> None:
    codecs.compiled()


@given(st.lists(payloads(), max_size=6))
def test_joined(parts: list[bytes]) -> None:
    with codecs.using("python"):
        expected = join(parts)
    with codecs.using("native"):
        assert join(parts) == expected
    assert decode(expected)[1] == [one for part in parts for one in decode(part)[1]]


@given(st.lists(payloads(), min_size=1, max_size=3), st.integers(0, 2), st.binary(max_size=5))
def test_what_is_no_payload_is_refused_by_both(parts: list[bytes], at: int, wrong: bytes) -> None:
    parts[min(at, len(parts) - 1)] = b"\x93" + wrong
    for name in ("python", "native"):
        with codecs.using(name), pytest.raises(msgspec.DecodeError):
            join(parts)


@given(payloads(), st.integers(0, 22), st.integers(0, 22), st.integers(-5, 70_000), st.booleans())
def test_cut(payload: bytes, start: int, most: int, budget: int, one: bool) -> None:
    found = []
    for name in ("python", "native"):
        with codecs.using(name):
            found.append(fit(payload, start, most, budget, one=one))
    taken, size = found[0]
    assert found[0] == found[1]
    data = decode(payload)[1][start : start + most]
    assert size == sum(map(len, data[:taken]))
    assert size <= max(budget, 0) or (one and taken == 1)
    following = len(data[taken]) if taken < len(data) else None
    assert following is None or size + following > budget
    assert not one or not data or taken
