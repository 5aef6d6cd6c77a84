"""`--workers N`: order, contiguity and durability hold whichever worker takes a request (docs/workers.md)."""

from __future__ import annotations

import base64
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.support.server import Server

WORKERS = 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", "--workers", str(WORKERS), "--limits", "relaxed") as running:
        yield running


def _call(server: Server, method: str, path: str, **kwargs: Any) -> httpx.Response:
    """A request on a connection of its own: any worker may get it."""
    url = f"{server.endpoint}/v2/{server.project_id}{path}"
    return httpx.request(method, url, headers={"X-Auth-Token": server.token()}, timeout=10, **kwargs)


def _put(server: Server, stream: str, texts: list[str], key: str) -> list[dict[str, str]]:
    records = [{"data": base64.b64encode(t.encode()).decode(), "partition_key": key} for t in texts]
    reply = _call(server, "POST", "/records", json={"stream_name": stream, "records": records})
    assert reply.status_code == 200, reply.text
    placed: list[dict[str, str]] = reply.json()["records"]
    return placed


def _read_all(server: Server, stream: str, partition: str) -> list[tuple[int, str]]:
    query = {"stream-name": stream, "partition-id": partition, "cursor-type": "TRIM_HORIZON"}
    cursor = _call(server, "GET", "/cursors", params=query).json()["partition_cursor"]
    found: list[tuple[int, str]] = []
    while True:
        page = _call(server, "GET", "/records", params={"partition-cursor": cursor, "limit": "70"}).json()
        if not page["records"]:
            return found
        found += [(int(r["sequence_number"]), base64.b64decode(r["data"]).decode()) for r in page["records"]]
        cursor = page["next_partition_cursor"]


def _children(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.pid).children()


def test_one_order_whichever_worker(server: Server) -> None:
    assert len(_children(server)) == WORKERS
    created = _call(server, "POST", "/streams", json={"stream_name": "s", "partition_count": 2})
    assert (created.status_code, created.content) == (201, b"")
    acknowledged: dict[tuple[str, int], str] = {}

    def write(writer: int) -> None:
        for number in range(40):
            texts = [f"{writer}-{number}-{i}" for i in range(7)]
            for text, place in zip(texts, _put(server, "s", texts, str(writer)), strict=True):
                acknowledged[place["partition_id"], int(place["sequence_number"])] = text

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert len(acknowledged) == 6 * 40 * 7, "a sequence number was given twice"
    for partition in ("shardId-0000000000", "shardId-0000000001"):
        found = _read_all(server, "s", partition)
        assert [number for number, _ in found] == list(range(len(found)))
        assert dict(found) == {n: text for (p, n), text in acknowledged.items() if p == partition}


def test_a_change_is_known_everywhere_when_it_is_answered(server: Server) -> None:
    for number in range(12):
        name = f"s{number}"
        assert (
            _call(server, "POST", "/streams", json={"stream_name": name, "partition_count": 1}).status_code
            == 201
        )
        for _ in range(3):
            _put(server, name, ["x"], "k")
        assert _call(server, "DELETE", f"/streams/{name}").status_code == 204
        reply = _call(server, "POST", "/records", json={"stream_name": name, "records": [{"data": "eA=="}]})
        assert reply.status_code == 400 and reply.json()["errorCode"] == "DIS.4301"


def test_a_killed_worker_loses_nothing_and_is_replaced(server: Server) -> None:
    _call(server, "POST", "/streams", json={"stream_name": "s", "partition_count": 1})
    before = [f"a{i}" for i in range(50)]
    _put(server, "s", before, "k")
    victim = _children(server)[0]
    victim.send_signal(signal.SIGKILL)
    victim.wait(5)
    stored: list[list[dict[str, str]]] = []
    deadline = time.monotonic() + 30
    while len(stored) < 20 and time.monotonic() < deadline:
        try:
            stored.append(_put(server, "s", ["b"], "k"))
        except httpx.TransportError:
            continue  # it was that worker's connection
    while len(_children(server)) < WORKERS and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(_children(server)) == WORKERS
    found = [text for _, text in _read_all(server, "s", "0")]
    assert found[:50] == before and len(found) >= 70


def test_workers_end_with_the_core(server: Server) -> None:
    workers = _children(server)
    os.kill(server.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs(workers, timeout=5)
    assert len(gone) == WORKERS and not alive


def test_sigterm_ends_all_with_exit_code_0(server: Server) -> None:
    workers = _children(server)
    assert server.terminate() == 0
    assert not psutil.wait_procs(workers, timeout=1)[1]
