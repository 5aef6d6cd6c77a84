"""The process: opens the parts in order, listens, and closes them in order. Owns signals and exit codes; knows nothing of
what requests mean.

Order of opening: the log first (its lock refuses a second server on the same data), then the catalog, identities,
streams, sockets. On SIGTERM: stop accepting, finish and acknowledge what has arrived, close the log, exit 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple
from zoneinfo import ZoneInfo

import structlog
import uvloop

from penstock import __version__, codec, observe
from penstock.catalog.base import CatalogError
from penstock.catalog.sqlite import open_catalog
from penstock.clock import SteppedTime, SystemClock
from penstock.codec import CodecError
from penstock.config import ConfigError, Settings
from penstock.credentials import FILE
from penstock.dump.coordinator import Coordinator, node_name
from penstock.dump.destinations import Asking
from penstock.dump.host import Dumps
from penstock.http.app import Application
from penstock.http.controls import Controls
from penstock.http.listen import address_of, bind, bind_manage, bind_many, raise_file_limit, tls_context
from penstock.http.manage import ManageApplication
from penstock.http.protocol import factory
from penstock.http.routes import ROUTES
from penstock.http.shared import Shared
from penstock.iam.authenticator import make_authenticator
from penstock.iam.bootstrap import bootstrap
from penstock.iam.identity import Identity
from penstock.iam.keystone import Keystone
from penstock.iam.sealing import Sealer, SealingError, kept_secret
from penstock.jobs.autoscale import AutoScale
from penstock.jobs.groups import Groups as GroupsJob
from penstock.jobs.periodic import Periodic
from penstock.jobs.retention import Retention
from penstock.jobs.rollup import Rollup
from penstock.jobs.terminate import Terminate
from penstock.jobs.webhooks import Webhooks
from penstock.log.base import LogError
from penstock.log.files import open_log
from penstock.log.files.disk import Disk
from penstock.log.files.injected import InjectedDisk
from penstock.runtime import spare_collector, tune
from penstock.service.access import Access
from penstock.service.app_directory import Apps
from penstock.service.context import Context
from penstock.service.directory import Directory
from penstock.service.events import Events
from penstock.service.group_directory import Groups
from penstock.service.lifecycle import settle
from penstock.service.partitions import Partitions
from penstock.service.points import Points
from penstock.service.reconcile import reconcile
from penstock.service.records import Records
from penstock.service.subscriptions import Subscriptions
from penstock.service.task_directory import Tasks
from penstock.service.task_runs import TaskRuns
from penstock.service.traffic import Traffic
from penstock.workers.core import Workers

SHUTDOWN_SECONDS = 4.0
"""How long requests that have arrived may take to finish once asked to stop; the whole exit takes under 5 s."""
BACKLOG = 1024
CACHE_BYTES = 7 << 20
"""Recent frames and their wire form: consumers at the tail read from here. The whole process stays under 120 MB."""
OPEN_FILES_MIN, OPEN_FILES_MAX, CONNECTION_FILES = 256, 16_384, 8192
"""Segments kept open: what connections leave of the files that the process may open, an eighth of these at least."""
_log = structlog.get_logger("penstock.server")


class _Parts(NamedTuple):
    context: Context
    partitions: Partitions
    cursor_key: bytes
    disk: Disk | None
    dumps: Dumps


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. The exit code: 0 after a clean stop, 1 when the server could not start."""
    tune()
    observe.configure(settings.log_level)
    raise_file_limit()
    try:
        codec.choose()
        if codec.native is None:
            _log.info("the compiled codec is not in use", reason=codec.reason)
        return uvloop.run(_serve(settings))
    except (LogError, CatalogError, SealingError, ConfigError, CodecError, OSError, ssl.SSLError) as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with _open(settings) as parts, contextlib.AsyncExitStack() as stack:
        context = parts.context
        tls = tls_context(settings)
        # Bound before anything is said: a port that is taken is an error of the start.
        fronts = _bind_front(settings)
        for bound in fronts:
            stack.callback(bound.close)
        back = stack.enter_context(bind_manage(settings, fronts[0].getsockname()[1]))
        app = Application(context, ROUTES)
        jobs: list[Periodic | Webhooks] = []
        manage = Shared(ManageApplication(context, _controls(parts, jobs)), loop)
        served = [manage]
        if settings.workers == 1:
            shared = Shared(app, loop)
            served.append(shared)
            server = await loop.create_server(factory(shared, loop), sock=fronts[0], backlog=BACKLOG, ssl=tls)
        else:
            workers = Workers(context, app, parts.partitions, parts.cursor_key, fronts)
            if context.points is not None:
                context.points.gather = workers.gather
            if not await workers.start(stop):
                return 0
        manage_server = await loop.create_server(factory(manage, loop), sock=back, backlog=64)
        rollup, webhooks = Rollup(context), Webhooks(context)
        jobs += [
            Periodic("connections", _sweeper(served), 1.0),
            Retention(context),
            Terminate(context),
            GroupsJob(context),
            AutoScale(context),
            rollup,
            webhooks,
        ]
        for job in jobs:
            job.start()
        parts.dumps.start()
        url = f"{'https' if tls else 'http'}://{address_of(fronts[0])}"
        _log.info("management ready", url=f"http://{address_of(back)}")
        spare_collector()
        print(f"penstock ready on {url}", flush=True)
        _log.info(
            "ready",
            version=__version__,
            url=url,
            data=str(settings.data),
            sync=str(settings.sync),
            limits=settings.limits_profile,
            workers=settings.workers,
            codec=codec.in_use(),
        )
        await stop.wait()
        _log.info("stopping")
        dumps_stopped = asyncio.create_task(parts.dumps.stop())
        if settings.workers == 1:
            server.close()
            await shared.finish(SHUTDOWN_SECONDS)
        else:
            await workers.stop(SHUTDOWN_SECONDS)
        for job in jobs:
            await job.stop()
        await dumps_stopped
        await rollup.finish()
        with contextlib.suppress(TimeoutError):  # the next start finishes what does not
            await asyncio.wait_for(settle(), 0.5)
        manage_server.close()
        await manage.finish(0.1)
    _log.info("stopped")
    return 0


