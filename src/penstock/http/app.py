"""The API over HTTP: route, authenticate, inflate, call, reply. Owns that order and the error body; knows no sockets.

One coroutine, `respond`, does it for both ways in: the protocol class of `http.protocol` and any ASGI server.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import structlog

from penstock.errors import ApiError
from penstock.http import records
from penstock.http.access_log import AccessLog
from penstock.http.call import Access, Call, Handler, Reply, Route, to_json
from penstock.http.direct import Direct
from penstock.http.exchange import JSON, Exchange, Response, header, parse_query
from penstock.http.router import Match, Router
from penstock.http.wire.compression import inflate
from penstock.iam.base import Principal, SentRequest, by_name
from penstock.iam.refused import Failed, Foreign
from penstock.limits import UNLIMITED
from penstock.model.flow import RateWindow
from penstock.model.streams import Stream
from penstock.service.context import Context

HotOperation = Callable[[Context, Exchange], Awaitable[Response]]
Forward = Callable[[SentRequest, str], Awaitable[Response]]
CountFailure = Callable[[str, str], Awaitable[bool]]
"""Given address and key, whether there were too many failures already."""
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HOT: tuple[tuple[str, str, HotOperation], ...] = (
    ("POST", "/v2/{project_id}/records", records.put_records),
    ("GET", "/v2/{project_id}/records", records.get_records),
    ("GET", "/v2/{project_id}/cursors", records.get_cursor),
)

_HOT_PATHS: dict[HotOperation | None, str] = {operation: path for _, path, operation in HOT}
_NO_QUERY: Mapping[str, str] = {}
_READS = 6
"""Replies of records made at a time."""
_DECLARED_SIZE = {"lz4": b"x-dis-lz4-content-length", "zstd": b"x-dis-zstd-content-length"}
_QUOTA_ERRORS = frozenset({"DIS.4308", "DIS.4329", "DIS.4339", "DIS.4357"})
_log = structlog.get_logger("penstock.http")


class Application:
    """Answers requests. Also an ASGI application, for servers other than our own."""

    def __init__(
        self,
        context: Context,
        routes: Iterable[Route],
        *,
        forward: Forward | None = None,
        failed: CountFailure | None = None,
    ) -> None:
        """With `forward`, everything but the hot operations is answered by it: another process's application. `failed` counts
        failed authentications where the identity itself does not."""
        self._failed = failed
        self.context = context
        self._forward = forward
        table: list[tuple[str, str, HotOperation | Route]] = [*HOT]
        table += [(route.method, route.path, route) for route in routes]
        self._router: Router[HotOperation | Route] = Router(table)
        self._windows: dict[str, RateWindow] = {}
        settings = context.settings
        self._access_log = (
            AccessLog(settings.access_log, fields=settings.access_log_fields) if settings.access_log else None
        )
        self.room: Callable[[], Awaitable[None]] | None = None
        """Returns when there is room for a large reply; set by who sends replies."""
        self._reads = asyncio.Semaphore(_READS)
        self._request_prefix = secrets.token_hex(8)
        self._request_number = itertools.count(1)
        self.direct: Direct | None = None
        """The short way of most puts; they are not noted in an access log."""
        if self._access_log is None:
            self.direct = Direct(
                context.records.direct,
                context.authenticator,
                self._put_project,
                self._request_id,
                self._broken,
            )

    def body_limit(self, named: Mapping[bytes, bytes]) -> int:
        """How large a body may come with these headers (see `iam.base.by_name`), before it is known who sends it."""
        limits = self.context.limits
        if b"x-auth-token" in named:
            return limits.body_token_bytes
        if b"authorization" in named:
            return limits.body_signed_bytes
        return limits.body_unauthenticated_bytes if self.context.settings.auth else limits.body_token_bytes

    def respond(self, sent: SentRequest, scheme: str) -> Coroutine[Any, Any, Response]:
        """The reply to a request that has arrived whole. Never raises but for cancellation. Needs no task: the hot operations
        wait for futures alone, and everything else makes a task of its own."""
        request_id = self._request_id()
        if self._access_log is None:
            return self._respond(sent, scheme, request_id)
        return self._respond_and_note(self._access_log, sent, scheme, request_id)

    async def _respond_and_note(
        self, log: AccessLog, sent: SentRequest, scheme: str, request_id: str
    ) -> Response:
        clock = self.context.clock
        try:
            handler = self._router.match(sent.method, sent.path).handler
        except ApiError:
            if self._forward is not None:  # who answers it notes it
                return await self._respond(sent, scheme, request_id)
            handler = None
        size, names = len(sent.body), log.names(sent, self._readable(sent))
        began = clock.monotonic()
        response = await self._respond(sent, scheme, request_id)
        log.write(
            sent,
            response,
            route=handler.path if isinstance(handler, Route) else _HOT_PATHS.get(handler, ""),
            request_id=request_id,
            now_ms=clock.now_ms(),
            seconds=clock.monotonic() - began,
            bytes_in=size,
            names=names,
        )
        return response

    def _readable(self, sent: SentRequest) -> bytes:
        """The body as far as it can be read: nothing for one that cannot be inflated."""
        try:
            return self._inflate(sent)
        except ApiError:
            return b""

    async def _respond(self, sent: SentRequest, scheme: str, request_id: str) -> Response:
        try:
            try:
                match = self._router.match(sent.method, sent.path)
            except ApiError:
                if self._forward is None:
                    raise
                return await self._forward(sent, scheme)
            operation = match.handler
            if isinstance(operation, Route):
                response = await asyncio.create_task(self._control(sent, match, operation, scheme))
            else:
                try:
                    principal = self.context.authenticator.authenticate(sent)
                except Foreign as foreign:
                    principal = await asyncio.create_task(foreign.ask())
                exchange = self._exchange(sent, principal, match)
                if operation is records.get_records:
                    response = await self._read(exchange)
                else:
                    response = await operation(self.context, exchange)
        except Failed as error:
            over = self._failed is not None and await self._failed(error.peer, error.key)
            response = error_response(ApiError("DIS.4309") if over else error)
        except ApiError as error:
            response = error_response(error)
        except Exception:
            return self._broken(request_id, sent.method, sent.path)
        return _identified(response, request_id)

    def _broken(self, request_id: str, method: str, path: bytes) -> Response:
        """The reply to a request that an exception has ended, which is noted."""
        _log.exception("request failed", request_id=request_id, method=method, path=path.decode("latin-1"))
        response = error_response(ApiError("DIS.5000", f"[request {request_id}]"))
        return _identified(response, request_id)

    def _put_project(self, path: bytes) -> str | None:
        """The project a path puts records into. Raises ApiError for paths there are not."""
        match = self._router.match("POST", path)
        return match.params["project_id"] if match.handler is records.put_records else None

    def refusal(self, error: ApiError) -> Response:
        """The reply to a request that never became one: bytes that are no HTTP, a body over the limit."""
        response = error_response(error)
        return _identified(response, self._request_id())

    def _request_id(self) -> str:
        return f"{self._request_prefix}{next(self._request_number):016x}"

    def _exchange(self, sent: SentRequest, principal: Principal, match: Match[Any]) -> Exchange:
        named = sent.first()
        return Exchange(
            sent=sent,
            principal=principal,
            project_id=self._project(principal, match),
            query=parse_query(sent.query) if sent.query else _NO_QUERY,
            body=self._inflate(sent) if b"content-encoding" in named else sent.body,
            content_type=named.get(b"content-type", b"").decode("latin-1").lower(),
        )

    async def _read(self, exchange: Exchange) -> Response:
        # Each may be megabytes. Who asks is known by now: nobody waits here for another's identity.
        async with self._reads:
            if self.room is not None:
                await self.room()
            return await records.get_records(self.context, exchange)

    async def _control(self, sent: SentRequest, match: Match[Any], route: Route, scheme: str) -> Response:
        context = self.context
        principal = None
        if route.access is not Access.OPEN:
            try:
                principal = context.authenticator.authenticate(sent)
            except Foreign as foreign:
                principal = await foreign.ask()
        if route.access is Access.PROJECT:
            assert principal is not None
            project_id = self._project(principal, match)
            if route.counted:
                self._throttle(project_id)
            if route.action:
                for stream in _streams_named(context, project_id, sent, match):
                    context.access.check(principal, project_id, route.action, stream)
        call = Call(
            context=context,
            sent=sent,
            principal=principal,
            params=match.params,
            query=parse_query(sent.query),
            body=self._inflate(sent),
            scheme=scheme,
        )
        handler: Handler = route.handler
        try:
            return reply_response(await handler(call))
        except ApiError as error:
            if error.code in _QUOTA_ERRORS and "project_id" in match.params:
                named = context.directory.find(call.project_id, match.params.get("stream_name", ""))
                stream_name = "" if named is None else named.name
                context.events.emit("quota_insufficient", call.project_id, stream_name, error.message)
            raise

    def _project(self, principal: Principal, match: Match[Any]) -> str:
        """The project in the path. DIS.4117 when it is not one the principal may act in."""
        project_id = match.params["project_id"]
        if not self.context.authenticator.allows_project(principal, project_id):
            raise ApiError("DIS.4117", f"[{project_id[:64]}]")
        return project_id

    def _inflate(self, sent: SentRequest) -> bytes:
        if not sent.body:
            return b""
        encoding = header(sent, b"content-encoding").strip().lower()
        if not encoding or encoding == "identity":
            return sent.body
        name = _DECLARED_SIZE.get(encoding)
        declared = header(sent, name) if name else ""
        return inflate(sent.body, encoding, declared, self.body_limit(sent.first()))

    def _throttle(self, project_id: str) -> None:
        most = self.context.limits.control_requests_per_second
        if most >= UNLIMITED:
            return
        window = self._windows.get(project_id)
        if window is None:
            window = self._windows[project_id] = RateWindow(most, UNLIMITED)
        if not window.admit((0,), self.context.clock.monotonic()):
            raise ApiError("DIS.4305", f"[at most {most} requests a second]")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            raise NotImplementedError(f"{scope['type']} is not served here")
        headers = list(scope["headers"])
        limit = self.body_limit(by_name(headers))
        arrived = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            arrived += message.get("body", b"")
            if len(arrived) > limit:
                response = self.refusal(too_large(limit))
                break
            if not message.get("more_body"):
                sent = SentRequest(
                    method=scope["method"],
                    path=scope["raw_path"].partition(b"?")[0],
                    query=scope["query_string"],
                    headers=headers,
                    body=bytes(arrived),
                    peer=(scope.get("client") or ("",))[0],
                )
                response = await self.respond(sent, scope.get("scheme", "http"))
                break
        body = response.joined()
        reply_headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers]
        if response.content_type is not None:
            reply_headers.append((b"content-type", response.content_type.encode()))
        if response.status != 204:
            reply_headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": reply_headers})
        await send({"type": "http.response.body", "body": body})


def _streams_named(
    context: Context, project_id: str, sent: SentRequest, match: Match[Any]
) -> Sequence[Stream | None]:
    """The streams that path and query name, whose enterprise projects and policies decide what is allowed: all of them, for
    it is the handler's to choose. [None] when there is none."""
    names = {match.params.get("stream_name"), match.params.get("stream_id")}
    if sent.query:
        names.add(parse_query(sent.query).get("stream_id"))
    directory = context.directory
    found = [find(project_id, name) for name in names if name for find in (directory.get, directory.find_id)]
    return [stream for stream in found if stream is not None] or [None]


def _identified(response: Response, request_id: str) -> Response:
    status, content_type, body, headers = response
    return Response(status, content_type, body, (*headers, ("X-Request-Id", request_id)))


def too_large(limit: int) -> ApiError:
    """413: the body is larger than may be sent with these credentials."""
    return ApiError("APIGW.0201", f"[body: at most {limit} bytes]")


def error_response(error: ApiError) -> Response:
    """Both spellings of code and message, with equal values (clients.md section 5)."""
    body = {
        "errorCode": error.code,
        "message": error.message,
        "error_code": error.code,
        "error_msg": error.message,
    }
    return Response(error.status, JSON, to_json(body), error.headers)


def reply_response(reply: Reply) -> Response:
    """A handler's reply as bytes. None is a zero-length body without a type."""
    if reply.body is None:
        return Response(reply.status, None, b"", reply.headers)
    return Response(reply.status, JSON, to_json(reply.body), reply.headers)
