"""The Java SDK v3 (`huaweicloud-sdk-dis` 3.1.130 of com.huaweicloud.sdk), unmodified, over TCP. The tests are those of v3_sdks.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contract.v3_sdks import V3
from tests.support.driver import Driver
from tests.support.sdks import java_v3

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with java_v3() as started:
        yield started


class TestJava(V3):
    reads_states = False
    reads_resources = False
