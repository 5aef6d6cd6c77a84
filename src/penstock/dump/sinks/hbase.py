"""CloudTable HBase (5.5.10), by its REST server. Owns sending rows and what the server's refusals mean; knows nothing of records, rows
are made in `hbase_rows`. Never makes or changes a table.

Rows carry the arrival of their record as their timestamp, so a round may be delivered any number of times, in any order and in part.
Requests of a round never hold two versions of the same row and time, so they need no order among themselves.

What the server says is believed only as far as it goes (seen with HBase 2.6):

- 404 TableNotFoundException, 404 NoSuchColumnFamilyException: somebody has to put that right, and meanwhile the task tries again. The
  other rows of such a request are written. Without an HBase behind it the server answers 404 too, after minutes.
- 400, and 500 without a word: something in the request. The row is looked for by halving; it is given up only if another row is
  still taken afterwards.
- Everything else, and no answer in time: nobody knows, so the round is delivered again.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import quote

import httpx

from penstock.dump.base import NotDelivered, Reject, Round
from penstock.dump.decoding import reason
from penstock.dump.destinations import cloudtable
from penstock.dump.destinations.base import Place
from penstock.dump.sinks.cloudtable_http import SECONDS, Server, at_once
from penstock.dump.sinks.hbase_rows import Put, RowMaker, batches, body
from penstock.model.streams import Stream
from penstock.model.tasks import CloudTableDescriptor

PROBE_SECONDS = 5.0
"""How long the cluster may take to say how it is, when a request failed."""
SUSPECTS = 100
"""Rows that may be refused before one is taken: then it is not the rows."""
_ACCEPT = {"Accept": "application/json"}
_HEADERS = _ACCEPT | {"Content-Type": "application/json"}


class _Suspect(NamedTuple):
    """A row that was refused alone, and what the server said."""

    put: Put
    said: str


class _Delivery:
    """What a round's requests have come to: a row that was taken, and those that were refused."""

    def __init__(self) -> None:
        self.taken: Put | None = None
        self.suspects: list[_Suspect] = []


class HBaseSink:
    """Delivers one task. `seconds` is how long a request may take."""

    guarantee = "idempotent"

    def __init__(
        self, place: Place, descriptor: CloudTableDescriptor, stream: Stream, seconds: float = SECONDS
    ) -> None:
        destination = cloudtable.resolve(place, descriptor)
        assert isinstance(destination, cloudtable.HBase) and descriptor.cloudtable_schema is not None
        self._table = destination.table
        # The key in the path counts for nothing: those of the rows do.
        self._path = f"/{quote(self._table, safe=':')}/penstock"
        self._maker = RowMaker(descriptor.cloudtable_schema, descriptor.cloudtable_row_key_delimiter)
        self._server = Server("HBase", destination.entry.hbase_rest, seconds)
        self._probe_seconds = min(PROBE_SECONDS, seconds)

    def __repr__(self) -> str:
        return f"<HBaseSink, table {self._table}>"

    async def deliver(self, round_: Round) -> None:
        """Put every row, then give up those that can never be. Raises NotDelivered."""
        puts, rejects = await asyncio.to_thread(self._maker.make, round_.parts)
        delivery = _Delivery()
        await at_once(batches(puts), lambda batch: self._put(batch, delivery))
        for suspect in await self._guilty(delivery):
            for partition, sequence, data in suspect.put.sources:
                found = Reject(sequence, data, f"HBase refuses it: {suspect.said}")
                rejects.setdefault(partition, []).append(found)
        round_.reached("visible")
        for partition in sorted(rejects):
            await round_.reject(partition, sorted(rejects[partition]))

    async def close(self) -> None:
        """Give back connections."""
        await self._server.close()

    async def _put(self, puts: list[Put], delivery: _Delivery) -> None:
        """Put rows; what refuses to be put alone becomes a suspect."""
        said = await self._refusal(puts)
        if said is None:
            delivery.taken = puts[0]
        elif len(puts) > 1:
            middle = len(puts) // 2
            await self._put(puts[:middle], delivery)
            await self._put(puts[middle:], delivery)
        else:
            delivery.suspects.append(_Suspect(puts[0], said))
            if delivery.taken is None and len(delivery.suspects) >= SUSPECTS:
                raise NotDelivered(f"HBase refuses every row of table {self._table}: {said}")

    async def _guilty(self, delivery: _Delivery) -> list[_Suspect]:
        """The rows to give up: still refused while one that was taken still is. Raises NotDelivered when that cannot be told."""
        if not delivery.suspects:
            return []
        guilty = [suspect for suspect in delivery.suspects if await self._refusal([suspect.put]) is not None]
        if delivery.taken is None or await self._refusal([delivery.taken]) is not None:
            raise NotDelivered(f"HBase refuses every row of table {self._table}: {delivery.suspects[0].said}")
        return guilty

    async def _refusal(self, puts: list[Put]) -> str | None:
        """One request: None when its rows are taken, else why one of them is not. Raises NotDelivered for all that may pass."""
        content = await asyncio.to_thread(body, puts)
        try:
            reply = await self._server.request("PUT", self._path, content, _HEADERS)
        except NotDelivered as failure:
            raise await self._explained(failure) from failure
        if reply.status_code == 200:
            return None
        said = _said(reply)
        if reply.status_code in (400, 413) or (reply.status_code == 500 and not reply.content.strip()):
            return said
        if "NoSuchColumnFamilyException" in reply.text:
            line = f"HBase: table {self._table} has not all of the column families of the task: {said}"
        elif "TableNotFoundException" in reply.text:
            line = f"HBase has no table {self._table}: create it with the column families of the task"
        else:
            line = f"HBase answers with status {reply.status_code}: {said}"
        raise await self._explained(NotDelivered(line))

    async def _explained(self, failure: NotDelivered) -> NotDelivered:
        """A failure, or that there is no HBase behind the REST server, which then says anything."""
        try:
            reply = await self._server.request(
                "GET", "/status/cluster", None, _ACCEPT, seconds=self._probe_seconds
            )
        except NotDelivered:
            return NotDelivered(f"{failure}; its REST server does not say how the cluster is")
        if reply.status_code != 200:
            return NotDelivered(f"{failure}; the cluster behind its REST server does not answer")
        return failure


def _said(reply: httpx.Response) -> str:
    """What an error is, in a line: texts are `Bad request`, then the exception with its stack."""
    lines = [line for line in reply.text.split("\n\tat ")[0].splitlines() if line.strip()]
    return reason(lines[-1]) if lines else f"status {reply.status_code}"
