"""`python -m bench.dumps`: how fast dump tasks deliver, what that costs of processor and memory, and what a dump that is busy all the
time costs the puts beside it.

The command line, the order of events and the tables; destinations are `bench.destinations`', the load `bench.load.paced`'s. Mark: 99 of
100 puts slowed by less than 20 %.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from rich.console import Console

from bench import destinations, machine, sampling
from bench.cases import Case
from bench.destinations.base import SCHEMA, Destination, Own, Records
from bench.dump_report import Beside, Delivery, Row, plot, show, show_profile
from bench.load import payloads
from bench.load.paced import Spec, paced, percentile
from bench.metadata import send_all
from bench.processes import Died
from bench.systems.penstock import Penstock

PARTITIONS = 4
WARM = 1_000
FILL = 500
"""Records of the puts that fill the streams: a frame of the log has a fourth of them."""
GIVE_UP_SECONDS = 600.0
PUTS = (Case("put-10x200", "put", 10, 200, 32), Case("put-500x200", "put", 500, 200, 16))
BUSY = ("folder-parquet", "postgres")
"""What is busy beside the puts."""
TASKS_BESIDE = 2
"""Tasks that catch up at the same time, so that there is no moment between one and the next."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much: records of a destination whose share is 1, deliveries of each; puts: windows of each kind and their length."""

    records: int
    rounds: int
    windows: int
    seconds: float


FULL = Scale(records=1_000_000, rounds=3, windows=5, seconds=8.0)
QUICK = Scale(records=100_000, rounds=1, windows=2, seconds=4.0)


# -- the server -----------------------------------------------------------------------------------------


class Server(Penstock):
    """Penstock with one destination. It starts on all cores, so that libraries of the dump process see them, and is held later."""

    def __init__(self, destination: Destination, environment: dict[str, str], fill: int) -> None:
        """`fill` is how many records a put has that fills a stream."""
        self.destination = destination
        self._fill = fill
        config = destination.directory / "penstock.toml"
        config.write_text(f"[limits]\ndeliver_seconds_min = 1\n\n{destination.config()}")
        super().__init__(partitions=PARTITIONS, serve=("--config", str(config)))
        self._environment = environment
        self._numbers = itertools.count(1)

    def start(self, directory: Path, server_core: int | None, load_core: int | None) -> None:
        before = {name: os.environ.get(name) for name in self._environment}
        os.environ.update(self._environment)
        try:
            super().start(directory, server_core, load_core)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
        hold(self.server.pid, allowed())

    def dump_pid(self) -> int:
        """The dump process, which is there while there are tasks."""
        for pid in machine.tree(self.server.pid):
            with contextlib.suppress(OSError):
                if b"penstock.dump.process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        raise Died(f"there is no dump process\n{self.server.tail()}")

    def cpu(self) -> tuple[float, float]:
        """CPU seconds so far: of the dump process, of the server."""
        dump = machine.cpu_seconds(self.dump_pid())
        return dump, machine.cpu_seconds(self.server.pid) - dump

    def stream(self, records: Records) -> str:
        """A new stream with those records in it."""
        name = f"dump-{next(self._numbers)}"
        content = {
            "stream_name": name,
            "partition_count": PARTITIONS,
            "data_type": "JSON",
            "data_schema": SCHEMA,
        }
        self._dis("POST", "streams", content)
        uvloop.run(send_all(self.port, self._puts(name, records), 200, 4))
        if (there := sum(self.ends(name))) != records.count:
            raise Died(f"{there} of {records.count} records were put")
        return name

    def _puts(self, stream: str, records: Records) -> Iterator[bytes]:
        headers = {**self.headers, "Content-Type": "application/json"}
        path = f"/v2/{self.project}/records"
        every = iter(records)
        turn = itertools.count()
        while some := list(itertools.islice(every, self._fill)):
            entries = [{"data": data, "partition_key": f"device-{next(turn) % 1000:04d}"} for data in some]
            body = msgspec.json.encode({"stream_name": stream, "records": entries})
            yield payloads.http_request("POST", path, headers, body)

    def create_task(self, stream: str, task: str, place: str) -> None:
        self._dis("POST", f"streams/{stream}/transfer-tasks", self.destination.body(task, place))

    def task(self, stream: str, task: str) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(
            self._dis("GET", f"streams/{stream}/transfer-tasks/{task}"), type=dict
        )
        if found["state"] in ("ABNORMAL", "ERROR"):
            raise Died(f"{self.destination.name}: {found.get('state_reason')}\n{self.server.tail()}")
        return found

    def delete_task(self, stream: str, task: str) -> None:
        self._dis("DELETE", f"streams/{stream}/transfer-tasks/{task}")

    def deliver(self, stream: str, place: str) -> tuple[float, dict[str, Any]]:
        """Have a new task deliver the whole stream: seconds from before its creation to its last commit, and its details then."""
        task = f"task-{place}"
        began = time.time()
        self.create_task(stream, task, place)
        while (found := self.task(stream, task))["lag"]["records"]:
            if time.time() - began > GIVE_UP_SECONDS:
                raise Died(
                    f"{self.destination.name}: not delivered within {GIVE_UP_SECONDS:g} s: {found['lag']}"
                )
            time.sleep(0.1)
        self.delete_task(stream, task)
        return found["last_transfer_timestamp"] / 1000 - began, found


