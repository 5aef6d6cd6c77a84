"""A small client of the API: what the commands need, and no more. Owns requests and their errors; prints nothing.

Every call is one signed request and one reply, decoded; failures are CommandErrors that say what to do next.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httpx

from penstock import __version__
from penstock.cli.credentials import Credentials
from penstock.cli.failure import CommandError, ServerError, Unreachable
from penstock.cli.signing import Signer, encode

DEFAULT_ENDPOINT = "http://127.0.0.1:20004"


class Put(NamedTuple):
    """What became of one record: a place in the stream, or an error code."""

    partition_id: str
    sequence_number: str
    error_code: str = ""
    error_message: str = ""


class Record(NamedTuple):
    """A record read."""

    partition_id: str
    sequence_number: str
    partition_key: str | None
    timestamp: int
    timestamp_type: str
    data: bytes


class Page(NamedTuple):
    """Records and the cursor after them."""

    records: list[Record]
    next_cursor: str


class Client:
    """Speaks to one endpoint as one user, in one project."""

    def __init__(
        self,
        endpoint: str,
        credentials: Credentials,
        *,
        cacert: Path | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise CommandError(
                f"--endpoint {endpoint!r} is not an address such as {DEFAULT_ENDPOINT}", status=2
            )
        self.endpoint = endpoint.rstrip("/")
        self.credentials = credentials
        self._base = f"{self.endpoint}/v2/{encode(credentials.project_id)}"
        self._http = httpx.Client(
            auth=Signer(credentials.access_key, credentials.secret_key),
            headers={"User-Agent": f"penstock-cli/{__version__}", "X-Project-Id": credentials.project_id},
            timeout=timeout,
            verify=_verification(cacert, insecure) if parts.scheme == "https" else False,
            transport=transport,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # Streams

    def create_stream(self, name: str, **fields: object) -> None:
        """POST streams (5.1.1); fields that are None are left out."""
        body = {"stream_name": name} | {key: value for key, value in fields.items() if value is not None}
        self._call("POST", "/streams", body=body, stream=name)

    def streams(self) -> Iterator[dict[str, Any]]:
        """GET streams (5.1.3), all pages: one object for each stream."""
        start = ""
        while True:
            reply = self._call("GET", "/streams", query={"limit": "100", "start_stream_name": start})
            listed = reply.get("stream_info_list") or []
            yield from listed
            if not reply.get("has_more_streams") or not listed:
                return
            start = listed[-1]["stream_name"]

    def describe(self, name: str) -> dict[str, Any]:
        """GET streams/NAME (5.1.4), with the partitions of all pages."""
        whole: dict[str, Any] = {}
        start = ""
        while True:
            query = {"limit_partitions": "1000", "start_partitionId": start}
            reply = self._call("GET", f"/streams/{encode(name)}", query=query, stream=name)
            partitions = reply.get("partitions") or []
            if not whole:
                whole = reply
            else:
                whole["partitions"].extend(partitions)
            if not reply.get("has_more_partitions") or not partitions:
                whole["has_more_partitions"] = False
                return whole
            start = partitions[-1]["partition_id"]

    def delete_stream(self, name: str) -> None:
        """DELETE streams/NAME (5.1.2)."""
        self._call("DELETE", f"/streams/{encode(name)}", stream=name)

    def change_partitions(self, name: str, target: int) -> dict[str, Any]:
        """PUT streams/NAME (5.1.5)."""
        body = {"stream_name": name, "target_partition_count": target}
        return self._call("PUT", f"/streams/{encode(name)}", body=body, stream=name)

    def update_stream(self, name: str, **fields: object) -> None:
        """PUT streams/NAME/update (5.1.6); fields that are None are left out."""
        body = {"stream_name": name} | {key: value for key, value in fields.items() if value is not None}
        self._call("PUT", f"/streams/{encode(name)}/update", body=body, stream=name)

    def scalings(self, name: str) -> Iterator[dict[str, Any]]:
        """GET streams/NAME/update_partition_counts, all pages: one object for each change, newest first."""
        start = ""
        while True:
            query = {"limit": "100", "start": start}
            path = f"/streams/{encode(name)}/update_partition_counts"
            reply = self._call("GET", path, query=query, stream=name)
            yield from reply.get("update_partition_counts") or []
            if not reply.get("has_more"):
                return
            start = str(reply.get("next_start", ""))

    def act_on_stream(self, name: str, action: str) -> None:
        """POST streams/NAME/action: freeze or thaw."""
        self._call("POST", f"/streams/{encode(name)}/action", body={"action": action}, stream=name)

    def dump_task(self, stream: str, name: str) -> dict[str, Any]:
        """GET streams/STREAM/transfer-tasks/NAME (5.5.4)."""
        return self._call("GET", f"/streams/{encode(stream)}/transfer-tasks/{encode(name)}", stream=stream)

    def create_dump_task(self, stream: str, body: dict[str, Any]) -> None:
        """POST streams/STREAM/transfer-tasks (5.5.1, 5.5.7 to 5.5.10)."""
        self._call("POST", f"/streams/{encode(stream)}/transfer-tasks", body=body, stream=stream)

    def dump_tasks(self, stream: str) -> Iterator[dict[str, Any]]:
        """GET streams/STREAM/transfer-tasks (5.5.2), all pages."""
        start = ""
        while True:
            query = {"limit": "100", "start_task_name": start}
            reply = self._call("GET", f"/streams/{encode(stream)}/transfer-tasks", query=query, stream=stream)
            listed = reply.get("tasks") or []
            yield from listed
            if len(listed) < 100:
                return
            start = listed[-1]["task_name"]

    def act_on_dump_task(self, stream: str, task_id: str, action: str) -> None:
        """POST streams/STREAM/transfer-tasks/action (5.5.5, 5.5.6): start or stop."""
        body = {"action": action, "tasks": [{"id": task_id}]}
        self._call("POST", f"/streams/{encode(stream)}/transfer-tasks/action", body=body, stream=stream)

    def delete_dump_task(self, stream: str, name: str) -> None:
        """DELETE streams/STREAM/transfer-tasks/NAME (5.5.3)."""
        self._call("DELETE", f"/streams/{encode(stream)}/transfer-tasks/{encode(name)}", stream=stream)

    # Apps and checkpoints

    def create_app(self, name: str) -> None:
        """POST apps (5.2.1)."""
        self._call("POST", "/apps", body={"app_name": name})

    def apps(self, stream: str = "") -> Iterator[dict[str, Any]]:
        """GET apps (5.2.2), all pages; with a stream only those that have checkpoints of it."""
        start = ""
        while True:
            query = {"limit": "100", "start_app_name": start, "stream_name": stream}
            reply = self._call("GET", "/apps", query=query, stream=stream)
            listed = reply.get("apps") or []
            yield from listed
            if not reply.get("has_more_app") or not listed:
                return
            start = listed[-1]["app_name"]

    def app(self, name: str) -> dict[str, Any]:
        """GET apps/NAME (5.2.4)."""
        return self._call("GET", f"/apps/{encode(name)}")

    def delete_app(self, name: str) -> None:
        """DELETE apps/NAME (5.2.3)."""
        self._call("DELETE", f"/apps/{encode(name)}")

    def consuming_states(self, app: str, stream: str) -> Iterator[dict[str, Any]]:
        """GET apps/NAME/streams/STREAM (5.2.5), all pages: one object for each partition."""
        start = ""
        while True:
            query = {"checkpoint_type": "LAST_READ", "limit": "1000", "start_partition_id": start}
            path = f"/apps/{encode(app)}/streams/{encode(stream)}"
            reply = self._call("GET", path, query=query, stream=stream)
            listed = reply.get("partition_consuming_states") or []
            yield from listed
            if not reply.get("has_more") or not listed:
                return
            start = listed[-1]["partition_id"]

    def commit(self, app: str, stream: str, partition: str, sequence: str, metadata: str) -> None:
        """POST checkpoints (5.3.1)."""
        body = {
            "app_name": app,
            "stream_name": stream,
            "partition_id": partition,
            "sequence_number": sequence,
            "metadata": metadata,
            "checkpoint_type": "LAST_READ",
        }
        self._call("POST", "/checkpoints", body=body, stream=stream)

    def delete_checkpoints(self, app: str, stream: str, partition: str = "") -> None:
        """DELETE checkpoints (5.3.3)."""
        query = {"app_name": app, "stream_name": stream, "partition_id": partition}
        self._call("DELETE", "/checkpoints", query=query | {"checkpoint_type": "LAST_READ"}, stream=stream)

    # Records

    def put(
        self, stream: str, records: Sequence[tuple[bytes, str | None]], partition: str | None = None
    ) -> list[Put]:
        """POST records (5.4.1): data and partition key of each; what became of each, in order."""
        entries: list[dict[str, str]] = []
        for data, key in records:
            entry = {"data": base64.b64encode(data).decode()}
            if key is not None:
                entry["partition_key"] = key
            if partition is not None:
                entry["partition_id"] = partition
            entries.append(entry)
        reply = self._call(
            "POST", "/records", body={"stream_name": stream, "records": entries}, stream=stream
        )
        answers = [
            Put(
                entry.get("partition_id") or "",
                entry.get("sequence_number") or "",
                entry.get("error_code") or "",
                entry.get("error_message") or "",
            )
            for entry in reply.get("records") or []
        ]
        if len(answers) != len(entries):
            raise CommandError(
                f"{self.endpoint} answered {len(answers)} records to {len(entries)}: not a DIS endpoint?"
            )
        return answers

    def cursor(self, stream: str, partition: str, start: Mapping[str, str]) -> str:
        """GET cursors (5.4.3). `start` holds cursor-type and what it needs."""
        query = {"stream-name": stream, "partition-id": partition, **start}
        return str(self._call("GET", "/cursors", query=query, stream=stream)["partition_cursor"])

    def get(self, stream: str, partition: str, cursor: str, *, max_bytes: int | None = None) -> Page:
        """GET records (5.4.2)."""
        query = {"partition-cursor": cursor}
        if max_bytes is not None:
            query["max_fetch_bytes"] = str(max_bytes)
        reply = self._call("GET", "/records", query=query, stream=stream)
        try:
            records = [
                Record(
                    partition,
                    item["sequence_number"],
                    item.get("partition_key"),
                    int(item.get("timestamp") or 0),
                    item.get("timestamp_type") or "",
                    base64.b64decode(item["data"]),
                )
                for item in reply.get("records") or []
            ]
        except (KeyError, ValueError, binascii.Error) as error:
            raise CommandError(f"{self.endpoint} answered records that cannot be read: {error!r}") from error
        return Page(records, str(reply.get("next_partition_cursor") or cursor))

    # Identity

    def token(self) -> str:
        """POST v3/auth/tokens with the password, for the project: a token for 24 hours."""
        who = self.credentials
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {"name": who.user, "password": who.password, "domain": {"name": who.account}}
                    },
                },
                "scope": {"project": {"id": who.project_id}},
            }
        }
        response = self._send("POST", f"{self.endpoint}/v3/auth/tokens", body=body, signed=False)
        token = response.headers.get("X-Subject-Token")
        if not token:
            raise CommandError(f"{self.endpoint} answered no X-Subject-Token")
        return str(token)

    def identity(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: object = None
    ) -> dict[str, Any]:
        """Anything of the identity service: `path` from the version on (/v3/users)."""
        return self._call(method, path, query=query, body=body, base=self.endpoint)

    def agency_token(self, agency: str, account: str, project: str) -> str:
        """POST v3/auth/tokens: a token in the name of another account's agency, for one of its projects."""
        identity = {
            "methods": ["assume_role"],
            "assume_role": {"agency_name": agency, "domain_name": account},
        }
        body = {"auth": {"identity": identity, "scope": {"project": {"name": project}}}}
        response = self._send("POST", f"{self.endpoint}/v3/auth/tokens", body=body)
        return str(response.headers.get("X-Subject-Token", ""))

    # Underneath

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        stream: str = "",
        base: str | None = None,
    ) -> dict[str, Any]:
        pairs = "&".join(
            f"{encode(key)}={encode(value)}" for key, value in (query or {}).items() if value != ""
        )
        url = (self._base if base is None else base) + path + (f"?{pairs}" if pairs else "")
        response = self._send(method, url, body=body, stream=stream)
        if not response.content:
            return {}
        try:
            reply = response.json()
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise CommandError(
                f"{self.endpoint} answered something that is not a JSON object: not a DIS endpoint?"
            )
        return reply

    def _send(
        self, method: str, url: str, *, body: object = None, stream: str = "", signed: bool = True
    ) -> httpx.Response:
        kwargs: dict[str, Any] = {} if signed else {"auth": None}
        headers = {"Content-Type": "application/json"}
        try:
            if body is None:
                response = self._http.request(method, url, headers=headers, **kwargs)
            else:
                response = self._http.request(method, url, headers=headers, json=body, **kwargs)
        except httpx.ConnectError as error:
            raise self._no_connection(error) from error
        except httpx.ConnectTimeout as error:
            raise Unreachable(f"{self.endpoint} does not answer", sent=False) from error
        except httpx.TimeoutException as error:
            raise Unreachable(f"{self.endpoint} did not answer in time", sent=True) from error
        except httpx.TransportError as error:
            advice = (
                ""
                if url.startswith("https:")
                else "If the server was started with --tls-cert: --endpoint https://..."
            )
            raise Unreachable(
                f"{self.endpoint}: the connection broke ({error})", advice, sent=True
            ) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise CommandError(f"{url!r} is not an address: {error}", status=2) from error
        if response.is_success:
            return response
        raise _refusal(response, stream)

    def _no_connection(self, error: httpx.ConnectError) -> CommandError:
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return CommandError(
                f"{self.endpoint}: its certificate is not trusted ({text})",
                "Name the authority that signed it: --cacert DIR/ca.pem (of `penstock cert --out DIR`).",
            )
        if "SSL" in text:
            return CommandError(
                f"{self.endpoint}: no TLS there ({text})", "If it serves plain HTTP: --endpoint http://..."
            )
        return Unreachable(
            f"Nothing answers at {self.endpoint} ({text})",
            "Start a server:        make run          (or: penstock serve --data ./data --listen 127.0.0.1:20004)\n"
            "Or name another one:   --endpoint URL    (or: PENSTOCK_ENDPOINT=URL)",
            sent=False,
        )


def _refusal(response: httpx.Response, stream: str) -> ServerError:
    """The error of a reply; for one that is not in the API's form, its status and beginning."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        code = body.get("errorCode") or body.get("error_code")
        message = body.get("message") or body.get("error_msg") or ""
        if isinstance(code, str):
            return ServerError(code, str(message), http_status=response.status_code, stream=stream)
        if isinstance(inner := body.get("error"), dict):
            text = f"{inner.get('title', response.reason_phrase)}: {inner.get('message', '')}"
            return ServerError("", text, http_status=response.status_code)
    text = f"HTTP {response.status_code} {response.reason_phrase}: {response.text[:200].strip()}"
    return ServerError("", text.rstrip(": "), http_status=response.status_code, stream=stream)


def _verification(cacert: Path | None, insecure: bool) -> ssl.SSLContext | bool:
    if insecure:
        return False
    if cacert is None:
        return True
    try:
        return ssl.create_default_context(cafile=os.fspath(cacert))
    except (OSError, ssl.SSLError) as error:
        raise CommandError(f"--cacert {cacert}: {error}", status=2) from error
