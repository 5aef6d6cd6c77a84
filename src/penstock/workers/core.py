"""The core's end: starts workers, answers their calls, tells them what changed, replaces those that die. Owns the processes;
what calls mean is `service` and `http`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from functools import partial
from typing import Any

import msgspec
import structlog

from penstock.config import encode_settings
from penstock.http.app import Application
from penstock.iam.base import SentRequest
from penstock.model.streams import Stream
from penstock.rpc import Disconnected, Peer, RemoteError
from penstock.service.context import Context
from penstock.service.partitions import Partitions
from penstock.workers.answers import Answers
from penstock.workers.memory import TrayView
from penstock.workers.messages import Change, Hello, Report, RespondCall, RespondResult

START_SECONDS = 30.0
CHANGE_SECONDS = 1.0
IDENTITY_SECONDS = 5.0
RESTART_SECONDS = 0.5
"""Pause before a worker that died is started again."""

_log = structlog.get_logger("penstock.workers")
_respond = msgspec.msgpack.Decoder(RespondCall)
_failed = msgspec.msgpack.Decoder(tuple[str, str])
_report = msgspec.msgpack.Decoder(Report)


class _Worker:
    """One worker process and the connection to it."""

    def __init__(self, number: int, listener: socket.socket) -> None:
        self.number = number
        self.listener = listener
        self.process: asyncio.subprocess.Process | None = None
        self.peer: Peer | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Workers:
    """N processes that serve HTTP on `listeners`, one each. `partitions` are this process's."""

    def __init__(
        self,
        context: Context,
        app: Application,
        partitions: Partitions,
        cursor_key: bytes,
        listeners: list[socket.socket],
    ) -> None:
        self._context = context
        self._app = app
        self._cursor_key = cursor_key
        self._workers = [_Worker(number, listener) for number, listener in enumerate(listeners)]
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._asking: set[asyncio.Future[None]] = set()
        self._changes: list[Change] = []
        self._identity_changed = False
        self._telling: asyncio.Task[None] | None = None
        self._answers = Answers(context.log, partitions)
        context.directory.on_change(self._note)
        context.identity.on_change(self._note_identity)

    async def start(self, stop: asyncio.Event) -> bool:
        """Start all and wait until each accepts connections; False when `stop` was set meanwhile. Raises OSError when they do
        not come up."""
        for worker in self._workers:
            self._watchers.append(asyncio.create_task(self._watch(worker), name=f"worker {worker.number}"))
        ready = asyncio.gather(*(worker.ready for worker in self._workers))
        stopped = asyncio.create_task(stop.wait())
        either: list[asyncio.Future[Any]] = [ready, stopped]
        await asyncio.wait(either, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if ready.done():
            return True
        ready.cancel()
        await self.stop(0.1)
        if stop.is_set():
            return False
        raise OSError(f"workers did not start within {START_SECONDS:g} s; what they said is above")

    async def stop(self, seconds: float) -> None:
        """Have every worker finish what it has, at most so long."""
        self._stopping = True
        await asyncio.gather(*(self._ask(worker, "stop", seconds) for worker in self._workers))
        for worker in self._workers:
            if worker.peer is not None:
                worker.peer.close()
        _, late = await asyncio.wait(self._watchers, timeout=1.0)
        if late:
            for worker in self._workers:
                if worker.process is not None and worker.process.returncode is None:
                    worker.process.kill()
            await asyncio.wait(late)

    # Processes ----------------------------------------------------------------------------------------------------

    async def _watch(self, worker: _Worker) -> None:
        while True:
            code = await self._run(worker)
            if self._stopping:
                return
            _log.error("worker died, starting another", worker=worker.number, exit_code=code)
            await asyncio.sleep(RESTART_SECONDS)

    async def _run(self, worker: _Worker) -> int:
        ours, theirs = socket.socketpair()
        tray = TrayView()
        with theirs:
            worker.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "penstock.workers.worker",
                str(theirs.fileno()),
                str(worker.listener.fileno()),
                str(tray.fd),
                str(self._answers.board.fd),
                pass_fds=(theirs.fileno(), worker.listener.fileno(), tray.fd, self._answers.board.fd),
                start_new_session=True,
            )
        methods: dict[str, Any] = {
            "hello": lambda _: self._hello(worker),
            "ready": lambda _: self._ready(worker),
            "put": partial(self._answers.put, tray),
            "take": self._answers.take,
            "read": self._answers.read,
            "slot": self._answers.slot,
            "time": self._answers.time,
            "respond": self._on_respond,
            "report": self._on_report,
            "failed": self._on_failed,
        }
        ours.setblocking(False)
        _, peer = await asyncio.get_running_loop().create_connection(lambda: Peer(methods), sock=ours)
        worker.peer = peer
        code = await worker.process.wait()
        worker.peer = None
        peer.close()
        await asyncio.sleep(0)  # calls that have arrived look into the tray first of all
        tray.close()
        return code

    async def _hello(self, worker: _Worker) -> Hello:
        return Hello(encode_settings(self._context.settings), self._cursor_key, self._context.directory.all())

    async def _ready(self, worker: _Worker) -> None:
        if not worker.ready.done():
            worker.ready.set_result(None)
        _log.info("worker ready", worker=worker.number, pid=worker.process.pid if worker.process else None)

    # What changed -------------------------------------------------------------------------------------------------

    def _note(self, before: Stream | None, after: Stream | None) -> None:
        known = after if after is not None else before
        assert known is not None
        self._changes.append(Change(known.stream_id, after))
        self._begin_telling()

    def _note_identity(self) -> None:
        self._identity_changed = True
        self._begin_telling()

    def _begin_telling(self) -> None:
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_all(), name="telling workers")

    async def tell(self) -> None:
        """Return when every worker knows what has changed so far, so that a reply is true whichever worker the client asks
        next. One that does not answer in time is taken for dead."""
        if self._telling is not None:
            await asyncio.shield(self._telling)

    async def _tell_all(self) -> None:
        while self._changes or self._identity_changed:
            changes, self._changes = self._changes, []
            identity, self._identity_changed = self._identity_changed, False
            calls = [
                self._tell(worker, "changes", changes, CHANGE_SECONDS) for worker in self._workers if changes
            ]
            if identity:
                # They read it from the catalog, where it is already.
                calls += [self._tell(worker, "identity", None, IDENTITY_SECONDS) for worker in self._workers]
            await asyncio.gather(*calls)

    async def _tell(self, worker: _Worker, method: str, what: object, seconds: float) -> None:
        if worker.peer is None:
            return
        try:
            await asyncio.wait_for(worker.peer.call(method, what), seconds)
        except (TimeoutError, Disconnected, RemoteError) as error:
            _log.error("worker does not take changes", worker=worker.number, reason=str(error))
            if worker.process is not None and worker.process.returncode is None:
                worker.process.kill()

    # Calls of workers -----------------------------------------------------------------------------------------------

    async def _on_respond(self, body: msgspec.Raw) -> RespondResult:
        call = _respond.decode(body)
        sent = SentRequest(call.method, call.path, call.query, call.headers, call.body, call.peer)
        response = await self._app.respond(sent, call.scheme)
        await self.tell()
        return RespondResult(
            response.status, response.content_type, response.joined(), list(response.headers)
        )

    async def _on_failed(self, body: msgspec.Raw) -> bool:
        peer, key = _failed.decode(body)
        failures = self._context.identity.failures
        return failures is not None and failures.record(peer, key)

    async def _on_report(self, body: msgspec.Raw) -> None:
        self._add(_report.decode(body))

    def _add(self, report: Report) -> None:
        self._context.records.totals.add(report.totals)
        self._context.traffic.add(report.traffic)

    async def gather(self) -> None:
        """Return when what every worker has counted so far is counted here."""
        await asyncio.gather(*(self._ask(worker, "report", CHANGE_SECONDS) for worker in self._workers))

    async def _ask(self, worker: _Worker, method: str, seconds: float) -> None:
        """Have a worker do something it reports after, and wait at most so long: a report that comes later counts too."""
        if worker.peer is None:
            return
        asking = asyncio.ensure_future(self._reported(worker.peer, method))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        await asyncio.wait([asking], timeout=seconds)

    async def _reported(self, peer: Peer, method: str) -> None:
        with contextlib.suppress(Disconnected, RemoteError):
            self._add(_report.decode(await peer.call(method, None)))
