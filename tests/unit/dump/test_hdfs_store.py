"""The HDFS store against a small WebHDFS that fails on demand: answers that are lost, refusals, uploads that break off, gateways
(engines-and-sinks.md, part B, "HDFS over WebHDFS"). The real one is in tests/integration/dump/test_mrs.py."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest
from tests.support.destinations import Answer, Asked, FakeHttp, remote

from penstock.destinations import Mrs
from penstock.dump.base import Body, Found, NotDelivered
from penstock.dump.destinations.mrs import Hdfs
from penstock.dump.stores import webhdfs
from penstock.dump.stores.hdfs import HdfsStore

NAME = "clicks-archive-id00000000000000000x-shardId-0000000000-{0:020d}-{0:020d}.txt"
TOKEN = "delegation=secret"


class FakeCluster(FakeHttp):
    """NameNode and DataNode in one. `fails` are exceptions by operation, each answered once before anything is done; `loses` operations
    that are done, but whose answer fails, once each. With `gateway` RENAME knows no options, as with HttpFS; `cut` is how many bytes
    of an upload arrive."""

    PAGE = 2

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.directories = {"/dis"}
        self.fails: dict[str, list[str]] = {}
        self.loses: list[str] = []
        self.gateway = False
        self.cut: int | None = None
        self.stuck = False

    def asked(self, operation: str) -> list[Asked]:
        return [asked for asked in self.requests if asked.query.get("op") == operation]

    def answer(self, asked: Asked) -> Answer:
        operation = asked.query["op"]
        if self.fails.get(operation):
            return remote(403, self.fails[operation].pop(0))
        done = self._done(operation, asked, asked.path.removeprefix("/webhdfs/v1"))
        if operation in self.loses:
            self.loses.remove(operation)
            return remote(500, "IOException")
        return done

    def _done(self, operation: str, asked: Asked, path: str) -> Answer:
        if path.startswith("/data/"):
            return self._transfer(operation, asked, path.removeprefix("/data"))
        if operation in ("CREATE", "OPEN"):
            if operation == "OPEN" and path not in self.files:
                return remote(404, "FileNotFoundException")
            location = f"{self.url}/data{quote(path)}?op={operation}&{TOKEN}"
            return Answer(200, json.dumps({"Location": location}))
        if operation == "MKDIRS":
            self.directories.add(path)
            return Answer(200, '{"boolean":true}')
        if operation == "GETFILESTATUS":
            return self._status(path)
        if operation == "DELETE":
            return Answer(200, json.dumps({"boolean": self.files.pop(path, None) is not None}))
        if operation == "LISTSTATUS_BATCH":
            return self._list(path, asked.query.get("startafter", ""))
        assert operation == "RENAME"
        return self._rename(path, asked.query["destination"], asked.query["renameoptions"])

    def _transfer(self, operation: str, asked: Asked, path: str) -> Answer:
        if operation == "OPEN":
            return Answer(200, self.files[path].decode())
        self.files[path] = asked.body[: self.cut]
        return Answer(201)

    def _status(self, path: str) -> Answer:
        if path in self.directories:
            return Answer(200, '{"FileStatus":{"type":"DIRECTORY","length":0,"pathSuffix":""}}')
        if path not in self.files:
            return remote(404, "FileNotFoundException")
        found = {"type": "FILE", "length": len(self.files[path]), "pathSuffix": ""}
        return Answer(200, json.dumps({"FileStatus": found}))

    def _list(self, path: str, after: str) -> Answer:
        if path not in self.directories:
            return remote(404, "FileNotFoundException")
        found = {
            name.rpartition("/")[2]: {"type": kind, "length": len(self.files.get(name, b""))}
            for kind, names in (("FILE", list(self.files)), ("DIRECTORY", list(self.directories)))
            for name in names
            if name.rpartition("/")[0] == path
        }
        names = sorted(name for name in found if self.stuck or name > after)
        page = [found[name] | {"pathSuffix": name} for name in names[: self.PAGE]]
        listing = {
            "partialListing": {"FileStatuses": {"FileStatus": page}},
            "remainingEntries": max(0, len(names) - self.PAGE),
        }
        return Answer(200, json.dumps({"DirectoryListing": listing}))

    def _rename(self, path: str, to: str, options: str) -> Answer:
        known = not self.gateway
        possible = path in self.files and (to not in self.files or (known and options == "OVERWRITE"))
        if possible:
            self.files[to] = self.files.pop(path)
            return Answer(200) if known else Answer(200, '{"boolean":true}')
        if not known:
            return Answer(200, '{"boolean":false}')
        if path not in self.files:
            return remote(404, "FileNotFoundException")
        return remote(403, "FileAlreadyExistsException")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    monkeypatch.setattr(webhdfs, "PAUSES", (0.0, 0.0))
    with FakeCluster() as started:
        yield started


@pytest.fixture
async def store(cluster: FakeCluster) -> AsyncIterator[HdfsStore]:
    made = HdfsStore(Hdfs(Mrs(cluster_id="m", webhdfs=cluster.url, user="loader"), "/dis", 5.0))
    yield made
    await made.close()


def body(data: bytes = b"some records\n") -> Body:
    made = Body()
    made.write(data)
    return made


async def test_a_file_is_written_beside_its_place_and_renamed(cluster: FakeCluster, store: HdfsStore) -> None:
    """C1: `.<name>.tmp-<epoch>`, its length, RENAME. On the disks of the DataNodes before it gets its name."""
    assert await store.put("raw/a.txt", body(), epoch=7)
    assert cluster.files == {"/dis/raw/a.txt": b"some records\n"}
    asked, written = cluster.asked("CREATE")
    assert asked.path.startswith("/webhdfs/v1/dis/raw/.a.txt.tmp-7-")
    assert asked.query["createflag"] == "CREATE,SYNC_BLOCK"
    assert asked.query["user.name"] == "loader"
    assert (written.headers["content-length"], written.headers["content-type"]) == (
        "13",
        "application/octet-stream",
    )
    operations = [asked.query["op"] for asked in cluster.requests]
    assert operations.index("GETFILESTATUS") < operations.index("RENAME")


async def test_names_are_percent_encoded(cluster: FakeCluster, store: HdfsStore) -> None:
    key = "gro\u00df 100%/a+b&c?.txt"
    assert await store.put(key, body(), epoch=1)
    assert list(cluster.files) == [f"/dis/{key}"]
    assert await store.size(key) == 13
    assert [found async for found in store.list("gro\u00df")] == [Found(key, 13)]


@pytest.mark.parametrize("gateway", [False, True])
async def test_an_existing_file_is_replaced_or_stays(
    cluster: FakeCluster, store: HdfsStore, gateway: bool
) -> None:
    """HttpFS knows no `renameoptions`: `{"boolean": false}`."""
    cluster.gateway = gateway
    assert await store.put("a.txt", body(b"first"), epoch=1)
    assert not await store.put("a.txt", body(b"second one"), epoch=1, overwrite=False)
    assert cluster.files == {"/dis/a.txt": b"first"}
    assert await store.put("a.txt", body(b"second one"), epoch=1)
    assert cluster.files == {"/dis/a.txt": b"second one"}
    assert bool(cluster.asked("DELETE")) == gateway


@pytest.mark.parametrize("gateway", [False, True])
async def test_a_file_that_another_writer_made_meanwhile_stays(
    cluster: FakeCluster, store: HdfsStore, gateway: bool
) -> None:
    cluster.gateway = gateway
    cluster.files["/dis/a.txt"] = b"theirs"
    cluster.fails["GETFILESTATUS"] = ["FileNotFoundException"]  # not there yet when it is first looked for
    assert not await store.put("a.txt", body(), epoch=1, overwrite=False)
    assert cluster.files == {"/dis/a.txt": b"theirs"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("gateway", [False, True])
async def test_a_rename_whose_answer_is_lost_has_delivered(
    cluster: FakeCluster, store: HdfsStore, gateway: bool, overwrite: bool
) -> None:
    """B: `{"boolean": false}` also when the source is gone; the target's length decides."""
    cluster.gateway = gateway
    cluster.loses = ["RENAME"]
    assert await store.put("a.txt", body(), epoch=1, overwrite=overwrite)
    assert cluster.files == {"/dis/a.txt": b"some records\n"}
    assert len(cluster.asked("RENAME")) == 2


