"""What `penstock dump verify` finds (docs/dump-obs.md): nothing where all is well, and everything that was damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.dump_files import Picky, contents, obs_descriptor
from tests.support.rounds import make_round, make_stream, make_task

from penstock.dump import manifest as manifests
from penstock.dump.base import Chunk, NotDelivered
from penstock.dump.formats import make_format
from penstock.dump.sinks.files import FileSink
from penstock.dump.stores.folder import FolderStore
from penstock.dump.verify import Means, Report, Standing, Subject, verify
from penstock.model.dumps import error_key
from penstock.model.streams import DataType
from penstock.model.tasks import (
    AnyDescriptor,
    ConsumerStrategy,
    FileType,
    MrsDescriptor,
    ObsDescriptor,
    ProcessingSchema,
    TimestampType,
)

STREAM = make_stream(DataType.JSON, partitions=2)
NAME = "dumps/clicks-archive-task0000000000000001-shardId-000000000{}-{:020d}-{:020d}.txt"
FOLDER = "_manifests/clicks-archive-task0000000000000001"


class Lake:
    """A bucket that rounds are delivered into, a log, and what the task's details would say."""

    def __init__(self, folder: Path, descriptor: ObsDescriptor | MrsDescriptor) -> None:
        self.folder = folder
        # Of OBS tasks it is the same bucket.
        self.backup = folder if isinstance(descriptor, ObsDescriptor) else folder.with_name("backup")
        self.backup.mkdir(exist_ok=True)
        self.descriptor = descriptor
        self.log: dict[int, dict[int, bytes]] = {0: {}, 1: {}}
        self.discard = {0: 0, 1: 0}
        self.last = {0: -1, 1: -1}
        self.next = {0: 0, 1: 0}
        self.make: Any = make_format(
            descriptor.destination_file_type, descriptor.record_delimiter, STREAM, folder
        )
        self.rounds = 0
        self.progress: list[int] = []

    async def deliver(self, records: dict[int, Sequence[bytes]], missing: int = 0) -> None:
        """A round with these records, appended to the log; `missing` of partition 0 are gone before."""
        self.rounds += 1
        first = {number: max(self.next[number], self.last[number] + 1) for number in records}
        round_ = make_round(
            self.descriptor, STREAM, records, first=first, missing={0: missing}, number=self.rounds
        )
        obs = self.descriptor if isinstance(self.descriptor, ObsDescriptor) else None
        sink = FileSink(
            FolderStore(self.folder, "lake"),
            self.make,
            processing=obs.processing_schema if obs else None,
            partition_format=obs.partition_format if obs else "",
            zone=UTC,
            manifests=True,
        )
        await sink.deliver(round_)
        for part in round_.parts:
            number = part.planned.partition
            self.log[number] |= {one.sequence: one.data for one in part.batch.records()}
            self.discard[number] += round_.discards.get(number, 0) + part.batch.missing
            if len(round_.rejected.get(number, ())) < len(part.batch):
                # As rounds.RoundAtWork: a round that delivered nothing moves only the position.
                self.last[number] = part.planned.last
            self.next[number] = part.planned.last + 1
            if round_.rejected.get(number):
                path = self.backup / error_key(round_.task, STREAM.name, part.planned)
                path.parent.mkdir(exist_ok=True, parents=True)
                path.write_bytes(b"\n".join(reject.data for reject in round_.rejected[number]))

    def read(self, partition: int, first: int, last: int) -> list[Chunk]:
        found = [number for number in sorted(self.log[partition]) if first <= number <= last]
        # As pages of GetRecords: a few at a time.
        pages = [found[start : start + 2] for start in range(0, len(found), 2)]
        return [Chunk(page[0], 1, None, [self.log[partition][number] for number in page]) for page in pages]

    async def check(
        self, descriptor: AnyDescriptor | None = None, *, quick: bool = False
    ) -> tuple[list[tuple[str, str]], Report]:
        """What differs, as what and where; and the whole report."""
        standings = {
            number: Standing(self.last[number], self.discard[number], min(self.log[number], default=None))
            for number in self.last
        }
        task = make_task(descriptor or self.descriptor, STREAM)
        store, backup = FolderStore(self.folder, "lake"), FolderStore(self.backup, "backup")
        means = Means(store, backup, self.make, UTC, None if quick else self.read, self)
        report = await verify(Subject(STREAM, task, standings), means)
        return [(one.what, one.where) for one in report.differences], report

    # dump.verify.Progress

    def begin(self, total: int) -> None:
        self.progress = [total, 0]

    def advance(self, done: int) -> None:
        self.progress[1] += done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lake").mkdir()
    return tmp_path / "lake"


