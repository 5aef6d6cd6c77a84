"""The process: opens the parts in order, listens, and closes them in order. Owns sockets, TLS, signals, exit codes; knows
nothing of what requests mean.

Order of opening: the log first (its lock refuses a second server on the same data), then the catalog, identities,
streams, sockets. On SIGTERM: stop accepting, finish and acknowledge what has arrived, close the log, exit 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
import uvloop

from penstock import __version__, observe
from penstock.catalog.base import Catalog, CatalogError
from penstock.catalog.sqlite import open_catalog
from penstock.clock import SystemClock
from penstock.config import Address, ConfigError, Settings
from penstock.http import identity as identity_routes
from penstock.http import streams as stream_routes
from penstock.http.app import Application
from penstock.http.manage import ManageApplication
from penstock.http.protocol import Shared
from penstock.iam.authenticator import make_authenticator
from penstock.iam.bootstrap import bootstrap
from penstock.iam.identity import Identity
from penstock.iam.sealing import Sealer, SealingError
from penstock.jobs.periodic import Periodic
from penstock.jobs.retention import Retention
from penstock.jobs.terminate import Terminate
from penstock.log.base import LogError
from penstock.log.files import open_log
from penstock.service.context import Context
from penstock.service.directory import Directory
from penstock.service.partitions import Partitions
from penstock.service.reconcile import reconcile
from penstock.service.records import Records

SHUTDOWN_SECONDS = 4.0
"""How long requests that have arrived may take to finish once asked to stop; the whole exit takes under 5 s."""
_BACKLOG = 1024
_log = structlog.get_logger("penstock.server")


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. The exit code: 0 after a clean stop, 1 when the server could not start."""
    observe.configure(settings.log_level)
    _raise_file_limit()
    try:
        return uvloop.run(_serve(settings))
    except (LogError, CatalogError, SealingError, ConfigError, OSError, ssl.SSLError) as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with _open(settings) as context:
        tls = _tls(settings)
        # Bound before anything is printed: a port that is taken is an error of the start.
        with _bind(settings.listen) as front, _bind_manage(settings, front) as back:
            shared = Shared(Application(context, [*stream_routes.ROUTES, *identity_routes.ROUTES]), loop)
            manage = Shared(ManageApplication(context), loop)
            server = await loop.create_server(shared.factory(), sock=front, backlog=_BACKLOG, ssl=tls)
            manage_server = await loop.create_server(manage.factory(), sock=back, backlog=64)
            jobs = [
                Periodic("connections", _sweeper(shared, manage), 1.0),
                Retention(context),
                Terminate(context),
            ]
            for job in jobs:
                job.start()
            scheme = "https" if tls else "http"
            _log.info("management ready", url=f"http://{_name(back)}")
            # What exists now stays: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            print(f"penstock ready on {scheme}://{_name(front)}", flush=True)
            _log.info(
                "ready",
                version=__version__,
                url=f"{scheme}://{_name(front)}",
                data=str(settings.data),
                sync=str(settings.sync),
            )
            await stop.wait()
            _log.info("stopping")
            server.close()
            await _finish(shared)
            for job in jobs:
                await job.stop()
            manage_server.close()
            await _finish(manage)
    _log.info("stopped")
    return 0


@contextlib.asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[Context]:
    clock = SystemClock()
    limits = settings.limits
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        log = await open_log(settings.data, sync=settings.sync, clock=clock)
        stack.push_async_callback(log.close)
        catalog = await open_catalog(settings.data / "catalog.db")
        stack.push_async_callback(catalog.close)
        sealer = Sealer.open(settings.data)
        created = await bootstrap(
            catalog,
            sealer,
            clock,
            limits,
            directory=settings.data,
            region=settings.region,
            environ=os.environ,
        )
        if created is not None:
            _log.info("credentials written", file=str(settings.data / "credentials.csv"), user=created.user)
        identity = await Identity.open(
            catalog, sealer, clock, limits, auth=settings.auth, region=settings.region
        )
        directory = await Directory.open(catalog)
        partitions = Partitions(log, clock, fetch_bytes=limits.fetch_bytes_default)
        context = Context(
            settings=settings,
            limits=limits,
            clock=clock,
            catalog=catalog,
            log=log,
            identity=identity,
            authenticator=make_authenticator(identity),
            directory=directory,
            records=Records(
                partitions, directory, limits, clock, await _secret(catalog, sealer, "cursor-key")
            ),
        )
        await reconcile(context)
        yield context


async def _secret(catalog: Catalog, sealer: Sealer, name: str) -> bytes:
    purpose = f"secret:{name}".encode()
    sealed = await catalog.secret(name, sealer.seal(secrets.token_bytes(32), purpose))
    return sealer.unseal(sealed, purpose)


def _sweeper(*shared: Shared) -> Callable[[], Awaitable[None]]:
    async def sweep() -> None:
        for one in shared:
            one.sweep()

    return sweep


async def _finish(shared: Shared) -> None:
    """Let every request that has arrived be answered; cut what takes longer than SHUTDOWN_SECONDS."""
    shared.draining = True
    for connection in list(shared.state.connections):
        connection.shutdown()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(shared.empty(), SHUTDOWN_SECONDS)
    for connection in list(shared.state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address.host, address.port))
    except OSError as error:
        bound.close()
        raise OSError(
            error.errno, f"cannot listen on {address}: {error.strerror}; choose another with --listen"
        ) from error
    bound.setblocking(False)
    return bound


def _bind_manage(settings: Settings, front: socket.socket) -> socket.socket:
    if settings.manage is not None:
        return _bind(settings.manage)
    try:
        return _bind(Address("127.0.0.1", min(front.getsockname()[1] + 1, 65535)))
    except OSError:
        return _bind(Address("127.0.0.1", 0))


def _name(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return str(Address(host, port))


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The Java client speaks 1.2 at most (clients.md section 6).
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"--tls-cert {settings.tls_cert}, --tls-key {settings.tls_key}: {error}") from error
    return context


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
