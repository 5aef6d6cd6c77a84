"""Deletions that could not be finished at once: tried again. Owns when; how is `service.lifecycle`'s."""

from __future__ import annotations

from penstock.jobs.periodic import Periodic
from penstock.service.context import Context
from penstock.service.lifecycle import finish_terminating

INTERVAL_SECONDS = 30.0


class Terminate(Periodic):
    """Runs `finish_terminating` every `interval` seconds."""

    def __init__(self, context: Context, interval: float = INTERVAL_SECONDS) -> None:
        super().__init__("terminate", lambda: finish_terminating(context), interval)