@pytest.fixture
async def lake(folder: Path) -> Lake:
    """Two rounds: partition 0 has records 0..2 and 3..4, partition 1 has 0."""
    made = Lake(folder, obs_descriptor())
    await made.deliver({0: [b"a", b"b", b"c"], 1: [b"x"]})
    await made.deliver({0: [b"d", b"e"]})
    return made


async def test_all_is_well(lake: Lake) -> None:
    differences, report = await lake.check()
    assert differences == [] and report.notes == []
    assert (report.rounds, report.files, report.records) == (2, 3, 6)
    assert (report.bytes, report.compared, report.gone) == (12, 6, 0)
    assert lake.progress == [12, 12]


async def test_a_task_that_has_delivered_nothing(folder: Path) -> None:
    differences, report = await Lake(folder, obs_descriptor()).check()
    assert differences == [] and report.rounds == 0


async def test_what_the_log_has_no_more_is_checked_by_checksum(lake: Lake) -> None:
    lake.log[0] = {number: data for number, data in lake.log[0].items() if number >= 2}
    lake.log[1] = {}
    differences, report = await lake.check()
    assert differences == []
    # Records 2..4: of the first file its end.
    assert (report.compared, report.gone) == (3, 3)


def replaced(key: str, data: bytes) -> Callable[[Lake], None]:
    def damage(lake: Lake) -> None:
        assert (lake.folder / key).exists()
        (lake.folder / key).write_bytes(data)

    return damage


def removed(key: str) -> Callable[[Lake], None]:
    return lambda lake: (lake.folder / key).unlink()


def changed(lake: Lake, key: str, change: Callable[[manifests.Manifest], manifests.Manifest]) -> None:
    path = lake.folder / key
    path.write_bytes(manifests.encode(change(manifests.decode(path.read_bytes()))).bytes())


def log_says(number: int, data: bytes) -> Callable[[Lake], None]:
    return lambda lake: lake.log[0].update({number: data})


FIRST, SECOND, OTHER = NAME.format(0, 0, 2), NAME.format(0, 3, 4), NAME.format(1, 0, 0)
PARTITION = "shardId-0000000000"


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (removed(FIRST), [("missing", FIRST)]),
        (replaced(FIRST, b"a\nb\n"), [("size", FIRST)]),
        (replaced(FIRST, b"a\nB\nc\n"), [("checksum", FIRST)]),
        (
            removed(f"{FOLDER}/000000000001.json"),
            # Partition 1 has no manifest any more at all.
            [("gap", "shardId-0000000001"), ("unnamed", FIRST), ("unnamed", OTHER)],
        ),
        (removed(f"{FOLDER}/000000000002.json"), [("gap", PARTITION), ("unnamed", SECOND)]),
        (replaced(f"{FOLDER}/000000000002.json", b"{"), [("manifest", ""), ("gap", ""), ("unnamed", "")]),
        (log_says(1, b"other"), [("content", FIRST)]),
        (log_says(4, b"f"), [("content", SECOND)]),
        (lambda lake: lake.log[0].pop(1), [("records", PARTITION), ("content", FIRST)]),
        (lambda lake: lake.last.update({0: 7}), [("gap", PARTITION)]),
    ],
    ids=lambda value: "" if callable(value) else "-".join(what for what, _ in value),
)
async def test_damage_is_found(
    lake: Lake, damage: Callable[[Lake], object], found: list[tuple[str, str]]
) -> None:
    damage(lake)
    differences, _ = await lake.check()
    assert [what for what, _ in differences] == [what for what, _ in found]
    assert all(expected in ("", where) for (_, where), (_, expected) in zip(differences, found, strict=True))


async def test_the_tail_that_the_log_still_has_is_compared(lake: Lake) -> None:
    lake.log[0] = {2: b"C", 3: b"d", 4: b"e"}
    assert (await lake.check())[0] == [("content", FIRST)]


