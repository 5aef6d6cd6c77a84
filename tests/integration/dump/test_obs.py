"""OBS deliveries (5.5.1; engines-and-sinks.md B "S3" and C1) into a folder and into a real S3 server: the same promises of both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.services.s3 import S3, SECRET_KEY
from tests.support.dump_files import body, crc, obs_descriptor, stored
from tests.support.rounds import Crash, make_round, make_stream

from penstock.destinations import Destinations, Obs
from penstock.dump import manifest as manifests
from penstock.dump.base import Body, NotDelivered, Store
from penstock.dump.destinations.base import Place
from penstock.dump.destinations.obs import Bucket
from penstock.dump.sinks.obs import obs_sink
from penstock.dump.stores.buckets import open_bucket
from penstock.dump.stores.s3 import PART_BYTES, WHOLE_BYTES, S3Store
from penstock.model.streams import DataType

STREAM = make_stream(DataType.BLOB, partitions=3)
NAME = "dumps/clicks-archive-task0000000000000001-shardId-000000000{}-{:020d}-{:020d}.txt"
MANIFEST = "_manifests/clicks-archive-task0000000000000001/000000000001.json"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with S3(tmp_path_factory.mktemp("s3")) as started:
        yield started


class Lake:
    """Bucket `lake`, a new one for each test."""

    def __init__(self, data: Path, folder: Path, entry: Obs | None) -> None:
        self.folder = folder
        self.place = Place(Destinations(obs=(entry,) if entry else ()), data, 10.0, "account")

    def store(self) -> Store:
        return open_bucket(Bucket.resolve(self.place, "lake", "dis_admin_agency"))

    def sink(self, **changes: Any) -> Any:
        return obs_sink(self.place, obs_descriptor(**changes), STREAM)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.services)])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "folder":
        folder = tmp_path / "data" / "obs" / "lake"
        folder.mkdir(parents=True)
        return Lake(tmp_path / "data", folder, None)
    return s3_lake(request.getfixturevalue("s3"), tmp_path)


def s3_lake(s3: S3, tmp_path: Path, **changes: Any) -> Lake:
    """A bucket named as the task says, that only this test has: what an earlier one left is moved away."""
    folder = s3.root / "lake"
    if folder.exists():
        folder.rename(s3.directory / f"was-{len(list(s3.directory.iterdir()))}")
    s3.bucket("lake")
    return Lake(tmp_path, folder, msgspec.structs.replace(s3.entry("lake"), **changes))


async def test_a_round_is_there_whole_with_its_manifest(lake: Lake) -> None:
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a", b"b"], 1: [b"\x00\xff"]})
    sink = lake.sink()
    await sink.deliver(round_)
    await sink.close()
    found = await stored(lake.store())
    assert found.keys() == {NAME.format(0, 0, 1), NAME.format(1, 0, 0), MANIFEST}
    assert found[NAME.format(0, 0, 1)] == b"a\nb\n"
    assert found[NAME.format(1, 0, 0)] == b"\x00\xff\n"
    entries = {file.key: file for file in manifests.decode(found[MANIFEST]).files}
    assert {key: entry.crc32c for key, entry in entries.items()} == {
        key: crc(data) for key, data in found.items() if key != MANIFEST
    }


@pytest.mark.parametrize("point", ["staged", "visible", "committed by nobody"])
async def test_delivered_twice_it_is_there_once(lake: Lake, point: str) -> None:
    """C1: a process that dies between the files leaves some of them; the next one finds them and adds the rest."""
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a"], 1: [b"b"], 2: [b"c"]})
    if point == "committed by nobody":
        await lake.sink().deliver(round_)
    else:
        round_.crash_at = point
        with pytest.raises(Crash):
            await lake.sink().deliver(round_)
        assert MANIFEST not in await stored(lake.store())
    await lake.sink().deliver(round_.again(epoch=2))
    once = await stored(lake.store())
    assert {key: data for key, data in once.items() if key != MANIFEST} == {
        NAME.format(0, 0, 0): b"a\n",
        NAME.format(1, 0, 0): b"b\n",
        NAME.format(2, 0, 0): b"c\n",
    }
    await lake.sink().deliver(round_.again(epoch=3))
    assert await stored(lake.store()) == once


@pytest.mark.parametrize("there", [b"ab\n", b"a\nb\nc\nd\n"], ids=["shorter", "longer"])
async def test_a_file_that_is_there_with_another_size(lake: Lake, there: bytes) -> None:
    """It is replaced, unless retention took records since: then it may have what the log has no more."""
    key = NAME.format(0, 0, 2)
    await lake.store().put(key, body(there), epoch=1)
    await lake.sink().deliver(make_round(obs_descriptor(), STREAM, {0: [b"c"]}, missing={0: 2}))
    found = await stored(lake.store())
    assert found[key] == there
    [entry] = manifests.decode(found[MANIFEST]).files
    assert (entry.bytes, entry.crc32c, entry.records) == (len(there), crc(there), None)
    await lake.sink().deliver(make_round(obs_descriptor(), STREAM, {0: [b"a", b"b", b"c"]}))
    assert (await stored(lake.store()))[key] == b"a\nb\nc\n"


async def test_a_put_that_must_not_overwrite(lake: Lake) -> None:
    """Large ones, too: a server that refuses one before it has read it breaks the connection."""
    store = lake.store()
    for size in (1, 100_000, 4 << 20):
        racing = [
            store.put(f"k{size}", body(b"%d" % number * size), epoch=1, overwrite=False)
            for number in range(8)
        ]
        assert sorted(await asyncio.gather(*racing)) == [False] * 7 + [True]
    large = os.urandom(WHOLE_BYTES + 1)
    assert await store.put("large", body(large), epoch=1, overwrite=False) is True
    assert await store.put("large", body(large[:-1]), epoch=1, overwrite=False) is False
    assert await store.size("large") == len(large)


@pytest.mark.parametrize(("there", "key"), [("a", "a/b"), ("a/b", "a")])
async def test_a_key_below_another_is_no_file_of_ours(lake: Lake, there: str, key: str) -> None:
    """Part B: versitygw answers 409 then, which looks like the object being there."""
    store = lake.store()
    await store.put(there, body(b"1"), epoch=1)
    for overwrite in (True, False):
        with pytest.raises(NotDelivered, match="give the task another prefix"):
            await store.put(key, body(b"1"), epoch=1, overwrite=overwrite)
    assert await stored(store) == {there: b"1"}


class Torn(Body):
    """Ends in the middle, as when the process dies."""

    def pieces(self, size: int = 1 << 20) -> Iterator[bytes]:
        for sent, piece in enumerate(super().pieces(size)):
            if sent * size > 2 * PART_BYTES:
                raise ValueError("torn")
            yield piece


async def test_half_a_file_is_never_seen(lake: Lake) -> None:
    torn = Torn()
    torn.write(os.urandom(64 << 20))
    store = lake.store()
    for overwrite in (True, False):
        with pytest.raises((NotDelivered, ValueError)):
            await store.put("half", torn, epoch=1, overwrite=overwrite)
        assert await store.size("half") is None
        assert await stored(store) == {}


async def test_a_thousand_files_and_a_large_one(lake: Lake) -> None:
    store = lake.store()
    slots = asyncio.Semaphore(16)

    async def put(number: int) -> None:
        async with slots:
            assert await store.put(f"many/{number:04d}", body(b"%d" % number), epoch=1, overwrite=False)

    await asyncio.gather(*map(put, range(1000)))
    found = await stored(store)
    assert len(found) == 1000 and all(found[f"many/{number:04d}"] == b"%d" % number for number in range(1000))
    # More than one page of S3's, with a text for a prefix.
    assert len([one async for one in store.list("many/09")]) == 100

    data = os.urandom(1 << 20) * 100
    await store.put("large", body(data), epoch=1)
    assert await store.size("large") == len(data)
    assert b"".join([piece async for piece in await store.get("large")]) == data
    await store.delete("large")
    await store.delete("large")
    assert await store.size("large") is None


async def test_a_bucket_that_is_gone(lake: Lake) -> None:
    sink = lake.sink()
    lake.folder.rename(lake.folder.with_name("away"))
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a"]})
    with pytest.raises(NotDelivered, match=r"bucket lake:? does not exist; make it"):
        await sink.deliver(round_)
    assert not lake.folder.exists()
    lake.folder.with_name("away").rename(lake.folder)
    await sink.deliver(round_.again())
    assert (await stored(lake.store())).keys() == {NAME.format(0, 0, 0), MANIFEST}


@pytest.mark.services
async def test_wrong_secret_key(s3: S3, tmp_path: Path) -> None:
    lake = s3_lake(s3, tmp_path, secret_key="wrong-secret-of-ours")
    with pytest.raises(NotDelivered) as refused:
        await lake.sink().deliver(make_round(obs_descriptor(), STREAM, {0: [b"a"]}))
    assert str(refused.value) == "bucket lake: the secret key is wrong; check secret_key in [[obs]]"
    with pytest.raises(NotDelivered, match="permission denied"):
        await lake.store().size("a")


@pytest.mark.services
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"access_key": "nobody"}, "does not know the access key"),
        ({"region": "eu-west-0"}, "has another region; check region"),
        ({"endpoint": "http://127.0.0.1:9"}, "cannot be reached; is it running, is endpoint in"),
    ],
)
async def test_other_mistakes_in_the_configuration(
    s3: S3, tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    lake = s3_lake(s3, tmp_path, **changes)
    with pytest.raises(NotDelivered, match=said) as refused:
        await lake.sink().deliver(make_round(obs_descriptor(), STREAM, {0: [b"a"]}))
    assert SECRET_KEY not in str(refused.value) and "127.0.0.1" not in str(refused.value)


@pytest.mark.services
async def test_a_store_that_hangs_is_not_waited_for_and_what_landed_late_is_ours(
    s3: S3, tmp_path: Path
) -> None:
    """Part B: a conditional put that timed out may land later, and then refuses the next one: the size tells."""
    lake = s3_lake(s3, tmp_path)
    store = S3Store(Bucket.resolve(lake.place, "lake", "dis_admin_agency"), seconds=1.0)
    sink = lake.sink()
    sink._store = store
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a"]})
    await store.size("opened")
    s3.pause_all()
    try:
        async with asyncio.timeout(30):
            with pytest.raises(NotDelivered, match="has not answered within"):
                await sink.deliver(round_)
            with pytest.raises(NotDelivered, match=r"has not (listed|answered)"):
                [one async for one in store.list("")]
    finally:
        s3.resume_all()
    await sink.deliver(round_.again())
    assert (await stored(lake.store())).keys() == {NAME.format(0, 0, 0), MANIFEST}


@pytest.mark.services
async def test_a_store_that_was_killed_comes_back(s3: S3, tmp_path: Path) -> None:
    lake = s3_lake(s3, tmp_path)
    sink = lake.sink()
    round_ = make_round(obs_descriptor(), STREAM, {0: [b"a"], 1: [b"b"]})
    await sink.deliver(round_)
    s3.kill_all()
    later = make_round(obs_descriptor(), STREAM, {0: [b"c"]}, first={0: 1}, number=2)
    with pytest.raises(NotDelivered, match=r"cannot be reached|connection to its store broke"):
        await sink.deliver(later)
    s3.start()
    await sink.deliver(later.again())
    found = await stored(lake.store())
    assert [found[NAME.format(0, number, number)] for number in (0, 1)] == [b"a\n", b"c\n"]
