"""The suite of `test_conformance` for HDFS, HBase and OpenTSDB."""

from __future__ import annotations

import pytest
from tests.integration.dump.test_conformance import (
    Delivering,
    Locking,
    OverANetwork,
    PassingOver,
    Rejecting,
    bench,
    dump,
    server,
    services,
    target,
)
from tests.support import dump_targets as targets

__all__ = ["bench", "dump", "server", "services", "target"]  # fixtures


@pytest.mark.services
class TestHadoop(Delivering, Rejecting, PassingOver, OverANetwork, Locking):
    kind = targets.Hadoop


@pytest.mark.services
class TestHBase(Delivering, Rejecting, PassingOver, OverANetwork):
    kind = targets.HBaseTable


@pytest.mark.services
class TestTimeSeries(Delivering, Rejecting, PassingOver, OverANetwork):
    kind = targets.TimeSeries