def _bind_front(settings: Settings) -> list[socket.socket]:
    return [bind(settings.listen)] if settings.workers == 1 else bind_many(settings.listen, settings.workers)


@contextlib.asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[_Parts]:
    clock = SteppedTime() if settings.test_controls else SystemClock()
    disk = InjectedDisk() if settings.test_controls else None
    limits = settings.limits
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        allowed = raise_file_limit()
        open_files = max(OPEN_FILES_MIN, allowed // 8, min(OPEN_FILES_MAX, allowed - CONNECTION_FILES))
        log = await open_log(
            settings.data,
            sync=settings.sync,
            clock=clock,
            disk=disk,
            cache_bytes=CACHE_BYTES,
            open_files=open_files,
        )
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
            _log.info("credentials written", file=str(settings.data / FILE), user=created.user)
        identity = await Identity.open(
            catalog, sealer, clock, limits, auth=settings.auth, region=settings.region
        )
        keystone = None
        if settings.external.keystone:
            keystone = Keystone(settings.external, identity.store, clock)
            stack.push_async_callback(keystone.close)
        directory = await Directory.open(catalog)
        apps = await Apps.open(catalog)
        directory.on_change(apps.stream_changed)
        groups = await Groups.open(catalog, apps, directory, clock, limits)
        directory.on_change(groups.stream_changed)
        tasks = await Tasks.open(catalog, sealer)
        directory.on_change(tasks.stream_changed)
        runs = await TaskRuns.open(catalog, tasks, clock, node_name(settings.data))
        traffic = Traffic(clock)
        events = Events(catalog, limits, clock)
        subscriptions = Subscriptions(catalog, sealer, limits, clock)
        await subscriptions.load()
        events.listen(directory, subscriptions.matching)
        partitions = Partitions(log, clock, fetch_bytes=limits.fetch_bytes_default)
        cursor_key = await kept_secret(catalog, sealer, "cursor-key")
        access = Access(identity, directory)
        context = Context(
            settings=settings,
            limits=limits,
            clock=clock,
            catalog=catalog,
            log=log,
            identity=identity,
            authenticator=make_authenticator(identity, keystone),
            directory=directory,
            records=Records(partitions, directory, access, limits, clock, cursor_key, traffic),
            access=access,
            apps=apps,
            groups=groups,
            tasks=tasks,
            task_runs=runs,
            traffic=traffic,
            events=events,
            points=Points(catalog, traffic, directory, events, clock),
            subscriptions=subscriptions,
            destinations=Asking(settings.destinations, settings.data, limits.destination_seconds),
        )
        await reconcile(context)
        dumps = Dumps(Coordinator(context, runs, ZoneInfo(settings.time_zone)))
        yield _Parts(context, partitions, cursor_key, disk, dumps)


def _controls(parts: _Parts, jobs: list[Periodic | Webhooks]) -> Controls | None:
    """What `--test-controls` puts on the management listener."""
    clock = parts.context.clock
    if not isinstance(clock, SteppedTime) or not isinstance(parts.disk, InjectedDisk):
        return None
    _log.warning(
        "test controls are on: whoever reaches the management listener moves the clock and breaks the disk"
    )

    async def run_jobs() -> None:
        for job in jobs:
            if isinstance(job, Periodic):
                await job.run_once()
        await parts.dumps.settle()

    return Controls(clock, parts.disk, run_jobs, parts.dumps.arm)


def _sweeper(served: list[Shared]) -> Callable[[], Awaitable[None]]:
    async def sweep() -> None:
        for one in served:
            one.sweep()

    return sweep
