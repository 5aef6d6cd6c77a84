"""Writing and reading with the official SDK `huaweicloudsdkdis`, and the account of what was acknowledged.

Owns the client's side: requests, retries, and the check of what comes back. Knows nothing of how the server is
run or of what the records mean.
"""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import SdkException, ServiceResponseException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdis.v2 import (
    ConsumeRecordsRequest,
    CreateStreamReq,
    CreateStreamRequest,
    DisClient,
    PutRecordsRequest,
    PutRecordsRequestEntry,
    SendRecordsRequest,
    ShowCursorRequest,
    ShowStreamRequest,
)

from demo.flights import Flight
from demo.server import Credentials

# The SDK logs every refused connection while the server is down; the table counts them.
logging.getLogger("HuaweiCloud-SDK-DisClient").setLevel(logging.CRITICAL)

STREAM = "flights"
GIVE_UP_SECONDS = 60.0
FETCH_BYTES = 1 << 20

Advance = Callable[[int], None]
"""Told how many more records are done."""


def connect(endpoint: str, credentials: Credentials) -> DisClient:
    """The SDK's client, as its documentation makes one."""
    config = HttpConfig(timeout=(5, 30))
    keys = BasicCredentials(credentials.access_key, credentials.secret_key, credentials.project_id)
    builder = DisClient.new_builder().with_http_config(config).with_credentials(keys)
    return builder.with_endpoint(endpoint).build()


def create_stream(client: DisClient, partitions: int, schema: str | None = None) -> list[str]:
    """Create the stream, with an Avro schema of its records; the ids of its partitions."""
    body = CreateStreamReq(
        stream_name=STREAM,
        partition_count=partitions,
        data_type="JSON",
        data_duration=24,
        data_schema=schema,
    )
    client.create_stream(CreateStreamRequest(body=body))
    shown = client.show_stream(ShowStreamRequest(stream_name=STREAM))
    return [partition.partition_id for partition in shown.partitions]


class Ledger:
    """What was acknowledged, by partition and sequence number, and which flights were in a request without an
    answer: those may be in the stream once more. Shared by the writers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acknowledged: dict[str, dict[int, int]] = {}
        """Partition id -> sequence number -> index of the flight."""
        self.unanswered: Counter[int] = Counter()
        """Index of a flight -> requests sent with it that never got an answer."""
        self.count = 0
        self.bytes = 0
        self.retried_requests = 0
        self.problems: list[str] = []

    def answered(self, partition: str, sequence: int, index: int, size: int) -> None:
        with self._lock:
            taken = self.acknowledged.setdefault(partition, {})
            if sequence in taken:
                self.problems.append(f"{partition} gave sequence number {sequence} twice")
            taken[sequence] = index
            self.count += 1
            self.bytes += size

    def lost_answer(self, indexes: Sequence[int]) -> None:
        with self._lock:
            self.retried_requests += 1
            self.unanswered.update(indexes)


def shares(flights: Sequence[Flight], writers: int) -> list[list[int]]:
    """Indexes of the flights for each writer: all flights of a carrier to one of them, in order, about equally many."""
    sizes = Counter(flight.carrier for flight in flights)
    loads = [0] * writers
    owner: dict[str, int] = {}
    for carrier, size in sizes.most_common():
        owner[carrier] = loads.index(min(loads))
        loads[owner[carrier]] += size
    result: list[list[int]] = [[] for _ in range(writers)]
    for index, flight in enumerate(flights):
        result[owner[flight.carrier]].append(index)
    return result


def write(
    connection: Callable[[], DisClient],
    flights: Sequence[Flight],
    share: Sequence[int],
    *,
    per_request: int,
    ledger: Ledger,
    advance: Advance,
) -> None:
    """Send a share in requests of `per_request`. A request without an answer is sent again until it has one."""
    client = connection()
    for start in range(0, len(share), per_request):
        left = list(share[start : start + per_request])
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while left:
            try:
                reply = client.send_records(_request(flights, left))
            except (SdkException, requests.RequestException) as error:
                if isinstance(error, ServiceResponseException) and error.status_code < 500:
                    raise
                if time.monotonic() > deadline:
                    raise
                ledger.lost_answer(left)
                time.sleep(0.1)
                continue
            refused: list[int] = []
            for index, entry in zip(left, reply.records, strict=True):
                if entry.error_code:
                    refused.append(index)
                else:
                    size = len(flights[index].data)
                    ledger.answered(entry.partition_id, int(entry.sequence_number), index, size)
            advance(len(left) - len(refused))
            if refused and time.monotonic() > deadline:
                raise TimeoutError(f"{len(refused)} records refused for {GIVE_UP_SECONDS:.0f} s")
            left = refused


def _request(flights: Sequence[Flight], indexes: Sequence[int]) -> SendRecordsRequest:
    entries = [
        PutRecordsRequestEntry(
            data=base64.b64encode(flights[index].data).decode(), partition_key=flights[index].carrier
        )
        for index in indexes
    ]
    return SendRecordsRequest(body=PutRecordsRequest(stream_name=STREAM, records=entries))


class PartitionCheck:
    """One partition read from its beginning and compared with the ledger, record by record."""

    def __init__(self, partition: str, flights: Sequence[Flight], ledger: Ledger) -> None:
        self.partition = partition
        self.records = 0
        self.bytes = 0
        self.confirmed = 0
        self.repeated = 0
        """Records of requests that got no answer, found in the stream nevertheless."""
        self.problems: list[str] = []
        self._flights = flights
        self._acknowledged = ledger.acknowledged.get(partition, {})
        self._unanswered = {flights[index].data for index in ledger.unanswered}
        self._last_of_carrier: dict[str, int] = {}

    def read(self, client: DisClient, advance: Advance) -> None:
        """Follow cursors from TRIM_HORIZON until nothing comes."""
        cursor = client.show_cursor(
            ShowCursorRequest(stream_name=STREAM, partition_id=self.partition, cursor_type="TRIM_HORIZON")
        ).partition_cursor
        while True:
            reply = client.consume_records(
                ConsumeRecordsRequest(partition_cursor=cursor, max_fetch_bytes=FETCH_BYTES)
            )
            if not reply.records:
                break
            for record in reply.records:
                self._take(int(record.sequence_number), base64.b64decode(record.data), record.partition_key)
            advance(len(reply.records))
            cursor = reply.next_partition_cursor
        if missing := len(self._acknowledged) - self.confirmed:
            self._problem(f"{missing:,} acknowledged records did not come back")

    def _take(self, sequence: int, data: bytes, key: str) -> None:
        if sequence != self.records:
            self._problem(f"sequence number {sequence} where {self.records} was next")
        self.records += 1
        self.bytes += len(data)
        index = self._acknowledged.get(sequence)
        if index is None:
            if data in self._unanswered:
                self.repeated += 1
            else:
                self._problem(f"record {sequence} was never sent")
            return
        flight = self._flights[index]
        if data != flight.data or key != flight.carrier:
            self._problem(f"record {sequence} came back changed")
            return
        if index <= self._last_of_carrier.get(key, -1):
            self._problem(f"record {sequence} is out of order for {key}")
        self._last_of_carrier[key] = index
        self.confirmed += 1

    def _problem(self, text: str) -> None:
        if len(self.problems) < 20:
            self.problems.append(f"{self.partition}: {text}")
