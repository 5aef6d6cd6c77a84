"""Points where a test can have the dump process die, as a kill would: the steps of a round. Owns their names and exit codes; armed only
through the test controls."""

from __future__ import annotations

import os

import msgspec

POINTS = ("planned", "staged", "visible", "manifest", "delivered", "backed_up", "committed")
EXIT_CODES = {point: 64 + number for number, point in enumerate(POINTS)}
"""How the server knows where its dump process died: a process that ends with one of these was told to."""


class Armed(msgspec.Struct, array_like=True, frozen=True):
    """Die `times` times at a point, each time a new process; the first time after it has been passed `after` times. With `server` the
    whole server dies."""

    point: str
    times: int = 1
    after: int = 0
    server: bool = False


class Points:
    """Dies where it is armed."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}

    def arm(self, armed: list[Armed]) -> None:
        """These and no others."""
        self._left = {one.point: one.after for one in armed}

    def reached(self, point: str) -> None:
        """A step has been done."""
        left = self._left.get(point)
        if left is None:
            return
        if left:
            self._left[point] = left - 1
        else:
            os._exit(EXIT_CODES[point])
