"""The three hot operations on the wire: PutRecords, GetRecords, cursors. Owns reading their parameters and choosing the
codec; the work is `service.records`."""

from __future__ import annotations

from penstock.errors import ApiError, invalid
from penstock.http.call import parse_integer
from penstock.http.exchange import JSON, PROTOBUF_PREFIX, Exchange, Response
from penstock.http.wire import json_records, protobuf
from penstock.service.context import Context


async def put_records(context: Context, exchange: Exchange) -> Response:
    """POST /v2/{project_id}/records (5.4.1)."""
    body = exchange.take_body()
    if exchange.content_type.startswith(PROTOBUF_PREFIX):
        request = protobuf.decode_put(body)
        size = len(body)
        del body
        outcome = await context.records.put(exchange.principal, exchange.project_id, request, body_bytes=size)
        return Response(200, protobuf.CONTENT_TYPE, protobuf.encode_outcome(outcome))
    request = json_records.decode_put(body)
    size = len(body)
    del body
    outcome = await context.records.put(exchange.principal, exchange.project_id, request, body_bytes=size)
    return Response(200, JSON, json_records.encode_outcome(outcome))


async def get_records(context: Context, exchange: Exchange) -> Response:
    """GET /v2/{project_id}/records (5.4.2). `limit` is undocumented but sent by two clients; `app_name` names the reader."""
    query = exchange.query
    cursor = query.get("partition-cursor", "")
    if not cursor:
        raise ApiError("DIS.4217", "[partition-cursor: required]")
    limits = context.limits
    max_bytes = _positive(query.get("max_fetch_bytes", ""), "max_fetch_bytes")
    if max_bytes is not None:  # there is no documented maximum: a reply carries what a reply may
        max_bytes = min(max_bytes, limits.fetch_bytes_max)
    max_records = _positive(query.get("limit", ""), "limit")
    if max_records is not None and max_records > limits.fetch_records_max:
        raise invalid("limit", f"{max_records} is more than {limits.fetch_records_max}")
    fetched = await context.records.fetch(
        exchange.principal,
        exchange.project_id,
        cursor,
        max_bytes,
        limits.fetch_records_max if max_records is None else max_records,
    )
    if exchange.content_type.startswith(PROTOBUF_PREFIX):
        response = Response(200, protobuf.CONTENT_TYPE, protobuf.encode_fetched(fetched))
    else:
        response = Response(200, JSON, json_records.encode_fetched(fetched, context.records))
    context.records.returned(fetched)
    return response


async def get_cursor(context: Context, exchange: Exchange) -> Response:
    """GET /v2/{project_id}/cursors (5.4.3)."""
    query = exchange.query
    cursor = await context.records.cursor(
        exchange.principal,
        exchange.project_id,
        stream_name=query.get("stream-name", ""),
        stream_id=query.get("stream-id", ""),
        partition_id=query.get("partition-id", ""),
        cursor_type=query.get("cursor-type", ""),
        sequence=query.get("starting-sequence-number", ""),
        timestamp=query.get("timestamp", ""),
    )
    return Response(200, JSON, b'{"partition_cursor":"%b"}' % cursor.encode())


def _positive(text: str, name: str) -> int | None:
    """None when absent, empty or 0. DIS.4200 naming the parameter when it is no number of at least 0."""
    if text in ("", "0"):
        return None
    number = parse_integer(name, text)
    if number < 0:
        raise invalid(name, f"{text} is less than 0")
    return number
