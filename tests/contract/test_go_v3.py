"""The Go SDK v3 (`huaweicloud-sdk-go-v3` v0.1.207), unmodified, over TCP. The tests are those of v3_sdks.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contract.v3_sdks import V3
from tests.support.driver import Driver
from tests.support.sdks import go_v3

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with go_v3() as started:
        yield started


class TestGo(V3):
    pass
