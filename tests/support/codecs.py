"""Each codec for one test, and the rule that a test of the compiled one never passes without it.

Owns loading the compiled codec for tests and switching to it. Where it cannot be built a test that needs it is not run, and
says so; with PENSTOCK_REQUIRE_SERVICES=1 that is a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from penstock import codec
from penstock.service.puts import ColumnarPut, PutRecord, PutRecords, PutRequest

EACH = ("python", pytest.param("native", marks=pytest.mark.services))
"""Parameters of a fixture or a test that is about both."""


def compiled() -> codec.Native:
    """The compiled codec. Skips the test when it is not there."""
    native, reason = codec.load()
    if native is None:
        pytest.skip(f"{reason}; with cargo 1.85 or later (https://rustup.rs), scripts/setup dev builds it")
    return native


def environment(name: str) -> dict[str, str]:
    """For a server that uses this codec. Skips the test when it is not there."""
    if name == "native":
        compiled()
    return {codec.VARIABLE: name}


@contextmanager
def using(name: str) -> Iterator[None]:
    """Everything in this process goes through the codec of that name meanwhile."""
    wanted = compiled() if name == "native" else None
    before = codec.native
    codec.native = wanted
    try:
        yield
    finally:
        codec.native = before


def records_of(request: PutRequest) -> list[PutRecord]:
    """The records of a decoded request, whichever codec decoded it."""
    assert isinstance(request, PutRecords | ColumnarPut)
    return request.records or []
