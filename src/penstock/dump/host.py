"""The dump process as the server sees it: starts it when there is a task to deliver, answers its calls, tells it what changes, starts
another when it dies. Owns the process and the connection; who is assigned is `dump.coordinator`'s.

A process of its own, so that making Parquet never delays a put; without tasks there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from penstock.clock import SteppedTime
from penstock.config import encode_settings
from penstock.destinations import Destinations
from penstock.dump.base import LeaseLost
from penstock.dump.coordinator import Coordinator
from penstock.dump.core import Assigned, Trouble
from penstock.dump.points import EXIT_CODES, Armed
from penstock.model.dumps import Plan
from penstock.model.tasks import TaskPosition
from penstock.rpc import Disconnected, Peer, RemoteError

RESTART_SECONDS = 0.5
LONGEST_RESTART_SECONDS = 30.0
QUICK_SECONDS = 10.0
"""A process that dies sooner than this after its start is started again more and more slowly."""
SETTLE_SECONDS = 60.0

_log = structlog.get_logger("penstock.dump")


class Hello(msgspec.Struct, kw_only=True):
    """What the process needs to begin. `advanced` is how many seconds a test has put the clock forward."""

    settings: dict[str, Any]
    destinations: Destinations
    zone: str
    assigned: list[Assigned]
    armed: list[Armed]
    advanced: float


class WaitingCall(msgspec.Struct, array_like=True):
    task_id: str
    epoch: int


class ReadCall(msgspec.Struct, array_like=True):
    task_id: str
    epoch: int
    partition: int
    sequence: int
    max_bytes: int
    outside: bool
    """Whether to be told where the records are, rather than the records."""


class PlanCall(msgspec.Struct, array_like=True):
    plan: Plan
    epoch: int


class CommitCall(msgspec.Struct, array_like=True):
    task_id: str
    epoch: int
    positions: list[TaskPosition]
    guarantee: str


class Dumps:
    """Runs the dump process as long as there is something for it to do."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._context = coordinator.context
        self._process: asyncio.subprocess.Process | None = None
        self._peer: Peer | None = None
        self._greeted = asyncio.Event()
        self._wanted = asyncio.Event()
        self._stopping = False
        self._jobs: list[asyncio.Task[None]] = []
        self._telling: set[asyncio.Task[None]] = set()
        self._armed: dict[str, Armed] = {}
        coordinator.on_assign = self._assign
        coordinator.on_drop = self._drop

    def __repr__(self) -> str:
        pid = None if self._process is None else self._process.pid
        return f"<Dumps, process {pid}>"

    def start(self) -> None:
        """Begin to assign tasks; the process comes with the first one."""
        self._jobs = [
            asyncio.create_task(self._coordinator.run(), name="dump tasks"),
            asyncio.create_task(self._watch(), name="dump process"),
        ]

    async def stop(self, seconds: float = 2.0) -> None:
        """End the process, politely for so long. What it had begun, the next one repeats."""
        self._stopping = True
        if self._peer is not None:
            with contextlib.suppress(Disconnected, RemoteError, TimeoutError):
                await asyncio.wait_for(self._peer.call("stop", None), seconds)
        self._kill()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self._kill()

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def settle(self) -> None:
        """Return when everything that is due by the clock now has been delivered, or has failed once more; for test controls."""
        await self._coordinator.look_again()
        for _ in range(3):  # a process that a test kills meanwhile is replaced
            if not self._coordinator.assigned():
                return
            await self._greeted.wait()
            peer = self._peer
            if peer is None:
                continue
            try:
                await asyncio.wait_for(peer.call("settle", self._advanced()), SETTLE_SECONDS)
            except (Disconnected, RemoteError):
                await asyncio.sleep(0.1)
                continue
            except TimeoutError:
                _log.warning("dump tasks have not settled", seconds=SETTLE_SECONDS)
            return

    async def arm(self, armed: Armed | None) -> None:
        """Have the process die at a point, or at none any more; for test controls."""
        self._armed = {} if armed is None else {**self._armed, armed.point: armed}
        if self._greeted.is_set() and self._peer is not None:
            with contextlib.suppress(Disconnected, RemoteError):
                await self._peer.call("arm", list(self._armed.values()))

    def _advanced(self) -> float:
        clock = self._context.clock
        return clock.advanced if isinstance(clock, SteppedTime) else 0.0

    # The process

    async def _watch(self) -> None:
        pause = RESTART_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            began = loop.time()
            code = await self._run()
            if self._stopping:
                return
            self._count_death(code)
            self._coordinator.reassign()
            if code in EXIT_CODES.values():
                continue  # as ordered by a test
            quick = loop.time() - began <= QUICK_SECONDS
            pause = min(pause * 2, LONGEST_RESTART_SECONDS) if quick else RESTART_SECONDS
            _log.error("dump process died, starting another", exit_code=code, seconds=pause)
            await asyncio.sleep(pause)

    def _count_death(self, code: int) -> None:
        """Of what tests have ordered, a death less."""
        point = next((name for name, number in EXIT_CODES.items() if number == code), None)
        armed = None if point is None else self._armed.get(point)
        if armed is None:
            return
        if armed.server:
            os.kill(os.getpid(), signal.SIGKILL)
        left = msgspec.structs.replace(armed, after=0, times=armed.times - 1)
        self._armed[armed.point] = left
        if left.times <= 0:
            del self._armed[armed.point]

    async def _run(self) -> int:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "penstock.dump.process",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
            )
        methods: dict[str, Callable[[msgspec.Raw], Awaitable[Any]]] = {
            "hello": self._hello,
            "waiting": self._on_waiting,
            "read": self._on_read,
            "plan": self._on_plan,
            "commit": self._on_commit,
            "trouble": self._on_trouble,
        }
        ours.setblocking(False)
        _, peer = await asyncio.get_running_loop().create_connection(lambda: Peer(methods), sock=ours)
        self._peer = peer
        code = await self._process.wait()
        self._greeted.clear()
        self._peer = None
        peer.close()
        return code

    async def _hello(self, _: msgspec.Raw) -> Hello:
        settings = self._context.settings
        # From here on changes are told; nothing else runs between this and the reply.
        self._greeted.set()
        pid = None if self._process is None else self._process.pid
        _log.info("dump process ready", pid=pid)
        return Hello(
            settings=encode_settings(settings),
            destinations=settings.destinations,
            zone=settings.time_zone,
            assigned=self._coordinator.assigned(),
            armed=list(self._armed.values()),
            advanced=self._advanced(),
        )

    # What changes

    def _assign(self, assigned: Assigned) -> None:
        self._wanted.set()
        self._tell("assign", assigned)

    def _drop(self, task_id: str) -> None:
        self._tell("drop", task_id)

    def _tell(self, method: str, what: object) -> None:
        if not self._greeted.is_set() or self._peer is None:
            return  # in its hello
        telling = asyncio.create_task(self._told(self._peer, method, what))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _told(self, peer: Peer, method: str, what: object) -> None:
        with contextlib.suppress(Disconnected, RemoteError):
            await peer.call(method, what)

    # What it asks: None or False say that the task is not its own any more

    async def _on_waiting(self, body: msgspec.Raw) -> Any:
        call = msgspec.msgpack.decode(body, type=WaitingCall)
        with contextlib.suppress(LeaseLost):
            return await self._coordinator.waiting(call.task_id, call.epoch)

    async def _on_read(self, body: msgspec.Raw) -> Any:
        call = msgspec.msgpack.decode(body, type=ReadCall)
        with contextlib.suppress(LeaseLost):
            return await self._coordinator.read(
                call.task_id,
                call.epoch,
                call.partition,
                call.sequence,
                call.max_bytes,
                outside=call.outside,
            )

    async def _on_plan(self, body: msgspec.Raw) -> bool:
        call = msgspec.msgpack.decode(body, type=PlanCall)
        with contextlib.suppress(LeaseLost):
            await self._coordinator.save_plan(call.plan, call.epoch)
            return True
        return False

    async def _on_commit(self, body: msgspec.Raw) -> bool:
        call = msgspec.msgpack.decode(body, type=CommitCall)
        with contextlib.suppress(LeaseLost):
            await self._coordinator.commit(call.task_id, call.epoch, call.positions, call.guarantee)
            return True
        return False

    async def _on_trouble(self, body: msgspec.Raw) -> bool:
        with contextlib.suppress(LeaseLost):
            await self._coordinator.trouble(msgspec.msgpack.decode(body, type=Trouble))
            return True
        return False
