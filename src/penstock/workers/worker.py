"""A worker process: HTTP in front of the core. Owns its sockets and its copies of streams and identities; started by the
core as `python -m penstock.workers.worker RPC_FD LISTEN_FD TRAY_FD BOARD_FD`, ends when the core does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from typing import cast

import msgspec
import uvloop

from penstock import observe
from penstock.catalog.sqlite import open_catalog
from penstock.clock import SystemClock
from penstock.config import decode_settings
from penstock.http.app import Application
from penstock.http.exchange import Response
from penstock.http.listen import raise_file_limit, tls_context
from penstock.http.protocol import factory
from penstock.http.shared import Shared
from penstock.iam.authenticator import make_authenticator
from penstock.iam.base import SentRequest
from penstock.iam.identity import Identity
from penstock.iam.keystone import Keystone
from penstock.iam.sealing import Sealer
from penstock.log.base import RecordLog
from penstock.rpc import Disconnected, Peer, RemoteError
from penstock.runtime import spare_collector, tune
from penstock.service.access import Access
from penstock.service.context import Context
from penstock.service.directory import Directory
from penstock.service.records import Records
from penstock.service.traffic import Traffic
from penstock.workers.memory import BoardView, Tray
from penstock.workers.messages import Change, Hello, Report, RespondCall, RespondResult
from penstock.workers.remote import RemotePartitions

STOP_SECONDS = 3.5
_BACKLOG = 1024

_changes = msgspec.msgpack.Decoder(list[Change])
_over = msgspec.msgpack.Decoder(bool)
_respond = msgspec.msgpack.Decoder(RespondResult)


class Worker:
    """Everything of one worker."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.traffic = Traffic()
        self.records: Records | None = None
        self.identity: Identity | None = None
        self.identity_stale = False
        """Whether something changed while the catalog was being read for the first time."""
        self.core = Peer(
            {
                "changes": self._on_changes,
                "identity": self._on_identity,
                "report": self._on_report,
                "stop": self._on_stop,
            }
        )
        self.shared: Shared | None = None
        self.server: asyncio.Server | None = None

    async def run(self, rpc: socket.socket, listener: socket.socket, tray: Tray, board: BoardView) -> None:
        """Serve until the core is gone."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self.core, sock=rpc)
        hello = msgspec.msgpack.decode(await self.core.call("hello", None), type=Hello)
        settings = decode_settings(hello.settings)
        observe.configure(settings.log_level)
        for stream in hello.streams:
            self.directory.put(stream)
        clock = SystemClock()
        catalog = await open_catalog(settings.data / "catalog.db")
        sealer = Sealer.open(settings.data)
        identity = await Identity.open(
            catalog, sealer, clock, settings.limits, auth=settings.auth, region=settings.region
        )
        # Failures count for all workers together, in the core.
        identity.failures = None
        self.identity = identity
        if self.identity_stale:
            await identity.refresh()
        external = settings.external
        keystone = Keystone(external, identity.store, clock) if external.keystone else None
        partitions = RemotePartitions(self.core, tray, board, fetch_bytes=settings.limits.fetch_bytes_default)
        access = Access(identity, self.directory)
        records = Records(
            partitions, self.directory, access, settings.limits, clock, hello.cursor_key, self.traffic
        )
        self.records = records
        context = Context(
            settings=settings,
            limits=settings.limits,
            clock=clock,
            catalog=catalog,
            # Only the core touches the log: what needs it is forwarded.
            log=cast(RecordLog, None),
            identity=identity,
            authenticator=make_authenticator(identity, keystone),
            directory=self.directory,
            records=records,
            access=access,
            traffic=self.traffic,
        )
        self.shared = Shared(Application(context, (), forward=self._forward, failed=self._failed), loop)
        self.server = await loop.create_server(
            factory(self.shared, loop), sock=listener, backlog=_BACKLOG, ssl=tls_context(settings)
        )
        spare_collector()
        await self.core.call("ready", None)
        while not self.core.closed.done():
            await asyncio.wait([self.core.closed], timeout=1.0)
            self.shared.sweep()
            partitions.let_go()
            if not self.core.closed.done():
                counted = self._counted()
                if counted.totals or counted.traffic:
                    with contextlib.suppress(Exception):
                        await self.core.call("report", counted)
        partitions.close()
        await catalog.close()

    async def _forward(self, sent: SentRequest, scheme: str) -> Response:
        call = RespondCall(
            sent.method, sent.path, sent.query, list(sent.headers), sent.body, sent.peer, scheme
        )
        result = _respond.decode(await self.core.call("respond", call))
        return Response(result.status, result.content_type, result.body, tuple(result.headers))

    async def _on_changes(self, body: msgspec.Raw) -> None:
        for change in _changes.decode(body):
            if change.stream is not None:
                self.directory.put(change.stream)
            elif (known := self.directory.by_id(change.stream_id)) is not None:
                self.directory.drop(known)

    async def _on_identity(self, body: msgspec.Raw) -> None:
        if self.identity is None:
            self.identity_stale = True
        else:
            await self.identity.refresh()

    async def _failed(self, peer: str, key: str) -> bool:
        try:
            return _over.decode(await self.core.call("failed", (peer, key)))
        except (Disconnected, RemoteError):
            return False  # it is refused either way

    async def _on_report(self, body: msgspec.Raw) -> Report:
        return self._counted()

    def _counted(self) -> Report:
        totals = {} if self.records is None else self.records.totals.take()
        return Report(totals, self.traffic.take())

    async def _on_stop(self, body: msgspec.Raw) -> Report:
        if self.server is not None and self.shared is not None:
            self.server.close()
            await self.shared.finish(STOP_SECONDS)
        return self._counted()


def main(rpc_fd: int, listen_fd: int, tray_fd: int, board_fd: int) -> int:
    """Run a worker on these descriptors."""
    # The core decides when workers stop: a Ctrl-C in the terminal reaches every process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tune()
    raise_file_limit()
    rpc, listener = socket.socket(fileno=rpc_fd), socket.socket(fileno=listen_fd)
    for one in (rpc, listener):
        one.setblocking(False)
    uvloop.run(_run(rpc, listener, Tray(tray_fd), BoardView(board_fd)))
    return 0


async def _run(rpc: socket.socket, listener: socket.socket, tray: Tray, board: BoardView) -> None:
    await Worker().run(rpc, listener, tray, board)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:5])))
