"""The file sink (5.5.1; engines-and-sinks.md C1): every round is in the store once, however often and however far it was delivered."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from tests.support.dump_files import Picky, contents, crc, obs_descriptor
from tests.support.rounds import Crash, MadeRound, make_round, make_stream

from penstock.dump import manifest as manifests
from penstock.dump.base import Body, Format, NotDelivered, Reject
from penstock.dump.formats.text import TextFormat
from penstock.dump.sinks.files import FileSink
from penstock.dump.stores.folder import FolderStore
from penstock.model.streams import DataType, Stream
from penstock.model.tasks import ProcessingSchema, TimestampType

STREAM: Stream = make_stream(DataType.JSON, partitions=3)
NAME = "dumps/clicks-archive-task0000000000000001-shardId-000000000{}-{:020d}-{:020d}"
MANIFEST = "_manifests/clicks-archive-task0000000000000001/000000000001.json"


def sink(bucket: Path, make: Format | None = None, **changes: Any) -> FileSink:
    options: dict[str, Any] = {"processing": None, "partition_format": "", "zone": UTC, "manifests": True}
    return FileSink(FolderStore(bucket, "lake"), make or TextFormat("\n"), **options | changes)


def read_manifest(bucket: Path, number: int = 1) -> manifests.Manifest:
    return manifests.decode(
        (bucket / MANIFEST).with_name(f"{number:012d}.json").read_bytes(),
    )


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return tmp_path


async def test_a_file_for_each_partition_and_a_manifest(bucket: Path) -> None:
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a", b"b"], 2: [b"c"]}, first={2: 40})
    await sink(bucket).deliver(round_)
    first, second = NAME.format(0, 0, 1) + ".txt", NAME.format(2, 40, 40) + ".txt"
    found = contents(bucket)
    assert found.keys() == {first, second, MANIFEST}
    assert (found[first], found[second]) == (b"a\nb\n", b"c\n")
    assert read_manifest(bucket) == manifests.Manifest(
        stream_name="clicks",
        stream_id=STREAM.stream_id,
        task_name="archive",
        task_id="task0000000000000001",
        round=1,
        created_ms=round_.plan.created_ms,
        files=(
            manifests.File(
                key=first,
                partition_id="shardId-0000000000",
                first=0,
                last=1,
                records=2,
                bytes=4,
                crc32c=crc(b"a\nb\n"),
            ),
            manifests.File(
                key=second,
                partition_id="shardId-0000000002",
                first=40,
                last=40,
                records=1,
                bytes=2,
                crc32c=crc(b"c\n"),
            ),
        ),
    )
    assert sorted(round_.points[:-1]) == ["staged"] * 2 + ["visible"] * 2
    assert round_.points[-1] == "manifest"


@pytest.mark.parametrize("point", ["", "staged", "visible"])
async def test_delivered_again_it_is_there_once(bucket: Path, point: str) -> None:
    """C1: also when the process died between the files, or before anybody heard that all were there."""
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a"], 1: [b"b"], 2: [b"c"]})
    clean = bucket / "clean"
    clean.mkdir()
    await sink(clean).deliver(round_.again())
    expected = contents(clean)
    broken = bucket / "broken"
    broken.mkdir()
    round_.crash_at = point
    if point:
        with pytest.raises(Crash):
            await sink(broken).deliver(round_)
        assert contents(broken).keys() < expected.keys()
    else:
        await sink(broken).deliver(round_)
    before = {key: (broken / key).stat().st_mtime_ns for key in contents(broken) if "_manifests" not in key}
    await sink(broken).deliver(round_.again(epoch=2))
    assert contents(broken) == expected
    # What is right is not written again.
    assert before == {key: (broken / key).stat().st_mtime_ns for key in before}


@pytest.mark.parametrize("there", [b"", b"a\nb", b"a;b;c;", b"a\nb\nc\nd\n"])
async def test_a_file_with_other_bytes_is_replaced_when_all_records_are_there(
    bucket: Path, there: bytes
) -> None:
    """Cut off, of other settings, or of a release that wrote it in another way."""
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a", b"b", b"c"]})
    file = bucket / (NAME.format(0, 0, 2) + ".txt")
    file.parent.mkdir()
    file.write_bytes(there)
    await sink(bucket).deliver(round_)
    assert file.read_bytes() == b"a\nb\nc\n"
    assert read_manifest(bucket).files[0].bytes == 6


async def test_a_file_with_records_that_retention_took_since_is_left(bucket: Path) -> None:
    """The log has fewer of them than the file: what would be written now would lose some."""
    whole = make_round(obs_descriptor(), STREAM, {0: [b"a", b"b", b"c"]})
    whole.crash_at = "visible"
    with pytest.raises(Crash):
        await sink(bucket).deliver(whole)
    file = bucket / (NAME.format(0, 0, 2) + ".txt")
    less = make_round(obs_descriptor(), STREAM, {0: [b"b", b"c"]}, missing={0: 1})
    await sink(bucket).deliver(less)
    assert file.read_bytes() == b"a\nb\nc\n"
    made = read_manifest(bucket)
    assert made.missing == ()
    [entry] = made.files
    assert (entry.records, entry.bytes, entry.crc32c) == (None, 6, crc(b"a\nb\nc\n"))


async def test_a_file_whose_records_are_all_gone_since_is_left_and_named(bucket: Path) -> None:
    whole = make_round(obs_descriptor(), STREAM, {0: [b"a", b"b"]})
    whole.crash_at = "visible"
    with pytest.raises(Crash):
        await sink(bucket).deliver(whole)
    await sink(bucket).deliver(make_round(obs_descriptor(), STREAM, {0: []}, missing={0: 2}))
    made = read_manifest(bucket)
    assert [(file.bytes, file.records, file.last) for file in made.files] == [(4, None, 1)]
    assert made.missing == ()


async def test_what_an_earlier_manifest_says_of_a_file_that_is_left_stays(bucket: Path) -> None:
    """The process died after the manifest and before the commit, and retention went on."""
    await sink(bucket).deliver(
        make_round(obs_descriptor(), STREAM, {0: [b"b", b"c"], 1: [b"x"]}, missing={0: 1})
    )
    before = read_manifest(bucket)
    less = make_round(obs_descriptor(), STREAM, {0: [b"c"], 1: [b"x"]}, missing={0: 2})
    await sink(bucket).deliver(less)
    assert read_manifest(bucket) == before
    assert [(one.first, one.last, one.records) for one in before.missing] == [(0, 0, 1)]


async def test_rejects_are_backed_up_and_named(bucket: Path) -> None:
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a", b"bad", b"c"], 1: [b"d"]}, first={0: 10})
    await sink(bucket, Picky()).deliver(round_)
    assert contents(bucket)[NAME.format(0, 10, 12) + ".picky"] == b"ac"
    assert round_.rejected == {0: [Reject(11, b"bad", "bad")]}
    made = read_manifest(bucket)
    assert [file.records for file in made.files] == [2, 1]
    assert made.rejected == (
        manifests.Rejected(
            partition_id="shardId-0000000000",
            first=10,
            last=12,
            records=1,
            key=NAME.format(0, 10, 12).replace("dumps/", "dumps/obs_error/") + ".txt",
        ),
    )


async def test_without_a_record_that_can_be_delivered_there_is_no_file(bucket: Path) -> None:
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"bad"], 1: []}, missing={1: 5})
    await sink(bucket, Picky()).deliver(round_)
    assert contents(bucket).keys() == {MANIFEST}
    made = read_manifest(bucket)
    assert made.files == ()
    assert [(one.partition_id[-1], one.records) for one in made.rejected] == [("0", 1)]
    assert [(one.partition_id[-1], one.first, one.last) for one in made.missing] == [("1", 0, 4)]


async def test_rejects_that_cannot_be_backed_up_fail_the_round(bucket: Path) -> None:
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a", b"bad"]})
    round_.reject_fails = "no room"
    delivering = sink(bucket, Picky())
    with pytest.raises(NotDelivered, match="no room"):
        await delivering.deliver(round_)
    assert MANIFEST not in contents(bucket)
    again = round_.again()
    await delivering.deliver(again)
    assert again.discards == {0: 1}
    assert MANIFEST in contents(bucket)


async def test_what_was_delivered_is_not_sent_again_by_the_same_process(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part fails: the others are done, and the next attempt does not even encode them."""
    refused = NAME.format(1, 0, 0) + ".picky"
    put = FolderStore.put
    puts: list[str] = []

    async def refusing(self: FolderStore, key: str, body: Body, **options: Any) -> bool:
        puts.append(key)
        if key == refused and puts.count(key) == 1:
            raise NotDelivered("full")
        return await put(self, key, body, **options)

    monkeypatch.setattr(FolderStore, "put", refusing)
    make = Picky()
    delivering = sink(bucket, make)
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a", b"bad"], 1: [b"b"], 2: [b"c"]})
    with pytest.raises(NotDelivered, match="full"):
        await delivering.deliver(round_)
    done = len(puts) - 1
    assert MANIFEST not in contents(bucket)
    again = round_.again()
    await delivering.deliver(again)
    # Each but the refused one went once, and what the first attempt found bad is told again.
    assert sorted(puts) == sorted([*{*puts}, refused])
    assert make.encoded == 1 + 3 and done >= 1
    assert again.discards == {0: 1}
    assert [file.key for file in read_manifest(bucket).files] == sorted(
        NAME.format(number, 0, last) + ".picky" for number, last in ((0, 1), (1, 0), (2, 0))
    )
    # Another round is another matter.
    await delivering.deliver(make_round(obs_descriptor(), STREAM, {0: [b"a", b"bad"]}, number=2))
    assert make.encoded == 1 + 3 + 1


