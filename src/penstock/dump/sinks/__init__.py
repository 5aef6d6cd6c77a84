"""Sinks: what delivers the rounds of a task. Owns which sink a task's descriptor means; one module each has the rest."""

from __future__ import annotations

from penstock.dump.base import Sink
from penstock.dump.destinations.base import Place
from penstock.model.streams import Stream
from penstock.model.tasks import (
    CloudTableDescriptor,
    DliDescriptor,
    DwsDescriptor,
    MrsDescriptor,
    ObsDescriptor,
    Task,
)


def open_sink(place: Place, task: Task, stream: Stream, password: str) -> Sink:
    """What delivers a task. Resolves its destination from the configuration and connects to nothing. Raises ApiError with the codes of
    `dump.destinations.resolve`. Libraries are imported here, when the first task needs them."""
    descriptor = task.descriptor
    if isinstance(descriptor, ObsDescriptor):
        from penstock.dump.sinks.obs import obs_sink

        return obs_sink(place, descriptor, stream)
    if isinstance(descriptor, MrsDescriptor):
        from penstock.dump.sinks.mrs import mrs_sink

        return mrs_sink(place, descriptor, stream)
    if isinstance(descriptor, DwsDescriptor):
        from penstock.dump.sinks.dws import DwsSink

        return DwsSink(place, descriptor, stream, password)
    if isinstance(descriptor, DliDescriptor):
        from penstock.dump.sinks.dli import DliSink

        return DliSink(place, descriptor, stream)
    assert isinstance(descriptor, CloudTableDescriptor)
    if descriptor.cloudtable_schema is not None:
        from penstock.dump.sinks.hbase import HBaseSink

        return HBaseSink(place, descriptor, stream, place.request_seconds)
    from penstock.dump.sinks.opentsdb import OpenTsdbSink

    return OpenTsdbSink(place, descriptor, stream, place.request_seconds)
