"""A real OpenStack Keystone on SQLite, with Fernet tokens, in a virtual environment of its own under the user's cache directory."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx

PASSWORD = "secret"
_HERE = Path(__file__).parent
_CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock-tests" / "keystone-30.0.0"
)
# Keystone reads sys.argv itself, so the port must be gone from it before the import.
_SERVE = """
import sys
listen = "127.0.0.1:" + sys.argv.pop()
from keystone.wsgi.api import application
from waitress import serve
serve(application, listen=listen, threads=8)
"""


class Keystone:
    """Domain Default, user and project `admin`, PASSWORD. The first use installs it, which takes minutes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/v3"

    def __enter__(self) -> Self:
        python = _install()
        configuration = self._configure()
        manage: list[str | Path] = [
            python,
            "-W",
            "ignore",
            _CACHE / "bin" / "keystone-manage",
            "--config-file",
            configuration,
        ]
        _run(*manage, "db_sync")
        _run(*manage, "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-public-url", self.url)
        environ = os.environ | {
            "OS_KEYSTONE_CONFIG_DIR": str(self._directory),
            "OS_KEYSTONE_CONFIG_FILES": "keystone.conf",
        }
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-c", _SERVE, str(self._port)],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=(self._directory / "log").open("wb"),
        )
        until = time.monotonic() + 60
        while True:
            try:
                httpx.get(self.url, timeout=10, trust_env=False).raise_for_status()
                return self
            except httpx.HTTPError:
                if self._process.poll() is not None or time.monotonic() > until:
                    self.__exit__()
                    raise AssertionError((self._directory / "log").read_text()[-4000:]) from None
                time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def call(self, method: str, path: str, body: object = None, token: str = "") -> httpx.Response:
        """A request to Keystone itself."""
        headers = {"X-Auth-Token": token} if token else {}
        reply = httpx.request(
            method, self.url + path, json=body, headers=headers, timeout=30, trust_env=False
        )
        assert reply.is_success, reply.text
        return reply

    def token(self, user: str = "admin", password: str = PASSWORD, project: str = "admin") -> str:
        """A token for a project."""
        domain = {"name": "Default"}
        who = {"name": user, "password": password, "domain": domain}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": who}},
            "scope": {"project": {"name": project, "domain": domain}},
        }
        return self.call("POST", "/auth/tokens", {"auth": auth}).headers["X-Subject-Token"]

    def _configure(self) -> Path:
        keys = self._directory / "keys"
        keys.mkdir(parents=True, mode=0o700)
        for name in ("0", "1"):
            (keys / name).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
            (keys / name).chmod(0o600)
        configuration = self._directory / "keystone.conf"
        configuration.write_text(
            "[DEFAULT]\nuse_stderr = true\n"
            f"[database]\nconnection = sqlite:///{self._directory / 'keystone.db'}\n"
            "[token]\nprovider = fernet\n"
            f"[fernet_tokens]\nkey_repository = {keys}\n"
            f"[fernet_receipts]\nkey_repository = {keys}\n"
            f"[credential]\nkey_repository = {keys}\n"
            "[identity]\npassword_hash_rounds = 4\n"
            # Its own memory of tokens would hide that one was revoked.
            "[cache]\nenabled = false\n"
        )
        return configuration


def _install() -> Path:
    python, ready = _CACHE / "bin" / "python", _CACHE / "ready"
    if not ready.exists():
        _run(sys.executable, "-m", "venv", _CACHE)
        _run(python, "-m", "pip", "install", "-q", "--no-deps", "-r", _HERE / "requirements.txt")
        ready.touch()
    return python


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
