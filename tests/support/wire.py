"""Speaking to a server byte by byte: requests exactly as written, and checks of replies' form.

Owns a client that adds nothing of its own, raw sockets, and the message forms of the API reference's section 7.1.
Uses nothing of Penstock, so that what is checked is not what checks. Protobuf and compression are in wirecodec.py.
"""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator, Sequence
from http.client import HTTPResponse
from typing import Any, NamedTuple, Protocol, Self
from urllib.parse import quote, urlsplit

import httpx

Json = dict[str, Any]
PARTITION_0 = "shardId-0000000000"
MIB = 1 << 20
HASH_MAX = (1 << 63) - 1

_DETAIL = r" \S.*"
FORMS: dict[str, str] = {
    # Section 7.1 of the API reference, `%s` being the detail; DIS.4301 in the form that clients parse (clients.md 5).
    "DIS.4116": r"Invalid RBAC\." + _DETAIL,
    "DIS.4117": r"Invalid Project Id\." + _DETAIL,
    "DIS.4200": r"Invalid request\." + _DETAIL,
    "DIS.4201": r"Invalid partition_id\." + _DETAIL,
    "DIS.4202": r"Empty request\.",
    "DIS.4205": r"Stream is not running\.",
    "DIS.4203": r"Invalid monitoring period\." + _DETAIL,
    "DIS.4204": r"The monitoring period cannot be longer than 7 days\.(?: .*)?",
    "DIS.4209": r"Invalid metrics label\." + _DETAIL,
    "DIS.4215": r"Invalid cursor type\." + _DETAIL,
    "DIS.4216": r"Invalid sequence_number\." + _DETAIL,
    "DIS.4217": r"Invalid partition cursor\.(?: .*)?",
    "DIS.4224": r"Sequence_number out of range\. \[\d+\]\[ should be within \]\[\d+\]\[ \]\[\d+\]",
    "DIS.4225": r"Expired partition cursor\.(?: .*)?",
    "DIS.4226": r"A partition iterator error occurred or a record to which the SN corresponds has expired\. "
    r"Try to obtain the partition iterator again\.",
    "DIS.5000": r"System error\." + _DETAIL,
    "DIS.4300": r"Request error\." + _DETAIL,
    "DIS.4301": r"Stream does not exist\. \[[^\]]*\]\[[^\]]+\]",
    "DIS.4302": r"Partition does not exist\." + _DETAIL,
    "DIS.4303": r"Exceeded traffic control limit\.(?: .*)?",
    "DIS.4305": r"Too many stream requests\.(?: .*)?",
    "DIS.4307": r"The stream already exists\.(?: .*)?",
    "DIS.4308": r"Insufficient quota\.(?: .*)?",
    "DIS.4309": r"Too many request failures\. Please try again later\.(?: .*)?",
    "DIS.4319": r"Partition is expired\. \[[^\]]+\]\[[^\]]+\]\[shardId-\d{10}\]",
    "DIS.4329": r"app quota exceeded\.(?: .*)?",
    "DIS.4330": r"app already exist\.(?: .*)?",
    "DIS.4331": r"app is using\.(?: .*)?",
    "DIS.4332": r"app not found\.(?: .*)?",
    "DIS.4208": r"Mrs cluster is invalid\." + _DETAIL,
    "DIS.4306": r"Bucket does not exist\." + _DETAIL,
    "DIS.4310": r"OBS access error\.(?: .*)?",
    "DIS.4335": r"Invalid IAM agency\.(?: .*)?",
    "DIS.4336": r"Invalid HDFS path\.(?: .*)?",
    "DIS.4337": r"The DLI database does not exist\.(?: .*)?",
    "DIS.4338": r"The DLI table does not exist\.(?: .*)?",
    "DIS.4341": r"The CloudTable cluster does not exist\.(?: .*)?",
    "DIS.4342": r"The CloudTable table does not exist(?: .*)?",
    "DIS.4343": r"The CloudTable table family does not exist\.(?: .*)?",
    "DIS.4345": r"Invalid CloudTable schema\.(?: .*)?",
    "DIS.4348": r"Invalid CloudTable openTSDB schema\.(?: .*)?",
    "DIS.4350": r"Invalid DWS cluster\.(?: .*)?",
    "DIS.4351": r"Invalid KMS userKey\.(?: .*)?",
    "DIS.4354": r"The transfer task does not exist\.(?: .*)?",
    "DIS.4355": r"The transfer task already exists\.(?: .*)?",
    "DIS.4357": r"Exceeded transfer task quota\.(?: .*)?",
    "DIS.4339": r"Consumer quota exceeded\.(?: .*)?",
    "DIS.4360": r"Invalid data schema\.(?: .*)?",
    "DIS.4375": r"The app does not commit checkpoint(?: .*)?",
    "DIS.4601": r"The number of resource tags has reached the maximum\.(?: .*)?",
    "DIS.4602": r"Invalid resource type\.(?: .*)?",
    "DIS.4603": r"The resource does not exist\.(?: .*)?",
    "DIS.4604": r"The key does not exist\.(?: .*)?",
    "DIS.4605": r"The action is not supported\.(?: .*)?",
    "DIS.4701": r"Rebalance in progress\." + _DETAIL,
    "DIS.4702": r"Member does not exist\." + _DETAIL,
    "DIS.4703": r"Illegal generation\." + _DETAIL,
    "APIGW.0101": r"The API does not exist or has not been published in the environment\.(?: .*)?",
    "APIGW.0104": r"The method is not allowed for this API\.(?: .*)?",
    "APIGW.0106": r"Malformed request\.(?: .*)?",
    "APIGW.0107": r"Unsupported media type or content encoding\.(?: .*)?",
    "APIGW.0202": r"The request took too long to arrive\.(?: .*)?",
    "APIGW.0203": r"The service is shutting down or overloaded\.(?: .*)?",
    "APIGW.0201": r"Request entity too large\.(?: .*)?",
    "IAM.0004": r"Could not find it\." + _DETAIL,
    "IAM.0005": r"It conflicts with what is there\." + _DETAIL,
    "APIGW.0301": r"Incorrect IAM authentication information\.(?: .*)?",
}
_ANY_CODE = re.compile(r"(?:DIS|APIGW|IAM)\.\d{4}")