async def test_a_temporary_file_that_goes_away_is_not_delivered(
    cluster: FakeCluster, store: HdfsStore
) -> None:
    """A process of a later epoch removes it: a target of another length is not ours."""
    cluster.files["/dis/a.txt"] = b"theirs"
    rename = cluster._rename

    def gone(path: str, to: str, options: str) -> Answer:
        cluster.files.pop(path, None)
        return rename(path, to, options)

    cluster._rename = gone  # type: ignore[method-assign]
    with pytest.raises(NotDelivered, match="went away before it got its name"):
        await store.put("a.txt", body(), epoch=1)
    assert cluster.files == {"/dis/a.txt": b"theirs"}


async def test_an_upload_that_arrived_in_part_is_never_renamed(
    cluster: FakeCluster, store: HdfsStore
) -> None:
    """B: an aborted upload leaves a partial file, and RENAME of it would succeed."""
    cluster.cut = 5
    with pytest.raises(NotDelivered, match="has 5 bytes, although 13 were written"):
        await store.put("a.txt", body(), epoch=1)
    assert not cluster.files
    assert not cluster.asked("RENAME")


@pytest.mark.parametrize(
    "exception",
    [
        "SafeModeException",
        "StandbyException",
        "RetriableException",
        "EOFException",
        "IOException",
        "NotKnown",
    ],
)
@pytest.mark.parametrize("operation", ["MKDIRS", "LISTSTATUS_BATCH", "CREATE", "GETFILESTATUS", "RENAME"])
async def test_what_may_pass_is_repeated(
    cluster: FakeCluster, store: HdfsStore, operation: str, exception: str
) -> None:
    """B: 403 says nothing; a killed DataNode goes on being handed out."""
    cluster.fails[operation] = [exception]
    assert await store.put("a.txt", body(), epoch=1)
    assert cluster.files == {"/dis/a.txt": b"some records\n"}


