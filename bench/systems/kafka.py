"""Apache Kafka, one node in KRaft mode, no fsync: the peer with the fastest producer of its own.

Loaded by its own ProducerPerformance with acks=1 and batches of 128 KB. The producer makes its batches itself, so there are
puts of 500 records only. Kafka comes from Maven Central, once, into the cache.
"""

from __future__ import annotations

import base64
import re
import shutil
import socket
import struct
import subprocess
import sys
import uuid
from pathlib import Path

from bench import machine, processes
from bench.cases import Case
from bench.load.model import Load
from bench.systems.base import System, Unsupported

VERSION = "4.3.1"
LOG4J = "2.25.4"
BATCH_BYTES = 131_072
WARM_SHARE = 0.3
"""Of a run: the producer's JVM compiles what it runs, and its own `--warmup-records` leaves that out of the figures."""
LEAST_SECONDS = 8.0
_ARTIFACTS = (
    ("org.apache.kafka", "kafka_2.13", VERSION),
    ("org.apache.kafka", "kafka-tools", VERSION),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J),
)
_LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""
_SUMMARY = re.compile(
    r"^(?P<records>\d+) (?P<steady>steady state )?records sent, (?P<rate>[\d.]+) records/sec \(.*?\), "
    r".*?(?P<max>[\d.]+) ms max latency, (?P<p50>\d+) ms 50th, \d+ ms 95th, (?P<p99>\d+) ms 99th",
    re.MULTILINE,
)


def pom() -> str:
    """The Maven project that fetches the broker and its tools."""
    wanted = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in _ARTIFACTS
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>penstock.bench</groupId><artifactId>kafka</artifactId><version>1</version>"
        f"<dependencies>{wanted}</dependencies></project>\n"
    )


def parse(printed: str) -> dict[str, float]:
    """What ProducerPerformance said last: records, rate (records/s), p50, p99 and max (ms); of the steady state where it
    says that. ValueError without such a line."""
    found = list(_SUMMARY.finditer(printed))
    if not found:
        raise ValueError(f"no summary in what the producer printed: {printed[-300:]!r}")
    last = found[-1]
    return {name: float(last[name]) for name in ("records", "rate", "p50", "p99", "max")}


