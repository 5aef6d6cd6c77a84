"""The management listener: /healthz, /readyz, /metrics. Owns these three pages; no credentials, so loopback by default.

healthz: the process answers. readyz: it can be written to. metrics: Prometheus text.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock import __version__
from penstock.errors import ApiError
from penstock.http.app import error_response
from penstock.http.call import to_json
from penstock.http.controls import PAGES, Controls
from penstock.http.exchange import JSON, Response
from penstock.http.router import Router
from penstock.iam.base import SentRequest
from penstock.model.metrics import STREAM_LABELS, read
from penstock.service.context import Context

STREAMS_SHOWN = 1000
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
        health = self._context.log.health()
        yield GaugeMetricFamily("penstock_ready", "1 when the log can be written.", value=int(health.ok))
        yield GaugeMetricFamily(
            "penstock_partitions", "Partitions in the log.", value=len(self._context.log.partitions())
        )
        free = os.statvfs(self._context.settings.data)
        yield GaugeMetricFamily(
            "penstock_disk_free_bytes", "Free bytes where the data is.", value=free.f_bavail * free.f_frsize
        )
        info = GaugeMetricFamily("penstock_build_info", "Version of the server.", labels=["version"])
        info.add_metric([__version__], 1)
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


class ManageApplication:
    """Answers the management listener; the same shape as `http.app.Application`."""

    def __init__(self, context: Context, controls: Controls | None = None) -> None:
        self.context = context
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

    def body_limit(self, headers: Iterable[tuple[bytes, bytes]]) -> int:
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
                return await self._controls.respond(sent)
            except ApiError as error:
                return error_response(error)
        if page == "healthz":
            return Response(200, JSON, to_json({"status": "ok", "version": __version__}))
        if page == "readyz":
            health = self.context.log.health()
            status = {"status": "ready" if health.ok else "not ready", "problems": health.problems}
            return Response(200 if health.ok else 503, JSON, to_json(status))
        return Response(200, CONTENT_TYPE_LATEST, generate_latest(self._registry))
