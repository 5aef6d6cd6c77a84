"""Events: what the operator of a stream wants to hear of. Owns their kinds and the queue; knows no HTTP."""

from __future__ import annotations


class Events:
    """Takes events from every part of the server; never blocks, never raises."""

    def emit(self, kind: str, project_id: str, stream_name: str, detail: str) -> None:
        """`kind` is one of the kinds in the table of this module."""
