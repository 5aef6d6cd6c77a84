"""An S3 server that checks signatures and honours conditional puts: versitygw (Go), with objects as plain files."""

from __future__ import annotations

import fcntl
import http.client
import os
from pathlib import Path

from tests.services.base import Service
from tests.support import tools
from tests.support.golang import NEEDS

from penstock.destinations import Obs

VERSION = "v1.8.0"
ACCESS_KEY = "penstock"
SECRET_KEY = "penstock-secret"
REGION = "cn-north-1"
"""Not the default of any client: a region that is left out shows."""
_PROCESS = "versitygw"


class S3(Service):
    """One user, ACCESS_KEY with SECRET_KEY; buckets are the folders of `root`."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port('s3')}"

    @property
    def root(self) -> Path:
        return self.directory / "buckets"

    def start_all(self) -> None:
        program = install()
        self.root.mkdir(exist_ok=True)
        # What S3 knows of an object beside its bytes is in extended attributes, where the file system has them.
        aside = [] if _has_attributes(self.root) else ["--sidecar", str(self.directory / "meta")]
        if aside:
            (self.directory / "meta").mkdir(exist_ok=True)
        listen = ["--port", f"127.0.0.1:{self.port('s3')}", "--region", REGION]
        self.run(
            _PROCESS,
            [program, "--quiet", *listen, "posix", *aside, self.root],
            {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": SECRET_KEY},
        )
        self.wait(_PROCESS, self._refuses_politely, 20)

    def bucket(self, name: str) -> Path:
        """Make a bucket; the folder its objects are in."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return folder

    def entry(self, bucket: str = "*", *, secret_key: str = SECRET_KEY) -> Obs:
        """`[[obs]]` of the configuration for it."""
        return Obs(
            bucket=bucket,
            endpoint=self.endpoint,
            region=REGION,
            access_key=ACCESS_KEY,
            secret_key=secret_key,
        )

    def _refuses_politely(self) -> bool:
        """It is ready when it refuses a request without a signature in S3's own words."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port("s3"), timeout=2)
        try:
            connection.request("GET", "/")
            reply = connection.getresponse()
            return reply.status == 403 and b"<Code>AccessDenied" in reply.read()
        finally:
            connection.close()

    # For tests

    def pause_all(self) -> None:
        """It takes connections and answers none."""
        self.pause(_PROCESS)

    def resume_all(self) -> None:
        self.resume(_PROCESS)

    def kill_all(self) -> None:
        """As kill -9; `start` brings it back with the same data."""
        self.kill(_PROCESS)


def install() -> Path:
    """The server, built once: minutes on a machine that has none of its modules yet."""
    go = tools.find("go", "/usr/local/go/bin/go", needs=NEEDS)
    parent = tools.cache_directory()
    program = parent / f"versitygw-{VERSION}" / "versitygw"
    with (parent / "versitygw.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            environment = {"GOBIN": str(program.parent), "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
            if tools.home() is None:
                kept = parent / "go"
                environment |= {"GOPATH": f"{kept / 'path'}", "GOCACHE": f"{kept / 'build'}"}
            module = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
            tools.run([go, "install", module], parent, environment)
    return program


def _has_attributes(directory: Path) -> bool:
    try:
        os.setxattr(directory, "user.probe", b"1")
        os.removexattr(directory, "user.probe")
    except OSError:
        return False
    return True
