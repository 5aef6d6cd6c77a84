"""Carbon files by the real writer, read back by the reader of the same library (5.5.1 table 5-83, `destination_file_type`)."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartServer
from tests.support import tools
from tests.support.dump_files import obs_descriptor
from tests.support.maven import NEEDS
from tests.support.rounds import Crash, MadeRound, make_round, make_stream
from tests.support.tasks import body_of, create
from tests.support.wire import Wire, refused

from penstock.destinations import Destinations
from penstock.dump.base import Chunk, Encoded, NotDelivered
from penstock.dump.carbon_helper import CarbonHelper, carbon_helper
from penstock.dump.destinations.base import Place
from penstock.dump.formats.carbon import CarbonFormat, columns_of, frames_of
from penstock.dump.sinks import open_sink
from penstock.model.tasks import FileType

pytestmark = pytest.mark.timeout(900)  # the first test builds the writer, on a new machine with downloads

ROWS = 10_000
SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "Reading",
        "fields": [
            {"name": "Id", "type": "long"},
            {"name": "ok", "type": "boolean"},
            {"name": "small", "type": "int"},
            {"name": "ratio", "type": "float"},
            {"name": "exact", "type": ["null", "double"]},
            {"name": "note", "type": ["null", "string"]},
            {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "fine", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
            {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
            {
                "name": "price",
                "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 4}],
            },
            {
                "name": "large",
                "type": {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 2},
            },
            {"name": "raw", "type": ["null", "bytes"]},
            {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
            {
                "name": "part",
                "type": ["null", {"type": "record", "name": "P", "fields": [{"name": "x", "type": "int"}]}],
            },
            {"name": "counts", "type": {"type": "map", "values": "int"}},
        ],
    }
)
AT = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.UTC)
DAY = dt.date(1969, 12, 1)
NOTES = ("", "\\N", "null", "naïve ☃ 🎈", '"quoted", with a comma', "line\nbreak")


def record(n: int) -> bytes:
    """Every type, every seventh record with nulls where there may be some."""
    null = n % 7 == 6
    fields = {
        "Id": (1 << 62) + n,
        "ok": n % 2 == 0,
        "small": -n,
        "ratio": n / 4,
        "exact": None if null else n / 10,
        "note": None if null else NOTES[n % len(NOTES)],
        "day": None if null else (DAY + dt.timedelta(n)).isoformat(),
        "at": int(AT.timestamp() * 1000) + n,
        "fine": None if null else int(AT.timestamp()) * 1_000_000 + n * 1001,
        "local": n,
        "price": None if null else f"-{n}.0625",
        "large": f"{n + 1}{'0' * 50}.25",
        "raw": None if null else "\u00ff\u0000",
        "clock": n,
        "tags": ["a", str(n)],
        "part": None if null else {"x": n},
        "counts": {"k": n},
    }
    return json.dumps(fields).encode()


def row(n: int) -> dict[str, Any]:
    """What a reader sees of it: names in lower case, no fraction below a millisecond, and text for what Carbon does not have."""
    null = n % 7 == 6
    return {
        "id": (1 << 62) + n,
        "ok": n % 2 == 0,
        "small": -n,
        "ratio": n / 4,
        "exact": None if null else n / 10,
        "note": None if null else NOTES[n % len(NOTES)],
        "day": None if null else str(DAY + dt.timedelta(n)),
        "at": shown(AT + dt.timedelta(milliseconds=n)),
        "fine": None if null else shown(AT + dt.timedelta(microseconds=n * 1001)),
        "local": shown(dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=n)),
        "price": None if null else str(-Decimal(n) - Decimal("0.0625")),
        "large": f"{n + 1}{'0' * 50}.25",
        "raw": None if null else "/wA=",
        "clock": str((dt.datetime.min + dt.timedelta(milliseconds=n)).time().isoformat("milliseconds")),
        "tags": json.dumps(["a", str(n)], separators=(",", ":")),
        "part": None if null else json.dumps({"x": n}, separators=(",", ":")),
        "counts": json.dumps({"k": n}, separators=(",", ":")),
    }


def shown(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def chunks_of(records: Sequence[bytes], first: int = 0, size: int = 100) -> list[Chunk]:
    return [
        Chunk(first + start, 1_700_000_000_000 + start, None, list(records[start : start + size]))
        for start in range(0, len(records), size)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory; what is built for it stays in the cache of tests, as other builds do."""
    for name in ("java", "javac", "mvn"):
        tools.find(name, needs=NEEDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tools.cache_directory()))
        yield tmp_path_factory.mktemp("carbon") / "data"


