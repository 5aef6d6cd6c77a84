"""MRS tasks into a real HDFS: rounds delivered twice, crashes, uploads that break off, and a cluster that is in safe mode, hangs, dies
and comes back (5.5.8; engines-and-sinks.md, C1 and "HDFS over WebHDFS")."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.services.hdfs import HdfsCluster
from tests.support.rounds import Crash, MadeRound, make_round, make_stream

from penstock.destinations import Destinations, Mrs
from penstock.dump.base import Body, Found, NotDelivered, Sink
from penstock.dump.destinations.base import Place
from penstock.dump.sinks.mrs import mrs_sink
from penstock.dump.stores.hdfs import HdfsStore
from penstock.model.streams import DataType, Stream
from penstock.model.tasks import ConsumerStrategy, FileType, MrsDescriptor

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

RECORDS = {0: [b'{"n": %d}' % number for number in range(10)], 1: [b'{"n": 100}', b'{"n": 101}']}
TEXTS = {
    "shardId-0000000000": b"".join(r + b"\n" for r in RECORDS[0]),
    "shardId-0000000001": b'{"n": 100}\n{"n": 101}\n',
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HdfsCluster]:
    with HdfsCluster(tmp_path_factory.mktemp("hdfs")) as started:
        yield started


@pytest.fixture
def running(cluster: HdfsCluster) -> Iterator[HdfsCluster]:
    """Of a test that stops some of it: all of it runs again afterwards."""
    yield cluster
    cluster.resume("namenode")
    cluster.start()


@pytest.fixture
def folder(cluster: HdfsCluster, request: pytest.FixtureRequest) -> str:
    """A directory of the test's own, below which it delivers."""
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)
    cluster.call("PUT", f"/dis/{name}", "MKDIRS")
    return f"/dis/{name}"


@pytest.fixture
async def store(cluster: HdfsCluster, folder: str) -> AsyncIterator[HdfsStore]:
    made = HdfsStore(cluster.hdfs(folder), seconds=5)
    yield made
    await made.close()


def body(data: bytes) -> Body:
    made = Body()
    made.write(data)
    return made


def descriptor_of(path: str, kind: FileType = FileType.TEXT) -> MrsDescriptor:
    return MrsDescriptor(
        task_name="archive",
        agency_name="dis_admin_agency",
        deliver_time_interval=300,
        consumer_strategy=ConsumerStrategy.LATEST,
        retry_duration=1800,
        mrs_cluster_name="mrscluster",
        mrs_cluster_id="mrs",
        mrs_hdfs_path=path,
        hdfs_prefix_folder="raw/clicks",
        obs_bucket_path="bucket",
        file_prefix="",
        destination_file_type=kind,
        record_delimiter="\n",
    )


def sink_of(cluster: HdfsCluster, descriptor: MrsDescriptor, stream: Stream) -> Sink:
    entry = Mrs(cluster_id="mrs", webhdfs=cluster.url, user=cluster.USER)
    place = Place(Destinations(mrs=(entry,)), Path("/nowhere"), 10.0, "account")
    return mrs_sink(place, descriptor, stream)


def delivered(cluster: HdfsCluster, path: str) -> dict[str, bytes]:
    """Partition -> its file; nothing else is there, hidden or not."""
    found: dict[str, bytes] = {}
    for name in cluster.names(f"{path}/raw/clicks"):
        partition = name.removeprefix("clicks-archive-task0000000000000001-")[:18]
        assert partition not in found
        found[partition] = cluster.read(f"{path}/raw/clicks/{name}")
    return found


async def deliver(cluster: HdfsCluster, round_: MadeRound) -> None:
    """As a process does that has just started."""
    descriptor = round_.task.descriptor
    assert isinstance(descriptor, MrsDescriptor)
    sink = sink_of(cluster, descriptor, round_.stream)
    try:
        await sink.deliver(round_)
    finally:
        await sink.close()


# Rounds ---------------------------------------------------------------------------------------------------------------


