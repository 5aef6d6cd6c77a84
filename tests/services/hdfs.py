"""A real HDFS: one NameNode and some DataNodes, each a JVM of its own, so that a test can kill or pause one of them. Owns their
configuration. Hadoop comes from Maven; the first use fetches 70 MB.

    namenode, datanode-1, datanode-2 ...
"""

from __future__ import annotations

import getpass
import json
import platform
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from tests.services.base import Service
from tests.support import tools
from tests.support.maven import NEEDS

from penstock.destinations import Mrs
from penstock.dump.destinations.mrs import Hdfs

VERSION = "3.5.0"
_ARTIFACTS = ("hadoop-common", "hadoop-hdfs-client", "hadoop-hdfs")
_NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
_DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
_ADMIN = "org.apache.hadoop.hdfs.tools.DFSAdmin"
_LOGGING = """\
log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
"""


class HdfsCluster(Service):
    """Directory `/dis`, which `USER` may write to. Blocks are on one DataNode each."""

    USER = getpass.getuser()
    """The superuser: who runs it."""

    def __init__(self, directory: Path, datanodes: int = 1) -> None:
        super().__init__(directory)
        self.datanodes = [f"datanode-{number}" for number in range(1, datanodes + 1)]

    @property
    def url(self) -> str:
        """What WebHDFS answers at."""
        return f"http://{self._address('namenode-http')}"

    def hdfs(self, path: str = "/dis", user: str = USER) -> Hdfs:
        """A directory as a task's destination."""
        entry = Mrs(cluster_id="mrs", webhdfs=self.url, user=user)
        return Hdfs(entry, path, 10.0)

    def start_all(self) -> None:
        home = install()
        configuration = self._configure(None)
        java = _java(home, configuration)
        if not (self.directory / "name" / "current").is_dir():
            tools.run([*java, _NAMENODE, "-format", "-nonInteractive"], self.directory)
        self.run("namenode", [*java, _NAMENODE])
        for name in self.datanodes:
            self.run(name, [*_java(home, self._configure(name)), _DATANODE])
        self.wait("namenode", lambda: self.call("GET", "/", "GETFILESTATUS"))
        for name in self.datanodes:
            self.wait(name, lambda name=name: self._serves(name))  # type: ignore[misc]
        self.wait("namenode", self._ready)
        self.call("PUT", "/dis", "MKDIRS")

    def call(self, method: str, path: str, operation: str, **parameters: str) -> Any:
        """A question to the NameNode as the superuser."""
        query = {"op": operation, "user.name": self.USER, **parameters}
        url = f"{self.url}/webhdfs/v1{quote(path)}"
        reply = httpx.request(method, url, params=query, timeout=10, trust_env=False)
        reply.raise_for_status()
        return reply.json() if reply.content else None

    def write(self, path: str, data: bytes) -> None:
        """A file, made or replaced, as some other client makes it."""
        location = self.call("PUT", path, "CREATE", noredirect="true", overwrite="true")["Location"]
        headers = {"Content-Type": "application/octet-stream"}
        httpx.put(location, content=data, headers=headers, timeout=10, trust_env=False).raise_for_status()

    def read(self, path: str) -> bytes:
        """A file, through OPEN."""
        location = self.call("GET", path, "OPEN", noredirect="true")["Location"]
        return httpx.get(location, timeout=30, trust_env=False).raise_for_status().content

    def names(self, path: str = "/dis") -> list[str]:
        """What is in a directory, temporary files too."""
        found = self.call("GET", path, "LISTSTATUS")["FileStatuses"]["FileStatus"]
        return [status["pathSuffix"] for status in found]

    def safe_mode(self, on: bool) -> None:
        """Enter or leave safe mode, in which a NameNode changes nothing."""
        java = _java(install(), self.directory / "namenode.conf")
        tools.run([*java, _ADMIN, "-safemode", "enter" if on else "leave"], self.directory)

    def _address(self, name: str) -> str:
        return f"127.0.0.1:{self.port(name)}"

    def syncs(self, datanode: str = "datanode-1") -> int:
        """How many files of blocks a DataNode has synced to its disk."""
        bean = self._bean(self._address(f"{datanode}-http"), "service=DataNode,name=DataNodeActivity*")
        return int(bean["FsyncCount"])

    def _bean(self, address: str, query: str) -> dict[str, Any]:
        reply = httpx.get(f"http://{address}/jmx?qry=Hadoop:{query}", timeout=5, trust_env=False)
        bean: dict[str, Any] = reply.raise_for_status().json()["beans"][0]
        return bean

    def _serves(self, datanode: str) -> bool:
        """It is registered with the NameNode and takes blocks."""
        bean = self._bean(self._address(f"{datanode}-http"), "service=DataNode,name=DataNodeInfo")
        actors = json.loads(bean["BPServiceActorInfo"])
        return bool(actors) and all(
            actor["ActorState"] == "RUNNING" and actor["BlockPoolID"] for actor in actors
        )

    def _ready(self) -> bool:
        """Out of safe mode, with all DataNodes."""
        address = self._address("namenode-http")
        state = self._bean(address, "service=NameNode,name=FSNamesystemState")
        info = self._bean(address, "service=NameNode,name=NameNodeInfo")
        return bool(info["Safemode"] == "") and state["NumLiveDataNodes"] >= len(self.datanodes)

    def _configure(self, datanode: str | None) -> Path:
        """The directory of a daemon's configuration; of the NameNode's without one."""
        directory = self.directory / f"{datanode or 'namenode'}.conf"
        directory.mkdir(exist_ok=True)
        (directory / "log4j.properties").write_text(_LOGGING)
        # Counters are those of the last second, not of the last ten.
        (directory / "hadoop-metrics2.properties").write_text("*.period=1\n")
        # The daemons die where the machine's name has no address.
        (directory / "hosts").write_text(f"127.0.0.1 localhost {platform.node()}\n")
        (self.directory / "tmp").mkdir(exist_ok=True)
        core = {
            "fs.defaultFS": f"hdfs://{self._address('namenode-rpc')}",
            "hadoop.tmp.dir": f"{self.directory}/tmp",
        }
        hdfs = {
            "dfs.replication": "1",
            "dfs.namenode.name.dir": f"file://{self.directory}/name",
            "dfs.namenode.http-address": self._address("namenode-http"),
            "dfs.namenode.rpc-bind-host": "127.0.0.1",
            "dfs.namenode.http-bind-host": "127.0.0.1",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.namenode.safemode.extension": "0",
            "dfs.namenode.safemode.recheck.interval": "200",
            # A dead DataNode is given up after 2 x 2 + 10 x 1 seconds.
            "dfs.heartbeat.interval": "1",
            "dfs.namenode.heartbeat.recheck-interval": "2000",
            "dfs.namenode.resource.du.reserved": "10485760",
            "dfs.namenode.edits.noeditlogchannelflush": "true",
            # 1,000 entries a page by default: a directory of several would take its time to make.
            "dfs.ls.limit": "20",
            # 400 by default, which makes every small file take 0.3 s.
            "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "10",
        }
        if datanode is not None:
            hdfs |= {
                "dfs.datanode.data.dir": f"file://{self.directory}/{datanode}",
                "dfs.datanode.address": self._address(f"{datanode}-data"),
                "dfs.datanode.http.address": self._address(f"{datanode}-http"),
                "dfs.datanode.ipc.address": self._address(f"{datanode}-ipc"),
                "dfs.datanode.hostname": "127.0.0.1",
            }
        _write_site(directory / "core-site.xml", core)
        _write_site(directory / "hdfs-site.xml", hdfs)
        return directory


