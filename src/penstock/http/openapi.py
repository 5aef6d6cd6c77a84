"""The OpenAPI 3.1 description, made from what the server runs on: the table of routes, the types that decode requests and
encode replies, the parameters handlers read, the table of limits and the table of error codes. Owns how these become one
document; adds no fact of its own about any operation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from penstock import __version__
from penstock.errors import CODES
from penstock.http.call import Access, Call, Doc, Number, Parameter, Reply, Route, to_json
from penstock.http.exchange import JSON
from penstock.limits import SEQUENCE_MAX, UNLIMITED, Limits
from penstock.service.puts import PutRecords

PATH = "/openapi.json"

_PART = re.compile(r"{(\w+)}")
_ALWAYS = ("DIS.5000", "APIGW.0106")
_AUTHENTICATED = ("APIGW.0301", "DIS.4309", "DIS.4117")
_WITH_BODY = ("DIS.4202", "DIS.4200", "DIS.4300", "APIGW.0107", "APIGW.0201")
_PARTS = {
    "project_id": "Project the caller acts in.",
    "stream_name": "Name of the stream, or its id.",
    "stream_id": "Id of the stream, or its name.",
    "partition_id": "Partition: `shardId-0000000000` or `0`.",
    "app_name": "Name of the app.",
    "task_name": "Name of the dump task.",
    "key": "Key of the tag.",
}


class ErrorBody(msgspec.Struct):
    """A refusal: code and message, each under both names clients read."""

    errorCode: str  # noqa: N815 the wire's name
    message: str
    error_code: str
    error_msg: str


class PutResult(msgspec.Struct, omit_defaults=True):
    """What became of a record: the first two fields, or the last two (5.4.1 table 5-69)."""

    partition_id: str | msgspec.UnsetType = msgspec.UNSET
    sequence_number: str | msgspec.UnsetType = msgspec.UNSET
    error_code: str | msgspec.UnsetType = msgspec.UNSET
    error_message: str | msgspec.UnsetType = msgspec.UNSET


class PutRecordsReply(msgspec.Struct):
    """Reply of POST /v2/{project_id}/records (5.4.1 table 5-68)."""

    failed_record_count: int
    records: list[PutResult]


class ReadRecord(msgspec.Struct):
    """A record as read (5.4.2 table 5-74)."""

    sequence_number: str
    data: str
    timestamp: int
    timestamp_type: str
    partition_key: str | None = None


class GetRecordsReply(msgspec.Struct):
    """Reply of GET /v2/{project_id}/records (5.4.2 table 5-73)."""

    records: list[ReadRecord]
    next_partition_cursor: str


class CursorReply(msgspec.Struct):
    """Reply of GET /v2/{project_id}/cursors (5.4.3 table 5-78)."""

    partition_cursor: str


_STREAM_ERRORS = ("DIS.4301", "DIS.4205")
HOT: tuple[tuple[str, str, Doc], ...] = (
    (
        "POST",
        "/v2/{project_id}/records",
        Doc(
            "5.4.1",
            "Upload data",
            PutRecords,
            PutRecordsReply,
            errors=(*_STREAM_ERRORS, "DIS.4116"),
        ),
    ),
    (
        "GET",
        "/v2/{project_id}/records",
        Doc(
            "5.4.2",
            "Download data",
            reply=GetRecordsReply,
            query=(
                Parameter("partition-cursor", "A cursor, valid for 5 minutes.", required=True),
                Number("max_fetch_bytes", "Most bytes of data to return."),
                Number("limit", "Most records to return.", maximum="fetch_records_max"),
                Parameter("app_name", "The app that reads."),
            ),
            errors=(*_STREAM_ERRORS, "DIS.4116", "DIS.4200", "DIS.4217", "DIS.4225", "DIS.4226", "DIS.4302",
                    "DIS.4303", "DIS.4319"),
        ),
    ),
    (
        "GET",
        "/v2/{project_id}/cursors",
        Doc(
            "5.4.3",
            "Obtain a data cursor",
            reply=CursorReply,
            query=(
                Parameter("stream-name", "Name of the stream; or `stream-id`."),
                Parameter("stream-id", "Id of the stream."),
                Parameter("partition-id", "Partition: `shardId-0000000000` or `0`.", required=True),
                Parameter(
                    "cursor-type",
                    "Where the cursor points.",
                    (
                        "AT_SEQUENCE_NUMBER",
                        "AFTER_SEQUENCE_NUMBER",
                        "TRIM_HORIZON",
                        "LATEST",
                        "AT_TIMESTAMP",
                    ),
                ),
                Number("starting-sequence-number", "For the first two types."),
                Number("timestamp", "For AT_TIMESTAMP, in milliseconds since the epoch."),
            ),
            errors=(*_STREAM_ERRORS, "DIS.4116", "DIS.4200", "DIS.4201", "DIS.4215", "DIS.4216", "DIS.4224",
                    "DIS.4300", "DIS.4302", "DIS.4319"),
        ),
    ),
)  # fmt: skip
"""The three operations that are not in the table of routes."""


def describe(routes: Iterable[Route], limits: Limits) -> dict[str, Any]:
    """The whole document."""
    operations = [(method, path, Access.PROJECT, "", doc) for method, path, doc in HOT]
    operations += [(r.method, r.path, r.access, r.action, r.doc or Doc("", "")) for r in routes]
    kinds = [kind for *_, doc in operations for kind in (doc.request, doc.reply) if kind is not None]
    schemas, components = msgspec.json.schema_components(
        [ErrorBody, *kinds], ref_template="#/components/schemas/{name}"
    )
    named = dict(zip([ErrorBody, *kinds], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for method, path, access, action, doc in operations:
        entry = paths.setdefault(path, _path_parameters(path))
        entry[method.lower()] = _operation(method, path, access, action, doc, named, limits)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Penstock",
            "summary": "A self-hosted Data Ingestion Service",
            "description": "Trailing slashes and any prefix before the version do not matter. For every optional field of "
            'a request `""` and null mean that it is absent; fields that are not named here are ignored.',
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {"signature": [], "signatureDate": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Auth-Token",
                    "description": "From POST /v3/auth/tokens.",
                },
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "SDK-HMAC-SHA256 with an access key.",
                },
                "signatureDate": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Sdk-Date",
                    "description": "When the request was signed, as 20240102T030405Z.",
                },
            },
        },
    }


def _operation(
    method: str, path: str, access: Access, action: str, doc: Doc, named: dict[Any, Any], limits: Limits
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _identifier(method, path),
        "summary": doc.summary or f"{method} {path}",
        "parameters": [parameter for given in doc.query for parameter in _parameters(given, limits)],
        "responses": _responses(access, doc, named),
    }
    if method == "HEAD":
        for response in operation["responses"].values():
            response.pop("content", None)
    if doc.section:
        operation["description"] = f"API reference {doc.section}."
    if action:
        operation["x-action"] = action
    if access is Access.OPEN:
        operation["security"] = []
    if doc.request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": named[doc.request]}},
        }
    return operation


def _identifier(method: str, path: str) -> str:
    """Unique, and stable for as long as the path is."""
    return method.lower() + "".join(f"_{part.strip('{}')}" for part in path.split("/") if part).replace(
        ".", "_"
    ).replace("-", "_")


def _path_parameters(path: str) -> dict[str, Any]:
    names = _PART.findall(path)
    if not names:
        return {}
    return {
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": _PARTS.get(name, name.replace("_", " ").capitalize() + "."),
                "schema": {"type": "string", "minLength": 1},
            }
            for name in names
        ]
    }


def _parameters(given: Parameter | Number, limits: Limits) -> list[dict[str, Any]]:
    if isinstance(given, Number):
        default, low, high = given.range(limits)
        schema: dict[str, Any] = {"type": "integer", "minimum": min(low, 0)}
        if high < min(SEQUENCE_MAX, UNLIMITED):
            schema["maximum"] = high
        if default:
            schema["default"] = default
        return [{"name": given.name, "in": "query", "description": given.description, "schema": schema}]
    text: dict[str, Any] = {"type": "string"}
    if given.values:
        # An optional one may be sent empty, which is not sending it.
        text["enum"] = list(given.values) if given.required else [*given.values, ""]
    if given.required:
        text["minLength"] = 1
    first = {"name": given.name, "in": "query", "required": given.required, "description": given.description}
    others = [
        {"name": alias, "in": "query", "description": f"The same as `{given.name}`.", "deprecated": True}
        for alias in given.aliases
    ]
    return [{**parameter, "schema": text} for parameter in (first, *others)]


def _responses(access: Access, doc: Doc, named: dict[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Normal response."}
    if doc.reply is not None:
        success["content"] = {JSON: {"schema": named[doc.reply]}}
    responses: dict[str, Any] = {str(doc.status): success}
    for status, codes in sorted(_refusals(access, doc).items()):
        responses[str(status)] = {
            "description": "; ".join(f"`{code}` {CODES[code].message.replace(' %s', '')}" for code in codes),
            "content": {JSON: {"schema": named[ErrorBody]}},
        }
    return responses


def _refusals(access: Access, doc: Doc) -> dict[int, list[str]]:
    """Codes by status."""
    codes: list[str] = [*doc.errors, *_ALWAYS]
    if access is not Access.OPEN:
        codes += _AUTHENTICATED
    if access is Access.PROJECT:
        codes += ["DIS.4116", "DIS.4305"]
    if doc.request is not None:
        codes += _WITH_BODY
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(CODES[code].status, []).append(code)
    if "DIS.4301" in codes:
        # Reading and deleting a stream that is missing (clients.md section 5).
        by_status.setdefault(404, []).append("DIS.4301")
    by_status.setdefault(404, []).append("APIGW.0101")
    return by_status


def make_route(routes: Sequence[Route]) -> Route:
    """GET /openapi.json, which describes `routes` and is made when first asked for."""
    made: list[bytes] = []

    async def show(call: Call) -> Reply:
        if not made:
            made.append(to_json(describe(routes, call.context.limits)))
        return Reply(200, msgspec.Raw(made[0]))

    return Route("GET", PATH, show, Access.OPEN, doc=Doc("", "This description", reply=dict[str, Any]))
