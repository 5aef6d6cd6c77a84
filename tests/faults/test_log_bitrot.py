"""R4: 500 flipped bits, none goes unnoticed or costs another record. `python -m tests.faults.bitrot` runs more."""

from __future__ import annotations

import pytest
from tests.faults.bitrot import run

pytestmark = pytest.mark.faults


async def test_flipped_bits() -> None:
    counts = await run(500, seed=4)
    assert sum(counts.values()) == 500
    assert counts[".seg, some records unreadable"] > 100
