"""The management listener: /healthz, /readyz, /metrics. Owns these three pages; no credentials, so loopback by default.

healthz: the process answers. readyz: it can be written to. metrics: Prometheus text.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock import __version__, codec
from penstock.errors import ApiError
from penstock.http.app import error_response
from penstock.http.call import to_json
from penstock.http.controls import PAGES, Controls
from penstock.http.exchange import JSON, Response
from penstock.http.router import Router
from penstock.iam.base import SentRequest
from penstock.log.base import PartitionRef, RecordLog, UnknownPartition
from penstock.model.metrics import STREAM_LABELS, read
from penstock.model.streams import Stream
from penstock.model.tasks import TaskPosition
from penstock.service.context import Context

STREAMS_SHOWN = TASKS_SHOWN = 1000
"""A scrape stays small however many streams there are."""
_OF_STREAMS = (
    ("put_bytes", "Bytes of data stored.", ("total_put_bytes_per_stream",)),
    ("put_records", "Records stored.", ("total_put_records_per_stream",)),
    ("get_bytes", "Bytes of data returned.", ("total_get_bytes_per_stream",)),
    ("get_records", "Records returned.", ("total_get_records_per_stream",)),
    ("throttled", "Requests refused by traffic control.", ("traffic_control_put", "traffic_control_get")),
)


class _Totals(Collector):
    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterator[Metric]:
        totals = self._context.records.totals
        for name, help_text, value in (
            ("penstock_put_requests", "PutRecords requests answered.", totals.puts),
            ("penstock_put_records", "Records acknowledged.", totals.records_in),
            ("penstock_put_body_bytes", "Bytes of PutRecords bodies, inflated.", totals.bytes_in),
            ("penstock_put_refused_records", "Records answered with an error code.", totals.refused),
            ("penstock_throttled", "Records and reads refused by traffic control.", totals.throttled),
            ("penstock_get_requests", "GetRecords requests answered.", totals.reads),
            ("penstock_get_records", "Records returned.", totals.records_out),
            ("penstock_get_bytes", "Stored bytes of records returned.", totals.bytes_out),
        ):
            yield CounterMetricFamily(name, help_text, value=value)
        yield from self._streams()
        yield from self._tasks()
        health = self._context.log.health()
        yield GaugeMetricFamily("penstock_ready", "1 when the log can be written.", value=int(health.ok))
        yield GaugeMetricFamily(
            "penstock_partitions", "Partitions in the log.", value=len(self._context.log.partitions())
        )
        free = os.statvfs(self._context.settings.data)
        yield GaugeMetricFamily(
            "penstock_disk_free_bytes", "Free bytes where the data is.", value=free.f_bavail * free.f_frsize
        )
        info = GaugeMetricFamily(
            "penstock_build_info", "Version of the server and the codec it uses.", labels=["version", "codec"]
        )
        info.add_metric([__version__, codec.in_use()], 1)
        yield info

    def _streams(self) -> Iterator[Metric]:
        """What streams have carried; as many as a page can show."""
        context = self._context
        families = [
            (CounterMetricFamily(f"penstock_stream_{name}", text, labels=["project_id", "stream"]), readings)
            for name, text, readings in _OF_STREAMS
        ]
        known = {} if context.points is None else context.points.since_start()
        for stream_id in sorted(known)[:STREAMS_SHOWN]:
            stream = context.directory.by_id(stream_id)
            if stream is None:
                continue
            for family, readings in families:
                value = sum(read(known[stream_id], STREAM_LABELS[label]) for label in readings)
                family.add_metric([stream.project_id, stream.name], value)
        for family, _ in families:
            yield family

    def _tasks(self) -> Iterator[Metric]:
        """How dump tasks go; as many as a page can show."""
        context = self._context
        labels = ["project_id", "stream", "task"]
        lag = GaugeMetricFamily(
            "penstock_dump_lag_records", "Records a dump task has not delivered.", labels=labels
        )
        passed = GaugeMetricFamily(
            "penstock_dump_discarded_records", "Records a dump task passed over.", labels=labels
        )
        last = GaugeMetricFamily(
            "penstock_dump_last_transfer_seconds",
            "When it last delivered, Unix time; 0: never.",
            labels=labels,
        )
        trouble = GaugeMetricFamily(
            "penstock_dump_in_trouble", "1 while a dump task is ABNORMAL or in ERROR.", labels=labels
        )
        for task in context.tasks.all()[:TASKS_SHOWN]:
            stream = context.directory.by_id(task.stream_id)
            if stream is None:
                continue
            named = [task.project_id, stream.name, task.name]
            positions = context.tasks.positions(task.task_id)
            lag.add_metric(named, sum(_behind(context.log, stream, positions)))
            passed.add_metric(named, sum(position.discard for position in positions.values()))
            last.add_metric(named, context.tasks.last_transfer_ms(task.task_id) / 1000)
            trouble.add_metric(named, int(task.trouble is not None))
        yield from (lag, passed, last, trouble)


def _behind(log: RecordLog, stream: Stream, positions: dict[int, TaskPosition]) -> Iterator[int]:
    """How many records of each partition that can be read are not delivered."""
    for partition in stream.readable:
        position = positions.get(partition.number)
        try:
            bounds = log.bounds(PartitionRef(stream.stream_id, partition.number))
        except UnknownPartition:
            continue  # being made, or being deleted
        yield bounds.next - max(bounds.earliest, 0 if position is None else position.next_sequence)


class ManageApplication:
    """Answers the management listener; the same shape as `http.app.Application`."""

    def __init__(self, context: Context, controls: Controls | None = None) -> None:
        self.context = context
        self.direct = None
        self.room: Callable[[], Awaitable[None]] | None = None
        """As in `Application`; pages here are small."""
        self._controls = controls
        self._registry = CollectorRegistry()
        self._registry.register(_Totals(context))
        if Path("/proc/self/stat").exists():
            ProcessCollector(registry=self._registry)
        pages = [("GET", "/healthz", "healthz"), ("GET", "/readyz", "readyz"), ("GET", "/metrics", "metrics")]
        if controls is not None:
            pages += [(method, path, "controls") for method, path in PAGES]
        self._router = Router(pages)

    def body_limit(self, named: Mapping[bytes, bytes]) -> int:
        return 1024

    def refusal(self, error: ApiError) -> Response:
        return error_response(error)

    async def respond(self, sent: SentRequest, scheme: str) -> Response:
        try:
            page = self._router.match(sent.method, sent.path).handler
        except ApiError as error:
            return error_response(error)
        if page == "controls" and self._controls is not None:
            try:
                return await asyncio.create_task(self._controls.respond(sent))
            except ApiError as error:
                return error_response(error)
        if page == "healthz":
            return Response(
                200, JSON, to_json({"status": "ok", "version": __version__, "codec": codec.in_use()})
            )
        if page == "readyz":
            health = self.context.log.health()
            status = {"status": "ready" if health.ok else "not ready", "problems": health.problems}
            return Response(200 if health.ok else 503, JSON, to_json(status))
        return Response(200, CONTENT_TYPE_LATEST, generate_latest(self._registry))