async def test_both_steps_of_an_upload_are_repeated_under_another_name(
    cluster: FakeCluster, store: HdfsStore
) -> None:
    """A DataNode that comes back must not write into the file of a later attempt."""
    transfer = cluster._transfer
    broken = iter([True, True, False])

    def first_ones_break_off(operation: str, asked: Asked, path: str) -> Answer:
        return remote(500, "IOException") if next(broken) else transfer(operation, asked, path)

    cluster._transfer = first_ones_break_off  # type: ignore[method-assign]
    assert await store.put("a.txt", body(), epoch=1)
    first_steps = [asked.path for asked in cluster.asked("CREATE") if "noredirect" in asked.query]
    assert len(set(first_steps)) == 3


@pytest.mark.parametrize(
    ("exception", "advice"),
    [
        ("AccessControlException", "give the configured user the right to write there"),
        ("DSQuotaExceededException", "raise the quota"),
        ("AlreadyBeingCreatedException", "something else is writing"),
        ("InvalidPathException", "no"),
    ],
)
async def test_what_lasts_is_not_repeated(
    cluster: FakeCluster, store: HdfsStore, exception: str, advice: str
) -> None:
    """B: classified by RemoteException.exception, the message cut before the stack trace."""
    cluster.fails["CREATE"] = [exception] * 5
    with pytest.raises(NotDelivered) as raised:
        await store.put("a.txt", body(), epoch=1)
    line = str(raised.value)
    assert line.startswith("HDFS CREATE /dis/.a.txt.tmp-1-")
    assert exception in line
    assert advice in line
    assert "\n" not in line
    assert "a.b.C" not in line
    assert len(cluster.asked("CREATE")) == 1


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer(401, "<html>"), "only clusters without Kerberos"),
        (Answer(404, "<html>"), "is webhdfs the address of a NameNode"),
        (Answer(502, "<html>"), "status 502"),
        (Answer(200, "<html>"), "no WebHDFS of Hadoop 3"),
    ],
)
async def test_what_is_no_webhdfs_says_so(
    cluster: FakeCluster, store: HdfsStore, answer: Answer, line: str
) -> None:
    cluster.forced = answer
    with pytest.raises(NotDelivered, match=line):
        await store.size("a.txt")


async def test_addresses_that_hold_tokens_are_not_in_messages(cluster: FakeCluster, store: HdfsStore) -> None:
    cluster._transfer = lambda *_: Answer(403, "<html>")  # type: ignore[method-assign]
    with pytest.raises(NotDelivered, match=r"^HDFS CREATE /dis/\.a\.txt\.tmp-1") as raised:
        await store.put("a.txt", body(), epoch=1)
    assert "secret" not in str(raised.value)


async def test_leftovers_of_earlier_epochs_of_the_task_go_with_the_first_file(
    cluster: FakeCluster, store: HdfsStore
) -> None:
    """Only ours, and only those that nobody writes any more: another task's epochs say nothing here."""
    first, second = NAME.format(1), NAME.format(2)
    other = first.replace("archive", "other")
    ours = [f"/dis/raw/.{name}.tmp-{epoch}-00000000" for name in (first, second) for epoch in (1, 2)]
    stay = [
        f"/dis/raw/.{first}.tmp-3-00000000",
        f"/dis/raw/.{first}.tmp-4-00000000",
        f"/dis/raw/.{other}.tmp-1-00000000",
        f"/dis/raw/.{first}.tmp-1",
        f"/dis/raw/{first}",
    ]
    cluster.directories.add("/dis/raw")
    cluster.files = dict.fromkeys([*ours, *stay], b"")
    assert await store.put(f"raw/{second}", body(), epoch=3)
    assert sorted(cluster.files) == sorted([*stay, f"/dis/raw/{second}"])
    asked = len(cluster.asked("LISTSTATUS_BATCH"))
    assert await store.put(f"raw/{NAME.format(3)}", body(), epoch=3)
    assert len(cluster.asked("LISTSTATUS_BATCH")) == asked