@pytest.fixture(scope="module")
def helper(data: Path) -> Iterator[CarbonHelper]:
    """The helper, built: the first use says that it is being built, and a later one finds it."""
    made = carbon_helper(data)
    try:
        made.builder.directory()
    except NotDelivered as waiting:
        assert str(waiting).startswith("building the Carbon writer")
        made.builder.wait()
    made.builder.directory()
    yield made
    made.close()


def write(encoded: Sequence[Encoded], directory: Path) -> Path:
    """The files as they would be in a bucket; the directory that they are in."""
    for one in encoded:
        file = directory / f"key{one.name}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(one.body.bytes())
    return file.parent


def rows(helper: CarbonHelper, directory: Path) -> list[dict[str, Any]]:
    names, *lines = map(json.loads, helper.read(directory))
    return [dict(zip(names, line, strict=True)) for line in lines]


@pytest.mark.services
class TestFiles:
    def test_ten_thousand_rows_of_all_types(self, helper: CarbonHelper, data: Path, tmp_path: Path) -> None:
        format_ = CarbonFormat(make_stream(schema=SCHEMA), data)
        encoded, rejects = format_.encode(chunks_of([record(n) for n in range(ROWS)]))
        assert rejects == []
        assert [(one.name.rpartition(".")[2], one.records) for one in encoded] == [
            ("carbondata", ROWS),
            ("carbonindex", 0),
        ]
        found = rows(helper, write(encoded, tmp_path))
        assert len(found) == ROWS
        for n, line in enumerate(found):
            assert line == row(n)

    def test_the_same_records_give_the_same_bytes(self, helper: CarbonHelper, data: Path) -> None:
        """`dump.base.Format`: also in another process, and however the records were appended. There is more than a page of them, with
        values for dictionaries that several threads would number differently."""
        format_ = CarbonFormat(make_stream(), data)
        records = [b'{"n": %d, "few": "%d", "many": "%d"}' % (n, n % 1000, n) for n in range(70_000)]
        first, _ = format_.encode(chunks_of(records))
        again, _ = format_.encode(chunks_of(records, size=777))
        pid = helper.pid()
        helper.close()
        anew, _ = format_.encode(chunks_of(records))
        assert helper.pid() not in (pid, None)
        expected = [(one.name, one.body.bytes()) for one in first]
        assert [(one.name, one.body.bytes()) for one in again] == expected
        assert [(one.name, one.body.bytes()) for one in anew] == expected

    def test_records_that_do_not_fit_are_rejected(
        self, helper: CarbonHelper, data: Path, tmp_path: Path
    ) -> None:
        format_ = CarbonFormat(make_stream(schema=SCHEMA), data)
        bad = {4: b"no JSON", 5: b'{"Id": "text"}'}
        encoded, rejects = format_.encode(chunks_of([bad.get(n, record(n)) for n in range(10)], first=1000))
        assert [(reject.sequence, reject.data) for reject in rejects] == [(1004, bad[4]), (1005, bad[5])]
        assert encoded[0].records == 8
        assert rows(helper, write(encoded, tmp_path)) == [row(n) for n in range(10) if n not in bad]

    def test_nothing_left_is_no_file(self, helper: CarbonHelper, data: Path) -> None:
        encoded, rejects = CarbonFormat(make_stream(schema=SCHEMA), data).encode(chunks_of([b"no JSON"] * 3))
        assert (encoded, len(rejects)) == ([], 3)

    def test_without_a_schema_columns_are_what_records_have(
        self, helper: CarbonHelper, data: Path, tmp_path: Path
    ) -> None:
        records = [
            {"n": 1, "userId": "a", "userid": "b", "with.point": 1.5, "a, b": True, "mixed": 1},
            {"n": None, "more": {"x": [1, None]}, "mixed": "text"},
        ]
        format_ = CarbonFormat(make_stream(), data)
        encoded, rejects = format_.encode(chunks_of([json.dumps(each).encode() for each in records]))
        assert rejects == []
        first, second = rows(helper, write(encoded, tmp_path))
        assert first == {
            "a__b": True, "mixed": "1", "more": None, "n": 1, "userid": "a", "userid_2": "b", "with_point": 1.5,
        }  # fmt: skip
        assert second == dict.fromkeys(first) | {"more": '{"x":[1,null]}', "mixed": "text"}

    def test_texts_of_a_megabyte(self, helper: CarbonHelper, data: Path, tmp_path: Path) -> None:
        """A record may have 1 MB (5.2.1); Carbon's own STRING ends at 32,000 bytes."""
        texts = [("ü" * 500_000) + str(n) for n in range(60)]
        format_ = CarbonFormat(make_stream(), data)
        records = [json.dumps({"text": text}, ensure_ascii=False).encode() for text in texts]
        encoded, rejects = format_.encode(chunks_of(records, size=10))
        assert rejects == []
        assert [line["text"] for line in rows(helper, write(encoded, tmp_path))] == texts

    @pytest.mark.parametrize("value", ["x", True, 1.5, 7])
    def test_a_single_column(self, helper: CarbonHelper, data: Path, tmp_path: Path, value: object) -> None:
        """Of any kind: the library keeps texts apart from numbers, and there may be none of one."""
        encoded, _ = CarbonFormat(make_stream(), data).encode(
            chunks_of([json.dumps({"v": value}).encode()] * 3)
        )
        assert rows(helper, write(encoded, tmp_path)) == [{"v": value}] * 3