def _write_site(file: Path, values: dict[str, str]) -> None:
    properties = (
        f"<property><name>{name}</name><value>{value}</value></property>\n" for name, value in values.items()
    )
    file.write_text(f"<configuration>\n{''.join(properties)}</configuration>\n")


def _java(home: Path, configuration: Path) -> list[str]:
    """A JVM with a daemon's configuration; its main class follows."""
    return [
        tools.find("java", needs=NEEDS),
        *("-Xmx256m", "-Xms32m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        "-Djava.net.preferIPv4Stack=true",
        f"-Djdk.net.hosts.file={configuration}/hosts",
        f"-Dhadoop.log.dir={configuration}",
        "-cp",
        f"{configuration}:{home}:{home}/lib/*",
    ]


def install() -> Path:
    """The directory of Hadoop's jars, fetched when they are missing."""
    maven = tools.find("mvn", needs=NEEDS)

    def build(directory: Path) -> None:
        kept = [] if tools.account_home() else [f"-Dmaven.repo.local={tools.cache_directory() / 'maven'}"]
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"]
        tools.run([maven, "--batch-mode", "--quiet", *kept, *goal], directory)
        # The jar has no web pages, and the daemons insist on their folders.
        for name in ("hdfs", "datanode", "static"):
            (directory / "webapps" / name).mkdir(parents=True)

    with tempfile.TemporaryDirectory() as sources:
        (Path(sources) / "pom.xml").write_text(_project())
        return tools.built("hdfs", Path(sources), build)


def _project() -> str:
    dependencies = "".join(
        f"<dependency><groupId>org.apache.hadoop</groupId><artifactId>{name}</artifactId>"
        f"<version>{VERSION}</version></dependency>\n"
        for name in _ARTIFACTS
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>\n'
        "<groupId>penstock.services</groupId><artifactId>hdfs</artifactId><version>1</version>\n"
        f"<dependencies>\n{dependencies}</dependencies></project>\n"
    )
