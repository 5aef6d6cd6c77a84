"""A put that is what most are, from its body to its reply without a coroutine (see `service.direct`). Owns which requests are such, and what
their replies look like; everything else is answered by `http.app`, as if nobody had looked here before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from penstock.errors import ApiError
from penstock.http.exchange import JSON, PROTOBUF_PREFIX, Response
from penstock.http.wire import json_records
from penstock.log.base import Durable, LogError
from penstock.service.direct import DirectPut, DirectPuts
from penstock.service.records import Placed, PutOutcome

if TYPE_CHECKING:
    from penstock.http.cycle import Cycle
    from penstock.iam.base import Authenticator

_PATHS = 4096
_REPLY = b"X-Request-Id: %b\r\ncontent-type: " + JSON.encode() + b"\r\ncontent-length: %d\r\n\r\n%b"
_log = structlog.get_logger("penstock.http")


def token_of(headers: Sequence[tuple[bytes, bytes]], named: Mapping[bytes, bytes]) -> bytes | None:
    """X-Auth-Token of a request whose headers ask for nothing but a put as JSON, empty when there is none; None for other requests."""
    if len(named) != len(headers) or b"content-encoding" in named:
        return None
    if named.get(b"content-type", b"").lower().startswith(PROTOBUF_PREFIX.encode()):
        return None
    return named.get(b"x-auth-token", b"")


class Direct:
    """The way for one application. `project_of` says which project a path puts records into, None for other paths; `request_id`
    gives each request its own; `broken` is the reply when nothing else can be said."""

    def __init__(
        self,
        puts: DirectPuts,
        authenticator: Authenticator,
        project_of: Callable[[bytes], str | None],
        request_id: Callable[[], str],
        broken: Callable[[str, str, bytes], Response],
    ) -> None:
        self._puts = puts
        self._authenticator = authenticator
        self._project_of = project_of
        self._request_id = request_id
        self._broken = broken
        self._projects: dict[bytes, str] = {}

    def begin(self, cycle: Cycle, body: bytes) -> bool:
        """Answer a request when its records are durable. False: it is not of this kind, or will be refused, and nothing has been done."""
        token = cycle.head.token
        if token is None or len(body) > self._puts.body_max or cycle.query or cycle.method != "POST":
            return False
        try:
            principal = self._authenticator.recognise(token)
            project_id = self._projects.get(cycle.path) or self._project(cycle.path)
            if (
                principal is None
                or project_id is None
                or not self._authenticator.allows_project(principal, project_id)
            ):
                return False
            taken = json_records.take_put(body, self._puts.streams(project_id))
            return taken is not None and self._puts.begin(
                _Put(cycle, self), principal, project_id, taken, len(body)
            )
        except Exception:
            _log.exception("no direct put")
            return False

    def _project(self, path: bytes) -> str | None:
        try:
            project_id = self._project_of(path)
        except ApiError:
            return None
        if project_id is not None:
            if len(self._projects) >= _PATHS:
                self._projects.clear()
            self._projects[path] = project_id
        return project_id

    def answer(self, put: _Put, result: Durable | LogError) -> None:
        """Reply to a put, of which this has become."""
        request_id, cycle = self._request_id(), put.cycle
        try:
            failure = self._puts.count(put, result)
            if failure is None and put.records == 1 and isinstance(result, Durable):
                body = json_records.encode_one(put.number, result.base)
            else:
                body = json_records.encode_outcome(_outcome(put, result, failure))
        except Exception:
            cycle.answered(self._broken(request_id, cycle.method, cycle.path))
            return
        cycle.answered(_REPLY % (request_id.encode(), len(body), body))


class _Put(DirectPut):
    __slots__ = ("_direct", "cycle")

    def __init__(self, cycle: Cycle, direct: Direct) -> None:
        self.cycle = cycle
        self._direct = direct

    def stored(self, result: Durable | LogError) -> None:
        self._direct.answer(self, result)


def _outcome(put: DirectPut, result: Durable | LogError, failure: tuple[str, str] | None) -> PutOutcome:
    if isinstance(result, Durable):
        return PutOutcome(put.records, [Placed(put.number, result.base, put.records, None)], {})
    assert failure is not None
    return PutOutcome(put.records, [], dict.fromkeys(range(put.records), failure))