class Running(Protocol):
    """A server that runs, as far as a client cares."""

    @property
    def endpoint(self) -> str: ...

    @property
    def project_id(self) -> str: ...

    def token(self) -> str: ...


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Record(NamedTuple):
    """A record as read."""

    sequence: int
    data: bytes
    key: str | None
    timestamp: int


class Wire:
    """A client with a token. `prefix` goes before the version in every path."""

    def __init__(self, endpoint: str, project_id: str, token: str, prefix: str = "") -> None:
        self.endpoint = endpoint
        self.project_id = project_id
        self.prefix = prefix
        self.token = token
        self.http = httpx.Client(timeout=30.0, trust_env=False)

    @classmethod
    def to(cls, server: Running) -> Wire:
        return cls(server.endpoint, server.project_id, server.token())

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        body: object = None,
        content: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        version: str = "v2",
    ) -> httpx.Response:
        """`path` from after the project on, `query` as it goes on the wire; `body` is sent as JSON, `content` as is."""
        sent = {"X-Auth-Token": self.token}
        if body is not None:
            content = json.dumps(body).encode()
        if content is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        url = f"{self.endpoint}{self.prefix}/{version}/{self.project_id}{path}"
        request = self.http.build_request(method, url, content=content, headers=sent)
        raw_path = urlsplit(url).path.encode() + (b"?" + query.encode() if query else b"")
        request.url = request.url.copy_with(raw_path=raw_path)
        return self.http.send(request)

    def create(self, name: str, partitions: int = 1, **fields: object) -> httpx.Response:
        return self.call(
            "POST", "/streams", body={"stream_name": name, "partition_count": partitions, **fields}
        )

    def describe(self, name: str, query: str = "") -> httpx.Response:
        return self.call("GET", f"/streams/{name}", query)

    def delete(self, name: str) -> httpx.Response:
        return self.call("DELETE", f"/streams/{name}")

    def put(self, stream: str, records: Sequence[Json]) -> httpx.Response:
        return self.call("POST", "/records", body={"stream_name": stream, "records": list(records)})

    def put_data(self, stream: str, *data: bytes, **fields: object) -> list[Json]:
        """Put these records, all of which must be taken; their entries in the reply."""
        reply = ok(self.put(stream, [{"data": b64(one), **fields} for one in data]))
        assert reply["failed_record_count"] == 0, reply
        entries: list[Json] = reply["records"]
        return entries

    def cursor_reply(self, stream: str, partition: str = "0", **query: object) -> httpx.Response:
        """`query` with underscores for hyphens, such as `cursor_type="LATEST"`."""
        parts = {"stream-name": stream, "partition-id": partition}
        parts |= {key.replace("_", "-"): str(value) for key, value in query.items()}
        return self.call("GET", "/cursors", "&".join(f"{k}={quote(v, safe='')}" for k, v in parts.items()))

    def cursor(self, stream: str, partition: str = "0", **query: object) -> str:
        cursor = ok(self.cursor_reply(stream, partition, **query))["partition_cursor"]
        assert isinstance(cursor, str)
        return cursor

    def get(self, cursor: str, query: str = "") -> httpx.Response:
        rest = f"&{query}" if query else ""
        return self.call("GET", "/records", f"partition-cursor={quote(cursor, safe='')}{rest}")

    def read(self, cursor: str, query: str = "") -> tuple[list[Record], str]:
        """One page: its records and the next cursor."""
        return page_of(self.get(cursor, query))

    def read_all(self, stream: str, partition: str = "0", query: str = "") -> list[Record]:
        """The partition from its earliest record until an empty page."""
        cursor = self.cursor(stream, partition, cursor_type="TRIM_HORIZON")
        records: list[Record] = []
        while True:
            page, cursor = self.read(cursor, query)
            if not page:
                return records
            records += page


