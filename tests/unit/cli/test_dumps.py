"""`penstock dump`: what it asks the server, and what it does when the answer is no (`dump.verify` has its own tests)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.cli import dumps, main
from penstock.cli.client import Client
from penstock.cli.credentials import Credentials
from penstock.cli.failure import CommandError

WHO = Credentials("admin", "AK", "SK", "account", "", "project", "0" * 32)


def client(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("http://127.0.0.1:1", WHO, transport=httpx.MockTransport(answer))


def refusal(code: str, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"errorCode": code, "message": "no"})


def page(*numbers: int) -> httpx.Response:
    records: list[dict[str, Any]] = [
        {"sequence_number": str(number), "data": base64.b64encode(b"%d" % number).decode(), "timestamp": 7}
        for number in numbers
    ]
    return httpx.Response(200, json={"records": records, "next_partition_cursor": "next"})


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", "verify", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "penstock dump verify clicks archive --json" in shown
    assert "Exit code: 0 nothing differs, 1 something does, 2 it could not be checked." in shown


def answers(*pages: httpx.Response) -> tuple[Client, list[str]]:
    """A server that gives cursors and then these answers; and the cursors it was asked for."""
    left = list(pages)
    starts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/cursors"):
            starts.append(request.url.params["starting-sequence-number"])
            return httpx.Response(200, json={"partition_cursor": "first"})
        return left.pop(0)

    return client(answer), starts


def test_records_are_read_to_the_last_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow control is waited out (DIS.4303)."""
    slept: list[float] = []
    monkeypatch.setattr("penstock.cli.dumps.time.sleep", slept.append)
    asked, starts = answers(page(3, 4), refusal("DIS.4303"), refusal("DIS.4303"), page(5, 6, 7))
    chunks = dumps._read(asked, "clicks", 0, 3, 6)
    assert [(chunk.base, chunk.append_ms, chunk.data) for chunk in chunks] == [
        (3, 7, [b"3", b"4"]),
        (5, 7, [b"5", b"6"]),
    ]
    assert starts == ["3"] and len(slept) == 2 and slept[0] < slept[1]


@pytest.mark.parametrize("code", ["DIS.4224", "DIS.4226", "DIS.4319"])
def test_records_that_retention_takes_meanwhile_are_gone(code: str) -> None:
    asked, _ = answers(refusal(code))
    assert dumps._read(asked, "clicks", 0, 3, 6) == []


def test_other_refusals_are_passed_on() -> None:
    asked, _ = answers(refusal("DIS.4116", 403))
    with pytest.raises(CommandError, match=r"DIS\.4116"):
        dumps._read(asked, "clicks", 0, 3, 6)


def verified(asked: Client, data: Path) -> CommandError:
    with pytest.raises(CommandError) as ended:
        dumps.verify(asked, "clicks", "archive", config=None, data=data, quick=False, as_json=False)
    return ended.value


def described(kind: str) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/transfer-tasks/archive"):
            return httpx.Response(200, json={"destination_type": kind})
        return httpx.Response(200, json={"stream_id": "s", "partitions": []})

    return answer


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("DWS", "Task archive delivers to DWS: only files can be verified, of OBS and MRS tasks"),
        ("OBS", "describes the task in a way that cannot be read"),
    ],
)
def test_what_cannot_be_verified(tmp_path: Path, kind: str, said: str) -> None:
    failed = verified(client(described(kind)), tmp_path)
    assert said in failed.message and failed.status == 2


def test_a_refusal_means_not_checked(tmp_path: Path) -> None:
    failed = verified(client(lambda _: refusal("DIS.4354", 404)), tmp_path)
    assert "DIS.4354" in failed.message and failed.status == 2
