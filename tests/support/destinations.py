"""Small servers that speak just enough of a destination's protocol to be asked whether they are there: S3, WebHDFS, HBase's REST
server, OpenTSDB, an Iceberg REST catalog, PostgreSQL. Each runs in a thread of the test; what it answers can be changed.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit


class Answer(NamedTuple):
    status: int
    body: str = ""
    content_type: str = "application/json"


class Asked(NamedTuple):
    """A request as a fake sees it: the path decoded, the query's last values."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


class FakeHttp:
    """Answers every request with what `answer` says; `requests` keeps them. With `hang` it never answers."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.hang = False
        self.forced: Answer | None = None
        """Answered to everything, when set."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", "0")))
                asked = Asked(self.command, unquote(parts.path), query, headers, body)
                outer.requests.append(asked)
                if outer.hang:
                    outer._released.wait(30)
                    self.close_connection = True
                    return
                answer = outer.forced or outer.answer(asked)
                content = b"" if self.command == "HEAD" else answer.body.encode()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", '"0"')
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, asked: Asked) -> Answer:
        raise NotImplementedError

    def reset(self) -> None:
        self.requests.clear()
        self.forced = None
        self.hang = False

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FakeS3(FakeHttp):
    """Path-style S3 with the buckets and the one access key given."""

    def __init__(self, access_key: str, *buckets: str) -> None:
        super().__init__()
        self.access_key = access_key
        self.buckets = buckets
        self.objects: set[str] = set()

    def answer(self, asked: Asked) -> Answer:
        def error(status: int, code: str) -> Answer:
            return Answer(
                status, f"<Error><Code>{code}</Code><Message>no</Message></Error>", "application/xml"
            )

        if f"Credential={self.access_key}/" not in asked.headers.get("authorization", ""):
            return error(403, "SignatureDoesNotMatch")
        if asked.path.split("/")[1] not in self.buckets:
            return error(404, "NoSuchBucket")
        if asked.method == "PUT":
            self.objects.add(asked.path)
            return Answer(200)
        if asked.method == "POST":  # several at once: ?delete
            keys = re.findall(r"<Key>([^<]*)</Key>", asked.body.decode())
            self.objects -= {f"{asked.path.rstrip('/')}/{key}" for key in keys}
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            return Answer(200, f"<DeleteResult>{deleted}</DeleteResult>", "application/xml")
        return error(405, "MethodNotAllowed")


class FakeWebHdfs(FakeHttp):
    """HDFS with the directories, files and forbidden directories given."""

    def __init__(self) -> None:
        super().__init__()
        self.directories = {"/user"}
        self.files = {"/file"}
        self.forbidden = {"/root"}

    def answer(self, asked: Asked) -> Answer:
        path = asked.path.removeprefix("/webhdfs/v1")
        operation = asked.query.get("op")
        if path in self.forbidden and operation == "CHECKACCESS":
            return remote(403, "AccessControlException")
        if path not in self.directories | self.files | self.forbidden:
            return remote(404, "FileNotFoundException")
        if operation == "GETFILESTATUS":
            kind = "FILE" if path in self.files else "DIRECTORY"
            return Answer(200, json.dumps({"FileStatus": {"type": kind, "pathSuffix": "", "owner": "hdfs"}}))
        return Answer(200)


def remote(status: int, exception: str) -> Answer:
    """How WebHDFS refuses."""
    said = {"exception": exception, "javaClassName": f"java.io.{exception}", "message": "no\n\tat a.b.C"}
    return Answer(status, json.dumps({"RemoteException": said}))


class FakeHBase(FakeHttp):
    """HBase's REST server with one table of two families."""

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/status/cluster":
            return Answer(200, json.dumps({"regions": 1, "LiveNodes": []}))
        if asked.path == "/cloudtabletable/schema":
            families = [{"name": "cfname1", "VERSIONS": "1"}, {"name": "cfname2"}]
            return Answer(200, json.dumps({"name": "cloudtabletable", "ColumnSchema": families}))
        return Answer(404, "TableNotFoundException\n\tat a.b.C", "text/plain")


class FakeOpenTsdb(FakeHttp):
    def answer(self, asked: Asked) -> Answer:
        return Answer(200, '{"version":"2.4.1"}') if asked.path == "/api/version" else Answer(404)