def allowed() -> set[int]:
    """The cores of both sides."""
    return set(machine.cores())


def hold(pid: int, cores: set[int], *, tree: bool = True) -> None:
    """Keep every thread there is of a process on those cores."""
    for each in machine.tree(pid) if tree else [pid]:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{each}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread.name), cores)


# -- throughput -----------------------------------------------------------------------------------------


def throughput(
    server: Server, scale: Scale, samples: Path | None, say: Callable[[str], None]
) -> tuple[Row, Counter[str]]:
    """Everything about one destination, and where the dump process's time went if it writes samples; the server runs."""
    destination = server.destination
    warm, records = (
        Records(WARM, destination.size),
        Records(int(scale.records * destination.share), destination.size),
    )
    destination.make("warm")
    first, _ = server.deliver(server.stream(warm), "warm")
    say(f"{destination.title}: putting {records.count:,} records")
    stream = server.stream(records)
    destination.own(warm, "ownwarm")
    deliveries: list[Delivery] = []
    spent = Counter[str]()
    own: list[Own] = []
    wrong: list[str] = []
    found: dict[str, Any] = {}
    for number in range(scale.rounds):
        place = f"round{number}"
        destination.make(place)
        say(f"{destination.title}: delivery {number + 1} of {scale.rounds}")
        os.sync()
        known = Counter[str]() if samples is None else _spent(samples, server)
        before = server.cpu()
        machine.reset_peak_rss(server.dump_pid())
        seconds, found = server.deliver(stream, place)
        dump, engine = (after - start for after, start in zip(server.cpu(), before, strict=True))
        deliveries.append(Delivery(seconds, dump, engine, machine.peak_rss_mb(server.dump_pid())))
        if samples is not None:
            spent += _spent(samples, server) - known
        problem = destination.check(place, records)
        if passed := sum(part["discard"] for part in found["partitions"]):
            problem = f"{passed} records were passed over"
        if problem:
            wrong.append(f"{destination.name}: {problem}")
        destination.remove(place)
        own.append(destination.own(records, place))
    middle = sorted(deliveries, key=lambda one: one.seconds)[len(deliveries) // 2]
    millions = records.count / 1e6
    row = Row(
        name=destination.name,
        title=destination.title,
        records=records.count,
        size=records.size,
        rate=records.count / middle.seconds,
        mb=records.total / middle.seconds / 1e6,
        own_mb=statistics.median(one.mb for one in own),
        own=own[0].what,
        dump_cpu=middle.dump_cpu / millions,
        server_cpu=middle.server_cpu / millions,
        dump_rss_mb=max(one.dump_rss_mb for one in deliveries),
        first_seconds=first,
        guarantee=found.get("guarantee", ""),
        deliveries=deliveries,
        wrong=wrong,
    )
    return row, spent


def _spent(samples: Path, server: Server) -> Counter[str]:
    time.sleep(2 * sampling.WRITE_EVERY)
    return sampling.read(samples, server.dump_pid())


# -- puts beside a dump ---------------------------------------------------------------------------------


class Busy:
    """Tasks that catch up with a backlog, one after the other, as long as this is entered."""

    def __init__(self, server: Server, stream: str, records: int) -> None:
        self._server = server
        self._stream = stream
        self._records = records
        self._numbers = itertools.count(1)
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._left: list[str] = []
        self._finished = 0
        self._seconds = 0.0
        self.wrong: list[str] = []

    def __enter__(self) -> Busy:
        self._stopped.clear()
        self._since = time.perf_counter()
        self._threads = [threading.Thread(target=self._run) for _ in range(TASKS_BESIDE)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds += time.perf_counter() - self._since
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for place in self._left:
            self._server.destination.remove(place)
        self._left.clear()

    def rate(self) -> float:
        """Records a second that all tasks together delivered; without the rounds that were cut off."""
        return self._finished / self._seconds

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._one(f"busy{next(self._numbers)}")
        except Exception as error:
            self.wrong.append(f"the dump beside puts: {error}")

    def _one(self, place: str) -> None:
        server, task = self._server, f"task-{place}"
        server.destination.make(place)
        self._left.append(place)
        server.create_task(self._stream, task, place)
        lag = self._records
        while lag and not self._stopped.wait(0.2):
            lag = server.task(self._stream, task)["lag"]["records"]
        self._finished += self._records - lag
        server.delete_task(self._stream, task)


def puts_beside(
    server: Server, scale: Scale, share: float, dump_cores: set[int], say: Callable[[str], None]
) -> list[Beside]:
    """Each kind of put without and with the dump, by turns; the server runs, held on its core."""
    destination = server.destination
    server_core, load_core = machine.cores()
    destination.make("warm2")
    server.deliver(server.stream(Records(WARM, destination.size)), "warm2")
    records = Records(
        scale.records // 4, destination.size
    )  # a round of some seconds, so that some end in a window
    say(f"{destination.title}: putting {records.count:,} records, a backlog for the dump beside puts")
    backlog = server.stream(records)
    hold(server.server.pid, {server_core}, tree=False)
    for pid in destination.pids():
        hold(pid, {load_core})
    rows = []
    for case in PUTS:
        stream, requests = server.prepare(case)
        most = server.load(case, (stream, requests), 3.0).rate / case.records
        rate = most * share
        spec = Spec(server.port, str(requests), rate, scale.seconds, 64)
        say(f"{destination.title}: {case.name}, {rate:,.0f} puts/s of the {most:,.0f}/s it can do")
        windows: list[dict[str, Any]] = []
        busy = Busy(server, backlog, records.count)
        paced(replace(spec, seconds=1.0), load_core)
        for number in range(scale.windows):
            for beside in (False, True) if number % 2 else (True, False):
                with busy if beside else contextlib.nullcontext():
                    if beside:
                        time.sleep(1.0)  # both tasks are at work
                        hold(server.dump_pid(), dump_cores)
                    windows.append(_window(server, spec, load_core) | {"beside": beside})
                os.sync()
                time.sleep(0.5)
        rows.append(_beside(destination, case, rate, windows, busy))
        requests.unlink()
    return rows


def _window(server: Server, spec: Spec, core: int) -> dict[str, Any]:
    before = server.cpu()
    began = time.perf_counter()
    found = paced(spec, core)
    wall = time.perf_counter() - began
    dump, engine = (after - start for after, start in zip(server.cpu(), before, strict=True))
    return found | {"dump_cpu": dump / wall, "server_cpu": engine / wall}


def _beside(
    destination: Destination, case: Case, rate: float, windows: list[dict[str, Any]], busy: Busy
) -> Beside:
    by_kind = {kind: [window for window in windows if window["beside"] is kind] for kind in (False, True)}

    def latency(kind: bool) -> dict[str, float]:
        """Of each window, then the median of the windows."""
        return {
            name: statistics.median(percentile(window["latencies_us"], at) for window in by_kind[kind]) / 1e3
            for name, at in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
        }

    def middle(kind: bool, name: str) -> float:
        return float(statistics.median(window[name] for window in by_kind[kind]))

    shown = [
        {key: value for key, value in window.items() if key != "latencies_us"}
        | {
            f"{name}_ms": percentile(window["latencies_us"], at) / 1e3
            for name, at in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        }
        for window in windows
    ]
    return Beside(
        destination=destination.name,
        case=case.name,
        puts_per_second=rate,
        alone_ms=latency(False),
        beside_ms=latency(True),
        delivered_per_second=busy.rate(),
        dump_cpu=middle(True, "dump_cpu"),
        server_cpu=middle(True, "server_cpu"),
        server_cpu_alone=middle(False, "server_cpu"),
        windows=shown,
        wrong=busy.wrong + [f"{case.name}: {window['wrong']}" for window in windows if window["wrong"]],
    )


# -- the command ----------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.dumps", description="Measure Penstock's dump tasks."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the records, nothing that needs Java; under 3 minutes",
    )
    parser.add_argument(
        "--destinations",
        help="a comma between their names, or a part of them: folder,postgres; none: puts only",
    )
    parser.add_argument("--list", action="store_true", help="name the destinations and end")
    parser.add_argument("--records", type=int, help="records of 200 B; slow destinations get a share of them")
    parser.add_argument(
        "--fill", type=int, default=FILL, help="records of a put that fills a stream (default %(default)s)"
    )
    parser.add_argument("--rounds", type=int, help="deliveries of each; the median counts")
    parser.add_argument(
        "--beside", default=",".join(BUSY), help="busy beside the puts (default %(default)s; none: no puts)"
    )
    parser.add_argument("--windows", type=int, help="how often puts are measured without and with a dump")
    parser.add_argument("--seconds", type=float, help="how long each time")
    parser.add_argument(
        "--share",
        type=float,
        default=0.5,
        help="rate of the puts, of what the server can do (default %(default)g)",
    )
    parser.add_argument(
        "--dump-cores",
        choices=("both", "server", "load"),
        default="both",
        help="where the dump may run beside puts (default both)",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="where the dump process's time goes; figures are lower meanwhile",
    )
    parser.add_argument("--data-root", type=Path, help="where data is kept, on a real disk")
    parser.add_argument(
        "--results", type=Path, default=Path(__file__).with_name("results"), help="where dumps.json goes"
    )
    return parser.parse_args(argv)


def chosen(words: str | None, fallback: Sequence[type[Destination]]) -> list[type[Destination]]:
    """The destinations that are called, or have in their name, one of the words."""
    if words is None:
        return list(fallback)
    wanted = [word for word in words.split(",") if word and word != "none"]
    names = {kind.name for kind in destinations.ALL}
    found = [
        kind
        for kind in destinations.ALL
        if any(word == kind.name if word in names else word in kind.name for word in wanted)
    ]
    if wanted and not found:
        raise Died(f"no destination is called {words}; --list names them")
    return found


@contextlib.contextmanager
def running(
    kind: type[Destination], root: Path, environment: dict[str, str], fill: int = FILL
) -> Iterator[Server]:
    """The destination and Penstock, until left."""
    directory = Path(tempfile.mkdtemp(prefix="dumps-", dir=root))
    destination = kind(directory)
    try:
        destination.start()
        server = Server(destination, environment, fill)
        try:
            server.install()
            server.start(directory, *machine.cores())
            yield server
        finally:
            server.stop()
            destination.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(asked: argparse.Namespace, scale: Scale, root: Path, console: Console) -> dict[str, Any]:
    """Everything that was asked for."""

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False)

    fallback = [kind for kind in destinations.ALL if not (asked.quick and kind.heavy)]
    rows: list[Row] = []
    beside: list[Beside] = []
    profiles: dict[str, Any] = {}
    samples = Path(tempfile.mkdtemp(prefix="samples-", dir=root))
    environment = sampling.environment(samples) if asked.profile else {}
    cores = dict(zip(("server", "load"), machine.cores(), strict=True))
    dump_cores = {cores[asked.dump_cores]} if asked.dump_cores in cores else set(cores.values())
    try:
        for kind in chosen(asked.destinations, fallback):
            with running(kind, root, environment, asked.fill) as server:
                row, spent = throughput(server, scale, samples if asked.profile else None, say)
                rows.append(row)
                if asked.profile:
                    profiles[kind.name] = show_profile(console, kind.title, spent)
        for kind in chosen(asked.beside, ()):
            with running(kind, root, environment, asked.fill) as server:
                beside += puts_beside(server, scale, asked.share, dump_cores, say)
    finally:
        shutil.rmtree(samples, ignore_errors=True)
    reached = show(console, rows, beside)
    return {
        "throughput": [asdict(row) | {"ratio": row.ratio} for row in rows],
        "beside": [asdict(one) | {"slowed": one.slowed} for one in beside],
        "profiles": profiles,
        "reached": reached,
        "rows": rows,
    }


