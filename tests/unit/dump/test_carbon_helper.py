"""The Carbon writer around its Java: what it needs, how it is built, what happens when it dies (design.md: `carbon` needs a JVM, and a
task is refused where there is none). The Java itself is tested in tests/integration/dump/test_carbon.py."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.support.carbon import program, stand_in
from tests.support.tasks import idle_jdk

from penstock.dump import carbon_build, carbon_helper
from penstock.dump.base import NotDelivered
from penstock.dump.carbon_build import Builder
from penstock.dump.carbon_helper import CarbonHelper, Column, ColumnType, check_carbon
from penstock.dump.formats.carbon import FRAME_BYTES, MOST_ROWS, column_names, columns_of, frames_of
from penstock.errors import ApiError
from penstock.model.tasks import (
    AnyDescriptor,
    ConsumerStrategy,
    DliDescriptor,
    FileType,
    MrsDescriptor,
    ObsDescriptor,
)

COLUMNS = [Column("a", ColumnType.TEXT)]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No programs and no cache but what the test makes; answers JAVA_HOME, where it can put some."""
    home = tmp_path / "jdk"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "no-home"))
    return home


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def obs(kind: FileType = FileType.CARBON) -> ObsDescriptor:
    return ObsDescriptor(
        task_name="t",
        agency_name="dis_admin_agency",
        deliver_time_interval=30,
        consumer_strategy=ConsumerStrategy.TRIM_HORIZON,
        retry_duration=0,
        obs_bucket_path="lake",
        file_prefix="",
        partition_format="",
        destination_file_type=kind,
        record_delimiter="\n",
        processing_schema=None,
    )


def mrs(kind: FileType = FileType.CARBON) -> MrsDescriptor:
    return MrsDescriptor(
        task_name="t",
        agency_name="dis_admin_agency",
        deliver_time_interval=30,
        consumer_strategy=ConsumerStrategy.TRIM_HORIZON,
        retry_duration=0,
        mrs_cluster_name="c",
        mrs_cluster_id="i",
        mrs_hdfs_path="/user",
        hdfs_prefix_folder="",
        obs_bucket_path="lake",
        file_prefix="",
        destination_file_type=kind,
        record_delimiter="\n",
    )


def built(parent: Path) -> Path:
    """What a build leaves, empty."""
    directory = parent / carbon_build._directory()
    directory.mkdir(parents=True)
    return directory


class TestWhatItNeeds:
    """DIS.4200 when a task is made where nothing can make its files."""

    @pytest.mark.parametrize("descriptor", [obs(), mrs()], ids=["OBS", "MRS"])
    def test_refused_without_java_and_maven(self, descriptor: AnyDescriptor, data: Path) -> None:
        with pytest.raises(ApiError) as refused:
            check_carbon(descriptor, data)
        assert refused.value.code == "DIS.4200"
        kind = descriptor.kind.lower()
        assert f"[{kind}_destination_descriptor.destination_file_type: carbon needs a JDK and Maven" in str(
            refused.value
        )
        assert "apt-get install default-jdk-headless maven" in str(refused.value)
        assert "java, javac, mvn" in str(refused.value)

    def test_names_what_is_not_there(self, bare: Path, data: Path) -> None:
        idle_jdk(bare)
        (bare / "bin" / "mvn").unlink()
        with pytest.raises(ApiError, match=r"not found: mvn\)"):
            check_carbon(obs(), data)

    def test_programs_are_looked_for_and_not_run(self, bare: Path, data: Path, tmp_path: Path) -> None:
        for name in ("java", "javac", "mvn"):
            program(bare / "bin", name, f"#!/bin/sh\n: >{tmp_path}/ran\n")
        check_carbon(obs(), data)
        check_carbon(mrs(), data)
        assert not (tmp_path / "ran").exists()
        assert list(data.iterdir()) == []

    @pytest.mark.parametrize("kind", [FileType.TEXT, FileType.CSV, FileType.PARQUET])
    def test_other_files_need_nothing(self, kind: FileType, data: Path) -> None:
        check_carbon(obs(kind), data)
        check_carbon(mrs(kind), data)

    def test_other_destinations_need_nothing(self, data: Path) -> None:
        check_carbon(
            DliDescriptor(
                task_name="t",
                agency_name="a",
                deliver_time_interval=30,
                consumer_strategy=ConsumerStrategy.LATEST,
                retry_duration=0,
                dli_database_name="d",
                dli_table_name="t",
                obs_bucket_path="b",
                file_prefix="",
            ),
            data,
        )

    @pytest.mark.parametrize("place", ["data", "cache"])
    def test_once_built_java_is_enough(self, place: str, bare: Path, data: Path, tmp_path: Path) -> None:
        """A build may be copied to a machine without Maven and without a way out."""
        (tmp_path / "cache").mkdir()
        directory = built(data / "jvm" if place == "data" else tmp_path / "cache" / "penstock" / "jvm")
        with pytest.raises(ApiError, match="carbon needs Java: apt-get install"):
            check_carbon(obs(), data)
        idle_jdk(bare)
        (bare / "bin" / "mvn").unlink()
        check_carbon(obs(), data)
        assert Builder(data).directory() == directory

    def test_a_build_of_other_sources_does_not_count(self, data: Path) -> None:
        (data / "jvm" / "carbon-writer-0123456789abcdef").mkdir(parents=True)
        assert carbon_build.find(data) is None

    def test_the_sources_are_there(self) -> None:
        assert (carbon_build.sources() / "pom.xml").is_file()
        assert (carbon_build.sources() / "src/main/java/penstock/carbon/Main.java").is_file()