class Kafka(System):
    name = "kafka"
    label = f"Kafka {VERSION.rpartition('.')[0]}, acks=1, no fsync"
    durable = "no"

    def __init__(self) -> None:
        self._warm = False

    def install(self) -> None:
        self.java = machine.need("java", "apt-get install openjdk-17-jre-headless (17 or newer)")
        self.jars = machine.cache() / f"kafka-{VERSION}"
        if not self.jars.exists():
            maven = machine.need("mvn", "apt-get install maven")
            root = self.jars.with_suffix(".part")
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            (root / "pom.xml").write_text(pom())
            argv = [
                maven, "-q", "-B", "-f", str(root / "pom.xml"), "dependency:copy-dependencies",
                "-DincludeScope=runtime", f"-DoutputDirectory={root / 'lib'}",
            ]  # fmt: skip
            subprocess.run(argv, check=True, stdout=sys.stderr)
            # Renamed when whole, so that an interrupted fetch is no installation.
            (root / "lib").rename(self.jars)
            shutil.rmtree(root)

    def start(self, directory: Path, server_core: int | None, load_core: int | None) -> None:
        self.directory, self.load_core = directory, load_core
        self.port, controller = processes.free_port(), processes.free_port()
        self.logging = directory / "log4j2.properties"
        self.logging.write_text(_LOGGING)
        config = directory / "server.properties"
        config.write_text(
            "process.roles=broker,controller\nnode.id=1\n"
            f"controller.quorum.voters=1@127.0.0.1:{controller}\n"
            f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}\n"
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}\n"
            "controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n"
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n"
            f"log.dirs={directory / 'data'}\nnum.partitions=1\nauto.create.topics.enable=false\n"
            "offsets.topic.replication.factor=1\nfile.delete.delay.ms=0\nlog.initial.task.delay.ms=1000\n"
        )
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        argv = [*self._jvm("-XX:TieredStopAtLevel=1", "-Xmx128m"), "kafka.tools.StorageTool"]
        processes.run([*argv, "format", "-t", cluster, "-c", str(config)], load_core, 60)
        self.server = processes.Server(
            self.name,
            [*self._jvm("-Xmx1g", "-XX:+ExitOnOutOfMemoryError"), "kafka.Kafka", str(config)],
            directory,
            server_core,
        )
        self.server.wait_until(self._answers, 90)

    def _jvm(self, *options: str) -> list[str]:
        return [
            self.java, *options, f"-Dlog4j2.configurationFile={self.logging}", "-cp", f"{self.jars}/*",
        ]  # fmt: skip

    def _answers(self) -> bool:
        """A Metadata request (version 2) without topics finds one broker."""
        request = struct.pack(">hhihi", 3, 2, 7, -1, 0)
        with (
            socket.create_connection(("127.0.0.1", self.port), 2) as sock,
            sock.makefile("rb") as file,
        ):
            sock.settimeout(2)
            sock.sendall(struct.pack(">i", len(request)) + request)
            length = file.read(4)
            answer = file.read(struct.unpack(">i", length)[0]) if len(length) == 4 else b""
        return len(answer) >= 8 and struct.unpack(">i", answer[4:8])[0] == 1

    def _tool(self, name: str, *arguments: str) -> str:
        argv = [*self._jvm("-XX:TieredStopAtLevel=1", "-Xmx128m"), f"org.apache.kafka.tools.{name}"]
        argv += ["--bootstrap-server", f"127.0.0.1:{self.port}", *arguments]
        return processes.run(argv, self.load_core, 60).stdout

    def prepare(self, case: Case) -> str:
        if case.kind != "put":
            raise Unsupported("its consumers fetch whole batches as they are stored")
        if case.records != 500:
            raise Unsupported("its producer makes batches by itself; there are no requests of so few records")
        if not self._warm:
            # The broker's own JVM compiles during its first seconds of load.
            self._tool("TopicCommand", "--create", "--topic", "warm", "--partitions", "1")
            self._produce("warm", 200, LEAST_SECONDS)
            self._tool("TopicCommand", "--delete", "--topic", "warm")
            self._warm = True
        self._tool("TopicCommand", "--create", "--topic", case.name, "--partitions", "1")
        return case.name

    def load(self, case: Case, prepared: str, seconds: float) -> Load:
        return self._produce(prepared, case.size, max(seconds, LEAST_SECONDS))

    def _produce(self, topic: str, size: int, seconds: float) -> Load:
        """It counts records, not seconds: a short run first says how many make `seconds`."""
        probe, _ = self._run(topic, size, 200_000_000 // (size + 800), 0)
        count = max(round(probe["rate"] * seconds), 10_000)
        found, ran = self._run(topic, size, count, round(count * WARM_SHARE))
        records = int(found["records"])
        return Load(
            records=records,
            requests=max(1, records * size // BATCH_BYTES),
            seconds=records / found["rate"],
            p50_ms=found["p50"],
            p99_ms=found["p99"],
            generator_cpu=ran.cpu,
            generator_wall=ran.wall,
            notes={"max_ms": found["max"]},
            handled=count + int(probe["records"]),
        )

    def _run(self, topic: str, size: int, count: int, warm: int) -> tuple[dict[str, float], processes.Ran]:
        argv = [
            *self._jvm("-Xmx512m"), "org.apache.kafka.tools.ProducerPerformance",
            "--bootstrap-server", f"127.0.0.1:{self.port}", "--topic", topic, "--num-records", str(count),
            "--record-size", str(size), "--throughput", "-1", "--reporting-interval", "60000",
            *(("--warmup-records", str(warm)) if warm else ()),
            "--command-property", "acks=1", f"batch.size={BATCH_BYTES}", "linger.ms=5",
        ]  # fmt: skip
        ran = processes.run(argv, self.load_core, 120)
        try:
            return parse(ran.stdout), ran
        except ValueError as error:
            raise processes.Died(str(error)) from None

    def verify(self, case: Case, prepared: str, load: Load) -> None:
        """The topic's end against what the producer sent; then the topic goes."""
        printed = self._tool("GetOffsetShell", "--topic", prepared)
        end = int(printed.strip().rpartition(":")[2])
        if end != load.handled:
            load.wrong.append(f"{load.handled} acknowledged, {end} in the topic")
        self._tool("TopicCommand", "--delete", "--topic", prepared)
