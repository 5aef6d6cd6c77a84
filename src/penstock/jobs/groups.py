"""Members of consumer groups that went silent: given up also where nobody asks. Owns when; how is `service.groups`'."""

from __future__ import annotations

from penstock.jobs.periodic import Periodic
from penstock.service.context import Context
from penstock.service.groups import sweep

INTERVAL_SECONDS = 15.0


class Groups(Periodic):
    """Runs `sweep` every `interval` seconds."""

    def __init__(self, context: Context, interval: float = INTERVAL_SECONDS) -> None:
        super().__init__("groups", lambda: sweep(context), interval)
