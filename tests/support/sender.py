"""Requests as a certain client writes them: its headers in its order, signed over the ones it signs, nothing added. For clients that are
not to be had from a registry. Owns the connection and the form of what is sent; what is sent is for the tests to say.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import httpx
from tests.support.server import Server
from tests.support.signing import Variant, sign


class Keys(NamedTuple):
    """How a client signs: the scheme, the names (lower case) it signs when they are there, region and service of the scope."""

    variant: Variant
    signed: Sequence[str]
    region: str = ""
    service: str = ""


class Sender:
    """A client of one kind. `headers` go with every request, but those whose name is in `bodied` only with a body; without
    `keys` it signs nothing."""

    def __init__(
        self,
        server: Server,
        headers: Mapping[str, str],
        *,
        keys: Keys | None = None,
        bodied: Sequence[str] = (),
    ) -> None:
        self.server = server
        self.headers = dict(headers)
        self.keys = keys
        self.bodied = bodied
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def send(
        self, method: str, target: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """`target` is path and query as they go on the wire; `body` is JSON unless it is bytes."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"Host": f"127.0.0.1:{self.server.port}"} | self.headers | dict(headers or {})
        if not content:
            sent = {name: value for name, value in sent.items() if name not in self.bodied}
        pairs = list(sent.items())
        if self.keys is not None:
            pairs = sign(
                self.keys.variant,
                method,
                target,
                sent,
                content,
                access_key=self.server.ak,
                secret_key=self.server.sk,
                now_ms=int(time.time() * 1000),
                signed=self.keys.signed,
                region=self.keys.region,
                service=self.keys.service,
            )
        self._connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in pairs:
            self._connection.putheader(name, value)
        if content or method in ("POST", "PUT"):
            self._connection.putheader("Content-Length", str(len(content)))
        self._connection.endheaders(content or None)
        reply = self._connection.getresponse()
        return httpx.Response(reply.status, headers=reply.getheaders(), content=reply.read())

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
