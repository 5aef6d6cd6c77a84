"""Manifests (docs/dump-obs.md): what was written is what is read, and what is no manifest says so."""

from __future__ import annotations

import pytest
from tests.support.dump_files import obs_descriptor
from tests.support.rounds import make_stream, make_task

from penstock.dump import manifest as manifests

MADE = manifests.Manifest(
    stream_name="clicks",
    stream_id="stream00000000000001",
    task_name="archive",
    task_id="task0000000000000001",
    round=7,
    created_ms=1_700_000_000_000,
    files=(
        manifests.File(
            key="dumps/x.txt",
            partition_id="shardId-0000000000",
            first=0,
            last=9,
            records=None,
            bytes=100,
            crc32c="0badcafe",
        ),
    ),
    missing=(manifests.Missing(partition_id="shardId-0000000001", first=3, last=4, records=2),),
)


def test_written_and_read() -> None:
    written = manifests.encode(MADE)
    assert manifests.decode(written.bytes()) == MADE
    assert manifests.encode(MADE).bytes() == written.bytes()


def test_keys_sort_by_round_and_are_hidden_from_readers_of_data() -> None:
    """Spark and Hive pass over folders whose names begin with `_`."""
    stream = make_stream()
    task = make_task(obs_descriptor(), stream)
    keys = [manifests.manifest_key(stream, task, number) for number in (2, 10, 1_000_000)]
    assert keys[0] == "_manifests/clicks-archive-task0000000000000001/000000000002.json"
    assert keys == sorted(keys)
    assert all(key.startswith(manifests.folder("clicks", "archive", task.task_id) + "/") for key in keys)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a manifest"),
        (b"\xff\xfe", "not a manifest"),
        (b"{}", "stream_name"),
        (manifests.encode(MADE).bytes()[:-10], "not a manifest"),
        (manifests.encode(MADE).bytes().replace(b"shardId-0000000000", b"0"), "partition_id"),
        (manifests.encode(MADE).bytes().replace(b'"version": 1', b'"version": 2'), "version 2"),
    ],
)
def test_what_is_none(data: bytes, reason: str) -> None:
    with pytest.raises(manifests.UnreadableManifest, match=reason):
        manifests.decode(data)
