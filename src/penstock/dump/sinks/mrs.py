"""MRS: files in HDFS (5.5.8). Owns which directory and which format a descriptor means; `sinks.files` does the rest."""

from __future__ import annotations

from penstock.dump.base import Sink
from penstock.dump.destinations.base import Place
from penstock.dump.destinations.mrs import Hdfs
from penstock.dump.formats import make_format
from penstock.dump.sinks.files import FileSink
from penstock.dump.stores.hdfs import HdfsStore
from penstock.model.streams import Stream
from penstock.model.tasks import MrsDescriptor


def mrs_sink(place: Place, descriptor: MrsDescriptor, stream: Stream) -> Sink:
    """What delivers an MRS task. DIS.4208 (no such cluster), DIS.4335, DIS.4336 (no path)."""
    return FileSink(
        HdfsStore(Hdfs.resolve(place, descriptor), seconds=place.request_seconds),
        make_format(descriptor.destination_file_type, descriptor.record_delimiter, stream, place.data),
        processing=None,
        partition_format="",
        zone=place.zone,
        manifests=True,
    )
