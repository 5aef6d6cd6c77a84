"""Tables of the scaling log (5.1.5)."""

from __future__ import annotations

from typing import Any

from penstock.catalog.table import Table
from penstock.model.scaling import Scaling

SCALINGS: Table[Scaling] = Table(
    "scalings", Scaling, ("stream_id", "number"), lambda s: (s.stream_id, s.number), keys=2
)

TABLES: tuple[Table[Any], ...] = (SCALINGS,)