@pytest.mark.services
class TestDying:
    def test_killed_in_the_middle(self, helper: CarbonHelper, data: Path) -> None:
        format_ = CarbonFormat(make_stream(schema=SCHEMA), data)
        chunks = chunks_of([record(n) for n in range(ROWS)])
        expected, _ = format_.encode(chunks)
        (table,) = format_._tables(chunks, [])

        def frames() -> Iterator[bytes]:
            for number, frame in enumerate(frames_of(table)):
                if number == 0:
                    pid = helper.pid()
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
                yield frame

        with pytest.raises(
            NotDelivered, match="the Carbon writer ended in the middle of its work: exit code -9"
        ):
            helper.make(columns_of(table.schema), frames())
        again, _ = format_.encode(chunks)
        assert [one.body.bytes() for one in again] == [one.body.bytes() for one in expected]

    @pytest.mark.parametrize("moment", ["idle", "in the middle"])
    def test_ends_with_its_parent(
        self, helper: CarbonHelper, data: Path, tmp_path: Path, moment: str
    ) -> None:
        program = f"""
import sys, time
from pathlib import Path
from penstock.dump.carbon_helper import Column, ColumnType, carbon_helper

def frames():
    if {moment!r} != "idle":
        print(helper.pid(), flush=True)
        time.sleep(600)
    yield bytes([1, 0, 0, 0, 0]) + bytes(8)

helper = carbon_helper(Path({str(data)!r}))
helper.make([Column("n", ColumnType.LONG)], frames())
print(helper.pid(), flush=True)
time.sleep(600)
"""
        work = tmp_path / "tmp"
        work.mkdir()
        parent = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(work)}
        )
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert list(work.iterdir()) != []
        parent.kill()
        parent.wait()
        until(lambda: not alive(pid))
        assert list(work.iterdir()) == []


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(met: Any) -> None:
    for _ in range(3000):
        if met():
            return
        time.sleep(0.02)
    raise AssertionError("not within a minute")