async def test_a_round_delivered_twice_is_there_once(cluster: HdfsCluster, folder: str) -> None:
    """C1. Names are below mrs_hdfs_path and hdfs_prefix_folder (table 5-110)."""
    round_ = make_round(descriptor_of(folder), make_stream(partitions=2), RECORDS)
    await deliver(cluster, round_)
    assert delivered(cluster, folder) == TEXTS
    names = cluster.names(f"{folder}/raw/clicks")
    assert names[0] == (
        "clicks-archive-task0000000000000001-shardId-0000000000-00000000000000000000-00000000000000000009.txt"
    )
    manifest = f"{folder}/_manifests/clicks-archive-task0000000000000001"
    described = cluster.read(f"{manifest}/{cluster.names(manifest)[0]}")
    assert [file["bytes"] for file in json.loads(described)["files"]] == [
        len(text) for text in TEXTS.values()
    ]
    await deliver(cluster, round_.again(epoch=2))
    assert delivered(cluster, folder) == TEXTS
    assert cluster.names(f"{folder}/raw/clicks") == names
    assert cluster.read(f"{manifest}/{cluster.names(manifest)[0]}") == described


@pytest.mark.parametrize("point", ["staged", "visible"])
async def test_a_round_that_crashed_is_delivered_by_the_next_process(
    cluster: HdfsCluster, folder: str, point: str
) -> None:
    round_ = make_round(descriptor_of(folder), make_stream(partitions=2), RECORDS)
    round_.crash_at = point
    with pytest.raises(Crash):
        await deliver(cluster, round_)
    await deliver(cluster, round_.again(epoch=2))
    assert delivered(cluster, folder) == TEXTS


async def test_parquet_is_read_back_whole(cluster: HdfsCluster, folder: str) -> None:
    import pyarrow.parquet

    descriptor = descriptor_of(folder, FileType.PARQUET)
    stream = make_stream(partitions=2)
    await deliver(cluster, make_round(descriptor, stream, RECORDS))
    tables = [pyarrow.parquet.read_table(io.BytesIO(file)) for file in delivered(cluster, folder).values()]
    assert [table.column("n").to_pylist() for table in tables] == [list(range(10)), [100, 101]]


async def test_a_large_file_is_read_back_whole(cluster: HdfsCluster, folder: str) -> None:
    """Longer than what is kept in memory (Body) and than what is sent at once."""
    records = [bytes([65 + number % 26]) * 1_000_000 for number in range(40)]
    await deliver(cluster, make_round(descriptor_of(folder), make_stream(DataType.BLOB), {0: records}))
    [file] = delivered(cluster, folder).values()
    assert file == b"".join(record + b"\n" for record in records)


# Files ----------------------------------------------------------------------------------------------------------------


async def test_a_file_of_another_length_is_replaced_in_one_step(
    cluster: HdfsCluster, folder: str, store: HdfsStore
) -> None:
    """`renameoptions=OVERWRITE`: a reader that asks all the time always finds a whole file."""
    cluster.write(f"{folder}/a.txt", b"earlier")
    seen: set[int] = set()

    async def look() -> None:
        while True:
            found = await asyncio.to_thread(cluster.call, "GET", f"{folder}/a.txt", "GETFILESTATUS")
            seen.add(found["FileStatus"]["length"])

    looking = asyncio.create_task(look())
    for number in range(20):
        assert await store.put("a.txt", body(b"x" * (8 + number % 2)), epoch=1)
    assert not looking.done()  # nothing was ever missing
    looking.cancel()
    assert seen <= {7, 8, 9}
    assert len(seen) > 1
    assert cluster.names(folder) == ["a.txt"]


async def test_a_file_that_is_there_stays_unless_it_may_be_replaced(
    cluster: HdfsCluster, folder: str, store: HdfsStore
) -> None:
    cluster.write(f"{folder}/a.txt", b"theirs")
    assert not await store.put("a.txt", body(b"ours"), epoch=1, overwrite=False)
    assert cluster.read(f"{folder}/a.txt") == b"theirs"
    assert await store.put("a.txt", body(b"equal!"), epoch=1)
    assert cluster.read(f"{folder}/a.txt") == b"equal!"
    assert cluster.names(folder) == ["a.txt"]


async def test_of_many_writers_one_makes_the_file(cluster: HdfsCluster, folder: str) -> None:
    """`renameoptions=NONE`: FileAlreadyExistsException for the others. All of one epoch: a later one removes what an earlier one writes."""
    stores = [HdfsStore(cluster.hdfs(folder)) for _ in range(6)]
    made = await asyncio.gather(
        *(
            store.put("a.txt", body(b"%d" % number), epoch=1, overwrite=False)
            for number, store in enumerate(stores)
        )
    )
    assert made.count(True) == 1
    assert cluster.read(f"{folder}/a.txt") == b"%d" % made.index(True)
    for store in stores:
        await store.close()


