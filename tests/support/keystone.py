"""A small Keystone: it gives a token to one service user, and says of any token what a test told it to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

USER, PASSWORD = "validator", "service secret"
EXPIRES = "2099-01-01T00:00:00.000000Z"


class FakeKeystone:
    """`tokens` is what holds; `asked` counts validations; `own` are tokens it gave itself."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked = 0
        self.own: set[str] = set()
        self.broken = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self, status: int, body: object, **headers: str) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                user = sent["auth"]["identity"]["password"]["user"]
                if (user["name"], user["password"]) != (USER, PASSWORD):
                    self._answer(401, {"error": {"code": 401}})
                    return
                own = f"own-{len(fake.own)}"
                fake.own.add(own)
                self._answer(201, {"token": {"expires_at": EXPIRES}}, X_Subject_Token=own)

            def do_GET(self) -> None:
                fake.asked += 1
                if fake.broken:
                    self._answer(500, {"error": {"code": 500}})
                elif self.headers["X-Auth-Token"] not in fake.own:
                    self._answer(401, {"error": {"code": 401}})
                elif (token := fake.tokens.get(self.headers["X-Subject-Token"])) is None:
                    self._answer(404, {"error": {"code": 404}})
                else:
                    self._answer(200, {"token": token})

            def log_message(self, *_: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v3"

    def add(self, token: str, *roles: str, project: str = "kp", expires: str = EXPIRES) -> str:
        """A token of a user with these roles, for a project unless it is empty."""
        domain = {"id": "default", "name": "Default"}
        self.tokens[token] = {
            "user": {"id": f"user-{token}", "name": token, "domain": domain},
            "roles": [{"id": f"id-{role}", "name": role} for role in roles],
            "expires_at": expires,
            "methods": ["password"],
        } | ({"project": {"id": project, "name": project, "domain": domain}} if project else {})
        return token

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
