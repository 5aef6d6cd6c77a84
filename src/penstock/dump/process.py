"""The dump process: the engine behind a socket. Owns nothing of the server's; started by it as `python -m penstock.dump.process FD`,
ends at once when the server does."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import platform
import signal
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import uvloop

from penstock import observe
from penstock.clock import SteppedTime
from penstock.config import decode_settings
from penstock.dump.base import LeaseLost
from penstock.dump.core import Assigned, Reading, Trouble
from penstock.dump.engine import Engine
from penstock.dump.host import CommitCall, Hello, PlanCall, ReadCall, WaitingCall
from penstock.dump.points import Armed, Points
from penstock.log.base import Corrupt
from penstock.log.files.outside import OutsideReader
from penstock.model.dumps import Backlog, Plan
from penstock.model.tasks import TaskPosition
from penstock.rpc import Peer
from penstock.runtime import tune

READ_THREADS = 4
NICE = 19
"""Puts and gets come first where processors are few."""
TURN_NS = 100_000_000
"""The longest turn that the kernel gives."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""The system call's number; the C library has no function for it."""
STOP_SECONDS = 1.5
COLLECT = (10_000, 5, 2)
"""Thresholds of the garbage collector; a full collection comes about as often as with the usual ones."""

T = TypeVar("T")


class RemoteCore:
    """The server (dump.core.Core), over the socket. A server that is gone answers nothing: this process is about to end."""

    def __init__(self, server: Peer) -> None:
        self._server = server
        self._log = OutsideReader()
        self._threads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="log-read")

    async def _ask(self, kind: str, call: object, answer: type[T]) -> T:
        result = msgspec.msgpack.decode(await self._server.call(kind, call), type=answer | None)
        if result is None or result is False:
            raise LeaseLost(kind)
        return result

    async def waiting(self, task_id: str, epoch: int) -> list[Backlog]:
        return await self._ask("waiting", WaitingCall(task_id, epoch), list[Backlog])

    async def read(self, task_id: str, epoch: int, partition: int, sequence: int, max_bytes: int) -> Reading:
        """The server says where the records are, and this process reads them: 50 MB a second that are copied nowhere are not felt by
        those who put."""
        found = await self._ask(
            "read", ReadCall(task_id, epoch, partition, sequence, max_bytes, True), Reading
        )
        if found.place is None:
            return found
        loop = asyncio.get_running_loop()
        try:
            frames = await loop.run_in_executor(
                self._threads, self._log.frames, found.place, sequence, max_bytes
            )
        except Corrupt as error:
            return Reading([], damage=str(error))
        except OSError:
            # Expired meanwhile, or deleted, or there are no more descriptors: the server knows.
            call = ReadCall(task_id, epoch, partition, sequence, max_bytes, False)
            return await self._ask("read", call, Reading)
        return Reading.of(frames)

    async def save_plan(self, plan: Plan, epoch: int) -> None:
        await self._ask("plan", PlanCall(plan, epoch), bool)

    async def commit(self, task_id: str, epoch: int, positions: list[TaskPosition], guarantee: str) -> None:
        await self._ask("commit", CommitCall(task_id, epoch, positions, guarantee), bool)

    async def trouble(self, trouble: Trouble) -> None:
        await self._ask("trouble", trouble, bool)


class Process:
    """Everything of the process."""

    def __init__(self) -> None:
        self._clock = SteppedTime()
        self._points = Points()
        self._engine: Engine | None = None
        self._made = asyncio.Event()
        self._stopped = asyncio.Event()
        self.server = Peer(
            {
                "assign": self._on_assign,
                "drop": self._on_drop,
                "settle": self._on_settle,
                "arm": self._on_arm,
                "stop": self._on_stop,
            }
        )

    async def run(self, connection: socket.socket) -> None:
        """Deliver until the server is gone or says stop."""
        await asyncio.get_running_loop().create_connection(lambda: self.server, sock=connection)
        hello = msgspec.msgpack.decode(await self.server.call("hello", None), type=Hello)
        settings = decode_settings(hello.settings)
        observe.configure(settings.log_level)
        self._clock.advance(hello.advanced)
        self._points.arm(hello.armed)
        engine = Engine(
            RemoteCore(self.server),
            self._clock,
            hello.destinations,
            settings.data,
            seconds=settings.limits.destination_seconds,
            zone=ZoneInfo(hello.zone),
            reached=self._points.reached,
        )
        for assigned in hello.assigned:
            engine.assign(assigned)
        self._engine = engine
        self._made.set()
        either: list[asyncio.Future[Any]] = [self.server.closed, asyncio.create_task(self._stopped.wait())]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    async def _on_assign(self, body: msgspec.Raw) -> None:
        assigned = msgspec.msgpack.decode(body, type=Assigned)
        (await self._ready()).assign(assigned)

    async def _on_drop(self, body: msgspec.Raw) -> None:
        task_id = msgspec.msgpack.decode(body, type=str)
        (await self._ready()).drop(task_id)

    async def _on_settle(self, body: msgspec.Raw) -> None:
        advanced = msgspec.msgpack.decode(body, type=float)
        engine = await self._ready()
        self._clock.advance(max(0.0, advanced - self._clock.advanced))
        await engine.settle()

    async def _on_arm(self, body: msgspec.Raw) -> None:
        self._points.arm(msgspec.msgpack.decode(body, type=list[Armed]))

    async def _on_stop(self, body: msgspec.Raw) -> None:
        if self._engine is not None:
            await asyncio.wait([asyncio.ensure_future(self._engine.close())], timeout=STOP_SECONDS)
        self._stopped.set()

    async def _ready(self) -> Engine:
        """The engine; calls that come with the hello's answer wait for it."""
        await self._made.wait()
        assert self._engine is not None
        return self._engine


def main(descriptor: int) -> None:
    """Deliver what comes over this socket. Does not return: threads that hang in a library must not keep the process."""
    # The server decides when this ends: a Ctrl-C in the terminal reaches every process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tune()
    # A round is thousands of lists of bytes and hardly a cycle: at the usual pace the collector looks at all of them again and again.
    gc.set_threshold(*COLLECT)
    _give_way()
    connection = socket.socket(fileno=descriptor)
    connection.setblocking(False)
    code = 1
    try:
        uvloop.run(_run(connection))
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _give_way() -> None:
    """Run only where the server leaves a processor free. It stays in the server's session: where the kernel schedules sessions against
    each other (autogroup), it would otherwise be an equal of the server, whatever its niceness. Its own process group keeps ^C away."""
    os.setpgid(0, 0)
    os.nice(NICE)
    number = _SCHED_SETATTR.get(platform.machine())
    if number is not None:
        # Long turns: a thread of the server that wakes up takes the processor at once instead of waiting for this one's turn to end
        # (Linux 6.12 and later; earlier ones ignore it).
        asked = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, NICE, 0, TURN_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, asked, 0)


async def _run(connection: socket.socket) -> Any:
    process = Process()
    await process.run(connection)
    # As it is: uvloop.run would wait for threads.
    await asyncio.sleep(0.05)
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
