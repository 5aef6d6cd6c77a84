"""Broken bodies through both codecs, in short. The long run: `make fuzz`."""

from __future__ import annotations

import pytest
from tests.faults import codec_fuzz
from tests.support import codecs

CASES = 3000


@pytest.mark.services
def test_both_codecs_do_the_same_with_broken_bodies() -> None:
    codecs.compiled()
    seen = codec_fuzz.run(20_261, count=CASES)
    assert seen.failures == []
    assert seen.cases == CASES
    assert seen.compiled > CASES // 20, "hardly any was good enough for the compiled codec"
    assert seen.compiled < CASES * 9 // 10, "hardly any was broken"