GOOD_MAVEN = """#!/bin/sh
echo "$@" >>"$JAVA_HOME/calls"
/bin/test -f pom.xml -a -f src/main/java/penstock/carbon/Main.java || exit 9
while /bin/test ! -e "$JAVA_HOME/go"; do /bin/sleep 0.02; done
/bin/mkdir -p target/classes lib
"""
BAD_MAVEN = """#!/bin/sh
echo "[INFO] Scanning" ; echo "[ERROR] Could not resolve org.apache.carbondata:carbondata-sdk" ; echo "[ERROR] more"
exit 1
"""


class TestBuild:
    """A delivery does not wait for it: NotDelivered says what goes on, and it is tried again."""

    def test_goes_on_in_the_background(self, bare: Path, data: Path) -> None:
        idle_jdk(bare)
        program(bare / "bin", "mvn", GOOD_MAVEN)
        builder = Builder(data)
        for _ in range(3):
            with pytest.raises(NotDelivered, match=r"^building the Carbon writer"):
                builder.directory()
        (bare / "go").touch()
        builder.wait()
        directory = builder.directory()
        assert directory.parent == data / "jvm"
        assert (directory / "lib").is_dir()
        (call,) = (bare / "calls").read_text().splitlines()
        assert "dependency:copy-dependencies" in call
        assert [path.name for path in directory.parent.glob("*.draft-*")] == []

    def test_goes_to_the_users_cache(self, bare: Path, data: Path, tmp_path: Path) -> None:
        (tmp_path / "cache").mkdir()
        idle_jdk(bare)
        program(bare / "bin", "mvn", GOOD_MAVEN)
        (bare / "go").touch()
        builder = Builder(data)
        with pytest.raises(NotDelivered, match="building"):
            builder.directory()
        builder.wait()
        assert builder.directory().parent == tmp_path / "cache" / "penstock" / "jvm"
        assert Builder(tmp_path / "other").directory() == builder.directory()

    def test_two_servers_build_it_once(self, bare: Path, data: Path) -> None:
        idle_jdk(bare)
        program(bare / "bin", "mvn", GOOD_MAVEN)
        builders = [Builder(data), Builder(data)]
        for builder in builders:
            with pytest.raises(NotDelivered):
                builder.directory()
        (bare / "go").touch()
        for builder in builders:
            builder.wait()
        assert builders[0].directory() == builders[1].directory()
        assert len((bare / "calls").read_text().splitlines()) == 1

    def test_failing_says_why_and_is_tried_again_later(
        self, bare: Path, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        idle_jdk(bare)
        program(bare / "bin", "mvn", BAD_MAVEN)
        builder = Builder(data)
        with pytest.raises(NotDelivered, match="building"):
            builder.directory()
        builder.wait()
        for _ in range(2):
            with pytest.raises(NotDelivered) as failed:
                builder.directory()
            assert "Could not resolve org.apache.carbondata:carbondata-sdk" in str(failed.value)
            assert str(data / "jvm" / "carbon-writer.log") in str(failed.value)
        assert [path for path in (data / "jvm").iterdir() if path.is_dir()] == []
        program(bare / "bin", "mvn", GOOD_MAVEN)
        (bare / "go").touch()
        monkeypatch.setattr(builder, "_again", 0.0)
        with pytest.raises(NotDelivered, match="building"):
            builder.directory()
        builder.wait()
        assert builder.directory().is_dir()

    def test_closing_ends_it(self, bare: Path, data: Path) -> None:
        idle_jdk(bare)
        program(bare / "bin", "mvn", GOOD_MAVEN)
        builder = Builder(data)
        with pytest.raises(NotDelivered):
            builder.directory()
        while not (bare / "calls").exists():
            threading.Event().wait(0.01)
        builder.close()
        builder.wait()
        assert carbon_build.find(data) is None

    def test_gone_programs_are_not_delivered(self, data: Path) -> None:
        """The JDK was there when the task was made."""
        with pytest.raises(NotDelivered, match="carbon needs a JDK and Maven"):
            Builder(data).directory()


@pytest.fixture
def helper(bare: Path, data: Path) -> Iterator[CarbonHelper]:
    """A helper that is the stand-in."""
    stand_in(bare)
    built(data / "jvm")
    made = CarbonHelper(data)
    yield made
    made.close()


Make = Callable[..., dict[str, bytes]]


@pytest.fixture
def make(helper: CarbonHelper) -> Make:
    def made(*frames: bytes) -> dict[str, bytes]:
        files = helper.make(COLUMNS, iter(frames))
        return {name: body.bytes() for name, body in files}

    return made


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class TestProcess:
    """One process that stays, and is started again when it is gone."""

    def test_one_process_makes_all_files(self, make: Make, helper: CarbonHelper) -> None:
        assert helper.pid() is None
        first = make(b"one", b"two")
        assert first["part-0.carbondata"] == b"onetwo"
        assert list(first) == ["part-0.carbondata", "0.carbonindex"]
        assert make(b"three")["0.carbonindex"] == first["0.carbonindex"] == str(helper.pid()).encode()

    def test_dying_in_the_middle_is_not_delivered(self, make: Make, helper: CarbonHelper) -> None:
        with pytest.raises(NotDelivered) as died:
            make(b"die")
        assert "ended in the middle of its work: exit code 3: OutOfMemoryError: Java heap space" in str(
            died.value
        )
        assert helper.pid() is None
        assert make(b"again")["part-0.carbondata"] == b"again"

    def test_killed_while_rows_are_sent(self, helper: CarbonHelper) -> None:
        def frames() -> Iterator[bytes]:
            yield b"some"
            pid = helper.pid()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            for _ in range(100):
                yield b"x" * 65536

        with pytest.raises(NotDelivered, match="exit code -9"):
            helper.make(COLUMNS, frames())
        assert helper.make(COLUMNS, iter([b"a"]))[0].body.bytes() == b"a"

    def test_killed_between_requests_is_not_noticed(self, make: Make, helper: CarbonHelper) -> None:
        make(b"one")
        pid = helper.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while helper.pid() is not None:
            threading.Event().wait(0.01)
        assert make(b"two")["part-0.carbondata"] == b"two"
        assert helper.pid() != pid

    def test_refusing_leaves_it_alive(self, make: Make, helper: CarbonHelper) -> None:
        make(b"one")
        pid = helper.pid()
        with pytest.raises(NotDelivered) as refused:
            make(b"refuse")
        assert str(refused.value) == "the Carbon writer: IllegalArgumentException: no such type"
        make(b"two")
        assert helper.pid() == pid

    def test_hanging_ends_it(self, make: Make, helper: CarbonHelper, monkeypatch: pytest.MonkeyPatch) -> None:
        make(b"one")
        monkeypatch.setattr(carbon_helper, "REQUEST_SECONDS", 0.2)
        with pytest.raises(NotDelivered, match=r"no answer within 0\.2 s"):
            make(b"hang")

    def test_rows_that_cannot_be_made_end_it(self, helper: CarbonHelper) -> None:
        """Half a request is on the wire then."""

        def frames() -> Iterator[bytes]:
            yield b"some"
            raise RuntimeError("a bug")

        with pytest.raises(RuntimeError, match="a bug"):
            helper.make(COLUMNS, frames())
        assert helper.pid() is None
        assert helper.make(COLUMNS, iter([b"a"]))[0].body.bytes() == b"a"

    def test_ends_when_nobody_uses_it(
        self, make: Make, helper: CarbonHelper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(carbon_helper, "IDLE_SECONDS", 0.05)
        make(b"one")
        while helper.pid() is not None:
            threading.Event().wait(0.01)
        assert make(b"two")["part-0.carbondata"] == b"two"

    def test_closing_leaves_nothing(
        self, make: Make, helper: CarbonHelper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
        (tmp_path / "tmp").mkdir()
        make(b"one")
        pid = helper.pid()
        assert pid is not None
        helper.close()
        assert ended(pid)
        assert list((tmp_path / "tmp").iterdir()) == []

    def test_threads_take_turns(self, make: Make) -> None:
        answers: dict[int, bytes] = {}

        def use(number: int) -> None:
            answers[number] = make(str(number).encode())["part-0.carbondata"]

        threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {number: str(number).encode() for number in range(8)}


class TestColumns:
    """What Carbon has of names and types, and how rows are cut."""

    def test_names(self) -> None:
        given = ["userId", "userid", "USERID", "userid_2", "a.b", "a,b", "größe", "", "ok_1"]
        names = ["userid", "userid_2", "userid_3", "userid_2_2", "a_b", "a_b_2", "größe", "_", "ok_1"]
        assert column_names(given) == names

    def test_decimals(self) -> None:
        """Carbon's have 38 digits at most."""
        schema = pa.schema([("a", pa.decimal128(38, 3)), ("b", pa.decimal256(39, 3))])
        assert columns_of(schema) == [Column("a", ColumnType.DECIMAL, 38, 3), Column("b", ColumnType.TEXT)]

    def test_frames_of_small_rows(self) -> None:
        table = pa.table({"n": pa.array(range(2 * MOST_ROWS + 5), pa.int64())})
        assert [rows_of(frame) for frame in frames_of(table)] == [MOST_ROWS, MOST_ROWS, 5]

    def test_frames_of_large_rows(self) -> None:
        """A frame has to fit into the helper's memory; a row is not cut."""
        texts = ["x" * (FRAME_BYTES // 4)] * 10 + ["y" * (2 * FRAME_BYTES)] + ["z"] * 3
        frames = list(frames_of(pa.table({"text": texts})))
        assert sum(map(rows_of, frames)) == len(texts)
        assert all(len(frame) <= FRAME_BYTES + 1000 or rows_of(frame) == 1 for frame in frames)

    def test_bytes_of_a_frame(self) -> None:
        """Columns.java: nulls, then values; texts from offsets that begin at 0 whatever was before them."""
        table = pa.table({"t": ["ab", None, "c", ""], "n": pa.array([1, 2, None, 3], pa.int32())}).slice(1)
        (frame,) = frames_of(table)
        assert frame.hex(" ", -4).replace(" ", "") == (
            "03000000"
            "01000101" "00000000" "00000000" "01000000" "01000000" "63"
            "01010001" "02000000" + frame[-8:-4].hex() + "03000000"
        )  # fmt: skip


def rows_of(frame: bytes) -> int:
    return int.from_bytes(frame[:4], "little")
