"""`penstock stream scale`, `update`, `scalings`, `freeze`, `thaw`: what is asked and what is printed."""

from __future__ import annotations

import json

import httpx
import pytest

from penstock.cli import scaling, streams
from penstock.cli.client import Client
from penstock.cli.credentials import Credentials
from penstock.cli.failure import CommandError

WHO = Credentials("u", "AK", "SK", "acc", "pw", "local", "pid")
Asked = list[tuple[str, str, object]]


def client(asked: Asked, *replies: object) -> Client:
    """Answers with `replies`, in order; None is an empty body."""
    left = list(replies)

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().removeprefix("/v2/pid")
        asked.append((request.method, path, json.loads(request.content or b"null")))
        reply = left.pop(0)
        return httpx.Response(200) if reply is None else httpx.Response(200, json=reply)

    return Client("http://127.0.0.1:1", WHO, transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("before", "said"), [(1, "s has 3 partitions now, 1 before."), (3, "s has 3 partitions already.")]
)
def test_scale(capsys: pytest.CaptureFixture[str], before: int, said: str) -> None:
    asked: Asked = []
    reply = {"stream_name": "s", "current_partition_count": before, "target_partition_count": 3}
    scaling.scale(client(asked, reply), "s", 3)
    assert asked == [("PUT", "/streams/s", {"stream_name": "s", "target_partition_count": 3})]
    assert capsys.readouterr().err == said + "\n"


def test_update_sends_what_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    asked: Asked = []
    scaling.update(client(asked, {}), "s", data_duration=48, data_type=None, auto_scale_enabled=False)
    body = {"stream_name": "s", "data_duration": 48, "auto_scale_enabled": False}
    assert asked == [("PUT", "/streams/s/update", body)]
    assert capsys.readouterr().err == "Updated s.\n"
    with pytest.raises(CommandError, match="Nothing to change"):
        scaling.update(client([]), "s", data_duration=None)


def entry(target: int, automatic: bool = False) -> dict[str, object]:
    return {
        "create_timestamp": 1_756_386_086_180,
        "src_partition_count": 1,
        "target_partition_count": target,
        "auto_scale": automatic,
    }


def test_scalings_of_all_pages(capsys: pytest.CaptureFixture[str]) -> None:
    asked: Asked = []
    pages = (
        {"update_partition_counts": [entry(12), entry(2, True)], "has_more": True, "next_start": 7},
        {"update_partition_counts": [entry(3)], "has_more": False},
    )
    scaling.list_all(client(asked, *pages), "s", as_json=False)
    assert [path for _, path, _ in asked] == [
        "/streams/s/update_partition_counts?limit=100",
        "/streams/s/update_partition_counts?limit=100&start=7",
    ]
    assert capsys.readouterr().out.splitlines() == [
        "TIME                 FROM  TO  BY",
        "2025-08-28 13:01:26     1  12  manual",
        "2025-08-28 13:01:26     1   2  automatic",
        "2025-08-28 13:01:26     1   3  manual",
    ]
    scaling.list_all(client(asked, pages[1]), "s", as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [entry(3)]
    scaling.list_all(client(asked, {"update_partition_counts": [], "has_more": False}), "s", as_json=False)
    assert capsys.readouterr().err == "s has the partitions it was created with.\n"


@pytest.mark.parametrize(("action", "said"), [("freeze", "s takes no records"), ("thaw", "Thawed s.")])
def test_freeze_and_thaw(capsys: pytest.CaptureFixture[str], action: str, said: str) -> None:
    asked: Asked = []
    scaling.act(client(asked, None), "s", action)
    assert asked == [("POST", "/streams/s/action", {"action": action})]
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize("enabled", [True, False])
def test_show_says_how_a_stream_scales(capsys: pytest.CaptureFixture[str], enabled: bool) -> None:
    shown = {
        "stream_name": "s",
        "partitions": [
            {"partition_id": "shardId-0000000000", "status": "ACTIVE", "sequence_number_range": "[0 : 2]"},
            {"partition_id": "shardId-0000000001", "status": "EXPIRED"},
        ],
        "auto_scale_enabled": enabled,
        "auto_scale_min_partition_count": 2,
        "auto_scale_max_partition_count": 9,
    }
    streams.show(client([], shown), "s", as_json=False)
    page = capsys.readouterr().out
    assert ("automatic, 2 to 9 partitions" in page) is enabled
    assert "shardId-0000000001  EXPIRED" in page
