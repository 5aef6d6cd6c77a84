"""A real HBase, standalone: master, region server and ZooKeeper in one JVM (`hbase`), its REST server in another (`rest`). Needs Java 17
and Maven, which fetches it once (106 MB).

`kill("hbase")` and `start()` again is a crashed region server that replays its log; `pause("hbase")` is one that hangs behind a REST
server that lives.
"""

from __future__ import annotations

import base64
import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import httpx
import pytest
from tests.services.base import Service
from tests.support import maven, tools

VERSION = "2.6.1"
LOGGING = "2.17.2"
_JSON = {"Accept": "application/json"}
_LOG4J = """\
status = ERROR
rootLogger = WARN, out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = ERROR
"""
# What HBase reflects into, closed since Java 17.
_OPENED = (
    "java.lang",
    "java.lang.reflect",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "sun.nio.ch",
    "jdk.internal.ref",
)


class HBase(Service):
    """`rest` is the URL of its REST server, `zookeeper` where OpenTSDB finds it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory.resolve())

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port('rest')}"

    @property
    def zookeeper(self) -> str:
        return f"127.0.0.1:{self.port('zookeeper')}"

    def start_all(self) -> None:
        library = install()
        conf = self.directory / "conf"
        conf.mkdir(exist_ok=True)
        (conf / "log4j2.properties").write_text(_LOG4J)
        (conf / "hbase-site.xml").write_text(_site(self._settings()))
        for name, heap, arguments in (
            ("hbase", "768m", ["org.apache.hadoop.hbase.master.HMaster", "start"]),
            ("rest", "256m", ["org.apache.hadoop.hbase.rest.RESTServer", "start"]),
        ):
            opened = [option for p in _OPENED for option in ("--add-opens", f"java.base/{p}=ALL-UNNAMED")]
            self.run(
                name,
                java(
                    heap,
                    [conf, library / "*"],
                    *opened,
                    "--add-exports",
                    "java.base/jdk.internal.misc=ALL-UNNAMED",
                    f"-Dlog4j2.configurationFile={conf / 'log4j2.properties'}",
                    *arguments,
                ),
            )
        self.wait("rest", lambda: httpx.get(f"{self.rest}/version", timeout=5, trust_env=False))
        self.wait("hbase", self._answers, 120)

    def _answers(self) -> bool:
        """One region server lives, the master answers, every table (after a crash: its log replayed) can be read."""
        status = self.call("GET", "/status/cluster").json()
        if len(status["LiveNodes"]) != 1:
            return False
        for table in self.call("GET", "/").json().get("table", ()):
            self.call("GET", f"/{quote(table['name'], safe=':')}/*?limit=1", missing=True)
        return True

    def _settings(self) -> dict[str, str]:
        settings = {
            "hbase.rootdir": f"file://{self.directory / 'data'}",
            "hbase.tmp.dir": str(self.directory / "tmp"),
            "hbase.cluster.distributed": "false",
            "hbase.zookeeper.quorum": "127.0.0.1",
            "hbase.zookeeper.property.clientPort": str(self.port("zookeeper")),
            "hbase.zookeeper.property.clientPortAddress": "127.0.0.1",
            "hbase.zookeeper.property.dataDir": str(self.directory / "zookeeper"),
            "hbase.master.port": str(self.port("master")),
            "hbase.master.info.port": "-1",
            "hbase.regionserver.port": str(self.port("regionserver")),
            "hbase.regionserver.info.port": "-1",
            "hbase.rest.host": "127.0.0.1",
            "hbase.rest.port": str(self.port("rest")),
            "hbase.rest.info.port": "-1",
            # How long it may be paused and still be one cluster, and how long it takes to come back after a kill.
            "zookeeper.session.timeout.localHBaseCluster": "20000",
            "zookeeper.recovery.retry": "1",
            "zookeeper.recovery.retry.intervalmill": "200",
            "hbase.master.wait.on.regionservers.timeout": "500",
            "hbase.master.wait.on.regionservers.interval": "100",
        }
        for role in ("master", "regionserver"):
            settings[f"hbase.{role}.hostname"] = settings[f"hbase.{role}.ipc.address"] = "127.0.0.1"
        return settings

    # For tests

    def call(
        self, method: str, path: str, body: object = None, *, missing: bool = False, seconds: float = 30
    ) -> httpx.Response:
        """A request to the REST server; `missing` lets a 404 pass."""
        reply = httpx.request(
            method, self.rest + path, json=body, headers=_JSON, timeout=seconds, trust_env=False
        )
        assert reply.is_success or (missing and reply.status_code == 404), f"{method} {path}: {reply.text}"
        return reply

    def create(self, table: str, families: Iterable[str], versions: int = 1) -> None:
        """Make a table that does not exist. On one that does the same request would drop what it does not name."""
        path = f"/{quote(table, safe=':')}"
        assert self.call("GET", f"{path}/exists", missing=True).status_code == 404, f"{table} exists"
        made = [{"name": name, "VERSIONS": str(versions), "BLOOMFILTER": "ROW"} for name in families]
        self.call("PUT", f"{path}/schema", {"name": table, "ColumnSchema": made})

    def drop(self, table: str) -> None:
        """Remove a table and what is in it."""
        self.call("DELETE", f"/{quote(table, safe=':')}/schema")

    def add_family(self, table: str, family: str) -> None:
        """Add a column family to a table; what it has stays (POST, not PUT)."""
        self.call(
            "POST",
            f"/{quote(table, safe=':')}/schema",
            {"name": table, "ColumnSchema": [{"name": family}]},
        )

    def cells(self, table: str, key: bytes, versions: int = 10) -> list[tuple[str, int, bytes]]:
        """The cells of a row, all versions: column, timestamp, value; newest first in each column."""
        path = f"/{quote(table, safe=':')}/{quote(key, safe='')}?v={versions}"
        reply = self.call("GET", path, missing=True)
        return [] if reply.status_code == 404 else [_cell(cell) for cell in reply.json()["Row"][0]["Cell"]]

    def rows(self, table: str) -> dict[bytes, list[tuple[str, int, bytes]]]:
        """All rows of a table, newest versions."""
        path = f"/{quote(table, safe=':')}"
        scanner = httpx.put(
            f"{self.rest}{path}/scanner",
            content='<Scanner batch="5000"/>',
            headers={"Content-Type": "text/xml"},
            timeout=30,
            trust_env=False,
        )
        assert scanner.status_code == 201, scanner.text
        location = scanner.headers["Location"].removeprefix(self.rest)
        found: dict[bytes, list[tuple[str, int, bytes]]] = {}
        while (reply := self.call("GET", location)).status_code == 200:
            for row in reply.json()["Row"]:
                cells = [_cell(cell) for cell in row["Cell"]]
                found.setdefault(base64.b64decode(row["key"]), []).extend(cells)
        self.call("DELETE", location)
        return found


def _cell(cell: dict[str, Any]) -> tuple[str, int, bytes]:
    return base64.b64decode(cell["column"]).decode(), cell["timestamp"], base64.b64decode(cell["$"])


# Java ------------------------------------------------------------------------------------------------------------------


def java(heap: str, classpath: Sequence[Path], *arguments: str) -> list[str]:
    """The command of a small JVM: its options, then the class and what it is given."""
    light = ["-Xms32m", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    path = ":".join(map(str, classpath))
    return [_java(), *light, "-Djava.net.preferIPv4Stack=true", "-cp", path, *arguments]


@functools.cache
def _java() -> str:
    """A Java that Hadoop runs on: 17 to 23 (from 24 on it stops with "getSubject is not supported")."""
    own = os.environ.get("JAVA_HOME")
    installed = sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    for candidate in [*([f"{own}/bin/java"] if own else []), "java", *map(str, installed)]:
        try:
            said = subprocess.run([candidate, "-version"], capture_output=True, text=True, check=False).stderr
        except OSError:
            continue
        found = re.search(r'version "(\d+)', said)
        if found and 17 <= int(found[1]) <= 23:
            return candidate
    pytest.skip("needs Java 17: apt-get install -y openjdk-17-jre-headless")


def dependency(group: str, artifact: str, version: str, without: Iterable[str] = ()) -> str:
    """A dependency of a pom; `without` are GROUP:ARTIFACT that it would bring along."""
    excluded = "".join(
        f"<exclusion><groupId>{one.partition(':')[0]}</groupId><artifactId>{one.partition(':')[2]}</artifactId></exclusion>"
        for one in without
    )
    return (
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
        f"<exclusions>{excluded}</exclusions></dependency>\n"
    )


def install() -> Path:
    """The directory of its jars."""
    return jars("hbase", VERSION, _DEPENDENCIES)


def jars(name: str, version: str, dependencies: Iterable[str]) -> Path:
    """The directory of a server's jars, fetched by Maven at the first use."""
    program = tools.find("mvn", needs=maven.NEEDS)
    pom = (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>\n'
        f"<groupId>penstock.services</groupId><artifactId>{name}</artifactId><version>{version}</version>\n"
        f"<dependencies>\n{''.join(dependencies)}</dependencies></project>\n"
    )

    def build(directory: Path) -> None:
        kept = [] if tools.account_home() else [f"-Dmaven.repo.local={tools.cache_directory() / 'maven'}"]
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"]
        tools.run([program, "--batch-mode", "--quiet", *kept, *copy], directory)

    with tempfile.TemporaryDirectory() as sources:
        (Path(sources) / "pom.xml").write_text(pom)
        built = tools.built(
            f"service-{name}", Path(sources), build, check=lambda found: any((found / "lib").glob("*.jar"))
        )
    return built / "lib"


def _site(settings: dict[str, str]) -> str:
    properties = "".join(
        f"<property><name>{name}</name><value>{escape(value)}</value></property>\n"
        for name, value in settings.items()
    )
    return f"<configuration>\n{properties}</configuration>\n"


# The REST server is published for Hadoop 2 only: its jar is taken alone, beside the server built for Hadoop 3.
_DEPENDENCIES = (
    dependency(
        "org.apache.hbase",
        "hbase-server",
        f"{VERSION}-hadoop3",
        (
            "org.slf4j:slf4j-reload4j",
            "ch.qos.reload4j:reload4j",
            "org.apache.hadoop:hadoop-distcp",
            "org.apache.hadoop:hadoop-mapreduce-client-core",
        ),
    ),
    dependency("org.apache.hbase", "hbase-rest", VERSION, ("org.apache.hbase:*", "org.apache.hadoop:*")),
    *(
        dependency("org.apache.logging.log4j", artifact, LOGGING)
        for artifact in ("log4j-api", "log4j-core", "log4j-slf4j-impl", "log4j-1.2-api")
    ),
)