async def test_quick_looks_at_names_sizes_and_ranges(lake: Lake) -> None:
    replaced(FIRST, b"a\nB\nc\n")(lake)
    differences, report = await lake.check(quick=True)
    assert differences == [] and (report.files, report.compared) == (3, 0)
    assert lake.progress == [12, 12]
    replaced(FIRST, b"")(lake)
    assert (await lake.check(quick=True))[0] == [("size", FIRST)]


async def test_ranges_that_overlap(lake: Lake) -> None:
    lake.last[0], lake.next[0] = 3, 0
    await lake.deliver({0: [b"e"]})
    differences, report = await lake.check()
    assert ("overlap", PARTITION) in differences
    assert "records 4 to 4 are in rounds 2 and 3" in [one.text for one in report.differences]


async def test_a_file_in_the_prefix_that_nobody_wrote_is_not_ours(lake: Lake) -> None:
    (lake.folder / "dumps/somebody.txt").write_bytes(b"")
    (lake.folder / NAME.format(0, 0, 2).replace("archive", "archive2")).write_bytes(b"")
    assert (await lake.check())[0] == []


async def test_a_round_that_is_just_being_delivered(lake: Lake) -> None:
    """Files before their manifest, a manifest before its commit: neither is a difference."""
    before = dict(lake.last)
    await lake.deliver({0: [b"f"], 1: [b"y"]})
    lake.last = before
    differences, report = await lake.check()
    assert differences == []
    assert [one.text for one in report.notes] == [
        "round 3 (5 to 5) is there, not committed yet",
        "round 3 (1 to 1) is there, not committed yet",
    ]
    removed(f"{FOLDER}/000000000003.json")(lake)
    differences, report = await lake.check()
    assert differences == [] and [one.what for one in report.notes] == ["unnamed", "unnamed"]


async def test_gaps_that_discard_explains_are_named(lake: Lake) -> None:
    """Retention took records between two rounds: they are in no plan, and counted as discarded."""
    lake.last[0] = 9
    lake.discard[0] = 5
    await lake.deliver({0: [b"k"]})
    differences, report = await lake.check()
    assert differences == []
    assert [one.text for one in report.notes] == [
        "5 records of 5 to 9 are in no file: the task passed over them (discard)"
    ]
    lake.discard[0] = 4
    assert (await lake.check())[0] == [("gap", PARTITION)]


async def test_rounds_that_were_given_up_are_in_their_error_files(lake: Lake) -> None:
    """C2: after retry_duration a round is backed up and passed over; it has no manifest."""
    error = lake.folder / NAME.format(0, 5, 6).replace("dumps/", "dumps/obs_error/")
    error.parent.mkdir()
    error.write_bytes(b"f\ng\n")
    lake.last[0], lake.discard[0] = 6, 2
    await lake.deliver({0: [b"h"]})
    differences, report = await lake.check()
    assert differences == []
    assert [one.text for one in report.notes] == [
        "records 5 to 6 are in no file: they were backed up as errors"
    ]


async def test_rejects_and_missing_records(folder: Path) -> None:
    lake = Lake(folder, obs_descriptor(destination_file_type=FileType.CSV))
    lake.make = Picky()
    await lake.deliver({0: [b"a", b"bad", b"c"]}, missing=2)
    await lake.deliver({0: [b"bad"]})
    differences, report = await lake.check(quick=True)
    assert differences == [] and report.notes == []
    error = folder / "dumps/obs_error" / NAME.format(0, 0, 4).removeprefix("dumps/")
    error.unlink()
    assert (await lake.check(quick=True))[0] == [("rejects", str(error.relative_to(folder)))]


async def test_counts_that_do_not_add_up(lake: Lake) -> None:
    changed(
        lake,
        f"{FOLDER}/000000000001.json",
        lambda made: msgspec.structs.replace(
            made, files=tuple(msgspec.structs.replace(file, records=7) for file in made.files)
        ),
    )
    differences, _ = await lake.check()
    assert [one for one in differences if one[0] == "records"] == [
        ("records", "shardId-0000000000"),
        ("records", "shardId-0000000001"),
    ]


