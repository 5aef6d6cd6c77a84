"""OBS: files in a bucket (5.5.1). Owns which store and which format a descriptor means; `sinks.files` does the rest."""

from __future__ import annotations

from penstock.dump.base import Sink
from penstock.dump.destinations.base import Place
from penstock.dump.destinations.obs import Bucket
from penstock.dump.formats import make_format
from penstock.dump.sinks.files import FileSink
from penstock.dump.stores.buckets import open_bucket
from penstock.model.streams import Stream
from penstock.model.tasks import ObsDescriptor


def obs_sink(place: Place, descriptor: ObsDescriptor, stream: Stream) -> Sink:
    """What delivers an OBS task. DIS.4306 (no bucket can be called so), DIS.4335."""
    bucket = Bucket.resolve(place, descriptor.obs_bucket_path, descriptor.agency_name)
    return FileSink(
        open_bucket(bucket),
        make_format(descriptor.destination_file_type, descriptor.record_delimiter, stream, place.data),
        processing=descriptor.processing_schema,
        partition_format=descriptor.partition_format,
        zone=place.zone,
        manifests=True,
    )