async def test_a_large_directory_is_not_listed_for_leftovers(cluster: FakeCluster, store: HdfsStore) -> None:
    """Only from where ours would be to the first name that is not."""
    cluster.files = {f"/dis/{number}": b"" for number in range(100)}
    assert await store.put(NAME.format(1), body(), epoch=3)
    assert len(cluster.asked("LISTSTATUS_BATCH")) == 1


@pytest.mark.parametrize(
    "directory", [f"raw/{NAME.format(1)[:-4]}.carbon", "_manifests/clicks-archive-id00000000000000000x"]
)
async def test_in_directories_of_the_task_all_leftovers_go(
    cluster: FakeCluster, store: HdfsStore, directory: str
) -> None:
    cluster.directories.add(f"/dis/{directory}")
    cluster.files = {f"/dis/{directory}/.part-1.carbondata.tmp-1-00000000": b""}
    assert await store.put(f"{directory}/part-0", body(), epoch=2)
    assert list(cluster.files) == [f"/dis/{directory}/part-0"]


async def test_a_listing_has_files_of_all_directories_and_no_temporary_ones(
    cluster: FakeCluster, store: HdfsStore
) -> None:
    cluster.directories |= {"/dis/raw", "/dis/raw/a", "/dis/rawer", "/dis/other"}
    names = ["raw/a/1", "raw/a/2", "raw/a/3", "raw/a/.3.tmp-1-0123abcd", "raw/x", "rawer/y", "other/z"]
    cluster.files = {f"/dis/{name}": name.encode() for name in names}
    assert sorted([found.key async for found in store.list("raw")]) == [
        "raw/a/1",
        "raw/a/2",
        "raw/a/3",
        "raw/x",
        "rawer/y",
    ]
    assert [found.key async for found in store.list("raw/a/2")] == ["raw/a/2"]
    assert [found async for found in store.list("nowhere/")] == []
    assert len([found async for found in store.list("")]) == 6


async def test_a_listing_that_never_ends_is_an_error(cluster: FakeCluster, store: HdfsStore) -> None:
    """A gateway that does not know where to go on answers the first page for ever."""
    cluster.files = {f"/dis/{number}": b"" for number in range(5)}
    cluster.stuck = True
    with pytest.raises(NotDelivered, match="for ever"):
        [found async for found in store.list("")]


async def test_reading_and_deleting(cluster: FakeCluster, store: HdfsStore) -> None:
    assert await store.put("a.txt", body(b"abc"), epoch=1)
    assert b"".join([piece async for piece in await store.get("a.txt")]) == b"abc"
    await store.delete("a.txt")
    await store.delete("a.txt")
    assert await store.size("a.txt") is None
    with pytest.raises(NotDelivered, match="FileNotFoundException"):
        [piece async for piece in await store.get("a.txt")]


async def test_a_directory_in_the_place_of_a_file_is_not_written_into(
    cluster: FakeCluster, store: HdfsStore
) -> None:
    """A gateway's RENAME would put the file into it."""
    cluster.directories.add("/dis/a.txt")
    with pytest.raises(NotDelivered, match="is not a file; move it away"):
        await store.put("a.txt", body(), epoch=1, overwrite=False)
    assert not cluster.files


async def test_a_namenode_that_hangs_or_is_gone(cluster: FakeCluster) -> None:
    hdfs = Hdfs(Mrs(cluster_id="m", webhdfs=cluster.url), "/dis", 5.0)
    store = HdfsStore(hdfs, seconds=0.2)
    cluster.hang = True
    with pytest.raises(NotDelivered, match=r"the NameNode does not answer within 0\.2 s"):
        await store.put("a.txt", body(), epoch=1)
    await store.close()
    gone = Hdfs(Mrs(cluster_id="m", webhdfs="http://127.0.0.1:1"), "/dis", 5.0)
    store = HdfsStore(gone)
    with pytest.raises(NotDelivered, match="the NameNode is not reachable"):
        await store.put("a.txt", body(), epoch=1)
    await store.close()