class FakeIceberg(FakeHttp):
    """An Iceberg REST catalog with a prefix that is encoded as Nessie's is, one namespace and one table. `heads` says whether it knows HEAD."""

    heads = True

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/iceberg/v1/config":
            return Answer(200, '{"defaults":{},"overrides":{"prefix":"main%7Cwarehouse"}}')
        namespace = "/iceberg/v1/main|warehouse/namespaces/dlidatabasename"
        if asked.path == namespace:
            return Answer(200, '{"namespace":["dlidatabasename"],"properties":{}}')
        if asked.path == f"{namespace}/tables/dlitablename":
            return Answer(405) if asked.method == "HEAD" and not self.heads else Answer(200, "{}")
        return Answer(404, '{"error":{"message":"no","type":"NoSuchNamespaceException","code":404}}')


class FakePostgres:
    """PostgreSQL's protocol, as far as a login with a password in clear and one simple query go."""

    user = "dbadmin"
    password = "the-Password-of-the-DWS-user"
    databases: ClassVar[set[str]] = {"postgres"}

    def __init__(self) -> None:
        self.columns = ["c1", "c2", "c3"]
        self.may_insert = True
        self.hang = False
        self.queries: list[str] = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, EOFError):
                    outer._serve(self.request)

        class Threading(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._released = threading.Event()
        self._server = Threading(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def reset(self) -> None:
        self.columns = ["c1", "c2", "c3"]
        self.may_insert = True
        self.hang = False
        self.queries.clear()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self, connection: socket.socket) -> None:
        if self.hang:
            self._released.wait(30)
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def read(size: int) -> bytes:
            data = b""
            while len(data) < size:
                piece = connection.recv(size - len(data))
                if not piece:
                    raise EOFError
                data += piece
            return data

        def send(kind: bytes, body: bytes) -> None:
            connection.sendall(kind + struct.pack("!I", len(body) + 4) + body)

        def fail(code: str, message: str, severity: str = "FATAL") -> None:
            send(b"E", f"S{severity}\0V{severity}\0C{code}\0M{message}\0\0".encode())

        while True:
            (size,) = struct.unpack("!I", read(4))
            body = read(size - 4)
            if struct.unpack("!I", body[:4])[0] in (80877103, 80877104):  # SSL and GSS, please
                connection.sendall(b"N")
                continue
            words = body[4:].split(b"\0")
            settings = dict(zip(words[::2], words[1::2], strict=False))
            break
        send(b"R", struct.pack("!I", 3))
        assert read(1) == b"p"
        (size,) = struct.unpack("!I", read(4))
        given = read(size - 4).rstrip(b"\0").decode()
        user, database = settings[b"user"].decode(), settings[b"database"].decode()
        if (user, given) != (self.user, self.password):
            fail("28P01", f'password authentication failed for user "{user}"')
            return
        if database not in self.databases:
            fail("3D000", f'database "{database}" does not exist')
            return
        send(b"R", struct.pack("!I", 0))
        for name, value in (
            ("server_version", "9.2.4"),
            ("client_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
        ):
            send(b"S", f"{name}\0{value}\0".encode())
        send(b"Z", b"I")
        while True:
            kind = read(1)
            (size,) = struct.unpack("!I", read(4))
            body = read(size - 4)
            if kind == b"X":
                return
            if kind != b"Q":
                fail("0A000", "only simple queries here", "ERROR")
                send(b"Z", b"I")
                continue
            query = body.rstrip(b"\0").decode()
            self.queries.append(query)
            self._rows(send, query)
            send(b"Z", b"I")

    def _rows(self, send: Callable[[bytes, bytes], None], query: str) -> None:
        known = "'dbadmin'" in query and "'dwstablename'" in query
        columns = self.columns if known else []
        described = struct.pack("!H", 2)
        for name, kind in ((b"attname", 25), (b"has_table_privilege", 16)):
            described += name + b"\0" + struct.pack("!IHIhiH", 0, 0, kind, -1, -1, 0)
        send(b"T", described)
        for column in columns:
            values = (column.encode(), b"t" if self.may_insert else b"f")
            row = struct.pack("!H", 2) + b"".join(struct.pack("!I", len(v)) + v for v in values)
            send(b"D", row)
        send(b"C", f"SELECT {len(columns)}\0".encode())