def main(argv: Sequence[str] | None = None) -> int:
    asked = arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 170)
    if asked.list:
        for kind in destinations.ALL:
            console.print(f"{kind.name:18} {kind.title}{' (Java)' if kind.heavy else ''}", highlight=False)
        return 0
    scale = QUICK if asked.quick else FULL
    given = {name: getattr(asked, name) for name in Scale.__slots__ if getattr(asked, name) is not None}
    scale = Scale(**{name: getattr(scale, name) for name in Scale.__slots__} | given)
    root = asked.data_root or machine.cache()
    # Ended politely, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    facts = machine.facts(root)
    try:
        found = measure(asked, scale, root, console)
    except (machine.Missing, Died) as error:
        console.print(f"[red]bench.dumps:[/] {error}", highlight=False)
        return 1
    asked.results.mkdir(parents=True, exist_ok=True)
    rows = found.pop("rows")
    reached: bool = found["reached"]
    file = asked.results / "dumps.json"
    file.write_text(
        json.dumps({"facts": facts | {"load_after": round(os.getloadavg()[0], 2)}, **found}, indent=1) + "\n"
    )
    console.print(f"written: {file}")
    if rows and plot(file.with_suffix(".png"), rows):
        console.print(f"written: {file.with_suffix('.png')}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
