"""CloudTable OpenTSDB (5.5.10), by its HTTP API. Owns sending points and when a round counts as delivered; what points are and what
answers mean is in `tsdb_points`.

Every request asks for `sync`, without which an answer only means that the server has the points in memory, and for `sync_timeout`,
without which it never answers while HBase is gone. Of a request with illegal points the others are stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx

from penstock.dump.base import NotDelivered, Reject, Round
from penstock.dump.decoding import reason
from penstock.dump.destinations import cloudtable
from penstock.dump.destinations.base import Place
from penstock.dump.sinks.cloudtable_http import SECONDS, Server, at_once
from penstock.dump.sinks.tsdb_points import Complaint, Point, PointMaker, body, complaints
from penstock.model.streams import Stream
from penstock.model.tasks import CloudTableDescriptor
from penstock.model.validation import shown

BODY_BYTES = 8_000
"""Largest body, compressed: OpenTSDB refuses what does not fit into 8 kB, as long as `tsd.http.request.enable_chunked` is off."""
FIRST_POINTS = 500
MOST_POINTS = 4_000
"""Points of the first request, and of any: how many fit into one is learnt from those before it."""
_HEADERS = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
_TOO_LARGE = "Chunked request not supported"


class OpenTsdbSink:
    """Delivers one task. `seconds` is how long a request may take; its points must be stored in a third of them."""

    guarantee = "idempotent"

    def __init__(
        self, place: Place, descriptor: CloudTableDescriptor, stream: Stream, seconds: float = SECONDS
    ) -> None:
        destination = cloudtable.resolve(place, descriptor)
        assert isinstance(destination, cloudtable.OpenTsdb)
        self._server = Server("OpenTSDB", destination.entry.opentsdb, seconds)
        self._path = f"/api/put?details&sync&sync_timeout={max(1, round(seconds * 1000 / 3))}"
        self._maker = PointMaker(descriptor.opentsdb_schema, place.zone)
        self._fit = FIRST_POINTS

    def __repr__(self) -> str:
        return "<OpenTsdbSink>"

    async def deliver(self, round_: Round) -> None:
        """Put every point, then give up the records of those that are illegal. Raises NotDelivered."""
        points, rejects = await asyncio.to_thread(self._maker.make, round_.parts)
        illegal: list[Complaint] = []
        await at_once(self._slices(points), lambda some: self._put(some, illegal))
        refused = {
            source: complaint.said
            for complaint in illegal
            if complaint.point is not None
            for source in complaint.point.sources
        }
        for (partition, sequence, data), said in refused.items():
            found = Reject(sequence, data, f"OpenTSDB refuses it: {said}")
            rejects.setdefault(partition, []).append(found)
        round_.reached("visible")
        for partition in sorted(rejects):
            await round_.reject(partition, sorted(rejects[partition]))

    async def close(self) -> None:
        """Give back connections."""
        await self._server.close()

    def _slices(self, points: list[Point]) -> Iterator[list[Point]]:
        start = 0
        while start < len(points):
            count = self._fit
            yield points[start : start + count]
            start += count

    async def _put(self, points: list[Point], illegal: list[Complaint], *, patient: bool = True) -> None:
        """Put points, in as many requests as it takes. Those that were not stored in time are sent once more if `patient`: a busy HBase
        has them by then, and a large round would otherwise begin again for the slowest of its requests."""
        content = await asyncio.to_thread(body, points)
        if len(content) > BODY_BYTES and len(points) > 1:
            await self._halves(points, illegal)
            return
        if len(content) < BODY_BYTES * 2 // 3 and len(points) == self._fit:
            self._fit = min(MOST_POINTS, self._fit + self._fit // 4 + 1)
        reply = await self._server.request("POST", self._path, content, _HEADERS)
        if reply.status_code not in (200, 400):
            raise NotDelivered(f"OpenTSDB answers with status {reply.status_code}: {_said(reply)}")
        found = complaints(points, reply.content)
        if found is None:
            if _TOO_LARGE not in reply.text:
                raise NotDelivered(f"OpenTSDB does not say what became of the points: {_said(reply)}")
            if len(points) > 1:
                await self._halves(points, illegal)
                return
            found = [Complaint(points[0], f"a point of {len(content)} bytes is more than it takes")]
        late = [complaint.point for complaint in found if complaint.late and complaint.point is not None]
        for complaint in found:
            if complaint.point is None or (complaint.passing and not (complaint.late and patient)):
                raise NotDelivered(_line(complaint))
        illegal += (complaint for complaint in found if not complaint.late)
        if late:
            await self._put(late, illegal, patient=False)

    async def _halves(self, points: list[Point], illegal: list[Complaint]) -> None:
        middle = len(points) // 2
        self._fit = max(1, min(self._fit, middle))
        await self._put(points[:middle], illegal)
        await self._put(points[middle:], illegal)


def _line(complaint: Complaint) -> str:
    """What a failure is and what to do, for people."""
    if complaint.unknown:
        name = shown(complaint.point.metric) if complaint.point is not None else "?"
        return (
            f"OpenTSDB does not know metric {name} or a tag of it: create it (tsdb mkmetric {name}), "
            "or set tsd.core.auto_create_metrics = true there"
        )
    return f"OpenTSDB could not store points: {reason(complaint.said)}"


def _said(reply: httpx.Response) -> str:
    """An error in a line; pages for browsers say nothing else than the status."""
    is_text = not reply.headers.get("content-type", "").startswith("text/html")
    lines = [line for line in reply.text.splitlines() if line.strip()] if is_text else []
    return reason(lines[0]) if lines else f"status {reply.status_code}"
