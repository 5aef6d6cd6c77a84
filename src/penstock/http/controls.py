"""Test controls: the clock and the disk of a server in the hands of a test. Owns their pages on the management listener; only there
with `--test-controls`.

    GET  /test/clock    {"now_ms": …}
    POST /test/clock    {"advance_seconds": 3600}: an hour passes at once, and every job that is due has run before the reply
    POST /test/faults   {"call": "fdatasync", "error": "EIO", "after": 0, "times": 1}
    POST /test/faults   {"call": "dump.planned", "times": 1}: the dump process dies at that step of a round; with "server": true all dies
    DELETE /test/faults everything works again
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import msgspec

from penstock.clock import SteppedTime
from penstock.dump.points import Armed
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


class KillAt(msgspec.Struct):
    """Body of POST /test/faults for a step of a dump round (`dump.points`)."""

    call: Literal[
        "dump.planned",
        "dump.staged",
        "dump.visible",
        "dump.manifest",
        "dump.delivered",
        "dump.backed_up",
        "dump.committed",
    ]
    times: Annotated[int, msgspec.Meta(ge=1)] = 1
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    server: bool = False


class _Call(msgspec.Struct):
    call: str


class Controls:
    """`run_jobs` runs every periodic job once, and what dump tasks have due; `arm` has the dump process die at a point (None: at
    none)."""

    def __init__(
        self,
        clock: SteppedTime,
        disk: InjectedDisk,
        run_jobs: Callable[[], Awaitable[None]],
        arm: Callable[[Armed | None], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._disk = disk
        self._run_jobs = run_jobs
        self._arm = arm

    async def respond(self, sent: SentRequest) -> Response:
        """Answer one of the pages. Raises ApiError."""
        if sent.path.rstrip(b"/").endswith(b"/clock"):
            if sent.method == "POST":
                self._clock.advance(decode_json(sent.body, Advance).advance_seconds)
                await self._run_jobs()
            return Response(200, JSON, to_json({"now_ms": self._clock.now_ms()}))
        if sent.method == "POST" and decode_json(sent.body, _Call).call.startswith("dump."):
            kill = decode_json(sent.body, KillAt)
            await self._arm(Armed(kill.call.removeprefix("dump."), kill.times, kill.after, kill.server))
            return Response(204)
        self._disk.heal()
        await self._arm(None)
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