@pytest.mark.services
class TestDelivery:
    """Files that belong together: whatever happens between them, the next attempt leaves a directory that can be read."""

    @pytest.fixture
    def bucket(self, data: Path) -> Path:
        bucket = data / "obs" / "lake"
        bucket.mkdir(parents=True, exist_ok=True)
        return bucket

    @pytest.fixture
    def round_(self, request: pytest.FixtureRequest) -> MadeRound:
        descriptor = obs_descriptor(
            destination_file_type=FileType.CARBON, file_prefix=request.node.name[:30].replace("[", "-")
        )
        return make_round(descriptor, make_stream(schema=SCHEMA), {0: [record(n) for n in range(50)]})

    def deliver(self, round_: MadeRound, data: Path) -> None:
        async def run() -> None:
            place = Place(Destinations(), data, 10.0, "account")
            sink = open_sink(place, round_.task, round_.stream, "")
            try:
                await sink.deliver(round_)
            finally:
                await sink.close()

        asyncio.run(run())

    def directory(self, round_: MadeRound, bucket: Path) -> Path:
        return bucket / f"{round_.parts[0].planned.key}.carbon"

    def test_a_crash_between_data_and_index(
        self, helper: CarbonHelper, data: Path, bucket: Path, round_: MadeRound
    ) -> None:
        round_.crash_at = "visible"
        with pytest.raises(Crash):
            self.deliver(round_, data)
        (left,) = self.directory(round_, bucket).iterdir()
        assert left.suffix == ".carbondata"
        self.deliver(round_.again(epoch=2), data)
        assert rows(helper, self.directory(round_, bucket)) == [row(n) for n in range(50)]
        assert len(list(self.directory(round_, bucket).iterdir())) == 2

    def test_delivered_twice_is_the_same(
        self, helper: CarbonHelper, data: Path, bucket: Path, round_: MadeRound
    ) -> None:
        self.deliver(round_, data)
        files = {file.name: file.read_bytes() for file in self.directory(round_, bucket).iterdir()}
        self.deliver(round_.again(epoch=2), data)
        assert {file.name: file.read_bytes() for file in self.directory(round_, bucket).iterdir()} == files

    def test_retention_between_the_attempts(
        self, helper: CarbonHelper, data: Path, bucket: Path, round_: MadeRound
    ) -> None:
        """The first attempt put the data and died; then retention took records. What is left replaces it, and nothing stays beside."""
        round_.crash_at = "visible"
        with pytest.raises(Crash):
            self.deliver(round_, data)
        fewer = make_round(
            round_.task.descriptor, round_.stream, {0: [record(n) for n in range(20, 50)]}, missing={0: 20}
        )
        assert fewer.parts[0].planned == round_.parts[0].planned
        self.deliver(fewer, data)
        assert rows(helper, self.directory(round_, bucket)) == [row(n) for n in range(20, 50)]
        assert len(list(self.directory(round_, bucket).iterdir())) == 2


@pytest.mark.parametrize("sample", ["OBS", "MRS"])
def test_a_task_is_refused_without_java(start_server: StartServer, tmp_path: Path, sample: str) -> None:
    """DIS.4200 says what to install."""
    (tmp_path / "home").mkdir()
    bare = {"PATH": str(tmp_path), "JAVA_HOME": "", "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": ""}
    server = start_server(env=bare)
    with Wire.to(server) as wire:
        wire.call(
            "POST", "/streams", body={"stream_name": "clicks", "partition_count": 1, "data_type": "JSON"}
        )
        reply = create(wire, "clicks", body_of(sample, destination_file_type="carbon"))
        refused(reply, "DIS.4200", naming=f"{sample.lower()}_destination_descriptor.destination_file_type")
        assert "apt-get install default-jdk-headless maven" in reply.text