@pytest.mark.parametrize("kind", [FileType.CSV, FileType.PARQUET])
async def test_records_of_other_kinds_are_counted(folder: Path, kind: FileType) -> None:
    lake = Lake(folder, obs_descriptor(destination_file_type=kind))
    await lake.deliver({0: [b'{"a":1,"b":"x\\ny"}', b"no json", b'{"a":2,"b":"z"}']})
    assert (await lake.check())[0] == []
    [key] = [key for key in contents(folder) if key.endswith(kind)]
    changed(
        lake,
        f"{FOLDER}/000000000001.json",
        lambda made: msgspec.structs.replace(
            made,
            files=tuple(msgspec.structs.replace(file, records=1) for file in made.files),
            rejected=tuple(msgspec.structs.replace(one, records=2) for one in made.rejected),
        ),
    )
    assert ("records", key) in (await lake.check())[0]


async def test_files_in_directories_of_record_time(folder: Path) -> None:
    schema = ProcessingSchema(timestamp_name="t", timestamp_type=TimestampType.TIMESTAMP)
    lake = Lake(folder, obs_descriptor(processing_schema=schema, partition_format="yyyy/MM/dd"))
    start, day = 1_700_000_000_000, 86_400_000
    await lake.deliver({0: [b'{"t":%d}' % (start + number % 2 * day) for number in range(5)] + [b"{}"]})
    differences, report = await lake.check()
    assert differences == [] and (report.files, report.records, report.compared) == (2, 5, 6)
    del lake.log[0][0], lake.log[0][1], lake.log[0][2]
    assert (await lake.check())[0] == []
    lake.log[0][3] = b'{"t":%d}' % (start - day)
    assert {what for what, _ in (await lake.check())[0]} == {"content"}


async def test_a_task_that_was_moved_since(lake: Lake) -> None:
    """An update changes the prefix: the older files stay where they are."""
    moved = obs_descriptor(file_prefix="elsewhere")
    assert (await lake.check(moved))[0] == []
    lake.descriptor = moved
    await lake.deliver({0: [b"f"]})
    assert (await lake.check())[0] == []
    removed(FIRST)(lake)
    assert (await lake.check())[0] == [("missing", FIRST)]


async def test_a_task_of_hdfs_backs_up_into_a_bucket(folder: Path) -> None:
    """5.5.8: files below hdfs_prefix_folder, what cannot be delivered below mrs_error in a bucket."""
    descriptor = MrsDescriptor(
        task_name="archive",
        agency_name="dis_admin_agency",
        deliver_time_interval=30,
        consumer_strategy=ConsumerStrategy.LATEST,
        retry_duration=60,
        mrs_cluster_name="c",
        mrs_cluster_id="i",
        mrs_hdfs_path="/user/dis",
        hdfs_prefix_folder="/raw/",
        obs_bucket_path="lake",
        file_prefix="backup",
        destination_file_type=FileType.TEXT,
        record_delimiter=",",
    )
    lake = Lake(folder, descriptor)
    await lake.deliver({0: [b"a", b"b"]})
    lake.last[0], lake.discard[0] = 3, 2
    error = lake.backup / NAME.format(0, 2, 3).replace("dumps/", "backup/mrs_error/")
    error.parent.mkdir(parents=True)
    error.write_bytes(b"c,d")
    await lake.deliver({0: [b"e"]})
    differences, report = await lake.check()
    assert differences == [] and report.compared == 3
    assert [one.text for one in report.notes] == [
        "records 2 to 3 are in no file: they were backed up as errors"
    ]
    error.unlink()
    assert (await lake.check())[0] == []
    lake.discard[0] = 0
    assert (await lake.check())[0] == [("gap", PARTITION)]


async def test_a_manifest_of_another_task(lake: Lake) -> None:
    changed(
        lake,
        f"{FOLDER}/000000000002.json",
        lambda made: msgspec.structs.replace(made, task_id="task0000000000000002"),
    )
    assert ("manifest", f"{FOLDER}/000000000002.json") in (await lake.check())[0]


async def test_a_bucket_that_cannot_be_read(lake: Lake) -> None:
    lake.folder.rename(lake.folder.with_name("away"))
    with pytest.raises(NotDelivered, match="does not exist"):
        await lake.check()
