"""Test controls: the clock and the disk of a server in the hands of a test. Owns their pages on the management listener; only there
with `--test-controls`.

    GET  /test/clock    {"now_ms": …}
    POST /test/clock    {"advance_seconds": 3600}: an hour passes at once, and every job that is due has run before the reply
    POST /test/faults   {"call": "fdatasync", "error": "EIO", "after": 0, "times": 1}
    DELETE /test/faults the disk works again
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import msgspec

from penstock.clock import SteppedTime
from penstock.http.call import decode_json, to_json
from penstock.http.exchange import JSON, Response
from penstock.iam.base import SentRequest
from penstock.log.files.injected import Fault, InjectedDisk


class Advance(msgspec.Struct):
    """Body of POST /test/clock."""

    advance_seconds: Annotated[float, msgspec.Meta(ge=0, le=10 * 365 * 86400)]


class InjectFault(msgspec.Struct):
    """Body of POST /test/faults."""

    call: Literal["pread", "pwritev", "fdatasync", "create"]
    error: Literal["EIO", "ENOSPC", "EMFILE"] = "EIO"
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    times: Annotated[int, msgspec.Meta(ge=-1)] = 1


class Controls:
    """`run_jobs` runs every periodic job once."""

    def __init__(
        self, clock: SteppedTime, disk: InjectedDisk, run_jobs: Callable[[], Awaitable[None]]
    ) -> None:
        self._clock = clock
        self._disk = disk
        self._run_jobs = run_jobs

    async def respond(self, sent: SentRequest) -> Response:
        """Answer one of the pages. Raises ApiError."""
        if sent.path.rstrip(b"/").endswith(b"/clock"):
            if sent.method == "POST":
                self._clock.advance(decode_json(sent.body, Advance).advance_seconds)
                await self._run_jobs()
            return Response(200, JSON, to_json({"now_ms": self._clock.now_ms()}))
        self._disk.heal()
        if sent.method == "POST":
            fault = decode_json(sent.body, InjectFault)
            self._disk.fail(fault.call, Fault(fault.error, fault.after, fault.times))
        return Response(204)


PAGES = (
    ("GET", "/test/clock"),
    ("POST", "/test/clock"),
    ("POST", "/test/faults"),
    ("DELETE", "/test/faults"),
)