async def test_an_upload_that_breaks_off_leaves_nothing_under_the_name(
    cluster: HdfsCluster, folder: str, store: HdfsStore
) -> None:
    """Part B: it leaves a partial file, which the next epoch removes."""
    name = "clicks-archive-task0000000000000001-shardId-0000000000-{0:020d}-{0:020d}.txt"

    class Breaking(Body):
        def pieces(self, size: int = 1 << 20) -> Iterator[bytes]:
            yield b"x" * size
            raise Crash

    breaking = Breaking()
    breaking.write(b"x" * (4 << 20))
    with pytest.raises(Crash):
        await store.put(name.format(1), breaking, epoch=1)
    await _until(lambda: len(cluster.names(folder)) == 1)
    [left] = cluster.names(folder)
    assert left.startswith(f".{name.format(1)}.tmp-1-")
    assert await store.size(name.format(1)) is None
    assert [found async for found in store.list("")] == []

    later = HdfsStore(cluster.hdfs(folder))
    assert await later.put(name.format(2), body(b"next"), epoch=2)
    assert cluster.names(folder) == [name.format(2)]
    await later.close()


@pytest.mark.parametrize("step", ["before", "after"])
async def test_a_process_that_dies_around_the_rename(
    cluster: HdfsCluster, folder: str, store: HdfsStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Before it a whole file is there under a name that nobody reads; after it, the file. The next process leaves one file."""
    rename = store._web.rename

    async def dies(key: str, to: str, *, overwrite: bool) -> bool:
        if step == "after":
            await rename(key, to, overwrite=overwrite)
        raise Crash

    monkeypatch.setattr(store._web, "rename", dies)
    with pytest.raises(Crash):
        await store.put("a.txt", body(b"data"), epoch=1)
    [left] = cluster.names(folder)
    assert left.startswith(".a.txt.tmp-1-") if step == "before" else left == "a.txt"
    later = HdfsStore(cluster.hdfs(folder))
    assert await later.put("a.txt", body(b"data"), epoch=2, overwrite=False) is (step == "before")
    await later.close()
    assert cluster.names(folder) == ["a.txt"]
    assert cluster.read(f"{folder}/a.txt") == b"data"


async def test_names_that_need_encoding(cluster: HdfsCluster, folder: str, store: HdfsStore) -> None:
    key = "gro\u00df 100%/a+b&c=d?e#f%2F.txt"
    assert await store.put(key, body(b"data"), epoch=1)
    assert await store.put(key, body(b"more"), epoch=1)
    assert cluster.names(f"{folder}/gro\u00df 100%") == ["a+b&c=d?e#f%2F.txt"]
    assert [found async for found in store.list("gro\u00df")] == [Found(key, 4)]
    assert b"".join([piece async for piece in await store.get(key)]) == b"more"
    await store.delete(key)
    assert await store.size(key) is None


async def test_an_empty_file_and_a_colon(cluster: HdfsCluster, store: HdfsStore) -> None:
    assert await store.put("empty", body(b""), epoch=1)
    assert await store.size("empty") == 0
    assert b"".join([piece async for piece in await store.get("empty")]) == b""
    with pytest.raises(NotDelivered, match="InvalidPathException"):
        await store.put("a:b", body(b"x"), epoch=1)


async def test_a_listing_has_all_pages(cluster: HdfsCluster, folder: str, store: HdfsStore) -> None:
    """A NameNode lists so many entries at a time (20 here)."""
    for number in range(50):
        cluster.call("PUT", f"{folder}/d/{number:02d}", "MKDIRS")
    assert await store.put("d/00/first", body(b"1"), epoch=1)
    assert await store.put("d/49/last", body(b"22"), epoch=1)
    assert sorted([found async for found in store.list("d/")]) == [
        Found("d/00/first", 1),
        Found("d/49/last", 2),
    ]


async def test_a_file_is_on_the_disk_before_it_has_its_name(cluster: HdfsCluster, store: HdfsStore) -> None:
    """SYNC_BLOCK passes both steps of CREATE: the DataNode syncs every block that it closes."""
    before = cluster.syncs()
    for number in range(3):
        assert await store.put(f"synced-{number}", body(b"x"), epoch=1)
    await _until(lambda: cluster.syncs() >= before + 3)


# A cluster that refuses, hangs, dies ----------------------------------------------------------------------------------


async def test_permission_denied(cluster: HdfsCluster, folder: str) -> None:
    store = HdfsStore(cluster.hdfs(folder, user="stranger"))
    with pytest.raises(
        NotDelivered, match=r"Permission denied: user=stranger.*give the configured user the right"
    ):
        await store.put("a.txt", body(b"x"), epoch=1)
    assert cluster.names(folder) == []
    await store.close()


async def test_safe_mode_delays_a_round(running: HdfsCluster, folder: str) -> None:
    """403, but not for ever."""
    round_ = make_round(descriptor_of(folder), make_stream(partitions=2), RECORDS)
    sink = sink_of(running, descriptor_of(folder), round_.stream)
    running.safe_mode(True)
    try:
        with pytest.raises(NotDelivered, match=r"SafeModeException.*left safe mode"):
            await sink.deliver(round_)
    finally:
        running.safe_mode(False)
    await sink.deliver(round_.again())
    await sink.close()
    assert delivered(running, folder) == TEXTS


async def test_a_namenode_killed_and_restarted(running: HdfsCluster, folder: str) -> None:
    """What was delivered survives, and the same sink goes on with its old connections."""
    round_ = make_round(descriptor_of(folder), make_stream(partitions=2), RECORDS)
    sink = sink_of(running, descriptor_of(folder), round_.stream)
    await sink.deliver(round_)
    running.kill("namenode")
    second = make_round(descriptor_of(folder), round_.stream, {2: [b"more"]}, number=2)
    with pytest.raises(NotDelivered, match="the NameNode is not reachable"):
        await sink.deliver(second)
    await asyncio.to_thread(running.start)
    await sink.deliver(second.again())
    await sink.close()
    assert delivered(running, folder) == {**TEXTS, "shardId-0000000002": b"more\n"}


async def test_a_namenode_that_hangs(running: HdfsCluster, folder: str) -> None:
    """It is not waited for longer than the time limit, and nothing is there twice when it comes back."""
    store = HdfsStore(running.hdfs(folder), seconds=1)
    assert await store.put("first", body(b"1"), epoch=1)
    running.pause("namenode")
    with pytest.raises(NotDelivered, match="the NameNode does not answer within 1 s"):
        await store.put("second", body(b"2"), epoch=1)
    running.resume("namenode")
    await _delivered(store, "second", b"2")
    await store.close()
    assert running.names(folder) == ["first", "second"]


async def test_a_datanode_that_hangs(running: HdfsCluster, folder: str) -> None:
    """What it does when it comes back goes into a file that gets no name."""
    store = HdfsStore(running.hdfs(folder), seconds=1)
    running.pause("datanode-1")
    with pytest.raises(NotDelivered, match="the DataNode does not answer within 1 s"):
        await store.put("a.txt", body(b"data"), epoch=1)
    running.resume("datanode-1")
    await _delivered(store, "a.txt", b"data")
    await store.close()
    assert running.read(f"{folder}/a.txt") == b"data"
    assert [name for name in running.names(folder) if not name.startswith(".")] == ["a.txt"]


async def test_a_datanode_killed_of_two(tmp_path: Path) -> None:
    """It goes on being handed out until the NameNode gives it up: both steps are repeated."""
    with HdfsCluster(tmp_path / "hdfs", datanodes=2) as cluster:
        store = HdfsStore(cluster.hdfs(), seconds=10)
        assert await store.put("before", body(b"0"), epoch=1)
        cluster.kill("datanode-2")
        for number in range(12):
            await _delivered(store, f"after-{number}", b"%d" % number)
        await store.close()
        assert [cluster.read(f"/dis/after-{number}") for number in range(12)] == [
            b"%d" % number for number in range(12)
        ]
        assert [name for name in cluster.names() if name.startswith("after")] == sorted(
            f"after-{number}" for number in range(12)
        )


async def _delivered(store: HdfsStore, key: str, data: bytes) -> None:
    """Put a file as the engine does: again after a failed attempt, for up to a minute."""
    async with asyncio.timeout(60):
        while True:
            try:
                await store.put(key, body(data), epoch=1)
                return
            except NotDelivered:
                await asyncio.sleep(0.5)


async def _until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.1)
