"""Tests of wire formats run once with each codec."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support import codecs


@pytest.fixture(params=codecs.EACH, autouse=True, scope="module")
def each_codec(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the codec in use."""
    with codecs.using(request.param):
        yield request.param
