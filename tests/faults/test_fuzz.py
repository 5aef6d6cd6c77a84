"""R12 of the fault plan in short: malformed requests against every route. The long run: `python -m tests.faults.fuzz`."""

from __future__ import annotations

from pathlib import Path

from tests.faults import fuzz

CASES = 4000


async def test_malformed_requests_get_a_documented_refusal(tmp_path: Path) -> None:
    """Never a 5xx, always a code of the table. What a case costs is measured by the long run."""
    outcome = await fuzz.run(CASES, seed=20_241, directory=tmp_path / "data", cpu_seconds=60.0)
    assert outcome.failures == []
    assert outcome.statuses[400] > CASES // 10, "most of them were no malformed requests"
    assert outcome.statuses[200] > CASES // 100, "none of them went through"
