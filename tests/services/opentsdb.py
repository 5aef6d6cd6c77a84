"""A real OpenTSDB (`opentsdb`) on a real HBase of its own (`hbase`, `rest`). Needs Java 17 and Maven, which fetches both once.

`kill`, `pause` and `resume` take the names of all three processes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
from tests.services.base import Service
from tests.services.hbase import HBase, dependency, jars, java

VERSION = "2.4.1"
_TABLES = {"tsdb-uid": ("id", "name"), "tsdb": ("t",), "tsdb-tree": ("t",), "tsdb-meta": ("name",)}
_LOGBACK = """\
<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder>
<pattern>%d{ISO8601} %-5level %logger{0}: %msg%n</pattern></encoder></appender>
<root level="WARN"><appender-ref ref="out"/></root></configuration>
"""
# Without its browser pages, twice the size of all the rest; with javax.xml.bind, which Java lost in version 11 and
# /api/uid/assign needs.
_DEPENDENCIES = (
    dependency(
        "net.opentsdb",
        "opentsdb",
        VERSION,
        ("com.google.gwt:*", "net.opentsdb:opentsdb_gwt_theme", "javax.validation:*"),
    ),
    dependency("javax.xml.bind", "jaxb-api", "2.3.1"),
)


def install() -> Path:
    """The directory of its jars."""
    return jars("opentsdb", VERSION, _DEPENDENCIES)


class OpenTsdb(Service):
    """`url` is where it listens. `settings` are added to its configuration; by default metrics are created as they come (which real
    ones do not) and points wait 50 ms for each other (1,000 there)."""

    def __init__(self, directory: Path, settings: dict[str, str] | None = None) -> None:
        super().__init__(directory.resolve())
        self.hbase = HBase(directory / "hbase")
        self.settings = {
            "tsd.core.auto_create_metrics": "true",
            "hbase.rpcs.buffered_flush_interval": "50",
        } | (settings or {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port('opentsdb')}"

    def start_all(self) -> None:
        library = install()
        self.hbase.start()
        for table, families in _TABLES.items():
            if self.hbase.call("GET", f"/{table}/exists", missing=True).status_code == 404:
                self.hbase.create(table, families)
        for name in ("conf", "static", "cache"):
            (self.directory / name).mkdir(exist_ok=True)
        settings = {
            "tsd.network.bind": "127.0.0.1",
            "tsd.network.port": str(self.port("opentsdb")),
            "tsd.http.staticroot": str(self.directory / "static"),
            "tsd.http.cachedir": str(self.directory / "cache"),
            "tsd.storage.hbase.zk_quorum": self.hbase.zookeeper,
        } | self.settings
        conf = self.directory / "conf"
        (conf / "logback.xml").write_text(_LOGBACK)
        (conf / "opentsdb.conf").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        arguments = ("net.opentsdb.tools.TSDMain", f"--config={conf / 'opentsdb.conf'}")
        self.run("opentsdb", java("384m", [conf, library / "*"], *arguments))
        self.wait("opentsdb", self._answers)

    def stop(self) -> None:
        super().stop()
        self.hbase.stop()

    def kill(self, name: str) -> None:
        super().kill(name) if name == "opentsdb" else self.hbase.kill(name)

    def pause(self, name: str) -> None:
        super().pause(name) if name == "opentsdb" else self.hbase.pause(name)

    def resume(self, name: str) -> None:
        super().resume(name) if name == "opentsdb" else self.hbase.resume(name)

    def _answers(self) -> bool:
        """A point that was put comes back."""
        metric, now = "penstock.ready", int(time.time())
        self.assign(metric)
        point = {"metric": metric, "timestamp": now, "value": 1, "tags": {"host": "ready"}}
        self.call("/api/put?details&sync", [point])
        return any(str(now) in series["dps"] for series in self.query(metric, now - 10, now + 10))

    # For tests

    def call(self, path: str, body: object) -> Any:
        """A request to its API."""
        reply = httpx.post(self.url + path, json=body, timeout=30, trust_env=False)
        assert reply.is_success, f"{path}: {reply.text}"
        return reply.json() if reply.content else None

    def assign(self, metric: str) -> None:
        """Make a metric, unless it exists."""
        reply = httpx.post(
            f"{self.url}/api/uid/assign", json={"metric": [metric]}, timeout=30, trust_env=False
        )
        assert reply.is_success or "already exists" in reply.text, reply.text

    def query(self, metric: str, start: int, end: int) -> list[dict[str, Any]]:
        """All series of a metric between two times, in seconds: each with `tags` and `dps`, the values by times in milliseconds, or in
        seconds where they were put so."""
        wanted = {"metric": metric, "aggregator": "none"}
        found = self.call("/api/query", {"start": start, "end": end, "queries": [wanted]})
        assert isinstance(found, list)
        return found