def page_of(reply: httpx.Response) -> tuple[list[Record], str]:
    """The records of a page, and the next cursor."""
    page = ok(reply)
    return [_record(entry) for entry in page["records"]], page["next_partition_cursor"]


def _record(entry: Json) -> Record:
    data = base64.b64decode(entry["data"], validate=True)
    return Record(int(entry["sequence_number"]), data, entry.get("partition_key"), entry["timestamp"])


def ok(reply: httpx.Response, status: int = 200) -> Json:
    """The JSON object of a reply that must have gone well."""
    assert reply.status_code == status, f"{reply.status_code} {reply.text}"
    assert reply.headers["content-type"].startswith("application/json"), reply.headers
    assert reply.headers.get("x-request-id"), reply.headers
    value = reply.json()
    assert isinstance(value, dict)
    return value


def done(reply: httpx.Response, status: int) -> None:
    """A reply without a body: creates and deletes (clients.md 0, rule 4)."""
    assert reply.status_code == status, f"{reply.status_code} {reply.text}"
    assert reply.content == b""
    assert reply.headers.get("x-request-id"), reply.headers
    if status != 204:
        assert reply.headers.get("content-length") == "0", reply.headers


def refused(reply: httpx.Response, *codes: str, status: int = 400, naming: str = "") -> str:
    """A refusal with one of `codes`, in the form every client reads (clients.md 5); its message."""
    assert reply.status_code == status, f"{reply.status_code} instead of {status}: {reply.text[:500]}"
    assert reply.headers.get("x-request-id"), reply.headers
    return error_body(reply.headers["content-type"], reply.content, *codes, naming=naming)


def error_body(content_type: str, content: bytes, *codes: str, naming: str = "") -> str:
    """Check an error body; its message."""
    assert content_type.startswith("application/json"), content_type
    body = json.loads(content)
    assert set(body) == {"errorCode", "message", "error_code", "error_msg"}, body
    assert body["errorCode"] == body["error_code"]
    assert body["message"] == body["error_msg"]
    message = check_message(body["errorCode"], body["message"], *codes)
    assert naming in message, f"{message!r} does not name {naming}"
    return message


def check_message(code: str, message: str, *codes: str) -> str:
    """`code` is one of `codes` and `message` has its form, naming no other code (the Java SDK searches for them)."""
    assert code in codes, f"{code} instead of {' or '.join(codes)}: {message}"
    assert re.fullmatch(FORMS[code], message, re.DOTALL), f"{code} has the message {message!r}"
    assert not _ANY_CODE.search(message), message
    return message


def refused_entry(entry: Json, *codes: str) -> str:
    """A record refused inside a 200: code and message and nothing else (clients.md 1.3)."""
    assert set(entry) == {"error_code", "error_message"}, entry
    return check_message(entry["error_code"], entry["error_message"], *codes)


class RawReply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool
    """Whether the server closed the connection afterwards (or said it would)."""


def connect(endpoint: str, timeout: float = 15.0) -> socket.socket:
    parts = urlsplit(endpoint)
    return socket.create_connection((parts.hostname or "", parts.port or 80), timeout=timeout)


def receive(sock: socket.socket, method: str = "GET") -> RawReply:
    """Read one reply (an interim 100 is skipped)."""
    response = HTTPResponse(sock, method=method)
    response.begin()
    body = response.read()
    headers = {key.lower(): value for key, value in response.getheaders()}
    return RawReply(response.status, headers, body, response.will_close)


def exchange(endpoint: str, request: bytes, method: str = "GET") -> RawReply:
    """Send bytes as they are on a connection of their own; the reply."""
    with connect(endpoint) as sock:
        sock.sendall(request)
        return receive(sock, method)