async def test_a_fault_of_ours_is_not_hidden_behind_a_store_that_fails(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(self: FolderStore, key: str, body: Body, **options: Any) -> bool:
        raise (NotDelivered("full") if "-0000000000-" in key else KeyError("a fault"))

    monkeypatch.setattr(FolderStore, "put", failing)
    with pytest.raises(KeyError, match="a fault"):
        await sink(bucket).deliver(make_round(obs_descriptor(), STREAM, {0: [b"a"], 1: [b"b"]}))


async def test_files_that_belong_together_are_of_one_attempt(bucket: Path) -> None:
    """Carbon: data and index files of two attempts do not fit each other, even when their sizes do."""
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a", b"b"]})
    await sink(bucket, Picky(parts=2)).deliver(round_)
    name = NAME.format(0, 0, 1) + ".picky/{}"
    assert contents(bucket).keys() == {name.format(0), name.format(1), MANIFEST}
    (bucket / name.format(0)).write_bytes(b"xx")
    (bucket / name.format(1)).unlink()
    await sink(bucket, Picky(parts=2)).deliver(round_.again(epoch=2))
    assert (contents(bucket)[name.format(0)], contents(bucket)[name.format(1)]) == (b"ab", b"ab")
    # All there, and the log has less: they stay.
    less = make_round(obs_descriptor(), STREAM, {0: [b"b"]}, missing={0: 1})
    await sink(bucket, Picky(parts=2)).deliver(less)
    assert (contents(bucket)[name.format(0)], contents(bucket)[name.format(1)]) == (b"ab", b"ab")


async def test_directories_of_record_time(bucket: Path) -> None:
    """5.5.1 table 5-83: the time in the record says which directory; who has none is rejected."""
    schema = ProcessingSchema(timestamp_name="t", timestamp_type=TimestampType.TIMESTAMP)
    day = 86_400_000
    start = 1_700_000_000_000  # 2023-11-14
    records = [
        b'{"t":%d}' % start,
        b'{"t":%d}' % (start + day),
        b'{"no":1}',
        b'{"t":%d}' % (start + 1),
    ]
    task = obs_descriptor(processing_schema=schema, partition_format="yyyy/MM/dd")
    round_: MadeRound = make_round(task, STREAM, {0: records})
    await sink(bucket, processing=schema, partition_format="yyyy/MM/dd").deliver(round_)
    name = NAME.format(0, 0, 3).removeprefix("dumps/") + ".txt"
    found = contents(bucket)
    assert found.keys() == {f"dumps/2023/11/14/{name}", f"dumps/2023/11/15/{name}", MANIFEST}
    assert found[f"dumps/2023/11/14/{name}"] == records[0] + b"\n" + records[3] + b"\n"
    assert [reject.sequence for reject in round_.rejected[0]] == [2]
    assert sum(file.records or 0 for file in read_manifest(bucket).files) == 3


async def test_a_task_that_goes_by_record_time_no_more(bucket: Path) -> None:
    """An update came between plan and delivery: the same records, by the new settings."""
    schema = ProcessingSchema(timestamp_name="t", timestamp_type=TimestampType.TIMESTAMP)
    before = obs_descriptor(processing_schema=schema, partition_format="yyyy/MM/dd")
    round_ = make_round(before, STREAM, {0: [b'{"t":1700000000000}']})
    await sink(bucket).deliver(round_)
    await sink(bucket, processing=schema).deliver(round_.again())
    assert contents(bucket).keys() == {NAME.format(0, 0, 0) + ".txt", MANIFEST}


async def test_tasks_without_manifests(bucket: Path) -> None:
    await sink(bucket, manifests=False).deliver(make_round(obs_descriptor(), STREAM, {0: [b"a"]}))
    assert contents(bucket).keys() == {NAME.format(0, 0, 0) + ".txt"}
